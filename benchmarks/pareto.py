"""Test errors of automatic fits against the time of energy and forces: sizes, canonical or not, and a fixed basis.

Printed are unknowns, µs per atom on one thread, MAE of energies (meV/atom) and forces (eV/Å); drawn are forces
against time. The fixed basis has as many functions by total degree (`fixed_basis.py`) and the default weights.

    python benchmarks/pareto.py Si --sizes 60 150 300 600 -o pareto.png
"""

from __future__ import annotations

import os
import warnings

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from accuracy import SETS, data
from common import machine, parser
from fixed_basis import fixed_basis

from acepure import LinearACE
from acepure.fitting import label_structures
from acepure.fitting.recipe_cost import measure_cost

#: Total degrees of a fixed basis for one species, and its number of functions.
DEGREES = ([12, 10, 7], [16, 13, 10], [20, 16, 12], [23, 19, 15], [25, 21, 17])
QUIET = {"uncertainty": False, "verbose": False}


def point(model, frames, tests):
    """Unknowns, µs per atom, MAE of energies and forces."""
    errors = model.errors(tests, progress=False)
    return (
        len(model.basis) * len(model.basis.species),
        measure_cost(model, label_structures(frames)),
        1e3 * errors.all("energy").mae,
        errors.all("forces").mae,
    )


def main() -> None:
    options = parser(__doc__)
    options.add_argument("set", choices=SETS, metavar="SET", help=", ".join(SETS))
    options.add_argument("--sizes", type=int, nargs="+", default=[60, 150, 300, 600, 1000])
    options.add_argument("-o", "--output", default="pareto.png", metavar="FIG")
    arguments = options.parse_args()
    warnings.simplefilter("ignore")
    print(machine(len(os.sched_getaffinity(0))))
    frames, tests = data(arguments.set)
    tests = label_structures([atoms for structures in tests.values() for atoms in structures])
    curves = {
        "automatic, canonical": [LinearACE.fit(frames, size=n, **QUIET) for n in arguments.sizes],
        "automatic, self-interacting": [
            LinearACE.fit(frames, size=n, canonical=False, **QUIET) for n in arguments.sizes
        ],
        "total degree, canonical": [LinearACE.fit(frames, fixed_basis(frames, d), **QUIET) for d in DEGREES],
    }
    figure, axes = plt.subplots(figsize=(5, 4), layout="constrained")
    for name, models in curves.items():
        points = [point(model, frames, tests) for model in models]
        for unknowns, cost, energy, forces in points:
            print(f"{name:30s}{unknowns:7d}{cost:9.2f}{energy:10.3f}{forces:10.4f}", flush=True)
        axes.loglog([p[1] for p in points], [p[3] for p in points], "o-", label=name)
    axes.set(xlabel="energy and forces, µs per atom", ylabel="MAE of forces, eV/Å", title=arguments.set)
    axes.legend()
    figure.savefig(arguments.output)


if __name__ == "__main__":
    main()
