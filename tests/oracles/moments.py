"""Oracles for moments of products, and for their Gram matrices in one dimension.

Like `reference.py`, on NumPy alone: nothing is imported from the package.

===========================  ===================================================================
moments                      `poisson_moment`, `poisson_centered_moment`, `iid_moment`
one dimension                `toy_indices`, `toy_gram`, `scaled_condition_number`
===========================  ===================================================================
"""

import itertools
import math

import numpy as np
from numpy.polynomial.chebyshev import chebgauss
from numpy.polynomial.legendre import leggauss
from oracles.canonical import chebyshev_values, factorial_of_multiplicities, legendre_values, partial_matchings

# --- moments ----------------------------------------------------------------------------------------------------------


def _matching_product(matching, k, k_prime, product_mean):
    """Π over matched pairs of ∫ φ_u φ_v, and Π over unmatched functions of ∫ φ_v."""
    matched = {s for s, _ in matching}, {t for _, t in matching}
    pairs = math.prod(product_mean([k[s], k_prime[t]]) for s, t in matching)
    singles = [v for s, v in enumerate(k) if s not in matched[0]]
    singles += [v for t, v in enumerate(k_prime) if t not in matched[1]]
    return pairs, math.prod(product_mean([v]) for v in singles)


def poisson_moment(k, k_prime, product_mean):
    """E[𝒜_k 𝒜_k'] for the neighbors of a Poisson process: a sum over partial matchings of k with k'.

    A matched pair is one atom that both tuples use. `product_mean(list of columns)` is ∫ Π φ_v dλ.
    """
    matchings = partial_matchings(len(k), len(k_prime))
    return math.fsum(math.prod(_matching_product(m, k, k_prime, product_mean)) for m in matchings)


def poisson_centered_moment(k, k_prime, product_mean):
    """E[I_k I_k'] of the centered canonical basis: the perfect matchings of `poisson_moment` alone.

    For functions orthonormal in λ this is δ_kk' Π mult(k)!.
    """
    if len(k) != len(k_prime):
        return 0.0
    perfect = (m for m in partial_matchings(len(k), len(k_prime)) if len(m) == len(k))
    return math.fsum(_matching_product(m, k, k_prime, product_mean)[0] for m in perfect)


def iid_moment(k, k_prime, product_mean, n_particles):
    """E[𝒜_k 𝒜_k'] for J independent particles of one probability measure.

    As for the Poisson process, with J!/(J − b)! ways to place the b = ν + ν' − #matched distinct atoms.
    """
    total = []
    for matching in partial_matchings(len(k), len(k_prime)):
        n_atoms = len(k) + len(k_prime) - len(matching)
        total.append(math.perm(n_particles, n_atoms) * math.prod(_matching_product(matching, k, k_prime, product_mean)))
    return math.fsum(total)


# --- one dimension ----------------------------------------------------------------------------------------------------


def toy_indices(order, degree, k_min):
    """Sorted tuples of 1 ... `order` integers ≥ `k_min` with Σ k ≤ `degree`, by order, then by tuple."""

    def tuples(length, smallest, budget):
        if length == 0:
            yield ()
            return
        for first in range(smallest, budget // length + 1):
            for rest in tuples(length - 1, first, budget - first):
                yield (first, *rest)

    return [k for length in range(1, order + 1) for k in tuples(length, k_min, degree)]


def toy_gram(family, indices, n_particles, canonical):
    """E[B_k B_k'] over J iid particles from the orthogonality measure of `family`, exact.

    The functions are orthonormal: √2 T_k ("chebyshev", arcsine law) or √(2k+1) P_k ("legendre", uniform
    law). One particle meets polynomials of degree ≤ 2 max Σk, so a Gauss grid with max Σk + 1 nodes per
    particle is exact; a product is symmetric in the particles, so one grid point per multiset of nodes is
    enough, with the multinomial weight.
    """
    degree = max(sum(k) for k in indices)
    if family == "chebyshev":
        nodes, weights = chebgauss(degree + 1)
        weights = weights / np.pi
        values = chebyshev_values(nodes, degree)
        values[:, 1:] *= math.sqrt(2)
    else:
        nodes, weights = leggauss(degree + 1)
        weights = weights / 2
        values = legendre_values(nodes, degree)
    points = np.array(list(itertools.combinations_with_replacement(range(degree + 1), n_particles)))
    orderings = [math.factorial(n_particles) / factorial_of_multiplicities(point) for point in points]
    phi = values[points]  # (grid point, particle, function)
    columns = [_canonical_columns(phi, k) if canonical else phi.sum(axis=1)[:, k].prod(axis=1) for k in indices]
    design = np.stack(columns, axis=1)
    return design.T @ (design * (weights[points].prod(axis=1) * orderings)[:, None])


def _canonical_columns(phi, k):
    """𝒜_k at every grid point: phi (grid point, particle, function)."""
    total = np.zeros(len(phi))
    for particles in itertools.permutations(range(phi.shape[1]), len(k)):
        total += phi[:, list(particles), list(k)].prod(axis=1)
    return total


def scaled_condition_number(gram):
    """λ_max/λ_min of D^{−1/2} G D^{−1/2}, D = diag G: scaled columns, condition of G, not of its root."""
    scale = 1 / np.sqrt(np.diag(gram))
    eigenvalues = np.linalg.eigvalsh(gram * scale * scale[:, None])
    return eigenvalues[-1] / eigenvalues[0]
