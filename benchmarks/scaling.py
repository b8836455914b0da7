"""Time and memory of features, written out in blocks, from 256 to a million atoms; one thread.

python benchmarks/scaling.py

The time of a structure is the median of passes over all of it, after one pass that is not timed: the first to write
to fresh memory waits for the system to provide its pages. The largest structure, whose blocks use the same memory
hundreds of times, gets a single pass. Neighbor lists are made in every pass.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import resource
import statistics
import time

import ase
from ase.build import bulk
from common import machine, parser

from acepure import ACEBasis

#: Cubic cells along each axis, of four atoms each.
SIZES = (4, 8, 16, 32, 63)
#: Structures of more atoms get one pass.
LARGEST_WARMED_UP = 131_072


def seconds_per_pass(basis: ACEBasis, atoms: ase.Atoms) -> float:
    """Time one pass over a structure, as the module says."""
    once = len(atoms) > LARGEST_WARMED_UP
    times = []
    for _ in range(1 if once else 1 + max(3, 4096 // len(atoms))):
        start = time.perf_counter()
        total = sum(len(features) for _, features in basis.descriptor_blocks(atoms, num_threads=1))
        times.append(time.perf_counter() - start)
        assert total == len(atoms)
    return times[0] if once else statistics.median(times[1:])


def main() -> None:
    parser(__doc__).parse_args()
    print(machine(1))
    basis = ACEBasis(["Cu"], rcut=5.0, order=3, n_max=4, l_max=4).prepare()
    print(f"{'atoms':>10s}{'µs/atom':>10s}{'peak, MiB':>12s}{'structure, MiB':>16s}")
    for n in SIZES:
        atoms = bulk("Cu", cubic=True) * (n, n, n)
        atoms.rattle(0.1, seed=0)
        seconds = seconds_per_pass(basis, atoms)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        structure = (atoms.positions.nbytes + atoms.numbers.nbytes) / 2**20
        print(f"{len(atoms):10d}{1e6 * seconds / len(atoms):10.2f}{peak:12.0f}{structure:16.1f}", flush=True)


if __name__ == "__main__":
    main()
