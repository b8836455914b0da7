"""Body orders of linear functions against inclusion and exclusion over explicit clusters."""

import pickle
from itertools import combinations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from acepure import ACEBasis, IdealGas, LinearACE, LinearFunction, MeanCovariance, RadialDensity
from acepure.features.body_orders import body_order_functions
from acepure.features.change_of_basis import coordinate_map
from acepure.models.repulsion import ZBLCore


def crystal():
    atoms = bulk("Cu", cubic=True) * 2
    atoms.rattle(0.15, seed=3)
    return atoms


def bases():
    plain, canonical = (ACEBasis(["Cu"], order=3, totaldegree=5, canonical=c) for c in (False, True))
    density = RadialDensity.from_structures([crystal()], 5.0)
    return {
        "self-interacting": plain,
        "canonical": canonical,
        "shifted": plain.centered(density),
        "centered": canonical.centered(IdealGas(0.08)),
        "Wick": plain.centered(MeanCovariance.from_structures([crystal()], plain)),
        "measured pairs": canonical.centered(MeanCovariance.from_structures([crystal()], canonical)),
        "order 4": ACEBasis(["Cu"], order=4, totaldegree=4, canonical=False),
        "two species": ACEBasis(["Cu", "Zr"], order=3, totaldegree=3, canonical=False),
    }


BASES = bases()


def cluster(basis, n=6, seed=1):
    positions = 1.7 * np.random.default_rng(seed).normal(size=(n, 3))
    return Atoms([basis.species[k % len(basis.species)] for k in range(n)], positions)


def function_of(basis):
    rng = np.random.default_rng(0)
    return LinearFunction(basis, rng.normal(size=(len(basis.species), len(basis))))


def term_by_clusters(function, atoms, nu):
    """Σ_{|S| = ν} Σ_{T ⊆ S} (−1)^{ν − |T|} E_0(T) of atom 0, and the sum of |terms|."""
    total = size = 0.0
    for S in combinations(range(1, len(atoms)), nu):
        for n in range(nu + 1):
            for T in combinations(S, n):
                value = function.evaluate(atoms[[0, *T]])[0]
                total, size = total + (-1) ** (nu - n) * value, size + abs(value)
    return total, size


@pytest.mark.parametrize("name", BASES)
def test_terms_equal_inclusion_and_exclusion(name):
    function = function_of(BASES[name])
    atoms = cluster(function.basis)
    terms = body_order_functions(function.basis, function.coefficients)
    assert len(terms) == function.basis.order
    for nu, term in enumerate(terms, 1):
        expected, size = term_by_clusters(function, atoms, nu)
        assert abs(term.evaluate(atoms)[0] - expected) < 1e-13 * size


@pytest.mark.parametrize("name", BASES)
def test_terms_add_up_with_forces_and_virial(name):
    function = function_of(BASES[name])
    basis = function.basis
    atoms = crystal()
    if len(basis.species) > 1:
        atoms.symbols[::3] = "Zr"
    whole = function.evaluate_with_gradients(atoms)
    parts = [term.evaluate_with_gradients(atoms) for term in body_order_functions(basis, function.coefficients)]
    isolated = np.array([function.evaluate(Atoms(symbol))[0] for symbol in atoms.symbols])
    for got, expected in (
        (sum(p.energies for p in parts) + isolated, whole.energies),
        (sum(p.forces for p in parts), whole.forces),
        (sum(p.virial for p in parts), whole.virial),
    ):
        size = sum(abs(p.energies).max() for p in parts) + abs(isolated).max()
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-11 * max(size, abs(expected).max()))


@pytest.mark.parametrize("name", BASES)
def test_terms_vanish_with_too_few_neighbors(name):
    function = function_of(BASES[name])
    terms = body_order_functions(function.basis, function.coefficients)
    for nu, term in enumerate(terms, 1):
        atoms = cluster(function.basis, n=nu)
        result = term.evaluate_with_gradients(atoms)
        scale = abs(function.evaluate(cluster(function.basis))).max()
        assert abs(result.energies).max() < 1e-12 * scale and abs(result.forces).max() < 1e-10 * scale


def test_one_function_has_the_same_terms_in_any_coordinates():
    canonical = BASES["canonical"]
    centered = canonical.centered(IdealGas(0.05))
    theta = np.random.default_rng(4).normal(size=len(canonical))
    theta_centered = (theta @ coordinate_map(centered, canonical))[1:]
    atoms = cluster(canonical, n=8, seed=99)
    pairs = zip(body_order_functions(canonical, theta), body_order_functions(centered, theta_centered), strict=True)
    scale = abs(LinearFunction(canonical, theta).evaluate(atoms)).max()
    for one, other in pairs:
        np.testing.assert_allclose(one.evaluate(atoms), other.evaluate(atoms), rtol=0, atol=1e-11 * scale)


def test_terms_survive_a_pickle():
    function = function_of(BASES["shifted"])
    term = body_order_functions(function.basis, function.coefficients)[1]
    atoms = cluster(function.basis)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(term)).evaluate(atoms), term.evaluate(atoms))


@pytest.mark.parametrize("name", ["canonical", "shifted"])
@pytest.mark.parametrize("core", [None, ZBLCore(inner=1.0, outer=2.2)], ids=["no core", "core"])
def test_a_model_by_order(name, core):
    basis = BASES[name]
    model = LinearACE(basis, 0.1 * function_of(basis).coefficients, E0s={"Cu": -3.0}, core=core)
    atoms = cluster(basis)
    atoms.positions *= 0.9
    whole, energies, forces = model.evaluate(atoms), model.energies_by_order(atoms), model.forces_by_order(atoms)
    assert energies.shape == (4, 6) and forces.shape == (4, 6, 3)
    np.testing.assert_array_equal(energies[0], -3.0)
    scale = abs(energies).sum(axis=0).max()
    np.testing.assert_allclose(energies.sum(axis=0), whole.energies, rtol=0, atol=1e-12 * scale)
    np.testing.assert_allclose(forces.sum(axis=0), whole.forces, rtol=0, atol=1e-12 * abs(forces).sum(axis=0).max())
    dimer = atoms[:2]
    assert abs(model.energies_by_order(dimer)[2:]).max() < 1e-12 * scale


def test_a_wrong_number_of_coefficients():
    with pytest.raises(ValueError, match="coefficients must have shape"):
        body_order_functions(BASES["canonical"], np.ones(3))
