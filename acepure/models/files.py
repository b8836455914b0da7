"""Model files: a JSON header and arrays in one file, exact, versioned, without pickle.

The file is a ZIP archive, as `numpy.savez` writes it, with the members

    header.json     {"format": "acepure model", "version": 1, "acepure": ..., "arrays": [names], "header": {...}}
    <name>.npy      one float64 or int64 array each

so that ``unzip -p FILE header.json`` and `numpy.load` show what is in it. Nothing in a file is ever executed, and
nothing is written to disk when it is read.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import reprlib
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from acepure._utils.files import atomic_write
from acepure._utils.memory import physical_memory
from acepure.errors import ModelFileError

__all__ = ["read_model", "write_model"]

FORMAT = "acepure model"
VERSION = 1
HEADER = "header.json"
HEADER_LIMIT = 2**26  # bytes
# Lists and objects of JSON, the smallest of which take thirty times their text in memory.
HEADER_PARTS = 2**20
_DTYPES = (np.dtype(np.float64), np.dtype(np.int64))
_ARRAY_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Deflate cannot compress more than this.
_MOST_COMPRESSED = 1032
# The file, a member and its array are in memory at once; what would not fit is not read.
_PART_OF_MEMORY = 1 / 3
_UNIX = 3


def write_model(path: str | os.PathLike[str], header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a model file; equal content gives equal bytes.

    Parameters
    ----------
    path : str or os.PathLike
        Replaced if it exists; if anything goes wrong, it stays as it was.
    header : mapping
        JSON types: dict with str keys, list, str, int, float (finite), bool, None. At most 64 MiB as text, and 2²⁰
        lists and dicts.
    arrays : mapping of str to numpy.ndarray of float64 or int64
        Any shape; finite. Names are letters, digits and underscores.

    Raises
    ------
    TypeError, ValueError
        For what could not be read back the same; the message names it.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_model(f"{folder}/model.ace", {"name": "Cu"}, {"weights": np.array([0.1, -0.0])})
    ...     read_model(f"{folder}/model.ace")
    ({'name': 'Cu'}, {'weights': array([ 0.1, -0. ])})
    """
    from acepure import __version__  # set after this module is imported

    if not isinstance(header, Mapping):
        raise TypeError(f"header must be a mapping; got {header!r} of type {type(header).__name__}")
    if not isinstance(arrays, Mapping):
        raise TypeError(f"arrays must be a mapping of names to arrays; got {arrays!r} of type {type(arrays).__name__}")
    members = {f"{name}.npy": _array_bytes(name, array) for name, array in arrays.items()}
    about = {"format": FORMAT, "version": VERSION, "acepure": __version__, "arrays": list(arrays)}
    members = {HEADER: _header_bytes({**about, "header": dict(header)})} | members
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name)  # dated 1980, stored without compression
            member.create_system, member.external_attr = _UNIX, 0o644 << 16
            archive.writestr(member, content)


def read_model(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the header and the arrays of a file that `write_model` wrote.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    header : dict
    arrays : dict of str to numpy.ndarray
        float64 or int64, the same bits as written.

    Raises
    ------
    FileNotFoundError
    ModelFileError
        If the file is damaged, cut short, no model file, or written by a newer version.

    Examples
    --------
    See `write_model`.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be a str or os.PathLike; got {path!r} of type {type(path).__name__}")
    shown = repr(os.fspath(path))
    path = Path(path)
    if path.exists() and not path.is_file():
        raise ModelFileError(f"{shown} is a folder or a device; a model file is needed")
    if path.stat().st_size > _PART_OF_MEMORY * physical_memory():
        raise ModelFileError(f"{shown} is larger than a third of the memory")
    content = path.read_bytes()
    if not content.startswith(b"PK"):
        raise ModelFileError(f"{shown} is empty" if not content else f"{shown} is no model file of acepure")
    try:
        return _read(content)
    except ModelFileError as error:
        raise ModelFileError(f"{shown} {error}") from None
    except Exception as error:  # what broken archives raise is not documented; the file was in memory already
        raise ModelFileError(f"{shown} is damaged or cut short: {error}") from error


def _read(content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of the bytes of a file; the messages continue "file ..."."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if HEADER not in archive.namelist():
            raise ModelFileError(f"is no model file of acepure: it lacks {HEADER}")
        _check_sizes(archive.infolist(), len(content))
        about = _about(archive)
        names = about["arrays"]
        wanted, found = sorted([HEADER, *(f"{name}.npy" for name in names)]), sorted(archive.namelist())
        if found != wanted:
            raise ModelFileError(f"is damaged: it should hold {_shown(wanted)}, but holds {_shown(found)}")
        return about["header"], {name: _array(name, archive.read(f"{name}.npy")) for name in names}


def _check_sizes(members: list[zipfile.ZipInfo], file_size: int) -> None:
    """Refuse what is not stored or deflated, and what would unpack to more than the file can hold or memory bears."""
    for member in members:
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ModelFileError(f"is damaged or foreign: {member.filename!r} is neither stored nor deflated")
    declared = sum(member.file_size for member in members)
    limit = min(_MOST_COMPRESSED * file_size, _PART_OF_MEMORY * physical_memory())
    if declared > limit:
        raise ModelFileError(
            f"declares {declared / 2**30:.3g} GiB of content in {file_size:,} bytes; at most {limit / 2**30:.3g} GiB "
            "are read"
        )


# --- header -----------------------------------------------------------------------------------------------------------


def _header_bytes(about: dict[str, Any]) -> bytes:
    try:
        text = json.dumps(about, ensure_ascii=False, allow_nan=False)
        content, same = text.encode(), json.loads(text) == about
    except TypeError as error:
        raise TypeError(f"header must consist of JSON types: {error}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"header cannot be written as JSON: {error}") from None
    if not same:
        raise TypeError("header must consist of JSON types: it has tuples, keys that are no str, or the like")
    if len(content) > HEADER_LIMIT:
        raise ValueError(f"header takes {len(content):,} bytes, more than {HEADER_LIMIT:,}; put data into arrays")
    if _parts(content) > HEADER_PARTS:
        raise ValueError(f"header has more than {HEADER_PARTS:,} lists and dicts; put data into arrays")
    return content


def _parts(content: bytes) -> int:
    """Number of lists and objects, and of brackets in texts."""
    return content.count(b"[") + content.count(b"{")


def _about(archive: zipfile.ZipFile) -> dict[str, Any]:
    """What header.json says, checked."""
    if archive.getinfo(HEADER).file_size > HEADER_LIMIT:
        raise ModelFileError(f"has a header of more than {HEADER_LIMIT:,} bytes")
    content = archive.read(HEADER)
    if _parts(content) > HEADER_PARTS:
        raise ModelFileError(f"has a header of more than {HEADER_PARTS:,} lists and objects")
    hooks: dict[str, Any] = {"parse_constant": _refuse_constant, "parse_float": _finite, "object_pairs_hook": _object}
    about = json.loads(content.decode(), **hooks)
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise ModelFileError(f'is no model file of acepure: its header does not say "format": "{FORMAT}"')
    version = about.get("version")
    if type(version) is not int or version < 1:
        raise ModelFileError(f"is damaged: its format version is {_shown(version)}")
    if version > VERSION:
        writer = str(about.get("acepure"))[:40]
        raise ModelFileError(
            f"was written by a newer acepure ({writer}): its format version is {version}, and this one reads up to "
            f"{VERSION}; update acepure"
        )
    names = about.get("arrays")
    if not isinstance(names, list) or not all(isinstance(n, str) and _ARRAY_NAME.fullmatch(n) for n in names):
        raise ModelFileError(f"is damaged: the names of its arrays are {_shown(names)}")
    if not isinstance(about.get("header"), dict):
        raise ModelFileError("is damaged: its header is incomplete")
    return about


def _refuse_constant(text: str) -> float:
    raise ModelFileError(f"is damaged: its header holds {text}")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse_constant(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, in which two values of one name would be two meanings of one file."""
    result = dict(pairs)
    if len(result) < len(pairs):
        twice = next(name for name, n in Counter(name for name, _ in pairs).items() if n > 1)
        raise ModelFileError(f"is damaged: its header has two values of {_shown(twice)}")
    return result


#: A value in a few words, however large it is.
_shown = reprlib.repr


# --- arrays -----------------------------------------------------------------------------------------------------------


def _array_bytes(name: str, array: np.ndarray) -> bytes:
    if not isinstance(name, str) or not _ARRAY_NAME.fullmatch(name):
        raise ValueError(f"the names of arrays must consist of letters, digits and underscores; got {name!r}")
    if not isinstance(array, np.ndarray) or array.dtype.newbyteorder("=") not in _DTYPES:
        kind = f"{array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
        raise TypeError(f"arrays[{name!r}] must be a numpy.ndarray of float64 or int64; got {kind}")
    array = np.asarray(array)  # without masks and other additions of subclasses
    if not np.isfinite(array).all():
        raise ValueError(f"arrays[{name!r}] must be finite; it holds {_first_not_finite(array)}")
    file = io.BytesIO()
    little_endian = array.astype(array.dtype.newbyteorder("<"), order="C")
    np.lib.format.write_array(file, little_endian, version=(1, 0), allow_pickle=False)
    return file.getvalue()


def _array(name: str, content: bytes) -> np.ndarray:
    """The array of a .npy member, which is never unpickled."""
    file = io.BytesIO(content)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ModelFileError(f"is damaged: array {name!r} has an unknown format")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.newbyteorder("=") not in _DTYPES:
        raise ModelFileError(f"is damaged or foreign: array {name!r} is of type {dtype}, not float64 or int64")
    start, needed = file.tell(), dtype.itemsize * math.prod(shape)
    if len(content) - start != needed:
        raise ModelFileError(f"is damaged: array {name!r} of shape {_shown(shape)} has {len(content) - start} bytes")
    array = np.frombuffer(content, dtype, offset=start).reshape(shape, order="F" if fortran else "C")
    array = array.astype(dtype.newbyteorder("="), order="C")
    if not np.isfinite(array).all():
        raise ModelFileError(f"holds {_first_not_finite(array)} in array {name!r}; finite numbers are needed")
    return array


def _first_not_finite(array: np.ndarray) -> str:
    index = tuple(np.argwhere(~np.isfinite(array))[0].tolist())
    return f"{array[index]} at {index}"
