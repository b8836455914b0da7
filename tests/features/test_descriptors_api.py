"""ACEBasis and descriptors(): selections and forms of the result, names of arguments and features, copies."""

import copy
import inspect
import json
import pickle

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import read, write
from cases.descriptors import BASIS, RADIAL, SPECIES, cluster, crystal, large_structure

import acepure.features.descriptors
from acepure import ACEBasis, descriptors
from acepure.errors import LargeBasisWarning
from acepure.functions import PolynomialRadialBasis

# --- selections and forms of the result -------------------------------------------------------------------------------


def test_indices():
    atoms = large_structure()
    features = BASIS.descriptors(atoms)
    mask = np.zeros(len(atoms), dtype=bool)
    mask[[3, 50, 51]] = True
    for indices, rows in [
        ([5], [5]),
        ([7, 2, 40], [7, 2, 40]),
        ((-1, 0), [len(atoms) - 1, 0]),
        (range(20), list(range(20))),
        (np.arange(90)[::-1], list(range(90))[::-1]),
        (slice(None, 20), list(range(20))),
        (slice(-3, None), [len(atoms) - 3, len(atoms) - 2, len(atoms) - 1]),
        (slice(40, 2, -7), list(range(40, 2, -7))),
        (slice(4, 4), []),
        (mask, [3, 50, 51]),
        (mask.tolist(), [3, 50, 51]),
        ([], []),
        (np.zeros(len(atoms), dtype=bool), []),
    ]:
        np.testing.assert_array_equal(BASIS.descriptors(atoms, indices=indices), features[rows])
    for indices, rows in [([7, 2], [7, 2]), ([-1], [len(atoms) - 1]), (slice(-2, None), [-2, -1])]:
        result = descriptors(atoms, indices=indices, totaldegree=[4, 4, 4, 2], order=4)
        np.testing.assert_array_equal(result, features[rows])


def test_neighbor_list_is_used_again():
    atoms = crystal()
    neighbors = BASIS.neighbor_list(atoms)
    np.testing.assert_array_equal(BASIS.descriptors(atoms, neighbors=neighbors), BASIS.descriptors(atoms))
    some = BASIS.neighbor_list(atoms, indices=[2, 0])
    np.testing.assert_array_equal(BASIS.descriptors(atoms, neighbors=some), BASIS.descriptors(atoms)[[2, 0]])


def test_blocks():
    atoms = bulk("Cu", cubic=True)
    blocks = descriptors(atoms, order=2, n_max=4, l_max=6, blocks=True)
    assert {name: block.shape for name, block in blocks.items()} == {"nu1": (4, 4), "nu2": (4, 70), "full": (4, 74)}
    np.testing.assert_array_equal(np.hstack([blocks["nu1"], blocks["nu2"]]), blocks["full"])
    np.testing.assert_array_equal(blocks["full"], descriptors(atoms, order=2, n_max=4, l_max=6))
    assert all(np.shares_memory(block, blocks["full"]) for block in blocks.values())
    several = descriptors([atoms, bulk("Cu")], order=2, n_max=4, l_max=6, blocks=True)
    assert [block["nu2"].shape for block in several] == [(4, 70), (1, 70)]


def test_several_structures():
    many = [cluster(1), bulk("Cu"), molecule("CO")]
    results = descriptors(many, totaldegree=3)
    assert isinstance(results, list) and len(results) == 3
    species = ["C", "O", "Cu", "Zr"]
    for atoms, result in zip(many, results, strict=True):
        np.testing.assert_array_equal(result, descriptors(atoms, species=species, totaldegree=3))
    for form in (tuple(many), iter(many), (atoms for atoms in many)):
        for result, again in zip(results, descriptors(form, totaldegree=3), strict=True):
            np.testing.assert_array_equal(result, again)
    basis = ACEBasis(species, totaldegree=3)
    for result, again in zip(results, basis.descriptors(many, progress=False), strict=True):
        np.testing.assert_array_equal(result, again)


def test_defaults():
    """Cutoff 5 Å, order 3, total degree 6, canonical, species of the structure."""
    atoms = cluster(2)
    basis = ACEBasis(SPECIES, rcut=5.0, order=3, totaldegree=6, canonical=True)
    assert ACEBasis(SPECIES) == basis
    np.testing.assert_array_equal(descriptors(atoms), basis.descriptors(atoms))
    plain = ACEBasis(SPECIES, canonical=False)
    np.testing.assert_array_equal(descriptors(atoms, canonical=False), plain.descriptors(atoms))
    np.testing.assert_array_equal(descriptors(atoms, False), plain.descriptors(atoms))


@pytest.fixture
def made(monkeypatch):
    """The bases that `descriptors` makes."""
    bases = []

    def make(*args, **kwargs):
        bases.append(ACEBasis(*args, **kwargs))
        return bases[-1]

    acepure.features.descriptors._cached_basis.cache_clear()
    monkeypatch.setattr(acepure.features.descriptors, "ACEBasis", make)
    return bases


@pytest.mark.parametrize(
    "plain, numpy",
    [
        ({"order": 2, "totaldegree": 3}, {"order": np.int64(2), "totaldegree": np.int32(3)}),
        ({"rcut": 4.5, "n_functions": 30}, {"rcut": np.float64(4.5), "n_functions": np.uint8(30)}),
        ({"rcut": 4.5, "canonical": False}, {"rcut": np.float32(4.5), "canonical": np.bool_(False)}),
        ({"totaldegree": [3, 2, 1]}, {"totaldegree": np.array([3, 2, 1])}),
        ({"species": ["Cu", "Zr"], "order": 1}, {"species": np.array(["Cu", "Zr"]), "order": np.int16(1)}),
        ({"functions": [[["Cu", 1, 0]]]}, {"functions": [[["Cu", np.int64(1), np.int64(0)]]]}),
    ],
    ids=str,
)
def test_a_basis_is_made_once(made, plain, numpy):
    """Numbers of NumPy name the same basis as those of Python."""
    expected = descriptors(cluster(1), **plain)
    np.testing.assert_array_equal(descriptors(cluster(1), **numpy), expected)
    assert len(made) == 1
    descriptors(cluster(1), **{**plain, "rcut": 4.25})
    assert len(made) == 2


@pytest.mark.parametrize("value", [np.longdouble(4.5), PolynomialRadialBasis(4.5), {("Cu", "Cu"): 4.5}], ids=type)
def test_a_basis_that_text_cannot_name_is_made_anew(made, value):
    name = "radial" if isinstance(value, PolynomialRadialBasis) else "rcut"
    expected = descriptors(bulk("Cu"), rcut=4.5)
    for _ in range(2):
        np.testing.assert_array_equal(descriptors(bulk("Cu"), **{name: value}), expected)
    assert len(made) == 3


def test_store(tmp_path):
    atoms = cluster(2)
    atoms.info["name"] = "kept"
    features = descriptors(atoms, totaldegree=4, rcut=4.5, store=True)
    np.testing.assert_array_equal(atoms.arrays["acepure_descriptors"], features)
    basis = ACEBasis.from_dict(json.loads(atoms.info["acepure_basis"]))
    assert basis == ACEBasis(SPECIES, rcut=4.5, totaldegree=4)
    write(tmp_path / "stored.extxyz", atoms)
    again = read(tmp_path / "stored.extxyz")
    # extended XYZ holds eight decimals
    np.testing.assert_allclose(again.arrays["acepure_descriptors"], features, atol=1e-8)
    assert ACEBasis.from_dict(json.loads(again.info["acepure_basis"])) == basis
    assert again.info["name"] == "kept"
    many = [cluster(1), cluster(2)]
    for structure, result in zip(many, descriptors(many, totaldegree=2, store=True), strict=True):
        np.testing.assert_array_equal(structure.arrays["acepure_descriptors"], result)


def test_stored_results_of_a_basis_with_measures(tmp_path):
    """The parameters stay one line of text in a file, whatever they hold."""
    atoms = cluster(3)
    radial = RADIAL["orthonormal, operators differ by center"][0]
    descriptors(atoms, species=SPECIES, radial=radial, totaldegree=2, store=True)
    write(tmp_path / "stored.extxyz", atoms)
    again = ACEBasis.from_dict(json.loads(read(tmp_path / "stored.extxyz").info["acepure_basis"]))
    assert again == ACEBasis(SPECIES, radial=radial, totaldegree=2)


def test_structures_are_not_modified():
    atoms = crystal()
    atoms.positions -= 9.0  # outside the cell, and to stay there
    atoms.info["note"], atoms.arrays["tag"] = [1, 2], np.arange(3)
    before = pickle.dumps(atoms)
    descriptors(atoms)
    descriptors([atoms, atoms], blocks=True)
    ACEBasis(SPECIES).descriptors(atoms, indices=[1])
    assert pickle.dumps(atoms) == before
    for array in (atoms.positions, atoms.arrays["numbers"]):
        assert array.flags.writeable
    read_only = crystal()
    read_only.positions.flags.writeable = False
    descriptors(read_only)


def test_results_belong_to_the_caller():
    atoms = cluster(1)
    first = descriptors(atoms)
    kept = first.copy()
    first[:] = -1.0
    np.testing.assert_array_equal(descriptors(atoms), kept)


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "synonym, name, value, others",
    [
        ("cutoff", "rcut", 4.2, {}),
        ("r_cut", "rcut", 4.2, {}),
        ("nu_max", "order", 2, {}),
        ("correlation", "order", 2, {}),
        ("correlation_order", "order", 2, {}),
        ("nmax", "n_max", 2, {"l_max": 1}),
        ("lmax", "l_max", 2, {"n_max": 1}),
        ("total_degree", "totaldegree", 4, {}),
    ],
)
def test_synonyms(synonym, name, value, others):
    atoms = cluster(1)
    assert ACEBasis(SPECIES, **{synonym: value}, **others) == ACEBasis(SPECIES, **{name: value}, **others)
    expected = descriptors(atoms, **{name: value}, **others)
    np.testing.assert_array_equal(descriptors(atoms, **{synonym: value}, **others), expected)


@pytest.mark.parametrize(
    "synonym, name", [("r_cut", "rcut"), ("nu_max", "order"), ("nmax", "n_max"), ("lmax", "l_max")]
)
@pytest.mark.parametrize("caller", ["ACEBasis", "descriptors"])
def test_argument_given_twice(caller, synonym, name):
    arguments = {name: 2, synonym: 2}
    with pytest.raises(TypeError, match=rf"{caller}\(\) got {name} twice"):
        ACEBasis(SPECIES, **arguments) if caller == "ACEBasis" else descriptors(cluster(1), **arguments)


def test_arguments_have_names_that_tools_can_see():
    """Completion, help and type checkers read signatures; `descriptors` takes what the basis that it builds takes."""
    own, passed_on = (inspect.signature(caller).parameters for caller in (ACEBasis, descriptors))
    assert {"totaldegree", "wL", "n_max", "l_max", "n_functions", "functions", "n_start", "radial"} <= set(own)
    # Referred bases, tensors and limits of how often a species occurs are made first.
    assert set(own) - set(passed_on) == {"reference", "L", "irrep", "occupancy"}
    for name in set(own) & set(passed_on) - {"species"}:  # which `descriptors` can find out
        assert (own[name].annotation, own[name].default) == (passed_on[name].annotation, passed_on[name].default), name


def test_labels():
    canonical, plain = (ACEBasis(["Zr", "Cu"], totaldegree=[4, 4, 4, 4], canonical=c) for c in (True, False))
    assert canonical.labels == plain.labels and len(set(canonical.labels)) == len(canonical) == len(plain)
    assert canonical.labels == ACEBasis(["Cu", "Zr"], totaldegree=[4, 4, 4, 4]).labels
    label = next(label for label in canonical.labels if label.order == 4 and set(label.l) == {1})
    assert str(label).startswith("Cu(n=0,l=1) ") and " L=" in str(label)
    assert len(label.coupling) == 2
    for other in (RADIAL["own functions"][0], RADIAL["orthonormal, operators differ by center"][0]):
        assert ACEBasis(SPECIES, radial=other, totaldegree=[4, 4, 4, 4]).labels == canonical.labels


def test_a_row_is_named_by_its_label():
    """Rows of C hold products of the functions that the label names, for every kind of radial label."""
    for name in ("default", "own functions"):
        basis = ACEBasis(SPECIES, radial=RADIAL[name][0], totaldegree=[4, 4, 4], n_start=1)
        C = basis.symmetrization
        for row, label in enumerate(basis.labels):
            factors = sorted(zip(label.species, label.n, label.l))
            for column in C.indices[C.indptr[row] : C.indptr[row + 1]]:
                product = basis.products[int(column)]
                assert sorted((SPECIES[v.z], v.q[-1] + 1, v.l) for v in product) == factors


# --- the basis as an object -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RADIAL)
@pytest.mark.parametrize(
    "arguments", [{}, {"n_functions": 40}, {"n_max": [3, 1], "l_max": [0, 2], "canonical": False}], ids=str
)
def test_dictionary_round_trip(name, arguments):
    basis = ACEBasis(SPECIES, radial=RADIAL[name][0], **arguments)
    again = ACEBasis.from_dict(json.loads(json.dumps(basis.to_dict())))
    assert again == basis and hash(again) == hash(basis) and repr(again) == repr(basis)
    assert again.to_dict() == basis.to_dict() and again.labels == basis.labels
    np.testing.assert_array_equal(again.descriptors(cluster(1)), basis.descriptors(cluster(1)))


def test_equality():
    basis = ACEBasis(SPECIES, totaldegree=3)
    different = [
        ACEBasis(["Cu"], totaldegree=3),
        ACEBasis(SPECIES, totaldegree=3, canonical=False),
        ACEBasis(SPECIES, totaldegree=3, rcut=4.9),
        ACEBasis(SPECIES, totaldegree=3, order=2),
        ACEBasis(SPECIES, totaldegree=[3, 3, 2]),
        ACEBasis(SPECIES, totaldegree=3, wL=1.1),
    ]
    assert all(basis != other for other in different) and basis != "basis"
    assert len({basis, ACEBasis(SPECIES[::-1], totaldegree=3), *different}) == 7


def test_repr_tells_what_was_resolved():
    text = repr(ACEBasis(["Si"], n_functions=300))
    assert text.startswith("ACEBasis(species=['Si'], order=3") and "totaldegree=[" in text and "features" in text


@pytest.mark.parametrize(
    "copied",
    [
        lambda basis: pickle.loads(pickle.dumps(basis)),
        copy.deepcopy,
        copy.copy,
    ],
    ids=["pickle", "deepcopy", "copy"],
)
@pytest.mark.parametrize("used", [False, True], ids=["fresh", "used"])
def test_copies(copied, used):
    """For other processes: also after the basis has been used."""
    basis = ACEBasis(SPECIES, totaldegree=2)
    expected = ACEBasis(SPECIES, totaldegree=2).descriptors(cluster(1))
    if used:
        basis.descriptors(cluster(1))
    again = copied(basis)
    assert again == basis
    np.testing.assert_array_equal(again.descriptors(cluster(1)), expected)


def test_many_features_that_nobody_asked_for_are_told():
    atoms = Atoms("Cu")
    with pytest.warns(LargeBasisWarning, match=r"10,020 features .* is 3; order=2 has 260 of them") as told:
        assert descriptors(atoms, nmax=8, lmax=6).shape == (1, 10020)
    assert told[0].filename == __file__
    sizes = ACEBasis(["Cu"], n_max=8, l_max=6).specification.sizes
    assert sum(sizes[:2]) == descriptors(atoms, n_max=8, l_max=6, order=2).shape[1]
    descriptors(atoms, n_max=8, l_max=6, order=3)  # asked for
    descriptors(atoms, n_max=4, l_max=6)  # fewer
