"""Weights of the rows of a fit, per group of structures (config_type).

A structure of N atoms contributes to the sum of squares

    (w_E² / N) (E − Ê)²  +  w_F² Σ_ia (F_ia − F̂_ia)²  +  (w_V² / N) Σ_ab (W_ab − Ŵ_ab)²,

E in eV, F in eV/Å, W in eV: the rows and right-hand sides of energies and virials are multiplied by w_E/√N and w_V/√N,
those of forces by w_F, the convention of ACEpotentials.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, NamedTuple

from acepure._utils.checks import count, number
from acepure.fitting.labels import text_table

#: Other spelling → name here.
SYNONYMS = {"E": "energy", "F": "forces", "V": "virial"}


class LabelWeights(NamedTuple):
    """Weights of one group: w_E (1/eV), w_F (Å/eV) and w_V (1/eV), all ≥ 0; with 0 the label does not count."""

    energy: float
    forces: float
    virial: float


# A fit in double precision has 16 digits for all weights together.
_LEAST, _MOST = 1e-6, 1e6

#: What holds for groups and labels that no weight is given for.
DEFAULT_WEIGHTS = LabelWeights(30.0, 1.0, 1.0)


@dataclass(frozen=True)
class Weights:
    """Weights by group, from `resolve_weights`; printed, a table.

    Attributes
    ----------
    default : LabelWeights
        Of groups that are not in `groups`.
    groups : dict
        config_type → LabelWeights.

    Examples
    --------
    >>> print(resolve_weights({"surface": {"E": 100}}, ["bulk", "surface"]))
    config_type  w_E (1/eV)  w_F (Å/eV)  w_V (1/eV)
    bulk                 30           1           1
    surface             100           1           1
    default              30           1           1
    rows are multiplied by w_E/√N (energy), w_F (forces), w_V/√N (virial), with N atoms
    """

    default: LabelWeights = DEFAULT_WEIGHTS
    groups: Mapping[str, LabelWeights] = field(default_factory=dict)

    def of(self, config_type: str) -> LabelWeights:
        """Return the weights of a group."""
        return self.groups.get(config_type, self.default)

    def row_factors(self, config_type: str, n_atoms: int) -> LabelWeights:
        """Return what rows are multiplied by: w_E/√N, w_F, w_V/√N.

        Parameters
        ----------
        config_type : str
        n_atoms : int
            N ≥ 1.

        Examples
        --------
        >>> resolve_weights().row_factors("bulk", 4)
        LabelWeights(energy=15.0, forces=1.0, virial=0.5)
        """
        root = math.sqrt(count("n_atoms", n_atoms))
        energy, forces, virial = self.of(config_type)
        return LabelWeights(energy / root, forces, virial / root)

    def to_dict(self) -> dict[str, list[float]]:
        """Return what `resolve_weights` takes: three numbers for each group and for "default"."""
        return {"default": list(self.default), **{name: list(found) for name, found in self.groups.items()}}

    def table(self) -> str:
        """Weights of all groups, and the formula."""
        header = ["config_type", "w_E (1/eV)", "w_F (Å/eV)", "w_V (1/eV)"]
        groups = {**self.groups, "default": self.default}
        rows = [[name, *(f"{w:g}" for w in weights)] for name, weights in groups.items()]
        formula = "rows are multiplied by w_E/√N (energy), w_F (forces), w_V/√N (virial), with N atoms"
        return f"{text_table([header, *rows])}\n{formula}"

    def __str__(self) -> str:
        return self.table()


def resolve_weights(
    weights: Weights | Mapping[str, Any] | Sequence[float] | None = None, config_types: Iterable[str] | None = None
) -> Weights:
    """Return the weights in their final form.

    Parameters
    ----------
    weights : optional
        None for the default (30, 1, 1); three numbers w_E, w_F, w_V; a mapping of labels, {"energy": 30, "forces": 1,
        "virial": 1}; or a mapping of groups, {"default": ..., "liquid": ...}, each to three numbers or to a mapping of
        labels.  "E", "F", "V" are synonyms.  A label that a group leaves out is taken from "default", one
        that "default" leaves out from (30, 1, 1).
    config_types : iterable of str, optional
        Groups of the data.  With them, weights of another group are an error, and the table names them all.

    Returns
    -------
    Weights

    Raises
    ------
    TypeError, ValueError
        For weights that are negative, not finite, all zero, not three, or neither 0 nor from 1e-6 to 1e6; for unknown
        labels and groups.

    Examples
    --------
    >>> weights = resolve_weights({"default": (30, 1, 1), "liquid": {"E": 10, "V": 0}})
    >>> weights.of("liquid")
    LabelWeights(energy=10.0, forces=1.0, virial=0.0)
    """
    if isinstance(weights, Weights):
        default, given = weights.default, dict(weights.groups)
    else:
        default, given = _by_group(weights)
    groups = given
    if config_types is not None:
        known = dict.fromkeys(config_types)
        refuse_unknown(given, known)
        groups = {name: given.get(name, default) for name in known if name != "default"}
    if not any(any(w) for w in (default, *groups.values())):
        raise ValueError("weights are all 0; at least one must be > 0")
    for name, values in {"default": default, **groups}.items():
        _refuse_extreme(name, values)
    return Weights(default, groups)


def _refuse_extreme(group: str, weights: LabelWeights) -> None:
    """Raise for weights so far apart that rows of one kind are rounding in the sums of the others."""
    for label, weight in weights._asdict().items():
        if weight and not _LEAST <= weight <= _MOST:
            raise ValueError(
                f'the weight of {label} of config_type "{group}" must be 0 or from {_LEAST:g} to {_MOST:g}; '
                f"got {weight:g}"
            )


def _by_group(weights: Any) -> tuple[LabelWeights, dict[str, LabelWeights]]:
    """Default, and weights of the named groups."""
    nested = isinstance(weights, Mapping) and not any(isinstance(value, Real) for value in weights.values())
    if not nested:
        return _label_weights("weights", weights, DEFAULT_WEIGHTS), {}
    default = _label_weights('weights["default"]', weights.get("default"), DEFAULT_WEIGHTS)
    groups = {}
    for name, value in weights.items():
        if not isinstance(name, str):
            raise TypeError(f"weights must be given by config_type; got {name!r} of type {type(name).__name__}")
        if name != "default":
            groups[name] = _label_weights(f'weights["{name}"]', value, default)
    return default, groups


def _label_weights(name: str, value: Any, default: LabelWeights) -> LabelWeights:
    if value is None:
        return default
    if isinstance(value, str) or not isinstance(value, (Mapping, Iterable)):
        raise TypeError(f"{name} must be three numbers w_E, w_F, w_V, or a mapping of labels; got {value!r}")
    if not isinstance(value, Mapping):
        value = tuple(value)
        if len(value) != len(LabelWeights._fields):
            raise ValueError(f"{name} must be three numbers w_E, w_F, w_V; got {value!r}")
        value = dict(zip(LabelWeights._fields, value))
    result: dict[str, float] = {}
    for spelling, weight in value.items():
        label = SYNONYMS.get(spelling, spelling)
        if label not in LabelWeights._fields:
            raise ValueError(f"{name} must be given for energy, forces, virial (or E, F, V); got {spelling!r}")
        if label in result:
            raise ValueError(f"{name} has {label} twice, under two spellings")
        result[label] = number(f'{name}["{spelling}"]', weight, least=0)
    return default._replace(**result)


def refuse_unknown(given: Iterable[str], known: Mapping[str, Any]) -> None:
    """Raise ValueError for weights of groups that the data do not have."""
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"weights has config_type {name!r}; the data has {', '.join(known)}{hint}")
