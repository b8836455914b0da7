"""Correlation order of every feature."""

from __future__ import annotations

from typing import Any

import numpy as np


def feature_orders(basis: Any) -> np.ndarray:
    """Return the correlation order of every feature of a basis, shape (n_features,), from its `order_slices`.

    Examples
    --------
    >>> from acepure import ACEBasis
    >>> feature_orders(ACEBasis(["Cu"], order=2, totaldegree=2))
    array([1, 1, 1, 2, 2, 2, 2, 2])
    """
    orders = np.zeros(len(basis), dtype=int)
    for name, columns in basis.order_slices.items():
        orders[columns] = int(name.removeprefix("nu"))
    return orders
