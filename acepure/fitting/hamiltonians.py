"""Fits of matrices between orbitals: one linear least-squares problem for each irrep of each kind of block.

    T^{LM} = c δ_L0 + Σ_k θ_k B_k^{LM},      T^{LM} = Σ_mm' W_L[m, m', M] H[m, m'],

with one row for each block and M, all of equal weight, so that the fit is the same in every orientation. Rows are
reduced to an R factor as they come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from ase import Atoms

from acepure._utils.checks import real_array
from acepure._utils.tall_qr import RFactor
from acepure.features.blocks import BlockBasis, BlockPart, MatrixLayout
from acepure.fitting.keys import LabelError
from acepure.fitting.priors import SmoothnessPrior
from acepure.fitting.solvers import SolverProblem, solve

# Labels within so much of a constant, of the largest element, are constant.
_CONSTANT = 1e-12
# Elements may differ from those of the transpose by so much of the largest, as self-consistent fields do.
_ASYMMETRY = 1e-6


def matrices_of(structures: Sequence[Atoms], target: str, basis: BlockBasis) -> list[np.ndarray]:
    """Return the labels of structures, made exactly symmetric.

    Raises
    ------
    LabelError
        Where a structure has none; a subclass of ValueError.
    TypeError, ValueError
        For labels of another shape, and matrices that are not symmetric.
    """
    result = []
    for k, atoms in enumerate(structures):
        if target not in atoms.info:
            raise LabelError(f"structures[{k}] has no {target!r} in info; it has {', '.join(map(str, atoms.info))}")
        n = int(basis.orbitals.starts(list(atoms.symbols))[-1])
        matrix = real_array(f"structures[{k}].info[{target!r}]", atoms.info[target], (n, n))
        if (difference := abs(matrix - matrix.T).max()) > _ASYMMETRY * abs(matrix).max():
            raise ValueError(f"structures[{k}].info[{target!r}] must be symmetric; elements differ by {difference:g}")
        result.append((matrix + matrix.T) / 2)
    return result


def fit_blocks(
    basis: BlockBasis,
    structures: Sequence[Atoms],
    labels: Sequence[np.ndarray],
    prior: SmoothnessPrior,
    solver: str,
    options: Mapping[str, float],
    num_threads: int | None,
) -> tuple[list[np.ndarray | None], list[str]]:
    """Fit all parts of a basis.

    Parameters
    ----------
    basis : BlockBasis
    structures : sequence of ase.Atoms
    labels : sequence of numpy.ndarray, shape (n_orbitals, n_orbitals)
        Symmetric.
    prior, solver, options
        As for `LinearACE.fit`.
    num_threads : int, optional

    Returns
    -------
    coefficients : list of numpy.ndarray, shape (part.size,), or None
        None for parts that no structure has.
    summary : list of str
        How large the elements are that belong to no block, and what was done for each part.
    """
    names = [(part.block, part.irrep) for part in basis.parts]
    scales = dict(zip(names, (_scales(basis, part, prior) for part in basis.parts)))
    factors = {name: RFactor(len(scale) + 1) for name, scale in scales.items()}
    layouts = [basis.layout(atoms) for atoms in structures]
    # Constants are of the size of the labels, all else of the size of their changes: the mean is taken off before.
    means = {(part.block, part.irrep): _mean(part, layouts, labels) for part in basis.parts}
    apart = max(_outside(basis, layout, label) for layout, label in zip(layouts, labels))
    for atoms, layout, label in zip(structures, layouts, labels):
        for part, features in basis.features(atoms, layout, num_threads=num_threads):
            name = part.block, part.irrep
            rows = np.moveaxis(features, 1, 2).reshape(-1, part.size) / scales[name]
            right = _components(part, layout.gather(label, part.block)).reshape(-1, 1) - means[name]
            factors[name].add(np.hstack([rows, right]))
    coefficients: list[np.ndarray | None] = []
    summary = [f"atoms farther apart than {basis.bonds.length:g} Å: elements up to {apart:.1e} are taken for zero"]
    smallest = _CONSTANT * max(abs(label).max() for label in labels)
    for part, name in zip(basis.parts, names):
        n_rows, R = factors[name].n_rows, factors[name].R
        if not n_rows:
            coefficients.append(None)
            summary.append(f"{part.block}, {part.irrep}: no structure has such a block")
            continue
        theta = np.zeros(part.size)
        if np.linalg.norm(R[:, -1]) <= smallest * n_rows**0.5:
            summary.append(f"{part.block}, {part.irrep}: constant")
        else:
            solution = solve(SolverProblem.from_triangle(R, n_rows), solver, **options)
            theta = solution.u / scales[name]
            summary.append(f"{part.block}, {part.irrep}: {solution.summary}")
        theta[: part.n_constants] += means[name]
        coefficients.append(theta)
    return coefficients, summary


def _scales(basis: BlockBasis, part: BlockPart, prior: SmoothnessPrior) -> np.ndarray:
    own = basis.basis_of(part.block.on_site, part.irrep)
    scales = prior.scales(own if part.block.on_site else own.basis)[part.columns]
    return np.concatenate([np.ones(part.n_constants), scales])


def _components(part: BlockPart, blocks: np.ndarray) -> np.ndarray:
    """T, shape (n, 2L + 1), of blocks."""
    result: np.ndarray = np.einsum("abM,nab->nM", part.couplings, blocks)
    return result


def _mean(part: BlockPart, layouts: Sequence[MatrixLayout], labels: Sequence[np.ndarray]) -> float:
    if not part.n_constants:
        return 0.0
    found = [_components(part, layout.gather(label, part.block)) for layout, label in zip(layouts, labels)]
    return float(np.concatenate(found).mean()) if sum(map(len, found)) else 0.0


def _outside(basis: BlockBasis, layout: MatrixLayout, label: np.ndarray) -> float:
    """Largest element between atoms that are no bond."""
    inside = np.zeros_like(label)
    for block in dict.fromkeys(part.block for part in basis.parts):
        layout.scatter(inside, block, np.ones_like(layout.gather(label, block)))
    return float(abs(label[inside == 0]).max(initial=0.0))
