"""The compiled tables of a basis, built when they are first used."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from acepure.features.centers import CenterGroup
from acepure.functions.radial import RadialBasis
from acepure.stages.fused import FeatureEvaluator, LinearEvaluator, PairGeometry, PullbackEvaluator

__all__: list[str] = []


class Tables:
    """Evaluators of each group of centers.

    Parameters
    ----------
    groups : sequence of CenterGroup
    radial : RadialBasis
    species : sequence of str
    """

    def __init__(self, groups: Sequence[CenterGroup], radial: RadialBasis, species: Sequence[str]) -> None:
        self.groups, self._radial, self._species = groups, radial, species

    @cached_property
    def geometries(self) -> list[PairGeometry]:
        """From pairs to sums A and back."""
        return [PairGeometry(group.operators, self._radial, self._species, group.shift) for group in self.groups]

    @cached_property
    def evaluators(self) -> list[FeatureEvaluator]:
        """Features."""
        return [FeatureEvaluator(geometry, group.operators) for geometry, group in zip(self.geometries, self.groups)]

    @cached_property
    def pullback_evaluators(self) -> list[PullbackEvaluator]:
        """Vector-Jacobian products."""
        return [PullbackEvaluator(geometry, group.operators) for geometry, group in zip(self.geometries, self.groups)]

    def linear_evaluators(
        self, weights: np.ndarray, like: Sequence[LinearEvaluator] | None = None
    ) -> list[LinearEvaluator]:
        """Fold weights, shape (n_outputs, n_species, n_features), into products: one evaluator per species of center.

        `like` are evaluators of the same tables whose arrangement of products is taken over where it serves.
        """
        group_of = {z: k for k, group in enumerate(self.groups) for z in group.species}
        return [
            LinearEvaluator(
                self.geometries[group_of[z]],
                self.groups[group_of[z]].operators,
                weights[:, z],
                None if like is None else like[z],
            )
            for z in range(len(self._species))
        ]
