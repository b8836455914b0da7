"""Particles that are no atoms: limits of occurrence, environments as arrays, against sums over distinct tuples."""

import numpy as np
import pytest
from cases.descriptors import RADIAL, ROUND_OFF, cluster
from oracles.atoms import (
    canonical_products,
    linear_transform,
    one_particle_values,
    polynomial_radial,
    representation,
)
from oracles.structures import random_orthogonal

from acepure import ACEBasis, IdealGas, evaluate_environments
from acepure.errors import BasisTooLargeError
from acepure.functions import LinearTransform, PolynomialEnvelope, PolynomialRadialBasis
from acepure.labels.selection import Specification

CUTOFFS = {("X", "X"): 3.0, ("X", "Cu"): 3.5, ("X", "Zr"): 4.0, ("Cu", "Cu"): 1.0, ("Zr", "Zr"): 1.0, ("Cu", "Zr"): 1.0}
MADE = PolynomialRadialBasis(CUTOFFS, LinearTransform(), PolynomialEnvelope(2))


def cutoff(center, neighbor):
    return CUTOFFS.get((center, neighbor)) or CUTOFFS[neighbor, center]


PLAIN = polynomial_radial(cutoff, linear_transform, "polynomial", 2, "chebyshev")
KINDS = ["Cu", "X", "Zr", "Cu", "Zr", "Cu"]


def environment(seed=0):
    """One bond among five atoms, not sorted by kind."""
    return np.random.default_rng(seed).uniform(-1.6, 1.6, (len(KINDS), 3))


def expected(basis, vectors, kinds):
    labels = [(basis.species[v.z], v.q[-1], v.l, v.m) for v in basis.products.one_particle]
    phi = one_particle_values(np.array(kinds), vectors, "X", labels, PLAIN)
    values, scales = zip(*(canonical_products(phi, run) for run in basis.products.factors))
    return basis.symmetrization @ np.concatenate(values), abs(basis.symmetrization) @ np.concatenate(scales)


@pytest.mark.parametrize("irrep", ["0e", "1o", "1e", "2e"])
@pytest.mark.parametrize("limit", [{"X": 1}, {"X": (0, 1)}, {"X": (1, None), "Cu": (0, 1)}])
def test_sums_over_distinct_tuples(irrep, limit):
    basis = ACEBasis(["X", "Cu", "Zr"], order=3, totaldegree=[3, 4, 4], radial=MADE, irrep=irrep, occupancy=limit)
    vectors = [environment(seed) for seed in range(3)]
    found = evaluate_environments(basis, np.concatenate(vectors), np.arange(4) * len(KINDS), "X", KINDS * 3)
    assert found.shape == (3, *basis.feature_shape)
    for row, own in zip(found, vectors):
        value, scale = expected(basis, own, KINDS)
        assert (abs(row.ravel() - value) <= ROUND_OFF * scale).all() and abs(value).max() > 1e-6


def test_a_particle_that_is_there_once_needs_no_second_factor():
    """Canonical functions with two factors of it vanish; self-interacting ones do not."""
    vectors = environment()
    kwargs = {"order": 2, "totaldegree": 4, "radial": MADE, "occupancy": {"X": (0, 2)}}
    for canonical in (True, False):
        basis = ACEBasis(["X", "Cu", "Zr"], canonical=canonical, **kwargs)
        features = evaluate_environments(basis, vectors, [0, len(KINDS)], ["X"], KINDS)[0]
        twice = np.array([label.species == ("X", "X") for label in basis.labels])
        assert twice.any() and (abs(features[twice]).max() < 1e-13 * abs(features).max()) == canonical


@pytest.mark.parametrize("irrep", ["0e", "2e", "1e"])
@pytest.mark.parametrize(
    "choice", [{"totaldegree": [4, 4, 3]}, {"n_max": 2, "l_max": 2, "order": 2}, {"n_functions": 90}]
)
def test_limits_select_functions(choice, irrep):
    def number(label):
        return label.species.count("X"), label.species.count("Cu")

    def every_label(**limit):
        return ACEBasis(["X", "Cu", "Zr"], radial=MADE, irrep=irrep, **choice, **limit)

    limited = every_label(occupancy={"X": 1, "Cu": (0, 1)})
    assert all(number(label)[0] == 1 and number(label)[1] <= 1 for label in limited.labels)
    assert len(limited.labels) == len(limited) == sum(limited.specification.sizes) > 0
    if "n_functions" in choice:
        assert len(limited) <= 90
    else:
        every = every_label(occupancy={"X": (0, None)}).labels
        assert limited.labels == tuple(x for x in every if number(x) in ((1, 0), (1, 1)))
    same = every_label(occupancy={"X": [1, 1], "Cu": [0, 1]})
    assert ACEBasis.from_dict(limited.to_dict()) == limited == same and hash(limited) == hash(same)
    assert limited != every_label(occupancy={"X": 1}) and "occupancy=" in repr(limited)


def test_arrays_of_a_structure_give_its_descriptors():
    radial, _, _ = RADIAL["cutoffs per pair"]
    basis, atoms = ACEBasis(["Cu", "Zr"], radial=radial, totaldegree=4, L=1), cluster(2)
    pairs = basis.neighbor_list(atoms)
    order = np.random.default_rng(0).permutation(pairs.n_pairs)
    order = order[np.argsort(np.searchsorted(pairs.offsets, order, side="right"), kind="stable")]
    symbols = np.array(atoms.symbols)
    found = evaluate_environments(basis, pairs.vectors[order], pairs.offsets, symbols, symbols[pairs.neighbors[order]])
    reference = basis.descriptors(atoms)
    np.testing.assert_allclose(found, reference, atol=1e-13 * abs(reference).max())


@pytest.mark.parametrize("improper", [False, True])
def test_features_turn_with_the_vectors(improper):
    rotation = random_orthogonal(np.random.default_rng(1), improper)
    basis = ACEBasis(["X", "Cu", "Zr"], order=3, totaldegree=4, radial=MADE, irrep="1e", occupancy={"X": 1})
    before, after = (
        evaluate_environments(basis, v, [0, len(KINDS)], "X", KINDS)
        for v in (environment(), environment() @ rotation.T)
    )
    turned = before @ representation(rotation, 1, 1).T
    np.testing.assert_allclose(after, turned, atol=1e-13 * abs(before).max())


def test_centers_without_neighbors_and_none_at_all():
    basis = ACEBasis(["X", "Cu"], order=2, totaldegree=3, radial=MADE, occupancy={"X": 1})
    assert not evaluate_environments(basis, [], [0, 0, 0], "X", []).any()
    assert evaluate_environments(basis, [], [0], [], []).shape == (0, len(basis))
    far = evaluate_environments(basis, [[0, 0, 50.0]], [0, 1], "X", ["X"])
    assert not far.any()


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: ACEBasis(["X", "Cu"], occupancy={"Cu": 1}, radial=MADE), ValueError, "chemical symbol .*'X'"),
        (lambda: ACEBasis(["Cu"], occupancy={"Zr": 1}), ValueError, "occupancy names 'Zr'.*species"),
        (lambda: ACEBasis(["Cu"], occupancy=1), TypeError, "occupancy must map"),
        (lambda: ACEBasis(["Cu"], occupancy={"Cu": (2, 1)}), ValueError, "most of occupancy.*>= 2; got 1"),
        (lambda: ACEBasis(["Cu"], occupancy={"Cu": (1, 2, 3)}), ValueError, "least, most"),
        (lambda: ACEBasis(["Cu"], occupancy={"Cu": 1.5}), TypeError, "least of occupancy"),
        (lambda: ACEBasis(["Cu"], functions=[[(0, 0)]], occupancy={"Cu": 1}), ValueError, "occupancy and functions"),
        (lambda: ACEBasis(["Cu"], n_functions=9, occupancy={"Cu": 4}), ValueError, "4 factors are needed, 3 are"),
        (lambda: ACEBasis(["Cu"], n_functions=9, occupancy={"Cu": 1}, irrep="0o"), ValueError, "leaves no function"),
        (
            lambda: Specification.create(["Cu"], 4, totaldegree=80, occupancy={"Cu": (1, 5)}).check_memory(1e7),
            BasisTooLargeError,
            "functions",
        ),
        (
            lambda: Specification.create(["Cu"], 2, totaldegree=1e7, occupancy={"Cu": 1}).check_memory(),
            BasisTooLargeError,
            "at most",
        ),
    ],
)
def test_limits_that_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_means_and_limits():
    """Less its mean, a factor has a constant: functions without it must be there."""
    for limit in (1, (1, None)):
        with pytest.raises(ValueError, match="reference and an occupancy of at least one"):
            ACEBasis(["Cu"], occupancy={"Cu": limit}, reference=IdealGas(0.05))
        with pytest.raises(ValueError, match="reference and an occupancy of at least one"):
            ACEBasis(["Cu"], occupancy={"Cu": limit}).centered(IdealGas(0.05))
    atoms = cluster(3)
    limited, every = (
        ACEBasis(["Cu", "Zr"], order=2, totaldegree=3, **limit).centered(IdealGas(0.05))
        for limit in ({"occupancy": {"Zr": (0, 1)}}, {})
    )
    columns = [every.labels.index(label) for label in limited.labels]
    assert 0 < len(limited) < len(every)
    np.testing.assert_allclose(limited.descriptors(atoms), every.descriptors(atoms)[:, columns], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        (([[0, 0, 1]], [0, 2], "X", ["X"]), ValueError, "offsets must rise"),
        (([[0, 0, 1]], [0.0, 1.0], "X", ["X"]), TypeError, "offsets"),
        (([[0, 0]], [0, 1], "X", ["X"]), ValueError, "vectors"),
        (([[0, 0, np.nan]], [0, 1], "X", ["X"]), ValueError, "vectors"),
        (([[0, 0, 0]], [0, 1], "X", ["X"]), ValueError, "1e-06 Å"),
        (([[0, 0, 1]], [0, 1], "X", "X"), ValueError, "neighbors must be 1 symbols"),
        (([[0, 0, 1]], [0, 1], ["X", "X"], ["X"]), ValueError, "centers must be 1 symbols"),
        (([[0, 0, 1]], [0, 1], "X", ["Zr"]), ValueError, "neighbors holds 'Zr'"),
    ],
)
def test_arrays_that_are_refused(arguments, error, message):
    basis = ACEBasis(["X", "Cu"], order=2, totaldegree=3, radial=MADE, occupancy={"X": 1})
    with pytest.raises(error, match=message):
        evaluate_environments(basis, *arguments)
