"""Matrices in tiles against dense ones."""

import numpy as np
import pytest

from acepure._utils.tiled import TiledMatrix


@pytest.mark.parametrize("n", [1, 7, 8, 9, 37])
@pytest.mark.parametrize("on_disk", [False, True])
def test_sums_factors_and_solutions(tmp_path, n, on_disk):
    rng = np.random.default_rng(n)
    X, b = rng.normal(size=(60, n)), rng.normal(size=(n, 3))
    A = TiledMatrix(n, tmp_path if on_disk else None, tile=8)
    A.add_rows(X[:31], 2)
    A.add_rows(X[31:], 1)
    np.testing.assert_allclose(A.dense(), X.T @ X, rtol=0, atol=1e-13 * 60)
    np.testing.assert_array_equal(A.diagonal(), np.diag(A.dense()))
    d = rng.uniform(0.5, 2.0, n)
    A.scale(d)
    shifted = X.T @ X * np.outer(d, d) + 0.3 * np.eye(n)
    R = A.cholesky(0.3, 2)
    np.testing.assert_allclose(R.dense_upper().T @ R.dense_upper(), shifted, rtol=0, atol=1e-12 * 60)
    np.testing.assert_allclose(shifted @ R.solve(b), b, rtol=0, atol=1e-10)
    np.testing.assert_allclose(R.dense_upper() @ R.solve_triangular(b), b, rtol=0, atol=1e-11)
    np.testing.assert_allclose(R.solve(b)[:, 0], R.solve(b[:, 0]), rtol=1e-10, atol=1e-14)
    assert len(list(tmp_path.iterdir())) == 2 * on_disk


def test_same_bits_for_any_number_of_threads():
    X = np.random.default_rng(0).normal(size=(100, 50))
    results = []
    for num_threads in (1, 3):
        A = TiledMatrix(50, tile=8)
        A.add_rows(X, num_threads)
        results.append(A.cholesky(0.0, num_threads).dense_upper())
    np.testing.assert_array_equal(*results)


def test_what_is_not_positive_is_refused():
    A = TiledMatrix(3)
    A.add_rows(np.ones((2, 3)), 1)
    with pytest.raises(np.linalg.LinAlgError):
        A.cholesky(-1.0, 1)
    out = TiledMatrix(3)
    assert A.cholesky(1.0, 1, out) is out
