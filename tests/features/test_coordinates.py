"""Exact maps between bases that span the same functions."""

import itertools
from functools import cache

import numpy as np
import pytest
from ase import Atoms
from cases.descriptors import cluster
from cases.radial import Gaussians
from cases.references import DENSITY, RCUT, SPECIES, cutoff, one_particle_values, polynomials, setup, structures
from oracles.atoms import environment

from acepure import ACEBasis, IdealGas, MeanCovariance
from acepure.errors import SpeciesError
from acepure.features.change_of_basis import coordinate_map, product_expansion
from acepure.functions import CosineEnvelope, InverseTransform, Legendre, PolynomialRadialBasis

CANONICAL = {
    "canonical": None,
    "canonical, Legendre": None,
    "centered": "ideal gas",
    "centered, Chebyshev": "ideal gas, Chebyshev",
    "centered by density": "density",
    "measured pairs": "one set",
    "measured pairs, whitened": "whitened",
}
SELF_INTERACTING = {
    "self-interacting": None,
    "self-interacting, Legendre": None,
    "shifted": "ideal gas",
    "shifted, Chebyshev": "ideal gas, Chebyshev",
    "shifted by density": "density",
    "Wick": "one set",
    "Wick, whitened": "whitened",
}
KINDS = {**CANONICAL, **SELF_INTERACTING}
PAIRS = [*itertools.permutations(CANONICAL, 2), *itertools.permutations(SELF_INTERACTING, 2)]
#: species and degrees: order 2, 3 and 4, and one function of r alone
SYSTEMS = {
    "order 2": (("Cu",), {"totaldegree": (5, 5)}),
    "order 3, two species": (SPECIES, {"totaldegree": (2, 2, 1)}),
    "order 4": (("Cu",), {"totaldegree": (3, 3, 2, 2)}),
    "one radial function": (("Cu",), {"n_max": (1, 1), "l_max": (0, 2)}),
}


@cache
def basis_of(name, system):
    species, arguments = SYSTEMS[system]
    if KINDS[name] is not None:
        return setup(KINDS[name], name in CANONICAL, species, **arguments).basis
    polynomial = {"polynomials": Legendre()} if "Legendre" in name else {}
    return ACEBasis(species, radial=PolynomialRadialBasis(RCUT, **polynomial), canonical=name in CANONICAL, **arguments)


@cache
def environments(species):
    """Structures, with atoms of few neighbors and of none."""
    few = [Atoms(list(species) * 3, np.random.default_rng(n).uniform(0, 6, (3 * len(species), 3))) for n in range(8)]
    many = [cluster(seed, 9, species=species) for seed in range(8)]
    alone = Atoms(species, [(30 * k, 0, 0) for k in range(len(species))])
    return [alone, *few, *many]


@cache
def features_of(name, system, center):
    """(1, B) of the atoms of a species."""
    basis = basis_of(name, system)
    features = [basis.descriptors(a, indices=a.symbols == center) for a in environments(SYSTEMS[system][0])]
    features = np.concatenate(features)
    return np.hstack([np.ones((len(features), 1)), features])


@cache
def map_of(source, target, system, center):
    return coordinate_map(basis_of(source, system), basis_of(target, system), center)


# --- maps -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("source, target", PAIRS)
def test_maps_within_a_family(source, target, system):
    """B_target = T (1, B_source) for every environment."""
    species, _ = SYSTEMS[system]
    for center in species:
        T = map_of(source, target, system, center)
        known, expected = features_of(source, system, center), features_of(target, system, center)[:, 1:]
        assert T.shape == (expected.shape[1], known.shape[1])
        # canonical features of few neighbors are differences: rounding is that of the largest environment
        scale = abs(known).max(axis=0) @ abs(T).T + abs(expected).max(axis=0)
        assert (abs(known @ T.T - expected) <= 1e-12 * scale).all()
        assert len(known) > known.shape[1] and np.linalg.matrix_rank(known) == known.shape[1]  # no other T would do


def augmented(source, target, system, center):
    """T with a first row for the constant."""
    T = map_of(source, target, system, center).toarray()
    return np.vstack([np.eye(1, T.shape[1]), T])


@pytest.mark.parametrize("family", [CANONICAL, SELF_INTERACTING], ids=["canonical", "self-interacting"])
@pytest.mark.parametrize("system", ["order 3, two species", "order 4"])
def test_maps_compose(family, system):
    """T_bc T_ab = T_ac, and T_ba T_ab = 1."""
    center = SYSTEMS[system][0][-1]
    names = [name for name in family if "Legendre" not in name]
    for a, b, c in [*itertools.combinations(names, 3), *((name, names[-1], name) for name in names)]:
        T_ab, T_bc = (augmented(*pair, system, center) for pair in ((a, b), (b, c)))
        T_ac = np.eye(len(T_ab)) if a == c else augmented(a, c, system, center)
        error, scale = abs(T_bc @ T_ab - T_ac).max(axis=1), (abs(T_bc) @ abs(T_ab)).max(axis=1)
        assert (error <= 1e-12 * scale).all()


def test_the_map_of_a_basis_to_itself():
    for name in ("canonical", "measured pairs, whitened", "Wick"):
        T = augmented(name, name, "order 4", None)
        np.testing.assert_allclose(T, np.eye(len(T)), atol=1e-12)


@pytest.mark.parametrize("canonical", [True, False])
def test_functions_of_ones_own(canonical):
    """Products are formal: the radial functions must be equal, and then the maps are exact too."""
    plain = ACEBasis(SPECIES, radial=Gaussians(), totaldegree=[2, 2, 1], canonical=canonical)
    centered = plain.centered(IdealGas(DENSITY), orthonormal=False)
    T = coordinate_map(plain, centered, "Zr")
    atoms = cluster(3)
    known, expected = (b.descriptors(atoms, indices=atoms.symbols == "Zr") for b in (plain, centered))
    known = np.hstack([np.ones((len(known), 1)), known])
    scale = abs(known).max(axis=0) @ abs(T).T + abs(expected).max(axis=0)
    assert (abs(known @ T.T - expected) <= 1e-12 * scale).all()
    with pytest.raises(ValueError, match="must have the same cutoff, transform and envelope"):
        coordinate_map(
            plain, ACEBasis(SPECIES, radial=Gaussians(1.2), totaldegree=[2, 2, 1], canonical=canonical), "Cu"
        )


def test_a_reference_measured_for_a_larger_basis():
    """Its matrices are larger than the functions of the basis are many."""
    large, small = ACEBasis(["Cu"], RCUT, order=2, totaldegree=5), ACEBasis(["Cu"], RCUT, order=2, totaldegree=3)
    measured = small.centered(MeanCovariance.from_structures(structures(), large))
    for source, target in itertools.permutations((small, measured, small.centered(IdealGas(0.05))), 2):
        known, expected = (b.descriptors(structures()[0]) for b in (source, target))
        mapped = np.hstack([np.ones((len(known), 1)), known]) @ coordinate_map(source, target).T
        np.testing.assert_allclose(mapped, expected, rtol=0, atol=1e-11 * abs(expected).max())


# --- products ---------------------------------------------------------------------------------------------------------


def plain_sums(name, system, one_particle, atoms, i):
    """A_v of an atom and Σ_j |φ_v|, by brute force, for v of any grade."""
    center, family = atoms.symbols[i], "legendre" if "Legendre" in name else "chebyshev"
    first = polynomials(family) if KINDS[name] is None else setup_of(name, system).moments.functions
    phi = {}
    for v in one_particle:
        functions = first if v.q[0] == 1 else polynomials(grade=v.q[0])
        names = [(SYSTEMS[system][0][v.z], v.q[1], v.l, v.m)]
        phi[v] = one_particle_values(*environment(atoms, i, cutoff), center, names, functions)[:, 0]
    return {v: values.sum() for v, values in phi.items()}, {v: abs(values).sum() for v, values in phi.items()}


def setup_of(name, system):
    species, arguments = SYSTEMS[system]
    return setup(KINDS[name], name in CANONICAL, species, **arguments)


@pytest.mark.parametrize("system", ["order 3, two species", "order 4"])
@pytest.mark.parametrize("name", KINDS)
def test_features_are_sums_of_products(name, system):
    """B = M Π_t A with plain sums A, the empty product for the constant."""
    basis, species = basis_of(name, system), SYSTEMS[system][0]
    atoms = cluster(2, species=species)
    for center in species:
        i = atoms.symbols.search(center)[0]
        M, products = product_expansion(basis, center)
        assert M.shape == (len(basis), len(products)) and len(set(products)) == len(products)
        assert [len(k) for k in products] == sorted(len(k) for k in products)
        assert (() in products) == (KINDS[name] is not None)
        A, sizes = plain_sums(name, system, {v for k in products for v in k}, atoms, i)
        values, scales = (np.array([np.prod([of[v] for v in k]) for k in products]) for of in (A, sizes))
        error = abs(M @ values - basis.descriptors(atoms, indices=[i])[0])
        assert (error <= 1e-12 * (abs(M) @ scales)).all()


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", ["order 2", "order 4"])
@pytest.mark.parametrize(
    "source, target", [("canonical", "self-interacting"), ("Wick", "measured pairs"), ("shifted", "centered")]
)
def test_the_two_families_differ(source, target, system):
    for pair in ((source, target), (target, source)):
        with pytest.raises(ValueError, match="features of target are outside the span of source"):
            coordinate_map(*(basis_of(name, system) for name in pair))


OPEN = {
    "degrees that grow": {"totaldegree": [2, 6]},
    "box that grows": {"n_max": [2, 3, 4], "l_max": 1},
    "a list": {"functions": [[(0, 0)], [(0, 0), (1, 0)], [(0, 1), (1, 1)]]},
    "a list without lower orders": {"functions": [[(0, 0), (0, 0)]]},
}


@pytest.mark.parametrize("canonical", [True, False])
@pytest.mark.parametrize("arguments", OPEN.values(), ids=OPEN)
def test_index_sets_that_are_not_complete(arguments, canonical):
    """The mean in place of a factor (n, 0) leaves a function of lower order that is not there."""
    basis = ACEBasis(["Cu"], RCUT, canonical=canonical, **arguments)
    centered = basis.centered(IdealGas(0.05), orthonormal=False)
    for pair in ((basis, centered), (centered, basis)):
        with pytest.raises(ValueError, match="index sets must stay complete when a factor with l = 0 is removed"):
            coordinate_map(*pair)
    one = coordinate_map(basis, basis).toarray()
    np.testing.assert_allclose(one, np.eye(len(basis), len(basis) + 1, 1), atol=1e-13)


def test_a_list_that_is_complete():
    basis = ACEBasis(["Cu"], RCUT, functions=[[(0, 0)], [(1, 0)], [(0, 0), (1, 0)], [(0, 1), (1, 1)]])
    centered, atoms = basis.centered(IdealGas(0.05), orthonormal=False), structures()[0]
    T = coordinate_map(basis, centered)
    mapped = np.hstack([np.ones((len(atoms), 1)), basis.descriptors(atoms)]) @ T.T
    np.testing.assert_allclose(mapped, centered.descriptors(atoms), rtol=0, atol=1e-12)


def test_what_is_refused():
    basis = ACEBasis(["Cu"], RCUT, order=2, totaldegree=3)
    both = ACEBasis(SPECIES, RCUT, order=2, totaldegree=2)
    others = (
        ACEBasis(["Cu"], 4.0, order=2, totaldegree=3),
        ACEBasis(["Cu"], radial=PolynomialRadialBasis(RCUT, InverseTransform()), order=2, totaldegree=3),
        ACEBasis(["Cu"], radial=PolynomialRadialBasis(RCUT, envelope=CosineEnvelope()), order=2, totaldegree=3),
        ACEBasis(["Cu"], radial=Gaussians(), order=2, totaldegree=3),
    )
    for other in others:
        for pair in ((basis, other), (other, basis)):
            with pytest.raises(ValueError, match="must have the same cutoff, transform and envelope"):
                coordinate_map(*pair)
    for other in (ACEBasis(["Cu"], RCUT, order=2, totaldegree=4), ACEBasis(["Zr"], RCUT, order=2, totaldegree=3), both):
        with pytest.raises(ValueError, match="must have the same specification"):
            coordinate_map(basis, other, "Cu")
    for attempt in (
        lambda *center: coordinate_map(both, both, *center),
        lambda *center: product_expansion(both, *center),
    ):
        with pytest.raises(ValueError, match="center must be one of the species"):
            attempt()
        with pytest.raises(SpeciesError, match="center 'Ag' is not one of the species"):
            attempt("Ag")
    for wrong in (
        lambda: coordinate_map(basis, "basis"),
        lambda: coordinate_map(None, basis),
        lambda: product_expansion(1),
    ):
        with pytest.raises(TypeError, match="basis must be an ACEBasis"):
            wrong()
