"""Set-up time, sizes and memory of bases, each in a fresh process.

python benchmarks/setup_time.py
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

from common import machine, parser

CASES = [
    (["Cu"], {"order": 3, "totaldegree": 12}, 1.0),
    (["Cu"], {"order": 4, "totaldegree": 10}, 4.0),
    (["Cu"], {"order": 4, "totaldegree": 12}, 15.0),
    (["Cu"], {"order": 4, "totaldegree": 14}, 60.0),
    (["H", "C", "O"], {"order": 3, "totaldegree": 8}, 10.0),
    (["Cu"], {"order": 5, "totaldegree": 8}, None),
    (["Cu"], {"order": 6, "totaldegree": 7}, None),
]


def main() -> None:
    parser(__doc__).parse_args()
    print(machine(1))
    header = (
        f"{'species':8s}{'order':>6s}{'D':>4s}{'features':>10s}{'products':>10s}{'extended':>10s}{'nnz(C_ext)':>12s}"
    )
    print(header + f"{'nnz(P_B)':>10s}{'set-up, s':>11s}{'aim, s':>8s}{'peak, MiB':>11s}")
    for species, arguments, aim in CASES:
        command = [sys.executable, __file__, json.dumps([species, arguments])]
        r = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(
            f"{'-'.join(species):8s}{arguments['order']:6d}{arguments['totaldegree']:4d}{r['features']:10d}"
            f"{r['products']:10d}{r['extended']:10d}{r['nnz_C']:12d}{r['nnz_P']:10d}{r['seconds']:11.2f}"
            f"{'–' if aim is None else format(aim, '.0f'):>8s}{r['peak']:11.0f}",
            flush=True,
        )


def measure(species: list[str], arguments: dict) -> None:
    from acepure import ACEBasis

    start = time.perf_counter()
    basis = ACEBasis(species, **arguments).prepare()
    seconds = time.perf_counter() - start
    operators = basis.operators(species[0])
    print(
        json.dumps(
            {
                "features": len(basis),
                "products": len(operators.products),
                "extended": len(operators.extended_products),
                "nnz_C": operators.extended_symmetrization.nnz,
                "nnz_P": operators.invariant_purification.nnz,
                "seconds": seconds,
                "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


if __name__ == "__main__":
    measure(*json.loads(sys.argv[1])) if sys.argv[1:2] and sys.argv[1].startswith("[") else main()
