"""Time of the rows of a fit: derivatives of summed features of silicon, 1016 functions, one thread.

python benchmarks/fit_rows.py
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from ase.build import bulk
from common import interleaved, machine, parser

from acepure import ACEBasis, pair_jacobian, summed_gradients


def main() -> None:
    parser(__doc__).parse_args()
    atoms = bulk("Si", cubic=True) * (2, 2, 2)
    atoms.rattle(0.1, seed=0)
    print(machine(1))
    for rcut in (5.5, 6.5):
        basis = ACEBasis(["Si"], rcut=rcut, totaldegree=[25, 21, 17], wL=1.5, n_start=1).prepare()
        pairs = basis.neighbor_list(atoms).n_pairs / len(atoms)
        times = interleaved(
            {
                "rows": lambda b=basis: summed_gradients(b, atoms, num_threads=1),
                "Jacobian": lambda b=basis: pair_jacobian(b, atoms, num_threads=1),
            },
            5,
        )
        shown = ", ".join(f"{name} {1e3 * t / len(atoms):.2f} ms per atom" for name, t in times.items())
        print(f"rcut {rcut} Å, {pairs:.0f} neighbors, {len(basis)} functions: {shown}")


if __name__ == "__main__":
    main()
