"""Experiments with a target: coefficients and errors of least-squares fits; each function returns a `Table`.

    decay_table        largest coefficient by degree
    truncation_table   errors when high orders are cut off after the fit
    learning_table     test errors by number and law of samples and by ridge
    iteration_table    steps of an iterative solver

All compare the self-interacting, canonical, shifted and centered bases, and the means μ are those of the samples' law.
For a fixed number of particles and with a constant, the four span the same functions: plain least squares with enough
samples gives the same fit in all of them, and what differs is its coefficients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from statistics import median

import numpy as np
from scipy.sparse.linalg import lsqr
from tqdm import tqdm

from acepure._utils.checks import count, one_of, real_array
from acepure.toys.fits import fit_particles, scaled_features
from acepure.toys.laws import LAWS, random_particles, resolved_law
from acepure.toys.particles import ROWS, ParticleBasis, compared_bases
from acepure.toys.tables import Table
from acepure.toys.targets import runge, target_name

Target = Callable[[np.ndarray], np.ndarray]

_LSQR_TOLERANCE = 1e-10
#: Per feature; far more than LSQR takes when it converges.
_LSQR_STEPS = 100


def _values(target: Target, x: np.ndarray) -> np.ndarray:
    if not callable(target):
        raise TypeError(f"target must be a function of particles; got {target!r} of type {type(target).__name__}")
    return real_array("target(x)", target(x), (len(x),))


def _samples(target: Target, n_samples: int, n_particles: int, law: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Particles and values of the target."""
    x = random_particles(n_samples, n_particles, law, seed)
    return x, _values(target, x)


def decay_table(
    target: Target = runge,
    family: str = "chebyshev",
    order: int = 4,
    totaldegree: int = 12,
    n_particles: int = 4,
    n_samples: int = 8000,
    law: str | None = None,
    seed: int = 0,
) -> Table:
    """Return the largest coefficient of a least-squares fit by the total degree of its feature.

    Parameters
    ----------
    target : callable
        Maps particles (n_samples, n_particles) to values (n_samples,).
    family : {"chebyshev", "legendre"}
    order, totaldegree, n_particles, n_samples : int
    law : {"uniform", "arcsine"}, optional
        Of the samples; default: the own law of the family.
    seed : int
        Of the random numbers.

    Returns
    -------
    Table
        Columns: degree, and for each basis max |θ_k| over Σ k = degree, for features of unit root mean square and a
        target of unit variance.
    """
    law = resolved_law(family, law)
    x, y = _samples(target, n_samples, n_particles, law, seed)
    bases = compared_bases(family, order, totaldegree, n_particles, law)
    degrees = np.array([sum(k) for k in bases[0].indices])
    sizes = [abs(fit_particles(basis, x, y).coefficients) / np.std(y) for basis in bases]
    rows = tuple((d, *(float(size[degrees == d].max()) for size in sizes)) for d in np.unique(degrees).tolist())
    title = (
        f"Largest coefficient by degree: {target_name(target)}, {n_particles} particles, {family}, order {order}, "
        f"{n_samples} {law} samples."
    )
    return Table(title, ("degree", *ROWS.values()), rows)


def truncation_table(
    target: Target = runge,
    family: str = "chebyshev",
    order: int = 4,
    totaldegree: int = 12,
    n_particles: int = 4,
    n_samples: int = 8000,
    law: str | None = None,
    seed: int = 0,
) -> Table:
    """Return the errors of a fit cut off at lower orders, and of a new fit with these orders alone.

    What is cut off is replaced by its mean. In an orthogonal basis the cut fit is the best one of its order.

    Parameters
    ----------
    target, family, order, totaldegree, n_particles, n_samples, law, seed
        As in `decay_table`.

    Returns
    -------
    Table
        Columns: kept order, features, new fit, and one for each basis: root mean square errors on new samples of the
        same law, in units of the standard deviation of the target.
    """
    law = resolved_law(family, law)
    x, y = _samples(target, n_samples, n_particles, law, seed)
    x_test, y_test = _samples(target, n_samples, n_particles, law, seed + 1)
    bases = compared_bases(family, order, totaldegree, n_particles, law)
    orders = np.array([len(k) for k in bases[0].indices])
    fits = [fit_particles(basis, x, y) for basis in bases]

    def error(predicted: np.ndarray) -> float:
        return float(np.sqrt(np.mean((predicted - y_test) ** 2)) / np.std(y_test))

    rows = []
    for kept in range(1, order + 1):
        cells = [error(fit_particles(ParticleBasis(family, kept, totaldegree), x, y).predict(x_test))]
        for basis, fit in zip(bases, fits):
            theta = np.where(orders <= kept, fit.coefficients / fit.scale, 0.0)
            constant = np.mean(y - basis.features(x) @ theta)
            cells.append(error(constant + basis.features(x_test) @ theta))
        rows.append((kept, int((orders <= kept).sum()), *cells))
    title = (
        f"Errors of a fit cut off at lower orders: {target_name(target)}, {n_particles} particles, {family}, "
        f"degree {totaldegree}, {n_samples} {law} samples."
    )
    return Table(title, ("kept order", "features", "new fit", *ROWS.values()), tuple(rows))


def learning_table(
    target: Target = runge,
    family: str = "chebyshev",
    order: int = 3,
    totaldegree: int = 10,
    n_particles: int = 6,
    laws: Sequence[str] = LAWS,
    samples: Sequence[int] = (40, 60, 100, 400),
    ridges: Sequence[float] = (0.0, 1e-4, 1e-2),
    test_law: str = "uniform",
    n_test: int = 2000,
    repeats: int = 5,
    seed: int = 0,
) -> Table:
    """Return test errors by law and number of samples and by ridge.

    Parameters
    ----------
    target, family, order, totaldegree, n_particles, seed
        As in `decay_table`.
    laws : sequence of {"uniform", "arcsine"}
        Of the samples of fits.
    samples : sequence of int
        Their numbers.
    ridges : sequence of float
        As in `fit_particles`.
    test_law : {"uniform", "arcsine"}
    n_test : int
        Number of samples of the test set.
    repeats : int
        Sets of samples; medians over them are returned.

    Returns
    -------
    Table
        Columns: law, samples, ridge, and for each basis root mean square and largest error, in units of the standard
        deviation of the target over the test set.
    """
    for law in laws:
        one_of("laws", law, LAWS)
    repeats = count("repeats", repeats)
    x_test, y_test = _samples(target, n_test, n_particles, test_law, seed)
    rows = []
    for law, n in tqdm(list(product(laws, samples)), desc="fits", disable=None):
        bases = compared_bases(family, order, totaldegree, n_particles, law)
        sets = [_samples(target, n, n_particles, law, seed + 1 + repeat) for repeat in range(repeats)]
        for ridge in ridges:
            cells = [_errors(basis, sets, ridge, x_test, y_test) for basis in bases]
            rows.append((law, n, ridge, *(error for pair in cells for error in pair)))
    title = (
        f"Test errors: {target_name(target)}, {n_particles} particles, {family}, order {order}, degree {totaldegree}, "
        f"{len(ParticleBasis(family, order, totaldegree))} features and a constant; {test_law} test set, median of "
        f"{repeats}."
    )
    columns = [f"{kind}, {row}" for row in ROWS.values() for kind in ("RMSE", "max")]
    return Table(title, ("law", "samples", "ridge", *columns), tuple(rows))


def _errors(
    basis: ParticleBasis,
    sets: Sequence[tuple[np.ndarray, np.ndarray]],
    ridge: float,
    x_test: np.ndarray,
    y_test: np.ndarray,
) -> tuple[float, float]:
    """Root mean square and largest error on the test set, medians over fits."""
    errors = [(fit_particles(basis, x, y, ridge).predict(x_test) - y_test) / np.std(y_test) for x, y in sets]
    return median(float(np.sqrt(np.mean(e**2))) for e in errors), median(float(abs(e).max()) for e in errors)


def iteration_table(
    target: Target = runge,
    family: str = "chebyshev",
    orders: Sequence[int] = (2, 3, 4),
    degrees: Sequence[int] = (6, 10, 14),
    n_particles: int | None = None,
    n_samples: int = 4000,
    law: str | None = None,
    seed: int = 0,
) -> Table:
    """Return the number of steps that LSQR takes to a relative tolerance of 1e-10, by order and degree.

    Columns of the design matrix have unit root mean square. Parameters as in `decay_table`, but for

    Parameters
    ----------
    orders, degrees : sequence of int
    n_particles : int, optional
        Default: as many as the order.

    Returns
    -------
    Table
        Columns: order, degree, features, and one for each basis.
    """
    law = resolved_law(family, law)
    rows = []
    for order, degree in product(orders, degrees):
        n = order if n_particles is None else n_particles
        x, y = _samples(target, n_samples, n, law, seed)
        bases = compared_bases(family, order, degree, n, law)
        rows.append((order, degree, len(bases[0]), *(_lsqr_steps(basis, x, y) for basis in bases)))
    particles = "as many particles as the order" if n_particles is None else f"{n_particles} particles"
    title = f"Steps of LSQR: {target_name(target)}, {family}, {particles}, {n_samples} {law} samples."
    return Table(title, ("order", "degree", "features", *ROWS.values()), tuple(rows))


def _lsqr_steps(basis: ParticleBasis, x: np.ndarray, y: np.ndarray) -> int:
    design = np.column_stack([np.ones(len(x)), scaled_features(basis, x)[0]])
    limit = _LSQR_STEPS * design.shape[1]
    return int(lsqr(design, y, atol=_LSQR_TOLERANCE, btol=_LSQR_TOLERANCE, conlim=0, iter_lim=limit)[2])
