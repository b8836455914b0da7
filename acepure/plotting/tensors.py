"""Figures of models of vectors and tensors: predictions and errors by irrep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from acepure._utils.checks import check_kind
from acepure.fitting.tensor_errors import TensorErrors, relative_error
from acepure.fitting.tensor_labels import components_of
from acepure.plotting.potentials import draw_points, draw_survival
from acepure.plotting.style import new_axes, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANEL = (3.9, 3.5)  # inches


def plot_tensor_parity(
    errors: TensorErrors,
    irrep: str,
    quantity: str = "values",
    *,
    ax: Axes | None = None,
    name: str = "",
    color: int = 0,
) -> Axes:
    """Draw predicted against given spherical components of one irrep; on the dotted line they are equal.

    Parameters
    ----------
    errors : TensorErrors
        From `TensorModel.errors`.
    irrep : str
    quantity : {"values", "derivatives"}
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.
    name : str
        For the legend.
    color : int
        Number of the color and marker.

    Returns
    -------
    matplotlib.axes.Axes
    """
    check_kind("errors", errors, TensorErrors)
    found, unit = errors.of_irrep(irrep, quantity), _unit(errors, quantity)
    ax = new_axes(ax, figsize=(4.8, 4.4))
    relative = relative_error(found)
    label = f"{name} {found.rmse:.3g} ({relative:.2%})".strip()
    draw_points(ax, found.true.ravel(), found.predicted.ravel(), color, label)
    if color == 0:
        lowest = float(found.true.min())
        ax.axline((lowest, lowest), slope=1.0, color="0.35", linewidth=0.9, linestyle=":")
    ax.set(xlabel=f"{irrep} components, label{_bracket(unit)}", ylabel=f"predicted{_bracket(unit)}")
    ax.legend(title="RMSE (of the spread)", fontsize="small", frameon=False)
    return tidy(ax)


def tensor_figure(errors: TensorErrors, test: TensorErrors | None = None) -> Figure:
    """Return one figure of a model: parity and distribution of errors of each irrep.

    Parameters
    ----------
    errors : TensorErrors
        On the structures of the fit, or any.
    test : TensorErrors, optional
        On structures that were not fitted.

    Returns
    -------
    matplotlib.figure.Figure
    """
    check_kind("errors", errors, TensorErrors)
    shown = {"": errors} if test is None else {"training": errors, "test": check_kind("test", test, TensorErrors)}
    panels = [
        (irrep, quantity)
        for quantity in ("values", "derivatives")
        if errors.all(quantity) is not None
        for irrep in components_of(errors.rank)
    ]
    figure = new_figure(len(panels) * _PANEL[0], 2 * _PANEL[1])
    for (irrep, quantity), (above, below) in zip(panels, figure.subplots(2, len(panels), squeeze=False).T):
        for k, (name, part) in enumerate(shown.items()):
            if part.all(quantity) is None:
                continue
            plot_tensor_parity(part, irrep, quantity, ax=above, name=name, color=k)
            found = part.of_irrep(irrep, quantity)
            if (errors_here := np.abs(found.predicted - found.true).ravel()).any():
                draw_survival(below, errors_here, k, name or None)
        unit = _unit(errors, quantity)
        below.set(xlabel=f"error{_bracket(unit)}", ylabel="at least so large (%)", xscale="log", yscale="log")
        if test is not None:
            below.legend(fontsize="small", frameon=False)
        tidy(below)
    return figure


def _unit(errors: TensorErrors, quantity: str) -> str:
    unit = f" {errors.unit}" if errors.unit else ""
    return unit if quantity == "values" else f"{unit or ' '}/Å"


def _bracket(unit: str) -> str:
    return f" ({unit.strip()})" if unit.strip() else ""
