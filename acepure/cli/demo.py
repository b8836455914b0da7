"""`acepure demo`: crystals and liquids told apart, and how large self-interaction is, in a table and a figure.

Three lattices, each clean, rattled and molten, are described by canonical and by self-interacting features:

    demo_structures → compare → format_table, features_figure

Different elements would be told apart by size alone. So all structures get the density of copper and one nominal
species, and what features see is the arrangement of the atoms.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from time import perf_counter
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from scipy.sparse import csr_array

from acepure import _kernels
from acepure._utils.checks import count, number
from acepure._utils.files import atomic_write
from acepure._utils.threads import resolve_num_threads
from acepure.cli.options import add_figure, add_threads
from acepure.cli.parts import check_outputs
from acepure.diagnostics import self_interaction
from acepure.features.basis import ACEBasis
from acepure.neighbors.lists import NeighborList, neighbor_list
from acepure.structures.gate import check_structure

RCUT = 5.0
#: The basis of the demo.
ARGUMENTS: Mapping[str, Any] = {"species": ["Cu"], "rcut": RCUT, "order": 3, "totaldegree": 12}
#: Å³ per atom, of copper.
VOLUME = 11.8
#: Displacement along each axis in Å; that of atoms in copper at room temperature.
RATTLE = 0.08
#: Packing fraction of a liquid metal at its melting point (Ashcroft and Lekner, Phys. Rev. 145, 83 (1966)).
PACKING = 0.45

_REPETITIONS = 5

# Hard spheres melt while smaller, then grow as far as the nearest pair lets them, then settle. Lengths in diameters.
_MELTING_DIAMETER, _MELTING_SWEEPS, _STEP, _GROWTH = 0.7, 100, 0.1, 1.01
# Without them fluids remember how they were pressed, and the three liquids of the demo differ.
_SETTLING_SWEEPS = 400
_MOST_SWEEPS = 3000


def add(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "demo",
        _run,
        help="tell crystals and liquids apart, in a few seconds",
        description="Describe FCC, BCC and HCP crystals, clean, rattled and molten; print a table, draw a map.",
    )
    add_figure(command, "acepure_demo.png")
    add_threads(command)


def _run(arguments: argparse.Namespace) -> None:
    check_outputs({"-o": arguments.output})
    run(arguments.output, arguments.threads)


@dataclass(frozen=True)
class Sample:
    """A structure of the demo: crystal it was made from, what was done to it, and the atoms."""

    crystal: str
    condition: str
    atoms: Atoms

    @property
    def name(self) -> str:
        """Both words."""
        return f"{self.crystal} {self.condition}"


@dataclass(frozen=True)
class Comparison:
    """What the demo measures on one sample.

    Attributes
    ----------
    sample : Sample
    neighbors : float
        Per atom, inside the cutoff.
    microseconds : float
        Per atom, for canonical features, neighbor list included; the shortest of five runs.
    shares : dict of int to float
        Correlation order ν → ‖B_self − B_canonical‖ / ‖B_self‖ over all atoms and features of that order.
    averages : numpy.ndarray, shape (n_atoms, n_features)
        Canonical features, averaged over each atom and its neighbors.
    """

    sample: Sample
    neighbors: float
    microseconds: float
    shares: dict[int, float]
    averages: np.ndarray


def demo_structures() -> list[Sample]:
    """Return FCC, BCC and HCP crystals of one density, each clean, rattled and liquid; the same at every call."""
    crystals = {
        "FCC Cu": bulk("Cu", "fcc", cubic=True) * (4, 4, 4),
        "BCC Fe": bulk("Fe", "bcc", cubic=True) * (5, 5, 5),
        "HCP Mg": bulk("Mg", "hcp") * (6, 6, 4),
    }
    samples = []
    for seed, (name, original) in enumerate(crystals.items()):
        stretch = (VOLUME * len(original) / original.get_volume()) ** (1 / 3)
        positions, cell = stretch * original.positions, stretch * original.cell.array
        crystal = Atoms(["Cu"] * len(original), positions, cell=cell, pbc=True)
        rattled = crystal.copy()
        rattled.rattle(RATTLE, seed=seed)
        molten = hard_sphere_fluid(crystal, seed=seed)
        for condition, atoms in (("clean", crystal), ("rattled", rattled), ("liquid", molten)):
            samples.append(Sample(name, condition, atoms))
    return samples


def hard_sphere_fluid(atoms: Atoms, packing: float = PACKING, seed: int = 0) -> Atoms:
    """Melt a periodic structure at its density, by random moves of hard spheres.

    At packing fractions below 0.49 hard spheres are a fluid: a crystal of them melts when shaken. Here they are shaken
    while smaller, then grow until the packing fraction is reached, then settle.

    Parameters
    ----------
    atoms : ase.Atoms
        Periodic along all axes; not modified.
    packing : float
        Part of the volume that the spheres fill, at most 0.49.
    seed : int
        Of the random numbers.

    Returns
    -------
    ase.Atoms
        No two atoms are nearer than the diameter (6 · packing · volume / (π · n_atoms))^(1/3).

    Raises
    ------
    RuntimeError
        If the spheres got stuck.
    """
    check_structure(atoms)
    if not atoms.pbc.all():
        raise ValueError(f"atoms must be periodic along all axes; got pbc={atoms.pbc.tolist()}")
    packing = number("packing", packing, above=0)
    if packing > 0.49:
        raise ValueError(f"packing must be at most 0.49, where hard spheres begin to freeze; got {packing!r}")
    rng = np.random.default_rng(count("seed", seed, least=0))
    fluid = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
    final = (6 * packing * atoms.get_volume() / (np.pi * len(atoms))) ** (1 / 3)
    diameter, step = _MELTING_DIAMETER * final, _STEP * final
    settled = 0
    for sweep in range(_MOST_SWEEPS):
        # Two atoms that move towards each other come nearer by two steps at most.
        pairs = neighbor_list(fluid, final + 2.001 * step)
        distances = np.linalg.norm(pairs.vectors, axis=1)
        if sweep >= _MELTING_SWEEPS:
            closest = distances.min(initial=np.inf)
            diameter = min(final, max(diameter, _GROWTH * closest))
            settled += closest >= final
        if settled > _SETTLING_SWEEPS:
            return fluid
        fluid.positions += _allowed(pairs, distances, diameter, _random_steps(rng, len(fluid), step))
    raise RuntimeError(f"{len(atoms)} spheres got stuck below packing={packing:g}; try a seed other than {seed}")


def _random_steps(rng: np.random.Generator, n: int, longest: float) -> np.ndarray:
    """Uniform in a ball."""
    directions = rng.normal(size=(n, 3))
    lengths = longest * rng.uniform(size=(n, 1)) ** (1 / 3)
    return lengths * directions / np.linalg.norm(directions, axis=1, keepdims=True)


def _allowed(pairs: NeighborList, distances: np.ndarray, diameter: float, steps: np.ndarray) -> np.ndarray:
    """The steps, zero for atoms that would come nearer to another than the diameter, and nearer than they are.

    All atoms move at once, so a step must be free whether the other atom moves or stays.
    """
    i = np.repeat(pairs.centers, np.diff(pairs.offsets))
    limit = np.minimum(distances, diameter)
    stays = pairs.vectors - steps[i]
    moves = stays + steps[pairs.neighbors]
    blocked = (np.linalg.norm(stays, axis=1) < limit) | (np.linalg.norm(moves, axis=1) < limit)
    steps = steps.copy()
    steps[i[blocked]] = 0.0
    return steps


def neighbor_mean(atoms: Atoms, features: np.ndarray, rcut: float) -> np.ndarray:
    """Return features averaged over each atom and its neighbors, as Lechner and Dellago do for bond order.

    What thermal motion does to single atoms averages out; the lattice stays (J. Chem. Phys. 129, 114707 (2008)).

    Parameters
    ----------
    atoms : ase.Atoms
    features : numpy.ndarray, shape (n_atoms, n_features)
    rcut : float
        In Å.
    """
    pairs = neighbor_list(atoms, rcut)
    # An atom that is near in several images has several entries in its column, and counts as often.
    weights = csr_array((np.ones(pairs.n_pairs), pairs.neighbors, pairs.offsets), shape=(len(atoms), len(atoms)))
    return (features + weights @ features) / (1 + np.diff(pairs.offsets))[:, None]


def compare(sample: Sample, num_threads: int | None = None) -> Comparison:
    """Compute canonical features of a sample, time them, and compare them with self-interacting ones."""
    atoms, basis = sample.atoms, _basis()
    times = []
    for _ in range(_REPETITIONS + 1):  # the first call may prepare the basis
        start = perf_counter()
        canonical = basis.descriptors(atoms, num_threads=num_threads)
        times.append(perf_counter() - start)
    return Comparison(
        sample=sample,
        neighbors=neighbor_list(atoms, RCUT).n_pairs / len(atoms),
        microseconds=1e6 * min(times[1:]) / len(atoms),
        shares=self_interaction(basis, atoms, num_threads=num_threads, progress=False).by_order,
        averages=neighbor_mean(atoms, canonical, RCUT),
    )


@cache
def _basis() -> ACEBasis:
    return ACEBasis(**ARGUMENTS)


def format_table(comparisons: Sequence[Comparison]) -> str:
    """Return the table that the demo prints."""
    orders = [order for order in comparisons[0].shares if order > 1]
    lines = [
        f"{'':18}{'':>7}{'neighbors':>11}{'µs':>10}   self-interaction",
        f"{'structure':18}{'atoms':>7}{'per atom':>11}{'per atom':>10}   "
        + "".join(f"{f'ν = {nu}':<9}" for nu in orders),
    ]
    for row in comparisons:
        shares = "".join(f"{f'{100 * row.shares[nu]:.1f} %':<9}" for nu in orders)
        sample = row.sample
        lines.append(f"{sample.name:18}{len(sample.atoms):7}{row.neighbors:11.1f}{row.microseconds:10.1f}   {shares}")
    return "\n".join(line.rstrip() for line in lines)


def run(output: str | os.PathLike[str] = "acepure_demo.png", num_threads: int | None = None) -> list[Comparison]:
    """Print the table and write the figure.

    Parameters
    ----------
    output : str or os.PathLike
        Figure file; its ending chooses the format.
    num_threads : int, optional
        Default: ACEPURE_NUM_THREADS, else OMP_NUM_THREADS, else all cores.

    Returns
    -------
    list of Comparison

    Raises
    ------
    ValueError
        If matplotlib does not know the ending, before any work.
    """
    from acepure.plotting import features_figure, figure_format  # matplotlib is not needed otherwise

    threads = resolve_num_threads(num_threads)
    kind = figure_format("output", output)
    with atomic_write(output) as temporary:
        comparisons = [compare(sample, threads) for sample in demo_structures()]
        n_features = comparisons[0].averages.shape[1]
        print(
            f"{n_features} features per atom: order {ARGUMENTS['order']}, total degree {ARGUMENTS['totaldegree']}, "
            f"cutoff {RCUT:g} Å.\n"
            "All structures have the density of copper and count as one species: features tell phases, not elements.\n"
            f"Liquid: hard spheres that fill {PACKING:g} of the volume, made by melting each crystal.\n"
            f"Time: canonical features and neighbor list, {threads} thread{'s' * (threads > 1)}, "
            f"kernel {_kernels.variant}.\n"
        )
        print(format_table(comparisons))
        print(
            "\nSelf-interaction is ‖B_self − B_canonical‖ / ‖B_self‖: what plain products of neighbor sums owe to\n"
            "atoms that meet themselves. At ν = 1 there is none."
        )
        samples = [row.sample for row in comparisons for _ in range(len(row.averages))]
        figure = features_figure(
            np.concatenate([row.averages for row in comparisons]),
            [sample.crystal.split()[0] for sample in samples],
            [sample.condition for sample in samples],
            {row.sample.name: row.shares for row in comparisons},
        )
        figure.axes[0].set_title(
            "Map of canonical features, averaged over each atom and its neighbors", fontsize="medium"
        )
        figure.savefig(temporary, format=kind)
    print(f"\nwrote {os.fspath(output)}")
    return comparisons
