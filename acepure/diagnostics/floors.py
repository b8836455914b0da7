"""How low a condition number could be: what linear algebra on the features could still win, from R factors alone.

With [1, F] = Q R for half of the data, [1, F] = P S for the other half, and columns sorted by correlation order,

    lower orders off            Q diag(R_00, R_11, ...)         each order minus its regression on all lower ones
    the same, held out          P S R⁻¹ diag(R_00, R_11, ...)   with the coefficients of the first half
    whitened, held out          P S R⁻¹                         uncorrelated on the first half

where R_νν is the diagonal block of order ν; P and Q do not matter. Condition numbers are those of Gram matrices of
columns scaled to unit length. Taking lower orders off keeps the span and the meaning of the highest order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import solve_triangular, svdvals


def lower_orders_off(R: ArrayLike, orders: ArrayLike) -> float:
    """Return the condition number after every order is reduced by its regression on all lower ones, in sample.

    Parameters
    ----------
    R : array_like, shape (n, n)
        Upper triangular.
    orders : array_like of int, shape (n,)
        Of the columns, never decreasing; 0 for the constant.

    Examples
    --------
    >>> lower_orders_off([[1, 5, 7], [0, 2, 3], [0, 0, 1]], [0, 1, 2])
    1.0
    """
    return _condition_number(_diagonal_blocks(np.asarray(R, dtype=float), orders))


def held_out_floors(R: ArrayLike, S: ArrayLike, orders: ArrayLike) -> tuple[float, float]:
    """Return the condition numbers, with lower orders off and whitened, of data that the coefficients are not made for.

    Parameters
    ----------
    R, S : array_like, shape (n, n)
        Upper triangular, of two halves of the data. Each is held out once; the larger number is returned.
    orders : array_like of int, shape (n,)
        Of the columns, never decreasing; 0 for the constant.

    Returns
    -------
    lower_orders_off, whitened : float
        Infinite where a half has dependent columns.

    Examples
    --------
    >>> held_out_floors([[1, 1], [0, 2]], [[1, 1], [0, 5]], [0, 1])  # equal means, another scale
    (1.0, 1.0)
    """
    halves = np.asarray(R, dtype=float), np.asarray(S, dtype=float)
    if not all(np.diag(half).all() for half in halves):
        return np.inf, np.inf
    found = []
    for fitted, other in (halves, halves[::-1]):
        length = np.linalg.norm(fitted, axis=0)
        fitted, other = fitted / length, other / length
        whitened = solve_triangular(fitted.T, other.T, lower=True).T
        found.append([_condition_number(whitened @ _diagonal_blocks(fitted, orders)), _condition_number(whitened)])
    off, white = np.max(found, axis=0).tolist()
    return off, white


def _diagonal_blocks(R: np.ndarray, orders: ArrayLike) -> np.ndarray:
    orders = np.asarray(orders)
    return np.where(orders[:, None] == orders, R, 0.0)


def _condition_number(columns: np.ndarray) -> float:
    """Of the Gram matrix of the columns scaled to unit length."""
    length = np.linalg.norm(columns, axis=0)
    values = svdvals(columns / np.where(length > 0, length, 1.0))
    return float((values[0] / values[-1]) ** 2) if values[-1] > 0 else np.inf
