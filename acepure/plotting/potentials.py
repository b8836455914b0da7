"""Figures of potentials: predictions and errors, dimers, and whether predicted uncertainties are right."""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from ase.units import GPa
from numpy.typing import ArrayLike

from acepure._utils.checks import check_kind, one_of, real_array
from acepure.diagnostics import coefficient_decay
from acepure.fitting import Errors, Predictions
from acepure.models.potential import FittedPotential, SitePotential
from acepure.plotting.conditioning import plot_coefficient_decay
from acepure.plotting.style import LINES, MARKERS, PALETTE, new_axes, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class _Quantity(NamedTuple):
    """Its name in words, and units (with the factor from eV and Å) of values and of errors."""

    words: str
    unit: str
    factor: float
    error_unit: str
    error_factor: float


_QUANTITIES = {
    "energy": _Quantity("energy", "eV/atom", 1.0, "meV/atom", 1e3),
    "forces": _Quantity("force components", "eV/Å", 1.0, "eV/Å", 1.0),
    "virial": _Quantity("virial", "eV/atom", 1.0, "meV/atom", 1e3),
    "stress": _Quantity("stress", "GPa", 1 / GPa, "GPa", 1 / GPa),
}
_GUIDE: dict[str, Any] = {"color": "0.35", "linewidth": 0.9, "linestyle": ":"}
# A curve of more points looks the same and makes large files.
_MOST_POINTS = 1000
# Errors below this part of the largest are as good as zero.
_SMALLEST = 1e-4
_N_BINS = 10
_MOST_GROUPS = 6
_PANEL = (3.9, 3.5)  # inches


def plot_parity(errors: Errors, quantity: str = "energy", *, ax: Axes | None = None) -> Axes:
    """Draw predictions against labels, one color and marker per group; on the dotted line they are equal.

    Parameters
    ----------
    errors : Errors
        From `LinearACE.errors`.
    quantity : {"energy", "forces", "virial", "stress"}
        In eV/atom, eV/Å, eV/atom, GPa.
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        For a quantity without labels.
    """
    groups, kind = _groups(errors, quantity), _QUANTITIES[quantity]
    ax = new_axes(ax, figsize=(4.8, 4.4))
    for k, (name, found) in groups.items():
        true, predicted = kind.factor * found.true, kind.factor * found.predicted
        draw_points(ax, true, predicted, k, _legend(name, found, kind))
    ends = kind.factor * np.array([[f.true.min(), f.true.max()] for _, f in groups.values()])
    ax.axline((ends.min(), ends.min()), slope=1.0, **_GUIDE)
    ax.set(xlabel=f"{kind.words}, label ({kind.unit})", ylabel=f"{kind.words}, predicted ({kind.unit})")
    _add_legend(ax, len(groups), "RMSE")
    return tidy(ax)


def plot_error_distribution(errors: Errors, quantity: str = "energy", *, ax: Axes | None = None) -> Axes:
    """Draw the share of labels with at least some error |prediction − label|, one curve per group.

    Both axes are logarithmic, so that rare large errors are seen as well as the usual ones.

    Parameters
    ----------
    errors : Errors
        From `LinearACE.errors`.
    quantity : {"energy", "forces", "virial", "stress"}
        In meV/atom, eV/Å, meV/atom, GPa.
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        For a quantity without labels, or if all errors are zero.
    """
    groups, kind = _groups(errors, quantity), _QUANTITIES[quantity]
    largest = kind.error_factor * max(np.abs(found.predicted - found.true).max() for _, found in groups.values())
    if not largest:
        raise ValueError(f"all errors of {quantity} are zero, which a logarithmic scale cannot show")
    ax = new_axes(ax, figsize=(4.8, 4.0))
    for k, (name, found) in groups.items():
        draw_survival(ax, kind.error_factor * np.abs(found.predicted - found.true), k, _legend(name, found, kind))
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(_SMALLEST * largest, 1.5 * largest)
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set(xlabel=f"error of {kind.words} ({kind.error_unit})", ylabel="labels with at least this error (%)")
    _add_legend(ax, len(groups), "RMSE")
    return tidy(ax)


def plot_dimers(model: SitePotential, *, ax: Axes | None = None) -> Axes:
    """Draw the energy of two atoms alone, E(r) − ΣE0, for each pair of species.

    A marker shows the shortest distance of the pair in training; nearer, the curve is dotted: it is extrapolated. The
    range of energies is that of distances in training, with some room for what comes nearer.

    Parameters
    ----------
    model : LinearACE or EmbeddedACE
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError
        For anything else.
    """
    check_kind("model", model, SitePotential)
    known, rcut = model.shortest_distances or {}, model.basis.rcut
    r = np.linspace(0.6 * min(known.values(), default=0.6 * rcut), 1.02 * rcut, 160)
    pairs = list(combinations_with_replacement(model.basis.species, 2))
    ax = new_axes(ax, figsize=(5.4, 4.0))
    shown = []
    for k, (a, b) in enumerate(pairs):
        color, marker = PALETTE[k % len(PALETTE)], MARKERS[k % len(MARKERS)]
        start = min((known[pair] for pair in ((a, b), (b, a)) if pair in known), default=None)
        nearer = r[r < (0.0 if start is None else start)]
        trained = r[len(nearer) :] if start is None else np.append(start, r[len(nearer) :])
        energies = model.dimer(a, b, trained)
        ax.plot(nearer, model.dimer(a, b, nearer), ":", color=color)
        mark: dict[str, Any] = {} if start is None else {"marker": marker, "markevery": [0], "markersize": 5}
        ax.plot(trained, energies, linestyle=LINES[k % 3], color=color, label=f"{a}–{b}", **mark)
        shown.append(energies if start is not None else energies[trained > 0.5 * rcut])
    ax.set_ylim(_energy_range(np.concatenate(shown)))
    ax.axhline(0.0, **_GUIDE)
    ax.set(xlabel="distance of two atoms (Å)", ylabel="E − ΣE0 (eV)", xlim=(r[0], r[-1]))
    _add_legend(ax, len(pairs), "marked: shortest in training" if known else "")
    return tidy(ax)


def plot_calibration(
    deviations: ArrayLike, errors: ArrayLike, quantity: str = "forces", *, ax: Axes | None = None
) -> Axes:
    """Draw actual errors against predicted standard deviations; right predictions lie about the dotted line.

    Light dots are single labels; large ones are root mean squares of ten groups of equal size, from the smallest
    predicted deviations to the largest. Labels with a deviation of zero, such as isolated atoms, are left out.

    Parameters
    ----------
    deviations : array_like, shape (n,)
        Predicted standard deviations, ≥ 0: energies per atom in eV, or components of forces in eV/Å, see
        `LinearACE.uncertainty`.
    errors : array_like, shape (n,)
        Prediction minus label, or its absolute value, in the same unit.
    quantity : {"energy", "forces", "virial", "stress"}
        Names the axes, and decides their unit.
    ax : matplotlib.axes.Axes, optional
        Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If no deviation above zero has an error above zero.
    """
    kind = _kind(quantity)
    sigma, size = _positive(deviations, errors)
    sigma, size = kind.error_factor * sigma, kind.error_factor * size
    parts = np.array_split(np.argsort(sigma, kind="stable"), min(_N_BINS, len(sigma)))
    predicted, actual = (np.array([np.sqrt(np.mean(x[part] ** 2)) for part in parts]) for x in (sigma, size))
    ax = new_axes(ax, figsize=(4.8, 4.4))
    ax.plot(sigma, size, ".", color=PALETTE[5], markersize=2.5, markeredgewidth=0, alpha=0.5, rasterized=True)
    ax.plot(predicted, actual, "o-", color=PALETTE[0], markersize=5, label="root mean square")
    x = np.array([predicted[0] / 3, 1.5 * sigma.max()])
    ax.plot(x, x, **_GUIDE, label="errors as predicted")
    ax.set_xscale("log")
    ax.set_yscale("log")
    lowest = min(predicted[0], actual[actual > 0].min())
    ax.set(xlim=x, ylim=(lowest / 20, 2 * max(size.max(), x[1])))
    ax.set(xlabel=f"predicted deviation ({kind.error_unit})", ylabel=f"error of {kind.words} ({kind.error_unit})")
    ratio = np.sqrt(np.mean(size**2) / np.mean(sigma**2))
    ax.set_title(f"errors are {ratio:.2g} times the prediction", fontsize="medium")
    ax.legend(frameon=False, fontsize="small", loc="lower right")
    return tidy(ax)


def potential_figure(
    model: SitePotential,
    errors: Errors,
    test: Errors | None = None,
    *,
    calibration: tuple[ArrayLike, ArrayLike] | None = None,
) -> Figure:
    """Return one figure of a potential: parity and errors of each quantity, dimers, and coefficients or calibration.

    Parameters
    ----------
    model : LinearACE or EmbeddedACE
    errors : Errors
        On the structures of the fit, or any. Alone, each config_type is shown; of many those with the largest errors,
        and all others together.
    test : Errors, optional
        On structures that were not fitted; all of them are compared with all of `errors`.
    calibration : (deviations, errors), optional
        Of force components, as `plot_calibration`; drawn in place of the coefficients.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        For errors without any label.
    """
    check_kind("errors", errors, Errors)
    shown = _worst(errors) if test is None else _merged({"training": errors, "test": check_kind("test", test, Errors)})
    quantities = [q for q in ("energy", "forces", "stress") if shown.all(q) is not None]
    if not quantities:
        raise ValueError("errors has no labels, and so there is nothing to draw")
    n = len(quantities) + 1
    figure = new_figure(n * _PANEL[0], 2 * _PANEL[1])
    panels = figure.subplots(2, n)
    for quantity, (above, below) in zip(quantities, panels.T):
        plot_parity(shown, quantity, ax=above)
        together = shown.all(quantity)
        if together is not None and together.rmse:
            plot_error_distribution(shown, quantity, ax=below)
        else:
            below.set_axis_off()
    above, below = panels[:, -1]
    plot_dimers(model, ax=above)
    if calibration is not None:
        plot_calibration(*calibration, ax=below)
    elif isinstance(model, FittedPotential) and model.coefficients.any():
        first = model.coefficients.reshape(-1, *model.coefficients.shape[-2:])[0]  # ρ_1, in eV
        plot_coefficient_decay(coefficient_decay(model.basis, first), ax=below)
        below.set_ylabel("|θ| (eV): rms (line), largest (dot)")
    else:
        below.set_axis_off()
    return figure


# --- parts -----------------------------------------------------------------------------------------------------


def _kind(quantity: str) -> _Quantity:
    return _QUANTITIES[one_of("quantity", quantity, _QUANTITIES)]


def _groups(errors: Errors, quantity: str) -> dict[int, tuple[str, Predictions]]:
    """Groups that have this label, by their number among all: one look in all figures."""
    _kind(quantity)
    numbered = enumerate(check_kind("errors", errors, Errors).groups.items())
    found = {k: (name, group[quantity]) for k, (name, group) in numbered if quantity in group}
    if not found:
        labels = dict.fromkeys(label for group in errors.groups.values() for label in group)
        raise ValueError(f"errors has no labels of {quantity}; it has {', '.join(labels) or 'none'}")
    return found


def _merged(parts: dict[str, Errors]) -> Errors:
    """All groups of each part as one group."""
    merged = {name: {q: errors.all(q) for q in _QUANTITIES} for name, errors in parts.items()}
    return Errors({name: {q: p for q, p in group.items() if p is not None} for name, group in merged.items()})


def _worst(errors: Errors) -> Errors:
    """The groups with the largest errors of forces, or energies, and the others together."""
    if len(errors.groups) <= _MOST_GROUPS:
        return errors
    quantity = next((q for q in ("forces", "energy", "stress") if errors.all(q) is not None), None)
    size = {name: group[quantity].rmse if quantity in group else 0.0 for name, group in errors.groups.items()}
    worst = sorted(size, key=size.__getitem__, reverse=True)[: _MOST_GROUPS - 1]
    others = {name: group for name, group in errors.groups.items() if name not in worst}
    together = _merged({f"{len(others)} others": Errors(others)}).groups
    return Errors({name: errors.groups[name] for name in worst} | together)


def draw_points(ax: Axes, true: np.ndarray, predicted: np.ndarray, k: int, label: str) -> None:
    """Draw predictions of the k-th group against its labels."""
    style: dict[str, Any] = {"markersize": 3.5, "markeredgewidth": 0, "alpha": 0.7, "rasterized": True}
    style["zorder"] = 2 + 1 / len(true)  # small groups would vanish behind large ones
    ax.plot(true, predicted, MARKERS[k % len(MARKERS)], color=PALETTE[k % len(PALETTE)], label=label, **style)


def draw_survival(ax: Axes, errors: np.ndarray, k: int, label: str | None) -> None:
    """Draw which part of the errors of the k-th group, which are >= 0, is at least so large."""
    x, share = survival(errors)
    line, color = LINES[k % len(LINES)], PALETTE[k % len(PALETTE)]
    ax.step(x, 100 * share, where="pre", linestyle=line, color=color, label=label)


def survival(errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return errors > 0, rising, and the share of all that are at least so large."""
    n = len(errors)
    ranks = np.arange(1, n + 1)
    if n > _MOST_POINTS:  # all of the largest errors, and then fewer and fewer
        ranks = np.unique(np.geomspace(1, n, _MOST_POINTS).round().astype(np.int64))
    ranks = ranks[::-1]
    sizes = np.sort(errors)[n - ranks]
    return sizes[sizes > 0], (ranks / n)[sizes > 0]


def _energy_range(energies: np.ndarray) -> tuple[float, float]:
    """Limits that show all minima, and a repulsion only as high as they are deep, three times."""
    top, depth = max(energies.max(), 0.0), max(-energies.min(), 0.0)
    depth = depth or 0.3 * top or 1.0
    return -1.5 * depth, min(top, 3 * depth) + 0.5 * depth


def _positive(deviations: ArrayLike, errors: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Deviations > 0 and the sizes of their errors."""
    sigma = real_array("deviations", deviations, (None,))
    size = np.abs(real_array("errors", errors, (len(sigma),)))
    if sigma.size and sigma.min() < 0:
        raise ValueError(f"deviations must be >= 0; got {sigma.min()!r}")
    # Components that symmetry forbids have both by rounding alone.
    used = sigma > 1e-9 * sigma.max(initial=0.0)
    if not size[used].any():
        raise ValueError("no deviation > 0 has an error > 0, and so there is nothing to draw")
    return sigma[used], size[used]


def _legend(name: str, found: Predictions, kind: _Quantity) -> str:
    return f"{name}: {kind.error_factor * found.rmse:.3g} {kind.error_unit}"


def _add_legend(ax: Axes, n: int, title: str) -> None:
    """Inside, or beside the axes if it is long."""
    size = "small" if n <= 4 else "x-small"
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if n > 8 else {}
    ax.legend(
        title=title or None,
        title_fontsize=size,
        fontsize=size,
        frameon=False,
        alignment="left",
        **place,
    )
