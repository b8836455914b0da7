"""Errors of the automatic fit, `LinearACE.fit(structures, size=...)`, on every data set, with intervals.

Nothing is chosen by hand: the training structures decide, and `size` is the number of unknowns in all, functions times
species. Printed are MAE on the test sets, energies in meV/atom and forces in eV/Å, with the interval from the 5th to
the 95th percentile of a bootstrap over test structures; energies by group; errors of peers on the same split; the time
of energy and forces on one thread; wall time and peak memory of the fit, which has a process of its own.

    python benchmarks/accuracy.py                                     # all sets at their default sizes
    python benchmarks/accuracy.py --sets Si Cu Ni --size 1000
    python benchmarks/accuracy.py --sets Si --self-interacting        # functions with self-interaction
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
import warnings

import numpy as np
from common import machine, parser, read

from acepure import LinearACE
from acepure.fitting import label_structures
from acepure.fitting.errors import evaluate_errors
from acepure.fitting.recipe_cost import measure_cost

#: Training file and test files; a number k holds out the frames [k::5].
SETS = {
    "Si": ("zuo2020/Si_train", ["zuo2020/Si_test"]),
    "Cu": ("zuo2020/Cu_train", ["zuo2020/Cu_test"]),
    "Ni": ("zuo2020/Ni_train", ["zuo2020/Ni_test"]),
    "Ta": ("ta/Ta_train", ["ta/Ta_test"]),
    "TiAl [4::5]": ("tial/TiAl_tutorial", 4),
    "TiAl [::5]": ("tial/TiAl_tutorial", 0),
    "InP": ("inp/InP_train", ["inp/InP_test"]),
    "acac": ("acac/train_300K", ["acac/test_MD_300K", "acac/test_MD_600K"]),
    "ethanol": ("ethanol/train", ["ethanol/test_MD", "ethanol/test_dimers", "ethanol/test_H_removal"]),
    "MoNbTaW": ("monbtaw/MoNbTaW_train", ["monbtaw/MoNbTaW_test"]),
}
#: Published errors on the same split: energies in meV/atom, forces in eV/Å, at about the default size.
PEERS = {
    "Si_test": "ACEpotentials, about 300 functions 3.52 / 0.08; GAP 2.91 / 0.07; MTP 2.21 / 0.06",
    "Cu_test": "ACEpotentials, about 300 functions 0.291 / 0.007; MTP 0.41 / 0.01",
    "Ni_test": "ACEpotentials, about 300 functions 0.409 / 0.018; MTP 0.48 / 0.01",
    "[4::5]": "ace-jax, 390 functions 3.03 / 0.189",
    "InP_test": "ace-jax 0.855 / 0.0272",
    "test_MD_300K": "ace-jax 1.13 / 0.078",
    "test_MD_600K": "ace-jax 2.53 / 0.129",
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


def with_interval(errors, factor):
    """MAE of a list of arrays, one for each structure, as text."""
    if not errors:
        return "–"
    found = interval(factor * np.concatenate(errors), [len(e) for e in errors])
    return "{:.3g} ({:.3g}–{:.3g})".format(*found)


def test_errors(model, labeled):
    """Absolute errors of each structure, by group: {group: {"energy" | "forces": list of arrays}}."""
    groups = {}
    for item in labeled:
        for quantity in ("energy", "forces"):
            compared = evaluate_errors(model, [item]).all(quantity)
            if compared is not None:
                of_group = groups.setdefault(item.config_type, {"energy": [], "forces": []})
                of_group[quantity].append(np.abs(compared.predicted - compared.true))
    return groups


def run(name, size, canonical, queue):
    """One fit and its errors; lines to print."""
    warnings.simplefilter("ignore")
    frames, tests = data(name)
    start = time.perf_counter()
    model = LinearACE.fit(frames, size=size, canonical=canonical, uncertainty=False, verbose=False)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    unknowns = len(model.basis) * len(model.basis.species)
    cost = measure_cost(model, label_structures(frames))
    lines = [f"{name}: {unknowns} unknowns, {cost:.3g} µs per atom, fit {seconds:.0f} s, {peak:.0f} MiB"]
    for test, structures in tests.items():
        groups = test_errors(model, label_structures(structures))
        together = {q: [e for group in groups.values() for e in group[q]] for q in ("energy", "forces")}
        shown = {test: together, **(groups if len(groups) > 1 else {})}
        for group, errors in shown.items():
            label = group if group == test else f"  {group}"
            energy, forces = with_interval(errors["energy"], 1e3), with_interval(errors["forces"], 1.0)
            lines.append(f"  {label:20s}{energy:>24s}{forces:>28s}")
        if test in PEERS:
            lines.append(f"  {PEERS[test]}")
    queue.put("\n".join([*lines, *(f"    {line}" for line in model.report["summary"]), ""]))


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS, metavar="SET", help=", ".join(SETS))
    options.add_argument("--size", type=int, help="unknowns in all; default: that of the library")
    options.add_argument("--self-interacting", action="store_true", help="functions with self-interaction")
    arguments = options.parse_args()
    print(machine(len(os.sched_getaffinity(0))))
    print(f"{'':22s}{'E, meV/atom (5–95 %)':>24s}{'F, eV/Å (5–95 %)':>28s}")
    context = multiprocessing.get_context("spawn")
    for name in arguments.sets:
        queue = context.Queue()
        process = context.Process(target=run, args=(name, arguments.size, not arguments.self_interacting, queue))
        process.start()
        print(queue.get(), flush=True)
        process.join()


if __name__ == "__main__":
    main()
