"""Which functions a basis holds: index sets of radial and angular labels, and their exact sizes.

A *function* of correlation order ν is a multiset of ν factors (species, n, l) with an O(3)-invariant coupling, or with
one to a target, L and parity.
Four ways to choose them:

    totaldegree, wL      Σ_t (n_t + wL l_t) ≤ D_ν, one D or one per order (the ACEpotentials convention: n_start=1)
    n_max, l_max         a box: n < n_start + n_max, l ≤ l_max, one number or one per order
    n_functions          the largest total-degree set with D_ν = 0.8^(ν−1) D_1 that has at most so many functions
    functions            an explicit list

`occupancy` limits how often a species may occur in each of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from ase.data import atomic_numbers

from acepure._utils.checks import count, number, symbol
from acepure.labels.characters import coupling_count
from acepure.labels.counting import ROUNDING, IndexSets, check_label, check_memory, function_counts, refuse_at_least
from acepure.labels.factors import Block, Factor, equality_pattern
from acepure.labels.irreps import INVARIANT, Irrep, resolve_irrep
from acepure.labels.occupancy import NOT_AN_ATOM, Occupancy

__all__ = ["Specification"]

DEFAULT_TOTALDEGREE = 6

#: D_ν / D_{ν−1} of the sets chosen by `n_functions`; 20, 16, 12.8 is close to the sets used in practice.
BUDGET_RATIO = 0.8


@dataclass(frozen=True)
class Specification(IndexSets):
    """The index sets of a basis.

    Use `Specification.create`, which checks and resolves the arguments; the fields are the resolved ones.

    Attributes
    ----------
    species : tuple of str
        Chemical symbols, sorted by atomic number.
    order : int
        Largest correlation order ν; body order is ν + 1.
    totaldegree : tuple of float, or None
        D_ν for ν = 1..order.
    n_max, l_max : tuple of int, or None
        The box for ν = 1..order.
    wL : float
        Weight of l in the total degree.
    n_start : int
        First radial label.
    functions : tuple, or None
        Explicit list; each function a sorted tuple of (l, species index, n).
    L, parity : int
        Target of the couplings.
    occupancy : Occupancy, or None
        How often some species may occur in a function.
    """

    @classmethod
    def create(
        cls,
        species: Sequence[str],
        order: int | None = None,
        *,
        totaldegree: float | Sequence[float] | None = None,
        wL: float | None = None,
        n_max: int | Sequence[int] | None = None,
        l_max: int | Sequence[int] | None = None,
        n_functions: int | None = None,
        functions: Iterable[Sequence[Sequence[Any]]] | None = None,
        n_start: int = 0,
        L: int | None = None,
        irrep: str | None = None,
        occupancy: Mapping[str, Any] | None = None,
    ) -> Specification:
        """Check the arguments and resolve them.

        Parameters
        ----------
        species : sequence of str
            Chemical symbols, in any order, without repetition.
        order : int, optional
            Correlation order; by default the length of the per-order lists, else that of the longest explicit function,
            else 3.
        totaldegree, wL, n_max, l_max, n_functions, functions, n_start
            See the module; exactly one way of choosing. An explicit function is a sequence of factors (n, l), for a
            single species, or (symbol, n, l).
        L, irrep
            What the functions are: L for true tensors, or "0e", "1o", "1e", ...; default invariants, "0e".
        occupancy : mapping of str to int or (int, int or None), optional
            How often a species may occur in a function, {symbol: (least, most)}; one number is both. The symbol "X", a
            particle that is no atom, must be named here. Not together with `functions`.

        Raises
        ------
        TypeError, ValueError
            For wrong types, contradictory or impossible arguments, naming them.

        Examples
        --------
        >>> len(Specification.create(["Si"], totaldegree=[20, 16, 12], wL=1.5, n_start=1))
        299
        >>> Specification.create(["Cu"], 2, n_max=4, l_max=6).sizes
        (4, 70)
        """
        named = isinstance(occupancy, Mapping) and NOT_AN_ATOM in occupancy
        symbols = _check_species(species, NOT_AN_ATOM if named else None)
        limits = None if occupancy is None else Occupancy(occupancy, symbols)
        if limits is not None and functions is not None:
            raise ValueError("occupancy and functions exclude each other: an explicit list says what occurs")
        n_start = count("n_start", n_start, least=0)
        target = resolve_irrep(L, irrep)
        if wL is not None and (functions is not None or n_max is not None or l_max is not None):
            raise ValueError(f"wL={wL!r} is the weight of l in a total degree; it has no meaning for a box or a list")
        wL = 1.0 if wL is None else number("wL", wL, above=0)
        ways: dict[str, dict[str, Any]] = {
            "totaldegree": {"totaldegree": totaldegree},
            "n_max with l_max": {"n_max": n_max, "l_max": l_max},
            "n_functions": {"n_functions": n_functions},
            "functions": {"functions": functions},
        }
        given = {way: [name for name, value in named.items() if value is not None] for way, named in ways.items()}
        if sum(map(bool, given.values())) != 1:
            names = " and ".join(name for named in given.values() for name in named)
            raise ValueError(f"choose the functions in exactly one way, of {', '.join(ways)}; got {names or 'none'}")
        if functions is not None:
            blocks = _explicit(functions, symbols, n_start, target)
            longest = max(len(block) for block in blocks)
            order = longest if order is None else count("order", order)
            if order != longest:
                raise ValueError(f"order={order}, but the longest of the explicit functions has order {longest}")
            return cls(symbols, order, None, None, None, wL, n_start, blocks, *target)
        order = _resolve_order(order, totaldegree=totaldegree, n_max=n_max, l_max=l_max)
        if order < target.lowest_order:
            raise ValueError(f'irrep="{target}" has no functions below order {target.lowest_order}; got order={order}')
        if limits is not None:
            limits.check_order(order, target.lowest_order)
        empty = cls(symbols, order, None, None, None, wL, n_start, None, *target, limits)
        if totaldegree is not None:
            degrees = tuple(number("totaldegree", d, least=0) for d in _per_order("totaldegree", totaldegree, order))
            return replace(empty, totaldegree=degrees)._checked()
        if n_functions is not None:
            n_functions = count("n_functions", n_functions)
            refuse_at_least("n_functions", n_functions)
            return _largest_within(empty, n_functions)
        if n_max is None or l_max is None:
            raise ValueError(f"a box needs both n_max and l_max; got n_max={n_max!r}, l_max={l_max!r}")
        return replace(
            empty,
            n_max=tuple(count("n_max", n) for n in _per_order("n_max", n_max, order)),
            l_max=tuple(count("l_max", l, least=0) for l in _per_order("l_max", l_max, order)),
        )

    def _checked(self) -> Specification:
        for nu, degree in enumerate(self.totaldegree or (), 1):
            if degree + ROUNDING < nu * self.n_start:
                raise ValueError(
                    f"totaldegree={degree:g} leaves order {nu} empty: with n_start={self.n_start} its lowest "
                    f"degree is {nu * self.n_start}"
                )
        return self

    @property
    def irrep(self) -> Irrep:
        """Target of the couplings."""
        return Irrep(self.L, self.parity)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Exact number of functions per order, by character count, without building them."""
        return tuple(functions for functions, _ in function_counts(self))

    def __len__(self) -> int:
        return sum(self.sizes)

    def check_memory(self, available: float | None = None) -> None:
        """Refuse what would not fit.

        Parameters
        ----------
        available : float, optional
            Bytes; by default the physical memory of the machine.

        Raises
        ------
        BasisTooLargeError
            With the exact size and the estimate.
        """
        check_memory(self, available)

    def blocks(self) -> list[Block]:
        """Return the multisets of factors (l, species index, n) that have a coupling, in feature order."""
        if self.functions is not None:
            return sorted(self.functions, key=_feature_order)
        result = [block for nu in range(1, self.order + 1) for block in self._blocks_of_order(nu)]
        return sorted(result, key=_feature_order)

    def _blocks_of_order(self, nu: int) -> Iterator[Block]:
        l_top, n_top = self.limits(nu)
        labels = [
            Factor(l, z, self.n_start + n)
            for l in range(l_top + 1)
            for z in range(len(self.species))
            for n in range(n_top(l) + 1)
        ]
        degrees = [f.q + self.wL * f.l for f in labels]
        budget = math.inf if self.totaldegree is None else self.totaldegree[nu - 1] + ROUNDING
        lowest = self.n_start  # every further factor costs at least this much

        def extend(start: int, chosen: Block, rest: float) -> Iterator[Block]:
            missing = nu - len(chosen)
            species = [factor.z for factor in chosen]
            if self.occupancy is not None and not self.occupancy.may_grow(species):
                return
            if missing == 0:
                if _has_coupling(chosen, self) and (self.occupancy is None or self.occupancy.allows(species)):
                    yield chosen
                return
            for i in range(start, len(labels)):
                if degrees[i] + (missing - 1) * lowest <= rest:
                    yield from extend(i, (*chosen, labels[i]), rest - degrees[i])

        return extend(0, (), budget)

    def within(self, most: Mapping[str, int]) -> Specification:
        """Return the functions that have at most so many factors of each symbol.

        Raises
        ------
        ValueError
            If none is left.

        Examples
        --------
        >>> water = Specification.create(["H", "O"], 2, totaldegree=2)
        >>> len(water), len(water.within({"O": 1}))
        (23, 18)
        """
        if self.functions is None:
            occupancy = (self.occupancy or Occupancy({}, self.species)).within(most)
            occupancy.check_order(self.order, self.irrep.lowest_order)
            return replace(self, occupancy=occupancy)
        limits = Occupancy(dict.fromkeys(self.species, (0, None)), self.species).within(most)
        functions = tuple(block for block in self.functions if limits.may_grow([factor.z for factor in block]))
        if not functions:
            raise ValueError(f"none of the {len(self.functions)} functions has at most {dict(most)} factors")
        return replace(self, functions=functions, order=max(map(len, functions)))

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values from which `from_dict` makes an equal specification."""
        result: dict[str, Any] = {"species": list(self.species), "order": self.order, "n_start": self.n_start}
        if self.functions is not None:
            result["functions"] = [[[self.species[f.z], f.q, f.l] for f in block] for block in self.functions]
        elif self.totaldegree is not None:
            result.update(totaldegree=list(self.totaldegree), wL=self.wL)
        else:
            n_max, l_max = self._box
            result.update(n_max=list(n_max), l_max=list(l_max))
        if self.irrep != INVARIANT:
            result["irrep"] = str(self.irrep)
        if self.occupancy is not None:
            result["occupancy"] = self.occupancy.to_dict()
        return result

    @classmethod
    def from_dict(cls, dictionary: dict[str, Any]) -> Specification:
        """Inverse of `to_dict`."""
        return cls.create(**dictionary)


def _feature_order(block: Block) -> tuple[Any, ...]:
    """By order, species, degrees, radial labels."""
    species = tuple(f.z for f in block)
    return len(block), tuple(sorted(species)), tuple(f.l for f in block), species, tuple(f.q for f in block)


def _has_coupling(block: Block, target: Specification | Irrep) -> bool:
    if (-1) ** sum(f.l for f in block) != target.parity:
        return False
    pattern = equality_pattern(block)
    groups = [(block[pattern.index(g)].l, pattern.count(g)) for g in range(pattern[-1] + 1)]
    return coupling_count(tuple(sorted(groups)), target.L, target.parity) > 0


def _largest_within(template: Specification, n_functions: int) -> Specification:
    """Largest set with budgets D_ν = BUDGET_RATIO^(ν−1) D that has at most n_functions functions."""

    def with_degree(top: float) -> Specification:
        degrees = tuple(
            _achievable(top * BUDGET_RATIO ** (nu - 1), nu, template) for nu in range(1, template.order + 1)
        )
        return replace(template, totaldegree=degrees)

    lowest = max(template.n_start * nu / BUDGET_RATIO ** (nu - 1) for nu in range(1, template.order + 1))
    minimum = len(with_degree(lowest))
    if minimum > n_functions:
        raise ValueError(
            f"n_functions={n_functions} is too small: order {template.order} with {len(template.species)} species has "
            f"at least {minimum} functions; raise n_functions or lower the order"
        )
    high = lowest + 1.0
    while len(with_degree(high)) <= n_functions:
        high *= 1.5
    candidates = sorted(
        {
            (n + template.wL * l) / BUDGET_RATIO ** (nu - 1)
            for nu in range(1, template.order + 1)
            for n in range(math.floor(high) + 1)
            for l in range(math.floor(high / template.wL) + 1)
            if lowest <= (n + template.wL * l) / BUDGET_RATIO ** (nu - 1) <= high
        }
        | {lowest}
    )
    below, above = 0, len(candidates)
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (middle, above) if len(with_degree(candidates[middle])) <= n_functions else (below, middle)
    return with_degree(candidates[below])


def _achievable(budget: float, nu: int, template: Specification) -> float:
    """Largest n + wL·l ≤ budget, so that the resolved numbers are those a person would write."""
    ls = range(math.floor(budget / template.wL + ROUNDING) + 1)
    return max(math.floor(budget - template.wL * l + ROUNDING) + template.wL * l for l in ls)


# --- checks ----------------------------------------------------------------------------------------------------


def _check_species(species: Sequence[str], particle: str | None) -> tuple[str, ...]:
    if not isinstance(species, (Sequence, np.ndarray)):
        raise TypeError(f"species must be a sequence of chemical symbols such as ['Cu'], got {species!r}")
    if isinstance(species, str):
        raise TypeError(
            f"species must be a sequence of chemical symbols such as ['{species}'], got the string {species!r}"
        )
    symbols = list(species)
    if not symbols:
        raise ValueError("species is empty; at least one chemical symbol is needed")
    for k, name in enumerate(symbols):
        symbol(f"species[{k}]", name, particle=name == particle)
    if len(set(symbols)) != len(symbols):
        raise ValueError(f"species holds a symbol twice: {symbols}")
    return tuple(sorted(symbols, key=atomic_numbers.__getitem__))


def _resolve_order(order: int | None, **lists: Any) -> int:
    lengths = {name: len(value) for name, value in lists.items() if _is_list(value)}
    for name, length in lengths.items():
        if length == 0:
            raise ValueError(f"{name} is an empty list; it needs one entry per order")
    if order is not None:
        return check_label("order", count("order", order), "order")
    if len(set(lengths.values())) > 1:
        raise ValueError(f"lists per order have different lengths: {lengths}")
    return check_label("order", next(iter(lengths.values()), 3), "order")


def _is_list(value: Any) -> bool:
    return isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str) and np.ndim(value) > 0


def _per_order(name: str, value: Any, order: int) -> list[Any]:
    if not _is_list(value):
        return [value.item() if isinstance(value, np.ndarray) else value] * order
    if len(value) != order:
        raise ValueError(f"{name}={list(value)} has {len(value)} entries, but order={order} needs {order}")
    return list(value)


def _explicit(functions: Iterable[Any], species: tuple[str, ...], n_start: int, target: Irrep) -> tuple[Block, ...]:
    if not isinstance(functions, Iterable):
        raise TypeError(f"functions must be a sequence of functions, each a sequence of factors; got {functions!r}")
    blocks: dict[Block, None] = {}
    for function in functions:
        listed = (Sequence, np.ndarray)
        if not isinstance(function, listed) or not all(isinstance(factor, listed) for factor in function):
            raise TypeError(f"functions: {function!r} must be a sequence of factors (symbol, n, l), or (n, l)")
        check_label("order", len(function), "order")
        factors = []
        for factor in function:
            if len(factor) == 2 and len(species) == 1:
                name, (n, l) = species[0], factor
            elif len(factor) == 3:
                name, n, l = factor
            else:
                raise ValueError(
                    f"functions: the factor {factor!r} of {function!r} must be (symbol, n, l), "
                    "or (n, l) for one species"
                )
            if name not in species:
                raise ValueError(f"functions: {name!r} in {function!r} is not one of the species {species}")
            l = check_label("l in functions", count("l in functions", l, least=0), "l")
            n = check_label("n in functions", count("n in functions", n, least=n_start), "n")
            factors.append(Factor(l, species.index(name), n))
        block = tuple(sorted(factors))
        if not block:
            raise ValueError("functions holds an empty function; the constant is not part of a basis")
        if not _has_coupling(block, target):
            kind = "invariant coupling" if target == INVARIANT else f"coupling to {target}"
            raise ValueError(f"functions: {function!r} has no {kind} under rotations and reflections")
        if block in blocks:
            raise ValueError(f"functions holds {function!r} twice")
        blocks[block] = None
    if not blocks:
        raise ValueError("functions is empty")
    return tuple(sorted(blocks, key=_feature_order))


def with_default(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `Specification.create` takes without the arguments that are None; totaldegree=6 if nothing is chosen.

    Raises
    ------
    ValueError
        For n_start or wL without a choice: the default is for n_start=0, wL=1.

    Examples
    --------
    >>> with_default({"order": 2, "totaldegree": None, "n_start": None})
    {'order': 2, 'totaldegree': 6}
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    if not any(choice in given for choice in ("totaldegree", "n_max", "l_max", "n_functions", "functions")):
        for name in ("n_start", "wL"):
            if name in given:
                raise ValueError(
                    f"{name}={given[name]!r} needs totaldegree too: the default of 6 is for n_start=0, wL=1"
                )
        given["totaldegree"] = DEFAULT_TOTALDEGREE
    return given
