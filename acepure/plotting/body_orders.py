"""Figures of body orders: terms along a scan or over frames, and the three-body energy of three atoms as a map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike

from acepure._utils.checks import check_kind, count, number, real_array, symbol
from acepure.models.linear import LinearACE
from acepure.plotting.style import LINES, PALETTE, new_axes, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Of each order ν; the sum is black.
_ORDER_COLORS = PALETTE[:6]
# Points of an axis whose atom would be nearer to another than this part of their distance are left out.
_NEAREST = 0.6


def plot_orders(
    terms: ArrayLike,
    x: ArrayLike | None = None,
    *,
    deviations: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    xlabel: str = "frame",
    ax: Axes | None = None,
) -> Axes:
    """Draw the energies of the body orders, one line each, and their sum: along a scan, or over frames.

    Parameters
    ----------
    terms : array_like, shape (n_points, 1 + order)
        eV; E0 first, as in `LinearACE.energies_by_order` summed over atoms and in `energies_by_clusters`. E0 is not
        drawn and not in the sum.
    x : array_like, shape (n_points,), optional
        Default: 0, 1, 2, ...
    deviations : array_like, shape (n_points, 1 + order), optional
        Standard deviations in eV, drawn as bands, see `LinearACE.covariance_by_order`.
    labels : array_like, shape (n_points,), optional
        Energies beyond E0 that the sum should have, in eV: crosses.
    xlabel : str
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> ax = plot_orders([[0, -1.0, 0.1], [0, -0.5, 0.05]], [2.0, 2.5], xlabel="distance (Å)")
    >>> [line.get_label() for line in ax.lines[:3]]
    ['ν = 1', 'ν = 2', 'sum']
    """
    values = real_array("terms", terms, (None, None))
    x = np.arange(len(values)) if x is None else real_array("x", x, (len(values),))
    spread = None if deviations is None else real_array("deviations", deviations, (len(values), values.shape[1]))
    ax = new_axes(ax, figsize=(5.4, 4.0))
    for nu in range(1, values.shape[1]):
        color = _ORDER_COLORS[(nu - 1) % len(_ORDER_COLORS)]
        ax.plot(x, values[:, nu], linestyle=LINES[nu % len(LINES)], color=color, label=f"ν = {nu}")
        if spread is not None:
            low, high = values[:, nu] - spread[:, nu], values[:, nu] + spread[:, nu]
            ax.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
    ax.plot(x, values[:, 1:].sum(axis=1), color="black", label="sum")
    if labels is not None:
        ax.plot(x, real_array("labels", labels, (len(values),)), "x", color="black", markersize=4, label="label")
    ax.axhline(0.0, color="0.6", linewidth=0.8, linestyle=":", label="_zero")
    ax.set(xlabel=xlabel, ylabel="energy beyond E0 (eV)")
    ax.legend(frameon=False, fontsize="small")
    return tidy(ax)


def plot_trimer_map(
    model: LinearACE,
    symbols: Sequence[str],
    distance: float,
    *,
    order: int = 2,
    points: int = 61,
    ax: Axes | None = None,
) -> Axes:
    """Draw what three atoms have beyond their pairs, by the place of the third, two being at a distance.

    The two lie on the horizontal axis, about the middle. Places nearer to one of them than 0.6 of their distance are
    left white.

    Parameters
    ----------
    model : LinearACE
    symbols : sequence of three str
        Chemical symbols; the last is that of the atom that moves.
    distance : float
        Of the first two, Å.
    order : int
        2 is the three-body term; 1 is the sum of the pair terms.
    points : int
        Places along the horizontal axis.
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    check_kind("model", model, LinearACE)
    names = [symbol("symbols", s) for s in symbols]
    if len(names) != 3:
        raise ValueError(f"symbols must name three atoms; got {symbols!r}")
    distance, points = number("distance", distance, above=0), count("points", points, least=2)
    if not 1 <= count("order", order) <= min(2, model.basis.order):
        raise ValueError(f"order must be 1 or 2, and one of the model; got {order}")
    half = distance / 2 + model.basis.rcut
    x, y = np.linspace(-half, half, points), np.linspace(0, model.basis.rcut, (points + 1) // 2)
    ends = np.array([[-distance / 2, 0, 0], [distance / 2, 0, 0]])
    energies = np.full((len(y), len(x)), np.nan)
    for row, column in np.ndindex(energies.shape):
        third = np.array([x[column], y[row], 0.0])
        if np.linalg.norm(ends - third, axis=1).min() > _NEAREST * distance:
            atoms = Atoms(names, [*ends, third])
            energies[row, column] = model.energies_by_order(atoms)[order].sum()
    ax = new_axes(ax, figsize=(6.4, 3.6))
    limit = float(np.nanpercentile(abs(energies), 98)) or 1.0
    image = ax.pcolormesh(x, y, energies, cmap="RdBu_r", vmin=-limit, vmax=limit, shading="nearest", rasterized=True)
    ax.plot(ends[:, 0], ends[:, 1], "o", color="black", markersize=5, clip_on=False)
    ax.figure.colorbar(image, ax=ax, label=f"order {order} of {'–'.join(names)} (eV)", extend="both")
    ax.set(xlabel="place of the third atom, x (Å)", ylabel="y (Å)", aspect="equal")
    return ax
