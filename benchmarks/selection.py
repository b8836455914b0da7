"""Errors of potentials fitted to structures that were chosen from a pool, and to as many at random.

The pool is a random part of a training file. All ways start from the same five structures at random; the basis is
centered on the density of the pool, which needs no labels. Printed are root mean square errors on test structures,
forces in eV/Å and (energies in meV/atom): of each seed, medians, and forces of the best and the worst seed.

    python benchmarks/selection.py                     # InP, two seeds: some minutes on one core
    python benchmarks/selection.py --set MoNbTaW --seeds 3 --ways random D-optimal "D-optimal, energies alone"
    python benchmarks/selection.py --until 0.07        # how many structures each way needs for this force error
"""

from __future__ import annotations

import os
import warnings
from functools import cache

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from common import machine, parser, read
from uncertainty import basis_of

from acepure import LinearACE, RadialDensity
from acepure.active import select
from acepure.fitting import label_structures

#: Training and test files, largest structure and number of structures of the pool, number of tests, degrees.
SETS = {
    "InP": ("inp/InP_train", "inp/InP_test", 72, 250, 70, [10, 8, 6]),
    "MoNbTaW": ("monbtaw/MoNbTaW_train", "monbtaw/MoNbTaW_test", 60, 200, 60, [6, 4]),
}
SIZES = (10, 20, 40, 80)
START = 5
WAYS = {
    "random": {"method": "random"},
    "D-optimal": {},
    "D-optimal, 8 sums of forces": {"sketch": 8},
    "D-optimal, energies alone": {"forces": False},
    "farthest": {"method": "farthest"},
}


@cache
def small_of(file, largest):
    return [atoms for atoms in read(file) if len(atoms) <= largest]


def data_of(name, seed):
    train, test, largest, n_pool, n_test, degrees = SETS[name]
    small = small_of(train, largest)
    rng = np.random.default_rng(seed)
    pool = [small[k] for k in rng.permutation(len(small))[:n_pool]]
    tests = small_of(test, largest)
    tests = [tests[k] for k in np.random.default_rng(0).permutation(len(tests))[:n_test]]
    basis = basis_of(pool, degrees)
    density = RadialDensity.from_structures(pool, basis.rcut, background=0.1, common=True, progress=False)
    return pool, tests, basis.centered(density)


def order_of(pool, basis, way, seed, n=SIZES[-1]):
    """Numbers in the pool, those of the start first."""
    start = np.random.default_rng(100 + seed).permutation(len(pool))[:START].tolist()
    left = [k for k in range(len(pool)) if k not in start]
    known = [pool[k] for k in start]
    found = select([pool[k] for k in left], n - START, basis=basis, start=known, seed=seed, **WAYS[way])
    return [*start, *(left[k] for k in found.indices)]


def errors_of(pool, chosen, tests, basis):
    fitted = label_structures([pool[k] for k in chosen], virial_key=False)
    model = LinearACE.fit(fitted, basis, reference=None, uncertainty=False, check=False, verbose=False)
    errors = model.errors(label_structures(tests, virial_key=False))
    return errors.all("forces").rmse, 1e3 * errors.all("energy").rmse


def table(name, seeds, ways):
    found = {}
    print(f"{'chosen':36s}" + "".join(f"{n:>18d}" for n in SIZES))
    for seed in range(seeds):
        pool, tests, basis = data_of(name, seed)
        for way in ways:
            order = order_of(pool, basis, way, seed)
            found[way, seed] = [errors_of(pool, order[:n], tests, basis) for n in SIZES]
            show(f"{way}, seed {seed}", found[way, seed])
        show(f"all {len(pool)}, {len(basis)} functions", [errors_of(pool, range(len(pool)), tests, basis)])
    for way in ways:
        values = np.array([found[way, seed] for seed in range(seeds)])
        show(f"{way}, median", np.median(values, axis=0))
        spread = (f"{low:.3f}–{high:.3f}" for low, high in zip(values[..., 0].min(axis=0), values[..., 0].max(axis=0)))
        print(f"{'':36s}" + "".join(f"{cell:>18s}" for cell in spread), flush=True)


def show(title, errors):
    cells = (f"{forces:.3f} ({energy:.0f})" for forces, energy in errors)
    print(f"{title:36s}" + "".join(f"{cell:>18s}" for cell in cells), flush=True)


def until(name, seeds, aim):
    """Sizes grow by a fifth until the error is below the aim, or the pool is at its end."""
    for way in ("random", "D-optimal"):
        needed = []
        for seed in range(seeds):
            pool, tests, basis = data_of(name, seed)
            order, n = order_of(pool, basis, way, seed, len(pool)), 2 * START
            while n < len(order) and errors_of(pool, order[:n], tests, basis)[0] > aim:
                n = min(len(order), int(np.ceil(1.2 * n)))
            needed.append(n)
        print(f"{name}, {way}: {', '.join(map(str, needed))} structures for {aim} eV/Å", flush=True)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--set", default="InP", choices=SETS)
    arguments.add_argument("--seeds", type=int, default=2)
    arguments.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    arguments.add_argument("--until", type=float, metavar="EV_PER_A")
    given = arguments.parse_args()
    warnings.simplefilter("ignore")
    print(machine(1))
    if given.until is None:
        table(given.set, given.seeds, given.ways)
    else:
        until(given.set, given.seeds, given.until)


if __name__ == "__main__":
    main()
