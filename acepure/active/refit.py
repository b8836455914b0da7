"""Fits of a run: basis, reference energies, weights, prior and core stay as they are, so that leverages compare."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from acepure.active.selection import Rows, information
from acepure.errors import CoverageWarning
from acepure.features.basis import ACEBasis
from acepure.fitting.calibration import LEAST_LABELS, calibrate_fit
from acepure.fitting.design import Design, assemble
from acepure.fitting.fit import labeled_data, referred_basis, resolved_core
from acepure.fitting.labeled import LabeledSet
from acepure.fitting.leave_out import leave_out
from acepure.fitting.met import what_was_met
from acepure.fitting.priors import SmoothnessPrior, resolve_prior
from acepure.fitting.reference_energies import reference_energies
from acepure.fitting.system import prior_from_evidence
from acepure.fitting.weights import Weights, resolve_weights
from acepure.models.calibration import Calibration, ErrorLaw
from acepure.models.linear import LinearACE
from acepure.models.posterior import dense_root
from acepure.models.repulsion import PairCore

# Share of normal errors below σ.
_ONE_SIGMA = 0.6827


@dataclass(frozen=True)
class FitChoices:
    """What a run may choose for its fits; the meaning is that of `LinearACE.fit`.

    Parameters
    ----------
    weights : optional
        As `acepure.fitting.resolve_weights`; frames of the run are of config_type "hal".
    prior : SmoothnessPrior, "algebraic", "exponential" or None
    core : PairCore, "zbl" or None
        A repulsion that keeps atoms apart where there are no data: σ does not see such holes.
    """

    weights: Any = None
    prior: SmoothnessPrior | str | None = "algebraic"
    core: PairCore | str | None = "zbl"

    def __post_init__(self) -> None:
        if not resolve_weights(self.weights).default.forces > 0:
            raise ValueError("weights of forces must be > 0: the criterion is that of forces")
        resolve_prior(self.prior)
        if not (self.core is None or self.core == "zbl" or isinstance(self.core, PairCore)):
            raise ValueError(f'core must be a PairCore, "zbl" or None; got {self.core!r}')

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        core = self.core.to_dict() if isinstance(self.core, PairCore) else self.core
        return {
            "weights": resolve_weights(self.weights).to_dict(),
            "prior": resolve_prior(self.prior).to_dict(),
            "core": core,
        }


@dataclass(frozen=True, eq=False)
class Refit:
    """What all fits of a run have in common.

    Attributes
    ----------
    basis : ACEBasis
        In the coordinates of the density of the first structures; pairs that these do not have are those of a gas.
    E0s : mapping of str to float
        eV.
    weights : Weights
    prior : SmoothnessPrior
    core : PairCore, optional
    """

    basis: ACEBasis
    E0s: Mapping[str, float]
    weights: Weights
    prior: SmoothnessPrior
    core: PairCore | None

    @classmethod
    def of(
        cls,
        starts: Sequence[Atoms],
        basis: ACEBasis,
        E0s: Mapping[str, float] | str,
        choices: FitChoices,
        num_threads: int | None = None,
    ) -> Refit:
        """Choose coordinates, prior and core from the labeled structures that a run starts with."""
        labeled = _labeled(starts)
        energies = reference_energies(labeled, E0s, cutoff=basis.rcut, species=basis.species)
        met = what_was_met(basis, labeled)
        core = resolved_core(choices.core, basis, met.shortest)
        basis = referred_basis(basis, "density", labeled, 1, False, met)
        weights = resolve_weights(choices.weights)
        triangle = assemble(Design(basis, weights, energies, core), labeled, num_threads=num_threads, progress=False)
        prior, _ = prior_from_evidence(basis, resolve_prior(choices.prior), triangle)
        return cls(basis, energies, weights, prior, core)

    def fit(self, structures: Sequence[Atoms], num_threads: int | None = None) -> LinearACE:
        """Fit to all labels, and calibrate on each structure predicted without it.

        30 structures or more give the laws of errors of `LinearACE.fit`. Fewer give one factor for forces, the 68 %
        quantile of error / σ, and at least 1: little data say more easily too little than too much of errors.
        """
        labeled = _labeled(structures)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CoverageWarning)  # a run finds out by itself what it lacks
            model = LinearACE.fit(
                labeled,
                self.basis,
                reference=None,
                E0s=dict(self.E0s),
                weights=self.weights,
                prior=self.prior,
                core=self.core,
                calibrate_by=None,
                check=False,
                num_threads=num_threads,
                progress=False,
                verbose=False,
            )
        if not model.report["regression"]["noise"] > 0:
            raise ValueError(
                "the fit has no errors, so that nothing is uncertain: add structures or take fewer functions"
            )
        if len(labeled) >= LEAST_LABELS:
            return model.calibrated_by(calibrate_fit(model, labeled, "structure", num_threads, progress=False))
        return model.calibrated_by(_one_factor(model, labeled))


def information_gain(model: LinearACE, atoms: Atoms, num_threads: int | None = None) -> float:
    """Return log det(1 + W P⁻¹ Wᵀ): what energy and forces of a structure would add to those of the fit."""
    assert model.posterior is not None
    weights = model.report["regression"]["weights"]["default"]
    root = dense_root(model.posterior) * (weights[1] / model.report["regression"]["noise"])
    rows = Rows(model.basis, root, True, weights[0] / weights[1], num_threads)
    return information(np.eye(rows.n_unknowns), rows.of(atoms))


def left_out_ratios(model: LinearACE, structures: Sequence[Atoms], epsilon: float) -> np.ndarray:
    """Return the largest σ(F_i) / (|F_i| + ε) of each structure of the fit, predicted without it, calibrated."""
    found = leave_out(model, _labeled(structures), progress=False)["forces"]
    sigmas = found.sigmas if model.calibration is None else model.calibration.sigma("forces", found.sigmas)
    forces = np.concatenate([np.linalg.norm(atoms.get_forces(), axis=1) for atoms in structures])
    ratios = np.sqrt(3) * np.where(np.isfinite(sigmas), sigmas, np.inf) / (forces + epsilon)
    return np.array([ratios[found.structures == k].max() for k in range(len(structures))])


def _labeled(structures: Sequence[Atoms]) -> LabeledSet:
    """Labels are results of calculators; names in `info` and `arrays` of starts are not looked at."""
    return labeled_data(structures, prefix="")


def _one_factor(model: LinearACE, labeled: LabeledSet) -> Calibration:
    found = {name: part.informative() for name, part in leave_out(model, labeled, progress=False).items()}
    forces, factor = found["forces"], 1.0
    if len(forces.errors):
        factor = max(1.0, float(np.quantile(np.abs(forces.errors) / forces.sigmas[:, None], _ONE_SIGMA)))
    laws = {}
    for name, part in found.items():
        spread = part.sigmas / part.scales
        typical = float(np.sqrt(np.mean(np.square(spread)))) if len(spread) else 0.0
        if typical > 0:
            laws[name] = ErrorLaw(0.0, factor * typical, 1.0, typical, part.errors.size, float(spread.max()))
    return Calibration(laws, factor, f"{len(labeled)} structures of the fit, left out one by one: one factor")
