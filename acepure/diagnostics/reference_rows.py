"""The bases that a `Comparison` compares: which radial functions, which reference, canonical or not.

    radial functions    basis               μ        self-interaction    c
    Chebyshev           self-interacting    0        stays               0
                        canonical           0        taken out           0
    ideal gas           shifted             ideal    stays               0
                        centered            ideal    taken out           of the ideal gas
    radial density      self-interacting    0        stays               0
                        canonical           0        taken out           0
                        shifted             data     stays               0
                        centered            data     taken out           of the density
                        Wick                data     stays               Cov(A)
                        measured pairs      data     taken out           Cov(A)
    whitened            Wick                data     stays               Cov(A)
                        measured pairs      data     taken out           Cov(A)

All have the same index sets and radial functions f times polynomials: Chebyshev, or orthonormal for an ideal gas, or
for the radial density of the structures, or for each l such that the sums A have unit covariance ("whitened"). The
ideal gas has as many neighbors of each species inside the cutoff as the structures have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from ase import Atoms

from acepure.features.basis import ACEBasis
from acepure.references import IdealGas, MeanCovariance, RadialDensity, Reference


class BasisRow(NamedTuple):
    """One of the bases: names of its radial functions and kind, and what it is made of."""

    functions: str
    kind: str
    canonical: bool
    reference: str | None
    centered: bool

    @property
    def name(self) -> str:
        """Kind and radial functions."""
        return f"{self.kind}, {self.functions}"


# By how much they need to know: of rows that are as good, the first is recommended.
_ROWS = (
    BasisRow("Chebyshev", "self-interacting", False, None, False),
    BasisRow("Chebyshev", "canonical", True, None, False),
    BasisRow("ideal gas", "shifted", False, "ideal gas", True),
    BasisRow("ideal gas", "centered", True, "ideal gas", True),
    BasisRow("radial density", "self-interacting", False, "radial density", False),
    BasisRow("radial density", "canonical", True, "radial density", False),
    BasisRow("radial density", "shifted", False, "radial density", True),
    BasisRow("radial density", "centered", True, "radial density", True),
    BasisRow("radial density", "Wick", False, "one set", True),
    BasisRow("radial density", "measured pairs", True, "one set", True),
    BasisRow("whitened", "Wick", False, "whitened", True),
    BasisRow("whitened", "measured pairs", True, "whitened", True),
)
#: Names of all rows.
ROWS = tuple(row.name for row in _ROWS)
#: The row that every comparison has: the mean taken off, and nothing else.
CONTROL = "shifted, radial density"


def chosen_rows(names: Iterable[str] | None) -> list[BasisRow]:
    """Return the rows of some names and the control, in the order of `ROWS`; all for None."""
    if names is None:
        return list(_ROWS)
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise TypeError(f"rows must be a sequence of names such as {CONTROL!r}; got {names!r}")
    names = [*names, CONTROL]
    for name in names:
        if name not in ROWS:
            raise ValueError(f"rows must be some of {', '.join(map(repr, ROWS))}; got {name!r}")
    return [row for row in _ROWS if row.name in names]


def row_basis(row: BasisRow, basis: ACEBasis, reference: Callable[[str], Reference]) -> ACEBasis:
    """Return the basis of a row.

    Parameters
    ----------
    row : BasisRow
    basis : ACEBasis
        With Chebyshev polynomials and no reference, canonical as the row is.
    reference : callable
        From `reference_maker`.

    Raises
    ------
    ValueError
        If the structures of the reference do not support it.
    """
    if row.reference is None:
        return basis
    if row.centered:
        return basis.centered(reference(row.reference)).prepare()
    radial = reference(row.reference).radial(basis.radial, basis.species)
    dictionary = basis.specification.to_dict()
    return ACEBasis(dictionary.pop("species"), radial=radial, canonical=basis.canonical, **dictionary).prepare()


def reference_maker(
    structures: Sequence[Atoms], basis: ACEBasis, sampling: dict[str, Any], threads: int
) -> Callable[[str], Reference]:
    """Return what makes a reference of structures by its name, each once.

    Parameters
    ----------
    structures : sequence of ase.Atoms
    basis : ACEBasis
        Canonical: what is measured for it serves the self-interacting basis too.
    sampling : dict
        `atoms_per_structure`, `seed`, `progress`.
    threads : int
    """

    @cache
    def density() -> RadialDensity:
        return RadialDensity.from_structures(structures, basis.rcut, num_threads=threads, progress=False)

    @cache
    def reference(name: str) -> Reference:
        if name == "radial density":
            return density()
        if name == "ideal gas":
            return _ideal_gas(density(), basis)
        return MeanCovariance.from_structures(structures, basis, whitened=name == "whitened", **sampling)

    return reference


def _ideal_gas(density: RadialDensity, basis: ACEBasis) -> IdealGas:
    """The ideal gas with the mean numbers of neighbors inside the cutoffs: N = 4π Σ w = ρ 4π rcut³ / 3."""
    assert isinstance(density.measures, Mapping)  # of each pair
    densities = {}
    for center, neighbor in density.measures:
        cutoff = basis.radial.cutoff(center, neighbor)
        measure = density.measures[center, neighbor]
        densities[center, neighbor] = 3 * float(measure.weights[measure.nodes < cutoff].sum()) / cutoff**3
    return IdealGas(densities)
