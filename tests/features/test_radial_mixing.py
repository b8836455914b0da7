"""Radial functions that combine others: the kernel mixes sums, where NumPy tabulates the functions themselves."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from cases.derivatives import SquareTransform
from cases.linear import PER_PAIR, assert_derivatives, measures, random_function, two_species

from acepure import ACEBasis, LinearFunction, Stages, jvp, pair_jacobian, pullback
from acepure.functions import Legendre, Measure, Orthonormal, PolynomialRadialBasis, RadialBasis
from acepure.functions.whitened import WhitenedRadialBasis

SPECIES, N, N_L = ["Cu", "Zr"], 6, 6
KINDS = {
    "measures per pair": PolynomialRadialBasis(PER_PAIR, polynomials=Orthonormal(measures())),
    "Legendre": PolynomialRadialBasis(PER_PAIR, polynomials=Legendre()),
    "user's transform": PolynomialRadialBasis(PER_PAIR, SquareTransform()),
}


def mixed(radial, seed=0, same=False):
    """Lower-triangular W per ordered pair and l, of condition 10 or so; with a function that leaves some out."""
    rng = np.random.default_rng(seed)
    matrices = {}
    for pair in itertools.product(SPECIES, repeat=2):
        W = np.tril(0.3 * rng.normal(size=(N_L, N, N))) + np.eye(N) * rng.uniform(0.7, 1.4, size=(N_L, N, 1))
        W[:, 3, :2] = 0.0
        matrices[pair] = matrices["Cu", "Cu"] if same and matrices else W
    return WhitenedRadialBasis(radial, matrices)


@dataclass(frozen=True)
class Tabulated(RadialBasis):
    """The same functions as numbers in a table: nothing of them is known to the kernel."""

    functions: RadialBasis

    def cutoff(self, center, neighbor):
        return self.functions.cutoff(center, neighbor)

    def evaluate(self, r, center, neighbor, n_radial):
        return self.functions.evaluate(r, center, neighbor, n_radial)

    def algebra(self, center, species, n_radial):
        return self.functions.algebra(center, species, n_radial)

    def evaluate_labels(self, r, center, neighbor, labels):
        return self.functions.evaluate_labels(r, center, neighbor, labels)

    def evaluate_labels_with_gradients(self, r, center, neighbor, labels):
        return self.functions.evaluate_labels_with_gradients(r, center, neighbor, labels)


def close(computed, expected, tolerance=1e-12):
    np.testing.assert_allclose(computed, expected, rtol=0, atol=tolerance * abs(expected).max())


@pytest.mark.parametrize("canonical", [True, False], ids=["canonical", "self-interacting"])
@pytest.mark.parametrize("name", KINDS)
def test_sums_are_mixed_as_functions_are(name, canonical):
    """Features and every derivative, with one W per pair and l, against tables of the functions."""
    atoms, radial = two_species(), mixed(KINDS[name])
    by_kernel, by_tables = (
        ACEBasis(SPECIES, radial=functions, order=3, totaldegree=[5, 4, 3], canonical=canonical)
        for functions in (radial, Tabulated(radial))
    )
    features = by_tables.descriptors(atoms)
    close(by_kernel.descriptors(atoms), features)
    close(pair_jacobian(by_kernel, atoms).values, pair_jacobian(by_tables, atoms).values)
    rng = np.random.default_rng(1)
    w, strain, g = rng.normal(size=(len(atoms), 3)), rng.normal(size=(3, 3)), rng.normal(size=features.shape)
    for first, second in zip(jvp(by_kernel, atoms, w, strain), jvp(by_tables, atoms, w, strain)):
        close(first, second)
    for first, second in zip(pullback(by_kernel, atoms, g), pullback(by_tables, atoms, g)):
        close(first, second)
    theta = rng.normal(size=(len(SPECIES), len(by_kernel)))
    first, second = (LinearFunction(b, theta).evaluate_with_gradients(atoms) for b in (by_kernel, by_tables))
    close(first.energies, second.energies)
    close(first.forces, second.forces)
    for center in SPECIES:
        first, second = (Stages(b, center) for b in (by_kernel, by_tables))
        A = second.sums(atoms)
        close(first.sums(atoms), A)
        h = rng.normal(size=A.shape)
        close(first.sums_pullback(atoms, h)[0], second.sums_pullback(atoms, h)[0])


def test_forces_are_those_of_the_energies():
    basis = ACEBasis(SPECIES, radial=mixed(KINDS["measures per pair"]), order=3, totaldegree=[5, 4, 3])
    assert_derivatives(random_function(basis), two_species())


def test_centers_of_different_species_side_by_side():
    """Equal combinations, so that both species share operators and stand in one block, of different functions."""
    atoms, radial = two_species(), mixed(KINDS["Legendre"], same=True)
    basis = ACEBasis(SPECIES, radial=radial, order=2, totaldegree=4)
    assert len(basis._groups) == 1
    whole = basis.descriptors(atoms)
    for i in range(len(atoms)):
        np.testing.assert_array_equal(basis.descriptors(atoms, indices=[i]), whole[i : i + 1])
    close(whole, ACEBasis(SPECIES, radial=Tabulated(radial), order=2, totaldegree=4).descriptors(atoms))


def test_threads_do_not_matter():
    atoms = two_species() * (2, 2, 2)
    basis = ACEBasis(SPECIES, radial=mixed(KINDS["Legendre"]), order=2, totaldegree=4)
    function = random_function(basis)
    one, two = (function.evaluate_with_gradients(atoms, num_threads=n) for n in (1, 2))
    np.testing.assert_array_equal(one.forces, two.forces)
    features = [basis.descriptors(atoms, num_threads=n) for n in (1, 2)]
    np.testing.assert_array_equal(*features)


def test_digits_at_many_functions():
    """Orthonormal polynomials to n = 20 and mild W: as many digits as the table of the functions has."""
    r = np.linspace(2.2, 4.9, 400)
    plain = PolynomialRadialBasis(5.0, polynomials=Orthonormal({("Cu", "Cu"): Measure(r, np.exp(-((r - 3.6) ** 2)))}))
    rng = np.random.default_rng(0)
    W = np.tril(0.2 * rng.normal(size=(1, 20, 20))) + np.eye(20)
    radial = WhitenedRadialBasis(plain, {("Cu", "Cu"): W})
    functions = [[("Cu", n, 0)] for n in range(20)]
    atoms = two_species()
    atoms.symbols = "Cu" * len(atoms)
    first, second = (
        ACEBasis(["Cu"], radial=functions_, functions=functions, canonical=False).descriptors(atoms)
        for functions_ in (radial, Tabulated(radial))
    )
    scale = abs(second).max(axis=0)
    assert (abs(first - second) < 1e-12 * scale).all()
