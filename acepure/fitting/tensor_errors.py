"""Errors of vectors and tensors on labeled structures, per group, irrep and Cartesian component."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Protocol

import numpy as np
from ase import Atoms

from acepure._utils.workers import Workers, naming_structure
from acepure.fitting.errors import Predictions, collect_predictions, of_all
from acepure.fitting.labels import text_table
from acepure.fitting.tensor_labels import LabeledTensor, components_of
from acepure.functions.cartesian import cartesian_shape, to_cartesian


class Model(Protocol):
    """What is needed of a model here."""

    def components(self, atoms: Atoms, *, num_threads: int | None = None) -> np.ndarray: ...
    def derivative_components(self, atoms: Atoms, *, num_threads: int | None = None) -> np.ndarray: ...


@dataclass(frozen=True, eq=False, repr=False)
class TensorErrors:
    """Predictions by group; printed, a table of errors.

    Attributes
    ----------
    rank : str
    unit : str
        Of the target; empty if it is not known.
    groups : dict
        config_type → {"values" | "derivatives": Predictions} of arrays of shape (n, n_components), all irreps.
    """

    rank: str
    unit: str
    groups: dict[str, dict[str, Predictions]]

    def all(self, quantity: str = "values") -> Predictions | None:
        """Return the predictions of all groups together; None where there are no labels."""
        return of_all(self.groups, quantity)

    def of_irrep(self, irrep: str, quantity: str = "values", group: str | None = None) -> Predictions:
        """Return the components of one irrep, shape (n, 2L + 1), of one group or of all."""
        found = self.all(quantity) if group is None else self.groups[group][quantity]
        if found is None:
            raise ValueError(f"there are no labels of {quantity}")
        columns = components_of(self.rank)[irrep]
        return Predictions(found.true[:, columns], found.predicted[:, columns])

    @property
    def rmse(self) -> dict[str, float]:
        """Irrep → root mean square error of a component, in units of the target."""
        return {irrep: self.of_irrep(irrep).rmse for irrep in components_of(self.rank)}

    @property
    def spread(self) -> dict[str, float]:
        """Irrep → root mean square deviation of a component from its mean over the labels."""
        return {irrep: _spread(self.of_irrep(irrep)) for irrep in components_of(self.rank)}

    @property
    def relative(self) -> dict[str, float]:
        """Irrep → errors over spreads; NaN where there is no spread."""
        return {irrep: relative_error(self.of_irrep(irrep)) for irrep in components_of(self.rank)}

    def table(self) -> str:
        """Errors of each group by irrep and by Cartesian component; of derivatives, by irrep."""
        unit = f" ({self.unit})" if self.unit else ""
        rows = [["component", f"RMSE{unit}", "MAE", "RMSE of the norm", "spread", "RMSE/spread"]]
        for name in self.groups:
            title = f"{name}: " if len(self.groups) > 1 else ""
            for quantity in self.groups[name]:
                words = title + ("" if quantity == "values" else "derivatives, per Å, ")
                rows += [
                    [f"{words}{irrep}", *_cells(self.of_irrep(irrep, quantity, name))]
                    for irrep in components_of(self.rank)
                ]
                if quantity == "values" and cartesian_shape(self.rank):
                    rows += [
                        [f"{title}{axes}", *_cells(found)]
                        for axes, found in self._cartesian(self.groups[name][quantity])
                    ]
        return text_table(rows)

    def _cartesian(self, found: Predictions) -> Iterator[tuple[str, Predictions]]:
        """Each Cartesian component; of matrices that are symmetric up to sign, the upper half."""
        shape = cartesian_shape(self.rank)
        true, predicted = (to_cartesian(values, self.rank) for values in (found.true, found.predicted))
        for axes in product(range(3), repeat=len(shape)):
            if self.rank != "matrix" and list(axes) != sorted(axes):
                continue
            if self.rank == "antisymmetric" and axes[0] == axes[1]:
                continue
            where = (..., *axes, None)
            yield "".join("xyz"[a] for a in axes), Predictions(true[where], predicted[where])

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return f"TensorErrors({self.rank}, {', '.join(self.groups)})"


def _spread(found: Predictions) -> float:
    return float(np.sqrt(np.mean(found.true.var(axis=0))))


def relative_error(found: Predictions) -> float:
    """The root mean square error over the spread of the labels; NaN without spread."""
    spread = _spread(found)
    return found.rmse / spread if spread else float("nan")


def _cells(found: Predictions) -> list[str]:
    norm = float(np.sqrt(np.mean(np.sum((found.predicted - found.true) ** 2, axis=1))))
    relative = relative_error(found)
    numbers = [f"{x:.4g}" for x in (found.rmse, found.mae, norm, _spread(found))]
    return [*numbers, "–" if np.isnan(relative) else f"{relative:.3%}"]


def evaluate_tensor_errors(
    model: Model,
    labeled: Collection[LabeledTensor],
    rank: str,
    unit: str = "",
    *,
    workers: Workers = 1,
    num_threads: int | None = None,
    progress: bool | None = None,
) -> TensorErrors:
    """Compare a model with labels.

    Parameters
    ----------
    model : TensorModel
    labeled : TensorSet
        Gone through once.
    rank, unit : str
        Of the target.
    workers, num_threads, progress
        As for `evaluate_errors`.
    """
    compare = partial(_compared_batch, model)
    return TensorErrors(rank, unit, collect_predictions(compare, labeled, workers, num_threads, progress))


def _compared_batch(
    model: Model, batch: Sequence[tuple[int, LabeledTensor]], num_threads: int | None = None
) -> list[tuple[str, str, np.ndarray, np.ndarray]]:
    """Each (config_type, quantity, label, prediction) of some structures, which come with their numbers."""
    found = []
    for number, item in batch:
        with naming_structure(number):
            if item.values is not None:
                values = model.components(item.atoms, num_threads=num_threads)
                values = values if len(item.values) == len(values) else values.sum(axis=0, keepdims=True)
                found.append((item.config_type, "values", item.values, values))
            if item.derivatives is not None:
                moved = model.derivative_components(item.atoms, num_threads=num_threads)
                true, moved = (x.reshape(-1, x.shape[-1]) for x in (item.derivatives, moved))
                found.append((item.config_type, "derivatives", true, moved))
    return found
