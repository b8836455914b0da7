"""The tables of docs/conditioning.md: every kind of basis on metals, silicon, InP and molecules.

    python benchmarks/conditioning.py            all, about a quarter of an hour
    python benchmarks/conditioning.py --quick    the first table only

120 random frames of each training set, 20 random atoms of each (all where there are fewer), seed 0; 480 frames of InP,
whose two species need more, and all 500 of the molecules, whose oxygen atoms are few. One thread.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from functools import cache
from typing import Any

import ase
import numpy as np
from common import machine, read

from acepure.diagnostics import ROWS, Comparison, compare_references
from acepure.functions import LinearTransform, PolynomialEnvelope, PolynomialRadialBasis

ATOMS, SEED = 20, 0
#: File, frames, cutoff in Å, total degree.
SETS = {
    "Si": ("zuo2020/Si_train", 120, 5.5, 6),
    "Cu": ("zuo2020/Cu_train", 120, 5.5, 6),
    "Ni": ("zuo2020/Ni_train", 120, 5.5, 6),
    "InP": ("inp/InP_train", 480, 5.5, 6),
    "C5H8O2": ("acac/train_600K", 500, 4.5, 3),
}
#: Bases of the large comparisons.
SOME = (
    "self-interacting, Chebyshev",
    "canonical, Chebyshev",
    "shifted, radial density",
    "centered, radial density",
    "Wick, radial density",
    "measured pairs, radial density",
)


@cache
def frames(name: str) -> list[ase.Atoms]:
    """Return the sample of a data set."""
    file, n_frames, *_ = SETS[name]
    found = read(file)
    return [found[k] for k in np.random.default_rng(SEED).choice(len(found), n_frames, replace=False)]


def compare(name: str, linear: bool = True, **options: Any) -> Comparison:
    """Compare on one data set, with x linear in r and f = (1 − r/rcut)², or with the default radial functions."""
    *_, rcut, degree = SETS[name]
    radial = PolynomialRadialBasis(rcut, LinearTransform(), PolynomialEnvelope(2))
    radial = radial if linear else PolynomialRadialBasis(rcut)
    options = {"totaldegree": degree, "atoms_per_structure": ATOMS, "seed": SEED, **options}
    return compare_references(frames(name), radial=radial, num_threads=1, **options)


def table(comparisons: dict[str, Comparison], rows: tuple[str, ...] = ROWS) -> None:
    """Print scaled (standardized) condition numbers, then the floors, of several comparisons side by side."""
    header = "".join(f" {name} |" for name in comparisons)
    for title, cell in (
        ("scaled (standardized)", lambda row: f"{row.scaled:.0e} ({row.standardized:.0e})"),
        (
            "lower orders off: in sample, held out; whitened, held out",
            lambda row: f"{row.lower_orders_off:.0e}, {row.lower_orders_off_held_out:.0e}; {row.whitened_held_out:.0e}",
        ),
    ):
        print(f"\n{title}\n\n| functions | basis |{header}\n|---|---|{'--:|' * len(comparisons)}")
        for name in rows:
            cells = [_cell(comparison, name, cell) for comparison in comparisons.values()]
            kind, functions = name.split(", ")
            print(f"| {functions} | {kind} |" + "".join(f" {text} |" for text in cells), flush=True)


def _cell(comparison: Comparison, name: str, cell: Any) -> str:
    row = comparison[name]
    return cell(row).replace("e+0", "e").replace("e+", "e") if not row.reason else "not made"


def shown(name: str, title: str, **options: Any) -> Comparison:
    """Compare, and print at once."""
    comparison = compare(name, **options)
    print(f"\n## {name}: {title}\n\n{comparison}", flush=True)
    return comparison


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the first table only")
    quick = parser.parse_args().quick
    print(machine(1))
    title = "x linear in r, f = (1 − r/rcut)²"
    found = {name: shown(name, title) for name in SETS}
    print(f"\n# All sets: {title}")
    table(found)
    if quick:
        return
    title = "default radial functions"
    found = {name: shown(name, title, linear=False) for name in SETS}
    print(f"\n# All sets: {title}")
    table(found)
    # Order 4 has as many columns as the sample has environments by half; all atoms of its frames are taken.
    for order, atoms in ((2, ATOMS), (3, ATOMS), (4, None)):
        title = f"order {order}, total degree 10, x linear in r"
        options = {"order": order, "totaldegree": 10, "rows": SOME, "atoms_per_structure": atoms}
        found = {name: shown(name, title, **options) for name in ("Si", "Cu")}
        print(f"\n# {title}")
        table(found, SOME)


if __name__ == "__main__":
    main()
