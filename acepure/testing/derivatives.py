"""Assertion on derivatives: central differences of order eight, with a step that their own errors choose."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from acepure._utils.checks import count, number
from acepure.testing.comparison import Function, reproduction, values_of

__all__ = ["assert_gradients"]

# f'(0) ≈ Σ_k w_k f(k h)/h, k = ±1 ... ±4, with an error of h⁸ f⁽⁹⁾/630.
_POINTS = np.array([-4, -3, -2, -1, 1, 2, 3, 4])
_WEIGHTS = np.array([3, -32, 168, -672, 672, -168, 32, -3]) / 840

# Halvings of the step that are tried.
_HALVINGS = 3
# A derivative may differ from the differences by so many times what these differ among themselves.
_SAFETY = 10
# Roundings of a value, in units of its last place: values are sums of many terms.
_ROUNDINGS = 100


@dataclass(frozen=True)
class _Differences:
    """Derivatives along all directions, shape (n_directions, ...), with the error they are known to and their step."""

    values: np.ndarray
    error: float
    rounding: float
    step: float


def assert_gradients(
    function: Function,
    gradient: Function,
    atoms: Atoms,
    *,
    strain: bool = False,
    directions: int | None = None,
    step: float = 0.02,
    precision: float = 1e-6,
    seed: int = 0,
) -> None:
    """Assert that one function is the derivative of another, ∂f/∂r_k, or ∂f/∂ε_ab at r ↦ (1 + ε) r.

    The differences f(r + h d) are central, of order eight, at the steps h, h/2, h/4, ...; two neighboring steps agree
    up to e, and the step with the least e + rounding is taken. Asserted is |gradient − difference| ≤ 10 (e + rounding),
    so that the tolerance follows from the function and needs no choice.

    Parameters
    ----------
    function : callable
        From an ase.Atoms to an array, or a number such as the energy.
    gradient : callable
        From an ase.Atoms to its derivatives, shape (n_atoms, 3, ...), the axes of the values last; for forces, −F.
        With `strain`, shape (3, 3, ...), symmetric or not; for ASE, stress · volume, as a matrix.
    atoms : ase.Atoms
    strain : bool, optional
        Derivatives with respect to strain of positions and cell, the symmetric part.
    directions : int, optional
        Number of random displacements of all atoms (or strains) along which to differentiate; by default every
        coordinate in turn, which names the atom that is wrong and costs 96 calls per atom.
    step : float, optional
        Largest h in Å (of the strain: a tenth of it), which times four must keep atoms apart.
    precision : float, optional
        The differences must be known to this part of the largest derivative; if they are not, the function is noisy
        or not smooth there, and the assertion fails for that.
    seed : int, optional
        For random directions.

    Raises
    ------
    AssertionError

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> from acepure.testing import calculated
    >>> atoms = bulk("Cu", cubic=True)
    >>> atoms.rattle(0.1, seed=0)
    >>> energy, forces = calculated(EMT(), "energy"), calculated(EMT(), "forces")
    >>> assert_gradients(energy, lambda atoms: -forces(atoms), atoms, directions=2)
    >>> assert_gradients(energy, forces, atoms, directions=2)
    Traceback (most recent call last):
    ...
    AssertionError: the gradient along direction 0 is not that of finite differences: ...
    """
    __tracebackhide__ = True
    step, precision = number("step", step, above=0), number("precision", precision, above=0)
    n_axes = 3 if strain else len(atoms)
    along = _directions(n_axes, directions, strain, seed)
    values, computed = values_of(function, atoms), values_of(gradient, atoms)
    if computed.shape != (n_axes, 3, *values.shape):
        raise ValueError(
            f"gradient must return shape {(n_axes, 3, *values.shape)} for values of shape {values.shape}; "
            f"got {computed.shape}"
        )
    expected = _best(function, atoms, along, step / 10 if strain else step, strain)
    scale = abs(expected.values).max()
    if expected.error > max(precision * max(scale, abs(computed).max()), 2 * expected.rounding):
        raise AssertionError(
            f"finite differences are known to {expected.error:.2g} only, at a step of {expected.step:g}, for "
            f"derivatives up to {scale:.3g}: the function is noisy or not smooth here\n{reproduction(atoms)}"
        )
    got = np.tensordot(along, computed, axes=2)
    deviation = abs(got - expected.values)
    allowed = _SAFETY * expected.error
    if (deviation <= allowed).all():
        return
    where = np.unravel_index(deviation.argmax(), deviation.shape)
    raise AssertionError(
        f"the gradient along {_named(int(where[0]), directions, strain)} is not that of finite differences: "
        f"{got[where].item()!r} instead of {expected.values[where].item()!r}"
        f"{f', component {tuple(map(int, where[1:]))}' if where[1:] else ''}\n"
        f"largest deviation {deviation[where]:.3g}, allowed {allowed:.3g} = {_SAFETY} times the error of the "
        f"differences at a step of {expected.step:g}; {(deviation > allowed).sum()} of {got.size} values deviate\n"
        f"{reproduction(atoms, direction=along[where[0]])}"
    )


def _named(k: int, directions: int | None, strain: bool) -> str:
    if directions is not None:
        return f"direction {k}"
    i, a = divmod(k, 3)
    return f"strain {'xyz'[i]}{'xyz'[a]}" if strain else f"{'xyz'[a]} of atom {i}"


def _directions(n: int, directions: int | None, strain: bool, seed: int) -> np.ndarray:
    """Displacements, shape (n_directions, n, 3), with a largest component of about 1."""
    if directions is None:
        along = np.eye(3 * n).reshape(3 * n, n, 3)
    else:
        along = np.random.default_rng(seed).uniform(-1, 1, size=(count("directions", directions), n, 3))
    return (along + along.transpose(0, 2, 1)) / 2 if strain else along


def _best(function: Function, atoms: Atoms, along: np.ndarray, step: float, strain: bool) -> _Differences:
    tried, largest = [], 0.0
    for h in step / 2.0 ** np.arange(_HALVINGS + 1):
        differences, size = _differences(function, atoms, along, h, strain)
        largest = max(largest, size)
        tried.append((h, differences))
    best: _Differences | None = None
    for (_, coarse), (h, fine) in itertools.pairwise(tried):
        rounding = _ROUNDINGS * np.finfo(fine.dtype).eps * largest * abs(_WEIGHTS).sum() / h
        error = float(abs(coarse - fine).max(initial=0.0) + rounding)
        if best is None or error < best.error:
            best = _Differences(fine, error, rounding, h)
    assert best is not None  # there are several steps
    return best


def _differences(
    function: Function, atoms: Atoms, along: np.ndarray, h: float, strain: bool
) -> tuple[np.ndarray, float]:
    """Central differences along all directions, and the largest |value| met."""
    rows, largest = [], 0.0
    for direction in along:
        points = np.array([values_of(function, _displaced(atoms, k * h * direction, strain)) for k in _POINTS])
        largest = max(largest, float(abs(points).max(initial=0.0)))
        rows.append(np.tensordot(_WEIGHTS, points, axes=1) / h)
    return np.array(rows), largest


def _displaced(atoms: Atoms, displacement: np.ndarray, strain: bool) -> Atoms:
    moved = atoms.copy()
    if strain:
        deformation = np.eye(3) + displacement
        moved.set_cell(atoms.cell.array @ deformation)
        moved.positions = atoms.positions @ deformation
    else:
        moved.positions += displacement
    moved.calc = atoms.calc
    return moved
