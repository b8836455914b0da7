"""Figures of plain numbers: curves with their spread, matrices of correlations, distributions of values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from acepure._utils.checks import real_array
from acepure.plotting.style import BAR_COLORS, LINES, MARKERS, PALETTE, new_axes, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Markers on more points than this run into each other.
_MOST_MARKERS = 25
# A legend of more names hides curves, and goes beside them.
_MOST_NAMES = 4
# Whiskers of boxes, in percent: what is outside is rare.
_WHISKERS = (5, 95)


def plot_curves(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    bands: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    xlabel: str = "",
    ylabel: str = "",
    xscale: str = "linear",
    yscale: str = "linear",
    ax: Axes | None = None,
) -> Axes:
    """Draw curves y(x), with markers where the points are few.

    Parameters
    ----------
    curves : mapping of str to (x, y)
        Name → two arrays of one length; NaN leaves a gap.
    bands : mapping of str to (low, high), optional
        Name of a curve → limits at its points, drawn as a light area: what several random seeds gave, for example.
    xlabel, ylabel : str
        With units.
    xscale, yscale : {"linear", "log"}
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        For no curves, arrays of different lengths, or a band without its curve.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = plot_curves({"squares": ([1, 2, 3], [1, 4, 9])}, ax=Figure().subplots())
    >>> ax.get_lines()[0].get_label()
    'squares'
    """
    checked = _curves(curves)
    limits = _bands(checked, bands or {})
    ax = new_axes(ax, figsize=(5.6, 3.8))
    for k, (name, (x, y)) in enumerate(checked.items()):
        color = PALETTE[k % len(PALETTE)]
        marker = MARKERS[k % len(MARKERS)] if len(x) <= _MOST_MARKERS else ""
        ax.plot(
            x, y, linestyle=LINES[k % len(LINES)], marker=marker, markersize=4, linewidth=1.5, color=color, label=name
        )
        if name in limits:
            lower, upper = limits[name]
            ax.fill_between(x, lower, upper, color=color, alpha=0.18, linewidth=0)
    ax.set(xlabel=xlabel, ylabel=ylabel, xscale=xscale, yscale=yscale)
    if len(checked) > 1:
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
        beside = place if len(checked) > _MOST_NAMES else {}
        ax.legend(frameon=False, fontsize="small", handlelength=3.0, **beside)
    return tidy(ax)


def plot_correlations(matrix: ArrayLike, names: Sequence[str], *, digits: int = 3, ax: Axes | None = None) -> Axes:
    """Draw a small matrix of numbers between −1 and 1, with the numbers in it.

    Parameters
    ----------
    matrix : array_like of float64, shape (n, n)
    names : sequence of str, length n
        Of rows and columns.
    digits : int
        Of the numbers, after the point.
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        For a matrix of another shape or with entries beyond 1.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = plot_correlations([[1.0, 0.5], [0.5, 1.0]], ["FCC", "BCC"], digits=1, ax=Figure().subplots())
    >>> [text.get_text() for text in ax.texts]
    ['1.0', '0.5', '0.5', '1.0']
    """
    values = real_array("matrix", matrix, (len(names), len(names)))
    if values.size == 0 or np.abs(values).max() > 1 + 1e-9:
        raise ValueError("matrix must have entries between −1 and 1, and at least one")
    ax = new_axes(ax, figsize=(0.9 * len(names) + 1.2, 0.9 * len(names) + 0.8))
    ax.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1)
    for (row, column), value in np.ndenumerate(values):
        color = "white" if abs(value) > 0.6 else "black"
        ax.text(column, row, f"{value:.{digits}f}", ha="center", va="center", color=color, fontsize="small")
    ax.set_xticks(range(len(names)), names)
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def plot_distributions(
    values: Mapping[str, Mapping[str, ArrayLike]], *, ylabel: str = "", yscale: str = "linear", ax: Axes | None = None
) -> Axes:
    """Draw boxes of values, side by side in groups: median, quartiles, and whiskers from 5 to 95 %.

    Parameters
    ----------
    values : mapping of str to mapping of str to array_like
        Group on the axis, such as an order → name, such as a structure, with one color each → any number of values.
    ylabel : str
    yscale : {"linear", "log"}
        A logarithmic scale leaves out values ≤ 0.
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If there are no values, or none that can be shown.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> values = {"ν = 1": {"FCC": [0.1, 0.2, 0.4], "BCC": [0.2, 0.3]}, "ν = 2": {"FCC": [0.5]}}
    >>> ax = plot_distributions(values, ax=Figure().subplots())
    >>> len(ax.patches)
    3
    """
    from matplotlib.patches import Patch

    boxes = {group: {name: _shown(group, name, v, yscale) for name, v in row.items()} for group, row in values.items()}
    names = list(dict.fromkeys(name for row in boxes.values() for name in row))
    if not names:
        raise ValueError("values is empty; at least one group with one name is needed")
    ax = new_axes(ax, figsize=(5.6, 3.8))
    width = 0.8 / len(names)
    for k, name in enumerate(names):
        groups = [number for number, row in enumerate(boxes.values()) if name in row]
        ax.boxplot(
            [row[name] for row in boxes.values() if name in row],
            positions=np.array(groups) + (k - (len(names) - 1) / 2) * width,
            widths=0.8 * width,
            whis=_WHISKERS,
            showfliers=False,
            manage_ticks=False,
            patch_artist=True,
            boxprops={"facecolor": BAR_COLORS[k % len(BAR_COLORS)], "edgecolor": "0.2", "linewidth": 0.8},
            medianprops={"color": "white" if k % len(BAR_COLORS) == 1 else "black", "linewidth": 1.4},
        )
    ax.set_xticks(range(len(boxes)), list(boxes))
    ax.set(ylabel=ylabel, yscale=yscale, xlim=(-0.6, len(boxes) - 0.4))
    handles = [Patch(color=BAR_COLORS[k % len(BAR_COLORS)], label=name) for k, name in enumerate(names)]
    ax.legend(handles=handles, frameon=False, fontsize="small")
    tidy(ax).grid(False, axis="x")
    return ax


def _curves(curves: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    if not isinstance(curves, Mapping) or not curves:
        raise ValueError("curves must be a mapping of at least one name to (x, y)")
    result = {}
    for name, (x, y) in curves.items():
        x = real_array(f"x of {name!r}", x, (None,))
        result[name] = x, _with_gaps(f"y of {name!r}", y, len(x))
    return result


def _bands(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]], bands: Mapping[str, tuple[ArrayLike, ArrayLike]]
) -> dict[str, list[np.ndarray]]:
    unknown = [name for name in bands if name not in curves]
    if unknown:
        raise ValueError(f"bands has {', '.join(unknown)}, which is no curve; there are {', '.join(curves)}")
    n = {name: len(x) for name, (x, _) in curves.items()}
    return {name: [_with_gaps(f"band of {name!r}", limit, n[name]) for limit in pair] for name, pair in bands.items()}


def _with_gaps(name: str, values: ArrayLike, n: int) -> np.ndarray:
    """Numbers or NaN."""
    values = np.asarray(values, dtype=np.float64)
    if values.shape != (n,):
        raise ValueError(f"{name} must have as many values as x, {n}; got shape {values.shape}")
    return values


def _shown(group: str, name: str, values: ArrayLike, yscale: str) -> np.ndarray:
    result = np.ravel(real_array(f"values of {group!r}, {name!r}", np.ravel(values), (None,)))
    result = result[result > 0] if yscale == "log" else result
    if not result.size:
        raise ValueError(f"values of {group!r}, {name!r} has no value that can be shown on a {yscale} scale")
    return result
