"""Conditioning and floors of one basis on structures, for each species of center.

    measure(basis, structures, ...) → Measured

Every species of center has its own coefficients in a model, and so a Gram matrix of its own; of single numbers the
worst species counts. Features that vanish in all environments are left out, as a fit can leave them out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms

from acepure._utils.tall_qr import RFactor
from acepure.diagnostics.conditioning import Conditioning
from acepure.diagnostics.environments import chosen_centers, feature_rows
from acepure.diagnostics.floors import held_out_floors, lower_orders_off
from acepure.diagnostics.orders import feature_orders
from acepure.features.basis import ACEBasis

# Canonical features below this part of the self-interacting ones vanish: what is left is rounding.
_VANISHING = 1e-11


class Measured(NamedTuple):
    """Conditioning and number of vanishing features by species of center, and the floors of `ComparisonRow`."""

    conditioning: dict[str, Conditioning]
    vanishing: dict[str, int]
    lower_orders_off: float
    lower_orders_off_held_out: float
    whitened_held_out: float


def measure(
    basis: ACEBasis,
    structures: Sequence[Atoms],
    sampling: dict[str, Any],
    *,
    plain: ACEBasis | None = None,
    held_out: bool = True,
    threads: int | None = None,
) -> Measured:
    """Return conditioning and floors.

    Parameters
    ----------
    basis : ACEBasis
    structures : sequence of ase.Atoms
        Those with even numbers are one half, the others the other.
    sampling : dict
        Further arguments of `chosen_centers`.
    plain : ACEBasis, optional
        The self-interacting basis of a canonical one: its features tell which canonical ones are nothing but rounding.
    held_out : bool
        Whether the held-out floors are wanted; else they are NaN.
    threads : int, optional
    """
    halves: dict[str, list[RFactor]] = {}
    squares: dict[str, np.ndarray] = {}
    for number, atoms, centers in chosen_centers(structures, **sampling):
        symbols = np.array(atoms.get_chemical_symbols())[slice(None) if centers is None else centers]
        features = feature_rows(basis, number, atoms, centers, threads)
        others = features if plain is None else feature_rows(plain, number, atoms, centers, threads)
        for center in sorted(set(symbols.tolist())):
            rows = features[symbols == center]
            factors = halves.setdefault(center, [RFactor(1 + len(basis)) for _ in range(2)])
            factors[number % 2].add(np.column_stack([np.ones(len(rows)), rows]))
            sums = squares.setdefault(center, np.zeros((2, len(basis))))
            sums += np.sum(rows**2, axis=0), np.sum(others[symbols == center] ** 2, axis=0)
    found, vanishing = {}, {}
    for center in filter(halves.get, basis.species):
        own, other = squares[center]
        kept = np.flatnonzero(own > _VANISHING**2 * other)
        vanishing[center] = len(basis) - len(kept)
        found[center] = _one_species(basis, halves[center], kept, held_out)
    conditionings, *floors = zip(*found.values())
    return Measured(dict(zip(found, conditionings)), vanishing, *(float(np.max(values)) for values in floors))


def _one_species(
    basis: ACEBasis, halves: Sequence[RFactor], kept: np.ndarray, held_out: bool
) -> tuple[Conditioning, float, float, float]:
    both = RFactor(1 + len(basis))
    for half in halves:
        both.merge(half)
    labels, orders = tuple(basis.labels), feature_orders(basis)
    whole, *parts = (
        Conditioning(factor.R, factor.n_rows, labels, orders).of_features(kept)
        for factor in (both, *halves)
        if factor.n_rows
    )
    columns = np.append(0, whole.orders)
    off = lower_orders_off(whole.R, columns) if whole.resolved("scaled") else np.inf
    if not held_out or len(parts) < 2 or min(part.n_environments for part in parts) < len(columns):
        return whole, off, np.nan, np.nan
    if not all(part.resolved("scaled") for part in parts):
        return whole, off, np.inf, np.inf
    first, second = parts
    return whole, off, *held_out_floors(first.R, second.R, columns)
