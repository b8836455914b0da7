"""How many threads the kernels take."""

from __future__ import annotations

import os

from acepure._utils.checks import count

#: Fewer centers than this are done sooner by one thread than another one wakes up.
CENTERS_PER_THREAD = 64

# Threads of OpenMP do not survive a fork: a child that asks for those its parent has woken waits for them forever.
_in_forked_child = False


def _note_fork() -> None:
    global _in_forked_child
    _in_forked_child = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


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
    """Return how many of the threads are worth waking for so many centers; 1 in a forked process."""
    if _in_forked_child:
        return 1
    return min(num_threads, 1 + n_centers // CENTERS_PER_THREAD)
