"""Structures left out in closed form are those of explicit fits without them."""

import numpy as np
import pytest
from cases.regression import known_model, labeled_by, strained_crystals

from acepure import ACEBasis, IdealGas, LinearACE
from acepure.fitting import label_structures
from acepure.fitting.design import Design
from acepure.fitting.leave_out import left_out
from acepure.fitting.priors import SmoothnessPrior
from acepure.fitting.system import unknowns
from acepure.fitting.weights import resolve_weights
from acepure.models.repulsion import ZBLCore

QUIET = {"verbose": False, "progress": False, "check": False, "calibrate_by": None}
ALPHA = 1e-6
WEIGHTS = {"default": (30, 1, 0.5), "soft": (3, 0.2, 0.1)}


@pytest.mark.parametrize("m", [1, 4, 9, 10, 25])
def test_left_out_is_a_fit_of_the_other_rows(m):
    rng = np.random.default_rng(m)
    n, lam = 10, 0.3
    X, y = rng.standard_normal((60, n)), rng.standard_normal(60)

    def fit(rows):
        P = X[rows].T @ X[rows] + lam * np.eye(n)
        return np.linalg.solve(P, X[rows].T @ y[rows]), np.linalg.inv(P)

    u, inverse = fit(slice(None))
    residuals, variances = left_out(X[:m] @ np.linalg.cholesky(inverse), y[:m] - X[:m] @ u)
    u_out, inverse_out = fit(slice(m, None))
    np.testing.assert_allclose(residuals, y[:m] - X[:m] @ u_out, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(variances, np.diag(X[:m] @ inverse_out @ X[:m].T), rtol=1e-11)


def test_what_nothing_else_determines_is_not_a_number():
    assert np.isnan(left_out(np.eye(2), np.ones(2))).all()
    assert [len(x) for x in left_out(np.empty((0, 3)), np.empty(0))] == [0, 0]


def labeled_set(species, core=None):
    basis = ACEBasis(species, order=2, totaldegree=4)
    structures = strained_crystals(species, 9)
    for k, atoms in enumerate(structures):
        atoms.info.update(config_type="soft" if k % 3 else "hard", run=f"run {k // 4}")
    structures[-1] = structures[-1][:2]  # fewer rows than unknowns, as the others have more with one species
    labeled = labeled_by(known_model(basis), structures, noise=0.05, core=core)
    del structures[3].info["REF_energy"], structures[4].arrays["REF_forces"], structures[5].info["REF_virial"]
    return basis, label_structures(list(structures)) if labeled else None


def refit(model, labeled, left):
    """Errors and variances of the weighted rows of some structures in a fit to all others, densely."""
    design = Design(model.basis, resolve_weights(WEIGHTS), model.E0s, model.core)
    rows = [design.rows(item) for item in labeled]
    T = unknowns(model.basis, SmoothnessPrior("algebraic", 2)).T
    everything = np.vstack(rows)
    X = everything[:, :-1] @ T
    lam = ALPHA * np.linalg.norm(X, 2) ** 2
    kept = np.concatenate([np.full(len(part), k not in left) for k, part in enumerate(rows)])
    P = X[kept].T @ X[kept] + lam * np.eye(X.shape[1])
    u = np.linalg.solve(P, X[kept].T @ everything[kept, -1])
    predicted = {k: (part[:, :-1] @ T @ u - part[:, -1]) for k, part in enumerate(rows)}
    variances = {
        k: np.einsum("mn,nm->m", part[:, :-1] @ T, np.linalg.solve(P, (part[:, :-1] @ T).T))
        for k, part in enumerate(rows)
    }
    return {k: (predicted[k], variances[k]) for k in left}


def weighted(found, labeled, k):
    """Errors and variances of a structure as weighted rows again."""
    item = labeled[k]
    factors = resolve_weights(WEIGHTS).row_factors(item.config_type, len(item.atoms))
    errors, variances = [], []
    for quantity, factor in zip(("energy", "forces", "virial"), factors):
        mask = found[quantity].structures == k
        e, v = found[quantity].errors[mask] * factor, found[quantity].variances[mask] * factor**2
        if quantity == "virial" and mask.any():
            upper, twice = [0, 1, 2, 4, 5, 8], np.array([1, 2, 2, 1, 2, 1])
            e, v = e[:, upper] * np.sqrt(twice), v[:, upper] * twice
        errors.append(e.ravel())
        variances.append(v.ravel())
    return np.concatenate(errors), np.concatenate(variances)


@pytest.mark.parametrize(
    ("species", "reference", "core"),
    [(["Cu"], None, None), (["Cu"], IdealGas(0.08), None), (["Cu", "Zr"], "density", ZBLCore(1.0, 2.6))],
    ids=["one", "centered", "two"],
)
@pytest.mark.parametrize("by", ["structure", "config_type", "run", "given"])
def test_structures_left_out_are_those_of_refits(species, reference, core, by):
    basis, labeled = labeled_set(species, core)
    arguments = {"weights": WEIGHTS, "solver": "ridge", "options": {"alpha": ALPHA}, "core": core}
    model = LinearACE.fit(labeled, basis, reference=reference, **arguments, **QUIET)
    noise = model.report["regression"]["noise"]
    given = [f"g{k % 3}" for k in range(len(labeled))]
    found = model.leave_out(labeled, by=given if by == "given" else by)
    groups = {}
    for k, item in enumerate(labeled):
        names = {"structure": k, "config_type": item.config_type, "run": item.atoms.info["run"], "given": given[k]}
        name = names[by]
        groups.setdefault(name, set()).add(k)
    for left in groups.values():
        for k, (errors, variances) in refit(model, labeled, left).items():
            ours, spread = weighted(found, labeled, k)
            np.testing.assert_allclose(ours, errors, rtol=1e-8, atol=1e-9)
            np.testing.assert_allclose(spread, noise**2 * variances, rtol=1e-8, atol=1e-12)
