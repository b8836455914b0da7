"""Features on disk while they are computed: written chunk by chunk, resumable, read back piece by piece.

A store is a folder in the format Zarr 3, one file per chunk, each checked by CRC-32C:

    zarr.json       attributes: format, version, acepure, basis (JSON text), labels, complete
    features        float64 (rows, features), one row per center, structure after structure
    structures      int64 (structures, 2): where the rows of a structure end, and a digest of it, to know it again

Features are written first, then what `structures` says of them; rows that it does not speak of do not count.
"""

from acepure.features.store.reader import FeatureStore
from acepure.features.store.writer import write_features

__all__ = ["FeatureStore", "write_features"]
