"""Weights divided into those of kinds of labels, which cross-validation may change, and relative ones of groups."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from acepure.fitting.weights import LabelWeights, Weights


def relative_weights(weights: Weights) -> tuple[Weights, LabelWeights]:
    """Return weights of groups relative to the default, and the default.

    A default of 0 counts as 1.

    Examples
    --------
    >>> relative, base = relative_weights(Weights(groups={"liquid": LabelWeights(15.0, 1.0, 0.0)}))
    >>> relative.groups["liquid"], base
    (LabelWeights(energy=0.5, forces=1.0, virial=0.0), LabelWeights(energy=30.0, forces=1.0, virial=1.0))
    """
    base = LabelWeights(*(w if w > 0 else 1.0 for w in weights.default))
    return _changed(weights, lambda found: [w / b for w, b in zip(found, base)]), base


def scaled_weights(relative: Weights, base: Sequence[float]) -> Weights:
    """Inverse of `relative_weights`."""
    return _changed(relative, lambda found: [w * b for w, b in zip(found, base)])


def without_virials(weights: Weights, groups: Collection[str], config_types: Iterable[str]) -> Weights:
    """Return the weights with 0 for the virials of some groups."""
    changed = {name: weights.of(name)._replace(virial=0.0) for name in config_types if name in groups}
    return Weights(weights.default, {**weights.groups, **changed})


def _changed(weights: Weights, change: Callable[[LabelWeights], Iterable[float]]) -> Weights:
    groups = {name: LabelWeights(*change(found)) for name, found in weights.groups.items()}
    return Weights(LabelWeights(*change(weights.default)), groups)
