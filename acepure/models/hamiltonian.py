"""HamiltonianModel: symmetric matrices between orbitals, such as Fock and overlap matrices."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from acepure._utils.checks import check_kind
from acepure._utils.read_only import ReadOnly, read_only_array
from acepure.errors import ModelFileError
from acepure.features.basis import ACEBasis
from acepure.features.blocks import BlockBasis
from acepure.features.bonds import BondBasis
from acepure.labels.orbitals import Orbitals
from acepure.models.files import ModelSchema, read_model, write_model
from acepure.structures.gate import structure_list

if TYPE_CHECKING:  # the model does not know its fitter, which is loaded where it is called
    from acepure.fitting.priors import SmoothnessPrior

__all__ = ["BlockErrors", "HamiltonianModel"]

HAMILTONIAN = ModelSchema("Hamiltonian", ("basis", "known", "summary"), {"coefficients": np.float64})


@dataclass(frozen=True)
class BlockErrors:
    """Errors of matrix elements, in units of the target.

    Attributes
    ----------
    total : float
        Root mean square error of all elements.
    rmse, spread : dict
        Of the elements of each kind of block: the error, and the deviation from their mean over the structures.
    """

    total: float
    rmse: dict[str, float]
    spread: dict[str, float]

    def __str__(self) -> str:
        lines = [f"{'block':<14}{'RMSE':>12}{'spread':>12}"]
        lines += [f"{name:<14}{self.rmse[name]:>12.3e}{self.spread[name]:>12.3e}" for name in self.rmse]
        return "\n".join([*lines, f"{'all elements':<14}{self.total:>12.3e}"])


class HamiltonianModel(ReadOnly):
    """A symmetric matrix between orbitals on atoms, whose blocks are linear in features of atoms and of bonds.

    For shells a, b of degrees l_a, l_b,

        H_{am,bm'} = Σ_LM W_L[m, m', M] ( c δ_L0 + Σ_k θ^L_k B_k^{LM} ),

    with Clebsch–Gordan coefficients W, and B the features of the atom or of the bond between two atoms. The matrix
    turns with the structure exactly, and is symmetric by construction; see `acepure.features.blocks`.

    Parameters
    ----------
    basis : BlockBasis
    coefficients : sequence of array_like, shape (part.size,), or None
        For each part of the basis θ, after c where the part has a constant; None for what is not known.
    summary : sequence of str, optional
        What is known of the fit.

    Examples
    --------
    An overlap matrix that falls off with the distance:

    >>> import numpy as np
    >>> from ase import Atoms
    >>> from acepure import ACEBasis, BondBasis, HamiltonianModel
    >>> structures = [Atoms("H2", [(0, 0, 0), (0, 0, r)]) for r in np.linspace(0.5, 1.5, 20)]
    >>> for atoms in structures:
    ...     s = np.exp(-atoms.get_distance(0, 1) ** 2)
    ...     atoms.info["S"] = np.array([[1.0, s], [s, 1.0]])
    >>> sites, bonds = ACEBasis(["H"], order=1), BondBasis(["H"], length=4.0, order=1, totaldegree=8)
    >>> model = HamiltonianModel.fit(structures, sites, bonds, orbitals={"H": "s"}, target="S")
    >>> model.predict(structures[0]).shape, model.errors(structures, "S").total < 1e-4
    ((2, 2), True)
    """

    def __init__(self, basis: BlockBasis, coefficients: Sequence[Any], *, summary: Sequence[str] = ()) -> None:
        check_kind("basis", basis, BlockBasis)
        if len(coefficients) != len(basis.parts):
            raise ValueError(f"coefficients must be {len(basis.parts)} arrays, one per part; got {len(coefficients)}")
        self.basis = basis
        self.coefficients = tuple(
            None if theta is None else read_only_array(f"coefficients[{k}]", theta, (part.size,))
            for k, (part, theta) in enumerate(zip(basis.parts, coefficients))
        )
        self.summary = tuple(summary)

    @classmethod
    def fit(
        cls,
        structures: Iterable[Atoms],
        atoms: ACEBasis,
        bonds: BondBasis,
        *,
        orbitals: Mapping[str, Any],
        target: str,
        convention: Any = "acepure",
        prior: SmoothnessPrior | str | None = "algebraic",
        solver: str = "auto",
        options: Mapping[str, float] | None = None,
        num_threads: int | None = None,
    ) -> HamiltonianModel:
        """Fit the matrices of structures, each irrep of each kind of block on its own.

        Parameters
        ----------
        structures : iterable of ase.Atoms
            Not periodic.
        atoms : ACEBasis
            Features of the blocks on atoms, of any irrep: the same functions and limits serve all.
        bonds : BondBasis
            Features of the blocks between atoms, likewise. Atoms farther from each other than its `length` are taken to
            have no block.
        orbitals : mapping of str to str or sequence of int
            Shells of each species in the order of the matrix, {"O": "ssp", "H": "s"}.
        target : str
            Key of the matrices in `info`, shape (n_orbitals, n_orbitals), atoms one behind the other. Any unit.
        convention : str or mapping
            How a shell is ordered: "acepure", "pyscf" or matrices, as for `acepure.labels.orbitals.Orbitals`.
        prior, solver, options
            As for `LinearACE.fit`.
        num_threads : int, optional

        Returns
        -------
        HamiltonianModel

        Raises
        ------
        TypeError, ValueError
            For wrong arguments, and labels that are missing, of another shape or not symmetric.
        """
        from acepure.fitting.hamiltonians import fit_blocks, matrices_of
        from acepure.fitting.priors import resolve_prior
        from acepure.fitting.solvers import checked_options

        basis = BlockBasis(atoms, bonds, Orbitals(orbitals, convention))
        prior, options = resolve_prior(prior), checked_options(solver, options or {})
        structures = structure_list(structures)
        labels = matrices_of(structures, target, basis)
        coefficients, summary = fit_blocks(basis, structures, labels, prior, solver, options, num_threads)
        return cls(basis, coefficients, summary=summary)

    def predict(self, atoms: Atoms, *, num_threads: int | None = None) -> np.ndarray:
        """Return the matrix of a structure, shape (n_orbitals, n_orbitals), in the order and units of the fit.

        Parameters
        ----------
        atoms : ase.Atoms
        num_threads : int, optional

        Raises
        ------
        TypeError, ValueError
            For what is no structure, periodic structures, and blocks that no structure of the fit had.
        """
        layout = self.basis.layout(atoms)
        for part, theta in zip(self.basis.parts, self.coefficients):
            if theta is None and len(layout.centers(part.block)):
                raise ValueError(f"atoms has blocks {part.block}, of which no structure of the fit had one")
        matrix = np.zeros((layout.n_orbitals, layout.n_orbitals))
        known = {
            (part.block, part.irrep): theta
            for part, theta in zip(self.basis.parts, self.coefficients)
            if theta is not None
        }
        for part, features in self.basis.features(atoms, layout, num_threads=num_threads):
            if not len(features):
                continue
            components = np.einsum("nkM,k->nM", features, known[part.block, part.irrep])
            layout.scatter(matrix, part.block, np.einsum("abM,nM->nab", part.couplings, components))
        return matrix

    def errors(self, structures: Iterable[Atoms], target: str, *, num_threads: int | None = None) -> BlockErrors:
        """Return errors of matrix elements against labels.

        Parameters
        ----------
        structures : iterable of ase.Atoms
        target : str
            Key of the labels, as in `fit`.
        num_threads : int, optional
        """
        from acepure.fitting.hamiltonians import matrices_of

        structures = structure_list(structures)
        blocks = dict.fromkeys(part.block for part in self.basis.parts)
        pairs: dict[Any, list[tuple[np.ndarray, np.ndarray]]] = {block: [] for block in blocks}
        squares = n_elements = 0.0
        for atoms, label in zip(structures, matrices_of(structures, target, self.basis)):
            layout, matrix = self.basis.layout(atoms), self.predict(atoms, num_threads=num_threads)
            squares, n_elements = squares + float(np.sum((matrix - label) ** 2)), n_elements + label.size
            for block, found in pairs.items():
                found.append((layout.gather(matrix, block), layout.gather(label, block)))
        rmse, spread = {}, {}
        for block, found in pairs.items():
            values, labels = (np.concatenate(arrays) for arrays in zip(*found))
            if len(labels):
                rmse[str(block)] = float(np.sqrt(np.mean((values - labels) ** 2)))
                spread[str(block)] = float(np.sqrt(np.mean(labels.var(axis=0))))
        return BlockErrors(float(np.sqrt(squares / n_elements)), rmse, spread)

    # --- files --------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one file of the format safetensors, exact."""
        known = [theta for theta in self.coefficients if theta is not None]
        write_model(path, HAMILTONIAN, self._entries(), {"coefficients": np.concatenate([np.zeros(0), *known])})

    def _entries(self) -> dict[str, Any]:
        """Return what is no array as JSON types."""
        known = [theta is not None for theta in self.coefficients]
        return {"basis": self.basis.to_dict(), "known": known, "summary": list(self.summary)}

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> HamiltonianModel:
        """Read a model that `save` wrote.

        Raises
        ------
        FileNotFoundError
        ModelFileError
            For a file that is damaged, of another kind, or newer than this version understands.
        """
        entries, arrays = read_model(path, HAMILTONIAN)
        try:
            basis, rest = BlockBasis.from_dict(entries["basis"]), arrays["coefficients"]
            sizes = [part.size if known else 0 for part, known in zip(basis.parts, entries["known"], strict=True)]
            if rest.shape != (sum(sizes),):
                raise ValueError(f"coefficients must be {sum(sizes)} numbers; there are {rest.shape}")
            pieces = np.split(rest, np.cumsum(sizes)[:-1])
            coefficients = [piece if known else None for piece, known in zip(pieces, entries["known"])]
            model = cls(basis, coefficients, summary=entries["summary"])
            if model._entries() != entries:
                raise ValueError("it says more or less than a model needs")
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ModelFileError(f"{os.fspath(path)!r} holds no usable model: {error}") from error
        return model

    def __repr__(self) -> str:
        n = sum(len(theta) for theta in self.coefficients if theta is not None)
        return f"HamiltonianModel({self.basis.orbitals!r}): {n} coefficients of {len(self.basis.parts)} parts"
