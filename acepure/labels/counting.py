"""How many functions there are, exactly, and refusal of bases that would not fit in memory."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations_with_replacement, islice, product
from typing import TypeVar

from acepure._utils.memory import physical_memory
from acepure.errors import BasisTooLargeError
from acepure.labels.characters import coupling_count, product_counts
from acepure.labels.factors import Block, equality_pattern
from acepure.labels.occupancy import Occupancy

__all__ = [
    "LARGEST",
    "ROUNDING",
    "IndexSets",
    "check_label",
    "check_memory",
    "function_counts",
    "refuse_at_least",
]

#: Sums n + wL·l are compared with D up to this much rounding.
ROUNDING = 1e-9

#: Labels and orders beyond these are slips of the keyboard or of a file: counting them alone would take for ever.
LARGEST = {"order": 32, "n": 10_000, "l": 128}

# Set-up memory per product of the extended set, measured from above with benchmarks/setup_time.py.
_BYTES_PER_PRODUCT = 2048

# Where l is absurd, this many combinations of degrees are looked at to see whether the size is, too.
_STEPS = 2**16
# Up to so many bytes sizes are counted, for the message, even where they do not fit.
_COUNTED = 2.0**30


Label = TypeVar("Label", int, float)


@dataclass(frozen=True)
class IndexSets:
    """The fields of a `Specification`, which documents them, and the limits that they set."""

    species: tuple[str, ...]
    order: int
    totaldegree: tuple[float, ...] | None = None
    n_max: tuple[int, ...] | None = None
    l_max: tuple[int, ...] | None = None
    wL: float = 1.0
    n_start: int = 0
    functions: tuple[Block, ...] | None = field(default=None, repr=False)
    L: int = 0
    parity: int = 1
    occupancy: Occupancy | None = None

    def limits(self, nu: int) -> tuple[int, Callable[[int], int]]:
        """Largest l of a factor at order ν, and the largest n − n_start as a function of l."""
        if self.totaldegree is None:
            n_max, l_max = self._box
            return l_max[nu - 1], lambda l: n_max[nu - 1] - 1
        spare = _spare(self, nu)
        l_top = math.floor(spare / self.wL)
        l_top = l_top if nu > 1 else min(l_top, self.L)
        return l_top, lambda l: math.floor(spare - self.wL * l)

    @property
    def _box(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """n_max and l_max, where the functions are chosen by them."""
        assert self.n_max is not None and self.l_max is not None
        return self.n_max, self.l_max


@lru_cache(maxsize=64)
def function_counts(spec: IndexSets) -> tuple[tuple[int, int], ...]:
    """Return (number of functions, exact; of products with purification, estimated) for each order.

    For each multiset of l's, the multisets of (species, n) and their m's are counted by generating functions in
    (Σ n, Σ m); functions are N(Σm = L) − N(Σm = L + 1).  Complex harmonics need the products with |Σm| ≤ L, real ones
    about 1.4 times as many; purification adds about as many again at order 4, and doubles the total with each further
    order.
    """
    if spec.functions is not None:
        orders = range(1, spec.order + 1)
        return tuple(_count_explicit(spec, [b for b in spec.functions if len(b) == nu]) for nu in orders)
    result = []
    for nu in range(1, spec.order + 1):
        functions = products = 0.0
        for ls in _coupled_degrees(spec, nu):
            if spec.totaldegree is None:
                width, step = spec._box[0][nu - 1], 0
            else:
                width, step = math.floor(_spare(spec, nu) - spec.wL * sum(ls)) + 1, 1
            for groups, n_species in _groups(spec, ls):
                if nu == 1:
                    functions += float(n_species * width)
                    products += (2 * spec.L + 1) * n_species * width
                    continue
                counts = product_counts(groups, n_species, width, step, spec.L)
                functions += counts[spec.L] - counts[spec.L + 1]
                products += 1.4 * (2 * sum(counts[: spec.L + 1]) - counts[0])
        result.append((round(functions), round(products * max(1, 2 ** (nu - 3)))))
    return tuple(result)


def _largest_l(spec: IndexSets, nu: int) -> float:
    """Largest l that couples at one order: it is at most the sum of the others and L."""
    if nu == 1:
        return spec.L
    if spec.totaldegree is None:
        return spec.limits(nu)[0]
    total = _spare(spec, nu) / spec.wL
    return min(total, (total + spec.L) // 2) if spec.L else total // 2


def _spare(spec: IndexSets, nu: int) -> float:
    """What a total degree leaves for Σ (n − n_start) + wL Σ l."""
    assert spec.totaldegree is not None
    return spec.totaldegree[nu - 1] - nu * spec.n_start + ROUNDING


def _coupled_degrees(spec: IndexSets, nu: int) -> Iterator[tuple[int, ...]]:
    """Multisets of ν degrees l that may couple to L: Σ l of its parity, each at most the sum of the others and L."""
    odd = int(spec.parity < 0)
    l_top = spec.limits(nu)[0]
    most = nu * l_top if spec.totaldegree is None else math.floor(_spare(spec, nu) / spec.wL)

    def extend(chosen: tuple[int, ...], total: int) -> Iterator[tuple[int, ...]]:
        low, missing = chosen[-1] if chosen else 0, nu - len(chosen)
        if missing > 1:
            for l in range(low, min(l_top, (most - total) // missing) + 1):
                yield from extend((*chosen, l), total + l)
            return
        low = max(low, spec.L - total)
        for l in range(low + (low + total + odd) % 2, min(l_top, total + spec.L, most - total) + 1, 2):
            yield (*chosen, l)

    return extend((), 0) if most >= 0 else iter(())


def _groups(spec: IndexSets, ls: tuple[int, ...]) -> Iterator[tuple[tuple[tuple[int, int], ...], int]]:
    """Degrees and multiplicities that count as one, and how many species each factor may have; ls is sorted."""
    runs = [(l, ls.count(l)) for l in sorted(set(ls))]
    if spec.occupancy is None:
        yield tuple(runs), len(spec.species)
        return
    for chosen in product(*(combinations_with_replacement(range(len(spec.species)), g) for _, g in runs)):
        if spec.occupancy.allows(sum(chosen, ())):
            yield tuple((l, zs.count(z)) for (l, _), zs in zip(runs, chosen) for z in sorted(set(zs))), 1


def _count_explicit(spec: IndexSets, blocks: list[Block]) -> tuple[int, int]:
    functions = products = 0
    for block in blocks:
        pattern = equality_pattern(block)
        groups = tuple(sorted((block[pattern.index(g)].l, pattern.count(g)) for g in set(pattern)))
        functions += coupling_count(groups, spec.L, spec.parity)
        products += 2 * math.prod(2 * f.l + 1 for f in block)
    return functions, products


def check_memory(spec: IndexSets, available: float | None = None) -> None:
    """Refuse what would not fit.

    Parameters
    ----------
    spec : IndexSets
        A `Specification`.
    available : float, optional
        Bytes; by default the physical memory of the machine.

    Raises
    ------
    BasisTooLargeError
        With the exact size and the estimate.
    """
    available = physical_memory() if available is None else available
    l_top = 0 if spec.functions is not None else max(_largest_l(spec, nu) for nu in range(1, spec.order + 1))
    enough = max(available, _COUNTED) / _BYTES_PER_PRODUCT
    if (bound := _at_least(spec, enough, None if l_top <= LARGEST["l"] else _STEPS)) > enough:
        refuse_at_least("this specification", bound, available)
    check_label("l", l_top, "l")
    counts = function_counts(spec)
    functions, products = (sum(column) for column in zip(*counts))
    if not functions:
        raise ValueError(
            f"no function of this specification couples to L={spec.L}, parity={spec.parity:+d}: got {spec!r}; "
            "raise the degree or the order"
        )
    estimate = _BYTES_PER_PRODUCT * float(products)
    if estimate > available:
        per_order = ", ".join(f"{n:,}" for n, _ in counts)
        raise BasisTooLargeError(
            f"this specification has {functions:,} functions ({per_order} for orders 1 to {spec.order}) from about "
            f"{products:,} products; building them needs about {estimate / 2**30:,.1f} GiB, and there are "
            f"{available / 2**30:,.1f} GiB. Lower the order or the degree, or use n_functions"
        )


def refuse_at_least(name: str, functions: float, available: float | None = None) -> None:
    """Raise BasisTooLargeError if so many functions would certainly not fit, without counting them."""
    available = physical_memory() if available is None else available
    needed = _BYTES_PER_PRODUCT * float(functions)
    if needed > available:
        raise BasisTooLargeError(
            f"{name} asks for at least {functions:.1e} functions from as many products; building them needs more than "
            f"{needed / 2**30:.1e} GiB, and there are {available / 2**30:,.1f} GiB. Lower the order or the degree, or "
            "use a smaller n_functions"
        )


def _at_least(spec: IndexSets, enough: float, steps: int | None) -> float:
    """A lower bound of the number of functions; it ends where it is `enough`, or after so many steps per order."""
    if spec.functions is not None:
        return len(spec.functions)
    n_species, total = len(spec.species), 0.0
    for nu in range(spec.order, 0, -1):
        # ordered ν-tuples of (species, n), of which at most ν! are one multiset
        same = math.factorial(nu) / float(1 if spec.occupancy else n_species) ** nu
        # equal factors may have no coupling to a pseudotensor: then n's that differ are counted
        differ = nu * (nu - 1) // 2 if spec.parity != (-1) ** spec.L else 0
        for ls in islice(_coupled_degrees(spec, nu), steps):
            if spec.occupancy is not None and not any(True for _ in _groups(spec, ls)):
                continue
            if spec.totaldegree is None:
                width = spec._box[0][nu - 1]
                total += math.perm(width, nu) / same if differ else max(1.0, float(width) ** nu / same)
            else:
                rest = math.floor(min(_spare(spec, nu) - spec.wL * sum(ls), 1e6)) - differ
                total += max(0.0 if differ else 1.0, math.comb(max(0, rest + nu), nu) / same)
            if total > enough:
                return total
    return total


def check_label(name: str, value: Label, kind: str) -> Label:
    """Return an order, n or l that is not absurdly large."""
    if value > LARGEST[kind]:
        raise BasisTooLargeError(
            f"{name} must be at most {LARGEST[kind]:,}; got {reprlib.repr(value)}; lower the order or the degree"
        )
    return value
