"""Tests of properties: a small descriptor in plain Python, structures, and bases of every kind."""

import functools
import itertools

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.morse import MorsePotential
from ase.neighborlist import neighbor_list
from cases.descriptors import RADIAL, SPECIES, cluster
from hypothesis import strategies as st

from acepure import ACEBasis, IdealGas, MeanCovariance, RadialDensity
from acepure.testing.strategies import specifications

RCUT = 3.5

with_energies_of_morse = pytest.mark.skipif(
    not {"energies", "stress"} <= set(MorsePotential.implemented_properties),
    reason="the Morse potential of this ASE has no energies of atoms and no stress",
)


def envelope(r, exponent=3):
    return (1 - (r / RCUT) ** 2) ** exponent


def vectors_around(atoms, rcut=RCUT):
    """Vectors to all neighbors of each atom, images included."""
    i, vectors = neighbor_list("iD", atoms, rcut)
    return [vectors[i == center] for center in range(len(atoms))]


def descriptor(atoms):
    """Two features: Σ_j f(r_j), and Σ_{j < k} f f (1 + cos θ)² over distinct neighbors."""
    rows = []
    for vectors in vectors_around(atoms):
        r = np.linalg.norm(vectors, axis=1)
        f = envelope(r)
        pairs = [f[j] * f[k] * (1 + vectors[j] @ vectors[k] / (r[j] * r[k])) ** 2 for j, k in two_of(len(r))]
        rows.append([f.sum(), sum(pairs)])
    return np.reshape(rows, (len(atoms), 2))


def self_interacting(atoms):
    """The same two sums with j = k too."""
    rows = []
    for vectors in vectors_around(atoms):
        r = np.linalg.norm(vectors, axis=1)
        f = envelope(r)
        pairs = [
            f[j] * f[k] * (1 + vectors[j] @ vectors[k] / (r[j] * r[k])) ** 2
            for j, k in itertools.product(range(len(r)), repeat=2)
        ]
        rows.append([f.sum(), sum(pairs)])
    return np.reshape(rows, (len(atoms), 2))


def two_of(n):
    return itertools.combinations(range(n), 2)


def chiral(atoms):
    """Changes sign under reflections: Σ_{j<k<l} f f f det(r_j, r_k, r_l) (r_j − r_k)(r_k − r_l)(r_l − r_j)."""
    rows = []
    for vectors in vectors_around(atoms):
        r = np.linalg.norm(vectors, axis=1)
        f, total = envelope(r), 0.0
        for j, k, l in itertools.combinations(range(len(r)), 3):
            order = (r[j] - r[k]) * (r[k] - r[l]) * (r[l] - r[j])
            total += f[j] * f[k] * f[l] * np.linalg.det(vectors[[j, k, l]]) * order
        rows.append([total])
    return np.array(rows)


def minimum_image(atoms):
    """Each other atom once, at its nearest image: wrong in cells shorter than twice the cutoff."""
    distances = atoms.get_all_distances(mic=True)
    return np.where((distances > 0) & (distances < RCUT), envelope(distances), 0).sum(axis=1)


def pair_energy(atoms):
    """Σ_{i<j} f(r_ij)."""
    return 0.5 * envelope(neighbor_list("d", atoms, RCUT)).sum()


def pair_gradients(atoms):
    """∂/∂r_k of the pair energy, (n_atoms, 3)."""
    j, d, vectors = neighbor_list("jdD", atoms, RCUT)
    slopes = -6 * d / RCUT**2 * (1 - (d / RCUT) ** 2) ** 2
    gradients = np.zeros((len(atoms), 3))
    np.add.at(gradients, j, (slopes / d)[:, None] * vectors)
    return gradients


def pair_strain_gradients(atoms):
    """∂/∂ε of the pair energy, (3, 3)."""
    d, vectors = neighbor_list("dD", atoms, RCUT)
    slopes = -6 * d / RCUT**2 * (1 - (d / RCUT) ** 2) ** 2
    return 0.5 * np.einsum("p,pa,pb->ab", slopes / d, vectors, vectors)


def water():
    """Displaced, as distances that are equal by symmetry hide what is wrong."""
    atoms = molecule("H2O")
    atoms.rattle(0.05, seed=1)
    return atoms


def methane():
    atoms = molecule("CH4")
    atoms.rattle(0.05, seed=2)
    return atoms


def copper():
    """Four atoms in a small cubic cell."""
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=3)
    return atoms


def skewed():
    cell = [[3.0, 0.0, 0.0], [2.6, 2.2, 0.0], [-1.9, 1.1, 2.8]]
    return Atoms("SiGe", scaled_positions=[[0, 0, 0], [0.3, 0.2, 0.4]], cell=cell, pbc=True)


def slab():
    atoms = copper()
    atoms.pbc = (True, True, False)
    return atoms


def chain(n=8):
    """A row of atoms longer than the cutoff."""
    rng = np.random.default_rng(4)
    positions = np.outer(np.arange(n), [1.5, 0, 0]) + rng.uniform(-0.2, 0.2, (n, 3))
    return Atoms(f"Cu{n}", positions)


# --- bases of the package ---------------------------------------------------------------------------------------------

DEGREES = [4, 4, 3, 2]
CENTERED = {
    "ideal gas": lambda bases: IdealGas(0.05),
    "density": lambda bases: RadialDensity.from_structures(_training(), rcut=5.0, n_bins=60),
    "covariance": lambda bases: MeanCovariance.from_structures(_training(), bases),
}
#: radial functions of `cases.descriptors`, canonical or not; the default ones referred to statistics too
NAMES = [*itertools.product(RADIAL, ("canonical", "self-interacting"))]
NAMES += [*itertools.product(CENTERED, ("canonical", "self-interacting"))]
CANONICAL = [name for name in NAMES if name[1] == "canonical" and name[0] in RADIAL]


@functools.cache
def basis(name):
    """The basis of a name; built when it is first drawn."""
    kind, canonical = name[0], name[1] == "canonical"
    radial = RADIAL[kind if kind in RADIAL else "default"][0]
    plain = ACEBasis(SPECIES, radial=radial, totaldegree=DEGREES, canonical=canonical)
    return plain if kind in RADIAL else plain.centered(CENTERED[kind](plain))


def _training():
    return [cluster(seed, 9) for seed in range(12)]


def scale_of(chosen, atoms):
    """What rounding is proportional to: values of sums before self-interactions cancel, and constants.

    A thousandth at least: a pair at the very cutoff has values without a digit that is right.
    """
    features = [chosen.descriptors(atoms), plain_of(chosen).descriptors(atoms)]
    features.append(chosen.descriptors(Atoms(chosen.species[0])))
    return max(1e-3, *(abs(values).max(initial=0) for values in features))


@functools.lru_cache(maxsize=len(NAMES))
def plain_of(chosen):
    """The basis with the same labels and radial functions that is neither canonical nor centered."""
    return ACEBasis.from_dict({**chosen.to_dict(), "canonical": False, "reference": None})


def bases():
    """Strategy: a basis from the list, or any other."""
    return st.one_of(
        st.sampled_from(NAMES).map(basis), specifications(SPECIES, 4).map(lambda arguments: ACEBasis(**arguments))
    )
