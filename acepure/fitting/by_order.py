"""Fits of some body orders, all others being given.

In a canonical basis the columns of order ν are the (ν + 1)-body term, which vanishes on clusters of ν atoms: clusters
of k atoms determine the orders up to k − 1, and nothing else. So the orders can be fitted one after the other, each to
the structures, and the theory, that are meant to decide it. With (X | y) the weighted rows, of which R is the triangle,
and θ the coefficients that are given, those of the orders to be fitted being 0,

    y − X θ = X_free u        has the triangle        (R[:, free] | R[:, y] − R[:, X] θ),

so that what is given needs no pass over the structures of its own, and stays as it is to the last bit.

Uncertainty. u depends on the given θ by ∂u/∂θ = −G X, with G = Cov(u) X_freeᵀ / σ² what maps labels to u. With S_0 the
root of the covariance of θ and S that of u, the root of all is

    ( S_0       0 )        given orders
    ( −G X S_0  S )        orders of this fit:

the data of this fit do not change what is known of the orders that are given.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from acepure._utils.checks import count
from acepure._utils.workers import Workers, checked_workers
from acepure.features.basis import ACEBasis, check_basis
from acepure.fitting.design import Design, Triangle, assemble
from acepure.fitting.fit import FitResult, check_species, resolved_core, resolved_energies
from acepure.fitting.labeled import LabeledSet
from acepure.fitting.met import what_was_met
from acepure.fitting.priors import SmoothnessPrior, resolve_prior
from acepure.fitting.reference_energies import reference_table
from acepure.fitting.solvers import Solution, checked_options, solve
from acepure.fitting.system import Unknowns, prior_from_evidence, unknowns
from acepure.fitting.weights import Weights, resolve_weights
from acepure.models.linear import LinearACE
from acepure.models.posterior import dense_root
from acepure.models.repulsion import PairCore

_log = logging.getLogger(__name__)


def fit_orders(
    labeled: LabeledSet,
    orders: int | Sequence[int],
    basis: ACEBasis | None,
    given: LinearACE | None,
    *,
    weights: Weights | Mapping[str, Any] | Sequence[float] | None,
    E0s: Mapping[str, float] | str | float | None,
    prior: SmoothnessPrior | str | None,
    solver: str,
    options: Mapping[str, float] | None,
    core: PairCore | str | None,
    workers: Workers,
    num_threads: int | None,
    progress: bool | None,
) -> FitResult:
    """Fit some orders; the arguments are those of `LinearACE.fit_orders`, which documents them.

    Parameters
    ----------
    given : LinearACE, optional
        Without it, all orders that are not fitted are zero.
    """
    workers = checked_workers(workers)
    options = checked_options(solver, options or {})
    basis = _checked_basis(basis, given)
    fitted = _checked_orders(orders, basis)
    if core is not None and given is not None:
        raise ValueError("core belongs to order 1 of the model that is given: give it to the first fit")
    prior = resolve_prior(prior)
    weights = resolve_weights(weights, labeled.config_types)
    check_species(basis, labeled)
    met = what_was_met(basis, labeled, workers, progress)
    shortest, surroundings = met.shortest, met.surroundings
    known = None if given is None else given.surroundings
    core = resolved_core(core, basis, shortest) if given is None else given.core
    if E0s is None:
        E0s = "isolated" if given is None else given.E0s
    energies = resolved_energies(labeled, basis, E0s)
    which = f"order{'s' * (len(fitted) > 1)} {', '.join(map(str, fitted))}"
    _log.info(f"{which} of {basis.order}\n\n{labeled}\n\n{weights}\n\n{reference_table(energies)}\n")

    design = Design(basis, weights, energies, core)
    triangle = assemble(design, labeled, workers=workers, num_threads=num_threads, progress=progress)
    free = np.isin([label.order for label in basis.labels], fitted)
    theta = np.zeros((len(basis.species), len(basis))) if given is None else np.where(free, 0.0, given.coefficients)
    reduced = _without_given(triangle, theta, free)
    prior, about_species = prior_from_evidence(basis, prior, reduced)
    T = unknowns(basis, prior).T[:, np.tile(free, len(basis.species))]
    solution = solve(Unknowns(T, len(basis.species)).problem(reduced), solver, **options)
    theta = np.where(free, (T @ solution.u).reshape(len(basis.species), -1)[:, 1:], theta)
    root = _posterior(
        triangle, T, solution, None if given is None or given.posterior is None else dense_root(given.posterior), free
    )
    before = [] if given is None else list(given.report.get("summary", []))
    text = f"{which}: {triangle.n_rows:,} rows of {len(labeled):,} structures; {solution.summary}"
    _log.info("\n".join([text, *([about_species] if about_species else [])]) + "\n")
    return FitResult(
        basis,
        theta,
        energies if given is None else dict(given.E0s),
        root,
        solution.noise,
        [*before, text, *([about_species] if about_species else [])],
        core,
        shortest if given is None else _shorter(given.shortest_distances or {}, shortest),
        surroundings if known is None else known.joined(surroundings),
        {"basis": basis.to_dict(), "weights": weights.to_dict(), "orders": list(fitted)},
    )


def _checked_basis(basis: ACEBasis | None, given: LinearACE | None) -> ACEBasis:
    if basis is None and given is None:
        raise ValueError("basis must be an ACEBasis, unless a model is given; got None")
    if basis is None or given is None:
        basis = given.basis if basis is None and given is not None else basis
        check_basis(basis)
    else:
        check_basis(basis)
        if basis.to_dict() != given.basis.to_dict():
            raise ValueError("basis must be that of the model given, or be left out")
    assert basis is not None
    if not basis.canonical or basis.reference is not None:
        raise ValueError(
            f"basis must be canonical and without reference, for its columns to be body orders; got {basis!r}"
        )
    return basis


def _checked_orders(orders: int | Sequence[int], basis: ACEBasis) -> tuple[int, ...]:
    values = [orders] if isinstance(orders, (int, np.integer)) else list(orders)
    found = sorted({count("orders", nu) for nu in values})
    if not found or found[-1] > basis.order:
        raise ValueError(f"orders must hold integers from 1 to the order of the basis, {basis.order}; got {orders!r}")
    return tuple(found)


def _with_constants(rows: np.ndarray) -> np.ndarray:
    """Put a zero for the constant before the features of each species, shape (n_species (1 + n_features), ...)."""
    n_species, n_features = rows.shape[:2]
    whole = np.concatenate([np.zeros((n_species, 1, *rows.shape[2:])), rows], axis=1)
    return whole.reshape(n_species * (1 + n_features), *rows.shape[2:])


def _without_given(triangle: Triangle, theta: np.ndarray, free: np.ndarray) -> Triangle:
    """The triangle of labels less the terms given, the columns of these being 0."""
    R = triangle.R.copy()
    R[:, -1] -= R[:, :-1] @ _with_constants(theta)
    kept = np.append(_with_constants(np.broadcast_to(free, theta.shape).astype(float)), 1.0)
    return Triangle(R * kept, triangle.n_rows)


def _posterior(
    triangle: Triangle, T: np.ndarray, solution: Solution, before: np.ndarray | None, free: np.ndarray
) -> np.ndarray:
    """The root of the covariance of all orders, shape (n_species, n_features, n_roots)."""
    n_species = len(T) // (1 + len(free))
    root = (T @ solution.root).reshape(n_species, -1, solution.root.shape[1])[:, 1:]
    if before is None:
        return root
    given = np.where(free[:, None], 0.0, before)
    if solution.noise > 0:
        R = triangle.R[:, :-1]
        scaled = solution.root / solution.noise
        moved = T @ (scaled @ (scaled.T @ ((R @ T).T @ (R @ _with_constants(given)))))
        given = given - moved.reshape(n_species, -1, moved.shape[1])[:, 1:]
    return np.concatenate([given, root], axis=2)


def _shorter(
    one: Mapping[tuple[str, str], float], other: Mapping[tuple[str, str], float]
) -> dict[tuple[str, str], float]:
    """The shortest distance of each pair in two sets of structures."""
    return {pair: min(one.get(pair, np.inf), other.get(pair, np.inf)) for pair in {**one, **other}}
