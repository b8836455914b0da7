"""Real spherical harmonics against SciPy, and their defining identities."""

import numpy as np
import pytest
import scipy.special

from acepure.functions import RealSphericalHarmonics

LMAX = 25
EPS = np.finfo(float).eps


def complex_harmonic(l, m, polar, azimuth):
    """Y_l^m with Condon-Shortley phase, from SciPy before and since 1.15."""
    if hasattr(scipy.special, "sph_harm_y"):
        return scipy.special.sph_harm_y(l, m, polar, azimuth)
    return scipy.special.sph_harm(m, l, azimuth, polar)


def real_harmonics(vectors, lmax):
    x, y, z = np.asarray(vectors, float).T
    polar, azimuth = np.arctan2(np.hypot(x, y), z), np.arctan2(y, x)
    values = np.empty((len(x), (lmax + 1) ** 2))
    for l in range(lmax + 1):
        values[:, l * l + l] = complex_harmonic(l, 0, polar, azimuth).real
        for m in range(1, l + 1):
            Y = np.sqrt(2) * (-1) ** m * complex_harmonic(l, m, polar, azimuth)
            values[:, l * l + l + m], values[:, l * l + l - m] = Y.real, Y.imag
    return values


@pytest.fixture
def vectors():
    random = np.random.default_rng(1).normal(size=(61, 3))  # 61 + 6: not a multiple of the lanes
    return np.concatenate([random, np.eye(3), -2.5 * np.eye(3)])


@pytest.mark.parametrize("lmax", [0, 1, 2, 7, LMAX])
def test_equals_scipy(vectors, lmax):
    values = RealSphericalHarmonics(lmax).evaluate(vectors)
    # Y_lm is O(sqrt(l)); SciPy's angles alone carry l * eps.
    np.testing.assert_allclose(values, real_harmonics(vectors, lmax), rtol=0, atol=10 * EPS * (lmax + 1))


def test_first_ones_are_the_coordinates(vectors):
    x, y, z = (vectors / np.linalg.norm(vectors, axis=1)[:, None]).T
    expected = np.sqrt(3 / (4 * np.pi)) * np.array([y, z, x]).T
    np.testing.assert_allclose(RealSphericalHarmonics(1).evaluate(vectors)[:, 1:], expected, atol=4 * EPS)


def test_orthonormal_on_the_sphere():
    lmax = 8
    z, weight = np.polynomial.legendre.leggauss(lmax + 1)  # exact up to degree 2 lmax + 1
    phi = 2 * np.pi * np.arange(2 * lmax + 1) / (2 * lmax + 1)
    s = np.sqrt(1 - z**2)
    points = np.array([np.outer(s, np.cos(phi)), np.outer(s, np.sin(phi)), np.outer(z, np.ones_like(phi))])
    weights = np.repeat(weight * 2 * np.pi / len(phi), len(phi))
    values = RealSphericalHarmonics(lmax).evaluate(points.reshape(3, -1).T)
    gram = values.T @ (weights[:, None] * values)
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-14 * len(gram))


def test_addition_theorem(vectors):
    harmonics = RealSphericalHarmonics(LMAX)
    a, b = harmonics.evaluate(vectors), harmonics.evaluate(vectors[::-1])
    units = vectors / np.linalg.norm(vectors, axis=1)[:, None]
    cosine = np.clip((units * units[::-1]).sum(axis=1), -1, 1)
    for l in range(LMAX + 1):
        m = slice(l * l, (l + 1) ** 2)
        expected = (2 * l + 1) / (4 * np.pi) * scipy.special.eval_legendre(l, cosine)
        np.testing.assert_allclose((a[:, m] * b[:, m]).sum(axis=1), expected, atol=20 * EPS * (2 * l + 1) * l + EPS)


def test_poles():
    values, gradients = RealSphericalHarmonics(LMAX).evaluate_with_gradients([[0, 0, 1], [0, 0, -3]])
    for l in range(LMAX + 1):
        expected = np.zeros((2, 2 * l + 1))
        expected[:, l] = np.sqrt((2 * l + 1) / (4 * np.pi)) * np.array([1, (-1) ** l])
        np.testing.assert_allclose(values[:, l * l : (l + 1) ** 2], expected, atol=10 * EPS * (l + 1))
    assert np.isfinite(gradients).all()
    # Near +z, Y_{l,1} = c x and Y_{l,-1} = c y with c = sqrt((2l + 1) l (l + 1) / 8 pi); all others are flat.
    l = np.arange(1, LMAX + 1)
    slope = np.sqrt((2 * l + 1) * l * (l + 1) / (8 * np.pi))
    expected = np.zeros_like(gradients[0])
    expected[0, l * l + l + 1] = slope
    expected[1, l * l + l - 1] = slope
    np.testing.assert_allclose(gradients[0], expected, rtol=1e-13, atol=1e-13)


def test_parity(vectors):
    harmonics = RealSphericalHarmonics(LMAX)
    signs = np.concatenate([np.full(2 * l + 1, (-1.0) ** l) for l in range(LMAX + 1)])
    np.testing.assert_array_equal(harmonics.evaluate(-vectors), signs * harmonics.evaluate(vectors))


def test_gradients_equal_finite_differences(vectors):
    harmonics = RealSphericalHarmonics(LMAX)
    vectors = vectors * np.linspace(0.4, 3, len(vectors))[:, None]
    values, gradients = harmonics.evaluate_with_gradients(vectors)
    # Not bit by bit: where the processor has fused multiply-add, the compiler may use it in one loop only.
    np.testing.assert_allclose(values, harmonics.evaluate(vectors), rtol=0, atol=10 * EPS * LMAX)
    h = 1e-4 * np.linalg.norm(vectors, axis=1)[:, None]
    for axis in range(3):
        shift = h * np.eye(3)[axis]
        f = [harmonics.evaluate(vectors + k * shift) for k in (-2, -1, 1, 2)]
        difference = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h)
        # Error of the formula: (l h)^4 * l / 30 ~ 1e-9 at l = 25, rounding: eps / h ~ 1e-11.
        error = np.abs(difference - gradients[:, axis]) * np.linalg.norm(vectors, axis=1)[:, None]
        assert error.max() < 3e-9


def test_gradients_are_tangential_and_obey_the_laplacian_sum_rule(vectors):
    _, gradients = RealSphericalHarmonics(LMAX).evaluate_with_gradients(vectors)
    radial = np.einsum("nx,nxk->nk", vectors, gradients)
    np.testing.assert_allclose(radial, 0, atol=EPS * 100 * LMAX**2)
    # sum_m |r grad Y_lm|^2 = l (l + 1) (2l + 1) / 4 pi, the Laplacian of the addition theorem
    square = (gradients**2).sum(axis=1) * (vectors**2).sum(axis=1)[:, None]
    for l in range(LMAX + 1):
        total = square[:, l * l : (l + 1) ** 2].sum(axis=1)
        np.testing.assert_allclose(total, l * (l + 1) * (2 * l + 1) / (4 * np.pi), rtol=1e-12)


@pytest.mark.parametrize("length", [1e-200, 1e-10, 1e10, 1e200])
def test_length_does_not_matter(vectors, length):
    harmonics = RealSphericalHarmonics(6)
    np.testing.assert_allclose(harmonics.evaluate(length * vectors), harmonics.evaluate(vectors), atol=100 * EPS)


def test_result_of_a_row_does_not_depend_on_the_others(vectors):
    harmonics = RealSphericalHarmonics(9)
    together = harmonics.evaluate_with_gradients(vectors)
    for n in (1, 7, 8, 9):
        part = harmonics.evaluate_with_gradients(vectors[:n])
        np.testing.assert_array_equal(part[0], together[0][:n])
        np.testing.assert_array_equal(part[1], together[1][:n])


@pytest.mark.parametrize("empty", [[], np.empty((0, 3))])
def test_no_vectors(empty):
    values, gradients = RealSphericalHarmonics(2).evaluate_with_gradients(empty)
    assert values.shape == (0, 9) and gradients.shape == (0, 3, 9)


def test_value_semantics():
    assert RealSphericalHarmonics(3) == RealSphericalHarmonics(3) != RealSphericalHarmonics(4)
    assert repr(RealSphericalHarmonics(3)) == "RealSphericalHarmonics(lmax=3)"
    assert len({RealSphericalHarmonics(3), RealSphericalHarmonics(3)}) == 1


@pytest.mark.parametrize("lmax, error", [(-1, ValueError), (1.5, TypeError), ("2", TypeError), (True, TypeError)])
def test_wrong_lmax(lmax, error):
    with pytest.raises(error, match=r"lmax must be an integer >= 0; got"):
        RealSphericalHarmonics(lmax)


@pytest.mark.parametrize(
    "vectors, error, message",
    [
        ([[1, 0, 0], [0, 0, 0]], ValueError, r"zero vector .*; row 1"),
        ([[1, 0, 0], [0, np.nan, 0]], ValueError, r"finite; row 1"),
        ([1.0, 0.0, 0.0], ValueError, r"shape \(any, 3\); got \(3,\)"),
        ([[1.0, 2.0]], ValueError, r"shape \(any, 3\); got \(1, 2\)"),
        ([[1j, 0, 0]], TypeError, r"real numbers; got an array of type complex128"),
        ([["a", "b", "c"]], TypeError, r"real numbers"),
    ],
)
def test_wrong_vectors(vectors, error, message):
    with pytest.raises(error, match=message):
        RealSphericalHarmonics(2).evaluate(vectors)
