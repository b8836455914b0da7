"""Weights of groups from the residuals of a first fit: noise by group and kind, once, and guarded.

With r_gk the root mean square residual of kind k in group g (energies and virials per atom, forces), over rows whose
residual is not zero by symmetry, the weights of a second fit are

    w_gk ← f_gk w_k,      f_gk = clip(median_g r_gk / r_gk, 1/10, 10).

Iterating would drive groups that are
fitted well to weights without bound; so there is one step. Where all structures are one group there is nothing to
compare, and rows are weighted instead: a row of residual r, s = 1.4826 median |r|, by (1 + (r/s)²/ν)^−½ with ν = 3, the
weights of Student's t distribution.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from acepure._utils.checks import number, real_array
from acepure.fitting.errors import Errors
from acepure.fitting.weights import LabelWeights, Weights

# Residuals below this share of the root mean square of their kind are zero by symmetry, such as forces in a crystal.
_ZERO = 1e-6
_FEWEST = 5
_GUARD = 10.0
_FREEDOM = 3.0
# So much of a normal distribution's standard deviation is the median of its absolute values.
_MEDIAN = 1.4826


def group_residuals(errors: Errors) -> dict[str, dict[str, np.ndarray]]:
    """Return residuals by group and kind of label: energies and virials per atom in eV, forces in eV/Å.

    Parameters
    ----------
    errors : Errors
        Of a first fit, on its structures.
    """
    kinds = LabelWeights._fields
    return {
        name: {kind: found[kind].predicted - found[kind].true for kind in kinds if kind in found}
        for name, found in errors.groups.items()
    }


def group_weights(
    residuals: Mapping[str, Mapping[str, ArrayLike]], weights: Weights, *, guard: float = _GUARD
) -> Weights:
    """Return weights in which every group counts by its own noise.

    Parameters
    ----------
    residuals : mapping of config_type to mapping of "energy", "forces", "virial" to array_like
        Of a first fit, see `group_residuals`. The unit does not matter, but must be one for each kind.
    weights : Weights
        Of the first fit.
    guard : float
        No weight changes by more than this factor, ≥ 1.

    Returns
    -------
    Weights
        A kind with fewer than two groups of five residuals, and a group with fewer, keep what they had.

    Raises
    ------
    TypeError, ValueError
        For residuals that are no finite numbers, and a guard below 1.

    Examples
    --------
    >>> noisy = {"liquid": {"forces": [0.4, -0.4] * 5}, "bulk": {"forces": [0.1, -0.1] * 5}}
    >>> found = group_weights(noisy, Weights())
    >>> [round(found.of(name).forces, 3) for name in noisy]
    [0.625, 2.5]
    """
    guard = number("guard", guard, least=1)
    factors: dict[str, dict[str, float]] = {name: {} for name in residuals}
    for kind in LabelWeights._fields:
        of_kind = {
            name: real_array(f"residuals[{name!r}][{kind!r}]", found[kind], (None,))
            for name, found in residuals.items()
            if kind in found
        }
        sizes = _sizes(of_kind)
        if len(sizes) < 2:
            continue
        middle = float(np.median(list(sizes.values())))
        for name, size in sizes.items():
            factors[name][kind] = float(np.clip(middle / size, 1 / guard, guard))
    changed = {
        name: LabelWeights(*(w * found.get(kind, 1.0) for kind, w in weights.of(name)._asdict().items()))
        for name, found in factors.items()
    }
    default = changed.pop("default", weights.default)
    return Weights(default, {**weights.groups, **changed})


def group_sizes(residuals: Mapping[str, Mapping[str, ArrayLike]]) -> dict[tuple[str, str], float]:
    """Return the root mean square of (group, kind) over residuals that are not zero by symmetry, if they are enough.

    Parameters
    ----------
    residuals : mapping of config_type to mapping of "energy", "forces", "virial" to array_like
        See `group_residuals`.
    """
    result: dict[tuple[str, str], float] = {}
    for kind in LabelWeights._fields:
        of_kind = {name: np.asarray(found[kind]) for name, found in residuals.items() if kind in found}
        result |= {(name, kind): size for name, size in _sizes(of_kind).items()}
    return result


def _sizes(residuals: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Root mean square of each group that has enough residuals."""
    together = np.concatenate([np.zeros(0), *residuals.values()])
    if not together.any():
        return {}
    least = _ZERO * np.sqrt(np.mean(together**2))
    kept = {name: values[np.abs(values) > least] for name, values in residuals.items()}
    return {name: float(np.sqrt(np.mean(values**2))) for name, values in kept.items() if len(values) >= _FEWEST}


def student_factors(residuals: ArrayLike, freedom: float = _FREEDOM) -> np.ndarray:
    """Return what rows are multiplied by, (1 + (r/s)²/ν)^−½ with s = 1.4826 median |r|; 1 for all if s is 0.

    Parameters
    ----------
    residuals : array_like, shape (n,)
        Of rows of one kind.
    freedom : float
        ν > 0.

    Examples
    --------
    >>> student_factors([0.1, -0.1, 0.1, 10.0]).round(3)
    array([0.932, 0.932, 0.932, 0.026])
    """
    r, freedom = real_array("residuals", residuals, (None,)), number("freedom", freedom, above=0)
    scale = _MEDIAN * float(np.median(np.abs(r))) if len(r) else 0.0
    return np.ones(len(r)) if scale == 0 else (1 + (r / scale) ** 2 / freedom) ** -0.5
