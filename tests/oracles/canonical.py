"""Slow, independent oracles: every fast formula of the package is tested against one of these.

Only NumPy and SciPy are used and nothing is imported from the package, so that an error cannot hide by
being on both sides of a comparison. Here: functions of one particle and products of them. Further oracles
are in `moments.py`, `invariants.py` and `atoms.py`; structures to try them
on are in `structures.py`.

===========================  ===================================================================
one particle                 `real_harmonics`, `sphere_quadrature`, `real_gaunt`,
                             `chebyshev_values`, `legendre_values`
combinatorics                `set_partitions`, `partial_pairings`, `partial_matchings`,
                             `factorial_of_multiplicities`
one product, table of rows   `self_interacting`, `shifted`, `canonical_brute_force`,
                             `canonical_closed_form`, `centered_canonical`, `wick`,
                             `canonical_pair_constants`, and `recursion_value` for all of them;
                             `chebyshev_purification`
===========================  ===================================================================

Conventions. `phi` has shape (n_neighbors, n_functions) and holds φ_v(r_j); `k` is a sequence of columns of
`phi`. The oracles for one product return `(value, scale)`, where scale is the same sum with every term
replaced by its absolute value: round-off is proportional to the scale, not to a value that may cancel.
"""

import itertools
import math
from collections import Counter
from fractions import Fraction

import numpy as np
import scipy.special
from numpy.polynomial.chebyshev import chebvander
from numpy.polynomial.legendre import leggauss, legvander

# --- one particle -----------------------------------------------------------------------------------------------------


def _complex_harmonic(l, m, polar, azimuth):
    """Y_l^m with the Condon-Shortley phase; SciPy 1.15 renamed it and swapped both pairs of arguments."""
    if hasattr(scipy.special, "sph_harm_y"):
        return scipy.special.sph_harm_y(l, m, polar, azimuth)
    return scipy.special.sph_harm(m, l, azimuth, polar)


def real_harmonics(vectors, lmax):
    """Real orthonormal Y_lm of the directions of `vectors` (..., 3), shape (..., (lmax + 1)²).

    Index l² + l + m; Y_{l,m} = √2 (−1)^m Re Y_l^m and Y_{l,−m} = √2 (−1)^m Im Y_l^m for m > 0, so that
    l = 1 is √(3/4π) (y, z, x).
    """
    x, y, z = np.moveaxis(np.asarray(vectors, dtype=float), -1, 0)
    polar, azimuth = np.arctan2(np.hypot(x, y), z), np.arctan2(y, x)
    values = np.empty((*x.shape, (lmax + 1) ** 2))
    for l in range(lmax + 1):
        values[..., l * l + l] = _complex_harmonic(l, 0, polar, azimuth).real
        for m in range(1, l + 1):
            harmonic = math.sqrt(2) * (-1) ** m * _complex_harmonic(l, m, polar, azimuth)
            values[..., l * l + l + m] = harmonic.real
            values[..., l * l + l - m] = harmonic.imag
    return values


def sphere_quadrature(degree):
    """Directions (n, 3) and weights (n,), Σ w = 4π, exact for polynomials up to `degree` on the sphere."""
    z, z_weights = leggauss(degree // 2 + 1)
    azimuth = 2 * np.pi * np.arange(degree + 1) / (degree + 1)
    z_grid, azimuth_grid = (a.ravel() for a in np.meshgrid(z, azimuth, indexing="ij"))
    rho = np.sqrt(1 - z_grid**2)
    directions = np.stack([rho * np.cos(azimuth_grid), rho * np.sin(azimuth_grid), z_grid], axis=1)
    return directions, np.repeat(z_weights, degree + 1) * 2 * np.pi / (degree + 1)


def real_gaunt(l1, l2, l3):
    """∫ Y_{l1 m1} Y_{l2 m2} Y_{l3 m3} dΩ, shape (2 l1 + 1, 2 l2 + 1, 2 l3 + 1), by exact quadrature."""
    directions, weights = sphere_quadrature(l1 + l2 + l3)
    y = real_harmonics(directions, max(l1, l2, l3))
    a, b, c = (y[:, l * l : (l + 1) ** 2] for l in (l1, l2, l3))
    return np.einsum("q,qa,qb,qc->abc", weights, a, b, c)


def chebyshev_values(x, n):
    """T_0 ... T_n at `x`, shape (..., n + 1); in dx/(π√(1−x²)) the norm² of T_0 is 1, of the others ½."""
    return chebvander(np.asarray(x, dtype=float), n)


def legendre_values(x, n):
    """√(2k+1) P_k(x) for k = 0 ... n, shape (..., n + 1): orthonormal in dx/2 on [−1, 1]."""
    return legvander(np.asarray(x, dtype=float), n) * np.sqrt(2 * np.arange(n + 1) + 1)


# --- one product ------------------------------------------------------------------------------------------------------


def set_partitions(n):
    """All partitions of {0, ..., n − 1} into non-empty blocks, each a list of tuples; Bell(n) of them."""
    if n == 0:
        yield []
        return
    for smaller in set_partitions(n - 1):
        yield [*smaller, (n - 1,)]
        for i, block in enumerate(smaller):
            yield [*smaller[:i], (*block, n - 1), *smaller[i + 1 :]]


def partial_pairings(positions):
    """All ways to form disjoint pairs among `positions`: yields (pairs, positions left alone)."""
    if not positions:
        yield [], []
        return
    first, *others = positions
    for pairs, alone in partial_pairings(others):
        yield pairs, [first, *alone]
    for i, partner in enumerate(others):
        for pairs, alone in partial_pairings(others[:i] + others[i + 1 :]):
            yield [(first, partner), *pairs], alone


def partial_matchings(n, n_prime):
    """All ways to match some of range(n) one to one with some of range(n_prime): lists of pairs (s, t)."""
    for size in range(min(n, n_prime) + 1):
        for chosen in itertools.combinations(range(n), size):
            for partners in itertools.permutations(range(n_prime), size):
                yield list(zip(chosen, partners, strict=True))


def factorial_of_multiplicities(labels):
    """Π mult! of a multiset."""
    return math.prod(math.factorial(count) for count in Counter(labels).values())


def _pooled(phi, columns):
    """(Σ_j Π_v φ_v(j), Σ_j |Π_v φ_v(j)|), summed without round-off."""
    terms = np.prod(phi[:, list(columns)], axis=1)
    return math.fsum(terms), math.fsum(abs(terms))


def _sum_with_scale(terms):
    """Add (value, scale) pairs."""
    terms = list(terms)
    return math.fsum(value for value, _ in terms), math.fsum(scale for _, scale in terms)


def _product_with_scale(factors):
    """Multiply (value, scale) pairs."""
    factors = list(factors)
    return math.prod(value for value, _ in factors), math.prod(scale for _, scale in factors)


def self_interacting(phi, k):
    """AA_k = Π_t Σ_j φ_{k_t}(j), with its scale."""
    return _product_with_scale(_pooled(phi, [v]) for v in k)


def shifted(phi, k, mu):
    """Π_t (A_{k_t} − μ_{k_t}), with its scale; `mu[v]` is the mean of A_v."""
    return _product_with_scale(_centered_pool(phi, [v], mu[v]) for v in k)


def _centered_pool(phi, columns, mean):
    """A − μ of the product of `columns`, with its scale."""
    value, scale = _pooled(phi, columns)
    return value - mean, scale + abs(mean)


def canonical_brute_force(phi, k):
    """𝒜_k = Σ over ordered tuples of pairwise distinct neighbors of Π_t φ_{k_t}(j_t), with its scale.

    Costs J!/(J − ν)! terms for J neighbors and order ν.
    """
    tuples = list(itertools.permutations(range(len(phi)), len(k)))
    tuples = np.array(tuples, dtype=int).reshape(len(tuples), len(k))
    terms = np.prod(phi[tuples, np.array(k, dtype=int)], axis=1)
    return math.fsum(terms), math.fsum(abs(terms))


def canonical_closed_form(phi, k):
    """𝒜_k = Σ_π Π_{b∈π} (−1)^{|b|−1} (|b|−1)! Σ_j Π_{t∈b} φ_{k_t}(j), π over set partitions; with its scale.

    Independent of the number of neighbors: 203 terms at order 6.
    """
    zero = dict.fromkeys(k, 0.0)
    return canonical_pair_constants(phi, k, zero, lambda product: 0.0, lambda product: 0.0)


def centered_canonical(phi, k, mu):
    """Σ_{S⊆k} Π_{t∈S} (−μ_{k_t}) 𝒜_{k∖S} by brute force, with its scale."""
    terms = []
    for size in range(len(k) + 1):
        for removed in itertools.combinations(range(len(k)), size):
            value, scale = canonical_brute_force(phi, [v for t, v in enumerate(k) if t not in removed])
            constant = math.prod(-mu[k[t]] for t in removed)
            terms.append((constant * value, abs(constant) * scale))
    return _sum_with_scale(terms)


def wick(phi, k, mu, covariance):
    """Σ over partial pairings of k of (−1)^{#pairs} Π_pairs Cov_uv Π_rest (A_v − μ_v), with its scale."""
    terms = []
    for pairs, alone in partial_pairings(list(range(len(k)))):
        constant = math.prod(-covariance[k[s], k[t]] for s, t in pairs)
        value, scale = shifted(phi, [k[t] for t in alone], mu)
        terms.append((constant * value, abs(constant) * scale))
    return _sum_with_scale(terms)


def canonical_pair_constants(phi, k, mu, product_mu, g):
    """The recursion with κ-terms, summed directly, for pair constants that depend on the product alone.

    Σ_π Π_{b∈π} w_b with w_b = A_v − μ_v for a block of one and, for two or more,

        w_b = (−1)^{|b|−1} (|b|−1)! (A_b − μ_b + g_b),   A_b = Σ_j Π_{t∈b} φ_{k_t}(j).

    `product_mu(b)` and `g(b)` take the sorted tuple of the columns multiplied. c_{uv} = g(uv) has to hold
    for products u, v, too; then the result is symmetric in k. g = product_mu is the centered canonical basis.
    With any other c, such as Cov(A_u, A_v) of product functions, c_{u,vw} ≠ c_{uv,w}: the recursion then
    depends on the order of k from order 3 on, and no direct formula of this kind exists.
    """
    terms = []
    for partition in set_partitions(len(k)):
        factors = []
        for block in partition:
            product = tuple(sorted(k[t] for t in block))
            if len(block) == 1:
                factors.append(_centered_pool(phi, product, mu[product[0]]))
            else:
                value, scale = _pooled(phi, product)
                sign = (-1) ** (len(block) - 1) * math.factorial(len(block) - 1)
                mean, constant = product_mu(product), g(product)
                factors.append((sign * (value - mean + constant), abs(sign) * (scale + abs(mean - constant))))
        terms.append(_product_with_scale(factors))
    return _sum_with_scale(terms)


def recursion_value(phi, k, mu=None, c=None, canonical=True):
    """The recursion of the package, for the values of one environment; `(value, scale)`.

        I_{k'v} = Ã_v I_{k'} − Σ_t ( Σ_κ p^κ_{k_t v} I_{k'[t→κ]} + c_{k_t v} I_{k' without t} ),   I_() = 1

    Nothing is linearized: Σ_κ p^κ_{uv} φ_κ *is* the pointwise product φ_u φ_v, and I is linear in each of
    its functions, so the κ-term is I of the list in which function t became that product. A product is
    known by its history, the sorted tuple of the columns multiplied: `mu(history)` is the mean of its pool
    and `c(history_u, history_v)` the pair constant (None: zero). k is used in the order given, v last.
    """

    def value_and_scale(histories):
        if not histories:
            return 1.0, 1.0
        *front, last = histories
        terms = [
            _product_with_scale([_centered_pool(phi, last, mu(last) if mu else 0.0), value_and_scale(tuple(front))])
        ]
        for t, history in enumerate(front):
            before, after = front[:t], front[t + 1 :]
            if canonical:
                product = tuple(sorted(history + last))
                value, scale = value_and_scale((*before, product, *after))
                terms.append((-value, scale))
            if c:
                constant = c(history, last)
                value, scale = value_and_scale((*before, *after))
                terms.append((-constant * value, abs(constant) * scale))
        return _sum_with_scale(terms)

    return value_and_scale(tuple((v,) for v in k))


def chebyshev_purification(k):
    """Row k of 𝒜 = P AA for bare Chebyshev particles: {sorted tuple: Fraction}, zeros removed.

    The closed form, with T_a T_b = ½ (T_{a+b} + T_{|a−b|}) applied within each block.
    """
    row = Counter()
    for partition in set_partitions(len(k)):
        combination = {(): Fraction(1)}
        for block in partition:
            pool = {k[block[0]]: Fraction((-1) ** (len(block) - 1) * math.factorial(len(block) - 1))}
            for t in block[1:]:
                product = Counter()
                for a, coefficient in pool.items():
                    product[a + k[t]] += coefficient / 2
                    product[abs(a - k[t])] += coefficient / 2
                pool = product
            combination = {(*indices, a): x * y for indices, x in combination.items() for a, y in pool.items()}
        for indices, coefficient in combination.items():
            row[tuple(sorted(indices))] += coefficient
    return {indices: coefficient for indices, coefficient in row.items() if coefficient}
