"""LinearACE: known models are recovered, derivatives are exact, files and uncertainties are what they say."""

import copy
import json
import logging
import pickle

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from cases.regression import E0S, known_model, labeled_by, strained_crystals

from acepure import ACEBasis, IdealGas, LinearACE, MeanCovariance
from acepure.errors import ModelFileError, SpeciesError
from acepure.fitting import label_structures
from acepure.models.files import LINEAR, write_model
from acepure.models.repulsion import ZBLCore

SOLVERS = {
    "qr": {},
    "ridge": {"alpha": 1e-15},
    "svd": {"rcond": 1e-13},
    "lsqr": {"tolerance": 1e-15},
    "blr": {},
    "auto": {},
}
QUIET = {"verbose": False, "progress": False}


def basis_of(species, **arguments):
    return ACEBasis(species, order=3, totaldegree=3, **arguments)


def assert_same_potential(model, function, structures, rtol):
    for atoms in structures:
        ours, theirs = model.evaluate(atoms), function.evaluate_with_gradients(atoms)
        energy = theirs.energy + sum(E0S[s] for s in atoms.symbols)
        scale = max(1.0, np.abs(theirs.energies).max())
        assert ours.energy == pytest.approx(energy, abs=rtol * scale * len(atoms))
        np.testing.assert_allclose(ours.forces, theirs.forces, atol=rtol * max(1.0, np.abs(theirs.forces).max()))
        np.testing.assert_allclose(ours.virial, theirs.virial, atol=rtol * max(1.0, np.abs(theirs.virial).max()))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("canonical", [True, False])
@pytest.mark.parametrize("reference", [None, "density", IdealGas(0.08)], ids=["none", "density", "gas"])
def test_recovers_a_known_model(solver, canonical, reference):
    basis = basis_of(["Cu"], canonical=canonical)
    function = known_model(basis)
    labeled = labeled_by(function, strained_crystals(["Cu"], 12))
    model = LinearACE.fit(
        labeled, basis, reference=reference, solver=solver, options=SOLVERS[solver], check=False, **QUIET
    )
    tolerance = {"ridge": 1e-4, "lsqr": 1e-6}.get(solver, 1e-9)
    assert_same_potential(model, function, strained_crystals(["Cu"], 3, seed=50), tolerance)


@pytest.mark.parametrize("virials", [True, False])
def test_recovers_two_species_up_to_the_order_of_a_pair(virials):
    """Energies of single atoms are not labels: the pair energies of A-B and B-A are shared in any way."""
    basis = ACEBasis(["Cu", "Zr"], order=2, totaldegree=3)
    function = known_model(basis)
    labeled = labeled_by(function, strained_crystals(["Cu", "Zr"], 25), virials=virials)
    model = LinearACE.fit(labeled, basis, solver="qr", check=False, **QUIET)
    assert_same_potential(model, function, strained_crystals(["Cu", "Zr"], 3, seed=50), 1e-8)


def test_recovers_a_model_in_measured_coordinates_with_a_core():
    basis = basis_of(["Cu"])
    function, core = known_model(basis), ZBLCore(1.0, 2.6)
    structures = strained_crystals(["Cu"], 12)
    labeled = labeled_by(function, structures, core=core)
    reference = MeanCovariance.from_structures(structures[1:], basis, whitened=False)
    model = LinearACE.fit(labeled, basis, reference=reference, core=core, solver="qr", check=False, **QUIET)
    bare = LinearACE(model.basis, model.coefficients, model.E0s)
    assert_same_potential(bare, function, structures[1:4], 1e-8)
    errors = model.errors(labeled)
    assert errors.all("energy").rmse < 1e-9 and errors.all("forces").rmse < 1e-8


@pytest.mark.parametrize("canonical", [True, False])
@pytest.mark.parametrize("reference", [None, IdealGas(0.08)])
def test_an_isolated_atom_has_its_reference_energy(canonical, reference):
    basis = basis_of(["Cu", "Zr"], canonical=canonical)
    basis = basis if reference is None else basis.centered(reference)
    weights = np.random.default_rng(0).standard_normal((2, len(basis)))
    model = LinearACE(basis, weights, E0S)
    for symbol in ("Cu", "Zr"):
        scale = np.abs(weights * basis.descriptors(Atoms(symbol))).sum()
        result = model.evaluate(Atoms(symbol))
        assert result.energy == pytest.approx(E0S[symbol], abs=1e-14 * (1 + scale))
        assert not result.forces.any()


def test_the_pair_potential_of_a_canonical_basis_is_its_first_order():
    basis = basis_of(["Cu"])
    weights = np.random.default_rng(0).standard_normal(len(basis))
    model = LinearACE(basis, weights, E0S | {"extra": 1.0})
    r = np.linspace(1.5, 6.0, 10)
    first = basis.order_slices["nu1"]
    expected = 2 / np.sqrt(4 * np.pi) * basis.radial.evaluate(r, "Cu", "Cu", 4) @ weights[first]
    np.testing.assert_allclose(model.dimer("Cu", "Cu", r), expected, atol=1e-12)


def test_forces_and_virial_with_a_core_are_derivatives():
    core = ZBLCore(1.5, 2.7)
    basis = basis_of(["Cu"]).centered(IdealGas(0.08))
    model = LinearACE(basis, np.random.default_rng(0).standard_normal(len(basis)), E0S, core=core)
    atoms = strained_crystals(["Cu"], 1)[1]
    result, h = model.evaluate(atoms), 1e-4

    def energy(positions, cell):
        moved = atoms.copy()
        moved.set_cell(cell)
        moved.positions = positions
        return model.evaluate(moved).energy

    def derivative(shift):  # fourth order
        values = [shift(k * h) for k in (-2, -1, 1, 2)]
        return (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * h)

    cell, positions = atoms.cell.array, atoms.positions
    for i, a in ((0, 0), (3, 2)):
        unit = np.zeros_like(positions)
        unit[i, a] = 1.0
        slope = derivative(lambda x, unit=unit: energy(positions + x * unit, cell))
        assert result.forces[i, a] == pytest.approx(-slope, rel=1e-9, abs=1e-9)
    for a, b in ((0, 0), (0, 2)):
        strain = np.zeros((3, 3))
        strain[a, b] = 1.0

        def strained(x, strain=strain):
            F = np.eye(3) + x * strain
            return energy(positions @ F.T, cell @ F.T)

        slope = derivative(strained)
        assert result.virial[a, b] == pytest.approx(-slope, rel=1e-9, abs=1e-8)


@pytest.fixture(scope="module")
def noisy():
    basis = ACEBasis(["Cu"], order=2, totaldegree=4)
    labeled = labeled_by(known_model(basis), strained_crystals(["Cu"], 10), noise=0.05)
    return labeled, LinearACE.fit(labeled, basis, check=False, **QUIET)


def test_posterior_is_that_of_the_normal_equations(noisy):
    """σ² (XᵀX + λΓ²)⁻¹ of all rows, densely, in the coordinates of a canonical basis."""
    from acepure.fitting import resolve_weights
    from acepure.fitting.design import Design
    from acepure.fitting.priors import SmoothnessPrior

    labeled, _ = noisy
    basis = ACEBasis(["Cu"], order=2, totaldegree=4)
    model = LinearACE.fit(labeled, basis, reference=None, solver="ridge", options={"alpha": 1e-6}, check=False, **QUIET)
    design = Design(basis, resolve_weights(), model.E0s)
    rows = np.vstack([design.rows(item) for item in labeled])
    X, y = rows[:, 1:-1], rows[:, -1]
    scales = SmoothnessPrior("algebraic", 2).scales(basis)
    lam = 1e-6 * np.linalg.norm(X / scales, 2) ** 2
    inverse = np.linalg.inv(X.T @ X + lam * np.diag(scales**2))
    theta = inverse @ X.T @ y
    effective = np.trace(X @ inverse @ X.T)
    sigma2 = np.sum((X @ theta - y) ** 2) / (len(y) - effective)
    covariance = model.posterior[0] @ model.posterior[0].T
    np.testing.assert_allclose(model.coefficients[0], theta, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(covariance, sigma2 * inverse, rtol=1e-6, atol=1e-7 * np.abs(covariance).max())


def test_uncertainty_is_the_spread_of_the_committee(noisy):
    _, model = noisy
    atoms = strained_crystals(["Cu"], 1, seed=9)[1]
    stated = model.uncertainty(atoms)
    results = [member.evaluate(atoms) for member in model.committee(300)]
    error = 5 / np.sqrt(2 * 300)  # five standard errors of a standard deviation
    assert np.std([r.energy for r in results]) == pytest.approx(stated.energy, rel=error)
    np.testing.assert_allclose(np.std([r.energies for r in results], axis=0), stated.energies, rtol=error)
    spread = np.sqrt(np.var([r.forces for r in results], axis=0).mean(axis=1))
    np.testing.assert_allclose(spread, stated.forces, rtol=error)
    virial = np.sqrt(np.var([r.virial for r in results], axis=0).mean())
    assert virial == pytest.approx(stated.virial, rel=error)
    np.testing.assert_allclose(model.energy_variances(atoms), stated.energies**2, rtol=1e-10)
    isolated = model.uncertainty(Atoms("Cu"))
    assert isolated.energy == pytest.approx(0.0, abs=1e-9)


def test_a_core_below_the_data_changes_no_label_and_fills_holes():
    basis = ACEBasis(["Cu", "Zr"], order=2, totaldegree=3)
    structures = strained_crystals(["Cu", "Zr"], 20)
    labeled = labeled_by(known_model(basis), structures)
    plain, cored = (LinearACE.fit(labeled, basis, core=core, check=False, **QUIET) for core in (None, "zbl"))
    np.testing.assert_array_equal(plain.coefficients, cored.coefficients)
    for (a, b), r in plain.shortest_distances.items():
        assert cored.core.cutoff(a, b) == pytest.approx(r, abs=1e-12)
        above, below = (cored.dimer(a, b, [f * r]) - plain.dimer(a, b, [f * r]) for f in (1.001, 0.2))
        assert above == 0 and below > 100
    for atoms in structures[2:6]:
        np.testing.assert_array_equal(plain.evaluate(atoms).forces, cored.evaluate(atoms).forces)


def test_no_posterior():
    basis = basis_of(["Cu"])
    with pytest.raises(ValueError, match="no posterior"):
        LinearACE(basis, np.ones(len(basis))).uncertainty(bulk("Cu"))


@pytest.mark.parametrize("core", [None, ZBLCore(1.0, 2.0)])
def test_files_hold_everything_exactly(noisy, tmp_path, core):
    _, fitted = noisy
    model = LinearACE(
        fitted.basis,
        fitted.coefficients,
        fitted.E0s,
        core=core,
        posterior=fitted.posterior,
        shortest=fitted.shortest_distances,
        report=fitted.report,
    )
    model.save(tmp_path / "model.ace")
    again = LinearACE.load(tmp_path / "model.ace")
    assert again.basis == model.basis and again.E0s == model.E0s and again.core == core
    assert again.shortest_distances == model.shortest_distances and again.report == model.report
    np.testing.assert_array_equal(again.coefficients, model.coefficients)
    np.testing.assert_array_equal(again.posterior, model.posterior)
    atoms = strained_crystals(["Cu"], 1)[1]
    np.testing.assert_array_equal(again.evaluate(atoms).forces, model.evaluate(atoms).forces)
    json.dumps(model.report)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.evaluate(atoms).forces, model.evaluate(atoms).forces)


def test_files_of_other_content_are_refused(tmp_path):
    entries = {"basis": 3, "E0s": {}, "core": None, "shortest": None, "surroundings": None, "report": {}}
    write_model(tmp_path / "other", LINEAR, entries, {"coefficients": np.ones(3)})
    with pytest.raises(ModelFileError, match="no usable model"):
        LinearACE.load(tmp_path / "other")


@pytest.mark.parametrize("error", [RecursionError, OverflowError])
def test_entries_that_ask_for_too_much_are_refused(tmp_path, monkeypatch, error):
    def refuse(dictionary):
        raise error("too much")

    basis = basis_of(["Cu"])
    LinearACE(basis, np.ones(len(basis))).save(tmp_path / "model")
    monkeypatch.setattr(ACEBasis, "from_dict", refuse)
    with pytest.raises(ModelFileError, match="holds no usable model: too much"):
        LinearACE.load(tmp_path / "model")


def test_shortest_distances_of_atoms_without_neighbors(tmp_path):
    basis = basis_of(["Cu"])
    LinearACE(basis, np.ones(len(basis)), shortest={}).save(tmp_path / "model")
    assert LinearACE.load(tmp_path / "model").shortest_distances == {}


def test_fit_takes_plain_structures_and_says_what_it_does(capsys):
    basis = ACEBasis(["Cu"], order=2, totaldegree=3)
    structures = strained_crystals(["Cu"], 5)
    labeled_by(known_model(basis), structures)
    model = LinearACE.fit(structures, basis, progress=False, check=False)
    text = capsys.readouterr().out
    for words in ("REF_energy", "w_E (1/eV)", "E0", "design matrix", "Bayesian", "meV/atom", "eV/Å"):
        assert words in text, words
    assert model.E0s == {"Cu": -3.5}
    assert model.shortest_distances[("Cu", "Cu")] == pytest.approx(
        min(a.get_all_distances(mic=True)[~np.eye(len(a), dtype=bool)].min() for a in structures[1:]), abs=1e-9
    )


def test_messages_go_to_the_logger(capsys, caplog):
    """Silent, kept by a handler of the user, and shown by `verbose` whatever stdout is at the time."""
    basis = ACEBasis(["Cu"], order=2, totaldegree=3)
    labeled = labeled_by(known_model(basis), strained_crystals(["Cu"], 5))
    options = {"progress": False, "check": False}
    LinearACE.fit(labeled, basis, verbose=False, **options)
    assert capsys.readouterr() == ("", "") and not caplog.messages
    with caplog.at_level(logging.INFO, "acepure"):
        LinearACE.fit(labeled, basis, verbose=False, **options)
    assert capsys.readouterr() == ("", "")
    kept = "".join(f"{text}\n" for text in caplog.messages)
    LinearACE.fit(labeled, basis, **options)
    shown = capsys.readouterr()
    assert shown.err == ""
    without_cost = [[line for line in text.splitlines() if "cost: " not in line] for text in (kept, shown.out)]
    assert without_cost[0] == without_cost[1] and "design matrix" in kept
    assert not logging.getLogger("acepure").handlers and not logging.getLogger("acepure").isEnabledFor(logging.INFO)


def test_wrong_arguments():
    basis = basis_of(["Cu"])
    structures = strained_crystals(["Cu"], 2)
    labeled = labeled_by(known_model(basis), structures)
    cases = [
        (lambda: LinearACE(basis, np.ones(3)), ValueError, "coefficients must have shape"),
        (lambda: LinearACE(basis, np.ones(len(basis)), {"Zr": 1.0}), ValueError, "lacks Cu"),
        (lambda: LinearACE(basis, np.ones(len(basis)), core=3), TypeError, "core must be"),
        (lambda: LinearACE(basis, np.ones(len(basis)), core=ZBLCore(1.0, 9.0)), ValueError, "reaches"),
        (
            lambda: LinearACE(basis, np.ones(len(basis))).dimer("Cu", "Zr", [2.0]),
            SpeciesError,
            "neighbor 'Zr' is not one of the species",
        ),
        (lambda: LinearACE(basis, np.ones(len(basis)), shortest=5), TypeError, "shortest must be a mapping"),
        (lambda: LinearACE(basis, np.ones(len(basis)), report=5), TypeError, "report must be a mapping"),
        (lambda: LinearACE.fit(labeled, basis, reference="gas", **QUIET), ValueError, "reference must be"),
        (lambda: LinearACE.fit(labeled, basis, core="soft", **QUIET), ValueError, "core must be"),
        (lambda: LinearACE.fit(labeled, basis, core=3, **QUIET), TypeError, "core must be"),
        (lambda: LinearACE.fit(labeled, basis, solver="magic", **QUIET), ValueError, "solver must be"),
        (lambda: LinearACE.fit(labeled, basis, energy_key="E", **QUIET), ValueError, "labels already"),
        (lambda: LinearACE.fit(structures, basis, energy_key="E", **QUIET), ValueError, "energy_key"),
        (lambda: LinearACE.fit(labeled, ACEBasis(["Zr"]), **QUIET), ValueError, "holds Cu"),
        (lambda: LinearACE.fit(label_structures([bulk("Cu")]), basis, **QUIET), ValueError, "energy"),
    ]
    for call, error, words in cases:
        with pytest.raises(error, match=words):
            call()
