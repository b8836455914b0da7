"""Features as a TensorMap of metatensor, an optional dependency: blocks by irrep and species of center."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from acepure._utils.checks import check_kind, flag
from acepure.features.basis import ACEBasis, check_basis
from acepure.features.derivatives import pair_jacobian
from acepure.structures.gate import structure_list

try:
    from metatensor import Labels, TensorBlock, TensorMap
except ImportError:
    raise ImportError('acepure.interfaces.tensor_map needs metatensor: pip install "acepure[metatensor]"') from None

__all__ = ["tensor_map"]

_KEYS = ["o3_lambda", "o3_sigma", "center_type"]


def tensor_map(
    bases: ACEBasis | Sequence[ACEBasis],
    structures: Atoms | Sequence[Atoms],
    *,
    gradients: bool = False,
    num_threads: int | None = None,
) -> TensorMap:
    """Return the features of structures as a TensorMap, in the conventions of metatensor.

    Of each basis and each species of center that occurs there is a block of shape (samples, 2λ + 1, properties):

        keys         o3_lambda    λ, the L of the basis
                     o3_sigma     1 for true tensors, which have the parity of Y_λμ; −1 for pseudotensors
                     center_type  atomic number of the centers
        samples      system, atom
        components   o3_mu = −λ..λ, of real harmonics, for invariants a single 0
        properties   order; neighbor_type_k, n_k, l_k of each factor; coupling_1, ...; −1 where there is none

    Values are those of `ACEBasis.descriptors` to the last bit.

    Parameters
    ----------
    bases : ACEBasis or sequence of them
        Of different irreps.
    structures : ase.Atoms or sequence of them
    gradients : bool
        Add gradients. "positions": ∂B(i)/∂r_k in 1/Å, samples (sample, system, atom k), component xyz before o3_mu,
        for k = i and all its neighbors. "strain": ∂B(i)/∂ε_ab at r ↦ (1 + ε) r, samples (sample), components xyz_1 = a
        and xyz_2 = b. They take 3 numbers for each pair and feature.
    num_threads : int, optional

    Returns
    -------
    metatensor.TensorMap

    Raises
    ------
    ImportError
        Without metatensor.
    TypeError, ValueError
        For wrong input, before any work, and for two bases of one irrep.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from acepure.interfaces.tensor_map import tensor_map
    >>> bases = [ACEBasis(["Cu"], order=2, totaldegree=4), ACEBasis(["Cu"], order=2, totaldegree=4, L=1)]
    >>> features = tensor_map(bases, bulk("Cu", cubic=True))
    >>> features.block(o3_lambda=1).values.shape
    (4, 3, 17)
    """
    if isinstance(bases, ACEBasis):
        bases = [bases]
    bases = list(check_kind("bases", bases, Sequence))
    flag("gradients", gradients)
    for basis in bases:
        check_basis(basis, tensors=True)
    irreps = [basis.irrep for basis in bases]
    if len(set(irreps)) < len(irreps):
        raise ValueError(f"bases must be of different irreps; got {', '.join(irreps)}")
    if not bases:
        raise ValueError("bases must hold at least one basis")
    systems = structure_list(structures)
    for basis in bases:
        for s, atoms in enumerate(systems):
            basis.species_indices(atoms, f"structures[{s}]")
    keys, blocks = [], []
    numbers = sorted(set().union(*(set(atoms.numbers.tolist()) for atoms in systems)))
    for basis in bases:
        features = basis.descriptors(systems, num_threads=num_threads)
        centers = [{z: np.flatnonzero(atoms.numbers == z) for z in numbers} for atoms in systems]
        for z in numbers:
            own = [(rows[of[z]], atoms, of[z]) for rows, atoms, of in zip(features, systems, centers)]
            keys.append([basis.L, basis.parity * (-1) ** basis.L, z])
            blocks.append(_block(basis, own))
            if gradients:
                _add_gradients(blocks[-1], basis, own, num_threads)
    return TensorMap(Labels(_KEYS, np.array(keys)), blocks)


#: Of one structure: features of its centers of one species, the structure, the numbers of these centers.
_Part = tuple[np.ndarray, Atoms, np.ndarray]


def _block(basis: ACEBasis, parts: Sequence[_Part]) -> TensorBlock:
    samples = [[s, i] for s, (_, _, centers) in enumerate(parts) for i in centers.tolist()]
    mu = np.arange(-basis.L, basis.L + 1)[:, None]
    return TensorBlock(
        _values(basis, [rows for rows, _, _ in parts]),
        Labels(["system", "atom"], np.array(samples)),
        [Labels(["o3_mu"], mu)],
        _properties(basis),
    )


def _add_gradients(block: TensorBlock, basis: ACEBasis, parts: Sequence[_Part], num_threads: int | None) -> None:
    """∂B(i)/∂r_k = Σ_pairs(i, j) (δ_jk − δ_ik) ∂B(i)/∂r_ij, and ∂B(i)/∂ε_ab = Σ_pairs(i, j) ∂B(i)/∂r_ij,a (r_ij)_b."""
    moved: list[np.ndarray] = []
    strained: list[np.ndarray] = []
    samples: list[list[int]] = []
    first = 0
    for s, (_, atoms, centers) in enumerate(parts):
        pairs = pair_jacobian(basis, atoms, indices=centers, num_threads=num_threads)
        for k, i in enumerate(centers.tolist()):
            mine = pairs.centers == i
            values, vectors = pairs.values[mine], pairs.vectors[mine]
            atoms_moved, place = np.unique(np.append(pairs.neighbors[mine], i), return_inverse=True)
            gradient = np.zeros((len(atoms_moved), *values.shape[1:]))
            np.add.at(gradient, place[:-1], values)
            gradient[place[-1]] -= values.sum(axis=0)
            moved.append(gradient)
            strained.append(np.einsum("pa...,pb->ab...", values, vectors)[None])
            samples += [[first + k, s, j] for j in atoms_moved.tolist()]
        first += len(centers)
    axes = [Labels([name], np.arange(3)[:, None]) for name in ("xyz", "xyz_1", "xyz_2")]
    mu, properties = block.components, block.properties
    names = Labels(["sample", "system", "atom"], np.array(samples))
    every = Labels(["sample"], np.arange(first)[:, None])
    block.add_gradient("positions", TensorBlock(_values(basis, moved), names, [axes[0], *mu], properties))
    block.add_gradient("strain", TensorBlock(_values(basis, strained), every, [*axes[1:], *mu], properties))


def _values(basis: ACEBasis, rows: Sequence[np.ndarray]) -> np.ndarray:
    """One array with the components before the features."""
    together = np.concatenate(rows)
    return np.ascontiguousarray(np.moveaxis(together if basis.L else together[..., None], -1, -2))


def _properties(basis: ACEBasis) -> Labels:
    """Labels of the features as integers."""
    factors, couplings = basis.order, max((len(label.coupling) for label in basis.labels), default=0)
    names = ["order", *(f"{name}_{k + 1}" for k in range(factors) for name in ("neighbor_type", "n", "l"))]
    names += [f"coupling_{k + 1}" for k in range(couplings)]
    rows = np.full((len(basis), len(names)), -1)
    for row, label in zip(rows, basis.labels):
        row[0] = label.order
        for k, (symbol, n, l) in enumerate(zip(label.species, label.n, label.l)):
            row[1 + 3 * k : 4 + 3 * k] = atomic_numbers[symbol], n, l
        start = 1 + 3 * factors
        row[start : start + len(label.coupling)] = label.coupling
    return Labels(names, rows)
