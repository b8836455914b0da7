"""Objects to plain Python types and back, for model files without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np

from acepure._utils.pairs import PairTable
from acepure._utils.read_only import ReadOnlyArrays

T = TypeVar("T", bound="Serializable")


class Serializable(ReadOnlyArrays):
    """Base of dataclasses that turn into dictionaries of JSON types and back.

    The dictionary holds the class name under ``"kind"``, with its module for classes of users, and one entry per
    field of the constructor. A subclass that is a dataclass, a user's own included, needs to do nothing;
    `from_dict` finds it by its name once it is defined (the latest definition, if a name was defined twice). It
    never imports anything.

    Examples
    --------
    >>> from acepure.functions import PowerTransform, Transform
    >>> PowerTransform(exponent=2).to_dict()
    {'kind': 'PowerTransform', 'exponent': 2.0}
    >>> Transform.from_dict({"kind": "PowerTransform", "exponent": 2.0})
    PowerTransform(exponent=2.0)
    """

    def to_dict(self) -> dict[str, Any]:
        """Return the object as JSON types (dict, list, str, float, int, bool, None).

        Raises
        ------
        TypeError
            If the class is no dataclass, or a field holds something that JSON cannot express.
        """
        name = type(self).__name__
        if not is_dataclass(self):
            raise TypeError(f"{name} must be a dataclass, or define to_dict() and from_dict(), to be saved")
        values = {f.name: plain(f"{name}.{f.name}", getattr(self, f.name)) for f in fields(self) if f.init}
        return {"kind": kind_of(type(self)), **values}

    @classmethod
    def from_dict(cls: type[T], data: Mapping[str, Any]) -> T:
        """Return the object that `to_dict` turned into `data`.

        Raises
        ------
        TypeError
            If `data` is no mapping.
        ValueError
            If ``data["kind"]`` names no known class of this family, an entry is missing or unknown, or a value is out
            of range.
        """
        if not isinstance(data, Mapping):
            raise TypeError(f"data must be a mapping with a key 'kind'; got {data!r}")
        known: dict[str, Any] = {kind_of(c): c for c in (cls, *descendants(cls))}
        kind = data.get("kind")
        if kind not in known:
            raise ValueError(f"data['kind'] must be one of {', '.join(sorted(known))}; got {kind!r}")
        target = known[kind]
        if target.from_dict.__func__ is not cls.from_dict.__func__:  # type: ignore[attr-defined]  # of methods
            return target.from_dict(data)
        names = ["kind", *(f.name for f in fields(target) if f.init)] if is_dataclass(target) else list(data)
        for what, wrong in (("lacks", set(names) - set(data)), ("has the unknown entry", set(data) - set(names))):
            if wrong:  # a default of today is not what was meant when it was written
                raise ValueError(f"the data of {kind} {what} {sorted(wrong)[0]!r}")
        return target(**{key: restored(value) for key, value in data.items() if key != "kind"})


def kind_of(cls: type) -> str:
    """Return the name of a class of this package, module and name of another one."""
    own = cls.__module__.split(".")[0] == __name__.split(".")[0]
    return cls.__name__ if own else f"{cls.__module__}.{cls.__qualname__}"


def descendants(cls: type) -> list[type]:
    """Return all subclasses of `cls`, oldest first at each level."""
    children: list[type] = cls.__subclasses__()
    return [d for c in children for d in (c, *descendants(c))]


def plain(name: str, value: Any) -> Any:
    """Return `value` as JSON types."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Serializable):
        return value.to_dict()
    if isinstance(value, PairTable):
        return {"pairs": [[*pair, plain(name, entry)] for pair, entry in value.items()]}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(name, entry) for entry in value]
    raise TypeError(f"{name} must be a number, text, array or {Serializable.__name__}; got {value!r}")


def restored(value: Any) -> Any:
    """Return what `plain` made `value` from; tables of pairs become mappings, arrays stay lists."""
    if isinstance(value, Mapping) and "kind" in value:
        return Serializable.from_dict(value)
    if isinstance(value, Mapping) and "pairs" in value:
        return {(center, neighbor): restored(entry) for center, neighbor, entry in value["pairs"]}
    return value
