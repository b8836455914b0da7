"""Components with convention="e3nn" are those of e3nn itself, where it is installed."""

import numpy as np
import pytest

from acepure import from_cartesian, to_cartesian
from acepure.functions.harmonics import RealSphericalHarmonics

torch = pytest.importorskip("torch", reason="e3nn needs it")
o3 = pytest.importorskip("e3nn.o3", reason="e3nn is not installed")
io = pytest.importorskip("e3nn.io", reason="e3nn is not installed")

DIRECTIONS = np.random.default_rng(0).normal(size=(7, 3))


@pytest.fixture(autouse=True)
def double_precision():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def test_harmonics_with_other_axes_are_those_of_e3nn():
    ours = RealSphericalHarmonics(4).evaluate(DIRECTIONS[:, [2, 0, 1]])
    for l in range(5):
        theirs = o3.spherical_harmonics(l, torch.tensor(DIRECTIONS), normalize=True, normalization="integral").numpy()
        np.testing.assert_allclose(ours[:, l * l : (l + 1) ** 2], theirs, atol=1e-14)


@pytest.mark.parametrize("rank, formula", [("symmetric", "ij=ji"), ("matrix", "ij")])
def test_matrices_have_the_components_of_e3nn(rank, formula):
    values = np.random.default_rng(1).normal(size=(7, 3, 3))
    if rank == "symmetric":
        values = values + np.swapaxes(values, 1, 2)
    theirs = io.CartesianTensor(formula).from_cartesian(torch.tensor(values)).numpy()
    np.testing.assert_allclose(from_cartesian(values, rank, convention="e3nn"), theirs, atol=1e-14)
    np.testing.assert_allclose(to_cartesian(theirs, rank, convention="e3nn"), values, atol=1e-14)
