"""`acepure demo`."""

from __future__ import annotations

import argparse
from typing import Any

from acepure.cli.options import add_threads
from acepure.cli.parts import check_outputs

__all__ = ["add"]


def add(commands: Any, **style: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "demo",
        help="tell crystals and liquids apart, in a few seconds",
        description="Describe FCC, BCC and HCP crystals, clean, rattled and molten; print a table, draw a map.",
        **style,
    )
    default = "acepure_demo.png"
    command.add_argument(
        "-o", "--output", metavar="FIGURE", default=default, help=f"default {default}; .pdf and .svg work too"
    )
    add_threads(command)
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    from acepure.cli.demonstration import run  # matplotlib is not needed otherwise

    check_outputs({"-o": arguments.output})
    run(arguments.output, arguments.threads)
