"""Every kind of basis on a user's own structures: condition numbers of all references, and what limits them.

    compare_references(structures) → Comparison

Which bases are compared is in `reference_rows`, how they are measured in `measured`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms
from tqdm import tqdm

from acepure.basis.polynomials import Chebyshev
from acepure.basis.radial import PolynomialRadialBasis
from acepure.descriptor import DEFAULT_RCUT, ACEBasis
from acepure.diagnostics.comparison_text import comparison_text, recommended
from acepure.diagnostics.conditioning import Conditioning
from acepure.diagnostics.environments import chosen_centers
from acepure.diagnostics.measured import measure
from acepure.diagnostics.reference_rows import BasisRow, chosen_rows, reference_maker, row_basis
from acepure.errors import CoincidentAtomsError
from acepure.evaluation import resolve_num_threads
from acepure.references import Reference
from acepure.references.base import check_polynomial
from acepure.structures import species_of, structure_list

__all__ = ["Comparison", "ComparisonRow", "compare_references"]


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
    TypeError, ValueError
        For wrong arguments or structures. A row that the structures do not support is no error; it says why.

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
