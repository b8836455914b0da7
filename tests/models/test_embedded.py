"""EmbeddedACE: derivatives, the potential of an isolated atom, known embedded-atom potentials recovered, files."""

import re
from dataclasses import dataclass

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from acepure import ACEBasis, IdealGas, LinearACE
from acepure.errors import ModelFileError
from acepure.features.linear import LinearFunction
from acepure.fitting import label_structures, resolve_weights
from acepure.fitting.calibration import calibrate_fit
from acepure.fitting.design import Design
from acepure.fitting.embedded import EmbeddedDesign
from acepure.fitting.fit import fit_coefficients
from acepure.fitting.train_embedded import Problem, judged
from acepure.models.embedded import EmbeddedACE
from acepure.models.embedding import Embedding, Even, FinnisSinclair, Polynomial, SmoothRoot, Tanh, resolve_embedding
from acepure.models.linearization import EmbeddedFunction
from acepure.models.repulsion import ZBLCore

EMBEDDINGS = [FinnisSinclair(), FinnisSinclair(3, 0.3), SmoothRoot(), Even(3), Polynomial(), Tanh()]
ALLOY = ACEBasis(["Cu", "Au"], rcut=4.0, order=2, totaldegree=3).centered(IdealGas(0.05))


def alloy(seed=1):
    atoms = bulk("Cu", cubic=True)
    atoms.symbols[0] = "Au"
    atoms.rattle(0.1, seed=seed)
    return atoms


def random_model(embedding, seed=0, **arguments):
    theta = np.random.default_rng(seed).normal(size=(embedding.n_densities, 2, len(ALLOY))) * 0.1
    return EmbeddedACE(ALLOY, theta, embedding, {"Cu": -0.5, "Au": 0.3}, **arguments)


def labeled_by(model, structures):
    for atoms in structures:
        result = model.evaluate(atoms)
        stress = -result.virial[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] / atoms.get_volume()
        atoms.calc = SinglePointCalculator(atoms, energy=result.energy, forces=result.forces, stress=stress)
    return structures


@pytest.mark.parametrize("embedding", EMBEDDINGS, ids=repr)
def test_derivatives_of_embeddings(embedding):
    rho = np.random.default_rng(0).normal(size=(40, embedding.n_densities)) * 2
    h = 1e-6
    for p in range(embedding.n_densities):
        step = h * np.eye(embedding.n_densities)[p]
        rate = (embedding.value(rho + step) - embedding.value(rho - step)) / (2 * h)
        bent = (embedding.gradient(rho + step) - embedding.gradient(rho - step)) / (2 * h)
        np.testing.assert_allclose(embedding.gradient(rho)[:, p], rate, atol=1e-8)
        np.testing.assert_allclose(embedding.curvature(rho)[:, :, p], bent, atol=1e-8)
    assert (embedding.value(np.zeros((1, embedding.n_densities))) == 0).all()
    assert Embedding.from_dict(embedding.to_dict()) == embedding


def test_finnis_sinclair_is_a_root_far_away():
    """F of a large density is its m-th power; slope and value at 0 are those of the closed form."""
    for m in (0.3, 0.5, 0.8):
        F = FinnisSinclair(m=m)
        rho = np.array([[0.0, 1e4], [0.0, -1e4], [0.0, 0.0]])
        np.testing.assert_allclose(F.value(rho), [1e4**m, -(1e4**m), 0.0], atol=1e-12)
    assert FinnisSinclair().gradient(np.zeros((1, 2)))[0, 1] == pytest.approx(1.25, abs=1e-15)
    assert abs(FinnisSinclair().curvature(np.array([[0.0, 1e-12]]))[0, 1, 1]) == pytest.approx(1.375, abs=1e-9)


@pytest.mark.parametrize("embedding", [FinnisSinclair(), Even(3)], ids=repr)
def test_forces_and_virials_are_derivatives(embedding):
    model, atoms, h = random_model(embedding, core=ZBLCore(0.8, 1.6)), alloy(), 1e-5
    result = model.evaluate(atoms)
    rng = np.random.default_rng(3)
    motion, strain = rng.normal(size=(4, 3)), rng.normal(size=(3, 3))
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        deform = np.eye(3) + sign * h * strain
        moved.set_cell(atoms.cell @ deform.T)
        moved.positions = (atoms.positions + sign * h * motion) @ deform.T
        energies.append(model.evaluate(moved).energy)
    expected = -np.sum(result.forces * motion) - np.sum(result.virial * strain)
    assert (energies[0] - energies[1]) / (2 * h) == pytest.approx(expected, rel=1e-7)


def test_isolated_atoms_and_densities():
    model = random_model(FinnisSinclair())
    np.testing.assert_allclose([model.evaluate(Atoms(s)).energy for s in ("Cu", "Au")], [-0.5, 0.3], rtol=1e-13)
    atoms = alloy()
    rho = model.densities(atoms)
    energies = model.embedding.value(rho) + np.array([model.E0s[s] for s in atoms.symbols])
    np.testing.assert_allclose(model.evaluate(atoms).energies, energies, rtol=1e-13)


def test_first_density_alone_is_the_linear_model():
    theta = np.random.default_rng(0).normal(size=(2, 2, len(ALLOY)))
    theta[1] = 0.0
    embedded = EmbeddedACE(ALLOY, theta, "smooth-root", {"Cu": -0.5, "Au": 0.3})
    linear = LinearACE(ALLOY, theta[0], {"Cu": -0.5, "Au": 0.3})
    np.testing.assert_allclose(embedded.evaluate(alloy()).forces, linear.evaluate(alloy()).forces, atol=1e-12)
    assert embedded.evaluate(alloy()).energy == pytest.approx(linear.evaluate(alloy()).energy, abs=1e-11)


@pytest.mark.parametrize("embedding", EMBEDDINGS, ids=repr)
def test_gradients_and_rows(embedding):
    """Rows are derivatives of the errors; the gradient by one motion of the atoms is what the rows give."""
    item = label_structures(labeled_by(random_model(embedding, 5), [alloy()]))[0]
    design = Design(ALLOY, resolve_weights((30, 1, 2)), {"Cu": 0.1, "Au": 0.2})
    rng = np.random.default_rng(0)
    theta, change, h = *(rng.normal(size=(2, embedding.n_densities, 2, len(ALLOY))) * 0.1), 1e-6

    def at(theta):
        return EmbeddedDesign(design, EmbeddedFunction(embedding, LinearFunction(ALLOY, theta)))

    squares, gradient = at(theta).gradient(item)
    rows = at(theta).rows(item)
    X, r = rows[:, :-1], rows[:, -1]
    assert squares == pytest.approx(r @ r, rel=1e-12)
    np.testing.assert_allclose(gradient.ravel(), -2 * X.T @ r, atol=1e-12 * abs(gradient).max())
    numeric = (at(theta - h * change).rows(item)[:, -1] - at(theta + h * change).rows(item)[:, -1]) / (2 * h)
    np.testing.assert_allclose(X @ change.ravel(), numeric, atol=3e-7 * abs(numeric).max())


def embedded_atom_data(n=16):
    """Rattled copper with the energies of a pair term and a square root of a pair density."""
    basis = ACEBasis(["Cu"], rcut=4.0, order=1, totaldegree=4)
    rng = np.random.default_rng(4)
    theta = rng.normal(size=(2, 1, len(basis))) * np.array([0.05, 0.3])[:, None, None]
    model = EmbeddedACE(basis, theta, "smooth-root", {"Cu": -0.2})
    structures = []
    for k in range(n):
        atoms = bulk("Cu", cubic=True)
        atoms.set_cell(atoms.cell * rng.uniform(0.9, 1.1), scale_atoms=True)
        atoms.rattle(0.2, seed=k)
        structures.append(atoms)
    return model, labeled_by(model, structures)


def test_recovers_an_embedded_atom_potential():
    known, structures = embedded_atom_data()
    found = EmbeddedACE.fit(
        structures,
        known.basis,
        embedding="smooth-root",
        steps=60,
        uncertainty=False,
        E0s={"Cu": -0.2},
        reference=None,
        prior=None,
        check=False,
        solver="qr",
        verbose=False,
    )
    for atoms in embedded_atom_data(19)[1][16:]:
        ours, theirs = found.evaluate(atoms), known.evaluate(atoms)
        assert ours.energy == pytest.approx(theirs.energy, abs=1e-9)
        np.testing.assert_allclose(ours.forces, theirs.forces, atol=1e-8)
    linear = LinearACE.fit(structures, known.basis, E0s={"Cu": -0.2}, check=False, verbose=False)
    assert linear.errors(structures).all("forces").rmse > 1e-4


def noisy(structures, size, seed=0):
    """The same structures with normal errors of energies and forces."""
    rng = np.random.default_rng(seed)
    for atoms in structures:
        found = atoms.calc.results
        found["energy"] += size * rng.normal()
        found["forces"] = found["forces"] + size * rng.normal(size=found["forces"].shape)
    return structures


def test_no_kind_of_label_pays_for_another():
    assert judged(np.log([0.5, 0.8])) == pytest.approx(np.log(np.sqrt(0.4)), abs=1e-15)
    assert judged(np.log([0.1, 1.01, 1.2])) == pytest.approx(np.log(1.2), abs=1e-15)
    assert not judged(np.array([np.nan, -1.0])) < 0  # what the linear potential has exactly cannot be better


def test_linear_data_keep_the_linear_potential(caplog):
    """Nothing is gained on what is left out: other densities are zero, and each step says what it did."""
    caplog.set_level("INFO", logger="acepure")
    basis = ACEBasis(["Cu"], rcut=4.0, order=1, totaldegree=3)
    _, structures = embedded_atom_data(24)
    structures = noisy(labeled_by(LinearACE(basis, np.full(len(basis), 0.05)), structures), 0.01)
    options = {"E0s": 0, "check": False, "weights": (1, 1, 0), "verbose": False, "calibrate_by": None}
    found = EmbeddedACE.fit(structures, basis, steps=1, **options)
    linear = LinearACE.fit(structures, basis, **options)
    assert not found.coefficients[1:].any()
    assert "did not help and are zero" in found.report["summary"][-1]
    np.testing.assert_array_equal(found.coefficients[0], linear.coefficients)
    assert found.uncertainty(alloy_of_copper()).energy == pytest.approx(linear.uncertainty(alloy_of_copper()).energy)
    step = re.compile(r"step \d: \S+; at most \d+ s")
    assert sum(bool(step.search(message)) for message in caplog.messages) == 2


def alloy_of_copper():
    atoms = alloy()
    atoms.symbols[:] = "Cu"
    return atoms


@dataclass(frozen=True)
class Identity(Embedding):
    """F = ρ_1."""

    n_densities: int = 1

    def value(self, rho):
        return rho[:, 0]

    def gradient(self, rho):
        return np.ones_like(rho)

    def curvature(self, rho):
        return np.zeros((len(rho), 1, 1))


def test_deviations_of_a_linear_embedding_are_those_of_the_linear_potential():
    """Training, posterior, leave-out, calibration: all that is new must give what was there before."""
    basis = ACEBasis(["Cu"], rcut=4.0, order=2, totaldegree=4)
    structures = noisy(embedded_atom_data(24)[1], 0.02)
    options = {"E0s": {"Cu": -0.2}, "check": False, "verbose": False}
    linear = LinearACE.fit(structures, basis, **options)
    result = fit_coefficients(label_structures(structures), basis, E0s={"Cu": -0.2}, check=False)
    u = np.linalg.lstsq(np.asarray(result.coordinates.feature_rows())[0], linear.coefficients[0], rcond=None)[0]
    design = Design(result.basis, resolve_weights(None), result.E0s, result.core)
    problem = Problem(design, Identity(), result.coordinates.feature_rows(), result.lam, {})
    posterior, noise = problem.posterior(u[None], label_structures(structures), True)
    assert noise == pytest.approx(result.noise, rel=1e-9)
    report = {"regression": {"noise": noise, "weights": (30, 1, 1)}}
    given = {"core": result.core, "posterior": posterior, "report": report}
    model = EmbeddedACE(result.basis, linear.coefficients[None], Identity(), result.E0s, **given)
    model = model.calibrated_by(calibrate_fit(model, label_structures(structures), "structure"))
    for atoms in (alloy_of_copper(), alloy_of_copper() * (2, 1, 1)):
        ours, theirs = model.uncertainty(atoms), linear.uncertainty(atoms)
        for a, b in ((ours, theirs), (ours.posterior, theirs.posterior)):
            assert a.energy == pytest.approx(b.energy, rel=1e-6)
            np.testing.assert_allclose(a.forces, b.forces, rtol=1e-6)
            assert a.virial == pytest.approx(b.virial, rel=1e-6)
    atoms = alloy_of_copper()
    atoms.calc = model.calculator()
    assert atoms.calc.get_property("forces_uncertainty", atoms) == pytest.approx(model.uncertainty(atoms).forces)


@pytest.fixture(scope="module")
def trained():
    """A potential with a posterior, and what it was trained on; λ = 0."""
    structures = noisy(embedded_atom_data(24)[1], 0.003)
    basis = ACEBasis(["Cu"], rcut=4.0, order=1, totaldegree=3)
    options = {"embedding": "smooth-root", "E0s": {"Cu": -0.2}, "reference": None, "prior": None, "core": None}
    quiet = {"check": False, "solver": "qr", "verbose": False, "weights": (3, 1, 0.5)}
    return EmbeddedACE.fit(structures, basis, steps=20, **options, **quiet), structures


def numeric_jacobian(model, values, h=1e-5):
    """Derivatives of values(model) by all coefficients, by differences."""
    columns = []
    for k in range(model.coefficients.size):
        step = np.zeros(model.coefficients.size)
        step[k] = h
        step = step.reshape(model.coefficients.shape)
        both = [values(model._with_coefficients(model.coefficients + sign * step)) for sign in (1, -1)]
        columns.append((both[0] - both[1]) / (2 * h))
    return np.stack(columns, axis=1)


def test_the_posterior_is_that_of_differences(trained):
    """σ² (JᵀJ)⁻¹ with J of weighted labels by differences; and from it the deviations of energies and forces."""
    model, structures = trained
    weights = resolve_weights((3, 1, 0.5))

    def weighted(m):
        rows = []
        for atoms in structures:
            found, (e, f, v) = m.evaluate(atoms), weights.row_factors("default", len(atoms))
            upper = np.triu_indices(3)
            twice = np.where(upper[0] == upper[1], 1.0, np.sqrt(2.0))
            rows.append(np.concatenate([[e * found.energy], f * found.forces.ravel(), v * twice * found.virial[upper]]))
        return np.concatenate(rows)

    assert model.coefficients[1].any()
    J, n = numeric_jacobian(model, weighted), model.coefficients.size
    noise = model.report["regression"]["noise"]
    covariance = noise**2 * np.linalg.inv(J.T @ J)
    S = model.posterior.reshape(n, -1)
    np.testing.assert_allclose(S @ S.T, covariance, rtol=1e-3, atol=1e-4 * abs(covariance).max())
    atoms = alloy_of_copper()
    J = numeric_jacobian(model, lambda m: np.append(m.evaluate(atoms).forces.ravel(), m.evaluate(atoms).energy))
    variances = np.diag(J @ S @ S.T @ J.T)
    raw = model.uncertainty(atoms).posterior
    np.testing.assert_allclose(raw.forces, np.sqrt(variances[:-1].reshape(-1, 3).mean(axis=1)), rtol=1e-5)
    assert raw.energy == pytest.approx(np.sqrt(variances[-1]), rel=1e-5)
    assert model.energy_uncertainty(atoms) == pytest.approx(model.uncertainty(atoms).energy, rel=1e-12)
    assert model.calibration is not None and len(model.committee(2)) == 2


def test_deviations_of_some_centers(trained):
    """A list of one center: the deviation of its energy is that of all atoms."""
    model, atoms = trained[0], alloy_of_copper()
    one = model.uncertainty(atoms, neighbors=model.basis.neighbor_list(atoms, indices=[2]))
    assert one.energies[0] == pytest.approx(model.uncertainty(atoms).energies[2], rel=1e-12)
    J = numeric_jacobian(
        model,
        lambda m: m.evaluate(atoms, neighbors=m.basis.neighbor_list(atoms, indices=[2])).forces.ravel(),
    )
    S = model.posterior.reshape(model.coefficients.size, -1)
    expected = np.sqrt(np.square(J @ S).sum(axis=1).reshape(-1, 3).mean(axis=1))
    np.testing.assert_allclose(one.posterior.forces, expected, rtol=1e-5, atol=1e-9)


def test_leaving_out_is_close_to_training_without(trained):
    """Residuals without a structure, against steps of Gauss and Newton without it until nothing changes."""
    model, structures = trained
    labeled = label_structures(structures)
    found = model.leave_out(labeled)["forces"]
    design = Design(model.basis, resolve_weights((3, 1, 0.5)), model.E0s)
    for k in (0, 7):
        theta, function = model.coefficients, model.function
        for _ in range(8):
            at = EmbeddedDesign(design, function.with_coefficients(theta))
            rows = np.concatenate([at.rows(item) for j, item in enumerate(labeled) if j != k])
            theta = theta + np.linalg.lstsq(rows[:, :-1], rows[:, -1], rcond=None)[0].reshape(theta.shape)
        forces = model._with_coefficients(theta).evaluate(structures[k]).forces
        errors = forces - structures[k].calc.results["forces"]
        assert np.abs(found.errors[found.structures == k] - errors).max() < 0.1 * np.abs(errors).max()


def test_files(tmp_path):
    root = np.random.default_rng(1).normal(size=(3, 2, len(ALLOY), 4))
    known = {"shortest": {("Cu", "Au"): 2.0}, "report": {"summary": ["a"]}, "posterior": root}
    model = random_model(Even(3), core=ZBLCore(0.8, 1.6), **known)
    model.save(tmp_path / "m.ace")
    again = EmbeddedACE.load(tmp_path / "m.ace")
    assert again.embedding == model.embedding and again.report == model.report and again.E0s == model.E0s
    np.testing.assert_array_equal(again.evaluate(alloy()).forces, model.evaluate(alloy()).forces)
    np.testing.assert_array_equal(again.posterior, root)
    with pytest.raises(ModelFileError, match="kind"):
        LinearACE.load(tmp_path / "m.ace")


def test_refusals():
    with pytest.raises(ValueError, match="structures must be at least two: training leaves some out"):
        EmbeddedACE.fit(labeled_by(random_model(FinnisSinclair()), [alloy()]), ALLOY, verbose=False)
    structures = labeled_by(random_model(FinnisSinclair()), [alloy(), alloy(2)])
    for solver in ("cholesky", "svd", "ard"):
        with pytest.raises(ValueError, match=f"solver must be one of auto, blr.*got '{solver}'"):
            EmbeddedACE.fit(structures, ALLOY, solver=solver, verbose=False)
    for error, name, value in (
        (ValueError, "seeds must hold at least one", []),
        (ValueError, "each of seeds must be an integer >= 0", [0, -1]),
        (TypeError, "each of seeds must be an integer >= 0", [0.5]),
        (TypeError, "seeds must be a sequence of integers", 3),
        (TypeError, "seeds must be a sequence of integers", "01"),
        (ValueError, "steps must be an integer >= 0", -1),
        (TypeError, "steps must be an integer >= 0", 1.5),
    ):
        with pytest.raises(error, match=name):
            EmbeddedACE.fit(None, ALLOY, **{"seeds" if "seeds" in name else "steps": value})
    large = ACEBasis(["Cu", "Au"], rcut=4.0, order=3, totaldegree=14)
    with pytest.raises(ValueError, match="at most 4000 unknowns of a linear fit"):
        EmbeddedACE.fit(structures, large, verbose=False)
    with pytest.raises(ValueError, match="at most 4000 unknowns of a linear fit"):
        EmbeddedACE.fit(structures, size=5000, verbose=False)
    with pytest.raises(ValueError, match=r"posterior must have shape \(2, 2,"):
        EmbeddedACE(ALLOY, np.zeros((2, 2, len(ALLOY))), "even", posterior=np.zeros((2, len(ALLOY), 3)))
    with pytest.raises(ValueError, match="embedding must be"):
        resolve_embedding("root")
    with pytest.raises(ValueError, match="m must be between 0 and 1"):
        FinnisSinclair(m=1.0)
    with pytest.raises(ValueError, match=r"coefficients must have shape \(2, 2,"):
        EmbeddedACE(ALLOY, np.zeros((1, 2, len(ALLOY))), "even")
