"""Features on disk while they are computed: written chunk by chunk, resumable, read back piece by piece.

A store is a folder in the format Zarr 3, one file per chunk, each checked by CRC-32C:

    zarr.json       attributes: format, version, acepure, basis (JSON text), labels
    features        float64 (rows, features), one row per center, structure after structure
    offsets         int64 (structures + 1,): structure k has the rows offsets[k] to offsets[k + 1]
    fingerprints    uint8 (structures, 16): what structure k was, to know it again
"""

from acepure.features.store.reader import FeatureStore
from acepure.features.store.writer import write_features

__all__ = ["FeatureStore", "write_features"]
