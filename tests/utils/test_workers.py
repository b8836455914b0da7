"""Order, trees, bounded reading, errors and ends of work in this process and in others; the same bits from both."""

import math
import multiprocessing
import os
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from cases.processes import running
from cases.regression import known_model, labeled_by
from cases.workers import (
    Bar,
    crystals,
    fitted_data,
    generator_of,
    killed_at_three,
    size_process_and_blas_threads,
    three_is_bad,
    tree_of,
)

from acepure import ACEBasis, LinearACE, RadialDensity
from acepure._utils.tall_qr import RFactor
from acepure._utils.workers import batched, checked_workers, kernel_threads, ordered_map, tree_reduce
from acepure.fitting.design import assemble, reduce_batch


def numbers(n):
    return ([k] for k in range(n))


# --- trees and order ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 17, 31, 33, 53, 64, 100])
def test_the_tree_is_that_of_the_number_of_batches(n):
    assert tree_reduce(list, list.append, numbers(n)) == tree_of(range(n))


def test_one_batch_is_done_here_and_several_elsewhere():
    here = list(ordered_map(size_process_and_blas_threads, [[0, 1]], 2))
    there = list(ordered_map(size_process_and_blas_threads, [[0], [1, 2]], 2))
    assert here == [(2, os.getpid(), 1)]
    assert [(size, threads) for size, _, threads in there] == [(1, 1), (2, 1)]
    assert os.getpid() not in {process for _, process, _ in there}
    assert kernel_threads(1, None) is None and kernel_threads(1, 3) == 3 and kernel_threads(2, 3) == 1


def test_nothing_to_do():
    assert tree_reduce(list, list.append, [], 2) is None
    assert list(ordered_map(list, [], 2)) == []


def test_the_tree_is_any_order_to_rounding():
    """R of a tree, of all rows in a row, and of the rows in reverse."""
    rows = np.random.default_rng(0).normal(size=(900, 5)) * [1, 10, 1e-3, 1e4, 1]

    def factor(part):
        result = RFactor(5)
        result.add(part)
        return result

    tree = tree_reduce(factor, RFactor.merge, np.array_split(rows, 13))
    scale = np.linalg.norm(rows, axis=0)
    for other in (rows, rows[::-1]):
        np.testing.assert_allclose(tree.R / scale, factor(other).R / scale, rtol=0, atol=1e-14)
    assert tree.n_rows == 900


@pytest.mark.parametrize("least", [1, 2.5, 7, 100])
def test_batches_have_the_size_and_hold_everything(least):
    sizes = [3, 1, 1, 4, 2, 0, 5, 1]
    batches = list(batched(iter(sizes), lambda size: size, least))
    assert [item for batch in batches for item in batch] == list(enumerate(sizes))
    for batch in batches[:-1]:
        assert sum(size for _, size in batch) >= least > sum(size for _, size in batch[:-1])


# --- reading --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers, most", [(1, 1), (2, 6)])
def test_the_same_tree_with_no_more_than_a_few_batches_read_ahead(workers, most):
    bar = Bar()
    assert tree_reduce(list, list.append, bar.batches(21), workers, bar=bar) == tree_of(range(21))
    assert bar.most_ahead == most and bar.done == 21


def test_work_begins_when_results_are_taken():
    bar = Bar()
    results = ordered_map(sum, bar.batches(5))
    assert bar.most_ahead == 0
    assert next(results) == 0 and bar.most_ahead == 1


def test_batches_may_come_from_a_generator_without_end():
    def forever():
        k = 0
        while True:
            yield [k]
            k += 1

    results = ordered_map(sum, forever(), 2)
    assert [next(results) for _ in range(20)] == list(range(20))
    results.close()
    assert not multiprocessing.active_children()


# --- errors and ends ------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_of_a_task_are_raised_as_they_are(workers):
    with pytest.raises(ValueError, match=r"structures\[3\]: no such thing"):
        tree_reduce(three_is_bad, list.append, numbers(10), workers)
    assert not multiprocessing.active_children()


def test_a_fit_names_a_bad_structure():
    structures = crystals(3)
    for k, atoms in enumerate(structures):
        atoms.info["energy"] = float(k)
    structures[2].positions[1] = structures[2].positions[0]
    with pytest.raises(ValueError, match=r"structures\[2\]: atom 0 .* are at the same place"):
        LinearACE.fit(structures, ACEBasis(["Cu"], order=1, totaldegree=2), progress=False)


def test_errors_of_the_generator_end_the_processes():
    def broken():
        yield from numbers(4)
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        tree_reduce(list, list.append, broken(), 2)
    assert not multiprocessing.active_children()


def test_a_killed_process_is_reported():
    with pytest.raises(ChildProcessError, match="ended without an answer"):
        tree_reduce(killed_at_three, list.append, numbers(10), 2)
    assert not multiprocessing.active_children()


def test_functions_and_results_that_cannot_be_sent():
    with pytest.raises(Exception, match=r"pickle|local object"):
        list(ordered_map(lambda batch: batch, numbers(3), 2))
    with pytest.raises(TypeError, match="the result cannot be sent"):
        list(ordered_map(generator_of, numbers(3), 2))
    assert not multiprocessing.active_children()


_INTERRUPTED = """
import sys
from functools import partial
from cases.workers import sleeping
from acepure._utils.workers import ordered_map

if __name__ == "__main__":
    list(ordered_map(partial(sleeping, sys.argv[1]), [[0], [1], [2]], 2))
"""


def test_an_interrupt_ends_all_processes(tmp_path):
    (tmp_path / "pids").mkdir()
    path = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parents[2])])
    environment = {**os.environ, "PYTHONPATH": path}
    with running(_INTERRUPTED, tmp_path / "pids", env=environment, start_new_session=True) as program:
        while len(found := list((tmp_path / "pids").iterdir())) < 2:
            assert program.poll() is None
            time.sleep(0.05)
        os.killpg(program.pid, signal.SIGINT)  # as Ctrl-C does: all of them
        _, errors = program.communicate(timeout=60)
    assert program.returncode and b"KeyboardInterrupt" in errors
    for pid in found:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.name), 0)


@pytest.mark.parametrize("wrong", ["2", 2.0, None, True, 0, -1])
def test_wrong_workers(wrong):
    kind = ValueError if isinstance(wrong, int) and not isinstance(wrong, bool) else TypeError
    basis = ACEBasis(["Cu"], order=1)
    with pytest.raises(kind, match="workers must be an integer >= 1"):
        checked_workers(wrong)
    with pytest.raises(kind, match="workers must be"):
        ordered_map(list, [], wrong)
    with pytest.raises(kind, match="workers must be"):
        LinearACE.fit(labeled_by(known_model(basis), crystals(1)), basis, workers=wrong)


# --- what is computed -----------------------------------------------------------------------------------


def test_a_fit_has_the_same_bits(monkeypatch):
    monkeypatch.setattr("acepure.fitting.met.ATOMS", 50)
    design, labeled = fitted_data()
    assert math.ceil(sum(map(design.n_rows, labeled)) / (8 * design.n_columns)) > 5
    one, two = (LinearACE.fit(labeled, design.basis, workers=n, verbose=False) for n in (1, 2))
    np.testing.assert_array_equal(one.coefficients, two.coefficients)
    np.testing.assert_array_equal(one.posterior, two.posterior)
    assert one.basis == two.basis


def test_parts_of_a_density_count_as_the_whole(monkeypatch):
    structures = crystals(6)
    whole = RadialDensity.from_structures(structures, 5.0).measures["Cu", "Cu"]
    monkeypatch.setattr("acepure.references.density.ATOMS", 50)
    parts = RadialDensity.from_structures(structures, 5.0).measures["Cu", "Cu"]
    np.testing.assert_array_equal(parts.weights, whole.weights)
    np.testing.assert_allclose(parts.nodes, whole.nodes, rtol=1e-14)


def test_errors_name_the_structure():
    design, labeled = fitted_data()
    items = list(labeled)
    two = Atoms("Cu2", [[0, 0, 0], [0, 0, 0]])
    items[5] = type(items[5])(two, forces=np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"structures\[5\]: .*[Aa]tom"):
        assemble(design, items)
    with pytest.raises(ValueError, match=r"structures\[7\]: "):
        partial(reduce_batch, design)([(7, items[5])])
