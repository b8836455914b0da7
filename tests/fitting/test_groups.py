"""Noise of groups: the formula by hand, guards, what has no say; slopes and relative errors; what E0s are called."""

import numpy as np
import pytest
from ase import Atoms
from cases.regression import known_model, labeled_by, strained_crystals
from scipy.stats import linregress

from acepure import ACEBasis, LinearACE
from acepure.fitting import Errors, LabelWeights, Predictions, Weights, resolve_weights
from acepure.fitting.groups import group_residuals, group_weights, student_factors


def residuals(seed=0):
    rng = np.random.default_rng(seed)
    size = {"bulk": (1e-3, 0.01), "liquid": (5e-3, 0.1), "surface": (1e-2, 1.0), "hot": (1.0, 0.05)}
    return {
        name: {"energy": energy * rng.standard_normal(20), "forces": forces * rng.standard_normal(300)}
        for name, (energy, forces) in size.items()
    }


def test_formula():
    given, weights = residuals(), resolve_weights({"default": (60, 1, 2), "hot": {"F": 0.5}}, residuals())
    found = group_weights(given, weights)
    for k, kind in enumerate(("energy", "forces")):
        rms = {name: np.sqrt((part[kind] ** 2).mean()) for name, part in given.items()}
        middle = np.median(list(rms.values()))
        for name in given:
            factor = min(max(middle / rms[name], 0.1), 10.0)
            assert found.of(name)[k] == pytest.approx(factor * weights.of(name)[k], rel=1e-12)
    assert found.of("hot").energy == pytest.approx(0.1 * 60)  # guarded
    assert all(found.of(name).virial == 2 for name in given)
    wide = group_weights(given, weights, guard=1e6)
    noise = [wide.of(n).energy * np.sqrt((given[n]["energy"] ** 2).mean()) for n in given]
    np.testing.assert_allclose(noise, noise[0], rtol=1e-12)  # all groups alike


def test_what_is_zero_by_symmetry_or_rare_has_no_say():
    given = residuals()
    expected = group_weights(given, Weights())
    given["bulk"]["forces"] = np.concatenate([given["bulk"]["forces"], np.zeros(10_000), np.full(99, 1e-12)])
    assert group_weights(given, Weights()) == expected
    given["few"] = {"energy": np.full(4, 1e-9), "forces": np.zeros(100)}
    found = group_weights(given, Weights())
    assert found.of("few") == Weights().default and found.of("bulk") == expected.of("bulk")
    one = group_weights({"default": residuals()["hot"]}, Weights())
    assert one == Weights()
    assert group_weights({"default": {"forces": np.zeros(9)}, "b": {"forces": np.zeros(9)}}, Weights()).of("b") == (
        LabelWeights(30, 1, 1)
    )
    with pytest.raises(ValueError, match="guard must be"):
        group_weights(given, Weights(), guard=0.5)
    with pytest.raises((TypeError, ValueError), match=r"residuals\['a'\]\['energy'\]"):
        group_weights({"a": {"energy": [np.nan]}}, Weights())


def test_student_factors_are_those_of_the_t_distribution():
    """w² = (ν + 1)/(ν + (r/s)²) up to a factor, the weight in −d log p_t / dr = w² r, by differences of log p."""
    from scipy.stats import t

    r = np.random.default_rng(0).standard_t(3, 101)
    s, h = 1.4826 * np.median(np.abs(r)), 1e-6
    slopes = -(t.logpdf(r + h, 3, scale=s) - t.logpdf(r - h, 3, scale=s)) / (2 * h)
    np.testing.assert_allclose(student_factors(r) ** 2, slopes / r * s**2 * 3 / 4, rtol=1e-5)
    np.testing.assert_array_equal(student_factors(np.zeros(3)), 1.0)


def errors():
    rng = np.random.default_rng(0)
    stress = rng.standard_normal((30, 6))
    soft = stress * np.array([1, 0.5, 0.5, 1, 0.5, 1])
    energy = rng.standard_normal(9) - 5
    found = {"energy": Predictions(energy, energy + 0.1), "stress": Predictions(stress.ravel(), soft.ravel())}
    return Errors({"elastic": found, "empty": {"energy": Predictions(np.full(5, -3.7), np.full(5, -3.6))}})


def test_slopes_and_relative_errors():
    elastic = errors().groups["elastic"]
    stress = elastic["stress"]
    assert stress.slope == pytest.approx(linregress(stress.true, stress.predicted).slope, rel=1e-12)
    assert stress.components((1, 2, 4), 6).slope == pytest.approx(0.5, rel=1e-12)
    assert elastic["energy"].slope == pytest.approx(1.0) and 0 < elastic["energy"].relative < 1
    assert elastic["energy"].relative == pytest.approx(0.1 / elastic["energy"].true.std())
    assert np.isnan(errors().groups["empty"]["energy"].relative)
    head, row, empty = errors().relative_table().splitlines()
    assert head.split()[0] == "config_type" and row.split()[0] == "elastic" and row.split()[-1] == "0.5"
    assert empty.split() == ["empty", *"––––––"]
    assert errors().relative_table() in str(errors())


def test_residuals_of_errors_and_a_second_fit():
    structures = strained_crystals(["Cu"], 16)
    labeled_by(known_model(ACEBasis(["Cu"], totaldegree=(3, 2))), structures, noise=0.0)
    rng = np.random.default_rng(0)
    for k, atoms in enumerate(structures):
        atoms.info["config_type"] = ("quiet", "noisy")[k % 2]
        atoms.arrays["REF_forces"] += (1e-4, 0.1)[k % 2] * rng.standard_normal((len(atoms), 3))
    quiet = {"verbose": False, "progress": False, "check": False}
    basis = ACEBasis(["Cu"], totaldegree=(3, 2))
    first = LinearACE.fit(structures, basis, **quiet)
    given = group_residuals(first.errors(structures))
    np.testing.assert_array_equal(
        given["noisy"]["forces"],
        first.errors(structures).groups["noisy"]["forces"].predicted
        - first.errors(structures).groups["noisy"]["forces"].true,
    )
    weights = group_weights(given, Weights())
    assert weights.of("quiet").forces > 3 * weights.of("noisy").forces
    second = LinearACE.fit(structures, basis, weights=weights, **quiet)
    of = [model.errors(structures).groups["quiet"]["forces"].rmse for model in (first, second)]
    assert of[1] < of[0]


def test_what_reference_energies_are_called(capsys):
    structures = strained_crystals(["Cu"], 6)
    labeled_by(known_model(ACEBasis(["Cu"], totaldegree=(3, 2))), structures)
    basis, quiet = ACEBasis(["Cu"], totaldegree=(3, 2)), {"progress": False, "check": False}
    cases = {
        "energies of isolated atoms in the data": (structures, "auto"),
        "by least squares: no energies of isolated atoms, so that energies of separation mean nothing": (
            [Atoms("Cu"), *structures[1:]],
            "auto",
        ),
        "as given": (structures, {"Cu": -3.0}),
        "0: energies of separation mean nothing": (structures, 0),
    }
    for text, (given, E0s) in cases.items():
        model = LinearACE.fit(given, basis, E0s=E0s, **quiet)
        assert text in str(model.report) and text in capsys.readouterr().out
