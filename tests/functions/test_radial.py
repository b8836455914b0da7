"""Radial functions: their definition, derivatives, limits, grades, and users' own subclasses."""

import json
import pickle
from dataclasses import dataclass

import numpy as np
import pytest

from acepure.functions import (
    AgnesiTransform,
    Chebyshev,
    CosineEnvelope,
    Envelope,
    InverseTransform,
    Legendre,
    LinearTransform,
    Measure,
    Orthonormal,
    PolynomialEnvelope,
    PolynomialRadialBasis,
    PowerTransform,
    RadialBasis,
    SmoothEnvelope,
    Transform,
)

RCUT = 5.0
N = 9


def measure():
    r = np.linspace(2.0, 5.5, 500)
    return Measure(r, r**2)


@dataclass(frozen=True)
class SquareTransform(Transform):
    """A user's own transform."""

    def evaluate(self, r, rcut, center=None, neighbor=None):
        return 2 * (r / rcut) ** 2 - 1

    def evaluate_with_gradients(self, r, rcut, center=None, neighbor=None):
        return self.evaluate(r, rcut), 4 * r / rcut**2


@dataclass(frozen=True)
class QuarticEnvelope(Envelope):
    """A user's own envelope, without derivatives."""

    smoothness = 3

    def evaluate(self, r, rcut):
        return (1 - r / rcut) ** 4


BASES = [
    PolynomialRadialBasis(),
    PolynomialRadialBasis(RCUT, PowerTransform(2), PolynomialEnvelope(2)),
    PolynomialRadialBasis(RCUT, InverseTransform(), CosineEnvelope(), Legendre()),
    PolynomialRadialBasis(RCUT, AgnesiTransform(p=1.5, q=3.2), SmoothEnvelope(2.5), Orthonormal(measure())),
    PolynomialRadialBasis(RCUT, SquareTransform(), SmoothEnvelope(), Orthonormal(measure())),
]


@pytest.fixture
def r():
    return np.linspace(0, 6, 101)


@pytest.mark.parametrize("basis", BASES, ids=repr)
def test_definition(basis, r):
    """R_n = f P_n(x) with x and f from their own objects and P_n as a Chebyshev series of NumPy."""
    inside = np.minimum(r, RCUT)
    x = basis.transform.evaluate(inside, RCUT, "Cu", "Zr")
    f = basis.envelope.evaluate(inside, RCUT)
    T = np.polynomial.chebyshev.chebvander(x, N - 1)
    coefficients = basis.chebyshev_coefficients("Cu", "Zr", N)
    values = basis.evaluate(r, "Cu", "Zr", N)
    scale = abs(coefficients).max()
    np.testing.assert_allclose(values, f[:, None] * (T @ coefficients.T), rtol=0, atol=1e-13 * scale)
    np.testing.assert_array_equal(values, basis.evaluate_graded(r, "Cu", "Zr", 1, N))
    for grade in (2, 3, 5):
        graded = basis.evaluate_graded(r, "Cu", "Zr", grade, N)
        np.testing.assert_allclose(graded, f[:, None] ** grade * T, rtol=0, atol=1e-14)


@pytest.mark.parametrize("basis", BASES, ids=repr)
@pytest.mark.parametrize("grade", [1, 2, 4])
def test_derivatives_equal_finite_differences(basis, grade):
    r = np.linspace(0.01, RCUT - 0.01, 83)
    values, derivatives = basis.evaluate_graded_with_gradients(r, "Cu", "Zr", grade, N)
    np.testing.assert_array_equal(values, basis.evaluate_graded(r, "Cu", "Zr", grade, N))
    h = 1e-4
    v = [basis.evaluate_graded(r + k * h, "Cu", "Zr", grade, N) for k in (-2, -1, 1, 2)]
    difference = (v[0] - 8 * v[1] + 8 * v[2] - v[3]) / (12 * h)
    # Rounding eps/h = 2e-12; truncation h^4/30 times the fifth derivative, < 1e6 of the value at n = 8.
    np.testing.assert_allclose(derivatives, difference, rtol=0, atol=1e-8 * abs(derivatives).max())


@pytest.mark.parametrize("basis", BASES, ids=repr)
def test_gradients_agree_with_grade_one(basis, r):
    for a, b in zip(
        basis.evaluate_with_gradients(r, "Cu", "Zr", N),
        basis.evaluate_graded_with_gradients(r, "Cu", "Zr", 1, N),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("basis", BASES, ids=repr)
def test_zero_from_the_cutoff_on_and_finite_at_zero(basis):
    values, derivatives = basis.evaluate_with_gradients([RCUT, np.nextafter(RCUT, 9), 7, 1e8], "Cu", "Zr", N)
    assert not values.any() and not derivatives.any()
    values, derivatives = basis.evaluate_with_gradients([0.0, 1e-300, 1e-12], "Cu", "Zr", N)
    assert np.isfinite(values).all() and np.isfinite(derivatives).all()
    scale = abs(derivatives).max() + 1
    np.testing.assert_allclose(values[1:], values[:-1], atol=1e-11 * scale * abs(values).max())
    np.testing.assert_allclose(derivatives[1:], derivatives[:-1], atol=1e-9 * scale)


def test_orthonormal_for_the_measure():
    basis = BASES[3]
    R = basis.evaluate(measure().nodes, "Cu", "Zr", N)
    np.testing.assert_allclose(R.T @ (measure().weights[:, None] * R), np.eye(N), atol=1e-12)


@pytest.mark.parametrize("basis", BASES, ids=repr)
def test_products_close_with_the_grades_added(basis, r):
    """f^s T_a f^t T_b = f^(s+t) (T_(a+b) + T_|a-b|)/2, exactly, for any transform and envelope."""
    two, three = (basis.evaluate_graded(r, "Cu", "Zr", s, N) for s in (2, 3))
    five = basis.evaluate_graded(r, "Cu", "Zr", 5, 2 * N)
    for a in range(N):
        for b in range(N):
            expected = (five[:, a + b] + five[:, abs(a - b)]) / 2
            np.testing.assert_allclose(two[:, a] * three[:, b], expected, rtol=0, atol=1e-14)


def test_cutoffs_per_pair(r):
    rcut = {("Cu", "Zr"): 5.0, ("Cu", "Cu"): 4.0, ("Zr", "Zr"): 6.0, ("Zr", "Cu"): 4.5}
    basis = PolynomialRadialBasis(rcut)
    for pair, value in rcut.items():
        assert basis.cutoff(*pair) == value
        R = PolynomialRadialBasis(value).evaluate(r, *pair, N)
        np.testing.assert_array_equal(basis.evaluate(r, *pair, N), R)
    assert PolynomialRadialBasis({("Cu", "Zr"): 5.0}).cutoff("Zr", "Cu") == 5.0


def test_result_of_a_distance_does_not_depend_on_the_others(r):
    together = BASES[0].evaluate(r, "Cu", "Cu", N)
    for n in (0, 1, 7, 8, 9):
        np.testing.assert_array_equal(BASES[0].evaluate(r[:n], "Cu", "Cu", N), together[:n])


def test_tables_are_read_only():
    table = BASES[3].recurrence("Cu", "Zr", N)
    with pytest.raises(ValueError, match="read-only"):
        table[0, 0] = 2.0
    assert BASES[3].recurrence("Cu", "Zr", N) is table


def test_parameters_are_one_array_per_pair():
    basis = PolynomialRadialBasis({("Cu", "Cu"): 4.0, ("Cu", "Zr"): 5.0})
    a, b = basis.parameters("Cu", "Cu"), basis.parameters("Cu", "Zr")
    assert a.dtype == np.float64 and a.shape == b.shape and a.ndim == 1
    assert (a[0], b[0]) == (4.0, 5.0)


@pytest.mark.parametrize("basis", [*BASES, PolynomialRadialBasis({("Cu", "Zr"): 5.0})], ids=repr)
def test_round_trip_and_value_semantics(basis, r):
    copy = RadialBasis.from_dict(json.loads(json.dumps(basis.to_dict())))
    assert copy == basis and hash(copy) == hash(basis) and repr(copy) == repr(basis)
    np.testing.assert_array_equal(copy.evaluate(r, "Cu", "Zr", 4), basis.evaluate(r, "Cu", "Zr", 4))
    assert pickle.loads(pickle.dumps(basis)) == basis
    assert copy != PolynomialRadialBasis(4.9)
    with pytest.raises(AttributeError):
        basis.rcut = 6.0


def test_own_subclasses_go_through_numpy(r):
    """The same functions once from a user's classes, once from the kernel."""

    class OwnLinear(LinearTransform):
        pass

    own = PolynomialRadialBasis(RCUT, OwnLinear(), SmoothEnvelope())
    built_in = PolynomialRadialBasis(RCUT, LinearTransform(), SmoothEnvelope())
    assert built_in.has_kernel and not own.has_kernel
    for a, b in zip(
        own.evaluate_with_gradients(r, "Cu", "Cu", N),
        built_in.evaluate_with_gradients(r, "Cu", "Cu", N),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, atol=1e-14)
    with pytest.raises(ValueError, match=r"kernel has no code for .*OwnLinear"):
        own.parameters("Cu", "Cu")


def test_own_envelope_without_derivatives(r):
    basis = PolynomialRadialBasis(RCUT, LinearTransform(), QuarticEnvelope())
    values = basis.evaluate(r, "Cu", "Cu", 3)
    assert not values[r >= RCUT].any() and np.isfinite(values).all()
    with pytest.raises(NotImplementedError, match=r"QuarticEnvelope defines no evaluate_with_gradients"):
        basis.evaluate_with_gradients(r, "Cu", "Cu", 3)


def test_own_transform_out_of_range_is_refused(r):
    class Wrong(Transform):
        def evaluate(self, r, rcut, center=None, neighbor=None):
            return r

    with pytest.raises(ValueError, match=r"transform must give x in \[-1, 1\].*Wrong"):
        PolynomialRadialBasis(RCUT, Wrong()).evaluate(r, "Cu", "Cu", 3)
    with pytest.raises(NotImplementedError, match=r"Wrong defines no evaluate_with_gradients"):
        PolynomialRadialBasis(RCUT, Wrong()).evaluate_with_gradients(r, "Cu", "Cu", 3)
    with pytest.raises(TypeError, match=r"Wrong must be a dataclass"):
        PolynomialRadialBasis(RCUT, Wrong()).to_dict()


def test_own_radial_basis():
    class Own(RadialBasis):
        def cutoff(self, center, neighbor):
            return RCUT

        def evaluate(self, r, center, neighbor, n_radial):
            return np.maximum(1 - np.asarray(r)[:, None] / RCUT, 0) ** np.arange(2, n_radial + 2)

    own = Own()
    assert not own.has_kernel and own.evaluate([0.0, 6.0], "Cu", "Cu", 2).shape == (2, 2)
    with pytest.raises(NotImplementedError, match=r"Own defines no evaluate_with_gradients.*forces"):
        own.evaluate_with_gradients([1.0], "Cu", "Cu", 2)


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: PolynomialRadialBasis(0), ValueError, r"rcut must be a finite number > 0; got 0"),
        (lambda: PolynomialRadialBasis("5"), TypeError, r"rcut must be .*got '5' of type str"),
        (lambda: PolynomialRadialBasis({("Cu",): 5.0}), TypeError, r"keys of rcut must be pairs"),
        (
            lambda: PolynomialRadialBasis(transform=Chebyshev()),
            TypeError,
            r"transform must be an instance of Tr",
        ),
        (
            lambda: PolynomialRadialBasis(envelope=CosineEnvelope),
            TypeError,
            r"envelope must be an instance of E",
        ),
        (
            lambda: BASES[0].evaluate([1.0], "Cu", "Cu", 0),
            ValueError,
            r"n_radial must be an integer >= 1; got 0",
        ),
        (
            lambda: BASES[0].evaluate([1.0], "Cu", 29, 2),
            TypeError,
            r"neighbor must be a chemical symbol.*got 29",
        ),
        (lambda: BASES[0].evaluate([1.0], "Qq", "Cu", 2), ValueError, r"center must be a chemical symbol"),
        (lambda: BASES[0].evaluate([np.nan], "Cu", "Cu", 2), ValueError, r"r must be finite; row 0 is nan"),
        (
            lambda: BASES[0].evaluate_graded([1.0], "Cu", "Cu", 0, 2),
            ValueError,
            r"grade must be an integer >= 1",
        ),
        (lambda: BASES[0].recurrence("Cu", "Qq", 2), ValueError, r"neighbor must be a chemical symbol"),
        (
            lambda: PolynomialRadialBasis({("Cu", "Zr"): 5.0}).evaluate([1.0], "Cu", "Cu", 2),
            ValueError,
            r"rcut has no value for the pair Cu-Cu; it has Cu-Zr",
        ),
        (
            lambda: PolynomialRadialBasis(RCUT, polynomials=Orthonormal(Measure([2.0, 3.0], [1.0, 1.0]))).evaluate(
                [1.0], "Cu", "Zr", 3
            ),
            ValueError,
            r"of the pair Cu-Zr: it supports only 2 independent functions",
        ),
    ],
)
def test_messages(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_kinds_are_the_names_that_files_hold():
    """A class of the package goes by its name alone, one of another module by module and name."""
    assert PolynomialRadialBasis().to_dict()["kind"] == "PolynomialRadialBasis"
    assert PolynomialRadialBasis().to_dict()["envelope"]["kind"] == "SmoothEnvelope"
    assert QuarticEnvelope().to_dict()["kind"] == f"{QuarticEnvelope.__module__}.QuarticEnvelope"


@pytest.mark.parametrize("exponent", [1.25, 2.0])
def test_envelopes_take_every_exponent_above_one(exponent):
    u = np.linspace(0, 1, 7)
    np.testing.assert_allclose(PolynomialEnvelope(exponent).evaluate(5 * u, rcut=5.0), (1 - u) ** exponent, atol=1e-15)
    np.testing.assert_allclose(SmoothEnvelope(exponent).evaluate(5 * u, rcut=5.0), (1 - u**2) ** exponent, atol=1e-15)


def test_a_measure_equals_nothing_of_another_kind():
    assert (measure() == measure()) is True
    assert (measure() == 3) is False and measure() != "measure"
