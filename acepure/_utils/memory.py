"""How much memory there is, and refusal of arrays that would not fit."""

from __future__ import annotations

import math
import os


def refuse_larger(name: str, shape: tuple[int, ...], limit: float, advice: str) -> None:
    """Raise unless a float64 array fits into `limit` bytes, before it is made.

    Parameters
    ----------
    name : str
        What the array is, for the message.
    shape : tuple of int
    limit : float
        Bytes.
    advice : str
        What else to do; ends the message.

    Raises
    ------
    ValueError
        With shape and size.

    Examples
    --------
    >>> refuse_larger("a table", (1000, 1000), 4e6, "take fewer rows")
    Traceback (most recent call last):
        ...
    ValueError: a table of shape (1000, 1000) needs 0.00745 GiB, more than the limit of 0.00373 GiB; take fewer rows
    """
    n_bytes = 8 * math.prod(shape)
    if n_bytes > limit:
        raise ValueError(
            f"{name} of shape {shape} needs {n_bytes / 2**30:.3g} GiB, more than the limit of {limit / 2**30:.3g} GiB; "
            f"{advice}"
        )


def physical_memory() -> float:
    """Bytes of physical memory; infinite where the system does not tell."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return math.inf
