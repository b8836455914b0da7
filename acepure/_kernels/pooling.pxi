# From pairs to sums and back, for one block of LANES centers:
#
#   pool_block    pairs -> A          A_v = Σ_j R_q(r_j) Y_lm(r̂_j), and Ȧ along a motion of the atoms (pushforward.pxi)
#   pull_block    ∂E/∂A -> ∂E/∂r_ij
#
# Both visit the pairs of a block in the same way, LANES at a time, and compute R and Y anew: keeping them would cost
# memory that grows with the number of neighbors, and reading it back as long as computing.
from libc.math cimport sqrt
from libc.string cimport memcpy, memset

from acepure._kernels.harmonics cimport harmonics_gradients_lanes, harmonics_lanes
from acepure._kernels.lanes cimport (
    lanes_add,
    lanes_divide,
    lanes_fill,
    lanes_fused,
    lanes_load,
    lanes_multiply,
    lanes_multiply_add,
    lanes_scale,
    lanes_store,
    lanes_t,
    lanes_transpose,
    lanes_zero,
)
from acepure._kernels.radial cimport (
    N_RADIAL_PARAMETERS,
    polynomial_gradients_lanes,
    polynomial_lanes,
    radial_gradients_lanes,
    radial_lanes,
)
from acepure._kernels.types cimport LANES, index_t, offset_t, real_t


# Sizes and tables: pointers into the arrays that the `Pooling` object keeps alive.
cdef struct PoolingPlan:
    index_t n_species, lmax, n_lm, n_lm_blocks, n_channels, n_grades, n_radial, n_leaves
    bint has_table, has_shift
    Py_ssize_t pooled_size             # A of one center, padded
    const real_t* cutoff2              # (n_species * n_species,), Å²
    const real_t* harmonics            # recurrence coefficients
    const real_t* radial_parameters    # (n_species * n_species, N_RADIAL_PARAMETERS)
    const real_t* recurrence           # (n_species * n_species, n_radial, 3), grade 1
    const real_t* chebyshev            # (n, 3), higher grades
    const index_t* grade_sizes         # (n_grades,)
    const index_t* channel_start       # (n_species, n_channels)
    const index_t* channel_blocks      # (n_species, n_channels), 0 where a channel is unused
    const index_t* l_indptr            # (n_species, lmax + 2), into l_channels
    const index_t* l_channels          # channels that use a degree
    const index_t* leaf_position       # (n_leaves,)
    const real_t* shift                # (n_species, n_leaves)


# The pairs of a structure.
cdef struct Pairs:
    const offset_t* offsets            # (n_centers + 1,)
    const real_t* vectors              # (n_pairs, 3), Å
    const index_t* center_species      # (n_centers,)
    const index_t* pair_species        # (n_pairs,), sorted within each center
    const real_t* table                # (n_pairs, n_channels), or NULL
    const real_t* table_gradients      # the same, 1/Å


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


cdef Py_ssize_t pair_scratch_size(const PoolingPlan* plan) noexcept nogil:
    return LANES * (
        2 * plan.pooled_size + 2 * <Py_ssize_t> plan.n_channels + 3 * <Py_ssize_t> plan.n_lm
        + 4 * <Py_ssize_t> plan.n_lm_blocks * LANES
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


# R[q, lane]; channels run over n within each grade.
cdef void radial_channels(
    const PoolingPlan* plan, const Pairs* pairs, const Chunk* chunk, const real_t* r, real_t* R
) noexcept nogil:
    cdef real_t[LANES] x, f, power
    cdef int grade, lane, q
    if plan.has_table:
        for lane in range(chunk.count):
            for q in range(plan.n_channels):
                R[q * LANES + lane] = pairs.table[chunk.pair[lane] * plan.n_channels + q]
        return
    radial_lanes(r, plan.radial_parameters + chunk.kind * N_RADIAL_PARAMETERS, x, f)
    polynomial_lanes(x, f, plan.grade_sizes[0], plan.recurrence + chunk.kind * plan.n_radial * 3, R)
    for lane in range(LANES):
        power[lane] = f[lane]
    for grade in range(1, plan.n_grades):
        R = R + LANES * plan.grade_sizes[grade - 1]
        for lane in range(LANES):
            power[lane] = power[lane] * f[lane]
        if plan.grade_sizes[grade] > 0:
            polynomial_lanes(x, power, plan.grade_sizes[grade], plan.chebyshev, R)


# R[q, lane] and dR/dr
cdef void radial_channels_gradients(
    const PoolingPlan* plan, const Pairs* pairs, const Chunk* chunk, const real_t* r, real_t* R, real_t* dR
) noexcept nogil:
    cdef real_t[LANES] x, f, dx, df, power, dpower
    cdef int grade, lane, q
    if plan.has_table:
        for lane in range(chunk.count):
            for q in range(plan.n_channels):
                R[q * LANES + lane] = pairs.table[chunk.pair[lane] * plan.n_channels + q]
                dR[q * LANES + lane] = pairs.table_gradients[chunk.pair[lane] * plan.n_channels + q]
        return
    radial_gradients_lanes(r, plan.radial_parameters + chunk.kind * N_RADIAL_PARAMETERS, x, f, dx, df)
    polynomial_gradients_lanes(
        x, f, dx, df, plan.grade_sizes[0], plan.recurrence + chunk.kind * plan.n_radial * 3, R, dR
    )
    for lane in range(LANES):
        power[lane] = f[lane]
    for grade in range(1, plan.n_grades):
        R = R + LANES * plan.grade_sizes[grade - 1]
        dR = dR + LANES * plan.grade_sizes[grade - 1]
        for lane in range(LANES):          # d(f^s) = s f^(s-1) df
            dpower[lane] = (grade + 1) * power[lane] * df[lane]
            power[lane] = power[lane] * f[lane]
        if plan.grade_sizes[grade] > 0:
            polynomial_gradients_lanes(x, power, dx, dpower, plan.grade_sizes[grade], plan.chebyshev, R, dR)


# T[lane, lm] = Y[lm, lane]; the rows of Y beyond n_lm are zero
cdef inline void transpose_harmonics(const PoolingPlan* plan, const real_t* Y, real_t* T) noexcept nogil:
    cdef int block, width = plan.n_lm_blocks * LANES
    for block in range(plan.n_lm_blocks):
        lanes_transpose(Y + block * LANES * LANES, width, T + block * LANES)


# n blocks of harmonics of one channel: A[lm] += Σ_lane R[lane] T[lane, lm], first <= lane < last
cdef inline void pool_harmonics(
    int n, int first, int last, int width, const real_t* R, const real_t* T, real_t* A
) noexcept nogil:
    cdef lanes_t[4] total
    cdef int block, lane
    for block in range(n):
        total[block] = lanes_load(A + block * LANES)
    for lane in range(first, last):
        for block in range(n):
            total[block] = lanes_multiply_add(R[lane], lanes_load(T + lane * width + block * LANES), total[block])
    for block in range(n):
        lanes_store(A + block * LANES, total[block])


# The sums of one center over the pairs first <= lane < last
cdef inline void pool_center(
    const PoolingPlan* plan, int z, int first, int last, const real_t* R, const real_t* T, real_t* A
) noexcept nogil:
    cdef const index_t* start = plan.channel_start + z * plan.n_channels
    cdef const index_t* n_blocks = plan.channel_blocks + z * plan.n_channels
    cdef int q, block, end, width = plan.n_lm_blocks * LANES
    for q in range(plan.n_channels):
        block = 0
        end = n_blocks[q]
        while block + 4 <= end:            # fixed lengths, so that the sums stay in registers
            pool_harmonics(4, first, last, width, R + q * LANES, T + block * LANES, A + start[q] + block * LANES)
            block = block + 4
        if end - block == 3:
            pool_harmonics(3, first, last, width, R + q * LANES, T + block * LANES, A + start[q] + block * LANES)
        elif end - block == 2:
            pool_harmonics(2, first, last, width, R + q * LANES, T + block * LANES, A + start[q] + block * LANES)
        elif end - block == 1:
            pool_harmonics(1, first, last, width, R + q * LANES, T + block * LANES, A + start[q] + block * LANES)


cdef void pool_chunk(
    const PoolingPlan* plan, const Pairs* pairs, Chunk* chunk, const PairScratch* scratch
) noexcept nogil:
    cdef real_t[LANES] r, u, v, w
    cdef int lane, first = 0
    directions(chunk, r, u, v, w)
    radial_channels(plan, pairs, chunk, r, scratch.R)
    harmonics_lanes(u, v, w, plan.lmax, plan.harmonics, scratch.Y)
    transpose_harmonics(plan, scratch.Y, scratch.T)
    for lane in range(1, chunk.count + 1):
        if lane == chunk.count or chunk.center[lane] != chunk.center[first]:
            pool_center(
                plan, chunk.kind % plan.n_species, first, lane, scratch.R, scratch.T,
                scratch.pooled + chunk.center[first] * plan.pooled_size,
            )
            first = lane
    chunk.count = 0


# One chunk: A, or A and Ȧ
cdef inline void flush(
    const PoolingPlan* plan, const Pairs* pairs, const Motion* motion, const offset_t* rows, Chunk* chunk,
    const PairScratch* scratch,
) noexcept nogil:
    if motion == NULL:
        pool_chunk(plan, pairs, chunk, scratch)
    else:
        push_chunk(plan, pairs, motion, rows, chunk, scratch)


# nodes[leaf * LANES + center] from the sums of each center
cdef inline void gather_leaves(const PoolingPlan* plan, const real_t* pooled, real_t* nodes) noexcept nogil:
    cdef Py_ssize_t i
    cdef int c
    for i in range(plan.n_leaves):
        for c in range(LANES):
            nodes[i * LANES + c] = pooled[c * plan.pooled_size + plan.leaf_position[i]]


# A of up to LANES centers into nodes[leaf * LANES + center], shifted by μ; Ȧ into tangents, where there is a motion.
cdef void pool_block(
    const PoolingPlan* plan, const Pairs* pairs, const Motion* motion, int count, const offset_t* rows,
    const PairScratch* scratch, real_t* nodes, real_t* tangents,
) noexcept nogil:
    cdef Chunk chunk
    cdef offset_t[LANES] cursor
    cdef Py_ssize_t i, padding = (<Py_ssize_t> plan.n_lm_blocks * LANES - plan.n_lm) * LANES * sizeof(real_t)
    cdef int c, z, kind
    cdef const real_t* shift
    memset(scratch.pooled, 0, LANES * plan.pooled_size * sizeof(real_t))
    memset(scratch.Y + plan.n_lm * LANES, 0, padding)
    if motion != NULL:
        memset(scratch.moving, 0, LANES * plan.pooled_size * sizeof(real_t))
        memset(scratch.dY + plan.n_lm * LANES, 0, padding)
    chunk.count = 0
    for c in range(count):
        cursor[c] = pairs.offsets[rows[c]]
    for z in range(plan.n_species):
        for c in range(count):
            kind = pairs.center_species[rows[c]] * plan.n_species + z
            if chunk.count > 0 and chunk.kind != kind:
                flush(plan, pairs, motion, rows, &chunk, scratch)
            while cursor[c] < pairs.offsets[rows[c] + 1] and pairs.pair_species[cursor[c]] == z:
                append(plan, pairs, &chunk, kind, c, cursor[c])
                cursor[c] = cursor[c] + 1
                if chunk.count == LANES:
                    flush(plan, pairs, motion, rows, &chunk, scratch)
    if chunk.count > 0:
        flush(plan, pairs, motion, rows, &chunk, scratch)
    gather_leaves(plan, scratch.pooled, nodes)
    if plan.has_shift:                     # Ã = A − μ
        for c in range(count):
            shift = plan.shift + pairs.center_species[rows[c]] * <Py_ssize_t> plan.n_leaves
            for i in range(plan.n_leaves):
                nodes[i * LANES + c] = nodes[i * LANES + c] - shift[i]
    if motion != NULL:
        gather_leaves(plan, scratch.moving, tangents)


# Harmonics lm..lm + n of one l: adds Σ_m of the terms of ∂E/∂r_ij along r and across it.
cdef inline void pull_harmonics(
    int n, int lm, int n_lm, const index_t* channels, int n_channels, const index_t* start, const real_t* adjoint,
    const real_t* R, const real_t* dR, const real_t* Y, const real_t* G, lanes_t* sums,
) noexcept nogil:
    cdef lanes_t[4] value, slope
    cdef lanes_t here, there
    cdef int k, q, m
    cdef const real_t* a
    for m in range(n):
        value[m] = slope[m] = lanes_zero()
    for k in range(n_channels):
        q = channels[k]
        a = adjoint + start[q] + lm
        here = lanes_load(R + q * LANES)
        there = lanes_load(dR + q * LANES)
        for m in range(n):
            value[m] = lanes_multiply_add(a[m], here, value[m])
            slope[m] = lanes_multiply_add(a[m], there, slope[m])
    for m in range(n):
        sums[0] = lanes_fused(slope[m], lanes_load(Y + (lm + m) * LANES), sums[0])
        sums[1] = lanes_fused(value[m], lanes_load(G + (lm + m) * LANES), sums[1])
        sums[2] = lanes_fused(value[m], lanes_load(G + (n_lm + lm + m) * LANES), sums[2])
        sums[3] = lanes_fused(value[m], lanes_load(G + (2 * n_lm + lm + m) * LANES), sums[3])


# ∂E/∂r_ij = Σ_{q,lm} ∂E/∂A_qlm ( R'_q Y_lm r̂ + R_q G_lm / r ) of the pairs of one center, with adjoint = ∂E/∂A
cdef void pull_chunk(
    const PoolingPlan* plan, const Pairs* pairs, Chunk* chunk, const real_t* adjoint, const PairScratch* scratch,
    real_t* gradients,
) noexcept nogil:
    cdef real_t[LANES] r, u, v, w, along, gx, gy, gz
    cdef lanes_t[4] sums
    cdef const index_t* start = plan.channel_start + (chunk.kind % plan.n_species) * plan.n_channels
    cdef const index_t* indptr = plan.l_indptr + (chunk.kind % plan.n_species) * (plan.lmax + 2)
    cdef const index_t* channels
    cdef int l, lm, end, n_channels, lane
    directions(chunk, r, u, v, w)
    radial_channels_gradients(plan, pairs, chunk, r, scratch.R, scratch.dR)
    harmonics_gradients_lanes(u, v, w, plan.lmax, plan.harmonics, scratch.Y, scratch.G)
    for lane in range(4):
        sums[lane] = lanes_zero()
    for l in range(plan.lmax + 1):
        channels = plan.l_channels + indptr[l]
        n_channels = indptr[l + 1] - indptr[l]
        if n_channels == 0:
            continue
        lm = l * l
        end = (l + 1) * (l + 1)
        while lm + 4 <= end:               # fixed lengths, so that the sums stay in registers
            pull_harmonics(
                4, lm, plan.n_lm, channels, n_channels, start, adjoint, scratch.R, scratch.dR, scratch.Y, scratch.G,
                sums,
            )
            lm = lm + 4
        if end - lm == 3:
            pull_harmonics(
                3, lm, plan.n_lm, channels, n_channels, start, adjoint, scratch.R, scratch.dR, scratch.Y, scratch.G,
                sums,
            )
        elif end - lm == 1:                # 2l + 1 is odd
            pull_harmonics(
                1, lm, plan.n_lm, channels, n_channels, start, adjoint, scratch.R, scratch.dR, scratch.Y, scratch.G,
                sums,
            )
    lanes_store(along, sums[0])
    lanes_store(gx, sums[1])
    lanes_store(gy, sums[2])
    lanes_store(gz, sums[3])
    for lane in range(chunk.count):
        gradients[3 * chunk.pair[lane]] = along[lane] * u[lane] + gx[lane] / r[lane]
        gradients[3 * chunk.pair[lane] + 1] = along[lane] * v[lane] + gy[lane] / r[lane]
        gradients[3 * chunk.pair[lane] + 2] = along[lane] * w[lane] + gz[lane] / r[lane]
    chunk.count = 0


# gradients[pair] = ∂E_i/∂r_ij of up to LANES centers from adjoints[leaf * LANES + center] = ∂E_i/∂A
cdef void pull_block(
    const PoolingPlan* plan, const Pairs* pairs, int count, const offset_t* rows, const real_t* adjoints,
    const PairScratch* scratch, real_t* gradients,
) noexcept nogil:
    cdef Chunk chunk
    cdef Py_ssize_t i, pair, end
    cdef int c, z
    cdef real_t* adjoint
    chunk.count = 0
    for i in range(plan.n_leaves):
        for c in range(count):
            scratch.pooled[c * plan.pooled_size + plan.leaf_position[i]] = adjoints[i * LANES + c]
    for c in range(count):
        adjoint = scratch.pooled + c * plan.pooled_size
        pair = pairs.offsets[rows[c]]
        end = pairs.offsets[rows[c] + 1]
        for i in range(3 * pair, 3 * end):
            gradients[i] = 0.0
        while pair < end:
            z = pairs.pair_species[pair]
            while pair < end and pairs.pair_species[pair] == z and chunk.count < LANES:
                append(plan, pairs, &chunk, pairs.center_species[rows[c]] * plan.n_species + z, c, pair)
                pair = pair + 1
            if chunk.count > 0:
                pull_chunk(plan, pairs, &chunk, adjoint, scratch, gradients)


cdef class Pooling:
    """Tables of the sums A of one basis, shared by the evaluators; read-only."""

    cdef PoolingPlan plan
    cdef tuple keep_alive

    def __init__(
        self,
        int n_species,
        int lmax,
        const real_t[:, ::1] cutoffs,
        const real_t[::1] harmonics,
        const real_t[:, ::1] radial_parameters,
        const real_t[:, :, ::1] recurrence,
        const real_t[:, ::1] chebyshev,
        const index_t[::1] grade_sizes,
        const index_t[:, ::1] channel_start,
        const index_t[:, ::1] channel_blocks,
        const index_t[:, ::1] l_indptr,
        const index_t[::1] l_channels,
        Py_ssize_t pooled_size,
        const index_t[::1] leaf_position,
        const real_t[:, ::1] shift,
    ):
        cdef real_t[:, ::1] cutoff2 = cutoffs.copy()
        cdef Py_ssize_t i, j
        cdef PoolingPlan plan
        for i in range(n_species):
            for j in range(n_species):
                cutoff2[i, j] = cutoffs[i, j] * cutoffs[i, j]
        plan.n_species = n_species
        plan.lmax = lmax
        plan.n_lm = (lmax + 1) * (lmax + 1)
        plan.n_lm_blocks = (plan.n_lm + LANES - 1) // LANES
        plan.n_channels = channel_start.shape[1]
        plan.n_grades = grade_sizes.shape[0]
        plan.n_radial = recurrence.shape[1]
        plan.n_leaves = leaf_position.shape[0]
        plan.has_table = radial_parameters.shape[0] == 0
        plan.has_shift = shift.shape[0] > 0
        plan.pooled_size = pooled_size
        plan.cutoff2 = &cutoff2[0, 0]
        plan.harmonics = &harmonics[0]
        plan.radial_parameters = NULL if plan.has_table else &radial_parameters[0, 0]
        plan.recurrence = NULL if plan.has_table else &recurrence[0, 0, 0]
        plan.chebyshev = NULL if plan.has_table else &chebyshev[0, 0]
        plan.grade_sizes = NULL if plan.has_table else &grade_sizes[0]
        plan.channel_start = &channel_start[0, 0]
        plan.channel_blocks = &channel_blocks[0, 0]
        plan.l_indptr = &l_indptr[0, 0]
        plan.l_channels = &l_channels[0]
        plan.leaf_position = &leaf_position[0]
        plan.shift = &shift[0, 0] if plan.has_shift else NULL
        self.plan = plan
        self.keep_alive = (
            cutoff2, harmonics, radial_parameters, recurrence, chebyshev, grade_sizes, channel_start, channel_blocks,
            l_indptr, l_channels, leaf_position, shift,
        )


cdef Pairs pairs_of(
    const offset_t[::1] offsets, const real_t[:, ::1] vectors, const index_t[::1] center_species,
    const index_t[::1] pair_species, const real_t[:, ::1] table, const real_t[:, ::1] table_gradients,
):
    cdef Pairs pairs
    pairs.offsets = &offsets[0]
    pairs.vectors = &vectors[0, 0] if vectors.shape[0] > 0 else NULL
    pairs.center_species = &center_species[0]
    pairs.pair_species = &pair_species[0] if pair_species.shape[0] > 0 else NULL
    pairs.table = &table[0, 0] if table.shape[0] > 0 else NULL
    pairs.table_gradients = &table_gradients[0, 0] if table_gradients.shape[0] > 0 else NULL
    return pairs
