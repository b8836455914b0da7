"""Real spherical harmonics of an array of unit vectors; the arithmetic is in harmonics.pxd."""

from libc.math cimport acos, sqrt

from acepure._kernels.harmonics cimport harmonics_lanes
from acepure._kernels.types cimport LANES, real_t

lanes = LANES  # for callers in Python, who allocate the scratch


def harmonics_coefficients(int lmax, real_t[::1] coefficients) -> None:
    """Fill the (lmax + 1)(lmax + 2) numbers that the recurrences of harmonics.pxd need.

    From P_l^m = [(2l - 1) z P_{l-1}^m - (l + m - 1) P_{l-2}^m] / (l - m), each P_l^m times its norm:
    a = sqrt((4 l^2 - 1) / (l^2 - m^2)), b = -a sqrt(((l - 1)^2 - m^2) / (4 (l - 1)^2 - 1)).
    """
    cdef int l, m, k = 0
    cdef real_t a, q = 1.0 / sqrt(4.0 * acos(-1.0))
    for m in range(lmax + 1):
        if m > 0:  # (Q_m^m)^2 = 2 (2m + 1)!! / (2m)!! / 4 pi; the 2 is the sqrt(2) of real harmonics
            q *= sqrt((2.0 * m + 1.0) / (2.0 * m)) * (sqrt(2.0) if m == 1 else 1.0)
        coefficients[k] = q
        coefficients[k + 1] = 0.0
        k += 2
        for l in range(m + 1, lmax + 1):
            a = sqrt((4.0 * l * l - 1.0) / (<real_t> (l - m) * (l + m)))
            coefficients[k] = a
            coefficients[k + 1] = -a * sqrt(
                (<real_t> (l - 1 - m) * (l - 1 + m)) / (4.0 * (l - 1.0) * (l - 1.0) - 1.0)
            ) if l > 1 else 0.0
            k += 2


def evaluate(
    const real_t[:, ::1] units,
    int lmax,
    const real_t[::1] coefficients,
    real_t[::1] scratch,
    real_t[:, ::1] values,
    real_t[:, :, ::1] gradients,
) -> None:
    """Y of units (n, 3) into values (n, (lmax + 1)^2); tangential gradients (n, 3, (lmax + 1)^2) unless empty.

    scratch holds 4 (lmax + 1)^2 LANES numbers.
    """
    cdef Py_ssize_t n = units.shape[0], block, start, k, size = (lmax + 1) * (lmax + 1)
    cdef int lane, used, xyz
    cdef bint wanted = gradients.shape[0] > 0
    cdef real_t[LANES] x, y, z
    cdef real_t* Y = &scratch[0]
    cdef real_t* G = &scratch[size * LANES]
    with nogil:
        for block in range((n + LANES - 1) // LANES):
            start = block * LANES
            used = load(units, start, x, y, z)
            if wanted:
                harmonics_lanes(True, x, y, z, lmax, &coefficients[0], Y, G)
            else:
                harmonics_lanes(False, x, y, z, lmax, &coefficients[0], Y, NULL)
            for lane in range(used):
                for k in range(size):
                    values[start + lane, k] = Y[k * LANES + lane]
                for xyz in range(3 if wanted else 0):
                    for k in range(size):
                        gradients[start + lane, xyz, k] = G[(xyz * size + k) * LANES + lane]


cdef int load(const real_t[:, ::1] units, Py_ssize_t start, real_t* x, real_t* y, real_t* z) noexcept nogil:
    """Copy up to LANES rows side by side, repeat the last one in lanes left over, return the number copied."""
    cdef int lane, used = <int> min(<Py_ssize_t> LANES, units.shape[0] - start)
    cdef Py_ssize_t i
    for lane in range(LANES):
        i = start + min(lane, used - 1)
        x[lane] = units[i, 0]
        y[lane] = units[i, 1]
        z[lane] = units[i, 2]
    return used
