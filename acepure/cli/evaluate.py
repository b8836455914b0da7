"""`acepure evaluate`: a potential on structures, its errors where labels are known, its predictions in a file."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress
from tqdm import tqdm

from acepure._utils.files import atomic_write
from acepure.cli.options import add_index, add_model, add_strict, add_switch, add_threads
from acepure.cli.parts import (
    EXTENDED_XYZ,
    add_labels,
    check_ending,
    check_outputs,
    label_arguments,
    labels_of,
    load_potential,
    plural,
    read_known,
    sizes,
)
from acepure.cli.tensors import evaluate_tensors, is_tensor_model
from acepure.features.linear import EnergyAndForces
from acepure.fitting import Errors, LabeledData, NoLabelsError, evaluate_errors, resolve_keys
from acepure.fitting.deviations import Deviations, compare_deviations, coverage_table
from acepure.fitting.labels import text_table
from acepure.models.coverage import CoverageCheck
from acepure.models.potential import SitePotential
from acepure.models.uncertainty import UncertainModel, Uncertainty

#: What is written for each structure.
_NAMES = (
    *("acepure_energy", "acepure_forces", "acepure_virial", "acepure_stress"),
    *("acepure_energy_std", "acepure_forces_std"),
)
_MOST_ROWS = 20

_EPILOG = """\
examples:
  acepure evaluate Si.ace test.extxyz
  acepure evaluate Si.ace train.extxyz --index ::10 -o predictions.extxyz
  acepure evaluate Si.ace test.extxyz --figure errors.png --uncertainty

what -o writes, next to what the structures have already:
  acepure_energy              eV
  acepure_forces              eV/Å
  acepure_virial, _stress     −∂E/∂ε in eV, and the stress of ASE in eV/Å³; for three periodic axes only
  acepure_energy_std, acepure_forces_std
                              with --uncertainty: standard deviations, of forces one for all components
  acepure_KEY, acepure_KEY_std_IRREP
                              of a model of a vector or tensor KEY: its components, flat, and standard deviations
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "evaluate",
        _run,
        help="compare a potential with labels, write its predictions",
        description="Evaluate a potential on structures in any format that ASE knows.",
        epilog=_EPILOG,
    )
    add_model(command)
    command.add_argument("input", metavar="DATA", help="file of structures, with or without labels")
    command.add_argument("-o", "--output", metavar="OUT", help="write predictions: .extxyz or .xyz")
    command.add_argument("--figure", metavar="FIG", help="draw the errors: .png, .pdf, .svg, ...")
    add_switch(command, "--uncertainty", "standard deviations in OUT; in FIG how they fit the errors")
    add_strict(command)
    add_index(command)
    add_labels(command)
    command.add_argument("--target", metavar="KEY", help="of a vector or tensor: its labels; default those of the fit")
    command.add_argument("--derivatives", metavar="KEY", help="of a vector or tensor: labels of its derivatives")
    add_threads(command)


def _run(arguments: argparse.Namespace) -> None:
    from acepure.plotting import figure_format

    output, figure = arguments.output, arguments.figure
    if output:
        check_ending("-o", output, EXTENDED_XYZ)
    if is_tensor_model(arguments.model):
        evaluate_tensors(arguments)
        return
    if arguments.target is not None or arguments.derivatives is not None:
        raise ValueError(f"--target and --derivatives are for models of vectors and tensors; {arguments.model} is none")
    kind = figure_format("--figure", figure) if figure else ""
    check_outputs({"-o": output, "--figure": figure})
    model = load_potential(arguments.model)
    posterior = model.posterior if isinstance(model, UncertainModel) else None
    if arguments.uncertainty and posterior is None:
        raise ValueError(f"--uncertainty: {arguments.model} has no posterior")
    structures = read_known(model.basis, arguments)
    labeled = _labels(structures, arguments)
    if figure and labeled is None:
        raise ValueError(f"--figure shows errors, but {arguments.input} has no labels")
    print(f"model   {model!r}: {arguments.model}")
    print(f"read    {sizes(structures)}")
    coverage = CoverageCheck(model, raises=arguments.strict)
    with atomic_write(output) if output else nullcontext() as written:
        with atomic_write(figure) if figure else nullcontext() as drawn:
            results, deviations = _evaluate(model, structures, coverage, arguments)
            errors = _print_results(structures, results, labeled, arguments)
            calibration = None
            if labeled is not None and deviations is not None and isinstance(model, UncertainModel):
                compared = compare_deviations(labeled, results, deviations)
                print(f"{model.calibration_text()}\n{coverage_table(compared)}\n")
                calibration = _pairs(compared)
            if drawn is not None and errors is not None:
                _draw(model, errors, calibration, drawn, kind)
        if written is not None:
            _write(written, structures, results, deviations)
    for name in filter(None, (figure, output)):
        print(f"wrote   {name}")


def _labels(structures: Sequence[Atoms], arguments: argparse.Namespace) -> LabeledData | None:
    """The structures with their labels; None if there are none, and none were asked for."""
    given = label_arguments(arguments)
    asked = [name for name, value in given.items() if value is not False and name != "config_type_key"]
    if not asked:
        _forget(structures)  # predictions of an earlier run are no labels, unless they are named
    try:
        keys = resolve_keys(structures, **given)
    except NoLabelsError:
        if asked:
            raise
        return None
    return labels_of({arguments.input: structures}, keys)


def _forget(structures: Sequence[Atoms]) -> None:
    for atoms in structures:
        for name in _NAMES:
            atoms.info.pop(name, None)
            atoms.arrays.pop(name, None)


def _evaluate(
    model: SitePotential, structures: Sequence[Atoms], coverage: CoverageCheck, arguments: argparse.Namespace
) -> tuple[list[EnergyAndForces], list[Uncertainty] | None]:
    """Results and standard deviations; what lies outside of the fit is said on the way."""
    results, deviations = [], []
    for k, atoms in enumerate(tqdm(structures, desc="evaluate", unit="structure", disable=None)):
        where = f"{arguments.input}[{k}]: "
        given: dict[str, Any] = {
            "neighbors": model.basis.neighbor_list(atoms, num_threads=arguments.threads),
            "num_threads": arguments.threads,
        }
        coverage.check(model.basis.species_indices(atoms), given["neighbors"], where)
        results.append(model.evaluate(atoms, **given))
        if not isinstance(model, UncertainModel):
            continue
        if arguments.uncertainty:
            deviations.append(model.uncertainty(atoms, **given))
            coverage.check_deviations(deviations[-1], len(atoms), where)
        elif model.calibration is not None:
            grade = model.calibration.grades("energy", [model.energy_deviation(atoms, **given)], len(atoms))
            coverage.check_grades("energy", grade, where)
    return results, deviations if arguments.uncertainty else None


class _Computed:
    """A potential whose results are known already."""

    def __init__(self, structures: Sequence[Atoms], results: Sequence[EnergyAndForces]) -> None:
        self._results = {id(atoms): result for atoms, result in zip(structures, results)}

    def evaluate(self, atoms: Atoms, *, num_threads: int | None = None) -> EnergyAndForces:
        return self._results[id(atoms)]


def _print_results(
    structures: Sequence[Atoms],
    results: Sequence[EnergyAndForces],
    labeled: LabeledData | None,
    arguments: argparse.Namespace,
) -> Errors | None:
    """Print labels and errors, or predictions where there are no labels."""
    if labeled is None:
        print(f"\n{arguments.input} has no labels: predictions only\n\n{_predictions(structures, results)}\n")
        return None
    errors = evaluate_errors(_Computed(structures, results), labeled, progress=False)
    print(f"\n{labeled}\n\n{errors}\n")
    return errors


def _predictions(structures: Sequence[Atoms], results: Sequence[EnergyAndForces]) -> str:
    """Energies and largest forces of the first structures."""
    rows = [["number", "formula", "energy (eV)", "energy (eV/atom)", "largest force (eV/Å)"]]
    for k, (atoms, result) in enumerate(zip(structures[:_MOST_ROWS], results)):
        largest = np.linalg.norm(result.forces, axis=1).max()
        energy = result.energy
        rows.append(
            [str(k), atoms.get_chemical_formula(), *(f"{x:.6f}" for x in (energy, energy / len(atoms), largest))]
        )
    more = len(structures) - _MOST_ROWS
    return text_table(rows) + (f"\n... and {plural(more, 'more structure')}" if more > 0 else "")


def _pairs(compared: Mapping[str, Deviations]) -> tuple[np.ndarray, np.ndarray] | None:
    """Predicted standard deviations and errors of all force components that are known."""
    if "forces" not in compared:
        return None
    forces = compared["forces"]
    return np.repeat(forces.sigmas, 3), forces.errors.ravel()


def _draw(
    model: SitePotential,
    errors: Errors,
    calibration: tuple[np.ndarray, np.ndarray] | None,
    path: os.PathLike[str],
    kind: str,
) -> None:
    from acepure.plotting import potential_figure

    potential_figure(model, errors, calibration=calibration).savefig(path, format=kind)


def _write(
    path: Path,
    structures: Sequence[Atoms],
    results: Sequence[EnergyAndForces],
    deviations: Sequence[Uncertainty] | None,
) -> None:
    _forget(structures)
    for k, (atoms, result) in enumerate(zip(structures, results)):
        atoms.info["acepure_energy"] = result.energy
        atoms.arrays["acepure_forces"] = result.forces
        if atoms.pbc.all():  # nine and six numbers, as other programs expect them in a line of text
            atoms.info["acepure_virial"] = result.virial.ravel()
            atoms.info["acepure_stress"] = full_3x3_to_voigt_6_stress(-result.virial / atoms.get_volume())
        if deviations is not None:
            atoms.info["acepure_energy_std"] = deviations[k].energy
            atoms.arrays["acepure_forces_std"] = deviations[k].forces
    ase.io.write(path, structures, format="extxyz")
