"""How large things are: exact counts of functions, estimates of memory, and refusal of what would not fit."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from functools import lru_cache
from itertools import combinations_with_replacement
from typing import Protocol

from acepure.characters import coupling_count, product_counts
from acepure.errors import BasisTooLargeError
from acepure.indices import Block, equality_pattern

__all__ = [
    "ROUNDING",
    "IndexSets",
    "check_memory",
    "function_counts",
    "physical_memory",
    "refuse_at_least",
    "refuse_larger",
]

#: Sums n + wL·l are compared with D up to this much rounding.
ROUNDING = 1e-9

# Set-up memory per product of the extended set, measured from above with benchmarks/setup_time.py.
_BYTES_PER_PRODUCT = 2048


class IndexSets(Protocol):
    """What is counted here: the fields of a `Specification` that decide its size."""

    @property
    def species(self) -> tuple[str, ...]: ...
    @property
    def order(self) -> int: ...
    @property
    def totaldegree(self) -> tuple[float, ...] | None: ...
    @property
    def n_max(self) -> tuple[int, ...] | None: ...
    @property
    def wL(self) -> float: ...
    @property
    def n_start(self) -> int: ...
    @property
    def functions(self) -> tuple[Block, ...] | None: ...
    def limits(self, nu: int) -> tuple[int, Callable[[int], int]]: ...
    def __hash__(self) -> int: ...


@lru_cache(maxsize=64)
def function_counts(spec: IndexSets) -> tuple[tuple[int, int], ...]:
    """Return (number of functions, exact; of products with purification, estimated) for each order.

    For each multiset of l's, the multisets of (species, n) and their m's are counted by generating functions in
    (Σ n, Σ m); invariants are N(Σm = 0) − N(Σm = 1).  Complex harmonics need N(Σm = 0) products, real ones about 1.4
    times as many; purification adds about as many again at order 4, and doubles the total with each further order.
    """
    if spec.functions is not None:
        return tuple(_count_explicit([b for b in spec.functions if len(b) == nu]) for nu in range(1, spec.order + 1))
    result = []
    for nu in range(1, spec.order + 1):
        l_top, _ = spec.limits(nu)
        functions = products = 0.0
        for ls in combinations_with_replacement(range(l_top + 1), nu):
            if sum(ls) % 2 or 2 * ls[-1] > sum(ls):  # parity; polygon rule
                continue
            if spec.totaldegree is None:
                width, step = spec.n_max[nu - 1], 0
            else:
                spare = spec.totaldegree[nu - 1] - nu * spec.n_start - spec.wL * sum(ls) + ROUNDING
                if spare < 0:
                    continue
                width, step = math.floor(spare) + 1, 1
            zero, one = product_counts(tuple(sorted({(l, ls.count(l)) for l in ls})), len(spec.species), width, step)
            functions += zero - one
            products += 1.4 * zero
        result.append((round(functions), round(products * max(1, 2 ** (nu - 3)))))
    return tuple(result)


def _count_explicit(blocks: list[Block]) -> tuple[int, int]:
    functions = products = 0
    for block in blocks:
        pattern = equality_pattern(block)
        groups = tuple(sorted((block[pattern.index(g)].l, pattern.count(g)) for g in set(pattern)))
        functions += coupling_count(groups)
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
    refuse_at_least("this specification", _at_least(spec), available)
    available = physical_memory() if available is None else available
    counts = function_counts(spec)
    functions, products = (sum(column) for column in zip(*counts))
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


def _at_least(spec: IndexSets) -> float:
    """A lower bound that costs nothing: functions of the highest order with l = 0 alone."""
    nu, n_species = spec.order, len(spec.species)
    if spec.functions is not None:
        return len(spec.functions)
    if spec.totaldegree is None:
        return math.comb(n_species * spec.n_max[-1] + nu - 1, nu)
    spare = math.floor(spec.totaldegree[-1] - nu * spec.n_start + ROUNDING)
    # ordered ν-tuples of n with sum ≤ spare, of which at most ν! are one multiset
    return math.comb(spare + nu, nu) / math.factorial(nu) if spare >= 0 else 0


def refuse_larger(name: str, shape: tuple[int, ...], limit: float, advice: str) -> None:
    """Raise unless a float64 array fits into `limit` bytes, before it is made.

    Parameters
    ----------
    name : str
        What the array is, for the message.
    shape : tuple of int
    limit : float
        Bytes.
    advice : str
        What else to do; ends the message.

    Raises
    ------
    ValueError
        With shape and size.

    Examples
    --------
    >>> refuse_larger("a table", (1000, 1000), 4e6, "take fewer rows")
    Traceback (most recent call last):
        ...
    ValueError: a table of shape (1000, 1000) needs 0.00745 GiB, more than the limit of 0.00373 GiB; take fewer rows
    """
    n_bytes = 8 * math.prod(shape)
    if n_bytes > limit:
        raise ValueError(
            f"{name} of shape {shape} needs {n_bytes / 2**30:.3g} GiB, more than the limit of {limit / 2**30:.3g} GiB; "
            f"{advice}"
        )


def physical_memory() -> float:
    """Bytes of physical memory; infinite where the system does not tell."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return math.inf
