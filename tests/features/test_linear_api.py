"""Linear functions of features: neighbor lists, threads, limits, input."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ase import Atoms
from cases.derivatives import large_structure, structure, system
from cases.linear import RADIAL, assert_close, random_function, scale_of, two_species

from acepure import ACEBasis, LinearFunction
from acepure.errors import CoincidentAtomsError, SpeciesError
from acepure.functions import PolynomialRadialBasis
from acepure.neighbors.lists import neighbor_list

# --- neighbor lists, threads ------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("radial", [PolynomialRadialBasis(3.2), RADIAL["user's functions"]], ids=["kernel", "NumPy"])
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


# --- limits and input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("radial", [PolynomialRadialBasis(4.0), RADIAL["user's functions"]], ids=["kernel", "NumPy"])
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
    """Canonical features of higher orders need more neighbors: the pair energy does not see their coefficients."""
    basis = ACEBasis(["Cu", "Zr"], rcut=4.0, order=3, totaldegree=4)
    function = random_function(basis)
    coefficients = function.coefficients.copy()
    coefficients[:, basis.order_slices["nu1"].stop :] = 0.0
    atoms = Atoms("CuZr", [(0, 0, 0), (1, -1, 2)])
    scale = 10 * scale_of(function, atoms)
    pair, result = (f.evaluate_with_gradients(atoms) for f in (LinearFunction(basis, coefficients), function))
    assert_close(result.energies, pair.energies, scale)
    assert_close(result.forces, pair.forces, scale)


def test_input_is_not_modified_nor_kept():
    atoms, basis = system("alloy", order=2, totaldegree=3)
    atoms.info["name"] = "kept"
    coefficients = np.random.default_rng(0).normal(size=(3, len(basis)))
    weights_before, before = coefficients.copy(), atoms.copy()
    function = LinearFunction(basis, coefficients)
    neighbors = basis.neighbor_list(atoms)
    vectors = neighbors.vectors.copy()
    expected = function.evaluate_with_gradients(atoms, neighbors=neighbors)
    assert atoms == before and atoms.info == before.info and atoms.arrays.keys() == before.arrays.keys()
    np.testing.assert_array_equal(coefficients, weights_before)
    np.testing.assert_array_equal(neighbors.vectors, vectors)
    coefficients[:] = 0.0
    np.testing.assert_array_equal(function.coefficients, weights_before)
    result = function.evaluate_with_gradients(atoms)
    np.testing.assert_array_equal(result.energies, expected.energies)
    np.testing.assert_array_equal(result.forces, expected.forces)


def test_coefficients_are_read_only():
    """They are folded into products once: changing them later would do nothing."""
    basis = ACEBasis(["Cu"], order=2, totaldegree=3)
    function = LinearFunction(basis, np.ones(len(basis)))
    with pytest.raises(ValueError, match="read-only"):
        function.coefficients[0, 0] = 2.0


def test_coefficients_of_any_real_kind():
    atoms, basis = system("fcc Cu", order=2, totaldegree=3)
    whole = np.random.default_rng(0).integers(-5, 5, size=len(basis))
    expected = LinearFunction(basis, whole.astype(float)).evaluate(atoms)
    for coefficients in (whole, whole.tolist(), whole.astype(np.float32), whole[None], np.repeat(whole, 2)[::2]):
        function = LinearFunction(basis, coefficients)
        assert function.coefficients.shape == (1, len(basis)) and function.coefficients.dtype == np.float64
        np.testing.assert_array_equal(function.evaluate(atoms), expected)


@pytest.mark.parametrize(
    "change, error, message",
    [
        (lambda w: w[:1], ValueError, r"coefficients must have shape \(2, \d+\); got \(1, \d+\)"),
        (lambda w: w[0], ValueError, r"coefficients must have shape \(2, \d+\); got \(\d+,\)"),
        (lambda w: w.T, ValueError, "coefficients must have shape"),
        (lambda w: w[:, 1:], ValueError, "coefficients must have shape"),
        (lambda w: [], ValueError, "coefficients must have shape"),
        (lambda w: 1.0, ValueError, "coefficients must have shape"),
        (lambda w: w * np.nan, ValueError, "coefficients must be finite"),
        (lambda w: w / 0.0, ValueError, "coefficients must be finite"),
        (lambda w: w + 0j, TypeError, "coefficients must hold real numbers"),
        (lambda w: w > 0, TypeError, "coefficients must hold real numbers"),
        (lambda w: None, TypeError, "coefficients must hold real numbers"),
        (lambda w: "ones", TypeError, "coefficients must hold real numbers"),
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
    with pytest.raises(TypeError, match="basis must be an ACEBasis; got 'Cu' of type str"):
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


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f))], ids=["deepcopy", "pickle"])
def test_copies(copied):
    atoms, basis = system("alloy", order=2, totaldegree=3)
    function = random_function(basis)
    np.testing.assert_array_equal(copied(function).evaluate(atoms), function.evaluate(atoms))
    assert repr(function).startswith("LinearFunction(ACEBasis(")
