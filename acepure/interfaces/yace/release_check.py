"""Whether a written file gives the energies and forces of the model: random clusters, dimers, single atoms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii

from acepure.features.basis import ACEBasis
from acepure.features.linear import EnergyAndForces
from acepure.interfaces.yace.evaluator import YaceContent, evaluate_content

_ATOMS = 24
_DIMERS = 8
# Atoms are as far apart as this part of the sum of their covalent radii, and as dense as an fcc crystal made so.
_NEAREST = 0.75
_SPACE = 1.3
_TRIALS = 2000


@dataclass(frozen=True)
class Difference:
    """How far a file is from the model.

    Attributes
    ----------
    energy : float
        Largest error of the energy of an atom, relative to |E_i − E0| or 1 eV, whichever is larger.
    force : float
        Largest error of the force on an atom, relative to |F_i| or 1 eV/Å, whichever is larger.
    n_atoms : int
        In how many environments.
    """

    energy: float
    force: float
    n_atoms: int

    @property
    def largest(self) -> float:
        return max(self.energy, self.force)


def compare(content: YaceContent, model: Callable[[Atoms], EnergyAndForces], structures: Sequence[Atoms]) -> Difference:
    """Evaluate structures with a file and with the model that it was written from."""
    errors = np.zeros(2)
    for atoms in structures:
        given, wanted = evaluate_content(content, atoms), model(atoms)
        free = content.E0[[content.elements.index(s) for s in atoms.symbols]]
        energies = abs(given.energies - wanted.energies) / np.maximum(abs(wanted.energies - free), 1.0)
        lengths = np.linalg.norm(wanted.forces, axis=1)
        forces = np.linalg.norm(given.forces - wanted.forces, axis=1) / np.maximum(lengths, 1.0)
        errors = np.maximum(errors, [energies.max(), forces.max()])
    return Difference(float(errors[0]), float(errors[1]), sum(map(len, structures)))


def trial_structures(basis: ACEBasis, seed: int = 0) -> list[Atoms]:
    """Return single atoms and dimers of all species, and random clusters; none is periodic.

    Parameters
    ----------
    basis : ACEBasis
    seed : int
    """
    rng, species = np.random.default_rng(seed), list(basis.species)
    structures = [Atoms(s) for s in species]
    for a, b in combinations_with_replacement(species, 2):
        rcut = max(basis.radial.cutoff(a, b), basis.radial.cutoff(b, a))
        r = np.linspace(_nearest(a, b, basis.rcut), rcut * 0.99, _DIMERS)
        far = 3 * basis.rcut * np.arange(_DIMERS)
        positions = [(x, 0.0, z) for x, d in zip(far, r) for z in (0.0, d)]
        structures.append(Atoms([a, b] * _DIMERS, positions))
    structures += [_cluster(species, basis.rcut, rng) for _ in range(2 + (len(species) > 1))]
    return structures


def _nearest(a: str, b: str, rcut: float) -> float:
    return min(_NEAREST * sum(covalent_radii[atomic_numbers[s]] for s in (a, b)), 0.6 * rcut)


def _cluster(species: list[str], rcut: float, rng: np.random.Generator) -> Atoms:
    """Atoms at random places in a ball, not closer than `_nearest`; fewer where they do not fit."""
    symbols = [str(s) for s in rng.choice(species, _ATOMS)]
    mean = np.mean([_nearest(a, b, rcut) / _NEAREST for a in symbols for b in symbols])
    radius = (_ATOMS * _SPACE * mean**3 / np.sqrt(2) * 3 / (4 * np.pi)) ** (1 / 3)
    placed: list[np.ndarray] = []
    for _ in range(_TRIALS):
        if len(placed) == _ATOMS:
            break
        point = radius * rng.random() ** (1 / 3) * _direction(rng)
        others = zip(placed, symbols)
        if all(np.linalg.norm(point - q) > _nearest(symbols[len(placed)], s, rcut) for q, s in others):
            placed.append(point)
    return Atoms(symbols[: len(placed)], placed)


def _direction(rng: np.random.Generator) -> np.ndarray:
    v = rng.standard_normal(3)
    return v / np.linalg.norm(v)
