"""What may be given as `workers`, and the threads of one."""

from __future__ import annotations

import sys
from numbers import Integral
from typing import TYPE_CHECKING, Any, TypeVar, Union

from acepure._utils.checks import count

if TYPE_CHECKING:
    from distributed import Client

#: How many processes, or a Dask cluster.
Workers = Union[int, "Client"]  # Client is known where it was imported

Threads = TypeVar("Threads", int, "int | None")


def checked_workers(workers: Any) -> Workers:
    """Return `workers` if it is a number of processes or a connected, synchronous client of Dask.

    Examples
    --------
    >>> checked_workers(2)
    2
    """
    if isinstance(workers, Integral):
        return count("workers", workers)
    distributed = sys.modules.get("distributed")  # whoever has a client has imported it
    if distributed is None or not isinstance(workers, distributed.Client):
        raise TypeError(
            'workers must be an integer >= 1 or a dask.distributed.Client (pip install "acepure[dask]"); '
            f"got {workers!r} of type {type(workers).__name__}"
        )
    if workers.asynchronous or workers.status != "running":
        state = "asynchronous" if workers.asynchronous else workers.status
        raise ValueError(f"workers must be a synchronous client of a running cluster; got one that is {state}")
    return workers


def kernel_threads(workers: Workers, num_threads: Threads) -> Threads:
    """Return the threads that kernels may use: `num_threads` in this process alone, else one per worker.

    Examples
    --------
    >>> kernel_threads(1, 4), kernel_threads(2, 4)
    (4, 1)
    """
    return num_threads if isinstance(workers, Integral) and workers == 1 else 1
