"""The printed form of a `Comparison`: a table, and what it recommends.

    regression          of all rows within a factor of 10 of the lowest scaled condition number, the first in the table
    canonical           the same among canonical rows, and what it costs against the first
    self-interaction    what taking it out alone does
    limit               sampling, if regression on lower orders, fitted to one half of the structures, wins less than a
                        factor of 10 on the other; else the dependence of orders on lower ones

A factor of 10 in a condition number is one of 3 in singular values.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from acepure.diagnostics.comparison import Comparison, ComparisonRow

__all__ = ["comparison_text", "recommended"]

_EQUAL = 10.0
_WIDTH = 104

_LINE = "{:16}{:18}{:>8}{:>14}{:>10}{:>18}{:>10}{:>10}"
_HEADER = _LINE.format(
    "functions", "basis", "scaled", "standardized", "mean/std", "lower orders off", "held out", "whitened"
)
_LEGEND = """\
scaled            condition number of the Gram matrix of 1 and all features, scaled to unit mean square
standardized      the same of (feature − mean) / std, without the 1;  mean/std: the largest |mean| / std
lower orders off  scaled, after regression of each order on 1 and all lower orders
held out          the same, regression on one half of the structures, condition number on the other
whitened          held out too: all features made uncorrelated on one half, condition number on the other"""


def comparison_text(comparison: Comparison) -> str:
    """Return the table with a legend, and the recommendation."""
    lines = [
        f"{comparison.n_features} features and 1: {comparison.description}",
        f"{comparison.n_environments:,} environments of {comparison.n_structures:,} structures",
        "",
        _HEADER,
        *map(_line, comparison.rows),
        "",
        *_LEGEND.splitlines(),
        *_notes(comparison),
        "",
    ]
    for sentence in _recommendation(comparison):
        lines += textwrap.wrap(sentence, _WIDTH, subsequent_indent="    ")
    return "\n".join(lines)


def recommended(rows: Iterable[ComparisonRow]) -> ComparisonRow | None:
    """Return the first row within a factor of 10 of the lowest, or None if no row has independent columns."""
    finite = [row for row in rows if np.isfinite(row.scaled)]
    lowest = min((row.scaled for row in finite), default=np.inf)
    return next((row for row in finite if row.scaled <= _EQUAL * lowest), None)


# --- table -----------------------------------------------------------------------------------------------------


def _line(row: ComparisonRow) -> str:
    if row.reason:
        return "\n".join(
            textwrap.wrap(
                f"not made: {row.reason}",
                _WIDTH,
                initial_indent=f"{row.functions:16}{row.kind:18}  ",
                subsequent_indent=36 * " ",
            )
        )
    off = row.lower_orders_off, row.lower_orders_off_held_out, row.whitened_held_out
    values = (row.scaled, row.standardized, row.largest_mean, *off)
    return _LINE.format(row.functions, row.kind, *("-" if np.isnan(value) else f"{value:.0e}" for value in values))


def _notes(comparison: Comparison) -> list[str]:
    notes = []
    if any(np.isinf(row.scaled) for row in comparison.rows):
        notes.append("inf               dependent, or so nearly that rounding hides the truth")
    made = [row for row in comparison.rows if not row.reason]
    counts = {center: one for row in made[:1] for center, one in row.conditioning.items()}
    if len(counts) > 1:
        notes.append(f"Each species of center has a Gram matrix of its own, {', '.join(counts)}; the worst counts.")
    for center, one in counts.items():
        if one.n_environments <= len(one.labels):
            known = f"{one.n_environments:,} environments of {center} are fewer than the {1 + len(one.labels)} columns"
            notes.append(f"{known}: these are dependent, whatever the features.")
    for row in made:
        if any(row.vanishing.values()):
            numbers = ", ".join(f"{number} of {center}" for center, number in row.vanishing.items())
            notes.append(f"{row.name}: features that vanish are left out, {numbers}.")
    return notes


# --- recommendation --------------------------------------------------------------------------------------------


def _recommendation(comparison: Comparison) -> list[str]:
    best = recommended(comparison.rows)
    if best is None:
        return ["No row has independent columns here: more varied structures are needed, a smaller basis, or a ridge."]
    first = f"For regression: {best.name} ({best.scaled:.0e}), the first row within a factor of 10 of the lowest."
    return [first, *_canonical(comparison, best), *_self_interaction(comparison), *_limit(best)]


def _canonical(comparison: Comparison, best: ComparisonRow) -> list[str]:
    row = best if best.canonical else recommended(row for row in comparison.rows if row.canonical)
    if row is None:
        return []
    cost = f"Canonical: {row.name} ({row.scaled:.0e}), {row.scaled / best.scaled:.2g} times that."
    meaning = "What canonical functions give is meaning: true body orders, zero on isolated atoms"
    back = "" if row.kind == "canonical" else ", both after the exact map to the plain canonical basis"
    return [f"{'It is canonical.' if row is best else cost} {meaning}{back}."]


def _self_interaction(comparison: Comparison) -> list[str]:
    """Of the first two bases that differ in nothing else."""
    for functions in dict.fromkeys(row.functions for row in comparison.rows):
        found = {row.kind: row.scaled for row in comparison.rows if row.functions == functions}
        plain, canonical = (found.get(kind, np.nan) for kind in ("self-interacting", "canonical"))
        if np.isfinite(canonical) and not np.isnan(plain):
            change = f"Taking self-interaction out and nothing else ({functions}): {plain:.0e} to {canonical:.0e}"
            if np.isinf(plain):
                return [f"{change}; what needs more neighbors than there are vanishes, and is left out."]
            return [change + (", no cure." if _EQUAL * canonical > plain else ".")]
    return []


def _limit(row: ComparisonRow) -> list[str]:
    floor = row.lower_orders_off_held_out
    if not np.isfinite(floor):
        return []
    if row.scaled <= _EQUAL * floor:
        return [
            f"The limit is sampling: what is fitted to one half of the structures leaves, on the other, {floor:.0e} "
            f"with lower orders off and {row.whitened_held_out:.0e} whitened."
        ]
    return [
        f"The limit is not sampling but that orders depend on lower ones: regression on these would leave {floor:.0e}, "
        "held out."
    ]
