"""EmbeddedACE: nonlinear site energies, E = Σ_i [E0(z_i) + F(ρ_i1, ..., ρ_iP)] + core, densities linear in features."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike

from acepure._utils.checks import real_array
from acepure._utils.messages import shown
from acepure.features.basis import ACEBasis, check_basis
from acepure.features.linear import EnergyAndForces, LinearFunction, features_of_isolated_atoms
from acepure.models.coverage import Surroundings
from acepure.models.embedding import Embedding, resolve_embedding
from acepure.models.files import EMBEDDED, read_model, write_model
from acepure.models.potential import FittedPotential
from acepure.models.repulsion import PairCore
from acepure.neighbors.lists import NeighborList

if TYPE_CHECKING:  # the model does not know its fitter, which is loaded where it is called
    from acepure.fitting.labeled import LabeledSet

_log = logging.getLogger(__name__)

__all__ = ["EmbeddedACE"]


class EmbeddedACE(FittedPotential):
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
        shortest: Mapping[tuple[str, str], float] | None = None,
        surroundings: Surroundings | None = None,
        report: Mapping[str, Any] | None = None,
    ) -> None:
        check_basis(basis)
        self.embedding = resolve_embedding(embedding)
        shape = (self.embedding.n_densities, len(basis.species), len(basis))
        self._function = LinearFunction(basis, real_array("coefficients", coefficients, shape))
        self.coefficients = self._function.coefficients
        self._set(basis, E0s, core, shortest, surroundings, report)
        self._constants = np.array([self._E0s[s] for s in basis.species])
        self._at_rest = np.einsum("pzk,zk->zp", self.coefficients, features_of_isolated_atoms(basis))

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
        steps: int = 12,
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
        structures, basis, checkpoint, num_threads, progress, verbose
            As for `LinearACE.fit`; a checkpoint holds the stages of the linear fit.
        embedding : Embedding or str
            "finnis-sinclair", "smooth-root", "even", "polynomial", "tanh", or an object, see
            `acepure.models.embedding`.
        seeds : sequence of int
            A random start each.
        steps : int
            Passes over the structures that make rows, at most, for the best start; each takes about two linear fits.
        **options
            Others of `LinearACE.fit`: size, weights, E0s, prior, core, ..., keys of labels.

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
        from acepure.fitting.checkpoints import Checkpoints
        from acepure.fitting.design import Design
        from acepure.fitting.fit import fit_coefficients, labeled_data
        from acepure.fitting.train_embedded import train
        from acepure.fitting.weights import resolve_weights

        embedding = resolve_embedding(embedding)
        keys = {name: options.pop(name) for name in list(options) if name.endswith("_key") or name == "prefix"}
        labeled = labeled_data(structures, **keys)
        if len(labeled) < 2:
            raise ValueError("structures must be at least two: training leaves some out to know when to stop; got 1")
        work = {"workers": options.get("workers", 1), "num_threads": num_threads, "progress": progress}
        with shown(sys.stdout, verbose):
            checkpoints = Checkpoints(checkpoint, () if checkpoint is None else labeled)
            result = fit_coefficients(labeled, basis, checkpoints=checkpoints, **{**options, **work})
            if result.coordinates is None:
                raise ValueError('embedded potentials start from a solver with a triangle, not from "cholesky"')
            design = Design(result.basis, resolve_weights(result.choices["weights"]), result.E0s, result.core)
            T = result.coordinates.feature_rows()
            trained = train(design, labeled, embedding, T, result.lam, seeds=seeds, steps=steps, **work)
            report = {**result.report, "summary": [*result.summary, *trained.summary]}
            given = {**result.of_model(), "report": report}
            model = cls(coefficients=trained.coefficients, embedding=embedding, **given)
            if _log.isEnabledFor(logging.INFO):
                _log.info(f"errors on the structures of the fit\n{model.errors(labeled, **work)}")
        return model

    def evaluate(
        self, atoms: Atoms, *, neighbors: NeighborList | None = None, num_threads: int | None = None
    ) -> EnergyAndForces:
        """Return energies (eV), forces (eV/Å) and the virial (eV); arguments as for `LinearACE.evaluate`."""
        environments = self._environments(atoms, neighbors, num_threads)
        F, at_rest = self.embedding, self._at_rest
        result = self._function.evaluate_environments(
            environments, lambda rho, z: (F.value(rho - at_rest[z]), F.gradient(rho - at_rest[z]))
        )
        return self._completed(environments, result, self._constants)

    def densities(self, atoms: Atoms, *, num_threads: int | None = None) -> np.ndarray:
        """Return ρ_ip, shape (n_atoms, n_densities)."""
        rho = self._function.evaluate(atoms, num_threads=num_threads)
        return np.asarray(rho - self._at_rest[self.basis.species_indices(atoms)])

    def energies_by_feature(self, features: np.ndarray, species: np.ndarray) -> np.ndarray:
        """Return what each feature adds to the energies of atoms, to first order, in eV, see `FittedPotential`."""
        theta = self.coefficients[:, species]
        beyond = features - features_of_isolated_atoms(self.basis)[species]
        slopes = self.embedding.gradient(np.einsum("pik,ik->ip", theta, beyond))
        return np.einsum("ip,pik->ik", slopes, theta) * beyond

    def _embedding(self) -> Embedding:
        return self.embedding

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one file of the format safetensors, exact."""
        write_model(path, EMBEDDED, self._entries(), {"coefficients": self.coefficients})

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
        return cls._restored(
            path,
            entries,
            lambda basis, given: cls(basis, arrays["coefficients"], Embedding.from_dict(entries["embedding"]), **given),
        )
