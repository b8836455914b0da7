"""A potential to calculate with: small random many-body terms and a repulsive core, and structures for it."""

from dataclasses import dataclass, field

import numpy as np
from ase import Atoms
from ase.build import bulk, fcc111, molecule

from acepure import ACEBasis, LinearFunction
from acepure.features.linear import EnergyAndForces
from acepure.models.repulsion import PairCore, ZBLCore


@dataclass
class StandIn:
    """What a calculator needs of a potential, and a record of how it was called."""

    function: LinearFunction
    core: PairCore
    shortest_distances: dict | None = None
    calls: list = field(default_factory=list)  # the neighbor arrays that came in

    @property
    def basis(self):
        return self.function.basis

    def evaluate(self, atoms, *, neighbors=None, num_threads=None):
        self.calls.append(None if neighbors is None else neighbors.neighbors)
        many = self.function.evaluate_with_gradients(atoms, neighbors=neighbors, num_threads=num_threads)
        pair = self.core.energy_and_forces(atoms, neighbors)
        return EnergyAndForces(many.energies + pair.energies, many.forces + pair.forces, many.virial + pair.virial)

    @property
    def n_lists(self):
        return len({id(neighbors) for neighbors in self.calls})


def stand_in(species=("Cu",), shortest=None, size=0.05):
    """Each feature contributes about `size` eV to the energy of an atom."""
    basis = ACEBasis(list(species), rcut=4.2, order=3, totaldegree=[8, 5, 3])
    atoms = crystal()
    atoms.symbols = [species[k % len(species)] for k in range(len(atoms))]
    typical = abs(basis.descriptors(atoms)).max(axis=0) + 1e-3
    weights = np.random.default_rng(7).normal(size=(len(species), len(basis))) * size / np.sqrt(len(basis)) / typical
    return StandIn(LinearFunction(basis, weights), ZBLCore(1.5, 3.4), shortest)


def crystal(rattle=0.08):
    """32 atoms of copper."""
    atoms = bulk("Cu", cubic=True, a=3.6).repeat(2)
    atoms.rattle(rattle, seed=12)
    return atoms


def several_structures():
    """Structures of different species, number, cell and pbc, in turn."""
    alloy = bulk("Cu", cubic=True, a=3.7)
    alloy.symbols[1:3] = "Zr"
    alloy.rattle(0.1, seed=3)
    slab = fcc111("Cu", size=(2, 1, 3), a=3.6, vacuum=5.0)
    slab.rattle(0.1, seed=4)
    skewed = Atoms("ZrCu", [(0, 0, 0), (1.6, 1.4, 1.2)], cell=[(3, 0, 0), (1.4, 3.2, 0), (0.5, -0.6, 2.9)], pbc=True)
    hydrogen = molecule("H2")
    hydrogen.symbols = ["Cu", "Zr"]
    hydrogen.positions *= 3.0
    return {"alloy": alloy, "slab": slab, "molecule": hydrogen, "skewed": skewed, "atom": Atoms("Zr"), "Cu": crystal()}
