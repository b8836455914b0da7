"""What commands share: checking and reading files, labels and models, calculators, a basis, words for tables."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.formats import filetype, ioformats

from acepure._utils.files import check_writable
from acepure.cli.options import SPECIFICATION, add_switch, with_radial
from acepure.features.basis import ACEBasis
from acepure.features.descriptors import warn_if_large
from acepure.fitting import LabeledData, LabelKeys, read_labels
from acepure.functions.radial import PolynomialRadialBasis
from acepure.interfaces.calculator import ACECalculator
from acepure.interfaces.yace import YacePotential, read_yace
from acepure.layers.model import LayeredACE
from acepure.models.embedded import EmbeddedACE
from acepure.models.files import EMBEDDED, LAYERED, model_kind
from acepure.models.linear import LinearACE
from acepure.neighbors.sites import Sites
from acepure.structures.files import StructureFiles

#: Endings of files of structures that also hold what was computed of them.
EXTENDED_XYZ = (".extxyz", ".xyz")


def check_outputs(outputs: Mapping[str, str | None]) -> None:
    """Raise before the work if a file cannot be written; `outputs` are option → path, None for none."""
    for option, path in outputs.items():
        if path is not None:
            try:
                check_writable(path)
            except OSError as error:
                raise type(error)(f"{option}: {error}") from None


def check_ending(option: str, path: str, endings: Sequence[str]) -> None:
    """Raise ValueError unless the name of a file has one of the endings."""
    if not path.lower().endswith(tuple(endings)):
        known = " or ".join(filter(None, [", ".join(endings[:-1]), endings[-1]]))
        raise ValueError(f"{option} {path}: the name must end in {known}")


def read(name: str, index: str) -> list[Atoms]:
    """Return the structures of a file; errors say which file."""
    return list(StructureFiles(name, index))


def read_known(basis: Sites, arguments: argparse.Namespace) -> list[Atoms]:
    """Read the structures of the input, all of species that the basis knows."""
    structures = read(arguments.input, arguments.index)
    for k, atoms in enumerate(structures):
        basis.species_indices(atoms, f"{arguments.input}[{k}]")
    return structures


def sizes(structures: Sequence[Atoms]) -> str:
    """Return the numbers of structures and atoms in words."""
    return f"{plural(len(structures), 'structure')}, {plural(sum(map(len, structures)), 'atom')}"


def basis_arguments(arguments: argparse.Namespace, names: Sequence[str] = SPECIFICATION) -> dict[str, Any]:
    """Return the options that were given as arguments of `ACEBasis`."""
    given = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    return with_radial(given, arguments)


def ready_basis(species: Sequence[str], arguments: argparse.Namespace) -> ACEBasis:
    """Build the basis and its compiled tables, which otherwise the first structure would wait for."""
    given = basis_arguments(arguments)
    basis = ACEBasis(species, canonical=not arguments.self_interacting, **given)
    if not {"order", "n_functions"} & set(given):
        warn_if_large(basis, "--order ")
    basis.descriptors(Atoms(basis.species[0]), num_threads=1)
    return basis


def describe(basis: ACEBasis) -> str:
    """Return a basis in one line."""
    specification = basis.specification
    n_max, l_max = specification.n_max, specification.l_max
    if specification.totaldegree is not None:
        functions = f"total degree {_per_order(specification.totaldegree)}"
        functions += f" (wL = {specification.wL:g}, n from {specification.n_start})"
    elif n_max is not None and l_max is not None:
        functions = f"n_max {_per_order(n_max)}, l_max {_per_order(l_max)}"
    else:
        functions = "explicit functions"
    kind = "canonical" if basis.canonical else "self-interacting"
    radial = _radial(basis)
    return f"{kind}, {' '.join(basis.species)}, rcut {basis.rcut:g} Å, {radial}order {basis.order}, {functions}"


def _radial(basis: ACEBasis) -> str:
    """Transform and envelope, unless they are those that a basis has by default."""
    if not isinstance(basis.radial, PolynomialRadialBasis):
        return ""
    usual, radial = PolynomialRadialBasis(), basis.radial
    if (radial.transform, radial.envelope) == (usual.transform, usual.envelope):
        return ""
    return f"{radial.transform!r}, {radial.envelope!r}, "


def _per_order(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in (values if len(set(values)) > 1 else values[:1]))


def plural(n: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


# --- labels: of several files they are looked for together, so that all have the same keys ----------------------------

_OPTIONS = ("energy_key", "forces_key", "virial_key", "stress_key", "prefix", "config_type_key")
_IN_PYTHON = re.compile(rf"\b({'|'.join(_OPTIONS)})=(?=(\S?))")
_FALSE = " (False: do not use)"  # of a key; for virials there is --no-virials


def add_labels(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where labels are."""
    group = parser.add_argument_group(
        "labels", "Found by their names: energy, forces, virial, stress, with any prefix (REF_energy, dft_forces)."
    )
    for name, unit in (("energy", "eV"), ("forces", "eV/Å"), ("virial", "−∂E/∂ε in eV"), ("stress", "eV/Å³")):
        group.add_argument(f"--{name}-key", metavar="KEY", help=f"key of the {name}: {unit}")
    group.add_argument("--prefix", metavar="TEXT", help='take labels with this prefix alone; "" for none')
    group.add_argument("--config-type-key", metavar="KEY", help="key of the group; default config_type")
    add_switch(group, "--no-virials", "leave virials and stresses out")


def label_arguments(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options as arguments of `resolve_keys`; empty if none was given."""
    given = {name: value for name in _OPTIONS if (value := getattr(arguments, name)) is not None}
    if arguments.no_virials:
        if "virial_key" in given or "stress_key" in given:
            raise ValueError("--no-virials excludes --virial-key and --stress-key")
        given |= {"virial_key": False, "stress_key": False}
    return given


def labels_of(structures: Mapping[str, Iterable[Atoms]], keys: LabelKeys) -> LabeledData:
    """Return the structures of files with their labels; messages say which file, and which structure in it.

    Parameters
    ----------
    structures : mapping of str to iterable of ase.Atoms
        Name of the file → its structures.
    keys : LabelKeys
    """
    return LabeledData(
        tuple(
            read_labels(atoms, keys, name=f"{name}[{k}]")
            for name, found in structures.items()
            for k, atoms in enumerate(found)
        ),
        keys,
    )


def with_option_names(text: str) -> str:
    """Return a message of the functions of Python with the options of the command line in place of their arguments.

    Examples
    --------
    >>> with_option_names("energy_key='E' is in none of 3 structures; name it with energy_key=, ...")
    "--energy-key 'E' is in none of 3 structures; name it with --energy-key, ..."
    """

    def option(match: re.Match[str]) -> str:
        value_follows = match[2] not in ("", ",", ".")
        return f"--{match[1].replace('_', '-')}" + " " * value_follows

    return _IN_PYTHON.sub(option, text.replace(_FALSE, ""))


def writable_format(path: str, n: int) -> str:
    """Return the format of ASE for a file with n structures; raise if it cannot be written, or holds but one."""
    name = filetype(path, read=False)
    known = ioformats.get(name)
    if known is None or not known.can_write:
        raise ValueError(f"-o {path}: ASE writes no files of this ending; .extxyz, .traj, .cif, .vasp, ... it does")
    if known.single and n > 1:
        raise ValueError(f"-o {path}: the format {name} holds one structure; {n} are to be written")
    return str(name)


def load_potential(path: str | os.PathLike[str]) -> LinearACE | EmbeddedACE | LayeredACE | YacePotential:
    """Read a potential of whatever kind; errors say which file."""
    return read_yace(path) if Path(path).suffix == ".yace" else load_fitted(path)


def load_fitted(path: str | os.PathLike[str]) -> LinearACE | EmbeddedACE | LayeredACE:
    """Read a potential that was fitted here; errors say which file."""
    if Path(path).suffix == ".yace":
        raise ValueError(f"{os.fspath(path)} is a .yace file; a potential that `acepure fit` wrote is needed")
    kind = model_kind(path) if os.path.isfile(path) else None
    if kind == LAYERED.kind:
        return LayeredACE.load(path)
    return EmbeddedACE.load(path) if kind == EMBEDDED.kind else load(path)


def calculator(arguments: argparse.Namespace) -> ACECalculator:
    """Return the calculator of the potential in a file; what it warns of ends the command with --strict."""
    warn = "raise" if arguments.strict else True
    return load_potential(arguments.model).calculator(warn=warn, num_threads=arguments.threads)


def with_results(atoms: Atoms) -> Atoms:
    """Return a copy that holds energy, forces and, if there is one, stress, as files keep them."""
    copy, results = atoms.copy(), atoms.calc.results
    kept = {name: results[name] for name in ("energy", "forces", "stress") if name in results}
    copy.calc = SinglePointCalculator(copy, **kept)
    return copy


def load(path: str | os.PathLike[str]) -> LinearACE:
    """Read a model; errors say which file."""
    try:
        return LinearACE.load(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"cannot read {os.fspath(path)!r}: there is no such file") from error


@contextmanager
def workers_of(arguments: argparse.Namespace) -> Iterator[Any]:
    """The number of processes, or a client of the cluster, which stays."""
    if arguments.scheduler is None:
        yield arguments.jobs
        return
    if find_spec("distributed") is None:
        raise ValueError('--scheduler needs Dask: pip install "acepure[dask]"')
    from distributed import Client

    try:
        client = Client(arguments.scheduler)
    except (OSError, ValueError) as error:
        raise ValueError(f"--scheduler {arguments.scheduler}: no scheduler answers there: {error}") from error
    if not client.nthreads():
        print(f"cluster {arguments.scheduler} has no workers yet; the fit waits for them", flush=True)
    with client:
        yield client
