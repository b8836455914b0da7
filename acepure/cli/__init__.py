"""The command line: `acepure COMMAND`, one file for each: its options, what it does.

    demo.py, data.py                            first steps
    fit.py, evaluate.py, inspect.py, physics.py potentials: make them, check them
    tensors.py                                  vectors and tensors: fit, evaluate and inspect
    predict.py, relax.py, md.py                 potentials: use them through ASE
    export.py, lammps.py                        potentials: use them in LAMMPS
    select.py, hal.py                           structures to compute next
    explore.py                                  a page to look at structures
    descriptors.py, basis.py, conditioning.py   features

    options.py      options that commands share
    parts.py        checking and reading files, labels and models, building a basis, words for tables

A command is a function from parsed arguments to nothing; it prints what it did. What users can put right becomes one
line on stderr and exit code 2, anything else keeps its traceback; warnings become one line too.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from types import MappingProxyType, ModuleType
from typing import Any

import acepure
from acepure.cli import (
    basis,
    conditioning,
    data,
    demo,
    descriptors,
    evaluate,
    explore,
    export,
    fit,
    hal,
    inspect,
    lammps,
    md,
    physics,
    predict,
    relax,
    select,
)
from acepure.cli.parts import with_option_names
from acepure.config import show_config
from acepure.errors import CoverageWarning

__all__ = ["main"]

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells do

#: The table of contents: what one wants to do → commands.
_COMMANDS: MappingProxyType[str, tuple[ModuleType, ...]] = MappingProxyType(
    {
        "begin": (demo, data),
        "fit a potential": (fit,),
        "check it": (evaluate, inspect, physics, explore),
        "use it": (predict, relax, md, export, lammps),
        "improve it": (select, hal),
        "compute features": (descriptors, basis, conditioning),
    }
)
_STYLE: MappingProxyType[str, Any] = MappingProxyType(
    {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
)

_ABOUT = "The canonical, self-interaction-free Atomic Cluster Expansion: features and potentials."
_EXAMPLES = """\
examples:
  acepure demo
  acepure data silicon -o train.extxyz --test test.extxyz
  acepure fit train.extxyz --test test.extxyz -o Si.ace
  acepure evaluate Si.ace test.extxyz
  acepure relax Si.ace test.extxyz -o relaxed.extxyz --index 0 --cell
  acepure descriptors test.extxyz -o features.npz --order 3 --totaldegree 12

`acepure COMMAND --help` explains one command. Examples there use the files that these commands write.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the name of the program; default: those of the process.

    Returns
    -------
    int
        Exit code: 0, or 2 after an error that was explained on stderr.

    Examples
    --------
    >>> main(["--version"])  # doctest: +ELLIPSIS
    acepure ...
    0
    """
    if argv is None:
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")  # terminals without ν and Å
    parser = _parser()
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as end:  # argparse has printed help, the version or an error
        return int(end.code or 0)
    if "run" not in arguments:
        parser.print_help(sys.stderr)
        return EXIT_ERROR
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("acepure: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, TypeError, OSError, ImportError, CoverageWarning) as error:
        print(f"acepure: error: {_one_line(error)}", file=sys.stderr)
        return EXIT_ERROR
    return 0


class _Completion(argparse.Action):
    """Prints a script for a shell, and ends."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: Any = None) -> None:
        if find_spec("shtab") is None:
            advice = 'pip install "acepure[completion]"'
            parser.exit(EXIT_ERROR, f"acepure: error: --print-completion needs shtab: {advice}\n")
        import shtab

        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                action.help = "commands"  # hidden from the help, which has a table of contents
        print(shtab.complete(parser, shell=values))
        parser.exit()


class _Contents:
    """Takes commands as a parser of argparse does, and keeps a line of each for the table of contents."""

    def __init__(self, commands: Any) -> None:
        self._commands = commands
        self.lines: list[str] = []

    def add_parser(self, name: str, run: Any, *, help: str, **more: Any) -> argparse.ArgumentParser:
        self.lines.append(f"  {name:13}{help}")
        parser: argparse.ArgumentParser = self._commands.add_parser(name, help=help, **more, **_STYLE)
        parser.set_defaults(run=run)
        return parser


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="acepure", usage="acepure COMMAND ...", epilog=_EXAMPLES, **_STYLE)
    parser.add_argument("--version", action="version", version=f"acepure {acepure.__version__}")
    parser.add_argument(
        "--print-completion",
        action=_Completion,
        choices=("bash", "zsh", "tcsh"),
        help="print what completes commands and options in this shell; needs shtab",
    )
    commands = parser.add_subparsers(prog="acepure", metavar="COMMAND", help=argparse.SUPPRESS)
    contents = _Contents(commands)
    for title, modules in _COMMANDS.items():
        contents.lines += ["", f"{title}:"]
        for command in modules:
            command.add(contents)
    contents.lines += ["", "this installation:"]
    contents.add_parser(
        "show-config",
        lambda arguments: show_config(),
        help="show versions, kernels and threads",
        description="Show versions, which kernels there are and which is used, and the number of threads.",
    )
    parser.description = "\n".join([_ABOUT, *contents.lines])
    return parser


def _show_warning(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """Print a warning in one line, without the place in the code; those not for users say of what kind they are."""
    kind = "" if issubclass(category, UserWarning) else f" ({category.__name__})"
    print(f"acepure: warning: {' '.join(str(message).split())}{kind}", file=sys.stderr)


def _one_line(error: BaseException) -> str:
    return with_option_names(" ".join(str(error).split())) or type(error).__name__
