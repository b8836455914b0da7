"""Results in the order of the batches, and their reduction by a tree, whoever works.

Batches may come from a generator of more than fits in memory: no more than three per worker are read ahead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar

from tqdm import tqdm

from acepure._utils.workers.choice import checked_workers, one_blas_thread
from acepure._utils.workers.cluster import Cluster
from acepure._utils.workers.processes import Processes

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["ordered_map", "tree_reduce"]

Result = TypeVar("Result")

# So many batches per worker are with the workers, or on the way to and from them.
_AHEAD = 3
# So many batches are merged on a cluster before the client merges on; a power of two.
_SUBTREE = 16


def ordered_map(
    function: Callable[[Any], Result],
    batches: Iterable[Sequence[Any]],
    workers: int | Client = 1,
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
    return _mapped(partial(one_blas_thread, function), batches, checked_workers(workers), bar)


def tree_reduce(
    function: Callable[[Any], Result],
    merge: Callable[[Result, Result], None],
    batches: Iterable[Sequence[Any]],
    workers: int | Client = 1,
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
    On a cluster 16 batches at a time are merged there, and their results here. Processes merge nothing; this one does.

    Examples
    --------
    >>> tree_reduce(list, list.append, ["a", "b", "c", "d", "e"])
    ['a', ['b'], ['c', ['d']], ['e']]
    """
    workers = checked_workers(workers)
    function, merge = partial(one_blas_thread, function), partial(one_blas_thread, merge)
    if not isinstance(workers, int):
        return _reduced_on_cluster(function, merge, batches, workers, bar)
    tree = _Tree(partial(_added, merge))
    with closing(_mapped(function, batches, workers, bar)) as results:
        for result in results:
            tree.add(result)
    return tree.taken()


def _mapped(
    function: Callable[..., Any], batches: Iterable[Sequence[Any]], workers: int | Client, bar: tqdm | None
) -> Generator[Any, None, None]:
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


def _reduced_on_cluster(
    function: Callable[..., Any],
    merge: Callable[..., Any],
    batches: Iterable[Sequence[Any]],
    client: Client,
    bar: tqdm | None,
) -> Any:
    """Subtrees are merged on the cluster, which forgets each, with its batches, when its result is here."""
    with Cluster(client, function, merge) as cluster:
        tree, subtree = _Tree(partial(_added, merge)), _Tree(cluster.merge)
        roots: deque[Future] = deque()
        for n, (size, leaf) in enumerate(_window(cluster, batches), 1):
            cluster.wait(leaf)
            _advance(bar, size)
            subtree.add(leaf)
            del leaf
            if n % _SUBTREE == 0:
                roots.append(subtree.taken())
            if len(roots) > 1:  # the newest may be merging yet
                tree.add(cluster.result(roots.popleft()))
        if subtree.parts:
            roots.append(subtree.taken())
        while roots:
            tree.add(cluster.result(roots.popleft()))
        return tree.taken()


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


def _added(merge: Callable[..., Any], mine: Any, other: Any) -> Any:
    merge(mine, other)
    return mine


class _Tree:
    """A binary counter of parts: two of 2^level leaves become one of 2^(level + 1), merge(left, right)."""

    def __init__(self, merge: Callable[..., Any]) -> None:
        self.merge = merge
        self.parts: list[tuple[int, Any]] = []

    def add(self, part: Any) -> None:
        level = 0
        while self.parts and self.parts[-1][0] == level:
            part, level = self.merge(self.parts.pop()[1], part), level + 1
        self.parts.append((level, part))

    def taken(self) -> Any:
        """All parts merged, from the smallest to the largest; nothing is left here."""
        whole = self.parts.pop()[1] if self.parts else None
        while self.parts:
            whole = self.merge(self.parts.pop()[1], whole)
        return whole
