"""Laws of the errors, σ² = a² + b² (v/s²)^p, of greatest likelihood: from what is predicted of structures left out."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from scipy.optimize import minimize

from acepure._utils.workers import naming_structure, structure_bar
from acepure.errors import CalibrationWarning
from acepure.fitting.checkpoints import Checkpoints, bits_of
from acepure.fitting.deviations import QUANTITIES, Deviations, compare_deviations, coverage_table
from acepure.fitting.labeled import LabeledSet
from acepure.fitting.leave_combinations import leave_combinations_out
from acepure.fitting.leave_out import leave_out
from acepure.models.calibration import Calibration, ErrorLaw
from acepure.models.posterior import posterior_arrays
from acepure.models.uncertainty import UncertainModel

_log = logging.getLogger(__name__)

#: Fewer structures say too little about errors, ...
LEAST_STRUCTURES = 20
#: ... and so do fewer numbers of a quantity.
LEAST_LABELS = 30
# So many structures or groups are left out: with 80 of them σ was within 13 % of that with all.
_MOST_LEFT_OUT = 200
# Errors grow at most like deviations. Larger powers fit structures left out one by one a little better, and those far
# from the rest, left out together, much worse.
_LARGEST_POWER = 1.0
# Share of normal errors below σ.
_ONE_SIGMA = 0.6827


def fit_error_law(errors: np.ndarray, variances: np.ndarray, independent: int = 1) -> ErrorLaw:
    """Return a, b and p of greatest likelihood of normal errors with σ² = a² + b² (v/s²)^p.

    Parameters
    ----------
    errors : numpy.ndarray, shape (n, k)
        k numbers with a common σ per item.
    variances : numpy.ndarray, shape (n,)
        v > 0; s² is their mean.
    independent : int
        How many of the k numbers are independent: 6 of the 9 of a virial.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> v = np.exp(rng.normal(size=4000))
    >>> law = fit_error_law(np.sqrt(0.04 + 0.09 * v**0.6)[:, None] * rng.normal(size=(4000, 3)), v)
    >>> round(float(law(1.0)), 2)  # √0.13
    0.36
    """
    squares, scale = np.mean(errors**2, axis=1), float(variances.mean())
    mean, log_v, n = float(squares.mean()), np.log(variances / scale), len(errors) * independent
    s, largest = float(np.sqrt(scale)), float(np.sqrt(variances.max()))
    if not mean > 0:
        return ErrorLaw(0.0, 0.0, 1.0, s, n, largest)

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        """Minus the mean log likelihood, in units of the mean square, and its gradient by (log a², log b², p)."""
        floor, growing = np.exp(x[0]), np.exp(x[1] + x[2] * log_v)
        s2 = floor + growing
        slope = 0.5 * (1.0 - squares / mean / s2) / s2
        value = 0.5 * np.mean(np.log(s2) + squares / mean / s2)
        return float(value), np.array([np.mean(slope * part) for part in (floor, growing, growing * log_v)])

    bounds = [(-30.0, 5.0), (-30.0, 5.0), (0.0, _LARGEST_POWER)]
    starts = product((-0.5, -7.0), (-0.5,), (0.3, 0.7, _LARGEST_POWER))
    found = [minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds) for start in starts]
    best = min(found, key=lambda result: result.fun).x
    a, b = np.sqrt(mean * np.exp(best[:2]))
    return ErrorLaw(float(a), float(b), float(best[2]), s, n, largest)


def calibrate_fit(
    model: UncertainModel,
    labeled: LabeledSet,
    by: str | Sequence[str],
    num_threads: int | None = None,
    progress: bool | None = None,
    checkpoints: Checkpoints | None = None,
) -> Calibration | None:
    """Return the calibration of a model on the structures of its fit: up to 200, or groups, each left out in turn.

    Parameters
    ----------
    model, labeled, by, num_threads, progress
        As `leave_out`.
    checkpoints : Checkpoints, optional

    Returns
    -------
    Calibration, or None where too little is known

    Warns
    -----
    CalibrationWarning
        For fewer than 20 structures, or less than 30 labels of a quantity.
    """
    leave = partial(leave_out, model, labeled, num_threads=num_threads, progress=progress)
    checkpoints = Checkpoints() if checkpoints is None else checkpoints

    def make() -> dict[str, Any] | None:
        found = calibration_by(leave, len(labeled), by)
        if found is None:
            return None
        unseen, _ = _laws(leave_combinations_out(model, labeled, num_threads, progress))
        return replace(found, unseen=unseen).to_dict()

    inputs = [
        by if isinstance(by, str) else list(by),
        bits_of(model.coefficients, *posterior_arrays(model.posterior).values()),
    ]
    stored = checkpoints.value("calibration", inputs, make)
    return None if stored is None else Calibration.from_dict(stored)


def calibration_by(leave: Callable[..., dict[str, Deviations]], n: int, by: str | Sequence[str]) -> Calibration | None:
    """Return a calibration from structures left out; None for too few of them.

    Parameters
    ----------
    leave : callable
        `leave_out` of the model, taking `by` and `at_most`.
    n : int
        Number of structures.
    by
        As `calibrate_fit`.
    """
    if n < LEAST_STRUCTURES:
        _warn(f"{n} structures, and {LEAST_STRUCTURES} are needed")
        return None
    found = leave(by=by, at_most=_MOST_LEFT_OUT)
    n = len({int(k) for deviations in found.values() for k in deviations.structures})
    name = by if isinstance(by, str) else "groups"
    calibration = _calibration(found, f"{n} structures of the fit, left out by {name}")
    if calibration is not None:
        table = coverage_table(calibrated(calibration, found))
        _log.info(f"errors and standard deviations of {calibration.source}\n{table}\n")
    return calibration


def calibrated(calibration: Calibration, found: Mapping[str, Deviations]) -> dict[str, Deviations]:
    """Return deviations with variances by the laws of a calibration in place of those of the posterior."""
    result = {}
    for quantity, raw in found.items():
        used = raw.informative()
        sigmas = used.scales * calibration.sigma(quantity, used.sigmas / used.scales)
        variances = np.broadcast_to(np.square(sigmas)[:, None], used.errors.shape)
        result[quantity] = replace(used, variances=variances)
    return result


def calibrate_on(
    model: UncertainModel, labeled: LabeledSet, *, num_threads: int | None = None, progress: bool | None = None
) -> Calibration:
    """Calibrate on structures that were not in the fit; see `LinearACE.calibrate`."""
    if len(labeled) < LEAST_STRUCTURES:
        raise ValueError(f"structures are {len(labeled)}; a calibration needs at least {LEAST_STRUCTURES}")
    results, deviations = [], []
    with structure_bar("uncertainty", labeled, progress) as bar:
        for k, item in enumerate(labeled):
            with naming_structure(k):
                results.append(model.evaluate(item.atoms, num_threads=num_threads))
                stated = model.uncertainty(item.atoms, num_threads=num_threads)
            deviations.append(stated.posterior or stated)
            bar.update()
    found = compare_deviations(labeled, results, deviations)
    calibration = _calibration(found, f"{len(labeled)} structures that were not in the fit")
    if calibration is None:
        raise ValueError(f"structures have less than {LEAST_LABELS} labels of energies, forces and virials each")
    if model.calibration is not None:
        known = model.calibration.laws  # of the fit, which says what is near to it
        new = {q: replace(law, largest=known[q].largest) if q in known else law for q, law in calibration.laws.items()}
        laws = {**known, **new}
        calibration = replace(calibration, laws=laws, unseen=model.calibration.unseen)
    return calibration


def _calibration(found: dict[str, Deviations], source: str) -> Calibration | None:
    laws, quantiles = _laws(found)
    for quantity in found.keys() - laws.keys():
        _, n = _numbers(quantity, found[quantity])
        _warn(f"{n} labels of {quantity}, and {LEAST_LABELS} are needed", quantity)
    if not laws:
        return None
    committee = quantiles.get("forces", next(iter(quantiles.values())))
    return Calibration(laws, max(committee, np.finfo(float).tiny), source)


def _numbers(quantity: str, deviations: Deviations) -> tuple[Deviations, int]:
    """What says something, and how many numbers that are."""
    used = deviations.informative()
    return used, len(used.errors) * _independent(quantity, used)


def _independent(quantity: str, used: Deviations) -> int:
    return QUANTITIES.get(quantity) or int(used.errors.shape[1])


def _laws(found: Mapping[str, Deviations]) -> tuple[dict[str, ErrorLaw], dict[str, float]]:
    """Laws of the quantities with enough numbers, and the 68 % quantiles of |error| / σ of the posterior."""
    laws, quantiles = {}, {}
    for quantity, deviations in found.items():
        used, n = _numbers(quantity, deviations)
        if n < LEAST_LABELS:
            continue
        errors, sigmas = used.errors / used.scales[:, None], used.sigmas / used.scales
        laws[quantity] = fit_error_law(errors, sigmas**2, _independent(quantity, used))
        quantiles[quantity] = float(np.quantile(np.abs(errors) / sigmas[:, None], _ONE_SIGMA))
    return laws, quantiles


def _warn(what: str, quantity: str = "all quantities") -> None:
    text = f"standard deviations of {quantity} are those of the posterior, usually too small several times over: {what}"
    warnings.warn(text, CalibrationWarning, stacklevel=4)
