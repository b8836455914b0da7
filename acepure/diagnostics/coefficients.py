"""How fast the coefficients of a linear model decay: |θ| by correlation order and by total degree Σ_t (n_t + l_t).

Coefficients of a smooth function in a good basis decay; where they do not, the basis is cut too early or θ is noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from acepure._utils.checks import check_kind, real_array
from acepure.features.basis import ACEBasis
from acepure.features.labels import FeatureLabel


class CoefficientSize(NamedTuple):
    """Size of a group of coefficients: how many, root mean square and largest |θ|, in units of the coefficients."""

    count: int  # type: ignore[assignment]  # hides tuple.count
    rms: float
    largest: float


@dataclass(frozen=True, eq=False)
class CoefficientDecay:
    """Sizes of coefficients by what they belong to; printed, it is a table.

    Attributes
    ----------
    by_order : dict of int to CoefficientSize
        By correlation order ν.
    by_degree : dict of int to CoefficientSize
        By total degree Σ_t (n_t + l_t).
    by_order_and_degree : dict of tuple to CoefficientSize
        By (ν, degree).
    """

    by_order: dict[int, CoefficientSize]
    by_degree: dict[int, CoefficientSize]
    by_order_and_degree: dict[tuple[int, int], CoefficientSize]

    def __str__(self) -> str:
        lines = [f"{'':12}{'coefficients':>12}{'rms':>11}{'largest':>11}"]
        groups = [(f"ν = {order}", size) for order, size in self.by_order.items()]
        groups += [(f"degree {degree}", size) for degree, size in self.by_degree.items()]
        lines += [f"{name:12}{size.count:12}{size.rms:11.2e}{size.largest:11.2e}" for name, size in groups]
        return "\n".join(lines)


def coefficient_decay(labels: ACEBasis | Sequence[FeatureLabel], coefficients: ArrayLike) -> CoefficientDecay:
    """Return the sizes of coefficients by correlation order and total degree.

    Sizes can be compared if the features have similar scale: multiply θ by the standard deviations of the features (see
    `conditioning`) to have the contribution of each.

    Parameters
    ----------
    labels : ACEBasis or sequence of FeatureLabel
        What the coefficients belong to.
    coefficients : array_like of float64, shape (n_features,) or (n_species, n_features)
        θ; rows of several species of center are counted together.

    Examples
    --------
    >>> basis = ACEBasis(["Cu"], order=2, totaldegree=2)
    >>> [str(label) for label in basis.labels[:3]]
    ['Cu(n=0,l=0)', 'Cu(n=1,l=0)', 'Cu(n=2,l=0)']
    >>> decay = coefficient_decay(basis, [9, -3, 1, 0, 0, 0, 0, 4])
    >>> decay.by_order[2].largest, decay.by_degree[1].largest
    (4.0, 3.0)
    """
    labels = _labels(labels)
    coefficients = np.asarray(coefficients)
    if coefficients.ndim == 1:
        coefficients = coefficients[None]
    coefficients = real_array("coefficients", coefficients, (None, len(labels)))
    orders = np.array([len(label.n) for label in labels])
    degrees = np.array([sum(label.n) + sum(label.l) for label in labels])
    groups = list(zip(orders.tolist(), degrees.tolist()))
    return CoefficientDecay(
        {key: _size(coefficients[:, orders == key]) for key in sorted(set(orders.tolist()))},
        {key: _size(coefficients[:, degrees == key]) for key in sorted(set(degrees.tolist()))},
        {key: _size(coefficients[:, (orders == key[0]) & (degrees == key[1])]) for key in sorted(set(groups))},
    )


def _labels(labels: ACEBasis | Sequence[FeatureLabel]) -> tuple[FeatureLabel, ...]:
    if isinstance(labels, ACEBasis):
        return labels.labels
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        raise TypeError(f"labels must be an ACEBasis or a sequence of FeatureLabel; got {labels!r}")
    labels = tuple(labels)
    for number, label in enumerate(labels):
        check_kind(f"labels[{number}]", label, FeatureLabel)
    return labels


def _size(values: np.ndarray) -> CoefficientSize:
    if not values.size:
        return CoefficientSize(0, 0.0, 0.0)
    return CoefficientSize(values.size, float(np.sqrt(np.mean(values**2))), float(np.abs(values).max()))
