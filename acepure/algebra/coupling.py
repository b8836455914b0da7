"""Angular couplings: Clebsch–Gordan and Gaunt tensors of real harmonics, O(3) invariants of products.

Real harmonics of one l transform by a real orthogonal matrix D^l(Q).  A *coupling* of (l_1, ..., l_ν) to
a target L is a tensor c[m_1, ..., m_ν(, M)] for which Σ_m c Π_t Y_{l_t m_t} transforms like Y_LM; L = 0
gives invariants.  All tensors are orthonormal: Σ_m c c' = δ.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from math import comb, factorial, pi, sqrt

import numpy as np

from acepure.labels.characters import coupling_count

__all__ = [
    "clebsch_gordan",
    "couplings",
    "gaunt_product",
    "symmetric_couplings",
]

# Residual norms in the orthonormalization are algebraic numbers of order one or round-off; this separates them.
_INDEPENDENT = 1e-6


def _complex_clebsch_gordan(l1: int, l2: int, L: int) -> np.ndarray:
    """⟨l1 m1 l2 m2 | L M⟩ by Racah's formula in exact integers, rounded once; shape (2l1+1, 2l2+1, 2L+1)."""
    result = np.zeros((2 * l1 + 1, 2 * l2 + 1, 2 * L + 1))
    a, b, c = l1 + l2 - L, L + l1 - l2, L - l1 + l2
    denominator = factorial(l1 + l2 + L + 1) * factorial(a) * factorial(b) * factorial(c)
    for m1 in range(-l1, l1 + 1):
        for m2 in range(max(-l2, -L - m1), min(l2, L - m1) + 1):
            total = 0
            for k in range(max(0, l1 - m1 - b, l2 + m2 - c), min(a, l1 - m1, l2 + m2) + 1):
                total += (-1) ** k * comb(a, k) * comb(b, l1 - m1 - k) * comb(c, l2 + m2 - k)
            M = m1 + m2
            square = (2 * L + 1) * factorial(L + M) * factorial(L - M)
            square *= factorial(l1 - m1) * factorial(l1 + m1) * factorial(l2 - m2) * factorial(l2 + m2)
            result[l1 + m1, l2 + m2, L + M] = total * sqrt(square / denominator)
    return result


@cache
def _real_from_complex(l: int) -> np.ndarray:
    """U with Y_l^m (complex, Condon–Shortley) = Σ_m' U[m, m'] Y_lm' (real)."""
    U = np.zeros((2 * l + 1, 2 * l + 1), dtype=complex)
    U[l, l] = 1.0
    for m in range(1, l + 1):
        sign = (-1) ** m
        U[l + m, l + m], U[l + m, l - m] = sign / sqrt(2), 1j * sign / sqrt(2)
        U[l - m, l + m], U[l - m, l - m] = 1 / sqrt(2), -1j / sqrt(2)
    return U


@cache
def clebsch_gordan(l1: int, l2: int, L: int) -> np.ndarray:
    """Clebsch–Gordan tensor of real harmonics.

    W[m1, m2, M] = Σ conj(U_L[M', M]) ⟨l1 m1' l2 m2' | L M'⟩ U_l1[m1', m1] U_l2[m2', m2], with U the
    unitary map from real to complex harmonics.  W is real for even l1 + l2 + L; for odd sums it is
    imaginary and the factor i is dropped, which keeps W equivariant under rotations.

    Parameters
    ----------
    l1, l2, L : int
        Non-negative degrees with |l1 − l2| ≤ L ≤ l1 + l2.

    Returns
    -------
    numpy.ndarray, shape (2 l1 + 1, 2 l2 + 1, 2 L + 1)
        Read-only; Σ_{m1 m2} W[m1, m2, M] W[m1, m2, M'] = δ.

    Examples
    --------
    >>> round(float(abs(clebsch_gordan(1, 1, 0)[0, 0, 0])), 12)  # 1 / sqrt(3)
    0.57735026919
    """
    if not abs(l1 - l2) <= L <= l1 + l2:
        raise ValueError(f"L = {L} violates the triangle rule for l1 = {l1}, l2 = {l2}")
    W = np.einsum("abc,ax,by->xyc", _complex_clebsch_gordan(l1, l2, L), _real_from_complex(l1), _real_from_complex(l2))
    W = W @ _real_from_complex(L).conj()
    W = np.ascontiguousarray(W.real if (l1 + l2 + L) % 2 == 0 else W.imag)
    W[np.abs(W) < 1e-15] = 0.0  # exact zeros by selection rules, up to the rounding of the unitary maps
    W.flags.writeable = False
    return W


@cache
def _gaunt(l1: int, l2: int, L: int) -> np.ndarray:
    """G with Y_{l1 m1} Y_{l2 m2} = Σ_LM G[m1, m2, M] Y_LM (real harmonics of one direction), for even l1 + l2 + L."""
    central = _complex_clebsch_gordan(l1, l2, L)[l1, l2, L]
    reduced = sqrt((2 * l1 + 1) * (2 * l2 + 1) / (4 * pi * (2 * L + 1))) * central
    return reduced * clebsch_gordan(l1, l2, L)


@cache
def gaunt_product(ls: tuple[int, ...]) -> dict[int, np.ndarray]:
    """Expand a product of harmonics of one direction: Π_t Y_{l_t m_t} = Σ_LM G_L[m_1, ..., m_k, M] Y_LM.

    Returns
    -------
    dict
        {L: tensor of shape (2 l_1 + 1, ..., 2 l_k + 1, 2 L + 1)}, only the L that occur.

    Examples
    --------
    A product of two vectors holds a scalar and a quadrupole, no vector:

    >>> {L: tensor.shape for L, tensor in gaunt_product((1, 1)).items()}
    {0: (3, 3, 1), 2: (3, 3, 5)}
    """
    if len(ls) == 1:
        return {ls[0]: np.eye(2 * ls[0] + 1)}
    last = ls[-1]
    result: dict[int, np.ndarray] = {}
    for inner, tensor in gaunt_product(ls[:-1]).items():
        for L in range(abs(inner - last), inner + last + 1, 2):  # a product of harmonics has the parity of its factors
            term = np.tensordot(tensor, _gaunt(inner, last, L), axes=(tensor.ndim - 1, 0))
            result[L] = result[L] + term if L in result else term
    return result


@cache
def _coupling_trees(ls: tuple[int, ...]) -> dict[tuple[int, ...], np.ndarray]:
    """Couple from the left: {(L_2, ..., L_ν): tensor (2 l_1 + 1, ..., 2 l_ν + 1, 2 L_ν + 1)}."""
    if len(ls) == 1:
        return {(): np.eye(2 * ls[0] + 1)}
    last = ls[-1]
    result = {}
    for path, tensor in _coupling_trees(ls[:-1]).items():
        inner = path[-1] if path else ls[0]
        for L in range(abs(inner - last), inner + last + 1):
            W = clebsch_gordan(inner, last, L)
            result[(*path, L)] = np.tensordot(tensor, W, axes=(tensor.ndim - 1, 0))
    return result


@cache
def couplings(
    ls: tuple[int, ...], L: int = 0, parity: int | None = None
) -> tuple[np.ndarray, tuple[tuple[int, ...], ...]]:
    """All O(3) couplings of distinguishable factors, orthonormal.

    Generalized Clebsch–Gordan coefficients, coupled from the left, ((l_1 l_2) L_2 l_3) L_3 ... → L
    (Drautz, Phys. Rev. B 99, 014104 (2019); Dusson et al., J. Comput. Phys. 454, 110946 (2022)).
    Parity: (−1)^Σl must be that of the target, otherwise there is none.

    Parameters
    ----------
    ls : tuple of int
        Degrees l_1, ..., l_ν.
    L : int
        Target degree; 0 for invariants.
    parity : int, optional
        Target parity, ±1; default (−1)^L, that of true tensors.

    Returns
    -------
    tensors : numpy.ndarray, shape (d, 2 l_1 + 1, ..., 2 l_ν + 1, 2 L + 1)
        Orthonormal in all but the first axis.  For L = 0 the last axis has length one.
    paths : tuple of tuple of int
        The intermediate degrees (L_2, ..., L_{ν−1}) of each coupling.

    Examples
    --------
    >>> tensors, paths = couplings((1, 1, 2, 2))
    >>> tensors.shape, paths
    ((3, 3, 3, 5, 5, 1), ((0, 2), (1, 2), (2, 2)))
    """
    shape = tuple(2 * l + 1 for l in (*ls, L))
    if (-1) ** sum(ls) != ((-1) ** L if parity is None else parity):
        return np.zeros((0, *shape)), ()
    if len(ls) == 1:
        matching = ls[0] == L
        tensors = np.eye(2 * L + 1)[None] / sqrt(2 * L + 1) if matching else np.zeros((0, *shape))
        return tensors, ((),) if matching else ()
    last = ls[-1]
    found, paths = [], []
    for path, tensor in _coupling_trees(ls[:-1]).items():
        inner = path[-1] if path else ls[0]
        if not abs(inner - last) <= L <= inner + last:
            continue
        W = clebsch_gordan(inner, last, L) / sqrt(2 * L + 1)
        found.append(np.tensordot(tensor, W, axes=(tensor.ndim - 1, 0)))
        paths.append(path)
    return (np.array(found) if found else np.zeros((0, *shape))), tuple(paths)


def _symmetrizer(tensors: np.ndarray, groups: tuple[int, ...]) -> np.ndarray:
    """Matrix, in the basis `tensors`, of the average over permutations within each run of equal groups.

    Built from adjacent transpositions: the average over S_k is that over S_{k−1} times
    (1 + Σ_{j<k} (j k)) / k.
    """
    d = len(tensors)
    flat = tensors.reshape(d, -1)
    adjacent = {}
    for t, (a, b) in enumerate(pairwise(groups)):
        if a == b:
            adjacent[t] = flat @ np.swapaxes(tensors, t + 1, t + 2).reshape(d, -1).T
    average = np.eye(d)
    start = 0
    for t in range(1, len(groups)):
        if groups[t] != groups[start]:
            start = t
            continue
        transposition = adjacent[t - 1]
        total = np.eye(d) + transposition
        for j in range(t - 2, start - 1, -1):  # (j t) = (j j+1) (j+1 t) (j j+1)
            transposition = adjacent[j] @ transposition @ adjacent[j]
            total += transposition
        average = average @ total / (t - start + 1)
    return average


@cache
def symmetric_couplings(
    ls: tuple[int, ...], groups: tuple[int, ...], L: int = 0, parity: int | None = None
) -> tuple[np.ndarray, tuple[tuple[int, ...], ...]]:
    """Couplings that are symmetric under exchange of equal factors.

    The projections of the coupling trees onto the symmetric subspace are orthonormalized in the
    order of their paths, which makes the result independent of the linear-algebra library; the rank must equal the
    character count.

    Parameters
    ----------
    ls : tuple of int
        Degrees; equal factors stand next to each other.
    groups : tuple of int
        groups[t] names the factor at t; equal numbers are equal factors.
    L : int
        Target degree.
    parity : int, optional
        Target parity, ±1; default (−1)^L.

    Returns
    -------
    coefficients : numpy.ndarray, shape (d_sym, d)
        Rows orthonormal; row i is the combination of `couplings` that is the i-th symmetric one.
    paths : tuple of tuple of int
        The coupling tree each row was projected from.

    Raises
    ------
    ArithmeticError
        If the rank differs from the character count (a defect of this library).
    """
    tensors, paths = couplings(ls, L, parity)
    expected = coupling_count(_multiplicities(ls, groups), L, parity)
    projector = _symmetrizer(tensors, groups) if len(tensors) else np.zeros((0, 0))
    rows: list[np.ndarray] = []
    kept = []
    for path, column in zip(paths, projector.T):
        if len(rows) == expected:
            break
        row = column.copy()
        for _ in range(2):  # twice is enough (Parlett)
            for other in rows:
                row -= (other @ row) * other
        norm = float(np.linalg.norm(row))
        if norm > _INDEPENDENT:
            rows.append(row / norm)
            kept.append(path)
    if len(rows) != expected:
        raise ArithmeticError(
            f"rank {len(rows)} of couplings {ls}, groups {groups}, L = {L}, but characters give {expected}"
        )
    if not rows:
        return np.zeros((0, len(tensors))), ()
    coefficients = np.array(rows)
    entries = coefficients @ tensors.reshape(len(tensors), -1)
    largest = np.argmax(np.abs(entries) > np.abs(entries).max(axis=1, keepdims=True) * (1 - 1e-6), axis=1)
    coefficients *= np.sign(np.take_along_axis(entries, largest[:, None], axis=1))
    return coefficients, tuple(kept)


def _multiplicities(ls: tuple[int, ...], groups: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """((l, multiplicity), ...) of the distinct factors."""
    counts: dict[tuple[int, int], int] = {}
    for l, group in zip(ls, groups):
        counts[(group, l)] = counts.get((group, l), 0) + 1
    return tuple(sorted((l, multiplicity) for (_, l), multiplicity in counts.items()))
