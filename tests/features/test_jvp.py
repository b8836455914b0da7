"""Features and their derivatives along one motion of the atoms, against Jacobians of pairs and finite differences."""

import numpy as np
import pytest
from ase import Atoms
from cases.derivatives import NEAR, large_structure, system
from cases.gradients import ROUND_OFF, assert_derivatives, random_cluster
from cases.radial import Gaussians
from oracles.structures import STEP, STEP_WEIGHTS, STEPS

from acepure import ACEBasis, IdealGas, MeanCovariance, VerletList, jvp, pair_jacobian, pullback
from acepure.errors import SpeciesError
from acepure.neighbors import blocks


def motion(atoms, seed=0):
    """Random w and ε, about 1 Å and 0.3."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(len(atoms), 3)), 0.3 * rng.normal(size=(3, 3))


def of_pairs(basis, atoms, w, strain):
    """Σ_j J_ij (w_j − w_i + ε r_ij), and the same sum of absolute terms, both (n_atoms, n_features)."""
    jacobian = pair_jacobian(basis, atoms)
    moves = w[jacobian.neighbors] - w[jacobian.centers] + jacobian.vectors @ strain.T
    total, scale = np.zeros((2, len(atoms), len(basis)))
    np.add.at(total, jacobian.centers, np.einsum("paf,pa->pf", jacobian.values, moves))
    np.add.at(scale, jacobian.centers, np.einsum("paf,pa->pf", abs(jacobian.values), abs(moves)))
    return total, scale


def assert_jvp(basis, atoms, seed=0):
    w, strain = motion(atoms, seed)
    features, derivatives = jvp(basis, atoms, w, strain)
    expected, scale = of_pairs(basis, atoms, w, strain)
    np.testing.assert_allclose(derivatives, expected, rtol=0, atol=ROUND_OFF * scale.max())
    reference = basis.descriptors(atoms)
    np.testing.assert_allclose(features, reference, rtol=0, atol=ROUND_OFF * abs(reference).max())
    assert abs(expected).max() > 0


# --- against the derivatives of pairs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("canonical", [True, False], ids=["canonical", "self-interacting"])
@pytest.mark.parametrize("name", NEAR)
def test_equals_the_contracted_jacobian(name, canonical):
    atoms, basis = system(name, order=3, totaldegree=[5, 4, 3], canonical=canonical)
    assert_jvp(basis, atoms)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_every_order(order):
    atoms, basis = system("alloy", order=order, totaldegree=4)
    assert_jvp(basis, atoms)


@pytest.mark.parametrize("l_max", [0, 1, 2, 3, 5, 9])
def test_every_number_of_harmonics(l_max):
    """1 to 13 blocks of eight harmonics, which the kernel takes by fours, twos and ones."""
    atoms, basis = system("wire", order=2, n_max=2, l_max=l_max)
    assert_jvp(basis, atoms)


@pytest.mark.parametrize("canonical", [True, False], ids=["centered", "shifted"])
def test_centered_bases(canonical):
    atoms, basis = system("alloy", order=3, totaldegree=4, canonical=canonical)
    assert_jvp(basis.centered(IdealGas(0.06)), atoms)


def test_whitened_radial_functions():
    """Tabulated, one set for every l."""
    atoms = large_structure()
    basis = ACEBasis(["Cu", "Zr"], rcut=4.0, order=2, totaldegree=3, canonical=False)
    assert_jvp(basis.centered(MeanCovariance.from_structures([atoms], basis)), atoms[:40])


def test_radial_functions_without_kernel():
    assert_jvp(ACEBasis(["Cu", "Zr"], radial=Gaussians(), order=2, totaldegree=3), random_cluster())


def test_transposed_to_pullback():
    """Σ g · Ḃ = Σ w · ∂E/∂r + ε · ∂E/∂ε with E = Σ g B."""
    atoms, basis = system("skewed cell", order=3, totaldegree=5)
    w, strain = motion(atoms)
    g = np.random.default_rng(1).normal(size=(len(atoms), len(basis)))
    derivatives = jvp(basis, atoms, w, strain)[1]
    by_position, by_strain = pullback(basis, atoms, g)
    scale = abs(g * derivatives).sum()
    assert abs((g * derivatives).sum() - (w * by_position).sum() - (strain * by_strain).sum()) < ROUND_OFF * scale


# --- against finite differences ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["NaCl", "slab", "one atom, bcc", "skewed cell", "alloy"])
def test_equals_central_differences(name):
    atoms, basis = system(name, order=3, totaldegree=[5, 4, 3])
    w, strain = motion(atoms)
    w, strain = 0.5 * w / abs(w).max(), 0.1 * strain / abs(strain).max()  # no pair may cross the cutoff

    def moved(t):
        bent = np.eye(3) + t * strain
        other = atoms.copy()
        other.set_cell(atoms.cell.array @ bent.T)
        other.positions = (atoms.positions @ bent.T) + t * w
        return basis.descriptors(other)

    differences = sum(weight * moved(k * STEP) for k, weight in zip(STEPS, STEP_WEIGHTS)) / STEP
    assert_derivatives(basis, jvp(basis, atoms, w, strain)[1], differences)


def test_rotations_and_translations_change_nothing():
    """A rotation of a cluster, by moving its atoms and as a strain without symmetric part."""
    atoms = random_cluster()
    basis = ACEBasis(["Cu", "Zr"], rcut=4.5, order=3, totaldegree=5)
    spin = np.array([[0, -1.0, 0.3], [1, 0, 0.5], [-0.3, -0.5, 0]])
    still, forward = np.zeros((len(atoms), 3)), np.tile([1.0, 2.0, 3.0], (len(atoms), 1))
    scale = of_pairs(basis, atoms, still, spin)[1].max()
    for w, strain in ((forward, None), (still, spin), (atoms.positions @ spin.T, None), (forward, spin)):
        np.testing.assert_allclose(jvp(basis, atoms, w, strain)[1], 0, rtol=0, atol=ROUND_OFF * scale)


# --- centers, lists, threads ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_no_bit(threads):
    atoms = large_structure()
    basis = ACEBasis(["Cu", "Zr"], rcut=4.0, order=3, totaldegree=4)
    w, strain = motion(atoms)
    for one, several in zip(
        jvp(basis, atoms, w, strain, num_threads=1), jvp(basis, atoms, w, strain, num_threads=threads)
    ):
        np.testing.assert_array_equal(one, several)


def test_subsets_and_lists():
    atoms = large_structure()
    basis = ACEBasis(["Cu", "Zr"], rcut=4.0, order=2, totaldegree=4)
    w, strain = motion(atoms)
    features, derivatives = jvp(basis, atoms, w, strain)
    chosen = [70, 3, -1, 4]
    for part in (
        jvp(basis, atoms, w, strain, indices=chosen),
        jvp(basis, atoms, w, strain, neighbors=basis.neighbor_list(atoms, chosen)),
    ):
        np.testing.assert_allclose(part[0], features[chosen], rtol=0, atol=ROUND_OFF * abs(features).max())
        np.testing.assert_allclose(part[1], derivatives[chosen], rtol=0, atol=ROUND_OFF * abs(derivatives).max())
    skin = jvp(basis, atoms, w, strain, neighbors=VerletList(basis, skin=0.7).update(atoms))
    np.testing.assert_allclose(skin[1], derivatives, rtol=0, atol=ROUND_OFF * abs(derivatives).max())


def test_blocks_of_centers(monkeypatch):
    atoms = large_structure()
    basis = ACEBasis(["Cu", "Zr"], rcut=3.0, order=2, totaldegree=4)
    w, strain = motion(atoms)
    whole = jvp(basis, atoms, w, strain)
    monkeypatch.setattr(blocks, "CENTERS_PER_BLOCK", 60)
    assert len(list(basis.descriptor_blocks(atoms))) > 1
    for a, b in zip(jvp(basis, atoms, w, strain), whole):
        np.testing.assert_allclose(a, b, rtol=0, atol=ROUND_OFF * abs(b).max())


def test_lonely_atoms_and_no_centers():
    basis, atoms = ACEBasis(["Cu"], order=2, totaldegree=3), Atoms("Cu2", [(0, 0, 0), (0, 0, 9)])
    for indices, n_centers in ((None, 2), ([], 0)):
        features, derivatives = jvp(basis, atoms, np.ones((2, 3)), indices=indices)
        assert features.shape == derivatives.shape == (n_centers, len(basis))
        assert not features.any() and not derivatives.any()


# --- input ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"displacements": np.zeros((3, 3))}, ValueError, "displacements"),
        ({"displacements": np.full((2, 3), np.nan)}, ValueError, "displacements"),
        ({"displacements": "north"}, TypeError, "displacements"),
        ({"strain": np.zeros(6)}, ValueError, "strain"),
        ({"indices": [5]}, IndexError, "5"),
        ({"atoms": Atoms("Au2", [(0, 0, 0), (0, 0, 2)])}, SpeciesError, "Au"),
        ({"basis": "Cu"}, TypeError, "basis must be an ACEBasis"),
        ({"num_threads": 0}, ValueError, "num_threads"),
    ],
)
def test_wrong_input(arguments, error, message):
    given = {
        "basis": ACEBasis(["Cu"], order=1),
        "atoms": Atoms("Cu2", [(0, 0, 0), (0, 0, 2)]),
        "displacements": np.zeros((2, 3)),
        **arguments,
    }
    with pytest.raises(error, match=message):
        jvp(**given)


def test_indices_and_a_list_exclude_each_other():
    atoms, basis = Atoms("Cu2", [(0, 0, 0), (0, 0, 2)]), ACEBasis(["Cu"], order=1)
    with pytest.raises(ValueError, match="indices and neighbors exclude each other"):
        jvp(basis, atoms, np.zeros((2, 3)), indices=[0], neighbors=basis.neighbor_list(atoms))
