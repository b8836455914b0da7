# From pairs to sums and back, for one block of LANES centers:
#
#   pool_block    pairs -> A          A_v = Σ_j R_q(r_j) Y_lm(r̂_j), and Ȧ along a motion of the atoms
#   pull_block    ∂E/∂A -> ∂E/∂r_ij
#
# Both visit the pairs of a block in the same way, LANES at a time, and compute R and Y anew: keeping them would cost
# memory that grows with the number of neighbors, and reading it back as long as computing.


# T[lane, lm] = Y[lm, lane]; the rows of Y beyond n_lm are zero
cdef inline void transpose_harmonics(const PoolingPlan* plan, const real_t* Y, real_t* T) noexcept nogil:
    cdef int block, width = plan.n_lm_blocks * LANES
    for block in range(plan.n_lm_blocks):
        lanes_transpose(Y + block * LANES * LANES, width, T + block * LANES)


# n blocks of harmonics of one channel, over the pairs first <= lane < last: A[lm] += Σ R T, and with `moving`
# Ȧ[lm] += Σ Ṙ T + R Ṫ; `at` is where they are in T, Ṫ, A and Ȧ
cdef inline void pool_harmonics(
    bint moving, int n, int first, int last, int width, const real_t* R, const real_t* dR, const real_t* T,
    const real_t* dT, real_t* A, real_t* dA,
) noexcept nogil:
    cdef lanes_t[4] total, change
    cdef lanes_t value
    cdef int block, lane
    for block in range(n):
        total[block] = lanes_load(A + block * LANES)
        change[block] = lanes_load(dA + block * LANES) if moving else lanes_zero()
    for lane in range(first, last):
        for block in range(n):
            value = lanes_load(T + lane * width + block * LANES)
            total[block] = lanes_multiply_add(R[lane], value, total[block])
            if moving:
                change[block] = lanes_multiply_add(dR[lane], value, change[block])
                value = lanes_load(dT + lane * width + block * LANES)
                change[block] = lanes_multiply_add(R[lane], value, change[block])
    for block in range(n):
        lanes_store(A + block * LANES, total[block])
        if moving:
            lanes_store(dA + block * LANES, change[block])


# The sums of one center over the pairs first <= lane < last
cdef inline void pool_center(
    bint moving, const PoolingPlan* plan, int z, int first, int last, const PairScratch* scratch, real_t* A, real_t* dA
) noexcept nogil:
    cdef const index_t* start = plan.channel_start + z * plan.n_channels
    cdef const index_t* n_blocks = plan.channel_blocks + z * plan.n_channels
    cdef const real_t* T = scratch.T
    cdef const real_t* dT = scratch.dT
    cdef const real_t* R
    cdef const real_t* dR
    cdef int q, left, at, width = plan.n_lm_blocks * LANES
    for q in range(plan.n_channels):
        R = scratch.R + q * LANES
        dR = scratch.dR + q * LANES
        at = 0
        left = n_blocks[q]
        while left > 0:                    # fixed lengths, so that the sums stay in registers
            if left >= 4:
                pool_harmonics(
                    moving, 4, first, last, width, R, dR, T + at, dT + at, A + start[q] + at, dA + start[q] + at
                )
            elif left == 3:
                pool_harmonics(
                    moving, 3, first, last, width, R, dR, T + at, dT + at, A + start[q] + at, dA + start[q] + at
                )
            elif left == 2:
                pool_harmonics(
                    moving, 2, first, last, width, R, dR, T + at, dT + at, A + start[q] + at, dA + start[q] + at
                )
            else:
                pool_harmonics(
                    moving, 1, first, last, width, R, dR, T + at, dT + at, A + start[q] + at, dA + start[q] + at
                )
            at = at + 4 * LANES
            left = left - 4


# One chunk: A, or A and Ȧ
cdef inline void pool_chunk(
    bint moving, const PoolingPlan* plan, const Pairs* pairs, const Motion* motion, const offset_t* rows, Chunk* chunk,
    const PairScratch* scratch,
) noexcept nogil:
    cdef real_t[LANES] r
    cdef real_t[3 * LANES] unit, velocity
    cdef int lane, first = 0
    cdef Py_ssize_t at
    directions(chunk, r, unit, unit + LANES, unit + 2 * LANES)
    pair_functions(moving, plan, pairs, chunk, r, unit, scratch)
    if moving:
        velocities(motion, rows, chunk, velocity)
        move_functions(plan, r, unit, velocity, scratch)
        transpose_harmonics(plan, scratch.dY, scratch.dT)
    transpose_harmonics(plan, scratch.Y, scratch.T)
    for lane in range(1, chunk.count + 1):
        if lane == chunk.count or chunk.center[lane] != chunk.center[first]:
            at = chunk.center[first] * plan.pooled_size
            pool_center(
                moving, plan, chunk.kind % plan.n_species, first, lane, scratch, scratch.pooled + at,
                scratch.moving + at,
            )
            first = lane
    chunk.count = 0


cdef void flush(
    const PoolingPlan* plan, const Pairs* pairs, const Motion* motion, const offset_t* rows, Chunk* chunk,
    const PairScratch* scratch,
) noexcept nogil:
    if motion == NULL:
        pool_chunk(False, plan, pairs, motion, rows, chunk, scratch)
    else:
        pool_chunk(True, plan, pairs, motion, rows, chunk, scratch)


# nodes[leaf * LANES + center] from the sums of each center
cdef inline void gather_leaves(const PoolingPlan* plan, const real_t* pooled, real_t* nodes) noexcept nogil:
    cdef Py_ssize_t i
    cdef int c
    for i in range(plan.n_leaves):
        for c in range(LANES):
            nodes[i * LANES + c] = pooled[c * plan.pooled_size + plan.leaf_position[i]]


# Weights of the channels in radial functions, for centers of a species and the neighbors of a leaf
cdef inline const real_t* mixing_of(const PoolingPlan* plan, Py_ssize_t center, Py_ssize_t leaf) noexcept nogil:
    return plan.mixing + (center * plan.n_species + plan.leaf_species[leaf]) * plan.n_mixing


# The same where radial functions are combinations of channels: A = W A0
cdef void mix_leaves(
    const PoolingPlan* plan, const Pairs* pairs, int count, const offset_t* rows, const real_t* pooled, real_t* nodes
) noexcept nogil:
    cdef const index_t* start
    cdef const real_t* W
    cdef const real_t* sums
    cdef Py_ssize_t i, k, f
    cdef real_t total
    cdef int c
    memset(nodes, 0, plan.n_leaves * LANES * sizeof(real_t))
    for c in range(count):
        for i in range(plan.n_leaves):
            f = plan.leaf_channel[i]
            start = plan.channel_start + <Py_ssize_t> plan.leaf_species[i] * plan.n_channels
            W = mixing_of(plan, pairs.center_species[rows[c]], i)
            sums = pooled + c * plan.pooled_size + plan.leaf_lm[i]
            total = 0.0
            for k in range(plan.mix_indptr[f], plan.mix_indptr[f + 1]):
                total = total + W[k] * sums[start[plan.mix_channels[k]]]
            nodes[i * LANES + c] = total


# Its transpose: ∂E/∂A0 = Wᵀ ∂E/∂A, into the sums of each center
cdef void unmix_leaves(
    const PoolingPlan* plan, const Pairs* pairs, int count, const offset_t* rows, const real_t* adjoints, real_t* pooled
) noexcept nogil:
    cdef const index_t* start
    cdef const real_t* W
    cdef real_t* sums
    cdef Py_ssize_t i, k, f
    cdef int c
    memset(pooled, 0, LANES * plan.pooled_size * sizeof(real_t))
    for c in range(count):
        for i in range(plan.n_leaves):
            f = plan.leaf_channel[i]
            start = plan.channel_start + <Py_ssize_t> plan.leaf_species[i] * plan.n_channels
            W = mixing_of(plan, pairs.center_species[rows[c]], i)
            sums = pooled + c * plan.pooled_size + plan.leaf_lm[i]
            for k in range(plan.mix_indptr[f], plan.mix_indptr[f + 1]):
                sums[start[plan.mix_channels[k]]] += W[k] * adjoints[i * LANES + c]


# The same combinations of R and dR for pairs of one kind
cdef void mix_channels(const PoolingPlan* plan, int kind, const PairScratch* scratch) noexcept nogil:
    cdef const real_t* W = plan.mixing + <Py_ssize_t> kind * plan.n_mixing
    cdef lanes_t value, slope
    cdef Py_ssize_t f, k, q
    for f in range(plan.n_mixed):
        value = slope = lanes_zero()
        for k in range(plan.mix_indptr[f], plan.mix_indptr[f + 1]):
            q = plan.mix_channels[k]
            value = lanes_multiply_add(W[k], lanes_load(scratch.R + q * LANES), value)
            slope = lanes_multiply_add(W[k], lanes_load(scratch.dR + q * LANES), slope)
        lanes_store(scratch.mixed + f * LANES, value)
        lanes_store(scratch.dmixed + f * LANES, slope)


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
    chunk.count = chunk.kind = 0
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
    if plan.n_mixed > 0:
        mix_leaves(plan, pairs, count, rows, scratch.pooled, nodes)
    else:
        gather_leaves(plan, scratch.pooled, nodes)
    if plan.has_shift:                     # Ã = A − μ
        for c in range(count):
            shift = plan.shift + pairs.center_species[rows[c]] * <Py_ssize_t> plan.n_leaves
            for i in range(plan.n_leaves):
                nodes[i * LANES + c] = nodes[i * LANES + c] - shift[i]
    if motion != NULL and plan.n_mixed > 0:
        mix_leaves(plan, pairs, count, rows, scratch.moving, tangents)
    elif motion != NULL:
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
    cdef real_t[LANES] r, along, gx, gy, gz
    cdef real_t[3 * LANES] unit
    cdef lanes_t[4] sums
    cdef const index_t* start = plan.channel_start + (chunk.kind % plan.n_species) * plan.n_channels
    cdef const index_t* indptr = plan.l_indptr + (chunk.kind % plan.n_species) * (plan.lmax + 2)
    cdef const index_t* channels
    cdef int l, lm, end, n_channels, lane
    directions(chunk, r, unit, unit + LANES, unit + 2 * LANES)
    pair_functions(True, plan, pairs, chunk, r, unit, scratch)
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
        gradients[3 * chunk.pair[lane]] = along[lane] * unit[lane] + gx[lane] / r[lane]
        gradients[3 * chunk.pair[lane] + 1] = along[lane] * unit[LANES + lane] + gy[lane] / r[lane]
        gradients[3 * chunk.pair[lane] + 2] = along[lane] * unit[2 * LANES + lane] + gz[lane] / r[lane]
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
    if plan.n_mixed > 0:
        unmix_leaves(plan, pairs, count, rows, adjoints, scratch.pooled)
    else:
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
        const real_t[:, ::1] splines,
        const offset_t[::1] spline_start,
        const real_t[::1] spline_density,
        const index_t[:, ::1] channel_start,
        const index_t[:, ::1] channel_blocks,
        const index_t[:, ::1] l_indptr,
        const index_t[::1] l_channels,
        Py_ssize_t pooled_size,
        const index_t[::1] leaf_position,
        const index_t[::1] leaf_channel,
        const index_t[::1] leaf_lm,
        const index_t[::1] leaf_species,
        const real_t[:, ::1] shift,
        const index_t[::1] mix_indptr,
        const index_t[::1] mix_channels,
        const real_t[:, ::1] mixing,
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
        plan.has_splines = spline_density.shape[0] > 0
        plan.has_table = radial_parameters.shape[0] == 0 and not plan.has_splines
        plan.has_shift = shift.shape[0] > 0
        plan.pooled_size = pooled_size
        plan.cutoff2 = &cutoff2[0, 0]
        plan.harmonics = &harmonics[0]
        plan.radial_parameters = rows_of_reals(radial_parameters)
        plan.recurrence = &recurrence[0, 0, 0] if recurrence.shape[0] > 0 else NULL
        plan.chebyshev = rows_of_reals(chebyshev)
        plan.grade_sizes = indices_of(grade_sizes)
        plan.splines = rows_of_reals(splines)
        plan.spline_start = offsets_of(spline_start)
        plan.spline_density = reals(spline_density)
        plan.channel_start = &channel_start[0, 0]
        plan.channel_blocks = &channel_blocks[0, 0]
        plan.l_indptr = &l_indptr[0, 0]
        plan.l_channels = &l_channels[0]
        plan.leaf_position = &leaf_position[0]
        plan.leaf_channel = &leaf_channel[0]
        plan.leaf_lm = &leaf_lm[0]
        plan.leaf_species = &leaf_species[0]
        plan.shift = &shift[0, 0] if plan.has_shift else NULL
        plan.n_mixed = mix_indptr.shape[0] - 1
        plan.n_mixing = mix_channels.shape[0]
        plan.mix_indptr = &mix_indptr[0]
        plan.mix_channels = &mix_channels[0] if plan.n_mixing > 0 else NULL
        plan.mixing = &mixing[0, 0] if plan.n_mixing > 0 else NULL
        self.plan = plan
        self.keep_alive = (
            cutoff2, harmonics, radial_parameters, recurrence, chebyshev, grade_sizes, splines, spline_start,
            spline_density, channel_start, channel_blocks, l_indptr, l_channels, leaf_position, leaf_channel, leaf_lm,
            leaf_species, shift, mix_indptr, mix_channels, mixing,
        )
