"""Selection from large pools: time and peak memory of `acepure select`, and whether random sums of forces choose well.

Pools are cells of 54 atoms of Mo and Ta on a body-centered lattice, with elements at random, strained by up to a tenth
and rattled by up to 0.3 Å; they are written one by one and chosen from by the command line in a process of its own,
which starts without a model. Printed are CPU seconds and VmHWM of that process (Linux only).

Of a small pool, first: log det of the information of all forces, over that of the prior, of as many structures chosen
by all forces, by random sums, by energies alone and at random; mean and lowest of the seeds in parts of the first.

    python benchmarks/selection_pool.py                                # 10⁴ and 10⁵ environments: minutes
    python benchmarks/selection_pool.py --environments 10000 --seeds 1
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import ase.io
import numpy as np
from ase import Atoms
from ase.build import bulk
from common import machine, parser

from acepure import ACEBasis
from acepure._utils.tall_qr import RFactor
from acepure.active import select
from acepure.active.selection import Rows
from acepure.fitting.priors import SmoothnessPrior
from acepure.fitting.system import unknowns

N_ATOMS = 54
CHOSEN = (5, 20, 50)
WAYS = {
    "all forces": {},
    "4 sums": {"sketch": 4},
    "8 sums": {"sketch": 8},
    "16 sums": {"sketch": 16},
    "energies alone": {"forces": False},
    "random": {"method": "random"},
}
#: The command line, and what the process took, at its end.
CHILD = """
import re, time
from pathlib import Path
from acepure.cli import main
main()
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text()).group(1)) / 1024
print(f"took {time.process_time():.0f} s of CPU, peak {peak:.0f} MB")
"""


def structure(k: int) -> Atoms:
    """Number k of a pool."""
    rng = np.random.default_rng(k)
    atoms = bulk("Mo", cubic=True, a=3.2) * 3
    atoms.symbols = rng.permutation(["Ta"] * int(rng.integers(0, N_ATOMS + 1)) + ["Mo"] * N_ATOMS)[:N_ATOMS]
    strain = rng.uniform(-0.1, 0.1, (3, 3))
    atoms.set_cell(atoms.cell @ (np.eye(3) + 0.5 * (strain + strain.T)), scale_atoms=True)
    atoms.rattle(rng.uniform(0.02, 0.3), rng=rng)
    atoms.info["config_type"] = f"{10 * int(10 * (atoms.numbers == 73).mean())}% Ta"
    return atoms


def large(environments: int, folder: Path, arguments: list[str]) -> None:
    pool, chosen = folder / "pool.extxyz", folder / "chosen.extxyz"
    n = -(-environments // N_ATOMS)
    with open(pool, "w", encoding="utf-8") as file:
        for k in range(n):
            ase.io.write(file, structure(k), format="extxyz")
    command = ["select", str(pool), "-n", "50", "--threads", "1", "-o", str(chosen), *arguments]
    done = subprocess.run([sys.executable, "-c", CHILD, *command], check=True, capture_output=True, text=True)
    print(
        f"{n} structures, {n * N_ATOMS} environments, {' '.join(arguments)}: {done.stdout.splitlines()[-1]}", flush=True
    )


def agreement(n_pool: int, seeds: int) -> None:
    pool = [structure(10**6 + k) for k in range(n_pool)]
    basis = ACEBasis(["Mo", "Ta"], n_functions=200)
    rows = Rows(basis, unknowns(basis, SmoothnessPrior("algebraic", 2)).feature_rows() / 1e-2, True, 30.0, 1)
    held = [rows.of(atoms) for atoms in pool]
    everything = gained(rows, held)
    print(f"{n_pool} structures, {rows.n_unknowns} unknowns; all of them {everything:.0f}")
    best: dict[int, float] = {}
    for way, options in WAYS.items():
        gains = []
        for seed in range(1 if way in ("all forces", "energies alone") else seeds):
            indices = select(pool, CHOSEN[-1], basis=basis, seed=seed, num_threads=1, **options).indices
            gains.append([gained(rows, [held[k] for k in indices[:n]]) for n in CHOSEN])
        cells = []
        for n, values in zip(CHOSEN, np.transpose(gains)):
            top = best.setdefault(n, float(values[0]))
            mean, least = 100 * np.mean(values) / top, 100 * np.min(values) / top
            cells.append(f"{n:4d}: {np.mean(values):8.1f} = {mean:5.1f} % (from {least:5.1f})")
        print(f"{way:16s}" + "".join(cells), flush=True)


def gained(rows: Rows, held: list[np.ndarray]) -> float:
    """log det of the information of structures, over that of the prior."""
    factor = RFactor(rows.n_unknowns)
    factor.add(np.eye(rows.n_unknowns))
    for W in held:
        factor.add(W)
    return 2 * float(np.log(np.abs(np.diag(factor.R))).sum())


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--environments", type=int, nargs="*", default=[10_000, 100_000])
    arguments.add_argument("--pool", type=int, default=120, help="structures of the small pool, 0 for none")
    arguments.add_argument("--seeds", type=int, default=3, help="of the random sums")
    given = arguments.parse_args()
    print(machine(1), flush=True)
    if given.pool:
        agreement(given.pool, given.seeds)
    with tempfile.TemporaryDirectory() as folder:
        for environments in given.environments:
            large(environments, Path(folder), ["--sketch", "8"])


if __name__ == "__main__":
    main()
