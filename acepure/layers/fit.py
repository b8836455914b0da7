"""From labeled structures to a base and a trained network: all steps, one after the other."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
from ase import Atoms

from acepure._utils.checks import count, number
from acepure._utils.threads import resolve_num_threads
from acepure.features.basis import ACEBasis
from acepure.fitting.checkpoints import Checkpoints, bits_of
from acepure.fitting.fit import labeled_data
from acepure.fitting.labeled import LabeledSet
from acepure.fitting.recipe_triangles import interleaved_folds
from acepure.fitting.weights import resolve_weights
from acepure.layers._torch import torch
from acepure.layers.examples import Example, whitening_of
from acepure.layers.geometry import pairs_of
from acepure.layers.network import Architecture, Network
from acepure.layers.training import LEAST_TRIAL, RATES, TRIAL, Trainer, normalized, solved_read_out
from acepure.models.linear import LinearACE
from acepure.neighbors.environments import Environments

__all__: list[str] = []  # of no use outside

_log = logging.getLogger(__name__)

BASES = ("linear", "pair", None)
_MINUTES = 5.0
# Total degree of pair potentials; the part of the structures that is left out to choose a learning rate.
_PAIR_DEGREE, _FOLDS = 10, 10


@contextmanager
def _threads(num_threads: int | None) -> Iterator[None]:
    """PyTorch takes so many threads in this block."""
    before = torch.get_num_threads()
    torch.set_num_threads(resolve_num_threads(num_threads))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fit_layers(
    structures: Iterable[Atoms] | LabeledSet,
    basis: ACEBasis | None,
    architecture: Architecture,
    *,
    base: str | None,
    rcut: float | Mapping[tuple[str, str], float] | None,
    minutes: float | None,
    steps: int | None,
    seed: int,
    dtype: str,
    checkpoint: str | os.PathLike[str] | None,
    num_threads: int | None,
    progress: bool | None,
    **options: Any,
) -> tuple[LinearACE, Network, list[str]]:
    """Return base, network, and what was done; arguments as `LayeredACE.fit`."""
    _check(base, basis, rcut, minutes, steps, seed, dtype)
    torch.get_num_threads()  # raises without PyTorch, before any work
    keys = {name: options.pop(name) for name in list(options) if name.endswith("_key") or name == "prefix"}
    labeled = labeled_data(structures, **keys)
    if len(labeled) < 2:
        raise ValueError("structures must be at least two: some are left out to choose a learning rate; got 1")
    work: dict[str, Any] = {"num_threads": num_threads, "progress": progress}
    if base != "linear":
        basis = ACEBasis(labeled.species, 5.0 if rcut is None else rcut, 1, totaldegree=_PAIR_DEGREE)
    options = {"uncertainty": False, "calibrate_by": None, **options, "checkpoint": checkpoint, **work}
    linear = LinearACE.fit(labeled, basis, verbose=False, **options)
    if base is None:
        known: dict[str, Any] = {"shortest": linear.shortest_distances, "surroundings": linear.surroundings}
        zero = np.zeros_like(linear.coefficients)
        linear = LinearACE(linear.basis, zero, linear.E0s, core=linear.core, report=linear.report, **known)
    examples, whitening, neighbors = _examples(linear, labeled, architecture, num_threads)
    n_species = len(linear.basis.species)
    start = architecture.random(n_species, neighbors, seed) | {"whitening": whitening}
    network = normalized(Network(architecture, n_species, start), examples)
    checkpoints = Checkpoints(checkpoint, () if checkpoint is None else labeled)
    inputs = [asdict(architecture), seed, dtype, bits_of(linear.coefficients, whitening), linear.report["choices"]]
    trainer = Trainer(network, examples, seed, dtype, checkpoints, inputs)
    with _threads(num_threads):
        if steps is None:
            minutes = _MINUTES if minutes is None else minutes
            steps = checkpoints.value("layers-steps", [*inputs, minutes], lambda: _steps(trainer, minutes))
        groups = [item.config_type for item in labeled]
        held = interleaved_folds(groups, min(_FOLDS, len(labeled)))[0] == 0
        trial = max(round(TRIAL * steps), LEAST_TRIAL)
        rate, about_rate = trainer.chosen_rate(trial, np.flatnonzero(~held), np.flatnonzero(held))
        _log.info(f"{about_rate}\ntraining on all structures")
        average = trainer.run(steps, rate, np.arange(len(examples)), "layers-training")["average"]
        trained = Network(architecture, n_species, trainer.arrays(average))
        trained, about_read_out = solved_read_out(trained, examples, **work)
    n_parameters = sum(a.size for name, a in trained.arrays.items() if name != "whitening")
    summary = [f"{n_parameters:,} parameters of layers, {steps:,} steps, seed {seed}", about_rate, about_read_out]
    _log.info("\n".join(summary[::2]))
    return linear, trained, summary


def _check(base: Any, basis: Any, rcut: Any, minutes: Any, steps: Any, seed: Any, dtype: Any) -> None:
    if base not in BASES:
        raise ValueError(f'base must be "linear", "pair" or None; got {base!r}')
    if base != "linear" and basis is not None:
        raise ValueError(f"basis is for base='linear'; with base={base!r} there are pair terms alone, see rcut")
    if base == "linear" and rcut is not None:
        raise ValueError("rcut is for bases other than 'linear', which has the cutoff of its basis")
    if minutes is not None and steps is not None:
        raise ValueError("minutes and steps exclude each other")
    if minutes is not None:
        number("minutes", minutes, above=0)
    if steps is not None:
        count("steps", steps)
    count("seed", seed, least=0)
    if dtype not in ("float32", "float64"):
        raise ValueError(f'dtype must be "float32" or "float64"; got {dtype!r}')


def _examples(
    linear: LinearACE, labeled: LabeledSet, architecture: Architecture, num_threads: int | None
) -> tuple[list[Example], np.ndarray, float]:
    """Return structures less the base, what makes radial functions orthonormal, and the mean number of neighbors."""
    basis, weights = linear.basis, resolve_weights(linear.report["choices"]["weights"])
    environments = [Environments(basis, item.atoms, num_threads=num_threads) for item in labeled]
    radial, names = basis.radial.plain, basis.species
    lists = [(found.species, found.neighbors) for found in environments]
    whitening = whitening_of(lists, radial, names, architecture.n_radial)
    examples = []
    for item, (species, neighbors) in zip(labeled, lists):
        pairs = pairs_of(species, neighbors, radial, names, whitening, architecture.l_max)
        predicted = linear.evaluate(item.atoms, neighbors=neighbors, num_threads=num_threads)
        examples.append(Example.of(item, pairs, predicted, weights))
    n_pairs = sum(neighbors.n_pairs for _, neighbors in lists)
    return examples, whitening, n_pairs / sum(len(species) for species, _ in lists)


def _steps(trainer: Trainer, minutes: float) -> int:
    """Return how many steps of the last run fit into the time, trials of learning rates counted."""
    return max(int(60 * minutes / trainer.seconds_per_step() / (1 + TRIAL * len(RATES))), 1)
