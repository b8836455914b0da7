"""Functions of particles to be fitted: permutation-invariant, none of them a polynomial.

runge      1 / (1 + c Σ_i x_i²)                        smooth, all body orders, poles near [−1, 1] for large c
spread     √(1 + Σ_{i<j} (x_i − x_j)²)                 smooth, all body orders
triplets   Σ_{i<j<k} exp(−|x_i + x_j + x_k|)           a three-particle function with kinks
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from acepure._utils.checks import number, real_array


def runge(x: ArrayLike, c: float = 1.0) -> np.ndarray:
    """Return 1 / (1 + c Σ_i x_i²), shape (n_samples,).

    Parameters
    ----------
    x : array_like of float, shape (n_samples, n_particles)
    c : float
        ≥ 0; the larger, the narrower the peak. Runge's own function is c = 25 with one particle.

    Examples
    --------
    >>> runge([[0.0, 0.0], [1.0, 1.0]], c=2.0)
    array([1. , 0.2])
    """
    return 1.0 / (1.0 + number("c", c, least=0) * (real_array("x", x, (None, None)) ** 2).sum(axis=1))


def spread(x: ArrayLike) -> np.ndarray:
    """Return √(1 + Σ_{i<j} (x_i − x_j)²), shape (n_samples,); argument and errors as `runge`.

    Examples
    --------
    >>> spread([[0.0, 0.0], [1.0, -1.0]]).round(4)
    array([1.    , 2.2361])
    """
    x = real_array("x", x, (None, None))
    # Σ_{i<j} (x_i − x_j)² = J Σ_i (x_i − x̄)²
    deviations = x - x.sum(axis=1, keepdims=True) / max(1, x.shape[1])
    return np.sqrt(1.0 + x.shape[1] * (deviations**2).sum(axis=1))


def triplets(x: ArrayLike) -> np.ndarray:
    """Return Σ_{i<j<k} exp(−|x_i + x_j + x_k|), shape (n_samples,); argument and errors as `runge`.

    A three-body function: canonical features of order 3 alone can express it, in the limit of high degrees.

    Examples
    --------
    >>> triplets([[1.0, -1.0, 0.0]])
    array([1.])
    """
    x = real_array("x", x, (None, None))
    first = np.arange(x.shape[1])
    i, j, k = (index.ravel() for index in np.meshgrid(first, first, first, indexing="ij"))
    distinct = (i < j) & (j < k)
    return np.exp(-abs(x[:, i[distinct]] + x[:, j[distinct]] + x[:, k[distinct]])).sum(axis=1)


def target_name(target: object) -> str:
    """Return the name of a target for titles.

    Examples
    --------
    >>> from functools import partial
    >>> target_name(partial(runge, c=25.0))
    'runge(c=25)'
    """
    if isinstance(target, partial):
        return (
            f"{target_name(target.func)}({', '.join(f'{name}={value:g}' for name, value in target.keywords.items())})"
        )
    return getattr(target, "__name__", repr(target))
