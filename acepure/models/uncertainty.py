"""What a potential knows about its errors: the posterior of its coefficients, calibrated.

The posterior of θ has the covariance S Sᵀ; the variance of Σ_k a_k θ_k is |Sᵀa|². It ranks structures and atoms well,
but is too small several times over, since what no coefficients could fit is not in it. Errors grow slower than it does:

    σ² = a² + b² (v / s²)^p,

with v the variance of the posterior, s its root mean square, and a, b and p of greatest likelihood, for energies / √N,
forces and virials / √N each. One σ holds for all components of a force, v = tr Cov F_i / 3, so that it turns with the
structure.

A potential that is not linear in θ is linearized: a are the derivatives of what is predicted by θ.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from acepure._utils.checks import count
from acepure.features.basis import evaluate_features
from acepure.features.derivatives import sum_gradients
from acepure.features.linear import EnergyAndForces, features_of_isolated_atoms
from acepure.models.linearization import Linearized
from acepure.models.posterior import Posterior, whitened, whitened_features
from acepure.models.potential import FittedPotential
from acepure.neighbors.environments import Environments
from acepure.neighbors.lists import NeighborList

if TYPE_CHECKING:  # loaded where they are called
    from acepure.fitting.deviations import Deviations
    from acepure.fitting.labeled import LabeledSet

__all__ = ["UncertainModel", "Uncertainty"]


@dataclass(frozen=True, eq=False, repr=False)
class Uncertainty:
    """Standard deviations of a prediction; printed, a line.

    Attributes
    ----------
    energy : float
        Of E, eV.
    forces : numpy.ndarray, shape (n_atoms,)
        Of each component of F_i, eV/Å: √(tr Cov F_i / 3).
    virial : float
        Of each component of the virial, eV.
    energies : numpy.ndarray, shape (n_atoms,)
        Of E_i by the posterior, eV: how far the features of an atom are from those of the fit. Energies of atoms are no
        labels, so these are not calibrated.
    posterior : Uncertainty, optional
        What the posterior alone says; None in that itself.
    """

    energy: float
    forces: np.ndarray
    virial: float
    energies: np.ndarray
    posterior: Uncertainty | None = None

    def __repr__(self) -> str:
        forces = f"{self.forces.min():.3g} to {self.forces.max():.3g} eV/Å on {len(self.forces)} atoms"
        return f"Uncertainty(energy {self.energy:.3g} eV, forces {forces}, virial {self.virial:.3g} eV)"


class UncertainModel(FittedPotential):
    """The part of `LinearACE` and `EmbeddedACE` that needs a posterior."""

    coefficients: np.ndarray
    posterior: Posterior | None

    def calibration_text(self) -> str:
        """What standard deviations come from, in words."""
        laws = self.calibration
        source = "the posterior, not calibrated: too small several times over" if laws is None else laws.source
        return f"standard deviations by {source}"

    def uncertainty(
        self, atoms: Atoms, *, neighbors: NeighborList | None = None, num_threads: int | None = None
    ) -> Uncertainty:
        """Return standard deviations of the prediction for a structure.

        Calibrated by structures left out of the fit, see `Calibration`; `posterior` of the result holds those of the
        posterior alone, which are too small several times over. For a model that is not calibrated (a fit to fewer than
        20 structures) both are the same.

        Parameters
        ----------
        atoms : ase.Atoms
        neighbors : NeighborList, optional
            Of the same structure.
        num_threads : int, optional

        Raises
        ------
        ValueError
            For a model without posterior.
        """
        root = self._root()
        environments = Environments(self.basis, atoms, neighbors=neighbors, num_threads=num_threads)
        _, positions, strain = self._linearized(environments)
        spread = self._spread(environments)

        def deviations(rows: np.ndarray) -> np.ndarray:
            return np.linalg.norm(whitened(root, rows.reshape(-1, rows.shape[-1])), axis=1)

        forces = np.sqrt(np.square(deviations(positions)).reshape(-1, 3).mean(axis=1))
        virial = float(np.sqrt(np.square(deviations(strain)).mean()))
        energy, energies = float(np.linalg.norm(spread.sum(axis=0))), np.linalg.norm(spread, axis=1)
        raw = Uncertainty(energy, forces, virial, energies)
        laws = self.calibration
        if laws is None:
            return Uncertainty(energy, forces, virial, energies, raw)
        n = len(atoms)
        return Uncertainty(
            float(laws.sigma("energy", energy, n)),
            laws.sigma("forces", forces),
            float(laws.sigma("virial", virial, n)),
            energies,
            raw,
        )

    def energy_uncertainty(
        self, atoms: Atoms, *, neighbors: NeighborList | None = None, num_threads: int | None = None
    ) -> float:
        """Return the standard deviation of E in eV, as `uncertainty` does, without the cost of forces."""
        deviation, laws = self.energy_deviation(atoms, neighbors=neighbors, num_threads=num_threads), self.calibration
        return deviation if laws is None else float(laws.sigma("energy", deviation, len(atoms)))

    def energy_deviation(
        self, atoms: Atoms, *, neighbors: NeighborList | None = None, num_threads: int | None = None
    ) -> float:
        """Return the standard deviation of E by the posterior alone, in eV."""
        environments = Environments(self.basis, atoms, neighbors=neighbors, num_threads=num_threads)
        return float(np.linalg.norm(self._spread(environments).sum(axis=0)))

    def grades(
        self, atoms: Atoms, *, neighbors: NeighborList | None = None, num_threads: int | None = None
    ) -> np.ndarray:
        """Return how far each force is from those of the fit, shape (n_atoms,): see `Calibration.grades`.

        Up to 1, the posterior is as narrow as it was for structures of the fit, each left out. Far above, forces rest
        on coefficients that nothing like them has determined.

        Raises
        ------
        ValueError
            For a model without posterior, or not calibrated.
        """
        laws = self.calibration
        if laws is None or "forces" not in laws.laws:
            raise ValueError("grades need forces that were calibrated, by a fit to at least 20 structures")
        found = self.uncertainty(atoms, neighbors=neighbors, num_threads=num_threads)
        return laws.grades("forces", (found.posterior or found).forces)

    def energy_variances(self, atoms: Atoms, *, num_threads: int | None = None) -> np.ndarray:
        """Return Var(E_i) of each atom by the posterior, in eV², shape (n_atoms,).

        It says how far the features of an atom are from those of the fit.
        """
        return np.square(self._spread(Environments(self.basis, atoms, num_threads=num_threads))).sum(axis=1)

    def committee(self, n: int, seed: int = 0) -> list[UncertainModel]:
        """Return n models whose coefficients are drawn from the posterior, spread by `Calibration.committee`."""
        n, rng, root = count("n", n), np.random.default_rng(count("seed", seed, least=0)), self._root()
        scale = 1.0 if self.calibration is None else self.calibration.committee
        draws = (scale * np.asarray(root @ np.asarray(rng.standard_normal(root.shape[-1]))) for _ in range(n))
        return [self._with_coefficients(self.coefficients + draw) for draw in draws]

    def leave_out(
        self,
        structures: Iterable[Atoms] | LabeledSet,
        *,
        by: str | Sequence[str] = "structure",
        num_threads: int | None = None,
        progress: bool | None = None,
        **keys: Any,
    ) -> dict[str, Deviations]:
        """Predict each structure of the fit by a fit without it, in closed form, see `acepure.fitting.leave_out`.

        Parameters
        ----------
        structures : iterable of ase.Atoms, or LabeledSet
            Those of the fit, with the same labels, or whole structures (groups) of them.
        by : str or sequence of str
            "structure"; or what is left out together: "config_type", a name in `atoms.info`, or the name of the group
            of each structure.
        num_threads, progress, **keys
            As for `fit`.

        Returns
        -------
        dict
            "energy", "forces", "virial" → `Deviations`.
        """
        from acepure.fitting.fit import labeled_data
        from acepure.fitting.leave_out import leave_out

        labeled = labeled_data(structures, **keys)
        return leave_out(self, labeled, by=by, num_threads=num_threads, progress=progress)

    def calibrate(
        self,
        structures: Iterable[Atoms] | LabeledSet,
        *,
        num_threads: int | None = None,
        progress: bool | None = None,
        **keys: Any,
    ) -> UncertainModel:
        """Return this model with standard deviations that fit the errors on structures it was not fitted to.

        Parameters
        ----------
        structures : iterable of ase.Atoms, or LabeledSet
            With labels; at least 20. What they do not have labels for stays as it is.
        num_threads, progress, **keys
            As for `fit`.

        Returns
        -------
        LinearACE

        Raises
        ------
        ValueError
            For fewer structures, labels too few for any quantity, and a model without posterior.
        """
        from acepure.fitting.calibration import calibrate_on
        from acepure.fitting.fit import labeled_data

        self._root()
        found = calibrate_on(self, labeled_data(structures, **keys), num_threads=num_threads, progress=progress)
        return self.calibrated_by(found)

    def evaluate(
        self, atoms: Atoms, *, neighbors: NeighborList | None = None, num_threads: int | None = None
    ) -> EnergyAndForces:
        """Return energies, forces and the virial."""
        raise NotImplementedError

    def _root(self) -> Posterior:
        if self.posterior is None:
            raise ValueError("the model has no posterior; fit it with uncertainty=True")
        return self.posterior

    @cached_property
    def _vacuum(self) -> np.ndarray:
        """B(∅), by species."""
        return features_of_isolated_atoms(self.basis)

    def _linearized(self, environments: Environments) -> Linearized:
        """Derivatives of energy, gradient and strain by the coefficients; the first is not used."""
        sums = sum_gradients(self.basis, environments)
        n, size = 3 * len(environments.species), sums.strain.shape[0] * sums.strain.shape[-1]
        positions = np.moveaxis(sums.positions.reshape(len(sums.strain), n, -1), 0, 1).reshape(n, size)
        return Linearized(np.empty(0), positions, np.moveaxis(sums.strain, 0, 2).reshape(3, 3, size))

    def _spread(self, environments: Environments) -> np.ndarray:
        """Sᵀ (B(i) − B(∅)) of each center, shape (n_centers, n_unknowns)."""
        species = environments.center_species
        features = evaluate_features(self.basis, environments) - self._vacuum[species]
        return whitened_features(self._root(), features, species)

    def _with_coefficients(self, coefficients: np.ndarray) -> UncertainModel:
        """The same potential with other coefficients, and nothing known of its errors."""
        raise NotImplementedError
