"""Solvers of min |X u − y|², given the R factor of (X | y): no row is needed any more.

    qr       least squares, of least norm where columns depend on each other
    ridge    + λ |u|²
    svd      singular values below a part of the largest are left out
    lsqr     iterations that are stopped, damped by λ
    blr      ridge with λ and noise from the evidence: Bayesian linear regression
    cholesky ridge of columns of equal length, for thousands of unknowns: from the rows, see `normal_equations.py`
    ard      a λ of its own for every coefficient, from the evidence: most become zero (scikit-learn)

u are the coefficients times the prior, in coordinates free of constraints; see `system.py`.

The evidence is that of y = X u + σ ε with u ~ N(0, σ²/λ): with N rows, singular values s and ρ(λ) the least value of
|X u − y|² + λ |u|², log p = −N/2 log ρ(λ) − ½ Σ log(1 + s²/λ) + const, σ² = ρ/N.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from scipy.linalg import svd
from scipy.optimize import minimize_scalar
from scipy.sparse.linalg import lsqr

from acepure._utils.checks import number, one_of

#: The solver that takes no triangle.
LARGE = "cholesky"
# Singular values below this part of the largest are rounding.
_RANK = 1e-13


@dataclass(frozen=True, eq=False)
class SolverProblem:
    """min |X u − y|² by its triangle: X = U diag(s) Vᵀ.

    Attributes
    ----------
    s : numpy.ndarray, shape (n,)
        Singular values, falling.
    V : numpy.ndarray, shape (n, n)
        Right singular vectors in columns.
    z : numpy.ndarray, shape (n,)
        Uᵀy.
    rest : float
        |y|² − |z|², what no u can fit.
    n_rows : int
    X, y : numpy.ndarray
        The triangle itself.
    """

    s: np.ndarray
    V: np.ndarray
    z: np.ndarray
    rest: float
    n_rows: int
    X: np.ndarray
    y: np.ndarray

    @classmethod
    def from_triangle(cls, R: np.ndarray, n_rows: int) -> SolverProblem:
        """Make it from the R factor of (X | y)."""
        X, y = R[:-1, :-1], R[:-1, -1]
        U, s, Vt = svd(X)
        return cls(s, Vt.T, U.T @ y, float(R[-1, -1] ** 2), n_rows, X, y)

    def ridge(self, lam: float) -> np.ndarray:
        """u of least |X u − y|² + λ |u|²."""
        return self.V @ (self.s * self.z / (self.s**2 + lam))

    def penalized(self, lam: float) -> float:
        """ρ(λ), the least |X u − y|² + λ |u|²."""
        return self.rest + float(np.sum(lam / (self.s**2 + lam) * self.z**2))

    def posterior_root(self, lam: float, noise: float, rcond: float = _RANK) -> np.ndarray:
        """A root of σ² (XᵀX + λ)⁻¹; directions that the data do not determine have no variance.

        These are those below `rcond` times the largest √(s² + λ), which a solver may have left out.
        """
        spread = np.sqrt(self.s**2 + lam)
        usable = spread > rcond * spread[0]
        return self.V * np.where(usable, noise / np.where(usable, spread, 1.0), 0.0)

    def log_evidence(self, lam: float) -> float:
        """log p(y) up to a constant, the noise being the best."""
        return -0.5 * self.n_rows * np.log(self.penalized(lam)) - 0.5 * float(np.sum(np.log1p(self.s**2 / lam)))


@dataclass(frozen=True, eq=False)
class Solution:
    """What a solver found.

    Attributes
    ----------
    u : numpy.ndarray, shape (n,)
    lam : float
        λ in use; 0 without.
    noise : float
        σ, root mean square of the weighted residuals, for the posterior.
    summary : str
        What was done.
    root : numpy.ndarray, shape (n, n)
        The covariance of u is root rootᵀ.
    """

    u: np.ndarray
    lam: float
    noise: float
    summary: str
    root: np.ndarray


def solve(problem: SolverProblem, solver: str = "auto", **options: float) -> Solution:
    """Run a solver by name.

    Parameters
    ----------
    problem : SolverProblem
    solver : {"auto", "qr", "ridge", "svd", "lsqr", "blr", "ard"}
        "auto" is "blr".
    **options
        `alpha` of ridge and lsqr: λ relative to the square of the largest singular value; `rcond` of svd; `tolerance`
        and `iterations` of lsqr; `iterations` of ard.
    """
    values = checked_options(solver, options)
    return SOLVERS[solver][0](problem, **values)


def checked_options(solver: str, options: Mapping[str, float], *, large: bool = False) -> dict[str, float]:
    """Return the options of a solver, or raise before any work is done for it.

    Parameters
    ----------
    solver : str
    options : mapping
    large : bool
        Whether the solver that takes no triangle will do.

    Raises
    ------
    TypeError, ValueError
        For an unknown solver, options it does not take, and values out of range.
    ImportError
        For a solver whose package is not installed.
    """
    one_of("solver", solver, OPTIONS)
    if solver == LARGE and not large:
        raise ValueError(f"solver {LARGE!r} is for LinearACE.fit alone; choose one of {', '.join(SOLVERS)}")
    allowed = OPTIONS[solver]
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        takes = ", ".join(allowed) or "no options"
        raise TypeError(f"solver {solver!r} has no option {', '.join(unknown)}; it takes {takes}")
    if solver == "ard" and find_spec("sklearn") is None:
        raise ImportError('solver "ard" needs scikit-learn: pip install "acepure[sklearn]"')
    return {name: number(name, value, least=0) for name, value in options.items()}


def _solution(
    problem: SolverProblem, u: np.ndarray, lam: float, effective: float, summary: str, rcond: float = _RANK
) -> Solution:
    residual = float(np.sum((problem.X @ u - problem.y) ** 2)) + problem.rest
    noise = float(np.sqrt(residual / max(problem.n_rows - effective, 1.0)))
    return Solution(u, lam, noise, summary, problem.posterior_root(lam, noise, rcond))


def _cut(problem: SolverProblem, rcond: float) -> tuple[np.ndarray, int]:
    kept = int((problem.s > rcond * problem.s[0]).sum())
    return problem.V[:, :kept] @ (problem.z[:kept] / problem.s[:kept]), kept


def _qr(problem: SolverProblem) -> Solution:
    u, rank = _cut(problem, _RANK)
    n = len(u)
    note = "" if rank == n else f"; {n - rank} of {n} directions are not determined by the data and were set to 0"
    return _solution(problem, u, 0.0, rank, f"least squares (QR){note}")


def _svd(problem: SolverProblem, rcond: float = 1e-8) -> Solution:
    u, rank = _cut(problem, rcond)
    summary = f"truncated SVD, rcond {rcond:g}: {rank} of {len(u)} directions kept"
    return _solution(problem, u, 0.0, rank, summary, rcond)


def _ridge(problem: SolverProblem, alpha: float = 1e-8) -> Solution:
    lam = alpha * problem.s[0] ** 2
    u = problem.ridge(max(lam, np.finfo(float).tiny))
    effective = float(np.sum(problem.s**2 / (problem.s**2 + max(lam, np.finfo(float).tiny))))
    return _solution(problem, u, lam, effective, f"ridge, alpha {alpha:g}: {effective:.0f} effective parameters")


def _lsqr(problem: SolverProblem, alpha: float = 0.0, tolerance: float = 1e-10, iterations: float = 10_000) -> Solution:
    lam = alpha * problem.s[0] ** 2
    result = lsqr(
        problem.X, problem.y, damp=np.sqrt(lam), atol=tolerance, btol=tolerance, conlim=0, iter_lim=int(iterations)
    )
    stopped = " (stopped before the tolerance)" if result[2] >= iterations else ""
    summary = f"LSQR, tolerance {tolerance:g}: {result[2]} iterations{stopped}"
    return _solution(problem, result[0], lam, len(result[0]), summary)


def largest_evidence(problem: SolverProblem) -> tuple[float, float]:
    """Return λ of largest evidence, and its logarithm up to a constant that the rows alone decide."""
    largest = problem.s[0] ** 2
    low, high = np.log(1e-26 * largest), np.log(1e4 * largest)
    grid = np.linspace(low, high, 200)  # the evidence may have several maxima
    values = [problem.log_evidence(np.exp(x)) for x in grid]
    best = int(np.argmax(values))
    bracket = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = minimize_scalar(lambda x: -problem.log_evidence(np.exp(x)), bounds=bracket, method="bounded")
    return float(np.exp(found.x)), -float(found.fun)


def _blr(problem: SolverProblem) -> Solution:
    largest = problem.s[0] ** 2
    lam, _ = largest_evidence(problem)
    effective = float(np.sum(problem.s**2 / (problem.s**2 + lam)))
    noise = float(np.sqrt(problem.penalized(lam) / problem.n_rows))
    summary = (
        f"Bayesian linear regression: alpha {lam / largest:.1e} from the evidence, "
        f"{effective:.0f} of {len(problem.s)} parameters determined by the data"
    )
    return Solution(problem.ridge(lam), lam, noise, summary, problem.posterior_root(lam, noise))


def _ard(problem: SolverProblem, iterations: float = 300) -> Solution:
    from sklearn.linear_model import ARDRegression

    # The triangle stands for all rows: those that are missing, and what they leave, enter by the prior of the noise.
    n = len(problem.s)
    model = ARDRegression(
        fit_intercept=False,
        max_iter=int(iterations),
        alpha_1=1e-6 + 0.5 * (problem.n_rows - n),
        alpha_2=1e-6 + 0.5 * problem.rest,
    ).fit(problem.X, problem.y)
    kept = np.flatnonzero(model.coef_)
    root = np.zeros((n, n))
    active = model.lambda_ < model.threshold_lambda
    values, vectors = np.linalg.eigh(model.sigma_)
    root[np.ix_(active, active)] = vectors * np.sqrt(np.maximum(values, 0.0))
    summary = f"automatic relevance determination: {len(kept)} of {n} coefficients kept"
    return Solution(model.coef_, 0.0, float(model.alpha_**-0.5), summary, root)


SOLVERS: dict[str, tuple[Callable[..., Solution], tuple[str, ...]]] = {
    "auto": (_blr, ()),
    "qr": (_qr, ()),
    "ridge": (_ridge, ("alpha",)),
    "svd": (_svd, ("rcond",)),
    "lsqr": (_lsqr, ("alpha", "tolerance", "iterations")),
    "blr": (_blr, ()),
    "ard": (_ard, ("iterations",)),
}

#: Names of the options of each solver.
OPTIONS = {name: options for name, (_, options) in SOLVERS.items()} | {LARGE: ("alpha",)}
