"""What lies outside of the data of a fit: distances, surroundings, deviations; said once, or raised."""

import warnings
from itertools import combinations

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list
from cases.regression import known_model, labeled_by, strained_crystals

from acepure import ACEBasis, LinearACE
from acepure.errors import CoverageWarning, ExtrapolationWarning
from acepure.fitting.leave_out import leave_out
from acepure.models.coverage import CoverageCheck, Surroundings, kinds_around

QUIET = {"verbose": False, "progress": False, "check": False}


@pytest.fixture(scope="module")
def fitted():
    """A fit to 32 crystals with noise, and its structures."""
    structures = strained_crystals(["Cu"], 33)[1:]
    basis = ACEBasis(["Cu"], order=2, totaldegree=4)
    labeled_by(known_model(basis), structures)
    rng = np.random.default_rng(0)
    for atoms in structures:
        atoms.arrays["REF_forces"] = atoms.arrays["REF_forces"] + 0.01 * rng.standard_normal((len(atoms), 3))
        atoms.info.pop("REF_virial")
    return LinearACE.fit(structures, basis, **QUIET), structures


def said(check):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check()
    assert all(w.category is ExtrapolationWarning for w in caught)
    return [str(w.message) for w in caught]


def cluster(seed, species=("Cu", "Zr", "Al")):
    rng = np.random.default_rng(seed)
    return Atoms(rng.choice(list(species), 9), rng.uniform(0, 7, (9, 3)), cell=[9, 10, 11], pbc=[True, False, True])


def brute_force(atoms, cutoffs):
    """Species of center → sets of species of neighbors, by the neighbor list of ASE."""
    i, j = neighbor_list("ij", atoms, {pair: r for pair, r in cutoffs.items()})
    return {(atoms.symbols[k], frozenset(atoms.symbols[j[i == k]])) for k in range(len(atoms))}


@pytest.mark.parametrize("seed", range(3))
def test_surroundings_by_brute_force(seed):
    cutoffs = {("Cu", "Cu"): 3.0, ("Cu", "Zr"): 3.5, ("Zr", "Zr"): 4.0, ("Al", "Al"): 2.5, ("Al", "Cu"): 3.2}
    cutoffs[("Al", "Zr")] = 3.8
    basis = ACEBasis(["Cu", "Zr", "Al"], cutoffs, order=2, n_max=1, l_max=0)
    atoms = cluster(seed)
    found = kinds_around(basis, basis.species_indices(atoms), basis.neighbor_list(atoms))
    assert {(center, kinds) for center, kinds, _ in found} == brute_force(atoms, cutoffs)
    assert all(atoms.symbols[k] == center for center, _, k in found)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_missing_is_the_smallest_that_no_set_holds(seed):
    rng, names = np.random.default_rng(seed), ["A", "B", "C", "D"]
    sets = [frozenset(x for x in names if rng.random() < 0.6) for _ in range(3)]
    surroundings, everything = Surroundings({"A": sets}), frozenset(names)
    for order in (1, 2, 3):
        parts = [frozenset(p) for k in range(1, order + 1) for p in combinations(names, k)]
        absent = [p for p in parts if not any(p <= s for s in sets)]
        smallest = {p for p in absent if not any(q < p for q in absent)}
        assert set(surroundings.missing("A", everything, order)) == smallest
    again = Surroundings.from_list(surroundings.to_list())
    assert again.to_list() == surroundings.to_list() and again.centers == {"A"}
    assert surroundings.missing("B", frozenset("A"), 2) == [frozenset("A")]


def hole():
    """A potential for Cu, Zr and Al whose fit had Cu with Zr or Al around it, never with both."""
    basis = ACEBasis(["Cu", "Zr", "Al"], 4.0, order=2, n_max=1, l_max=0)
    seen = {a: [frozenset(basis.species)] for a in ("Zr", "Al")}
    seen["Cu"] = [frozenset(["Cu", "Zr"]), frozenset(["Cu", "Al"])]
    shortest = {pair: 2.0 for pair in [("Cu", "Zr"), ("Cu", "Al"), ("Zr", "Al"), ("Cu", "Cu")]}
    shortest |= {("Zr", "Zr"): 2.0, ("Al", "Al"): 2.0}
    coefficients = np.full((3, len(basis)), 0.01)
    return LinearACE(basis, coefficients, shortest=shortest, surroundings=Surroundings(seen))


def test_surroundings_that_are_new_are_said_once(tmp_path):
    hole().save(tmp_path / "model.ace")
    potential = LinearACE.load(tmp_path / "model.ace")
    both = Atoms("AlCuZr", [[-2.5, 0, 0], [0, 0, 0], [2.5, 0, 0]])
    one = Atoms("CuZr", [[0, 0, 0], [2.5, 0, 0]])
    calculator = potential.calculator()
    assert said(lambda: calculator.get_potential_energy(one)) == []
    (text,) = said(lambda: calculator.get_potential_energy(both))
    assert "atom 1 is Cu with Al and Zr around it, which no structure of the fit had" in text
    both.positions[0] -= 0.1
    assert said(lambda: calculator.get_potential_energy(both)) == []
    strict = potential.calculator(warn="raise")
    for _ in range(2):
        with pytest.raises(ExtrapolationWarning, match="atom 1 is Cu with Al and Zr"):
            strict.get_potential_energy(both)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CoverageWarning)
        with pytest.raises(ExtrapolationWarning, match="atom 1 is Cu"):
            potential.calculator().get_potential_energy(both)
    assert said(lambda: potential.calculator(warn=False).get_potential_energy(both)) == []


def test_grades_are_deviations_in_units_of_the_largest_left_out(fitted):
    model, structures = fitted
    from acepure.fitting import label_structures

    left_out = leave_out(model, label_structures(structures))
    largest = np.sqrt(left_out["forces"].variances.mean(axis=1).max())
    assert model.calibration.laws["forces"].largest == pytest.approx(largest, rel=1e-12)
    expected = model.uncertainty(structures[3]).posterior.forces / largest
    np.testing.assert_allclose(model.grades(structures[3]), expected, rtol=1e-12)
    assert expected.max() < 1
    energies = left_out["energy"]
    most = (np.sqrt(energies.variances[:, 0]) / energies.scales).max()
    assert model.calibration.laws["energy"].largest == pytest.approx(most, rel=1e-12)


def test_deviations_beyond_those_of_training_are_said(fitted):
    model, structures = fitted
    known, far = structures[3], structures[3].copy()
    far.set_cell(far.cell * 0.82, scale_atoms=True)
    assert model.grades(far).max() > 2
    calculator = model.calculator(check_every=2)
    assert said(lambda: calculator.get_forces(known)) == []
    assert "forces_uncertainty" in calculator.results  # of the first, third, ... structure
    texts = said(lambda: calculator.get_forces(far))
    assert all("apart" in text for text in texts) and "forces_uncertainty" not in calculator.results
    far.positions[0, 0] += 1e-3
    texts = said(lambda: calculator.get_forces(far))
    assert any(f"is {model.grades(far).max():.2g} times as uncertain" in text for text in texts)
    assert said(lambda: calculator.get_property("forces_uncertainty", far)) == []  # once

    strict = CoverageCheck(model, raises=True, limit=1e9)
    strict.check_deviations(model.uncertainty(far), len(far))
    strict = CoverageCheck(model, raises=True)
    with pytest.raises(ExtrapolationWarning, match=r"far: the energy is [\d.]+ times as uncertain"):
        strict.check_deviations(model.uncertainty(far), len(far), "far: ")


def test_models_that_know_nothing_say_nothing():
    basis = ACEBasis(["Cu", "Zr"], order=2, n_max=1, l_max=0)
    model = LinearACE(basis, np.ones((2, len(basis))))
    assert said(lambda: model.calculator().get_potential_energy(cluster(0, ("Cu", "Zr")))) == []
    with pytest.raises(ValueError, match="grades need forces that were calibrated"):
        model.grades(cluster(0, ("Cu", "Zr")))
    with pytest.raises(TypeError, match="surroundings must be a Surroundings"):
        LinearACE(basis, np.ones((2, len(basis))), surroundings={"Cu": []})
