"""`acepure select`: which structures of a pool to compute next."""

from __future__ import annotations

import argparse
from typing import Any

import ase.io

from acepure._utils.files import atomic_write
from acepure.active.selection import METHODS, select
from acepure.cli.options import add_index, add_number, add_output, add_switch, add_threads
from acepure.cli.parts import EXTENDED_XYZ, check_ending, check_outputs, load, plural, read, sizes

_EPILOG = """\
examples:
  acepure select test.extxyz -n 5 -o chosen.extxyz
  acepure select run.extxyz test.extxyz -n 5 --model Si.ace -o chosen.extxyz
  acepure select test.extxyz -n 5 --start train.extxyz -o chosen.extxyz

No labels are needed. Each structure is the one that adds most to what energies and forces determine, given those before
it, those of --start, and the fit of --model; copies and structures with overlapping atoms are refused.
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "select",
        _run,
        help="choose structures of a pool to compute",
        description="Choose from structures in any format that ASE knows.",
        epilog=_EPILOG,
    )
    command.add_argument("pool", nargs="+", metavar="POOL", help="files of structures")
    add_number(command, "-n", "how many", required=True)
    add_output(command, "file to write: .extxyz or .xyz")
    command.add_argument("--model", metavar="MODEL", help="potential whose fit counts; default: 200 functions, no fit")
    command.add_argument("--start", nargs="+", default=[], metavar="START", help="structures that are computed already")
    command.add_argument("--method", choices=METHODS, default=METHODS[0], help="default d-optimal")
    add_switch(command, "--energies-only", "forces will not be computed")
    sketch = "random sums of forces in place of all of them, for large pools; 8 are a good number"
    add_number(command, "--sketch", sketch, metavar="Q")
    add_number(command, "--seed", "of random, farthest and --sketch", 0, least=0)
    add_index(command)
    add_threads(command)


def _run(arguments: argparse.Namespace) -> None:
    output = arguments.output
    check_ending("-o", output, EXTENDED_XYZ)
    check_outputs({"-o": output})
    model = None if arguments.model is None else load(arguments.model)
    pool = [atoms for name in arguments.pool for atoms in read(name, arguments.index)]
    start = [atoms for name in arguments.start for atoms in read(name, ":")]
    print(f"pool    {sizes(pool)}")
    found = select(
        pool,
        arguments.n,
        model=model,
        start=start,
        method=arguments.method,
        forces=not arguments.energies_only,
        sketch=arguments.sketch,
        seed=arguments.seed,
        num_threads=arguments.threads,
    )
    print(f"\n{found}\n")
    with atomic_write(output) as written:
        ase.io.write(written, [pool[k] for k in found.indices], format="extxyz")
    print(f"wrote   {output}: {plural(len(found.indices), 'structure')}")
