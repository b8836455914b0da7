"""Derivatives of features, forward: per pair, or summed over the centers of a structure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike

from acepure._kernels.forces import accumulate_forces, accumulate_rows
from acepure._utils.checks import number, real_array
from acepure._utils.memory import refuse_larger
from acepure._utils.threads import useful_threads
from acepure.features.basis import ACEBasis, check_basis
from acepure.neighbors.environments import Environments
from acepure.neighbors.lists import NeighborList

__all__ = ["PairJacobian", "SummedGradients", "pair_jacobian", "pullback", "summed_gradients"]

#: Largest result that `pair_jacobian` and `summed_gradients` make unless told otherwise, in bytes.
MAX_BYTES = 4 * 2**30

# `summed_gradients` holds the Jacobians of a part of the pairs in a buffer of about this size.
_BUFFER_BYTES = 32 * 2**20


@dataclass(frozen=True, eq=False)
class PairJacobian:
    """∂B_f(i)/∂r_ij for every pair.

    Attributes
    ----------
    centers, neighbors : numpy.ndarray of int32, shape (n_pairs,)
        Atoms i and j.
    shifts : numpy.ndarray of int32, shape (n_pairs, 3)
        Periodic image of j.
    vectors : numpy.ndarray of float64, shape (n_pairs, 3)
        r_ij = r_j − r_i + S·cell, Å.
    values : numpy.ndarray of float64, shape (n_pairs, 3, n_features), for L > 0 (n_pairs, 3, n_features, 2L + 1)
        Per Å. Moving atom j changes B_f(i) by it, moving atom i by minus it; zero for a pair beyond the cutoff, as
        lists with a skin hold them.
    """

    centers: np.ndarray
    neighbors: np.ndarray
    shifts: np.ndarray
    vectors: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class SummedGradients:
    """Derivatives of the features summed over the centers of each species.

    Attributes
    ----------
    positions : numpy.ndarray of float64, shape (n_species, n_atoms, 3, n_features), for L > 0 with 2L + 1 behind
        ∂(Σ_{i of species z} B_f(i)) / ∂r_k, per Å.
    strain : numpy.ndarray of float64, shape (n_species, 3, 3, n_features), for L > 0 with 2L + 1 behind
        The same with respect to the strain ε_ab, at r ↦ (1 + ε) r.
    """

    positions: np.ndarray
    strain: np.ndarray


def pair_jacobian(
    basis: ACEBasis,
    atoms: Atoms,
    *,
    indices: Any = None,
    neighbors: NeighborList | None = None,
    num_threads: int | None = None,
    max_bytes: float = MAX_BYTES,
) -> PairJacobian:
    """Return ∂B_f(i)/∂r_ij for every pair.

    Parameters
    ----------
    basis : ACEBasis
    atoms : ase.Atoms
    indices : sequence of int, slice or mask, optional
        Which atoms are centers; default all.
    neighbors : NeighborList, optional
        From `ACEBasis.neighbor_list` or `VerletList.update` of the same structure; that the positions are the same
        is not checked. Not together with `indices`: the list has its centers.
    num_threads : int, optional
    max_bytes : float
        Refuse a larger result.

    Returns
    -------
    PairJacobian

    Raises
    ------
    TypeError, ValueError
        For a structure or a list that does not belong to the basis.
    ValueError
        When the result would be larger than `max_bytes`, with its size.

    Examples
    --------
    >>> from ase.build import bulk
    >>> pair_jacobian(ACEBasis(["Cu"], order=2), bulk("Cu")).values.shape
    (42, 3, 37)
    """
    check_basis(basis, tensors=True)
    max_bytes = _checked_limit(max_bytes)
    environments = Environments(basis, atoms, indices=indices, neighbors=neighbors, num_threads=num_threads)
    neighbors = environments.neighbors
    shape = (neighbors.n_pairs, 3, *basis.feature_shape)
    advice = "select centers with indices, use summed_gradients, or raise max_bytes"
    refuse_larger("the Jacobian", shape, max_bytes, advice)
    values = np.empty(shape)
    _jacobian(basis, environments, neighbors, values.reshape(neighbors.n_pairs, 3, prod(basis.feature_shape)))
    centers = np.repeat(neighbors.centers, np.diff(neighbors.offsets))
    return PairJacobian(centers, neighbors.neighbors, neighbors.shifts, neighbors.vectors, values)


def summed_gradients(
    basis: ACEBasis,
    atoms: Atoms,
    *,
    neighbors: NeighborList | None = None,
    num_threads: int | None = None,
    max_bytes: float = MAX_BYTES,
) -> SummedGradients:
    """Return the derivatives of Σ_i B_i with respect to positions and strain: rows of a fit to forces and virials.

    Parameters
    ----------
    basis : ACEBasis
    atoms : ase.Atoms
    neighbors : NeighborList, optional
        As for `pair_jacobian`; the sum is over the centers of the list.
    num_threads : int, optional
    max_bytes : float
        Refuse a larger result.

    Returns
    -------
    SummedGradients

    Raises
    ------
    TypeError, ValueError
        For a structure or a list that does not belong to the basis.
    ValueError
        When the result would be larger than `max_bytes`, with its size.

    Examples
    --------
    >>> from ase.build import bulk
    >>> summed_gradients(ACEBasis(["Cu"], order=2), bulk("Cu", cubic=True)).positions.shape
    (1, 4, 3, 37)
    """
    check_basis(basis, tensors=True)
    max_bytes = _checked_limit(max_bytes)
    return sum_gradients(basis, Environments(basis, atoms, neighbors=neighbors, num_threads=num_threads), max_bytes)


def sum_gradients(
    basis: ACEBasis, environments: Environments, max_bytes: float = MAX_BYTES, weights: np.ndarray | None = None
) -> SummedGradients:
    """Return what `summed_gradients` returns, for environments that have been checked.

    With `weights` of the centers, shape (n_weights, n_centers), sums are weighted, and both arrays have an axis of the
    weights in front. They cost little more than one sum.
    """
    n_species, n_features, threads = len(basis.species), prod(basis.feature_shape), environments.num_threads
    shape = (1 if weights is None else len(weights), n_species, len(environments.species), 3, n_features)
    shown = shape[1:] if weights is None else shape
    refuse_larger("the result", shown, max_bytes, "use pullback for one function of the features, or raise max_bytes")
    positions, strain = np.zeros(shape), np.zeros((*shape[:2], 3, 3, n_features))
    buffer = np.empty(0)
    for part, rows, z in _parts(environments, n_features):
        size = part.n_pairs * 3 * n_features
        if len(buffer) < size:
            buffer = np.empty(size)
        values = buffer[:size].reshape(part.n_pairs, 3, n_features)
        _jacobian(basis, environments, part, values)
        for k in range(len(positions)):
            accumulate_rows(
                part.offsets,
                part.centers,
                part.neighbors,
                part.vectors,
                values,
                np.ones(part.n_centers) if weights is None else np.ascontiguousarray(weights[k, rows]),
                positions[k, z],
                strain[k, z],
                useful_threads(part.n_pairs, threads),
            )
    lead = () if weights is None else (len(weights),)
    return SummedGradients(
        positions.reshape(*lead, n_species, len(environments.species), 3, *basis.feature_shape),
        strain.reshape(*lead, n_species, 3, 3, *basis.feature_shape),
    )


def pullback(
    basis: ACEBasis,
    atoms: Atoms,
    cotangents: ArrayLike,
    *,
    neighbors: NeighborList | None = None,
    num_threads: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the vector-Jacobian product Σ_if g_if ∂B_f(i), with respect to positions and strain.

    With g = ∂E/∂B this is the gradient of any function E of the features.

    Parameters
    ----------
    basis : ACEBasis
    atoms : ase.Atoms
    cotangents : array_like of float64, shape (n_atoms, n_features)
        g, in the shape of the features: for L > 0 with 2L + 1 behind; with n_centers for a list of some centers.
    neighbors : NeighborList, optional
        As for `pair_jacobian`; the sum is over the centers of the list.
    num_threads : int, optional

    Returns
    -------
    positions : numpy.ndarray, shape (n_atoms, 3)
        Σ_if g_if ∂B_f(i)/∂r_k, per Å; forces are minus this.
    strain : numpy.ndarray, shape (3, 3)
        The same with respect to ε_ab, at r ↦ (1 + ε) r; the virial is minus this.

    Raises
    ------
    TypeError, ValueError
        For a structure or a list that does not belong to the basis, and for cotangents of another shape.

    Examples
    --------
    >>> from ase.build import bulk
    >>> basis = ACEBasis(["Cu"], order=2)
    >>> positions, strain = pullback(basis, bulk("Cu"), np.ones((1, len(basis))))
    >>> positions.shape, strain.shape
    ((1, 3), (3, 3))
    """
    check_basis(basis, tensors=True)
    environments = Environments(basis, atoms, neighbors=neighbors, num_threads=num_threads)
    neighbors = environments.neighbors
    cotangents = real_array("cotangents", cotangents, (neighbors.n_centers, *basis.feature_shape))
    cotangents = cotangents.reshape(neighbors.n_centers, prod(basis.feature_shape))
    gradients = np.zeros((neighbors.n_pairs, 3))
    for group, evaluator in zip(basis._groups, basis._tables.pullback_evaluators):
        evaluator.evaluate(environments.chosen(neighbors, group.species), cotangents, gradients)
    forces, virial = np.zeros((len(atoms), 3)), np.zeros((3, 3))
    accumulate_forces(
        neighbors.offsets, neighbors.centers, neighbors.neighbors, neighbors.vectors, gradients, forces, virial
    )
    return -forces, -virial


def _checked_limit(max_bytes: float) -> float:
    return max_bytes if max_bytes == float("inf") else number("max_bytes", max_bytes, least=0)


def _jacobian(basis: ACEBasis, environments: Environments, part: NeighborList, values: np.ndarray) -> None:
    for group, evaluator in zip(basis._groups, basis._tables.evaluators):
        evaluator.jacobian(environments.chosen(part, group.species), values)


def _parts(environments: Environments, n_features: int) -> Iterator[tuple[NeighborList, np.ndarray, int]]:
    """Centers of one species, as many at a time as have Jacobians that fit the buffer, and which these are."""
    neighbors = environments.neighbors
    limit = max(1, _BUFFER_BYTES // (24 * n_features))
    center_species = environments.center_species
    n_pairs = np.diff(neighbors.offsets)
    for z in np.unique(center_species):
        rows = np.flatnonzero(center_species == z)
        ends = np.cumsum(n_pairs[rows])
        first = done = 0
        while first < len(rows):
            last = max(first + 1, int(np.searchsorted(ends, done + limit, side="right")))
            yield _of_centers(neighbors, rows[first:last]), rows[first:last], int(z)
            first, done = last, ends[last - 1]


def _of_centers(neighbors: NeighborList, rows: np.ndarray) -> NeighborList:
    """The part of a list that belongs to some of its centers."""
    counts = neighbors.offsets[rows + 1] - neighbors.offsets[rows]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    pairs = np.arange(offsets[-1]) + np.repeat(neighbors.offsets[rows] - offsets[:-1], counts)
    return replace(
        neighbors,
        offsets=offsets,
        centers=neighbors.centers[rows],
        neighbors=neighbors.neighbors[pairs],
        shifts=neighbors.shifts[pairs],
        vectors=neighbors.vectors[pairs],
    )
