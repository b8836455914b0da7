"""Grades of atoms in LAMMPS: how far their forces are from those of the fit, every so many steps.

The deviation of a force needs the gradient of all features, which ranks would have to exchange. Draws of the posterior
are forces like any others:

    σ(F_i)² ≈ Σ_k |F_i(S ω_k)|² / 3K,      ω_k standard normal,

with K = 16 draws within 10 % or so. Their unit is the largest deviation of structures left out of the fit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from acepure.errors import ExtrapolationWarning
from acepure.features.linear import LinearFunction
from acepure.interfaces.lammps.domain import Domain
from acepure.interfaces.lammps.exchange import GhostForces
from acepure.models.coverage import CoverageCheck
from acepure.models.linear import LinearACE
from acepure.models.potential import SitePotential

_DRAWS = 16


class Grades:
    """What lies outside of the data of a fit, of the atoms of all ranks.

    Parameters
    ----------
    model : LinearACE
        Calibrated, and the same on all ranks.
    every : int
        Steps from one look to the next.
    warn : bool or "raise"
        Warn of what is found; "raise" ends the run with an `ExtrapolationWarning`.
    comm : mpi4py communicator, optional

    Attributes
    ----------
    values : numpy.ndarray
        Of own atoms, in the last step that was looked at.
    largest : float
        Of all atoms in all steps that were looked at.
    """

    def __init__(self, model: SitePotential, every: int, warn: bool | str, comm: Any) -> None:
        laws = model.calibration if isinstance(model, LinearACE) else None
        posterior = model.posterior if isinstance(model, LinearACE) else None
        if not isinstance(model, LinearACE) or laws is None or posterior is None or "forces" not in laws.laws:
            raise ValueError(
                "check_every needs a LinearACE whose forces are calibrated, by a fit to at least 20 structures"
            )
        self._unit, self._every, self._comm = laws.laws["forces"].largest, every, comm
        self._coverage, self._warn = CoverageCheck(model, raises=isinstance(warn, str)), warn
        draws = np.random.default_rng(0).standard_normal((_DRAWS, posterior.shape[2]))
        first = LinearFunction(model.basis, posterior @ draws[0])
        self._functions = [first, *(first.with_coefficients(posterior @ draw) for draw in draws[1:])]
        self.values, self.largest = np.empty(0), 0.0

    def is_due(self, step: int) -> bool:
        """Whether to look at this step, counted from the first."""
        return step % self._every == 0

    def look(self, domain: Domain, ghosts: GhostForces) -> BaseException | None:
        """Look at the present atoms, on all ranks at once; return the error that ends the run, on all of them."""
        forces = ghosts.collected(domain.forces_of(self._functions))
        self.values = np.sqrt(np.square(forces).mean(axis=1)) / self._unit
        here = (float(self.values.max(initial=0.0)), domain.outside(self._coverage))
        found = [here] if self._comm is None else self._comm.allgather(here)
        top = max(grade for grade, _ in found)
        self.largest = max(self.largest, top)
        texts = [text for _, texts in found for text in texts]
        name = int(domain.tags[self.values.argmax()]) if top == here[0] and len(self.values) else 0
        if self._comm is not None:
            name = max(self._comm.allgather(name))
        texts += self._coverage.beyond("forces", np.array([top]), np.array([name]))
        if texts and isinstance(self._warn, str):
            return ExtrapolationWarning(texts[0])
        if self._warn and (self._comm is None or self._comm.Get_rank() == 0):
            for text in dict.fromkeys(texts):
                self._coverage.say(text)
        return None
