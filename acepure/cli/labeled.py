"""Structures with labels, and models: the options that say where labels are, and reading them.

Labels of several files are looked for together, so that all files have the same keys.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ase import Atoms

from acepure.fitting import LabeledData, LabelKeys, read_labels
from acepure.models.linear import LinearACE

__all__ = ["add_labels", "label_arguments", "labels_of", "load", "with_option_names"]

_OPTIONS = ("energy_key", "forces_key", "virial_key", "stress_key", "prefix", "config_type_key")
_IN_PYTHON = re.compile(rf"\b({'|'.join(_OPTIONS)})=(?=(\S?))")
_FALSE = " (False: do not use)"  # of a key; for virials there is --no-virials


def add_labels(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where labels are."""
    group = parser.add_argument_group(
        "labels", "Found by their names: energy, forces, virial, stress, with any prefix (REF_energy, dft_forces)."
    )
    for name, unit in (("energy", "eV"), ("forces", "eV/Å"), ("virial", "−∂E/∂ε in eV"), ("stress", "eV/Å³")):
        group.add_argument(f"--{name}-key", metavar="KEY", help=f"key of the {name}: {unit}")
    group.add_argument("--prefix", metavar="TEXT", help='take labels with this prefix alone; "" for none')
    group.add_argument("--config-type-key", metavar="KEY", help="key of the group; default config_type")
    group.add_argument("--no-virials", action="store_true", help="leave virials and stresses out")


def label_arguments(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options as arguments of `resolve_keys`; empty if none was given."""
    given = {name: value for name in _OPTIONS if (value := getattr(arguments, name)) is not None}
    if arguments.no_virials:
        if "virial_key" in given or "stress_key" in given:
            raise ValueError("--no-virials excludes --virial-key and --stress-key")
        given |= {"virial_key": False, "stress_key": False}
    return given


def labels_of(structures: Mapping[str, Iterable[Atoms]], keys: LabelKeys) -> LabeledData:
    """Return the structures of files with their labels; messages say which file, and which structure in it.

    Parameters
    ----------
    structures : mapping of str to iterable of ase.Atoms
        Name of the file → its structures.
    keys : LabelKeys
    """
    return LabeledData(
        tuple(
            read_labels(atoms, keys, name=f"{name}[{k}]")
            for name, found in structures.items()
            for k, atoms in enumerate(found)
        ),
        keys,
    )


def with_option_names(text: str) -> str:
    """Return a message of the functions of Python with the options of the command line in place of their arguments.

    Examples
    --------
    >>> with_option_names("energy_key='E' is in none of 3 structures; name it with energy_key=, ...")
    "--energy-key 'E' is in none of 3 structures; name it with --energy-key, ..."
    """

    def option(match: re.Match[str]) -> str:
        value_follows = match[2] not in ("", ",", ".")
        return f"--{match[1].replace('_', '-')}" + " " * value_follows

    return _IN_PYTHON.sub(option, text.replace(_FALSE, ""))


def load(path: str | os.PathLike[str]) -> LinearACE:
    """Read a model; errors say which file."""
    try:
        return LinearACE.load(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"cannot read {os.fspath(path)!r}: there is no such file") from error
