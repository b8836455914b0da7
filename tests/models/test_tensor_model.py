"""Models of vectors and tensors: closed forms fitted to round-off, rotations, derivatives, refusals."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from oracles.structures import position_differences, random_environment, random_orthogonal

from acepure import ACEBasis, TensorModel
from acepure.fitting.tensors import with_irrep
from acepure.functions import LinearTransform, PolynomialEnvelope, PolynomialRadialBasis

RCUT = 5.0
#: f(r) = (1 − r/rcut)² times polynomials of r
RADIAL = PolynomialRadialBasis(RCUT, LinearTransform(), PolynomialEnvelope(2))
BASIS = ACEBasis(["Cu", "Zr"], radial=RADIAL, order=1, n_max=5, l_max=2)


def structures(n=12, seed=0):
    rng = np.random.default_rng(seed)
    result = []
    for _ in range(n):
        atoms = Atoms(["Cu", *rng.choice(["Cu", "Zr"], 5)], [(0, 0, 0), *random_environment(rng, 5, 4.0)])
        atoms.info["mu"], atoms.info["alpha"] = bond_dipole(atoms), bond_polarizability(atoms)
        result.append(atoms)
    return result


def bonds(atoms):
    for i, j in np.argwhere(~np.eye(len(atoms), dtype=bool)):
        d = atoms.positions[j] - atoms.positions[i]
        r = np.linalg.norm(d)
        if r < RCUT:
            x = 2 * r / RCUT - 1
            yield atoms.symbols[i], atoms.symbols[j], d / r, (1 - r / RCUT) ** 2 * np.array([1, x, 2 * x * x - 1])


def bond_dipole(atoms):
    """Σ_ij q_ab(r_ij) r̂_ij, of charges that depend on the species and the distance."""
    return sum(
        (((0.3, -0.2, 0.1) if a == "Cu" else (-0.1, 0.7, 0.2)) @ f) * (1 if b == "Cu" else -2) * u
        for a, b, u, f in bonds(atoms)
    )


def bond_polarizability(atoms):
    """Σ_ij α(r_ij) (3 r̂ r̂ − 1) + isotropic terms of atoms and bonds."""
    counts = 1.5 * (atoms.symbols == "Cu").sum() + 2.5 * (atoms.symbols == "Zr").sum()
    return counts * np.eye(3) + sum(
        (f @ (0.4, 0.1, -0.3)) * (3 * np.outer(u, u) - np.eye(3)) + (f @ (0.2, 0.0, 0.6)) * np.eye(3)
        for a, b, u, f in bonds(atoms)
    )


TRAIN, TEST = structures(40), structures(5, seed=1)


@pytest.mark.parametrize("target, rank", [("mu", "vector"), ("alpha", "symmetric"), ("alpha", "matrix")])
def test_closed_forms_are_fitted_to_round_off(target, rank):
    basis = BASIS if rank != "matrix" else ACEBasis(["Cu", "Zr"], radial=RADIAL, order=2, n_max=[5, 1], l_max=[2, 1])
    model = TensorModel.fit(TRAIN, basis, target=target, rank=rank, solver="qr", prior=None)
    for atoms in TEST:
        expected = atoms.info[target]
        np.testing.assert_allclose(model.predict(atoms).total, expected, atol=1e-10 * abs(expected).max())
    errors = model.errors(TEST, target)
    assert all(errors.rmse[irrep] < 1e-9 for irrep in errors.rmse) and "RMSE" in str(errors)


@pytest.mark.parametrize("rank, target", [("vector", "mu"), ("symmetric", "alpha")])
def test_predictions_turn_and_have_exact_derivatives(rank, target):
    basis = ACEBasis(["Cu", "Zr"], radial=RADIAL, order=2, totaldegree=3)
    model = TensorModel.fit(TRAIN, basis, target=target, rank=rank)
    atoms, Q = TEST[0].copy(), random_orthogonal(np.random.default_rng(4), True)
    total = model.predict(atoms).total
    derivatives = model.derivatives(atoms)
    differences = position_differences(lambda structure: model.predict(structure).total, atoms)
    assert derivatives.shape == (len(atoms), 3, *total.shape)
    np.testing.assert_allclose(derivatives, differences, rtol=0, atol=1e-11 * abs(differences).max())
    np.testing.assert_allclose(derivatives.sum(axis=0), 0, atol=1e-12 * abs(derivatives).max())
    atoms.positions = atoms.positions @ Q.T
    turned = Q @ total if rank == "vector" else Q @ total @ Q.T
    np.testing.assert_allclose(model.predict(atoms).total, turned, rtol=0, atol=1e-12 * abs(total).max())


def test_fit_does_not_depend_on_orientation():
    rng = np.random.default_rng(2)
    turned = []
    for atoms in TRAIN[:20]:
        Q = random_orthogonal(rng)
        turned.append(Atoms(atoms.symbols, atoms.positions @ Q.T, info={"mu": Q @ atoms.info["mu"]}))
    basis = ACEBasis(["Cu", "Zr"], radial=RADIAL, order=2, totaldegree=2)
    first, second = (TensorModel.fit(s, basis, target="mu", solver="ridge") for s in (TRAIN[:20], turned))
    total = first.predict(TEST[0]).total
    np.testing.assert_allclose(second.predict(TEST[0]).total, total, rtol=0, atol=1e-6 * abs(total).max())


def test_targets_of_atoms_and_of_calculators():
    labeled = []
    for atoms in TRAIN[:25]:
        atoms = Atoms(atoms.symbols, atoms.positions)
        pairs = [(i, j) for i in range(len(atoms)) for j in range(len(atoms)) if i != j]
        field = np.zeros((len(atoms), 3))
        for i, j in pairs:
            d = atoms.positions[j] - atoms.positions[i]
            field[i] += max(0.0, 1 - np.linalg.norm(d) / RCUT) ** 2 * d / np.linalg.norm(d)
        atoms.arrays["field"] = field
        atoms.calc = SinglePointCalculator(atoms, dipole=field.sum(axis=0))
        labeled.append(atoms)
    model = TensorModel.fit(labeled[:20], BASIS, target="field", per="atom", solver="qr", prior=None)
    np.testing.assert_allclose(model.predict(labeled[-1]).atoms, labeled[-1].arrays["field"], atol=1e-11)
    of_sum = TensorModel.fit(labeled[:20], BASIS, target="dipole", solver="svd", prior=None)
    assert of_sum.errors(labeled[20:], "dipole").rmse["1o"] == pytest.approx(0, abs=1e-6)
    for atoms in TRAIN:
        atoms.info["trace"] = float(np.trace(atoms.info["alpha"]))
    scalar = TensorModel.fit(TRAIN, BASIS, target="trace", rank="scalar", solver="qr", prior=None)
    assert scalar.predict(TEST[0]).total == pytest.approx(np.trace(TEST[0].info["alpha"]), rel=1e-9)
    assert scalar.predict(TEST[0]).total.shape == ()


def test_refusals():
    periodic = TRAIN[0].copy()
    periodic.set_cell(np.eye(3) * 20)
    periodic.pbc = True
    cases = [
        ([periodic], {"target": "mu"}, "periodic"),
        (TRAIN[:2], {"target": "nu"}, "has no 'nu'"),
        (TRAIN[:2], {"target": "alpha"}, "must have the shape"),
        (TRAIN[:2], {"target": "mu", "rank": "spinor"}, "rank"),
        (TRAIN[:2], {"target": "mu", "per": "bond"}, "per"),
        (TRAIN[:2], {"target": "mu", "solver": "magic"}, "solver"),
        ([Atoms("Ni")], {"target": "mu"}, "Ni"),
    ]
    for given, arguments, words in cases:
        with pytest.raises(ValueError, match=words):
            TensorModel.fit(given, BASIS, **arguments)
    with pytest.raises(ValueError, match="one each of 0e, 2e"):
        TensorModel([BASIS], [np.zeros((2, len(BASIS)))], "symmetric")
    with pytest.raises(ValueError, match="constants"):
        vector = with_irrep(BASIS, "1o")
        TensorModel([vector], [np.zeros((2, len(vector)))], "vector", constants=[1.0, 1.0])
