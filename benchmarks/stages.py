"""Where the time of an evaluation goes, stage by stage, and what bounds each.

Stages are timed by leaving out those that follow: a kernel with one empty row has the pairs alone, one without P_B
has the pairs and products.

    python benchmarks/stages.py
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from ase.build import bulk
from common import interleaved, machine, parser
from scipy.sparse import csr_array

from acepure import ACEBasis, LinearFunction
from acepure.labels.factors import ProductSet
from acepure.neighbors.environments import Chosen
from acepure.stages.fused import forward_contraction

WORKLOADS = {
    "(a) n_max=4, l_max=6, ν ≤ 2": {"order": 2, "n_max": 4, "l_max": 6},
    "(b) n_max=4, l_max=4, ν ≤ 3": {"order": 3, "n_max": 4, "l_max": 4},
    "(c) D=12, ν ≤ 3": {"order": 3, "totaldegree": 12},
    "(d) D=10, ν ≤ 4": {"order": 4, "totaldegree": 10},
}
STAGES = ("neighbor list", "pairs → A", "A → products → invariants", "invariants → features", "energy", "forces")


def main() -> None:
    parser(__doc__).parse_args()
    atoms = bulk("Cu", cubic=True) * (4, 4, 4)
    atoms.rattle(0.1, seed=0)
    print(machine(1))
    print("µs per atom; the last two: a linear function of the features, folded, list reused")
    print(f"{'workload':32s}" + "".join(f"{stage:>28s}" for stage in STAGES))
    for name, arguments in WORKLOADS.items():
        basis = ACEBasis(["Cu"], rcut=5.0, **arguments).prepare()
        times = {stage: 1e6 * t / len(atoms) for stage, t in interleaved(functions(basis, atoms), 15).items()}
        values = (
            times["list"],
            times["pairs"],
            times["invariants"] - times["pairs"],
            times["features"] - times["invariants"],
            times["energy"],
            times["forces"] - times["energy"],
        )
        print(f"{name:32s}" + "".join(f"{value:28.2f}" for value in values), flush=True)


def functions(basis: ACEBasis, atoms) -> dict:
    """Cumulative stages as functions to be timed."""
    operators, geometry, evaluator = basis.operators("Cu"), basis._tables.geometries[0], basis._tables.evaluators[0]
    neighbors, rows = basis.neighbor_list(atoms, num_threads=1), np.arange(len(atoms))
    chosen = Chosen(neighbors, rows, basis.species_indices(atoms), 1)
    ((_, _, part),) = geometry.parts(chosen)
    products, C = operators.extended_products, operators.extended_symmetrization
    pairs = forward_contraction(ProductSet(products.one_particle, ()), csr_array((1, 0)), None)
    invariants = forward_contraction(products, C, None)
    pooling, nothing = geometry.pooling, np.empty((0, 0))
    outputs = [np.empty((len(atoms), n)) for n in (1, C.shape[0], len(basis))]
    function = LinearFunction(basis, np.ones(len(basis)))
    return {
        "list": lambda: basis.neighbor_list(atoms, num_threads=1),
        "pairs": lambda: pairs.evaluate(pooling, part, rows, outputs[0], nothing, 1),
        "invariants": lambda: invariants.evaluate(pooling, part, rows, outputs[1], nothing, 1),
        "features": lambda: evaluator.evaluate(chosen, outputs[2], rows),
        "energy": lambda: function.evaluate(atoms, neighbors=neighbors, num_threads=1),
        "forces": lambda: function.evaluate_with_gradients(atoms, neighbors=neighbors, num_threads=1),
    }


if __name__ == "__main__":
    main()
