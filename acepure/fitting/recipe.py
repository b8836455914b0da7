"""The automatic recipe: cutoff, radial functions and functions of a fit, from the training data alone.

    one pass            median nearest-neighbor distance d, combinations of elements, contradictions of virials
    candidates          cutoffs 1.8, 2.1, 2.5, 2.9 d and on while the best is the longest; two kinds of functions; half
                        of their number, some of the forces, errors of folds left out
    selection           from a pool of 3.5 times the functions, by gain / cost^¼; none where a pair never met
    final rows          all of them; weights by errors of folds left out (see `weight_choice.py`, `group_choice.py`)

No choice depends on the names of elements. The number of unknowns in all, over the species of center, is `size`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array

from acepure._utils.checks import count
from acepure._utils.workers import Workers, naming_structure
from acepure.features.basis import ACEBasis
from acepure.features.linear import features_of_isolated_atoms
from acepure.fitting.checkpoints import Checkpoints, inputs_of
from acepure.fitting.design import Design
from acepure.fitting.labeled import LabeledSet
from acepure.fitting.priors import SmoothnessPrior
from acepure.fitting.recipe_combinations import choose_correlations, folds_of_combinations, left_out_with
from acepure.fitting.recipe_triangles import FoldTriangles, assemble_folds
from acepure.fitting.selection import select_groups
from acepure.fitting.solvers import solve
from acepure.fitting.species_prior import has_common_functions
from acepure.fitting.system import TELLING, prior_from_evidence, unknowns
from acepure.fitting.weight_choice import ENERGY_WEIGHTS, WeightChoice, choose_weights
from acepure.functions.envelopes import SmoothEnvelope
from acepure.functions.radial import PolynomialRadialBasis
from acepure.functions.transforms import AgnesiTransform
from acepure.labels.selection import Specification
from acepure.neighbors.lists import neighbor_list

_log = logging.getLogger(__name__)

#: Radial functions: a transform and an envelope.
RADIAL = (
    (AgnesiTransform(p=1, q=3), SmoothEnvelope(2)),
    (AgnesiTransform(p=2, q=4), SmoothEnvelope(3)),
)
_REACHES = (1.8, 2.1, 2.5, 2.9)  # in nearest-neighbor distances; the least sees two shells of common crystals
_FIRST = 2.5  # with both kinds of radial functions
_GROWTH = 1.16  # from each to the next
# A longer cutoff costs more: the sum of the logarithms of errors must fall by this.
_WORTH = 0.01
#: The degrees of the functions: an l counts 1.5, radial functions from n = 1.
SHAPE: dict[str, Any] = {"wL": 1.5, "n_start": 1}
_ORDER = 3
_POOL, _MOST_POOL = 3.5, 4000  # functions to select from, in numbers of selected ones; unknowns at most
_LEAST_POOL = 1.2
# Selected by gain / cost^thrift: with ½ potentials evaluate a quarter fewer products than with 0, and errors at equal
# size are 1 to 6 % larger; with ¼ it is 10 % and 1 %.
_THRIFT = 0.25
# Rows of forces per unknown of candidates and pools: structures are passed over while there are more.
_FORCES_PER_UNKNOWN, _MOST_THINNING = 30, 4
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
    virials : bool
        Whether virials count.
    prior : SmoothnessPrior
        How much species know of each other, of the first candidate: by the evidence, or by combinations of elements
        left out.
    summary : list of str
    """

    basis: ACEBasis
    virials: bool
    prior: SmoothnessPrior
    summary: list[str] = field(default_factory=list)


class _Census(NamedTuple):
    nearest: float  #: median nearest-neighbor distance, Å
    met: frozenset[frozenset[str]]  #: sets of species of the structures
    n_forces: int  #: components of forces
    n_rows: int  #: labels of any kind, six for a virial

    def to_list(self) -> list[Any]:
        """Return JSON types."""
        return [self.nearest, sorted(map(sorted, self.met)), self.n_forces, self.n_rows]

    @classmethod
    def from_list(cls, values: Sequence[Any]) -> _Census:
        """Return the inverse of `to_list`."""
        return cls(values[0], frozenset(map(frozenset, values[1])), *values[2:])


class _Trial(NamedTuple):
    cutoff: float
    kind: int
    choice: WeightChoice


def default_size(n_species: int) -> int:
    """Return the number of unknowns in all: 300 n^1.5 for n species, so 300, 849, 1559, 2400, ...; 4000 at most.

    With more, normal equations would be solved, in which species do not know of each other.

    Examples
    --------
    >>> default_size(1), default_size(4), default_size(8)
    (300, 2400, 4000)
    """
    return min(round(300 * n_species**1.5), _MOST_POOL)


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
    checkpoints: Checkpoints | None = None,
    workers: Workers = 1,
    num_threads: int | None = None,
    progress: bool | None = None,
) -> Recipe:
    """Choose the basis of a fit.

    Parameters
    ----------
    labeled : LabeledSet
        At least two structures.
    design : callable
        Basis → rows with relative weights of groups.
    prior : SmoothnessPrior
    weights : sequence of three numbers
        (w_E, w_F, w_V) to begin with.
    size : int, optional
        Unknowns in all, over all species of center; default `default_size`.
    canonical : bool
    energy_weights : sequence of float
        To try with the candidates; none: the weights are given, and stay.
    folds : int
    checkpoints : Checkpoints, optional
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
    folds = min(folds, len(labeled))
    work = {"workers": workers, "num_threads": num_threads, "progress": progress}
    search = _Search(labeled, design, prior, weights, energy_weights, canonical, folds, work, checkpoints)
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
        work: dict[str, Any],
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self.labeled, self.design, self.prior, self.weights = labeled, design, prior, tuple(weights)
        self.energy_weights, self.canonical, self.folds = energy_weights, canonical, folds
        self.work = work
        self.checkpoints = Checkpoints() if checkpoints is None else checkpoints
        self.census = _Census.from_list(self.checkpoints.value("census", None, lambda: take_census(labeled).to_list()))
        self.tried, self.contradiction, self.about_species = False, "", ""

    def basis(self, n_functions: int, cutoff: float, kind: int) -> ACEBasis:
        """The largest basis by total degree; of lower order where order 3 would have more functions."""
        radial = PolynomialRadialBasis(cutoff, *RADIAL[kind])
        for order in range(_ORDER, 0, -1):
            try:
                chosen = Specification.create(self.labeled.species, order, n_functions=n_functions, **SHAPE)
            except ValueError:
                if order == 1:
                    raise
                continue
            break
        dictionary = chosen.to_dict()
        return ACEBasis(dictionary.pop("species"), radial=radial, canonical=self.canonical, **dictionary)

    @cached_property
    def complete(self) -> bool:
        """Whether some structure holds each set of as many species as functions see, the center included."""
        species = self.labeled.species
        most = min(_ORDER + 1, len(species))
        return not self.unmet(most)

    def unmet(self, n_species: int) -> int:
        """Return how many sets of so many species no structure holds."""
        some = combinations(self.labeled.species, n_species)
        return sum(not any(set(one) <= seen for seen in self.census.met) for one in some)

    def thinning(self, design: Design) -> int:
        """Every how manieth structure gives forces: as many as tell functions from noise."""
        enough = _FORCES_PER_UNKNOWN * design.n_columns
        return int(np.clip(self.census.n_forces // enough, 1, _MOST_THINNING))

    def rows(self, design: Design) -> FoldTriangles:
        """Rows of all energies, and of some of the forces."""
        return assemble_folds(design, self.labeled, self.folds, thinning=self.thinning(design), **self.work)

    def inputs(self, design: Design, *others: Any) -> list[Any]:
        """All that rows of a design, and what is chosen from them, depend on."""
        return [inputs_of(design), self.folds, self.thinning(design), asdict(self.prior), *others]

    def trial(self, n_functions: int, cutoff: float, kind: int) -> _Trial:
        """Errors of folds left out, at the best weights.

        The first trial decides whether virials count, and how much species know of each other.
        """
        design = self.design(self.basis(n_functions, cutoff, kind))
        first, offered = not self.tried, self.energy_weights

        def make() -> list[Any]:
            rows, prior, about = self.rows(design), self.prior, ""
            if first:
                known = self.by_combinations(2 * n_functions, cutoff, kind)
                prior, about = known or prior_from_evidence(design.basis, prior, rows.weighted(self.weights))
            virials_may_go = first and len(offered) > 0
            coordinates = unknowns(design.basis, prior)
            choice, _ = choose_weights(rows, coordinates, self.weights, offered, virials_may_go=virials_may_go)
            return [list(choice), asdict(prior), about]

        inputs = self.inputs(design, self.weights, list(offered), first)
        choice, prior, about = self.checkpoints.value("candidate", inputs, make)
        found = WeightChoice.from_list(choice)
        if found.weights[2] != self.weights[2]:
            self.contradiction = found.contradiction
            self.weights = (*self.weights[:2], found.weights[2])
        self.tried, self.prior = True, SmoothnessPrior(**prior)
        self.about_species = self.about_species or about
        return _Trial(cutoff, kind, found)

    def by_combinations(self, n_functions: int, cutoff: float, kind: int) -> tuple[SmoothnessPrior, str] | None:
        """How much species know of each other where some never met, and words; None where nothing can be left out.

        By as many functions, but no more unknowns than the evidence takes.
        """
        each = min(n_functions, TELLING // len(self.labeled.species))
        if self.complete or None not in (self.prior.neighbors, self.prior.centers) or not each:
            return None
        design = self.design(self.basis(each, cutoff, kind))
        fold, members = folds_of_combinations([frozenset(item.atoms.symbols) for item in self.labeled])
        left = left_out_with(members)
        if len(left) < 2 or not has_common_functions(design.basis):
            return None
        rows = assemble_folds(design, self.labeled, fold, thinning=self.thinning(design), **self.work)
        return choose_correlations(design.basis, self.prior, rows, left, self.weights)

    # --- cutoff and radial functions --------------------------------------------------------------------------

    def radial_functions(self, n_functions: int) -> _Trial:
        """The best cutoff and radial functions, by errors of folds left out."""
        trials: dict[tuple[float, int], _Trial] = {}

        def tried(reach: float, kind: int) -> _Trial:
            if (reach, kind) not in trials:
                found = trials[reach, kind] = self.trial(n_functions, reach * self.census.nearest, kind)
                _log.info(f"cutoff {found.cutoff:.2f} Å, {named(kind)}: {found.choice.errors}")
            return trials[reach, kind]

        _log.info(
            f"candidates: about {n_functions} functions per species, {self.folds} folds; nearest neighbors are at "
            f"{self.census.nearest:.3f} Å (median)"
        )
        kind = min((0, 1), key=lambda k: tried(_FIRST, k).choice.score)
        reaches = [*_REACHES]
        while True:
            row = [tried(reach, kind) for reach in reaches]
            best = self._best(row)
            if best < len(reaches) - 1:
                break
            mean, error = row[best].choice.difference(row[best - 1].choice)
            if mean > -error:
                break  # by chance
            reaches.append(reaches[-1] * _GROWTH)
        chosen = min((tried(reaches[best], k) for k in (0, 1)), key=lambda t: t.choice.score)
        _log.info(f"chosen: cutoff {chosen.cutoff:.3f} Å, {named(chosen.kind)}\n")
        return chosen

    @staticmethod
    def _best(trials: Sequence[_Trial]) -> int:
        """The shortest cutoff that no longer one beats by what it is worth."""
        best = 0
        for k, trial in enumerate(trials):
            if trial.choice.score < trials[best].choice.score - _WORTH:
                best = k
        return best

    # --- functions --------------------------------------------------------------------------------------------

    def selected(self, best: _Trial, each: int) -> Recipe:
        """The basis of the best trial with functions selected from a pool, or by total degree.

        What is selected serves what was met: where pairs of species never met, errors of these may be several times as
        large as by total degree.
        """
        n_species = len(self.labeled.species)
        head = (
            f"cutoff {best.cutoff:.3f} Å and {named(best.kind)} by errors of folds left out ({best.choice.errors}, "
            f"with about half of the functions)"
        )
        heads = [text for text in (self.contradiction, self.about_species, head) if text]
        virials = not self.contradiction
        allowed = {
            "would take too much memory": _MOST_POOL / n_species,
            f"needs {_ROWS_PER_UNKNOWN} rows per unknown": self.census.n_rows / _ROWS_PER_UNKNOWN / n_species,
        }
        pool_size = int(min(_POOL * each, *allowed.values()))
        unmet = self.unmet(2)
        if unmet or pool_size < _LEAST_POOL * each:
            basis = self.basis(each, best.cutoff, best.kind)
            few = f"a pool to select from {min(allowed, key=lambda reason: allowed[reason])}"
            why = f"none are selected, as {unmet} pairs of elements never met" if unmet else few
            tail = f"{len(basis)} functions per species of center by total degree; {why}"
            _log.info(f"{tail}\n")
            return Recipe(basis, virials, self.prior, [*heads, tail])
        pool = self.basis(pool_size, best.cutoff, best.kind)
        design = self.design(pool)
        names, columns = self._groups(pool)
        inputs = self.inputs(design, best.choice.weights, each)
        order = self.checkpoints.value(
            "selection", inputs, lambda: self._selection(design, columns, best.choice.weights, each)
        )
        functions = [function for g in order for function in names[g]]
        radial = PolynomialRadialBasis(best.cutoff, *RADIAL[best.kind])
        basis = ACEBasis(
            self.labeled.species,
            functions=functions,
            n_start=SHAPE["n_start"],
            radial=radial,
            canonical=self.canonical,
        )
        orders = ", ".join(f"{n} of order {nu}" for nu, n in enumerate(basis.specification.sizes, 1))
        tail = (
            f"{len(basis)} functions per species of center selected from {len(pool)} by gain / cost^{_THRIFT:g}: "
            f"{orders}"
        )
        _log.info(f"{tail}\n")
        return Recipe(basis, virials, self.prior, [*heads, tail])

    def _selection(
        self, design: Design, columns: Sequence[np.ndarray], weights: Sequence[float], each: int
    ) -> list[int]:
        """Numbers of the selected groups of features, of so many features per species."""
        basis, n_species = design.basis, len(self.labeled.species)
        triangle = self.rows(design).weighted(weights)
        lam = solve(unknowns(basis, self.prior).problem(triangle), "blr").lam
        X, y = _without_constants(triangle.R, basis)
        every = [np.concatenate([z * len(basis) + group for z in range(n_species)]) for group in columns]
        needs = _needs(basis, columns)
        # Species know of each other within families alone, so that groups of columns stay what they are.
        prior = self.prior if not self.complete else replace(self.prior, neighbors=0.0)
        X, ridge = X @ unknowns(basis, prior, "none").T, np.full(X.shape[1], np.sqrt(lam))
        return select_groups(X, y, every, each * n_species, ridge=ridge, needs=needs, thrift=_THRIFT)

    def _groups(self, pool: ACEBasis) -> tuple[list[list[Any]], list[np.ndarray]]:
        """Functions that come and go together, as explicit functions, and their features.

        The couplings of a block; where some combination of species never met, blocks that differ by species alone:
        those without data say nothing of their worth.
        """
        families: dict[Any, tuple[dict[Any, None], list[int]]] = {}
        for k, label in enumerate(pool.labels):
            factors = tuple(zip(label.species, label.n, label.l))
            key = factors if self.complete else tuple(sorted((n, l) for _, n, l in factors))
            functions, features = families.setdefault(key, ({}, []))
            functions[factors] = None
            features.append(k)
        return [list(f) for f, _ in families.values()], [np.array(k) for _, k in families.values()]


def named(kind: int) -> str:
    """Return the radial functions in words."""
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


def take_census(labeled: LabeledSet) -> _Census:
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
