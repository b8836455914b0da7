"""Layers of messages against linear potentials, inside and outside of the data, for equal processor time.

Each line is one model: seconds of the processor that its fit took, then MAE of energies, meV/atom, and of forces, eV/Å,
on each test set. The linear potential has a fixed basis of one cutoff; "linear, large" has more functions and takes
about the time that a base and its layers take together. Layers are trained for so many seconds by the clock of the
processor, on one thread. Nothing is chosen by test errors.

    python benchmarks/layers.py                                        # all sets, siblings on a linear base, one seed
    python benchmarks/layers.py --sets acac --variants plain siblings no-backtracking pair one --seeds 0 1 2
    python benchmarks/layers.py --sets acac --dimers
    python benchmarks/layers.py --figure docs/images/layers.png        # what is summed over, and what two atoms have
"""

from __future__ import annotations

import time
import warnings

import ase.io
import numpy as np
from common import data_folder, machine, parser, read

from acepure import ACEBasis, LayeredACE, LinearACE
from acepure.fitting import label_structures
from acepure.layers.network import Architecture, Network

#: Functions of the linear potential and of the large one, and largest degree of the layers.
SIZES = {"acac": (500, 800, 2), "ethanol": (500, 800, 2), "TiAl": (300, 700, 3), "MoNbTaW": (300, 600, 2)}
#: Arguments of `LayeredACE.fit`.
VARIANTS = {
    "siblings": {"canonical": "siblings"},
    "no-backtracking": {"canonical": "no-backtracking"},
    "plain": {"canonical": False},
    "one": {"layers": 1},
    "pair": {"canonical": "siblings", "base": "pair", "rcut": 5.0},
    "pair, plain": {"canonical": False, "base": "pair", "rcut": 5.0},
    "pair, no-backtracking": {"canonical": "no-backtracking", "base": "pair", "rcut": 5.0},
}


def plain(name):
    """Read a file that is not compressed."""
    return ase.io.read(data_folder() / f"{name}.extxyz", ":")


def data(name):
    """Training structures, and test structures by name."""
    if name == "acac":
        train = read("acac/train_300K")[:100] + read("acac/isolated_atoms")
        return train, {f"{T} K": read(f"acac/test_MD_{T}K")[::10] for T in (300, 600)}
    if name == "ethanol":
        train = read("ethanol/train")[:100] + plain("ethanol/isolated_atoms")
        tests = {"MD": read("ethanol/test_MD")[::15], "dimers": read("ethanol/test_dimers")[::6]}
        return train, tests | {"H removal": read("ethanol/test_H_removal")[::2]}
    if name == "TiAl":
        frames = read("tial/TiAl_tutorial")
        return [atoms for k, atoms in enumerate(frames) if k % 5 != 4], {"[4::5]": frames[4::5]}
    frames = [atoms for atoms in read("monbtaw/MoNbTaW_train") if not {"Mo", "Ta"} <= set(atoms.symbols)]
    test = read("monbtaw/MoNbTaW_test")
    left_out = [atoms for atoms in test if {"Mo", "Ta"} <= set(atoms.symbols)]
    others = [atoms for atoms in test if not {"Mo", "Ta"} <= set(atoms.symbols)]
    return frames[::25], {"without Mo-Ta": others[::10], "Mo-Ta, left out": left_out[::4]}


def line(name, model, seconds, tests):
    """Print the errors of a model."""
    parts = []
    for test, labeled in tests.items():
        errors = model.errors(labeled, progress=False, num_threads=1)
        energy, forces = 1e3 * errors.all("energy").mae, errors.all("forces")
        parts.append(f"{test} {energy:.3f}" + ("" if forces is None else f" / {forces.mae:.4f}"))
    print(f"  {name:34} {seconds:5.0f} s   {'   '.join(parts)}", flush=True)


def dimers(model):
    """Print energies of two atoms alone less that of the base, in eV."""
    for pair in (("H", "H"), ("C", "C"), ("O", "O")):
        r = [0.5, 0.9, 1.2]
        beyond = model.dimer(*pair, r) - model.base.dimer(*pair, r)
        print(f"    {'-'.join(pair)} at {r} Å, layers alone: {np.array2string(beyond, precision=3)} eV", flush=True)


def timed(function):
    """Return what a function returns, and seconds of the processor."""
    start = time.process_time()
    result = function()
    return result, time.process_time() - start


def run(name, variants, seeds, minutes, with_dimers):
    """Print the lines of a data set."""
    train, tests = data(name)
    train, tests = label_structures(train), {test: label_structures(found) for test, found in tests.items()}
    small, large, l_max = SIZES[name]
    sizes = ", ".join(f"{test} {len(found)}" for test, found in tests.items())
    print(f"\n{name}: {len(train)} structures for training; tests {sizes}")
    work = {"num_threads": 1, "progress": False, "verbose": False}
    bases = {}
    for what, n in (("linear", small), ("linear, large", large)):
        bases[what] = ACEBasis(train.species, 5.0, 3, n_functions=n)
        linear, seconds = timed(lambda: LinearACE.fit(train, bases[what], calibrate_by=None, **work))  # noqa: B023
        line(f"{what}, {n} functions", linear, seconds, tests)
    for variant in variants:
        options = {"channels": 12, "l_max": l_max, "minutes": minutes, **VARIANTS[variant], **work}
        basis = None if "base" in options else bases["linear"]
        for seed in seeds:
            model, seconds = timed(lambda: LayeredACE.fit(train, basis, seed=seed, **options))  # noqa: B023
            steps = model.report["summary"][-3].split(", ")[1]
            line(f"{variant}, seed {seed}, {steps}", model, seconds, tests)
            if with_dimers:
                dimers(model)


def draw(path):
    """Draw three trees with the networks that sum over them, and energies of two atoms in a random network."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    trees, curves = figure.subplots(1, 2, width_ratios=(1.15, 1))
    _draw_trees(trees)
    r, basis = np.linspace(0.6, 5, 60), ACEBasis(["Cu"], 5.0, 1, totaldegree=1)
    base = LinearACE(basis, np.zeros(len(basis)))
    for canonical, color in ((False, "C3"), ("siblings", "C0"), ("no-backtracking", "C2")):
        architecture = Architecture(2, 4, 2, 3, 5, canonical)
        arrays = architecture.random(1, 1.0, seed=4) | {"whitening": np.eye(5)[None]}
        arrays["U"] *= 4  # what siblings and walks that do not return differ by
        model = LayeredACE(base, Network(architecture, 1, arrays))
        curves.plot(r, model.dimer("Cu", "Cu", r), color, label=canonical or "plain")
    arrays = arrays | {"w1": arrays["w1"].copy(), "w2": arrays["w2"].copy(), "U": 0 * arrays["U"]}
    for name in ("w1", "w2"):
        arrays[name][:, 1:] = 0
    pairs = LayeredACE(base, Network(architecture, 1, arrays))
    curves.plot(r, pairs.dimer("Cu", "Cu", r), "k:", label="terms of order one")
    curves.set(xlabel="r (Å)", ylabel="energy of two atoms", title="random parameters, three ways to sum")
    curves.set_yscale("symlog", linthresh=0.03)
    curves.legend(frameon=False)
    figure.savefig(path, dpi=110)


def _draw_trees(axes):
    """Circles are atoms, lines are factors of a term."""
    words = (("j twice in\none message", "plain"), ("back to i", "plain, siblings"), ("i, j, k, l", "all three"))
    for column, (what, networks) in enumerate(words):
        x = 2.4 * column
        points = {"i": (x, 0.0), "j": (x - 0.6, 1.0)}
        if column == 2:
            points |= {"k": (x + 0.6, 1.0), "l": (x - 0.6, 2.0)}
        lines = [[("i", "j", 0.25), ("i", "j", -0.25)], [("i", "j", 0.25), ("j", "i", 0.25)]]
        lines += [[("i", "j", 0.0), ("i", "k", 0.0), ("j", "l", 0.0)]]
        for a, b, bend in lines[column]:
            style = {"arrowstyle": "->", "connectionstyle": f"arc3,rad={bend}", "shrinkA": 9, "shrinkB": 9}
            axes.annotate("", points[b], points[a], arrowprops=style)
        for name, (px, py) in points.items():
            axes.text(px, py, name, ha="center", va="center", bbox={"boxstyle": "circle", "fc": "white"})
        axes.text(x, -0.9, f"{what}\nin: {networks}", ha="center", va="top")
    axes.set(xlim=(-1.5, 6.3), ylim=(-2.2, 2.5), title="trees of two layers")
    axes.axis("off")


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--sets", nargs="+", choices=SIZES, default=list(SIZES))
    command.add_argument("--variants", nargs="+", choices=VARIANTS, default=["siblings"])
    command.add_argument("--seeds", nargs="+", type=int, default=[0])
    command.add_argument("--minutes", type=float, default=1.0)
    command.add_argument("--dimers", action="store_true", help="print energies of dimers too; for acac")
    command.add_argument("--figure", help="draw the figure of the page, and nothing else")
    arguments = command.parse_args()
    if arguments.figure:
        draw(arguments.figure)
        return
    warnings.simplefilter("ignore")
    print(machine(1))
    for name in arguments.sets:
        run(name, arguments.variants, arguments.seeds, arguments.minutes, arguments.dimers)


if __name__ == "__main__":
    main()
