"""EmbeddedACE: nonlinear site energies, E = Σ_i [E0(z_i) + F(ρ_i1, ..., ρ_iP)] + core, densities linear in features."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike

from acepure._utils.checks import count, real_array
from acepure._utils.messages import shown
from acepure._utils.read_only import read_only_array
from acepure.features.basis import ACEBasis, check_basis
from acepure.features.linear import EnergyAndForces, LinearFunction
from acepure.models.coverage import Surroundings
from acepure.models.embedding import Embedding, resolve_embedding
from acepure.models.files import EMBEDDED, read_model, write_model
from acepure.models.linearization import EmbeddedFunction, Linearized
from acepure.models.posterior import dense_root, posterior_arrays
from acepure.models.repulsion import PairCore
from acepure.models.uncertainty import UncertainModel
from acepure.neighbors.environments import Environments
from acepure.neighbors.lists import NeighborList

if TYPE_CHECKING:  # the model does not know its fitter, which is loaded where it is called
    from acepure.fitting.labeled import LabeledSet

__all__ = ["EmbeddedACE"]


class EmbeddedACE(UncertainModel):
    """A potential whose site energies are a function of a few linear densities.

        E = Σ_i [E0(z_i) + F(ρ_i1, ..., ρ_iP)] + core,      ρ_ip = Σ_k θ_{p z_i k} (B_k(i) − B_k(∅)),      F(0) = 0

    So an isolated atom has the energy E0 exactly, and forces are the exact gradient. With F = ρ_1 it is `LinearACE`; a
    second density behind a square root is the form of Finnis and Sinclair, and of the embedded-atom method. Body
    orders end with F: a function of canonical terms is no sum of them.

    Parameters
    ----------
    basis : ACEBasis
    coefficients : array_like, shape (n_densities, n_species, n_features)
        θ, in eV for the first density, without unit for the others.
    embedding : Embedding or str
        F, see `acepure.models.embedding`.
    posterior : array_like, shape (n_densities, n_species, n_features, any), optional
        S: the covariance of θ is S Sᵀ, of the potential linearized in θ.
    E0s, core, shortest, surroundings, report
        As for `LinearACE`.

    Examples
    --------
    >>> from ase.build import bulk
    >>> basis = ACEBasis(["Cu"], order=2)
    >>> theta = np.random.default_rng(0).normal(scale=0.01, size=(2, 1, len(basis)))
    >>> model = EmbeddedACE(basis, theta, "finnis-sinclair", {"Cu": -0.5})
    >>> atoms = bulk("Cu", cubic=True)
    >>> atoms.calc = model.calculator()
    >>> atoms.get_forces().shape, model.evaluate(Atoms("Cu")).energy
    ((4, 3), -0.5)
    """

    def __init__(
        self,
        basis: ACEBasis,
        coefficients: ArrayLike,
        embedding: Embedding | str,
        E0s: Mapping[str, float] | None = None,
        *,
        core: PairCore | None = None,
        posterior: ArrayLike | None = None,
        shortest: Mapping[tuple[str, str], float] | None = None,
        surroundings: Surroundings | None = None,
        report: Mapping[str, Any] | None = None,
    ) -> None:
        check_basis(basis)
        self.embedding = resolve_embedding(embedding)
        shape = (self.embedding.n_densities, len(basis.species), len(basis))
        densities = LinearFunction(basis, real_array("coefficients", coefficients, shape))
        self.function = EmbeddedFunction(self.embedding, densities)
        self.coefficients = densities.coefficients
        self._set(basis, E0s, core, shortest, surroundings, report)
        self.posterior = None if posterior is None else read_only_array("posterior", posterior, (*shape, None))
        _ = self.calibration  # raises for one that is damaged
        self._constants = np.array([self._E0s[s] for s in basis.species])

    def __repr__(self) -> str:
        basis = self.basis
        return (
            f"EmbeddedACE({', '.join(basis.species)}; {len(basis)} features, order {basis.order}; {self.embedding!r})"
        )

    @classmethod
    def fit(
        cls,
        structures: Iterable[Atoms] | LabeledSet,
        basis: ACEBasis | None = None,
        *,
        embedding: Embedding | str = "finnis-sinclair",
        seeds: Sequence[int] = (0,),
        steps: int = 40,
        uncertainty: bool = True,
        calibrate_by: str | Sequence[str] | None = "structure",
        checkpoint: str | os.PathLike[str] | None = None,
        num_threads: int | None = None,
        progress: bool | None = None,
        verbose: bool = True,
        **options: Any,
    ) -> EmbeddedACE:
        """Fit a linear potential, then train all densities from there.

        A fifth of the structures, of each group, is left out while the densities are trained, and decides which start
        and regularization is taken, and when to stop. If what is left out gains nothing, the linear potential is
        returned, in this form.

        Parameters
        ----------
        structures, basis, uncertainty, calibrate_by, num_threads, progress, verbose
            As for `LinearACE.fit`. Standard deviations are those of the potential linearized in its coefficients.
        embedding : Embedding or str
            "finnis-sinclair", "smooth-root", "even", "polynomial", "tanh", or an object, see
            `acepure.models.embedding`.
        seeds : sequence of int
            A start each. Densities start as the energy of each atom in the linear potential; those of seeds other than
            0, and all for more than two densities, are half random.
        steps : int
            At most, for the best start. A step costs about a quarter of a linear fit.
        checkpoint : str or os.PathLike, optional
            As for `LinearACE.fit`; each step of the training is kept too, so that a fit that was stopped goes on with
            the same bits.
        **options
            Others of `LinearACE.fit`: size, weights, E0s, prior, core, ..., keys of labels. Solvers are "auto", "blr",
            "ridge", "lsqr" and "qr"; their λ is that of all densities.

        Raises
        ------
        TypeError, ValueError
            Before any work: as `LinearACE.fit`, for no seeds, one structure, other solvers, and more than 4000 unknowns
            in the linear fit.

        Examples
        --------
        >>> from ase.build import bulk
        >>> from ase.calculators.emt import EMT
        >>> structures = [bulk("Cu", cubic=True) for _ in range(5)]
        >>> for seed, atoms in enumerate(structures):
        ...     atoms.rattle(0.1, seed=seed)
        ...     atoms.calc = EMT()
        ...     energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        >>> model = EmbeddedACE.fit(structures, ACEBasis(["Cu"], order=2, totaldegree=4), steps=3, verbose=False)
        >>> model.coefficients.shape[:2]
        (2, 1)
        """
        from acepure.fitting.calibration import calibrate_fit
        from acepure.fitting.checkpoints import Checkpoints
        from acepure.fitting.fit import fit_coefficients, labeled_data
        from acepure.fitting.leave_out import group_names
        from acepure.fitting.recipe_cost import log_result
        from acepure.fitting.train_embedded import check_training, train_from

        embedding = resolve_embedding(embedding)
        seeds, steps = _checked_seeds(seeds), count("steps", steps, least=0)
        keys = {name: options.pop(name) for name in list(options) if name.endswith("_key") or name == "prefix"}
        labeled = labeled_data(structures, **keys)
        check_training(labeled, basis, options)
        if calibrate_by is not None:
            group_names(labeled, calibrate_by)  # raises before any work
        work = {"workers": options.get("workers", 1), "num_threads": num_threads, "progress": progress}
        checkpoints = Checkpoints(checkpoint, () if checkpoint is None else labeled)
        with shown(sys.stdout, verbose):
            result = fit_coefficients(labeled, basis, checkpoints=checkpoints, **{**options, **work})
            trained = train_from(
                result, labeled, embedding, seeds, steps, uncertainty=uncertainty, checkpoints=checkpoints, **work
            )
            given = {**result.of_model(), "report": trained.report, "posterior": trained.posterior}
            model = cls(coefficients=trained.coefficients, embedding=embedding, **given)
            if model.posterior is not None and calibrate_by is not None and trained.noise > 0:
                found = calibrate_fit(model, labeled, calibrate_by, num_threads, progress, checkpoints)
                model = model.calibrated_by(found)
            log_result(model, labeled, **work)
        return model

    def evaluate(
        self, atoms: Atoms, *, neighbors: NeighborList | None = None, num_threads: int | None = None
    ) -> EnergyAndForces:
        """Return energies (eV), forces (eV/Å) and the virial (eV); arguments as for `LinearACE.evaluate`."""
        environments = self._environments(atoms, neighbors, num_threads)
        return self._completed(environments, self.function.evaluate(environments), self._constants)

    def densities(self, atoms: Atoms, *, num_threads: int | None = None) -> np.ndarray:
        """Return ρ_ip, shape (n_atoms, n_densities)."""
        rho = self.function.densities.evaluate(atoms, num_threads=num_threads)
        return np.asarray(rho - self.function.at_rest[self.basis.species_indices(atoms)])

    def _linearized(self, environments: Environments) -> Linearized:
        return self.function.linearized(environments)

    def _spread(self, environments: Environments) -> np.ndarray:
        return self.function.spread(environments, dense_root(self._root()))

    def _with_coefficients(self, coefficients: np.ndarray) -> EmbeddedACE:
        known: dict[str, Any] = {"shortest": self.shortest_distances, "surroundings": self.surroundings}
        return EmbeddedACE(self.basis, coefficients, self.embedding, self.E0s, core=self.core, **known)

    def energies_by_feature(self, features: np.ndarray, species: np.ndarray) -> np.ndarray:
        """Return what each feature adds to the energies of atoms, to first order, in eV, see `FittedPotential`."""
        theta = self.coefficients[:, species]
        beyond = features - self.function.vacuum[species]
        slopes = self.embedding.gradient(np.einsum("pik,ik->ip", theta, beyond))
        return np.einsum("ip,pik->ik", slopes, theta) * beyond

    def _embedding(self) -> Embedding:
        return self.embedding

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one file of the format safetensors, exact."""
        arrays = {"coefficients": self.coefficients, **posterior_arrays(self.posterior)}
        write_model(path, EMBEDDED, self._entries(), arrays)

    def _entries(self) -> dict[str, Any]:
        return {**super()._entries(), "embedding": self.embedding.to_dict()}

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> EmbeddedACE:
        """Read what `save` wrote.

        Raises
        ------
        FileNotFoundError
        ModelFileError
            For a file that is damaged, of another kind, or newer than this version understands.
        """
        entries, arrays = read_model(path, EMBEDDED)
        theta, root = arrays["coefficients"], arrays.get("posterior")

        def make(basis: ACEBasis, given: dict[str, Any]) -> EmbeddedACE:
            return cls(basis, theta, Embedding.from_dict(entries["embedding"]), posterior=root, **given)

        return cls._restored(path, entries, make)


def _checked_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """Return seeds of at least one start."""
    if isinstance(seeds, str) or not isinstance(seeds, Sequence):
        raise TypeError(f"seeds must be a sequence of integers >= 0; got {seeds!r} of type {type(seeds).__name__}")
    if not seeds:
        raise ValueError(f"seeds must hold at least one integer >= 0; got {seeds!r}")
    return tuple(count("each of seeds", seed, least=0) for seed in seeds)
