"""Rows of a fit of one irrep of a vector or tensor.

    structure      Σ_i B_i^{LM}                 = T^{LM}               times w / √N
    atom           B_i^{LM}                     = T_i^{LM}             times w
    derivatives    Σ_i ∂B_i^{LM}/∂r_kb          = ∂T^{LM}/∂r_kb        times w'

with columns by species of center. The components M are rows of equal weight, so that the fit is the same in every
orientation. Scalars have a constant for each species before the features, the best one on the composition being taken
off first; other irreps have none, as nothing but a scalar is constant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms

from acepure._utils.checks import number
from acepure.features.basis import ACEBasis, evaluate_features
from acepure.features.derivatives import sum_gradients
from acepure.fitting.system import Constants
from acepure.fitting.tensor_labels import LabeledTensor, Target, components_of
from acepure.fitting.weights import refuse_unknown
from acepure.neighbors.environments import Environments

#: w and w' of groups that no weights are given for.
DEFAULT = (1.0, 1.0)


def resolve_target_weights(weights: Any, config_types: Iterable[str]) -> dict[str, tuple[float, float]]:
    """Return (w, w') of values and derivatives of each group.

    Parameters
    ----------
    weights : optional
        None for (1, 1); one number, for values and derivatives alike; two; or a mapping of groups to these, in which
        "default" is for groups that are not named.
    config_types : iterable of str
        Groups of the data.

    Raises
    ------
    TypeError, ValueError
        For weights that are negative, not finite, all zero, or of groups that the data do not have.

    Examples
    --------
    >>> resolve_target_weights({"dimer": 2, "default": (1, 0.1)}, ["monomer", "dimer"])
    {'monomer': (1.0, 0.1), 'dimer': (2.0, 2.0)}
    """
    groups = dict(weights) if isinstance(weights, Mapping) else {"default": weights}
    known = dict.fromkeys(config_types)
    refuse_unknown((name for name in groups if name != "default"), known)
    result = {name: _pair(f"weights[{name!r}]", groups.get(name, groups.get("default"))) for name in known}
    if not any(any(pair) for pair in result.values()):
        raise ValueError("weights are all 0; at least one must be > 0")
    return result


def _pair(name: str, value: Any) -> tuple[float, float]:
    if value is None:
        return DEFAULT
    several = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    several = several * 2 if len(several) == 1 else several
    if len(several) != 2:
        raise ValueError(f"{name} must be one number, or two for values and derivatives; got {value!r}")
    first, second = (number(name, w, least=0) for w in several)
    return first, second


@dataclass(frozen=True)
class TensorDesign:
    """What the rows of one irrep are made of.

    Parameters
    ----------
    basis : ACEBasis
        Of this irrep.
    target : Target
    weights : mapping
        config_type → (w, w').
    offsets : numpy.ndarray, shape (n_species,)
        What is taken off the labels of scalars for each atom.
    """

    basis: ACEBasis
    target: Target
    weights: Mapping[str, tuple[float, float]]
    offsets: np.ndarray = field(repr=False)

    @property
    def constants(self) -> Constants:
        """Whether species have constants beside their features."""
        return "free" if self.basis.irrep == "0e" else "none"

    @property
    def n_constants(self) -> int:
        """Columns before the features of each species."""
        return int(self.constants == "free")

    @property
    def n_columns(self) -> int:
        """Coefficients of all species."""
        return len(self.basis.species) * (self.n_constants + len(self.basis))

    def factors(self, item: LabeledTensor) -> tuple[float, float]:
        """Return what the rows of values and of derivatives are multiplied by; 0 where there are none."""
        values, derivatives = self.weights[item.config_type]
        scale = len(item.atoms) ** -0.5 if self.target.per == "structure" else 1.0
        return (0.0 if item.values is None else values * scale, 0.0 if item.derivatives is None else derivatives)

    def n_rows(self, item: LabeledTensor) -> int:
        """Number of rows of a structure."""
        values, derivatives = self.factors(item)
        n_values = 0 if item.values is None or not values else len(item.values)
        return (2 * self.basis.L + 1) * (n_values + 3 * len(item.atoms) * bool(derivatives))

    def rows(self, item: LabeledTensor, num_threads: int | None = None) -> np.ndarray:
        """Return the weighted rows of a structure, right-hand side last, shape (n_rows, n_columns + 1).

        Rows are by atom (or one for the structure) and M, then by atom, direction and M.
        """
        column = components_of(self.target.rank)[self.basis.irrep]
        of_values, of_derivatives = self.factors(item)
        environments = Environments(self.basis, item.atoms, num_threads=num_threads)
        parts = [np.empty((0, self.n_columns + 1))]
        if of_values and item.values is not None:
            right = item.values[:, column] - self._counts(item.atoms) @ self.offsets[:, None]
            parts.append(of_values * np.hstack([self.value_rows(environments), right.reshape(-1, 1)]))
        if of_derivatives and item.derivatives is not None:
            right = item.derivatives[..., column].reshape(-1, 1)
            parts.append(of_derivatives * np.hstack([self._derivative_rows(environments), right]))
        return np.concatenate(parts)

    def value_rows(self, environments: Environments) -> np.ndarray:
        """Return the rows of values without weights, shape (n (2L + 1), n_columns)."""
        basis, n = self.basis, self.n_constants
        features = evaluate_features(basis, environments).reshape(environments.n_centers, len(basis), 2 * basis.L + 1)
        columns = np.concatenate([np.ones((len(features), n, features.shape[2])), features], axis=1)
        by_species = np.zeros((len(features), len(basis.species), *columns.shape[1:]))
        by_species[np.arange(len(features)), environments.center_species] = columns
        if self.target.per == "structure":
            by_species = by_species.sum(axis=0, keepdims=True)
        return np.moveaxis(by_species, 3, 1).reshape(-1, self.n_columns)

    def _derivative_rows(self, environments: Environments) -> np.ndarray:
        basis = self.basis
        gradients = sum_gradients(basis, environments).positions
        gradients = gradients.reshape(len(basis.species), -1, len(basis), 2 * basis.L + 1)
        rows = np.zeros((gradients.shape[1], gradients.shape[3], len(basis.species), self.n_constants + len(basis)))
        rows[..., self.n_constants :] = np.transpose(gradients, (1, 3, 0, 2))
        return rows.reshape(-1, self.n_columns)

    def _counts(self, atoms: Atoms) -> np.ndarray:
        """Atoms of each species, shape (n, n_species)."""
        kinds = self.basis.species_indices(atoms)[:, None] == np.arange(len(self.basis.species))
        counts = kinds.astype(float)
        return counts if self.target.per == "atom" else counts.sum(axis=0, keepdims=True)
