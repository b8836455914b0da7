"""Bonds as centers: sums over distinct tuples with the bond exactly once, exchange of the ends, rotations, images."""

import itertools

import numpy as np
import pytest
from ase import Atoms
from cases.descriptors import ROUND_OFF, SPECIES, cluster, crystal
from oracles.atoms import linear_transform, one_particle_values, polynomial_radial, representation
from oracles.canonical import canonical_brute_force, canonical_closed_form
from oracles.structures import random_orthogonal

from acepure import BondBasis
from acepure.errors import SpeciesError
from acepure.functions import LinearTransform, PolynomialEnvelope, PolynomialRadialBasis

LENGTH, RCUT = 3.1, 2.8


def cutoff(center, neighbor):
    return LENGTH if neighbor == "X" else RCUT


PLAIN = polynomial_radial(cutoff, linear_transform, "smooth", 3, "chebyshev")


def make(irrep="0e", order=2, **arguments):
    arguments.setdefault("totaldegree", [3, 4, 3][:order])
    return BondBasis(SPECIES, LENGTH, RCUT, order, irrep=irrep, **arguments)


def images(atoms):
    """All shifts that may matter for the small cells of these tests."""
    return itertools.product(*(range(-2, 3) if periodic else (0,) for periodic in atoms.pbc))


def surroundings(atoms, i, j, shift):
    """Kinds and vectors around the midpoint of a bond, the bond first, found by looking at every atom of every cell."""
    end = atoms.positions[j] + shift @ atoms.cell.array
    middle = (atoms.positions[i] + end) / 2
    kinds, vectors = ["X"], [end - atoms.positions[i]]
    for image in images(atoms):
        for k, position in enumerate(atoms.positions + image @ atoms.cell.array):
            is_end = (k == i and not any(image)) or (k == j and tuple(image) == tuple(shift))
            if not is_end and np.linalg.norm(position - middle) < RCUT:
                kinds.append(atoms.symbols[k])
                vectors.append(position - middle)
    return np.array(kinds), np.array(vectors)


def brute_force(basis, kinds, vectors):
    inner = basis.basis
    labels = [(inner.species[v.z], v.q[-1], v.l, v.m) for v in inner.products.one_particle]
    phi = one_particle_values(kinds, vectors, "X", labels, PLAIN)
    products = [k for run in inner.products.factors for k in run.tolist()]
    values = np.array([canonical_brute_force(phi, k)[0] for k in products])
    scales = np.array([canonical_closed_form(phi, k)[1] for k in products])  # of what cancels on the way
    return inner.symmetrization @ values, abs(inner.symmetrization) @ scales


@pytest.mark.parametrize(
    "atoms, irrep, order",
    [
        (cluster(1, 5, size=3.2, smallest=1.0), "0e", 3),
        (cluster(1, 5, size=3.2, smallest=1.0), "1e", 2),
        (cluster(1, 5, size=3.2, smallest=1.0), "2e", 2),
        (crystal(), "1o", 2),
    ],
)
def test_sums_over_distinct_tuples(atoms, irrep, order):
    basis = make(irrep, order)
    bonds, features = basis.bonds(atoms), basis.descriptors(atoms)
    assert len(features) == bonds.n_pairs > 8 and features.shape[1:] == basis.basis.feature_shape
    centers = np.repeat(bonds.centers, np.diff(bonds.offsets))
    largest = 0
    for p in range(0, bonds.n_pairs, 3):
        kinds, vectors = surroundings(atoms, centers[p], bonds.neighbors[p], bonds.shifts[p])
        expected, scale = brute_force(basis, kinds, vectors)
        largest = max(largest, len(kinds))
        assert (abs(features[p].ravel() - expected) <= ROUND_OFF * scale).all()
    assert largest > order  # enough particles for every term


def test_bonds_are_all_pairs_within_the_length():
    atoms = crystal()
    bonds = make().bonds(atoms)
    found = set(
        zip(
            np.repeat(bonds.centers, np.diff(bonds.offsets)).tolist(),
            bonds.neighbors.tolist(),
            map(tuple, bonds.shifts.tolist()),
        )
    )
    expected = {
        (i, j, image)
        for i, j, image in itertools.product(range(3), range(3), images(atoms))
        if 0 < np.linalg.norm(atoms.positions[j] + image @ atoms.cell.array - atoms.positions[i]) < LENGTH
    }
    assert found == expected


@pytest.mark.parametrize("atoms", [cluster(2), crystal()], ids=["cluster", "crystal"])
@pytest.mark.parametrize("irrep", ["0e", "1o", "1e"])
def test_exchange_of_the_ends_is_a_sign(atoms, irrep):
    basis = make(irrep)
    bonds, features = basis.bonds(atoms), basis.descriptors(atoms)
    centers = np.repeat(bonds.centers, np.diff(bonds.offsets))
    names = [(i, j, *s) for i, j, s in zip(centers.tolist(), bonds.neighbors.tolist(), bonds.shifts.tolist())]
    reverse = [names.index((j, i, -a, -b, -c)) for i, j, a, b, c in names]
    features = features.reshape(*features.shape[:2], -1)
    assert set(basis.exchange) == {1.0, -1.0}
    np.testing.assert_allclose(
        features[reverse], features * basis.exchange[:, None], rtol=0, atol=1e-12 * abs(features).max()
    )


@pytest.mark.parametrize("improper", [False, True])
@pytest.mark.parametrize("irrep", ["0e", "1o", "1e", "2o"])
def test_features_turn_with_the_structure(irrep, improper):
    basis, atoms = make(irrep), cluster(3)
    rotation = random_orthogonal(np.random.default_rng(2), improper)
    turned = Atoms(atoms.symbols, atoms.positions @ rotation.T + 7.0)
    D = representation(rotation, basis.basis.L, basis.basis.parity)
    before, after = (basis.descriptors(a).reshape(-1, len(basis), len(D)) for a in (atoms, turned))
    np.testing.assert_allclose(after, before @ D.T, rtol=0, atol=1e-12 * abs(before).max())


def test_environments_and_threads_change_nothing():
    basis, atoms = make("1o"), crystal()
    reference = basis.descriptors(atoms, num_threads=1)
    assert (basis.descriptors(atoms, environments=make("2e").environments(atoms), num_threads=2) == reference).all()
    assert basis.descriptors(Atoms("Cu")).shape == (0, len(basis), 3)


def test_own_radial_functions_and_dictionaries():
    cutoffs = {(a, b): 3.0 for a in ("X", *SPECIES) for b in ("X", *SPECIES)}
    own = PolynomialRadialBasis(cutoffs, LinearTransform(), PolynomialEnvelope(3))
    basis = BondBasis(SPECIES, 2.5, order=2, totaldegree=4, radial=own, L=2)
    for each in (basis, make("1e"), make(order=2, n_max=3, l_max=2, canonical=False, totaldegree=None)):
        again = BondBasis.from_dict(each.to_dict())
        assert again == each and hash(again) == hash(each) and again.labels == each.labels
    assert basis != make() and basis.species == SPECIES and basis.irrep == "2e" and "length=2.5" in repr(basis)
    assert all(label.species.count("X") == 1 for label in basis.labels)
    assert basis.with_irrep("1e").irrep == "1e" and basis.with_irrep("2e") == basis
    assert basis != "a basis"


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: BondBasis("Cu", 3.0), TypeError, "species must be a sequence"),
        (lambda: BondBasis(["Cu"], 0.0), ValueError, "length must be"),
        (lambda: BondBasis(["Cu"], 3.0, -1.0), ValueError, "rcut must be"),
        (
            lambda: BondBasis(["Cu"], 3.0, 3.0, radial=PolynomialRadialBasis(3.0, LinearTransform())),
            ValueError,
            "rcut and radial",
        ),
        (
            lambda: BondBasis(["Cu"], 3.0, radial=PolynomialRadialBasis(2.0, LinearTransform())),
            ValueError,
            "beyond the cutoff",
        ),
        (lambda: BondBasis(["Cu"], 3.0, cutof=3.0), TypeError, "BondBasis.* did you mean"),
        (lambda: BondBasis(["Xy"], 3.0), ValueError, "chemical symbol"),
        (lambda: make().descriptors(Atoms("Au2", [(0, 0, 0), (0, 0, 2)])), SpeciesError, "Au"),
        (
            lambda: make().descriptors(Atoms("CuX", [(0, 0, 0), (0, 0, 2)])),
            SpeciesError,
            "X, which stands for the bond",
        ),
        (lambda: make().bonds("Cu2"), TypeError, "atoms"),
    ],
)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
