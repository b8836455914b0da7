"""From labeled structures and a basis to coefficients: all steps of a fit, one after the other."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, islice
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii

from acepure._utils.checks import count, flag
from acepure._utils.workers import Workers, checked_workers
from acepure.errors import CoverageWarning
from acepure.features.basis import ACEBasis, check_basis
from acepure.fitting.checkpoints import Checkpoints, inputs_of
from acepure.fitting.consistency import check_consistency
from acepure.fitting.design import Design, Triangle, assemble
from acepure.fitting.group_choice import final_rows, held_out_text
from acepure.fitting.labeled import LabeledSet, LabeledStream, label_structures
from acepure.fitting.met import Met, what_was_met
from acepure.fitting.normal_equations import is_large, solve_normal_equations
from acepure.fitting.occupancy import without_impossible
from acepure.fitting.priors import SmoothnessPrior, resolve_prior
from acepure.fitting.recipe import choose_basis
from acepure.fitting.recipe_large import LARGE_SIZE, choose_large_basis
from acepure.fitting.recipe_weights import relative_weights, without_virials
from acepure.fitting.reference_energies import is_isolated, reference_energies, reference_table
from acepure.fitting.solvers import LARGE, checked_options, solve
from acepure.fitting.species_prior import unmet_text
from acepure.fitting.system import Unknowns, prior_from_evidence, undetermined_text, unknowns
from acepure.fitting.weight_choice import ENERGY_WEIGHTS
from acepure.fitting.weights import Weights, resolve_weights
from acepure.functions.radial import PolynomialRadialBasis
from acepure.models.coverage import Surroundings
from acepure.models.posterior import Posterior
from acepure.models.repulsion import PairCore, ZBLCore
from acepure.references import RadialDensity, Reference

_log = logging.getLogger(__name__)

# Share of an ideal gas in the density of the coordinates. Without it, fits to molecules, whose distances are a few
# narrow peaks, had errors of hundreds of eV/Å on structures a little outside; from 0.01 to 0.5 it does not matter.
_BACKGROUND = 0.1
# Where the core of a pair that no structure holds ends, in sums of covalent radii; never beyond what either has met.
_UNSEEN_CORE = 0.7
# Of a fit that chooses its basis.
_FOLDS = 5
#: How reports call reference energies that are no energies of atoms.
LEAST_SQUARES = "the composition's part of the energies, by least squares"
# So many structures of a stream are held for a moment, to compare their labels with each other.
_MOST_COMPARED = 10_000


@dataclass(frozen=True, eq=False)
class FitResult:
    """Coefficients and where they come from.

    Attributes
    ----------
    basis : ACEBasis
        In the coordinates of the reference.
    coefficients : numpy.ndarray, shape (n_species, n_features)
        θ in eV.
    E0s : dict
        eV.
    posterior : numpy.ndarray, shape (n_species, n_features, n_unknowns), FactoredPosterior or None
        S: the covariance of θ is S Sᵀ.
    noise : float
        σ, of the weighted rows.
    summary : list of str
        What was done.
    core : PairCore, optional
    shortest : dict
        Shortest distance of each ordered pair of species in the structures, Å.
    surroundings : Surroundings
        Which species are around one atom in the structures.
    choices : dict
        Basis before it was referred to data, weights, prior and folds: what makes the same fit again. JSON types.
    coordinates : Unknowns, optional
        The unknowns that the solver had; None for normal equations.
    lam : float
        λ of its ridge.
    """

    basis: ACEBasis
    coefficients: np.ndarray
    E0s: dict[str, float]
    posterior: Posterior | None
    noise: float
    summary: list[str]
    core: PairCore | None
    shortest: dict[tuple[str, str], float]
    surroundings: Surroundings
    choices: dict[str, Any]
    coordinates: Unknowns | None = None
    lam: float = 0.0

    @property
    def report(self) -> dict[str, Any]:
        """What models keep of how they were made."""
        regression = {"noise": self.noise, "weights": self.choices["weights"]}
        return {"summary": self.summary, "choices": self.choices, "regression": regression}

    def of_model(self) -> dict[str, Any]:
        """What a model is made of, beside its coefficients: arguments of its constructor."""
        known = {"shortest": self.shortest, "surroundings": self.surroundings}
        return {"basis": self.basis, "E0s": self.E0s, "core": self.core, **known, "report": self.report}


def labeled_data(structures: Iterable[Atoms] | LabeledSet, **keys: Any) -> LabeledSet:
    """Return structures with labels; `keys` are those of `label_structures`."""
    if isinstance(structures, LabeledSet):
        if keys:
            raise ValueError(f"structures have labels already; {', '.join(sorted(keys))} would change nothing")
        return structures
    return label_structures(structures, **keys)


def fit_coefficients(
    labeled: LabeledSet,
    basis: ACEBasis | None = None,
    *,
    size: int | None = None,
    canonical: bool = True,
    folds: int | None = None,
    reference: Reference | str | None = "density",
    weights: Weights | Mapping[str, Any] | Sequence[float] | None = None,
    E0s: Mapping[str, float] | str | float = "auto",
    prior: SmoothnessPrior | str | None = "algebraic",
    solver: str = "auto",
    options: Mapping[str, float] | None = None,
    core: PairCore | str | None = "zbl",
    check: bool = True,
    checkpoints: Checkpoints | None = None,
    workers: Workers = 1,
    num_threads: int | None = None,
    progress: bool | None = None,
) -> FitResult:
    """Fit; the arguments are those of `LinearACE.fit`, which documents them.

    Parameters
    ----------
    checkpoints : Checkpoints, optional
        Results of stages that are kept, and taken.
    """
    checkpoints = Checkpoints() if checkpoints is None else checkpoints
    workers = checked_workers(workers)
    options = checked_options(solver, options or {}, large=True)
    prior = resolve_prior(prior)
    _check_choice(basis, size, canonical, folds, labeled)
    given = weights is not None
    weights = resolve_weights(weights, labeled.config_types)
    _log.info(f"{labeled}\n" if basis is None else f"{labeled}\n\n{weights}\n")
    contradictions = _compare_labels(labeled) if check else ()
    work: dict[str, Any] = {"workers": workers, "num_threads": num_threads, "progress": progress}
    start = _Start(basis, weights, folds, (), prior, [])
    if size is not None and size > LARGE_SIZE and solver in ("auto", LARGE) and reference == "density":
        weights = weights if given else without_virials(weights, contradictions, labeled.config_types)

        def plain(trial: ACEBasis) -> Design:
            fixed = resolved_core(core, trial, {}) if isinstance(core, PairCore) else None
            return Design(trial, weights, resolved_energies(labeled, trial, E0s), fixed)

        basis, reasons = choose_large_basis(labeled, plain, size, canonical=canonical, checkpoints=checkpoints, **work)
        start, solver = _Start(basis, weights, folds, (), prior, reasons), LARGE
    elif basis is None:
        tried: Sequence[float] = () if given else ENERGY_WEIGHTS
        excluded = () if given else contradictions
        folds = min(_FOLDS if folds is None else folds, len(labeled))

        def trial_design(trial: ACEBasis, relative: Weights) -> Design:
            referred = referred_basis(trial, reference, labeled, workers, progress)
            fixed = resolved_core(core, trial, {}) if isinstance(core, PairCore) else None
            return Design(referred, relative, resolved_energies(labeled, trial, E0s), fixed)

        kept: dict[str, Any] = {"size": size, "canonical": canonical, "checkpoints": checkpoints, **work}
        start = _chosen(labeled, trial_design, prior, weights, excluded, tried, folds, kept)
    assert start.basis is not None
    check_species(start.basis, labeled)
    large = solver == LARGE or (solver == "auto" and reference == "density" and is_large(start.basis))
    if large:
        start = start._replace(basis=without_impossible(start.basis, (item.atoms for item in labeled)))
    prepared = _prepared(labeled, start, None if large and reference == "density" else reference, core, E0s, work)
    if large:
        return _by_normal_equations(labeled, prepared, options.get("alpha"), work)
    return _by_triangle(labeled, prepared, solver, options, checkpoints, work)


@dataclass(frozen=True, eq=False)
class _Prepared:
    """Everything that is known before there are rows."""

    start: _Start
    design: Design
    met: Met
    unmet: str
    about_E0s: str
    n_rows: int

    def result(
        self,
        labeled: LabeledSet,
        solved: tuple[np.ndarray, Posterior | None, float],
        reasons: list[str],
        notes: list[str],
        **more: Any,
    ) -> FitResult:
        """Complete coefficients, their posterior and the noise to the result of a fit."""
        design, start = self.design, self.start
        weights = more.pop("weights", start.weights)
        assert start.basis is not None
        return FitResult(
            design.basis,
            solved[0],
            dict(design.E0s),
            *solved[1:],
            [
                *reasons,
                f"{self.n_rows:,} rows of {len(labeled):,} structures",
                *notes,
                f"E0 are {self.about_E0s}",
                *_about_core(design.core, design.basis),
            ],
            design.core,
            self.met.shortest,
            self.met.surroundings,
            {
                "basis": start.basis.to_dict(),
                "weights": weights.to_dict(),
                "prior": start.prior.to_dict(),
                "folds": start.folds,
                "reasons": more.pop("why", reasons),
            },
            **more,
        )


def _prepared(
    labeled: LabeledSet,
    start: _Start,
    reference: Reference | str | None,
    core: PairCore | str | None,
    E0s: Mapping[str, float] | str | float,
    work: dict[str, Any],
) -> _Prepared:
    """Find what the structures hold; resolve the core, reference energies and coordinates."""
    basis, workers, progress = start.basis, work["workers"], work["progress"]
    assert basis is not None
    met = what_was_met(basis, labeled, workers, progress)
    unmet = unmet_text(basis, met.surroundings)
    if unmet:
        warnings.warn(unmet, CoverageWarning, stacklevel=4)
    core = resolved_core(core, basis, met.shortest)
    about_E0s = about_reference_energies(labeled, basis, E0s)
    E0s = resolved_energies(labeled, basis, E0s)
    _log.info(f"{reference_table(E0s)}\nE0 are {about_E0s}\n")
    design = Design(referred_basis(basis, reference, labeled, workers, progress, met), start.weights, E0s, core)
    n_rows = sum(design.n_rows(item) for item in labeled)
    _log.info(
        f"design matrix: {n_rows:,} × {design.n_columns:,}, {8 * n_rows * design.n_columns / 2**30:.2f} GiB, "
        f"reduced in parts to {8 * (design.n_columns + 1) ** 2 / 2**20:.1f} MiB\n"
    )
    return _Prepared(start, design, met, unmet, about_E0s, n_rows)


def _by_normal_equations(
    labeled: LabeledSet, prepared: _Prepared, alpha: float | None, work: dict[str, Any]
) -> FitResult:
    """Solve for thousands of unknowns."""
    solved = solve_normal_equations(prepared.design, labeled, alpha=alpha, **work)
    _log.info("\n".join(solved.summary) + "\n")
    folds, unmet = prepared.start.folds, prepared.unmet
    unused = [] if folds is None else ["no errors of folds left out, which this solver does not have"]
    notes = [*solved.summary, *unused, *([unmet] if unmet else [])]
    found = solved.coefficients, solved.posterior, solved.noise
    return prepared.result(labeled, found, prepared.start.reasons, notes)


def _by_triangle(
    labeled: LabeledSet,
    prepared: _Prepared,
    solver: str,
    options: Mapping[str, float],
    checkpoints: Checkpoints,
    work: dict[str, Any],
) -> FitResult:
    """Reduce the rows to a triangle, by folds if there are some, choose what is still open, and solve."""
    start, design, basis = prepared.start, prepared.design, prepared.design.basis
    weights, reasons, held_out = start.weights, start.reasons, []
    if start.folds is None:
        stored = checkpoints.arrays("rows", inputs_of(design), lambda: assemble(design, labeled, **work).arrays())
        triangle = Triangle.from_arrays(stored)
    else:
        offered: dict[str, Any] = {"energy_weights": start.energy_weights, "checkpoints": checkpoints}
        found = final_rows(design, labeled, unknowns(basis, start.prior), start.folds, **offered, **work)
        triangle, weights, reasons = found.triangle(), found.weights, [*reasons, *found.reasons]
        _log.info("\n".join([*found.reasons, "", str(weights)]) + "\n")
    # After the weights, so that the same weights give the same prior.
    prior, about_species = prior_from_evidence(basis, start.prior, triangle)
    coordinates = unknowns(basis, prior)
    if start.folds is not None:
        held_out.append(held_out_text(found, coordinates, design, labeled, **work))
        _log.info(f"{held_out[-1]}\n")
    solution = solve(coordinates.problem(triangle), solver, **options)
    open_ones = undetermined_text(basis, coordinates.feature_rows(), solution)
    notes = [solution.summary, *(text for text in (about_species, prepared.unmet, open_ones) if text)]
    _log.info("\n".join(notes) + "\n")
    solved = coordinates.coefficients(solution.u), coordinates.feature_rows() @ solution.root, solution.noise
    more = {"weights": weights, "why": reasons, "coordinates": coordinates, "lam": solution.lam}
    return prepared.result(labeled, solved, [*reasons, *held_out], notes, **more)


class _Start(NamedTuple):
    """What the rows of a fit are made from."""

    basis: ACEBasis | None
    weights: Weights
    folds: int | None
    energy_weights: Sequence[float]  #: to choose from
    prior: SmoothnessPrior
    reasons: list[str]


def _chosen(
    labeled: LabeledSet,
    design: Callable[[ACEBasis, Weights], Design],
    prior: SmoothnessPrior,
    weights: Weights,
    contradictions: Collection[str],
    energy_weights: Sequence[float],
    folds: int,
    kept: dict[str, Any],
) -> _Start:
    """Choose the basis, and whether virials count."""
    reasons = []
    if contradictions:
        weights = without_virials(weights, contradictions, labeled.config_types)
        reasons.append(f"virials contradict energies and are not used: {', '.join(contradictions)}")
        _log.info(f"{reasons[-1]}\n")
    relative, base = relative_weights(weights)
    recipe = choose_basis(
        labeled,
        lambda trial: design(trial, relative),
        prior,
        base,
        energy_weights=energy_weights,
        folds=folds,
        **kept,
    )
    if not recipe.virials:
        weights = without_virials(weights, labeled.config_types, labeled.config_types)
    return _Start(recipe.basis, weights, folds, energy_weights, recipe.prior, [*reasons, *recipe.summary])


def _check_choice(
    basis: ACEBasis | None, size: int | None, canonical: bool, folds: int | None, labeled: LabeledSet
) -> None:
    if basis is not None:
        check_basis(basis)
        if size is not None:
            raise ValueError(f"size={size!r} is for a basis that is chosen here; the basis given has its own size")
    else:
        if size is not None:
            count("size", size, least=len(labeled.species))
        if len(labeled) < 2:
            raise ValueError(f"choosing a basis needs at least 2 structures; got {len(labeled)}; give a basis")
    flag("canonical", canonical)
    if folds is not None and count("folds", folds, least=2) > len(labeled):
        raise ValueError(f"folds must be at most the number of structures, {len(labeled)}; got {folds}")


def check_species(basis: ACEBasis, labeled: Any) -> None:
    """Raise SpeciesError, which names the structure, if one of the labeled has a species that the basis lacks."""
    if set(labeled.species) <= set(basis.species):
        return
    for k, item in enumerate(labeled):
        basis.species_indices(item.atoms, f"structures[{k}]")  # raises for one of them, and names it


def _compare_labels(labeled: LabeledSet) -> tuple[str, ...]:
    """Warn of contradictions, and return the groups whose virials contradict energies.

    Structures that are not held in memory are compared up to a number.
    """
    held = list(islice(labeled, _MOST_COMPARED)) if isinstance(labeled, LabeledStream) else labeled
    found = check_consistency(held)
    if len(held) < len(labeled):
        _log.info(f"labels were compared with each other for the first {len(held):,} of {len(labeled):,} structures\n")
    return found.wrong_virials


def resolved_energies(labeled: LabeledSet, basis: ACEBasis, E0s: Mapping[str, float] | str | float) -> dict[str, float]:
    """Energies in eV of isolated atoms, from the source that E0s names, for all species of the basis."""
    E0s = _source_of_reference_energies(labeled, basis, E0s)
    return reference_energies(labeled, E0s, cutoff=basis.rcut, species=basis.species)


def _source_of_reference_energies(
    labeled: LabeledSet, basis: ACEBasis, E0s: Mapping[str, float] | str | float
) -> Mapping[str, float] | str | float:
    """What "auto" stands for; anything else as it is."""
    if not isinstance(E0s, str) or E0s != "auto":
        return E0s
    if not labeled.has_energies:
        return 0
    with_energy = (item.atoms for item in labeled if item.energy is not None)
    isolated = {atoms.symbols[0] for atoms in with_energy if is_isolated(atoms, basis.rcut)}
    return "isolated" if isolated >= set(basis.species) else "lstsq"


def about_reference_energies(labeled: LabeledSet, basis: ACEBasis, E0s: Mapping[str, float] | str | float) -> str:
    """Return what the reference energies are, in words: only isolated atoms make separation energies mean anything."""
    source = _source_of_reference_energies(labeled, basis, E0s)
    if isinstance(source, str) and source == "isolated":
        return "energies of isolated atoms in the data"
    if isinstance(source, str):
        return f"{LEAST_SQUARES}: no energies of isolated atoms, so that energies of separation mean nothing"
    return (
        "as given" if isinstance(source, Mapping) else "0: energies of separation mean nothing unless labels have 0 too"
    )


def referred_basis(
    basis: ACEBasis,
    reference: Reference | str | None,
    labeled: Iterable[Any],
    workers: Workers,
    progress: bool | None,
    met: Met | None = None,
) -> ACEBasis:
    """Return the basis in the coordinates of the fit; `met` of the same structures saves a pass over them."""
    if reference is None or (reference == "density" and not isinstance(basis.radial, PolynomialRadialBasis)):
        return basis
    if isinstance(reference, str):
        if reference != "density":
            raise ValueError(f'reference must be a Reference, "density" or None; got {reference!r}')
        if basis.reference is not None:
            return basis
        common = len(basis.species) > 1 and not np.ptp(basis.cutoffs)
        if met is not None and met.histogram is not None:
            measures = met.histogram.mean_measure() if common else met.histogram.measures()
            reference = RadialDensity(measures, basis.rcut, _BACKGROUND)
        else:
            structures = (item.atoms for item in labeled)
            options: dict[str, Any] = {"background": _BACKGROUND, "common": common}
            reference = RadialDensity.from_structures(
                structures, basis.rcut, **options, workers=workers, progress=progress
            )
    return basis.centered(reference)


def resolved_core(
    core: PairCore | str | None, basis: ACEBasis, shortest: Mapping[tuple[str, str], float]
) -> PairCore | None:
    """The core as given, or the screened repulsion of nuclei below the distances of the structures."""
    if isinstance(core, str):
        if core != "zbl":
            raise ValueError(f'core must be a PairCore, "zbl" or None; got {core!r}')
        radius = {s: covalent_radii[atomic_numbers[s]] for s in basis.species}
        outer = {}
        for (i, a), (j, b) in combinations_with_replacement(enumerate(basis.species), 2):
            seen = [shortest[pair] for pair in ((a, b), (b, a)) if pair in shortest]
            near = [r for pair, r in shortest.items() if {a, b} & set(pair)]
            end = min(seen) if seen else min([*near, _UNSEEN_CORE * (radius[a] + radius[b])])
            outer[a, b] = min(end, float(basis.cutoffs[i, j]), float(basis.cutoffs[j, i]))
        core = ZBLCore({pair: 0.5 * r for pair, r in outer.items()}, outer)
    if core is not None:
        if not isinstance(core, PairCore):
            raise TypeError(f'core must be a PairCore, "zbl" or None; got {core!r}')
        core.check_reach(basis.species, basis.cutoffs)
    return core


def _about_core(core: PairCore | None, basis: ACEBasis) -> list[str]:
    """A line on what repels below the data, for reports."""
    if core is None:
        return []
    pairs = combinations_with_replacement(basis.species, 2)
    ends = ", ".join(f"{a}-{b} {core.cutoff(a, b):.3f} Å" for a, b in pairs)
    return [f"{type(core).__name__} repels below {ends}"]
