"""Figures: what is drawn, from the data of the artists; how it looks is for eyes."""

import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest

import acepure
from acepure.diagnostics import SelfInteraction
from acepure.functions import PolynomialRadialBasis
from acepure.plotting import (
    features_figure,
    figure_format,
    plot_map,
    plot_purification,
    plot_radial,
    plot_self_interaction,
    principal_components,
)

matplotlib.use("Agg")


def draw(ax):
    """Render: missing glyphs and bad layouts are warnings, and warnings are errors here."""
    ax.figure.canvas.draw()


@pytest.fixture(scope="module")
def basis():
    return acepure.ACEBasis(["Cu"], rcut=5.0, order=3, totaldegree=6)


def test_import_of_the_package_leaves_matplotlib_out():
    modules = "sys, acepure, acepure.plotting, acepure.cli.demo, acepure.cli"
    code = f"import {modules}; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_radial_functions(basis, ax):
    assert plot_radial(basis, ax=ax) is ax
    draw(ax)
    curves = ax.get_lines()[:-1]  # the last line marks the cutoff
    assert [line.get_label() for line in curves] == [str(n) for n in range(7)]
    r = curves[0].get_xdata()
    expected = basis.radial.evaluate(r, "Cu", "Cu", 7)
    np.testing.assert_array_equal(np.transpose([line.get_ydata() for line in curves]), expected)


def test_radial_labels_begin_at_n_start(ax):
    basis = acepure.ACEBasis(["Cu", "Zr"], order=2, totaldegree=5, n_start=1)
    plot_radial(basis, "Zr", "Cu", ax=ax)
    assert [line.get_label() for line in ax.get_lines()[:-1]] == ["1", "2", "3", "4", "5"]
    assert "Zr–Cu" in ax.get_title()


def test_radial_basis_alone_makes_its_own_figure():
    ax = plot_radial(PolynomialRadialBasis(4.0), "Si", n_radial=3)
    draw(ax)
    assert len(ax.get_lines()) == 4


def test_radial_refuses(basis):
    pair = acepure.ACEBasis(["Cu", "Zr"], order=2, totaldegree=4)
    with pytest.raises(ValueError, match=r"center is needed.*Cu.*Zr"):
        plot_radial(pair)
    with pytest.raises(ValueError, match="neighbor 'Al' is not one of"):
        plot_radial(pair, "Cu", "Al")
    with pytest.raises(ValueError, match="center 'Al' is not one of"):
        plot_radial(pair, "Al")
    with pytest.raises(ValueError, match="center is needed"):
        plot_radial(PolynomialRadialBasis(4.0))
    with pytest.raises(TypeError, match="basis must be an ACEBasis or a RadialBasis"):
        plot_radial("Cu")


def test_purification_pattern(basis, ax):
    plot_purification(basis, ax=ax)
    draw(ax)
    image = np.asarray(ax.get_images()[0].get_array())
    P = basis.purification
    assert image.shape == (P.shape[0], min(P.shape[1], 500))
    assert f"{P.nnz:,} entries" in ax.get_title()
    # Every product is there itself, once; each row has an entry in the cells where P has one.
    np.testing.assert_array_equal((image == 2).sum(axis=1), 1)
    np.testing.assert_array_equal(np.unique(np.nonzero(image)[0]), np.unique(P.nonzero()[0]))


def test_purification_of_a_small_basis_is_drawn_entry_by_entry(ax):
    basis = acepure.ACEBasis(["Cu"], order=2, totaldegree=4)
    plot_purification(basis, ax=ax)
    orders = np.array([len(k) for k in basis.extended_products])
    expected = basis.purification.toarray()[:, np.argsort(orders, kind="stable")] != 0
    np.testing.assert_array_equal(np.asarray(ax.get_images()[0].get_array()) != 0, expected)


@pytest.mark.parametrize("path", ["a.svg", "a.b/c.PNG", Path("x.pdf")])
def test_formats_of_figures(path):
    assert figure_format("output", path) == {"a.svg": "svg", "a.b/c.PNG": "png"}.get(path, "pdf")


@pytest.mark.parametrize("path", ["png", ".png", "a.png/b", "a.docx", "a.", Path("a.txt")])
def test_names_of_figures_without_a_format(path):
    with pytest.raises(ValueError, match=rf"^--figure {path}: the name must end in one of \..*, \.png, "):
        figure_format("--figure", path)


def test_purification_refuses():
    with pytest.raises(ValueError, match="canonical=True is needed"):
        plot_purification(acepure.ACEBasis(["Cu"], order=2, totaldegree=4, canonical=False))
    with pytest.raises(TypeError, match="basis must be an ACEBasis"):
        plot_purification(3)


@pytest.mark.parametrize("shape", [(40, 7), (90, 60), (60, 90)])  # full SVD; iteration, tall and wide
def test_principal_components_against_the_svd(shape):
    rng = np.random.default_rng(0)
    # A spectrum with gaps, so that directions are well defined.
    features = rng.normal(size=shape) + rng.normal(size=(shape[0], 3)) * [9, 6, 4] @ rng.normal(size=(3, shape[1]))
    features[:, 3] = 5.0  # says nothing
    coordinates, share = principal_components(features, 3)
    varying = np.delete(features, 3, axis=1)
    U, s, _ = np.linalg.svd((varying - varying.mean(axis=0)) / varying.std(axis=0), full_matrices=False)
    # Errors of directions are rounding divided by the relative gaps, which are a few per cent or more here.
    np.testing.assert_allclose(np.abs(coordinates), np.abs(U * s)[:, :3], atol=1e-11 * s[0])
    np.testing.assert_allclose(share, (s**2 / (s @ s))[:3], rtol=1e-12)
    assert (coordinates[np.abs(coordinates).argmax(axis=0), range(3)] > 0).all()
    np.testing.assert_allclose(principal_components(1e3 * features + 7, 3)[0], coordinates, atol=1e-9)


def test_principal_components_pads_what_is_not_there():
    coordinates, share = principal_components([[1.0], [2.0]], 3)
    assert coordinates.shape == (2, 3) and not coordinates[:, 1:].any()
    np.testing.assert_allclose(share, [1, 0, 0])


@pytest.mark.parametrize("features", [[[1.0, 2.0]], [[1.0, 2.0]] * 3, np.empty((0, 3)), np.empty((3, 0))])
def test_principal_components_needs_variation(features):
    with pytest.raises(ValueError, match="two different rows"):
        principal_components(features)


def test_map_draws_every_atom_once(ax):
    rng = np.random.default_rng(1)
    features = rng.normal(size=(30, 5))
    phases, conditions = ["FCC", "BCC", "HCP"] * 10, ["clean", "hot"] * 15
    plot_map(features, phases, conditions, ax=ax)
    draw(ax)
    points = np.concatenate([dots.get_offsets() for dots in ax.collections])
    expected = principal_components(features)[0]
    np.testing.assert_array_equal(points[np.lexsort(points.T)], expected[np.lexsort(expected.T)])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["FCC", "BCC", "HCP", "clean", "hot"]
    assert sorted(text.get_text() for text in ax.texts) == ["BCC", "FCC", "HCP"]


def test_map_without_conditions(ax):
    plot_map([[0.0, 1.0], [1.0, 0.0], [3.0, 3.0]], ["a", "b", "a"], ax=ax)
    draw(ax)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]


def test_map_refuses():
    with pytest.raises(ValueError, match="phases has 1 entries, but features has 2 rows"):
        plot_map([[0.0], [1.0]], ["a"])
    with pytest.raises(TypeError, match="conditions must be a sequence"):
        plot_map([[0.0], [1.0]], ["a", "b"], "hot")


def test_self_interaction_bars(ax):
    plot_self_interaction({"FCC": {2: 0.25, 3: 0.5}, "BCC": {2: 0.1, 3: 0.2}}, ax=ax)
    draw(ax)
    assert [bar.get_width() for bar in ax.patches] == [25.0, 10.0, 50.0, 20.0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["FCC", "BCC"]
    with pytest.raises(ValueError, match="shares is empty"):
        plot_self_interaction({})


def test_self_interaction_of_a_result(ax):
    result = SelfInteraction(np.array([0.0, 1.0]), np.array([1.0, 4.0]), 7, ("a", "b"), np.array([1, 2]))
    plot_self_interaction(result, ax=ax)
    assert [bar.get_width() for bar in ax.patches] == [25.0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["7 environments"]


def test_features_figure_has_map_and_bars():
    shares = {"FCC": {1: 0.0, 2: 0.25}, "BCC": {1: 0.0, 2: 0.1}}
    figure = features_figure(np.eye(4), ["FCC", "BCC"] * 2, ["clean", "clean", "hot", "hot"], shares)
    figure.canvas.draw()
    map_, bars = figure.axes
    assert sum(len(dots.get_offsets()) for dots in map_.collections) == 4
    assert [bar.get_width() for bar in bars.patches] == [25.0, 10.0]
    assert figure.dpi * figure.get_size_inches()[0] >= 1500  # print size
