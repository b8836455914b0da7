"""Irreducible representations of O(3): how a feature answers to rotations and to inversion."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from acepure._utils.checks import count
from acepure.labels.counting import check_label

__all__ = ["INVARIANT", "Irrep", "resolve_irrep"]


class Irrep(NamedTuple):
    """2L + 1 components that rotate like Y_LM and take the sign `parity` under inversion.

    Attributes
    ----------
    L : int
        Degree.
    parity : int
        +1 (even, "e") or −1 (odd, "o"). True tensors have (−1)^L; the others are pseudotensors.

    Examples
    --------
    >>> str(Irrep(1, -1)), Irrep(1, -1).is_true, str(Irrep(1, 1)), len(Irrep(2, 1).components)
    ('1o', True, '1e', 5)
    """

    L: int = 0
    parity: int = 1

    @property
    def components(self) -> range:
        """M = −L..L."""
        return range(-self.L, self.L + 1)

    @property
    def is_true(self) -> bool:
        """Whether the parity is that of Y_LM."""
        return self.parity == (-1) ** self.L

    @property
    def lowest_order(self) -> int:
        """The fewest neighbors that tell this representation: a pseudovector needs two, a pseudoscalar three."""
        if self.is_true:
            return 1
        return 2 if self.L else 3

    def __str__(self) -> str:
        return f"{self.L}{'e' if self.parity > 0 else 'o'}"


#: What energies are made of.
INVARIANT = Irrep()


def resolve_irrep(L: Any = None, irrep: Any = None) -> Irrep:
    """Return the representation that `L` (a true tensor) or `irrep` (as "1e") names; invariants by default.

    Raises
    ------
    TypeError, ValueError
        For anything else, and for both together.

    Examples
    --------
    >>> resolve_irrep(L=1), resolve_irrep(irrep="1e"), resolve_irrep()
    (Irrep(L=1, parity=-1), Irrep(L=1, parity=1), Irrep(L=0, parity=1))
    """
    if L is not None and irrep is not None:
        raise ValueError(f"L={L!r} and irrep={irrep!r} exclude each other: L is short for the true tensor")
    if irrep is not None:
        if not isinstance(irrep, str):
            raise TypeError(f'irrep must be a string such as "1o" or "2e", got {irrep!r}')
        found = re.fullmatch(r"([0-9]{1,9})([eo])", irrep)
        if not found:
            raise ValueError(f'irrep must be a degree and "e" or "o", such as "1o" or "2e"; got {irrep!r}')
        return Irrep(check_label("irrep", int(found[1]), "l"), 1 if found[2] == "e" else -1)
    degree = 0 if L is None else check_label("L", count("L", L, least=0), "l")
    return Irrep(degree, (-1) ** degree)
