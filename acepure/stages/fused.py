"""From operators to numbers: fills the tables of the compiled evaluator and runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy.sparse import csr_array

from acepure._kernels import evaluator as kernel
from acepure._kernels import harmonics as harmonics_kernel
from acepure._utils.threads import CENTERS_PER_THREAD, useful_threads
from acepure.algebra.operators import Operators
from acepure.functions.polynomials import Chebyshev
from acepure.functions.radial import PolynomialRadialBasis, RadialBasis
from acepure.neighbors.lists import NeighborList
from acepure.stages.pooling import pooling_layout
from acepure.stages.products import WeightedProducts, factored_products, product_graph, weighted_products

__all__ = [
    "FeatureEvaluator",
    "LinearEvaluator",
    "PairGeometry",
    "PullbackEvaluator",
    "csr_tables",
]

# Radial functions without a kernel are tabulated for this many pairs at a time (8 MB for 25 functions).
_PAIRS_PER_TABLE = 40_000

# Centers times products that one call of a kernel takes, about a tenth of a second: Ctrl-C is seen between calls.
_WORK_PER_CALL = 2e7
# A pair costs the Jacobian about as much as a center costs the features, and atoms have dozens of pairs.
_JACOBIAN_WORK = 32


class PairGeometry:
    """Tables of the sums A of one set of operators, and the radial functions of pairs that have no kernel.

    Parameters
    ----------
    operators : Operators
    radial : RadialBasis
    species : sequence of str
        Chemical symbols; positions are species indices.
    shift : numpy.ndarray, shape (n_species, n_one_particle), optional
        μ, taken off the sums A of the centers of each species.
    """

    def __init__(
        self, operators: Operators, radial: RadialBasis, species: Sequence[str], shift: np.ndarray | None = None
    ) -> None:
        self._radial = radial
        self._species = tuple(species)
        one_particle = operators.extended_products.one_particle
        layout = pooling_layout(one_particle, len(species), operators.algebra, harmonics_kernel.lanes)
        self._channels = layout.channels
        self._n_products = sum(map(len, operators.extended_products.factors))
        position = {q: i for i, q in enumerate(layout.channels)}
        self.leaf_tables = tuple(  # channel, harmonic and species of each one-particle function
            np.array(column, dtype=np.int32)
            for column in zip(*((position[v.q], v.l * v.l + v.l + v.m, v.z) for v in one_particle))
        )
        self.pooling = kernel.Pooling(
            len(species),
            layout.lmax,
            np.array([[float(radial.cutoff(a, b)) for b in species] for a in species]),
            _harmonics_coefficients(layout.lmax),
            *self._radial_tables(layout.grade_sizes),
            layout.grade_sizes,
            layout.start,
            layout.n_blocks,
            layout.l_indptr,
            layout.l_channels,
            layout.size,
            layout.leaves,
            np.empty((0, 0)) if shift is None else shift,
        )

    def _radial_tables(self, grade_sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Parameters and recurrences of each ordered pair; empty where the functions have no kernel."""
        if not self._radial.has_kernel:
            return np.empty((0, 0)), np.empty((0, 0, 0)), np.empty((0, 0))
        assert isinstance(self._radial, PolynomialRadialBasis)  # no others have a kernel
        pairs = [(a, b) for a in self._species for b in self._species]
        n_radial = int(grade_sizes[0])
        return (
            np.array([self._radial.parameters(*pair) for pair in pairs]),
            np.array([self._radial.recurrence(*pair, n_radial) for pair in pairs]),
            Chebyshev().recurrence(int(grade_sizes.max())),
        )

    def parts(
        self, neighbors: NeighborList, rows: np.ndarray, species: np.ndarray, gradients: bool = False, work: int = 1
    ) -> Iterator[tuple[slice, slice, tuple[np.ndarray, ...]]]:
        """Divide a neighbor list into parts of bounded memory and time.

        Parameters
        ----------
        neighbors, rows, species
            As in `FeatureEvaluator.evaluate`.
        gradients : bool
            Whether derivatives of the radial functions are needed.
        work : int
            How much a center costs, relative to its features.

        Yields
        ------
        centers, pairs : slice
            The part, as a range of centers and of pairs of the list.
        arguments : tuple
            rows, offsets, vectors, center species, pair species, radial table and its derivatives, as the kernels take
            them, counted from the start of the part.
        """
        center_species = species[neighbors.centers]
        pair_species = species[neighbors.neighbors]
        for first, last in self._ranges(neighbors.offsets, work):
            start, stop = int(neighbors.offsets[first]), int(neighbors.offsets[last])
            chosen = rows[(rows >= first) & (rows < last)] - first
            offsets = neighbors.offsets[first : last + 1] - start
            vectors, zi, zj = neighbors.vectors[start:stop], center_species[first:last], pair_species[start:stop]
            tables = self._tables(vectors, zi, offsets, zj, gradients)
            yield slice(first, last), slice(start, stop), (chosen, offsets, vectors, zi, zj, *tables)

    def _ranges(self, offsets: np.ndarray, work: int) -> Iterator[tuple[int, int]]:
        """Ranges of centers of bounded work; without a kernel, also of bounded numbers of pairs."""
        n_centers = len(offsets) - 1
        most = max(CENTERS_PER_THREAD, int(_WORK_PER_CALL / (work * self._n_products)))
        first = 0
        while first < n_centers:
            last = min(first + most, n_centers)
            if not self._radial.has_kernel:
                fitting = int(np.searchsorted(offsets, offsets[first] + _PAIRS_PER_TABLE, side="right")) - 1
                last = min(last, max(fitting, first + 1))
            yield first, last
            first = last

    def _tables(
        self, vectors: np.ndarray, zi: np.ndarray, offsets: np.ndarray, zj: np.ndarray, gradients: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Radial functions of pairs and d/dr, shape (n_pairs, n_channels); empty where the kernel computes them."""
        tables = np.empty((2, 0, 0))
        if self._radial.has_kernel:
            return tables[0], tables[1]
        r, zi = np.linalg.norm(vectors, axis=1), np.repeat(zi, np.diff(offsets))
        tables = np.zeros((2, len(r), len(self._channels)))
        for a, center in enumerate(self._species):
            for b, neighbor in enumerate(self._species):
                pairs = np.flatnonzero((zi == a) & (zj == b))
                if not len(pairs):
                    continue
                arguments = (r[pairs], center, neighbor, self._channels)
                values: Sequence[np.ndarray]
                if gradients:
                    values = self._radial.evaluate_labels_with_gradients(*arguments)
                else:
                    values = [self._radial.evaluate_labels(*arguments)]
                for table, value in zip(tables, values):
                    table[pairs] = value
        return tables[0], tables[1]


class FeatureEvaluator:
    """Evaluates the features of one set of operators; read-only once built.

    Parameters
    ----------
    geometry : PairGeometry
    operators : Operators
    """

    def __init__(self, geometry: PairGeometry, operators: Operators) -> None:
        self._geometry = geometry
        factored = factored_products(operators.extended_products)
        indptr, columns, data = csr_tables(operators.extended_symmetrization)
        P_B = operators.invariant_purification
        self._kernel = kernel.Features(
            geometry.pooling,
            factored.left,
            factored.right,
            indptr,
            factored.first[columns],
            factored.second[columns],
            data,
            *(csr_tables(P_B) if P_B is not None else (_EMPTY, _EMPTY, np.empty(0))),
        )

    def evaluate(
        self,
        neighbors: NeighborList,
        rows: np.ndarray,
        species: np.ndarray,
        out: np.ndarray,
        targets: np.ndarray,
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
        out : numpy.ndarray of float64, shape (n, n_features)
        targets : numpy.ndarray of int64, shape (n_rows,)
            The row of `out` that receives each center.
        num_threads : int
        """
        threads = useful_threads(len(rows), num_threads)
        for centers, _, (*arguments, _) in self._geometry.parts(neighbors, rows, species):
            chosen = (rows >= centers.start) & (rows < centers.stop)
            self._kernel.evaluate(*arguments, targets[chosen], out, threads)

    def pushforward(
        self,
        neighbors: NeighborList,
        rows: np.ndarray,
        species: np.ndarray,
        motion: tuple[np.ndarray, np.ndarray],
        out: np.ndarray,
        derivatives: np.ndarray,
        targets: np.ndarray,
        num_threads: int,
    ) -> None:
        """Write the features of some centers, and their derivatives along a motion.

        Parameters
        ----------
        neighbors, rows, species, out, targets, num_threads
            As in `evaluate`.
        motion : tuple of numpy.ndarray, shapes (n_atoms, 3) and (3, 3)
            w and ε of ṙ_ij = w_j − w_i + ε r_ij.
        derivatives : numpy.ndarray of float64, in the shape of `out`
        """
        threads = useful_threads(len(rows), num_threads)
        for centers, pairs, arguments in self._geometry.parts(neighbors, rows, species, True):
            chosen = (rows >= centers.start) & (rows < centers.stop)
            atoms = neighbors.centers[centers], neighbors.neighbors[pairs]
            self._kernel.pushforward(*arguments, *atoms, *motion, targets[chosen], out, derivatives, threads)

    def jacobian(
        self, neighbors: NeighborList, rows: np.ndarray, species: np.ndarray, out: np.ndarray, num_threads: int
    ) -> None:
        """Write ∂B_f(i)/∂r_ij of the pairs of some centers.

        Parameters
        ----------
        neighbors, rows, species, num_threads
            As in `evaluate`.
        out : numpy.ndarray of float64, shape (n_pairs, 3, n_features)
        """
        leaves, threads = self._geometry.leaf_tables, useful_threads(len(rows), num_threads)
        for _, pairs, arguments in self._geometry.parts(neighbors, rows, species, True, _JACOBIAN_WORK):
            self._kernel.jacobian(*arguments, *leaves, out[pairs], threads)


class PullbackEvaluator:
    """Vector-Jacobian products of the features of one set of operators.

    Parameters
    ----------
    geometry : PairGeometry
    operators : Operators
    """

    def __init__(self, geometry: PairGeometry, operators: Operators) -> None:
        self._geometry = geometry
        graph = product_graph(operators.extended_products)
        C, P_B = operators.extended_symmetrization, operators.invariant_purification
        n_nodes = graph.n_leaves + 1 + len(graph.left)
        C = csr_array((C.data, graph.nodes[C.indices], C.indptr), shape=(C.shape[0], n_nodes))
        self._kernel = kernel.Pullback(
            geometry.pooling,
            operators.symmetrization.shape[0],
            graph.left,
            graph.right,
            *csr_tables(C.T.tocsr()),
            *(csr_tables(P_B.T.tocsr()) if P_B is not None else (_EMPTY, _EMPTY, np.empty(0))),
        )

    def evaluate(
        self,
        neighbors: NeighborList,
        rows: np.ndarray,
        species: np.ndarray,
        cotangents: np.ndarray,
        gradients: np.ndarray,
        num_threads: int,
    ) -> None:
        """Write Σ_f g_if ∂B_f(i)/∂r_ij for the pairs of some centers.

        Parameters
        ----------
        neighbors, rows, species, num_threads
            As in `FeatureEvaluator.evaluate`.
        cotangents : numpy.ndarray of float64, shape (n_centers, n_features)
            g.
        gradients : numpy.ndarray of float64, shape (n_pairs, 3)
        """
        threads = useful_threads(len(rows), num_threads)
        for centers, pairs, arguments in self._geometry.parts(neighbors, rows, species, True):
            self._kernel.evaluate(*arguments, cotangents[centers], gradients[pairs], threads)


class LinearEvaluator:
    """Evaluates E_ip = Σ_f θ_pf B_f of the centers of one species, θ folded into the products once.

    Parameters
    ----------
    geometry : PairGeometry
    operators : Operators
    weights : numpy.ndarray of float64, shape (n_outputs, n_features)
        θ.
    like : LinearEvaluator, optional
        Of the same operators: its arrangement of products is taken over if it has all that have weight.
    """

    def __init__(
        self, geometry: PairGeometry, operators: Operators, weights: np.ndarray, like: LinearEvaluator | None = None
    ) -> None:
        self._geometry = geometry
        P_B, C = operators.invariant_purification, operators.extended_symmetrization
        folded = np.stack([C.T @ (theta if P_B is None else P_B.T @ theta) for theta in weights], axis=1)
        used = (folded != 0).any(axis=1)
        if like is not None and not (used & ~like.products.used).any():
            tables = like.products
        else:
            tables = weighted_products(operators.extended_products, used)
        self.products: WeightedProducts = tables
        self._n_leaves, self._n_outputs = len(operators.extended_products.one_particle), len(weights)
        self._kernel = kernel.Linear(
            geometry.pooling,
            tables.left,
            tables.right,
            tables.nodes,
            tables.group_left,
            tables.group_indptr,
            tables.terminal_right,
            folded[tables.products],
            folded[tables.terminal_products],
        )

    def evaluate(
        self,
        neighbors: NeighborList,
        rows: np.ndarray,
        species: np.ndarray,
        values: np.ndarray,
        gradients: np.ndarray | None,
        num_threads: int,
    ) -> None:
        """Write the values of some centers, and the gradients of their pairs.

        Parameters
        ----------
        neighbors, rows, species, num_threads
            As in `FeatureEvaluator.evaluate`; centers of one species.
        values : numpy.ndarray of float64, shape (n_centers, n_outputs)
        gradients : numpy.ndarray of float64, shape (n_pairs, 3), or None
            Receives ∂E_i/∂r_ij; for one output.
        """
        threads = useful_threads(len(rows), num_threads)
        for centers, pairs, arguments in self._geometry.parts(neighbors, rows, species, gradients is not None):
            part = _NO_ROWS if gradients is None else gradients[pairs]
            self._kernel.evaluate(*arguments, _NO_SUMS, False, values[centers], _NO_ROWS, part, threads)

    def pullback(
        self,
        neighbors: NeighborList,
        rows: np.ndarray,
        species: np.ndarray,
        cotangents: np.ndarray,
        gradients: np.ndarray,
        num_threads: int,
    ) -> None:
        """Write Σ_p g_ip ∂E_ip/∂r_ij for the pairs of some centers, in one sweep for all outputs.

        Parameters
        ----------
        neighbors, rows, species, num_threads
            As in `evaluate`.
        cotangents : numpy.ndarray of float64, shape (n_centers, n_outputs)
            g.
        gradients : numpy.ndarray of float64, shape (n_pairs, 3)
        """
        threads = useful_threads(len(rows), num_threads)
        for centers, pairs, arguments in self._geometry.parts(neighbors, rows, species, True):
            self._kernel.evaluate(*arguments, _NO_SUMS, False, _NO_ROWS, cotangents[centers], gradients[pairs], threads)

    def compose(
        self,
        neighbors: NeighborList,
        rows: np.ndarray,
        species: np.ndarray,
        function: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
        values: np.ndarray,
        gradients: np.ndarray,
        num_threads: int,
    ) -> None:
        """Write F(E_i1, ..., E_iP) of some centers and its gradients; the sums A are made once.

        Parameters
        ----------
        neighbors, rows, species, gradients, num_threads
            As in `evaluate`.
        function : callable
            From E, shape (n, n_outputs), to F and ∂F/∂E, shapes (n,) and (n, n_outputs).
        values : numpy.ndarray of float64, shape (n_centers,)
        """
        threads = useful_threads(len(rows), num_threads)
        for centers, pairs, arguments in self._geometry.parts(neighbors, rows, species, True):
            chosen = arguments[0]
            if not len(chosen):
                continue
            sums = np.empty((-(-len(chosen) // harmonics_kernel.lanes), self._n_leaves, harmonics_kernel.lanes))
            outputs = np.empty((centers.stop - centers.start, self._n_outputs))
            self._kernel.evaluate(*arguments, sums, False, outputs, _NO_ROWS, _NO_ROWS, threads)
            values[centers][chosen], outputs[chosen] = function(outputs[chosen])
            self._kernel.evaluate(*arguments, sums, True, _NO_ROWS, outputs, gradients[pairs], threads)


def _harmonics_coefficients(lmax: int) -> np.ndarray:
    coefficients = np.empty((lmax + 1) * (lmax + 2))
    harmonics_kernel.harmonics_coefficients(lmax, coefficients)
    return coefficients


def csr_tables(matrix: csr_array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return indptr, indices and data, as the kernels take them."""
    data = np.ascontiguousarray(matrix.data, dtype=float)
    return matrix.indptr.astype(np.int32), matrix.indices.astype(np.int32), data


_EMPTY = np.empty(0, dtype=np.int32)
# what a sweep of a linear function neither takes nor makes
_NO_ROWS, _NO_SUMS = np.empty((0, 0)), np.empty((0, 0, 0))
