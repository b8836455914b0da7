"""Shares of self-interaction: against features of both bases, and by hand where there are few neighbors."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from acepure import ACEBasis
from acepure.diagnostics import SelfInteraction, self_interaction


def rattled(seed):
    atoms = bulk("Cu", cubic=True) * 2
    atoms.symbols[:7] = "Zr"
    atoms.rattle(0.1, seed=seed)
    return atoms


@pytest.fixture(scope="module")
def basis():
    return ACEBasis(["Cu", "Zr"], rcut=4.0, order=3, totaldegree=3)


def test_shares_of_several_structures(basis):
    structures = [rattled(seed) for seed in range(3)]
    plain = ACEBasis(["Cu", "Zr"], rcut=4.0, order=3, totaldegree=3, canonical=False)
    B_self, B = (np.concatenate(b.descriptors(structures)) for b in (plain, basis))
    result = self_interaction(basis, iter(structures))
    assert result.n_environments == 96 and result.labels == basis.labels
    np.testing.assert_allclose(result.sizes, np.sqrt((B_self**2).mean(axis=0)), rtol=1e-12)
    np.testing.assert_allclose(result.differences, np.sqrt(((B_self - B) ** 2).mean(axis=0)), rtol=1e-12)
    np.testing.assert_allclose(result.by_feature, result.differences / result.sizes, rtol=1e-15)
    assert list(result.by_order) == [1, 2, 3]
    for (order, share), columns in zip(result.by_order.items(), basis.order_slices.values()):
        expected = np.linalg.norm((B_self - B)[:, columns]) / np.linalg.norm(B_self[:, columns])
        assert share == pytest.approx(expected, rel=1e-12, abs=1e-300)
        np.testing.assert_array_equal(np.flatnonzero(result.orders == order), np.arange(len(basis))[columns])
    assert result.by_order[1] == 0.0 < result.by_order[2]


def test_a_pair_has_nothing_but_self_interaction_above_order_one(basis):
    result = self_interaction(basis, Atoms("CuZr", [(0, 0, 0), (0, 0, 2.5)]))
    assert result.by_order[1] == 0.0
    for order in (2, 3):
        assert result.by_order[order] == pytest.approx(1, abs=1e-12)


def test_features_that_are_zero_have_no_share(basis):
    result = self_interaction(basis, [Atoms("Cu"), Atoms("Cu2", [(0, 0, 0), (0, 0, 9)])])
    assert result.n_environments == 3
    assert not result.by_feature.any() and result.by_order == {1: 0.0, 2: 0.0, 3: 0.0}


def test_table():
    result = SelfInteraction(
        np.array([0.0, 3.0, 0.0, 4.0]), np.array([2.0, 10.0, 0.0, 20.0]), 1234, tuple("abcd"), np.array([1, 2, 2, 2])
    )
    lines = str(result).splitlines()
    assert "4 plain features, 1,234 environments" in lines[0]
    share = 100 * 5 / np.sqrt(500)
    assert lines[3].split() == ["ν", "=", "1", "1", "0.0", "%", "0.0", "%", "0.0", "%"]
    assert lines[4].split() == ["ν", "=", "2", "3", f"{share:.1f}", "%", "20.0", "%", "30.0", "%"]


def test_choice_of_atoms(basis):
    atoms = rattled(4)
    some = self_interaction(basis, [atoms], indices=[[3, 9]])
    plain = ACEBasis.from_dict({**basis.to_dict(), "canonical": False}).descriptors(atoms, indices=[3, 9])
    np.testing.assert_allclose(some.sizes, np.sqrt((plain**2).mean(axis=0)), rtol=1e-12)
    sampled = [self_interaction(basis, [atoms], atoms_per_structure=5, seed=1) for _ in range(2)]
    np.testing.assert_array_equal(sampled[0].differences, sampled[1].differences)
    assert sampled[0].n_environments == 5


def test_input_is_refused(basis):
    with pytest.raises(TypeError, match="basis must be an ACEBasis"):
        self_interaction("Cu", [])
    with pytest.raises(ValueError, match="canonical=True is needed"):
        self_interaction(ACEBasis(["Cu"], order=2, totaldegree=2, canonical=False), [Atoms("Cu")])
    with pytest.raises(ValueError, match="structures is empty"):
        self_interaction(basis, [])
    with pytest.raises(ValueError, match="no environments"):
        self_interaction(basis, [Atoms("Cu")], indices=[[]])
