"""`acepure relax`: structures of least energy."""

from __future__ import annotations

import argparse
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS, FIRE, LBFGS

from acepure._utils.files import atomic_write
from acepure.cli.options import add_index, add_strict, add_threads, integer, real
from acepure.cli.parts import calculator, check_outputs, plural, read, with_results, writable_format
from acepure.fitting.labels import text_table

_OPTIMIZERS = {"lbfgs": LBFGS, "bfgs": BFGS, "fire": FIRE}

_EPILOG = """\
examples:
  acepure relax Cu.ace POSCAR -o relaxed.extxyz --cell
  acepure relax Cu.ace surfaces.extxyz -o relaxed.traj --fmax 0.001
"""


def add(commands: Any, **style: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "relax",
        help="find structures of least energy",
        description="Relax structures in any format that ASE knows, with an optimizer of ASE; constraints are kept.",
        epilog=_EPILOG,
        **style,
    )
    command.add_argument("model", metavar="MODEL", help="file that `acepure fit` wrote")
    command.add_argument("input", metavar="IN", help="file of structures")
    command.add_argument(
        "-o", "--output", metavar="OUT", required=True, help="relaxed structures, in the format of the ending"
    )
    command.add_argument("--cell", action="store_true", help="relax the cell too; needs three periodic axes")
    fmax = "until the largest force is below, in eV/Å; default 0.01"
    command.add_argument("--fmax", type=real("--fmax"), default=0.01, metavar="F", help=fmax)
    steps = "at most; default 500"
    command.add_argument("--steps", type=integer("--steps"), default=500, metavar="N", help=steps)
    command.add_argument("--optimizer", choices=tuple(_OPTIMIZERS), default="lbfgs", help="default lbfgs")
    add_strict(command)
    add_index(command)
    add_threads(command)
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    output = arguments.output
    check_outputs({"-o": output})
    potential = calculator(arguments)
    structures = read(arguments.input, arguments.index)
    kind = writable_format(output, len(structures))
    for k, atoms in enumerate(structures):
        name = f"{arguments.input}[{k}]"
        potential.potential.basis.species_indices(atoms, name)
        if arguments.cell and not atoms.pbc.all():
            raise ValueError(f"--cell needs three periodic axes; pbc of {name} is {atoms.pbc.tolist()}")
    print(f"model   {potential.potential!r}: {arguments.model}")
    print(f"read    {plural(len(structures), 'structure')}, {plural(sum(map(len, structures)), 'atom')}\n")
    header = ["number", "formula", "steps", "energy (eV)", "change (eV)", "largest force (eV/Å)", "converged"]
    rows, relaxed = [header], []
    for k, atoms in enumerate(structures):
        atoms.calc = potential
        rows.append([str(k), atoms.get_chemical_formula(), *_relaxed(atoms, arguments)])
        relaxed.append(with_results(atoms))
    print(text_table(rows))
    n_left = sum(row[-1] == "no" for row in rows)
    if n_left:
        left = f"{plural(n_left, 'structure')} {'is' if n_left == 1 else 'are'} not relaxed"
        print(f"\nnote    {left} after {plural(arguments.steps, 'step')}; raise --steps")
    with atomic_write(output) as temporary:
        ase.io.write(temporary, relaxed, format=kind)
    print(f"\nwrote   {output}")


def _relaxed(atoms: Atoms, arguments: argparse.Namespace) -> list[str]:
    """Relax in place; return cells of the table."""
    before = atoms.get_potential_energy()
    moved: Any = FrechetCellFilter(atoms) if arguments.cell else atoms
    optimizer = _OPTIMIZERS[arguments.optimizer](moved, logfile=None)
    converged = optimizer.run(fmax=arguments.fmax, steps=arguments.steps)
    energy, largest = atoms.get_potential_energy(), np.linalg.norm(atoms.get_forces(), axis=1).max()
    numbers = [f"{energy:.6f}", f"{energy - before:.6f}", f"{largest:.2e}"]
    return [str(optimizer.nsteps), *numbers, "yes" if converged else "no"]
