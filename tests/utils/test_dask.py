"""A Dask cluster gives the bits of one process, also when workers are killed; errors come through."""

import gc
import threading
import time
import warnings
from functools import partial

import ase.io
import numpy as np
import pytest
from cases.workers import (
    Bar,
    Unpacked,
    assert_same_errors,
    counting,
    fitted_data,
    killed_at_three,
    killed_once,
    three_is_bad,
    tree_of,
)

from acepure import LinearACE
from acepure._utils.workers import checked_workers, ordered_map, tree_reduce
from acepure.cli import main

dask = pytest.importorskip("dask", reason="dask is not installed")
distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed", "ignore:Creating scratch:UserWarning")


@pytest.fixture(scope="module")
def cluster():
    settings = {
        "distributed.scheduler.allowed-failures": 1,
        "distributed.comm.retry.count": 2,
        "distributed.comm.timeouts.connect": "3s",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with (
            dask.config.set(settings),
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
            ) as cluster,
        ):
            yield cluster
    collect_sockets()


def collect_sockets():
    """Those that Dask has left open are not found in a test of something else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster) as client:
        client.wait_for_workers(1, timeout=60)
        yield client
        deadline = time.monotonic() + 10  # released tasks are forgotten soon, not at once
        while client.run_on_scheduler(tasks) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not client.run_on_scheduler(tasks)
    collect_sockets()


def tasks(dask_scheduler):
    """What a run has left behind."""
    return list(dask_scheduler.tasks)


def numbers(n):
    return ([k] for k in range(n))


# --- order, reading, errors -----------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 8, 37])
def test_the_tree_is_that_of_one_process(client, n):
    assert tree_reduce(list, list.append, numbers(n), client) == tree_of(range(n))


def test_results_in_order(client):
    assert list(ordered_map(sum, numbers(20), client)) == list(range(20))
    assert tree_reduce(list, list.append, [], client) is None


def test_no_more_than_a_few_batches_are_read_ahead(client):
    bar = Bar()
    tree_reduce(list, list.append, bar.batches(50), client, bar=bar)
    assert bar.done == 50 and 2 <= bar.most_ahead <= 6 * 8


def test_errors_of_a_task_are_raised_as_they_are(client):
    for function in (partial(tree_reduce, three_is_bad, list.append), partial(ordered_map, three_is_bad)):
        with pytest.raises(ValueError, match=r"structures\[3\]: no such thing"):
            list(function(numbers(10), client))


def test_leaving_early_ends_the_work(client):
    results = ordered_map(list, numbers(1000), client)
    assert next(results) == [0]
    results.close()


def test_asynchronous_and_closed_clients_are_refused(cluster):
    client = distributed.Client(cluster)
    client.close()
    with pytest.raises(ValueError, match="got one that is closed"):
        checked_workers(client)


def test_functions_are_unpacked_once_per_worker(client):
    assert sum(ordered_map(partial(counting, Unpacked()), numbers(12), client)) <= 2


# --- the same bits --------------------------------------------------------------------------------------


def test_a_fit_has_the_same_bits(client, monkeypatch):
    monkeypatch.setattr("acepure.fitting.met.ATOMS", 50)
    monkeypatch.setattr("acepure.fitting.errors._ATOMS", 50)
    design, labeled = fitted_data()
    one, more = (LinearACE.fit(labeled, design.basis, workers=w, verbose=False) for w in (1, client))
    np.testing.assert_array_equal(one.coefficients, more.coefficients)
    np.testing.assert_array_equal(one.posterior, more.posterior)
    assert_same_errors(one.errors(labeled), more.errors(labeled, workers=client))


def test_the_command_line(client, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _, labeled = fitted_data()
    ase.io.write("train.extxyz", [item.atoms for item in labeled])
    options = "--order 2 --totaldegree 2 --no-figure"
    address = client.scheduler.address
    assert main(f"fit train.extxyz -o more.ace {options} --scheduler {address}".split()) == 0
    assert LinearACE.load("more.ace").report["summary"]
    with dask.config.set({"distributed.comm.timeouts.connect": "200ms"}):
        assert main(f"fit train.extxyz -o no.ace {options} --scheduler tcp://127.0.0.1:1".split()) == 2
    assert "--scheduler tcp://127.0.0.1:1: no scheduler answers there" in capsys.readouterr().err
    assert main(f"fit train.extxyz -o no.ace {options} --jobs 2 --scheduler {address}".split()) == 2


# --- the end of the cluster -----------------------------------------------------------------------------


def test_a_lost_cluster_is_reported():
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0", silence_logs=50
    ) as cluster:
        client = distributed.Client(cluster)

        def closing():
            yield from numbers(5)
            cluster.close()
            yield [5]

        with pytest.raises(ConnectionError, match="cluster was lost"):
            tree_reduce(list, list.append, closing(), client)
        client.close()


def test_a_cluster_without_workers_is_spoken_of(monkeypatch):
    """The client waits, and says so; work goes on with the first worker."""
    monkeypatch.setattr("acepure._utils.workers.cluster._PATIENCE", 0.2)
    with (
        distributed.LocalCluster(
            n_workers=0, threads_per_worker=1, processes=False, dashboard_address=":0", silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        with pytest.warns(RuntimeWarning, match="has no workers; waiting"):
            helper = threading.Timer(1.0, cluster.scale, [1])
            helper.start()
            assert list(ordered_map(sum, numbers(2), client)) == [0, 1]
            helper.join()


# --- killed workers -------------------------------------------------------------------------------------


def test_a_worker_killed_at_work(client, tmp_path):
    assert tree_reduce(partial(killed_once, tmp_path), list.append, numbers(40), client) == tree_of(range(40))
    assert {path.name for path in tmp_path.iterdir()} == {"20"}


def test_a_batch_that_kills_every_worker_is_given_up(client):
    with pytest.raises(ChildProcessError, match="ended several workers"):
        tree_reduce(killed_at_three, list.append, numbers(10), client)
