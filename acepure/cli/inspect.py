"""`acepure inspect`: what is in the file of a potential."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from acepure.cli.options import add_model
from acepure.cli.parts import describe, load_potential
from acepure.cli.tensors import inspect_tensors, is_tensor_model
from acepure.diagnostics import coefficient_decay
from acepure.diagnostics.physics import dimers
from acepure.fitting import reference_table
from acepure.fitting.labels import text_table
from acepure.interfaces.yace import YacePotential
from acepure.layers.model import LayeredACE
from acepure.models.embedded import EmbeddedACE
from acepure.models.linear import LinearACE
from acepure.models.potential import SitePotential

_LONGEST = 88  # characters of one object in a line
_INNER = 0.2  # of the shortest distance in training: how far below it holes of dimers are looked for


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
    what = _content(model) if isinstance(model, YacePotential) else _basis(model)
    print(f"{arguments.model}, {megabytes:.2f} MB\n\n{what}\n\n{reference_table(model.E0s)}")
    print(f"\npairs, and minima of two atoms alone at distances in training\n{_pairs(model)}")
    if isinstance(model, YacePotential):
        return
    for p, theta in enumerate(model.coefficients.reshape(-1, *model.coefficients.shape[-2:]), 1):
        unit = "in eV" if p == 1 else f"of ρ_{p}"
        print(f"\ncoefficients θ {unit}; degree is Σ (n + l)\n{coefficient_decay(model.basis, theta)}")
    for title, value in model.report.items():
        if title in ("regression", "calibration"):
            continue  # for programs
        print(f"\n{title}\n{_indented(value)}")


def _basis(model: LinearACE | EmbeddedACE | LayeredACE) -> str:
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
    elif isinstance(model, LayeredACE):
        lines["layers"] = repr(model.network.architecture)
    else:
        lines["uncertainty"] = "no posterior" if model.posterior is None else model.calibration_text()
    return "\n".join(f"{name:14}{text}" for name, text in lines.items())


def _content(model: YacePotential) -> str:
    """What a .yace file says of each species of center."""
    content = model.content
    lines = [f"{model!r}, cores: {content.core or 'none'}"]
    for z, (name, F) in enumerate(zip(content.elements, content.embeddings)):
        ranks = [f"{len(terms.ctildes):,} of {terms.mus.shape[1]}" for terms in content.terms[z]]
        exponents = ", ".join(f"{w:g} f(ρ_{p}; {m:g})" for p, (w, m) in enumerate(zip(F.weights, F.exponents), 1))
        lines.append(f"{name:14}{F.kind}: {exponents}; terms of factors: {', '.join(ranks) or 'none'}")
    families = dict.fromkeys(getattr(bond, "family", "ACE.jl") for bond in content.bonds.values())
    return "\n".join([*lines, f"{'radial':14}{', '.join(families)}"])


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
    if isinstance(value, Mapping):
        shown = {name: entry for name, entry in value.items() if name != "basis" and entry not in (None, [])}
        value = [f"{name}: {_choice(entry)}" for name, entry in shown.items()]  # the basis is above
    lines = value if isinstance(value, list) else str(value).splitlines()
    return "\n".join(f"  {line}" for line in lines)


def _choice(value: Any) -> str:
    """What was chosen, for each group if it has several entries."""
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, Mapping) else _short(value)


# --- pairs --------------------------------------------------------------------------------------------------------


def _pairs(model: SitePotential) -> str:
    """Distances of each pair of species, and where two atoms alone are bound."""
    rows = [["pair", "cutoff (Å)", "shortest in training (Å)", "dimer minimum (Å)", "energy (eV)"]]
    holes = []
    advice = "; a core (fit --core zbl) would repel" if getattr(model, "core", "") is None else ""
    for name, rcut, shortest, minimum, hole in dimers(model, _INNER):
        known = "–" if shortest is None else f"{shortest:.3f}"
        rows.append([name, f"{rcut:g}", known, *(["–", "–"] if minimum is None else map("{:.4f}".format, minimum))])
        if hole is not None:
            holes.append(f"{name}: {hole[1]:.3g} eV at {hole[0]:.2f} Å, nearer than in training{advice}")
    unbound = ["–: not in training, or no minimum between the shortest distance and the cutoff"]
    return "\n".join([text_table(rows), *(unbound if any("–" in row for row in rows) else []), *holes])
