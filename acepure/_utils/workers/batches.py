"""Batches of structures that the data alone decide, the names of structures in errors, and progress bars."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from time import perf_counter
from typing import Any, TypeVar

from ase import Atoms
from tqdm import tqdm

from acepure._utils.messages import shown

_log = logging.getLogger(__name__)

Item = TypeVar("Item")

# Seconds without a line.
_SILENCE = 30.0


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


def structure_bar(description: str, structures: Any, progress: bool | None) -> Any:
    """Return a progress bar for structures, of known length where they have one.

    What does not write to a terminal gets a line every half minute in its place, with the messages of a fit or else on
    stderr, unless `progress` is False.

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
    if progress is None and not sys.stderr.isatty():
        return _Lines(description, n)
    return tqdm(total=n, desc=description, unit="structure", disable=None if progress is None else not progress)


class _Lines:
    """In place of a bar: how far things are, and how long still, when half a minute has passed."""

    def __init__(self, title: str, expected: int | None) -> None:
        self.title, self.expected, self.done = title, expected, 0
        self.begun = self.said = perf_counter()

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def close(self) -> None:
        pass

    def update(self, n: int = 1) -> None:
        self.done += n
        now = perf_counter()
        if now - self.said < _SILENCE:
            return
        self.said = now
        taken = now - self.begun
        line = f"{self.title}: {self.done:,} structures in {taken:.0f} s"
        if self.expected and self.done:
            line = f"{self.title}: {self.done:,} of {self.expected:,} structures in {taken:.0f} s, about "
            line += f"{taken * (self.expected - self.done) / self.done:.0f} s to go"
        with shown(sys.stderr):
            _log.info(line)
