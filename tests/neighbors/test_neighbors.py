"""The neighbor list against ASE's, which is slow, independent, and right for every cell."""

import itertools

import numpy as np
import pytest
import vesin
from ase import Atoms
from ase.build import bulk, fcc111, graphene, molecule
from ase.neighborlist import neighbor_list as ase_neighbor_list
from hypothesis import assume, given
from hypothesis import strategies as st

from acepure.errors import CoincidentAtomsError
from acepure.neighbors import lists
from acepure.neighbors.lists import NeighborList, neighbor_list

# Vectors: round-off of positions and cell vectors of some 10 Å.
TOLERANCE = 1e-12
# From the atom at each corner of an elongated box to its neighbor.
OFFSET = (0.1, 0.2, 0.8)


@pytest.fixture(scope="module", autouse=True, params=[0, 64], ids=["searched", "few"])
def few(request):
    """Small structures are searched like large ones, then looked at pair by pair."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lists, "FEW_ATOMS", request.param)
        yield request.param


def assert_sorted(pairs: NeighborList, species) -> None:
    for c in range(pairs.n_centers):
        mine = slice(pairs.offsets[c], pairs.offsets[c + 1])
        j = pairs.neighbors[mine]
        keys = [(species[a], a, *s) for a, s in zip(j.tolist(), pairs.shifts[mine].tolist(), strict=True)]
        assert keys == sorted(keys) and len(set(keys)) == len(keys)


def assert_formats(pairs: NeighborList) -> None:
    assert pairs.offsets.dtype == np.int64 and pairs.offsets.shape == (pairs.n_centers + 1,)
    assert pairs.offsets[0] == 0 and pairs.offsets[-1] == pairs.n_pairs
    assert pairs.centers.dtype == pairs.neighbors.dtype == pairs.shifts.dtype == np.int32
    assert pairs.vectors.dtype == np.float64
    assert pairs.shifts.shape == pairs.vectors.shape == (pairs.n_pairs, 3)
    for array in (pairs.offsets, pairs.centers, pairs.neighbors, pairs.shifts, pairs.vectors):
        assert array.flags.c_contiguous and not array.flags.writeable


def as_set(i, j, shifts) -> list:
    return sorted(zip(i.tolist(), j.tolist(), *shifts.T.tolist(), strict=True))


def compare(atoms: Atoms, cutoff: float, tolerance: float = TOLERANCE, **options) -> NeighborList:
    """Check the whole list against ASE, except pairs whose distance is the cutoff to round-off."""
    before = atoms.copy()
    pairs = neighbor_list(atoms, cutoff, **options)
    assert atoms == before
    assert_formats(pairs)
    assert_sorted(pairs, np.zeros(len(atoms), dtype=int))
    i, j, shifts, vectors = ase_neighbor_list("ijSD", atoms, cutoff * (1 + 1e-7))
    inner = np.linalg.norm(vectors, axis=1) < cutoff * (1 - 1e-7)
    expected = as_set(i, j, shifts)
    firmly = as_set(i[inner], j[inner], shifts[inner])
    mine_i = np.repeat(pairs.centers, np.diff(pairs.offsets))
    mine = as_set(mine_i, pairs.neighbors, pairs.shifts)
    assert set(mine) <= set(expected) and set(firmly) <= set(mine) and len(set(mine)) == len(mine)
    rebuilt = atoms.positions[pairs.neighbors] - atoms.positions[mine_i] + pairs.shifts @ atoms.cell.array
    np.testing.assert_allclose(pairs.vectors, rebuilt, rtol=0, atol=tolerance)
    return pairs


def rattled(atoms: Atoms, seed: int = 0) -> Atoms:
    atoms = atoms.copy()
    atoms.rattle(0.05, seed=seed)
    return atoms


def slab() -> Atoms:
    atoms = fcc111("Cu", (2, 2, 3), vacuum=None)
    atoms.pbc = [True, True, False]
    return rattled(atoms)


STRUCTURES = {
    "one-atom fcc": bulk("Cu"),
    "one-atom sc": Atoms("Po", cell=[3.3] * 3, pbc=True),
    "diamond": rattled(bulk("Si")),
    "fcc 2x2x2": rattled(bulk("Cu", cubic=True).repeat(2)),
    "rocksalt": rattled(bulk("NaCl", "rocksalt", a=5.6, cubic=True)),
    "hcp": bulk("Mg"),
    "slab": slab(),
    "graphene, no third cell vector": graphene(vacuum=None),
    "chain": Atoms("CH", [[0, 0, 0], [0, 1.1, 0.2]], cell=[0, 0, 1.3], pbc=[False, False, True]),
    "molecule": molecule("C6H6"),
    "left-handed": Atoms("CO", [[0, 0, 0], [1, 0.3, 0.2]], cell=[[0, 3, 0], [3.1, 0, 0.2], [0, 0.1, 4]], pbc=True),
    "skewed": Atoms("CO", [[0, 0, 0], [0.9, 0.3, 0.2]], cell=[[2, 0, 0], [7, 2, 0], [-5, 3, 2]], pbc=True),
    "very skewed slab": Atoms("C", cell=[[2, 0, 0], [0, 0, 0], [91, 0.2, 2]], pbc=[True, False, True]),
}


@pytest.mark.parametrize("motion", ["as is", "rotated", "mirrored", "shifted far"])
@pytest.mark.parametrize("cutoff", [1.5, 3.4, 7.1])
@pytest.mark.parametrize("name", STRUCTURES)
def test_against_ase(name, cutoff, motion):
    atoms = STRUCTURES[name].copy()
    if motion == "rotated":
        atoms.rotate(40, (1, 2, 3), rotate_cell=True)
    elif motion == "mirrored":
        atoms.positions[:, 1] *= -1
        atoms.set_cell(atoms.cell.array * [1, -1, 1])
    elif motion == "shifted far":
        atoms.positions += [123.4, -77.7, 31.3]
    compare(atoms, cutoff, tolerance=1e-11)


@pytest.mark.parametrize("pbc", list(itertools.product([False, True], repeat=3)))
@pytest.mark.parametrize("cell", ["cubic", "left-handed, skewed", "zero where not periodic"])
def test_mixed_boundary_conditions(pbc, cell):
    atoms = rattled(bulk("Cu", cubic=True).repeat((2, 1, 1)))
    if cell == "left-handed, skewed":
        atoms.set_cell([[0, 3.6, 0.4], [7.2, 1, 0], [2, -2, 3.9]])
    elif cell == "zero where not periodic":
        atoms.set_cell(np.where(np.array(pbc)[:, None], atoms.cell.array, 0))
    atoms.pbc = pbc
    # Every atom in another image: the vectors are the same, the shifts are not.
    atoms.positions += np.random.default_rng(3).integers(-4, 5, (8, 3)) @ (atoms.cell.array * atoms.pbc[:, None])
    compare(atoms, 4.2, tolerance=1e-11)


cells = st.lists(st.floats(-6, 6), min_size=9, max_size=9).map(lambda v: np.reshape(v, (3, 3)))


@given(
    cell=cells,
    pbc=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    fractional=st.lists(st.tuples(*[st.floats(-3, 3)] * 3), min_size=1, max_size=5),
    cutoff=st.floats(0.5, 5),
)
def test_random_cells(cell, pbc, fractional, cutoff):
    # A diagonal keeps the volume, and so the number of pairs, within reason.
    cell = cell + np.copysign(3.0, np.diag(cell)) * np.eye(3)
    vectors = cell[np.array(pbc)]
    assume(len(vectors) == 0 or np.linalg.svd(vectors, compute_uv=False)[-1] > 0.7)
    atoms = Atoms(f"H{len(fractional)}", cell=cell, pbc=pbc)
    atoms.positions = np.array(fractional) @ (cell if any(pbc) else 5 * np.eye(3))
    assume(len(ase_neighbor_list("i", atoms, 1e-5)) == 0)
    compare(atoms, cutoff, tolerance=1e-11)


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("pbc", [(True, True, True), (True, True, False)])
def test_very_skewed_cell(axes, pbc):
    # Another basis of the same lattice: ASE needs minutes for it, so the lattice itself is the oracle.
    compact = Atoms("CO", [[0, 0, 0], [0.9, 0.3, 0.2]], cell=np.diag([2.0, 2.2, 3.0]), pbc=pbc)
    change = np.array([[1, 0, 0], [300, 1, 0], [0, 0, 1]])
    if all(pbc):
        change = np.array([[1, 0, 0], [0, 1, 0], [-50, 700, 1]]) @ change
    skewed = compact.copy()
    skewed.set_cell((change @ compact.cell.array)[list(axes)])
    skewed.pbc = np.array(pbc)[list(axes)]
    pairs, expected = neighbor_list(skewed, 5.0), neighbor_list(compact, 5.0)
    assert np.array_equal(pairs.offsets, expected.offsets)
    assert_sorted(pairs, [0, 0])
    i = np.repeat(pairs.centers, np.diff(pairs.offsets))
    assert as_set(i, pairs.neighbors, pairs.shifts[:, np.argsort(axes)] @ change) == as_set(
        i, expected.neighbors, expected.shifts
    )
    rebuilt = skewed.positions[pairs.neighbors] - skewed.positions[i] + pairs.shifts @ skewed.cell.array
    np.testing.assert_allclose(pairs.vectors, rebuilt, rtol=0, atol=1e-9)  # shifts to 1e5, round-off 1e-11


def test_cell_of_a_molecule_is_irrelevant():
    atoms = molecule("C6H6")
    expected = neighbor_list(atoms, 3.0)
    for cell in ([1e-3, 1, 1], [[1, 0, 0], [1, 0, 0], [0, 0, 0]], [[0, 1, 0], [1, 0, 0], [0, 0, 30]]):
        atoms.set_cell(cell)
        pairs = neighbor_list(atoms, 3.0)
        assert not pairs.shifts.any()
        assert np.array_equal(pairs.vectors, expected.vectors)
        assert np.array_equal(pairs.neighbors, expected.neighbors)


@pytest.mark.parametrize("n_atoms", [1, 2, 9, 64])
@pytest.mark.parametrize("indices", [None, [0], slice(None, None, -2)])
@pytest.mark.parametrize("pbc", [False, True, (True, False, True)])
def test_few_atoms_are_not_searched(n_atoms, indices, pbc, monkeypatch):
    rng = np.random.default_rng(n_atoms)
    atoms = Atoms(rng.choice(["H", "C", "O"], n_atoms), rng.uniform(0, 10, (n_atoms, 3)), pbc=pbc)
    atoms.cell[:] = [[4, 0, -1], [9, 5, 0], [0, 2, -6]]
    species, cutoffs = np.searchsorted([1, 6, 8], atoms.numbers), rng.uniform(2, 6, (3, 3))
    monkeypatch.setattr(lists, "FEW_ATOMS", 0)
    searched = neighbor_list(atoms, cutoffs, species=species, indices=indices)
    monkeypatch.setattr(lists, "FEW_ATOMS", 64)
    monkeypatch.setattr(vesin, "NeighborList", None)
    pairs = neighbor_list(atoms, cutoffs, species=species, indices=indices)
    for name in ("offsets", "centers", "neighbors", "shifts", "vectors"):
        assert np.array_equal(getattr(pairs, name), getattr(searched, name)), name
    assert pairs.n_pairs > 0 or n_atoms < 9
    if n_atoms > 1:
        atoms.positions[-1] = atoms.positions[0] + 1e-8
        with pytest.raises(CoincidentAtomsError, match=rf"atom 0 .* and atom {n_atoms - 1} "):
            neighbor_list(atoms, 3.0, indices=[0])


def test_no_neighbors():
    for atoms in (Atoms("H"), Atoms("H", cell=[9] * 3, pbc=True), Atoms("H2", [[0, 0, 0], [0, 0, 6]])):
        pairs = compare(atoms, 5.0)
        assert pairs.n_pairs == 0 and pairs.offsets.tolist() == [0] * (len(atoms) + 1)


def test_images_of_one_atom():
    pairs = compare(Atoms("Po", cell=[1.0, 2.0, 30.0], pbc=True), 25.0)
    assert pairs.n_pairs > 900 and not pairs.neighbors.any()


def test_the_cutoff_is_excluded():
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 5]])
    assert neighbor_list(atoms, 5.0).n_pairs == 0
    assert neighbor_list(atoms, np.nextafter(5.0, 6)).n_pairs == 2


# The search engine must not be asked what it answers with a crash, a hang or overflown integers.
@pytest.mark.parametrize("distance", [1e3, 1e6, 1e9, 1e12])
@pytest.mark.parametrize("axis", [0, 2])
def test_atoms_far_apart(distance, axis):
    atoms = molecule("CH4")
    far = molecule("H2O")
    far.positions[:, axis] += distance
    both = atoms + far
    pairs = neighbor_list(both, 2.0)
    expected = [neighbor_list(atoms, 2.0), neighbor_list(far, 2.0)]
    assert pairs.n_pairs == expected[0].n_pairs + expected[1].n_pairs == 26
    assert np.array_equal(pairs.vectors, np.concatenate([e.vectors for e in expected]))
    both.set_cell([[0, 0, 0], [0, 5, 0], [0, 0, 0]])
    both.pbc = [False, True, False]
    assert neighbor_list(both, 2.0).n_pairs == 26


@pytest.mark.parametrize("lengths", [(1610, 1610, 5), (5, 1610, 1610), (1e4, 1e3, 5), (4, 4, 5.2e5)])
@pytest.mark.parametrize("pbc", [True, False, [True, False, False], [True, True, False]])
def test_elongated_boxes(lengths, pbc):
    corners = np.array(list(itertools.product([0.1, 0.9], repeat=3))) * lengths
    atoms = Atoms("H16", np.concatenate([corners, corners + OFFSET]), cell=lengths, pbc=pbc)
    short = atoms.copy()
    scale = np.minimum(lengths, 40) / lengths
    short.set_cell(np.diag(lengths * scale))
    short.positions = np.concatenate([corners * scale, corners * scale + OFFSET])
    pairs, expected = neighbor_list(atoms, 5.0), compare(short, 5.0)
    assert np.array_equal(pairs.neighbors, expected.neighbors)
    assert np.array_equal(pairs.shifts, expected.shifts)
    np.testing.assert_allclose(pairs.vectors, expected.vectors, atol=1e-9)


def test_too_elongated(few):
    if few:
        assert neighbor_list(Atoms("H", cell=[3, 3, 1e9], pbc=True), 5.0).n_pairs == 8
        return
    with pytest.raises(ValueError, match="too elongated to be searched"):
        neighbor_list(Atoms("H", cell=[3, 3, 1e9], pbc=True), 5.0)


@pytest.mark.parametrize("far", [2_000, 5_000_000])
def test_positions_many_cells_away(far):
    atoms = rattled(bulk("NaCl", "rocksalt", a=5.6))
    near = neighbor_list(atoms, 5.0)
    wraps = np.array([[far, -far, 7], [-far, 3, far]])
    atoms.positions += wraps @ atoms.cell.array
    pairs = neighbor_list(atoms, 5.0)
    i = np.repeat(pairs.centers, np.diff(pairs.offsets))
    assert pairs.n_pairs == near.n_pairs
    lengths = [np.sort(np.linalg.norm(x.vectors, axis=1)) for x in (pairs, near)]
    np.testing.assert_allclose(*lengths, atol=far * 1e-14 + 1e-12)
    unwrapped = pairs.shifts - wraps[i] + wraps[pairs.neighbors]
    assert as_set(i, pairs.neighbors, unwrapped) == as_set(
        np.repeat(near.centers, np.diff(near.offsets)), near.neighbors, near.shifts
    )


def test_positions_too_many_cells_away():
    atoms = Atoms("H", [[0, 0, 1e12]], cell=[3] * 3, pbc=True)
    with pytest.raises(ValueError, match=r"wrap them with atoms\.wrap"):
        neighbor_list(atoms, 5.0)
    atoms = Atoms("H2", [[0, 0, -4e9], [0, 0, 4e9]], cell=[3] * 3, pbc=True)
    with pytest.raises(ValueError, match=r"32-bit shifts; wrap them"):
        neighbor_list(atoms, 5.0)


def test_independent_of_threads():
    atoms = rattled(bulk("Cu", cubic=True).repeat(10))
    one = neighbor_list(atoms, 5.0)
    i, j = ase_neighbor_list("ij", atoms, 5.0)
    assert np.array_equal(np.diff(one.offsets), np.bincount(i, minlength=len(atoms)))
    assert np.array_equal(one.neighbors, j[np.lexsort((j, i))])
    for num_threads in (2, 3, 8):
        other = neighbor_list(atoms, 5.0, num_threads=num_threads)
        for name in ("offsets", "centers", "neighbors", "shifts", "vectors"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), (name, num_threads)


def test_cutoff_of_ordered_pairs_and_order_by_species():
    atoms = rattled(bulk("NaCl", "rocksalt", a=5.6, cubic=True))
    species = np.array([2 if symbol == "Na" else 0 for symbol in atoms.symbols])
    cutoff = np.array([[4.5, 9, 3.0], [9, 9, 9], [6.0, 9, 5.0]])
    pairs = neighbor_list(atoms, cutoff, species=species)
    assert_formats(pairs)
    assert_sorted(pairs, species)
    i, j, shifts, d = ase_neighbor_list("ijSd", atoms, 6.0)
    keep = d < cutoff[species[i], species[j]]
    mine = as_set(np.repeat(pairs.centers, np.diff(pairs.offsets)), pairs.neighbors, pairs.shifts)
    assert mine == as_set(i[keep], j[keep], shifts[keep])
    assert len(set(mine) - {(b, a, -x, -y, -z) for a, b, x, y, z in mine}) > 0  # ordered pairs differ
    assert_sorted(neighbor_list(atoms, 5.0, species=species), species)


@pytest.mark.parametrize(
    "indices", [[3, 0, 6], [-1, 2], np.array([5], dtype=np.uint8), np.array([-8, 7], dtype=np.int8), [], range(8)]
)
def test_some_centers(indices):
    atoms = rattled(bulk("NaCl", "rocksalt", a=5.6, cubic=True))
    whole, pairs = neighbor_list(atoms, 5.0), neighbor_list(atoms, 5.0, indices=indices)
    assert_formats(pairs)
    assert pairs.centers.tolist() == [k % 8 for k in np.asarray(indices, dtype=int).tolist()]
    for c, i in enumerate(pairs.centers):
        mine, its = slice(*pairs.offsets[c : c + 2]), slice(*whole.offsets[i : i + 2])
        for name in ("neighbors", "shifts", "vectors"):
            assert np.array_equal(getattr(pairs, name)[mine], getattr(whole, name)[its])


@pytest.mark.parametrize(
    "indices",
    [
        slice(None),
        slice(2),
        slice(-2, None),
        slice(1, 7, 3),
        slice(None, None, -1),
        slice(-1, -6, -2),
        slice(5, 100),
        slice(6, 2),
        slice(np.int64(1), np.int8(3)),
    ],
    ids=str,
)
def test_slice_of_centers(indices):
    """As slices of a list of the atoms."""
    pairs = neighbor_list(bulk("NaCl", "rocksalt", a=5.6, cubic=True), 3.0, indices=indices)
    assert_formats(pairs)
    assert pairs.centers.tolist() == list(range(8))[indices]


@pytest.mark.parametrize("dtype, indices", [("int8", [-1, -128, 5]), ("uint8", [255, 0])])
def test_short_integers_in_a_large_structure(dtype, indices):
    """Their type cannot hold the number of atoms."""
    atoms = Atoms("H300", positions=np.arange(900.0).reshape(300, 3))
    centers = neighbor_list(atoms, 1.0, indices=np.array(indices, dtype=dtype)).centers
    assert centers.tolist() == [k % 300 for k in indices]


def test_mask_of_centers():
    atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    assert neighbor_list(atoms, 3.0, indices=atoms.symbols == "Cl").centers.tolist() == [1, 3, 5, 7]


def test_coincident_atoms():
    atoms = Atoms("HCO", [[0, 0, 0], [1, 0, 0], [1, 0, 1e-7]])
    with pytest.raises(CoincidentAtomsError, match=r"^atom 1 \(C\) and atom 2 \(O\) are at the same place"):
        neighbor_list(atoms, 3.0)
    assert neighbor_list(atoms, 3.0, indices=[0]).n_pairs == 2
    atoms = Atoms("HC", [[0, 0, 0], [0, 0, 4]], cell=[3, 3, 4], pbc=True)
    with pytest.raises(CoincidentAtomsError, match=r"atom 0 \(H\) and the periodic image \(0, 0, -1\) of atom 1"):
        neighbor_list(atoms, 3.0)
    with pytest.raises(ValueError):
        neighbor_list(atoms, 1e-3)


ATOMS = Atoms("HCO", [[0, 0, 0], [1, 0, 0], [1, 0, 1]])


@pytest.mark.parametrize(
    "error, message, cutoff, options",
    [
        (TypeError, "cutoff must be a number or a matrix", "5", {}),
        (TypeError, "cutoff must be a number or a matrix", True, {}),
        (TypeError, "cutoff must be a number or a matrix", None, {}),
        (ValueError, "cutoff must be positive and finite", 0.0, {}),
        (ValueError, "cutoff must be positive and finite", -1, {}),
        (ValueError, "cutoff must be positive and finite", np.nan, {}),
        (ValueError, "cutoff must be positive and finite", np.inf, {}),
        (ValueError, "square matrix, got shape", np.ones((1, 2)), {"species": [0, 0, 0]}),
        (ValueError, "species is needed too", np.ones((2, 2)), {}),
        (
            ValueError,
            "cutoff is for 2 species, but species contains 2",
            np.ones((2, 2)),
            {"species": [0, 1, 2]},
        ),
        (TypeError, "species must be integers", 5.0, {"species": ["H", "C", "O"]}),
        (ValueError, r"species must have shape \(3,\)", 5.0, {"species": [0, 1]}),
        (ValueError, "species must not be negative, got -1 at atom 1", 5.0, {"species": [0, -1, 1]}),
        (IndexError, "indices contains 3, out of range for 3 atoms", 5.0, {"indices": [0, 3]}),
        (IndexError, "indices contains -4, out of range for 3 atoms", 5.0, {"indices": [-4]}),
        (ValueError, "indices contains atom 2 more than once", 5.0, {"indices": [2, -1]}),
        (ValueError, "indices is a mask of 2 values; 3 atoms", 5.0, {"indices": [True, False]}),
        (ValueError, r"indices must be one-dimensional, got shape \(\)", 5.0, {"indices": 1}),
        (TypeError, "indices must be integers, a slice or a mask", 5.0, {"indices": [0.0, 1.0]}),
        (TypeError, r"indices=slice\('a', None, None\): slice indices", 5.0, {"indices": slice("a", None)}),
        (ValueError, r"indices=slice\(None, None, 0\): slice step", 5.0, {"indices": slice(None, None, 0)}),
        (TypeError, "num_threads must be an integer, got float", 5.0, {"num_threads": 1.0}),
        (ValueError, "num_threads must be at least 1, got 0", 5.0, {"num_threads": 0}),
    ],
)
def test_refused_arguments(error, message, cutoff, options):
    with pytest.raises(error, match=message):
        neighbor_list(ATOMS, cutoff, **options)


def test_refused_structures():
    with pytest.raises(TypeError, match=r"atoms must be an ase\.Atoms"):
        neighbor_list([ATOMS], 5.0)
    with pytest.raises(ValueError, match="holds no atoms"):
        neighbor_list(Atoms(), 5.0)


def test_the_same_pairs_with_other_vectors():
    pairs = neighbor_list(bulk("Cu", cubic=True), 3.0, species=np.zeros(4, dtype=int))
    vectors = 1.01 * pairs.vectors
    moved = pairs.with_vectors(vectors)
    assert moved.vectors is vectors and moved.neighbors is pairs.neighbors and moved.species is pairs.species
    for wrong in (vectors[1:], vectors.T, vectors.astype("f4"), vectors.astype(">f8"), np.asfortranarray(vectors)):
        with pytest.raises(
            ValueError, match=r"^vectors must be a C-contiguous array of float64 of shape \(48, 3\); got"
        ):
            pairs.with_vectors(wrong)
    for wrong in (vectors.tolist(), np.ma.masked_array(vectors)):
        with pytest.raises(TypeError, match=r"^vectors must be a numpy\.ndarray; got"):
            pairs.with_vectors(wrong)


def test_repr_and_sizes():
    pairs = neighbor_list(bulk("Cu", "fcc", a=3.6), 3.0)
    assert (pairs.n_centers, pairs.n_pairs) == (1, 12)
    assert repr(pairs) == "NeighborList(n_centers=1, n_pairs=12)"
    with pytest.raises(AttributeError):
        pairs.offsets = None


@pytest.mark.parametrize("cutoff", [3000.0, 1e6])
def test_a_cutoff_that_no_memory_could_hold_is_refused(cutoff):
    with pytest.raises(ValueError, match=r"neighbors per atom; the list needs about .* GiB.*Is the cutoff in Å"):
        neighbor_list(bulk("Cu", cubic=True) * (3, 3, 3), cutoff)
