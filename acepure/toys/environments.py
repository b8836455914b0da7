"""Random environments of an atom in three dimensions: an atom at the origin and neighbors within the cutoff."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from ase import Atoms

from acepure._utils.checks import count, number, one_of, symbol
from acepure.structures.gate import structure_list

#: How neighbors are drawn.
KINDS = ("poisson", "ball", "hard")
#: Part of the ball within the cutoff that hard spheres would fill.
PACKING = 0.2

_MOST_BATCHES = 10_000


def random_environments(
    n: int,
    n_neighbors: float,
    rcut: float = 5.0,
    seed: int = 0,
    kind: str = "poisson",
    species: str = "Cu",
) -> list[Atoms]:
    """Return random clusters with the center first.

    Neighbors are drawn uniformly from the ball of radius `rcut` around the center.

        kind      number of neighbors        positions
        poisson   Poisson, mean n_neighbors  independent: an ideal gas
        ball      n_neighbors                independent
        hard      n_neighbors                no two atoms, center included, nearer than d = 2 rcut (η / (n + 1))^(1/3),
                                             η = 0.2: spheres of diameter d, placed one after another

    Parameters
    ----------
    n : int
        Number of clusters.
    n_neighbors : int, or float for "poisson"
    rcut : float
        In Å.
    seed : int
        Of the random numbers.
    kind : {"poisson", "ball", "hard"}
    species : str
        Chemical symbol of all atoms.

    Returns
    -------
    list of ase.Atoms
        Without cell, not periodic; the center is atom 0, at the origin.

    Examples
    --------
    >>> clusters = random_environments(3, 10, rcut=4.0, kind="ball")
    >>> [len(atoms) for atoms in clusters]
    [11, 11, 11]
    """
    n, rcut = count("n", n), number("rcut", rcut, above=0)
    one_of("kind", kind, KINDS)
    mean = number("n_neighbors", n_neighbors, least=0) if kind == "poisson" else count("n_neighbors", n_neighbors)
    symbol("species", species)
    rng = np.random.default_rng(count("seed", seed, least=0))
    environments = []
    for _ in range(n):
        number_of = int(rng.poisson(mean) if kind == "poisson" else mean)
        neighbors = _hard_spheres(rng, number_of, rcut) if kind == "hard" else _in_ball(rng, number_of, rcut)
        environments.append(Atoms([species] * (number_of + 1), np.concatenate([np.zeros((1, 3)), neighbors])))
    return environments


def joined_environments(environments: Sequence[Atoms], rcut: float) -> tuple[Atoms, np.ndarray]:
    """Return all clusters as one structure, too far apart to see each other, and the indices of the centers.

    One structure is evaluated far faster than thousands of small ones.

    Parameters
    ----------
    environments : sequence of ase.Atoms
        Each with its center first, at the origin, and all other atoms within `rcut` of it, as `random_environments`
        returns them.
    rcut : float
        In Å.

    Returns
    -------
    joined : ase.Atoms
        Without cell, not periodic; the centers are 4 rcut apart.
    centers : numpy.ndarray of int, shape (len(environments),)

    Raises
    ------
    ValueError
        For atoms farther than `rcut` from the origin.

    Examples
    --------
    >>> joined, centers = joined_environments(random_environments(3, 10, rcut=4.0, kind="ball"), 4.0)
    >>> len(joined), centers.tolist()
    (33, [0, 11, 22])
    """
    environments, rcut = structure_list(environments, "environments"), number("rcut", rcut, above=0)
    for k, atoms in enumerate(environments):
        farthest = np.linalg.norm(atoms.positions, axis=1).max()
        if farthest > rcut * (1 + 1e-12):
            raise ValueError(f"environments[{k}] has an atom {farthest:g} Å from the origin, beyond rcut={rcut:g}")
    side = math.ceil(len(environments) ** (1 / 3))
    places = 4 * rcut * np.indices((side, side, side)).reshape(3, -1).T[: len(environments)]
    sizes = [len(atoms) for atoms in environments]
    positions = np.concatenate([atoms.positions for atoms in environments]) + np.repeat(places, sizes, axis=0)
    numbers = np.concatenate([atoms.numbers for atoms in environments])
    return Atoms(numbers, positions), np.cumsum([0, *sizes[:-1]])


def ball_volume(radius: float) -> float:
    """Return 4/3 π radius³."""
    return 4 / 3 * math.pi * radius**3


def _in_ball(rng: np.random.Generator, n: int, radius: float) -> np.ndarray:
    directions = rng.normal(size=(n, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return radius * rng.uniform(size=(n, 1)) ** (1 / 3) * directions


def _hard_spheres(rng: np.random.Generator, n: int, radius: float) -> np.ndarray:
    """Random sequential addition, the center first."""
    smallest = 2 * radius * (PACKING / (n + 1)) ** (1 / 3)
    placed = np.zeros((1, 3))
    for _ in range(_MOST_BATCHES):
        for trial in _in_ball(rng, n, radius):
            if ((placed - trial) ** 2).sum(axis=1).min() >= smallest**2:
                placed = np.concatenate([placed, trial[None]])
                if len(placed) > n:
                    return placed[1:]
    raise RuntimeError(f"{n} hard spheres found no place in a ball of radius {radius:g}; try another seed")
