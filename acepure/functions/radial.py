"""Radial functions R_n(r), one set per ordered pair of species: R_n(r) = f(r) P_n(x(r))."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from acepure._kernels import radial as kernel
from acepure._utils.checks import count, distances, number, symbol
from acepure._utils.pairs import per_pair, value_at
from acepure._utils.serialization import Serializable
from acepure.algebra.radial_algebra import FormalAlgebra, GradedAlgebra, RadialAlgebra
from acepure.functions.envelopes import KERNEL_ENVELOPES, Envelope, KernelEnvelope, SmoothEnvelope
from acepure.functions.polynomials import Chebyshev, Polynomials, chebyshev_coefficients
from acepure.functions.transforms import KERNEL_TRANSFORMS, AgnesiTransform, KernelTransform, Transform

ROUNDING = 1e-12  # how far a user's own x(r) may leave [-1, 1]


class RadialBasis(Serializable, ABC):
    """Base of radial functions; subclass it for functions of your own.

    A subclass defines `cutoff`, `evaluate` and, for forces, `evaluate_with_gradients`. The functions must
    be smooth down to r = 0, and they and their derivatives must vanish at the cutoff: neighbors beyond it
    are never seen, so a function that does not vanish there makes energies jump.

    Examples
    --------
    >>> import numpy as np
    >>> class GaussianBasis(RadialBasis):
    ...     def cutoff(self, center, neighbor):
    ...         return 5.0
    ...     def evaluate(self, r, center, neighbor, n_radial):
    ...         r = np.asarray(r)[:, None]
    ...         return (1 - r / 5) ** 2 * (r < 5) * np.exp(-((r - np.arange(n_radial)) ** 2))
    >>> GaussianBasis().evaluate([5.0], "Cu", "Cu", 2)
    array([[0., 0.]])
    """

    @property
    def has_kernel(self) -> bool:
        """Whether the compiled kernel computes these functions; otherwise they go through NumPy."""
        return False

    @property
    def plain(self) -> RadialBasis:
        """The functions that these are combinations of; themselves where they are none."""
        return self

    def combination(self, center: str, neighbor: str, labels: Sequence[Any]) -> tuple[Sequence[Any], np.ndarray | None]:
        """Return labels of `plain` and the matrix from these functions to those of `labels`; None for the same."""
        return labels, None

    @abstractmethod
    def cutoff(self, center: str, neighbor: str) -> float:
        """Return the cutoff in Å of an ordered pair of chemical symbols."""

    @abstractmethod
    def evaluate(self, r: ArrayLike, center: str, neighbor: str, n_radial: int) -> np.ndarray:
        """Return R_n(r) for n = 0 .. n_radial - 1.

        Parameters
        ----------
        r : (k,) array_like of float64
            Distances in Å.
        center, neighbor : str
            Chemical symbols of the ordered pair.
        n_radial : int
            Number of functions, >= 1.

        Returns
        -------
        values : (k, n_radial) array of float64
            Zero for r >= cutoff(center, neighbor).

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type or is out of range, or the pair is unknown.
        """

    def evaluate_with_gradients(
        self, r: ArrayLike, center: str, neighbor: str, n_radial: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return R_n(r) and dR_n/dr in 1/Å, each (k, n_radial) float64; arguments as `evaluate`."""
        raise NotImplementedError(
            f"{type(self).__name__} defines no evaluate_with_gradients(r, center, neighbor, n_radial); "
            "forces need it to return values and derivatives, each of shape (len(r), n_radial)"
        )

    def algebra(self, center: str, species: Sequence[str], n_radial: int) -> RadialAlgebra:
        """Return the products of the functions that a species of center sees.

        Parameters
        ----------
        center : str
            Chemical symbol.
        species : sequence of str
            Chemical symbols of the neighbors; their positions are the z of the algebra.
        n_radial : int
            Number of functions that the basis holds.

        Returns
        -------
        RadialAlgebra
            Here the formal algebra, which is exact for any functions.
        """
        return FormalAlgebra()

    def evaluate_labels(
        self, r: ArrayLike, center: str, neighbor: str, labels: Sequence[tuple[int, ...]]
    ) -> np.ndarray:
        """Return the functions that labels of the algebra name, shape (len(r), len(labels)).

        For the formal algebra: products Π_t R_{n_t}(r) over each label (n_1, n_2, ...).
        """
        n_radial = 1 + max(n for label in labels for n in label)
        values = self._checked(self.evaluate(r, center, neighbor, n_radial), r, n_radial)
        return np.stack([np.prod(values[:, list(label)], axis=1) for label in labels], axis=1)

    def evaluate_labels_with_gradients(
        self, r: ArrayLike, center: str, neighbor: str, labels: Sequence[tuple[int, ...]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the functions that labels name and their d/dr in 1/Å, each (len(r), len(labels))."""
        n_radial = 1 + max(n for label in labels for n in label)
        both = self.evaluate_with_gradients(r, center, neighbor, n_radial)
        values, slopes = (self._checked(array, r, n_radial) for array in both)
        products = np.empty((2, len(values), len(labels)))
        for column, label in enumerate(labels):
            value, slope = np.ones(len(values)), np.zeros(len(values))
            for n in label:  # (R S)' = R' S + R S'
                slope = slope * values[:, n] + value * slopes[:, n]
                value = value * values[:, n]
            products[0, :, column], products[1, :, column] = value, slope
        return products[0], products[1]

    def _checked(self, values: ArrayLike, r: ArrayLike, n_radial: int) -> np.ndarray:
        """Refuse what a user's own functions return if it has the wrong shape or is not finite."""
        values, shape = np.asarray(values), (len(np.asarray(r)), n_radial)
        if values.shape != shape:
            raise ValueError(f"{self!r} returned values of shape {values.shape}; {shape} is needed")
        if not np.isfinite(values).all():
            raise ValueError(f"{self!r} returned values that are not finite")
        return values


@dataclass(frozen=True)
class PolynomialRadialBasis(RadialBasis):
    """R_n(r) = f(r) P_n(x(r)), an envelope times a polynomial of degree n in a transformed distance.

    Parameters
    ----------
    rcut : float, or mapping of (str, str) to float
        Cutoff in Å, > 0; one for all pairs, or one per ordered pair of species (a pair given once serves
        both orders).
    transform : Transform
        x(r), see `acepure.functions.transforms`.
    envelope : Envelope
        f(r), see `acepure.functions.envelopes`.
    polynomials : Polynomials
        P_n(x), see `acepure.functions.polynomials`.

    Raises
    ------
    TypeError, ValueError
        If a parameter has the wrong type or is out of range.

    Examples
    --------
    >>> from acepure.functions import LinearTransform, PolynomialEnvelope
    >>> basis = PolynomialRadialBasis(5.0, LinearTransform(), PolynomialEnvelope(2))
    >>> basis.evaluate([0.0, 2.5, 5.0], "Cu", "Cu", n_radial=2)
    array([[ 1.  , -1.  ],
           [ 0.25,  0.  ],
           [ 0.  ,  0.  ]])
    """

    rcut: float | Mapping[tuple[str, str], float] = 5.0
    transform: Transform = field(default_factory=AgnesiTransform)
    envelope: Envelope = field(default_factory=SmoothEnvelope)
    polynomials: Polynomials = field(default_factory=Chebyshev)
    #: recurrences already computed
    _tables: dict[tuple[str, str, int], np.ndarray] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rcut", per_pair("rcut", self.rcut, lambda n, v: number(n, v, above=0)))
        for name, base in (("transform", Transform), ("envelope", Envelope), ("polynomials", Polynomials)):
            value = getattr(self, name)
            if not isinstance(value, base):
                raise TypeError(f"{name} must be an instance of {base.__name__}; got {value!r}")
        object.__setattr__(self, "_tables", {})

    @property
    def has_kernel(self) -> bool:
        """Whether the compiled kernel knows both transform and envelope; otherwise they go through NumPy."""
        # Exact types: a subclass of a built-in class may override its formula.
        return type(self.transform) in KERNEL_TRANSFORMS and type(self.envelope) in KERNEL_ENVELOPES

    def cutoff(self, center: str, neighbor: str) -> float:
        """Return the cutoff in Å of an ordered pair of chemical symbols."""
        symbol("center", center, particle=True)
        symbol("neighbor", neighbor, particle=True)
        return value_at("rcut", self.rcut, center, neighbor)

    def parameters(self, center: str, neighbor: str) -> np.ndarray:
        """Return the kernel's parameters of an ordered pair, 1-D float64, layout in `_kernels/radial.pxd`.

        Raises
        ------
        ValueError
            If the transform or the envelope is not one that the kernel knows.
        """
        if not self.has_kernel:
            raise ValueError(
                f"the kernel has no code for {self.transform!r} with {self.envelope!r}; check has_kernel first"
            )
        assert isinstance(self.transform, KernelTransform) and isinstance(self.envelope, KernelEnvelope)
        parameters = np.empty(kernel.n_parameters)
        kernel.fill_parameters(
            parameters,
            self.cutoff(center, neighbor),
            **self.transform.kernel_parameters(center, neighbor),
            **self.envelope.kernel_parameters(),
        )
        return parameters

    def recurrence(self, center: str, neighbor: str, n_radial: int) -> np.ndarray:
        """Return the three-term recurrence (n_radial, 3) of P_n for an ordered pair, read-only.

        Raises
        ------
        ValueError
            If the family has fewer than `n_radial` functions for this pair.
        """
        self.cutoff(center, neighbor)  # refuses unknown pairs
        key = (center, neighbor, count("n_radial", n_radial))
        if key not in self._tables:

            def coordinates(r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
                x, _, f, _ = self._geometry(r, center, neighbor, False)
                return x, f

            table = self.polynomials.recurrence(n_radial, center, neighbor, coordinates)
            table.flags.writeable = False
            self._tables[key] = table
        return self._tables[key]

    def chebyshev_coefficients(self, center: str, neighbor: str, n_radial: int) -> np.ndarray:
        """Return the lower-triangular (n_radial, n_radial) matrix T of P_n = sum_k T[n, k] T_k(x)."""
        return chebyshev_coefficients(self.recurrence(center, neighbor, n_radial))

    def algebra(self, center: str, species: Sequence[str], n_radial: int) -> RadialAlgebra:
        """Return the graded algebra, exact for every transform and envelope; arguments as in the base class."""
        if isinstance(self.polynomials, Chebyshev):
            return GradedAlgebra()
        return GradedAlgebra(
            {z: self.chebyshev_coefficients(center, neighbor, n_radial) for z, neighbor in enumerate(species)}
        )

    def evaluate_labels(
        self, r: ArrayLike, center: str, neighbor: str, labels: Sequence[tuple[int, ...]]
    ) -> np.ndarray:
        """Return the functions f^s P_n of the labels (s, n), shape (len(r), len(labels))."""
        return self._by_label(self.evaluate_graded, r, center, neighbor, labels)[0]

    def evaluate_labels_with_gradients(
        self, r: ArrayLike, center: str, neighbor: str, labels: Sequence[tuple[int, ...]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the functions f^s P_n of the labels (s, n) and their d/dr in 1/Å."""
        values, slopes = self._by_label(self.evaluate_graded_with_gradients, r, center, neighbor, labels)
        return values, slopes

    @staticmethod
    def _by_label(
        evaluate: Callable[..., Any], r: ArrayLike, center: str, neighbor: str, labels: Sequence[tuple[int, ...]]
    ) -> np.ndarray:
        """Evaluate whole grades and pick columns: shape (1 or 2, len(r), len(labels))."""
        sizes: dict[int, int] = {}
        for grade, n in labels:
            sizes[grade] = max(sizes.get(grade, 0), n + 1)
        values = {grade: np.array(evaluate(r, center, neighbor, grade, n), ndmin=3) for grade, n in sizes.items()}
        return np.stack([values[grade][:, :, n] for grade, n in labels], axis=2)

    def evaluate(self, r: ArrayLike, center: str, neighbor: str, n_radial: int) -> np.ndarray:
        """Return R_n(r), shape (len(r), n_radial); see `RadialBasis.evaluate`."""
        return self._products(r, center, neighbor, 1, n_radial, False)[0]

    def evaluate_with_gradients(
        self, r: ArrayLike, center: str, neighbor: str, n_radial: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return R_n(r) and dR_n/dr in 1/Å, each (len(r), n_radial); arguments as `evaluate`."""
        return self._products(r, center, neighbor, 1, n_radial, True)

    def evaluate_graded(self, r: ArrayLike, center: str, neighbor: str, grade: int, n_radial: int) -> np.ndarray:
        """Return the functions of one grade: f P_n for grade 1, f^grade T_n (Chebyshev) above.

        Products of radial functions of grades s and t are combinations of those of grade s + t, exactly;
        above grade 1 no orthogonality is asked for, and Chebyshev polynomials multiply in two terms.

        Parameters
        ----------
        r, center, neighbor, n_radial
            As `evaluate`.
        grade : int
            Power of the envelope, >= 1.

        Returns
        -------
        values : (len(r), n_radial) array of float64
        """
        return self._products(r, center, neighbor, grade, n_radial, False)[0]

    def evaluate_graded_with_gradients(
        self, r: ArrayLike, center: str, neighbor: str, grade: int, n_radial: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the functions of one grade and their d/dr in 1/Å; arguments as `evaluate_graded`."""
        return self._products(r, center, neighbor, grade, n_radial, True)

    def _products(
        self, r: ArrayLike, center: str, neighbor: str, grade: int, n_radial: int, gradients: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """f^grade times the polynomials, and d/dr (meaningless unless `gradients`)."""
        r, grade, n_radial = distances("r", r), count("grade", grade), count("n_radial", n_radial)
        geometry = self._geometry(r, center, neighbor, gradients)
        if grade == 1:
            recurrence = self.recurrence(center, neighbor, n_radial)
        else:
            recurrence = Chebyshev().recurrence(n_radial)
            geometry[3] *= grade * geometry[2] ** (grade - 1)  # d(f^s) = s f^(s-1) df
            geometry[2] **= grade
        values, derivatives = np.empty((2, len(r), n_radial))
        scratch = np.empty(2 * n_radial * kernel.lanes)
        kernel.polynomials(geometry, recurrence, scratch, values, derivatives)
        return values, derivatives

    def _geometry(self, r: np.ndarray, center: str, neighbor: str, gradients: bool) -> np.ndarray:
        """Rows x, dx/dr, f, df/dr, shape (4, len(r)); dx and df are zero unless `gradients` or a kernel."""
        out = np.zeros((4, len(r)))
        if self.has_kernel:
            kernel.transform_and_envelope(r, self.parameters(center, neighbor), out)
            return out
        rcut = self.cutoff(center, neighbor)
        inside = np.minimum(r, rcut)
        if gradients:
            out[0], out[1] = self.transform.evaluate_with_gradients(inside, rcut, center, neighbor)
            out[2], out[3] = self.envelope.evaluate_with_gradients(inside, rcut)
        else:
            out[0] = self.transform.evaluate(inside, rcut, center, neighbor)
            out[2] = self.envelope.evaluate(inside, rcut)
        out[2:, r >= rcut] = 0.0
        self._check_own(r, out)
        return out

    def _check_own(self, r: np.ndarray, geometry: np.ndarray) -> None:
        """Refuse a user's own transform or envelope that leaves its range."""
        for name, value, wrong, need in (
            ("transform", self.transform, ~(abs(geometry[0]) <= 1 + ROUNDING), "x in [-1, 1]"),
            ("envelope", self.envelope, ~np.isfinite(geometry[2]), "finite numbers"),
            ("transform and envelope", self, ~np.isfinite(geometry).all(axis=0), "finite derivatives"),
        ):
            if wrong.any():
                k = np.flatnonzero(wrong)[0]
                raise ValueError(
                    f"{name} must give {need} for 0 <= r <= rcut; {value!r} gives x, dx, f, df = "
                    f"{geometry[:, k]} at r = {r[k]:g} Å"
                )
