"""Forward selection of functions on an R factor: orthogonal least squares with groups of columns.

Columns of a group come and go together: the couplings of a block, for all species of center. With the ridge Γ below
the rows, X → (X; √λ Γ), selected columns are made orthonormal, Q; of all other groups g the next one has the largest

    |Q_gᵀ y|² / cost(g)^thrift,        Q_g an orthonormal basis of X_g with its part along Q taken off:

what the penalized sum of squares falls by, against what evaluation takes more. The cost of a group is the sum over the
items it needs (products, say) of those that no selected group needs already.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

# Groups of whose columns less than this share of the square is left are combinations of what was selected.
_DEPENDENT = 1e-10


def select_groups(
    X: np.ndarray,
    y: np.ndarray,
    groups: Sequence[np.ndarray],
    limit: int,
    *,
    ridge: np.ndarray | None = None,
    needs: csr_array | None = None,
    prices: np.ndarray | None = None,
    thrift: float = 0.5,
) -> list[int]:
    """Return the numbers of the selected groups, in the order of their selection.

    Parameters
    ----------
    X : numpy.ndarray, shape (m, n)
        Columns; the R factor of tall rows serves as well as they do.
    y : numpy.ndarray, shape (m,)
    groups : sequence of numpy.ndarray of int
        Columns of each group, each column once.
    limit : int
        Largest number of columns; groups that no longer fit are passed over.
    ridge : numpy.ndarray, shape (n,), optional
        √λ Γ of each column; default 0.
    needs : scipy.sparse.csr_array of bool, shape (n_groups, n_items), optional
        Items that the evaluation of a group needs; by default its columns.
    prices : numpy.ndarray, shape (n_items,), optional
        Price of each item; default 1.
    thrift : float
        Exponent of the cost.

    Returns
    -------
    list of int

    Examples
    --------
    >>> X = np.eye(3)
    >>> select_groups(X, np.array([1.0, 3.0, 2.0]), [np.array([0]), np.array([1]), np.array([2])], 2)
    [1, 2]
    """
    state = _Columns(X, y, groups, ridge)
    chosen: list[int] = []
    open_, spare = np.ones(len(groups), dtype=bool), limit
    sizes = np.array([len(group) for group in groups])
    unpaid = None if needs is None else np.ones(needs.shape[1]) if prices is None else np.array(prices, dtype=float)
    while True:
        open_ &= sizes <= spare
        if not open_.any():
            return chosen
        cost = sizes.astype(float) if needs is None or unpaid is None else np.maximum(needs @ unpaid, 1.0)
        merit = np.where(open_, state.gains() / cost**thrift, -np.inf)
        best = int(np.argmax(merit))
        if merit[best] <= 0:
            return chosen
        open_[best] = False
        if not state.take(best):
            continue
        chosen.append(best)
        spare -= sizes[best]
        if needs is not None and unpaid is not None:
            unpaid[needs.indices[needs.indptr[best] : needs.indptr[best + 1]]] = 0.0


class _Columns:
    """Columns with the selected part taken off: their Gram matrices per group and products with y, kept up to date."""

    def __init__(self, X: np.ndarray, y: np.ndarray, groups: Sequence[np.ndarray], ridge: np.ndarray | None) -> None:
        n, widest = X.shape[1], max(map(len, groups))
        self.ridge = np.zeros(n) if ridge is None else ridge
        self.X, self.y = np.asfortranarray(X), y
        self.groups = groups
        # Columns of each group, filled up with the zero column n.
        self.table = np.full((len(groups), widest), n)
        for g, group in enumerate(groups):
            self.table[g, : len(group)] = group
        padded = np.hstack([self.X, np.zeros((len(X), 1))])
        members = [padded[:, self.table[:, a]] for a in range(widest)]
        self.gram = np.empty((len(groups), widest, widest))
        for a in range(widest):
            for b in range(widest):
                self.gram[:, a, b] = np.einsum("kg,kg->g", members[a], members[b])
        extra = np.append(self.ridge, 0.0)[self.table] ** 2
        self.gram[:, np.arange(widest), np.arange(widest)] += extra
        self.first = self.gram[:, np.arange(widest), np.arange(widest)].copy()
        self.products = np.append(self.X.T @ y, 0.0)
        # Orthonormal selected columns: their rows above, and below those of the ridge.
        self.upper, self.lower = np.empty((len(X), 0)), np.empty((n, 0))

    def gains(self) -> np.ndarray:
        """|Q_gᵀ y|² of every group, 0 where nothing is left of its columns."""
        c = self.products[self.table]
        diagonal = np.einsum("gaa->ga", self.gram)
        alive = diagonal > _DEPENDENT * self.first
        scale = np.where(alive, 1 / np.sqrt(np.where(alive, diagonal, 1.0)), 0.0)
        scaled = self.gram * scale[:, :, None] * scale[:, None, :]
        numbers = np.arange(scaled.shape[1])
        scaled[:, numbers, numbers] = 1.0 + 1e-12  # columns of a group may depend on each other
        right = c * scale
        gains: np.ndarray = np.einsum("ga,ga->g", right, np.linalg.solve(scaled, right[..., None])[..., 0])
        return gains

    def take(self, g: int) -> bool:
        """Select a group; False if its columns are combinations of selected ones."""
        columns = self.groups[g]
        upper = self.X[:, columns].copy()
        lower = np.zeros((len(self.ridge), len(columns)))
        lower[columns, np.arange(len(columns))] = self.ridge[columns]
        norms = np.sqrt((upper**2).sum(axis=0) + (lower**2).sum(axis=0))
        for _ in range(2):  # twice is enough
            along = self.upper.T @ upper + self.lower.T @ lower
            upper -= self.upper @ along
            lower -= self.lower @ along
        Q, R = np.linalg.qr(np.vstack([upper, lower]))
        kept = np.abs(np.diag(R)) > np.sqrt(_DEPENDENT) * norms
        if not kept.any():
            self.products[columns] = 0.0
            return False
        Q = Q[:, kept]
        upper, lower = Q[: len(upper)], Q[len(upper) :]
        along = np.hstack([upper.T @ self.X + lower.T * self.ridge, np.zeros((Q.shape[1], 1))])
        self.products -= (upper.T @ self.y) @ along
        parts = along[:, self.table]
        self.gram -= np.einsum("qga,qgb->gab", parts, parts)
        self.upper, self.lower = np.hstack([self.upper, upper]), np.hstack([self.lower, lower])
        return True
