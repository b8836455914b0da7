"""What a run refuses before it begins."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms

from acepure._utils.checks import number, symbol
from acepure.active.guards import copied, overlap
from acepure.active.reference import has_labels
from acepure.active.trajectory import Dynamics
from acepure.features.basis import ACEBasis

# Least squares of reference energies need so many structures more than species.
_SPARE = 5


def check_starts(starts: Sequence[Atoms], basis: ACEBasis, dynamics: Dynamics) -> None:
    """Raise for structures that no trajectory may start from.

    Raises
    ------
    SpeciesError, ValueError
        For species that the basis lacks, overlapping atoms, copies, constraints, cell moves of what is not periodic,
        and swaps where no structure has two species.
    """
    if len(starts) < 2:
        raise ValueError(f"starts must be at least 2 structures: each is predicted without it; got {len(starts)}")
    for k, atoms in enumerate(starts):
        basis.species_indices(atoms, f"starts[{k}]")
        reason = overlap(atoms, basis)
        if reason is not None:
            raise ValueError(f"starts[{k}]: {reason}")
        if atoms.constraints:
            raise ValueError(f"starts[{k}] has constraints, which moves would not keep; remove them")
        twin = copied(atoms, (("starts", j, starts[j]) for j in range(k)))
        if twin is not None:
            raise ValueError(f"starts[{k}] is a copy of {twin}")
        if dynamics.cell_every and not atoms.pbc.all():
            raise ValueError(f"cell_every needs three periodic axes; pbc of starts[{k}] is {atoms.pbc.tolist()}")
    if dynamics.swap_every and all(len(set(atoms.numbers)) < 2 for atoms in starts):
        raise ValueError("swap_every needs two species in a structure of starts")


def check_E0s(E0s: Mapping[str, float] | str, basis: ACEBasis, n_starts: int) -> Mapping[str, float] | str:
    """Return energies of isolated atoms as they were asked for.

    Raises
    ------
    TypeError, ValueError
        For what is none, species without energy, and least squares on few structures.
    """
    if isinstance(E0s, Mapping):
        given = {symbol("each species of E0s", s): number(f"E0s[{s!r}]", value) for s, value in E0s.items()}
        missing = [s for s in basis.species if s not in given]
        if missing:
            raise ValueError(f"E0s has no energy of {', '.join(missing)}")
        return given
    if E0s not in ("isolated", "lstsq"):
        raise ValueError(f'E0s must be a mapping {{symbol: eV}}, "isolated" or "lstsq"; got {E0s!r}')
    needed = len(basis.species) + _SPARE
    if E0s == "lstsq" and n_starts < needed:
        raise ValueError(
            f'E0s="lstsq" needs at least {needed} structures of starts to mean anything; got {n_starts}. Give energies '
            'of isolated atoms, or E0s="isolated" to compute them'
        )
    return E0s


def check_calculator(calculator: Any, dynamics: Dynamics) -> None:
    """Raise for what cannot label structures.

    Raises
    ------
    TypeError, ValueError
        For what is neither a calculator of ASE nor callable nor None, and calculators without forces.
    """
    if calculator is None or (callable(calculator) and not hasattr(calculator, "get_property")):
        return
    properties = getattr(calculator, "implemented_properties", None)
    if properties is None:
        raise TypeError(
            f"calculator must be a calculator of ASE, a function of a structure, or None; got {calculator!r}"
        )
    if "forces" not in properties:
        raise ValueError(f"the calculator has no forces, only {', '.join(properties)}")


def fingerprint(structures: Sequence[Atoms]) -> str:
    """Return what tells structures and their labels from others."""
    found = hashlib.sha256()
    for atoms in structures:
        results = [atoms.calc.results["energy"], atoms.calc.results["forces"]] if has_labels(atoms) else []
        for part in (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, *results):
            found.update(np.ascontiguousarray(part, dtype=float).tobytes())
    return found.hexdigest()
