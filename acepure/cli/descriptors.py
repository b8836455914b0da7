"""`acepure descriptors`: structures in, features out."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from acepure._utils.files import atomic_write
from acepure._utils.threads import resolve_num_threads
from acepure.cli.options import RADIAL_HELP, add_index, add_number, add_output, add_specification, add_threads
from acepure.cli.parts import EXTENDED_XYZ, check_ending, check_outputs, describe, plural, read, ready_basis
from acepure.features.basis import ACEBasis
from acepure.features.descriptors import ARRAY_NAME, INFO_NAME
from acepure.features.store import FeatureStore, write_features
from acepure.structures.files import StructureFiles
from acepure.structures.gate import species_of

_STORE = ".zarr"

_EPILOG = f"""\
examples:
  acepure descriptors test.extxyz -o features.npz
  acepure descriptors train.extxyz -o train.npz --index ::10 --species Si Ge --rcut 6 --order 3 --totaldegree 10
  acepure descriptors test.extxyz -o features.extxyz --n-max 4 --l-max 6 --order 2
  acepure descriptors train.extxyz -o train.zarr --species Si --totaldegree 12 --jobs 4

what the files hold:
  .npz            descriptors  (atoms of all structures, features)
                  offsets      structure k has the rows offsets[k] to offsets[k + 1]
                  labels       the name of each feature: species, n, l, coupling
                  basis        JSON text, for ACEBasis.from_dict(json.loads(...))
  .zarr           the same in a folder, for files of any size: structures are read, and features written, piece by
                  piece. The same command goes on where it was interrupted. Needs Zarr: pip install "acepure[store]"
  .extxyz, .xyz   the structures, with the features per atom as the array acepure_descriptors and the basis
                  as acepure_basis; this format keeps 8 digits after the point, .npz keeps all

{RADIAL_HELP}"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "descriptors",
        _run,
        help="compute the features of every atom in a file",
        description="Read structures in any format that ASE knows, compute the features of every atom, and write them.",
        epilog=_EPILOG,
    )
    command.add_argument("input", metavar="IN", help="file of structures")
    add_output(command, "file to write: .npz, .zarr, .extxyz or .xyz")
    add_index(command)
    add_number(command, "--jobs", "worker processes, each with one thread, for .zarr", 1)
    add_threads(command)
    add_specification(command, species_required=False)


def _run(arguments: argparse.Namespace) -> None:
    output = Path(arguments.output)
    check_ending("-o", arguments.output, (".npz", _STORE, *EXTENDED_XYZ))
    threads = resolve_num_threads(arguments.threads)
    if output.suffix.lower() == _STORE:
        _fill_store(output, threads, arguments)
        return
    if arguments.jobs > 1:
        raise ValueError(f"--jobs {arguments.jobs} is for files that end in {_STORE}; got -o {arguments.output}")
    check_outputs({"-o": arguments.output})
    with atomic_write(output) as temporary:
        structures = read(arguments.input, arguments.index)
        n_atoms = sum(map(len, structures))
        species = arguments.species or species_of(structures)
        start = perf_counter()
        basis = ready_basis(species, arguments)
        set_up = perf_counter() - start
        print(f"read    {plural(len(structures), 'structure')}, {plural(n_atoms, 'atom')}: {arguments.input}")
        print(f"basis   {describe(basis)}; set up in {set_up:.2f} s")
        start = perf_counter()
        features = basis.descriptors(structures, num_threads=threads)
        seconds = perf_counter() - start
        print(
            f"done    {plural(len(basis), 'feature')} per atom in {seconds:.3f} s, "
            f"{1e6 * seconds / n_atoms:.1f} µs per atom, {plural(threads, 'thread')}"
        )
        if output.suffix.lower() in EXTENDED_XYZ:
            _write_extxyz(temporary, structures, features, basis)
        else:
            _write_npz(temporary, features, basis)
    print(f"wrote   {arguments.output}: {_size(output.stat().st_size)}")


def _fill_store(output: Path, threads: int, arguments: argparse.Namespace) -> None:
    """Structures and features go through memory a piece at a time."""
    if not output.parent.is_dir():
        raise FileNotFoundError(
            f"-o: cannot write {arguments.output!r}: the folder {str(output.parent)!r} does not exist"
        )
    files = StructureFiles(arguments.input, arguments.index)
    try:
        if output.exists():
            found = FeatureStore(output)
            state = "complete" if found.is_complete else "not complete, to be continued"
            print(f"found   {arguments.output}: {plural(len(found), 'structure')}, {state}")
        basis = ready_basis(arguments.species or _species(files), arguments)
        print(f"basis   {describe(basis)}\nread    {plural(len(files), 'structure')}: {arguments.input}", flush=True)
        start = perf_counter()
        store = write_features(output, basis, files, workers=arguments.jobs, num_threads=threads)
    except ImportError as error:
        raise OSError(str(error)) from error
    n_atoms, seconds = store.features.shape[0], perf_counter() - start
    print(f"done    {plural(n_atoms, 'atom')}, {plural(len(basis), 'feature')} per atom, in {seconds:.3f} s")
    size = sum(file.stat().st_size for file in output.rglob("*") if file.is_file())
    print(f"wrote   {arguments.output}: {_size(size)}")


def _species(structures: Iterable[Atoms]) -> tuple[str, ...]:
    """Chemical symbols of all structures, which are read once more for them."""
    numbers = set().union(*(set(atoms.numbers.tolist()) for atoms in structures))
    return tuple(chemical_symbols[number] for number in sorted(numbers))


def _write_npz(path: Path, features: list[np.ndarray], basis: ACEBasis) -> None:
    arrays: dict[str, Any] = {
        "descriptors": np.concatenate(features),
        "offsets": np.cumsum([0, *map(len, features)]),
        "labels": np.array([str(label) for label in basis.labels]),
        "basis": np.array(json.dumps(basis.to_dict())),
    }
    with path.open("wb") as file:  # given a name, NumPy may append .npz to it
        np.savez(file, **arrays)


def _write_extxyz(path: Path, structures: list[Atoms], features: list[np.ndarray], basis: ACEBasis) -> None:
    parameters = json.dumps(basis.to_dict())
    for structure, values in zip(structures, features):
        structure.arrays[ARRAY_NAME] = values
        structure.info[INFO_NAME] = parameters
    ase.io.write(path, structures, format="extxyz")


def _size(n_bytes: int) -> str:
    size = float(n_bytes)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
