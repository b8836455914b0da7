"""A: sums over neighbors, A_v = Σ_j φ_v(r_ij), and how the kernel lays them out.

A radial *channel* is a label q; for each neighbor species a channel keeps the harmonics up to the largest l that
products use, in the order l² + l + m.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from acepure.algebra.radial_algebra import GradedAlgebra, RadialAlgebra
from acepure.labels.factors import OneParticle

__all__ = ["PoolingLayout", "pooling_layout"]


@dataclass(frozen=True, eq=False)
class PoolingLayout:
    """Where the sums of one center are.

    Attributes
    ----------
    lmax : int
        Largest degree of all.
    channels : tuple
        Radial labels q, in the order of the kernel's radial table.
    grade_sizes : numpy.ndarray of int32
        For graded labels (s, n): the number of channels of each grade; channels run over n within a grade.
    start, n_blocks : numpy.ndarray of int32, shape (n_species, n_channels)
        Position of the first harmonic of a channel, and how many blocks of LANES harmonics it keeps (0: unused).
    size : int
        Length of the sums of one center, padding included.
    leaves : numpy.ndarray of int32, shape (n_one_particle,)
        Position of each one-particle function.
    l_indptr, l_channels : numpy.ndarray of int32, shapes (n_species, lmax + 2) and (n,)
        The channels that use each degree, for each species: l_channels[l_indptr[z, l]:l_indptr[z, l + 1]].
    """

    lmax: int
    channels: tuple[Any, ...]
    grade_sizes: np.ndarray
    start: np.ndarray
    n_blocks: np.ndarray
    size: int
    leaves: np.ndarray
    l_indptr: np.ndarray
    l_channels: np.ndarray


def pooling_layout(
    one_particle: tuple[OneParticle, ...], n_species: int, algebra: RadialAlgebra, lanes: int
) -> PoolingLayout:
    """Lay out the sums that a set of one-particle functions needs.

    Parameters
    ----------
    one_particle : tuple of OneParticle
    n_species : int
    algebra : RadialAlgebra
        A `GradedAlgebra` gets complete ranges of n in each grade, as its recurrence produces them.
    lanes : int
        Length of a block.
    """
    channels, grade_sizes = _channels({v.q for v in one_particle}, algebra)
    position = {q: i for i, q in enumerate(channels)}
    l_top = np.full((n_species, len(channels)), -1)
    for v in one_particle:
        l_top[v.z, position[v.q]] = max(l_top[v.z, position[v.q]], v.l)
    n_blocks = -(-((l_top + 1) ** 2) // lanes)
    end = np.cumsum(n_blocks.ravel()) * lanes
    start = (end - n_blocks.ravel() * lanes).reshape(n_blocks.shape)
    leaves = [start[v.z, position[v.q]] + v.l * v.l + v.l + v.m for v in one_particle]
    return PoolingLayout(
        lmax=int(l_top.max()),
        channels=channels,
        grade_sizes=np.array(grade_sizes, dtype=np.int32),
        start=start.astype(np.int32),
        n_blocks=n_blocks.astype(np.int32),
        size=int(end[-1]),
        leaves=np.array(leaves, dtype=np.int32),
        **_channels_by_degree(one_particle, n_species, position),
    )


def _channels_by_degree(
    one_particle: tuple[OneParticle, ...], n_species: int, position: dict[Any, int]
) -> dict[str, np.ndarray]:
    n_l = max(v.l for v in one_particle) + 1
    users: list[list[int]] = [[] for _ in range(n_species * n_l)]
    for v in one_particle:
        if v.m == 0:
            users[v.z * n_l + v.l].append(position[v.q])
    ends = np.cumsum([0, *map(len, users)])
    rows = np.arange(n_species)[:, None] * n_l + np.arange(n_l + 1)
    return {
        "l_indptr": ends[rows].astype(np.int32),
        "l_channels": np.array([q for channels in users for q in sorted(channels)], dtype=np.int32),
    }


def _channels(labels: set[Any], algebra: RadialAlgebra) -> tuple[tuple[Any, ...], list[int]]:
    if not isinstance(algebra, GradedAlgebra):
        return tuple(sorted(labels)), []
    sizes = [0] * max(grade for grade, _ in labels)
    for grade, n in labels:
        sizes[grade - 1] = max(sizes[grade - 1], n + 1)
    return tuple((s, n) for s, size in enumerate(sizes, 1) for n in range(size)), sizes
