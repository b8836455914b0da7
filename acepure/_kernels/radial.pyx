"""Transforms, envelopes and polynomials of an array of distances; the arithmetic is in radial.pxd."""

from acepure._kernels.radial cimport (
    AT_A, AT_ENVELOPE, AT_ENVELOPE_EXPONENT, AT_P, AT_Q, AT_R0, AT_RCUT, AT_TRANSFORM, AT_X_SCALE, ENVELOPE_COSINE,
    ENVELOPE_POLYNOMIAL, ENVELOPE_SMOOTH, N_RADIAL_PARAMETERS, TRANSFORM_AGNESI, TRANSFORM_INVERSE, TRANSFORM_LINEAR,
    TRANSFORM_POWER, polynomial_lanes, radial_lanes,
)
from acepure._kernels.types cimport LANES, real_t

lanes = LANES  # for callers in Python, who allocate the scratch
n_parameters = N_RADIAL_PARAMETERS

TRANSFORMS = {
    "linear": TRANSFORM_LINEAR,
    "power": TRANSFORM_POWER,
    "inverse": TRANSFORM_INVERSE,
    "agnesi": TRANSFORM_AGNESI,
}
ENVELOPES = {
    "polynomial": ENVELOPE_POLYNOMIAL,
    "cosine": ENVELOPE_COSINE,
    "smooth": ENVELOPE_SMOOTH,
}


def fill_parameters(
    real_t[::1] out,
    real_t rcut,
    str transform="linear",
    str envelope="polynomial",
    real_t r0=1.0,
    real_t p=1.0,
    real_t q=1.0,
    real_t a=1.0,
    real_t envelope_exponent=1.0,
) -> None:
    """Write the parameters of one ordered pair of species, in the layout of radial.pxd."""
    cdef real_t[LANES] r, x, f, dx, df
    cdef int lane
    out[AT_RCUT] = rcut
    out[AT_TRANSFORM] = TRANSFORMS[transform]
    out[AT_X_SCALE] = 1.0
    out[AT_R0] = r0
    out[AT_P] = p
    out[AT_Q] = q
    out[AT_A] = a
    out[AT_ENVELOPE] = ENVELOPES[envelope]
    out[AT_ENVELOPE_EXPONENT] = envelope_exponent
    for lane in range(LANES):
        r[lane] = rcut
    radial_lanes(r, &out[0], x, f, dx, df)
    out[AT_X_SCALE] = 2.0 / (x[0] + 1.0)  # x = y - 1 so far


def transform_and_envelope(const real_t[::1] r, const real_t[::1] parameters, real_t[:, ::1] out) -> None:
    """x, dx/dr, f, df/dr of r (n,) into the rows of out (4, n)."""
    cdef Py_ssize_t n = r.shape[0], block, start
    cdef int lane, used
    cdef real_t[LANES] distance, x, f, dx, df
    with nogil:
        for block in range((n + LANES - 1) // LANES):
            start = block * LANES
            used = load(&r[start], n - start, distance)
            radial_lanes(distance, &parameters[0], x, f, dx, df)
            for lane in range(used):
                out[0, start + lane] = x[lane]
                out[1, start + lane] = dx[lane]
                out[2, start + lane] = f[lane]
                out[3, start + lane] = df[lane]


def polynomials(
    const real_t[:, ::1] geometry,
    const real_t[:, ::1] recurrence,
    real_t[::1] scratch,
    real_t[:, ::1] values,
    real_t[:, ::1] derivatives,
) -> None:
    """f P_n(x) and its d/dr, each (len(r), n), from the rows x, dx, f, df of geometry.

    scratch holds 2 n LANES numbers.
    """
    cdef Py_ssize_t n_r = geometry.shape[1], block, start
    cdef int n = <int> recurrence.shape[0], lane, used, k
    cdef real_t[LANES] x, dx, f, df
    cdef real_t* R = &scratch[0]
    cdef real_t* dR = &scratch[n * LANES]
    with nogil:
        for block in range((n_r + LANES - 1) // LANES):
            start = block * LANES
            used = load(&geometry[0, start], n_r - start, x)
            load(&geometry[1, start], n_r - start, dx)
            load(&geometry[2, start], n_r - start, f)
            load(&geometry[3, start], n_r - start, df)
            polynomial_lanes(True, x, f, dx, df, n, &recurrence[0, 0], R, dR)
            for lane in range(used):
                for k in range(n):
                    values[start + lane, k] = R[k * LANES + lane]
                    derivatives[start + lane, k] = dR[k * LANES + lane]


cdef int load(const real_t* source, Py_ssize_t n, real_t* side_by_side) noexcept nogil:
    """Copy up to LANES of n numbers, repeat the last one in lanes left over, return the number copied."""
    cdef int lane, used = <int> min(<Py_ssize_t> LANES, n)
    for lane in range(LANES):
        side_by_side[lane] = source[min(lane, used - 1)]
    return used
