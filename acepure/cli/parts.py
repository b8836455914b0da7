"""What commands share: checking and reading files, building a basis, words for tables."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from ase import Atoms

from acepure._utils.files import check_writable
from acepure.cli.options import SPECIFICATION
from acepure.cli.radial import with_radial
from acepure.features.basis import ACEBasis
from acepure.functions.radial import PolynomialRadialBasis
from acepure.structures.files import StructureFiles

__all__ = ["basis_arguments", "check_outputs", "describe", "plural", "read", "ready_basis"]


def check_outputs(outputs: Mapping[str, str | None]) -> None:
    """Raise before the work if a file cannot be written; `outputs` are option → path, None for none."""
    for option, path in outputs.items():
        if path is not None:
            try:
                check_writable(path)
            except OSError as error:
                raise type(error)(f"{option}: {error}") from None


def read(name: str, index: str) -> list[Atoms]:
    """Return the structures of a file; errors say which file."""
    return list(StructureFiles(name, index))


def basis_arguments(arguments: argparse.Namespace, names: Sequence[str] = SPECIFICATION) -> dict[str, Any]:
    """Return the options that were given as arguments of `ACEBasis`."""
    given = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    return with_radial(given, arguments)


def ready_basis(species: Sequence[str], arguments: argparse.Namespace) -> ACEBasis:
    """Build the basis and its compiled tables, which otherwise the first structure would wait for."""
    basis = ACEBasis(species, canonical=not arguments.self_interacting, **basis_arguments(arguments))
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
    radial = _radial(basis)
    return f"{kind}, {' '.join(basis.species)}, rcut {basis.rcut:g} Å, {radial}order {basis.order}, {functions}"


def _radial(basis: ACEBasis) -> str:
    """Transform and envelope, unless they are those that a basis has by default."""
    if not isinstance(basis.radial, PolynomialRadialBasis):
        return ""
    usual, radial = PolynomialRadialBasis(), basis.radial
    if (radial.transform, radial.envelope) == (usual.transform, usual.envelope):
        return ""
    return f"{radial.transform!r}, {radial.envelope!r}, "


def _per_order(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in (values if len(set(values)) > 1 else values[:1]))


def plural(n: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
