"""Errors of a linear model on combinations of elements that it has seen, as if it had not.

What is predicted for elements that never met rests on the prior, and its variance is that of the prior: errors there
are not those of structures that are left out one by one. So each set of elements that structures hold is left out with
all that hold more than these, as in `recipe_combinations.py`, in closed form: with W_s the whitened rows of structure s
(`leave_out.py`), e_s its residuals, and sums over all structures that are left out together,

    A = 1 − Σ_t W_tᵀ W_t,    residuals without them   e_s + W_s A⁻¹ Σ_t W_tᵀ e_t,    variances   diag(W_s A⁻¹ W_sᵀ).
"""

from __future__ import annotations

import logging

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from acepure._utils.memory import physical_memory
from acepure._utils.workers import naming_structure, structure_bar
from acepure.fitting.deviations import QUANTITIES, Deviations
from acepure.fitting.labeled import LabeledSet
from acepure.fitting.leave_out import collect, whitened_and_parts
from acepure.fitting.recipe_combinations import folds_of_combinations, left_out_with
from acepure.fitting.species_prior import unmet_combinations
from acepure.models.uncertainty import UncertainModel

__all__ = ["leave_combinations_out"]

# Structures of each set that are predicted.
_PREDICTED = 40
# Part of the memory for a matrix of each combination.
_MEMORY = 0.3
_log = logging.getLogger(__name__)


def leave_combinations_out(
    model: UncertainModel, labeled: LabeledSet, num_threads: int | None = None, progress: bool | None = None
) -> dict[str, Deviations]:
    """Predict structures of each combination of elements by a fit without it.

    Parameters
    ----------
    model : LinearACE or EmbeddedACE
        With its posterior.
    labeled : LabeledSet
        What the model was fitted to; gone through twice.
    num_threads, progress
        As elsewhere.

    Returns
    -------
    dict
        As `leave_out`; up to 40 structures of each combination. Empty for models that have met all combinations, and
        where fewer than two can be left out, or their matrices exceed 30 % of the memory.
    """
    if model.surroundings is None or not unmet_combinations(model.basis, model.surroundings)[1]:
        return {}
    fold, members = folds_of_combinations([frozenset(item.atoms.symbols) for item in labeled])
    left = left_out_with(members)
    if len(left) < 2:
        return {}
    needed = frozenset[int]().union(*left.values())
    assert model.posterior is not None
    n = model.posterior.shape[-1]
    if (size := 8 * n * n * (len(needed) + len(left))) > _MEMORY * physical_memory():
        _log.warning(
            f"deviations of combinations that never met are not calibrated: leaving out {len(left)} of those that "
            f"met needs {size / 2**30:.1f} GiB"
        )
        return {}
    whitened, parts = whitened_and_parts(model, num_threads)
    grams = {k: (np.zeros((n, n)), np.zeros(n)) for k in needed}
    with structure_bar("combinations", labeled, progress) as bar:
        for k, item in enumerate(labeled):
            if fold[k] in needed:
                with naming_structure(k):
                    W, residuals = whitened(item)
                G, b = grams[fold[k]]
                G += W.T @ W
                b += W.T @ residuals
            bar.update()
    factors = {k: _factor([grams[h] for h in others]) for k, others in left.items()}
    found: dict[str, list[Deviations]] = {}
    spread = {k: max(-(-int((fold == k).sum()) // _PREDICTED), 1) for k in left}
    seen: dict[int, int] = {}
    for k, item in enumerate(labeled):
        f = int(fold[k])
        seen[f] = seen.get(f, -1) + 1
        factor = factors.get(f)
        if factor is None or seen[f] % spread[f]:
            continue
        W, residuals = whitened(item)
        Z = solve_triangular(factor[0], W.T, lower=True)
        collect(found, k, item, parts(item, residuals + Z.T @ factor[1], np.square(Z).sum(axis=0)))
    return {quantity: Deviations.joined(found[quantity]) for quantity in QUANTITIES if quantity in found}


def _factor(left: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray] | None:
    """L of A = L Lᵀ and L⁻¹ Σ W_tᵀ e_t; None where the rest determines nothing, to rounding."""
    A = np.eye(len(left[0][1])) - sum(G for G, _ in left)
    try:
        L = cholesky(A, lower=True)
    except LinAlgError:
        return None
    return L, solve_triangular(L, sum(b for _, b in left), lower=True)
