from numpy import ndarray

lanes: int

def harmonics_coefficients(lmax: int, coefficients: ndarray) -> None: ...
def evaluate(
    units: ndarray, lmax: int, coefficients: ndarray, scratch: ndarray, values: ndarray, gradients: ndarray
) -> None: ...
