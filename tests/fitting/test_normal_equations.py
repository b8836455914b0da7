"""Fits by normal equations against dense least squares, and functions that are zero in all structures."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from acepure import ACEBasis, BondBasis, HamiltonianModel, IdealGas, LinearACE, LinearFunction, TensorModel
from acepure.errors import CoverageWarning, LargeBasisWarning
from acepure.fitting import normal_equations, resolve_weights
from acepure.fitting.design import Design
from acepure.fitting.fit import labeled_data
from acepure.fitting.normal_equations import solve_normal_equations
from acepure.fitting.occupancy import can_be_nonzero, neighbors_needed, without_impossible
from acepure.fitting.recipe_triangles import interleaved_folds

BASIS = ACEBasis(["Cu", "Au"], rcut=4.0, order=3, totaldegree=4)


def labeled_structures(n=8):
    rng = np.random.default_rng(1)
    structures = []
    for k in range(n):
        atoms = bulk("Cu", cubic=True) if k % 2 else Atoms("CuAu2", [[0, 0, 0], [0, 0, 2.5], [0, 2.4, 0.3]])
        atoms.symbols[0] = "Au" if k % 4 == 1 else "Cu"
        atoms.rattle(0.1, rng=rng)
        atoms.calc = EMT()
        stress = {"stress": atoms.get_stress()} if atoms.cell.rank == 3 else {}
        atoms.calc = SinglePointCalculator(
            atoms, energy=atoms.get_potential_energy(), forces=atoms.get_forces(), **stress
        )
        structures.append(atoms)
    return structures


@pytest.fixture(scope="module")
def problem():
    labeled = labeled_data(labeled_structures())
    design = Design(BASIS, resolve_weights((30, 1, 1)), {"Cu": 0.5, "Au": 0.2})
    rows = np.concatenate([design.rows(item) for item in labeled])
    return labeled, design, rows


def test_equal_to_ridge_in_scaled_columns(problem):
    labeled, design, rows = problem
    alpha = 1e-6
    found = solve_normal_equations(design, labeled, alpha=alpha, num_threads=2)
    features = np.concatenate([[False], np.ones(len(BASIS), dtype=bool)])
    X, y = rows[:, :-1][:, np.tile(features, 2)], rows[:, -1]
    length = np.linalg.norm(X, axis=0)
    kept = np.flatnonzero(length > 1e-13 * length.max())
    cosines = (X[:, kept] / length[kept]).T @ (X[:, kept] / length[kept])
    kept = kept[~(np.abs(np.triu(cosines, 1)) >= 1 - 1e-13).any(axis=0)]
    Z = X[:, kept] / length[kept]
    n = int(can_be_nonzero(BASIS, [item.atoms for item in labeled]).sum())
    u = np.linalg.lstsq(
        np.vstack([Z, np.sqrt(alpha * n) * np.eye(len(kept))]), np.append(y, np.zeros(len(kept))), rcond=None
    )[0]
    expected = np.zeros(X.shape[1])
    expected[kept] = u / length[kept]
    np.testing.assert_allclose(Z @ (found.coefficients.ravel()[kept] * length[kept]), Z @ u, atol=1e-8 * abs(y).max())
    np.testing.assert_allclose(found.coefficients.ravel(), expected, atol=1e-6 * abs(expected).max())
    covariance = np.linalg.inv(Z.T @ Z + alpha * n * np.eye(len(kept))) / np.outer(length[kept], length[kept])
    S = found.posterior.dense().reshape(X.shape[1], -1)[kept]
    np.testing.assert_allclose(S @ S.T / found.noise**2, covariance, atol=1e-6 * abs(covariance).max())


@pytest.mark.parametrize("reason", ["not positive", "lost digits"])
def test_falls_back_to_qr(problem, monkeypatch, reason):
    """Least squares of all rows in scaled columns, with a ridge too small for G."""
    labeled, design, rows = problem
    alpha = 1e-30 if reason == "not positive" else 1e-9
    if reason == "lost digits":
        monkeypatch.setattr(normal_equations, "_UNTRUSTED", -1.0)
    found = solve_normal_equations(design, labeled, alpha=alpha, num_threads=1)
    text = next(line for line in found.summary if line.startswith("QR of all rows, because of"))
    assert reason in text
    S = found.posterior
    columns = np.concatenate([[False], np.ones(len(BASIS), dtype=bool)])
    X, y = rows[:, :-1][:, np.tile(columns, 2)][:, S.columns], rows[:, -1]
    d, lam = S.scales / found.noise, alpha * S.shape[2]
    Z = X * d
    stacked = np.vstack([Z, np.sqrt(lam) * np.eye(len(d))])
    u = np.linalg.lstsq(stacked, np.append(y, np.zeros(len(d))), rcond=1e-18)[0]
    theta = found.coefficients.ravel()[S.columns]
    least = np.sum((y - Z @ u) ** 2) + lam * u @ u
    assert found.noise**2 * found.n_rows == pytest.approx(least, rel=1e-6)
    assert np.sum((y - X @ theta) ** 2) <= least * (1 + 1e-6)
    if reason == "lost digits":
        np.testing.assert_allclose(X @ theta, Z @ u, rtol=0, atol=1e-8 * abs(y).max())
        P = Z.T @ Z + lam * np.eye(len(d))
        root = S.dense().reshape(-1, len(d))[S.columns]
        covariance = found.noise**2 * np.linalg.inv(P) * np.outer(d, d)
        np.testing.assert_allclose(root @ root.T, covariance, rtol=0, atol=1e-5 * abs(covariance).max())


def test_says_what_to_do_where_memory_is_short_for_qr(problem, monkeypatch):
    labeled, design, _ = problem
    monkeypatch.setattr(normal_equations, "_SHARE", 0.0)
    with pytest.raises(np.linalg.LinAlgError, match="not positive for this alpha; QR of the rows would need"):
        solve_normal_equations(design, labeled, alpha=1e-30)
    monkeypatch.setattr(normal_equations, "_UNTRUSTED", -1.0)
    with pytest.warns(LargeBasisWarning, match="digits lost in the normal equations matter: .* take fewer functions"):
        found = solve_normal_equations(design, labeled, alpha=1e-6)
    assert found.posterior is None and "is in a file, for want of memory" in found.summary[-1]


def test_gradient_from_structures_equals_that_of_rows(problem):
    labeled, design, _ = problem
    theta = np.random.default_rng(0).normal(size=(2, len(BASIS)))
    padded = np.concatenate([np.zeros((2, 1)), theta], axis=1).ravel()
    for item in labeled:
        rows = design.rows(item)
        residuals = rows[:, -1] - rows[:, :-1] @ padded
        squares, gradient = design.gradient(item, LinearFunction(BASIS, theta))
        expected = (rows[:, :-1].T @ residuals).reshape(2, -1)[:, 1:]
        np.testing.assert_allclose(squares, residuals @ residuals, rtol=1e-11)
        np.testing.assert_allclose(gradient, expected, atol=1e-11 * abs(expected).max())


def test_possible_functions_are_those_that_are_not_zero():
    """By the features themselves; three atoms have no four-body terms."""
    structures = [molecule("CH3CH2OH"), molecule("H2O")]
    for atoms in structures:  # symmetry makes others zero too
        atoms.rattle(0.1, seed=1)
    for canonical in (True, False):
        basis = ACEBasis(["C", "H", "O"], rcut=5.0, order=3, totaldegree=5, canonical=canonical)
        features = np.concatenate([basis.descriptors(atoms) for atoms in structures])
        species = np.concatenate([basis.species_indices(atoms) for atoms in structures])
        for z, possible in enumerate(can_be_nonzero(basis, structures)):
            size = abs(features[species == z]).max(axis=0)
            np.testing.assert_array_equal(possible, size > 1e-12 * size.max())
            assert possible.any() and not (canonical and possible.all())


def flat(label):
    return label.species, label.n, label.l, label.coupling


@pytest.mark.parametrize("explicit", [False, True])
@pytest.mark.parametrize("canonical", [False, True])
def test_impossible_functions_are_not_built(canonical, explicit):
    """What is left has the same bits; what is gone is zero at all centers."""
    structures = [molecule("CH3CH2OH"), molecule("H2O")]
    for atoms in structures:
        atoms.rattle(0.1, seed=1)
    basis = ACEBasis(["C", "H", "N", "O"], rcut=5.0, order=3, totaldegree=5, canonical=canonical)
    if explicit:
        functions = dict.fromkeys(tuple(zip(label.species, label.n, label.l)) for label in basis.labels)
        basis = ACEBasis(basis.species, rcut=5.0, functions=functions, canonical=canonical)
    smaller = without_impossible(basis, structures)
    index = {flat(label): k for k, label in enumerate(basis.labels)}
    kept = [index[flat(label)] for label in smaller.labels]
    assert kept == sorted(kept) and len(index) == len(basis)
    gone = np.setdiff1d(np.arange(len(basis)), kept)
    for atoms in structures:
        features = basis.descriptors(atoms)
        np.testing.assert_array_equal(smaller.descriptors(atoms), features[:, kept])
        assert abs(features[:, gone]).max() < 1e-12 * abs(features).max()
    # By hand: in ethanol a C has six H, an H two C and one O.
    needed, limits = neighbors_needed(basis), [6, 2, 0, 1] if canonical else [1, 1, 0, 1]
    np.testing.assert_array_equal(kept, np.flatnonzero((needed <= limits).all(axis=1)))
    copper = ACEBasis(["Cu"], canonical=canonical)
    assert without_impossible(copper, [bulk("Cu")]) is copper


def test_bases_without_possible_functions_are_refused():
    with pytest.raises(ValueError, match=r"structures hold no two atoms within .* Å: every function is zero"):
        without_impossible(BASIS, [Atoms("Cu")])
    pairs = ACEBasis(["Cu"], functions=[[(0, 0), (1, 0)]])
    with pytest.raises(ValueError, match=r"none of the 1 functions has at most \{'Cu': 1\} factors"):
        without_impossible(pairs, [Atoms("Cu2", [[0, 0, 0], [0, 0, 2.5]])])


def test_fits_build_no_impossible_functions():
    """The potential is that of all functions."""
    structures = labeled_structures(6)[::2]
    options = {"E0s": 0, "calibrate_by": None, "verbose": False, "check": False, "core": None}
    with pytest.warns(CoverageWarning, match="no structure holds Cu-Cu"):
        found = LinearACE.fit(structures, BASIS, solver="cholesky", options={"alpha": 1e-6}, **options)
    assert len(found.basis) < len(BASIS)
    labeled = labeled_data(structures)
    all_functions = solve_normal_equations(Design(BASIS, resolve_weights(None), found.E0s), labeled, alpha=1e-6)
    expected = LinearACE(BASIS, all_functions.coefficients)
    for atoms in structures:
        np.testing.assert_allclose(found.evaluate(atoms).forces, expected.evaluate(atoms).forces, atol=1e-9)


def test_regularization_is_chosen_on_structures_left_out(monkeypatch):
    """The result is that of the alpha that was chosen, in memory or in a file, with any number of threads."""
    structures = labeled_structures(12)
    basis = ACEBasis(["Cu", "Au"], rcut=4.0, order=2, totaldegree=5)
    options = {"E0s": 0, "calibrate_by": None, "verbose": False, "check": False}
    chosen = LinearACE.fit(structures, basis, solver="cholesky", **options)
    text = next(line for line in chosen.report["summary"] if "chosen by" in line)
    alpha = float(text.split()[1])
    assert alpha in normal_equations.ALPHAS
    fixed = LinearACE.fit(structures, basis, solver="cholesky", options={"alpha": alpha}, **options)
    assert not any("no errors of folds" in line for line in fixed.report["summary"])
    folds = LinearACE.fit(structures, basis, solver="cholesky", options={"alpha": alpha}, folds=3, **options)
    assert "no errors of folds left out, which this solver does not have" in folds.report["summary"]
    for atoms in structures:
        np.testing.assert_allclose(chosen.evaluate(atoms).forces, fixed.evaluate(atoms).forces, atol=1e-6)
    monkeypatch.setattr(normal_equations, "_SHARE", 0.0)  # in a file
    again = LinearACE.fit(structures, basis, solver="cholesky", num_threads=2, **options)
    np.testing.assert_array_equal(again.coefficients, chosen.coefficients)


def test_functions_of_structures_left_out_are_fitted_too():
    """Gold is nowhere but in the structure that is left out to choose alpha: its functions count all the same."""
    structures = [Atoms("Au2", [[0, 0, 0], [0, 0, 2.4]], info={"config_type": "gold"}), *labeled_structures(8)[::2]]
    for atoms in structures[1:]:
        atoms.symbols[:] = "Cu"
    for atoms in structures:
        atoms.calc = EMT()
        atoms.calc = SinglePointCalculator(atoms, energy=atoms.get_potential_energy(), forces=atoms.get_forces())
    labeled = labeled_data(structures)
    assert interleaved_folds([item.config_type for item in labeled], len(labeled))[0].tolist().count(0) == 1
    design = Design(BASIS, resolve_weights((30, 1, 1)), {"Cu": 0.5, "Au": 0.2})
    chosen = solve_normal_equations(design, labeled)
    alpha = float(next(line for line in chosen.summary if "chosen by" in line).split()[1])
    fixed = solve_normal_equations(design, labeled, alpha=alpha)
    for item in labeled:
        X = design.rows(item)[:, :-1].reshape(-1, 2, 1 + len(BASIS))[:, :, 1:]
        found, expected = (np.einsum("rzk,zk->r", X, s.coefficients) for s in (chosen, fixed))
        np.testing.assert_allclose(found, expected, atol=1e-5 * abs(expected).max())


def test_large_bases_take_it_by_default(monkeypatch):
    monkeypatch.setattr(normal_equations, "LARGEST", 10)
    basis = ACEBasis(["Cu", "Au"], rcut=4.0, order=2, totaldegree=4)
    model = LinearACE.fit(labeled_structures(), basis, E0s=0, verbose=False, check=False)
    assert any(line.startswith("Cholesky") for line in model.report["summary"]) and model.basis.reference is None
    assert model.calibration is not None or model.posterior is not None


def test_refusals(problem):
    _, design, _ = problem
    with pytest.raises(ValueError, match="one structure"):
        solve_normal_equations(design, labeled_data(labeled_structures(1)))
    with pytest.raises(TypeError, match="it takes alpha"):
        LinearACE.fit(labeled_structures(), BASIS, solver="cholesky", options={"rcond": 1e-3}, verbose=False)
    with pytest.raises(ValueError, match="zero at isolated atoms"):
        LinearACE.fit(labeled_structures(), BASIS.centered(IdealGas(0.05)), solver="cholesky", verbose=False)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_labels_that_are_all_zero_have_coefficients_that_are():
    structures = [Atoms("Cu2", [[0, 0, 0], [0, 0, d]], info={"energy": 0.0}) for d in (2.2, 2.4, 2.6)]
    for atoms in structures:
        atoms.arrays["forces"] = np.zeros((2, 3))
    design = Design(BASIS, resolve_weights((30, 1, 1)), {"Cu": 0.0, "Au": 0.0})
    found = solve_normal_equations(design, labeled_data(structures))
    assert not found.coefficients.any() and found.noise == 0


def test_refused_where_a_triangle_is_needed():
    """Before any work: there is nothing to read."""
    given = {"solver": "cholesky"}
    atoms, bonds = ACEBasis(["H"], order=1), BondBasis(["H"], 2.0, order=1)
    for fit in (
        lambda: LinearACE.fit_orders(labeled_structures(1), 1, BASIS, E0s=0, verbose=False, **given),
        lambda: TensorModel.fit([Atoms("H", info={"mu": np.zeros(3)})], atoms, target="mu", **given),
        lambda: HamiltonianModel.fit([], atoms, bonds, orbitals={"H": "s"}, target="H", **given),
    ):
        with pytest.raises(ValueError, match=r"solver 'cholesky' is for LinearACE\.fit alone; choose one of auto, qr"):
            fit()


def test_pruned_models_stay_within_their_bounds():
    """Changes are below the bounds, and many coefficients are gone."""
    structures = labeled_structures()
    rng = np.random.default_rng(0)
    model = LinearACE(BASIS, rng.normal(size=(2, len(BASIS))) * 10.0 ** rng.uniform(-6, 0, (2, len(BASIS))))
    bounds = {"energy": 2e-3, "forces": 1e-2}
    small = model.pruned(structures, **bounds)
    pairs = [(model.evaluate(atoms), small.evaluate(atoms), len(atoms)) for atoms in structures]
    energies = [(a.energy - b.energy) / n for a, b, n in pairs]
    forces = np.concatenate([(a.forces - b.forces).ravel() for a, b, _ in pairs])
    dropped = (small.coefficients == 0) & (model.coefficients != 0)
    assert 0 < np.sqrt(np.mean(np.square(energies))) <= bounds["energy"]
    assert 0 < np.sqrt(np.mean(forces**2)) <= bounds["forces"]
    assert 10 < dropped.sum() < dropped.size - 10 and "left out" in small.report["summary"][-1]
    with pytest.raises(ValueError, match="structures is empty"):
        model.pruned([])


def test_sizes_of_coefficients_by_models_of_one_alone():
    """In a centered basis, in which an isolated atom has features of its own."""
    basis = ACEBasis(["Cu", "Au"], rcut=4.0, order=2, totaldegree=2).centered(IdealGas(0.05))
    structures, rng = labeled_structures(3), np.random.default_rng(0)
    theta = rng.normal(size=(2, len(basis))) * 10.0 ** rng.uniform(-2, 0, (2, len(basis)))
    bounds = np.array([0.05, 0.5])
    relative = np.empty(theta.size)
    for k in range(theta.size):
        alone = LinearACE(basis, np.where(np.arange(theta.size) == k, theta.ravel(), 0.0).reshape(theta.shape))
        found = [(alone.evaluate(atoms), len(atoms)) for atoms in structures]
        energy = np.sqrt(np.mean([(result.energy / n) ** 2 for result, n in found]))
        forces = np.sqrt(np.mean(np.concatenate([result.forces.ravel() for result, _ in found]) ** 2))
        relative[k] = max(np.array([energy, forces]) / bounds)
    order = np.argsort(relative)
    dropped = order[np.cumsum(relative[order]) <= 1.0]
    expected = theta.ravel().copy()
    expected[dropped] = 0.0
    small = LinearACE(basis, theta).pruned(structures, energy=bounds[0], forces=bounds[1])
    assert 3 < len(dropped) < theta.size - 3
    np.testing.assert_array_equal(small.coefficients.ravel(), expected)
