"""Environments and structures to test on: random, degenerate, and a small zoo of ASE structures.

An environment is an array of neighbor vectors (n_neighbors, 3) around a center at the origin, in Å.
"""

import itertools
from collections import Counter

import numpy as np
from ase import Atoms
from ase.build import bulk, fcc111, molecule


def random_environment(rng, n_neighbors, rcut, r_min=0.3):
    """Neighbor vectors uniform in the shell between r_min·rcut and rcut."""
    directions = rng.normal(size=(n_neighbors, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    radii = rcut * rng.uniform(r_min**3, 1, size=(n_neighbors, 1)) ** (1 / 3)
    return radii * directions


def random_orthogonal(rng, improper=None):
    """A uniformly random O(3) matrix; `improper` True or False asks for determinant −1 or +1."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    if improper is not None and (np.linalg.det(q) < 0) != improper:
        q = -q
    return q


def degenerate_pair():
    """Two environments of seven neighbors that features of orders 1 to 3 cannot tell apart.

    T = {(3, −4), (0, 5), (−4, −3)} as (x, z) on a circle of radius 5, R a rotation by 36° about y,

        E± = {(x, 2, z)} ∪ R{(x, −2, z)} ∪ {(0, ±5, 0)}.

    The centered pairs, triples and quadruples (center and up to three neighbors) occur equally often in
    both; with four neighbors they differ. Neighbors are at 5 and √29 ≈ 5.385.
    """
    angle = np.deg2rad(36)
    rotation = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    above = np.array([[3, 2, -4], [0, 2, 5], [-4, 2, -3]], dtype=float)
    below = (above * [1, -1, 1]) @ rotation.T
    return tuple(np.concatenate([above, below, [[0, sign * 5.0, 0]]]) for sign in (1, -1))


def cluster_distribution(vectors, order, decimals=8):
    """How often each shape of {center, `order` neighbors} occurs, up to O(3) and relabeling: a Counter.

    A shape is the Gram matrix r_i · r_j of its neighbors, in the order of neighbors that makes it smallest;
    the Gram matrix fixes the vectors up to O(3).
    """
    gram = np.round(vectors @ vectors.T, decimals) + 0.0  # + 0.0 turns −0 into 0
    shapes = Counter()
    for chosen in itertools.combinations(range(len(vectors)), order):
        shapes[min(tuple(gram[np.ix_(p, p)].ravel()) for p in itertools.permutations(chosen))] += 1
    return shapes


def structures():
    """Name → fresh `ase.Atoms`: one and two species, periodic and not, and cells that break codes.

    Positions are displaced by about 0.05 Å, always the same, so that no feature is zero by symmetry,
    except in the one-atom cells, where there is nothing to displace.
    """
    left_handed = bulk("Cu", "fcc", a=3.61, cubic=True)
    left_handed.set_cell(left_handed.cell[[1, 0, 2]], scale_atoms=False)
    slab = fcc111("Cu", size=(2, 2, 3), a=3.61, vacuum=6.0)  # pbc = (True, True, False)
    wire = Atoms("CuAg", positions=[[3, 3, 0], [4.5, 3, 1.4]], cell=[7, 7, 2.9], pbc=(False, False, True))
    skewed_cell = [[3.0, 0.0, 0.0], [2.6, 2.2, 0.0], [-1.9, 1.1, 2.8]]
    skewed = Atoms("SiGe", scaled_positions=[[0, 0, 0], [0.3, 0.2, 0.4]], cell=skewed_cell, pbc=True)
    result = {
        "fcc Cu": bulk("Cu", "fcc", a=3.61, cubic=True),
        "bcc Fe": bulk("Fe", "bcc", a=2.87, cubic=True),
        "hcp Mg": bulk("Mg", "hcp", a=3.21, c=5.21),
        "NaCl": bulk("NaCl", "rocksalt", a=5.64, cubic=True),
        "water": molecule("H2O"),
        "slab": slab,
        "wire": wire,
        "skewed cell": skewed,
        "left-handed cell": left_handed,
        "one atom, fcc": bulk("Cu", "fcc", a=3.61),
        "one atom, bcc": bulk("Fe", "bcc", a=2.87),
        "isolated atom": Atoms("Ar"),
        "isolated atom in a box": Atoms("Ar", cell=[30, 30, 30], pbc=True),
    }
    for number, atoms in enumerate(result.values()):
        if len(atoms) > 1:
            atoms.rattle(0.05, seed=number)
    return result
