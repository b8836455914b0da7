"""Errors, time and memory of fits with thousands of unknowns to molecules, λ by training structures left out.

Ethanol: 1000 frames of `train`; MAE of total energies (meV) and of forces (meV/Å) on the MD test set, and of energies
relative to E0 on what no training frame resembles: dimers, a hydrogen pulled off, a normal mode. Acetylacetone: 500
frames at 300 K, tests at 300 and 600 K. One radial basis, cutoff 5 Å, Agnesi(1, 3), wL 1.5; a ZBL core below the data.
Each row is a process of its own, so that the memory is its own.

    python benchmarks/large_bases.py                        # up to some 4,000 unknowns: a few minutes
    python benchmarks/large_bases.py --degrees 20,17,14,11  # 15,581 unknowns
    python benchmarks/large_bases.py --sets acac --degrees 14,12,9 18,15,12
    python benchmarks/large_bases.py --sets acac --degrees --sizes 3000    # cutoff and degrees are chosen
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
import warnings
from concurrent.futures import ProcessPoolExecutor

import ase.io
import numpy as np
from common import data_folder, machine, parser, read

from acepure import ACEBasis, LinearACE
from acepure.fitting import label_structures
from acepure.fitting.recipe_cost import measure_cost
from acepure.functions.radial import PolynomialRadialBasis
from acepure.functions.transforms import AgnesiTransform

TRAIN = {"ethanol": "ethanol/train", "acac": "acac/train_300K"}
TESTS = {
    "ethanol": ["test_MD", "test_dimers", "test_H_removal", "test_norm_mode_874"],
    "acac": ["test_MD_300K", "test_MD_600K"],
}
DEGREES = ["12,9,7", "14,12,9", "16,13,10,8"]


def by_degrees(degrees: list[float], canonical: bool) -> ACEBasis:
    """Return the basis of the tables."""
    radial = PolynomialRadialBasis(5.0, transform=AgnesiTransform(p=1, q=3))
    options = {"wL": 1.5, "n_start": 1, "radial": radial, "canonical": canonical}
    return ACEBasis(["H", "C", "O"], order=len(degrees), totaldegree=degrees, **options)


def side_by_side(atoms: ase.Atoms, n: int = 16) -> ase.Atoms:
    """Return n copies far from each other: centers of a species fill the lanes of the kernels."""
    every = ase.Atoms()
    for k in range(n):
        copy = ase.Atoms(atoms.symbols, atoms.positions)
        copy.translate([30.0 * k, 0.0, 0.0])
        every += copy
    every.info["energy"] = 0.0
    return every


def row(name: str, degrees: list[float] | int, canonical: bool, solver: str) -> dict[str, object]:
    """Fit and compare; one number is a size, for which the basis is chosen."""
    warnings.simplefilter("ignore")
    frames = read(TRAIN[name])
    isolated = ase.io.read(data_folder() / name / "isolated_atoms.extxyz", ":") if name == "ethanol" else []
    E0s = {atoms.symbols[0]: atoms.get_potential_energy() for atoms in isolated} or "auto"
    start = time.perf_counter()
    chosen = {"size": degrees} if isinstance(degrees, int) else {"basis": by_degrees(degrees, canonical)}
    options = {"canonical": canonical, "E0s": E0s, "solver": solver, "uncertainty": False, "verbose": False}
    model = LinearACE.fit(frames, **chosen, **options)
    seconds = time.perf_counter() - start
    errors = {}
    for test in TESTS[name]:
        found = label_structures(read(f"{name}/{test}"))
        energy, forces = [], []
        for item in found:
            result = model.evaluate(item.atoms)
            energy.append(abs(result.energy - item.energy))
            if item.forces is not None:
                forces.append(np.abs(result.forces - item.forces).ravel())
        errors[test] = (1e3 * np.mean(energy), 1e3 * np.concatenate(forces).mean() if forces else np.nan)
    unknowns = int((model.coefficients != 0).sum())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "nominal": len(model.basis.species) * len(chosen.get("basis", model.basis)),
        "unknowns": unknowns,
        "errors": errors,
        "seconds": seconds,
        "GiB": memory,
        "us": measure_cost(model, label_structures(frames)),
        "us many": measure_cost(model, label_structures([side_by_side(frames[0])])),
        "summary": [line for line in model.report["summary"] if "alpha" in line or "degrees" in line],
    }


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--sets", nargs="+", default=["ethanol"], choices=TRAIN)
    options.add_argument("--degrees", nargs="*", default=DEGREES, help="total degrees of orders 1, 2, ...")
    options.add_argument("--sizes", nargs="*", default=[], type=int, help="unknowns at most of bases that are chosen")
    options.add_argument("--both", action="store_true", help="self-interacting functions too")
    options.add_argument("--solver", default="cholesky")
    arguments = options.parse_args()
    print(machine(len(os.sched_getaffinity(0))))
    spawn = multiprocessing.get_context("spawn")
    for name in arguments.sets:
        shown = "".join(f"{test.removeprefix('test_'):>22s}" for test in TESTS[name])
        head = f"{name:9s} {'degrees':>14s} {'':>6s}{'nominal':>9s}{'unknowns':>9s}"
        print(f"{head}{shown}{'fit s':>8s}{'GiB':>6s}{'µs/atom':>9s}{'16 of them':>11s}")
        for chosen in [*arguments.degrees, *arguments.sizes]:
            degrees = chosen if isinstance(chosen, int) else [float(d) for d in chosen.split(",")]
            for canonical in (True, False) if arguments.both else (True,):
                with ProcessPoolExecutor(1, mp_context=spawn) as pool:
                    r = pool.submit(row, name, degrees, canonical, arguments.solver).result()
                cells = "".join(f"{e:11.3g} /{f:9.3g}" for e, f in r["errors"].values())
                kind = "can." if canonical else "self"
                print(
                    f"{'':9s} {chosen:>14} {kind:>6s}{r['nominal']:9,}{r['unknowns']:9,}{cells}"
                    f"{r['seconds']:8.0f}{r['GiB']:6.2f}{r['us']:9.1f}{r['us many']:11.1f}   {'; '.join(r['summary'])}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
