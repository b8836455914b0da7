"""Fits of vectors and tensors: one linear least-squares problem for each irrep of the target.

    per structure    Σ_i B_i^{LM}      = T^{LM}           times 1/√N
    per atom         B_i^{LM}          = T_i^{LM}

with columns by species of center. The components M are rows of equal weight, so that the fit is the same in every
orientation. Scalars have a constant for each species beside the features, the best one on the composition being taken
off first; other irreps have none, as nothing but a scalar is constant. Rows are reduced to an R factor as they come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from ase import Atoms

from acepure._utils.tall_qr import RFactor
from acepure.features.basis import ACEBasis
from acepure.fitting.keys import LabelError, places
from acepure.fitting.priors import SmoothnessPrior
from acepure.fitting.solvers import Solution, SolverProblem, solve
from acepure.functions.cartesian import RANKS, cartesian_shape, from_cartesian

__all__ = ["components_of", "fit_irrep", "labels_of_target", "with_irrep"]


def with_irrep(basis: ACEBasis, irrep: str) -> ACEBasis:
    """Return a basis of the same functions of one pair, and the same limits, for another irrep.

    Raises
    ------
    ValueError
        For an explicit list of functions, which serves one irrep alone.
    """
    if basis.irrep == irrep:
        return basis
    dictionary = basis.to_dict()
    if "functions" in dictionary:
        raise ValueError(f"basis has an explicit list of functions for {basis.irrep}; the target needs {irrep}, too")
    return ACEBasis.from_dict({**dictionary, "irrep": irrep})


def labels_of_target(structures: Sequence[Atoms], target: str, rank: str, per: str) -> list[np.ndarray]:
    """Return the labels of a target as spherical components, (n_components,) or (n_atoms, n_components) each.

    They may be in `info`, `arrays` or the results of a calculator, under the key `target`; matrices may be flat.

    Raises
    ------
    LabelError
        Where a structure has none; a subclass of ValueError.
    ValueError
        For labels of another shape or symmetry.
    """
    result = []
    for k, atoms in enumerate(structures):
        found = [values[target] for _, values in places(atoms) if target in values]
        if not found:
            keys = ", ".join(sorted({str(key) for _, values in places(atoms) for key in values}))
            raise LabelError(f"structures[{k}] has no {target!r}; it has {keys}")
        value = np.asarray(found[0])
        shape = ((len(atoms),) if per == "atom" else ()) + cartesian_shape(rank)
        if value.size != prod(shape) or value.shape[: value.ndim - 1] not in (shape[:-1], shape[:-2]):
            raise ValueError(f"structures[{k}]: {target!r} must have the shape {shape}; got {value.shape}")
        try:
            result.append(from_cartesian(value.reshape(shape), rank))
        except (TypeError, ValueError) as error:
            raise ValueError(f"structures[{k}], {target!r}: {error}") from None
    return result


def components_of(rank: str) -> dict[str, slice]:
    """Return where each irrep of a rank has its components.

    Examples
    --------
    >>> components_of("symmetric")
    {'0e': slice(0, 1, None), '2e': slice(1, 6, None)}
    """
    result, start = {}, 0
    for irrep in RANKS[rank]:
        stop = start + 2 * int(irrep[0]) + 1
        result[irrep] = slice(start, stop)
        start = stop
    return result


def fit_irrep(
    basis: ACEBasis,
    structures: Sequence[Atoms],
    labels: Sequence[np.ndarray],
    per: str,
    prior: SmoothnessPrior,
    solver: str,
    options: Mapping[str, float],
    num_threads: int | None,
) -> tuple[np.ndarray, np.ndarray, Solution]:
    """Fit one irrep.

    Parameters
    ----------
    basis : ACEBasis
    structures : sequence of ase.Atoms
    labels : sequence of numpy.ndarray, shape (..., 2L + 1)
        Per structure or per atom.
    per : {"structure", "atom"}
    prior, solver, options
        As for `LinearACE.fit`.
    num_threads : int, optional

    Returns
    -------
    coefficients : numpy.ndarray, shape (n_species, n_features)
    constants : numpy.ndarray, shape (n_species,)
        Zero unless the irrep is that of scalars.
    solution : Solution
    """
    counts = [_sums(basis, atoms, np.ones((len(atoms), 1)), per) for atoms in structures]
    constants = _composition(counts, labels) if basis.irrep == "0e" else np.zeros(len(basis.species))
    constant = int(basis.irrep == "0e")
    scales = np.tile(np.concatenate([np.ones(constant), prior.scales(basis)]), len(basis.species))
    factor = RFactor(len(scales) + 1)
    for atoms, count, label in zip(structures, counts, labels):
        rows = _rows(basis, atoms, per, constant, num_threads) / scales
        right = (label.reshape(-1, 2 * basis.L + 1) - (count[..., 0] @ constants)[:, None]).reshape(-1, 1)
        factor.add(np.hstack([rows, right]) * (len(atoms) ** -0.5 if per == "structure" else 1.0))
    solution = solve(SolverProblem.from_triangle(factor.R, factor.n_rows), solver, **options)
    theta = (solution.u / scales).reshape(len(basis.species), -1)
    return theta[:, constant:], constants + (theta[:, 0] if constant else 0.0), solution


def _sums(basis: ACEBasis, atoms: Atoms, values: np.ndarray, per: str) -> np.ndarray:
    """Values of atoms as columns of their species, summed for a structure: (n_atoms or 1, n_species, ...)."""
    one_hot = (basis.species_indices(atoms)[:, None] == np.arange(len(basis.species))).astype(float)
    spread: np.ndarray = one_hot.reshape(one_hot.shape + (1,) * (values.ndim - 1)) * values[:, None]
    return spread if per == "atom" else spread.sum(axis=0, keepdims=True)


def _rows(basis: ACEBasis, atoms: Atoms, per: str, constant: int, num_threads: int | None) -> np.ndarray:
    """Rows by atom (or one structure) and M; columns by species and feature, the constant first."""
    features = basis.descriptors(atoms, num_threads=num_threads).reshape(len(atoms), len(basis), 2 * basis.L + 1)
    columns = np.concatenate([np.ones((len(atoms), constant, 2 * basis.L + 1)), features], axis=1)
    sums = np.moveaxis(_sums(basis, atoms, columns, per), 3, 1)
    return sums.reshape(len(sums) * (2 * basis.L + 1), -1)


def _composition(counts: Sequence[np.ndarray], labels: Sequence[Any]) -> np.ndarray:
    """The best constant of each species, of least norm where the compositions leave it open."""
    left = np.concatenate([count[..., 0] for count in counts])
    right = np.concatenate([np.reshape(label, -1) for label in labels])
    return np.linalg.lstsq(left, right, rcond=None)[0]
