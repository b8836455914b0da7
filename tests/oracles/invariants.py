"""Oracles for invariants: how many there are, and their values by sums over tuples of neighbors.

Like `reference.py`, on NumPy and SciPy alone: nothing is imported from the package.

===========================  ===================================================================
counting                     `invariant_count`, `count_total_degree`, `count_box`
invariants                   `power_spectrum`, `naive_feature`
===========================  ===================================================================
"""

import functools
import itertools
import math
from collections import Counter
from fractions import Fraction

import numpy as np
import scipy.special
from numpy.polynomial.legendre import leggauss
from oracles.canonical import factorial_of_multiplicities, sphere_quadrature

# --- counting ---------------------------------------------------------------------------------------------------------


def invariant_count(ls, groups):
    """Number of O(3)-invariant couplings of Y_{l_1} ... Y_{l_ν} that are symmetric among equal functions.

    `groups[t]` is the radial label of slot t (any n, species): slots with equal l and equal group are
    the same function, and only the multiset of their m matters. Counts the states with M = 0 minus those
    with M = 1; zero for odd Σ l (inversion).
    """
    slots = Counter(zip(groups, ls, strict=True))
    return _count_states(tuple(sorted((l, size) for (_, l), size in slots.items())))


@functools.cache
def _count_states(slots):
    """`slots`: sorted (l, number of equal functions)."""
    if sum(l * size for l, size in slots) % 2:
        return 0
    choices = [itertools.combinations_with_replacement(range(-l, l + 1), size) for l, size in slots]
    totals = Counter(sum(map(sum, state)) for state in itertools.product(*choices))
    return totals[0] - totals[1]


def _count_multisets(functions, order, weight, budget):
    """Σ of invariant_count over multisets of `order` (n, l) pairs with Σ weight ≤ budget."""
    functions = sorted(functions, key=weight)

    def count(chosen, start, left):
        if len(chosen) == order:
            return invariant_count([l for _, l in chosen], [n for n, _ in chosen])
        total = 0
        for i in range(start, len(functions)):
            # functions are sorted: the remaining slots weigh at least as much as this one
            if weight(functions[i]) * (order - len(chosen)) > left:
                break
            total += count([*chosen, functions[i]], i, left - weight(functions[i]))
        return total

    return count([], 0, budget)


def count_total_degree(degree, order, wL=1, n_start=0):
    """Number of invariants of exactly `order` with Σ_t (n_t + wL l_t) ≤ degree, n ≥ n_start."""
    wL, degree = Fraction(wL), Fraction(degree)  # exact comparisons for wL such as 3/2
    functions = [
        (n, l) for n in range(n_start, int(degree) + 1) for l in range(int(degree / wL) + 1) if n + wL * l <= degree
    ]
    return _count_multisets(functions, order, lambda nl: nl[0] + wL * nl[1], degree)


def count_box(n_max, l_max, order):
    """Number of invariants of exactly `order` with n_max radial functions and l = 0 ... l_max."""
    functions = [(n, l) for n in range(n_max) for l in range(l_max + 1)]
    return _count_multisets(functions, order, lambda nl: 0, 0)


# --- invariants -------------------------------------------------------------------------------------------------------


def _directions(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def power_spectrum(radial_values, vectors, l, include_self=True):
    """(2l+1)/4π Σ_{j,j'} R_n(r_j) R_n'(r_j') P_l(cos θ_jj'), shape (n_radial, n_radial).

    With all pairs this is Σ_m A_nlm A_n'lm (the SOAP power spectrum); with `include_self=False` j ≠ j' only,
    which is Σ_m 𝒜_{nlm,n'lm}. `radial_values` is (n_neighbors, n_radial).
    """
    unit = _directions(vectors)
    angular = scipy.special.eval_legendre(l, np.clip(unit @ unit.T, -1, 1))
    if not include_self:
        np.fill_diagonal(angular, 0)
    return (2 * l + 1) / (4 * np.pi) * radial_values.T @ angular @ radial_values


def naive_feature(radial_values, vectors, label, canonical=True):
    """One invariant feature by a sum over tuples of neighbors: *the* feature of its block for orders 1 to 3.

    `label` is a sequence of (column of radial_values, l); a column stands for n and species, zero for
    neighbors of other species. The sign is a convention from order 3 on. Neither harmonics nor coupling
    coefficients appear. For orders 1 to 3 a block has at most one O(3)-invariant coupling c_{m_1 ... m_ν},
    and it is proportional to ∫ Π_t Y_{l_t m_t}(Ω) dΩ (at order 4 and above: one vector in the span of the
    block's couplings). By the addition theorem

        Σ_m c_m Π_t Y_{l_t m_t}(r̂_t) = (1/N) ∫ Π_t q_t(r̂_t·Ω) dΩ,   q_t(x) = (2 l_t + 1)/4π P_{l_t}(x),

    and Σ_m c_m² = 1 fixes N² = 8π² ∫_{−1}^{1} Π_t q_t(x) dx, zero (up to order 3) only if no coupling exists.

    Normalization in ⟨k, k⟩ = Π mult(k)!: let G = Π g! over groups of g equal (n, l). A multiset k occurs
    G/mult(k)! times in Σ_m c_m 𝒜_{k(m)}, each time with the same c_m, so the norm² is
    Σ_k (G/mult(k)!)² c² mult(k)! = G Σ_m c_m² = G. Hence the feature is Σ_m c_m 𝒜_{k(m)} / √G. At order 1:
    Σ_j R_n/√4π; at order 2: Σ_m A_nlm A_n'lm/√(2l+1) for n ≠ n' and 1/√(2(2l+1)) for n = n'.
    """
    ls = [l for _, l in label]
    x, x_weights = leggauss(sum(ls) // 2 + 1)
    kernels = [_addition_kernel(l, x) for l in ls]
    norm_squared = 8 * np.pi**2 * np.sum(x_weights * np.prod(kernels, axis=0))
    if norm_squared < 1e-10:
        raise ValueError(f"no O(3)-invariant coupling of l = {ls}")
    directions, weights = sphere_quadrature(sum(ls))
    cosines = _directions(vectors) @ directions.T
    factors = [radial_values[:, n, None] * _addition_kernel(l, cosines) for n, l in label]
    neighbors = range(len(vectors))
    if canonical:
        tuples = itertools.permutations(neighbors, len(label))
    else:
        tuples = itertools.product(neighbors, repeat=len(label))
    total = math.fsum(
        weights @ np.prod([factor[j] for factor, j in zip(factors, chosen, strict=True)], axis=0) for chosen in tuples
    )
    return total / math.sqrt(norm_squared * factorial_of_multiplicities(map(tuple, label)))


def _addition_kernel(l, x):
    """Σ_m Y_lm(a) Y_lm(b) for a·b = x."""
    return (2 * l + 1) / (4 * np.pi) * scipy.special.eval_legendre(l, x)
