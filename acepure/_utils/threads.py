"""How many threads the kernels take."""

from __future__ import annotations

import os

from acepure._utils.checks import count

__all__ = ["CENTERS_PER_THREAD", "resolve_num_threads", "useful_threads"]

#: Fewer centers than this are done sooner by one thread than another one wakes up.
CENTERS_PER_THREAD = 64


def resolve_num_threads(num_threads: int | None) -> int:
    """Return the number of threads: the argument, else ACEPURE_NUM_THREADS, else OMP_NUM_THREADS, else all cores."""
    if num_threads is not None:
        return count("num_threads", num_threads)
    for variable in ("ACEPURE_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(variable, "").strip()
        if value.isdigit() and int(value) > 0:
            return int(value)
        if value and variable == "ACEPURE_NUM_THREADS":
            raise ValueError(f"the environment variable {variable} must be a positive integer; got {value!r}")
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def useful_threads(n_centers: int, num_threads: int) -> int:
    """Return how many of the threads are worth waking for so many centers."""
    return min(num_threads, 1 + n_centers // CENTERS_PER_THREAD)
