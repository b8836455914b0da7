"""Figures of a basis: its radial functions and its purification operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from acepure._utils.checks import check_kind, count, symbol
from acepure.errors import SpeciesError
from acepure.features.basis import ACEBasis
from acepure.functions.radial import RadialBasis
from acepure.plotting.style import PALETTE, color_sequence, mark_orders, new_axes, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Operators larger than this are drawn in fewer cells; a cell is dark if any entry falls into it.
_LARGEST_IMAGE = 500


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
    ValueError
        For a species that the basis does not have.

    Examples
    --------
    >>> axes = plot_radial(ACEBasis(["Cu"], rcut=5.0, order=2, totaldegree=4))
    >>> len(axes.lines) >= 5, axes.get_xlabel()
    (True, 'distance r (Å)')
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
    ax = new_axes(ax, figsize=(6.4, 4.0))
    for n, color in enumerate(color_sequence(n_radial)):
        ax.plot(r, values[:, n], color=color, linewidth=1.5, label=f"{first + n}")
    ax.axvline(rcut, color="0.4", linewidth=0.8, linestyle=":")
    ax.set(xlabel="distance r (Å)", ylabel="$R_n(r)$", xlim=(0.0, r[-1]))
    ax.set_title(f"Radial functions {center}–{neighbor}, cutoff {rcut:g} Å", fontsize="medium")
    ax.legend(title="n", frameon=False, fontsize="small", ncols=1 + (n_radial - 1) // 8)
    return tidy(ax)


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
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    if not check_kind("basis", basis, ACEBasis).canonical:
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
    row, column = entries.row, entries.col  # `coords` is not in SciPy 1.11
    own = by_row[row] == by_column[column]

    ax = new_axes(ax, figsize=(6.6, 5.4))
    ax.imshow(
        _thumbnail(row, column, own, P.shape),
        cmap=ListedColormap(["white", PALETTE[0], PALETTE[1]]),
        vmin=0,
        vmax=2,
        aspect="auto",
        interpolation="nearest",
        extent=(0, P.shape[1], P.shape[0], 0),
    )
    mark_orders(ax, row_orders, column_orders)
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


def _radial_of(basis: Any) -> tuple[RadialBasis, int, int]:
    """Radial functions, the label of the first, and how many to draw by default."""
    if isinstance(check_kind("basis", basis, ACEBasis, RadialBasis), RadialBasis):
        return basis, 0, 6
    first = basis.specification.n_start
    return basis.radial, first, 1 + max(n for label in basis.labels for n in label.n) - first


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
