"""Model files: JSON and arrays in one file of the format safetensors; exact, and nothing in it is ever executed.

    __metadata__    {"acepure model": text}, the text being JSON: {"version": 1, "acepure": ..., "kind": ...,
                    "crc32": of entries and arrays, "entries": {...}}
    tensors         one float64 or int64 array each

What a kind of model keeps is declared once, in a `ModelSchema`, for writing and for reading. A file that lacks a
declared name is refused, as is one with a name that is not declared: no default of a later version completes it.
"""

from __future__ import annotations

import json
import math
import os
import reprlib
import zlib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acepure._utils.files import atomic_write
from acepure._utils.memory import physical_memory
from acepure.errors import ModelFileError

__all__ = ["EMBEDDED", "LAYERED", "LINEAR", "TENSOR", "ModelSchema", "model_kind", "read_model", "write_model"]

KEY = "acepure model"
VERSION = 1
_TOP = ("version", "acepure", "kind", "crc32", "entries")
# Twice as many are read: quotes and backslashes of a text within JSON take two bytes.
TEXT_LIMIT = 2**25  # bytes
# Lists and objects of JSON, the smallest of which take thirty times their text in memory.
PARTS_LIMIT = 2**20
# The file and its arrays are in memory at once; what would not fit is not read.
_PART_OF_MEMORY = 1 / 3
#: A value in a few words, however large it is.
_shown = reprlib.repr


@dataclass(frozen=True)
class ModelSchema:
    """What the files of one kind of model hold.

    Parameters
    ----------
    kind : str
    entries : tuple of str
        Names of values that are written as JSON; None stands for what a model has not.
    arrays : mapping of str to type
        Names of arrays, numpy.float64 or numpy.int64 each.
    optional : tuple of str
        Those of the names that a file may lack.

    Examples
    --------
    >>> schema = ModelSchema("pair", ("species",), {"weights": np.float64, "counts": np.int64}, optional=("counts",))
    """

    kind: str
    entries: tuple[str, ...]
    arrays: Mapping[str, type]
    optional: tuple[str, ...] = ()

    def check_names(self, entries: Collection[str], arrays: Collection[str]) -> None:
        """Raise ValueError unless all names that are needed are there, and no others."""
        for what, declared, given in (
            ("entry", self.entries, set(entries)),
            ("array", tuple(self.arrays), set(arrays)),
        ):
            missing = [name for name in declared if name not in given and name not in self.optional]
            unknown = sorted(map(str, given - set(declared)))
            if missing:
                raise ValueError(f"lacks the {what} {missing[0]!r} that a {self.kind} model needs")
            if unknown:
                raise ValueError(f"holds the {what} {_shown(unknown[0])}, which is unknown for a {self.kind} model")


#: Files of `LinearACE`.
LINEAR = ModelSchema(
    "linear",
    ("basis", "E0s", "core", "shortest", "surroundings", "report"),
    {
        "coefficients": np.float64,
        "posterior": np.float64,
        "posterior factor": np.float64,
        "posterior columns": np.int64,
        "posterior scales": np.float64,
    },
    optional=("posterior", "posterior factor", "posterior columns", "posterior scales"),
)

#: Files of `TensorModel`.
TENSOR = ModelSchema(
    "tensor",
    ("bases", "rank", "per", "target", "unit", "origin", "report"),
    {
        "coefficients": np.float64,
        "constants": np.float64,
        **dict.fromkeys((f"posterior {irrep}" for irrep in ("0e", "1e", "1o", "2e")), np.float64),
    },
    optional=tuple(f"posterior {irrep}" for irrep in ("0e", "1e", "1o", "2e")),
)


#: Files of `EmbeddedACE`.
EMBEDDED = ModelSchema(
    "embedded",
    ("basis", "embedding", "E0s", "core", "shortest", "surroundings", "report"),
    {"coefficients": np.float64, "posterior": np.float64},
    optional=("posterior",),
)


#: Files of `LayeredACE`.
LAYERED = ModelSchema(
    "layered",
    ("basis", "network", "E0s", "core", "shortest", "surroundings", "report"),
    dict.fromkeys(("coefficients", "whitening", "W1", "w1", "c1", "W2", "w2", "c2", "h0", "U"), np.float64),
    optional=("W2", "w2", "c2", "h0", "U"),
)


def write_model(
    path: str | os.PathLike[str], schema: ModelSchema, entries: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    """Write a model file; equal content gives equal bytes.

    Parameters
    ----------
    path : str or os.PathLike
        Replaced if it exists; if anything goes wrong, it stays as it was.
    schema : ModelSchema
    entries : mapping
        JSON types: dict with str keys, list, str, int, float (finite), bool, None. At most 32 MiB as text, and 2²⁰
        lists and dicts.
    arrays : mapping of str to numpy.ndarray of float64 or int64
        Any shape; finite.

    Raises
    ------
    TypeError, ValueError
        For what could not be read back the same, or is not what the schema declares; the message names it.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> schema = ModelSchema("pair", ("species",), {"weights": np.float64})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_model(f"{folder}/model.ace", schema, {"species": ["Cu"]}, {"weights": np.array([0.1, -0.0])})
    ...     read_model(f"{folder}/model.ace", schema)
    ({'species': ['Cu']}, {'weights': array([ 0.1, -0. ])})
    """
    from safetensors.numpy import save

    for name, value in (("entries", entries), ("arrays", arrays)):
        if not isinstance(value, Mapping):
            raise TypeError(
                f"{name} must be a mapping of names to values; got {value!r} of type {type(value).__name__}"
            )
    try:
        schema.check_names(entries, arrays)
    except ValueError as error:
        raise ValueError(f"the content of a model file {error}") from None
    arrays = {name: _checked_array(name, array, schema.arrays[name]) for name, array in arrays.items()}
    content = save(arrays, {KEY: _text(schema.kind, dict(entries), arrays)})
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def read_model(path: str | os.PathLike[str], schema: ModelSchema) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the entries and the arrays of a file that `write_model` wrote with the same schema.

    Parameters
    ----------
    path : str or os.PathLike
    schema : ModelSchema

    Returns
    -------
    entries : dict
    arrays : dict of str to numpy.ndarray
        float64 or int64, the same bits as written.

    Raises
    ------
    FileNotFoundError
    ModelFileError
        If the file is damaged, cut short, no model file, of another kind of model, or written by a newer version.

    Examples
    --------
    See `write_model`.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be a str or os.PathLike; got {path!r} of type {type(path).__name__}")
    shown, path = repr(os.fspath(path)), Path(path)
    if path.exists() and not path.is_file():
        raise ModelFileError(f"{shown} is a folder or a device; a model file is needed")
    if path.stat().st_size > _PART_OF_MEMORY * physical_memory():
        raise ModelFileError(f"{shown} is larger than a third of the memory")
    try:
        text, arrays = _unpacked(path)
        entries, checksum = _entries(text, schema.kind)
        schema.check_names(entries, arrays)
        for name, array in arrays.items():
            _checked_array(name, array, schema.arrays[name])
        if checksum != _checksum(entries, arrays):
            raise ValueError("is damaged: its checksum is wrong")
    except (ValueError, TypeError) as error:
        raise ModelFileError(f"{shown} {error}") from error.__cause__
    return entries, arrays


def model_kind(path: str | os.PathLike[str]) -> str:
    """Return the kind of model that a file says it holds, which `read_model` then checks.

    Raises
    ------
    FileNotFoundError
    ModelFileError
        For what is no model file, or one that is damaged or newer than this version understands.
    """
    try:
        return str(_about(_unpacked(Path(path), with_arrays=False)[0])["kind"])
    except ValueError as error:
        raise ModelFileError(f"{os.fspath(path)!r} {error}") from error.__cause__


def _unpacked(path: Path, with_arrays: bool = True) -> tuple[str, dict[str, np.ndarray]]:
    """Return the text and the arrays of a file; safetensors compares all sizes with that of the file first."""
    from safetensors import safe_open

    try:
        with safe_open(path, framework="np") as file:
            text = (file.metadata() or {}).get(KEY)
            arrays = {name: file.get_tensor(name) for name in file.keys()} if with_arrays else {}
    except OSError:
        raise
    except Exception as error:  # of safetensors, and of NumPy for types that it does not have
        raise ValueError("is no model file of acepure, or is damaged or cut short") from error
    if text is None:
        raise ValueError(f"is no model file of acepure: its metadata lack {KEY!r}")
    return text, arrays


def _checked_array(name: str, array: np.ndarray, dtype: type) -> np.ndarray:
    """Return the array in order C if it is finite and of the type declared."""
    if not isinstance(array, np.ndarray) or array.dtype.newbyteorder("=") != dtype:
        kind = f"{array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
        raise TypeError(f"holds the array {name!r} as {kind}; {np.dtype(dtype)} is needed")
    array = np.array(array, dtype, order="C")  # without masks and other additions of subclasses
    if not np.isfinite(array).all():
        index = tuple(np.argwhere(~np.isfinite(array))[0].tolist())
        raise ValueError(f"holds {array[index]} at {index} in the array {name!r}; finite numbers are needed")
    return array


# --- JSON -------------------------------------------------------------------------------------------------------------


def _checksum(entries: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> int:
    """Return CRC-32 of all content; safetensors has none, and a bit that has flipped would be another potential."""
    value = zlib.crc32(json.dumps(entries, allow_nan=False).encode())
    for name in sorted(arrays):
        value = zlib.crc32(arrays[name].tobytes(), zlib.crc32(f"{name}{arrays[name].shape}".encode(), value))
    return value


def _text(kind: str, entries: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    from acepure import __version__  # set after this module is imported

    try:
        about = dict(zip(_TOP, (VERSION, __version__, kind, _checksum(entries, arrays), entries)))
        text = json.dumps(about, ensure_ascii=False, allow_nan=False)
        size, same = len(text.encode()), json.loads(text) == about
    except TypeError as error:
        raise TypeError(f"entries must consist of JSON types: {error}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"entries cannot be written as JSON: {error}") from None
    if not same:
        raise TypeError("entries must consist of JSON types: they have tuples, keys that are no str, or the like")
    if size > TEXT_LIMIT or _parts(text) > PARTS_LIMIT:
        raise ValueError(
            f"entries take {size:,} bytes with {_parts(text):,} lists and dicts; at most {TEXT_LIMIT:,} and "
            f"{PARTS_LIMIT:,} are possible, so put data into arrays"
        )
    return text


def _about(text: str) -> dict[str, Any]:
    """Return what a text says, of a version that is known here; messages continue "file ..."."""
    if _parts(text) > PARTS_LIMIT:
        raise ValueError(f"has entries of more than {PARTS_LIMIT:,} lists and objects")
    hooks: dict[str, Any] = {"parse_constant": _refuse_constant, "parse_float": _finite, "object_pairs_hook": _object}
    try:
        about = json.loads(text, **hooks)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"is damaged: its entries are no JSON: {error}") from None
    version = about.get("version") if isinstance(about, dict) else None
    if type(version) is not int or version < 1:
        raise ValueError(f"is damaged: its format version is {_shown(version)}")
    if version > VERSION:
        writer = str(about.get("acepure"))[:40]
        raise ValueError(
            f"was written by a newer acepure ({writer}): its format version is {version}, and this one reads up to "
            f"{VERSION}; update acepure"
        )
    if set(about) != set(_TOP) or not isinstance(about["entries"], dict):
        raise ValueError(f"is damaged: it should say {', '.join(_TOP)}, but says {_shown(sorted(about))}")
    return about


def _entries(text: str, kind: str) -> tuple[dict[str, Any], Any]:
    """Return the entries of a text, checked, and the checksum."""
    about = _about(text)
    if about["kind"] != kind:
        raise ValueError(f"holds a model of the kind {_shown(about['kind'])}; {kind!r} is needed")
    return about["entries"], about["crc32"]


def _parts(text: str) -> int:
    """Return the number of lists and objects, and of brackets in texts."""
    return text.count("[") + text.count("{")


def _refuse_constant(text: str) -> float:
    raise ValueError(f"is damaged: its entries hold {text}")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse_constant(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON, in which two values of one name would be two meanings of one file."""
    result = dict(pairs)
    if len(result) < len(pairs):
        twice = next(name for name, n in Counter(name for name, _ in pairs).items() if n > 1)
        raise ValueError(f"is damaged: its entries have two values of {_shown(twice)}")
    return result
