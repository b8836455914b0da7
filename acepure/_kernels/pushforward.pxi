# Derivatives along one motion of all atoms, forward, with the values: Jacobian-vector products.
#
#   ṙ_ij = w_j − w_i + ε r_ij,      Ȧ_v = Σ_j R'_q (r̂ · ṙ) Y_lm + R_q G_lm · ṙ / r
#   (N_l N_r)˙ = N_l Ṅ_r + N_r Ṅ_l,      Ḃ = P_B (C_ext AA_ext)˙
#
# LANES centers side by side, as the values are. Cost: 3 multiplications per product and 5 per entry of C, in place of
# 1 and 2; per pair 3 sums in place of 1, and the gradients of radial functions and harmonics.


# How the pairs move.
cdef struct Motion:
    const index_t* centers             # (n_centers,), atoms
    const index_t* neighbors           # (n_pairs,), atoms
    const real_t* displacements        # w, (n_atoms, 3), Å
    real_t[9] strain                   # ε


cdef Motion motion_of(
    const index_t[::1] centers, const index_t[::1] neighbors, const real_t[:, ::1] displacements,
    const real_t[:, ::1] strain,
):
    cdef Motion motion
    cdef int a
    motion.centers = &centers[0]
    motion.neighbors = &neighbors[0] if neighbors.shape[0] > 0 else NULL
    motion.displacements = &displacements[0, 0]
    for a in range(9):
        motion.strain[a] = strain[a // 3, a % 3]
    return motion


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


# n blocks of harmonics of one channel: A[lm] += Σ R T and Ȧ[lm] += Σ Ṙ T + R Ṫ, first <= lane < last
cdef inline void push_harmonics(
    int n, int first, int last, int width, const real_t* R, const real_t* dR, const real_t* T, const real_t* dT,
    real_t* A, real_t* dA,
) noexcept nogil:
    cdef lanes_t[4] total, moving
    cdef lanes_t value
    cdef int block, lane
    for block in range(n):
        total[block] = lanes_load(A + block * LANES)
        moving[block] = lanes_load(dA + block * LANES)
    for lane in range(first, last):
        for block in range(n):
            value = lanes_load(T + lane * width + block * LANES)
            total[block] = lanes_multiply_add(R[lane], value, total[block])
            moving[block] = lanes_multiply_add(dR[lane], value, moving[block])
            moving[block] = lanes_multiply_add(R[lane], lanes_load(dT + lane * width + block * LANES), moving[block])
    for block in range(n):
        lanes_store(A + block * LANES, total[block])
        lanes_store(dA + block * LANES, moving[block])


# The sums of one center over the pairs first <= lane < last, and their derivatives
cdef inline void push_center(
    const PoolingPlan* plan, int z, int first, int last, const PairScratch* scratch, real_t* A, real_t* dA
) noexcept nogil:
    cdef const index_t* start = plan.channel_start + z * plan.n_channels
    cdef const index_t* n_blocks = plan.channel_blocks + z * plan.n_channels
    cdef int q, block, end, at, width = plan.n_lm_blocks * LANES
    cdef const real_t* R
    cdef const real_t* dR
    for q in range(plan.n_channels):
        R = scratch.R + q * LANES
        dR = scratch.dR + q * LANES
        block = 0
        end = n_blocks[q]
        while block < end:                 # fixed lengths, so that the sums stay in registers
            at = start[q] + block * LANES
            if end - block >= 4:
                push_harmonics(
                    4, first, last, width, R, dR, scratch.T + block * LANES, scratch.dT + block * LANES, A + at, dA + at
                )
                block = block + 4
            elif end - block >= 2:
                push_harmonics(
                    2, first, last, width, R, dR, scratch.T + block * LANES, scratch.dT + block * LANES, A + at, dA + at
                )
                block = block + 2
            else:
                push_harmonics(
                    1, first, last, width, R, dR, scratch.T + block * LANES, scratch.dT + block * LANES, A + at, dA + at
                )
                block = block + 1


cdef void push_chunk(
    const PoolingPlan* plan, const Pairs* pairs, const Motion* motion, const offset_t* rows, Chunk* chunk,
    const PairScratch* scratch,
) noexcept nogil:
    cdef real_t[LANES] r
    cdef real_t[3 * LANES] unit, velocity
    cdef int lane, first = 0
    cdef Py_ssize_t at
    directions(chunk, r, unit, unit + LANES, unit + 2 * LANES)
    velocities(motion, rows, chunk, velocity)
    radial_channels_gradients(plan, pairs, chunk, r, scratch.R, scratch.dR)
    harmonics_gradients_lanes(
        unit, unit + LANES, unit + 2 * LANES, plan.lmax, plan.harmonics, scratch.Y, scratch.G
    )
    move_functions(plan, r, unit, velocity, scratch)
    transpose_harmonics(plan, scratch.Y, scratch.T)
    transpose_harmonics(plan, scratch.dY, scratch.dT)
    for lane in range(1, chunk.count + 1):
        if lane == chunk.count or chunk.center[lane] != chunk.center[first]:
            at = chunk.center[first] * plan.pooled_size
            push_center(
                plan, chunk.kind % plan.n_species, first, lane, scratch, scratch.pooled + at, scratch.moving + at
            )
            first = lane
    chunk.count = 0


# From the leaves and their tangents to the features and theirs
cdef inline void contract_moving(
    const FeaturePlan* plan, Py_ssize_t n_leaves, const FeatureScratch* here, const FeatureScratch* moving
) noexcept nogil:
    cdef bint purify = plan.has_purification
    cdef int c
    for c in range(LANES):
        here.nodes[n_leaves * LANES + c] = 1.0
        moving.nodes[n_leaves * LANES + c] = 0.0
    multiply_moving_nodes(plan.n_products, plan.left, plan.right, n_leaves + 1, here.nodes, moving.nodes)
    sparse_apply_moving_products(
        plan.n_rows, plan.symmetrize_indptr, plan.symmetrize_left, plan.symmetrize_right, plan.symmetrize_data,
        here.nodes, moving.nodes, here.invariants if purify else here.features,
        moving.invariants if purify else moving.features,
    )
    if purify:
        sparse_apply(
            plan.n_features, plan.purify_indptr, plan.purify_indices, plan.purify_data, here.invariants, here.features
        )
        sparse_apply(
            plan.n_features, plan.purify_indptr, plan.purify_indices, plan.purify_data, moving.invariants,
            moving.features,
        )


cdef void pushforward_block(
    const PoolingPlan* pooling, const FeaturePlan* plan, const Pairs* pairs, const Motion* motion, int count,
    const offset_t* rows, const offset_t* targets, real_t* memory, real_t* out, real_t* derivatives,
) noexcept nogil:
    cdef FeatureScratch here = feature_scratch_at(plan, pooling.n_leaves, memory)
    cdef FeatureScratch moving = feature_scratch_at(plan, pooling.n_leaves, here.end)
    cdef PairScratch scratch = pair_scratch_at(pooling, moving.end)
    pool_block(pooling, pairs, motion, count, rows, &scratch, here.nodes, moving.nodes)
    contract_moving(plan, pooling.n_leaves, &here, &moving)
    write_features(plan.n_features, count, targets, here.features, out)
    write_features(plan.n_features, count, targets, moving.features, derivatives)
