"""ACEBasis and descriptors(): wrong input."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from cases.descriptors import BASIS, SPECIES, cluster, crystal
from cases.radial import Gaussians

from acepure import ACEBasis, descriptors
from acepure.errors import CoincidentAtomsError, SpeciesError
from acepure.functions import PolynomialRadialBasis
from acepure.neighbors.lists import neighbor_list


def broken(**changes):
    atoms = cluster(1)
    for name, value in changes.items():
        getattr(atoms, name)[2] = value
    return atoms


@pytest.mark.parametrize(
    "call, error, parts",
    [
        (lambda: descriptors(broken(positions=np.nan)), ValueError, ["NaN or infinite positions", "2 ("]),
        (lambda: descriptors(broken(positions=np.inf)), ValueError, ["NaN or infinite positions", "2 ("]),
        (
            lambda: descriptors([cluster(1), broken(positions=np.nan)]),
            ValueError,
            ["atoms[1]", "NaN or infinite positions"],
        ),
        (
            lambda: descriptors(Atoms("Cu3", [[0, 0, 0], [0, 0, 2], [0, 0, 2]])),
            CoincidentAtomsError,
            ["atom 1 (Cu)", "atom 2 (Cu)", "same place"],
        ),
        (
            lambda: descriptors(Atoms("Cu2", [[0, 0, 0], [3, 0, 0]], cell=[3, 3, 3], pbc=True)),
            CoincidentAtomsError,
            ["periodic image"],
        ),
        (lambda: descriptors(cluster(1), species=["Cu"]), SpeciesError, ["Zr", "Cu"]),
        (lambda: ACEBasis(["Al", "Cu"]).descriptors(cluster(1)), SpeciesError, ["atoms holds Zr", "Al, Cu"]),
        (lambda: ACEBasis(["Cu"]).descriptors([bulk("Cu"), cluster(1)]), SpeciesError, ["holds Zr"]),
        (lambda: descriptors(Atoms()), ValueError, ["atoms holds no atoms"]),
        (lambda: descriptors([]), ValueError, ["atoms is empty"]),
        (lambda: ACEBasis(["Cu"]).descriptors([]), ValueError, ["atoms is empty"]),
        (lambda: descriptors([bulk("Cu"), Atoms()]), ValueError, ["atoms[1] holds no atoms"]),
        (lambda: descriptors("Cu.xyz"), TypeError, ["atoms must be an ase.Atoms", "str"]),
        (lambda: descriptors(None), TypeError, ["atoms must be an ase.Atoms", "NoneType"]),
        (lambda: descriptors([bulk("Cu"), 3]), TypeError, ["atoms[1] must be an ase.Atoms, got int"]),
        (lambda: ACEBasis(["Cu"]).descriptors(3), TypeError, ["atoms must be an ase.Atoms"]),
        (lambda: descriptors(Atoms("Cu", pbc=True)), ValueError, ["periodic along axis 0", "cell vector"]),
        (lambda: descriptors(bulk("Cu"), indices=[1]), IndexError, ["indices contains 1", "1 atoms"]),
        (lambda: descriptors(bulk("Cu"), indices=[0, 0]), ValueError, ["indices contains atom 0 more than once"]),
        (lambda: descriptors(bulk("Cu"), indices=[0.5]), TypeError, ["indices must be integers, a slice or a mask"]),
        (lambda: descriptors(bulk("Cu"), indices=[True, False]), ValueError, ["mask of 2 values; 1 atoms"]),
        (lambda: descriptors(bulk("Cu"), indices=0), ValueError, ["indices must be one-dimensional"]),
        (lambda: descriptors([bulk("Cu")], indices=[0]), ValueError, ["indices", "one structure"]),
        (lambda: descriptors(bulk("Cu"), indices=[0], store=True), ValueError, ["store=True", "indices"]),
        (lambda: descriptors(bulk("Cu"), num_threads=0), ValueError, ["num_threads must be an integer >= 1; got 0"]),
        (lambda: descriptors(bulk("Cu"), num_threads=1.5), TypeError, ["num_threads must be an integer", "float"]),
        (lambda: descriptors(bulk("Cu"), 5.0), TypeError, ["canonical must be True or False", "5.0"]),
        (lambda: descriptors(bulk("Cu"), canonical="yes"), TypeError, ["canonical must be True or False", "'yes'"]),
        (lambda: descriptors(bulk("Cu"), ordr=3), TypeError, ["unknown argument 'ordr'", "did you mean order?"]),
        (lambda: descriptors(bulk("Cu"), xyzzy=3), TypeError, ["unknown argument 'xyzzy'", "rcut, order"]),
        (lambda: ACEBasis(["Cu"], cutof=3), TypeError, ["unknown argument 'cutof'", "did you mean cutoff?"]),
        (lambda: ACEBasis(["Cu"], n_functions=5, n_max=3), ValueError, ["exactly one way", "n_max", "n_functions"]),
        (lambda: ACEBasis(["Cu"], n_max=3), ValueError, ["both n_max and l_max"]),
        (
            lambda: descriptors(bulk("Cu"), rcut=np.array(5.0)),
            TypeError,
            ["rcut must be a finite number > 0", "ndarray"],
        ),
        (lambda: descriptors(bulk("Cu"), order=np.bool_(True)), TypeError, ["order must be an integer", "True"]),
        (lambda: ACEBasis(["Cu"], rcut=0), ValueError, ["rcut must be a finite number > 0; got 0"]),
        (lambda: ACEBasis(["Cu"], rcut=-5.0), ValueError, ["rcut", "-5.0"]),
        (lambda: ACEBasis(["Cu"], rcut=np.inf), ValueError, ["rcut", "inf"]),
        (lambda: ACEBasis(["Cu"], rcut="5"), TypeError, ["rcut must be", "'5' of type str"]),
        (lambda: ACEBasis(SPECIES, rcut={("Cu", "Cu"): 5.0}), ValueError, ["rcut has no value for the pair Cu-Zr"]),
        (
            lambda: ACEBasis(["Cu"], rcut=5.0, radial=PolynomialRadialBasis()),
            ValueError,
            ["rcut and radial exclude each other"],
        ),
        (lambda: ACEBasis(["Cu"], radial="chebyshev"), TypeError, ["radial must be a RadialBasis", "'chebyshev'"]),
        (lambda: ACEBasis("Cu"), TypeError, ["species must be a sequence", "['Cu']"]),
        (lambda: ACEBasis(["Cu", "Xx"]), ValueError, ["species[1]", "'Xx'"]),
        (lambda: ACEBasis(["Cu"], order=0), ValueError, ["order must be an integer >= 1; got 0"]),
        (lambda: ACEBasis(["Cu"], order="3"), TypeError, ["order must be an integer", "'3' of type str"]),
    ],
)
def test_messages(call, error, parts):
    with pytest.raises(error) as raised:
        call()
    for part in parts:
        assert part in str(raised.value)


def test_errors_are_raised_before_any_work():
    """A wrong structure at the end of a list, before features of the first are stored."""
    first = cluster(1)
    with pytest.raises(ValueError, match="positions"):
        descriptors([first, broken(positions=np.nan)], store=True)
    assert "acepure_descriptors" not in first.arrays and "acepure_basis" not in first.info


def test_species_as_text_is_refused_everywhere():
    """'CO' is a sequence, too: of C and O."""
    with pytest.raises(TypeError, match="species must be a sequence"):
        descriptors(molecule("CO"), species="CO")


CU_DIMER = Atoms("Cu2", [[0, 0, 0], [0, 0, 2]])


@pytest.mark.parametrize(
    "values, message",
    [
        (lambda r, n: np.full((len(r), n), np.nan), r"Wrong.*returned values that are not finite"),
        (lambda r, n: np.zeros((1, n)), r"Wrong.*returned values of shape \(1, .*needed"),
        (lambda r, n: np.zeros((len(r), n - 1)), r"Wrong.*shape"),
        (lambda r, n: np.zeros(len(r)), r"Wrong.*shape"),
    ],
    ids=["not finite", "rows", "columns", "dimensions"],
)
def test_wrong_users_functions(values, message):
    class Wrong(Gaussians):
        def evaluate(self, r, center, neighbor, n_radial):
            return values(r, n_radial)

    basis = ACEBasis(["Cu"], radial=Wrong(), order=2, totaldegree=2)
    with pytest.raises(ValueError, match=message):
        basis.descriptors(CU_DIMER)


def test_wrong_use_of_neighbor_lists():
    atoms = cluster(1)
    with pytest.raises(ValueError, match="indices and neighbors exclude each other"):
        BASIS.descriptors(atoms, indices=[0], neighbors=BASIS.neighbor_list(atoms))
    with pytest.raises(ValueError, match="one structure"):
        BASIS.descriptors([atoms], neighbors=BASIS.neighbor_list(atoms))


@pytest.mark.parametrize(
    "neighbors",
    [
        lambda atoms: neighbor_list(atoms, 5.0),  # not grouped by species: pairs would be lost
        lambda atoms: BASIS.neighbor_list(atoms[:4]),
        lambda atoms: BASIS.neighbor_list(atoms * 2),
        lambda atoms: "list",
    ],
    ids=["not grouped by species", "of fewer atoms", "of more atoms", "no list"],
)
def test_neighbors_of_something_else_are_refused(neighbors):
    atoms = crystal() * (2, 1, 1)
    with pytest.raises((TypeError, ValueError), match="neighbors"):
        BASIS.descriptors(atoms, neighbors=neighbors(atoms))
