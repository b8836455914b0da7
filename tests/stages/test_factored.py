"""Products as pairs of factors, and weighted products, against the plain products."""

import numpy as np
import pytest

from acepure import ACEBasis
from acepure.stages.products import factored_products, product_graph, weighted_products


@pytest.fixture(params=[(2, 4), (3, 4), (4, 4), (5, 3)], ids=lambda p: f"order {p[0]}")
def products(request):
    order, degree = request.param
    return (
        ACEBasis(["Cu", "Zr"] if order < 4 else ["Cu"], order=order, totaldegree=degree)
        .operators("Cu")
        .extended_products
    )


def plain(products, A):
    return np.concatenate([np.prod(A[:, run], axis=2) for run in products.factors], axis=1)


def stored_nodes(n_leaves, left, right, A):
    nodes = [*A.T, np.ones(len(A))]
    for a, b in zip(left, right):
        nodes.append(nodes[a] * nodes[b])
    return np.array(nodes).T


def sums(products):
    return np.random.default_rng(0).normal(size=(3, len(products.one_particle)))


def test_factored_products(products):
    A = sums(products)
    factored = factored_products(products)
    nodes = stored_nodes(A.shape[1], factored.left, factored.right, A)
    # Different orders of multiplication differ by rounding alone.
    np.testing.assert_allclose(nodes[:, factored.first] * nodes[:, factored.second], plain(products, A), rtol=1e-14)


def test_only_factors_are_stored(products):
    factored, graph = factored_products(products), product_graph(products)
    used = np.concatenate([factored.left, factored.right, factored.first, factored.second])
    start = len(products.one_particle) + 1
    assert set(range(start, start + len(factored.left))) <= set(used.tolist())
    assert len(factored.left) < len(graph.left)


def test_weighted_products(products):
    A = sums(products)
    weights = np.random.default_rng(1).normal(size=len(products))
    weights[::3] = 0.0  # left out
    folded = weighted_products(products, weights != 0)
    nodes = stored_nodes(A.shape[1], folded.left, folded.right, A)
    total = nodes[:, folded.nodes] @ weights[folded.products]
    group = np.repeat(folded.group_left, np.diff(folded.group_indptr))
    total += (nodes[:, group] * nodes[:, folded.terminal_right]) @ weights[folded.terminal_products]
    scale = np.abs(plain(products, A)) @ np.abs(weights)
    assert (np.abs(total - plain(products, A) @ weights) < 1e-14 * scale).all()
    used = np.concatenate([folded.products, folded.terminal_products])
    assert sorted(used) == np.flatnonzero(weights).tolist()


def test_no_weights_at_all(products):
    folded = weighted_products(products, np.zeros(len(products), dtype=bool))
    assert len(folded.left) == len(folded.products) == len(folded.terminal_products) == 0
