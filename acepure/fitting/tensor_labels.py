"""Labels of vectors and tensors: which target, where it is, and what of it is defined.

    structures, Target → label_tensors → TensorSet → LabeledTensor, one at a time

Labels become spherical components here, once. The dipole of a periodic structure is defined up to a quantum alone, so
that only its derivatives (Born effective charges) are labels; that of a charged one depends on the origin.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from ase import Atoms

from acepure.fitting.keys import LabelError, places
from acepure.fitting.labeled import PassedOver, starts_anew
from acepure.fitting.labels import group_of, stored_value
from acepure.functions.cartesian import RANKS, cartesian_shape, from_cartesian, resolve_rank
from acepure.structures.gate import checked_structures

PER = ("structure", "atom")
# What Born effective charges may sum to, relative to the largest: calculations do not satisfy the sum rule exactly.
_SUM_RULE = 0.2


@dataclass(frozen=True)
class Target:
    """A vector or tensor of structures or atoms, and where its labels are.

    Parameters
    ----------
    key : str
        In `info`, `arrays` or the results of a calculator. Matrices may be flat, row by row.
    rank : str
        "vector", "symmetric", ..., see `acepure.to_cartesian`.
    per : {"structure", "atom"}
    derivatives : str, optional
        Key of ∂T/∂r_kb, shape (n_atoms, 3, ...), the displacement before the tensor; or flat behind the first axis.
    origin : str, optional
        About which point the dipoles of charged structures are, in words.
    config_type_key : str, optional
        Key of the group in `info`.
    """

    key: str
    rank: str = "vector"
    per: str = "structure"
    derivatives: str | None = None
    origin: str | None = None
    config_type_key: str | None = "config_type"

    def __post_init__(self) -> None:
        object.__setattr__(self, "rank", resolve_rank(self.rank))
        if self.per not in PER:
            raise ValueError(f'per must be "structure" or "atom"; got {self.per!r}')
        for name in ("key", "derivatives", "origin"):
            value = getattr(self, name)
            if not isinstance(value, str) and (name == "key" or value is not None):
                raise TypeError(f"{name} of a target must be text; got {value!r} of type {type(value).__name__}")
        if self.derivatives is not None and self.per == "atom":
            raise ValueError('derivatives are those of the target of a structure; with per="atom" there are none')

    @property
    def has_origin(self) -> bool:
        """Whether it is a dipole: a vector of a structure."""
        return self.rank == "vector" and self.per == "structure"


@dataclass(frozen=True, eq=False)
class LabeledTensor:
    """A structure with its labels, as spherical components of all irreps of the rank.

    Attributes
    ----------
    atoms : ase.Atoms
    values : numpy.ndarray, shape (n, n_components), or None
        n is 1, or the number of atoms of a target per atom.
    derivatives : numpy.ndarray, shape (n_atoms, 3, n_components), or None
        ∂T/∂r_kb.
    config_type : str
    """

    atoms: Atoms
    values: np.ndarray | None
    derivatives: np.ndarray | None
    config_type: str

    @property
    def labels(self) -> tuple[np.ndarray | None, ...]:
        """Values and derivatives."""
        return self.values, self.derivatives


class TensorSet(PassedOver[LabeledTensor], Collection[LabeledTensor]):
    """Structures with labels of a target, which can be passed over any number of times.

    Parameters
    ----------
    structures : iterable of ase.Atoms
        Such as `StructureFiles`, which are read anew for each pass.
    target : Target
    """

    def __init__(self, structures: Iterable[Atoms], target: Target) -> None:
        self.target = target
        self._items: Iterable[LabeledTensor] | None = None
        self._structures = structures
        if not starts_anew(structures):
            self._items = tuple(self)

    def __iter__(self) -> Iterator[LabeledTensor]:
        if self._items is not None:
            yield from self._items
            return
        for k, atoms in enumerate(checked_structures(self._structures)):
            yield _labeled(atoms, self.target, f"structures[{k}]")

    def __contains__(self, item: object) -> bool:
        return any(item is other for other in self)

    def __str__(self) -> str:
        target, with_derivatives = self.target, sum(row[3] for row in self._census[0].values())
        text = f"{len(self):,} structures with {target.key!r}, {target.rank} per {target.per}"
        return text + (f"; {with_derivatives:,} with derivatives {target.derivatives!r}" if with_derivatives else "")


def label_tensors(structures: Iterable[Atoms] | TensorSet, target: Target) -> TensorSet:
    """Read the labels of a target.

    Parameters
    ----------
    structures : iterable of ase.Atoms
        What starts anew each time it is iterated over, such as `StructureFiles`, is read for every pass.
    target : Target

    Returns
    -------
    TensorSet

    Raises
    ------
    LabelError
        For a structure without labels; a subclass of ValueError.
    TypeError, ValueError
        For labels of another shape or symmetry, and for those that are not defined: dipoles of periodic structures,
        those of charged ones (`info["charge"]`) without an origin, Born effective charges that do not sum to zero.
    """
    if isinstance(structures, TensorSet):
        return structures
    found = TensorSet(structures, target)
    len(found)  # a wrong label anywhere is found before any work
    return found


def components_of(rank: str) -> dict[str, slice]:
    """Return where each irrep of a rank has its components.

    Examples
    --------
    >>> components_of("symmetric")
    {'0e': slice(0, 1, None), '2e': slice(1, 6, None)}
    """
    result, start = {}, 0
    for irrep in RANKS[rank]:
        stop = start + 2 * int(irrep[0]) + 1
        result[irrep] = slice(start, stop)
        start = stop
    return result


def _labeled(atoms: Atoms, target: Target, name: str) -> LabeledTensor:
    values = stored_value(atoms, target.key, name)
    derivatives = stored_value(atoms, target.derivatives, name)
    if values is None and derivatives is None:
        keys = ", ".join(sorted({str(key) for _, stored in places(atoms) for key in stored}))
        raise LabelError(f"{name} has no {target.key!r}; it has {keys}")
    if target.has_origin:
        _refuse_undefined(atoms, target, values, name)
    leading = (len(atoms),) if target.per == "atom" else (1,)
    return LabeledTensor(
        atoms,
        None if values is None else _components(values, leading, target.rank, f"{name}: {target.key!r}"),
        None if derivatives is None else _charges(derivatives, atoms, target, f"{name}: {target.derivatives!r}"),
        group_of(atoms, target.config_type_key),
    )


def _refuse_undefined(atoms: Atoms, target: Target, values: Any, name: str) -> None:
    if values is not None and atoms.pbc.any():
        raise ValueError(
            f"{name} is periodic, and its dipole defined up to a quantum alone: give derivatives (Born effective "
            "charges) without it, a vector per atom, or for a molecule in a box atoms.pbc = False"
        )
    charge = atoms.info.get("charge", 0)
    if values is not None and charge and target.origin is None:
        raise ValueError(
            f"{name} has the charge {charge}, so that its dipole depends on the origin: give it about a point that "
            'moves with the atoms, and say which with origin="center of mass" or the like'
        )


def _components(value: Any, leading: tuple[int, ...], rank: str, where: str) -> np.ndarray:
    """Spherical components of labels, with the leading axes of which the first, if it is 1, may be missing."""
    array, tensor = np.asarray(value), cartesian_shape(rank)
    shape = leading + tensor
    flat = (leading[0], prod(shape[1:]))
    allowed = {shape, flat, (*leading, prod(tensor))}
    if leading == (1,):
        allowed = {tensor, (prod(tensor),), *allowed}
    if array.shape not in allowed:
        needed = tensor if leading == (1,) else shape
        raise ValueError(f"{where} must have the shape {needed}; got {array.shape}")
    try:
        return from_cartesian(array.reshape(shape), rank)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from None


def _charges(value: Any, atoms: Atoms, target: Target, where: str) -> np.ndarray:
    found = _components(value, (len(atoms), 3), target.rank, where)
    total, largest = np.abs(found.sum(axis=0)).max(), np.abs(found).max()
    if total > _SUM_RULE * largest:
        raise ValueError(
            f"{where} must sum to zero over the atoms, as what does not depend on the origin does; the sum has entries "
            f"up to {total:.3g}. Of a charged structure, take the charge over the number of atoms off each"
        )
    return found


def composition(labeled: Iterable[LabeledTensor], species: Sequence[str], column: slice) -> np.ndarray:
    """Return the best constant of each species for a scalar, of least norm where compositions leave it open."""
    left, right = [], []
    for item in labeled:
        if item.values is None:
            continue
        kinds = (np.array(list(item.atoms.symbols))[:, None] == np.array(species)).astype(float)
        left.append(kinds if len(item.values) == len(kinds) > 1 else kinds.sum(axis=0, keepdims=True))
        right.append(item.values[:, column].ravel())
    if not left:
        return np.zeros(len(species))
    return np.linalg.lstsq(np.concatenate(left), np.concatenate(right), rcond=None)[0]
