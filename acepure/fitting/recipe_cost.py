"""What a potential costs: time per atom, measured."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from time import perf_counter
from typing import Protocol

from ase import Atoms

from acepure.features.linear import EnergyAndForces
from acepure.fitting.labels import LabeledStructure

__all__ = ["measure_cost"]

# The largest of the first structures is evaluated so often.
_LOOKED_AT, _REPEATS = 100, 3


class _Potential(Protocol):
    def evaluate(self, atoms: Atoms, *, num_threads: int | None = None) -> EnergyAndForces: ...


def measure_cost(potential: _Potential, labeled: Iterable[LabeledStructure]) -> float:
    """Return the time of energy, forces and neighbor list in µs per atom, on one thread: the shortest of three.

    The structure is the largest of the first hundred.
    """
    atoms = max((item.atoms for item in islice(labeled, _LOOKED_AT)), key=len)
    times = []
    for _ in range(_REPEATS):
        start = perf_counter()
        potential.evaluate(atoms, num_threads=1)
        times.append(perf_counter() - start)
    return 1e6 * min(times) / len(atoms)
