"""pair_jacobian, summed_gradients and pullback: pairs and centers, memory, threads, input."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from cases.derivatives import large_structure, system
from cases.gradients import random_cluster, random_cotangents
from cases.radial import Gaussians

import acepure.features.derivatives
from acepure import ACEBasis, pair_jacobian, pullback, summed_gradients
from acepure.errors import CoincidentAtomsError, SpeciesError
from acepure.functions import PolynomialRadialBasis
from acepure.neighbors.environments import Environments

# --- pair_jacobian ----------------------------------------------------------------------------------------------------


def test_pairs_are_those_of_the_structure():
    atoms, basis = system("skewed cell", order=1, totaldegree=2)
    jacobian = pair_jacobian(basis, atoms)
    i, j = jacobian.centers, jacobian.neighbors
    assert i.dtype == j.dtype == jacobian.shifts.dtype == np.int32
    expected = atoms.positions[j] - atoms.positions[i] + jacobian.shifts @ atoms.cell.array
    np.testing.assert_allclose(jacobian.vectors, expected, rtol=0, atol=1e-14 * abs(atoms.cell.array).max() * 4)
    assert len(i) == len(j) == len(jacobian.shifts) == len(jacobian.vectors) == len(jacobian.values)


@pytest.mark.parametrize(
    "indices",
    [
        [0],
        [5, 2, -1],
        range(3),
        slice(9, 1, -4),
        np.arange(12) % 5 == 0,
        np.array([7], dtype=np.uint8),
        [],
        np.zeros(12, dtype=bool),
    ],
    ids=str,
)
def test_subsets_of_centers(indices):
    """The rows of the chosen centers, in the order chosen, to the last bit."""
    atoms, basis = system("alloy", order=3, totaldegree=3)
    whole, part = pair_jacobian(basis, atoms), pair_jacobian(basis, atoms, indices=indices)
    chosen = np.arange(12)[indices if isinstance(indices, slice) or len(indices) else np.empty(0, dtype=int)]
    rows = np.concatenate([np.flatnonzero(whole.centers == i) for i in chosen] or [np.empty(0, dtype=int)])
    for name in ("centers", "neighbors", "shifts", "vectors", "values"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[rows])


def test_subsets_of_centers_without_kernel():
    basis = ACEBasis(["Cu", "Zr"], radial=Gaussians(), order=2, totaldegree=2)
    whole, part = (pair_jacobian(basis, random_cluster(), indices=indices) for indices in (None, [4, 1]))
    rows = np.concatenate([np.flatnonzero(whole.centers == i) for i in (4, 1)])
    np.testing.assert_array_equal(part.values, whole.values[rows])


def test_memory_is_refused_before_it_is_taken():
    basis = ACEBasis(["Cu"], rcut=5.5, order=3, totaldegree=12)
    atoms = bulk("Cu", cubic=True).repeat(10)
    shape = (basis.neighbor_list(atoms).n_pairs, 3, len(basis))
    size = 8 * np.prod(shape, dtype=float)
    assert size > 4 * 2**30
    with pytest.raises(ValueError, match=rf"needs {size / 2**30:.3g} GiB.* 4 GiB; .*summed_gradients.*max_bytes") as e:
        pair_jacobian(basis, atoms)
    assert str(shape) in str(e.value)


def test_max_bytes_is_the_largest_size_allowed():
    atoms, basis = system("wire", order=1, totaldegree=2)
    n_bytes = pair_jacobian(basis, atoms).values.nbytes
    assert pair_jacobian(basis, atoms, max_bytes=n_bytes).values.nbytes == n_bytes
    with pytest.raises(ValueError, match="max_bytes"):
        pair_jacobian(basis, atoms, max_bytes=n_bytes - 1)
    assert pair_jacobian(basis, atoms, indices=[], max_bytes=0).values.size == 0
    assert pair_jacobian(basis, atoms, max_bytes=np.inf).values.nbytes == n_bytes


@pytest.mark.parametrize("function", [pair_jacobian, summed_gradients], ids=lambda f: f.__name__)
@pytest.mark.parametrize("max_bytes, error", [("4 GB", TypeError), (np.nan, ValueError), (-1, ValueError)])
def test_wrong_max_bytes(function, max_bytes, error):
    atoms, basis = system("wire", order=1, totaldegree=2)
    with pytest.raises(error, match="max_bytes must be"):
        function(basis, atoms, max_bytes=max_bytes)


def test_summed_gradients_are_refused_before_anything_is_made(monkeypatch):
    """A size that depends on numbers of atoms and features alone needs no neighbors."""
    atoms, basis = system("wire", order=1, totaldegree=2)
    n_bytes = summed_gradients(basis, atoms).positions.nbytes
    for allowed in (n_bytes, np.inf):
        assert summed_gradients(basis, atoms, max_bytes=allowed).positions.nbytes == n_bytes
    with pytest.raises(ValueError, match=rf"\(2, 2, 3, {len(basis)}\) needs .* GiB.*pullback.*max_bytes"):
        summed_gradients(basis, atoms, max_bytes=n_bytes - 1)

    def never(*args, **kwargs):
        raise AssertionError("the list was made")

    monkeypatch.setattr(Environments, "neighbors", property(never))
    large = ACEBasis(["Cu"], order=4, totaldegree=10)
    with pytest.raises(ValueError, match=r"\(1, 160000, 3, 1330\) needs 4\.76 GiB.* 4 GiB"):
        summed_gradients(large, bulk("Cu").repeat((400, 400, 1)))


# --- threads, memory, input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("radial", [PolynomialRadialBasis(3.2), Gaussians()], ids=["kernel", "NumPy"])
def test_threads_do_not_change_a_bit(radial):
    basis = ACEBasis(["Cu", "Zr"], radial=radial, order=3, totaldegree=2)
    atoms = large_structure()
    cotangents = random_cotangents(basis, atoms)
    results = []
    for num_threads in (1, 2, 3):
        summed = summed_gradients(basis, atoms, num_threads=num_threads)
        jacobian = pair_jacobian(basis, atoms, num_threads=num_threads)
        reverse = pullback(basis, atoms, cotangents, num_threads=num_threads)
        results.append((jacobian.values, summed.positions, summed.strain, *reverse))
    for result in results[1:]:
        for first, second in zip(result, results[0]):
            np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", ["alloy", "one atom, fcc"])
def test_summed_gradients_in_parts(name, monkeypatch):
    """The buffer for derivatives of pairs is bounded, which must not show."""
    atoms, basis = system(name, order=2, totaldegree=4)
    expected = summed_gradients(basis, atoms)
    for size in (1, 24 * len(basis) * 30):
        monkeypatch.setattr(acepure.features.derivatives, "_BUFFER_BYTES", size)
        summed = summed_gradients(basis, atoms)
        np.testing.assert_array_equal(summed.positions, expected.positions)
        np.testing.assert_array_equal(summed.strain, expected.strain)


def test_repeated_calls_give_the_same_arrays_anew():
    atoms, basis = system("wire", order=2, totaldegree=3)
    first = summed_gradients(basis, atoms)
    kept = first.positions.copy()
    summed_gradients(basis, atoms).positions[:] = 7
    np.testing.assert_array_equal(summed_gradients(basis, atoms).positions, kept)
    np.testing.assert_array_equal(first.positions, kept)


def test_input_is_not_modified():
    atoms, basis = system("alloy", order=2, totaldegree=3)
    atoms.info["name"], atoms.arrays["mine"] = "kept", np.arange(12)
    cotangents = random_cotangents(basis, atoms)
    before, cotangents_before = atoms.copy(), cotangents.copy()
    cotangents.flags.writeable = False
    pair_jacobian(basis, atoms, indices=[1, 2])
    summed_gradients(basis, atoms)
    pullback(basis, atoms, cotangents)
    assert atoms == before and atoms.info == before.info and atoms.arrays.keys() == before.arrays.keys()
    for name, array in before.arrays.items():
        np.testing.assert_array_equal(atoms.arrays[name], array)
    np.testing.assert_array_equal(cotangents, cotangents_before)


def test_cotangents_of_any_real_kind():
    atoms, basis = system("wire", order=2, totaldegree=3)
    whole = np.random.default_rng(0).integers(-5, 5, size=(len(atoms), len(basis)))
    expected = pullback(basis, atoms, whole.astype(float))
    kinds = (whole, whole.tolist(), whole.astype(np.float32), np.asfortranarray(whole, dtype=float))
    for cotangents in (*kinds, np.repeat(whole.astype(float), 2, axis=1)[:, ::2]):
        for first, second in zip(pullback(basis, atoms, cotangents), expected):
            np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    "change, error, message",
    [
        (lambda g: g[:-1], ValueError, r"cotangents must have shape \(2, \d+\); got \(1, \d+\)"),
        (lambda g: g[:, 1:], ValueError, r"cotangents must have shape"),
        (lambda g: g[0], ValueError, r"cotangents must have shape"),
        (lambda g: g * np.nan, ValueError, "cotangents must be finite"),
        (lambda g: g + 0j, TypeError, "cotangents must hold real numbers"),
        (lambda g: None, TypeError, "cotangents must hold real numbers"),
    ],
    ids=["rows", "columns", "dimensions", "NaN", "complex", "None"],
)
def test_wrong_cotangents(change, error, message):
    atoms, basis = system("wire", order=1, totaldegree=3)
    with pytest.raises(error, match=message):
        pullback(basis, atoms, change(np.ones((2, len(basis)))))


@pytest.mark.parametrize("function", [pair_jacobian, summed_gradients, pullback], ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "change, error, message",
    [
        (lambda b, a: (b, "CuAg"), TypeError, "atoms must be an ase.Atoms"),
        (lambda b, a: (b, [a]), TypeError, "atoms must be an ase.Atoms"),
        (lambda b, a: (b, Atoms("CuFe", a.positions)), SpeciesError, "Fe"),
        (lambda b, a: (b, Atoms("CuAg", a.positions * np.nan)), ValueError, "NaN"),
        (lambda b, a: (b, Atoms("CuAg", a.positions * 0)), CoincidentAtomsError, r"atom 0 \(Cu\) and atom 1 \(Ag\)"),
        (lambda b, a: ("basis", a), TypeError, "basis must be an ACEBasis"),
    ],
    ids=["text", "list", "species", "NaN", "coincident", "no basis"],
)
def test_wrong_input(function, change, error, message):
    atoms, basis = system("wire", order=1, totaldegree=3)
    arguments = (np.ones((2, len(basis))),) if function is pullback else ()
    with pytest.raises(error, match=message):
        function(*change(basis, atoms), *arguments)


@pytest.mark.parametrize("num_threads, error", [(0, ValueError), (1.5, TypeError), (True, TypeError)])
@pytest.mark.parametrize("function", [pair_jacobian, summed_gradients, pullback], ids=lambda f: f.__name__)
def test_wrong_number_of_threads(function, num_threads, error):
    atoms, basis = system("wire", order=1, totaldegree=3)
    arguments = (np.ones((2, len(basis))),) if function is pullback else ()
    with pytest.raises(error, match="num_threads must be an integer >= 1"):
        function(basis, atoms, *arguments, num_threads=num_threads)
