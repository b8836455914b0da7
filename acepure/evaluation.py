"""From operators to numbers: fills the tables of the compiled evaluator and runs it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.sparse import csr_array

from acepure._kernels import evaluator as kernel
from acepure._kernels import harmonics as harmonics_kernel
from acepure.basis.atomic import pooling_layout
from acepure.basis.polynomials import Chebyshev
from acepure.basis.products import product_graph
from acepure.basis.radial import RadialBasis
from acepure.checks import count
from acepure.neighbors import NeighborList
from acepure.operators.assembly import Operators

__all__ = ["FeatureEvaluator", "resolve_num_threads"]

# Radial functions without a kernel are tabulated for this many pairs at a time (8 MB for 25 functions).
_PAIRS_PER_TABLE = 40_000


class FeatureEvaluator:
    """Evaluates the features of one set of operators; read-only once built.

    Parameters
    ----------
    operators : Operators
    radial : RadialBasis
    species : sequence of str
        Chemical symbols; positions are species indices.
    """

    def __init__(self, operators: Operators, radial: RadialBasis, species: Sequence[str]) -> None:
        self._radial = radial
        self._species = tuple(species)
        self.n_features = operators.symmetrization.shape[0]
        extended = operators.extended_products
        layout = pooling_layout(extended.one_particle, len(species), operators.algebra, harmonics_kernel.lanes)
        self._channels = layout.channels
        graph = product_graph(extended)
        P_B = operators.invariant_purification
        self._kernel = kernel.Evaluator(
            len(species),
            layout.lmax,
            _harmonics_coefficients(layout.lmax),
            *self._radial_tables(layout.grade_sizes),
            layout.grade_sizes,
            layout.start,
            layout.n_blocks,
            layout.size,
            layout.leaves,
            graph.left,
            graph.right,
            np.empty((0, 0)),
            *_csr(operators.extended_symmetrization, graph.nodes),
            *(_csr(P_B) if P_B is not None else (_EMPTY, _EMPTY, np.empty(0))),
        )

    def _radial_tables(self, grade_sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Parameters and recurrences of each ordered pair; empty where the functions have no kernel."""
        if not self._radial.has_kernel:
            return np.empty((0, 0)), np.empty((0, 0, 0)), np.empty((0, 0))
        pairs = [(a, b) for a in self._species for b in self._species]
        n_radial = int(grade_sizes[0])
        return (
            np.array([self._radial.parameters(*pair) for pair in pairs]),
            np.array([self._radial.recurrence(*pair, n_radial) for pair in pairs]),
            Chebyshev().recurrence(int(grade_sizes.max())),
        )

    def evaluate(
        self,
        neighbors: NeighborList,
        rows: np.ndarray,
        species: np.ndarray,
        out: np.ndarray,
        num_threads: int,
    ) -> None:
        """Write the features of some centers.

        Parameters
        ----------
        neighbors : NeighborList
        rows : numpy.ndarray of int64
            Which centers of the list.
        species : numpy.ndarray of int32, shape (n_atoms,)
            Species indices.
        out : numpy.ndarray of float64, shape (n_centers, n_features)
            Receives the rows `rows`.
        num_threads : int
        """
        center_species = species[neighbors.centers]
        pair_species = species[neighbors.neighbors]
        for first, last in self._ranges(neighbors.offsets):
            chosen = rows[(rows >= first) & (rows < last)] - first
            start, stop = neighbors.offsets[first], neighbors.offsets[last]
            vectors, zi, zj = neighbors.vectors[start:stop], center_species[first:last], pair_species[start:stop]
            offsets = neighbors.offsets[first : last + 1] - start
            table = self._table(vectors, np.repeat(zi, np.diff(offsets)), zj)
            self._kernel.evaluate(chosen, offsets, vectors, zi, zj, table, out[first:last], num_threads)

    def _ranges(self, offsets: np.ndarray) -> Iterator[tuple[int, int]]:
        """Ranges of centers: all at once with a kernel, else of bounded numbers of pairs."""
        n_centers = len(offsets) - 1
        first = 0
        while first < n_centers:
            last = n_centers
            if not self._radial.has_kernel:
                last = int(np.searchsorted(offsets, offsets[first] + _PAIRS_PER_TABLE, side="right")) - 1
                last = min(max(last, first + 1), n_centers)
            yield first, last
            first = last

    def _table(self, vectors: np.ndarray, centers: np.ndarray, neighbors: np.ndarray) -> np.ndarray:
        """Radial functions of pairs, shape (n_pairs, n_channels); empty where the kernel computes them."""
        if self._radial.has_kernel:
            return np.empty((0, 0))
        r = np.linalg.norm(vectors, axis=1)
        table = np.empty((len(r), len(self._channels)))
        for zi, center in enumerate(self._species):
            for zj, neighbor in enumerate(self._species):
                pairs = np.flatnonzero((centers == zi) & (neighbors == zj))
                if len(pairs):
                    values = self._radial.evaluate_labels(r[pairs], center, neighbor, self._channels)
                    table[pairs] = _checked_values(values, (len(pairs), len(self._channels)), self._radial)
        return table


def resolve_num_threads(num_threads: int | None) -> int:
    """Return the number of threads: the argument, else ACEPURE_NUM_THREADS, else OMP_NUM_THREADS, else all cores."""
    if num_threads is not None:
        return count("num_threads", num_threads)
    for variable in ("ACEPURE_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(variable, "").strip()
        if value.isdigit() and int(value) > 0:
            return int(value)
        if value and variable == "ACEPURE_NUM_THREADS":
            raise ValueError(f"the environment variable {variable} must be a positive integer; got {value!r}")
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _harmonics_coefficients(lmax: int) -> np.ndarray:
    coefficients = np.empty((lmax + 1) * (lmax + 2))
    harmonics_kernel.harmonics_coefficients(lmax, coefficients)
    return coefficients


def _csr(matrix: csr_array, columns: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """indptr, indices and data; `columns` renumbers the columns."""
    indices = matrix.indices if columns is None else columns[matrix.indices]
    return matrix.indptr.astype(np.int32), indices.astype(np.int32), np.ascontiguousarray(matrix.data, dtype=float)


def _checked_values(values: np.ndarray, shape: tuple[int, int], radial: RadialBasis) -> np.ndarray:
    values = np.asarray(values)
    if values.shape != shape:
        raise ValueError(f"{radial!r} returned values of shape {values.shape}; {shape} is needed")
    if not np.isfinite(values).all():
        raise ValueError(f"{radial!r} returned values that are not finite")
    return values


_EMPTY = np.empty(0, dtype=np.int32)
