"""Features against brute force, and what they mean: body orders, pair terms, products before purification."""

import numpy as np
import pytest
from ase import Atoms
from cases.descriptors import RADIAL, ROUND_OFF, SPECIES, cluster, crystal, expected_features
from oracles import canonical as reference
from oracles import invariants as reference_invariants
from oracles.atoms import agnesi_transform, canonical_products, environment, polynomial_radial
from oracles.structures import degenerate_pair

from acepure import ACEBasis
from acepure.errors import SpeciesError

#: name → arguments of a basis of two species
SETS = {
    "order 3": {"totaldegree": [5, 4, 4]},
    "order 4": {"totaldegree": [3, 4, 5, 6], "n_start": 1},
    "box": {"n_max": [4, 2, 1], "l_max": [0, 4, 2]},
}


# --- brute force ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("canonical", [True, False], ids=["canonical", "self-interacting"])
@pytest.mark.parametrize("arguments", SETS)
@pytest.mark.parametrize("name", RADIAL)
def test_features_against_brute_force(name, arguments, canonical):
    radial, plain, cutoff = RADIAL[name]
    basis = ACEBasis(SPECIES, radial=radial, canonical=canonical, **SETS[arguments])
    for atoms in (cluster(1), crystal()):
        features = basis.descriptors(atoms)
        assert features.shape == (len(atoms), len(basis)) and features.dtype == np.float64
        for center in range(len(atoms)):
            expected, scale = expected_features(basis, plain, cutoff, atoms, center)
            wrong = abs(features[center] - expected) > ROUND_OFF * scale
            assert not wrong.any(), f"atom {center}: {[str(basis.labels[i]) for i in np.flatnonzero(wrong)[:3]]}"


@pytest.mark.parametrize("name", ["Chebyshev", "Legendre", "own functions"])
def test_orders_five_and_six(name):
    radial, plain, cutoff = RADIAL[name]
    atoms = cluster(2, n_atoms=8)
    for canonical in (True, False):
        basis = ACEBasis(SPECIES, radial=radial, canonical=canonical, totaldegree=[0, 0, 0, 0, 1, 1])
        one = ACEBasis(["Cu"], radial=radial, canonical=canonical, totaldegree=[1, 2, 2, 2, 2, 3])
        copper = atoms.copy()
        copper.symbols[:] = "Cu"
        for tested, structure in ((basis, atoms), (one, copper)):
            assert tested.order == 6 and tested.specification.sizes[5] > 0
            features = tested.descriptors(structure)
            for center in range(len(atoms)):
                expected, scale = expected_features(tested, plain, cutoff, structure, center)
                assert (abs(features[center] - expected) <= ROUND_OFF * scale).all()


def test_vectorized_closed_form_is_the_closed_form():
    """The oracle above against `reference.py`: brute force over tuples up to order 4, closed form to order 6."""
    rng = np.random.default_rng(0)
    phi = rng.normal(size=(6, 4))
    for order in range(1, 7):
        factors = rng.integers(4, size=(5, order))
        values, scales = canonical_products(phi, factors)
        for k, value, scale in zip(factors.tolist(), values, scales, strict=True):
            oracle = reference.canonical_brute_force if order < 5 else reference.canonical_closed_form
            assert abs(value - oracle(phi, k)[0]) <= 1e-14 * scale


@pytest.mark.parametrize("canonical", [True, False], ids=["canonical", "self-interacting"])
@pytest.mark.parametrize("name", ["default", "orthonormal, operators differ by center", "cutoffs per pair"])
def test_features_without_harmonics_and_couplings(name, canonical):
    """Orders 1 to 3, as sums over tuples of neighbors of Legendre polynomials and quadrature over the sphere."""
    radial, plain, cutoff = RADIAL[name]
    basis = ACEBasis(SPECIES, radial=radial, canonical=canonical, totaldegree=[3, 4, 3])
    atoms = cluster(3, n_atoms=6)
    features = basis.descriptors(atoms)
    for center in (0, 3):
        symbols, vectors = environment(atoms, center, cutoff)
        r = np.linalg.norm(vectors, axis=1)
        columns = [(species, n) for species in SPECIES for n in range(5)]
        values = np.stack(
            [plain(r, atoms.symbols[center], s, n + 1)[:, n] * (symbols == s) for s, n in columns], axis=1
        )
        expected = np.array(
            [
                reference_invariants.naive_feature(
                    values,
                    vectors,
                    [(columns.index((s, n)), l) for s, n, l in zip(label.species, label.n, label.l)],
                    canonical,
                )
                for label in basis.labels
            ]
        )
        _, scale = expected_features(basis, plain, cutoff, atoms, center)
        for block in basis.order_slices.values():
            # by largest of the order: the quadrature has terms that cancel; the sign of order 3 is a convention
            tolerance = 1e-13 * scale[block].max()
            assert abs(expected[block]).max() > 1e-3 * scale[block].max()
            assert abs(abs(features[center, block]) - abs(expected[block])).max() < tolerance
            if block.stop <= basis.order_slices["nu2"].stop:
                assert abs(features[center, block] - expected[block]).max() < tolerance


@pytest.mark.parametrize("canonical", [True, False], ids=["canonical", "self-interacting"])
def test_power_spectrum(canonical):
    """Order 2 is the SOAP power spectrum over √(2l + 1), once more over √2 for n = n'; canonical without j = j'."""
    radial, plain, cutoff = RADIAL["Legendre"]
    basis = ACEBasis(["Cu"], radial=radial, order=2, n_max=4, l_max=6, canonical=canonical)
    atoms = cluster(4, species=["Cu"])
    features = basis.descriptors(atoms)
    _, vectors = environment(atoms, 2, cutoff)
    values = plain(np.linalg.norm(vectors, axis=1), "Cu", "Cu", 4)
    spectra = [reference_invariants.power_spectrum(values, vectors, l, include_self=not canonical) for l in range(7)]
    for label, feature in zip(basis.labels, features[2], strict=True):
        if label.order == 2:
            (n, p), (l, _) = label.n, label.l
            expected = spectra[l][n, p] / np.sqrt((2 * l + 1) * (2 if n == p else 1))
            scale = (2 * l + 1) / (4 * np.pi) * abs(values[:, n]).sum() * abs(values[:, p]).sum()
            assert abs(feature - expected) <= ROUND_OFF * scale


# --- meaning ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RADIAL)
@pytest.mark.parametrize("n_atoms", [1, 2, 3, 4])
def test_canonical_features_vanish_below_their_order(name, n_atoms):
    radial, plain, cutoff = RADIAL[name]
    basis = ACEBasis(SPECIES, radial=radial, totaldegree=[2, 2, 2, 2])
    atoms = cluster(5, n_atoms=n_atoms, size=2.5)
    features = basis.descriptors(atoms)
    for nu, block in enumerate(basis.order_slices.values(), 1):
        for center in range(n_atoms):
            _, scale = expected_features(basis, plain, cutoff, atoms, center)
            if nu > n_atoms - 1:
                assert (abs(features[center, block]) <= ROUND_OFF * scale[block]).all()
            else:
                assert abs(features[center, block]).max() > 1e-6
    if n_atoms == 1:
        assert not features.any(), "exactly zero without neighbors"


def test_self_interacting_features_of_a_dimer_do_not_vanish():
    basis = ACEBasis(["Cu"], order=3, canonical=False)
    features = basis.descriptors(Atoms("Cu2", [[0, 0, 0], [0, 0, 2.3]]))
    assert all(abs(features[:, block]).max() > 1e-6 for block in basis.order_slices.values())


@pytest.mark.parametrize("canonical", [True, False], ids=["canonical", "self-interacting"])
def test_degenerate_pair(canonical):
    """Equal to order 3 at any degree; at order 4 different from degree 6 on, first with l = 1, 1, 1, 3."""
    basis = ACEBasis(["C"], rcut=6.0, totaldegree=[10, 10, 9, 7], canonical=canonical)
    plus, minus = (
        basis.descriptors(Atoms("C8", np.vstack([np.zeros(3), v])), indices=[0])[0] for v in degenerate_pair()
    )
    plain = polynomial_radial(lambda a, b: 6.0, agnesi_transform, "smooth", 3, "chebyshev")
    atoms = Atoms("C8", np.vstack([np.zeros(3), degenerate_pair()[0]]))
    _, scale = expected_features(basis, plain, lambda a, b: 6.0, atoms, 0)
    differs = abs(plus - minus) > ROUND_OFF * scale
    assert {label.order for label, d in zip(basis.labels, differs) if d} == {4}
    degrees = {sum(label.n) + sum(label.l): set() for label in basis.labels}
    for label, d in zip(basis.labels, differs):
        if d:
            degrees[sum(label.n) + sum(label.l)].add(label.l)
    assert not any(degrees[d] for d in range(6)) and (1, 1, 1, 3) in degrees[6]
    # by far more than rounding
    first = basis.labels.index(next(x for x, d in zip(basis.labels, differs) if d and x.l == (1, 1, 1, 3)))
    assert abs(plus - minus)[first] > 1e-4 * abs(plus[basis.order_slices["nu4"]]).max()


def test_pair_term_is_a_pair_potential():
    """Order 1 is a sum over neighbors: features of a trimer add up from those of dimers."""
    basis = ACEBasis(["Cu"], order=1, totaldegree=8)
    trimer = Atoms("Cu3", [[0, 0, 0], [0, 0, 2.3], [2.1, 0, 0.4]])
    pairs = [basis.descriptors(trimer[[0, j]])[0] for j in (1, 2)]
    np.testing.assert_allclose(basis.descriptors(trimer)[0], sum(pairs), atol=1e-14)


@pytest.mark.parametrize("name", ["default", "orthonormal, operators differ by center", "own functions"])
def test_purification_of_products_gives_the_features(name):
    """B = C P AA with P over single products, on request, for every species of center."""
    radial, _, cutoff = RADIAL[name]
    basis = ACEBasis(SPECIES, radial=radial, totaldegree=[3, 3, 2])
    atoms = cluster(6)
    features = basis.descriptors(atoms)
    for center in (0, 1, 2, 3):
        operators = basis.operators(atoms.symbols[center])
        P, columns = operators.purification_with_columns
        one_particle = sorted({v for k in columns for v in k})
        symbols, vectors = environment(atoms, center, cutoff)
        r, y = np.linalg.norm(vectors, axis=1), reference.real_harmonics(vectors, max(v.l for v in one_particle))
        A, size = {}, {}
        for v in one_particle:
            R = radial.evaluate_labels(r, atoms.symbols[center], SPECIES[v.z], [v.q])[:, 0]
            terms = R * y[:, v.l * v.l + v.l + v.m] * (symbols == SPECIES[v.z])
            A[v], size[v] = terms.sum(), abs(terms).sum()
        products = np.array([np.prod([A[v] for v in k]) for k in columns])
        sizes = np.array([np.prod([size[v] for v in k]) for k in columns])
        C = operators.symmetrization
        assert (abs(C @ P @ products - features[center]) <= ROUND_OFF * (abs(C) @ abs(P) @ sizes)).all()


def test_purification_that_differs_by_center_is_refused():
    basis = ACEBasis(SPECIES, radial=RADIAL["orthonormal, operators differ by center"][0], totaldegree=2)
    for attribute in ("purification", "extended_products"):
        with pytest.raises(ValueError, match=r"differs between species of center.*operators\(center\)"):
            getattr(basis, attribute)
    with pytest.raises(SpeciesError, match=r"'Al' is not one of the species \('Cu', 'Zr'\)"):
        basis.operators("Al")
    same = ACEBasis(SPECIES, totaldegree=2)
    assert same.purification.shape == (len(same.products), len(same.extended_products))
