"""Fits of vectors and tensors: one linear least-squares problem for each irrep of the target.

Rows (`tensor_design.py`) are reduced to an R factor as they come, by the code that serves potentials, and so are prior,
evidence, solvers and what is left out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from acepure._utils.checks import number
from acepure._utils.workers import Workers
from acepure.features.basis import ACEBasis, check_basis
from acepure.fitting.design import assemble
from acepure.fitting.deviations import Deviations
from acepure.fitting.fit import check_species, referred_basis
from acepure.fitting.leave_out import Part, leave_out_groups
from acepure.fitting.met import what_was_met
from acepure.fitting.priors import SmoothnessPrior, resolve_prior
from acepure.fitting.solvers import checked_options, solve
from acepure.fitting.species_prior import unmet_text
from acepure.fitting.system import prior_from_evidence, unknowns
from acepure.fitting.tensor_design import TensorDesign, resolve_target_weights
from acepure.fitting.tensor_labels import LabeledTensor, TensorSet, components_of, composition
from acepure.models.tensor import TensorModel
from acepure.references import Reference

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TensorFit:
    """Coefficients by irrep, and where they come from.

    Attributes
    ----------
    bases : list of ACEBasis
    coefficients : list of numpy.ndarray, shape (n_species, n_features)
    constants : numpy.ndarray, shape (n_species,)
    posteriors : list of numpy.ndarray, shape (n_species, n_constants + n_features, n_unknowns)
        S of constants and coefficients: their covariance is S Sᵀ.
    report : dict
        "summary", "choices" and "regression", of JSON types.
    """

    bases: list[ACEBasis]
    coefficients: list[np.ndarray]
    constants: np.ndarray
    posteriors: list[np.ndarray]
    report: dict[str, Any]


def with_irrep(basis: ACEBasis, irrep: str) -> ACEBasis:
    """Return a basis of the same functions of one pair, and the same limits, for another irrep.

    Raises
    ------
    ValueError
        For an explicit list of functions, which serves one irrep alone.
    """
    if basis.irrep == irrep:
        return basis
    dictionary = basis.to_dict()
    if "functions" in dictionary:
        raise ValueError(f"basis has an explicit list of functions for {basis.irrep}; the target needs {irrep}, too")
    return ACEBasis.from_dict({**dictionary, "irrep": irrep})


def fit_tensor(
    labeled: TensorSet,
    basis: ACEBasis,
    *,
    reference: Reference | str | None,
    weights: Any,
    prior: SmoothnessPrior | str | None,
    solver: str,
    options: Mapping[str, float] | None,
    workers: Workers,
    num_threads: int | None,
    progress: bool | None,
) -> TensorFit:
    """Fit; the arguments are those of `TensorModel.fit`, which documents them.

    Parameters
    ----------
    """
    check_basis(basis, tensors=True)
    plain = basis
    options, prior = checked_options(solver, options or {}), resolve_prior(prior)
    weights = resolve_target_weights(weights, labeled.config_types)
    check_species(basis, labeled)
    _log.info(f"{labeled}\n")
    met = what_was_met(basis, labeled, workers, progress)
    basis = referred_basis(basis, reference, labeled, workers, progress, met)
    bases, coefficients, posteriors = [], [], []
    noise: dict[str, float] = {}
    constants, summary = np.zeros(len(basis.species)), []
    for irrep, column in components_of(labeled.target.rank).items():
        part = with_irrep(basis, irrep)
        if irrep == "0e":
            constants = composition(labeled, basis.species, column)
        design = TensorDesign(part, labeled.target, weights, constants if irrep == "0e" else np.zeros_like(constants))
        triangle = assemble(design, labeled, workers=workers, num_threads=num_threads, progress=progress)
        # ρ and ρc of each irrep are those of its own evidence.
        chosen, about_species = prior_from_evidence(part, prior, triangle, design.constants)
        coordinates = unknowns(part, chosen, design.constants)
        solution = solve(coordinates.problem(triangle), solver, **options)
        bases.append(part)
        coefficients.append(coordinates.coefficients(solution.u))
        constants = constants + coordinates.constants(solution.u)
        posteriors.append((coordinates.T @ solution.root).reshape(len(basis.species), -1, solution.root.shape[1]))
        noise[irrep] = solution.noise
        notes = [text for text in (about_species, unmet_text(part, met.surroundings)) if text]
        summary += [f"{irrep}: {triangle.n_rows:,} rows, {solution.summary}", *notes]
        _log.info(
            "\n".join([f"{irrep}: {triangle.n_rows:,} × {design.n_columns:,}, {solution.summary}", *notes]) + "\n"
        )
    regression = {"noise": noise, "weights": {name: list(pair) for name, pair in weights.items()}}
    choices = {"basis": plain.to_dict(), "weights": regression["weights"]}
    about = {"summary": summary, "choices": choices, "regression": regression}
    return TensorFit(bases, coefficients, constants, posteriors, about)


def leave_out_tensors(
    model: TensorModel,
    labeled: TensorSet,
    *,
    by: str | Sequence[str] = "structure",
    at_most: int | None = None,
    num_threads: int | None = None,
    progress: bool | None = None,
) -> dict[str, Deviations]:
    """Predict each structure of a fit by a fit without it, in closed form, see `acepure.fitting.leave_out`.

    Returns
    -------
    dict
        Irrep → `Deviations` of its components, and irrep + " derivatives" where these were fitted.
    """
    info = model.report.get("regression")
    if model.posteriors is None or not isinstance(info, Mapping):
        raise ValueError("the model has no posterior, or does not say with which weights it was fitted")
    weights = {name: (pair[0], pair[1]) for name, pair in info["weights"].items()}
    found: dict[str, Deviations] = {}
    for basis, theta, posterior in zip(model.bases, model.coefficients, model.posteriors):
        noise = number("noise", info["noise"][basis.irrep], least=0)
        if not noise:
            continue  # fits its labels exactly
        offsets = model.constants if basis.irrep == "0e" else np.zeros_like(model.constants)
        one = _LeftOut(TensorDesign(basis, labeled.target, weights, offsets), theta, posterior, noise, num_threads)
        found |= leave_out_groups(labeled, one.whitened, one.parts, by=by, at_most=at_most, progress=progress)
    return found


@dataclass(frozen=True, eq=False)
class _LeftOut:
    """Rows of one irrep, and what is known of its coefficients; the constants are in the offsets of the design."""

    design: TensorDesign
    theta: np.ndarray
    posterior: np.ndarray
    noise: float
    num_threads: int | None

    def whitened(self, item: LabeledTensor) -> tuple[np.ndarray, np.ndarray]:
        """X root and y − X u."""
        rows = self.design.rows(item, self.num_threads)
        root = self.posterior.reshape(self.design.n_columns, -1)
        full = np.pad(self.theta, ((0, 0), (self.design.n_constants, 0)))
        return rows[:, :-1] @ root / self.noise, rows[:, -1] - rows[:, :-1] @ full.ravel()

    def parts(self, item: LabeledTensor, residuals: np.ndarray, variances: np.ndarray) -> Iterator[Part]:
        """Errors and variances of values and of derivatives."""
        irrep, width = self.design.basis.irrep, 2 * self.design.basis.L + 1
        of_values, of_derivatives = self.design.factors(item)
        n = width * len(item.values) if of_values and item.values is not None else 0
        scale = np.sqrt(len(item.atoms)) if self.design.target.per == "structure" else 1.0
        for name, rows, factor, size in (
            (irrep, slice(0, n), of_values, scale),
            (f"{irrep} derivatives", slice(n, None), of_derivatives, 1.0),
        ):
            if factor:
                errors, spread = -residuals[rows] / factor, variances[rows] * (self.noise / factor) ** 2
                yield name, errors.reshape(-1, width), spread.reshape(-1, width), size
