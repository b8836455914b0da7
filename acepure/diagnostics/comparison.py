"""Every kind of basis on a user's own structures: condition numbers of all references, and what limits them.

    compare_references(structures) → Comparison

Which bases are compared is in `reference_rows`, how they are measured in `measured`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms
from tqdm import tqdm

from acepure._utils.threads import resolve_num_threads
from acepure.diagnostics.conditioning import Conditioning
from acepure.diagnostics.environments import chosen_centers
from acepure.diagnostics.measured import measure
from acepure.diagnostics.reference_rows import BasisRow, chosen_rows, reference_maker, row_basis
from acepure.errors import CoincidentAtomsError
from acepure.features.basis import DEFAULT_RCUT, ACEBasis
from acepure.functions.polynomials import Chebyshev
from acepure.functions.radial import PolynomialRadialBasis
from acepure.references import Reference
from acepure.references.base import check_polynomial
from acepure.structures.gate import species_of, structure_list


@dataclass(frozen=True, eq=False)
class ComparisonRow:
    """One kind of basis on the structures.

    Attributes
    ----------
    functions, kind : str
        Its radial functions, and what was done to the products; `name` is both.
    canonical : bool
        Whether self-interactions are taken out.
    conditioning : dict of str to Conditioning
        By species of center, without features that vanish; empty if the basis could not be made. Each species has its
        own coefficients in a model, and so its own Gram matrix; all single numbers are those of the worst.
    vanishing : dict of str to int
        Number of features that are zero in all environments, by species of center.
    lower_orders_off : float
        Condition number of the scaled columns, when each order is reduced by its regression on all lower ones.
    lower_orders_off_held_out : float
        The same on one half of the structures, with coefficients of the other half; the worse way round.
    whitened_held_out : float
        Condition number of features that were whitened completely on one half, on the other; the worse way round.
    reason : str
        Why the basis could not be made; empty if it was.

    Notes
    -----
    Floors are NaN where they were not asked for, or a half has fewer environments than columns, and infinite where the
    columns are dependent to rounding.
    """

    functions: str
    kind: str
    canonical: bool
    conditioning: dict[str, Conditioning]
    vanishing: dict[str, int]
    lower_orders_off: float = np.nan
    lower_orders_off_held_out: float = np.nan
    whitened_held_out: float = np.nan
    reason: str = ""

    @property
    def name(self) -> str:
        """Kind and radial functions, as in `ROWS`."""
        return f"{self.kind}, {self.functions}"

    @property
    def scaled(self) -> float:
        """Condition number of the Gram matrix of 1 and the features, scaled to unit mean square; NaN if not made.

        Infinite if all features vanish.
        """
        values = [one.condition_number("scaled") if one.labels else np.inf for one in self.conditioning.values()]
        return max(values, default=np.nan)

    @property
    def standardized(self) -> float:
        """Condition number of the correlations of the features that vary; NaN if not made."""
        return max((one.condition_number("standardized") for one in self.conditioning.values()), default=np.nan)

    @property
    def largest_mean(self) -> float:
        """The largest |mean| / std of the features that vary; NaN if there are none."""
        ratios = [
            np.abs(one.means[one.varying_features] / one.standard_deviations[one.varying_features])
            for one in self.conditioning.values()
        ]
        return float(np.max(np.concatenate([[], *ratios]), initial=0.0)) if any(map(len, ratios)) else np.nan


@dataclass(frozen=True, eq=False)
class Comparison:
    """All rows on the same environments; printed, it is a table with a recommendation.

    Attributes
    ----------
    rows : tuple of ComparisonRow
        Those that could not be made too, with the reason.
    description : str
        Species, cutoff and functions.
    n_features, n_structures, n_environments : int
    """

    rows: tuple[ComparisonRow, ...]
    description: str
    n_features: int
    n_structures: int
    n_environments: int

    def __getitem__(self, name: str) -> ComparisonRow:
        """Return the row of a name."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"{name!r} is not one of the rows {', '.join(repr(row.name) for row in self.rows)}")

    @property
    def recommended(self) -> ComparisonRow | None:
        """The row for regression, or None if no row has independent columns.

        Of all rows whose scaled condition number is within a factor of 10 of the lowest, which is a factor of 3 in
        accuracy or iterations, the one that needs least: the first in the order of `ROWS`.
        """
        return recommended(self.rows)

    def __str__(self) -> str:
        return comparison_text(self)


def compare_references(
    structures: Atoms | Iterable[Atoms],
    *,
    species: Sequence[str] | None = None,
    rcut: float | None = None,
    order: int = 3,
    totaldegree: Any = 6,
    radial: PolynomialRadialBasis | None = None,
    rows: Iterable[str] | None = None,
    atoms_per_structure: int | None = None,
    seed: int = 0,
    held_out: bool = True,
    num_threads: int | None = None,
    progress: bool | None = None,
) -> Comparison:
    """Compare the conditioning of self-interacting, canonical and centered bases on structures.

    Parameters
    ----------
    structures : ase.Atoms or iterable of ase.Atoms
        Held in memory, gone through once per row.
    species : sequence of str, optional
        Default: those of the structures.
    rcut : float, optional
        Cutoff in Å; default 5.0. Not together with `radial`.
    order, totaldegree
        Of all bases, see `ACEBasis`.
    radial : PolynomialRadialBasis, optional
        Cutoff, transform and envelope of the radial functions; each row has polynomials of its own.
    rows : iterable of str, optional
        Some of `ROWS`; default all. The row `CONTROL` is always there: what centering wins without purification.
    atoms_per_structure : int, optional
        Take so many atoms of each structure at random; default all.
    seed : int
        Of the random numbers.
    held_out : bool
        Find held-out floors too: structures 0, 2, 4, ... are one half, 1, 3, 5, ... the other.
    num_threads : int, optional
        Default: ACEPURE_NUM_THREADS, else OMP_NUM_THREADS, else all cores.
    progress : bool, optional
        Show a bar; default: when writing to a terminal.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        For wrong structures. A row that the structures do not support is no error; it says why.

    Examples
    --------
    >>> from ase.build import bulk
    >>> frames = [bulk("Cu", cubic=True) * 2 for _ in range(4)]
    >>> for seed, atoms in enumerate(frames):
    ...     atoms.rattle(0.1, seed=seed)
    >>> rows = ["canonical, Chebyshev", "measured pairs, radial density"]
    >>> comparison = compare_references(frames, order=2, totaldegree=4, rows=rows)
    >>> [row.name for row in comparison.rows]
    ['canonical, Chebyshev', 'shifted, radial density', 'measured pairs, radial density']
    >>> comparison["shifted, radial density"].scaled < comparison["canonical, Chebyshev"].scaled
    True
    """
    chosen = chosen_rows(rows)
    threads = resolve_num_threads(num_threads)
    structures = structure_list(structures)
    radial = _chebyshev(radial, rcut)
    species = species_of(structures) if species is None else species
    bases = {
        canonical: ACEBasis(species, order=order, totaldegree=totaldegree, radial=radial, canonical=canonical)
        for canonical in (False, True)
    }
    for number, atoms in enumerate(structures):
        bases[True].species_indices(atoms, f"structures[{number}]")
    sampling: dict[str, Any] = {"atoms_per_structure": atoms_per_structure, "seed": seed, "progress": False}
    chosen_centers(structures, **sampling)  # checks the arguments
    reference = reference_maker(structures, bases[True], sampling, threads)
    bar = tqdm(chosen, desc="rows", unit="row", disable=None if progress is None else not progress)
    found = tuple(_row(row, bases[row.canonical], reference, structures, sampling, held_out, threads) for row in bar)
    n_environments = sum(min(len(atoms), atoms_per_structure or len(atoms)) for atoms in structures)
    return Comparison(found, _description(bases[True]), len(bases[True]), len(structures), n_environments)


def _chebyshev(radial: PolynomialRadialBasis | None, rcut: float | None) -> PolynomialRadialBasis:
    if radial is None:
        return PolynomialRadialBasis(DEFAULT_RCUT if rcut is None else rcut)
    check_polynomial(radial)
    if rcut is not None:
        raise ValueError("rcut and radial exclude each other: the radial functions have their own cutoff")
    return replace(radial, polynomials=Chebyshev())


def _row(
    row: BasisRow,
    basis: ACEBasis,
    reference: Callable[[str], Reference],
    structures: Sequence[Atoms],
    sampling: dict[str, Any],
    held_out: bool,
    threads: int,
) -> ComparisonRow:
    try:
        basis = row_basis(row, basis, reference)
    except CoincidentAtomsError:
        raise
    except ValueError as error:  # the structures do not support this reference
        return ComparisonRow(row.functions, row.kind, row.canonical, {}, {}, reason=str(error))
    # Features of the plain canonical basis may vanish; centered ones never do.
    others = ACEBasis.from_dict({**basis.to_dict(), "canonical": False}) if row.kind == "canonical" else None
    found = measure(basis, structures, sampling, plain=others, held_out=held_out, threads=threads)
    return ComparisonRow(row.functions, row.kind, row.canonical, *found)


def _description(basis: ACEBasis) -> str:
    degrees = basis.specification.totaldegree or ()
    degrees = degrees if len(set(degrees)) > 1 else degrees[:1]
    totaldegree = ", ".join(f"{degree:g}" for degree in degrees)
    return f"{' '.join(basis.species)}, rcut {basis.rcut:g} Å, order {basis.order}, total degree {totaldegree}"


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
    reasons = list(dict.fromkeys(row.reason for row in comparison.rows if row.reason))
    lines = [
        f"{comparison.n_features} features and 1: {comparison.description}",
        f"{comparison.n_environments:,} environments of {comparison.n_structures:,} structures",
        "",
        _HEADER,
        *(_line(row, reasons) for row in comparison.rows),
        "",
        *_LEGEND.splitlines(),
        *_notes(comparison),
    ]
    for k, reason in enumerate(reasons, 1):
        lines += textwrap.wrap(f"not made ({k})      {reason}", _WIDTH, subsequent_indent=18 * " ")
    lines.append("")
    for sentence in _recommendation(comparison):
        lines += textwrap.wrap(sentence, _WIDTH, subsequent_indent="    ")
    return "\n".join(lines)


def recommended(rows: Iterable[ComparisonRow]) -> ComparisonRow | None:
    """Return the first row within a factor of 10 of the lowest, or None if no row has independent columns."""
    finite = [row for row in rows if np.isfinite(row.scaled)]
    lowest = min((row.scaled for row in finite), default=np.inf)
    return next((row for row in finite if row.scaled <= _EQUAL * lowest), None)


# --- table -----------------------------------------------------------------------------------------------------


def _line(row: ComparisonRow, reasons: Sequence[str]) -> str:
    if row.reason:
        return f"{row.functions:16}{row.kind:18}  not made ({1 + reasons.index(row.reason)})"
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
