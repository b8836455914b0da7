"""A Dask cluster that applies one function to what it is sent, and merges there.

The functions are with every worker, also with those that join later or replace a killed one: a worker plugin carries
them, which the scheduler gives to each worker once and before any task. (A scattered copy is lost with the one worker
that holds it; a copy in each task would be sent with each batch.) Tasks hold their batches as bytes, until results have
been merged and taken, so that what a killed worker had is computed again.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from copy import deepcopy
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from weakref import WeakSet

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["Cluster"]

# What a worker applies and merges with, by the name of the run.
_FUNCTIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any] | None]] = {}


class Cluster:
    """A client of Dask and the functions of one run.

    Parameters
    ----------
    client : distributed.Client
    function : callable
        Of one batch.
    merge : callable, optional
        Adds the second of two results to the first.
    """

    def __init__(self, client: Client, function: Callable[..., Any], merge: Callable[..., Any] | None = None) -> None:
        self._client, self._name = client, f"acepure-{uuid4().hex}"
        self._n_workers, self._counted = 1, -inf
        self._futures: WeakSet[Future] = WeakSet()  # weak: a future that is gone frees its result
        with self._explained():
            client.register_plugin(_plugin(self._name, function, merge), name=self._name)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: Any) -> None:
        """Cancel what is not done, and take the functions from the workers."""
        if self._client.status != "running":
            return
        try:
            self._client.cancel(list(self._futures))
            self._client.unregister_worker_plugin(self._name)
        except (OSError, TimeoutError):  # a worker or the scheduler is just going
            pass

    @property
    def n_workers(self) -> int:
        """Threads of all workers, of a second ago at most; at least 1, as some clusters start workers when asked."""
        if monotonic() > self._counted + 1.0:
            with self._explained():
                self._n_workers = max(1, sum(self._client.nthreads().values()))
            self._counted = monotonic()
        return self._n_workers

    def submit(self, batch: Sequence[Any]) -> Future:
        """Return the future of function(batch)."""
        # As bytes, because the scheduler would look into lists, and needs none of what is in them.
        return self._submit(_leaf, pickle.dumps(batch))

    def merge(self, mine: Future, other: Future) -> Future:
        """Return the future of `mine` with `other` merged into it."""
        # Before any batch that waits: two results become one, and no new one comes.
        return self._submit(_merged, mine, other, priority=1)

    def _submit(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Future:
        with self._explained(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
            future = self._client.submit(function, self._name, *arguments, pure=False, **options)
        self._futures.add(future)
        return future

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say plainly that workers or the cluster are lost; errors of tasks stay as they are."""
        from distributed.scheduler import KilledWorker

        try:
            yield
        except KilledWorker as error:
            message = f"the same batch ended several workers of the cluster, maybe for want of memory: {error}"
            raise ChildProcessError(message) from error
        except Exception as error:
            if isinstance(error, CancelledError) or self._client.status != "running":
                raise ConnectionError(f"the Dask cluster was lost, or its tasks were canceled: {error}") from error
            raise

    def wait(self, future: Future) -> None:
        """Wait until a future is done; raise its error."""
        from distributed import wait

        with self._explained():
            wait(future)
            if future.status != "finished":
                future.result()

    def result(self, future: Future) -> Any:
        """Return what a future holds when it is there, or raise the error."""
        with self._explained():
            return future.result()


def _plugin(name: str, function: Callable[..., Any], merge: Callable[..., Any] | None) -> Any:
    from distributed import WorkerPlugin

    class Functions(WorkerPlugin):
        # Imported, because a class within a function travels with copies of the globals that it uses.
        def setup(self, worker: Any) -> None:
            from acepure._utils.workers.cluster import _FUNCTIONS

            _FUNCTIONS[name] = function, merge

        def teardown(self, worker: Any) -> None:
            from acepure._utils.workers.cluster import _FUNCTIONS

            _FUNCTIONS.pop(name, None)

    return Functions()


def _leaf(name: str, batch: bytes) -> Any:
    return _FUNCTIONS[name][0](pickle.loads(batch))


def _merged(name: str, mine: Any, other: Any) -> Any:
    # A copy, because the worker may be asked again for what it holds.
    mine = deepcopy(mine)
    merge = _FUNCTIONS[name][1]
    assert merge is not None
    merge(mine, other)
    return mine
