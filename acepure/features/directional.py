"""Derivatives of features along one motion of the atoms: Jacobian-vector products, forward."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike

from acepure._utils.checks import real_array
from acepure._utils.memory import physical_memory, refuse_larger
from acepure.features.basis import ACEBasis, check_basis
from acepure.neighbors.environments import Environments
from acepure.neighbors.lists import NeighborList

__all__ = ["jvp"]


def jvp(
    basis: ACEBasis,
    atoms: Atoms,
    displacements: ArrayLike,
    strain: ArrayLike | None = None,
    *,
    indices: Any = None,
    neighbors: NeighborList | None = None,
    num_threads: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the features and their derivatives along one motion of all atoms, in one pass.

    The atoms move as r_k ↦ r_k + t w_k, and space as r ↦ (1 + t ε) r, so that ṙ_ij = w_j − w_i + ε r_ij and

        Ḃ_f(i) = dB_f(i)/dt = Σ_j ∂B_f(i)/∂r_ij · ṙ_ij        at t = 0.

    With the velocities of a trajectory for w, these are the rates at which features change. About 2.5 times the cost
    of the features; `pullback` is the transposed product.

    Parameters
    ----------
    basis : ACEBasis
    atoms : ase.Atoms
    displacements : array_like of float64, shape (n_atoms, 3)
        w, Å per unit of t.
    strain : array_like of float64, shape (3, 3), optional
        ε, per unit of t; default none. An antisymmetric ε is a rotation.
    indices : sequence of int, slice or mask, optional
        Which atoms are centers; default all. All atoms move.
    neighbors : NeighborList, optional
        From `ACEBasis.neighbor_list` or `VerletList.update` of the same structure; that the positions are the same
        is not checked. Not together with `indices`: the list has its centers.
    num_threads : int, optional
        The result does not depend on it.

    Returns
    -------
    features : numpy.ndarray of float64, shape (n_centers, n_features), for L > 0 with 2L + 1 behind
        Equal to `ACEBasis.descriptors` but for rounding.
    derivatives : numpy.ndarray of float64, in the shape of the features
        Ḃ, per unit of t.

    Raises
    ------
    TypeError, ValueError
        For a structure or a list that does not belong to the basis, and for displacements or strains of another shape.

    Examples
    --------
    >>> from ase.build import bulk
    >>> atoms = bulk("Cu", cubic=True)
    >>> features, derivatives = jvp(ACEBasis(["Cu"], order=2), atoms, np.ones((4, 3)))
    >>> derivatives.shape, bool(abs(derivatives).max() < 1e-12)  # all atoms alike: nothing changes
    ((4, 37), True)
    """
    check_basis(basis, tensors=True)
    environments = Environments(basis, atoms, indices=indices, neighbors=neighbors, num_threads=num_threads)
    w = real_array("displacements", displacements, (len(atoms), 3))
    epsilon = np.zeros((3, 3)) if strain is None else real_array("strain", strain, (3, 3))
    shape = (2, environments.n_centers, prod(basis.feature_shape))
    refuse_larger("the array of features and derivatives", shape, physical_memory(), "use indices")
    features, derivatives = np.empty(shape)
    for part, targets in environments.parts():
        for group, evaluator in zip(basis._groups, basis._tables.evaluators):
            chosen = environments.chosen(part, group.species)
            evaluator.pushforward(chosen, (w, epsilon), features, derivatives, targets[chosen.rows])
    of_features = (environments.n_centers, *basis.feature_shape)
    return features.reshape(of_features), derivatives.reshape(of_features)
