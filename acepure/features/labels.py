"""Names of features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from acepure.algebra.coupling import symmetric_couplings
from acepure.labels.factors import Block, equality_pattern
from acepure.labels.irreps import INVARIANT, Irrep

__all__ = ["FeatureLabel", "feature_labels"]


class FeatureLabel(NamedTuple):
    """Names one feature: Σ_m coupling coefficients times Π_t A of its factors.

    Attributes
    ----------
    species : tuple of str
        Chemical symbol of the neighbors of each factor.
    n, l : tuple of int
        Radial index, counted from `n_start`, and degree of each factor.
    coupling : tuple of int
        Intermediate degrees (L_2, L_3, ...) of the coupling of the factors, one after the other; of the couplings that
        are independent when equal factors are exchanged.
    """

    species: tuple[str, ...]
    n: tuple[int, ...]
    l: tuple[int, ...]
    coupling: tuple[int, ...]

    @property
    def order(self) -> int:
        """Correlation order ν; the body order is ν + 1."""
        return len(self.n)

    def __str__(self) -> str:
        factors = " ".join(f"{s}(n={n},l={l})" for s, n, l in zip(self.species, self.n, self.l))
        return factors + (f" L={','.join(map(str, self.coupling))}" if self.coupling else "")


def feature_labels(
    blocks: Sequence[Block], symbols: Sequence[str], irrep: Irrep = INVARIANT
) -> tuple[FeatureLabel, ...]:
    """Return one label per feature, in the order of the blocks and of their couplings.

    Parameters
    ----------
    blocks : sequence of Block
        With n as the label of radial functions.
    symbols : sequence of str
        Chemical symbols of the species indices.
    irrep : Irrep
        What the features are; one label serves all M.
    """
    return tuple(
        FeatureLabel(tuple(symbols[f.z] for f in block), tuple(f.q for f in block), ls, path)
        for block in blocks
        for ls in [tuple(f.l for f in block)]
        for path in symmetric_couplings(ls, equality_pattern(block), *irrep)[1]
    )
