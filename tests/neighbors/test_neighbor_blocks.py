"""Blocks of centers hold the pairs of the whole list."""

import numpy as np
import pytest
from ase.build import bulk, fcc111

from acepure import ACEBasis
from acepure.neighbors.blocks import neighbor_blocks
from acepure.neighbors.lists import neighbor_list

CUTOFFS = np.array([[5.0, 4.5], [4.0, 5.0]])


def rattled(atoms, pbc=None, seed=0):
    """Rattled, and each atom moved by whole cells along periodic axes."""
    atoms.rattle(0.1, seed=seed)
    if pbc is not None:
        atoms.pbc = pbc
    atoms.positions += (
        np.random.default_rng(seed).integers(-1, 2, size=(len(atoms), 3)) * atoms.pbc
    ) @ atoms.cell.array
    return atoms


STRUCTURES = {
    "cubic": lambda: rattled(bulk("Cu", cubic=True) * (7, 6, 5)),
    "mixed pbc": lambda: rattled(bulk("Cu", cubic=True) * (7, 6, 5), [True, False, True]),
    "no pbc": lambda: rattled(bulk("Cu", cubic=True) * (7, 6, 5), False),
    "skewed": lambda: rattled(bulk("Cu") * (12, 9, 10)),
    "wire-like, self-images": lambda: rattled(bulk("Cu") * (40, 2, 2)),
    "slab": lambda: rattled(fcc111("Cu", (9, 10, 6), vacuum=8)),
}


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("centers_per_block", [40, 200])
def test_blocks_hold_all_pairs_once(name, centers_per_block):
    atoms = STRUCTURES[name]()
    species = np.random.default_rng(1).integers(0, 2, len(atoms)).astype(np.int32)
    whole = neighbor_list(atoms, CUTOFFS, species=species)
    blocks = list(neighbor_blocks(atoms, CUTOFFS, species, centers_per_block=centers_per_block))
    assert len(blocks) > 1 or centers_per_block > len(atoms)
    assert sorted(np.concatenate([block.centers for block in blocks]).tolist()) == list(range(len(atoms)))
    expected, found = (np.concatenate([pairs(part) for part in parts]) for parts in ([whole], blocks))
    expected, found = (rows[np.lexsort(rows[:, :5].T)] for rows in (expected, found))
    np.testing.assert_array_equal(found[:, :5], expected[:, :5])
    np.testing.assert_allclose(found[:, 5:], expected[:, 5:], atol=1e-12 * np.abs(atoms.positions).max())
    for block in blocks:
        assert block.n_atoms == len(atoms)
        for c in range(block.n_centers):
            around = species[block.neighbors[block.offsets[c] : block.offsets[c + 1]]]
            assert (np.diff(around) >= 0).all()  # grouped by species


def pairs(part):
    """Rows i, j, S, r_ij."""
    centers = np.repeat(part.centers, np.diff(part.offsets))
    return np.column_stack([centers, part.neighbors, part.shifts, part.vectors])


def test_small_structures_are_one_block():
    atoms = bulk("Cu", cubic=True)
    species = np.zeros(len(atoms), dtype=np.int32)
    (block,) = neighbor_blocks(atoms, np.array([[5.0]]), species)
    assert block.n_pairs == neighbor_list(atoms, 5.0).n_pairs


def test_features_of_a_large_structure():
    """Through the blocks (6,912 atoms) and through one list: equal up to the order of sums."""
    atoms = bulk("Cu", cubic=True) * (12, 12, 12)
    atoms.rattle(0.1, seed=0)
    basis = ACEBasis(["Cu"], rcut=4.0, order=2, totaldegree=4)
    by_blocks = basis.descriptors(atoms)
    at_once = basis.descriptors(atoms, neighbors=basis.neighbor_list(atoms))
    np.testing.assert_allclose(by_blocks, at_once, atol=1e-12 * np.abs(at_once).max())
    np.testing.assert_array_equal(by_blocks, basis.descriptors(atoms, num_threads=1))


def test_blocks_of_features():
    atoms = bulk("Cu", cubic=True) * (12, 12, 12)
    atoms.rattle(0.1, seed=0)
    basis = ACEBasis(["Cu"], rcut=4.0, order=2, totaldegree=4)
    expected, seen = basis.descriptors(atoms), np.zeros(len(atoms), dtype=int)
    for indices, features in basis.descriptor_blocks(atoms):
        np.testing.assert_array_equal(features, expected[indices])
        seen[indices] += 1
    assert (seen == 1).all()
