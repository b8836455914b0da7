"""Do virials and forces agree with the energies of the same data?  Checked on pairs of structures, without any model.

Strained copies of a cell: atoms at the same fractional coordinates, cells h and h' = h F (rows are vectors), F = P R
with a stretch P and a rotation R.  Along exp(t log P), t from 0 to 1, followed by R, the trapezoidal rule gives

    E' − E = −½ (W + R W' Rᵀ) : log P + O(|log P|³).

Frames one after the other in one cell, displacements Δr:

    E' − E = −½ Σ_i (F_i + F'_i) · Δr_i + O(|Δr|³).

Left side minus right side, over volume and |log P| or over the number of atoms, is the discrepancy.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from ase.geometry import find_mic
from ase.units import GPa
from scipy.spatial import cKDTree

from acepure._utils.checks import check_kind, number
from acepure.fitting.labels import LabeledStructure, LabelWarning, text_table

# Fractional coordinates, relative to the first atom's, that differ by no more than this are the same.
_SAME_FRACTIONAL = 1e-4
# Cell vectors that differ by no more than this are the same, in Å.
_SAME_CELL = 1e-6
# Of more copies of one cell than this, every second, third, ... is taken, as all their pairs are compared.
_MOST_COPIES = 200
# Random projections that sort structures with equal fractional coordinates together.
_N_PROJECTIONS = 6
# Forces contradict energies if the discrepancy is also above this share of the energy differences themselves.
_SHARE = 0.3
# A pair changes the volume if |tr log P| is above this share of |log P|.
_VOLUME_CHANGE = 1e-3


class VirialCheck(NamedTuple):
    """Virials against energies along strained copies of the same cells, for one group of structures."""

    config_type: str
    n_cells: int  #: cells of which there are strained copies
    n_pairs: int  #: pairs of copies compared
    discrepancy: float  #: [Σ d² / Σ (V |log P|)²]^½, d = E' − E + ½ (W + R W' Rᵀ) : log P, in GPa
    pressure_offset: float  #: least-squares pressure of the labels minus −dE/dV in GPa; NaN if no volume changes
    largest: float  #: the largest |d| / (V |log P|), in GPa
    frames: tuple[int, int]  #: numbers of its structures

    def row(self) -> list[str]:
        """The same as text, for a table."""
        values = [_shown(value, ".3f") for value in (self.discrepancy, self.pressure_offset, self.largest)]
        return [self.config_type, str(self.n_cells), str(self.n_pairs), *values, "{}, {}".format(*self.frames)]


class ForceCheck(NamedTuple):
    """Forces against energies between frames that follow each other, for one group of structures."""

    config_type: str
    n_pairs: int  #: pairs of frames compared
    energy_change: float  #: root mean square of (E' − E) / N, in meV/atom
    discrepancy: float  #: root mean square of (E' − E + ½ Σ (F + F')·Δr) / N, in meV/atom
    slope: float  #: least-squares factor from the work of the forces to E' − E, 1 if they agree; NaN without work
    largest: float  #: the largest |discrepancy|, in meV/atom
    frames: tuple[int, int]  #: numbers of its structures

    def row(self) -> list[str]:
        """The same as text, for a table."""
        values = [_shown(x, ".3f") for x in (self.energy_change, self.discrepancy, self.slope, self.largest)]
        return [self.config_type, str(self.n_pairs), *values, "{}, {}".format(*self.frames)]


@dataclass(frozen=True)
class ConsistencyReport:
    """What `check_consistency` found; printed, a table.

    Attributes
    ----------
    virials : tuple of VirialCheck
        One for each group with strained copies.
    forces : tuple of ForceCheck
        One for each group with frames that follow each other.
    stress_tolerance : float
        GPa.
    energy_tolerance : float
        meV/atom.
    """

    virials: tuple[VirialCheck, ...]
    forces: tuple[ForceCheck, ...]
    stress_tolerance: float
    energy_tolerance: float

    @property
    def contradictions(self) -> tuple[str, ...]:
        """One sentence for each group whose labels contradict each other."""
        virials = (
            f"virials of {c.config_type!r} contradict its energies by {c.discrepancy:.2g} GPa (pressure offset "
            f"{_shown(c.pressure_offset, '.2g')} GPa, {c.n_pairs} pairs of strained cells)"
            for c in self.virials
            if self._wrong_virials(c)
        )
        forces = (
            f"forces of {c.config_type!r} contradict its energies by {c.discrepancy:.2g} meV/atom, where "
            f"energies differ by {c.energy_change:.2g} meV/atom ({c.n_pairs} pairs of frames)"
            for c in self.forces
            if self._wrong_forces(c)
        )
        return (*virials, *forces)

    @property
    def wrong_virials(self) -> tuple[str, ...]:
        """Groups whose virials contradict their energies."""
        return tuple(check.config_type for check in self.virials if self._wrong_virials(check))

    def _wrong_virials(self, check: VirialCheck) -> bool:
        # abs(NaN) > x is False: no volume changes, no offset
        return check.discrepancy > self.stress_tolerance or abs(check.pressure_offset) > self.stress_tolerance

    def _wrong_forces(self, check: ForceCheck) -> bool:
        return check.discrepancy > max(self.energy_tolerance, _SHARE * check.energy_change)

    def table(self) -> str:
        """Discrepancies per group, and what contradicts what."""
        parts = []
        if self.virials:
            header = ["virials (GPa)", "cells", "pairs", "discrepancy", "pressure offset", "largest", "structures"]
            parts.append(text_table([header, *(check.row() for check in self.virials)]))
        if self.forces:
            header = ["forces (meV/atom)", "pairs", "rms ΔE", "discrepancy", "slope", "largest", "structures"]
            parts.append(text_table([header, *(check.row() for check in self.forces)]))
        if not parts:
            return "no strained copies of a cell and no frames that follow each other: nothing to compare"
        return "\n".join([*parts, *(self.contradictions or ["no contradictions"])])

    def __str__(self) -> str:
        return self.table()


def check_consistency(
    labeled: Iterable[LabeledStructure],
    *,
    smallest_strain: float = 0.005,
    largest_strain: float = 0.03,
    largest_displacement: float = 0.25,
    stress_tolerance: float = 0.5,
    energy_tolerance: float = 1.0,
) -> ConsistencyReport:
    """Compare virials and forces with differences of energies, and warn where they contradict each other.

    Strained copies must be of the same group, with atoms in the same order and fractional coordinates that are equal
    within 1e-4, up to a common translation; of more than 200 copies of one cell, every second, third, ... is compared.
    Frames must
    follow each other in the data, in the same group and cell, with atoms in the same order.  The errors of the
    trapezoidal rule are a few hundredths of a GPa at the largest strain, for solids near equilibrium, and up to
    10 or 20 percent of the energy differences at the largest displacement, for atoms that vibrate.

    Parameters
    ----------
    labeled : iterable of LabeledStructure
        For example `LabeledData`.
    smallest_strain, largest_strain : float
        Pairs with |log P| (Frobenius norm) between them are compared.
    largest_displacement : float
        Å; pairs of frames in which no atom moves farther are compared.
    stress_tolerance : float
        GPa; warn if discrepancy or pressure offset are larger.
    energy_tolerance : float
        meV/atom; warn if the discrepancy is larger, and larger than 0.3 times the energy differences.

    Returns
    -------
    ConsistencyReport

    Raises
    ------
    TypeError, ValueError
        For limits that are not positive, or structures without labels read.

    Warns
    -----
    LabelWarning
        Once, with all contradictions.

    Examples
    --------
    >>> from ase.build import bulk
    >>> cells = [bulk("Cu", a=a) for a in (3.55, 3.58, 3.61)]
    >>> logs = np.log([atoms.get_volume() / 11.7 for atoms in cells])
    >>> energies, virials = 8 * logs**2, [-16 * x * np.eye(3) for x in logs]  # W = −∂E/∂ε in eV
    >>> data = [LabeledStructure(*labels) for labels in zip(cells, energies, [None] * 3, virials)]
    >>> report = check_consistency(data)
    >>> report.virials[0].n_pairs, report.contradictions
    (3, ())
    """
    labeled = list(labeled)
    for k, item in enumerate(labeled):
        check_kind(f"labeled[{k}]", item, LabeledStructure)
    smallest_strain = number("smallest_strain", smallest_strain, above=0)
    largest_strain = number("largest_strain", largest_strain, above=smallest_strain, reason="the smallest strain")
    report = ConsistencyReport(
        tuple(_virial_checks(labeled, smallest_strain, largest_strain)),
        tuple(_force_checks(labeled, number("largest_displacement", largest_displacement, above=0))),
        number("stress_tolerance", stress_tolerance, above=0),
        number("energy_tolerance", energy_tolerance, above=0),
    )
    if report.contradictions:
        warnings.warn("; ".join(report.contradictions), LabelWarning, stacklevel=2)
    return report


def _shown(value: float, form: str) -> str:
    return "–" if math.isnan(value) else format(value, form)


# --- strained copies --------------------------------------------------------------------------------------------------


def _virial_checks(labeled: Sequence[LabeledStructure], smallest: float, largest: float) -> Iterator[VirialCheck]:
    pairs: dict[str, list[np.ndarray]] = {}
    for copies in strained_copies(labeled):
        step = -(-len(copies) // _MOST_COPIES)
        found = _compare_copies(labeled, copies[::step], smallest, largest)
        if len(found):
            pairs.setdefault(labeled[copies[0]].config_type, []).append(found)
    for config_type, cells in pairs.items():
        d, strain, volume_change, first, second = np.concatenate(cells).T
        worst = np.abs(d / strain).argmax()
        changes = np.abs(volume_change) > _VOLUME_CHANGE * strain
        offset = d[changes] @ volume_change[changes] / (volume_change[changes] ** 2).sum() if changes.any() else np.nan
        yield VirialCheck(
            config_type,
            len(cells),
            len(d),
            float(np.sqrt((d**2).sum() / (strain**2).sum()) / GPa),
            float(offset / GPa),
            float(abs(d[worst] / strain[worst]) / GPa),
            (int(first[worst]), int(second[worst])),
        )


def strained_copies(labeled: Sequence[LabeledStructure]) -> Iterator[list[int]]:
    """Yield the numbers of structures that are strained copies of each other, two at least.

    Only periodic structures with energy and virial count, of one config_type and with atoms in the same order.
    Random smooth periodic functions of the fractional coordinates find the candidates: n structures cost n log n.
    """
    alike: dict[tuple[Any, ...], list[int]] = {}
    for k, item in enumerate(labeled):
        if item.energy is not None and item.virial is not None:
            alike.setdefault((item.config_type, item.atoms.numbers.tobytes()), []).append(k)
    for numbers in alike.values():
        if len(numbers) < 2:
            continue
        fractional = np.array([_relative_fractional(labeled[k]) for k in numbers])
        free = np.ones(len(numbers), dtype=bool)
        projections = _projections(fractional)
        tree = cKDTree(projections)
        for start in range(len(numbers)):
            if not free[start]:
                continue
            near = np.sort(tree.query_ball_point(projections[start], 1.0, p=np.inf))
            near = near[free[near]]
            difference = fractional[near] - fractional[start]
            difference -= np.round(difference)
            near = near[np.abs(difference).max(axis=(1, 2)) <= _SAME_FRACTIONAL]
            free[near] = False
            if len(near) > 1:
                yield [numbers[k] for k in near]


def _relative_fractional(item: LabeledStructure) -> np.ndarray:
    fractional = np.linalg.solve(item.atoms.cell.array.T, item.atoms.positions.T).T
    return fractional - fractional[0]


def _projections(fractional: np.ndarray) -> np.ndarray:
    """Σ_ja c_ja cos(2π x_ja) + s_ja sin(2π x_ja), scaled so that equal coordinates differ by less than 1."""
    n, components = len(fractional), fractional[0].size
    generator = np.random.default_rng(0)  # any fixed numbers do
    coefficients = generator.standard_normal((2, components, _N_PROJECTIONS))
    phases = 2 * np.pi * fractional.reshape(n, components)
    values = np.cos(phases) @ coefficients[0] + np.sin(phases) @ coefficients[1]
    steepest = 2 * np.pi * np.sqrt((coefficients**2).sum(axis=0)).sum(axis=0)
    return values / (1.01 * _SAME_FRACTIONAL * steepest)


def _compare_copies(
    labeled: Sequence[LabeledStructure], copies: Sequence[int], smallest: float, largest: float
) -> np.ndarray:
    """Rows (d, V |log P|, V tr log P, number, number) of all pairs of copies with a strain within the limits."""
    numbers = np.array(copies)
    cells = np.array([labeled[k].atoms.cell.array for k in copies])
    virials = np.array([labeled[k].virial for k in copies])
    energies = np.array([labeled[k].energy for k in copies])
    volumes = np.abs(np.linalg.det(cells))
    rows = []
    for i in range(len(copies) - 1):
        j = slice(i + 1, None)
        F = np.linalg.solve(cells[i], cells[j])
        squares, axes = np.linalg.eigh(F @ F.transpose(0, 2, 1))  # F Fᵀ = P²
        log_P = (axes * (0.5 * np.log(squares))[:, None, :]) @ axes.transpose(0, 2, 1)
        inverse_P = (axes / np.sqrt(squares)[:, None, :]) @ axes.transpose(0, 2, 1)
        R = inverse_P @ F
        mean_W = 0.5 * (virials[i] + R @ virials[j] @ R.transpose(0, 2, 1))
        d = energies[j] - energies[i] + (mean_W * log_P).sum(axis=(1, 2))
        norm = np.linalg.norm(log_P, axis=(1, 2))
        V = 0.5 * (volumes[i] + volumes[j])
        trace = np.trace(log_P, axis1=1, axis2=2)
        found = np.column_stack([d, V * norm, V * trace, np.full(len(d), numbers[i]), numbers[j]])
        rows.append(found[(norm >= smallest) & (norm <= largest)])
    return np.concatenate(rows)


# --- frames that follow each other ------------------------------------------------------------------------------------


def _force_checks(labeled: Sequence[LabeledStructure], largest: float) -> Iterator[ForceCheck]:
    pairs: dict[str, list[tuple[float, float, int]]] = {}
    for k, (first, second) in enumerate(pairwise(labeled)):
        work = _work(first, second, largest)
        if work is None or first.energy is None or second.energy is None:
            continue
        n = len(first.atoms)
        row = (1e3 * (second.energy - first.energy) / n, 1e3 * work / n, k)
        pairs.setdefault(first.config_type, []).append(row)
    for config_type, rows in pairs.items():
        change, work, number_of_first = np.array(rows).T
        difference = np.abs(change - work)
        worst = int(number_of_first[difference.argmax()])
        yield ForceCheck(
            config_type,
            len(rows),
            float(np.sqrt((change**2).mean())),
            float(np.sqrt((difference**2).mean())),
            float(change @ work / (work @ work)) if work.any() else math.nan,
            float(difference.max()),
            (worst, worst + 1),
        )


def _work(first: LabeledStructure, second: LabeledStructure, largest: float) -> float | None:
    """−½ Σ_i (F_i + F'_i)·Δr_i in eV; None if the two are no neighboring frames."""
    if first.forces is None or second.forces is None:
        return None
    ours, theirs = first.atoms, second.atoms
    if first.config_type != second.config_type or not np.array_equal(ours.numbers, theirs.numbers):
        return None
    periodic = ours.pbc
    same_cell = np.abs(ours.cell.array - theirs.cell.array)[periodic].max(initial=0.0) <= _SAME_CELL
    if not np.array_equal(periodic, theirs.pbc) or not same_cell:
        return None
    displacements = theirs.positions - ours.positions
    if periodic.any():
        displacements, _ = find_mic(displacements, ours.cell, periodic)
    if np.linalg.norm(displacements, axis=1).max() > largest:
        return None
    return float(-0.5 * ((first.forces + second.forces) * displacements).sum())
