"""Errors of a potential on labeled structures, per group, with units."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, Protocol

import numpy as np
from ase import Atoms
from ase.units import GPa

from acepure._utils.workers import (
    Workers,
    batched,
    checked_workers,
    kernel_threads,
    naming_structure,
    ordered_map,
    structure_bar,
)
from acepure.features.linear import EnergyAndForces
from acepure.fitting.labeled import LabeledSet
from acepure.fitting.labels import LabeledStructure, name_of_all, text_table

_QUANTITIES = ("energy", "forces", "virial", "stress")
# Off-diagonal components of the upper triangle xx, xy, xz, yy, yz, zz.
_SHEAR = (1, 2, 4)
# Labels that differ by less than this share of the largest are equal.
_FLAT = 1e-10
# Atoms of a batch, so that there is more work in it than in sending it.
_ATOMS = 2000
_UNITS = {"energy": ("meV/atom", 1e3), "forces": ("eV/Å", 1.0), "virial": ("meV/atom", 1e3), "stress": ("GPa", 1 / GPa)}


class Potential(Protocol):
    """What is needed of a potential here."""

    def evaluate(self, atoms: Atoms, *, num_threads: int | None = None) -> EnergyAndForces: ...


@dataclass(frozen=True, eq=False)
class Predictions:
    """Labels and predictions of one quantity of one group.

    Attributes
    ----------
    true, predicted : numpy.ndarray, shape (n,)
        Energies per atom in eV, components of forces in eV/Å, of virials per atom in eV, of stresses in eV/Å³.
    """

    true: np.ndarray
    predicted: np.ndarray

    @property
    def rmse(self) -> float:
        """Root mean square error."""
        return float(np.sqrt(np.mean((self.predicted - self.true) ** 2)))

    @property
    def mae(self) -> float:
        """Mean absolute error."""
        return float(np.mean(np.abs(self.predicted - self.true)))

    @property
    def relative(self) -> float:
        """RMSE by the standard deviation of the labels: 1 is no better than their mean; NaN if they are all equal."""
        spread = float(self.true.std())
        return self.rmse / spread if spread > _FLAT * np.abs(self.true).max(initial=0.0) else float("nan")

    @property
    def slope(self) -> float:
        """Slope of predictions against labels by least squares with a constant, 1 at best; NaN if all are equal."""
        deviations = self.true - self.true.mean()
        if not np.abs(deviations).max() > _FLAT * np.abs(self.true).max():
            return float("nan")
        return float(deviations @ self.predicted / (deviations @ deviations))

    @classmethod
    def joined(cls, parts: Sequence[Predictions]) -> Predictions:
        """One after the other."""
        return cls(np.concatenate([p.true for p in parts]), np.concatenate([p.predicted for p in parts]))

    def components(self, columns: Sequence[int], n: int) -> Predictions:
        """Return some of the n components that repeat, such as the off-diagonal ones of tensors."""
        return Predictions(*(values.reshape(-1, n)[:, columns].ravel() for values in (self.true, self.predicted)))


def of_all(groups: Mapping[str, Mapping[str, Predictions]], quantity: str) -> Predictions | None:
    """Return the predictions of one quantity of all groups together; None if there are none."""
    parts = [group[quantity] for group in groups.values() if quantity in group]
    return Predictions.joined(parts) if parts else None


@dataclass(frozen=True, eq=False, repr=False)
class Errors:
    """Predictions by group and quantity; printed, a table of RMSE and MAE.

    Attributes
    ----------
    groups : dict
        config_type → {"energy" | "forces" | "virial" | "stress": Predictions}.
    """

    groups: dict[str, dict[str, Predictions]]

    def all(self, quantity: str) -> Predictions | None:
        """Return the predictions of all groups together; None where there are no labels."""
        return of_all(self.groups, quantity)

    def table(self) -> str:
        """RMSE and MAE of each group and of all, with units."""
        together = {q: found for q in _QUANTITIES if (found := self.all(q)) is not None}
        shown = list(together)
        header = ["config_type"]
        for quantity in shown:
            header += [f"{quantity} RMSE", f"MAE ({_UNITS[quantity][0]})"]
        rows = [[name, *_cells(group, shown)] for name, group in self.groups.items()]
        if len(self.groups) > 1:
            rows.append([name_of_all(self.groups), *_cells(together, shown)])
        return text_table([header, *rows])

    def relative_table(self) -> str:
        """RMSE by the spread of the labels of each group, and slopes of predictions against labels.

        A slope below 1 is a response that is too weak: of shear stresses, elastic constants that are too small, which
        an error in GPa does not show.
        """
        header = ["config_type", "energy RMSE/spread", "forces RMSE/spread", "slope", "stress RMSE/spread", "slope"]
        rows = [[*header, "shear slope"]]
        for name, group in self.groups.items():
            cells = [_number(group.get("energy"), "relative")]
            for quantity in ("forces", "stress"):
                cells += [_number(group.get(quantity), "relative"), _number(group.get(quantity), "slope")]
            shear = group["stress"].components(_SHEAR, 6) if "stress" in group else None
            rows.append([name, *cells, _number(shear, "slope")])
        return text_table(rows)

    def __str__(self) -> str:
        return f"{self.table()}\n\n{self.relative_table()}"

    def __repr__(self) -> str:
        return f"Errors({', '.join(self.groups)})"


def _number(predictions: Predictions | None, name: str) -> str:
    value = float("nan") if predictions is None else getattr(predictions, name)
    return "–" if np.isnan(value) else f"{value:.3g}"


def _cells(group: dict[str, Predictions], quantities: Sequence[str]) -> list[str]:
    cells = []
    for quantity in quantities:
        if quantity not in group:
            cells += ["–", "–"]
            continue
        factor = _UNITS[quantity][1]
        cells += [f"{factor * group[quantity].rmse:.4g}", f"{factor * group[quantity].mae:.4g}"]
    return cells


def evaluate_errors(
    potential: Potential | Sequence[Potential],
    labeled: Collection[LabeledStructure] | LabeledSet,
    *,
    fold: np.ndarray | None = None,
    workers: Workers = 1,
    num_threads: int | None = None,
    progress: bool | None = None,
) -> Errors:
    """Compare a potential with labels.

    Parameters
    ----------
    potential : object with evaluate(atoms), or sequence of them
        For example `LinearACE`.
    labeled : collection of LabeledStructure
        Gone through once.
    fold : numpy.ndarray of int, shape (n_structures,), optional
        Which of several potentials is for which structure: the one that was fitted without it.
    workers : int or dask.distributed.Client
        As in `acepure._utils.workers.ordered_map`; the result does not depend on them.
    num_threads : int, optional
        Threads of the kernels in this process; workers take one each.
    progress : bool, optional
    """
    potentials = potential if isinstance(potential, Sequence) else [potential]
    compare = partial(_compared_batch, potentials, fold)
    return Errors(collect_predictions(compare, labeled, workers, num_threads, progress))


def collect_predictions(
    compare: Callable[..., list[tuple[str, str, np.ndarray, np.ndarray]]],
    labeled: Collection[Any] | LabeledSet,
    workers: Workers,
    num_threads: int | None,
    progress: bool | None,
) -> dict[str, dict[str, Predictions]]:
    """Return predictions by config_type and quantity.

    Parameters
    ----------
    compare : callable
        Takes a batch of numbered structures and `num_threads`; returns (config_type, quantity, labels, predictions).
    labeled, workers, num_threads, progress
        As `evaluate_errors`.
    """
    workers = checked_workers(workers)
    compare = partial(compare, num_threads=kernel_threads(workers, num_threads))
    batches = batched(labeled, lambda item: len(item.atoms), _ATOMS)
    collected: dict[str, dict[str, tuple[list[np.ndarray], list[np.ndarray]]]] = {}
    bar = structure_bar("errors", labeled, progress)
    with bar, closing(ordered_map(compare, batches, workers, bar=bar)) as parts:
        for config_type, quantity, true, predicted in chain.from_iterable(parts):
            lists = collected.setdefault(config_type, {}).setdefault(quantity, ([], []))
            lists[0].append(true)
            lists[1].append(predicted)
    return {
        name: {q: Predictions(np.concatenate(true), np.concatenate(found)) for q, (true, found) in group.items()}
        for name, group in sorted(collected.items())
    }


def _compared_batch(
    potentials: Sequence[Potential],
    fold: np.ndarray | None,
    batch: Sequence[tuple[int, LabeledStructure]],
    num_threads: int | None = None,
) -> list[tuple[str, str, np.ndarray, np.ndarray]]:
    """Each (config_type, quantity, label, prediction) of some structures, which come with their numbers."""
    found = []
    for number, item in batch:
        with naming_structure(number):
            potential = potentials[0 if fold is None else fold[number]]
            result = potential.evaluate(item.atoms, num_threads=num_threads)
        found += [(item.config_type, *compared) for compared in _compared(item, result)]
    return found


def _compared(item: LabeledStructure, result: EnergyAndForces) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield (quantity, label, prediction), flat."""
    n = len(item.atoms)
    if item.energy is not None:
        yield "energy", np.array([item.energy / n]), np.array([result.energy / n])
    if item.forces is not None:
        yield "forces", item.forces.ravel(), result.forces.ravel()
    if item.virial is not None:
        true, found = (tensor[np.triu_indices(3)] for tensor in (item.virial, result.virial))
        yield "virial", true / n, found / n
        volume = item.atoms.get_volume()
        yield "stress", -true / volume, -found / volume
