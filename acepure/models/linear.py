"""LinearACE: a linear potential, E = Σ_i E0(z_i) + θ(z_i) · (B(i) − B(no neighbors)) + core."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike

from acepure._utils.messages import shown
from acepure._utils.workers import Workers
from acepure.features.basis import ACEBasis, check_basis
from acepure.features.linear import EnergyAndForces, LinearFunction, features_of_isolated_atoms
from acepure.models.arguments import checked_posterior
from acepure.models.by_order import BodyOrderedModel
from acepure.models.coverage import Surroundings
from acepure.models.files import LINEAR, read_model, write_model
from acepure.models.posterior import FactoredPosterior, posterior_arrays, posterior_from_arrays
from acepure.models.repulsion import PairCore
from acepure.neighbors.lists import NeighborList
from acepure.references import Reference

if TYPE_CHECKING:  # the model knows neither its fitter nor its exporters; they are loaded where they are called
    from acepure.fitting.labeled import LabeledSet
    from acepure.fitting.priors import SmoothnessPrior

_log = logging.getLogger(__name__)

__all__ = ["LinearACE"]


#: Arguments of `LinearACE.fit` that are not passed on to what fits.
_OWN = ("cls", "structures", "uncertainty", "calibrate_by", "checkpoint", "verbose", "keys")


class LinearACE(BodyOrderedModel):
    """A potential that is linear in ACE features.

        E = Σ_i [E0(z_i) + Σ_k θ_{z_i k} (B_k(i) − B_k(∅))] + core,      F = −∂E/∂r,

    with B(∅) the features of an atom without neighbors: zero in canonical bases, constants in centered and shifted
    ones. So an isolated atom has the energy E0 exactly, in any basis. Forces are the exact gradient.

    Parameters
    ----------
    basis : ACEBasis
    coefficients : array_like, shape (n_species, n_features), or (n_features,) for one species
        θ in eV.
    E0s : mapping of str to float, optional
        Energies of isolated atoms in eV; default 0.
    core : PairCore, optional
        A repulsive core, for example `acepure.models.repulsion.ZBLCore`.
    posterior : array_like, shape (n_species, n_features, any), or FactoredPosterior, optional
        S: the covariance of θ is S Sᵀ. Needed for uncertainties.
    shortest : mapping of (str, str) to float, optional
        Shortest distances the potential was made for, in Å; the calculator warns below them.
    surroundings : Surroundings, optional
        Which species the potential was made for around each, see `acepure.models.coverage.Surroundings`.
    report : mapping, optional
        What is known of the fit: JSON types.

    Examples
    --------
    >>> import numpy as np
    >>> from ase.build import bulk
    >>> from acepure import ACEBasis, LinearACE
    >>> basis = ACEBasis(["Cu"], order=2)
    >>> model = LinearACE(basis, np.full(len(basis), 0.01), E0s={"Cu": -0.5})
    >>> atoms = bulk("Cu", cubic=True)
    >>> atoms.calc = model.calculator()
    >>> atoms.get_forces().shape
    (4, 3)
    >>> model.evaluate(Atoms("Cu")).energy
    -0.5
    """

    def __init__(
        self,
        basis: ACEBasis,
        coefficients: ArrayLike,
        E0s: Mapping[str, float] | None = None,
        *,
        core: PairCore | None = None,
        posterior: ArrayLike | FactoredPosterior | None = None,
        shortest: Mapping[tuple[str, str], float] | None = None,
        surroundings: Surroundings | None = None,
        report: Mapping[str, Any] | None = None,
    ) -> None:
        check_basis(basis)
        self._function = LinearFunction(basis, coefficients)
        self.coefficients = self._function.coefficients
        self._set(basis, E0s, core, shortest, surroundings, report)
        self.posterior = None if posterior is None else checked_posterior(basis, posterior)
        _ = self.calibration  # raises for one that is damaged
        vacuum = (self.coefficients * self._vacuum).sum(axis=1)
        self._constants = np.array([self._E0s[s] for s in basis.species]) - vacuum

    # --- fitting ------------------------------------------------------------------------------------------

    @classmethod
    def fit(
        cls,
        structures: Iterable[Atoms] | LabeledSet,
        basis: ACEBasis | None = None,
        *,
        size: int | None = None,
        canonical: bool = True,
        folds: int | None = None,
        reference: Reference | str | None = "density",
        weights: Any = None,
        E0s: Mapping[str, float] | str | float = "auto",
        prior: SmoothnessPrior | str | None = "algebraic",
        solver: str = "auto",
        options: Mapping[str, float] | None = None,
        core: PairCore | str | None = "zbl",
        uncertainty: bool = True,
        calibrate_by: str | Sequence[str] | None = "structure",
        check: bool = True,
        checkpoint: str | os.PathLike[str] | None = None,
        workers: Workers = 1,
        num_threads: int | None = None,
        progress: bool | None = None,
        verbose: bool = True,
        **keys: Any,
    ) -> LinearACE:
        """Fit energies, forces and virials.

        Parameters
        ----------
        structures : iterable of ase.Atoms, or LabeledData
            With labels in `info`, `arrays` or a calculator; they are found by name, see `keys`. `StructureFiles`
            are not held in memory but read for every pass, some eight of them.
        basis : ACEBasis, optional
            Without it, cutoff, radial functions and functions are chosen from the structures: by errors of folds left
            out, and by forward selection from 3.5 times as many functions; weights too, unless they are given, and
            virials count unless they contradict energies. `report["choices"]` of the model holds what was chosen.
        size : int, optional
            Number of unknowns in all, that is functions times species, of a basis that is chosen here; default
            300 n^1.5 for n species, at most 4000. If more than 2500 are given, functions that can differ from zero
            count, cutoff, radial functions and degrees of orders are chosen by structures left out, and the solver is
            "cholesky".
        canonical : bool
            False chooses among self-interacting functions.
        folds : int, optional
            Report errors of so many folds left out. Rows are reduced by folds then, which changes the last bits.
            Always for a basis that is chosen here, 5 by default.
        reference : Reference, "density" or None
            The coordinates of the fit: the basis is centered on it. "density" takes the radial density of the
            structures with a tenth of an ideal gas (unless the basis has a reference already), None the basis as it
            is. The functions spanned are the same; what differs is rounding, and what regularization prefers.
        weights : optional
            (w_E, w_F, w_V), or a mapping per config_type, see `acepure.fitting.resolve_weights`; default (30, 1, 1).
        E0s : mapping, "isolated", "lstsq", "auto" or a number
            Energies of isolated atoms in eV. "auto" takes those in the data, or else least squares on the composition.
        prior : SmoothnessPrior, "algebraic", "exponential" or None
        solver : {"auto", "qr", "ridge", "svd", "lsqr", "blr", "ard", "cholesky"}
            "auto" is "blr", Bayesian linear regression with the regularization from the evidence, or, above 4000
            coefficients, "cholesky": ridge by normal equations, with the regularization that is best for a tenth of
            the structures left out; then `reference` is None and `prior` is not used.
        options : mapping, optional
            Options of the solver, see `acepure.fitting.solve`.
        core : PairCore, "zbl" or None
            "zbl" is the screened repulsion of nuclei below the shortest distance of each pair in the structures, in
            full below half of it: it touches no label, and fills the holes that potentials have where there are no
            data. One of your own is taken off the labels. Either is part of the model; None is no core.
        uncertainty : bool
            Keep the posterior, for standard deviations.
        calibrate_by : str, sequence of str, or None
            Standard deviations are calibrated on up to 200 structures, each predicted without it, in closed form.
            "config_type", a name in `atoms.info`, or the name of the group of each structure leaves out groups instead,
            such as the frames of one trajectory, which resemble each other. None: standard deviations of the posterior
            alone.
        check : bool
            Warn where labels contradict each other.
        checkpoint : str or os.PathLike, optional
            A folder for results of finished stages. The same fit, stopped and called again, takes them from there,
            and gives the same bits; those of other structures or arguments are not taken. Remove it afterwards.
        workers : int or dask.distributed.Client
            Processes, or a Dask cluster; the result does not depend on them. A script that uses more than one process
            must protect its entry point with ``if __name__ == "__main__":``. Workers take one thread each.
        num_threads, progress
            As elsewhere.
        verbose : bool
            Show what was found and what is done; it goes to the logger "acepure" either way.
        **keys
            energy_key, forces_key, virial_key, stress_key, prefix, config_type_key of `label_structures`.

        Returns
        -------
        LinearACE

        Raises
        ------
        TypeError, ValueError
            Before any work, for labels, weights or species that do not fit together.

        Examples
        --------
        >>> from ase.build import bulk
        >>> from ase.calculators.emt import EMT
        >>> from acepure import ACEBasis, LinearACE
        >>> structures = [bulk("Cu", cubic=True) * 2 for _ in range(5)]
        >>> for seed, atoms in enumerate(structures):
        ...     atoms.rattle(0.1, seed=seed)
        ...     atoms.calc = EMT()
        ...     energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        >>> model = LinearACE.fit(structures, ACEBasis(["Cu"], totaldegree=5), verbose=False)
        >>> bool(model.errors(structures).all("forces").rmse < 0.05)
        True
        """
        passed = {name: value for name, value in locals().items() if name not in _OWN}
        from acepure.fitting.calibration import calibrate_fit
        from acepure.fitting.checkpoints import Checkpoints
        from acepure.fitting.fit import fit_coefficients, labeled_data
        from acepure.fitting.leave_out import group_names
        from acepure.fitting.recipe_cost import log_result

        labeled = labeled_data(structures, **keys)
        checkpoints = Checkpoints(checkpoint, () if checkpoint is None else labeled)
        if calibrate_by is not None:
            group_names(labeled, calibrate_by)  # raises before any work
        with shown(sys.stdout, verbose):
            result = fit_coefficients(labeled, checkpoints=checkpoints, **passed)
            posterior = result.posterior if uncertainty else None
            model = cls(coefficients=result.coefficients, posterior=posterior, **result.of_model())
            if model.posterior is not None and calibrate_by is not None and result.noise > 0:
                model = model.calibrated_by(
                    calibrate_fit(model, labeled, calibrate_by, num_threads, progress, checkpoints)
                )
            log_result(model, labeled, workers=workers, num_threads=num_threads, progress=progress)
        return model

    @classmethod
    def fit_orders(
        cls,
        structures: Iterable[Atoms] | LabeledSet,
        orders: int | Sequence[int],
        basis: ACEBasis | None = None,
        *,
        given: LinearACE | None = None,
        weights: Any = None,
        E0s: Mapping[str, float] | str | float | None = None,
        prior: SmoothnessPrior | str | None = "algebraic",
        solver: str = "auto",
        options: Mapping[str, float] | None = None,
        core: PairCore | str | None = None,
        workers: Workers = 1,
        num_threads: int | None = None,
        progress: bool | None = None,
        verbose: bool = True,
        **keys: Any,
    ) -> LinearACE:
        """Fit some body orders and leave all others as they are, to the last bit.

        Clusters of k atoms determine the orders up to k − 1. Fit order 1 to dimers, then order 2 to trimers with
        `given` the first model, and so on: each order comes from the structures, and the theory, meant for it.

        Parameters
        ----------
        structures : iterable of ase.Atoms, or LabeledSet
        orders : int or sequence of int
            Correlation orders ν to fit: 1 is the pair term.
        basis : ACEBasis, optional
            Canonical, without reference; default that of `given`.
        given : LinearACE, optional
            Has the other orders, the core and E0; without it, other orders are zero.
        E0s : mapping, "isolated", "lstsq", "auto" or a number, optional
            Energies of isolated atoms in the theory of these labels. Default: those of `given`, or else of isolated
            atoms among the structures. The model keeps those of `given`.
        core : PairCore or "zbl", optional
            Part of the pair term, or all of it; for the first fit.
        weights, prior, solver, options, workers, num_threads, progress, verbose, **keys
            As for `fit`. `SmoothnessPrior` takes a factor for each order.

        Returns
        -------
        LinearACE
            The posterior holds all orders: what is open in the given ones moves those of this fit. Standard
            deviations are not calibrated.

        Examples
        --------
        >>> dimer = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.2]], info={"energy": -2.0})
        >>> pair = LinearACE.fit_orders([dimer], 1, ACEBasis(["Cu"]), E0s={"Cu": 0.0}, verbose=False)
        >>> round(pair.evaluate(dimer).energy, 3)
        -2.0
        """
        passed = {name: value for name, value in locals().items() if name not in _OWN}
        from acepure.fitting.by_order import fit_orders
        from acepure.fitting.fit import labeled_data

        with shown(sys.stdout, verbose):
            result = fit_orders(labeled_data(structures, **keys), **passed)
        report = {"summary": result.summary, "choices": result.choices}
        given_back = {**result.of_model(), "report": report}
        return cls(coefficients=result.coefficients, posterior=result.posterior, **given_back)

    # --- values -------------------------------------------------------------------------------------------

    def evaluate(
        self, atoms: Atoms, *, neighbors: NeighborList | None = None, num_threads: int | None = None
    ) -> EnergyAndForces:
        """Return energies (eV), forces (eV/Å) and the virial (eV).

        Parameters
        ----------
        atoms : ase.Atoms
        neighbors : NeighborList, optional
            Of the same structure. With a list of some centers, the energies are theirs, and the forces and the virial
            are the derivatives of the sum of these.
        num_threads : int, optional
        """
        environments = self._environments(atoms, neighbors, num_threads)
        result = self._function.evaluate_environments(environments)
        return self._completed(environments, result, self._constants)

    def pruned(
        self,
        structures: Iterable[Atoms],
        *,
        energy: float = 1e-4,
        forces: float = 1e-3,
        num_threads: int | None = None,
    ) -> LinearACE:
        """Return a potential without the coefficients that matter least: evaluation skips products that nothing needs.

        Parameters
        ----------
        structures : iterable of ase.Atoms
            Those of the fit, or some of them.
        energy, forces : float
            Bounds of the root mean square changes of energies per atom (eV) and of forces (eV/Å) on the structures; as
            much is left out as these allow, by the triangle inequality, so that changes are usually much smaller.
        num_threads : int, optional

        Returns
        -------
        LinearACE
            Without posterior; its summary says what was left out.

        Examples
        --------
        >>> from ase.build import bulk
        >>> model = LinearACE(ACEBasis(["Cu"], order=2), np.geomspace(1e-9, 1, 37))
        >>> small = model.pruned([bulk("Cu", cubic=True) * 2])
        >>> bool(abs(small.evaluate(bulk("Cu")).energy - model.evaluate(bulk("Cu")).energy) < 1e-4)
        True
        """
        from acepure.fitting.pruning import without_small

        theta, text = without_small(
            self.basis, self.coefficients, structures, energy=energy, forces=forces, num_threads=num_threads
        )
        return self._with_coefficients(theta).with_report(
            {**self.report, "summary": [*self.report.get("summary", []), text]}
        )

    def _with_coefficients(self, coefficients: np.ndarray) -> LinearACE:
        known: dict[str, Any] = {"shortest": self.shortest_distances, "surroundings": self.surroundings}
        return LinearACE(self.basis, coefficients, self.E0s, core=self.core, **known)

    def energies_by_feature(self, features: np.ndarray, species: np.ndarray) -> np.ndarray:
        """Return what each feature adds to the energies of atoms, to first order, in eV, see `FittedPotential`."""
        return self.coefficients[species] * (features - features_of_isolated_atoms(self.basis)[species])

    # --- files --------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str], *, posterior: bool = True) -> None:
        """Write the model to one file of the format safetensors, exact.

        Parameters
        ----------
        path : str or os.PathLike
        posterior : bool
            False leaves standard deviations out, which take 4 n² bytes for n unknowns of a large fit, else 8 n².
        """
        root = posterior_arrays(self.posterior if posterior else None)
        write_model(path, LINEAR, self._entries(), {"coefficients": self.coefficients, **root})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> LinearACE:
        """Read a model that `save` wrote.

        Raises
        ------
        FileNotFoundError
        ModelFileError
            For a file that is damaged, of another kind, or newer than this version understands.
        """
        entries, arrays = read_model(path, LINEAR)

        def made(basis: ACEBasis, given: dict[str, Any]) -> LinearACE:
            root = posterior_from_arrays(arrays, (len(basis.species), len(basis)))
            return cls(basis, arrays["coefficients"], posterior=root, **given)

        return cls._restored(path, entries, made)

    def __repr__(self) -> str:
        return f"LinearACE({', '.join(self.basis.species)}; {len(self.basis)} features, order {self.basis.order})"
