"""Measured means and covariances of the sums A, and radial functions that depend on l and make them uncorrelated."""

import itertools
import json
import math
from unittest.mock import ANY

import numpy as np
import pytest
from ase.build import bulk
from cases.references import (
    RCUT,
    SPECIES,
    SampleMoments,
    histogram_measures,
    polynomials,
    setup,
    structures,
    whitened,
)
from oracles.structures import central_difference

from acepure import ACEBasis, IdealGas, MeanCovariance, pair_jacobian
from acepure.functions import CosineEnvelope, Legendre, PolynomialRadialBasis, RadialBasis
from acepure.functions.whitened import WhitenedRadialBasis
from acepure.labels.factors import Factor

# --- radial functions that depend on l --------------------------------------------------------------------------------

N, N_L = 4, 3
PLAIN = PolynomialRadialBasis({("Cu", "Cu"): 4.0, ("Cu", "Zr"): 5.0}, envelope=CosineEnvelope(), polynomials=Legendre())


def matrices(seed=0):
    """Another W for each ordered pair."""
    rng = np.random.default_rng(seed)
    return {pair: np.tril(rng.normal(size=(N_L, N, N))) for pair in [("Cu", "Cu"), ("Cu", "Zr"), ("Zr", "Cu")]}


W = matrices()
RADIAL = WhitenedRadialBasis(PLAIN, W)
LABELS = [(2, 3), (1, 2, 0), (1, 0, 2), (3, 0), (1, 3, 1), (1, 3, 2), (2, 0), (1, 2, 0)]  # in no order, one twice
R = np.linspace(0.0, 5.2, 30)


@pytest.mark.parametrize("pair", W)
def test_combinations_for_each_l(pair):
    """R_nl = Σ_n' W^l_nn' R_n'; labels (s, n) of products are f^s T_n as before."""
    values = RADIAL.evaluate_labels(R, *pair, LABELS)
    plain = PLAIN.evaluate(R, *pair, N)
    for column, label in zip(values.T, LABELS):
        if label[0] == 1:
            expected = plain @ W[pair][label[2], label[1]]
        else:
            expected = PLAIN.evaluate_graded(R, *pair, label[0], N)[:, label[1]]
        np.testing.assert_allclose(column, expected, rtol=0, atol=1e-14 * abs(plain).max())
    assert (values[PLAIN.cutoff(*pair) <= R] == 0).all() and abs(values).max() > 0.1
    np.testing.assert_array_equal(
        RADIAL.evaluate(R, *pair, N), RADIAL.evaluate_labels(R, *pair, [(1, n, 0) for n in range(N)])
    )
    assert RADIAL.cutoff(*pair) == PLAIN.cutoff(*pair) and RADIAL.has_kernel
    (only,) = RADIAL.evaluate_labels(R, *pair, [(2, 1)]).T  # no function of grade 1 among them
    np.testing.assert_array_equal(only, PLAIN.evaluate_graded(R, *pair, 2, 2)[:, 1])


@pytest.mark.parametrize("pair", W)
def test_slopes(pair):
    r = np.linspace(0.6, 3.8, 25)
    values, slopes = RADIAL.evaluate_labels_with_gradients(r, *pair, LABELS)
    np.testing.assert_array_equal(values, RADIAL.evaluate_labels(r, *pair, LABELS))
    expected = central_difference(lambda t: RADIAL.evaluate_labels(r + t, *pair, LABELS), 5e-3)
    np.testing.assert_allclose(slopes, expected, rtol=0, atol=1e-11 * abs(expected).max())
    for first, second in zip(
        RADIAL.evaluate_with_gradients(r, *pair, N),
        RADIAL.evaluate_labels_with_gradients(r, *pair, [(1, n, 0) for n in range(N)]),
    ):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("center, species", [("Cu", ("Cu", "Zr")), ("Zr", ("Cu",))])
def test_products_are_sums_of_functions(center, species):
    """R_a R_b = Σ_q p_q R_q at every distance, for functions of the basis and for products."""
    algebra = RADIAL.algebra(center, species, N)
    grades = [(1, n, l) for n in (0, 1, 3) for l in range(N_L)] + [(2, 0), (2, 3), (3, 1)]
    assert [algebra.basis_label(n, l) for _, n, l in grades[:3]] == grades[:3]
    for z, neighbor in enumerate(species):
        values = dict(zip(grades, RADIAL.evaluate_labels(R, center, neighbor, grades).T))
        for a, b in itertools.combinations_with_replacement(grades, 2):
            terms = algebra.product(z, a, b)
            assert {q[0] for q, _ in terms} == {a[0] + b[0]} and max(q[1] for q, _ in terms) <= a[1] + b[1]
            columns = RADIAL.evaluate_labels(R, center, neighbor, [q for q, _ in terms]) * [c for _, c in terms]
            error = abs(columns.sum(axis=1) - values[a] * values[b])
            assert (error <= 1e-13 * (1 + abs(columns).sum(axis=1))).all()
            assert dict(algebra.product(z, b, a)) == pytest.approx(dict(terms), rel=1e-12)


def test_algebras_are_equal_where_functions_are():
    """So that species of center may share operators."""
    algebra = RADIAL.algebra("Cu", SPECIES, N)
    assert algebra == WhitenedRadialBasis(PLAIN, matrices()).algebra("Cu", SPECIES, N)
    assert algebra != WhitenedRadialBasis(PLAIN, matrices(1)).algebra("Cu", SPECIES, N)
    assert algebra != RADIAL.algebra("Cu", ("Zr", "Cu"), N) and algebra != PLAIN.algebra("Cu", SPECIES, N)


@pytest.mark.parametrize("canonical", [True, False])
def test_without_a_change_features_are_those_of_the_kernel(canonical):
    radial = PolynomialRadialBasis(RCUT, polynomials=Legendre())
    same = WhitenedRadialBasis(radial, {("Cu", "Cu"): np.array([np.eye(5)] * 4)})
    atoms = structures()[0]
    first, second = (ACEBasis(["Cu"], radial=r, totaldegree=[4, 3, 3], canonical=canonical) for r in (radial, same))
    features = first.descriptors(atoms)
    np.testing.assert_allclose(second.descriptors(atoms), features, rtol=0, atol=1e-12 * abs(features).max())
    slopes = pair_jacobian(first, atoms, indices=[0]).values
    np.testing.assert_allclose(
        pair_jacobian(second, atoms, indices=[0]).values, slopes, rtol=0, atol=1e-12 * abs(slopes).max()
    )


def test_equality_and_dictionaries():
    twin = RadialBasis.from_dict(json.loads(json.dumps(RADIAL.to_dict())))
    assert twin == RADIAL and hash(twin) == hash(RADIAL)
    others = (WhitenedRadialBasis(PLAIN, matrices(1)), WhitenedRadialBasis(PolynomialRadialBasis(5.0), W), PLAIN)
    assert all(RADIAL != other for other in others)
    assert (RADIAL == PLAIN) is False and RADIAL == ANY  # objects of other types have their say


def test_what_is_refused():
    upper, wide, flat = np.ones((1, 2, 2)), np.zeros((1, 2, 3)), np.eye(2)
    for wrong, message in ((upper, "lower-triangular"), (wide, "lower-triangular"), (flat, "must have shape")):
        with pytest.raises(ValueError, match=rf"matrices\['Cu', 'Cu'\].* {message}"):
            WhitenedRadialBasis(PLAIN, {("Cu", "Cu"): wrong})
    with pytest.raises(TypeError, match="radial must be a PolynomialRadialBasis"):
        WhitenedRadialBasis(RADIAL, W)
    for label in ((1, N, 0), (1, 0, N_L)):
        with pytest.raises(ValueError, match=f"reach n < {N} and l < {N_L}"):
            RADIAL.evaluate_labels([1.0], "Cu", "Cu", [label])
    with pytest.raises(ValueError, match=f"matrices has {N} radial functions for the pair Cu-Zr; the basis needs 5"):
        RADIAL.algebra("Cu", ("Zr",), 5)
    with pytest.raises(ValueError, match="reach l < 3; the basis needs l = 3"):
        RADIAL.algebra("Cu", ("Zr",), N).basis_label(0, 3)
    with pytest.raises(ValueError, match="matrices has no value for the pair Zr-Zr"):
        RADIAL.algebra("Zr", ("Zr",), N)


# --- means and covariances --------------------------------------------------------------------------------------------


def functions_of(radial):
    """Functions of the package as plain ones."""
    if isinstance(radial, WhitenedRadialBasis):
        return lambda r, a, b, l, n: radial.evaluate_labels(r, a, b, [(1, k, l) for k in range(n)])
    return lambda r, a, b, l, n: radial.evaluate(r, a, b, n)


@pytest.mark.parametrize("canonical", [True, False])
def test_whitened_sums_are_uncorrelated(canonical):
    """Unit covariance over n, for each l and species of center and neighbor, by a triangular change."""
    data = structures(SPECIES)
    basis = ACEBasis(SPECIES, RCUT, totaldegree=[4, 4], canonical=canonical)
    radial = MeanCovariance.from_structures(data, basis).functions
    assert isinstance(radial, WhitenedRadialBasis) and set(radial.matrices) == set(itertools.product(SPECIES, repeat=2))
    pools = SampleMoments(functions_of(radial), data)
    for center, neighbor in radial.matrices:
        W = radial.matrices[center, neighbor]
        assert W.shape == (3, 5, 5) and not np.triu(W, 1).any() and (np.diagonal(W, axis1=1, axis2=2) > 0).all()
        for l in range(3):
            columns = np.array([pools.pool(center, neighbor, ((l, n),), l).ravel() for n in range(5)])
            columns = columns - columns.mean(axis=1, keepdims=True) if l == 0 else columns
            np.testing.assert_allclose(columns @ columns.T / columns.shape[1], np.eye(5), atol=1e-10)


@pytest.mark.parametrize("kind", ["whitened", "one set"])
@pytest.mark.parametrize("canonical", [True, False])
def test_means_and_covariances_of_sums(kind, canonical):
    """All l, of functions and, for a canonical basis, of f^s T_n, against sums over the atoms by NumPy."""
    data = structures(SPECIES)
    basis = ACEBasis(SPECIES, RCUT, totaldegree=[4, 3, 2], canonical=canonical)
    measured = MeanCovariance.from_structures(data, basis, whitened=kind == "whitened")
    assert measured.grade_sizes == ((5, 4, 3) if canonical else (5,))
    functions = polynomials("orthonormal", histogram_measures(data, n_bins=2000))
    functions = whitened(functions, data) if kind == "whitened" else functions
    pools = [SampleMoments(f, data).pool for f in (functions, polynomials(grade=2), polynomials(grade=3))]
    n_l, basis_l = measured.covariance.shape[1], 2
    assert n_l == (3 if canonical else basis_l)
    for center, l in itertools.product(SPECIES, range(n_l)):
        labels = [(s, n) for s, size in enumerate(measured.grade_sizes, 1) for n in range(size) if s > 1 or l < basis_l]
        columns = {
            (z, q): pools[q[0] - 1](center, b, ((l, q[1]),), l).ravel() for z, b in enumerate(SPECIES) for q in labels
        }
        names = {q: (*q, l) if q[0] == 1 and kind == "whitened" else q for q in labels}
        compare_moments(measured, center, l, columns, names)


def compare_moments(measured, center, l, columns, names):
    pairs = measured.pairs(measured.functions, center, SPECIES)
    for (z, q), first in columns.items():
        if l == 0:
            mean = measured.means(measured.functions, center, SPECIES[z], [names[q]])
            np.testing.assert_allclose(mean, [first.mean()], rtol=1e-10, atol=1e-10 * first.std())
        for (y, p), second in columns.items():
            expected = np.mean(first * second) - (first.mean() * second.mean() if l == 0 else 0.0)
            scale = math.sqrt(np.mean(first**2) * np.mean(second**2))
            assert abs(pairs(Factor(l, z, names[q]), Factor(l, y, names[p])) - expected) <= 1e-10 * scale


def test_some_atoms_of_each_structure():
    """Chosen at random but reproducibly; all of them when there are not more."""
    data, basis = structures(), ACEBasis(["Cu"], RCUT, order=2, totaldegree=3)
    whole = MeanCovariance.from_structures(data, basis)
    assert MeanCovariance.from_structures(data, basis, atoms_per_structure=32) == whole
    first, again, other = (
        MeanCovariance.from_structures(data, basis, atoms_per_structure=20, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again != other != whole
    # with one atom of each, the mean is that of some pair of atoms
    mean = MeanCovariance.from_structures(data, basis, whitened=False, atoms_per_structure=1, seed=3).mean[0, 0]
    functions = polynomials("orthonormal", histogram_measures(data, n_bins=2000))
    sums = SampleMoments(functions, data).pool("Cu", "Cu", ((0, 0),), 0).ravel()
    assert abs((sums[:32, None] + sums[None, 32:]) / 2 - mean).min() < 1e-11 * mean < 1e-3 * np.ptp(sums)


# --- what does not fit ------------------------------------------------------------------------------------------------


def measure(basis, data=None, **arguments):
    return MeanCovariance.from_structures(structures() if data is None else data, basis, **arguments)


@pytest.mark.parametrize(
    "data, basis, arguments, error, message",
    [
        (iter(()), ACEBasis(["Cu"]), {}, TypeError, "give a list rather than a generator"),
        (None, "a basis", {}, TypeError, "to be made orthonormal; got 'a basis'"),
        (None, setup("whitened", True, totaldegree=(2, 2)).basis, {}, TypeError, "must be a PolynomialRadialBasis"),
        (None, ACEBasis(["Cu"]), {"atoms_per_structure": 0}, ValueError, "atoms_per_structure must be an integer >= 1"),
        (structures(SPECIES), ACEBasis(["Cu"]), {}, ValueError, "structures hold Zr, but the basis is for"),
        (None, ACEBasis(SPECIES), {}, ValueError, "no neighbor Zr of Cu within 5 Å"),
        ([bulk("Cu")], ACEBasis(["Cu"], order=1, totaldegree=2), {}, ValueError, "around Cu with l = 0 support only 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured(data, basis, arguments, error, message):
    with pytest.raises(error, match=message):
        measure(basis, data, **arguments)


def test_references_of_another_basis():
    basis = ACEBasis(["Cu"], RCUT, order=2, totaldegree=3)
    measured = measure(basis)
    self_interacting = measure(ACEBasis(["Cu"], RCUT, order=2, totaldegree=3, canonical=False), whitened=False)
    larger_n = ACEBasis(["Cu"], RCUT, order=2, totaldegree=4)
    larger_l = ACEBasis(["Cu"], RCUT, order=2, n_max=2, l_max=2)
    larger_l_wick = ACEBasis(["Cu"], RCUT, order=2, n_max=2, l_max=2, canonical=False)
    for first, reference, message in (
        (ACEBasis(SPECIES, RCUT), measured, "measured for Cu; Zr is needed"),
        (ACEBasis(["Cu"], 4.0), measured, "equal cutoffs, transforms and envelopes are needed"),
        (larger_n, measured, "the basis needs 5"),
        (larger_l, measured, "the basis needs l = 2"),
        (larger_l_wick, self_interacting, "measured to l = 1; l = 2 is needed"),
        (basis, self_interacting, "for 4 radial functions and no products of them"),
    ):
        with pytest.raises(ValueError, match=message):
            first.centered(reference).prepare()
    with pytest.raises(
        ValueError, match=r"but the basis has PolynomialRadialBasis.*; basis\.centered\(reference\) takes"
    ):
        basis.centered(measured, orthonormal=False).prepare()
    with pytest.raises(TypeError, match="radial must be a PolynomialRadialBasis"):
        basis.centered(measured).centered(IdealGas(0.1))
    for wrong in ("ideal gas", 0.05, RADIAL):
        with pytest.raises(TypeError, match="reference must be a Reference"):
            basis.centered(wrong)
        with pytest.raises(TypeError, match="reference must be a Reference"):
            ACEBasis(["Cu"], reference=wrong)


def test_a_smaller_basis_may_use_the_reference_of_a_larger_one():
    """Being triangular, its first functions are those of the smaller one."""
    large, small = (ACEBasis(["Cu"], RCUT, totaldegree=degrees) for degrees in ([5, 4, 4], [3, 2, 2]))
    atoms = structures()[1]
    first, second = (small.centered(measure(basis)).descriptors(atoms) for basis in (large, small))
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-10 * abs(second).max())
