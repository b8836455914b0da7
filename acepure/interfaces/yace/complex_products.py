"""Linear densities in products of complex neighbor sums, as .yace files need them.

    Σ_f θ_f B_f = c_() + Σ_k c_k Π_t A_{k_t} = c_() + Re Σ_k c̃_k Π_t Ã_{k_t}

A are sums over real orthonormal harmonics, Ã those over Ỹ_lm = √4π Y_l^m (complex, Condon–Shortley). With m > 0

    Y_{l,m} = ((−1)^m Ỹ_lm + Ỹ_{l,−m}) / √8π,    Y_{l,−m} = −i ((−1)^m Ỹ_lm − Ỹ_{l,−m}) / √8π,    Y_l0 = Ỹ_l0 / √4π.

Of an energy that no rotation or reflection changes only products with Σm = 0 remain, with real coefficients. Those of m
and −m have the same real part, so that one of the two is enough. Back,

    Ỹ_lm = (−1)^m √2π (Y_{l,m} + i Y_{l,−m}),    Ỹ_{l,−m} = √2π (Y_{l,m} − i Y_{l,−m}),    Ỹ_l0 = √4π Y_l0.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from itertools import product as choices

import numpy as np

from acepure.features.basis import ACEBasis
from acepure.features.change_of_basis import product_expansion
from acepure.labels.factors import OneParticle

# What may be left of products with Σm ≠ 0 and of imaginary parts, relative to the largest coefficient.
_ROUNDING = 1e-9
# Coefficients smaller than this part of the largest one of their order are left out.
_NEGLIGIBLE = 1e-16
# So many products are multiplied out at a time.
_BLOCK = 2**22


@dataclass(frozen=True, eq=False)
class Products:
    """Σ_k c_k Π_t A_{k_t}.

    Attributes
    ----------
    one_particle : tuple of OneParticle
    runs : tuple of (numpy.ndarray, numpy.ndarray)
        For each order ν >= 1: positions in `one_particle`, shape (n, ν), and coefficients, shape (n, n_densities).
    constant : numpy.ndarray, shape (n_densities,)
    n_dropped : int
        How many products were left out because their coefficients are negligible.
    """

    one_particle: tuple[OneParticle, ...]
    runs: tuple[tuple[np.ndarray, np.ndarray], ...]
    constant: np.ndarray
    n_dropped: int = 0


def folded_products(basis: ACEBasis, coefficients: np.ndarray, center: str) -> Products:
    """Return Σ_f θ_pf B_f of one species of center in products of plain sums over real harmonics.

    Parameters
    ----------
    basis : ACEBasis
        Of any kind; the constant is 0 unless it has a reference.
    coefficients : numpy.ndarray, shape (n_densities, n_features)
    center : str

    Examples
    --------
    >>> basis = ACEBasis(["Cu"], order=2, totaldegree=2)
    >>> products = folded_products(basis, np.ones((1, len(basis))), "Cu")
    >>> [factors.shape[1] for factors, _ in products.runs]
    [1, 2]
    """
    matrix, names = product_expansion(basis, center)
    weights = matrix.T @ coefficients.T
    one_particle = tuple(sorted({v._replace(m=sign * v.m) for name in names for v in name for sign in (1, -1)}))
    position = {v: i for i, v in enumerate(one_particle)}
    constant, runs = np.zeros(len(coefficients)), []
    for order, group in groupby(range(len(names)), lambda column: len(names[column])):
        columns = list(group)
        if order == 0:
            constant = weights[columns[0]]
        else:
            factors = np.array([[position[v] for v in names[column]] for column in columns])
            runs.append((factors, weights[columns]))
    return Products(one_particle, tuple(runs), constant)


def complex_products(products: Products) -> Products:
    """Return the same function in products of complex sums, Re Σ_k c̃_k Π_t Ã_{k_t}.

    Parameters
    ----------
    products : Products
        Of sums over real harmonics; with v also the one of −m must be in `one_particle`.

    Raises
    ------
    ValueError
        If the function changes under rotations or reflections.
    """
    position = {v: i for i, v in enumerate(products.one_particle)}
    m = np.array([v.m for v in products.one_particle], dtype=np.int64)
    mirror = np.array([position[v._replace(m=-v.m)] for v in products.one_particle], dtype=np.int64)
    table = _complex_for_real(m, mirror)
    runs, n_dropped = [], 0
    for factors, weights in products.runs:
        factors, weights = merged(*table.expanded(factors, weights))
        largest = abs(weights).max(axis=0, initial=0.0)
        kept = m[factors].sum(axis=1) == 0
        wrong = np.maximum(*(abs(w).max(axis=0, initial=0.0) for w in (weights[~kept], weights[kept].imag)))
        if (wrong > _ROUNDING * largest).any():
            raise ValueError(f"the energy is not invariant: terms of {wrong} beside {largest} must vanish")
        factors, weights = factors[kept], weights[kept].real
        small = (abs(weights) <= _NEGLIGIBLE * largest).all(axis=1)
        n_dropped += int(weights[small].any(axis=1).sum())
        if not small.all():
            runs.append((factors[~small], weights[~small]))
    return Products(products.one_particle, tuple(runs), products.constant, n_dropped)


def merged(factors: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the products in order, each once, with the sum of its weights."""
    unique, inverse = np.unique(np.sort(factors, axis=1), axis=0, return_inverse=True)
    total = np.zeros((len(unique), weights.shape[1]), dtype=weights.dtype)
    np.add.at(total, inverse.ravel(), weights)
    return unique, total


def without_mirrored(factors: np.ndarray, weights: np.ndarray, mirror: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return sorted products of which none is the complex conjugate of another.

    Parameters
    ----------
    factors : numpy.ndarray, shape (n, ν)
    weights : numpy.ndarray of float, shape (n, n_densities)
    mirror : numpy.ndarray of int
        For each sum the one of −m.
    """
    mirrored = np.sort(mirror[factors], axis=1)
    factors = np.sort(factors, axis=1)
    take = _lexicographically_less(mirrored, factors)
    return merged(np.where(take[:, None], mirrored, factors), weights)


@dataclass(frozen=True, eq=False)
class _Substitution:
    """Each sum as a combination of two others: their positions and weights, each of shape (2, n)."""

    targets: np.ndarray
    values: np.ndarray

    def expanded(self, factors: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Products multiplied out, unsorted."""
        parts = []
        for choice in choices((0, 1), repeat=factors.shape[1]):
            values = np.prod([self.values[c, factors[:, t]] for t, c in enumerate(choice)], axis=0)
            targets = np.stack([self.targets[c, factors[:, t]] for t, c in enumerate(choice)], axis=1)
            kept = values != 0
            parts.append((targets[kept], weights[kept] * values[kept, None]))
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _complex_for_real(m: np.ndarray, mirror: np.ndarray) -> _Substitution:
    """Real sums as combinations of the complex ones of |m| and −|m|."""
    here, sign = np.arange(len(m)), (-1.0) ** abs(m)
    first = np.where(m > 0, sign, -1j * sign) / np.sqrt(8 * np.pi)
    second = np.where(m > 0, 1.0, 1j) / np.sqrt(8 * np.pi)
    return _Substitution(
        np.where(m >= 0, [here, mirror], [mirror, here]),
        np.where(m == 0, [[1 / np.sqrt(4 * np.pi)], [0.0]], [first, second]),
    )


def _real_for_complex(m: np.ndarray, mirror: np.ndarray) -> _Substitution:
    """Complex sums as combinations of the real ones of |m| and −|m|."""
    here, sign = np.arange(len(m)), np.where(m > 0, (-1.0) ** abs(m), 1.0)
    both = [sign, np.where(m > 0, 1j * sign, -1j)]
    return _Substitution(
        np.where(m >= 0, [here, mirror], [mirror, here]),
        np.where(m == 0, [[np.sqrt(4 * np.pi)], [0.0]], np.sqrt(2 * np.pi) * np.array(both)),
    )


def real_products(
    m: np.ndarray, mirror: np.ndarray, factors: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return Re Σ_k c̃_k Π_t Ã_{k_t} in products of real sums, each once.

    Parameters
    ----------
    m, mirror : numpy.ndarray of int, shape (n_sums,)
        m of each sum, and the position of the one of −m.
    factors : numpy.ndarray of int, shape (n_terms, ν)
    weights : numpy.ndarray, shape (n_terms, n_densities)
        c̃.

    Examples
    --------
    >>> real_products(np.array([-1, 1]), np.array([1, 0]), np.array([[0, 1]]), np.ones((1, 1)))[0]
    array([[0, 0],
           [1, 1]])
    """
    substitution, parts = _real_for_complex(m, mirror), []
    size = max(1, _BLOCK >> factors.shape[1])
    for i in range(0, len(factors), size):
        products, values = substitution.expanded(factors[i : i + size], weights[i : i + size])
        kept = (values.real != 0).any(axis=1)
        parts.append(merged(products[kept], values.real[kept]))
    factors, weights = merged(*(np.concatenate(arrays) for arrays in zip(*parts)))
    kept = (abs(weights) > _NEGLIGIBLE * abs(weights).max(axis=0, initial=0.0)).any(axis=1)
    return factors[kept], weights[kept]


def _lexicographically_less(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether each row of a comes before that of b."""
    differs = a != b
    first = differs.argmax(axis=1)
    rows = np.arange(len(a))
    return differs.any(axis=1) & (a[rows, first] < b[rows, first])
