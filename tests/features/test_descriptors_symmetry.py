"""Features of moved, permuted and repeated structures, with and without neighbors: symmetries and limits."""

import itertools

import numpy as np
import pytest
from ase import Atoms
from cases.descriptors import BASIS, ROUND_OFF, SPECIES, assert_close, cluster, crystal, expected_features, scales_of
from hypothesis import given
from hypothesis import strategies as st
from oracles.atoms import agnesi_transform, polynomial_radial
from oracles.structures import random_orthogonal, structures

from acepure import ACEBasis

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.booleans(), st.booleans())
def test_invariant_under_rotations_and_reflections(seed, improper, periodic):
    atoms = crystal(seed) if periodic else cluster(seed, n_atoms=5)
    rotation = random_orthogonal(np.random.default_rng(seed), improper)
    moved = atoms.copy()
    moved.set_cell(atoms.cell.array @ rotation.T)
    moved.positions = atoms.positions @ rotation.T
    assert_close(BASIS.descriptors(moved), BASIS.descriptors(atoms), scales_of(BASIS, atoms))


@given(SEEDS)
def test_permuted_atoms_have_permuted_features(seed):
    atoms = cluster(seed, n_atoms=6)
    order = np.random.default_rng(seed).permutation(len(atoms))
    features = BASIS.descriptors(atoms)
    assert_close(BASIS.descriptors(atoms[order]), features[order], scales_of(BASIS, atoms)[order])


@given(SEEDS, st.floats(-1e3, 1e3), st.sampled_from([(1, 1, 1), (1, 0, 1), (0, 0, 0)]))
def test_translation_and_wrapping(seed, distance, pbc):
    atoms = crystal(seed)
    atoms.pbc = pbc
    moved = atoms.copy()
    moved.positions += distance * np.array([1.0, -0.7, 0.3])
    # 1e3 Å cost three digits of every distance
    scale = 1e3 * scales_of(BASIS, atoms)
    assert_close(BASIS.descriptors(moved), BASIS.descriptors(atoms), scale)
    moved.wrap()
    assert_close(BASIS.descriptors(moved), BASIS.descriptors(atoms), scale)


@given(SEEDS, st.tuples(*[st.integers(1, 3)] * 3))
def test_supercell_repeats_features(seed, repeat):
    atoms = crystal(seed)
    features = BASIS.descriptors(atoms)
    scale = np.tile(scales_of(BASIS, atoms), (int(np.prod(repeat)), 1))
    assert_close(BASIS.descriptors(atoms.repeat(repeat)), np.tile(features, (int(np.prod(repeat)), 1)), scale)


@pytest.mark.parametrize("name", ["one atom, fcc", "one atom, bcc"])
def test_one_atom_in_a_cell_is_the_crystal(name):
    """Images count; an fcc or bcc site has no odd l, and no l = 2."""
    atoms = structures()[name]
    basis = ACEBasis([atoms.symbols[0]], totaldegree=8)
    features = basis.descriptors(atoms)
    assert features.shape == (1, len(basis)) and abs(features).max() > 0
    scale = scales_of(basis, atoms)
    assert_close(basis.descriptors(atoms.repeat(4)), np.tile(features, (64, 1)), np.tile(scale, (64, 1)))
    pairs = [i for i, label in enumerate(basis.labels) if label.order == 2 and label.l[0] in (1, 2, 3)]
    plain = basis.__class__([atoms.symbols[0]], totaldegree=8, canonical=False)
    assert (abs(plain.descriptors(atoms)[0, pairs]) <= 1e-10 * scale[0, pairs]).all()


@pytest.mark.parametrize("pbc", list(itertools.product([True, False], repeat=3)), ids=str)
def test_periodic_axes_by_explicit_images(pbc):
    """Images along periodic axes alone, as atoms of a molecule; the cell along the others plays no role."""
    atoms = crystal(3)
    atoms.pbc = pbc
    shifts = [range(-3, 4) if periodic else (0,) for periodic in pbc]
    images = [s for s in itertools.product(*shifts) if any(s)]
    explicit = Atoms(
        list(atoms.symbols) * (1 + len(images)),
        np.vstack([atoms.positions, *[atoms.positions + np.array(s) @ atoms.cell.array for s in images]]),
    )
    expected = BASIS.descriptors(explicit, indices=range(len(atoms)))
    scale = scales_of(BASIS, atoms)
    assert_close(BASIS.descriptors(atoms), expected, scale)
    atoms.set_cell(np.where(np.array(pbc)[:, None], atoms.cell.array, 0.0))
    assert_close(BASIS.descriptors(atoms), expected, scale)


@pytest.mark.parametrize("name", structures())
def test_zoo(name):
    atoms = structures()[name]
    basis = ACEBasis(sorted(set(atoms.symbols)), rcut=4.0, totaldegree=[4, 4, 3])
    plain = polynomial_radial(lambda a, b: 4.0, agnesi_transform, "smooth", 3, "chebyshev")
    features = basis.descriptors(atoms)
    for center in range(min(len(atoms), 4)):
        expected, scale = expected_features(basis, plain, lambda a, b: 4.0, atoms, center)
        assert (abs(features[center] - expected) <= ROUND_OFF * scale).all()


def test_isolated_atoms_are_exactly_zero():
    for atoms in (Atoms("Cu"), Atoms("CuZr", [[0, 0, 0], [0, 0, 5.0]]), Atoms("Cu", cell=[30] * 3, pbc=True)):
        for canonical in (True, False):
            features = ACEBasis(SPECIES, rcut=5.0, canonical=canonical).descriptors(atoms)
            assert features.shape[0] == len(atoms) and not features.any()


def test_features_of_absent_species_are_exactly_zero():
    basis = ACEBasis(["Al", "Cu", "Zr"], totaldegree=[4, 3, 3])
    features = basis.descriptors(cluster(0))
    absent = ["Al" in label.species for label in basis.labels]
    assert not features[:, absent].any()
    # round-off of products differs with the graph that computes them, values do not
    two = ACEBasis(SPECIES, totaldegree=[4, 3, 3])
    present = [i for i, gone in enumerate(absent) if not gone]
    assert [basis.labels[i] for i in present] == list(two.labels)
    assert_close(features[:, present], two.descriptors(cluster(0)), scales_of(two, cluster(0)))
