"""Structures with labels from a known linear model, for tests of fits."""

import numpy as np
from ase import Atoms
from ase.build import bulk

from acepure import LinearFunction
from acepure.fitting import label_structures

E0S = {"Cu": -3.5, "Zr": -8.0}


def strained_crystals(species, n, seed=0):
    """Rattled and strained fcc cells of 8 atoms, and an isolated atom of each species."""
    rng = np.random.default_rng(seed)
    structures = [Atoms(symbol) for symbol in species]
    for k in range(n):
        atoms = bulk("Cu", cubic=True, a=3.6 + 0.3 * rng.random()) * (2, 1, 1)
        atoms.symbols[rng.random(len(atoms)) < (0.5 if "Zr" in species else 0.0)] = "Zr"
        atoms.rattle(0.2, seed=seed + k)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.05 * rng.standard_normal((3, 3))), scale_atoms=True)
        structures.append(atoms)
    return structures


def labeled_by(function, structures, virials=True, noise=0.0, core=None):
    """Write energies, forces and virials of a linear function (and a core) into the structures."""
    rng = np.random.default_rng(1)
    for atoms in structures:
        result = function.evaluate_with_gradients(atoms)
        energy, forces, virial = result.energy, result.forces, result.virial
        if core is not None:
            extra = core.energy_and_forces(atoms, function.basis.neighbor_list(atoms))
            energy, forces, virial = energy + extra.energy, forces + extra.forces, virial + extra.virial
        atoms.info["REF_energy"] = energy + sum(E0S[s] for s in atoms.symbols) + noise * rng.standard_normal()
        atoms.arrays["REF_forces"] = forces + noise * rng.standard_normal(forces.shape)
        if virials and atoms.pbc.all():
            atoms.info["REF_virial"] = virial
    return label_structures(structures)


def known_model(basis, seed=0):
    """A linear function with random weights of unit size."""
    return LinearFunction(basis, np.random.default_rng(seed).standard_normal((len(basis.species), len(basis))))
