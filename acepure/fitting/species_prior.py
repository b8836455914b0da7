"""The prior in which species know of each other: coefficients that differ by species alone are alike before any data.

With K = (1 − ρ) I + ρ 1 1ᵀ between species of neighbors, and Kc of the same form with ρc between species of center,

    G_kk' = Σ_π Π_t K(z_t, z'_π(t)) δ[(n, l, m)_t = (n, l, m)'_π(t)]        products k, k' of one order, π permutations
    S = C G Cᵀ,          Cov(θ_ai, θ_a'i') ∝ Kc(a, a') S_ii' / (Γ_i Γ_i').

ρ = ρc = 0 is S = 1, every combination of species for itself: one that no structure holds stays at zero, although what
it should cancel is there. K is 1 or ρ, so that S = Σ_d ρ^d S_d with d the number of factors whose species differ. The
S_d are found once, and any (ρ, ρc) is a change of the map from unknowns to coefficients.

It asks that equal n mean like functions: the polynomials must be the same for all pairs of species. Polynomials that
are orthonormal for the distances of each pair are not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import combinations_with_replacement, permutations

import numpy as np
from scipy.sparse import coo_array, csr_array, eye_array
from scipy.sparse.csgraph import connected_components

from acepure.features.basis import ACEBasis
from acepure.functions.polynomials import Orthonormal
from acepure.functions.radial import PolynomialRadialBasis
from acepure.models.coverage import Surroundings

__all__ = [
    "correlations",
    "exchangeable",
    "has_common_functions",
    "root_of_correlation",
    "unmet_combinations",
    "unmet_text",
]

# Pairs of products of one step.
_PAIRS = 1_000_000


def exchangeable(n: int, rho: float) -> np.ndarray:
    """Return (1 − ρ) I + ρ 1 1ᵀ, shape (n, n)."""
    return (1 - rho) * np.eye(n) + rho


def correlations(basis: ACEBasis) -> list[csr_array]:
    """Return S_0, S_1, ..., each of shape (n_features, n_features): S = Σ_d ρ^d S_d; S_0 is the identity.

    Parameters
    ----------
    basis : ACEBasis

    Examples
    --------
    Of Cu-Cu, Cu-Zr and Zr-Zr with equal n and l, each differs from the next in one species:

    >>> S = correlations(ACEBasis(["Cu", "Zr"], order=2, n_max=1, l_max=0))
    >>> S[1].toarray()[2:, 2:].round(3)
    array([[0.   , 1.414, 0.   ],
           [1.414, 0.   , 1.414],
           [0.   , 1.414, 0.   ]])
    """
    # The components M of one feature are correlated alike, and those of different M not at all (Schur's lemma).
    C, products = basis.symmetrization[:: 2 * basis.L + 1], basis.products
    names = products.one_particle
    z = np.array([v.z for v in names])
    numbers = {key: k for k, key in enumerate(dict.fromkeys((v.l, v.q, v.m) for v in names))}
    key = np.array([numbers[v.l, v.q, v.m] for v in names])
    shape, start = (len(products), len(products)), 0
    result = [csr_array(C.shape[:1] * 2) for _ in range(basis.order + 1)]
    for run in products.factors:
        for first, second in _pairs_of_equal_keys(key[run]):
            for d, G in enumerate(_sums_over_permutations(key[run], z[run], first, second)):
                kept = np.flatnonzero(G)
                where = (start + first[kept], start + second[kept])
                result[d] = result[d] + C @ coo_array((G[kept], where), shape=shape).tocsr() @ C.T
        start += len(run)
    return result


def _pairs_of_equal_keys(keys: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield all pairs of rows that hold the same keys in some order, many at a time."""
    if not keys.shape[1]:
        return
    _, group = np.unique(np.sort(keys, axis=1), axis=0, return_inverse=True)
    order = np.argsort(group.ravel(), kind="stable")
    sizes = np.bincount(group.ravel())
    edges = np.concatenate([[0], np.cumsum(sizes)])
    steps = np.cumsum(sizes**2) // _PAIRS
    for step in np.unique(steps):
        chosen = np.flatnonzero(steps == step)
        members = [order[edges[g] : edges[g + 1]] for g in chosen]
        yield (
            np.concatenate([np.repeat(rows, len(rows)) for rows in members]),
            np.concatenate([np.tile(rows, len(rows)) for rows in members]),
        )


def _sums_over_permutations(keys: np.ndarray, z: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How many π map the keys of the one to those of the other with d species that differ, shape (ν + 1, n_pairs)."""
    order = keys.shape[1]
    result = np.zeros((order + 1, len(first)))
    for permutation in permutations(range(order)):
        moved = second[:, None], list(permutation)
        matching = np.flatnonzero((keys[first] == keys[moved]).all(axis=1))
        different = (z[first] != z[moved]).sum(axis=1)[matching]
        result[different, matching] += 1
    return result


def root_of_correlation(S: list[csr_array], rho: float) -> csr_array:
    """Return L with L Lᵀ = Σ_d ρ^d S_d; it joins features that know of each other alone."""
    total = csr_array(sum(rho**d * part for d, part in enumerate(S)))
    n, sets = connected_components(total, directed=False)
    if n == total.shape[0]:
        return csr_array(eye_array(n))
    order = np.argsort(sets, kind="stable")
    rows, columns, values = [], [], []
    for members in np.split(order, np.flatnonzero(np.diff(sets[order])) + 1):
        variances, directions = np.linalg.eigh(total[members][:, members].toarray())
        rows.append(np.repeat(members, len(members)))
        columns.append(np.tile(members, len(members)))
        values.append((directions * np.sqrt(np.maximum(variances, 0.0))).ravel())
    where = np.concatenate(rows), np.concatenate(columns)
    return csr_array((np.concatenate(values), where), shape=total.shape)


def has_common_functions(basis: ACEBasis) -> bool:
    """Whether all pairs of species share one family of polynomials, so that equal n mean like functions.

    The transform may take distances in units of the radii of a pair; cutoffs must be equal.
    """
    radial = basis.radial
    if not isinstance(radial, PolynomialRadialBasis) or np.ptp(basis.cutoffs):
        return False
    family = radial.polynomials
    return not (isinstance(family, Orthonormal) and isinstance(family.measure, Mapping))


def unmet_combinations(basis: ACEBasis, surroundings: Surroundings) -> tuple[list[str], int]:
    """Return combinations of elements that no structure holds, and how many coefficients rest on the prior alone.

    Parameters
    ----------
    basis : ACEBasis
    surroundings : Surroundings
        What is around the atoms of the structures.

    Returns
    -------
    names : list of str
        "Mo-Nb" or "Mo-Nb-Ta", "Mo" for an element: the smallest, of which all smaller parts are met.
    n_coefficients : int
        Of all species of center.

    Examples
    --------
    >>> basis = ACEBasis(["Cu", "Zr"], order=1, n_max=3, l_max=0)
    >>> unmet_combinations(basis, Surroundings({"Cu": [frozenset(["Cu"])], "Zr": [frozenset(["Zr"])]}))
    (['Cu-Zr'], 6)
    """
    count, unmet = 0, set()
    neighbors = Counter(frozenset(label.species) for label in basis.labels)
    for center in basis.species:
        for kinds, n in neighbors.items():
            if not surroundings.holds(center, kinds):
                count += n
                unmet.add(kinds | {center})
    names = []
    for size in range(1, len(basis.species) + 1):
        for elements in combinations_with_replacement(basis.species, max(size, 2)):
            chosen = frozenset(elements)
            if len(chosen) == size and chosen in unmet and not any(part < chosen for part in unmet):
                names.append("-".join(elements) if size > 1 or chosen <= surroundings.centers else elements[0])
    return names, count


def unmet_text(basis: ACEBasis, surroundings: Surroundings) -> str:
    """Return what `unmet_combinations` found as a sentence; empty if all were met."""
    names, count = unmet_combinations(basis, surroundings)
    if not count:
        return ""
    total = len(basis.species) * len(basis)
    return f"{count:,} of {total:,} coefficients rest on the prior alone: no structure holds {', '.join(names)}"
