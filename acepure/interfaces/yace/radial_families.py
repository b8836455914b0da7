"""Functions of a distance that .yace files know by name, each with its derivative, from the description of the format.

    ChebExpCos   g_0 = f, g_k = f (1 − T_k(x))/2,    x = 1 − 2 (e^{−λr/rcut} − e^{−λ})/(1 − e^{−λ})
    ChebPow      g_k = (1 − T_{k+1}(x))/2,           x = 1 − 2 (1 − r/rcut)^λ
    ChebLinear   g_k = (1 − T_{k+1}(x))/2,           x = 1 − r/rcut, which is not zero at the cutoff
    SBessel      g_k orthonormal on [0, rcut] with weight r²: Kocer, Mason, Erturk, AIP Adv. 10, 015021 (2020)

for k = 0, 1, ..., and f = (1 + cos πr/rcut)/2, in the last dcut times (1 + cos π(r − rcut + dcut)/dcut)/2. Cores are
p e^{−λr²}/r with the switch (1 + cos πr/rcut)/2, or the screened repulsion of nuclei, half of it for each atom.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

#: Values and d/dr.
Pair = tuple[np.ndarray, np.ndarray]

# Beyond this λr² the core is cut off.
_FAR = 50.0
# Of nuclei: e²/(4πε0) in eV Å, weights and rates of the screening, its length in Å and its power of the charges.
_COULOMB = 14.399645351950543
_WEIGHTS = np.array([0.18175, 0.50986, 0.28022, 0.02817])
_RATES = np.array([3.19980, 0.94229, 0.40290, 0.20162])
_LENGTH, _POWER = 0.46850, 0.23


def _chebyshev(x: np.ndarray, slope: np.ndarray, n: int) -> Pair:
    """T_1 .. T_n and their slopes, each (n, len(x)), with dx/dr given."""
    T, dT = np.ones((2, n + 1, len(x)))
    dT[0] = 0.0
    if n:
        T[1] = x
    for k in range(2, n + 1):
        T[k] = 2 * x * T[k - 1] - T[k - 2]
        dT[k] = 2 * T[k - 1] + 2 * x * dT[k - 1] - dT[k - 2]
    return T[1:], dT[1:] * slope


def _exponential(r: np.ndarray, rcut: float, decay: float, dcut: float, n: int) -> Pair:
    y = np.exp(-decay * r / rcut)
    rest = -math.expm1(-decay)
    T, dT = _chebyshev(1 - 2 * (y - math.exp(-decay)) / rest, 2 * decay / rcut * y / rest, n - 1)
    g, dg = np.ones((n, len(r))), np.zeros((n, len(r)))
    g[1:], dg[1:] = 0.5 * (1 - T), -0.5 * dT
    f, df = _times(_half_cosine(r, 0.0, rcut), _half_cosine(r, rcut - dcut, dcut) if dcut > 0 else _one(r))
    return g * f, dg * f + g * df


def _power(r: np.ndarray, rcut: float, exponent: float, dcut: float, n: int) -> Pair:
    y = np.clip(1 - r / rcut, 0.0, None)
    T, dT = _chebyshev(1 - 2 * y**exponent, 2 * exponent / rcut * y ** (exponent - 1), n)
    return 0.5 * (1 - T), -0.5 * dT


def _linear(r: np.ndarray, rcut: float, _: float, dcut: float, n: int) -> Pair:
    T, dT = _chebyshev(1 - r / rcut, np.full(len(r), -1 / rcut), n)
    return 0.5 * (1 - T), -0.5 * dT


def _bessel(r: np.ndarray, rcut: float, _: float, dcut: float, n: int) -> Pair:
    waves = np.arange(1, n + 2)[:, None] * math.pi / rcut
    sinc = np.sin(waves * r) / (waves * r)
    dsinc = (np.cos(waves * r) - sinc) / r
    g, dg = np.empty((2, n, len(r)))
    d = 1.0
    for k in range(n):
        a, b = k + 1, k + 2
        scale = (-1) ** k * math.sqrt(2) * math.pi * a * b / math.sqrt(a * a + b * b) / rcut**1.5
        g[k], dg[k] = scale * (sinc[k] + sinc[k + 1]), scale * (dsinc[k] + dsinc[k + 1])
        if k:
            e = (k * b) ** 2 / (4 * a**4 + 1)
            before, d = d, 1 - e / d
            g[k] = (g[k] + math.sqrt(e / before) * g[k - 1]) / math.sqrt(d)
            dg[k] = (dg[k] + math.sqrt(e / before) * dg[k - 1]) / math.sqrt(d)
    return g, dg


#: Name → g_k and dg_k/dr, each (n, len(r)), of r in ]0, rcut[, rcut, λ, dcut and n.
FAMILIES: dict[str, Callable[[np.ndarray, float, float, float, int], Pair]] = {
    "ChebExpCos": _exponential,
    "ChebPow": _power,
    "ChebLinear": _linear,
    "SBessel": _bessel,
}


def step_down(x: np.ndarray, end: float, width: float) -> Pair:
    """Return 1 up to end − width and 0 from end on, with a polynomial of degree 5 between, and its slope."""
    u = np.clip((x - end) / width + 1, 0.0, 1.0) if width > 0 else (x > end).astype(float)
    slope = -30 * (u * (1 - u)) ** 2 / width if width > 0 else np.zeros_like(x)
    return (1 - u) ** 3 * (1 + 3 * u + 6 * u * u), slope


def gaussian_core(r: np.ndarray, rcut: float, strength: float, decay: float) -> Pair:
    """Return p e^{−λr²}/r f(r) and its slope, with p and λ taken positive."""
    power = abs(decay) * r * r
    c = np.where(power < _FAR, abs(strength) * np.exp(-np.minimum(power, _FAR)) / r, 0.0)
    return _times((c, -c * (2 * power + 1) / r), _half_cosine(r, 0.0, rcut))


def zbl_core(r: np.ndarray, rcut: float, strength: float, dcut: float, charges: tuple[int, int]) -> Pair:
    """Return half of the repulsion of nuclei, led to 0 between rcut − dcut and rcut, and its slope."""
    V, dV, _ = _repulsion(r, charges)
    end, dend, ddend = (float(a[0]) for a in _repulsion(np.array([rcut]), charges))
    a, b = (-3 * dend + dcut * ddend) / dcut**2, (2 * dend - dcut * ddend) / dcut**3
    t = np.maximum(r - rcut + dcut, 0.0)
    S = a / 3 * t**3 + b / 4 * t**4 - end + dcut * dend / 2 - dcut**2 * ddend / 12
    half = 0.5 * strength
    return _times((half * (V + S), half * (dV + a * t**2 + b * t**3)), step_down(r, rcut, dcut))


def _repulsion(r: np.ndarray, charges: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """e²/(4πε0) Z Z' φ(r/a)/r with two derivatives."""
    z, other = charges
    rates = _RATES * (z**_POWER + other**_POWER) / _LENGTH
    terms = _WEIGHTS * np.exp(-np.multiply.outer(r, rates))
    f, df, ddf = (_COULOMB * z * other * terms @ (-rates) ** k for k in range(3))
    return f / r, df / r - f / r**2, ddf / r - 2 * df / r**2 + 2 * f / r**3


def _half_cosine(r: np.ndarray, start: float, width: float) -> Pair:
    """1 up to start, (1 + cos π(r − start)/width)/2 from there on."""
    u = np.pi * np.maximum(r - start, 0.0) / width
    return 0.5 * (1 + np.cos(u)), -0.5 * np.pi / width * np.sin(u)


def _one(r: np.ndarray) -> Pair:
    return np.ones_like(r), np.zeros_like(r)


def _times(first: Pair, second: Pair) -> Pair:
    (a, da), (b, db) = first, second
    return a * b, da * b + a * db
