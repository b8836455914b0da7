# Radial functions R_n(r) = f(r) P_n(x(r)) of LANES distances of one ordered pair of species, side by side.
#
#   x(r): distance transform, [0, rcut] -> [-1, 1].   f(r): envelope, 0 at and beyond rcut.
#   P_n:  P_0 = A_0,  P_1 = (A_1 x + B_1) P_0,  P_n = (A_n x + B_n) P_{n-1} + C_n P_{n-2}.
#
# `radial_lanes` then `polynomial_lanes` give values and derivatives d/dr. A function of grade s, f**s P_n, comes from
# `polynomial_lanes` with f**s in place of f.
# Cost: about 30 flops for x and f with integer exponents, then 4 per function (9 with derivatives) and lane.
from libc.math cimport cos, pow, sin

from acepure._kernels.lanes cimport (
    lanes_add, lanes_divide, lanes_fill, lanes_fused, lanes_fused_negative, lanes_load, lanes_multiply,
    lanes_multiply_add, lanes_scale, lanes_store, lanes_subtract, lanes_t, lanes_zero,
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


# x, f and their derivatives; compilers leave out what is not used
cdef inline void radial_lanes(
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
    cdef lanes_t one = lanes_fill(1.0), distance = lanes_load(r), u, t, v, w, y, dy
    cdef real_t scale = parameters[AT_X_SCALE]
    cdef real_t p = parameters[AT_P], q = parameters[AT_Q], a = parameters[AT_A]
    cdef real_t unit
    cdef int kind = <int> parameters[AT_TRANSFORM]
    if kind == TRANSFORM_LINEAR:
        unit = parameters[AT_RCUT]
        y = lanes_divide(distance, lanes_fill(unit))
        dy = lanes_fill(1.0 / unit)
    elif kind == TRANSFORM_POWER:
        unit = parameters[AT_RCUT]
        u = lanes_subtract(one, lanes_divide(distance, lanes_fill(unit)))
        t = power_lanes(u, p - 1.0)
        y = lanes_fused_negative(u, t, one)
        dy = lanes_scale(p / unit, t)
    elif kind == TRANSFORM_INVERSE:
        u = lanes_divide(one, lanes_add(one, distance))
        t = power_lanes(u, p)
        y = lanes_subtract(one, t)
        dy = lanes_scale(p, lanes_multiply(u, t))
    else:  # TRANSFORM_AGNESI
        unit = 1.0 / parameters[AT_R0]
        u = lanes_scale(unit, distance)
        t = power_lanes(u, q - 1.0)         # finite at r = 0 because q > 1
        v = power_lanes(u, q - p)
        w = lanes_scale(a, lanes_multiply(u, t))
        dy = lanes_divide(one, lanes_add(lanes_add(one, v), w))
        y = lanes_multiply(w, dy)           # g = u t/(1 + v), dg/du = t (q + p v)/(1 + v)**2
        dy = lanes_multiply(
            lanes_scale(a * unit, lanes_multiply(t, lanes_multiply_add(p, v, lanes_fill(q)))), lanes_multiply(dy, dy)
        )
    lanes_store(x, lanes_multiply_add(scale, y, lanes_fill(-1.0)))
    lanes_store(dx, lanes_scale(scale, dy))


# f(r) and df/dr
cdef inline void envelope_lanes(
    const real_t* r, const real_t* parameters, real_t* f, real_t* df
) noexcept nogil:
    cdef lanes_t one = lanes_fill(1.0), distance = lanes_load(r), u, t, inner
    cdef real_t[LANES] angle
    cdef real_t rcut = parameters[AT_RCUT], p = parameters[AT_ENVELOPE_EXPONENT]
    cdef real_t half_pi = 1.5707963267948966
    cdef int lane, kind = <int> parameters[AT_ENVELOPE]
    u = lanes_divide(distance, lanes_fill(rcut))
    if kind == ENVELOPE_COSINE:             # (1 + cos(pi u))/2 = sin(pi/2 (1 - u))**2, which is exactly 0 at u = 1
        lanes_store(angle, lanes_scale(half_pi, lanes_subtract(one, u)))
        for lane in range(LANES):
            f[lane] = sin(angle[lane]) * sin(angle[lane])
            df[lane] = -2.0 * half_pi / rcut * sin(angle[lane]) * cos(angle[lane])
        return
    if kind == ENVELOPE_SMOOTH:             # 1 - u**2 = (1 - u)(1 + u) keeps its digits near the cutoff
        inner = lanes_scale(-2.0 / (rcut * rcut), distance)
        u = lanes_multiply(lanes_subtract(one, u), lanes_add(one, u))
    else:                                   # ENVELOPE_POLYNOMIAL
        inner = lanes_fill(-1.0 / rcut)
        u = lanes_subtract(one, u)
    t = power_lanes(u, p - 1.0)
    lanes_store(f, lanes_multiply(u, t))
    lanes_store(df, lanes_multiply(lanes_scale(p, t), inner))


# base**exponent, by repeated squaring for integers, because `pow` does not vectorize.
cdef inline lanes_t power_lanes(lanes_t base, real_t exponent) noexcept nogil:
    cdef lanes_t product = lanes_fill(1.0)
    cdef real_t[LANES] values
    cdef int lane, n
    if exponent < 0.0 or exponent > LARGEST_INTEGER_EXPONENT or exponent != <int> exponent:
        lanes_store(values, base)
        for lane in range(LANES):
            values[lane] = pow(values[lane], exponent)
        return lanes_load(values)
    n = <int> exponent
    while n > 0:
        if n & 1:
            product = lanes_multiply(product, base)
        n >>= 1
        base = lanes_multiply(base, base)
    return product


# R[n * LANES + lane] = f P_n(x), and with `gradients`, a constant, dR/dr; recurrence holds n rows (A, B, C).
cdef inline void polynomial_lanes(
    bint gradients, const real_t* x, const real_t* f, const real_t* dx, const real_t* df, int n,
    const real_t* recurrence, real_t* R, real_t* dR,
) noexcept nogil:
    cdef lanes_t s = lanes_load(x), ds = lanes_zero(), older = lanes_zero(), dolder = lanes_zero(), dold = lanes_zero()
    cdef lanes_t old = lanes_scale(recurrence[0], lanes_load(f)), new, dnew, factor
    cdef real_t a, c
    cdef int k
    lanes_store(R, old)
    if gradients:
        ds = lanes_load(dx)
        dold = lanes_scale(recurrence[0], lanes_load(df))
        lanes_store(dR, dold)
    for k in range(1, n):  # P_k = (A x + B) P_{k-1} + C P_{k-2}
        a = recurrence[3 * k]
        c = recurrence[3 * k + 2]
        factor = lanes_multiply_add(a, s, lanes_fill(recurrence[3 * k + 1]))
        if gradients:      # P'_k = (A x + B) P'_{k-1} + A x' P_{k-1} + C P'_{k-2}
            dnew = lanes_fused(factor, dold, lanes_fused(lanes_scale(a, ds), old, lanes_scale(c, dolder)))
            dolder = dold
            dold = dnew
            lanes_store(dR + k * LANES, dold)
        new = lanes_fused(factor, old, lanes_scale(c, older))
        older = old
        old = new
        lanes_store(R + k * LANES, old)
