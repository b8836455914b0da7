# Radial functions R_n(r) = f(r) P_n(x(r)) of LANES distances of one ordered pair of species, side by side.
#
#   x(r): distance transform, [0, rcut] -> [-1, 1].   f(r): envelope, 0 at and beyond rcut.
#   P_n:  P_0 = A_0,  P_1 = (A_1 x + B_1) P_0,  P_n = (A_n x + B_n) P_{n-1} + C_n P_{n-2}.
#
# `radial_lanes` then `polynomial_lanes` give values; the two `..._gradients_lanes` give derivatives d/dr as well.
# A function of grade s, f**s P_n, comes from `polynomial_lanes` with f**s in place of f.
# Cost: about 30 flops for x and f with integer exponents, then 4 per function (9 with derivatives) and lane.
from libc.math cimport cos, pow, sin

from acepure._kernels.lanes cimport (
    lanes_fill,
    lanes_fused,
    lanes_load,
    lanes_multiply_add,
    lanes_scale,
    lanes_store,
    lanes_t,
    lanes_zero,
)
from acepure._kernels.types cimport LANES, real_t


# Layout of `parameters`, N_RADIAL_PARAMETERS numbers per ordered pair of species; the only place where it is written.
cdef enum:
    AT_RCUT = 0               # Å; distances beyond it count as rcut, where f = 0
    AT_TRANSFORM = 1          # a TRANSFORM_... below
    AT_X_SCALE = 2            # 2 / y(rcut), so that x = X_SCALE y - 1 ends at 1
    AT_R0 = 3                 # Å; Agnesi only
    AT_P = 4                  # exponent of power and inverse, p of Agnesi
    AT_Q = 5                  # q of Agnesi
    AT_A = 6                  # a of Agnesi
    AT_ENVELOPE = 7           # an ENVELOPE_... below
    AT_ENVELOPE_EXPONENT = 8  # p of polynomial and smooth
    N_RADIAL_PARAMETERS = 9

cdef enum:                    # y(r), increasing, with y(0) = 0 so that nothing cancels at small r
    TRANSFORM_LINEAR = 0      # r/rcut
    TRANSFORM_POWER = 1       # 1 - (1 - r/rcut)**p
    TRANSFORM_INVERSE = 2     # 1 - (1 + r)**-p
    TRANSFORM_AGNESI = 3      # 1 - 1/(1 + a g) = a g/(1 + a g),  g = u**q/(1 + u**(q - p)),  u = r/r0

cdef enum:                    # f(r)
    ENVELOPE_POLYNOMIAL = 0   # (1 - r/rcut)**p
    ENVELOPE_COSINE = 1       # (1 + cos(pi r/rcut))/2
    ENVELOPE_SMOOTH = 2       # (1 - (r/rcut)**2)**p

cdef enum:
    LARGEST_INTEGER_EXPONENT = 64


cdef inline void radial_lanes(const real_t* r, const real_t* parameters, real_t* x, real_t* f) noexcept nogil:
    cdef real_t[LANES] dx, df
    radial_gradients_lanes(r, parameters, x, f, dx, df)


cdef inline void radial_gradients_lanes(
    const real_t* r, const real_t* parameters, real_t* x, real_t* f, real_t* dx, real_t* df
) noexcept nogil:
    cdef real_t[LANES] inside  # distances up to the cutoff: beyond it f = df = 0, and x, dx only have to be finite
    cdef real_t rcut = parameters[AT_RCUT]
    cdef int lane
    for lane in range(LANES):
        inside[lane] = r[lane] if r[lane] < rcut else rcut
    transform_lanes(inside, parameters, x, dx)
    envelope_lanes(inside, parameters, f, df)


# x = X_SCALE y(r) - 1 and dx/dr
cdef inline void transform_lanes(
    const real_t* r, const real_t* parameters, real_t* x, real_t* dx
) noexcept nogil:
    cdef real_t[LANES] u, t, v, y, dy
    cdef real_t scale = parameters[AT_X_SCALE]
    cdef real_t p = parameters[AT_P], q = parameters[AT_Q], a = parameters[AT_A]
    cdef real_t unit, ratio
    cdef int lane, kind = <int> parameters[AT_TRANSFORM]
    if kind == TRANSFORM_LINEAR:
        unit = parameters[AT_RCUT]
        for lane in range(LANES):
            y[lane] = r[lane] / unit
            dy[lane] = 1.0 / unit
    elif kind == TRANSFORM_POWER:
        unit = parameters[AT_RCUT]
        for lane in range(LANES):
            u[lane] = 1.0 - r[lane] / unit
        power_lanes(u, p - 1.0, t)
        for lane in range(LANES):
            y[lane] = 1.0 - u[lane] * t[lane]
            dy[lane] = p * t[lane] / unit
    elif kind == TRANSFORM_INVERSE:
        for lane in range(LANES):
            u[lane] = 1.0 / (1.0 + r[lane])
        power_lanes(u, p, t)
        for lane in range(LANES):
            y[lane] = 1.0 - t[lane]
            dy[lane] = p * u[lane] * t[lane]
    else:  # TRANSFORM_AGNESI
        unit = parameters[AT_R0]
        for lane in range(LANES):
            u[lane] = r[lane] / unit
        power_lanes(u, q - 1.0, t)      # t = u**(q - 1), finite at r = 0 because q > 1
        power_lanes(u, q - p, v)        # v = u**(q - p)
        for lane in range(LANES):       # g = u t/(1 + v), dg/du = t (q + p v)/(1 + v)**2
            ratio = 1.0 / (1.0 + v[lane] + a * u[lane] * t[lane])
            y[lane] = a * u[lane] * t[lane] * ratio
            dy[lane] = a * t[lane] * (q + p * v[lane]) * ratio * ratio / unit
    for lane in range(LANES):
        x[lane] = scale * y[lane] - 1.0
        dx[lane] = scale * dy[lane]


# f(r) and df/dr
cdef inline void envelope_lanes(
    const real_t* r, const real_t* parameters, real_t* f, real_t* df
) noexcept nogil:
    cdef real_t[LANES] u, t, g, dg
    cdef real_t rcut = parameters[AT_RCUT], p = parameters[AT_ENVELOPE_EXPONENT]
    cdef real_t half_pi = 1.5707963267948966
    cdef int lane, kind = <int> parameters[AT_ENVELOPE]
    if kind == ENVELOPE_COSINE:         # (1 + cos(pi u))/2 = sin(pi/2 (1 - u))**2, which is exactly 0 at u = 1
        for lane in range(LANES):
            u[lane] = half_pi * (1.0 - r[lane] / rcut)
        for lane in range(LANES):
            g[lane] = sin(u[lane]) * sin(u[lane])
            dg[lane] = -2.0 * half_pi / rcut * sin(u[lane]) * cos(u[lane])
    else:
        if kind == ENVELOPE_SMOOTH:     # 1 - u**2 = (1 - u)(1 + u) keeps its digits near the cutoff
            for lane in range(LANES):
                u[lane] = (1.0 - r[lane] / rcut) * (1.0 + r[lane] / rcut)
                dg[lane] = -2.0 * r[lane] / (rcut * rcut)
        else:                           # ENVELOPE_POLYNOMIAL
            for lane in range(LANES):
                u[lane] = 1.0 - r[lane] / rcut
                dg[lane] = -1.0 / rcut
        power_lanes(u, p - 1.0, t)
        for lane in range(LANES):
            g[lane] = u[lane] * t[lane]
            dg[lane] = p * t[lane] * dg[lane]
    for lane in range(LANES):
        f[lane] = g[lane]
        df[lane] = dg[lane]


# result = base**exponent, by repeated squaring for integers, because `pow` does not vectorize.
cdef inline void power_lanes(const real_t* base, real_t exponent, real_t* result) noexcept nogil:
    cdef real_t[LANES] square, product
    cdef int lane, n
    if exponent < 0.0 or exponent > LARGEST_INTEGER_EXPONENT or exponent != <int> exponent:
        for lane in range(LANES):
            result[lane] = pow(base[lane], exponent)
        return
    n = <int> exponent
    for lane in range(LANES):
        square[lane] = base[lane]
        product[lane] = 1.0
    while n > 0:
        if n & 1:
            for lane in range(LANES):
                product[lane] = product[lane] * square[lane]
        n >>= 1
        for lane in range(LANES):
            square[lane] = square[lane] * square[lane]
    for lane in range(LANES):
        result[lane] = product[lane]


# R[n * LANES + lane] = f P_n(x); recurrence holds n rows (A, B, C).
cdef inline void polynomial_lanes(
    const real_t* x, const real_t* f, int n, const real_t* recurrence, real_t* R
) noexcept nogil:
    cdef lanes_t s = lanes_load(x), older = lanes_zero(), old = lanes_scale(recurrence[0], lanes_load(f)), new
    cdef int k
    lanes_store(R, old)
    for k in range(1, n):  # P_k = (A x + B) P_{k-1} + C P_{k-2}
        new = lanes_fused(
            lanes_multiply_add(recurrence[3 * k], s, lanes_fill(recurrence[3 * k + 1])),
            old,
            lanes_scale(recurrence[3 * k + 2], older),
        )
        older = old
        old = new
        lanes_store(R + k * LANES, old)


# The same and dR/dr, from dx/dr and df/dr.
cdef inline void polynomial_gradients_lanes(
    const real_t* x,
    const real_t* f,
    const real_t* dx,
    const real_t* df,
    int n,
    const real_t* recurrence,
    real_t* R,
    real_t* dR,
) noexcept nogil:
    cdef lanes_t s = lanes_load(x), ds = lanes_load(dx), older = lanes_zero(), dolder = lanes_zero()
    cdef lanes_t old = lanes_scale(recurrence[0], lanes_load(f)), dold = lanes_scale(recurrence[0], lanes_load(df))
    cdef lanes_t new, dnew, factor
    cdef real_t a, c
    cdef int k
    lanes_store(R, old)
    lanes_store(dR, dold)
    for k in range(1, n):
        a = recurrence[3 * k]
        c = recurrence[3 * k + 2]
        factor = lanes_multiply_add(a, s, lanes_fill(recurrence[3 * k + 1]))
        # P'_k = (A x + B) P'_{k-1} + A x' P_{k-1} + C P'_{k-2}
        dnew = lanes_fused(factor, dold, lanes_fused(lanes_scale(a, ds), old, lanes_scale(c, dolder)))
        new = lanes_fused(factor, old, lanes_scale(c, older))
        older = old
        old = new
        dolder = dold
        dold = dnew
        lanes_store(R + k * LANES, old)
        lanes_store(dR + k * LANES, dold)
