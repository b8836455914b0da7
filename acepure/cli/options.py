"""Options that commands share, and the types of their values."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from acepure._utils.arguments import SYNONYMS
from acepure._utils.checks import count, symbol
from acepure.cli.radial import add_radial

__all__ = [
    "SPECIFICATION",
    "add_functions",
    "add_index",
    "add_self_interacting",
    "add_species",
    "add_specification",
    "add_threads",
    "integer",
]

#: Names in Python of the options of `add_specification`.
SPECIFICATION = ("rcut", "order", "totaldegree", "wL", "n_max", "l_max", "n_functions", "n_start")

# Options that take several words also take a file name that follows them.
_FILES_FIRST = "; a file is named before such an option"


def add_specification(parser: argparse.ArgumentParser, species_required: bool) -> None:
    """Add the options that say which basis."""
    group = parser.add_argument_group(
        "functions", "Choose them in one way: --totaldegree (default 6), --n-max and --l-max, or --n-functions."
    )
    add_species(group, species_required)
    add_functions(group, SPECIFICATION)
    add_radial(group)
    add_self_interacting(group)


def add_self_interacting(group: Any) -> None:
    """Add --self-interacting."""
    group.add_argument(
        "--self-interacting", action="store_true", help="plain products of neighbor sums instead of canonical features"
    )


def add_species(group: Any, required: bool) -> None:
    """Add --species."""
    default = "" if required else "; default: those in the file. Name them when files are to be compared"
    group.add_argument(
        "--species",
        nargs="+",
        type=_symbols,
        action=_Symbols,
        required=required,
        metavar="Cu",
        help=f"chemical symbols{default}",
    )


def add_functions(group: Any, names: Sequence[str], help_texts: Mapping[str, str] | None = None) -> None:
    """Add options for the functions of a basis, by their names in Python, each with the spellings known there.

    `help_texts` are for commands with other defaults.
    """
    for name in names:
        help_text, options = _FUNCTIONS[name]
        help_text = (help_texts or {}).get(name, help_text)
        group.add_argument(f"--{name.replace('_', '-')}", dest=name, help=help_text, **options)
        spellings = {name, *(spelling for spelling, here in SYNONYMS.items() if here == name)}
        flags = {f"--{text}" for word in spellings for text in (word, word.replace("_", "-"))}
        flags.discard(f"--{name.replace('_', '-')}")
        if flags:  # understood as in Python, but one spelling is enough for the help text
            group.add_argument(*sorted(flags), dest=name, help=argparse.SUPPRESS, **options)


def add_index(parser: argparse.ArgumentParser) -> None:
    """Add --index."""
    parser.add_argument(
        "--index",
        default=":",
        help="which structures, as in ASE: 0, ::10, or --index=-10: for the last ten; default all",
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add --threads."""
    default = "default: ACEPURE_NUM_THREADS, else OMP_NUM_THREADS, else all cores"
    parser.add_argument("--threads", type=integer("--threads"), metavar="N", help=default)


def integer(name: str, least: int = 1) -> Callable[[str], int]:
    """Return the type of an option that is an integer of at least `least`."""

    def convert(text: str) -> int:
        try:
            return count(name, int(text), least=least)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not an integer >= {least}") from None

    return convert


# --- types of values -------------------------------------------------------------------------------------------


class _OneOrList(argparse.Action):
    """Numbers given as several words, as a comma list, or as one; one stays a number, which serves all orders."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        numbers = [number for word in values for number in word]
        setattr(namespace, self.dest, numbers[0] if len(numbers) == 1 else numbers)


class _Symbols(argparse.Action):
    """Chemical symbols given as several words or as a comma list."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        setattr(namespace, self.dest, [name for word in values for name in word])


def _comma_list(kind: type, example: str) -> Callable[[str], list[Any]]:
    def convert(text: str) -> list[Any]:
        try:
            return [kind(part) for part in text.rstrip(",").split(",")]
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a number or a comma list such as {example}{_FILES_FIRST}"
            ) from None

    return convert


def _symbols(text: str) -> list[str]:
    try:
        return [symbol("species", name) for name in text.rstrip(",").split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a chemical symbol such as Cu{_FILES_FIRST}") from None


_numbers, _integers = _comma_list(float, "20,16,12"), _comma_list(int, "8,4,2")
_several = {"nargs": "+", "action": _OneOrList}
_FUNCTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "rcut": ("cutoff in Å; default 5", {"type": float, "metavar": "R"}),
    "order": ("largest correlation order ν, body order minus one; default 3", {"type": int, "metavar": "NU"}),
    "totaldegree": (
        "largest Σ (n + wL·l), one or one per order; default 6",
        {"type": _numbers, "metavar": "D", **_several},
    ),
    "wL": ("weight of l in the total degree; default 1", {"type": float, "metavar": "W"}),
    "n_max": ("number of radial functions, one or one per order", {"type": _integers, "metavar": "N", **_several}),
    "l_max": ("largest degree l, one or one per order", {"type": _integers, "metavar": "L", **_several}),
    "n_functions": ("the largest set with at most so many functions", {"type": int, "metavar": "N"}),
    "n_start": ("first radial label; default 0 (1 as in ACEpotentials)", {"type": int, "metavar": "N"}),
}
