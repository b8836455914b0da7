"""Moves keep the distribution of the potential: detailed balance against closed forms."""

from itertools import permutations

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from scipy.linalg import expm
from scipy.stats import gamma, kstest

from acepure.active.moves import move_cell, swap

T = 700.0
KT = units.kB * T


class ClosedForm(Calculator):
    """The energy of a function of positions and cell."""

    implemented_properties = ("energy",)

    def __init__(self, energy):
        super().__init__()
        self.energy = energy

    def get_property(self, name, atoms=None, allow_calculation=True):
        return self.energy(atoms)


class Scripted:
    """Random numbers as they are told."""

    def __init__(self, integers=(), choices=(), normal=None, uniform=0.0):
        self.next_integers, self.next_choices = list(integers), list(choices)
        self.normal, self.uniform = normal, uniform

    def integers(self, n):
        return self.next_integers.pop(0)

    def choice(self, values):
        value = self.next_choices.pop(0)
        assert value in values
        return value

    def standard_normal(self, shape):
        return self.normal

    def random(self):
        return self.uniform


def probability(move, atoms):
    """That a move is accepted: `uniform` u accepts if 1 − u < e^x, found by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if move(atoms.copy(), middle):
            high = middle
        else:
            low = middle
    return 1 - low


FIELD = np.array([0.0, 0.11, -0.05, 0.02])


def sites(order):
    """Two copper and two gold atoms on four sites, the energy of a gold atom being FIELD of its site."""
    atoms = Atoms("Cu2Au2", [[3.0 * k, 0, 0] for k in order])

    def energy(moved):
        return FIELD[np.rint(moved.positions[2:, 0] / 3).astype(int)].sum()

    return atoms, ClosedForm(energy)


def test_swaps_leave_the_distribution_as_it_is_exactly():
    """The whole matrix of transitions p between 24 states, and π p = π."""
    states = list(permutations(range(4)))
    matrix = np.zeros((24, 24))
    for row, state in enumerate(states):
        atoms, calc = sites(state)
        for i in range(4):
            for j in [2, 3] if i < 2 else [0, 1]:

                def move(moved, uniform, i=i, j=j, calc=calc):
                    moved.calc = calc
                    return swap(moved, T, Scripted([i], [j], uniform=uniform))

                to = list(state)
                to[i], to[j] = to[j], to[i]
                accepted = probability(move, atoms)
                matrix[row, states.index(tuple(to))] += accepted / 8
        matrix[row, row] += 1 - matrix[row].sum()
    weights = np.exp([-FIELD[list(state[2:])].sum() / KT for state in states])
    flows = weights[:, None] * matrix
    np.testing.assert_allclose(flows, flows.T, atol=1e-12)
    np.testing.assert_allclose(weights @ matrix, weights, rtol=1e-12)


def test_swaps_exchange_positions_not_species():
    atoms, calc = sites([0, 1, 2, 3])
    atoms.calc = calc
    atoms.set_momenta(np.arange(12.0).reshape(4, 3))
    before = atoms.copy()
    assert swap(atoms, T, Scripted([0], [2], uniform=0.9))
    np.testing.assert_array_equal(atoms.numbers, before.numbers)
    np.testing.assert_array_equal(atoms.get_momenta(), before.get_momenta())
    np.testing.assert_array_equal(atoms.positions, before.positions[[2, 1, 0, 3]])
    alone = Atoms("Cu2", [[0, 0, 0], [3, 0, 0]])
    assert not swap(alone, T, np.random.default_rng(0))


@pytest.mark.parametrize("pressure", [0.0, 0.03])
def test_cell_moves_are_in_detailed_balance(pressure):
    """π(h) a(h → h') = π(h') a(h' → h), π = V^(N + 1) exp(−(E + PV)/kT) in the measure in which ±ε are even."""
    rng = np.random.default_rng(3)

    def energy(atoms):
        return 0.4 * np.square(atoms.cell.array - 3.0 * np.eye(3)).sum() + 0.1 * np.square(atoms.positions).sum()

    def log_weight(atoms):
        V = atoms.get_volume()
        return (len(atoms) + 1) * np.log(V) - (energy(atoms) + pressure * V) / KT

    for _ in range(5):
        cell = 3.0 * np.eye(3) + 0.2 * rng.standard_normal((3, 3))
        here = Atoms("Cu3", rng.random((3, 3)), cell=cell, pbc=True)
        noise = rng.standard_normal((3, 3))
        deformation = expm(0.03 * (noise + noise.T) / 2)
        there = here.copy()
        there.set_cell(cell @ deformation)
        there.positions = here.positions @ deformation

        def accepted(atoms, normal):
            def move(moved, uniform):
                moved.calc = ClosedForm(energy)
                return move_cell(moved, T, pressure, 0.03, Scripted(normal=normal, uniform=uniform))

            return probability(move, atoms)

        ratio = accepted(here, noise) / accepted(there, -noise)
        np.testing.assert_allclose(ratio, np.exp(log_weight(there) - log_weight(here)), rtol=1e-9)


def test_volume_of_an_ideal_gas():
    """V^N exp(−PV/kT) over all shapes: V has a gamma distribution of shape N + 1."""
    rng, pressure, n = np.random.default_rng(0), 0.02, 3
    atoms = Atoms(f"Cu{n}", rng.random((n, 3)), cell=3.0 * np.eye(3), pbc=True)
    atoms.calc = ClosedForm(lambda atoms: 0.0)
    volumes = []
    for step in range(4000):
        move_cell(atoms, T, pressure, 0.6, rng)
        if step % 10 == 9:
            volumes.append(atoms.get_volume())
            atoms.set_cell(volumes[-1] ** (1 / 3) * np.eye(3), scale_atoms=True)  # long cells lose digits
    assert kstest(volumes, gamma(n + 1, scale=KT / pressure).cdf).pvalue > 0.01


def test_rejected_moves_leave_nothing_behind():
    atoms = Atoms("CuAu", [[0.1, 0, 0], [1, 1, 1]], cell=3.0 * np.eye(3), pbc=True)
    before = atoms.copy()
    atoms.calc = ClosedForm(lambda moved: 0.0 if np.allclose(moved.positions, before.positions) else np.nan)
    assert not swap(atoms, T, Scripted([0], [1], uniform=0.999))
    assert not move_cell(atoms, T, 0.0, 0.1, Scripted(normal=np.ones((3, 3)), uniform=0.999))
    np.testing.assert_array_equal(atoms.positions, before.positions)
    np.testing.assert_array_equal(atoms.cell.array, before.cell.array)
