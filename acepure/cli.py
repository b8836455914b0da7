"""The command line: `acepure descriptors`, `acepure basis`, `acepure demo`, `acepure show-config`.

Each command is a function from parsed arguments to nothing; it prints what it did. What users can put right becomes one
line on stderr and exit code 2, anything else keeps its traceback.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import ase.io
import numpy as np
from ase import Atoms

import acepure
from acepure.api import ARRAY_NAME, INFO_NAME
from acepure.arguments import SYNONYMS
from acepure.checks import count, symbol
from acepure.config import show_config
from acepure.descriptor import ACEBasis
from acepure.evaluation import resolve_num_threads
from acepure.files import atomic_write
from acepure.structures import species_of, structure_list

__all__ = ["main"]

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells do

_EXTENDED_XYZ = (".extxyz", ".xyz")
_ENDINGS = (".npz", *_EXTENDED_XYZ)

_EXAMPLES = """\
examples:
  acepure demo
  acepure basis --species Cu --order 3 --totaldegree 12
  acepure descriptors copper.cif -o copper.npz --rcut 5.5 --order 3 --totaldegree 12
  acepure descriptors run.traj -o run.extxyz --index=-10: --totaldegree 20,16,12 --wL 1.5 --n-start 1

`acepure COMMAND --help` explains one command.
"""

_DESCRIPTORS_EPILOG = """\
examples:
  acepure descriptors copper.cif -o copper.npz
  acepure descriptors run.traj -o run.npz --index ::10 --species Cu Zr --rcut 6 --order 3 --totaldegree 10
  acepure descriptors CuZr.vasp -o CuZr.extxyz --n-max 4 --l-max 6 --order 2

what the files hold:
  .npz            descriptors  (atoms of all structures, features)
                  offsets      structure k has the rows offsets[k] to offsets[k + 1]
                  labels       the name of each feature: species, n, l, coupling
                  basis        JSON text, for ACEBasis.from_dict(json.loads(...))
  .extxyz, .xyz   the structures, with the features per atom as the array acepure_descriptors and the basis
                  as acepure_basis; this format keeps 8 digits after the point, .npz keeps all
"""

_BASIS_EPILOG = """\
examples:
  acepure basis --species Cu --order 3 --totaldegree 12
  acepure basis --species Cu Zr --totaldegree 20,16,12 --wL 1.5 --n-start 1
  acepure basis --species Si --order 4 --n-functions 500

columns:
  features    invariant functions B
  products    products of neighbor sums that B is made of
  extended    products that evaluation computes; those that take self-interaction out are among them
  C, C_ext    maps from products and from extended products to invariants
  P_B         map that takes self-interaction out of invariants: B = P_B C_ext AA_ext
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the name of the program; default: those of the process.

    Returns
    -------
    int
        Exit code: 0, or 2 after an error that was explained on stderr.

    Examples
    --------
    >>> main(["--version"])  # doctest: +ELLIPSIS
    acepure ...
    0
    """
    if argv is None:
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")  # terminals without ν and Å
    parser = _parser()
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as end:  # argparse has printed help, the version or an error
        return int(end.code or 0)
    if "run" not in arguments:
        parser.print_help(sys.stderr)
        return EXIT_ERROR
    try:
        arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("acepure: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, TypeError, OSError) as error:
        print(f"acepure: error: {_one_line(error)}", file=sys.stderr)
        return EXIT_ERROR
    return 0


# --- commands --------------------------------------------------------------------------------------------------


def _run_descriptors(arguments: argparse.Namespace) -> None:
    output = Path(arguments.output)
    if output.suffix.lower() not in _ENDINGS:
        raise ValueError(f"-o {arguments.output}: the name must end in {', '.join(_ENDINGS[:-1])} or {_ENDINGS[-1]}")
    threads = resolve_num_threads(arguments.threads)
    with atomic_write(output) as temporary:
        structures = _read(arguments.input, arguments.index)
        n_atoms = sum(map(len, structures))
        species = arguments.species or species_of(structures)
        start = perf_counter()
        basis = _ready_basis(species, arguments)
        set_up = perf_counter() - start
        print(f"read    {_plural(len(structures), 'structure')}, {_plural(n_atoms, 'atom')}: {arguments.input}")
        print(f"basis   {_describe(basis)}; set up in {set_up:.2f} s")
        start = perf_counter()
        features = basis.descriptors(structures, num_threads=threads)
        seconds = perf_counter() - start
        print(
            f"done    {_plural(len(basis), 'feature')} per atom in {seconds:.3f} s, "
            f"{1e6 * seconds / n_atoms:.1f} µs per atom, {_plural(threads, 'thread')}"
        )
        if output.suffix.lower() in _EXTENDED_XYZ:
            _write_extxyz(temporary, structures, features, basis)
        else:
            _write_npz(temporary, features, basis)
    print(f"wrote   {arguments.output}: {_size(output.stat().st_size)}")


def _run_basis(arguments: argparse.Namespace) -> None:
    start = perf_counter()
    basis = _ready_basis(arguments.species, arguments)
    set_up = perf_counter() - start
    print(f"{_describe(basis)}\n\n{_basis_table(basis)}\n\nset up in {set_up:.2f} s")


def _run_demo(arguments: argparse.Namespace) -> None:
    from acepure.demo import run  # matplotlib is not needed otherwise

    run(arguments.output, arguments.threads)


def _run_show_config(arguments: argparse.Namespace) -> None:
    show_config()


# --- parts of the commands -------------------------------------------------------------------------------------


def _read(name: str, index: str) -> list[Atoms]:
    try:
        found = ase.io.read(name, index=index)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"cannot read {name!r}: there is no such file") from error
    except (IndexError, StopIteration) as error:
        raise ValueError(f"cannot read {name!r}: it holds no structure for --index {index}") from error
    except Exception as error:  # parsers of file formats raise whatever comes up
        raise OSError(f"cannot read {name!r}: {type(error).__name__}: {error}") from error
    found = [found] if isinstance(found, Atoms) else found
    if not found:
        raise ValueError(f"cannot read {name!r}: it holds no structure for --index {index}")
    return structure_list(found, name)


def _ready_basis(species: Sequence[str], arguments: argparse.Namespace) -> ACEBasis:
    """Build the basis and its compiled tables, which otherwise the first structure would wait for."""
    given = {name: value for name in _SPECIFICATION if (value := getattr(arguments, name)) is not None}
    basis = ACEBasis(species, canonical=not arguments.self_interacting, **given)
    basis.descriptors(Atoms(basis.species[0]), num_threads=1)
    return basis


def _describe(basis: ACEBasis) -> str:
    specification = basis.specification
    if specification.totaldegree is not None:
        functions = f"total degree {_per_order(specification.totaldegree)}"
        functions += f" (wL = {specification.wL:g}, n from {specification.n_start})"
    else:
        functions = f"n_max {_per_order(specification.n_max)}, l_max {_per_order(specification.l_max)}"
    kind = "canonical" if basis.canonical else "self-interacting"
    return f"{kind}, {' '.join(basis.species)}, rcut {basis.rcut:g} Å, order {basis.order}, {functions}"


def _per_order(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in (values if len(set(values)) > 1 else values[:1]))


def _basis_table(basis: ACEBasis) -> str:
    """Sizes and non-zeros by order, and the shapes and densities of the operators."""
    operators = basis.operators(basis.species[0])
    n_orders = basis.order
    products = _orders(operators.products)
    extended = _orders(operators.extended_products)
    rows = {
        "features": basis.specification.sizes,
        "products": _by_order(products, np.ones(len(products)), n_orders),
        "extended": _by_order(extended, np.ones(len(extended)), n_orders),
    }
    maps = {"C": operators.symmetrization}
    if basis.canonical:
        maps |= {"C_ext": operators.extended_symmetrization, "P_B": operators.invariant_purification}
    # Invariants do not mix orders, so that the first product of a row tells the order of the row.
    feature_orders = products[maps["C"].indices[maps["C"].indptr[:-1]]]
    for name, matrix in maps.items():
        C_ext = operators.extended_symmetrization
        orders = extended[C_ext.indices[C_ext.indptr[:-1]]] if name == "C_ext" else feature_orders
        rows[f"nnz {name}"] = _by_order(orders, np.diff(matrix.indptr), n_orders)
    lines = [f"{'':8}" + "".join(f"{name:>12}" for name in rows)]
    for nu in range(1, n_orders + 1):
        lines.append(f"{f'ν = {nu}':8}" + "".join(f"{int(counts[nu - 1]):12,}" for counts in rows.values()))
    lines.append(f"{'all':8}" + "".join(f"{int(sum(counts)):12,}" for counts in rows.values()))
    lines += ["", f"{'':8}{'rows':>12}{'columns':>12}{'non-zeros':>12}{'density':>12}"]
    for name, matrix in maps.items():
        n_rows, n_columns = matrix.shape
        density = f"{100 * matrix.nnz / (n_rows * n_columns):.3g} %"
        lines.append(f"{name:8}{n_rows:12,}{n_columns:12,}{matrix.nnz:12,}{density:>12}")
    return "\n".join(lines)


def _orders(products: Any) -> np.ndarray:
    """Correlation order of each product of a `ProductSet`."""
    return np.concatenate([np.full(len(run), run.shape[1]) for run in products.factors])


def _by_order(orders: np.ndarray, weights: np.ndarray, n_orders: int) -> np.ndarray:
    return np.bincount(orders, weights, minlength=n_orders + 1)[1 : n_orders + 1]


def _write_npz(path: Path, features: list[np.ndarray], basis: ACEBasis) -> None:
    arrays = {
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


def _plural(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _size(n_bytes: int) -> str:
    size = float(n_bytes)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


# --- arguments -------------------------------------------------------------------------------------------------

# Options that take several words also take a file name that follows them.
_FILES_FIRST = "; a file is named before such an option"

_SPECIFICATION = ("rcut", "order", "totaldegree", "wL", "n_max", "l_max", "n_functions", "n_start")


class _OneOrList(argparse.Action):
    """Numbers given as several words, as a comma list, or as one; one stays a number, which serves all orders."""

    def __call__(self, parser, namespace, values, option_string=None):
        numbers = [number for word in values for number in word]
        setattr(namespace, self.dest, numbers[0] if len(numbers) == 1 else numbers)


def _comma_list(kind: type, example: str):
    def convert(text: str) -> list:
        try:
            return [kind(part) for part in text.rstrip(",").split(",")]
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a number or a comma list such as {example}{_FILES_FIRST}"
            ) from None

    return convert


def _symbols(text: str) -> list[str]:
    try:
        return [symbol("species", name) for name in text.rstrip(",").split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a chemical symbol such as Cu{_FILES_FIRST}") from None


def _positive(text: str) -> int:
    try:
        return count("--threads", int(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer >= 1") from None


class _Symbols(argparse.Action):
    """Chemical symbols given as several words or as a comma list."""

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, [name for word in values for name in word])


def _add_specification(parser: argparse.ArgumentParser, species_required: bool) -> None:
    group = parser.add_argument_group(
        "functions", "Choose them in one way: --totaldegree (default 6), --n-max and --l-max, or --n-functions."
    )
    default = "" if species_required else "; default: those in the file. Name them when files are to be compared"
    group.add_argument(
        "--species",
        nargs="+",
        type=_symbols,
        action=_Symbols,
        required=species_required,
        metavar="Cu",
        help=f"chemical symbols{default}",
    )
    numbers, integers = _comma_list(float, "20,16,12"), _comma_list(int, "8,4,2")
    several = {"nargs": "+", "action": _OneOrList}
    for name, help_text, options in (
        ("rcut", "cutoff in Å; default 5", {"type": float, "metavar": "R"}),
        ("order", "largest correlation order ν, body order minus one; default 3", {"type": int, "metavar": "NU"}),
        ("totaldegree", "largest Σ (n + wL·l), one or one per order", {"type": numbers, "metavar": "D", **several}),
        ("wL", "weight of l in the total degree; default 1", {"type": float, "metavar": "W"}),
        ("n_max", "number of radial functions, one or one per order", {"type": integers, "metavar": "N", **several}),
        ("l_max", "largest degree l, one or one per order", {"type": integers, "metavar": "L", **several}),
        ("n_functions", "the largest set with at most so many functions", {"type": int, "metavar": "N"}),
        ("n_start", "first radial label; default 0 (1 as in ACEpotentials)", {"type": int, "metavar": "N"}),
    ):
        group.add_argument(f"--{name.replace('_', '-')}", dest=name, help=help_text, **options)
        spellings = {name, *(spelling for spelling, here in SYNONYMS.items() if here == name)}
        flags = {f"--{text}" for word in spellings for text in (word, word.replace("_", "-"))}
        flags.discard(f"--{name.replace('_', '-')}")
        if flags:  # understood as in Python, but one spelling is enough for the help text
            group.add_argument(*sorted(flags), dest=name, help=argparse.SUPPRESS, **options)
    group.add_argument(
        "--self-interacting", action="store_true", help="plain products of neighbor sums instead of canonical features"
    )


def _add_threads(parser: argparse.ArgumentParser) -> None:
    default = "default: ACEPURE_NUM_THREADS, else OMP_NUM_THREADS, else all cores"
    parser.add_argument("--threads", type=_positive, metavar="N", help=default)


def _parser() -> argparse.ArgumentParser:
    style: dict[str, Any] = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
    parser = argparse.ArgumentParser(
        prog="acepure",
        description="Canonical, self-interaction-free features of the Atomic Cluster Expansion.",
        epilog=_EXAMPLES,
        **style,
    )
    parser.add_argument("--version", action="version", version=f"acepure {acepure.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    command = commands.add_parser(
        "descriptors",
        help="compute the features of every atom in a file",
        description="Read structures in any format that ASE knows, compute the features of every atom, and write them.",
        epilog=_DESCRIPTORS_EPILOG,
        **style,
    )
    command.add_argument("input", metavar="IN", help="file of structures")
    command.add_argument("-o", "--output", metavar="OUT", required=True, help="file to write: .npz, .extxyz or .xyz")
    command.add_argument(
        "--index",
        default=":",
        help="which structures, as in ASE: 0, ::10, or --index=-10: for the last ten; default all",
    )
    _add_threads(command)
    _add_specification(command, species_required=False)
    command.set_defaults(run=_run_descriptors)

    command = commands.add_parser(
        "basis",
        help="show how large a basis is, and how sparse its operators",
        description="Show the sizes of a basis, the non-zeros of its operators, and how long it takes to set up.",
        epilog=_BASIS_EPILOG,
        **style,
    )
    _add_specification(command, species_required=True)
    command.set_defaults(run=_run_basis)

    command = commands.add_parser(
        "demo",
        help="tell crystals and liquids apart, in a few seconds",
        description="Describe FCC, BCC and HCP crystals, clean, rattled and molten; print a table, draw a map.",
        **style,
    )
    default = "acepure_demo.png"
    command.add_argument(
        "-o", "--output", metavar="FIGURE", default=default, help=f"default {default}; .pdf and .svg work too"
    )
    _add_threads(command)
    command.set_defaults(run=_run_demo)

    command = commands.add_parser(
        "show-config",
        help="show versions, kernels and threads",
        description="Show versions, which kernels there are and which is used, and the number of threads.",
        **style,
    )
    command.set_defaults(run=_run_show_config)
    return parser


if __name__ == "__main__":
    sys.exit(main())
