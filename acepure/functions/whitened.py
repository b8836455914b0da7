"""Radial functions that depend on l: R_nl(r) = Σ_{n' ≤ n} W^l_nn' f(r) P_n'(x(r))."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import ArrayLike

from acepure._utils.checks import real_array
from acepure._utils.pairs import PairTable, value_at
from acepure.algebra.radial_algebra import RadialAlgebra, Terms, kept_terms
from acepure.functions.radial import PolynomialRadialBasis, RadialBasis

__all__ = ["WhitenedRadialBasis"]


class WhitenedAlgebra(RadialAlgebra):
    """Products of the functions of `WhitenedRadialBasis`; exact, as they are f times polynomials.

    Labels are (1, n, l) for the functions of the basis, whose Chebyshev coefficients are given, and (s, n) for
    f^s T_n, which occur in products alone.

    Parameters
    ----------
    coefficients : mapping of int to numpy.ndarray
        For each neighbor species z: Q, shape (n_l, n_radial, n_radial), R_nl = f Σ_k Q[l, n, k] T_k(x).
    """

    def __init__(self, coefficients: dict[int, np.ndarray]) -> None:
        self._coefficients = coefficients
        self._products: dict[Any, Terms] = {}

    def basis_label(self, n: int, l: int) -> tuple[int, int, int]:
        n_l = min(map(len, self._coefficients.values()))
        if l >= n_l:
            raise ValueError(f"matrices of the radial functions reach l < {n_l}; the basis needs l = {l}")
        return (1, n, l)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WhitenedAlgebra):
            return NotImplemented
        mine, others = self._coefficients, other._coefficients
        return mine.keys() == others.keys() and all(np.array_equal(mine[z], others[z]) for z in mine)

    __hash__ = None  # type: ignore[assignment]  # equality is by arrays

    def product(self, z: int, a: tuple[int, ...], b: tuple[int, ...]) -> Terms:
        key = (z, a, b)
        if key not in self._products:
            grade = a[0] + b[0]
            coefficients = chebyshev.chebmul(self._series(z, a), self._series(z, b))
            self._products[key] = kept_terms(((grade, n), float(c)) for n, c in enumerate(coefficients))
        return self._products[key]

    def chebyshev_coefficients(self, z: int, l: int) -> np.ndarray:
        return self._coefficients[z][l]

    def _series(self, z: int, label: tuple[int, ...]) -> np.ndarray:
        n = label[1]
        return self._coefficients[z][label[2], n, : n + 1] if label[0] == 1 else np.eye(1, n + 1, n)[0]


@dataclass(frozen=True)
class WhitenedRadialBasis(RadialBasis):
    """R_nl(r) = Σ_{n' ≤ n} W^l_nn' R_n'(r): another triangular combination of radial functions for each l.

    With W^l the inverse Cholesky factor of the covariance of A per l, the sums A become uncorrelated; being
    triangular, the change stays within a total degree. These functions are tabulated by NumPy, not by the kernel.

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
        if not isinstance(self.radial, PolynomialRadialBasis):
            raise TypeError(f"radial must be a PolynomialRadialBasis; got {self.radial!r}")
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
        return WhitenedAlgebra(
            {z: W @ self.radial.chebyshev_coefficients(center, species[z], W.shape[1]) for z, W in matrices.items()}
        )

    def evaluate_labels(
        self, r: ArrayLike, center: str, neighbor: str, labels: Sequence[tuple[int, ...]]
    ) -> np.ndarray:
        """Return R_nl for labels (1, n, l) and f^s T_n for labels (s, n), shape (len(r), len(labels))."""
        values = self.radial.evaluate_labels(r, center, neighbor, self._plain(labels))
        return values @ self._combination(center, neighbor, labels)

    def evaluate_labels_with_gradients(
        self, r: ArrayLike, center: str, neighbor: str, labels: Sequence[tuple[int, ...]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the functions that labels name and their d/dr in 1/Å, each (len(r), len(labels))."""
        values, slopes = self.radial.evaluate_labels_with_gradients(r, center, neighbor, self._plain(labels))
        combination = self._combination(center, neighbor, labels)
        return values @ combination, slopes @ combination

    def _matrices(self, center: str, neighbor: str) -> np.ndarray:
        return value_at("matrices", self.matrices, center, neighbor)

    @staticmethod
    def _plain(labels: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """Labels of the functions that `labels` combine: all of grade 1 that occur, then the others."""
        n_radial = max((label[1] + 1 for label in labels if label[0] == 1), default=0)
        return [(1, n) for n in range(n_radial)] + [label for label in labels if label[0] != 1]

    def _combination(self, center: str, neighbor: str, labels: Sequence[tuple[int, ...]]) -> np.ndarray:
        """Matrix from `_plain(labels)` to `labels`."""
        W = self._matrices(center, neighbor)
        n_plain = len(self._plain(labels))
        row = n_plain - sum(label[0] != 1 for label in labels)
        matrix = np.zeros((n_plain, len(labels)))
        for column, label in enumerate(labels):
            if label[0] == 1:
                _, n, l = label
                if l >= len(W) or n >= W.shape[1]:
                    raise ValueError(
                        f"matrices of the pair {center}-{neighbor} reach n < {W.shape[1]} and l < {len(W)}; "
                        f"n={n}, l={l} is needed"
                    )
                matrix[: n + 1, column] = W[l, n, : n + 1]
            else:
                matrix[row, column] = 1.0
                row += 1
        return matrix


def _triangular(name: str, value: Any) -> np.ndarray:
    W = real_array(name, value, (None, None, None)).copy()
    if W.shape[1] != W.shape[2] or np.triu(W, 1).any():
        raise ValueError(f"{name} must be lower-triangular matrices, shape (n_l, n, n); got shape {W.shape}")
    W.flags.writeable = False
    return W
