"""What a run of hyperactive learning found: the criterion, predicted deviations against errors, learning curves."""

from __future__ import annotations

import html
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from acepure.active.folder import Folder
from acepure.active.records import learning_curve
from acepure.plotting.curves import plot_curves
from acepure.plotting.style import PALETTE, new_axes, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# More curves than this hide each other: the first and the last trajectories are drawn.
_MOST_CURVES = 8


def plot_criteria(criteria: dict[str, Any], tolerance: float | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw the criterion along trajectories.

    Parameters
    ----------
    criteria : mapping of str to (times, values)
        Name of a trajectory → ps, and largest σ(F_i) / (|F_i| + ε).
    tolerance : float, optional
        Drawn as a line.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = plot_criteria({"8": ([0, 0.1, 0.2], [0.1, 0.15, 0.3])}, 0.2, ax=Figure().subplots())
    >>> ax.get_ylabel()
    'largest relative uncertainty of a force'
    """
    ax = plot_curves(criteria, xlabel="time (ps)", ylabel="largest relative uncertainty of a force", ax=ax)
    if tolerance is not None:
        ax.axhline(tolerance, color="0.4", linewidth=1, linestyle="--")
    return ax


def plot_predictions(sigmas: Any, errors: Any, *, ax: Axes | None = None) -> Axes:
    """Draw errors of forces of new frames against the deviations predicted before they were fitted.

    Parameters
    ----------
    sigmas, errors : array_like, shape (n,)
        Root mean squares over each frame, eV/Å.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> plot_predictions([0.1, 0.2], [0.08, 0.3], ax=Figure().subplots()).get_xscale()
    'log'
    """
    sigmas, errors = np.asarray(sigmas, dtype=float), np.asarray(errors, dtype=float)
    ax = new_axes(ax, figsize=(4.2, 3.8))
    both = np.concatenate([sigmas, errors])
    both = both[both > 0]
    ends = np.array([both.min() / 1.5, both.max() * 1.5]) if both.size else np.array([0.1, 1.0])
    ax.plot(ends, ends, color="0.4", linewidth=1)
    for factor in (0.5, 2.0):
        ax.plot(ends, factor * ends, color="0.4", linewidth=0.7, linestyle=":")
    ax.plot(sigmas, errors, linestyle="", marker="o", markersize=5, color=PALETTE[0])
    ax.set(xscale="log", yscale="log", xlabel="predicted deviation (eV/Å)", ylabel="error (eV/Å)")
    return tidy(ax)


def hal_figure(folder: str | os.PathLike[str]) -> Figure:
    """Draw what the folder of a run holds: criterion, predictions, and errors on test structures.

    Parameters
    ----------
    folder : str or os.PathLike
        Of a run of `acepure.active.HAL`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    path = Path(folder)
    settings = json.loads((path / "settings.json").read_text(encoding="utf-8"))
    names = sorted((path / "predictions").glob("0*.json"))
    found = ((name.stem, json.loads(name.read_text(encoding="utf-8"))) for name in names)
    explored = [(name, one) for name, one in found if "criteria" in one]
    shown = explored if len(explored) <= _MOST_CURVES else [*explored[:3], *explored[3 - _MOST_CURVES :]]
    scored = [line for line in Folder(path).log() if "forces_error" in line]
    figure = new_figure(12.5, 3.9)
    first, second, third = figure.subplots(1, 3)
    if shown:
        step = settings["dynamics"]["timestep"] / 1000
        curves = {name: np.array(one["criteria"]).T * [[step], [1.0]] for name, one in shown}
        plot_criteria(
            {name: tuple(curve) for name, curve in curves.items()}, settings["dynamics"]["tolerance"], ax=first
        )
    else:
        first.set_axis_off()
    plot_predictions([line["forces_sigma"] for line in scored], [line["forces_error"] for line in scored], ax=second)
    tested = [fit for fit in learning_curve(Folder(path)) if "forces" in fit]
    if tested:
        curve = [fit["labels"] for fit in tested], [fit["forces"] for fit in tested]
        plot_curves({"forces": curve}, xlabel="labels", ylabel="RMSE on test structures (eV/Å)", yscale="log", ax=third)
    else:
        third.set_axis_off()
    return figure


def hal_page(folder: str | os.PathLike[str], text: str, version: str = "") -> str:
    """Return one page of HTML with the figure of a run and a text; it asks no network for anything.

    Parameters
    ----------
    folder : str or os.PathLike
    text : str
        Such as that of `acepure.active.status`.
    version : str
        Of what wrote it.
    """
    drawn = io.StringIO()
    hal_figure(folder).savefig(drawn, format="svg", metadata={"Date": None})
    picture = drawn.getvalue()
    name = html.escape(os.path.basename(os.path.abspath(folder)))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{name}</title>
<style>
body {{ font-family: sans-serif; max-width: 75em; margin: 2em auto }}
svg {{ max-width: 100%; height: auto }}
</style>
</head><body><h1>{name}</h1>
<p>Left: the criterion along trajectories, with the tolerance. Middle: errors of new frames against the deviations that
were predicted before these were fitted; dotted, a factor of two. Right: errors on test structures.</p>
{picture[picture.index("<svg") :]}
<pre>{html.escape(text)}</pre><p>{html.escape(version)}</p></body></html>
"""
