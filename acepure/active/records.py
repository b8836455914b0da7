"""What is predicted of a frame before its labels are known, how that compares with them, and the state of a run."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from ase import Atoms, units

from acepure.active.folder import Folder
from acepure.active.refit import information_gain
from acepure.active.trajectory import Dynamics, Trajectory
from acepure.fitting.labels import text_table
from acepure.models.linear import LinearACE


def predictions(
    model: LinearACE, trajectory: Trajectory, dynamics: Dynamics, num_threads: int | None
) -> dict[str, Any]:
    """Return what a potential says of the last frame of a trajectory, as JSON types."""
    assert trajectory.frame is not None
    atoms = trajectory.frame
    result = model.evaluate(atoms, num_threads=num_threads)
    stated = model.uncertainty(atoms, num_threads=num_threads)
    return {
        "reason": trajectory.reason,
        "step": trajectory.step,
        "time_ps": trajectory.step * dynamics.timestep / 1000,
        "criterion": trajectory.criterion,
        "criteria": trajectory.criteria,
        "criterion_atom": trajectory.atom,
        "tau": trajectory.tau,
        "temperature": trajectory.temperature,
        "swaps": trajectory.swaps,
        "cells": trajectory.cells,
        "pressure": pressure(atoms, result.virial),
        "gain": information_gain(model, atoms, num_threads),
        "energy": result.energy,
        "energy_sigma": stated.energy,
        "forces": result.forces.tolist(),
        "forces_sigma": stated.forces.tolist(),
    }


def pressure(atoms: Atoms, virial: np.ndarray) -> float | None:
    """Return the static pressure in GPa; None of what has no volume."""
    return float(np.trace(virial) / 3 / atoms.get_volume() / units.GPa) if atoms.pbc.all() else None


def log_line(number: int, predicted: dict[str, Any], labeled: Atoms) -> dict[str, Any]:
    """Return the line of the log for a structure with labels: errors beside the deviations that were predicted.

    Parameters
    ----------
    number : int
    predicted : dict
        From `predictions`; for structures that a run starts with, only the reason.
    labeled : ase.Atoms
    """
    line = {"number": number, **{name: value for name, value in predicted.items() if name not in _LONG}}
    line["atoms"] = len(labeled)
    if "energy" not in predicted:
        return line
    forces, sigma = np.array(predicted["forces"]), np.array(predicted["forces_sigma"])
    errors = forces - labeled.get_forces()
    rms_error, rms_sigma = float(np.sqrt(np.mean(errors**2))), float(np.sqrt(np.mean(sigma**2)))
    energy_error = predicted["energy"] - labeled.get_potential_energy()
    return {
        **line,
        "energy_error": energy_error,
        "energy_sigma": predicted["energy_sigma"],
        "forces_error": rms_error,
        "forces_sigma": rms_sigma,
        "largest_force_error": float(np.linalg.norm(errors, axis=1).max()),
        "largest_force_sigma": float(np.sqrt(3) * sigma.max()),
    }


_LONG = ("criteria", "energy", "energy_sigma", "forces", "forces_sigma")


def line_text(line: dict[str, Any]) -> str:
    """Return a line of the log in words."""
    head = f"{line['number']:04d}  {line['reason']}"
    if "step" in line:
        head += f" at step {line['step']} ({line['time_ps']:.3g} ps), c = {line['criterion']:.2f}"
    if "refused" in line:
        return f"{head}; refused: {line['refused']}"
    if "failed" in line:
        return f"{head}; failed: {line['failed']}"
    if "forces_error" in line:
        head += (
            f"; forces off by {line['forces_error']:.3f} eV/Å (σ {line['forces_sigma']:.3f}), "
            f"energy by {line['energy_error']:+.3f} eV (σ {line['energy_sigma']:.3f})"
        )
    return head


def status(path: str | os.PathLike[str]) -> str:
    """Return the state of the run in a folder as text: labels, what waits, errors on test structures.

    Parameters
    ----------
    path : str or os.PathLike
        The folder; nothing in it is changed, so that a run may be at work in it.

    Raises
    ------
    FileNotFoundError
        If the folder holds no run.
    """
    folder = Folder(path)
    if folder.read_json("settings.json") is None:
        raise FileNotFoundError(f"{os.fspath(path)!r} holds no run: there is no settings.json in it")
    lines = folder.log()
    reasons: dict[str, int] = {}
    for line in lines:
        kind = "refused" if "refused" in line else "failed" if "failed" in line else line["reason"]
        reasons[kind] = reasons.get(kind, 0) + 1
    counts = ", ".join(f"{n} {reason}" for reason, n in reasons.items()) or "none yet"
    pending = [folder.location("pending", number) for number in folder.numbers("pending")]
    text = [f"structures    {len(folder.numbers('labels'))} labeled; {counts}"]
    text += [f"waiting       {name}" for name in pending]
    explored = [line for line in lines if "forces_error" in line]
    if explored:
        ratio = np.sqrt(
            sum(line["forces_error"] ** 2 for line in explored) / sum(line["forces_sigma"] ** 2 for line in explored)
        )
        text.append(f"new frames    rms error / rms σ of their forces, before they were fitted: {ratio:.2f}")
    fits = learning_curve(folder)
    if any("forces" in fit for fit in fits):
        rows = [["labels", "forces RMSE (eV/Å)", "energy RMSE (meV/atom)"]]
        rows += [
            [str(fit["labels"]), f"{fit['forces']:.4f}", f"{fit['energy']:.2f}"] for fit in fits if "forces" in fit
        ]
        text += ["", "errors on test structures", text_table(rows)]
    text += ["", *(line_text(line) for line in lines[-10:])]
    return "\n".join(text)


def learning_curve(folder: Folder) -> list[dict[str, Any]]:
    """Return what is known of each fit, by the number of labels."""
    names = sorted((folder.path / "fits").glob("[0-9]*.json"))
    return [folder.read_json(os.path.join("fits", path.name)) for path in names]
