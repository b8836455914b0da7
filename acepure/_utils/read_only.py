"""Objects that cannot be changed: attributes that are set once, arrays that are not written to."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse

from acepure._utils.checks import real_array


class ReadOnlyArrays:
    """Base of classes with read-only arrays, which are so in copies too; NumPy forgets it."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        read_only(state)


class ReadOnly(ReadOnlyArrays):
    """Base of classes whose public attributes are set once, while an object is made.

    What is computed from them on the way, compiled tables say, can then never be out of date.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and (name in self.__dict__ or hasattr(type(self), name)):
            raise AttributeError(f"{name} of a {type(self).__name__} cannot be set; make another {type(self).__name__}")
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{name} of a {type(self).__name__} cannot be deleted")


def read_only(value: Any) -> Any:
    """Make an array, a sparse matrix, or those in a tuple or in the values of a dict, read-only; return the value."""
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    elif isinstance(value, (tuple, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            read_only(part)
    elif issparse(value):
        read_only((value.data, value.indices, value.indptr))
    return value


def read_only_array(name: str, value: ArrayLike, shape: tuple[int | None, ...]) -> np.ndarray:
    """Return a read-only copy of what `real_array` accepts."""
    return read_only(real_array(name, value, shape).copy())
