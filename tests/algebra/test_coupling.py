"""Couplings: Clebsch-Gordan and Gaunt tensors, invariants and equivariants, ranks, determinism."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from oracles import canonical as reference
from oracles import invariants as reference_invariants
from oracles.atoms import rotation_matrices
from oracles.structures import random_environment, random_orthogonal

from acepure.algebra import coupling
from acepure.algebra.coupling import clebsch_gordan, couplings, gaunt_product, symmetric_couplings
from acepure.algebra.symmetrization import symmetrization
from acepure.labels.characters import coupling_count
from acepure.labels.factors import Factor, equality_pattern

# Tensors are orthonormal, so their entries are at most 1 and sums over them lose a few units in the last place.
ROUND_OFF = 1e-13

LMAX = 4
TRIPLES = [(l1, l2, L) for l1 in range(LMAX + 1) for l2 in range(LMAX + 1) for L in range(abs(l1 - l2), l1 + l2 + 1)]

# (ls, groups): equal numbers in groups are equal factors.
PATTERNS = [
    ((0,), (0,)),
    ((2, 2), (0, 1)),
    ((3, 3), (0, 0)),
    ((1, 1, 2), (0, 0, 1)),
    ((1, 2, 3), (0, 1, 2)),
    ((2, 2, 2), (0, 0, 0)),
    ((0, 1, 1, 2), (0, 1, 2, 3)),
    ((1, 1, 1, 1), (0, 0, 1, 1)),
    ((1, 1, 1, 3), (0, 0, 0, 1)),
    ((2, 2, 2, 2), (0, 0, 0, 0)),
    ((2, 2, 3, 3), (0, 0, 1, 1)),
    ((1, 1, 1, 1, 2), (0, 0, 0, 1, 2)),
    ((2, 2, 2, 2, 2), (0, 0, 0, 0, 0)),
    ((1, 1, 1, 1, 2, 2), (0, 0, 0, 0, 1, 1)),
]


def rotations(lmax):
    """A proper and an improper Q with its matrices D^l, built from the harmonics themselves."""
    rng = np.random.default_rng(5)
    return [rotation_matrices(random_orthogonal(rng, improper), lmax) for improper in (False, True)]


def transformed(tensor, degrees, matrices):
    """Σ tensor[m_1, ...] Π D^{l_t}[m_t, m'_t] over the last len(degrees) axes."""
    first = tensor.ndim - len(degrees)
    for t, l in enumerate(degrees):
        tensor = np.moveaxis(np.tensordot(tensor, matrices[l], axes=(first + t, 0)), -1, first + t)
    return tensor


def assert_orthonormal(rows):
    np.testing.assert_allclose(rows @ rows.T, np.eye(len(rows)), atol=ROUND_OFF)


# --- Clebsch–Gordan and Gaunt ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("l1, l2", list(itertools.product(range(LMAX + 2), repeat=2)))
def test_clebsch_gordan_is_an_orthogonal_change_of_basis(l1, l2):
    """All L together: a square matrix (m1 m2, L M), orthogonal both ways."""
    matrix = np.concatenate([clebsch_gordan(l1, l2, L) for L in range(abs(l1 - l2), l1 + l2 + 1)], axis=2)
    n = (2 * l1 + 1) * (2 * l2 + 1)
    assert matrix.shape == (2 * l1 + 1, 2 * l2 + 1, n)
    assert_orthonormal(matrix.reshape(n, n))
    assert_orthonormal(matrix.reshape(n, n).T)


def test_clebsch_gordan_is_equivariant():
    """W of even l1 + l2 + L transforms with parity; of odd sums it is a pseudo-tensor: a sign for improper Q."""
    for sign, matrices in zip((1, -1), rotations(2 * LMAX)):
        for l1, l2, L in TRIPLES:
            W = clebsch_gordan(l1, l2, L)
            expected = W if (l1 + l2 + L) % 2 == 0 else sign * W
            # D from least squares carries about 1e-14 per factor
            np.testing.assert_allclose(transformed(W, (l1, l2, L), matrices), expected, atol=1e-12)


@pytest.mark.parametrize("l1, l2, L", [triple for triple in TRIPLES if sum(triple) % 2 == 0])
def test_clebsch_gordan_is_the_normalized_integral(l1, l2, L):
    gaunt = reference.real_gaunt(l1, l2, L)
    expected = gaunt / np.linalg.norm(gaunt) * math.sqrt(2 * L + 1)
    W = clebsch_gordan(l1, l2, L)
    sign = np.sign(np.vdot(W, expected))
    np.testing.assert_allclose(sign * W, expected, atol=ROUND_OFF)


def test_clebsch_gordan_of_high_degrees_keeps_its_digits():
    """Racah's sum alternates; in exact integers nothing cancels."""
    W = clebsch_gordan(14, 13, 11)
    np.testing.assert_allclose(np.einsum("abc,abd->cd", W, W), np.eye(23), atol=ROUND_OFF)


@pytest.mark.parametrize("triple", [(1, 1, 3), (2, 0, 1), (0, 0, 1)])
def test_triangle_rule(triple):
    with pytest.raises(ValueError, match=rf"L = {triple[2]} violates the triangle rule"):
        clebsch_gordan(*triple)


def test_tables_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        clebsch_gordan(1, 1, 2)[0, 0, 0] = 1.0


@pytest.mark.parametrize("ls", [(0, 0), (1, 1), (2, 3), (4, 4), (1, 2, 2), (3, 2, 1), (1, 1, 1, 1), (2, 1, 3, 2)])
def test_products_of_harmonics_by_quadrature(ls):
    """G_L = ∫ Π_t Y_{l_t m_t} Y_LM dΩ, by a rule that is exact for the degree; absent L are zero."""
    top = sum(ls)
    directions, weights = reference.sphere_quadrature(2 * top)
    y = reference.real_harmonics(directions, top)
    product = weights[:, None]
    for l in ls:
        product = (product[:, :, None] * y[:, None, l * l : (l + 1) ** 2]).reshape(len(y), -1)
    expansion = gaunt_product(ls)
    for L in range(top + 1):
        expected = (product.T @ y[:, L * L : (L + 1) ** 2]).reshape(*(2 * l + 1 for l in ls), 2 * L + 1)
        actual = expansion.get(L, np.zeros_like(expected))
        np.testing.assert_allclose(actual, expected, atol=ROUND_OFF * 4 * np.pi)


def test_products_of_harmonics_pointwise():
    y = reference.real_harmonics(np.random.default_rng(0).normal(size=(20, 3)), 9)
    part = lambda l: y[:, l * l : (l + 1) ** 2]  # noqa: E731
    product = np.einsum("pa,pb,pc->pabc", part(2), part(3), part(4))
    expansion = sum(np.einsum("abcM,pM->pabc", G, part(L)) for L, G in gaunt_product((2, 3, 4)).items())
    np.testing.assert_allclose(expansion, product, atol=ROUND_OFF)


# --- couplings of distinguishable factors --------------------------------------------------------------------------


def state_count(ls, groups, L):
    """Couplings to L: multisets of m's with Σm = L minus those with Σm = L + 1; parity must match."""
    if (sum(ls) + L) % 2:
        return 0
    slots = Counter(zip(groups, ls))
    choices = [itertools.combinations_with_replacement(range(-l, l + 1), g) for (_, l), g in slots.items()]
    totals = Counter(sum(map(sum, state)) for state in itertools.product(*choices))
    return totals[L] - totals[L + 1]


@pytest.mark.parametrize("ls", sorted({ls for ls, _ in PATTERNS} | {(1, 2, 4), (1, 1, 1), (1,), (0, 0)}))
@pytest.mark.parametrize("L", [0, 1, 2])
def test_couplings_are_complete_orthonormal_and_equivariant(ls, L):
    tensors, paths = couplings(ls, L)
    assert tensors.shape[1:] == (*(2 * l + 1 for l in ls), 2 * L + 1)
    assert len(tensors) == len(paths) == len(set(paths)) == state_count(ls, range(len(ls)), L)
    assert_orthonormal(tensors.reshape(len(tensors), math.prod(tensors.shape[1:])))
    for matrices in rotations(max(*ls, L)):
        # every factor D adds its own rounding of about 1e-14
        np.testing.assert_allclose(transformed(tensors, (*ls, L), matrices), tensors, atol=1e-12)


def test_paths_name_the_intermediate_degrees():
    _, paths = couplings((1, 1, 1, 1))
    assert paths == ((0, 1), (1, 1), (2, 1))
    assert couplings((1, 1, 2))[1] == ((2,),)
    assert couplings((3, 3))[1] == couplings((0,))[1] == ((),)


# --- symmetric couplings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("L", [0, 1, 2])
@pytest.mark.parametrize("ls, groups", PATTERNS)
def test_symmetric_couplings(ls, groups, L):
    tensors, all_paths = couplings(ls, L)
    coefficients, paths = symmetric_couplings(ls, groups, L)
    assert coefficients.shape == (state_count(ls, groups, L), len(tensors))
    assert len(paths) == len(coefficients) and set(paths) <= set(all_paths)
    assert list(paths) == sorted(set(paths), key=all_paths.index)
    assert_orthonormal(coefficients)
    symmetric = np.tensordot(coefficients, tensors, axes=1)
    for t in range(len(ls) - 1):
        if groups[t] == groups[t + 1]:
            np.testing.assert_allclose(np.swapaxes(symmetric, t + 1, t + 2), symmetric, atol=ROUND_OFF)
    for matrices in rotations(max(*ls, L)):
        np.testing.assert_allclose(transformed(symmetric, (*ls, L), matrices), symmetric, atol=1e-12)


@pytest.mark.parametrize(
    "ls, distinct, equal",
    [
        ((1, 1, 1, 1), 3, 1),
        ((2, 2, 2, 2), 5, 1),
        ((2, 2, 3, 3), 5, 3),
        ((3, 3, 3, 3), 7, 2),
        ((2, 2, 2, 2, 2), 16, 1),
        ((1, 1, 1, 1, 2, 2), 19, 3),
    ],
)
def test_ranks_per_block(ls, distinct, equal):
    """Radial labels all different, or equal wherever l is."""
    assert len(symmetric_couplings(ls, tuple(range(len(ls))))[0]) == distinct
    groups = tuple(sorted(set(ls)).index(l) for l in ls)
    assert len(symmetric_couplings(ls, groups)[0]) == equal


def test_character_counts_by_listing_states():
    for order in range(1, 5):
        for ls in itertools.combinations_with_replacement(range(4), order):
            for cut in range(2 ** (order - 1)):  # all ways to divide equal degrees into runs of equal factors
                groups = [0]
                for t in range(1, order):
                    groups.append(groups[-1] + (ls[t] != ls[t - 1] or cut >> (t - 1) & 1))
                slots = Counter(zip(groups, ls))
                multiplicities = tuple(sorted((l, g) for (_, l), g in slots.items()))
                assert coupling_count(multiplicities) == reference_invariants.invariant_count(ls, groups)
                for L in (1, 2, 3):
                    assert coupling_count(multiplicities, L) == state_count(ls, groups, L)


@pytest.mark.parametrize("L", [0, 1, 2])
def test_features_rotate_as_the_target(L):
    """Rows of C on products of sums over neighbors: B_M(Q r) = Σ_M' D^L[M, M'] B_M'(r), proper and improper."""
    even = [
        (Factor(1, 0, 0), Factor(2, 0, 1), Factor(3, 0, 0)),
        (Factor(1, 0, 0), Factor(1, 0, 0), Factor(2, 0, 1)),
        (Factor(1, 0, 0), Factor(1, 0, 1), Factor(1, 0, 1), Factor(3, 0, 1)),
    ]
    odd = [
        (Factor(1, 0, 0), Factor(2, 0, 1)),
        (Factor(1, 0, 0), Factor(1, 0, 0), Factor(3, 0, 1)),
        (Factor(1, 0, 0), Factor(1, 0, 1), Factor(1, 0, 1), Factor(2, 0, 1)),
    ]
    blocks = odd if L % 2 else even
    C, products, offsets = symmetrization(blocks, L)
    expected_rows = [(2 * L + 1) * state_count([f.l for f in block], equality_pattern(block), L) for block in blocks]
    assert np.diff(offsets).tolist() == expected_rows
    rng = np.random.default_rng(2)
    vectors = random_environment(rng, 6, 1.0)
    radial = rng.normal(size=(6, 2))

    def features(vectors):
        y = reference.real_harmonics(vectors, 3)
        phi = np.stack([radial[:, v.q] * y[:, v.l * v.l + v.l + v.m] for v in products.one_particle], axis=1)
        A = phi.sum(axis=0)
        values = np.concatenate([A[run].prod(axis=1) for run in products.factors])
        return (C @ values).reshape(-1, 2 * L + 1), (abs(C) @ abs(values)).max()

    before, scale = features(vectors)
    assert abs(before).max() > 1e-3 * scale
    for improper in (False, True):
        rotation = random_orthogonal(rng, improper)
        after, _ = features(vectors @ rotation.T)
        matrix = rotation_matrices(rotation, L)[L]
        np.testing.assert_allclose(after, before @ matrix.T, atol=1e-13 * scale)


@pytest.mark.parametrize("factors, L", [([(1, 0), (2, 0)], 0), ([(1, 0), (1, 1)], 1), ([(0, 0), (0, 0)], 2)])
def test_blocks_without_coupling_have_no_rows(factors, L):
    block = tuple(Factor(l, 0, q) for l, q in factors)
    coupled = (Factor(L, 0, 0),)
    C, products, offsets = symmetrization([coupled, block], L)
    assert offsets.tolist() == [0, 2 * L + 1, 2 * L + 1]
    assert C.shape == (2 * L + 1, len(products))


# --- determinism ---------------------------------------------------------------------------------------------------


def test_bits_do_not_depend_on_what_was_built_before():
    def clear():
        for name in dir(coupling):
            if hasattr(getattr(coupling, name), "cache_clear"):
                getattr(coupling, name).cache_clear()

    clear()
    first = [symmetric_couplings(*pattern) for pattern in PATTERNS]
    clear()
    again = [symmetric_couplings(*pattern) for pattern in reversed(PATTERNS)][::-1]
    for (a, paths), (b, other_paths) in zip(first, again, strict=True):
        assert paths == other_paths
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("ls, groups", PATTERNS)
def test_signs_are_fixed_by_the_tensor(ls, groups):
    """The first of the largest entries of each symmetric tensor is positive: a convention, but one."""
    tensors, _ = couplings(ls)
    symmetric = symmetric_couplings(ls, groups)[0] @ tensors.reshape(len(tensors), math.prod(tensors.shape[1:]))
    for row in symmetric:
        largest = np.flatnonzero(abs(row) > abs(row).max() * (1 - 1e-6))
        assert row[largest[0]] > 0
