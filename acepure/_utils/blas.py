"""One BLAS thread, for sums that have the same last bits everywhere."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any


def one_blas_thread() -> Any:
    """Return a context in which BLAS has one thread: sums by several may end in other bits.

    Examples
    --------
    >>> import numpy as np
    >>> with one_blas_thread():
    ...     float(np.ones(3) @ np.ones(3))
    3.0
    """
    return _controller().limit(limits=1, user_api="blas")


@cache
def _controller() -> Any:
    import scipy.linalg  # noqa: F401  its BLAS must be loaded to be found by the controller
    from threadpoolctl import ThreadpoolController

    # It looks for libraries in a callback from C, where a KeyboardInterrupt would be lost; other threads get none.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(ThreadpoolController).result()
