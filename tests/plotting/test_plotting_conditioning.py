"""Figures of diagnostics: what is drawn, from the data of the artists."""

import matplotlib
import numpy as np
import pytest
from cases.diagnostics import Table, orthonormal

from acepure import ACEBasis
from acepure.diagnostics import Comparison, ComparisonRow, coefficient_decay, conditioning
from acepure.plotting import (
    plot_coefficient_decay,
    plot_comparison,
    plot_condition_numbers,
    plot_gram,
    plot_spectrum,
)

matplotlib.use("Agg")


def draw(ax):
    """Render: missing glyphs and bad layouts are warnings, and warnings are errors here."""
    ax.figure.canvas.draw()


def of(features, sizes=None):
    table = Table(features, sizes)
    return conditioning(table, table.structures())


@pytest.fixture(scope="module")
def result():
    features = np.random.default_rng(0).normal(size=(50, 6)) @ np.random.default_rng(1).normal(size=(6, 6))
    return of(features, sizes=(2, 4))


@pytest.mark.parametrize("scaling", ["raw", "scaled", "standardized"])
def test_spectra(ax, result, scaling):
    short = of(np.random.default_rng(2).normal(size=(5, 8)))
    assert plot_spectrum({"one": result, "few": short}, scaling, ax=ax) is ax
    draw(ax)
    one, few = ax.get_lines()
    expected = result.spectrum(scaling)
    np.testing.assert_array_equal(one.get_xdata(), np.arange(1, len(expected) + 1))
    np.testing.assert_array_equal(one.get_ydata(), expected / expected[0])
    # Five environments have rank five, four about their mean.
    assert len(few.get_xdata()) == (4 if scaling == "standardized" else 5)
    assert few.get_label() == "few (4 zero)"
    assert ax.get_yscale() == "log" and scaling in ax.get_title()


def test_the_floor_is_drawn_where_it_is_reached(ax):
    u = orthonormal(50, 2)
    dependent = of(np.column_stack([u, u[:, 0] + u[:, 1]]))
    plot_spectrum({"dependent": dependent}, ax=ax)
    draw(ax)
    curve, floor = ax.get_lines()
    assert floor.get_ydata()[0] == pytest.approx(1 / dependent.floor("standardized"))
    assert 0 < curve.get_ydata()[-1] < floor.get_ydata()[0] < curve.get_ydata()[-2]


@pytest.mark.parametrize("scaling", ["raw", "scaled", "standardized"])
def test_gram_matrices(ax, result, scaling):
    plot_gram(result, scaling, ax=ax)
    draw(ax)
    image = np.asarray(ax.get_images()[0].get_array())
    expected = result.gram(scaling)
    np.testing.assert_array_equal(image, np.log10(np.abs(expected)) if scaling == "raw" else expected)
    edges = [2] if scaling == "standardized" else [1, 3]  # the constant is of order 0
    lines = [line for line in ax.get_lines() if line.get_xdata()[0] == line.get_xdata()[1]]
    assert [line.get_xdata()[0] for line in lines] == edges
    assert len(ax.figure.axes) == 2  # a color bar
    assert f"{len(expected)} {scaling} columns" in ax.get_title()


def test_gram_is_sorted_by_order(ax, result):
    chosen = result.of_features([3, 0, 4, 1])
    plot_gram(chosen, ax=ax)
    expected = chosen.gram("standardized")[np.ix_([1, 3, 0, 2], [1, 3, 0, 2])]
    np.testing.assert_array_equal(np.asarray(ax.get_images()[0].get_array()), expected)


def test_zero_entries_of_a_raw_gram_matrix_stay_white(ax):
    plot_gram(of(np.column_stack([orthonormal(20, 2), np.zeros(20)])), "raw", ax=ax)
    draw(ax)
    mask = np.ma.getmaskarray(ax.get_images()[0].get_array())
    assert mask[3].all() and mask[:, 3].all() and not mask.diagonal()[:3].any()


def test_condition_numbers(ax, result):
    rows = {"shifted": {"Si": 9e3, "Cu": 6e5}, "plain": {"Si": 5e14, "Cu": np.inf}, "one": {"Si": 1}}
    plot_condition_numbers(rows, ax=ax)
    draw(ax)
    right = [bar.get_x() + bar.get_width() for bar in ax.patches]
    # Kind by kind, row by row; infinite bars end beyond all others, missing ones are not there.
    np.testing.assert_allclose(right[:4], [9e3, 5e14, 1, 6e5], rtol=1e-12)
    assert right[4] >= 10 * 5e14 and np.isnan(right[5])
    assert [(bar.get_fill(), bar.get_hatch() is None) for bar in ax.patches[:5]] == 4 * [(True, True)] + [
        (False, False)
    ]
    assert [text.get_text() for text in ax.texts] == ["9e+03", "5e+14", "1e+00", "6e+05", "∞", ""]
    assert [label.get_text() for label in ax.get_yticklabels()] == list(rows)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["Si", "Cu"]
    assert ax.get_xscale() == "log" and ax.get_xlim()[0] == 1 and ax.get_xlim()[1] > right[4]


def test_condition_numbers_of_results(ax, result):
    plot_condition_numbers({"a": result}, ax=ax)
    draw(ax)
    right = [bar.get_x() + bar.get_width() for bar in ax.patches]
    expected = [result.condition_number(scaling) for scaling in ("raw", "scaled", "standardized")]
    np.testing.assert_allclose(right, expected, rtol=1e-12)


def test_all_infinite_or_one_kind(ax):
    plot_condition_numbers({"a": {"x": np.inf}, "b": {"x": np.inf}}, ax=ax)
    draw(ax)
    assert ax.get_legend() is None and not ax.patches and not len(ax.get_xticks())
    assert [text.get_text() for text in ax.texts] == ["all are infinite: columns are dependent"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]


def compared(result, *held_out):
    """A comparison of made rows with one held-out floor each, and one row that could not be made."""
    rows = [
        ComparisonRow(f"functions {k}", "Wick", False, {"Cu": result}, {}, 3.0, floor, 5.0)
        for k, floor in enumerate(held_out)
    ]
    failed = ComparisonRow("whitened", "Wick", False, {}, {}, reason="too few distances")
    return Comparison((*rows, failed), "Cu, rcut 5 Å", 6, 2, 50)


@pytest.mark.parametrize(
    "held_out, kind", [((7.0, 9.0), "lower orders off, held out"), ((np.nan,), "lower orders off")]
)
def test_comparisons(ax, result, held_out, kind):
    plot_comparison(compared(result, *held_out), ax=ax)
    draw(ax)
    right = [bar.get_x() + bar.get_width() for bar in ax.patches]
    floors = [3.0] if np.isnan(held_out[0]) else list(held_out)
    np.testing.assert_allclose(right, len(held_out) * [result.condition_number("scaled")] + floors, rtol=1e-12)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["scaled", kind]
    assert [text.get_text() for text in ax.get_yticklabels()] == [f"Wick, functions {k}" for k in range(len(held_out))]
    assert ax.get_title() == "Cu, rcut 5 Å"


def test_coefficient_decay(ax):
    basis = ACEBasis(["Cu"], order=2, totaldegree=4)
    theta = np.random.default_rng(3).normal(size=len(basis))
    theta[0] = 0.0  # order 1, degree 0: nothing to draw
    decay = coefficient_decay(basis, theta)
    plot_coefficient_decay(decay, ax=ax)
    draw(ax)
    lines = ax.get_lines()
    for nu, line, dots in ((1, lines[0], lines[1]), (2, lines[2], lines[3])):
        degrees = [degree for order, degree in decay.by_order_and_degree if order == nu and (order, degree) != (1, 0)]
        np.testing.assert_array_equal(line.get_xdata(), degrees)
        np.testing.assert_array_equal(line.get_ydata(), [decay.by_order_and_degree[nu, d].rms for d in degrees])
        np.testing.assert_array_equal(dots.get_ydata(), [decay.by_order_and_degree[nu, d].largest for d in degrees])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["ν = 1", "ν = 2"]


def test_one_result_needs_no_name(ax, result):
    plot_spectrum(result, ax=ax)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["6 features"]


def test_input_is_refused(result):
    constant = of(np.ones((9, 2)))
    for call, error, message in (
        (lambda: plot_spectrum({}), ValueError, "results is empty"),
        (lambda: plot_spectrum([result]), TypeError, "results must be a Mapping; got "),
        (lambda: plot_spectrum({"a": 3}), TypeError, r"results\['a'\] must be a Conditioning; got 3"),
        (lambda: plot_spectrum({"a": result}, "unit"), ValueError, "scaling must be one of"),
        (lambda: plot_spectrum({"a": constant}), ValueError, "'a' has no standardized features that vary"),
        (lambda: plot_gram(constant), ValueError, "no feature varies"),
        (lambda: plot_gram("a"), TypeError, "result must be a Conditioning"),
        (lambda: plot_condition_numbers({"a": 3.0}), TypeError, r"rows\['a'\] must be a Mapping"),
        (lambda: plot_condition_numbers({"a": {"x": 0.5}}), ValueError, "must be a condition number >= 1; got 0.5"),
        (lambda: plot_condition_numbers({"a": {"x": np.nan}}), ValueError, "must be a condition number >= 1; got nan"),
        (lambda: plot_comparison(result), TypeError, "comparison must be a Comparison"),
        (lambda: plot_comparison(compared(result)), ValueError, "no basis of the comparison could be made"),
        (lambda: plot_coefficient_decay([1.0]), TypeError, "decay must be a CoefficientDecay"),
        (
            lambda: plot_coefficient_decay(coefficient_decay(ACEBasis(["Cu"], order=1, totaldegree=1), [0, 0])),
            ValueError,
            "all coefficients are zero",
        ),
    ):
        with pytest.raises(error, match=message):
            call()
