"""Which keys hold the labels of structures: named, or found by their names.

Printed, `LabelKeys` says where each label comes from and in which unit.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ase import Atoms

Key = str | Literal[False] | None

KINDS = ("energy", "forces", "virial", "stress")
# prefix, separator, name of a label: "dft_energy" is "dft" and energy, "forces" is "" and forces.
_NAME = re.compile(r"(?P<prefix>.*?)[_\-. ]?(?P<name>energy|forces?|virials?|stress)", re.IGNORECASE | re.DOTALL)
_KIND_OF_NAME = {"force": "forces", "virials": "virial"}
# Names that end in "energy" and mean something else than the total energy; an automatic search passes over them.
_NOT_TOTAL = frozenset(
    "free kinetic formation cohesive binding atomization adsorption interaction surface zero_point correction".split()
)
# Of electrons at a finite temperature: taken where there is no other energy.
_FREE_ENERGY = re.compile(r"(?P<prefix>.*?)[_\-. ]?free[_\-. ]?energy", re.IGNORECASE | re.DOTALL)
_PLACES = ("info", "arrays", "calculator")


class LabelError(ValueError):
    """Labels are missing, ambiguous or contradict each other; the message names keys and structure."""


class NoLabelsError(LabelError):
    """Structures have no labels under names that are searched; the message lists the keys that they have."""


@dataclass(frozen=True)
class LabelKeys:
    """Keys under which labels are stored; None for a label that is not used.

    Attributes
    ----------
    energy : str, optional
        Of a number, in eV.
    forces : str, optional
        Of an array of shape (n_atoms, 3), in eV/Å.
    virial : str, optional
        W = −∂E/∂ε in eV, of shape (3, 3), (9,), or (6,) in the order xx, yy, zz, yz, xz, xy.
    stress : str, optional
        σ = −W / V in eV/Å³, in the same shapes.  A structure with both is refused if they contradict each other.
    config_type : str, optional
        Of the name of the group, in `atoms.info`; "default" for structures without it.
    """

    energy: str | None = None
    forces: str | None = None
    virial: str | None = None
    stress: str | None = None
    config_type: str | None = "config_type"

    def __str__(self) -> str:
        virial = [] if self.virial is None else [self.virial]
        virial += [f"−V × {self.stress} (eV/Å³)"] * (self.stress is not None)
        energy = self.energy
        if energy and _FREE_ENERGY.fullmatch(energy):
            energy += " (a free energy, that of electrons at a finite temperature)"
        shown = {"energy (eV)": energy, "forces (eV/Å)": self.forces, "virial (eV)": " or ".join(virial) or None}
        return ", ".join(f"{name}: {key or 'not used'}" for name, key in shown.items())


def resolve_keys(
    structures: Atoms | Iterable[Atoms],
    *,
    energy_key: Key = None,
    forces_key: Key = None,
    virial_key: Key = None,
    stress_key: Key = None,
    prefix: str | None = None,
    config_type_key: Key = "config_type",
) -> LabelKeys:
    """Find out which keys hold the labels.

    Without a key, names such as `energy`, `forces` (or `force`), `virial` and `stress` are searched, in any case and
    with any prefix (`REF_energy`, `dft-forces`); all of them must have the same prefix.  Energies and tensors are
    searched in `atoms.info` and the calculator, forces in `atoms.arrays` and the calculator; a key that is named may
    be in any of the three.  `free_energy` is taken where no other energy is found, and printed as such;
    `kinetic_energy`, `formation_energy` and the like are only taken by name or prefix.

    Parameters
    ----------
    structures : ase.Atoms or iterable of ase.Atoms
        Read once, so that a generator will do; only the keys are looked at.
    energy_key, forces_key, virial_key, stress_key : str, False or None
        A key, False for a label that shall not be used, None to search.  If one of virial and stress is named, the
        other is not searched.
    prefix : str, optional
        Search names with this prefix alone, given with or without its last "_"; "" means names without prefix.
    config_type_key : str, False or None
        Key of the group; without it all structures are "default".

    Returns
    -------
    LabelKeys

    Raises
    ------
    TypeError
        For a key that is neither text nor False nor None.
    LabelError
        If a named key is in no structure, or if names with several prefixes are found.  A subclass of ValueError.
    NoLabelsError
        If nothing is found.  A subclass of LabelError.

    Examples
    --------
    >>> from ase.build import bulk
    >>> atoms = bulk("Cu")
    >>> atoms.info["REF_energy"] = -3.7
    >>> resolve_keys([atoms]).energy
    'REF_energy'
    """
    given = dict(zip(KINDS, (energy_key, forces_key, virial_key, stress_key)))
    for kind, key in given.items():
        _check_key(f"{kind}_key", key)
    _check_key("config_type_key", config_type_key)
    if prefix is not None and not isinstance(prefix, str):
        raise TypeError(f'prefix must be text such as "REF_"; got {prefix!r} of type {type(prefix).__name__}')
    if all(key is False for key in given.values()):
        raise LabelError("energy_key, forces_key, virial_key and stress_key are all False; one label is needed")

    found = _FoundKeys.of(structures)
    keys = {kind: key for kind, key in given.items() if key}
    for kind, key in keys.items():
        found.require(f"{kind}_key", key, _PLACES)
    searched = [kind for kind, key in given.items() if key is None]
    if "virial" in keys or "stress" in keys:
        searched = [kind for kind in searched if kind not in ("virial", "stress")]
    keys |= found.search(searched, prefix)
    if not keys:
        raise NoLabelsError(
            f"no labels found{_with_prefix(prefix)}; {found.listing()}. Name them with energy_key=, ..."
        )
    if config_type_key and config_type_key != "config_type":
        found.require("config_type_key", config_type_key, ("info",))
    return LabelKeys(**keys, config_type=config_type_key or None)


def _check_key(name: str, key: Any) -> None:
    if not (key is None or key is False or (isinstance(key, str) and key)):
        raise TypeError(f"{name} must be a key, False (do not use) or None (search); got {key!r}")


def _with_prefix(prefix: str | None) -> str:
    return "" if prefix is None else f" with prefix {prefix!r}"


@dataclass(frozen=True)
class _FoundKeys:
    """How many structures hold each key, by (place, key)."""

    counts: Counter[tuple[str, str]]
    n_structures: int

    @classmethod
    def of(cls, structures: Atoms | Iterable[Atoms]) -> _FoundKeys:
        if isinstance(structures, Atoms):
            structures = [structures]
        if isinstance(structures, str) or not isinstance(structures, Iterable):
            raise TypeError(f"structures must be an iterable of ase.Atoms, got {type(structures).__name__}")
        counts: Counter[tuple[str, str]] = Counter()
        n = 0
        for n, atoms in enumerate(structures, 1):
            if not isinstance(atoms, Atoms):
                raise TypeError(f"structures[{n - 1}] must be an ase.Atoms, got {type(atoms).__name__}")
            counts.update((place, key) for place, values in places(atoms) for key in values if isinstance(key, str))
        if not n:
            raise ValueError("structures is empty; at least one ase.Atoms is needed")
        return cls(counts, n)

    def require(self, name: str, key: str, places: Sequence[str]) -> None:
        if any((place, key) in self.counts for place in places):
            return
        near = difflib.get_close_matches(key, [k for place, k in self.counts if place in places], n=1)
        hint = f", did you mean {near[0]!r}?" if near else ""
        raise LabelError(f"{name}={key!r} is in none of {self.n_structures} structures{hint}; {self.listing()}")

    def listing(self) -> str:
        """Keys by place; those that every structure has are no labels."""
        lists = {place: sorted(k for p, k in self.counts if p == place) for place in _PLACES}
        lists["arrays"] = [key for key in lists["arrays"] if key not in ("numbers", "positions")]
        return "keys found: " + "; ".join(f"{place}: {', '.join(keys) or 'none'}" for place, keys in lists.items())

    def search(self, kinds: Sequence[str], prefix: str | None) -> dict[str, str]:
        """Keys of these labels by name; all must have one prefix, and each one key."""
        candidates = list(self._candidates(kinds, prefix))
        if "energy" in kinds and not any(kind == "energy" for _, kind, *_ in candidates):
            candidates += self._free_energies(prefix)
        keys = {kind: key for _, kind, key, _ in candidates}
        if len({own for own, *_ in candidates}) > 1 or len({key for *_, key, _ in candidates}) > len(keys):
            counts = self.counts
            listed = ", ".join(f"{key} ({place}, {counts[place, key]} structures)" for *_, key, place in candidates)
            raise LabelError(
                f"several candidates for labels{_with_prefix(prefix)}: {listed}; choose with prefix=, or with "
                "energy_key=, forces_key=, virial_key=, stress_key= (False: do not use)"
            )
        return keys

    def _candidates(self, kinds: Sequence[str], prefix: str | None) -> Iterator[tuple[str, str, str, str]]:
        """Yield (prefix, kind, key, place) of names of these labels with this prefix, or with any."""
        for place, key in sorted(self.counts):
            match = _NAME.fullmatch(key)
            if match is None or (prefix is None and _FREE_ENERGY.fullmatch(key)):
                continue
            own, name = match["prefix"], match["name"].lower()
            kind = _KIND_OF_NAME.get(name, name)
            if kind not in kinds or place == ("info" if kind == "forces" else "arrays"):
                continue
            if own.lower() not in _NOT_TOTAL if prefix is None else own == prefix.rstrip("_-. "):
                yield own, kind, key, place

    def _free_energies(self, prefix: str | None) -> Iterator[tuple[str, str, str, str]]:
        """Yield the same of free energies."""
        for place, key in sorted(self.counts):
            match = _FREE_ENERGY.fullmatch(key)
            if match and place != "arrays" and (prefix is None or match["prefix"] == prefix.rstrip("_-. ")):
                yield match["prefix"], "energy", key, place


def places(atoms: Atoms) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (place, what is stored there by key) for "info", "arrays" and, if there are results, "calculator"."""
    yield "info", atoms.info
    yield "arrays", atoms.arrays
    results = getattr(atoms.calc, "results", None)
    if isinstance(results, Mapping):
        yield "calculator", results
