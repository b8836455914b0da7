"""Environments and structures to test on: random, degenerate, and a small zoo of ASE structures.

An environment is an array of neighbor vectors (n_neighbors, 3) around a center at the origin, in Å.
"""

import itertools
from collections import Counter

import numpy as np
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.neighborlist import neighbor_list


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


# --- derivatives -------------------------------------------------------------------------------------------------

# Central differences of order eight: f'(0) ≈ Σ_k w_k f(k h) / h, k = ±1 ... ±4, with an error of h⁸ f⁽⁹⁾/630.
STEPS = np.array([-4, -3, -2, -1, 1, 2, 3, 4])
STEP_WEIGHTS = np.array([3, -32, 168, -672, 672, -168, 32, -3]) / 840
# Steps in Å and of the strain; no distance below 5 Å changes by more than REACH.
STEP, STRAIN_STEP = 5e-3, 1e-3
REACH = 4 * STEP


def central_difference(function, h):
    """df/dt at t = 0, where `function(t)` returns an array."""
    return sum(w * function(k * h) for k, w in zip(STEPS.tolist(), STEP_WEIGHTS.tolist())) / h


def position_differences(function, atoms, chosen=None, h=STEP):
    """d function(atoms) / dr_k of the chosen atoms, all by default: shape (n_chosen, 3, ...)."""

    def derivative(k, a):
        def moved(t):
            copy = atoms.copy()
            copy.positions[k, a] += t
            return function(copy)

        return central_difference(moved, h)

    return np.array([[derivative(k, a) for a in range(3)] for k in (range(len(atoms)) if chosen is None else chosen)])


def strained(atoms, strain):
    """A copy with r ↦ (1 + ε) r, atoms and cell."""
    copy = atoms.copy()
    copy.set_cell(copy.cell.array @ (np.eye(3) + strain).T, scale_atoms=False)
    copy.positions = copy.positions @ (np.eye(3) + strain).T
    return copy


def strain_differences(function, atoms, h=STRAIN_STEP):
    """d function(atoms) / dε_ab at r ↦ (1 + ε) r, shape (3, 3, ...)."""

    def derivative(a, b):
        def deformed(t):
            strain = np.zeros((3, 3))
            strain[a, b] = t
            return function(strained(atoms, strain))

        return central_difference(deformed, h)

    return np.array([[derivative(a, b) for b in range(3)] for a in range(3)])


def clear_cutoff(atoms, near):
    """The cutoff in the middle of the widest gap between the distances of pairs within 0.5 Å of `near`."""
    distances = neighbor_list("d", atoms, near + 0.5)
    edges = np.unique([near - 0.5, *distances[distances > near - 0.5], near + 0.5])
    widest = np.argmax(np.diff(edges))
    return float(edges[widest] + edges[widest + 1]) / 2


def assert_clear_of_cutoff(atoms, cutoff, centers=None, reach=REACH):
    """No pair comes in or goes out during the steps of a difference, where features are not smooth.

    `cutoff(center, neighbor)` in Å; `centers` are atoms, all by default.
    """
    symbols = np.array(atoms.get_chemical_symbols())
    limits = {pair: cutoff(*pair) for pair in itertools.product(sorted(set(symbols)), repeat=2)}
    i, j, d = neighbor_list("ijd", atoms, max(limits.values()) + 2 * reach)
    kept = np.isin(i, np.arange(len(atoms)) if centers is None else centers)
    for a, b, distance in zip(symbols[i[kept]], symbols[j[kept]], d[kept]):
        gap = abs(distance - limits[a, b])
        assert gap > reach, f"a pair {a}-{b} is {gap:.4f} Å from its cutoff of {limits[a, b]:g} Å"
