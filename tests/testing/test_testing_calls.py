"""Assertions on calls: functions that change their input or remember it, or give other bits, are caught."""

import itertools
import threading
import time

import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from cases.properties import copper, descriptor, methane, water

from acepure.testing import assert_deterministic, assert_inputs_unchanged, calculated


def test_a_plain_descriptor():
    atoms = copper()
    atoms.set_constraint(FixAtoms([0]))
    assert_inputs_unchanged(descriptor, atoms)
    assert_deterministic(descriptor, [copper(), water()], same_as=[descriptor])


def test_calculators():
    assert_inputs_unchanged(calculated(EMT(), "forces"), copper())
    assert_deterministic(calculated(EMT, "forces"), copper())
    assert_deterministic(calculated(EMT(), "forces"), copper(), workers=0)
    atoms = copper()
    atoms.calc = EMT()
    assert_inputs_unchanged(lambda structure: structure.get_forces(), atoms)


def changing(action):
    def function(atoms):
        action(atoms)
        return descriptor(atoms)

    return function


@pytest.mark.parametrize(
    ("action", "named"),
    [
        (lambda atoms: atoms.translate([1, 0, 0]), "the array 'positions'"),
        (lambda atoms: atoms.positions.__imul__(1 + 1e-16 * 3), "the array 'positions'"),
        (lambda atoms: atoms.set_array("extra", np.zeros(len(atoms))), "the array 'extra'"),
        (lambda atoms: atoms.set_chemical_symbols(["H"] * len(atoms)), "the array 'numbers'"),
        (lambda atoms: atoms.info.update(seen=True), r"info\['seen'\]"),
        (lambda atoms: atoms.info["acepure.testing"]["list"].append(3), r"info\['acepure.testing'\]"),
        (lambda atoms: atoms.info.clear(), "info"),
        (lambda atoms: atoms.set_cell(2 * atoms.cell), "the cell"),
        (lambda atoms: atoms.set_pbc(False), "pbc"),
        (lambda atoms: atoms.set_constraint(FixAtoms([0])), "the constraints"),
        (lambda atoms: setattr(atoms, "calc", EMT()), "the calculator"),
    ],
)
def test_changes_are_caught_and_named(action, named):
    with pytest.raises(AssertionError, match=f"the call changed .*{named}"):
        assert_inputs_unchanged(changing(action), copper())


def test_values_of_the_structure_itself_are_caught():
    for wrong in (lambda atoms: atoms.positions, lambda atoms: atoms.cell.array[0], lambda atoms: atoms.numbers[1:]):
        with pytest.raises(AssertionError, match="share memory"):
            assert_inputs_unchanged(wrong, copper())


def test_values_of_a_cache_are_caught():
    cache = {}

    def wrong(atoms):
        return cache.setdefault(atoms.positions.tobytes(), descriptor(atoms))

    with pytest.raises(AssertionError, match="those of a cache"):
        assert_inputs_unchanged(wrong, copper())

    def right(atoms):
        values = wrong(atoms)
        values.flags.writeable = False
        return values

    cache.clear()
    assert_inputs_unchanged(right, copper())


def test_noise_is_caught():
    rng = np.random.default_rng(0)
    with pytest.raises(AssertionError, match="call 2 gives other bits"):
        assert_deterministic(lambda atoms: descriptor(atoms) * (1 + 1e-15 * rng.integers(1, 9)), copper())


def test_what_depends_on_the_call_before_is_caught():
    last = []

    def wrong(atoms):
        last.append(len(atoms))
        return descriptor(atoms) + 1e-9 * (last[-2] if len(last) > 1 else last[-1])

    assert_deterministic(wrong, copper(), workers=0)
    with pytest.raises(AssertionError, match="gives other bits"):
        assert_deterministic(wrong, [copper(), methane()], workers=0)


def test_a_late_change_is_caught():
    counter = itertools.count()
    with pytest.raises(AssertionError, match="call 3 gives other bits"):
        assert_deterministic(lambda atoms: np.array([float(next(counter) >= 2)]), water(), workers=0)


def test_other_ways_are_compared():
    with pytest.raises(AssertionError, match=r"same_as\[1\] gives other bits [\s\S]* values deviate"):
        assert_deterministic(descriptor, copper(), same_as=[descriptor, lambda atoms: descriptor(atoms) * (1 + 3e-16)])


def test_a_buffer_shared_by_threads_is_caught():
    buffer, present = np.empty(1), threading.Barrier(2)

    def wrong(atoms):
        buffer[0] = len(atoms)
        if threading.current_thread() is not threading.main_thread():
            present.wait(timeout=30)  # another thread has written too
            time.sleep(0.001)
        return buffer.copy()

    assert_deterministic(wrong, [copper(), water()], workers=0)
    with pytest.raises(AssertionError, match="while 2 threads were calling"):
        assert_deterministic(wrong, [copper(), water()], workers=2)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="calls must be an integer >= 2"):
        assert_deterministic(descriptor, copper(), calls=1)
    with pytest.raises(ValueError, match="at least"):
        assert_deterministic(descriptor, [])
    with pytest.raises(TypeError, match=r"function must take an ase\.Atoms"):
        assert_inputs_unchanged(None, copper())


def test_signs_of_zero_are_bits():
    with pytest.raises(AssertionError, match="another sign of zero"):
        assert_deterministic(lambda atoms: np.zeros(2), copper(), same_as=[lambda atoms: -np.zeros(2)])
