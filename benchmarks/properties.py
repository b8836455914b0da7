"""What a fitted potential does: energy conservation at 600 K, elastic constants, equation of state.

Potentials of 299 functions of `fixed_basis.py`, fitted to energies and forces. Elastic constants of the DFT data are
read off the energies of the strained cells of the training set, by least squares in the Lagrange strain; the virials of
these cells contradict the energies for Cu and Ni, see the README of the data.

    python benchmarks/properties.py Cu Si
"""

from __future__ import annotations

import warnings

import numpy as np
from ase import units
from ase.build import bulk
from ase.eos import EquationOfState
from ase.filters import FrechetCellFilter
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from common import machine, parser, read
from fixed_basis import DEGREES, fixed_basis

from acepure import LinearACE

LATTICE = {"Cu": ("fcc", 3.62), "Ni": ("fcc", 3.52), "Si": ("diamond", 5.47)}


def fitted(element):
    frames = read(f"zuo2020/{element}_train")
    basis = fixed_basis(frames, DEGREES["299"])
    weights = (30.0, 1.0, 1.0)
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
    """Lattice constant (Å), bulk modulus, C11, C12, C44 with atoms that move with the cell, and C44 relaxed (GPa)."""
    structure, a = LATTICE[element]
    atoms = bulk(element, structure, a=a, cubic=True)
    atoms.calc = model.calculator()
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-6, steps=200)
    cell = atoms.cell.array.copy()

    def stress(component, size, relaxed=False):
        strain = np.zeros((3, 3))
        i, j = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))[component]
        strain[i, j] = strain[j, i] = size if i == j else size / 2
        strained = atoms.copy()
        strained.set_cell(cell @ (np.eye(3) + strain), scale_atoms=True)
        strained.calc = model.calculator()
        if relaxed:  # inner displacements of Si
            BFGS(strained, logfile=None).run(fmax=1e-6, steps=200)
        return strained.get_stress()

    h = 2e-3
    first, shear = ((stress(c, h) - stress(c, -h)) / (2 * h) / units.GPa for c in (0, 3))
    relaxed = (stress(3, h, True) - stress(3, -h, True)) / (2 * h) / units.GPa
    volumes, energies = [], []
    for scale in np.linspace(0.97, 1.03, 9):
        scaled = atoms.copy()
        scaled.set_cell(cell * scale, scale_atoms=True)
        scaled.calc = model.calculator()
        volumes.append(scaled.get_volume())
        energies.append(scaled.get_potential_energy())
    bulk_modulus = EquationOfState(volumes, energies, "birchmurnaghan").fit()[2] / units.GPa
    return float(np.cbrt(abs(np.linalg.det(cell)))), bulk_modulus, first[0], first[1], shear[3], relaxed[3]


def elastic_of_energies(strained, energies):
    """C11 and C44 (GPa) of energies of strained cells: E/V = s + Σ σ η + ½ Σ C η η + ..., η the Lagrange strain.

    The cells are strained along one axis or in one plane at a time, which says nothing of C12; strains reach 0.1, so
    that there are terms of third and fourth order.
    """
    mean = np.mean([a.cell.array for a in strained], axis=0)
    rows = []
    for atoms in strained:
        F = np.linalg.solve(mean, atoms.cell.array)  # rows are cell vectors: r -> r F
        e = 0.5 * (F @ F.T - np.eye(3))
        d, shear = np.diag(e), np.array([e[1, 2], e[0, 2], e[0, 1]])
        squares = [0.5 * np.sum(d**2), 2.0 * np.sum(shear**2)]
        rows.append([1.0, *d, *shear, *squares, np.sum(d**3), np.sum(d**4)])
    values = np.array(energies) / abs(np.linalg.det(mean)) / units.GPa
    solution = np.linalg.lstsq(np.array(rows), values, rcond=None)[0]
    left = np.std(values - np.array(rows) @ solution)
    return solution[7:9], left, len(rows)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("elements", nargs="*", default=["Cu", "Si"])
    warnings.simplefilter("ignore")
    chosen = arguments.parse_args().elements
    print(machine(2))
    for element in chosen:
        frames, model = fitted(element)
        a, B, c11, c12, c44, relaxed = elastic(model, element)
        print(f"\n{element}: a = {a:.4f} Å, B = {B:.1f} GPa (equation of state), {(c11 + 2 * c12) / 3:.1f} (from C)")
        print(f"    C11 {c11:.1f}, C12 {c12:.1f}, C44 {c44:.1f} GPa, {relaxed:.1f} relaxed")
        strained = [atoms for atoms in frames if atoms.info.get("config_type") == "Elastic"]
        sources = {
            "data": [atoms.info["REF_energy"] for atoms in strained],
            "model": [model.evaluate(atoms).energy for atoms in strained],
        }
        for source, energies in sources.items():
            (s11, s44), left, n = elastic_of_energies(strained, energies)
            print(f"    strained cells, {source:5s} C11 {s11:.1f}, C44 {s44:.1f} GPa ({n} cells, {left:.4f} GPa left)")
        slope, spread, temperature = conservation(model, element)
        print(f"    NVE, 10 ps, 2 fs, {temperature:.0f} K: drift {slope:.1e} meV/atom/ps, spread {spread:.1e} meV/atom")


if __name__ == "__main__":
    main()
