"""Derivatives of features with a neighbor list that is given: the same numbers, for the centers of the list."""

import numpy as np
import pytest
from cases.derivatives import large_structure, structure, system
from cases.gradients import ROUND_OFF, random_cluster, random_cotangents
from cases.radial import Gaussians

from acepure import ACEBasis, VerletList, pair_jacobian, pullback, summed_gradients
from acepure.functions import PolynomialRadialBasis
from acepure.neighbors.lists import neighbor_list

FIELDS = ("centers", "neighbors", "shifts", "vectors", "values")
FUNCTIONS = [pair_jacobian, summed_gradients, pullback]


def arguments(function, n_centers, basis):
    return (np.ones((n_centers, len(basis))),) if function is pullback else ()


@pytest.mark.parametrize("name", ["alloy", "water", "slab", "one atom, bcc"])
def test_a_list_of_all_centers(name):
    """The same to the last bit."""
    atoms, basis = system(name, order=3, totaldegree=3)
    neighbors = basis.neighbor_list(atoms)
    expected, jacobian = (pair_jacobian(basis, atoms, neighbors=n) for n in (None, neighbors))
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(jacobian, field), getattr(expected, field))
    expected, summed = (summed_gradients(basis, atoms, neighbors=n) for n in (None, neighbors))
    np.testing.assert_array_equal(summed.positions, expected.positions)
    np.testing.assert_array_equal(summed.strain, expected.strain)
    cotangents = random_cotangents(basis, atoms)
    expected, reverse = (pullback(basis, atoms, cotangents, neighbors=n) for n in (None, neighbors))
    for first, second in zip(reverse, expected):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("radial", [PolynomialRadialBasis(3.2), Gaussians()], ids=["kernel", "NumPy"])
def test_pairs_beyond_the_cutoff_do_not_count(radial):
    """A longer list, as `VerletList` makes it: zeros for its further pairs, and the same sums to the last bit."""
    basis = ACEBasis(["Cu", "Zr"], radial=radial, order=2, totaldegree=3)
    atoms = random_cluster()
    longer = neighbor_list(atoms, basis.cutoffs + 1.5, species=basis.species_indices(atoms))
    expected, jacobian = (pair_jacobian(basis, atoms, neighbors=n) for n in (None, longer))
    species = basis.species_indices(atoms)
    reach = basis.cutoffs[species[jacobian.centers], species[jacobian.neighbors]]
    inside = np.linalg.norm(jacobian.vectors, axis=1) < reach
    assert 0 < inside.sum() < len(inside)
    assert not jacobian.values[~inside].any()
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(jacobian, field)[inside], getattr(expected, field))

    expected, summed = (summed_gradients(basis, atoms, neighbors=n) for n in (None, longer))
    np.testing.assert_array_equal(summed.positions, expected.positions)
    np.testing.assert_array_equal(summed.strain, expected.strain)
    cotangents = random_cotangents(basis, atoms)
    expected, reverse = (pullback(basis, atoms, cotangents, neighbors=n) for n in (None, longer))
    for first, second in zip(reverse, expected):
        np.testing.assert_array_equal(first, second)


def test_a_jacobian_outlives_the_step_of_a_verlet_list():
    atoms, basis = system("alloy", order=1, totaldegree=2)
    verlet = VerletList(basis, skin=0.5)
    verlet.update(atoms)
    jacobian = pair_jacobian(basis, atoms, neighbors=verlet.update(atoms))
    kept = jacobian.vectors.copy()
    atoms.positions[0] += 0.01
    verlet.update(atoms)
    assert verlet.n_builds == 1
    np.testing.assert_array_equal(jacobian.vectors, kept)


@pytest.mark.parametrize("centers", [[7, 2, 0], [4], [], slice(None, None, -1)], ids=str)
def test_a_list_of_some_centers(centers):
    """Derivatives of the features of these alone; cotangents in their order."""
    atoms, basis = system("alloy", order=3, totaldegree=3)
    neighbors = basis.neighbor_list(atoms, centers)
    expected, jacobian = pair_jacobian(basis, atoms, indices=centers), pair_jacobian(basis, atoms, neighbors=neighbors)
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(jacobian, field), getattr(expected, field))

    chosen = np.zeros((len(basis.species), len(atoms)))
    chosen[basis.species_indices(atoms), np.arange(len(atoms))] = np.isin(np.arange(len(atoms)), neighbors.centers)
    positions = np.zeros((len(basis.species), len(atoms), 3, len(basis)))
    strain = np.zeros((len(basis.species), 3, 3, len(basis)))
    for i, j, r, value in zip(jacobian.centers, jacobian.neighbors, jacobian.vectors, jacobian.values):
        positions[:, j] += chosen[:, i, None, None] * value
        positions[:, i] -= chosen[:, i, None, None] * value
        strain += chosen[:, i, None, None, None] * value[:, None] * r[:, None]
    summed = summed_gradients(basis, atoms, neighbors=neighbors)
    scale = 2 * abs(jacobian.values).sum(axis=0).max()
    np.testing.assert_allclose(summed.positions, positions, rtol=0, atol=ROUND_OFF * scale)
    np.testing.assert_allclose(summed.strain, strain, rtol=0, atol=ROUND_OFF * scale * basis.rcut)

    cotangents = random_cotangents(basis, atoms)[: neighbors.n_centers]
    of_all = np.zeros((len(atoms), len(basis)))
    of_all[neighbors.centers] = cotangents
    expected = pullback(basis, atoms, of_all)
    scale *= len(basis) * abs(cotangents).max(initial=0)
    for first, second in zip(pullback(basis, atoms, cotangents, neighbors=neighbors), expected):
        np.testing.assert_allclose(first, second, rtol=0, atol=ROUND_OFF * scale * basis.rcut)


def test_summed_gradients_of_parts_add_up():
    """Many centers of two species that alternate, in lists of any order."""
    basis = ACEBasis(["Cu", "Zr"], rcut=3.2, order=2, totaldegree=2)
    atoms = large_structure()
    whole = summed_gradients(basis, atoms)
    order = np.random.default_rng(2).permutation(len(atoms))
    parts = [summed_gradients(basis, atoms, neighbors=basis.neighbor_list(atoms, c)) for c in np.split(order, [70])]
    for name in ("positions", "strain"):
        expected = getattr(whole, name)
        np.testing.assert_allclose(
            sum(getattr(part, name) for part in parts), expected, rtol=0, atol=1e-13 * abs(whole.strain).max()
        )


# --- input ------------------------------------------------------------------------------------------------------------


def test_cotangents_are_those_of_the_centers():
    atoms, basis = system("alloy", order=1, totaldegree=2)
    neighbors = basis.neighbor_list(atoms, [3, 1])
    with pytest.raises(ValueError, match=r"cotangents must have shape \(2, \d+\); got \(12, \d+\)"):
        pullback(basis, atoms, np.ones((12, len(basis))), neighbors=neighbors)


def test_indices_and_neighbors_exclude_each_other():
    atoms, basis = system("wire", order=1, totaldegree=2)
    with pytest.raises(ValueError, match="indices and neighbors exclude each other"):
        pair_jacobian(basis, atoms, indices=[0], neighbors=basis.neighbor_list(atoms))


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "wrong, error, message",
    [
        (lambda basis, atoms: "pairs", TypeError, "neighbors must be a NeighborList"),
        (lambda basis, atoms: basis.neighbor_list(structure("alloy")), ValueError, "of 12 atoms, but atoms has 2"),
        (lambda basis, atoms: neighbor_list(atoms, 5.0), ValueError, "neighbors is grouped by 1 species, but 3"),
        (
            lambda basis, atoms: neighbor_list(atoms, basis.cutoffs - 0.1, species=basis.species_indices(atoms)),
            ValueError,
            "neighbors reaches 3 Å, but 3.1 Å are needed",
        ),
    ],
    ids=["text", "another structure", "not grouped by species", "too short"],
)
def test_wrong_neighbors(function, wrong, error, message):
    atoms, basis = structure("wire"), ACEBasis(["Ag", "Au", "Cu"], rcut=3.1, order=1, totaldegree=2)
    with pytest.raises(error, match=message):
        function(basis, atoms, *arguments(function, 2, basis), neighbors=wrong(basis, atoms))


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_structures_are_checked_all_the_same(function):
    atoms, basis = system("wire", order=1, totaldegree=2)
    with pytest.raises(TypeError, match=r"atoms must be an ase\.Atoms"):
        function(basis, "CuAg", *arguments(function, 2, basis), neighbors=basis.neighbor_list(atoms))
