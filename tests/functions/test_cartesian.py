"""Spherical and Cartesian tensors: harmonics of directions, rotations, norms, the axes of e3nn."""

import numpy as np
import pytest
from oracles.atoms import rotation_matrices
from oracles.canonical import real_harmonics
from oracles.structures import random_orthogonal
from scipy.linalg import block_diag

from acepure import from_cartesian, to_cartesian
from acepure.functions.cartesian import RANKS

RNG = np.random.default_rng(0)
DIRECTIONS = RNG.normal(size=(6, 3))
DIRECTIONS /= np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)
SIZES = {"scalar": 1, "vector": 3, "pseudovector": 3, "symmetric": 6, "antisymmetric": 3, "matrix": 9}


@pytest.mark.parametrize("convention", ["acepure", "e3nn"])
@pytest.mark.parametrize("rank", RANKS)
def test_round_trip_and_norm(rank, convention):
    values = RNG.normal(size=(4, 2, SIZES[rank]))
    tensors = to_cartesian(values, rank, convention=convention)
    np.testing.assert_allclose(from_cartesian(tensors, rank, convention=convention), values, atol=1e-14)
    np.testing.assert_allclose((tensors.reshape(4, 2, -1) ** 2).sum(-1), (values**2).sum(-1), rtol=1e-13)


def test_vectors_and_matrices_of_directions():
    y = real_harmonics(DIRECTIONS, 2)
    np.testing.assert_allclose(to_cartesian(y[:, 1:4]), np.sqrt(3 / (4 * np.pi)) * DIRECTIONS, atol=1e-14)
    quadrupole = to_cartesian(np.concatenate([np.zeros((6, 1)), y[:, 4:]], axis=1), "0e+2e")
    expected = np.sqrt(15 / (8 * np.pi)) * (DIRECTIONS[:, :, None] * DIRECTIONS[:, None] - np.eye(3) / 3)
    np.testing.assert_allclose(quadrupole, expected, atol=1e-14)


def test_axes_of_e3nn():
    """Its published harmonics of degree 1 and 2, in its order, up to a common factor."""
    x, y, z = DIRECTIONS.T
    of_degree_2 = [np.sqrt(3) * x * z, np.sqrt(3) * x * y, y**2 - (x**2 + z**2) / 2]
    of_degree_2 += [np.sqrt(3) * y * z, np.sqrt(3) / 2 * (z**2 - x**2)]
    np.testing.assert_allclose(to_cartesian(DIRECTIONS, "1o", convention="e3nn"), DIRECTIONS, atol=1e-15)
    values = np.stack([np.zeros(6), *of_degree_2], axis=1)
    expected = np.sqrt(3 / 2) * (DIRECTIONS[:, :, None] * DIRECTIONS[:, None] - np.eye(3) / 3)
    np.testing.assert_allclose(to_cartesian(values, "symmetric", convention="e3nn"), expected, atol=1e-14)


@pytest.mark.parametrize("improper", [False, True])
def test_rotations_commute(improper):
    """Q T Qᵀ of a general matrix is D of its components; a pseudovector has the sign of det Q."""
    Q = random_orthogonal(RNG, improper)
    D = rotation_matrices(Q, 2)
    matrix = RNG.normal(size=(3, 3))
    whole = block_diag(D[0], np.linalg.det(Q) * D[1], D[2])
    np.testing.assert_allclose(from_cartesian(Q @ matrix @ Q.T, "matrix"), whole @ from_cartesian(matrix, "matrix"))
    v, w = RNG.normal(size=(2, 3))
    turned = np.cross(Q @ v, Q @ w)
    np.testing.assert_allclose(
        from_cartesian(turned, "1e"), np.linalg.det(Q) * D[1] @ from_cartesian(np.cross(v, w), "1e")
    )
    antisymmetric = np.outer(v, w) - np.outer(w, v)
    np.testing.assert_allclose(
        from_cartesian(antisymmetric, "antisymmetric"), np.sqrt(2) * from_cartesian(np.cross(v, w))
    )


@pytest.mark.parametrize(
    "function, values, arguments, error, words",
    [
        (to_cartesian, np.zeros((2, 4)), {}, ValueError, r"\(\.\.\., 3\)"),
        (to_cartesian, np.zeros(3), {"rank": "tensor"}, ValueError, "rank"),
        (to_cartesian, np.zeros(3), {"rank": 2}, TypeError, "rank"),
        (to_cartesian, np.zeros(3), {"convention": "x"}, ValueError, "convention"),
        (to_cartesian, [np.nan, 0, 0], {}, ValueError, "finite"),
        (from_cartesian, np.zeros((3, 2)), {}, ValueError, "shape"),
        (from_cartesian, np.arange(9.0).reshape(3, 3), {"rank": "symmetric"}, ValueError, "must be symmetric"),
        (from_cartesian, np.eye(3), {"rank": "antisymmetric"}, ValueError, "must be antisymmetric"),
    ],
)
def test_refusals(function, values, arguments, error, words):
    with pytest.raises(error, match=words):
        function(values, **arguments)
