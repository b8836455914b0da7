"""What fitted potentials have in common: energies of isolated atoms, a core, what was known in the fit, files."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike

from acepure._utils.checks import check_kind, distances, symbol
from acepure._utils.read_only import ReadOnly
from acepure._utils.workers import Workers
from acepure.errors import ModelFileError, SpeciesError
from acepure.features.basis import ACEBasis
from acepure.features.linear import EnergyAndForces
from acepure.models.arguments import checked_energies, checked_report, checked_shortest, checked_surroundings
from acepure.models.calibration import Reported
from acepure.models.coverage import Surroundings
from acepure.models.repulsion import PairCore
from acepure.neighbors.environments import Environments
from acepure.neighbors.lists import NeighborList
from acepure.neighbors.sites import Sites

if TYPE_CHECKING:  # a potential knows neither its fitter nor its interfaces; they are loaded where they are called
    from acepure.fitting.errors import Errors
    from acepure.fitting.labeled import LabeledSet
    from acepure.interfaces.calculator import ACECalculator
    from acepure.interfaces.yace import YaceReport
    from acepure.models.embedding import Embedding

__all__ = ["FittedPotential", "SitePotential"]

Potential = TypeVar("Potential", bound="FittedPotential")


class SitePotential(ReadOnly, ABC):
    """Base of potentials that are a sum of energies of sites."""

    basis: Sites

    @property
    @abstractmethod
    def E0s(self) -> Mapping[str, float]:
        """Energies of isolated atoms in eV; read-only."""

    @property
    @abstractmethod
    def shortest_distances(self) -> Mapping[tuple[str, str], float] | None:
        """Shortest distances the potential was made for, in Å; read-only, None where they are not known."""

    @abstractmethod
    def evaluate(
        self, atoms: Atoms, *, neighbors: NeighborList | None = None, num_threads: int | None = None
    ) -> EnergyAndForces:
        """Return energies (eV), forces (eV/Å) and the virial (eV)."""

    def dimer(self, center: str, neighbor: str, r: ArrayLike) -> np.ndarray:
        """Return E(r) − E0(center) − E0(neighbor) of two atoms, in eV, shape (len(r),).

        In a canonical or centered basis this is the pair potential: higher orders vanish for two atoms. With
        an embedding it is what two atoms have.

        Parameters
        ----------
        center, neighbor : str
            Chemical symbols.
        r : array_like
            Distances in Å, > 0.
        """
        pair = self._species("center", center) + self._species("neighbor", neighbor)
        free = self.E0s[center] + self.E0s[neighbor]
        values = distances("r", r)
        return np.array([self.evaluate(Atoms(pair, [[0, 0, 0], [0, 0, d]])).energy - free for d in values])

    def _species(self, name: str, value: str) -> str:
        if symbol(name, value) not in self.basis.species:
            raise SpeciesError(f"{name} {value!r} is not one of the species {self.basis.species}")
        return value

    def errors(
        self,
        structures: Iterable[Atoms] | LabeledSet,
        *,
        workers: Workers = 1,
        num_threads: int | None = None,
        progress: bool | None = None,
        **keys: Any,
    ) -> Errors:
        """Compare with the labels of structures; arguments as for `fit`. Printed, a table of errors with units."""
        from acepure.fitting.errors import evaluate_errors
        from acepure.fitting.fit import labeled_data

        labeled = labeled_data(structures, **keys)
        model = copy(self)
        vars(model)["posterior"] = None  # large, and of no use to workers
        return evaluate_errors(model, labeled, workers=workers, num_threads=num_threads, progress=progress)

    def explore(self, structures: Iterable[Atoms], path: str | os.PathLike[str], **arguments: Any) -> None:
        """Write a page that links a map of structures by this model with the structures in 3-D.

        Arguments as `acepure.interfaces.explore.explore_dataset`; needs chemiscope, the extra "explore".
        """
        from acepure.interfaces.explore import explore

        explore(structures, path, model=self, **arguments)

    def calculator(self, **arguments: Any) -> ACECalculator:
        """Return an ASE calculator; arguments as `ACECalculator`."""
        from acepure.interfaces.calculator import ACECalculator

        return ACECalculator(self, **arguments)


class FittedPotential(Reported, SitePotential):
    """Base of `LinearACE` and `EmbeddedACE`."""

    basis: ACEBasis
    coefficients: np.ndarray
    core: PairCore | None
    surroundings: Surroundings | None
    _E0s: dict[str, float]
    _shortest: dict[tuple[str, str], float] | None

    def _set(
        self,
        basis: ACEBasis,
        E0s: Mapping[str, float] | None,
        core: PairCore | None,
        shortest: Mapping[tuple[str, str], float] | None,
        surroundings: Surroundings | None,
        report: Mapping[str, Any] | None,
    ) -> None:
        check_kind("core", core, PairCore, None)
        if core is not None:
            core.check_reach(basis.species, basis.cutoffs)
        self.basis, self.core = basis, core
        self._E0s = checked_energies(basis, E0s)
        self._shortest = None if shortest is None else checked_shortest(shortest)
        self.surroundings = checked_surroundings(surroundings)
        self._report = checked_report(report)

    @property
    def E0s(self) -> Mapping[str, float]:
        """Energies of isolated atoms in eV; read-only."""
        return MappingProxyType(self._E0s)

    @property
    def shortest_distances(self) -> Mapping[tuple[str, str], float] | None:
        """Shortest distances the potential was made for, in Å; read-only."""
        return None if self._shortest is None else MappingProxyType(self._shortest)

    @abstractmethod
    def energies_by_feature(self, features: np.ndarray, species: np.ndarray) -> np.ndarray:
        """Return what each feature adds to the energies of atoms, to first order, in eV.

            e_k(i) = Σ_p ∂F/∂ρ_p(i) θ_{p z_i k} (B_k(i) − B_k(∅)),      θ_{z_i k} (B_k(i) − B_k(∅)) without embedding

        Parameters
        ----------
        features : numpy.ndarray, shape (n_atoms, n_features)
            B, as `ACEBasis.descriptors` returns them.
        species : numpy.ndarray of int, shape (n_atoms,)
            z, as `ACEBasis.species_indices` returns them.

        Returns
        -------
        numpy.ndarray, shape (n_atoms, n_features)
        """

    def _environments(self, atoms: Atoms, neighbors: NeighborList | None, num_threads: int | None) -> Environments:
        environments = Environments(self.basis, atoms, neighbors=neighbors, num_threads=num_threads)
        if self.core is not None:
            _ = environments.neighbors  # one list for features and core
        return environments

    def _completed(self, environments: Environments, result: EnergyAndForces, constants: np.ndarray) -> EnergyAndForces:
        """Add constants of the species of centers, and the core."""
        energies = result.energies + constants[environments.center_species]
        result = EnergyAndForces(energies, result.forces, result.virial)
        if self.core is None:
            return result
        return result.plus(self.core.evaluate_environments(environments, self.basis.species))

    def export_yace(
        self,
        path: str | os.PathLike[str],
        *,
        tolerance: float = 1e-6,
        core_table: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> YaceReport:
        """Write the model for ``pair_style pace`` of LAMMPS; the file is read back and compared before it is released.

        Parameters
        ----------
        path : str or os.PathLike
            Usually ends in .yace.
        tolerance : float
            Largest relative error of energies and forces.
        core_table : str or os.PathLike, optional
            Where a repulsive core goes, for ``pair_style hybrid/overlay``; .yace files have no place for it. Default:
            beside the file, with the ending .core.table.
        **options
            Of `acepure.interfaces.yace.write_yace`: family, step, structures.

        Returns
        -------
        YaceReport
            Print it for the errors reached and the commands for LAMMPS.

        Raises
        ------
        ValueError
            If the file would differ from the model by more than the tolerance; none is left then. For an embedding
            other than FinnisSinclair.
        """
        from acepure.interfaces.yace import write_yace

        given: dict[str, Any] = {"core": self.core, "core_table": core_table, "tolerance": tolerance}
        F = self._embedding()
        return write_yace(path, self.basis, self.coefficients, self.E0s, embedding=F, **given, **options)

    def _embedding(self) -> Embedding | None:
        """F of the site energies; None for ρ_1."""
        return None

    def _entries(self) -> dict[str, Any]:
        """Return what a file keeps that is no array, as JSON types."""
        shortest = self._shortest
        return {
            "basis": self.basis.to_dict(),
            "E0s": self._E0s,
            "core": None if self.core is None else self.core.to_dict(),
            "shortest": None if shortest is None else [[*pair, r] for pair, r in shortest.items()],
            "surroundings": None if self.surroundings is None else self.surroundings.to_list(),
            "report": self._report,
        }

    @classmethod
    def _restored(
        cls: type[Potential],
        path: str | os.PathLike[str],
        entries: Mapping[str, Any],
        make: Callable[[ACEBasis, dict[str, Any]], Potential],
    ) -> Potential:
        """Make the potential that a file holds; `make` takes its basis and arguments of the constructor."""
        core, shortest, surroundings = entries["core"], entries["shortest"], entries["surroundings"]
        try:
            given = {
                "E0s": entries["E0s"],
                "core": None if core is None else PairCore.from_dict(core),
                "shortest": None if shortest is None else {(a, b): r for a, b, r in shortest},
                "surroundings": None if surroundings is None else Surroundings.from_list(surroundings),
                "report": entries["report"],
            }
            model = make(ACEBasis.from_dict(entries["basis"]), given)
            if model._entries() != entries:
                raise ValueError("it says more or less than a model needs")
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ModelFileError(f"{os.fspath(path)!r} holds no usable model: {error}") from error
        return model
