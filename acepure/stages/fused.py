"""From operators to numbers: fills the tables of the compiled evaluator and runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from acepure._kernels import evaluator as kernel
from acepure._kernels import harmonics as harmonics_kernel
from acepure._utils.threads import CENTERS_PER_THREAD
from acepure.algebra.operators import Operators
from acepure.functions.polynomials import Chebyshev
from acepure.functions.radial import PolynomialRadialBasis, RadialBasis
from acepure.functions.splines import SplineRadialBasis
from acepure.labels.factors import ProductSet
from acepure.neighbors.environments import Chosen
from acepure.stages.pooling import pooling_layout, radial_channels, radial_mixing
from acepure.stages.products import WeightedProducts, factored_products, product_graph, weighted_products

__all__ = [
    "FeatureEvaluator",
    "LinearEvaluator",
    "PairGeometry",
    "PullbackEvaluator",
    "forward_contraction",
    "reverse_contraction",
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
        self._radial, self._species = radial.plain, tuple(species)
        one_particle = operators.extended_products.one_particle
        self._n_products = sum(map(len, operators.extended_products.factors))
        labels = sorted({v.q for v in one_particle})
        combinations = [radial.combination(a, b, labels) for a in species for b in species]
        self._channels, grade_sizes = radial_channels(
            combinations[0][0], isinstance(self._radial, PolynomialRadialBasis) and self._radial.has_kernel
        )
        mixing = radial_mixing(labels, self._channels, [matrix for _, matrix in combinations])
        layout = pooling_layout(one_particle, len(species), len(self._channels), mixing.parts, harmonics_kernel.lanes)
        leaves = ((mixing.numbers[v.q], v.l * v.l + v.l + v.m, v.z) for v in one_particle)
        self.pooling = kernel.Pooling(
            len(species),
            layout.lmax,
            np.array([[float(radial.cutoff(a, b)) for b in species] for a in species]),
            _harmonics_coefficients(layout.lmax),
            *self._radial_tables(grade_sizes),
            grade_sizes,
            *self._splines(),
            layout.start,
            layout.n_blocks,
            layout.l_indptr,
            layout.l_channels,
            layout.size,
            layout.leaves,
            *(np.array(column, dtype=np.int32) for column in zip(*leaves)),
            np.empty((0, 0)) if shift is None else shift,
            mixing.indptr,
            mixing.channels,
            mixing.weights,
        )

    def _splines(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tables that the kernel interpolates; empty for other functions."""
        if not isinstance(self._radial, SplineRadialBasis):
            return _NO_ROWS, np.empty(0, dtype=np.int64), np.empty(0)
        pairs = [(a, b) for a in self._species for b in self._species]
        return self._radial.kernel_tables(pairs, self._channels, harmonics_kernel.lanes)

    def _radial_tables(self, grade_sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Parameters and recurrences of each ordered pair; empty where the functions have no kernel."""
        if not isinstance(self._radial, PolynomialRadialBasis) or not self._radial.has_kernel:
            return np.empty((0, 0)), np.empty((0, 0, 0)), np.empty((0, 0))
        pairs = [(a, b) for a in self._species for b in self._species]
        n_radial = int(grade_sizes[0])
        return (
            np.array([self._radial.parameters(*pair) for pair in pairs]),
            np.array([self._radial.recurrence(*pair, n_radial) for pair in pairs]),
            Chebyshev().recurrence(int(grade_sizes.max())),
        )

    def parts(self, chosen: Chosen, gradients: bool = False, work: int = 1) -> Iterator[tuple[slice, slice, Any]]:
        """Divide a neighbor list into parts of bounded memory and time.

        Parameters
        ----------
        chosen : Chosen
        gradients : bool
            Whether derivatives of the radial functions are needed.
        work : int
            How much a center costs, relative to its features.

        Yields
        ------
        centers, pairs : slice
            The part, as a range of centers and of pairs of the list; those without any of the rows are left out.
        part : PairList
            The part as the kernels take it, its numbers counted from its start.
        """
        neighbors, rows, species, _ = chosen
        center_species = species[neighbors.centers]
        pair_species = species[neighbors.neighbors]
        for first, last in self._ranges(neighbors.offsets, work):
            here = rows[_within(rows, slice(first, last))] - first
            if not len(here):
                continue
            start, stop = int(neighbors.offsets[first]), int(neighbors.offsets[last])
            offsets = neighbors.offsets[first : last + 1] - start
            vectors, zi, zj = neighbors.vectors[start:stop], center_species[first:last], pair_species[start:stop]
            tables = self._tables(vectors, zi, offsets, zj, gradients)
            part = kernel.PairList(here, offsets, vectors, zi, zj, *tables)
            yield slice(first, last), slice(start, stop), part

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
        if isinstance(self._radial, SplineRadialBasis):
            _refuse_nearer(vectors, self._radial.nearest)
        if self._radial.has_kernel:
            return _NO_ROWS, _NO_ROWS
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
        C, width = operators.extended_symmetrization, operators.n_components
        self._kernel = forward_contraction(operators.extended_products, C, operators.component_purification, width)

    def evaluate(self, chosen: Chosen, out: np.ndarray, targets: np.ndarray) -> None:
        """Write the features of some centers.

        Parameters
        ----------
        chosen : Chosen
        out : numpy.ndarray of float64, shape (n, n_features)
        targets : numpy.ndarray of int64, shape (n_rows,)
            The row of `out` that receives each center.
        """
        for centers, _, part in self._geometry.parts(chosen):
            into = targets[_within(chosen.rows, centers)]
            self._kernel.evaluate(self._geometry.pooling, part, into, out, _NO_ROWS, chosen.threads)

    def pushforward(
        self,
        chosen: Chosen,
        motion: tuple[np.ndarray, np.ndarray],
        out: np.ndarray,
        derivatives: np.ndarray,
        targets: np.ndarray,
    ) -> None:
        """Write the features of some centers, and their derivatives along a motion.

        Parameters
        ----------
        chosen, out, targets
            As in `evaluate`.
        motion : tuple of numpy.ndarray, shapes (n_atoms, 3) and (3, 3)
            w and ε of ṙ_ij = w_j − w_i + ε r_ij.
        derivatives : numpy.ndarray of float64, in the shape of `out`
        """
        neighbors = chosen.neighbors
        for centers, pairs, part in self._geometry.parts(chosen, True):
            part.move(neighbors.centers[centers], neighbors.neighbors[pairs], *motion)
            into = targets[_within(chosen.rows, centers)]
            self._kernel.evaluate(self._geometry.pooling, part, into, out, derivatives, chosen.threads)

    def jacobian(self, chosen: Chosen, out: np.ndarray) -> None:
        """Write ∂B_f(i)/∂r_ij of the pairs of some centers.

        Parameters
        ----------
        chosen : Chosen
        out : numpy.ndarray of float64, shape (n_pairs, 3, n_features)
        """
        for _, pairs, part in self._geometry.parts(chosen, True, _JACOBIAN_WORK):
            self._kernel.jacobian(self._geometry.pooling, part, out[pairs], chosen.threads)


class PullbackEvaluator:
    """Vector-Jacobian products of the features of one set of operators.

    Parameters
    ----------
    geometry : PairGeometry
    operators : Operators
    """

    def __init__(self, geometry: PairGeometry, operators: Operators) -> None:
        self._geometry = geometry
        C, width = operators.extended_symmetrization, operators.n_components
        self._kernel = reverse_contraction(operators.extended_products, C, operators.component_purification, width)

    def evaluate(self, chosen: Chosen, cotangents: np.ndarray, gradients: np.ndarray) -> None:
        """Write Σ_f g_if ∂B_f(i)/∂r_ij for the pairs of some centers.

        Parameters
        ----------
        chosen : Chosen
        cotangents : numpy.ndarray of float64, shape (n_centers, n_features)
            g.
        gradients : numpy.ndarray of float64, shape (n_pairs, 3)
        """
        for centers, pairs, part in self._geometry.parts(chosen, True):
            self._kernel.pullback(self._geometry.pooling, part, cotangents[centers], gradients[pairs], chosen.threads)


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
            kernel.Products(self._n_leaves, tables.left, tables.right),
            tables.nodes,
            tables.group_left,
            tables.group_indptr,
            tables.terminal_right,
            folded[tables.products],
            folded[tables.terminal_products],
        )

    def evaluate(self, chosen: Chosen, values: np.ndarray, gradients: np.ndarray | None) -> None:
        """Write the values of some centers, and the gradients of their pairs.

        Parameters
        ----------
        chosen : Chosen
            Centers of one species.
        values : numpy.ndarray of float64, shape (n_centers, n_outputs)
        gradients : numpy.ndarray of float64, shape (n_pairs, 3), or None
            Receives ∂E_i/∂r_ij; for one output.
        """
        pooling, threads = self._geometry.pooling, chosen.threads
        for centers, pairs, part in self._geometry.parts(chosen, gradients is not None):
            slopes = _NO_ROWS if gradients is None else gradients[pairs]
            self._kernel.evaluate(pooling, part, _NO_SUMS, False, values[centers], _NO_ROWS, slopes, threads)

    def pullback(self, chosen: Chosen, cotangents: np.ndarray, gradients: np.ndarray) -> None:
        """Write Σ_p g_ip ∂E_ip/∂r_ij for the pairs of some centers, in one sweep for all outputs.

        Parameters
        ----------
        chosen : Chosen
        cotangents : numpy.ndarray of float64, shape (n_centers, n_outputs)
            g.
        gradients : numpy.ndarray of float64, shape (n_pairs, 3)
        """
        pooling, threads = self._geometry.pooling, chosen.threads
        for centers, pairs, part in self._geometry.parts(chosen, True):
            g, slopes = cotangents[centers], gradients[pairs]
            self._kernel.evaluate(pooling, part, _NO_SUMS, False, _NO_ROWS, g, slopes, threads)

    def compose(
        self,
        chosen: Chosen,
        function: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
        values: np.ndarray,
        gradients: np.ndarray,
    ) -> None:
        """Write F(E_i1, ..., E_iP) of some centers and its gradients; the sums A are made once.

        Parameters
        ----------
        chosen, gradients
            As in `evaluate`.
        function : callable
            From E, shape (n, n_outputs), to F and ∂F/∂E, shapes (n,) and (n, n_outputs).
        values : numpy.ndarray of float64, shape (n_centers,)
        """
        pooling, threads = self._geometry.pooling, chosen.threads
        for centers, pairs, part in self._geometry.parts(chosen, True):
            here = chosen.rows[_within(chosen.rows, centers)] - centers.start
            sums = np.empty((-(-len(here) // harmonics_kernel.lanes), self._n_leaves, harmonics_kernel.lanes))
            outputs = np.empty((centers.stop - centers.start, self._n_outputs))
            self._kernel.evaluate(pooling, part, sums, False, outputs, _NO_ROWS, _NO_ROWS, threads)
            values[centers][here], outputs[here] = function(outputs[here])
            self._kernel.evaluate(pooling, part, sums, True, _NO_ROWS, outputs, gradients[pairs], threads)


def forward_contraction(products: ProductSet, C: csr_array, P: csr_array | None, width: int = 1) -> Any:
    """Return the kernel of A ↦ (P ⊗ 1) C AA with 1 of `width` components, or of C AA."""
    factored = factored_products(products)
    indptr, columns, data = _csr_tables(C)
    return kernel.Contraction(
        kernel.Products(len(products.one_particle), factored.left, factored.right),
        kernel.Sparse(indptr, factored.first[columns], data, factored.second[columns]),
        None if P is None else kernel.Sparse(*_csr_tables(P), width=width),
        C.shape[0] if P is None else P.shape[0] * width,
    )


def reverse_contraction(products: ProductSet, C: csr_array, P: csr_array | None, width: int = 1) -> Any:
    """Return the kernel of the pullback of the same map."""
    graph = product_graph(products)
    n_nodes = graph.n_leaves + 1 + len(graph.left)
    by_node = csr_array((C.data, graph.nodes[C.indices], C.indptr), shape=(C.shape[0], n_nodes))
    return kernel.Contraction(
        kernel.Products(graph.n_leaves, graph.left, graph.right),
        kernel.Sparse(*_csr_tables(by_node.T.tocsr())),
        None if P is None else kernel.Sparse(*_csr_tables(P.T.tocsr()), width=width),
        C.shape[0] if P is None else P.shape[0] * width,
    )


def _within(rows: np.ndarray, centers: slice) -> np.ndarray:
    """Which of the rows are in a range of centers."""
    return (rows >= centers.start) & (rows < centers.stop)


def _refuse_nearer(vectors: np.ndarray, least: float) -> None:
    """Raise if a pair is nearer than the tables of radial functions begin."""
    shortest2 = np.einsum("pa,pa->p", vectors, vectors).min(initial=np.inf)
    if shortest2 < least**2:
        raise ValueError(
            f"atoms are {np.sqrt(shortest2):.3g} Å apart; the tables of the radial functions begin at {least:.3g} Å"
        )


def _harmonics_coefficients(lmax: int) -> np.ndarray:
    coefficients = np.empty((lmax + 1) * (lmax + 2))
    harmonics_kernel.harmonics_coefficients(lmax, coefficients)
    return coefficients


def _csr_tables(matrix: csr_array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return indptr, indices and data, as the kernels take them."""
    data = np.ascontiguousarray(matrix.data, dtype=float)
    return matrix.indptr.astype(np.int32), matrix.indices.astype(np.int32), data


# what a run neither takes nor makes
_NO_ROWS, _NO_SUMS = np.empty((0, 0)), np.empty((0, 0, 0))
