from numpy import ndarray

lanes: int
n_parameters: int
TRANSFORMS: dict[str, int]
ENVELOPES: dict[str, int]

def fill_parameters(
    out: ndarray,
    rcut: float,
    transform: str = "linear",
    envelope: str = "polynomial",
    r0: float = 1.0,
    p: float = 1.0,
    q: float = 1.0,
    a: float = 1.0,
    envelope_exponent: float = 1.0,
) -> None: ...
def transform_and_envelope(r: ndarray, parameters: ndarray, out: ndarray) -> None: ...
def polynomials(
    geometry: ndarray, recurrence: ndarray, scratch: ndarray, values: ndarray, derivatives: ndarray
) -> None: ...
