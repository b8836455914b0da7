"""Derivatives of features without pairs, at the cutoff, at short distances."""

import numpy as np
import pytest
from ase import Atoms
from cases.gradients import cluster
from cases.radial import Gaussians

from acepure import ACEBasis, pair_jacobian, pullback, summed_gradients
from acepure.functions import CosineEnvelope, PolynomialEnvelope, PolynomialRadialBasis, SmoothEnvelope


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
