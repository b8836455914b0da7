"""What a fitted potential does: energy conservation at 600 K, elastic constants, equation of state.

Potentials of 299 functions, fitted as `accuracy.py` does (energies and forces). Elastic constants of the DFT data are
read off the energies of the strained cells of the training set, by least squares in the Lagrange strain; the virials of
these cells contradict the energies for Cu and Ni, see the README of the data.

    python benchmarks/properties.py Cu Si
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
from accuracy import DEGREES, RECIPE, basis_of
from ase import units
from ase.build import bulk
from ase.eos import EquationOfState
from ase.filters import FrechetCellFilter
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from common import machine, read

from acepure import LinearACE

LATTICE = {"Cu": ("fcc", 3.62), "Ni": ("fcc", 3.52), "Si": ("diamond", 5.47)}


def fitted(element):
    frames = read(f"zuo2020/{element}_train")
    basis = basis_of(element, frames, DEGREES["299"], "centered", RECIPE)
    weights = (RECIPE["energy"], 1.0, 1.0)
    arguments = {"virial_key": False, "check": False, "verbose": False, "uncertainty": False}
    return frames, LinearACE.fit(frames, basis, reference=None, weights=weights, **arguments)


def conservation(model, element):
    """Drift and fluctuation of the energy over 10 ps at 600 K, meV/atom."""
    structure, a = LATTICE[element]
    atoms = bulk(element, structure, a=a, cubic=True) * ((3, 3, 3) if structure == "fcc" else (2, 2, 2))
    MaxwellBoltzmannDistribution(atoms, temperature_K=1200, rng=np.random.default_rng(0))  # half goes to the potential
    atoms.calc = model.calculator()
    dynamics = VelocityVerlet(atoms, 2 * units.fs)
    energies, temperatures = [], []
    for _ in range(100):
        dynamics.run(50)
        energies.append(atoms.get_total_energy() / len(atoms))
        temperatures.append(atoms.get_temperature())
    t = np.linspace(0, 10, len(energies))
    slope = np.polyfit(t, energies, 1)[0]
    return 1e3 * slope, 1e3 * np.std(energies), np.mean(temperatures[20:])


def elastic(model, element):
    """Lattice constant (Å), bulk modulus and C11, C12, C44 (GPa) by stresses of small strains."""
    structure, a = LATTICE[element]
    atoms = bulk(element, structure, a=a, cubic=True)
    atoms.calc = model.calculator()
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-6, steps=200)
    cell = atoms.cell.array.copy()

    def stress(component, size):
        strain = np.zeros((3, 3))
        i, j = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))[component]
        strain[i, j] = strain[j, i] = size if i == j else size / 2
        strained = atoms.copy()
        strained.set_cell(cell @ (np.eye(3) + strain), scale_atoms=True)
        strained.calc = model.calculator()
        BFGS(strained, logfile=None).run(fmax=1e-6, steps=200)  # inner displacements of Si
        return strained.get_stress()

    h = 2e-3
    first, shear = ((stress(c, h) - stress(c, -h)) / (2 * h) / units.GPa for c in (0, 3))
    volumes, energies = [], []
    for scale in np.linspace(0.97, 1.03, 9):
        scaled = atoms.copy()
        scaled.set_cell(cell * scale, scale_atoms=True)
        scaled.calc = model.calculator()
        volumes.append(scaled.get_volume())
        energies.append(scaled.get_potential_energy())
    bulk_modulus = EquationOfState(volumes, energies, "birchmurnaghan").fit()[2] / units.GPa
    return float(np.cbrt(abs(np.linalg.det(cell)))), bulk_modulus, first[0], first[1], shear[3]


def elastic_of_data(frames):
    """C11, C12, C44 (GPa) of the energies of strained cells: E/V = s + Σ σ η + ½ Σ C η η, η the Lagrange strain."""
    strained = [a for a in frames if a.info.get("config_type") == "Elastic"]
    sizes = [len(a) for a in strained]
    strained = [a for a in strained if len(a) == max(set(sizes), key=sizes.count)]
    mean = np.mean([a.cell.array for a in strained], axis=0)
    V0 = abs(np.linalg.det(mean))
    rows, values = [], []
    for atoms in strained:
        F = np.linalg.solve(mean, atoms.cell.array)  # rows are cell vectors: r -> r F
        e = 0.5 * (F @ F.T - np.eye(3))
        diagonal, shear = np.diag(e), (e[1, 2], e[0, 2], e[0, 1])
        squares = 0.5 * np.sum(diagonal**2)
        mixed = diagonal[0] * diagonal[1] + diagonal[1] * diagonal[2] + diagonal[0] * diagonal[2]
        rows.append([1.0, *diagonal, *shear, squares, mixed, 2.0 * np.sum(np.square(shear))])
        values.append(atoms.info["REF_energy"] / V0 / units.GPa)
    solution, _, rank, _ = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)
    residual = np.std(np.array(values) - np.array(rows) @ solution)
    return solution[7:], residual, len(strained), rank


def main() -> None:
    warnings.simplefilter("ignore")
    print(machine(2))
    for element in sys.argv[1:] or ["Cu", "Si"]:
        frames, model = fitted(element)
        a, B, c11, c12, c44 = elastic(model, element)
        print(f"\n{element}: a = {a:.4f} Å, B = {B:.1f} GPa (equation of state), {(c11 + 2 * c12) / 3:.1f} (from C)")
        print(f"    model C11 {c11:.1f}, C12 {c12:.1f}, C44 {c44:.1f} GPa")
        (d11, d12, d44), left, n, rank = elastic_of_data(frames)
        print(
            f"    data  C11 {d11:.1f}, C12 {d12:.1f}, C44 {d44:.1f} GPa ({n} cells, rank {rank}, {left:.4f} GPa left)"
        )
        slope, spread, temperature = conservation(model, element)
        print(f"    NVE, 10 ps, 2 fs, {temperature:.0f} K: drift {slope:.1e} meV/atom/ps, spread {spread:.1e} meV/atom")


if __name__ == "__main__":
    main()
