"""Weights of kinds of labels by errors of folds left out: the default, unless another is better beyond chance.

With e_fk the error of kind k on fold f, left out, options are compared by s_f = Σ_k log e_fk. One is better than
another beyond chance where the mean of the differences over folds is more than some of its standard errors from 0. So

    virials    count, unless forces and energies are better without them by two standard errors: then they contradict;
    energies   have, of the weights that are worse than the best by at most one, the one nearest to the default (the
               rule of one standard error of L. Breiman et al., Classification and Regression Trees, 1984).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from acepure.fitting.recipe_errors import HeldOut, HeldOutErrors
from acepure.fitting.recipe_triangles import KINDS, FoldTriangles
from acepure.fitting.system import Unknowns

#: Weights of energies that are tried.
ENERGY_WEIGHTS = (3.0, 5.5, 10.0, 17.0, 30.0, 55.0, 100.0, 170.0, 300.0)
# Standard errors that are no chance: of what makes labels useless, and of what is best.
_CONTRADICTION, _BEST = 2.0, 1.0


class WeightChoice(NamedTuple):
    """What was chosen."""

    weights: tuple[float, float, float]  #: (w_E, w_F, w_V)
    errors: HeldOutErrors  #: with these
    scores: tuple[float, ...]  #: s_f of the kinds that count
    text: str  #: why energies have their weight
    contradiction: str  #: why virials have none; empty if they have

    @property
    def score(self) -> float:
        """The mean over folds."""
        return float(np.mean(self.scores)) if self.scores else 0.0

    @classmethod
    def from_list(cls, values: Sequence[Any]) -> WeightChoice:
        """Return it from a list of its fields, such as JSON makes of it."""
        weights, errors, scores, text, contradiction = values
        return cls(tuple(weights), HeldOutErrors(*errors), tuple(scores), text, contradiction)

    def difference(self, other: WeightChoice) -> tuple[float, float]:
        """Return the mean of the differences of scores, and its standard error."""
        return _difference(np.array(self.scores), np.array(other.scores))


def choose_weights(
    rows: FoldTriangles,
    unknowns: Unknowns,
    weights: Sequence[float],
    energy_weights: Sequence[float] = ENERGY_WEIGHTS,
    *,
    virials_may_go: bool = True,
) -> tuple[WeightChoice, HeldOut]:
    """Choose the weights of energies and virials.

    Parameters
    ----------
    rows : FoldTriangles
    unknowns : Unknowns
    weights : sequence of three numbers
        The default (w_E, w_F, w_V).
    energy_weights : sequence of float
        To be tried; none for the default as it is.
    virials_may_go : bool
        Whether virials may be left out.

    Returns
    -------
    choice : WeightChoice
    held_out : HeldOut
    """
    w_energy, w_forces, w_virial = (float(w) for w in weights)
    there = [kind for kind, w in zip(KINDS, (w_energy, w_forces, w_virial)) if w > 0 and _has(rows, kind)]
    held_out = HeldOut.of(rows, unknowns, (w_energy, w_forces, w_virial))
    text = contradiction = ""
    if virials_may_go and there == list(KINDS):
        without = HeldOut.of(rows, unknowns, (w_energy, w_forces, 0.0))
        mean, error = _difference(
            without.fold_scores((w_energy, w_forces, 0.0), KINDS[:2]),
            held_out.fold_scores((w_energy, w_forces, w_virial), KINDS[:2]),
        )
        if mean < -_CONTRADICTION * error:
            held_out, w_virial, there = without, 0.0, there[:2]
            contradiction = (
                f"virials contradict energies and forces, whose errors left out, multiplied, are {np.exp(-mean):.2f} "
                f"times as large with them; they are not used"
            )
    if "energy" in there and energy_weights:
        w_energy, text = _energy_weight(held_out, (w_energy, w_forces, w_virial), there, energy_weights)
    chosen = (w_energy, w_forces, w_virial)
    scores = tuple(held_out.fold_scores(chosen, there).tolist())
    return WeightChoice(chosen, held_out.errors(chosen), scores, text, contradiction), held_out


def _has(rows: FoldTriangles, kind: str) -> bool:
    return len(rows.energies) > 0 if kind == "energy" else any(k == kind for _, k in rows.blocks)


def _difference(scores: np.ndarray, others: np.ndarray) -> tuple[float, float]:
    """Mean over folds, and its standard error; no difference where there are fewer than two folds to compare."""
    if len(scores) != len(others) or len(scores) < 2:
        return 0.0, 0.0
    d = scores - others
    return float(d.mean()), float(d.std(ddof=1) / np.sqrt(len(d)))


def _energy_weight(
    held_out: HeldOut, weights: tuple[float, float, float], kinds: Sequence[str], offered: Sequence[float]
) -> tuple[float, str]:
    """Of the weights within one standard error of the best, the one nearest to the default."""
    default = weights[0]
    tried = sorted({default, *offered}, key=lambda w: (abs(np.log(w / default)), w))
    scores = {w: held_out.fold_scores((w, *weights[1:]), kinds) for w in tried}
    if not len(scores[default]):
        return default, f"energies weigh {default:g}, the default"
    best = min(tried, key=lambda w: scores[w].mean())
    for w in tried:
        mean, error = _difference(scores[w], scores[best])
        if mean <= _BEST * error:
            break
    if w == default:
        return w, f"energies weigh {w:g}, the default: none of {len(tried)} weights is better beyond chance"
    return w, f"energies weigh {w:g}, of {len(tried)} weights the nearest to {default:g} that none beats beyond chance"
