"""Linear functions of several irreps in one pass: sums of features, differences, and jvp of features that turn."""

import numpy as np
import pytest
from cases.gradients import DIFFERENCE, random_cluster
from cases.radial import Gaussians
from oracles.structures import position_differences, strain_differences

from acepure import ACEBasis, IdealGas, Stages, VerletList, jvp, summed_gradients
from acepure.features.tensor_function import TensorFunction
from acepure.fitting.tensors import with_irrep
from acepure.functions import PolynomialRadialBasis

IRREPS = ("0e", "1e", "2e", "1o")
ATOMS = random_cluster(5)


def bases(radial=None, canonical=True, reference=None):
    radial = PolynomialRadialBasis(4.5) if radial is None else radial
    basis = ACEBasis(["Cu", "Zr"], radial=radial, canonical=canonical, totaldegree=[3, 3, 4])
    basis = basis if reference is None else basis.centered(reference)
    return [with_irrep(basis, irrep) for irrep in IRREPS]


def coefficients(parts, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(2, len(basis))) for basis in parts]


@pytest.mark.parametrize("reference", [None, IdealGas(0.05)])
@pytest.mark.parametrize("canonical", [True, False])
@pytest.mark.parametrize("radial", [None, Gaussians(width=2.5, rcut=7.0, exponent=2)], ids=["kernel", "own functions"])
def test_values_are_sums_of_features(radial, canonical, reference):
    if radial is not None and reference is not None:
        return  # own functions have no product algebra to center
    parts = bases(radial, canonical, reference)
    thetas, species = coefficients(parts), parts[0].species_indices(ATOMS)
    expected, scales = [], []
    for basis, theta in zip(parts, thetas):
        features = basis.descriptors(ATOMS).reshape(len(ATOMS), len(basis), -1)
        expected.append(np.einsum("if,ifm->im", theta[species], features))
        scales.append(np.einsum("if,ifm->im", abs(theta[species]), abs(features)))
    function = TensorFunction(parts, thetas)
    found = function.evaluate(ATOMS)
    assert found.shape == (len(ATOMS), 1 + 3 + 5 + 3)
    scale = np.concatenate(scales, axis=1).max()
    np.testing.assert_allclose(found, np.concatenate(expected, axis=1), rtol=0, atol=1e-13 * scale)
    neighbors = VerletList(parts[-1], skin=0.7).update(ATOMS)
    np.testing.assert_allclose(function.evaluate(ATOMS, neighbors=neighbors), found, rtol=0, atol=1e-13 * scale)


@pytest.mark.parametrize("reference", [None, IdealGas(0.05)])
def test_gradients_against_differences(reference):
    parts = bases(reference=reference)
    function = TensorFunction(parts, coefficients(parts))

    def total(atoms):
        return function.evaluate(atoms).sum(axis=0)

    found = function.gradients(ATOMS)
    moved, strained = position_differences(total, ATOMS), strain_differences(total, ATOMS)
    np.testing.assert_allclose(found.positions, moved, rtol=0, atol=DIFFERENCE * abs(moved).max())
    np.testing.assert_allclose(found.strain, strained, rtol=0, atol=DIFFERENCE * abs(strained).max())


@pytest.mark.parametrize("irrep", IRREPS)
def test_motions_are_the_jacobian_times_the_motion(irrep):
    basis = with_irrep(bases()[0], irrep)
    rng = np.random.default_rng(3)
    w, strain = rng.normal(size=(len(ATOMS), 3)), rng.normal(size=(3, 3))
    features, rates = jvp(basis, ATOMS, w, strain)
    np.testing.assert_allclose(features, basis.descriptors(ATOMS), rtol=0, atol=1e-13 * abs(features).max())
    summed = summed_gradients(basis, ATOMS)
    expected = np.einsum("zka...,ka->...", summed.positions, w) + np.einsum("zab...,ab->...", summed.strain, strain)
    np.testing.assert_allclose(rates.sum(axis=0), expected, rtol=0, atol=1e-12 * abs(expected).max())


@pytest.mark.parametrize("irrep", IRREPS)
def test_stages_end_in_the_features(irrep):
    basis = with_irrep(bases()[0], irrep)
    stages, chosen = Stages(basis, "Cu"), ATOMS.numbers == 29
    found = stages.features.evaluate(stages.sums(ATOMS))
    expected = basis.descriptors(ATOMS)[chosen]
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=0, atol=1e-13 * abs(expected).max())


def test_refusals():
    parts = bases()
    with pytest.raises(ValueError, match="same species"):
        TensorFunction([parts[0], bases(PolynomialRadialBasis(4.0))[1]], coefficients(parts[:2]))
    with pytest.raises(ValueError, match="coefficients must be 2 arrays"):
        TensorFunction(parts[:2], coefficients(parts))
    with pytest.raises(ValueError, match=r"coefficients\[0\]"):
        TensorFunction(parts[:1], [np.zeros((2, 1))])
