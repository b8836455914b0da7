"""Descents by gradients and a first Hessian: against minimizers of SciPy, and with the same bits after a stop."""

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der, rosen_hess

from acepure.fitting.quasi_newton import Point, descend


def point(function, x):
    return Point(x, *function(x))


def squares(A, b):
    def function(x):
        r = A @ x - b
        return r @ r, 2 * A.T @ r

    return function


def test_a_quadratic_with_its_own_hessian_takes_one_step():
    rng = np.random.default_rng(0)
    A, b = rng.normal(size=(20, 6)), rng.normal(size=20)
    found = list(descend(squares(A, b), point(squares(A, b), np.zeros(6)), np.linalg.qr(A)[1]))
    np.testing.assert_allclose(found[0].x, np.linalg.lstsq(A, b, rcond=None)[0], rtol=1e-12)


def test_a_quadratic_with_another_hessian_goes_down_every_step():
    rng = np.random.default_rng(1)
    A, b = rng.normal(size=(40, 10)) * np.geomspace(1, 30, 10), rng.normal(size=40)
    function = squares(A, b)
    found = list(descend(function, point(function, np.zeros(10)), np.eye(10)))
    assert (np.diff([p.value for p in found]) < 0).all()
    np.testing.assert_allclose(found[-1].x, np.linalg.lstsq(A, b, rcond=None)[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("n", [2, 8])
def test_a_curved_valley(n):
    """From the Hessian at the start, which is not that at the end."""
    x = np.full(n, 0.5)
    values, vectors = np.linalg.eigh(rosen_hess(x))
    R = np.linalg.qr(np.sqrt(0.5 * np.abs(values))[:, None] * vectors.T)[1]
    found = list(descend(lambda x: (rosen(x), rosen_der(x)), point(lambda x: (rosen(x), rosen_der(x)), x), R))
    np.testing.assert_allclose(found[-1].x, np.ones(n), rtol=1e-6)


def test_a_minimum_is_where_it_ends():
    function = squares(np.eye(2), np.ones(2))
    assert list(descend(function, point(function, np.ones(2)), np.eye(2))) == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_steps_to_where_there_is_no_value_are_shortened(value):
    """A logarithm, defined below 1, from a Hessian that is much too small; its minimum is at 0."""

    def function(x):
        t = float(x[0])
        return (-np.log1p(-t) - t, np.array([t / (1 - t)])) if t < 1 else (value, np.full(1, value))

    found = list(descend(function, point(function, np.array([-3.0])), np.eye(1) * 0.05))
    np.testing.assert_allclose(found[-1].x, 0.0, atol=1e-5)


def test_points_that_were_kept_are_taken():
    """Stopped after any step, with the points so far, the rest has the same bits."""
    x, kept = np.full(4, 0.3), {}
    R = np.eye(4) * 10

    def function(x):
        return rosen(x), rosen_der(x)

    def keep(k, make):
        if k not in kept:
            kept[k] = make()
        return kept[k]

    whole = list(descend(function, point(function, x), R, keep))
    everything = dict(kept)
    for stop in (1, 5, len(everything) - 1):
        kept.clear()
        kept.update({k: everything[k] for k in range(1, stop)})
        again = list(descend(function, point(function, x), R, keep))
        assert len(again) == len(whole)
        np.testing.assert_array_equal(again[-1].x, whole[-1].x)
