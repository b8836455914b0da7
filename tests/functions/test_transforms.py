"""Distance transforms and envelopes against independent formulas, their derivatives and their limits."""

import json

import numpy as np
import pytest
from ase.data import atomic_numbers, covalent_radii

from acepure.functions import (
    AgnesiTransform,
    CosineEnvelope,
    Envelope,
    InverseTransform,
    LinearTransform,
    PolynomialEnvelope,
    PowerTransform,
    SmoothEnvelope,
    Transform,
)

RCUT = 5.5


def affine(y):
    """Map y(r) to x(r) with x(0) = -1 and x(rcut) = 1."""
    return lambda r: -1 + 2 * (y(r) - y(0 * r)) / (y(0 * r + RCUT) - y(0 * r))


def agnesi(r0, p, q):
    a = (4 * p * q - 2 * p - 2 * q) / (p + p**2 + q + q**2)
    return lambda r: 1 / (1 + a * (r / r0) ** q / (1 + (r / r0) ** (q - p)))


CU_ZR = covalent_radii[atomic_numbers["Cu"]] + covalent_radii[atomic_numbers["Zr"]]

TRANSFORMS = [
    (LinearTransform(), lambda r: 2 * r / RCUT - 1),
    (PowerTransform(), lambda r: 1 - 2 * (1 - r / RCUT) ** 2),
    (PowerTransform(exponent=1), lambda r: 2 * r / RCUT - 1),
    (PowerTransform(exponent=2.5), lambda r: 1 - 2 * (1 - r / RCUT) ** 2.5),
    (InverseTransform(r0=2.0, exponent=2), affine(lambda r: (3 / (1 + r)) ** 2)),
    (InverseTransform(r0=0.3, exponent=1.7), affine(lambda r: (1.3 / (1 + r)) ** 1.7)),
    (AgnesiTransform(), affine(agnesi(CU_ZR, 2, 4))),
    (AgnesiTransform(r0=2.2, p=2, q=2), affine(agnesi(2.2, 2, 2))),
    (AgnesiTransform(r0=2.2, p=1, q=3), affine(agnesi(2.2, 1, 3))),
    (AgnesiTransform(r0=2.2, p=1.3, q=2.9), affine(agnesi(2.2, 1.3, 2.9))),
    (AgnesiTransform(r0={("Zr", "Cu"): 2.7, ("Cu", "Cu"): 2.0}), affine(agnesi(2.7, 2, 4))),
]
TRANSFORMS_IDS = [repr(case[0]) for case in TRANSFORMS]

ENVELOPES = [
    (PolynomialEnvelope(), lambda r: (1 - r / RCUT) ** 2, 1),
    (PolynomialEnvelope(exponent=3), lambda r: (1 - r / RCUT) ** 3, 2),
    (PolynomialEnvelope(exponent=2.5), lambda r: (1 - r / RCUT) ** 2.5, 2),
    (CosineEnvelope(), lambda r: (1 + np.cos(np.pi * r / RCUT)) / 2, 1),
    (SmoothEnvelope(), lambda r: (1 - (r / RCUT) ** 2) ** 3, 2),
    (SmoothEnvelope(exponent=2), lambda r: (1 - (r / RCUT) ** 2) ** 2, 1),
    (SmoothEnvelope(exponent=3.5), lambda r: (1 - (r / RCUT) ** 2) ** 3.5, 3),
]
ENVELOPES_IDS = [repr(case[0]) for case in ENVELOPES]


@pytest.fixture
def r():
    return np.concatenate([[0.0], np.geomspace(1e-12, 0.1, 12), np.linspace(0.1, RCUT - 1e-6, 78)])


@pytest.mark.parametrize("transform, formula", TRANSFORMS, ids=TRANSFORMS_IDS)
def test_transform_equals_formula(transform, formula, r):
    x = transform.evaluate(r, RCUT, "Cu", "Zr")
    np.testing.assert_allclose(x, formula(r), rtol=0, atol=2e-15)
    assert (np.diff(x[13:]) > 0).all()


@pytest.mark.parametrize("transform, formula", TRANSFORMS, ids=TRANSFORMS_IDS)
def test_transform_derivative_equals_complex_step(transform, formula, r):
    x, dx = transform.evaluate_with_gradients(r, RCUT, "Cu", "Zr")
    np.testing.assert_array_equal(x, transform.evaluate(r, RCUT, "Cu", "Zr"))
    h = 1e-30  # d/dr of an analytic formula without cancellation
    np.testing.assert_allclose(dx[1:], formula(r[1:] + 1j * h).imag / h, rtol=1e-12, atol=1e-14)
    assert np.isfinite(dx).all()


@pytest.mark.parametrize("transform, _", TRANSFORMS, ids=TRANSFORMS_IDS)
def test_transform_ends(transform, _):
    x, dx = transform.evaluate_with_gradients([0.0, RCUT, RCUT + 1, 1e9], RCUT, "Cu", "Zr")
    np.testing.assert_allclose(x, [-1, 1, 1, 1], rtol=0, atol=3e-16)
    assert x[0] == -1 and np.isfinite(dx).all()


@pytest.mark.parametrize("p, q", [(2, 4), (2, 2), (1, 3), (1.3, 2.9), (3, 7)])
def test_agnesi_is_steepest_at_r0(p, q):
    r = np.linspace(0.5, 5.4, 49001)
    _, slope = AgnesiTransform(r0=2.3, p=p, q=q).evaluate_with_gradients(r, RCUT)
    assert r[np.argmax(slope)] == pytest.approx(2.3, abs=2e-3)


def test_inverse_does_not_depend_on_r0(r):
    a, b = (InverseTransform(r0=r0).evaluate(r, RCUT) for r0 in (0.0, 3.0))
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("envelope, formula, _", ENVELOPES, ids=ENVELOPES_IDS)
def test_envelope_equals_formula(envelope, formula, _, r):
    f, df = envelope.evaluate_with_gradients(r, RCUT)
    np.testing.assert_array_equal(f, envelope.evaluate(r, RCUT))
    np.testing.assert_allclose(f, formula(r), rtol=1e-13, atol=2e-16)
    h = 1e-30
    np.testing.assert_allclose(df, formula(r + 1j * h).imag / h, rtol=1e-11, atol=1e-15)
    assert f[0] == 1


@pytest.mark.parametrize("envelope, _, smoothness", ENVELOPES, ids=ENVELOPES_IDS)
def test_envelope_smoothness_at_the_cutoff(envelope, _, smoothness):
    """f ~ t^k near the cutoff, t = rcut - r: derivatives below k vanish there, the k-th does not."""
    f, df = envelope.evaluate_with_gradients([RCUT, np.nextafter(RCUT, 9), 7.0, 1e6], RCUT)
    assert not f.any() and not df.any()
    assert envelope.smoothness == smoothness
    t = np.array([1e-3, 1e-4])
    f = envelope.evaluate(RCUT - t, RCUT)
    order = np.log10(f[0] / f[1])  # k, up to O(t)
    assert int(np.ceil(order - 0.01)) - 1 == smoothness


@pytest.mark.parametrize("item", [t for t, _ in TRANSFORMS] + [e for e, _, _ in ENVELOPES], ids=repr)
def test_round_trip_and_value_semantics(item):
    base = Transform if isinstance(item, Transform) else Envelope
    copy = base.from_dict(json.loads(json.dumps(item.to_dict())))
    assert type(copy) is type(item) and copy == item and hash(copy) == hash(item)
    assert eval(repr(item)) == item
    field = next(iter(vars(item)), None)
    with pytest.raises(AttributeError):
        setattr(item, field or "exponent", 3.0)


@pytest.mark.parametrize(
    "make, error, message",
    [
        (
            lambda: PowerTransform(exponent=0.5),
            ValueError,
            r"exponent must be a finite number >= 1 .*got 0.5",
        ),
        (lambda: PowerTransform(exponent="2"), TypeError, r"exponent must be .*got '2' of type str"),
        (lambda: InverseTransform(exponent=0), ValueError, r"exponent must be a finite number > 0; got 0"),
        (lambda: InverseTransform(r0=-1), ValueError, r"r0 must be a finite number >= 0; got -1"),
        (lambda: AgnesiTransform(r0=0), ValueError, r"r0 must be a finite number > 0; got 0"),
        (lambda: AgnesiTransform(p=4, q=2), ValueError, r"q must be .*>= 4 .*got 2"),
        (lambda: AgnesiTransform(p=1, q=1), ValueError, r"2pq > p \+ q.*got p=1, q=1"),
        (lambda: AgnesiTransform(r0={}), ValueError, r"r0 must name at least one pair"),
        (lambda: AgnesiTransform(r0={"Cu": 2.0}), TypeError, r"keys of r0 must be pairs .*got 'Cu'"),
        (lambda: AgnesiTransform(r0={("Cu", "Qq"): 2.0}), ValueError, r"a key of r0 .*got 'Qq'"),
        (lambda: AgnesiTransform(r0={("Cu", "Zr"): -2.0}), ValueError, r"r0\['Cu', 'Zr'\] must .*got -2.0"),
        (lambda: PolynomialEnvelope(exponent=1), ValueError, r"exponent must be .*> 1 .*forces.*got 1"),
        (lambda: SmoothEnvelope(exponent=np.inf), ValueError, r"exponent must be a finite number"),
        (lambda: SmoothEnvelope().evaluate([1.0], 0.0), ValueError, r"rcut must be .*> 0; got 0.0"),
        (
            lambda: SmoothEnvelope().evaluate([-1.0], 5.0),
            ValueError,
            r"r must hold distances >= 0; number 0 is",
        ),
        (lambda: SmoothEnvelope().evaluate(1.0, 5.0), ValueError, r"r must have shape \(any,\); got \(\)"),
        (lambda: AgnesiTransform().evaluate([1.0], 5.0), TypeError, r"center must be a chemical symbol"),
        (
            lambda: AgnesiTransform().evaluate([1.0], 5.0, "X", "Cu"),
            ValueError,
            r"center must be a chemical symbol .*got 'X'",
        ),
        (lambda: AgnesiTransform().evaluate([1.0], 5.0, "Cu", "Lr"), ValueError, r"neighbor 'Lr' .*covalent"),
        (
            lambda: AgnesiTransform(r0={("Cu", "Zr"): 2.0}).evaluate([1.0], 5.0, "Cu", "Cu"),
            ValueError,
            r"r0 has no value for the pair Cu-Cu; it has Cu-Zr",
        ),
        (
            lambda: Transform.from_dict({"kind": "Nothing"}),
            ValueError,
            r"data\['kind'\] must be one of .*Agnesi",
        ),
        (lambda: Transform.from_dict({"kind": "CosineEnvelope"}), ValueError, r"got 'CosineEnvelope'"),
        (lambda: Transform.from_dict("AgnesiTransform"), TypeError, r"data must be a mapping"),
    ],
)
def test_messages(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_hydrogen_has_a_covalent_radius():
    own = AgnesiTransform(r0=2 * covalent_radii[1])
    r = np.linspace(0.3, 5.0, 9)
    np.testing.assert_array_equal(AgnesiTransform().evaluate(r, 5.0, "H", "H"), own.evaluate(r, 5.0))
