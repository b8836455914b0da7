"""`acepure data`: data sets and potentials that come with the package, as files."""

from __future__ import annotations

import argparse
import os
from typing import Any

import ase.io

from acepure._utils.files import atomic_write
from acepure.cli.parts import check_outputs, plural, writable_format
from acepure.data import SETS, load, potential

_EPILOG = """\
examples:
  acepure data
  acepure data silicon -o train.extxyz --test test.extxyz
  acepure data silicon --model Si.ace

Small sets by density functional theory, to try things out; without a name they are listed. Without --test, -o writes
all structures; with it, those of the fit.
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "data",
        _run,
        help="write a data set that comes with acepure, or its potential",
        description="Write structures with energies, forces and stresses, and a potential that was fitted to them.",
        epilog=_EPILOG,
    )
    command.add_argument("name", metavar="NAME", nargs="?", choices=SETS, help=f"one of {', '.join(SETS)}")
    command.add_argument("-o", "--output", metavar="OUT", help="file for the structures, such as train.extxyz")
    command.add_argument("--test", metavar="OUT", help="file for the structures to test on; -o has the others then")
    command.add_argument("--model", metavar="OUT", help="file for the potential, such as Si.ace")


def _run(arguments: argparse.Namespace) -> None:
    outputs = {"-o": arguments.output, "--test": arguments.test, "--model": arguments.model}
    given = [path for path in outputs.values() if path is not None]
    if arguments.name is None:
        if given:
            raise ValueError(f"say which: {' or '.join(SETS)}")
        _list()
        return
    if not given:
        raise ValueError("say what to write: structures with -o OUT, those to test on with --test OUT, --model OUT")
    if len({os.path.realpath(path) for path in given}) < len(given):
        raise ValueError("-o, --test and --model need different names")
    check_outputs(outputs)
    split = None if arguments.test is None else "train"
    for path, part in ((arguments.output, split), (arguments.test, "test")):
        if path is not None:
            _write(path, arguments.name, part)
    if arguments.model is not None:
        model = potential(arguments.name)
        model.save(arguments.model)
        print(f"wrote   {arguments.model}: {model!r}")


def _list() -> None:
    for name, text in SETS.items():
        print(f"{name:20}{text}; {len(load(name, 'train'))} structures to fit, {len(load(name, 'test'))} to test on")


def _write(path: str, name: str, split: str | None) -> None:
    structures = load(name, split)
    kind = writable_format(path, len(structures))
    with atomic_write(path) as partial:
        ase.io.write(partial, structures, format=kind)
    print(f"wrote   {path}: {plural(len(structures), 'structure')}")
