"""Functions for workers, which must find them by name, and data for tests of what workers compute."""

import os
import signal
import time
from pathlib import Path

import numpy as np
from ase.build import bulk
from cases.regression import E0S, known_model, labeled_by, strained_crystals

from acepure import ACEBasis
from acepure.fitting import resolve_weights
from acepure.fitting.design import Design


def tree_of(items):
    """What merging by list.append gives: the left part has the largest power of two below the number of items."""
    if len(items) == 1:
        return [items[0]]
    half = 1 << (len(items) - 1).bit_length() - 1
    return [*tree_of(items[:half]), tree_of(items[half:])]


def three_is_bad(batch):
    if batch[0] == 3:
        raise ValueError("structures[3]: no such thing")
    return batch


def killed_at_three(batch):
    if batch[0] == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return batch


def killed_once(folder, batch):
    """Batch 20 kills its worker when it is tried first."""
    marker = Path(folder, str(batch[0]))
    if batch[0] == 20 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return list(batch)


class Unpacked:
    """Knows whether it has been unpacked in this process and not been counted yet."""

    def __init__(self):
        self.fresh = False

    def __reduce__(self):
        return _unpacked, ()


def _unpacked():
    result = Unpacked()
    result.fresh = True
    return result


def counting(unpacked, batch):
    """1 after unpacking, else 0."""
    fresh, unpacked.fresh = unpacked.fresh, False
    return int(fresh)


def generator_of(batch):
    """What cannot be pickled."""
    return (item for item in batch)


def sleeping(folder, batch):
    """Leave the number of this process, and stay."""
    Path(folder, str(os.getpid())).touch()
    time.sleep(600)


def size_process_and_blas_threads(batch):
    """How much, where, and the largest number of BLAS threads during the work."""
    from threadpoolctl import threadpool_info

    blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return len(batch), os.getpid(), max(blas, default=1)


class Bar:
    """Counts what is done, and is asked by a generator how far it was read ahead."""

    def __init__(self):
        self.done = self.most_ahead = 0

    def update(self, n):
        self.done += n

    def batches(self, n):
        for k in range(n):
            self.most_ahead = max(self.most_ahead, k + 1 - self.done)
            yield [k]


def fitted_data():
    """A design of few columns, and structures for many batches of it."""
    basis = ACEBasis(["Cu", "Zr"], order=2, totaldegree=2)
    labeled = labeled_by(known_model(basis), strained_crystals(["Cu", "Zr"], 70), noise=0.01)
    return Design(basis, resolve_weights(), E0S), labeled


def crystals(n):
    """Rattled fcc copper."""
    structures = []
    for k in range(n):
        atoms = bulk("Cu", cubic=True) * 2
        atoms.rattle(0.1, seed=k)
        structures.append(atoms)
    return structures


def assert_same_errors(mine, theirs):
    """Labels and predictions are equal, bit by bit."""
    assert list(mine.groups) == list(theirs.groups)
    for name, group in mine.groups.items():
        assert list(group) == list(theirs.groups[name])
        for quantity, found in group.items():
            np.testing.assert_array_equal(found.true, theirs.groups[name][quantity].true)
            np.testing.assert_array_equal(found.predicted, theirs.groups[name][quantity].predicted)
