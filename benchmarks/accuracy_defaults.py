"""Errors of the default fit, `LinearACE.fit(structures, size=...)`, on every data set, with intervals.

Nothing is chosen by hand: the training structures decide, and `size` is the number of unknowns in all, functions times
species. Printed are MAE on the test sets, energies in meV/atom and forces in eV/Å, with the interval from the 5th to
the 95th percentile of a bootstrap over test structures; energies by group; wall time of the fit.

    python benchmarks/accuracy_defaults.py                      # all sets at their default sizes
    python benchmarks/accuracy_defaults.py --sets Si Cu Ni --size 1000
"""

from __future__ import annotations

import os
import time
import warnings

import numpy as np
from common import machine, parser, read

from acepure import LinearACE
from acepure.fitting import label_structures
from acepure.fitting.errors import evaluate_errors

#: Training file and test files; None holds out every fifth frame, from the number given.
SETS = {
    "Si": ("zuo2020/Si_train", ["zuo2020/Si_test"]),
    "Cu": ("zuo2020/Cu_train", ["zuo2020/Cu_test"]),
    "Ni": ("zuo2020/Ni_train", ["zuo2020/Ni_test"]),
    "Ta": ("ta/Ta_train", ["ta/Ta_test"]),
    "InP": ("inp/InP_train", ["inp/InP_test"]),
    "TiAl [4::5]": ("tial/TiAl_tutorial", 4),
    "TiAl [::5]": ("tial/TiAl_tutorial", 0),
    "acac": ("acac/train_300K", ["acac/test_MD_300K", "acac/test_MD_600K"]),
    "MoNbTaW": ("monbtaw/MoNbTaW_train", ["monbtaw/MoNbTaW_test"]),
}
#: Resampled sets of test structures.
RESAMPLED = 2000


def data(name):
    """Training structures, and test structures by name."""
    train, tests = SETS[name]
    frames = read(train)
    if not isinstance(tests, int):
        return frames, {test.split("/")[1]: read(test) for test in tests}
    return [atoms for k, atoms in enumerate(frames) if k % 5 != tests], {f"[{tests}::5]": frames[tests::5]}


def interval(errors, counts, seed=0):
    """MAE over all components, and its 5th and 95th percentile over resampled structures."""
    rng = np.random.default_rng(seed)
    sums = np.add.reduceat(errors, np.concatenate([[0], np.cumsum(counts)[:-1]]))
    drawn = rng.integers(len(counts), size=(RESAMPLED, len(counts)))
    means = sums[drawn].sum(axis=1) / np.asarray(counts)[drawn].sum(axis=1)
    return (errors.mean(), *np.percentile(means, (5, 95)))


def structure_errors(model, labeled):
    """Absolute errors of energies per atom and of all force components, and how many of each structure."""
    energies, forces, counts = [], [], []
    for item in labeled:
        found = evaluate_errors(model, [item])
        for quantity, errors in (("energy", energies), ("forces", forces)):
            compared = found.all(quantity)
            if compared is not None:
                errors.append(np.abs(compared.predicted - compared.true))
                if quantity == "forces":
                    counts.append(len(errors[-1]))
    return np.concatenate(energies), np.concatenate(forces), counts


def run(name, size):
    frames, tests = data(name)
    start = time.perf_counter()
    model = LinearACE.fit(frames, size=size, uncertainty=False, verbose=False)
    seconds = time.perf_counter() - start
    unknowns = len(model.basis) * len(model.basis.species)
    for test, structures in tests.items():
        labeled = label_structures(structures)
        energy, forces, counts = structure_errors(model, labeled)
        shown = [
            "{:.3g} ({:.3g}–{:.3g})".format(*interval(1e3 * energy, [1] * len(energy))),
            "{:.3g} ({:.3g}–{:.3g})".format(*interval(forces, counts)),
        ]
        print(f"{name:12s}{unknowns:9d}{test:>18s}{shown[0]:>24s}{shown[1]:>28s}{seconds:9.1f}", flush=True)
        for group, found in model.errors(labeled, progress=False).groups.items():
            if "energy" in found:
                print(f"{'':21s}{group:>18s}{1e3 * found['energy'].mae:10.3f}")
    print("\n".join(f"    {line}" for line in model.report["summary"]), flush=True)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS, metavar="SET", help=", ".join(SETS))
    options.add_argument("--size", type=int, help="unknowns in all; default: that of the library")
    arguments = options.parse_args()
    warnings.simplefilter("ignore")
    print(machine(len(os.sched_getaffinity(0))))
    header = ("set", "unknowns", "test set", "E, meV/atom (5–95 %)", "F, eV/Å (5–95 %)", "fit, s")
    print("{:12s}{:>9s}{:>18s}{:>24s}{:>28s}{:>9s}".format(*header))
    for name in arguments.sets:
        run(name, arguments.size)


if __name__ == "__main__":
    main()
