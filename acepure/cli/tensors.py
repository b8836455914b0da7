"""What commands do with vectors and tensors: `acepure fit --target dipole`, and models of them in other commands."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from time import perf_counter
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from tqdm import tqdm

from acepure._utils.files import atomic_write
from acepure.cli.parts import check_outputs, describe, plural, read_known, sizes
from acepure.features.basis import ACEBasis
from acepure.fitting.labels import text_table
from acepure.fitting.tensor_errors import TensorErrors
from acepure.fitting.tensor_labels import PER, Target, TensorSet, label_tensors
from acepure.functions.cartesian import RANKS
from acepure.models.files import model_kind
from acepure.models.tensor import TensorModel
from acepure.structures.files import StructureFiles

# Options of potentials, by their names in Python.
_OF_POTENTIALS = (
    *("size", "folds", "embedding", "core"),
    *("energy_key", "forces_key", "virial_key", "stress_key", "prefix"),
)
_MOST_ROWS = 20


def is_tensor_model(path: str) -> bool:
    """Whether a file holds a model of vectors or tensors; False for what is no model, which loading it explains."""
    try:
        return model_kind(path) == "tensor"
    except (OSError, ValueError):
        return False


# --- fit ----------------------------------------------------------------------------------------------------------


def add_target(command: argparse.ArgumentParser) -> None:
    """Add the options of `acepure fit` that say which vector or tensor."""
    group = command.add_argument_group(
        "vectors and tensors", "In place of energies and forces; --weights takes one number, or two with derivatives."
    )
    group.add_argument("--target", metavar="KEY", help="key of the labels, such as dipole")
    group.add_argument("--rank", choices=tuple(RANKS), default="vector", help="default vector")
    group.add_argument("--per", choices=PER, default="structure", help="what has a label; default structure")
    group.add_argument(
        "--derivatives", metavar="KEY", help="key of ∂T/∂r, the displacement first: Born effective charges of a dipole"
    )
    group.add_argument("--origin", metavar="TEXT", help="about which point dipoles of charged structures are")
    group.add_argument("--unit", default="", metavar="TEXT", help="of the target, for tables")


def target_of(arguments: argparse.Namespace) -> Target:
    """Return the target that the options name."""
    key = arguments.config_type_key or "config_type"
    return Target(arguments.target, arguments.rank, arguments.per, arguments.derivatives, arguments.origin, key)


def check_target_options(arguments: argparse.Namespace) -> None:
    """Raise for options of potentials with --target, and for those of tensors without."""
    if arguments.target is None:
        for name in ("derivatives", "origin", "unit"):
            if getattr(arguments, name):
                raise ValueError(f"--{name} is for vectors and tensors, with --target KEY")
        return
    given = [name for name in _OF_POTENTIALS if getattr(arguments, name) is not None]
    if arguments.e0 != "auto":
        given.append("e0")
    if arguments.no_virials:
        given.append("no_virials")
    if given:
        raise ValueError(f"--{given[0].replace('_', '-')} is for potentials, not for --target {arguments.target}")


def target_sets(
    structures: Mapping[str, Iterable[Atoms]], arguments: argparse.Namespace
) -> tuple[TensorSet, TensorSet | None]:
    """Training and test structures with labels of the target."""
    parts: list[TensorSet] = []
    for names in (arguments.train, arguments.test):
        if not names:
            return parts[0], None
        files: Iterable[Atoms] = [atoms for name in names for atoms in structures[name]]
        if arguments.stream:
            files = StructureFiles(names)
        parts.append(label_tensors(files, target_of(arguments)))
    return parts[0], parts[1]


def fit_target(
    train: TensorSet,
    basis: ACEBasis,
    workers: Any,
    calibrate_by: str | Sequence[str] | None,
    arguments: argparse.Namespace,
) -> TensorModel:
    """Fit, and say how long it took."""
    start = perf_counter()
    model = TensorModel.fit(
        train,
        basis,
        unit=arguments.unit,
        weights=dict(arguments.weights) or None,
        prior=arguments.prior,
        solver=arguments.solver,
        options=dict(arguments.solver_option),
        calibrate_by=calibrate_by,
        workers=workers,
        num_threads=arguments.threads,
        verbose=True,
    )
    print(f"\nfitted  in {perf_counter() - start:.1f} s")
    return model


# --- evaluate -----------------------------------------------------------------------------------------------------


def evaluate_tensors(arguments: argparse.Namespace) -> None:
    """`acepure evaluate` with a model of a vector or tensor."""
    from acepure.plotting import figure_format, tensor_figure

    output, figure = arguments.output, arguments.figure
    kind = figure_format("--figure", figure) if figure else ""
    check_outputs({"-o": output, "--figure": figure})
    model = TensorModel.load(arguments.model)
    if arguments.uncertainty and model.posteriors is None:
        raise ValueError(f"--uncertainty: {arguments.model} has no posterior")
    structures = read_known(model.bases[0], arguments)
    print(f"model   {model!r}: {arguments.model}")
    print(f"read    {sizes(structures)}")
    errors = _errors(model, structures, arguments)
    if figure and errors is None:
        raise ValueError(f"--figure shows errors, but {arguments.input} has no labels")
    if errors is not None:
        print(f"\n{errors}\n")
    threads = arguments.threads
    if output or errors is None:
        bar = tqdm(structures, desc="evaluate", unit="structure", disable=None)
        found = [model.predict(atoms, num_threads=threads) for atoms in bar]
        values = [x.total if model.per == "structure" else x.atoms for x in found]
        if errors is None:
            print(f"\n{arguments.input} has no labels: predictions only\n\n{_predictions(model, structures, values)}\n")
        if output:
            deviations = None
            if arguments.uncertainty:
                deviations = [model.standard_deviations(atoms, num_threads=threads) for atoms in structures]
            _write(output, model, structures, values, deviations)
    with atomic_write(figure) if figure else nullcontext() as drawn:
        if drawn is not None and errors is not None:
            tensor_figure(errors).savefig(drawn, format=kind)
    for name in filter(None, (figure, output)):
        print(f"wrote   {name}")


def _errors(model: TensorModel, structures: Sequence[Atoms], arguments: argparse.Namespace) -> TensorErrors | None:
    """Errors against the labels of the fit, or those of --target; None where there are none."""
    key, derivatives = arguments.target or model.target, arguments.derivatives
    wanted = Target(key, model.rank, model.per, derivatives, model.origin, arguments.config_type_key or "config_type")
    wanted_keys = {key, derivatives} - {None}
    places = (place for atoms in structures for place in (atoms.info, atoms.arrays, getattr(atoms.calc, "results", {})))
    if arguments.target is None and derivatives is None and not any(wanted_keys & set(place) for place in places):
        return None
    return model.errors(label_tensors(structures, wanted), num_threads=arguments.threads, progress=False)


def _predictions(model: TensorModel, structures: Sequence[Atoms], values: Sequence[np.ndarray]) -> str:
    """Components of the first structures, row by row."""
    rows = [["number", "formula", f"{model.target}{f' ({model.unit})' if model.unit else ''}"]]
    if model.per == "atom":
        values = [np.linalg.norm(value.reshape(len(value), -1), axis=1).max(keepdims=True) for value in values]
        rows[0][2] = f"largest {rows[0][2]} of an atom"
    for k, (atoms, value) in enumerate(zip(structures[:_MOST_ROWS], values)):
        rows.append([str(k), atoms.get_chemical_formula(), " ".join(f"{x:.6f}" for x in np.ravel(value))])
    more = len(structures) - _MOST_ROWS
    return text_table(rows) + (f"\n... and {plural(more, 'more structure')}" if more > 0 else "")


def _write(
    path: str,
    model: TensorModel,
    structures: Sequence[Atoms],
    values: Sequence[np.ndarray],
    deviations: Sequence[Mapping[str, np.ndarray]] | None,
) -> None:
    """Write predictions beside what the structures have: acepure_KEY, and acepure_KEY_std_IRREP."""
    name = f"acepure_{model.target or 'tensor'}"
    for k, (atoms, value) in enumerate(zip(structures, values)):
        if model.per == "structure":
            atoms.info[name] = float(value) if not value.ndim else value.ravel()
        else:
            atoms.arrays[name] = value.reshape(len(atoms), -1)
        for irrep, sigma in (deviations[k] if deviations is not None else {}).items():
            if model.per == "structure":
                atoms.info[f"{name}_std_{irrep}"] = float(sigma[0])
            else:
                atoms.arrays[f"{name}_std_{irrep}"] = sigma
    with atomic_write(Path(path)) as written:
        ase.io.write(written, structures, format="extxyz")


# --- inspect ------------------------------------------------------------------------------------------------------


def inspect_tensors(path: str) -> None:
    """`acepure inspect` with a model of a vector or tensor."""
    model = TensorModel.load(path)
    unit = f" ({model.unit})" if model.unit else ""
    lines = {
        "target": f"{model.target or 'unknown'}{unit}, {model.rank} per {model.per}",
        "origin": model.origin or "none, as for neutral structures",
        **{
            f"basis {basis.irrep}": f"{describe(basis)}: {plural(len(basis), 'function')}, "
            f"largest coefficient {np.abs(theta).max(initial=0.0):.3g}"
            for basis, theta in zip(model.bases, model.coefficients)
        },
        "uncertainty": "no posterior" if model.posteriors is None else _calibrated(model),
    }
    print(f"{path}, {os.path.getsize(path) / 1e6:.2f} MB\n")
    print("\n".join(f"{name:14}{text}" for name, text in lines.items()))
    if "0e" in RANKS[model.rank]:
        constants = ", ".join(f"{s} {c:.6g}" for s, c in zip(model.species, model.constants))
        print(f"{'constants':14}{constants}")
    for title, value in model.report.items():
        if title not in ("regression", "calibration", "choices"):
            text = value if isinstance(value, list) else str(value).splitlines()
            print(f"\n{title}\n" + "\n".join(f"  {line}" for line in text))


def _calibrated(model: TensorModel) -> str:
    laws = model.calibration
    return "standard deviations by " + ("the posterior, not calibrated" if laws is None else laws.source)
