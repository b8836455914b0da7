"""A given pair potential beside the expansion: exact, as the pair term or a part of it.

A pair potential that is known, as a table, a formula or a calculator, is carried like a repulsive core: it is taken off
the labels of a fit and added to every evaluation, and it is in order 1 of `LinearACE.energies_by_order`. It need not
lie in the span of the radial functions, so nothing is projected and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import ArrayLike

from acepure._utils.checks import distances, number, real_array, symbol
from acepure._utils.pairs import PairTable, per_pair, value_at
from acepure.models.repulsion import PairCore

if TYPE_CHECKING:
    from scipy.interpolate import CubicSpline

__all__ = ["TabulatedPair"]

PairFunction = Callable[[np.ndarray], ArrayLike]

# Intervals of the first and of the finest table that is tried.
_FIRST, _FINEST = 64, 2**15


@dataclass(frozen=True)
class TabulatedPair(PairCore):
    """A pair potential by a table, joined by a cubic spline.

    V and dV/dr are 0 from the last distance on, which is the cutoff. Nearer than the first distance V goes on as a
    straight line.

    Parameters
    ----------
    r : array_like, shape (n,)
        Rising distances in Å, at least four.
    energies : array_like, shape (n,), or mapping of (str, str) to such
        V in eV at these distances, the last being 0; one for all pairs of species, or one for each.

    Examples
    --------
    >>> import numpy as np
    >>> r = np.linspace(1.0, 3.0, 200)
    >>> pair = TabulatedPair(r, (3.0 - r) ** 3)
    >>> value, slope = pair.energy_and_slope(np.array([2.0]), "Cu", "Cu")
    >>> value.round(6), slope.round(6)
    (array([1.]), array([-3.]))
    """

    r: ArrayLike
    energies: ArrayLike | Mapping[tuple[str, str], ArrayLike]

    def __post_init__(self) -> None:
        r = distances("r", self.r)
        if len(r) < 4 or not r[0] > 0 or (np.diff(r) <= 0).any():
            raise ValueError(f"r must hold at least four rising distances > 0; got {np.array2string(r, threshold=6)}")

        def checked(name: str, values: Any) -> tuple[float, ...]:
            values = real_array(name, values, (len(r),))
            if values[-1] != 0:
                raise ValueError(f"{name} must end with 0, at the cutoff; got {values[-1]:g}")
            return tuple(values.tolist())

        object.__setattr__(self, "r", tuple(r.tolist()))
        energies = per_pair("energies", self.energies, checked)
        object.__setattr__(self, "energies", energies)
        for a, b in energies if isinstance(energies, PairTable) else ():
            if energies[a, b] != energies[b, a]:
                raise ValueError(f"energies must be the same for both orders of a pair; they differ for {a}-{b}")

    @classmethod
    def from_function(
        cls,
        function: PairFunction | Mapping[tuple[str, str], PairFunction],
        *,
        shortest: float,
        inner: float,
        cutoff: float,
        tolerance: float = 1e-6,
    ) -> TabulatedPair:
        """Tabulate V(r) s(u), with s a switch that is 1 up to `inner` and 0 at `cutoff`.

            s(u) = (1 − u)³ (1 + 3u + 6u²),      u = (r − inner)/(cutoff − inner) between 0 and 1.

        Parameters
        ----------
        function : callable, or mapping of (str, str) to callable
            V in eV of distances in Å, shape (n,); one for all pairs of species, or one for each.
        shortest : float
            The first distance of the table, Å.
        inner, cutoff : float
            Å. From `inner` on the potential is not the one given.
        tolerance : float
            The table is made finer until its spline differs by at most tolerance (1 + |V|) eV from the function halfway
            between all distances.

        Raises
        ------
        ValueError
            For a function that no table reaches, because it is not smooth.

        Examples
        --------
        >>> pair = TabulatedPair.from_function(lambda r: r**-12 - r**-6, shortest=0.8, inner=2.5, cutoff=3.0)
        >>> bool(abs(pair.energy_and_slope([1.1234], "Ar", "Ar")[0] - (1.1234**-12 - 1.1234**-6)) < 2e-6)
        True
        """
        shortest, inner = number("shortest", shortest, above=0), number("inner", inner, above=0)
        cutoff, tolerance = number("cutoff", cutoff, above=0), number("tolerance", tolerance, above=0)
        if not shortest < inner < cutoff:
            raise ValueError(f"shortest < inner < cutoff is needed; got {shortest:g}, {inner:g}, {cutoff:g} Å")

        def switched(r: np.ndarray, values: PairFunction) -> np.ndarray:
            u = np.clip((r - inner) / (cutoff - inner), 0.0, 1.0)
            return real_array("V", values(r), (len(r),)) * (1 - u) ** 3 * (1 + 3 * u + 6 * u**2)

        functions = function if isinstance(function, Mapping) else {("", ""): function}
        n, reached = _FIRST, np.inf
        while n <= _FINEST:
            r = np.linspace(shortest, cutoff, n + 1)
            middle = (r[1:] + r[:-1]) / 2
            tables = [switched(r, values) for values in functions.values()]
            expected = np.array([switched(middle, values) for values in functions.values()])
            between = np.array([_spline(r, table)(middle) for table in tables])
            reached = float((abs(between - expected) / (1 + abs(expected))).max())
            if reached <= tolerance:
                return cls(r, dict(zip(functions, tables)) if isinstance(function, Mapping) else tables[0])
            n *= 2
        raise ValueError(
            f"no table of up to {_FINEST:,} distances is within {tolerance:g} (1 + |V|) eV of the function, the finest "
            f"is within {reached:.2g}: it is not smooth between {shortest:g} and {cutoff:g} Å"
        )

    @classmethod
    def from_calculator(
        cls, calculator: Calculator, species: Sequence[str], *, tolerance: float = 1e-6, **reach: float
    ) -> TabulatedPair:
        """Tabulate the energies of two atoms less those of each alone: the pair term of any ASE calculator.

        Parameters
        ----------
        calculator : ase.calculators.calculator.Calculator
        species : sequence of str
            A table is made for each pair of these.
        tolerance, shortest, inner, cutoff
            As for `from_function`.

        Examples
        --------
        >>> from ase.calculators.morse import MorsePotential
        >>> reach = {"shortest": 0.7, "inner": 2.0, "cutoff": 2.6}
        >>> pair = TabulatedPair.from_calculator(MorsePotential(), ["Cu"], tolerance=1e-4, **reach)
        >>> pair.cutoff("Cu", "Cu")
        2.6
        """

        def energy(atoms: Atoms) -> float:
            atoms.calc = calculator
            return float(atoms.get_potential_energy())

        names = [symbol("species", s) for s in species]
        alone = {s: energy(Atoms(s)) for s in names}

        def of_pair(a: str, b: str) -> PairFunction:
            rest = alone[a] + alone[b]
            return lambda r: np.array([energy(Atoms([a, b], [[0, 0, 0], [0, 0, d]])) - rest for d in r])

        functions = {pair: of_pair(*pair) for pair in combinations_with_replacement(names, 2)}
        return cls.from_function(functions, tolerance=tolerance, **reach)

    def cutoff(self, a: str, b: str) -> float:
        return float(np.asarray(self.r)[-1])

    def energy_and_slope(self, r: ArrayLike, a: str, b: str) -> tuple[np.ndarray, np.ndarray]:
        """Return V (eV) and dV/dr (eV/Å), each (n,), for distances in Å and two chemical symbols."""
        r = distances("r", r)
        spline = value_at("energies", self._splines, a, b)
        inside = np.clip(r, spline.x[0], spline.x[-1])
        value, slope = spline(inside), spline(inside, 1)
        return value + slope * (r - inside), slope

    @cached_property
    def _splines(self) -> CubicSpline | PairTable:
        if isinstance(self.energies, PairTable):
            return PairTable("energies", {pair: _spline(self.r, values) for pair, values in self.energies.items()})
        return _spline(self.r, np.asarray(self.energies))


def _spline(r: ArrayLike, energies: ArrayLike) -> CubicSpline:
    """With slope 0 at the cutoff."""
    from scipy.interpolate import CubicSpline  # a tenth of a second, of no use without a table

    return CubicSpline(r, energies, bc_type=("not-a-knot", (1, 0.0)))
