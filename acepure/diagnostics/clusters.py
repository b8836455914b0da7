"""Body orders of any potential, by explicit sums over the clusters inside a cluster."""

from __future__ import annotations

import math
from itertools import chain, combinations

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import ArrayLike
from tqdm import tqdm

from acepure._utils.checks import count
from acepure.structures.gate import check_structure


def energies_by_clusters(
    calculator: Calculator,
    atoms: Atoms,
    order: int,
    *,
    fragments: ArrayLike | None = None,
    progress: bool | None = None,
) -> np.ndarray:
    """Return the body orders of the energy of a cluster, from the energies of all clusters of its atoms.

        E^(k) = Σ_{|C| = k} Σ_{D ⊆ C} (−1)^(k − |D|) E(D) = Σ_m (−1)^(k − m) binom(N − m, k − m) Σ_{|D| = m} E(D)

    the many-body expansion, with E of nothing being 0: the first entry is the sum of single atoms, the next what pairs
    have beyond atoms, then what triples have beyond pairs. It holds for any potential or electronic-structure code; for
    a `LinearACE`, `energies_by_order` gives the same at the cost of a few evaluations.

    Parameters
    ----------
    calculator : ase.calculators.calculator.Calculator
    atoms : ase.Atoms
        A cluster of N atoms, not periodic.
    order : int
        Largest order: clusters of up to `order` + 1 atoms are computed, binom(N, 1) + ... of them.
    fragments : array_like of int, shape (n_atoms,), optional
        Number of the fragment that each atom belongs to, for example of its molecule: whole fragments then take the
        place of atoms, and the first entry is the sum of single molecules. Any numbers that differ between fragments.
    progress : bool, optional
        Show a bar; default: when writing to a terminal.

    Returns
    -------
    numpy.ndarray, shape (1 + order,)
        eV. What all orders together leave of E(atoms) belongs to higher ones.

    Raises
    ------
    TypeError, ValueError
        For a periodic structure, or an order that is not below the number of atoms (of fragments).

    Notes
    -----
    Energies of clusters are added with alternating signs: an error ε in each becomes up to binom(N, order + 1) ε.

    Examples
    --------
    >>> from ase.calculators.lj import LennardJones
    >>> cluster = Atoms("Ar4", [[0, 0, 0], [1.2, 0, 0], [0, 1.3, 0], [0, 0, 1.4]])
    >>> orders = energies_by_clusters(LennardJones(rc=50.0), cluster, 3)
    >>> (abs(orders) > 1e-12).tolist()  # a pair potential
    [False, True, False, False]
    """
    check_structure(atoms)
    if atoms.pbc.any():
        raise ValueError(f"atoms must be a cluster, not periodic; got pbc {atoms.pbc.tolist()}")
    units = _units(atoms, fragments)
    n = len(units)
    if count("order", order) >= n:
        what = "atoms" if fragments is None else "fragments"
        raise ValueError(f"order must be below the number of {what}, which is {n}; got {order}")
    sums = np.zeros(order + 1)
    total = sum(math.comb(n, m) for m in range(1, order + 2))
    with tqdm(total=total, desc="clusters", unit="cluster", disable=None if progress is None else not progress) as bar:
        for m in range(order + 1):
            energies = []
            for chosen in combinations(units, m + 1):
                cluster = atoms[list(chain.from_iterable(chosen))]
                cluster.calc = calculator
                energies.append(cluster.get_potential_energy())
                bar.update()
            sums[m] = math.fsum(energies)
    return np.array([_alternating(sums[: k + 1], n) for k in range(order + 1)])


def _units(atoms: Atoms, fragments: ArrayLike | None) -> list[list[int]]:
    """The atoms that are taken together, each one alone by default."""
    if fragments is None:
        return [[k] for k in range(len(atoms))]
    numbers = np.asarray(fragments)
    if numbers.shape != (len(atoms),) or numbers.dtype.kind not in "iu":
        raise ValueError(
            f"fragments must hold one integer for each of the {len(atoms)} atoms; got shape {numbers.shape} of type "
            f"{numbers.dtype}"
        )
    return [np.flatnonzero(numbers == k).tolist() for k in dict.fromkeys(numbers.tolist())]


def _alternating(sums: np.ndarray, n: int) -> float:
    """Σ_m (−1)^(k − m) binom(N − m, k − m) S_m for k = len(sums)."""
    k = len(sums)
    return math.fsum((-1) ** (k - m) * math.comb(n - m, k - m) * s for m, s in enumerate(sums, 1))
