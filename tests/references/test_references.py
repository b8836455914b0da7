"""References: radial functions orthonormal for a density, means and covariances against quadrature and brute force."""

import copy
import json
import math
import pickle

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from cases.derivatives import SquareTransform
from cases.references import (
    DENSITY,
    N_BINS,
    RCUT,
    SPECIES,
    histogram_measures,
    pair_distances,
    setup,
    structures,
)
from scipy.integrate import quad

from acepure import ACEBasis, IdealGas, MeanCovariance, RadialDensity
from acepure.functions import (
    AgnesiTransform,
    CosineEnvelope,
    InverseTransform,
    LinearTransform,
    Measure,
    PolynomialEnvelope,
    PolynomialRadialBasis,
    RadialBasis,
    SmoothEnvelope,
)
from acepure.references import DensityReference, Reference

N = 6
LABELS = [(s, n) for s in (1, 2, 3) for n in range(N)]
PER_PAIR = {("Cu", "Cu"): 4.0, ("Cu", "Zr"): 5.0, ("Zr", "Cu"): 4.5, ("Zr", "Zr"): 3.8}
RADIAL = {
    "default": PolynomialRadialBasis(5.0),
    "cutoffs per pair": PolynomialRadialBasis(PER_PAIR, AgnesiTransform(), PolynomialEnvelope(2)),
    "linear, cosine": PolynomialRadialBasis(5.0, LinearTransform(), CosineEnvelope()),
    "inverse": PolynomialRadialBasis(5.0, InverseTransform(), SmoothEnvelope(2.5)),
    "own transform": PolynomialRadialBasis(5.0, SquareTransform(), SmoothEnvelope(2)),
}


def integral(function, rcut):
    value, error = quad(function, 0, rcut, epsabs=1e-12, epsrel=1e-12, limit=200)
    assert error < 1e-9
    return value


# --- ideal gas --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RADIAL)
def test_orthonormal_for_an_ideal_gas(name):
    """∫ R_n R_m ρ r² dr = δ, with ρ of the ordered pair; cutoff, transform and envelope stay."""
    radial = IdealGas(DENSITY).radial(RADIAL[name], SPECIES)
    assert (radial.rcut, radial.transform, radial.envelope) == (
        RADIAL[name].rcut,
        RADIAL[name].transform,
        RADIAL[name].envelope,
    )
    for pair in [("Cu", "Zr"), ("Zr", "Cu")]:
        R = lambda r: radial.evaluate([r], *pair, N)[0]  # noqa: B023, E731
        gram = [
            [integral(lambda r: DENSITY[pair] * r**2 * R(r)[n] * R(r)[m], radial.cutoff(*pair)) for m in range(n + 1)]  # noqa: B023
            for n in range(N)
        ]
        for n, row in enumerate(gram):
            np.testing.assert_allclose(row, np.eye(N)[n, : n + 1], rtol=0, atol=1e-10)
        # P_n is of degree n with a positive leading coefficient
        assert (np.diag(radial.chebyshev_coefficients(*pair, N)) > 0).all()


@pytest.mark.parametrize("orthonormal", [True, False])
@pytest.mark.parametrize("name", RADIAL)
def test_means_of_an_ideal_gas(name, orthonormal):
    """μ = 4π ∫ R ρ r² dr Y_00, of products of radial functions too."""
    gas = IdealGas(DENSITY)
    radial = gas.radial(RADIAL[name], SPECIES) if orthonormal else RADIAL[name]
    for pair in [("Cu", "Zr"), ("Zr", "Cu")]:
        means = gas.means(radial, *pair, LABELS)
        assert means.shape == (len(LABELS),) and abs(means).max() > 0.01
        for label, mean in zip(LABELS, means):
            R = lambda r: radial.evaluate_labels([r], *pair, [label])[0, 0]  # noqa: B023, E731
            expected = integral(lambda r: DENSITY[pair] * r**2 * R(r), radial.cutoff(*pair))  # noqa: B023
            assert mean == pytest.approx(math.sqrt(4 * math.pi) * expected, rel=1e-10, abs=1e-11)


def test_one_density_serves_all_pairs():
    one, many = IdealGas(0.05), IdealGas({(a, b): 0.05 for a in SPECIES for b in SPECIES})
    radial = RADIAL["default"]
    for pair in DENSITY:
        np.testing.assert_array_equal(one.means(radial, *pair, LABELS), many.means(radial, *pair, LABELS))
    np.testing.assert_allclose(
        IdealGas(0.1).means(radial, "Cu", "Zr", LABELS), 2 * one.means(radial, "Cu", "Zr", LABELS), rtol=1e-14
    )
    assert one.pairs(radial, "Cu", SPECIES) is None


def test_ideal_gas_of_a_structure():
    """The number of atoms of the neighbor's species over the volume."""
    salt = bulk("NaCl", "rocksalt", a=5.0, cubic=True)
    salt.symbols[salt.symbols.search("Na")[:1]] = "Cl"
    density = IdealGas.from_atoms(salt).density
    expected = {("Na", "Na"): 3, ("Cl", "Na"): 3, ("Na", "Cl"): 5, ("Cl", "Cl"): 5}
    assert {pair: rho * 125 for pair, rho in density.items()} == pytest.approx(expected, rel=1e-13)
    for wrong in (Atoms("Cu", cell=[3, 3, 3], pbc=(True, True, False)), "NaCl"):
        with pytest.raises(ValueError, match="atoms must be a structure periodic along all three axes"):
            IdealGas.from_atoms(wrong)


@pytest.mark.parametrize(
    "density, error",
    [("dense", TypeError), (None, TypeError), (0, ValueError), (-1.0, ValueError), (math.nan, ValueError)],
)
def test_wrong_densities(density, error):
    for given in (density, {("Cu", "Cu"): density}):
        with pytest.raises(error, match=r"density.* must be a finite number > 0"):
            IdealGas(given)
    with pytest.raises(TypeError, match="the keys of density must be pairs"):
        IdealGas({"Cu": 0.1})


# --- radial density ---------------------------------------------------------------------------------------------------


def test_the_histogram_counts_all_pairs():
    """Against ASE's pairs, in intervals of equal length; from a generator, from one structure."""
    data = structures(SPECIES)
    density = RadialDensity.from_structures(data, RCUT, n_bins=N_BINS)
    expected = histogram_measures(data)
    assert set(density.measures) == set(expected) == set(DENSITY)
    for pair, (nodes, weights) in expected.items():
        measure = density.measure(*pair, RCUT)
        np.testing.assert_allclose(measure.nodes, nodes, rtol=1e-13)
        np.testing.assert_allclose(measure.weights, weights, rtol=1e-13)
    assert density.measure("Cu", "Zr", RCUT) != density.measure("Zr", "Cu", RCUT)
    assert RadialDensity.from_structures(iter(data), RCUT, n_bins=N_BINS) == density
    assert RadialDensity.from_structures(data[0], RCUT) == RadialDensity.from_structures(data[:1], RCUT)


def binning_error(data, n_bins):
    """At the distances themselves, the largest deviations of ∫ R_n R_m dN / 4π from δ and of μ from the mean of A."""
    density = RadialDensity.from_structures(data, RCUT, n_bins=n_bins)
    radial = density.radial(PolynomialRadialBasis(RCUT), ["Cu"])
    r = np.concatenate([pair_distances(atoms)[2] for atoms in data])
    n_atoms = sum(map(len, data))
    R = radial.evaluate(r, "Cu", "Cu", N)
    orthonormality = abs(R.T @ R / (4 * np.pi * n_atoms) - np.eye(N)).max()
    sums = radial.evaluate_labels(r, "Cu", "Cu", LABELS).sum(axis=0) / math.sqrt(4 * math.pi)
    return orthonormality, abs(density.means(radial, "Cu", "Cu", LABELS) - sums / n_atoms).max()


def test_binning_errors_fall_with_the_square_of_the_number_of_bins():
    """Pairs are kept as the mean distance of their interval, so that only its variance, ~ n_bins⁻², is missing."""
    data = [bulk("Cu", cubic=True, a=a).repeat(4) for a in (3.5, 3.7, 3.9)]
    for seed, atoms in enumerate(data):
        atoms.rattle(0.3, seed=seed)
    errors = np.array([binning_error(data, n_bins) for n_bins in (50, 100, 200, 400)])
    ratios = errors[:-1] / errors[1:]
    assert (ratios > 3).all() and (ratios < 5.5).all()
    assert errors[-1].max() < 1e-3 and np.max(binning_error(data, 20_000)) < 1e-6


def test_radial_density_of_several_cutoffs():
    """Functions that vanish before rcut take no notice of pairs farther away."""
    data = structures(SPECIES)
    far, near = (
        RadialDensity.from_structures(data, 5.0, n_bins=500),
        RadialDensity.from_structures(data, 4.0, n_bins=400),
    )
    radial = PolynomialRadialBasis(4.0)
    functions = [density.radial(radial, SPECIES) for density in (far, near)]
    r = np.linspace(1.5, 4.2, 40)
    for pair in DENSITY:
        np.testing.assert_allclose(*(R.evaluate(r, *pair, 4) for R in functions), rtol=1e-11, atol=1e-11)
        means = (density.means(R, *pair, LABELS) for density, R in zip((far, near), functions))
        np.testing.assert_allclose(*means, rtol=1e-10, atol=1e-10)


def test_radial_densities_that_do_not_serve():
    copper = RadialDensity.from_structures(structures(), 4.0)
    with pytest.raises(ValueError, match=r"rcut of the reference is 4 Å, but the radial functions reach 4\.5 Å"):
        ACEBasis(["Cu"], 4.5).centered(copper)
    with pytest.raises(ValueError, match="no neighbor Zr of Cu within 4 Å; use structures that do"):
        ACEBasis(SPECIES, 4.0).centered(copper)
    with pytest.raises(ValueError, match="structures hold no two atoms within 4 Å"):
        RadialDensity.from_structures([Atoms("Cu2", [(0, 0, 0), (5, 0, 0)])], 4.0)
    with pytest.raises(ValueError, match="structures is empty"):
        RadialDensity.from_structures([])
    with pytest.raises(TypeError, match=r"measures\['Cu', 'Cu'\] must be a Measure"):
        RadialDensity({("Cu", "Cu"): 1.0}, 5.0)
    with pytest.raises(TypeError, match="must be an ase"):
        RadialDensity.from_structures([1])
    for name, value, error in (
        ("rcut", 0.0, ValueError),
        ("rcut", "far", TypeError),
        ("n_bins", 0, ValueError),
        ("n_bins", 2.5, TypeError),
    ):
        with pytest.raises(error, match=f"{name} must be"):
            RadialDensity.from_structures(structures(), **{name: value})


# --- to files and back ------------------------------------------------------------------------------------------------


def of_setup(kind):
    return setup(kind, True, SPECIES, totaldegree=(2, 2)).basis.reference


#: name → a reference, and another one of the kind
REFERENCES = {
    "ideal gas": lambda: (IdealGas(0.1), IdealGas(0.2)),
    "ideal gas of pairs": lambda: (IdealGas(DENSITY), IdealGas({**DENSITY, ("Cu", "Zr"): 0.1})),
    "density": lambda: (of_setup("density"), RadialDensity({("Cu", "Cu"): Measure([1.0], [1.0])}, RCUT)),
    "whitened": lambda: (of_setup("whitened"), of_setup("one set")),
    "one set": lambda: (of_setup("one set"), of_setup("whitened")),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_to_json_and_back_and_copies(name):
    one, other = REFERENCES[name]()
    for twin in (
        Reference.from_dict(json.loads(json.dumps(one.to_dict()))),
        copy.deepcopy(one),
        pickle.loads(pickle.dumps(one)),
    ):
        assert twin == one and hash(twin) == hash(one) and type(twin) is type(one) and repr(twin) == repr(one)
    assert one != other and one != 0.1
    if isinstance(one, MeanCovariance):
        assert RadialBasis.from_dict(json.loads(json.dumps(one.functions.to_dict()))) == one.functions


@pytest.mark.parametrize("kind", ["ideal gas", "density", "whitened", "one set"])
def test_bases_to_json_and_back_and_copies(kind):
    """Equal bases, and features equal to the last bit."""
    basis = setup(kind, True, SPECIES, totaldegree=(2, 2)).basis
    atoms = structures(SPECIES)[0]
    features = basis.descriptors(atoms)
    fresh = ACEBasis.from_dict(json.loads(json.dumps(basis.to_dict())))
    unused = pickle.loads(pickle.dumps(fresh))
    for twin in (fresh, unused, copy.deepcopy(basis), pickle.loads(pickle.dumps(basis))):
        assert twin == basis and hash(twin) == hash(basis) and repr(twin) == repr(basis)
        np.testing.assert_array_equal(twin.descriptors(atoms), features)
    for change in ({"reference": None}, {"reference": IdealGas(9).to_dict()}, {"canonical": False}):
        assert ACEBasis.from_dict({**basis.to_dict(), **change}) != basis


# --- a reference of a user's own --------------------------------------------------------------------------------------


def test_a_density_of_ones_own():
    """A subclass that defines `measure` alone: here all neighbors at two distances."""

    class Shells(DensityReference):
        def measure(self, center, neighbor, cutoff):
            return Measure([2.5, 3.5], np.array([12, 6]) / (4 * np.pi))

    basis = ACEBasis(["Cu"], RCUT, order=2, n_max=2, l_max=0).centered(Shells())
    positions = [(0, 0, 0)]
    positions += [tuple(2.5 * row) for row in np.random.default_rng(0).permutation(np.eye(3))]
    R = basis.radial.evaluate([2.5, 3.5], "Cu", "Cu", 2)
    np.testing.assert_allclose(R.T @ (np.array([[12], [6]]) / (4 * np.pi) * R), np.eye(2), atol=1e-13)
    features = basis.descriptors(Atoms("Cu4", positions), indices=[0])[0]
    mean = (np.array([12, 6]) @ R) / math.sqrt(4 * math.pi)
    np.testing.assert_allclose(features[:2], 3 * R[0] / math.sqrt(4 * math.pi) - mean, rtol=1e-12)


def test_background_bounds_functions_where_there_are_no_data():
    """Orthonormal for (1 − β) data + β ideal gas with as many neighbors; means are those of the data alone."""
    measure = Measure(np.array([1.0, 1.02, 2.0, 2.05, 3.0, 3.1]), np.array([1.0, 2.0, 1.0, 1.0, 3.0, 1.0]))
    plain = PolynomialRadialBasis(4.0, LinearTransform(), PolynomialEnvelope(2))
    r, n = np.linspace(0.5, 3.9, 200), 5
    largest = []
    for share in (0.0, 0.1):
        density = RadialDensity({("Cu", "Cu"): measure}, 4.0, share)
        radial = density.radial(plain, ["Cu"])
        x, w = np.polynomial.legendre.leggauss(200)
        nodes, volume = 2 * (x + 1), w * (2 * (x + 1)) ** 2
        gas = volume * measure.weights.sum() / volume.sum()
        gram = np.zeros((n, n))
        for points, weights in ((measure.nodes, (1 - share) * measure.weights), (nodes, share * gas)):
            values = radial.evaluate(points, "Cu", "Cu", n)
            gram += (weights[:, None] * values).T @ values
        np.testing.assert_allclose(gram, np.eye(n), atol=1e-10)
        mean = density.means(radial, "Cu", "Cu", [(1, k) for k in range(n)])
        expected = np.sqrt(4 * np.pi) * measure.weights @ radial.evaluate(measure.nodes, "Cu", "Cu", n)
        np.testing.assert_allclose(mean, expected, rtol=1e-12)
        largest.append(np.abs(radial.evaluate(r, "Cu", "Cu", n)).max())
        assert RadialDensity.from_dict(json.loads(json.dumps(density.to_dict()))) == density
    assert largest[1] < largest[0] / 5
    for wrong in (-0.1, 1.0, "half"):
        with pytest.raises((TypeError, ValueError), match="background"):
            RadialDensity({("Cu", "Cu"): measure}, 4.0, wrong)
