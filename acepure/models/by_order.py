"""The body orders of a potential: E0, pair term with its core, three-body term, ..."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from ase import Atoms

from acepure.features.basis import ACEBasis
from acepure.features.body_orders import body_order_functions
from acepure.features.environments import Environments
from acepure.features.linear import EnergyAndForces
from acepure.models.repulsion import PairCore

__all__: list[str] = []


class Potential(Protocol):
    """What is asked of a `LinearACE`."""

    basis: ACEBasis
    coefficients: np.ndarray
    core: PairCore | None

    @property
    def E0s(self) -> Mapping[str, float]: ...


class TermsByOrder:
    """Evaluates the terms of a potential; the functions of each order are built once."""

    def __init__(self, model: Potential) -> None:
        self._model = model
        self._functions = body_order_functions(model.basis, model.coefficients)

    def __call__(self, atoms: Atoms, num_threads: int | None) -> list[EnergyAndForces]:
        """Return E0 and the terms of order 1, 2, ..., with one neighbor list for all."""
        model = self._model
        environments = Environments(model.basis, atoms, num_threads=num_threads)
        _ = environments.neighbors  # one list for all that follows
        core = None if model.core is None else model.core.evaluate_environments(environments, model.basis.species)
        E0s = np.array([model.E0s[symbol] for symbol in atoms.symbols])
        terms = [function.evaluate_environments(environments) for function in self._functions]
        if core is not None:
            pair = terms[0]
            terms[0] = EnergyAndForces(
                pair.energies + core.energies, pair.forces + core.forces, pair.virial + core.virial
            )
        return [EnergyAndForces(E0s, np.zeros((len(atoms), 3)), np.zeros((3, 3))), *terms]
