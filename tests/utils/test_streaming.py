"""R factors against dense QR and exact Gram matrices; singular values against exact symmetric functions."""

from fractions import Fraction

import numpy as np
import pytest

from acepure._utils.tall_qr import RFactor, jacobi_svd, singular_values

EPS = np.finfo(float).eps
#: 2^±498, about 1e±150, mixed with scales in between; powers of two, so that scaling columns is exact.
WILD = 2.0 ** np.array([498, -498, 0, 300, -300, 7, -498])


def reduced(rows, pieces=1):
    factor = RFactor(rows.shape[1])
    for piece in np.array_split(rows, pieces):
        factor.add(piece)
    return factor


def dense(rows):
    """R by NumPy, with the signs of ours."""
    R = np.linalg.qr(rows, mode="r")
    return R * np.where(np.diag(R) < 0, -1.0, 1.0)[:, None]


@pytest.mark.parametrize(("n_rows", "n_columns"), [(1, 1), (7, 7), (200, 5), (256, 3), (5000, 20), (600, 290)])
def test_R_is_that_of_all_rows(n_rows, n_columns):
    rows = np.random.default_rng(0).normal(size=(n_rows, n_columns))
    factor = reduced(rows, 3)
    assert factor.n_rows == n_rows
    R = factor.R
    assert (np.diag(R) >= 0).all() and not np.tril(R, -1).any()
    # With this diagonal RᵀR = AᵀA has one solution.
    lengths = np.linalg.norm(rows, axis=0)
    np.testing.assert_allclose(
        (R.T @ R) / np.outer(lengths, lengths), rows.T @ rows / np.outer(lengths, lengths), atol=1e-13
    )


def test_bits_depend_on_rows_and_order_alone():
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(5000, 6)) * WILD[:6]
    expected = reduced(rows).R
    for pieces in (2, 7, 5000):
        np.testing.assert_array_equal(reduced(rows, pieces).R, expected)
    looked_at = RFactor(6)
    for piece in np.split(rows, np.sort(rng.integers(0, 5000, 30))):  # some are empty
        looked_at.add(piece)
        _ = looked_at.R
    np.testing.assert_array_equal(looked_at.R, expected)
    np.testing.assert_array_equal(looked_at.R, expected)


def test_columns_of_wild_scales():
    rows = np.random.default_rng(2).normal(size=(3000, len(WILD)))
    for scales in (WILD, WILD[::-1]):
        np.testing.assert_allclose(reduced(rows * scales).R / scales, dense(rows), rtol=0, atol=1e-12)


def test_fewer_rows_than_columns():
    """RᵀR = AᵀA, exactly known as integers."""
    rows = np.random.default_rng(3).integers(-9, 10, size=(4, 9)).astype(float)
    R = reduced(rows).R
    assert R.shape == (9, 9)
    np.testing.assert_allclose(R.T @ R, rows.T @ rows, rtol=0, atol=100 * EPS * (rows.T @ rows).max())


def test_least_squares_from_R_alone():
    """The last column holds right-hand sides: R x = r, and the corner is the residual."""
    rng = np.random.default_rng(4)
    A, y = rng.normal(size=(2500, 8)), rng.normal(size=2500)
    R = reduced(np.column_stack([A, y]), 4).R
    x, residual, _, _ = np.linalg.lstsq(A, y, rcond=None)
    np.testing.assert_allclose(np.linalg.solve(R[:-1, :-1], R[:-1, -1]), x, rtol=1e-10, atol=1e-14)
    assert R[-1, -1] ** 2 == pytest.approx(residual[0], rel=1e-12)


def test_merging():
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(4000, 6)) * WILD[:6]
    expected = reduced(rows).R / WILD[:6]
    for edges in ([2000], [100, 3900], [256, 256, 512]):  # one part is empty
        parts = [reduced(part) for part in np.split(rows, edges)]
        whole = RFactor(6)
        for part in parts:
            before = part.R
            whole.merge(part)
            np.testing.assert_array_equal(part.R, before)
        assert whole.n_rows == 4000
        np.testing.assert_allclose(whole.R / WILD[:6], expected, rtol=0, atol=1e-12)
        whole.add(rows[:7])  # goes on after merging
        np.testing.assert_allclose(whole.R / WILD[:6], dense(np.vstack([rows, rows[:7]]) / WILD[:6]), atol=1e-12)


def test_the_order_of_merging_fixes_the_bits():
    parts = np.split(np.random.default_rng(6).normal(size=(600, 5)), 6)

    def tree():
        factors = [reduced(part) for part in parts]
        while len(factors) > 1:
            pairs = list(zip(factors[::2], factors[1::2]))
            for first, second in pairs:
                first.merge(second)
            factors = [first for first, _ in pairs] + factors[2 * len(pairs) :]
        return factors[0].R

    np.testing.assert_array_equal(tree(), tree())


def test_no_rows():
    assert RFactor(3).n_rows == 0
    np.testing.assert_array_equal(RFactor(3).R, np.zeros((3, 3)))


def test_input_is_refused_and_left_out():
    factor = reduced(np.eye(3))
    for wrong, error, message in (
        ([[1.0, np.nan, 2.0]], ValueError, "rows must be finite; row 0"),
        ([[1.0, 2.0]], ValueError, r"rows must have shape \(any, 3\); got \(1, 2\)"),
        ([1.0, 2.0, 3.0], ValueError, "rows must have shape"),
        ([["a", "b", "c"]], TypeError, "rows must hold real numbers"),
    ):
        with pytest.raises(error, match=message):
            factor.add(wrong)
    assert factor.n_rows == 3
    np.testing.assert_array_equal(factor.R, np.eye(3))
    with pytest.raises(TypeError, match="other must be an RFactor"):
        factor.merge(np.eye(3))
    with pytest.raises(ValueError, match="other has 2 columns, this factor has 3"):
        factor.merge(RFactor(2))
    with pytest.raises(ValueError, match="n_columns must be an integer >= 1"):
        RFactor(0)


def test_norms_that_no_float_holds_are_refused():
    with pytest.raises(ValueError, match="beyond the largest float64"):
        _ = reduced(np.full((4, 1), 1.5e308)).R


# --- singular values --------------------------------------------------------------------------------------------------


def gram_symmetric_functions(matrix):
    """e_k of the eigenvalues of AᵀA, exactly: the characteristic polynomial by Faddeev and LeVerrier."""
    A = [[Fraction(x) for x in row] for row in matrix]
    n = len(A[0])
    gram = [[sum(row[i] * row[j] for row in A) for j in range(n)] for i in range(n)]
    M = [[Fraction(0)] * n for _ in range(n)]
    result, c = [], Fraction(1)
    for k in range(1, n + 1):
        M = [[sum(gram[i][t] * M[t][j] for t in range(n)) + c * (i == j) for j in range(n)] for i in range(n)]
        c = -sum(gram[i][t] * M[t][i] for i in range(n) for t in range(n)) / k
        result.append((-1) ** k * c)
    return result


def symmetric_functions(values):
    """e_k of some numbers."""
    result = [Fraction(1)] + [Fraction(0)] * len(values)
    for value in values:
        for k in range(len(values), 0, -1):
            result[k] += value * result[k - 1]
    return result[1:]


@pytest.mark.parametrize("step", [0, 3, 20, 80, 160])
@pytest.mark.parametrize("seed", range(3))
def test_singular_values_are_right_relative_to_themselves(step, seed):
    """Columns of scales 1, 2^-step, 4^-step, ...: e_k is Π of the first k values squared, but for smaller terms.

    So where the scales differ all e_k to 1e-13 mean all values to 1e-13, down to 2^-800 of the largest.
    """
    rng = np.random.default_rng(seed)
    columns = rng.permutation(6)
    matrix = (rng.integers(-9, 10, size=(6, 6)) + 30 * np.eye(6)) * 2.0 ** (-step * columns)
    values = singular_values(matrix)
    assert (np.diff(values) <= 0).all()
    for e, exact in zip(symmetric_functions([Fraction(v) ** 2 for v in values]), gram_symmetric_functions(matrix)):
        assert abs(e / exact - 1) < 1e-13


def test_orthogonal_columns_of_wild_scales():
    Q = np.linalg.qr(np.random.default_rng(7).normal(size=(3000, len(WILD))))[0]
    expected = np.sort(np.abs(WILD))[::-1]
    np.testing.assert_allclose(singular_values(Q * WILD), expected, rtol=1e-13)
    np.testing.assert_allclose(singular_values(reduced(Q * WILD, 5).R), expected, rtol=1e-13)


def test_singular_values_of_ordinary_matrices():
    rng = np.random.default_rng(8)
    for shape in ((1, 1), (5, 1), (40, 40), (300, 30)):
        matrix = rng.normal(size=shape)
        np.testing.assert_allclose(singular_values(matrix), np.linalg.svd(matrix, compute_uv=False), rtol=1e-12)


def test_singular_values_of_singular_matrices():
    np.testing.assert_array_equal(singular_values(np.zeros((3, 2))), [0, 0])
    np.testing.assert_array_equal(singular_values([[0.0, 2.0], [0.0, 0.0]]), [2, 0])
    values = singular_values(np.ones((5, 3)))
    assert values[0] == pytest.approx(np.sqrt(15), rel=1e-14) and values[1] < 1e-15
    assert singular_values(np.empty((4, 0))).shape == (0,)


@pytest.mark.parametrize("scales", [np.ones(7), WILD])
def test_singular_vectors(scales):
    """V is orthogonal and the columns of A V are, with lengths σ; relative to each length, whatever the scales."""
    matrix = np.random.default_rng(9).normal(size=(7, 7)) * scales
    values, V = jacobi_svd(matrix)
    np.testing.assert_allclose(values, singular_values(matrix), rtol=1e-12)
    np.testing.assert_allclose(V.T @ V, np.eye(7), atol=1e-14)
    if (scales == 1).all():
        images = matrix @ V / values
        np.testing.assert_allclose(images.T @ images, np.eye(7), atol=1e-12)
    else:  # the vector of the largest value is the largest column, and so on down
        np.testing.assert_array_equal(np.abs(V).argmax(axis=0)[:4], np.argsort(-scales, kind="stable")[:4])


def test_singular_values_refuse():
    with pytest.raises(ValueError, match="at least as many rows as columns"):
        singular_values(np.ones((2, 3)))
    with pytest.raises(ValueError, match="matrix must be finite"):
        jacobi_svd([[np.inf]])
