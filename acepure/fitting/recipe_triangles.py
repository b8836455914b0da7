"""Rows of a fit by fold and kind of label, each reduced to a few rows: what cross-validation needs, once for all.

With R_fk the R factor of the rows of fold f and kind k (energies, forces, virials), weights w_k and coefficients θ,

    Σ of weighted squares      Σ_fk w_k² |R_fk (θ; −1)|²
    left out, fold f           Σ_k  w_k² |R_fk (θ_f; −1)|²,     θ_f from all other folds,

exactly: the weights, the prior and the choice of columns come after the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from acepure._utils.checks import count
from acepure._utils.workers import (
    Workers,
    batched,
    checked_workers,
    kernel_threads,
    naming_structure,
    structure_bar,
    tree_reduce,
)
from acepure.fitting.design import Design, Triangle
from acepure.fitting.labeled import LabeledSet
from acepure.fitting.labels import LabeledStructure

#: Kinds of labels, in the order of the rows of a structure.
KINDS = ("energy", "forces", "virial")
# Rows of a batch in numbers of columns, and rows at which a block is reduced, likewise.
_ROWS_PER_COLUMN = 8
_MOST_ROWS = 2
# Of energy rows so many numbers are kept as they are, for mean absolute errors; of more, every second, third, ... row.
_MOST_KEPT = 2**25


@dataclass(frozen=True, eq=False)
class FoldTriangles:
    """Reduced rows of each fold and kind.

    Attributes
    ----------
    blocks : dict of (int, str) to numpy.ndarray, shape (any, n_columns + 1)
        R of the rows of a fold and a kind, right-hand side last; not weighted.
    n_rows : dict of (int, str) to int
        How many rows there were.
    energies : numpy.ndarray, shape (n_kept, n_columns + 1)
        Rows of energies per atom, as they are.
    energy_folds : numpy.ndarray of int, shape (n_kept,)
    folds : int
    """

    blocks: Mapping[tuple[int, str], np.ndarray] = field(repr=False)
    n_rows: Mapping[tuple[int, str], int]
    energies: np.ndarray = field(repr=False)
    energy_folds: np.ndarray = field(repr=False)
    folds: int

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all of it as arrays by name, for files."""
        blocks = {f"block {k:04d} {fold} {kind}": R for k, ((fold, kind), R) in enumerate(self.blocks.items())}
        counts = np.array([self.n_rows[key] for key in self.blocks], dtype=np.int64)
        own = {"energies": self.energies, "energy_folds": self.energy_folds, "n_rows": counts}
        return {**blocks, **own, "folds": np.array([self.folds])}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> FoldTriangles:
        """Return the inverse of `arrays`."""
        names = sorted(name for name in arrays if name.startswith("block "))
        keys = [(int(name.split()[2]), name.split()[3]) for name in names]
        return cls(
            {key: arrays[name] for key, name in zip(keys, names, strict=True)},
            dict(zip(keys, arrays["n_rows"].tolist(), strict=True)),
            arrays["energies"],
            arrays["energy_folds"],
            int(arrays["folds"][0]),
        )

    def columns(self, chosen: np.ndarray) -> FoldTriangles:
        """Return the same for some of the columns; the right-hand side stays."""
        kept = np.append(chosen, -1)
        blocks = {key: block[:, kept] for key, block in self.blocks.items()}
        return FoldTriangles(blocks, self.n_rows, self.energies[:, kept], self.energy_folds, self.folds)

    def weighted(self, weights: Sequence[float]) -> Triangle:
        """Return the R factor of all rows with weights (w_E, w_F, w_V)."""
        factor = dict(zip(KINDS, weights))
        used = [key for key in sorted(self.blocks) if factor[key[1]] > 0]
        if not used:
            raise ValueError("no structure has a label with a weight > 0; there is nothing to fit")
        stacked = np.vstack([factor[kind] * self.blocks[fold, kind] for fold, kind in used])
        return Triangle(triangle_of(stacked), sum(self.n_rows[key] for key in used))


def triangle_of(rows: np.ndarray) -> np.ndarray:
    """Return R, square, of rows; diagonal ≥ 0."""
    n = rows.shape[1]
    R = np.zeros((n, n))
    found = np.linalg.qr(rows, mode="r")
    R[: len(found)] = found
    R[np.diag(R) < 0] *= -1.0
    return R


def interleaved_folds(config_types: Sequence[str], folds: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide structures into folds, those of each group in turn.

    Parameters
    ----------
    config_types : sequence of str
        Group of each structure.
    folds : int
        K ≥ 2.

    Returns
    -------
    fold : numpy.ndarray of int, shape (n_structures,)
        (number within its group + number of its group) mod K, so that small groups do not all meet in one fold.
    turn : numpy.ndarray of int, shape (n_structures,)
        How many structures of its group came before it in its fold.

    Examples
    --------
    >>> interleaved_folds(["a", "a", "b", "a"], 2)
    (array([0, 1, 1, 0]), array([0, 0, 0, 1]))
    """
    folds = count("folds", folds, least=2)
    seen: dict[str, int] = {}
    numbers = {name: k for k, name in enumerate(dict.fromkeys(config_types))}
    result = np.empty((2, len(config_types)), dtype=np.int64)
    for k, name in enumerate(config_types):
        within = seen.get(name, 0)
        result[:, k] = (within + numbers[name]) % folds, within // folds
        seen[name] = within + 1
    return result[0], result[1]


def _turns(groups: Sequence[str], fold: np.ndarray) -> np.ndarray:
    """How many structures of its group came before each in its fold."""
    seen: dict[tuple[str, int], int] = {}
    turns = []
    for key in zip(groups, fold.tolist(), strict=True):
        turns.append(seen.get(key, 0))
        seen[key] = turns[-1] + 1
    return np.array(turns, dtype=np.int64)


class _Part:
    """Reduced rows of some structures; parts are merged in the order of the structures."""

    def __init__(self, n_columns: int) -> None:
        self.n_columns = n_columns
        self.blocks: dict[tuple[int, str], list[np.ndarray]] = {}
        self.n_rows: dict[tuple[int, str], int] = {}
        self.energies: list[np.ndarray] = []
        self.energy_folds: list[int] = []

    def add(self, key: tuple[int, str], rows: np.ndarray, n_rows: int) -> None:
        held = self.blocks.setdefault(key, [])
        held.append(rows)
        self.n_rows[key] = self.n_rows.get(key, 0) + n_rows
        if sum(map(len, held)) > _MOST_ROWS * self.n_columns:
            self.blocks[key] = [np.asarray(np.linalg.qr(np.vstack(held), mode="r"))]

    def merge(self, other: _Part) -> None:
        for key, held in other.blocks.items():
            self.add(key, np.vstack(held), other.n_rows[key])
        self.energies += other.energies
        self.energy_folds += other.energy_folds


def assemble_folds(
    design: Design,
    labeled: LabeledSet,
    folds: int | np.ndarray = 5,
    *,
    thinning: int = 1,
    workers: Workers = 1,
    num_threads: int | None = None,
    progress: bool | None = None,
) -> FoldTriangles:
    """Reduce the rows of all structures by fold and kind of label.

    Parameters
    ----------
    design : Design
        Its weights stand for relative weights of groups; those of kinds come later.
    labeled : LabeledSet
    folds : int or numpy.ndarray of int
        K ≥ 2, see `interleaved_folds`; or the fold of each structure.
    thinning : int
        Forces and virials of every first, second, ... structure of each group and fold; energies of all.
    workers : int or dask.distributed.Client
        As in `acepure._utils.workers.tree_reduce`; the result does not depend on them.
    num_threads : int, optional
    progress : bool, optional

    Returns
    -------
    FoldTriangles
    """
    workers = checked_workers(workers)
    groups = [item.config_type for item in labeled]
    fold, turn = interleaved_folds(groups, folds) if isinstance(folds, int) else (folds, _turns(groups, folds))
    full = turn % count("thinning", thinning) == 0
    every = -(-len(labeled) * (design.n_columns + 1) // _MOST_KEPT)
    reduce = partial(_reduced, design, fold, full, every, num_threads=kernel_threads(workers, num_threads))
    batches = batched(labeled, design.n_rows, _ROWS_PER_COLUMN * design.n_columns)
    with structure_bar("fit rows", labeled, progress) as bar:
        total = tree_reduce(reduce, _Part.merge, batches, workers, bar=bar)
    if total is None or not total.n_rows:
        raise ValueError("no structure has a label with a weight > 0; there is nothing to fit")
    blocks = {key: np.ascontiguousarray(np.vstack(held)) for key, held in total.blocks.items()}
    energies = np.array(total.energies).reshape(-1, design.n_columns + 1)
    n_folds = folds if isinstance(folds, int) else int(folds.max()) + 1
    return FoldTriangles(blocks, total.n_rows, energies, np.array(total.energy_folds, dtype=np.int64), n_folds)


def _reduced(
    design: Design,
    fold: np.ndarray,
    full: np.ndarray,
    every: int,
    batch: Sequence[tuple[int, LabeledStructure]],
    num_threads: int | None = None,
) -> _Part:
    """The rows of some structures, which come with their numbers."""
    part = _Part(design.n_columns + 1)
    for number, item in batch:
        if not full[number]:
            item = LabeledStructure(item.atoms, item.energy, config_type=item.config_type)
        with naming_structure(number):
            rows = design.rows(item, num_threads)
        counts = design.rows_by_kind(item)
        edges = np.cumsum([0, *counts])
        for kind, start, stop in zip(KINDS, edges, edges[1:]):
            if stop > start:
                part.add((int(fold[number]), kind), rows[start:stop], int(stop - start))
        if counts[0] and number % every == 0:
            n_atoms = len(item.atoms)
            factor = design.weights.row_factors(item.config_type, n_atoms).energy
            part.energies.append(rows[0] / (factor * n_atoms))
            part.energy_folds.append(int(fold[number]))
    return part
