# Jacobians of features with respect to pair vectors, forward: the tangents of LANES pairs of one center run side by
# side through the products and the sparse operators, one direction at a time.
#
#   Ȧ_v = R'_q Y_lm r̂_a + R_q G_lm,a / r,      (N_l N_r)˙ = N_r Ṅ_l + N_l Ṅ_r,      Ḃ = P_B C_ext Ṅ
#
# Cost per pair and direction: 2 fused multiplications per product, 1 per entry of the operators.


# tangents of A along direction a for the pairs of a chunk; leaves of other species stay zero
cdef void tangent_leaves(
    const PoolingPlan* plan, int z, int a, const real_t* unit, const real_t* inverse, const PairScratch* scratch,
    real_t* tangents,
) noexcept nogil:
    cdef lanes_t direction = lanes_load(unit), per_r = lanes_load(inverse), across, along
    cdef const real_t* R = scratch.mixed if plan.n_mixed > 0 else scratch.R
    cdef const real_t* dR = scratch.dmixed if plan.n_mixed > 0 else scratch.dR
    cdef Py_ssize_t i, q, lm
    for i in range(plan.n_leaves):
        if plan.leaf_species[i] != z:
            lanes_store(tangents + i * LANES, lanes_zero())
            continue
        q = plan.leaf_channel[i]
        lm = plan.leaf_lm[i]
        along = lanes_multiply(lanes_load(dR + q * LANES), direction)
        along = lanes_multiply(along, lanes_load(scratch.Y + lm * LANES))
        across = lanes_multiply(per_r, lanes_load(scratch.G + (a * plan.n_lm + lm) * LANES))
        lanes_store(tangents + i * LANES, lanes_fused(lanes_load(R + q * LANES), across, along))


# tangents of products, with the values of one center at nodes[k * LANES]
cdef void tangent_products(const Graph* graph, const real_t* values, real_t* tangents) noexcept nogil:
    cdef const index_t* left = graph.left
    cdef const index_t* right = graph.right
    cdef Py_ssize_t i, l, r, first = graph.first
    for i in range(graph.n):
        l = <Py_ssize_t> left[i] * LANES
        r = <Py_ssize_t> right[i] * LANES
        lanes_store(
            tangents + (first + i) * LANES,
            lanes_multiply_add(
                values[r], lanes_load(tangents + l), lanes_scale(values[l], lanes_load(tangents + r))
            ),
        )


cdef void jacobian_block(const Job* job, Py_ssize_t block, int count, real_t* memory) noexcept nogil:
    cdef const PoolingPlan* pooling = job.pooling
    cdef const ContractionPlan* plan = job.contraction
    cdef const Pairs* pairs = job.pairs
    cdef const offset_t* rows = job.rows + block * LANES
    cdef ContractionScratch here = contraction_scratch_at(plan, memory)
    cdef real_t* tangents = here.end
    cdef PairScratch scratch = pair_scratch_at(pooling, tangents + plan.n_nodes * LANES)
    cdef real_t* invariants = here.invariants if plan.has_purification else here.features
    cdef real_t[LANES] r, inverse
    cdef real_t[3 * LANES] unit
    cdef Chunk chunk
    cdef offset_t[LANES] targets
    cdef Py_ssize_t pair, end
    cdef int c, z, a, lane
    pool_block(pooling, pairs, NULL, count, rows, &scratch, here.nodes, NULL)
    set_constant(&plan.graph, 1.0, here.nodes)
    set_constant(&plan.graph, 0.0, tangents)
    multiply_nodes(&plan.graph, here.nodes)
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
                    memset(job.out + 3 * pair * plan.n_features, 0, 3 * plan.n_features * sizeof(real_t))
                pair = pair + 1
            if chunk.count == 0:
                continue
            directions(&chunk, r, unit, unit + LANES, unit + 2 * LANES)
            for lane in range(LANES):
                inverse[lane] = 1.0 / r[lane]
            pair_functions(True, pooling, pairs, &chunk, r, unit, &scratch)
            mix_channels(pooling, chunk.kind, &scratch)
            for a in range(3):
                tangent_leaves(pooling, z, a, unit + a * LANES, inverse, &scratch, tangents)
                tangent_products(&plan.graph, here.nodes + c, tangents)
                sparse_apply_tangents(&plan.symmetrize, here.nodes + c, tangents, invariants)
                if plan.has_purification:
                    sparse_apply(&plan.purify, here.invariants, here.features)
                for lane in range(chunk.count):
                    targets[lane] = 3 * chunk.pair[lane] + a
                write_rows(plan.n_features, chunk.count, targets, here.features, job.out)
            chunk.count = 0
