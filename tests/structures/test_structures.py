"""What `acepure.structures.gate` accepts and refuses."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from acepure.structures.gate import check_structure, species_of, structure_list


def test_accepts_what_ase_builds():
    check_structure(bulk("Cu"))
    check_structure(molecule("H2O"))
    check_structure(Atoms("H"))
    check_structure(Atoms("Cu", cell=[2, 2, 0], pbc=[True, True, False]))
    check_structure(Atoms("Cu", cell=[[2, 0, 0], [2, 0, 0], [0, 0, 3]], pbc=[True, False, True]))


@pytest.mark.parametrize("value", [None, "Cu", [bulk("Cu")], np.zeros((2, 3))])
def test_no_atoms_object(value):
    with pytest.raises(TypeError, match=r"config must be an ase\.Atoms, got"):
        check_structure(value, "config")


def test_empty():
    with pytest.raises(ValueError, match="atoms holds no atoms"):
        check_structure(Atoms())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_positions_not_finite(bad):
    atoms = molecule("H2O")
    atoms.positions[2, 1] = bad
    with pytest.raises(ValueError, match=r"positions at atom\(s\) 2 \(H\);"):
        check_structure(atoms)
    many = Atoms("H9", positions=np.full((9, 3), bad))
    with pytest.raises(ValueError, match=r"4 \(H\), \.\.\.;"):
        check_structure(many)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_cell_not_finite(bad):
    atoms = Atoms("H", cell=np.eye(3))
    atoms.cell[1, 1] = bad
    with pytest.raises(ValueError, match="NaN or infinite cell vectors"):
        check_structure(atoms)


@pytest.mark.parametrize("vector", [[0, 0, 0], [0, 1e-7, 0]])
def test_periodic_axis_without_cell_vector(vector):
    atoms = Atoms("H", cell=[[2, 0, 0], vector, [0, 0, 2]], pbc=True)
    with pytest.raises(ValueError, match="periodic along axis 1, but its cell vector"):
        check_structure(atoms)
    atoms.pbc = [True, False, True]
    check_structure(atoms)


@pytest.mark.parametrize(
    "cell, pbc",
    [
        ([[2, 0, 0], [4, 0, 0], [0, 0, 2]], [True, True, False]),
        ([[2, 0, 0], [0, 3, 0], [2, 3, 0]], True),
        ([[2, 0, 0], [4, 1e-10, 0], [0, 0, 2]], True),
    ],
)
def test_dependent_cell_vectors(cell, pbc):
    with pytest.raises(ValueError, match="linearly dependent"):
        check_structure(Atoms("H", cell=cell, pbc=pbc))
    check_structure(Atoms("H", cell=cell, pbc=[True, False, False]))


def test_structure_list():
    copper, silicon = bulk("Cu"), bulk("Si")
    assert structure_list(copper) == [copper]
    result = structure_list(atoms for atoms in (copper, silicon))
    assert result[0] is copper and result[1] is silicon
    with pytest.raises(ValueError, match=r"train is empty"):
        structure_list([], "train")
    with pytest.raises(TypeError, match=r"train\[1\] must be an ase\.Atoms, got int"):
        structure_list([copper, 3], "train")
    with pytest.raises(ValueError, match=r"structures\[1\] holds no atoms"):
        structure_list([copper, Atoms()])
    for value in ("Cu", 3, None):
        with pytest.raises(TypeError, match=r"structures must be an ase\.Atoms or an iterable"):
            structure_list(value)


def test_species_of():
    assert species_of(bulk("Cu")) == ("Cu",)
    assert species_of([bulk("Cu"), molecule("CH3OH"), molecule("H2O")]) == ("H", "C", "O", "Cu")
