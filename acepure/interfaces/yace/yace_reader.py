"""Reading .yace files of linear and Finnis-Sinclair potentials."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers

from acepure._utils.memory import physical_memory
from acepure.interfaces.yace.bonds import Bond, Core, PolynomialBond, TableBond
from acepure.interfaces.yace.embeddings import KINDS, FileEmbedding
from acepure.interfaces.yace.evaluator import Terms, YaceContent
from acepure.interfaces.yace.radial_families import FAMILIES
from acepure.interfaces.yace.yace_potential import YacePotential
from acepure.interfaces.yace.yace_text import FIRST_LINE, LAST_LINE
from acepure.interfaces.yace.yaml_tree import YaceError, yaml_tree

# A file takes at most this many times its size in memory; what would need more than a third of it is not read.
_EXPANSION = 100
# Files beyond these are damaged, or nobody could evaluate them.
_LARGEST = {
    **{"rank": 16, "l": 60, "power": 20, "rcut": 1000, "nodes": 10**7, "exponent": 10, "densities": 100},
    **{"parameter": 100, "coefficients": 10**8},
}
_CORES = ("density", "distance", "zbl")
# Of ρ_core in files that do not say where F ends.
_NO_CORE = 1e5
_TOP = {"elements", "E0", "deltaSplineBins", "embeddings", "bonds", "functions"}
_SILENT = {"lmax", "metadata"}


def read_yace(path: str | os.PathLike[str]) -> YacePotential:
    """Read a potential from a .yace file, of acepure or of others.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    YacePotential
        Its `evaluate(atoms)` gives energies, forces and the virial as LAMMPS would, `calculator()` a calculator of ASE.

    Raises
    ------
    FileNotFoundError
    YaceError
        For a file that is damaged or cut short, and for what is not supported: embeddings other than those of
        Finnis-Sinclair, and radial functions other than ChebExpCos, ChebPow, ChebLinear, SBessel and ACE.jl.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from ase import Atoms
    >>> from acepure import ACEBasis
    >>> from acepure.interfaces.yace import write_yace
    >>> basis = ACEBasis(["Cu"], order=2, totaldegree=3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = write_yace(f"{folder}/Cu.yace", basis, np.ones(len(basis)), {"Cu": -3.5})
    ...     potential = read_yace(f"{folder}/Cu.yace")
    >>> potential.evaluate(Atoms("Cu")).energy
    -3.5
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be a str or os.PathLike; got {path!r} of type {type(path).__name__}")
    shown, file = repr(os.fspath(path)), Path(path)
    if file.exists() and not file.is_file():
        raise YaceError(f"{shown} is a folder or a device; a file is needed")
    if file.stat().st_size * _EXPANSION > physical_memory() / 3:
        raise YaceError(f"{shown} is too large: {file.stat().st_size:,} bytes")
    try:
        text = file.read_bytes().decode("utf-8-sig")
        if text.startswith(FIRST_LINE) and not text.rstrip().endswith(LAST_LINE):
            raise YaceError("is cut short")
        return YacePotential(_content(yaml_tree(text)))
    except UnicodeDecodeError:
        raise YaceError(f"{shown} is no text") from None
    except YaceError as error:
        raise YaceError(f"{shown} {error}") from None


def _content(tree: Any) -> YaceContent:
    """The messages of what this calls continue "file ..."."""
    if not isinstance(tree, dict) or not tree.keys() >= _TOP:
        missing = sorted(_TOP - tree.keys() if isinstance(tree, dict) else _TOP)
        raise YaceError(f"is no .yace file, or cut short: it lacks {', '.join(missing)}")
    unknown = sorted(map(str, tree.keys() - _TOP - _SILENT))
    if unknown:
        raise YaceError(f"holds {', '.join(unknown)}, of which acepure does not know what it adds to the energy")
    elements = _elements(tree["elements"])
    n = len(elements)
    E0 = _numbers(tree["E0"], "E0", (n,))
    bonds = _bonds(tree, elements)
    embeddings = _keyed(tree["embeddings"], "embeddings", [(str(z)) for z in range(n)])
    of_density = tuple(_embedding(e, f"embedding {z}") for z, e in enumerate(embeddings))
    functions = _keyed(tree["functions"], "functions", [(str(z)) for z in range(n)])
    terms = tuple(_center_terms(z, functions[z], of_density[z].n_densities, bonds) for z in range(n))
    return YaceContent(elements, E0, bonds, of_density, terms)


# --- parts ------------------------------------------------------------------------------------------------------------


def _elements(value: Any) -> tuple[str, ...]:
    known = set(atomic_numbers) - {"X"}
    if not isinstance(value, list) or not value or not all(isinstance(s, str) and s in known for s in value):
        raise YaceError(f"is damaged or foreign: elements must be chemical symbols; they are {_shown(value)}")
    if len(set(value)) < len(value):
        raise YaceError(f"is damaged: elements {_shown(value)} holds an element twice")
    return tuple(value)


def _embedding(value: Any, name: str) -> FileEmbedding:
    (ndensity, parameters, kind) = _fields(value, name, "ndensity", "FS_parameters", "npoti")
    n = _integer(ndensity, f"ndensity of {name}", 1, _LARGEST["densities"])
    parameters = _numbers(parameters, f"FS_parameters of {name}", (2 * n,))
    weights, exponents = parameters[::2], parameters[1::2]
    if kind not in KINDS or (exponents <= 0).any() or (exponents > _LARGEST["exponent"]).any():
        raise YaceError(
            f"is not supported: {name} is {_shown(kind)} with exponents {exponents.tolist()}; "
            f"acepure reads {' and '.join(KINDS)} with exponents from 0 to {_LARGEST['exponent']}"
        )
    end = _number(value.get("rho_core_cutoff", _NO_CORE), f"rho_core_cutoff of {name}")
    width = _number(value.get("drho_core_cutoff", 0), f"drho_core_cutoff of {name}", least=0.0)
    return FileEmbedding(str(kind), weights, exponents, end, width)


def _bonds(tree: dict[Any, Any], elements: Sequence[str]) -> dict[tuple[int, int], Bond]:
    n = len(elements)
    pairs = [(i, j) for i in range(n) for j in range(n)]
    found = _keyed(tree["bonds"], "bonds", [(str(i), str(j)) for i, j in pairs])
    step = _number(tree["deltaSplineBins"], "deltaSplineBins", above=0.0)
    bonds: dict[tuple[int, int], Bond] = {}
    for (i, j), value in zip(pairs, found):
        charges = atomic_numbers[elements[i]], atomic_numbers[elements[j]]
        bonds[i, j] = _bond(value, f"bond {[i, j]}", step, charges)
    if len(set(map(type, bonds.values()))) > 1:
        raise YaceError("mixes radial functions of family ACE.jl with others, which LAMMPS cannot either")
    tables = {pair: bond for pair, bond in bonds.items() if isinstance(bond, TableBond)}
    if len({bond.core.kind for bond in tables.values()}) > 1:
        raise YaceError("has bonds with different inner_cutoff_type, of which LAMMPS takes the last")
    # Functions may name what another bond has: LAMMPS takes the largest sizes for all, with coefficients 0.
    shape = np.max([bond.coefficients.shape for bond in tables.values()] or [(0, 0, 0)], axis=0)
    if len(tables) * math.prod(shape.tolist()) > _LARGEST["coefficients"]:
        raise YaceError(f"has bonds of which the largest sizes together, {shape.tolist()}, are too large")
    for pair, bond in tables.items():
        missing = [(0, int(size)) for size in shape - bond.coefficients.shape]
        bonds[pair] = replace(bond, coefficients=np.pad(bond.coefficients, missing))
    return bonds


def _bond(value: Any, name: str, step: float, charges: tuple[int, int]) -> Bond:
    family, rcut = _fields(value, name, "radbasename", "rcut")
    rcut = _number(rcut, f"rcut of {name}", above=0.0, most=_LARGEST["rcut"])
    if isinstance(family, str) and family.startswith("ACE.jl"):
        return _polynomial_bond(value, name, rcut)
    if family not in FAMILIES:
        raise YaceError(f"has radial functions {_shown(family)} in {name}; acepure reads {', '.join(FAMILIES)}, ACE.jl")
    if not 2 <= rcut / step <= _LARGEST["nodes"]:
        raise YaceError(f"has a table step of {step:g} Å for a cutoff of {rcut:g} Å in {name}")
    n_radial, lmax, n_base, parameters, table = _fields(
        value, name, "nradmax", "lmax", "nradbasemax", "radparameters", "radcoefficients"
    )
    sizes = (_integer(n_radial, "nradmax", 1), 1 + _integer(lmax, "lmax", 0, _LARGEST["l"]))
    shape = (*sizes, _integer(n_base, "nradbasemax", 1))
    parameters = _numbers(parameters, f"radparameters of {name}", (None,))
    least = {"ChebPow": 1.0, "ChebExpCos": 1e-6}.get(family, -np.inf)
    if len(parameters) == 0 or not least <= parameters[0] <= _LARGEST["parameter"]:
        raise YaceError(
            f"has radparameters {parameters.tolist()} in {name}; {family} needs one from {least:g} to "
            f"{_LARGEST['parameter']}"
        )
    dcut = _number(value.get("dcut", 0), f"dcut of {name}", least=0.0, most=rcut)
    core = _core(value, name, dcut, charges)
    coefficients = _numbers(table, f"radcoefficients of {name}", shape)
    return TableBond(rcut, float(parameters[0]), coefficients, step, str(family), dcut, core)


def _core(value: dict[Any, Any], name: str, dcut: float, charges: tuple[int, int]) -> Core:
    kind = value.get("inner_cutoff_type", "density")
    if kind not in _CORES:
        raise YaceError(
            f"has inner_cutoff_type {_shown(kind)} in {name}, which is not supported; acepure reads {', '.join(_CORES)}"
        )
    strength, decay, end, width = (
        _number(value.get(key, 0), f"{key} of {name}") for key in ("prehc", "lambdahc", "rcut_in", "dcut_in")
    )
    if width < 0 or (kind == "zbl" and not (width > 0 and dcut > 0)):
        raise YaceError(f"is damaged: dcut_in of {name} must be >= 0, and > 0 with dcut for inner_cutoff_type zbl")
    return Core(str(kind), strength, decay, end, width, charges)


def _polynomial_bond(value: dict[Any, Any], name: str, rcut: float) -> PolynomialBond:
    names = ("r0", "p", "xl", "xr", "pl", "pr", "maxn", "recursion_coefficients")
    r0, p, xl, xr, pl, pr, maxn, recursion = _fields(value, name, *names)
    n = _integer(maxn, f"maxn of {name}", 1)
    columns = _fields(recursion, f"recursion_coefficients of {name}", "A", "B", "C")
    most = _LARGEST["power"]
    return PolynomialBond(
        rcut,
        _number(r0, f"r0 of {name}", above=-1.0),
        _integer(p, f"p of {name}", -most, most),
        _number(xl, f"xl of {name}"),
        _number(xr, f"xr of {name}"),
        _integer(pl, f"pl of {name}", 0, most),
        _integer(pr, f"pr of {name}", 0, most),
        np.stack([_numbers(c, f"{key} of {name}", (n,)) for key, c in zip("ABC", columns)], axis=1),
    )


def _center_terms(z: int, value: Any, n_densities: int, bonds: Mapping[tuple[int, int], Bond]) -> tuple[Terms, ...]:
    """The terms of one species of center, by rank."""
    if not isinstance(value, list):
        raise YaceError(f"is damaged: functions {z} must be a list; it is {_shown(value)}")
    by_rank: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    for i, function in enumerate(value):
        rank, rows, ctildes = _function(function, f"function {i} of center {z}", z, n_densities)
        by_rank.setdefault(rank, []).append((rows, ctildes))
    result = []
    for rank in sorted(by_rank):
        rows, ctildes = (np.concatenate(arrays) for arrays in zip(*by_rank[rank]))
        terms = Terms(rows[:, 0], rows[:, 1] - 1, rows[:, 2], rows[:, 3], ctildes)
        _check_ranges(terms, z, bonds)
        result.append(terms)
    return tuple(result)


def _function(value: Any, name: str, z: int, n_densities: int) -> tuple[int, np.ndarray, np.ndarray]:
    """Rank, (μ, n, l, m) of each factor of each term, shape (n_terms, 4, rank), and c̃, (n_terms, n_densities)."""
    fields = ("mu0", "rank", "ndensity", "num_ms_combs", "mus", "ns", "ls", "ms_combs", "ctildes")
    mu0, rank, ndensity, n_terms, mus, ns, ls, ms, ctildes = _fields(value, name, *fields)
    rank = _integer(rank, f"rank of {name}", 1, _LARGEST["rank"])
    n_terms, n = _integer(n_terms, f"num_ms_combs of {name}", 0), _integer(ndensity, f"ndensity of {name}", 1)
    if _integer(mu0, f"mu0 of {name}", 0) != z or n != n_densities:
        raise YaceError(f"is damaged: {name} belongs to another species, or has another number of densities")
    same = [_integers(a, f"{key} of {name}", rank) for key, a in (("mus", mus), ("ns", ns), ("ls", ls))]
    ms = _integers(ms, f"ms_combs of {name}", n_terms * rank).reshape(n_terms, rank)
    rows = np.stack([*(np.tile(a, (n_terms, 1)) for a in same), ms], axis=1)
    return rank, rows, _numbers(ctildes, f"ctildes of {name}", (n_terms * n,)).reshape(n_terms, n)


def _check_ranges(terms: Terms, z: int, bonds: Mapping[tuple[int, int], Bond]) -> None:
    """Raise unless all n, l and m exist."""
    rank, n_species = terms.mus.shape[1], int(len(bonds) ** 0.5)
    if terms.mus.size == 0:
        return
    if terms.mus.min() < 0 or terms.mus.max() >= n_species:
        raise YaceError(f"is damaged: functions {z} name a species that does not exist")
    limits = np.array([_sizes(bonds[z, mu], rank) for mu in range(n_species)])[terms.mus]
    wrong = (terms.ns < 0) | (terms.ns >= limits[..., 0]) | (terms.ls < 0) | (terms.ls >= limits[..., 1])
    wrong |= abs(terms.ms) > terms.ls
    rows = np.flatnonzero(wrong.any(axis=1) | (terms.ms.sum(axis=1) != 0))
    if len(rows):
        name = [(np.stack([a[rows[0]] for a in (terms.mus, terms.ns + 1, terms.ls, terms.ms)], axis=1)).tolist()]
        raise YaceError(f"is damaged: functions {z} hold a term of (μ, n, l, m) = {name} that cannot be")


def _sizes(bond: Bond, rank: int) -> tuple[int, int]:
    """Numbers of n and of l that functions may ask for."""
    if isinstance(bond, PolynomialBond):
        return len(bond.recurrence), 1 if rank == 1 else 1 + _LARGEST["l"]
    n_radial, n_l, n_base = bond.coefficients.shape
    return (n_base, 1) if rank == 1 else (n_radial, n_l)


# --- values -----------------------------------------------------------------------------------------------------------


def _keyed(value: Any, name: str, keys: Sequence[Any]) -> list[Any]:
    """The values of exactly these keys, in order."""
    if not isinstance(value, dict) or value.keys() != set(keys):
        have = list(value)[:20] if isinstance(value, dict) else _shown(value)
        raise YaceError(f"is damaged or cut short: {name} must have the keys {list(keys)[:20]}; it has {have}")
    return [value[key] for key in keys]


def _fields(value: Any, name: str, *keys: str) -> list[Any]:
    missing = [key for key in keys if not isinstance(value, dict) or key not in value]
    if missing:
        raise YaceError(f"is damaged or cut short: {name} lacks {', '.join(missing)}")
    return [value[key] for key in keys]


def _integer(value: Any, name: str, least: int, most: float = 2**31) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise YaceError(f"is damaged: {name} must be an integer; it is {_shown(value)}") from None
    if not least <= number <= most:
        raise YaceError(f"is damaged: {name} must be from {least} to {most:g}; it is {number}")
    return number


def _number(value: Any, name: str, above: float = -np.inf, least: float = -np.inf, most: float = np.inf) -> float:
    number = float(_numbers([value], name, (1,))[0])
    if not above < number <= most or number < least:
        smallest = f"> {above:g}" if above > least else f">= {least:g}"
        raise YaceError(f"is damaged: {name} must be {smallest} and <= {most:g}; it is {number:g}")
    return number


def _integers(value: Any, name: str, size: int) -> np.ndarray:
    numbers = _numbers(value, name, (size,))
    if (numbers % 1).any() or abs(numbers).max(initial=0) > 2**31:
        raise YaceError(f"is damaged: {name} must hold integers; it is {_shown(value)}")
    return numbers.astype(np.int64)


def _numbers(value: Any, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """Nested lists of words as an array of finite numbers; None in `shape` is any length."""
    try:
        array = np.array(value if isinstance(value, list) else None, dtype=float)
    except (TypeError, ValueError):
        raise YaceError(f"is damaged: {name} must hold numbers; it is {_shown(value)}") from None
    if array.ndim != len(shape) or any(k is not None and k != m for k, m in zip(shape, array.shape)):
        raise YaceError(f"is damaged or cut short: {name} must have shape {shape}; it has {array.shape}")
    if not np.isfinite(array).all():
        raise YaceError(f"is damaged: {name} holds numbers that are not finite")
    return array


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else text[:77] + "..."
