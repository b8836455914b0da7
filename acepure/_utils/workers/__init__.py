"""A function of batches, in order: in this process, in several, or on a Dask cluster, with the same bits everywhere.

    ordered_map(function, batches, workers)          function(batch) for each batch, in order
    tree_reduce(function, merge, batches, workers)   all of them merged, in pairs that their number decides

The data alone decide the batches (`batched`), and the number of batches alone decides what is merged with what.
"""

from acepure._utils.workers.batches import batched, naming_structure, structure_bar
from acepure._utils.workers.choice import Workers, checked_workers, kernel_threads
from acepure._utils.workers.order import ordered_map, tree_reduce

__all__ = [
    "Workers",
    "batched",
    "checked_workers",
    "kernel_threads",
    "naming_structure",
    "ordered_map",
    "structure_bar",
    "tree_reduce",
]
