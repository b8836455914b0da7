"""What is met in the structures of a fit: distances of pairs, and which species are around an atom, in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from ase import Atoms

from acepure._utils.workers import Workers, batched, naming_structure, structure_bar, tree_reduce
from acepure.features.basis import ACEBasis
from acepure.models.coverage import Surroundings, kinds_around, shortest_pairs
from acepure.neighbors.environments import Environments
from acepure.references.density import ATOMS, Histogram


class Met:
    """What is met within the cutoffs of a basis, in some structures.

    Attributes
    ----------
    shortest : dict
        Shortest distance of each ordered pair of species, in Å.
    surroundings : Surroundings
        Which species are around one atom.
    histogram : Histogram or None
        Distances; None where cutoffs differ, for then one list does not hold all that the largest one reaches.
    """

    def __init__(self, basis: ACEBasis) -> None:
        self._basis = basis
        self.shortest: dict[tuple[str, str], float] = {}
        self.surroundings = Surroundings()
        self.histogram = None if np.ptp(basis.cutoffs) else Histogram(basis.rcut)

    def add(self, atoms: Atoms) -> None:
        """Take what is in a structure."""
        environments = Environments(self._basis, atoms)
        neighbors, species = environments.neighbors, environments.species
        self._take(shortest_pairs(self._basis, species, neighbors))
        for center, kinds, _ in kinds_around(self._basis, species, neighbors):
            self.surroundings.add(center, kinds)
        if self.histogram is not None:
            self.histogram.count(atoms, neighbors)

    def merge(self, other: Met) -> None:
        """Take what others have met."""
        self._take(other.shortest)
        self.surroundings = self.surroundings.joined(other.surroundings)
        if self.histogram is not None and other.histogram is not None:
            self.histogram.merge(other.histogram)

    def _take(self, distances: Mapping[tuple[str, str], float]) -> None:
        for pair, r in distances.items():
            self.shortest[pair] = min(self.shortest.get(pair, np.inf), r)


def what_was_met(basis: ACEBasis, labeled: Iterable[Any], workers: Workers = 1, progress: bool | None = False) -> Met:
    """Return what is met in all structures, in one pass."""
    batches = batched(labeled, lambda item: len(item.atoms), ATOMS)
    with structure_bar("distances", labeled, progress) as bar:
        return tree_reduce(partial(_met, basis), Met.merge, batches, workers, bar=bar) or Met(basis)


def _met(basis: ACEBasis, batch: Sequence[tuple[int, Any]]) -> Met:
    """What is met in some structures, which come with their numbers."""
    met = Met(basis)
    for k, item in batch:
        with naming_structure(k):
            met.add(item.atoms)
    return met
