"""Dipoles in ASE: the model's, in ASE's unit, beside another calculator; what is not defined."""

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.emt import EMT
from ase.units import Bohr, Debye

from acepure import ACEBasis, TensorModel
from acepure.interfaces.dipole import DipoleCalculator

BASIS = ACEBasis(["H", "O"], rcut=3.0, order=2, totaldegree=3, L=1)
THETA = np.random.default_rng(0).normal(size=(2, len(BASIS)))


def model(**arguments):
    return TensorModel([BASIS], [THETA], "vector", **arguments)


@pytest.mark.parametrize("unit, factor", [("", 1.0), ("e Å", 1.0), ("Debye", Debye), ("a.u.", Bohr)])
def test_dipoles_are_those_of_the_model_in_e_A(unit, factor):
    atoms = molecule("H2O")
    atoms.calc = model(unit=unit).calculator()
    rng = np.random.default_rng(1)
    for _ in range(4):  # the neighbor list serves several steps
        atoms.positions += rng.normal(scale=0.2, size=(3, 3))
        expected = factor * model().predict(atoms.copy()).total
        np.testing.assert_allclose(atoms.get_dipole_moment(), expected, rtol=1e-12, atol=1e-14)
    with pytest.raises(PropertyNotImplementedError, match="energy"):
        atoms.get_potential_energy()


def test_other_properties_are_those_of_the_other_calculator():
    atoms, alone = molecule("H2O"), molecule("H2O")
    atoms.calc, alone.calc = model().calculator(EMT()), EMT()
    for _ in range(2):
        assert atoms.get_potential_energy() == alone.get_potential_energy()
        assert (atoms.get_forces() == alone.get_forces()).all()
        first = atoms.get_dipole_moment()
        np.testing.assert_allclose(first, model().predict(alone).total, rtol=1e-12)
        for each in (atoms, alone):
            each.rattle(0.1, seed=3)
    assert abs(atoms.get_dipole_moment() - first).max() > 1e-6


def test_refusals():
    crystal = bulk("Cu")
    crystal.numbers[:] = 8
    crystal.calc = model().calculator()
    with pytest.raises(PropertyNotImplementedError, match="quantum"):
        crystal.get_dipole_moment()
    ion = molecule("H2O")
    ion.info["charge"] = 1
    ion.calc = model().calculator()
    with pytest.raises(PropertyNotImplementedError, match="origin"):
        ion.get_dipole_moment()
    ion.calc = model(origin="center of mass").calculator()
    assert ion.get_dipole_moment().shape == (3,)
    with pytest.raises(TypeError, match="TensorModel"):
        DipoleCalculator(BASIS)
    with pytest.raises(ValueError, match="unit"):
        model(unit="furlong").calculator()
    with pytest.raises(TypeError, match="others"):
        model().calculator(3)
    with pytest.raises(ValueError, match="per atom"):
        model(per="atom").calculator()
