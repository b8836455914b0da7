"""`acepure md`: molecular dynamics of one structure."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ase.io
import numpy as np
from ase import Atoms, units
from ase.io.trajectory import TrajectoryWriter
from ase.md.langevin import Langevin
from ase.md.md import MolecularDynamics
from ase.md.verlet import VelocityVerlet

from acepure.cli.options import add_model, add_number, add_output, add_strict, add_threads
from acepure.cli.parts import EXTENDED_XYZ, calculator, check_ending, check_outputs, plural, read, with_results

_EPILOG = """\
examples:
  acepure md Si.ace relaxed.extxyz -o run.extxyz --temperature 600 --steps 1000
  acepure md Si.ace run.extxyz -o more.traj --index -1 --friction 0 --timestep 0.5 --interval 50

Without friction the energy is kept (velocity Verlet), with it the temperature (Langevin). Velocities of IN are used; if
there are none, they are drawn at the temperature. A structure with velocities in OUT is where to go on from. For long
runs and many atoms: `acepure lammps`.
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "md",
        _run,
        help="run molecular dynamics",
        description="Run molecular dynamics with ASE, and write frames with energies, forces, stresses and velocities.",
        epilog=_EPILOG,
    )
    add_model(command)
    command.add_argument("input", metavar="IN", help="file of a structure, of which the last is taken")
    add_output(command, "frames: .extxyz, .xyz or .traj")
    command.add_argument("--index", default="-1", help="which structure, as in ASE; default the last")
    add_number(command, "--temperature", "K", 300.0, kind=float, metavar="T")
    add_number(command, "--friction", "1/ps; 0 for none", 10.0, kind=float, metavar="F")
    add_number(command, "--timestep", "fs", 1.0, kind=float, metavar="T")
    add_number(command, "--steps", "number of steps", 1000)
    add_number(command, "--interval", "steps from frame to frame, and from line to line", 10)
    add_number(command, "--seed", "of velocities and friction", 0, least=0)
    add_strict(command)
    add_threads(command)


def _run(arguments: argparse.Namespace) -> None:
    output = arguments.output
    check_ending("-o", output, (*EXTENDED_XYZ, ".traj"))
    if arguments.timestep == 0:
        raise ValueError("--timestep must be > 0; got 0")
    check_outputs({"-o": output})
    potential = calculator(arguments)
    structures = read(arguments.input, arguments.index)
    if len(structures) != 1:
        found = f"{len(structures)} structures of {arguments.input}"
        raise ValueError(f"--index {arguments.index} means {found}; one is needed")
    atoms = structures[0]
    potential.potential.basis.species_indices(atoms, arguments.input)
    atoms.calc = potential
    rng = np.random.default_rng(arguments.seed)
    print(f"model   {potential.potential!r}: {arguments.model}")
    print(f"start   {atoms.get_chemical_formula()}, {plural(len(atoms), 'atom')}, {_velocities(atoms, arguments, rng)}")
    dynamics = _dynamics(atoms, arguments, rng)
    # Frames are written as they come, not under a temporary name: a run that is stopped keeps them.
    with _writer(output) as write:
        dynamics.attach(lambda: write(with_results(atoms)), interval=arguments.interval)
        dynamics.run(arguments.steps)
    print(f"wrote   {output}: {plural(1 + arguments.steps // arguments.interval, 'frame')}")


def _velocities(atoms: Atoms, arguments: argparse.Namespace, rng: np.random.Generator) -> str:
    """Draw velocities if there are none; say where they are from."""
    if atoms.get_momenta().any():
        return f"velocities of {arguments.input}, {atoms.get_temperature():.0f} K"
    masses = atoms.get_masses()[:, None]
    momenta = np.sqrt(masses * units.kB * arguments.temperature) * rng.standard_normal((len(atoms), 3))
    atoms.set_momenta(momenta - masses * momenta.sum(axis=0) / masses.sum())
    return f"velocities drawn at {arguments.temperature:g} K"


def _dynamics(atoms: Atoms, arguments: argparse.Namespace, rng: np.random.Generator) -> MolecularDynamics:
    log: dict[str, Any] = {"logfile": "-", "loginterval": arguments.interval}
    timestep = arguments.timestep * units.fs
    if arguments.friction == 0:
        return VelocityVerlet(atoms, timestep, **log)
    friction = arguments.friction / (1000 * units.fs)
    return Langevin(
        atoms, timestep, temperature_K=arguments.temperature, friction=friction, fixcm=False, rng=rng, **log
    )


@contextmanager
def _writer(output: str) -> Iterator[Callable[[Atoms], Any]]:
    """Yield a function that writes a frame, which is in the file at once."""
    if output.lower().endswith(".traj"):
        with TrajectoryWriter(output) as file:
            yield file.write
        return
    with open(output, "w", encoding="utf-8", buffering=1) as text:
        yield lambda atoms: ase.io.write(text, atoms, format="extxyz")
