"""--transform and --envelope: radial functions R_n(r) = f(r) P_n(x(r)) by names, such as agnesi:p=1,q=3."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from acepure.features.basis import DEFAULT_RCUT
from acepure.functions.envelopes import KERNEL_ENVELOPES
from acepure.functions.radial import PolynomialRadialBasis
from acepure.functions.transforms import KERNEL_TRANSFORMS

__all__ = ["RADIAL_HELP", "add_radial", "with_radial"]


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
