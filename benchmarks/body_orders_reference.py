"""Energies and forces of argon and silicon by tblite: clusters of one to five atoms, crystals, and parts of crystals
by orders.

    pip install tblite
    python benchmarks/body_orders_reference.py            # minutes; writes benchmarks/body_orders_*

GFN2-xTB has a three-body dispersion term. The electrons of silicon are at 5000 K, which makes energies of broken bonds
smooth. The results are kept beside this file for `body_orders.py`, which needs no tblite.
"""

from __future__ import annotations

import json
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import CalculationFailed
from ase.calculators.singlepoint import SinglePointCalculator
from body_orders import CRYSTALS, cutout
from scipy.spatial.distance import pdist
from tblite.ase import TBLite

from acepure.diagnostics import energies_by_clusters

HERE = Path(__file__).parent
# Symbol: method, electronic temperature (K), shortest and longest distance of dimers (Å).
SYSTEMS = {
    "Ar": ("GFN2-xTB", 300.0, 3.0, 8.0),
    "Si": ("GFN2-xTB", 5000.0, 1.9, 5.5),
}
DIMERS, CLUSTERS = 40, {3: 80, 4: 80, 5: 40}
# Only Γ is sampled, so that cells must be large: 64 atoms of silicon take half a minute each, and not all converge.
NUMBER_OF_CRYSTALS = {"Ar": 24, "Si": 10}
LARGEST_ORDER = 5


def random_cluster(symbol: str, n: int, shortest: float, longest: float, rng: np.random.Generator) -> Atoms:
    """Atoms in a box, no two nearer than a distance, and two of them not much farther."""
    while True:
        positions = rng.uniform(0, 1, (n, 3)) * longest * rng.uniform(0.5, 1.0)
        if shortest < pdist(positions).min() and pdist(positions).min() < 1.6 * shortest:
            return Atoms([symbol] * n, positions)


def crystal(symbol: str, structure: str, a: float, rng: np.random.Generator) -> Atoms:
    """Eight cubic cells of some volume, strained and rattled."""
    atoms = bulk(symbol, structure, a=a * rng.uniform(0.96, 1.05), cubic=True) * 2
    strain = np.eye(3) + rng.normal(scale=0.015, size=(3, 3))
    atoms.set_cell(atoms.cell @ (strain + strain.T) / 2, scale_atoms=True)
    atoms.positions += rng.normal(scale=rng.choice([0.02, 0.1, 0.15]), size=(len(atoms), 3))
    return atoms


def calculator_of(symbol: str) -> TBLite:
    method, temperature = SYSTEMS[symbol][:2]
    return TBLite(method=method, electronic_temperature=temperature, verbosity=0)


def clusters_of(symbol: str) -> list[Atoms]:
    """One atom, dimers at all distances, and random clusters."""
    _, _, shortest, longest = SYSTEMS[symbol]
    rng, pairs = np.random.default_rng(2026), np.linspace(shortest, longest, DIMERS)
    structures = [Atoms(symbol), *(Atoms([symbol] * 2, [[0, 0, 0], [0, 0, r]]) for r in pairs)]
    for n, number in CLUSTERS.items():
        structures += [random_cluster(symbol, n, shortest, longest, rng) for _ in range(number)]
    return structures


def crystals_of(symbol: str) -> list[Atoms]:
    """Crystals of several volumes and temperatures."""
    rng = np.random.default_rng(2026)
    return [crystal(symbol, *CRYSTALS[symbol], rng) for _ in range(NUMBER_OF_CRYSTALS[symbol])]


def labeled(symbol: str, structures: list[Atoms]) -> list[Atoms]:
    """Compute energies and forces; structures of which the electrons do not converge are left out."""
    calculator, kept = calculator_of(symbol), []
    for atoms in structures:
        atoms.positions = atoms.positions.round(3)
        atoms.cell[:] = atoms.cell[:].round(3)
        atoms.calc = calculator
        try:
            energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        except CalculationFailed:
            calculator = calculator_of(symbol)  # the next structure must not start from these electrons
            continue
        kept.append(atoms)
        atoms.info["config_type"] = "crystal" if atoms.pbc.any() else f"cluster {len(atoms)}"
        atoms.calc = SinglePointCalculator(atoms, energy=round(energy, 6), forces=forces.round(4))
    print(f"{symbol}: {len(kept)} structures, {len(structures) - len(kept)} left out that did not converge", flush=True)
    return kept


def orders_of_cutout(symbol: str) -> dict[str, object]:
    """Energies of the body orders of a part of a crystal, by explicit clusters."""
    method, temperature = SYSTEMS[symbol][:2]
    atoms, calculator = cutout(symbol), calculator_of(symbol)
    energies = energies_by_clusters(calculator, atoms, LARGEST_ORDER, progress=False)
    atoms.calc = calculator
    return {
        "method": f"{method}, electrons at {temperature:g} K",
        "n_atoms": len(atoms),
        "energies": energies.round(6).tolist(),
        "energy": round(float(atoms.get_potential_energy()), 6),
    }


def main() -> None:
    """Compute everything and write it down."""
    for symbol in SYSTEMS:
        kept = labeled(symbol, [*clusters_of(symbol), *crystals_of(symbol)])
        ase.io.write(HERE / f"body_orders_{symbol}.extxyz.xz", kept)
    orders = {symbol: orders_of_cutout(symbol) for symbol in SYSTEMS}
    (HERE / "body_orders_cutouts.json").write_text(json.dumps(orders, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
