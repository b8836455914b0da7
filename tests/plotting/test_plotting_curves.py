"""Curves, correlations and distributions: what is drawn, from the data of the artists."""

import matplotlib
import numpy as np
import pytest

from acepure.plotting import plot_correlations, plot_curves, plot_distributions

matplotlib.use("Agg")
from matplotlib.colors import to_hex


def test_curves(ax):
    x = np.arange(1, 6)
    curves = {"a": (x, x**2), "b": (x[:3], [1.0, np.nan, 2.0])}
    assert plot_curves(curves, xlabel="time (ps)", ylabel="E (eV)", yscale="log", ax=ax) is ax
    ax.figure.canvas.draw()
    first, second = ax.get_lines()
    np.testing.assert_array_equal(first.get_data(), [x, x**2])
    np.testing.assert_array_equal(second.get_ydata(), [1.0, np.nan, 2.0])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    assert ax.get_yscale() == "log" and ax.get_xscale() == "linear"
    assert ax.get_xlabel() == "time (ps)" and ax.get_ylabel() == "E (eV)"


def test_curves_are_told_apart_without_color(ax):
    plot_curves({str(k): ([0, 1], [k, k]) for k in range(5)}, ax=ax)
    looks = {(line.get_linestyle(), line.get_marker()) for line in ax.get_lines()}
    colors = {line.get_color() for line in ax.get_lines()}
    assert len(colors) == 5 and len({marker for _, marker in looks}) == 5


def test_many_points_have_no_markers_and_one_curve_no_legend(ax):
    plot_curves({"all": (np.arange(1000), np.zeros(1000))}, ax=ax)
    assert ax.get_lines()[0].get_marker() == "" and ax.get_legend() is None


def test_a_long_legend_is_beside_the_curves(ax):
    plot_curves({str(k): ([0, 1], [k, k]) for k in range(5)}, ax=ax)
    ax.figure.canvas.draw()
    assert ax.get_legend().get_window_extent().x0 >= ax.get_window_extent().x1


def test_bands(ax):
    x, low, high = np.arange(4.0), np.array([0.0, 1, 2, 3]), np.array([2.0, 3, 4, 9])
    plot_curves({"a": (x, low), "b": (x, (low + high) / 2)}, bands={"b": (low, high)}, ax=ax)
    ax.figure.canvas.draw()
    (area,) = ax.collections
    corners = area.get_paths()[0].vertices
    for point in (*zip(x, low), *zip(x, high)):
        assert (np.abs(corners - point).sum(axis=1) < 1e-12).any()
    assert to_hex(area.get_facecolor()[0]) == ax.get_lines()[1].get_color().lower()


def test_curves_refuse():
    with pytest.raises(ValueError, match="curves must be a mapping of at least one name"):
        plot_curves({})
    with pytest.raises(ValueError, match=r"y of 'a' must have as many values as x, 2; got shape \(3,\)"):
        plot_curves({"a": ([1, 2], [1, 2, 3])})
    with pytest.raises(ValueError, match="bands has b, which is no curve; there are a"):
        plot_curves({"a": ([1], [1])}, bands={"b": ([1], [1])})
    with pytest.raises(ValueError, match="band of 'a' must have as many values as x"):
        plot_curves({"a": ([1], [1])}, bands={"a": ([1, 2], [1])})


def test_correlations(ax):
    matrix = np.corrcoef(np.random.default_rng(0).normal(size=(3, 10)))
    assert plot_correlations(matrix, ["FCC", "BCC", "HCP"], digits=2, ax=ax) is ax
    ax.figure.canvas.draw()
    np.testing.assert_array_equal(ax.get_images()[0].get_array(), matrix)
    written = {text.get_position(): text.get_text() for text in ax.texts}
    assert written == {(j, i): f"{matrix[i, j]:.2f}" for i in range(3) for j in range(3)}
    assert [label.get_text() for label in ax.get_xticklabels()] == ["FCC", "BCC", "HCP"]


def test_correlations_refuse():
    with pytest.raises(ValueError, match=r"matrix must have shape \(2, 2\)"):
        plot_correlations(np.eye(3), ["a", "b"])
    with pytest.raises(ValueError, match="entries between"):
        plot_correlations(2 * np.eye(2), ["a", "b"])


def test_distributions(ax):
    rng = np.random.default_rng(0)
    values = {"ν = 1": {"FCC": rng.normal(size=200), "BCC": rng.normal(size=(50, 4))}, "ν = 2": {"BCC": [3.0, 4.0]}}
    assert plot_distributions(values, ylabel="B", ax=ax) is ax
    ax.figure.canvas.draw()
    assert [label.get_text() for label in ax.get_xticklabels()] == ["ν = 1", "ν = 2"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["FCC", "BCC"]
    boxes = [patch.get_path().vertices for patch in ax.patches]
    drawn = [values["ν = 1"]["FCC"], values["ν = 1"]["BCC"], values["ν = 2"]["BCC"]]
    for box, found in zip(boxes, drawn, strict=True):
        np.testing.assert_allclose([box[:, 1].min(), box[:, 1].max()], np.percentile(found, [25, 75]), rtol=1e-12)
    assert boxes[1][:, 0].min() > boxes[0][:, 0].max()  # side by side
    assert 0.5 < boxes[2][:, 0].mean() < 1.5  # with its group
    ends = sorted(line.get_ydata().max() for line in ax.get_lines()[:4])
    assert ends[-1] == pytest.approx(np.percentile(drawn[0], 95), abs=0.1)  # whiskers end at a value


def test_distributions_on_a_logarithmic_scale_leave_out_what_is_not_positive(ax):
    plot_distributions({"all": {"a": [-1.0, 0.0, 1.0, 10.0, 100.0]}}, yscale="log", ax=ax)
    ax.figure.canvas.draw()
    box = ax.patches[0].get_path().vertices[:, 1]
    assert (box.min(), box.max()) == (5.5, 55.0)
    with pytest.raises(ValueError, match="'all', 'a' has no value that can be shown on a log scale"):
        plot_distributions({"all": {"a": [-1.0]}}, yscale="log")
    with pytest.raises(ValueError, match="values is empty"):
        plot_distributions({})
