"""write_features: features computed structure by structure and written chunk by chunk."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from tqdm import tqdm

from acepure._utils.checks import count
from acepure._utils.threads import resolve_num_threads
from acepure._utils.workers import (
    Workers,
    batched,
    checked_workers,
    kernel_threads,
    naming_structure,
    ordered_map,
    structure_bar,
)
from acepure.features.basis import ACEBasis, check_basis
from acepure.features.store.reader import FORMAT, VERSION, FeatureStore, zarr_module
from acepure.structures.gate import check_structure

_CHUNK_BYTES = 2**22
_STRUCTURES_PER_CHUNK = 4096
_ATOMS_PER_BATCH = 512
# Number, structure, digest.
_Fresh = tuple[int, Atoms, int]


def write_features(
    path: str | os.PathLike[str],
    basis: ACEBasis,
    structures: Iterable[Atoms],
    *,
    workers: Workers = 1,
    num_threads: int | None = None,
    progress: bool | None = None,
    rows_per_chunk: int | None = None,
) -> FeatureStore:
    """Compute the features of all atoms of structures and write them to disk; go on where an earlier run ended.

    Structures and features are in memory a chunk at a time. A run that was interrupted, by whatever, is continued by
    the same call: structures that are written are read and compared but not computed again.

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
        For one worker; default: ACEPURE_NUM_THREADS, else OMP_NUM_THREADS, else all cores. The features written depend
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
    OSError
        If the disk is full, or the folder cannot be written; the error names it.
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
    try:
        store = _opened(path, basis, rows_per_chunk)
        with structure_bar("features", structures, progress) as bar:
            batches = batched(_fresh(structures, basis, store, bar), lambda item: len(item[1]), _ATOMS_PER_BATCH)
            with closing(ordered_map(compute, batches, workers, bar=bar)) as results:
                if not store.is_complete:
                    _append(store, results)
                else:
                    for _ in results:  # there are none, but structures are compared
                        pass
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = os.fspath(path)  # the system does not say which file
        raise
    return FeatureStore(path)


def _opened(path: str | os.PathLike[str], basis: ACEBasis, rows_per_chunk: int | None) -> FeatureStore:
    """Return the store, made or as it was left."""
    try:
        text, labels = json.dumps(basis.to_dict(), allow_nan=False), list(map(str, basis.labels))
    except (TypeError, ValueError) as error:
        raise TypeError(f"basis cannot be kept in a store: {error}") from None
    default = max(1, _CHUNK_BYTES // (8 * len(basis)))
    rows = default if rows_per_chunk is None else count("rows_per_chunk", rows_per_chunk)
    store = FeatureStore(path) if not isinstance(path, (str, os.PathLike)) or Path(path).exists() else None
    if store is not None:
        rows = store.features.chunks[0] if rows_per_chunk is None else rows
        given, there = json.loads(text), json.loads(store._group.attrs["basis"])
        names = [name for name in sorted({*given, *there}) if given.get(name) != there.get(name)]
        names += ["rows_per_chunk"] if rows != store.features.chunks[0] else []
        if not names:
            return store
        if len(store):
            raise ValueError(
                f"the store {str(path)!r} was made with other values of {', '.join(names)}; give the same as before, "
                "or another path"
            )
        shutil.rmtree(path)  # nothing is in it
    _create(Path(path), text, labels, rows)
    return FeatureStore(path)


def _create(path: Path, basis: str, labels: list[str], rows_per_chunk: int) -> None:
    """Make an empty store; it is there as a whole or not at all."""
    from acepure import __version__  # set after this module is imported

    zarr = zarr_module()
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {str(path)!r}: the folder {str(path.parent)!r} does not exist")
    about = {"format": FORMAT, "version": VERSION, "acepure": __version__, "basis": basis, "labels": labels}
    temporary = path.with_name(f".{secrets.token_hex(4)}-{path.name[-48:]}")
    try:
        group = zarr.create_group(zarr.storage.LocalStore(temporary), attributes={**about, "complete": False})
        for name, width, rows, dtype, fill in (
            ("features", len(labels), rows_per_chunk, "float64", np.nan),
            ("structures", 2, _STRUCTURES_PER_CHUNK, "int64", 0),
        ):
            # Features are noise to compressors.
            codecs = {"filters": [], "compressors": [zarr.codecs.Crc32cCodec()]}
            group.create_array(name, shape=(0, width), chunks=(rows, width), dtype=dtype, fill_value=fill, **codecs)
        os.rename(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _digest(atoms: Atoms) -> int:
    """Return 64 bits of a digest of all that features depend on."""
    parts = ((atoms.numbers, "<i8"), (atoms.positions, "<f8"), (atoms.cell.array, "<f8"), (atoms.pbc, "|b1"))
    content = b"".join(np.ascontiguousarray(array, dtype).tobytes() for array, dtype in parts)
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little", signed=True)


def _fresh(structures: Iterable[Atoms], basis: ACEBasis, store: FeatureStore, bar: tqdm) -> Iterator[_Fresh]:
    """Yield what is to be computed; all others are compared with what is there."""
    shown, n = f"the store {str(store.path)!r}", 0
    for n, atoms in enumerate(structures, 1):
        check_structure(atoms, f"structures[{n - 1}]")
        basis.species_indices(atoms, f"structures[{n - 1}]")
        digest = _digest(atoms)
        if n > len(store) and store.is_complete:
            raise ValueError(f"{shown} is complete with {len(store)} structures, but there are more")
        if n > len(store):  # labels and calculators need not travel to workers
            yield n - 1, Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc), digest
        elif store._digests[n - 1] != digest:
            raise ValueError(
                f"structures[{n - 1}] is not the one in {shown} (atoms, positions, cell or pbc differ); give the same "
                "structures in the same order, or take another path"
            )
        else:
            bar.update()
    if n == 0:
        raise ValueError("structures is empty; at least one ase.Atoms is needed")
    if n < len(store):
        raise ValueError(f"{shown} has {len(store)} structures already, but only {n} were given")


def _computed(basis: ACEBasis, batch: list[tuple[int, _Fresh]], num_threads: int | None) -> list[tuple[int, Any]]:
    """Return digest and features of each structure of a batch; errors name the structure."""
    result = []
    for _, (k, atoms, digest) in batch:
        with naming_structure(k):
            result.append((digest, basis.descriptors(atoms, num_threads=num_threads)))
    return result


def _append(store: FeatureStore, results: Iterable[list[tuple[int, np.ndarray]]]) -> None:
    """Write features behind those of the store, whenever they make a chunk, then what they belong to."""
    group = store._opened("r+")
    features, structures, end = group["features"], group["structures"], int(store.offsets[-1])
    features.resize((end, features.shape[1]))  # an interrupted run may have written more
    structures.resize((len(store), 2))
    for leftover in store.path.rglob("*.partial"):  # of a process that was killed while Zarr wrote a file
        leftover.unlink()
    waiting: list[np.ndarray] = []
    table: list[tuple[int, int]] = []

    def write() -> None:
        if waiting:
            features.append(np.concatenate(waiting))
            structures.append(np.array(table, np.int64))
            waiting.clear()
            table.clear()

    for batch in results:
        for digest, rows in batch:
            end += len(rows)
            waiting.append(rows)
            table.append((end, digest))
            if end // features.chunks[0] > (end - sum(map(len, waiting))) // features.chunks[0]:
                write()
    write()
    group.update_attributes({"complete": True})
