"""What a fit says goes to the logger "acepure"; `shown` also writes it to a stream while something runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_PACKAGE = logging.getLogger("acepure")


@contextmanager
def shown(stream: TextIO, wanted: bool = True) -> Iterator[None]:
    """Write messages of the package to a stream in this block, unless an outer block does so already.

    Parameters
    ----------
    stream : file
    wanted : bool
        False changes nothing: messages go where the handlers of the user take them.

    Examples
    --------
    >>> import sys
    >>> with shown(sys.stdout):
    ...     logging.getLogger("acepure.fitting").info("three structures")
    three structures
    """
    if not wanted or any(isinstance(handler, _Shown) for handler in _PACKAGE.handlers):
        yield
        return
    handler, level = _Shown(stream), _PACKAGE.level
    _PACKAGE.addHandler(handler)
    if not _PACKAGE.isEnabledFor(logging.INFO):
        _PACKAGE.setLevel(logging.INFO)
    try:
        yield
    finally:
        _PACKAGE.removeHandler(handler)
        _PACKAGE.setLevel(level)


class _Shown(logging.StreamHandler[TextIO]):
    """Messages as they are."""
