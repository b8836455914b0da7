"""ParticleBasis: permutation-invariant features of particles on [−1, 1], with exact Gram matrices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from math import perm
from typing import Any

import numpy as np
from numpy.polynomial.chebyshev import chebvander
from numpy.polynomial.legendre import legvander
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from acepure._utils.checks import count, flag, number, one_of, real_array
from acepure.algebra.linearization import Algebra, ChebyshevParticles, LegendreParticles
from acepure.algebra.recursion import mean_pairs, purification
from acepure.toys.laws import FAMILIES, mean_values, norms, resolved_law
from acepure.toys.moments import canonical_expansion, canonical_gram, canonical_means

#: The bases compared, by (canonical, with a mean).
ROWS = {
    (False, False): "self-interacting",
    (True, False): "canonical",
    (False, True): "shifted",
    (True, True): "centered",
}
_ALGEBRAS = {"chebyshev": ChebyshevParticles, "legendre": LegendreParticles}
_VALUES = {"chebyshev": chebvander, "legendre": legvander}


@dataclass(frozen=True)
class ParticleBasis:
    """Symmetric polynomials of particles on [−1, 1], self-interaction taken out or not.

    With A_v = Σ_j φ_v(x_j), Ã_v = A_v − μ_v and P from `acepure.algebra.recursion`,

        I_k = Σ_k' P_kk' Π_t Ã_{k'_t},     canonical, μ = 0:  I_k = 𝒜_k = Σ_{j_1 ≠ ... ≠ j_ν} Π_t φ_{k_t}(x_{j_t}),

    for all sorted tuples k of 1 ... `order` integers ≥ `start` with Σ k ≤ `totaldegree`.

        canonical   mean    row
        False       None    self-interacting
        False       μ       shifted
        True        None    canonical
        True        μ       centered

    Parameters
    ----------
    family : {"chebyshev", "legendre"}
        φ_v: T_v, orthogonal for dx / (π √(1 − x²)) (arcsine law), or P_v, orthogonal for dx / 2 (uniform law).
    order, totaldegree : int
    canonical : bool
        Whether self-interactions are taken out.
    start : {0, 1}
        Smallest index. A_0 is the number of particles: where that is fixed, 0 makes features dependent.
    normalized : bool
        Orthonormal functions, √2 T_v and √(2v + 1) P_v; False for bare T_v and P_v.
    mean : array_like of float, shape (totaldegree + 1,), optional
        μ; see also `centered`.

    Examples
    --------
    >>> basis = ParticleBasis("chebyshev", order=2, totaldegree=3)
    >>> basis.indices
    ((1,), (2,), (3,), (1, 1), (1, 2))
    >>> basis.features([[0.5, -1.0]]).shape
    (1, 5)
    >>> basis.gram(n_particles=2).diagonal()
    array([2., 2., 2., 4., 2.])
    """

    family: str
    order: int
    totaldegree: int
    canonical: bool = True
    start: int = 1
    normalized: bool = True
    mean: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        one_of("family", self.family, FAMILIES)
        object.__setattr__(self, "order", count("order", self.order))
        object.__setattr__(self, "start", count("start", self.start, least=0))
        if self.start > 1:
            raise ValueError(f"start must be 0 or 1; got {self.start!r}")
        object.__setattr__(self, "totaldegree", count("totaldegree", self.totaldegree))
        for name in ("canonical", "normalized"):
            flag(name, getattr(self, name))
        if self.mean is not None:
            mean = real_array("mean", self.mean, (self.totaldegree + 1,))
            object.__setattr__(self, "mean", tuple(mean.tolist()))

    # --- what it is ---------------------------------------------------------------------------------------

    @property
    def row(self) -> str:
        """Which of the four bases this is."""
        return ROWS[bool(self.canonical), self.mean is not None]

    @cached_property
    def indices(self) -> tuple[tuple[int, ...], ...]:
        """The tuples k, by order, then by tuple: names of the features."""
        return particle_indices(self.order, self.totaldegree, self.start)

    def __len__(self) -> int:
        return len(self.indices)

    @cached_property
    def algebra(self) -> Algebra:
        """Products of two functions of one particle."""
        return _ALGEBRAS[self.family](bool(self.normalized))

    @property
    def purification(self) -> csr_array:
        """P, shape (n_features, n_products): rows `indices`, columns `products`."""
        return self._operator[0]

    @property
    def products(self) -> list[tuple[int, ...]]:
        """The products of sums that features combine, those of `indices` first."""
        return self._operator[1]

    @cached_property
    def _operator(self) -> tuple[csr_array, list[tuple[int, ...]]]:
        algebra = self.algebra if self.canonical else None
        pairs = mean_pairs(algebra, self.mean.__getitem__) if algebra is not None and self.mean is not None else None
        return purification(self.indices, algebra, pairs)

    def centered(self, n_particles: float, law: str | None = None) -> ParticleBasis:
        """Return the basis with μ_v = n E[φ_v]: "canonical" becomes "centered", "self-interacting" becomes "shifted".

        Parameters
        ----------
        n_particles : float
            Number of particles, or its mean.
        law : {"uniform", "arcsine"}, optional
            Of one particle; default: the own law of the family.
        """
        mean = number("n_particles", n_particles, least=0) * self._particle_means(law)
        return replace(self, mean=tuple(mean.tolist()))

    # --- values -------------------------------------------------------------------------------------------

    def sums(self, x: ArrayLike) -> np.ndarray:
        """Return A_v = Σ_j φ_v(x_j), shape (n_samples, totaldegree + 1); argument as `features`."""
        x = real_array("x", x, (None, None))
        outside = np.argwhere(abs(x) > 1.0)
        if len(outside):
            sample, particle = outside[0]
            raise ValueError(f"x must lie in [-1, 1]; particle {particle} of sample {sample} is {x[sample, particle]}")
        return _VALUES[self.family](x, self.totaldegree).sum(axis=1) * self._norms

    def features(self, x: ArrayLike) -> np.ndarray:
        """Return the features of samples of particles.

        Parameters
        ----------
        x : array_like of float, shape (n_samples, n_particles)
            In [−1, 1].

        Returns
        -------
        numpy.ndarray of float64, shape (n_samples, n_features)
            Columns `indices`.

        Raises
        ------
        TypeError, ValueError
            For anything else.
        """
        A = self.sums(x)
        if self.mean is not None:
            A = A - np.array(self.mean)
        products = np.empty((len(self.products), len(A)))
        lengths = np.array([len(k) for k in self.products])
        for length in np.unique(lengths):
            rows = np.flatnonzero(lengths == length)
            factors = np.array([self.products[i] for i in rows], dtype=np.intp).reshape(len(rows), length)
            products[rows] = A.T[factors].prod(axis=1)  # () is the constant 1
        return np.ascontiguousarray((self.purification @ products).T)

    @cached_property
    def _norms(self) -> np.ndarray:
        return norms(self.family, self.totaldegree) if self.normalized else np.ones(self.totaldegree + 1)

    # --- moments ------------------------------------------------------------------------------------------

    def gram(self, n_particles: float, law: str | None = None, poisson: bool = False) -> np.ndarray:
        """Return E[I_k I_k'] for independent particles, exact up to rounding.

        Canonical and centered bases of orthonormal functions have diagonal ones: for J particles of the own law and
        start = 1, δ J!/(J − ν)! Π mult(k)!; for a Poisson number and the centered basis, δ λ^ν Π mult(k)!.

        Parameters
        ----------
        n_particles : int, or float with `poisson`
            J, or the mean λ of a Poisson number.
        law : {"uniform", "arcsine"}, optional
            Of one particle; default: the own law of the family.
        poisson : bool
            Whether the number of particles is Poisson distributed, as in an ideal gas.

        Returns
        -------
        numpy.ndarray of float64, shape (n_features, n_features)
        """
        R, columns, single, pair, placements = self._moments(n_particles, law, poisson)
        return R @ canonical_gram(columns, single, pair, placements) @ R.T

    def means(self, n_particles: float, law: str | None = None, poisson: bool = False) -> np.ndarray:
        """Return E[I_k], shape (n_features,); arguments as `gram`."""
        R, columns, single, _, placements = self._moments(n_particles, law, poisson)
        return R @ canonical_means(columns, single, placements)

    def covariance(self, n_particles: float, law: str | None = None, poisson: bool = False) -> np.ndarray:
        """Return E[I_k I_k'] − E[I_k] E[I_k'], shape (n_features, n_features); arguments as `gram`."""
        means = self.means(n_particles, law, poisson)
        return self.gram(n_particles, law, poisson) - np.outer(means, means)

    def _moments(self, n_particles: float, law: str | None, poisson: bool) -> tuple[Any, ...]:
        placements = _placements(n_particles, poisson)
        single = self._particle_means(law)
        R, columns = canonical_expansion(self.indices, self.mean, None if self.canonical else self.algebra)
        return R, columns, single, self._second_moments(law), placements

    def _particle_means(self, law: str | None, degree: int | None = None) -> np.ndarray:
        """E[φ_v] for v = 0 ... degree, by default the total degree."""
        degree = self.totaldegree if degree is None else degree
        scale = norms(self.family, degree) if self.normalized else 1.0
        return scale * mean_values(self.family, resolved_law(self.family, law), degree)

    def _second_moments(self, law: str | None) -> np.ndarray:
        """E[φ_u φ_v] = Σ_κ p^κ_uv E[φ_κ]."""
        n = self.totaldegree + 1
        means = self._particle_means(law, 2 * self.totaldegree)
        moments = np.zeros((n, n))
        for u in range(n):
            for v in range(u, n):
                moments[u, v] = moments[v, u] = sum(p * means[kappa] for kappa, p in self.algebra.linearize(u, v))
        return moments


def particle_indices(order: int, totaldegree: int, start: int) -> tuple[tuple[int, ...], ...]:
    """Return all sorted tuples of 1 ... order integers ≥ start with sum ≤ totaldegree, by order, then by tuple.

    Examples
    --------
    >>> particle_indices(2, 2, 0)
    ((0,), (1,), (2,), (0, 0), (0, 1), (0, 2), (1, 1))
    """
    level: list[tuple[int, ...]] = [()]
    result: list[tuple[int, ...]] = []
    for _ in range(order):
        # the last entry is the largest; what remains for it is bounded by the sum alone
        level = [(*k, v) for k in level for v in range(k[-1] if k else start, totaldegree - sum(k) + 1)]
        result += level
    return tuple(result)


def compared_bases(
    family: str, order: int, totaldegree: int, n_particles: float, law: str | None, start: int = 1
) -> list[ParticleBasis]:
    """Return the four bases in the order of `ROWS`, means those of n particles of a law."""
    plain, canonical = (ParticleBasis(family, order, totaldegree, c, start) for c in (False, True))
    return [plain, canonical, plain.centered(n_particles, law), canonical.centered(n_particles, law)]


def _placements(n_particles: float, poisson: bool) -> Callable[[int], float]:
    """c(b): in how many ways b distinct particles can be chosen in turn, on average."""
    if flag("poisson", poisson):
        intensity = number("n_particles", n_particles, least=0)
        return lambda b: intensity**b
    n = count("n_particles", n_particles, least=0)
    return lambda b: float(perm(n, b))
