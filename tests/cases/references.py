"""Tests of references: means and covariances by brute force, and every row of the table by its formula.

Only `Setup` and `structures` know the package. Radial functions are plain: `functions(r, center, neighbor, l, n)`
returns R_0l ... R_{n-1,l}, shape (len(r), n); a sum A is named by v = (species, n, l, m).
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from ase.build import bulk
from ase.neighborlist import neighbor_list
from oracles import canonical as reference
from oracles.atoms import agnesi_transform, environment, polynomial_radial
from scipy.linalg import solve_triangular

from acepure import ACEBasis, IdealGas, MeanCovariance, RadialDensity
from acepure.functions import PolynomialRadialBasis

RCUT = 4.5
N_BINS = 300
SPECIES = ("Cu", "Zr")
DENSITY = {("Cu", "Cu"): 0.05, ("Cu", "Zr"): 0.03, ("Zr", "Cu"): 0.08, ("Zr", "Zr"): 0.02}


def cutoff(center, neighbor):
    return RCUT


def structures(species=("Cu",)):
    """Two crystals of 32 atoms, disordered enough for the sums A to be independent."""
    result = []
    for seed, a in enumerate((3.6, 4.0)):
        atoms = bulk("Cu", cubic=True, a=a).repeat(2)
        atoms.rattle(0.3, seed=seed)
        atoms.symbols = np.random.default_rng(seed).choice(species, len(atoms))
        result.append(atoms)
    return result


# --- radial functions -------------------------------------------------------------------------------------------------


def polynomials(family="chebyshev", measures=None, grade=1):
    """The default f^s P_n of the package, f = (1 − (r/rcut)²)³; `measures[center, neighbor]` = (nodes, weights)."""

    def functions(r, center, neighbor, l, n):
        measure = None if measures is None else measures[center, neighbor]
        return polynomial_radial(cutoff, agnesi_transform, "smooth", 3 * grade, family, measure)(r, center, neighbor, n)

    return functions


def ideal_gas_measures(density=DENSITY, cutoff=cutoff):
    """Nodes and weights of ρ r² dr, for ρ of each pair."""
    x, w = np.polynomial.legendre.leggauss(150)
    nodes = {pair: cutoff(*pair) * (x + 1) / 2 for pair in density}
    return {pair: (r, density[pair] * r**2 * w * cutoff(*pair) / 2) for pair, r in nodes.items()}


def pair_distances(atoms, rcut=RCUT):
    """Symbols of centers and of neighbors, distances and vectors of all pairs, by ASE, and who the centers are."""
    symbols = np.array(atoms.get_chemical_symbols())
    i, j, d, vectors = neighbor_list("ijdD", atoms, rcut)
    return symbols[i], symbols[j], d, vectors, i


def histogram_measures(structures, rcut=RCUT, n_bins=N_BINS):
    """dN / (4π): mean distances and counts of intervals of equal length, per ordered pair of species."""
    a, b, d = (np.concatenate(column) for column in zip(*(pair_distances(atoms, rcut)[:3] for atoms in structures)))
    symbols = np.concatenate([atoms.get_chemical_symbols() for atoms in structures])
    result = {}
    for pair in itertools.product(sorted(set(symbols)), repeat=2):
        mine = d[(a == pair[0]) & (b == pair[1])]
        counts, edges = np.histogram(mine, n_bins, (0, rcut))
        seen = counts > 0
        nodes = np.histogram(mine, edges, weights=mine)[0][seen] / counts[seen]
        result[pair] = nodes, counts[seen] / (4 * np.pi * np.sum(symbols == pair[0]))
    return result


# --- means and covariances --------------------------------------------------------------------------------------------


@cache
def harmonic_expansion(lms):
    """Coefficients of Π_t Y_{l_t m_t} over Y_LM, indexed L² + L + M."""
    degree = sum(l for l, _ in lms)
    directions, weights = reference.sphere_quadrature(2 * degree)
    y = reference.real_harmonics(directions, degree)
    return y.T @ (weights * np.prod([y[:, l * l + l + m] for l, m in lms], axis=0))


class Moments:
    """μ and c of sums of one-particle functions and of products of them, g = (v_1, v_2, ...).

    Subclasses know mean(center, neighbor, radials) = E[Σ_j Π R(r_j) Y_00] and covariance(center, L, u, w), that of
    Σ_j Π R(r_j) Y_LM for (neighbor, radials) u and w, the mean over M; radials are ((l, n), ...).
    """

    def mu(self, center, g):
        if len({v[0] for v in g}) > 1:
            return 0.0
        angular = harmonic_expansion(tuple(sorted(v[2:] for v in g)))[0]
        return angular * self.mean(center, g[0][0], self._radials(g)) if abs(angular) > 1e-13 else 0.0

    def c(self, center, g, h):
        if len({v[0] for v in g}) > 1 or len({v[0] for v in h}) > 1:
            return 0.0
        first, second = (harmonic_expansion(tuple(sorted(v[2:] for v in p))) for p in (g, h))
        total = 0.0
        for L in range(math.isqrt(min(len(first), len(second)))):
            angular = first[L * L : (L + 1) ** 2] @ second[L * L : (L + 1) ** 2]
            if abs(angular) > 1e-13:
                names = ((p[0][0], self._radials(p)) for p in (g, h))
                total += angular * self.covariance(center, L, *names)
        return total

    @staticmethod
    def _radials(g):
        return tuple(sorted((l, n) for _, n, l, _ in g))

    def values(self, r, center, neighbor, radials):
        """Π R over the radials, shape (len(r),)."""
        return np.prod([self.functions(r, center, neighbor, l, n + 1)[:, n] for l, n in radials], axis=0)


class DensityMoments(Moments):
    """A Poisson process of a density of neighbors, given by nodes and weights of dN / (4π)."""

    def __init__(self, functions, measures):
        self.functions, self.measures = functions, measures
        self.mean, self.covariance = cache(self._mean), cache(self._covariance)

    def _mean(self, center, neighbor, radials):
        nodes, weights = self.measures[center, neighbor]
        return math.sqrt(4 * math.pi) * weights @ self.values(nodes, center, neighbor, radials)

    def _covariance(self, center, L, u, w):
        if u[0] != w[0]:
            return 0.0
        nodes, weights = self.measures[center, u[0]]
        return weights @ (self.values(nodes, center, *u) * self.values(nodes, center, *w))


class SampleMoments(Moments):
    """All atoms of structures, by sums over neighbors."""

    def __init__(self, functions, structures, lmax=8):
        self.functions = functions
        columns, counts = [], [0]
        for atoms in structures:
            *pairs, i = pair_distances(atoms)
            columns.append((*pairs, i + counts[-1]))
            counts.append(counts[-1] + len(atoms))
        self.a, self.b, self.d, vectors, self.i = (np.concatenate(column) for column in zip(*columns))
        self.y = reference.real_harmonics(vectors, lmax)
        self.symbols = np.concatenate([atoms.get_chemical_symbols() for atoms in structures])
        self.pool, self.mean, self.covariance = cache(self._pool), cache(self._mean), cache(self._covariance)

    def _pool(self, center, neighbor, radials, L):
        """Σ_j Π R Y_LM of every atom of the species, shape (n_centers, 2 L + 1)."""
        mine = (self.a == center) & (self.b == neighbor)
        sums = np.zeros((len(self.symbols), 2 * L + 1))
        terms = self.values(self.d[mine], center, neighbor, radials)[:, None] * self.y[mine, L * L : (L + 1) ** 2]
        np.add.at(sums, self.i[mine], terms)
        return sums[self.symbols == center]

    def _mean(self, center, neighbor, radials):
        return self.pool(center, neighbor, radials, 0).mean()

    def _covariance(self, center, L, u, w):
        first, second = (self.pool(center, *names, L) for names in (u, w))
        if L == 0:
            first, second = first - first.mean(), second - second.mean()
        return np.mean(first * second)


def whitened(functions, structures):
    """R_nl = Σ_{n' ≤ n} W^l_nn' R_n', with sums A of unit covariance within a species of neighbors."""
    moments = SampleMoments(functions, structures)

    @cache
    def matrix(center, neighbor, l, n):
        pools = [moments.pool(center, neighbor, ((0, k),), l) for k in range(n)]
        rows = np.stack([(p - p.mean() if l == 0 else p).ravel() for p in pools], axis=1)
        R = np.linalg.qr(rows / np.sqrt(len(rows)), mode="r")
        return solve_triangular((R * np.sign(np.diag(R))[:, None]).T, np.eye(n), lower=True)

    return lambda r, center, neighbor, l, n: functions(r, center, neighbor, 0, n) @ matrix(center, neighbor, l, n).T


# --- bases and their formulas -----------------------------------------------------------------------------------------

DENSITIES = ("ideal gas", "ideal gas, Chebyshev", "density", "density, Chebyshev")
SAMPLES = ("whitened", "one set", "one set, kept")


@dataclass(frozen=True)
class Setup:
    """A basis, and the plain functions and moments it is made of."""

    basis: ACEBasis
    moments: Moments
    cutoff: Callable[[str, str], float] = cutoff

    def expected(self, atoms, i):
        """Features of an atom and the sums of |terms|, by the formula of the row; shape (n_features,) each."""
        center = atoms.symbols[i]
        operators = self.basis.operators(center)
        names = [(self.basis.species[v.z], v.q[:2][-1], v.l, v.m) for v in operators.products.one_particle]
        phi = one_particle_values(*environment(atoms, i, self.cutoff), center, names, self.moments.functions)
        value, scale = self._formulas(phi, names, center)
        ks = [tuple(k) for run in operators.products.factors for k in run.tolist()]
        values, scales = (np.array([formula(k) for k in ks]) for formula in (value, scale))
        return operators.symmetrization @ values, abs(operators.symmetrization) @ scales

    def _formulas(self, phi, names, center):
        """Of k, positions in `names`: the value of I_k, and the sum of |terms| of the recursion.

        In the latter a constant counts as √(c_uu c_vv), which rounding is proportional to.
        """
        named = lambda g: tuple(names[v] for v in g)  # noqa: E731
        mu = cache(lambda g: self.moments.mu(center, named(g)))
        c = cache(lambda g, h: self.moments.c(center, named(g), named(h)))
        canonical, density = self.basis.canonical, isinstance(self.moments, DensityMoments)
        bound = None if density and not canonical else lambda g, h: math.sqrt(c(g, g) * c(h, h))
        scale = lambda k: reference.recursion_value(phi, k, mu, bound, canonical)[1]  # noqa: E731
        columns = range(len(names))
        means = [mu((v,)) for v in columns]
        if density:
            formula = reference.centered_canonical if canonical else reference.shifted
            return lambda k: formula(phi, k, means)[0], scale
        if not canonical:
            covariance = np.array([[c((u,), (v,)) for v in columns] for u in columns])
            return lambda k: reference.wick(phi, k, means, covariance)[0], scale

        def mean_over_orders(k):
            values = [reference.recursion_value(phi, p, mu, c)[0] for p in set(itertools.permutations(k))]
            return math.fsum(values) / len(values)

        return mean_over_orders, scale


def one_particle_values(symbols, vectors, center, names, functions):
    """φ_v(r_j), shape (n_neighbors, len(names))."""
    r, y = np.linalg.norm(vectors, axis=1), reference.real_harmonics(vectors, max(l for _, _, l, _ in names))
    phi = np.zeros((len(r), len(names)))
    for column, (neighbor, n, l, m) in enumerate(names):
        of = symbols == neighbor
        if of.any():
            phi[of, column] = functions(r[of], center, neighbor, l, n + 1)[:, n] * y[of, l * l + l + m]
    return phi


@cache
def setup(kind, canonical, species=("Cu",), **arguments):
    """A centered basis of one of DENSITIES or SAMPLES; `arguments` are those of ACEBasis, as tuples."""
    basis = ACEBasis(species, radial=PolynomialRadialBasis(RCUT), canonical=canonical, **arguments)
    data = structures(species)
    if kind in DENSITIES:
        if kind.startswith("ideal gas"):
            package, measures = IdealGas(DENSITY), ideal_gas_measures()
        else:
            package, measures = RadialDensity.from_structures(data, RCUT, n_bins=N_BINS), histogram_measures(data)
        kept = kind.endswith("Chebyshev")
        functions = polynomials() if kept else polynomials("orthonormal", measures)
        return Setup(basis.centered(package, orthonormal=not kept), DensityMoments(functions, measures))
    functions = polynomials("orthonormal", histogram_measures(data, n_bins=2000))
    if kind == "whitened":
        functions = whitened(functions, data)
    package = MeanCovariance.from_structures(data, basis, whitened=kind == "whitened")
    if kind == "one set, kept":  # functions that are those of the reference already
        radial = RadialDensity.from_structures(data, RCUT).radial(basis.radial, species)
        basis = ACEBasis(species, radial=radial, canonical=canonical, **arguments)
    return Setup(basis.centered(package, orthonormal=kind != "one set, kept"), SampleMoments(functions, data))
