"""`acepure conditioning`: which basis is well conditioned on structures of yours."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms

from acepure._utils.files import atomic_write
from acepure.cli.options import (
    RADIAL_HELP,
    add_figure,
    add_functions,
    add_index,
    add_number,
    add_radial,
    add_species,
    add_threads,
)
from acepure.cli.parts import basis_arguments, check_outputs, plural, read
from acepure.diagnostics import Comparison, compare_references
from acepure.diagnostics.environments import environments_by_species
from acepure.features.basis import ACEBasis
from acepure.structures.gate import species_of

_FUNCTIONS = ("rcut", "order", "totaldegree")
_ENOUGH = 10  # environments for each column
_SIZE = (7.2, 6.4)  # inches; twelve rows

_EPILOG = f"""\
examples:
  acepure conditioning train.extxyz
  acepure conditioning train.extxyz --frames 30 --rcut 5.5 --order 3 --totaldegree 8 -o conditioning.pdf

Self-interacting, canonical and centered bases of the same functions are compared on the same environments. All but the
plain ones know the radial density of the file, or means and covariances of its neighbor sums. The column "held out"
says what is left when half of the structures decide and the other half is looked at: frames of a trajectory that follow
each other are alike, so take them at random (--frames).

Each species of center needs more environments than there are features, and twice as many for "held out": take more
structures (--frames), more atoms of each (--atoms-per-structure), or fewer functions.

{RADIAL_HELP}"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "conditioning",
        _run,
        help="compare the conditioning of canonical and other bases on structures",
        description="Read structures in any format that ASE knows, compare bases on them, and recommend one.",
        epilog=_EPILOG,
    )
    command.add_argument("input", metavar="DATA", help="file of structures")
    add_figure(command, "acepure_conditioning.png")
    add_index(command)
    add_number(command, "--frames", "so many structures of these, at random")
    add_number(command, "--atoms-per-structure", "so many atoms of each structure, at random", 20)
    add_number(command, "--seed", "of the random numbers", 0, least=0)
    add_threads(command)
    group = command.add_argument_group("functions")
    add_species(group, required=False)
    add_functions(group, _FUNCTIONS)
    add_radial(group)


def _run(arguments: argparse.Namespace) -> None:
    from acepure.plotting import figure_format

    kind = figure_format("-o", arguments.output)
    check_outputs({"-o": arguments.output})
    with atomic_write(arguments.output) as temporary:
        structures = read(arguments.input, arguments.index)
        n_read = len(structures)
        if arguments.frames is not None:
            rng = np.random.default_rng(arguments.seed)
            chosen = rng.choice(n_read, min(arguments.frames, n_read), replace=False)
            structures = [structures[k] for k in chosen]
        print(f"read    {plural(n_read, 'structure')}: {arguments.input}\n")
        functions = basis_arguments(arguments, _FUNCTIONS)
        species = arguments.species or species_of(structures)
        sampling = {"atoms_per_structure": arguments.atoms_per_structure, "seed": arguments.seed}
        _print_shortage(structures, len(ACEBasis(species, **functions)), sampling)
        comparison = compare_references(
            structures, species=species, num_threads=arguments.threads, **sampling, **functions
        )
        print(comparison)
        _draw(comparison, temporary, kind)
    print(f"\nwrote   {arguments.output}")


def _print_shortage(structures: Sequence[Atoms], n_features: int, sampling: dict[str, Any]) -> None:
    """Say before the work which species of center have few environments for so many columns, and what helps."""
    n_columns = 1 + n_features
    counts = environments_by_species(structures, **sampling)
    few = {center: n for center, n in counts.items() if n < n_columns}
    if not few:
        _print_caution(counts, n_columns)
        return
    in_all = environments_by_species(structures)
    found = ", ".join(f"{n:,} of {center} ({in_all[center]:,} in all atoms)" for center, n in few.items())
    enough = all(in_all[center] >= n_columns for center in few)
    more = "raise --atoms-per-structure" if enough else "take more structures"
    print(
        f"note    too few environments: {found}, but {n_columns:,} columns (the features and 1);\n"
        "        columns will be dependent, and condition numbers infinite: "
        f"{more}, or lower --totaldegree or --order\n",
        flush=True,
    )


def _print_caution(counts: Mapping[str, int], n_columns: int) -> None:
    """Say what the size of the sample alone does to condition numbers.

    Of p independent columns of unit variance and n environments, the covariance has a condition number of about
    ((√n + √p)/(√n − √p))² (Marchenko and Pastur).
    """
    center, n = min(counts.items(), key=lambda item: item[1])
    if n >= _ENOUGH * n_columns:
        return
    p, q = math.sqrt(n_columns), math.sqrt(n)
    apparent = "without bound" if n == n_columns else f"about {((q + p) / (q - p)) ** 2:.2g}"
    print(
        f"note    {n:,} environments of {center} for {n_columns:,} columns (the features and 1), less than ten each:\n"
        f"        the sample alone makes condition numbers of covariances {apparent}, even of independent columns;\n"
        "        --frames counts structures, --atoms-per-structure atoms of each\n",
        flush=True,
    )


def _draw(comparison: Comparison, path: os.PathLike[str], kind: str) -> None:
    from acepure.plotting import new_figure, plot_comparison

    figure = new_figure(*_SIZE)
    plot_comparison(comparison, ax=figure.subplots())
    figure.savefig(path, format=kind)
