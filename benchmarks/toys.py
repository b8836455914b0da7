"""The toys of docs/toys.md: particles on a line and random environments; every table of that page.

python benchmarks/toys.py
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import time
from collections.abc import Iterator
from functools import partial

from common import machine, parser

from acepure.toys import (
    Table,
    condition_table,
    decay_table,
    environment_table,
    iteration_table,
    learning_table,
    runge,
    sparsity_table,
    spread,
    triplets,
    truncation_table,
)

PEAK = partial(runge, c=25.0)


def tables() -> Iterator[tuple[str, Table]]:
    """Yield every table with the heading it stands under."""
    yield "condition numbers", condition_table("chebyshev")
    yield "condition numbers", condition_table("legendre")
    yield "condition numbers", condition_table("chebyshev", n_particles=10, law="uniform")
    yield "condition numbers", condition_table("chebyshev", degrees=(4, 8), n_particles=20, poisson=True, start=0)
    yield "sparsity", sparsity_table("chebyshev")
    yield "sparsity", sparsity_table("legendre")
    for target in (PEAK, spread, triplets):
        yield "coefficients", decay_table(target)
    yield "coefficients", decay_table(PEAK, "legendre")
    for target in (PEAK, spread, triplets):
        yield "truncation", truncation_table(target)
    yield "truncation", truncation_table(PEAK, n_particles=10, law="uniform")
    yield "iterations", iteration_table()
    yield "iterations", iteration_table(PEAK, "legendre")
    for target in (runge, spread, triplets):
        yield "learning", learning_table(target, repeats=15)
    for kind in ("poisson", "ball", "hard"):
        yield "three dimensions", environment_table(kind=kind)


def main() -> None:
    parser(__doc__).parse_args()
    print(machine(1))
    start, heading = time.perf_counter(), ""
    for name, table in tables():
        if name != heading:
            heading = name
            print(f"\n## {heading}")
        print(f"\n{table}", flush=True)
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
