"""Moments of centered canonical features of an ideal gas: zero means and the unit Gram matrix, exactly and sampled."""

import itertools
import math
from functools import cache

import numpy as np
import pytest
from ase import Atoms
from cases.references import RCUT, SPECIES, DensityMoments, polynomials, setup
from oracles import moments as reference_moments

from acepure import ACEBasis, IdealGas
from acepure.neighbors.lists import NeighborList

# --- an ideal gas, exactly --------------------------------------------------------------------------------------------


class Graded(DensityMoments):
    """As its base, with radial labels n that stand for (s, n), f^s T_n for s > 1."""

    def values(self, r, center, neighbor, radials):
        columns = []
        for l, (s, n) in radials:
            functions = self.functions if s == 1 else polynomials(grade=s)
            columns.append(functions(r, center, neighbor, l, n + 1)[:, n])
        return np.prod(columns, axis=0)


def product_moments(integral):
    """E[Π_t (A_v − μ_v)] of a Poisson process: over set partitions without blocks of one, Π of ∫ Π φ dλ."""

    @cache
    def moment(k):
        if not k:
            return 1.0
        first, *others = k
        total = 0.0
        for size in range(1, len(others) + 1):
            for block in itertools.combinations(range(len(others)), size):
                cumulant = integral((first, *(others[t] for t in block)))
                if abs(cumulant) > 1e-13:
                    total += cumulant * moment(tuple(v for t, v in enumerate(others) if t not in block))
        return total

    return moment


def exact_moments(case, center):
    """Means and Gram matrix of the features under the density of neighbors, and the scale of rounding of the latter."""
    operators = case.basis.operators(center)
    moments = Graded(case.moments.functions, case.moments.measures)
    integral = cache(lambda g: moments.mu(center, g))
    moment = product_moments(lambda g: integral(tuple(sorted(g))))
    names = {v: (case.basis.species[v.z], v.q, v.l, v.m) for v in operators.extended_products.one_particle}
    z = case.basis.species.index(center)
    group = next(group for group in case.basis._groups if z in group.species)
    np.testing.assert_allclose(group.shift[z], [integral((v,)) for v in names.values()], rtol=1e-11, atol=1e-13)

    ks = [tuple(sorted(names[v] for v in k)) for k in operators.extended_products]
    gram = np.array([[moment(tuple(sorted(a + b))) for b in ks] for a in ks])
    M = (operators.invariant_purification @ operators.extended_symmetrization).toarray()
    sizes = abs(M) @ np.sqrt(np.diag(gram))
    return M @ [moment(k) for k in ks], M @ gram @ M.T, np.outer(sizes, sizes)


EXACT = [(("Cu",), (3, 3, 2, 2)), (SPECIES, (2, 2, 1, 1))]


@pytest.mark.parametrize("kind", ["ideal gas", "density"])
@pytest.mark.parametrize("species, degrees", EXACT, ids=["Cu", "CuZr"])
def test_the_gram_matrix_of_an_ideal_gas_is_the_identity(species, degrees, kind):
    """Of the features themselves, to order 4; for data, of a gas with their radial density."""
    case = setup(kind, True, species, totaldegree=degrees)
    for center in species:
        mean, gram, scale = exact_moments(case, center)
        assert (abs(gram - np.eye(len(gram))) <= 1e-13 * scale).all()
        assert abs(gram - np.eye(len(gram))).max() < 1e-9  # the scale hides nothing
        assert abs(mean).max() < 1e-9


@pytest.mark.parametrize("species, degrees", EXACT, ids=["Cu", "CuZr"])
def test_moments_of_functions_that_are_not_orthonormal(species, degrees):
    """C E[I I'] Cᵀ with the sum over perfect matchings, for Chebyshev polynomials."""
    case = setup("ideal gas, Chebyshev", True, species, totaldegree=degrees)
    center = species[-1]
    _, gram, scale = exact_moments(case, center)
    operators = case.basis.operators(center)
    names = {v: (case.basis.species[v.z], v.q[1], v.l, v.m) for v in operators.products.one_particle}
    ks = [tuple(names[v] for v in k) for k in operators.products]
    integral = cache(lambda g: case.moments.mu(center, g))
    of_pair = lambda g: integral(tuple(sorted(g)))  # noqa: E731
    expected = np.array([[reference_moments.poisson_centered_moment(a, b, of_pair) for b in ks] for a in ks])
    expected = operators.symmetrization @ expected @ operators.symmetrization.T
    assert (abs(gram - expected) <= 1e-13 * scale).all()
    assert abs(gram - np.diag(np.diag(gram))).max() > 1e-3 * abs(gram).max()


# --- an ideal gas, sampled --------------------------------------------------------------------------------------------


def gas(density, n_samples, seed):
    """Independent environments of a Poisson process, as one list of neighbors of many centers."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(density * 4 / 3 * np.pi * RCUT**3, n_samples)
    n = counts.sum()
    directions = rng.normal(size=(n, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    vectors = directions * RCUT * np.cbrt(rng.uniform(size=(n, 1)))
    zeros = np.zeros(n, dtype=np.int32)
    return NeighborList(
        np.concatenate([[0], np.cumsum(counts)]),
        np.zeros(n_samples, dtype=np.int32),
        zeros,
        np.zeros((n, 3), dtype=np.int32),
        vectors,
        n_atoms=1,
        cutoffs=np.array([[RCUT]]),
    )


def z_scores(values, expected):
    """Deviations of the means of columns, over their standard errors."""
    return (values.mean(axis=0) - expected) * math.sqrt(len(values)) / values.std(axis=0)


def test_features_of_random_gases():
    """Zero mean and unit Gram matrix to within the sampling error, which is small; not so for the plain basis."""
    density = 0.05
    basis = ACEBasis(["Cu"], RCUT, order=2, totaldegree=3).centered(IdealGas(density))
    neighbors = gas(density, 30_000, seed=3)
    features = basis.descriptors(Atoms("Cu"), neighbors=neighbors)
    i, j = np.triu_indices(len(basis))
    products = features[:, i] * features[:, j]
    assert abs(z_scores(features, 0)).max() < 5
    assert abs(z_scores(products, i == j)).max() < 5
    assert (products.std(axis=0) / math.sqrt(len(products))).max() < 0.1
    plain = ACEBasis(["Cu"], radial=basis.radial, order=2, totaldegree=3)
    assert abs(z_scores(plain.descriptors(Atoms("Cu"), neighbors=neighbors), 0)).max() > 100
