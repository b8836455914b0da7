"""Hyperactive learning: dynamics of a potential, stopped where it is not sure, labeled there, and fitted anew.

    fit → trajectory until c > tolerance → reference calculation of that frame → fit → ...

What is done next follows from labels and log in the folder: trajectory number k has the random numbers of (seed, k)
and the fit to the labels before it. So a run that was killed at any moment goes on as if it had not been.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from ase import Atoms

from acepure._utils.checks import count, number
from acepure.active.criterion import relative_force_uncertainty
from acepure.active.folder import Folder
from acepure.active.guards import copied
from acepure.active.records import line_text, log_line, predictions
from acepure.active.reference import ReferenceFailure, check_labels, has_labels, labeled_by, with_labels
from acepure.active.refit import FitChoices, Refit, left_out_ratios
from acepure.active.starts import check_calculator, check_E0s, check_starts, fingerprint
from acepure.active.trajectory import Dynamics, Trajectory, bare, explore
from acepure.features.basis import ACEBasis, check_basis
from acepure.fitting.fit import labeled_data
from acepure.fitting.labels import group_of
from acepure.models.linear import LinearACE
from acepure.structures.gate import structure_list

_log = logging.getLogger("acepure.active")
# Trajectories in turn without a new label, after which a run ends.
_MOST_IN_VAIN = 10
# Frames that add less than this part of what the first one added are copies in all but name.
_LEAST_GAIN = 1e-3
_MORE_STARTS = "Add more starts, such as frames of a short trajectory of the reference"


class HAL:
    """A run of hyperactive learning in a folder.

    Parameters
    ----------
    folder : str or os.PathLike
        Holds all there is to know of the run, see `acepure.active.folder`.
    basis : ACEBasis
        Stays as it is during the run; it is centered on the density of the starts once.
    calculator : ase calculator, callable or None
        What labels come from. A function takes a structure and returns it with energy and forces as results of its
        calculator. None: the run ends after each frame, which waits in ``pending/`` until a file of the same name
        with labels is in ``labels/``.
    starts : iterable of ase.Atoms
        At least two structures near which the potential is to begin: an unbiased set, such as frames of a short
        trajectory of the reference. Energy and forces that belong to a structure (its calculator has them, as after
        `ase.io.read`) are labels; others are computed.
    E0s : mapping of str to float, "isolated" or "lstsq"
        Energies of isolated atoms in eV; "isolated" computes them with the calculator. "lstsq" needs starts of many
        compositions.
    fit : mapping, optional
        weights, prior, core: as for `LinearACE.fit`, but the core is "zbl" by default.
    n_max : int
        The run ends with so many labels, those of starts included. It may be raised later.
    patience : int, optional
        The run ends after so many trajectories in turn that never exceeded the tolerance.
    seed : int
    tests : iterable of ase.Atoms, optional
        With labels; errors on them are written down after each fit. They are not used for any choice.
    largest_force : float
        eV/Å; labels with a larger one are kept apart and not fitted.
    num_threads : int, optional
    reference : str, optional
        Name of the reference, in the settings of the run; default: the class of the calculator.
    **dynamics
        Of `Dynamics`: temperature, steps, tolerance, tau, swap_every, ...

    Raises
    ------
    TypeError, ValueError
        Before any work: species that the basis lacks, overlapping atoms, copies, constraints, cell moves of what is not
        periodic, a calculator without forces, E0s by least squares on few structures, tau > 1, names that are unknown.

    Examples
    --------
    >>> import tempfile
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> from acepure import ACEBasis
    >>> from acepure.active import HAL
    >>> starts = [bulk("Cu", cubic=True) for _ in range(4)]
    >>> for seed, atoms in enumerate(starts):
    ...     atoms.rattle(0.1, seed=seed)
    >>> basis = ACEBasis(["Cu"], order=2, totaldegree=4, rcut=4.0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = HAL(folder, basis, EMT(), starts, temperature=1000, steps=20, least_steps=10, tolerance=2.0)
    ...     model = run.run(1)
    ...     run.log()[-1]["reason"]
    'steps'
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        basis: ACEBasis,
        calculator: Any,
        starts: Iterable[Atoms],
        *,
        E0s: Mapping[str, float] | str = "isolated",
        fit: Mapping[str, Any] | None = None,
        n_max: int = 50,
        patience: int | None = None,
        seed: int = 0,
        tests: Iterable[Atoms] | None = None,
        largest_force: float = 50.0,
        num_threads: int | None = None,
        reference: str | None = None,
        **dynamics: Any,
    ) -> None:
        check_basis(basis)
        self.folder, self.basis, self.calculator = Folder(folder), basis, calculator
        self.starts = structure_list(starts, "starts")
        self.dynamics = _made(Dynamics, dynamics, "HAL")
        self.choices = _made(FitChoices, fit or {}, "fit")
        check_calculator(calculator, self.dynamics)
        check_starts(self.starts, basis, self.dynamics)
        self.E0s = check_E0s(E0s, basis, len(self.starts))
        self.n_max = count("n_max", n_max)
        if self.n_max <= len(self.starts):
            raise ValueError(f"n_max counts starts too and must be more than {len(self.starts)}; got {n_max}")
        self.patience = None if patience is None else count("patience", patience)
        self.seed = count("seed", seed, least=0)
        self.tests = None if tests is None else labeled_data(tests)
        self.largest_force = number("largest_force", largest_force, above=0)
        self.num_threads = num_threads
        self.reference = reference or _name_of(calculator)

    def run(self, n: int | None = None) -> LinearACE | None:
        """Go on until there are `n_max` labels, or n more than now; return the potential.

        Returns
        -------
        LinearACE or None
            The fit to all labels, also in ``model.ace``. None if a frame waits for its labels.

        Raises
        ------
        BlockingIOError
            If another process works in the folder.
        ValueError
            If the folder holds another run; if structures of starts exceed the tolerance after they were fitted; if ten
            trajectories in turn gave nothing new.
        """
        more = None if n is None else count("n", n)
        with self.folder.locked():
            self.folder.keep_settings(self._settings())
            if not self._label_starts():
                return None
            labels = self._labels()
            refit = self._refit(labels)
            stop = self.n_max if more is None else min(self.n_max, len(labels) + more)
            model = None
            while True:
                for k in self.folder.numbers("pending"):
                    if not self._settle(k):
                        return None
                if model is None or len(self.folder.numbers("labels")) > len(labels):
                    labels = self._labels()
                    model = self._fitted(refit, labels)
                if len(labels) >= stop or self._is_sure():
                    return model
                self._explore(model, labels)

    def preview(self) -> list[dict[str, Any]]:
        """Return what a run would begin with: one trajectory from each start, without reference calculations and files.

        Returns
        -------
        list of dict
            For each start: "criterion" of the start itself, and of its trajectory "reason" ("tolerance", "broken",
            "steps", or "start" where that exceeds the tolerance) and "time_ps".

        Raises
        ------
        ValueError
            If a start has no labels, or energies of isolated atoms are not known.
        """
        unlabeled = [str(k) for k, atoms in enumerate(self.starts) if not has_labels(atoms)]
        if unlabeled:
            raise ValueError(
                f"without reference calculations starts must have labels; {', '.join(unlabeled)} have none"
            )
        E0s = self.folder.read_json("E0s.json") if self.E0s == "isolated" else self.E0s
        if E0s is None:
            raise ValueError("without reference calculations E0s must be given")
        starts = [with_labels(bare(atoms), atoms.calc.results) for atoms in self.starts]
        model = Refit.of(starts, self.basis, E0s, self.choices, self.num_threads).fit(starts, self.num_threads)
        found = []
        for k, atoms in enumerate(starts):
            rng = np.random.default_rng(np.random.SeedSequence([self.seed, k]))
            trajectory = explore(model, atoms, self.dynamics, rng, num_threads=self.num_threads)
            time = trajectory.step * self.dynamics.timestep / 1000
            found.append({"criterion": trajectory.criteria[0][1], "reason": trajectory.reason, "time_ps": time})
        return found

    def log(self) -> list[dict[str, Any]]:
        """Return one dictionary for each number, as in ``log.jsonl``: what happened, predicted and true errors."""
        return self.folder.log()

    # --- labels ------------------------------------------------------------------------------------------

    def _label_starts(self) -> bool:
        """Whether all starts have labels."""
        done = len(self.folder.log())
        for k, atoms in enumerate(self.starts):
            if k >= done and not self.folder.has("pending", k):
                asked = bare(atoms)
                asked.info["config_type"] = group_of(atoms, "config_type", "start")
                self.folder.write_json(f"predictions/{k:04d}.json", {"reason": "start"})
                self.folder.write("pending", k, with_labels(asked, atoms.calc.results) if has_labels(atoms) else asked)
        return all(self._settle(k) for k in range(done, len(self.starts)))

    def _settle(self, k: int) -> bool:
        """Bring a structure from ``pending`` to ``labels`` and the log; False if its labels are still to come."""
        folder = self.folder
        if len(folder.log()) <= k:
            asked = folder.read("pending", k)
            if not folder.has("labels", k):
                try:
                    labeled = self._computed(asked)
                    if labeled is None:
                        _log.info("%s waits for labels: write it to %s", *self._places(k))
                        return False
                    check_labels(labeled, asked, self.largest_force)
                except ReferenceFailure as error:
                    self._set_apart(k, asked, str(error))
                    folder.remove("pending", k)
                    return True
                labeled.info["config_type"] = asked.info["config_type"]
                folder.write("labels", k, labeled)
            labeled = folder.read("labels", k)
            try:
                check_labels(labeled, asked, self.largest_force)
            except ReferenceFailure as error:
                raise ValueError(f"{folder.location('labels', k)!r}: {error}") from None
            self._note(log_line(k, folder.read_json(f"predictions/{k:04d}.json"), labeled))
        folder.remove("pending", k)
        return True

    def _computed(self, asked: Atoms) -> Atoms | None:
        if has_labels(asked):
            return asked
        if self.calculator is None:
            return None
        if hasattr(self.calculator, "get_property"):
            known = "stress" in self.calculator.implemented_properties
            stress = bool(self.dynamics.cell_every and asked.pbc.all() and known)
            return labeled_by(self.calculator, asked, stress)
        return self.calculator(asked)

    def _places(self, k: int) -> tuple[str, str]:
        return self.folder.location("pending", k), self.folder.location("labels", k)

    def _set_apart(self, k: int, asked: Atoms, why: str) -> None:
        """A frame without usable labels is kept, but not computed again."""
        if k < len(self.starts):
            raise ValueError(f"starts[{k}] has no usable labels: {why}")
        self.folder.write("failed", k, asked)
        predicted = self.folder.read_json(f"predictions/{k:04d}.json")
        short = {name: predicted[name] for name in ("reason", "step", "time_ps", "criterion")}
        self._note({"number": k, **short, "failed": why})

    def _labels(self) -> dict[int, Atoms]:
        return {k: self.folder.read("labels", k) for k in self.folder.numbers("labels")}

    # --- fits --------------------------------------------------------------------------------------------

    def _refit(self, labels: Mapping[int, Atoms]) -> Refit:
        starts = [labels[k] for k in range(len(self.starts))]
        return Refit.of(starts, self.basis, self._energies(), self.choices, self.num_threads)

    def _energies(self) -> Mapping[str, float] | str:
        """Energies of isolated atoms, computed once."""
        if self.E0s != "isolated":
            return self.E0s
        held = self.folder.read_json("E0s.json")
        if held is None:
            held = {}
            for symbol in self.basis.species:
                try:
                    labeled = self._computed(Atoms(symbol))
                except ReferenceFailure as error:
                    raise ValueError(f"no energy of an isolated atom of {symbol}, give E0s: {error}") from None
                if labeled is None:
                    raise ValueError("without a calculator, E0s must be given")
                held[symbol] = float(labeled.get_potential_energy())
            self.folder.write_json("E0s.json", held)
        return {str(symbol): float(energy) for symbol, energy in held.items()}

    def _fitted(self, refit: Refit, labels: Mapping[int, Atoms]) -> LinearACE:
        model = refit.fit(list(labels.values()), self.num_threads)
        model.save(self.folder.path / "model.ace")
        name = f"fits/{len(labels):04d}.json"
        if self.folder.read_json(name) is None:
            found: dict[str, Any] = {"labels": len(labels), "noise": model.report["regression"]["noise"]}
            if model.calibration is not None:
                found["calibration"] = model.calibration.to_dict()
            if self.tests is not None:
                errors = model.errors(self.tests, num_threads=self.num_threads, progress=False)
                for quantity, unit in (("forces", 1.0), ("energy", 1e3)):
                    if (predicted := errors.all(quantity)) is not None:
                        found[quantity] = unit * predicted.rmse
            self.folder.write_json(name, found)
        return model

    def _is_sure(self) -> bool:
        lines = self.folder.log()[len(self.starts) :]
        last = lines[-self.patience :] if self.patience else []
        return len(last) == self.patience and all(line["reason"] == "steps" for line in last)

    # --- trajectories ------------------------------------------------------------------------------------

    def _explore(self, model: LinearACE, labels: Mapping[int, Atoms]) -> None:
        """One trajectory; its last frame goes to ``pending`` or is refused."""
        folder, lines = self.folder, self.folder.log()
        k = len(lines)
        if len(lines) == len(self.starts):
            self._check_tolerance(model, labels)
        in_vain = lines[len(self.starts) :][-_MOST_IN_VAIN:]
        if len(in_vain) == _MOST_IN_VAIN and all("refused" in line or "failed" in line for line in in_vain):
            raise ValueError(f"{_MOST_IN_VAIN} trajectories in turn gave nothing new; the last: {line_text(lines[-1])}")
        trajectory = self._trajectory(model, labels, k)
        folder.write("trajectories", k, trajectory.frames)
        found = predictions(model, trajectory, self.dynamics, self.num_threads)
        why = self._why_not(trajectory, found, labels)
        if why is not None:
            short = {name: found[name] for name in ("reason", "step", "time_ps", "criterion", "gain")}
            self._note({"number": k, **short, "refused": why})
            return
        assert trajectory.frame is not None
        folder.write_json(f"predictions/{k:04d}.json", found)
        trajectory.frame.info["config_type"] = "hal"
        folder.write("pending", k, trajectory.frame)

    def _check_tolerance(self, model: LinearACE, labels: Mapping[int, Atoms]) -> None:
        """Raise if a structure that the run starts with exceeds the tolerance; say so if most do, each left out."""
        starts, dynamics = [labels[k] for k in range(len(self.starts))], self.dynamics
        for k, atoms in enumerate(starts):
            ratios = relative_force_uncertainty(model, atoms, dynamics.epsilon, num_threads=self.num_threads)
            if not ratios.max() <= dynamics.tolerance:
                raise ValueError(
                    f"starts[{k}] itself exceeds the tolerance, {dynamics.tolerance:g}: the largest relative "
                    f"uncertainty of its forces is {ratios.max():.2g}. {_MORE_STARTS}, or raise the tolerance"
                )
        median = float(np.median(left_out_ratios(model, starts, dynamics.epsilon)))
        if not median <= dynamics.tolerance:
            _log.warning(
                "each predicted without itself, starts have relative uncertainties of %.2g (median; inf: the others do "
                "not determine it), and tolerance is %g. Trajectories may end near them, and teach little. %s",
                median,
                dynamics.tolerance,
                _MORE_STARTS,
            )

    def _trajectory(self, model: LinearACE, labels: Mapping[int, Atoms], k: int) -> Trajectory:
        """From the starts in turn, and from the last frame added; from the next of these where one exceeds."""
        last = max(labels)
        numbers = [*range(len(self.starts)), *([last] if last >= len(self.starts) else [])]
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, k]))
        for j in range(len(numbers)):
            start = labels[numbers[(k + j) % len(numbers)]]
            trajectory = explore(model, start, self.dynamics, rng, num_threads=self.num_threads)
            if trajectory.frame is not None:
                return trajectory
        raise ValueError("all structures of starts exceed the tolerance now; add structures near them, or raise it")

    def _why_not(self, trajectory: Trajectory, found: dict[str, Any], labels: Mapping[int, Atoms]) -> str | None:
        """Why a frame is not worth its labels; None if it is."""
        assert trajectory.frame is not None
        twin = copied(trajectory.frame, (("labels", k, atoms) for k, atoms in labels.items()))
        if twin is not None:
            return f"a copy of {twin}"
        gains = [line["gain"] for line in self.folder.log() if "gain" in line and "refused" not in line]
        if gains and not found["gain"] > _LEAST_GAIN * gains[0]:
            return f"it adds {found['gain']:.2g}, and the first frame added {gains[0]:.2g}"
        return None

    def _note(self, line: dict[str, Any]) -> None:
        self.folder.append(line)
        _log.info(line_text(line))

    def _settings(self) -> dict[str, Any]:
        return {
            "basis": self.basis.to_dict(),
            "starts": fingerprint(self.starts),
            "reference": self.reference,
            "E0s": self.E0s if isinstance(self.E0s, str) else dict(self.E0s),
            "fit": self.choices.to_dict(),
            "dynamics": self.dynamics.to_dict(),
            "largest_force": self.largest_force,
            "seed": self.seed,
        }

    def __repr__(self) -> str:
        return f"HAL({os.fspath(self.folder.path)!r}; {len(self.starts)} starts, {self.reference})"


def _made(cls: Callable[..., Any], given: Mapping[str, Any], name: str) -> Any:
    """An object of a dataclass; names that it does not know are named."""
    known = list(cls.__dataclass_fields__)  # type: ignore[attr-defined]
    unknown = [key for key in given if key not in known]
    if unknown:
        raise TypeError(f"{name} does not know {', '.join(unknown)}; {cls.__name__} takes {', '.join(known)}")
    return cls(**given)


def _name_of(calculator: Any) -> str:
    if calculator is None:
        return "none"
    kind = calculator if callable(calculator) and hasattr(calculator, "__qualname__") else type(calculator)
    return f"{kind.__module__}.{kind.__qualname__}"
