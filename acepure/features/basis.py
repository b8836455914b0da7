"""ACEBasis: the stages composed, from structures to features."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, overload

import numpy as np
from ase import Atoms
from scipy.sparse import csr_array
from tqdm import tqdm

from acepure._utils.arguments import resolve_synonyms
from acepure._utils.checks import check_kind, flag
from acepure._utils.memory import physical_memory, refuse_larger
from acepure._utils.read_only import read_only
from acepure.algebra.operators import Operators
from acepure.errors import CoincidentAtomsError, SpeciesError
from acepure.features.centers import CenterGroup, center_groups, only_group
from acepure.features.labels import FeatureLabel, feature_labels
from acepure.features.tables import Tables
from acepure.functions.radial import PolynomialRadialBasis, RadialBasis
from acepure.labels.factors import Block, ProductSet
from acepure.labels.selection import Specification, with_default
from acepure.neighbors.environments import Environments
from acepure.neighbors.lists import NeighborList
from acepure.neighbors.sites import Sites
from acepure.references import Reference
from acepure.structures.gate import structure_list

__all__ = ["ACEBasis", "check_basis"]

DEFAULT_RCUT = 5.0


class ACEBasis(Sites):
    """Canonical (or self-interacting) ACE features of atomic environments.

    For a center i with neighbors j inside the cutoff, φ_v(r) = f(r) P_n(x(r)) Y_lm(r̂) for v = (z, n, l, m), and

        𝒜_k = Σ_{j_1 ≠ ... ≠ j_ν} Π_t φ_{k_t}(r_{i j_t}),      B = C 𝒜 = P_B C_ext AA_ext,

    the sum over pairwise distinct neighbors, so that B of order ν is a true (ν + 1)-body function
    (Drautz, Phys. Rev. B 99, 014104 (2019); Ho, Gutleb, Ortner, arXiv:2401.01550).
    C is orthonormal: Σ_k mult(k)! C_ik C_i'k = δ.

    Parameters
    ----------
    species : sequence of str
        Chemical symbols that may occur, in any order.
    rcut : float or mapping, optional
        Cutoff in Å, or one per pair of symbols; default 5.0. Not together with `radial`.
    order : int, optional
        Largest correlation order; default 3.
    totaldegree, wL, n_max, l_max, n_functions, functions, n_start
        Which functions, in exactly one way, see `Specification`; default totaldegree=6.
    L, irrep : int or str, optional
        What the features are: L for true tensors, which transform like Y_LM, or "1o" (vector), "1e" (pseudovector) and
        so on; default invariants.
    occupancy : mapping of str to int or (int, int or None), optional
        How often a species may occur in a function, {symbol: (least, most)}; see `Specification`.
    radial : RadialBasis, optional
        Radial functions; default `PolynomialRadialBasis(rcut)`.
    canonical : bool, optional
        False gives the self-interacting basis, products of full neighbor sums, with the same labels.
    reference : Reference, optional
        What the basis is centered on; see `centered`, which chooses the radial functions too.
    **synonyms
        The spellings cutoff, r_cut, nu_max, correlation, correlation_order, nmax, lmax and total_degree of other codes.

    Raises
    ------
    TypeError, ValueError
        For wrong, unknown or contradictory arguments, before any work.
    BasisTooLargeError
        When the basis would not fit in memory.

    Examples
    --------
    >>> from ase.build import bulk
    >>> basis = ACEBasis(["Cu"], rcut=5.0, order=3, totaldegree=8)
    >>> basis.descriptors(bulk("Cu", cubic=True)).shape
    (4, 224)
    """

    specification: Specification  #: the resolved index sets
    species: tuple[str, ...]  #: chemical symbols, sorted by atomic number
    radial: RadialBasis  #: the radial functions
    canonical: bool  #: whether self-interactions are taken out
    reference: Reference | None  #: what the basis is centered on, if anything
    order: int  #: largest correlation order ν
    irrep: str  #: degree and parity, such as "1o"
    L: int  #: degree of the features: they rotate like Y_LM
    parity: int  #: sign of the features under inversion
    rcut: float  #: largest cutoff of all pairs, in Å
    cutoffs: np.ndarray  #: cutoffs in Å of (center, neighbor), shape (n_species, n_species)

    def __init__(
        self,
        species: Sequence[str],
        rcut: float | Mapping[tuple[str, str], float] | None = None,
        order: int | None = None,
        *,
        totaldegree: float | Sequence[float] | None = None,
        wL: float | None = None,
        n_max: int | Sequence[int] | None = None,
        l_max: int | Sequence[int] | None = None,
        n_functions: int | None = None,
        functions: Iterable[Sequence[Sequence[Any]]] | None = None,
        n_start: int | None = None,
        L: int | None = None,
        irrep: str | None = None,
        occupancy: Mapping[str, Any] | None = None,
        radial: RadialBasis | None = None,
        canonical: bool = True,
        reference: Reference | None = None,
        **synonyms: Any,
    ) -> None:
        named = {name: value for name, value in locals().items() if name not in ("self", "species", "synonyms")}
        given = resolve_synonyms(named, synonyms, "ACEBasis")
        canonical, radial, rcut, reference = map(given.pop, ("canonical", "radial", "rcut", "reference"))
        canonical = flag("canonical", canonical)
        if radial is not None and rcut is not None:
            raise ValueError("rcut and radial exclude each other: the radial basis has its own cutoff")
        check_kind("radial", radial, RadialBasis, None)
        check_kind("reference", reference, Reference, None)
        self.specification = Specification.create(species, **with_default(given))
        needed = self.specification.occupancy
        if reference is not None and needed is not None and any(least for _, (least, _) in needed.limits):
            raise ValueError(
                "reference and an occupancy of at least one exclude each other: functions less a mean have terms "
                "without the particle"
            )
        self.specification.check_memory()
        self.radial = PolynomialRadialBasis(DEFAULT_RCUT if rcut is None else rcut) if radial is None else radial
        self.canonical, self.reference = canonical, reference
        symbols = self.species = self.specification.species
        self.order, self.irrep = self.specification.order, str(self.specification.irrep)
        self.L, self.parity = self.specification.L, self.specification.parity
        self.cutoffs = read_only(np.array([[float(self.radial.cutoff(a, b)) for b in symbols] for a in symbols]))
        self.rcut = float(self.cutoffs.max())

    def __len__(self) -> int:
        return len(self.specification)

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of the features of one atom: (n_features,), or (n_features, 2L + 1) for L > 0."""
        return (len(self), 2 * self.L + 1) if self.L else (len(self),)

    def centered(self, reference: Reference, *, orthonormal: bool = True) -> ACEBasis:
        """Return the basis with the same labels, referred to the statistics of an ideal gas or of data.

        With Ã = A − μ in place of A, and the self-interactions and constants of the reference taken out,

            canonical, IdealGas or RadialDensity            centered: orthonormal for an ideal gas
            canonical, MeanCovariance                       canonical with measured pairs
            self-interacting, IdealGas or RadialDensity     shifted: products of A − μ
            self-interacting, MeanCovariance                Wick: orthonormal if A is Gaussian

        Parameters
        ----------
        reference : Reference
        orthonormal : bool, optional
            Make the radial functions orthonormal for the reference, by a triangular change that keeps the
            functions of a total degree together; False keeps them.

        Raises
        ------
        TypeError, ValueError
            If the reference does not serve the species, the cutoff or the radial functions of the basis.

        Notes
        -----
        An atom without neighbors has features different from zero in a centered basis.

        Examples
        --------
        >>> from acepure import IdealGas
        >>> basis = ACEBasis(["Cu"], rcut=5.0, order=3, totaldegree=6).centered(IdealGas(0.085))
        >>> len(basis), basis.reference
        (99, IdealGas(density=0.085))
        """
        check_kind("reference", reference, Reference)
        radial = reference.radial(self.radial, self.species) if orthonormal else self.radial
        reference.check(radial, self.species)
        dictionary = self.specification.to_dict()
        return ACEBasis(
            dictionary.pop("species"), radial=radial, canonical=self.canonical, reference=reference, **dictionary
        )

    @cached_property
    def labels(self) -> tuple[FeatureLabel, ...]:
        """One label per feature, in column order; the same for canonical and self-interacting bases."""
        return feature_labels(self._blocks, self.species, self.specification.irrep)

    @property
    def order_slices(self) -> dict[str, slice]:
        """Columns of each order: {"nu1": slice, "nu2": slice, ...}."""
        edges = np.cumsum([0, *self.specification.sizes]).tolist()
        return {f"nu{nu}": slice(edges[nu - 1], edges[nu]) for nu in range(1, self.order + 1)}

    # --- operators ----------------------------------------------------------------------------------------

    @cached_property
    def _blocks(self) -> list[Block]:
        return self.specification.blocks()

    @cached_property
    def _groups(self) -> list[CenterGroup]:
        n_start, irrep = self.specification.n_start, self.specification.irrep
        return center_groups(self.species, self._blocks, n_start, self.radial, self.canonical, self.reference, irrep)

    @cached_property
    def _tables(self) -> Tables:
        return Tables(self._groups, self.radial, self.species)

    def operators(self, center: str) -> Operators:
        """Return the sparse maps for one species of center.

        Parameters
        ----------
        center : str
            Chemical symbol.
        """
        if center not in self.species:
            raise SpeciesError(f"center {center!r} is not one of the species {self.species}")
        z = self.species.index(center)
        return next(group.operators for group in self._groups if z in group.species)

    @property
    def symmetrization(self) -> csr_array:
        """C, shape (n_features (2L + 1), n_products): rows `labels` by M, columns `products`."""
        return self._groups[0].operators.symmetrization

    @property
    def products(self) -> ProductSet:
        """The products Π_t A that features combine: columns of C and rows of P."""
        return self._groups[0].operators.products

    @property
    def purification(self) -> csr_array:
        """P over single products, shape (n_products, n_extended): 𝒜 = P AA.

        Rows are named by `products`, columns by `extended_products`. Built on request, for bases of moderate size;
        evaluation uses P_B of invariants instead.

        Raises
        ------
        ValueError
            When P differs between species of center; ask `operators(center)` then.
        """
        return only_group(self._groups, self.species).operators.purification_with_columns[0]

    @property
    def extended_products(self) -> tuple[tuple[Any, ...], ...]:
        """The tuples of one-particle indices that name the columns of `purification`."""
        return only_group(self._groups, self.species).operators.purification_with_columns[1]

    # --- evaluation ---------------------------------------------------------------------------------------

    def prepare(self) -> ACEBasis:
        """Build operators and tables now rather than at the first evaluation; return the basis itself."""
        _ = self._tables.evaluators
        return self

    @overload
    def descriptors(
        self, atoms: Atoms, *, indices: Any = ..., neighbors: NeighborList | None = ..., num_threads: int | None = ...
    ) -> np.ndarray: ...
    @overload
    def descriptors(
        self, atoms: Sequence[Atoms], *, indices: None = ..., num_threads: int | None = ..., progress: bool | None = ...
    ) -> list[np.ndarray]: ...
    def descriptors(
        self,
        atoms: Atoms | Sequence[Atoms],
        *,
        indices: Any = None,
        neighbors: NeighborList | None = None,
        num_threads: int | None = None,
        progress: bool | None = None,
    ) -> np.ndarray | list[np.ndarray]:
        """Return the features of every atom.

        Parameters
        ----------
        atoms : ase.Atoms or sequence of them
            Not modified. `atoms.pbc` decides along which axes images count.
        indices : sequence of int, slice or mask, optional
            Which atoms, in which order; default all. For one structure.
        neighbors : NeighborList, optional
            From `neighbor_list` of the same structure.
        num_threads : int, optional
            Default: ACEPURE_NUM_THREADS, else OMP_NUM_THREADS, else all cores. The result does not depend on it.
        progress : bool, optional
            Show a bar for several structures; default: when writing to a terminal.

        Returns
        -------
        numpy.ndarray of float64, shape (n_atoms, n_features) or (n_atoms, n_features, 2L + 1), or a list of such arrays
            M = −L..L last; in units of the radial functions; dimensionless by default.

        Raises
        ------
        TypeError, ValueError
            For anything that is no structure, NaN positions, coincident atoms (named), unknown species.
        """
        if isinstance(atoms, Atoms):
            environments = Environments(self, atoms, indices=indices, neighbors=neighbors, num_threads=num_threads)
            return evaluate_features(self, environments)
        if indices is not None or neighbors is not None:
            raise ValueError("indices and neighbors belong to one structure, but several were given")
        return evaluate_structures(self, structure_list(atoms, "atoms"), num_threads, progress)

    def descriptor_blocks(
        self, atoms: Atoms, *, num_threads: int | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the features of a large structure a few thousand atoms at a time.

        Neighbor lists and features are held for one block alone, whatever the number of atoms.

        Parameters
        ----------
        atoms : ase.Atoms
        num_threads : int, optional

        Yields
        ------
        indices : numpy.ndarray of int64, shape (n,)
            Atoms of the block; every atom comes once.
        features : numpy.ndarray of float64, shape (n, n_features)

        Examples
        --------
        >>> from ase.build import bulk
        >>> [features.shape for _, features in ACEBasis(["Cu"]).descriptor_blocks(bulk("Cu", cubic=True))]
        [(4, 99)]
        """
        environments = Environments(self, atoms, num_threads=num_threads)
        for part, rows in environments.parts():
            features = np.empty((part.n_centers, *self.feature_shape))
            _write_features(self, environments, part, features, np.arange(part.n_centers))
            yield rows, features

    def _made_for(self) -> str:
        return (
            f"basis is for {', '.join(self.species)}; a basis is made for all its species at once, and a potential "
            "knows those it was fitted to"
        )

    # --- identity -----------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values from which `from_dict` makes an equal basis."""
        return {
            **self.specification.to_dict(),
            "radial": self.radial.to_dict(),
            "canonical": self.canonical,
            "reference": None if self.reference is None else self.reference.to_dict(),
        }

    @classmethod
    def from_dict(cls, dictionary: Mapping[str, Any]) -> ACEBasis:
        """Inverse of `to_dict`."""
        if not isinstance(dictionary, Mapping):
            raise TypeError(f"dictionary must come from ACEBasis.to_dict; got {dictionary!r}")
        missing = {"species", "order", "n_start", "radial", "canonical", "reference"} - set(dictionary)
        if missing:
            raise ValueError(f"dictionary lacks {' and '.join(sorted(missing))}; it must come from ACEBasis.to_dict")
        arguments = dict(dictionary)
        species, radial = arguments.pop("species"), RadialBasis.from_dict(arguments.pop("radial"))
        reference = arguments.pop("reference")
        reference = None if reference is None else Reference.from_dict(reference)
        return cls(species, radial=radial, reference=reference, **arguments)

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles hold: everything but the compiled tables, which are built anew when needed."""
        compiled = ("_tables", "_groups" if self.reference else "")
        return {name: value for name, value in self.__dict__.items() if name not in compiled}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ACEBasis):
            return NotImplemented
        mine = (self.specification, self.radial, self.canonical, self.reference)
        return mine == (other.specification, other.radial, other.canonical, other.reference)

    def __hash__(self) -> int:
        return hash((self.specification, self.canonical))

    def __repr__(self) -> str:
        dictionary = self.specification.to_dict()
        dictionary.pop("functions", None)
        arguments = ", ".join(f"{name}={value!r}" for name, value in dictionary.items())
        arguments += f", canonical={self.canonical}, radial={self.radial!r}"
        arguments += "" if self.reference is None else f", reference={self.reference!r}"
        return f"ACEBasis({arguments}): {len(self)} features = {' + '.join(map(str, self.specification.sizes))}"


def check_basis(basis: object, tensors: bool = False) -> None:
    """Raise TypeError unless `basis` is an ACEBasis; ValueError for tensors or pseudoscalars unless they serve."""
    irrep = check_kind("basis", basis, ACEBasis).irrep
    if not tensors and irrep != "0e":
        raise ValueError(f'basis must hold invariants (irrep "0e") here; got one with irrep "{irrep}"')


def evaluate_features(basis: ACEBasis, environments: Environments) -> np.ndarray:
    """Return the features of environments, shape (n_centers, n_features)."""
    shape = (environments.n_centers, *basis.feature_shape)
    refuse_larger("the array of features", shape, physical_memory(), "use descriptor_blocks or indices")
    out = np.empty(shape)
    for part, targets in environments.parts():
        _write_features(basis, environments, part, out, targets)
    return out


def evaluate_structures(
    basis: ACEBasis, structures: Sequence[Atoms], num_threads: int | None, progress: bool | None
) -> list[np.ndarray]:
    """Return the features of structures that `structure_list` has checked; all species are looked up before work."""
    every = [
        Environments(basis, atoms, num_threads=num_threads, name=f"atoms[{k}]", checked=True)
        for k, atoms in enumerate(structures)
    ]
    bar = tqdm(every, desc="descriptors", unit="structure", disable=None if progress is None else not progress)
    return [_numbered(basis, k, environments) for k, environments in enumerate(bar)]


def _numbered(basis: ACEBasis, k: int, environments: Environments) -> np.ndarray:
    try:
        return evaluate_features(basis, environments)
    except CoincidentAtomsError as error:
        raise CoincidentAtomsError(f"atoms[{k}]: {error}") from None


def _write_features(
    basis: ACEBasis, environments: Environments, part: NeighborList, out: np.ndarray, targets: np.ndarray
) -> None:
    """Write the features of the centers of a part into the rows `targets` of `out`."""
    out = out.reshape(len(out), math.prod(basis.feature_shape))
    for group, evaluator in zip(basis._groups, basis._tables.evaluators):
        chosen = environments.chosen(part, group.species)
        evaluator.evaluate(chosen, out, targets[chosen.rows])
