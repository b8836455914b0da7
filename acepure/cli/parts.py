"""What commands share: reading structures, building a basis, formats of figures, words for tables."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from ase import Atoms

from acepure.cli.options import SPECIFICATION
from acepure.descriptor import ACEBasis
from acepure.structure_files import StructureFiles

__all__ = ["describe", "figure_format", "plural", "read", "ready_basis"]


def read(name: str, index: str) -> list[Atoms]:
    """Return the structures of a file; errors say which file."""
    return list(StructureFiles(name, index))


def ready_basis(species: Sequence[str], arguments: argparse.Namespace) -> ACEBasis:
    """Build the basis and its compiled tables, which otherwise the first structure would wait for."""
    given = {name: value for name in SPECIFICATION if (value := getattr(arguments, name)) is not None}
    basis = ACEBasis(species, canonical=not arguments.self_interacting, **given)
    basis.descriptors(Atoms(basis.species[0]), num_threads=1)
    return basis


def figure_format(option: str, path: str) -> str:
    """Return the format that the name of a figure asks for; the message names the option."""
    from acepure.plotting import figure_formats

    known, ending = figure_formats(), os.path.splitext(path)[1]
    if ending[1:].lower() not in known:
        raise ValueError(f"{option} {path}: the name must end in one of .{', .'.join(known)}")
    return ending[1:].lower()


def describe(basis: ACEBasis) -> str:
    """Return a basis in one line."""
    specification = basis.specification
    if specification.totaldegree is not None:
        functions = f"total degree {_per_order(specification.totaldegree)}"
        functions += f" (wL = {specification.wL:g}, n from {specification.n_start})"
    else:
        functions = f"n_max {_per_order(specification.n_max)}, l_max {_per_order(specification.l_max)}"
    kind = "canonical" if basis.canonical else "self-interacting"
    return f"{kind}, {' '.join(basis.species)}, rcut {basis.rcut:g} Å, order {basis.order}, {functions}"


def _per_order(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in (values if len(set(values)) > 1 else values[:1]))


def plural(n: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
