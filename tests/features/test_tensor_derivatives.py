"""Derivatives of features of any L and parity: finite differences of positions and strain, forward against reverse."""

import numpy as np
import pytest
from cases.gradients import DIFFERENCE, of_moves, of_strain, random_cluster
from cases.radial import Gaussians
from oracles.structures import position_differences, strain_differences

from acepure import ACEBasis, IdealGas, LinearFunction, pair_jacobian, pullback, summed_gradients
from acepure.functions import PolynomialRadialBasis

SPECIES = ("Cu", "Zr")
IRREPS = ("1o", "2e", "1e", "0o")


def basis_of(irrep, radial=None, canonical=True):
    radial = PolynomialRadialBasis(4.5) if radial is None else radial
    return ACEBasis(SPECIES, radial=radial, canonical=canonical, irrep=irrep, totaldegree=[3, 3, 4])


def per_species(basis, atoms, features):
    """Features summed over the centers of each species."""
    species = basis.species_indices(atoms)
    return np.array([features[species == z].sum(axis=0) for z in range(len(basis.species))])


def assert_near(computed, differences):
    assert computed.shape == differences.shape
    scale = abs(differences).max()
    assert scale > 1e-9 and abs(computed - differences).max() <= DIFFERENCE * scale


@pytest.mark.parametrize("irrep", IRREPS)
@pytest.mark.parametrize("radial", [None, Gaussians(width=2.5, rcut=7.0, exponent=2)], ids=["kernel", "own functions"])
@pytest.mark.parametrize("canonical", [True, False])
def test_derivatives_against_differences(irrep, radial, canonical):
    basis, atoms = basis_of(irrep, radial, canonical), random_cluster(5)
    jacobian = pair_jacobian(basis, atoms)
    assert jacobian.values.shape == (len(jacobian.centers), 3, *basis.feature_shape)
    moved, strained = position_differences(basis.descriptors, atoms), strain_differences(basis.descriptors, atoms)
    flat = (len(basis) * (2 * basis.L + 1),)
    jacobian = type(jacobian)(
        jacobian.centers, jacobian.neighbors, jacobian.shifts, jacobian.vectors, jacobian.values.reshape(-1, 3, *flat)
    )
    assert_near(of_moves(jacobian, len(atoms)).reshape(moved.shape), moved)
    assert_near(of_strain(jacobian, len(atoms)).reshape(strained.shape), strained)


@pytest.mark.parametrize("irrep", IRREPS)
@pytest.mark.parametrize("centered", [False, True])
def test_sums_and_pullbacks_against_differences(irrep, centered):
    basis, atoms = basis_of(irrep), random_cluster(5)
    basis = basis.centered(IdealGas(0.05)) if centered else basis
    summed = summed_gradients(basis, atoms)
    assert summed.positions.shape == (2, len(atoms), 3, *basis.feature_shape)
    assert summed.strain.shape == (2, 3, 3, *basis.feature_shape)

    def sums(structure):
        return per_species(basis, structure, basis.descriptors(structure))

    assert_near(np.moveaxis(summed.positions, 0, 2), position_differences(sums, atoms))
    assert_near(np.moveaxis(summed.strain, 0, 2), strain_differences(sums, atoms))
    cotangents = np.random.default_rng(5).normal(size=(len(atoms), *basis.feature_shape))

    def contracted(structure):
        return np.vdot(cotangents, basis.descriptors(structure))

    positions, strain = pullback(basis, atoms, cotangents)
    assert_near(positions, position_differences(contracted, atoms))
    assert_near(strain, strain_differences(contracted, atoms))


def test_components_of_the_pullback_are_the_jacobian():
    basis, atoms = basis_of("1o"), random_cluster(4)
    moves = pair_jacobian(basis, atoms).values
    summed = summed_gradients(basis, atoms).positions.sum(axis=0)
    for M in range(3):
        cotangents = np.zeros((len(atoms), *basis.feature_shape))
        cotangents[:, 7, M] = 1.0
        positions, _ = pullback(basis, atoms, cotangents)
        np.testing.assert_allclose(positions, summed[:, :, 7, M], rtol=0, atol=1e-13 * abs(moves).max())
    np.testing.assert_allclose(summed.sum(axis=0), 0, atol=1e-12 * abs(moves).max())  # a common shift


def test_wrong_cotangents_and_functions_of_invariants_alone():
    basis, atoms = basis_of("1o"), random_cluster(4)
    with pytest.raises(ValueError, match="cotangents must have shape"):
        pullback(basis, atoms, np.zeros((len(atoms), len(basis))))
    with pytest.raises(ValueError, match='irrep "1o"'):
        LinearFunction(basis, np.zeros(len(basis)))
