"""Derivatives of features, forward: per pair, or summed over the centers of a structure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike

from acepure._kernels.forces import accumulate_forces, accumulate_rows
from acepure.checks import number, real_array
from acepure.descriptor import ACEBasis, check_basis
from acepure.evaluation import resolve_num_threads, useful_threads
from acepure.neighbors import NeighborList

__all__ = ["PairJacobian", "SummedGradients", "pair_jacobian", "pullback", "summed_gradients"]

#: Largest array that `pair_jacobian` makes unless told otherwise, in bytes.
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
    values : numpy.ndarray of float64, shape (n_pairs, 3, n_features)
        Per Å. Atom j pulls with it, atom i with minus it.
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
    positions : numpy.ndarray of float64, shape (n_species, n_atoms, 3, n_features)
        ∂(Σ_{i of species z} B_f(i)) / ∂r_k, per Å.
    strain : numpy.ndarray of float64, shape (n_species, 3, 3, n_features)
        The same with respect to the strain ε_ab, at r ↦ (1 + ε) r.
    """

    positions: np.ndarray
    strain: np.ndarray


def pair_jacobian(
    basis: ACEBasis, atoms: Atoms, *, indices: Any = None, num_threads: int | None = None, max_bytes: float = MAX_BYTES
) -> PairJacobian:
    """Return ∂B_f(i)/∂r_ij for every pair.

    Parameters
    ----------
    basis : ACEBasis
    atoms : ase.Atoms
    indices : sequence of int or mask, optional
        Which atoms are centers; default all.
    num_threads : int, optional
    max_bytes : float
        Refuse a larger result.

    Returns
    -------
    PairJacobian

    Raises
    ------
    ValueError
        When the result would be larger than `max_bytes`, with its size.

    Examples
    --------
    >>> from ase.build import bulk
    >>> pair_jacobian(ACEBasis(["Cu"], order=2), bulk("Cu")).values.shape
    (42, 3, 37)
    """
    check_basis(basis)
    if max_bytes != float("inf"):
        max_bytes = number("max_bytes", max_bytes, least=0)
    threads = resolve_num_threads(num_threads)
    neighbors = basis.neighbor_list(atoms, indices, threads)
    shape = (neighbors.n_pairs, 3, len(basis))
    n_bytes = 8 * float(np.prod([float(n) for n in shape]))
    if n_bytes > max_bytes:
        raise ValueError(
            f"the Jacobian of shape {shape} needs {n_bytes / 2**30:.3g} GiB, more than max_bytes={max_bytes:.3g}; "
            "select centers with indices, or use summed_gradients"
        )
    values = np.empty(shape)
    _jacobian(basis, neighbors, basis.species_indices(atoms), values, threads)
    centers = np.repeat(neighbors.centers, np.diff(neighbors.offsets))
    return PairJacobian(centers, neighbors.neighbors, neighbors.shifts, neighbors.vectors, values)


def summed_gradients(basis: ACEBasis, atoms: Atoms, *, num_threads: int | None = None) -> SummedGradients:
    """Return the derivatives of Σ_i B_i with respect to positions and strain: rows of a fit to forces and virials.

    Parameters
    ----------
    basis : ACEBasis
    atoms : ase.Atoms
    num_threads : int, optional

    Returns
    -------
    SummedGradients

    Examples
    --------
    >>> from ase.build import bulk
    >>> summed_gradients(ACEBasis(["Cu"], order=2), bulk("Cu", cubic=True)).positions.shape
    (1, 4, 3, 37)
    """
    check_basis(basis)
    threads = resolve_num_threads(num_threads)
    species = basis.species_indices(atoms)
    by_species = np.argsort(species, kind="stable")  # so that a part of one species is as long as the buffer allows
    neighbors = basis.neighbor_list(atoms, by_species, threads)
    n_species, n_features = len(basis.species), len(basis)
    positions = np.zeros((n_species, len(atoms), 3, n_features))
    strain = np.zeros((n_species, 3, 3, n_features))
    buffer = np.empty(0)
    for part, z in _parts(neighbors, species, n_features):
        size = part.n_pairs * 3 * n_features
        if len(buffer) < size:
            buffer = np.empty(size)
        values = buffer[:size].reshape(part.n_pairs, 3, n_features)
        _jacobian(basis, part, species, values, threads)
        accumulate_rows(
            part.offsets,
            part.centers,
            part.neighbors,
            part.vectors,
            values,
            positions[z],
            strain[z],
            useful_threads(part.n_pairs, threads),
        )
    return SummedGradients(positions, strain)


def pullback(
    basis: ACEBasis, atoms: Atoms, cotangents: ArrayLike, *, num_threads: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the vector-Jacobian product Σ_if g_if ∂B_f(i), with respect to positions and strain.

    With g = ∂E/∂B this is the gradient of any function E of the features.

    Parameters
    ----------
    basis : ACEBasis
    atoms : ase.Atoms
    cotangents : array_like of float64, shape (n_atoms, n_features)
        g.
    num_threads : int, optional

    Returns
    -------
    positions : numpy.ndarray, shape (n_atoms, 3)
        Σ_if g_if ∂B_f(i)/∂r_k, per Å; forces are minus this.
    strain : numpy.ndarray, shape (3, 3)
        The same with respect to ε_ab.

    Examples
    --------
    >>> from ase.build import bulk
    >>> basis = ACEBasis(["Cu"], order=2)
    >>> positions, strain = pullback(basis, bulk("Cu"), np.ones((1, len(basis))))
    >>> positions.shape, strain.shape
    ((1, 3), (3, 3))
    """
    check_basis(basis)
    threads = resolve_num_threads(num_threads)
    neighbors = basis.neighbor_list(atoms, num_threads=threads)
    species = basis.species_indices(atoms)
    cotangents = real_array("cotangents", cotangents, (len(atoms), len(basis)))
    gradients = np.zeros((neighbors.n_pairs, 3))
    center_species = species[neighbors.centers]
    for group, evaluator in zip(basis.groups, basis.pullback_evaluators):
        rows = np.flatnonzero(np.isin(center_species, group.species))
        evaluator.evaluate(neighbors, rows, species, cotangents, gradients, threads)
    forces, virial = np.zeros((len(atoms), 3)), np.zeros((3, 3))
    accumulate_forces(
        neighbors.offsets, neighbors.centers, neighbors.neighbors, neighbors.vectors, gradients, forces, virial
    )
    return -forces, -virial


def _jacobian(
    basis: ACEBasis, neighbors: NeighborList, species: np.ndarray, values: np.ndarray, num_threads: int
) -> None:
    center_species = species[neighbors.centers]
    for group, evaluator in zip(basis.groups, basis.evaluators):
        rows = np.flatnonzero(np.isin(center_species, group.species))
        evaluator.jacobian(neighbors, rows, species, values, num_threads)


def _parts(neighbors: NeighborList, species: np.ndarray, n_features: int) -> Iterator[tuple[NeighborList, int]]:
    """Runs of centers of one species whose Jacobians fit the buffer."""
    limit = max(1, _BUFFER_BYTES // (24 * n_features))
    center_species = species[neighbors.centers]
    offsets = neighbors.offsets
    first = 0
    while first < neighbors.n_centers:
        last = first + 1
        while (
            last < neighbors.n_centers
            and center_species[last] == center_species[first]
            and offsets[last + 1] - offsets[first] <= limit
        ):
            last += 1
        pairs = slice(int(offsets[first]), int(offsets[last]))
        yield (
            replace(
                neighbors,
                offsets=offsets[first : last + 1] - offsets[first],
                centers=neighbors.centers[first:last],
                neighbors=neighbors.neighbors[pairs],
                shifts=neighbors.shifts[pairs],
                vectors=neighbors.vectors[pairs],
            ),
            int(center_species[first]),
        )
        first = last
