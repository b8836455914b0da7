"""Errors of predictions beside the standard deviations that were predicted for them, and how well the two agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from acepure.features.linear import EnergyAndForces
from acepure.fitting.labels import LabeledStructure, name_of_all, text_table
from acepure.models.uncertainty import Uncertainty

#: Independent numbers in a label.
QUANTITIES = {"energy": 1, "forces": 3, "virial": 6}
# Variances below this part of the mean are zero by symmetry: such rows say nothing.
_ZERO = 1e-9


@dataclass(frozen=True, eq=False)
class Deviations:
    """Errors of one quantity, and the variances that were predicted for them.

    An item is a structure for energies and virials, an atom for forces.

    Attributes
    ----------
    errors : numpy.ndarray, shape (n, 1), (n, 3) or (n, 9)
        Prediction minus label: energies in eV, forces in eV/Å, virials in eV.
    variances : numpy.ndarray, of the same shape
        Of each of these numbers.
    scales : numpy.ndarray, shape (n,)
        √N for energies and virials, 1 for forces: errors of structures of all sizes are compared after division by it.
    structures : numpy.ndarray of int, shape (n,)
        Number of the structure of each item.
    config_types : numpy.ndarray of str, shape (n,)
    """

    errors: np.ndarray
    variances: np.ndarray
    scales: np.ndarray
    structures: np.ndarray
    config_types: np.ndarray

    @property
    def sigmas(self) -> np.ndarray:
        """One σ per item, √(tr Cov / k) over its k numbers: it does not depend on the orientation of a structure."""
        return np.sqrt(self.variances.mean(axis=1))

    def of(self, chosen: np.ndarray) -> Deviations:
        """Return the items that a mask or numbers choose."""
        arrays = (self.errors, self.variances, self.scales, self.structures, self.config_types)
        return Deviations(*(array[chosen] for array in arrays))

    def informative(self) -> Deviations:
        """Return the items with finite numbers that symmetry does not make zero."""
        spread = self.sigmas / self.scales
        finite = np.isfinite(spread) & np.isfinite(self.errors).all(axis=1)
        mean = np.square(spread[finite]).mean() if finite.any() else 0.0
        return self.of(finite & (np.square(spread) > _ZERO * mean))

    @classmethod
    def joined(cls, parts: Iterable[Deviations]) -> Deviations:
        """Return the items of all parts."""
        arrays = [(p.errors, p.variances, p.scales, p.structures, p.config_types) for p in parts]
        return cls(*(np.concatenate(column) for column in zip(*arrays)))


@dataclass(frozen=True)
class Coverage:
    """How errors compare with their predicted standard deviations.

    Attributes
    ----------
    n : int
        Numbers compared.
    ratio : float
        Root mean square of error / σ; 1 is right. The root mean square of errors over that of σ would say the same for
        equal σ alone: one structure far outside, of which nothing is known and little is claimed, would rule it.
    within_1, within_2 : float
        Share of the errors below σ and 2 σ: 0.68 and 0.95 for normal errors.
    rank : float
        Spearman's rank correlation of σ and the size of the error.
    """

    n: int
    ratio: float
    within_1: float
    within_2: float
    rank: float

    @classmethod
    def of(cls, errors: np.ndarray, sigmas: np.ndarray) -> Coverage:
        """Compare errors, shape (n, k), with σ, shape (n,)."""
        size = np.abs(errors)
        once, twice = (float(np.mean(size <= factor * sigmas[:, None])) for factor in (1, 2))
        ratio = float(np.sqrt(np.mean((errors / sigmas[:, None]) ** 2)))
        flat, repeated = size.ravel(), np.repeat(sigmas, errors.shape[1])
        varied = len(set(repeated.tolist())) > 1 and len(set(flat.tolist())) > 1
        return cls(size.size, ratio, once, twice, float(spearmanr(repeated, flat)[0]) if varied else np.nan)


def compare_deviations(
    labeled: Iterable[LabeledStructure], results: Iterable[EnergyAndForces], uncertainties: Iterable[Uncertainty]
) -> dict[str, Deviations]:
    """Return the errors of predictions and the variances stated for them.

    Parameters
    ----------
    labeled, results, uncertainties : iterable
        One each per structure.

    Returns
    -------
    dict
        "energy", "forces", "virial" → `Deviations`, for the labels that there are.
    """
    parts: dict[str, list[Deviations]] = {}
    for k, (item, result, stated) in enumerate(zip(labeled, results, uncertainties)):
        root, one = np.full(1, np.sqrt(len(item.atoms))), np.ones(len(item.atoms))
        for quantity, label, value, sigma, scale in (
            ("energy", item.energy, result.energy, stated.energy, root),
            ("forces", item.forces, result.forces, stated.forces, one),
            ("virial", item.virial, result.virial, stated.virial, root),
        ):
            if label is not None:
                errors = np.subtract(value, label).reshape(len(scale), -1)
                variances = np.broadcast_to(np.square(sigma).reshape(-1, 1), errors.shape)
                number, names = np.full(len(scale), k), np.full(len(scale), item.config_type, dtype=object)
                parts.setdefault(quantity, []).append(Deviations(errors, variances, scale, number, names))
    return {quantity: Deviations.joined(parts[quantity]) for quantity in QUANTITIES if quantity in parts}


def coverage_table(deviations: Mapping[str, Deviations]) -> str:
    """Return a table of how errors compare with their predicted σ, by quantity and config_type.

    Numbers that symmetry makes zero are left out.
    """
    rows = [["config_type", "quantity", "numbers", "rms error/σ", "inside 1σ", "inside 2σ", "rank correlation"]]
    for quantity, everything in deviations.items():
        found = everything.informative()
        groups = sorted(set(found.config_types.tolist()))
        masks = {name: found.config_types == name for name in groups}
        if len(groups) > 1:
            masks[name_of_all(groups)] = np.ones(len(found.scales), dtype=bool)
        for name, mask in masks.items():
            c = Coverage.of(found.errors[mask] / found.scales[mask, None], found.sigmas[mask] / found.scales[mask])
            rank = "–" if np.isnan(c.rank) else f"{c.rank:.2f}"
            rows.append([name, quantity, f"{c.n:,}", f"{c.ratio:.2f}", f"{c.within_1:.2f}", f"{c.within_2:.2f}", rank])
    return text_table(rows)
