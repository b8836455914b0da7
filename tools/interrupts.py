"""How long Ctrl-C takes: SIGINT is sent in the middle of long work, and the time to KeyboardInterrupt printed.

python tools/interrupts.py [NAME ...]
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable

import numpy as np
from ase import Atoms
from ase.build import bulk

from acepure import ACEBasis, LinearFunction, pair_jacobian, pullback, summed_gradients
from acepure._utils.tall_qr import RFactor, jacobi_svd
from acepure.neighbors.lists import neighbor_list

Work = Callable[[], object]


def crystal(n: int) -> Atoms:
    """4 n³ atoms."""
    atoms = bulk("Cu", cubic=True) * n
    atoms.rattle(0.1, seed=0)
    return atoms


def basis(totaldegree: int) -> ACEBasis:
    return ACEBasis(["Cu"], order=3, totaldegree=totaldegree).prepare()


def features_of_a_list() -> Work:
    atoms, made = crystal(22), basis(12)
    neighbors = made.neighbor_list(atoms)
    return lambda: made.descriptors(atoms, neighbors=neighbors, num_threads=1)


def linear_of_a_list() -> Work:
    atoms, made = crystal(40), basis(10)
    function, neighbors = LinearFunction(made, np.ones(len(made))), made.neighbor_list(atoms)
    return lambda: function.evaluate_with_gradients(atoms, neighbors=neighbors, num_threads=1)


def linear_of_a_million() -> Work:
    atoms, made = crystal(63), basis(10)
    function = LinearFunction(made, np.ones(len(made)))
    return lambda: function.evaluate_with_gradients(atoms, num_threads=1)


def features() -> Work:
    atoms, made = crystal(22), basis(12)
    return lambda: made.descriptors(atoms, num_threads=1)


def jacobian() -> Work:
    atoms, made = crystal(6), basis(8)
    return lambda: pair_jacobian(made, atoms, num_threads=1, max_bytes=1e11)


def summed() -> Work:
    atoms, made = crystal(9), basis(10)
    return lambda: summed_gradients(made, atoms, num_threads=1)


def pulled_back() -> Work:
    atoms, made = crystal(20), basis(12)
    _ = made._tables.pullback_evaluators
    cotangents = np.ones((len(atoms), len(made)))
    return lambda: pullback(made, atoms, cotangents, num_threads=1)


def construction() -> Work:
    return lambda: ACEBasis(["Cu", "Zr"], order=4, totaldegree=11).prepare()


def list_of_a_million() -> Work:
    atoms = crystal(63)
    return lambda: neighbor_list(atoms, 6.0)


def triangle() -> Work:
    rows = np.random.default_rng(0).normal(size=(20_000, 2000))
    return lambda: RFactor(2000).add(rows)


def spectrum() -> Work:
    matrix = np.random.default_rng(0).normal(size=(2500, 2500))
    return lambda: jacobi_svd(matrix)


#: What is interrupted, after so many seconds.
WORK = {
    "features, 42,592 atoms": (features, 0.3),
    "features of a list, 42,592 atoms": (features_of_a_list, 0.3),
    "linear function, 1,000,188 atoms": (linear_of_a_million, 8.0),
    "linear function of a list, 256,000 atoms": (linear_of_a_list, 0.5),
    "pair_jacobian, 864 atoms": (jacobian, 0.2),
    "summed_gradients, 2,916 atoms": (summed, 0.5),
    "pullback, 32,000 atoms": (pulled_back, 1.0),
    "construction of a basis": (construction, 1.0),
    "R of 20,000 x 2,000": (triangle, 1.0),
    "singular values of 2,500 x 2,500": (spectrum, 1.0),
    "neighbor_list, 1,000,188 atoms": (list_of_a_million, 1.0),
}


def interrupted(work: Work, delay: float) -> str:
    """Seconds from SIGINT to KeyboardInterrupt, and where it came."""
    sent = []

    def shoot() -> None:
        time.sleep(delay)
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    shooter = threading.Thread(target=shoot)
    shooter.start()
    try:
        work()
        shooter.join()
        return "had ended before"
    except KeyboardInterrupt as end:
        frame = traceback.extract_tb(end.__traceback__)[-1]
        return f"{time.perf_counter() - sent[0]:.2f} s, in {os.path.basename(frame.filename)}"


def main() -> None:
    for name, (prepare, delay) in WORK.items():
        if not sys.argv[1:] or any(wanted in name for wanted in sys.argv[1:]):
            work = prepare()
            try:
                print(f"{name:45} {interrupted(work, delay)}", flush=True)
            except KeyboardInterrupt:  # it came a moment after the end of the work
                print(f"{name:45} had ended before", flush=True)


if __name__ == "__main__":
    main()
