"""Linear functions of features: forces and virial, for all kinds of structures and radial functions."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator
from cases.derivatives import system
from cases.linear import (
    NAMES,
    RADIAL,
    assert_close,
    assert_derivatives,
    random_function,
    scale_of,
    two_species,
    weights_of_atoms,
)
from oracles.structures import random_orthogonal

from acepure import ACEBasis, LinearFunction, pullback, summed_gradients
from acepure.functions import PolynomialEnvelope, PolynomialRadialBasis


@pytest.mark.parametrize("canonical", [True, False], ids=["canonical", "self-interacting"])
@pytest.mark.parametrize("name", NAMES)
def test_forces_and_virial(name, canonical):
    atoms, basis = system(name, order=3, totaldegree=[6, 4, 3], canonical=canonical)
    assert_derivatives(random_function(basis), atoms, n_moved=len(atoms))


def test_the_comparison_sees_a_wrong_force_and_a_wrong_virial():
    atoms, basis = system("wire", order=2, totaldegree=3)
    right = random_function(basis)
    assert_derivatives(right, atoms)
    for name in ("forces", "virial"):

        class Wrong:
            """Spoils one number."""

            basis, coefficients, evaluate = right.basis, right.coefficients, right.evaluate

            def evaluate_with_gradients(self, atoms):
                result = right.evaluate_with_gradients(atoms)
                getattr(result, name)[0, 1] += 1e-9 * scale_of(right, atoms)  # noqa: B023
                return result

        with pytest.raises(AssertionError, match="Not equal to tolerance"):
            assert_derivatives(Wrong(), atoms)


class Potential(Calculator):
    """Energies of a linear function, for what ASE derives from energies."""

    implemented_properties = ("energy",)

    def __init__(self, function):
        super().__init__()
        self.function = function

    def calculate(self, *args):
        super().calculate(*args)
        self.results["energy"] = self.function.evaluate(self.atoms).sum()


@pytest.mark.parametrize("name", ["fcc Cu", "skewed cell", "left-handed cell"])
def test_forces_and_stress_are_those_of_ase(name):
    """F_k = −∂E/∂r_k; stress −W / V in the order xx, yy, zz, yz, xz, xy."""
    fd = pytest.importorskip("ase.calculators.fd", reason="ASE before 3.24 has no such functions")
    atoms, basis = system(name, order=3, totaldegree=[6, 4, 3])
    function = random_function(basis)
    result = function.evaluate_with_gradients(atoms)
    atoms.calc = Potential(function)
    stress = fd.calculate_numerical_stress(atoms, eps=1e-4, force_consistent=False)
    W = result.virial
    computed = -np.array([W[0, 0], W[1, 1], W[2, 2], W[1, 2], W[0, 2], W[0, 1]]) / atoms.get_volume()
    # ASE's differences are of order two: (1e-4)² times a third derivative of some ten times the first
    np.testing.assert_allclose(computed, stress, rtol=0, atol=1e-6 * abs(stress).max())
    assert np.diff(np.sort(stress)).min() > 1e-4 * abs(stress).max()  # no two may be exchanged unseen
    forces = fd.calculate_numerical_forces(atoms, eps=1e-4, force_consistent=False)
    np.testing.assert_allclose(result.forces, forces, rtol=0, atol=1e-6 * abs(stress).max() * atoms.get_volume())


@pytest.mark.parametrize("name", NAMES)
def test_three_ways_to_the_same_forces(name):
    """Folded weights, cotangents equal to the weights, and rows of a fit times the weights."""
    atoms, basis = system(name, order=3, totaldegree=[6, 4, 3])
    function = random_function(basis)
    result = function.evaluate_with_gradients(atoms)
    positions, strain = pullback(basis, atoms, weights_of_atoms(function, atoms))
    summed = summed_gradients(basis, atoms)
    scale = 10 * scale_of(function, atoms)
    assert_close(result.forces, -positions, scale)
    assert_close(result.virial, -strain, scale * basis.rcut)
    assert_close(result.forces, -np.einsum("zf,zkaf->ka", function.coefficients, summed.positions), scale)
    assert_close(result.virial, -np.einsum("zf,zabf->ab", function.coefficients, summed.strain), scale * basis.rcut)


@pytest.mark.parametrize("name", NAMES)
def test_forces_sum_to_zero_and_virial_is_symmetric(name):
    """Neither translations nor rotations change the energy."""
    atoms, basis = system(name, order=3, totaldegree=[6, 4, 3])
    result = random_function(basis).evaluate_with_gradients(atoms)
    scale = 10 * scale_of(random_function(basis), atoms)
    assert_close(result.forces.sum(axis=0), 0, scale)
    assert_close(result.virial - result.virial.T, 0, scale * basis.rcut)


@pytest.mark.parametrize("improper", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_rotations_and_reflections(name, improper):
    """E(Q r) = E(r), F(Q r) = Q F(r), W(Q r) = Q W(r) Qᵀ."""
    atoms, basis = system(name, order=3, totaldegree=[6, 4, 3])
    function = random_function(basis)
    Q = random_orthogonal(np.random.default_rng(8), improper)
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ Q.T, scale_atoms=False)
    turned.positions = atoms.positions @ Q.T
    before, after = function.evaluate_with_gradients(atoms), function.evaluate_with_gradients(turned)
    scale = 10 * scale_of(function, atoms)
    assert_close(after.energies, before.energies, scale)
    assert_close(after.forces, before.forces @ Q.T, scale)
    assert_close(after.virial, Q @ before.virial @ Q.T, scale * basis.rcut)


def test_one_cell_and_many():
    """A supercell repeats energies and forces; its virial is that of the cells together."""
    atoms, basis = system("skewed cell", order=3, totaldegree=[6, 4, 3])
    function = random_function(basis)
    once, many = function.evaluate_with_gradients(atoms), function.evaluate_with_gradients(atoms.repeat((2, 1, 3)))
    scale = 10 * scale_of(function, atoms)
    assert_close(many.energies, np.tile(once.energies, 6), scale)
    assert_close(many.forces, np.tile(once.forces, (6, 1)), scale)
    assert_close(many.virial, 6 * once.virial, 6 * scale * basis.rcut)


def test_a_pair_potential_in_closed_form():
    """One canonical function of order one: E_i = θ/√4π Σ_j f(r), with f = (1 − r/r_c)² by the envelope alone."""
    basis = ACEBasis(
        ["Cu"], radial=PolynomialRadialBasis(4.0, envelope=PolynomialEnvelope(2)), functions=[[("Cu", 0, 0)]]
    )
    theta, r = 3.0, 2.5
    atoms = Atoms("Cu2", [(0, 0, 0), (0, 0, r)])
    result = LinearFunction(basis, [theta]).evaluate_with_gradients(atoms)
    c = theta / np.sqrt(4 * np.pi)
    slope = 2 * c * -2 / 4.0 * (1 - r / 4.0)  # of the energy of both
    np.testing.assert_allclose(result.energies, c * (1 - r / 4.0) ** 2, rtol=1e-14)
    np.testing.assert_allclose(result.forces, [(0, 0, slope), (0, 0, -slope)], rtol=1e-14)
    np.testing.assert_allclose(result.virial, np.diag([0, 0, -slope * r]), rtol=1e-14)


@pytest.mark.parametrize("name", RADIAL)
def test_radial_functions(name):
    basis = ACEBasis(["Cu", "Zr"], radial=RADIAL[name], order=3, totaldegree=[5, 4, 3])
    atoms = two_species()
    function = random_function(basis)
    expected = (basis.descriptors(atoms) * weights_of_atoms(function, atoms)).sum(axis=1)
    assert_close(function.evaluate(atoms), expected, scale_of(function, atoms))
    assert_derivatives(function, atoms)
