"""The automatic recipe: cutoff, radial functions and functions of a fit, from the training data alone.

    one pass            median nearest-neighbor distance d, combinations of elements, contradictions of virials
    candidates          cutoffs 2.1, 2.5, 2.9 d and on while the best is the longest; two kinds of radial functions;
                        half of the functions, a quarter of the forces, errors of folds left out
    selection           from a pool of 3.5 times the functions, by gain / √cost
    final rows          all of them, once; the weight of energies by errors of folds left out (see `fit.py`)

No choice depends on the names of elements. The number of unknowns in all, over the species of center, is `size`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array

from acepure._utils.checks import count
from acepure._utils.workers import naming_structure
from acepure.features.basis import ACEBasis
from acepure.features.linear import features_of_isolated_atoms
from acepure.fitting.design import Design
from acepure.fitting.labeled import LabeledSet
from acepure.fitting.priors import SmoothnessPrior
from acepure.fitting.recipe_errors import HeldOut, HeldOutErrors
from acepure.fitting.recipe_triangles import FoldTriangles, assemble_folds
from acepure.fitting.selection import select_groups
from acepure.fitting.solvers import solve
from acepure.fitting.system import unknowns
from acepure.functions.envelopes import SmoothEnvelope
from acepure.functions.radial import PolynomialRadialBasis
from acepure.functions.transforms import AgnesiTransform
from acepure.labels.selection import Specification
from acepure.neighbors.lists import neighbor_list

if TYPE_CHECKING:
    from distributed import Client

_log = logging.getLogger(__name__)

__all__ = ["ENERGY_WEIGHTS", "Recipe", "choose_basis", "default_size"]

#: Weights of energies that the final rows are tried with.
ENERGY_WEIGHTS = (1.0, 1.7, 3.0, 5.5, 10.0, 17.0, 30.0, 55.0, 100.0, 170.0, 300.0)
#: Radial functions: a transform and an envelope.
RADIAL = (
    (AgnesiTransform(p=1, q=3), SmoothEnvelope(2)),
    (AgnesiTransform(p=2, q=4), SmoothEnvelope(3)),
)
_REACHES = (2.1, 2.5, 2.9)  # in nearest-neighbor distances
_GROWTH = 1.16  # from each to the next
# A longer cutoff costs more: the sum of the logarithms of errors must fall by this.
_WORTH = 0.01
# The degrees of the functions: an l counts 1.5, radial functions from n = 1.
_SHAPE: dict[str, Any] = {"wL": 1.5, "n_start": 1}
_POOL, _MOST_POOL = 3.5, 4000  # functions to select from, in numbers of selected ones; unknowns at most
_LEAST_POOL = 1.2
# Rows per unknown of a pool: with fewer, selection follows the noise.
_ROWS_PER_UNKNOWN = 10
_SEARCHED = 6.0  # Å: how far nearest neighbors are looked for
_BINS_PER_ANGSTROM = 1000


@dataclass(frozen=True, eq=False)
class Recipe:
    """What was chosen, and why.

    Attributes
    ----------
    basis : ACEBasis
        Not yet referred to data.
    summary : list of str
    """

    basis: ACEBasis
    summary: list[str] = field(default_factory=list)


class _Census(NamedTuple):
    nearest: float  #: median nearest-neighbor distance, Å
    met: frozenset[frozenset[str]]  #: sets of species of the structures
    n_forces: int  #: components of forces
    n_rows: int  #: labels of any kind, six for a virial


class _Trial(NamedTuple):
    cutoff: float
    kind: int
    errors: HeldOutErrors
    energy_weight: float


def default_size(n_species: int) -> int:
    """Return the number of unknowns in all: 300 n^1.5 for n species, so 300, 849, 1559, 2400, ...

    Examples
    --------
    >>> default_size(1), default_size(4)
    (300, 2400)
    """
    return round(300 * n_species**1.5)


def choose_basis(
    labeled: LabeledSet,
    design: Callable[[ACEBasis], Design],
    prior: SmoothnessPrior,
    weights: Sequence[float],
    *,
    size: int | None = None,
    canonical: bool = True,
    energy_weights: Sequence[float] = ENERGY_WEIGHTS,
    folds: int = 5,
    workers: int | Client = 1,
    num_threads: int | None = None,
    progress: bool | None = None,
) -> Recipe:
    """Choose the basis of a fit.

    Parameters
    ----------
    labeled : LabeledSet
    design : callable
        Basis → rows with relative weights of groups.
    prior : SmoothnessPrior
    weights : sequence of three numbers
        (w_E, w_F, w_V) to begin with.
    size : int, optional
        Unknowns in all, over all species of center; default `default_size`.
    canonical : bool
    energy_weights : sequence of float
        To try with the candidates.
    folds : int
    workers, num_threads, progress
        As elsewhere.

    Returns
    -------
    Recipe

    Raises
    ------
    ValueError
        For fewer structures than two, or a size too small for one function per species.
    """
    species = labeled.species
    size = default_size(len(species)) if size is None else count("size", size, least=len(species))
    if len(labeled) < 2:
        raise ValueError(f"choosing a basis needs at least 2 structures; got {len(labeled)}; give a basis")
    folds = min(folds, len(labeled))
    search = _Search(labeled, design, prior, weights, energy_weights, canonical, folds, workers, num_threads, progress)
    each = size // len(species)
    best = search.radial_functions(max(each // 2, 1))
    return search.selected(best, each)


class _Search:
    """The data, and everything a trial needs."""

    def __init__(
        self,
        labeled: LabeledSet,
        design: Callable[[ACEBasis], Design],
        prior: SmoothnessPrior,
        weights: Sequence[float],
        energy_weights: Sequence[float],
        canonical: bool,
        folds: int,
        workers: int | Client,
        num_threads: int | None,
        progress: bool | None,
    ) -> None:
        self.labeled, self.design, self.prior, self.weights = labeled, design, prior, tuple(weights)
        self.energy_weights, self.canonical, self.folds = energy_weights, canonical, folds
        self.given: dict[str, Any] = {"workers": workers, "num_threads": num_threads, "progress": progress}
        self.census = _take_census(labeled)

    def basis(self, n_functions: int, cutoff: float, kind: int) -> ACEBasis:
        """The largest basis by total degree; of lower order where order 3 would have more functions."""
        radial = PolynomialRadialBasis(cutoff, *RADIAL[kind])
        for order in (3, 2, 1):
            try:
                chosen = Specification.create(self.labeled.species, order, n_functions=n_functions, **_SHAPE)
            except ValueError:
                if order == 1:
                    raise
                continue
            break
        dictionary = chosen.to_dict()
        return ACEBasis(dictionary.pop("species"), radial=radial, canonical=self.canonical, **dictionary)

    def rows(self, design: Design) -> FoldTriangles:
        """Rows of all energies and of up to a quarter of the forces, as many as there are unknowns several times."""
        thinning = int(np.clip(self.census.n_forces // (8 * design.n_columns), 1, 4))
        return assemble_folds(design, self.labeled, self.folds, thinning=thinning, **self.given)

    def trial(self, n_functions: int, cutoff: float, kind: int) -> _Trial:
        """Errors of folds left out, at the best weight of energies."""
        design = self.design(self.basis(n_functions, cutoff, kind))
        held_out = HeldOut.of(self.rows(design), unknowns(design.basis, self.prior), self.weights)
        return _Trial(cutoff, kind, *best_energy_weight(held_out, self.weights, self.energy_weights))

    # --- cutoff and radial functions --------------------------------------------------------------------------

    def radial_functions(self, n_functions: int) -> _Trial:
        """The best cutoff and radial functions, by errors of folds left out."""
        trials: dict[tuple[float, int], _Trial] = {}

        def tried(reach: float, kind: int) -> _Trial:
            if (reach, kind) not in trials:
                found = trials[reach, kind] = self.trial(n_functions, reach * self.census.nearest, kind)
                _log.info(f"cutoff {found.cutoff:.2f} Å, {_named(kind)}: {found.errors}")
            return trials[reach, kind]

        _log.info(
            f"candidates: about {n_functions} functions per species, {self.folds} folds; nearest neighbors are at "
            f"{self.census.nearest:.3f} Å (median)"
        )
        low, middle, high = _REACHES
        kind = min((0, 1), key=lambda k: tried(middle, k).errors.score)
        reaches = [low, middle, high]
        while True:
            best = self._best([tried(reach, kind) for reach in reaches])
            if best == len(reaches) - 1:
                reaches.append(reaches[-1] * _GROWTH)
            else:
                break
        chosen = min((tried(reaches[best], k) for k in (0, 1)), key=lambda t: t.errors.score)
        _log.info(f"chosen: cutoff {chosen.cutoff:.3f} Å, {_named(chosen.kind)}\n")
        return chosen

    @staticmethod
    def _best(trials: Sequence[_Trial]) -> int:
        """The shortest cutoff that no longer one beats by what it is worth."""
        best = 0
        for k, trial in enumerate(trials):
            if trial.errors.score < trials[best].errors.score - _WORTH:
                best = k
        return best

    # --- functions --------------------------------------------------------------------------------------------

    def selected(self, best: _Trial, each: int) -> Recipe:
        """The basis of the best trial with functions selected from a pool."""
        n_species = len(self.labeled.species)
        head = (
            f"cutoff {best.cutoff:.3f} Å and {_named(best.kind)} by errors of folds left out ({best.errors}, with "
            f"about half of the functions)"
        )
        allowed = {
            "would take too much memory": _MOST_POOL / n_species,
            f"needs {_ROWS_PER_UNKNOWN} rows per unknown": self.census.n_rows / _ROWS_PER_UNKNOWN / n_species,
        }
        pool_size = int(min(_POOL * each, *allowed.values()))
        if pool_size < _LEAST_POOL * each:
            basis = self.basis(each, best.cutoff, best.kind)
            why = min(allowed, key=lambda reason: allowed[reason])
            tail = f"{len(basis)} functions per species of center by total degree; a pool to select from {why}"
            _log.info(f"{tail}\n")
            return Recipe(basis, [head, tail])
        pool = self.basis(pool_size, best.cutoff, best.kind)
        design = self.design(pool)
        weights = (best.energy_weight, *self.weights[1:])
        triangle = self.rows(design).weighted(weights)
        lam = solve(unknowns(design.basis, self.prior).problem(triangle), "blr").lam
        names, columns = self._groups(pool)
        X, y = _without_constants(triangle.R, design.basis)
        needs = _needs(design.basis, columns)
        every = [np.concatenate([z * len(pool) + group for z in range(n_species)]) for group in columns]
        ridge = np.tile(np.sqrt(lam) * self.prior.scales(design.basis), n_species)
        order = select_groups(X, y, every, each * n_species, ridge=ridge, needs=needs)
        functions = [function for g in order for function in names[g]]
        radial = PolynomialRadialBasis(best.cutoff, *RADIAL[best.kind])
        basis = ACEBasis(
            self.labeled.species,
            functions=functions,
            n_start=_SHAPE["n_start"],
            radial=radial,
            canonical=self.canonical,
        )
        orders = ", ".join(f"{n} of order {nu}" for nu, n in enumerate(basis.specification.sizes, 1))
        tail = f"{len(basis)} functions per species of center selected from {len(pool)} by gain / √cost: {orders}"
        _log.info(f"{tail}\n")
        return Recipe(basis, [head, tail])

    def _groups(self, pool: ACEBasis) -> tuple[list[list[Any]], list[np.ndarray]]:
        """Functions that come and go together, as explicit functions, and their features.

        The couplings of a block; where some combination of species never met, blocks that differ by species alone:
        those without data say nothing of their worth.
        """
        species = self.labeled.species
        most = min(pool.order + 1, len(species))
        complete = all(any(set(some) <= seen for seen in self.census.met) for some in combinations(species, most))
        families: dict[Any, tuple[dict[Any, None], list[int]]] = {}
        for k, label in enumerate(pool.labels):
            factors = tuple(zip(label.species, label.n, label.l))
            key = factors if complete else tuple(sorted((n, l) for _, n, l in factors))
            functions, features = families.setdefault(key, ({}, []))
            functions[factors] = None
            features.append(k)
        return [list(f) for f, _ in families.values()], [np.array(k) for _, k in families.values()]


def best_energy_weight(
    held_out: HeldOut, weights: Sequence[float], energy_weights: Sequence[float]
) -> tuple[HeldOutErrors, float]:
    """Return the errors at, and the weight of energies of, the least product of errors."""
    if not len(held_out.rows.energies) or not energy_weights:
        return held_out.errors(weights), float(weights[0])
    tried = [(held_out.errors((w, *weights[1:])), float(w)) for w in energy_weights]
    return min(tried, key=lambda found: found[0].score)


def _named(kind: int) -> str:
    transform, envelope = RADIAL[kind]
    return f"Agnesi({transform.p:g}, {transform.q:g}) with exponent {envelope.exponent:g}"


def _without_constants(R: np.ndarray, basis: ACEBasis) -> tuple[np.ndarray, np.ndarray]:
    """Columns of θ alone and the right-hand side: the constants are −B(no neighbors) · θ."""
    X = R[:, :-1].reshape(len(R), len(basis.species), 1 + len(basis))
    vacuum = features_of_isolated_atoms(basis)
    return (X[:, :, 1:] - X[:, :, :1] * vacuum).reshape(len(R), -1), R[:, -1]


def _needs(basis: ACEBasis, groups: Sequence[np.ndarray]) -> csr_array:
    """Extended products that the evaluation of each group of features multiplies, shape (n_groups, n_products)."""
    operators = basis.operators(basis.species[0])
    found = abs(operators.extended_symmetrization)
    if operators.invariant_purification is not None:
        found = abs(operators.invariant_purification) @ found
    found = csr_array(found)
    rows = np.concatenate([np.full(len(group), g) for g, group in enumerate(groups)])
    gather = csr_array((np.ones(len(rows)), (rows, np.concatenate(groups))), shape=(len(groups), len(basis)))
    needs = csr_array(gather @ found)
    needs.data[:] = 1.0
    return needs


def _take_census(labeled: LabeledSet) -> _Census:
    """One pass over the structures."""
    counts = np.zeros(int(_SEARCHED * _BINS_PER_ANGSTROM) + 1, dtype=np.int64)
    met: set[frozenset[str]] = set()
    n_forces = n_rows = 0
    for k, item in enumerate(labeled):
        with naming_structure(k):
            pairs = neighbor_list(item.atoms, _SEARCHED)
        met.add(frozenset(item.atoms.get_chemical_symbols()))
        n_forces += 0 if item.forces is None else item.forces.size
        n_rows += (item.energy is not None) + 6 * (item.virial is not None)
        if pairs.n_pairs:
            r = np.linalg.norm(pairs.vectors, axis=1)
            starts = pairs.offsets[:-1][np.diff(pairs.offsets) > 0]
            counts += np.bincount(
                (np.minimum.reduceat(r, starts) * _BINS_PER_ANGSTROM).astype(np.int64), minlength=len(counts)
            )
    if not counts.any():
        raise ValueError(f"no structure has two atoms within {_SEARCHED:g} Å; give a basis")
    nearest = (np.searchsorted(np.cumsum(counts), 0.5 * counts.sum()) + 0.5) / _BINS_PER_ANGSTROM
    return _Census(float(nearest), frozenset(met), n_forces, n_rows + n_forces)
