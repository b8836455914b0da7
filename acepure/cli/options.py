"""Options that commands share, and the types of their values."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from acepure._utils.arguments import SYNONYMS
from acepure._utils.checks import count, number, symbol
from acepure.features.basis import DEFAULT_RCUT
from acepure.functions.envelopes import KERNEL_ENVELOPES
from acepure.functions.radial import PolynomialRadialBasis
from acepure.functions.transforms import KERNEL_TRANSFORMS

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
    add_switch(group, "--self-interacting", "plain products of neighbor sums instead of canonical features")


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


def add_strict(parser: argparse.ArgumentParser) -> None:
    """Add --strict."""
    add_switch(parser, "--strict", "end with an error where a structure lies outside of the data of the fit")


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add --threads."""
    add_number(parser, "--threads", "default: ACEPURE_NUM_THREADS, else OMP_NUM_THREADS, else all cores")


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add MODEL."""
    parser.add_argument("model", metavar="MODEL", help="file that `acepure fit` wrote, or a .yace file")


def add_output(parser: argparse.ArgumentParser, text: str) -> None:
    """Add -o OUT, which is needed."""
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help=text)


def add_figure(parser: argparse.ArgumentParser, default: str) -> None:
    """Add -o FIGURE."""
    text = f"default {default}; .pdf and .svg work too"
    parser.add_argument("-o", "--output", metavar="FIGURE", default=default, help=text)


def add_switch(group: Any, flag: str, text: str) -> None:
    """Add an option without a value."""
    group.add_argument(flag, action="store_true", help=text)


def add_number(
    group: Any,
    flag: str,
    text: str,
    default: float | None = None,
    *,
    kind: type = int,
    least: float | None = None,
    metavar: str = "N",
    **more: Any,
) -> None:
    """Add an option that is an integer, of at least 1, or a finite number, of at least 0, unless `least` says more."""
    check: Any
    check, words = (count, "an integer") if kind is int else (number, "a finite number")
    least = int(kind is int) if least is None else least

    def convert(text: str) -> Any:
        try:
            return check(flag, kind(text), least=least)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not {words} >= {least:g}") from None

    text += "" if default is None else f"; default {default:g}"
    group.add_argument(flag, type=convert, default=default, metavar=metavar, help=text, **more)


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


# --- radial functions by name, such as agnesi:p=1,q=3 ---------------------------------------------------------------


def _by_name(classes: tuple[type, ...], base: str) -> dict[str, type]:
    return {cls.__name__.removesuffix(base).lower(): cls for cls in classes}


_PARTS = {
    "transform": _by_name(KERNEL_TRANSFORMS, "Transform"),
    "envelope": _by_name(KERNEL_ENVELOPES, "Envelope"),
}
_MEANING = {
    "transform": "coordinate x(r) of the radial functions; default agnesi:p=2,q=4",
    "envelope": "their factor f(r), zero at the cutoff; default smooth:exponent=3",
}

#: What the names mean, for the end of a help text.
RADIAL_HELP = """\
--transform, x(r) up to an affine map to [−1, 1]; u = r/r0:
  linear                      r
  power:exponent=2            −(1 − r/rcut)^exponent
  inverse:exponent=2          −(1 + r)^−exponent; r in Å, r0 cancels
  agnesi:p=2,q=4              −1/(1 + a u^q / (1 + u^(q−p))); r0 in Å, default the sum of the covalent radii

--envelope:
  smooth:exponent=3           (1 − (r/rcut)²)^exponent
  polynomial:exponent=2       (1 − r/rcut)^exponent
  cosine                      (1 + cos(π r/rcut))/2
"""


def add_radial(group: Any) -> None:
    """Add --transform and --envelope."""
    for name, classes in _PARTS.items():
        text = f"{_MEANING[name]}; one of {', '.join(classes)}"
        group.add_argument(f"--{name}", type=_part(classes), metavar="NAME[:K=V,...]", help=text)


def with_radial(given: Mapping[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """Return arguments of `ACEBasis`, with `radial` in place of `rcut` if a transform or an envelope was chosen."""
    chosen = {name: value for name in _PARTS if (value := getattr(arguments, name)) is not None}
    if not chosen:
        return dict(given)
    rcut = given.get("rcut", DEFAULT_RCUT)
    others = {name: value for name, value in given.items() if name != "rcut"}
    return {**others, "radial": PolynomialRadialBasis(rcut, **chosen)}


def _part(classes: Mapping[str, type]) -> Callable[[str], Any]:
    """Return the type of an option that is one of these classes with numbers for its parameters."""

    def convert(text: str) -> Any:
        name, _, assignments = text.partition(":")
        cls = classes.get(name.lower())
        if cls is None:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(classes)}")
        known = [field.name for field in fields(cls)]
        values = {}
        for word in filter(None, assignments.split(",")):
            key, _, value = word.partition("=")
            if key not in known:
                takes = ", ".join(known) or "no parameters"
                raise argparse.ArgumentTypeError(f"{text!r}: {key!r} is unknown; {name} takes {takes}")
            values[key] = _number(text, word, value)
        try:
            return cls(**values)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None

    return convert


def _number(text: str, word: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: {word!r} is not NAME=NUMBER such as p=1") from None
