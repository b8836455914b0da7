"""Repulsive cores as files of LAMMPS's ``pair_style table``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import combinations_with_replacement

import numpy as np

from acepure._utils.checks import symbol
from acepure._utils.files import atomic_write
from acepure.models.repulsion import PairCore

_FIRST = 0.05  # Å; LAMMPS stops at shorter distances
_POINTS = 4000


def write_core_table(path: str | os.PathLike[str], core: PairCore, species: Sequence[str]) -> list[str]:
    """Write V(r) and −dV/dr of a core for ``pair_style table spline``.

    Parameters
    ----------
    path : str or os.PathLike
    core : PairCore
    species : sequence of str

    Returns
    -------
    list of str
        The sections, named like ``Cu-Zr``, one for each pair that has a core.

    Examples
    --------
    >>> import tempfile
    >>> from acepure.models.repulsion import ZBLCore
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_core_table(f"{folder}/core.table", ZBLCore(0.7, 1.4), ["Cu", "Zr"])
    ['Cu-Cu', 'Cu-Zr', 'Zr-Zr']
    """
    text, names = core_table_text(core, species)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return names


def core_table_text(core: PairCore, species: Sequence[str]) -> tuple[str, list[str]]:
    """Return the content of the file, and the names of its sections."""
    if not isinstance(core, PairCore):
        raise TypeError(f"core must be a PairCore; got {core!r}")
    if isinstance(species, str):
        raise TypeError(f"species must be a sequence of chemical symbols such as [{species!r}]; got {species!r}")
    species = [symbol(f"species[{k}]", s) for k, s in enumerate(species)]
    lines, names = ["# Repulsive core, written by acepure. UNITS: metal"], []
    for a, b in combinations_with_replacement(species, 2):
        rcut = core.cutoff(a, b)
        if rcut <= _FIRST:
            continue
        r = np.linspace(_FIRST, rcut, _POINTS)
        value, slope = np.zeros((2, _POINTS))
        value[:-1], slope[:-1] = core.energy_and_slope(r[:-1], a, b)
        names.append(f"{a}-{b}")
        lines += ["", names[-1], f"N {_POINTS} R {_FIRST!r} {float(rcut)!r}", ""]
        rows = zip(r.tolist(), value.tolist(), (0.0 - slope).tolist())
        lines += [f"{i} {x!r} {v!r} {f!r}" for i, (x, v, f) in enumerate(rows, 1)]
    return "\n".join(lines) + "\n", names
