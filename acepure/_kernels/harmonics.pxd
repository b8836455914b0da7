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
from acepure._kernels.lanes cimport (
    lanes_fill, lanes_fused, lanes_fused_negative, lanes_load, lanes_multiply, lanes_multiply_add, lanes_scale,
    lanes_store, lanes_t, lanes_zero,
)
from acepure._kernels.types cimport LANES, real_t


# Y, and G where `gradients`: a constant wherever this is called, so that the compiler makes two functions of it.
cdef inline void harmonics_lanes(
    bint gradients, const real_t* x, const real_t* y, const real_t* z, int lmax, const real_t* coefficients, real_t* Y,
    real_t* G,
) noexcept nogil:
    cdef lanes_t u = lanes_load(x), v = lanes_load(y), w = lanes_load(z)
    cdef lanes_t c = lanes_fill(1.0), s = lanes_zero()       # Re, Im of (x + iy)^m
    cdef lanes_t dc = lanes_zero(), ds = lanes_zero()        # Re, Im of m (x + iy)^(m-1)
    cdef lanes_t older, old, dolder, dold                    # Q_{l-2}, Q_{l-1} and their derivatives
    cdef lanes_t q, radial, along, polar                     # m Q + z Q', that times c or s, Q' - z (m Q + z Q')
    cdef real_t a, b
    cdef Py_ssize_t size = (lmax + 1) * (lmax + 1) * LANES, at
    cdef int l, m
    for m in range(lmax + 1):
        older = dolder = dold = lanes_zero()
        old = lanes_fill(coefficients[0])
        for l in range(m, lmax + 1):
            if l > m:
                a = coefficients[0]
                b = coefficients[1]
                if gradients:                                # Q'_l = a (z Q'_{l-1} + Q_{l-1}) + b Q'_{l-2}
                    q = lanes_multiply_add(a, lanes_fused(w, dold, old), lanes_scale(b, dolder))
                    dolder = dold
                    dold = q
                q = lanes_multiply_add(a, lanes_multiply(w, old), lanes_scale(b, older))
                older = old
                old = q                                      # Q_l = a z Q_{l-1} + b Q_{l-2}
            coefficients += 2
            at = (l * l + l + m) * LANES
            lanes_store(Y + at, lanes_multiply(old, c))      # Y_{l,m} = Q c
            if gradients:                                    # dc_m/dx = m c_{m-1},  dc_m/dy = -m s_{m-1}
                radial = lanes_fused(w, dold, lanes_scale(m, old))
                polar = lanes_fused_negative(w, radial, dold)
                along = lanes_multiply(radial, c)
                lanes_store(G + at, lanes_fused_negative(u, along, lanes_multiply(old, dc)))
                lanes_store(G + size + at, lanes_fused_negative(v, along, lanes_multiply(lanes_scale(-1.0, old), ds)))
                lanes_store(G + 2 * size + at, lanes_multiply(polar, c))
            if m > 0:
                at = (l * l + l - m) * LANES
                lanes_store(Y + at, lanes_multiply(old, s))  # Y_{l,-m} = Q s
                if gradients:                                # ds_m/dx = m s_{m-1},  ds_m/dy = m c_{m-1}
                    along = lanes_multiply(radial, s)
                    lanes_store(G + at, lanes_fused_negative(u, along, lanes_multiply(old, ds)))
                    lanes_store(G + size + at, lanes_fused_negative(v, along, lanes_multiply(old, dc)))
                    lanes_store(G + 2 * size + at, lanes_multiply(polar, s))
        dc = lanes_scale(m + 1, c)
        ds = lanes_scale(m + 1, s)
        q = lanes_fused_negative(v, s, lanes_multiply(u, c))
        s = lanes_fused(u, s, lanes_multiply(v, c))          # (x + iy)^(m+1) = (x + iy) (x + iy)^m
        c = q
