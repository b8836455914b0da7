"""Names of things: one-particle functions, blocks of factors, products.

    OneParticle   v = (l, z, q, m)     one function φ_v, one neighbor sum A_v
    Factor        (l, z, q)            a one-particle function up to m
    Block         sorted factors       all products that differ in their m's alone
    ProductSet    many products        the columns of operators

z is a species index, q a label of a radial function (hashable, sortable).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from acepure._utils.read_only import ReadOnlyArrays, read_only

__all__ = ["Block", "Factor", "OneParticle", "ProductSet", "equality_pattern", "one_particle_set"]


class Factor(NamedTuple):
    """What a product knows of one of its factors besides m: degree l, neighbor species z, radial label q."""

    l: int
    z: int
    q: Any


class OneParticle(NamedTuple):
    """Index v of a one-particle function φ_v = δ(z, z_j) R_q(r) Y_lm(r̂)."""

    l: int
    z: int
    q: Any
    m: int


Block = tuple[Factor, ...]


@dataclass(frozen=True, eq=False)
class ProductSet(ReadOnlyArrays, Sequence[tuple[OneParticle, ...]]):
    """An ordered set of products Π_t A_{k_t}, stored as integer arrays.

    Attributes
    ----------
    one_particle : tuple of OneParticle
        The functions φ_v that A is pooled from, sorted.
    factors : tuple of numpy.ndarray
        For each run of products of equal order: positions in `one_particle`, shape (n, order), each row sorted.
        An order of 0 is the constant 1.
    """

    one_particle: tuple[OneParticle, ...]
    factors: tuple[np.ndarray, ...]

    def __post_init__(self) -> None:
        read_only(self.factors)

    def __len__(self) -> int:
        return sum(len(run) for run in self.factors)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"product {index} of {len(self)}")
        index %= len(self)
        for run in self.factors:
            if index < len(run):
                return tuple(self.one_particle[v] for v in run[index])
            index -= len(run)
        raise AssertionError("unreachable")

    def __repr__(self) -> str:
        return f"ProductSet({len(self)} products of {len(self.one_particle)} sums over neighbors)"


def one_particle_set(blocks: Iterable[Block]) -> tuple[OneParticle, ...]:
    """Return the sorted one-particle functions that the blocks are made of.

    Examples
    --------
    >>> [(v.l, v.m) for v in one_particle_set([(Factor(0, 0, 0),), (Factor(1, 0, 0), Factor(1, 0, 0))])]
    [(0, 0), (1, -1), (1, 0), (1, 1)]
    """
    channels = sorted({factor for block in blocks for factor in block})
    return tuple(OneParticle(l, z, q, m) for l, z, q in channels for m in range(-l, l + 1))


def equality_pattern(block: Block) -> tuple[int, ...]:
    """Return numbers of the distinct factors of a sorted block: (a, a, b) → (0, 0, 1).

    Examples
    --------
    >>> equality_pattern((Factor(0, 0, 1), Factor(0, 0, 1), Factor(2, 0, 1)))
    (0, 0, 1)
    """
    pattern = [0] if block else []
    for previous, factor in pairwise(block):
        pattern.append(pattern[-1] + (factor != previous))
    return tuple(pattern)
