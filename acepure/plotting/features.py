"""Figures of features: maps of many atoms, and the share of self-interaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse.linalg import svds

from acepure._utils.checks import count, real_array
from acepure.diagnostics import SelfInteraction
from acepure.plotting.style import BAR_COLORS, PALETTE, new_axes, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = ("o", "x", "s", "^", "D", "v")


def plot_map(
    features: ArrayLike,
    phases: Sequence[str],
    conditions: Sequence[str] | None = None,
    *,
    highlight: str | None = "clean",
    ax: Axes | None = None,
) -> Axes:
    """Draw features of many atoms as a map: their first two principal components.

    Parameters
    ----------
    features : array_like of float64, shape (n, n_features)
    phases : sequence of str, length n
        What each row belongs to; one color each.
    conditions : sequence of str, length n, optional
        One marker each.
    highlight : str, optional
        This condition is drawn with large markers, on top, and with the names of its phases.
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        For fewer than two different rows.
    """
    coordinates, share = principal_components(features)
    phases = _names("phases", phases, len(coordinates))
    kinds = [""] * len(phases) if conditions is None else _names("conditions", conditions, len(coordinates))
    colors = {phase: PALETTE[k % len(PALETTE)] for k, phase in enumerate(dict.fromkeys(phases))}
    plain = [kind for kind in dict.fromkeys(kinds) if kind != highlight]
    markers = {kind: "*" if kind == highlight else _MARKERS[plain.index(kind) % len(_MARKERS)] for kind in kinds}

    ax = new_axes(ax, figsize=(6.4, 5.0))
    for kind, marker in markers.items():
        for phase, color in colors.items():
            chosen = (np.array(kinds) == kind) & (np.array(phases) == phase)
            ax.scatter(*coordinates[chosen].T, **_style(marker, color, kind == highlight))
            if kind == highlight and chosen.any():
                place = coordinates[chosen].mean(axis=0)
                ax.annotate(
                    phase, place, xytext=(0, 11), textcoords="offset points", ha="center", weight="bold", color=color
                )
    ax.set(
        xlabel=f"principal component 1 ({100 * share[0]:.0f} % of the variance)",
        ylabel=f"principal component 2 ({100 * share[1]:.0f} %)",
    )
    _map_legend(ax, colors, {} if conditions is None else markers, highlight)
    return tidy(ax)


def plot_self_interaction(
    shares: SelfInteraction | Mapping[str, Mapping[int, float]], *, ax: Axes | None = None
) -> Axes:
    """Draw the share of self-interaction ‖B_self − B_canonical‖ / ‖B_self‖ as bars.

    Parameters
    ----------
    shares : SelfInteraction, or mapping of str to mapping of int to float
        Structure → correlation order ν → share.
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If there are no shares.
    """
    if isinstance(shares, SelfInteraction):
        above_one = {order: share for order, share in shares.by_order.items() if order > 1}  # there is none at ν = 1
        shares = {f"{shares.n_environments:,} environments": above_one}
    if not shares:
        raise ValueError("shares is empty; at least one structure is needed")
    orders = sorted({order for share in shares.values() for order in share})
    ax = new_axes(ax, figsize=(5.0, 4.4))
    height = 0.8 / max(len(orders), 1)
    y = np.arange(len(shares))
    for k, order in enumerate(orders):
        widths = [100 * share.get(order, np.nan) for share in shares.values()]
        bars = ax.barh(
            y + (k - (len(orders) - 1) / 2) * height,
            widths,
            0.92 * height,
            color=BAR_COLORS[k % len(BAR_COLORS)],
            label=f"order ν = {order}",
        )
        ax.bar_label(bars, fmt="%.0f %%", padding=2, fontsize="x-small", color="0.25")
    ax.set_yticks(y, list(shares))
    ax.set_ylim(len(shares) - 0.4, -1.2)  # from the top, where a row is left for the legend
    ax.margins(x=0.12)
    ax.legend(loc="upper right", ncols=len(orders), frameon=False, fontsize="small")
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("‖B$_{self}$ − B$_{canonical}$‖ / ‖B$_{self}$‖  (%)")
    tidy(ax)
    ax.grid(False, axis="y")
    return ax


def features_figure(
    features: ArrayLike, phases: Sequence[str], conditions: Sequence[str], shares: Mapping[str, Mapping[int, float]]
) -> Figure:
    """Return one figure of features: the map of `plot_map` and the bars of `plot_self_interaction`, ν = 1 left out.

    Parameters
    ----------
    features, phases, conditions
        As for `plot_map`.
    shares
        As for `plot_self_interaction`.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> figure = features_figure([[0.0], [1.0]], ["FCC", "BCC"], ["clean", "hot"], {"FCC": {1: 0.0, 2: 0.3}})
    >>> [len(ax.patches) for ax in figure.axes]
    [0, 1]
    """
    figure = new_figure(11.0, 5.2)
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1.0))
    plot_map(features, phases, conditions, ax=left)
    plot_self_interaction({name: {k: s for k, s in row.items() if k > 1} for name, row in shares.items()}, ax=right)
    right.set_title("Self-interaction in plain features (none at ν = 1)", fontsize="medium")
    return figure


def principal_components(features: ArrayLike, n_components: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates of rows along the directions of largest variance.

    Columns are centered and divided by their standard deviation first, so that functions of different orders weigh the
    same; columns that are constant up to rounding count as zero.

    Parameters
    ----------
    features : array_like of float64, shape (n, n_features)
    n_components : int

    Returns
    -------
    coordinates : numpy.ndarray of float64, shape (n, n_components)
        The sign of each column is such that its entry largest in size is positive.
    share : numpy.ndarray of float64, shape (n_components,)
        Part of the total variance.

    Raises
    ------
    ValueError
        For fewer than two different rows.

    Examples
    --------
    >>> coordinates, share = principal_components([[0.0, 1.0], [1.0, 3.0], [2.0, 5.0]], 1)
    >>> share.round(12)
    array([1.])
    """
    features = real_array("features", features, (None, None))
    n_components = count("n_components", n_components)
    if not features.size:
        raise ValueError(f"features must have at least two different rows; got shape {features.shape}")
    centered = features - features.mean(axis=0)
    spread = centered.std(axis=0)
    varying = spread > 1e-12 * np.abs(features).max(axis=0)
    if not varying.any():
        raise ValueError(f"features must have at least two different rows; all {len(features)} are equal")
    scaled = centered[:, varying] / spread[varying]
    values, directions = _leading_directions(scaled, n_components)
    kept = len(values)
    coordinates = np.zeros((len(features), n_components))
    coordinates[:, :kept] = scaled @ directions.T
    share = np.zeros(n_components)
    share[:kept] = values**2 / np.sum(scaled**2)
    # The SVD leaves signs open; figures should not flip from machine to machine.
    largest = coordinates[np.abs(coordinates).argmax(axis=0), np.arange(n_components)]
    return coordinates * np.where(largest < 0, -1.0, 1.0), share


def _leading_directions(matrix: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Largest singular values, descending, and their right vectors; as many as asked for and as there are."""
    if n > min(matrix.shape) // 10:
        _, values, directions = np.linalg.svd(matrix, full_matrices=False)
        return values[:n], directions[:n]
    # Two directions of a thousand: iterating takes milliseconds where the full SVD takes seconds. The start is fixed,
    # so that figures are; it is random, as a constant one would be orthogonal to centered columns.
    start = np.random.default_rng(0).normal(size=min(matrix.shape))
    _, values, directions = svds(matrix, k=n, v0=start)
    order = np.argsort(-values)
    return values[order], directions[order]


def _names(name: str, values: Sequence[str], n: int) -> list[str]:
    if isinstance(values, str):
        raise TypeError(f"{name} must be a sequence of {n} strings, one per row of features; got the string {values!r}")
    names = [str(value) for value in values]
    if len(names) != n:
        raise ValueError(f"{name} has {len(names)} entries, but features has {n} rows; one per row is needed")
    return names


def _style(marker: str, color: str, highlighted: bool) -> dict[str, Any]:
    if highlighted:
        return {"marker": marker, "c": color, "s": 260, "edgecolors": "black", "linewidths": 0.9, "zorder": 4}
    if marker == "x":
        return {"marker": marker, "c": color, "s": 14, "linewidths": 0.8, "alpha": 0.6, "zorder": 2}
    return {"marker": marker, "c": color, "s": 14, "linewidths": 0, "alpha": 0.6, "zorder": 3}


def _map_legend(ax: Axes, colors: Mapping[str, str], markers: Mapping[str, str], highlight: str | None) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [Patch(color=color, label=phase) for phase, color in colors.items()]
    for condition, marker in markers.items():
        size = 13 if condition == highlight else 5
        handles.append(Line2D([], [], linestyle="", marker=marker, color="0.35", markersize=size, label=condition))
    if len(handles) > 1:
        ax.legend(handles=handles, frameon=False, fontsize="small")
