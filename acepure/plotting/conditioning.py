"""Figures of diagnostics: spectra, Gram matrices, condition numbers, decay of coefficients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from acepure._utils.checks import check_kind
from acepure.diagnostics import CoefficientDecay, Comparison, Conditioning
from acepure.plotting.style import BAR_COLORS, LINES, PALETTE, color_sequence, mark_orders, new_axes, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ALL_INFINITE = "all are infinite: columns are dependent"


def plot_spectrum(
    results: Conditioning | Mapping[str, Conditioning], scaling: str = "standardized", *, ax: Axes | None = None
) -> Axes:
    """Draw the eigenvalues of Gram matrices, divided by the largest, from the largest to the smallest.

    A dotted line marks where rounding hides them, if any reach so far; zeros cannot be drawn and are counted in the
    legend.

    Parameters
    ----------
    results : Conditioning, or mapping of str to Conditioning
        Name → result.
    scaling : {"raw", "scaled", "standardized"}
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        For no eigenvalues.
    """
    if isinstance(results, Conditioning):
        results = {f"{len(results.labels)} features": results}
    for name, result in _checked_mapping("results", results).items():
        check_kind(f"results[{name!r}]", result, Conditioning)
    spectra = {name: result.spectrum(scaling) for name, result in results.items()}
    empty = [name for name, values in spectra.items() if not values.any()]
    if empty:
        raise ValueError(f"{empty[0]!r} has no {scaling} features that vary, and so no eigenvalues")
    ax = new_axes(ax, figsize=(6.4, 4.2))
    for k, (name, values) in enumerate(spectra.items()):
        zeros = np.count_nonzero(values == 0)
        label = f"{name} ({zeros} zero)" if zeros else name
        ax.plot(
            np.arange(1, 1 + len(values) - zeros),
            values[: len(values) - zeros] / values[0],
            LINES[k // len(PALETTE) % len(LINES)],
            color=PALETTE[k % len(PALETTE)],
            linewidth=1.5,
            label=label,
        )
    _mark_floor(ax, results, spectra, scaling)
    ax.set_yscale("log")
    ax.set(xlabel="number", ylabel="eigenvalue / largest")
    ax.set_title(f"Gram matrix of {scaling} features", fontsize="medium")
    ax.legend(frameon=False, fontsize="small")
    return tidy(ax)


def plot_gram(result: Conditioning, scaling: str = "standardized", *, ax: Axes | None = None) -> Axes:
    """Draw a Gram matrix; lines separate the correlation orders.

    Entries are between −1 and 1, but for "raw", of which log₁₀ |entry| is drawn.

    Parameters
    ----------
    result : Conditioning
    scaling : {"raw", "scaled", "standardized"}
        "standardized" are correlations of the features that vary.
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If no feature varies.
    """
    gram = check_kind("result", result, Conditioning).gram(scaling)
    if not gram.size:
        raise ValueError("no feature varies, so there are no correlations")
    orders = result.orders[result.varying_features] if scaling == "standardized" else np.append(0, result.orders)
    # By order, so that blocks are visible; features come by order already, unless they were chosen.
    order = np.argsort(orders, kind="stable")
    gram = gram[np.ix_(order, order)]
    ax = new_axes(ax, figsize=(5.6, 4.8))
    options: dict[str, Any] = {"extent": (0, len(gram), len(gram), 0), "interpolation": "nearest"}
    if scaling == "raw":
        size = np.ma.masked_equal(np.abs(gram), 0.0)  # zero has no logarithm and stays white
        image = ax.imshow(np.ma.log10(size), cmap="viridis", **options)
    else:
        image = ax.imshow(gram, cmap="RdBu_r", vmin=-1, vmax=1, **options)
    mark_orders(ax, orders[order], orders[order], color="black")
    label = {"raw": "log$_{10}$ |entry|", "scaled": "entry", "standardized": "correlation"}[scaling]
    ax.figure.colorbar(image, ax=ax, label=label)
    ax.set_title(f"Gram matrix of {len(gram)} {scaling} columns", fontsize="medium")
    return ax


def plot_condition_numbers(rows: Mapping[str, Mapping[str, float] | Conditioning], *, ax: Axes | None = None) -> Axes:
    """Draw condition numbers as bars on a logarithmic scale, the same kinds of all rows in one color.

    An infinite one (dependent columns) has no length: its bar is hatched, without a fill, from side to side, and ends
    in ∞. If all are infinite there are no bars and no scale, but a text that says so.

    Parameters
    ----------
    rows : mapping of str to mapping of str to float, or to Conditioning
        Name of the row → kind → condition number, ≥ 1 or infinite. A Conditioning stands for its three scalings.
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    numbers = {name: _condition_numbers(name, row) for name, row in _checked_mapping("rows", rows).items()}
    kinds = list(dict.fromkeys(kind for row in numbers.values() for kind in row))
    values = np.array([[row.get(kind, np.nan) for row in numbers.values()] for kind in kinds])
    ax = new_axes(ax, figsize=(6.4, 1.2 + 0.25 * len(numbers) * (1 + len(kinds))))
    tidy(ax)
    ax.grid(False, axis="y")
    ax.set_yticks(np.arange(len(numbers)), list(numbers))
    ax.set_ylim(len(numbers) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("condition number of the Gram matrix")
    if np.isfinite(values).any():
        _draw_condition_numbers(ax, kinds, values)
    else:
        ax.set_xticks([])
        ax.text(0.5, 0.5, _ALL_INFINITE, transform=ax.transAxes, ha="center", va="center", color="0.25")
    return ax


def plot_comparison(comparison: Comparison, *, ax: Axes | None = None) -> Axes:
    """Draw the scaled condition numbers of all bases that could be made, and what would be left with lower orders off.

    Held out, where that is known. Infinite ones are hatched, as in `plot_condition_numbers`.

    Parameters
    ----------
    comparison : Comparison
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If no basis could be made.
    """
    made = [row for row in check_kind("comparison", comparison, Comparison).rows if not row.reason]
    if not made:
        raise ValueError("no basis of the comparison could be made, and so there is nothing to draw")
    held_out = not any(np.isnan(row.lower_orders_off_held_out) for row in made)
    bars = {}
    for row in made:
        off = row.lower_orders_off_held_out if held_out else row.lower_orders_off
        bars[row.name] = {"scaled": row.scaled, "lower orders off" + ", held out" * held_out: off}
    ax = plot_condition_numbers(bars, ax=new_axes(ax, figsize=(7.2, 1.2 + 0.42 * len(made))))
    ax.set_title(comparison.description, fontsize="medium", pad=26)
    return ax


def plot_coefficient_decay(decay: CoefficientDecay, *, ax: Axes | None = None) -> Axes:
    """Draw root mean squares of coefficients (lines) and the largest |θ| (dots) by total degree, one color per order.

    Parameters
    ----------
    decay : CoefficientDecay
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If all coefficients are zero.
    """
    if not any(size.largest for size in check_kind("decay", decay, CoefficientDecay).by_order.values()):
        raise ValueError("all coefficients are zero, which a logarithmic scale cannot show")
    ax = new_axes(ax, figsize=(6.0, 4.0))
    for order, color in zip(decay.by_order, color_sequence(len(decay.by_order))):
        sizes = {degree: size for (nu, degree), size in decay.by_order_and_degree.items() if nu == order}
        drawn = {degree: size for degree, size in sizes.items() if size.largest > 0}
        ax.plot(list(drawn), [size.rms for size in drawn.values()], "-", color=color, label=f"ν = {order}")
        ax.plot(list(drawn), [size.largest for size in drawn.values()], ".", color=color)
    ax.set_yscale("log")
    from matplotlib.ticker import MaxNLocator

    locator = ax.xaxis.get_major_locator()
    assert isinstance(locator, MaxNLocator)  # of a linear axis
    locator.set_params(integer=True)
    ax.set(xlabel="total degree Σ (n + l)", ylabel="|θ|: root mean square (line), largest (dot)")
    ax.legend(frameon=False, fontsize="small")
    return tidy(ax)


# --- parts -----------------------------------------------------------------------------------------------------


def _mark_floor(ax: Axes, results: Mapping[str, Conditioning], spectra: Mapping[str, np.ndarray], scaling: str) -> None:
    """Where rounding hides eigenvalues of unit-scaled columns; those of "raw" are right far below."""
    if scaling == "raw":
        return
    level = max(1.0 / result.floor(scaling) for result in results.values())
    if any((values[values > 0] < level * values[0]).any() for values in spectra.values()):
        ax.axhline(level, color="0.4", linewidth=0.8, linestyle=":", label="rounding")


def _draw_condition_numbers(ax: Axes, kinds: Sequence[str], values: np.ndarray) -> None:
    """Bars of condition numbers, shape (n_kinds, n_rows), of which at least one is finite; NaN for none."""
    from matplotlib.patches import Patch

    end = 10.0 ** (2 + np.ceil(np.log10(values[np.isfinite(values)].max())))
    height = 0.8 / len(kinds)
    for k, row in enumerate(values):
        places = np.arange(len(row)) + (k - (len(kinds) - 1) / 2) * height
        color = BAR_COLORS[k % len(BAR_COLORS)]
        bars = ax.barh(places, np.where(np.isinf(row), end, row) - 1.0, 0.92 * height, left=1.0, color=color)
        labels = ["" if np.isnan(value) else "∞" if np.isinf(value) else f"{value:.0e}" for value in row]
        ax.bar_label(bars, labels, padding=2, fontsize="x-small", color="0.25")
        for bar in (bar for bar, value in zip(bars, row) if np.isinf(value)):
            bar.set(fill=False, edgecolor=color, hatch="////", linewidth=0.8)
    ax.set_xscale("log")
    ax.set_xlim(1.0, 10.0 * end)
    if len(kinds) > 1:
        handles = [Patch(color=color, label=kind) for kind, color in zip(kinds, cycle(BAR_COLORS))]
        place: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": len(kinds)}
        ax.legend(handles=handles, frameon=False, fontsize="small", **place)


def _condition_numbers(name: str, row: Mapping[str, float] | Conditioning) -> dict[str, float]:
    if isinstance(row, Conditioning):
        return {scaling: row.condition_number(scaling) for scaling in row.scalings}
    values = {str(kind): float(value) for kind, value in _checked_mapping(f"rows[{name!r}]", row).items()}
    for kind, value in values.items():
        if not value >= 1.0:
            raise ValueError(f"rows[{name!r}][{kind!r}] must be a condition number >= 1; got {value!r}")
    return values


def _checked_mapping(name: str, value: Any) -> Mapping[str, Any]:
    if not check_kind(name, value, Mapping):
        raise ValueError(f"{name} is empty; at least one entry is needed")
    return value
