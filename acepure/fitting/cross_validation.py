"""Cross-validation: which basis, cutoff or regularization predicts structures it has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from tqdm import tqdm

from acepure._utils.checks import count
from acepure._utils.workers import Workers
from acepure.features.basis import ACEBasis
from acepure.fitting.errors import Errors, Predictions
from acepure.fitting.fit import labeled_data
from acepure.fitting.labeled import LabeledData
from acepure.fitting.labels import text_table
from acepure.models.linear import LinearACE


@dataclass(frozen=True, eq=False, repr=False)
class CrossValidation:
    """Errors on structures that were left out; printed, a table.

    Attributes
    ----------
    errors : dict of str to Errors
        For each candidate, over all folds together.
    n_features : dict of str to int
    """

    errors: dict[str, Errors]
    n_features: dict[str, int]

    def table(self) -> str:
        """Errors of each candidate, with units."""
        header = ["candidate", "features", "energy RMSE", "MAE (meV/atom)", "forces RMSE", "MAE (eV/Å)"]
        rows = []
        for name, errors in self.errors.items():
            cells = [name, str(self.n_features[name])]
            for quantity, factor in (("energy", 1e3), ("forces", 1.0)):
                found = errors.all(quantity)
                cells += ["–", "–"] if found is None else [f"{factor * found.rmse:.4g}", f"{factor * found.mae:.4g}"]
            rows.append(cells)
        return text_table([header, *rows])

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return f"CrossValidation({', '.join(self.errors)})"


def cross_validate(
    structures: Sequence[Atoms] | LabeledData,
    candidates: ACEBasis | Mapping[str, ACEBasis | tuple[ACEBasis, Mapping[str, Any]]],
    *,
    folds: int = 5,
    seed: int = 0,
    workers: Workers = 1,
    num_threads: int | None = None,
    progress: bool | None = None,
    **arguments: Any,
) -> CrossValidation:
    """Fit to all folds but one and predict that one, for each in turn.

    Parameters
    ----------
    structures : sequence of ase.Atoms, or LabeledData
    candidates : ACEBasis, or mapping of names to ACEBasis or (ACEBasis, arguments)
        What to compare: bases, or a basis with arguments of `LinearACE.fit` of its own.
    folds : int
        At least 2. Every config_type is spread over the folds at random.
    seed : int
    workers : int or dask.distributed.Client
        As for `LinearACE.fit`.
    num_threads, progress
        As elsewhere.
    **arguments
        Of `LinearACE.fit`, for all candidates; label keys too.

    Returns
    -------
    CrossValidation

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> from acepure import ACEBasis
    >>> from acepure.fitting.cross_validation import cross_validate
    >>> structures = [bulk("Cu", cubic=True) * 2 for _ in range(6)]
    >>> for seed, atoms in enumerate(structures):
    ...     atoms.rattle(0.1, seed=seed)
    ...     atoms.calc = EMT()
    ...     forces = atoms.get_forces()
    >>> bases = {f"degree {d}": ACEBasis(["Cu"], order=2, totaldegree=d) for d in (2, 4)}
    >>> result = cross_validate(structures, bases, folds=3)
    >>> list(result.errors)
    ['degree 2', 'degree 4']
    """
    keys = {name: arguments.pop(name) for name in list(arguments) if name.endswith("_key") or name == "prefix"}
    labeled = labeled_data(structures, **keys)
    if not isinstance(labeled, LabeledData):
        raise TypeError(f"structures must be a sequence to be divided into folds; got {type(structures).__name__}")
    if isinstance(candidates, ACEBasis):
        candidates = {"basis": candidates}
    chosen = {name: c if isinstance(c, tuple) else (c, {}) for name, c in candidates.items()}
    fold_of = _folds(labeled, count("folds", folds, least=2), seed)
    steps = [(name, fold) for name in chosen for fold in range(folds)]
    collected: dict[str, list[Errors]] = {name: [] for name in chosen}
    given: dict[str, Any] = {"workers": workers, "num_threads": num_threads, "progress": False}
    for name, fold in tqdm(steps, desc="folds", unit="fit", disable=None if progress is None else not progress):
        basis, own = chosen[name]
        train, test = (_subset(labeled, np.flatnonzero(mask)) for mask in (fold_of != fold, fold_of == fold))
        options = {"check": False, "uncertainty": False, **arguments, **own}
        model = LinearACE.fit(train, basis, **given, verbose=False, **options)
        collected[name].append(model.errors(test, **given))
    return CrossValidation(
        {name: _together(parts) for name, parts in collected.items()},
        {name: len(basis) for name, (basis, _) in chosen.items()},
    )


def _folds(labeled: LabeledData, folds: int, seed: int) -> np.ndarray:
    """The fold of each structure: as many of each config_type in every fold as can be."""
    if len(labeled) < folds:
        raise ValueError(f"folds must be at most the number of structures, {len(labeled)}; got {folds}")
    rng = np.random.default_rng(seed)
    types = np.array([item.config_type for item in labeled])
    order = np.concatenate([rng.permutation(np.flatnonzero(types == name)) for name in sorted(set(types))])
    result = np.empty(len(labeled), dtype=np.int64)
    result[order] = np.arange(len(labeled)) % folds
    return result


def _subset(labeled: LabeledData, indices: np.ndarray) -> LabeledData:
    return LabeledData(tuple(labeled[int(i)] for i in indices), labeled.keys)


def _together(parts: Sequence[Errors]) -> Errors:
    """The predictions of all folds, per group and quantity."""
    groups: dict[str, dict[str, list[Predictions]]] = {}
    for errors in parts:
        for name, quantities in errors.groups.items():
            for quantity, found in quantities.items():
                groups.setdefault(name, {}).setdefault(quantity, []).append(found)
    return Errors({name: {q: Predictions.joined(p) for q, p in found.items()} for name, found in groups.items()})
