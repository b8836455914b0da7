"""Monte Carlo moves between steps of dynamics: two atoms exchange their places, the cell changes its shape.

Both are accepted with probability min(1, e^x), so that the distribution of positions is that of the potential at a
temperature (and a pressure), with momenta left alone:

    swap    x = −ΔE / kT
    cell    x = −(ΔE + P ΔV) / kT + (N + 1) ln(V'/V)

The cell moves as h' = h exp(ε), with ε symmetric and as likely as −ε; atoms move with it. N ln V is the volume of
their positions. The other ln V is there since such steps are even in the invariant measure dh / V³, while the ensemble
of all shapes has dh / V² (G. J. Martyna, D. J. Tobias, M. L. Klein, J. Chem. Phys. 101, 4177 (1994)).
"""

from __future__ import annotations

import numpy as np
from ase import Atoms, units
from scipy.linalg import expm


def swap(atoms: Atoms, temperature: float, rng: np.random.Generator) -> bool:
    """Let two atoms of different species exchange their positions, or not; return whether they did.

    Positions move, not species: integrators hold masses of atoms, and momenta stay those of their atoms.

    Parameters
    ----------
    atoms : ase.Atoms
        With a calculator; changed in place.
    temperature : float
        K.
    rng : numpy.random.Generator
    """
    first = int(rng.integers(len(atoms)))
    others = np.flatnonzero(atoms.numbers != atoms.numbers[first])
    if not len(others):
        return False
    second = int(rng.choice(others))
    before, positions = atoms.get_potential_energy(), atoms.positions.copy()
    atoms.positions[[first, second]] = positions[[second, first]]
    if _accepted(-(atoms.get_potential_energy() - before) / (units.kB * temperature), rng):
        return True
    atoms.positions = positions
    return False


def move_cell(atoms: Atoms, temperature: float, pressure: float, size: float, rng: np.random.Generator) -> bool:
    """Strain the cell with its atoms, or not; return whether it was strained.

    Parameters
    ----------
    atoms : ase.Atoms
        Periodic along three axes, with a calculator; changed in place.
    temperature : float
        K.
    pressure : float
        eV/Å³.
    size : float
        Standard deviation of the components of ε on the diagonal.
    rng : numpy.random.Generator
    """
    noise = size * rng.standard_normal((3, 3))
    strain = (noise + noise.T) / 2
    before, cell, positions = atoms.get_potential_energy(), atoms.cell.array.copy(), atoms.positions.copy()
    volume = atoms.get_volume()
    deformation = expm(strain)
    atoms.set_cell(cell @ deformation)
    atoms.positions = positions @ deformation
    work = atoms.get_potential_energy() - before + pressure * (atoms.get_volume() - volume)
    exponent = -work / (units.kB * temperature) + (len(atoms) + 1) * float(np.trace(strain))
    if _accepted(exponent, rng):
        return True
    atoms.set_cell(cell)
    atoms.positions = positions
    return False


def _accepted(exponent: float, rng: np.random.Generator) -> bool:
    return bool(np.log1p(-rng.random()) < exponent)  # NaN compares false
