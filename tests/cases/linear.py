"""Tests of linear functions of features: random functions, scales of rounding, finite differences, radial functions."""

import itertools

import numpy as np
from ase.build import bulk
from cases.derivatives import SquareTransform
from cases.radial import Gaussians
from oracles.structures import assert_clear_of_cutoff, position_differences, strain_differences

from acepure import ACEBasis, LinearFunction
from acepure.functions import (
    AgnesiTransform,
    CosineEnvelope,
    InverseTransform,
    Legendre,
    LinearTransform,
    Measure,
    Orthonormal,
    PolynomialEnvelope,
    PolynomialRadialBasis,
    PowerTransform,
    SmoothEnvelope,
)

# Error of forces by central differences of order eight, of the terms of the energy (see `scale_of`): rounding is about
# 2 eps Σ|w_k| / h = 2e-13 / Å of them, times the roundings in a term; truncation is less. For the virial the step is
# five times shorter, and all atoms contribute.
DIFFERENCE = 3e-12
STRAIN_DIFFERENCE = 10 * DIFFERENCE
# The same sums in two orders, of the sum of |terms|.
ROUND_OFF = 1e-14

# Structures of `cases.derivatives.NEAR`.
NAMES = ["fcc Cu", "NaCl", "water", "slab", "wire", "skewed cell", "one atom, fcc", "alloy"]


def random_function(basis, seed=1):
    return LinearFunction(basis, np.random.default_rng(seed).normal(size=(len(basis.species), len(basis))))


def weights_of_atoms(function, atoms):
    """θ of the species of each atom, shape (n_atoms, n_features)."""
    return function.coefficients[function.basis.species_indices(atoms)]


def scale_of(function, atoms):
    """Σ_f |θ_f B_f| of the atom where it is largest, with B of full neighbor sums.

    Rounding of an energy is proportional to it: canonical features vanish, for lack of neighbors or in the higher
    orders, as differences of such terms.
    """
    terms = ACEBasis.from_dict({**function.basis.to_dict(), "canonical": False}).descriptors(atoms)
    return (abs(weights_of_atoms(function, atoms)) * abs(terms)).sum(axis=1).max()


def assert_close(computed, expected, scale, tolerance=ROUND_OFF):
    np.testing.assert_allclose(computed, expected, rtol=0, atol=tolerance * scale)


def assert_derivatives(function, atoms, n_moved=4):
    """Forces on some atoms, and the virial, against finite differences of the energies."""
    assert_clear_of_cutoff(atoms, function.basis.radial.cutoff)
    result = function.evaluate_with_gradients(atoms)
    scale = scale_of(function, atoms)
    strain = strain_differences(function.evaluate, atoms)
    assert_close(result.virial, -strain.sum(axis=-1), scale, STRAIN_DIFFERENCE)
    moved = np.unique(np.linspace(0, len(atoms) - 1, n_moved).astype(int))
    differences = position_differences(function.evaluate, atoms, moved)
    assert_close(result.forces[moved], -differences.sum(axis=-1), scale, DIFFERENCE)


# --- radial functions -------------------------------------------------------------------------------------------------


def measures():
    """Different functions for every pair, so that each species of center has its own operators."""
    r = np.linspace(0.5, 3.2, 60)
    return {pair: Measure(r, r**k) for k, pair in enumerate(itertools.product(["Cu", "Zr"], repeat=2))}


PER_PAIR = {("Cu", "Cu"): 3.2, ("Cu", "Zr"): 3.1, ("Zr", "Cu"): 3.3, ("Zr", "Zr"): 3.25}
RADIAL = {
    "linear, cosine": PolynomialRadialBasis(3.2, LinearTransform(), CosineEnvelope()),
    "power, polynomial, Legendre": PolynomialRadialBasis(3.2, PowerTransform(2.5), PolynomialEnvelope(), Legendre()),
    "inverse, smooth": PolynomialRadialBasis(3.2, InverseTransform(), SmoothEnvelope(2.5)),
    "cutoffs per pair": PolynomialRadialBasis(PER_PAIR, AgnesiTransform(r0=2.5)),
    "measures per pair": PolynomialRadialBasis(PER_PAIR, polynomials=Orthonormal(measures())),
    "user's transform": PolynomialRadialBasis(PER_PAIR, SquareTransform()),
    "user's, measures per pair": PolynomialRadialBasis(
        PER_PAIR, SquareTransform(), CosineEnvelope(), Orthonormal(measures())
    ),
    "user's functions": Gaussians(1.2, 3.1, 0.15),
}


def two_species():
    """No pair near any of the cutoffs above."""
    atoms = bulk("Cu", cubic=True, a=3.8).repeat((2, 1, 1))
    atoms.symbols = ["Cu", "Zr", "Zr", "Zr"] * 2
    atoms.pbc = (True, False, True)
    atoms.rattle(0.05, seed=6)
    return atoms
