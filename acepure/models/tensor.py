"""TensorModel: vectors and 3 × 3 tensors, such as dipoles, that are linear in equivariant features."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike

from acepure._utils.messages import shown
from acepure._utils.read_only import read_only, read_only_array
from acepure._utils.workers import Workers
from acepure.errors import ModelFileError
from acepure.features.basis import ACEBasis, check_basis
from acepure.features.tensor_function import TensorFunction
from acepure.functions.cartesian import RANKS, resolve_rank, to_cartesian
from acepure.models.arguments import checked_report
from acepure.models.calibration import Reported
from acepure.models.files import TENSOR, read_model, write_model
from acepure.neighbors.environments import Environments
from acepure.neighbors.lists import NeighborList
from acepure.references import Reference

if TYPE_CHECKING:  # the model knows neither its fitter nor its calculator, which are loaded where they are called
    from ase.calculators.calculator import BaseCalculator

    from acepure.fitting.deviations import Deviations
    from acepure.fitting.priors import SmoothnessPrior
    from acepure.fitting.tensor_errors import TensorErrors
    from acepure.fitting.tensor_labels import TensorSet
    from acepure.interfaces.dipole import DipoleCalculator

__all__ = ["TensorModel", "TensorPrediction"]


#: Arguments of `TensorModel.fit` that are those of the fit of each irrep.
_OF_FITS = ("reference", "weights", "prior", "solver", "options", "workers", "num_threads", "progress")


@dataclass(frozen=True, eq=False)
class TensorPrediction:
    """Values of a target.

    Attributes
    ----------
    atoms : numpy.ndarray, shape (n_atoms, ...)
        What each atom contributes, or has; Cartesian.
    """

    atoms: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """The sum over the atoms, shape (...)."""
        return np.asarray(self.atoms.sum(axis=0))


class TensorModel(Reported):
    """A vector or tensor of a structure or of its atoms, linear in features of the same symmetry.

        T^{LM} = Σ_i T_i^{LM},      T_i^{LM} = c(z_i) δ_L0 + Σ_k θ_{z_i k} B_k^{LM}(i),

    one such sum for every irrep of the target. It turns with the structure exactly.

    Parameters
    ----------
    bases : sequence of ACEBasis
        One for each irrep of the rank, in the order of `acepure.functions.cartesian.RANKS`; of equal radial functions.
    coefficients : sequence of array_like, shape (n_species, n_features)
        θ of each, in units of the target.
    rank : str
        "vector", "symmetric", "matrix", ..., as for `to_cartesian`.
    per : {"structure", "atom"}, optional
        Whether the target belongs to structures, as a sum over atoms, or to atoms.
    constants : array_like, shape (n_species,), optional
        c, of scalars.
    target, unit : str, optional
        Key of the labels, and their unit, in words.
    origin : str, optional
        About which point dipoles of charged structures are, in words.
    posteriors : sequence of array_like, shape (n_species, n_constants + n_features, any), optional
        S of each irrep, constants first: their covariance is S Sᵀ. Needed for standard deviations.
    report : mapping, optional
        What is known of the fit: JSON types.

    Examples
    --------
    >>> import numpy as np
    >>> from ase.build import molecule
    >>> from acepure import ACEBasis, TensorModel
    >>> basis = ACEBasis(["H", "O"], order=2, totaldegree=3, L=1)
    >>> model = TensorModel([basis], [np.ones((2, len(basis)))], "vector")
    >>> model.predict(molecule("H2O")).total.shape
    (3,)
    """

    def __init__(
        self,
        bases: Sequence[ACEBasis],
        coefficients: Sequence[ArrayLike],
        rank: str,
        *,
        per: str = "structure",
        constants: ArrayLike | None = None,
        target: str = "",
        unit: str = "",
        origin: str | None = None,
        posteriors: Sequence[ArrayLike] | None = None,
        report: Mapping[str, Any] | None = None,
    ) -> None:
        self.rank = resolve_rank(rank)
        if per not in ("structure", "atom"):
            raise ValueError(f'per must be "structure" or "atom"; got {per!r}')
        self.per = per
        bases = tuple(bases)
        for basis in bases:
            check_basis(basis, tensors=True)
        if tuple(basis.irrep for basis in bases) != RANKS[self.rank] or len({basis.species for basis in bases}) > 1:
            raise ValueError(
                f"bases of rank {self.rank!r} must be one each of {', '.join(RANKS[self.rank])} for the same species; "
                f"got {', '.join(f'{b.irrep} for {b.species}' for b in bases) or 'none'}"
            )
        for name, text in (("target", target), ("unit", unit), ("origin", origin or "")):
            if not isinstance(text, str):
                raise TypeError(f"{name} must be text; got {text!r}")
        self.bases, self.species, self.target, self.unit, self.origin = bases, bases[0].species, target, unit, origin
        self._function = TensorFunction(bases, coefficients)
        self.coefficients = tuple(read_only(np.array(theta, dtype=float)) for theta in coefficients)
        given = np.zeros(len(self.species)) if constants is None else constants
        self.constants = read_only_array("constants", given, (len(self.species),))
        if self.constants.any() and "0e" not in RANKS[self.rank]:
            raise ValueError(f"constants belong to scalars; rank {self.rank!r} has none")
        self.posteriors = None if posteriors is None else _checked_posteriors(bases, posteriors)
        self._report = checked_report(report)
        _ = self.calibration  # raises for one that is damaged

    @classmethod
    def fit(
        cls,
        structures: Iterable[Atoms] | TensorSet,
        basis: ACEBasis,
        *,
        target: str | None = None,
        rank: str = "vector",
        per: str = "structure",
        derivatives: str | None = None,
        origin: str | None = None,
        unit: str = "",
        config_type_key: str | None = "config_type",
        reference: Reference | str | None = None,
        weights: Any = None,
        prior: SmoothnessPrior | str | None = "algebraic",
        solver: str = "auto",
        options: Mapping[str, float] | None = None,
        uncertainty: bool = True,
        calibrate_by: str | Sequence[str] | None = "structure",
        workers: Workers = 1,
        num_threads: int | None = None,
        progress: bool | None = None,
        verbose: bool = False,
    ) -> TensorModel:
        """Fit a target, each irrep on its own.

        Parameters
        ----------
        structures : iterable of ase.Atoms, or TensorSet
            `StructureFiles` are not held in memory but read for every pass.
        basis : ACEBasis
            Of any irrep; the same radial functions and limits serve every irrep of the target.
        target : str
            Key of the labels in `info`, `arrays` or the results of a calculator, where ASE puts `dipole`. Matrices may
            be flat, row by row. Any unit: predictions are in the same.
        rank : str
            "scalar", "vector", "pseudovector", "symmetric", "antisymmetric" or "matrix".
        per : {"structure", "atom"}
        derivatives : str, optional
            Key of ∂T/∂r_kb, shape (n_atoms, 3, ...), the displacement first: Born effective charges of a dipole. They
            are fitted where they are given, with the target or without.
        origin : str, optional
            About which point the dipoles of charged structures are, such as "center of mass"; it must move with the
            atoms. Kept with the model.
        unit : str, optional
            Of the target, for tables.
        config_type_key : str, optional
            Key of groups in `info`, for weights and tables.
        reference : Reference, "density" or None
            The coordinates of the fit, as for `LinearACE.fit`.
        weights : optional
            One number; two, of values and derivatives (per unit and Å per unit); or a mapping of groups to these.
        prior, solver, options
            As for `LinearACE.fit`.
        uncertainty : bool
            Keep the posterior, for standard deviations.
        calibrate_by : str, sequence of str, or None
            As for `LinearACE.fit`: how structures are left out to calibrate standard deviations.
        workers, num_threads, progress
            As elsewhere; the result does not depend on them.
        verbose : bool
            Show what was found and what is done; it goes to the logger "acepure" either way.

        Returns
        -------
        TensorModel

        Raises
        ------
        TypeError, ValueError
            For wrong arguments, labels that are missing, contradictory or of another shape, and what is not defined:
            dipoles of periodic structures, known up to a quantum alone; those of charged ones (`info["charge"]`)
            without an origin; Born effective charges that do not sum to zero.

        Examples
        --------
        >>> import numpy as np
        >>> from ase.build import molecule
        >>> from acepure import ACEBasis, TensorModel
        >>> structures = [molecule("H2O") for _ in range(20)]
        >>> for seed, atoms in enumerate(structures):
        ...     atoms.rattle(0.05, seed=seed)
        ...     atoms.info["mu"] = np.array([-0.8, 0.4, 0.4]) @ atoms.positions
        >>> model = TensorModel.fit(structures, ACEBasis(["H", "O"], order=2, totaldegree=5), target="mu")
        >>> model.errors(structures).relative["1o"] < 1e-2
        True
        """
        passed = {name: value for name, value in locals().items() if name in _OF_FITS}
        from acepure.fitting.calibration import calibration_by
        from acepure.fitting.leave_out import group_names
        from acepure.fitting.tensor_labels import Target, TensorSet, label_tensors
        from acepure.fitting.tensors import fit_tensor, leave_out_tensors

        if isinstance(structures, TensorSet):
            wanted = structures.target
        elif target is None:
            raise TypeError("target is needed: the key of the labels")
        else:
            wanted = Target(target, rank, per, derivatives, origin, config_type_key)
        labeled = label_tensors(structures, wanted)
        if calibrate_by is not None:
            group_names(labeled, calibrate_by)  # raises before any work
        work: dict[str, Any] = {"num_threads": num_threads, "progress": progress}
        with shown(sys.stdout, verbose):
            result = fit_tensor(labeled, basis, **passed)
            model = cls(
                result.bases,
                result.coefficients,
                wanted.rank,
                per=wanted.per,
                constants=result.constants if "0e" in RANKS[wanted.rank] else None,
                target=wanted.key,
                unit=unit,
                origin=wanted.origin,
                posteriors=result.posteriors if uncertainty else None,
                report=result.report,
            )
            if uncertainty and calibrate_by is not None and any(result.report["regression"]["noise"].values()):
                leave = partial(leave_out_tensors, model, labeled, **work)
                model = model.calibrated_by(calibration_by(leave, len(labeled), calibrate_by))
        return model

    # --- values -------------------------------------------------------------------------------------------

    def predict(
        self, atoms: Atoms, *, neighbors: NeighborList | None = None, num_threads: int | None = None
    ) -> TensorPrediction:
        """Return the target of each atom and, as `total`, of the structure; Cartesian, in units of the fit.

        Of the dipole of a periodic structure, differences along a path are defined, and the total up to a constant.

        Parameters
        ----------
        atoms : ase.Atoms
        neighbors : NeighborList, optional
            From `ACEBasis.neighbor_list` of the same structure.
        num_threads : int, optional
        """
        values = self.components(atoms, neighbors=neighbors, num_threads=num_threads)
        return TensorPrediction(to_cartesian(values, self.rank))

    def components(
        self, atoms: Atoms, *, neighbors: NeighborList | None = None, num_threads: int | None = None
    ) -> np.ndarray:
        """Return the target of each atom as spherical components, shape (n_atoms, n_components)."""
        environments = Environments(self.bases[0], atoms, neighbors=neighbors, num_threads=num_threads)
        values = self._function.evaluate_environments(environments)
        if self.constants.any():
            values[:, 0] += self.constants[environments.center_species]
        return values

    def derivatives(self, atoms: Atoms, *, num_threads: int | None = None) -> np.ndarray:
        """Return ∂total/∂r_kb, shape (n_atoms, 3, ...), per Å.

        Of a dipole these are the Born effective charges, [k, b, a] = ∂μ_a/∂r_kb. They sum to zero over the atoms.

        Parameters
        ----------
        atoms : ase.Atoms
        num_threads : int, optional
        """
        return to_cartesian(self.derivative_components(atoms, num_threads=num_threads), self.rank)

    def derivative_components(self, atoms: Atoms, *, num_threads: int | None = None) -> np.ndarray:
        """Return the derivatives of spherical components, shape (n_atoms, 3, n_components)."""
        return self._function.gradients(atoms, num_threads=num_threads).positions

    def calculator(self, others: BaseCalculator | None = None, **arguments: Any) -> DipoleCalculator:
        """Return an ASE calculator of the dipole, and of what `others` computes; arguments as `DipoleCalculator`."""
        from acepure.interfaces.dipole import DipoleCalculator

        return DipoleCalculator(self, others, **arguments)

    def errors(
        self,
        structures: Iterable[Atoms] | TensorSet,
        target: str | None = None,
        *,
        derivatives: str | None = None,
        config_type_key: str | None = "config_type",
        workers: Workers = 1,
        num_threads: int | None = None,
        progress: bool | None = None,
    ) -> TensorErrors:
        """Compare with the labels of structures. Printed, a table of errors by irrep and Cartesian component.

        Parameters
        ----------
        structures : iterable of ase.Atoms, or TensorSet
        target : str, optional
            Key of the labels; default that of the fit.
        derivatives, config_type_key, workers, num_threads, progress
            As in `fit`.
        """
        from acepure.fitting.tensor_errors import evaluate_tensor_errors
        from acepure.fitting.tensor_labels import Target, label_tensors

        wanted = Target(target or self.target, self.rank, self.per, derivatives, self.origin, config_type_key)
        model = copy(self)
        vars(model)["posteriors"] = None  # large, and of no use to workers
        labeled = label_tensors(structures, wanted)
        work: dict[str, Any] = {"workers": workers, "num_threads": num_threads, "progress": progress}
        return evaluate_tensor_errors(model, labeled, self.rank, self.unit, **work)

    # --- standard deviations ------------------------------------------------------------------------------

    def standard_deviations(
        self, atoms: Atoms, *, calibrated: bool = True, num_threads: int | None = None
    ) -> dict[str, np.ndarray]:
        """Return σ of each spherical component of each irrep, one for all M, in units of the target.

        Parameters
        ----------
        atoms : ase.Atoms
        calibrated : bool
            By structures left out of the fit; False for the posterior alone, which is too small several times over.
        num_threads : int, optional

        Returns
        -------
        dict
            Irrep → array of shape (1,) of a target per structure, (n_atoms,) per atom. Components are orthonormal:
            σ of a component of a vector is that of x, y and z alike.

        Raises
        ------
        ValueError
            For a model without posterior.
        """
        from acepure.fitting.tensor_design import TensorDesign
        from acepure.fitting.tensor_labels import Target

        if self.posteriors is None:
            raise ValueError("the model has no posterior; fit it with uncertainty=True")
        target, laws, result = Target(self.target, self.rank, self.per), self.calibration, {}
        for basis, posterior in zip(self.bases, self.posteriors):
            design = TensorDesign(basis, target, {}, np.zeros(len(self.species)))
            rows = design.value_rows(Environments(basis, atoms, num_threads=num_threads))
            variances = np.square(rows @ posterior.reshape(rows.shape[1], -1)).sum(axis=1)
            sigmas = np.sqrt(variances.reshape(-1, 2 * basis.L + 1).mean(axis=1))
            if laws is not None and calibrated:
                sigmas = laws.sigma(basis.irrep, sigmas, len(atoms) if self.per == "structure" else 1)
            result[basis.irrep] = sigmas
        return result

    def leave_out(
        self,
        structures: Iterable[Atoms] | TensorSet,
        *,
        by: str | Sequence[str] = "structure",
        derivatives: str | None = None,
        num_threads: int | None = None,
        progress: bool | None = None,
    ) -> dict[str, Deviations]:
        """Predict each structure of the fit by a fit without it, in closed form, see `LinearACE.leave_out`.

        Parameters
        ----------
        structures : iterable of ase.Atoms, or TensorSet
            Those of the fit, with the same labels.
        by : str
            "structure"; or what is left out together: "config_type", or a name in `atoms.info`.
        derivatives, num_threads, progress
            As for `fit`.

        Returns
        -------
        dict
            Irrep → `Deviations` of its spherical components.
        """
        from acepure.fitting.tensor_labels import Target, label_tensors
        from acepure.fitting.tensors import leave_out_tensors

        labeled = label_tensors(structures, Target(self.target, self.rank, self.per, derivatives, self.origin))
        return leave_out_tensors(self, labeled, by=by, num_threads=num_threads, progress=progress)

    # --- files --------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one file of the format safetensors, exact."""
        arrays = {"coefficients": np.concatenate(self.coefficients, axis=1), "constants": self.constants}
        for basis, posterior in zip(self.bases, self.posteriors or ()):
            arrays[f"posterior {basis.irrep}"] = posterior
        write_model(path, TENSOR, self._entries(), arrays)

    def _entries(self) -> dict[str, Any]:
        """Return what is no array as JSON types."""
        names = ("rank", "per", "target", "unit", "origin", "report")
        return {"bases": [basis.to_dict() for basis in self.bases], **{name: getattr(self, name) for name in names}}

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TensorModel:
        """Read a model that `save` wrote.

        Raises
        ------
        FileNotFoundError
        ModelFileError
            For a file that is damaged, of another kind, or newer than this version understands.
        """
        entries, arrays = read_model(path, TENSOR)
        try:
            bases = [ACEBasis.from_dict(basis) for basis in entries["bases"]]
            edges = np.cumsum([len(basis) for basis in bases])
            if arrays["coefficients"].shape[1] != edges[-1]:
                raise ValueError(f"coefficients are not those of {edges[-1]} features")
            posteriors = [arrays[name] for basis in bases if (name := f"posterior {basis.irrep}") in arrays]
            model = cls(
                bases,
                np.split(arrays["coefficients"], edges[:-1], axis=1),
                entries["rank"],
                constants=arrays["constants"],
                posteriors=posteriors or None,
                **{name: entries[name] for name in ("per", "target", "unit", "origin", "report")},
            )
            if model._entries() != entries or len(arrays) != 2 + len(posteriors):
                raise ValueError("it says more or less than a model needs")
        except (IndexError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ModelFileError(f"{os.fspath(path)!r} holds no usable model: {error}") from error
        return model

    def __repr__(self) -> str:
        sizes = " + ".join(f"{len(basis)} of {basis.irrep}" for basis in self.bases)
        return f"TensorModel({self.rank} per {self.per}, {', '.join(self.species)}: {sizes} features)"


def _checked_posteriors(bases: Sequence[ACEBasis], posteriors: Sequence[ArrayLike]) -> tuple[np.ndarray, ...]:
    if len(posteriors) != len(bases):
        raise ValueError(f"posteriors must be {len(bases)} arrays, one for each basis; got {len(posteriors)}")
    return tuple(
        read_only_array(f"posteriors[{k}]", root, (len(basis.species), int(basis.irrep == "0e") + len(basis), None))
        for k, (basis, root) in enumerate(zip(bases, posteriors))
    )
