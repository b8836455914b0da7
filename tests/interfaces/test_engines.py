"""The ASE calculator in other programs: phonons, i-PI, OpenMM against forces taken from the model itself."""

import os
import re
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.emt import EMT
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.calculators.mixing import SumCalculator
from ase.cluster import Icosahedron
from ase.md.verlet import VelocityVerlet
from ase.mep import NEB
from ase.phonons import Phonons

from acepure import ACEBasis, LinearACE

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "engines.md"
#: CODATA 2018; not from ASE.
HARTREE, BOHR, KJ_MOL = 27.211386245988, 0.529177210903, 1.602176634e-19 * 6.02214076e23 / 1e3


@pytest.fixture(scope="module")
def model():
    structures = []
    for seed in range(12):
        atoms = bulk("Cu", cubic=True, a=3.45 + 0.03 * seed)
        atoms.rattle(0.05, seed=seed)
        atoms.calc = EMT()
        atoms.get_forces(), atoms.get_stress()
        structures.append(atoms)
    basis = ACEBasis(["Cu"], order=2, totaldegree=6)
    return LinearACE.fit(structures, basis, num_threads=1, verbose=False, calibrate_by=None)


@pytest.fixture
def cluster(model):
    atoms = Icosahedron("Cu", 2)
    atoms.calc = model.calculator(warn=False)
    return atoms


# --- ASE --------------------------------------------------------------------------------------------------------------


def test_no_stress_of_clusters_and_slabs(model, cluster):
    slab = bulk("Cu", cubic=True, a=3.6)
    slab.pbc = [True, True, False]
    slab.calc = model.calculator()
    for atoms in (cluster, slab):
        np.testing.assert_allclose(atoms.get_forces(), calculate_numerical_forces(atoms, 1e-4), atol=1e-6)
        assert "stress" not in atoms.calc.results
        with pytest.raises(PropertyNotImplementedError, match="periodic"):
            atoms.get_stress()
        assert atoms.get_properties(["energy", "forces"])["energy"] == atoms.get_potential_energy()
    crystal = bulk("Cu", a=3.6)
    crystal.calc = model.calculator()
    np.testing.assert_allclose(crystal.get_stress(), calculate_numerical_stress(crystal, 1e-5), atol=1e-8)


def test_one_calculator_for_images_and_sums(model, cluster):
    ends = [Icosahedron("Cu", 2) for _ in range(2)]
    ends[1].rattle(0.2, seed=0)
    images = [ends[0], *(ends[0].copy() for _ in range(3)), ends[1]]
    NEB(images, method="improvedtangent").interpolate()
    shared = model.calculator(warn=False)
    for atoms in images:
        atoms.calc = shared
    band = NEB(images, method="improvedtangent", allow_shared_calculator=True)
    assert band.get_forces().shape == (3 * 13, 3)
    alone = [model.evaluate(atoms).energy for atoms in images[1:-1]]
    np.testing.assert_allclose([atoms.get_potential_energy() for atoms in images[1:-1]], alone, atol=1e-10)
    twice = cluster.copy()
    twice.calc = SumCalculator([model.calculator(warn=False), model.calculator(warn=False)])
    np.testing.assert_allclose(twice.get_forces(), 2 * cluster.get_forces(), atol=1e-12)


# --- phonopy ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def silicon():
    """A potential of silicon, from labels of Tersoff's, and its crystal."""
    from ase.calculators.tersoff import Tersoff, TersoffParameters

    # Si(C) of J. Tersoff, Phys. Rev. B 38, 9902 (1988)
    numbers = (3, 1, 1.3258, 4.8381, 2.0417, 0, 22.956, 0.33675, 1.3258, 95.373, 3.0, 0.2, 3.2394, 3264.7)
    given = {("Si", "Si", "Si"): TersoffParameters(*numbers)}
    structures = []
    for seed in range(8):
        atoms = bulk("Si", cubic=True, a=5.35 + 0.025 * seed)
        atoms.rattle(0.02 + 0.01 * seed, seed=seed)
        atoms.calc = Tersoff(given)
        atoms.get_forces(), atoms.get_stress()
        structures.append(atoms)
    basis = ACEBasis(["Si"], order=2, totaldegree=8, rcut=3.2)
    model = LinearACE.fit(structures, basis, num_threads=1, verbose=False, calibrate_by=None)
    crystal = bulk("Si", a=5.43)
    crystal.calc = model.calculator(warn=False)
    return model, crystal


def frequencies(model, crystal, n, q, h=1e-3):
    """THz; D(q) = Σ_R Φ(0, R) exp(2πi q·R) / √(m m'), Φ by central differences in n × n × n cells, from scratch."""
    supercell = crystal.repeat(n)
    size, k = len(crystal), len(supercell)
    Phi = np.empty((size, 3, k, 3))
    for i in range(size):
        for a in range(3):
            sides = []
            for sign in (1, -1):
                moved = supercell.copy()
                moved.positions[i, a] += sign * h
                sides.append(model.evaluate(moved).forces)
            Phi[i, a] = -(sides[0] - sides[1]) / (2 * h)
    D = np.zeros((size, 3, size, 3), dtype=complex)
    cells = np.round((supercell.positions - np.tile(crystal.positions, (n**3, 1))) @ np.linalg.inv(crystal.cell.array))
    for j in range(k):  # q belongs to the supercell: which image of it is meant does not matter
        D[:, :, j % size] += Phi[:, :, j] * np.exp(2j * np.pi * cells[j] @ q)
    mass = np.repeat(crystal.get_masses(), 3)
    matrix = D.reshape(3 * size, 3 * size) / np.sqrt(np.outer(mass, mass))
    squares = np.linalg.eigvalsh((matrix + matrix.conj().T) / 2)
    si = squares * 1.602176634e-19 / 1e-20 / 1.66053906660e-27
    return np.sign(si) * np.sqrt(np.abs(si)) / (2 * np.pi) / 1e12


def test_phonons_of_silicon(silicon, tmp_path, monkeypatch):
    phonopy = pytest.importorskip("phonopy")
    from phonopy.structure.atoms import PhonopyAtoms

    model, crystal = silicon
    cell = PhonopyAtoms(symbols=["Si", "Si"], cell=crystal.cell.array, positions=crystal.positions)
    cell.masses = crystal.get_masses()
    phonon = phonopy.Phonopy(cell, supercell_matrix=2 * np.eye(3, dtype=int), primitive_matrix=np.eye(3))
    phonon.generate_displacements(distance=1e-3, is_plusminus=True)
    calculator, forces = crystal.calc, []
    for displaced in phonon.supercells_with_displacements:
        atoms = Atoms(displaced.symbols, displaced.positions, cell=displaced.cell, pbc=True, calculator=calculator)
        forces.append(atoms.get_forces())
    phonon.forces = forces
    phonon.produce_force_constants()
    for q in ([0.5, 0, 0], [0.5, 0.5, 0], [0.5, 0.5, 0.5]):
        expected = frequencies(model, crystal, 2, np.array(q))
        phonon.run_qpoints([q])
        np.testing.assert_allclose(phonon.qpoints.frequencies[0], expected, atol=2e-4)
    phonon.run_mesh([8, 8, 8], is_gamma_center=True)
    assert phonon.mesh.frequencies.min() > -0.01  # THz: no imaginary modes, three that are zero
    phonon.run_total_dos(sigma=0.2)
    dos = phonon.total_dos
    area = np.trapezoid(dos.dos, dos.frequency_points) if hasattr(np, "trapezoid") else None
    assert area is None or area == pytest.approx(6, rel=0.02)  # a mode for each coordinate
    monkeypatch.chdir(tmp_path)  # ASE's own phonons, with a cache in the folder
    other = Phonons(crystal, calculator, supercell=(2, 2, 2), delta=1e-3, name="ase")
    other.run()
    other.read(acoustic=False)
    mine = frequencies(model, crystal, 2, np.array([0.5, 0, 0]))
    found = other.band_structure([[0.5, 0, 0]])[0] / (units._hplanck / units._e * 1e12)
    np.testing.assert_allclose(found, mine, atol=2e-4)


# --- i-PI -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def i_pi_folder(model, tmp_path, monkeypatch):
    """The files of the page, a model, and a rattled crystal at rest; drivers are imported from it."""
    pytest.importorskip("ipi")
    files = re.findall(r"<!-- file ([\w.]+) -->\n```\w+\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert [name for name, _ in files] == ["acepure_driver.py", "input.xml"]
    for name, text in files:
        at_rest = re.sub(r"\n *<velocities.*</velocities>", "", text)
        (tmp_path / name).write_text(at_rest, encoding="utf-8")
    model.save(tmp_path / "Cu.ace")
    atoms = bulk("Cu", cubic=True, a=3.6) * 2
    atoms.rattle(0.1, seed=1)
    ase.io.write(tmp_path / "start.extxyz", atoms)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def i_pi(folder):
    environment = {**os.environ, "PYTHONPATH": str(PAGE.parents[2]), "OMP_NUM_THREADS": "1"}
    program = [sys.executable, str(Path(sys.executable).with_name("i-pi")), "input.xml"]
    return subprocess.Popen(program, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def verlet(model, folder, steps=20):
    """Potential energies of the same dynamics by ASE, with the masses of i-PI."""
    from ipi.utils.units import Elements, unit_to_user

    atoms = ase.io.read(folder / "start.extxyz")
    atoms.set_masses([unit_to_user("mass", "dalton", Elements.mass("Cu"))] * len(atoms))
    atoms.calc = model.calculator(warn=False)
    energies = [atoms.get_potential_energy()]
    for _ in VelocityVerlet(atoms, 2 * units.fs).irun(steps):
        energies.append(atoms.get_potential_energy())
    return energies[1:]


@pytest.mark.skipif(sys.platform == "win32", reason="i-PI uses sockets of Unix")
def test_i_pi_runs_the_input_of_the_page(model, i_pi_folder):
    process = i_pi(i_pi_folder)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said.decode()
    step, conserved, potential = np.loadtxt(i_pi_folder / "run.out").T
    assert step.tolist() == list(range(21))
    expected = verlet(model, i_pi_folder)
    np.testing.assert_allclose(potential, expected, rtol=0, atol=1e-5)
    moved = np.ptp(potential)
    assert moved > 0.5 and np.ptp(conserved) < 0.01 * moved


@pytest.mark.parametrize("periodic", [True, False])
def test_i_pi_driver(model, i_pi_folder, periodic):
    """Energy, forces and virial in atomic units; positions and cells come transposed, in Bohr."""
    from ipi.pes import load_pes

    atoms = ase.io.read("start.extxyz")
    atoms.set_cell(
        atoms.cell.array @ (np.eye(3) + 0.02 * np.random.default_rng(0).normal(size=(3, 3))), scale_atoms=True
    )
    atoms.pbc = periodic
    ase.io.write("template.extxyz", atoms)
    driver = load_pes("custom", "acepure_driver.py")(model="Cu.ace", template="template.extxyz")
    energy, forces, virial, _ = driver(atoms.cell.array.T / BOHR, atoms.positions / BOHR)
    expected = model.evaluate(atoms)
    assert energy * HARTREE == pytest.approx(expected.energy, rel=1e-7)
    np.testing.assert_allclose(forces * HARTREE / BOHR, expected.forces, atol=1e-6)
    np.testing.assert_allclose(virial * HARTREE, periodic * expected.virial, atol=1e-5)


# --- OpenMM -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("periodic", [False, True])
def test_openmm(model, cluster, periodic):
    openmmml = pytest.importorskip("openmmml")
    import openmm
    from openmm import app, unit

    atoms = bulk("Cu", cubic=True, a=3.6) * 2 if periodic else cluster
    atoms.rattle(0.1, seed=2)
    topology = app.Topology()
    residue = topology.addResidue("CU", topology.addChain())
    for _ in atoms:
        topology.addAtom("Cu", app.Element.getBySymbol("Cu"), residue)
    if periodic:
        topology.setPeriodicBoxVectors(atoms.cell.array * unit.angstrom)
    system = openmmml.MLPotential("ase").createSystem(topology, calculator=model.calculator(warn=False))
    integrator = openmm.VerletIntegrator(1 * unit.femtosecond)
    simulation = app.Simulation(topology, system, integrator, openmm.Platform.getPlatformByName("Reference"))
    simulation.context.setPositions(atoms.positions * unit.angstrom)
    state = simulation.context.getState(energy=True, forces=True)
    expected = model.evaluate(atoms)
    energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
    forces = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer)
    assert energy / KJ_MOL == pytest.approx(expected.energy, abs=1e-6)
    np.testing.assert_allclose(forces / KJ_MOL / 10, expected.forces, atol=1e-6)
    before = energy + 0.0
    simulation.step(10)
    after = simulation.context.getState(energy=True)
    total = after.getPotentialEnergy() + after.getKineticEnergy()
    gained = after.getKineticEnergy().value_in_unit(unit.kilojoule_per_mole)
    assert gained > 1 and abs(total.value_in_unit(unit.kilojoule_per_mole) - before) < 0.02 * gained
