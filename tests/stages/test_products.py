"""The graph that computes products, one multiplication each, and the layout of the sums it starts from."""

import itertools

import numpy as np
import pytest

from acepure import ACEBasis
from acepure.labels.factors import OneParticle, ProductSet
from acepure.stages.pooling import pooling_layout, radial_channels, radial_mixing
from acepure.stages.products import product_graph

PRODUCT_SETS = {
    "canonical, order 3": ACEBasis(["Cu"], totaldegree=5).operators("Cu").extended_products,
    "canonical, order 4": ACEBasis(["Cu"], order=4, totaldegree=4).operators("Cu").extended_products,
    "two species, order 5": ACEBasis(["Cu", "Zr"], order=5, totaldegree=[3, 2, 2, 1, 1])
    .operators("Cu")
    .extended_products,
    "self-interacting, order 6": ACEBasis(["Cu"], order=6, totaldegree=[0, 0, 0, 0, 2, 3], canonical=False).products,
    "order 1": ACEBasis(["Cu"], order=1).products,
}


def sums(n):
    return tuple(OneParticle(0, 0, (1, k), 0) for k in range(n))


def product_set(n, *runs):
    return ProductSet(sums(n), tuple(np.array(run, dtype=np.int64).reshape(len(run), -1) for run in runs))


@pytest.mark.parametrize("products", PRODUCT_SETS.values(), ids=PRODUCT_SETS)
def test_graph_gives_the_plain_products(products):
    graph = product_graph(products)
    A = np.random.default_rng(0).uniform(0.5, 2, size=(3, len(products.one_particle)))
    expected = np.concatenate([A[:, run].prod(axis=2) for run in products.factors], axis=1)
    # at most six factors, each multiplication rounds once
    np.testing.assert_allclose(graph.evaluate(A), expected, rtol=2e-15)


@pytest.mark.parametrize("products", PRODUCT_SETS.values(), ids=PRODUCT_SETS)
def test_every_node_is_used_and_computed_before(products):
    graph = product_graph(products)
    n_nodes = graph.n_leaves + 1 + len(graph.left)
    assert graph.n_leaves == len(products.one_particle) and len(graph.nodes) == len(products)
    assert graph.left.dtype == graph.right.dtype == graph.nodes.dtype == np.int32
    own = np.arange(graph.n_leaves + 1, n_nodes)
    assert (graph.left < own).all() and (graph.right < own).all()
    used = set(graph.left) | set(graph.right) | set(graph.nodes)
    assert used >= set(own), "a node that nobody reads"
    assert used >= set(range(graph.n_leaves)), "a sum over neighbors that nobody reads"
    assert graph.n_leaves not in set(graph.left) | set(graph.right), "a multiplication by the constant 1"


@pytest.mark.parametrize("products", PRODUCT_SETS.values(), ids=PRODUCT_SETS)
def test_no_product_is_computed_twice(products):
    graph = product_graph(products)
    content = {v: (v,) for v in range(graph.n_leaves)} | {graph.n_leaves: ()}
    for node, (left, right) in enumerate(zip(graph.left, graph.right), graph.n_leaves + 1):
        content[node] = tuple(sorted(content[left] + content[right]))
    assert len(set(content.values())) == len(content)
    wanted = [tuple(k) for run in products.factors for k in run.tolist()]
    assert [content[node] for node in graph.nodes.tolist()] == wanted


def n_auxiliary(n, *runs):
    """Multiplications beyond one for each product of two or more factors, all different."""
    return len(product_graph(product_set(n, *runs)).left) - sum(len(k) > 1 for run in runs for k in run)


def test_auxiliary_nodes_only_where_needed():
    assert n_auxiliary(3, [(0,), (2,)], [(0, 1), (2, 2)]) == 0
    assert n_auxiliary(3, [(0, 1)], [(0, 1, 2)]) == 0
    assert n_auxiliary(3, [(0, 1, 2)]) == 1
    # 2 + 2 where the halves exist
    assert n_auxiliary(4, [(0, 1), (2, 3)], [(0, 1, 2, 3)]) == 0
    # 3 + 1 where that exists
    assert n_auxiliary(4, [(0, 1)], [(0, 1, 2)], [(0, 1, 2, 3)]) == 0


def test_constant_and_repeated_products():
    graph = product_graph(product_set(2, [()], [(1,), (0,)], [(0, 1), (0, 1)]))
    np.testing.assert_array_equal(graph.evaluate(np.array([2.0, 5.0])), [1, 5, 2, 10, 10])
    assert len(graph.left) == 1 and graph.nodes[0] == graph.n_leaves


def test_evaluate_takes_any_leading_shape():
    graph = product_graph(product_set(2, [(0, 0), (0, 1)]))
    A = np.arange(12.0).reshape(2, 3, 2)
    np.testing.assert_array_equal(graph.evaluate(A)[..., 1], A[..., 0] * A[..., 1])


def test_all_products_of_a_few_sums():
    """Every multiset up to order 6, in an order that offers no help."""
    runs = [list(itertools.combinations_with_replacement(range(3), order)) for order in range(6, 0, -1)]
    products = product_set(3, *runs)
    A = np.array([1.5, -0.5, 2.0])
    expected = np.concatenate([A[run].prod(axis=1) for run in products.factors])
    np.testing.assert_allclose(product_graph(products).evaluate(A), expected, rtol=2e-15)


# --- product sets --------------------------------------------------------------------------------------------------


def test_product_set_is_a_sequence():
    products = product_set(3, [(0,), (2,)], [(0, 1)], [(1, 1, 2)])
    v = products.one_particle
    listed = [(v[0],), (v[2],), (v[0], v[1]), (v[1], v[1], v[2])]
    assert list(products) == listed and len(products) == 4
    assert products[-1] == listed[-1] and products[1:3] == listed[1:3] and products[::-1] == listed[::-1]
    for index in (4, -5):
        with pytest.raises(IndexError, match=f"product {index} of 4"):
            products[index]
    assert repr(products) == "ProductSet(4 products of 3 sums over neighbors)"


# --- layout of the sums --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("graded", [True, False], ids=["graded", "formal"])
@pytest.mark.parametrize("lanes", [4, 8])
def test_layout_gives_every_sum_its_own_place(graded, lanes):
    label = (lambda s, n: (s, n)) if graded else (lambda s, n: (n,) * s)
    one_particle = tuple(
        OneParticle(l, z, label(s, n), m)
        for z, s, n, l in [(0, 1, 0, 0), (0, 1, 2, 3), (1, 1, 2, 1), (1, 2, 1, 4), (0, 3, 0, 0)]
        for m in range(-l, l + 1)
    )
    labels = sorted({v.q for v in one_particle})
    channels, grade_sizes = radial_channels(labels, graded)
    parts = radial_mixing(labels, channels, [None]).parts
    layout = pooling_layout(one_particle, 2, len(channels), parts, lanes)
    assert layout.lmax == 4 and len(layout.leaves) == len(one_particle) == len(set(layout.leaves.tolist()))
    assert layout.leaves.min() >= 0 and layout.leaves.max() < layout.size
    taken = set()
    for z, channel in itertools.product(range(2), range(len(channels))):
        start, stop = layout.start[z, channel], layout.start[z, channel] + lanes * layout.n_blocks[z, channel]
        assert not taken & set(range(start, stop)), "channels overlap"
        taken |= set(range(start, stop))
    assert len(taken) == layout.size
    for v, leaf in zip(one_particle, layout.leaves):
        channel = channels.index(v.q)
        assert leaf == layout.start[v.z, channel] + v.l * v.l + v.l + v.m
        assert (v.l + 1) ** 2 <= lanes * layout.n_blocks[v.z, channel]
    if graded:
        complete = [(s, n) for s, size in enumerate(grade_sizes.tolist(), 1) for n in range(size)]
        assert list(channels) == complete and grade_sizes.tolist() == [3, 2, 1]


def test_layout_keeps_what_combinations_need():
    """Functions of l = 0 and 2 that combine channels 0–2: these keep harmonics to l = 2, and the others none."""
    labels, channels = [(1, 1, 0), (1, 2, 2)], [(1, n) for n in range(4)]
    W = np.array([[0.5, 0.2], [2.0, 0.0], [0.0, 3.0], [0.0, 0.0]])
    mixing = radial_mixing(labels, channels, [W, 2 * W])
    assert mixing.parts == {(1, 1, 0): [0, 1], (1, 2, 2): [0, 2]} and mixing.numbers == {(1, 1, 0): 0, (1, 2, 2): 1}
    assert mixing.indptr.tolist() == [0, 2, 4] and mixing.channels.tolist() == [0, 1, 0, 2]
    assert mixing.weights.tolist() == [[0.5, 2.0, 0.2, 3.0], [1.0, 4.0, 0.4, 6.0]]
    one_particle = tuple(OneParticle(q[2], 0, q, m) for q in labels for m in range(-q[2], q[2] + 1))
    layout = pooling_layout(one_particle, 1, len(channels), mixing.parts, 4)
    assert layout.n_blocks.tolist() == [[3, 1, 3, 0]] and layout.size == 28
    assert layout.l_indptr.tolist() == [[0, 2, 2, 4]] and layout.l_channels.tolist() == [0, 1, 0, 2]
