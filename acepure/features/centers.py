"""Species of center that share operators, with the constants that a reference gives them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from acepure.algebra.operators import Operators, assemble
from acepure.algebra.radial_algebra import RadialAlgebra
from acepure.functions.radial import RadialBasis
from acepure.labels.factors import Block, Factor
from acepure.labels.irreps import INVARIANT, Irrep
from acepure.references import Reference

__all__ = ["CenterGroup", "center_groups", "only_group"]

PairConstants = Callable[[Factor, Factor], float]


@dataclass(frozen=True, eq=False)
class CenterGroup:
    """Species of center that share a product algebra, and so operators.

    Attributes
    ----------
    species : tuple of int
        Indices of the species of center.
    operators : Operators
    shift : numpy.ndarray, shape (n_species, n_one_particle), or None
        μ of each one-particle function of `operators.extended_products`, in the rows of `species`; None without
        a reference.
    """

    species: tuple[int, ...]
    operators: Operators
    shift: np.ndarray | None = None


def center_groups(
    species: Sequence[str],
    blocks: Sequence[Block],
    n_start: int,
    radial: RadialBasis,
    canonical: bool,
    reference: Reference | None = None,
    irrep: Irrep = INVARIANT,
) -> list[CenterGroup]:
    """Build the operators of a basis.

    Parameters
    ----------
    species : sequence of str
        Chemical symbols, centers and neighbors alike.
    blocks : sequence of Block
        The features, with n as the label of radial functions.
    n_start : int
        The n of the first radial function.
    radial : RadialBasis
    canonical : bool
    reference : Reference, optional
    irrep : Irrep
        What the features are.

    Returns
    -------
    list of CenterGroup
        Centers with equal algebras share one; with a reference every species has its own.
    """
    n_radial = 1 + max(f.q for block in blocks for f in block) - n_start
    algebras: list[tuple[RadialAlgebra, list[int]]] = []
    for z, center in enumerate(species):
        algebra = radial.algebra(center, species, n_radial)
        known = None if reference is not None else next((group for group in algebras if group[0] == algebra), None)
        if known is None:
            algebras.append((algebra, [z]))
        else:
            known[1].append(z)
    groups = []
    for algebra, centers in algebras:
        labeled = [
            tuple(sorted(Factor(f.l, f.z, algebra.basis_label(f.q - n_start, f.l)) for f in block)) for block in blocks
        ]
        if reference is None:
            groups.append(CenterGroup(tuple(centers), assemble(labeled, algebra, canonical, None, irrep)))
        else:
            groups.append(_referred(species, centers[0], labeled, algebra, radial, canonical, reference, irrep))
    return groups


def only_group(groups: Sequence[CenterGroup], species: Sequence[str]) -> CenterGroup:
    """Return the group of all species of center, or raise a ValueError where there are several."""
    if len(groups) > 1:
        raise ValueError(
            "the purification operator differs between species of center, because their radial functions do; "
            f"use operators(center).purification_with_columns with center one of {species}"
        )
    return groups[0]


def _referred(
    species: Sequence[str],
    z: int,
    blocks: Sequence[Block],
    algebra: RadialAlgebra,
    radial: RadialBasis,
    canonical: bool,
    reference: Reference,
    irrep: Irrep,
) -> CenterGroup:
    """The group of one species of center, with the constants of the reference."""

    @cache
    def mean(neighbor: int, q: Any) -> float:
        return float(reference.means(radial, species[z], species[neighbor], [q])[0])

    pairs = reference.pairs(radial, species[z], species)
    if pairs is None and canonical:
        pairs = mean_pair_constants(algebra, mean)
    operators = assemble(blocks, algebra, canonical, pairs, irrep)
    one_particle = operators.extended_products.one_particle
    shift = np.zeros((len(species), len(one_particle)))
    shift[z] = [mean(v.z, v.q) if v.l == 0 else 0.0 for v in one_particle]
    return CenterGroup((z,), operators, shift)


def mean_pair_constants(algebra: RadialAlgebra, mean: Callable[[int, Any], float]) -> PairConstants:
    """Return c(u, v) = Σ_κ p^κ_uv μ_κ = δ_zz' Σ_q p_q μ_q / √(4π), the constants of the centered canonical basis.

    Of the product of two harmonics with equal l and m, the part with l = 0 is 1/√(4π) times Y_00.
    """

    def pairs(u: Factor, v: Factor) -> float:
        if u.z != v.z:
            return 0.0
        return sum(p * mean(u.z, q) for q, p in algebra.product(u.z, u.q, v.q)) / np.sqrt(4 * np.pi)

    return pairs
