"""Posteriors of coefficients: a root S of their covariance, as an array or by the triangle of a large fit.

A fit by normal equations has (G + λ) = RᵀR in columns multiplied by d. The covariance of θ is S Sᵀ with S = σ d R⁻¹ in
the rows of the functions that can be different from zero, so that with x what θ is multiplied by

    variance of x θ     |x S|² = σ² |R⁻ᵀ (d x)|²,
    draws               S ε = σ d R⁻¹ ε.

R is half as large as S would be for these functions alone, and it takes one triangular solution, in blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from acepure._utils.memory import physical_memory
from acepure._utils.read_only import ReadOnlyArrays, read_only
from acepure._utils.tiled import TiledMatrix

__all__ = [
    "FactoredPosterior",
    "Posterior",
    "dense_root",
    "posterior_arrays",
    "posterior_from_arrays",
    "whitened",
    "whitened_features",
]

# Of physical memory that S may take where an array is needed.
_SHARE = 0.3
_ARRAYS = ("posterior factor", "posterior columns", "posterior scales")


@dataclass(frozen=True, eq=False, repr=False)
class FactoredPosterior(ReadOnlyArrays):
    """S by a triangular factor.

    Parameters
    ----------
    factor : TiledMatrix
        R.
    columns : numpy.ndarray of int64, shape (n_unknowns,)
        Which coefficients the unknowns are, counted in `shape[:2]`; increasing.
    scales : numpy.ndarray, shape (n_unknowns,)
        σ d ≥ 0.
    n_species, n_features : int

    Raises
    ------
    ValueError
        For parts that do not fit together.

    Examples
    --------
    >>> R = TiledMatrix.from_dense(np.array([[2.0, 1.0], [0.0, 4.0]]))
    >>> S = FactoredPosterior(R, np.array([0, 2]), np.ones(2), 1, 3)
    >>> S.dense()
    array([[[ 0.5  , -0.125],
            [ 0.   ,  0.   ],
            [ 0.   ,  0.25 ]]])
    """

    factor: TiledMatrix
    columns: np.ndarray
    scales: np.ndarray
    n_species: int
    n_features: int

    def __post_init__(self) -> None:
        n, columns, scales = self.factor.n, self.columns, self.scales
        if columns.shape != (n,) or scales.shape != (n,):
            raise ValueError(f"posterior has {n} unknowns, but {columns.shape} columns and {scales.shape} scales")
        if n and (columns[0] < 0 or columns[-1] >= self.n_species * self.n_features or (np.diff(columns) <= 0).any()):
            raise ValueError("posterior columns must increase, and be coefficients of the basis")
        if not ((scales >= 0) & np.isfinite(scales)).all():
            raise ValueError("posterior scales must be finite and not negative")
        if not (self.factor.diagonal() > 0).all():
            raise ValueError("posterior factor must have a positive diagonal")
        read_only((columns, scales))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n_species, n_features, n_unknowns), that of S."""
        return self.n_species, self.n_features, self.factor.n

    @property
    def nbytes(self) -> int:
        """Memory, and bytes of a file."""
        return self.factor.nbytes + self.columns.nbytes + self.scales.nbytes

    def whiten(self, rows: np.ndarray) -> np.ndarray:
        """Return rows · S, shape (n, n_unknowns), for rows of shape (n, n_species n_features)."""
        scaled = np.ascontiguousarray((rows[:, self.columns] * self.scales).T)
        return self.factor.solve_triangular(scaled, transposed=True).T

    def __matmul__(self, vector: np.ndarray) -> np.ndarray:
        """Return S · vector, shape (n_species, n_features)."""
        result = np.zeros(self.n_species * self.n_features)
        result[self.columns] = self.scales * self.factor.solve_triangular(vector)
        return result.reshape(self.n_species, self.n_features)

    def dense(self) -> np.ndarray:
        """Return S, shape (n_species, n_features, n_unknowns).

        Raises
        ------
        MemoryError
            Where it would take more than 30 % of the memory.
        """
        needed = 8.0 * np.prod(self.shape)
        if needed > _SHARE * physical_memory():
            raise MemoryError(
                f"the posterior of {self.factor.n:,} unknowns as an array takes {needed / 2**30:.1f} GiB, more than "
                f"{_SHARE:.0%} of the memory; standard deviations and leaving out work without, other uses need a "
                "smaller basis"
            )
        result = np.zeros((self.n_species * self.n_features, self.factor.n))
        result[self.columns] = self.scales[:, None] * self.factor.solve_triangular(np.eye(self.factor.n))
        return result.reshape(self.shape)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all of it as arrays by name, for files."""
        return dict(zip(_ARRAYS, (self.factor.tiles, self.columns, self.scales)))

    def __repr__(self) -> str:
        return f"FactoredPosterior({self.factor.n:,} unknowns, {self.nbytes / 2**30:.2f} GiB)"


#: S, of shape (n_species, n_features, n_unknowns); with the densities of an embedding in front.
Posterior = np.ndarray | FactoredPosterior


def posterior_arrays(posterior: Posterior | None) -> dict[str, np.ndarray]:
    """Return the arrays of a model file."""
    if posterior is None:
        return {}
    return posterior.arrays() if isinstance(posterior, FactoredPosterior) else {"posterior": posterior}


def posterior_from_arrays(arrays: Mapping[str, np.ndarray], shape: tuple[int, int]) -> Posterior | None:
    """Return the inverse of `posterior_arrays`; `shape` is (n_species, n_features)."""
    present = [name for name in _ARRAYS if name in arrays]
    if not present:
        return arrays.get("posterior")
    if len(present) < len(_ARRAYS) or "posterior" in arrays:
        raise ValueError(f"a posterior is one array or {', '.join(_ARRAYS)}; got {', '.join(present)} and others")
    tiles, columns, scales = (arrays[name] for name in _ARRAYS)
    return FactoredPosterior(TiledMatrix.from_tiles(len(columns), tiles), columns, scales, *shape)


def dense_root(posterior: Posterior) -> np.ndarray:
    """Return S as an array; a MemoryError where it is too large."""
    return posterior.dense() if isinstance(posterior, FactoredPosterior) else posterior


def whitened(posterior: Posterior, rows: np.ndarray) -> np.ndarray:
    """Return rows · S, shape (n, n_unknowns), for rows of shape (n, n_species n_features)."""
    if isinstance(posterior, FactoredPosterior):
        return posterior.whiten(rows)
    return rows @ posterior.reshape(rows.shape[1], -1)


def whitened_features(posterior: Posterior, features: np.ndarray, species: np.ndarray) -> np.ndarray:
    """Return Sᵀ of features of centers, shape (n_centers, n_unknowns); `species` are those of the centers."""
    n_species, n_features, n_unknowns = posterior.shape
    if isinstance(posterior, FactoredPosterior):
        rows = np.zeros((len(features), n_species, n_features))
        rows[np.arange(len(features)), species] = features
        return posterior.whiten(rows.reshape(len(features), -1))
    result = np.empty((len(features), n_unknowns))
    for z in range(n_species):
        result[species == z] = features[species == z] @ posterior[z]
    return result
