"""The final rows of a fit by folds: weights of kinds of labels and of groups are chosen by errors of folds left out.

Groups of structures differ in noise: hot liquids, cells far from equilibrium, elastic strains. Errors of folds left out
tell it, and give each group weights of its own (`groups.py`). These are kept if they serve twice: if the errors of
groups and kinds, each relative to what it was, are smaller by their geometric mean and by more than its standard error;
and if the product of the errors of all structures together does not grow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from ase.units import GPa

from acepure.fitting.checkpoints import Checkpoints, inputs_of
from acepure.fitting.design import Design, Triangle
from acepure.fitting.errors import Errors, evaluate_errors
from acepure.fitting.groups import group_residuals, group_sizes, group_weights
from acepure.fitting.labeled import LabeledSet
from acepure.fitting.recipe_errors import HeldOut
from acepure.fitting.recipe_triangles import FoldTriangles, assemble_folds, interleaved_folds
from acepure.fitting.recipe_weights import relative_weights, scaled_weights
from acepure.fitting.system import Unknowns
from acepure.fitting.weight_choice import choose_weights
from acepure.fitting.weights import LabelWeights, Weights
from acepure.models.linear import LinearACE

# Groups change their weights by this factor at most: with 10, structures that are rare and far from all others lose.
_GUARD = 3.0


class FinalRows(NamedTuple):
    """Rows of a fit, reduced, with the weights that they have."""

    rows: FoldTriangles
    base: LabelWeights  #: of kinds of labels
    weights: Weights
    reasons: list[str]  #: of what was chosen

    def triangle(self) -> Triangle:
        """Return all rows together, with their weights."""
        return self.rows.weighted(self.base)


def final_rows(
    design: Design,
    labeled: LabeledSet,
    coordinates: Unknowns,
    folds: int,
    *,
    energy_weights: Sequence[float] = (),
    checkpoints: Checkpoints | None = None,
    **work: Any,
) -> FinalRows:
    """Reduce all rows by folds.

    Parameters
    ----------
    design : Design
        With the weights to begin with.
    labeled : LabeledSet
    coordinates : Unknowns
    folds : int
    energy_weights : sequence of float
        To choose from, and weights of groups with them; none: the weights stay as they are.
    checkpoints : Checkpoints, optional
    **work
        workers, num_threads and progress.
    """
    checkpoints = Checkpoints() if checkpoints is None else checkpoints

    def rows_of(relative: Weights) -> FoldTriangles:
        weighted = replace(design, weights=relative)
        return FoldTriangles.from_arrays(
            checkpoints.arrays(
                "rows",
                [inputs_of(weighted), folds],
                lambda: assemble_folds(weighted, labeled, folds, **work).arrays(),
            )
        )

    weights = design.weights
    relative, base = relative_weights(weights)
    rows = rows_of(relative)
    reasons = []
    if energy_weights:
        choice, held_out = choose_weights(rows, coordinates, base, energy_weights, virials_may_go=False)
        base = LabelWeights(*choice.weights)
        weights = scaled_weights(relative, base)
        reasons.append(choice.text)
        if len(set(labeled.config_types)) > 1:
            before = held_out_by_group(held_out, base, design, labeled, work)
            changed = group_weights(group_residuals(before), weights, guard=_GUARD)
            relative, other_base = relative_weights(changed)
            others = rows_of(relative)
            other_held_out = HeldOut.of(others, coordinates, other_base)
            after = held_out_by_group(other_held_out, other_base, design, labeled, work)
            serve, text = _compared(before, after)
            reasons.append(text)
            if serve:
                rows, weights, base = others, changed, other_base
    return FinalRows(rows, base, weights, [text for text in reasons if text])


def held_out_text(found: FinalRows, coordinates: Unknowns, design: Design, labeled: LabeledSet, **work: Any) -> str:
    """Return the errors of structures left out, in words."""
    held_out = HeldOut.of(found.rows, coordinates, found.base)
    errors = held_out_by_group(held_out, found.base, design, labeled, work)
    return f"errors of {found.rows.folds} folds left out: {_in_words(errors)}"


def held_out_by_group(
    held_out: HeldOut, weights: Sequence[float], design: Design, labeled: LabeledSet, work: dict[str, Any]
) -> Errors:
    """Return the errors of each structure by the fit without its fold."""
    species = design.basis.species
    models = []
    for fold in range(held_out.rows.folds):
        theta = held_out.coefficients(weights, fold).reshape(len(species), -1)[:, 1:]
        models.append(LinearACE(design.basis, theta, dict(design.E0s), core=design.core))
    fold_of, _ = interleaved_folds([item.config_type for item in labeled], held_out.rows.folds)
    return evaluate_errors(models, labeled, fold=fold_of, **work)


def _compared(before: Errors, after: Errors) -> tuple[bool, str]:
    """Whether weights of groups serve, and why."""
    mean, error = _change_of_groups(before, after)
    together = _change_of_all(before, after)
    serve = mean < -error and together <= 0
    return serve, (
        f"weights of groups by their noise {'are taken' if serve else 'do not serve'}: errors of groups left out "
        f"change by {100 * np.expm1(mean):+.1f} ± {100 * error:.1f} %, the product of those of all structures by "
        f"{100 * np.expm1(together):+.1f} %"
    )


def _change_of_groups(before: Errors, after: Errors) -> tuple[float, float]:
    """Mean over groups and kinds of the logarithm of the ratio of errors, and its standard error."""
    old, new = (group_sizes(group_residuals(errors)) for errors in (before, after))
    d = np.array([np.log(new[key] / old[key]) for key in old if key in new])
    if len(d) < 2:
        return 0.0, 0.0
    return float(d.mean()), float(d.std(ddof=1) / np.sqrt(len(d)))


def _change_of_all(before: Errors, after: Errors) -> float:
    """Sum over energies and forces of the logarithm of the ratio of errors of all structures."""
    change = 0.0
    for quantity, measure in (("energy", "mae"), ("forces", "rmse")):
        old, new = before.all(quantity), after.all(quantity)
        if old is not None and new is not None and getattr(old, measure) > 0 and getattr(new, measure) > 0:
            change += float(np.log(getattr(new, measure) / getattr(old, measure)))
    return change


def _in_words(errors: Errors) -> str:
    """Errors of all structures together, with units; they do not depend on weights."""
    parts = []
    for quantity, measure, factor, text in (
        ("energy", "mae", 1e3, "energy MAE {:.4g} meV/atom"),
        ("forces", "rmse", 1.0, "forces RMSE {:.4g} eV/Å"),
        ("stress", "rmse", 1 / GPa, "stress RMSE {:.3g} GPa"),
    ):
        found = errors.all(quantity)
        if found is not None:
            parts.append(text.format(factor * getattr(found, measure)))
    return ", ".join(parts)
