"""Training of nonlinear site energies by Levenberg and Marquardt, from a linear fit and random other densities.

The unknowns are those of the linear fit, θ_p = T u_p, so that the prior is the same; the ridge of the evidence,
λ |u_1|², counts κ times for the other densities. A step minimizes the linearized squares with ridge and damping,

    |A δ − r|² + Σ_p κ_p λ |u_p + δ_p|² + μ λ |δ|²,

A from one pass over the structures, reduced to an R factor as in any fit; the μ is that of the least true loss, which
costs little. A fifth of the structures is left out: their errors choose κ and the start, and when to stop. The last
steps see all structures. A potential that is no better there than the linear one is not returned.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from time import perf_counter
from typing import Any

import numpy as np
from scipy.linalg import qr, svd

from acepure._utils.workers import naming_structure
from acepure.features.linear import LinearFunction, features_of_isolated_atoms
from acepure.fitting.design import Design, assemble
from acepure.fitting.embedded import EmbeddedDesign
from acepure.fitting.labeled import LabeledSet
from acepure.fitting.labels import LabeledStructure
from acepure.fitting.recipe_triangles import interleaved_folds
from acepure.models.embedding import Embedding
from acepure.neighbors.environments import Environments

__all__ = ["Trained", "train"]

_log = logging.getLogger(__name__)

_FOLDS = 5
#: κ between which the structures left out choose, and μ that are tried, in squares of the largest singular value.
RIDGES = (1.0, 10.0)
_DAMPING = (0.0, 1e-16, 1e-14, 1e-12, 1e-11, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1)
# Steps of every κ and start before the best goes on, steps without progress on what is left out, steps with all.
_TRIAL, _PATIENCE, _LAST = 3, 3, 2
# Singular values below this part of the largest are rounding.
_RANK = 1e-13
# Standard deviation of a random density over the atoms: the unit in which embeddings bend is 1.
_SPREAD = 0.5


@dataclass(frozen=True, eq=False)
class Trained:
    """What training found.

    Attributes
    ----------
    coefficients : numpy.ndarray, shape (n_densities, n_species, n_features)
    summary : list of str
    """

    coefficients: np.ndarray
    summary: list[str]


class _Part(LabeledSet):
    """Some structures of a set, which is gone through for every pass."""

    def __init__(self, whole: LabeledSet, mask: np.ndarray) -> None:
        self.keys, self._whole, self._mask = whole.keys, whole, mask

    def __iter__(self) -> Iterator[LabeledStructure]:
        return compress(self._whole, self._mask)


@dataclass(frozen=True, eq=False)
class _State:
    """Unknowns (n_densities, n_unknowns), κ, errors of what is left out, and where damping begins."""

    u: np.ndarray
    ridge: float
    score: float = np.inf
    rung: int = 0


class _Trainer:
    def __init__(self, design: Design, embedding: Embedding, T: np.ndarray, lam: float, work: dict[str, Any]) -> None:
        self.design, self.embedding, self.T, self.lam, self.work = design, embedding, T, lam, work
        self.vacuum = features_of_isolated_atoms(design.basis)
        shape = (embedding.n_densities, *T.shape[:2])
        self._function = LinearFunction(design.basis, np.ones(shape))  # folded once, for all coefficients

    def embedded(self, u: np.ndarray) -> EmbeddedDesign:
        theta = np.einsum("zkn,pn->pzk", self.T, u)
        return EmbeddedDesign(self.design, self.embedding, self._function.with_coefficients(theta), self.vacuum)

    def penalties(self, state: _State) -> np.ndarray:
        """λ κ_p, shape (n_densities, 1)."""
        return self.lam * np.array([1.0] + [state.ridge] * (len(state.u) - 1))[:, None]

    def loss(self, state: _State, labeled: LabeledSet) -> float:
        squares = sum(misfit for misfit, _ in self._compared(state.u, labeled))
        return squares + float(np.sum(self.penalties(state) * state.u**2))

    def score(self, u: np.ndarray, labeled: LabeledSet) -> float:
        """Mean logarithm of the root mean square errors of the kinds of labels that are used."""
        sums = np.zeros((2, 3))
        for _, errors in self._compared(u, labeled):
            for k, values in enumerate(errors):
                sums[:, k] += values.size, np.square(values).sum()
        used = sums[1] > 0
        return float(np.mean(0.5 * np.log(sums[1, used] / sums[0, used])))

    def _compared(self, u: np.ndarray, labeled: LabeledSet) -> Any:
        """Yield the weighted squares of each structure, and its errors by kind; of labels with a weight."""
        embedded, threads = self.embedded(u), self.work.get("num_threads")
        for k, item in enumerate(labeled):
            with naming_structure(k):
                environments = Environments(self.design.basis, item.atoms, num_threads=threads)
                predicted = embedded.evaluate(environments)
            labels, n = self.design.labels(item, environments), len(item.atoms)
            kinds = self.design.rows_by_kind(item)
            errors = (
                np.array([(labels.energy - predicted.energy) / n]),
                (labels.forces - predicted.forces).ravel(),
                (labels.virial - predicted.virial).ravel() / n,
            )
            used = tuple(e if rows else np.empty(0) for e, rows in zip(errors, kinds, strict=True))
            yield self.design.misfit(item, environments, predicted).squares, used

    def linear(self, labeled: LabeledSet) -> np.ndarray:
        """Return u of the linear problem, shape (n_unknowns,)."""
        R = assemble(self.design, labeled, **self.work).R
        columns = R[:, :-1].reshape(len(R), len(self.vacuum), -1)
        features = columns[:, :, 1:] - columns[:, :, :1] * self.vacuum
        A = features.reshape(len(R), -1) @ self.T.reshape(-1, self.T.shape[2])
        return _Ridge(A, R[:, -1], np.full(A.shape[1], self.lam), np.zeros(A.shape[1])).solve()

    def random(self, linear: np.ndarray, labeled: LabeledSet, seed: int) -> np.ndarray:
        """Return unknowns with random further densities from the prior, of one spread over the atoms; u_1 is given."""
        u = np.zeros((self.embedding.n_densities, len(linear)))
        u[1:] = np.random.default_rng(seed).normal(size=u[1:].shape)
        densities, sums, n = self.embedded(u).densities, np.zeros((2, len(u))), 0
        for item in labeled:
            rho = densities.evaluate(item.atoms)
            sums += rho.sum(axis=0), np.square(rho).sum(axis=0)
            n += len(rho)
        spread = np.sqrt(sums[1] / n - (sums[0] / n) ** 2)
        u[1:] *= _SPREAD / np.where(spread[1:] > 0, spread[1:], 1.0)[:, None]
        u[0] = linear
        return u

    def stepped(self, state: _State, labeled: LabeledSet) -> _State:
        """Return the state after one step, or the same if no damping makes the loss smaller."""
        R = assemble(self.embedded(state.u), labeled, **self.work).R
        P, n = state.u.shape
        A = (R[:, :-1].reshape(-1, P, len(self.T) * self.T.shape[1]) @ self.T.reshape(-1, n)).reshape(len(R), P * n)
        ridge = _Ridge(A, R[:, -1], np.repeat(self.penalties(state), n), state.u.ravel())
        best, least = state, self.loss(state, labeled)
        for rung in range(state.rung, len(_DAMPING)):
            change = ridge.solve(_DAMPING[rung]).reshape(P, n)
            trial = replace(state, u=state.u + change, rung=max(rung - 2, 0))  # less may do in the next step
            loss = self.loss(trial, labeled)
            if loss < least:
                best, least = trial, loss
            elif best is not state:
                break
        return best


class _Ridge:
    """δ of least |A δ − r|² + Σ_k penalties_k (u + δ)_k² + μ |δ|², for any μ."""

    def __init__(self, A: np.ndarray, r: np.ndarray, penalties: np.ndarray, u: np.ndarray) -> None:
        root = np.sqrt(penalties)
        R = qr(np.column_stack([np.vstack([A, np.diag(root)]), np.append(r, -root * u)]), mode="r")[0]
        U, self.s, self.Vt = svd(R[: len(u), : len(u)])
        self.z = U.T @ R[: len(u), -1]

    def solve(self, damping: float = 0.0) -> np.ndarray:
        """Return δ with μ as a part of the square of the largest singular value; without it, of full rank."""
        largest = self.s[0]
        s = np.where(self.s > _RANK * largest, self.s, np.inf) if not damping else self.s
        return np.asarray(self.Vt.T @ (self.z * s / (s**2 + damping * largest**2) if damping else self.z / s))


def train(
    design: Design,
    labeled: LabeledSet,
    embedding: Embedding,
    T: np.ndarray,
    lam: float,
    *,
    seeds: Sequence[int] = (0,),
    steps: int = 12,
    **work: Any,
) -> Trained:
    """Train the coefficients of all densities.

    Parameters
    ----------
    design : Design
        Of the linear fit.
    labeled : LabeledSet
        At least two structures.
    embedding : Embedding
    T : numpy.ndarray, shape (n_species, n_features, n_unknowns)
        θ = T u, of the linear fit.
    lam : float
        λ of the linear fit.
    seeds : sequence of int
        One random start each.
    steps : int
        At most, before those with all structures.
    **work
        workers, num_threads, progress.
    """
    held = interleaved_folds([item.config_type for item in labeled], min(_FOLDS, len(labeled)))[0] == 0
    seen, left_out = _Part(labeled, ~held), _Part(labeled, held)
    trainer = _Trainer(design, embedding, T, lam, work)
    linear = trainer.linear(seen)
    only_linear = np.zeros((embedding.n_densities, len(linear)))
    only_linear[0] = linear
    baseline = trainer.score(only_linear, left_out)
    n_held, trials = int(held.sum()), []
    _log.info(f"densities are trained; errors on {n_held} structures left out, 1 being those of the linear potential:")
    for seed in seeds:
        start = trainer.random(linear, seen, seed)
        for ridge in RIDGES:
            _log.info(f"start {seed}, ridge of other densities × {ridge:g}")
            state, _ = _run(trainer, _State(start, ridge), seen, left_out, min(_TRIAL, steps), baseline)
            trials.append((state.score, seed, state))
    best = min(trials, key=lambda trial: trial[0])[2]
    if steps > _TRIAL:
        _log.info("the best of these goes on")
    best, text = _run(trainer, best, seen, left_out, steps - _TRIAL, baseline)
    relative = f"{np.exp(best.score - baseline):.3f} of those of the linear potential"
    summary = f"errors on {n_held} structures left out, {relative}{text}"
    if best.score >= baseline:
        _log.info(f"{summary}: the linear potential stays")
        whole = np.zeros_like(only_linear)
        whole[0] = trainer.linear(labeled)
        return Trained(np.einsum("zkn,pn->pzk", T, whole), [summary, "the other densities are zero: they did not help"])
    _log.info(summary)
    for _ in range(_LAST):
        best = trainer.stepped(best, labeled)
    return Trained(np.einsum("zkn,pn->pzk", T, best.u), [summary])


def _run(
    trainer: _Trainer, state: _State, seen: LabeledSet, left_out: LabeledSet, steps: int, baseline: float
) -> tuple[_State, str]:
    """Go on until what is left out gains no more; return the best state there, and how many steps there were."""
    best, waiting, done, begun = state, 0, 0, perf_counter()
    while done < steps and waiting < _PATIENCE:
        before, done = state, done + 1
        state = trainer.stepped(state, seen)
        state = replace(state, score=trainer.score(state.u, left_out))
        to_go = (perf_counter() - begun) / done * (steps - done)
        _log.info(f"    step {done}: {np.exp(state.score - baseline):.4g}; at most {to_go:.0f} s to go")
        best, waiting = (state, 0) if state.score < best.score else (best, waiting + 1)
        if state.u is before.u:
            break
    return best, f", after {done} steps" if done else ""
