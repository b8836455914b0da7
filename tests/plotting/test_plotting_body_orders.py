"""Figures of body orders show the numbers they are given, and those of the model."""

import numpy as np
import pytest
from ase import Atoms

from acepure import ACEBasis, LinearACE
from acepure.plotting import plot_orders, plot_trimer_map


def model():
    basis = ACEBasis(["Cu", "Zr"], rcut=4.0, order=2, totaldegree=3)
    return LinearACE(basis, np.random.default_rng(0).normal(size=(2, len(basis))))


def test_lines_are_the_terms_and_their_sum(ax):
    rng = np.random.default_rng(0)
    terms, x, labels = rng.normal(size=(5, 4)), np.linspace(2, 3, 5), rng.normal(size=5)
    assert plot_orders(terms, x, deviations=abs(terms), labels=labels, xlabel="r (Å)", ax=ax) is ax
    shown = {line.get_label(): line.get_ydata() for line in ax.lines}
    for nu in (1, 2, 3):
        np.testing.assert_array_equal(shown[f"ν = {nu}"], terms[:, nu])
    np.testing.assert_allclose(shown["sum"], terms[:, 1:].sum(axis=1), atol=1e-15)
    np.testing.assert_array_equal(shown["label"], labels)
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), x)
    assert len(ax.collections) == 3 and ax.get_xlabel() == "r (Å)"
    ends = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert ends.max() == pytest.approx((terms + abs(terms))[:, 1].max())


@pytest.mark.parametrize("order", [1, 2])
def test_a_map_of_three_atoms(ax, order):
    potential = model()
    plot_trimer_map(potential, ("Cu", "Cu", "Zr"), 2.0, order=order, points=9, ax=ax)
    shown = ax.collections[0].get_array().reshape(5, 9)
    x, y = np.linspace(-5, 5, 9), np.linspace(0, 4, 5)
    for row, column in ((0, 0), (2, 3), (4, 4)):
        atoms = Atoms(["Cu", "Cu", "Zr"], [[-1, 0, 0], [1, 0, 0], [x[column], y[row], 0]])
        expected = potential.energies_by_order(atoms)[order].sum()
        assert shown[row, column] == pytest.approx(expected, abs=1e-12)
    assert np.ma.getmaskarray(shown)[0, 3]  # 0.25 Å from an atom


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"symbols": ("Cu", "Cu")}, ValueError, "symbols must name three atoms"),
        ({"order": 3}, ValueError, "order must be 1 or 2"),
        ({"distance": 0.0}, ValueError, "distance must be a finite number > 0"),
        ({"model": "Cu.ace"}, TypeError, "model must be a LinearACE"),
    ],
)
def test_wrong_arguments(change, error, message):
    with pytest.raises(error, match=message):
        plot_trimer_map(**{"model": model(), "symbols": ("Cu", "Cu", "Cu"), "distance": 2.0, **change})


def test_terms_and_their_places_must_match():
    with pytest.raises(ValueError, match="x must have shape"):
        plot_orders(np.zeros((3, 2)), [1.0, 2.0])
