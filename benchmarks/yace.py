"""Times of .yace files: by the kernels, by the description of the format in NumPy, and our own linear potential.

    python benchmarks/yace.py

Silver-copper alloy, 108 atoms, rcut 5 Å, order 3, energies and forces with one thread and a neighbor list that is
there. Files are those of a linear potential of the table; the last ones are made in the style of pacemaker from
that of the self-interacting potential: SBessel functions, mixed for each n and l, with a core.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from common import machine, parser

from acepure import ACEBasis, LinearACE
from acepure.interfaces.yace import YacePotential, read_yace
from acepure.interfaces.yace.bonds import Core
from acepure.interfaces.yace.embeddings import SHIFTED, FileEmbedding
from acepure.interfaces.yace.evaluator import YaceContent, evaluate_content

SPECIES = ["Cu", "Ag"]
DEGREES = (8, 12)
REPEATS, SLOW_REPEATS = 15, 1


def main() -> None:
    parser(__doc__).parse_args()
    print(machine(1))
    atoms = bulk("Cu", cubic=True, a=3.8).repeat(3)
    atoms.symbols = np.random.default_rng(0).choice(SPECIES, len(atoms))
    atoms.rattle(0.1, seed=0)
    print(f"{'µs per atom':58s} {'kernels':>8s} {'description':>12s} {'ratio':>6s} {'our linear':>11s}")
    for degree in DEGREES:
        for name, content, model in cases(degree):
            print_row(f"total degree {degree}, {name}", atoms, content, model)


def cases(degree: int) -> list[tuple[str, YaceContent, LinearACE]]:
    """Names, files, and the potentials that they are compared with."""
    result = []
    for canonical in (True, False):
        basis = ACEBasis(SPECIES, rcut=5.0, order=3, totaldegree=degree, canonical=canonical)
        theta = np.random.default_rng(1).normal(scale=1e-3, size=(len(SPECIES), len(basis)))
        model = LinearACE(basis, theta)
        with tempfile.TemporaryDirectory() as folder:
            model.export_yace(Path(folder) / "a.yace", tolerance=1e-5)
            content = read_yace(Path(folder) / "a.yace").content
        kind = "canonical" if canonical else "self-interacting"
        result.append((f"{len(basis)} functions, {kind}", content, model))
    for n_densities in (1, 2):
        result.append((f"pacemaker style, P = {n_densities}", pacemaker(content, n_densities), model))
    return result


def pacemaker(content: YaceContent, n_densities: int) -> YaceContent:
    """The same terms with other radial functions, densities and a core."""
    rng = np.random.default_rng(2)
    bonds = {}
    for pair, bond in content.bonds.items():
        shape = (*bond.coefficients.shape[:2], 10)
        core = Core("density", 100.0, 5.0)
        bonds[pair] = replace(bond, coefficients=0.3 * rng.normal(size=shape), family="SBessel", core=core)
    terms = tuple(
        tuple(replace(t, ns=np.minimum(t.ns, 9), ctildes=np.repeat(t.ctildes, n_densities, axis=1)) for t in of_center)
        for of_center in content.terms
    )
    exponents = np.array([1.0, 0.5][:n_densities])
    F = FileEmbedding(SHIFTED, np.ones(n_densities), exponents, 1e5, 250.0)
    return YaceContent(content.elements, content.E0, bonds, (F,) * len(content.elements), terms)


def print_row(name: str, atoms: Atoms, content: YaceContent, model: LinearACE) -> None:
    potential = YacePotential(content)
    neighbors = potential.basis.neighbor_list(atoms)
    of_model = model.basis.neighbor_list(atoms)
    times = [
        fastest(lambda: potential.evaluate(atoms, neighbors=neighbors, num_threads=1), REPEATS),
        fastest(lambda: evaluate_content(content, atoms), SLOW_REPEATS),
        fastest(lambda: model.evaluate(atoms, neighbors=of_model, num_threads=1), REPEATS),
    ]
    fast, slow, ours = (1e6 * t / len(atoms) for t in times)
    print(f"{name:58s} {fast:8.1f} {slow:12.0f} {slow / fast:6.0f} {ours:11.1f}", flush=True)


def fastest(call: Callable[[], object], repeats: int) -> float:
    """Seconds."""
    call()
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return min(found)


if __name__ == "__main__":
    main()
