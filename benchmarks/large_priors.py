"""Priors of fits with thousands of unknowns, by structures left out near the others and far from them.

Acetylacetone, 500 frames at 300 K. Near: every tenth frame left out. Far: the tenth of highest energy, predicted by the
60 % of lowest. MAE of total energies (meV) and of forces (meV/Å) for one λ after the other, λ = alpha times the trace
of the Gram matrix. Columns of length |x| are multiplied by 1 / (|x| g) before the ridge:

    equal       g = 1, columns of equal length, what `solver="cholesky"` does
    degree^p    g = (1 + Σ n + 1.5 l)^p
    half, raw   g = |x|^-½, |x|^-1: the ridge is between columns of equal length and the functions as they are

    python benchmarks/large_priors.py    # a few minutes
"""

from __future__ import annotations

import os

import numpy as np
from common import machine, parser, read
from large_bases import by_degrees
from scipy.linalg import cho_factor, cho_solve

from acepure.fitting import label_structures, resolve_weights
from acepure.fitting.design import Design
from acepure.fitting.fit import resolved_core, resolved_energies
from acepure.fitting.met import what_was_met
from acepure.fitting.occupancy import can_be_nonzero, without_impossible

ALPHAS = 10.0 ** -np.arange(9.0, 18.0)
PRIORS = ("equal", "degree^2", "degree^4", "half", "half degree^2", "raw", "raw degree^1", "raw degree^2")


def multiplier(prior: str, length: np.ndarray, degree: np.ndarray) -> np.ndarray:
    """Return g."""
    power = {"half": 0.5, "raw": 1.0}.get(prior.split()[0], 0.0)
    exponent = float(prior.rsplit("^", 1)[1]) if "^" in prior else 0.0
    return length**-power * (1 + degree) ** exponent


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--degrees", default="13,10,8", help="total degrees of orders 1, 2, ...")
    degrees = [float(d) for d in options.parse_args().degrees.split(",")]
    print(machine(len(os.sched_getaffinity(0))))
    labeled = label_structures(read("acac/train_300K"))
    frames = [item.atoms for item in labeled]
    basis = without_impossible(by_degrees(degrees, True), frames)
    core = resolved_core("zbl", basis, what_was_met(basis, labeled, 1, False).shortest)
    weights = resolve_weights(None, labeled.config_types)
    design = Design(basis, weights, resolved_energies(labeled, basis, "auto"), core)
    possible = can_be_nonzero(basis, frames)
    features = np.concatenate([np.zeros((len(possible), 1), dtype=bool), possible], axis=1).ravel()
    rows = np.array([design.rows(item)[:, np.append(features, True)] for item in labeled])
    X, y = rows[:, :, :-1], rows[:, :, -1]
    length = np.sqrt(np.square(X).sum(axis=(0, 1)))
    used = length > 1e-13 * length.max()
    X, length = X[:, :, used], length[used]
    degree = np.array([sum(n - 1 + 1.5 * l for n, l in zip(f.n, f.l)) for f in basis.labels])
    degree = np.tile(degree, (len(possible), 1))[possible][used]
    every, by_energy = np.arange(len(frames)), np.argsort([item.energy for item in labeled])
    cases = {
        "near": (np.delete(every, every[::10]), every[::10]),
        "far": (by_energy[: len(every) * 6 // 10], by_energy[-len(every) // 10 :]),
    }
    print(f"{len(length):,} unknowns\n{'':19s}" + "".join(f"{alpha:>12.0e}" for alpha in ALPHAS))
    factor = np.sqrt(len(frames[0])) / weights.default.energy
    for case, (fitted, held) in cases.items():
        flat = X[fitted].reshape(-1, X.shape[2])
        gram, right = flat.T @ flat, flat.T @ y[fitted].ravel()
        for prior in PRIORS:
            d = 1 / (length * multiplier(prior, length / length.mean(), degree))
            scaled, cells = gram * np.outer(d, d), ""
            for alpha in ALPHAS:
                try:
                    P = cho_factor(scaled + alpha * np.trace(scaled) * np.eye(len(d)))
                except np.linalg.LinAlgError:
                    break
                errors = np.abs(X[held] @ (d * cho_solve(P, d * right)) - y[held])
                cells += f"{1e3 * factor * errors[:, 0].mean():7.2f}/{1e3 * errors[:, 1:].mean():4.1f}"
            print(f"{case:5s}{prior:14s}{cells}", flush=True)


if __name__ == "__main__":
    main()
