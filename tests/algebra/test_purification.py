"""The recursion over single products: every basis of the family, in one dimension and for atoms, and its moments.

Direct formulas and the recursion on values are in `reference.py`; an operator P is applied to products of
Ã = A − μ of one environment and compared with them.
"""

import itertools
import math

import numpy as np
import pytest
from numpy.polynomial import hermite_e
from oracles import canonical as reference
from oracles import moments as reference_moments
from oracles.atoms import multiplicity_factorials, random_cluster

from acepure.algebra.linearization import AtomicAlgebra, ChebyshevParticles, LegendreParticles
from acepure.algebra.recursion import mean_pairs, purification
from acepure.functions import AgnesiTransform, Legendre, LinearTransform, PolynomialEnvelope, PolynomialRadialBasis
from acepure.labels.factors import OneParticle

# Both sides are sums of products; each loses a few units in the last place of the sum of |terms|.
ROUND_OFF = 1e-13

ROWS = ("self-interacting", "shifted", "canonical", "centered", "Wick", "canonical, measured pairs")
WITH_MEAN = {"shifted", "centered", "Wick", "canonical, measured pairs"}
WITHOUT_KAPPA = {"self-interacting", "shifted", "Wick"}
MEASURED = {"Wick", "canonical, measured pairs"}


class Case:
    """One family of one-particle functions, one environment, and means measured on a sample of others.

    `environment(number)` → object that `values(environment, indices)` evaluates, (n_neighbors, len(indices)).
    """

    def __init__(self, algebra, environment, values, ks):
        self.algebra, self.values, self.ks = algebra, values, ks
        self.test = environment(0)
        self.sample = [environment(number) for number in range(1, 9)]
        self.measured = {}

    def pools(self, product):
        """A of a product of functions in the sample, (n_sample,); the product is a tuple of indices."""
        if product not in self.measured:
            self.measured[product] = np.array([self.values(e, product).prod(axis=1).sum() for e in self.sample])
        return self.measured[product]

    def mean(self, product):
        return self.pools(product).mean()

    def covariance(self, u, v):
        """Cov of the sums of two products: bilinear in the functions, as the recursion needs."""
        a, b = self.pools(u), self.pools(v)
        return np.mean((a - a.mean()) * (b - b.mean()))

    def operator(self, row, ks):
        """P and its columns, from the package."""
        algebra = None if row in WITHOUT_KAPPA else self.algebra
        pairs = None
        if row == "centered":
            pairs = mean_pairs(self.algebra, lambda v: self.mean((v,)))
        elif row in MEASURED:
            pairs = lambda u, v: self.covariance((u,), (v,))  # noqa: E731
        return purification(ks, algebra, pairs)

    def purified(self, row, ks):
        """P · Π Ã in the environment, with scales."""
        P, columns = self.operator(row, ks)
        indices = sorted({v for k in columns for v in k})
        phi = self.values(self.test, indices)
        mu = {v: self.mean((v,)) if row in WITH_MEAN else 0.0 for v in indices}
        pool = {v: phi[:, i].sum() - mu[v] for i, v in enumerate(indices)}
        size = {v: abs(phi[:, i]).sum() + abs(mu[v]) for i, v in enumerate(indices)}
        products = np.array([math.prod(pool[v] for v in k) for k in columns])
        sizes = np.array([math.prod(size[v] for v in k) for k in columns])
        return P @ products, abs(P) @ sizes

    def direct(self, row, k):
        """The direct formula of a row for one k, with its scale."""
        phi = self.values(self.test, k)
        positions = tuple(range(len(k)))
        mu = [self.mean((v,)) for v in k]
        if row == "self-interacting":
            return reference.self_interacting(phi, positions)
        if row == "shifted":
            return reference.shifted(phi, positions, mu)
        if row == "canonical":
            return reference.canonical_brute_force(phi, positions)
        if row == "centered":
            return reference.centered_canonical(phi, positions, mu)
        if row == "Wick":
            covariance = np.array([[self.covariance((u,), (v,)) for v in k] for u in k])
            return reference.wick(phi, positions, mu, covariance)
        # No direct formula: the mean of the recursion, on values, over all orders in which k may be taken.
        histories = lambda columns: tuple(k[t] for t in columns)  # noqa: E731
        values = [
            reference.recursion_value(
                phi,
                permutation,
                mu=lambda h: self.mean(histories(h)),
                c=lambda g, h: self.covariance(histories(g), histories(h)),
            )
            for permutation in itertools.permutations(positions)
        ]
        return tuple(math.fsum(column) / len(values) for column in zip(*values))


def one_dimension(algebra, evaluate):
    def environment(number):
        return np.random.default_rng([7, number]).uniform(-1, 1, size=6 if number == 0 else 3 + number % 4)

    def values(x, indices):
        return evaluate(x, max(indices))[:, list(indices)]

    ks = [k for k in reference_moments.toy_indices(4, 5, 0) if sum(k) >= len(k) - 2]
    return Case(algebra, environment, values, [*ks, (3, 3, 3), (1, 2, 3, 4), (2, 2, 2, 2)])


SPECIES = ("Cu", "Zr")


def atoms(radial):
    """Two species; u of radial labels (1, n), with products of higher grade reached by the recursion alone."""

    def environment(number):
        rng = np.random.default_rng([11, number])
        return random_cluster(rng, 6 if number == 0 else 3 + number % 4, 5.0, SPECIES)

    def values(cluster, indices):
        symbols, vectors = cluster
        y = reference.real_harmonics(vectors, max(v.l for v in indices))
        r = np.linalg.norm(vectors, axis=1)
        phi = np.zeros((len(r), len(indices)))
        for z, species in enumerate(SPECIES):
            mine = [i for i, v in enumerate(indices) if v.z == z]
            if mine:
                R = radial.evaluate_labels(r, "Cu", species, [indices[i].q for i in mine])
                angular = y[:, [indices[i].l ** 2 + indices[i].l + indices[i].m for i in mine]]
                phi[:, mine] = R * angular * (symbols == species)[:, None]
        return phi

    algebra = AtomicAlgebra(radial.algebra("Cu", SPECIES, 4))
    v = lambda l, z, n, m: OneParticle(l, z, (1, n), m)  # noqa: E731
    ks = [
        (v(0, 0, 1, 0),),
        (v(0, 0, 0, 0), v(0, 0, 0, 0)),
        (v(1, 0, 1, -1), v(2, 0, 0, 1)),
        (v(1, 0, 1, 0), v(1, 1, 1, 0)),
        (v(2, 1, 0, 2), v(2, 1, 0, 2)),
        (v(0, 0, 2, 0), v(1, 0, 1, 1), v(1, 0, 1, 1)),
        (v(1, 0, 0, -1), v(1, 0, 1, 0), v(2, 0, 0, -1)),
        (v(1, 0, 0, -1), v(1, 1, 1, 0), v(2, 0, 0, -1)),
        (v(1, 0, 0, 0), v(1, 0, 0, 0), v(1, 0, 0, 0), v(1, 0, 0, 0)),
        (v(0, 0, 1, 0), v(1, 0, 0, 1), v(1, 0, 1, -1), v(2, 0, 0, -2)),
        (v(0, 0, 1, 0), v(1, 0, 0, 1), v(1, 1, 1, -1), v(2, 1, 0, -2)),
    ]
    return Case(algebra, environment, values, [tuple(sorted(k)) for k in ks])


CASES = {
    "Chebyshev": one_dimension(ChebyshevParticles(), reference.chebyshev_values),
    "Legendre, normalized": one_dimension(LegendreParticles(normalized=True), reference.legendre_values),
    "atoms, Chebyshev": atoms(PolynomialRadialBasis(5.0, LinearTransform(), PolynomialEnvelope(2))),
    "atoms, Legendre": atoms(PolynomialRadialBasis(5.0, AgnesiTransform(), polynomials=Legendre())),
}


# --- the table -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("case", CASES)
def test_every_row_against_its_formula(case, row):
    case = CASES[case]
    values, scales = case.purified(row, case.ks)
    for k, value, scale in zip(case.ks, values, scales, strict=True):
        expected, expected_scale = case.direct(row, k)
        # products are formed from pools, whose rounding counts once per factor
        tolerance = ROUND_OFF * (scale + expected_scale)
        assert abs(value - expected) <= tolerance, f"{row}, k = {k}: {value!r} != {expected!r}"


@pytest.mark.parametrize("case", CASES)
def test_recursion_on_values_without_pair_constants(case):
    """The third row once more, by the recursion itself with pointwise products for the κ-terms."""
    case = CASES[case]
    values, scales = case.purified("canonical", case.ks)
    for k, value, scale in zip(case.ks, values, scales, strict=True):
        expected, expected_scale = reference.recursion_value(case.values(case.test, k), range(len(k)))
        assert abs(value - expected) <= ROUND_OFF * (scale + expected_scale), k


@pytest.mark.parametrize("case", ["Chebyshev", "atoms, Chebyshev"])
def test_measured_pairs_depend_on_the_order_that_is_averaged(case):
    """Otherwise the mean over orders in the test above would be no test."""
    case = CASES[case]
    k = max(case.ks, key=lambda k: len(set(k)) if len(k) == 3 else 0)
    phi = case.values(case.test, k)
    histories = lambda columns: tuple(k[t] for t in columns)  # noqa: E731
    values = [
        reference.recursion_value(
            phi,
            permutation,
            mu=lambda h: case.mean(histories(h)),
            c=lambda g, h: case.covariance(histories(g), histories(h)),
        )
        for permutation in itertools.permutations(range(3))
    ]
    spread = max(value for value, _ in values) - min(value for value, _ in values)
    assert spread > 1e-6 * max(scale for _, scale in values)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("case", CASES)
def test_rows_do_not_depend_on_the_order_of_k(case, row):
    case = CASES[case]
    ks = [k for k in case.ks if len(k) in (2, 3)]
    P, columns = case.operator(row, ks)
    Q, others = case.operator(row, [k[::-1] for k in ks])
    assert columns == others
    np.testing.assert_array_equal(P.toarray(), Q.toarray())


@pytest.mark.parametrize("case", ["Chebyshev", "Legendre, normalized"])
def test_canonical_to_order_six(case):
    case = CASES[case]
    ks = [(0, 1, 1, 2, 3), (2, 2, 2, 2, 2), (1, 2, 3, 4, 5), (0, 0, 1, 1, 2, 3), (1, 1, 1, 1, 1, 1), (0, 1, 2, 3, 4, 5)]
    values, scales = case.purified("canonical", ks)
    for k, value, scale in zip(ks, values, scales, strict=True):
        expected, expected_scale = reference.canonical_closed_form(case.values(case.test, k), range(len(k)))
        assert abs(value - expected) <= ROUND_OFF * (scale + expected_scale), k


def test_atoms_to_order_five():
    case = CASES["atoms, Chebyshev"]
    v = lambda l, n, m: OneParticle(l, 0, (1, n), m)  # noqa: E731
    k = tuple(sorted([v(0, 1, 0), v(1, 0, 1), v(1, 0, 0), v(1, 1, 0), v(1, 0, -1)]))
    (value,), (scale,) = case.purified("canonical", [k])
    expected, expected_scale = reference.canonical_closed_form(case.values(case.test, k), range(5))
    assert abs(value - expected) <= ROUND_OFF * (scale + expected_scale)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("n_neighbors", [0, 1, 2, 3])
def test_canonical_vanishes_below_its_order(case, n_neighbors):
    case = CASES[case]
    whole = case.test
    case.test = whole[:n_neighbors] if isinstance(whole, np.ndarray) else tuple(a[:n_neighbors] for a in whole)
    try:
        values, scales = case.purified("canonical", case.ks)
    finally:
        case.test = whole
    for k, value, scale in zip(case.ks, values, scales, strict=True):
        if len(k) > n_neighbors:
            assert abs(value) <= ROUND_OFF * scale, k
    if n_neighbors:
        assert max(abs(value) for k, value in zip(case.ks, values) if len(k) <= n_neighbors) > 1e-6


# --- structure of P ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order, degree, n_indices, n_nonzeros", [(3, 19, 444, 2913), (4, 20, 1217, 20083)])
def test_sparsity_and_entries_of_the_chebyshev_operator(order, degree, n_indices, n_nonzeros):
    indices = reference_moments.toy_indices(order, degree, 0)
    P, columns = purification(indices, ChebyshevParticles())
    assert P.shape == (n_indices, n_indices) and columns == indices, "the set is closed"
    assert P.nnz == n_nonzeros
    for i, k in enumerate(indices):
        entries = dict(zip((columns[j] for j in P.indices[P.indptr[i] : P.indptr[i + 1]]), P[[i]].data))
        # sums of integers over powers of two: exact in floating point
        assert entries == {kappa: float(p) for kappa, p in reference.chebyshev_purification(k).items()}


def test_density_of_the_paper():
    assert 100 * 2913 / 444**2 == pytest.approx(1.48, abs=0.005)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("case", CASES)
def test_triangular(case, row):
    """1 on the diagonal; else fewer factors; never a higher total degree; canonical rows keep the grade."""
    case = CASES[case]

    def degree(k):
        return sum(v.l + v.q[1] if isinstance(v, OneParticle) else v for v in k)

    def grade(k):
        return sum(v.q[0] if isinstance(v, OneParticle) else 0 for v in k)

    P, columns = case.operator(row, case.ks)
    assert columns[: len(case.ks)] == case.ks
    extra = columns[len(case.ks) :]
    assert extra == sorted(extra, key=lambda k: (len(k), k)) and len(set(columns)) == len(columns)
    dense = P.toarray()
    for i, k in enumerate(case.ks):
        assert dense[i, i] == 1.0
        for j in np.flatnonzero(dense[i]):
            assert j == i or len(columns[j]) < len(k)
            assert degree(columns[j]) <= degree(k)
            if row == "canonical":
                assert grade(columns[j]) == grade(k)


def test_without_terms_the_operator_is_the_identity():
    ks = [(0,), (1, 3), (2, 1, 1)]
    P, columns = purification(ks, None)
    assert columns == [(0,), (1, 3), (1, 1, 2)]
    np.testing.assert_array_equal(P.toarray(), np.eye(3))


def test_centered_without_means_is_canonical():
    indices = reference_moments.toy_indices(4, 6, 0)
    algebra = ChebyshevParticles()
    P, columns = purification(indices, algebra)
    Q, others = purification(indices, algebra, mean_pairs(algebra, lambda kappa: 0.0))
    assert columns == others
    np.testing.assert_allclose(P.toarray(), Q.toarray(), rtol=1e-14)


def test_unit_pairs_give_hermite_polynomials():
    """One function with c = 1: I_k = He_k(A), whose coefficients NumPy knows."""
    P, columns = purification([(0,) * 5], None, lambda u, v: 1.0)
    found = np.zeros(6)
    found[[len(k) for k in columns]] = P.toarray()[0]
    np.testing.assert_allclose(found, hermite_e.herme2poly([0, 0, 0, 0, 0, 1]), rtol=0, atol=1e-14)


def test_rows_may_repeat():
    P, columns = purification([(1, 2), (2, 1)], ChebyshevParticles())
    assert columns == [(1, 2), (1,), (3,)]
    np.testing.assert_array_equal(P.toarray(), [[1, -0.5, -0.5]] * 2)


# --- moments -------------------------------------------------------------------------------------------------------


def toy_integral(family, degree):
    """Exact mean of a product of normalized functions of the orthogonality measure, by Gauss quadrature."""
    if family == "Chebyshev":
        x, w = np.polynomial.chebyshev.chebgauss(degree + 1)
        values = reference.chebyshev_values(x, degree) * np.where(np.arange(degree + 1) > 0, math.sqrt(2), 1)
        w = w / np.pi
    else:
        x, w = np.polynomial.legendre.leggauss(degree + 1)
        values, w = reference.legendre_values(x, degree), w / 2
    known = {}

    def integral(columns):
        key = tuple(sorted(columns))
        if key not in known:
            known[key] = float(w @ values[:, list(key)].prod(axis=1))
        return known[key]

    return integral


def product_moments(integral, intensity, centered):
    """E[Π_t Ã_{v_t}] of a Poisson process: a sum over set partitions of joint cumulants, intensity · ∫ Π φ.

    Blocks of one are the means, absent for centered sums. Taken recursively over the block of the first factor.
    """
    known = {(): 1.0}

    def moment(k):
        k = tuple(sorted(k))
        if k not in known:
            first, *others = k
            total = 0.0
            for size in range(1 if centered else 0, len(others) + 1):
                for block in itertools.combinations(range(len(others)), size):
                    rest = [v for t, v in enumerate(others) if t not in block]
                    cumulant = intensity * integral([first, *(others[t] for t in block)])
                    if abs(cumulant) > 1e-14:
                        total += cumulant * moment(rest)
            known[k] = total
        return known[k]

    return moment


def gram(P, moments):
    """E[I I^T] = P E[ΠÃ ΠÃ^T] P^T, with its scale: a moment is as inexact as √(E[x²] E[y²]) is large."""
    P = P.toarray()
    sizes = abs(P) @ np.sqrt(np.diag(moments))
    return P @ moments @ P.T, np.outer(sizes, sizes)


def product_gram(columns, moment):
    return np.array([[moment(a + b) for b in columns] for a in columns])


TOYS = {"Chebyshev": ChebyshevParticles(normalized=True), "Legendre": LegendreParticles(normalized=True)}


@pytest.mark.parametrize("family", TOYS)
def test_poisson_moments_of_the_canonical_basis(family):
    """Through P and moments of products, against the sum over partial matchings; intensity is not 1."""
    intensity = 2.5
    integral = toy_integral(family, 20)
    indices = [*reference_moments.toy_indices(3, 5, 0), (0, 1, 1, 2), (1, 1, 2, 2)]
    P, columns = purification(indices, TOYS[family])
    result, scale = gram(P, product_gram(columns, product_moments(integral, intensity, centered=False)))
    mean = lambda product: intensity * integral(product)  # noqa: E731
    expected = [[reference_moments.poisson_moment(k, other, mean) for other in indices] for k in indices]
    assert (abs(result - expected) <= 1e-13 * scale).all()
    assert abs(np.array(expected)).max() > 1


@pytest.mark.parametrize("intensity", [1.0, 2.5])
@pytest.mark.parametrize("family", TOYS)
def test_centered_canonical_is_orthogonal_for_an_ideal_gas(family, intensity):
    """E[I_k I_k'] = δ Π mult(k)! ρ^ν to order 4, T_0 and its mean included; also zero mean."""
    integral = toy_integral(family, 24)
    indices = reference_moments.toy_indices(4, 6, 0)
    algebra = TOYS[family]
    P, columns = purification(indices, algebra, mean_pairs(algebra, lambda v: intensity * integral([v])))
    moment = product_moments(integral, intensity, centered=True)
    moments = product_gram(columns, moment)
    result, scale = gram(P, moments)
    expected = np.diag([multiplicity_factorials(k) * intensity ** len(k) for k in indices])
    assert (abs(result - expected) <= 1e-13 * scale).all()
    # the scale must not hide everything: a Gram matrix near the identity has entries of order one
    assert abs(result - expected).max() < 1e-9 * expected.max()
    means = P @ np.array([moment(k) for k in columns])
    assert (abs(means) <= 1e-13 * (abs(P) @ np.sqrt(np.diag(moments)))).all()


def test_centered_moments_of_functions_that_are_not_orthonormal():
    """Plain Chebyshev: perfect matchings alone, against `reference_moments.poisson_centered_moment`."""
    intensity = 1.7
    normalized = toy_integral("Chebyshev", 20)

    def integral(product):
        return normalized(product) / math.sqrt(2) ** sum(v > 0 for v in product)

    algebra = ChebyshevParticles()
    indices = reference_moments.toy_indices(3, 5, 0)
    P, columns = purification(indices, algebra, mean_pairs(algebra, lambda v: intensity * integral([v])))
    result, scale = gram(P, product_gram(columns, product_moments(integral, intensity, centered=True)))
    mean = lambda product: intensity * integral(product)  # noqa: E731
    expected = [[reference_moments.poisson_centered_moment(k, other, mean) for other in indices] for k in indices]
    assert (abs(result - expected) <= 1e-13 * scale).all()


@pytest.mark.parametrize("order, degree", [(2, 14), (3, 14), (4, 10)])
@pytest.mark.parametrize("family", TOYS)
def test_toy_gram_matrix_is_diagonal(family, order, degree):
    """k ≥ 1, J = order independent particles: E[𝒜_k 𝒜_k'] = δ J!/(J − ν)! Π mult!, through P and the products."""
    indices = reference_moments.toy_indices(order, degree, 1)
    P, columns = purification(indices, TOYS[family])
    pooled = reference_moments.toy_gram(family.lower(), columns, order, canonical=False)
    result, scale = gram(P, pooled)
    expected = np.diag([math.perm(order, len(k)) * multiplicity_factorials(k) for k in indices])
    assert (abs(result - expected) <= 1e-13 * scale).all()
    # the scale must not hide everything: in units of the diagonal, the identity
    root = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(result / np.outer(root, root), np.eye(len(indices)), atol=1e-9)
