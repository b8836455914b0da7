"""What the benchmarks share: the data sets, timing, and the lines that say where a figure was made."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import ase
import numpy as np
import scipy
import vesin

import acepure
from acepure._kernels import variant
from acepure.structures.files import StructureFiles


def data_folder() -> Path:
    """Return the folder of the data sets: ACEPURE_DATA, else ../shared/data beside the checkout."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ACEPURE_DATA", default))
    if not folder.is_dir():
        raise SystemExit(f"no data sets at {folder}; set ACEPURE_DATA to the folder that holds zuo2020/, inp/, ...")
    return folder


def read(name: str) -> list[ase.Atoms]:
    """Read one data set, e.g. "zuo2020/Cu_train"."""
    return list(StructureFiles(data_folder() / f"{name}.extxyz.gz"))


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser whose --help is the text at the top of the script."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def machine(threads: int) -> str:
    """Describe machine, threads and versions in two lines."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()}; {threads} thread(s), kernels {variant}\n"
        f"acepure {acepure.__version__}, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"SciPy {scipy.__version__}, ASE {ase.__version__}, vesin {vesin.__version__}"
    )


def interleaved(functions: dict[str, Callable[[], object]], repeats: int = 9) -> dict[str, float]:
    """Time functions in turn, A B C A B C ..., and return the median seconds of each.

    In turn, because the speed of a shared machine drifts: ratios of one run hold when absolute times do not.
    """
    for function in functions.values():
        function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}
