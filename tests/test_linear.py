"""Linear functions of features: energies, forces, virial; a molecular dynamics run conserves their energy."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.md.verlet import VelocityVerlet
from reference_structures import (
    assert_clear_of_cutoff,
    clear_cutoff,
    position_differences,
    random_orthogonal,
    strain_differences,
    structures,
)

from acepure import ACEBasis, LinearFunction, VerletList, pullback, summed_gradients
from acepure.basis import (
    AgnesiTransform,
    CosineEnvelope,
    InverseTransform,
    Legendre,
    LinearTransform,
    Measure,
    Orthonormal,
    PolynomialEnvelope,
    PolynomialRadialBasis,
    PowerTransform,
    RadialBasis,
    SmoothEnvelope,
    Transform,
)
from acepure.errors import CoincidentAtomsError, SpeciesError
from acepure.neighbors import neighbor_list

# Error of forces by central differences of order eight, of the terms of the energy (see `scale_of`): rounding is about
# 2 eps Σ|w_k| / h = 2e-13 / Å of them, times the roundings in a term; truncation is less. For the virial the step is
# five times shorter, and all atoms contribute.
DIFFERENCE = 3e-12
STRAIN_DIFFERENCE = 10 * DIFFERENCE
# The same sums in two orders, of the sum of |terms|.
ROUND_OFF = 1e-14

# Structure → where to put the cutoff, in Å.
NEAR = {
    "fcc Cu": 3.1,
    "NaCl": 3.4,
    "water": 2.6,
    "slab": 3.1,
    "wire": 4.4,
    "skewed cell": 3.6,
    "one atom, fcc": 4.7,
    "alloy": 3.1,
}


def structure(name):
    if name != "alloy":
        return structures()[name]
    atoms = bulk("Cu", cubic=True).repeat((3, 1, 1))
    atoms.symbols = ["Cu", "Au", "Ag", "Cu"] * 3
    atoms.pbc = (True, False, True)
    atoms.rattle(0.05, seed=3)
    return atoms


def system(name, **arguments):
    """A structure, and a basis with a cutoff that no pair is near to."""
    atoms = structure(name)
    basis = ACEBasis(sorted(set(atoms.get_chemical_symbols())), rcut=clear_cutoff(atoms, NEAR[name]), **arguments)
    assert_clear_of_cutoff(atoms, basis.radial.cutoff)
    return atoms, basis


def random_function(basis, seed=1):
    return LinearFunction(basis, np.random.default_rng(seed).normal(size=(len(basis.species), len(basis))))


def large_structure():
    """Enough atoms to keep three threads busy."""
    atoms = bulk("Cu", cubic=True).repeat((4, 4, 3))
    atoms.rattle(0.1, seed=4)
    atoms.symbols[::3] = "Zr"
    return atoms


def weights_of_atoms(function, atoms):
    """θ of the species of each atom, shape (n_atoms, n_features)."""
    return function.weights[function.basis.species_indices(atoms)]


def scale_of(function, atoms):
    """Σ_f |θ_f B_f| of the atom where it is largest, with B of full neighbor sums.

    Rounding of an energy is proportional to it: canonical features vanish, for lack of neighbors or in the higher
    orders, as differences of such terms.
    """
    terms = ACEBasis.from_dict({**function.basis.to_dict(), "canonical": False}).descriptors(atoms)
    return (abs(weights_of_atoms(function, atoms)) * abs(terms)).sum(axis=1).max()


def assert_close(computed, expected, scale, tolerance=ROUND_OFF):
    np.testing.assert_allclose(computed, expected, rtol=0, atol=tolerance * scale)


# --- energies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("canonical", [True, False], ids=["canonical", "self-interacting"])
@pytest.mark.parametrize("name", NEAR)
def test_energies_are_features_times_weights(name, canonical):
    atoms, basis = system(name, order=3, totaldegree=[6, 5, 4], canonical=canonical)
    function = random_function(basis)
    energies = function.evaluate(atoms)
    assert energies.shape == (len(atoms),) and energies.dtype == np.float64
    expected = (basis.descriptors(atoms) * weights_of_atoms(function, atoms)).sum(axis=1)
    assert_close(energies, expected, scale_of(function, atoms))
    result = function.evaluate_with_gradients(atoms)
    np.testing.assert_array_equal(result.energies, energies)
    assert isinstance(result.energy, float) and result.energy == energies.sum()


@pytest.mark.parametrize("canonical", [True, False], ids=["canonical", "self-interacting"])
@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_orders(order, canonical):
    """Energies, forces and virial of functions up to order five."""
    atoms = structure("alloy")
    basis = ACEBasis(
        ["Ag", "Au", "Cu"],
        rcut=clear_cutoff(atoms, 3.1),
        order=order,
        totaldegree=[6, 4, 3, 2, 2][:order],
        canonical=canonical,
    )
    function = random_function(basis)
    scale = scale_of(function, atoms)
    expected = (basis.descriptors(atoms) * weights_of_atoms(function, atoms)).sum(axis=1)
    assert_close(function.evaluate(atoms), expected, scale)
    assert_derivatives(function, atoms)


@pytest.mark.parametrize("name", ["fcc Cu", "NaCl", "wire"])
def test_one_feature_at_a_time(name):
    """Products without weight are left out of the sum: each feature alone gives what it gives among others."""
    atoms, basis = system(name, order=4, totaldegree=[4, 3, 3, 2])
    features, gradients = basis.descriptors(atoms), summed_gradients(basis, atoms)
    species = basis.species_indices(atoms)
    scale = scale_of(LinearFunction(basis, np.full((len(basis.species), len(basis)), 1.5)), atoms)
    for z, f in itertools.product(range(len(basis.species)), range(0, len(basis), 7)):
        weights = np.zeros((len(basis.species), len(basis)))
        weights[z, f] = -1.5
        result = LinearFunction(basis, weights).evaluate_with_gradients(atoms)
        assert_close(result.energies, -1.5 * features[:, f] * (species == z), scale)
        assert_close(result.forces, 1.5 * gradients.positions[z, :, :, f], 10 * scale)
        assert_close(result.virial, 1.5 * gradients.strain[z, :, :, f], 10 * scale)


@pytest.mark.parametrize("canonical", [True, False], ids=["canonical", "self-interacting"])
def test_energies_are_linear_in_the_weights(canonical):
    atoms, basis = system("alloy", order=4, totaldegree=[4, 3, 2, 2], canonical=canonical)
    first, second = random_function(basis, 1), random_function(basis, 2)
    sum_of_both = LinearFunction(basis, 2 * first.weights - 0.5 * second.weights)
    scale = 2 * scale_of(first, atoms) + scale_of(second, atoms)
    results = [function.evaluate_with_gradients(atoms) for function in (first, second, sum_of_both)]
    for name in ("energies", "forces", "virial"):
        a, b, both = (getattr(result, name) for result in results)
        assert_close(both, 2 * a - 0.5 * b, 10 * scale)


@pytest.mark.parametrize("canonical", [True, False], ids=["canonical", "self-interacting"])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_orders_without_weight(order, canonical):
    """Weights of one order only: the products of the others are not there to build on."""
    atoms, basis = system("wire", order=4, totaldegree=[4, 3, 2, 2], canonical=canonical)
    weights = np.zeros((2, len(basis)))
    columns = basis.order_slices[f"nu{order}"]
    weights[:, columns] = np.random.default_rng(0).normal(size=weights[:, columns].shape)
    function = LinearFunction(basis, weights)
    expected = (basis.descriptors(atoms) * weights_of_atoms(function, atoms)).sum(axis=1)
    assert_close(function.evaluate(atoms), expected, scale_of(function, atoms))
    assert_derivatives(function, atoms)


@pytest.mark.parametrize("name", ["alloy", "one atom, fcc"])
def test_zero_weights_give_zero(name):
    atoms, basis = system(name, order=3, totaldegree=3)
    result = LinearFunction(basis, np.zeros((len(basis.species), len(basis)))).evaluate_with_gradients(atoms)
    assert not result.energies.any() and not result.forces.any() and not result.virial.any()
    assert result.energy == 0.0 and result.forces.shape == (len(atoms), 3) and result.virial.shape == (3, 3)


def test_weights_of_one_species_only():
    """Centers of the others have no energy, but feel forces as neighbors."""
    atoms, basis = system("alloy", order=2, totaldegree=4)
    weights = np.zeros((3, len(basis)))
    weights[1] = np.random.default_rng(0).normal(size=len(basis))
    function = LinearFunction(basis, weights)
    result = function.evaluate_with_gradients(atoms)
    of_species = basis.species_indices(atoms) == 1
    assert result.energies[of_species].all() and not result.energies[~of_species].any()
    assert abs(result.forces[~of_species]).max() > 0.01
    assert_derivatives(function, atoms)


# --- forces and virial -----------------------------------------------------------------------------------------------


def assert_derivatives(function, atoms, n_moved=4):
    """Forces on some atoms, and the virial, against finite differences of the energies."""
    assert_clear_of_cutoff(atoms, function.basis.radial.cutoff)
    result = function.evaluate_with_gradients(atoms)
    scale = scale_of(function, atoms)
    strain = strain_differences(function.evaluate, atoms)
    assert_close(result.virial, -strain.sum(axis=-1), scale, STRAIN_DIFFERENCE)
    moved = np.unique(np.linspace(0, len(atoms) - 1, n_moved).astype(int))
    differences = position_differences(function.evaluate, atoms, moved)
    assert_close(result.forces[moved], -differences.sum(axis=-1), scale, DIFFERENCE)


@pytest.mark.parametrize("canonical", [True, False], ids=["canonical", "self-interacting"])
@pytest.mark.parametrize("name", NEAR)
def test_forces_and_virial(name, canonical):
    atoms, basis = system(name, order=3, totaldegree=[6, 4, 3], canonical=canonical)
    assert_derivatives(random_function(basis), atoms, n_moved=len(atoms))


def test_the_comparison_sees_a_wrong_force_and_a_wrong_virial():
    atoms, basis = system("wire", order=2, totaldegree=3)
    right = random_function(basis)
    assert_derivatives(right, atoms)
    for name in ("forces", "virial"):

        class Wrong:
            """Spoils one number."""

            basis, weights, evaluate = right.basis, right.weights, right.evaluate

            def evaluate_with_gradients(self, atoms):
                result = right.evaluate_with_gradients(atoms)
                getattr(result, name)[0, 1] += 1e-9 * scale_of(right, atoms)  # noqa: B023
                return result

        with pytest.raises(AssertionError, match="Not equal to tolerance"):
            assert_derivatives(Wrong(), atoms)


@pytest.mark.parametrize("name", NEAR)
def test_three_ways_to_the_same_forces(name):
    """Folded weights, cotangents equal to the weights, and rows of a fit times the weights."""
    atoms, basis = system(name, order=3, totaldegree=[6, 4, 3])
    function = random_function(basis)
    result = function.evaluate_with_gradients(atoms)
    positions, strain = pullback(basis, atoms, weights_of_atoms(function, atoms))
    summed = summed_gradients(basis, atoms)
    scale = 10 * scale_of(function, atoms)
    assert_close(result.forces, -positions, scale)
    assert_close(result.virial, -strain, scale * basis.rcut)
    assert_close(result.forces, -np.einsum("zf,zkaf->ka", function.weights, summed.positions), scale)
    assert_close(result.virial, -np.einsum("zf,zabf->ab", function.weights, summed.strain), scale * basis.rcut)


@pytest.mark.parametrize("name", NEAR)
def test_forces_sum_to_zero_and_virial_is_symmetric(name):
    """Neither translations nor rotations change the energy."""
    atoms, basis = system(name, order=3, totaldegree=[6, 4, 3])
    result = random_function(basis).evaluate_with_gradients(atoms)
    scale = 10 * scale_of(random_function(basis), atoms)
    assert_close(result.forces.sum(axis=0), 0, scale)
    assert_close(result.virial - result.virial.T, 0, scale * basis.rcut)


@pytest.mark.parametrize("improper", [False, True])
@pytest.mark.parametrize("name", NEAR)
def test_rotations_and_reflections(name, improper):
    """E(Q r) = E(r), F(Q r) = Q F(r), W(Q r) = Q W(r) Qᵀ."""
    atoms, basis = system(name, order=3, totaldegree=[6, 4, 3])
    function = random_function(basis)
    Q = random_orthogonal(np.random.default_rng(8), improper)
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ Q.T, scale_atoms=False)
    turned.positions = atoms.positions @ Q.T
    before, after = function.evaluate_with_gradients(atoms), function.evaluate_with_gradients(turned)
    scale = 10 * scale_of(function, atoms)
    assert_close(after.energies, before.energies, scale)
    assert_close(after.forces, before.forces @ Q.T, scale)
    assert_close(after.virial, Q @ before.virial @ Q.T, scale * basis.rcut)


def test_one_cell_and_many():
    """A supercell repeats energies and forces; its virial is that of the cells together."""
    atoms, basis = system("skewed cell", order=3, totaldegree=[6, 4, 3])
    function = random_function(basis)
    once, many = function.evaluate_with_gradients(atoms), function.evaluate_with_gradients(atoms.repeat((2, 1, 3)))
    scale = 10 * scale_of(function, atoms)
    assert_close(many.energies, np.tile(once.energies, 6), scale)
    assert_close(many.forces, np.tile(once.forces, (6, 1)), scale)
    assert_close(many.virial, 6 * once.virial, 6 * scale * basis.rcut)


def test_a_pair_potential_in_closed_form():
    """One canonical function of order one: E_i = θ/√4π Σ_j f(r), with f = (1 − r/r_c)² by the envelope alone."""
    basis = ACEBasis(
        ["Cu"], radial=PolynomialRadialBasis(4.0, envelope=PolynomialEnvelope(2)), functions=[[("Cu", 0, 0)]]
    )
    theta, r = 3.0, 2.5
    atoms = Atoms("Cu2", [(0, 0, 0), (0, 0, r)])
    result = LinearFunction(basis, [theta]).evaluate_with_gradients(atoms)
    c = theta / np.sqrt(4 * np.pi)
    slope = 2 * c * -2 / 4.0 * (1 - r / 4.0)  # of the energy of both
    np.testing.assert_allclose(result.energies, c * (1 - r / 4.0) ** 2, rtol=1e-14)
    np.testing.assert_allclose(result.forces, [(0, 0, slope), (0, 0, -slope)], rtol=1e-14)
    np.testing.assert_allclose(result.virial, np.diag([0, 0, -slope * r]), rtol=1e-14)


# --- radial functions ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SquareTransform(Transform):
    """A user's own."""

    def evaluate(self, r, rcut, center=None, neighbor=None):
        return 2 * (r / rcut) ** 2 - 1

    def evaluate_with_gradients(self, r, rcut, center=None, neighbor=None):
        return self.evaluate(r, rcut), 4 * r / rcut**2


@dataclass(frozen=True)
class Gaussians(RadialBasis):
    """A user's own radial functions, different for each ordered pair."""

    width: float = 1.2

    def cutoff(self, center, neighbor):
        return 3.1 if center == neighbor else 3.25

    def evaluate(self, r, center, neighbor, n_radial):
        return self.evaluate_with_gradients(r, center, neighbor, n_radial)[0]

    def evaluate_with_gradients(self, r, center, neighbor, n_radial):
        rcut = self.cutoff(center, neighbor)
        r = np.asarray(r, dtype=float)[:, None]
        inside = r < rcut
        u = (r - np.linspace(2, 3, n_radial)) / self.width
        f, bell = inside * (1 - r / rcut) ** 2, np.exp(-(u**2))
        slope = inside * -2 / rcut * (1 - r / rcut)
        return f * bell, (slope - 2 * f * u / self.width) * bell


def measures():
    """Different functions for every pair, so that each species of center has its own operators."""
    r = np.linspace(0.5, 3.2, 60)
    return {pair: Measure(r, r**k) for k, pair in enumerate(itertools.product(["Cu", "Zr"], repeat=2))}


PER_PAIR = {("Cu", "Cu"): 3.2, ("Cu", "Zr"): 3.1, ("Zr", "Cu"): 3.3, ("Zr", "Zr"): 3.25}
RADIAL = {
    "linear, cosine": PolynomialRadialBasis(3.2, LinearTransform(), CosineEnvelope()),
    "power, polynomial, Legendre": PolynomialRadialBasis(3.2, PowerTransform(2.5), PolynomialEnvelope(), Legendre()),
    "inverse, smooth": PolynomialRadialBasis(3.2, InverseTransform(), SmoothEnvelope(2.5)),
    "cutoffs per pair": PolynomialRadialBasis(PER_PAIR, AgnesiTransform(r0=2.5)),
    "measures per pair": PolynomialRadialBasis(PER_PAIR, polynomials=Orthonormal(measures())),
    "user's transform": PolynomialRadialBasis(PER_PAIR, SquareTransform()),
    "user's, measures per pair": PolynomialRadialBasis(
        PER_PAIR, SquareTransform(), CosineEnvelope(), Orthonormal(measures())
    ),
    "user's functions": Gaussians(),
}


def two_species():
    """No pair near any of the cutoffs above."""
    atoms = bulk("Cu", cubic=True, a=3.8).repeat((2, 1, 1))
    atoms.symbols = ["Cu", "Zr", "Zr", "Zr"] * 2
    atoms.pbc = (True, False, True)
    atoms.rattle(0.05, seed=6)
    return atoms


@pytest.mark.parametrize("name", RADIAL)
def test_radial_functions(name):
    basis = ACEBasis(["Cu", "Zr"], radial=RADIAL[name], order=3, totaldegree=[5, 4, 3])
    atoms = two_species()
    function = random_function(basis)
    expected = (basis.descriptors(atoms) * weights_of_atoms(function, atoms)).sum(axis=1)
    assert_close(function.evaluate(atoms), expected, scale_of(function, atoms))
    assert_derivatives(function, atoms)


# --- neighbor lists, threads -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cutoffs per pair", "user's transform", "user's functions"])
def test_pairs_beyond_the_cutoff_do_not_count(name):
    """A longer list, as `VerletList` makes it, gives the same to the last bit."""
    basis = ACEBasis(["Cu", "Zr"], radial=RADIAL[name], order=3, totaldegree=3)
    atoms = two_species()
    function = random_function(basis)
    longer = neighbor_list(atoms, basis.cutoffs + 2.0, species=basis.species_indices(atoms))
    assert longer.n_pairs > 1.5 * basis.neighbor_list(atoms).n_pairs
    expected, result = (function.evaluate_with_gradients(atoms, neighbors=n) for n in (None, longer))
    np.testing.assert_array_equal(result.energies, expected.energies)
    np.testing.assert_array_equal(result.forces, expected.forces)
    np.testing.assert_array_equal(result.virial, expected.virial)
    np.testing.assert_array_equal(function.evaluate(atoms, neighbors=longer), expected.energies)


def test_a_list_of_some_centers():
    """Energies of these, in their order; forces are those of their energy alone, and the parts add up."""
    atoms, basis = system("alloy", order=2, totaldegree=4)
    function = random_function(basis)
    whole = function.evaluate_with_gradients(atoms)
    centers = [[7, 2, 0], [1, 3, 4, 5, 6, 8, 9, 10, 11]]
    parts = [function.evaluate_with_gradients(atoms, neighbors=basis.neighbor_list(atoms, c)) for c in centers]
    for chosen, part in zip(centers, parts):
        np.testing.assert_array_equal(part.energies, whole.energies[chosen])
    scale = 10 * scale_of(function, atoms)
    assert_close(parts[0].forces + parts[1].forces, whole.forces, scale)
    assert_close(parts[0].virial + parts[1].virial, whole.virial, scale * basis.rcut)


@pytest.mark.parametrize("radial", [PolynomialRadialBasis(3.2), Gaussians()], ids=["kernel", "NumPy"])
def test_threads_do_not_change_a_bit(radial):
    basis = ACEBasis(["Cu", "Zr"], radial=radial, order=3, totaldegree=3)
    atoms = large_structure()
    function = random_function(basis)
    results = [function.evaluate_with_gradients(atoms, num_threads=n) for n in (1, 2, 3)]
    for result in results[1:]:
        for name in ("energies", "forces", "virial"):
            np.testing.assert_array_equal(getattr(result, name), getattr(results[0], name))
    for num_threads in (1, 2, 3):
        np.testing.assert_array_equal(function.evaluate(atoms, num_threads=num_threads), results[0].energies)


def test_one_function_in_many_python_threads():
    """The same object, on different structures at once."""
    basis = ACEBasis(["Cu", "Zr"], rcut=3.2, order=3, totaldegree=3)
    function = random_function(basis)
    several = [large_structure() for _ in range(8)]
    for seed, atoms in enumerate(several):
        atoms.rattle(0.05, seed=seed)
    expected = [function.evaluate_with_gradients(atoms, num_threads=1) for atoms in several]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda k: function.evaluate_with_gradients(several[k % 8], num_threads=2), range(24)))
    for k, result in enumerate(results):
        for name in ("energies", "forces", "virial"):
            np.testing.assert_array_equal(getattr(result, name), getattr(expected[k % 8], name))


# --- limits and input ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("radial", [PolynomialRadialBasis(4.0), Gaussians()], ids=["kernel", "NumPy"])
@pytest.mark.parametrize(
    "atoms",
    [Atoms("Cu"), Atoms("Zr", cell=[30, 30, 30], pbc=True), Atoms("CuZr", [(0, 0, 0), (0, 0, 9)])],
    ids=["isolated", "isolated in a box", "two apart"],
)
@pytest.mark.parametrize("canonical", [True, False], ids=["canonical", "self-interacting"])
def test_atoms_without_neighbors_have_no_energy(atoms, canonical, radial):
    function = random_function(ACEBasis(["Cu", "Zr"], radial=radial, order=3, totaldegree=3, canonical=canonical))
    result = function.evaluate_with_gradients(atoms)
    assert result.energy == 0.0 and result.forces.shape == (len(atoms), 3) and result.virial.shape == (3, 3)
    for array in (result.energies, result.forces, result.virial, function.evaluate(atoms)):
        assert not array.any()


def test_a_dimer_has_the_energy_of_order_one():
    """Canonical features of higher orders need more neighbors: the pair energy does not depend on their weights."""
    basis = ACEBasis(["Cu", "Zr"], rcut=4.0, order=3, totaldegree=4)
    function = random_function(basis)
    weights = function.weights.copy()
    weights[:, basis.order_slices["nu1"].stop :] = 0.0
    atoms = Atoms("CuZr", [(0, 0, 0), (1, -1, 2)])
    scale = 10 * scale_of(function, atoms)
    pair, result = (f.evaluate_with_gradients(atoms) for f in (LinearFunction(basis, weights), function))
    assert_close(result.energies, pair.energies, scale)
    assert_close(result.forces, pair.forces, scale)


def test_input_is_not_modified_nor_kept():
    atoms, basis = system("alloy", order=2, totaldegree=3)
    atoms.info["name"] = "kept"
    weights = np.random.default_rng(0).normal(size=(3, len(basis)))
    weights_before, before = weights.copy(), atoms.copy()
    function = LinearFunction(basis, weights)
    neighbors = basis.neighbor_list(atoms)
    vectors = neighbors.vectors.copy()
    expected = function.evaluate_with_gradients(atoms, neighbors=neighbors)
    assert atoms == before and atoms.info == before.info and atoms.arrays.keys() == before.arrays.keys()
    np.testing.assert_array_equal(weights, weights_before)
    np.testing.assert_array_equal(neighbors.vectors, vectors)
    weights[:] = 0.0
    np.testing.assert_array_equal(function.weights, weights_before)
    result = function.evaluate_with_gradients(atoms)
    np.testing.assert_array_equal(result.energies, expected.energies)
    np.testing.assert_array_equal(result.forces, expected.forces)


def test_weights_are_read_only():
    """They are folded into products once: changing them later would do nothing."""
    basis = ACEBasis(["Cu"], order=2, totaldegree=3)
    function = LinearFunction(basis, np.ones(len(basis)))
    with pytest.raises(ValueError, match="read-only"):
        function.weights[0, 0] = 2.0


def test_weights_of_any_real_kind():
    atoms, basis = system("fcc Cu", order=2, totaldegree=3)
    whole = np.random.default_rng(0).integers(-5, 5, size=len(basis))
    expected = LinearFunction(basis, whole.astype(float)).evaluate(atoms)
    for weights in (whole, whole.tolist(), whole.astype(np.float32), whole[None], np.repeat(whole, 2)[::2]):
        function = LinearFunction(basis, weights)
        assert function.weights.shape == (1, len(basis)) and function.weights.dtype == np.float64
        np.testing.assert_array_equal(function.evaluate(atoms), expected)


@pytest.mark.parametrize(
    "change, error, message",
    [
        (lambda w: w[:1], ValueError, r"weights must have shape \(2, \d+\); got \(1, \d+\)"),
        (lambda w: w[0], ValueError, r"weights must have shape \(2, \d+\); got \(\d+,\)"),
        (lambda w: w.T, ValueError, "weights must have shape"),
        (lambda w: w[:, 1:], ValueError, "weights must have shape"),
        (lambda w: [], ValueError, "weights must have shape"),
        (lambda w: 1.0, ValueError, "weights must have shape"),
        (lambda w: w * np.nan, ValueError, "weights must be finite"),
        (lambda w: w / 0.0, ValueError, "weights must be finite"),
        (lambda w: w + 0j, TypeError, "weights must hold real numbers"),
        (lambda w: w > 0, TypeError, "weights must hold real numbers"),
        (lambda w: None, TypeError, "weights must hold real numbers"),
        (lambda w: "ones", TypeError, "weights must hold real numbers"),
    ],
    ids=[
        "rows",
        "one row",
        "transposed",
        "columns",
        "empty",
        "number",
        "NaN",
        "inf",
        "complex",
        "bool",
        "None",
        "text",
    ],
)
def test_wrong_weights(change, error, message):
    basis = ACEBasis(["Cu", "Zr"], order=2, totaldegree=2)
    with np.errstate(divide="ignore"), pytest.raises(error, match=message):
        LinearFunction(basis, change(np.ones((2, len(basis)))))


def test_wrong_basis():
    with pytest.raises(TypeError, match="basis must be an ACEBasis, got 'Cu' of type str"):
        LinearFunction("Cu", [1.0])


@pytest.mark.parametrize("method", ["evaluate", "evaluate_with_gradients"])
@pytest.mark.parametrize(
    "change, error, message",
    [
        (lambda a: "CuAg", TypeError, "atoms must be an ase.Atoms"),
        (lambda a: Atoms("CuFe", a.positions), SpeciesError, "Fe"),
        (lambda a: Atoms("CuAg", a.positions * np.nan), ValueError, "NaN"),
        (lambda a: Atoms("CuAg", a.positions * 0), CoincidentAtomsError, r"atom 0 \(Cu\) and atom 1 \(Ag\)"),
    ],
    ids=["text", "species", "NaN", "coincident"],
)
def test_wrong_atoms(method, change, error, message):
    atoms, basis = system("wire", order=1, totaldegree=3)
    with pytest.raises(error, match=message):
        getattr(random_function(basis), method)(change(atoms))


@pytest.mark.parametrize("method", ["evaluate", "evaluate_with_gradients"])
@pytest.mark.parametrize(
    "wrong, error",
    [
        (lambda basis: "pairs", TypeError),
        (lambda basis: basis.neighbor_list(structure("alloy")), ValueError),  # more atoms than the structure has
    ],
    ids=["text", "another structure"],
)
def test_wrong_neighbors(method, wrong, error):
    basis = ACEBasis(["Ag", "Au", "Cu"], rcut=3.1, order=1, totaldegree=3)
    with pytest.raises(error, match="neighbors"):
        getattr(random_function(basis), method)(structure("wire"), neighbors=wrong(basis))


# --- dynamics --------------------------------------------------------------------------------------------------------


class LinearCalculator(Calculator):
    """The least that ASE needs to move atoms."""

    implemented_properties = ("energy", "forces")

    def __init__(self, function, skin):
        super().__init__()
        self.function = function
        self.verlet = VerletList(function.basis, skin)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        result = self.function.evaluate_with_gradients(self.atoms, neighbors=self.verlet.update(self.atoms))
        self.results = {"energy": result.energy, "forces": result.forces}


@pytest.fixture(scope="module")
def potential():
    """Nearly a Morse potential of copper, D = 0.343 eV, a = 1.359/Å, r0 = 2.866 Å, with weak many-body terms."""
    basis = ACEBasis(["Cu"], rcut=5.0, order=4, totaldegree=[12, 6, 4, 3])
    r = np.linspace(1.8, 4.99, 200)
    pairs = np.array([basis.descriptors(Atoms("Cu2", [(0, 0, 0), (0, 0, d)]))[0] for d in r])
    first = basis.order_slices["nu1"]
    morse = 0.5 * 0.343 * ((1 - np.exp(-1.359 * (r - 2.866))) ** 2 - 1)
    importance = (1 / (0.1 + abs(morse)))[:, None]
    weights = np.zeros(len(basis))
    weights[first] = np.linalg.lstsq(importance * pairs[:, first], importance[:, 0] * morse, rcond=1e-10)[0]
    size = np.std(basis.descriptors(crystal()), axis=0)
    rest = slice(first.stop, None)
    weights[rest] = 2e-3 * np.random.default_rng(11).normal(size=len(basis) - first.stop) / size[rest]
    return LinearFunction(basis, weights)


def crystal():
    """32 atoms."""
    atoms = bulk("Cu", cubic=True, a=3.6).repeat(2)
    atoms.rattle(0.1, seed=12)
    return atoms


def run(potential, dt, duration=200.0, sampling=4.0, skin=0.4):
    """Total energies (eV) at equal times (fs) of a run at constant energy, and the final atoms."""
    atoms = crystal()
    atoms.calc = LinearCalculator(potential, skin)
    momenta = (
        np.random.default_rng(13).normal(size=(len(atoms), 3)) * np.sqrt(units.kB * 800 * atoms.get_masses())[:, None]
    )
    atoms.set_momenta(momenta - momenta.mean(axis=0))
    energies = [atoms.get_total_energy()]
    dynamics = VelocityVerlet(atoms, dt * units.fs)
    for _ in range(round(duration / sampling)):
        dynamics.run(round(sampling / dt))
        energies.append(atoms.get_total_energy())
    return np.array(energies), atoms


def test_dynamics_conserve_energy_and_momentum(potential):
    """The error of the energy is small and, at every time, proportional to dt², as for exact gradients only."""
    coarse, atoms = run(potential, dt=4.0)
    fine, _ = run(potential, dt=2.0)
    assert atoms.calc.verlet.n_builds > 1, "the list must have been made anew on the way"
    assert atoms.get_temperature() > 400 and abs(atoms.positions - crystal().positions).max() > 0.3
    coarse, fine = coarse - coarse[0], fine - fine[0]
    assert abs(fine).max() < 5e-4 * len(atoms)
    assert abs(coarse - 4 * fine).max() < 0.05 * abs(coarse).max()  # what is left is of order dt⁴
    # In each of 50 steps forces of some eV/Å sum to round-off.
    assert abs(atoms.get_momenta().sum(axis=0)).max() < 1e-12


def test_sign_of_the_virial(potential):
    """A compressed crystal pushes, a stretched one pulls: negative and positive stress in ASE's sign."""
    for a, sign in ((3.3, -1), (4.0, 1)):
        atoms = bulk("Cu", a=a)
        stress = -potential.evaluate_with_gradients(atoms).virial / atoms.cell.volume
        assert (sign * np.diag(stress) > 1e-3).all()
        assert_close(stress - np.diag(np.diag(stress)), 0, abs(stress).max(), 1e-12)
