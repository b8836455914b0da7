"""Bonds as centers: the bond vector occurs once in every function, atoms around the midpoint complete it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms

from acepure._utils.arguments import resolve_synonyms
from acepure._utils.checks import number
from acepure._utils.read_only import ReadOnly, read_only
from acepure._utils.threads import resolve_num_threads
from acepure.errors import SpeciesError
from acepure.features.arrays import evaluate_pairs
from acepure.features.basis import ACEBasis
from acepure.features.labels import FeatureLabel
from acepure.functions.radial import PolynomialRadialBasis, RadialBasis
from acepure.functions.transforms import LinearTransform
from acepure.labels.occupancy import NOT_AN_ATOM
from acepure.neighbors.lists import NeighborList, find_pairs
from acepure.structures.gate import check_structure

__all__ = ["BondBasis", "BondEnvironments"]


class BondEnvironments(NamedTuple):
    """Bonds and what is around their midpoints.

    Attributes
    ----------
    bonds : NeighborList
        Bonds are its pairs.
    vectors : numpy.ndarray, shape (n, 3)
        From midpoints to atoms in Å; first, for each bond, its own vector.
    offsets : numpy.ndarray, shape (n_bonds + 1,)
        The vectors of a bond are offsets[bond]:offsets[bond + 1].
    kinds : numpy.ndarray, shape (n,)
        Species indices: 0 is the bond.
    """

    bonds: NeighborList
    vectors: np.ndarray
    offsets: np.ndarray
    kinds: np.ndarray


class BondBasis(ReadOnly):
    """Features of ordered bonds (i, j), two atoms nearer to each other than a cutoff.

    The center is the midpoint, whose neighbors are the bond vector d = r_j − r_i, a particle of its own kind that
    occurs exactly once in every function, and all atoms k but the two ends, at s_k = r_k − (r_i + r_j)/2:

        𝒜_k = φ_{k_1}(d) Σ_{j_2 ≠ ... ≠ j_ν} Π_{t>1} φ_{k_t}(s_{j_t}).

    Order 1 knows the bond alone (Slater and Koster, Phys. Rev. 94, 1498 (1954)), order 2 one atom beside it. Exchange
    of the ends turns d around and leaves the rest: a feature is multiplied by (−1)^l of the factor of the bond.

    Parameters
    ----------
    species : sequence of str
        Chemical symbols that may occur.
    length : float
        Cutoff of the length of bonds, in Å; features go to zero there.
    rcut : float, optional
        Cutoff in Å of the atoms around the midpoint; default 5.0. Not together with `radial`.
    order, totaldegree, wL, n_max, l_max, n_functions, n_start, L, irrep, canonical
        As for `ACEBasis`; degrees and numbers include the factor of the bond.
    radial : RadialBasis, optional
        Radial functions; "X" names the bond as center and as neighbor. Default `PolynomialRadialBasis` with a linear
        transform.
    **synonyms
        As for `ACEBasis`.

    Examples
    --------
    >>> from ase.build import molecule
    >>> from acepure import BondBasis
    >>> basis = BondBasis(["H", "O"], length=2.5, rcut=4.0, order=2, totaldegree=4, L=1)
    >>> atoms = molecule("H2O")
    >>> basis.bonds(atoms).n_pairs, basis.descriptors(atoms).shape == (6, len(basis), 3)
    (6, True)
    """

    def __init__(
        self,
        species: Sequence[str],
        length: float,
        rcut: float | None = None,
        order: int | None = None,
        *,
        totaldegree: float | Sequence[float] | None = None,
        wL: float | None = None,
        n_max: int | Sequence[int] | None = None,
        l_max: int | Sequence[int] | None = None,
        n_functions: int | None = None,
        n_start: int | None = None,
        L: int | None = None,
        irrep: str | None = None,
        radial: RadialBasis | None = None,
        canonical: bool = True,
        **synonyms: Any,
    ) -> None:
        if isinstance(species, str):
            raise TypeError(f"species must be a sequence of chemical symbols such as ['{species}'], got {species!r}")
        named = {name: v for name, v in locals().items() if name not in ("self", "species", "length", "synonyms")}
        given = resolve_synonyms(named, synonyms, "BondBasis")
        self.length = number("length", length, above=0)
        rcut, radial = given.pop("rcut"), given.pop("radial")
        if radial is not None and rcut is not None:
            raise ValueError("rcut and radial exclude each other: the radial basis has its own cutoff")
        if radial is None:
            radial = _radial(species, self.length, 5.0 if rcut is None else number("rcut", rcut, above=0))
        self.basis = ACEBasis([NOT_AN_ATOM, *species], radial=radial, occupancy={NOT_AN_ATOM: 1}, **given)
        if not self.length <= (own := float(radial.cutoff(NOT_AN_ATOM, NOT_AN_ATOM))):
            raise ValueError(f"length={length:g} Å is beyond the cutoff of the radial functions of the bond, {own:g} Å")

    @property
    def species(self) -> tuple[str, ...]:
        """Chemical symbols, sorted by atomic number."""
        return self.basis.species[1:]

    @property
    def irrep(self) -> str:
        """Degree and parity, such as "1o"."""
        return self.basis.irrep

    @property
    def labels(self) -> tuple[FeatureLabel, ...]:
        """One label per feature; the factor of the bond has the species "X"."""
        return self.basis.labels

    def __len__(self) -> int:
        return len(self.basis)

    @cached_property
    def exchange(self) -> np.ndarray:
        """±1 for each feature: what exchange of the ends multiplies it by, (−1)^l of the factor of the bond."""
        return read_only(np.array([(-1.0) ** label.l[label.species.index(NOT_AN_ATOM)] for label in self.labels]))

    def bonds(self, atoms: Atoms) -> NeighborList:
        """Return the bonds: a pair of this list is (i, j, S) with d = r_j − r_i + S·cell, each in both directions.

        Parameters
        ----------
        atoms : ase.Atoms
        """
        check_structure(atoms)
        return self._pairs(atoms, self.length)

    def environments(self, atoms: Atoms) -> BondEnvironments:
        """Return the bonds and the atoms around them, which serve bases of every irrep.

        Parameters
        ----------
        atoms : ase.Atoms
        """
        bonds = self.bonds(atoms)
        kinds = self.basis.species_indices(atoms)
        if not kinds.all():  # 0 is the bond
            raise SpeciesError(f"atoms holds {NOT_AN_ATOM}, which stands for the bond in features of bonds")
        farthest = float(self.basis.cutoffs[0, 1:].max())
        around = self._pairs(atoms, farthest + self.length / 2)
        bond, pair = _beside(bonds, around)
        vectors = around.vectors[pair] - bonds.vectors[bond] / 2
        near = np.einsum("pa,pa->p", vectors, vectors) < farthest**2
        bond, pair, vectors = bond[near], pair[near], vectors[near]
        # of each bond first itself, then the atoms
        everything = np.concatenate([np.arange(bonds.n_pairs), bond])
        order = np.argsort(everything, kind="stable")
        return BondEnvironments(
            bonds,
            np.concatenate([bonds.vectors, vectors])[order],
            np.concatenate([[0], np.cumsum(np.bincount(everything, minlength=bonds.n_pairs))]).astype(np.int64),
            np.concatenate([np.zeros(bonds.n_pairs, dtype=np.int32), kinds[around.neighbors[pair]]])[order],
        )

    def descriptors(
        self, atoms: Atoms, *, environments: BondEnvironments | None = None, num_threads: int | None = None
    ) -> np.ndarray:
        """Return the features of every bond, in the order of the pairs of `bonds`.

        Parameters
        ----------
        atoms : ase.Atoms
        environments : BondEnvironments, optional
            From `environments` of the same structure, of a basis that differs in irrep alone.
        num_threads : int, optional

        Returns
        -------
        numpy.ndarray of float64, shape (n_bonds, n_features) or (n_bonds, n_features, 2L + 1)
        """
        threads = resolve_num_threads(num_threads)
        bonds, vectors, offsets, kinds = self.environments(atoms) if environments is None else environments
        centers = np.zeros(bonds.n_pairs, dtype=np.int32)
        return evaluate_pairs(self.basis, vectors, offsets, centers, kinds, threads)

    def _pairs(self, atoms: Atoms, cutoff: float) -> NeighborList:
        """All pairs nearer than a cutoff, whatever the species."""
        species, cutoffs = np.zeros(len(atoms), dtype=np.int32), np.array([[cutoff]])
        return find_pairs(atoms, cutoffs, species, np.arange(len(atoms), dtype=np.int32), 1)

    def with_irrep(self, irrep: str) -> BondBasis:
        """Return the basis of the same limits and functions of one pair for another irrep."""
        return BondBasis.from_dict({**self.to_dict(), "irrep": irrep})

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values from which `from_dict` makes an equal basis."""
        dictionary = self.basis.to_dict()
        del dictionary["occupancy"], dictionary["reference"]
        return {**dictionary, "species": list(self.species), "length": self.length}

    @classmethod
    def from_dict(cls, dictionary: Mapping[str, Any]) -> BondBasis:
        """Inverse of `to_dict`."""
        arguments = dict(dictionary)
        return cls(arguments.pop("species"), radial=RadialBasis.from_dict(arguments.pop("radial")), **arguments)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BondBasis):
            return NotImplemented
        return (self.length, self.basis) == (other.length, other.basis)

    def __hash__(self) -> int:
        return hash((self.length, self.basis))

    def __repr__(self) -> str:
        return f"BondBasis(length={self.length}, {self.basis!r})"


def _radial(species: Iterable[str], length: float, rcut: float) -> PolynomialRadialBasis:
    """One cutoff for the bond and one for atoms; that of atoms around atoms is never used."""
    symbols = [NOT_AN_ATOM, *species]
    cutoffs = {(a, b): rcut for a in symbols for b in symbols}
    return PolynomialRadialBasis({**cutoffs, (NOT_AN_ATOM, NOT_AN_ATOM): length}, LinearTransform())


def _beside(bonds: NeighborList, around: NeighborList) -> tuple[np.ndarray, np.ndarray]:
    """For each bond (i, j), the pairs (i, k) of `around` with k ≠ j: numbers of the bonds and of the pairs.

    Both lists have all atoms as centers.
    """
    centers = np.repeat(bonds.centers, np.diff(bonds.offsets))
    counts = np.diff(around.offsets)[centers]
    bond = np.repeat(np.arange(bonds.n_pairs), counts)
    starts = np.cumsum(counts) - counts
    pair = np.arange(len(bond)) - starts[bond] + around.offsets[centers[bond]]
    same = around.neighbors[pair] == bonds.neighbors[bond]
    same &= (around.shifts[pair] == bonds.shifts[bond]).all(axis=1)
    return bond[~same], pair[~same]
