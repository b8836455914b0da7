"""Features of any L and parity: counts, brute force over tuples of neighbors, rotations, every row of the table."""

import itertools
import math

import numpy as np
import pytest
from cases.descriptors import RADIAL, ROUND_OFF, SPECIES, cluster, crystal, expected_features
from cases.references import setup
from oracles.atoms import representation, rotation_matrices
from oracles.canonical import factorial_of_multiplicities
from oracles.structures import random_orthogonal

from acepure import ACEBasis, VerletList
from acepure.algebra.coupling import couplings, symmetric_couplings
from acepure.errors import BasisTooLargeError
from acepure.labels.characters import coupling_count
from acepure.labels.selection import Specification

IRREPS = ("1o", "2e", "3o", "0o", "1e", "2o", "3e")

#: (order, total degree, irrep) → functions of each order, products of C and of C_ext, from an independent prototype.
TABLE = {
    (3, 8, "1o"): ((8, 70, 248), 4092, 5424),
    (3, 8, "2e"): ((7, 80, 289), 6581, 8917),
    (3, 8, "3o"): ((6, 68, 253), 7143, 9883),
    (3, 8, "0o"): ((0, 0, 13), 190, 190),
    (3, 8, "1e"): ((0, 20, 112), 2343, 2943),
    (4, 8, "1o"): ((8, 70, 248, 467), 11296, 24458),
    (4, 8, "1e"): ((0, 20, 112, 235), 7388, 15542),
}


def parse(irrep):
    return int(irrep[0]), 1 if irrep[1] == "e" else -1


# --- counting ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order, degree, irrep", TABLE)
def test_sizes_of_the_prototype(order, degree, irrep):
    basis = ACEBasis(["Cu"], order=order, totaldegree=degree, irrep=irrep)
    sizes, products, extended = TABLE[order, degree, irrep]
    assert basis.specification.sizes == sizes and len(basis.labels) == len(basis)
    operators = basis.operators("Cu")
    assert operators.symmetrization.shape == (len(basis) * (2 * basis.L + 1), products)
    assert operators.extended_symmetrization.shape[1] == extended


@pytest.mark.parametrize("irrep", IRREPS)
@pytest.mark.parametrize(
    "arguments",
    [
        {"totaldegree": [4, 5, 4, 3]},
        {"totaldegree": [7, 6, 10], "wL": 1.5, "n_start": 1},
        {"n_max": [2, 2, 1], "l_max": [3, 2, 3]},
        {"order": 4, "n_functions": 300},
    ],
)
def test_sizes_are_those_of_the_blocks(arguments, irrep):
    specification = Specification.create(SPECIES, irrep=irrep, **arguments)
    L, parity = parse(irrep)
    counted = [0] * specification.order
    for block in specification.blocks():
        groups = tuple(block.index(f) for f in block)
        counted[len(block) - 1] += len(symmetric_couplings(tuple(f.l for f in block), groups, L, parity)[1])
    assert specification.sizes == tuple(counted) and sum(counted) > 0
    assert Specification.from_dict(specification.to_dict()) == specification


@pytest.mark.parametrize(
    "ls, groups",
    [((1, 1), (0, 0)), ((1, 2), (0, 1)), ((1, 1, 1), (0, 0, 0)), ((1, 1, 2), (0, 0, 1)), ((1, 1, 1), (0, 0, 1))],
)
def test_counts_are_dimensions_of_invariant_tensors(ls, groups):
    """The rank of what rotations, inversion and exchanges of equal factors leave alone, found by linear algebra."""
    rng = np.random.default_rng(1)
    for L, parity in itertools.product(range(4), (1, -1)):
        shape = [2 * l + 1 for l in (*ls, L)]
        identity = np.eye(math.prod(shape))
        moves = []
        for rotation in (random_orthogonal(rng, False), random_orthogonal(rng, False), -np.eye(3)):
            move = np.eye(1)
            for l in ls:
                move = np.kron(move, rotation_matrices(rotation, l)[l])
            moves.append(np.kron(move, representation(rotation, L, parity)))
        for t in range(len(ls) - 1):
            if groups[t] == groups[t + 1]:
                moves.append(np.swapaxes(identity.reshape(*shape, -1), t, t + 1).reshape(len(identity), -1))
        singular = np.linalg.svd(np.concatenate([move - identity for move in moves]), compute_uv=False)
        dimension = int((singular < 1e-8).sum())
        found, _ = symmetric_couplings(ls, groups, L, parity)
        slots = tuple(sorted((ls[groups.index(g)], groups.count(g)) for g in set(groups)))
        assert coupling_count(slots, L, parity) == len(found) == dimension
        if dimension:
            tensors = (found @ couplings(ls, L, parity)[0].reshape(found.shape[1], -1)).T
            for move in moves:
                np.testing.assert_allclose(move @ tensors, tensors, atol=1e-13)


@pytest.mark.parametrize("irrep", IRREPS)
def test_couplings_are_orthonormal(irrep):
    """Σ_k mult(k)! C_ik C_i'k = δ over features and M together."""
    basis = ACEBasis(SPECIES, totaldegree=[4, 4, 4, 3], irrep=irrep)
    weights = np.concatenate([[factorial_of_multiplicities(k) for k in run.tolist()] for run in basis.products.factors])
    C = basis.symmetrization
    gram = ((C * weights) @ C.T).toarray()
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-13)


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("canonical", [True, False], ids=["canonical", "self-interacting"])
@pytest.mark.parametrize("irrep", IRREPS)
@pytest.mark.parametrize("name", ["default", "orthonormal, operators differ by center", "own functions"])
def test_features_against_brute_force(name, irrep, canonical):
    radial, plain, cutoff = RADIAL[name]
    basis = ACEBasis(SPECIES, radial=radial, canonical=canonical, irrep=irrep, totaldegree=[4, 4, 4, 3])
    for atoms in (cluster(1), crystal()):
        features = basis.descriptors(atoms)
        assert features.shape == (len(atoms), *basis.feature_shape) and features.dtype == np.float64
        for center in range(len(atoms)):
            expected, scale = expected_features(basis, plain, cutoff, atoms, center)
            assert (abs(features[center].ravel() - expected) <= ROUND_OFF * scale).all()


@pytest.mark.parametrize("kind", ["ideal gas", "density, Chebyshev", "whitened", "one set, kept"])
@pytest.mark.parametrize("canonical", [True, False])
@pytest.mark.parametrize("irrep", ["1o", "2e", "1e", "0o"])
def test_rows_of_the_table(kind, canonical, irrep):
    """Centered, shifted, Wick-ordered and with measured pairs."""
    case = setup(kind, canonical, totaldegree=(2, 3, 6 if irrep == "0o" else 4), irrep=irrep)
    atoms = cluster(1, species=("Cu",))
    features = case.basis.descriptors(atoms)
    for i in range(3):
        expected, scale = case.expected(atoms, i)
        assert (abs(features[i].ravel() - expected) <= ROUND_OFF * scale).all()
    assert case.basis.irrep == irrep and ACEBasis.from_dict(case.basis.to_dict()) == case.basis
    atoms.positions *= 20
    vacuum = case.basis.descriptors(atoms)
    assert not vacuum.any()  # nothing but an invariant can be constant


@pytest.mark.parametrize("improper", [False, True])
@pytest.mark.parametrize("irrep", IRREPS)
def test_features_turn_with_the_structure(irrep, improper):
    rotation = random_orthogonal(np.random.default_rng(3), improper)
    basis = ACEBasis(SPECIES, totaldegree=[4, 5, 5, 4], irrep=irrep)
    D = representation(rotation, basis.L, basis.parity)
    atoms = cluster(2)
    turned = atoms.copy()
    turned.positions = atoms.positions @ rotation.T
    before, after = (basis.descriptors(a).reshape(len(atoms), len(basis), -1) for a in (atoms, turned))
    scale = np.linalg.norm(before, axis=2, keepdims=True)
    largest = scale.max(axis=1, keepdims=True)
    np.testing.assert_allclose(after / largest, before @ D.T / largest, atol=1e-13)
    assert largest.min() > 1e-4


def test_vectors_of_order_one_are_weighted_sums_of_directions():
    """B = Σ_j f(r_ij) (y, z, x)/r √(3/4π), by hand."""
    radial, plain, _ = RADIAL["default"]
    basis = ACEBasis(["Cu"], radial=radial, order=1, n_max=3, l_max=1, L=1)
    atoms = cluster(1, species=("Cu",))
    vectors = atoms.positions[1:] - atoms.positions[0]
    r = np.linalg.norm(vectors, axis=1)
    expected = math.sqrt(3 / (4 * math.pi)) * plain(r, "Cu", "Cu", 3).T @ (vectors / r[:, None])[:, [1, 2, 0]]
    np.testing.assert_allclose(basis.descriptors(atoms)[0], expected, rtol=0, atol=1e-13 * abs(expected).max())


# --- identity and arguments -------------------------------------------------------------------------------------------


def test_invariants_are_what_they_were():
    atoms, plain = crystal(), ACEBasis(SPECIES)
    for basis in (ACEBasis(SPECIES, L=0), ACEBasis(SPECIES, irrep="0e")):
        assert basis == plain and hash(basis) == hash(plain) and "irrep" not in basis.to_dict()
        assert (basis.descriptors(atoms) == plain.descriptors(atoms)).all() and basis.feature_shape == (len(basis),)


def test_names():
    basis = ACEBasis(SPECIES, totaldegree=[3, 4, 4], L=1)
    assert (basis.L, basis.parity, basis.irrep, basis.feature_shape) == (1, -1, "1o", (len(basis), 3))
    assert basis == ACEBasis(SPECIES, totaldegree=[3, 4, 4], irrep="1o") != ACEBasis(SPECIES, totaldegree=[3, 4, 4])
    assert basis != ACEBasis(SPECIES, totaldegree=[3, 4, 4], irrep="1e")
    assert "irrep='1o'" in repr(basis) and ACEBasis.from_dict(basis.to_dict()) == basis
    assert all(label.l == (1,) for label in basis.labels[basis.order_slices["nu1"]])
    assert len(set(basis.labels)) == len(basis)
    explicit = ACEBasis(["Cu"], functions=[[(0, 1)], [(0, 1), (1, 0)]], L=1)
    assert len(explicit) == 2 and ACEBasis.from_dict(explicit.to_dict()) == explicit
    blocks = list(basis.descriptor_blocks(crystal()))
    assert blocks[0][1].shape == (3, len(basis), 3)
    assert basis.descriptors(crystal(), indices=[]).shape == (0, len(basis), 3)
    assert VerletList(basis) is not None


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ({"L": 1, "irrep": "1o"}, ValueError, "exclude each other"),
        ({"L": -1}, ValueError, "L"),
        ({"L": 1.5}, TypeError, "L"),
        ({"L": 10**6}, BasisTooLargeError, "L"),
        ({"irrep": 1}, TypeError, "irrep"),
        ({"irrep": "1x"}, ValueError, "1x"),
        ({"irrep": "0o", "order": 2}, ValueError, "below order 3"),
        ({"irrep": "0o", "order": 2, "n_functions": 5}, ValueError, "below order 3"),
        ({"irrep": "1e", "order": 1}, ValueError, "below order 2"),
        ({"L": 9, "totaldegree": 2}, ValueError, "couples"),
        ({"L": 1, "functions": [[(0, 0)]]}, ValueError, "no coupling to 1o"),
        ({"L": 2, "totaldegree": 10**5, "order": 12}, BasisTooLargeError, "Lower the order"),
        ({"irrep": "2o", "totaldegree": 10**5, "order": 12}, BasisTooLargeError, "Lower the order"),
    ],
)
def test_refusals(arguments, error, words):
    with pytest.raises(error, match=words):
        ACEBasis(["Cu"], **arguments)
