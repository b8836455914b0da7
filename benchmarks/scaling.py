"""Time and memory of features, written out in blocks, from 256 to a million atoms; one thread.

python benchmarks/scaling.py
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import resource
import time

from ase.build import bulk
from common import machine

from acepure import ACEBasis


def main() -> None:
    print(machine(1))
    basis = ACEBasis(["Cu"], rcut=5.0, order=3, n_max=4, l_max=4).prepare()
    print(f"{'atoms':>10s}{'µs/atom':>10s}{'peak, MiB':>12s}{'structure, MiB':>16s}")
    for n in (4, 8, 16, 32, 63):
        atoms = bulk("Cu", cubic=True) * (n, n, n)
        atoms.rattle(0.1, seed=0)
        repeats = max(1, 4096 // len(atoms))
        start = time.perf_counter()
        for _ in range(repeats):
            total = sum(len(features) for _, features in basis.descriptor_blocks(atoms, num_threads=1))
        seconds = (time.perf_counter() - start) / repeats
        assert total == len(atoms)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        structure = (atoms.positions.nbytes + atoms.numbers.nbytes) / 2**20
        print(f"{len(atoms):10d}{1e6 * seconds / len(atoms):10.2f}{peak:12.0f}{structure:16.1f}", flush=True)


if __name__ == "__main__":
    main()
