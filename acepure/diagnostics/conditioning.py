"""How well the features of data are conditioned, over any number of structures in memory of O(n_features²).

    conditioning(basis, structures) → Conditioning: R of [1, F] = Q R

    scaling            columns of which the Gram matrix is made
    "raw"              1, f                      Gram = [1, F]ᵀ[1, F] / n
    "scaled"           1, f / rms(f)             unit diagonal
    "standardized"     (f − mean) / std          correlations; no constant column

Condition numbers are those of Gram matrices, (σ_max / σ_min)² of the columns; they come from R, never from a Gram
matrix, which in float64 cannot have one beyond 1e16.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike

from acepure._utils.checks import count, number, real_array
from acepure._utils.tall_qr import RFactor, jacobi_svd, singular_values
from acepure._utils.threads import resolve_num_threads
from acepure._utils.workers import Workers, batched, checked_workers, kernel_threads, structure_bar, tree_reduce
from acepure.diagnostics.environments import chosen_centers, feature_rows
from acepure.diagnostics.orders import feature_orders

SCALINGS = ("raw", "scaled", "standardized")

_EPS = float(np.finfo(np.float64).eps)
# Features that vary less than this, relative to their rms, count as constant: what varies is rounding.
_CONSTANT = 1e-12
# Rows of a batch, in numbers of columns: merging two R factors then costs a tenth of making them.
_ROWS_PER_COLUMN = 8
# So many terms of a combination are printed.
_TERMS = 6


def conditioning(
    basis: Any,
    structures: Iterable[Atoms],
    *,
    indices: Iterable[Any] | None = None,
    atoms_per_structure: int | None = None,
    seed: int = 0,
    workers: Workers = 1,
    num_threads: int | None = None,
    progress: bool | None = None,
) -> Conditioning:
    """Return the conditioning of the features of all environments of some structures.

    Features are held for one structure at a time (and worker).

    Parameters
    ----------
    basis : ACEBasis
        Or anything with `descriptors(atoms, indices=..., num_threads=...)`, `len`, `labels` and `order_slices`.
    structures : iterable of ase.Atoms, or one ase.Atoms
        A generator is read once.
    indices : iterable, optional
        One entry per structure: its centers as in `ACEBasis.descriptors`, None for all. For one ase.Atoms, its centers.
    atoms_per_structure : int, optional
        Take so many atoms of each structure at random, without repetition; all if there are fewer. The choice depends
        on `seed` and on the number of the structure alone.
    seed : int
        Of the random numbers.
    workers : int or dask.distributed.Client
        As in `acepure._utils.workers.tree_reduce`; the result does not depend on them.
    num_threads : int, optional
        Default: ACEPURE_NUM_THREADS, else OMP_NUM_THREADS, else all cores. Workers take one each.
    progress : bool, optional
        Show a bar; default: when writing to a terminal.

    Notes
    -----
    Canonical features that need more neighbors than any atom has (in molecules) are rounding noise, which scaling to
    unit norm cannot tell from a feature. `compare_references` leaves them out, and says so.

    Raises
    ------
    ValueError
        For a structure that does not belong to the basis.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from acepure import ACEBasis
    >>> atoms = bulk("Cu", cubic=True) * 3
    >>> atoms.rattle(0.1, seed=0)
    >>> result = conditioning(ACEBasis(["Cu"], order=2, totaldegree=3), atoms)
    >>> result.n_environments, len(result.labels)
    (108, 12)
    >>> result.condition_number("standardized") > 1e3
    True
    """
    workers = checked_workers(workers)
    reduce = partial(_reduced, basis, num_threads=kernel_threads(workers, resolve_num_threads(num_threads)))
    centers = chosen_centers(
        structures, indices=indices, atoms_per_structure=atoms_per_structure, seed=seed, progress=False
    )
    batches = batched(centers, _most_rows, _ROWS_PER_COLUMN * (1 + len(basis)))
    with structure_bar("conditioning", structures, progress) as bar:
        factor = tree_reduce(reduce, RFactor.merge, batches, workers, bar=bar)
    assert factor is not None  # no structure at all is an error
    return Conditioning(factor.R, factor.n_rows, tuple(basis.labels), feature_orders(basis))


def _most_rows(chosen: tuple[int, Atoms, Any]) -> int:
    _, atoms, centers = chosen
    return len(atoms) if centers is None or isinstance(centers, slice) else np.size(centers)


def _reduced(basis: Any, batch: Sequence[tuple[int, tuple[int, Atoms, Any]]], num_threads: int) -> RFactor:
    """R of [1, F] of some structures, each with its number and centers."""
    factor = RFactor(1 + len(basis))
    for _, (place, atoms, chosen) in batch:
        features = feature_rows(basis, place, atoms, chosen, num_threads)
        factor.add(np.column_stack([np.ones(len(features)), features]))
    return factor


@dataclass(frozen=True, eq=False)
class NullCombination:
    """A combination of columns that hardly varies over the data: Σ c_j · column_j with Σ c_j² = 1.

    Attributes
    ----------
    rms : float
        Of its values over the environments; a singular value of the columns divided by √n_environments.
    coefficients : numpy.ndarray, shape (n_columns,)
        c; first the constant for "raw" and "scaled", then all features (0 for those left out). Largest entry positive.
    labels : tuple
        Of the columns.
    """

    rms: float
    coefficients: np.ndarray
    labels: tuple[Any, ...]

    def __str__(self) -> str:
        order = np.argsort(-np.abs(self.coefficients), kind="stable")
        shown = [f"{self.coefficients[j]:+.3f} [{self.labels[j]}]" for j in order[:_TERMS] if self.coefficients[j]]
        rest = np.count_nonzero(self.coefficients) - len(shown)
        return f"rms {self.rms:.1e}: " + " ".join(shown) + (f" and {rest} smaller terms" if rest > 0 else "")


@dataclass(frozen=True, eq=False)
class Conditioning:
    """What R of [1, F] says about features F; printed, it is a table.

    Features without variance are dependent on the constant column: with them "raw" and "scaled" have infinite condition
    numbers. ``result.of_features(result.varying_features)`` leaves them out.

    Attributes
    ----------
    R : numpy.ndarray, shape (1 + n_features, 1 + n_features)
        Upper triangular with diagonal >= 0, of the constant column and the features.
    n_environments : int
        Rows that R was made of.
    labels : tuple
        Names of the features.
    orders : numpy.ndarray of int, shape (n_features,)
        Correlation order of each feature.

    Examples
    --------
    >>> factor = RFactor(3)
    >>> factor.add([[1, 0.0, 2.0], [1, 1.0, 2.0], [1, 2.0, 3.0], [1, 3.0, 3.0]])
    >>> result = Conditioning(factor.R, factor.n_rows, ("f", "g"), np.array([1, 2]))
    >>> result.means, result.correlation().round(3)
    (array([1.5, 2.5]), array([[1.   , 0.894],
           [0.894, 1.   ]]))
    """

    R: np.ndarray
    n_environments: int
    labels: tuple[Any, ...]
    orders: np.ndarray
    scalings: ClassVar[tuple[str, ...]] = SCALINGS

    def __post_init__(self) -> None:
        count("n_environments", self.n_environments)
        n = len(self.labels)
        if np.shape(self.R) != (n + 1, n + 1) or np.shape(self.orders) != (n,):
            raise ValueError(
                f"{n} labels need R of shape {(n + 1, n + 1)} and as many orders; got {np.shape(self.R)} and "
                f"{np.shape(self.orders)}"
            )
        if np.asarray(self.orders).dtype.kind not in "iu":
            raise TypeError(f"orders must be integers; got an array of type {np.asarray(self.orders).dtype}")
        object.__setattr__(self, "R", real_array("R", self.R, (n + 1, n + 1)))
        object.__setattr__(self, "orders", real_array("orders", self.orders, (n,)).astype(np.int64))

    # --- features one by one ------------------------------------------------------------------------------

    @cached_property
    def means(self) -> np.ndarray:
        """Means, shape (n_features,)."""
        return self.R[0, 1:] / np.sqrt(self.n_environments)

    @cached_property
    def standard_deviations(self) -> np.ndarray:
        """Standard deviations √(Σ (f − mean)² / n), shape (n_features,)."""
        return _norms(self.R[1:, 1:]) / np.sqrt(self.n_environments)

    @cached_property
    def constant_features(self) -> np.ndarray:
        """Which features do not vary: standard deviation below 1e-12 of the rms; zero features among them."""
        return np.flatnonzero(self.standard_deviations <= _CONSTANT * self._rms[1:])

    @cached_property
    def varying_features(self) -> np.ndarray:
        """The others: the columns of "standardized"."""
        return np.setdiff1d(np.arange(len(self.labels)), self.constant_features)

    @cached_property
    def _rms(self) -> np.ndarray:
        """Of all columns, the constant first."""
        return _norms(self.R) / np.sqrt(self.n_environments)

    # --- columns ------------------------------------------------------------------------------------------

    def factor(self, scaling: str) -> np.ndarray:
        """Return M with MᵀM = `gram(scaling)`, of as many rows as columns or more.

        A feature that is zero in all environments is a zero column of "raw" and "scaled"; the columns of "standardized"
        are `varying_features`.
        """
        _check_scaling(scaling)
        root = np.sqrt(self.n_environments)
        if scaling == "standardized":
            varying = self.varying_features
            return self.R[1:, 1 + varying] / root / self.standard_deviations[varying]
        scale = 1.0 if scaling == "raw" else np.where(self._rms > 0, self._rms, 1.0)
        return self.R / root / scale

    def gram(self, scaling: str) -> np.ndarray:
        """Return the Gram matrix of the columns, divided by the number of environments.

        Parameters
        ----------
        scaling : {"raw", "scaled", "standardized"}

        Returns
        -------
        numpy.ndarray, shape (n_columns, n_columns)
            Columns as `factor` has them: the constant and all features, or the features that vary.
        """
        M = self.factor(scaling)
        return M.T @ M

    def correlation(self) -> np.ndarray:
        """Return the correlations of all features, shape (n_features, n_features); zero for constant features."""
        result = np.zeros((len(self.labels),) * 2)
        result[np.ix_(self.varying_features, self.varying_features)] = self.gram("standardized")
        return result

    # --- spectra ------------------------------------------------------------------------------------------

    @cached_property
    def _spectra(self) -> dict[str, np.ndarray]:
        return {}

    def singular_values(self, scaling: str) -> np.ndarray:
        """Return singular values of the columns divided by √n_environments, largest first."""
        _check_scaling(scaling)
        if scaling not in self._spectra:
            values = singular_values(self.factor(scaling))
            # More columns than environments are dependent; rounding hides it.
            values[self._most_independent(scaling) :] = 0.0
            self._spectra[scaling] = values
        return self._spectra[scaling].copy()

    def _most_independent(self, scaling: str) -> int:
        return self.n_environments - (scaling == "standardized")

    def spectrum(self, scaling: str) -> np.ndarray:
        """Return the eigenvalues of the Gram matrix, largest first."""
        with np.errstate(over="ignore", under="ignore"):
            return self.singular_values(scaling) ** 2

    def condition_number(self, scaling: str) -> float:
        """Return the condition number (σ_max / σ_min)² of the Gram matrix.

        Returns
        -------
        float
            Infinite where columns are dependent as far as float64 can tell, see `resolved`, and beyond 1.8e308. 1 if no
            feature varies, for "standardized".
        """
        return self._ratio(scaling) if self.resolved(scaling) else np.inf

    def _ratio(self, scaling: str) -> float:
        columns = len(self.varying_features) if scaling == "standardized" else len(self.R)
        if columns > self._most_independent(scaling):
            return np.inf  # at once: singular values take long
        values = self.singular_values(scaling)
        if not len(values):
            return 1.0
        with np.errstate(over="ignore"):
            return float((values[0] / values[-1]) ** 2) if values[-1] > 0 else np.inf

    def floor(self, scaling: str) -> float:
        """Return the condition number of unit-scaled columns at which rounding of the features hides the truth.

        Features that are right to the rounding unit ε relative to their rms move the singular values of unit-scaled
        columns by n ε σ_max at most, so Gram matrices are known to be regular below 1 / (n ε)². Columns minus their
        mean have errors larger by the largest rms / std. Cancellation inside of features lowers the floor further.
        """
        _check_scaling(scaling)
        error = (1 + len(self.labels)) * _EPS
        varying = self.varying_features
        if scaling == "standardized" and len(varying):
            error *= np.max(self._rms[1 + varying] / self.standard_deviations[varying])
        return float(error**-2)

    def resolved(self, scaling: str) -> bool:
        """Whether the condition number is below the floor; that of "raw" is right if that of "scaled" is."""
        _check_scaling(scaling)
        return self._ratio("scaled" if scaling == "raw" else scaling) < self.floor(scaling)

    def effective_rank(self, scaling: str) -> float:
        """Return exp(−Σ p log p) with p = σ / Σσ: how many directions matter (Roy and Vetterli, EUSIPCO 2007, 606)."""
        values = self.singular_values(scaling)
        p = values[values > 0] / values.sum() if values.any() else np.ones(0)
        return float(np.exp(-np.sum(p * np.log(p)))) if len(p) else 0.0

    def rank(self, scaling: str, tolerance: float | None = None) -> int:
        """Return how many singular values are larger than `tolerance` times the largest.

        Parameters
        ----------
        scaling : {"raw", "scaled", "standardized"}
        tolerance : float, optional
            Default: floor(scaling)^(−1/2), below which rounding hides the truth.
        """
        values = self.singular_values(scaling)
        tolerance = self._tolerance(scaling, tolerance)
        return int(np.count_nonzero(values > tolerance * values.max(initial=0.0)))

    def _tolerance(self, scaling: str, tolerance: float | None) -> float:
        return self.floor(scaling) ** -0.5 if tolerance is None else number("tolerance", tolerance, least=0)

    def null_combinations(self, scaling: str = "standardized", n: int = 3) -> list[NullCombination]:
        """Return the combinations of columns that vary least: the last right singular vectors, the smallest first."""
        n = count("n", n)
        values, vectors = jacobi_svd(self.factor(scaling))
        labels, columns = ("1", *self.labels), np.arange(len(self.R))
        if scaling == "standardized":
            labels, columns = tuple(self.labels), self.varying_features
        result = []
        for k in range(len(values) - 1, max(len(values) - 1 - n, -1), -1):
            coefficients = np.zeros(len(labels))
            coefficients[columns] = vectors[:, k] * np.sign(vectors[np.argmax(np.abs(vectors[:, k])), k])
            result.append(NullCombination(float(values[k]), coefficients, labels))
        return result

    # --- rows and parts -----------------------------------------------------------------------------------

    def leverage(self, features: ArrayLike, tolerance: float | None = None) -> np.ndarray:
        """Return the leverage h = ‖R⁻ᵀ [1, f]‖² of environments: how far they are from the data.

        Over the data themselves h is between 0 and 1 and its sum is the rank, so that its mean is
        rank / n_environments; beyond 1 a linear model extrapolates.

        Parameters
        ----------
        features : array_like of float64, shape (n, n_features)
        tolerance : float, optional
            Directions of the "scaled" columns with singular values below this times the largest count as not seen;
            default as in `rank`.

        Returns
        -------
        numpy.ndarray, shape (n,)
            Infinite for environments that reach, by more than rounding, into directions that the data do not have.
        """
        features = real_array("features", features, (None, len(self.labels)))
        rows = np.column_stack([np.ones(len(features)), features]) / np.where(self._rms > 0, self._rms, 1.0)
        tolerance = self._tolerance("scaled", tolerance)
        values, vectors = jacobi_svd(self.factor("scaled"))
        values[self._most_independent("scaled") :] = 0.0
        seen = values > tolerance * values[0]
        parts = rows @ vectors
        result = np.sum((parts[:, seen] / values[seen]) ** 2, axis=1) / self.n_environments
        # A row of the data has no more than √n σ along a direction of singular value σ.
        most = np.maximum(np.sqrt(self.n_environments) * values[0], np.linalg.norm(rows, axis=1))
        result[(np.abs(parts[:, ~seen]) > tolerance * most[:, None]).any(axis=1)] = np.inf
        return result

    def of_features(self, chosen: Sequence[int] | np.ndarray) -> Conditioning:
        """Return the conditioning of some of the features, by number or mask, as if there were no others."""
        numbers = np.arange(len(self.labels))[chosen]
        columns = self.R[:, np.concatenate([[0], 1 + numbers])]
        factor = RFactor(columns.shape[1])
        factor.add(columns)
        labels = tuple(self.labels[j] for j in numbers)
        return Conditioning(factor.R, self.n_environments, labels, self.orders[numbers])

    def of_order(self, order: int) -> Conditioning:
        """Return the conditioning of the features of one correlation order alone."""
        chosen = np.flatnonzero(self.orders == count("order", order))
        if not len(chosen):
            raise ValueError(f"order must be one of {np.unique(self.orders).tolist()}; got {order!r}")
        return self.of_features(chosen)

    def __str__(self) -> str:
        return conditioning_table(self)


def _check_scaling(scaling: str) -> None:
    if scaling not in SCALINGS:
        raise ValueError(f"scaling must be one of {', '.join(map(repr, SCALINGS))}; got {scaling!r}")


def _norms(columns: np.ndarray) -> np.ndarray:
    """Norms of columns whose squares may not be representable."""
    largest = np.abs(columns).max(axis=0, initial=0.0)
    return largest * np.linalg.norm(columns / np.where(largest > 0, largest, 1.0), axis=0)


_ROW = "{:10}{:>9}{:>10}{:>10}{:>14}{:>16}{:>7}"
# So many features without variance are named.
_NAMED = 5


def conditioning_table(result: Conditioning) -> str:
    """Return condition numbers and ranks, of all features and of each order alone, and what limits them."""
    lines = [
        f"{len(result.labels)} features, {result.n_environments:,} environments",
        "condition numbers of Gram matrices; ranks of standardized features",
        "",
        _ROW.format("", "features", *result.scalings, "effective rank", "rank"),
        _line("all", result),
    ]
    for order in np.unique(result.orders).tolist():
        lines.append(_line(f"ν = {order}", result.of_order(order)))
    notes = _notes(result)
    return "\n".join(lines + [""] * bool(notes) + notes)


def _line(name: str, result: Conditioning) -> str:
    numbers = [f"{result.condition_number(scaling):.1e}" for scaling in result.scalings[:2]]
    if not len(result.varying_features):
        return _ROW.format(name, len(result.labels), *numbers, "-", "-", 0)
    standardized = f"{result.condition_number('standardized'):.1e}"
    ranks = f"{result.effective_rank('standardized'):.1f}", result.rank("standardized")
    return _ROW.format(name, len(result.labels), *numbers, standardized, *ranks)


def _notes(result: Conditioning) -> list[str]:
    notes = []
    constant = result.constant_features
    if len(constant):
        named = ", ".join(f"{j} [{result.labels[j]}]" for j in constant[:_NAMED])
        more = ", ..." if len(constant) > _NAMED else ""
        notes.append(
            f"{len(constant)} without variance, dependent on the constant, left out of standardized: {named}{more}"
        )
    if result.n_environments < len(result.R):
        notes.append(
            f"{result.n_environments:,} environments are fewer than the {len(result.R)} columns, the constant "
            "included: these are dependent, whatever the features"
        )
    elif not all(result.resolved(scaling) for scaling in result.scalings):
        floors = " or ".join(f"{result.floor(scaling):.0e} ({scaling})" for scaling in result.scalings[1:])
        notes.append(f"inf: dependent, or beyond {floors}, where rounding of the features hides the truth")
    return notes
