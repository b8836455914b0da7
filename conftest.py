"""Tests in as many processes as there are cores; examples of optional packages that are missing are not collected."""

import os
from importlib.util import find_spec

collect_ignore = [] if find_spec("zarr") else ["acepure/features/store/reader.py"]  # Python 3.10 has no Zarr 3
collect_ignore_glob = [] if find_spec("torch") else ["acepure/layers/*"]  # large, and of no use to most

if "PYTEST_XDIST_WORKER" in os.environ:  # the cores are taken; before NumPy is loaded
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def pytest_xdist_auto_num_workers(config):
    """One process per core for the whole suite; a few files are done here, without the time that processes take."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    whole = config.args_source is config.ArgsSource.TESTPATHS
    return cores if whole and cores > 1 else 0
