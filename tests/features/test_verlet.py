"""Verlet lists: the same results as a fresh list, and a new list exactly when one is needed."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.geometry import get_distances
from cases.radial import Gaussians
from oracles.structures import structures

from acepure import ACEBasis, LinearFunction, VerletList
from acepure.errors import CoincidentAtomsError, SpeciesError
from acepure.functions import PolynomialRadialBasis
from acepure.neighbors.lists import neighbor_list

SKIN = 0.5
# Of the largest result: pairs are summed in one order, but a vector of a kept list may be rounded once more.
ROUND_OFF = 1e-13


def alloy():
    """Two species in a cell smaller than the cutoff along one axis, periodic along two."""
    atoms = bulk("Cu", cubic=True, a=3.7).repeat((2, 1, 1))
    atoms.symbols = ["Cu", "Zr", "Zr", "Zr"] * 2
    atoms.pbc = (True, False, True)
    atoms.rattle(0.05, seed=6)
    return atoms


STRUCTURES = {
    "alloy": alloy,
    "slab": lambda: structures()["slab"],
    "water": lambda: structures()["water"],
    "skewed cell": lambda: structures()["skewed cell"],
    "one atom": lambda: structures()["one atom, fcc"],
    "isolated atom": lambda: Atoms("Ar"),
}


def function_for(atoms, radial=None):
    basis = ACEBasis(
        sorted(set(atoms.get_chemical_symbols())), radial=radial or PolynomialRadialBasis(3.3), order=3, totaldegree=3
    )
    weights = np.random.default_rng(1).normal(size=(len(basis.species), len(basis)))
    return LinearFunction(basis, weights)


def pairs_within(pairs, cutoff):
    """The pairs (i, j, S) of a list that are nearer than a cutoff, sorted."""
    centers = np.repeat(pairs.centers, np.diff(pairs.offsets))
    near = np.linalg.norm(pairs.vectors, axis=1) < cutoff
    return sorted(zip(centers[near].tolist(), pairs.neighbors[near].tolist(), *pairs.shifts[near].T.tolist()))


def assert_as_fresh(function, atoms, pairs):
    """Energies, forces, virial and features from a list equal those from a list made for this structure."""
    fresh = function.evaluate_with_gradients(atoms)
    result = function.evaluate_with_gradients(atoms, neighbors=pairs)
    for name in ("energies", "forces", "virial"):
        expected = getattr(fresh, name)
        # A force may be zero as a sum of larger terms, of the size of the energies per Å.
        scale = max(abs(expected).max(), abs(fresh.energies).max())
        np.testing.assert_allclose(getattr(result, name), expected, rtol=0, atol=ROUND_OFF * scale, err_msg=name)
    features, expected = function.basis.descriptors(atoms, neighbors=pairs), function.basis.descriptors(atoms)
    np.testing.assert_allclose(features, expected, rtol=0, atol=ROUND_OFF * abs(expected).max())


# --- along a walk ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("radial", [None, Gaussians(1.2, 3.1, 0.3)], ids=["kernel", "NumPy"])
@pytest.mark.parametrize("name", STRUCTURES)
def test_a_random_walk(name, radial, num_threads):
    """Same results as fresh lists at every step; a new list when an atom is farther than skin/2 from where it was."""
    atoms = STRUCTURES[name]()
    function = function_for(atoms, radial)
    verlet = VerletList(function.basis, SKIN, num_threads=num_threads)
    rng = np.random.default_rng(2)
    made_at, n_builds = None, 0
    for _ in range(40):
        moved = None if made_at is None else np.linalg.norm(atoms.positions - made_at, axis=1).max()
        if moved is None or moved > SKIN / 2:
            made_at, n_builds = atoms.positions.copy(), n_builds + 1
        pairs = verlet.update(atoms)
        assert verlet.n_builds == n_builds
        assert pairs_within(pairs, 3.0) == pairs_within(function.basis.neighbor_list(atoms), 3.0)
        assert_as_fresh(function, atoms, pairs)
        atoms.positions += 0.04 * rng.normal(size=(len(atoms), 3))
    assert 1 < n_builds < 40


def test_vectors_are_those_of_the_atoms_as_they_are():
    atoms = alloy()
    verlet = VerletList(function_for(atoms).basis, SKIN)
    verlet.update(atoms)
    atoms.rattle(0.02, seed=1)
    pairs = verlet.update(atoms)
    assert verlet.n_builds == 1
    i = np.repeat(pairs.centers, np.diff(pairs.offsets))
    expected = atoms.positions[pairs.neighbors] - atoms.positions[i] + pairs.shifts @ atoms.cell.array
    np.testing.assert_allclose(pairs.vectors, expected, rtol=0, atol=1e-14 * 10)


def test_threads_do_not_change_a_bit():
    atoms = bulk("Cu", cubic=True).repeat(4)
    basis = ACEBasis(["Cu"], rcut=4.0, order=1, totaldegree=1)
    lists = [VerletList(basis, SKIN, num_threads=n) for n in (1, 2, 3)]
    for verlet in lists:
        verlet.update(atoms)
    atoms.rattle(0.03, seed=1)
    first, *others = (verlet.update(atoms) for verlet in lists)
    for pairs in others:
        for name in ("offsets", "centers", "neighbors", "shifts", "vectors"):
            np.testing.assert_array_equal(getattr(pairs, name), getattr(first, name))
    assert all(verlet.n_builds == 1 for verlet in lists)


def test_the_skin_is_used_up_from_both_sides():
    """Two atoms that approach each other by just less than the skin: their pair is in the list already."""
    atoms = Atoms("Cu2", [(0, 0, 0), (0, 0, 3.3 + SKIN - 1e-9)])
    function = function_for(atoms)
    verlet = VerletList(function.basis, SKIN)
    assert function.basis.neighbor_list(atoms).n_pairs == 0 and verlet.update(atoms).n_pairs == 2
    atoms.positions[:, 2] += (SKIN / 2, -SKIN / 2)
    pairs = verlet.update(atoms)
    assert verlet.n_builds == 1 and function.basis.neighbor_list(atoms).n_pairs == 2
    assert_as_fresh(function, atoms, pairs)


# --- when a list is made anew ----------------------------------------------------------------------------------------


def displaced(atoms, distance):
    atoms.positions[3] += distance * np.array([2.0, -1.0, 2.0]) / 3


def more_than_half_the_skin(atoms):
    displaced(atoms, 0.501 * SKIN)


def far(atoms):
    displaced(atoms, 3 * SKIN)


def scaled_cell(atoms):
    atoms.set_cell(atoms.cell.array * 1.001, scale_atoms=False)


def other_species(atoms):
    atoms.symbols[0] = "Zr"


def exchanged_species(atoms):
    atoms.symbols[[0, 1]] = ["Zr", "Cu"]


def other_pbc(atoms):
    atoms.pbc = True


def one_atom_less(atoms):
    del atoms[-1]


def one_atom_more(atoms):
    atoms += Atoms("Cu", [(1.8, -2.5, 1.8)])


def exchanged_atoms(atoms):
    atoms.positions[[0, 4]] = atoms.positions[[4, 0]]


def wrapped_atom(atoms):
    atoms.positions[2] += atoms.cell.array[0]


@pytest.mark.parametrize(
    "change",
    [
        scaled_cell,
        other_species,
        exchanged_species,
        other_pbc,
        one_atom_less,
        one_atom_more,
        exchanged_atoms,
        wrapped_atom,
        more_than_half_the_skin,
        far,
    ],
    ids=lambda change: change.__name__,
)
def test_changes_that_need_a_new_list(change):
    atoms = alloy()
    function = function_for(atoms)
    verlet = VerletList(function.basis, SKIN)
    verlet.update(atoms)
    change(atoms)
    pairs = verlet.update(atoms)
    assert verlet.n_builds == 2
    assert_as_fresh(function, atoms, pairs)
    atoms.rattle(0.01, seed=1)  # and the new list is kept
    assert_as_fresh(function, atoms, verlet.update(atoms))
    assert verlet.n_builds == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda atoms: None,
        lambda atoms: displaced(atoms, 0.499 * SKIN),
        lambda atoms: atoms.info.update(name="other"),
        lambda atoms: atoms.set_velocities(np.ones((len(atoms), 3))),
    ],
    ids=["nothing", "less than skin/2", "info", "velocities"],
)
def test_changes_that_do_not(change):
    atoms = alloy()
    function = function_for(atoms)
    verlet = VerletList(function.basis, SKIN)
    verlet.update(atoms)
    change(atoms)
    pairs = verlet.update(atoms)
    assert verlet.n_builds == 1
    assert_as_fresh(function, atoms, pairs)


def test_a_cell_along_an_open_axis_changes_nothing():
    """Whether a list is made anew is not specified."""
    atoms = alloy()
    function = function_for(atoms)
    verlet = VerletList(function.basis, SKIN)
    verlet.update(atoms)
    atoms.cell[1] = (0, 50, 0)
    assert_as_fresh(function, atoms, verlet.update(atoms))


def test_small_steps_add_up():
    """What counts is the distance from where the list was made, not the last step; going back costs nothing."""
    atoms = alloy()
    function = function_for(atoms)
    verlet = VerletList(function.basis, SKIN)
    builds = []
    for _ in range(12):
        verlet.update(atoms)
        builds.append(verlet.n_builds)
        displaced(atoms, 0.06)
    assert builds == [1] * 5 + [2] * 5 + [3] * 2  # the fifth step of 0.06 Å passes 0.25 Å
    for _ in range(3):
        displaced(atoms, 0.1)
        verlet.update(atoms)
        displaced(atoms, -0.1)
        verlet.update(atoms)
    assert verlet.n_builds <= 4


def test_any_structure_in_turn():
    """One list object serves another structure by making another list; an equal copy needs none."""
    atoms = alloy()
    function = function_for(atoms)
    verlet = VerletList(function.basis, SKIN)
    verlet.update(atoms)
    verlet.update(atoms.copy())
    assert verlet.n_builds == 1
    for other in (Atoms("Zr"), atoms.repeat((1, 1, 2)), atoms):
        assert_as_fresh(function, other, verlet.update(other))
    assert verlet.n_builds == 4


def test_two_lists_do_not_share():
    atoms, other = alloy(), alloy()
    other.rattle(0.1, seed=9)
    function = function_for(atoms)
    first, second = VerletList(function.basis, SKIN), VerletList(function.basis, SKIN)
    for structure in (atoms, other):
        structure.rattle(0.01, seed=2)
        kept, _ = first.update(atoms), second.update(other)
        assert_as_fresh(function, atoms, kept)
    assert first.n_builds == 1 and second.n_builds == 1


def test_without_skin_every_new_structure_gets_a_list():
    atoms = alloy()
    function = function_for(atoms)
    verlet = VerletList(function.basis, skin=0)
    for n_builds in (1, 2, 3):
        for _ in range(2):
            pairs = verlet.update(atoms)
            assert verlet.n_builds == n_builds
        assert pairs.n_pairs == function.basis.neighbor_list(atoms).n_pairs
        assert_as_fresh(function, atoms, pairs)
        atoms.positions[0, 0] += 1e-10


# --- input -----------------------------------------------------------------------------------------------------------


def test_input_is_not_modified_and_lists_are_read_only():
    atoms = alloy()
    before = atoms.copy()
    verlet = VerletList(function_for(atoms).basis, SKIN)
    for _ in range(2):
        pairs = verlet.update(atoms)
        for name in ("offsets", "centers", "neighbors", "shifts", "vectors"):
            assert not getattr(pairs, name).flags.writeable
    assert atoms == before and atoms.arrays.keys() == before.arrays.keys()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_positions_that_are_not_finite(value):
    """Refused whether or not there is a list, which then serves on."""
    atoms = alloy()
    function = function_for(atoms)
    verlet = VerletList(function.basis, SKIN)
    for first in (True, False):
        spoiled = atoms.copy()
        spoiled.positions[1, 2] = value
        with pytest.raises(ValueError, match=r"NaN or infinite positions at atom\(s\) 1 \(Zr\)"):
            verlet.update(spoiled)
        assert_as_fresh(function, atoms, verlet.update(atoms))
        assert verlet.n_builds == 1, first


def test_atoms_that_meet_while_the_list_is_kept():
    """As a fresh list does: an error that names them, not NaN."""
    atoms = Atoms("Cu2", [(0, 0, 0), (0, 0, 0.2)])
    function = function_for(atoms)
    verlet = VerletList(function.basis, SKIN)
    verlet.update(atoms)
    atoms.positions[1, 2] = 0.0
    with pytest.raises(CoincidentAtomsError, match=r"atom 0 \(Cu\) and atom 1 \(Cu\)"):
        verlet.update(atoms)


@pytest.mark.parametrize(
    "wrong, error, message",
    [
        ("Cu", TypeError, "atoms must be an ase.Atoms, got str"),
        (None, TypeError, "atoms must be an ase.Atoms"),
        (Atoms(), ValueError, "atoms holds no atoms"),
        (Atoms("Fe"), SpeciesError, "Fe"),
        (Atoms("Cu", pbc=True), ValueError, "set the cell"),
    ],
    ids=["text", "None", "empty", "species", "no cell"],
)
def test_wrong_atoms(wrong, error, message):
    atoms = alloy()
    verlet = VerletList(function_for(atoms).basis, SKIN)
    for _ in range(2):
        with pytest.raises(error, match=message):
            verlet.update(wrong)
        verlet.update(atoms)
    assert verlet.n_builds == 1


@pytest.mark.parametrize(
    "skin, error",
    [
        (-0.1, ValueError),
        (np.nan, ValueError),
        (np.inf, ValueError),
        ("0.5", TypeError),
        (None, TypeError),
        (True, TypeError),
    ],
)
def test_wrong_skin(skin, error):
    with pytest.raises(error, match=r"skin must be a finite number >= 0; got"):
        VerletList(ACEBasis(["Cu"]), skin)


def test_wrong_basis_and_threads():
    with pytest.raises(TypeError, match="basis must be an ACEBasis"):
        VerletList("Cu")
    with pytest.raises(ValueError, match="num_threads must be an integer >= 1; got 0"):
        VerletList(ACEBasis(["Cu"]), num_threads=0)


def test_unwrapped_and_wrapped_atoms_agree():
    """Positions outside the cell, as in a long run, mean the same as those inside."""
    atoms = STRUCTURES["skewed cell"]()
    function = function_for(atoms)
    verlet = VerletList(function.basis, SKIN)
    expected = function.evaluate_with_gradients(atoms)
    far = atoms.copy()
    far.positions[1] += (3, -2, 5) @ atoms.cell.array
    _, distances = get_distances(atoms.positions[[1]], far.positions[[1]], cell=atoms.cell, pbc=True)
    assert distances.max() < 1e-12
    for shift in (0.0, 0.01):
        moved = far.copy()
        moved.positions += shift  # all atoms together: nothing changes
        result = function.evaluate_with_gradients(moved, neighbors=verlet.update(moved))
        np.testing.assert_allclose(
            result.forces, expected.forces, rtol=0, atol=10 * ROUND_OFF * abs(expected.forces).max()
        )
    assert verlet.n_builds == 1


def test_the_first_atoms_as_centers():
    """The list of some centers is that of `neighbor_list`; another number of them makes a new one."""
    basis = ACEBasis(["Cu"], rcut=4.0, order=2, totaldegree=3)
    atoms = bulk("Cu", cubic=True) * 2
    atoms.rattle(0.05, seed=0)
    verlet = VerletList(basis, skin=0.5)
    for n in (5, 5, 7):
        atoms.rattle(0.01, seed=n)
        listed = verlet.update(atoms, n)
        expected = neighbor_list(atoms, basis.cutoffs, species=basis.species_indices(atoms), indices=np.arange(n))
        inside = np.linalg.norm(listed.vectors, axis=1) < basis.rcut
        np.testing.assert_array_equal(listed.centers, np.arange(n))
        np.testing.assert_array_equal(listed.neighbors[inside], expected.neighbors)
        np.testing.assert_allclose(listed.vectors[inside], expected.vectors, atol=1e-14)
    assert verlet.n_builds == 2
    with pytest.raises(ValueError, match="n_centers must be an integer >= 1"):
        verlet.update(atoms, 0)


def test_threads_that_share_a_list():
    """A list that was returned stays what it is while others move on."""
    atoms = alloy()
    verlet, several = VerletList(function_for(atoms).basis, skin=SKIN), []
    for seed in range(4):
        several.append(atoms.copy())
        several[-1].rattle(0.01 if seed < 2 else 0.5, seed=seed)

    def compute(k):
        for _ in range(30):
            pairs = verlet.update(several[k])
            first = np.repeat(pairs.centers, np.diff(pairs.offsets))
            shifts = pairs.shifts @ several[k].cell.array
            vectors = several[k].positions[pairs.neighbors] - several[k].positions[first] + shifts
            np.testing.assert_allclose(pairs.vectors, vectors, rtol=0, atol=1e-13)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(compute, range(4)))
