"""Training of nonlinear site energies, from a linear fit, by gradients and rows of the linearized problem once.

The unknowns are those of the linear fit, θ_p = T u_p, with its prior and its λ for all densities: what is made small is

    Σ r² + λ Σ_p |u_p|².

All densities but the first start as the energy of each atom in the linear potential, with one spread over the atoms:
the part of it that bends is then there at once. From random densities, descent ends in minima that are not much better
than the linear potential. Then the first density, in which E is linear, is solved for (variable projection), and steps
of `quasi_newton.py` follow. A fifth of the structures is left out: their errors choose the start, and when to stop. The
last steps see all structures. A potential that is no better there than the linear one is not returned.

The rows of all structures at the end give the posterior of the linearized problem (P.-S. Laplace): with singular values
s and right singular vectors V of X = ∂r/∂u, the covariance of u is σ² V (s² + λ)⁻¹ Vᵀ, σ² = (Σ r² + λ Σ_p |u_p|²)/N.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress, islice
from time import perf_counter
from typing import Any

import numpy as np
from scipy.linalg import qr, solve_triangular, svd

from acepure._utils.workers import naming_structure, structure_bar
from acepure.features.basis import ACEBasis
from acepure.features.linear import LinearFunction
from acepure.fitting.checkpoints import Checkpoints, bits_of, inputs_of
from acepure.fitting.design import Design, Triangle, assemble
from acepure.fitting.embedded import EmbeddedDesign
from acepure.fitting.fit import FitResult
from acepure.fitting.labeled import LabeledSet
from acepure.fitting.labels import LabeledStructure
from acepure.fitting.normal_equations import LARGEST
from acepure.fitting.quasi_newton import Point, descend
from acepure.fitting.recipe import default_size
from acepure.fitting.recipe_triangles import interleaved_folds
from acepure.fitting.solvers import OPTIONS, SolverProblem
from acepure.fitting.weights import resolve_weights
from acepure.models.embedding import Embedding
from acepure.models.linearization import EmbeddedFunction
from acepure.neighbors.environments import Environments

__all__ = ["Problem", "Trained", "check_training", "train_from"]

_log = logging.getLogger(__name__)

_FOLDS = 5
# Steps of every start before the best goes on, steps without progress on what is left out, steps with all structures.
_TRIAL, _PATIENCE, _LAST = 8, 8, 5
# Standard deviations of a density over the atoms at the start, where embeddings bend on a scale of 1: the first that
# makes the squares not larger than so many times those of the linear potential, else the last.
_SPREADS, _WORSE = (0.5, 0.25, 0.125, 0.0625), 2.5
# Share of random numbers in the squares of a density, where the linear potential alone would make two the same.
_RANDOM = 0.5
# Rows for the Hessian, in numbers of unknowns, if a quarter of the structures has so many, and steps after which it is
# made anew. With few structures of hundreds of rows each, directions were missing, and descents did not move. Made anew
# after 10 steps, silicon was worse on one of two folds and the same on the other; 60 steps were no better on
# both, 25 on the one that was tried.
_ROWS, _ONE_OF, _RENEWED = 6, 4, 15
# Solvers whose λ |u|² is that of all densities.
_SOLVERS = ("auto", "blr", "ridge", "lsqr", "qr")
# What is added to the Hessian until this part of the first step goes down, in units of λ; at least this part of the
# longest column. More damping than that made descents slower on silicon, none at all made them wait on copper.
_DAMPING, _SHORT, _SMALL = (0.0, 1.0, 1e2, 1e4, 1e6), 0.05, 1e-7
# Part of the longest column below which the Hessian is filled up: rounding.
_RANK = 1e-13


@dataclass(frozen=True, eq=False)
class Trained:
    """What training found.

    Attributes
    ----------
    coefficients : numpy.ndarray, shape (n_densities, n_species, n_features)
    posterior : numpy.ndarray, shape (n_densities, n_species, n_features, n_unknowns), or None
        S: the covariance of the coefficients is S Sᵀ.
    noise : float
        σ, of the weighted rows.
    report : dict
        What models keep of how they were made.
    """

    coefficients: np.ndarray
    posterior: np.ndarray | None
    noise: float
    report: dict[str, Any]


class _Part(LabeledSet):
    """Some structures of a set, which is gone through for every pass."""

    def __init__(self, whole: LabeledSet, mask: np.ndarray) -> None:
        self.keys, self._whole, self._mask = whole.keys, whole, mask

    def __iter__(self) -> Iterator[LabeledStructure]:
        return compress(self._whole, self._mask)


class Problem:
    """Squares with their penalty as a function of u, shape (n_densities, n_unknowns), flat in descents."""

    def __init__(self, design: Design, embedding: Embedding, T: np.ndarray, lam: float, work: dict[str, Any]) -> None:
        self.design, self.T, self.lam, self.work = design, T, lam, work
        self.shape = (embedding.n_densities, T.shape[2])
        ones = np.ones((embedding.n_densities, *T.shape[:2]))
        self._function = EmbeddedFunction(embedding, LinearFunction(design.basis, ones))  # folded once
        self.vacuum = self._function.vacuum

    def theta(self, u: np.ndarray) -> np.ndarray:
        """Coefficients of the densities."""
        return np.einsum("zkn,pn->pzk", self.T, u.reshape(self.shape))

    def embedded(self, u: np.ndarray) -> EmbeddedDesign:
        """The fit at u."""
        return EmbeddedDesign(self.design, self._function.with_coefficients(self.theta(u)))

    def gradient(self, labeled: LabeledSet, u: np.ndarray) -> tuple[float, np.ndarray]:
        """The squares with their penalty, and their gradient, flat."""
        embedded, total = self.embedded(u), np.zeros((self.shape[0], *self.T.shape[:2]))
        squares = self.lam * float(np.sum(u**2))
        with structure_bar("gradient", labeled, self.work.get("progress")) as bar:
            for k, item in enumerate(labeled):
                with naming_structure(k):
                    more, gradient = embedded.gradient(item, self.work.get("num_threads"))
                squares += more
                total += gradient
                bar.update()
        return squares, np.einsum("zkn,pzk->pn", self.T, total).ravel() + 2 * self.lam * u.ravel()

    def errors(self, u: np.ndarray, labeled: LabeledSet) -> np.ndarray:
        """Logarithms of the root mean square errors of the kinds of labels that are used."""
        embedded, sums = self.embedded(u), np.zeros((2, 3))
        for item in labeled:
            environments = Environments(self.design.basis, item.atoms, num_threads=self.work.get("num_threads"))
            _ = environments.neighbors  # one list for all that follows
            predicted, n = embedded.function.evaluate(environments), len(item.atoms)
            labels, rows = self.design.labels(item, environments), self.design.rows_by_kind(item)
            errors = (
                np.array([(labels.energy - predicted.energy) / n]),
                labels.forces - predicted.forces,
                (labels.virial - predicted.virial) / n,
            )
            for k in np.flatnonzero(rows):
                sums[:, k] += errors[k].size, np.square(errors[k]).sum()
        used = sums[1] > 0
        found: np.ndarray = 0.5 * np.log(sums[1, used] / sums[0, used])
        return found

    def reduced(self, u: np.ndarray, labeled: LabeledSet) -> tuple[Triangle, np.ndarray]:
        """The triangle of the rows at u and their errors, and its columns for u, errors last."""
        triangle, (P, n) = assemble(self.embedded(u), labeled, **self.work), self.shape
        A = triangle.R[:, :-1].reshape(-1, P, self.T.shape[0] * self.T.shape[1]) @ self.T.reshape(-1, n)
        return triangle, np.column_stack([A.reshape(-1, P * n), triangle.R[:, -1]])

    def root(self, u: np.ndarray, labeled: LabeledSet) -> np.ndarray:
        """R of about RᵀR = XᵀX + λ at u, by rows of some structures."""
        counts = np.cumsum([self.design.n_rows(item) for item in labeled])
        stride = min(_ONE_OF, max(1, int(counts[-1] // (_ROWS * u.size))))
        chosen = np.arange(len(counts)) % stride == 0
        A = self.reduced(u, _Part(labeled, chosen))[1][:, :-1] * np.sqrt(len(chosen) / chosen.sum())
        least = _RANK * np.linalg.norm(A, axis=0).max()
        return qr(np.vstack([A, np.eye(u.size) * np.hypot(np.sqrt(self.lam), least)]), mode="r")[0][: u.size]

    def start(self, linear: _Linear, labeled: LabeledSet, seed: int) -> np.ndarray:
        """u whose other densities are the linear potential, and random numbers for more; with u_1 solved for."""
        P, n = self.shape
        parts = np.stack([np.tile(linear.u, (P, 1)), np.random.default_rng(seed).normal(size=(P, n))])
        scales = np.stack([self._spreads(part, labeled) for part in parts])
        share = _RANDOM if seed or P > 2 else 0.0
        mixed = (np.sqrt([1 - share, share])[:, None, None] * parts / scales[:, :, None]).sum(axis=0)
        for spread in _SPREADS:
            u = spread * mixed
            u[0] = 0.0
            squares, gradient = self.gradient(labeled, u)
            u[0] = linear.change(gradient[:n])
            if squares + 0.5 * u[0] @ gradient[:n] < _WORSE * linear.squares:
                break
        return u

    def _spreads(self, u: np.ndarray, labeled: LabeledSet) -> np.ndarray:
        densities, sums, n = self.embedded(u).function.densities, np.zeros((2, len(u))), 0
        for item in labeled:
            rho = densities.evaluate(item.atoms, num_threads=self.work.get("num_threads"))
            sums += rho.sum(axis=0), np.square(rho).sum(axis=0)
            n += len(rho)
        spread = np.sqrt(np.maximum(sums[1] / n - (sums[0] / n) ** 2, 0.0))
        return np.where(spread > 0, spread, 1.0)

    def posterior(self, u: np.ndarray, labeled: LabeledSet, wanted: bool) -> tuple[np.ndarray | None, float]:
        """Root of the covariance of θ by the linearized problem at u, if it is wanted, and σ."""
        if not wanted:
            n_rows = sum(self.design.n_rows(item) for item in labeled)
            return None, float(np.sqrt(self.gradient(labeled, u)[0] / n_rows))
        triangle, R = self.reduced(u, labeled)
        problem = SolverProblem.from_triangle(qr(R, mode="r")[0][: R.shape[1]], triangle.n_rows)
        squares = float(np.sum(triangle.R[:, -1] ** 2)) + self.lam * float(np.sum(u**2))
        noise = float(np.sqrt(squares / triangle.n_rows))
        root = problem.posterior_root(self.lam, noise).reshape(*self.shape, -1)
        return np.einsum("zkn,pnm->pzkm", self.T, root, optimize=True), noise


class _Linear:
    """The linear problem of some structures, and u_1 for any other densities."""

    def __init__(self, problem: Problem, R: np.ndarray) -> None:
        T = problem.T
        columns = R[:, :-1].reshape(len(R), T.shape[0], -1)
        features = columns[:, :, 1:] - columns[:, :, :1] * problem.vacuum
        A = features.reshape(len(R), -1) @ T.reshape(-1, T.shape[2])
        rows = np.vstack([A, np.sqrt(problem.lam) * np.eye(A.shape[1])])
        U, s, self._Vt = svd(rows, full_matrices=False)
        self._s = np.where(s > _RANK * s[0], s, np.inf)
        self.u = self._Vt.T @ ((U[: len(A)].T @ R[:, -1]) / self._s)
        self.squares = float(np.sum((A @ self.u - R[:, -1]) ** 2)) + problem.lam * float(self.u @ self.u)

    def change(self, gradient: np.ndarray) -> np.ndarray:
        """The change of u_1 that makes its gradient zero."""
        return np.asarray(-0.5 * self._Vt.T @ (self._Vt @ gradient / self._s**2))


def check_training(labeled: LabeledSet, basis: ACEBasis | None, options: Mapping[str, Any]) -> None:
    """Raise for what cannot be trained, before any work.

    Parameters
    ----------
    labeled : LabeledSet
    basis : ACEBasis, optional
    options : mapping
        Arguments of `LinearACE.fit`.
    """
    if len(labeled) < 2:
        raise ValueError("structures must be at least two: training leaves some out to know when to stop; got 1")
    solver = options.get("solver", "auto")
    if solver in OPTIONS and solver not in _SOLVERS:
        raise ValueError(f"solver must be one of {', '.join(_SOLVERS)} for an embedding; got {solver!r}")
    n = options.get("size") or default_size(len(labeled.species))
    if basis is not None:
        n = len(basis) * len(basis.species)
    if isinstance(n, (int, np.integer)) and n > LARGEST:
        raise ValueError(
            f"an embedding is trained from at most {LARGEST} unknowns of a linear fit, functions times species; got {n}"
        )


def train_from(
    result: FitResult,
    labeled: LabeledSet,
    embedding: Embedding,
    seeds: Sequence[int] = (0,),
    steps: int = 40,
    *,
    uncertainty: bool = True,
    checkpoints: Checkpoints | None = None,
    **work: Any,
) -> Trained:
    """Train the coefficients of all densities.

    Parameters
    ----------
    result : FitResult
        The linear fit.
    labeled : LabeledSet
        At least two structures.
    embedding : Embedding
    seeds : sequence of int
        One start each.
    steps : int
        At most, before those with all structures.
    uncertainty : bool
        Whether the posterior is made.
    checkpoints : Checkpoints, optional
    **work
        workers, num_threads, progress.
    """
    checkpoints = Checkpoints() if checkpoints is None else checkpoints
    assert result.coordinates is not None  # `check_training` refuses other solvers
    design = Design(result.basis, resolve_weights(result.choices["weights"]), result.E0s, result.core)
    problem = Problem(design, embedding, result.coordinates.feature_rows(), result.lam, work)
    inputs: list[Any] = []
    if checkpoints.folder is not None:
        inputs = [inputs_of(design), embedding.to_dict(), bits_of(problem.T, np.array([problem.lam]))]
    held = interleaved_folds([item.config_type for item in labeled], min(_FOLDS, len(labeled)))[0] == 0
    n_held = int(held.sum())
    run = _Run(problem, _Part(labeled, ~held), _Part(labeled, held), checkpoints, inputs)
    _log.info(f"densities are trained; errors on {n_held} structures left out, 1 being those of the linear potential:")
    tried = [(seed, *run.descended(seed, min(_TRIAL, steps) if len(seeds) > 1 else steps)) for seed in seeds]
    seed, best, score = min(tried, key=lambda found: found[2])
    if len(seeds) > 1 and steps > _TRIAL:
        _log.info("the best of these goes on")
        best, score = run.descended(seed, steps)
    gained = score < 0
    text = f"errors on {n_held} structures left out, {np.exp(score):.3f} of those of the linear potential"
    if not gained:
        text += ": other densities did not help and are zero"
    _log.info(text)
    if gained:
        u = run.finished(best, labeled)
        theta, (posterior, noise) = problem.theta(u), problem.posterior(u, labeled, uncertainty)
    else:
        theta, noise = _first(result.coefficients, embedding), result.noise
        posterior = (
            _first(result.posterior, embedding) if uncertainty and isinstance(result.posterior, np.ndarray) else None
        )
    report = {**result.report, "summary": [*result.summary, text]}
    report["regression"] = {**report["regression"], "noise": noise}
    return Trained(theta, posterior, noise, report)


def _first(array: np.ndarray, embedding: Embedding) -> np.ndarray:
    """An array of the first density, and zeros for the others."""
    return np.stack([array, *[np.zeros_like(array)] * (embedding.n_densities - 1)])


def judged(changes: np.ndarray) -> float:
    """Mean of changes of the logarithms of errors, by kind of label; the largest where a kind got worse, as no kind
    shall pay for another."""
    return float(changes.mean() if changes.max() <= 0 else changes.max())


class _Run:
    """Descents on the structures that are seen, judged by those left out; every point is kept."""

    def __init__(
        self, problem: Problem, seen: LabeledSet, left_out: LabeledSet, checkpoints: Checkpoints, inputs: list[Any]
    ) -> None:
        self.problem, self.seen, self.left_out = problem, seen, left_out
        self._checkpoints, self._inputs = checkpoints, inputs
        rows = checkpoints.arrays(
            "training-linear", inputs, lambda: assemble(problem.design, seen, **problem.work).arrays()
        )
        self._linear = _Linear(problem, rows["R"])
        only = np.zeros(problem.shape)
        only[0] = self._linear.u
        self._baseline = problem.errors(only, left_out)

    def score(self, u: np.ndarray) -> float:
        """Errors of what is left out against those of the linear potential, below zero where they are smaller."""
        return judged(self.problem.errors(u, self.left_out) - self._baseline)

    def descended(self, seed: int, steps: int) -> tuple[np.ndarray, float]:
        """Go down until what is left out gains no more; return the best u there, and its score."""
        _log.info(f"start {seed}")
        inputs = [self._inputs, seed]
        start = self._checkpoints.arrays(
            "training-start", inputs, lambda: {"u": self.problem.start(self._linear, self.seen, seed)}
        )
        best, least, waiting, begun = start["u"].ravel(), np.inf, 0, perf_counter()
        for done, x in enumerate(self._descent(best, "seen", self.seen)):
            score = self.score(x)
            to_go = (perf_counter() - begun) / max(done, 1) * (steps - done)
            _log.info(f"    step {done}: {np.exp(score):.4g}; at most {to_go:.0f} s to go")
            best, least, waiting = (x, score, 0) if score < least else (best, least, waiting + 1)
            if done >= steps or waiting >= _PATIENCE:
                break
        return best, least

    def finished(self, u: np.ndarray, labeled: LabeledSet) -> np.ndarray:
        """Some steps more with all structures."""
        return deque(islice(self._descent(u, "all", labeled), 1 + _LAST), maxlen=1).pop()

    def _descent(self, u: np.ndarray, stage: str, labeled: LabeledSet) -> Iterator[np.ndarray]:
        """The start and points on the way down, with a Hessian that is renewed."""
        function = partial(self.problem.gradient, labeled)
        made = self._checkpoints.arrays(
            f"training-{stage}", [self._inputs, bits_of(u)], lambda: Point(u, *function(u)).arrays()
        )
        point, renewed = Point.from_arrays(made), True
        yield point.x
        while renewed:
            inputs = [self._inputs, bits_of(point.x)]
            rows = self._checkpoints.arrays(f"training-rows-{stage}", inputs, partial(self._root, point, labeled))

            def keep(k: int, make: Callable[[], Mapping[str, np.ndarray]]) -> Mapping[str, np.ndarray]:
                return self._checkpoints.arrays(f"training-{stage}", [*inputs, k], make)  # noqa: B023

            renewed = False
            for found in islice(descend(function, point, rows["R"], keep), _RENEWED):
                point, renewed = found, True
                yield point.x

    def _root(self, point: Point, labeled: LabeledSet) -> dict[str, np.ndarray]:
        """R of the Hessian, damped where a short first step would not go down."""
        R = self.problem.root(point.x, labeled)
        unit = max(self.problem.lam, (_SMALL * np.linalg.norm(R, axis=0).max()) ** 2)
        damped = R
        for factor in _DAMPING:
            damped = qr(np.vstack([R, np.sqrt(factor * unit) * np.eye(len(R))]), mode="r")[0][: len(R)]
            change = -0.5 * solve_triangular(damped, solve_triangular(damped, point.gradient, trans="T"))
            if self.problem.gradient(labeled, point.x + _SHORT * change)[0] < point.value:
                break
        return {"R": damped}
