"""`acepure physics`: what a potential says of crystals and of pairs of atoms."""

from __future__ import annotations

import argparse
from typing import Any

from acepure.cli.options import add_index, add_model
from acepure.cli.parts import load_potential, plural, read_known
from acepure.diagnostics.physics import check_physics

_EPILOG = """\
examples:
  acepure physics Si.ace train.extxyz
  acepure physics Si.ace

Of each element and compound among the structures, the crystal of lowest energy is relaxed: its volume, bulk modulus,
elastic constants and, of an element, its vacancy. Of each pair of species, two atoms alone. A warning says what is out
of the range of all materials, or deep energies at distances that no data had. Labels are not needed.
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "physics",
        _run,
        help="elastic constants, vacancies and dimers, with warnings",
        description="Compute the equation of state, elastic constants, vacancies and dimers of a potential.",
        epilog=_EPILOG,
    )
    add_model(command)
    command.add_argument("input", metavar="IN", nargs="?", help="file of structures; default none: dimers alone")
    add_index(command)


def _run(arguments: argparse.Namespace) -> None:
    model = load_potential(arguments.model)
    structures = [] if arguments.input is None else read_known(model.basis, arguments)
    print(f"model   {model!r}: {arguments.model}")
    if structures:
        print(f"read    {plural(len(structures), 'structure')}: {arguments.input}", flush=True)
    report = check_physics(model, structures)
    if structures and not report.crystals:
        print("\nnone of the structures is a crystal: periodic along three axes, dense, of one or two elements")
    print(f"\n{report}")
