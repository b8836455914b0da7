"""Centered bases: features of every row by its formula, derivatives, symmetries."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from cases.descriptors import cluster, gaussians, large_structure, per_pair
from cases.gradients import (
    assert_derivatives,
    assert_pullback,
    of_moves,
    of_species,
    of_strain,
    pair_differences,
    random_cotangents,
)
from cases.radial import Gaussians
from cases.references import (
    DENSITIES,
    DENSITY,
    RCUT,
    SAMPLES,
    SPECIES,
    DensityMoments,
    Setup,
    cutoff,
    ideal_gas_measures,
    setup,
)
from oracles.atoms import agnesi_transform, polynomial_radial
from oracles.structures import (
    assert_clear_of_cutoff,
    position_differences,
    random_orthogonal,
    strain_differences,
)

from acepure import ACEBasis, IdealGas, LinearFunction, pair_jacobian, summed_gradients
from acepure.functions import PolynomialEnvelope, PolynomialRadialBasis

# Error of a feature, of the sum of |terms| of its formula.
ROUND_OFF = 1e-12


def environments(species=SPECIES):
    """Seven atoms within reach of each other, and two that have no neighbor."""
    alone = Atoms([species[0], species[-1]], [(30, 0, 0), (0, 30, 0)])
    return cluster(1, species=species) + alone


def assert_features(case, atoms, centers):
    features = case.basis.descriptors(atoms)
    for i in centers:
        expected, scale = case.expected(atoms, i)
        error = abs(features[i] - expected) - ROUND_OFF * scale
        assert error.max() <= 0, error.max()
        assert abs(expected).max() > 1e-3


# --- features of every row --------------------------------------------------------------------------------------------

DEGREES = {("Cu",): (5, 4, 3, 3), SPECIES: (3, 3, 2, 1)}


@pytest.mark.parametrize("canonical", [True, False], ids=["canonical", "self-interacting"])
@pytest.mark.parametrize("species", DEGREES, ids="".join)
@pytest.mark.parametrize("kind", [*DENSITIES, *SAMPLES])
def test_features(kind, species, canonical):
    """Centered, shifted, measured pairs and Wick; orders 1 to 4; of atoms of each species, and of lonely ones."""
    case = setup(kind, canonical, species, totaldegree=DEGREES[species])
    atoms = environments(species)
    centers = [0, -1] if len(species) == 1 else [atoms.symbols.search(s)[k] for s in species for k in (0, -1)]
    assert_features(case, atoms, centers)


@pytest.mark.parametrize("canonical", [True, False], ids=["canonical", "self-interacting"])
@pytest.mark.parametrize("kind", ["own functions", "cutoffs per pair"])
def test_features_of_other_radial_functions(kind, canonical):
    arguments = {"canonical": canonical, "totaldegree": [3, 3, 2]}
    if kind == "own functions":
        basis = ACEBasis(SPECIES, radial=Gaussians(more=0.0), **arguments).centered(
            IdealGas(DENSITY), orthonormal=False
        )
        functions, limit = lambda r, a, b, l, n: gaussians(r, a, b, n), cutoff
        measures = ideal_gas_measures()
    else:
        radial = PolynomialRadialBasis({pair: per_pair(*pair) for pair in DENSITY}, envelope=PolynomialEnvelope(3))
        basis = ACEBasis(SPECIES, radial=radial, **arguments).centered(IdealGas(DENSITY))
        measures, limit = ideal_gas_measures(cutoff=per_pair), per_pair

        def functions(r, a, b, l, n):
            family = ("polynomial", 3, "orthonormal", measures[a, b])
            return polynomial_radial(per_pair, agnesi_transform, *family)(r, a, b, n)

    assert_features(Setup(basis, DensityMoments(functions, measures), limit), environments(), [0, 1, 2, 3, -1])


@pytest.mark.parametrize("kind", ["ideal gas", "density", "whitened"])
def test_an_atom_without_neighbors(kind):
    """Of order one −μ, which differs from zero, for the functions of species and n; a canonical basis has zeros."""
    case = setup(kind, True, SPECIES, totaldegree=DEGREES[SPECIES])
    lonely = Atoms("Zr")
    features = case.basis.descriptors(lonely)[0]
    for label, value in zip(case.basis.labels[: case.basis.order_slices["nu1"].stop], features):
        mean = case.moments.mu("Zr", ((*label.species, *label.n, 0, 0),))
        assert value == pytest.approx(-mean, rel=1e-11, abs=1e-13)
    assert abs(features).max() > 0.1
    assert not ACEBasis(SPECIES, totaldegree=3).descriptors(lonely).any()


@pytest.mark.parametrize("kind", ["ideal gas", "density", "whitened", "one set"])
def test_what_stays_and_what_changes(kind):
    for canonical in (True, False):
        case = setup(kind, canonical, SPECIES, totaldegree=DEGREES[SPECIES])
        plain = ACEBasis(SPECIES, RCUT, totaldegree=DEGREES[SPECIES], canonical=canonical)
        assert case.basis.labels == plain.labels and len(case.basis) == len(plain)
        assert case.basis.canonical == canonical and case.basis.order_slices == plain.order_slices
        assert case.basis != plain and case.basis.reference is not None and plain.reference is None
        assert abs(case.basis.descriptors(cluster(1)) - plain.descriptors(cluster(1))).max() > 0.1


# --- derivatives ------------------------------------------------------------------------------------------------------

DERIVED = {
    "centered": ("ideal gas", True),
    "shifted": ("density", False),
    "measured pairs": ("one set", True),
    "measured pairs, whitened": ("whitened", True),
    "Wick, whitened": ("whitened", False),
}


def derived(name):
    kind, canonical = DERIVED[name]
    return setup(kind, canonical, SPECIES, totaldegree=(3, 3, 2)).basis


def crystal():
    """Both species, periodic along two axes, no pair near the cutoff."""
    atoms = bulk("Cu", cubic=True, a=3.9)
    atoms.symbols = ["Cu", "Zr", "Zr", "Cu"]
    atoms.pbc = (True, False, True)
    atoms.rattle(0.05, seed=3)
    assert_clear_of_cutoff(atoms, cutoff)
    return atoms


@pytest.mark.parametrize("name", DERIVED)
def test_derivatives_of_features(name):
    basis, atoms = derived(name), crystal()
    jacobian, summed = pair_jacobian(basis, atoms), summed_gradients(basis, atoms)
    assert_derivatives(basis, jacobian.values, pair_differences(basis, atoms))
    strain = strain_differences(basis.descriptors, atoms)
    assert_derivatives(basis, of_strain(jacobian, len(atoms)), strain)
    assert_derivatives(basis, summed.strain, of_species(basis, atoms, strain))
    moves = position_differences(basis.descriptors, atoms)
    assert_derivatives(basis, of_moves(jacobian, len(atoms)), moves)
    assert_derivatives(basis, summed.positions, of_species(basis, atoms, moves))
    assert_pullback(basis, atoms, random_cotangents(basis, atoms))


@pytest.mark.parametrize("name", DERIVED)
def test_linear_functions(name):
    """Energies are θ · B; forces and virial are minus their finite differences."""
    basis, atoms = derived(name), crystal()
    function = LinearFunction(basis, np.random.default_rng(2).normal(size=(2, len(basis))))
    result = function.evaluate_with_gradients(atoms)
    weights = function.coefficients[basis.species_indices(atoms)]
    terms = weights * basis.descriptors(atoms)
    scale = abs(terms).sum(axis=1).max()
    np.testing.assert_allclose(result.energies, terms.sum(axis=1), rtol=0, atol=1e-12 * scale)
    np.testing.assert_array_equal(function.evaluate(atoms), result.energies)
    forces = -position_differences(function.evaluate, atoms).sum(axis=-1)
    np.testing.assert_allclose(result.forces, forces, rtol=0, atol=1e-11 * scale)
    virial = -strain_differences(function.evaluate, atoms).sum(axis=-1)
    np.testing.assert_allclose(result.virial, virial, rtol=0, atol=1e-10 * scale)
    assert abs(forces).max() > 1e-3 * scale


# --- symmetries and threads -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DERIVED)
def test_rotations_and_the_order_of_atoms(name):
    basis, atoms = derived(name), crystal()
    scale = abs(basis.descriptors(atoms)).max()
    for improper in (False, True):
        rng = np.random.default_rng(4)
        Q, order = random_orthogonal(rng, improper), rng.permutation(len(atoms))
        turned = atoms[order]
        turned.set_cell(atoms.cell.array @ Q.T, scale_atoms=False)
        turned.positions = turned.positions @ Q.T
        difference = basis.descriptors(turned) - basis.descriptors(atoms)[order]
        np.testing.assert_allclose(difference, 0, atol=1e-12 * scale)


@pytest.mark.parametrize("name", DERIVED)
def test_threads_do_not_change_a_bit(name):
    basis, atoms = derived(name), large_structure()
    function = LinearFunction(basis, np.ones((2, len(basis))))
    features = basis.descriptors(atoms, num_threads=1)
    forces = function.evaluate_with_gradients(atoms, num_threads=1).forces
    for threads in (2, 3):
        np.testing.assert_array_equal(basis.descriptors(atoms, num_threads=threads), features)
        result = function.evaluate_with_gradients(atoms, num_threads=threads)
        np.testing.assert_array_equal(result.forces, forces)
