"""Least values of sums of squares from gradients, with rows of the linearized problem once.

Let J be the rows at the start and RᵀR = JᵀJ + Λ. Then (2 RᵀR)⁻¹ is the inverse Hessian of Gauss and Newton there; the
limited-memory updates of Broyden, Fletcher, Goldfarb and Shanno (J. Nocedal, Math. Comput. 35, 773 (1980)) correct it
by the differences of gradients met on the way. So a step costs one gradient, not rows, and still knows how the unknowns
are scaled and how they go together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count

import numpy as np
from scipy.linalg import solve_triangular

__all__ = ["Point", "descend"]

# Pairs of differences that are kept, halvings of a step, and the part of the expected decrease that is enough (Armijo).
_MEMORY, _HALVINGS, _ENOUGH = 30, 20, 1e-4
# Expected decrease, as a part of the value, below which nothing is left to gain.
_GAIN = 1e-12


@dataclass(frozen=True, eq=False)
class Point:
    """Unknowns with the value of the function and its gradient."""

    x: np.ndarray
    value: float
    gradient: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all of it as arrays by name, for files."""
        return {"x": self.x, "value": np.array([self.value]), "gradient": self.gradient}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Point:
        """Return the inverse of `arrays`."""
        return cls(arrays["x"], float(arrays["value"][0]), arrays["gradient"])


def descend(
    function: Callable[[np.ndarray], tuple[float, np.ndarray]],
    point: Point,
    R: np.ndarray,
    keep: Callable[[int, Callable[[], Mapping[str, np.ndarray]]], Mapping[str, np.ndarray]] | None = None,
) -> Iterator[Point]:
    """Yield a point of smaller value after every step, until nothing is left to gain.

    Parameters
    ----------
    function : callable
        Returns the value and the gradient, shape (n,), at x.
    point : Point
        The start.
    R : numpy.ndarray, shape (n, n)
        Upper triangular and regular; 2 RᵀR is about the Hessian at the start.
    keep : callable, optional
        Takes the number of a step and what makes the arrays of its point; returns these, or those of a run before.
        Steps depend on points alone, so that a run that was stopped goes on with the same bits.

    Examples
    --------
    >>> def function(x):
    ...     r = np.array([x[0] - 1, 10 * (x[1] - x[0] ** 2)])
    ...     return r @ r, 2 * np.array([r[0] - 20 * x[0] * r[1], 10 * r[1]])
    >>> start = Point(np.zeros(2), *function(np.zeros(2)))
    >>> list(descend(function, start, np.diag([1.0, 10.0])))[-1].x.round(6)
    array([1., 1.])
    """
    pairs: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=_MEMORY)
    for k in count(1):
        direction = -_times_inverse(point.gradient, pairs, R)
        if not -(direction @ point.gradient) > _GAIN * abs(point.value):
            return
        search = partial(_searched, function, point, direction)
        found = search() if keep is None else Point.from_arrays(keep(k, lambda: search().arrays()))  # noqa: B023
        if found.value < point.value:
            s, y = found.x - point.x, found.gradient - point.gradient
            if s @ y > 0:
                pairs.append((s, y))
            point = found
            yield point
        elif pairs:
            pairs.clear()
        else:
            return


def _searched(function: Callable[..., tuple[float, np.ndarray]], point: Point, direction: np.ndarray) -> Point:
    """A point along a direction whose value is smaller by enough, or the same point."""
    slope, t = float(direction @ point.gradient), 1.0
    for _ in range(_HALVINGS):
        value, gradient = function(point.x + t * direction)
        if value <= point.value + _ENOUGH * t * slope:
            return Point(point.x + t * direction, value, gradient)
        least = -slope * t / (2 * (value - point.value - slope * t))  # of the parabola through what is known
        t *= min(max(0.1, least), 0.5)  # 0.1 where the value is NaN, as of overflows
    return point


def _times_inverse(gradient: np.ndarray, pairs: deque[tuple[np.ndarray, np.ndarray]], R: np.ndarray) -> np.ndarray:
    """The inverse Hessian times a gradient, by the two loops of Nocedal."""

    def first(q: np.ndarray) -> np.ndarray:
        return np.asarray(0.5 * solve_triangular(R, solve_triangular(R, q, trans="T")))

    q, parts = gradient.copy(), []
    for s, y in reversed(pairs):
        parts.append((s @ q) / (s @ y))
        q -= parts[-1] * y
    scale = 1.0
    if pairs:
        s, y = pairs[-1]
        scale = (s @ y) / (y @ first(y))
    q = scale * first(q)
    for (s, y), part in zip(pairs, reversed(parts)):
        q += (part - (y @ q) / (s @ y)) * s
    return q
