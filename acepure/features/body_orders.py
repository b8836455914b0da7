"""Body orders of a linear function: its terms of the center and one, two, three, ... distinct neighbors.

Any linear function of ACE features is a combination of products of neighbor sums, E = w · AA. A product of ν sums is a
sum over ν neighbors of which some may be the same atom: with 𝒜 the sums over pairwise distinct neighbors and P the
purification over a set of products that is closed when factors are merged,

    𝒜 = P AA,      E = w · P⁻¹ 𝒜 = Σ_ν y_ν · 𝒜,      y = P⁻ᵀ w,

y_ν being the entries of y that belong to ν factors. The (ν + 1)-body term is y_ν · 𝒜 = (Pᵀ y_ν) · AA, once more a
linear function of products, which the kernels evaluate with its forces. P is unit triangular: what it adds to a product
has fewer factors, so that P⁻¹ = Σ_k (1 − P)^k ends with k = ν − 1.

The result does not depend on the coordinates that the function was written in: where two bases can write the same
function, its terms are the same. In a canonical basis they are the parts of each order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from acepure.algebra.linearization import AtomicAlgebra
from acepure.algebra.operators import Operators
from acepure.algebra.recursion import purification
from acepure.features.basis import ACEBasis, check_basis
from acepure.features.change_of_basis import Product, product_expansion
from acepure.features.linear import LinearFunction
from acepure.labels.factors import Factor, ProductSet, one_particle_set
from acepure.stages.fused import LinearEvaluator, PairGeometry

__all__ = ["body_order_functions"]


def body_order_functions(basis: ACEBasis, coefficients: ArrayLike) -> list[LinearFunction]:
    """Return the terms of each body order of Σ_f θ_{z_i f} B_f(i) as functions that can be evaluated.

    Parameters
    ----------
    basis : ACEBasis
        Of any kind.
    coefficients : array_like, shape (n_species, n_features), or (n_features,) for one species
        θ.

    Returns
    -------
    list of LinearFunction
        Number ν − 1 is the term of the center and ν distinct neighbors, ν = 1 ... `basis.order`, with forces: zero on
        atoms with fewer neighbors. Together they are the function, less its value for an atom without
        neighbors.

    Notes
    -----
    A canonical basis has these terms as they are. For others P is built over single products, in seconds for thousands
    of them and in minutes for hundreds of thousands.

    Examples
    --------
    >>> import numpy as np
    >>> from ase import Atoms
    >>> from acepure import ACEBasis, LinearFunction
    >>> from acepure.features.body_orders import body_order_functions
    >>> plain = ACEBasis(["Cu"], order=2, totaldegree=4, canonical=False)
    >>> pair, triple = body_order_functions(plain, np.ones(len(plain)))
    >>> dimer = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.5]])
    >>> bool(np.allclose(triple.evaluate(dimer), 0)), bool(np.allclose(pair.evaluate(dimer), 0))
    (True, False)
    """
    check_basis(basis)
    function = LinearFunction(basis, coefficients)
    theta = function.coefficients
    if basis.canonical and basis.reference is None:
        return [LinearFunction(basis, _only(theta, columns)) for columns in basis.order_slices.values()]
    evaluators = [_order_evaluators(basis, center, row) for center, row in zip(basis.species, theta)]
    return [_OrderTerm(function, nu, [of_center[nu] for of_center in evaluators]) for nu in range(basis.order)]


class _OrderTerm(LinearFunction):
    """A linear function of products that are not those of the features of its basis."""

    def __init__(self, function: LinearFunction, nu: int, evaluators: list[LinearEvaluator]) -> None:
        self.basis, self.coefficients = function.basis, function.coefficients
        self.n_outputs, self._nu, self._evaluators = 1, nu, evaluators

    def __reduce__(self) -> tuple[Any, ...]:
        return _term, (self.basis, self.coefficients, self._nu)

    def __repr__(self) -> str:
        return f"<{self._nu + 2}-body term of LinearFunction({self.basis!r})>"


def _term(basis: ACEBasis, coefficients: np.ndarray, nu: int) -> LinearFunction:
    return body_order_functions(basis, coefficients)[nu]


def _only(theta: np.ndarray, columns: slice) -> np.ndarray:
    """The coefficients of some features, zero for the others."""
    part = np.zeros_like(theta)
    part[:, columns] = theta[:, columns]
    return part


def _order_evaluators(basis: ACEBasis, center: str, theta: np.ndarray) -> list[LinearEvaluator]:
    """The terms of each order for one species of center."""
    algebra = basis.operators(center).algebra
    matrix, products = product_expansion(basis, center)
    weights = dict(zip(products, (matrix.T @ theta).tolist()))
    P, names = purification([k for k in products if k], AtomicAlgebra(algebra))
    P, names = purification(names, AtomicAlgebra(algebra))  # the first has the merged products as columns alone
    y = _solve(P, np.array([weights.get(k, 0.0) for k in names]), basis.order)
    orders = np.array([len(k) for k in names])
    rows = np.stack([P.T @ np.where(orders == nu, y, 0.0) for nu in range(1, basis.order + 1)])
    products_, permutation = _product_set(names)
    C = csr_array(rows[:, permutation])
    operators = Operators(algebra, C, products_, None, C, products_, canonical=False)
    geometry = PairGeometry(operators, basis.radial, basis.species)
    return [LinearEvaluator(geometry, operators, unit[None]) for unit in np.eye(basis.order)]


def _solve(P: csr_array, w: np.ndarray, order: int) -> np.ndarray:
    """P⁻ᵀ w = Σ_k (1 − Pᵀ)^k w, which ends as P is unit triangular in the number of factors."""
    total = term = w
    for _ in range(order - 1):
        term = term - P.T @ term
        total = total + term
    return total


def _product_set(names: list[Product]) -> tuple[ProductSet, np.ndarray]:
    """The products as arrays, by number of factors, and the positions in `names` that they come from."""
    one_particle = one_particle_set(
        [tuple(Factor(v.l, v.z, v.q) for v in k) for k in names]
    )  # every m, as kernels pool them
    position = {v: i for i, v in enumerate(one_particle)}
    permutation = np.array(sorted(range(len(names)), key=lambda i: len(names[i])))
    runs: dict[int, list[list[int]]] = {}
    for i in permutation:
        runs.setdefault(len(names[i]), []).append(sorted(position[v] for v in names[i]))
    return ProductSet(one_particle, tuple(np.array(run, dtype=np.int32) for run in runs.values())), permutation
