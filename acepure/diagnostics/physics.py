"""What a potential says of materials: equation of state, elastic constants, vacancy, dimers; seconds, and no data.

    crystal      the fully periodic structure of lowest energy per atom of each composition, relaxed with its cell
    E(V)         nine volumes, scaled by 0.94 to 1.06 at fixed fractions → V0, B, B' (Birch–Murnaghan)
    C_IJ         stresses of six strains ±η in Voigt order, atoms relaxed: C_IJ = [σ_I(η_J) − σ_I(−η_J)] / 2η
    vacancy      E(N − 1, relaxed) − (N − 1)/N E(N), of elements
    dimer        E(r) − 2 E0 of two atoms, below and above the shortest distance in the data

A number out of the range of its kind is a warning: it says that the potential is wrong there, whatever its errors are.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.eos import EquationOfState
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from ase.units import GPa
from scipy.optimize import minimize_scalar

from acepure.errors import ExtrapolationWarning
from acepure.fitting.labels import text_table
from acepure.models.potential import SitePotential

# Structures of more atoms, and more crystals, would take too long.
_MOST_ATOMS = 128
_MOST_CRYSTALS = 6
_VOLUMES = np.linspace(0.94, 1.06, 9)
_LEAST, _MOST = 0.7, 1.4  # of the volume in the data: beyond, a relaxation is given up
_STRAIN = 0.005
_FORCE = 1e-3  # of relaxations, eV/Å
_STEPS, _FEW_STEPS = 60, 20  # of crystals and vacancies; of atoms in strained cells, which begin near their places
_VACANCY_CELL = 7.0  # Å: the least distance of a vacancy from its images
# Volume per atom of a crystal, in cubes of the distance of nearest neighbors, is below this; diamond has 1.54.
_LOOSEST = 2.2
_FARTHEST = 6.0  # Å: nearest neighbors of no element are so far; atoms that are, are alone in a box (Cs has 5.3)
#: What numbers of these kinds are between: bulk and shear moduli in GPa, B', formation energies of vacancies in eV.
RANGES = {"B": (0.1, 600.0), "B'": (1.0, 10.0), "G": (0.05, 700.0), "vacancy": (0.0, 12.0)}
_HOLE = 0.5  # eV
_GRID = 200
_INNER = 0.3  # of the shortest distance in the data: how far below it dimers are looked at


@dataclass(frozen=True)
class CrystalChecks:
    """Numbers of one crystal.

    Attributes
    ----------
    formula : str
        Of the cell.
    n_atoms : int
    volume : float
        Å³ per atom, relaxed.
    bulk, bulk_slope : float
        B in GPa and B' from E(V); NaN where E(V) has no minimum.
    elastic : list of list of float
        C in GPa, Voigt order.
    vacancy : float or None
        Formation energy in eV; None for compounds.
    warnings : list of str
    """

    formula: str
    n_atoms: int
    volume: float
    bulk: float
    bulk_slope: float
    elastic: list[list[float]]
    vacancy: float | None
    warnings: list[str] = field(default_factory=list)

    def row(self) -> list[str]:
        """The same as text, for a table; C11, C12 and C44 are means over axes."""
        C = np.array(self.elastic)
        means = [np.trace(C[:3, :3]) / 3, (C[:3, :3].sum() - np.trace(C[:3, :3])) / 6, np.trace(C[3:, 3:]) / 3]
        vacancy = "–" if self.vacancy is None else f"{self.vacancy:.3f}"
        numbers = [f"{self.volume:.3f}", f"{self.bulk:.1f}", f"{self.bulk_slope:.2f}", *(f"{c:.1f}" for c in means)]
        return [self.formula, *numbers, vacancy]


@dataclass(frozen=True)
class PhysicsReport:
    """All checks; printed, tables and warnings.

    Attributes
    ----------
    crystals : list of CrystalChecks
    dimers : list of list of str
        Rows of a table.
    warnings : list of str
    """

    crystals: list[CrystalChecks]
    dimers: list[list[str]]
    warnings: list[str]

    def __str__(self) -> str:
        parts = []
        if self.crystals:
            header = ["crystal", "V (Å³/atom)", "B (GPa)", "B'", "C11 (GPa)", "C12", "C44", "vacancy (eV)"]
            parts.append(text_table([header, *(crystal.row() for crystal in self.crystals)]))
        parts.append(text_table([["dimer", "shortest in data (Å)", "minimum (Å)", "energy (eV)"], *self.dimers]))
        if any("–" in row for row in self.dimers):
            parts.append("–: not in the data, or no minimum between the shortest distance and the cutoff")
        parts += [f"warning: {text}" for text in self.warnings]
        return "\n".join(parts)


class Dimer(NamedTuple):
    """Two atoms alone.

    Attributes
    ----------
    name : str
        Their species, A-B.
    rcut : float
        Å.
    shortest : float or None
        Their shortest distance in the data, Å.
    minimum : tuple of float, or None
        Distance in Å and energy in eV, at distances that the data had; None if the dimer is not bound there.
    hole : tuple of float, or None
        The same of the lowest energy at shorter distances, if it is far below.
    """

    name: str
    rcut: float
    shortest: float | None
    minimum: tuple[float, float] | None
    hole: tuple[float, float] | None


def check_physics(model: SitePotential, structures: Iterable[Atoms] = ()) -> PhysicsReport:
    """Return what a potential says of the crystals among the structures, and of pairs of atoms.

    Parameters
    ----------
    model : LinearACE, or any potential
    structures : iterable of ase.Atoms
        Where crystals are looked for; gone through once, without labels.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> structures = [bulk("Cu", a=a) for a in (3.5, 3.55, 3.6, 3.65, 3.7)]
    >>> for atoms in structures:
    ...     atoms.calc = EMT()
    ...     energy, stress = atoms.get_potential_energy(), atoms.get_stress()
    >>> from acepure import ACEBasis, LinearACE
    >>> model = LinearACE.fit(structures, ACEBasis(["Cu"], order=1, totaldegree=3), verbose=False)
    >>> report = check_physics(model, structures)
    >>> [crystal.formula for crystal in report.crystals]
    ['Cu']
    """
    calculator = model.calculator()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExtrapolationWarning)  # vacancies may be no part of the data
        crystals = [check_crystal(atoms, calculator) for atoms in _crystals(structures, calculator)]
    dimers, holes = check_dimers(model)
    return PhysicsReport(crystals, dimers, [*(text for c in crystals for text in c.warnings), *holes])


def check_crystal(atoms: Atoms, calculator: Calculator) -> CrystalChecks:
    """Return the numbers of one crystal with any calculator of ASE that has stresses.

    Parameters
    ----------
    atoms : ase.Atoms
        Fully periodic; relaxed first, a copy.
    calculator : ase.calculators.calculator.Calculator
    """
    atoms, name = atoms.copy(), atoms.get_chemical_formula(empirical=True)
    atoms.calc = calculator
    if not _holds(atoms):
        nan = float("nan")
        lost = f"{name}: the crystal does not hold: its volume leaves {_LEAST:g} to {_MOST:g} times that in the data"
        return CrystalChecks(name, len(atoms), nan, nan, nan, np.full((6, 6), nan).tolist(), None, [lost])
    bulk, slope = _equation_of_state(atoms, calculator)
    C = _elastic(atoms, calculator)
    vacancy = _vacancy(atoms, calculator) if len(set(atoms.symbols)) == 1 else None
    shear = float((np.trace(C[:3, :3]) - np.trace(np.roll(C[:3, :3], 1, axis=1)) + 3 * np.trace(C[3:, 3:])) / 15)
    odd = [
        f"{name}: {kind} = {value:.4g} is not between {low:g} and {high:g}"
        for kind, value in {"B": bulk, "B'": slope, "G": shear, "vacancy": vacancy}.items()
        if value is not None
        for low, high in [RANGES[kind]]
        if not low <= value <= high
    ]
    if np.linalg.eigvalsh(0.5 * (C + C.T)).min() <= 0:
        odd.append(f"{name}: the crystal is elastically unstable")
    volume = atoms.get_volume() / len(atoms)
    return CrystalChecks(name, len(atoms), float(volume), bulk, slope, C.tolist(), vacancy, odd)


def check_dimers(model: SitePotential) -> tuple[list[list[str]], list[str]]:
    """Return rows of a table of dimers, and warnings of holes below the shortest distances of the data."""
    rows, holes = [], []
    for name, _, shortest, minimum, hole in dimers(model):
        shown = ["–", "–"] if minimum is None else [f"{minimum[0]:.2f}", f"{minimum[1]:.3f}"]
        rows.append([name, "–" if shortest is None else f"{shortest:.3f}", *shown])
        if hole is not None:
            holes.append(f"{name}: {hole[1]:.3g} eV at {hole[0]:.2f} Å, nearer than any in the data")
    return rows, holes


def dimers(model: SitePotential, inner: float = _INNER) -> Iterator[Dimer]:
    """Go through the pairs of species; holes are looked for down to a part of the shortest distance in the data."""
    known = model.shortest_distances or {}
    for (i, a), (j, b) in combinations_with_replacement(enumerate(model.basis.species), 2):
        shortest = min((known[pair] for pair in ((a, b), (b, a)) if pair in known), default=None)
        rcut = float(model.basis.cutoffs[i, j])
        start = _INNER * rcut if shortest is None else shortest
        r, near = np.linspace(start, rcut, _GRID), np.linspace(inner * start, start, _GRID)
        energies, below = model.dimer(a, b, r), model.dimer(a, b, near)
        k, deepest = int(np.argmin(energies)), int(np.argmin(below))
        minimum, hole = None, None
        if 0 < k < _GRID - 1:
            function, bounds = partial(_dimer_energy, model, a, b), (r[k - 1], r[k + 1])
            found = minimize_scalar(function, bounds=bounds, method="bounded")
            minimum = float(found.x), float(found.fun)
        if below[deepest] < energies[k] - _HOLE:
            hole = float(near[deepest]), float(below[deepest])
        yield Dimer(f"{a}-{b}", rcut, shortest, minimum, hole)


def _dimer_energy(model: SitePotential, a: str, b: str, r: float) -> float:
    return float(model.dimer(a, b, [r])[0])


def _crystals(structures: Iterable[Atoms], calculator: Calculator) -> list[Atoms]:
    """Of elements and pairs of them, elements first: the fully periodic, dense structures of lowest energy per atom."""
    best: dict[str, tuple[float, Atoms]] = {}
    for atoms in structures:
        if not atoms.pbc.all() or len(atoms) > _MOST_ATOMS or len(set(atoms.symbols)) > 2:
            continue
        name = atoms.get_chemical_formula(empirical=True)
        calculator.calculate(atoms, ["energy"])
        energy = float(calculator.results["energy"]) / len(atoms)
        if (name not in best or energy < best[name][0]) and _is_dense(atoms):
            best[name] = energy, atoms
    found = sorted(best.items(), key=lambda item: (len(set(item[1][1].symbols)), item[0]))
    return [atoms for _, (_, atoms) in found[:_MOST_CRYSTALS]]


def _is_dense(atoms: Atoms) -> bool:
    """Whether space is filled: no slab, no atom or molecule in a box."""
    nearest = atoms.get_all_distances(mic=True)
    np.fill_diagonal(nearest, atoms.cell.minkowski_reduce()[0].lengths().min())  # each atom's own images
    mean = float(nearest.min(axis=1).mean())
    return bool(mean < _FARTHEST and atoms.get_volume() / len(atoms) < _LOOSEST * mean**3)


def _equation_of_state(atoms: Atoms, calculator: Calculator) -> tuple[float, float]:
    volumes, energies = [], []
    for scale in _VOLUMES:
        scaled = atoms.copy()
        scaled.set_cell(atoms.cell * scale ** (1 / 3), scale_atoms=True)
        scaled.calc = calculator
        volumes.append(scaled.get_volume())
        energies.append(scaled.get_potential_energy())
    if not 0 < int(np.argmin(energies)) < len(energies) - 1:
        return float("nan"), float("nan")
    found = EquationOfState(volumes, energies, eos="birchmurnaghan")
    try:
        _, _, bulk = found.fit()
    except RuntimeError:  # no curve of this form
        return float("nan"), float("nan")
    return float(bulk / GPa), float(found.eos_parameters[2])


def _elastic(atoms: Atoms, calculator: Calculator) -> np.ndarray:
    """C in GPa; strains are those of Voigt order, with factor 2 off the diagonal."""
    C = np.empty((6, 6))
    for J, (a, b) in enumerate(((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))):
        stresses = []
        for sign in (1, -1):
            strain = np.zeros((3, 3))
            strain[a, b] += 0.5 * sign * _STRAIN
            strain[b, a] += 0.5 * sign * _STRAIN
            strained = atoms.copy()
            strained.set_cell(atoms.cell @ (np.eye(3) + strain), scale_atoms=True)
            stresses.append(_relaxed(strained, calculator, _FEW_STEPS).get_stress() / GPa)
        C[:, J] = (stresses[0] - stresses[1]) / (2 * _STRAIN)
    return C


def _vacancy(atoms: Atoms, calculator: Calculator) -> float:
    crystal = atoms * [int(np.ceil(_VACANCY_CELL / h)) for h in _heights(atoms)]
    crystal.calc = calculator
    energy = crystal.get_potential_energy()
    n = len(crystal)
    del crystal[0]
    return float(_relaxed(crystal, calculator).get_potential_energy() - (n - 1) / n * energy)


def _heights(atoms: Atoms) -> Sequence[float]:
    heights: list[float] = (1 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)).tolist()
    return heights


def _holds(atoms: Atoms) -> bool:
    """Relax atoms and cell, in place; False if the volume runs away."""
    volume, with_cell = atoms.get_volume(), FrechetCellFilter(atoms)
    steps: Any = BFGS
    for _ in steps(with_cell, logfile=None).irun(fmax=_FORCE, steps=_STEPS):
        if not _LEAST * volume <= atoms.get_volume() <= _MOST * volume:
            return False
    return True


def _relaxed(atoms: Atoms, calculator: Any, steps: int = _STEPS) -> Atoms:
    atoms.calc = calculator
    BFGS(atoms, logfile=None).run(fmax=_FORCE, steps=steps)
    return atoms
