"""References that are a density of neighbors: an ideal gas, or the distances found in structures.

For an isotropic density, dN(r) neighbors at distances r to r + dr,

    μ_v = δ_l0 ∫ R_q(r) dN(r) / √(4π),      ∫ φ_u φ_v = δ_ll' δ_mm' ∫ R_q R_q' dN / (4π),

so radial functions orthonormal for dN / (4π) make the φ_v orthonormal for the density. For neighbors of a Poisson
process of that density, the centered canonical basis is then orthonormal: zero mean, unit variance (Itô, Wiener,
Charlier).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
from ase import Atoms
from scipy.special import roots_legendre

from acepure._utils.checks import count, number
from acepure._utils.pairs import per_pair, value_at
from acepure._utils.workers import (
    Workers,
    batched,
    checked_workers,
    kernel_threads,
    naming_structure,
    structure_bar,
    tree_reduce,
)
from acepure.functions.polynomials import Measure, Orthonormal, checked_measure
from acepure.functions.radial import PolynomialRadialBasis, RadialBasis
from acepure.neighbors.lists import NeighborList, find_pairs
from acepure.references.base import Reference, check_polynomial
from acepure.structures.gate import checked_structures

#: Intervals of distances.
N_BINS = 2000
_QUADRATURE_NODES = 400
# Atoms of a batch of structures, so that there is more work in it than in sending it.
ATOMS = 50_000
_gauss_legendre = cache(roots_legendre)  # an eigenvalue problem, asked for once per function


class DensityReference(Reference):
    """Base of references that are a density of neighbors; a subclass defines `measure`."""

    @abstractmethod
    def measure(self, center: str, neighbor: str, cutoff: float) -> Measure:
        """Return dN / (4π), the neighbors per center and steradian by distance, up to a cutoff in Å."""

    def radial(self, radial: RadialBasis, species: Sequence[str]) -> PolynomialRadialBasis:
        functions = check_polynomial(radial)
        pairs = [(a, b) for a in species for b in species]
        return replace(
            functions,
            polynomials=Orthonormal({pair: self.orthonormality(*pair, functions.cutoff(*pair)) for pair in pairs}),
        )

    def orthonormality(self, center: str, neighbor: str, cutoff: float) -> Measure:
        """Return what radial functions are made orthonormal for: the density itself, unless a subclass knows better."""
        return self.measure(center, neighbor, cutoff)

    def means(self, radial: RadialBasis, center: str, neighbor: str, labels: Sequence[Any]) -> np.ndarray:
        """Return μ_q = √(4π) Σ_k w_k R_q(r_k) over nodes and weights of the measure, shape (len(labels),)."""
        measure = self.measure(center, neighbor, radial.cutoff(center, neighbor))
        return np.sqrt(4 * np.pi) * (measure.weights @ radial.evaluate_labels(measure.nodes, center, neighbor, labels))


@dataclass(frozen=True)
class IdealGas(DensityReference):
    """Neighbors spread evenly and independently: dN(r) = 4π ρ r² dr.

    Parameters
    ----------
    density : float, or mapping of (str, str) to float
        ρ in atoms/Å³, > 0; one for all neighbors, or one per ordered pair of species.

    Raises
    ------
    TypeError, ValueError
        For densities that are no positive numbers.

    Examples
    --------
    >>> from acepure import ACEBasis, IdealGas
    >>> basis = ACEBasis(["Cu"], totaldegree=4).centered(IdealGas(0.085))
    >>> basis.reference
    IdealGas(density=0.085)
    """

    density: float | Mapping[tuple[str, str], float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "density", per_pair("density", self.density, lambda n, v: number(n, v, above=0)))

    @classmethod
    def from_atoms(cls, atoms: Atoms) -> IdealGas:
        """Return the ideal gas with the number density of each species of a structure periodic in three directions."""
        if not isinstance(atoms, Atoms) or not atoms.pbc.all():
            raise ValueError("atoms must be a structure periodic along all three axes to have a density")
        symbols = sorted(set(atoms.get_chemical_symbols()))
        numbers = {s: atoms.get_chemical_symbols().count(s) / atoms.get_volume() for s in symbols}
        return cls({(a, b): numbers[b] for a in symbols for b in symbols})

    def measure(self, center: str, neighbor: str, cutoff: float) -> Measure:
        """Return ρ r² dr by a Gauss-Legendre rule."""
        x, w = _gauss_legendre(_QUADRATURE_NODES)
        r = cutoff * (x + 1) / 2
        return Measure(r, value_at("density", self.density, center, neighbor) * r**2 * w * cutoff / 2)


@dataclass(frozen=True)
class RadialDensity(DensityReference):
    """The distances of neighbors as they are in structures, for each ordered pair of species or the same for all.

    Parameters
    ----------
    measures : mapping of (str, str) to Measure, or Measure
        dN / (4π): the histogram of distances from a center of the first species to neighbors of the second, divided
        by 4π and the number of centers. One for all pairs is their mean: then equal n mean like functions, and
        centered features of different species are alike in their means too, so that what is known of some species
        serves others.
    rcut : float
        How far distances were counted, in Å.
    background : float
        Share β of an ideal gas, with as many neighbors, in the density that radial functions are orthonormal for;
        0 ≤ β < 1. Without any, functions grow without bound at distances that no structure has: at those between the
        bonds of a molecule, say, where the next structure may have some. Means are those of the structures alone.
        With a background, a pair that no structure holds within its cutoff is served too: its means are 0, and its
        functions are orthonormal for an ideal gas with as many neighbors as the pairs that are there have on average.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from acepure import ACEBasis, RadialDensity
    >>> atoms = bulk("Cu", cubic=True) * 2
    >>> atoms.rattle(0.1, seed=0)
    >>> density = RadialDensity.from_structures([atoms], rcut=5.0)
    >>> features = ACEBasis(["Cu"], order=1, totaldegree=4).centered(density).descriptors(atoms)
    >>> bool(abs(features.mean(axis=0)).max() < 1e-4)
    True
    """

    measures: Mapping[tuple[str, str], Measure] | Measure
    rcut: float
    background: float = 0.0

    def __post_init__(self) -> None:
        background = number("background", self.background, least=0)
        if background >= 1:
            raise ValueError(f"background must be a share, 0 <= background < 1; got {background:g}")
        object.__setattr__(self, "background", background)
        object.__setattr__(self, "measures", per_pair("measures", self.measures, checked_measure))
        object.__setattr__(self, "rcut", number("rcut", self.rcut, above=0))

    @classmethod
    def from_structures(
        cls,
        structures: Atoms | Iterable[Atoms],
        rcut: float = 5.0,
        *,
        background: float = 0.0,
        common: bool = False,
        n_bins: int = N_BINS,
        workers: Workers = 1,
        num_threads: int = 1,
        progress: bool | None = None,
    ) -> RadialDensity:
        """Count the distances of neighbors.

        Parameters
        ----------
        structures : ase.Atoms or iterable of ase.Atoms
            Seen once, one at a time; a generator will do.
        rcut : float
            Count up to this distance, in Å.
        background : float
            Share of an ideal gas in what radial functions are orthonormal for.
        common : bool
            The mean density for all pairs.
        n_bins : int
            Distances are kept as the counts and mean distances of so many intervals of equal length.
        workers : int or dask.distributed.Client
            As in `acepure._utils.workers.tree_reduce`; the result does not depend on them.
        num_threads : int
            Of neighbor lists; workers take one each.
        progress : bool, optional
            Show a bar; default: when writing to a terminal.

        Raises
        ------
        TypeError, ValueError
            For wrong arguments, and for structures without two atoms within `rcut`.
        """
        rcut, n_bins, workers = number("rcut", rcut, above=0), count("n_bins", n_bins), checked_workers(workers)
        collect = partial(
            _histogram, rcut, n_bins, num_threads=kernel_threads(workers, count("num_threads", num_threads))
        )
        with structure_bar("distances", structures, progress) as bar:
            batches = batched(checked_structures(structures), len, ATOMS)
            total = tree_reduce(collect, Histogram.merge, batches, workers, bar=bar)
        assert total is not None  # no structure at all is an error
        return cls(total.mean_measure() if common else total.measures(), rcut, background)

    def __repr__(self) -> str:
        measures = self.measures
        pairs = "all pairs" if isinstance(measures, Measure) else ", ".join(f"{a}-{b}" for a, b in measures)
        background = f", background={self.background:g}" if self.background else ""
        return f"RadialDensity({pairs}; rcut={self.rcut:g}{background})"

    def orthonormality(self, center: str, neighbor: str, cutoff: float) -> Measure:
        """Return the density that radial functions are orthonormal for: that of the data and β of an ideal gas."""
        gas = IdealGas(1.0).measure(center, neighbor, cutoff)
        if self._is_unseen(center, neighbor, cutoff):
            assert isinstance(self.measures, Mapping)
            n_neighbors = np.mean([measure.weights.sum() for measure in self.measures.values()])
            return Measure(gas.nodes, gas.weights * (n_neighbors / gas.weights.sum()))
        data = self.measure(center, neighbor, cutoff)
        return self._with_background(data, cutoff)

    def _with_background(self, data: Measure, cutoff: float) -> Measure:
        if not self.background:
            return data
        gas = IdealGas(1.0).measure("X", "X", cutoff)
        inside = data.nodes < cutoff
        nodes, weights = data.nodes[inside], data.weights[inside]
        share = self.background * weights.sum() / gas.weights.sum()
        return Measure(
            np.concatenate([nodes, gas.nodes]), np.concatenate([(1 - self.background) * weights, share * gas.weights])
        )

    def means(self, radial: RadialBasis, center: str, neighbor: str, labels: Sequence[Any]) -> np.ndarray:
        if self._is_unseen(center, neighbor, radial.cutoff(center, neighbor)):
            return np.zeros(len(labels))
        return super().means(radial, center, neighbor, labels)

    def radial(self, radial: RadialBasis, species: Sequence[str]) -> PolynomialRadialBasis:
        if isinstance(self.measures, Mapping):
            return super().radial(radial, species)
        functions = check_polynomial(radial)
        cutoff = max(functions.cutoff(a, b) for a in species for b in species)
        return replace(functions, polynomials=Orthonormal(self.orthonormality(species[0], species[0], cutoff)))

    def _is_unseen(self, center: str, neighbor: str, cutoff: float) -> bool:
        """Whether a pair is left to the background alone."""
        if isinstance(self.measures, Measure) or not self.background or cutoff > self.rcut * (1 + 1e-12):
            return False
        pair = (center, neighbor)
        return pair not in self.measures or not self.measures[pair].weights[self.measures[pair].nodes < cutoff].any()

    def measure(self, center: str, neighbor: str, cutoff: float) -> Measure:
        """Return the measure of an ordered pair."""
        if cutoff > self.rcut * (1 + 1e-12):
            raise ValueError(f"rcut of the reference is {self.rcut:g} Å, but the radial functions reach {cutoff:g} Å")
        if isinstance(self.measures, Measure):
            return self.measures
        if (center, neighbor) not in self.measures:
            raise ValueError(
                f"the structures of the reference hold no neighbor {neighbor} of {center} within {self.rcut:g} Å; "
                "use structures that do, or background > 0"
            )
        return self.measures[center, neighbor]


class Histogram:
    """Counts and sums of distances, per ordered pair of species."""

    def __init__(self, rcut: float, n_bins: int = N_BINS) -> None:
        self.rcut, self.n_bins = rcut, n_bins
        self._centers: dict[str, int] = {}
        self._sums: dict[tuple[str, str], np.ndarray] = {}

    def add(self, atoms: Atoms, num_threads: int) -> None:
        species, centers = np.zeros(len(atoms), dtype=np.int32), np.arange(len(atoms), dtype=np.int32)
        # The structure was checked when it was read.
        self.count(atoms, find_pairs(atoms, np.array([[self.rcut]]), species, centers, num_threads))

    def count(self, atoms: Atoms, pairs: NeighborList) -> None:
        """Count the pairs of a list of all atoms."""
        symbols = np.array(atoms.get_chemical_symbols())
        centers = np.repeat(symbols[pairs.centers], np.diff(pairs.offsets))
        neighbors = symbols[pairs.neighbors]
        r = np.linalg.norm(pairs.vectors, axis=1)
        bins = np.minimum((r / self.rcut * self.n_bins).astype(np.int64), self.n_bins - 1)
        for a in sorted(set(symbols)):
            self._centers[a] = self._centers.get(a, 0) + int((symbols == a).sum())
            for b in sorted(set(neighbors[centers == a])):
                chosen = (centers == a) & (neighbors == b)
                sums = self._sums.setdefault((a, b), np.zeros((2, self.n_bins)))
                sums[0] += np.bincount(bins[chosen], minlength=self.n_bins)
                sums[1] += np.bincount(bins[chosen], weights=r[chosen], minlength=self.n_bins)

    def merge(self, other: Histogram) -> None:
        for symbol, n in other._centers.items():
            self._centers[symbol] = self._centers.get(symbol, 0) + n
        for pair, sums in other._sums.items():
            self._sums[pair] = self._sums[pair] + sums if pair in self._sums else sums.copy()

    def measures(self) -> dict[tuple[str, str], Measure]:
        """Return the measure of each ordered pair that is met."""
        self._check()
        result = {}
        for (a, b), (counts, distances) in self._sums.items():
            seen = counts > 0
            result[a, b] = Measure(distances[seen] / counts[seen], counts[seen] / (4 * np.pi * self._centers[a]))
        return result

    def mean_measure(self) -> Measure:
        """Return the mean over all ordered pairs of the species, with none where a pair is not met."""
        self._check()
        per_center = sum(sums / self._centers[a] for (a, _), sums in self._sums.items())
        counts, distances = np.asarray(per_center) / len(self._centers) ** 2
        seen = counts > 0
        return Measure(distances[seen] / counts[seen], counts[seen] / (4 * np.pi))

    def _check(self) -> None:
        if not self._sums:
            raise ValueError(f"structures hold no two atoms within {self.rcut:g} Å; a radial density needs some")


def _histogram(rcut: float, n_bins: int, batch: Sequence[tuple[int, Atoms]], num_threads: int) -> Histogram:
    """The distances in some structures, which come with their numbers."""
    histogram = Histogram(rcut, n_bins)
    for k, atoms in batch:
        with naming_structure(k):
            histogram.add(atoms, num_threads)
    return histogram
