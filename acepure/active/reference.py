"""Labels of new structures: from an ASE calculator, or from a command that reads and writes files."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

#: Labels of a structure as the results of its calculator.
Reference = Callable[[Atoms], Atoms]


class ReferenceFailure(RuntimeError):
    """A reference calculation gave nothing that can be fitted."""


def labeled_by(calculator: Any, atoms: Atoms, stress: bool) -> Atoms:
    """Return a structure with energy and forces, and stress where asked for, as results of its calculator.

    Parameters
    ----------
    calculator : ase.calculators.calculator.BaseCalculator
    atoms : ase.Atoms
        Not changed.
    stress : bool

    Raises
    ------
    ReferenceFailure
        With the error of the calculator.
    """
    computed = atoms.copy()
    computed.calc = calculator
    try:
        results = {"energy": computed.get_potential_energy(), "forces": computed.get_forces()}
        if stress:
            results["stress"] = computed.get_stress()
    except Exception as error:  # a calculator may raise anything
        raise ReferenceFailure(f"{type(error).__name__}: {error}") from error
    return with_labels(atoms, results)


def with_labels(atoms: Atoms, results: dict[str, Any]) -> Atoms:
    """Return a structure with labels."""
    result = atoms.copy()
    result.calc = SinglePointCalculator(result, **results)
    return result


def has_labels(atoms: Atoms) -> bool:
    """Whether energy and forces are known for these very positions."""
    calc = atoms.calc
    if calc is None or calc.atoms is None or calc.check_state(atoms):
        return False
    return {"energy", "forces"} <= set(calc.results)


def check_labels(labeled: Atoms, asked: Atoms, largest_force: float) -> None:
    """Raise for labels of another structure, what is no number, and forces that would rule a fit.

    Raises
    ------
    ReferenceFailure
    """
    if len(labeled) != len(asked) or not np.array_equal(labeled.numbers, asked.numbers):
        raise ReferenceFailure(f"labels are of {labeled.symbols}, and those of {asked.symbols} were asked for")
    if not np.allclose(labeled.positions, asked.positions, rtol=0, atol=1e-4):
        raise ReferenceFailure("labels are of other positions than those that were asked for")
    cell, periodic = labeled.cell[asked.pbc], np.array_equal(labeled.pbc, asked.pbc)
    if not periodic or not np.allclose(cell, asked.cell[asked.pbc], rtol=0, atol=1e-4):
        raise ReferenceFailure("labels are of another cell, or other periodic axes, than those that were asked for")
    if not has_labels(labeled):
        raise ReferenceFailure("there is no energy, or there are no forces")
    energy, forces = labeled.get_potential_energy(), labeled.get_forces()
    if not (np.isfinite(energy) and np.isfinite(forces).all()):
        raise ReferenceFailure("energy or forces are not finite")
    force = float(np.linalg.norm(forces, axis=1).max())
    if force > largest_force:
        raise ReferenceFailure(f"a force of {force:.4g} eV/Å, larger than {largest_force:g}, would rule the fit")


def command_reference(command: str) -> Reference:
    """Return a reference that runs a command; {input} and {output} in it become names of extxyz files.

    Parameters
    ----------
    command : str
        For example "python label.py {input} {output}". It is split into words as a shell does, but not run by one.

    Raises
    ------
    ValueError
        For a command without {input} or {output}.
    """
    words = shlex.split(command)
    for name in ("{input}", "{output}"):
        if not any(name in word for word in words):
            raise ValueError(f"the command must hold {name}; got {command!r}")

    def reference(atoms: Atoms) -> Atoms:
        with tempfile.TemporaryDirectory() as folder:
            names = {"{input}": str(Path(folder, "input.extxyz")), "{output}": str(Path(folder, "output.extxyz"))}
            ase.io.write(names["{input}"], atoms, format="extxyz")
            filled = [word.replace("{input}", names["{input}"]) for word in words]
            filled = [word.replace("{output}", names["{output}"]) for word in filled]
            try:
                done = subprocess.run(filled, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise ReferenceFailure(f"{filled[0]} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
                found = ase.io.read(names["{output}"], format="extxyz")
            except (OSError, ValueError, KeyError) as error:
                raise ReferenceFailure(f"{type(error).__name__}: {error}") from error
        assert isinstance(found, Atoms)
        return found

    return reference
