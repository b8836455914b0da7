"""`descriptors(atoms, ...)`: one call from structures to features."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from ase import Atoms

from acepure._utils.arguments import resolve_synonyms
from acepure.errors import LargeBasisWarning
from acepure.features.basis import ACEBasis, evaluate_features, evaluate_structures
from acepure.functions.radial import RadialBasis
from acepure.neighbors.environments import Environments
from acepure.structures.gate import occurring_species, structure_list

__all__ = ["descriptors"]

#: Where `store=True` puts the features (Atoms.arrays) and the parameters of the basis (Atoms.info, a JSON string).
ARRAY_NAME = "acepure_descriptors"
INFO_NAME = "acepure_basis"

#: Features of each atom that are worth a warning where nobody has chosen the order or the number of functions.
_MANY = 5000

_ARGUMENTS = ("rcut", "order", "totaldegree", "wL", "n_max", "l_max", "n_functions", "functions", "n_start", "radial")

Features = np.ndarray | dict[str, np.ndarray]


def descriptors(
    atoms: Atoms | Sequence[Atoms],
    canonical: bool = True,
    *,
    species: Sequence[str] | None = None,
    rcut: float | Mapping[tuple[str, str], float] | None = None,
    order: int | None = None,
    totaldegree: float | Sequence[float] | None = None,
    wL: float | None = None,
    n_max: int | Sequence[int] | None = None,
    l_max: int | Sequence[int] | None = None,
    n_functions: int | None = None,
    functions: Iterable[Sequence[Sequence[Any]]] | None = None,
    n_start: int | None = None,
    radial: RadialBasis | None = None,
    indices: Any = None,
    blocks: bool = False,
    store: bool = False,
    num_threads: int | None = None,
    progress: bool | None = None,
    **synonyms: Any,
) -> Features | list[Features]:
    """Return the ACE features of every atom.

    B = C 𝒜, with 𝒜_k = Σ_{j_1 ≠ ... ≠ j_ν} Π_t φ_{k_t}(r_{i j_t}) over pairwise distinct neighbors; see `ACEBasis`,
    which this function builds and uses. Use `ACEBasis` itself for many structures that come one by one.

    Parameters
    ----------
    atoms : ase.Atoms or sequence of them
        Structures; not modified unless `store`.
    canonical : bool
        True: without self-interaction. False: the products of plain neighbor sums; same columns.
    species : sequence of str, optional
        Chemical symbols of the basis; default: those of the structure, of all structures for a sequence. The columns
        depend on them, so name them when results of different calls are to be compared.
    rcut, order, totaldegree, wL, n_max, l_max, n_functions, functions, n_start, radial
        As for `ACEBasis`; rcut in Å (default 5.0), order (default 3), and which functions (default totaldegree=6).
    indices : sequence of int, slice or mask, optional
        Which atoms, counted from the end if negative, for one structure.
    blocks : bool
        Return a dictionary {"nu1": ..., "nu2": ..., "full": ...} of views by correlation order.
    store : bool
        Also put the features into ``atoms.arrays["acepure_descriptors"]`` and the parameters of the basis, as JSON,
        into ``atoms.info["acepure_basis"]``.
    num_threads : int, optional
        Default: ACEPURE_NUM_THREADS, else OMP_NUM_THREADS, else all cores.
    progress : bool, optional
        Show a bar for several structures; default: when writing to a terminal.
    **synonyms
        Spellings of other codes, as for `ACEBasis`.

    Returns
    -------
    numpy.ndarray of float64, shape (n_atoms, n_features), or a dictionary of such blocks; a list of them for a sequence

    Raises
    ------
    TypeError, ValueError
        For wrong input, before any work.

    Warns
    -----
    LargeBasisWarning
        If there are more than 5000 features of each atom, and the order was not chosen.

    Examples
    --------
    >>> from ase.build import bulk
    >>> descriptors(bulk("Cu"), rcut=5.0, order=2, n_max=4, l_max=6).shape
    (1, 74)
    >>> {name: block.shape for name, block in descriptors(bulk("Cu"), order=2, n_max=4, l_max=6, blocks=True).items()}
    {'nu1': (1, 4), 'nu2': (1, 70), 'full': (1, 74)}
    """
    local = locals()
    given = resolve_synonyms({name: local[name] for name in _ARGUMENTS}, synonyms, "descriptors")
    structures = structure_list(atoms, "atoms")
    one = isinstance(atoms, Atoms)
    if indices is not None and not one:
        raise ValueError("indices belong to one structure, but several were given")
    if store and indices is not None:
        raise ValueError("store=True keeps one row per atom, but indices selects some; leave one of them out")
    symbols = occurring_species(structures) if species is None else species
    basis = _basis(symbols, given | {"canonical": canonical})
    if all(given[name] is None for name in ("order", "n_functions", "functions")):
        warn_if_large(basis, "order=")
    if one:
        environments = Environments(basis, structures[0], indices=indices, num_threads=num_threads, checked=True)
        rows = [evaluate_features(basis, environments)]
    else:
        rows = evaluate_structures(basis, structures, num_threads, progress)
    if store:
        parameters = json.dumps(basis.to_dict())
        for structure, values in zip(structures, rows):
            structure.arrays[ARRAY_NAME] = values
            structure.info[INFO_NAME] = parameters
    features: list[Any] = [_by_order(basis, values) for values in rows] if blocks else list(rows)
    return features[0] if one else features


def warn_if_large(basis: ACEBasis, argument: str) -> None:
    """Warn of many features of an order that nobody chose; `argument` is how it is chosen, such as "order="."""
    sizes = basis.specification.sizes
    if sum(sizes) > _MANY:
        warnings.warn(
            f"{sum(sizes):,} features of each atom, as the order was not chosen and is {basis.order}; "
            f"{argument}{basis.order - 1} has {sum(sizes[:-1]):,} of them; choose {argument}{basis.order} for all",
            LargeBasisWarning,
            stacklevel=3,
        )


def _by_order(basis: ACEBasis, values: np.ndarray) -> dict[str, np.ndarray]:
    result = {name: values[:, columns] for name, columns in basis.order_slices.items()}
    result["full"] = values
    return result


def _basis(species: Sequence[str], arguments: Mapping[str, Any]) -> ACEBasis:
    """Build the basis, or take it from the last few: repeated calls in a notebook should not pay for set-up."""
    try:
        key = json.dumps([species, dict(sorted(arguments.items()))], default=_plain)
    except TypeError:  # objects such as a radial basis or a mapping by pairs
        return ACEBasis(species, **arguments)
    return _cached_basis(key)


def _plain(value: Any) -> Any:
    """NumPy's numbers, and sequences of them, as Python's."""
    scalar, sequence = isinstance(value, np.generic), isinstance(value, np.ndarray) and value.ndim > 0
    plain = value.tolist() if scalar or sequence else value
    if type(plain) is type(value):  # a long double stays what it is
        raise TypeError(f"{value!r} has no form in JSON")
    return plain


@lru_cache(maxsize=8)
def _cached_basis(key: str) -> ACEBasis:
    species, arguments = json.loads(key)
    return ACEBasis(species, **arguments)
