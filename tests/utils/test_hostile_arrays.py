"""Hostile arrays at every public gate: the result of a plain copy or a clear refusal; see tools/fuzz_arrays.py."""

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from cases.tools import tool

from acepure import ACEBasis, LinearFunction
from acepure._utils.checks import real_array
from acepure.models.repulsion import ZBLCore
from acepure.neighbors.lists import neighbor_list

fuzz = tool("fuzz_arrays")
CALLS = fuzz.calls()
GOOD, TAKERS = fuzz.list_calls()


@pytest.mark.parametrize("name", CALLS)
def test_layouts(name):
    """Strides, orders, byte orders, alignment, subclasses: the same result to the last bit, or a refusal."""
    counts, failures = fuzz.check_layouts(CALLS[name])
    assert not failures and counts["same"] >= 8


@pytest.mark.parametrize("name", CALLS)
def test_wrong_arrays(name):
    counts, failures = fuzz.check_wrong(CALLS[name], 60, 7)
    assert not failures and sum(counts.values()) == 60


def test_lists_with_one_array_changed():
    counts, failures = fuzz.check_lists(600, 7)
    assert not failures and counts["ValueError"] > 300


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize(
    "changes, message",
    [
        ({"neighbors": lambda a: a + 8}, r"neighbors.neighbors must hold atoms 0 to 7; got 8 to 15"),
        ({"neighbors": lambda a: a - 1}, r"neighbors.neighbors must hold atoms 0 to 7; got -1 to 6"),
        ({"neighbors": lambda a: np.full_like(a, 2**31 - 1)}, "got 2147483647 to 2147483647"),
        ({"neighbors": lambda a: a.astype(np.int64)}, r"neighbors.neighbors must be a C-contiguous array of int32"),
        ({"centers": lambda a: a - 1}, "neighbors.centers must hold atoms 0 to 7; got -1 to 6"),
        ({"centers": lambda a: a[:-1]}, r"neighbors.offsets must be .* of shape \(8,\)"),
        ({"offsets": lambda a: a + 1}, r"neighbors.offsets must rise from 0 to the number of pairs, \d+"),
        ({"offsets": lambda a: a[::-1].copy()}, "neighbors.offsets must rise"),
        ({"offsets": lambda a: np.where(np.arange(len(a)) == 3, -(2**62), a)}, "neighbors.offsets must rise"),
        ({"offsets": lambda a: a * 2}, "neighbors.offsets must rise"),
        ({"vectors": lambda a: a * np.nan}, "neighbors.vectors must be finite and at least 1e-06 Å long"),
        ({"vectors": lambda a: a * 0}, "neighbors.vectors must be finite and at least 1e-06 Å long"),
        ({"vectors": lambda a: a[:-1]}, r"neighbors.vectors must be .* of shape \(\d+, 3\); got .*"),
        ({"vectors": lambda a: np.asfortranarray(a)}, "neighbors.vectors must be a C-contiguous array"),
        ({"vectors": lambda a: a.astype(">f8")}, "neighbors.vectors must be a C-contiguous array of float64"),
        ({"shifts": lambda a: a[:, :2]}, r"neighbors.shifts must be .* of shape \(\d+, 3\)"),
        ({"cutoffs": lambda a: a * np.nan}, "neighbors reaches nan Å"),
    ],
)
def test_lists_that_would_lead_outside(taker, changes, message):
    """The kernels follow these numbers without looking: each is refused before."""
    bad = replace(GOOD, **{name: change(getattr(GOOD, name)) for name, change in changes.items()})
    with pytest.raises(ValueError, match=message):
        TAKERS[taker](bad)


def test_order_of_species_in_a_list():
    """Pairs of a center must come by species: others would be passed over without a word."""
    order = np.arange(GOOD.n_pairs)
    order[: GOOD.offsets[1]] = order[: GOOD.offsets[1]][::-1]
    arrays = {name: getattr(GOOD, name)[order] for name in ("neighbors", "shifts", "vectors")}
    atoms, basis = fuzz_system()
    with pytest.raises(ValueError, match=r"by species of neighbor; those at pair 1?\d are not"):
        basis.descriptors(atoms, neighbors=replace(GOOD, **arrays))


def fuzz_system():
    atoms = bulk("Cu", cubic=True) * (2, 1, 1)
    atoms.symbols[[0, 3]] = "Zr"
    atoms.rattle(0.1, seed=0)
    return atoms, ACEBasis(["Cu", "Zr"], rcut=3.5, order=2, totaldegree=3)


def test_list_of_other_species():
    """A list grouped for the species of another structure of as many atoms."""
    atoms, basis = fuzz_system()
    swapped = atoms.copy()
    swapped.symbols = ["Cu" if s == "Zr" else "Zr" for s in atoms.symbols]
    with pytest.raises(ValueError, match="with other species"):
        LinearFunction(basis, np.ones((2, len(basis)))).evaluate(swapped, neighbors=GOOD)


@pytest.mark.parametrize("name", ["offsets", "centers", "neighbors", "shifts", "vectors", "cutoffs"])
@pytest.mark.parametrize("value", [None, [1, 2], 3, "text", np.ma.masked_array([1])], ids=str)
def test_lists_hold_arrays(name, value):
    with pytest.raises(TypeError, match=f"{name} must be a numpy.ndarray; got "):
        replace(GOOD, **{name: value})


def test_empty_lists():
    """No centers, and centers without neighbors."""
    atoms, basis = fuzz_system()
    none = basis.neighbor_list(atoms, [])
    assert basis.descriptors(atoms, neighbors=none).shape == (0, len(basis))
    atoms.positions *= 10
    atoms.cell *= 10
    alone = basis.neighbor_list(atoms)
    assert alone.n_pairs == 0 and not basis.descriptors(atoms, neighbors=alone).any()
    assert not ZBLCore(0.7, 1.4).energy_and_forces(atoms, alone).energies.any()


def test_views_that_show_more_than_there_is():
    """An array of zero strides would take its full size as a copy."""
    view = np.broadcast_to(np.ones(3), (2**40, 3))
    with pytest.raises(ValueError, match=r"^rows of shape \(1099511627776, 3\) needs .* GiB, more than the limit"):
        real_array("rows", view, (None, 3))
    with pytest.raises(ValueError, match=r"^cutoff of shape"):
        neighbor_list(bulk("Cu"), np.broadcast_to(3.0, (2**20, 2**20)), species=[0])


@pytest.mark.parametrize(
    "function", [lambda a: real_array("a", a, (None,)), lambda a: neighbor_list(bulk("Cu") * 3, 3, indices=a)]
)
def test_masked_entries(function):
    """Masked entries have a value, but no one knows which; a mask without entries is no reason to refuse."""
    array = np.ma.masked_array([1, 2, 3], mask=[False, True, False])
    with pytest.raises(ValueError, match="must have no masked entries; got 1"):
        function(array)
    function(np.ma.masked_array([1, 2, 3], mask=False))
