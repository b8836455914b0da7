"""One value per ordered pair of species (center, neighbor): `PairTable`.

Whatever belongs to a pair, a cutoff say, may be given as one value for all pairs or as a mapping.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from acepure._utils.checks import symbol
from acepure._utils.read_only import ReadOnlyArrays


class PairTable(ReadOnlyArrays, Mapping[tuple[str, str], Any]):
    """An immutable, hashable mapping (center, neighbor) -> value; a pair given once serves both orders.

    Parameters
    ----------
    name : str
        Name of the quantity, for error messages.
    entries : mapping of (str, str) to anything
        Pairs of chemical symbols and their values.
    convert : callable, optional
        ``convert(name, value)`` checks one value and returns what is kept.

    Examples
    --------
    >>> table = PairTable("rcut", {("Cu", "Zr"): 5.0, ("Cu", "Cu"): 4.5, ("Zr", "Zr"): 6.0})
    >>> table["Zr", "Cu"]
    5.0
    """

    def __init__(
        self,
        name: str,
        entries: Mapping[tuple[str, str], Any],
        convert: Callable[[str, Any], Any] = lambda name, value: value,
    ) -> None:
        if not isinstance(entries, Mapping):
            raise TypeError(f"{name} must be a mapping of pairs of chemical symbols to values; got {entries!r}")
        if not entries:
            raise ValueError(f"{name} must name at least one pair of species; got an empty mapping")
        self._entries = {}
        for pair, value in entries.items():
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise TypeError(
                    f'the keys of {name} must be pairs of chemical symbols such as ("Cu", "Zr"); got {pair!r}'
                )
            center, neighbor = (symbol(f"a key of {name}", one, particle=True) for one in pair)
            key = (center, neighbor)
            self._entries[key] = convert(f"{name}[{key[0]!r}, {key[1]!r}]", value)

    def __getitem__(self, pair: tuple[str, str]) -> Any:
        center, neighbor = pair
        if pair in self._entries:
            return self._entries[pair]
        return self._entries[neighbor, center]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __hash__(self) -> int:
        return hash(frozenset(self._entries.items()))

    def __repr__(self) -> str:
        return repr(self._entries)


def per_pair(name: str, value: Any, convert: Callable[[str, Any], Any]) -> Any:
    """Return ``convert(name, value)``, or a `PairTable` of converted values when `value` is a mapping."""
    return PairTable(name, value, convert) if isinstance(value, Mapping) else convert(name, value)


def value_at(name: str, value: Any, center: str | None, neighbor: str | None) -> Any:
    """Return the value of one ordered pair, of a `PairTable` or of one value for all pairs."""
    if not isinstance(value, PairTable):
        return value
    pair = (symbol("center", center, particle=True), symbol("neighbor", neighbor, particle=True))
    if pair not in value:
        known = ", ".join("-".join(p) for p in value)
        raise ValueError(f"{name} has no value for the pair {pair[0]}-{pair[1]}; it has {known}")
    return value[pair]
