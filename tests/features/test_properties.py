"""Properties of features, for drawn structures and bases of every kind: symmetries, cutoff, body order, calls.

Examples are counted by

    pytest tests/test_properties*.py --hypothesis-show-statistics | awk '$3 ~ /^passing/ {n += $2} END {print n}'
"""

import functools
from dataclasses import replace

import numpy as np
from ase import Atoms
from cases.descriptors import RADIAL, ROUND_OFF, SPECIES, expected_features
from cases.properties import CANONICAL, NAMES, bases, basis, scale_of
from hypothesis import given, settings
from hypothesis import strategies as st

from acepure import ACEBasis
from acepure.features.change_of_basis import coordinate_map
from acepure.testing import (
    assert_body_order,
    assert_cell_choice,
    assert_deterministic,
    assert_inputs_unchanged,
    assert_invariant,
    assert_local,
    assert_no_self_interaction,
    assert_permutation_invariant,
    assert_smooth_at_cutoff,
    assert_supercell,
)
from acepure.testing.strategies import (
    crystals,
    environments,
    lattice_changes,
    molecules,
    orthogonal_matrices,
    permutations,
    polynomial_radial_bases,
    rotations,
    specifications,
    structures,
    supercells,
    translations,
)

TOLERANCE = 1e-11
ANY = structures(SPECIES, max_atoms=3)
CRYSTALS = crystals(SPECIES, max_atoms=3)
NAMED = st.sampled_from(NAMES)
HALF = settings(max_examples=settings().max_examples // 2)


def orders_of(chosen):
    return [label.order for label in chosen.labels]


# --- symmetries -------------------------------------------------------------------------------------------------------


@given(bases(), ANY, orthogonal_matrices(), translations())
def test_rotation_reflection_translation_wrapping(chosen, atoms, Q, vector):
    near = {"operations": [Q], "translations": [vector], "tolerance": TOLERANCE, "scale": scale_of(chosen, atoms)}
    assert_invariant(chosen.descriptors, atoms, **near)


@given(bases(), ANY, st.data())
def test_permutation(chosen, atoms, data):
    order = data.draw(permutations(len(atoms)))
    near = {"tolerance": TOLERANCE, "scale": scale_of(chosen, atoms)}
    assert_permutation_invariant(chosen.descriptors, atoms, permutations=[order], **near)


@given(bases(), CRYSTALS, st.data())
def test_supercell(chosen, atoms, data):
    repeat = data.draw(supercells(atoms.pbc, max_repeat=2))
    near = {"tolerance": TOLERANCE, "scale": scale_of(chosen, atoms)}
    assert_supercell(chosen.descriptors, atoms, [repeat], **near)


@given(bases(), ANY, st.data())
def test_choice_of_the_cell(chosen, atoms, data):
    """Also the cell of a molecule, and vectors along axes that are not periodic."""
    change = data.draw(lattice_changes(atoms.pbc))
    near = {"tolerance": TOLERANCE, "scale": scale_of(chosen, atoms)}
    assert_cell_choice(chosen.descriptors, atoms, [change], **near)


@given(NAMED, ANY, st.integers(0, 99))
def test_order_of_neighbors(name, atoms, seed):
    """Lists hold the pairs of a center by species of neighbor; within a species any order does."""
    chosen, rng = basis(name), np.random.default_rng(seed)
    pairs = chosen.neighbor_list(atoms)
    rows = np.repeat(np.arange(pairs.n_centers), np.diff(pairs.offsets))
    species = chosen.species_indices(atoms)[pairs.neighbors]
    order = np.lexsort([rng.random(pairs.n_pairs), species, rows])
    shuffled = {field: getattr(pairs, field)[order] for field in ("neighbors", "shifts", "vectors")}
    got = chosen.descriptors(atoms, neighbors=replace(pairs, **shuffled))
    assert abs(got - chosen.descriptors(atoms)).max() <= TOLERANCE * scale_of(chosen, atoms)


# --- cutoff -----------------------------------------------------------------------------------------------------------


@given(NAMED, molecules(SPECIES, min_atoms=5, max_atoms=8, min_distance=2.5))
@HALF
def test_atoms_beyond_the_cutoff_do_not_matter(name, atoms):
    chosen = basis(name)
    atoms += Atoms("Cu", [[9.0, 14.0, 2.0]])  # out of reach of some
    assert_local(chosen.descriptors, atoms, chosen.rcut, tolerance=TOLERANCE, scale=scale_of(chosen, atoms))


@given(polynomial_radial_bases(), st.booleans(), environments(SPECIES, max_neighbors=3))
@HALF
def test_smooth_at_the_cutoff_as_the_envelope(radial, canonical, atoms):
    chosen = ACEBasis(SPECIES, radial=radial, totaldegree=[3, 3, 2], canonical=canonical)
    assert_smooth_at_cutoff(chosen.descriptors, atoms, chosen.rcut, radial.envelope.smoothness, symbol="Zr")


# --- limits -----------------------------------------------------------------------------------------------------------


@given(NAMED, environments(SPECIES, max_neighbors=3), rotations())
def test_a_neighbor_that_comes_to_the_center(name, atoms, Q):
    """Values have a limit along each direction, and approach it at least as r: nothing diverges."""
    chosen = basis(name)

    def at(distance):
        return chosen.descriptors(atoms + Atoms("Cu", [distance * Q[0]]))[0]

    far, near = (abs(at(distance) - at(distance / 2)).max() for distance in (2e-3, 4e-6))
    assert near <= 4e-3 * far + TOLERANCE * scale_of(chosen, atoms + Atoms("Cu", [4e-6 * Q[0]]))


@given(st.sampled_from(CANONICAL), environments(SPECIES, 4, 4), rotations())
def test_two_neighbors_at_the_same_place_are_two(name, atoms, Q):
    """Canonical values count them as distinct: zero for fewer than ν of them, however near they are."""
    chosen = basis(name)
    atoms += Atoms("Zr", [atoms.positions[1] + 2e-6 * Q[0]])
    near = {"tolerance": TOLERANCE, "scale": scale_of(chosen, atoms)}
    assert_no_self_interaction(chosen.descriptors, atoms, orders_of(chosen), **near)


# --- body order -------------------------------------------------------------------------------------------------------


@given(st.sampled_from(CANONICAL), environments(SPECIES, 5, 5))
def test_canonical_features_take_exactly_nu_neighbors(name, atoms):
    chosen = basis(name)
    near = {"tolerance": TOLERANCE, "scale": scale_of(chosen, atoms)}
    assert_no_self_interaction(chosen.descriptors, atoms, orders_of(chosen), **near)


@given(specifications(SPECIES, 4, canonical=True), environments(SPECIES, 5, 5))
@HALF
def test_canonical_features_of_any_specification(arguments, atoms):
    chosen = ACEBasis(**arguments)
    near = {"tolerance": TOLERANCE, "scale": scale_of(chosen, atoms)}
    assert_no_self_interaction(chosen.descriptors, atoms, orders_of(chosen), **near)


@given(NAMED, environments(SPECIES, 5, 5))
def test_no_feature_takes_more_than_nu_neighbors(name, atoms):
    chosen = basis(name)
    near = {"tolerance": TOLERANCE, "scale": scale_of(chosen, atoms)}
    assert_body_order(chosen.descriptors, atoms, orders_of(chosen), **near)


@given(st.sampled_from([name for name in NAMES if name[0] in RADIAL]), ANY)
@HALF
def test_brute_force(name, atoms):
    """Against sums over set partitions, or products of plain sums, in NumPy alone."""
    chosen, (_, radial, cutoff) = basis(name), RADIAL[name[0]]
    expected, scale = expected_features(chosen, radial, cutoff, atoms, 0)
    # Near the cutoff the rounding of a distance counts for more than that of features: 1e-16 where others are 1.
    tolerance = 10 * ROUND_OFF * np.maximum(scale, 1e-5)
    assert (abs(chosen.descriptors(atoms, indices=[0])[0] - expected) <= tolerance).all()


# --- linear algebra ---------------------------------------------------------------------------------------------------

FAMILIES = [(("default", kind), ("ideal gas", kind)) for kind in ("canonical", "self-interacting")]


@functools.cache
def maps(family):
    return {center: coordinate_map(*map(basis, family), center) for center in SPECIES}


@given(st.sampled_from(FAMILIES), ANY)
@HALF
def test_canonical_and_centered_span_the_same_and_self_interacting_and_shifted(family, atoms):
    source, target = (basis(name) for name in family)
    matrices = maps(family)
    features = np.hstack([np.ones((len(atoms), 1)), source.descriptors(atoms)])
    expected = np.array([matrices[atom.symbol] @ row for atom, row in zip(atoms, features)])
    largest = max(abs(matrices[center]).max() for center in SPECIES) * scale_of(source, atoms)
    assert abs(target.descriptors(atoms) - expected).max() <= TOLERANCE * largest


@given(ANY, st.sampled_from(list(RADIAL)))
def test_features_of_one_neighbor_are_the_same_canonical_or_not(atoms, kind):
    one, other = (basis((kind, which)) for which in ("canonical", "self-interacting"))
    columns = one.order_slices["nu1"]
    difference = one.descriptors(atoms)[:, columns] - other.descriptors(atoms)[:, columns]
    assert abs(difference).max() <= TOLERANCE * scale_of(one, atoms)


# --- calls ------------------------------------------------------------------------------------------------------------


@given(NAMED, ANY)
def test_inputs_are_left_alone(name, atoms):
    assert_inputs_unchanged(basis(name).descriptors, atoms)


@given(bases(), st.lists(ANY, min_size=2, max_size=3))
@HALF
def test_the_same_bits(chosen, many):
    """For any number of threads, for repeated calls and for concurrent ones, the first of which build the tables."""
    fresh = ACEBasis.from_dict(chosen.to_dict())
    counts = [functools.partial(chosen.descriptors, num_threads=n) for n in (1, 2, 5)]
    assert_deterministic(fresh.descriptors, many, same_as=counts, calls=2)
