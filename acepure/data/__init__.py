"""Data sets and potentials that come with the package: small, computed by its authors, free to use.

    NAME.extxyz.xz   structures with energies, forces and stresses
    NAME.ace         a potential that was fitted to those for training
    NAME.toml        the run file of that fit: `acepure fit NAME.toml` makes the potential again

They are for trying things out: tutorials and tests use them. The page `docs/data.md` says what was computed, how well
it is converged, and how large errors of the potentials are. These know what a few dozen small cells say.
"""

from __future__ import annotations

from importlib.resources import as_file, files
from types import MappingProxyType
from typing import TYPE_CHECKING

from ase import Atoms

from acepure.structures.files import StructureFiles

if TYPE_CHECKING:
    from acepure.models.linear import LinearACE

__all__ = ["SETS", "load", "potential"]

#: Name of each set → what it holds.
SETS = MappingProxyType(
    {
        "aluminum-magnesium": "Al, Mg and their alloys: FCC, HCP, rattled, surfaces, disordered; PBE",
        "silicon": "silicon: diamond, rattled, vacancies, surfaces, disordered, dense phases; PBE",
    }
)
_SPLITS = ("train", "test")


def load(name: str, split: str | None = None) -> list[Atoms]:
    """Return the structures of a data set, with energies, forces and stresses.

    Parameters
    ----------
    name : str
        One of `SETS`.
    split : {"train", "test"}, optional
        Structures to fit, or structures to test on; default: all. ``atoms.info["split"]`` says the same.

    Returns
    -------
    list of ase.Atoms
        Each with its results (eV, eV/Å, eV/Å³) and, in ``info``, the group ``config_type``.

    Raises
    ------
    ValueError
        For another name or split.

    Examples
    --------
    >>> train = load("silicon", "train")
    >>> sorted({atoms.info["config_type"] for atoms in train})
    ['crystal', 'disordered', 'isolated', 'phases', 'rattled', 'surface', 'vacancy']
    """
    _check(name)
    if split is not None and split not in _SPLITS:
        raise ValueError(f"split must be one of {', '.join(_SPLITS)}, or None for all; got {split!r}")
    with as_file(files(__name__) / f"{name}.extxyz.xz") as path:
        structures = list(StructureFiles(path))
    return [atoms for atoms in structures if split in (None, atoms.info["split"])]


def potential(name: str) -> LinearACE:
    """Return the potential that was fitted to the training structures of a data set.

    Parameters
    ----------
    name : str
        One of `acepure.data.SETS`.

    Returns
    -------
    LinearACE

    Raises
    ------
    ValueError
        For another name.

    Examples
    --------
    >>> from ase.build import bulk
    >>> atoms = bulk("Si", a=5.47)
    >>> atoms.calc = potential("silicon").calculator()
    >>> bool(-6 < atoms.get_potential_energy() / 2 < -5)
    True
    """
    from acepure.models.linear import LinearACE

    _check(name)
    with as_file(files(__name__) / f"{name}.ace") as path:
        return LinearACE.load(path)


def _check(name: str) -> None:
    if name not in SETS:
        raise ValueError(f"there is no data set {name!r}; there are {', '.join(SETS)}")
