"""Structures, bases and radial functions for tests of derivatives, of features and of linear functions of them."""

from dataclasses import dataclass

from ase.build import bulk
from oracles.structures import assert_clear_of_cutoff, clear_cutoff, structures

from acepure import ACEBasis
from acepure.functions import Transform

# Structure → where to put the cutoff, in Å.
NEAR = {
    "fcc Cu": 3.1,
    "hcp Mg": 3.8,
    "NaCl": 3.4,
    "water": 2.6,
    "slab": 3.1,
    "wire": 4.4,
    "skewed cell": 3.6,
    "left-handed cell": 4.0,
    "one atom, fcc": 4.7,
    "one atom, bcc": 4.4,
    "alloy": 3.1,
}


def structure(name):
    return alloy() if name == "alloy" else structures()[name]


def system(name, **arguments):
    """A structure, and a basis with a cutoff that no pair is near to."""
    atoms = structure(name)
    species = sorted(set(atoms.get_chemical_symbols()))
    basis = ACEBasis(species, rcut=clear_cutoff(atoms, NEAR[name]), **arguments)
    assert_clear_of_cutoff(atoms, basis.radial.cutoff)
    return atoms, basis


def alloy():
    """Three species in turn, periodic along two axes."""
    atoms = bulk("Cu", cubic=True).repeat((3, 1, 1))
    atoms.symbols = ["Cu", "Au", "Ag", "Cu"] * 3
    atoms.pbc = (True, False, True)
    atoms.rattle(0.05, seed=3)
    return atoms


def large_structure():
    """Enough atoms to keep three threads busy; small enough features to repeat all of it."""
    atoms = bulk("Cu", cubic=True).repeat((4, 4, 3))
    atoms.rattle(0.1, seed=4)
    atoms.symbols[::3] = "Zr"
    return atoms


@dataclass(frozen=True)
class SquareTransform(Transform):
    """A user's own."""

    def evaluate(self, r, rcut, center=None, neighbor=None):
        return 2 * (r / rcut) ** 2 - 1

    def evaluate_with_gradients(self, r, rcut, center=None, neighbor=None):
        return self.evaluate(r, rcut), 4 * r / rcut**2
