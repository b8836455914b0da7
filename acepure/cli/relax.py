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
from acepure.cli.options import add_index, add_model, add_number, add_output, add_strict, add_switch, add_threads
from acepure.cli.parts import calculator, check_outputs, plural, read_known, sizes, with_results, writable_format
from acepure.fitting.labels import text_table

_OPTIMIZERS = {"lbfgs": LBFGS, "bfgs": BFGS, "fire": FIRE}

_EPILOG = """\
examples:
  acepure relax Si.ace test.extxyz -o relaxed.extxyz --index 0 --cell
  acepure relax Si.ace test.extxyz -o relaxed.traj --index :3 --fmax 0.001
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "relax",
        _run,
        help="find structures of least energy",
        description="Relax structures in any format that ASE knows, with an optimizer of ASE; constraints are kept.",
        epilog=_EPILOG,
    )
    add_model(command)
    command.add_argument("input", metavar="IN", help="file of structures")
    add_output(command, "relaxed structures, in the format of the ending")
    add_switch(command, "--cell", "relax the cell too; needs three periodic axes")
    add_number(command, "--fmax", "until the largest force is below, in eV/Å", 0.01, kind=float, metavar="F")
    add_number(command, "--steps", "at most", 500)
    command.add_argument("--optimizer", choices=tuple(_OPTIMIZERS), default="lbfgs", help="default lbfgs")
    add_strict(command)
    add_index(command)
    add_threads(command)


def _run(arguments: argparse.Namespace) -> None:
    output = arguments.output
    check_outputs({"-o": output})
    potential = calculator(arguments)
    structures = read_known(potential.potential.basis, arguments)
    kind = writable_format(output, len(structures))
    for k, atoms in enumerate(structures):
        if arguments.cell and not atoms.pbc.all():
            name = f"{arguments.input}[{k}]"
            raise ValueError(f"--cell needs three periodic axes; pbc of {name} is {atoms.pbc.tolist()}")
    print(f"model   {potential.potential!r}: {arguments.model}")
    print(f"read    {sizes(structures)}\n")
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
