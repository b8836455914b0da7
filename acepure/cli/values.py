"""Values of options of `acepure fit` that are made of several words and numbers."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from acepure.models.repulsion import ZBLCore

__all__: list[str] = []  # of no use outside

_E0_WORDS = ("auto", "isolated", "lstsq")


def numbers(text: str, need: str) -> list[float]:
    """Return numbers with commas between them; `need` says what is needed."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not {need}") from None


def assignment(kind: Callable[[str], Any], example: str) -> Callable[[str], tuple[str, Any]]:
    """Return the type of NAME=X with X of a kind."""

    def convert(text: str) -> tuple[str, Any]:
        name, sign, value = text.partition("=")
        try:
            if name and sign:
                return name, kind(value)
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=X such as {example}")

    return convert


def weights(text: str) -> tuple[str, list[float]]:
    """(config_type, three numbers); groups may have = in their names."""
    name, _, values = text.rpartition("=")
    return name or "default", numbers(values, "E,F,V such as 30,1,1, or GROUP=E,F,V")


def reference_energies(text: str) -> str | float | dict[str, float]:
    """A word, a number, or energies by species."""
    if text in _E0_WORDS:
        return text
    try:
        return dict(map(assignment(float, ""), text.split(","))) if "=" in text else float(text)
    except (ValueError, argparse.ArgumentTypeError):
        need = "isolated, lstsq, 0, or energies such as Cu=-3.5,Zr=-8"
        raise argparse.ArgumentTypeError(f"{text!r} is none of {need}") from None


def core(text: str) -> ZBLCore | str:
    """A core that is switched off between two distances, or a word."""
    if text in ("zbl", "none"):
        return text
    need = "INNER,OUTER in Å such as 0.8,1.8, or zbl, or none"
    values = numbers(text, need)
    if len(values) != 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not {need}")
    try:
        return ZBLCore(*values)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
