"""How often particles of a kind may occur in a function: at most once, exactly once, at least once.

A particle that exists once, such as a bond, has no second copy to meet, so functions with two of its factors vanish for
distinct particles. They are left out here, before anything is built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from acepure._utils.checks import count
from acepure._utils.read_only import ReadOnly

__all__ = ["NOT_AN_ATOM", "Occupancy"]

#: The symbol of a particle that is no atom, as in ASE.
NOT_AN_ATOM = "X"


class Occupancy(ReadOnly):
    """Least and largest number of factors of some species in a function; the others may occur as often as they like.

    Parameters
    ----------
    limits : mapping of str to int or (int, int or None)
        {symbol: (least, most)}; one number is both, None is no limit.
    species : sequence of str
        Symbols that may be named.

    Raises
    ------
    TypeError, ValueError

    Examples
    --------
    >>> once = Occupancy({"X": 1}, ["X", "Cu"])
    >>> once.allows((0, 1)), once.allows((1,))
    (True, False)
    """

    def __init__(self, limits: Mapping[str, Any], species: Sequence[str]) -> None:
        if not isinstance(limits, Mapping):
            raise TypeError(f'occupancy must map symbols to (least, most), such as {{"X": (1, 1)}}; got {limits!r}')
        checked = {}
        for symbol, limit in limits.items():
            if symbol not in species:
                raise ValueError(f"occupancy names {symbol!r}, which is not one of the species {list(species)}")
            checked[species.index(symbol)] = _pair(f"occupancy[{symbol!r}]", limit)
        self._species = tuple(species)
        self.limits = tuple(sorted(checked.items()))

    def within(self, most: Mapping[str, int]) -> Occupancy:
        """Return limits that also allow at most so many factors of each symbol.

        Examples
        --------
        >>> Occupancy({"O": (0, 3)}, ["H", "O"]).within({"H": 2, "O": 4})
        Occupancy({'H': [0, 2], 'O': [0, 3]})
        """
        given: dict[str, Any] = self.to_dict()
        for symbol, limit in most.items():
            low, high = given.get(symbol, (0, None))
            given[symbol] = (low, limit if high is None else min(limit, high))
        return Occupancy(given, self._species)

    def check_order(self, order: int, lowest: int) -> None:
        """Raise a ValueError unless a function of up to `order` factors, and at least `lowest`, is possible."""
        needed = max(lowest, sum(least for _, (least, _) in self.limits))
        all_limited = len(self.limits) == len(self._species) and all(most is not None for _, (_, most) in self.limits)
        possible = min(order, sum(most or 0 for _, (_, most) in self.limits)) if all_limited else order
        if needed > possible:
            raise ValueError(
                f"occupancy={self.to_dict()} leaves no function: {needed} factors are needed, {possible} are possible"
            )

    def may_grow(self, factors: Sequence[int]) -> bool:
        """Whether no species occurs more often than it may, given the species index of each factor."""
        return all(most is None or factors.count(z) <= most for z, (_, most) in self.limits)

    def allows(self, factors: Sequence[int]) -> bool:
        """Whether every species occurs as often as it must and may."""
        return self.may_grow(factors) and all(factors.count(z) >= least for z, (least, _) in self.limits)

    def to_dict(self) -> dict[str, list[int | None]]:
        """Return plain values from which an equal one is made."""
        return {self._species[z]: list(pair) for z, pair in self.limits}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Occupancy):
            return NotImplemented
        return (self._species, self.limits) == (other._species, other.limits)

    def __hash__(self) -> int:
        return hash((self._species, self.limits))

    def __repr__(self) -> str:
        return f"Occupancy({self.to_dict()})"


def _pair(name: str, limit: Any) -> tuple[int, int | None]:
    if isinstance(limit, Sequence) and not isinstance(limit, str):
        if len(limit) != 2:
            raise ValueError(f"{name} must be one number or (least, most); got {limit!r}")
        least, most = limit
    else:
        least = most = limit
    least = count(f"least of {name}", least, least=0)
    return least, None if most is None else count(f"most of {name}", most, least=least)
