"""Weights of rows: forms in which they are given, the formula, what is refused."""

import numpy as np
import pytest

from acepure.fitting import DEFAULT_WEIGHTS, LabelWeights, Weights, resolve_weights

GROUPS = ["bulk", "liquid", "default"]


@pytest.mark.parametrize(
    "given",
    [
        (20, 2, 0.5),
        [20, 2, 0.5],
        np.array([20, 2, 0.5]),
        {"E": 20, "F": 2, "V": 0.5},
        {"energy": 20, "forces": 2, "virial": 0.5},
        {"energy": np.float32(20), "F": np.int64(2), "V": 0.5},
        {"default": (20, 2, 0.5)},
        {"default": {"virial": 0.5, "forces": 2, "energy": 20}},
        {name: {"E": 20, "F": 2, "V": 0.5} for name in GROUPS},
        Weights(LabelWeights(20.0, 2.0, 0.5)),
    ],
)
def test_forms(given):
    weights = resolve_weights(given, GROUPS)
    for group in GROUPS:
        assert weights.of(group) == (20.0, 2.0, 0.5)
        assert all(isinstance(w, float) for w in weights.of(group))
    assert resolve_weights(weights, GROUPS) == weights


@pytest.mark.parametrize("given", [None, {}, {"default": None}, {"default": {}}, {"liquid": {}}])
def test_default(given):
    assert DEFAULT_WEIGHTS == (30.0, 1.0, 1.0)
    assert all(resolve_weights(given, GROUPS).of(group) == DEFAULT_WEIGHTS for group in GROUPS)


def test_what_a_group_leaves_out_is_that_of_the_default():
    given = {"liquid": {"E": 5}, "default": {"V": 0.25}}
    weights = resolve_weights(given, GROUPS)
    assert weights.of("liquid") == (5.0, 1.0, 0.25)
    assert weights.of("bulk") == weights.of("default") == (30.0, 1.0, 0.25)
    assert given == {"liquid": {"E": 5}, "default": {"V": 0.25}}
    without_data = resolve_weights(given)
    assert without_data.of("liquid") == (5.0, 1.0, 0.25) and without_data.of("anything") == (30.0, 1.0, 0.25)


def test_formula():
    """The sum of squares in the docstring of the module, from residuals times factors."""
    generator = np.random.default_rng(0)
    weights = resolve_weights({"liquid": (3, 2, 7)}, GROUPS)
    n = 5
    dE, dF, dW = generator.normal(), generator.normal(size=(n, 3)), generator.normal(size=(3, 3))
    factors = weights.row_factors("liquid", n)
    rows = np.concatenate([[factors.energy * dE], (factors.forces * dF).ravel(), (factors.virial * dW).ravel()])
    expected = 9 / n * dE**2 + 4 * (dF**2).sum() + 49 / n * (dW**2).sum()
    assert rows @ rows == pytest.approx(expected, rel=1e-14)
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="n_atoms must be an integer >= 1"):
            weights.row_factors("bulk", wrong)


def test_table():
    lines = str(resolve_weights({"liquid": {"E": 5, "V": 0}}, GROUPS)).splitlines()
    assert lines[0].split("  ")[0] == "config_type" and "w_F (Å/eV)" in lines[0]
    assert [line.split() for line in lines[1:4]] == [
        ["bulk", "30", "1", "1"],
        ["liquid", "5", "1", "0"],
        ["default", "30", "1", "1"],
    ]
    assert "w_E/√N" in lines[4]


def test_unknown_groups():
    with pytest.raises(ValueError, match=r"config_type 'liqid'; the data has bulk, liquid, default; did you mean 'liq"):
        resolve_weights({"liqid": {"E": 5}}, GROUPS)
    with pytest.raises(ValueError, match="config_type 'gas'"):
        resolve_weights(Weights(groups={"gas": DEFAULT_WEIGHTS}), GROUPS)
    resolve_weights({"default": (1, 1, 1)}, ["bulk"])  # is no group of the data


@pytest.mark.parametrize("given", [{"energies": 3}, {"liquid": {"W": 3}}, {"E": 1, "X": 2}])
def test_unknown_labels(given):
    with pytest.raises(ValueError, match="must be given for energy, forces, virial"):
        resolve_weights(given, GROUPS)


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_bad_numbers(value):
    for given in ((value, 1, 1), {"E": value}, {"liquid": {"energy": value}}, {"default": [value, 1, 1]}):
        with pytest.raises(ValueError, match=r"must be a finite number >= 0"):
            resolve_weights(given, GROUPS)


def test_bad_forms():
    for given in ((1, 2), (1, 2, 3, 4), {"liquid": [1]}):
        with pytest.raises(ValueError, match="must be three numbers"):
            resolve_weights(given, GROUPS)
    for given in (3.0, "E", {"liquid": "E"}):
        with pytest.raises(TypeError, match="must be three numbers"):
            resolve_weights(given, GROUPS)
    for given in (("1", 1, 1), {"E": "1", "F": 1}, {"liquid": {"E": True}}):
        with pytest.raises(TypeError, match="must be a finite number"):
            resolve_weights(given, GROUPS)
    with pytest.raises(TypeError, match="must be given by config_type"):
        resolve_weights({1: (1, 1, 1)}, GROUPS)
    with pytest.raises(ValueError, match="energy twice"):
        resolve_weights({"E": 1, "energy": 2}, GROUPS)
    with pytest.raises(ValueError, match="all 0"):
        resolve_weights((0, 0, 0), GROUPS)
