"""FeatureStore: features read back from disk, piece by piece."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from acepure.features.basis import ACEBasis
from acepure.features.store.layout import Layout, checked_path, open_layout

__all__ = ["FeatureStore"]


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
        self._layout: Layout = open_layout(checked_path(path))
        _ = self.offsets  # checked now

    @property
    def path(self) -> Path:
        """Folder of the store."""
        return self._layout.path

    @property
    def features(self) -> Any:
        """The array of Zarr, float64, shape (rows, features); while incomplete, with rows of NaN at its end."""
        return self._layout.features

    @cached_property
    def offsets(self) -> np.ndarray:
        """Structure k has the rows offsets[k] to offsets[k + 1]; int64, shape (len(self) + 1,)."""
        offsets = self._layout.structure_offsets()
        return offsets[offsets <= self._layout.progress.rows]

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the features, in column order."""
        return self._layout.labels

    @cached_property
    def basis(self) -> ACEBasis:
        """The basis, built anew."""
        basis = ACEBasis.from_dict(self._layout.basis)
        if len(basis) != len(self.labels):
            raise ValueError(f"the store {str(self.path)!r} is damaged: its basis has {len(basis)} features")
        return basis

    @property
    def is_complete(self) -> bool:
        """Whether all structures are in it; if not, run `write_features` again."""
        return self._layout.progress.complete

    def __len__(self) -> int:
        """Number of structures."""
        return len(self.offsets) - 1

    def __getitem__(self, k: int) -> np.ndarray:
        """Return the features of structure k, shape (n_atoms, n_features)."""
        if isinstance(k, (bool, np.bool_)) or not isinstance(k, Integral):
            raise TypeError(f"the number of a structure must be an integer; got {k!r} of type {type(k).__name__}")
        if not -len(self) <= k < len(self):
            raise IndexError(f"there is no structure {k}: the store holds {len(self)}")
        k = k % len(self)
        return self._layout.read("features", int(self.offsets[k]), int(self.offsets[k + 1]))

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the features of each structure; every chunk is read once."""
        chunk, n_rows = self.features.chunks[0], int(self.offsets[-1])
        held, start = np.empty((0, len(self.labels))), 0  # rows start to start + len(held)
        for first, stop in zip(self.offsets[:-1].tolist(), self.offsets[1:].tolist()):
            end = start + len(held)
            if stop > end:
                new = self._layout.read("features", end, min(-(-stop // chunk) * chunk, n_rows))
                held, start = np.concatenate([held[first - start :], new]), first
            yield held[first - start : stop - start].copy()

    def __repr__(self) -> str:
        state = "complete" if self.is_complete else "not complete"
        rows = f"{int(self.offsets[-1]):,} rows of {len(self.labels):,} features"
        return f"FeatureStore({str(self.path)!r}): {len(self):,} structures, {rows}, {state}"
