"""Laws, targets and least-squares fits of the toys."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
import scipy.linalg
import scipy.stats

from acepure.toys import ParticleBasis, fit_particles, random_particles, runge, spread, triplets
from acepure.toys.laws import mean_values
from acepure.toys.targets import target_name

FAMILIES = ("chebyshev", "legendre")
LAWS = ("uniform", "arcsine")


def four_rows(family, order, degree, n_particles, law="uniform"):
    plain, canonical = (ParticleBasis(family, order, degree, canonical) for canonical in (False, True))
    return [plain, canonical, plain.centered(n_particles, law), canonical.centered(n_particles, law)]


# --- laws ----------------------------------------------------------------------------------------------------------


CUMULATIVE = {"uniform": lambda x: (x + 1) / 2, "arcsine": lambda x: 0.5 + np.arcsin(x) / np.pi}


@pytest.mark.parametrize("law", LAWS)
def test_samples_follow_the_law(law):
    x = random_particles(2000, 3, law, seed=5)
    assert x.shape == (2000, 3) and abs(x).max() <= 1
    assert scipy.stats.kstest(x.ravel(), CUMULATIVE[law]).pvalue > 0.01
    assert abs(np.corrcoef(x.T) - np.eye(3)).max() < 0.1
    np.testing.assert_array_equal(x, random_particles(2000, 3, law, seed=5))
    assert (x != random_particles(2000, 3, law, seed=6)).all()


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("family", FAMILIES)
def test_means_against_quadrature(family, law):
    gauss = np.polynomial.legendre.leggauss if law == "uniform" else np.polynomial.chebyshev.chebgauss
    nodes, weights = gauss(10)
    vander = np.polynomial.chebyshev.chebvander if family == "chebyshev" else np.polynomial.legendre.legvander
    expected = weights @ vander(nodes, 12) / weights.sum()
    np.testing.assert_allclose(mean_values(family, law, 12), expected, rtol=0, atol=1e-14)


# --- targets -------------------------------------------------------------------------------------------------------


def test_targets_against_loops():
    samples = np.random.default_rng(0).uniform(-1, 1, size=(4, 5))
    for x, a, b, c in zip(samples, runge(samples, c=3.0), spread(samples), triplets(samples), strict=True):
        assert a == pytest.approx(1 / (1 + 3.0 * math.fsum(t * t for t in x)), rel=1e-14)
        assert b == pytest.approx(math.sqrt(1 + sum((s - t) ** 2 for s, t in itertools.combinations(x, 2))), rel=1e-14)
        assert c == pytest.approx(sum(math.exp(-abs(sum(t))) for t in itertools.combinations(x, 3)), rel=1e-14)


def test_targets_of_few_particles():
    np.testing.assert_array_equal(triplets([[0.5, 0.1]]), [0.0])
    np.testing.assert_array_equal(spread([[0.5]]), [1.0])
    np.testing.assert_array_equal(spread(np.empty((2, 0))), [1.0, 1.0])
    assert [target_name(target) for target in (spread, partial(runge, c=0.5))] == ["spread", "runge(c=0.5)"]


@pytest.mark.parametrize("target", [runge, spread, triplets])
def test_targets_refuse(target):
    with pytest.raises(ValueError, match="x must have shape"):
        target([0.5, 0.5])
    with pytest.raises(TypeError, match="x must hold real numbers"):
        target([["a"]])


def test_runge_refuses_negative_peaks():
    with pytest.raises(ValueError, match="c must be a finite number >= 0; got -1"):
        runge([[0.0]], c=-1)


# --- fits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("source", range(4))
def test_a_target_of_the_span_is_recovered_by_every_row(family, source):
    rng = np.random.default_rng(source)
    bases = four_rows(family, 3, 6, 4)
    theta = rng.normal(size=len(bases[0]))
    x, x_test = random_particles(200, 4, seed=1), random_particles(100, 4, seed=2)
    y, y_test = (0.7 + bases[source].features(samples) @ theta for samples in (x, x_test))
    for row, basis in enumerate(bases):
        fit = fit_particles(basis, x, y)
        np.testing.assert_allclose(fit.predict(x_test), y_test, rtol=0, atol=1e-10 * abs(y).max())
        if row == source:
            np.testing.assert_allclose(fit.coefficients / fit.scale, theta, rtol=0, atol=1e-9)
            assert fit.constant == pytest.approx(0.7, abs=1e-8)


def test_scale_is_the_root_mean_square():
    basis, x = ParticleBasis("chebyshev", 2, 4), random_particles(50, 3)
    fit = fit_particles(basis, x, runge(x))
    np.testing.assert_allclose(fit.scale, np.sqrt(np.mean(basis.features(x) ** 2, axis=0)), rtol=1e-14)


@pytest.mark.parametrize("n_samples", [10, 100])
def test_ridge_solves_the_normal_equations(n_samples):
    """The gradient of (1/n) Σ residual² + ridge ‖θ‖², constant included, vanishes."""
    ridge = 0.01
    basis, x = ParticleBasis("legendre", 3, 6), random_particles(n_samples, 4, seed=3)
    y = spread(x)
    fit = fit_particles(basis, x, y, ridge)
    design = basis.features(x) / fit.scale
    residual = fit.constant + design @ fit.coefficients - y
    assert abs(residual.mean()) < 1e-13
    np.testing.assert_allclose(design.T @ residual / n_samples, -ridge * fit.coefficients, rtol=0, atol=1e-13)
    assert abs(fit.coefficients).max() > 1e-3


def test_without_ridge_the_least_norm_is_taken():
    basis, x = ParticleBasis("chebyshev", 3, 8), random_particles(20, 5, seed=4)
    y = runge(x)
    assert len(x) < len(basis)
    fit = fit_particles(basis, x, y)
    np.testing.assert_allclose(fit.predict(x), y, rtol=0, atol=1e-12)
    design = basis.features(x) / fit.scale
    # orthogonal to every direction that changes nothing but the constant
    null = scipy.linalg.null_space(design - design.mean(axis=0))
    assert null.shape[1] >= len(basis) - len(x) and abs(null.T @ fit.coefficients).max() < 1e-12
    np.testing.assert_allclose(fit_particles(basis, x, y, 1e-13).predict(x), y, rtol=0, atol=1e-6)


def test_wrong_input():
    basis, x = ParticleBasis("chebyshev", 3, 4), random_particles(10, 4)
    y = runge(x)
    for call, error, message in (
        (lambda: fit_particles("chebyshev", x, y), TypeError, "basis must be a ParticleBasis; got 'chebyshev'"),
        (lambda: fit_particles(basis, x, y[:-1]), ValueError, r"y must have shape \(10,\); got \(9,\)"),
        (lambda: fit_particles(basis, x, y, -1), ValueError, "ridge must be a finite number >= 0"),
        (lambda: fit_particles(basis, x[:0], y[:0]), ValueError, "x must hold at least one sample; got none"),
        (lambda: fit_particles(basis, x[:, :2], y), ValueError, "at least as many particles as the order 3; got 2"),
        (lambda: random_particles(0, 3), ValueError, "n_samples must be an integer >= 1"),
        (lambda: random_particles(3, 3, "gauss"), ValueError, "law must be one of uniform, arcsine; got 'gauss'"),
        (lambda: random_particles(3, 3, seed=-1), ValueError, "seed must be an integer >= 0"),
    ):
        with pytest.raises(error, match=message):
            call()
