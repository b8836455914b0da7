"""The engine of the assertions: move the structure, move the values, compare.

Most assertions are a list of moves: structures made of the given one, each with a rule that says what its values must
be. `check_moves` calls the function on all of them and compares, |a − b| ≤ tolerance · scale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from numpy.typing import ArrayLike

from acepure._utils.checks import number

#: From a structure to an array (or a number).
Function = Callable[[Atoms], ArrayLike]

#: Of the largest value: some thousand roundings of a double.
DEFAULT_TOLERANCE = 1e-12

# Larger structures are not printed atom by atom.
_PRINTED_ATOMS = 24


def calculated(calculator: BaseCalculator | Callable[[], BaseCalculator], name: str) -> Function:
    """Return a property of an ASE calculator as a function of structures.

    Parameters
    ----------
    calculator : ASE calculator, or function without arguments that makes one
        A function is asked for a new calculator at every call, as calls from several threads need.
    name : str
        "energy", "energies", "forces", "stress", ...

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> calculated(EMT(), "forces")(bulk("Cu", cubic=True)).shape
    (4, 3)
    """
    is_calculator = hasattr(calculator, "get_property") and not isinstance(calculator, type)
    if not is_calculator and not callable(calculator):
        raise TypeError(f"calculator must be an ASE calculator or a function that makes one; got {calculator!r}")
    given: Any = calculator

    def function(atoms: Atoms) -> np.ndarray:
        chosen = given if is_calculator else given()
        return np.array(chosen.get_property(name, atoms))

    return function


class Move(NamedTuple):
    """A structure made of another one, and what must be equal then.

    Attributes
    ----------
    atoms : ase.Atoms
    what : str
        What is wrong if the values differ.
    pair : callable, optional
        From the values of the original and of the moved structure to the two arrays that must be equal: what was got,
        and what is expected. By default the values stay.
    used : dict, optional
        Printed for reproduction.
    """

    atoms: Atoms
    what: str
    pair: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]] = lambda values, got: (got, values)
    used: dict[str, Any] = {}  # noqa: RUF012 - never changed


def check_moves(
    function: Function,
    atoms: Atoms,
    moves: Iterable[Move],
    tolerance: float,
    scale: ArrayLike | None,
    *,
    per_atom: bool = False,
) -> None:
    """Raise AssertionError unless the values of each moved structure are what its rule says."""
    __tracebackhide__ = True
    comparison, values = Comparison(tolerance, scale, atoms), values_of(function, atoms)
    if per_atom:
        check_rows(values, atoms)
    for move in moves:
        got, expected = move.pair(values, values_of(function, move.atoms, atoms.calc))
        comparison.check(got, expected, move.what, **move.used)


def values_of(function: Function, atoms: Atoms, calculator: BaseCalculator | None = None) -> np.ndarray:
    """Call the function on a copy of the structure; return finite floats of any shape.

    A function may ask the structure for its calculator; one that was made of another gets that of the other.
    """
    check_call(function, atoms)
    copy = atoms.copy()
    copy.calc = atoms.calc if calculator is None else calculator
    result = np.asarray(function(copy))
    if result.dtype.kind not in "fiuc":
        raise TypeError(f"function must return numbers; got an array of type {result.dtype}")
    if not np.isfinite(result).all():
        raise AssertionError(f"the function returned values that are not finite\n{reproduction(atoms)}")
    return result if result.dtype.kind in "fc" else result.astype(float)


def check_call(function: Function, atoms: Atoms) -> None:
    """Raise TypeError unless the function can be called and the structure is one."""
    if not callable(function):
        raise TypeError(f"function must take an ase.Atoms and return an array; got {function!r}")
    if not isinstance(atoms, Atoms):
        raise TypeError(f"atoms must be an ase.Atoms, got {type(atoms).__name__}")


def check_rows(values: np.ndarray, atoms: Atoms) -> None:
    """Raise ValueError for values without one row per atom."""
    if not values.ndim or len(values) != len(atoms):
        raise ValueError(
            f"function must return one row per atom; got an array of shape {values.shape} for {len(atoms)} atoms "
            "(global values: per_atom=False, or center=None)"
        )


def reproduction(atoms: Atoms, **used: Any) -> str:
    """Python text that makes the structure, and what else was used, again."""
    lines = [f"{name} = {np.asarray(value).tolist()!r}" for name, value in used.items()]
    if len(atoms) <= _PRINTED_ATOMS:
        arguments = f"{atoms.get_chemical_symbols()!r}, {atoms.positions.tolist()!r}"
        arguments += f", cell={atoms.cell.tolist()!r}, pbc={atoms.pbc.tolist()!r}" if atoms.cell.any() else ""
        lines.append(f"atoms = Atoms({arguments})")
    else:
        lines.append(f"atoms: {atoms!r}")
    return "\n".join(lines)


class Comparison:
    """What all comparisons of one assertion share.

    Parameters
    ----------
    tolerance : float
        ≥ 0.
    scale : array_like, optional
        Of the shape of the values, or a shape that broadcasts to it; by default the largest |value|.
    atoms : ase.Atoms
        For messages.
    """

    def __init__(self, tolerance: float, scale: ArrayLike | None, atoms: Atoms) -> None:
        self.tolerance = number("tolerance", tolerance, least=0)
        self.scale = None if scale is None else np.asarray(scale, dtype=float)
        self.atoms = atoms

    def check(self, got: np.ndarray, expected: np.ndarray, what: str, **used: Any) -> None:
        """Raise AssertionError unless the two arrays are close; `used` is printed for reproduction."""
        __tracebackhide__ = True
        if got.shape != expected.shape:
            raise AssertionError(
                f"{what}: shape {got.shape} instead of {expected.shape}\n{reproduction(self.atoms, **used)}"
            )
        if not got.size:
            return
        scale = max(abs(got).max(), abs(expected).max()) if self.scale is None else self.scale
        allowed = np.broadcast_to(self.tolerance * scale, got.shape)
        deviation = abs(got - expected)
        if (deviation <= allowed).all():
            return
        excess = deviation / np.maximum(allowed, np.finfo(float).tiny)
        where = np.unravel_index(excess.argmax(), got.shape)
        index = f" at {_index(where)}" if where else ""
        raise AssertionError(
            f"{what}: {got[where].item()!r} instead of {expected[where].item()!r}{index}\n"
            f"largest deviation {deviation[where]:.3g}, allowed {allowed[where]:.3g} = tolerance {self.tolerance:g} · "
            f"scale {np.broadcast_to(scale, got.shape)[where]:.3g}; {(deviation > allowed).sum()} of {got.size} values "
            f"deviate\n{reproduction(self.atoms, **used)}"
        )


def _index(where: tuple[Any, ...]) -> str:
    numbers = [int(k) for k in where]
    return f"row {numbers[0]}" + (f", {', '.join(f'column {k}' for k in numbers[1:])}" if numbers[1:] else "")
