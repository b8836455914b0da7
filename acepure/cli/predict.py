"""`acepure predict`: energies, forces and stresses of structures, under the names by which other programs read them."""

from __future__ import annotations

import argparse
from typing import Any

import ase.io
from tqdm import tqdm

from acepure._utils.files import atomic_write
from acepure.cli.options import add_index, add_model, add_output, add_strict, add_switch, add_threads
from acepure.cli.parts import EXTENDED_XYZ, calculator, check_ending, check_outputs, plural, with_results
from acepure.structures.files import StructureFiles

_EPILOG = """\
examples:
  acepure predict Si.ace run.extxyz -o predictions.extxyz
  acepure predict Si.ace relaxed.extxyz -o predictions.extxyz --uncertainty

what OUT holds, next to the structures; energies, forces and stresses of IN are replaced:
  energy, forces, stress      eV, eV/Å, eV/Å³ as in ASE; the stress of what has three periodic axes
  acepure_energy_std          eV: standard deviation, if the potential knows it
  acepure_forces_std          eV/Å: of each component of the force on an atom, with --uncertainty
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "predict",
        _run,
        help="write energies, forces and stresses of structures",
        description="Write energies, forces and stresses of structures in any format that ASE knows, one by one.",
        epilog=_EPILOG,
    )
    add_model(command)
    command.add_argument("input", metavar="IN", help="file of structures")
    add_output(command, "file to write: .extxyz or .xyz")
    add_switch(command, "--uncertainty", "also standard deviations of forces; takes some 50 times as long")
    add_strict(command)
    add_index(command)
    add_threads(command)


def _run(arguments: argparse.Namespace) -> None:
    output = arguments.output
    check_ending("-o", output, EXTENDED_XYZ)
    check_outputs({"-o": output})
    potential = calculator(arguments)
    known = [name for name in potential.implemented_properties if name.endswith("_uncertainty")]
    if arguments.uncertainty and not known:
        raise ValueError(f"--uncertainty: {arguments.model} has no posterior")
    print(f"model   {potential.potential!r}: {arguments.model}")
    structures = StructureFiles(arguments.input, arguments.index)
    n_structures = n_atoms = 0
    with atomic_write(output) as temporary, temporary.open("w", encoding="utf-8") as file:
        for k, atoms in enumerate(tqdm(structures, desc="predict", unit="structure", disable=None)):
            potential.potential.basis.species_indices(atoms, f"{arguments.input}[{k}]")
            atoms.calc = potential
            atoms.get_forces()
            if known:
                atoms.info["acepure_energy_std"] = potential.get_property("energy_uncertainty", atoms)
            if arguments.uncertainty:
                atoms.arrays["acepure_forces_std"] = potential.get_property("forces_uncertainty", atoms)
            for name in ("energy", "forces", "stress"):  # of formats that keep results with other values
                atoms.info.pop(name, None)
                atoms.arrays.pop(name, None)
            ase.io.write(file, with_results(atoms), format="extxyz")
            n_structures, n_atoms = n_structures + 1, n_atoms + len(atoms)
    print(f"wrote   {output}: {plural(n_structures, 'structure')}, {plural(n_atoms, 'atom')}")
