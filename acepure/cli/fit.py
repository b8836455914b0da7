"""`acepure fit`: labeled structures in, a linear potential out."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from itertools import chain
from time import perf_counter
from typing import Any

from ase import Atoms

from acepure._utils.files import atomic_write
from acepure.cli.options import (
    RADIAL_HELP,
    SPECIFICATION,
    add_functions,
    add_radial,
    add_self_interacting,
    add_species,
    add_threads,
    integer,
)
from acepure.cli.parts import (
    add_labels,
    basis_arguments,
    check_outputs,
    describe,
    label_arguments,
    labels_of,
    plural,
    read,
)
from acepure.features.basis import ACEBasis
from acepure.fitting import LabeledSet, LabeledStream, resolve_keys
from acepure.fitting.priors import KINDS
from acepure.fitting.solvers import SOLVERS
from acepure.models.linear import LinearACE
from acepure.models.repulsion import ZBLCore
from acepure.structures.files import StructureFiles
from acepure.structures.gate import species_of

__all__ = ["add"]

#: Of a basis of which only the cutoff, the radial functions or the species are given.
N_FUNCTIONS = 500

_CHOICES = ("totaldegree", "n_max", "l_max", "n_functions")
_HELP = {
    "totaldegree": "largest Σ (n + wL·l), one or one per order",
    "n_functions": f"the largest set with at most so many functions; default {N_FUNCTIONS}",
}
_E0_WORDS = ("auto", "isolated", "lstsq")

_EPILOG = f"""\
examples:
  acepure fit train.extxyz --test test.extxyz -o Cu.ace
  acepure fit bulk.extxyz liquid.extxyz -o CuZr.ace --rcut 6 --totaldegree 20,16,12 --wL 1.5 --n-start 1
  acepure fit train.extxyz -o Si.ace --prefix dft --e0 Si=-0.79 --weights 30,1,1 --weights liquid=10,1,0
  acepure fit train.extxyz -o W.ace --n-functions 2000 --core 0.8,1.8 --jobs 8 --threads 1

  the recipe behind the table of accuracy, for silicon; the cutoff is 2.65 times the sum of two covalent radii, at most
  6.5 Å, and the weights of energies, forces and virials stay 30,1,1:
  acepure fit train.extxyz -o Si.ace --no-virials --rcut 5.883 --totaldegree 20,16,12 --wL 1.5 --n-start 1 \\
      --transform agnesi:p=1,q=3 --envelope smooth:exponent=2

what is fitted:
  E = Σ_i E0 + θ · (B(i) − B(no neighbors)) + core, to energies, forces and virials at once. The default, at most
  {N_FUNCTIONS} functions, is for a first fit; more functions and a longer cutoff cost more and are often more accurate.
  Errors of --test, structures that were not fitted, are those to look at.

{RADIAL_HELP}"""


def add(commands: Any, **style: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "fit",
        help="fit a linear potential to energies, forces and virials",
        description="Read labeled structures in any format that ASE knows, fit a linear potential, and test it.",
        epilog=_EPILOG,
        **style,
    )
    command.add_argument("train", nargs="+", metavar="TRAIN", help="files of structures with labels")
    command.add_argument(
        "--test",
        nargs="+",
        default=[],
        metavar="TEST",
        help="files to test on, not fitted; name TRAIN before this option",
    )
    command.add_argument("-o", "--output", metavar="MODEL", required=True, help="file to write, such as Cu.ace")
    figures = command.add_mutually_exclusive_group()
    figures.add_argument("--figure", metavar="FIG", help="default MODEL with the ending .png; .pdf and .svg work too")
    figures.add_argument("--no-figure", action="store_true", help="draw nothing")
    _add_regression(command.add_argument_group("regression"))
    group = command.add_argument_group(
        "functions",
        f"Choose them in one way: --n-functions (default {N_FUNCTIONS}), --totaldegree, or --n-max and --l-max.",
    )
    add_species(group, required=False)
    add_functions(group, SPECIFICATION, _HELP)
    add_radial(group)
    add_self_interacting(group)
    add_labels(command)
    command.add_argument(
        "--stream", action="store_true", help="read the files anew for each pass: for sets that do not fit in memory"
    )
    workers = command.add_mutually_exclusive_group()
    workers.add_argument("--jobs", type=integer("--jobs"), default=1, metavar="N", help="worker processes; default 1")
    workers.add_argument("--scheduler", metavar="ADDRESS", help="work on the Dask cluster with this scheduler")
    add_threads(command)
    command.set_defaults(run=_run)


def _add_regression(group: Any) -> None:
    group.add_argument("--solver", choices=SOLVERS, default="auto", help="default auto, which needs no options")
    group.add_argument(
        "--solver-option",
        action="append",
        default=[],
        type=_assignment(float, "alpha=1e-6"),
        metavar="NAME=X",
        help=f"may be repeated; {'; '.join(f'{s}: ' + ', '.join(names) for s, (_, names) in SOLVERS.items() if names)}",
    )
    group.add_argument("--prior", choices=KINDS, default="algebraic", help="of smoothness; default algebraic")
    group.add_argument(
        "--weights",
        action="append",
        default=[],
        type=_weights,
        metavar="[GROUP=]E,F,V",
        help="of energies, forces, virials, for all or for one config_type; may be repeated; default 30,1,1",
    )
    group.add_argument(
        "--e0",
        type=_reference_energies,
        default="auto",
        metavar="E0",
        help="energies of isolated atoms: isolated (in the data), lstsq (least squares), 0, or eV such as "
        "Cu=-3.5,Zr=-8; default: isolated if they are there, else lstsq",
    )
    group.add_argument(
        "--core",
        type=_core,
        metavar="zbl|INNER,OUTER",
        help="ZBL repulsion below the shortest distances of the data, or switched off between two distances in Å",
    )


def _run(arguments: argparse.Namespace) -> None:
    figure, kind = _figure(arguments)
    _spare_inputs(arguments)
    check_outputs({"-o": arguments.output, "--figure": figure})
    _check_options(arguments)
    structures = _structures(arguments)
    species = arguments.species or species_of(chain.from_iterable(structures[name] for name in arguments.train))
    basis = _basis(species, arguments)
    for name, found in structures.items():
        for k, atoms in enumerate(found):
            basis.species_indices(atoms, f"{name}[{k}]")
    train, test = _labels(structures, arguments)
    print(f"basis   {describe(basis)}: {plural(len(basis), 'function')}\n")
    with _workers(arguments) as workers, atomic_write(figure) if figure else nullcontext() as drawn:
        with atomic_write(arguments.output) as written:
            model = _fit(train, basis, workers, arguments)
            model.save(written)  # before anything else can go wrong
        given = {"workers": workers, "num_threads": arguments.threads}
        errors = [model.errors(data, **given) for data in (train, test) if data]
        if test:
            print(f"\nerrors on structures that were not fitted: {', '.join(arguments.test)}\n{errors[1]}")
        model.report |= {f"errors, {name}": str(found) for name, found in zip(("training", "test"), errors)}
        model.save(arguments.output)
        print(f"\nwrote   {arguments.output}")
        if drawn is not None:
            _draw(model, errors, drawn, kind)
    if figure:
        print(f"wrote   {figure}")


def _structures(arguments: argparse.Namespace) -> dict[str, StructureFiles | list[Atoms]]:
    """Name of each file → its structures; those of --test come last."""
    names = [*arguments.train, *arguments.test]
    twice = [name for k, name in enumerate(names) if name in names[:k]]
    if twice:
        raise ValueError(f"{twice[0]!r} is given twice; errors on structures that were fitted would mean nothing")
    structures: dict[str, StructureFiles | list[Atoms]] = {}
    for name in names:
        structures[name] = StructureFiles(name) if arguments.stream else read(name, ":")
        n_atoms = sum(map(len, structures[name]))
        word = "test" if name in arguments.test else "train"
        print(f"{word:8}{plural(len(structures[name]), 'structure')}, {plural(n_atoms, 'atom')}: {name}")
    return structures


def _labels(
    structures: Mapping[str, Iterable[Atoms]], arguments: argparse.Namespace
) -> tuple[LabeledSet, LabeledSet | None]:
    """Training and test structures with labels under the same keys."""
    keys = resolve_keys(chain.from_iterable(structures.values()), **label_arguments(arguments))
    parts = []
    for option, names in (("TRAIN", arguments.train), ("--test", arguments.test)):
        if arguments.stream and names:
            data: LabeledSet = LabeledStream(StructureFiles(names), keys)
        else:
            data = labels_of({name: structures[name] for name in names}, keys)
        if names and all(value is None for item in data for value in (item.energy, item.forces, item.virial)):
            raise ValueError(f"{option} {' '.join(names)}: no structure has labels ({keys})")
        parts.append(data)
    return parts[0], parts[1] if len(parts[1]) else None


def _basis(species: Sequence[str], arguments: argparse.Namespace) -> ACEBasis:
    given = basis_arguments(arguments)
    if not any(name in given for name in _CHOICES):
        given["n_functions"] = N_FUNCTIONS
    return ACEBasis(species, canonical=not arguments.self_interacting, **given)


def _fit(train: LabeledSet, basis: ACEBasis, workers: Any, arguments: argparse.Namespace) -> LinearACE:
    start = perf_counter()
    model = LinearACE.fit(
        train,
        basis,
        weights=dict(arguments.weights) or None,
        E0s=arguments.e0,
        prior=arguments.prior,
        solver=arguments.solver,
        options=dict(arguments.solver_option),
        core=arguments.core,
        workers=workers,
        num_threads=arguments.threads,
    )
    print(f"\nfitted  in {perf_counter() - start:.1f} s")
    model.report |= {"fitted to": arguments.train, "labels": str(train)}
    return model


@contextmanager
def _workers(arguments: argparse.Namespace) -> Iterator[Any]:
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


def _draw(model: LinearACE, errors: Sequence[Any], path: os.PathLike[str], kind: str) -> None:
    from acepure.plotting import potential_figure

    potential_figure(model, *errors).savefig(path, format=kind)


# --- checks before the work ----------------------------------------------------------------------------------------


def _figure(arguments: argparse.Namespace) -> tuple[str | None, str]:
    """Name and format of the figure; None for none."""
    from acepure.plotting import figure_format

    if arguments.no_figure:
        return None, ""
    figure = arguments.figure or f"{os.path.splitext(arguments.output)[0]}.png"
    if os.path.realpath(figure) == os.path.realpath(arguments.output):
        raise ValueError(f"model and figure would both be {figure!r}; choose another --figure, or --no-figure")
    return figure, figure_format("--figure", figure)


def _spare_inputs(arguments: argparse.Namespace) -> None:
    """Raise if the model would replace structures."""
    for name in (*arguments.train, *arguments.test):
        if os.path.realpath(name) == os.path.realpath(arguments.output):
            raise ValueError(f"-o {arguments.output} would replace the structures in {name!r}; choose another name")


def _check_options(arguments: argparse.Namespace) -> None:
    """Raise before the work, not when it is time to solve."""
    allowed = SOLVERS[arguments.solver][1]
    for name, _ in arguments.solver_option:
        if name not in allowed:
            takes = ", ".join(allowed) or "no options"
            raise ValueError(f"--solver-option {name}: solver {arguments.solver} takes {takes}")
    if arguments.solver == "ard" and find_spec("sklearn") is None:
        raise ValueError('--solver ard needs scikit-learn: pip install "acepure[sklearn]"')


# --- types of values ----------------------------------------------------------------------------------------------


def _numbers(text: str, need: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not {need}") from None


def _assignment(kind: Callable[[str], Any], example: str) -> Callable[[str], tuple[str, Any]]:
    def convert(text: str) -> tuple[str, Any]:
        name, sign, value = text.partition("=")
        try:
            if name and sign:
                return name, kind(value)
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=X such as {example}")

    return convert


def _weights(text: str) -> tuple[str, list[float]]:
    """(config_type, three numbers); groups may have = in their names."""
    name, _, values = text.rpartition("=")
    return name or "default", _numbers(values, "E,F,V such as 30,1,1, or GROUP=E,F,V")


def _reference_energies(text: str) -> str | float | dict[str, float]:
    if text in _E0_WORDS:
        return text
    try:
        return dict(map(_assignment(float, ""), text.split(","))) if "=" in text else float(text)
    except (ValueError, argparse.ArgumentTypeError):
        need = "isolated, lstsq, 0, or energies such as Cu=-3.5,Zr=-8"
        raise argparse.ArgumentTypeError(f"{text!r} is none of {need}") from None


def _core(text: str) -> ZBLCore | str:
    if text == "zbl":
        return text
    need = "INNER,OUTER in Å such as 0.8,1.8, or zbl"
    values = _numbers(text, need)
    if len(values) != 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not {need}")
    try:
        return ZBLCore(*values)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
