"""The assertion on gradients: right derivatives pass, wrong ones and functions without any are caught."""

import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.calculators.morse import MorsePotential
from ase.stress import voigt_6_to_full_3x3_stress
from cases.properties import (
    copper,
    descriptor,
    pair_energy,
    pair_gradients,
    pair_strain_gradients,
    skewed,
    slab,
    water,
    with_energies_of_morse,
)

from acepure.testing import assert_gradients, calculated


@pytest.mark.parametrize(("make", "directions"), [(water, None), (water, 2), (slab, 2), (skewed, 1)])
def test_a_sum_over_pairs(make, directions):
    assert_gradients(pair_energy, pair_gradients, make(), directions=directions)


@pytest.mark.parametrize("make", [copper, skewed])
def test_strain(make):
    assert_gradients(pair_energy, pair_strain_gradients, make(), strain=True, directions=2)


@pytest.mark.parametrize(
    "calculator",
    [pytest.param(EMT(), id="EMT"), pytest.param(MorsePotential(r0=2.5), id="Morse", marks=with_energies_of_morse)],
)
def test_forces_and_stress_of_ase(calculator):
    forces, stress = calculated(calculator, "forces"), calculated(calculator, "stress")
    energy = calculated(calculator, "energy")
    assert_gradients(energy, lambda atoms: -forces(atoms), copper(), directions=1)

    def strain_gradient(atoms):
        return atoms.get_volume() * voigt_6_to_full_3x3_stress(stress(atoms))

    assert_gradients(energy, strain_gradient, copper(), strain=True, directions=1)


def test_values_of_any_shape():
    def gradient(atoms):
        return np.eye(3 * len(atoms)).reshape(len(atoms), 3, len(atoms), 3) * 3 * atoms.positions**2

    assert_gradients(lambda atoms: atoms.positions**3, gradient, water())


@pytest.mark.parametrize("factor", [0.5, -1, 1 + 1e-8])
def test_wrong_factors_are_caught(factor):
    with pytest.raises(AssertionError, match="is not that of finite differences"):
        assert_gradients(pair_energy, lambda atoms: factor * pair_gradients(atoms), slab(), directions=2)


def test_one_wrong_atom_is_named():
    def wrong(atoms):
        gradients = pair_gradients(atoms)
        gradients[1, 2] += 1e-9
        return gradients

    with pytest.raises(AssertionError, match="the gradient along z of atom 1"):
        assert_gradients(pair_energy, wrong, water())


def test_wrong_strain_is_named():
    def wrong(atoms):
        gradients = pair_strain_gradients(atoms)
        gradients[0, 1] *= 2
        return gradients

    with pytest.raises(AssertionError, match="the gradient along strain xy"):
        assert_gradients(pair_energy, wrong, slab(), strain=True)


def test_a_gradient_of_zero_is_caught():
    with pytest.raises(AssertionError, match="is not that of finite differences"):
        assert_gradients(pair_energy, lambda atoms: 0 * pair_gradients(atoms), water())


@pytest.mark.parametrize(
    "noise",
    [
        lambda atoms: 1e-6 * np.sin(1e9 * atoms.positions[0, 0]),
        lambda atoms: 1e-3 * abs(atoms.positions[0, 0] - 0.001 - water().positions[0, 0]),
    ],
    ids=["noise", "kink"],
)
def test_functions_that_are_not_smooth_are_caught(noise):
    with pytest.raises(AssertionError, match="noisy or not smooth"):
        assert_gradients(lambda atoms: pair_energy(atoms) + noise(atoms), pair_gradients, water(), precision=1e-7)


def test_constants_have_no_gradient():
    assert_gradients(lambda atoms: 3.0, lambda atoms: np.zeros((len(atoms), 3)), water())


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"gradient must return shape \(3, 3, 3, 2\)"):
        assert_gradients(descriptor, pair_gradients, water())
    with pytest.raises(ValueError, match="step must be a finite number > 0"):
        assert_gradients(pair_energy, pair_gradients, water(), step=0)
    with pytest.raises(ValueError, match="directions must be an integer >= 1"):
        assert_gradients(pair_energy, pair_gradients, water(), directions=0)
