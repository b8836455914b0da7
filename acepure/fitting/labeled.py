"""Sets of labeled structures, and what was found in them.

    label_structures(structures) → LabeledData      a sequence, all in memory
                                 → LabeledStream    read anew for every pass, one structure at a time

A fit takes either; the coefficients are the same to the last bit.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar, overload

import numpy as np
from ase import Atoms

from acepure.fitting.keys import Key, LabelKeys, resolve_keys
from acepure.fitting.labels import (
    LabeledStructure,
    LabelWarning,
    name_of_all,
    read_quietly,
    text_table,
    virial_without_volume,
)
from acepure.structures.files import StructureFiles
from acepure.structures.gate import check_structure, species_of, structure_list


class _Labeled(Protocol):
    """One structure, its group and its labels."""

    @property
    def atoms(self) -> Atoms: ...
    @property
    def config_type(self) -> str: ...
    @property
    def labels(self) -> tuple[Any, ...]: ...


Item = TypeVar("Item", bound=_Labeled)


class PassedOver(ABC, Generic[Item]):
    """What is labeled, and can be passed over any number of times; one pass finds numbers and names."""

    @abstractmethod
    def __iter__(self) -> Iterator[Item]: ...

    @cached_property
    def _census(self) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
        """config_type → structures, atoms and structures with each kind of label; species."""
        counts: dict[str, np.ndarray] = {}
        elements: set[int] = set()
        for item in self:
            row = np.array([1, len(item.atoms), *(label is not None for label in item.labels)], dtype=int)
            counts[item.config_type] = counts.get(item.config_type, 0) + row
            elements.update(item.atoms.numbers.tolist())
        return counts, species_of(Atoms(sorted(elements))) if elements else ()

    @property
    def config_types(self) -> tuple[str, ...]:
        """Groups in the order in which they appear."""
        return tuple(self._census[0])

    @property
    def species(self) -> tuple[str, ...]:
        """Chemical symbols that occur, sorted by atomic number."""
        return self._census[1]

    def __len__(self) -> int:
        return int(sum(row[0] for row in self._census[0].values()))


class LabeledSet(PassedOver[LabeledStructure]):
    """Labeled structures that can be passed over any number of times; printed, a table of what was found."""

    keys: LabelKeys

    @property
    def has_energies(self) -> bool:
        """Whether any structure has an energy."""
        return any(row[2] for row in self._census[0].values())

    def table(self) -> str:
        """Numbers of structures, atoms and structures with each label per group, and the keys."""
        counts = self._census[0]
        total = sum(counts.values(), np.zeros(5, dtype=int))
        header = ["config_type", "structures", "atoms", "energies", "forces", "virials"]
        rows = [[name, *(f"{n:,}" for n in row)] for name, row in [*counts.items(), (name_of_all(counts), total)]]
        return f"{text_table([header, *rows])}\n{self.keys}"

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} structures, {self.keys!r})"


@dataclass(frozen=True, eq=False, repr=False)
class LabeledData(LabeledSet, Sequence[LabeledStructure]):
    """Structures with labels, a sequence of `LabeledStructure`; printed, it is a table of what was found.

    Attributes
    ----------
    structures : tuple of LabeledStructure
    keys : LabelKeys
        Where the labels came from.

    Examples
    --------
    >>> from ase.build import bulk
    >>> atoms = bulk("Cu")
    >>> atoms.info.update(dft_energy=-3.7, config_type="fcc")
    >>> print(label_structures([atoms, bulk("Cu")]))
    config_type  structures  atoms  energies  forces  virials
    fcc                   1      1         1       0        0
    default               1      1         0       0        0
    all                   2      2         1       0        0
    energy (eV): dft_energy, forces (eV/Å): not used, virial (eV): not used
    """

    structures: tuple[LabeledStructure, ...]
    keys: LabelKeys = field(default_factory=LabelKeys)

    def __iter__(self) -> Iterator[LabeledStructure]:
        return iter(self.structures)

    def __len__(self) -> int:
        return len(self.structures)

    @overload
    def __getitem__(self, index: int) -> LabeledStructure: ...
    @overload
    def __getitem__(self, index: slice) -> LabeledData: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return LabeledData(self.structures[index], self.keys)
        return self.structures[index]


@dataclass(frozen=True, eq=False, repr=False)
class LabeledStream(LabeledSet):
    """Structures with labels that are read anew for every pass; printed, it is a table of what was found.

    Attributes
    ----------
    structures : iterable of ase.Atoms
        That starts anew each time it is iterated over, such as `StructureFiles`.
    keys : LabelKeys
        Where the labels came from.
    """

    structures: Iterable[Atoms]
    keys: LabelKeys

    def __iter__(self) -> Iterator[LabeledStructure]:
        for k, atoms in enumerate(self.structures):
            name = self.structures.name(k) if isinstance(self.structures, StructureFiles) else f"structures[{k}]"
            check_structure(atoms, name)
            yield read_quietly(atoms, self.keys, name)


def label_structures(
    structures: Atoms | Iterable[Atoms],
    *,
    energy_key: Key = None,
    forces_key: Key = None,
    virial_key: Key = None,
    stress_key: Key = None,
    prefix: str | None = None,
    config_type_key: Key = "config_type",
) -> LabeledData | LabeledStream:
    """Read the labels of all structures.

    Parameters
    ----------
    structures : ase.Atoms or iterable of ase.Atoms
        A sequence or a generator is held in memory. Anything else that starts anew each time it is iterated over, such
        as `StructureFiles`, is not: it is read for every pass.
    energy_key, forces_key, virial_key, stress_key, prefix, config_type_key
        As `resolve_keys`.

    Returns
    -------
    LabeledData or LabeledStream
        Print it to see what was found.

    Raises
    ------
    TypeError, ValueError
        As `resolve_keys` and `read_labels`; the message names the structure by its number.

    Warns
    -----
    LabelWarning
        As `read_labels`, once, with the number of structures.

    Examples
    --------
    >>> from ase.build import bulk
    >>> atoms = bulk("Cu")
    >>> atoms.info["energy"] = -3.7
    >>> label_structures([atoms])[0].energy
    -3.7
    """
    given = locals()
    streamed = starts_anew(structures)
    structures = structures if streamed else structure_list(structures)
    keys = resolve_keys(**{**given, "structures": structures})
    labeled: LabeledData | LabeledStream = LabeledStream(structures, keys)
    if streamed:
        len(labeled)  # a wrong label anywhere is found before any work
    else:
        # A tuple of the stream itself would ask for its length, and so read all labels twice.
        labeled = LabeledData(tuple(item for item in labeled), keys)
    if not keys.virial and not keys.stress:
        return labeled
    left_out = [k for k, atoms in enumerate(structures) if virial_without_volume(atoms, keys)]
    if left_out:
        warnings.warn(
            f"the virials or stresses of {len(left_out)} structures that are not periodic along all three axes are not "
            f"used; the first is structures[{left_out[0]}]",
            LabelWarning,
            stacklevel=2,
        )
    return labeled


def starts_anew(structures: object) -> bool:
    """Whether each pass over the structures reads them again, so that they need not be held."""
    return isinstance(structures, Iterable) and not isinstance(structures, (Atoms, str, Sequence, Iterator))
