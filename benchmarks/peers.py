"""acepure and other codes on the same structures, in one run on one thread.

    python benchmarks/peers.py [--only a c ...] [--repeats 9] [--large]

    (a) Cu, n_max 4, l_max 6, ν ≤ 2                 DScribe, featomic, pyscal3
    (b) Cu, n_max 4, l_max 4, ν ≤ 3, list reused    ace-jax
    (c) CuZr, n_max 4, l_max 6, ν ≤ 2               DScribe, featomic
    (d) Jacobian of (a)                             DScribe, featomic
    (e) energy and forces of linear models          ace-jax
    (f) memory, large structures, two threads       DScribe, featomic

Times are medians over rounds in which all codes of a workload take turns.  "÷ fastest peer" compares equal work: times
with the neighbor list where the workload has it, else without.

"÷ floor" is the time without the list, where there is one, over the time that the sums A and the products alone would
take at the rate of this machine's matrix product, measured in the same rounds: 2 · neighbors · n_A floating point
operations and one per product; for the canonical basis those of its extended products, for all others those of the
self-interacting basis.  Derivatives are not in it.

Codes that are not installed are left out.  The notes on each code, in `peers_codes.py`, say what its interface allows.
"""

from __future__ import annotations

import os

# One thread for all codes; they read these when they are imported.
os.environ |= dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS", "NPROC"], "1")
os.environ |= {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import peers_codes as codes
from ase import Atoms
from ase.build import bulk
from common import interleaved, machine

from acepure import ACEBasis

RCUT = 5.0
MATRIX = np.random.default_rng(0).standard_normal((768, 768))
MAX_CPU_PER_WALL = 1.2  # more means that a code has used a second thread


def copper(n_cells: int) -> Atoms:
    atoms = bulk("Cu", cubic=True) * (n_cells, n_cells, n_cells)
    atoms.rattle(0.1, seed=0)
    return atoms


def copper_zirconium(n_cells: int) -> Atoms:
    atoms = bulk("CuZr", "cesiumchloride", a=3.26) * (n_cells, n_cells, n_cells)
    atoms.rattle(0.1, seed=0)
    return atoms


# --- workloads ----------------------------------------------------------------------------------------------


def workload_a(options: argparse.Namespace) -> None:
    atoms, box = copper(4), {"n_max": 4, "l_max": 6}
    contenders = [
        *codes.acepure_features(atoms, RCUT, order=2, **box),
        *codes.dscribe_soap(atoms, RCUT, **box),
        *codes.featomic_soap(atoms, RCUT, **box),
        *codes.pyscal_ace(atoms, RCUT, **box),
    ]
    table("(a) n_max=4, l_max=6, ν ≤ 2", atoms, contenders, options.repeats)


def workload_b(options: argparse.Namespace) -> None:
    atoms, box = copper(4), {"order": 3, "n_max": 4, "l_max": 4}
    contenders = [
        *codes.acepure_features(atoms, RCUT, **box),
        *codes.ace_jax_features(atoms, RCUT, **box),
    ]
    table("(b) n_max=4, l_max=4, ν ≤ 3", atoms, contenders, options.repeats, with_list=False)


def workload_c(options: argparse.Namespace) -> None:
    atoms, box = copper_zirconium(4), {"n_max": 4, "l_max": 6}
    contenders = [
        *codes.acepure_features(atoms, RCUT, order=2, **box),
        *codes.dscribe_soap(atoms, RCUT, **box),
        *codes.featomic_soap(atoms, RCUT, **box),
    ]
    table("(c) two species, n_max=4, l_max=6, ν ≤ 2", atoms, contenders, options.repeats)


def workload_d(options: argparse.Namespace) -> None:
    atoms, box = copper(4), {"n_max": 4, "l_max": 6}
    contenders = [
        *codes.acepure_jacobian(atoms, RCUT, order=2, **box),
        *codes.featomic_soap(atoms, RCUT, **box, gradients=["positions"]),
        *codes.dscribe_jacobian(atoms, RCUT, **box),
    ]
    table("(d) Jacobian of (a)", atoms, contenders, options.repeats)


def workload_e(options: argparse.Namespace) -> None:
    atoms = copper(8)
    for specification in (
        {"order": 3, "n_max": [8, 4, 2], "l_max": [0, 4, 2]},
        {"order": 4, "n_max": [8, 5, 4, 2], "l_max": [0, 4, 3, 2]},
        {"order": 4, "totaldegree": 16, "wL": 1.5, "n_start": 1},
    ):
        contenders = [
            *codes.acepure_forces(atoms, RCUT, **specification),
            *codes.ace_jax_forces(atoms, RCUT, **specification),
        ]
        title = "(e) energy and forces, " + ", ".join(f"{key}={value}" for key, value in specification.items())
        table(title, atoms, contenders, options.repeats, with_list=False)


def workload_f(options: argparse.Namespace) -> None:
    print("\n(f) peak memory beyond the output, workload (a) on 16,384 atoms, neighbor list included")
    for code in ("acepure", "dscribe", "featomic"):
        if code == "acepure" or codes.installed(code):
            extra, output = peak_memory(code)
            print(f"    {code:12s}{extra / 1e6:10.1f} MB   (output {output / 1e6:.1f} MB)")

    basis = ACEBasis(["Cu"], RCUT, order=3, n_max=4, l_max=4).prepare()
    print("\n(f) acepure, workload (b): µs/atom against the number of atoms")
    print(f"    {'atoms':>9s}{'with list':>12s}{'list reused':>14s}")
    for n_cells in (4, 8, 16, 32, *([63] if options.large else [])):
        atoms = copper(n_cells)
        neighbors = basis.neighbor_list(atoms, num_threads=1)
        functions = {
            "with list": lambda atoms=atoms: basis.descriptors(atoms, num_threads=1),
            "list reused": lambda atoms=atoms, n=neighbors: basis.descriptors(atoms, neighbors=n, num_threads=1),
        }
        times = interleaved(functions, options.repeats if n_cells <= 16 else 3 if n_cells <= 32 else 1)
        print(f"    {len(atoms):9d}{micro(times['with list'], atoms):>12s}{micro(times['list reused'], atoms):>14s}")

    atoms = copper(16)
    neighbors = basis.neighbor_list(atoms, num_threads=1)
    results = {k: basis.descriptors(atoms, neighbors=neighbors, num_threads=k) for k in (1, 2)}
    assert np.array_equal(results[1], results[2]), "results depend on the number of threads"
    functions = {str(k): lambda k=k: basis.descriptors(atoms, neighbors=neighbors, num_threads=k) for k in (1, 2)}
    times = interleaved(functions, options.repeats)
    print(f"\n(f) acepure, workload (b), {len(atoms)} atoms, list reused")
    print(
        f"    one thread {micro(times['1'], atoms)} µs/atom, two threads {micro(times['2'], atoms)} µs/atom, ", end=""
    )
    print(f"{times['1'] / times['2']:.2f} times faster")


def peak_memory(code: str) -> tuple[int, int]:
    """Bytes beyond the output, and of the output, in a fresh process."""
    command = [sys.executable, str(Path(__file__).with_name("peers_memory.py")), code]
    extra, output = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(extra), int(output)


# --- tables -------------------------------------------------------------------------------------------------


def table(title: str, atoms: Atoms, contenders: list[codes.Contender], repeats: int, with_list: bool = True) -> None:
    """Measure and print; `with_list` chooses the times that are compared with the fastest peer."""
    functions = {"matrix product": lambda: MATRIX @ MATRIX}
    for one in contenders:
        functions |= {(one.name, "reused"): one.reused} if one.reused else {}
        functions |= {(one.name, "with list"): one.with_list} if one.with_list and with_list else {}
    for key, function in functions.items():
        check(key, function)
    times = interleaved(functions, repeats)
    rate = 2 * len(MATRIX) ** 3 / times["matrix product"]
    compared = "with list" if with_list else "reused"
    fastest = min((times[one.name, compared] for one in contenders if one.flops is None), default=None)
    plain = min(one.flops for one in contenders if one.flops is not None)

    print(f"\n{title}; {len(atoms)} atoms; matrix product {rate / 1e9:.1f} Gflop/s")
    print(
        f"    {'code':36s}{'features':>9s}{'µs/atom: with list':>20s}{'list reused':>13s}"
        f"{'÷ fastest peer':>16s}{'÷ floor':>9s}"
    )
    for one in contenders:
        searched, reused = times.get((one.name, "with list")), times.get((one.name, "reused"))
        ratio = f"{times[one.name, compared] / fastest:.2f}" if fastest else "—"
        floor = len(atoms) * (one.flops or plain) / rate
        print(
            f"    {one.name:36s}{one.features:9d}{micro(searched, atoms):>20s}{micro(reused, atoms):>13s}"
            f"{ratio:>16s}{(reused or searched) / floor:9.1f}"
        )


def micro(seconds: float | None, atoms: Atoms) -> str:
    return "—" if seconds is None else f"{1e6 * seconds / len(atoms):.2f}"


def check(key, function) -> None:
    """Finite numbers, from one thread."""
    function()
    wall, cpu = time.perf_counter(), time.process_time()
    result = function()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert all(np.isfinite(array).all() for array in (result if isinstance(result, list) else [result])), key
    if cpu > MAX_CPU_PER_WALL * wall + 1e-3:
        print(f"{key}: {cpu / wall:.1f} threads at work, not one")


WORKLOADS = {name[-1]: function for name, function in list(globals().items()) if name.startswith("workload_")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), metavar="a..f")
    parser.add_argument("--repeats", type=int, default=9, help="rounds that medians are taken of")
    parser.add_argument("--large", action="store_true", help="in (f), a million atoms too: needs 8 GB")
    options = parser.parse_args()

    print(machine(1))
    for peer, command in codes.INSTALL.items():
        found = codes.installed(peer)
        print(f"{peer} {found}" if found else f"{peer} is not installed, its rows are left out: {command}")
    if codes.installed("jaxlib"):
        print(f"jaxlib {codes.installed('jaxlib')}")
    for name in options.only:
        WORKLOADS[name](options)


if __name__ == "__main__":
    main()
