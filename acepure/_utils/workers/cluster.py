"""A Dask cluster that applies one function to what it is sent.

A task is bytes: the function, which a worker unpacks once, and its batch. So what a killed worker had is computed again
by others, also by those that join later.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from functools import lru_cache
from math import inf
from threading import Timer
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from distributed import Client, Future

# Seconds without workers after which the user hears of it.
_PATIENCE = 30.0


class Cluster:
    """A client of Dask and the function of one run.

    Parameters
    ----------
    client : distributed.Client
    function : callable
        Of one batch.
    """

    def __init__(self, client: Client, function: Callable[..., Any]) -> None:
        import cloudpickle  # comes with Dask; takes functions of scripts too

        self._client, self._function = client, cloudpickle.dumps(function)
        self._n_workers, self._counted = 1, -inf
        self._futures: WeakSet[Future] = WeakSet()  # weak: a future that is gone frees its result

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: Any) -> None:
        """Cancel what is not done."""
        try:
            if self._client.status == "running":
                self._client.cancel(list(self._futures))
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
        with self._explained(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
            future = self._client.submit(_apply, self._function, pickle.dumps(batch), pure=False)
        self._futures.add(future)
        return future

    def result(self, future: Future) -> Any:
        """Return what a future holds when it is there, or raise the error; warn when nobody works on it."""
        timer = Timer(_PATIENCE, self._warn_without_workers)
        timer.daemon = True
        timer.start()
        try:
            with self._explained():
                return future.result()
        finally:
            timer.cancel()

    def _warn_without_workers(self) -> None:
        if self._client.status == "running" and not self._client.nthreads():
            warnings.warn("the Dask cluster has no workers; waiting for new ones", RuntimeWarning, stacklevel=2)

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


def _apply(function: bytes, batch: bytes) -> Any:
    return _loaded(function)(pickle.loads(batch))


@lru_cache(maxsize=2)
def _loaded(function: bytes) -> Callable[..., Any]:
    return pickle.loads(function)
