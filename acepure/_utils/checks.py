"""Checks of arguments: each returns the value in its final type or says what is needed.

`TypeError` is for a value of the wrong kind, `ValueError` for one out of range; every message names the
argument and shows the value received.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import ArrayLike

from acepure._utils.memory import physical_memory, refuse_larger


def number(name: str, value: Any, *, above: float = -math.inf, least: float = -math.inf, reason: str = "") -> float:
    """Return `value` as a finite float that is > `above` and >= `least`; `reason` ends the message."""
    need = f"> {above:g}" if above > -math.inf else f">= {least:g}" if least > -math.inf else ""
    need = " ".join(["a finite number", need]).strip() + (f" ({reason})" if reason else "")
    is_number = isinstance(value, Real) and not isinstance(value, (bool, np.bool_))
    if not is_number:
        raise TypeError(f"{name} must be {need}; got {value!r} of type {type(value).__name__}")
    try:
        result = float(value)
    except OverflowError:  # an integer beyond the largest float64
        result = math.inf
    if not (math.isfinite(result) and value > above and value >= least):
        raise ValueError(f"{name} must be {need}; got {reprlib.repr(value)}")
    return result


def count(name: str, value: Any, *, least: int = 1) -> int:
    """Return `value` as an int that is >= `least`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer >= {least}; got {value!r} of type {type(value).__name__}")
    if value < least:
        raise ValueError(f"{name} must be an integer >= {least}; got {value!r}")
    return int(value)


def check_kind(name: str, value: Any, *kinds: type | None) -> Any:
    """Return `value` if it is an instance of one of the classes, or None where that is allowed."""
    classes = tuple(type(None) if kind is None else kind for kind in kinds)
    if not isinstance(value, classes):
        words = ["None" if k is None else f"a{'n' * (k.__name__[0] in 'AEIOU')} {k.__name__}" for k in kinds]
        raise TypeError(f"{name} must be {' or '.join(words)}; got {value!r} of type {type(value).__name__}")
    return value


def one_of(name: str, value: Any, choices: Iterable[str]) -> str:
    """Return `value` if it is one of the choices."""
    problem = f"{name} must be one of {', '.join(choices)}; got {value!r}"
    if not isinstance(value, str):
        raise TypeError(f"{problem} of type {type(value).__name__}")
    if value not in choices:
        raise ValueError(problem)
    return value


def flag(name: str, value: Any) -> bool:
    """Return `value` as a bool if it is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False; got {value!r}")
    return bool(value)


def symbol(name: str, value: Any, *, particle: bool = False) -> str:
    """Return `value` if it is a chemical symbol, or "X" where a `particle` may be no atom."""
    if not isinstance(value, str):
        raise TypeError(f'{name} must be a chemical symbol such as "Cu"; got {value!r} of type {type(value).__name__}')
    if value not in atomic_numbers or (value == "X" and not particle):  # X is ASE's name for what is no atom
        raise ValueError(f'{name} must be a chemical symbol such as "Cu"; got {value!r}')
    return str(value)


def real_array(name: str, value: ArrayLike, shape: tuple[int | None, ...]) -> np.ndarray:
    """Return `value` as a C-contiguous float64 array of finite numbers; None in `shape` is any length."""
    shown = "(" + ", ".join("any" if k is None else str(k) for k in shape) + ("," * (len(shape) == 1)) + ")"
    array = np.asarray(value)
    if array.size == 0 and array.ndim == 1 and len(shape) > 1 and shape[0] is None:
        array = array.reshape([0 if k is None else k for k in shape])  # [] has no second dimension to show
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must hold real numbers; got an array of type {array.dtype}")
    if array.ndim != len(shape) or any(k is not None and k != n for k, n in zip(shape, array.shape)):
        raise ValueError(f"{name} must have shape {shown}; got {array.shape}")
    refuse_masked(name, value)
    refuse_larger(name, array.shape, physical_memory(), "pass a part of it")  # views may show more than there is
    array = np.ascontiguousarray(array, dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(array).all(axis=tuple(range(1, array.ndim))))
    if bad.size:
        raise ValueError(f"{name} must be finite; row {bad[0]} is {array[bad[0]]}")
    return array


def refuse_masked(name: str, value: Any) -> None:
    """Raise for a masked array with masked entries, of which no one knows what they stand for."""
    if np.ma.is_masked(value):
        raise ValueError(
            f"{name} must have no masked entries; got {np.ma.count_masked(value)}; use .filled or .compressed"
        )


def distances(name: str, value: ArrayLike) -> np.ndarray:
    """Return `value` as a one-dimensional array of distances, finite and >= 0."""
    r = real_array(name, value, (None,))
    if r.size and r.min() < 0:
        raise ValueError(f"{name} must hold distances >= 0; number {np.argmin(r)} is {r.min():g}")
    return r
