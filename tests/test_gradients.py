"""Derivatives of features: against finite differences, and forward against reverse.

Finite differences are central, of order eight (`reference_structures.central_difference`), with steps so short that
their truncation, h⁸ f⁽⁹⁾/630, is below their rounding, which is about

    Σ_k |w_k| · 2 eps |f| / h = 2e-13 |f| / Å        for h = 5e-3 Å and Σ_k |w_k| = 2.1,

times the few roundings and cancellations that make a feature f.
"""

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from reference_structures import (
    STEP,
    STEP_WEIGHTS,
    STEPS,
    assert_clear_of_cutoff,
    central_difference,
    clear_cutoff,
    position_differences,
    random_environment,
    strain_differences,
    structures,
)

import acepure.evaluation
import acepure.gradients
from acepure import ACEBasis, pair_jacobian, pullback, summed_gradients
from acepure.basis import (
    AgnesiTransform,
    Chebyshev,
    CosineEnvelope,
    Envelope,
    InverseTransform,
    Legendre,
    LinearTransform,
    Measure,
    Orthonormal,
    PolynomialEnvelope,
    PolynomialRadialBasis,
    PowerTransform,
    RadialBasis,
    SmoothEnvelope,
    Transform,
)
from acepure.errors import CoincidentAtomsError, SpeciesError
from acepure.neighbors import NeighborList

# Error of a derivative, of the largest one of features up to the same order: 15 times the rounding above.
DIFFERENCE = 3e-12
# The same derivatives added up in two ways, of the largest sum of |terms|.
ROUND_OFF = 5e-14

# --- structures --------------------------------------------------------------------------------------------------

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


def system(name, **arguments):
    """A structure, and a basis with a cutoff that no pair is near to."""
    atoms = alloy() if name == "alloy" else structures()[name]
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


def cluster(vectors):
    """Cu at the origin, with neighbors Zr, Cu, Zr, ..."""
    symbols = itertools.islice(itertools.cycle(["Zr", "Cu"]), len(vectors))
    return Atoms(["Cu", *symbols], positions=[(0, 0, 0), *vectors])


def random_cluster(n_neighbors=8, seed=0):
    """Neighbors of a center at distances from 1.4 to 4 Å."""
    return cluster(random_environment(np.random.default_rng(seed), n_neighbors, 4.0, r_min=0.35))


def large_structure():
    """Enough atoms to keep three threads busy; small enough features to repeat all of it."""
    atoms = bulk("Cu", cubic=True).repeat((4, 4, 3))
    atoms.rattle(0.1, seed=4)
    atoms.symbols[::3] = "Zr"
    return atoms


# --- finite differences, and the same derivatives from the derivatives of pairs --------------------------------------


def pair_differences(basis, atoms, indices=None):
    """∂B(i)/∂r_ij, shape (n_pairs, 3, n_features), from one list that holds an environment for every step."""
    pairs = basis.neighbor_list(atoms, indices)
    assert_clear_of_cutoff(atoms, basis.radial.cutoff, pairs.centers)
    columns = []
    for row, center in enumerate(pairs.centers):
        around = slice(pairs.offsets[row], pairs.offsets[row + 1])
        for p, a, k in itertools.product(range(around.stop - around.start), range(3), STEPS):
            vectors = pairs.vectors[around].copy()
            vectors[p, a] += k * STEP
            columns.append((center, pairs.neighbors[around], pairs.shifts[around], vectors))
    centers, neighbors, shifts, vectors = zip(*columns)
    displaced = NeighborList(
        np.cumsum([0, *map(len, vectors)]),
        np.array(centers, dtype=np.int32),
        *(np.concatenate(column) for column in (neighbors, shifts, vectors)),
        n_atoms=pairs.n_atoms,
        cutoffs=pairs.cutoffs,
    )
    values = basis.descriptors(atoms, neighbors=displaced).reshape(pairs.n_pairs, 3, len(STEPS), len(basis))
    return np.einsum("k,pakf->paf", STEP_WEIGHTS / STEP, values)


def assert_derivatives(basis, computed, differences, tolerance=DIFFERENCE):
    """Order by order: features of few neighbors vanish at high orders, where only those of lower order set a scale."""
    assert computed.shape == differences.shape
    for order, columns in basis.order_slices.items():
        scale = abs(differences[..., : columns.stop]).max()
        error = abs(computed - differences)[..., columns].max()
        assert scale > 0 and error <= tolerance * scale, f"{order}: {error:.2e} for a scale of {scale:.2e}"


def of_moves(jacobian, n_atoms):
    """∂B_f(i)/∂r_k, shape (n_atoms, 3, n_atoms, n_features)."""
    result = np.zeros((n_atoms, 3, n_atoms, jacobian.values.shape[2]))
    for i, j, value in zip(jacobian.centers, jacobian.neighbors, jacobian.values):
        result[j, :, i] += value
        result[i, :, i] -= value
    return result


def of_strain(jacobian, n_atoms):
    """∂B_f(i)/∂ε_ab, shape (3, 3, n_atoms, n_features)."""
    result = np.zeros((3, 3, n_atoms, jacobian.values.shape[2]))
    for i, r, value in zip(jacobian.centers, jacobian.vectors, jacobian.values):
        result[:, :, i] += value[:, None] * r[:, None]
    return result


def of_species(basis, atoms, derivatives):
    """Sums over the centers of each species: axis -2 becomes the first."""
    species = basis.species_indices(atoms)
    return np.array([derivatives[..., species == z, :].sum(axis=-2) for z in range(len(basis.species))])


def contracted(jacobian, cotangents):
    """What `pullback` returns, (n_atoms, 3) and (3, 3), and the largest sums of |terms| of the two."""
    gradients = np.einsum("paf,pf->pa", jacobian.values, cotangents[jacobian.centers])
    terms = np.einsum("paf,pf->pa", abs(jacobian.values), abs(cotangents)[jacobian.centers])
    positions, scale = np.zeros((2, len(cotangents), 3))
    np.add.at(positions, jacobian.neighbors, gradients)
    np.subtract.at(positions, jacobian.centers, gradients)
    np.add.at(scale, jacobian.neighbors, terms)
    np.add.at(scale, jacobian.centers, terms)
    strain = np.einsum("pa,pb->ab", gradients, jacobian.vectors)
    strain_scale = np.einsum("pa,pb->ab", terms, abs(jacobian.vectors))
    return positions, strain, scale.max(), strain_scale.max()


def assert_pullback(basis, atoms, cotangents, tolerance=ROUND_OFF):
    """Reverse equals forward."""
    jacobian = pair_jacobian(basis, atoms)
    positions, strain = pullback(basis, atoms, cotangents)
    assert positions.shape == (len(atoms), 3) and strain.shape == (3, 3)
    expected, expected_strain, scale, strain_scale = contracted(jacobian, cotangents)
    np.testing.assert_allclose(positions, expected, rtol=0, atol=tolerance * scale)
    np.testing.assert_allclose(strain, expected_strain, rtol=0, atol=tolerance * strain_scale)


def random_cotangents(basis, atoms, seed=5):
    return np.random.default_rng(seed).normal(size=(len(atoms), len(basis)))


# --- the tools -------------------------------------------------------------------------------------------------------


def test_central_difference_is_of_order_eight():
    """Exact for polynomials of degree 8, not of degree 9: −h⁸ f⁽⁹⁾/630 = −9!/630 h⁸ = −576 h⁸."""
    for power in range(9):
        assert abs(central_difference(lambda t: t**power, 0.5) - (power == 1)) < 1e-14  # noqa: B023
    assert central_difference(lambda t: t**9, 0.5) == pytest.approx(-576 * 0.5**8, rel=1e-12)


def test_the_comparison_sees_a_wrong_derivative():
    atoms, basis = system("wire", order=2, totaldegree=3)
    values = pair_jacobian(basis, atoms).values
    differences = pair_differences(basis, atoms)
    for columns in basis.order_slices.values():
        wrong = values.copy()
        wrong[2, 1, columns.stop - 1] += 1e-9 * abs(values).max()
        with pytest.raises(AssertionError, match="for a scale of"):
            assert_derivatives(basis, wrong, differences)


def test_a_pair_near_the_cutoff_is_seen():
    with pytest.raises(AssertionError, match=r"a pair Cu-Cu is 0\.0100 Å from its cutoff"):
        assert_clear_of_cutoff(Atoms("Cu2", [(0, 0, 0), (0, 0, 3)]), lambda a, b: 3.01)


# --- structures: periodic and not, small cells, several species ----------------------------------------------------


@pytest.mark.parametrize("canonical", [True, False], ids=["canonical", "self-interacting"])
@pytest.mark.parametrize("name", NEAR)
def test_pairs_moves_and_strain(name, canonical):
    """Derivatives of pairs, and what they give for moved atoms and strain, equal finite differences."""
    atoms, basis = system(name, order=3, totaldegree=[5, 4, 3], canonical=canonical)
    jacobian = pair_jacobian(basis, atoms)
    assert_derivatives(basis, jacobian.values, pair_differences(basis, atoms))

    strain = strain_differences(basis.descriptors, atoms)
    assert_derivatives(basis, of_strain(jacobian, len(atoms)), strain)
    summed = summed_gradients(basis, atoms)
    assert_derivatives(basis, summed.strain, of_species(basis, atoms, strain))

    if len(atoms) > 1:
        moves = position_differences(basis.descriptors, atoms)
        assert_derivatives(basis, of_moves(jacobian, len(atoms)), moves)
        assert_derivatives(basis, summed.positions, of_species(basis, atoms, moves))


@pytest.mark.parametrize("name", ["one atom, fcc", "one atom, bcc"])
def test_an_atom_and_its_images_move_together(name):
    """Each pair has derivatives, but r_ij = S·cell whatever the position of the only atom."""
    atoms, basis = system(name)
    jacobian = pair_jacobian(basis, atoms)
    assert len(jacobian.values) > 8 and (jacobian.neighbors == 0).all() and abs(jacobian.values).max() > 0.1
    summed = summed_gradients(basis, atoms)
    terms = 2 * abs(jacobian.values).sum(axis=0).max()
    np.testing.assert_allclose(summed.positions, 0, rtol=0, atol=ROUND_OFF * terms)
    assert abs(summed.strain).max() > 0.1
    ones = np.ones((1, len(basis)))
    positions, _ = pullback(basis, atoms, ones)
    np.testing.assert_allclose(positions, 0, rtol=0, atol=ROUND_OFF * contracted(jacobian, ones)[2])


@pytest.mark.parametrize("canonical", [True, False], ids=["canonical", "self-interacting"])
@pytest.mark.parametrize("name", NEAR)
def test_reverse_equals_forward(name, canonical):
    atoms, basis = system(name, order=3, totaldegree=[5, 4, 3], canonical=canonical)
    assert_pullback(basis, atoms, random_cotangents(basis, atoms))


@pytest.mark.parametrize("name", NEAR)
def test_summed_gradients_are_sums_of_pairs(name):
    atoms, basis = system(name, order=3, totaldegree=[5, 4, 3])
    jacobian, summed = pair_jacobian(basis, atoms), summed_gradients(basis, atoms)
    n_species = len(basis.species)
    assert summed.positions.shape == (n_species, len(atoms), 3, len(basis))
    assert summed.strain.shape == (n_species, 3, 3, len(basis))
    magnitudes = replace(jacobian, values=abs(jacobian.values), vectors=abs(jacobian.vectors))
    for computed, total, scale in (
        (summed.positions, of_moves(jacobian, len(atoms)), 2 * abs(jacobian.values).sum(axis=0).max()),
        (summed.strain, of_strain(jacobian, len(atoms)), of_strain(magnitudes, len(atoms)).sum(axis=2).max()),
    ):
        np.testing.assert_allclose(computed, of_species(basis, atoms, total), rtol=0, atol=ROUND_OFF * scale)


@pytest.mark.parametrize("name", NEAR)
def test_neither_translations_nor_rotations_change_features(name):
    """Derivatives with respect to positions sum to zero; those with respect to strain are symmetric."""
    atoms, basis = system(name, order=3, totaldegree=[5, 4, 3])
    summed = summed_gradients(basis, atoms)
    jacobian = pair_jacobian(basis, atoms)
    terms = abs(jacobian.values).sum(axis=0).max()
    np.testing.assert_allclose(summed.positions.sum(axis=1), 0, rtol=0, atol=ROUND_OFF * terms)
    antisymmetric = summed.strain - summed.strain.transpose(0, 2, 1, 3)
    np.testing.assert_allclose(antisymmetric, 0, rtol=0, atol=ROUND_OFF * terms * basis.rcut)


# --- index sets ------------------------------------------------------------------------------------------------------

# Gaps in n and l, few functions and many.
SPECIFICATIONS = {
    "order 1": {"order": 1, "totaldegree": 6},
    "order 2": {"order": 2, "totaldegree": 6},
    "order 3": {"order": 3, "totaldegree": 4},
    "order 4": {"order": 4, "totaldegree": [4, 3, 3, 2]},
    "one function": {"functions": [[("Zr", 0, 0)]]},
    "box": {"order": 2, "n_max": 1, "l_max": 6},
    "n from 1": {"order": 2, "totaldegree": 5, "n_start": 1, "wL": 1.5},
    "incomplete": {
        "functions": [
            [("Cu", 1, 0)],
            [("Cu", 0, 2), ("Zr", 3, 2)],
            [("Cu", 1, 1), ("Cu", 1, 1), ("Zr", 0, 2)],
            [("Cu", 0, 1), ("Cu", 0, 1), ("Zr", 1, 2), ("Zr", 0, 2)],
        ]
    },
}


@pytest.mark.parametrize("canonical", [True, False], ids=["canonical", "self-interacting"])
@pytest.mark.parametrize("specification", SPECIFICATIONS)
def test_index_sets(specification, canonical):
    basis = ACEBasis(["Cu", "Zr"], rcut=4.5, canonical=canonical, **SPECIFICATIONS[specification])
    atoms = random_cluster()
    jacobian = pair_jacobian(basis, atoms, indices=[0])
    assert_derivatives(basis, jacobian.values, pair_differences(basis, atoms, [0]))
    cotangents = random_cotangents(basis, atoms)
    assert_pullback(basis, atoms, cotangents)
    one = np.zeros_like(cotangents)
    one[0, -1] = 2.0
    assert_pullback(basis, atoms, one)


@pytest.mark.parametrize("n_neighbors", [1, 2, 7, 8, 9, 33])
def test_numbers_of_neighbors(n_neighbors):
    """One fewer and one more than fill the lanes of a kernel, for each of two species and for both."""
    basis = ACEBasis(["Cu", "Zr"], rcut=4.5, order=2, totaldegree=3)
    atoms = random_cluster(n_neighbors)
    jacobian = pair_jacobian(basis, atoms, indices=[0])
    assert len(jacobian.values) == n_neighbors
    assert_derivatives(basis, jacobian.values, pair_differences(basis, atoms, [0]))
    assert_pullback(basis, atoms, random_cotangents(basis, atoms))


def test_neighbors_on_the_axes():
    """Where angles, but not features, are singular."""
    basis = ACEBasis(["Cu", "Zr"], rcut=4.5, order=2, n_max=2, l_max=5)
    atoms = cluster([(0, 0, 2), (0, 0, -2.5), (3, 0, 0), (-2.2, 0, 0), (0, 2.4, 0), (0, -3.1, 0), (2, 2, 1)])
    assert_derivatives(basis, pair_jacobian(basis, atoms, indices=[0]).values, pair_differences(basis, atoms, [0]))
    assert_pullback(basis, atoms, random_cotangents(basis, atoms))


# --- radial functions ------------------------------------------------------------------------------------------------


def shells():
    """A measure that supports some tens of functions."""
    r = np.linspace(1.2, 5.0, 100)
    return Measure(r, r**2)


TRANSFORMS = [
    LinearTransform(),
    PowerTransform(2),
    PowerTransform(2.5),
    InverseTransform(),
    InverseTransform(exponent=1.5),
    AgnesiTransform(),
    AgnesiTransform(r0=2.5, p=1.5, q=3.2),
]
ENVELOPES = [CosineEnvelope(), PolynomialEnvelope(2), PolynomialEnvelope(2.5), SmoothEnvelope(), SmoothEnvelope(2.5)]
POLYNOMIALS = [Chebyshev(), Legendre(), Orthonormal(shells())]


@dataclass(frozen=True)
class SquareTransform(Transform):
    """A user's own."""

    def evaluate(self, r, rcut, center=None, neighbor=None):
        return 2 * (r / rcut) ** 2 - 1

    def evaluate_with_gradients(self, r, rcut, center=None, neighbor=None):
        return self.evaluate(r, rcut), 4 * r / rcut**2


@dataclass(frozen=True)
class QuarticEnvelope(Envelope):
    """A user's own."""

    smoothness = 3

    def evaluate(self, r, rcut):
        return (1 - r / rcut) ** 4

    def evaluate_with_gradients(self, r, rcut):
        return self.evaluate(r, rcut), -4 / rcut * (1 - r / rcut) ** 3


@dataclass(frozen=True)
class UserAgnesi(AgnesiTransform):
    """The built-in formula, in a class that the kernel does not know."""


@dataclass(frozen=True)
class Gaussians(RadialBasis):
    """A user's own radial functions: no envelope, no polynomials, and different for each ordered pair."""

    width: float = 1.1

    def cutoff(self, center, neighbor):
        return {"CuCu": 4.5, "CuZr": 4.4, "ZrCu": 4.2}.get(center + neighbor, 4.6)

    def evaluate(self, r, center, neighbor, n_radial):
        return self.evaluate_with_gradients(r, center, neighbor, n_radial)[0]

    def evaluate_with_gradients(self, r, center, neighbor, n_radial):
        rcut = self.cutoff(center, neighbor)
        r = np.asarray(r, dtype=float)[:, None]
        inside = r < rcut
        u = (r - np.linspace(1, 4, n_radial)) / self.width
        f, bell = inside * (1 - r / rcut) ** 3, np.exp(-(u**2))
        slope = inside * -3 / rcut * (1 - r / rcut) ** 2
        return f * bell, (slope - 2 * f * u / self.width) * bell


def per_pair_measures():
    """Different functions, and so different products, for every pair: each species of center has its operators."""
    r = np.linspace(1.2, 5.0, 60)
    pairs = [("Cu", "Cu"), ("Cu", "Zr"), ("Zr", "Cu"), ("Zr", "Zr")]
    return {pair: Measure(r, r ** (1 + k)) for k, pair in enumerate(pairs)}


PER_PAIR = {("Cu", "Cu"): 4.1, ("Cu", "Zr"): 4.5, ("Zr", "Cu"): 4.3, ("Zr", "Zr"): 4.7}
OTHER_RADIAL = {
    "cutoffs per pair": PolynomialRadialBasis(PER_PAIR),
    "r0 per pair": PolynomialRadialBasis(
        PER_PAIR, AgnesiTransform({("Cu", "Zr"): 2.4, ("Cu", "Cu"): 2.1, ("Zr", "Zr"): 3})
    ),
    "measures per pair": PolynomialRadialBasis(PER_PAIR, polynomials=Orthonormal(per_pair_measures())),
    "user's transform": PolynomialRadialBasis(PER_PAIR, SquareTransform()),
    "user's transform, Legendre": PolynomialRadialBasis(4.5, SquareTransform(), CosineEnvelope(), Legendre()),
    "user's envelope": PolynomialRadialBasis(4.5, InverseTransform(), QuarticEnvelope()),
    "user's, measures per pair": PolynomialRadialBasis(
        PER_PAIR, SquareTransform(), QuarticEnvelope(), Orthonormal(per_pair_measures())
    ),
    "user's functions": Gaussians(),
}


def assert_radial(radial, amplification=1):
    """Three powers of the envelope occur in a canonical basis of order three."""
    basis = ACEBasis(["Cu", "Zr"], radial=radial, order=3, totaldegree=[5, 4, 3])
    atoms = random_cluster()
    for center in ("Cu", "Zr"):
        atoms.symbols[0] = center
        jacobian = pair_jacobian(basis, atoms, indices=[0])
        assert_derivatives(basis, jacobian.values, pair_differences(basis, atoms, [0]), amplification * DIFFERENCE)
    assert_pullback(basis, atoms, random_cotangents(basis, atoms), amplification * ROUND_OFF)


@pytest.mark.parametrize("polynomials", POLYNOMIALS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("envelope", ENVELOPES, ids=repr)
@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
def test_polynomial_radial_functions(transform, envelope, polynomials):
    # Polynomials that are orthonormal on a part of [-1, 1] amplify the rounding of x, and their products have larger
    # coefficients: the inverse transform leaves a fifth of the interval to distances above 1.2 Å.
    amplification = 30 if isinstance(polynomials, Orthonormal) else 1
    assert_radial(PolynomialRadialBasis(4.5, transform, envelope, polynomials), amplification)


@pytest.mark.parametrize("name", OTHER_RADIAL)
def test_other_radial_functions(name):
    assert_radial(OTHER_RADIAL[name])


@pytest.mark.parametrize("radial", [PolynomialRadialBasis(3.1, SquareTransform()), Gaussians()], ids=repr)
def test_functions_without_kernel_in_a_periodic_structure(radial):
    basis = ACEBasis(["Cu", "Zr"], radial=radial, order=2, totaldegree=3)
    atoms = bulk("Cu", cubic=True, a=4.0).repeat((2, 1, 1))  # no pair near any of the cutoffs
    atoms.symbols = ["Cu", "Zr", "Zr", "Zr"] * 2
    atoms.pbc = (True, False, True)
    atoms.rattle(0.05, seed=6)
    assert_clear_of_cutoff(atoms, radial.cutoff)
    summed = summed_gradients(basis, atoms)
    for computed, differences in (
        (summed.positions, position_differences(basis.descriptors, atoms)),
        (summed.strain, strain_differences(basis.descriptors, atoms)),
    ):
        assert_derivatives(basis, computed, of_species(basis, atoms, differences))


def test_kernel_equals_numpy():
    atoms = random_cluster()
    first, second = (
        ACEBasis(["Cu", "Zr"], radial=PolynomialRadialBasis(4.5, transform), order=3, totaldegree=4)
        for transform in (AgnesiTransform(), UserAgnesi())
    )
    assert first.radial.has_kernel and not second.radial.has_kernel
    expected = pair_jacobian(first, atoms, indices=[0]).values
    computed = pair_jacobian(second, atoms, indices=[0]).values
    np.testing.assert_allclose(computed, expected, rtol=0, atol=ROUND_OFF * abs(expected).max())


@pytest.mark.parametrize("name", ["user's transform", "user's functions"])
def test_tables_in_parts(name, monkeypatch):
    """Functions without a kernel are tabulated for some pairs at a time, which must not show."""
    basis = ACEBasis(["Cu", "Zr"], radial=OTHER_RADIAL[name], order=2, totaldegree=3)
    atoms = alloy()
    atoms.symbols = ["Cu", "Zr", "Zr"] * 4
    atoms += Atoms("Zr", [(0, 40, 0)])  # a center without neighbors
    cotangents = random_cotangents(basis, atoms)

    def results():
        summed = summed_gradients(basis, atoms)
        return (
            pair_jacobian(basis, atoms).values,
            summed.positions,
            summed.strain,
            *pullback(basis, atoms, cotangents),
        )

    expected = results()
    for n_pairs in (1, 50):
        monkeypatch.setattr(acepure.evaluation, "_PAIRS_PER_TABLE", n_pairs)
        for first, second in zip(results(), expected):
            np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("transform, envelope", [(True, False), (False, True)], ids=["transform", "envelope"])
def test_derivatives_that_a_user_has_not_defined(transform, envelope):
    @dataclass(frozen=True)
    class NoSlopeTransform(Transform):
        def evaluate(self, r, rcut, center=None, neighbor=None):
            return 2 * r / rcut - 1

    @dataclass(frozen=True)
    class NoSlopeEnvelope(Envelope):
        smoothness = 3

        def evaluate(self, r, rcut):
            return (1 - r / rcut) ** 4

    arguments = {"transform": NoSlopeTransform()} if transform else {"envelope": NoSlopeEnvelope()}
    basis = ACEBasis(["Cu", "Zr"], radial=PolynomialRadialBasis(4.5, **arguments), order=1, totaldegree=2)
    atoms = random_cluster()
    basis.descriptors(atoms)
    name = "NoSlopeTransform" if transform else "NoSlopeEnvelope"
    for call in (pair_jacobian, summed_gradients, lambda *args: pullback(*args, np.ones((9, len(basis))))):
        with pytest.raises(NotImplementedError, match=rf"{name} defines no evaluate_with_gradients\(r, rcut"):
            call(basis, atoms)


class Wrong(Gaussians):
    """Gaussians whose derivatives are spoiled by `spoil`."""

    spoil = staticmethod(lambda slopes: slopes)

    def evaluate_with_gradients(self, r, center, neighbor, n_radial):
        values, slopes = super().evaluate_with_gradients(r, center, neighbor, n_radial)
        return values, self.spoil(slopes)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda slopes: slopes[:, :-1], r"Wrong\(.* returned .* of shape"),
        (lambda slopes: slopes[:-1], r"Wrong\(.* returned .* of shape"),
        (lambda slopes: slopes.T, r"Wrong\(.* returned .* of shape"),
        (lambda slopes: slopes * np.nan, r"Wrong\(.* returned .* not finite"),
    ],
    ids=["too few functions", "too few distances", "transposed", "NaN"],
)
def test_wrong_derivatives_of_a_user(spoil, message):
    radial = Wrong()
    object.__setattr__(radial, "spoil", spoil)
    basis = ACEBasis(["Cu", "Zr"], radial=radial, order=2, totaldegree=2)
    with pytest.raises(ValueError, match=message):
        pair_jacobian(basis, random_cluster())


def test_radial_functions_without_derivatives():
    class Plain(RadialBasis):
        def cutoff(self, center, neighbor):
            return 4.5

        def evaluate(self, r, center, neighbor, n_radial):
            return Gaussians().evaluate(r, center, neighbor, n_radial)

    basis = ACEBasis(["Cu", "Zr"], radial=Plain(), order=1, totaldegree=2)
    with pytest.raises(NotImplementedError, match=r"Plain defines no evaluate_with_gradients\(r, center, neighbor"):
        pair_jacobian(basis, random_cluster())


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("radial", [PolynomialRadialBasis(4.5), Gaussians()], ids=["kernel", "NumPy"])
@pytest.mark.parametrize(
    "atoms",
    [Atoms("Cu"), Atoms("Cu", cell=[30, 30, 30], pbc=True), Atoms("CuZr", [(0, 0, 0), (0, 0, 9)])],
    ids=["isolated", "isolated in a box", "two apart"],
)
def test_without_pairs(atoms, radial):
    """Nothing to derive by: zeros of the usual shapes."""
    basis = ACEBasis(["Cu", "Zr"], radial=radial, order=3, totaldegree=3)
    jacobian = pair_jacobian(basis, atoms)
    assert jacobian.values.shape == (0, 3, len(basis)) and jacobian.vectors.shape == jacobian.shifts.shape == (0, 3)
    assert len(jacobian.centers) == len(jacobian.neighbors) == 0
    summed = summed_gradients(basis, atoms)
    assert summed.positions.shape == (2, len(atoms), 3, len(basis)) and summed.strain.shape == (2, 3, 3, len(basis))
    for array in (summed.positions, summed.strain, *pullback(basis, atoms, np.ones((len(atoms), len(basis))))):
        assert not array.any()


@pytest.mark.parametrize("radial", [PolynomialRadialBasis(4.5), Gaussians()], ids=["kernel", "NumPy"])
def test_atoms_far_away_feel_nothing(radial):
    """A dimer and a third atom; with one neighbor, canonical features above order one have no derivative."""
    basis = ACEBasis(["Cu", "Zr"], radial=radial, order=3, totaldegree=3)
    atoms = Atoms("ZrCuZr", [(0, 0, -20), (0, 0, 0), (1, 1, 1.5)])
    summed = summed_gradients(basis, atoms)
    assert not summed.positions[:, 0].any() and summed.positions[:, 1].any()
    positions, _ = pullback(basis, atoms, np.ones((3, len(basis))))
    assert not positions[0].any() and positions[1].any()
    values = pair_jacobian(basis, atoms).values
    first = basis.order_slices["nu1"]
    np.testing.assert_allclose(values[..., first.stop :], 0, rtol=0, atol=1e-13 * abs(values[..., first]).max())


@pytest.mark.parametrize("envelope", [CosineEnvelope(), PolynomialEnvelope(2), SmoothEnvelope()], ids=repr)
def test_derivatives_vanish_at_the_cutoff(envelope):
    """At a distance δ below it as δ, or faster: the envelopes have one continuous derivative at least."""
    radial = PolynomialRadialBasis(4.5, envelope=envelope)
    basis = ACEBasis(["Cu", "Zr"], radial=radial, order=3, totaldegree=4)
    largest = []
    for distance in (1e-2, 1e-4, 1e-6):
        atoms = cluster([(4.5 - distance, 0, 0), (0, 2, 0), (0.5, 0, 2.2), (-2, 0, 1)])
        jacobian = pair_jacobian(basis, atoms, indices=[0])
        outermost = np.argmax(np.linalg.norm(jacobian.vectors, axis=1))
        largest.append(abs(jacobian.values[outermost]).max())
    assert largest[0] > 0 and largest[1] < 1.1e-2 * largest[0] and largest[2] < 1.1e-2 * largest[1]


def test_short_distances_give_finite_derivatives():
    basis = ACEBasis(["Cu", "Zr"], rcut=4.5, order=2, totaldegree=4)
    atoms = cluster([(1e-5, 0, 0), (0, 2, 0)])
    assert np.isfinite(pair_jacobian(basis, atoms).values).all()
    assert all(np.isfinite(x).all() for x in pullback(basis, atoms, np.ones((3, len(basis)))))


# --- pair_jacobian ---------------------------------------------------------------------------------------------------


def test_pairs_are_those_of_the_structure():
    atoms, basis = system("skewed cell", order=1, totaldegree=2)
    jacobian = pair_jacobian(basis, atoms)
    i, j = jacobian.centers, jacobian.neighbors
    assert i.dtype == j.dtype == jacobian.shifts.dtype == np.int32
    expected = atoms.positions[j] - atoms.positions[i] + jacobian.shifts @ atoms.cell.array
    np.testing.assert_allclose(jacobian.vectors, expected, rtol=0, atol=1e-14 * abs(atoms.cell.array).max() * 4)
    assert len(i) == len(j) == len(jacobian.shifts) == len(jacobian.vectors) == len(jacobian.values)


@pytest.mark.parametrize(
    "indices",
    [[0], [5, 2, -1], range(3), np.arange(12) % 5 == 0, np.array([7], dtype=np.uint8), [], np.zeros(12, dtype=bool)],
    ids=str,
)
def test_subsets_of_centers(indices):
    """The rows of the chosen centers, in the order chosen, to the last bit."""
    atoms, basis = system("alloy", order=3, totaldegree=3)
    whole, part = pair_jacobian(basis, atoms), pair_jacobian(basis, atoms, indices=indices)
    chosen = np.arange(12)[np.asarray(indices, dtype=None if len(indices) else int)]
    rows = np.concatenate([np.flatnonzero(whole.centers == i) for i in chosen] or [np.empty(0, dtype=int)])
    for name in ("centers", "neighbors", "shifts", "vectors", "values"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[rows])


def test_subsets_of_centers_without_kernel():
    basis = ACEBasis(["Cu", "Zr"], radial=Gaussians(), order=2, totaldegree=2)
    whole, part = (pair_jacobian(basis, random_cluster(), indices=indices) for indices in (None, [4, 1]))
    rows = np.concatenate([np.flatnonzero(whole.centers == i) for i in (4, 1)])
    np.testing.assert_array_equal(part.values, whole.values[rows])


def test_memory_is_refused_before_it_is_taken():
    basis = ACEBasis(["Cu"], rcut=5.5, order=3, totaldegree=12)
    atoms = bulk("Cu", cubic=True).repeat(10)
    shape = (basis.neighbor_list(atoms).n_pairs, 3, len(basis))
    size = 8 * np.prod(shape, dtype=float)
    assert size > 4 * 2**30
    with pytest.raises(ValueError, match=rf"needs {size / 2**30:.3g} GiB, more than max_bytes=.*summed_gradients") as e:
        pair_jacobian(basis, atoms)
    assert str(shape) in str(e.value)


def test_max_bytes_is_the_largest_size_allowed():
    atoms, basis = system("wire", order=1, totaldegree=2)
    n_bytes = pair_jacobian(basis, atoms).values.nbytes
    assert pair_jacobian(basis, atoms, max_bytes=n_bytes).values.nbytes == n_bytes
    with pytest.raises(ValueError, match="max_bytes"):
        pair_jacobian(basis, atoms, max_bytes=n_bytes - 1)
    assert pair_jacobian(basis, atoms, indices=[], max_bytes=0).values.size == 0
    assert pair_jacobian(basis, atoms, max_bytes=np.inf).values.nbytes == n_bytes


@pytest.mark.parametrize("max_bytes, error", [("4 GB", TypeError), (np.nan, ValueError)])
def test_wrong_max_bytes(max_bytes, error):
    atoms, basis = system("wire", order=1, totaldegree=2)
    with pytest.raises(error, match="max_bytes must be"):
        pair_jacobian(basis, atoms, max_bytes=max_bytes)


# --- threads, memory, input ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("radial", [PolynomialRadialBasis(3.2), Gaussians()], ids=["kernel", "NumPy"])
def test_threads_do_not_change_a_bit(radial):
    basis = ACEBasis(["Cu", "Zr"], radial=radial, order=3, totaldegree=2)
    atoms = large_structure()
    cotangents = random_cotangents(basis, atoms)
    results = []
    for num_threads in (1, 2, 3):
        summed = summed_gradients(basis, atoms, num_threads=num_threads)
        jacobian = pair_jacobian(basis, atoms, num_threads=num_threads)
        reverse = pullback(basis, atoms, cotangents, num_threads=num_threads)
        results.append((jacobian.values, summed.positions, summed.strain, *reverse))
    for result in results[1:]:
        for first, second in zip(result, results[0]):
            np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", ["alloy", "one atom, fcc"])
def test_summed_gradients_in_parts(name, monkeypatch):
    """The buffer for derivatives of pairs is bounded, which must not show."""
    atoms, basis = system(name, order=2, totaldegree=4)
    expected = summed_gradients(basis, atoms)
    for size in (1, 24 * len(basis) * 30):
        monkeypatch.setattr(acepure.gradients, "_BUFFER_BYTES", size)
        summed = summed_gradients(basis, atoms)
        np.testing.assert_array_equal(summed.positions, expected.positions)
        np.testing.assert_array_equal(summed.strain, expected.strain)


def test_repeated_calls_give_the_same_arrays_anew():
    atoms, basis = system("wire", order=2, totaldegree=3)
    first = summed_gradients(basis, atoms)
    kept = first.positions.copy()
    summed_gradients(basis, atoms).positions[:] = 7
    np.testing.assert_array_equal(summed_gradients(basis, atoms).positions, kept)
    np.testing.assert_array_equal(first.positions, kept)


def test_input_is_not_modified():
    atoms, basis = system("alloy", order=2, totaldegree=3)
    atoms.info["name"], atoms.arrays["mine"] = "kept", np.arange(12)
    cotangents = random_cotangents(basis, atoms)
    before, cotangents_before = atoms.copy(), cotangents.copy()
    cotangents.flags.writeable = False
    pair_jacobian(basis, atoms, indices=[1, 2])
    summed_gradients(basis, atoms)
    pullback(basis, atoms, cotangents)
    assert atoms == before and atoms.info == before.info and atoms.arrays.keys() == before.arrays.keys()
    for name, array in before.arrays.items():
        np.testing.assert_array_equal(atoms.arrays[name], array)
    np.testing.assert_array_equal(cotangents, cotangents_before)


def test_cotangents_of_any_real_kind():
    atoms, basis = system("wire", order=2, totaldegree=3)
    whole = np.random.default_rng(0).integers(-5, 5, size=(len(atoms), len(basis)))
    expected = pullback(basis, atoms, whole.astype(float))
    kinds = (whole, whole.tolist(), whole.astype(np.float32), np.asfortranarray(whole, dtype=float))
    for cotangents in (*kinds, np.repeat(whole.astype(float), 2, axis=1)[:, ::2]):
        for first, second in zip(pullback(basis, atoms, cotangents), expected):
            np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    "change, error, message",
    [
        (lambda g: g[:-1], ValueError, r"cotangents must have shape \(2, \d+\); got \(1, \d+\)"),
        (lambda g: g[:, 1:], ValueError, r"cotangents must have shape"),
        (lambda g: g[0], ValueError, r"cotangents must have shape"),
        (lambda g: g * np.nan, ValueError, "cotangents must be finite"),
        (lambda g: g + 0j, TypeError, "cotangents must hold real numbers"),
        (lambda g: None, TypeError, "cotangents must hold real numbers"),
    ],
    ids=["rows", "columns", "dimensions", "NaN", "complex", "None"],
)
def test_wrong_cotangents(change, error, message):
    atoms, basis = system("wire", order=1, totaldegree=3)
    with pytest.raises(error, match=message):
        pullback(basis, atoms, change(np.ones((2, len(basis)))))


@pytest.mark.parametrize("function", [pair_jacobian, summed_gradients, pullback], ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "change, error, message",
    [
        (lambda b, a: (b, "CuAg"), TypeError, "atoms must be an ase.Atoms"),
        (lambda b, a: (b, [a]), TypeError, "atoms must be an ase.Atoms"),
        (lambda b, a: (b, Atoms("CuFe", a.positions)), SpeciesError, "Fe"),
        (lambda b, a: (b, Atoms("CuAg", a.positions * np.nan)), ValueError, "NaN"),
        (lambda b, a: (b, Atoms("CuAg", a.positions * 0)), CoincidentAtomsError, r"atom 0 \(Cu\) and atom 1 \(Ag\)"),
        (lambda b, a: ("basis", a), TypeError, "basis must be an ACEBasis"),
    ],
    ids=["text", "list", "species", "NaN", "coincident", "no basis"],
)
def test_wrong_input(function, change, error, message):
    atoms, basis = system("wire", order=1, totaldegree=3)
    arguments = (np.ones((2, len(basis))),) if function is pullback else ()
    with pytest.raises(error, match=message):
        function(*change(basis, atoms), *arguments)


@pytest.mark.parametrize("num_threads, error", [(0, ValueError), (1.5, TypeError), (True, TypeError)])
@pytest.mark.parametrize("function", [pair_jacobian, summed_gradients, pullback], ids=lambda f: f.__name__)
def test_wrong_number_of_threads(function, num_threads, error):
    atoms, basis = system("wire", order=1, totaldegree=3)
    arguments = (np.ones((2, len(basis))),) if function is pullback else ()
    with pytest.raises(error, match="num_threads must be an integer >= 1"):
        function(basis, atoms, *arguments, num_threads=num_threads)
