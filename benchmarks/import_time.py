"""How long `import acepure` takes, beside NumPy and ase.Atoms, in new processes.

    python benchmarks/import_time.py

Names of acepure are loaded when they are used: the second line is the first name that needs the kernels, the third the
one that needs most.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from common import machine, parser

STATEMENTS = [
    "pass",
    "import acepure",
    "import numpy; from ase import Atoms",
    "from acepure import descriptors",
    "from acepure import LinearACE",
]


def seconds(statement: str) -> float:
    """Time one new interpreter."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - start


def main() -> None:
    """Print medians, less what an interpreter takes that does nothing."""
    arguments = parser(__doc__)
    arguments.add_argument("--repeats", type=int, default=7)
    repeats = arguments.parse_args().repeats
    print(machine(1))
    rounds = [[seconds(statement) for statement in STATEMENTS] for _ in range(repeats + 1)][1:]
    medians = [statistics.median(column) for column in zip(*rounds)]
    for statement, median in zip(STATEMENTS[1:], medians[1:]):
        print(f"{statement:<40} {1e3 * (median - medians[0]):7.0f} ms")


if __name__ == "__main__":
    main()
