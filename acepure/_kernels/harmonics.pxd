# Real orthonormal spherical harmonics of LANES unit vectors side by side.
#
#   Y_lm(x, y, z) = Q_l^|m|(z) c_m(x, y)
#   c_m   = Re (x + iy)^m for m >= 0,  Im (x + iy)^|m| for m < 0
#   Q_m^m = const,  Q_l^m = a_lm z Q_{l-1}^m + b_lm Q_{l-2}^m
#
# Q is the normalized associated Legendre function without its factor sin(theta)^m, which the polynomials c_m carry.
# So nothing is divided by sin(theta), and the poles are points like any other.  The same splitting is used by
# F. Bigi et al., J. Chem. Phys. 159, 064802 (2023); here Q is normalized, so that factorials never appear.
#
# Tangential gradient at the unit vector u = r/|r|, with F' the gradient of the polynomial Q(z) c_m(x, y):
#
#   G  = F' - u (u . F'),   d Y(r/|r|) / dr = G / |r|
#   F' = (Q dc_m/dx, Q dc_m/dy, Q' c_m),   d (x + iy)^m = m (x + iy)^(m-1) (dx + i dy)
#   u . F' = (m Q + z Q') c_m,   because c_m is homogeneous of degree m
#
# coefficients: (lmax + 1)(lmax + 2) numbers, the pairs (a, b) for m = 0..lmax, l = m..lmax; for l = m (Q_m^m, 0).
#               Made by `harmonics_coefficients` in harmonics.pyx.
# Y:            Y[(l*l + l + m) * LANES + lane]
# G:            G[(xyz * (lmax + 1)**2 + l*l + l + m) * LANES + lane]
# Cost:         about 4 flops per harmonic and lane, 20 with gradients.
from acepure._kernels.types cimport LANES, real_t


cdef inline void harmonics_lanes(
    const real_t* x, const real_t* y, const real_t* z, int lmax, const real_t* coefficients, real_t* Y
) noexcept nogil:
    harmonics_any(x, y, z, lmax, coefficients, False, Y, NULL)


cdef inline void harmonics_gradients_lanes(
    const real_t* x,
    const real_t* y,
    const real_t* z,
    int lmax,
    const real_t* coefficients,
    real_t* Y,
    real_t* G,
) noexcept nogil:
    harmonics_any(x, y, z, lmax, coefficients, True, Y, G)


# Both of the above; `gradients` is a constant there, so that the compiler makes two functions of it.
cdef inline void harmonics_any(
    const real_t* x,
    const real_t* y,
    const real_t* z,
    int lmax,
    const real_t* coefficients,
    bint gradients,
    real_t* Y,
    real_t* G,
) noexcept nogil:
    # Local copies tell the compiler that the output overlaps none of the inputs.
    cdef real_t[LANES] u, v, w           # the unit vector
    cdef real_t[LANES] c, s              # Re, Im of (x + iy)^m
    cdef real_t[LANES] dc, ds            # Re, Im of m (x + iy)^(m-1)
    cdef real_t[LANES] older, old        # Q_{l-2}, Q_{l-1}
    cdef real_t[LANES] dolder, dold      # their derivatives
    cdef real_t[LANES] radial            # m Q + z Q'
    cdef real_t a, b, q
    cdef Py_ssize_t size = (lmax + 1) * (lmax + 1) * LANES
    cdef Py_ssize_t plus, minus
    cdef int l, m, lane
    for lane in range(LANES):
        u[lane] = x[lane]
        v[lane] = y[lane]
        w[lane] = z[lane]
        c[lane] = 1.0
        s[lane] = 0.0
        dc[lane] = 0.0
        ds[lane] = 0.0
    for m in range(lmax + 1):
        for lane in range(LANES):
            older[lane] = 0.0
            old[lane] = coefficients[0]
            dolder[lane] = 0.0
            dold[lane] = 0.0
        for l in range(m, lmax + 1):
            plus = (l * l + l + m) * LANES
            minus = (l * l + l - m) * LANES
            if l > m:
                a = coefficients[0]
                b = coefficients[1]
                if gradients:
                    for lane in range(LANES):  # Q'_l = a (z Q'_{l-1} + Q_{l-1}) + b Q'_{l-2}
                        q = a * (w[lane] * dold[lane] + old[lane]) + b * dolder[lane]
                        dolder[lane] = dold[lane]
                        dold[lane] = q
                for lane in range(LANES):      # Q_l = a z Q_{l-1} + b Q_{l-2}
                    q = a * w[lane] * old[lane] + b * older[lane]
                    older[lane] = old[lane]
                    old[lane] = q
            coefficients += 2
            if m > 0:
                for lane in range(LANES):      # Y_{l,-m} = Q s
                    Y[minus + lane] = old[lane] * s[lane]
            for lane in range(LANES):          # Y_{l,m} = Q c
                Y[plus + lane] = old[lane] * c[lane]
            if gradients:
                for lane in range(LANES):
                    radial[lane] = m * old[lane] + w[lane] * dold[lane]
                if m > 0:                      # ds_m/dx = m s_{m-1},  ds_m/dy = m c_{m-1}
                    for lane in range(LANES):
                        G[minus + lane] = old[lane] * ds[lane] - u[lane] * radial[lane] * s[lane]
                    for lane in range(LANES):
                        G[size + minus + lane] = old[lane] * dc[lane] - v[lane] * radial[lane] * s[lane]
                    for lane in range(LANES):
                        G[2 * size + minus + lane] = (dold[lane] - w[lane] * radial[lane]) * s[lane]
                for lane in range(LANES):      # dc_m/dx = m c_{m-1},  dc_m/dy = -m s_{m-1}
                    G[plus + lane] = old[lane] * dc[lane] - u[lane] * radial[lane] * c[lane]
                for lane in range(LANES):
                    G[size + plus + lane] = -old[lane] * ds[lane] - v[lane] * radial[lane] * c[lane]
                for lane in range(LANES):
                    G[2 * size + plus + lane] = (dold[lane] - w[lane] * radial[lane]) * c[lane]
        for lane in range(LANES):              # (x + iy)^(m+1) = (x + iy) (x + iy)^m
            dc[lane] = (m + 1) * c[lane]
            ds[lane] = (m + 1) * s[lane]
            q = u[lane] * c[lane] - v[lane] * s[lane]
            s[lane] = u[lane] * s[lane] + v[lane] * c[lane]
            c[lane] = q
