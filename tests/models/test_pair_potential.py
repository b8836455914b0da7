"""Given pair potentials: tables against the functions they are of, and beside an expansion."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones

from acepure import ACEBasis, LinearACE
from acepure.diagnostics import energies_by_clusters
from acepure.models.pair_potential import TabulatedPair
from acepure.models.repulsion import PairCore

REACH = {"shortest": 2.4, "inner": 6.0, "cutoff": 8.0}


def lennard_jones(r, epsilon=0.0104, sigma=3.4):
    return 4 * epsilon * ((sigma / r) ** 12 - (sigma / r) ** 6)


ARGON = TabulatedPair.from_function(lennard_jones, **REACH, tolerance=1e-9)

ARGON_ALONE = TabulatedPair([1, 2, 3, 4], {("Ar", "Ar"): [1, 1, 1, 0]})


def cluster(symbols="Ar5", seed=0):
    rng = np.random.default_rng(seed)
    return Atoms(
        symbols, np.array([[0, 0, 0], [3.6, 0, 0], [0, 3.7, 0], [0, 0, 3.8], [3, 3, 3]]) + rng.normal(size=(5, 3)) / 9
    )


def test_a_table_is_the_function_with_its_slope():
    r = np.random.default_rng(0).uniform(2.4, 6.0, 500)
    value, slope = ARGON.energy_and_slope(r, "Ar", "Ar")
    np.testing.assert_array_less(abs(value - lennard_jones(r)), 1e-9 * (1 + abs(lennard_jones(r))))
    step = 1e-5
    numerical = (lennard_jones(r + step) - lennard_jones(r - step)) / (2 * step)
    np.testing.assert_allclose(slope, numerical, rtol=0, atol=2e-6 * abs(numerical).max())


def test_ends_of_a_table():
    value, slope = ARGON.energy_and_slope([2.4, 2.0, 8.0, 9.0], "Ar", "Ar")
    assert value[1] == pytest.approx(value[0] - 0.4 * slope[0]) and slope[1] == slope[0] < 0
    assert abs(value[2:]).max() < 1e-16 and abs(slope[2:]).max() < 1e-16
    u = (7.0 - 6.0) / 2.0
    near = ARGON.energy_and_slope([7.0], "Ar", "Ar")[0][0]
    assert near == pytest.approx(lennard_jones(7.0) * (1 - u) ** 3 * (1 + 3 * u + 6 * u**2), abs=1e-9)


def test_a_calculator_s_pair_term():
    calculator = LennardJones(epsilon=0.0104, sigma=3.4, rc=50.0)
    table = TabulatedPair.from_calculator(calculator, ["Ne", "Ar"], **REACH, tolerance=1e-3)
    r = np.linspace(2.5, 5.9, 50)
    shift = lennard_jones(50.0)
    for pair in (("Ar", "Ne"), ("Ne", "Ar"), ("Ne", "Ne")):
        value = table.energy_and_slope(r, *pair)[0]
        np.testing.assert_allclose(value, lennard_jones(r) - shift, rtol=1e-3, atol=1e-3)


def force_by_differences(model, atoms, k, axis, step=1e-4):
    """−∂E/∂x; third derivatives of a spline jump, so that errors are of the square of the step."""
    energies = []
    for sign in (-1, 1):
        moved = atoms.copy()
        moved.positions[k, axis] += sign * step
        energies.append(model.evaluate(moved).energy)
    return (energies[0] - energies[1]) / (2 * step)


def test_a_pair_potential_is_order_one_of_a_model(tmp_path):
    """Exact beside triples that are fitted to what is left."""
    basis = ACEBasis(["Ar"], rcut=8.0, order=2, totaldegree=5)
    truth = LinearACE(basis, np.random.default_rng(0).normal(size=len(basis)) / 100 * (np.arange(len(basis)) > 5))
    structures = [cluster(seed=seed) for seed in range(15)]
    for atoms in structures:
        pair, rest = ARGON.energy_and_forces(atoms), truth.evaluate(atoms)
        atoms.info["energy"] = pair.energy + rest.energy
        atoms.arrays["forces"] = pair.forces + rest.forces
    given = {"core": ARGON, "E0s": {"Ar": 0.0}, "solver": "qr"}
    model = LinearACE.fit_orders(structures, 2, basis, **given, verbose=False)
    np.testing.assert_allclose(model.coefficients, truth.coefficients, rtol=0, atol=1e-8)
    atoms = cluster(seed=99)
    pair = energies_by_clusters(model.calculator(), atoms, 2)[1]
    assert pair == pytest.approx(ARGON.energy_and_forces(atoms).energy, abs=1e-12)
    assert model.energies_by_order(atoms)[1].sum() == pytest.approx(pair, abs=1e-12)
    np.testing.assert_allclose(model.evaluate(atoms).forces[2, 1], force_by_differences(model, atoms, 2, 1), rtol=1e-6)
    model.save(tmp_path / "argon.ace")
    again = LinearACE.load(tmp_path / "argon.ace")
    np.testing.assert_array_equal(again.evaluate(bulk("Ar")).energies, model.evaluate(bulk("Ar")).energies)


def test_to_dict_and_back():
    r = np.linspace(1.0, 2.0, 5)
    for energies in ((2 - r) ** 2, {("Ar", "Ne"): (2 - r) ** 2, ("Ar", "Ar"): 2 - r}):
        table = TabulatedPair(r, energies)
        again = PairCore.from_dict(json.loads(json.dumps(table.to_dict())))
        assert again == table and hash(again) == hash(table) and type(again) is TabulatedPair


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: TabulatedPair([1, 2, 3], [1, 1, 0]), "r must hold at least four rising distances > 0"),
        (lambda: TabulatedPair([0, 1, 2, 3], [1, 1, 1, 0]), "r must hold at least four rising distances > 0"),
        (lambda: TabulatedPair([1, 2, 3, 4], [1, 1, 1, 1]), "energies must end with 0, at the cutoff; got 1"),
        (lambda: TabulatedPair([1, 2, 3, 4], [1, 1, 0]), "energies must have shape"),
        (
            lambda: TabulatedPair([1, 2, 3, 4], {("Ar", "Ne"): [1, 1, 1, 0], ("Ne", "Ar"): [2, 1, 1, 0]}),
            "energies must be the same for both orders of a pair",
        ),
        (lambda: TabulatedPair.from_function(np.abs, shortest=3, inner=2, cutoff=4), "shortest < inner < cutoff"),
        (
            lambda: TabulatedPair.from_function(lambda r: 1.0 * (r < 2), shortest=1, inner=3, cutoff=4),
            "is not smooth between 1 and 4 Å",
        ),
        (lambda: ARGON_ALONE.energy_and_slope([1.0], "Ne", "Ne"), "energies has no value for the pair Ne-Ne"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
