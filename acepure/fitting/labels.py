"""Labels of structures: energies E (eV), forces F = −∂E/∂r (eV/Å) and virials W = −∂E/∂ε (eV).

Labels are looked for in `atoms.info`, in `atoms.arrays` and among the results of `atoms.calc`, where `ase.io` puts
`energy`, `forces` and `stress`.  A stress σ = −W / V (eV/Å³, sign and Voigt order of ASE) becomes a virial here, once.

    structures → resolve_keys → LabelKeys (which keys) → read_labels → LabeledStructure
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress
from ase.units import GPa

from acepure._utils.checks import real_array
from acepure.fitting.keys import LabelError, LabelKeys, places
from acepure.structures.gate import check_structure

# Two tensors agree if they differ by no more than this stress, or by this share of the largest component.
_STRESS_TOLERANCE = 0.01 * GPa
_ASYMMETRY = 1e-4
_DISAGREEMENT = 1e-3
# Results of a calculator belong to a structure whose positions and cell differ by no more than this, in Å.
_SAME_GEOMETRY = 1e-8


class LabelWarning(UserWarning):
    """Labels that are there are not used, do not determine what is asked, or look wrong."""


@dataclass(frozen=True, eq=False)
class LabeledStructure:
    """A structure with its labels; None for a label it does not have.

    Attributes
    ----------
    atoms : ase.Atoms
        As given, neither copied nor modified.
    energy : float, optional
        E in eV.
    forces : numpy.ndarray, shape (n_atoms, 3), optional
        −∂E/∂r in eV/Å; read-only.
    virial : numpy.ndarray, shape (3, 3), optional
        W = −∂E/∂ε in eV, symmetric; read-only.
    config_type : str
        The group it belongs to.
    """

    atoms: Atoms
    energy: float | None = None
    forces: np.ndarray | None = None
    virial: np.ndarray | None = None
    config_type: str = "default"

    @property
    def labels(self) -> tuple[float | np.ndarray | None, ...]:
        """Energy, forces and virial."""
        return self.energy, self.forces, self.virial


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of text as lines: the first column on the left, all others on the right.

    Examples
    --------
    >>> print(text_table([["config_type", "atoms"], ["fcc", "4"]]))
    config_type  atoms
    fcc              4
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]).rstrip()
        for row in rows
    )


def read_labels(atoms: Atoms, keys: LabelKeys, *, name: str = "atoms") -> LabeledStructure:
    """Read the labels of one structure.

    Parameters
    ----------
    atoms : ase.Atoms
    keys : LabelKeys
        From `resolve_keys`.  A label that this structure does not have is None.
    name : str
        What to call the structure in messages.

    Returns
    -------
    LabeledStructure
        The virial from a virial or a stress; never of a structure that is not periodic along all three axes.

    Raises
    ------
    TypeError, ValueError
        For labels that are not numbers, not finite, of a wrong shape or not symmetric; if virial and stress, or
        `atoms.info` and the calculator, contradict each other; and if the results of the calculator belong to another
        geometry.

    Warns
    -----
    LabelWarning
        If a virial or stress is not used because the structure is not periodic along all three axes.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from acepure.fitting import read_labels, resolve_keys
    >>> atoms = bulk("Cu")
    >>> atoms.info.update(energy=-3.7, stress=[0.01, 0.01, 0.01, 0, 0, 0])
    >>> labeled = read_labels(atoms, resolve_keys(atoms))
    >>> labeled.energy, (labeled.virial[0, 0] / atoms.get_volume()).round(9).item()
    (-3.7, -0.01)
    """
    check_structure(atoms, name)
    if not isinstance(keys, LabelKeys):
        raise TypeError(f"keys must be a LabelKeys from resolve_keys, got {type(keys).__name__}")
    if virial_without_volume(atoms, keys):
        message = "the virial or stress of a structure that is not periodic along all three axes is not used"
        warnings.warn(message, LabelWarning, stacklevel=2)
    return read_quietly(atoms, keys, name)


def virial_without_volume(atoms: Atoms, keys: LabelKeys) -> bool:
    """Whether a virial or stress is there that is not used, as there is no volume."""
    if atoms.pbc.all():
        return False
    return any(key in values for key in (keys.virial, keys.stress) if key for _, values in places(atoms))


def read_quietly(atoms: Atoms, keys: LabelKeys, name: str) -> LabeledStructure:
    """As `read_labels`, without its checks and warnings; for callers that did both for all structures together."""
    energy = stored_value(atoms, keys.energy, name)
    forces = stored_value(atoms, keys.forces, name)
    return LabeledStructure(
        atoms,
        None if energy is None else _number(f"{name}: {keys.energy}", energy),
        None if forces is None else _frozen(real_array(f"{name}: {keys.forces}", forces, (len(atoms), 3))),
        _virial(atoms, keys, name),
        group_of(atoms, keys.config_type),
    )


def group_of(atoms: Atoms, key: str | None, default: str = "default") -> str:
    """Return the name of the group of a structure; one that is None, which files hold as True, is no name.

    Examples
    --------
    >>> group_of(Atoms(info={"config_type": "fcc"}), "config_type"), group_of(Atoms(info={"kind": None}), "kind")
    ('fcc', 'default')
    """
    value = atoms.info.get(key) if key else None
    return default if value is None or value is True else str(value)


def name_of_all(groups: Collection[str]) -> str:
    """Return what the row of all groups together is called: no group has the same name."""
    return "all groups" if "all" in groups else "all"


def stored_value(atoms: Atoms, key: str | None, name: str) -> Any:
    """Return what is stored under a key, or None.

    Raises
    ------
    LabelError
        For values of one key that differ, and results of a calculator for another geometry.
    """
    if not key:
        return None
    found = [(place, values[key]) for place, values in places(atoms) if values.get(key) is not None]
    if any(place == "calculator" for place, _ in found):
        _check_geometry(atoms, key, name)
    for place, value in found[1:]:
        if not np.array_equal(value, found[0][1]):
            raise LabelError(f"{name}: {key!r} in {found[0][0]} and in {place} differ; remove one of them")
    return found[0][1] if found else None


def _check_geometry(atoms: Atoms, key: str, name: str) -> None:
    """Raise if the results of the calculator are known to belong to something else."""
    computed = getattr(atoms.calc, "atoms", None)
    if computed is None:
        return
    same = np.array_equal(computed.numbers, atoms.numbers) and np.array_equal(computed.pbc, atoms.pbc)
    for ours, theirs in ((atoms.positions, computed.positions), (atoms.cell.array, computed.cell.array)):
        same = same and np.allclose(ours, theirs, rtol=0, atol=_SAME_GEOMETRY)
    if not same:
        raise LabelError(
            f"{name}: {key!r} of its calculator belongs to another geometry, as the structure was changed or the "
            "calculator used again; store labels in atoms.info and atoms.arrays, or in a SinglePointCalculator each"
        )


def _number(where: str, value: Any) -> float:
    array = np.asarray(value)
    if array.size != 1:
        raise ValueError(f"{where} must be one number; got an array of shape {array.shape}")
    return real_array(where, array.reshape(1), (1,)).item()


def _frozen(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


def _virial(atoms: Atoms, keys: LabelKeys, name: str) -> np.ndarray | None:
    if not atoms.pbc.all():
        return None
    volume = atoms.get_volume()
    virial, stress = stored_value(atoms, keys.virial, name), stored_value(atoms, keys.stress, name)
    if virial is not None:
        virial = _tensor(f"{name}: {keys.virial}", virial, _STRESS_TOLERANCE * volume)
    if stress is None:
        return None if virial is None else _frozen(virial)
    from_stress = -volume * _tensor(f"{name}: {keys.stress}", stress, _STRESS_TOLERANCE)
    if virial is None:
        return _frozen(from_stress)
    difference = np.abs(virial - from_stress).max()
    if difference > max(_DISAGREEMENT * np.abs(virial).max(), _STRESS_TOLERANCE * volume):
        raise LabelError(
            f"{name}: {keys.stress} is not −{keys.virial} / volume, they differ by up to {difference:.3g} eV "
            f"({difference / volume / GPa:.3g} GPa); choose one with virial_key= or stress_key="
        )
    return _frozen(virial)


def _tensor(where: str, value: Any, tolerance: float) -> np.ndarray:
    """The symmetric (3, 3) tensor of 9 or 6 components; `tolerance` for its asymmetry, in its unit."""
    array = np.asarray(value)
    if array.shape not in ((3, 3), (9,), (6,)):
        raise ValueError(
            f"{where} must have shape (3, 3), (9,), or (6,) in the order xx, yy, zz, yz, xz, xy; got {array.shape}"
        )
    array = real_array(where, array.reshape(-1), (array.size,))
    tensor = voigt_6_to_full_3x3_stress(array) if array.size == 6 else array.reshape(3, 3)
    asymmetry = np.abs(tensor - tensor.T).max()
    if asymmetry > max(_ASYMMETRY * np.abs(tensor).max(), tolerance):
        raise ValueError(f"{where} must be symmetric; components differ from their mirror images by {asymmetry:.3g}")
    return (tensor + tensor.T) / 2
