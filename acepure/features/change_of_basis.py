"""Exact maps between bases that span the same functions.

    product_expansion   a basis in products Π_t A over the extended index set
    coordinate_map      one basis in another and the constant:  B_target = T (1, B_source)

Canonical, centered and measured-pair bases of one specification span, with the constant, the same functions;
self-interacting, shifted and Wick bases span another space. The two agree where products of the one-particle
functions are combinations of the functions themselves, as in one dimension, not for atoms.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import factorial, prod

import numpy as np
from scipy.linalg import solve_triangular
from scipy.sparse import csr_array

from acepure.errors import SpeciesError
from acepure.features.basis import ACEBasis, check_basis
from acepure.features.centers import CenterGroup
from acepure.labels.factors import OneParticle

__all__ = ["coordinate_map", "product_expansion"]

Product = tuple[OneParticle, ...]
Expansion = list[dict[Product, float]]

# What may be left of a row when its expansion has been taken off, relative to its largest entry.
_ROUNDING = 1e-9


def product_expansion(basis: ACEBasis, center: str | None = None) -> tuple[csr_array, list[Product]]:
    """Return M of B = M Π_t A: the features as combinations of products of plain sums A, no mean taken off.

    Parameters
    ----------
    basis : ACEBasis
        Of any kind.
    center : str, optional
        Chemical symbol of the center; needed when there are several species.

    Returns
    -------
    matrix : scipy.sparse.csr_array, shape (n_features, n_products)
    products : list of tuple of OneParticle
        Names of the columns, by number of factors; the empty product is the constant 1.

    Examples
    --------
    >>> from acepure import ACEBasis
    >>> from acepure.features.change_of_basis import product_expansion
    >>> matrix, products = product_expansion(ACEBasis(["Cu"], order=2, totaldegree=3, canonical=False))
    >>> matrix.shape == (len(ACEBasis(["Cu"], order=2, totaldegree=3)), len(products))
    True
    """
    check_basis(basis)
    group = _group(basis, center)
    rows = _expansion(basis, group, _center_index(basis, center), lambda v: ((v, 1.0),))
    products = sorted({k for row in rows for k in row}, key=lambda k: (len(k), k))
    matrix = _matrix(rows, {k: i for i, k in enumerate(products)})
    matrix.sort_indices()
    return matrix, products


def coordinate_map(source: ACEBasis, target: ACEBasis, center: str | None = None) -> csr_array:
    """Return T of B_target = T (1, B_source), exact.

    Parameters
    ----------
    source, target : ACEBasis
        Of one specification, with the same cutoff, transform and envelope; their polynomials, references and kinds may
        differ.
    center : str, optional
        Chemical symbol of the center; needed when there are several species.

    Returns
    -------
    scipy.sparse.csr_array, shape (n_features, 1 + n_features)
        The first column belongs to the constant.

    Raises
    ------
    ValueError
        When the target is not within the span of the source: a canonical and a self-interacting basis, different
        specifications or radial functions, or an index set that does not stay complete when the mean of a factor with
        l = 0 takes its place (close it: let every order reach as far as the next).

    Notes
    -----
    Expand both in products of the plain sums. Those of ν factors come from features of order ν or more alone, and C
    of order ν is orthonormal; so the coefficients follow order by order from the top, and what is left must vanish.

    Examples
    --------
    >>> import numpy as np
    >>> from ase.build import bulk
    >>> from acepure import ACEBasis, IdealGas
    >>> from acepure.features.change_of_basis import coordinate_map
    >>> basis = ACEBasis(["Cu"], totaldegree=4)
    >>> centered = basis.centered(IdealGas(0.085))
    >>> features, others = (b.descriptors(bulk("Cu", a=3.7)) for b in (basis, centered))
    >>> T = coordinate_map(basis, centered)
    >>> bool(np.allclose(others, np.hstack([[[1.0]], features]) @ T.T))
    True
    """
    for basis in (source, target):
        check_basis(basis)
    if source.labels != target.labels:
        raise ValueError("source and target must have the same specification, they have different labels")
    z = _center_index(source, center)
    mine, theirs = _group(source, center), _group(target, center)
    identity = _expansion(source, mine, z, lambda v: ((v, 1.0),))
    rest = _expansion(target, theirs, z, _radial_change(source, target, mine, theirs))
    position = {k: i for i, k in enumerate(dict.fromkeys(k for row in (*identity, *rest) for k in row))}
    known, remaining = _matrix(identity, position), _matrix(rest, position)
    largest = abs(remaining).max(axis=1).toarray().ravel()
    C = mine.operators.symmetrization
    products = [tuple(k) for k in mine.operators.products]
    weights = np.array([prod(factorial(k.count(v)) for v in set(k)) for k in products], dtype=float)
    columns = np.array([position[k] for k in products])
    T = np.zeros((len(target), 1 + len(source)))
    for rows in reversed(source.order_slices.values()):
        factor = C[rows]
        used = np.unique(factor.indices)
        part = remaining[:, columns[used]] @ (factor[:, used].multiply(weights[used])).T
        T[:, 1 + rows.start : 1 + rows.stop] = part.toarray()
        remaining = csr_array(remaining - csr_array(part) @ known[rows])
    if () in position:
        T[:, 0] = remaining[:, [position[()]]].toarray().ravel()
        remaining = remaining[:, [i for k, i in position.items() if k]]
    left = abs(remaining).max(axis=1).toarray().ravel()
    outside = np.flatnonzero(left > _ROUNDING * largest)
    if len(outside):
        raise ValueError(
            f"{len(outside)} of the {len(target)} features of target are outside the span of source, the first is "
            f"{target.labels[outside[0]]}; canonical and self-interacting bases span different functions, and index "
            "sets must stay complete when a factor with l = 0 is removed"
        )
    return csr_array(T)


def _center_index(basis: ACEBasis, center: str | None) -> int:
    if center is None:
        if len(basis.species) > 1:
            raise ValueError(f"center must be one of the species {basis.species}: each has its own map; got None")
        return 0
    if center not in basis.species:
        raise SpeciesError(f"center {center!r} is not one of the species {basis.species}")
    return basis.species.index(center)


def _group(basis: ACEBasis, center: str | None) -> CenterGroup:
    z = _center_index(basis, center)
    return next(group for group in basis._groups if z in group.species)


def _expansion(
    basis: ACEBasis, group: CenterGroup, z: int, change: Callable[[OneParticle], tuple[tuple[OneParticle, float], ...]]
) -> Expansion:
    """The features in products of plain sums, each sum A_v replaced by Σ c A_w, (w, c) in change(v)."""
    operators = group.operators
    extended = operators.extended_products
    shift = {} if group.shift is None else dict(zip(extended.one_particle, group.shift[z]))
    terms = {v: (*change(v), *(((None, -shift[v]),) if shift.get(v) else ())) for v in extended.one_particle}
    matrix = operators.extended_symmetrization
    if operators.invariant_purification is not None:
        matrix = csr_array(operators.invariant_purification @ matrix)
    columns = [_multiplied([terms[v] for v in k]) for k in extended]
    rows: Expansion = []
    for start, stop in zip(matrix.indptr[:-1], matrix.indptr[1:]):
        row: dict[Product, float] = {}
        for column, value in zip(matrix.indices[start:stop], matrix.data[start:stop]):
            for k, c in columns[column]:
                row[k] = row.get(k, 0.0) + value * c
        rows.append(row)
    return rows


def _multiplied(factors: list[tuple[tuple[OneParticle | None, float], ...]]) -> list[tuple[Product, float]]:
    """Π_t Σ c A_w as products and coefficients; w = None is the constant."""
    return [
        (tuple(sorted(w for w, _ in choice if w is not None)), prod(c for _, c in choice))
        for choice in product(*factors)
    ]


def _radial_change(
    source: ACEBasis, target: ACEBasis, mine: CenterGroup, theirs: CenterGroup
) -> Callable[[OneParticle], tuple[tuple[OneParticle, float], ...]]:
    """Radial functions of the target in those of the source: f Σ_k Q_nk T_k = Σ_n' (Q_target Q_source⁻¹)_nn' R_n'."""
    if source.radial == target.radial:
        return lambda v: ((v, 1.0),)
    if not np.array_equal(source.cutoffs, target.cutoffs) or not _same_envelope(source, target):
        raise ValueError(
            "source and target must have the same cutoff, transform and envelope; their radial functions are "
            f"{source.radial!r} and {target.radial!r}"
        )
    old, new = mine.operators.algebra, theirs.operators.algebra
    changes: dict[tuple[int, int], np.ndarray] = {}

    def change(v: OneParticle) -> tuple[tuple[OneParticle, float], ...]:
        if v.q[0] > 1:
            return ((v, 1.0),)
        if (v.z, v.l) not in changes:
            Q_new, Q_old = new.chebyshev_coefficients(v.z, v.l), old.chebyshev_coefficients(v.z, v.l)
            assert Q_new is not None and Q_old is not None  # those with an envelope have them
            changes[v.z, v.l] = _quotient(Q_new, Q_old)
        row = changes[v.z, v.l]
        n = v.q[1]
        values = row[n, : n + 1] if len(row) > 1 or n == 0 else np.eye(1, n + 1, n)[0]
        return tuple((v._replace(q=old.basis_label(k, v.l)), float(c)) for k, c in enumerate(values) if c)

    return change


def _quotient(new: np.ndarray, old: np.ndarray) -> np.ndarray:
    """Q_new Q_old⁻¹ for lower-triangular matrices, as far as both reach; a single 1 stands for the identity."""
    size = min((len(Q) for Q in (new, old) if len(Q) > 1 or Q[0, 0] != 1.0), default=1)
    new, old = (np.eye(size) if len(Q) == 1 and Q[0, 0] == 1.0 else Q[:size, :size] for Q in (new, old))
    return solve_triangular(old.T, new.T, lower=False).T


def _same_envelope(source: ACEBasis, target: ACEBasis) -> bool:
    """Whether the functions differ by their polynomials alone."""
    parts = []
    for basis in (source, target):
        radial = getattr(basis.radial, "radial", basis.radial)  # whitened functions name what they combine
        parts.append((getattr(radial, "transform", None), getattr(radial, "envelope", None)))
    return parts[0] == parts[1] and None not in parts[0]


def _matrix(rows: Expansion, position: dict[Product, int]) -> csr_array:
    indptr = np.cumsum([0] + [len(row) for row in rows])
    columns = np.array([position[k] for row in rows for k in row], dtype=np.int64)
    values = np.array([value for row in rows for value in row.values()])
    return csr_array((values, columns, indptr), shape=(len(rows), len(position)))
