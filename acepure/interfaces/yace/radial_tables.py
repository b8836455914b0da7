"""The radial functions of a basis in those that .yace files know.

    chebyshev_tables     R_q(r) = Σ_k c_k g_k(r), any functions that vanish at the cutoff, to a given accuracy
    polynomial_tables    R_q(r) = Σ_n c_n P_n(r), functions that are polynomials of r, to round-off

With x = 2r/rcut − 1, a Chebyshev series Σ_k a_k T_k(x) that vanishes at the cutoff is Σ_k (−2a_k) g_k with
g_k = (1 − T_k)/2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev
from scipy.fft import dct

from acepure.features.basis import ACEBasis
from acepure.functions.envelopes import PolynomialEnvelope, SmoothEnvelope
from acepure.functions.radial import PolynomialRadialBasis
from acepure.functions.transforms import LinearTransform, PowerTransform
from acepure.interfaces.yace.bonds import Bond, PolynomialBond, TableBond
from acepure.interfaces.yace.complex_products import Products

# Series are computed with so many nodes, until their coefficients have died out.
_NODES = (64, 256, 1024, 4096)
# Terms that a file may have; LAMMPS computes all of them for each pair of atoms.
MOST_TERMS = 400
# Relative size of coefficients that are rounding.
_NOISE = 4e-15

Expansion = tuple[np.ndarray, np.ndarray]  # n from 0, coefficients


@dataclass(frozen=True, eq=False)
class RadialTables:
    """What a file says of radial functions, and how those of the basis are made of them.

    Attributes
    ----------
    bonds : dict of (int, int) to Bond
        For each ordered pair (center, neighbor).
    single, higher : dict of (center, neighbor, l, q) to (n, coefficients)
        The function with label q at degree l as Σ c R_n, for products of one factor and of several.
    """

    bonds: dict[tuple[int, int], Bond]
    single: dict[tuple[int, int, int, Any], Expansion]
    higher: dict[tuple[int, int, int, Any], Expansion]


def chebyshev_tables(basis: ACEBasis, models: Sequence[Products], accuracy: float, step: float) -> RadialTables:
    """Return tables of family ChebPow with λ = 1.

    Parameters
    ----------
    basis : ACEBasis
    models : sequence of Products
        For each species of center.
    accuracy : float
        Largest error of a radial function and of its slope in 1/Å, relative to the largest value of the function.
    step : float
        Distance of the nodes of the tables that LAMMPS makes, in Å.

    Raises
    ------
    ValueError
        If a function needs more than 400 terms.
    """
    used = _used_labels(basis, models)
    series = {key: _chebyshev_series(basis, *key, labels) for key, labels in used.items()}
    n_base = max((_needed(rows, basis, key, accuracy) for key, rows in series.items()), default=1)
    single, higher = {}, {}
    numbers: dict[tuple[int, int, int], int] = {}
    for z, mu, l, q, rank in sorted(_uses(models)):
        labels = used[z, mu]
        row = _padded(-2 * series[z, mu][labels.index(q)], n_base + 1)[1:]
        if rank == 1:
            single[z, mu, l, q] = (np.arange(n_base), row)
        else:
            n = numbers.get((z, mu, l), 0)
            numbers[z, mu, l] = n + 1
            higher[z, mu, l, q] = (np.array([n]), np.ones(1))
    shape = (max(numbers.values(), default=1), 1 + max((l for _, _, l in numbers), default=0), n_base)
    pairs = [(z, mu) for z in range(len(basis.species)) for mu in range(len(basis.species))]
    coefficients = {pair: np.zeros(shape) for pair in pairs}
    for (z, mu, l, q), (row_of, _) in higher.items():
        coefficients[z, mu][row_of[0], l] = _padded(-2 * series[z, mu][used[z, mu].index(q)], n_base + 1)[1:]
    bonds: dict[tuple[int, int], Bond] = {
        pair: TableBond(_cutoff(basis, *pair), 1.0, coefficients[pair], step) for pair in pairs
    }
    return RadialTables(bonds, single, higher)


def polynomial_tables(basis: ACEBasis, models: Sequence[Products]) -> RadialTables:
    """Return the family ACE.jl with P_n = f T_n(2r/rcut − 1), which is exact where the functions are polynomials of r.

    Parameters
    ----------
    basis : ACEBasis
        One cutoff; transform linear or an integer power; polynomial or smooth envelope with an integer exponent.
    models : sequence of Products

    Raises
    ------
    ValueError
        For other radial functions.
    """
    envelope = _polynomial_envelope(basis)
    rcut, pr = float(basis.cutoffs[0, 0]), int(envelope.exponent)
    pl = pr if isinstance(envelope, SmoothEnvelope) else 0
    expansions, n_radial = {}, 2
    for (z, mu), labels in _used_labels(basis, models).items():
        quotients = _chebyshev_series(basis, z, mu, labels, divisor=envelope)
        for q, series in zip(labels, quotients):
            n = np.flatnonzero(abs(series) > _NOISE * abs(series).max())
            expansions[z, mu, q] = (n, series[n])
            n_radial = max(n_radial, 1 + n.max(initial=0))
    # f in the x of the file, 1 + r: (x − xl)^pl (x − xr)^pr times a constant
    scale = (-1.0) ** pr / rcut ** (pr + pl)
    recurrence = np.tile([4 / rcut, -2 - 4 / rcut, -1.0], (n_radial, 1))
    recurrence[0], recurrence[1] = (scale, 0.0, 0.0), (2 / rcut, -1 - 2 / rcut, 0.0)
    bond = PolynomialBond(rcut, 0.0, -1, 1 - rcut, 1 + rcut, pl, pr, recurrence)
    species = range(len(basis.species))
    every = {(z, mu, l, q): expansions[z, mu, q] for z, mu, l, q, _ in _uses(models)}
    return RadialTables({(i, j): bond for i in species for j in species}, every, every)


def _polynomial_envelope(basis: ACEBasis) -> PolynomialEnvelope | SmoothEnvelope:
    """The envelope, where functions are polynomials of r; refused if they are not."""
    radial: Any = getattr(basis.radial, "radial", basis.radial)  # whitened functions name what they combine
    envelope: Any = getattr(radial, "envelope", None)
    problem = ""
    if type(radial) is not PolynomialRadialBasis:
        problem = f"they are {radial!r}"
    elif type(radial.transform) not in (LinearTransform, PowerTransform) or (
        type(radial.transform) is PowerTransform and radial.transform.exponent % 1
    ):
        problem = f"the transform is {radial.transform!r}"
    elif type(envelope) not in (PolynomialEnvelope, SmoothEnvelope) or envelope.exponent % 1:
        problem = f"the envelope is {envelope!r}"
    elif len(np.unique(basis.cutoffs)) > 1:
        problem = "cutoffs depend on the pair"
    if problem:
        raise ValueError(
            'family "ACE.jl" needs radial functions that are polynomials of r, with one cutoff: a linear transform or '
            "an integer power, and a polynomial or smooth envelope with an integer exponent; "
            f'{problem}. Use family "ChebPow"'
        )
    return envelope


def _uses(models: Sequence[Products]) -> set[tuple[int, int, int, Any, int]]:
    """(center, neighbor, l, q, 1 or 2), 2 for products of two factors or more."""
    return {
        (z, v.z, v.l, v.q, min(factors.shape[1], 2))
        for z, model in enumerate(models)
        for factors, _ in model.runs
        for v in (model.one_particle[i] for i in np.unique(factors))
    }


def _used_labels(basis: ACEBasis, models: Sequence[Products]) -> dict[tuple[int, int], list[Any]]:
    labels: dict[tuple[int, int], set[Any]] = {}
    for z, mu, _, q, _ in _uses(models):
        labels.setdefault((z, mu), set()).add(q)
    return {pair: sorted(found) for pair, found in sorted(labels.items())}


def _cutoff(basis: ACEBasis, z: int, mu: int) -> float:
    return float(basis.cutoffs[z, mu])


def _chebyshev_series(basis: ACEBasis, z: int, mu: int, labels: list[Any], divisor: Any = None) -> np.ndarray:
    """Coefficients of T_k(2r/rcut − 1) of functions, shape (n_labels, n_nodes); of functions / f with a divisor f."""
    rcut, center, neighbor = _cutoff(basis, z, mu), basis.species[z], basis.species[mu]
    # All that the basis evaluates, as a user's functions may depend on their number.
    every = sorted({v.q for v in basis.operators(center).extended_products.one_particle})
    rows = [every.index(q) for q in labels]
    for n_nodes in _NODES:
        x = chebyshev.chebpts1(n_nodes)[::-1]  # in the order of the transform
        r = rcut * (1 + x) / 2
        values = basis.radial.evaluate_labels(r, center, neighbor, every).T[rows]
        if divisor is not None:
            values = values / divisor.evaluate(r, rcut)
        series = dct(values, type=2, axis=1) / n_nodes
        series[:, 0] /= 2
        size = abs(series).max(axis=1)
        if (abs(series[:, -n_nodes // 4 :]).max(axis=1) <= _NOISE * size).all():
            break
    return series


def _needed(series: np.ndarray, basis: ACEBasis, pair: tuple[int, int], accuracy: float) -> int:
    """How many g_k the rows need."""
    degrees = np.arange(series.shape[1])
    sizes = abs(series)
    sizes[sizes <= _NOISE * sizes.max(axis=1, keepdims=True)] = 0.0
    weights = 1 + 2 / _cutoff(basis, *pair) * degrees**2  # |T_k| <= 1 and |T_k'| <= k²
    tails = np.cumsum((sizes * weights)[:, ::-1], axis=1)[:, ::-1]
    wanted = (tails > accuracy * sizes.max(axis=1, keepdims=True)).sum(axis=1).max()
    if wanted - 1 > MOST_TERMS:
        z, mu = (basis.species[i] for i in pair)
        raise ValueError(
            f"the radial functions of the pair {z}-{mu} need {wanted - 1} Chebyshev terms for a relative accuracy of "
            f"{accuracy:.1g}, more than {MOST_TERMS}; use smoother functions, or a larger tolerance"
        )
    return max(int(wanted) - 1, 1)


def _padded(row: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([row, np.zeros(max(size - len(row), 0))])[:size]
