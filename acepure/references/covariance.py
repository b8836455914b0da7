"""A reference that is the mean and covariance of the neighbor sums A in structures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from ase import Atoms
from scipy.linalg import qr, solve_triangular

from acepure._utils.checks import check_kind, count
from acepure._utils.read_only import read_only_array
from acepure._utils.tall_qr import RFactor
from acepure._utils.workers import Workers, batched, checked_workers, naming_structure, structure_bar, tree_reduce
from acepure.functions.harmonics import RealSphericalHarmonics
from acepure.functions.radial import PolynomialRadialBasis, RadialBasis
from acepure.functions.whitened import WhitenedRadialBasis
from acepure.labels.factors import Factor
from acepure.neighbors.environments import Environments
from acepure.references.base import BasisShape, PairConstants, Reference, check_polynomial
from acepure.references.density import RadialDensity

# A diagonal entry of R below this part of its column: the sum depends linearly on the ones before it.
_DEPENDENT = 1e-10
# Centers of a batch, in numbers of columns: merging two R factors then costs a tenth of making them.
_ROWS_PER_COLUMN = 8


@dataclass(frozen=True, eq=False)
class MeanCovariance(Reference):
    """μ_v = E[A_v] and c_uv = Cov(A_u, A_v) as measured in structures, for each species of center.

    Environments turn every way, so that means vanish but for l = 0, and covariances but for equal l and m; they are
    averaged over m. Made with `from_structures`.

    Parameters
    ----------
    functions : RadialBasis
        The radial functions of the sums A.
    species : sequence of str
        Chemical symbols of centers and neighbors.
    grade_sizes : sequence of int
        The number of radial functions f P_n, then of f^s T_n for s = 2, 3, ..., which canonical bases need.
    mean : array_like, shape (n_species, n_functions)
        μ for l = 0; functions by neighbor species, grade and n.
    covariance : array_like, shape (n_species, n_l, n_functions, n_functions)
        c for each l.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from acepure import ACEBasis, MeanCovariance
    >>> atoms = bulk("Cu", cubic=True) * 3
    >>> atoms.rattle(0.1, seed=0)
    >>> basis = ACEBasis(["Cu"], order=2, totaldegree=4, canonical=False)
    >>> wick = basis.centered(MeanCovariance.from_structures([atoms], basis))
    >>> features = wick.descriptors(atoms)
    >>> bool(abs(features.mean(axis=0)).max() < 0.2)
    True
    """

    functions: RadialBasis
    species: Sequence[str]
    grade_sizes: Sequence[int]
    mean: Any
    covariance: Any

    def __post_init__(self) -> None:
        check_kind("functions", self.functions, RadialBasis)
        sizes = tuple(count("grade_sizes", size) for size in self.grade_sizes)
        species = tuple(self.species)
        n_functions = len(species) * sum(sizes)
        mean = read_only_array("mean", self.mean, (len(species), n_functions))
        covariance = read_only_array("covariance", self.covariance, (len(species), None, n_functions, n_functions))
        values = {"species": species, "grade_sizes": sizes, "mean": mean, "covariance": covariance}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_structures(
        cls,
        structures: Sequence[Atoms],
        basis: BasisShape,
        *,
        whitened: bool = True,
        atoms_per_structure: int | None = None,
        seed: int = 0,
        workers: Workers = 1,
        progress: bool | None = None,
    ) -> MeanCovariance:
        """Measure the sums A that a basis is made of.

        Parameters
        ----------
        structures : sequence of ase.Atoms
            Gone through twice.
        basis : ACEBasis
            With polynomial radial functions; its species, cutoff and sizes decide what is measured. A canonical basis
            needs the sums of products of radial functions too.
        whitened : bool
            Give every l its own radial functions, a triangular combination over n for which the sums A of one neighbor
            species have unit covariance. False keeps one set for all l, orthonormal for the radial density.
        atoms_per_structure : int, optional
            Take so many atoms of each structure, at random; default all.
        seed : int
        workers : int or dask.distributed.Client
            As in `acepure._utils.workers.tree_reduce`; the result does not depend on them.
        progress : bool, optional

        Raises
        ------
        TypeError, ValueError
            For structures that can be gone through once only, and where the sums A of the structures are linearly
            dependent.
        """
        check_polynomial(getattr(basis, "radial", basis))
        if atoms_per_structure is not None:
            count("atoms_per_structure", atoms_per_structure)
        if isinstance(structures, Iterator):
            raise TypeError("structures is gone through twice; give a list rather than a generator")
        structures = [structures] if isinstance(structures, Atoms) else structures
        workers = checked_workers(workers)
        density = RadialDensity.from_structures(structures, basis.rcut, workers=workers, progress=progress)
        sums = _Sums(basis, density.radial(basis.radial, basis.species))
        most = np.inf if atoms_per_structure is None else atoms_per_structure
        batches = batched(structures, lambda atoms: min(len(atoms), most), _ROWS_PER_COLUMN * sums.n_columns)
        collect = partial(_collected, sums, atoms_per_structure, seed)
        with structure_bar("sums A", structures, progress) as bar:
            sums = tree_reduce(collect, _Sums.merge, batches, workers, bar=bar) or sums
        return cls(*sums.moments(whitened))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MeanCovariance):
            return NotImplemented
        mine = (self.functions, self.species, self.grade_sizes)
        return (
            mine == (other.functions, other.species, other.grade_sizes)
            and np.array_equal(self.mean, other.mean)
            and np.array_equal(self.covariance, other.covariance)
        )

    def __hash__(self) -> int:
        return hash((self.functions, self.species, self.grade_sizes))

    def __repr__(self) -> str:
        kind = "whitened" if isinstance(self.functions, WhitenedRadialBasis) else "one set of radial functions"
        return f"MeanCovariance({', '.join(self.species)}; {kind})"

    def radial(self, radial: RadialBasis, species: Sequence[str]) -> RadialBasis:
        """Return the functions that were measured; `radial` must have the same cutoff, transform and envelope."""
        given = check_polynomial(radial)
        mine = self.functions.radial if isinstance(self.functions, WhitenedRadialBasis) else self.functions
        if not isinstance(mine, PolynomialRadialBasis) or _geometry(mine) != _geometry(given):
            raise ValueError(
                f"the reference was measured with {mine!r}, the basis has {radial!r}; equal cutoffs, transforms and "
                "envelopes are needed"
            )
        self._positions(species)
        return self.functions

    def means(self, radial: RadialBasis, center: str, neighbor: str, labels: Sequence[Any]) -> np.ndarray:
        self._check_functions(radial)
        row = self.mean[self._positions([center])[0]]
        return np.array([row[self._index(neighbor, label)] for label in labels])

    def pairs(self, radial: RadialBasis, center: str, species: Sequence[str]) -> PairConstants:
        self._check_functions(radial)
        table = self.covariance[self._positions([center])[0]]

        def constants(u: Factor, v: Factor) -> float:
            if u.l >= len(table):
                raise ValueError(f"the reference was measured to l = {len(table) - 1}; l = {u.l} is needed")
            return float(table[u.l, self._index(species[u.z], u.q), self._index(species[v.z], v.q)])

        return constants

    def _check_functions(self, radial: RadialBasis) -> None:
        if radial != self.functions:
            raise ValueError(
                f"the reference was measured with {self.functions!r}, but the basis has {radial!r}; "
                "basis.centered(reference) takes those of the reference"
            )

    def _positions(self, species: Sequence[str]) -> list[int]:
        for symbol in species:
            if symbol not in self.species:
                raise ValueError(f"the reference was measured for {', '.join(self.species)}; {symbol} is needed")
        return [self.species.index(symbol) for symbol in species]

    def _index(self, neighbor: str, label: Sequence[int]) -> int:
        """Position of a function with the radial label (s, n) or (1, n, l)."""
        grade, n = label[:2]
        if grade > len(self.grade_sizes) or n >= self.grade_sizes[grade - 1]:
            raise ValueError(
                f"the reference was measured for {self.grade_sizes[0]} radial functions and "
                f"{'products of up to ' + str(len(self.grade_sizes)) if len(self.grade_sizes) > 1 else 'no products'} "
                "of them; measure it with the basis it is used for"
            )
        z = self._positions([neighbor])[0]
        return z * sum(self.grade_sizes) + sum(self.grade_sizes[: grade - 1]) + n


def _geometry(radial: PolynomialRadialBasis) -> tuple[Any, ...]:
    """What whitening and orthonormal polynomials leave as it was."""
    return radial.rcut, radial.transform, radial.envelope


class _Sums:
    """R factors of the sums A, for each species of center and each l."""

    def __init__(self, basis: BasisShape, functions: PolynomialRadialBasis) -> None:
        self.species, self.functions, self.cutoffs = basis.species, functions, basis.cutoffs
        blocks = [[(f.q - basis.specification.n_start, f.l) for f in b] for b in basis.specification.blocks()]
        self.grade_sizes = _grade_sizes([[n for n, _ in b] for b in blocks], basis.canonical)
        self.basis_l = 1 + max(l for b in blocks for _, l in b)
        self.n_l = 1 + max(sum(l for _, l in b) for b in blocks) if basis.canonical else self.basis_l
        self.labels = [(s, n) for s, size in enumerate(self.grade_sizes, 1) for n in range(size)]
        self.harmonics = RealSphericalHarmonics(self.n_l - 1)
        self.n_columns = len(self.labels) * len(self.species)
        # With l = 0 a first column of ones, for the mean.
        self.factors = [[RFactor(self.n_columns + (l == 0)) for l in range(self.n_l)] for _ in self.species]

    def species_indices(self, atoms: Atoms, name: str = "atoms") -> np.ndarray:
        """Return the species index of every atom."""
        unknown = set(atoms.get_chemical_symbols()) - set(self.species)
        if unknown:
            raise ValueError(f"structures hold {', '.join(sorted(unknown))}, but the basis is for {self.species}")
        index = {symbol: z for z, symbol in enumerate(self.species)}
        return np.array([index[symbol] for symbol in atoms.get_chemical_symbols()], dtype=np.int32)

    def add(self, atoms: Atoms, indices: np.ndarray | None) -> None:
        environments = Environments(self, atoms, indices=indices, num_threads=1)
        sums = self._pool(environments.neighbors, environments.species)
        centers = environments.center_species
        for z in np.unique(centers):
            mine = sums[centers == z]
            for l, factor in enumerate(self.factors[z]):
                rows = np.swapaxes(mine[:, :, l * l : (l + 1) ** 2], 1, 2).reshape(-1, mine.shape[1])
                factor.add(np.hstack([np.ones((len(rows), 1)), rows]) if l == 0 else rows)

    def merge(self, other: _Sums) -> None:
        for mine, theirs in zip(self.factors, other.factors):
            for factor, more in zip(mine, theirs):
                factor.merge(more)

    def _pool(self, pairs: Any, species: np.ndarray) -> np.ndarray:
        """A of every center, shape (n_centers, n_species * n_labels, n_harmonics)."""
        n = len(self.labels)
        sums = np.zeros((pairs.n_centers, len(self.species) * n, self.n_l**2))
        if not pairs.n_pairs:
            return sums
        harmonics = self.harmonics.evaluate(pairs.vectors)
        r = np.linalg.norm(pairs.vectors, axis=1)
        zi, zj = np.repeat(species[pairs.centers], np.diff(pairs.offsets)), species[pairs.neighbors]
        radial = np.empty((len(r), n))
        for a, b in {(int(a), int(b)) for a, b in zip(zi, zj)}:
            chosen = (zi == a) & (zj == b)
            radial[chosen] = self.functions.evaluate_labels(r[chosen], self.species[a], self.species[b], self.labels)
        for i, (start, stop) in enumerate(zip(pairs.offsets[:-1], pairs.offsets[1:])):
            for z in range(len(self.species)):  # neighbors of one species stand together
                mine = start + np.flatnonzero(zj[start:stop] == z)
                if len(mine):
                    sums[i, z * n : (z + 1) * n] = radial[mine].T @ harmonics[mine]
        return sums

    def moments(self, whitened: bool) -> tuple[RadialBasis, tuple[str, ...], list[int], np.ndarray, np.ndarray]:
        """The fields of `MeanCovariance`."""
        n, n_species = len(self.labels), len(self.species)
        means = np.zeros((n_species, n_species * n))
        covariances = np.zeros((n_species, self.n_l, n_species * n, n_species * n))
        matrices = {}
        for center in range(n_species):
            roots = []
            for l, factor in enumerate(self.factors[center]):
                if not factor.n_rows:
                    raise ValueError(f"structures hold no atom of {self.species[center]}")
                R = factor.R / np.sqrt(factor.n_rows)
                if l == 0:
                    means[center], R = R[0, 1:], R[1:, 1:]
                roots.append(R)
            if whitened:
                for z, neighbor in enumerate(self.species):
                    W = np.array([self._whitening(roots[l], center, z, l) for l in range(self.basis_l)])
                    matrices[self.species[center], neighbor] = W
                    first = slice(z * n, z * n + self.grade_sizes[0])
                    means[center, first] = W[0] @ means[center, first]
                    for l in range(self.basis_l):
                        roots[l][:, first] = roots[l][:, first] @ W[l].T
            covariances[center] = [R.T @ R for R in roots]
        functions = WhitenedRadialBasis(self.functions, matrices) if whitened else self.functions
        return functions, self.species, self.grade_sizes, means, covariances

    def _whitening(self, R: np.ndarray, center: int, z: int, l: int) -> np.ndarray:
        """Lower-triangular W with W C Wᵀ = 1 for the covariance C = RᵀR of the functions of one neighbor species."""
        n = len(self.labels)
        columns = R[:, z * n : z * n + self.grade_sizes[0]]
        R = qr(columns, mode="r")[0][: columns.shape[1]]
        R = R * np.where(np.diag(R) < 0, -1.0, 1.0)[:, None]
        dependent = np.flatnonzero(np.diag(R) <= _DEPENDENT * np.linalg.norm(R, axis=0))
        if len(dependent):
            raise ValueError(
                f"the sums A of {self.species[z]} around {self.species[center]} with l = {l} support only "
                f"{dependent[0]} independent radial functions in the structures, {len(R)} are needed; "
                "use more varied structures, a smaller basis, or whitened=False"
            )
        return solve_triangular(R.T, np.eye(len(R)), lower=True)


def _collected(empty: _Sums, n_atoms: int | None, seed: int, batch: Sequence[tuple[int, Atoms]]) -> _Sums:
    """The sums of some structures, which come with their numbers."""
    sums = deepcopy(empty)
    for k, atoms in batch:
        chosen = None
        if n_atoms is not None and n_atoms < len(atoms):
            rng = np.random.default_rng([seed, k])
            chosen = np.sort(rng.choice(len(atoms), n_atoms, replace=False))
        with naming_structure(k):
            sums.add(atoms, chosen)
    return sums


def _grade_sizes(blocks: list[list[int]], canonical: bool) -> list[int]:
    """The number of radial functions of each grade that products of the factors' n reach."""
    grades = max(map(len, blocks)) if canonical else 1
    return [1 + max(sum(sorted(ns)[-s:]) for ns in blocks if len(ns) >= s) for s in range(1, grades + 1)]
