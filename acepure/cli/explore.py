"""`acepure explore`: a page with a map of structures."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from ase import Atoms

from acepure.cli.options import add_index, add_number, add_output, add_threads
from acepure.cli.parts import add_labels, check_outputs, label_arguments, load_fitted, read, sizes
from acepure.models.potential import FittedPotential

_EPILOG = """\
examples:
  acepure explore train.extxyz -o map.html
  acepure explore test.extxyz --model Si.ace -o map.html
  acepure explore train.extxyz test.extxyz --index ::10 -o map.html

The page is one file, which any browser opens without network: a map of structures (or of atoms) by their features, next
to them in 3-D, colored by group, energy, errors and standard deviations of a model, self-interaction, or any number
that the file holds. Needs chemiscope: pip install "acepure[explore]".
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "explore",
        _run,
        help="write a page with a map of structures",
        description="A map of the features of structures in any format that ASE knows, linked with them in 3-D.",
        epilog=_EPILOG,
    )
    command.add_argument("input", nargs="+", metavar="DATA", help="files of structures, with or without labels")
    add_output(command, "page to write: .html")
    command.add_argument("--model", metavar="MODEL", help="potential: errors, deviations, a map of its energies")
    add_number(command, "--max-atoms", "show at most so many atoms, of structures at equal steps", 20_000)
    add_index(command)
    add_labels(command)
    add_threads(command)


def _run(arguments: argparse.Namespace) -> None:
    check_page("-o", arguments.output)
    check_outputs({"-o": arguments.output})
    model = None if arguments.model is None else load_fitted(arguments.model)
    structures = [atoms for name in arguments.input for atoms in read(name, arguments.index)]
    print(f"read    {sizes(structures)}")
    given = {"max_atoms": arguments.max_atoms, "num_threads": arguments.threads, **label_arguments(arguments)}
    write_page(structures, arguments.output, model, arguments.input, **given)


def check_page(option: str, output: str) -> None:
    """Raise before any work if a page of this name cannot be written."""
    if not output.lower().endswith((".html", ".htm")):
        raise ValueError(f"{option} {output}: the name must end in .html")
    if find_spec("chemiscope") is None:
        raise ValueError(f'{option} needs chemiscope: pip install "acepure[explore]"')


def write_page(
    structures: list[Atoms], output: str, model: FittedPotential | None, names: Sequence[str], **arguments: Any
) -> None:
    """Write the page of structures from files of these names."""
    from acepure.interfaces.explore import explore

    title = ", ".join(os.path.basename(name) for name in names)
    explore(structures, output, model=model, title=title, **arguments)
    print(f"wrote   {output}: {os.path.getsize(output) / 1e6:.1f} MB")
