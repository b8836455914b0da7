"""Calibrated standard deviations: the law has the greatest likelihood, fits errors, and is stored."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError
from cases.emt import emt_structures
from scipy.optimize import differential_evolution
from scipy.stats import spearmanr

from acepure import ACEBasis, LinearACE
from acepure.errors import CalibrationWarning
from acepure.fitting import label_structures
from acepure.fitting.calibration import fit_error_law
from acepure.fitting.deviations import Coverage, Deviations, coverage_table
from acepure.models.calibration import Calibration, ErrorLaw
from acepure.models.uncertainty import Uncertainty

QUIET = {"verbose": False, "progress": False, "check": False}


def draws(n, seed=0):
    rng = np.random.default_rng(seed)
    v = np.exp(2 * rng.standard_normal(n))
    return np.sqrt(0.04 + 0.09 * (v / v.mean()) ** 0.6)[:, None] * rng.standard_normal((n, 3)), v


def test_the_law_has_the_greatest_likelihood():
    errors, v = draws(400)

    def loss(x):
        s2 = np.exp(x[0]) + np.exp(x[1]) * (v / v.mean()) ** x[2]
        return 0.5 * np.sum(3 * np.log(s2) + np.square(errors).sum(axis=1) / s2)

    law = fit_error_law(errors, v)
    found = differential_evolution(loss, [(-20, 3), (-20, 3), (0, 3)], seed=1, tol=1e-10)
    assert loss([2 * np.log(law.a), 2 * np.log(law.b), law.p]) <= found.fun + 1e-6
    assert law.s == pytest.approx(np.sqrt(v.mean())) and law.n == 400


def test_the_law_finds_what_errors_were_drawn_from():
    errors, v = draws(20_000)
    law = fit_error_law(errors, v)
    x = np.array([0.1, 0.3, 1.0, 3.0])
    np.testing.assert_allclose(law(law.s * x), np.sqrt(0.04 + 0.09 * x**1.2), rtol=0.03)


def test_errors_grow_at_most_like_deviations():
    rng = np.random.default_rng(1)
    v = np.exp(rng.normal(size=5000))
    law = fit_error_law(v[:, None] * rng.normal(size=(5000, 3)), v)  # σ = v
    assert law.p == 1.0 and law.largest == pytest.approx(np.sqrt(v.max()))


def test_the_law_turns_units_with_the_errors():
    errors, v = draws(300)
    law, scaled = fit_error_law(errors, v), fit_error_law(1e3 * errors, 1e-4 * v)
    sigma = np.sqrt(v)
    np.testing.assert_allclose(scaled(1e-2 * sigma), 1e3 * law(sigma), rtol=1e-4)


def test_no_errors_have_no_deviation():
    law = fit_error_law(np.zeros((5, 3)), np.ones(5))
    np.testing.assert_array_equal(law([0.0, 1.0, 2.0]), 0.0)


def test_coverage_counts():
    errors, sigmas = np.array([[0.5, 1.5, 2.5], [1.0, -3.0, 0.1]]), np.array([1.0, 2.0])
    found = Coverage.of(errors, sigmas)
    assert (found.n, found.within_1, found.within_2) == (6, 3 / 6, 5 / 6)
    assert found.ratio == pytest.approx(np.sqrt(np.mean([0.25, 2.25, 6.25, 0.25, 2.25, 0.0025])))
    assert found.rank == pytest.approx(spearmanr([1, 1, 1, 2, 2, 2], abs(errors).ravel())[0])


def test_rows_that_symmetry_makes_zero_are_left_out():
    errors = np.array([[1e-13] * 3, [0.1, 0.2, 0.3], [np.nan] * 3, [0.2, 0.1, 0.1]])
    variances = np.array([1e-26, 1e-4, np.nan, 1e-4])[:, None] * np.ones(3)
    kinds = np.array(["bulk", "bulk", "bulk", "liquid"], dtype=object)
    deviations = Deviations(errors, variances, np.ones(4), np.arange(4), kinds)
    assert deviations.informative().structures.tolist() == [1, 3]
    rows = [line.split() for line in coverage_table({"forces": deviations}).splitlines()]
    assert [row[:3] for row in rows[1:]] == [["bulk", "forces", "3"], ["liquid", "forces", "3"], ["all", "forces", "6"]]


@pytest.fixture(scope="module")
def fitted():
    basis = ACEBasis(["Cu", "Ag"], order=2, totaldegree=5, rcut=4.5)
    return LinearACE.fit(emt_structures(60), basis, **QUIET)


def test_errors_of_structures_that_were_not_fitted_are_as_stated(fitted):
    """The posterior alone is wrong by several times."""
    test = [atoms for atoms in emt_structures(60, seed=5) if len(set(atoms.symbols)) == 2]
    ratios = {"stated": [], "raw": []}
    for atoms in test:
        result, stated = fitted.evaluate(atoms), fitted.uncertainty(atoms)
        error = np.square(result.forces - atoms.get_forces()).mean()
        for name, forces in (("stated", stated.forces), ("raw", stated.posterior.forces)):
            ratios[name].append((error, np.square(forces).mean()))
    found = {name: np.sqrt(np.divide(*np.sum(pairs, axis=0))) for name, pairs in ratios.items()}
    assert 0.7 < found["stated"] < 1.4 and found["raw"] > 2


def test_calibration_is_part_of_the_file(fitted, tmp_path):
    fitted.save(tmp_path / "model.ace")
    loaded = LinearACE.load(tmp_path / "model.ace")
    assert loaded.calibration == fitted.calibration and set(loaded.calibration.laws) == {"energy", "forces", "virial"}
    atoms = emt_structures(2, seed=9)[1]
    ours, theirs = fitted.uncertainty(atoms), loaded.uncertainty(atoms)
    np.testing.assert_array_equal(ours.forces, theirs.forces)
    assert (ours.energy, ours.virial) == (theirs.energy, theirs.virial)
    assert ours.energy == loaded.energy_uncertainty(atoms)


def test_deviations_turn_with_the_structure(fitted):
    atoms = emt_structures(2, seed=9)[1]
    turned = atoms.copy()
    turned.rotate(40, (1, 2, 3), rotate_cell=True)
    ours, theirs = fitted.uncertainty(atoms), fitted.uncertainty(turned)
    np.testing.assert_allclose(ours.forces, theirs.forces, rtol=1e-9)
    assert ours.virial == pytest.approx(theirs.virial, rel=1e-9)


def test_what_symmetry_makes_zero_has_no_deviation(fitted):
    np.testing.assert_array_equal(fitted.uncertainty(bulk("Cu", cubic=True)).forces, 0.0)
    isolated = fitted.uncertainty(Atoms("Cu"))
    assert (isolated.energy, isolated.forces.tolist()) == (0.0, [0.0])


def test_energies_go_by_the_root_of_the_number_of_atoms():
    laws = Calibration({"energy": ErrorLaw(0.3, 0.4, 1.0, 1.0, 50, 4.0)}, 2.0, "tests")
    assert laws.sigma("energy", 2.0, 4) == pytest.approx(2 * 0.5)
    assert laws.sigma("forces", 2.0) == 2.0


def test_committees_are_spread_by_the_calibration(fitted):
    raw = LinearACE(fitted.basis, fitted.coefficients, fitted.E0s, posterior=fitted.posterior)
    (ours,), (theirs,) = fitted.committee(1, seed=3), raw.committee(1, seed=3)
    scale = fitted.calibration.committee
    np.testing.assert_allclose(
        ours.coefficients - fitted.coefficients, scale * (theirs.coefficients - raw.coefficients), atol=1e-10
    )
    assert scale > 1


def test_calibration_on_other_structures(fitted):
    others = emt_structures(30, seed=20)
    found = fitted.calibrate(others)
    assert "30 structures that were not in the fit" in found.calibration_text()
    assert fitted.calibration != found.calibration and found.coefficients is fitted.coefficients
    errors, sigmas = [], []
    for atoms in others:
        errors.append(fitted.evaluate(atoms).forces - atoms.get_forces())
        sigmas.append(fitted.uncertainty(atoms).posterior.forces)
    errors, sigmas = np.concatenate(errors), np.concatenate(sigmas)
    used = sigmas**2 > 1e-9 * np.mean(sigmas**2)
    law, x = fit_error_law(errors[used], sigmas[used] ** 2, 3), np.geomspace(0.1, 10, 5) * sigmas.mean()
    np.testing.assert_allclose(found.calibration.laws["forces"](x), law(x), rtol=1e-5)
    with pytest.raises(ValueError, match="structures are 5; a calibration needs at least 20"):
        fitted.calibrate(others[:5])


def test_few_structures_are_not_calibrated():
    basis = ACEBasis(["Cu", "Ag"], order=2, totaldegree=3, rcut=4.5)
    structures = emt_structures(19)
    with pytest.warns(CalibrationWarning, match="19 structures, and 20 are needed"):
        model = LinearACE.fit(structures, basis, **QUIET)
    assert model.calibration is None
    stated = model.uncertainty(structures[0])
    np.testing.assert_array_equal(stated.forces, stated.posterior.forces)
    assert LinearACE.fit(structures, basis, calibrate_by=None, **QUIET).calibration is None
    with pytest.raises(ValueError, match=r"structures\[0\].info has no 'run'"):
        LinearACE.fit(structures, basis, calibrate_by="run", **QUIET)
    with pytest.raises(ValueError, match="by names the groups of 2 structures, and there are"):
        LinearACE.fit(structures, basis, calibrate_by=["a", "b"], **QUIET)
    with pytest.raises(TypeError, match=r"a name in atoms\.info, or groups; got 5"):
        LinearACE.fit(structures, basis, calibrate_by=5, **QUIET)


def test_few_labels_of_a_quantity_are_not_calibrated():
    structures = emt_structures(25)
    for atoms in structures:
        atoms.calc.results.pop("stress")
    basis = ACEBasis(["Cu", "Ag"], order=2, totaldegree=3, rcut=4.5)
    with pytest.warns(CalibrationWarning, match="25 labels of energy, and 30 are needed"):
        model = LinearACE.fit(label_structures(structures), basis, calibrate_by="config_type", **QUIET)
    assert set(model.calibration.laws) == {"forces"}
    assert model.calibration.source == "25 structures of the fit, left out by config_type"


def test_damaged_calibrations_are_refused():
    for damaged in ({}, {"laws": {"energy": {"a": -1}}, "committee": 1.0, "source": ""}, {"laws": 5}):
        with pytest.raises(ValueError):
            Calibration.from_dict(damaged)


def test_the_calculator_states_deviations_where_they_are_asked_for(fitted, monkeypatch):
    calls = []
    evaluate = fitted.evaluate
    monkeypatch.setitem(vars(fitted), "evaluate", lambda *args, **named: calls.append(1) or evaluate(*args, **named))
    atoms = emt_structures(2, seed=9)[1]
    atoms.calc = fitted.calculator(warn=False)
    atoms.get_forces()
    assert not {"energy_uncertainty", "forces_uncertainty"} & set(atoms.calc.results)
    energy = atoms.calc.get_property("energy_uncertainty", atoms)
    assert "forces_uncertainty" not in atoms.calc.results
    forces = atoms.calc.get_property("forces_uncertainty", atoms)
    stated = fitted.uncertainty(atoms)
    assert energy == pytest.approx(stated.energy, rel=1e-9) and len(calls) == 1
    np.testing.assert_allclose(forces, stated.forces, rtol=1e-9)
    atoms.positions[0] += 0.1
    np.testing.assert_allclose(
        atoms.calc.get_property("forces_uncertainty", atoms), fitted.uncertainty(atoms).forces, rtol=1e-9
    )
    assert len(calls) == 2
    plain = LinearACE(fitted.basis, fitted.coefficients, fitted.E0s).calculator()
    with pytest.raises(PropertyNotImplementedError):
        plain.get_property("forces_uncertainty", atoms)


def test_a_group_named_all_keeps_its_row():
    errors, kinds = np.array([[1.0], [1.0], [3.0]]), np.array(["all", "all", "b"], dtype=object)
    deviations = Deviations(errors, np.ones((3, 1)), np.ones(3), np.arange(3), kinds)
    rows = [line.split("  ") for line in coverage_table({"energy": deviations}).splitlines()[1:]]
    ratios = {row[0].strip(): [cell for cell in row if cell][3].strip() for row in rows}
    assert ratios == {"all": "1.00", "b": "3.00", "all groups": f"{np.sqrt(11 / 3):.2f}"}


def test_uncertainty_is_one_line():
    found = Uncertainty(0.5, np.linspace(0.01, 0.2, 1000), 1.25, np.zeros(1000))
    assert str(found) == "Uncertainty(energy 0.5 eV, forces 0.01 to 0.2 eV/Å on 1000 atoms, virial 1.25 eV)"
