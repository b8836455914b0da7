"""Assertions on the cutoff: right functions pass, those that see farther or change roughly are caught."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from ase.calculators.morse import MorsePotential
from cases.properties import (
    RCUT,
    chain,
    copper,
    descriptor,
    envelope,
    vectors_around,
    water,
    with_energies_of_morse,
)

from acepure.testing import assert_local, assert_smooth_at_cutoff, calculated


def with_exponent(exponent):
    def function(atoms):
        rows = [envelope(np.linalg.norm(v, axis=1), exponent).sum() for v in vectors_around(atoms)]
        return np.array(rows)

    return function


@pytest.mark.parametrize("atoms", [chain(), copper() * (1, 1, 4)], ids=["chain", "crystal"])
def test_a_plain_descriptor_is_local(atoms):
    assert_local(descriptor, atoms, RCUT)


@with_energies_of_morse
def test_forces_reach_twice_as_far():
    forces = calculated(MorsePotential(r0=1.5, rcut1=1.5, rcut2=2.0), "forces")
    assert_local(forces, chain(), 6.0)
    energies = calculated(MorsePotential(r0=1.5, rcut1=1.5, rcut2=2.0), "energies")
    assert_local(energies, chain(), 3.0)


def far_sums(atoms):
    distances = atoms.get_all_distances(mic=True)
    return (1e-9 * distances).sum(axis=1)


def total(atoms):
    return descriptor(atoms) + 1e-9 * len(atoms)


@pytest.mark.parametrize("wrong", [far_sums, total, with_exponent(3)])
def test_what_sees_farther_is_caught(wrong):
    with pytest.raises(AssertionError, match=r"row \d depends on atoms beyond .* of which were (removed|moved)"):
        assert_local(wrong, chain(), RCUT if wrong in (far_sums, total) else RCUT - 1)


def test_moves_are_seen_apart_from_removals():
    """Rows hold what depends on where the last atom is, but not on whether there are others."""

    def wrong(atoms):
        last = atoms.positions[-1] if len(atoms) == len(chain()) else chain().positions[-1]
        return np.full(len(atoms), last[1])

    with pytest.raises(AssertionError, match="were moved"):
        assert_local(wrong, chain(), 8.0)


def test_structures_within_reach_of_themselves_are_refused():
    for atoms in (water(), copper()):
        with pytest.raises(ValueError, match="atoms must hold atoms that are farther"):
            assert_local(descriptor, atoms, 4.0)


@pytest.mark.parametrize(("exponent", "order"), [(1, 0), (2, 1), (3, 2), (4, 3), (2.5, 2)])
def test_powers(exponent, order):
    for atoms in (Atoms("Cu"), water()):
        assert_smooth_at_cutoff(with_exponent(exponent), atoms, RCUT, order)
        with pytest.raises(AssertionError, match=rf"derivatives of order {order + 1} are not continuous"):
            assert_smooth_at_cutoff(with_exponent(exponent), atoms, RCUT, order + 1)


@with_energies_of_morse
def test_a_plain_descriptor_and_morse_are_smooth():
    assert_smooth_at_cutoff(descriptor, water(), RCUT, 2)
    morse = MorsePotential(r0=1.5, rcut1=1.5, rcut2=2.0)
    for name, per_atom in (("energies", True), ("energy", False)):
        assert_smooth_at_cutoff(calculated(morse, name), Atoms("Cu"), 3.0, 2, per_atom=per_atom)


def test_a_jump_is_caught():
    def counts(atoms):
        return np.array([len(vectors) for vectors in vectors_around(atoms)], dtype=float)

    with pytest.raises(AssertionError, match=r"order 0 are not continuous at 3.5 Å: values change as h\^0.00"):
        assert_smooth_at_cutoff(counts, water(), RCUT, 0)


def test_emt_jumps_where_its_list_ends():
    """The switching function of EMT is not zero where the neighbor list is cut."""
    calculator = EMT()
    calculator.get_potential_energy(Atoms("Cu"))  # it chooses its cutoff then
    with pytest.raises(AssertionError, match="order 0 are not continuous"):
        assert_smooth_at_cutoff(calculated(calculator, "energies"), Atoms("Cu"), calculator.rc_list, 0)


@pytest.mark.parametrize("rcut", [0.8 * RCUT, 0.99 * RCUT])
def test_a_cutoff_that_is_given_too_short_is_caught(rcut):
    with pytest.raises(AssertionError, match=r"values change by .* with an atom at"):
        assert_smooth_at_cutoff(descriptor, Atoms("Cu"), rcut, 0)


def test_a_cutoff_that_is_given_too_long_is_caught():
    with pytest.raises(AssertionError, match="is this the cutoff"):
        assert_smooth_at_cutoff(descriptor, Atoms("Cu"), 2 * RCUT, 0)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="a molecule, without periodic axes"):
        assert_smooth_at_cutoff(descriptor, copper(), RCUT, 0)
    with pytest.raises(ValueError, match="no room"):
        assert_smooth_at_cutoff(lambda atoms: 1.0, chain(), RCUT, 0, per_atom=False, center=3)
    with pytest.raises(ValueError, match="order must be an integer >= 0"):
        assert_smooth_at_cutoff(descriptor, water(), RCUT, -1)
