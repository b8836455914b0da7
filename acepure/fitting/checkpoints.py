"""Results of the stages of a fit on disk, so that a fit that was stopped goes on where it was, with the same bits.

Each result is a file of the format safetensors, written under a temporary name and renamed. Its name holds a hash of
all that it was made of: structures, labels, basis, weights and options. A result of other inputs is never taken, and a
file that cannot be read is made anew.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from acepure import __version__
from acepure._utils.files import atomic_write
from acepure._utils.workers import naming_structure
from acepure.fitting.design import Design
from acepure.fitting.labels import LabeledStructure

_ENDING = ".safetensors"
_HASH = 16


class Checkpoints:
    """A folder of results.

    Parameters
    ----------
    folder : str or os.PathLike, optional
        Made with the first result. None: nothing is written, and every stage is run.
    structures : iterable of LabeledStructure
        Gone through once, before the first result.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first = Checkpoints(folder).value("stage", "inputs", lambda: 1)
    ...     again = Checkpoints(folder).value("stage", "inputs", lambda: 2)
    ...     other = Checkpoints(folder).value("stage", "other inputs", lambda: 3)
    >>> first, again, other
    (1, 1, 3)
    """

    def __init__(
        self, folder: str | os.PathLike[str] | None = None, structures: Iterable[LabeledStructure] = ()
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self._structures = structures

    def value(self, stage: str, inputs: Any, make: Callable[[], Any]) -> Any:
        """Return what `make` returns, JSON types, from the folder if it is there."""
        stored = self.arrays(stage, inputs, lambda: {"value": _bytes_of(make())})
        return json.loads(stored["value"].tobytes())

    def arrays(self, stage: str, inputs: Any, make: Callable[[], Mapping[str, np.ndarray]]) -> Mapping[str, np.ndarray]:
        """Return the arrays that `make` returns, from the folder if they are there.

        Parameters
        ----------
        stage : str
            What the file is called.
        inputs : JSON types
            All that the result depends on, besides the structures.
        make : callable
        """
        if self.folder is None:
            return make()
        path = self._path(stage, inputs)
        found = _read(path)
        if found is None:
            made = {name: np.ascontiguousarray(array) for name, array in make().items()}
            _write(path, made)
            return made
        return found

    def forget(self, stage: str, inputs: Any) -> None:
        """Remove a result that is no longer needed."""
        if self.folder is not None:
            self._path(stage, inputs).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all results, and the folder if nothing else is in it."""
        if self.folder is None or not self.folder.is_dir():
            return
        for path in self.folder.glob(f"*{_ENDING}"):
            path.unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()

    @cached_property
    def _data(self) -> str:
        return _hash_of_structures(self._structures)

    def _path(self, stage: str, inputs: Any) -> Path:
        assert self.folder is not None
        text = json.dumps([__version__, self._data, stage, inputs], sort_keys=True)
        return self.folder / f"{stage}-{hashlib.sha256(text.encode()).hexdigest()[:_HASH]}{_ENDING}"


def inputs_of(design: Design) -> list[Any]:
    """Return all that the rows of a design depend on, as JSON types."""
    core = None if design.core is None else design.core.to_dict()
    weights = [design.weights.to_dict(), list(design.weights.default)]
    return [design.basis.to_dict(), weights, dict(design.E0s), core]


def bits_of(*arrays: np.ndarray | None) -> str:
    """Return a hash of arrays."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _hash_of_structures(structures: Iterable[LabeledStructure]) -> str:
    found = hashlib.sha256()
    for k, item in enumerate(structures):
        with naming_structure(k):
            atoms = item.atoms
            energy = None if item.energy is None else np.array(item.energy)
            given = (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, energy, item.forces, item.virial)
            found.update(f"{bits_of(*given)} {item.config_type}\n".encode())
    return found.hexdigest()


def _bytes_of(value: Any) -> np.ndarray:
    return np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)


def _write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    from safetensors.numpy import save_file

    path.parent.mkdir(exist_ok=True)
    with atomic_write(path) as temporary:
        save_file(dict(arrays), temporary)


def _read(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of a file; None where there is none that can be read."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return {name: np.array(array) for name, array in sorted(load_file(path).items())}
    except (FileNotFoundError, SafetensorError):
        return None
