"""What is installed and what the kernels use: for reports of problems, and to see why it is fast or slow."""

from __future__ import annotations

import importlib.util
import platform
from importlib import metadata

from acepure import _kernels
from acepure._kernels import cpu
from acepure._utils.threads import resolve_num_threads

__all__ = ["configuration", "show_config"]

_PACKAGES = ("numpy", "scipy", "ase", "vesin")


def configuration() -> dict[str, str]:
    """Return versions, the kernel in use and the number of threads, as text by name.

    Returns
    -------
    dict of str to str

    Raises
    ------
    ValueError
        If the environment variable ACEPURE_NUM_THREADS is no positive integer.

    Examples
    --------
    >>> list(configuration())[-4:]
    ['kernel', 'kernels available', 'OpenMP', 'threads']
    """
    import acepure  # the version is set after this module is imported

    return {
        "acepure": acepure.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: _version(name) for name in _PACKAGES},
        "kernel": _kernels.variant,
        "kernels available": ", ".join(_available_kernels()),
        "OpenMP": "yes" if cpu.has_openmp() else "no",
        "threads": str(resolve_num_threads(None)),
    }


def show_config() -> None:
    """Print `configuration()`, one line per entry.

    Examples
    --------
    >>> show_config()  # doctest: +ELLIPSIS
    acepure            ...
    """
    for name, value in configuration().items():
        print(f"{name:<18} {value}")


def _available_kernels() -> list[str]:
    """Variants that were built and that this processor can run, best first."""
    return [name for name in cpu.instruction_sets() if importlib.util.find_spec(f"acepure._kernels.evaluator_{name}")]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # installed without metadata, as some distributions do
        return "unknown"
