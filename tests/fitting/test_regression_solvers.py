"""Solvers against dense formulas of NumPy and SciPy, on matrices that are small enough to be inverted."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from acepure.fitting.solvers import SOLVERS, SolverProblem, solve


def make(n_rows=40, n=8, noise=0.1, seed=0, singular_values=None):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, n))
    if singular_values is not None:
        U, _, Vt = np.linalg.svd(X, full_matrices=False)
        X = U * singular_values @ Vt
    y = X @ rng.standard_normal(n) + noise * rng.standard_normal(n_rows)
    R = np.linalg.qr(np.column_stack([X, y]), mode="r")
    return X, y, SolverProblem.from_triangle(R, n_rows)


def test_least_squares():
    X, y, problem = make()
    solution = solve(problem, "qr")
    expected = np.linalg.lstsq(X, y, rcond=None)[0]
    np.testing.assert_allclose(solution.u, expected, rtol=1e-12)
    residual = y - X @ expected
    assert solution.noise == pytest.approx(np.sqrt(residual @ residual / (40 - 8)), rel=1e-10)


def test_least_norm_where_columns_depend_on_each_other():
    X, y, _ = make()
    X = np.column_stack([X, X[:, :2].sum(axis=1)])
    problem = SolverProblem.from_triangle(np.linalg.qr(np.column_stack([X, y]), mode="r"), len(y))
    solution = solve(problem, "qr")
    np.testing.assert_allclose(solution.u, np.linalg.pinv(X) @ y, rtol=1e-10, atol=1e-12)
    assert "1 of 9 directions" in solution.summary


@pytest.mark.parametrize("alpha", [1e-6, 1e-2, 1.0])
def test_ridge_and_damped_lsqr(alpha):
    X, y, problem = make()
    lam = alpha * np.linalg.norm(X, 2) ** 2
    expected = np.linalg.solve(X.T @ X + lam * np.eye(8), X.T @ y)
    np.testing.assert_allclose(solve(problem, "ridge", alpha=alpha).u, expected, rtol=1e-11)
    np.testing.assert_allclose(solve(problem, "lsqr", alpha=alpha, tolerance=1e-14).u, expected, rtol=1e-9)


def test_truncated_svd():
    s = np.array([1.0, 0.5, 0.1, 1e-2, 1e-3, 1e-5, 1e-9, 1e-11])
    X, y, problem = make(singular_values=s)
    solution = solve(problem, "svd", rcond=1e-4)
    np.testing.assert_allclose(solution.u, np.linalg.pinv(X, rcond=1e-4) @ y, rtol=1e-8)
    assert "5 of 8 directions" in solution.summary


def test_lsqr_says_when_it_was_stopped():
    problem = make(singular_values=np.logspace(0, -6, 8))[2]
    assert "stopped" in solve(problem, "lsqr", iterations=2).summary
    assert "stopped" not in solve(problem, "lsqr").summary


@pytest.mark.parametrize("lam", [1e-3, 0.3, 20.0])
def test_evidence_is_that_of_the_normal_distribution(lam):
    """Differences of log p(y | λ) at the best σ, against the density of y itself."""
    X, y, problem = make()

    def exact(lam):
        unit = np.eye(len(y)) + X @ X.T / lam
        sigma2 = y @ np.linalg.solve(unit, y) / len(y)
        return multivariate_normal(cov=sigma2 * unit).logpdf(y)

    ours = problem.log_evidence(lam) - problem.log_evidence(1.0)
    assert ours == pytest.approx(exact(lam) - exact(1.0), rel=1e-9)


def test_bayesian_regression_takes_the_largest_evidence():
    X, y, problem = make(noise=1.0)
    solution = solve(problem, "blr")
    finer = [problem.log_evidence(lam) for lam in solution.lam * np.logspace(-4, 4, 2001)]
    assert problem.log_evidence(solution.lam) >= max(finer) - 1e-6
    np.testing.assert_allclose(solution.u, np.linalg.solve(X.T @ X + solution.lam * np.eye(8), X.T @ y), rtol=1e-10)
    assert solve(problem, "auto").lam == solution.lam


def test_bayesian_regression_finds_noise_and_size():
    """Of data drawn from the model itself, within three standard errors."""
    rng = np.random.default_rng(3)
    n, n_rows, sigma, tau = 200, 4000, 0.3, 2.0
    X = rng.standard_normal((n_rows, n))
    y = X @ (tau * rng.standard_normal(n)) + sigma * rng.standard_normal(n_rows)
    solution = solve(SolverProblem.from_triangle(np.linalg.qr(np.column_stack([X, y]), mode="r"), n_rows), "blr")
    assert solution.noise == pytest.approx(sigma, rel=3 / np.sqrt(2 * n_rows))
    assert solution.noise / np.sqrt(solution.lam) == pytest.approx(tau, rel=3 / np.sqrt(2 * n))


@pytest.mark.parametrize(
    ("solver", "options", "error", "words"),
    [
        ("newton", {}, ValueError, "solver must be one of"),
        ("qr", {"alpha": 1.0}, TypeError, "takes no options"),
        ("ridge", {"rcond": 1.0}, TypeError, "it takes alpha"),
        ("ridge", {"alpha": -1.0}, ValueError, "alpha"),
        ("svd", {"rcond": "small"}, TypeError, "rcond"),
    ],
)
def test_wrong_options(solver, options, error, words):
    with pytest.raises(error, match=words):
        solve(make()[2], solver, **options)


def test_relevance_determination_of_the_triangle_is_that_of_all_rows():
    linear_model = pytest.importorskip("sklearn.linear_model")
    X, y, problem = make(n_rows=400, n=12, noise=0.5)
    y = y - X[:, 6:] @ np.linalg.lstsq(X, y, rcond=None)[0][6:]  # the last six play no role
    problem = SolverProblem.from_triangle(np.linalg.qr(np.column_stack([X, y]), mode="r"), 400)
    solution = solve(problem, "ard")
    expected = linear_model.ARDRegression(fit_intercept=False).fit(X, y)
    np.testing.assert_allclose(solution.u, expected.coef_, rtol=1e-2, atol=1e-4)
    assert solution.noise == pytest.approx(expected.alpha_**-0.5, rel=1e-3)
    kept = np.flatnonzero(expected.coef_)
    covariance = (solution.root @ solution.root.T)[np.ix_(kept, kept)]
    np.testing.assert_allclose(covariance, expected.sigma_, rtol=5e-2, atol=2e-5)


def test_all_solvers_agree_on_easy_data():
    problem = make(noise=0.0)[2]
    expected = solve(problem, "qr").u
    for solver in sorted(set(SOLVERS) - {"ard"}):
        options = {"alpha": 1e-15} if solver == "ridge" else {}
        np.testing.assert_allclose(solve(problem, solver, **options).u, expected, rtol=1e-8, err_msg=solver)
