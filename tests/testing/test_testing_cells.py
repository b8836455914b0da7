"""Assertions on supercells and on the choice of a cell: right functions pass, wrong ones are caught."""

import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.neighborlist import neighbor_list
from cases.properties import (
    RCUT,
    chain,
    copper,
    descriptor,
    envelope,
    minimum_image,
    skewed,
    slab,
    vectors_around,
    water,
)

from acepure.testing import assert_cell_choice, assert_supercell, calculated


@pytest.mark.parametrize("make", [copper, slab, skewed])
def test_a_plain_descriptor(make):
    assert_supercell(descriptor, make())
    assert_cell_choice(descriptor, make())


def test_molecules_have_no_cell():
    atoms = water()
    assert_cell_choice(descriptor, atoms)
    atoms.set_cell([[5, 0, 0], [1, 4, 0], [0, 0, 6]])
    assert_cell_choice(descriptor, atoms)


def test_global_values():
    assert_supercell(calculated(EMT(), "energy"), copper(), per_atom=False)
    assert_supercell(calculated(EMT(), "stress"), copper(), per_atom=False, extensive=False, tolerance=1e-11)
    assert_supercell(lambda atoms: descriptor(atoms).mean(axis=0), copper(), per_atom=False, extensive=False)
    assert_cell_choice(calculated(EMT(), "stress"), copper(), tolerance=1e-11)
    with pytest.raises(AssertionError, match="not repeated"):
        assert_supercell(calculated(EMT(), "energy"), copper(), per_atom=False, extensive=False)


def test_minimum_images_are_caught():
    with pytest.raises(AssertionError, match="not repeated with the cell"):
        assert_supercell(minimum_image, copper())
    assert_supercell(minimum_image, copper() * 3, [(1, 1, 2)])  # large enough for it


def nearest_cells(atoms):
    """Images in the 27 cells around: enough for a cubic cell, not for a skewed one."""
    shifts = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3), axis=-1).reshape(-1, 3) @ atoms.cell.array
    atoms.wrap()
    vectors = atoms.positions[None, :, None] + shifts - atoms.positions[:, None, None]
    r = np.linalg.norm(vectors, axis=-1)
    return np.where((r > 1e-9) & (r < RCUT), envelope(r), 0).sum(axis=(1, 2))


def all_axes(atoms):
    """Periodic along all vectors that are given."""
    atoms.pbc = atoms.cell.any(1)
    return np.array([len(vectors) for vectors in vectors_around(atoms, 4.0)])


def cell_length(atoms):
    return descriptor(atoms) * atoms.cell.lengths().sum()


def left_handed(atoms):
    return descriptor(atoms) * np.linalg.det(atoms.cell.array)


@pytest.mark.parametrize("wrong", [nearest_cells, cell_length, left_handed])
def test_what_depends_on_the_vectors_is_caught(wrong):
    with pytest.raises(AssertionError, match="not the same for"):
        assert_cell_choice(wrong, copper())


def test_orientation_of_the_vectors():
    assert_cell_choice(left_handed, copper(), left_handed=False)


@pytest.mark.parametrize("make", [water, slab])
def test_cells_along_open_axes_are_caught(make):
    with pytest.raises(AssertionError, match=r"depends on the cell along axes without periodicity|reversed"):
        assert_cell_choice(all_axes, make())


def test_rows_in_another_order_are_caught():
    def wrong(atoms):
        return descriptor(atoms)[np.argsort(atoms.positions[:, 0], kind="stable")]

    with pytest.raises(AssertionError, match="not repeated with the cell"):
        assert_supercell(wrong, copper())


def test_rows_of_the_wrong_number_are_caught():
    with pytest.raises(AssertionError, match="shape"):
        assert_supercell(lambda atoms: descriptor(atoms)[:4], copper())


def test_division_by_all_atoms_is_caught():
    with pytest.raises(AssertionError, match="not repeated with the cell"):
        assert_supercell(lambda atoms: descriptor(atoms) / len(atoms), copper())


def test_given_changes_and_repeats():
    assert_cell_choice(descriptor, skewed(), [[[1, 0, 0], [3, 1, 0], [0, -4, 1]]])
    assert_supercell(
        lambda atoms: np.bincount(neighbor_list("i", atoms, RCUT), minlength=len(atoms)), slab(), [(3, 1, 1)]
    )


def test_wrong_arguments():
    with pytest.raises(ValueError, match="periodic along one axis at least"):
        assert_supercell(descriptor, chain())
    with pytest.raises(ValueError, match="repeats must be 1 along axes that are not periodic"):
        assert_supercell(descriptor, slab(), [(1, 1, 2)])
    with pytest.raises(ValueError, match="integers with determinant ±1"):
        assert_cell_choice(descriptor, copper(), [2 * np.eye(3)])
    with pytest.raises(ValueError, match="must not mix periodic axes with others"):
        assert_cell_choice(descriptor, slab(), [[[1, 0, 1], [0, 1, 0], [0, 0, 1]]])
