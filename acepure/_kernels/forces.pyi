from numpy import ndarray

def accumulate_forces(
    offsets: ndarray,
    centers: ndarray,
    neighbors: ndarray,
    vectors: ndarray,
    gradients: ndarray,
    forces: ndarray,
    virial: ndarray,
) -> None: ...
def accumulate_rows(
    offsets: ndarray,
    centers: ndarray,
    neighbors: ndarray,
    vectors: ndarray,
    jacobian: ndarray,
    weights: ndarray,
    rows: ndarray,
    strain: ndarray,
    num_threads: int,
) -> None: ...
def update_vectors(
    offsets: ndarray,
    centers: ndarray,
    neighbors: ndarray,
    shifts: ndarray,
    positions: ndarray,
    cell: ndarray,
    vectors: ndarray,
    num_threads: int,
) -> int: ...
