"""Virials and forces against energies: pairs of structures, by slow loops and on labels that are known to be right."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.cluster import Octahedron
from ase.units import GPa
from scipy.linalg import logm, polar
from scipy.spatial.transform import Rotation

from acepure.fitting import LabeledStructure, LabelWarning, check_consistency
from acepure.fitting.consistency import strained_copies


def labeled(atoms, config_type="default", virial=True):
    """Labels by EMT."""
    atoms = atoms.copy()
    atoms.calc = EMT()
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    W = -atoms.get_volume() * atoms.get_stress(voigt=False) if virial else None
    return LabeledStructure(atoms, energy, forces, W, config_type)


def strained(n, size, seed=0):
    """Copies of a crystal with strains up to `size` in all components."""
    generator = np.random.default_rng(seed)
    result = []
    for _ in range(n):
        atoms = bulk("Cu", cubic=True)
        strain = generator.uniform(-size, size, (3, 3))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        result.append(atoms)
    return result


def with_virial(item, virial):
    return LabeledStructure(item.atoms, item.energy, item.forces, virial, item.config_type)


def slow_comparison(data, smallest, largest):
    """(d, V |log P|, V tr log P) of all pairs, with SciPy's polar decomposition and matrix logarithm."""
    rows = []
    for first, second in combinations(data, 2):
        F = np.linalg.inv(first.atoms.cell.array) @ second.atoms.cell.array
        R, P = polar(F, side="left")  # F = P R
        L = logm(P)
        if smallest <= np.linalg.norm(L) <= largest:
            mean = (first.virial + R @ second.virial @ R.T) / 2
            V = (first.atoms.get_volume() + second.atoms.get_volume()) / 2
            d = second.energy - first.energy + np.trace(mean @ L)
            rows.append((d, V * np.linalg.norm(L), V * np.trace(L)))
    return np.array(rows)


# --- virials ----------------------------------------------------------------------------------------------------------


def test_slow_loops():
    """Cells that are strained and rotated; labels that are wrong by a constant tensor."""
    data = []
    for k, atoms in enumerate(strained(12, 0.01)):
        item = labeled(atoms)
        R = Rotation.random(random_state=k).as_matrix()
        atoms.set_cell(atoms.cell.array @ R, scale_atoms=True)
        wrong = R.T @ (item.virial + np.diag([0.3, 0.8, -0.1])) @ R
        data.append(LabeledStructure(atoms, item.energy, None, wrong))
    rows = slow_comparison(data, 0.005, 0.03)
    assert 20 < len(rows) < 66  # some pairs are too far, or too close
    with pytest.warns(LabelWarning, match="virials of 'default' contradict"):
        check = check_consistency(data).virials[0]
    d, strain, volume = rows.T
    assert (check.config_type, check.n_cells, check.n_pairs) == ("default", 1, len(rows))
    np.testing.assert_allclose(check.discrepancy, np.sqrt((d**2).sum() / (strain**2).sum()) / GPa, rtol=1e-9)
    offset = np.linalg.lstsq(volume[:, None], d, rcond=None)[0].item()
    np.testing.assert_allclose(check.pressure_offset, offset / GPa, rtol=1e-9)
    np.testing.assert_allclose(check.largest, np.abs(d / strain).max() / GPa, rtol=1e-9)
    worst = np.array(slow_comparison([data[k] for k in check.frames], 0.005, 0.03))
    np.testing.assert_allclose(abs(worst[0, 0] / worst[0, 1]), np.abs(d / strain).max(), rtol=1e-9)


def test_right_labels_agree_better_the_smaller_the_strain():
    """The trapezoidal rule: d/V|log P| goes to zero with the square of the strain."""
    checks = []
    for size in (0.02, 0.01, 0.005):
        data = [labeled(atoms) for atoms in strained(8, size)]
        checks.append(check_consistency(data, smallest_strain=size / 10, largest_strain=10 * size).virials[0])
    found = [check.discrepancy for check in checks]
    assert found[2] < 0.05  # GPa
    for larger, smaller in pairwise(found):
        assert 3 < larger / smaller < 5


@pytest.mark.parametrize("offset", [2.0, -3.0])
def test_a_pressure_that_is_not_in_the_energy_is_found(offset):
    """E quadratic in ln V, for which the trapezoidal rule is exact; a constant pressure is added to the labels."""
    data = []
    for atoms in strained(10, 0.008):
        x = np.log(atoms.get_volume() / 47.0)
        W = (-2 * 100.0 * x + offset * GPa * atoms.get_volume()) * np.eye(3)
        data.append(LabeledStructure(atoms, 100.0 * x**2, None, W))
    with pytest.warns(LabelWarning, match=f"pressure offset {offset:.2g} GPa"):
        report = check_consistency(data)
    assert report.virials[0].pressure_offset == pytest.approx(offset, abs=1e-9)
    assert len(report.contradictions) == 1 and report.contradictions[0] in str(report)
    assert check_consistency(data, stress_tolerance=10.0).contradictions == ()
    right = [with_virial(item, item.virial - offset * GPa * item.atoms.get_volume() * np.eye(3)) for item in data]
    check = check_consistency(right).virials[0]
    assert check.discrepancy < 1e-9 and abs(check.pressure_offset) < 1e-9 and check.largest < 1e-9


@pytest.mark.parametrize(
    "wrong",
    [
        lambda item: -item.virial,  # sign
        lambda item: item.virial / item.atoms.get_volume(),  # stress, not virial
        lambda item: item.virial[[1, 0, 2]][:, [1, 0, 2]],  # order
    ],
)
def test_usual_mistakes(wrong):
    cell = bulk("Cu", cubic=True).cell.array @ np.diag([1.04, 0.97, 1.0])  # far from equilibrium
    structures = strained(8, 0.008)
    for atoms in structures:
        atoms.set_cell(atoms.cell.array @ np.linalg.solve(bulk("Cu", cubic=True).cell.array, cell), scale_atoms=True)
    data = [labeled(atoms, "strained") for atoms in structures]
    report = check_consistency(data)
    assert report.contradictions == () and report.virials[0].n_pairs > 10
    with pytest.warns(LabelWarning, match="virials of 'strained' contradict its energies"):
        report = check_consistency([with_virial(item, wrong(item)) for item in data])
    assert len(report.contradictions) == 1


def test_shears_have_no_pressure():
    cell = bulk("Cu", cubic=True)
    data = []
    for gamma in (-0.01, 0.0, 0.01):
        atoms = cell.copy()
        atoms.set_cell(cell.cell.array @ [[1, gamma, 0], [0, 1, 0], [0, 0, 1]], scale_atoms=True)
        data.append(labeled(atoms))
    report = check_consistency(data)
    assert report.virials[0].n_pairs == 3 and np.isnan(report.virials[0].pressure_offset)
    assert str(report).splitlines()[1].split()[4] == "–" and report.contradictions == ()


# --- which structures are copies --------------------------------------------------------------------------------------


def copies_by_loops(data):
    """Every structure against the first of each class that was found so far."""
    classes = []
    for k, item in enumerate(data):
        x = item.atoms.get_scaled_positions(wrap=False)
        for members in classes:
            first = data[members[0]]
            if first.config_type != item.config_type or list(first.atoms.symbols) != list(item.atoms.symbols):
                continue
            y = first.atoms.get_scaled_positions(wrap=False)
            difference = (x - x[0]) - (y - y[0])
            if np.abs(difference - np.round(difference)).max() <= 1e-4:
                members.append(k)
                break
        else:
            classes.append([k])
    return sorted(members for members in classes if len(members) > 1)


def test_copies():
    """Strained, moved, wrapped and slightly displaced copies, among structures that are none."""
    generator = np.random.default_rng(1)
    data = []
    for k in range(120):
        atoms = bulk(["Cu", "Ag"][k % 2], cubic=True) * (1, 1, 1 + k % 3 // 2)
        atoms.rattle(0.1, seed=k // 30)  # four geometries of each crystal
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + generator.uniform(-0.02, 0.02, (3, 3))), scale_atoms=True)
        atoms.positions += generator.uniform(-10, 10, 3)
        if k % 4 == 0:
            atoms.wrap()
        if k % 5 == 0:
            displaced = atoms.get_scaled_positions(wrap=False)
            displaced[1, 0] += [0.9e-4, 3e-4][k % 2]
            atoms.set_scaled_positions(displaced)
        data.append(LabeledStructure(atoms, 0.0, None, np.eye(3), f"group {k % 7 // 4}"))
    expected = copies_by_loops(data)
    assert len(expected) > 10 and max(map(len, expected)) > 3
    assert sorted(strained_copies(data)) == expected


def test_what_is_no_copy():
    first, second = strained(2, 0.01)
    good = [labeled(first), labeled(second)]
    assert list(strained_copies(good)) == [[0, 1]]
    for change in (
        dict(energy=None),
        dict(virial=None),
        dict(config_type="other"),
        dict(atoms=second[[0, 2, 1, 3]]),
        dict(atoms=second * (2, 1, 1)),
    ):
        attributes = dict(atoms=second, energy=0.0, virial=np.eye(3), config_type="default") | change
        assert list(strained_copies([good[0], LabeledStructure(**attributes)])) == []


def test_many_copies_are_thinned():
    """450 copies: every third is taken, all their pairs are compared."""
    data = [LabeledStructure(atoms, 0.0, None, np.zeros((3, 3))) for atoms in strained(450, 0.004)]
    check = check_consistency(data, smallest_strain=1e-9, largest_strain=1.0).virials[0]
    assert check.n_pairs == 150 * 149 // 2


# --- forces -----------------------------------------------------------------------------------------------------------


def vibration(atoms, n=12, amplitude=0.1, step=0.3, seed=0):
    """Frames on which every atom swings about its place, none in phase with another."""
    generator = np.random.default_rng(seed)
    direction = generator.uniform(-amplitude, amplitude, (len(atoms), 3))
    phase = generator.uniform(0, 2 * np.pi, (len(atoms), 3))
    for k in range(n):
        frame = atoms.copy()
        frame.positions += direction * np.sin(step * k + phase)
        yield frame


def with_forces(item, forces):
    return LabeledStructure(item.atoms, item.energy, forces, None, item.config_type)


@pytest.mark.parametrize("periodic", [True, False])
def test_forces_of_a_trajectory(periodic):
    """Right forces agree; compared with a slow loop.  Wrong signs and units are found."""
    atoms = bulk("Cu", cubic=True) * (2, 1, 1) if periodic else Octahedron("Cu", 3)
    frames = list(vibration(atoms))
    data = [labeled(frame, "MD", virial=False) for frame in frames]
    report = check_consistency(data)
    check = report.forces[0]
    difference, change = [], []
    for first, second in pairwise(data):
        mean = (first.forces + second.forces) / 2
        work = -sum(mean[i] @ (second.atoms.positions[i] - first.atoms.positions[i]) for i in range(len(atoms)))
        change.append(1000 * (second.energy - first.energy) / len(atoms))
        difference.append(change[-1] - 1000 * work / len(atoms))
    assert (check.config_type, check.n_pairs) == ("MD", 11) and report.virials == ()
    np.testing.assert_allclose(check.energy_change, np.sqrt(np.mean(np.square(change))), rtol=1e-10)
    np.testing.assert_allclose(check.discrepancy, np.sqrt(np.mean(np.square(difference))), rtol=1e-6)
    worst = int(np.abs(difference).argmax())
    assert check.frames == (worst, worst + 1)
    np.testing.assert_allclose(check.largest, np.abs(difference).max(), rtol=1e-6)
    assert report.contradictions == () and abs(check.slope - 1) < 0.05 and check.discrepancy < 0.1 * check.energy_change

    for factor in (-1.0, 0.0, 1 / 23.06):  # sign, none, kcal/mol
        with pytest.warns(LabelWarning, match="forces of 'MD' contradict its energies"):
            wrong = check_consistency([with_forces(item, factor * item.forces) for item in data])
        if factor:
            assert wrong.forces[0].slope == pytest.approx(check.slope / factor, rel=1e-9)
        else:
            assert np.isnan(wrong.forces[0].slope)

    if periodic:
        for item in data:
            item.atoms.wrap()
        assert any(np.abs(first.atoms.positions - second.positions).max() > 3 for first, second in zip(data, frames))
        again = check_consistency(data).forces[0]
        np.testing.assert_allclose(again[2:6], check[2:6], rtol=1e-9)


def test_springs():
    """For E quadratic in r the trapezoidal rule is exact."""
    start = Atoms("Cu3", np.eye(3) * 3)
    data = []
    for atoms in vibration(start, amplitude=0.5, step=0.2):
        u = atoms.positions - start.positions
        data.append(LabeledStructure(atoms, float((u**2).sum()), -2 * u))
    check = check_consistency(data).forces[0]
    assert check.discrepancy < 1e-10 * check.energy_change and check.slope == pytest.approx(1, abs=1e-12)


def test_what_are_no_neighboring_frames():
    first, second = (labeled(atoms) for atoms in vibration(bulk("Cu", cubic=True), n=2))
    assert len(check_consistency([first, second]).forces) == 1
    moved = second.atoms.copy()
    moved.positions[0] += 0.3
    for change in (
        dict(energy=None),
        dict(forces=None),
        dict(config_type="other"),
        dict(atoms=moved),
        dict(atoms=Atoms(second.atoms, cell=second.atoms.cell.array * 1.001)),
        dict(atoms=Atoms(second.atoms, pbc=[True, True, False])),
        dict(atoms=Atoms(second.atoms, numbers=[29, 29, 29, 47])),
    ):
        attributes = dict(atoms=second.atoms, energy=0.0, forces=second.forces) | change
        assert check_consistency([first, LabeledStructure(**attributes)]).forces == ()
    assert check_consistency([first, second], largest_displacement=1e-3).forces == ()


# --- report, arguments ------------------------------------------------------------------------------------------------


def test_report():
    data = [labeled(atoms, "strained") for atoms in strained(5, 0.008)]
    data += [labeled(atoms, "MD") for atoms in vibration(bulk("Cu", cubic=True), n=4)]
    report = check_consistency(iter(data))
    lines = str(report).splitlines()
    assert [line.split()[0] for line in lines] == ["virials", "strained", "forces", "MD", "no"]
    assert "(GPa)" in lines[0] and "(meV/atom)" in lines[2]
    assert lines[3].split()[1] == "3"
    nothing = check_consistency(data[:1])
    assert "nothing to compare" in str(nothing) and nothing.contradictions == ()
    assert check_consistency([]).contradictions == ()


@pytest.mark.parametrize(
    "name", ["smallest_strain", "largest_strain", "largest_displacement", "stress_tolerance", "energy_tolerance"]
)
def test_limits_must_be_positive(name):
    for value in (0, -1.0, np.nan):
        with pytest.raises(ValueError, match=f"{name} must be a finite number >"):
            check_consistency([], **{name: value})
    with pytest.raises(TypeError, match=f"{name} must be a finite number >"):
        check_consistency([], **{name: "1"})


def test_labels_must_be_read_first():
    with pytest.raises(TypeError, match=r"labeled\[0\] must be a LabeledStructure; got Atoms"):
        check_consistency([bulk("Cu")])
