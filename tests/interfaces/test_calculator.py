"""The ASE calculator: values, what ASE does with them, caching, copies, input."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.mixing import SumCalculator
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from ase.phonons import Phonons
from cases.calculator import crystal, several_structures, stand_in
from oracles.structures import position_differences, strain_differences

from acepure.errors import CoincidentAtomsError, SpeciesError
from acepure.interfaces.calculator import ACECalculator

# The same sums in two orders, and vectors rounded once more, of the largest energy or force.
ROUND_OFF = 1e-12

VOIGT = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]


def assert_same(atoms, expected):
    """All properties against those of the potential itself, without list or calculator."""
    energies, forces = atoms.get_potential_energies(), atoms.get_forces()
    scale = abs(expected.energies).max() + abs(expected.forces).max()
    np.testing.assert_allclose(energies, expected.energies, rtol=0, atol=ROUND_OFF * scale)
    np.testing.assert_allclose(forces, expected.forces, rtol=0, atol=ROUND_OFF * scale)
    assert atoms.get_potential_energy() == energies.sum() == atoms.get_potential_energy(force_consistent=True)
    if not atoms.pbc.all():
        with pytest.raises(PropertyNotImplementedError, match="stress needs three periodic axes"):
            atoms.get_stress()
        return
    stress = [-expected.virial[pair] / abs(np.linalg.det(atoms.cell.array)) for pair in VOIGT]
    np.testing.assert_allclose(atoms.get_stress(), stress, rtol=0, atol=10 * ROUND_OFF * scale)


# --- values -----------------------------------------------------------------------------------------------------------


def test_values_of_structures_in_turn():
    """One calculator: species, number, cell and pbc change from one to the next, and everything moves."""
    potential = stand_in(["Cu", "Zr"])
    calculator = ACECalculator(potential)
    for seed in range(3):
        for atoms in several_structures().values():
            atoms.rattle(0.05, seed=seed)
            atoms.calc = calculator
            assert_same(atoms, potential.evaluate(atoms))


@pytest.mark.parametrize("name", ["alloy", "skewed"])
def test_forces_and_stress_are_derivatives(name):
    """Against central differences of order eight of the energy, moving atoms and straining the cell."""
    atoms = several_structures()[name]
    calculator = ACECalculator(stand_in(["Cu", "Zr"]), skin=0.2, num_threads=1)

    def energy(moved):
        return calculator.get_property("energy", moved)

    forces, stress = (calculator.get_property(p, atoms) for p in ("forces", "stress"))
    scale = abs(forces).max()
    np.testing.assert_allclose(forces, -position_differences(energy, atoms), rtol=0, atol=1e-9 * scale)
    strain = strain_differences(energy, atoms) / atoms.get_volume()
    np.testing.assert_allclose(stress, [strain[pair] for pair in VOIGT], rtol=0, atol=1e-9 * abs(strain).max())


def test_one_structure_changed_in_every_way():
    """pbc, cell, positions, species and number of atoms, without a new calculator."""
    potential = stand_in(["Cu", "Zr"])
    atoms = several_structures()["alloy"]
    atoms.calc = ACECalculator(potential)
    changes = [
        lambda: None,
        lambda: atoms.set_pbc((True, False, True)),
        lambda: atoms.set_pbc(False),
        lambda: atoms.set_pbc(True),
        lambda: atoms.set_cell(atoms.cell.array * 1.02, scale_atoms=True),
        lambda: atoms.set_cell(atoms.cell.array * 1.02, scale_atoms=False),
        lambda: atoms.rattle(0.01, seed=1),
        lambda: atoms.rattle(0.2, seed=2),
        lambda: atoms.translate((5.0, 0, 0)),
        lambda: atoms.wrap(),
        lambda: atoms.symbols.__setitem__(0, "Zr"),
        lambda: atoms.__delitem__(0),
        lambda: atoms.append("Cu"),
    ]
    for change in changes:
        change()
        assert_same(atoms, potential.evaluate(atoms))


# --- what ASE does with it --------------------------------------------------------------------------------------------


def test_relaxation():
    potential, atoms = stand_in(), crystal(rattle=0.15)
    atoms.calc = ACECalculator(potential, num_threads=1)
    before = atoms.get_potential_energy()
    assert BFGS(atoms, logfile=None).run(fmax=1e-3, steps=100)
    assert atoms.get_potential_energy() < before - 0.1
    n_calls, n_lists = len(potential.calls), potential.n_lists
    assert n_lists < 0.3 * n_calls
    after = potential.evaluate(atoms)
    assert abs(after.forces).max() < 1.01e-3
    np.testing.assert_allclose(after.energies, atoms.get_potential_energies(), rtol=0, atol=ROUND_OFF * abs(before))


def energies_of_a_run(potential, dt, duration=120.0, sampling=6.0):
    """Total energies (eV) at equal times (fs), and the atoms at the end."""
    atoms = crystal()
    atoms.calc = ACECalculator(potential, skin=0.2, num_threads=1)
    momenta = np.random.default_rng(13).normal(size=(len(atoms), 3))
    momenta *= np.sqrt(units.kB * 900 * atoms.get_masses())[:, None]
    atoms.set_momenta(momenta - momenta.mean(axis=0))
    energies = [atoms.get_total_energy()]
    dynamics = VelocityVerlet(atoms, dt * units.fs)
    for _ in range(round(duration / sampling)):
        dynamics.run(round(sampling / dt))
        energies.append(atoms.get_total_energy())
    return np.array(energies), atoms


def test_dynamics_conserve_energy():
    """The error is proportional to dt² at every time, as for exact gradients only."""
    potential = stand_in()
    coarse, _ = energies_of_a_run(potential, dt=3.0)
    fine, atoms = energies_of_a_run(potential, dt=1.5)
    assert abs(atoms.positions - crystal().positions).max() > 0.2
    assert 2 < potential.n_lists < 0.5 * len(potential.calls), "lists were made anew on the way, but not at every step"
    coarse, fine = coarse - coarse[0], fine - fine[0]
    assert abs(fine).max() < 2e-3 * len(atoms)
    assert abs(coarse - 4 * fine).max() < 0.05 * abs(coarse).max()


def test_phonons(tmp_path):
    """Force constants by displacements, as ASE makes them, are those of the potential itself."""
    potential = stand_in()
    atoms = crystal(rattle=0)[[0]]
    atoms.set_cell([(0, 1.8, 1.8), (1.8, 0, 1.8), (1.8, 1.8, 0)])
    delta, repeats = 0.01, (2, 2, 2)
    phonons = Phonons(atoms, ACECalculator(potential), supercell=repeats, delta=delta, name=str(tmp_path / "phonons"))
    phonons.run()
    assert potential.n_lists == 1 and len(potential.calls) == 7  # at rest, and along ±x, ±y, ±z
    phonons.read(symmetrize=0, acoustic=False)
    expected = []
    for axis in range(3):
        moved = [atoms.repeat(repeats) for _ in range(2)]
        for sign, supercell in zip((1, -1), moved):
            supercell.positions[phonons.offset, axis] += sign * delta
        plus, minus = (potential.evaluate(supercell).forces for supercell in moved)
        expected.append((minus - plus) / (2 * delta))
    expected = np.array(expected).transpose(1, 0, 2)  # cell, axis moved, axis of the force
    np.testing.assert_allclose(phonons.get_force_constant(), expected, rtol=0, atol=1e-9 * abs(expected).max())
    np.testing.assert_allclose(expected.sum(axis=0), 0, atol=1e-9 * abs(expected).max())


def test_files_of_ase(tmp_path):
    for name in ("alloy", "molecule"):
        atoms = several_structures()[name]
        atoms.calc = ACECalculator(stand_in(["Cu", "Zr"]))
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        for path in (tmp_path / "one.traj", tmp_path / "one.json"):
            ase.io.write(path, atoms)
            read = ase.io.read(path)
            assert read.get_potential_energy() == pytest.approx(energy, rel=1e-12)
            np.testing.assert_allclose(read.get_forces(), forces, rtol=0, atol=1e-9 * abs(forces).max())


def test_sum_of_calculators():
    one, other = (stand_in(["Cu", "Zr"], size=size) for size in (0.05, 0.1))
    atoms = several_structures()["alloy"]
    atoms.calc = SumCalculator([ACECalculator(one), ACECalculator(other)])
    expected = [potential.evaluate(atoms) for potential in (one, other)]
    assert atoms.get_potential_energy() == pytest.approx(sum(e.energy for e in expected), rel=ROUND_OFF)
    stress = -(expected[0].virial + expected[1].virial) / atoms.get_volume()
    np.testing.assert_allclose(atoms.get_stress(voigt=False), stress, rtol=0, atol=ROUND_OFF * abs(stress).max() * 10)


# --- caching ----------------------------------------------------------------------------------------------------------


def all_properties(atoms):
    return [atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(), atoms.get_potential_energies()]


def test_nothing_is_computed_twice():
    potential = stand_in()
    atoms = crystal()
    atoms.calc = ACECalculator(potential)
    first = all_properties(atoms)
    assert len(potential.calls) == 1
    atoms.info["name"], atoms.arrays["marks"] = "other", np.ones(len(atoms))
    atoms.set_momenta(np.ones((len(atoms), 3)))
    atoms.set_initial_charges(np.ones(len(atoms)))
    atoms.set_initial_magnetic_moments(np.ones(len(atoms)))
    equal = crystal()
    equal.calc = atoms.calc
    for again in (all_properties(atoms), all_properties(equal)):
        for one, other in zip(first, again):
            np.testing.assert_array_equal(one, other)
    assert len(potential.calls) == 1
    atoms.positions[0, 0] += 1e-9
    all_properties(atoms)
    assert len(potential.calls) == 2 and potential.n_lists == 1
    atoms.set_cell(atoms.cell.array * (1 + 1e-9))
    all_properties(atoms)
    assert len(potential.calls) == 3 and potential.n_lists == 2


def test_results_are_copies():
    atoms = crystal()
    atoms.calc = ACECalculator(stand_in())
    forces = atoms.get_forces()
    atoms.get_forces()[:] = 0.0
    np.testing.assert_array_equal(atoms.get_forces(), forces)


def test_stress_that_is_not_defined_costs_nothing():
    potential = stand_in()
    atoms = Atoms("Cu2", [(0, 0, 0), (0, 0, 2.3)])
    atoms.calc = ACECalculator(potential)
    energy = atoms.get_potential_energy()
    for _ in range(3):
        with pytest.raises(PropertyNotImplementedError, match=r"stress needs three periodic axes; pbc is \[False, "):
            atoms.get_stress()
    assert atoms.get_potential_energy() == energy and len(potential.calls) == 1
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_dipole_moment()


def test_skin():
    for skin, n_lists in ((0.0, 6), (0.1, 2), (1.0, 1)):
        potential, atoms = stand_in(), crystal()
        atoms.calc = ACECalculator(potential, skin=skin)
        for _ in range(6):
            atoms.get_forces()
            atoms.positions[0, 0] += 0.012
        assert potential.n_lists == n_lists


# --- copies, threads, errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))], ids=["copy", "deepcopy", "pickle"]
)
@pytest.mark.parametrize("used", [False, True])
def test_copies(copied, used):
    """They compute the same, and do not disturb the original on other structures."""
    potential = stand_in()
    original, atoms = ACECalculator(potential, skin=0.3, num_threads=1), crystal()
    atoms.calc = original
    expected = potential.evaluate(atoms)
    if used:
        atoms.get_forces()
    other = crystal()
    other.rattle(0.1, seed=9)
    other.calc = copied(original)
    assert other.calc is not original
    for _ in range(2):
        assert_same(other, potential.evaluate(other))
        assert_same(atoms, expected)
        atoms.rattle(0.02, seed=8)
        other.rattle(0.02, seed=8)
        expected = potential.evaluate(atoms)


def test_a_copy_has_a_list_of_its_own(monkeypatch):
    """A step of the copy in the middle of one of the original changes nothing."""
    potential, atoms, other = stand_in(), crystal(), crystal(rattle=0.1)
    original, evaluate = ACECalculator(potential), potential.evaluate
    original.get_property("energy", other)
    copied = copy.copy(original)
    expected = potential.evaluate(atoms)

    def interrupted(*arguments, **options):
        monkeypatch.setitem(vars(potential), "evaluate", evaluate)
        copied.get_property("energy", crystal(rattle=0.05))
        return evaluate(*arguments, **options)

    monkeypatch.setitem(vars(potential), "evaluate", interrupted)
    atoms.calc = original
    assert_same(atoms, expected)


def test_deepcopy_of_atoms():
    potential, atoms = stand_in(), crystal()
    atoms.calc = ACECalculator(potential)
    energy = atoms.get_potential_energy()
    moved = copy.deepcopy(atoms)
    moved.rattle(0.1, seed=5)
    assert_same(moved, potential.evaluate(moved))
    assert atoms.get_potential_energy() == energy


def test_threads_that_share_a_potential():
    potential = stand_in()
    several = [crystal(rattle=0.02 * k) for k in range(6)]
    expected = [potential.evaluate(atoms) for atoms in several]

    def compute(k):
        atoms = several[k].copy()
        atoms.calc = ACECalculator(potential, num_threads=2)
        for _ in range(3):
            assert_same(atoms, expected[k])
            atoms.calc.reset()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(compute, [*range(6), *range(6)]))


def test_threads_that_share_a_calculator():
    """Each gets the results of its own structure."""
    potential = stand_in()
    several = [crystal(rattle=0.02 * k) for k in range(4)]
    expected, calculator = [potential.evaluate(atoms) for atoms in several], ACECalculator(potential, num_threads=1)

    def compute(k):
        atoms = several[k]
        atoms.calc = calculator
        for _ in range(30):
            scale = abs(expected[k].energies).max()
            assert abs(atoms.get_potential_energy() - expected[k].energy) < len(atoms) * ROUND_OFF * scale
            np.testing.assert_allclose(atoms.get_forces(), expected[k].forces, rtol=0, atol=ROUND_OFF * scale)
            found = calculator.calculate_properties(atoms, ["energies"])
            np.testing.assert_allclose(found["energies"], expected[k].energies, rtol=0, atol=ROUND_OFF * scale)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(compute, range(4)))


@pytest.mark.parametrize(
    "change, error, message",
    [
        (lambda atoms: atoms.symbols.__setitem__(3, "Fe"), SpeciesError, "Fe"),
        (lambda atoms: atoms.positions.__setitem__(3, np.nan), ValueError, "NaN"),
        (lambda atoms: atoms.positions.__setitem__(3, atoms.positions[2]), CoincidentAtomsError, "atom 2"),
        (lambda atoms: atoms.set_cell([4, 4, 0]), ValueError, "cell vector"),
    ],
    ids=["species", "NaN", "coincident", "cell"],
)
def test_errors_leave_nothing_behind(change, error, message):
    """No result of the structure before, and the next one works."""
    potential, atoms = stand_in(), crystal()
    atoms.calc = ACECalculator(potential)
    atoms.get_forces()
    wrong = atoms.copy()
    change(wrong)
    for _ in range(2):
        with pytest.raises(error, match=message):
            atoms.calc.calculate(wrong, ["energy"])
        with pytest.raises(error, match=message):
            atoms.calc.get_property("energy", wrong)
    assert_same(atoms, potential.evaluate(atoms))


def test_no_structure():
    with pytest.raises(ValueError, match="the calculator has no atoms yet"):
        ACECalculator(stand_in()).get_potential_energy()
    atoms = Atoms(pbc=False)
    atoms.calc = ACECalculator(stand_in())
    with pytest.raises(ValueError, match="holds no atoms"):
        atoms.get_potential_energy()


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"skin": -1.0}, ValueError, "skin must be a finite number >= 0"),
        ({"skin": "1"}, TypeError, "skin must be a finite number"),
        ({"num_threads": 0}, ValueError, "num_threads"),
        ({"num_threads": 1.5}, TypeError, "num_threads"),
        ({"warn": 1}, TypeError, 'warn must be True, False or "raise", got 1'),
        ({"check_every": -1}, ValueError, "check_every must be"),
        ({"check_every": 5, "warn": False}, ValueError, "check_every looks for what to warn of"),
        ({"check_every": 5}, ValueError, "check_every needs a potential whose standard deviations are calibrated"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        ACECalculator(stand_in(), **arguments)


@pytest.mark.parametrize(
    "shortest, error, message",
    [
        ([("Cu", "Cu", 2.0)], TypeError, "shortest_distances must be a mapping"),
        ({"Cu": 2.0}, TypeError, "keys of shortest_distances must be pairs"),
        ({("Cu", "Qq"): 2.0}, ValueError, "chemical symbol"),
        ({("Cu", "Cu"): 0.0}, ValueError, "shortest_distances.* must be a finite number > 0"),
        ({("Cu", "Cu"): np.nan}, ValueError, "shortest_distances.* must be a finite number > 0"),
    ],
)
def test_wrong_potentials(shortest, error, message):
    with pytest.raises(error, match=message):
        ACECalculator(stand_in(shortest=shortest))
    with pytest.raises(TypeError, match="lacks evaluate and shortest_distances"):
        ACECalculator(type("Half", (), {"basis": stand_in().basis})())
    with pytest.raises(
        TypeError, match=r"potential must have basis, evaluate and shortest_distances.*'Cu' of type str"
    ):
        ACECalculator("Cu")
