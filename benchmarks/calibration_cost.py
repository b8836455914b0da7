"""What it costs to leave structures out in closed form, for the calibration of a fit: CPU seconds and memory.

Each fit runs in a process of its own, on one thread, without and with calibration, with the data and bases of
uncertainty.py. Printed are CPU seconds of the fit, VmHWM of the process before and after it (Linux only), and ratios
of what the fits took.

    python benchmarks/calibration_cost.py
    python benchmarks/calibration_cost.py --sets TiAl --repeats 3     # medians
"""

from __future__ import annotations

import os
import subprocess
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import time
import warnings

import numpy as np
from common import machine, parser
from peers_memory import status
from uncertainty import SETS, basis_of, frames_of

from acepure import LinearACE


def fitted(name: str, calibrated: bool) -> None:
    """CPU seconds, MB before the fit, MB at its peak, functions, structures, atoms."""
    warnings.simplefilter("ignore")
    frames, _ = frames_of(name)
    basis = basis_of(frames, SETS[name][3])
    before, began = status("VmHWM"), time.process_time()
    LinearACE.fit(
        frames,
        basis,
        virial_key=False,
        calibrate_by="structure" if calibrated else None,
        check=False,
        verbose=False,
        num_threads=1,
    )
    seconds = time.process_time() - began
    atoms = sum(len(frame) for frame in frames)
    print(seconds, before / 2**20, status("VmHWM") / 2**20, len(basis), len(frames), atoms)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--sets", nargs="+", default=["Si", "TiAl", "acac"], choices=SETS)
    arguments.add_argument("--repeats", type=int, default=1)
    arguments.add_argument("--one", nargs=2, metavar=("SET", "YES_OR_NO"), help="one fit, in this process")
    given = arguments.parse_args()
    if given.one:
        fitted(given.one[0], given.one[1] == "yes")
        return
    print(machine(1))
    for name in given.sets:
        found: dict[str, list[list[float]]] = {"no": [], "yes": []}
        for _ in range(given.repeats):
            for calibrated, rows in found.items():
                command = [sys.executable, __file__, "--one", name, calibrated]
                rows.append([float(x) for x in subprocess.check_output(command, text=True).split()])
        plain, both = (np.median(rows, axis=0) for rows in found.values())
        print(
            f"{name}: {plain[4]:.0f} structures, {plain[5]:.0f} atoms, {plain[3]:.0f} functions; fit {plain[0]:.1f} s, "
            f"with calibration {both[0]:.1f} s: {both[0] / plain[0]:.2f}; peak {plain[2]:.0f} and {both[2]:.0f} MB, "
            f"{plain[1]:.0f} before the fit",
            flush=True,
        )


if __name__ == "__main__":
    main()
