"""Counting by characters: how many functions of each symmetry there are, before any is built.

The weights m of the harmonics of degree l are −l..l; a product of factors has weight Σm.  The couplings to
degree L number N(Σm = L) − N(Σm = L + 1), with N the number of products of that weight.
"""

from __future__ import annotations

from functools import cache

import numpy as np

__all__ = ["coupling_count", "product_counts"]


@cache
def coupling_count(multiplicities: tuple[tuple[int, int], ...], L: int = 0, parity: int | None = None) -> int:
    """Number of symmetric O(3) couplings, by characters.

    The number of multisets with total Σm = M of a factor of degree l that occurs g times is a
    coefficient of the Gaussian binomial [2l + g choose g]_q; the couplings to L are N(M = L) − N(M = L + 1).

    Parameters
    ----------
    multiplicities : tuple of (l, g)
        Degree and multiplicity of each distinct factor.
    L : int
        Target degree.
    parity : int, optional
        Target parity, ±1; default (−1)^L. Factors have the parity (−1)^Σl.

    Examples
    --------
    >>> coupling_count(((1, 1), (1, 1), (1, 1), (1, 1))), coupling_count(((1, 4),))
    (3, 1)
    >>> coupling_count(((1, 1), (1, 1)), 1), coupling_count(((1, 1), (1, 1)), 1, +1)  # a vector; the cross product
    (0, 1)
    """
    top = sum(l * g for l, g in multiplicities)
    if (-1) ** top != ((-1) ** L if parity is None else parity) or L > top:
        return 0
    polynomial = [1]
    for l, g in multiplicities:
        polynomial = _multiply(polynomial, _gaussian_binomial(2 * l + g, g))
    return polynomial[top + L] - (polynomial[top + L + 1] if top + L + 1 < len(polynomial) else 0)


def _multiply(a: list[int], b: list[int]) -> list[int]:
    result = [0] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            result[i + j] += x * y
    return result


@cache
def _gaussian_binomial(n: int, k: int) -> list[int]:
    """Coefficients of [n choose k]_q by q-Pascal: [n, k] = [n−1, k−1] + q^k [n−1, k]."""
    if k in (0, n):
        return [1]
    left, right = _gaussian_binomial(n - 1, k - 1), _gaussian_binomial(n - 1, k)
    result = [0] * (k * (n - k) + 1)
    for i, x in enumerate(left):
        result[i] += x
    for i, x in enumerate(right):
        result[i + k] += x
    return result


@cache
def product_counts(
    groups: tuple[tuple[int, int], ...], n_species: int, width: int, step: int, L: int = 0
) -> tuple[float, ...]:
    """Number of products with Σm = 0, 1, ..., L + 1; Σn < width if step = 1, n < width each if step = 0."""
    degrees = width if step else 1
    M = sum(l * g for l, g in groups)
    total = np.zeros((degrees, 2 * M + 1))
    total[0, M] = 1.0
    for l, g in groups:
        total = _product(total, _complete_homogeneous(l, g, n_species, width, step), M)
    return tuple(float(total[:, M + m].sum()) if m <= M else 0.0 for m in range(L + 2))


@cache
def _complete_homogeneous(l: int, g: int, n_species: int, width: int, step: int) -> np.ndarray:
    """h_g = (1/g) Σ_k p_k h_{g−k} of the variables q^n y^m, as an array over (Σn, Σm + l g)."""
    degrees = width if step else 1
    if g == 0:
        one = np.zeros((degrees, 1))
        one[0, 0] = 1.0
        return one
    total = np.zeros((degrees, 2 * l * g + 1))
    for k in range(1, g + 1):
        power = np.zeros((degrees, 2 * l * k + 1))
        for n in range(width):
            if step * k * n < degrees:
                power[step * k * n, :: max(k, 1)] += n_species
        total += _product(_complete_homogeneous(l, g - k, n_species, width, step), power, l * g)
    return total / g


def _product(a: np.ndarray, b: np.ndarray, M: int) -> np.ndarray:
    """Product of two series in (Σn, Σm), centered, truncated to |Σm| ≤ M."""
    degrees = len(a)
    width = a.shape[1] + b.shape[1] - 1
    result = np.zeros((degrees, width))
    for i in range(degrees):
        if a[i].any():
            for j in range(degrees - i):
                if b[j].any():
                    result[i + j] += np.convolve(a[i], b[j])
    excess = (width - (2 * M + 1)) // 2
    return result[:, excess : width - excess] if excess > 0 else result
