"""ACEBasis and descriptors(): values against brute force, symmetries, limits, interfaces, wrong input."""

import copy
import itertools
import json
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
import reference
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import read, write
from hypothesis import given
from hypothesis import strategies as st
from reference_atoms import (
    agnesi_transform,
    canonical_products,
    environment,
    linear_transform,
    one_particle_values,
    polynomial_radial,
    self_interacting_products,
)
from reference_structures import degenerate_pair, random_orthogonal, structures

import acepure.evaluation
from acepure import ACEBasis, descriptors
from acepure._kernels import cpu
from acepure.basis import (
    AgnesiTransform,
    Chebyshev,
    CosineEnvelope,
    Legendre,
    LinearTransform,
    Measure,
    Orthonormal,
    PolynomialEnvelope,
    PolynomialRadialBasis,
    RadialBasis,
    SmoothEnvelope,
    Transform,
)
from acepure.errors import CoincidentAtomsError, SpeciesError
from acepure.neighbors import neighbor_list

# Error of a feature relative to the sum of |terms| of its definition, which is what round-off is proportional to.
ROUND_OFF = 1e-12
SPECIES = ("Cu", "Zr")


# --- radial functions, once of the package and once plain ------------------------------------------------------------


@dataclass(frozen=True)
class SquareTransform(Transform):
    """A user's own transform: graded, but unknown to the kernel."""

    def evaluate(self, r, rcut, center=None, neighbor=None):
        return 2 * (r / rcut) ** 2 - 1


@dataclass(frozen=True)
class Gaussians(RadialBasis):
    """A user's own radial functions, which differ between pairs of species."""

    width: float = 1.1

    def cutoff(self, center, neighbor):
        return 4.5

    def evaluate(self, r, center, neighbor, n_radial):
        return gaussians(r, center, neighbor, n_radial, self.width)


def gaussians(r, center, neighbor, n, width=1.1):
    r = np.asarray(r, dtype=float)[:, None]
    shift = 0.2 * (center == "Zr") + 0.1 * (neighbor == "Zr")
    return np.where(r < 4.5, (1 - r / 4.5) ** 2, 0) * np.exp(-(((r - shift - 0.8 * np.arange(n)) / width) ** 2))


NODES = np.linspace(0.8, 4.4, 80)
WEIGHTS = NODES**2 * (1 + np.sin(3 * NODES) / 2)
OTHER_WEIGHTS = NODES * np.exp(-((NODES - 2.5) ** 2))
CUTOFFS = {("Cu", "Cu"): 4.0, ("Cu", "Zr"): 5.0, ("Zr", "Cu"): 4.5, ("Zr", "Zr"): 3.8}


def five(center, neighbor):
    return 5.0


def per_pair(center, neighbor):
    return CUTOFFS[center, neighbor]


def measured(r, center, neighbor, n):
    weights = WEIGHTS if center == "Cu" else OTHER_WEIGHTS
    return polynomial_radial(five, linear_transform, "smooth", 2.5, "orthonormal", (NODES, weights))(
        r, center, neighbor, n
    )


def square_transform(r, rcut, center, neighbor):
    return 2 * (r / rcut) ** 2 - 1


#: name → radial basis of the package, the same functions in plain NumPy, cutoff(center, neighbor)
RADIAL = {
    "Chebyshev": (
        PolynomialRadialBasis(5.0, LinearTransform(), PolynomialEnvelope(2)),
        polynomial_radial(five, linear_transform, "polynomial", 2, "chebyshev"),
        five,
    ),
    "default": (
        PolynomialRadialBasis(5.0),
        polynomial_radial(five, agnesi_transform, "smooth", 3, "chebyshev"),
        five,
    ),
    "Legendre": (
        PolynomialRadialBasis(5.0, AgnesiTransform(), CosineEnvelope(), Legendre()),
        polynomial_radial(five, agnesi_transform, "cosine", None, "legendre"),
        five,
    ),
    "orthonormal, one measure": (
        PolynomialRadialBasis(5.0, AgnesiTransform(), SmoothEnvelope(2), Orthonormal(Measure(NODES, WEIGHTS))),
        polynomial_radial(five, agnesi_transform, "smooth", 2, "orthonormal", (NODES, WEIGHTS)),
        five,
    ),
    "orthonormal, operators differ by center": (
        PolynomialRadialBasis(
            5.0,
            LinearTransform(),
            SmoothEnvelope(2.5),
            Orthonormal(
                {
                    (a, b): Measure(NODES, WEIGHTS if a == "Cu" else OTHER_WEIGHTS)
                    for a, b in itertools.product(SPECIES, repeat=2)
                }
            ),
        ),
        measured,
        five,
    ),
    "cutoffs per pair": (
        PolynomialRadialBasis(CUTOFFS, AgnesiTransform(), PolynomialEnvelope(3), Legendre()),
        polynomial_radial(per_pair, agnesi_transform, "polynomial", 3, "legendre"),
        per_pair,
    ),
    "own transform": (
        PolynomialRadialBasis(5.0, SquareTransform(), SmoothEnvelope(2), Chebyshev()),
        polynomial_radial(five, square_transform, "smooth", 2, "chebyshev"),
        five,
    ),
    "own functions": (Gaussians(), gaussians, lambda center, neighbor: 4.5),
}

#: name → arguments of a basis of two species
SETS = {
    "order 3": {"totaldegree": [5, 4, 4]},
    "order 4": {"totaldegree": [3, 4, 5, 6], "n_start": 1},
    "box": {"n_max": [4, 2, 1], "l_max": [0, 4, 2]},
}


# --- brute force -----------------------------------------------------------------------------------------------------


def labels_of(basis, products):
    """(species, n, l, m) of the sums over neighbors, with n counted from 0; (s, n) and (n,) both end in n."""
    return [(basis.species[v.z], v.q[-1], v.l, v.m) for v in products.one_particle]


def expected_features(basis, radial, cutoff, atoms, center):
    """C 𝒜, or C AA, of one atom by the closed form, with the sum of |terms|; shape (n_features,) each.

    In the sum of |terms| a function counts with at least a hundredth of the largest of its neighbor: near a root its
    rounding is not proportional to its value.
    """
    symbols, vectors = environment(atoms, center, cutoff)
    labels = labels_of(basis, basis.products)
    phi = one_particle_values(symbols, vectors, atoms.symbols[center], labels, radial)
    of_products = canonical_products if basis.canonical else self_interacting_products
    sizes = np.maximum(abs(phi), 0.01 * abs(phi).max(axis=1, keepdims=True, initial=0))
    values = np.concatenate([of_products(phi, run)[0] for run in basis.products.factors])
    scales = np.concatenate([of_products(sizes, run)[1] for run in basis.products.factors])
    return basis.symmetrization @ values, abs(basis.symmetrization) @ scales


def scales_of(basis, atoms, name="default"):
    """Sums of |terms| of all atoms, (n_atoms, n_features), for a basis made from RADIAL[name]."""
    _, radial, cutoff = RADIAL[name]
    return np.array([expected_features(basis, radial, cutoff, atoms, i)[1] for i in range(len(atoms))])


def cluster(seed, n_atoms=7, size=4.5, smallest=0.8, species=SPECIES):
    """A molecule of random atoms that keep a distance."""
    rng = np.random.default_rng(seed)
    positions = []
    while len(positions) < n_atoms:
        point = rng.uniform(0, size, 3)
        if all(np.linalg.norm(point - other) > smallest for other in positions):
            positions.append(point)
    return Atoms(rng.permutation([species[i % len(species)] for i in range(n_atoms)]).tolist(), positions)


def crystal(seed=0):
    """A small, low-symmetry periodic cell of both species."""
    rng = np.random.default_rng(seed)
    cell = [[4.2, 0, 0], [0.7, 3.9, 0], [-0.4, 0.5, 4.4]]
    scaled = [[0, 0, 0], [0.5, 0.45, 0.1], [0.1, 0.5, 0.55]]
    scaled = np.array(scaled) + rng.uniform(-0.02, 0.02, (3, 3))
    return Atoms("CuZrCu", scaled_positions=scaled, cell=cell, pbc=True)


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
                reference.naive_feature(
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
    spectra = [reference.power_spectrum(values, vectors, l, include_self=not canonical) for l in range(7)]
    for label, feature in zip(basis.labels, features[2], strict=True):
        if label.order == 2:
            (n, p), (l, _) = label.n, label.l
            expected = spectra[l][n, p] / np.sqrt((2 * l + 1) * (2 if n == p else 1))
            scale = (2 * l + 1) / (4 * np.pi) * abs(values[:, n]).sum() * abs(values[:, p]).sum()
            assert abs(feature - expected) <= ROUND_OFF * scale


# --- meaning ---------------------------------------------------------------------------------------------------------


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


# --- symmetries ------------------------------------------------------------------------------------------------------

BASIS = ACEBasis(SPECIES, totaldegree=[4, 4, 4, 2])
SEEDS = st.integers(0, 2**32 - 1)


def assert_close(first, second, scale):
    """Rounding of coordinates moves each factor by its slope times 1e-16: a few hundred units over the terms."""
    assert (abs(first - second) <= 10 * ROUND_OFF * scale + 1e-300).all(), abs(first - second).max()


@given(SEEDS, st.booleans(), st.booleans())
def test_invariant_under_rotations_and_reflections(seed, improper, periodic):
    atoms = crystal(seed) if periodic else cluster(seed, n_atoms=5)
    rotation = random_orthogonal(np.random.default_rng(seed), improper)
    moved = atoms.copy()
    moved.set_cell(atoms.cell.array @ rotation.T)
    moved.positions = atoms.positions @ rotation.T
    assert_close(BASIS.descriptors(moved), BASIS.descriptors(atoms), scales_of(BASIS, atoms))


@given(SEEDS)
def test_permuted_atoms_have_permuted_features(seed):
    atoms = cluster(seed, n_atoms=6)
    order = np.random.default_rng(seed).permutation(len(atoms))
    features = BASIS.descriptors(atoms)
    assert_close(BASIS.descriptors(atoms[order]), features[order], scales_of(BASIS, atoms)[order])


@given(SEEDS, st.floats(-1e3, 1e3), st.sampled_from([(1, 1, 1), (1, 0, 1), (0, 0, 0)]))
def test_translation_and_wrapping(seed, distance, pbc):
    atoms = crystal(seed)
    atoms.pbc = pbc
    moved = atoms.copy()
    moved.positions += distance * np.array([1.0, -0.7, 0.3])
    # 1e3 Å cost three digits of every distance
    scale = 1e3 * scales_of(BASIS, atoms)
    assert_close(BASIS.descriptors(moved), BASIS.descriptors(atoms), scale)
    moved.wrap()
    assert_close(BASIS.descriptors(moved), BASIS.descriptors(atoms), scale)


@given(SEEDS, st.tuples(*[st.integers(1, 3)] * 3))
def test_supercell_repeats_features(seed, repeat):
    atoms = crystal(seed)
    features = BASIS.descriptors(atoms)
    scale = np.tile(scales_of(BASIS, atoms), (int(np.prod(repeat)), 1))
    assert_close(BASIS.descriptors(atoms.repeat(repeat)), np.tile(features, (int(np.prod(repeat)), 1)), scale)


@pytest.mark.parametrize("name", ["one atom, fcc", "one atom, bcc"])
def test_one_atom_in_a_cell_is_the_crystal(name):
    """Images count; an fcc or bcc site has no odd l, and no l = 2."""
    atoms = structures()[name]
    basis = ACEBasis([atoms.symbols[0]], totaldegree=8)
    features = basis.descriptors(atoms)
    assert features.shape == (1, len(basis)) and abs(features).max() > 0
    scale = scales_of(basis, atoms)
    assert_close(basis.descriptors(atoms.repeat(4)), np.tile(features, (64, 1)), np.tile(scale, (64, 1)))
    pairs = [i for i, label in enumerate(basis.labels) if label.order == 2 and label.l[0] in (1, 2, 3)]
    plain = basis.__class__([atoms.symbols[0]], totaldegree=8, canonical=False)
    assert (abs(plain.descriptors(atoms)[0, pairs]) <= 1e-10 * scale[0, pairs]).all()


@pytest.mark.parametrize("pbc", list(itertools.product([True, False], repeat=3)), ids=str)
def test_periodic_axes_by_explicit_images(pbc):
    """Images along periodic axes alone, as atoms of a molecule; the cell along the others plays no role."""
    atoms = crystal(3)
    atoms.pbc = pbc
    shifts = [range(-3, 4) if periodic else (0,) for periodic in pbc]
    images = [s for s in itertools.product(*shifts) if any(s)]
    explicit = Atoms(
        list(atoms.symbols) * (1 + len(images)),
        np.vstack([atoms.positions, *[atoms.positions + np.array(s) @ atoms.cell.array for s in images]]),
    )
    expected = BASIS.descriptors(explicit, indices=range(len(atoms)))
    scale = scales_of(BASIS, atoms)
    assert_close(BASIS.descriptors(atoms), expected, scale)
    atoms.set_cell(np.where(np.array(pbc)[:, None], atoms.cell.array, 0.0))
    assert_close(BASIS.descriptors(atoms), expected, scale)


@pytest.mark.parametrize("name", structures())
def test_zoo(name):
    atoms = structures()[name]
    basis = ACEBasis(sorted(set(atoms.symbols)), rcut=4.0, totaldegree=[4, 4, 3])
    plain = polynomial_radial(lambda a, b: 4.0, agnesi_transform, "smooth", 3, "chebyshev")
    features = basis.descriptors(atoms)
    for center in range(min(len(atoms), 4)):
        expected, scale = expected_features(basis, plain, lambda a, b: 4.0, atoms, center)
        assert (abs(features[center] - expected) <= ROUND_OFF * scale).all()


def test_isolated_atoms_are_exactly_zero():
    for atoms in (Atoms("Cu"), Atoms("CuZr", [[0, 0, 0], [0, 0, 5.0]]), Atoms("Cu", cell=[30] * 3, pbc=True)):
        for canonical in (True, False):
            features = ACEBasis(SPECIES, rcut=5.0, canonical=canonical).descriptors(atoms)
            assert features.shape[0] == len(atoms) and not features.any()


def test_features_of_absent_species_are_exactly_zero():
    basis = ACEBasis(["Al", "Cu", "Zr"], totaldegree=[4, 3, 3])
    features = basis.descriptors(cluster(0))
    absent = ["Al" in label.species for label in basis.labels]
    assert not features[:, absent].any()
    # round-off of products differs with the graph that computes them, values do not
    two = ACEBasis(SPECIES, totaldegree=[4, 3, 3])
    present = [i for i, gone in enumerate(absent) if not gone]
    assert [basis.labels[i] for i in present] == list(two.labels)
    assert_close(features[:, present], two.descriptors(cluster(0)), scales_of(two, cluster(0)))


# --- same bits -------------------------------------------------------------------------------------------------------


def large_structure():
    atoms = crystal().repeat((3, 3, 4))
    atoms.rattle(0.1, seed=1)
    return atoms


@pytest.mark.parametrize("name", ["default", "orthonormal, operators differ by center", "own functions"])
def test_threads_do_not_change_a_bit(name):
    basis = ACEBasis(SPECIES, radial=RADIAL[name][0], totaldegree=[3, 3, 3])
    atoms = large_structure()
    one = basis.descriptors(atoms, num_threads=1)
    for threads in (2, 3, 7):
        np.testing.assert_array_equal(basis.descriptors(atoms, num_threads=threads), one)


def test_number_of_threads_from_the_environment(monkeypatch):
    basis, atoms = ACEBasis(SPECIES, order=2), cluster(1)
    expected = basis.descriptors(atoms, num_threads=1)
    for value in ("1", "3"):
        monkeypatch.setenv("ACEPURE_NUM_THREADS", value)
        np.testing.assert_array_equal(basis.descriptors(atoms), expected)
    for value in ("0", "many", "-2"):
        monkeypatch.setenv("ACEPURE_NUM_THREADS", value)
        with pytest.raises(ValueError, match=f"ACEPURE_NUM_THREADS must be a positive integer; got '{value}'"):
            basis.descriptors(atoms)
    monkeypatch.delenv("ACEPURE_NUM_THREADS")
    monkeypatch.setenv("OMP_NUM_THREADS", "2,1")
    np.testing.assert_array_equal(basis.descriptors(atoms), expected)


def test_concurrent_calls():
    """A fresh basis, first used from many threads at once."""
    many = [cluster(seed, n_atoms=6 + seed % 5) for seed in range(12)] + [large_structure()]
    expected = [BASIS.descriptors(atoms, num_threads=1) for atoms in many]
    fresh = ACEBasis.from_dict(BASIS.to_dict())
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda atoms: fresh.descriptors(atoms, num_threads=2), many * 4))
    for result, wanted in zip(results, expected * 4, strict=True):
        np.testing.assert_array_equal(result, wanted)


def test_users_functions_are_tabulated_in_parts(monkeypatch):
    basis = ACEBasis(SPECIES, radial=Gaussians(), totaldegree=[2, 2, 2])
    atoms = large_structure()
    expected = basis.descriptors(atoms)
    for pairs in (1, 500):
        monkeypatch.setattr(acepure.evaluation, "_PAIRS_PER_TABLE", pairs)
        np.testing.assert_array_equal(basis.descriptors(atoms), expected)


VARIANT_SCRIPT = """
import sys
import numpy as np
from acepure import ACEBasis
from acepure._kernels import variant
from ase.io import read

atoms = read(sys.argv[1])
features = [ACEBasis(["Cu", "Zr"], totaldegree=[4, 4, 4, 2], canonical=c).descriptors(atoms) for c in (True, False)]
np.savez(sys.argv[2], variant=variant, canonical=features[0], plain=features[1])
"""


def run_variant(name, *arguments):
    environment = {**os.environ, "ACEPURE_SIMD": name}
    command = [sys.executable, "-c", VARIANT_SCRIPT, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_instruction_sets_agree(tmp_path):
    atoms = cluster(8, n_atoms=21, size=6.0)
    write(tmp_path / "atoms.json", atoms)
    scale = scales_of(BASIS, atoms)
    results = {}
    for name in cpu.instruction_sets():
        run = run_variant(name, tmp_path / "atoms.json", tmp_path / f"{name}.npz")
        if run.returncode and f"evaluator_{name}" in run.stderr and name != "baseline":
            continue  # this build has no such variant
        assert run.returncode == 0, run.stderr
        results[name] = np.load(tmp_path / f"{name}.npz")
        assert results[name]["variant"] == name
    for name, result in results.items():
        for key in ("canonical", "plain"):
            assert (abs(result[key] - results["baseline"][key]) <= ROUND_OFF * scale).all(), name


def test_unknown_instruction_set(tmp_path):
    run = run_variant("mmx", tmp_path, tmp_path)
    assert run.returncode and "ACEPURE_SIMD='mmx', but this processor has" in run.stderr


# --- selections and forms of the result ------------------------------------------------------------------------------


def test_indices():
    atoms = large_structure()
    features = BASIS.descriptors(atoms)
    mask = np.zeros(len(atoms), dtype=bool)
    mask[[3, 50, 51]] = True
    for indices, rows in [
        ([5], [5]),
        ([7, 2, 40], [7, 2, 40]),
        ((-1, 0), [len(atoms) - 1, 0]),
        (range(20), list(range(20))),
        (np.arange(90)[::-1], list(range(90))[::-1]),
        (mask, [3, 50, 51]),
        (mask.tolist(), [3, 50, 51]),
        ([], []),
        (np.zeros(len(atoms), dtype=bool), []),
    ]:
        np.testing.assert_array_equal(BASIS.descriptors(atoms, indices=indices), features[rows])
    np.testing.assert_array_equal(
        descriptors(atoms, indices=[7, 2], totaldegree=[4, 4, 4, 2], order=4), features[[7, 2]]
    )


def test_neighbor_list_is_used_again():
    atoms = crystal()
    neighbors = BASIS.neighbor_list(atoms)
    np.testing.assert_array_equal(BASIS.descriptors(atoms, neighbors=neighbors), BASIS.descriptors(atoms))
    some = BASIS.neighbor_list(atoms, indices=[2, 0])
    np.testing.assert_array_equal(BASIS.descriptors(atoms, neighbors=some), BASIS.descriptors(atoms)[[2, 0]])


def test_blocks():
    atoms = bulk("Cu", cubic=True)
    blocks = descriptors(atoms, order=2, n_max=4, l_max=6, blocks=True)
    assert {name: block.shape for name, block in blocks.items()} == {"nu1": (4, 4), "nu2": (4, 70), "full": (4, 74)}
    np.testing.assert_array_equal(np.hstack([blocks["nu1"], blocks["nu2"]]), blocks["full"])
    np.testing.assert_array_equal(blocks["full"], descriptors(atoms, order=2, n_max=4, l_max=6))
    assert all(np.shares_memory(block, blocks["full"]) for block in blocks.values())
    several = descriptors([atoms, bulk("Cu")], order=2, n_max=4, l_max=6, blocks=True)
    assert [block["nu2"].shape for block in several] == [(4, 70), (1, 70)]


def test_several_structures():
    many = [cluster(1), bulk("Cu"), molecule("CO")]
    results = descriptors(many, totaldegree=3)
    assert isinstance(results, list) and len(results) == 3
    species = ["C", "O", "Cu", "Zr"]
    for atoms, result in zip(many, results, strict=True):
        np.testing.assert_array_equal(result, descriptors(atoms, species=species, totaldegree=3))
    for form in (tuple(many), iter(many), (atoms for atoms in many)):
        for result, again in zip(results, descriptors(form, totaldegree=3), strict=True):
            np.testing.assert_array_equal(result, again)
    basis = ACEBasis(species, totaldegree=3)
    for result, again in zip(results, basis.descriptors(many, progress=False), strict=True):
        np.testing.assert_array_equal(result, again)


def test_defaults():
    """Cutoff 5 Å, order 3, total degree 6, canonical, species of the structure."""
    atoms = cluster(2)
    basis = ACEBasis(SPECIES, rcut=5.0, order=3, totaldegree=6, canonical=True)
    assert ACEBasis(SPECIES) == basis
    np.testing.assert_array_equal(descriptors(atoms), basis.descriptors(atoms))
    plain = ACEBasis(SPECIES, canonical=False)
    np.testing.assert_array_equal(descriptors(atoms, canonical=False), plain.descriptors(atoms))
    np.testing.assert_array_equal(descriptors(atoms, False), plain.descriptors(atoms))


def test_store(tmp_path):
    atoms = cluster(2)
    atoms.info["name"] = "kept"
    features = descriptors(atoms, totaldegree=4, rcut=4.5, store=True)
    np.testing.assert_array_equal(atoms.arrays["acepure_descriptors"], features)
    basis = ACEBasis.from_dict(json.loads(atoms.info["acepure_basis"]))
    assert basis == ACEBasis(SPECIES, rcut=4.5, totaldegree=4)
    write(tmp_path / "stored.extxyz", atoms)
    again = read(tmp_path / "stored.extxyz")
    # extended XYZ holds eight decimals
    np.testing.assert_allclose(again.arrays["acepure_descriptors"], features, atol=1e-8)
    assert ACEBasis.from_dict(json.loads(again.info["acepure_basis"])) == basis
    assert again.info["name"] == "kept"
    many = [cluster(1), cluster(2)]
    for structure, result in zip(many, descriptors(many, totaldegree=2, store=True), strict=True):
        np.testing.assert_array_equal(structure.arrays["acepure_descriptors"], result)


def test_stored_results_of_a_basis_with_measures(tmp_path):
    """The parameters stay one line of text in a file, whatever they hold."""
    atoms = cluster(3)
    radial = RADIAL["orthonormal, operators differ by center"][0]
    descriptors(atoms, species=SPECIES, radial=radial, totaldegree=2, store=True)
    write(tmp_path / "stored.extxyz", atoms)
    again = ACEBasis.from_dict(json.loads(read(tmp_path / "stored.extxyz").info["acepure_basis"]))
    assert again == ACEBasis(SPECIES, radial=radial, totaldegree=2)


def test_structures_are_not_modified():
    atoms = crystal()
    atoms.positions -= 9.0  # outside the cell, and to stay there
    atoms.info["note"], atoms.arrays["tag"] = [1, 2], np.arange(3)
    before = pickle.dumps(atoms)
    descriptors(atoms)
    descriptors([atoms, atoms], blocks=True)
    ACEBasis(SPECIES).descriptors(atoms, indices=[1])
    assert pickle.dumps(atoms) == before
    for array in (atoms.positions, atoms.arrays["numbers"]):
        assert array.flags.writeable
    read_only = crystal()
    read_only.positions.flags.writeable = False
    descriptors(read_only)


def test_results_belong_to_the_caller():
    atoms = cluster(1)
    first = descriptors(atoms)
    kept = first.copy()
    first[:] = -1.0
    np.testing.assert_array_equal(descriptors(atoms), kept)


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "synonym, name, value, others",
    [
        ("cutoff", "rcut", 4.2, {}),
        ("r_cut", "rcut", 4.2, {}),
        ("nu_max", "order", 2, {}),
        ("correlation", "order", 2, {}),
        ("correlation_order", "order", 2, {}),
        ("nmax", "n_max", 2, {"l_max": 1}),
        ("lmax", "l_max", 2, {"n_max": 1}),
        ("total_degree", "totaldegree", 4, {}),
    ],
)
def test_synonyms(synonym, name, value, others):
    atoms = cluster(1)
    assert ACEBasis(SPECIES, **{synonym: value}, **others) == ACEBasis(SPECIES, **{name: value}, **others)
    expected = descriptors(atoms, **{name: value}, **others)
    np.testing.assert_array_equal(descriptors(atoms, **{synonym: value}, **others), expected)


@pytest.mark.parametrize(
    "synonym, name", [("r_cut", "rcut"), ("nu_max", "order"), ("nmax", "n_max"), ("lmax", "l_max")]
)
@pytest.mark.parametrize("caller", ["ACEBasis", "descriptors"])
def test_argument_given_twice(caller, synonym, name):
    arguments = {name: 2, synonym: 2}
    with pytest.raises(TypeError, match=rf"{caller}\(\) got {name} twice"):
        ACEBasis(SPECIES, **arguments) if caller == "ACEBasis" else descriptors(cluster(1), **arguments)


def test_labels():
    canonical, plain = (ACEBasis(["Zr", "Cu"], totaldegree=[4, 4, 4, 4], canonical=c) for c in (True, False))
    assert canonical.labels == plain.labels and len(set(canonical.labels)) == len(canonical) == len(plain)
    assert canonical.labels == ACEBasis(["Cu", "Zr"], totaldegree=[4, 4, 4, 4]).labels
    label = next(label for label in canonical.labels if label.order == 4 and set(label.l) == {1})
    assert str(label).startswith("Cu(n=0,l=1) ") and " L=" in str(label)
    assert len(label.coupling) == 2
    for other in (RADIAL["own functions"][0], RADIAL["orthonormal, operators differ by center"][0]):
        assert ACEBasis(SPECIES, radial=other, totaldegree=[4, 4, 4, 4]).labels == canonical.labels


def test_a_row_is_named_by_its_label():
    """Rows of C hold products of the functions that the label names, for every kind of radial label."""
    for name in ("default", "own functions"):
        basis = ACEBasis(SPECIES, radial=RADIAL[name][0], totaldegree=[4, 4, 4], n_start=1)
        C = basis.symmetrization
        for row, label in enumerate(basis.labels):
            factors = sorted(zip(label.species, label.n, label.l))
            for column in C.indices[C.indptr[row] : C.indptr[row + 1]]:
                product = basis.products[int(column)]
                assert sorted((SPECIES[v.z], v.q[-1] + 1, v.l) for v in product) == factors


@pytest.mark.parametrize("name", RADIAL)
@pytest.mark.parametrize(
    "arguments", [{}, {"n_functions": 40}, {"n_max": [3, 1], "l_max": [0, 2], "canonical": False}], ids=str
)
def test_dictionary_round_trip(name, arguments):
    basis = ACEBasis(SPECIES, radial=RADIAL[name][0], **arguments)
    again = ACEBasis.from_dict(json.loads(json.dumps(basis.to_dict())))
    assert again == basis and hash(again) == hash(basis) and repr(again) == repr(basis)
    assert again.to_dict() == basis.to_dict() and again.labels == basis.labels
    np.testing.assert_array_equal(again.descriptors(cluster(1)), basis.descriptors(cluster(1)))


def test_equality():
    basis = ACEBasis(SPECIES, totaldegree=3)
    different = [
        ACEBasis(["Cu"], totaldegree=3),
        ACEBasis(SPECIES, totaldegree=3, canonical=False),
        ACEBasis(SPECIES, totaldegree=3, rcut=4.9),
        ACEBasis(SPECIES, totaldegree=3, order=2),
        ACEBasis(SPECIES, totaldegree=[3, 3, 2]),
        ACEBasis(SPECIES, totaldegree=3, wL=1.1),
    ]
    assert all(basis != other for other in different) and basis != "basis"
    assert len({basis, ACEBasis(SPECIES[::-1], totaldegree=3), *different}) == 7


def test_repr_tells_what_was_resolved():
    text = repr(ACEBasis(["Si"], n_functions=300))
    assert text.startswith("ACEBasis(species=['Si'], order=3") and "totaldegree=[" in text and "features" in text


# --- wrong input -----------------------------------------------------------------------------------------------------


def broken(**changes):
    atoms = cluster(1)
    for name, value in changes.items():
        getattr(atoms, name)[2] = value
    return atoms


@pytest.mark.parametrize(
    "call, error, parts",
    [
        (lambda: descriptors(broken(positions=np.nan)), ValueError, ["NaN or infinite positions", "2 ("]),
        (lambda: descriptors(broken(positions=np.inf)), ValueError, ["NaN or infinite positions", "2 ("]),
        (
            lambda: descriptors([cluster(1), broken(positions=np.nan)]),
            ValueError,
            ["atoms[1]", "NaN or infinite positions"],
        ),
        (
            lambda: descriptors(Atoms("Cu3", [[0, 0, 0], [0, 0, 2], [0, 0, 2]])),
            CoincidentAtomsError,
            ["atom 1 (Cu)", "atom 2 (Cu)", "same place"],
        ),
        (
            lambda: descriptors(Atoms("Cu2", [[0, 0, 0], [3, 0, 0]], cell=[3, 3, 3], pbc=True)),
            CoincidentAtomsError,
            ["periodic image"],
        ),
        (lambda: descriptors(cluster(1), species=["Cu"]), SpeciesError, ["Zr", "Cu"]),
        (lambda: ACEBasis(["Al", "Cu"]).descriptors(cluster(1)), SpeciesError, ["atoms holds Zr", "Al, Cu"]),
        (lambda: ACEBasis(["Cu"]).descriptors([bulk("Cu"), cluster(1)]), SpeciesError, ["holds Zr"]),
        (lambda: descriptors(Atoms()), ValueError, ["atoms holds no atoms"]),
        (lambda: descriptors([]), ValueError, ["atoms is empty"]),
        (lambda: ACEBasis(["Cu"]).descriptors([]), ValueError, ["atoms is empty"]),
        (lambda: descriptors([bulk("Cu"), Atoms()]), ValueError, ["atoms[1] holds no atoms"]),
        (lambda: descriptors("Cu.xyz"), TypeError, ["atoms must be an ase.Atoms", "str"]),
        (lambda: descriptors(None), TypeError, ["atoms must be an ase.Atoms", "NoneType"]),
        (lambda: descriptors([bulk("Cu"), 3]), TypeError, ["atoms[1] must be an ase.Atoms, got int"]),
        (lambda: ACEBasis(["Cu"]).descriptors(3), TypeError, ["atoms must be an ase.Atoms"]),
        (lambda: descriptors(Atoms("Cu", pbc=True)), ValueError, ["periodic along axis 0", "cell vector"]),
        (lambda: descriptors(bulk("Cu"), indices=[1]), IndexError, ["indices contains 1", "1 atoms"]),
        (lambda: descriptors(bulk("Cu"), indices=[0, 0]), ValueError, ["indices contains atom 0 more than once"]),
        (lambda: descriptors(bulk("Cu"), indices=[0.5]), TypeError, ["indices must be integers or a mask"]),
        (lambda: descriptors(bulk("Cu"), indices=[True, False]), ValueError, ["mask of 2 values; 1 atoms"]),
        (lambda: descriptors(bulk("Cu"), indices=0), ValueError, ["indices must be one-dimensional"]),
        (lambda: descriptors([bulk("Cu")], indices=[0]), ValueError, ["indices", "one structure"]),
        (lambda: descriptors(bulk("Cu"), indices=[0], store=True), ValueError, ["store=True", "indices"]),
        (lambda: descriptors(bulk("Cu"), num_threads=0), ValueError, ["num_threads must be an integer >= 1; got 0"]),
        (lambda: descriptors(bulk("Cu"), num_threads=1.5), TypeError, ["num_threads must be an integer", "float"]),
        (lambda: descriptors(bulk("Cu"), 5.0), TypeError, ["canonical must be True or False", "5.0"]),
        (lambda: descriptors(bulk("Cu"), canonical="yes"), TypeError, ["canonical must be True or False", "'yes'"]),
        (lambda: descriptors(bulk("Cu"), ordr=3), TypeError, ["unknown argument 'ordr'", "did you mean order?"]),
        (lambda: descriptors(bulk("Cu"), xyzzy=3), TypeError, ["unknown argument 'xyzzy'", "rcut, order"]),
        (lambda: ACEBasis(["Cu"], cutof=3), TypeError, ["unknown argument 'cutof'", "did you mean cutoff?"]),
        (lambda: ACEBasis(["Cu"], n_functions=5, n_max=3), ValueError, ["exactly one way", "n_max", "n_functions"]),
        (lambda: ACEBasis(["Cu"], n_max=3), ValueError, ["both n_max and l_max"]),
        (lambda: ACEBasis(["Cu"], rcut=0), ValueError, ["rcut must be a finite number > 0; got 0"]),
        (lambda: ACEBasis(["Cu"], rcut=-5.0), ValueError, ["rcut", "-5.0"]),
        (lambda: ACEBasis(["Cu"], rcut=np.inf), ValueError, ["rcut", "inf"]),
        (lambda: ACEBasis(["Cu"], rcut="5"), TypeError, ["rcut must be", "'5' of type str"]),
        (lambda: ACEBasis(SPECIES, rcut={("Cu", "Cu"): 5.0}), ValueError, ["rcut has no value for the pair Cu-Zr"]),
        (
            lambda: ACEBasis(["Cu"], rcut=5.0, radial=PolynomialRadialBasis()),
            ValueError,
            ["rcut and radial exclude each other"],
        ),
        (lambda: ACEBasis(["Cu"], radial="chebyshev"), TypeError, ["radial must be a RadialBasis", "'chebyshev'"]),
        (lambda: ACEBasis("Cu"), TypeError, ["species must be a sequence", "['Cu']"]),
        (lambda: ACEBasis(["Cu", "Xx"]), ValueError, ["species[1]", "'Xx'"]),
        (lambda: ACEBasis(["Cu"], order=0), ValueError, ["order must be an integer >= 1; got 0"]),
        (lambda: ACEBasis(["Cu"], order="3"), TypeError, ["order must be an integer", "'3' of type str"]),
    ],
)
def test_messages(call, error, parts):
    with pytest.raises(error) as raised:
        call()
    for part in parts:
        assert part in str(raised.value)


def test_errors_are_raised_before_any_work():
    """A wrong structure at the end of a list, before features of the first are stored."""
    first = cluster(1)
    with pytest.raises(ValueError, match="positions"):
        descriptors([first, broken(positions=np.nan)], store=True)
    assert "acepure_descriptors" not in first.arrays and "acepure_basis" not in first.info


def test_species_as_text_is_refused_everywhere():
    """'CO' is a sequence, too: of C and O."""
    with pytest.raises(TypeError, match="species must be a sequence"):
        descriptors(molecule("CO"), species="CO")


CU_DIMER = Atoms("Cu2", [[0, 0, 0], [0, 0, 2]])


@pytest.mark.parametrize(
    "values, message",
    [
        (lambda r, n: np.full((len(r), n), np.nan), r"Wrong.*returned values that are not finite"),
        (lambda r, n: np.zeros((1, n)), r"Wrong.*returned values of shape \(1, .*needed"),
        (lambda r, n: np.zeros((len(r), n - 1)), r"Wrong.*shape"),
        (lambda r, n: np.zeros(len(r)), r"Wrong.*shape"),
    ],
    ids=["not finite", "rows", "columns", "dimensions"],
)
def test_wrong_users_functions(values, message):
    class Wrong(Gaussians):
        def evaluate(self, r, center, neighbor, n_radial):
            return values(r, n_radial)

    basis = ACEBasis(["Cu"], radial=Wrong(), order=2, totaldegree=2)
    with pytest.raises(ValueError, match=message):
        basis.descriptors(CU_DIMER)


def test_wrong_use_of_neighbor_lists():
    atoms = cluster(1)
    with pytest.raises(ValueError, match="indices and neighbors exclude each other"):
        BASIS.descriptors(atoms, indices=[0], neighbors=BASIS.neighbor_list(atoms))
    with pytest.raises(ValueError, match="one structure"):
        BASIS.descriptors([atoms], neighbors=BASIS.neighbor_list(atoms))


@pytest.mark.parametrize(
    "neighbors",
    [
        lambda atoms: neighbor_list(atoms, 5.0),  # not grouped by species: pairs would be lost
        lambda atoms: BASIS.neighbor_list(atoms[:4]),
        lambda atoms: BASIS.neighbor_list(atoms * 2),
        lambda atoms: "list",
    ],
    ids=["not grouped by species", "of fewer atoms", "of more atoms", "no list"],
)
def test_neighbors_of_something_else_are_refused(neighbors):
    atoms = crystal() * (2, 1, 1)
    with pytest.raises((TypeError, ValueError), match="neighbors"):
        BASIS.descriptors(atoms, neighbors=neighbors(atoms))


@pytest.mark.parametrize(
    "copied",
    [
        lambda basis: pickle.loads(pickle.dumps(basis)),
        copy.deepcopy,
        copy.copy,
    ],
    ids=["pickle", "deepcopy", "copy"],
)
@pytest.mark.parametrize("used", [False, True], ids=["fresh", "used"])
def test_copies(copied, used):
    """For other processes: also after the basis has been used."""
    basis = ACEBasis(SPECIES, totaldegree=2)
    expected = ACEBasis(SPECIES, totaldegree=2).descriptors(cluster(1))
    if used:
        basis.descriptors(cluster(1))
    again = copied(basis)
    assert again == basis
    np.testing.assert_array_equal(again.descriptors(cluster(1)), expected)
