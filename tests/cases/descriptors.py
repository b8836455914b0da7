"""Tests of features: structures, radial functions once of the package and once plain, features by brute force."""

import itertools
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from cases.radial import Gaussians
from oracles.atoms import (
    agnesi_transform,
    canonical_products,
    environment,
    linear_transform,
    one_particle_values,
    polynomial_radial,
    self_interacting_products,
)

from acepure import ACEBasis
from acepure.functions import (
    AgnesiTransform,
    Chebyshev,
    CosineEnvelope,
    Legendre,
    LinearTransform,
    Measure,
    Orthonormal,
    PolynomialEnvelope,
    PolynomialRadialBasis,
    SmoothEnvelope,
    Transform,
)

# Error of a feature relative to the sum of |terms| of its definition, which is what round-off is proportional to.
ROUND_OFF = 1e-12
SPECIES = ("Cu", "Zr")
BASIS = ACEBasis(SPECIES, totaldegree=[4, 4, 4, 2])


# --- radial functions, once of the package and once plain -------------------------------------------------------------


@dataclass(frozen=True)
class SquareTransform(Transform):
    """A user's own transform: graded, but unknown to the kernel."""

    def evaluate(self, r, rcut, center=None, neighbor=None):
        return 2 * (r / rcut) ** 2 - 1


def gaussians(r, center, neighbor, n, width=1.1):
    r = np.asarray(r, dtype=float)[:, None]
    shift = 0.2 * (center == "Zr") + 0.1 * (neighbor == "Zr")
    return np.where(r < 4.5, (1 - r / 4.5) ** 3, 0) * np.exp(-(((r - shift - 0.8 * np.arange(n)) / width) ** 2))


NODES = np.linspace(0.8, 4.4, 80)
WEIGHTS = NODES**2 * (1 + np.sin(3 * NODES) / 2)
OTHER_WEIGHTS = NODES * np.exp(-((NODES - 2.5) ** 2))
CUTOFFS = {("Cu", "Cu"): 4.0, ("Cu", "Zr"): 5.0, ("Zr", "Cu"): 4.5, ("Zr", "Zr"): 3.8}


def five(center, neighbor):
    return 5.0


def per_pair(center, neighbor):
    return CUTOFFS[center, neighbor]


def measured(r, center, neighbor, n):
    weights = WEIGHTS if center == "Cu" else OTHER_WEIGHTS
    return polynomial_radial(five, linear_transform, "smooth", 2.5, "orthonormal", (NODES, weights))(
        r, center, neighbor, n
    )


def square_transform(r, rcut, center, neighbor):
    return 2 * (r / rcut) ** 2 - 1


#: name → radial basis of the package, the same functions in plain NumPy, cutoff(center, neighbor)
RADIAL = {
    "Chebyshev": (
        PolynomialRadialBasis(5.0, LinearTransform(), PolynomialEnvelope(2)),
        polynomial_radial(five, linear_transform, "polynomial", 2, "chebyshev"),
        five,
    ),
    "default": (
        PolynomialRadialBasis(5.0),
        polynomial_radial(five, agnesi_transform, "smooth", 3, "chebyshev"),
        five,
    ),
    "Legendre": (
        PolynomialRadialBasis(5.0, AgnesiTransform(), CosineEnvelope(), Legendre()),
        polynomial_radial(five, agnesi_transform, "cosine", None, "legendre"),
        five,
    ),
    "orthonormal, one measure": (
        PolynomialRadialBasis(5.0, AgnesiTransform(), SmoothEnvelope(2), Orthonormal(Measure(NODES, WEIGHTS))),
        polynomial_radial(five, agnesi_transform, "smooth", 2, "orthonormal", (NODES, WEIGHTS)),
        five,
    ),
    "orthonormal, operators differ by center": (
        PolynomialRadialBasis(
            5.0,
            LinearTransform(),
            SmoothEnvelope(2.5),
            Orthonormal(
                {
                    (a, b): Measure(NODES, WEIGHTS if a == "Cu" else OTHER_WEIGHTS)
                    for a, b in itertools.product(SPECIES, repeat=2)
                }
            ),
        ),
        measured,
        five,
    ),
    "cutoffs per pair": (
        PolynomialRadialBasis(CUTOFFS, AgnesiTransform(), PolynomialEnvelope(3), Legendre()),
        polynomial_radial(per_pair, agnesi_transform, "polynomial", 3, "legendre"),
        per_pair,
    ),
    "own transform": (
        PolynomialRadialBasis(5.0, SquareTransform(), SmoothEnvelope(2), Chebyshev()),
        polynomial_radial(five, square_transform, "smooth", 2, "chebyshev"),
        five,
    ),
    "own functions": (Gaussians(more=0.0), gaussians, lambda center, neighbor: 4.5),
}


# --- brute force ------------------------------------------------------------------------------------------------------


def labels_of(basis, products):
    """(species, n, l, m) of the sums over neighbors, with n counted from 0; (s, n) and (n,) both end in n."""
    return [(basis.species[v.z], v.q[-1], v.l, v.m) for v in products.one_particle]


def expected_features(basis, radial, cutoff, atoms, center):
    """C 𝒜, or C AA, of one atom by the closed form, with the sum of |terms|; shape (n_features,) each.

    In the sum of |terms| a function counts with at least a hundredth of the largest of its neighbor: near a root its
    rounding is not proportional to its value.
    """
    symbols, vectors = environment(atoms, center, cutoff)
    labels = labels_of(basis, basis.products)
    phi = one_particle_values(symbols, vectors, atoms.symbols[center], labels, radial)
    of_products = canonical_products if basis.canonical else self_interacting_products
    sizes = np.maximum(abs(phi), 0.01 * abs(phi).max(axis=1, keepdims=True, initial=0))
    values = np.concatenate([of_products(phi, run)[0] for run in basis.products.factors])
    scales = np.concatenate([of_products(sizes, run)[1] for run in basis.products.factors])
    return basis.symmetrization @ values, abs(basis.symmetrization) @ scales


def scales_of(basis, atoms, name="default"):
    """Sums of |terms| of all atoms, (n_atoms, n_features), for a basis made from RADIAL[name]."""
    _, radial, cutoff = RADIAL[name]
    return np.array([expected_features(basis, radial, cutoff, atoms, i)[1] for i in range(len(atoms))])


def assert_close(first, second, scale):
    """Rounding of coordinates moves each factor by its slope times 1e-16: a few hundred units over the terms."""
    assert (abs(first - second) <= 10 * ROUND_OFF * scale + 1e-300).all(), abs(first - second).max()


# --- structures -------------------------------------------------------------------------------------------------------


def cluster(seed, n_atoms=7, size=4.5, smallest=0.8, species=SPECIES):
    """A molecule of random atoms that keep a distance."""
    rng = np.random.default_rng(seed)
    positions = []
    while len(positions) < n_atoms:
        point = rng.uniform(0, size, 3)
        if all(np.linalg.norm(point - other) > smallest for other in positions):
            positions.append(point)
    return Atoms(rng.permutation([species[i % len(species)] for i in range(n_atoms)]).tolist(), positions)


def crystal(seed=0):
    """A small, low-symmetry periodic cell of both species."""
    rng = np.random.default_rng(seed)
    cell = [[4.2, 0, 0], [0.7, 3.9, 0], [-0.4, 0.5, 4.4]]
    scaled = [[0, 0, 0], [0.5, 0.45, 0.1], [0.1, 0.5, 0.55]]
    scaled = np.array(scaled) + rng.uniform(-0.02, 0.02, (3, 3))
    return Atoms("CuZrCu", scaled_positions=scaled, cell=cell, pbc=True)


def large_structure():
    atoms = crystal().repeat((3, 3, 4))
    atoms.rattle(0.1, seed=1)
    return atoms
