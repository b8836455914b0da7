"""EmbeddedACE: derivatives, the potential of an isolated atom, known embedded-atom potentials recovered, files."""

import re

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from acepure import ACEBasis, IdealGas, LinearACE
from acepure.errors import ModelFileError
from acepure.features.linear import LinearFunction, features_of_isolated_atoms
from acepure.fitting import label_structures, resolve_weights
from acepure.fitting.design import Design
from acepure.fitting.embedded import EmbeddedDesign
from acepure.models.embedded import EmbeddedACE
from acepure.models.embedding import Embedding, Even, FinnisSinclair, Polynomial, SmoothRoot, Tanh, resolve_embedding
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
    vacuum = features_of_isolated_atoms(ALLOY)

    def at(theta):
        return EmbeddedDesign(design, embedding, LinearFunction(ALLOY, theta), vacuum)

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
        seeds=(0, 1),
        steps=30,
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


def test_linear_data_keep_the_linear_potential(caplog):
    """Nothing is gained on what is left out: other densities are zero, and each step says what it did."""
    caplog.set_level("INFO", logger="acepure")
    basis = ACEBasis(["Cu"], rcut=4.0, order=1, totaldegree=3)
    linear = LinearACE(basis, np.full(len(basis), 0.05))
    _, structures = embedded_atom_data()
    structures = labeled_by(linear, structures)
    found = EmbeddedACE.fit(structures, basis, steps=2, E0s=0, check=False, solver="qr", verbose=False)
    assert found.errors(structures).all("forces").rmse < 1e-8
    assert not found.coefficients[1:].any() and "they did not help" in found.report["summary"][-1]
    step = re.compile(r"step \d: \S+; at most \d+ s")
    assert 2 <= sum(bool(step.search(message)) for message in caplog.messages) <= 4


def test_files(tmp_path):
    model = random_model(Even(3), core=ZBLCore(0.8, 1.6), shortest={("Cu", "Au"): 2.0}, report={"summary": ["a"]})
    model.save(tmp_path / "m.ace")
    again = EmbeddedACE.load(tmp_path / "m.ace")
    assert again.embedding == model.embedding and again.report == model.report and again.E0s == model.E0s
    np.testing.assert_array_equal(again.evaluate(alloy()).forces, model.evaluate(alloy()).forces)
    with pytest.raises(ModelFileError, match="kind"):
        LinearACE.load(tmp_path / "m.ace")


def test_refusals():
    with pytest.raises(ValueError, match="structures must be at least two: training leaves some out"):
        EmbeddedACE.fit(labeled_by(random_model(FinnisSinclair()), [alloy()]), ALLOY, verbose=False)
    with pytest.raises(ValueError, match="embedding must be"):
        resolve_embedding("root")
    with pytest.raises(ValueError, match="m must be between 0 and 1"):
        FinnisSinclair(m=1.0)
    with pytest.raises(ValueError, match=r"coefficients must have shape \(2, 2,"):
        EmbeddedACE(ALLOY, np.zeros((1, 2, len(ALLOY))), "even")
