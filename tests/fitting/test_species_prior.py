"""The prior between species: S by brute force, constraints, what it is good for."""

from itertools import permutations
from math import prod

import numpy as np
import pytest
from cases.regression import E0S, labeled_by, strained_crystals

from acepure import ACEBasis, IdealGas, LinearACE, LinearFunction, RadialDensity
from acepure.errors import CoverageWarning
from acepure.features.linear import features_of_isolated_atoms
from acepure.fitting import SmoothnessPrior, resolve_weights
from acepure.fitting.design import Design, assemble
from acepure.fitting.solvers import largest_evidence
from acepure.fitting.species_prior import (
    correlations,
    exchangeable,
    has_common_functions,
    root_of_correlation,
    unmet_combinations,
    unmet_text,
)
from acepure.fitting.system import prior_from_evidence, unknowns
from acepure.functions import AgnesiTransform, PolynomialRadialBasis
from acepure.models.coverage import Surroundings

BASES = {
    "three species": ACEBasis(["Nb", "Mo", "Ta"], totaldegree=(2, 2, 2)),
    "four factors": ACEBasis(["Cu", "Zr"], totaldegree=(1, 2, 2, 3)),
    "self-interacting": ACEBasis(["Cu", "Zr"], totaldegree=(3, 3, 3), canonical=False),
}


def brute_force(basis, rho):
    """S of the definition, from tuples of names and explicit permutations."""
    K = exchangeable(len(basis.species), rho)
    products, C = [tuple(product) for product in basis.products], basis.symmetrization.toarray()
    G = np.zeros((len(products),) * 2)
    for i, one in enumerate(products):
        for j, two in enumerate(products):
            if len(one) == len(two):
                for moved in permutations(two):
                    if all((u.l, u.q, u.m) == (v.l, v.q, v.m) for u, v in zip(one, moved)):
                        G[i, j] += prod(K[u.z, v.z] for u, v in zip(one, moved))
    return C @ G @ C.T


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("rho", [0.0, 0.3, 0.99])
def test_correlations_are_those_of_the_definition(name, rho):
    basis = BASES[name]
    S = correlations(basis)
    found = sum(rho**d * part.toarray() for d, part in enumerate(S))
    np.testing.assert_allclose(found, brute_force(basis, rho), atol=1e-12)
    np.testing.assert_allclose(S[0].toarray(), np.eye(len(basis)), atol=1e-12)
    root = root_of_correlation(S, rho)
    np.testing.assert_allclose((root @ root.T).toarray(), found, atol=1e-12)
    if name == "three species" and rho == 0.99:
        assert np.abs(found - np.eye(len(basis))).max() > 0.5


def test_correlations_in_parts(monkeypatch):
    basis = BASES["three species"]
    expected = correlations(basis)
    monkeypatch.setattr("acepure.fitting.species_prior._PAIRS", 10)
    for one, two in zip(correlations(basis), expected):
        np.testing.assert_allclose(one.toarray(), two.toarray(), atol=1e-13)


def test_as_the_correlation_tends_to_one_species_are_alike():
    """Energies of any function drawn from the prior are those of the elements, whatever the species."""
    radial = PolynomialRadialBasis(4.5, AgnesiTransform(r0=2.5))
    basis = ACEBasis(["Cu", "Zr"], radial=radial, totaldegree=(3, 3, 2))
    delta = 1e-7
    rows = unknowns(basis, SmoothnessPrior(neighbors=1 - delta, centers=1 - delta)).feature_rows()
    atoms = strained_crystals(["Cu", "Zr"], 1)[2]
    energies = []
    for symbols in ("Cu8", "Cu5Zr3", "Zr8"):
        atoms.symbols = symbols
        species, features = basis.species_indices(atoms), basis.descriptors(atoms)
        energies.append(sum(features[species == z].sum(axis=0) @ rows[z] for z in range(2)))
    scale = np.linalg.norm(energies[0])
    for one in energies[1:]:
        assert np.linalg.norm(one - energies[0]) < 30 * np.sqrt(delta) * scale


@pytest.mark.parametrize("canonical", [True, False])
@pytest.mark.parametrize("rho", [(0, 0), (0.9, 0), (0, 0.9), (0.99, 0.9)])
def test_covariance_and_isolated_atoms(canonical, rho):
    """T Tᵀ is the covariance of the prior, given that A θ̄ = 0: Σ − Σ Aᵀ (A Σ Aᵀ)⁻¹ A Σ."""
    basis = ACEBasis(["Cu", "Zr"], totaldegree=(2, 2), canonical=canonical).centered(IdealGas(0.05))
    prior = SmoothnessPrior(neighbors=rho[0], centers=rho[1])
    T = unknowns(basis, prior).T
    n = 1 + len(basis)
    vacuum = features_of_isolated_atoms(basis)
    assert np.abs(vacuum).max() > 0.1
    A = np.zeros((2, 2 * n))
    for z in range(2):
        A[z, z * n : (z + 1) * n] = [1.0, *vacuum[z]]
    within = np.eye(n)
    scales = prior.scales(basis)
    within[1:, 1:] = brute_force(basis, rho[0]) / np.outer(scales, scales)
    covariance = np.kron(exchangeable(2, rho[1]), within)
    known = covariance @ A.T
    expected = covariance - known @ np.linalg.solve(A @ known, known.T)
    np.testing.assert_allclose(T @ T.T, expected, atol=1e-10)
    np.testing.assert_allclose(A @ T, 0.0, atol=1e-10)


def test_the_evidence_chooses_and_composition_is_extrapolated():
    """From the elements alone to mixtures, of a function that knows no species."""
    radial = PolynomialRadialBasis(4.5, AgnesiTransform(r0=2.5))
    basis = ACEBasis(["Cu", "Zr"], radial=radial, totaldegree=(3, 2))
    blind = unknowns(basis, SmoothnessPrior(neighbors=1 - 1e-9, centers=1 - 1e-9))
    u = np.random.default_rng(3).standard_normal(blind.T.shape[1])
    function = LinearFunction(basis, blind.coefficients(u))
    structures = strained_crystals(["Cu", "Zr"], 24)
    for atoms in structures[2:12]:
        atoms.symbols = "Cu8" if atoms.symbols[0] == "Cu" else "Zr8"
    labeled = labeled_by(function, structures)
    train, mixed = labeled[:12], labeled[12:]
    errors, priors = {}, {"evidence": SmoothnessPrior(), "none": SmoothnessPrior(neighbors=0, centers=0)}
    for name, prior in priors.items():
        with pytest.warns(CoverageWarning, match="rest on the prior alone: no structure holds Cu-Zr"):
            model = LinearACE.fit(train, basis, prior=prior, core=None, verbose=False, progress=False, check=False)
        errors[name] = model.errors(mixed).all("forces").rmse
    assert errors["evidence"] < 0.1 * errors["none"]
    assert "no structure holds Cu-Zr" in str(model.report) and "know of each other" not in str(model.report)

    plain = unknowns(basis, SmoothnessPrior()).T
    np.testing.assert_array_equal(plain, unknowns(basis, priors["none"]).T)
    triangle = assemble(Design(basis, resolve_weights(), E0S), train)
    chosen, text = prior_from_evidence(basis, SmoothnessPrior(), triangle)
    assert chosen.neighbors >= 0.9 and chosen.centers >= 0.9
    assert f"correlation {chosen.neighbors:g} between neighbors, {chosen.centers:g} between centers" in text
    values = {}
    for rho in (0.0, 0.9, 0.99, 0.999):
        prior = SmoothnessPrior(neighbors=rho, centers=chosen.centers)
        values[rho] = largest_evidence(unknowns(basis, prior).problem(triangle))[1]
    assert max(values, key=values.get) == chosen.neighbors
    assert prior_from_evidence(basis, chosen, triangle) == (chosen, "")
    half = prior_from_evidence(basis, SmoothnessPrior(neighbors=0.5), triangle)[0]
    assert half.neighbors == 0.5 and half.centers is not None


@pytest.mark.parametrize("reference", [None, IdealGas(0.05)])
def test_the_evidence_is_that_of_the_features_of_lowest_degree(monkeypatch, reference):
    """Of a large basis as of a small one with these features alone."""
    radial = PolynomialRadialBasis(4.5, AgnesiTransform(r0=2.5))
    small, large = (ACEBasis(["Cu", "Zr"], radial=radial, totaldegree=(d, d)) for d in (1, 3))
    if reference is not None:
        small, large = (basis.centered(reference, orthonormal=False) for basis in (small, large))
    weights = np.random.default_rng(0).standard_normal((2, len(large)))
    labeled = labeled_by(LinearFunction(large, weights), strained_crystals(["Cu", "Zr"], 24))
    monkeypatch.setattr("acepure.fitting.system.TELLING", 2 * len(small))
    found = [
        prior_from_evidence(basis, SmoothnessPrior(), assemble(Design(basis, resolve_weights(), E0S), labeled))
        for basis in (small, large)
    ]
    assert found[0] == found[1]
    assert "against none" in found[0][1]


def test_which_functions_are_common():
    plain = ACEBasis(["Cu", "Zr"], 4.0, totaldegree=(2, 2))
    structures = strained_crystals(["Cu", "Zr"], 6)
    assert has_common_functions(plain)
    for common in (True, False):
        density = RadialDensity.from_structures(structures, 4.0, background=0.1, common=common)
        assert has_common_functions(plain.centered(density)) is common
        assert RadialDensity.from_dict(density.to_dict()) == density
    assert not has_common_functions(ACEBasis(["Cu", "Zr"], {("Cu", "Cu"): 4, ("Cu", "Zr"): 4, ("Zr", "Zr"): 5}))


def test_one_density_for_all_pairs_is_their_mean():
    """Functions are orthonormal for it, and means are its means, those of a pair that is not met too."""
    elements = strained_crystals(["Cu", "Zr"], 9)[2:]
    for k, atoms in enumerate(elements):
        atoms.symbols = ("Cu8", "Zr8")[k % 2]
    density = RadialDensity.from_structures(elements, 4.0, common=True)
    pairs = RadialDensity.from_structures(elements, 4.0)
    assert set(pairs.measures) == {("Cu", "Cu"), ("Zr", "Zr")}
    radial = density.radial(PolynomialRadialBasis(4.0, AgnesiTransform(r0=2.5)), ["Cu", "Zr"])
    gram, means = np.zeros((4, 4)), np.zeros(4)
    for measure in pairs.measures.values():  # of four ordered pairs
        R = radial.evaluate(measure.nodes, "Cu", "Zr", 4)
        gram += R.T @ (measure.weights[:, None] * R) / 4
        means += np.sqrt(4 * np.pi) * measure.weights @ R / 4
    np.testing.assert_allclose(gram, np.eye(4), atol=2e-5)  # of distances in bins
    np.testing.assert_array_equal(R, radial.evaluate(measure.nodes, "Zr", "Zr", 4))
    labels = [radial.algebra("Cu", ["Cu", "Zr"], 4).basis_label(q, 0) for q in range(4)]
    for pair in (("Cu", "Cu"), ("Cu", "Zr"), ("Zr", "Cu")):
        np.testing.assert_allclose(density.means(radial, *pair, labels), means, atol=1e-4)
    assert np.abs(means).max() > 1.0


def test_combinations_that_never_met():
    basis = ACEBasis(["Nb", "Mo", "Ta"], order=2, n_max=1, l_max=0)
    binaries = Surroundings({a: [frozenset([a, b]) for b in basis.species] for a in basis.species})
    names, n = unmet_combinations(basis, binaries)
    assert (names, n) == (["Nb-Mo-Ta"], 3)  # each center with the two others as neighbors
    assert unmet_text(basis, binaries) == (
        f"3 of {3 * len(basis)} coefficients rest on the prior alone: no structure holds Nb-Mo-Ta"
    )
    everything = frozenset(basis.species)
    met = Surroundings({a: [everything] for a in basis.species})
    assert unmet_combinations(basis, met) == ([], 0)
    assert unmet_text(basis, met) == ""
    without = Surroundings({"Nb": [everything], "Mo": [everything], "Ta": [everything - {"Ta"}]})
    names, n = unmet_combinations(basis, without)
    # Center Ta with Ta among its neighbors: order 1, and three pairs of factors.
    assert n == 1 + 3 and names == ["Ta-Ta"]
    assert unmet_combinations(basis, Surroundings({"Nb": [everything], "Mo": [everything]}))[0] == ["Ta"]


@pytest.mark.parametrize("name", ["neighbors", "centers"])
def test_wrong_correlations(name):
    for value, error in ((1.0, ValueError), (-0.1, ValueError), ("much", TypeError)):
        with pytest.raises(error, match=f"{name} must be"):
            SmoothnessPrior(**{name: value})


def test_priors_become_dictionaries_and_come_back():
    for prior in (SmoothnessPrior(), SmoothnessPrior("exponential", 0.3, (1.0, 2.0), neighbors=0.9)):
        assert SmoothnessPrior.from_dict(prior.to_dict()) == prior
