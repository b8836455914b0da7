# Pairs of atoms, LANES at a time: what is inside the cutoff, directions, radial functions, and how pairs move.
from libc.math cimport sqrt
from libc.string cimport memcpy, memset

from acepure._kernels.harmonics cimport harmonics_lanes
from acepure._kernels.lanes cimport (
    lanes_add, lanes_divide, lanes_fill, lanes_fused, lanes_load, lanes_multiply, lanes_multiply_add, lanes_scale,
    lanes_store, lanes_subtract, lanes_t, lanes_transpose, lanes_zero,
)
from acepure._kernels.radial cimport N_RADIAL_PARAMETERS, polynomial_lanes, radial_lanes
from acepure._kernels.types cimport LANES, index_t, offset_t, real_t


# Sizes and tables: pointers into the arrays that the `Pooling` object keeps alive.
cdef struct PoolingPlan:
    index_t n_species, lmax, n_lm, n_lm_blocks, n_channels, n_grades, n_radial, n_leaves, n_mixed, n_mixing
    bint has_table, has_splines, has_shift
    Py_ssize_t pooled_size             # A of one center, padded
    const real_t* cutoff2              # (n_species * n_species,), Å²
    const real_t* harmonics            # recurrence coefficients
    const real_t* radial_parameters    # (n_species * n_species, N_RADIAL_PARAMETERS)
    const real_t* recurrence           # (n_species * n_species, n_radial, 3), grade 1
    const real_t* chebyshev            # (n, 3), higher grades
    const index_t* grade_sizes         # (n_grades,)
    const real_t* splines              # (n_nodes, 2, n_spline_channels): values and slopes times the spacing at nodes
    const offset_t* spline_start       # (n_species * n_species,), first node
    const real_t* spline_density       # (n_species * n_species,), nodes per Å
    const index_t* channel_start       # (n_species, n_channels)
    const index_t* channel_blocks      # (n_species, n_channels), 0 where a channel is unused
    const index_t* l_indptr            # (n_species, lmax + 2), into l_channels
    const index_t* l_channels          # channels that use a degree
    const index_t* leaf_position       # (n_leaves,)
    const index_t* leaf_channel        # (n_leaves,), channel, or combination of channels
    const index_t* leaf_lm
    const index_t* leaf_species
    const real_t* shift                # (n_species, n_leaves)
    const index_t* mix_indptr          # (n_mixed + 1,), functions that combine channels, if any
    const index_t* mix_channels        # (n_mixing,)
    const real_t* mixing               # (n_species * n_species, n_mixing)


# The pairs of a structure.
cdef struct Pairs:
    const offset_t* offsets            # (n_centers + 1,)
    const real_t* vectors              # (n_pairs, 3), Å
    const index_t* center_species      # (n_centers,)
    const index_t* pair_species        # (n_pairs,), sorted within each center
    const real_t* table                # (n_pairs, n_channels), or NULL
    const real_t* table_gradients      # the same, 1/Å


# How they move, ṙ_ij = w_j − w_i + ε r_ij.
cdef struct Motion:
    const index_t* centers             # (n_centers,), atoms
    const index_t* neighbors           # (n_pairs,), atoms
    const real_t* displacements        # w, (n_atoms, 3), Å
    const real_t* strain               # ε, (3, 3)


# Up to LANES pairs of one ordered pair of species, side by side.
cdef struct Chunk:
    int count
    int kind
    int[LANES] center                  # position of the center in its block
    Py_ssize_t[LANES] pair
    real_t[LANES] x
    real_t[LANES] y
    real_t[LANES] z
    real_t[LANES] r2


# What one thread needs for pairs: pointers into one allocation.
cdef struct PairScratch:
    real_t* pooled    # (LANES, pooled_size)
    real_t* R         # (n_channels, LANES)
    real_t* dR        # (n_channels, LANES)
    real_t* Y         # (n_lm_blocks * LANES, LANES)
    real_t* G         # (3, n_lm, LANES)
    real_t* T         # (LANES, n_lm_blocks * LANES)
    real_t* moving    # as pooled: Ȧ
    real_t* dY        # as Y: ∇Y · ṙ
    real_t* dT        # as T
    real_t* mixed     # (n_mixed, LANES), of R
    real_t* dmixed    # and of dR


cdef Py_ssize_t pair_scratch_size(const PoolingPlan* plan) noexcept nogil:
    return LANES * (
        2 * plan.pooled_size + 2 * <Py_ssize_t> plan.n_channels + 3 * <Py_ssize_t> plan.n_lm
        + 4 * <Py_ssize_t> plan.n_lm_blocks * LANES + 2 * <Py_ssize_t> plan.n_mixed
    )


cdef PairScratch pair_scratch_at(const PoolingPlan* plan, real_t* memory) noexcept nogil:
    cdef PairScratch scratch
    scratch.pooled = memory
    scratch.R = scratch.pooled + LANES * plan.pooled_size
    scratch.dR = scratch.R + LANES * plan.n_channels
    scratch.Y = scratch.dR + LANES * plan.n_channels
    scratch.G = scratch.Y + <Py_ssize_t> LANES * plan.n_lm_blocks * LANES
    scratch.T = scratch.G + 3 * LANES * plan.n_lm
    scratch.moving = scratch.T + <Py_ssize_t> LANES * plan.n_lm_blocks * LANES
    scratch.dY = scratch.moving + LANES * plan.pooled_size
    scratch.dT = scratch.dY + <Py_ssize_t> LANES * plan.n_lm_blocks * LANES
    scratch.mixed = scratch.dT + <Py_ssize_t> LANES * plan.n_lm_blocks * LANES
    scratch.dmixed = scratch.mixed + <Py_ssize_t> LANES * plan.n_mixed
    return scratch


# Append a pair if it is inside its cutoff (lists with a skin hold others).
cdef inline void append(
    const PoolingPlan* plan, const Pairs* pairs, Chunk* chunk, int kind, int center, Py_ssize_t pair
) noexcept nogil:
    cdef int lane = chunk.count
    cdef real_t x = pairs.vectors[3 * pair], y = pairs.vectors[3 * pair + 1], z = pairs.vectors[3 * pair + 2]
    cdef real_t r2 = x * x + y * y + z * z
    if r2 < plan.cutoff2[kind]:
        chunk.kind = kind
        chunk.center[lane] = center
        chunk.pair[lane] = pair
        chunk.x[lane] = x
        chunk.y[lane] = y
        chunk.z[lane] = z
        chunk.r2[lane] = r2
        chunk.count = lane + 1


# Distances and directions; idle lanes repeat the first pair, and what they give is never used.
cdef inline void directions(Chunk* chunk, real_t* r, real_t* u, real_t* v, real_t* w) noexcept nogil:
    cdef lanes_t inverse
    cdef int lane
    for lane in range(chunk.count, LANES):
        chunk.x[lane] = chunk.x[0]
        chunk.y[lane] = chunk.y[0]
        chunk.z[lane] = chunk.z[0]
        chunk.r2[lane] = chunk.r2[0]
    for lane in range(LANES):
        r[lane] = sqrt(chunk.r2[lane])
    inverse = lanes_divide(lanes_fill(1.0), lanes_load(r))
    lanes_store(u, lanes_multiply(lanes_load(chunk.x), inverse))
    lanes_store(v, lanes_multiply(lanes_load(chunk.y), inverse))
    lanes_store(w, lanes_multiply(lanes_load(chunk.z), inverse))


# Cubic Hermite polynomials between the nodes of a table, LANES channels at a time; a table has a row beyond the cutoff
# and columns beyond the last channel.
cdef inline void spline_functions(
    bint gradients, const PoolingPlan* plan, int kind, const real_t* r, real_t* R, real_t* dR
) noexcept nogil:
    cdef real_t[LANES * LANES] values, slopes, across
    cdef real_t[LANES] t
    cdef Py_ssize_t[LANES] start
    cdef const real_t* node
    cdef lanes_t f, d, difference, a, b
    cdef Py_ssize_t width = LANES * ((plan.n_channels + LANES - 1) // LANES)
    cdef real_t density = plan.spline_density[kind]
    cdef int lane, block, q, k, last
    for lane in range(LANES):
        t[lane] = r[lane] * density
        start[lane] = 2 * width * (plan.spline_start[kind] + <Py_ssize_t> t[lane])
        t[lane] = t[lane] - <Py_ssize_t> t[lane]
    for block in range((plan.n_channels + LANES - 1) // LANES):
        q = block * LANES
        for lane in range(LANES):
            node = plan.splines + start[lane] + q
            f = lanes_load(node)
            d = lanes_load(node + width)
            difference = lanes_subtract(lanes_load(node + 2 * width), f)
            b = lanes_load(node + 3 * width)               # f(t) = f + t (d + t (a + t b))
            a = lanes_subtract(lanes_scale(3.0, difference), lanes_multiply_add(2.0, d, b))
            b = lanes_multiply_add(-2.0, difference, lanes_add(d, b))
            lanes_store(
                values + lane * LANES,
                lanes_multiply_add(t[lane], lanes_multiply_add(t[lane], lanes_multiply_add(t[lane], b, a), d), f),
            )
            if gradients:
                d = lanes_multiply_add(t[lane], lanes_multiply_add(3.0 * t[lane], b, lanes_scale(2.0, a)), d)
                lanes_store(slopes + lane * LANES, lanes_scale(density, d))
        last = min(LANES, plan.n_channels - q)
        lanes_transpose(values, LANES, across)
        for k in range(last):
            lanes_store(R + (q + k) * LANES, lanes_load(across + k * LANES))
        if gradients:
            lanes_transpose(slopes, LANES, across)
            for k in range(last):
                lanes_store(dR + (q + k) * LANES, lanes_load(across + k * LANES))


# R[q, lane], and with `gradients`, a constant, dR/dr; channels run over n within each grade.
cdef inline void radial_functions(
    bint gradients, const PoolingPlan* plan, const Pairs* pairs, const Chunk* chunk, const real_t* r, real_t* R,
    real_t* dR,
) noexcept nogil:
    cdef real_t[LANES] x, f, dx, df, power, dpower
    cdef const real_t* recurrence = plan.recurrence + chunk.kind * plan.n_radial * 3
    cdef int grade, lane, q, size
    if plan.has_table:
        for lane in range(chunk.count):
            for q in range(plan.n_channels):
                R[q * LANES + lane] = pairs.table[chunk.pair[lane] * plan.n_channels + q]
                if gradients:
                    dR[q * LANES + lane] = pairs.table_gradients[chunk.pair[lane] * plan.n_channels + q]
        return
    if plan.has_splines:
        spline_functions(gradients, plan, chunk.kind, r, R, dR)
        return
    radial_lanes(r, plan.radial_parameters + chunk.kind * N_RADIAL_PARAMETERS, x, f, dx, df)
    polynomial_lanes(gradients, x, f, dx, df, plan.grade_sizes[0], recurrence, R, dR)
    for lane in range(LANES):
        power[lane] = f[lane]
    for grade in range(1, plan.n_grades):
        R = R + LANES * plan.grade_sizes[grade - 1]
        dR = dR + LANES * plan.grade_sizes[grade - 1]
        size = plan.grade_sizes[grade]
        for lane in range(LANES):          # d(f^s) = s f^(s-1) df
            dpower[lane] = (grade + 1) * power[lane] * df[lane] if gradients else 0.0
            power[lane] = power[lane] * f[lane]
        if size > 0:
            polynomial_lanes(gradients, x, power, dx, dpower, size, plan.chebyshev, R, dR)


# Values of radial functions and harmonics of the pairs of a chunk, and where they are wanted derivatives
cdef void pair_functions(
    bint gradients, const PoolingPlan* plan, const Pairs* pairs, const Chunk* chunk, const real_t* r,
    const real_t* unit, const PairScratch* scratch
) noexcept nogil:
    cdef const real_t* v = unit + LANES
    cdef const real_t* w = unit + 2 * LANES
    if gradients:
        radial_functions(True, plan, pairs, chunk, r, scratch.R, scratch.dR)
        harmonics_lanes(True, unit, v, w, plan.lmax, plan.harmonics, scratch.Y, scratch.G)
    else:
        radial_functions(False, plan, pairs, chunk, r, scratch.R, scratch.dR)
        harmonics_lanes(False, unit, v, w, plan.lmax, plan.harmonics, scratch.Y, scratch.G)


# ṙ of the pairs of a chunk, velocity[a * LANES + lane]; zero in idle lanes
cdef inline void velocities(
    const Motion* motion, const offset_t* rows, const Chunk* chunk, real_t* velocity
) noexcept nogil:
    cdef const real_t* here
    cdef const real_t* there
    cdef const real_t* strain
    cdef int lane, a
    memset(velocity, 0, 3 * LANES * sizeof(real_t))
    for lane in range(chunk.count):
        here = motion.displacements + 3 * <Py_ssize_t> motion.centers[rows[chunk.center[lane]]]
        there = motion.displacements + 3 * <Py_ssize_t> motion.neighbors[chunk.pair[lane]]
        for a in range(3):
            strain = motion.strain + 3 * a
            velocity[a * LANES + lane] = there[a] - here[a] + (
                strain[0] * chunk.x[lane] + strain[1] * chunk.y[lane] + strain[2] * chunk.z[lane]
            )


# Ṙ = R' (r̂ · ṙ) in place of R', and Ẏ = G · ṙ / r
cdef inline void move_functions(
    const PoolingPlan* plan, const real_t* r, const real_t* unit, const real_t* velocity, const PairScratch* scratch
) noexcept nogil:
    cdef lanes_t x = lanes_load(velocity), y = lanes_load(velocity + LANES), z = lanes_load(velocity + 2 * LANES)
    cdef lanes_t inverse = lanes_divide(lanes_fill(1.0), lanes_load(r)), speed
    cdef Py_ssize_t i, size = <Py_ssize_t> plan.n_lm * LANES
    cdef const real_t* G
    speed = lanes_multiply(lanes_load(unit), x)
    speed = lanes_fused(lanes_load(unit + LANES), y, speed)
    speed = lanes_fused(lanes_load(unit + 2 * LANES), z, speed)
    for i in range(plan.n_channels):
        lanes_store(scratch.dR + i * LANES, lanes_multiply(lanes_load(scratch.dR + i * LANES), speed))
    x = lanes_multiply(x, inverse)
    y = lanes_multiply(y, inverse)
    z = lanes_multiply(z, inverse)
    for i in range(plan.n_lm):
        G = scratch.G + i * LANES
        speed = lanes_fused(lanes_load(G + size), y, lanes_multiply(lanes_load(G), x))
        lanes_store(scratch.dY + i * LANES, lanes_fused(lanes_load(G + 2 * size), z, speed))
