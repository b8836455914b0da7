"""Training of networks: Adam on energies, forces and virials, an average over its steps, the read-out solved exactly.

The loss of a batch is the sum of the weighted squares of errors, as in any fit, by the number of structures. Radial
functions are orthonormal for the pairs of the structures, and the read-out is in units of what is to be fitted, so that
all parameters are of order one and one learning rate does for all; it is the best of a few for a tenth of the
structures left out, in short runs. The last run sees all structures. Energies are linear in c: at last, these are
solved by least squares, with the ridge of largest evidence.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import cycle, islice
from math import cos, pi
from time import perf_counter, process_time
from typing import Any

import numpy as np

from acepure.fitting.checkpoints import Checkpoints
from acepure.fitting.design import assemble
from acepure.fitting.solvers import SolverProblem, solve
from acepure.layers._torch import Tensor, torch
from acepure.layers.examples import Example, LabeledBatch, batches, score
from acepure.layers.network import READ_OUT, Network

__all__: list[str] = []  # of no use outside

_log = logging.getLogger(__name__)

#: Learning rates to choose from, each tried for this part of the steps, or so many.
RATES, TRIAL, LEAST_TRIAL = (0.003, 0.01, 0.03), 0.1, 30
# Pairs of a batch; about.
_PAIRS = 1000
# Adam's; parts of the steps over which parameters are averaged, and the learning rate rises; largest gradient.
_BETA1, _BETA2, _EPSILON, _AVERAGE = 0.9, 0.99, 1e-8, 0.02
_WARM_UP, _CLIP = 0.05, 10.0
# Parts into which a run is divided, each a checkpoint.
_CHUNKS = 10
# Batches by which sizes are known at the start, and the least variation of messages, as a part of their means.
_SAMPLE, _LEAST_SPREAD = 5, 0.1
# Steps by which their time is known; the first ones take longer.
_TIMED, _UNTIMED = 8, 3


def normalized(network: Network, examples: Sequence[Example]) -> Network:
    """Return the network with messages that vary by about one among the atoms of a species, and neighbors near one."""
    sample = batches(examples, _PAIRS, np.arange(len(examples)))[:_SAMPLE]
    arrays = {name: a.copy() for name, a in network.arrays.items()}
    for t in range(1, network.architecture.n_layers + 1):
        trial = Network(network.architecture, network.n_species, arrays)
        found: list[tuple[np.ndarray, np.ndarray]] = []
        for part in sample:
            batch = LabeledBatch(part, trial, torch.float64)
            messages = trial.messages(trial.tensors(torch.float64), batch)
            found.append((batch.species.numpy(), messages[t - 1].detach().numpy()))
        species, values = (np.concatenate(parts) for parts in zip(*found))
        for z in np.unique(species):
            mine = values[species == z]
            mean = mine.mean(0)
            spread = np.sqrt(mine.var(0) + (_LEAST_SPREAD * mean) ** 2)
            spread[spread == 0] = 1.0
            arrays[f"w{t}"][z] /= spread
            if t < network.architecture.n_layers:
                arrays["h0"][z] = 1.0 - arrays["U"][z] @ (mean / spread)
    return Network(network.architecture, network.n_species, arrays)


@dataclass(frozen=True, eq=False)
class Trainer:
    """Training on some structures.

    Parameters
    ----------
    network : Network
        Where training starts.
    examples : sequence of Example
    seed : int
        Of the order of structures.
    dtype : str
        "float32" or "float64".
    checkpoints : Checkpoints
    inputs : list
        What training depends on besides the structures, JSON types.
    """

    network: Network
    examples: Sequence[Example]
    seed: int
    dtype: str
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    inputs: Sequence[Any] = ()

    @property
    def _type(self) -> Tensor:
        return getattr(torch, self.dtype)

    def _batch(self, examples: Sequence[Example]) -> LabeledBatch:
        return LabeledBatch(examples, self.network, self._type)

    def _unflat(self, flat: Tensor) -> dict[str, Tensor]:
        shapes = {name: a.shape for name, a in self.network.arrays.items() if name != "whitening"}
        parts = torch.split(flat, [int(np.prod(shape)) for shape in shapes.values()])
        result = {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts)}
        for name in result:
            if name[0] == "c":
                result[name] = result[name] * self.scale
        return result

    @cached_property
    def scale(self) -> float:
        """What c is in units of: labels, by what the network says at the start if its c are of order one."""
        sizes = np.zeros(2)
        tensors = self.network.tensors(self._type)
        zero, start = ({n: a * (s if n[0] == "c" else 1) for n, a in tensors.items()} for s in (0.0, 1 / READ_OUT))
        for part in batches(self.examples, _PAIRS, np.arange(len(self.examples)))[:_SAMPLE]:
            batch = self._batch(part)
            labels, found = (batch.errors(*self.predicted(chosen, batch, False)) for chosen in (zero, start))
            for a, b in zip(labels, found):
                sizes += float((a.detach() ** 2).sum()), float(((b - a).detach() ** 2).sum())
        return float(np.sqrt(sizes[0] / sizes[1])) if sizes.all() else 1.0

    def predicted(self, parameters: Mapping[str, Tensor], batch: LabeledBatch, graph: bool) -> tuple[Tensor, ...]:
        """Return site energies, forces and virials."""
        energies = self.network.energies(parameters, batch)
        gradients = torch.autograd.grad(energies.sum(), [batch.g, batch.Y], create_graph=graph)
        return (energies, *batch.forces(*gradients))

    def loss(self, flat: Tensor, part: Sequence[Example]) -> Tensor:
        """Return the loss of a batch."""
        batch = self._batch(part)
        errors = batch.errors(*self.predicted(self._unflat(flat), batch, True))
        return sum((e * e).sum() for e in errors) / len(part)

    def start(self) -> dict[str, np.ndarray]:
        """Return the state before the first step: parameters, Adam's means, the average, and the number of steps."""
        flat = np.concatenate([a.ravel() for name, a in self.network.arrays.items() if name != "whitening"])
        flat = flat.astype(self.dtype)
        zeros = np.zeros_like(flat)
        return {"theta": flat, "mean": zeros, "square": zeros, "average": flat, "step": np.array([0])}

    def run(self, steps: int, rate: float, seen: np.ndarray, name: str) -> Mapping[str, np.ndarray]:
        """Return the state after so many steps with the structures `seen`, by way of checkpoints."""
        edges = np.linspace(0, steps, min(_CHUNKS, steps) + 1).astype(int).tolist()
        begun = perf_counter()

        def state(k: int) -> Mapping[str, np.ndarray]:
            """After k parts: from the folder, or from the state before it, which is no longer needed then."""
            if not k:
                return self.start()
            inputs = [*self.inputs, steps, rate]
            found = self.checkpoints.arrays(
                name, [*inputs, k], lambda: self._stepped(state(k - 1), edges[k], steps, rate, seen)
            )
            self.checkpoints.forget(name, [*inputs, k - 1])
            spent = perf_counter() - begun
            _log.info(f"    step {edges[k]:,} of {steps:,}, {spent * (steps - edges[k]) / edges[k]:.0f} s to go")
            return found

        return state(len(edges) - 1)

    def _stepped(
        self, state: Mapping[str, np.ndarray], last: int, steps: int, rate: float, seen: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Go on from a state to a step."""
        theta, mean, square, average = (torch.tensor(state[name]) for name in ("theta", "mean", "square", "average"))
        step, keep, warm_up = int(state["step"][0]), 1 - 1 / max(_AVERAGE * steps, 1.0), max(_WARM_UP * steps, 1.0)
        rng = np.random.default_rng([self.seed, step])
        waiting: list[list[Example]] = []
        while step < last:
            if not waiting:
                waiting = batches(self.examples, _PAIRS, rng.permutation(seen))
            flat = theta.clone().requires_grad_()
            gradient = torch.autograd.grad(self.loss(flat, waiting.pop()), flat)[0]
            gradient = gradient * min(1.0, float(_CLIP / (gradient.norm() + 1e-30)))
            step += 1
            mean = _BETA1 * mean + (1 - _BETA1) * gradient
            square = _BETA2 * square + (1 - _BETA2) * gradient**2
            now = rate * min(step / warm_up, 1.0) * 0.5 * (1 + cos(pi * step / (steps + 1)))
            change = mean / (1 - _BETA1**step) / ((square / (1 - _BETA2**step)).sqrt() + _EPSILON)
            theta = (theta - now * change).detach()
            average = keep * average + (1 - keep) * theta if step > warm_up else theta
        arrays = {"theta": theta, "mean": mean, "square": square, "average": average}
        return {**{name: a.numpy() for name, a in arrays.items()}, "step": np.array([step])}

    def score(self, average: np.ndarray, which: np.ndarray) -> float:
        """Return the mean logarithm of errors of some structures."""
        parameters = self._unflat(torch.as_tensor(average))
        chosen = [self.examples[k] for k in which]
        return score(chosen, lambda b: tuple(x.detach() for x in self.predicted(parameters, b, False)), self._batch)

    def chosen_rate(self, steps: int, seen: np.ndarray, left_out: np.ndarray) -> tuple[float, str]:
        """Return the learning rate that is best for structures left out in short runs, and what was found."""
        zero = np.zeros_like(self.start()["theta"])
        baseline, found = self.score(zero, left_out), {}
        for rate in RATES:
            state = self.run(steps, rate, seen, f"layers-trial-{rate:g}")
            found[rate] = self.score(state["average"], left_out)
            _log.info(f"learning rate {rate:g}: {np.exp(found[rate] - baseline):.3f} of the errors of the base")
        best = min(found, key=lambda rate: found[rate])
        text = f"learning rate {best:g}, by {len(left_out)} structures left out in short runs: their errors are "
        return best, text + f"{np.exp(found[best] - baseline):.3f} of those of the base"

    def seconds_per_step(self) -> float:
        """Return the time of a step, measured by the clock of the processor."""
        flat, times = torch.tensor(self.start()["theta"]).requires_grad_(), []
        for part in islice(cycle(batches(self.examples, _PAIRS, np.arange(len(self.examples)))), _UNTIMED + _TIMED):
            begun = process_time()
            torch.autograd.grad(self.loss(flat, part), flat)
            times.append((process_time() - begun) / torch.get_num_threads())
        return float(np.median(times[_UNTIMED:]))

    def arrays(self, average: np.ndarray) -> dict[str, np.ndarray]:
        """Return the arrays of a network."""
        found = self._unflat(torch.as_tensor(average.astype(np.float64)))
        return {"whitening": self.network.arrays["whitening"], **{name: a.numpy() for name, a in found.items()}}


@dataclass(frozen=True, eq=False)
class ReadOut:
    """Rows of a fit of c: energies, forces and virials of each message, summed over the atoms of a species.

    Columns are (layer, species, channel).
    """

    network: Network

    @property
    def n_columns(self) -> int:
        architecture = self.network.architecture
        return architecture.n_layers * self.network.n_species * architecture.channels

    def n_rows(self, item: Example) -> int:
        return (
            int(item.factors[0] > 0)
            + 3 * len(item.pairs.species) * int(item.factors[1] > 0)
            + 9 * int(item.factors[2] > 0)
        )

    def rows(self, item: Example, num_threads: int | None = None) -> np.ndarray:
        """Return weighted rows, right-hand side last, shape (n_rows, n_columns + 1)."""
        batch = LabeledBatch([item], self.network, torch.float64)
        messages = self.network.messages(self.network.tensors(torch.float64), batch)
        of_species = torch.nn.functional.one_hot(batch.species, self.network.n_species).to(torch.float64)
        sums = torch.cat([(of_species.T @ m).ravel() for m in messages])
        moved, strained = [], []
        for total in sums:
            gradients = torch.autograd.grad(total, [batch.g, batch.Y], retain_graph=True)
            forces, virials = batch.forces(*gradients)
            moved.append(forces.numpy().ravel())
            strained.append(virials.numpy().ravel())
        labels = item.labels
        columns = [sums.detach().numpy()[:, None], np.array(moved), np.array(strained)]
        right = [np.array([labels.energy]), labels.forces.ravel(), labels.virial.ravel()]
        parts = [f * np.column_stack([X.T, y]) for X, y, f in zip(columns, right, item.factors) if f]
        return np.vstack(parts) if parts else np.empty((0, len(sums) + 1))


def solved_read_out(network: Network, examples: Sequence[Example], **work: Any) -> tuple[Network, str]:
    """Return the network with c of the least squares, with the ridge of largest evidence, and what was done."""
    triangle = assemble(ReadOut(network), examples, **work)
    solution = solve(SolverProblem.from_triangle(triangle.R, triangle.n_rows), "blr")
    shape = (network.architecture.n_layers, network.n_species, network.architecture.channels)
    c = {f"c{t}": found for t, found in enumerate(solution.u.reshape(shape), 1)}
    return Network(network.architecture, network.n_species, {**network.arrays, **c}), f"read-out: {solution.summary}"
