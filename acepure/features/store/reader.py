"""FeatureStore: features read back from disk, piece by piece."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator
from functools import cached_property
from numbers import Integral
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from acepure._utils.memory import physical_memory
from acepure.features.basis import ACEBasis

FORMAT = "acepure features"
VERSION = 1
_OLDEST_ZARR = (3, 1, 3)  # the first that writes files under other names and renames them
_PART_OF_MEMORY = 1 / 8  # a chunk is copied a few times
_CODECS = ["BytesCodec", "Crc32cCodec"]


def zarr_module() -> ModuleType:
    """Import Zarr, an optional dependency."""
    try:
        import zarr
    except ImportError:
        zarr = None
    if zarr is None or tuple(map(int, re.findall(r"\d+", zarr.__version__)[:3])) < _OLDEST_ZARR:
        raise ImportError('acepure.features.store needs Zarr >= 3.1.3, Python >= 3.11: pip install "acepure[store]"')
    return zarr


class FeatureStore:
    """Features that `write_features` wrote; a sequence of arrays, one per structure, read when asked for.

    Parameters
    ----------
    path : str or os.PathLike
        Folder of the store. One that is not complete can be read as far as it is.

    Raises
    ------
    FileNotFoundError
    ValueError
        If the folder is no store of features, is damaged, or was written by a newer version.
    ImportError
        Without Zarr 3.1.3 or newer.

    Notes
    -----
    `features` is an array of Zarr: ``store.features[i:j]`` is a NumPy array, ``dask.array.from_zarr(store.features)``
    one of dask. Nothing in a store is ever executed: types and codecs other than those of `write_features` are refused.
    A chunk that is missing reads as NaN in `features` and is an error everywhere else.

    Examples
    --------
    >>> import tempfile
    >>> from ase.build import bulk
    >>> from acepure.features.store import write_features
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = write_features(f"{folder}/features.zarr", ACEBasis(["Cu"]), [bulk("Cu"), bulk("Cu", cubic=True)])
    ...     store = FeatureStore(f"{folder}/features.zarr")
    ...     len(store), store[1].shape, store.features.shape, store.offsets.tolist(), store.is_complete
    (2, (4, 99), (5, 99), [0, 1, 5], True)
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"path must be a str or os.PathLike; got {path!r} of type {type(path).__name__}")
        self._path = Path(path)
        self._group = self._opened()
        self._check_group()
        table = self._read("structures", 0, self._group["structures"].shape[0])
        # An interrupted writer may leave rows of zeros, of which nothing was written.
        self._ends, self._digests = table[: int((table[:, 0] > 0).sum())].T
        offsets, n_rows = self.offsets, self.features.shape[0]
        lacks = self.is_complete and (len(self) < len(table) or offsets[-1] < n_rows)
        if lacks or (np.diff(offsets) <= 0).any() or offsets[-1] > n_rows:
            raise self._damaged(f"its structures do not fit {n_rows} rows")

    def _opened(self, mode: str = "r") -> Any:
        zarr = zarr_module()
        if not self._path.exists():
            raise FileNotFoundError(f"there is no store {str(self._path)!r}")
        if not (self._path / "zarr.json").is_file():
            raise ValueError(f"the store {str(self._path)!r} is none of acepure")
        try:
            folder = zarr.storage.LocalStore(self._path, read_only=mode == "r")
            return zarr.open_group(folder, mode=mode, use_consolidated=False)
        except Exception as error:  # whatever Zarr says of files that are none of Zarr
            raise self._damaged(str(error)) from error

    def _check_group(self) -> None:
        """Refuse what is no store of ours, or too large, before a chunk is read."""
        about = dict(self._group.attrs)
        if about.get("format") != FORMAT:
            raise ValueError(f"the store {str(self._path)!r} is none of acepure: it does not say {FORMAT!r}")
        if about.get("version") != VERSION:
            raise ValueError(
                f"the store {str(self._path)!r} was written by acepure {about.get('acepure')!r}: its format version is "
                f"{about.get('version')!r}, and this one reads {VERSION}"
            )
        labels = about.get("labels")
        if not isinstance(labels, list) or not isinstance(about.get("basis"), str):
            raise self._damaged("it has no basis and labels")
        if type(about.get("complete")) is not bool:
            raise self._damaged("it does not say whether it is complete")
        for name, dtype, width in (("features", "float64", len(labels)), ("structures", "int64", 2)):
            try:
                array = self._group[name]
                codecs = [type(codec).__name__ for codec in array.metadata.codecs]
                found = str(array.dtype), array.shape[1:], array.chunks[1:], codecs
            except Exception as error:  # missing, or of types that Zarr does not know
                raise self._damaged(f"{name}: {error}") from error
            if found != (dtype, (width,), (width,), _CODECS):
                raise self._damaged(f"{name} has other types, shapes or codecs: {found}")
            if 8 * math.prod(array.chunks) > _PART_OF_MEMORY * physical_memory():
                raise self._damaged(f"its chunks of {name} are larger than an eighth of the memory")

    def _damaged(self, why: str) -> ValueError:
        return ValueError(f"the store {str(self._path)!r} is damaged: {why}")

    def _read(self, name: str, start: int, stop: int) -> np.ndarray:
        """Return rows of an array."""
        try:
            rows = np.asarray(self._group[name][start:stop])
        except Exception as error:  # chunks cut short, or with a wrong checksum
            raise self._damaged(f"{name}[{start}:{stop}]: {error}") from error
        if name == "features" and np.isnan(rows).any():
            raise self._damaged(f"chunks of {name}[{start}:{stop}] are missing")
        return rows

    @property
    def path(self) -> Path:
        """Folder of the store."""
        return self._path

    @property
    def features(self) -> Any:
        """The array of Zarr, float64, shape (rows, features); while incomplete, maybe with other rows at its end."""
        return self._group["features"]

    @cached_property
    def offsets(self) -> np.ndarray:
        """Structure k has the rows offsets[k] to offsets[k + 1]; int64, shape (len(self) + 1,)."""
        return np.concatenate([[0], self._ends])

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the features, in column order."""
        return tuple(self._group.attrs["labels"])

    @cached_property
    def basis(self) -> ACEBasis:
        """The basis, built anew."""
        try:
            basis = ACEBasis.from_dict(json.loads(self._group.attrs["basis"]))
        except (ValueError, TypeError, RecursionError) as error:
            raise self._damaged(f"its basis: {error}") from error
        if len(basis) != len(self.labels):
            raise self._damaged(f"its basis has {len(basis)} features")
        return basis

    @property
    def is_complete(self) -> bool:
        """Whether all structures are in it; if not, run `write_features` again."""
        return self._group.attrs["complete"]

    def __len__(self) -> int:
        """Number of structures."""
        return len(self._ends)

    def __getitem__(self, k: int) -> np.ndarray:
        """Return the features of structure k, shape (n_atoms, n_features)."""
        if isinstance(k, (bool, np.bool_)) or not isinstance(k, Integral):
            raise TypeError(f"the number of a structure must be an integer; got {k!r} of type {type(k).__name__}")
        if not -len(self) <= k < len(self):
            raise IndexError(f"there is no structure {k}: the store holds {len(self)}")
        k = k % len(self)
        return self._read("features", int(self.offsets[k]), int(self.offsets[k + 1]))

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the features of each structure; every chunk is read once."""
        chunk, n_rows = self.features.chunks[0], int(self.offsets[-1])
        held, start = np.empty((0, len(self.labels))), 0  # rows start to start + len(held)
        for first, stop in zip(self.offsets[:-1].tolist(), self.offsets[1:].tolist()):
            end = start + len(held)
            if stop > end:
                new = self._read("features", end, min(-(-stop // chunk) * chunk, n_rows))
                held, start = np.concatenate([held[first - start :], new]), first
            yield held[first - start : stop - start].copy()

    def __repr__(self) -> str:
        state = "complete" if self.is_complete else "not complete"
        rows = f"{int(self.offsets[-1]):,} rows of {len(self.labels):,} features"
        return f"FeatureStore({str(self.path)!r}): {len(self):,} structures, {rows}, {state}"
