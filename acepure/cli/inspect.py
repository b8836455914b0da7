"""`acepure inspect`: what is in the file of a potential."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from acepure.cli.options import add_model
from acepure.cli.parts import describe, load_potential
from acepure.cli.tensors import inspect_tensors, is_tensor_model
from acepure.diagnostics import coefficient_decay
from acepure.fitting import reference_table
from acepure.fitting.labels import text_table
from acepure.models.embedded import EmbeddedACE
from acepure.models.linear import LinearACE
from acepure.models.potential import FittedPotential

_LONGEST = 88  # characters of one object in a line
_N_GRID = 200
# Where dimers of pairs that were not in training begin, and how far below the shortest distance holes are looked for.
_FIRST, _INNER = 0.3, 0.2
# What is deeper than all energies in training by more than this, in eV, is worth a line.
_HOLE = 0.5


def add(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "inspect",
        _run,
        help="show what is in the file of a potential",
        description="Show basis, reference energies, pair potentials, fit and coefficients of a potential.",
    )
    add_model(command)


def _run(arguments: argparse.Namespace) -> None:
    if is_tensor_model(arguments.model):
        inspect_tensors(arguments.model)
        return
    model = load_potential(arguments.model)
    megabytes = os.path.getsize(arguments.model) / 1e6
    print(f"{arguments.model}, {megabytes:.2f} MB\n\n{_basis(model)}\n\n{reference_table(model.E0s)}")
    print(f"\npairs, and minima of two atoms alone at distances in training\n{_pairs(model)}")
    for p, theta in enumerate(model.coefficients.reshape(-1, *model.coefficients.shape[-2:]), 1):
        unit = "in eV" if p == 1 else f"of ρ_{p}"
        print(f"\ncoefficients θ {unit}; degree is Σ (n + l)\n{coefficient_decay(model.basis, theta)}")
    for title, value in model.report.items():
        if title in ("regression", "calibration"):
            continue  # for programs
        print(f"\n{title}\n{_indented(value)}")


def _basis(model: LinearACE | EmbeddedACE) -> str:
    basis = model.basis
    sizes = ", ".join(f"{size:,} (ν = {nu})" for nu, size in enumerate(basis.specification.sizes, 1))
    lines = {
        "basis": describe(basis),
        "functions": f"{len(basis):,}: {sizes}",
        "radial": _short(basis.radial),
        "reference": "none" if basis.reference is None else _short(basis.reference),
        "core": "none" if model.core is None else _short(model.core),
        "coefficients": f"{model.coefficients.size:,}",
    }
    if isinstance(model, EmbeddedACE):
        lines["embedding"] = repr(model.embedding)
    else:
        lines["uncertainty"] = "no posterior" if model.posterior is None else model.calibration_text()
    return "\n".join(f"{name:14}{text}" for name, text in lines.items())


def _short(value: Any) -> str:
    """An object as text, with long tables left out."""
    text = repr(value)
    if len(text) <= _LONGEST:
        return text
    if is_dataclass(value):
        parts = (f"{f.name}={_short(getattr(value, f.name))}" for f in fields(value) if f.repr)
        return f"{type(value).__name__}({', '.join(parts)})"
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, Mapping) else f"{text[: _LONGEST - 3]}..."


def _indented(value: Any) -> str:
    lines = value if isinstance(value, list) else str(value).splitlines()
    return "\n".join(f"  {line}" for line in lines)


# --- pairs --------------------------------------------------------------------------------------------------------


def _pairs(model: FittedPotential) -> str:
    """Distances of each pair of species, and where two atoms alone are bound."""
    rows = [["pair", "cutoff (Å)", "shortest in training (Å)", "dimer minimum (Å)", "energy (eV)"]]
    holes = []
    for a, b in combinations_with_replacement(model.basis.species, 2):
        shortest = _shortest(model, a, b)
        rcut = model.basis.cutoffs[model.basis.species.index(a), model.basis.species.index(b)]
        known = "–" if shortest is None else f"{shortest:.3f}"
        start = _FIRST * rcut if shortest is None else shortest
        r = np.linspace(start, rcut, _N_GRID)
        energies = model.dimer(a, b, r)
        minimum = _minimum(model, a, b, r, energies)
        rows.append(
            [f"{a}-{b}", f"{rcut:g}", known, *(["–", "–"] if minimum is None else map("{:.4f}".format, minimum))]
        )
        holes += _holes(model, a, b, start, energies.min())
    return "\n".join([text_table(rows), *holes])


def _shortest(model: FittedPotential, a: str, b: str) -> float | None:
    known = model.shortest_distances or {}
    found = [known[pair] for pair in ((a, b), (b, a)) if pair in known]
    return min(found) if found else None


def _minimum(model: FittedPotential, a: str, b: str, r: np.ndarray, energies: np.ndarray) -> tuple[float, float] | None:
    """Distance and energy of the lowest minimum on a grid, refined; None if the dimer is not bound inside of it."""
    k = int(np.argmin(energies))
    if k in (0, len(r) - 1):
        return None
    found = minimize_scalar(lambda x: model.dimer(a, b, [x])[0], bounds=(r[k - 1], r[k + 1]), method="bounded")
    return float(found.x), float(found.fun)


def _holes(model: FittedPotential, a: str, b: str, start: float, lowest: float) -> list[str]:
    """A line if the dimer falls far below the lowest energy at distances in training, at distances that were not."""
    r = np.linspace(_INNER * start, start, _N_GRID)
    energies = model.dimer(a, b, r)
    k = int(np.argmin(energies))
    if energies[k] > lowest - _HOLE:
        return []
    advice = "; a core (fit --core zbl) would repel" if model.core is None else ""
    return [f"{a}-{b}: {energies[k]:.3g} eV at {r[k]:.2f} Å, nearer than in training{advice}"]
