"""A: sums over neighbors, A_v = Σ_j φ_v(r_ij), and how the kernel lays them out.

A radial *channel* is a label q; for each neighbor species a channel keeps the harmonics up to the largest l that
products use, in the order l² + l + m. Radial functions that combine others are mixed from the sums of these. Digits
that are lost in a channel cannot be had back: mild combinations of orthonormal polynomials lose none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from acepure.labels.factors import OneParticle

__all__ = ["PoolingLayout", "RadialMixing", "pooling_layout", "radial_channels", "radial_mixing"]


@dataclass(frozen=True, eq=False)
class PoolingLayout:
    """Where the sums of one center are.

    Attributes
    ----------
    lmax : int
        Largest degree of all.
    start, n_blocks : numpy.ndarray of int32, shape (n_species, n_channels)
        Position of the first harmonic of a channel, and how many blocks of LANES harmonics it keeps (0: unused).
    size : int
        Length of the sums of one center, padding included.
    leaves : numpy.ndarray of int32, shape (n_one_particle,)
        Position of each one-particle function, of its first channel where it combines several.
    l_indptr, l_channels : numpy.ndarray of int32, shapes (n_species, lmax + 2) and (n,)
        The channels that use each degree, for each species: l_channels[l_indptr[z, l]:l_indptr[z, l + 1]].
    """

    lmax: int
    start: np.ndarray
    n_blocks: np.ndarray
    size: int
    leaves: np.ndarray
    l_indptr: np.ndarray
    l_channels: np.ndarray


def pooling_layout(
    one_particle: tuple[OneParticle, ...],
    n_species: int,
    n_channels: int,
    parts: Mapping[Any, Sequence[int]],
    lanes: int,
) -> PoolingLayout:
    """Lay out the sums that a set of one-particle functions needs.

    Parameters
    ----------
    one_particle : tuple of OneParticle
    n_species, n_channels : int
    parts : mapping
        For each radial label of `one_particle` the channels that it combines.
    lanes : int
        Length of a block.
    """
    l_top = np.full((n_species, n_channels), -1)
    for v in one_particle:
        mine = parts[v.q]
        l_top[v.z, mine] = np.maximum(l_top[v.z, mine], v.l)
    n_blocks = -(-((l_top + 1) ** 2) // lanes)
    end = np.cumsum(n_blocks.ravel()) * lanes
    start = (end - n_blocks.ravel() * lanes).reshape(n_blocks.shape)
    leaves = [start[v.z, parts[v.q][0]] + v.l * v.l + v.l + v.m for v in one_particle]
    return PoolingLayout(
        lmax=int(l_top.max()),
        start=start.astype(np.int32),
        n_blocks=n_blocks.astype(np.int32),
        size=int(end[-1]),
        leaves=np.array(leaves, dtype=np.int32),
        **_channels_by_degree(one_particle, n_species, parts),
    )


def _channels_by_degree(
    one_particle: tuple[OneParticle, ...], n_species: int, parts: Mapping[Any, Sequence[int]]
) -> dict[str, np.ndarray]:
    n_l = max(v.l for v in one_particle) + 1
    users: list[set[int]] = [set() for _ in range(n_species * n_l)]
    for v in one_particle:
        if v.m == 0:
            users[v.z * n_l + v.l].update(parts[v.q])
    ends = np.cumsum([0, *map(len, users)])
    rows = np.arange(n_species)[:, None] * n_l + np.arange(n_l + 1)
    return {
        "l_indptr": ends[rows].astype(np.int32),
        "l_channels": np.array([q for channels in users for q in sorted(channels)], dtype=np.int32),
    }


def radial_channels(labels: Iterable[Any], graded: bool) -> tuple[tuple[Any, ...], np.ndarray]:
    """Return the channels in the order of the kernel's radial table, and how many each grade has.

    Parameters
    ----------
    labels : iterable
        Radial labels that are needed.
    graded : bool
        Whether they are (s, n): each grade then gets a whole range of n, as its recurrence produces it.
    """
    if not graded:
        return tuple(sorted(set(labels))), np.empty(0, dtype=np.int32)
    sizes = np.zeros(max(grade for grade, _ in labels), dtype=np.int32)
    for grade, n in labels:
        sizes[grade - 1] = max(sizes[grade - 1], n + 1)
    return tuple((s, n) for s, size in enumerate(sizes.tolist(), 1) for n in range(size)), sizes


@dataclass(frozen=True, eq=False)
class RadialMixing:
    """Radial functions as combinations of channels; none are combined where `weights` is empty.

    Attributes
    ----------
    numbers : dict
        What the kernel calls the function of each label: its channel, or its combination.
    parts : dict
        The channels of each label.
    indptr, channels : numpy.ndarray of int32
        Combination f takes channels[indptr[f]:indptr[f + 1]].
    weights : numpy.ndarray of float64, shape (n_species², len(channels))
        Weights of these, for each ordered pair of species.
    """

    numbers: dict[Any, int]
    parts: dict[Any, list[int]]
    indptr: np.ndarray
    channels: np.ndarray
    weights: np.ndarray


def radial_mixing(
    labels: Sequence[Any], channels: Sequence[Any], matrices: Sequence[np.ndarray | None]
) -> RadialMixing:
    """Arrange the combinations of channels that labels stand for.

    Parameters
    ----------
    labels, channels : sequence
        Radial labels of the products and of the sums.
    matrices : sequence of numpy.ndarray or None, shape (n_channels, n_labels)
        For each ordered pair of species; None where labels are channels.
    """
    if any(matrix is None for matrix in matrices):
        numbers = {q: channels.index(q) for q in labels}
        parts = {q: [i] for q, i in numbers.items()}
        return RadialMixing(numbers, parts, np.zeros(1, dtype=np.int32), np.empty(0, dtype=np.int32), np.empty((0, 0)))
    W = np.array(matrices)
    used = (W != 0).any(axis=0)
    used[0, ~used.any(axis=0)] = True  # a function that vanishes has a channel, too
    columns, rows = np.nonzero(used.T)
    return RadialMixing(
        numbers={q: f for f, q in enumerate(labels)},
        parts={q: np.flatnonzero(used[:, f]).tolist() for f, q in enumerate(labels)},
        indptr=np.concatenate([[0], np.cumsum(used.sum(axis=0))]).astype(np.int32),
        channels=rows.astype(np.int32),
        weights=np.ascontiguousarray(W[:, rows, columns]),
    )
