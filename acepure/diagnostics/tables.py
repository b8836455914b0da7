"""The printed form of a `Conditioning`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from acepure.diagnostics.conditioning import Conditioning

__all__ = ["conditioning_table"]

_ROW = "{:10}{:>9}{:>10}{:>10}{:>14}{:>16}{:>7}"
# So many features without variance are named.
_NAMED = 5


def conditioning_table(result: Conditioning) -> str:
    """Return condition numbers and ranks, of all features and of each order alone, and what limits them."""
    lines = [
        f"{len(result.labels)} features, {result.n_environments:,} environments",
        "condition numbers of Gram matrices; ranks of standardized features",
        "",
        _ROW.format("", "features", *result.scalings, "effective rank", "rank"),
        _line("all", result),
    ]
    for order in np.unique(result.orders).tolist():
        lines.append(_line(f"ν = {order}", result.of_order(order)))
    notes = _notes(result)
    return "\n".join(lines + [""] * bool(notes) + notes)


def _line(name: str, result: Conditioning) -> str:
    numbers = [f"{result.condition_number(scaling):.1e}" for scaling in result.scalings[:2]]
    if not len(result.varying_features):
        return _ROW.format(name, len(result.labels), *numbers, "-", "-", 0)
    standardized = f"{result.condition_number('standardized'):.1e}"
    ranks = f"{result.effective_rank('standardized'):.1f}", result.rank("standardized")
    return _ROW.format(name, len(result.labels), *numbers, standardized, *ranks)


def _notes(result: Conditioning) -> list[str]:
    notes = []
    constant = result.constant_features
    if len(constant):
        named = ", ".join(f"{j} [{result.labels[j]}]" for j in constant[:_NAMED])
        more = ", ..." if len(constant) > _NAMED else ""
        notes.append(
            f"{len(constant)} without variance, dependent on the constant, left out of standardized: {named}{more}"
        )
    if result.n_environments < len(result.R):
        notes.append(
            f"{result.n_environments:,} environments are fewer than the {len(result.R)} columns, the constant "
            "included: these are dependent, whatever the features"
        )
    elif not all(result.resolved(scaling) for scaling in result.scalings):
        floors = " or ".join(f"{result.floor(scaling):.0e} ({scaling})" for scaling in result.scalings[1:])
        notes.append(f"inf: dependent, or beyond {floors}, where rounding of the features hides the truth")
    return notes
