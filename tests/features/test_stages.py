"""The stages one by one: sums against plain NumPy, products against products of columns, all against the fused runs."""

import numpy as np
import pytest
from ase import Atoms
from cases.derivatives import large_structure, system
from cases.gradients import ROUND_OFF, random_cluster
from cases.radial import Gaussians

from acepure import ACEBasis, IdealGas, Stages, jvp, pullback
from acepure.errors import SpeciesError
from acepure.functions.harmonics import RealSphericalHarmonics

SYSTEMS = {
    "canonical": lambda: system("alloy", order=3, totaldegree=4),
    "self-interacting": lambda: system("NaCl", order=3, totaldegree=4, canonical=False),
    "one atom": lambda: system("one atom, bcc", order=4, totaldegree=4),
    "centered": lambda: centered(True),
    "shifted": lambda: centered(False),
    "table": lambda: (random_cluster(), ACEBasis(["Cu", "Zr"], radial=Gaussians(), order=2, totaldegree=3)),
}


def centered(canonical):
    atoms, basis = system("alloy", order=2, totaldegree=4, canonical=canonical)
    return atoms, basis.centered(IdealGas(0.06))


def pooled(basis, stages, center, atoms):
    """A by loops in Python: Σ_j R_q(r_ij) Y_lm(r̂_ij) − μ_v, and the sum of absolute terms."""
    species = basis.species_indices(atoms)
    pairs = basis.neighbor_list(atoms, np.flatnonzero(species == basis.species.index(center)))
    functions = stages.one_particle
    harmonics = RealSphericalHarmonics(max(v.l for v in functions))
    total, scale = np.zeros((2, pairs.n_centers, len(functions)))
    for row in range(pairs.n_centers):
        for p in range(pairs.offsets[row], pairs.offsets[row + 1]):
            r = pairs.vectors[p]
            Y = harmonics.evaluate(r[None])[0]
            neighbor = atoms.symbols[pairs.neighbors[p]]
            labels = sorted({v.q for v in functions if basis.species[v.z] == neighbor})
            if not labels:
                continue
            R = dict(
                zip(labels, basis.radial.evaluate_labels(np.array([np.linalg.norm(r)]), center, neighbor, labels)[0])
            )
            for i, v in enumerate(functions):
                if basis.species[v.z] == neighbor:
                    term = R[v.q] * Y[v.l * v.l + v.l + v.m]
                    total[row, i] += term
                    scale[row, i] += abs(term)
    if basis.reference is not None:
        for i, v in enumerate(functions):
            if v.l == 0:
                total[:, i] -= basis.reference.means(basis.radial, center, basis.species[v.z], [v.q])[0]
    return total, scale.max()


def each_center(name):
    atoms, basis = SYSTEMS[name]()
    for center in sorted(set(atoms.get_chemical_symbols())):
        yield atoms, basis, center, Stages(basis, center)


@pytest.mark.parametrize("name", SYSTEMS)
def test_sums(name):
    for atoms, basis, center, stages in each_center(name):
        expected, scale = pooled(basis, stages, center, atoms)
        np.testing.assert_allclose(stages.sums(atoms), expected, rtol=0, atol=ROUND_OFF * scale)
        assert abs(expected).max() > 0


@pytest.mark.parametrize("name", SYSTEMS)
def test_products_are_products_of_columns(name):
    for atoms, _, _, stages in each_center(name):
        A = stages.sums(atoms)
        column = {v: i for i, v in enumerate(stages.one_particle)}
        expected = np.array([[np.prod([row[column[v]] for v in k]) for k in stages.factors] for row in A])
        np.testing.assert_allclose(stages.products.evaluate(A), expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("name", SYSTEMS)
def test_stages_lead_to_the_features(name):
    for atoms, basis, center, stages in each_center(name):
        A = stages.sums(atoms)
        mine = np.flatnonzero(np.array(atoms.get_chemical_symbols()) == center)
        B = basis.descriptors(atoms, indices=mine)
        scale = abs(B).max()
        for computed in (stages.features.evaluate(A), stages.contraction.evaluate(stages.products.evaluate(A))):
            np.testing.assert_allclose(computed, B, rtol=0, atol=100 * ROUND_OFF * scale)


@pytest.mark.parametrize("name", SYSTEMS)
def test_forward(name):
    """Pushed through the stages, a motion gives what `jvp` does in one run."""
    for atoms, basis, center, stages in each_center(name):
        rng = np.random.default_rng(3)
        w, strain = rng.normal(size=(len(atoms), 3)), 0.3 * rng.normal(size=(3, 3))
        A, dA = stages.sums_jvp(atoms, w, strain)
        np.testing.assert_allclose(A, stages.sums(atoms), rtol=0, atol=ROUND_OFF * abs(A).max())
        AA, dAA = stages.products.jvp(A, dA)
        mine = np.flatnonzero(np.array(atoms.get_chemical_symbols()) == center)
        expected = jvp(basis, atoms, w, strain, indices=mine)
        for computed in (stages.contraction.jvp(AA, dAA), stages.features.jvp(A, dA)):
            for a, b in zip(computed, expected):
                np.testing.assert_allclose(a, b, rtol=0, atol=100 * ROUND_OFF * abs(b).max())


@pytest.mark.parametrize("name", SYSTEMS)
def test_backward(name):
    """Pulled back through the stages, cotangents give what `pullback` does in one run, and the transpose of `jvp`."""
    for atoms, basis, center, stages in each_center(name):
        A = stages.sums(atoms)
        g = np.random.default_rng(4).normal(size=(len(A), len(basis)))
        AA = stages.products.evaluate(A)
        by_products = stages.products.pullback(A, stages.contraction.pullback(AA, g))
        by_sums = stages.features.pullback(A, g)
        np.testing.assert_allclose(by_sums, by_products, rtol=0, atol=100 * ROUND_OFF * abs(by_sums).max())
        mine = np.flatnonzero(np.array(atoms.get_chemical_symbols()) == center)
        expected = pullback(basis, atoms, g, neighbors=basis.neighbor_list(atoms, mine))
        for a, b in zip(stages.sums_pullback(atoms, by_sums), expected):
            np.testing.assert_allclose(
                a, b, rtol=0, atol=100 * ROUND_OFF * max(abs(expected[0]).max(), abs(b).max(), 1)
            )


def test_products_by_complex_steps_of_columns():
    """d AA along ẋ, the exact sum over factors of a product."""
    atoms, basis = system("skewed cell", order=4, totaldegree=4)
    stages = Stages(basis, basis.species[0])
    A = stages.sums(atoms)
    dA = np.random.default_rng(0).normal(size=A.shape)
    column = {v: i for i, v in enumerate(stages.one_particle)}
    step = 1e-30
    moved = A + 1j * step * dA
    expected = np.array([[np.prod([row[column[v]] for v in k]).imag / step for k in stages.factors] for row in moved])
    np.testing.assert_allclose(stages.products.jvp(A, dA)[1], expected, rtol=0, atol=ROUND_OFF * abs(expected).max())


def test_threads_change_no_bit():
    atoms = large_structure()
    stages = Stages(ACEBasis(["Cu", "Zr"], rcut=4.0, order=3, totaldegree=4), "Cu")
    w = np.random.default_rng(0).normal(size=(len(atoms), 3))
    one, two = ([*stages.sums_jvp(atoms, w, num_threads=n)] for n in (1, 2))
    A = one[0]
    g = np.random.default_rng(1).normal(size=(len(A), stages.features.n_out))
    for results, n in ((one, 1), (two, 2)):
        results += stages.features.jvp(A, one[1], num_threads=n)
        results.append(stages.features.pullback(A, g, num_threads=n))
        results += stages.sums_pullback(atoms, results[-1], num_threads=n)
    assert len(one) == 7
    for a, b in zip(one, two):
        np.testing.assert_array_equal(a, b)


def test_centers_are_chosen():
    atoms = large_structure()
    basis = ACEBasis(["Cu", "Zr"], rcut=4.0, order=1, totaldegree=4)
    stages = Stages(basis, "Zr")
    whole, mine = stages.sums(atoms), np.flatnonzero(atoms.symbols == "Zr")
    part = stages.sums(atoms, indices=mine[[5, 2]])
    np.testing.assert_allclose(part, whole[[5, 2]], rtol=0, atol=ROUND_OFF * abs(whole).max())
    np.testing.assert_array_equal(part, stages.sums(atoms, neighbors=basis.neighbor_list(atoms, mine[[5, 2]])))
    assert stages.sums(atoms, indices=[]).shape == (0, len(stages.one_particle))
    assert stages.features.evaluate(whole[:0]).shape == (0, len(basis))


def test_wrong_input():
    basis, atoms = ACEBasis(["Cu", "Zr"], order=1), Atoms("CuZr", [(0, 0, 0), (0, 0, 2)])
    stages = Stages(basis, "Cu")
    with pytest.raises(SpeciesError, match="'Au' is not one of the species"):
        Stages(basis, "Au")
    with pytest.raises(TypeError, match="basis must be an ACEBasis"):
        Stages("Cu", "Cu")
    with pytest.raises(SpeciesError, match="centers must be Cu; atom 1 is Zr"):
        stages.sums(atoms, indices=[1])
    with pytest.raises(SpeciesError, match="centers must be Cu; atom 1 is Zr"):
        stages.sums(atoms, neighbors=basis.neighbor_list(atoms))
    with pytest.raises(ValueError, match="exclude each other"):
        stages.sums(atoms, indices=[0], neighbors=basis.neighbor_list(atoms, [0]))
    with pytest.raises(ValueError, match="displacements"):
        stages.sums_jvp(atoms, np.zeros((1, 3)))
    with pytest.raises(ValueError, match="cotangents"):
        stages.sums_pullback(atoms, np.zeros((2, len(stages.one_particle))))
    for call in (stages.features.evaluate, stages.products.evaluate, stages.contraction.evaluate):
        with pytest.raises(ValueError, match="x "):
            call(np.zeros((2, 1000)))
    A = stages.sums(atoms)
    with pytest.raises(ValueError, match="tangents"):
        stages.features.jvp(A, A[:, 1:])
    with pytest.raises(ValueError, match="cotangents"):
        stages.features.pullback(A, A[:, 1:])
