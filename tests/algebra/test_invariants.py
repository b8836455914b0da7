"""Invariants and their purification: C P = P_B C_ext for every row of the table, orthonormality, sizes."""

import itertools

import numpy as np
import pytest
from oracles import canonical as reference
from oracles.atoms import canonical_products, multiplicity_factorials, random_cluster, self_interacting_products
from scipy.sparse import csr_array

from acepure import ACEBasis
from acepure.algebra.invariants import purified_invariants
from acepure.algebra.linearization import AtomicAlgebra
from acepure.algebra.operators import assemble
from acepure.algebra.radial_algebra import FormalAlgebra, GradedAlgebra
from acepure.algebra.recursion import mean_pairs, purification
from acepure.algebra.symmetrization import symmetrization
from acepure.functions import AgnesiTransform, Legendre, PolynomialRadialBasis
from acepure.labels.factors import Factor, OneParticle
from acepure.labels.selection import Specification

N_RADIAL = 6


def triangular(seed):
    """P_n = Σ_k Q_nk T_k of one species, with entries of order one."""
    return np.tril(np.random.default_rng(seed).normal(size=(N_RADIAL, N_RADIAL)))


ALGEBRAS = {
    "Chebyshev": GradedAlgebra(),
    "triangular": GradedAlgebra({z: triangular(z) for z in range(2)}),
    "formal": FormalAlgebra(),
}


def blocks_of(algebra, **arguments):
    """Blocks of a specification with the radial labels of the algebra."""
    species = arguments.pop("species", ["Cu"])
    blocks = Specification.create(species, **arguments).blocks()
    return [tuple(sorted(Factor(f.l, f.z, algebra.basis_label(f.q, f.l)) for f in block)) for block in blocks]


def number(seed, *names):
    """An arbitrary but fixed number for a list of labels."""
    flat = [seed, *itertools.chain.from_iterable(n if isinstance(n, tuple) else (n,) for n in names)]
    return np.random.default_rng(flat).normal()


def mean(v):
    """μ of an ideal environment: rotations leave l = 0 alone."""
    return number(1, v.z, v.q) if v.l == 0 else 0.0


def covariance(u, v):
    """A symmetric, rotation-invariant Cov(A_u, A_v), of species that differ too; the same for every m."""
    if u.l != v.l or (isinstance(u, OneParticle) and u.m != v.m):
        return 0.0
    first, second = sorted([(u.z, u.q), (v.z, v.q)])
    return number(2, u.l, *first, *second)


def row_arguments(row, algebra):
    """(κ-terms?, pair constants of one-particle functions, pair constants of factors)."""
    if row == "centered":
        pairs = mean_pairs(AtomicAlgebra(algebra), mean)

        # Σ_m is not summed: the constant for every m, here for m = 0
        def factor_pairs(u, v):
            return pairs(OneParticle(u.l, u.z, u.q, 0), OneParticle(v.l, v.z, v.q, 0))

        return True, pairs, factor_pairs
    if row in ("Wick", "measured pairs"):
        return row == "measured pairs", covariance, covariance
    return row == "canonical", None, None


ROWS = ("self-interacting", "canonical", "centered", "Wick", "measured pairs")
SPECIFICATIONS = {
    "order 3": {"order": 3, "totaldegree": 4},
    "order 4": {"order": 4, "totaldegree": 4},
    "order 3, two species": {"order": 3, "totaldegree": [3, 3, 2], "species": ["Cu", "Zr"]},
    "order 4, two species": {"order": 4, "totaldegree": 2, "species": ["Cu", "Zr"]},
    "order 5": {"order": 5, "totaldegree": 2},
    "incomplete list": {
        "functions": [[(1, 0)], [(0, 2), (3, 2)], [(1, 1), (1, 1), (0, 2)], [(0, 1), (0, 1), (1, 1), (2, 3)]]
    },
}


def on_columns(P_B, C_ext, products, columns):
    """P_B C_ext as a matrix over the columns of P."""
    position = {k: i for i, k in enumerate(columns)}
    product = (P_B @ C_ext).tocoo()
    where = np.array([position.get(k, -1) for k in products])
    outside = where[product.col] < 0
    assert not abs(product.data[outside]).max(initial=0) > 1e-13, "a product that P does not know"
    inside = ~outside
    rows, cols, data = product.row[inside], where[product.col[inside]], product.data[inside]
    return csr_array((data, (rows, cols)), shape=(P_B.shape[0], len(columns))).toarray()


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("specification", SPECIFICATIONS)
@pytest.mark.parametrize("algebra", ALGEBRAS)
def test_purification_commutes_with_symmetrization(algebra, specification, row):
    """B = C P ΠÃ over single products equals P_B C_ext ΠÃ over invariants, as matrices."""
    algebra = ALGEBRAS[algebra]
    blocks = blocks_of(algebra, **SPECIFICATIONS[specification])
    kappa, pairs, factor_pairs = row_arguments(row, algebra)
    C, products, _ = symmetrization(blocks)
    P, columns = purification(products, AtomicAlgebra(algebra) if kappa else None, pairs)
    P_B, extended = purified_invariants(blocks, algebra if kappa else None, factor_pairs)
    assert extended[: len(blocks)] == blocks and len(set(extended)) == len(extended)
    C_ext, extended_products, offsets = symmetrization(extended)
    assert P_B.shape == (C.shape[0], C_ext.shape[0])
    direct = (C @ P).toarray()
    through_invariants = on_columns(P_B, C_ext, extended_products, columns)
    scale = (abs(C) @ abs(P)).toarray() + 1
    assert (abs(direct - through_invariants) <= 1e-13 * scale).all()
    # every row starts with the feature itself
    n = C.shape[0]
    np.testing.assert_allclose(P_B[:, :n].toarray().diagonal(), 1.0, atol=1e-13)
    if row == "self-interacting":
        np.testing.assert_allclose(P_B.toarray(), np.eye(n), atol=1e-13)
    else:
        order = np.repeat([len(block) for block in extended], np.diff(offsets))
        coo = P_B.tocoo()
        lower = (order[coo.col] < order[coo.row]) | (coo.col == coo.row)
        assert lower.all(), "triangular in the order"
        assert (P_B.nnz > n) == any(len(block) > 1 for block in blocks)


class ScaledAlgebra(GradedAlgebra):
    """Products of the functions s R_q in place of R_q."""

    def __init__(self, s):
        super().__init__()
        self.s = s

    def product(self, z, a, b):
        return tuple((q, self.s * c) for q, c in super().product(z, a, b))


@pytest.mark.parametrize("s", [2.0**-50, 2.0**50])
@pytest.mark.parametrize("constants", [False, True])
def test_zeros_do_not_depend_on_the_scale_of_the_functions(s, constants):
    """With s R_q for R_q the entries of P_B are s^(ν − ν') times what they were; rounding alone becomes zero."""
    factors = [Factor(1, 0, (1, n)) for n in (0, 0, 1, 1)]
    blocks = [tuple(factors), (factors[0], factors[0], Factor(2, 0, (1, 0)), Factor(2, 0, (1, 1)))]

    def purified(s):
        return purified_invariants(
            blocks, ScaledAlgebra(s), (lambda u, v: s**2 * covariance(u, v)) if constants else None
        )

    (plain, extended), (scaled, same) = purified(1.0), purified(s)
    assert same == extended
    assert abs(plain.data).min() > 1e-6
    order = np.repeat([len(block) for block in extended], np.diff(symmetrization(extended)[2]))
    expected = plain.toarray() * s ** (4.0 - order)
    np.testing.assert_array_equal(scaled.toarray(), expected)  # a power of 2 rounds nothing


def test_canonical_and_constants_differ():
    """The rows compared above are five different operators."""
    algebra = ALGEBRAS["Chebyshev"]
    blocks = blocks_of(algebra, order=3, totaldegree=4)
    operators = []
    for row in ROWS:
        kappa, _, pairs = row_arguments(row, algebra)
        P_B, extended = purified_invariants(blocks, algebra if kappa else None, pairs)
        operators.append((len(extended), round(float(abs(P_B).sum()), 6)))
    assert len(set(operators)) == len(ROWS)


@pytest.mark.parametrize("canonical", [True, False])
def test_assembly_holds_both_ways(canonical):
    algebra = ALGEBRAS["triangular"]
    blocks = blocks_of(algebra, order=3, totaldegree=3, species=["Cu", "Zr"])
    operators = assemble(blocks, algebra, canonical)
    P, columns = operators.purification_with_columns
    direct = (operators.symmetrization @ P).toarray()
    if canonical:
        P_B, C_ext = operators.invariant_purification, operators.extended_symmetrization
        np.testing.assert_allclose(direct, on_columns(P_B, C_ext, operators.extended_products, columns), atol=1e-12)
    else:
        assert operators.invariant_purification is None
        np.testing.assert_array_equal(direct, operators.symmetrization.toarray())
        assert columns == tuple(operators.products)


@pytest.mark.parametrize("row", ["Wick", "measured pairs", "centered"])
def test_assembly_with_pair_constants(row):
    algebra = ALGEBRAS["Chebyshev"]
    blocks = blocks_of(algebra, order=3, totaldegree=3)
    kappa, _, factor_pairs = row_arguments(row, algebra)
    operators = assemble(blocks, algebra, kappa, factor_pairs)
    P, columns = operators.purification_with_columns
    direct = (operators.symmetrization @ P).toarray()
    P_B, C_ext = operators.invariant_purification, operators.extended_symmetrization
    np.testing.assert_allclose(direct, on_columns(P_B, C_ext, operators.extended_products, columns), atol=1e-11)


# --- C -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("specification", [*SPECIFICATIONS, "order 6"])
def test_rows_are_orthonormal_in_the_multiplicities(specification):
    """Σ_k Π mult(k)! C_ik C_i'k = δ, across blocks too, since they share no product."""
    algebra = ALGEBRAS["formal"]
    arguments = SPECIFICATIONS.get(specification, {"order": 6, "totaldegree": [0, 0, 0, 0, 2, 3]})
    C, products, offsets = symmetrization(blocks_of(algebra, **arguments))
    weights = np.array([multiplicity_factorials(k) for k in products], dtype=float)
    gram = (C * weights) @ C.T
    np.testing.assert_allclose(gram.toarray(), np.eye(C.shape[0]), atol=1e-13)
    assert len(set(products)) == len(products)
    assert all(k == tuple(sorted(k)) for k in products)
    assert (abs(C).sum(axis=0) > 0).all(), "every column is used"
    assert offsets[-1] == C.shape[0]


def test_products_have_the_factors_of_their_block():
    blocks = blocks_of(GradedAlgebra(), order=3, totaldegree=3, species=["Cu", "Zr"])
    C, products, offsets = symmetrization(blocks)
    for i, j in zip(*C.nonzero(), strict=True):
        block = blocks[np.searchsorted(offsets, i, side="right") - 1]
        assert tuple((v.l, v.z, v.q) for v in products[j]) == block


def test_products_are_even_under_reflection():
    """Real harmonics: features are invariant under reflection y → −y, so m < 0 occurs an even number of times."""
    _, products, _ = symmetrization(blocks_of(GradedAlgebra(), order=4, totaldegree=6))
    assert all(sum(v.m < 0 for v in k) % 2 == 0 for k in products)


@pytest.mark.parametrize(
    "order, degree, features, products, extended",
    [(3, 8, 224, 1082, 1355), (3, 12, 912, 9882, 10832), (4, 8, 514, 3240, 6438), (4, 10, 1330, 14088, 24352)],
)
def test_sizes(order, degree, features, products, extended):
    """The numbers of the design, which a second program found too."""
    basis = ACEBasis(["Cu"], order=order, totaldegree=degree)
    operators = basis.operators("Cu")
    sizes = (len(basis), len(operators.products), len(operators.extended_products))
    assert sizes == (features, products, extended)
    assert operators.symmetrization.shape == (features, products)
    assert operators.invariant_purification.shape[0] == features
    assert operators.extended_symmetrization.shape == (operators.invariant_purification.shape[1], extended)
    self_interacting = ACEBasis(["Cu"], order=order, totaldegree=degree, canonical=False).operators("Cu")
    assert len(self_interacting.extended_products) == products


# --- values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algebra", ["Chebyshev", "triangular"])
def test_invariants_of_products_are_purified(algebra):
    """P_B C_ext AA_ext = C 𝒜 as numbers, with 𝒜 by the closed form; orders 1 to 5."""
    polynomials = {} if algebra == "Chebyshev" else {"polynomials": Legendre()}
    radial = PolynomialRadialBasis(5.0, AgnesiTransform(), **polynomials)
    symbols, vectors = random_cluster(np.random.default_rng(4), 7, 5.0, ["Cu", "Zr"])
    species = ("Cu", "Zr")
    algebra = radial.algebra("Cu", species, 4)
    r, y = np.linalg.norm(vectors, axis=1), reference.real_harmonics(vectors, 6)

    def values(one_particle):
        columns = []
        for v in one_particle:
            R = radial.evaluate_labels(r, "Cu", species[v.z], [v.q])[:, 0]
            columns.append(R * y[:, v.l * v.l + v.l + v.m] * (symbols == species[v.z]))
        return np.stack(columns, axis=1)

    for arguments in (
        {"order": 4, "totaldegree": [3, 3, 3, 2], "species": species},
        {"order": 5, "totaldegree": [0, 2, 2, 3, 3]},
    ):
        operators = assemble(blocks_of(algebra, **arguments), algebra)
        phi = values(operators.products.one_particle)
        runs = [canonical_products(phi, run) for run in operators.products.factors]
        expected = operators.symmetrization @ np.concatenate([value for value, _ in runs])
        phi = values(operators.extended_products.one_particle)
        runs = [self_interacting_products(phi, run) for run in operators.extended_products.factors]
        products, sizes = (np.concatenate(part) for part in zip(*runs))
        P_B, C_ext = operators.invariant_purification, operators.extended_symmetrization
        assert (abs(P_B @ (C_ext @ products) - expected) <= 1e-13 * (abs(P_B) @ (abs(C_ext) @ sizes))).all()
