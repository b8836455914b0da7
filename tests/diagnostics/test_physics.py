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
from acepure.models.repulsion import ZBLCore


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
        assert copper.elastic[I][J] == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_bulk_modulus_from_volumes_and_from_strains_agree(copper):
    C = np.array(copper.elastic)
    assert copper.bulk == pytest.approx(C[:3, :3].mean(), rel=3e-3)
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
    """A pair term that falls toward the atoms; the deepest place below the shortest distance of the data is said."""
    basis = ACEBasis(["Cu"], order=1, totaldegree=3)
    first = np.arange(len(basis)) == 0
    known = {"shortest": {("Cu", "Cu"): 2.2}}
    falling = LinearACE(basis, -5.0 * first, **known)
    ((name, shortest, *_),), (warning,) = check_dimers(falling)
    assert (name, shortest) == ("Cu-Cu", "2.200")
    r = np.linspace(0.3 * 2.2, 2.2, 2000)
    energies = falling.dimer("Cu", "Cu", r)
    assert energies.min() < energies[-1] - 0.5
    deepest = f"{energies.min():.3g} eV at {r[energies.argmin()]:.2f} Å"
    assert warning == f"Cu-Cu: {deepest}, nearer than any in the data"
    for tame in (
        LinearACE(basis, -5.0 * first, core=ZBLCore(1.8, 2.2), **known),
        LinearACE(basis, -1.0 * first, **known),
    ):
        assert check_dimers(tame)[1] == []


def test_report_of_a_fit():
    structures = [bulk("Cu", a=a) for a in np.linspace(3.3, 4.0, 12)]
    for atoms in structures:
        atoms.calc = EMT()
        atoms.get_stress()
    basis = ACEBasis(["Cu"], order=2, totaldegree=4)
    model = LinearACE.fit(structures, basis, core=None, verbose=False, progress=False, uncertainty=False)
    report = check_physics(model, structures)
    assert len(report.crystals) == 1 and "Cu-Cu" in str(report)
    assert report.crystals[0].bulk == pytest.approx(check_crystal(structures[4], EMT()).bulk, rel=0.2)
