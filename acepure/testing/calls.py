"""Assertions on calls: inputs stay as they are, and the same input gives the same bits."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any

import numpy as np
from ase import Atoms

from acepure._utils.checks import count
from acepure.testing.comparison import Comparison, Function, check_call, reproduction, values_of


def assert_inputs_unchanged(function: Function, atoms: Atoms) -> None:
    """Assert that a call leaves its structure alone, and hands out values of its own.

    The function gets a copy of the structure, with one more array and entry of `info`. Afterwards positions, all
    arrays, info, cell, periodicity and constraints must be equal, bit by bit, and the calculator the same object. The
    values must not share memory with the structure, and when they are overwritten, the next call must return the same
    as before.

    Parameters
    ----------
    function : callable
        From an ase.Atoms to an array.
    atoms : ase.Atoms
        A calculator it has is kept.

    Raises
    ------
    AssertionError
        Naming what was changed.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from acepure import ACEBasis
    >>> assert_inputs_unchanged(ACEBasis(["Cu"]).descriptors, bulk("Cu"))
    >>> assert_inputs_unchanged(lambda atoms: atoms.wrap() or atoms.get_volume(), bulk("Cu"))
    >>> assert_inputs_unchanged(lambda atoms: atoms.positions, bulk("Cu"))
    Traceback (most recent call last):
    ...
    AssertionError: the values share memory with the array 'positions' of the structure...
    """
    __tracebackhide__ = True
    check_call(function, atoms)
    given = atoms.copy()
    given.info["acepure.testing"] = {"list": [1, 2.5], "array": np.arange(3.0)}
    given.set_array("acepure_testing", np.arange(len(given), dtype=float))
    given.calc = atoms.calc
    before = _state(given)
    returned = np.asarray(function(given))
    changed = [name for name, value in _state(given).items() if not _same(before.get(name), value)]
    changed += [name for name in before if name not in _state(given)]
    if given.calc is not atoms.calc:
        changed.append("the calculator")
    if changed:
        raise AssertionError(f"the call changed {', '.join(changed)}\n{reproduction(atoms)}")
    for name, array in {**given.arrays, "cell": given.cell.array}.items():
        if np.shares_memory(returned, array):
            what = f"the values share memory with the array {name!r} of the structure: return a copy"
            raise AssertionError(f"{what}\n{reproduction(atoms)}")
    expected = returned.copy()
    if returned.flags.writeable and returned.ndim:
        returned[...] = -1 if returned.dtype.kind in "iu" else np.nan
        if not _same_bits(np.asarray(function(given)), expected):
            raise AssertionError(
                f"the values are those of a cache: overwriting them changes the next\n{reproduction(atoms)}"
            )


def _state(atoms: Atoms) -> dict[str, Any]:
    state: dict[str, Any] = {f"the array {name!r}": array.copy() for name, array in atoms.arrays.items()}
    state |= {f"info[{name!r}]": deepcopy(value) for name, value in atoms.info.items()}
    state["the cell"], state["pbc"] = atoms.cell.array.copy(), atoms.pbc.copy()
    state["celldisp"] = atoms.get_celldisp().copy()
    state["the constraints"] = [constraint.todict() for constraint in atoms.constraints]
    return state


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_same(first[name], second[name]) for name in first)
    if isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)):
        return len(first) == len(second) and all(map(_same, first, second))
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        return type(first) is type(second) and _same_bits(first, second)
    return bool(first == second)


def _same_bits(first: np.ndarray, second: np.ndarray) -> bool:
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    if first.dtype.kind == "O":
        return bool((first == second).all())
    return np.ascontiguousarray(first).tobytes() == np.ascontiguousarray(second).tobytes()


def assert_deterministic(
    function: Function,
    atoms: Atoms | Sequence[Atoms],
    *,
    same_as: Sequence[Function] = (),
    calls: int = 3,
    workers: int = 4,
) -> None:
    """Assert that every call gives the same bits: repeated, after other structures, and from several threads at once.

    Parameters
    ----------
    function : callable
        From an ase.Atoms to an array.
    atoms : ase.Atoms or sequence of them
        Several are called in turn, so that what one call leaves behind would be seen by the next.
    same_as : sequence of callables, optional
        Other ways that must give the same bits, for example the function with other numbers of threads.
    calls : int, optional
        Calls for each structure, ≥ 2; as many again from threads.
    workers : int, optional
        Python threads that call at the same time; 0 for functions that allow one caller at a time.

    Raises
    ------
    AssertionError
        Naming the call, with the largest difference.

    Examples
    --------
    >>> from functools import partial
    >>> from ase.build import bulk
    >>> from acepure import ACEBasis
    >>> descriptors = ACEBasis(["Cu"]).descriptors
    >>> with_threads = [partial(descriptors, num_threads=n) for n in (1, 2, 3)]
    >>> assert_deterministic(descriptors, [bulk("Cu"), bulk("Cu", cubic=True)], same_as=with_threads)
    """
    __tracebackhide__ = True
    structures = [atoms] if isinstance(atoms, Atoms) else list(atoms)
    calls, workers = count("calls", calls, least=2), count("workers", workers, least=0)
    if not structures:
        raise ValueError("atoms must hold one structure at least")
    first = [values_of(function, structure) for structure in structures]
    for call in range(1, calls):
        for structure, expected in zip(structures, first):
            _check_bits(values_of(function, structure), expected, f"call {call + 1}", structure)
    for number, other in enumerate(same_as):
        for structure, expected in zip(structures, first):
            _check_bits(values_of(other, structure), expected, f"same_as[{number}]", structure)
    if workers:
        with ThreadPoolExecutor(workers) as pool:
            copies = [structure.copy() for structure in structures * max(calls, -(-2 * workers // len(structures)))]
            results = list(pool.map(lambda structure: values_of(function, structure), copies))
        for k, (structure, got) in enumerate(zip(copies, results)):
            what = f"a call while {workers} threads were calling"
            _check_bits(got, first[k % len(structures)], what, structure)


def _check_bits(got: np.ndarray, expected: np.ndarray, what: str, atoms: Atoms) -> None:
    __tracebackhide__ = True
    if _same_bits(got, expected):
        return
    Comparison(0.0, 1.0, atoms).check(got, expected, f"{what} gives other bits than the first call")
    raise AssertionError(f"{what} gives other bits than the first call: another sign of zero\n{reproduction(atoms)}")
