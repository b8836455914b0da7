"""Derivatives of features against finite differences, and forward against reverse: structures and index sets."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from cases.derivatives import NEAR, system
from cases.gradients import (
    ROUND_OFF,
    assert_derivatives,
    assert_pullback,
    cluster,
    contracted,
    of_moves,
    of_species,
    of_strain,
    pair_differences,
    random_cluster,
    random_cotangents,
)
from oracles.structures import assert_clear_of_cutoff, central_difference, position_differences, strain_differences

from acepure import ACEBasis, pair_jacobian, pullback, summed_gradients

# --- the tools --------------------------------------------------------------------------------------------------------


def test_central_difference_is_of_order_eight():
    """Exact for polynomials of degree 8, not of degree 9: −h⁸ f⁽⁹⁾/630 = −9!/630 h⁸ = −576 h⁸."""
    for power in range(9):
        assert abs(central_difference(lambda t: t**power, 0.5) - (power == 1)) < 1e-14  # noqa: B023
    assert central_difference(lambda t: t**9, 0.5) == pytest.approx(-576 * 0.5**8, rel=1e-12)


def test_the_comparison_sees_a_wrong_derivative():
    atoms, basis = system("wire", order=2, totaldegree=3)
    values = pair_jacobian(basis, atoms).values
    differences = pair_differences(basis, atoms)
    for columns in basis.order_slices.values():
        wrong = values.copy()
        wrong[2, 1, columns.stop - 1] += 1e-9 * abs(values).max()
        with pytest.raises(AssertionError, match="for a scale of"):
            assert_derivatives(basis, wrong, differences)


def test_a_pair_near_the_cutoff_is_seen():
    with pytest.raises(AssertionError, match=r"a pair Cu-Cu is 0\.0100 Å from its cutoff"):
        assert_clear_of_cutoff(Atoms("Cu2", [(0, 0, 0), (0, 0, 3)]), lambda a, b: 3.01)


# --- structures: periodic and not, small cells, several species -------------------------------------------------------


@pytest.mark.parametrize("canonical", [True, False], ids=["canonical", "self-interacting"])
@pytest.mark.parametrize("name", NEAR)
def test_pairs_moves_and_strain(name, canonical):
    """Derivatives of pairs, and what they give for moved atoms and strain, equal finite differences."""
    atoms, basis = system(name, order=3, totaldegree=[5, 4, 3], canonical=canonical)
    jacobian = pair_jacobian(basis, atoms)
    assert_derivatives(basis, jacobian.values, pair_differences(basis, atoms))

    strain = strain_differences(basis.descriptors, atoms)
    assert_derivatives(basis, of_strain(jacobian, len(atoms)), strain)
    summed = summed_gradients(basis, atoms)
    assert_derivatives(basis, summed.strain, of_species(basis, atoms, strain))

    if len(atoms) > 1:
        moves = position_differences(basis.descriptors, atoms)
        assert_derivatives(basis, of_moves(jacobian, len(atoms)), moves)
        assert_derivatives(basis, summed.positions, of_species(basis, atoms, moves))


@pytest.mark.parametrize("name", ["one atom, fcc", "one atom, bcc"])
def test_an_atom_and_its_images_move_together(name):
    """Each pair has derivatives, but r_ij = S·cell whatever the position of the only atom."""
    atoms, basis = system(name)
    jacobian = pair_jacobian(basis, atoms)
    assert len(jacobian.values) > 8 and (jacobian.neighbors == 0).all() and abs(jacobian.values).max() > 0.1
    summed = summed_gradients(basis, atoms)
    terms = 2 * abs(jacobian.values).sum(axis=0).max()
    np.testing.assert_allclose(summed.positions, 0, rtol=0, atol=ROUND_OFF * terms)
    assert abs(summed.strain).max() > 0.1
    ones = np.ones((1, len(basis)))
    positions, _ = pullback(basis, atoms, ones)
    np.testing.assert_allclose(positions, 0, rtol=0, atol=ROUND_OFF * contracted(jacobian, ones)[2])


@pytest.mark.parametrize("canonical", [True, False], ids=["canonical", "self-interacting"])
@pytest.mark.parametrize("name", NEAR)
def test_reverse_equals_forward(name, canonical):
    atoms, basis = system(name, order=3, totaldegree=[5, 4, 3], canonical=canonical)
    assert_pullback(basis, atoms, random_cotangents(basis, atoms))


@pytest.mark.parametrize("name", NEAR)
def test_summed_gradients_are_sums_of_pairs(name):
    atoms, basis = system(name, order=3, totaldegree=[5, 4, 3])
    jacobian, summed = pair_jacobian(basis, atoms), summed_gradients(basis, atoms)
    n_species = len(basis.species)
    assert summed.positions.shape == (n_species, len(atoms), 3, len(basis))
    assert summed.strain.shape == (n_species, 3, 3, len(basis))
    magnitudes = replace(jacobian, values=abs(jacobian.values), vectors=abs(jacobian.vectors))
    for computed, total, scale in (
        (summed.positions, of_moves(jacobian, len(atoms)), 2 * abs(jacobian.values).sum(axis=0).max()),
        (summed.strain, of_strain(jacobian, len(atoms)), of_strain(magnitudes, len(atoms)).sum(axis=2).max()),
    ):
        np.testing.assert_allclose(computed, of_species(basis, atoms, total), rtol=0, atol=ROUND_OFF * scale)


@pytest.mark.parametrize("name", NEAR)
def test_neither_translations_nor_rotations_change_features(name):
    """Derivatives with respect to positions sum to zero; those with respect to strain are symmetric."""
    atoms, basis = system(name, order=3, totaldegree=[5, 4, 3])
    summed = summed_gradients(basis, atoms)
    jacobian = pair_jacobian(basis, atoms)
    terms = abs(jacobian.values).sum(axis=0).max()
    np.testing.assert_allclose(summed.positions.sum(axis=1), 0, rtol=0, atol=ROUND_OFF * terms)
    antisymmetric = summed.strain - summed.strain.transpose(0, 2, 1, 3)
    np.testing.assert_allclose(antisymmetric, 0, rtol=0, atol=ROUND_OFF * terms * basis.rcut)


# --- index sets -------------------------------------------------------------------------------------------------------


# Gaps in n and l, few functions and many.
SPECIFICATIONS = {
    "order 1": {"order": 1, "totaldegree": 6},
    "order 2": {"order": 2, "totaldegree": 6},
    "order 3": {"order": 3, "totaldegree": 4},
    "order 4": {"order": 4, "totaldegree": [4, 3, 3, 2]},
    "one function": {"functions": [[("Zr", 0, 0)]]},
    "box": {"order": 2, "n_max": 1, "l_max": 6},
    "n from 1": {"order": 2, "totaldegree": 5, "n_start": 1, "wL": 1.5},
    "incomplete": {
        "functions": [
            [("Cu", 1, 0)],
            [("Cu", 0, 2), ("Zr", 3, 2)],
            [("Cu", 1, 1), ("Cu", 1, 1), ("Zr", 0, 2)],
            [("Cu", 0, 1), ("Cu", 0, 1), ("Zr", 1, 2), ("Zr", 0, 2)],
        ]
    },
}


@pytest.mark.parametrize("canonical", [True, False], ids=["canonical", "self-interacting"])
@pytest.mark.parametrize("specification", SPECIFICATIONS)
def test_index_sets(specification, canonical):
    basis = ACEBasis(["Cu", "Zr"], rcut=4.5, canonical=canonical, **SPECIFICATIONS[specification])
    atoms = random_cluster()
    jacobian = pair_jacobian(basis, atoms, indices=[0])
    assert_derivatives(basis, jacobian.values, pair_differences(basis, atoms, [0]))
    cotangents = random_cotangents(basis, atoms)
    assert_pullback(basis, atoms, cotangents)
    one = np.zeros_like(cotangents)
    one[0, -1] = 2.0
    assert_pullback(basis, atoms, one)


@pytest.mark.parametrize("n_neighbors", [1, 2, 7, 8, 9, 33])
def test_numbers_of_neighbors(n_neighbors):
    """One fewer and one more than fill the lanes of a kernel, for each of two species and for both."""
    basis = ACEBasis(["Cu", "Zr"], rcut=4.5, order=2, totaldegree=3)
    atoms = random_cluster(n_neighbors)
    jacobian = pair_jacobian(basis, atoms, indices=[0])
    assert len(jacobian.values) == n_neighbors
    assert_derivatives(basis, jacobian.values, pair_differences(basis, atoms, [0]))
    assert_pullback(basis, atoms, random_cotangents(basis, atoms))


def test_neighbors_on_the_axes():
    """Where angles, but not features, are singular."""
    basis = ACEBasis(["Cu", "Zr"], rcut=4.5, order=2, n_max=2, l_max=5)
    atoms = cluster([(0, 0, 2), (0, 0, -2.5), (3, 0, 0), (-2.2, 0, 0), (0, 2.4, 0), (0, -3.1, 0), (2, 2, 1)])
    assert_derivatives(basis, pair_jacobian(basis, atoms, indices=[0]).values, pair_differences(basis, atoms, [0]))
    assert_pullback(basis, atoms, random_cotangents(basis, atoms))
