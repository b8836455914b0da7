"""What a basis is, once its arguments are resolved: names and numbers, read-only."""

from __future__ import annotations

import numpy as np

from acepure._utils.read_only import ReadOnly
from acepure.functions.radial import RadialBasis
from acepure.labels.selection import Specification
from acepure.references import Reference

__all__ = ["Resolved"]


class Resolved(ReadOnly):
    """The arguments of a basis, read-only; `ACEBasis` sets and uses them."""

    _specification: Specification
    _radial: RadialBasis
    _canonical: bool
    _reference: Reference | None
    _cutoffs: np.ndarray

    @property
    def species(self) -> tuple[str, ...]:
        """Chemical symbols, sorted by atomic number."""
        return self._specification.species

    @property
    def specification(self) -> Specification:
        """The resolved index sets."""
        return self._specification

    @property
    def radial(self) -> RadialBasis:
        """The radial functions."""
        return self._radial

    @property
    def canonical(self) -> bool:
        """Whether self-interactions are taken out."""
        return self._canonical

    @property
    def reference(self) -> Reference | None:
        """What the basis is centered on, if anything."""
        return self._reference

    @property
    def order(self) -> int:
        """Largest correlation order ν."""
        return self._specification.order

    @property
    def rcut(self) -> float:
        """Largest cutoff of all pairs, in Å."""
        return float(self._cutoffs.max())

    @property
    def cutoffs(self) -> np.ndarray:
        """Cutoffs in Å of (center, neighbor), shape (n_species, n_species); read-only."""
        return self._cutoffs

    def __len__(self) -> int:
        return len(self._specification)

    @property
    def L(self) -> int:
        """Degree of the features: they rotate like Y_LM."""
        return self._specification.L

    @property
    def parity(self) -> int:
        """Sign of the features under inversion."""
        return self._specification.parity

    @property
    def irrep(self) -> str:
        """Degree and parity, such as "1o"."""
        return str(self._specification.irrep)

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of the features of one atom: (n_features,), or (n_features, 2L + 1) for L > 0."""
        return (len(self), 2 * self.L + 1) if self.L else (len(self),)
