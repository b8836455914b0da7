"""Errors of linear potentials on published data sets, one recipe for all of them.

The recipe (reach of the cutoff, radial functions, weights) is the same for all elements; `--choose` cross-validates a
grid of recipes on the training sets of Si and Cu. Every fit runs in a process of its own, so that its peak memory is
known. Printed are MAE on the test sets: energy in meV/atom, forces in eV/Å.

    python benchmarks/accuracy.py                         # Si, Cu, Ni of Zuo et al. 2020: 299 and 1016 functions
    python benchmarks/accuracy.py --rows --sizes 299      # self-interacting, shifted, canonical, centered
    python benchmarks/accuracy.py --virials               # virials too
    python benchmarks/accuracy.py --sets InP TiAl acac    # several species, molecules
    python benchmarks/accuracy.py --choose
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import time
import warnings

os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")

from ase.data import atomic_numbers, covalent_radii
from common import machine, read

from acepure import ACEBasis, LinearACE, RadialDensity
from acepure.fitting import label_structures
from acepure.fitting.cross_validation import cross_validate
from acepure.functions import AgnesiTransform, PolynomialEnvelope, PolynomialRadialBasis, SmoothEnvelope

DEGREES = {"299": [20, 16, 12], "1016": [25, 21, 17]}
ROWS = ("self-interacting", "shifted", "canonical", "centered")
#: Cutoff in units of the sum of two covalent radii, and the longest one in Å; radial functions; weight of energies.
RECIPE = {
    "reach": 2.65,
    "longest": 6.5,
    "transform": AgnesiTransform(p=1, q=3),
    "envelope": SmoothEnvelope(2),
    "energy": 30.0,
}
#: Training and test files, degrees for several species, where a set has no test file every fifth frame is one.
SETS = {
    "Si": ("zuo2020/Si_train", ["zuo2020/Si_test"], None),
    "Cu": ("zuo2020/Cu_train", ["zuo2020/Cu_test"], None),
    "Ni": ("zuo2020/Ni_train", ["zuo2020/Ni_test"], None),
    "InP": ("inp/InP_train", ["inp/InP_test"], [12, 10, 8]),
    "TiAl": ("tial/TiAl_tutorial", [], [12, 10, 8]),
    "acac": ("acac/train_300K", ["acac/test_MD_300K", "acac/test_MD_600K"], [11, 9, 7]),
}


def radial_functions(species, recipe):
    """Cutoffs of each pair by covalent radii."""
    radius = {s: covalent_radii[atomic_numbers[s]] for s in species}
    reach, longest = recipe["reach"], recipe["longest"]
    rcut = {(a, b): min(reach * (radius[a] + radius[b]), longest) for a in species for b in species}
    return PolynomialRadialBasis(rcut, recipe["transform"], recipe["envelope"])


def data(name):
    train, tests, _ = SETS[name]
    frames = read(train)
    if tests:
        return frames, {test.split("/")[1]: read(test) for test in tests}
    held_out = frames[::5]
    return [atoms for k, atoms in enumerate(frames) if k % 5], {"every fifth frame": held_out}


def basis_of(name, frames, degrees, row, recipe, background=0.1):
    species = sorted({s for atoms in frames for s in atoms.get_chemical_symbols()})
    canonical = row in ("canonical", "centered")
    basis = ACEBasis(
        species, totaldegree=degrees, wL=1.5, n_start=1, radial=radial_functions(species, recipe), canonical=canonical
    )
    if row in ("shifted", "centered"):
        basis = basis.centered(RadialDensity.from_structures(frames, basis.rcut, background=background))
    return basis


def fit(name, degrees, row, virials, background, queue):
    """One fit, and its errors, time and memory."""
    warnings.simplefilter("ignore")
    frames, tests = data(name)
    start = time.perf_counter()
    basis = basis_of(name, frames, degrees, row, RECIPE, background)
    keys = {} if virials else {"virial_key": False}
    model = LinearACE.fit(
        frames,
        basis,
        reference=None,
        weights=(RECIPE["energy"], 1.0, 1.0),
        uncertainty=False,
        check=False,
        verbose=False,
        **keys,
    )
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    errors = {label: model.errors(label_structures(test, **keys)) for label, test in tests.items()}
    found = {k: (1e3 * e.all("energy").mae, e.all("forces").mae) for k, e in errors.items()}
    queue.put((len(basis), found, seconds, peak))


def run(name, degrees, row, virials, background):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=fit, args=(name, degrees, row, virials, background, queue))
    process.start()
    n, errors, seconds, peak = queue.get()
    process.join()
    for test, (energy, forces) in errors.items():
        print(
            f"{name:6s}{row:18s}{n:10d}{test:>20s}{energy:12.3f}{forces:12.4f}{seconds:10.1f}{peak:10.0f}", flush=True
        )


def choose():
    """Cross-validation on training data alone; five folds."""
    for name in ("Si", "Cu"):
        frames = data(name)[0][:: 1 if name == "Si" else 3]
        candidates = {}
        for reach in (2.1, 2.4, 2.65):
            for envelope in (SmoothEnvelope(2), SmoothEnvelope(3), PolynomialEnvelope(4)):
                for transform in (AgnesiTransform(p=1, q=3), AgnesiTransform(p=2, q=4)):
                    recipe = {**RECIPE, "reach": reach, "envelope": envelope, "transform": transform}
                    basis = basis_of(name, frames, DEGREES["299"], "centered", recipe)
                    for weight in (10.0, 30.0, 100.0):
                        label = f"{reach} {transform.p:g},{transform.q:g} {envelope} w_E={weight:g}"
                        candidates[label] = (basis, {"weights": (weight, 1.0, 0.0)})
        print(f"\n{name}\n{cross_validate(frames, candidates, virial_key=False, reference=None)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=["Si", "Cu", "Ni"], choices=SETS)
    parser.add_argument("--sizes", nargs="+", default=["299", "1016"], choices=DEGREES)
    parser.add_argument("--rows", action="store_true", help="all four coordinate systems; default centered alone")
    parser.add_argument("--virials", action="store_true")
    parser.add_argument("--background", type=float, default=0.1, help="share of ideal gas in the reference")
    parser.add_argument("--choose", action="store_true")
    arguments = parser.parse_args()
    print(machine(len(os.sched_getaffinity(0))))
    if arguments.choose:
        choose()
        return
    print(f"recipe: {RECIPE}")
    header = ("", "", "functions", "test set", "E, meV/atom", "F, eV/Å", "fit, s", "peak, MiB")
    print("{:6s}{:18s}{:>10s}{:>20s}{:>12s}{:>12s}{:>10s}{:>10s}".format(*header))
    for name in arguments.sets:
        own = SETS[name][2]
        for degrees in [own] if own else [DEGREES[size] for size in arguments.sizes]:
            for row in ROWS if arguments.rows else ("centered",):
                run(name, degrees, row, arguments.virials, arguments.background)


if __name__ == "__main__":
    main()
