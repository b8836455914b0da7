# Jacobians of features with respect to pair vectors, forward: the tangents of LANES pairs of one center run side by
# side through the products and the sparse operators, one direction at a time.
#
#   Ȧ_v = R'_q Y_lm r̂_a + R_q G_lm,a / r,      (N_l N_r)˙ = N_r Ṅ_l + N_l Ṅ_r,      Ḃ = P_B C_ext Ṅ
#
# Cost per pair and direction: 2 fused multiplications per product, 1 per entry of the operators.


# tangents of A along direction a for the pairs of a chunk; leaves of other species stay zero
cdef void tangent_leaves(
    const PoolingPlan* plan, int z, int a, const index_t* leaf_channel, const index_t* leaf_lm,
    const index_t* leaf_species, const real_t* unit, const real_t* inverse, const PairScratch* scratch,
    real_t* tangents,
) noexcept nogil:
    cdef lanes_t direction = lanes_load(unit), per_r = lanes_load(inverse), across, along
    cdef Py_ssize_t i, q, lm
    for i in range(plan.n_leaves):
        if leaf_species[i] != z:
            lanes_store(tangents + i * LANES, lanes_zero())
            continue
        q = leaf_channel[i]
        lm = leaf_lm[i]
        along = lanes_multiply(lanes_load(scratch.dR + q * LANES), direction)
        along = lanes_multiply(along, lanes_load(scratch.Y + lm * LANES))
        across = lanes_multiply(per_r, lanes_load(scratch.G + (a * plan.n_lm + lm) * LANES))
        lanes_store(tangents + i * LANES, lanes_fused(lanes_load(scratch.R + q * LANES), across, along))


# tangents of products, with the values of one center at nodes[k * LANES + c]
cdef void tangent_products(
    Py_ssize_t n, const index_t* left, const index_t* right, Py_ssize_t first, const real_t* values, real_t* tangents
) noexcept nogil:
    cdef Py_ssize_t i, l, r
    for i in range(n):
        l = <Py_ssize_t> left[i] * LANES
        r = <Py_ssize_t> right[i] * LANES
        lanes_store(
            tangents + (first + i) * LANES,
            lanes_multiply_add(
                values[r], lanes_load(tangents + l), lanes_scale(values[l], lanes_load(tangents + r))
            ),
        )


# Ḃ = P_B (C_ext AA_ext)˙, or (C AA)˙
cdef inline void apply_operator_tangents(
    const FeaturePlan* plan, const real_t* values, const real_t* tangents, real_t* invariants, real_t* features
) noexcept nogil:
    cdef real_t* rows = invariants if plan.has_purification else features
    sparse_apply_tangents(
        plan.n_rows, plan.symmetrize_indptr, plan.symmetrize_left, plan.symmetrize_right, plan.symmetrize_data,
        values, tangents, rows,
    )
    if plan.has_purification:
        sparse_apply(
            plan.n_features, plan.purify_indptr, plan.purify_indices, plan.purify_data, invariants, features
        )


cdef void jacobian_block(
    const PoolingPlan* pooling, const FeaturePlan* plan, const Pairs* pairs, int count, const offset_t* rows,
    const index_t* leaf_channel, const index_t* leaf_lm, const index_t* leaf_species, real_t* memory, real_t* out,
) noexcept nogil:
    cdef Py_ssize_t n_nodes = <Py_ssize_t> pooling.n_leaves + 1 + plan.n_products
    cdef real_t* nodes = memory
    cdef real_t* tangents = nodes + n_nodes * LANES
    cdef real_t* invariants = tangents + n_nodes * LANES
    cdef real_t* features = invariants + <Py_ssize_t> plan.n_rows * LANES
    cdef PairScratch scratch = pair_scratch_at(pooling, features + <Py_ssize_t> plan.n_features * LANES)
    cdef real_t[LANES] r, inverse
    cdef real_t[3 * LANES] unit
    cdef Chunk chunk
    cdef offset_t[LANES] targets
    cdef Py_ssize_t pair, end
    cdef int c, z, a, lane
    pool_block(pooling, pairs, NULL, count, rows, &scratch, nodes, NULL)
    for c in range(LANES):
        nodes[pooling.n_leaves * LANES + c] = 1.0
        tangents[pooling.n_leaves * LANES + c] = 0.0
    multiply_nodes(plan.n_products, plan.left, plan.right, pooling.n_leaves + 1, nodes)
    chunk.count = 0
    for c in range(count):
        pair = pairs.offsets[rows[c]]
        end = pairs.offsets[rows[c] + 1]
        while pair < end:
            z = pairs.pair_species[pair]
            while pair < end and pairs.pair_species[pair] == z and chunk.count < LANES:
                lane = chunk.count
                append(pooling, pairs, &chunk, pairs.center_species[rows[c]] * pooling.n_species + z, c, pair)
                if chunk.count == lane:        # beyond the cutoff: a pair of the skin
                    memset(out + 3 * pair * plan.n_features, 0, 3 * plan.n_features * sizeof(real_t))
                pair = pair + 1
            if chunk.count == 0:
                continue
            directions(&chunk, r, unit, unit + LANES, unit + 2 * LANES)
            for lane in range(LANES):
                inverse[lane] = 1.0 / r[lane]
            radial_channels_gradients(pooling, pairs, &chunk, r, scratch.R, scratch.dR)
            harmonics_gradients_lanes(
                unit, unit + LANES, unit + 2 * LANES, pooling.lmax, pooling.harmonics, scratch.Y, scratch.G
            )
            for a in range(3):
                tangent_leaves(
                    pooling, z, a, leaf_channel, leaf_lm, leaf_species, unit + a * LANES, inverse, &scratch, tangents
                )
                tangent_products(plan.n_products, plan.left, plan.right, pooling.n_leaves + 1, nodes + c, tangents)
                apply_operator_tangents(plan, nodes + c, tangents, invariants, features)
                for lane in range(chunk.count):
                    targets[lane] = 3 * chunk.pair[lane] + a
                write_features(plan.n_features, chunk.count, targets, features, out)
            chunk.count = 0
