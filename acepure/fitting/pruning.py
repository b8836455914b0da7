"""Leaving out coefficients that hardly matter on given structures, with a bound of what this changes.

A coefficient θ_k contributes θ_k ΣB_k / N to the energy per atom and −θ_k ∂ΣB_k/∂r to forces. Root mean squares over
structures obey the triangle inequality: what is left out together changes energies and forces by no more than the sum
of the root mean squares of its parts.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from ase import Atoms

from acepure._utils.checks import number
from acepure._utils.workers import naming_structure
from acepure.features.basis import ACEBasis, evaluate_features
from acepure.features.derivatives import sum_gradients
from acepure.features.linear import features_of_isolated_atoms
from acepure.neighbors.environments import Environments
from acepure.structures.gate import structure_list


def without_small(
    basis: ACEBasis,
    coefficients: np.ndarray,
    structures: Iterable[Atoms],
    *,
    energy: float,
    forces: float,
    num_threads: int | None = None,
) -> tuple[np.ndarray, str]:
    """Set the coefficients to zero that matter least, as many as the bounds allow.

    Parameters
    ----------
    basis : ACEBasis
    coefficients : numpy.ndarray, shape (n_species, n_features)
        θ in eV.
    structures : iterable of ase.Atoms
        On which the bounds hold.
    energy : float
        Bound of the root mean square change of energies per atom, eV.
    forces : float
        Of components of forces, eV/Å.
    num_threads : int, optional

    Returns
    -------
    coefficients : numpy.ndarray
    text : str
        What was left out, and the bounds reached.
    """
    energy, forces = number("energy", energy, above=0), number("forces", forces, above=0)
    vacuum, squares, n, n_forces = features_of_isolated_atoms(basis), np.zeros((2, *coefficients.shape)), 0, 0
    for k, atoms in enumerate(structure_list(structures, "structures")):
        with naming_structure(k):
            environments = Environments(basis, atoms, num_threads=num_threads)
            features, species = evaluate_features(basis, environments), environments.species
            gradients = sum_gradients(basis, environments)
        for z in range(len(coefficients)):
            squares[0, z] += np.square((features[species == z] - vacuum[z]).sum(axis=0) / len(atoms))
        squares[1] += np.square(gradients.positions).sum(axis=(1, 2))
        n, n_forces = n + 1, n_forces + 3 * len(atoms)
    if not n:
        raise ValueError("structures is empty; some are needed to tell what a coefficient matters")
    sizes = np.abs(coefficients) * np.sqrt(squares / np.array([n, n_forces])[:, None, None])
    relative = np.maximum(sizes[0] / energy, sizes[1] / forces).ravel()
    order = np.argsort(relative)
    small = order[np.cumsum(relative[order]) <= 1.0]
    kept = coefficients.copy().ravel()
    kept[small] = 0.0
    left, bounds = int((coefficients.ravel()[small] != 0).sum()), sizes.reshape(2, -1)[:, small].sum(axis=1)
    text = (
        f"{left:,} of {int((coefficients != 0).sum()):,} coefficients left out: on {n:,} structures energies change by "
        f"at most {1e3 * bounds[0]:.3g} meV/atom, forces by {bounds[1]:.3g} eV/Å (root mean squares)"
    )
    return kept.reshape(coefficients.shape), text
