"""Worker processes that apply one function to what they are sent."""

from __future__ import annotations

import multiprocessing
import signal
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

_LOST = (
    "a worker process ended without an answer. Was it killed for want of memory? Then fewer workers help. "
    'Or is it the script\'s entry point that is not protected by `if __name__ == "__main__":`?'
)


class Processes:
    """Processes that are started when there is work, each served by a thread of this one.

    Unlike `concurrent.futures.ProcessPoolExecutor`, all end at once when the block is left by an error or an interrupt,
    and none outlives this process.

    Parameters
    ----------
    n_workers : int
    function : callable
        Sent to each process once.
    """

    def __init__(self, n_workers: int, function: Callable[[Any], Any]) -> None:
        self.n_workers = n_workers
        self._function = function
        self._threads = ThreadPoolExecutor(n_workers)
        self._local = threading.local()
        self._lock = threading.Lock()
        self._ended = False
        self._started: list[tuple[Any, Connection]] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *error: Any) -> None:
        with self._lock:
            self._ended = True
        # All that was wanted has been taken; what a process still does is for nothing.
        for process, _ in self._started:
            process.terminate()
        self._threads.shutdown(cancel_futures=True)
        for process, connection in self._started:
            process.join()
            process.close()
            connection.close()

    def submit(self, batch: Any) -> Future[Any]:
        """Return the future of function(batch)."""
        return self._threads.submit(self._answer, batch)

    def result(self, future: Future[Any]) -> Any:
        """Return what a future holds when it is there, or raise the error."""
        return future.result()

    def _answer(self, batch: Any) -> Any:
        if not hasattr(self._local, "connection"):
            self._local.connection = self._start()
        connection = self._local.connection
        try:
            connection.send(batch)
            result, error, text = connection.recv()
        except (EOFError, ConnectionError):
            raise ChildProcessError(_LOST) from None
        if error is not None:
            raise error from RuntimeError(f"in a worker process:\n{text}")
        return result

    def _start(self) -> Connection:
        # Spawned, because forked processes inherit the locks of threads.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        with self._lock:
            if self._ended:
                raise ChildProcessError("the work has ended")
            process = context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            self._started.append((process, ours))
        theirs.close()  # the process has the only one, so that its end is noticed
        try:
            ours.send(self._function)
        except ConnectionError:
            raise ChildProcessError(_LOST) from None
        return ours


def _serve(connection: Connection) -> None:
    """Work until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    function = connection.recv()
    while True:
        try:
            batch = connection.recv()
        except EOFError:
            return
        answer = _answered(function, batch)
        try:
            connection.send(answer)
        except ConnectionError:
            return
        except Exception as error:  # a result or error that cannot be pickled
            what = "error" if answer[1] is not None else "result"
            message = f"the {what} cannot be sent from a worker process: {error}"
            connection.send((None, TypeError(message), answer[2] or message))


def _answered(function: Callable[[Any], Any], batch: Any) -> tuple[Any, Exception | None, str]:
    """(result, None, "") or (None, error, its traceback)."""
    try:
        return function(batch), None, ""
    except Exception as error:
        return None, error, traceback.format_exc()
