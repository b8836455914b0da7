"""AA: products of neighbor sums, computed as a graph in which each product takes one multiplication.

    AA_k = Π_t A_{k_t} = AA_left · AA_right

Nodes are numbered A first, then the constant 1, then the products, each after its two parts.  Where a product has
no pair of existing parts, an auxiliary node is added.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from acepure.labels.factors import ProductSet

__all__ = [
    "FactoredProducts",
    "ProductGraph",
    "WeightedProducts",
    "factored_products",
    "product_graph",
    "weighted_products",
]


@dataclass(frozen=True, eq=False)
class WeightedProducts:
    """How to compute Σ_k w_k AA_k: *interior* nodes are stored, *terminal* products are used at once.

    Attributes
    ----------
    used : numpy.ndarray of bool, shape (n_products,)
        The products that may have weight.
    left, right : numpy.ndarray of int32, shape (n_interior,)
        Interior node n_leaves + 1 + i is the product of nodes left[i] and right[i].
    nodes, products : numpy.ndarray of int32 and int64
        Nodes that have a weight of their own, and the products that it belongs to.
    group_left, group_indptr : numpy.ndarray of int32
        Terminal products grouped by their left node.
    terminal_right, terminal_products : numpy.ndarray of int32 and int64
        Their right nodes and which products they are, group by group.
    """

    used: np.ndarray
    left: np.ndarray
    right: np.ndarray
    nodes: np.ndarray
    products: np.ndarray
    group_left: np.ndarray
    group_indptr: np.ndarray
    terminal_right: np.ndarray
    terminal_products: np.ndarray


@dataclass(frozen=True, eq=False)
class ProductGraph:
    """How to compute a set of products.

    Attributes
    ----------
    n_leaves : int
        Number of A; node n_leaves is the constant 1.
    left, right : numpy.ndarray of int32, shape (n_nodes,)
        Node n_leaves + 1 + i is the product of nodes left[i] and right[i].
    nodes : numpy.ndarray of int32, shape (n_products,)
        The node that holds each product of the set.
    """

    n_leaves: int
    left: np.ndarray
    right: np.ndarray
    nodes: np.ndarray

    def evaluate(self, A: np.ndarray) -> np.ndarray:
        """Return the products of given A, plainly.

        Parameters
        ----------
        A : numpy.ndarray, shape (..., n_leaves)

        Returns
        -------
        numpy.ndarray, shape (..., n_products)
        """
        nodes = np.empty((*A.shape[:-1], self.n_leaves + 1 + len(self.left)))
        nodes[..., : self.n_leaves] = A
        nodes[..., self.n_leaves] = 1.0
        for i, (left, right) in enumerate(zip(self.left, self.right), self.n_leaves + 1):
            nodes[..., i] = nodes[..., left] * nodes[..., right]
        return nodes[..., self.nodes]


@dataclass(frozen=True, eq=False)
class FactoredProducts:
    """Each product of a set as two factors, of which only those that are products themselves are stored.

    Attributes
    ----------
    left, right : numpy.ndarray of int32, shape (n_stored,)
        Stored node n_leaves + 1 + i is the product of nodes left[i] and right[i].
    first, second : numpy.ndarray of int32, shape (n_products,)
        The nodes whose product each product is; node n_leaves, the constant 1, for stored ones and single sums.
    """

    left: np.ndarray
    right: np.ndarray
    first: np.ndarray
    second: np.ndarray


def factored_products(products: ProductSet) -> FactoredProducts:
    """Arrange the products so that those which are factors of no other need not be stored.

    Parameters
    ----------
    products : ProductSet
    """
    graph = product_graph(products)
    start = graph.n_leaves + 1
    number, stored = _numbered(graph)
    terminal = np.concatenate([np.zeros(start, dtype=bool), ~stored])[graph.nodes]
    first, second = number[graph.nodes], np.full(len(graph.nodes), graph.n_leaves)
    inner = graph.nodes[terminal] - start
    first[terminal], second[terminal] = number[graph.left[inner]], number[graph.right[inner]]
    return FactoredProducts(
        left=_int32(number[graph.left[stored]]),
        right=_int32(number[graph.right[stored]]),
        first=_int32(first),
        second=_int32(second),
    )


def _numbered(graph: ProductGraph) -> tuple[np.ndarray, np.ndarray]:
    """New numbers of the nodes when only factors are kept, and which products those are."""
    start = graph.n_leaves + 1
    factor = np.zeros(start + len(graph.left), dtype=bool)
    factor[:start] = True
    factor[graph.left] = factor[graph.right] = True
    return np.cumsum(factor) - 1, factor[start:]


def weighted_products(products: ProductSet, used: np.ndarray) -> WeightedProducts:
    """Arrange a linear function of products.

    Parameters
    ----------
    products : ProductSet
    used : numpy.ndarray of bool, shape (n_products,)
        Which of them have weight; the others are left out.
    """
    edges = np.cumsum([0, *map(len, products.factors)])
    runs = tuple(run[used[i:j]] for run, (i, j) in zip(products.factors, pairwise(edges)))
    graph = product_graph(ProductSet(products.one_particle, runs))
    first = graph.n_leaves + 1
    product = np.full(first + len(graph.left), -1)  # of each node
    product[graph.nodes] = np.flatnonzero(used)
    number, stored = _numbered(graph)
    direct = np.flatnonzero(np.concatenate([np.ones(first, dtype=bool), stored]) & (product >= 0))
    return WeightedProducts(
        used=used,
        left=_int32(number[graph.left[stored]]),
        right=_int32(number[graph.right[stored]]),
        nodes=_int32(number[direct]),
        products=product[direct],
        **_terminal_groups(number[graph.left[~stored]], number[graph.right[~stored]], product[first:][~stored]),
    )


def _terminal_groups(left: np.ndarray, right: np.ndarray, products: np.ndarray) -> dict[str, np.ndarray]:
    """Group by the factor that occurs in more products: fewer groups, fewer loads."""
    degree = np.bincount(np.concatenate([left, right]), minlength=1)
    swap = degree[right] > degree[left]
    left, right = np.where(swap, right, left), np.where(swap, left, right)
    order = np.lexsort((right, left))
    groups, counts = np.unique(left, return_counts=True)
    return {
        "group_left": _int32(groups),
        "group_indptr": _int32(np.cumsum([0, *counts])),
        "terminal_right": _int32(right[order]),
        "terminal_products": products[order],
    }


def _int32(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, dtype=np.int32)


def product_graph(products: ProductSet) -> ProductGraph:
    """Arrange the products into a graph.

    Parameters
    ----------
    products : ProductSet

    Returns
    -------
    ProductGraph

    Examples
    --------
    >>> from acepure.labels.factors import OneParticle, ProductSet
    >>> v = tuple(OneParticle(0, 0, (1, n), 0) for n in range(2))
    >>> graph = product_graph(ProductSet(v, (np.array([[0], [1]]), np.array([[0, 1], [1, 1]]))))
    >>> graph.evaluate(np.array([2.0, 3.0]))
    array([2., 3., 6., 9.])
    """
    builder = _Builder(len(products.one_particle))
    nodes = [builder.node(tuple(k)) for run in products.factors for k in run.tolist()]
    return ProductGraph(
        n_leaves=builder.n_leaves,
        left=np.array(builder.left, dtype=np.int32),
        right=np.array(builder.right, dtype=np.int32),
        nodes=np.array(nodes, dtype=np.int32),
    )


class _Builder:
    def __init__(self, n_leaves: int) -> None:
        self.n_leaves = n_leaves
        self.known: dict[tuple[int, ...], int] = {(v,): v for v in range(n_leaves)}
        self.known[()] = n_leaves
        self.left: list[int] = []
        self.right: list[int] = []

    def node(self, k: tuple[int, ...]) -> int:
        known = self.known
        if k in known:
            return known[k]
        best: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())  # replaced: every k has a split
        fewest = 3
        for first, second in _splits(len(k)):
            a = tuple([k[t] for t in first])
            b = tuple([k[t] for t in second])
            missing = (a not in known) + (b not in known and b != a)
            if missing < fewest:
                best, fewest = (a, b), missing
                if missing == 0:
                    break
        left, right = self.node(best[0]), self.node(best[1])
        self.left.append(left)
        self.right.append(right)
        known[k] = self.n_leaves + len(self.left)
        return known[k]


def _splits(order: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Ways to divide the positions in two, halves first: (2 + 2) before (3 + 1)."""
    if order not in _SPLITS:
        ways = []
        for mask in range(1, 2 ** (order - 1)):
            first = tuple(t for t in range(order) if mask >> t & 1)
            ways.append((first, tuple(t for t in range(order) if t not in first)))
        _SPLITS[order] = sorted(ways, key=lambda way: abs(len(way[0]) - len(way[1])))
    return _SPLITS[order]


_SPLITS: dict[int, list[tuple[tuple[int, ...], tuple[int, ...]]]] = {}
