"""Complex spherical harmonics and their gradients, in the normalization of .yace files: Y_00 = 1."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def complex_harmonics(vectors: np.ndarray, lmax: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Return Y_lm(r/|r|), √4π times the orthonormal harmonics with Condon–Shortley phase, and the gradients.

    With the unit vector (x, y, z) and m ≥ 0, Y_lm = q_lm(z) (x + iy)^m, where

        q_mm = −√((2m + 1)/(2m)) q_{m−1,m−1},    q_00 = 1,
        q_lm = √((4l² − 1)/(l² − m²)) [z q_{l−1,m} − √(((l−1)² − m²)/(4(l−1)² − 1)) q_{l−2,m}],

    and Y_{l,−m} = (−1)^m conj(Y_lm).

    Parameters
    ----------
    vectors : numpy.ndarray, shape (n, 3)
        Of any length but 0.
    lmax : int

    Returns
    -------
    values : numpy.ndarray of complex, shape (n, (lmax + 1)²)
        Column l² + l + m.
    gradients : numpy.ndarray of complex, shape (n, 3, (lmax + 1)²)
        With respect to r, in units of 1/|r|.

    Examples
    --------
    >>> values, gradients = complex_harmonics(np.array([[0.0, 0.0, 2.0]]), 1)
    >>> [round(float(abs(value)), 4) for value in values[0]]
    [1.0, 0.0, 1.7321, 0.0]
    """
    lengths = np.linalg.norm(vectors, axis=1)
    unit = vectors / lengths[:, None]
    values = np.zeros((len(unit), (lmax + 1) ** 2), dtype=complex)
    gradients = np.zeros((len(unit), 3, (lmax + 1) ** 2), dtype=complex)
    w = unit[:, 0] + 1j * unit[:, 1]
    for m, q, slope in _legendre(unit[:, 2], lmax):
        power = w**m
        lower = m * w ** max(m - 1, 0)
        for l in range(m, lmax + 1):
            column, mirrored = l * l + l + m, l * l + l - m
            gradient = np.stack([q[l] * lower, 1j * q[l] * lower, slope[l] * power], axis=1)
            gradient -= unit * np.einsum("na,na->n", unit, gradient)[:, None]
            values[:, column], gradients[:, :, column] = q[l] * power, gradient / lengths[:, None]
            values[:, mirrored] = (-1) ** m * values[:, column].conj()
            gradients[:, :, mirrored] = (-1) ** m * gradients[:, :, column].conj()
    return values, gradients


def _legendre(z: np.ndarray, lmax: int) -> Iterator[tuple[int, dict[int, np.ndarray], dict[int, np.ndarray]]]:
    """Yield m, {l: q_lm(z)} and {l: dq_lm/dz} for m = 0 .. lmax."""
    diagonal = 1.0
    for m in range(lmax + 1):
        if m:
            diagonal *= -np.sqrt((2 * m + 1) / (2 * m))
        q = {m - 1: np.zeros_like(z), m: np.full_like(z, diagonal)}
        slope = {m - 1: np.zeros_like(z), m: np.zeros_like(z)}
        for l in range(m + 1, lmax + 1):
            a = np.sqrt((4 * l * l - 1) / (l * l - m * m))
            b = np.sqrt(((l - 1) ** 2 - m * m) / (4 * (l - 1) ** 2 - 1))
            q[l] = a * (z * q[l - 1] - b * q[l - 2])
            slope[l] = a * (q[l - 1] + z * slope[l - 1] - b * slope[l - 2])
        yield m, q, slope
