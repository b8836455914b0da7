"""Radial functions that depend on l: R_nl(r) = Σ_{n' ≤ n} W^l_nn' f(r) P_n'(x(r))."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from acepure._utils.checks import check_kind, real_array
from acepure._utils.pairs import PairTable, value_at
from acepure.algebra.radial_algebra import GradedAlgebra, RadialAlgebra
from acepure.functions.radial import PolynomialRadialBasis, RadialBasis


@dataclass(frozen=True)
class WhitenedRadialBasis(RadialBasis):
    """R_nl(r) = Σ_{n' ≤ n} W^l_nn' R_n'(r): another triangular combination of radial functions for each l.

    With W^l the inverse Cholesky factor of the covariance of A per l, the sums A become uncorrelated. Polynomials of
    your own, times the envelope, are such combinations too. Being triangular, the change stays within a total degree.
    The kernel computes the sums of R_n and combines these.

    Parameters
    ----------
    radial : PolynomialRadialBasis
        R_n.
    matrices : mapping of (str, str) to array_like, shape (n_l, n_radial, n_radial)
        W, lower triangular, for each ordered pair of species.

    Raises
    ------
    TypeError, ValueError
        For another kind of radial functions, or matrices that are not lower triangular.

    Examples
    --------
    >>> radial = WhitenedRadialBasis(PolynomialRadialBasis(5.0), {("Cu", "Cu"): [[[1, 0], [0.5, 2]]]})
    >>> plain = radial.radial.evaluate([2.0], "Cu", "Cu", 2)
    >>> radial.evaluate_labels([2.0], "Cu", "Cu", [(1, 1, 0)]) == plain @ [[0.5], [2]]
    array([[ True]])
    """

    radial: PolynomialRadialBasis
    matrices: Any

    def __post_init__(self) -> None:
        check_kind("radial", self.radial, PolynomialRadialBasis)
        object.__setattr__(self, "matrices", PairTable("matrices", self.matrices, _triangular))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WhitenedRadialBasis):
            return NotImplemented
        mine, others = dict(self.matrices), dict(other.matrices)
        same = mine.keys() == others.keys() and all(np.array_equal(mine[pair], others[pair]) for pair in mine)
        return same and self.radial == other.radial

    def __hash__(self) -> int:
        return hash((type(self), self.radial))

    def __repr__(self) -> str:
        return f"WhitenedRadialBasis({self.radial!r})"

    @property
    def has_kernel(self) -> bool:
        """Whether the compiled kernel computes R_n; the combinations are always compiled."""
        return self.radial.has_kernel

    @property
    def plain(self) -> PolynomialRadialBasis:
        """R_n."""
        return self.radial

    def cutoff(self, center: str, neighbor: str) -> float:
        """Return the cutoff in Å of an ordered pair of chemical symbols."""
        return self.radial.cutoff(center, neighbor)

    def evaluate(self, r: ArrayLike, center: str, neighbor: str, n_radial: int) -> np.ndarray:
        """Return R_n0(r), the functions of l = 0, shape (len(r), n_radial)."""
        return self.evaluate_labels(r, center, neighbor, [(1, n, 0) for n in range(n_radial)])

    def evaluate_with_gradients(
        self, r: ArrayLike, center: str, neighbor: str, n_radial: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return R_n0(r) and dR_n0/dr in 1/Å, each (len(r), n_radial)."""
        return self.evaluate_labels_with_gradients(r, center, neighbor, [(1, n, 0) for n in range(n_radial)])

    def algebra(self, center: str, species: Sequence[str], n_radial: int) -> RadialAlgebra:
        """Return the products of the functions, exact; arguments as in the base class."""
        matrices = {z: self._matrices(center, neighbor) for z, neighbor in enumerate(species)}
        for z, W in matrices.items():
            if n_radial > W.shape[1]:
                raise ValueError(
                    f"matrices has {W.shape[1]} radial functions for the pair {center}-{species[z]}; "
                    f"the basis needs {n_radial}"
                )
        return GradedAlgebra(
            {z: W @ self.radial.chebyshev_coefficients(center, species[z], W.shape[1]) for z, W in matrices.items()}
        )

    def evaluate_labels(
        self, r: ArrayLike, center: str, neighbor: str, labels: Sequence[tuple[int, ...]]
    ) -> np.ndarray:
        """Return R_nl for labels (1, n, l) and f^s T_n for labels (s, n), shape (len(r), len(labels))."""
        plain, matrix = self.combination(center, neighbor, labels)
        return self.radial.evaluate_labels(r, center, neighbor, plain) @ matrix

    def evaluate_labels_with_gradients(
        self, r: ArrayLike, center: str, neighbor: str, labels: Sequence[tuple[int, ...]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the functions that labels name and their d/dr in 1/Å, each (len(r), len(labels))."""
        plain, matrix = self.combination(center, neighbor, labels)
        values, slopes = self.radial.evaluate_labels_with_gradients(r, center, neighbor, plain)
        return values @ matrix, slopes @ matrix

    def combination(
        self, center: str, neighbor: str, labels: Sequence[tuple[int, ...]]
    ) -> tuple[list[tuple[int, int]], np.ndarray]:
        """Return labels (s, n) of `plain`, whole ranges of n, and the matrix from their functions to `labels`."""
        W = self._matrices(center, neighbor)
        sizes: dict[int, int] = {}
        for grade, n, *_ in labels:
            sizes[grade] = max(sizes.get(grade, 0), n + 1)
        plain = [(grade, n) for grade in sorted(sizes) for n in range(sizes[grade])]
        matrix = np.zeros((len(plain), len(labels)))
        for column, (grade, n, *at) in enumerate(labels):
            if grade != 1:
                matrix[plain.index((grade, n)), column] = 1.0
                continue
            (l,) = at
            if l >= len(W) or n >= W.shape[1]:
                raise ValueError(
                    f"matrices of the pair {center}-{neighbor} reach n < {W.shape[1]} and l < {len(W)}; "
                    f"n={n}, l={l} is needed"
                )
            matrix[: n + 1, column] = W[l, n, : n + 1]
        return plain, matrix

    def _matrices(self, center: str, neighbor: str) -> np.ndarray:
        return value_at("matrices", self.matrices, center, neighbor)


def _triangular(name: str, value: Any) -> np.ndarray:
    W = real_array(name, value, (None, None, None)).copy()
    if W.shape[1] != W.shape[2] or np.triu(W, 1).any():
        raise ValueError(f"{name} must be lower-triangular matrices, shape (n_l, n, n); got shape {W.shape}")
    W.flags.writeable = False
    return W
