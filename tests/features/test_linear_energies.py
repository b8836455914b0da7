"""Linear functions of features: energies."""

import itertools

import numpy as np
import pytest
from cases.derivatives import structure, system
from cases.linear import NAMES, assert_close, assert_derivatives, random_function, scale_of, weights_of_atoms
from oracles.structures import clear_cutoff

from acepure import ACEBasis, LinearFunction, summed_gradients


@pytest.mark.parametrize("canonical", [True, False], ids=["canonical", "self-interacting"])
@pytest.mark.parametrize("name", NAMES)
def test_energies_are_features_times_weights(name, canonical):
    atoms, basis = system(name, order=3, totaldegree=[6, 5, 4], canonical=canonical)
    function = random_function(basis)
    energies = function.evaluate(atoms)
    assert energies.shape == (len(atoms),) and energies.dtype == np.float64
    expected = (basis.descriptors(atoms) * weights_of_atoms(function, atoms)).sum(axis=1)
    assert_close(energies, expected, scale_of(function, atoms))
    result = function.evaluate_with_gradients(atoms)
    np.testing.assert_array_equal(result.energies, energies)
    assert isinstance(result.energy, float) and result.energy == energies.sum()


@pytest.mark.parametrize("canonical", [True, False], ids=["canonical", "self-interacting"])
@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_orders(order, canonical):
    """Energies, forces and virial of functions up to order five."""
    atoms = structure("alloy")
    basis = ACEBasis(
        ["Ag", "Au", "Cu"],
        rcut=clear_cutoff(atoms, 3.1),
        order=order,
        totaldegree=[6, 4, 3, 2, 2][:order],
        canonical=canonical,
    )
    function = random_function(basis)
    scale = scale_of(function, atoms)
    expected = (basis.descriptors(atoms) * weights_of_atoms(function, atoms)).sum(axis=1)
    assert_close(function.evaluate(atoms), expected, scale)
    assert_derivatives(function, atoms)


@pytest.mark.parametrize("name", ["fcc Cu", "NaCl", "wire"])
def test_one_feature_at_a_time(name):
    """Products without weight are left out of the sum: each feature alone gives what it gives among others."""
    atoms, basis = system(name, order=4, totaldegree=[4, 3, 3, 2])
    features, gradients = basis.descriptors(atoms), summed_gradients(basis, atoms)
    species = basis.species_indices(atoms)
    scale = scale_of(LinearFunction(basis, np.full((len(basis.species), len(basis)), 1.5)), atoms)
    for z, f in itertools.product(range(len(basis.species)), range(0, len(basis), 7)):
        weights = np.zeros((len(basis.species), len(basis)))
        weights[z, f] = -1.5
        result = LinearFunction(basis, weights).evaluate_with_gradients(atoms)
        assert_close(result.energies, -1.5 * features[:, f] * (species == z), scale)
        assert_close(result.forces, 1.5 * gradients.positions[z, :, :, f], 10 * scale)
        assert_close(result.virial, 1.5 * gradients.strain[z, :, :, f], 10 * scale)


@pytest.mark.parametrize("canonical", [True, False], ids=["canonical", "self-interacting"])
def test_energies_are_linear_in_the_weights(canonical):
    atoms, basis = system("alloy", order=4, totaldegree=[4, 3, 2, 2], canonical=canonical)
    first, second = random_function(basis, 1), random_function(basis, 2)
    sum_of_both = LinearFunction(basis, 2 * first.coefficients - 0.5 * second.coefficients)
    scale = 2 * scale_of(first, atoms) + scale_of(second, atoms)
    results = [function.evaluate_with_gradients(atoms) for function in (first, second, sum_of_both)]
    for name in ("energies", "forces", "virial"):
        a, b, both = (getattr(result, name) for result in results)
        assert_close(both, 2 * a - 0.5 * b, 10 * scale)


@pytest.mark.parametrize("canonical", [True, False], ids=["canonical", "self-interacting"])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_orders_without_weight(order, canonical):
    """Weights of one order only: the products of the others are not there to build on."""
    atoms, basis = system("wire", order=4, totaldegree=[4, 3, 2, 2], canonical=canonical)
    weights = np.zeros((2, len(basis)))
    columns = basis.order_slices[f"nu{order}"]
    weights[:, columns] = np.random.default_rng(0).normal(size=weights[:, columns].shape)
    function = LinearFunction(basis, weights)
    expected = (basis.descriptors(atoms) * weights_of_atoms(function, atoms)).sum(axis=1)
    assert_close(function.evaluate(atoms), expected, scale_of(function, atoms))
    assert_derivatives(function, atoms)


@pytest.mark.parametrize("name", ["alloy", "one atom, fcc"])
def test_zero_weights_give_zero(name):
    atoms, basis = system(name, order=3, totaldegree=3)
    result = LinearFunction(basis, np.zeros((len(basis.species), len(basis)))).evaluate_with_gradients(atoms)
    assert not result.energies.any() and not result.forces.any() and not result.virial.any()
    assert result.energy == 0.0 and result.forces.shape == (len(atoms), 3) and result.virial.shape == (3, 3)


def test_weights_of_one_species_only():
    """Centers of the others have no energy, but feel forces as neighbors."""
    atoms, basis = system("alloy", order=2, totaldegree=4)
    weights = np.zeros((3, len(basis)))
    weights[1] = np.random.default_rng(0).normal(size=len(basis))
    function = LinearFunction(basis, weights)
    result = function.evaluate_with_gradients(atoms)
    of_species = basis.species_indices(atoms) == 1
    assert result.energies[of_species].all() and not result.energies[~of_species].any()
    assert abs(result.forces[~of_species]).max() > 0.01
    assert_derivatives(function, atoms)


def test_a_large_structure_is_done_by_blocks(monkeypatch):
    """Blocks of centers give what one list gives, up to the order of sums."""
    from acepure.neighbors import blocks

    atoms = structure("fcc Cu") * (3, 3, 2)
    basis = ACEBasis(["Cu"], rcut=3.5, order=2, totaldegree=4)
    function = LinearFunction(basis, np.random.default_rng(0).normal(size=len(basis)))
    expected = function.evaluate_with_gradients(atoms, neighbors=basis.neighbor_list(atoms))
    monkeypatch.setattr(blocks, "CENTERS_PER_BLOCK", 10)
    assert len(list(basis.descriptor_blocks(atoms))) > 1
    result = function.evaluate_with_gradients(atoms)
    np.testing.assert_allclose(result.energies, expected.energies, rtol=1e-12)
    np.testing.assert_allclose(result.forces, expected.forces, atol=1e-12 * np.abs(expected.forces).max())
    np.testing.assert_allclose(result.virial, expected.virial, atol=1e-12 * np.abs(expected.virial).max())
