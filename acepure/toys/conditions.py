"""Experiments without a target: condition numbers of bases, non-zeros of operators; each function returns a `Table`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from tqdm import tqdm

from acepure._utils.checks import count
from acepure.diagnostics import conditioning
from acepure.features.basis import ACEBasis
from acepure.functions import PolynomialRadialBasis
from acepure.references import IdealGas
from acepure.toys.environments import ball_volume, joined_environments, random_environments
from acepure.toys.laws import resolved_law
from acepure.toys.moments import condition_number
from acepure.toys.particles import ROWS, ParticleBasis, compared_bases
from acepure.toys.tables import Table


def condition_table(
    family: str = "chebyshev",
    orders: Sequence[int] = (2, 3, 4),
    degrees: Sequence[int] = (6, 10, 14),
    n_particles: float | None = None,
    law: str | None = None,
    poisson: bool = False,
    start: int = 1,
    zscored: bool = False,
) -> Table:
    """Return the exact condition number of the scaled Gram matrix by order and total degree.

    Parameters
    ----------
    family : {"chebyshev", "legendre"}
    orders, degrees : sequence of int
    n_particles : int, or float with `poisson`, optional
        Default: as many as the order.
    law : {"uniform", "arcsine"}, optional
        Of one particle; default: the own law of the family.
    poisson : bool
        Whether the number of particles is Poisson distributed, of mean `n_particles`.
    start : {0, 1}
    zscored : bool
        Use the covariance instead of the Gram matrix: what a fit with a constant sees.

    Returns
    -------
    Table
        Columns: order, degree, features, and one for each basis.

    Examples
    --------
    >>> print(condition_table(orders=[2], degrees=[14]))
    Condition number of the Gram matrix: chebyshev, arcsine law, as many particles as the order.
    <BLANKLINE>
    | order | degree | features | self-interacting | canonical | shifted | centered |
    |------:|-------:|---------:|-----------------:|----------:|--------:|---------:|
    |     2 |     14 |       63 |             42.1 |         1 |    42.1 |        1 |
    """
    law = resolved_law(family, law)
    rows = []
    for order, degree in product(orders, degrees):
        n = order if n_particles is None else n_particles
        bases = compared_bases(family, order, degree, n, law, start)
        matrices = [b.covariance(n, law, poisson) if zscored else b.gram(n, law, poisson) for b in bases]
        rows.append((order, degree, len(bases[0]), *map(condition_number, matrices)))
    particles = "as many particles as the order" if n_particles is None else f"{n_particles:g} particles"
    if poisson:
        particles = f"{particles} on average (Poisson), indices from {start}"
    title = f"Condition number of the {'covariance' if zscored else 'Gram matrix'}: {family}, {law} law, {particles}."
    return Table(title, ("order", "degree", "features", *ROWS.values()), tuple(rows))


def sparsity_table(
    family: str = "chebyshev",
    orders: Sequence[int] = (2, 3, 4),
    degrees: Sequence[int] = (10, 15, 20),
    start: int = 0,
) -> Table:
    """Return the number of non-zeros of the purification operator by order and total degree.

    Parameters
    ----------
    family : {"chebyshev", "legendre"}
    orders, degrees : sequence of int
    start : {0, 1}
        With 0 the index set is closed: as many products as features.

    Returns
    -------
    Table
        Columns: order, degree, features, products, non-zeros, % of entries, per row.

    Examples
    --------
    >>> sparsity_table(orders=[2], degrees=[20]).column("non-zeros").tolist()
    [363]
    """
    rows = []
    for order, degree in product(orders, degrees):
        P = ParticleBasis(family, order, degree, start=start, normalized=False).purification
        rows.append((order, degree, *P.shape, P.nnz, 100 * P.nnz / (P.shape[0] * P.shape[1]), P.nnz / P.shape[0]))
    columns = ("order", "degree", "features", "products", "non-zeros", "% of entries", "per row")
    return Table(f"Purification operator: {family}, indices from {start}.", columns, tuple(rows))


def environment_table(
    orders: Sequence[int] = (2, 3),
    degrees: Sequence[int] = (4, 6),
    kind: str = "poisson",
    n_environments: int = 4000,
    n_neighbors: float = 20,
    rcut: float = 5.0,
    seed: int = 0,
) -> Table:
    """Return sampled condition numbers of z-scored features of random environments in three dimensions.

    Two kinds of radial functions: the default ones of `ACEBasis`, and polynomials times the same envelope that are
    orthonormal for neighbors of the same mean density (`IdealGas`), which supplies the means μ too.

    Parameters
    ----------
    orders, degrees : sequence of int
    kind, n_neighbors, rcut, seed
        As in `random_environments`.
    n_environments : int
        Many more than features: sampling alone makes the condition number of p orthonormal features about
        ((1 + √(p/n)) / (1 − √(p/n)))², and more where their tails are heavy.

    Returns
    -------
    Table
        Columns: order, degree, features, and one for each pair of radial functions and basis.
    """
    count("n_environments", n_environments, least=2)
    joined, centers = joined_environments(random_environments(n_environments, n_neighbors, rcut, seed, kind), rcut)
    gas = IdealGas(n_neighbors / ball_volume(rcut))
    default = PolynomialRadialBasis(rcut)
    orthonormal = gas.radial(default, ["Cu"])
    choices: list[tuple[PolynomialRadialBasis, bool, IdealGas | None]] = [
        (default, canonical, None) for canonical in (False, True)
    ]
    choices += [(orthonormal, canonical, reference) for reference in (None, gas) for canonical in (False, True)]
    rows = []
    for order, degree in tqdm(list(product(orders, degrees)), desc="environments", disable=None):
        arguments = {"order": order, "totaldegree": degree}
        bases = [ACEBasis(["Cu"], radial=r, canonical=c, reference=ref, **arguments) for r, c, ref in choices]
        if len(bases[0]) >= n_environments:
            raise ValueError(f"n_environments must exceed the {len(bases[0])} features; got {n_environments!r}")
        results = [conditioning(basis, joined, indices=centers, progress=False) for basis in bases]
        rows.append((order, degree, len(bases[0]), *(r.condition_number("standardized") for r in results)))
    title = (
        f"Condition number of z-scored features: {n_environments} environments ({kind}), {n_neighbors:g} neighbors "
        f"within {rcut:g} Å."
    )
    names = [f"default, {row}" for row in list(ROWS.values())[:2]] + [f"orthonormal, {row}" for row in ROWS.values()]
    return Table(title, ("order", "degree", "features", *names), tuple(rows))
