"""The sparse maps of a basis, put together: products → invariants → purified invariants.

B = C AA                          self-interacting
B = P_B (C_ext AA_ext)            every other row of the table in `purification`
C P AA_ext' = B                   the same with P over single products, on request
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csr_array, kron

from acepure._utils.read_only import ReadOnlyArrays, read_only
from acepure.algebra.invariants import purified_invariants
from acepure.algebra.linearization import AtomicAlgebra
from acepure.algebra.radial_algebra import RadialAlgebra
from acepure.algebra.recursion import purification
from acepure.algebra.symmetrization import symmetrization
from acepure.labels.factors import Block, ProductSet
from acepure.labels.irreps import INVARIANT, Irrep

__all__ = ["Operators", "assemble"]


@dataclass(frozen=True, eq=False)
class Operators(ReadOnlyArrays):
    """Sparse maps and the index sets that name their rows and columns.

    Attributes
    ----------
    algebra : RadialAlgebra
    symmetrization : scipy.sparse.csr_array, shape (n_features (2L + 1), n_products)
        C; rows by feature and M, columns named by `products`.
    products : ProductSet
    component_purification : scipy.sparse.csr_array or None, shape (n_features, n_invariants)
        X, the same for each of the 2L + 1 components: P_B = X ⊗ 1; None for bases without purification.
    extended_symmetrization : scipy.sparse.csr_array, shape (n_invariants (2L + 1), n_extended)
        C_ext; columns named by `extended_products`.
    extended_products : ProductSet
        Products that evaluation computes.
    canonical : bool
        Whether κ-terms are included.
    n_components : int
        2L + 1.
    """

    algebra: RadialAlgebra
    symmetrization: csr_array
    products: ProductSet
    component_purification: csr_array | None
    extended_symmetrization: csr_array
    extended_products: ProductSet
    canonical: bool
    n_components: int = 1
    _pairs: Callable[[Any, Any], float] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        read_only(vars(self))

    @cached_property
    def invariant_purification(self) -> csr_array | None:
        """P_B = X ⊗ 1, shape (n_features (2L + 1), n_invariants (2L + 1)), or None."""
        X = self.component_purification
        return X if X is None or self.n_components == 1 else read_only(csr_array(kron(X, np.eye(self.n_components))))

    @cached_property
    def purification_with_columns(self) -> tuple[csr_array, tuple[tuple[Any, ...], ...]]:
        """P over single products, and the tuples that name its columns; rows are `products`."""
        algebra = AtomicAlgebra(self.algebra) if self.canonical else None
        P, columns = purification(self.products, algebra, self._pairs)
        return read_only(P), tuple(columns)


def assemble(
    blocks: Sequence[Block],
    algebra: RadialAlgebra,
    canonical: bool = True,
    pairs: Callable[[Any, Any], float] | None = None,
    irrep: Irrep = INVARIANT,
) -> Operators:
    """Build the operators of a set of blocks.

    Parameters
    ----------
    blocks : sequence of Block
        Factors with the radial labels of `algebra`, sorted.
    algebra : RadialAlgebra
    canonical : bool
        Whether to take the κ-terms out.
    pairs : callable, optional
        c(u, v) of two indices with equal l (and equal m); see `purification`.
    irrep : Irrep
        What the features are.
    """
    C, products, _ = symmetrization(blocks, *irrep)
    if not canonical and pairs is None:
        return Operators(algebra, C, products, None, C, products, canonical, len(irrep.components))
    X, extended = purified_invariants(blocks, algebra if canonical else None, pairs, *irrep)
    C_ext, extended_products, _ = symmetrization(extended, *irrep)
    n_components = len(irrep.components)
    return Operators(algebra, C, products, X, C_ext, extended_products, canonical, n_components, _tuple_pairs(pairs))


def _tuple_pairs(pairs: Callable[[Any, Any], float] | None) -> Callable[[Any, Any], float] | None:
    """Pair constants of invariants as pair constants of single one-particle functions."""
    if pairs is None:
        return None
    return lambda u, v: pairs(u, v) if u.l == v.l and u.m == v.m else 0.0
