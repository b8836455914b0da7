"""`acepure fit`: labeled structures in, a potential out."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from importlib.util import find_spec
from itertools import chain
from time import perf_counter
from typing import Any

from ase import Atoms

from acepure._utils.files import atomic_write
from acepure.cli.explore import check_page, write_page
from acepure.cli.layers import add_layers, check_layers, fit_layered
from acepure.cli.options import (
    RADIAL_HELP,
    SPECIFICATION,
    add_functions,
    add_number,
    add_radial,
    add_self_interacting,
    add_species,
    add_switch,
    add_threads,
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
    workers_of,
)
from acepure.cli.run_file import read_run_file, write_run_file
from acepure.cli.tensors import add_target, check_target_options, fit_target, target_sets
from acepure.cli.values import assignment, core, reference_energies, weights
from acepure.diagnostics.physics import check_physics
from acepure.errors import SpeciesError
from acepure.features.basis import ACEBasis
from acepure.fitting import LabeledSet, LabeledStream, resolve_keys
from acepure.fitting.checkpoints import Checkpoints
from acepure.fitting.priors import KINDS, SmoothnessPrior
from acepure.fitting.solvers import OPTIONS
from acepure.fitting.tensor_labels import TensorSet
from acepure.functions.cartesian import RANKS
from acepure.layers.model import LayeredACE
from acepure.models.embedded import EmbeddedACE
from acepure.models.embedding import EMBEDDINGS
from acepure.models.linear import LinearACE
from acepure.models.repulsion import PairCore
from acepure.models.tensor import TensorModel
from acepure.structures.files import StructureFiles
from acepure.structures.gate import species_of

#: Of a basis of which only the cutoff, the radial functions or the species are given.
N_FUNCTIONS = 500

Model = LinearACE | EmbeddedACE | LayeredACE | TensorModel

_CHOICES = ("totaldegree", "n_max", "l_max", "n_functions")
_HELP = {
    "totaldegree": "largest Σ (n + wL·l), one or one per order",
    "n_functions": f"the largest set with at most so many functions; default {N_FUNCTIONS}",
}
# Options that say which functions; those that change no bit; entries of run files that are no options.
_FUNCTIONS = {*SPECIFICATION, "species", "size", "self_interacting", "transform", "envelope"}
_OF_WORK = ("run", "jobs", "scheduler", "threads", "report")
_OF_RUN_FILES = ("basis", "chosen", "reasons")

_EPILOG = f"""\
examples:
  acepure fit train.extxyz --test test.extxyz -o Si.ace
  acepure fit Si.toml
  acepure fit Si.toml --size 600 -o larger.ace
  acepure fit train.extxyz test.extxyz -o all.ace --rcut 6 --totaldegree 20,16,12 --wL 1.5 --n-start 1
  acepure fit train.extxyz -o Si.ace --e0 Si=-0.84 --weights 30,1,1 --weights disordered=10,1,0
  acepure fit train.extxyz -o Si.ace --embedding finnis-sinclair
  acepure fit water.extxyz -o dipole.ace --target dipole --unit Debye --order 2 --totaldegree 12
  acepure fit train.extxyz -o large.ace --n-functions 2000 --core 0.8,1.8 --jobs 2 --threads 1

what is fitted:
  E = Σ_i E0 + θ · (B(i) − B(no neighbors)) + core, to energies, forces and virials at once. Without an option that
  says which functions, the cutoff, the radial functions, the functions and the weight of energies are chosen by errors
  of structures left out, and virials count unless they contradict energies. What was chosen is written to a run file
  beside the model, MODEL with the ending .toml, from which the same fit is made again, to the last bit. Until then, a
  folder MODEL.progress holds what is finished: a fit that was stopped, and is started again, goes on where it was.
  Errors of --test, structures that were not fitted, are those to look at.

{RADIAL_HELP}"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "fit",
        None,
        help="fit a potential to energies, forces and virials; or dipoles and other tensors",
        description="Read labeled structures in any format that ASE knows, fit a linear potential, and test it.",
        epilog=_EPILOG,
    )
    command.add_argument("train", nargs="+", metavar="TRAIN", help="files of structures with labels; or one run file")
    command.add_argument(
        "--test",
        nargs="+",
        default=[],
        metavar="TEST",
        help="files to test on, not fitted; name TRAIN before this option",
    )
    command.add_argument("-o", "--output", metavar="MODEL", help="file to write, such as Si.ace")
    figures = command.add_mutually_exclusive_group()
    figures.add_argument("--figure", metavar="FIG", help="default MODEL with the ending .png; .pdf and .svg work too")
    add_switch(figures, "--no-figure", "draw nothing")
    command.add_argument("--report", metavar="HTML", help="also a page with a map of all structures; needs chemiscope")
    _add_regression(command.add_argument_group("regression"))
    group = command.add_argument_group(
        "functions",
        "Chosen from the structures unless an option other than --size and --self-interacting says which: "
        f"--n-functions (default {N_FUNCTIONS} then), --totaldegree, or --n-max and --l-max.",
    )
    size = "unknowns in all, functions times species, of chosen functions; default 300 n^1.5 for n species, or 4000"
    add_number(group, "--size", size)
    add_species(group, required=False)
    add_functions(group, SPECIFICATION, _HELP)
    add_radial(group)
    add_self_interacting(group)
    add_labels(command)
    add_layers(command)
    add_target(command)
    add_switch(command, "--stream", "read the files anew for each pass: for sets that do not fit in memory")
    workers = command.add_mutually_exclusive_group()
    add_number(workers, "--jobs", "worker processes", 1)
    workers.add_argument("--scheduler", metavar="ADDRESS", help="work on the Dask cluster with this scheduler")
    add_threads(command)
    # Only options that were given are seen; the others are looked for in a run file first.
    defaults = {
        name: command.get_default(name) for name in vars(command.parse_args(["-"])) if name not in ("train", "run")
    }
    command.set_defaults(**dict.fromkeys(defaults), run=partial(_run, defaults))


def _add_regression(group: Any) -> None:
    group.add_argument("--solver", choices=OPTIONS, default="auto", help="default auto, which needs no options")
    group.add_argument(
        "--solver-option",
        action="append",
        default=[],
        type=assignment(float, "alpha=1e-6"),
        metavar="NAME=X",
        help=f"may be repeated; {'; '.join(f'{s}: ' + ', '.join(names) for s, names in OPTIONS.items() if names)}",
    )
    group.add_argument("--prior", choices=KINDS, default="algebraic", help="of smoothness; default algebraic")
    group.add_argument(
        "--weights",
        action="append",
        default=[],
        type=weights,
        metavar="[GROUP=]E,F,V",
        help="of energies, forces, virials, for all or for one config_type; may be repeated; default 30,1,1",
    )
    add_number(group, "--folds", "report errors of K folds left out", least=2, metavar="K")
    group.add_argument(
        "--calibrate-by",
        default="structure",
        metavar="GROUP",
        help="what is left out together to calibrate standard deviations: structure (default), file, config_type, "
        "a name in the comment lines, or none; frames of one trajectory belong together",
    )
    group.add_argument(
        "--e0",
        type=reference_energies,
        default="auto",
        metavar="E0",
        help="energies of isolated atoms: isolated (in the data), lstsq (least squares), 0, or eV such as "
        "Cu=-3.5,Zr=-8; default: isolated if they are there, else lstsq",
    )
    group.add_argument(
        "--core",
        type=core,
        metavar="zbl|none|INNER,OUTER",
        help="ZBL repulsion below the shortest distances of the data (default), none, or one that is switched off "
        "between two distances in Å",
    )
    group.add_argument(
        "--embedding",
        choices=EMBEDDINGS,
        help="site energies ρ_1 + f(ρ_2), trained from the linear fit; default: linear",
    )


def _run(defaults: Mapping[str, Any], given: argparse.Namespace) -> None:
    arguments = _resolved(defaults, {name: x for name, x in vars(given).items() if x is not None})
    run_file = f"{os.path.splitext(arguments.output)[0]}.toml"
    figure, kind = _figure(arguments)
    _spare_inputs(arguments, run_file)
    check_outputs({"-o": arguments.output, "--figure": figure, "run file": run_file, "--report": arguments.report})
    _check_options(arguments)
    structures = _structures(arguments)
    species = arguments.species or species_of(chain.from_iterable(structures[name] for name in arguments.train))
    basis = _basis(species, arguments)
    for name, k, atoms in ((name, k, atoms) for name, found in structures.items() for k, atoms in enumerate(found)):
        if basis is None:
            _check_species(species, atoms, f"{name}[{k}]")
        else:
            basis.species_indices(atoms, f"{name}[{k}]")
    sets: Any = (_labels if arguments.target is None else target_sets)(structures, arguments)
    train, test = sets
    chosen = "chosen from the structures" if basis is None else _in_words(basis)
    print(f"basis   {chosen}\n")
    with workers_of(arguments) as workers, atomic_write(figure) if figure else nullcontext() as drawn:
        with atomic_write(arguments.output) as written:
            model = _fit(train, basis, workers, _calibration_groups(structures, arguments), arguments)
            model = model.with_report({"fitted to": arguments.train, "labels": str(train)})
            model.save(written)  # before anything else can go wrong
        work = {"workers": workers, "num_threads": arguments.threads}
        errors = [model.errors(data, **work) for data in (train, test) if data]
        if test:
            print(f"\nerrors on structures that were not fitted: {', '.join(arguments.test)}\n{errors[1]}")
        tables = {f"errors, {name}": str(found) for name, found in zip(("training", "test"), errors)}
        if not isinstance(model, TensorModel):
            physics = str(check_physics(model, (item.atoms for item in train)))
            print(f"\n{physics}")
            tables |= {"physics": physics}
        model = model.with_report(tables)
        model.save(arguments.output)
        write_run_file(run_file, _run_values(arguments, model))
        Checkpoints(_progress_folder(arguments)).clear()
        bases = model.bases if isinstance(model, TensorModel) else (model.basis,)
        print("".join(f"\nbasis   {_in_words(found)}" for found in bases))
        print(f"wrote   {arguments.output}\nwrote   {run_file}")
        if drawn is not None:
            _draw(model, errors, drawn, kind)
    if figure:
        print(f"wrote   {figure}")
    if arguments.report is not None and not isinstance(model, TensorModel):
        shown = list(chain.from_iterable(structures.values()))
        write_page(shown, arguments.report, model, list(structures), **label_arguments(arguments))


# --- run files ----------------------------------------------------------------------------------------------------


def _resolved(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> argparse.Namespace:
    """Options that were given, before those of a run file, before defaults."""
    stored: dict[str, Any] = {}
    options = dict(given)
    if len(given["train"]) == 1 and given["train"][0].endswith(".toml"):
        stored = read_run_file(options.pop("train")[0])
        unknown = sorted(set(stored) - set(defaults) - {"train", *_OF_RUN_FILES})
        if unknown or "train" not in stored:
            problem = f"unknown entries {', '.join(unknown)}" if unknown else "no entry train"
            raise ValueError(f"{given['train'][0]}: {problem}")
        if _FUNCTIONS & set(given):  # functions are chosen anew, and what was chosen with them
            chosen = stored.get("chosen", False)
            dropped = {"basis", "chosen", "reasons", *(("weights", "folds", "prior") if chosen else ())}
            stored = {name: x for name, x in stored.items() if name not in dropped}
        if {"train", "weights", "folds"} & set(options):
            stored.pop("reasons", None)  # they were of others
        for name, family in (("core", PairCore), ("prior", SmoothnessPrior)):
            if isinstance(stored.get(name), Mapping):
                stored[name] = family.from_dict(stored[name])
        for name in ("weights", "solver_option"):
            stored[name] = list(stored.get(name, {}).items())
    arguments = argparse.Namespace(**{**defaults, **dict.fromkeys(_OF_RUN_FILES), **stored, **options})
    if arguments.output is None:
        raise ValueError("-o/--output MODEL is needed: the file to write, such as Si.ace")
    return arguments


def _run_values(arguments: argparse.Namespace, model: Model) -> dict[str, Any]:
    """What `_resolved` reads."""
    values = {name: x for name, x in vars(arguments).items() if name not in (*_FUNCTIONS, *_OF_WORK)}
    values |= {name: x.to_dict() for name, x in values.items() if isinstance(x, PairCore | SmoothnessPrior)}
    values["solver_option"] = dict(arguments.solver_option)
    chosen = arguments.chosen or not (arguments.basis or basis_arguments(arguments) or arguments.species)
    return {**values, "chosen": chosen, **model.report["choices"]}


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


def _basis(species: Sequence[str], arguments: argparse.Namespace) -> ACEBasis | None:
    """The basis of a run file, or of options; None where it is to be chosen from the structures."""
    if arguments.basis is not None:
        return ACEBasis.from_dict(arguments.basis)
    given = basis_arguments(arguments)
    if not given and not arguments.species and arguments.target is None:
        return None
    if arguments.size is not None:
        options = ", ".join(
            f"--{name.replace('_', '-')}" for name in (*given, "species") if getattr(arguments, name, 0)
        )
        raise ValueError(f"--size is for functions that are chosen from the structures; {options} says which")
    if not any(name in given for name in _CHOICES):
        given["n_functions"] = N_FUNCTIONS
    if arguments.target is not None:
        given["irrep"] = RANKS[arguments.rank][0]
    return ACEBasis(species, canonical=not arguments.self_interacting, **given)


def _check_species(species: Sequence[str], atoms: Atoms, name: str) -> None:
    unknown = sorted(set(atoms.symbols) - set(species))
    if unknown:
        raise SpeciesError(f"{name} holds {', '.join(unknown)}, but the structures to be fitted {', '.join(species)}")


def _in_words(basis: ACEBasis) -> str:
    return f"{describe(basis)}: {plural(len(basis), 'function')}"


def _calibration_groups(
    structures: Mapping[str, StructureFiles | list[Atoms]], arguments: argparse.Namespace
) -> str | list[str] | None:
    if arguments.calibrate_by == "file":
        return [name for name in arguments.train for _ in range(len(structures[name]))]
    return None if arguments.calibrate_by == "none" else arguments.calibrate_by


def _fit(
    train: LabeledSet | TensorSet,
    basis: ACEBasis | None,
    workers: Any,
    calibrate_by: str | list[str] | None,
    arguments: argparse.Namespace,
) -> Model:
    if isinstance(train, TensorSet):
        assert basis is not None  # is chosen for potentials alone
        return fit_target(train, basis, workers, calibrate_by, arguments)
    start = perf_counter()
    fit: Callable[..., LinearACE | EmbeddedACE | LayeredACE] = partial(LinearACE.fit, calibrate_by=calibrate_by)
    if arguments.embedding is not None:
        fit = partial(EmbeddedACE.fit, embedding=arguments.embedding, calibrate_by=calibrate_by)
    if arguments.layers is not None:
        fit = partial(fit_layered, arguments=arguments)
    try:
        model = fit(
            train,
            basis,
            size=arguments.size,
            canonical=not arguments.self_interacting,
            folds=arguments.folds,
            weights=dict(arguments.weights) or None,
            E0s=arguments.e0,
            prior=arguments.prior,
            solver=arguments.solver,
            options=dict(arguments.solver_option),
            core=None if arguments.core == "none" else arguments.core or "zbl",
            checkpoint=_progress_folder(arguments),
            workers=workers,
            num_threads=arguments.threads,
        )
    except (TypeError, ValueError):
        Checkpoints(_progress_folder(arguments)).clear()  # nothing goes on from wrong input
        raise
    print(f"\nfitted  in {perf_counter() - start:.1f} s")
    if arguments.reasons is not None:  # of the fit that made the choices
        choices = {**model.report["choices"], "reasons": arguments.reasons}
        model = model.with_report({"summary": [*arguments.reasons, *model.report["summary"]], "choices": choices})
    return model


def _progress_folder(arguments: argparse.Namespace) -> str:
    """Where results of finished stages are until the model is written: a fit that was stopped goes on from there."""
    return f"{arguments.output}.progress"


def _draw(model: Model, errors: Sequence[Any], path: os.PathLike[str], kind: str) -> None:
    from acepure.plotting import potential_figure, tensor_figure

    figure = tensor_figure(*errors) if isinstance(model, TensorModel) else potential_figure(model, *errors)
    figure.savefig(path, format=kind)


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


def _spare_inputs(arguments: argparse.Namespace, run_file: str) -> None:
    """Raise if the model would replace structures, or its own run file."""
    for name in (*arguments.train, *arguments.test):
        if os.path.realpath(name) == os.path.realpath(arguments.output):
            raise ValueError(f"-o {arguments.output} would replace the structures in {name!r}; choose another name")
    if os.path.realpath(run_file) == os.path.realpath(arguments.output):
        raise ValueError(f"-o {arguments.output} would be replaced by its own run file; choose another ending")


def _check_options(arguments: argparse.Namespace) -> None:
    """Raise before the work, not when it is time to solve."""
    check_target_options(arguments)
    check_layers(arguments)
    if arguments.report is not None:
        check_page("--report", arguments.report)
        if arguments.target:
            raise ValueError("--report is for potentials, not together with --target")
    allowed = OPTIONS[arguments.solver]
    for name, _ in arguments.solver_option:
        if name not in allowed:
            takes = ", ".join(allowed) or "no options"
            raise ValueError(f"--solver-option {name}: solver {arguments.solver} takes {takes}")
    if arguments.solver == "ard" and find_spec("sklearn") is None:
        raise ValueError('--solver ard needs scikit-learn: pip install "acepure[sklearn]"')
