"""Checks of potentials on crystals and pairs, against derivatives of energies and other optimizers."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.emt import EMT
from ase.optimize import FIRE
from ase.units import GPa

from acepure import ACEBasis, LinearACE
from acepure.diagnostics.physics import _crystals, check_crystal, check_dimers, check_physics


@pytest.fixture(scope="module")
def copper():
    return check_crystal(bulk("Cu", a=3.5), EMT())


def crystal_of(volume):
    return bulk("Cu", a=(4 * volume) ** (1 / 3))


def energy(atoms, strain=None):
    atoms = atoms.copy()
    if strain is not None:
        atoms.set_cell(atoms.cell @ (np.eye(3) + strain), scale_atoms=True)
    atoms.calc = EMT()
    return atoms.get_potential_energy()


def test_elastic_constants_are_second_derivatives_of_the_energy(copper):
    """Of one atom per cell, where nothing relaxes: C_IJ from energies at strains of I and J."""
    atoms, h = crystal_of(copper.volume), 2e-3
    pairs = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))

    def strain(values):
        result = np.zeros((3, 3))
        for (a, b), value in zip(pairs, values):
            result[a, b] += value / 2
            result[b, a] += value / 2
        return result

    for I, J in ((0, 0), (0, 1), (3, 3), (0, 3)):
        total = 0.0
        for s, t in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            values = np.zeros(6)
            values[I] += s * h
            values[J] += t * h
            total += s * t * energy(atoms, strain(values))
        expected = total / (4 * h * h) / atoms.get_volume() / GPa
        assert copper.elastic[I][J] == pytest.approx(expected, rel=0.02, abs=0.5)


def test_bulk_modulus_from_volumes_and_from_strains_agree(copper):
    C = np.array(copper.elastic)
    assert copper.bulk == pytest.approx(C[:3, :3].mean(), rel=0.02)
    assert energy(crystal_of(copper.volume)) < min(energy(crystal_of(copper.volume * f)) for f in (0.998, 1.002))
    assert copper.warnings == []


def test_vacancy_by_another_optimizer(copper):
    crystal = crystal_of(copper.volume) * (4, 4, 4)
    whole = energy(crystal)
    del crystal[0]
    crystal.calc = EMT()
    FIRE(crystal, logfile=None).run(fmax=1e-3, steps=300)
    found = crystal.get_potential_energy() - whole * 63 / 64
    assert copper.vacancy == pytest.approx(found, abs=1e-3)


def test_crystals_are_found_among_other_structures():
    best = bulk("Cu", a=3.6)
    other = [bulk("Cu", a=3.9), fcc111("Cu", (1, 1, 4), vacuum=8.0), molecule("H2O", vacuum=5.0, pbc=True), Atoms("Cu")]
    slab = fcc111("Cu", (1, 1, 4), vacuum=8.0)
    slab.pbc = True
    alloy = bulk("CuAu", "rocksalt", a=5.2)
    alone = Atoms("Al", cell=[9.0] * 3, pbc=True)
    found = _crystals([*other, slab, best, alone, alone * (2, 1, 1), alloy], EMT())
    assert found == [best, alloy]


class _Stiff(EMT):
    """All energies a thousand times as large, so that nothing moves."""

    def calculate(self, *arguments):
        super().calculate(*arguments)
        self.results = {name: 1e3 * value for name, value in self.results.items()}


def test_numbers_out_of_range_are_warnings(copper):
    report = check_crystal(crystal_of(copper.volume), _Stiff())
    assert report.bulk == pytest.approx(1e3 * copper.bulk, rel=1e-2)
    for kind in ("B", "G", "vacancy"):
        assert any(f"Cu: {kind} = " in text for text in report.warnings)
    assert not any("B' = " in text for text in report.warnings)


class _Loose(EMT):
    """Atoms that repel without end."""

    def calculate(self, *arguments):
        super().calculate(*arguments)
        self.results = {"energy": 0.0, "forces": 0 * self.results["forces"], "stress": np.array([-1.0] * 3 + [0.0] * 3)}


def test_crystals_that_do_not_hold_are_given_up():
    report = check_crystal(bulk("Cu", a=3.6), _Loose())
    assert np.isnan(report.bulk) and "does not hold" in report.warnings[0]


def test_holes_of_dimers_are_warnings_and_cores_fill_them():
    structures = [bulk("Cu", a=a) for a in np.linspace(3.3, 4.0, 12)]
    for atoms in structures:
        atoms.calc = EMT()
        atoms.get_stress()
    basis = ACEBasis(["Cu"], order=2, totaldegree=4)
    bare = LinearACE.fit(structures, basis, core=None, verbose=False, progress=False, uncertainty=False)
    down = LinearACE(basis, -1e3 * np.abs(bare.coefficients), bare.E0s, shortest=bare.shortest_distances)
    rows, warnings = check_dimers(down)
    assert rows[0][0] == "Cu-Cu" and rows[0][1] == f"{3.3 / np.sqrt(2):.3f}"
    r = np.linspace(0.3 * 3.3 / np.sqrt(2), 3.3 / np.sqrt(2), 200)
    is_hole = down.dimer("Cu", "Cu", r).min() < down.dimer("Cu", "Cu", np.linspace(r[-1], basis.rcut, 200)).min() - 0.5
    assert bool(warnings) == is_hole
    report = check_physics(bare, structures)
    assert len(report.crystals) == 1 and "Cu-Cu" in str(report)
    assert report.crystals[0].bulk == pytest.approx(check_crystal(structures[4], EMT()).bulk, rel=0.2)
