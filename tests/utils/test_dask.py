"""A Dask cluster gives the bits of one process, also when workers are killed; errors come through."""

import os
import signal
import time
import warnings
from functools import partial

import ase.io
import numpy as np
import pytest
from cases.workers import (
    Bar,
    assert_same_errors,
    crystals,
    fitted_data,
    killed_at_three,
    killed_once,
    three_is_bad,
    tree_of,
)

from acepure import ACEBasis, LinearACE, MeanCovariance
from acepure._utils.workers import checked_workers, ordered_map, tree_reduce
from acepure.cli import main
from acepure.diagnostics import conditioning
from acepure.fitting.design import assemble

dask = pytest.importorskip("dask", reason="dask is not installed")
distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed", "ignore:Creating scratch:UserWarning")


@pytest.fixture(scope="module")
def cluster():
    settings = {"distributed.scheduler.allowed-failures": 1, "distributed.comm.retry.count": 2}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with (
            dask.config.set(settings),
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
            ) as cluster,
        ):
            yield cluster


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster) as client:
        client.wait_for_workers(2, timeout=60)
        yield client
        deadline = time.monotonic() + 10  # released tasks are forgotten soon, not at once
        while client.run_on_scheduler(tasks_and_plugins) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not client.run_on_scheduler(tasks_and_plugins)


def tasks_and_plugins(dask_scheduler):
    """What a run has left behind."""
    return [*dask_scheduler.tasks, *(name for name in dask_scheduler.worker_plugins if name.startswith("acepure"))]


def numbers(n):
    return ([k] for k in range(n))


# --- order, reading, errors -----------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 5, 16, 37, 53])
def test_the_tree_is_that_of_one_process(client, n):
    assert tree_reduce(list, list.append, numbers(n), client) == tree_of(range(n))


def test_results_in_order(client):
    assert list(ordered_map(sum, numbers(20), client)) == list(range(20))
    assert tree_reduce(list, list.append, [], client) is None


def test_no_more_than_a_few_batches_are_read_ahead(client):
    bar = Bar()
    tree_reduce(list, list.append, bar.batches(50), client, bar=bar)
    assert bar.done == 50 and 2 <= bar.most_ahead <= 6


def test_the_scheduler_forgets_subtrees(client):
    most = []

    def watched():
        for k in range(100):
            most.append(client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)))
            yield [k]

    tree_reduce(list, list.append, watched(), client)
    # Leaves and merges of two subtrees of 16, and six leaves more.
    assert max(most) <= 2 * 31 + 6 + 16


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


# --- the same bits --------------------------------------------------------------------------------------


def test_a_fit_has_the_same_bits(client, monkeypatch):
    monkeypatch.setattr("acepure.references.density._ATOMS", 50)
    monkeypatch.setattr("acepure.fitting.errors._ATOMS", 50)
    design, labeled = fitted_data()
    one, more = (LinearACE.fit(labeled, design.basis, workers=w, verbose=False) for w in (1, client))
    np.testing.assert_array_equal(one.coefficients, more.coefficients)
    np.testing.assert_array_equal(one.posterior, more.posterior)
    assert_same_errors(one.errors(labeled), more.errors(labeled, workers=client))


def test_conditioning_and_references_have_the_same_bits(client):
    basis = ACEBasis(["Cu"], order=2, totaldegree=3)
    one, more = (conditioning(basis, iter(crystals(20)), workers=w) for w in (1, client))
    np.testing.assert_array_equal(one.R, more.R)
    given = {"atoms_per_structure": 20, "whitened": False}
    one, more = (MeanCovariance.from_structures(crystals(10), basis, workers=w, **given) for w in (1, client))
    assert one == more


def test_the_command_line(client, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _, labeled = fitted_data()
    ase.io.write("train.extxyz", [item.atoms for item in labeled])
    options = "--order 2 --totaldegree 2 --no-figure"
    assert main(f"fit train.extxyz -o one.ace {options}".split()) == 0
    address = client.scheduler.address
    assert main(f"fit train.extxyz -o more.ace {options} --scheduler {address}".split()) == 0
    one, more = (LinearACE.load(name) for name in ("one.ace", "more.ace"))
    np.testing.assert_array_equal(one.coefficients, more.coefficients)
    with dask.config.set({"distributed.comm.timeouts.connect": "200ms"}):
        assert main(f"fit train.extxyz -o no.ace {options} --scheduler tcp://127.0.0.1:1".split()) == 2
    assert "--scheduler tcp://127.0.0.1:1: no scheduler answers there" in capsys.readouterr().err
    assert main(f"fit train.extxyz -o no.ace {options} --jobs 2 --scheduler {address}".split()) == 2


# --- killed workers -------------------------------------------------------------------------------------


def test_workers_killed_at_work(client, tmp_path):
    assert tree_reduce(partial(killed_once, tmp_path), list.append, numbers(40), client) == tree_of(range(40))
    assert {path.name for path in tmp_path.iterdir()} == {"3", "20"}


class Killing(list):
    """Structures; when one is reached, a worker is killed, with the results that it holds."""

    def __init__(self, items, client, at):
        super().__init__(items)
        self.client, self.at, self.killed = client, at, None

    def __iter__(self):
        for k, item in enumerate(super().__iter__()):
            if k == self.at:
                held = self.client.run(lambda dask_worker: (os.getpid(), len(dask_worker.data)))
                self.killed, _ = max(held.values(), key=lambda found: found[1])
                os.kill(self.killed, signal.SIGKILL)
            yield item


def test_a_worker_killed_in_the_middle_of_a_fit(client, monkeypatch):
    design, labeled = fitted_data()
    expected = LinearACE.fit(labeled, design.basis, verbose=False)
    dying = []

    def assemble_and_kill(design, labeled, **arguments):
        dying.append(Killing(labeled, client, 45))
        return assemble(design, dying[0], **arguments)

    monkeypatch.setattr("acepure.fitting.fit.assemble", assemble_and_kill)
    found = LinearACE.fit(labeled, design.basis, workers=client, verbose=False)
    np.testing.assert_array_equal(found.coefficients, expected.coefficients)
    assert dying[0].killed
    client.wait_for_workers(2, timeout=60)
    assert dying[0].killed not in client.run(os.getpid).values()


def test_a_batch_that_kills_every_worker_is_given_up(client):
    with pytest.raises(ChildProcessError, match="ended several workers"):
        tree_reduce(killed_at_three, list.append, numbers(10), client)


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


def test_a_store_of_features_has_the_same_bytes(client, tmp_path):
    pytest.importorskip("zarr", minversion="3.1.3", reason="Zarr 3 is not installed")
    from acepure.features.store import write_features

    basis, structures = ACEBasis(["Cu"], order=2, totaldegree=4), crystals(8)
    stores = [
        write_features(tmp_path / name, basis, structures, workers=workers, rows_per_chunk=16)
        for name, workers in (("one.zarr", 1), ("many.zarr", client))
    ]
    assert all(store.is_complete for store in stores)
    files = [
        sorted(path.relative_to(store.path) for path in store.path.rglob("*") if path.is_file()) for store in stores
    ]
    assert files[0] == files[1] and len(files[0]) > 5
    for name in files[0]:
        assert (stores[0].path / name).read_bytes() == (stores[1].path / name).read_bytes()
