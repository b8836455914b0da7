"""Derivatives of features for all kinds of radial functions, also a user's own."""

from dataclasses import dataclass

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from cases.derivatives import SquareTransform, alloy
from cases.gradients import (
    DIFFERENCE,
    ROUND_OFF,
    assert_derivatives,
    assert_pullback,
    of_species,
    pair_differences,
    random_cluster,
    random_cotangents,
)
from cases.radial import Gaussians
from oracles.structures import assert_clear_of_cutoff, position_differences, strain_differences

import acepure.stages.fused
from acepure import ACEBasis, pair_jacobian, pullback, summed_gradients
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


def shells():
    """A measure that supports some tens of functions."""
    r = np.linspace(1.2, 5.0, 100)
    return Measure(r, r**2)


TRANSFORMS = [
    LinearTransform(),
    PowerTransform(2),
    PowerTransform(2.5),
    InverseTransform(),
    InverseTransform(exponent=1.5),
    AgnesiTransform(),
    AgnesiTransform(r0=2.5, p=1.5, q=3.2),
]
ENVELOPES = [CosineEnvelope(), PolynomialEnvelope(2), PolynomialEnvelope(2.5), SmoothEnvelope(), SmoothEnvelope(2.5)]
POLYNOMIALS = [Chebyshev(), Legendre(), Orthonormal(shells())]


@dataclass(frozen=True)
class QuarticEnvelope(Envelope):
    """A user's own."""

    smoothness = 3

    def evaluate(self, r, rcut):
        return (1 - r / rcut) ** 4

    def evaluate_with_gradients(self, r, rcut):
        return self.evaluate(r, rcut), -4 / rcut * (1 - r / rcut) ** 3


@dataclass(frozen=True)
class UserAgnesi(AgnesiTransform):
    """The built-in formula, in a class that the kernel does not know."""


def per_pair_measures():
    """Different functions, and so different products, for every pair: each species of center has its operators."""
    r = np.linspace(1.2, 5.0, 60)
    pairs = [("Cu", "Cu"), ("Cu", "Zr"), ("Zr", "Cu"), ("Zr", "Zr")]
    return {pair: Measure(r, r ** (1 + k)) for k, pair in enumerate(pairs)}


PER_PAIR = {("Cu", "Cu"): 4.1, ("Cu", "Zr"): 4.5, ("Zr", "Cu"): 4.3, ("Zr", "Zr"): 4.7}
OTHER_RADIAL = {
    "cutoffs per pair": PolynomialRadialBasis(PER_PAIR),
    "r0 per pair": PolynomialRadialBasis(
        PER_PAIR, AgnesiTransform({("Cu", "Zr"): 2.4, ("Cu", "Cu"): 2.1, ("Zr", "Zr"): 3})
    ),
    "measures per pair": PolynomialRadialBasis(PER_PAIR, polynomials=Orthonormal(per_pair_measures())),
    "user's transform": PolynomialRadialBasis(PER_PAIR, SquareTransform()),
    "user's transform, Legendre": PolynomialRadialBasis(4.5, SquareTransform(), CosineEnvelope(), Legendre()),
    "user's envelope": PolynomialRadialBasis(4.5, InverseTransform(), QuarticEnvelope()),
    "user's, measures per pair": PolynomialRadialBasis(
        PER_PAIR, SquareTransform(), QuarticEnvelope(), Orthonormal(per_pair_measures())
    ),
    "user's functions": Gaussians(),
}


def assert_radial(radial, amplification=1):
    """Three powers of the envelope occur in a canonical basis of order three."""
    basis = ACEBasis(["Cu", "Zr"], radial=radial, order=3, totaldegree=[5, 4, 3])
    atoms = random_cluster()
    for center in ("Cu", "Zr"):
        atoms.symbols[0] = center
        jacobian = pair_jacobian(basis, atoms, indices=[0])
        assert_derivatives(basis, jacobian.values, pair_differences(basis, atoms, [0]), amplification * DIFFERENCE)
    assert_pullback(basis, atoms, random_cotangents(basis, atoms), amplification * ROUND_OFF)


@pytest.mark.parametrize("polynomials", POLYNOMIALS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("envelope", ENVELOPES, ids=repr)
@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
def test_polynomial_radial_functions(transform, envelope, polynomials):
    # Polynomials that are orthonormal on a part of [-1, 1] amplify the rounding of x, and their products have larger
    # coefficients: the inverse transform leaves a fifth of the interval to distances above 1.2 Å.
    amplification = 30 if isinstance(polynomials, Orthonormal) else 1
    assert_radial(PolynomialRadialBasis(4.5, transform, envelope, polynomials), amplification)


@pytest.mark.parametrize("name", OTHER_RADIAL)
def test_other_radial_functions(name):
    assert_radial(OTHER_RADIAL[name])


@pytest.mark.parametrize("radial", [PolynomialRadialBasis(3.1, SquareTransform()), Gaussians()], ids=repr)
def test_functions_without_kernel_in_a_periodic_structure(radial):
    basis = ACEBasis(["Cu", "Zr"], radial=radial, order=2, totaldegree=3)
    atoms = bulk("Cu", cubic=True, a=4.0).repeat((2, 1, 1))  # no pair near any of the cutoffs
    atoms.symbols = ["Cu", "Zr", "Zr", "Zr"] * 2
    atoms.pbc = (True, False, True)
    atoms.rattle(0.05, seed=6)
    assert_clear_of_cutoff(atoms, radial.cutoff)
    summed = summed_gradients(basis, atoms)
    for computed, differences in (
        (summed.positions, position_differences(basis.descriptors, atoms)),
        (summed.strain, strain_differences(basis.descriptors, atoms)),
    ):
        assert_derivatives(basis, computed, of_species(basis, atoms, differences))


def test_kernel_equals_numpy():
    atoms = random_cluster()
    first, second = (
        ACEBasis(["Cu", "Zr"], radial=PolynomialRadialBasis(4.5, transform), order=3, totaldegree=4)
        for transform in (AgnesiTransform(), UserAgnesi())
    )
    assert first.radial.has_kernel and not second.radial.has_kernel
    expected = pair_jacobian(first, atoms, indices=[0]).values
    computed = pair_jacobian(second, atoms, indices=[0]).values
    np.testing.assert_allclose(computed, expected, rtol=0, atol=ROUND_OFF * abs(expected).max())


@pytest.mark.parametrize("name", ["user's transform", "user's functions"])
def test_tables_in_parts(name, monkeypatch):
    """Functions without a kernel are tabulated for some pairs at a time, which must not show."""
    basis = ACEBasis(["Cu", "Zr"], radial=OTHER_RADIAL[name], order=2, totaldegree=3)
    atoms = alloy()
    atoms.symbols = ["Cu", "Zr", "Zr"] * 4
    atoms += Atoms("Zr", [(0, 40, 0)])  # a center without neighbors
    cotangents = random_cotangents(basis, atoms)

    def results():
        summed = summed_gradients(basis, atoms)
        return (
            pair_jacobian(basis, atoms).values,
            summed.positions,
            summed.strain,
            *pullback(basis, atoms, cotangents),
        )

    expected = results()
    for n_pairs in (1, 50):
        monkeypatch.setattr(acepure.stages.fused, "_PAIRS_PER_TABLE", n_pairs)
        for first, second in zip(results(), expected):
            np.testing.assert_array_equal(first, second)


# --- wrong and missing derivatives of a user --------------------------------------------------------------------------


@pytest.mark.parametrize("transform, envelope", [(True, False), (False, True)], ids=["transform", "envelope"])
def test_derivatives_that_a_user_has_not_defined(transform, envelope):
    @dataclass(frozen=True)
    class NoSlopeTransform(Transform):
        def evaluate(self, r, rcut, center=None, neighbor=None):
            return 2 * r / rcut - 1

    @dataclass(frozen=True)
    class NoSlopeEnvelope(Envelope):
        smoothness = 3

        def evaluate(self, r, rcut):
            return (1 - r / rcut) ** 4

    arguments = {"transform": NoSlopeTransform()} if transform else {"envelope": NoSlopeEnvelope()}
    basis = ACEBasis(["Cu", "Zr"], radial=PolynomialRadialBasis(4.5, **arguments), order=1, totaldegree=2)
    atoms = random_cluster()
    basis.descriptors(atoms)
    name = "NoSlopeTransform" if transform else "NoSlopeEnvelope"
    for call in (pair_jacobian, summed_gradients, lambda *args: pullback(*args, np.ones((9, len(basis))))):
        with pytest.raises(NotImplementedError, match=rf"{name} defines no evaluate_with_gradients\(r, rcut"):
            call(basis, atoms)


class Wrong(Gaussians):
    """Gaussians whose derivatives are spoiled by `spoil`."""

    spoil = staticmethod(lambda slopes: slopes)

    def evaluate_with_gradients(self, r, center, neighbor, n_radial):
        values, slopes = super().evaluate_with_gradients(r, center, neighbor, n_radial)
        return values, self.spoil(slopes)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda slopes: slopes[:, :-1], r"Wrong\(.* returned .* of shape"),
        (lambda slopes: slopes[:-1], r"Wrong\(.* returned .* of shape"),
        (lambda slopes: slopes.T, r"Wrong\(.* returned .* of shape"),
        (lambda slopes: slopes * np.nan, r"Wrong\(.* returned .* not finite"),
    ],
    ids=["too few functions", "too few distances", "transposed", "NaN"],
)
def test_wrong_derivatives_of_a_user(spoil, message):
    radial = Wrong()
    object.__setattr__(radial, "spoil", spoil)
    basis = ACEBasis(["Cu", "Zr"], radial=radial, order=2, totaldegree=2)
    with pytest.raises(ValueError, match=message):
        pair_jacobian(basis, random_cluster())


def test_radial_functions_without_derivatives():
    class Plain(RadialBasis):
        def cutoff(self, center, neighbor):
            return 4.5

        def evaluate(self, r, center, neighbor, n_radial):
            return Gaussians().evaluate(r, center, neighbor, n_radial)

    basis = ACEBasis(["Cu", "Zr"], radial=Plain(), order=1, totaldegree=2)
    with pytest.raises(NotImplementedError, match=r"Plain defines no evaluate_with_gradients\(r, center, neighbor"):
        pair_jacobian(basis, random_cluster())
