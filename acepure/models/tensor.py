"""TensorModel: vectors and 3 × 3 tensors, such as dipoles, that are linear in equivariant features."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from acepure._utils.checks import real_array
from acepure.features.basis import ACEBasis, check_basis
from acepure.features.derivatives import pullback
from acepure.functions.cartesian import RANKS, resolve_rank, to_cartesian
from acepure.structures.gate import structure_list

if TYPE_CHECKING:  # the model does not know its fitter, which is loaded where it is called
    from acepure.fitting.priors import SmoothnessPrior

__all__ = ["TensorErrors", "TensorModel", "TensorPrediction"]


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


@dataclass(frozen=True)
class TensorErrors:
    """Errors of components, by irrep.

    Attributes
    ----------
    rmse : dict
        Root mean square error of a component, in units of the target.
    spread : dict
        Root mean square deviation of a component from its mean over the structures.
    """

    rmse: dict[str, float]
    spread: dict[str, float]

    @property
    def relative(self) -> dict[str, float]:
        """Errors over spreads; NaN where there is no spread."""
        return {name: self.rmse[name] / self.spread[name] if self.spread[name] else np.nan for name in self.rmse}

    def __str__(self) -> str:
        lines = [f"{'irrep':<6}{'RMSE':>12}{'spread':>12}{'RMSE/spread':>14}"]
        lines += [f"{n:<6}{self.rmse[n]:>12.3e}{self.spread[n]:>12.3e}{self.relative[n]:>13.3%}" for n in self.rmse]
        return "\n".join(lines)


class TensorModel:
    """A vector or tensor of a structure or of its atoms, linear in features of the same symmetry.

        T^{LM} = Σ_i T_i^{LM},      T_i^{LM} = c(z_i) δ_L0 + Σ_k θ_{z_i k} B_k^{LM}(i),

    one such sum for every irrep of the target. It turns with the structure exactly.

    Parameters
    ----------
    bases : sequence of ACEBasis
        One for each irrep of the rank, in the order of `acepure.functions.cartesian.RANKS`.
    coefficients : sequence of array_like, shape (n_species, n_features)
        θ of each.
    rank : str
        "vector", "symmetric", "matrix", ..., as for `to_cartesian`.
    per : {"structure", "atom"}, optional
        Whether the target belongs to structures, as a sum over atoms, or to atoms.
    constants : array_like, shape (n_species,), optional
        c, of scalars.
    summary : sequence of str, optional
        What is known of the fit.

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
        coefficients: Sequence[Any],
        rank: str,
        *,
        per: str = "structure",
        constants: Any = None,
        summary: Sequence[str] = (),
    ) -> None:
        self.rank, self.per = resolve_rank(rank), _checked_per(per)
        bases = tuple(bases)
        for basis in bases:
            check_basis(basis, tensors=True)
        if tuple(basis.irrep for basis in bases) != RANKS[self.rank] or len({basis.species for basis in bases}) > 1:
            raise ValueError(
                f"bases of rank {self.rank!r} must be one each of {', '.join(RANKS[self.rank])} for the same species; "
                f"got {', '.join(f'{b.irrep} for {b.species}' for b in bases) or 'none'}"
            )
        if len(coefficients) != len(bases):
            raise ValueError(f"coefficients must be {len(bases)} arrays, one for each basis; got {len(coefficients)}")
        self.bases = bases
        self.species = bases[0].species
        self.coefficients = tuple(
            real_array(f"coefficients[{k}]", theta, (len(self.species), len(basis)))
            for k, (basis, theta) in enumerate(zip(bases, coefficients))
        )
        c = np.zeros(len(self.species)) if constants is None else constants
        self.constants = real_array("constants", c, (len(self.species),))
        self.summary = tuple(summary)
        if self.constants.any() and "0e" not in RANKS[self.rank]:
            raise ValueError(f"constants belong to scalars; rank {self.rank!r} has none")

    @classmethod
    def fit(
        cls,
        structures: Iterable[Atoms],
        basis: ACEBasis,
        *,
        target: str,
        rank: str = "vector",
        per: str = "structure",
        prior: SmoothnessPrior | str | None = "algebraic",
        solver: str = "auto",
        options: Mapping[str, float] | None = None,
        num_threads: int | None = None,
    ) -> TensorModel:
        """Fit a target, each irrep on its own.

        Parameters
        ----------
        structures : iterable of ase.Atoms
        basis : ACEBasis
            Of any irrep; the same radial functions and limits serve every irrep of the target.
        target : str
            Key of the labels in `info`, `arrays` or the results of a calculator, where ASE puts `dipole`. Matrices may
            be flat, row by row. Any unit: predictions are in the same.
        rank : str
            "scalar", "vector", "pseudovector", "symmetric", "antisymmetric" or "matrix".
        per : {"structure", "atom"}
        prior, solver, options
            As for `LinearACE.fit`.
        num_threads : int, optional

        Returns
        -------
        TensorModel

        Raises
        ------
        TypeError, ValueError
            For wrong arguments, labels that are missing or of another shape, and vectors of periodic structures: their
            polarization is defined up to a quantum alone.

        Notes
        -----
        The dipole of a charged molecule depends on the origin, while features do not; take it about a point that
        moves with the molecule.

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
        >>> model.errors(structures, "mu").relative["1o"] < 1e-2
        True
        """
        from acepure.fitting.priors import resolve_prior
        from acepure.fitting.solvers import checked_options
        from acepure.fitting.tensors import components_of, fit_irrep, labels_of_target, with_irrep

        check_basis(basis, tensors=True)
        rank, per = resolve_rank(rank), _checked_per(per)
        prior, options = resolve_prior(prior), checked_options(solver, options or {})
        structures = structure_list(structures)
        if rank == "vector" and per == "structure" and any(atoms.pbc.any() for atoms in structures):
            raise ValueError(
                "structures are periodic, whose dipole is defined up to a quantum alone; for molecules in a box set "
                "atoms.pbc = False, or fit a vector per atom"
            )
        for k, atoms in enumerate(structures):
            basis.species_indices(atoms, f"structures[{k}]")
        labels = labels_of_target(structures, target, rank, per)
        bases, coefficients, summary = [], [], []
        constants = np.zeros(len(basis.species))
        for irrep, columns in components_of(rank).items():
            part = with_irrep(basis, irrep)
            values = [label[..., columns] for label in labels]
            theta, c, solution = fit_irrep(part, structures, values, per, prior, solver, options, num_threads)
            bases.append(part)
            coefficients.append(theta)
            constants += c
            summary.append(f"{irrep}: {solution.summary}")
        return cls(bases, coefficients, rank, per=per, constants=constants, summary=summary)

    # --- values -------------------------------------------------------------------------------------------

    def predict(self, atoms: Atoms, *, num_threads: int | None = None) -> TensorPrediction:
        """Return the target of each atom and, as `total`, of the structure; Cartesian, in units of the fit.

        Parameters
        ----------
        atoms : ase.Atoms
        num_threads : int, optional
        """
        return TensorPrediction(to_cartesian(self._components(atoms, num_threads), self.rank))

    def _components(self, atoms: Atoms, num_threads: int | None = None) -> np.ndarray:
        species = self.bases[0].species_indices(atoms)
        parts = []
        for basis, theta in zip(self.bases, self.coefficients):
            features = basis.descriptors(atoms, num_threads=num_threads).reshape(len(atoms), len(basis), -1)
            part = np.einsum("if,ifm->im", theta[species], features)
            parts.append(part + self.constants[species, None] if basis.irrep == "0e" else part)
        return np.concatenate(parts, axis=1)

    def derivatives(self, atoms: Atoms, *, num_threads: int | None = None) -> np.ndarray:
        """Return ∂total/∂r_kb, shape (n_atoms, 3, ...), per Å.

        Of a dipole these are the Born effective charges, [k, b, a] = ∂μ_a/∂r_kb. They sum to zero over the atoms.

        Parameters
        ----------
        atoms : ase.Atoms
        num_threads : int, optional
        """
        species = self.bases[0].species_indices(atoms)
        moved = []
        for basis, theta in zip(self.bases, self.coefficients):
            neighbors = basis.neighbor_list(atoms, num_threads=num_threads)
            for M in range(2 * basis.L + 1):
                cotangents = np.zeros((len(atoms), len(basis), 2 * basis.L + 1))
                cotangents[:, :, M] = theta[species]
                shaped = cotangents.reshape(len(atoms), *basis.feature_shape)
                moved.append(pullback(basis, atoms, shaped, neighbors=neighbors, num_threads=num_threads)[0])
        return to_cartesian(np.stack(moved, axis=-1), self.rank)

    def errors(self, structures: Iterable[Atoms], target: str, *, num_threads: int | None = None) -> TensorErrors:
        """Return errors against labels, by irrep.

        Parameters
        ----------
        structures : iterable of ase.Atoms
        target : str
            Key of the labels, as in `fit`.
        num_threads : int, optional
        """
        from acepure.fitting.tensors import components_of, labels_of_target

        structures = structure_list(structures)
        labels = np.concatenate([np.atleast_2d(x) for x in labels_of_target(structures, target, self.rank, self.per)])
        values = [self._components(atoms, num_threads) for atoms in structures]
        values = values if self.per == "atom" else [v.sum(axis=0, keepdims=True) for v in values]
        difference = np.concatenate(values) - labels
        rmse, spread = {}, {}
        for irrep, columns in components_of(self.rank).items():
            rmse[irrep] = float(np.sqrt(np.mean(difference[:, columns] ** 2)))
            spread[irrep] = float(np.sqrt(np.mean(labels[:, columns].var(axis=0))))
        return TensorErrors(rmse, spread)

    def __repr__(self) -> str:
        sizes = " + ".join(f"{len(basis)} of {basis.irrep}" for basis in self.bases)
        return f"TensorModel({self.rank} per {self.per}, {', '.join(self.species)}: {sizes} features)"


def _checked_per(per: str) -> str:
    if per not in ("structure", "atom"):
        raise ValueError(f'per must be "structure" or "atom"; got {per!r}')
    return per
