"""Repulsive cores: the formula, its derivatives, the switch, forces and virial, files, input."""

import itertools
import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
from ase import Atoms
from ase.data import atomic_numbers
from ase.neighborlist import neighbor_list as ase_neighbor_list
from numpy.polynomial import Polynomial
from oracles.structures import central_difference, position_differences, strain_differences, structures
from scipy import constants

from acepure import ACEBasis, VerletList
from acepure.models.repulsion import PairCore, ZBLCore
from acepure.neighbors.lists import neighbor_list

# The same formula written twice, relative.
ROUND_OFF = 1e-14
# e²/(4πε0) differs in the ninth digit between the editions of CODATA that ASE and SciPy hold.
CODATA = 1e-8
# Central differences of order eight, of the sum of |terms|, as in cases/linear.py.
DIFFERENCE = 3e-12

SYMBOLS = ["H", "C", "Cu", "Zr"]
OUTER = {("Cu", "Cu"): 2.7, ("Cu", "Zr"): 2.9, ("Zr", "Zr"): 3.05}


def repulsion(r, a, b):
    """The unswitched repulsion in eV, term by term, with e²/(4πε0) from SciPy."""
    z1, z2 = atomic_numbers[a], atomic_numbers[b]
    x = r / (0.46850 / (z1**0.23 + z2**0.23))
    phi = 0.18175 * math.exp(-3.19980 * x) + 0.50986 * math.exp(-0.94229 * x)
    phi += 0.28022 * math.exp(-0.40290 * x) + 0.02817 * math.exp(-0.20162 * x)
    coulomb = constants.e / (4 * math.pi * constants.epsilon_0) * 1e10
    return coulomb * z1 * z2 / r * phi


def switch(u):
    """1 − ∫_0^u 30 t² (1 − t)² dt."""
    t = Polynomial([0, 1])
    return 1 - (30 * t**2 * (1 - t) ** 2).integ()(min(max(u, 0.0), 1.0))


def switched(core, r, a, b):
    inner, outer = (v if isinstance(v, float) else v[a, b] for v in (core.inner, core.outer))
    return repulsion(r, a, b) * switch((r - inner) / (outer - inner))


def values(core, r, a="Cu", b="Cu"):
    return core.energy_and_slope(np.atleast_1d(r), a, b)[0]


def alloy():
    """Two species, periodic along two axes, one of them shorter than the core."""
    atoms = Atoms(
        "CuZrZrCu",
        [(0, 0, 0), (1.9, 0.3, 0.4), (0.2, 1.8, 1.1), (1.7, 1.6, -1.0)],
        cell=[(2.5, 0, 0.3), (0, 0, 0), (0.4, 0.2, 3.3)],
        pbc=(True, False, True),
    )
    atoms.rattle(0.05, seed=1)
    return atoms


def brute_force(core, atoms):
    """E_i = ½ Σ_j V(r_ij), one pair after the other."""
    symbols, energies = atoms.get_chemical_symbols(), np.zeros(len(atoms))
    for i, j, r in zip(*ase_neighbor_list("ijd", atoms, 3.5)):
        energies[i] += 0.5 * switched(core, r, symbols[i], symbols[j])
    return energies


# --- formula ----------------------------------------------------------------------------------------------------------


def test_one_pair_by_hand():
    """H-H at r = a, x = 1: φ = 0.007410 + 0.198710 + 0.187293 + 0.023026, V = 14.39965 φ / 0.23425 Å."""
    assert 0.007410 + 0.198710 + 0.187293 + 0.023026 == pytest.approx(0.416439, abs=1e-9)
    assert values(ZBLCore(1.0, 2.0), 0.23425, "H", "H")[0] == pytest.approx(14.39965 * 0.416439 / 0.23425, rel=3e-6)


@pytest.mark.parametrize("a, b", list(itertools.product(SYMBOLS, repeat=2)))
def test_formula(a, b):
    core = ZBLCore(0.8, 2.1)
    r = np.array([1e-6, 0.01, 0.3, 0.8, 0.81, 1.3, 2.0, 2.0999])
    expected = [switched(core, d, a, b) for d in r.tolist()]
    np.testing.assert_allclose(values(core, r, a, b), expected, rtol=CODATA + ROUND_OFF, atol=1e-12)
    np.testing.assert_array_equal(values(core, [2.1, 3.0, 50.0], a, b), 0.0)


def test_both_orders_are_the_same():
    core, r = ZBLCore(0.8, OUTER), np.linspace(0.1, 3, 30)
    for one, other in zip(core.energy_and_slope(r, "Cu", "Zr"), core.energy_and_slope(r, "Zr", "Cu")):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("inner", [0.0, 0.9])
@pytest.mark.parametrize("a, b", [("H", "H"), ("C", "Zr")])
def test_slope(a, b, inner):
    """Against finite differences, in every part of the switch."""
    core = ZBLCore(inner, 2.0)
    r = np.array([0.4, 0.7, 0.92, 1.0, 1.5, 1.9, 1.99, 2.01])
    differences = central_difference(lambda t: values(core, r + t, a, b), 1e-3)
    size = values(core, r - 4e-3, a, b)
    slopes = core.energy_and_slope(r, a, b)[1]
    # Rounding is 2 eps V / h, truncation h⁸ V⁽⁹⁾/630; at a kink of the third derivative it is h² V'''.
    np.testing.assert_allclose(slopes, differences, rtol=0, atol=1e-10 * size.max())
    np.testing.assert_array_less(abs(slopes - differences), 1e-9 * (abs(slopes) + size) + 1e-9)


def test_two_continuous_derivatives():
    """At both ends of the switch V leaves its continuation as the cube of the distance, on one side alone."""
    core = ZBLCore(0.8, 1.6)
    h = np.array([1e-3, 2e-3, 4e-3])
    pure = ZBLCore(5.0, 6.0)
    np.testing.assert_array_equal(values(core, 0.8 - h), values(pure, 0.8 - h))
    np.testing.assert_array_equal(values(core, 1.6 + h), 0.0)
    for gap in (values(pure, 0.8 + h) - values(core, 0.8 + h), values(core, 1.6 - h)):
        assert (gap > 0).all()
        np.testing.assert_allclose(gap[1:] / gap[:-1], 8, rtol=0.05)
    slopes, pure_slopes = core.energy_and_slope(0.8 + h, "Cu", "Cu")[1], pure.energy_and_slope(0.8 + h, "Cu", "Cu")[1]
    np.testing.assert_allclose((slopes - pure_slopes)[1:] / (slopes - pure_slopes)[:-1], 4, rtol=0.05)


def test_repulsive_everywhere():
    core = ZBLCore(0.5, 2.0)
    v, slope = core.energy_and_slope(np.linspace(1e-6, 1.999, 500), "Cu", "Zr")
    assert (v > 0).all() and (slope < 0).all() and (np.diff(v) < 0).all()


# --- structures -------------------------------------------------------------------------------------------------------

CORES = {
    "one switch": ZBLCore(1.0, 2.97),
    "per pair": ZBLCore({("Cu", "Cu"): 1.1, ("Zr", "Cu"): 0.9, ("Zr", "Zr"): 1.3}, OUTER),
    "outer per pair": ZBLCore(1.0, OUTER),
}


@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
def test_energies_forces_and_virial(core):
    atoms = alloy()
    result = core.energy_and_forces(atoms)
    expected = brute_force(core, atoms)
    assert (expected > 1).all()
    np.testing.assert_allclose(result.energies, expected, rtol=CODATA + 10 * ROUND_OFF)
    scale = expected.sum()

    def energy(moved):
        return core.energy_and_forces(moved).energies.sum()

    # A pair that crosses the end of the switch within a step has a kink in its third derivative only.
    np.testing.assert_allclose(result.forces, -position_differences(energy, atoms), rtol=0, atol=1e-9 * scale)
    np.testing.assert_allclose(result.virial, -strain_differences(energy, atoms), rtol=0, atol=1e-9 * scale)
    np.testing.assert_allclose(result.forces.sum(axis=0), 0, atol=ROUND_OFF * abs(result.forces).max() * len(atoms))
    np.testing.assert_allclose(result.virial, result.virial.T, rtol=0, atol=ROUND_OFF * abs(result.virial).max())


def test_gradients_of_pairs():
    """∂E_i/∂r_ij, pair by pair, and zero for pairs beyond the core."""
    core, atoms = CORES["per pair"], alloy()
    symbols = atoms.get_chemical_symbols()
    pairs = neighbor_list(atoms, 6.0)
    energies, gradients = core.evaluate(pairs, symbols)
    np.testing.assert_allclose(energies, brute_force(core, atoms), rtol=CODATA + 10 * ROUND_OFF)
    centers = np.repeat(pairs.centers, np.diff(pairs.offsets))
    touched = 0
    for i, j, vector, gradient in zip(centers, pairs.neighbors, pairs.vectors, gradients):
        r = np.linalg.norm(vector)
        if r >= core.cutoff(symbols[i], symbols[j]):
            assert not gradient.any()
            continue
        slope = core.energy_and_slope([r], symbols[i], symbols[j])[1][0]
        np.testing.assert_allclose(gradient, 0.5 * slope * vector / r, rtol=10 * ROUND_OFF)
        touched += 1
    assert 10 < touched < len(gradients) / 2


def test_some_centers_in_any_order():
    core, atoms = CORES["one switch"], alloy()
    whole = core.evaluate(neighbor_list(atoms, 3.0), atoms.get_chemical_symbols())[0]
    some = core.evaluate(neighbor_list(atoms, 3.0, indices=[3, 0]), atoms.get_chemical_symbols())[0]
    np.testing.assert_array_equal(some, whole[[3, 0]])


def test_longer_lists_change_nothing():
    """Lists of a basis, with a skin and moved since, give the same as a list of the core's own reach."""
    core, atoms = CORES["per pair"], alloy()
    verlet = VerletList(ACEBasis(["Cu", "Zr"], rcut=4.0, order=1), skin=1.0)
    verlet.update(atoms)
    atoms.rattle(0.05, seed=2)
    longer, own = core.energy_and_forces(atoms, verlet.update(atoms)), core.energy_and_forces(atoms)
    assert verlet.n_builds == 1
    scale = own.energies.sum()
    np.testing.assert_allclose(longer.energies, own.energies, rtol=10 * ROUND_OFF)
    np.testing.assert_allclose(longer.forces, own.forces, rtol=0, atol=10 * ROUND_OFF * scale)
    np.testing.assert_allclose(longer.virial, own.virial, rtol=0, atol=10 * ROUND_OFF * scale)


@pytest.mark.parametrize("name", ["isolated atom", "isolated atom in a box", "fcc Cu", "water"])
def test_nothing_near(name):
    atoms = structures()[name]
    result = ZBLCore(0.2, 0.5).energy_and_forces(atoms)
    assert result.energies.shape == (len(atoms),)
    for array in (result.energies, result.forces, result.virial):
        assert not array.any()


def test_a_head_on_collision_stops():
    """Twice the energy of an atom is V; the atoms push each other apart."""
    core = ZBLCore(0.6, 1.2)
    result = core.energy_and_forces(Atoms("CuZr", [(0, 0, 0), (0, 0, 0.3)]))
    v, slope = core.energy_and_slope([0.3], "Cu", "Zr")
    np.testing.assert_allclose(result.energies, v[0] / 2, rtol=ROUND_OFF)
    np.testing.assert_allclose(result.forces, [(0, 0, slope[0]), (0, 0, -slope[0])], rtol=ROUND_OFF)
    assert slope[0] < 0


# --- cores of users, files, input -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cubic(PairCore):
    """A user's own."""

    strength: float = 2.0

    def cutoff(self, a, b):
        return 3.0 if a == b else 2.5

    def energy_and_slope(self, r, a, b):
        assert (r < self.cutoff(a, b)).all() and (r > 0).all()
        return self.strength * (self.cutoff(a, b) - r) ** 3, -3 * self.strength * (self.cutoff(a, b) - r) ** 2


def test_a_user_s_core():
    atoms, core = alloy(), Cubic()
    symbols, expected = atoms.get_chemical_symbols(), np.zeros(len(atoms))
    for i, j, r in zip(*ase_neighbor_list("ijd", atoms, 3.0)):
        expected[i] += max(3.0 - 0.5 * (symbols[i] != symbols[j]) - r, 0.0) ** 3
    np.testing.assert_allclose(core.energy_and_forces(atoms).energies, expected, rtol=10 * ROUND_OFF)


def test_a_core_of_some_pairs():
    """A cutoff of 0 is no core."""

    class Unlike(Cubic):
        def cutoff(self, a, b):
            return 2.5 if a != b else 0.0

    for atoms, energetic in ((Atoms("Cu2", [(0, 0, 0), (0, 0, 1)]), False), (alloy(), True)):
        assert (Unlike().energy_and_forces(atoms).energy > 0) == energetic


@pytest.mark.parametrize("core", [*CORES.values(), Cubic(3.5)], ids=[*CORES, "user's"])
def test_to_dict_and_back(core):
    restored = PairCore.from_dict(json.loads(json.dumps(core.to_dict())))
    assert restored == core and type(restored) is type(core) and hash(restored) == hash(core)
    atoms = alloy()
    for name in ("energies", "forces", "virial"):
        one, other = (getattr(c.energy_and_forces(atoms), name) for c in (core, restored))
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "returned, error, message",
    [
        (lambda r: (np.full(len(r), np.nan), r), ValueError, "V of .* must be finite"),
        (lambda r: (r, np.full(len(r), np.inf)), ValueError, "dV/dr of .* must be finite"),
        (lambda r: (r[:, None], r), ValueError, r"V of .* must have shape"),
        (lambda r: ("high", r), TypeError, "V of .* must hold real numbers"),
    ],
    ids=["NaN", "inf", "shape", "text"],
)
def test_wrong_values_of_a_user_s_core(returned, error, message):
    class Wrong(Cubic):
        def energy_and_slope(self, r, a, b):
            return returned(r)

    with pytest.raises(error, match=message):
        Wrong().energy_and_forces(alloy())


@pytest.mark.parametrize(
    "inner, outer, error, message",
    [
        (1.0, 1.0, ValueError, "outer must be > inner; got inner=1.0, outer=1.0"),
        (2.0, 1.0, ValueError, "outer must be > inner"),
        (-0.1, 1.0, ValueError, "inner must be a finite number >= 0"),
        (0.5, np.inf, ValueError, "outer must be a finite number"),
        (np.nan, 1.0, ValueError, "inner must be a finite number"),
        ("1", 2.0, TypeError, "inner must be a finite number"),
        (1.0, None, TypeError, "outer must be a finite number"),
        (1.0, {}, ValueError, "outer must name at least one pair"),
        (1.0, {"Cu": 2.0}, TypeError, "keys of outer must be pairs"),
        (1.0, {("Cu", "Qq"): 2.0}, ValueError, "chemical symbol"),
        (2.8, OUTER, ValueError, "outer must be > inner for the pair Cu-Cu"),
        ({("Cu", "Cu"): 1.0}, {("Zr", "Zr"): 2.0}, ValueError, "has no value for the pair"),
        (1.0, {("Cu", "Zr"): 2.0, ("Zr", "Cu"): 2.1}, ValueError, "outer must be the same for both orders"),
    ],
)
def test_wrong_distances(inner, outer, error, message):
    with pytest.raises(error, match=message):
        ZBLCore(inner, outer)


def test_wrong_input():
    core, atoms = ZBLCore(1.0, OUTER), alloy()
    symbols, pairs = atoms.get_chemical_symbols(), neighbor_list(atoms, 4.0)
    with pytest.raises(ValueError, match="outer has no value for the pair Ag-Ag; it has Cu-Cu"):
        core.evaluate(pairs, ["Ag", *symbols[1:]])
    with pytest.raises(ValueError, match="symbols must be a chemical symbol"):
        core.evaluate(pairs, ["copper", *symbols[1:]])
    with pytest.raises(ValueError, match="structure of 4 atoms, but there are 3 symbols"):
        core.evaluate(pairs, symbols[1:])
    with pytest.raises(ValueError, match="structure of 4 atoms, but there are 0 symbols"):
        core.evaluate(pairs, [])
    with pytest.raises(TypeError, match="neighbors must be a NeighborList"):
        core.evaluate("pairs", symbols)
    with pytest.raises(ValueError, match=r"neighbors reaches 3 Å, but the core 3\.05 Å"):
        core.evaluate(neighbor_list(atoms, 3.0), symbols)
    with pytest.raises(ValueError, match="r must hold distances > 0"):
        core.energy_and_slope([1.0, 0.0], "Cu", "Cu")
    with pytest.raises(ValueError, match="r must hold distances >= 0"):
        core.energy_and_slope([-1.0], "Cu", "Cu")
    with pytest.raises(TypeError, match=r"atoms must be an ase\.Atoms"):
        core.energy_and_forces("CuZr")


def test_reach():
    """The core must end inside the cutoff of the basis, for every pair."""
    core, species = ZBLCore(1.0, OUTER), ["Cu", "Zr"]
    core.check_reach(species, np.array([[2.7, 2.9], [2.9, 3.05]]))
    with pytest.raises(ValueError, match=r"the core reaches 2\.9 Å for the pair Zr-Cu, but .* 2\.8 Å"):
        core.check_reach(species, np.array([[2.7, 2.9], [2.8, 3.05]]))
