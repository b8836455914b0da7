"""Combinations of elements left out in closed form, against groups left out; what it says of one that never met."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from acepure import ACEBasis, EmbeddedACE, LinearACE
from acepure.fitting import SmoothnessPrior, label_structures, leave_combinations
from acepure.fitting.deviations import compare_deviations
from acepure.fitting.labeled import LabeledData
from acepure.fitting.leave_combinations import leave_combinations_out
from acepure.fitting.leave_out import leave_out
from acepure.models.calibration import Calibration, ErrorLaw

METALS = ["Ni", "Cu", "Pd"]
QUIET = {"progress": False, "verbose": False, "num_threads": 1, "check": False}


def alloys(sets, n, seed=0):
    """Rattled cells of four atoms that hold all of some elements, with labels of EMT."""
    rng, result = np.random.default_rng(seed), []
    for k, elements in enumerate(sets * n):
        atoms = bulk("Cu", cubic=True, a=3.6 + 0.15 * rng.random())
        atoms.symbols = rng.permutation([*elements, *rng.choice(elements, size=4 - len(elements))])
        atoms.rattle(0.1, seed=1000 * seed + k)
        atoms.calc = EMT()
        found = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
        atoms.calc = SinglePointCalculator(atoms, **found)
        result.append(atoms)
    return label_structures(result)


SETS = [["Ni"], ["Cu"], ["Pd"], ["Ni", "Cu"], ["Ni", "Pd"]]


def fitted(labeled, metals=METALS, **more):
    prior = SmoothnessPrior(neighbors=0.99, centers=0.9)
    return LinearACE.fit(labeled, ACEBasis(metals, 4.5, totaldegree=(3, 2)), prior=prior, **{**QUIET, **more})


@pytest.fixture(scope="module")
def case():
    labeled = alloys(SETS, 16)
    with pytest.warns(UserWarning, match="no structure holds Cu-Pd"):
        return labeled, fitted(labeled)


def embedded(model):
    """The same with a second density, whose coefficients are known."""
    theta = np.stack([model.coefficients, np.random.default_rng(0).normal(scale=0.01, size=model.coefficients.shape)])
    root = np.stack([model.posterior, np.zeros_like(model.posterior)])
    known = {"core": model.core, "surroundings": model.surroundings, "report": model.report}
    return EmbeddedACE(model.basis, theta, "finnis-sinclair", model.E0s, posterior=root, **known)


@pytest.mark.parametrize("made", [lambda model: model, embedded], ids=["linear", "embedded"])
def test_the_closed_form_is_that_of_groups_left_out(case, made):
    labeled, model = case[0], made(case[1])
    mixed = [k for k, item in enumerate(labeled) if len(set(item.atoms.symbols)) > 1]
    part = LabeledData(tuple(labeled[k] for k in mixed))
    groups = ["-".join(sorted(set(item.atoms.symbols))) for item in part]
    expected, found = leave_out(model, part, by=groups), leave_combinations_out(model, labeled)
    assert set(found) == set(expected) == {"energy", "forces", "virial"}
    for quantity, one in found.items():
        two = expected[quantity]
        order = [np.argsort(d.structures, kind="stable") for d in (one, two)]
        np.testing.assert_array_equal(one.structures[order[0]], np.array(mixed)[two.structures[order[1]]])
        np.testing.assert_allclose(one.errors[order[0]], two.errors[order[1]], rtol=1e-5, atol=1e-8)
        np.testing.assert_allclose(one.variances[order[0]], two.variances[order[1]], rtol=1e-5, atol=1e-10)


def test_what_holds_more_is_left_out_too():
    metals = ["Ni", "Cu", "Pd", "Ag"]
    labeled = alloys([*SETS, ["Ag"], ["Ni", "Cu", "Pd"]], 4)
    with pytest.warns(UserWarning, match="no structure holds"):
        model = fitted(labeled, metals)
    found = leave_combinations_out(model, labeled)["energy"]
    wanted = {frozenset(["Ni", "Cu"]), frozenset(["Ni", "Cu", "Pd"])}
    sets = [frozenset(item.atoms.symbols) for item in labeled]
    groups = ["together" if one in wanted else str(k) for k, one in enumerate(sets)]
    expected = leave_out(model, labeled, by=groups)["energy"]
    for k in (k for k, one in enumerate(sets) if one == {"Ni", "Cu"}):
        one, two = (d.of(d.structures == k) for d in (found, expected))
        np.testing.assert_allclose(one.errors, two.errors, rtol=1e-6)
        np.testing.assert_allclose(one.variances, two.variances, rtol=1e-6)


def test_there_is_nothing_to_leave_out_where_all_have_met():
    labeled = alloys([["Cu"], ["Ni"], ["Ni", "Cu"]], 5)
    assert leave_combinations_out(fitted(labeled, ["Ni", "Cu"]), labeled) == {}


def test_matrices_beyond_the_memory_are_not_made(case, monkeypatch, caplog):
    labeled, model = case
    monkeypatch.setattr(leave_combinations, "physical_memory", lambda: 1e3)
    with caplog.at_level("WARNING"):
        assert leave_combinations_out(model, labeled) == {}
    assert "GiB" in caplog.text


def test_deviations_beyond_the_fit_have_a_law_of_their_own():
    near, far = ErrorLaw(0.3, 0.4, 1.0, 1.0, 50, 4.0), ErrorLaw(0.0, 2.0, 0.5, 8.0, 50, 9.0)
    both = Calibration({"energy": near}, 2.0, "tests", {"energy": far})
    assert Calibration.from_dict(both.to_dict()) == both
    x = np.array([1.0, 4.0, 4.5, 8.0])
    expected = np.array([0.5, np.hypot(0.3, 1.6), 1.5, 2.0])
    np.testing.assert_allclose(both.sigma("energy", x), expected)
    np.testing.assert_allclose(both.sigma("energy", 3 * x, 9), 3 * expected)
    np.testing.assert_allclose(Calibration({"energy": near}, 2.0, "tests").sigma("energy", x), near(x))


def test_errors_of_a_combination_that_never_met_are_as_stated(case):
    """Within a factor of two, where the law of structures left out one by one is wrong by more."""
    _, model = case
    test = alloys([["Cu", "Pd"]], 20, seed=3)
    results, stated = [model.evaluate(x.atoms) for x in test], [model.uncertainty(x.atoms) for x in test]
    found, raw = (compare_deviations(test, results, some) for some in (stated, [u.posterior for u in stated]))
    for quantity in ("energy", "forces", "virial"):
        errors = np.sqrt(np.mean(found[quantity].errors ** 2))
        ratio = errors / np.sqrt(np.mean(found[quantity].sigmas ** 2))
        alone = raw[quantity].scales * model.calibration.laws[quantity](raw[quantity].sigmas / raw[quantity].scales)
        assert 0.5 < ratio < 2.0
        assert errors / np.sqrt(np.mean(alone**2)) < 0.5
