"""Assertions on symmetries: right functions pass, and each wrong one is caught, with a message that reproduces it."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from ase.calculators.morse import MorsePotential
from cases.properties import chiral, copper, descriptor, methane, skewed, slab, water, with_energies_of_morse

from acepure import ACEBasis
from acepure.testing import (
    assert_equivariant,
    assert_invariant,
    assert_permutation_invariant,
    calculated,
)

STRUCTURES = [water, methane, copper, slab, skewed]


# --- right ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", STRUCTURES)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_plain_descriptor_is_invariant(make, seed):
    assert_invariant(descriptor, make(), seed=seed)
    assert_permutation_invariant(descriptor, make(), seed=seed)


@pytest.mark.parametrize(
    "calculator",
    [pytest.param(EMT(), id="EMT"), pytest.param(MorsePotential(r0=2.5), id="Morse", marks=with_energies_of_morse)],
)
def test_calculators_of_ase(calculator):
    atoms = copper()
    for name in ("energy", "energies"):
        assert_invariant(calculated(calculator, name), atoms)
    assert_permutation_invariant(calculated(calculator, "energy"), atoms, per_atom=False)
    assert_permutation_invariant(calculated(calculator, "forces"), atoms)
    assert_equivariant(calculated(calculator, "forces"), atoms, "vector", tolerance=1e-11)
    assert_equivariant(calculated(calculator, "stress"), atoms, "voigt", tolerance=1e-11)


def test_a_function_may_use_the_calculator_of_the_structure():
    atoms = copper()
    atoms.calc = EMT()
    assert_equivariant(lambda structure: structure.get_forces(), atoms, tolerance=1e-11)
    assert_permutation_invariant(lambda structure: structure.get_forces(), atoms, tolerance=1e-11)


def test_kinds():
    def tensor(atoms):
        return np.einsum("ia,ib->iab", *[descriptor(atoms)[:, :1] * moments(atoms)] * 2)

    def moments(atoms):
        return atoms.positions - atoms.positions.mean(axis=0)

    assert_equivariant(moments, water(), "vector")
    assert_equivariant(tensor, water(), "tensor")
    assert_equivariant(chiral, methane(), lambda values, Q: np.linalg.det(Q) * values)


def test_given_operations():
    by_angle = Atoms("CuH", [[0, 0, 0], [1, 0, 0]])
    turn = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    assert_invariant(lambda atoms: atoms.positions[:, 2], by_angle, operations=[turn], translations=[[1, 2, 0]])
    with pytest.raises(AssertionError, match="under a rotation"):
        assert_invariant(lambda atoms: atoms.positions[:, 0], by_angle, operations=[turn], translations=[])


# --- wrong ------------------------------------------------------------------------------------------------------------


def squared_heights(atoms):
    return np.array([(atoms.get_distances(i, range(len(atoms)), vector=True)[:, 2] ** 2).sum() for i in range(3)])


def from_the_origin(atoms):
    return np.linalg.norm(atoms.positions, axis=1)


def without_images(atoms):
    return atoms.get_all_distances().sum(axis=1)


def outside_of_the_cell(atoms):
    return descriptor(atoms) + (abs(atoms.get_scaled_positions(wrap=False) - 0.5) > 1).any()


@pytest.mark.parametrize(
    ("wrong", "make", "message"),
    [
        (squared_heights, water, "not invariant under a rotation"),
        (chiral, methane, "not invariant under a reflection"),
        (from_the_origin, water, "not invariant under a translation"),
        (without_images, copper, "not invariant when single atoms are moved by lattice vectors"),
        (outside_of_the_cell, copper, "not invariant under a translation"),
    ],
)
def test_what_is_not_invariant_is_caught(wrong, make, message):
    with pytest.raises(AssertionError, match=message):
        assert_invariant(wrong, make())


def test_options_leave_out_what_a_function_does_not_promise():
    assert_invariant(chiral, methane(), reflections=False)
    assert_invariant(from_the_origin, water(), translations=[])
    assert_invariant(without_images, copper(), wrapping=False)


def test_wrapping_alone_is_caught():
    """Tells atoms in the cell from others, and they are outside until they are wrapped."""

    def wrong(atoms):
        return float(atoms.get_scaled_positions(wrap=False).min() >= 0)

    atoms = copper()
    atoms.positions -= 0.5
    with pytest.raises(AssertionError, match="wrapped into the cell"):
        assert_invariant(wrong, atoms, operations=[], translations=[])


def transposed(atoms):
    return atoms.positions[:, [1, 0, 2]] - atoms.positions.mean(axis=0)[[1, 0, 2]]


def axial(atoms):
    """A cross product: turns like a vector, but stays under inversion."""
    a, b = atoms.positions[1:3] - atoms.positions[0]
    return np.cross(a, b)


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        (transposed, "vector", "not equivariant under a rotation"),
        (axial, "vector", "not equivariant under a reflection"),
        (lambda atoms: calculated(EMT(), "stress")(atoms)[[0, 1, 2, 5, 4, 3]], "voigt", "not equivariant"),
        (lambda atoms: atoms.positions + 0.0, "vector", "not invariant under a translation"),
    ],
)
def test_what_is_not_equivariant_is_caught(wrong, kind, message):
    with pytest.raises(AssertionError, match=message):
        assert_equivariant(wrong, copper(), kind, wrapping=False)


@pytest.mark.parametrize("size", [1e-9, 1e-11])
def test_small_errors_are_caught(size):
    def wrong(atoms):
        values = descriptor(atoms)
        return values + size * abs(values).max() * np.sin(atoms.positions[0, 0])

    with pytest.raises(AssertionError, match="not invariant"):
        assert_invariant(wrong, copper())
    assert_invariant(wrong, copper(), tolerance=3 * size)


@pytest.mark.parametrize(
    ("wrong", "per_atom"),
    [
        (lambda atoms: descriptor(atoms) * np.arange(len(atoms))[:, None], True),
        (lambda atoms: np.sort(descriptor(atoms), axis=0), True),
        (lambda atoms: np.triu(atoms.get_all_distances()).sum(axis=1), True),
        (lambda atoms: descriptor(atoms)[0], False),
        (lambda atoms: descriptor(atoms)[1:].sum(axis=0), False),
    ],
    ids=["indices", "sorted", "half of the pairs", "first row", "all rows but one"],
)
def test_what_depends_on_the_order_of_atoms_is_caught(wrong, per_atom):
    with pytest.raises(AssertionError, match="another order of the atoms"):
        assert_permutation_invariant(wrong, copper(), per_atom=per_atom)


# --- messages and arguments -------------------------------------------------------------------------------------------


def test_the_message_reproduces_the_failure():
    with pytest.raises(AssertionError) as caught:
        assert_invariant(squared_heights, water())
    text = str(caught.value)
    names = {"Atoms": Atoms, "np": np}
    exec("\n".join(line for line in text.splitlines() if line.startswith(("Q = ", "atoms = "))), names)
    assert "largest deviation" in text and "row" in text and "tolerance 1e-12" in text
    atoms, turned = names["atoms"], names["atoms"].copy()
    np.testing.assert_array_equal(atoms.positions, water().positions)
    turned.positions = atoms.positions @ np.array(names["Q"]).T
    shown = abs(squared_heights(turned) - squared_heights(atoms)).max()
    assert f"largest deviation {shown:.3g}" in text


def test_values_that_are_not_finite_are_caught():
    with pytest.raises(AssertionError, match="not finite"):
        assert_invariant(lambda atoms: np.full(len(atoms), np.nan), water())


def test_another_shape_is_caught():
    with pytest.raises(AssertionError, match=r"shape \(\d,\) instead of"):
        assert_invariant(lambda atoms: np.ones(2 + int(atoms.positions[0, 0] > 0)), Atoms("Cu", [[1, 1, 1]]))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((descriptor, "H2O"), TypeError, "atoms must be an ase.Atoms"),
        ((3, water()), TypeError, "function must take an ase.Atoms"),
        ((lambda atoms: "high", water()), TypeError, "function must return numbers"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        assert_invariant(*arguments)


def test_wrong_options():
    with pytest.raises(ValueError, match=r"operations\[0\] must be orthogonal"):
        assert_invariant(descriptor, water(), operations=[np.ones((3, 3))])
    with pytest.raises(ValueError, match="tolerance must be a finite number >= 0"):
        assert_invariant(descriptor, water(), tolerance=-1)
    with pytest.raises(ValueError, match="kind must be one of 'scalar', 'vector', 'tensor', 'voigt'"):
        assert_equivariant(descriptor, water(), "spinor")
    with pytest.raises(ValueError, match="one row per atom"):
        assert_permutation_invariant(lambda atoms: np.ones(5), water())
    with pytest.raises(ValueError, match=r"each of 0\.\.2 once"):
        assert_permutation_invariant(descriptor, water(), permutations=[[0, 0, 1]])
    with pytest.raises(TypeError, match="calculator must be an ASE calculator"):
        calculated(3, "energy")


@pytest.mark.parametrize("irrep", ["0e", "0o", "1o", "1e", "2e", "3e"])
def test_features_of_an_irrep(irrep):
    rng = np.random.default_rng(3)
    atoms = Atoms("CuZrCuZrCu", rng.uniform(0, 4, (5, 3)))
    degree = 8 if irrep == "0o" else 4
    basis = ACEBasis(["Cu", "Zr"], order=3, totaldegree=degree, irrep=irrep)
    assert_equivariant(basis.descriptors, atoms, irrep)
    other = irrep[0] + ("o" if irrep[1] == "e" else "e")
    with pytest.raises(AssertionError):
        assert_equivariant(basis.descriptors, atoms, other)
    with pytest.raises(ValueError, match="irrep"):
        assert_equivariant(basis.descriptors, atoms, "1x")
