"""Figures of potentials: what is drawn, from the data of the artists."""

import matplotlib
import numpy as np
import pytest
from ase.units import GPa
from cases.emt import emt_structures
from matplotlib.figure import Figure

from acepure import ACEBasis, LinearACE
from acepure.fitting import Errors, Predictions
from acepure.models.repulsion import ZBLCore
from acepure.plotting import (
    plot_calibration,
    plot_dimers,
    plot_error_distribution,
    plot_parity,
    potential_figure,
)

matplotlib.use("Agg")

# Factors from eV and Å to the units of the axes of values, and of errors.
FACTORS = {"energy": (1, 1e3), "forces": (1, 1), "virial": (1, 1e3), "stress": (1 / GPa, 1 / GPa)}


def draw(figure):
    """Render: missing glyphs and bad layouts are warnings, and warnings are errors here."""
    figure.canvas.draw()


def predictions(n, seed, scale=0.01):
    rng = np.random.default_rng(seed)
    true = rng.standard_normal(n)
    return Predictions(true, true + scale * rng.standard_normal(n))


@pytest.fixture
def errors():
    """Two groups; energies of one of them alone."""
    one = {q: predictions(n, k) for k, (q, n) in enumerate(dict(energy=4, forces=60, virial=24, stress=24).items())}
    return Errors({"bulk": one, "liquid": {"forces": predictions(90, 7, scale=0.1)}})


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    basis = ACEBasis(["Cu", "Ag"], order=2, totaldegree=3)
    shortest = {("Cu", "Cu"): 2.2, ("Cu", "Ag"): 2.4, ("Ag", "Cu"): 2.35}
    return LinearACE(basis, rng.standard_normal((2, len(basis))), {"Cu": -3.0, "Ag": -2.0}, shortest=shortest)


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# --- predictions and errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantity", FACTORS)
def test_parity(errors, ax, quantity):
    assert plot_parity(errors, quantity, ax=ax) is ax
    draw(ax.figure)
    *groups, guide = ax.get_lines()
    factor, error_factor = FACTORS[quantity]
    drawn = [group[quantity] for group in errors.groups.values() if quantity in group]
    assert len(groups) == len(drawn)
    for line, found in zip(groups, drawn):
        np.testing.assert_array_equal(line.get_xdata(), factor * found.true)
        np.testing.assert_array_equal(line.get_ydata(), factor * found.predicted)
    for text, found in zip(legend(ax), drawn):
        rmse = error_factor * np.sqrt(np.mean((found.predicted - found.true) ** 2))
        assert float(text.split()[1]) == pytest.approx(rmse, rel=5e-3)
    assert guide.get_slope() == 1.0 and guide.get_xy1()[0] == guide.get_xy1()[1]
    unit = {"energy": "eV/atom", "forces": "eV/Å", "virial": "eV/atom", "stress": "GPa"}[quantity]
    assert all(f"({unit})" in label for label in (ax.get_xlabel(), ax.get_ylabel()))


def test_groups_keep_their_look(errors, ax):
    """Energies are known of the first group alone, forces of both; the second group is the same everywhere."""
    only_second = Errors({"bulk": {"energy": predictions(3, 0)}, "liquid": {"forces": predictions(9, 1)}})
    figure = Figure().subplots(1, 2)
    plot_parity(errors, "forces", ax=figure[0])
    plot_parity(only_second, "forces", ax=figure[1])
    first, second = figure[0].get_lines()[1], figure[1].get_lines()[0]
    assert first.get_color() == second.get_color() and first.get_marker() == second.get_marker()
    looks = {(line.get_color(), line.get_marker()) for line in plot_parity(many(30), "energy", ax=ax).get_lines()[:-1]}
    assert len(looks) == 30


def many(n):
    return Errors({f"group {k}": {"energy": predictions(3, k, scale=0.01 * (1 + k))} for k in range(n)})


@pytest.mark.parametrize("quantity", FACTORS)
def test_error_distribution(errors, ax, quantity):
    plot_error_distribution(errors, quantity, ax=ax)
    draw(ax.figure)
    drawn = [group[quantity] for group in errors.groups.values() if quantity in group]
    for line, found in zip(ax.get_lines(), drawn, strict=True):
        sizes = FACTORS[quantity][1] * np.abs(found.predicted - found.true)
        x, share = line.get_data()
        assert sorted(x) == sorted(sizes)
        np.testing.assert_allclose(share, [100 * np.mean(sizes >= value) for value in x], rtol=1e-14)
        assert line.get_drawstyle() == "steps-pre"  # the share falls after an error, not before
    assert ax.get_xscale() == ax.get_yscale() == "log"
    unit = {"energy": "meV/atom", "forces": "eV/Å", "virial": "meV/atom", "stress": "GPa"}[quantity]
    assert f"({unit})" in ax.get_xlabel() and "%" in ax.get_ylabel()


def test_error_distribution_of_many_labels_is_thinned_and_exact(ax):
    found = predictions(20_000, 0)
    found.predicted[:100] = found.true[:100]  # no error: counted, not drawn
    plot_error_distribution(Errors({"all": {"forces": found}}), "forces", ax=ax)
    (line,) = ax.get_lines()
    x, share = line.get_data()
    sizes = np.sort(np.abs(found.predicted - found.true))
    assert 300 < len(x) < 1500 and x.min() > 0
    np.testing.assert_allclose(share, [100 * np.mean(sizes >= value) for value in x], rtol=1e-12)
    np.testing.assert_array_equal(x[-100:], sizes[-100:])


def test_predictions_and_errors_refuse(errors):
    for function in (plot_parity, plot_error_distribution):
        with pytest.raises(TypeError, match="errors must be an Errors"):
            function({"bulk": 1.0})
        with pytest.raises(ValueError, match="quantity must be one of energy, forces, virial, stress; got 'charge'"):
            function(errors, "charge")
        with pytest.raises(ValueError, match="errors has no labels of stress; it has energy"):
            function(many(2), "stress")
    exact = Errors({"all": {"energy": Predictions(np.ones(2), np.ones(2))}})
    with pytest.raises(ValueError, match="all errors of energy are zero"):
        plot_error_distribution(exact, "energy")


def test_one_label(ax):
    """One energy, or several equal ones, have no range."""
    draw(plot_parity(Errors({"one": {"energy": Predictions(np.array([-3.5]), np.array([-3.5]))}}), ax=ax).figure)


# --- dimers -------------------------------------------------------------------------------------------------------


def test_dimers(model, ax):
    assert plot_dimers(model, ax=ax) is ax
    draw(ax.figure)
    lines = ax.get_lines()[:-1]  # the last is zero
    for k, (a, b) in enumerate((("Cu", "Cu"), ("Cu", "Ag"), ("Ag", "Ag"))):
        nearer, trained = lines[2 * k : 2 * k + 2]
        assert trained.get_label() == f"{a}–{b}"
        shortest = {0: 2.2, 1: 2.35}.get(k)
        r = trained.get_xdata()
        np.testing.assert_array_equal(trained.get_ydata(), model.dimer(a, b, r))
        np.testing.assert_array_equal(nearer.get_ydata(), model.dimer(a, b, nearer.get_xdata()))
        assert nearer.get_linestyle() == ":" and nearer.get_color() == trained.get_color()
        if shortest is None:  # the pair was not in training: no mark, nothing is dotted
            assert len(nearer.get_xdata()) == 0 and trained.get_marker() == "None"
        else:
            assert trained.get_markevery() == [0] and r[0] == shortest
            assert len(nearer.get_xdata()) > 20 and nearer.get_xdata().max() < shortest
        assert r[-1] > 5.0
    bottom, top = ax.get_ylim()
    known = [line.get_ydata() for line in (lines[1], lines[3])]
    assert bottom < min(e.min() for e in known) < 0 < top
    assert "(Å)" in ax.get_xlabel() and "(eV)" in ax.get_ylabel()


def test_a_steep_core_does_not_hide_the_minimum(ax):
    basis = ACEBasis(["Cu"], order=1, totaldegree=1)
    model = LinearACE(basis, [-0.5, 0.0], core=ZBLCore(1.0, 2.5), shortest={("Cu", "Cu"): 0.5})
    plot_dimers(model, ax=ax)
    depth = -model.dimer("Cu", "Cu", np.linspace(1.5, 5, 300)).min()
    bottom, top = ax.get_ylim()
    assert depth > 0.01
    assert model.dimer("Cu", "Cu", [0.5])[0] > 1000 * depth
    assert -2 * depth < bottom < -depth and depth < top < 5 * depth


def test_dimers_of_a_model_without_distances(ax):
    basis = ACEBasis(["Cu"], order=1, totaldegree=1)
    plot_dimers(LinearACE(basis, np.zeros(2)), ax=ax)
    draw(ax.figure)
    assert not ax.get_legend().get_title().get_text()
    with pytest.raises(TypeError, match="model must be a SitePotential"):
        plot_dimers(basis)


# --- calibration --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantity, factor", [("forces", 1.0), ("energy", 1e3)])
def test_calibration(ax, quantity, factor):
    rng = np.random.default_rng(0)
    sigma = np.exp(rng.normal(-4, 1, 5000))
    actual = 3 * sigma * rng.standard_normal(5000)
    sigma[:50] = actual[:50] = 0.0  # isolated atoms
    sigma[50:60], actual[50:60] = 1e-17, 1e-15  # forces that symmetry forbids
    plot_calibration(sigma, actual, quantity, ax=ax)
    draw(ax.figure)
    dots, groups, guide = ax.get_lines()
    kept_sigma, kept = factor * sigma[60:], factor * np.abs(actual[60:])
    np.testing.assert_array_equal(dots.get_data(), [kept_sigma, kept])
    order = np.argsort(kept_sigma)
    for k, (x, y) in enumerate(zip(*groups.get_data(), strict=True)):
        part = order[494 * k : 494 * (k + 1)]  # ten groups of 4940 labels
        assert x == pytest.approx(np.sqrt(np.mean(kept_sigma[part] ** 2)), rel=1e-12)
        assert y == pytest.approx(np.sqrt(np.mean(kept[part] ** 2)), rel=1e-12)
        assert y / x == pytest.approx(3, rel=0.2)  # six deviations of a mean of 494 squares
    assert k == 9
    np.testing.assert_array_equal(guide.get_xdata(), guide.get_ydata())
    ratio = np.sqrt(np.sum(kept**2) / np.sum(kept_sigma**2))
    assert ax.get_title() == f"errors are {ratio:.2g} times the prediction"
    unit = {"forces": "(eV/Å)", "energy": "(meV/atom)"}[quantity]
    assert unit in ax.get_xlabel() and unit in ax.get_ylabel()


def test_calibration_of_few_labels(ax):
    plot_calibration([0.1, 0.2, 0.3], [0.0, -0.2, 0.1], ax=ax)
    draw(ax.figure)
    np.testing.assert_allclose(ax.get_lines()[1].get_data(), [[0.1, 0.2, 0.3], [0.0, 0.2, 0.1]])


def test_calibration_refuses():
    with pytest.raises(ValueError, match=r"errors must have shape \(3,\); got \(2,\)"):
        plot_calibration([0.1, 0.2, 0.3], [1.0, 2.0])
    with pytest.raises(ValueError, match="deviations must be >= 0; got"):
        plot_calibration([0.1, -0.2], [1.0, 2.0])
    for sigma, size in (([], []), ([0.0], [1.0]), ([1.0], [0.0])):
        with pytest.raises(ValueError, match="nothing to draw"):
            plot_calibration(sigma, size)
    with pytest.raises(ValueError, match="quantity must be one of"):
        plot_calibration([0.1], [0.1], "charge")


# --- all together -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found(model):
    return model.errors(emt_structures(4), progress=False)


def test_figure_of_training_and_test(model, errors, found):
    figure = potential_figure(model, found, errors)
    draw(figure)
    panels = figure.axes
    assert len(panels) == 8
    for axes, quantity in zip(panels[:3], ("energy", "forces", "stress")):
        for line, part in zip(axes.get_lines()[:2], (found, errors)):
            assert len(line.get_xdata()) == len(part.all(quantity).true)
        assert [text.split(":")[0] for text in legend(axes)] == ["training", "test"]
    assert [text.split(":")[0] for text in legend(panels[5])] == ["training", "test"]
    assert legend(panels[3]) == ["Cu–Cu", "Cu–Ag", "Ag–Ag"]
    assert legend(panels[7]) == ["ν = 1", "ν = 2"] and "eV" in panels[7].get_ylabel()


def test_figure_of_groups(model, found):
    figure = potential_figure(model, found)
    assert [text.split(":")[0] for text in legend(figure.axes[0])] == ["alloy", "crystal"]
    # Of many groups, the five with the largest errors and one for the rest.
    figure = potential_figure(model, many(20))
    assert len(figure.axes) == 4  # energies alone
    shown = [text.split(":")[0] for text in legend(figure.axes[0])]
    sizes = {name: group["energy"].rmse for name, group in many(20).groups.items()}
    assert shown == [*sorted(sizes, key=sizes.get)[:-6:-1], "15 others"]
    assert len(figure.axes[0].get_lines()[5].get_xdata()) == 45


def test_figure_with_calibration(model, found):
    sigma = np.linspace(0.1, 1, 48)
    figure = potential_figure(model, found, calibration=(sigma, sigma))
    draw(figure)
    assert figure.axes[-1].get_title() == "errors are 1 times the prediction"


def test_figure_of_a_model_that_is_exact_and_empty(model):
    empty = LinearACE(model.basis, np.zeros((2, len(model.basis))))
    exact = Errors({"all": {"energy": Predictions(np.zeros(3), np.zeros(3))}})
    figure = potential_figure(empty, exact)
    draw(figure)
    assert [axes.axison for axes in figure.axes] == [True, True, False, False]


def test_figure_refuses(model, found):
    with pytest.raises(TypeError, match="errors must be an Errors"):
        potential_figure(model, 3.0)
    with pytest.raises(TypeError, match="test must be an Errors"):
        potential_figure(model, found, 3.0)
    with pytest.raises(ValueError, match="errors has no labels"):
        potential_figure(model, Errors({"all": {}}))
