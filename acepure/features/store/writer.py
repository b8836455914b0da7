"""write_features: features computed structure by structure and written chunk by chunk.

Rows are written a whole chunk at a time, then the tables of structures, then the note how far the store is complete. A
process that ends anywhere in between leaves at most files that do not count and are written again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from tqdm import tqdm

from acepure._utils.checks import count
from acepure._utils.threads import resolve_num_threads
from acepure._utils.workers import (
    batched,
    checked_workers,
    kernel_threads,
    naming_structure,
    ordered_map,
    structure_bar,
)
from acepure.features.basis import ACEBasis, check_basis
from acepure.features.store.layout import (
    FINGERPRINT_SIZE,
    Layout,
    Progress,
    checked_path,
    create_layout,
    open_layout,
    zarr_module,
)
from acepure.features.store.reader import FeatureStore
from acepure.structures.gate import check_structure

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["write_features"]

_CHUNK_BYTES = 2**22
_ATOMS_PER_BATCH = 512
# Number, structure, fingerprint.
_Fresh = tuple[int, Atoms, bytes]


def write_features(
    path: str | os.PathLike[str],
    basis: ACEBasis,
    structures: Iterable[Atoms],
    *,
    workers: int | Client = 1,
    num_threads: int | None = None,
    progress: bool | None = None,
    rows_per_chunk: int | None = None,
) -> FeatureStore:
    """Compute the features of all atoms of structures and write them to disk; go on where an earlier run ended.

    Structures and features are in memory a chunk at a time. A run that was interrupted, by whatever, is continued by
    the same call: complete chunks are kept, and the structures in them read and compared but not computed again. The
    store at the end has the same bytes however often that happened.

    Parameters
    ----------
    path : str or os.PathLike
        Folder to write, or one that an earlier call with the same basis and structures left.
    basis : ACEBasis
    structures : iterable of ase.Atoms
        Such as a `StructureFiles`; read once.
    workers : int or dask.distributed.Client
        1 computes in this process; more are new processes, each with one thread, see `tree_reduce`. This process
        reads and writes.
    num_threads : int, optional
        For one worker; default: ACEPURE_NUM_THREADS, else OMP_NUM_THREADS, else all cores. The bytes written depend
        neither on threads nor on workers.
    progress : bool, optional
        Show a bar; default: when writing to a terminal.
    rows_per_chunk : int, optional
        Default: as many as take 4 MiB, or those of the store.

    Returns
    -------
    FeatureStore

    Raises
    ------
    TypeError, ValueError
        For wrong arguments; for structures that cannot be computed, when they are reached; if the folder holds
        something else, or features of another basis or of other structures.
    ImportError
        Without Zarr 3.1.3 or newer.

    Examples
    --------
    See `FeatureStore`.
    """
    check_basis(basis)
    if isinstance(structures, (str, Atoms)) or not isinstance(structures, Iterable):
        raise TypeError(f"structures must be an iterable of ase.Atoms; got {type(structures).__name__}")
    workers = checked_workers(workers)
    compute = partial(_computed, basis, num_threads=kernel_threads(workers, resolve_num_threads(num_threads)))
    with zarr_module().config.set({"array.write_empty_chunks": True}):  # a chunk of zeros is there as well
        layout = _opened(checked_path(path), basis, rows_per_chunk)
        with structure_bar("features", structures, progress) as bar:
            fresh = _fresh(structures, basis, _Written(layout), bar)
            batches = batched(fresh, lambda item: len(item[1]), _ATOMS_PER_BATCH)
            with closing(ordered_map(compute, batches, workers, bar=bar)) as results:
                _write(layout, results)
    return FeatureStore(path)


def _opened(path: Path, basis: ACEBasis, rows_per_chunk: int | None) -> Layout:
    """Return the store, made or as it was left, for writing."""
    parameters, labels = _plain(basis), tuple(map(str, basis.labels))
    rows = (
        max(1, _CHUNK_BYTES // (8 * len(basis))) if rows_per_chunk is None else count("rows_per_chunk", rows_per_chunk)
    )
    if not path.exists():
        create_layout(path, parameters, labels, rows)
    layout = open_layout(path, write=True)
    if rows_per_chunk is None:
        rows = layout.features.chunks[0]
    given, there = {**parameters, "rows_per_chunk": rows}, {**layout.basis, "rows_per_chunk": layout.features.chunks[0]}
    if given != there and layout.progress.structures == 0:  # nothing is in it
        shutil.rmtree(path)
        create_layout(path, parameters, labels, rows)
        return open_layout(path, write=True)
    if given != there:
        names = ", ".join(name for name in sorted({*given, *there}) if given.get(name) != there.get(name))
        raise ValueError(
            f"the store {str(path)!r} was made with other values of {names}; give the same as before, or another path"
        )
    for leftover in path.rglob("*.partial"):  # of a process that was killed while Zarr wrote a file
        leftover.unlink()
    return layout


def _plain(basis: ACEBasis) -> dict[str, Any]:
    try:
        return json.loads(json.dumps(basis.to_dict(), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise TypeError(f"basis cannot be kept in a store: {error}") from None


# --- structures to batches of features --------------------------------------------------------------------------------


def _fingerprint(atoms: Atoms) -> bytes:
    """Return a digest of all that features depend on."""
    parts = ((atoms.numbers, "<i8"), (atoms.positions, "<f8"), (atoms.cell.array, "<f8"), (atoms.pbc, "|b1"))
    content = b"".join(np.ascontiguousarray(array, dtype).tobytes() for array, dtype in parts)
    return hashlib.blake2b(content, digest_size=FINGERPRINT_SIZE).digest()


class _Written:
    """What the store holds of structures already: those are compared, and only a last one that lacks rows computed."""

    def __init__(self, layout: Layout) -> None:
        progress = layout.progress
        self.path, self.complete, self.n = str(layout.path), progress.complete, progress.structures
        self.fingerprints = layout.read("fingerprints", 0, self.n)
        self.n_whole = self.n - int(layout.structure_offsets()[-1] > progress.rows)

    def check(self, k: int, fingerprint: bytes) -> None:
        if k < self.n and self.fingerprints[k].tobytes() != fingerprint:
            raise ValueError(
                f"structures[{k}] is not the one in the store {self.path!r} (atoms, positions, cell or pbc differ); "
                "give the same structures in the same order, or take another path"
            )
        if k >= self.n and self.complete:
            raise ValueError(f"the store {self.path!r} is complete with {self.n} structures, but there are more")

    def check_number(self, n: int) -> None:
        if n == 0:
            raise ValueError("structures is empty; at least one is needed")
        if n < self.n:
            raise ValueError(f"the store {self.path!r} holds {self.n} structures already, but only {n} were given")


def _fresh(structures: Iterable[Atoms], basis: ACEBasis, written: _Written, bar: tqdm) -> Iterator[_Fresh]:
    """Yield what is to be computed; all others are compared with what is there."""
    k = -1
    for k, atoms in enumerate(structures):
        check_structure(atoms, f"structures[{k}]")
        basis.species_indices(atoms, f"structures[{k}]")
        fingerprint = _fingerprint(atoms)
        written.check(k, fingerprint)
        if k < written.n_whole:
            bar.update()
        else:  # labels and calculators need not travel to workers
            yield k, Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc), fingerprint
    written.check_number(k + 1)


def _computed(
    basis: ACEBasis, batch: list[tuple[int, _Fresh]], num_threads: int | None
) -> list[tuple[bytes, np.ndarray]]:
    """Return fingerprint and features of each structure of a batch; errors name the structure."""
    result = []
    for _, (k, atoms, fingerprint) in batch:
        with naming_structure(k):
            result.append((fingerprint, basis.descriptors(atoms, num_threads=num_threads)))
    return result


# --- features to chunks -----------------------------------------------------------------------------------------------


class _Chunks:
    """The end of an array: rows are collected, and written a whole chunk at a time, padded if need be."""

    def __init__(self, layout: Layout, name: str, n_rows: int) -> None:
        self.array = getattr(layout, name)
        self.size = self.array.chunks[0]
        self.start = n_rows - n_rows % self.size
        self.pieces = [layout.read(name, self.start, n_rows)]
        self.n_rows = n_rows

    def append(self, rows: np.ndarray) -> None:
        self.pieces.append(rows)
        self.n_rows += len(rows)

    def has_chunk(self) -> bool:
        return self.n_rows - self.start >= self.size

    def write(self, *, all_rows: bool) -> int:
        """Write complete chunks, or all rows; return how many rows are written."""
        rows = np.concatenate(self.pieces)
        n_whole = len(rows) - len(rows) % self.size
        n_written = len(rows) if all_rows else n_whole
        for first in range(0, n_written, self.size):
            self._put(self.start + first, rows[first : first + self.size])
        self.start, self.pieces = self.start + n_whole, [rows[n_whole:].copy()]
        return self.n_rows if all_rows else self.start

    def _put(self, start: int, rows: np.ndarray) -> None:
        block = np.full(self.array.chunks, self.array.fill_value, self.array.dtype)
        block[: len(rows)] = rows
        if self.array.shape[0] < start + self.size:
            self.array.resize((start + self.size, *self.array.shape[1:]))
        self.array[start : start + self.size] = block  # a whole chunk: a new file, renamed to its place

    def trim(self) -> None:
        self.array.resize((self.n_rows, *self.array.shape[1:]))


def _write(layout: Layout, results: Iterable[list[tuple[bytes, np.ndarray]]]) -> None:
    writer = _Writer(layout)
    for fingerprint, features in chain.from_iterable(results):
        writer.append(fingerprint, features)
    if not layout.progress.complete:
        writer.finish()


class _Writer:
    """The arrays of a store, and the order in which they are written."""

    def __init__(self, layout: Layout) -> None:
        n, rows = layout.progress.structures, layout.progress.rows
        offsets = layout.structure_offsets()
        self.features = _Chunks(layout, "features", rows)
        self.offsets = _Chunks(layout, "offsets", n + 1 if n else 0)
        self.fingerprints = _Chunks(layout, "fingerprints", n)
        if not n:
            self.offsets.append(np.zeros(1, np.int64))
        self.end = int(offsets[-1])  # rows of all structures so far
        # Rows of the last structure that are written; it is computed again for the others.
        self.skip = rows - int(offsets[-2]) if self.end > rows else 0

    def append(self, fingerprint: bytes, features: np.ndarray) -> None:
        if self.skip:
            features, self.skip = features[self.skip :], 0
        else:
            self.end += len(features)
            self.offsets.append(np.array([self.end]))
            self.fingerprints.append(np.frombuffer(fingerprint, np.uint8)[None])
        self.features.append(features)
        if self.features.has_chunk():
            rows = self.features.write(all_rows=False)
            self.offsets.write(all_rows=True)
            self.fingerprints.write(all_rows=True)
            self._note(rows, complete=False)

    def finish(self) -> None:
        rows = self.features.write(all_rows=True)
        for array in (self.features, self.offsets, self.fingerprints):
            array.write(all_rows=True)
            array.trim()
        self._note(rows, complete=True)

    def _note(self, rows: int, *, complete: bool) -> None:
        """Say how far the store is complete, after all that this is about."""
        progress = Progress(self.fingerprints.n_rows, rows, complete)
        # All at once, where `attrs.update` would write the file for each.
        self.offsets.array = self.offsets.array.update_attributes(progress.to_dict())
