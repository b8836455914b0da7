"""`acepure show-config`."""

from __future__ import annotations

import argparse
from typing import Any

from acepure.config import show_config

__all__ = ["add"]


def add(commands: Any, **style: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "show-config",
        help="show versions, kernels and threads",
        description="Show versions, which kernels there are and which is used, and the number of threads.",
        **style,
    )
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    show_config()
