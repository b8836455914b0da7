"""Linear functions of features: a molecular dynamics run conserves their energy; sign of the virial."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.md.verlet import VelocityVerlet
from cases.linear import assert_close

from acepure import ACEBasis, LinearFunction, VerletList


class LinearCalculator(Calculator):
    """The least that ASE needs to move atoms."""

    implemented_properties = ("energy", "forces")

    def __init__(self, function, skin):
        super().__init__()
        self.function = function
        self.verlet = VerletList(function.basis, skin)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        result = self.function.evaluate_with_gradients(self.atoms, neighbors=self.verlet.update(self.atoms))
        self.results = {"energy": result.energy, "forces": result.forces}


@pytest.fixture(scope="module")
def potential():
    """Nearly a Morse potential of copper, D = 0.343 eV, a = 1.359/Å, r0 = 2.866 Å, with weak many-body terms."""
    basis = ACEBasis(["Cu"], rcut=5.0, order=4, totaldegree=[12, 6, 4, 3])
    r = np.linspace(1.8, 4.99, 200)
    pairs = np.array([basis.descriptors(Atoms("Cu2", [(0, 0, 0), (0, 0, d)]))[0] for d in r])
    first = basis.order_slices["nu1"]
    morse = 0.5 * 0.343 * ((1 - np.exp(-1.359 * (r - 2.866))) ** 2 - 1)
    importance = (1 / (0.1 + abs(morse)))[:, None]
    weights = np.zeros(len(basis))
    weights[first] = np.linalg.lstsq(importance * pairs[:, first], importance[:, 0] * morse, rcond=1e-10)[0]
    size = np.std(basis.descriptors(crystal()), axis=0)
    rest = slice(first.stop, None)
    weights[rest] = 2e-3 * np.random.default_rng(11).normal(size=len(basis) - first.stop) / size[rest]
    return LinearFunction(basis, weights)


def crystal():
    """32 atoms."""
    atoms = bulk("Cu", cubic=True, a=3.6).repeat(2)
    atoms.rattle(0.1, seed=12)
    return atoms


def run(potential, dt, duration=200.0, sampling=4.0, skin=0.4):
    """Total energies (eV) at equal times (fs) of a run at constant energy, and the final atoms."""
    atoms = crystal()
    atoms.calc = LinearCalculator(potential, skin)
    momenta = (
        np.random.default_rng(13).normal(size=(len(atoms), 3)) * np.sqrt(units.kB * 800 * atoms.get_masses())[:, None]
    )
    atoms.set_momenta(momenta - momenta.mean(axis=0))
    energies = [atoms.get_total_energy()]
    dynamics = VelocityVerlet(atoms, dt * units.fs)
    for _ in range(round(duration / sampling)):
        dynamics.run(round(sampling / dt))
        energies.append(atoms.get_total_energy())
    return np.array(energies), atoms


def test_dynamics_conserve_energy_and_momentum(potential):
    """The error of the energy is small and, at every time, proportional to dt², as for exact gradients only."""
    coarse, atoms = run(potential, dt=4.0)
    fine, _ = run(potential, dt=2.0)
    assert atoms.calc.verlet.n_builds > 1, "the list must have been made anew on the way"
    assert atoms.get_temperature() > 400 and abs(atoms.positions - crystal().positions).max() > 0.3
    coarse, fine = coarse - coarse[0], fine - fine[0]
    assert abs(fine).max() < 5e-4 * len(atoms)
    assert abs(coarse - 4 * fine).max() < 0.05 * abs(coarse).max()  # what is left is of order dt⁴
    # In each of 50 steps forces of some eV/Å sum to round-off.
    assert abs(atoms.get_momenta().sum(axis=0)).max() < 1e-12


def test_sign_of_the_virial(potential):
    """A compressed crystal pushes, a stretched one pulls: negative and positive stress in ASE's sign."""
    for a, sign in ((3.3, -1), (4.0, 1)):
        atoms = bulk("Cu", a=a)
        stress = -potential.evaluate_with_gradients(atoms).virial / atoms.cell.volume
        assert (sign * np.diag(stress) > 1e-3).all()
        assert_close(stress - np.diag(np.diag(stress)), 0, abs(stress).max(), 1e-12)
