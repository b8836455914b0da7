"""Assertion on derivatives: central differences of order eight, with a step that their own errors choose."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from acepure._utils.checks import count, number
from acepure.testing.comparison import Comparison, Function, reproduction, values_of
from acepure.testing.moves import transformed, translated

# f'(0) ≈ Σ_k w_k f(k h)/h, k = ±1 ... ±4, with an error of h⁸ f⁽⁹⁾/630.
_POINTS = np.array([-4, -3, -2, -1, 1, 2, 3, 4])
_WEIGHTS = np.array([3, -32, 168, -672, 672, -168, 32, -3]) / 840

# Halvings of the step that are tried.
_HALVINGS = 3
# A derivative may differ from the differences by so many times what these differ among themselves.
_SAFETY = 10
# Roundings of a value, in units of its last place: values are sums of many terms.
_ROUNDINGS = 100


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
    AssertionError: the gradient along direction 0 is not that of finite differences...
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
    expected, error, rounding, step = _differences(function, atoms, along, step / 10 if strain else step, strain)
    scale = abs(expected).max()
    if error > max(precision * max(scale, abs(computed).max()), 2 * rounding):
        raise AssertionError(
            f"finite differences are known to {error:.2g} only, at a step of {step:g}, for derivatives up to "
            f"{scale:.3g}: the function is noisy or not smooth here\n{reproduction(atoms)}"
        )
    got = np.tensordot(along, computed, axes=2)
    worst = int(abs(got - expected).reshape(len(along), -1).max(axis=1, initial=0.0).argmax())
    Comparison(_SAFETY, error, atoms).check(
        got[worst],
        expected[worst],
        f"the gradient along {_named(worst, directions, strain)} is not that of finite differences at a step of "
        f"{step:g}, whose error is the scale",
        direction=along[worst],
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


def _differences(
    function: Function, atoms: Atoms, along: np.ndarray, step: float, strain: bool
) -> tuple[np.ndarray, float, float, float]:
    """Derivatives along all directions, the error they are known to, rounding in it, and the step, of least error."""
    steps = step / 2.0 ** np.arange(_HALVINGS + 1)
    moved = ([[_displaced(atoms, k * h * d, strain) for k in _POINTS] for d in along] for h in steps)
    points = np.array([[[values_of(function, a, atoms.calc) for a in row] for row in rows] for rows in moved])
    differences = np.einsum("k,hdk...->hd...", _WEIGHTS, points)
    differences /= steps.reshape(-1, *[1] * (differences.ndim - 1))
    size = abs(points).max(initial=0.0)
    rounding = _ROUNDINGS * np.finfo(points.dtype).eps * size * abs(_WEIGHTS).sum() / steps[1:]
    change = abs(np.diff(differences, axis=0)).reshape(_HALVINGS, -1).max(axis=1, initial=0.0)
    best = int((change + rounding).argmin())
    return differences[best + 1], change[best] + rounding[best], rounding[best], steps[best + 1]


def _displaced(atoms: Atoms, displacement: np.ndarray, strain: bool) -> Atoms:
    return transformed(atoms, np.eye(3) + displacement.T) if strain else translated(atoms, displacement)
