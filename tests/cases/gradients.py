"""Tests of derivatives of features: clusters, finite differences, and sums of the derivatives of pairs.

Finite differences are central, of order eight (`reference_structures.central_difference`), with steps so short that
their truncation, h⁸ f⁽⁹⁾/630, is below their rounding, which is about

    Σ_k |w_k| · 2 eps |f| / h = 2e-13 |f| / Å        for h = 5e-3 Å and Σ_k |w_k| = 2.1,

times the few roundings and cancellations that make a feature f.
"""

import itertools

import numpy as np
from ase import Atoms
from oracles.structures import STEP, STEP_WEIGHTS, STEPS, assert_clear_of_cutoff, random_environment

from acepure import pair_jacobian, pullback
from acepure.neighbors.lists import NeighborList

# Error of a derivative, of the largest one of features up to the same order: 15 times the rounding above.
DIFFERENCE = 3e-12
# The same derivatives added up in two ways, of the largest sum of |terms|.
ROUND_OFF = 5e-14


# --- structures and radial functions ----------------------------------------------------------------------------------


def cluster(vectors):
    """Cu at the origin, with neighbors Zr, Cu, Zr, ..."""
    symbols = itertools.islice(itertools.cycle(["Zr", "Cu"]), len(vectors))
    return Atoms(["Cu", *symbols], positions=[(0, 0, 0), *vectors])


def random_cluster(n_neighbors=8, seed=0):
    """Neighbors of a center at distances from 1.4 to 4 Å."""
    return cluster(random_environment(np.random.default_rng(seed), n_neighbors, 4.0, r_min=0.35))


# --- finite differences, and the same derivatives from the derivatives of pairs ---------------------------------------


def pair_differences(basis, atoms, indices=None):
    """∂B(i)/∂r_ij, shape (n_pairs, 3, n_features), from one list that holds an environment for every step."""
    pairs = basis.neighbor_list(atoms, indices)
    assert_clear_of_cutoff(atoms, basis.radial.cutoff, pairs.centers)
    columns = []
    for row, center in enumerate(pairs.centers):
        around = slice(pairs.offsets[row], pairs.offsets[row + 1])
        for p, a, k in itertools.product(range(around.stop - around.start), range(3), STEPS):
            vectors = pairs.vectors[around].copy()
            vectors[p, a] += k * STEP
            columns.append((center, pairs.neighbors[around], pairs.shifts[around], vectors))
    centers, neighbors, shifts, vectors = zip(*columns)
    displaced = NeighborList(
        np.cumsum([0, *map(len, vectors)]),
        np.array(centers, dtype=np.int32),
        *(np.concatenate(column) for column in (neighbors, shifts, vectors)),
        n_atoms=pairs.n_atoms,
        cutoffs=pairs.cutoffs,
    )
    values = basis.descriptors(atoms, neighbors=displaced).reshape(pairs.n_pairs, 3, len(STEPS), len(basis))
    return np.einsum("k,pakf->paf", STEP_WEIGHTS / STEP, values)


def assert_derivatives(basis, computed, differences, tolerance=DIFFERENCE):
    """Order by order: features of few neighbors vanish at high orders, where only those of lower order set a scale."""
    assert computed.shape == differences.shape
    for order, columns in basis.order_slices.items():
        scale = abs(differences[..., : columns.stop]).max()
        error = abs(computed - differences)[..., columns].max()
        assert scale > 0 and error <= tolerance * scale, f"{order}: {error:.2e} for a scale of {scale:.2e}"


def of_moves(jacobian, n_atoms):
    """∂B_f(i)/∂r_k, shape (n_atoms, 3, n_atoms, n_features)."""
    result = np.zeros((n_atoms, 3, n_atoms, jacobian.values.shape[2]))
    for i, j, value in zip(jacobian.centers, jacobian.neighbors, jacobian.values):
        result[j, :, i] += value
        result[i, :, i] -= value
    return result


def of_strain(jacobian, n_atoms):
    """∂B_f(i)/∂ε_ab, shape (3, 3, n_atoms, n_features)."""
    result = np.zeros((3, 3, n_atoms, jacobian.values.shape[2]))
    for i, r, value in zip(jacobian.centers, jacobian.vectors, jacobian.values):
        result[:, :, i] += value[:, None] * r[:, None]
    return result


def of_species(basis, atoms, derivatives):
    """Sums over the centers of each species: axis -2 becomes the first."""
    species = basis.species_indices(atoms)
    return np.array([derivatives[..., species == z, :].sum(axis=-2) for z in range(len(basis.species))])


def contracted(jacobian, cotangents):
    """What `pullback` returns, (n_atoms, 3) and (3, 3), and the largest sums of |terms| of the two."""
    gradients = np.einsum("paf,pf->pa", jacobian.values, cotangents[jacobian.centers])
    terms = np.einsum("paf,pf->pa", abs(jacobian.values), abs(cotangents)[jacobian.centers])
    positions, scale = np.zeros((2, len(cotangents), 3))
    np.add.at(positions, jacobian.neighbors, gradients)
    np.subtract.at(positions, jacobian.centers, gradients)
    np.add.at(scale, jacobian.neighbors, terms)
    np.add.at(scale, jacobian.centers, terms)
    strain = np.einsum("pa,pb->ab", gradients, jacobian.vectors)
    strain_scale = np.einsum("pa,pb->ab", terms, abs(jacobian.vectors))
    return positions, strain, scale.max(), strain_scale.max()


def assert_pullback(basis, atoms, cotangents, tolerance=ROUND_OFF):
    """Reverse equals forward."""
    jacobian = pair_jacobian(basis, atoms)
    positions, strain = pullback(basis, atoms, cotangents)
    assert positions.shape == (len(atoms), 3) and strain.shape == (3, 3)
    expected, expected_strain, scale, strain_scale = contracted(jacobian, cotangents)
    np.testing.assert_allclose(positions, expected, rtol=0, atol=tolerance * scale)
    np.testing.assert_allclose(strain, expected_strain, rtol=0, atol=tolerance * strain_scale)


def random_cotangents(basis, atoms, seed=5):
    return np.random.default_rng(seed).normal(size=(len(atoms), len(basis)))
