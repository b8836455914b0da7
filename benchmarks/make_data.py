"""The data sets in acepure/data, by density functional theory: GPAW with plane waves and the functional PBE.

    pip install "gpaw<26" gpaw-data                       # after libxc of the distribution; FFTW makes it faster
    python benchmarks/make_data.py silicon cache          # minutes; what is in the folder cache is not computed again
    python benchmarks/make_data.py silicon cache --write  # acepure/data/silicon.extxyz.xz, of what the folder holds
    python benchmarks/make_data.py silicon --converged    # the table in docs/data.md

Every structure is made from random numbers of its own, so that the sets can grow at their end. Positions are rounded
before they are computed. Energies are free energies, of which the forces are derivatives. Every fourth structure of a
group, from the third on, has split=test in its info, the others split=train.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.build import add_vacuum, bulk, diamond100, diamond111, fcc100, fcc111, hcp0001
from ase.calculators.singlepoint import SinglePointCalculator
from ase.geometry import get_distances
from ase.units import GPa

from acepure._utils.files import atomic_write

DATA = Path(__file__).parents[1] / "acepure" / "data"
CUTOFF = 250.0  # eV
#: Smearing (eV); how many Å the mesh of k-points spans along each axis that repeats; PAW data that are not the default.
SETTINGS: dict[str, dict[str, Any]] = {
    "silicon": {"width": 0.1, "span": 12.6, "setups": {}},
    "aluminum-magnesium": {"width": 0.3, "span": 30.0, "setups": {"Mg": "2"}},
}
Random = np.random.Generator
FCC = (np.ones((3, 3)) - np.eye(3)) / 2


# --- structures ---------------------------------------------------------------------------------------------------


def strained(atoms: Atoms, rng: Random, strain: float, rattle: float) -> Atoms:
    """Symmetric random strain, and random displacements."""
    noise = rng.normal(scale=strain, size=(3, 3))
    atoms.set_cell(atoms.cell @ (np.eye(3) + (noise + noise.T) / 2), scale_atoms=True)
    atoms.positions += rng.normal(scale=rattle, size=(len(atoms), 3))
    return atoms


def disordered(symbols: list[str], volume: float, shortest: float, rng: Random) -> Atoms:
    """Atoms at random places of an FCC-like cell, pushed apart until none are nearer than `shortest`."""
    atoms = Atoms(symbols, cell=FCC * (4 * volume * len(symbols)) ** (1 / 3), pbc=True)
    atoms.set_scaled_positions(rng.random((len(atoms), 3)))
    images = np.array(np.meshgrid(*[(-1, 0, 1)] * 3)).reshape(3, -1).T @ atoms.cell
    for _ in range(10_000):
        vectors, lengths = get_distances(atoms.positions, (atoms.positions[:, None] + images).reshape(-1, 3))
        lengths = np.where(lengths < 1e-9, np.inf, lengths)
        if lengths.min() > shortest:
            return atoms
        push = np.clip(1.02 * shortest - lengths, 0, None) / lengths
        atoms.positions -= 0.25 * (push[..., None] * vectors).sum(axis=1)
    raise RuntimeError(f"{len(symbols)} atoms do not fit into {volume} Å³ each")


def vacuum_slab(atoms: Atoms, thickness: float, rng: Random, rattle: float) -> Atoms:
    """A slab with empty space, periodic as plane waves are."""
    add_vacuum(atoms, thickness)
    atoms.pbc = True
    atoms.positions += rng.normal(scale=rattle, size=(len(atoms), 3))
    return atoms


def silicon(rng: Random) -> dict[str, Callable[[int], Atoms]]:
    """The groups of silicon: number of the structure → structure."""
    a = 5.475

    def phase(k: int) -> Atoms:
        scale = (1.0, 0.97, 1.05)[k // 5 % 3]
        kind = ("beta-tin", "hexagonal", "sc", "bcc", "fcc")[k % 5]
        if kind == "beta-tin":
            cell = [[-2.4, 2.4, 1.32], [2.4, -2.4, 1.32], [2.4, 2.4, -1.32]]
            return Atoms("Si2", scaled_positions=[[0, 0, 0], [0.75, 0.25, 0.5]], cell=scale * np.array(cell), pbc=True)
        if kind == "hexagonal":
            cell = [[2.65, 0, 0], [-1.325, 2.295, 0], [0, 0, 2.50]]
            return Atoms("Si", cell=scale * np.array(cell), pbc=True)
        return bulk("Si", kind, a=scale * {"sc": 2.54, "bcc": 3.09, "fcc": 3.89}[kind])

    def vacancy(k: int) -> Atoms:
        atoms = bulk("Si", a=a) * 2
        del atoms[0]
        return strained(atoms, rng, 0.01 * (k > 0), 0.08 * (k > 0))

    def surface(k: int) -> Atoms:
        layer = (diamond111, diamond100)[k % 2]
        slab = layer("Si", (1, 1, 6), a=a, periodic=True, vacuum=None)
        if layer is diamond111:  # cut between double layers, where one bond is broken and not three
            slab.positions[np.argmin(slab.positions[:, 2])] += slab.cell[2]
        return vacuum_slab(slab, 6.5, rng, 0.0 if k < 2 else 0.1)

    return {
        "isolated": lambda k: Atoms("Si", positions=[[0, 0, 0]], cell=[8.0, 8.3, 8.6], pbc=True),
        "crystal": lambda k: strained(
            bulk("Si", a=a * (1, 0.96, 1.04, 0.98, 1.02)[k % 5]), rng, 0.0 if k < 5 else 0.02, 0.0 if k < 5 else 0.05
        ),
        "rattled": lambda k: strained(
            bulk("Si", a=a * rng.uniform(0.98, 1.02)) * (2, 2, 1), rng, 0.01, (0.05, 0.1, 0.15, 0.2, 0.25)[k % 5]
        ),
        "vacancy": vacancy,
        "surface": surface,
        "disordered": lambda k: disordered(["Si"] * 6, rng.uniform(15, 22), rng.uniform(2.1, 2.35), rng),
        "phases": phase,
    }


def aluminum_magnesium(rng: Random) -> dict[str, Callable[[int], Atoms]]:
    """The groups of the alloy: number of the structure → structure."""
    lattice = {"Al": 4.04, "Mg": 4.52}

    def mixed(atoms: Atoms, k: int) -> Atoms:
        """Between all aluminum and all magnesium, in turn; the cell scaled with it."""
        n = len(atoms)
        number = round((0, 0.5, 1, 0.25, 0.75)[k % 5] * n)
        atoms.symbols[:] = rng.permutation(["Mg"] * number + ["Al"] * (n - number))
        share = number / n
        scale = ((1 - share) * lattice["Al"] + share * lattice["Mg"]) / lattice["Al"]
        atoms.set_cell(atoms.cell * scale, scale_atoms=True)
        return atoms

    def start(k: int) -> Atoms:
        return (bulk("Al", cubic=True, a=4.04), bulk("Al", "hcp", a=2.857, c=4.665, orthorhombic=True))[k // 5 % 2]

    def crystal(k: int) -> Atoms:
        volume = (1, 0.97, 1.03)[k // 10 % 3]
        atoms = mixed(start(k), k)
        atoms.set_cell(atoms.cell * volume, scale_atoms=True)
        return strained(atoms, rng, 0.0 if k < 10 else 0.02, 0.0 if k < 10 else 0.05)

    def vacancy(k: int) -> Atoms:
        atoms = mixed(bulk("Al", a=4.04) * 2, k)
        del atoms[0]
        return strained(atoms, rng, 0.0, 0.06)

    def surface(k: int) -> Atoms:
        layer = (fcc111, fcc100, hcp0001)[k % 3]
        shape = {"a": 2.857, "c": 4.665} if layer is hcp0001 else {"a": 4.04}
        atoms = mixed(layer("Al", (1, 1, 5), vacuum=None, periodic=True, **shape), k)
        return vacuum_slab(atoms, 6.5, rng, 0.05)

    def melt(k: int) -> Atoms:
        symbols = mixed(bulk("Al", a=4.04) * (2, 3, 1), k).get_chemical_symbols()
        volume = np.mean([lattice[s] ** 3 / 4 for s in symbols])
        return disordered(symbols, volume * rng.uniform(0.95, 1.2), rng.uniform(2.3, 2.55), rng)

    def isolated(k: int) -> Atoms:
        return Atoms(("Al", "Mg")[k % 2], positions=[[0, 0, 0]], cell=[8.0, 8.3, 8.6], pbc=True)

    return {
        "isolated": isolated,
        "crystal": crystal,
        "rattled": lambda k: strained(mixed(start(k), k), rng, 0.02, (0.08, 0.15, 0.25)[k % 3]),
        "vacancy": vacancy,
        "surface": surface,
        "disordered": melt,
    }


SETS = {"silicon": silicon, "aluminum-magnesium": aluminum_magnesium}
#: How many of each group, at most.
NUMBERS = {
    "silicon": {
        "isolated": 1, "crystal": 8, "rattled": 8, "vacancy": 5, "surface": 8, "disordered": 8, "phases": 8
    },
    "aluminum-magnesium": {
        "isolated": 2, "crystal": 9, "rattled": 9, "vacancy": 5, "surface": 9, "disordered": 8
    },
}  # fmt: skip


def structures(name: str) -> Iterator[tuple[str, Atoms]]:
    """Names and structures, the groups in turn."""

    def group(kind: str) -> Iterator[tuple[str, Atoms]]:
        for k in range(NUMBERS[name][kind]):
            seed = np.random.default_rng([k, *name.encode(), *kind.encode()])
            atoms = SETS[name](seed)[kind](k)
            atoms.set_cell(atoms.cell.round(6))
            atoms.positions = atoms.positions.round(6)
            atoms.info.clear()
            atoms.set_array("tags", None)  # of layers of slabs
            atoms.info.update(config_type=kind, split="test" if k % 4 == 2 else "train")
            atoms.info["label"] = f"{kind}-{k:02d}"
            yield atoms.info["label"], atoms

    for found in zip_longest(*(group(kind) for kind in NUMBERS[name])):
        yield from (item for item in found if item is not None)


# --- energies -----------------------------------------------------------------------------------------------------


def mesh(atoms: Atoms, span: float) -> list[int]:
    """Points along each axis, about `span` Å of distances between planes, even beyond 2; one across empty space."""
    heights = atoms.cell.volume / np.linalg.norm(np.cross(atoms.cell[[1, 2, 0]], atoms.cell[[2, 0, 1]]), axis=1)
    scaled = np.sort(atoms.get_scaled_positions() % 1, axis=0)
    gaps = np.diff(np.vstack([scaled, scaled[:1] + 1]), axis=0).max(axis=0) * heights
    numbers = np.maximum(np.ceil(span / heights - 0.4), 1).astype(int)
    numbers += (numbers > 2) & (numbers % 2 == 1)
    return [1 if gap > 6.4 else int(n) for gap, n in zip(gaps, numbers)]


def compute(atoms: Atoms, name: str, log: Path | None = None, **changes: Any) -> Atoms:
    """The structure with energy, forces and stress, the k-points in its info; `more` k-points along each axis."""
    from gpaw import GPAW, Mixer

    settings = {"cutoff": CUTOFF, **SETTINGS[name], **changes}
    alone = len(atoms) == 1 and atoms.info["config_type"] == "isolated"
    points = [1, 1, 1] if alone else [n + settings.get("more", 0) * (n > 1) for n in mesh(atoms, settings["span"])]
    calculator = GPAW(
        mode={"name": "pw", "ecut": settings["cutoff"]},
        xc="PBE",
        kpts={"size": points, "gamma": alone},
        occupations={"name": "fermi-dirac", "width": 0.01 if alone else settings["width"]},
        setups=settings["setups"],
        convergence={"density": 1e-4, "eigenstates": 1e-6, "energy": 1e-4},
        hund=alone,
        txt=None if log is None else str(log),
        **({} if alone else {"mixer": Mixer(0.6, 5, 1)}),
    )
    work = atoms.copy()
    work.calc = calculator
    results = {"energy": work.get_potential_energy(force_consistent=True), "forces": work.get_forces()}
    if not alone:
        results["stress"] = work.get_stress()
    found = atoms.copy()
    found.info["kpoints"] = "x".join(map(str, points))
    found.calc = SinglePointCalculator(found, **{key: np.round(value, 6) for key, value in results.items()})
    return found


def converged(name: str) -> None:
    """Print how energy, forces and stress change with two more k-points along each axis, and with a higher cutoff."""
    units = f"{'energy, meV/atom':>18}{'forces, eV/Å':>14}{'stress, GPa':>13}"
    print(f"{'group':12}{'atoms':>6}{'k-points':>10}  {'change':14}{units}")
    for kind in ("rattled", "disordered"):
        atoms = next(atoms for label, atoms in structures(name) if atoms.info["config_type"] == kind)
        first = compute(atoms, name)
        for label, change in (("more k-points", {"more": 2}), ("cutoff 400 eV", {"cutoff": 400})):
            finer = compute(atoms, name, **change)
            energy = (first.get_potential_energy() - finer.get_potential_energy()) / len(atoms)
            forces, stress = first.get_forces() - finer.get_forces(), first.get_stress() - finer.get_stress()
            print(
                f"{kind:12}{len(atoms):6}{finer.info['kpoints']:>10}  {label:14}{1000 * energy:18.1f}"
                f"{np.sqrt((forces**2).mean()):14.4f}{np.sqrt((stress**2).mean()) / GPa:13.3f}",
                flush=True,
            )


# --- files --------------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=SETS)
    parser.add_argument("cache", nargs="?", type=Path, help="folder for finished structures")
    parser.add_argument("--write", action="store_true", help="write the set instead of computing")
    parser.add_argument("--converged", action="store_true", help="print how well one structure is converged")
    arguments = parser.parse_args()
    if arguments.converged:
        converged(arguments.name)
        return
    if arguments.cache is None:
        parser.error("name a folder for finished structures")
    finished = []
    for label, atoms in structures(arguments.name):
        path = arguments.cache / f"{arguments.name}-{label}.extxyz"
        if not path.exists() and not arguments.write:
            arguments.cache.mkdir(exist_ok=True)
            done = compute(atoms, arguments.name)
            with atomic_write(path) as partial:
                ase.io.write(partial, done, format="extxyz")
            print(label, done.info["kpoints"], flush=True)
        elif path.exists():
            finished.append(ase.io.read(path))
            finished[-1].info = {**atoms.info, "kpoints": finished[-1].info["kpoints"]}
    if arguments.write:
        with atomic_write(DATA / f"{arguments.name}.extxyz.xz") as partial:
            ase.io.write(partial, finished, format="extxyz")
        print(f"{len(finished)} structures")


if __name__ == "__main__":
    main()
