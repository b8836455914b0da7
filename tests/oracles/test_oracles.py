"""The oracles against each other, against small exact cases, and against published or derived numbers."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from oracles import canonical as reference
from oracles import invariants as reference_invariants
from oracles import moments as reference_moments
from oracles.structures import (
    cluster_distribution,
    degenerate_pair,
    random_environment,
    random_orthogonal,
    structures,
)

# Round-off of a sum of products of a few factors, relative to the sum of |terms|.
ROUND_OFF = 1e-13


def assert_equal_to_round_off(first, second):
    """Both are (value, scale)."""
    difference, scale = abs(first[0] - second[0]), max(first[1], second[1])
    assert difference <= ROUND_OFF * scale, f"{first[0]!r} != {second[0]!r}, scale {scale:.3g}"


def random_means(seed):
    """A mean for every product of functions, and a symmetric pair constant: arbitrary but fixed numbers."""
    numbers = {}

    def mean(history):
        return numbers.setdefault(history, np.random.default_rng([seed, *history]).normal())

    return mean


# --- one particle -------------------------------------------------------------------------------


def test_real_harmonics_are_orthonormal():
    lmax = 6
    directions, weights = reference.sphere_quadrature(2 * lmax)
    y = reference.real_harmonics(directions, lmax)
    np.testing.assert_allclose(y.T @ (y * weights[:, None]), np.eye((lmax + 1) ** 2), atol=1e-13)


def test_real_harmonics_l1_and_poles():
    vectors = np.array([[0.3, -1.2, 0.7], [0.0, 0.0, 2.0], [0.0, 0.0, -2.0]])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = math.sqrt(3 / (4 * np.pi)) * unit[:, [1, 2, 0]]
    np.testing.assert_allclose(reference.real_harmonics(vectors, 1)[:, 1:], expected, atol=1e-15)


def test_sphere_quadrature_is_exact_up_to_its_degree_only():
    directions, weights = reference.sphere_quadrature(6)
    moment = lambda power: weights @ directions[:, 0] ** power  # noqa: E731
    assert moment(6) == pytest.approx(4 * np.pi / 7, abs=1e-14)
    assert abs(moment(8) - 4 * np.pi / 9) > 1e-3


# --- one product -----------------------------------------------------------------------------------


def test_numbers_of_partitions_pairings_matchings():
    assert [len(list(reference.set_partitions(n))) for n in range(7)] == [1, 1, 2, 5, 15, 52, 203]
    assert [len(list(reference.partial_pairings(list(range(n))))) for n in range(7)] == [
        1,
        1,
        2,
        4,
        10,
        26,
        76,
    ]
    assert [len(list(reference.partial_matchings(n, n))) for n in range(5)] == [1, 2, 7, 34, 209]


@pytest.mark.parametrize("k", [(), (1,), (0, 0), (0, 3), (1, 1, 2), (0, 1, 3), (0, 0, 0, 0), (0, 1, 2, 3)])
@pytest.mark.parametrize("n_neighbors", [0, 1, 2, 3, 4, 7])
def test_closed_form_is_brute_force(k, n_neighbors):
    phi = np.random.default_rng(n_neighbors).normal(size=(n_neighbors, 4))
    assert_equal_to_round_off(reference.canonical_closed_form(phi, k), reference.canonical_brute_force(phi, k))


def test_closed_form_is_brute_force_at_orders_five_and_six():
    phi = np.random.default_rng(0).normal(size=(7, 3))
    for k in [(0, 0, 1, 1, 2), (0, 0, 0, 1, 1, 2)]:
        assert_equal_to_round_off(reference.canonical_closed_form(phi, k), reference.canonical_brute_force(phi, k))


def test_canonical_counts_distinct_tuples():
    ones = np.ones((6, 1))
    assert [reference.canonical_brute_force(ones, (0,) * order)[0] for order in range(8)] == [
        math.perm(6, order) for order in range(8)
    ]


@pytest.mark.parametrize("k", [(), (2,), (0, 1), (1, 1), (0, 2, 1), (0, 0, 2), (0, 1, 2, 3), (1, 1, 1, 1)])
def test_every_row_by_recursion_and_directly(k):
    phi = np.random.default_rng(7).normal(size=(6, 4))
    mean, g = random_means(1), random_means(2)
    mu = [mean((v,)) for v in range(4)]
    covariance = np.array([[g(tuple(sorted((u, v)))) for v in range(4)] for u in range(4)])
    product = lambda u, v: tuple(sorted(u + v))  # noqa: E731
    rows = {
        "self-interacting": (reference.self_interacting(phi, k), dict(canonical=False)),
        "shifted": (reference.shifted(phi, k, mu), dict(mu=mean, canonical=False)),
        "canonical": (reference.canonical_brute_force(phi, k), dict()),
        "centered canonical": (
            reference.centered_canonical(phi, k, mu),
            dict(mu=mean, c=lambda u, v: mean(product(u, v))),
        ),
        "Wick": (
            reference.wick(phi, k, mu, covariance),
            dict(mu=mean, c=lambda u, v: g(product(u, v)), canonical=False),
        ),
        "canonical, pair constants": (
            reference.canonical_pair_constants(phi, k, mu, mean, g),
            dict(mu=mean, c=lambda u, v: g(product(u, v))),
        ),
    }
    for name, (direct, options) in rows.items():
        for order_of_k in set(itertools.permutations(k)):
            recursive = reference.recursion_value(phi, order_of_k, **options)
            difference = abs(recursive[0] - direct[0])
            assert difference <= ROUND_OFF * recursive[1], f"{name}, k = {order_of_k}"


def test_covariances_of_products_make_the_recursion_depend_on_the_order():
    """Cov(A_u, A_vw) ≠ Cov(A_uv, A_w): symmetric at order 2 only, unlike constants of the product uvw."""
    rng = np.random.default_rng(3)
    configurations = rng.normal(size=(10, 5, 3))

    def pool(history):
        return configurations[:, :, list(history)].prod(axis=2).sum(axis=1)

    def mu(history):
        return pool(history).mean()

    def covariance(u, v):
        return np.mean(pool(u) * pool(v)) - mu(u) * mu(v)

    phi = rng.normal(size=(4, 3))
    spread = {}
    for k in [(0, 1), (0, 1, 2)]:
        values = [reference.recursion_value(phi, p, mu, covariance)[0] for p in itertools.permutations(k)]
        spread[len(k)] = max(values) - min(values)
    assert spread[2] < 1e-12
    assert spread[3] > 0.1


def test_centered_without_means_is_canonical():
    phi = np.random.default_rng(5).normal(size=(5, 3))
    k = (0, 1, 2)
    assert reference.centered_canonical(phi, k, [0, 0, 0])[0] == reference.canonical_brute_force(phi, k)[0]


# --- moments -----------------------------------------------------------------------------------------


def test_poisson_moments_on_two_points():
    """A Poisson process on two points is a pair of Poisson counts: the expectation is an explicit sum."""
    intensity = np.array([0.7, 0.4])
    values = np.random.default_rng(2).normal(size=(2, 3))  # φ_v at the two points
    mean = lambda columns: intensity @ values[:, list(columns)].prod(axis=1)  # noqa: E731
    mu = [mean([v]) for v in range(3)]
    keys = [(), (0,), (1, 1), (0, 2), (0, 1, 2)]
    canonical, centered = np.zeros((2, len(keys), len(keys)))
    n_max = 25  # the tail beyond is below 1e-20
    for counts in itertools.product(range(n_max), repeat=2):
        probability = math.prod(math.exp(-a) * a**n / math.factorial(n) for a, n in zip(intensity, counts, strict=True))
        phi = np.repeat(values, counts, axis=0)
        row = np.array([reference.canonical_closed_form(phi, k)[0] for k in keys])
        canonical += probability * np.outer(row, row)
        centered_constants = (mu, mean, mean)
        row = np.array([reference.canonical_pair_constants(phi, k, *centered_constants)[0] for k in keys])
        centered += probability * np.outer(row, row)
    for (i, k), (j, k_prime) in itertools.product(enumerate(keys), repeat=2):
        assert reference_moments.poisson_moment(k, k_prime, mean) == pytest.approx(canonical[i, j], abs=1e-11)
        assert reference_moments.poisson_centered_moment(k, k_prime, mean) == pytest.approx(centered[i, j], abs=1e-11)


def test_centered_moments_of_orthonormal_functions():
    delta = lambda columns: float(len(columns) == 2 and columns[0] == columns[1])  # noqa: E731
    assert reference_moments.poisson_centered_moment((0, 1, 1), (0, 1, 1), delta) == 2
    assert reference_moments.poisson_centered_moment((0, 1, 1), (0, 0, 1), delta) == 0
    assert reference_moments.poisson_centered_moment((2, 2, 2, 2), (2, 2, 2, 2), delta) == 24
    assert reference_moments.poisson_centered_moment((0, 1), (0, 1, 1), delta) == 0


def test_iid_moments_by_enumeration():
    probability = np.array([0.2, 0.5, 0.3])
    values = np.random.default_rng(8).normal(size=(3, 3))
    mean = lambda columns: probability @ values[:, list(columns)].prod(axis=1)  # noqa: E731
    for k, k_prime, n_particles in [((0,), (1, 2), 4), ((0, 1), (1, 1), 3), ((0, 1, 2), (2, 2), 3)]:
        expected = 0.0
        for particles in itertools.product(range(3), repeat=n_particles):
            phi = values[list(particles)]
            product = reference.canonical_brute_force(phi, k)[0] * reference.canonical_brute_force(phi, k_prime)[0]
            expected += probability[list(particles)].prod() * product
        assert reference_moments.iid_moment(k, k_prime, mean, n_particles) == pytest.approx(expected, abs=1e-12)


# --- one dimension -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "order", "condition_number"),
    [
        ("chebyshev", 2, 42.08),
        ("chebyshev", 3, 662.1),
        ("chebyshev", 4, 8160),
        ("legendre", 2, 246.7),
        ("legendre", 3, 8377),
        ("legendre", 4, 1.446e5),
    ],
)
def test_toy_gram_matrices(family, order, condition_number):
    """k ≥ 1, no constant column, J = order particles; four digits are known."""
    indices = reference_moments.toy_indices(order, 14, 1)
    pooled = reference_moments.toy_gram(family, indices, order, canonical=False)
    assert reference_moments.scaled_condition_number(pooled) == pytest.approx(condition_number, rel=2e-4)
    canonical = reference_moments.toy_gram(family, indices, order, canonical=True)
    diagonal = [math.perm(order, len(k)) * math.prod(math.factorial(n) for n in Counter(k).values()) for k in indices]
    np.testing.assert_allclose(canonical, np.diag(diagonal), atol=1e-11)


def test_toy_gram_is_the_iid_moment():
    nodes, weights = np.polynomial.legendre.leggauss(20)
    values = reference.legendre_values(nodes, 6)
    mean = lambda columns: weights @ values[:, list(columns)].prod(axis=1) / 2  # noqa: E731
    indices = reference_moments.toy_indices(3, 6, 0)  # with the constant function nothing is diagonal
    gram = reference_moments.toy_gram("legendre", indices, 3, canonical=True)
    expected = [[reference_moments.iid_moment(k, k_prime, mean, 3) for k_prime in indices] for k in indices]
    np.testing.assert_allclose(gram, expected, atol=1e-10)


@pytest.mark.parametrize(("order", "degree", "n_indices", "n_nonzeros"), [(3, 19, 444, 2913), (4, 20, 1217, 20083)])
def test_chebyshev_purification_counts(order, degree, n_indices, n_nonzeros):
    indices = reference_moments.toy_indices(order, degree, 0)
    assert len(indices) == n_indices
    assert sum(len(reference.chebyshev_purification(k)) for k in indices) == n_nonzeros


@pytest.mark.parametrize("k", [(0,), (1, 3), (2, 2), (0, 1, 4), (1, 1, 1), (0, 2, 2, 3)])
def test_chebyshev_purification_is_brute_force(k):
    phi = reference.chebyshev_values(np.random.default_rng(4).uniform(-1, 1, size=5), sum(k))
    terms = [
        (float(coefficient) * value, abs(float(coefficient)) * scale)
        for indices, coefficient in reference.chebyshev_purification(k).items()
        for value, scale in [reference.self_interacting(phi, indices)]
    ]
    purified = sum(value for value, _ in terms), sum(scale for _, scale in terms)
    assert_equal_to_round_off(purified, reference.canonical_brute_force(phi, k))


# --- counting ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ls", "distinct", "equal"),
    [
        ((1, 1, 1, 1), 3, 1),
        ((2, 2, 2, 2), 5, 1),
        ((2, 2, 3, 3), 5, 3),
        ((3, 3, 3, 3), 7, 2),
        ((2, 2, 2, 2, 2), 16, 1),
        ((1, 1, 1, 1, 2, 2), 19, 3),
    ],
)
def test_invariants_per_block(ls, distinct, equal):
    assert reference_invariants.invariant_count(ls, range(len(ls))) == distinct
    assert reference_invariants.invariant_count(ls, [0] * len(ls)) == equal


@pytest.mark.parametrize("ls", [(0,), (2,), (3, 3), (1, 2, 3), (1, 2, 4), (1, 1, 1), (1, 2, 3, 4), (3, 2, 2, 2, 1)])
def test_invariants_by_character_integral(ls):
    """For distinct functions the count is (1/2π) ∫_0^{2π} (1 − cos ω) Π_t χ_{l_t}(ω) dω."""
    omega = 2 * np.pi * np.arange(64) / 64  # a trapezoid is exact: the integrand has frequencies below 64
    characters = [sum(np.cos(m * omega) for m in range(-l, l + 1)) for l in ls]
    integral = np.mean((1 - np.cos(omega)) * np.prod(characters, axis=0))
    expected = round(integral) if sum(ls) % 2 == 0 else 0
    assert reference_invariants.invariant_count(ls, range(len(ls))) == expected


@pytest.mark.parametrize(
    ("degree", "counts"),
    [(6, [7, 30, 62, 87, 97, 101]), (8, [9, 55, 160, 290, 377, 420]), (10, [11, 91, 366, 862, 1353])],
)
def test_counts_by_total_degree(degree, counts):
    assert [reference_invariants.count_total_degree(degree, order + 1) for order in range(len(counts))] == counts


@pytest.mark.parametrize(("degrees", "total"), [((20, 16, 12), 299), ((25, 21, 17), 1016)])
def test_counts_with_weighted_l(degrees, total):
    counts = [
        reference_invariants.count_total_degree(d, order, wL=1.5, n_start=1) for order, d in enumerate(degrees, 1)
    ]
    assert sum(counts) == total


def test_counts_in_a_box():
    assert [reference_invariants.count_box(4, 6, order) for order in (1, 2)] == [4, 70]
    assert [reference_invariants.count_box(4, 4, order) for order in (1, 2, 3)] == [4, 50, 548]


# --- invariants -----------------------------------------------------------------------------------------


@pytest.fixture
def environment():
    """Six neighbors, three radial columns; the last column is zero for half of them (another species)."""
    rng = np.random.default_rng(11)
    radial_values = rng.normal(size=(6, 3))
    radial_values[3:, 2] = 0
    return radial_values, random_environment(rng, 6, 5.0)


def one_particle_values(environment, lmax):
    """{(n, l, m): φ(r_j)} as columns of one array."""
    radial_values, vectors = environment
    y = reference.real_harmonics(vectors, lmax)
    labels = [(n, l, m) for n in range(3) for l in range(lmax + 1) for m in range(-l, l + 1)]
    phi = np.stack([radial_values[:, n] * y[:, l * l + l + m] for n, l, m in labels], axis=1)
    return phi, {label: column for column, label in enumerate(labels)}


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("l", [0, 1, 4])
def test_power_spectrum_is_sum_over_m(environment, l, include_self):
    phi, column = one_particle_values(environment, l)
    product = reference.self_interacting if include_self else reference.canonical_brute_force
    expected = [
        [sum(product(phi, (column[n, l, m], column[p, l, m]))[0] for m in range(-l, l + 1)) for p in range(3)]
        for n in range(3)
    ]
    spectrum = reference_invariants.power_spectrum(*environment, l, include_self=include_self)
    np.testing.assert_allclose(spectrum, expected, atol=1e-12)


LABELS = [
    [(0, 0)],
    [(0, 0), (0, 0)],
    [(1, 3), (1, 3)],
    [(0, 2), (2, 2)],
    [(0, 1), (1, 2), (2, 3)],
    [(0, 2), (0, 2), (0, 2)],
    [(1, 1), (1, 1), (1, 2)],
    [(1, 0), (2, 2), (2, 2)],
]


def coupling(label):
    """Unit-norm c_{m_1 ... m_ν} from integrals of real harmonics, padded with l = 0 below order 3."""
    ls = [l for _, l in label]
    gaunt = reference.real_gaunt(*ls, *[0] * (3 - len(ls))).reshape([2 * l + 1 for l in ls])
    return gaunt / np.linalg.norm(gaunt)


@pytest.mark.parametrize("label", LABELS, ids=str)
@pytest.mark.parametrize("canonical", [True, False])
def test_naive_feature_is_the_coupled_product(environment, label, canonical):
    phi, column = one_particle_values(environment, 3)
    product = reference.canonical_brute_force if canonical else reference.self_interacting
    combination = Counter()  # multiset of columns → coefficient
    for m, c in np.ndenumerate(coupling(label)):
        k = [column[n, l, index - l] for (n, l), index in zip(label, m, strict=True)]
        combination[tuple(sorted(k))] += c
    # unit norm in ⟨k, k⟩ = Π mult(k)!
    norm_squared = sum(c**2 * math.prod(math.factorial(n) for n in Counter(k).values()) for k, c in combination.items())
    expected = sum(c * product(phi, k)[0] for k, c in combination.items() if abs(c) > 1e-14)
    feature = reference_invariants.naive_feature(*environment, label, canonical)
    assert feature == pytest.approx(expected / math.sqrt(norm_squared), abs=1e-12)


def test_naive_feature_at_order_two_is_the_power_spectrum(environment):
    for l in range(4):
        spectrum = reference_invariants.power_spectrum(*environment, l, include_self=False)
        for n, p in [(0, 1), (1, 1)]:
            norm = math.sqrt((2 * l + 1) * (2 if n == p else 1))
            feature = reference_invariants.naive_feature(*environment, [(n, l), (p, l)])
            assert feature == pytest.approx(spectrum[n, p] / norm, abs=1e-13)


def test_naive_feature_refuses_what_cannot_couple(environment):
    for ls in [(1,), (1, 2), (1, 1, 1), (1, 1, 4)]:
        with pytest.raises(ValueError, match="no O\\(3\\)-invariant"):
            reference_invariants.naive_feature(*environment, [(0, l) for l in ls])


@pytest.mark.parametrize("improper", [False, True])
def test_naive_feature_is_invariant(environment, improper):
    radial_values, vectors = environment
    rotation = random_orthogonal(np.random.default_rng(1), improper)
    label = [(0, 1), (1, 2), (2, 3)]
    rotated = reference_invariants.naive_feature(radial_values, vectors @ rotation.T, label)
    assert rotated == pytest.approx(reference_invariants.naive_feature(radial_values, vectors, label), abs=1e-13)


# --- structures -------------------------------------------------------------------------------------------


def test_degenerate_pair_shares_triples_but_not_quadruples():
    plus, minus = degenerate_pair()
    assert np.linalg.norm(plus, axis=1).max() < 5.4
    for order, equal in [(1, True), (2, True), (3, True), (4, False), (7, False)]:
        same = cluster_distribution(plus, order) == cluster_distribution(minus, order)
        assert same == equal, f"order {order}"


def test_degenerate_pair_in_features():
    """Equal to order 3; at order 4 the first difference is at Σl = 6 (l = 1,1,1,3 and 1,1,2,2)."""
    weights = np.random.default_rng(0).normal(size=(2, 4))  # radial values of the two distances
    difference = {}
    for ls in [
        (1, 2, 3),
        (2, 2, 2),
        (2, 3, 3),
        (1, 1, 1, 1),
        (0, 1, 1, 2),
        (0, 2, 2, 2),
        (1, 1, 1, 3),
        (1, 1, 2, 2),
    ]:
        values = [
            reference_invariants.naive_feature(
                weights[(np.linalg.norm(vectors, axis=1) > 5.1).astype(int)], vectors, list(enumerate(ls))
            )
            for vectors in degenerate_pair()
        ]
        difference[ls] = abs(values[0] - values[1]) / abs(values[0])
    assert all((d > 1e-3) == (len(ls) == 4 and sum(ls) == 6 and 0 not in ls) for ls, d in difference.items())
    assert sorted(difference.values())[-3] < 1e-10


def test_cluster_distribution_is_invariant_and_sensitive():
    rng = np.random.default_rng(9)
    vectors = random_environment(rng, 5, 4.0)
    moved = rng.permutation(vectors) @ random_orthogonal(rng).T
    stretched = vectors * np.array([[1.001], [1], [1], [1], [1]])
    # rounding can split equal numbers, hence fewer decimals than the default
    assert cluster_distribution(vectors, 3, decimals=5) == cluster_distribution(moved, 3, decimals=5)
    assert cluster_distribution(vectors, 3, decimals=5) != cluster_distribution(stretched, 3, decimals=5)


def test_random_environment_and_rotation():
    rng = np.random.default_rng(0)
    distances = np.linalg.norm(random_environment(rng, 200, 5.0, r_min=0.5), axis=1)
    assert distances.min() >= 2.5 and distances.max() <= 5.0
    assert random_environment(rng, 0, 5.0).shape == (0, 3)
    for improper, determinant in [(True, -1), (False, 1)]:
        rotation = random_orthogonal(rng, improper)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-14)
        assert np.linalg.det(rotation) == pytest.approx(determinant)


def test_structures_have_the_promised_properties():
    zoo = structures()
    assert zoo["left-handed cell"].cell.handedness == -1
    assert zoo["slab"].pbc.tolist() == [True, True, False]
    assert zoo["wire"].pbc.tolist() == [False, False, True]
    assert len(zoo["one atom, fcc"]) == len(zoo["isolated atom"]) == 1
    assert len(set(zoo["NaCl"].symbols)) == 2
    again = structures()
    assert all(zoo[name] == again[name] for name in zoo), "structures must not depend on when they are built"
    for name, atoms in zoo.items():
        if len(atoms) > 1:
            distances = atoms.get_all_distances(mic=bool(atoms.pbc.any()))
            assert distances[~np.eye(len(atoms), dtype=bool)].min() > 0.9, name
