"""Rows of a fit against labels of known models and against finite differences; constraint and prior; workers."""

import numpy as np
import pytest
from ase import Atoms
from cases.regression import E0S, known_model, labeled_by, strained_crystals

from acepure import ACEBasis, IdealGas
from acepure.features.linear import features_of_isolated_atoms
from acepure.fitting import resolve_weights
from acepure.fitting.design import Design, assemble
from acepure.fitting.priors import SmoothnessPrior, resolve_prior
from acepure.fitting.solvers import solve
from acepure.fitting.system import unknowns
from acepure.models.repulsion import ZBLCore


def basis_of(species, **arguments):
    return ACEBasis(species, order=2, totaldegree=3, **arguments)


@pytest.mark.parametrize("species", [["Cu"], ["Cu", "Zr"]])
@pytest.mark.parametrize("core", [None, ZBLCore(1.0, 2.6)])
def test_rows_times_the_true_coefficients_are_the_labels(species, core):
    basis = basis_of(species)
    function = known_model(basis)
    labeled = labeled_by(function, strained_crystals(species, 3), core=core)
    weights = resolve_weights({"energy": 7.0, "forces": 0.5, "virial": 3.0})
    design = Design(basis, weights, E0S, core)
    coefficients = np.hstack([np.zeros((len(species), 1)), function.coefficients]).ravel()
    for item in labeled:
        rows = design.rows(item)
        assert len(rows) == design.n_rows(item) == 1 + 3 * len(item.atoms) + (6 if item.virial is not None else 0)
        np.testing.assert_allclose(rows[:, :-1] @ coefficients, rows[:, -1], rtol=1e-11, atol=1e-11)


def test_weights_are_those_of_the_documented_sum():
    """|rows · θ|² = w_E²/N E² + w_F² ΣF² + w_V²/N ΣW²."""
    basis = basis_of(["Cu"])
    function = known_model(basis)
    item = labeled_by(function, strained_crystals(["Cu"], 1))[1]
    design = Design(basis, resolve_weights((7.0, 0.5, 3.0)), E0S)
    labels = design.rows(item)[:, -1]
    n = len(item.atoms)
    energy = item.energy - n * E0S["Cu"]
    expected = 49 / n * energy**2 + 0.25 * (item.forces**2).sum() + 9 / n * (item.virial**2).sum()
    assert labels @ labels == pytest.approx(expected, rel=1e-12)


def test_labels_without_weight_give_no_rows():
    basis = basis_of(["Cu"])
    item = labeled_by(known_model(basis), strained_crystals(["Cu"], 1))[1]
    n = len(item.atoms)
    for weights, n_rows in (((1, 0, 0), 1), ((0, 1, 0), 3 * n), ((0, 0, 1), 6), ((1, 0, 1), 7)):
        design = Design(basis, resolve_weights(weights), E0S)
        full = Design(basis, resolve_weights((1, 1, 1)), E0S).rows(item)
        rows = design.rows(item)
        assert len(rows) == design.n_rows(item) == n_rows
        assert {tuple(row) for row in rows} <= {tuple(row) for row in full}


def test_triangle_is_that_of_all_rows_whatever_the_number_of_workers():
    basis = basis_of(["Cu"])
    labeled = labeled_by(known_model(basis), strained_crystals(["Cu"], 40))
    design = Design(basis, resolve_weights(), E0S)
    triangle = assemble(design, labeled)
    rows = np.vstack([design.rows(item) for item in labeled])
    assert triangle.n_rows == len(rows)
    np.testing.assert_allclose(triangle.R.T @ triangle.R, rows.T @ rows, rtol=1e-10, atol=1e-8)
    again = assemble(design, labeled, workers=2)
    np.testing.assert_array_equal(triangle.R, again.R)
    np.testing.assert_array_equal(assemble(design, labeled, num_threads=1).R, triangle.R)


def test_nothing_to_fit():
    basis = basis_of(["Cu"])
    labeled = labeled_by(known_model(basis), strained_crystals(["Cu"], 2), virials=False)
    with pytest.raises(ValueError, match="nothing to fit"):
        assemble(Design(basis, resolve_weights((0, 0, 1)), E0S), labeled)


@pytest.mark.parametrize("canonical", [True, False])
@pytest.mark.parametrize("prior", [None, "algebraic", SmoothnessPrior("exponential", 0.2, order=3.0)])
def test_unknowns_span_the_coefficients_with_isolated_atoms_right(canonical, prior):
    basis = basis_of(["Cu", "Zr"], canonical=canonical).centered(IdealGas(0.05))
    prior = resolve_prior(prior)
    T = unknowns(basis, prior).T
    vacuum = features_of_isolated_atoms(basis)
    assert abs(vacuum).max() > 0.1
    constraint = np.zeros((2, len(T)))
    n = 1 + len(basis)
    for z in range(2):
        constraint[z, z * n : (z + 1) * n] = [1.0, *vacuum[z]]
    np.testing.assert_allclose(constraint @ T, 0.0, atol=1e-10)
    assert T.shape == (2 * n, 2 * n - 2)
    # |Γθ| = |u|: the scaled coefficients are an orthonormal image of the unknowns.
    scaled = np.tile([1.0, *prior.scales(basis)], 2)[:, None] * T
    np.testing.assert_allclose(scaled.T @ scaled, np.eye(2 * n - 2), atol=1e-12)


def test_canonical_constants_are_dropped():
    T = unknowns(basis_of(["Cu"]), SmoothnessPrior("none")).T
    assert not T[0].any()
    np.testing.assert_array_equal(np.abs(T[1:]), np.eye(len(T) - 1))


def test_prior_by_hand():
    basis = ACEBasis(["Cu"], order=2, totaldegree=[3, 3], wL=1.5, n_start=1)
    for label, algebraic, exponential in zip(
        basis.labels,
        SmoothnessPrior("algebraic", 3, order=2.0).scales(basis),
        SmoothnessPrior("exponential", 0.5).scales(basis),
    ):
        degree = sum(n - 1 + 1.5 * l for n, l in zip(label.n, label.l))
        assert algebraic == pytest.approx(2.0 ** (label.order - 1) * (1 + degree) ** 3)
        assert exponential == pytest.approx(np.exp(0.5 * degree))


def test_ridge_with_a_prior_is_the_penalized_least_squares():
    """min |Xθ − y|² + λ|Γθ|², solved densely, for a canonical basis."""
    basis = basis_of(["Cu"])
    labeled = labeled_by(known_model(basis), strained_crystals(["Cu"], 6), noise=0.05)
    design = Design(basis, resolve_weights(), E0S)
    prior = SmoothnessPrior("algebraic", 2)
    coordinates = unknowns(basis, prior)
    problem = coordinates.problem(assemble(design, labeled))
    solution = solve(problem, "ridge", alpha=1e-3)
    rows = np.vstack([design.rows(item) for item in labeled])
    X, y = rows[:, 1:-1], rows[:, -1]
    expected = np.linalg.solve(X.T @ X + solution.lam * np.diag(prior.scales(basis) ** 2), X.T @ y)
    np.testing.assert_allclose(coordinates.coefficients(solution.u)[0], expected, rtol=1e-9)


@pytest.mark.parametrize("wrong", ["cubic", 3, SmoothnessPrior])
def test_wrong_priors(wrong):
    with pytest.raises((TypeError, ValueError), match=r"prior|form must be"):
        resolve_prior(wrong)


def test_isolated_atoms_in_the_labels_are_fitted_by_their_energy():
    basis = basis_of(["Cu"])
    item = labeled_by(known_model(basis), [Atoms("Cu")])[0]
    rows = Design(basis, resolve_weights(), E0S).rows(item)
    assert rows[0, -1] == 0.0
