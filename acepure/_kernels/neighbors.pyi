from numpy import ndarray

def count_pairs(pairs: ndarray, slot: ndarray, offsets: ndarray) -> None: ...
def sort_pairs(
    pairs: ndarray,
    shifts: ndarray,
    slot: ndarray,
    rank: ndarray,
    positions: ndarray,
    cell: ndarray,
    species: ndarray,
    cutoff2: ndarray,
    next_free: ndarray,
    by_neighbor: ndarray,
    order: ndarray,
    offsets: ndarray,
    neighbors: ndarray,
    out_shifts: ndarray,
    vectors: ndarray,
) -> int: ...
def images(
    positions: ndarray,
    cell: ndarray,
    periodic: ndarray,
    search: float,
    farthest: int,
    pairs: ndarray,
    shifts: ndarray,
) -> int: ...
