"""Properties of linear functions of features and of calculators, for drawn structures and bases of every kind."""

import functools

import numpy as np
from ase import Atoms
from cases.descriptors import SPECIES
from cases.properties import CANONICAL, NAMES, basis, plain_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from acepure import ACEBasis, LinearACE, LinearFunction, pullback, summed_gradients
from acepure.testing import (
    assert_body_order,
    assert_cell_choice,
    assert_deterministic,
    assert_equivariant,
    assert_gradients,
    assert_inputs_unchanged,
    assert_invariant,
    assert_local,
    assert_permutation_invariant,
    assert_smooth_at_cutoff,
    assert_supercell,
    calculated,
)
from acepure.testing.strategies import (
    crystals,
    environments,
    molecules,
    orthogonal_matrices,
    polynomial_radial_bases,
    structures,
    supercells,
)

TOLERANCE = 1e-11
WITH_SLOPES = [name for name in NAMES if name[0] not in ("own transform", "own functions")]
NAMED = st.sampled_from(WITH_SLOPES)
ANY = structures(SPECIES, max_atoms=3)
CRYSTALS = crystals(SPECIES, max_atoms=3)
FEW = settings(max_examples=max(1, settings().max_examples // 3))


def weights_of(chosen, seed=0):
    return np.random.default_rng(seed).normal(size=(len(chosen.species), len(chosen)))


@functools.cache
def function_of(name):
    return LinearFunction(basis(name), weights_of(basis(name)))


@functools.cache
def potential_of(name):
    return LinearACE(basis(name), weights_of(basis(name)), {"Cu": -1.0, "Zr": -2.0})


def scale_of(function, atoms):
    """Of energies: Σ |θ B|, of the plain features where self-interactions cancel; slopes are as large per Å, or ten."""
    features = abs(function.basis.descriptors(atoms)) + abs(plain_of(function.basis).descriptors(atoms))
    return max(1e-2, 10 * float((features @ abs(function.coefficients).T).max()))


def forces(function):
    return lambda atoms: function.evaluate_with_gradients(atoms).forces


def virial(function):
    return lambda atoms: function.evaluate_with_gradients(atoms).virial


# --- symmetries -------------------------------------------------------------------------------------------------------


@given(NAMED, ANY, orthogonal_matrices())
def test_energies_stay_and_forces_and_virial_turn(name, atoms, Q):
    function = function_of(name)
    near = {"operations": [Q], "tolerance": TOLERANCE, "scale": scale_of(function, atoms)}
    assert_invariant(function.evaluate, atoms, **near)
    assert_equivariant(forces(function), atoms, "vector", **near)
    assert_equivariant(virial(function), atoms, "tensor", **near)


@given(NAMED, ANY)
def test_permutation_and_cell(name, atoms):
    function = function_of(name)
    near = {"tolerance": TOLERANCE, "scale": scale_of(function, atoms)}
    assert_permutation_invariant(function.evaluate, atoms, **near)
    assert_permutation_invariant(forces(function), atoms, **near)
    assert_cell_choice(forces(function), atoms, **near)
    assert_cell_choice(virial(function), atoms, **near)


@given(NAMED, CRYSTALS, st.data())
def test_supercell(name, atoms, data):
    function, repeat = function_of(name), data.draw(supercells(atoms.pbc, max_repeat=2))
    near = {"tolerance": TOLERANCE, "scale": scale_of(function, atoms)}
    assert_supercell(function.evaluate, atoms, [repeat], **near)
    assert_supercell(forces(function), atoms, [repeat], **near)
    assert_supercell(virial(function), atoms, [repeat], per_atom=False, **near)


# --- derivatives ------------------------------------------------------------------------------------------------------

# Differences converge where no pair is near the cutoff: for molecules that are smaller.


@given(st.sampled_from([name for name in WITH_SLOPES if name[0] != "cutoffs per pair"]), molecules(SPECIES, 2, 3))
@FEW
def test_forces_are_derivatives(name, atoms):
    function = function_of(name)
    assume(atoms.get_all_distances().max() < 4.6)
    energy = lambda structure: function.evaluate(structure).sum()  # noqa: E731
    assert_gradients(energy, lambda structure: -forces(function)(structure), atoms, directions=1, step=0.01)
    assert_gradients(
        energy, lambda structure: -virial(function)(structure), atoms, strain=True, directions=1, step=0.01
    )


@given(NAMED, ANY)
def test_forward_and_reverse_derivatives_agree(name, atoms):
    function, chosen = function_of(name), basis(name)
    result, summed = function.evaluate_with_gradients(atoms), summed_gradients(chosen, atoms)
    scale = scale_of(function, atoms)
    forward = -np.einsum("zkaf,zf->ka", summed.positions, function.coefficients)
    assert abs(forward - result.forces).max() <= TOLERANCE * scale
    assert (
        abs(-np.einsum("zabf,zf->ab", summed.strain, function.coefficients) - result.virial).max() <= TOLERANCE * scale
    )
    positions, strain = pullback(chosen, atoms, function.coefficients[chosen.species_indices(atoms)])
    assert abs(positions + result.forces).max() <= TOLERANCE * scale
    assert abs(strain + result.virial).max() <= TOLERANCE * scale


# --- linearity --------------------------------------------------------------------------------------------------------


@given(st.sampled_from(NAMES), ANY, st.floats(-10, 10))
@FEW
def test_energies_are_linear_in_features_and_weights(name, atoms, factor):
    chosen = basis(name)
    one, other = weights_of(chosen, 1), weights_of(chosen, 2)
    species, features = chosen.species_indices(atoms), chosen.descriptors(atoms)
    values = [LinearFunction(chosen, w).evaluate(atoms) for w in (one, other, one + factor * other)]
    scale = scale_of(LinearFunction(chosen, abs(one) + 10 * abs(other)), atoms)
    assert abs(values[0] - (one[species] * features).sum(axis=1)).max() <= TOLERANCE * scale
    assert abs(values[0] + factor * values[1] - values[2]).max() <= TOLERANCE * scale


# --- cutoff and body order --------------------------------------------------------------------------------------------


@given(polynomial_radial_bases(), environments(SPECIES, max_neighbors=3))
@FEW
def test_energies_are_smooth_at_the_cutoff(radial, atoms):
    chosen = ACEBasis(SPECIES, radial=radial, totaldegree=[3, 3, 2])
    function, order = LinearFunction(chosen, weights_of(chosen)), radial.envelope.smoothness
    assert_smooth_at_cutoff(function.evaluate, atoms, chosen.rcut, order)


@given(NAMED, molecules(SPECIES, min_atoms=6, max_atoms=10, min_distance=2.5))
@FEW
def test_energies_are_local_and_forces_within_twice_the_cutoff(name, atoms):
    function = function_of(name)
    atoms += Atoms("Cu2", [[16.0, 18.0, 2.0], [18.0, 18.0, 2.0]])
    near = {"tolerance": TOLERANCE, "scale": scale_of(function, atoms)}
    assert_local(function.evaluate, atoms, function.basis.rcut, **near)
    assert_local(forces(function), atoms, 2 * function.basis.rcut, **near)


@given(st.sampled_from(CANONICAL), environments(SPECIES, 5, 5))
@FEW
def test_body_order_of_energies(name, atoms):
    """Order 4: at most four neighbors at a time."""
    function = LinearFunction(basis(name), weights_of(basis(name)))
    assert_body_order(function.evaluate, atoms, 4, tolerance=TOLERANCE, scale=scale_of(function, atoms))


# --- calculators ------------------------------------------------------------------------------------------------------


@given(NAMED, crystals(SPECIES, max_atoms=3, pbc=(True, True, True)), orthogonal_matrices())
@FEW
def test_calculator(name, atoms, Q):
    """One calculator for all structures in turn: its neighbor list and results are those of the last."""
    potential = potential_of(name)
    calculator = potential.calculator(skin=0.5)
    scale = 10 + scale_of(function_of(name), atoms)
    near = {"tolerance": TOLERANCE, "scale": scale}
    assert_invariant(calculated(calculator, "energies"), atoms, operations=[Q], **near)
    assert_equivariant(calculated(calculator, "forces"), atoms, operations=[Q], **near)
    assert_equivariant(calculated(calculator, "stress"), atoms, "voigt", operations=[Q], **near)
    assert_permutation_invariant(calculated(calculator, "forces"), atoms, **near)
    total = {"tolerance": TOLERANCE, "scale": scale * len(atoms)}
    assert_supercell(calculated(calculator, "energy"), atoms, [(1, 2, 1)], per_atom=False, **total)
    assert_inputs_unchanged(calculated(calculator, "forces"), atoms)


@given(NAMED, st.lists(ANY, min_size=2, max_size=2))
@FEW
def test_the_same_bits(name, many):
    function = function_of(name)
    counts = [lambda atoms, n=n: function.evaluate_with_gradients(atoms, num_threads=n).forces for n in (1, 2, 5)]
    assert_deterministic(forces(function), many, same_as=counts, calls=2)
    potential = potential_of(name)
    assert_deterministic(calculated(potential.calculator, "forces"), many, calls=2)
    assert_inputs_unchanged(function.evaluate, many[0])
