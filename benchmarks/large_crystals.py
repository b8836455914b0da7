"""Do thousands of unknowns pay for a crystal? Errors of a tenth of the structures left out, by the size of the basis.

One Gram matrix of the largest basis holds those of the smaller ones, which are parts of it. MAE of energies and of
forces of every tenth structure of each group, at the best λ for them. Of the others, every k-th structure alone is
fitted to where there are more than twelve rows per unknown.

    python benchmarks/large_crystals.py                                                   # silicon, some minutes
    python benchmarks/large_crystals.py --set inp/InP_train --species In P --cutoff 5.5
"""

from __future__ import annotations

import os

import numpy as np
from common import machine, parser, read
from scipy.linalg import cho_factor, cho_solve

from acepure import ACEBasis
from acepure.fitting import label_structures, resolve_weights
from acepure.fitting.design import Design
from acepure.fitting.fit import resolved_energies
from acepure.fitting.occupancy import can_be_nonzero, neighbors_present
from acepure.fitting.recipe_large import degrees_within
from acepure.fitting.recipe_triangles import interleaved_folds
from acepure.functions.envelopes import SmoothEnvelope
from acepure.functions.radial import PolynomialRadialBasis
from acepure.functions.transforms import AgnesiTransform

ALPHAS = 10.0 ** -np.arange(8.0, 18.0)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--set", default="zuo2020/Si_train")
    options.add_argument("--species", nargs="+", default=["Si"])
    options.add_argument("--cutoff", type=float, default=5.0)
    options.add_argument("--order", type=int, default=4)
    options.add_argument("--size", type=int, default=3000)
    given = options.parse_args()
    print(machine(len(os.sched_getaffinity(0))))
    frames = read(given.set)
    labeled = label_structures(frames)
    radial = PolynomialRadialBasis(given.cutoff, AgnesiTransform(p=1, q=3), SmoothEnvelope(2))

    def made(degrees: tuple[float, ...]) -> ACEBasis:
        return ACEBasis(given.species, order=given.order, totaldegree=degrees, wL=1.5, n_start=1, radial=radial)

    lowest = made(tuple(range(1, given.order + 1)))
    most = [counts.max(axis=0) for counts in neighbors_present(lowest, frames)]
    sizes = (given.size, given.size // 3, given.size // 10)
    degrees = [degrees_within(lowest.specification, most, size, 3.0) for size in sizes]
    basis = made(degrees[0])
    design = Design(basis, resolve_weights(None, labeled.config_types), resolved_energies(labeled, basis, "auto"))
    possible = can_be_nonzero(basis, frames)
    features = np.concatenate([np.zeros((len(possible), 1), dtype=bool), possible], axis=1).ravel()
    fold, turn = interleaved_folds([item.config_type for item in labeled], 10)
    every = max(1, -(-sum(design.n_rows(item) for item in labeled) // (12 * given.size)))
    gram, right, held, kinds, n_atoms = 0.0, 0.0, [], [], []
    for item, k, number in zip(labeled, fold, turn):
        if k and number % every:
            continue
        rows = design.rows(item)[:, np.append(features, True)]
        if k:
            gram, right = gram + rows[:, :-1].T @ rows[:, :-1], right + rows[:, :-1].T @ rows[:, -1]
            continue
        held.append(rows)
        kinds.append(np.repeat(np.arange(3), design.rows_by_kind(item)))
        n_atoms.append(np.full(len(rows), len(item.atoms)))
    X, kind, n = np.concatenate(held), np.concatenate(kinds), np.concatenate(n_atoms)
    energies, forces = kind == 0, kind == 1
    print(f"{'unknowns':>9s}{'alpha':>8s}{'meV/atom':>10s}{'eV/Å':>8s}   total degrees")
    for chosen in degrees:
        inside = [sum(f.n) + 1.5 * sum(f.l) <= chosen[f.order - 1] + 1e-9 for f in basis.labels]
        part = np.tile(inside, (len(possible), 1))[possible]
        G, d = gram[np.ix_(part, part)], 1 / np.sqrt(np.diag(gram)[part])
        G, found = G * np.outer(d, d), []
        for alpha in ALPHAS:
            try:
                P = cho_factor(G + alpha * len(d) * np.eye(len(d)))
            except np.linalg.LinAlgError:
                break
            e = np.abs(X[:, :-1][:, part] @ (d * cho_solve(P, d * right[part])) - X[:, -1])
            energy = 1e3 * np.mean(e[energies] / 30 / np.sqrt(n[energies]))
            found.append((np.mean(e[energies] ** 2) * np.mean(e[forces] ** 2), alpha, energy, np.mean(e[forces])))
        _, alpha, energy, force = min(found)
        print(f"{len(d):9,}{alpha:8.0e}{energy:10.3f}{force:8.4f}   {', '.join(f'{D:g}' for D in chosen)}", flush=True)


if __name__ == "__main__":
    main()
