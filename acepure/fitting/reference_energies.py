"""Reference energies E0 of the species: E = Σ_i E0(z_i) + what is left for the features.

Features vanish for an atom without neighbors, so that E0 is the model's energy of an isolated atom.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from numbers import Real

import numpy as np
from ase import Atoms

from acepure._utils.checks import check_kind, number, symbol
from acepure.errors import SpeciesError
from acepure.fitting.keys import LabelError
from acepure.fitting.labels import LabeledStructure, LabelWarning, text_table
from acepure.neighbors.lists import neighbor_list
from acepure.structures.gate import species_of

# Two energies of an isolated atom that differ by more than this contradict each other, in eV.
_SAME_ENERGY = 1e-6
# Singular values of the compositions below this share of the largest count as zero.
_RANK = 1e-10


def is_isolated(atoms: Atoms, cutoff: float) -> bool:
    """Return whether this is one atom that sees no neighbor, not even an image of itself.

    Parameters
    ----------
    atoms : ase.Atoms
    cutoff : float
        Å.

    Examples
    --------
    >>> from ase.build import bulk
    >>> is_isolated(Atoms("Cu", cell=[20, 20, 20], pbc=True), 6.0), is_isolated(bulk("Cu"), 6.0)
    (True, False)
    """
    return len(atoms) == 1 and neighbor_list(atoms, number("cutoff", cutoff, above=0)).n_pairs == 0


def reference_energies(
    labeled: Iterable[LabeledStructure],
    E0s: Mapping[str, float] | str | float,
    *,
    cutoff: float | None = None,
    species: Iterable[str] | None = None,
) -> dict[str, float]:
    """Return the reference energy of each species.

    Parameters
    ----------
    labeled : iterable of LabeledStructure
        For example `LabeledData` or `LabeledStream`.
    E0s : mapping, "isolated", "lstsq" or 0
        A mapping {symbol: eV}; "isolated": the energies of the isolated atoms in the data; "lstsq": those that
        minimize Σ_k [(E_k − Σ_z n_kz E0_z) / N_k]², n_kz atoms of species z among N_k, of smallest norm if
        several do; or 0.
    cutoff : float, optional
        Å; needed for "isolated".
    species : iterable of str, optional
        All that are wanted; by default those in the data.

    Returns
    -------
    dict
        {symbol: E0 in eV}, by atomic number.

    Raises
    ------
    TypeError, ValueError
        If E0s is none of these, a species has no energy, or isolated atoms of one species have different ones.

    Warns
    -----
    LabelWarning
        If the energies in the data do not determine all of them ("lstsq").

    Examples
    --------
    >>> data = [LabeledStructure(Atoms("Cu"), -1.0), LabeledStructure(Atoms("Cu2", [[0, 0, 0], [2, 0, 0]]), -5.0)]
    >>> reference_energies(data, "isolated", cutoff=5.0)
    {'Cu': -1.0}
    >>> reference_energies(data, {"Cu": -1.1})
    {'Cu': -1.1}
    """
    if isinstance(labeled, Iterator):
        labeled = list(labeled)  # it is gone through more than once
    symbols = _species(labeled, species)
    if isinstance(E0s, Mapping):
        given = {symbol("each species of E0s", key): number(f"E0s[{key!r}]", value) for key, value in E0s.items()}
        return _of_all(given, symbols, f"E0s has {', '.join(given) or 'nothing'}")
    if isinstance(E0s, str) and E0s == "isolated":
        if cutoff is None:
            raise ValueError('E0s="isolated" needs the cutoff: an atom is isolated if it has no neighbor within it')
        found = _isolated(labeled, cutoff)
        return _of_all(found, symbols, f"the data has isolated atoms with energy of {', '.join(found) or 'no species'}")
    if isinstance(E0s, str) and E0s == "lstsq":
        return _least_squares(labeled, symbols)
    if isinstance(E0s, bool) or not isinstance(E0s, Real) or E0s != 0:
        raise ValueError(f'E0s must be a mapping {{symbol: eV}}, "isolated", "lstsq" or 0; got {E0s!r}')
    return dict.fromkeys(symbols, 0.0)


def reference_energy(atoms: Atoms, energies: Mapping[str, float]) -> float:
    """Return Σ_i E0(z_i) in eV.

    Parameters
    ----------
    atoms : ase.Atoms
    energies : mapping
        {symbol: eV}, from `reference_energies`.

    Raises
    ------
    LabelError
        If a species has none.

    Examples
    --------
    >>> reference_energy(Atoms("OH2"), {"H": -13.0, "O": -2041.0})
    -2067.0
    """
    counts = Counter(atoms.symbols)
    of_species = _of_all(energies, counts, f"energies has {', '.join(energies) or 'nothing'}")
    return float(sum(n * of_species[name] for name, n in counts.items()))


def reference_table(energies: Mapping[str, float]) -> str:
    """Return the reference energies as text.

    Examples
    --------
    >>> print(reference_table({"H": -13.568, "O": -2037.797}))
    species       E0 (eV)
    H          -13.568000
    O        -2037.797000
    """
    return text_table([["species", "E0 (eV)"], *([name, f"{value:.6f}"] for name, value in energies.items())])


def _species(labeled: Iterable[LabeledStructure], species: Iterable[str] | None) -> tuple[str, ...]:
    numbers: set[int] = set()
    for k, item in enumerate(labeled):
        check_kind(f"labeled[{k}]", item, LabeledStructure)
        numbers.update(item.atoms.numbers.tolist())
    if not numbers:
        raise ValueError("labeled is empty; at least one structure is needed")
    present = species_of(Atoms(sorted(numbers)))
    if species is None:
        return present
    wanted = [symbol("each of species", name) for name in ([species] if isinstance(species, str) else species)]
    unknown = [name for name in present if name not in wanted]
    if unknown:
        raise SpeciesError(f"the data has {', '.join(unknown)}, but species is {', '.join(wanted)}")
    return species_of(Atoms(wanted))


def _of_all(energies: Mapping[str, float], symbols: Iterable[str], what: str) -> dict[str, float]:
    missing = [name for name in symbols if name not in energies]
    if missing:
        raise LabelError(f"no reference energy for {', '.join(missing)}: {what}")
    return {name: energies[name] for name in symbols}


def _isolated(labeled: Iterable[LabeledStructure], cutoff: float) -> dict[str, float]:
    found: dict[str, tuple[int, float]] = {}
    for k, item in enumerate(labeled):
        if item.energy is None or not is_isolated(item.atoms, cutoff):
            continue
        name = str(item.atoms.symbols[0])
        first, energy = found.setdefault(name, (k, item.energy))
        if abs(energy - item.energy) > _SAME_ENERGY:
            raise LabelError(
                f"isolated {name} has {energy} eV in structures[{first}] and {item.energy} eV in structures[{k}]; "
                "keep one of them, or give E0s as a mapping"
            )
    return {name: energy for name, (_, energy) in found.items()}


def _least_squares(labeled: Iterable[LabeledStructure], symbols: tuple[str, ...]) -> dict[str, float]:
    rows = [
        (_fractions(item.atoms, symbols), item.energy / len(item.atoms)) for item in labeled if item.energy is not None
    ]
    if not rows:
        raise LabelError('E0s="lstsq" needs energies; no structure has one')
    composition, per_atom = (np.array(column) for column in zip(*rows))
    energies, _, rank, _ = np.linalg.lstsq(composition, per_atom, rcond=_RANK)
    if rank < len(symbols):
        warnings.warn(
            f"the energies determine {rank} of {len(symbols)} reference energies ({', '.join(symbols)}), as the "
            "compositions are not independent; the values of smallest norm are taken",
            LabelWarning,
            stacklevel=3,
        )
    return dict(zip(symbols, energies.tolist()))


def _fractions(atoms: Atoms, symbols: tuple[str, ...]) -> list[float]:
    counts = Counter(atoms.symbols)
    return [counts.get(name, 0) / len(atoms) for name in symbols]
