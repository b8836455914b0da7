"""Every figure; the only place that imports matplotlib, and only when a figure is asked for.

    plot_radial             R_n(r) of a pair of species
    plot_purification       where the operator P has entries
    plot_map                features of many atoms in two dimensions
    plot_self_interaction   share of self-interaction in plain features

Each function draws into `ax`, or into a new figure, and returns the axes (`ax.figure` is the figure). No global
settings of matplotlib are touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse.linalg import svds

from acepure.basis.radial import RadialBasis
from acepure.checks import count, real_array, symbol
from acepure.descriptor import ACEBasis
from acepure.errors import SpeciesError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "PALETTE",
    "figure_formats",
    "new_figure",
    "plot_map",
    "plot_purification",
    "plot_radial",
    "plot_self_interaction",
    "principal_components",
]

#: Colors that people with any kind of color vision tell apart, and that differ in gray (Okabe and Ito, 2008).
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_BAR_COLORS = ("#56B4E9", "#333333", "#E69F00", "#CC79A7")
_MARKERS = ("o", "x", "s", "^", "D", "v")
_GRID = {"color": "0.9", "linewidth": 0.6}

# Operators larger than this are drawn in fewer cells; a cell is dark if any entry falls into it.
_LARGEST_IMAGE = 500


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


def plot_radial(
    basis: ACEBasis | RadialBasis,
    center: str | None = None,
    neighbor: str | None = None,
    *,
    n_radial: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the radial functions R_n(r) of a pair of species.

    Parameters
    ----------
    basis : ACEBasis or RadialBasis
    center, neighbor : str, optional
        Chemical symbols; `center` may be left out if the basis has one species, `neighbor` if it is the same.
    n_radial : int, optional
        How many functions; default: as many as the basis uses, 6 for a RadialBasis.
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        For wrong arguments, or a species that the basis does not have.
    """
    radial, first, available = _radial_of(basis)
    center = _center_of(basis, center)
    neighbor = center if neighbor is None else symbol("neighbor", neighbor)
    if isinstance(basis, ACEBasis) and neighbor not in basis.species:
        raise SpeciesError(f"neighbor {neighbor!r} is not one of the species {basis.species}")
    n_radial = available if n_radial is None else count("n_radial", n_radial)
    rcut = radial.cutoff(center, neighbor)
    r = np.linspace(0.0, 1.04 * rcut, 500)
    values = radial.evaluate(r, center, neighbor, n_radial)
    ax = _axes(ax, figsize=(6.4, 4.0))
    for n, color in enumerate(_sequence(n_radial)):
        ax.plot(r, values[:, n], color=color, linewidth=1.5, label=f"{first + n}")
    ax.axvline(rcut, color="0.4", linewidth=0.8, linestyle=":")
    ax.set(xlabel="distance r (Å)", ylabel="$R_n(r)$", xlim=(0.0, r[-1]))
    ax.set_title(f"Radial functions {center}–{neighbor}, cutoff {rcut:g} Å", fontsize="medium")
    ax.legend(title="n", frameon=False, fontsize="small", ncols=1 + (n_radial - 1) // 8)
    return _tidy(ax)


def plot_purification(basis: ACEBasis, center: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw where the purification operator P of 𝒜 = P AA has entries.

    Rows are products, columns the products they are made of; lines separate the correlation orders. The diagonal is the
    product itself, everything else takes self-interaction out.

    Parameters
    ----------
    basis : ACEBasis
        Canonical, and of moderate size: P over single products is built.
    center : str, optional
        Chemical symbol; needed only where the operators of species differ.
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        For wrong arguments.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    if not isinstance(basis, ACEBasis):
        raise TypeError(f"basis must be an ACEBasis; got {basis!r} of type {type(basis).__name__}")
    if not basis.canonical:
        raise ValueError("the basis is self-interacting, it has no purification; one with canonical=True is needed")
    operators = basis.operators(basis.species[0] if center is None else center)
    if center is None and any(basis.operators(other) is not operators for other in basis.species):
        raise ValueError(f"the purification differs between species; name a center of {basis.species}")
    P, columns = operators.purification_with_columns
    row_orders = np.array([len(k) for k in operators.products])
    column_orders = np.array([len(k) for k in columns])
    # By order, so that blocks are visible; the rows come in feature order, which is by order already.
    by_row, by_column = np.argsort(row_orders, kind="stable"), np.argsort(column_orders, kind="stable")
    entries = P[by_row][:, by_column].tocoo()
    row, column = entries.coords
    own = by_row[row] == by_column[column]

    ax = _axes(ax, figsize=(6.6, 5.4))
    ax.imshow(
        _thumbnail(row, column, own, P.shape),
        cmap=ListedColormap(["white", PALETTE[0], PALETTE[1]]),
        vmin=0,
        vmax=2,
        aspect="auto",
        interpolation="nearest",
        extent=(0, P.shape[1], P.shape[0], 0),
    )
    _mark_orders(ax, row_orders, column_orders)
    percent = 100 * P.nnz / (P.shape[0] * P.shape[1])
    ax.set(xlabel="products AA that enter", ylabel="canonical product")
    ax.set_title(
        f"Purification: {P.shape[0]:,} × {P.shape[1]:,}, {P.nnz:,} entries ({percent:.2g} %)", fontsize="medium"
    )
    ax.legend(
        handles=[Patch(color=PALETTE[1], label="the product itself"), Patch(color=PALETTE[0], label="corrections")],
        loc="upper right",
        fontsize="small",
    )
    return ax


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
    TypeError, ValueError
        For wrong arguments, or fewer than two different rows.
    """
    coordinates, share = principal_components(features)
    phases = _names("phases", phases, len(coordinates))
    kinds = [""] * len(phases) if conditions is None else _names("conditions", conditions, len(coordinates))
    colors = {phase: PALETTE[k % len(PALETTE)] for k, phase in enumerate(dict.fromkeys(phases))}
    plain = [kind for kind in dict.fromkeys(kinds) if kind != highlight]
    markers = {kind: "*" if kind == highlight else _MARKERS[plain.index(kind) % len(_MARKERS)] for kind in kinds}

    ax = _axes(ax, figsize=(6.4, 5.0))
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
    return _tidy(ax)


def plot_self_interaction(shares: Mapping[str, Mapping[int, float]], *, ax: Axes | None = None) -> Axes:
    """Draw the share of self-interaction ‖B_self − B_canonical‖ / ‖B_self‖ as bars.

    Parameters
    ----------
    shares : mapping of str to mapping of int to float
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
    if not shares:
        raise ValueError("shares is empty; at least one structure is needed")
    orders = sorted({order for share in shares.values() for order in share})
    ax = _axes(ax, figsize=(5.0, 4.4))
    height = 0.8 / max(len(orders), 1)
    y = np.arange(len(shares))
    for k, order in enumerate(orders):
        widths = [100 * share.get(order, np.nan) for share in shares.values()]
        bars = ax.barh(
            y + (k - (len(orders) - 1) / 2) * height,
            widths,
            0.92 * height,
            color=_BAR_COLORS[k % len(_BAR_COLORS)],
            label=f"order ν = {order}",
        )
        ax.bar_label(bars, fmt="%.0f %%", padding=2, fontsize="x-small", color="0.25")
    ax.set_yticks(y, list(shares))
    ax.set_ylim(len(shares) - 0.4, -1.2)  # from the top, where a row is left for the legend
    ax.margins(x=0.12)
    ax.legend(loc="upper right", ncols=len(orders), frameon=False, fontsize="small")
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("‖B$_{self}$ − B$_{canonical}$‖ / ‖B$_{self}$‖  (%)")
    _tidy(ax)
    ax.grid(False, axis="y")
    return ax


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
    TypeError, ValueError
        For wrong arguments, or fewer than two different rows.

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


# --- parts -----------------------------------------------------------------------------------------------------


def _axes(ax: Axes | None, figsize: tuple[float, float]) -> Axes:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=figsize, layout="constrained")[1]


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


def _tidy(ax: Axes) -> Axes:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, **_GRID)
    ax.set_axisbelow(True)
    return ax


def _sequence(n: int) -> list[Any]:
    """n colors in an order that is visible in gray too; without the lightest, which vanishes on paper."""
    import matplotlib

    return [matplotlib.colormaps["viridis"](0.88 * k / max(n - 1, 1)) for k in range(n)]


def _radial_of(basis: Any) -> tuple[RadialBasis, int, int]:
    """Radial functions, the label of the first, and how many to draw by default."""
    if isinstance(basis, RadialBasis):
        return basis, 0, 6
    if isinstance(basis, ACEBasis):
        first = basis.specification.n_start
        return basis.radial, first, 1 + max(n for label in basis.labels for n in label.n) - first
    raise TypeError(f"basis must be an ACEBasis or a RadialBasis; got {basis!r} of type {type(basis).__name__}")


def _center_of(basis: ACEBasis | RadialBasis, center: str | None) -> str:
    species = basis.species if isinstance(basis, ACEBasis) else ()
    if center is None:
        if len(species) != 1:
            known = f", one of {species}" if species else ""
            raise ValueError(f"center is needed: the chemical symbol of the central atom{known}")
        return species[0]
    symbol("center", center)
    if species and center not in species:
        raise SpeciesError(f"center {center!r} is not one of the species {species}")
    return center


def _thumbnail(row: np.ndarray, column: np.ndarray, own: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """0 where nothing is, 1 for corrections, 2 for a product itself; a cell shows the most of what falls into it."""
    size = [min(n, _LARGEST_IMAGE) for n in shape]
    image = np.zeros(size, dtype=np.int8)
    cells = row * size[0] // shape[0], column * size[1] // shape[1]
    np.maximum.at(image, cells, np.where(own, 2, 1))
    return image


def _mark_orders(ax: Axes, row_orders: np.ndarray, column_orders: np.ndarray) -> None:
    """Lines between the orders, and ν at the middle of each block instead of numbers that mean nothing."""
    for orders, axis, line in ((row_orders, ax.yaxis, ax.axhline), (column_orders, ax.xaxis, ax.axvline)):
        found = sorted(set(orders.tolist()))
        edges = np.cumsum([0, *(np.count_nonzero(orders == nu) for nu in found)])
        for edge in edges[1:-1]:
            line(edge, color="0.6", linewidth=0.6)
        # Blocks too thin for a label of their own would write over their neighbors.
        wide = [k for k in range(len(found)) if edges[k + 1] - edges[k] > 0.03 * edges[-1]]
        axis.set_ticks([(edges[k] + edges[k + 1]) / 2 for k in wide], [f"ν = {found[k]}" for k in wide])
        axis.set_tick_params(length=0)


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
