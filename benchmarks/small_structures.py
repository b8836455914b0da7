"""Time per call on small structures, where what is done once per call counts: µs of the fastest of many calls.

Ethanol, 9 atoms, rcut 5.0 Å, order 3, one thread. Every call makes its neighbor list, but for the calculator, whose
Verlet list serves the small steps of the atoms. Then cells of silicon, 224 functions, with their pairs enumerated, and
searched like those of large structures.

    python benchmarks/small_structures.py
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from collections.abc import Callable
from functools import partial

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from common import machine, parser

from acepure import ACEBasis, BondBasis, HamiltonianModel, LinearACE, LinearFunction, TensorModel, descriptors
from acepure.features.blocks import BlockBasis
from acepure.fitting import label_structures
from acepure.fitting.design import Design
from acepure.fitting.weights import resolve_weights
from acepure.labels.orbitals import Orbitals
from acepure.neighbors import lists

SYMBOLS = ["H", "C", "O"]
DEGREES = (2, 4)
REPEATS = 300


def main() -> None:
    parser(__doc__).parse_args()
    print(machine(1))
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=0)
    columns = [calls(atoms, degree) for degree in DEGREES]
    print(f"{'µs per call':40s}" + "".join(f"  totaldegree {degree:2d}" for degree in DEGREES))
    for name in columns[0]:
        print(f"{name:40s}" + "".join(f"{fastest(found[name]):16.0f}" for found in columns))
    cells()


def cells() -> None:
    """Periodic cells: µs of the list, of features, and of energy and forces, enumerated and searched in turn."""
    basis = ACEBasis(["Si"], rcut=5.0, order=3, totaldegree=8)
    model = LinearACE(basis, np.random.default_rng(0).normal(size=(1, len(basis))))
    print(f"silicon, {len(basis)} functions: enumerated / searched")
    few, cubic = lists.FEW_ATOMS, bulk("Si", cubic=True)
    for atoms in (bulk("Si"), cubic, cubic * (2, 2, 1), cubic * (2, 2, 2)):
        atoms.rattle(0.05, seed=0)
        timed = {
            "neighbor list": partial(basis.neighbor_list, atoms),
            "ACEBasis.descriptors": partial(basis.descriptors, atoms),
            "LinearACE.evaluate": partial(model.evaluate, atoms),
        }
        for name, call in timed.items():
            times = []
            for lists.FEW_ATOMS in (few, 0):
                times.append(fastest(call))
            lists.FEW_ATOMS = few
            print(f"{len(atoms):3d} atoms, {name:29s}" + "".join(f"{t:16.0f}" for t in times))


def calls(atoms: Atoms, degree: int) -> dict[str, Callable[[], object]]:
    """What is timed."""
    basis, rng = ACEBasis(SYMBOLS, rcut=5.0, order=3, totaldegree=degree), np.random.default_rng(0)
    print(f"totaldegree {degree}: {len(basis)} functions")
    theta = rng.normal(size=(len(SYMBOLS), len(basis)))
    function, model = LinearFunction(basis, theta), LinearACE(basis, theta)
    labeled = atoms.copy()
    labeled.info["energy"], labeled.arrays["forces"] = 0.0, np.zeros((len(atoms), 3))
    labels = label_structures([labeled])
    design = Design(basis, resolve_weights(None), dict.fromkeys(SYMBOLS, 0.0))
    vectors = ACEBasis(SYMBOLS, rcut=5.0, order=3, totaldegree=degree, irrep="1o")
    dipole = TensorModel([vectors], [rng.normal(size=(len(SYMBOLS), len(vectors)))], "vector")
    bonds = BondBasis(SYMBOLS, length=5.0, rcut=5.0, order=2, totaldegree=degree)
    blocks = BlockBasis(basis, bonds, Orbitals({"H": "s", "C": "sp", "O": "sp"}))
    matrix = HamiltonianModel(blocks, [rng.normal(size=part.size) for part in blocks.parts])
    moving = atoms.copy()
    moving.calc = model.calculator()

    def step() -> np.ndarray:
        moving.positions[0, 0] += 1e-6
        return moving.get_forces()

    return {
        "neighbor list": lambda: basis.neighbor_list(atoms),
        "descriptors": lambda: descriptors(atoms, rcut=5.0, order=3, totaldegree=degree),
        "ACEBasis.descriptors": lambda: basis.descriptors(atoms),
        "LinearFunction.evaluate_with_gradients": lambda: function.evaluate_with_gradients(atoms),
        "LinearACE.evaluate": lambda: model.evaluate(atoms),
        "ACECalculator, energy and forces": step,
        "Design.rows, energy and forces": lambda: design.rows(labels[0]),
        "TensorModel.predict, dipole": lambda: dipole.predict(atoms),
        "HamiltonianModel.predict": lambda: matrix.predict(atoms),
    }


def fastest(call: Callable[[], object]) -> float:
    """Fewest µs of a call: what else the machine does only adds to it."""
    call()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e6 * min(times)


if __name__ == "__main__":
    main()
