"""ParticleBasis: features against sums over tuples of distinct particles, moments against quadrature and mixtures."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from oracles import canonical as reference
from oracles import moments as reference_moments
from oracles.atoms import multiplicity_factorials

from acepure.toys import ParticleBasis, condition_number

FAMILIES = ("chebyshev", "legendre")
LAWS = ("uniform", "arcsine")
ROWS = ("self-interacting", "shifted", "canonical", "centered")
# Features are sums of products of sums; rounding is proportional to the sum of absolute values.
ROUND_OFF = 1e-13


def particle_values(family, x, degree, normalized=True):
    """φ_v(x) from the oracles, shape (..., degree + 1)."""
    v = np.arange(degree + 1)
    if family == "chebyshev":
        return reference.chebyshev_values(x, degree) * (np.where(v > 0, math.sqrt(2), 1) if normalized else 1)
    return reference.legendre_values(x, degree) / (1 if normalized else np.sqrt(2 * v + 1))


def make_basis(family, row, order, degree, start=1, normalized=True):
    """A basis of a row, with means that no law produces."""
    basis = ParticleBasis(family, order, degree, row in ("canonical", "centered"), start, normalized)
    if row in ("shifted", "centered"):
        mean = np.random.default_rng(3).normal(size=degree + 1)
        basis = dataclasses.replace(basis, mean=mean)
    assert basis.row == row
    return basis


def brute_force(basis, phi, k):
    """The direct formula of the row for one sample, with its scale."""
    if basis.row == "self-interacting":
        return reference.self_interacting(phi, k)
    if basis.row == "shifted":
        return reference.shifted(phi, k, basis.mean)
    if basis.row == "canonical":
        return reference.canonical_brute_force(phi, k)
    return reference.centered_canonical(phi, k, basis.mean)


# --- features ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order, degree, start", [(1, 4, 0), (2, 5, 1), (3, 7, 0), (4, 9, 1), (4, 3, 1)])
def test_indices(order, degree, start):
    basis = ParticleBasis("chebyshev", order, degree, start=start)
    assert list(basis.indices) == reference_moments.toy_indices(order, degree, start)
    assert len(basis) == len(basis.indices)


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("family", FAMILIES)
def test_features_against_tuples_of_particles(family, row, start, normalized):
    basis = make_basis(family, row, 3, 4, start, normalized)
    for n_particles in (1, 2, 5):
        x = np.random.default_rng(n_particles).uniform(-1, 1, size=(2, n_particles))
        x[0, 0] = -1.0  # the ends belong to the interval
        features = basis.features(x)
        assert features.shape == (2, len(basis)) and features.flags.c_contiguous
        phi = particle_values(family, x, basis.totaldegree, normalized)
        np.testing.assert_allclose(basis.sums(x), phi.sum(axis=1), rtol=0, atol=1e-13)
        mean = abs(np.array(basis.mean if basis.mean else np.zeros(basis.totaldegree + 1)))
        sizes = abs(phi).sum(axis=1) + mean
        scales = abs(basis.purification) @ np.stack([sizes[:, list(k)].prod(axis=1) for k in basis.products])
        for sample in range(2):
            for column, k in enumerate(basis.indices):
                expected, scale = brute_force(basis, phi[sample], k)
                tolerance = ROUND_OFF * (scale + scales[column, sample])
                assert abs(features[sample, column] - expected) <= tolerance, (n_particles, k)


def test_order_four():
    basis = ParticleBasis("legendre", 4, 6)
    x = np.random.default_rng(0).uniform(-1, 1, size=(1, 6))
    phi = particle_values("legendre", x[0], 6)
    for value, k in zip(basis.features(x)[0], basis.indices, strict=True):
        expected, scale = reference.canonical_brute_force(phi, k)
        assert abs(value - expected) <= 100 * ROUND_OFF * scale


def test_no_particles_and_no_samples():
    """Sums over nothing are zero, and so are products; the centered basis then holds products of means."""
    basis = make_basis("chebyshev", "canonical", 2, 3)
    np.testing.assert_array_equal(basis.features(np.empty((3, 0))), 0.0)
    assert basis.features(np.empty((0, 4))).shape == (0, len(basis))
    centered = make_basis("chebyshev", "centered", 2, 3)
    expected = [math.prod(-centered.mean[v] for v in k) for k in centered.indices]
    np.testing.assert_allclose(centered.features(np.empty((1, 0)))[0], expected, rtol=1e-14)


def test_the_four_rows_span_the_same_functions_of_a_fixed_number_of_particles():
    x = np.random.default_rng(1).uniform(-1, 1, size=(300, 4))
    features = [make_basis("chebyshev", row, 3, 6).features(x) for row in ROWS]
    together = np.column_stack([np.ones(len(x)), *features])
    assert np.linalg.matrix_rank(together / np.linalg.norm(together, axis=0), tol=1e-10) == 1 + features[0].shape[1]


# --- moments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("canonical", [False, True])
@pytest.mark.parametrize("n_particles", [2, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_gram_against_quadrature(family, n_particles, canonical):
    basis = ParticleBasis(family, 3, 7, canonical)
    expected = reference_moments.toy_gram(family, list(basis.indices), n_particles, canonical)
    np.testing.assert_allclose(basis.gram(n_particles), expected, rtol=0, atol=1e-13 * abs(expected).max())


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("family", FAMILIES)
def test_gram_and_means_of_every_law_against_quadrature(family, law, row):
    """Gauss rules of the law, of the functions brute force: exact for products of two features."""
    order, degree, n_particles = 2, 4, 3
    basis = make_basis(family, row, order, degree, start=0)
    if law == "uniform":
        nodes, weights = np.polynomial.legendre.leggauss(degree + 1)
    else:
        nodes, weights = np.polynomial.chebyshev.chebgauss(degree + 1)
    weights = weights / weights.sum()
    points = list(itertools.product(range(degree + 1), repeat=n_particles))
    probability = weights[np.array(points)].prod(axis=1)
    phi = particle_values(family, nodes, degree)
    values = np.array([[brute_force(basis, phi[list(point)], k)[0] for k in basis.indices] for point in points])
    gram, means = values.T @ (values * probability[:, None]), probability @ values
    scale = np.sqrt(np.outer(np.diag(gram), np.diag(gram)))
    assert (abs(basis.gram(n_particles, law) - gram) <= 1e-12 * scale).all()
    assert (abs(basis.means(n_particles, law) - means) <= 1e-12 * np.sqrt(np.diag(gram))).all()
    covariance = gram - np.outer(means, means)
    assert (abs(basis.covariance(n_particles, law) - covariance) <= 1e-12 * scale).all()
    own = {"chebyshev": "arcsine", "legendre": "uniform"}[family]
    assert np.array_equal(basis.gram(n_particles), basis.gram(n_particles, law)) == (law == own), "the default law"


@pytest.mark.parametrize("n_particles", [1, 4, 30])
@pytest.mark.parametrize("family", FAMILIES)
def test_canonical_gram_is_diagonal(family, n_particles):
    """δ J!/(J − ν)! Π mult!: zero for orders beyond the number of particles."""
    basis = ParticleBasis(family, 4, 9)
    diagonal = [math.perm(n_particles, len(k)) * multiplicity_factorials(k) for k in basis.indices]
    np.testing.assert_allclose(basis.gram(n_particles), np.diag(diagonal), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(basis.means(n_particles), 0.0)


@pytest.mark.parametrize("family", FAMILIES)
def test_centered_gram_of_an_ideal_gas_is_diagonal(family):
    """A Poisson number of particles, indices from 0: zero mean, δ λ^ν Π mult!."""
    intensity = 2.5
    basis = ParticleBasis(family, 3, 5, start=0).centered(intensity)
    assert basis.row == "centered"
    diagonal = np.array([intensity ** len(k) * multiplicity_factorials(k) for k in basis.indices])
    gram = basis.gram(intensity, poisson=True)
    np.testing.assert_allclose(gram, np.diag(diagonal), rtol=1e-12, atol=1e-12 * diagonal.max())
    np.testing.assert_allclose(basis.means(intensity, poisson=True), 0.0, atol=1e-12 * diagonal.max())


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("row", ROWS)
def test_poisson_moments_are_mixtures_over_the_number_of_particles(row, law):
    intensity = 1.5
    basis = make_basis("chebyshev", row, 2, 4, start=0)
    probability = [math.exp(-intensity) * intensity**n / math.factorial(n) for n in range(40)]
    gram = sum(p * basis.gram(n, law) for n, p in enumerate(probability))
    means = sum(p * basis.means(n, law) for n, p in enumerate(probability))
    np.testing.assert_allclose(basis.gram(intensity, law, poisson=True), gram, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(basis.means(intensity, law, poisson=True), means, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("canonical", [False, True])
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("family", FAMILIES)
def test_centered_takes_the_means_of_the_law(family, law, canonical):
    basis = ParticleBasis(family, 2, 6, canonical, start=0).centered(5, law)
    first = np.array([len(k) == 1 for k in basis.indices])
    np.testing.assert_allclose(basis.means(5, law)[first], 0.0, atol=1e-14)
    assert basis.row == ("centered" if canonical else "shifted")
    assert (np.array(basis.mean)[2] == 0) == (law == {"chebyshev": "arcsine", "legendre": "uniform"}[family])


def test_condition_number():
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(6, 5))
    gram = factor.T @ factor
    expected = reference_moments.scaled_condition_number(gram)
    assert condition_number(gram) == pytest.approx(expected, rel=1e-12)
    scale = 10.0 ** rng.integers(-5, 5, size=5)
    assert condition_number(gram * scale * scale[:, None]) == pytest.approx(expected, rel=1e-9)
    assert condition_number(np.diag([1.0, 0.0])) == math.inf
    assert condition_number(np.ones((2, 2))) == math.inf
    # indices from 0 and a fixed number of particles: A_0 is a constant
    assert condition_number(ParticleBasis("chebyshev", 2, 3, start=0).gram(3)) == math.inf


# --- input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"family": "fourier"}, ValueError, "family must be one of chebyshev, legendre; got 'fourier'"),
        ({"family": 3}, TypeError, "family must be one of"),
        ({"order": 0}, ValueError, "order must be an integer >= 1"),
        ({"totaldegree": 2.0}, TypeError, "totaldegree must be an integer >= 1"),
        ({"start": 2}, ValueError, "start must be 0 or 1; got 2"),
        ({"canonical": "yes"}, TypeError, "canonical must be True or False; got 'yes'"),
        ({"normalized": 1}, TypeError, "normalized must be True or False; got 1"),
        ({"mean": [0.0, 1.0]}, ValueError, r"mean must have shape \(5,\)"),
        ({"mean": [np.nan] * 5}, ValueError, "mean must be finite"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        ParticleBasis(**({"family": "chebyshev", "order": 2, "totaldegree": 4} | arguments))


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda b: b.features([0.5, 1.5]), ValueError, r"x must have shape \(any, any\)"),
        (lambda b: b.features([[0.5, 1.5]]), ValueError, r"x must lie in \[-1, 1\]; particle 1 of sample 0 is 1.5"),
        (lambda b: b.features([[np.nan]]), ValueError, "x must be finite"),
        (lambda b: b.gram(-1), ValueError, "n_particles must be an integer >= 0"),
        (lambda b: b.gram(2.5), TypeError, "n_particles must be an integer >= 0"),
        (lambda b: b.gram(2, "normal"), ValueError, "law must be one of uniform, arcsine; got 'normal'"),
        (lambda b: b.gram(2, poisson="yes"), TypeError, "poisson must be True or False"),
        (lambda b: b.gram(-2.5, poisson=True), ValueError, "n_particles must be a finite number >= 0"),
        (lambda b: b.centered(-1.0), ValueError, "n_particles must be a finite number >= 0"),
    ],
)
def test_wrong_input(call, error, message):
    with pytest.raises(error, match=message):
        call(ParticleBasis("chebyshev", 2, 4))


def test_equality_and_means_as_arrays():
    basis = ParticleBasis("chebyshev", 2, 4, mean=np.arange(5))
    assert basis == ParticleBasis("chebyshev", 2, 4, mean=(0.0, 1.0, 2.0, 3.0, 4.0)) and hash(basis) == hash(basis)
    assert basis != ParticleBasis("chebyshev", 2, 4)
