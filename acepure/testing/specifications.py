"""Hypothesis strategies for arguments of ACEBasis: which functions, of which radial family, canonical or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from acepure._utils.checks import count, number
from acepure.functions import (
    AgnesiTransform,
    Chebyshev,
    CosineEnvelope,
    Legendre,
    LinearTransform,
    Measure,
    Orthonormal,
    PolynomialEnvelope,
    PolynomialRadialBasis,
    SmoothEnvelope,
)
from acepure.labels.selection import Specification
from acepure.testing.optional import st

# Functions are taken away from the largest order until so many are left.
_MAX_FUNCTIONS = 300


def polynomial_radial_bases(
    min_cutoff: float = 3.0, max_cutoff: float = 5.0
) -> st.SearchStrategy[PolynomialRadialBasis]:
    """Radial functions f(r) P_n(x(r)): every transform, envelope and family of polynomials, any cutoff in a range.

    Parameters
    ----------
    min_cutoff, max_cutoff : float
        Å.

    Examples
    --------
    >>> from hypothesis import given
    >>> @given(polynomial_radial_bases(3.0, 4.0))
    ... def test(radial):
    ...     assert 3.0 <= radial.cutoff("Cu", "Cu") <= 4.0
    >>> test()
    """
    low, high = number("min_cutoff", min_cutoff, above=0), number("max_cutoff", max_cutoff, above=min_cutoff)
    exponents = st.sampled_from([2.0, 3.0, 2.5, 4.0])
    envelopes = st.one_of(exponents.map(SmoothEnvelope), exponents.map(PolynomialEnvelope), st.just(CosineEnvelope()))
    transforms = st.sampled_from([AgnesiTransform(), LinearTransform(), AgnesiTransform(p=1, q=3)])
    nodes = np.linspace(0.2 * low, 0.97 * low, 60)
    families = st.sampled_from([Chebyshev(), Legendre(), Orthonormal(Measure(nodes, nodes**2))])
    cutoffs = st.integers(0, 32).map(lambda k: low + (high - low) * k / 32)
    return st.builds(PolynomialRadialBasis, cutoffs, transforms, envelopes, families)


@st.composite
def specifications(
    draw: Any,
    species: Sequence[str] = ("Cu", "Zr"),
    max_order: int = 4,
    *,
    canonical: bool | None = None,
    radial: st.SearchStrategy | None = None,
) -> dict[str, Any]:
    """Arguments of ACEBasis, at most 300 features: total degrees or boxes, with any radial functions.

    Parameters
    ----------
    species : sequence of str
    max_order : int
        Largest correlation order.
    canonical : bool, optional
        By default both occur.
    radial : strategy, optional
        By default `polynomial_radial_bases`.

    Examples
    --------
    >>> from hypothesis import given
    >>> from acepure import ACEBasis
    >>> @given(specifications(["Cu"], max_order=2))
    ... def test(arguments):
    ...     assert 0 < len(ACEBasis(**arguments)) <= 300
    >>> test()
    """
    arguments: dict[str, Any] = {"species": list(species)}
    order = draw(st.integers(1, count("max_order", max_order)))
    if draw(st.booleans()):
        sizes = draw(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4)), min_size=order, max_size=order))
        choice = {"n_max": [n for n, _ in sizes], "l_max": [l for _, l in sizes]}
    else:
        choice = {"totaldegree": draw(st.lists(st.integers(0, 6), min_size=order, max_size=order))}
        arguments["wL"] = draw(st.sampled_from([1.0, 1.5, 0.5]))
    arguments |= _reduced(species, choice, arguments.get("wL"))
    arguments["radial"] = draw(polynomial_radial_bases() if radial is None else radial)
    arguments["canonical"] = draw(st.booleans()) if canonical is None else canonical
    return arguments


def _reduced(species: Sequence[str], choice: dict[str, Any], wL: float | None) -> dict[str, Any]:
    """Smaller numbers, from the largest order down, until there are few functions."""
    least = {"n_max": 1, "l_max": 0, "totaldegree": 0}
    while sum(Specification.create(species, wL=wL, **choice).sizes) > _MAX_FUNCTIONS:
        sizes = Specification.create(species, wL=wL, **choice).sizes
        largest = int(np.argmax(sizes))
        name = max(choice, key=lambda key: choice[key][largest])
        choice[name][largest] = max(least[name], choice[name][largest] - 1)
    return choice
