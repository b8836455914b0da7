"""Results in the order of the batches, and their reduction by a tree, whoever works.

Batches may come from a generator of more than fits in memory: no more than three per worker are read ahead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import chain, islice
from typing import Any, TypeVar

from tqdm import tqdm

from acepure._utils.blas import one_blas_thread
from acepure._utils.workers.choice import Workers, checked_workers
from acepure._utils.workers.cluster import Cluster
from acepure._utils.workers.processes import Processes

Result = TypeVar("Result")

# So many batches per worker are with the workers, or on the way to and from them.
_AHEAD = 3
# So many batches are one task of a reduction on a cluster; a power of two, so that the tree is the same.
_SUBTREE = 8


def ordered_map(
    function: Callable[[Any], Result],
    batches: Iterable[Sequence[Any]],
    workers: Workers = 1,
    *,
    bar: tqdm | None = None,
) -> Generator[Result, None, None]:
    """Yield function(batch) of each batch, in order.

    Parameters
    ----------
    function : callable
        With everything it needs that is no batch, as a `functools.partial`: it is sent to each worker once. For more
        than one worker it must be possible to pickle it, and it should use one thread, see `kernel_threads`.
    batches : iterable of sequences
        Read while results are taken, three per worker ahead of them.
    workers : int or dask.distributed.Client
        1 works in this process; more are new processes, if there is more than one batch. A script must protect its
        entry point then, with ``if __name__ == "__main__":``. On a cluster, results that were not taken yet are in the
        memory of its workers.
    bar : tqdm, optional
        Moves on by len(batch) when a batch is done.

    Raises
    ------
    TypeError, ValueError
        For `workers` that are none, at once.
    ChildProcessError, ConnectionError
        If processes or the cluster are lost.

    Notes
    -----
    An error of the function is raised here, as it is, and ends the work. Whoever leaves the loop earlier ends the work
    by closing the iterator, for example with `contextlib.closing`.

    Examples
    --------
    >>> list(ordered_map(sum, [[1, 2], [3]]))
    [3, 3]
    """
    return _mapped(function, batches, checked_workers(workers), bar)


def tree_reduce(
    function: Callable[[Any], Result],
    merge: Callable[[Result, Result], None],
    batches: Iterable[Sequence[Any]],
    workers: Workers = 1,
    *,
    bar: tqdm | None = None,
) -> Result | None:
    """Return all function(batch) merged in pairs, earlier ones on the left; None without batches.

    As in a binary counter, two parts of equally many batches are merged as soon as they are there; at the end what is
    left over, from the smallest to the largest. About log2(number of batches) parts are in memory.

    Parameters
    ----------
    function, batches, workers, bar
        As in `ordered_map`.
    merge : callable
        merge(a, b) adds the result `b` to the result `a`, which stands to its left, and leaves `b` as it is.

    Notes
    -----
    On a cluster 8 batches at a time are merged there, and their results here. Processes merge nothing; this one does.

    Examples
    --------
    >>> tree_reduce(list, list.append, ["a", "b", "c", "d", "e"])
    ['a', ['b'], ['c', ['d']], ['e']]
    """
    workers, tree = checked_workers(workers), _Tree(merge)
    # Whole subtrees on a cluster, so that the client is not the only one that merges; the tree is the same.
    size = 1 if isinstance(workers, int) else _SUBTREE
    with closing(_mapped(partial(_subtree, function, merge), _grouped(batches, size), workers, bar)) as results:
        for result in results:
            with one_blas_thread():
                tree.add(result)
    with one_blas_thread():
        return tree.taken()


def _subtree(
    function: Callable[[Any], Result], merge: Callable[[Result, Result], None], batches: Iterable[Sequence[Any]]
) -> Result | None:
    tree = _Tree(merge)
    for batch in batches:
        tree.add(function(batch))
    return tree.taken()


class _Group(tuple[Sequence[Any], ...]):
    """Batches of one task; as long as all of them."""

    def __len__(self) -> int:
        return sum(map(len, self))


def _grouped(batches: Iterable[Sequence[Any]], size: int) -> Iterator[_Group]:
    batches = iter(batches)
    while group := _Group(islice(batches, size)):
        yield group


def _computed(function: Callable[[Any], Result], batch: Any) -> Result:
    with one_blas_thread():
        return function(batch)


def _mapped(
    function: Callable[..., Any], batches: Iterable[Sequence[Any]], workers: Workers, bar: tqdm | None
) -> Generator[Any, None, None]:
    function = partial(_computed, function)
    if isinstance(workers, int) and workers > 1:
        batches = iter(batches)
        first = list(islice(batches, 2))
        workers = workers if len(first) == 2 else 1  # one batch is not worth a process
        batches = chain(first, batches)
    if isinstance(workers, int) and workers == 1:
        for batch in batches:
            result = function(batch)
            _advance(bar, len(batch))
            yield result
        return
    with Processes(workers, function) if isinstance(workers, int) else Cluster(workers, function) as pool:
        for size, future in _window(pool, batches):
            result = pool.result(future)
            _advance(bar, size)
            yield result
            del result, future  # on a cluster, results whose futures are gone leave the memory of its workers


def _window(pool: Processes | Cluster, batches: Iterable[Sequence[Any]]) -> Iterator[tuple[int, Any]]:
    """Submit batches; yield (size, future), oldest first, when as many as may be are out."""
    waiting: deque[tuple[int, Any]] = deque()
    for batch in batches:
        waiting.append((len(batch), pool.submit(batch)))
        if len(waiting) >= _AHEAD * pool.n_workers:
            yield waiting.popleft()
    while waiting:
        yield waiting.popleft()


def _advance(bar: tqdm | None, size: int) -> None:
    if bar is not None:
        bar.update(size)


class _Tree:
    """A binary counter of parts: two of 2^level leaves become one of 2^(level + 1), merge(left, right)."""

    def __init__(self, merge: Callable[..., None]) -> None:
        self.merge = merge
        self.parts: list[tuple[int, Any]] = []

    def add(self, part: Any) -> None:
        level = 0
        while self.parts and self.parts[-1][0] == level:
            part, level = self._merged(self.parts.pop()[1], part), level + 1
        self.parts.append((level, part))

    def taken(self) -> Any:
        """All parts merged, from the smallest to the largest; nothing is left here."""
        whole = self.parts.pop()[1] if self.parts else None
        while self.parts:
            whole = self._merged(self.parts.pop()[1], whole)
        return whole

    def _merged(self, mine: Any, other: Any) -> Any:
        self.merge(mine, other)
        return mine
