"""Copper and silver with energies, forces and stresses of ASE's effective medium theory."""

import numpy as np
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator


def emt_structures(n, seed=0, species=("Cu", "Ag")):
    """Rattled and strained fcc cells of 4 atoms, every second one an alloy; labels as `ase.io` reads them."""
    rng = np.random.default_rng(seed)
    structures = []
    for k in range(n):
        atoms = bulk("Cu", cubic=True, a=3.6 + 0.5 * rng.random())
        atoms.symbols = rng.choice(species, len(atoms)) if k % 2 else [species[k // 2 % len(species)]] * len(atoms)
        atoms.positions += 0.1 * rng.standard_normal((len(atoms), 3))
        atoms.calc = EMT()
        results = {
            "energy": atoms.get_potential_energy(),
            "forces": atoms.get_forces(),
            "stress": atoms.get_stress(),
        }
        atoms.calc = SinglePointCalculator(atoms, **results)
        atoms.info["config_type"] = "alloy" if k % 2 else "crystal"
        structures.append(atoms)
    return structures
