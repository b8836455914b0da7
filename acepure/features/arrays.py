"""Environments given as arrays: centers and neighbors that need not be atoms of a structure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from acepure._utils.checks import real_array
from acepure._utils.threads import resolve_num_threads
from acepure.errors import SpeciesError
from acepure.features.basis import ACEBasis, check_basis, evaluate_features
from acepure.neighbors.environments import Environments
from acepure.neighbors.lists import NeighborList

__all__ = ["evaluate_environments"]


def evaluate_environments(
    basis: ACEBasis,
    vectors: ArrayLike,
    offsets: ArrayLike,
    centers: Any,
    neighbors: Any,
    *,
    num_threads: int | None = None,
) -> np.ndarray:
    """Return the features of centers whose neighbors are given one by one.

    A center may be the middle of a bond, a vacancy, a point of a grid; a neighbor may be a bond, given by its vector.
    The species of the basis are names of the kinds of particles: chemical symbols, and "X" for what is no atom.

    Parameters
    ----------
    basis : ACEBasis
    vectors : array_like of float64, shape (n_pairs, 3)
        From centers to neighbors, in Å; those beyond the cutoff of the two kinds count as absent.
    offsets : array_like of int, shape (n_centers + 1,)
        The pairs of center c are offsets[c]:offsets[c + 1].
    centers : sequence of str, shape (n_centers,), or one str for all
        Kinds of the centers.
    neighbors : sequence of str, shape (n_pairs,)
        Kinds of the neighbors.
    num_threads : int, optional

    Returns
    -------
    numpy.ndarray of float64, shape (n_centers, n_features) or (n_centers, n_features, 2L + 1)

    Raises
    ------
    TypeError, ValueError
        For arrays of other shapes, kinds that the basis does not know, neighbors nearer than 1e-6 Å.

    Examples
    --------
    The middle of a bond of length 2 Å, which occurs once in every function, beside a copper atom:

    >>> from acepure import ACEBasis, evaluate_environments
    >>> from acepure.functions import LinearTransform, PolynomialRadialBasis
    >>> radial = PolynomialRadialBasis(4.0, LinearTransform())
    >>> basis = ACEBasis(["X", "Cu"], order=2, totaldegree=4, occupancy={"X": 1}, radial=radial)
    >>> evaluate_environments(basis, [[0, 0, 2], [0, 1.5, 0]], [0, 2], "X", ["X", "Cu"]).shape
    (1, 27)
    """
    check_basis(basis, tensors=True)
    vectors = real_array("vectors", vectors, (None, 3))
    offsets = _offsets(offsets, len(vectors))
    n_centers = len(offsets) - 1
    center_kinds = _kinds(basis, "centers", [centers] * n_centers if isinstance(centers, str) else centers, n_centers)
    kinds = _kinds(basis, "neighbors", neighbors, len(vectors))
    return evaluate_pairs(basis, vectors, offsets, center_kinds, kinds, num_threads)


def evaluate_pairs(
    basis: ACEBasis,
    vectors: np.ndarray,
    offsets: np.ndarray,
    centers: np.ndarray,
    neighbors: np.ndarray,
    num_threads: int | None,
) -> np.ndarray:
    """Return what `evaluate_environments` returns, of species indices in place of names."""
    n_centers, n_species = len(centers), len(basis.species)
    # Kernels take the pairs of a center by species. Particles of a list have numbers: first the centers, then one of
    # each kind, as nothing but the kind of a neighbor matters.
    order = np.lexsort((neighbors, np.repeat(np.arange(n_centers), np.diff(offsets))))
    species = np.concatenate([centers, np.arange(n_species)]).astype(np.int32)
    pairs = NeighborList(
        offsets,
        np.arange(n_centers, dtype=np.int32),
        (n_centers + neighbors[order]).astype(np.int32),
        np.zeros((len(vectors), 3), dtype=np.int32),
        np.ascontiguousarray(vectors[order]),
        len(species),
        basis.cutoffs,
    )
    return evaluate_features(basis, Environments.of_list(basis, species, pairs, resolve_num_threads(num_threads)))


def _offsets(offsets: ArrayLike, n_pairs: int) -> np.ndarray:
    array = np.asarray(offsets)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise TypeError(f"offsets must be a one-dimensional array of integers; got {offsets!r}")
    array = array.astype(np.int64)
    if len(array) < 1 or array[0] != 0 or array[-1] != n_pairs or (np.diff(array) < 0).any():
        raise ValueError(f"offsets must rise from 0 to the number of pairs, {n_pairs}; got {array}")
    return array


def _kinds(basis: ACEBasis, name: str, kinds: Any, n: int) -> np.ndarray:
    if isinstance(kinds, str) or not isinstance(kinds, (Sequence, np.ndarray)) or len(kinds) != n:
        raise ValueError(f"{name} must be {n} symbols; got {kinds!r}")
    names, inverse = np.unique(np.asarray(kinds, dtype=object).astype(str), return_inverse=True)
    for kind in names.tolist():
        if kind not in basis.species:
            raise SpeciesError(f"{name} holds {kind!r}, but the basis is for {', '.join(basis.species)}")
    index = np.array([basis.species.index(kind) for kind in names.tolist()], dtype=np.int32)
    result: np.ndarray = index[inverse] if n else np.empty(0, dtype=np.int32)
    return result
