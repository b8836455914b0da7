"""What the folder of a store holds; everything is checked before Zarr sees it.

Files are named by Zarr: features/c/3/0 is chunk 3. A chunk is a fixed number of bytes, so that a missing one or one cut
short is found without reading it. How far the store is complete stands in the attributes of `offsets`, which are
written after the chunks; chunks beyond do not count.
"""

from __future__ import annotations

import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from acepure._utils.memory import physical_memory

__all__ = ["FINGERPRINT_SIZE", "Layout", "Progress", "checked_path", "create_layout", "open_layout", "zarr_module"]

FORMAT = "acepure features"
VERSION = 1
FINGERPRINT_SIZE = 16  # bytes
_STRUCTURES_PER_CHUNK = 4096
_OLDEST_ZARR = (3, 1, 3)  # the first that writes files under other names and renames them
_METADATA_LIMIT = 2**28  # bytes
_CHECKSUM_SIZE = 4  # bytes
_PART_OF_MEMORY = 1 / 8  # a chunk is copied a few times
_DTYPES = {"features": "float64", "offsets": "int64", "fingerprints": "uint8"}
_FILL = {"features": math.nan, "offsets": 0, "fingerprints": 0}


def zarr_module() -> ModuleType:
    """Import Zarr, an optional dependency."""
    try:
        import zarr
    except ImportError:
        zarr = None
    if zarr is None or tuple(map(int, re.findall(r"\d+", zarr.__version__)[:3])) < _OLDEST_ZARR:
        raise ImportError('acepure.features.store needs Zarr >= 3.1.3, Python >= 3.11: pip install "acepure[store]"')
    return zarr


def checked_path(path: Any) -> Path:
    """Return the path of a store."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be a str or os.PathLike; got {path!r} of type {type(path).__name__}")
    return Path(path)


@dataclass(frozen=True)
class Progress:
    """How far a store is complete."""

    structures: int  # with offsets and fingerprints; of the last one some rows may be missing
    rows: int
    complete: bool

    def to_dict(self) -> dict[str, Any]:
        return {"structures": self.structures, "rows": self.rows, "complete": self.complete}


@dataclass(frozen=True)
class Layout:
    """The arrays of an open store, and its attributes."""

    path: Path
    basis: dict[str, Any]
    labels: tuple[str, ...]
    features: Any
    offsets: Any
    fingerprints: Any
    progress: Progress

    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        """Return rows of an array; damage names the store."""
        try:
            return np.asarray(getattr(self, name)[start:stop])
        except Exception as error:
            raise ValueError(f"the store {str(self.path)!r} is damaged: {name}[{start}:{stop}]: {error}") from error

    def structure_offsets(self) -> np.ndarray:
        """Return the first row of each structure and the end, checked; the end may lie behind the rows written."""
        n, rows = self.progress.structures, self.progress.rows
        offsets = self.read("offsets", 0, n + 1) if n else np.zeros(1, np.int64)
        whole = offsets[-1] == rows
        fits = whole if self.progress.complete or n == 0 else whole or offsets[-2] < rows < offsets[-1]
        if offsets[0] != 0 or (np.diff(offsets) <= 0).any() or not fits:
            raise ValueError(f"the store {str(self.path)!r} is damaged: its offsets do not fit {rows} rows")
        return offsets


def create_layout(path: Path, basis: Mapping[str, Any], labels: tuple[str, ...], rows_per_chunk: int) -> None:
    """Make an empty store; it is there as a whole or not at all."""
    from acepure import __version__  # set after this module is imported

    zarr = zarr_module()
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {str(path)!r}: the folder {str(path.parent)!r} does not exist")
    attributes = {"format": FORMAT, "version": VERSION, "acepure": __version__}
    attributes |= {"basis": json.dumps(basis, allow_nan=False), "labels": list(labels)}
    shapes = {
        "features": ((0, len(labels)), (rows_per_chunk, len(labels))),
        "offsets": ((0,), (_STRUCTURES_PER_CHUNK,)),
        "fingerprints": ((0, FINGERPRINT_SIZE), (_STRUCTURES_PER_CHUNK, FINGERPRINT_SIZE)),
    }
    temporary = path.with_name(f".{secrets.token_hex(4)}-{path.name[-48:]}")
    try:
        group = zarr.create_group(zarr.storage.LocalStore(temporary), attributes=attributes)
        for name, (shape, chunks) in shapes.items():
            group.create_array(
                name,
                shape=shape,
                chunks=chunks,
                dtype=_DTYPES[name],
                fill_value=_FILL[name],
                filters=[],
                compressors=[zarr.codecs.Crc32cCodec()],  # features are noise to compressors
                attributes=Progress(0, 0, False).to_dict() if name == "offsets" else {},
            )
        os.rename(temporary, path)
    except OSError as error:
        if path.exists():
            raise ValueError(f"{str(path)!r} was made by another process meanwhile; one at a time can write") from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def open_layout(path: Path, *, write: bool = False) -> Layout:
    """Open a store.

    Parameters
    ----------
    path : pathlib.Path
    write : bool
        For writing. Otherwise nothing can be changed.

    Raises
    ------
    FileNotFoundError
    ValueError
        If the folder is no store, is damaged, or was written by a newer version.
    ImportError
        Without Zarr 3.1.3 or newer.
    """
    zarr = zarr_module()
    with _naming(path):
        attributes = _attributes(path)
        metadata = {name: _checked_array(path, name) for name in _DTYPES}
        progress = _progress(metadata["offsets"])
        _check_shapes(metadata, progress, len(attributes["labels"]))
        _check_chunks(path, "features", metadata, progress.rows)
        _check_chunks(path, "offsets", metadata, progress.structures + 1 if progress.structures else 0)
        _check_chunks(path, "fingerprints", metadata, progress.structures)
        group = zarr.open_group(zarr.storage.LocalStore(path, read_only=not write), mode="r+" if write else "r")
        arrays = {name: group[name] for name in _DTYPES}
    basis = json.loads(attributes["basis"])
    return Layout(path, basis, tuple(attributes["labels"]), **arrays, progress=progress)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    shown = f"the store {str(path)!r}"
    if not path.exists():
        raise FileNotFoundError(f"there is no store {str(path)!r}")
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(f"{shown} is none of acepure, or is damaged: {error.filename!r} is missing") from None
    except _DamagedError as error:
        raise ValueError(f"{shown} {error}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{shown} is damaged: {type(error).__name__}: {error}") from error


class _DamagedError(Exception):
    """The message continues "the store ..."."""


# --- checks of what the files say -------------------------------------------------------------------------------------


def _metadata(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _METADATA_LIMIT:
        raise _DamagedError(f"is damaged: {path.name} has more than {_METADATA_LIMIT:,} bytes")
    found = json.loads(path.read_bytes().decode())
    if not isinstance(found, dict) or found.get("zarr_format") != 3 or not isinstance(found.get("attributes"), dict):
        raise _DamagedError(f"is none of acepure: {path.parent.name}/{path.name} is not of Zarr 3")
    return found


def _attributes(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        raise _DamagedError("is no folder, as stores are")
    attributes = _metadata(path / "zarr.json")["attributes"]
    if attributes.get("format") != FORMAT:
        raise _DamagedError(f'is none of acepure: its attributes do not say "format": "{FORMAT}"')
    version = attributes.get("version")
    if type(version) is not int or version < 1:
        raise _DamagedError(f"is damaged: its version is {version!r}")
    if version > VERSION:
        raise _DamagedError(
            f"was written by a newer acepure ({attributes.get('acepure')}): its version is {version}, and this one "
            f"reads up to {VERSION}; update acepure"
        )
    labels = attributes.get("labels")
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise _DamagedError("is damaged: its labels are no list of text")
    if not isinstance(attributes.get("basis"), str) or not isinstance(json.loads(attributes["basis"]), dict):
        raise _DamagedError("is damaged: it has no basis")
    return attributes


def _checked_array(path: Path, name: str) -> dict[str, Any]:
    """Return the metadata of an array; types and codecs other than ours, which may run code, are refused."""
    found = _metadata(path / name / "zarr.json")
    codecs = [codec["name"] if isinstance(codec, dict) else codec for codec in found["codecs"]]
    wanted = {
        "node_type": (found.get("node_type"), "array"),
        "type": (found["data_type"], _DTYPES[name]),
        "codecs": (codecs, ["bytes", "crc32c"]),
        "endianness": (_endian(found["codecs"][0]), "little"),
        "chunks": (found["chunk_grid"]["name"], "regular"),
        "names": (found["chunk_key_encoding"], {"name": "default", "configuration": {"separator": "/"}}),
        "transformers": (found.get("storage_transformers") or [], []),
    }
    for what, (is_, should_be) in wanted.items():
        if is_ != should_be:
            raise _DamagedError(f"is foreign or damaged: {what} of {name}: {is_!r}, not {should_be!r}")
    for sizes in (found["shape"], _chunks(found)):
        if not isinstance(sizes, list) or not all(type(size) is int and size >= 0 for size in sizes):
            raise _DamagedError(f"is damaged: {name} has the shape {found['shape']} in chunks of {_chunks(found)}")
    return found


def _endian(codec: Any) -> Any:
    # One byte has no order.
    return codec.get("configuration", {}).get("endian", "little") if isinstance(codec, dict) else "little"


def _chunks(metadata: Mapping[str, Any]) -> list[int]:
    return metadata["chunk_grid"]["configuration"]["chunk_shape"]


def _progress(offsets: Mapping[str, Any]) -> Progress:
    found = Progress(*(offsets["attributes"].get(name) for name in ("structures", "rows", "complete")))
    kinds = (type(found.structures), type(found.rows), type(found.complete))
    if kinds != (int, int, bool) or min(found.structures, found.rows) < 0:
        raise _DamagedError(f"is damaged: it says of itself {found}")
    return found


def _check_shapes(metadata: Mapping[str, Any], progress: Progress, n_features: int) -> None:
    rows, structures = progress.rows, progress.structures
    least = {"features": rows, "offsets": structures + 1 if structures else 0, "fingerprints": structures}
    widths = {"features": [n_features], "offsets": [], "fingerprints": [FINGERPRINT_SIZE]}
    for name, array in metadata.items():
        shape, chunks = array["shape"], _chunks(array)
        if not shape or shape[1:] != widths[name] or chunks[1:] != widths[name] or not chunks[0]:
            raise _DamagedError(f"is damaged: {name} has the shape {shape} in chunks of {chunks}")
        if shape[0] < least[name] or (progress.complete and shape[0] != least[name]):
            raise _DamagedError(f"is damaged: {name} has {shape[0]} rows, and should have {least[name]}")
        if _chunk_bytes(name, array) > _PART_OF_MEMORY * physical_memory():
            raise _DamagedError(f"has chunks of {name} larger than an eighth of the memory")


def _chunk_bytes(name: str, metadata: Mapping[str, Any]) -> int:
    return math.prod(_chunks(metadata)) * np.dtype(_DTYPES[name]).itemsize + _CHECKSUM_SIZE


def _check_chunks(path: Path, name: str, metadata: Mapping[str, Any], n_rows: int) -> None:
    """Raise unless the chunks of the first rows are there, each of the right size."""
    array = metadata[name]
    size, last = _chunk_bytes(name, array), "/0" if len(array["shape"]) == 2 else ""
    for chunk in range(-(-n_rows // _chunks(array)[0])):
        file = f"{name}/c/{chunk}{last}"
        found = (path / file).stat().st_size
        if found != size:
            raise _DamagedError(f"is damaged: the chunk {file} has {found:,} bytes, and should have {size:,}")
