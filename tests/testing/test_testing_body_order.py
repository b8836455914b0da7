"""Assertions on body order and self-interaction: right functions pass, wrong ones are caught."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from ase.calculators.morse import MorsePotential
from cases.properties import chain, copper, descriptor, envelope, methane, self_interacting, vectors_around

from acepure.testing import assert_body_order, assert_no_self_interaction, calculated


def densities(atoms):
    return np.array([envelope(np.linalg.norm(v, axis=1)).sum() for v in vectors_around(atoms)])


def canonical_power(order):
    """ν! times the elementary symmetric polynomial of f(r_j): Σ over ν distinct neighbors."""

    def function(atoms):
        rows = [np.atleast_1d(np.poly(-envelope(np.linalg.norm(v, axis=1)))) for v in vectors_around(atoms)]
        return np.array([row[order] if len(row) > order else 0.0 for row in rows])

    return function


def test_distinct_neighbors():
    assert_no_self_interaction(descriptor, methane(), [1, 2])
    assert_body_order(descriptor, methane(), [1, 2])
    for order in (1, 2, 3):
        assert_no_self_interaction(canonical_power(order), methane(), order)


def test_self_interaction_is_caught():
    """Products of sums over all neighbors have the body order, but also lower ones."""
    assert_body_order(self_interacting, methane(), [1, 2])
    with pytest.raises(AssertionError, match=r"self-interaction: values for the neighbors \(1,\) .*\n"):
        assert_no_self_interaction(self_interacting, methane(), [1, 2])
    for power in (2, 3):
        assert_body_order(lambda atoms, power=power: densities(atoms) ** power, methane(), power)
        with pytest.raises(AssertionError, match="self-interaction"):
            assert_no_self_interaction(lambda atoms, power=power: densities(atoms) ** power, methane(), power)


def test_a_small_part_of_lower_body_order_is_caught():
    with pytest.raises(AssertionError, match="self-interaction"):
        assert_no_self_interaction(lambda atoms: canonical_power(2)(atoms) + 1e-10 * densities(atoms), methane(), 2)


def test_zero_for_few_neighbors_is_not_enough():
    """Vanishes below two neighbors, but takes three at a time."""

    def wrong(atoms):
        return canonical_power(2)(atoms) + canonical_power(3)(atoms)

    with pytest.raises(AssertionError, match=r"self-interaction: values for the neighbors \(1, 2, 3\)"):
        assert_no_self_interaction(wrong, methane(), 2)


def test_a_constant_is_self_interaction_of_order_zero():
    with pytest.raises(AssertionError, match=r"neighbors \(\) are not"):
        assert_no_self_interaction(lambda atoms: canonical_power(1)(atoms) + 1, methane(), 1)
    assert_body_order(lambda atoms: canonical_power(1)(atoms) + 1, methane(), 1)


def test_higher_body_order_is_caught():
    for wrong in (canonical_power(3), lambda atoms: densities(atoms) ** 3, lambda atoms: np.sqrt(densities(atoms))):
        with pytest.raises(AssertionError, match="more than 2 neighbors at a time"):
            assert_body_order(wrong, methane(), 2)


def test_energies_of_all_atoms():
    morse = calculated(MorsePotential(r0=1.1), "energy")
    assert_no_self_interaction(morse, methane(), 2, center=None)
    atoms = Atoms("Cu5", methane().positions * 2)
    with pytest.raises(AssertionError, match="more than 2 neighbors at a time"):
        assert_body_order(calculated(EMT(), "energy"), atoms, 2, center=None)


def test_another_center():
    atoms = methane()[[1, 2, 0, 3, 4]]
    assert_no_self_interaction(descriptor, atoms, [1, 2], center=2)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="without periodic axes"):
        assert_body_order(descriptor, copper(), [1, 2])
    with pytest.raises(ValueError, match="must hold more than order=4 neighbors and at most 10; got 4"):
        assert_no_self_interaction(descriptor, methane(), 4)
    with pytest.raises(ValueError, match="at most 10; got 11"):
        assert_body_order(descriptor, chain(12), 2)
    with pytest.raises(ValueError, match="order must hold integers"):
        assert_body_order(descriptor, methane(), 1.5)
    with pytest.raises(ValueError, match="one row per atom"):
        assert_body_order(lambda atoms: 1.0, methane(), 1)
