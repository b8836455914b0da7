"""One trajectory of a potential, until it is not sure of a force any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.md.langevin import Langevin

from acepure._utils.checks import count, number
from acepure.active.criterion import BiasedPotential, relative_force_uncertainty
from acepure.active.guards import overlap
from acepure.active.moves import move_cell, swap
from acepure.interfaces.calculator import ACECalculator
from acepure.models.linear import LinearACE

# Hotter than this many times the thermostat is broken.
_HOT = 10.0
# Arrays that belong to the question, not to the answer.
_GIVEN = ("initial_charges", "initial_magmoms")
# Steps over which sizes of forces are averaged for τ.
_AVERAGED = 50


@dataclass(frozen=True)
class Dynamics:
    """How trajectories run, and when they end.

    Parameters
    ----------
    temperature : float or (float, float)
        K; two are the start and the end of a trajectory, heated evenly.
    timestep : float
        fs.
    friction : float
        Of the Langevin thermostat, 1/fs.
    steps : int
        Longest trajectory.
    check_every : int
        Steps between two looks at the criterion, which costs as much as some hundred steps.
    least_steps : int
        Frames of fewer steps are near copies of their start: the criterion does not end a trajectory before.
    tolerance : float
        Largest σ(F_i) / (|F_i| + ε) of an atom.
    epsilon : float
        ε in eV/Å.
    tau : float
        Mean size of the forces of the bias, in units of that of the model's forces; 0: no bias.
    swap_every : int
        Steps between tries to exchange two atoms of different species; 0: none.
    cell_every : int
        Steps between tries to strain the cell; 0: none.
    cell_step : float
        Size of these strains.
    pressure : float
        GPa, for the cell.

    Raises
    ------
    TypeError, ValueError
        For values out of range.

    Examples
    --------
    >>> Dynamics(temperature=(300, 800), steps=2000).temperature_at(1000)
    550.0
    """

    temperature: float | Sequence[float] = 300.0
    timestep: float = 1.0
    friction: float = 0.01
    steps: int = 2000
    check_every: int = 10
    least_steps: int = 50
    tolerance: float = 0.5
    epsilon: float = 0.2
    tau: float = 0.0
    swap_every: int = 0
    cell_every: int = 0
    cell_step: float = 0.02
    pressure: float = 0.0

    def __post_init__(self) -> None:
        given = self.temperature if isinstance(self.temperature, (list, tuple)) else (self.temperature,) * 2
        if len(given) != 2:
            raise ValueError(f"temperature must be one number or two, start and end; got {self.temperature!r}")
        object.__setattr__(self, "temperature", tuple(number("temperature", T, above=0) for T in given))
        for name in ("timestep", "friction", "tolerance", "epsilon", "cell_step"):
            object.__setattr__(self, name, number(name, getattr(self, name), above=0))
        for name in ("steps", "check_every"):
            count(name, getattr(self, name))
        for name in ("least_steps", "swap_every", "cell_every"):
            count(name, getattr(self, name), least=0)
        object.__setattr__(self, "pressure", number("pressure", self.pressure))
        object.__setattr__(self, "tau", number("tau", self.tau, least=0))
        if self.tau > 1:
            raise ValueError(f"tau must be at most 1, or the bias rules the dynamics; got {self.tau:g}")
        if self.least_steps > self.steps:
            raise ValueError(f"least_steps must be at most steps, {self.steps}; got {self.least_steps}")

    def temperature_at(self, step: int) -> float:
        """Return the temperature of the thermostat in K."""
        first, last = self.temperature  # type: ignore[misc]
        return first + (last - first) * step / self.steps

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {**asdict(self), "temperature": list(self.temperature)}  # type: ignore[arg-type]


@dataclass(eq=False)
class Trajectory:
    """Where a trajectory ended, and why.

    Attributes
    ----------
    frame : ase.Atoms, optional
        The first frame that exceeds the tolerance; the last one checked if dynamics broke, or after all steps. None
        if the start itself exceeds the tolerance.
    reason : str
        "tolerance", "broken", "steps" or "start".
    step : int
        Of the frame.
    criterion : float
        Largest σ(F_i) / (|F_i| + ε) of the frame.
    atom : int
        Where it is.
    tau : float
        τ at the end.
    temperature : float
        K, of the thermostat.
    swaps, cells : int
        Moves accepted.
    criteria : list of (int, float)
        Steps that were checked.
    frames : list of ase.Atoms
        Those that were checked.
    """

    frame: Atoms | None
    reason: str
    step: int = 0
    criterion: float = 0.0
    atom: int = 0
    tau: float = 0.0
    temperature: float = 0.0
    swaps: int = 0
    cells: int = 0
    criteria: list[tuple[int, float]] = field(default_factory=list)
    frames: list[Atoms] = field(default_factory=list)


def explore(
    model: LinearACE, start: Atoms, dynamics: Dynamics, rng: np.random.Generator, *, num_threads: int | None = None
) -> Trajectory:
    """Run dynamics of a potential from a structure until it is not sure of a force.

    Parameters
    ----------
    model : LinearACE
        With its posterior.
    start : ase.Atoms
        Not changed.
    dynamics : Dynamics
    rng : numpy.random.Generator
    num_threads : int, optional

    Returns
    -------
    Trajectory
    """
    return _Explorer(model, start, dynamics, rng, num_threads).run()


class _Explorer:
    def __init__(
        self, model: LinearACE, start: Atoms, dynamics: Dynamics, rng: np.random.Generator, num_threads: int | None
    ) -> None:
        self.model, self.dynamics, self.rng, self.num_threads = model, dynamics, rng, num_threads
        self.potential = BiasedPotential(model)
        self.atoms = bare(start)
        self.atoms.calc = ACECalculator(self.potential, num_threads=num_threads, warn=False)
        self.biased = dynamics.tau > 0
        self.forces = self.bias = 0.0  # averages of their sizes
        self.found = Trajectory(None, "start", temperature=dynamics.temperature_at(0))
        self.waiting: list[tuple[int, Atoms]] = []  # frames since the last check

    def run(self) -> Trajectory:
        dynamics, atoms, found = self.dynamics, self.atoms, self.found
        if not self._looked_at(0, atoms) <= dynamics.tolerance:
            return found
        temperature = dynamics.temperature_at(0)
        widths = np.sqrt(atoms.get_masses() * units.kB * temperature)  # Maxwell and Boltzmann's
        atoms.set_momenta(widths[:, None] * self.rng.standard_normal((len(atoms), 3)))
        integrator = Langevin(
            atoms,
            dynamics.timestep * units.fs,
            temperature_K=temperature,
            friction=dynamics.friction / units.fs,
            fixcm=False,
            rng=self.rng,
        )
        for step in range(1, dynamics.steps + 1):
            whole = self._stepped(integrator, step)
            if whole:
                self.waiting.append((step, bare(atoms)))
            if whole and step % dynamics.check_every and step < dynamics.steps:
                continue
            if whole and overlap(atoms, self.model.basis) is None:
                if self._looked_at(step, atoms) <= dynamics.tolerance or self._early(step):
                    self.waiting.clear()
                    self._adjust(integrator, step)
                    continue
                found.frames.pop()  # the first beyond the tolerance takes its place
                found.criteria.pop()
            return self._ended("broken")
        return self._ended("steps")

    def _early(self, step: int) -> bool:
        """Whether a frame beyond the tolerance is too near to its start; there is no bias from there on."""
        early = step < self.dynamics.least_steps
        self.biased = self.biased and not early
        return early

    def _looked_at(self, step: int, atoms: Atoms) -> float:
        """The criterion of a frame, which is kept."""
        ratios = relative_force_uncertainty(self.model, atoms, self.dynamics.epsilon, num_threads=self.num_threads)
        worst = int(ratios.argmax())
        found = self.found
        found.step, found.atom, found.criterion = step, worst, float(ratios[worst])
        found.criteria.append((step, found.criterion))
        found.frames.append(bare(atoms))
        return found.criterion

    def _ended(self, reason: str) -> Trajectory:
        """The first frame since the last check that exceeds the tolerance, or else the last one checked."""
        found = self.found
        for step, atoms in self.waiting if reason == "broken" else ():
            if overlap(atoms, self.model.basis) is not None:
                break
            if self._looked_at(step, atoms) > self.dynamics.tolerance:
                reason = "tolerance"
                break
        found.step, found.criterion = found.criteria[-1]
        found.frame, found.reason, found.tau = found.frames[-1], reason, self.potential.tau
        found.temperature = self.dynamics.temperature_at(found.step)
        return found

    def _stepped(self, integrator: Langevin, step: int) -> bool:
        """One step and its moves; False if atoms met, flew off or became too hot."""
        dynamics, atoms, found = self.dynamics, self.atoms, self.found
        temperature = dynamics.temperature_at(step)
        try:
            integrator.step()
            if dynamics.swap_every and not step % dynamics.swap_every:
                found.swaps += swap(atoms, temperature, self.rng)
            if dynamics.cell_every and not step % dynamics.cell_every:
                pressure = dynamics.pressure * units.GPa
                found.cells += move_cell(atoms, temperature, pressure, dynamics.cell_step, self.rng)
        except ValueError:  # what no potential takes; anything else is an error
            if np.isfinite(atoms.positions).all() and overlap(atoms, self.model.basis) is None:
                raise
            return False
        return bool(np.isfinite(atoms.positions).all() and atoms.get_temperature() <= _HOT * temperature)

    def _adjust(self, integrator: Langevin, step: int) -> None:
        """Heat; and set τ so that forces of the bias have the wanted mean size."""
        dynamics, potential = self.dynamics, self.potential
        if dynamics.temperature_at(step) != dynamics.temperature_at(0):
            integrator.set_temperature(temperature_K=dynamics.temperature_at(step))
        if not self.biased:
            if potential.tau:
                self._set_tau(0.0)
            return
        share = min(1.0, dynamics.check_every / _AVERAGED) if self.bias else 1.0
        forces = self.model.evaluate(self.atoms, num_threads=self.num_threads).forces
        bias = potential.sigma(self.atoms, num_threads=self.num_threads).forces
        self.forces += share * (np.linalg.norm(forces, axis=1).mean() - self.forces)
        self.bias += share * (np.linalg.norm(bias, axis=1).mean() - self.bias)
        self._set_tau(dynamics.tau * self.forces / self.bias if self.bias else 0.0)

    def _set_tau(self, tau: float) -> None:
        self.potential.tau = float(tau)
        self.atoms.calc.reset()  # energies and forces of the same positions are others now


def bare(atoms: Atoms) -> Atoms:
    """Return what a reference calculation needs of a structure, without labels and momenta."""
    result = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    for name in _GIVEN:
        if name in atoms.arrays:
            result.set_array(name, atoms.arrays[name])
    return result
