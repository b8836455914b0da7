"""Families of polynomials against numpy.polynomial and scipy.special; orthonormality; Chebyshev coefficients."""

import json

import numpy as np
import pytest
import scipy.special

from acepure.functions import Chebyshev, Legendre, Measure, Orthonormal, Polynomials, chebyshev_coefficients

N = 14


def evaluate(recurrence, x):
    """P_n(x), shape (len(x), n), from the definition of the recurrence."""
    P = [np.full_like(x, recurrence[0, 0])]
    for n in range(1, len(recurrence)):
        a, b, c = recurrence[n]
        P.append((a * x + b) * P[-1] + (c * P[-2] if n > 1 else 0))
    return np.array(P).T


def coordinates(r):
    """A transform and an envelope for cutoff 5, to feed `Orthonormal` directly."""
    u = np.minimum(r / 5, 1)
    return 1 - 2 * (1 - u) ** 2, (1 - u) ** 2


x = np.linspace(-1, 1, 51)


def test_chebyshev_equals_numpy():
    np.testing.assert_allclose(
        evaluate(Chebyshev().recurrence(N), x), np.polynomial.chebyshev.chebvander(x, N - 1), atol=1e-14
    )


def test_legendre_equals_scipy_and_is_orthonormal():
    P = evaluate(Legendre().recurrence(N), x)
    expected = [np.sqrt(n + 0.5) * scipy.special.eval_legendre(n, x) for n in range(N)]
    np.testing.assert_allclose(P, np.array(expected).T, atol=1e-13)
    nodes, weights = np.polynomial.legendre.leggauss(N)
    P = evaluate(Legendre().recurrence(N), nodes)
    np.testing.assert_allclose(P.T @ (weights[:, None] * P), np.eye(N), atol=1e-13)


@pytest.mark.parametrize("family", [Chebyshev(), Legendre()], ids=repr)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_short_recurrence_is_the_beginning_of_a_long_one(family, n):
    np.testing.assert_array_equal(family.recurrence(n), family.recurrence(N)[:n])


def random_measure(seed, n=400):
    random = np.random.default_rng(seed)
    return Measure(2 + 3 * random.beta(2, 3, size=n), random.uniform(size=n))


@pytest.mark.parametrize("seed", range(4))
def test_orthonormal_on_data(seed):
    measure = random_measure(seed)
    recurrence = Orthonormal(measure).recurrence(N, coordinates=coordinates)
    t, f = coordinates(measure.nodes)
    R = f[:, None] * evaluate(recurrence, t)
    np.testing.assert_allclose(R.T @ (measure.weights[:, None] * R), np.eye(N), atol=1e-12)


def test_orthonormal_on_a_quadrature_is_legendre():
    nodes, weights = np.polynomial.legendre.leggauss(40)
    family = Orthonormal(Measure(nodes + 1, weights))
    recurrence = family.recurrence(20, coordinates=lambda r: (r - 1, np.ones_like(r)))
    np.testing.assert_allclose(recurrence, Legendre().recurrence(20), atol=1e-12)


def test_orthonormal_with_as_many_functions_as_nodes():
    measure = Measure([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], np.ones(6))  # the last two are not inside the cutoff
    t, f = coordinates(measure.nodes)
    R = f[:, None] * evaluate(Orthonormal(measure).recurrence(4, coordinates=coordinates), t)
    np.testing.assert_allclose(R.T @ R, np.eye(4), atol=1e-12)
    with pytest.raises(ValueError, match=r"Measure\(6 nodes.*supports only 4 independent .* 5 were asked for"):
        Orthonormal(measure).recurrence(5, coordinates=coordinates)


def test_repeated_nodes_count_once():
    with pytest.raises(ValueError, match=r"supports only 2 independent"):
        Orthonormal(Measure([2.0, 2.0, 3.0], np.ones(3))).recurrence(3, coordinates=coordinates)


def test_unstable_recurrence_is_refused():
    """Orthogonal polynomials of equidistant points grow exponentially between them when n is near their number."""
    family = Orthonormal(Measure(np.linspace(1, 4, 200), np.ones(200)))
    with pytest.raises(ValueError, match=r"functions are too many|supports only"):
        family.recurrence(190, coordinates=lambda r: (r / 2.5 - 1, np.ones_like(r)))


def test_measure_outside_the_cutoff():
    with pytest.raises(ValueError, match=r"of the pair Cu-Zr: it has no weight inside the cutoff"):
        Orthonormal(Measure([6.0], [1.0])).recurrence(1, "Cu", "Zr", coordinates)


def test_measure_per_pair():
    a, b = random_measure(1), random_measure(2)
    family = Orthonormal({("Cu", "Zr"): a, ("Cu", "Cu"): b})
    for pair, measure in ((("Cu", "Zr"), a), (("Zr", "Cu"), a), (("Cu", "Cu"), b)):
        np.testing.assert_array_equal(
            family.recurrence(5, *pair, coordinates),
            Orthonormal(measure).recurrence(5, coordinates=coordinates),
        )
    with pytest.raises(ValueError, match=r"measure has no value for the pair Zr-Zr; it has Cu-Zr, Cu-Cu"):
        family.recurrence(5, "Zr", "Zr", coordinates)


@pytest.mark.parametrize("n", [1, 2, 3, N])
@pytest.mark.parametrize("family", [Chebyshev(), Legendre(), Orthonormal(random_measure(3))], ids=repr)
def test_chebyshev_coefficients(family, n):
    recurrence = family.recurrence(n, coordinates=coordinates)
    T = chebyshev_coefficients(recurrence)
    P = evaluate(recurrence, x)
    np.testing.assert_allclose(np.polynomial.chebyshev.chebvander(x, n - 1) @ T.T, P, atol=1e-12 * abs(P).max())
    np.testing.assert_array_equal(T, np.tril(T))
    assert (np.diag(T) > 0).all()


@pytest.mark.parametrize(
    "family",
    [
        Chebyshev(),
        Legendre(),
        Orthonormal(random_measure(0, 5)),
        Orthonormal({("Cu", "Zr"): random_measure(0)}),
    ],
    ids=repr,
)
def test_round_trip_and_value_semantics(family):
    copy = Polynomials.from_dict(json.loads(json.dumps(family.to_dict())))
    assert copy == family and hash(copy) == hash(family)
    assert copy != Orthonormal(random_measure(9, 5))


def test_measure_is_immutable_and_keeps_its_own_copy():
    nodes = np.array([1.0, 2.0])
    measure = Measure(nodes, [1.0, 1.0])
    nodes[0] = 9.0
    assert measure.nodes[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        measure.nodes[0] = 2.0
    with pytest.raises(AttributeError):
        measure.nodes = nodes
    assert measure != "measure"


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: Chebyshev().recurrence(0), ValueError, r"n must be an integer >= 1; got 0"),
        (lambda: Legendre().recurrence(2.0), TypeError, r"n must be an integer >= 1; got 2.0"),
        (lambda: Measure([1.0], [1.0, 2.0]), ValueError, r"one length; got 1 and 2"),
        (lambda: Measure([1.0], [-1.0]), ValueError, r"weights must be >= 0; number 0 is -1"),
        (lambda: Measure([-1.0], [1.0]), ValueError, r"nodes must be >= 0; number 0 is -1"),
        (lambda: Measure([1.0], [0.0]), ValueError, r"weights must not all be zero"),
        (lambda: Measure([], []), ValueError, r"weights must not all be zero; got 0 weights"),
        (lambda: Measure([np.nan], [0.0]), ValueError, r"nodes must be finite; row 0"),
        (lambda: Orthonormal([1.0]), TypeError, r"measure must be a Measure\(nodes, weights\)"),
        (lambda: Orthonormal(random_measure(0)).recurrence(2), ValueError, r"coordinates must map distances"),
        (lambda: chebyshev_coefficients(np.zeros((0, 3))), ValueError, r"len\(recurrence\) must be .*>= 1"),
        (lambda: chebyshev_coefficients([1, 2, 3]), ValueError, r"recurrence must have shape \(any, 3\)"),
    ],
)
def test_messages(make, error, message):
    with pytest.raises(error, match=message):
        make()
