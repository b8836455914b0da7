"""What a fit leads to: time per atom, measured, and errors on its structures."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from itertools import islice
from time import perf_counter
from typing import Any, Protocol

from acepure.fitting.errors import Errors, Potential
from acepure.fitting.labeled import LabeledSet
from acepure.fitting.labels import LabeledStructure

_log = logging.getLogger(__name__)

# The largest of the first structures is evaluated so often.
_LOOKED_AT, _REPEATS = 100, 3


class _Model(Potential, Protocol):
    def errors(self, structures: LabeledSet, **work: Any) -> Errors: ...


def measure_cost(potential: Potential, labeled: Iterable[LabeledStructure]) -> float:
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


def log_result(model: _Model, labeled: LabeledSet, **work: Any) -> None:
    """Log the time per atom and the errors on the structures of a fit, if anybody listens."""
    if _log.isEnabledFor(logging.INFO):
        _log.info(f"cost: {measure_cost(model, labeled):.3g} µs per atom for energy and forces, on one thread\n")
        _log.info(f"errors on the structures of the fit\n{model.errors(labeled, **work)}")
