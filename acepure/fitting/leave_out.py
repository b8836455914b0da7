"""Errors of a linear model on structures that it has seen, as if it had not: leave-one-out in closed form.

With the final factor P⁻¹ = root rootᵀ of a fit of weighted rows, P = XᵀX + λ, and for the rows X_s of a structure (or
of a group of structures) with residuals e = y_s − X_s u, W = X_s root, m rows and n unknowns:

    m ≤ n    A = 1 − W Wᵀ,    residuals without s  A⁻¹ e,                   variances  diag(A⁻¹) − 1
    m > n    A = 1 − WᵀW,     residuals without s  e + W A⁻¹ Wᵀ e,          variances  diag(W A⁻¹ Wᵀ)

equal to those of a fit without s at the same λ, energies E0, coordinates and prior; with an embedding, to those of one
Gauss–Newton step from the model without s. Variances are those of the
prediction, in units of the variance of the noise σ_n². Leaving out rows instead of structures would be optimistic: rows
of one structure share what is unknown. The root of the posterior is S = σ_n T root, with θ̄ = T u; so W is (rows of
features) S / σ_n.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular

from acepure._utils.checks import count, number
from acepure._utils.workers import naming_structure, structure_bar
from acepure.features.linear import features_of_isolated_atoms
from acepure.fitting.design import Design
from acepure.fitting.deviations import QUANTITIES, Deviations
from acepure.fitting.embedded import EmbeddedDesign
from acepure.fitting.labeled import LabeledSet
from acepure.fitting.labels import LabeledStructure
from acepure.fitting.weights import resolve_weights
from acepure.models.embedded import EmbeddedACE
from acepure.models.posterior import whitened
from acepure.models.uncertainty import UncertainModel

# Smallest 1 − leverage that rounding leaves any digits of; below, the rest of the data does not determine the rows.
_LEAST = 1e-10


def left_out(W: np.ndarray, residuals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the residuals of rows, and the variances of their predictions, in a fit without them.

    Parameters
    ----------
    W : numpy.ndarray, shape (m, n)
        X_s root, the whitened rows.
    residuals : numpy.ndarray, shape (m,)
        y_s − X_s u of the fit with them.

    Returns
    -------
    residuals, variances : numpy.ndarray, shape (m,)
        The variances in units of that of the noise. NaN where the other rows do not determine these, to rounding.

    Examples
    --------
    The mean of three numbers, without the first: 2.5 is 1.5 less than 4, and its variance is 1/2.

    >>> left_out(np.array([[1.0]]) / np.sqrt(3), np.array([4 - 3.0]))
    (array([1.5]), array([0.5]))
    """
    m, n = W.shape
    if not m:
        return np.empty(0), np.empty(0)
    A = np.eye(min(m, n)) - (W @ W.T if m <= n else W.T @ W)
    try:
        L = cholesky(A, lower=True)
    except LinAlgError:
        return np.full(m, np.nan), np.full(m, np.nan)
    if np.square(np.diag(L)).min(initial=1.0) < _LEAST:
        return np.full(m, np.nan), np.full(m, np.nan)
    if m > n:
        Z = solve_triangular(L, W.T, lower=True)
        return residuals + Z.T @ (Z @ residuals), np.square(Z).sum(axis=0)
    # diag(A⁻¹) − 1 would lose the digits of small leverages: A⁻¹ − 1 = A⁻¹ W Wᵀ.
    both = cho_solve((L, True), np.column_stack([residuals, W]))
    return both[:, 0], np.einsum("mn,mn->m", both[:, 1:], W)


def leave_out(
    model: UncertainModel,
    labeled: LabeledSet,
    *,
    by: str | Sequence[str] = "structure",
    at_most: int | None = None,
    seed: int = 0,
    num_threads: int | None = None,
    progress: bool | None = None,
) -> dict[str, Deviations]:
    """Predict each structure of a fit by a fit without it.

    Parameters
    ----------
    model : LinearACE or EmbeddedACE
        With its posterior.
    labeled : LabeledSet
        What the model was fitted to, or whole structures (groups) of it; gone through once.
    by : str or sequence of str
        "structure"; or what is left out together: "config_type", any name in `atoms.info`, such as that of the
        trajectory a frame is from, or the name of the group of each structure.
    at_most : int, optional
        So many structures, or groups, chosen at random; default all.
    seed : int
        Of the choice.
    num_threads, progress
        As elsewhere.

    Returns
    -------
    dict
        "energy", "forces", "virial" → `Deviations`, for the labels the model was fitted to. NaN where nothing else in
        the data determines a structure.

    Raises
    ------
    ValueError
        For a model without posterior, or that was not fitted here, and structures without `by` in `info`.
    """
    whitened, parts = whitened_and_parts(model, num_threads)
    found = leave_out_groups(labeled, whitened, parts, by=by, at_most=at_most, seed=seed, progress=progress)
    return {quantity: found[quantity] for quantity in QUANTITIES if quantity in found}


#: Of one structure: quantity, errors, variances, and what errors are divided by before they are compared.
Part = tuple[str, np.ndarray, np.ndarray, float]
Whitened = Callable[[Any], tuple[np.ndarray, np.ndarray]]
Parts = Callable[[Any, np.ndarray, np.ndarray], Iterator[Part]]


def whitened_and_parts(model: UncertainModel, num_threads: int | None) -> tuple[Whitened, Parts]:
    """Return what `leave_out_groups` asks for, of a potential."""
    info = regression_of(model)
    noise = info["noise"]
    design = Design(model.basis, resolve_weights(info["weights"]), model.E0s, model.core)
    vacuum = features_of_isolated_atoms(model.basis)

    def whitened(item: LabeledStructure) -> tuple[np.ndarray, np.ndarray]:
        W, residuals = _whitened(design, model, vacuum, item, num_threads)
        return W / noise, residuals

    def parts(item: LabeledStructure, residuals: np.ndarray, variances: np.ndarray) -> Iterator[Part]:
        for quantity, part in _by_quantity(design, item, residuals, noise**2 * variances):
            yield quantity, *part, 1.0 if quantity == "forces" else np.sqrt(len(item.atoms))

    return whitened, parts


def leave_out_groups(
    labeled: Collection[Any] | LabeledSet,
    whitened: Whitened,
    parts: Parts,
    *,
    by: str | Sequence[str] = "structure",
    at_most: int | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> dict[str, Deviations]:
    """Leave structures or groups out, one after the other; the steps that all linear models share.

    Parameters
    ----------
    labeled : collection
        Of structures with labels; gone through once.
    whitened : callable
        Returns (X root, y − X u) of a structure.
    parts : callable
        Sorts residuals and variances of rows without the structure, the latter in units of that of the noise, into
        (quantity, errors, variances, scale) in units of the labels.
    by, at_most, seed, progress
        As `leave_out`.
    """
    keys = group_names(labeled, by)
    names = list(dict.fromkeys(keys))
    if at_most is not None and count("at_most", at_most) < len(names):
        names = [names[k] for k in np.random.default_rng(seed).permutation(len(names))[:at_most]]
    sizes = {name: 0 for name in names}
    for name in keys:
        if name in sizes:
            sizes[name] += 1
    waiting: dict[Any, list[tuple[int, Any, np.ndarray, np.ndarray]]] = {}
    found: dict[str, list[Deviations]] = {}
    with structure_bar("leave out", labeled, progress) as bar:
        for k, (name, item) in enumerate(zip(keys, labeled)):
            bar.update()
            if name not in sizes:
                continue
            with naming_structure(k):
                members = waiting.setdefault(name, [])
                members.append((k, item, *whitened(item)))
            if len(members) == sizes[name]:
                _collect(found, waiting.pop(name), parts)
    return {quantity: Deviations.joined(every) for quantity, every in found.items()}


def regression_of(model: UncertainModel) -> dict[str, Any]:
    """The weights and the noise of the fit of a model."""
    if model.posterior is None:
        raise ValueError("the model has no posterior; fit it with uncertainty=True")
    info = model.report.get("regression")
    if not isinstance(info, dict) or not {"noise", "weights"} <= set(info):
        raise ValueError("the model does not say with which weights it was fitted, so that nothing can be left out")
    if not number("noise", info["noise"], least=0) > 0:
        raise ValueError("the model fits its labels exactly: it has no noise, and leaving out would change nothing")
    return info


def group_names(labeled: Collection[Any] | LabeledSet, by: str | Sequence[str]) -> list[Any]:
    """Return the name of the group that each structure is left out with; its number for "structure"."""
    if not isinstance(by, str):
        if not isinstance(by, Sequence) or not all(isinstance(name, str) for name in by):
            raise TypeError(f'by must be "structure", "config_type", a name in atoms.info, or groups; got {by!r}')
        if len(by) != len(labeled):
            raise ValueError(f"by names the groups of {len(by)} structures, and there are {len(labeled)}")
        return list(by)
    if by == "structure":
        return list(range(len(labeled)))
    if by == "config_type":
        return [item.config_type for item in labeled]
    names = []
    for k, item in enumerate(labeled):
        if by not in item.atoms.info:
            raise ValueError(
                f'structures[{k}].info has no {by!r}; by must be "structure", "config_type" or in all info'
            )
        names.append(str(item.atoms.info[by]))
    return names


def _whitened(
    design: Design, model: UncertainModel, vacuum: np.ndarray, item: LabeledStructure, num_threads: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """X S and the residuals y − X θ of a structure; the constant column follows from E(isolated) = E0."""
    assert model.posterior is not None
    if isinstance(model, EmbeddedACE):
        rows = EmbeddedDesign(design, model.function).rows(item, num_threads)
        return whitened(model.posterior, rows[:, :-1]), rows[:, -1]
    rows = design.rows(item, num_threads)
    X = rows[:, :-1].reshape(len(rows), *(vacuum.shape + np.array([0, 1])))
    features = X[:, :, 1:] - X[:, :, :1] * vacuum
    flat = features.reshape(len(rows), vacuum.size)
    return whitened(model.posterior, flat), rows[:, -1] - flat @ model.coefficients.ravel()


def _collect(
    found: dict[str, list[Deviations]],
    members: list[tuple[int, Any, np.ndarray, np.ndarray]],
    parts: Parts,
) -> None:
    """Leave some structures out together, and sort what comes out by quantity."""
    residuals, variances = left_out(*(np.concatenate(part) for part in zip(*(member[2:] for member in members))))
    start = 0
    for index, item, W, _ in members:
        rows = slice(start, start + len(W))
        collect(found, index, item, parts(item, residuals[rows], variances[rows]))
        start = rows.stop


def collect(found: dict[str, list[Deviations]], index: int, item: Any, parts: Iterator[Part]) -> None:
    """Add what is found of one structure, by its number, to that of others."""
    for quantity, errors, spread, scale in parts:
        n = len(errors)
        group = np.full(n, item.config_type, dtype=object)
        deviations = Deviations(errors, spread, np.full(n, scale), np.full(n, index), group)
        found.setdefault(quantity, []).append(deviations)


def _by_quantity(
    design: Design, item: LabeledStructure, residuals: np.ndarray, variances: np.ndarray
) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    """Errors (prediction minus label) and variances in units of the labels, from those of weighted rows."""
    factors = design.weights.row_factors(item.config_type, len(item.atoms))
    start = 0
    for quantity, label, factor in zip(QUANTITIES, (item.energy, item.forces, item.virial), factors):
        if label is None or not factor > 0:
            continue
        n = len(item.atoms) * 3 if quantity == "forces" else QUANTITIES[quantity]
        errors, spread = -residuals[start : start + n] / factor, variances[start : start + n] / factor**2
        start += n
        if quantity == "virial":
            full = np.array([0, 1, 2, 1, 3, 4, 2, 4, 5])  # xx, xy, xz, yy, yz, zz of the upper triangle
            doubled = np.array([1.0, 2.0, 2.0, 1.0, 2.0, 1.0])
            errors, spread = (errors / np.sqrt(doubled))[full], (spread / doubled)[full]
        width = {"energy": 1, "forces": 3, "virial": 9}[quantity]
        yield quantity, (errors.reshape(-1, width), spread.reshape(-1, width))
