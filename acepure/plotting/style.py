"""What figures share: colors, empty figures and axes without clutter."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colors that people with any kind of color vision tell apart, and that differ in gray (Okabe and Ito, 2008).
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
#: Colors of large areas.
BAR_COLORS = ("#56B4E9", "#333333", "#E69F00", "#CC79A7")
#: As many markers as lines, and no divisor of the number of colors: each curve has a look of its own, in gray too.
MARKERS = ("o", "s", "^", "D", "v")
LINES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))

_GRID: dict[str, Any] = {"color": "0.9", "linewidth": 0.6}


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, in inches, that needs no screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    return figure


def figure_formats() -> list[str]:
    """Return the endings of the file formats that figures can be saved in."""
    from matplotlib.backend_bases import FigureCanvasBase

    return sorted(FigureCanvasBase.get_supported_filetypes())


def figure_format(name: str, path: str | os.PathLike[str]) -> str:
    """Return the format that the name of a figure file asks for by its ending, for `savefig`.

    Parameters
    ----------
    name : str
        What to call the file in the message.
    path : str or os.PathLike

    Raises
    ------
    ValueError
        For an ending that is not one of `figure_formats`.

    Examples
    --------
    >>> figure_format("output", "errors.PDF")
    'pdf'
    """
    known, ending = figure_formats(), os.path.splitext(path)[1][1:].lower()
    if ending not in known:
        raise ValueError(f"{name} {os.fspath(path)}: the name must end in one of .{', .'.join(known)}")
    return ending


def new_axes(ax: Axes | None, figsize: tuple[float, float]) -> Axes:
    """Return `ax`, or axes in a new figure of pyplot, in inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=figsize, layout="constrained")[1]


def tidy(ax: Axes) -> Axes:
    """Leave away what is no data, and lay a light grid behind."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, **_GRID)
    ax.set_axisbelow(True)
    return ax


def color_sequence(n: int) -> list[Any]:
    """Return n colors in an order that is visible in gray too; without the lightest, which vanishes on paper."""
    import matplotlib

    return [matplotlib.colormaps["viridis"](0.88 * k / max(n - 1, 1)) for k in range(n)]


def mark_orders(ax: Axes, row_orders: np.ndarray, column_orders: np.ndarray, color: str = "0.6") -> None:
    """Draw lines between the orders, and write ν at the middle of each block, where numbers would mean nothing."""
    for orders, axis, line in ((row_orders, ax.yaxis, ax.axhline), (column_orders, ax.xaxis, ax.axvline)):
        found = sorted(set(orders.tolist()))
        edges = np.cumsum([0, *(np.count_nonzero(orders == nu) for nu in found)])
        for edge in edges[1:-1]:
            line(edge, color=color, linewidth=0.6)
        # Blocks too thin for a label of their own would write over their neighbors.
        wide = [k for k in range(len(found)) if edges[k + 1] - edges[k] > 0.03 * edges[-1]]
        axis.set_ticks([(edges[k] + edges[k + 1]) / 2 for k in wide], [f"ν = {found[k]}" for k in wide])
        axis.set_tick_params(length=0)
