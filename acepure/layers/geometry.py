"""What layers see of structures: radial functions and harmonics of pairs with derivatives, from the compiled kernels.

Positions are nowhere differentiated by PyTorch: an energy is differentiated with respect to g_n(r) and Y_lm(r̂) of each
pair, and

    ∂E/∂r_ij = Σ_n ∂E/∂g_n g_n'(r) r̂ + Σ_lm ∂E/∂Y_lm ∇Y_lm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from acepure.functions.harmonics import RealSphericalHarmonics
from acepure.functions.radial import RadialBasis
from acepure.layers._torch import Tensor, torch
from acepure.neighbors.lists import NeighborList

__all__: list[str] = []  # of no use outside

ONE_CUTOFF = 'canonical="no-backtracking" needs cutoffs that are the same for both orders of two species'


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of one structure, each center having all of its neighbors.

    Attributes
    ----------
    species : numpy.ndarray of int, shape (n_atoms,)
    neighbors : NeighborList
    g, slopes : numpy.ndarray, shape (n_pairs, n_radial)
        Radial functions and their derivatives in 1/Å.
    Y : numpy.ndarray, shape (n_pairs, (l_max + 1)²)
    gradients : numpy.ndarray, shape (n_pairs, 3, (l_max + 1)²)
        ∇Y in 1/Å.
    """

    species: np.ndarray
    neighbors: NeighborList
    g: np.ndarray
    slopes: np.ndarray
    Y: np.ndarray
    gradients: np.ndarray

    @property
    def owners(self) -> np.ndarray:
        """Center of each pair."""
        return np.repeat(np.arange(self.neighbors.n_centers), np.diff(self.neighbors.offsets))


def radial_values(
    radial: RadialBasis, names: Sequence[str], ends: tuple[np.ndarray, np.ndarray], r: np.ndarray, whitening: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return whitened radial functions and slopes of pairs; ends are species of centers and neighbors.

    Parameters
    ----------
    whitening : numpy.ndarray, shape (n_species², n_radial, n_radial)
        Lower triangles: g_n = Σ_k whitening_nk f P_k, by the ordered pair of species.
    """
    n = whitening.shape[1]
    g, slopes = np.zeros((2, len(r), n))
    for a, center in enumerate(names):
        for b, neighbor in enumerate(names):
            here = np.flatnonzero((ends[0] == a) & (ends[1] == b))
            if here.size:
                found = radial.evaluate_with_gradients(r[here], center, neighbor, n)
                root = whitening[a * len(names) + b].T
                g[here], slopes[here] = found[0] @ root, found[1] @ root
    return g, slopes


def pairs_of(
    species: np.ndarray,
    neighbors: NeighborList,
    radial: RadialBasis,
    names: Sequence[str],
    whitening: np.ndarray,
    l_max: int,
) -> Pairs:
    """Evaluate radial functions and harmonics of all pairs."""
    if not np.array_equal(neighbors.centers, np.arange(neighbors.n_atoms)):
        raise ValueError(
            f"neighbors must have all {neighbors.n_atoms} atoms as centers, in their order, as messages pass through "
            f"neighbors; got {neighbors.n_centers} centers"
        )
    r = np.sqrt((neighbors.vectors**2).sum(1))
    owners = np.repeat(neighbors.centers, np.diff(neighbors.offsets))
    g, slopes = radial_values(radial, names, (species[owners], species[neighbors.neighbors]), r, whitening)
    harmonics = RealSphericalHarmonics(l_max)
    if not len(r):
        n = harmonics.n_harmonics
        return Pairs(species, neighbors, g, slopes, np.empty((0, n)), np.empty((0, 3, n)))
    return Pairs(species, neighbors, g, slopes, *harmonics.evaluate_with_gradients(neighbors.vectors))


def reverse_pairs(neighbors: NeighborList) -> np.ndarray:
    """Return where (j, i, −S) is in the list, for each pair (i, j, S)."""
    owners = np.repeat(neighbors.centers, np.diff(neighbors.offsets))
    forward = np.column_stack([owners, neighbors.neighbors, neighbors.shifts])
    backward = np.column_stack([neighbors.neighbors, owners, -neighbors.shifts])
    order, partners = np.lexsort(forward.T[::-1]), np.lexsort(backward.T[::-1])
    if not np.array_equal(forward[order], backward[partners]):
        raise ValueError(ONE_CUTOFF)
    result = np.empty(len(order), dtype=np.int64)
    result[partners] = order
    return result


class Batch:
    """Structures side by side, as tensors: dense by center, and sorted by the ordered pair of species.

    Attributes
    ----------
    g : Tensor, shape (n_pairs, n_radial)
        In sorted order.
    Y : Tensor, shape (n_atoms, J, (l_max + 1)²)
        Dense; zero where a center has fewer neighbors. Energies are differentiated with respect to both.
    bounds : list of (int, int, int)
        Ordered pair of species, first and last + 1 of its pairs.
    dense : Tensor of int64, shape (n_atoms J,)
        Pair in sorted order; n_pairs where there is none.
    neighbors, reverse : Tensor of int64, shape (n_atoms J,)
        Neighboring atom, and place of the reverse pair among the dense ones; 0 where there is none.
    species, structure : Tensor of int64, shape (n_atoms,)
    """

    def __init__(self, parts: Sequence[Pairs], n_species: int, dtype: Tensor, reverse: bool) -> None:
        atoms = [0, *accumulate(len(part.species) for part in parts)]
        counts = np.concatenate([np.diff(part.neighbors.offsets) for part in parts])
        J = max(int(counts.max(initial=0)), 1)
        first = np.concatenate([[0], np.cumsum(counts)])
        owners = np.repeat(np.arange(len(counts)), counts)
        places = owners * J + np.arange(len(owners)) - first[owners]
        neighbors = np.concatenate([part.neighbors.neighbors + n for part, n in zip(parts, atoms)]).astype(np.int64)
        species = np.concatenate([part.species for part in parts]).astype(np.int64)
        kinds = species[owners] * n_species + species[neighbors]
        order = np.argsort(kinds, kind="stable")
        edges = np.searchsorted(kinds[order], np.arange(n_species**2 + 1)).tolist()
        bounds = [(kind, a, b) for kind, (a, b) in enumerate(pairwise(edges)) if b > a]
        self.bounds = bounds or [(0, 0, 0)]
        self.n_structures, self.shape = len(parts), (len(counts), J)

        def gathered(name: str) -> Tensor:
            return torch.as_tensor(np.concatenate([getattr(part, name) for part in parts])[order], dtype=dtype)

        def at_places(values: np.ndarray, elsewhere: int) -> Tensor:
            result = np.full(len(counts) * J, elsewhere)
            result[places[order]] = values
            return torch.as_tensor(result)

        self.g = gathered("g").requires_grad_()
        self._where = torch.as_tensor(places[order])
        harmonics = torch.zeros((len(counts) * J, parts[0].Y.shape[1]), dtype=dtype)
        harmonics[self._where] = gathered("Y")
        self.Y = harmonics.reshape(len(counts), J, -1).requires_grad_()
        self._slopes, self._gradients = gathered("slopes"), gathered("gradients")
        vectors = np.concatenate([part.neighbors.vectors for part in parts])[order]
        self._vectors = torch.as_tensor(vectors, dtype=dtype)
        self._units = torch.as_tensor(vectors / np.sqrt((vectors**2).sum(1, keepdims=True)), dtype=dtype)
        self._ends = torch.as_tensor(owners[order]), torch.as_tensor(neighbors[order])
        self.dense = at_places(np.arange(len(order)), len(order))
        self.neighbors = at_places(neighbors[order], 0)
        self.species = torch.as_tensor(species)
        self.structure = torch.as_tensor(np.repeat(np.arange(len(parts)), np.diff(atoms)))
        if reverse:
            starts = [0, *accumulate(part.neighbors.n_pairs for part in parts)]
            partner = np.concatenate([reverse_pairs(part.neighbors) + n for part, n in zip(parts, starts)])
            self.reverse = at_places(places[partner[order]], 0)

    def of_structures(self, values: Tensor) -> Tensor:
        """Sum over the atoms of each structure."""
        return torch.zeros((self.n_structures, *values.shape[1:]), dtype=values.dtype).index_add(
            0, self.structure, values
        )

    def forces(self, by_radial: Tensor, by_harmonics: Tensor) -> tuple[Tensor, Tensor]:
        """Return forces (n_atoms, 3) and virials (n_structures, 3, 3) from ∂E/∂g and ∂E/∂Y."""
        along = (by_radial * self._slopes).sum(1, keepdim=True) * self._units
        angular = by_harmonics.reshape(-1, by_harmonics.shape[2])[self._where]
        h = along + (self._gradients @ angular[:, :, None])[:, :, 0]
        zeros = torch.zeros((self.shape[0], 3), dtype=h.dtype)
        forces = zeros.index_add(0, self._ends[0], h).index_add(0, self._ends[1], -h)
        outer = -(h[:, :, None] * self._vectors[:, None])
        virials = torch.zeros((self.n_structures, 3, 3), dtype=h.dtype)
        return forces, virials.index_add(0, self.structure[self._ends[0]], outer)
