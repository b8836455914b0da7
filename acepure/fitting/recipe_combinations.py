"""How much species know of each other, by leaving combinations of elements out.

The evidence knows combinations of elements that structures hold. Where some are in no structure, what matters is how
well those are predicted: so each set of elements that is there, "Mo-Nb" say, is left out in turn, with all structures
that hold more than these elements, and predicted by the rest. With E_s and F_s the root mean square errors of energies
per atom and of forces for the set s left out, (ρ, ρc) are compared by the mean of log E_s + log F_s. Of those that are
worse than the best by at most one standard error over sets, the one of largest evidence is taken.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from acepure.features.basis import ACEBasis
from acepure.fitting.priors import SmoothnessPrior
from acepure.fitting.recipe_errors import HeldOut
from acepure.fitting.recipe_triangles import KINDS, FoldTriangles
from acepure.fitting.solvers import largest_evidence
from acepure.fitting.system import unknowns

__all__ = ["choose_correlations", "folds_of_combinations", "left_out_with"]

# (ρ, ρc) that are compared: with less, a combination that is left out is not predicted at all.
_NEIGHBORS, _CENTERS = (0.9, 0.99, 0.999, 0.9999), (0.0, 0.9, 0.99, 0.999)
# Sets of elements that are left out, each or several together.
_MOST = 12


def folds_of_combinations(sets: Sequence[frozenset[str]]) -> tuple[np.ndarray, list[list[frozenset[str]]]]:
    """Divide structures by the elements that they hold.

    Parameters
    ----------
    sets : sequence of frozenset of str
        Elements of each structure.

    Returns
    -------
    fold : numpy.ndarray of int, shape (n_structures,)
        0 for structures of one element.
    members : list of list of frozenset
        Sets of elements of each fold.

    Examples
    --------
    >>> fold, members = folds_of_combinations([frozenset("C"), frozenset("CH"), frozenset("CO"), frozenset("CH")])
    >>> fold.tolist(), [sorted("".join(sorted(s)) for s in one) for one in members]
    ([0, 1, 2, 1], [['C'], ['CH'], ['CO']])
    """
    mixed = sorted({one for one in sets if len(one) > 1}, key=lambda one: (len(one), sorted(one)))
    n = min(len(mixed), _MOST)
    number = {one: 1 + k % n for k, one in enumerate(mixed)}
    fold = np.array([number.get(one, 0) for one in sets], dtype=np.int64)
    members: list[list[frozenset[str]]] = [sorted({one for one in sets if len(one) == 1}, key=sorted)]
    members += [[one for one in mixed if number[one] == k] for k in range(1, n + 1)]
    return fold, members


def left_out_with(members: Sequence[Collection[frozenset[str]]]) -> dict[int, frozenset[int]]:
    """Return, for each fold of several elements, the folds without which its sets have never met.

    Those that the rest cannot predict, as one of their elements is in no other structure, are not there.

    Parameters
    ----------
    members : sequence of collection of frozenset
        Sets of elements of each fold; those of one element first.

    Examples
    --------
    >>> left_out_with([[frozenset("C"), frozenset("H")], [frozenset("CH")], [frozenset("CHO")]])
    {1: frozenset({1, 2})}
    """
    result = {}
    for k, sets in enumerate(members[1:], 1):
        left = frozenset(
            h for h, others in enumerate(members) if h == k or any(one <= other for one in sets for other in others)
        )
        known = frozenset[str]().union(*(one for h, others in enumerate(members) if h not in left for one in others))
        if all(one <= known for one in sets):
            result[k] = left
    return result


def choose_correlations(
    basis: ACEBasis,
    prior: SmoothnessPrior,
    rows: FoldTriangles,
    left: Mapping[int, Collection[int]],
    weights: Sequence[float],
) -> tuple[SmoothnessPrior, str]:
    """Return the prior with the (ρ, ρc) that predict combinations of elements left out, and what was done, as text.

    Parameters
    ----------
    basis : ACEBasis
        In its coordinates.
    prior : SmoothnessPrior
        What it gives stays.
    rows : FoldTriangles
        By `folds_of_combinations`.
    left : mapping
        `left_out_with`, of at least two folds.
    weights : sequence of three numbers
        (w_E, w_F, w_V).
    """
    offered = product(*(
        grid if given is None else (given,)
        for grid, given in ((_NEIGHBORS, prior.neighbors), (_CENTERS, prior.centers))
    ))  # fmt: skip
    triangle, scores, evidence = rows.weighted(weights), {}, {}
    for rho, rho_centers in offered:
        coordinates = unknowns(basis, replace(prior, neighbors=rho, centers=rho_centers))
        lam, evidence[rho, rho_centers] = largest_evidence(coordinates.problem(triangle))
        scores[rho, rho_centers] = _scores(HeldOut.of(rows, coordinates, weights, lam), left, weights)
    best = min(scores, key=lambda pair: float(scores[pair].mean()))

    def by_chance(pair: tuple[float, float]) -> bool:
        d = scores[pair] - scores[best]
        return bool(d.mean() <= d.std(ddof=1) / np.sqrt(len(d)))

    rho, rho_centers = max(filter(by_chance, scores), key=lambda pair: evidence[pair])
    text = (
        f"species know of each other: correlation {rho:g} between neighbors, {rho_centers:g} between centers, by "
        f"{len(left)} combinations of elements left out"
    )
    return replace(prior, neighbors=rho, centers=rho_centers), text


def _scores(held_out: HeldOut, left: Mapping[int, Collection[int]], weights: Sequence[float]) -> np.ndarray:
    """log E_s + log F_s of each fold left out; of virials where there is neither."""
    result = []
    for fold, others in left.items():
        vector = np.append(held_out.coefficients(weights, *others), -1.0)
        errors = {}
        for kind in KINDS:
            if (fold, kind) in held_out.rows.blocks:
                squares = float(np.sum((held_out.rows.blocks[fold, kind] @ vector) ** 2))
                errors[kind] = max(squares / held_out.rows.n_rows[fold, kind], np.finfo(float).tiny)
        if "energy" in errors or "forces" in errors:
            errors.pop("virial", None)
        result.append(0.5 * sum(np.log(value) for value in errors.values()))
    return np.array(result)
