"""Blocks of matrices: two probes are one probe of each L, places in the matrix, and what of it is tied."""

import itertools
import math

import numpy as np
import pytest
from ase import Atoms
from oracles.canonical import canonical_brute_force, real_harmonics

from acepure import ACEBasis, BondBasis
from acepure.algebra.coupling import clebsch_gordan, couplings, symmetric_couplings
from acepure.algebra.invariants import purified_invariants
from acepure.algebra.radial_algebra import GradedAlgebra
from acepure.algebra.symmetrization import symmetrization
from acepure.features.blocks import Block, BlockBasis, MatrixLayout
from acepure.labels.factors import Factor
from acepure.labels.orbitals import Orbitals

DEGREES = [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)]
BOND, FIRST, SECOND = 7, 98, 99


@pytest.mark.parametrize("la, lb", DEGREES)
def test_clebsch_gordan_coefficients_split_a_block(la, lb):
    """All W together are an orthogonal matrix, and exchange of the degrees is the sign (−1)^L where they are equal."""
    every = [clebsch_gordan(la, lb, L) for L in range(abs(la - lb), la + lb + 1)]
    matrix = np.concatenate([W.reshape(-1, W.shape[2]) for W in every], axis=1)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye((2 * la + 1) * (2 * lb + 1)), atol=1e-14)
    for L, W in enumerate(every):
        if la == lb:
            np.testing.assert_allclose(W.transpose(1, 0, 2), (-1) ** L * W, atol=1e-14)


@pytest.mark.parametrize("la, lb", DEGREES)
@pytest.mark.parametrize("ls, groups", [((1,), (0,)), ((1, 1), (0, 0)), ((1, 2), (0, 1)), ((1, 1, 2), (0, 0, 1))])
def test_two_probes_are_one_probe_of_each_degree(la, lb, ls, groups):
    """Couplings of factors and two probes span Σ_L W_L · (couplings of the factors to L)."""
    last = max(groups)
    size = math.prod(2 * l + 1 for l in (*ls, la, lb))
    two, _ = symmetric_couplings((*ls, la, lb), (*groups, last + 1, last + 2))
    two = two @ couplings((*ls, la, lb))[0].reshape(two.shape[1], size)
    rows = [np.zeros((0, size))]
    for L in range(abs(la - lb), la + lb + 1):
        parity = (-1) ** (la + lb)
        own, _ = symmetric_couplings(ls, groups, L, parity)
        tensors = couplings(ls, L, parity)[0]
        tensors = np.tensordot(own, tensors, axes=1)
        rows.append(np.einsum("k...M,abM->k...ab", tensors, clebsch_gordan(la, lb, L)).reshape(len(own), size))
    one = np.concatenate(rows)
    assert len(one) == len(two)
    np.testing.assert_allclose(one.T @ one, two.T @ two, atol=1e-13)


@pytest.mark.parametrize("la, lb", [(0, 1), (1, 1), (1, 2)])
def test_two_probes_in_the_operators(la, lb):
    """One bond and up to two atoms: purified invariants with two probes, by sums over distinct tuples."""
    environment = [Factor(l, 0, (1, n)) for l in range(2) for n in range(2)]
    bonds = [Factor(l, BOND, (1, 0)) for l in range(3)]
    probes = (Factor(la, FIRST, (1, 0)), Factor(lb, SECOND, (1, 0)))
    blocks = [
        tuple(sorted((*others, bond, *probes)))
        for n in range(3)
        for others in itertools.combinations_with_replacement(environment, n)
        for bond in bonds
    ]
    rng = np.random.default_rng(la + lb)
    vectors = {0: rng.normal(size=(3, 3)), BOND: rng.normal(size=(1, 3))}
    # f = 1: grades do not matter, R_n = T_n(x) with x a function of the distance
    probe_values = {FIRST: rng.normal(size=2 * la + 1), SECOND: rng.normal(size=2 * lb + 1)}

    def phi(one_particle):
        """Rows: atoms, the bond, the two probes; a particle sees functions of its own channel alone."""
        table = np.zeros((6, len(one_particle)))
        for column, v in enumerate(one_particle):
            if v.z in probe_values:
                table[4 + (v.z == SECOND), column] = probe_values[v.z][v.l + v.m]
            else:
                r = np.linalg.norm(vectors[v.z], axis=1)
                values = (
                    np.cos(v.q[1] * np.arccos(np.tanh(r - 1.5)))
                    * real_harmonics(vectors[v.z], v.l)[:, v.l**2 + v.l + v.m]
                )
                table[slice(3) if v.z == 0 else slice(3, 4), column] = values
        return table

    C, products, _ = symmetrization(blocks)
    P_B, extended = purified_invariants(blocks, GradedAlgebra())
    C_ext, extended_products, _ = symmetrization(extended)
    table = phi(products.one_particle)
    expected = np.array([canonical_brute_force(table, k) for run in products.factors for k in run.tolist()])
    sums = phi(extended_products.one_particle).sum(axis=0)
    products_of_sums = np.concatenate([sums[run].prod(axis=1) for run in extended_products.factors])
    found = P_B @ (C_ext @ products_of_sums)
    assert len(found) > 20
    assert (abs(found - C @ expected[:, 0]) <= 1e-12 * (abs(C) @ expected[:, 1]).max()).all()


def test_layout_reads_what_it_writes():
    orbitals = Orbitals({"O": "ssp", "H": "sp"})
    symbols = ["O", "H", "O", "H"]
    ends = np.array([(i, j) for i in range(4) for j in range(4) if i != j])
    layout = MatrixLayout(orbitals, symbols, ends)
    assert layout.n_orbitals == 18
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(18, 18))
    matrix += matrix.T
    copy = np.zeros_like(matrix)
    for on_site in (True, False):
        for first, second in [("H", "H"), ("O", "O")] + [("H", "O")] * (not on_site):
            n_a, n_b = len(orbitals.shells[first]), len(orbitals.shells[second])
            for a, b in itertools.product(range(n_a), range(n_b)):
                if first != second or a <= b:
                    block = Block(on_site, first, second, a, b)
                    layout.scatter(copy, block, layout.gather(matrix, block))
    np.testing.assert_allclose(copy, matrix, atol=1e-15)


def test_parts():
    atoms, bonds = ACEBasis(["H"], order=1), BondBasis(["H"], 2.0, order=1, totaldegree=4)
    parts = BlockBasis(atoms, bonds, Orbitals({"H": "spp"})).parts
    names = [f"{part.block}: {part.irrep}" for part in parts]
    assert names == [
        *("H0 on H0: 0e", "H0 on H1: 1o", "H0 on H2: 1o", "H1 on H1: 0e", "H1 on H1: 2e"),
        *("H1 on H2: 0e", "H1 on H2: 2e", "H2 on H2: 0e", "H2 on H2: 2e"),
        *("H0 to H0: 0e", "H0 to H1: 1o", "H0 to H2: 1o", "H1 to H1: 0e", "H1 to H1: 2e"),
        *("H1 to H2: 0e", "H1 to H2: 2e", "H2 to H2: 0e", "H2 to H2: 2e"),
    ]
    assert sum(part.n_constants for part in parts) == 4
    with_three = BlockBasis(ACEBasis(["H"], order=2), BondBasis(["H"], 2.0, order=2), Orbitals({"H": "pp"})).parts
    tied = {(part.block, part.irrep.L): len(part.columns) for part in with_three}
    assert (Block(True, "H", "H", 0, 0), 1) not in tied and (Block(True, "H", "H", 0, 1), 1) in tied
    assert 0 < tied[Block(False, "H", "H", 0, 0), 1] < tied[Block(False, "H", "H", 0, 1), 1]


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: Orbitals("ssp"), TypeError, "orbitals must map"),
        (lambda: Orbitals({"Q": "s"}), ValueError, "chemical symbol"),
        (lambda: Orbitals({"O": "sx"}), ValueError, "letters of spdfghi"),
        (lambda: Orbitals({"O": ""}), TypeError, "letters such as"),
        (lambda: Orbitals({"O": (0, -1)}), ValueError, "a degree of orbitals"),
        (lambda: Orbitals({"O": "s"}, "gaussian"), ValueError, "one of acepure, pyscf"),
        (lambda: Orbitals({"O": "s"}, 3), TypeError, "convention must be"),
        (lambda: Orbitals({"O": "s"}, {1: 2 * np.eye(3)}), ValueError, "orthogonal"),
        (lambda: Orbitals({"O": "s"}).starts(["O", "H"]), ValueError, "not of H"),
        (lambda: BlockBasis(1, 2, 3), TypeError, "ACEBasis"),
        (lambda: BlockBasis(ACEBasis(["H"]), 2, 3), TypeError, "BondBasis"),
        (lambda: BlockBasis(ACEBasis(["H"]), BondBasis(["H"], 2.0), 3), TypeError, "Orbitals"),
        (
            lambda: BlockBasis(ACEBasis(["H"]), BondBasis(["H", "O"], 2.0), Orbitals({"H": "s"})),
            ValueError,
            "bonds must be for the species of atoms, H; got H, O",
        ),
    ],
)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_layout_refuses_periodic_structures():
    basis = BlockBasis(ACEBasis(["H"]), BondBasis(["H"], 2.0), Orbitals({"H": "s"}))
    with pytest.raises(ValueError, match="wave vector"):
        basis.layout(Atoms("H", cell=[5, 5, 5], pbc=True))
    assert "11 parts" not in repr(basis) and f"{len(basis.parts)} parts" in repr(basis)
