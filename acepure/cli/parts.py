"""What commands share: reading structures, building a basis, words for tables."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ase import Atoms

from acepure.cli.options import SPECIFICATION
from acepure.descriptor import ACEBasis
from acepure.structure_files import StructureFiles

__all__ = ["describe", "plural", "read", "ready_basis"]


def read(name: str, index: str) -> list[Atoms]:
    """Return the structures of a file; errors say which file."""
    return list(StructureFiles(name, index))


def ready_basis(species: Sequence[str], arguments: argparse.Namespace) -> ACEBasis:
    """Build the basis and its compiled tables, which otherwise the first structure would wait for."""
    given = {name: value for name in SPECIFICATION if (value := getattr(arguments, name)) is not None}
    basis = ACEBasis(species, canonical=not arguments.self_interacting, **given)
    basis.descriptors(Atoms(basis.species[0]), num_threads=1)
    return basis


def describe(basis: ACEBasis) -> str:
    """Return a basis in one line."""
    specification = basis.specification
    n_max, l_max = specification.n_max, specification.l_max
    if specification.totaldegree is not None:
        functions = f"total degree {_per_order(specification.totaldegree)}"
        functions += f" (wL = {specification.wL:g}, n from {specification.n_start})"
    elif n_max is not None and l_max is not None:
        functions = f"n_max {_per_order(n_max)}, l_max {_per_order(l_max)}"
    else:
        functions = "explicit functions"
    kind = "canonical" if basis.canonical else "self-interacting"
    return f"{kind}, {' '.join(basis.species)}, rcut {basis.rcut:g} Å, order {basis.order}, {functions}"


def _per_order(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in (values if len(set(values)) > 1 else values[:1]))


def plural(n: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
