"""Threads: how many are worth waking, and what forked processes take."""

import os
import subprocess
import sys

import pytest

from acepure._utils import threads
from acepure._utils.threads import CENTERS_PER_THREAD, resolve_num_threads, useful_threads

FORKED = """
import multiprocessing
import numpy as np
from ase.build import bulk
from acepure import ACEBasis, LinearFunction, VerletList, pullback, summed_gradients

basis = ACEBasis(["Cu"], order=2, totaldegree=3)
atoms = bulk("Cu", cubic=True) * 5
atoms.rattle(0.1, seed=0)
function, verlet = LinearFunction(basis, np.ones(len(basis))), VerletList(basis, num_threads=4)
verlet.update(atoms)

def results(*_):
    forces = function.evaluate_with_gradients(atoms, num_threads=4).forces
    pulled = pullback(basis, atoms, np.ones((len(atoms), len(basis))), num_threads=4)[0]
    summed = summed_gradients(basis, atoms, num_threads=4).positions
    return [basis.descriptors(atoms, num_threads=4), forces, pulled, summed, verlet.update(atoms).vectors]

expected = results()
with multiprocessing.get_context("fork").Pool(1) as pool:
    found = pool.map(results, [0])[0]
print(all(map(np.array_equal, expected, found)))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is a call of POSIX systems")
def test_forked_processes_compute_the_same():
    """OpenMP's threads stay with the parent; a child that woke them would wait forever."""
    program = [sys.executable, "-W", "ignore", "-c", FORKED]
    found = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert found.stdout == "True\n", found.stderr


def test_threads_that_are_worth_waking(monkeypatch):
    assert [useful_threads(n * CENTERS_PER_THREAD, 4) for n in (0, 1, 2, 3, 9)] == [1, 2, 3, 4, 4]
    monkeypatch.setattr(threads, "_in_forked_child", True)
    assert useful_threads(10**6, 4) == 1 and resolve_num_threads(4) == 4
