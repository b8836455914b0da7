"""Features that are known in advance, as a basis whose structures are rows of a table."""

from itertools import pairwise

import numpy as np
from ase import Atoms


class Table:
    """A basis in the eyes of the diagnostics: atom k of a structure has row `tag` of the table as its features."""

    def __init__(self, features, sizes=None):
        self.features = np.asarray(features, dtype=float)
        sizes = [self.features.shape[1]] if sizes is None else sizes
        edges = np.cumsum([0, *sizes]).tolist()
        self.order_slices = {f"nu{k + 1}": slice(a, b) for k, (a, b) in enumerate(pairwise(edges))}
        self.labels = tuple(f"f{j}" for j in range(len(self)))

    def __len__(self):
        return self.features.shape[1]

    def descriptors(self, atoms, *, indices=None, num_threads=None):
        tags = atoms.get_tags()
        return self.features[tags if indices is None else tags[indices]]

    def structures(self, n=1):
        """All rows in n structures."""
        for tags in np.array_split(np.arange(len(self.features)), n):
            yield Atoms(f"Cu{len(tags)}", tags=tags)


def orthonormal(n_rows, n_columns, seed=0):
    """Columns that are orthonormal, and orthogonal to a constant."""
    columns = np.random.default_rng(seed).normal(size=(n_rows, n_columns))
    for _ in range(2):  # once more, against rounding
        columns = np.linalg.qr(columns - columns.mean(axis=0))[0]
    return columns
