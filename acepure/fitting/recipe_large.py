"""The recipe for thousands of unknowns: cutoff, radial functions and degrees by errors of structures left out.

    degrees     D, D − s, D − 2 s, ... for orders 1, 2, 3, ..., with the largest whole D that the size allows, and one
                more for as many of the first orders as fit
    unknowns    functions that some atom of a species has the neighbors for, over all species
    trials      with up to 3000 unknowns, as fewer ask for shorter cutoffs: fits by normal equations to nine tenths of
                the structures, at the best λ; the mean logarithm of errors of energies, forces and virials on the last
                tenth, with half of the logarithm of the unknowns, as errors fall about like their root
    in turn     cutoffs from 2.9 nearest-neighbor distances on, longer or shorter while errors fall; radial functions;
                orders and steps

Nothing is selected one by one: a pool to select thousands of functions from costs more than the fit.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from acepure.features.basis import ACEBasis
from acepure.fitting.checkpoints import Checkpoints, inputs_of
from acepure.fitting.design import Design
from acepure.fitting.labeled import LabeledSet
from acepure.fitting.normal_equations import held_out_score
from acepure.fitting.occupancy import neighbors_present, without_impossible
from acepure.fitting.recipe import RADIAL, SHAPE, named, take_census
from acepure.functions.radial import PolynomialRadialBasis
from acepure.labels.selection import Specification

_log = logging.getLogger(__name__)

#: Above so many unknowns this recipe is taken.
LARGE_SIZE = 2500
_TRIAL = 3000
_FIRST, _GROWTH = 2.9, 1.16  # cutoffs in nearest-neighbor distances
# Orders, and steps of the degree from each to the next.
_SHAPES = ((3, 3.0), (4, 3.0), (4, 2.0))
# Rows per unknown of a trial; structures are passed over while there are more.
_ROWS_PER_UNKNOWN = 10
# The mean logarithm of errors must fall by this for another shape.
_WORTH = 0.01
# Errors fall about like this power of the unknowns: on ethanol and acetylacetone 0.5 to 0.6.
_FALL = 0.5


class _Trial(NamedTuple):
    reach: float
    kind: int
    shape: tuple[int, float]
    score: float


def choose_large_basis(
    labeled: LabeledSet,
    design: Callable[[ACEBasis], Design],
    size: int,
    *,
    canonical: bool = True,
    checkpoints: Checkpoints | None = None,
    **work: Any,
) -> tuple[ACEBasis, list[str]]:
    """Choose the basis of a fit with thousands of unknowns.

    Parameters
    ----------
    labeled : LabeledSet
    design : callable
        Basis → rows.
    size : int
        Unknowns in all, at most.
    canonical : bool
    checkpoints : Checkpoints, optional
    **work
        workers, num_threads, progress, as elsewhere.

    Returns
    -------
    basis : ACEBasis
        Without functions that are zero in all structures.
    summary : list of str
    """
    search = _Search(labeled, design, canonical, Checkpoints() if checkpoints is None else checkpoints, work)
    tried = min(size, _TRIAL)
    best = search.best(tried)
    basis = search.basis(size, best)
    degrees = ", ".join(f"{d:g}" for d in basis.specification.totaldegree or ())
    summary = [
        f"cutoff {basis.rcut:.3f} Å, {named(best.kind)} and orders up to {best.shape[0]} by errors of a tenth of the "
        f"structures left out, with at most {tried:,} unknowns",
        f"total degrees {degrees}: the largest with at most {size:,} functions that can differ from zero",
    ]
    _log.info("\n".join(summary) + "\n")
    return basis, summary


class _Search:
    def __init__(
        self,
        labeled: LabeledSet,
        design: Callable[[ACEBasis], Design],
        canonical: bool,
        checkpoints: Checkpoints,
        work: Mapping[str, Any],
    ) -> None:
        self.labeled, self.design, self.canonical = labeled, design, canonical
        self.checkpoints, self.work = checkpoints, work
        self.nearest = take_census(labeled).nearest
        self.trials: dict[tuple[Any, ...], _Trial] = {}

    def basis(self, size: int, trial: _Trial) -> ACEBasis:
        """The largest basis of a shape with so many unknowns."""
        radial = PolynomialRadialBasis(trial.reach * self.nearest, *RADIAL[trial.kind])
        order, step = trial.shape

        def made(degrees: tuple[float, ...]) -> ACEBasis:
            options: dict[str, Any] = {"radial": radial, "canonical": self.canonical, **SHAPE}
            return ACEBasis(self.labeled.species, order=order, totaldegree=degrees, **options)

        lowest = made(tuple(float(nu) for nu in range(1, order + 1)))
        present = neighbors_present(lowest, (item.atoms for item in self.labeled))
        most = [counts.max(axis=0, initial=0) for counts in present]
        degrees = degrees_within(lowest.specification, most, size, step, canonical=self.canonical)
        return without_impossible(made(degrees), (item.atoms for item in self.labeled))

    def trial(self, size: int, reach: float, kind: int, shape: tuple[int, float]) -> _Trial:
        key = (reach, kind, shape)
        if key not in self.trials:
            basis = self.basis(size, _Trial(reach, kind, shape, np.nan))
            design = self.design(basis)
            rows = sum(design.n_rows(item) for item in self.labeled)
            every = max(1, rows // (_ROWS_PER_UNKNOWN * size))
            score, n_unknowns = self.checkpoints.value(
                "large candidate",
                [inputs_of(design), every],
                lambda: held_out_score(design, self.labeled, thinning=every, **self.work),
            )
            score += _FALL * np.log(n_unknowns / size)
            self.trials[key] = _Trial(reach, kind, shape, score)
            _log.info(f"cutoff {basis.rcut:.2f} Å, {named(kind)}, order {shape[0]}, steps of {shape[1]:g}: {score:.3f}")
        return self.trials[key]

    def best(self, size: int) -> _Trial:
        """One choice after the other."""
        _log.info(f"candidates: about {size:,} unknowns; nearest neighbors are at {self.nearest:.3f} Å (median)")
        shape = _SHAPES[0]
        best = self.trial(size, _FIRST, 0, shape)
        for factor in (_GROWTH, 1 / _GROWTH):
            while True:
                found = self.trial(size, best.reach * factor, 0, shape)
                if not found.score < best.score:
                    break
                best = found
            if best.reach != _FIRST:
                break
        others = [self.trial(size, best.reach, 1, shape)]
        best = min([best, *others], key=lambda trial: trial.score)
        for other in _SHAPES[1:]:
            found = self.trial(size, best.reach, best.kind, other)
            if found.score < best.score - _WORTH:
                best = found
        return best


def degrees_within(
    lowest: Specification, most: list[np.ndarray], size: int, step: float, *, canonical: bool = True
) -> tuple[float, ...]:
    """Return the largest total degrees D, D − s, D − 2 s, ... of at most so many unknowns.

    The first orders have one more where that fits.

    Parameters
    ----------
    lowest : Specification
        The smallest, of degrees n_start, 2 n_start, ...
    most : list of numpy.ndarray of int, shape (n_species,)
        For each species of center the largest number of neighbors of each species.
    size : int
        Functions that can differ from zero, over all species of center.
    step : float
        s.
    canonical : bool

    Examples
    --------
    >>> spec = Specification.create(["Si"], 3, totaldegree=[1, 2, 3], wL=1.5, n_start=1)
    >>> degrees_within(spec, [np.array([20])], 300, 4.0)
    (21.0, 16.0, 12.0)
    """
    limits = []
    for counts in most:
        few = counts if canonical else np.where(counts > 0, lowest.order, 0)
        limits.append({symbol: int(n) for symbol, n in zip(lowest.species, few) if n < lowest.order})

    def degrees(top: float) -> tuple[float, ...]:
        return tuple(max(top - step * nu, (nu + 1) * float(lowest.n_start)) for nu in range(lowest.order))

    def unknowns(chosen: tuple[float, ...]) -> int:
        found = replace(lowest, totaldegree=chosen)
        return sum(len(found.within(few)) for few, counts in zip(limits, most) if counts.any())

    def largest(candidates: list[tuple[float, ...]]) -> tuple[float, ...]:
        return candidates[bisect_right(candidates, size, key=unknowns) - 1]

    low = float(lowest.n_start)
    if unknowns(degrees(low)) > size:
        raise ValueError(f"size={size} is too small: order {lowest.order} has at least {unknowns(degrees(low))}")
    high = low + 1.0
    while unknowns(degrees(high)) <= size:
        high *= 2.0
    now = largest([degrees(low + k) for k in range(int(high - low) + 1)])
    more = degrees(now[0] + 1.0)
    return largest([(*more[:nu], *now[nu:]) for nu in range(lowest.order)])
