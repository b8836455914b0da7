"""Many-body expansions of potentials whose body orders are known in closed form."""

import math
from itertools import combinations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from acepure import ACEBasis, LinearACE, RadialDensity
from acepure.diagnostics import energies_by_clusters


def pairs(atoms):
    for i, j in combinations(range(len(atoms)), 2):
        yield np.linalg.norm(atoms.positions[i] - atoms.positions[j])


def triples(atoms):
    """Sides and cosines of the angles of each triangle, the angle at k opposite to side k."""
    for chosen in combinations(range(len(atoms)), 3):
        x = atoms.positions[list(chosen)]
        sides = np.array([np.linalg.norm(x[k - 1] - x[k - 2]) for k in range(3)])
        cosines = [(x[k - 1] - x[k]) @ (x[k - 2] - x[k]) / (sides[k - 1] * sides[k - 2]) for k in range(3)]
        yield sides, np.array(cosines)


def axilrod_teller(atoms):
    return sum(3.0 * (1 + 3 * cosines.prod()) / sides.prod() ** 3 for sides, cosines in triples(atoms))


def stillinger_weber(atoms):
    """Terms of two and of three bodies, silicon: ε = 2.1683 eV, σ = 2.0951 Å (Phys. Rev. B 31, 5262 (1985))."""
    eps, sigma, A, B, a, lam, gamma = 2.1683, 2.0951, 7.049556277, 0.6022245584, 1.8, 21.0, 1.2

    def tail(r, strength):
        return np.exp(strength / (r - a)) if r < a else 0.0

    two = sum(A * (B / r**4 - 1) * tail(r, 1.0) for r in (d / sigma for d in pairs(atoms)))
    three = 0.0
    for sides, cosines in triples(atoms):
        for k in range(3):
            r, s = sides[k - 1] / sigma, sides[k - 2] / sigma
            three += lam * (cosines[k] + 1 / 3) ** 2 * tail(r, gamma) * tail(s, gamma)
    return eps * two, eps * three


class Function(Calculator):
    implemented_properties = ("energy",)

    def __init__(self, function):
        super().__init__()
        self.function = function

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": float(self.function(atoms))}


def cluster(symbol, n, spread, seed=0):
    rng = np.random.default_rng(seed)
    return Atoms([symbol] * n, spread * rng.normal(size=(n, 3)))


def test_stillinger_weber_has_two_orders():
    atoms = cluster("Si", 6, 1.6)
    two, three = stillinger_weber(atoms)
    found = energies_by_clusters(Function(lambda a: sum(stillinger_weber(a))), atoms, 4)
    assert abs(three) > 0.1
    np.testing.assert_allclose(found, [0, two, three, 0, 0], rtol=0, atol=1e-11 * (abs(two) + abs(three)))


def test_axilrod_teller_has_one():
    atoms = cluster("Ar", 6, 2.5)
    expected = axilrod_teller(atoms)
    found = energies_by_clusters(Function(axilrod_teller), atoms, 4)
    np.testing.assert_allclose(found, [0, 0, expected, 0, 0], rtol=0, atol=1e-11 * abs(expected))


def test_all_orders_together_are_the_energy():
    atoms = cluster("Cu", 5, 1.8)
    found = energies_by_clusters(EMT(), atoms, 4)
    atoms.calc = EMT()
    assert abs(found[1:]).min() > 1e-6  # an embedded-atom potential has all
    assert found.sum() == pytest.approx(atoms.get_potential_energy(), rel=1e-11)


@pytest.mark.parametrize("canonical", [True, False])
@pytest.mark.parametrize("referred", [True, False])
def test_a_linear_model_by_clusters_and_by_order(canonical, referred):
    crystal = bulk("Cu", cubic=True) * 2
    crystal.rattle(0.1, seed=0)
    basis = ACEBasis(["Cu"], order=3, totaldegree=5, canonical=canonical)
    if referred:
        basis = basis.centered(RadialDensity.from_structures([crystal], basis.rcut))
    model = LinearACE(basis, np.random.default_rng(1).normal(size=len(basis)), E0s={"Cu": -3.5})
    atoms = cluster("Cu", 6, 1.8)
    by_order = model.energies_by_order(atoms).sum(axis=1)
    found = energies_by_clusters(model.calculator(), atoms, 4)
    np.testing.assert_allclose(found, [*by_order, 0], rtol=0, atol=1e-11 * abs(by_order).max())


def test_fragments_take_the_place_of_atoms():
    """Inclusion and exclusion over three molecules, written out; energies by a potential of all orders."""
    atoms, fragments = cluster("Cu", 7, 1.8), np.array([5, 2, 5, 2, 9, 9, 9])

    def energy(*kept):
        part = atoms[np.isin(fragments, kept)]
        part.calc = EMT()
        return part.get_potential_energy()

    one = energy(5) + energy(2) + energy(9)
    two = energy(5, 2) + energy(5, 9) + energy(2, 9) - 2 * one
    three = energy(5, 2, 9) - one - two
    found = energies_by_clusters(EMT(), atoms, 2, fragments=fragments)
    np.testing.assert_allclose(found, [one, two, three], rtol=0, atol=1e-11 * abs(one))
    assert abs(three) > 1e-3
    with pytest.raises(ValueError, match="order must be below the number of fragments, which is 3; got 3"):
        energies_by_clusters(EMT(), atoms, 3, fragments=fragments)
    for wrong in ([1, 2], np.linspace(0, 1, 7)):
        with pytest.raises(ValueError, match="fragments must hold one integer for each of the 7 atoms"):
            energies_by_clusters(EMT(), atoms, 1, fragments=wrong)


def test_an_embedded_atom_by_orders():
    """F(ρ) of an atom with n neighbors that add 1 each to ρ: order ν is binom(n, ν) Δ^ν F(0)."""
    n, positions = 5, [[0, 0, 0], *np.eye(3), *-np.eye(3)[:2]]
    atoms = Atoms("Cu6", positions)

    def center_alone(a):  # the center is the atom at the origin, if it is there
        here = np.linalg.norm(a.positions, axis=1) < 0.5
        return -np.sqrt((~here).sum()) if here.any() else 0.0

    differences = [np.diff(-np.sqrt(np.arange(n + 1)), nu)[0] for nu in range(n + 1)]
    expected = [math.comb(n, nu) * differences[nu] for nu in range(n + 1)]
    found = energies_by_clusters(Function(center_alone), atoms, n)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "atoms, order, message",
    [
        (bulk("Cu"), 1, "atoms must be a cluster, not periodic; got pbc"),
        (cluster("Cu", 3, 1.0), 3, "order must be below the number of atoms, which is 3; got 3"),
        (cluster("Cu", 3, 1.0), 0, "order must be an integer >= 1"),
    ],
)
def test_wrong_arguments(atoms, order, message):
    with pytest.raises(ValueError, match=message):
        energies_by_clusters(LennardJones(), atoms, order)
