"""What a reference is: the supplier of radial functions, means μ and pair constants c."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, Protocol

import numpy as np

from acepure._utils.serialization import Serializable
from acepure.functions.radial import PolynomialRadialBasis, RadialBasis
from acepure.labels.factors import Factor
from acepure.labels.selection import Specification

PairConstants = Callable[[Factor, Factor], float]


class BasisShape(Protocol):
    """What a reference asks of an `ACEBasis`: its radial functions and index sets."""

    @property
    def species(self) -> tuple[str, ...]: ...
    @property
    def specification(self) -> Specification: ...
    @property
    def radial(self) -> RadialBasis: ...
    @property
    def canonical(self) -> bool: ...
    @property
    def rcut(self) -> float: ...
    @property
    def cutoffs(self) -> np.ndarray: ...


class Reference(Serializable, ABC):
    """Base of references: what supplies μ and, if wanted, c.

    Subclass `DensityReference` for a density of neighbors of your own.
    """

    @abstractmethod
    def radial(self, radial: RadialBasis, species: Sequence[str]) -> RadialBasis:
        """Return radial functions with the same cutoff, transform and envelope, orthonormal for the reference.

        Parameters
        ----------
        radial : PolynomialRadialBasis
        species : sequence of str
            Chemical symbols; every ordered pair gets its own polynomials.

        Raises
        ------
        TypeError, ValueError
            For functions that are no envelope times polynomials, or pairs the reference does not know.
        """

    @abstractmethod
    def means(self, radial: RadialBasis, center: str, neighbor: str, labels: Sequence[Any]) -> np.ndarray:
        """Return μ of the neighbor sums with l = 0 whose radial labels are given, shape (len(labels),)."""

    def check(self, radial: RadialBasis, species: Sequence[str]) -> None:
        """Raise TypeError or ValueError now, not at first use, unless the means of all pairs are known."""
        for center, neighbor in product(species, repeat=2):
            self.means(radial, center, neighbor, [radial.algebra(center, species, 1).basis_label(0, 0)])

    def pairs(self, radial: RadialBasis, center: str, species: Sequence[str]) -> PairConstants | None:
        """Return the measured c_uv = Cov(A_u, A_v) of factors with equal l and m, or None where it is not known."""
        return None


def check_polynomial(radial: object) -> PolynomialRadialBasis:
    """Return the functions; raise TypeError unless they are an envelope times polynomials."""
    if not isinstance(radial, PolynomialRadialBasis):
        raise TypeError(
            f"radial must be a PolynomialRadialBasis to be made orthonormal; got {radial!r}. "
            "With orthonormal=False the functions are kept as they are"
        )
    return radial
