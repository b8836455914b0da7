"""Oracles for atoms: neighbors, one-particle functions, many products at once, rotations of harmonics.

Like `reference.py`, on NumPy, SciPy and ASE alone: nothing is imported from the package. Radial functions are given
by plain functions `radial(r, center, neighbor, n) -> (len(r), n)`; `polynomial_radial` builds the usual ones.
"""

import math
from collections import Counter

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from ase.neighborlist import neighbor_list
from oracles import canonical as reference

# --- radial functions --------------------------------------------------------------------------------------------

ENVELOPES = {
    "polynomial": lambda u, p: (1 - u) ** p,
    "smooth": lambda u, p: (1 - u * u) ** p,
    "cosine": lambda u, p: (1 + np.cos(np.pi * u)) / 2,
}


def agnesi_transform(r, rcut, center, neighbor, p=2.0, q=4.0):
    """1/(1 + a u^q/(1 + u^(q−p))), u = r over the sum of covalent radii, mapped so that x(0) = −1, x(rcut) = 1."""
    a = (4 * p * q - 2 * p - 2 * q) / (p + p**2 + q + q**2)
    r0 = covalent_radii[atomic_numbers[center]] + covalent_radii[atomic_numbers[neighbor]]

    def y(distance):
        u = distance / r0
        return 1 / (1 + a * u**q / (1 + u ** (q - p)))

    return 2 * (y(r) - 1) / (y(rcut) - 1) - 1


def linear_transform(r, rcut, center, neighbor):
    return 2 * r / rcut - 1


def polynomial_radial(cutoff, transform, envelope, exponent, family, measure=None):
    """f(r) P_n(x(r)) as a plain function.

    `cutoff(center, neighbor)` in Å, `envelope` a key of ENVELOPES, `family` "chebyshev", "legendre" (orthonormal in
    dx) or "orthonormal": Σ_k w_k R_n(r_k) R_m(r_k) = δ with P_n of positive leading coefficient, for `measure` =
    (nodes, weights), by a QR decomposition.
    """

    def graded_chebyshev(r, center, neighbor, n):
        rcut = cutoff(center, neighbor)
        inside = np.minimum(r, rcut)
        f = np.where(r < rcut, ENVELOPES[envelope](inside / rcut, exponent), 0.0)
        return f[:, None], transform(inside, rcut, center, neighbor)

    def radial(r, center, neighbor, n):
        f, x = graded_chebyshev(np.asarray(r, dtype=float), center, neighbor, n)
        if family == "legendre":
            return f * reference.legendre_values(x, n - 1) / math.sqrt(2)
        values = f * reference.chebyshev_values(x, n - 1)
        if family == "chebyshev":
            return values
        nodes, weights = (np.asarray(a, dtype=float) for a in measure)
        f, x = graded_chebyshev(nodes, center, neighbor, n)
        R = np.linalg.qr(np.sqrt(weights)[:, None] * f * reference.chebyshev_values(x, n - 1), mode="r")
        return np.linalg.solve((R * np.sign(np.diag(R))[:, None]).T, values.T).T

    return radial


# --- environments ------------------------------------------------------------------------------------------------


def environment(atoms, center, cutoff):
    """Symbols and vectors (n, 3) of the neighbors of one atom, from ASE; `cutoff(center, neighbor)` in Å."""
    symbols = np.array(atoms.get_chemical_symbols())
    largest = max(cutoff(a, b) for a in set(symbols) for b in set(symbols))
    i, j, d, vectors = neighbor_list("ijdD", atoms, largest)
    limits = np.array([cutoff(symbols[center], symbol) for symbol in symbols])
    kept = (i == center) & (d < limits[j])
    return symbols[j[kept]], vectors[kept]


def one_particle_values(symbols, vectors, center, labels, radial):
    """φ_v(r_j), shape (n_neighbors, len(labels)), for labels (species, n, l, m)."""
    phi = np.zeros((len(vectors), len(labels)))
    if not len(vectors):
        return phi
    r = np.linalg.norm(vectors, axis=1)
    lmax, n_radial = max(l for _, _, l, _ in labels), 1 + max(n for _, n, _, _ in labels)
    y = reference.real_harmonics(vectors, lmax)
    for species in {species for species, _, _, _ in labels}:
        of_species = symbols == species
        values = radial(r[of_species], center, species, n_radial)
        for column, (name, n, l, m) in enumerate(labels):
            if name == species:
                phi[of_species, column] = values[:, n] * y[of_species, l * l + l + m]
    return phi


def random_cluster(rng, n_neighbors, rcut, species, r_min=0.3):
    """Symbols and vectors of a random environment."""
    from oracles.structures import random_environment

    return rng.choice(species, size=n_neighbors), random_environment(rng, n_neighbors, rcut, r_min)


# --- products ----------------------------------------------------------------------------------------------------


def canonical_products(phi, factors):
    """𝒜_k for many k of one order: `reference.canonical_closed_form` for all rows of `factors` (n, ν) at once.

    Returns values and scales, each (n,).
    """
    values, scales = np.zeros((2, len(factors)))
    pools = {}
    for partition in reference.set_partitions(factors.shape[1]):
        value, scale = np.ones((2, len(factors)))
        for block in partition:
            if block not in pools:
                terms = np.prod(phi[:, factors[:, list(block)]], axis=2)
                pools[block] = terms.sum(axis=0), abs(terms).sum(axis=0)
            weight = math.factorial(len(block) - 1)
            value = value * pools[block][0] * (-1) ** (len(block) - 1) * weight
            scale = scale * pools[block][1] * weight
        values += value
        scales += scale
    return values, scales


def self_interacting_products(phi, factors):
    """AA_k for many k of one order, with scales."""
    return np.prod(phi.sum(axis=0)[factors], axis=1), np.prod(abs(phi).sum(axis=0)[factors], axis=1)


def multiplicity_factorials(k):
    """Π mult(k)! of a multiset."""
    return math.prod(math.factorial(count) for count in Counter(k).values())


# --- rotations ---------------------------------------------------------------------------------------------------


def rotation_matrices(rotation, lmax):
    """D^l(Q) with Y_l(Q r) = D^l Y_l(r) for l = 0 ... lmax, by least squares over random directions."""
    points = np.random.default_rng(99).normal(size=(4 * (lmax + 1) ** 2, 3))
    before, after = (reference.real_harmonics(p, lmax) for p in (points, points @ rotation.T))
    slices = [slice(l * l, (l + 1) ** 2) for l in range(lmax + 1)]
    return [np.linalg.lstsq(before[:, s], after[:, s], rcond=None)[0].T for s in slices]


def representation(rotation, L, parity):
    """D^L(Q), from harmonics of rotated points, for an improper Q with the parity asked for."""
    sign = parity * (-1) ** L if np.linalg.det(rotation) < 0 else 1
    return sign * rotation_matrices(rotation, L)[L]
