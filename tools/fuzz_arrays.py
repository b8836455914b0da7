"""Hostile arrays for every public function that takes some: shapes, strides, types, byte orders, subclasses, views.

    python tools/fuzz_arrays.py [--n 2000] [--seed 0]

Each call must give what it gives for a plain copy of the same numbers, to the last bit, or raise TypeError or
ValueError (IndexError for indices). It runs in this process: a crash of the kernels ends it, with the seed on stderr.
"""

from __future__ import annotations

import argparse
import collections
import faulthandler
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from ase.build import bulk

from acepure import ACEBasis, LinearACE, LinearFunction, pair_jacobian, pullback, summed_gradients
from acepure._utils.tall_qr import RFactor, jacobi_svd, singular_values
from acepure.diagnostics import Conditioning
from acepure.functions import Measure, PolynomialRadialBasis
from acepure.functions.whitened import WhitenedRadialBasis
from acepure.models.repulsion import ZBLCore
from acepure.neighbors.lists import NeighborList, neighbor_list

ERRORS = (TypeError, ValueError)


class Tagged(np.ndarray):
    """A subclass that counts as an array."""


@dataclass(frozen=True)
class Call:
    """A function of one array, and an array that it takes."""

    function: Callable[[object], object]
    array: np.ndarray
    errors: tuple[type[Exception], ...] = ERRORS


# --- the same numbers, otherwise stored -------------------------------------------------------------------------------


def layouts(array: np.ndarray) -> dict[str, object]:
    """Arrays equal to `array` for which the result must be the same, or a refusal."""
    array = np.asarray(array)
    padded = np.zeros(tuple(2 * k for k in array.shape), array.dtype)[tuple(slice(None, None, 2) for _ in array.shape)]
    padded[...] = array
    reverse = tuple(slice(None, None, -1) for _ in array.shape)
    raw = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    raw[...] = array
    read_only = array.copy()
    read_only.flags.writeable = False
    result = {
        "plain": array.copy(),
        "Fortran order": np.asfortranarray(array),
        "strides": padded,
        "negative strides": array[reverse].copy()[reverse],
        "not aligned": raw,
        "read-only": read_only,
        "other byte order": array.astype(array.dtype.newbyteorder()),
        "subclass": array.copy().view(Tagged),
        "masked array, no mask": np.ma.masked_array(array),
        "list": array.tolist(),
        "object": array.astype(object),
        "complex": array.astype(complex),
    }
    if array.dtype.kind == "f":
        result["long double"] = array.astype(np.longdouble)
    if array.dtype.kind == "i":
        result |= {str(np.dtype(t)): array.astype(t) for t in (np.int8, np.int16, np.uint64) if (array >= 0).all()}
    return result


# --- other numbers ----------------------------------------------------------------------------------------------------


def wrong(rng: np.random.Generator, array: np.ndarray) -> tuple[str, object]:
    """Something of another shape, type or content, and its name."""
    array = np.asarray(array)
    values = array.astype(float)
    one = rng.integers(max(array.size, 1))

    def with_value(value: float) -> np.ndarray:
        changed = values.copy()
        changed.flat[one % max(array.size, 1)] = value
        return changed

    masked = np.ma.masked_array(values, mask=np.zeros(array.shape, bool))
    if array.size:
        masked[np.unravel_index(one, array.shape)] = np.ma.masked
    ways: dict[str, Callable[[], object]] = {
        "NaN": lambda: with_value(np.nan),
        "infinite": lambda: with_value(-np.inf),
        "huge": lambda: with_value(1e308),
        "masked": lambda: masked,
        "empty": lambda: np.empty(0),
        "no rows": lambda: values[:0],
        "no columns": lambda: values[..., :0],
        "one axis more": lambda: values[None],
        "one axis less": lambda: values.sum(axis=0),
        "scalar": lambda: values.sum(),
        "one row more": lambda: np.concatenate([values, values[:1]]) if values.ndim else values,
        "one row less": lambda: values[1:] if values.ndim else values,
        "transposed": lambda: values.T[..., None] if values.ndim < 2 else np.moveaxis(values, 0, -1),
        "zero strides, 2^40 rows": lambda: np.broadcast_to(values[:1], (2**40, *array.shape[1:])),
        "zero strides, 2^60": lambda: np.broadcast_to(np.float64(1.0), (2**20, 2**20, 2**19)),
        "bool": lambda: values > 0,
        "text": lambda: values.astype(str),
        "bytes": lambda: values.astype("S8"),
        "dates": lambda: np.zeros(array.shape, "M8[s]"),
        "records": lambda: np.zeros(array.shape, [("a", float), ("b", int)]),
        "complex": lambda: values + 1j,
        "object None": lambda: np.full(array.shape, None),
        "object of arrays": lambda: np.array([values, None], dtype=object),
        "ragged": lambda: [[1.0], [1.0, 2.0]],
        "dictionary": lambda: {"a": values},
        "text itself": lambda: "1 2 3",
        "None": lambda: None,
        "generator": lambda: (v for v in values.ravel()),
        "33 dimensions": lambda: np.zeros((1,) * 32),
        "integers beyond float": lambda: [10**400] * max(len(array), 1) if array.ndim else 10**400,
        "random": lambda: rng.normal(scale=10.0 ** rng.uniform(-300, 300), size=rng.integers(0, 4, rng.integers(0, 4))),
    }
    name = list(ways)[rng.integers(len(ways))]
    return name, ways[name]()


# --- functions --------------------------------------------------------------------------------------------------------


def calls() -> dict[str, Call]:
    """Every public function that takes an array."""
    atoms = bulk("Cu", cubic=True) * (2, 1, 1)
    atoms.symbols[[0, 3]] = "Zr"
    atoms.rattle(0.1, seed=0)
    basis = ACEBasis(["Cu", "Zr"], rcut=3.5, order=2, totaldegree=3)
    rng = np.random.default_rng(0)
    weights, n = rng.normal(size=(2, len(basis))), len(basis)
    posterior, R = rng.normal(size=(2, n, 2)), np.triu(rng.normal(size=(4, 4))) + 4 * np.eye(4)
    conditioning = Conditioning(R, 9, ("a", "b", "c"), np.array([1, 1, 2]))
    radial, r = PolynomialRadialBasis(5.0), np.array([0.0, 1.0, 2.5, 5.0, 7.0])
    matrices = np.tril(rng.normal(size=(2, 3, 3)))
    model = LinearACE(basis, weights, core=ZBLCore(0.7, 1.4))

    def factor(rows: object) -> np.ndarray:
        result = RFactor(3)
        result.add(rows)
        return result.R

    index_errors = (*ERRORS, IndexError)
    return {
        "descriptors(indices)": Call(
            lambda a: basis.descriptors(atoms, indices=a), np.array([7, 0, 3], dtype=np.int64), index_errors
        ),
        "descriptors(mask)": Call(lambda a: basis.descriptors(atoms, indices=a), np.arange(8) % 3 == 0, index_errors),
        "pair_jacobian(indices)": Call(
            lambda a: pair_jacobian(basis, atoms, indices=a).values, np.array([1, 5]), index_errors
        ),
        "LinearFunction(coefficients)": Call(
            lambda a: LinearFunction(basis, a).evaluate_with_gradients(atoms).forces, weights
        ),
        "LinearACE(coefficients)": Call(lambda a: LinearACE(basis, a).evaluate(atoms).forces, weights),
        "LinearACE(posterior)": Call(
            lambda a: LinearACE(basis, weights, posterior=a).uncertainty(atoms).forces, posterior
        ),
        "LinearACE.dimer(r)": Call(lambda a: model.dimer("Cu", "Zr", a), np.array([1.0, 2.0])),
        "pullback(cotangents)": Call(lambda a: pullback(basis, atoms, a)[0], rng.normal(size=(8, n))),
        "RFactor.add(rows)": Call(factor, rng.normal(size=(5, 3))),
        "singular_values(matrix)": Call(singular_values, rng.normal(size=(4, 3))),
        "jacobi_svd(matrix)": Call(lambda a: jacobi_svd(a)[0], rng.normal(size=(4, 3))),
        "PolynomialRadialBasis.evaluate(r)": Call(lambda a: radial.evaluate(a, "Cu", "Cu", 3), r),
        "...with_gradients(r)": Call(lambda a: radial.evaluate_with_gradients(a, "Cu", "Cu", 3)[1], r),
        "WhitenedRadialBasis(matrices)": Call(
            lambda a: WhitenedRadialBasis(radial, {("Cu", "Cu"): a}).evaluate([2.0], "Cu", "Cu", 2), matrices
        ),
        "WhitenedRadialBasis.evaluate(r)": Call(
            lambda a: WhitenedRadialBasis(radial, {("Cu", "Cu"): matrices}).evaluate(a, "Cu", "Cu", 2), r
        ),
        "Measure(nodes)": Call(lambda a: Measure(a, np.ones(5)).nodes, r),
        "Measure(weights)": Call(lambda a: Measure(r, a).weights, np.ones(5)),
        "Conditioning.leverage(features)": Call(conditioning.leverage, rng.normal(size=(5, 3))),
        "ZBLCore.energy_and_slope(r)": Call(
            lambda a: ZBLCore(0.7, 1.4).energy_and_slope(a, "Cu", "Zr")[0], np.array([0.5, 1.0, 2.0])
        ),
        "neighbor_list(cutoff)": Call(
            lambda a: neighbor_list(atoms, a, species=(atoms.numbers == 40).astype(int)).vectors,
            np.array([[3.0, 3.1], [2.9, 3.2]]),
        ),
        "neighbor_list(species)": Call(
            lambda a: neighbor_list(atoms, 3.0, species=a).neighbors, (atoms.numbers == 40).astype(np.int64)
        ),
        "neighbor_list(indices)": Call(
            lambda a: neighbor_list(atoms, 3.0, indices=a).vectors, np.array([7, 0, 3]), index_errors
        ),
    }


# --- neighbor lists ---------------------------------------------------------------------------------------------------


def hostile_list(rng: np.random.Generator, good: NeighborList) -> NeighborList:
    """A list with one of its arrays changed."""
    name = ("offsets", "centers", "neighbors", "shifts", "vectors", "cutoffs")[rng.integers(6)]
    array = getattr(good, name).copy()
    action = rng.integers(8)
    if action == 0:
        array.flat[rng.integers(array.size)] = (-1, 0, 10**6, 2**31 - 1, -(2**31), 8, 7)[rng.integers(7)]
    elif action == 1:
        array = array[rng.permutation(len(array))]
    elif action == 2:
        array = array[: rng.integers(len(array))]
    elif action == 3:
        array = np.concatenate([array, array[: 1 + rng.integers(len(array))]])
    elif action == 4:
        kinds = (np.int8, np.float32, ">i8", ">f8", object, complex, np.uint64, bool)
        array = array.astype(kinds[rng.integers(len(kinds))])
    elif action == 5:
        array = np.repeat(array, 2, axis=0)[::2] if rng.random() < 0.5 else np.asfortranarray(array)
    elif action == 6:
        array = np.broadcast_to(array[:1], (2 ** int(rng.integers(3, 45)), *array.shape[1:]))
    else:
        array = wrong(rng, array)[1]
    return replace(good, **{name: array})


def list_calls() -> tuple[NeighborList, dict[str, Callable[[NeighborList], object]]]:
    """A good list, and everything that takes one."""
    call_atoms = bulk("Cu", cubic=True) * (2, 1, 1)
    call_atoms.symbols[[0, 3]] = "Zr"
    call_atoms.rattle(0.1, seed=0)
    basis = ACEBasis(["Cu", "Zr"], rcut=3.5, order=2, totaldegree=3)
    function = LinearFunction(basis, np.ones((2, len(basis))))
    core = ZBLCore(0.7, 3.4)
    return basis.neighbor_list(call_atoms), {
        "descriptors": lambda x: basis.descriptors(call_atoms, neighbors=x),
        "LinearFunction.evaluate": lambda x: function.evaluate(call_atoms, neighbors=x),
        "evaluate_with_gradients": lambda x: function.evaluate_with_gradients(call_atoms, neighbors=x).forces,
        "pair_jacobian": lambda x: pair_jacobian(basis, call_atoms, neighbors=x).values,
        "summed_gradients": lambda x: summed_gradients(basis, call_atoms, neighbors=x).positions,
        "pullback": lambda x: pullback(basis, call_atoms, np.ones((min(x.n_centers, 1000), len(basis))), neighbors=x)[
            0
        ],
        "core": lambda x: core.energy_and_forces(call_atoms, x).forces,
    }


# --- running ----------------------------------------------------------------------------------------------------------


def result_of(function: Callable[[object], object], argument: object, errors: tuple[type[Exception], ...]) -> object:
    """An array, the name of an allowed error, or "! ..." for any other end."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return np.asarray(function(argument))
    except errors as error:
        return type(error).__name__ if str(error) else f"! {type(error).__name__} without a message"
    except Exception as error:
        return f"! {type(error).__name__}: {str(error)[:150]}"


def check_layouts(call: Call) -> tuple[collections.Counter, list[str]]:
    """Try all layouts of the right array; return how often each outcome came, and what went wrong."""
    expected, counts, failures = np.asarray(call.function(call.array)), collections.Counter(), []
    for name, array in layouts(call.array).items():
        found = result_of(call.function, array, call.errors)
        if isinstance(found, str):
            counts[found.split(":")[0]] += 1
            if found.startswith("!") or name == "plain":
                failures.append(f"{name}: {found}")
        else:
            counts["same"] += 1
            if found.shape != expected.shape or not np.array_equal(found, expected):
                failures.append(f"{name}: another result")
    return counts, failures


def check_wrong(call: Call, n: int, seed: int) -> tuple[collections.Counter, list[str]]:
    """Try n hostile arrays; results must be finite arrays or refusals."""
    counts, failures = collections.Counter(), []
    for k in range(n):
        name, array = wrong(np.random.default_rng([seed, k]), call.array)
        found = result_of(call.function, array, call.errors)
        if isinstance(found, str):
            counts[found.split(":")[0]] += 1
            if found.startswith("!"):
                failures.append(f"{name} (seed {seed}, {k}): {found[2:]}")
        else:
            counts["accepted"] += 1
            if name in ("NaN", "infinite", "masked", "object None", "text", "records", "dates", "complex"):
                failures.append(f"{name} (seed {seed}, {k}): accepted")
    return counts, failures


def check_lists(n: int, seed: int) -> tuple[collections.Counter, list[str]]:
    """Try n hostile neighbor lists on everything that takes one."""
    good, functions = list_calls()
    counts, failures = collections.Counter(), []
    for k in range(n):
        rng = np.random.default_rng([seed, k])
        name, function = list(functions.items())[rng.integers(len(functions))]
        try:
            bad = hostile_list(rng, good)
        except ERRORS as error:
            counts[type(error).__name__] += 1
            continue
        found = result_of(function, bad, ERRORS)
        if isinstance(found, str):
            counts[found.split(":")[0]] += 1
            if found.startswith("!"):
                failures.append(f"{name} (seed {seed}, {k}): {found[2:]}")
        else:
            counts["accepted"] += 1
    return counts, failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=2000, help="hostile arrays for each function; ten times as many lists")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    faulthandler.enable()
    total, failed = collections.Counter(), 0
    for name, call in calls().items():
        same, failures = check_layouts(call)
        counts, more = check_wrong(call, arguments.n, arguments.seed)
        total += same + counts
        failed += len(failures) + len(more)
        print(f"{name}: layouts {dict(same)}, hostile {dict(counts)}")
        for line in list(dict.fromkeys(failures + more))[:8]:
            print("    WRONG", line)
    counts, failures = check_lists(10 * arguments.n, arguments.seed)
    print(f"neighbor lists: {dict(counts)}")
    for line in failures[:20]:
        print("    WRONG", line)
    print(f"{sum((total + counts).values()):,} calls: {dict(total + counts)}; wrong: {failed + len(failures)}")
    return 1 if failed + len(failures) else 0


if __name__ == "__main__":
    sys.exit(main())
