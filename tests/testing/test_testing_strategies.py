"""Strategies: what they draw keeps its promises, covers what it should, and shrinks to small structures."""

import subprocess
import sys

import numpy as np
import pytest
from ase.neighborlist import neighbor_list
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from acepure import ACEBasis
from acepure.testing.moves import SPECIAL_ORTHOGONAL, random_orthogonal, with_lattice_basis
from acepure.testing.strategies import (
    crystals,
    environments,
    lattice_changes,
    molecules,
    orthogonal_matrices,
    permutations,
    polynomial_radial_bases,
    reflections,
    rotations,
    species,
    specifications,
    structures,
    supercells,
    translations,
)

SEARCH = settings(derandomize=True, max_examples=300, database=None, phases=[Phase.generate, Phase.shrink])
PBC = st.tuples(st.booleans(), st.booleans(), st.booleans()).filter(any)


@given(st.floats(0.5, 3.0), st.data())
def test_atoms_keep_their_distance(smallest, data):
    kinds = (crystals, environments, molecules)
    atoms = data.draw(st.one_of(*(kind(min_distance=smallest) for kind in kinds)))
    assert not len(neighbor_list("d", atoms, smallest * (1 - 1e-9)))


@given(PBC, st.data())
def test_crystals_are_periodic_where_they_should(pbc, data):
    atoms = data.draw(crystals(["Cu", "H"], max_atoms=5, pbc=pbc))
    assert atoms.pbc.tolist() == list(pbc) and 1 <= len(atoms) <= 5
    assert atoms.cell[np.array(pbc)].any(axis=1).all() and set(atoms.symbols) <= {"Cu", "H"}


@given(lattice_changes(), crystals(max_atoms=2))
def test_lattice_changes_keep_the_volume(change, atoms):
    assert change.dtype.kind == "i" and round(np.linalg.det(change)) == 1
    volume = abs(np.linalg.det(atoms.cell.array))
    assert np.isclose(abs(np.linalg.det(with_lattice_basis(atoms, change).cell.array)), volume)


def test_special_matrices_are_the_48_of_the_cube():
    assert len({tuple(matrix.ravel()) for matrix in SPECIAL_ORTHOGONAL}) == 48
    assert [round(np.linalg.det(matrix)) for matrix in SPECIAL_ORTHOGONAL] == [1] * 24 + [-1] * 24
    np.testing.assert_array_equal(SPECIAL_ORTHOGONAL[0], np.eye(3))


def test_random_matrices_are_uniform():
    """Each entry has mean 0 and variance 1/3, and the trace of a rotation mean 0 and variance 1."""
    matrices = np.array([random_orthogonal(seed) for seed in range(4000)])
    error = 5 / np.sqrt(len(matrices))
    assert abs(matrices.mean(axis=0)).max() < error
    assert abs((matrices**2).mean(axis=0) - 1 / 3).max() < error
    traces = np.trace(matrices, axis1=1, axis2=2)
    assert abs(traces.mean()) < error and abs((traces**2).mean() - 1) < 2 * error


@pytest.mark.parametrize(
    ("strategy", "wanted"),
    [
        (orthogonal_matrices(), lambda Q: np.linalg.det(Q) < 0 and abs(Q).max() < 0.9),
        (rotations(), lambda Q: np.trace(Q) == -1),
        (reflections(), lambda Q: np.array_equal(Q, -np.eye(3))),
        (structures(), lambda atoms: not atoms.pbc.any()),
        (crystals(), lambda atoms: atoms.pbc.sum() == 1),
        (crystals(), lambda atoms: atoms.pbc.all() and atoms.cell.angles().min() < 40),
        (crystals(), lambda atoms: (atoms.get_scaled_positions(wrap=False) > 1).any()),
        (crystals(), lambda atoms: len(atoms) == 1 and atoms.cell.lengths().min() < 3.5),
        (crystals(), lambda atoms: len(set(atoms.symbols)) == 2),
        (environments(), lambda atoms: len(atoms) == 7),
        (molecules(), lambda atoms: len(atoms) == 1),
        (supercells(), lambda repeat: repeat == (3, 2, 1)),
        (species(), lambda symbols: len(symbols) == 3),
        (specifications(), lambda a: "n_max" in a and not a["canonical"]),
        (specifications(), lambda a: "totaldegree" in a and len(a["totaldegree"]) == 4),
        (polynomial_radial_bases(), lambda radial: radial.envelope.smoothness == 1),
        (translations(), lambda vector: vector[0] > 5 > -5 > vector[1]),
        (permutations(3), lambda order: order.tolist() == [2, 0, 1]),
    ],
)
def test_everything_occurs(strategy, wanted):
    find(strategy, wanted, settings=settings(SEARCH, phases=[Phase.generate]))


def test_shrinks_to_small_structures():
    """The simplest crystal of two atoms: one species, no displacement, no strain, cell without shears."""
    atoms = find(crystals(), lambda atoms: len(atoms) >= 2, settings=SEARCH)
    assert len(atoms) == 2 and str(atoms.symbols) == "Cu2"
    assert abs(atoms.cell.angles() - 90).max() < 1e-9 and not atoms.positions[0].any()
    assert len(find(molecules(), lambda atoms: True, settings=SEARCH)) == 1
    two = find(environments(), lambda atoms: len(atoms) > 2, settings=SEARCH)
    assert len(two) == 3 and abs(two.positions[1:]).max() <= 3.0  # 1.5 for some


def test_the_same_examples_every_time():
    def drawn():
        found = []

        @given(structures(), orthogonal_matrices())
        @settings(derandomize=True, max_examples=10, database=None, suppress_health_check=list(HealthCheck))
        def collect(atoms, Q):
            found.append((atoms.positions.tobytes(), Q.tobytes()))

        collect()
        return found

    assert drawn() == drawn()


@given(specifications(["Cu", "Zr", "H"], 4))
def test_specifications_make_bases(arguments):
    assert 0 < len(ACEBasis(**arguments)) <= 300


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: molecules(["Xx"]), "symbols must be a chemical symbol"),
        (lambda: molecules(min_atoms=0), "min_atoms must be an integer >= 1"),
        (lambda: species(max_size=0), "max_size must be an integer >= 1"),
        (lambda: translations(-1.0), "size must be a finite number > 0"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        find(make(), lambda value: True, settings=SEARCH)


def test_assertions_do_without_hypothesis_and_strategies_say_how_to_get_it():
    code = """
import sys
sys.modules["hypothesis"] = None
import acepure.testing
try:
    import acepure.testing.strategies
except ImportError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert 'pip install "acepure[test]"' in run.stdout
