"""ACECalculator: a potential as an ASE calculator, with a Verlet list and warnings of short distances."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from acepure._utils.checks import count, number
from acepure._utils.threads import resolve_num_threads
from acepure.features.basis import ACEBasis, check_basis
from acepure.features.linear import EnergyAndForces
from acepure.features.verlet import VerletList
from acepure.models.coverage import CoverageCheck
from acepure.neighbors.lists import NeighborList
from acepure.neighbors.sites import Sites

__all__ = ["ACECalculator"]

# What a potential with a posterior has in addition.
_UNCERTAINTIES = ("energy_uncertainty", "forces_uncertainty")


class Potential(Protocol):
    """What the calculator needs of a potential."""

    @property
    def basis(self) -> Sites: ...
    @property
    def shortest_distances(self) -> Mapping[tuple[str, str], float] | None: ...
    def evaluate(
        self, atoms: Atoms, *, neighbors: NeighborList | None = None, num_threads: int | None = None
    ) -> EnergyAndForces: ...


class ACECalculator(Calculator):
    """Energies, forces and stress of a potential, for ASE.

    One neighbor list serves many steps, and nothing is computed twice for the same positions, cell and species. The
    properties are

        energy, free_energy     E = Σ_i E_i, eV
        energies                E_i, eV, shape (n_atoms,)
        forces                  −∂E/∂r, eV/Å, shape (n_atoms, 3)
        stress                  (∂E/∂ε)/V, eV/Å³, order xx, yy, zz, yz, xz, xy; for three periodic axes only
        energy_uncertainty      σ of E, eV
        forces_uncertainty      σ of each component of F_i, eV/Å, shape (n_atoms,)

    The last two are of a fitted `LinearACE`, see `LinearACE.uncertainty`, and are computed when they are asked for,
    as ``calculator.get_property("forces_uncertainty", atoms)``: that of the energy costs half an evaluation, those of
    forces some 50.

    A calculator may serve several structures in turn. Threads that share one wait for each other; with one each, and
    the same potential, they work at the same time.

    Parameters
    ----------
    potential : LinearACE, or any object with `basis`, `evaluate` and `shortest_distances`
        `evaluate(atoms, neighbors=, num_threads=)` returns what has `energies`, `forces` and `virial`;
        `shortest_distances` are those of each pair of species in training, in Å, or None if they are not known.
    skin : float
        Å; how much farther than the cutoff the list reaches, see `VerletList`.
    num_threads : int, optional
    warn : bool or "raise"
        Warn when a pair is shorter than 0.95 of the shortest distance in training, or was not in training at all: once
        per pair of species, and again when the distance has shrunk by another tenth. Warn too, once, of species that
        were not together around an atom in training, and of deviations of the posterior beyond twice the largest there,
        where these are known. "raise" raises the `ExtrapolationWarning`, before energies are computed.
    check_every : int
        Look at the deviations of forces of every structure with a number that this divides; 0 never does. It costs
        some 50 evaluations each time. Deviations that are asked for are always looked at.

    Raises
    ------
    TypeError, ValueError
        For what is no potential, or arguments out of range.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from acepure import ACEBasis, LinearFunction
    >>> class Potential:
    ...     basis = ACEBasis(["Cu"], order=2)
    ...     shortest_distances = {("Cu", "Cu"): 2.2}
    ...     evaluate = LinearFunction(basis, [0.01] * len(basis)).evaluate_with_gradients
    >>> atoms = bulk("Cu", cubic=True)
    >>> atoms.calc = ACECalculator(Potential())
    >>> atoms.get_stress().shape
    (6,)
    """

    # ASE reads both from the class, but its hints call them attributes of the instance.
    implemented_properties: ClassVar[list[str]] = [  # type: ignore[misc]
        "energy",
        "energies",
        "free_energy",
        "forces",
        "stress",
    ]
    ignored_changes: ClassVar[set[str]] = {"initial_charges", "initial_magmoms"}  # type: ignore[misc]

    def __init__(
        self,
        potential: Potential,
        *,
        skin: float = 1.0,
        num_threads: int | None = None,
        warn: bool | str = True,
        check_every: int = 0,
    ) -> None:
        _check_potential(potential)
        if not isinstance(warn, (bool, np.bool_)) and not (isinstance(warn, str) and warn == "raise"):
            raise TypeError(f'warn must be True, False or "raise", got {warn!r}')
        self._check_every, self._n_checked = count("check_every", check_every, least=0), 0
        if self._check_every and not warn:
            raise ValueError('check_every looks for what to warn of; warn must be True or "raise" with it, got False')
        if self._check_every and getattr(potential, "calibration", None) is None:
            raise ValueError("check_every needs a potential whose standard deviations are calibrated, as fits do")
        super().__init__()
        self.potential = potential
        if getattr(potential, "posterior", None) is not None:
            self.implemented_properties = [*self.implemented_properties, *_UNCERTAINTIES]  # type: ignore[misc]
        self._skin = number("skin", skin, least=0)
        self._num_threads = None if num_threads is None else resolve_num_threads(num_threads)
        self._lock = threading.RLock()
        self._verlet: VerletList | None = None
        self._coverage = CoverageCheck(potential, raises=isinstance(warn, str)) if warn else None

    def get_property(self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True) -> Any:
        """Return a property of the structure, computed if need be, while other threads wait."""
        with self._lock:
            return super().get_property(name, atoms, allow_calculation)

    def calculate_properties(self, atoms: Atoms, properties: Sequence[str]) -> Any:
        """Return several properties at once, as ASE does."""
        with self._lock:
            return super().calculate_properties(atoms, properties)

    def calculate(
        self, atoms: Atoms | None = None, properties: Sequence[str] = ("energy",), system_changes: Any = all_changes
    ) -> None:
        """Compute all properties; called by ASE when the structure has changed.

        Raises
        ------
        PropertyNotImplementedError
            For the stress of what is not periodic along all three axes.
        TypeError, ValueError
            For structures that cannot be computed on.
        """
        structure: Any = self.atoms if atoms is None else atoms
        if structure is None:
            raise ValueError("the calculator has no atoms yet; set atoms.calc to it, or give atoms")
        if "stress" in properties and not structure.pbc.all():
            raise PropertyNotImplementedError(f"stress needs three periodic axes; pbc is {structure.pbc.tolist()}")
        super().calculate(atoms, properties, system_changes)
        if self._verlet is None:
            self._verlet = VerletList(self.potential.basis, self._skin, self._num_threads)
        structure = self.atoms  # the copy that ASE keeps
        if system_changes or not self.results:
            self.results = {}
            neighbors = self._verlet.update(structure)
            if self._coverage is not None:
                self._check_coverage(structure, neighbors)
            self.results |= self._evaluated(structure, neighbors)
        if set(_UNCERTAINTIES) & set(properties):
            self.results |= self._uncertainties(structure, self._verlet.update(structure), properties)

    def _check_coverage(self, atoms: Atoms, neighbors: NeighborList) -> None:
        assert self._coverage is not None
        self._coverage.check(self.potential.basis.species_indices(atoms), neighbors)
        if self._check_every and self._n_checked % self._check_every == 0:
            self.results |= self._uncertainties(atoms, neighbors, _UNCERTAINTIES)
        self._n_checked += 1

    def _evaluated(self, atoms: Atoms, neighbors: NeighborList) -> dict[str, Any]:
        result = self.potential.evaluate(atoms, neighbors=neighbors, num_threads=self._num_threads)
        energy = float(result.energies.sum())
        found = {"energy": energy, "free_energy": energy, "energies": result.energies, "forces": result.forces}
        if atoms.pbc.all():
            found["stress"] = full_3x3_to_voigt_6_stress(-result.virial / atoms.get_volume())
        return found

    def _uncertainties(self, atoms: Atoms, neighbors: NeighborList, properties: Sequence[str]) -> dict[str, Any]:
        potential: Any = self.potential
        given: dict[str, Any] = {"neighbors": neighbors, "num_threads": self._num_threads}
        if "forces_uncertainty" not in properties:
            return {"energy_uncertainty": potential.energy_uncertainty(atoms, **given)}
        found = potential.uncertainty(atoms, **given)
        if self._coverage is not None:
            self._coverage.check_deviations(found, len(atoms))
        return {"energy_uncertainty": found.energy, "forces_uncertainty": found.forces}

    def __getstate__(self) -> dict[str, Any]:
        """Copies make a neighbor list and a lock of their own."""
        return {name: value for name, value in self.__dict__.items() if name != "_lock"} | {"_verlet": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.RLock())


def _check_potential(potential: Potential) -> None:
    """Raise unless the object has what the calculator needs."""
    missing = [name for name in ("basis", "evaluate", "shortest_distances") if not hasattr(potential, name)]
    if missing:
        raise TypeError(
            f"potential must have basis, evaluate and shortest_distances, as LinearACE has; got {potential!r} of type "
            f"{type(potential).__name__}, which lacks {' and '.join(missing)}"
        )
    if not isinstance(potential.basis, Sites) or isinstance(potential.basis, ACEBasis):
        check_basis(potential.basis)
    if not isinstance(potential.shortest_distances, (Mapping, type(None))):
        raise TypeError(
            "potential.shortest_distances must be a mapping of pairs of species to distances in Å, or None; got "
            f"{potential.shortest_distances!r}"
        )
