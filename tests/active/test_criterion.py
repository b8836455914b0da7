"""The bias is what it says, and its forces and virial are its derivatives."""

import numpy as np
import pytest
from ase.build import bulk, molecule

from acepure import ACEBasis, LinearACE, LinearFunction
from acepure.active import BiasedPotential, relative_force_uncertainty
from acepure.features.linear import features_of_isolated_atoms
from acepure.models.repulsion import ZBLCore
from acepure.references import IdealGas


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    basis = ACEBasis(["Cu", "Au"], order=2, totaldegree=4, rcut=4.0).centered(IdealGas(0.05))
    shape = 2, len(basis)
    return LinearACE(
        basis,
        0.1 * rng.standard_normal(shape),
        {"Cu": -1.0, "Au": -2.0},
        core=ZBLCore(1.0, 2.9),
        posterior=0.03 * rng.standard_normal((*shape, 17)),
    )


@pytest.fixture
def atoms():
    result = bulk("Cu", cubic=True)
    result.symbols[::2] = "Au"
    result.rattle(0.2, seed=1)
    return result


def test_biased_energy_is_energy_minus_deviation(model, atoms):
    plain, sigma = model.evaluate(atoms), model.uncertainty(atoms).energy
    for tau in (0.0, 0.7):
        found = BiasedPotential(model, tau).evaluate(atoms)
        np.testing.assert_allclose(found.energy, plain.energy - tau * sigma, rtol=1e-12)
    np.testing.assert_allclose(BiasedPotential(model).sigma(atoms).energy, sigma, rtol=1e-12)


@pytest.mark.parametrize("pbc", [True, False])
def test_forces_and_virial_are_derivatives_of_the_biased_energy(model, atoms, pbc):
    atoms.pbc = pbc
    biased, h = BiasedPotential(model, 0.7), 1e-5
    found = biased.evaluate(atoms)

    def energy(positions, cell):
        moved = atoms.copy()
        moved.set_cell(cell)
        moved.positions = positions
        return biased.evaluate(moved).energy

    positions, cell = atoms.positions, atoms.cell.array
    for i, a in np.ndindex(2, 3):
        step = np.zeros_like(positions)
        step[i, a] = h
        slope = (energy(positions + step, cell) - energy(positions - step, cell)) / (2 * h)
        np.testing.assert_allclose(found.forces[i, a], -slope, atol=1e-7)
    for a, b in ((0, 0), (0, 1), (2, 1)):
        strain = np.zeros((3, 3))
        strain[a, b] = h
        up, down = np.eye(3) + strain.T, np.eye(3) - strain.T  # rows: r ↦ r (1 + ε)ᵀ
        slope = (energy(positions @ up, cell @ up) - energy(positions @ down, cell @ down)) / (2 * h)
        np.testing.assert_allclose(found.virial[a, b], -slope, atol=1e-6)


def test_bias_is_a_linear_function_with_weights_of_each_species(model, atoms):
    """v and θ_b from the formula, atom by atom."""
    basis, S = model.basis, model.posterior
    features = basis.descriptors(atoms)
    vacuum = features_of_isolated_atoms(basis)
    species = [basis.species.index(s) for s in atoms.symbols]
    v = sum(S[z].T @ (b - vacuum[z]) for z, b in zip(species, features))
    weights = np.array([S[z] @ v for z in range(2)]) / np.linalg.norm(v)
    expected = LinearFunction(basis, weights).evaluate_with_gradients(atoms)
    found = BiasedPotential(model).sigma(atoms)
    np.testing.assert_allclose(found.forces, expected.forces, atol=1e-12)
    np.testing.assert_allclose(found.virial, expected.virial, atol=1e-11)


def test_criterion_is_the_ratio_of_lengths(model):
    atoms = molecule("H2O")
    atoms.symbols = ["Au", "Cu", "Cu"]
    atoms.positions *= 2.2
    sigma = model.uncertainty(atoms).posterior.forces  # a model without calibration
    forces = model.evaluate(atoms).forces
    expected = [np.sqrt(3) * s / (np.sqrt(f @ f) + 0.3) for s, f in zip(sigma, forces)]
    np.testing.assert_allclose(relative_force_uncertainty(model, atoms, 0.3), expected, rtol=1e-12)


def test_no_bias_where_nothing_is_uncertain(model, atoms):
    sure = LinearACE(model.basis, model.coefficients, posterior=np.zeros((*model.coefficients.shape, 1)))
    found, plain = BiasedPotential(sure, 1.0).evaluate(atoms), sure.evaluate(atoms)
    np.testing.assert_allclose(found.forces, plain.forces, atol=1e-12)
    np.testing.assert_allclose(found.energy, plain.energy, rtol=1e-12)


def test_refusals(model):
    with pytest.raises(TypeError, match="model must be a LinearACE"):
        BiasedPotential(model.basis)
    with pytest.raises(ValueError, match="no posterior"):
        BiasedPotential(LinearACE(model.basis, model.coefficients))
    with pytest.raises(ValueError, match="tau must be a finite number >= 0"):
        BiasedPotential(model, -1)
    with pytest.raises(ValueError, match="epsilon must be a finite number > 0"):
        relative_force_uncertainty(model, molecule("H2O"), 0)
