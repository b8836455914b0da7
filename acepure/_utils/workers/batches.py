"""Batches of structures that the data alone decide, the names of structures in errors, and progress bars."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any, TypeVar

from ase import Atoms
from tqdm import tqdm

__all__ = ["batched", "naming_structure", "structure_bar"]

Item = TypeVar("Item")


def batched(items: Iterable[Item], size: Callable[[Item], float], least: float) -> Iterator[list[tuple[int, Item]]]:
    """Yield consecutive items with their numbers, counted from 0, in lists of total size >= `least`.

    The last list may be smaller; none is empty.

    Parameters
    ----------
    items : iterable
        A generator is read one list at a time.
    size : callable
        Of one item.
    least : float

    Examples
    --------
    >>> list(batched(["a", "bcd", "e"], len, 3))
    [[(0, 'a'), (1, 'bcd')], [(2, 'e')]]
    """
    batch, total = [], 0.0
    for number, item in enumerate(items):
        batch.append((number, item))
        total += size(item)
        if total >= least:
            yield batch
            batch, total = [], 0.0
    if batch:
        yield batch


@contextmanager
def naming_structure(number: int) -> Iterator[None]:
    """Errors in this block say which structure it was; they stay what they are otherwise.

    Parameters
    ----------
    number : int
        Counted from 0.

    Examples
    --------
    >>> with naming_structure(3):
    ...     raise ValueError("no atoms")
    Traceback (most recent call last):
        ...
    ValueError: structures[3]: no atoms
    """
    try:
        yield
    except Exception as error:
        error.args = (f"structures[{number}]: {error}", *error.args[1:])
        raise


def structure_bar(description: str, structures: Any, progress: bool | None) -> tqdm:
    """Return a progress bar for structures, of known length where they have one.

    Parameters
    ----------
    description : str
    structures : ase.Atoms or iterable
    progress : bool, optional
        Show it; default: when writing to a terminal.

    Examples
    --------
    >>> structure_bar("fit rows", [Atoms("Cu"), Atoms("Zr")], False).total
    2
    """
    n = 1 if isinstance(structures, Atoms) else len(structures) if isinstance(structures, Sized) else None
    return tqdm(total=n, desc=description, unit="structure", disable=None if progress is None else not progress)
