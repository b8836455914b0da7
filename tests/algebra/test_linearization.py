"""Product algebras: φ_u φ_v = Σ_κ p^κ_uv φ_κ, pointwise."""

import itertools

import numpy as np
import pytest
from cases.radial import Gaussians
from oracles import canonical as reference

from acepure.algebra.linearization import AtomicAlgebra, ChebyshevParticles, LegendreParticles
from acepure.algebra.radial_algebra import FormalAlgebra, GradedAlgebra
from acepure.functions import (
    AgnesiTransform,
    Chebyshev,
    CosineEnvelope,
    Legendre,
    LinearTransform,
    Measure,
    Orthonormal,
    PolynomialEnvelope,
    PolynomialRadialBasis,
    SmoothEnvelope,
)
from acepure.labels.factors import OneParticle

RCUT = 5.0
N = 7


# --- one dimension -------------------------------------------------------------------------------------------------


def plain_legendre(x, n):
    return np.polynomial.legendre.legvander(x, n)


def normalized_chebyshev(x, n):
    return reference.chebyshev_values(x, n) * np.where(np.arange(n + 1) > 0, np.sqrt(2), 1)


PARTICLES = {
    "Chebyshev": (ChebyshevParticles(), reference.chebyshev_values),
    "Chebyshev, normalized": (ChebyshevParticles(normalized=True), normalized_chebyshev),
    "Legendre": (LegendreParticles(), plain_legendre),
    "Legendre, normalized": (LegendreParticles(normalized=True), reference.legendre_values),
}


@pytest.mark.parametrize("name", PARTICLES)
def test_particles_pointwise(name):
    algebra, evaluate = PARTICLES[name]
    values = evaluate(np.linspace(-1, 1, 41), 24).T
    for u, v in itertools.product(range(13), repeat=2):
        terms = algebra.linearize(u, v)
        expected = values[u] * values[v]
        actual = sum(p * values[kappa] for kappa, p in terms)
        scale = sum(abs(p) * abs(values[kappa]).max() for kappa, p in terms)
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-14 * scale)
        assert terms == algebra.linearize(v, u)
        assert all(abs(u - v) <= kappa <= u + v and (kappa - u - v) % 2 == 0 for kappa, _ in terms)
        assert len(terms) == len({kappa for kappa, _ in terms})


def test_chebyshev_has_two_terms_exactly():
    algebra = ChebyshevParticles()
    assert dict(algebra.linearize(7, 3)) == {4: 0.5, 10: 0.5}
    assert dict(algebra.linearize(4, 4)) == {0: 0.5, 8: 0.5}
    assert dict(algebra.linearize(0, 5)) == {5: 1.0}


def test_normalized_coefficients_are_integrals():
    """p^κ_uv = ∫ φ_u φ_v φ_κ dμ for functions orthonormal in μ."""
    x, w = np.polynomial.legendre.leggauss(20)
    values = reference.legendre_values(x, 8)
    algebra = LegendreParticles(normalized=True)
    for u, v in itertools.combinations_with_replacement(range(5), 2):
        integrals = np.einsum("q,q,q,qk->k", w / 2, values[:, u], values[:, v], values)
        dense = np.zeros(9)
        for kappa, p in algebra.linearize(u, v):
            dense[kappa] = p
        # Gauss weights of NumPy are good to about 1e-14
        np.testing.assert_allclose(dense, integrals, atol=1e-13)


# --- radial --------------------------------------------------------------------------------------------------------


def measure():
    r = np.linspace(1.5, 4.9, 200)
    return Measure(r, r**2 * np.exp(-((r - 3) ** 2)))


GRADED = [
    PolynomialRadialBasis(RCUT, transform, envelope, family)
    for transform, envelope in ((LinearTransform(), PolynomialEnvelope(2)), (AgnesiTransform(), CosineEnvelope()))
    for family in (Chebyshev(), Legendre(), Orthonormal(measure()))
] + [
    PolynomialRadialBasis({("Cu", "Cu"): 4.5, ("Cu", "Zr"): 5.0}, polynomials=Legendre(), envelope=SmoothEnvelope(2.5))
]
RADIAL = [*GRADED, Gaussians(rcut=RCUT, more=0.0)]
SPECIES = ("Cu", "Zr")


def assert_pointwise(radial, algebra, z, a, b, r):
    terms = algebra.product(z, a, b)
    assert len(terms) == len({q for q, _ in terms})
    values = radial.evaluate_labels(r, "Cu", SPECIES[z], [a, b, *(q for q, _ in terms)])
    coefficients = np.array([p for _, p in terms])
    # rounding of the sum over terms, and of the three-term recurrences, which grow with the coefficients of P
    scale = (abs(values[:, 2:]) * abs(coefficients)).sum(axis=1).max() + abs(values[:, 0] * values[:, 1]).max()
    np.testing.assert_allclose(values[:, 2:] @ coefficients, values[:, 0] * values[:, 1], rtol=0, atol=1e-12 * scale)


@pytest.mark.parametrize("radial", RADIAL, ids=repr)
def test_radial_products_pointwise(radial):
    """Functions of the basis, and products with products: grades 1 + 1, 1 + 2, 2 + 2, 1 + 3."""
    r = np.linspace(0, 6, 61)
    algebra = radial.algebra("Cu", SPECIES, N)
    basis = [algebra.basis_label(n, 0) for n in range(N)]
    for z in range(2):
        for a, b in itertools.product(basis, repeat=2):
            assert_pointwise(radial, algebra, z, a, b, r)
            assert dict(algebra.product(z, a, b)) == pytest.approx(dict(algebra.product(z, b, a)), rel=1e-12)
        second = [q for q, _ in algebra.product(z, basis[2], basis[N - 1])]
        third = [q for q, _ in algebra.product(z, basis[1], second[-1])]
        for a, b in [(basis[3], q) for q in second + third] + list(itertools.product(second, second)):
            assert_pointwise(radial, algebra, z, a, b, r)


@pytest.mark.parametrize("radial", GRADED, ids=repr)
def test_graded_labels_against_plain_polynomials(radial):
    """(s, n) is f^s T_n for s ≥ 2 and the radial function itself for s = 1, from evaluate and evaluate_graded."""
    r = np.linspace(0, 6, 61)
    for species in SPECIES:
        rcut = radial.cutoff("Cu", species)
        inside = np.minimum(r, rcut)
        f, x = radial.envelope.evaluate(inside, rcut), radial.transform.evaluate(inside, rcut, "Cu", species)
        T = reference.chebyshev_values(x, N - 1)
        labels = [(s, n) for s in (2, 4) for n in (0, 3, N - 1)]
        values = radial.evaluate_labels(r, "Cu", species, labels)
        for column, (s, n) in enumerate(labels):
            np.testing.assert_allclose(values[:, column], f**s * T[:, n], rtol=0, atol=1e-14)
            np.testing.assert_array_equal(values[:, column], radial.evaluate_graded(r, "Cu", species, s, n + 1)[:, n])
        first = radial.evaluate_labels(r, "Cu", species, [(1, n) for n in range(N)])
        np.testing.assert_array_equal(first, radial.evaluate(r, "Cu", species, N))


@pytest.mark.parametrize("radial", GRADED, ids=repr)
def test_grades_add_and_degrees_do_not_grow(radial):
    algebra = radial.algebra("Cu", SPECIES, N)
    for (s, a), (t, b) in itertools.product([(1, 0), (1, 3), (1, 6), (2, 4), (3, 1)], repeat=2):
        terms = algebra.product(1, (s, a), (t, b))
        assert {grade for grade, _ in dict(terms)} == {s + t}
        assert max(n for _, n in dict(terms)) == a + b, "the leading term of a product of polynomials"
        if type(radial.polynomials) is Chebyshev:
            assert len(terms) == (2 if a and b else 1)


def test_formal_products_are_multisets():
    algebra = FormalAlgebra()
    assert algebra.basis_label(3, 2) == (3,)
    assert algebra.product(0, (1, 4), (2,)) == (((1, 2, 4), 1.0),)


def test_algebras_are_equal_when_their_products_are():
    table = {0: np.eye(2), 1: np.eye(2)}
    assert GradedAlgebra() == GradedAlgebra()
    assert GradedAlgebra(table) == GradedAlgebra({0: np.eye(2), 1: np.eye(2)})
    assert GradedAlgebra(table) != GradedAlgebra({0: np.eye(2), 1: 2 * np.eye(2)})
    assert GradedAlgebra(table) != GradedAlgebra()
    assert FormalAlgebra() == FormalAlgebra()
    assert FormalAlgebra() != GradedAlgebra()


# --- atoms ---------------------------------------------------------------------------------------------------------


def atomic_values(radial, z, indices, vectors):
    """φ_κ of neighbors of species z at vectors, shape (n, len(indices))."""
    y = reference.real_harmonics(vectors, max(v.l for v in indices))
    labels = sorted({v.q for v in indices})
    r = np.linalg.norm(vectors, axis=1)
    values = radial.evaluate_labels(r, "Cu", SPECIES[z], labels)
    return np.stack([values[:, labels.index(v.q)] * y[:, v.l * v.l + v.l + v.m] for v in indices], axis=1)


@pytest.mark.parametrize("radial", [GRADED[0], GRADED[4], GRADED[5], RADIAL[-1]], ids=repr)
def test_atomic_products_pointwise(radial):
    rng = np.random.default_rng(1)
    vectors = 2 * rng.normal(size=(15, 3))  # some beyond the cutoff
    radial_algebra = radial.algebra("Cu", SPECIES, N)
    algebra = AtomicAlgebra(radial_algebra)
    for _ in range(60):
        z = int(rng.integers(2))
        u, v = (
            OneParticle(l, z, radial_algebra.basis_label(int(rng.integers(N)), l), int(rng.integers(-l, l + 1)))
            for l in rng.integers(5, size=2).tolist()
        )
        for first, second in [(u, v), (algebra.linearize(u, v)[-1][0], v)]:  # the second: a product with a product
            terms = algebra.linearize(first, second)
            indices = [kappa for kappa, _ in terms]
            assert len(set(indices)) == len(indices) and all(kappa.z == z for kappa in indices)
            p = np.array([p for _, p in terms])
            product = atomic_values(radial, z, [first, second], vectors).prod(axis=1)
            values = atomic_values(radial, z, indices, vectors)
            scale = (abs(values) @ abs(p)).max() + abs(product).max()
            np.testing.assert_allclose(values @ p, product, rtol=0, atol=1e-13 * scale)


def test_different_species_have_no_product():
    for radial in (GradedAlgebra(), FormalAlgebra()):
        algebra = AtomicAlgebra(radial)
        u, v = (OneParticle(1, z, radial.basis_label(2, 1), 0) for z in (0, 1))
        assert algebra.linearize(u, v) == algebra.linearize(v, u) == ()
        assert algebra.linearize(u, u) != ()


def test_atomic_products_are_symmetric_and_respect_selection_rules():
    algebra = AtomicAlgebra(GradedAlgebra())
    indices = [OneParticle(l, 0, (1, n), m) for l in range(4) for n in range(3) for m in range(-l, l + 1)]
    for u, v in itertools.product(indices[::3], indices[::2]):
        terms = dict(algebra.linearize(u, v))
        assert terms == pytest.approx(dict(algebra.linearize(v, u)), abs=1e-15)
        for kappa in terms:
            assert abs(u.l - v.l) <= kappa.l <= u.l + v.l and (u.l + v.l + kappa.l) % 2 == 0
            assert abs(kappa.m) in (abs(abs(u.m) - abs(v.m)), abs(u.m) + abs(v.m))
            assert kappa.l + kappa.q[1] <= u.l + u.q[1] + v.l + v.q[1], "total degree does not grow"
