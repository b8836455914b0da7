"""Peak memory of one code on 16,384 copper atoms beyond its output, neighbor list included; run by `peers.py`.

    python benchmarks/peers_memory.py acepure

The peak is VmHWM of /proc, Linux only: ru_maxrss of a fresh process starts at the size of the process that made it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from ase.build import bulk
from peers_codes import SMEARING, dscribe_calculator, featomic_calculator

from acepure import ACEBasis

BOX = {"n_max": 4, "l_max": 6}
RCUT = 5.0


def acepure():
    basis = ACEBasis(["Cu"], RCUT, order=2, **BOX)
    return lambda atoms: basis.descriptors(atoms, num_threads=1)


def dscribe():
    return lambda atoms: dscribe_calculator(atoms, RCUT, sigma=SMEARING, **BOX).create(atoms)


def featomic():
    soap = featomic_calculator(RCUT, **BOX)

    def compute(atoms):
        result = soap.compute(atoms)
        return result.block().values

    return compute


def status(field: str) -> int:
    """Bytes from /proc/self/status."""
    return 1024 * int(re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text()).group(1))


def copper(n_cells: int):
    atoms = bulk("Cu", cubic=True) * (n_cells, n_cells, n_cells)
    atoms.rattle(0.1, seed=0)
    return atoms


def main() -> None:
    compute = {"acepure": acepure, "dscribe": dscribe, "featomic": featomic}[sys.argv[1]]()
    compute(copper(3))  # imports and tables are no part of the answer
    atoms = copper(16)
    before = status("VmRSS")
    output = compute(atoms)
    print(status("VmHWM") - before - output.nbytes, output.nbytes)


if __name__ == "__main__":
    main()
