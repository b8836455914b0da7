"""Linear potentials and those with embedded densities of the same functions: errors, training, time per atom.

The training structures choose basis and weights (the recipe of `LinearACE.fit`), and regularization, start and end of
the training of the densities. Printed are MAE on the test sets, energies in meV/atom and forces in eV/Å; below them
the ratio to the linear potential with the interval from the 5th to the 95th percentile of a bootstrap over test
structures, the same structures for both; training in units of the linear fit to the same basis; and µs per atom.

    python benchmarks/embedded.py                            # all sets, 120 functions per species
    python benchmarks/embedded.py --sets Si --larger 2       # beside linear potentials of twice as many functions
    python benchmarks/embedded.py --degrees 14,10,7          # without choosing functions, those of fixed_basis.py
    python benchmarks/embedded.py --sets Cu --every 8        # trained on every eighth of the training structures
    python benchmarks/embedded.py --times                    # µs per atom for P = 1, 2, 3 alone
"""

from __future__ import annotations

import os
import time
import warnings

import numpy as np
from accuracy import RESAMPLED, SETS, data, test_errors
from common import machine, parser, read
from fixed_basis import fixed_basis

from acepure import ACEBasis, EmbeddedACE, LinearACE
from acepure.fitting import label_structures
from acepure.fitting.weights import Weights, resolve_weights
from acepure.models.embedding import FinnisSinclair

SMALL = ["Si", "Cu", "Ni", "TiAl [4::5]", "InP", "acac", "Ta"]
EMBEDDINGS = ["finnis-sinclair", "smooth-root"]


def ratio(errors, linear, counts, seed=0):
    """MAE over that of the linear potential, with its 5th and 95th percentile over resampled structures."""
    rng = np.random.default_rng(seed)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    drawn = rng.integers(len(counts), size=(RESAMPLED, len(counts)))
    mine, theirs = (np.add.reduceat(values, starts)[drawn].sum(axis=1) for values in (errors, linear))
    return (errors.mean() / linear.mean(), *np.percentile(mine / theirs, (5, 95)))


def structure_errors(model, labeled):
    """Absolute errors of energies per atom and of all force components, and how many of each structure."""
    groups = test_errors(model, labeled).values()
    energies, forces = ([e for group in groups for e in group[quantity]] for quantity in ("energy", "forces"))
    return np.concatenate(energies), np.concatenate(forces), [len(e) for e in forces]


def timed(function):
    """Result and seconds of this process: other processes may be busy."""
    start = time.process_time()
    result = function()
    return result, time.process_time() - start


def in_turn(models, atoms, repeats: int = 15) -> dict[str, float]:
    """Least µs per atom of each model, one thread, neighbor list included."""
    times = {key: timed(lambda m=model: m.evaluate(atoms, num_threads=1))[1] for key, model in models.items()}
    for _ in range(repeats):
        for key, model in models.items():
            times[key] = min(times[key], timed(lambda m=model: m.evaluate(atoms, num_threads=1))[1])
    return {key: 1e6 * seconds / len(atoms) for key, seconds in times.items()}


def run(
    name: str, functions: int, larger: list[float], embeddings: list[str], degrees: list[float], every: int
) -> None:
    """Fit and compare on one set."""
    frames, tests = data(name)
    frames = frames[::every]
    labeled = label_structures(frames)
    n_species = len(labeled.species)
    quiet = {"verbose": False, "progress": False, "num_threads": 1}

    def chosen(n: float) -> tuple[LinearACE | None, ACEBasis, Weights]:
        if degrees:
            return None, fixed_basis(frames, degrees), resolve_weights(None)
        model = LinearACE.fit(labeled, size=int(n * n_species), uncertainty=False, **quiet)
        choices = model.report["choices"]
        return model, ACEBasis.from_dict(choices["basis"]), resolve_weights(choices["weights"])

    _, basis, weights = chosen(functions)
    models = {}
    models["linear"] = timed(lambda: LinearACE.fit(labeled, basis, weights=weights, uncertainty=False, **quiet))
    for embedding in embeddings:
        models[embedding] = timed(
            lambda embedding=embedding: EmbeddedACE.fit(
                labeled, basis, weights=weights, embedding=embedding, uncertainty=False, **quiet
            )
        )
    for factor in larger:
        model, more, its = chosen(factor * functions)
        _, seconds = timed(
            lambda more=more, its=its: LinearACE.fit(labeled, more, weights=its, uncertainty=False, **quiet)
        )
        models[f"linear × {factor:g}"] = model, seconds
    largest = max((item.atoms for item in labeled), key=len)
    times = in_turn({key: model for key, (model, _) in models.items()}, largest)
    unit = models["linear"][1]
    for test, structures in tests.items():
        found = label_structures(structures)
        compared = {key: structure_errors(model, found) for key, (model, _) in models.items()}
        linear = compared["linear"]
        for key, (energy, forces, counts) in compared.items():
            model, seconds = models[key]
            cells = [f"{1e3 * energy.mean():.3g}", f"{forces.mean():.3g}"]
            if key != "linear":
                relative = (ratio(energy, linear[0], [1] * len(energy)), ratio(forces, linear[1], counts))
                cells = [f"{c}  {r[0]:.3f} ({r[1]:.3f}–{r[2]:.3f})" for c, r in zip(cells, relative, strict=True)]
            print(
                f"{name:12s}{test:>16s}{key:>18s}{model.coefficients.size:7d}{cells[0]:>30s}{cells[1]:>32s}"
                f"{seconds / unit:8.1f}{times[key]:9.1f}",
                flush=True,
            )
    for key, (model, _) in models.items():
        if key in embeddings:
            print(f"    {key}: {model.report['summary'][-1]}", flush=True)


def densities() -> None:
    """µs per atom of P = 1, 2, 3 densities, relative to P = 1."""
    for name, species in (("zuo2020/Si_train", ["Si"]), ("tial/TiAl_tutorial", ["Ti", "Al"])):
        atoms = max(read(name)[:100], key=len)
        for degrees in ([15, 11, 8], [20, 16, 12]):
            basis = ACEBasis(species, order=3, totaldegree=degrees, wL=1.5)
            rng = np.random.default_rng(0)
            linear = LinearACE(basis, rng.normal(size=(len(species), len(basis))), dict.fromkeys(species, 0.0))
            models = {1: linear}
            for P in (2, 3):
                theta = rng.normal(size=(P, len(species), len(basis)))
                models[P] = EmbeddedACE(basis, theta, FinnisSinclair(P))
            times = in_turn(models, atoms)
            shown = "".join(f"{t:8.1f} ({t / times[1]:.2f})" for t in times.values())
            print(f"{'-'.join(species):8s}{len(basis):5d} functions, P = 1, 2, 3: {shown}", flush=True)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--sets", nargs="+", default=SMALL, choices=SETS, metavar="SET", help=", ".join(SETS))
    options.add_argument("--functions", type=int, default=120, help="per species")
    options.add_argument("--larger", type=float, nargs="*", default=[], help="linear potentials of so many times more")
    options.add_argument("--embeddings", nargs="+", default=EMBEDDINGS)
    options.add_argument("--degrees", help="total degrees of orders 1, 2, ..., instead of functions that are chosen")
    options.add_argument("--every", type=int, default=1, help="train on every n-th of the training structures alone")
    options.add_argument("--times", action="store_true", help="µs per atom alone")
    arguments = options.parse_args()
    warnings.simplefilter("ignore")
    print(machine(len(os.sched_getaffinity(0))))
    if arguments.times:
        densities()
        return
    header = ("set", "test", "potential", "θ", "E, meV/atom", "F, eV/Å", "training", "µs/atom")
    print("{:12s}{:>16s}{:>18s}{:>7s}{:>30s}{:>32s}{:>8s}{:>9s}".format(*header))
    for name in arguments.sets:
        degrees = [float(d) for d in arguments.degrees.split(",")] if arguments.degrees else []
        larger = [] if degrees else arguments.larger
        run(name, arguments.functions, larger, arguments.embeddings, degrees, arguments.every)


if __name__ == "__main__":
    main()
