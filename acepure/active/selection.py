"""Selection from a pool by D-optimality: always the structure that raises the determinant of the information most.

With P = 1 + Σ WᵀW over the rows known and chosen so far, and W those of a candidate (its energy and forces as linear
functions of the unknowns, in coordinates in which P of the prior, or of a fit, is 1), the gain is

    log det(1 + W P⁻¹ Wᵀ).

It needs no labels. Gains only fall while structures are added (they are submodular), so that old ones are upper bounds:
a heap of them, whose top is computed anew until it stays the top, makes the same choice as computing all.

Forces of large structures are many rows. A few random sums of them, ωᵀ ∂(features)/∂r with ω = ±1, are right on
average, need one motion of the atoms each instead of the whole Jacobian, and are few.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from ase import Atoms
from scipy.linalg import solve_triangular

from acepure._utils.checks import check_kind, count, number, one_of
from acepure._utils.memory import physical_memory
from acepure._utils.tall_qr import RFactor
from acepure._utils.workers import naming_structure
from acepure.active.guards import copied, overlap
from acepure.features.basis import ACEBasis, check_basis, evaluate_features
from acepure.features.derivatives import sum_gradients
from acepure.features.directional import jvp
from acepure.features.linear import features_of_isolated_atoms
from acepure.fitting.labels import group_of, text_table
from acepure.fitting.priors import SmoothnessPrior
from acepure.fitting.system import unknowns
from acepure.fitting.weights import DEFAULT_WEIGHTS
from acepure.models.linear import LinearACE
from acepure.models.posterior import dense_root
from acepure.neighbors.environments import Environments
from acepure.structures.gate import species_of, structure_list

METHODS = ("d-optimal", "farthest", "random")
# Of a basis that is chosen here.
_N_FUNCTIONS = 200
# λ in units of the prior, where no fit says.
_LAMBDA = 1e-4


@dataclass(frozen=True, eq=False)
class Selection:
    """What was chosen; printed, a table.

    Attributes
    ----------
    indices : list of int
        Numbers in the pool, in the order of choice.
    gains : list of float
        Of each: log det(1 + W P⁻¹ Wᵀ), or the distance for "farthest"; NaN for "random".
    refused : dict of int to str
        Numbers in the pool, and why they were not taken: atoms overlap, or it is a copy of another.
    config_types : list of str
        Of each structure chosen.
    n_evaluations : int
        How many gains were computed.
    """

    indices: list[int]
    gains: list[float]
    refused: dict[int, str]
    config_types: list[str]
    n_evaluations: int

    def table(self) -> str:
        """Number, gain and config_type of each structure chosen, and what was refused."""
        rows = [["step", "structure", "gain", "config_type"]]
        for k, (index, gain, name) in enumerate(zip(self.indices, self.gains, self.config_types), 1):
            rows.append([str(k), str(index), f"{gain:.4g}", name])
        lines = [f"refused: structure {index}, {reason}" for index, reason in sorted(self.refused.items())]
        return "\n".join([text_table(rows), *lines])

    def __str__(self) -> str:
        return self.table()


def select(
    pool: Iterable[Atoms],
    n: int,
    *,
    model: LinearACE | None = None,
    basis: ACEBasis | None = None,
    start: Iterable[Atoms] = (),
    method: str = "d-optimal",
    forces: bool = True,
    sketch: int | None = None,
    energy_weight: float = DEFAULT_WEIGHTS.energy,
    seed: int = 0,
    num_threads: int | None = None,
) -> Selection:
    """Choose structures to compute from a pool.

    Parameters
    ----------
    pool : iterable of ase.Atoms
        Labels are not needed.
    n : int
        How many; fewer if the pool has no more that are not refused.
    model : LinearACE, optional
        Its posterior says what is known already.
    basis : ACEBasis, optional
        Instead of a model; without both, 200 functions for the species of the pool.
    start : iterable of ase.Atoms
        Known already, and not in the fit of the model.
    method : {"d-optimal", "farthest", "random"}
        "farthest" takes the structure whose mean features are farthest from all taken so far, for comparison.
    forces : bool
        Whether forces will be computed and fitted, or energies alone.
    sketch : int, optional
        Take so many random sums of forces in place of all of them, of structures with more forces than that: for large
        pools. 8 cost as much as 20 evaluations of the features, where all forces cost 43 to 53 linear evaluations.
    energy_weight : float
        w_E of the fits, in units of that of forces, see `acepure.fitting.Weights`.
    seed : int
        Of "random", of the first of "farthest", and of the sums of `sketch`.
    num_threads : int, optional

    Returns
    -------
    Selection

    Raises
    ------
    TypeError, ValueError
        For wrong arguments, before any work, and a model without posterior.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from acepure.active import select
    >>> pool = [bulk("Cu", cubic=True, a=a) for a in (3.6, 3.6, 3.9)]
    >>> pool[0].rattle(0.1)
    >>> select(pool, 2, basis=ACEBasis(["Cu"], order=2, totaldegree=3)).indices
    [0, 2]
    """
    pool, start, n = structure_list(pool), list(start), count("n", n)
    rng = np.random.default_rng(count("seed", seed, least=0))
    one_of("method", method, METHODS)
    if model is not None and basis is not None:
        raise ValueError("model and basis exclude each other: the model has its basis")
    number("energy_weight", energy_weight, above=0)
    if sketch is not None:
        count("sketch", sketch)
    if model is not None:
        to_unknowns, basis = _root_of(model), model.basis
    else:
        basis = ACEBasis(species_of([*pool, *start]), n_functions=_N_FUNCTIONS) if basis is None else basis
        check_basis(basis)
        prior = SmoothnessPrior("algebraic", 2)
        to_unknowns = unknowns(basis, prior).feature_rows() / np.sqrt(_LAMBDA)
    for name, structures in (("pool", pool), ("start", start)):
        for k, atoms in enumerate(structures):
            basis.species_indices(atoms, f"{name}[{k}]")
    refused = {k: reason for k, atoms in enumerate(pool) if (reason := overlap(atoms, basis)) is not None}
    left = [k for k in range(len(pool)) if k not in refused]
    rows = Rows(basis, to_unknowns, forces, energy_weight, num_threads, sketch, seed)
    choose = {"d-optimal": _d_optimal, "farthest": _farthest, "random": _random}[method]
    indices, gains, evaluated = choose(_Task(pool, start, left, rows, rng, refused), n)
    kinds = [group_of(pool[k], "config_type") for k in indices]
    return Selection(indices, gains, refused, kinds, evaluated)


def _root_of(model: LinearACE) -> np.ndarray:
    check_kind("model", model, LinearACE)
    if model.posterior is None or not model.report.get("regression", {}).get("noise"):
        raise ValueError("the model has no posterior of a fit; fit it with uncertainty=True, or give basis")
    return dense_root(model.posterior) / model.report["regression"]["noise"]


class Rows:
    """Rows of structures in the coordinates in which the information of the prior or the fit is 1."""

    def __init__(
        self,
        basis: ACEBasis,
        to_unknowns: np.ndarray,
        forces: bool,
        energy_weight: float,
        num_threads: int | None,
        sketch: int | None = None,
        seed: int = 0,
    ) -> None:
        self.basis, self.forces, self.weight, self.num_threads = basis, forces, energy_weight, num_threads
        self.sketch, self.seed = sketch, seed
        self.to_unknowns = to_unknowns.reshape(-1, to_unknowns.shape[2])
        self.vacuum = features_of_isolated_atoms(basis)

    @property
    def n_unknowns(self) -> int:
        return self.to_unknowns.shape[1]

    def features(self, atoms: Atoms) -> np.ndarray:
        """Σ_i (B(i) − B(∅)) over the centers of each species, one after the other."""
        return self._sums(Environments(self.basis, atoms, num_threads=self.num_threads))

    def n_rows(self, atoms: Atoms) -> int:
        """Number of rows of a structure."""
        return 1 + (self._n_sums(atoms) or 3 * len(atoms)) * self.forces

    def of(self, atoms: Atoms, number: int = 0) -> np.ndarray:
        """Rows of a structure; `number` says which random sums."""
        environments = Environments(self.basis, atoms, num_threads=self.num_threads)
        neighbors = environments.neighbors
        rows = [self.weight / np.sqrt(len(atoms)) * self._sums(environments)[None]]
        n = self._n_sums(atoms)
        if self.forces and n:
            signs = np.random.default_rng((self.seed, number)).choice([-1.0, 1.0], (n, len(atoms), 3))
            for omega in signs / np.sqrt(n):
                _, slopes = jvp(self.basis, atoms, omega, neighbors=neighbors, num_threads=self.num_threads)
                rows.append(self._summed(environments.species, slopes)[None])
        elif self.forces:
            gradients = sum_gradients(self.basis, environments).positions
            rows.append(np.moveaxis(gradients, 0, 2).reshape(3 * len(atoms), -1))
        return np.concatenate(rows) @ self.to_unknowns

    def _n_sums(self, atoms: Atoms) -> int:
        """How many random sums stand for the forces; 0 if they are taken as they are."""
        return self.sketch if self.sketch is not None and self.sketch < 3 * len(atoms) else 0

    def _sums(self, environments: Environments) -> np.ndarray:
        features = evaluate_features(self.basis, environments) - self.vacuum[environments.species]
        return self._summed(environments.species, features)

    def _summed(self, species: np.ndarray, values: np.ndarray) -> np.ndarray:
        return np.concatenate([values[species == z].sum(axis=0) for z in range(len(self.basis.species))])


class _Task(NamedTuple):
    """What there is to choose from."""

    pool: Sequence[Atoms]
    start: Sequence[Atoms]
    left: Sequence[int]
    rows: Rows
    rng: np.random.Generator
    refused: dict[int, str]


def _d_optimal(task: _Task, n: int) -> tuple[list[int], list[float], int]:
    """Lazy greedy; the heap holds (−gain, number, how many were chosen when it was computed)."""
    pool, start, left, rows, *_ = task
    factor = RFactor(rows.n_unknowns)
    factor.add(np.eye(rows.n_unknowns))
    for k, atoms in enumerate(start):
        with naming_structure(k):
            factor.add(rows.of(atoms, len(pool) + k))
    largest = max((rows.n_rows(pool[k]) for k in left), default=1) * rows.n_unknowns * 8
    held = lru_cache(maxsize=max(1, int(physical_memory() / 8 / largest)))(lambda k: rows.of(pool[k], k))
    heap: list[tuple[float, int, int]] = [(-np.inf, k, -1) for k in left]
    heapq.heapify(heap)
    chosen: list[int] = []
    gains: list[float] = []
    R, evaluated = factor.R, 0
    while heap and len(chosen) < n:
        gain, k, when = heapq.heappop(heap)
        if when < len(chosen):
            evaluated += 1
            heapq.heappush(heap, (-information(R, held(k)), k, len(chosen)))
            continue
        if _is_copy(k, chosen, task):
            continue
        chosen.append(k)
        gains.append(-gain)
        factor.add(held(k))
        R = factor.R
    return chosen, gains, evaluated


def information(R: np.ndarray, W: np.ndarray) -> float:
    """log det(1 + W (RᵀR)⁻¹ Wᵀ), by the smaller of both sides."""
    Z = solve_triangular(R, W.T, trans="T")
    small = Z.T @ Z if Z.shape[1] <= len(Z) else Z @ Z.T
    return float(np.linalg.slogdet(np.eye(len(small)) + small)[1])


def _farthest(task: _Task, n: int) -> tuple[list[int], list[float], int]:
    """Farthest point sampling of mean features, each scaled by its standard deviation over the pool."""
    pool, start, left, rows, rng, _ = task
    if not left:
        return [], [], 0
    means = np.array([rows.features(pool[k]) / len(pool[k]) for k in left])
    scale = means.std(axis=0)
    scale = np.where(scale > 1e-12 * max(scale.max(), 1e-300), scale, np.inf)
    distance = np.full(len(left), np.inf)
    for atoms in start:
        distance = np.minimum(distance, np.linalg.norm((means - rows.features(atoms) / len(atoms)) / scale, axis=1))
    chosen: list[int] = []
    gains: list[float] = []
    while len(chosen) < n:
        k = int(rng.integers(len(left))) if np.isinf(distance).all() else int(np.argmax(distance))
        if distance[k] <= 0:
            break
        if _is_copy(left[k], chosen, task):
            distance[k] = 0.0
            continue
        chosen.append(left[k])
        gains.append(float(distance[k]))
        distance = np.minimum(distance, np.linalg.norm((means - means[k]) / scale, axis=1))
    return chosen, gains, len(left)


def _random(task: _Task, n: int) -> tuple[list[int], list[float], int]:
    chosen: list[int] = []
    for k in task.rng.permutation(np.asarray(task.left, dtype=int)).tolist():
        if len(chosen) == n:
            break
        if not _is_copy(k, chosen, task):
            chosen.append(k)
    return chosen, [np.nan] * len(chosen), 0


def _is_copy(k: int, chosen: Sequence[int], task: _Task) -> bool:
    """Whether a structure of the pool is a copy of a known one; noted as refused then."""
    pool, start = task.pool, task.start
    twin = copied(pool[k], [("pool", j, pool[j]) for j in chosen] + [("start", *p) for p in enumerate(start)])
    if twin is not None:
        task.refused[k] = f"a copy of {twin}"
    return twin is not None
