# The stages one by one, for arrays of centers: pairs ↔ A, and A ↔ products ↔ features.
#
# Where the fused runs keep A and products of one block of centers in scratch, these read and write arrays.


# nodes[i * LANES + c] = values[c, i]; zero in idle lanes
cdef inline void load_nodes(Py_ssize_t n, int count, const real_t* values, real_t* nodes) noexcept nogil:
    cdef Py_ssize_t i
    cdef int c
    for i in range(n):
        for c in range(LANES):
            nodes[i * LANES + c] = values[c * n + i] if c < count else 0.0


# values[c, i] = nodes[i * LANES + c]
cdef inline void store_nodes(Py_ssize_t n, int count, const real_t* nodes, real_t* values) noexcept nogil:
    cdef offset_t[LANES] targets
    cdef int c
    for c in range(LANES):
        targets[c] = c
    write_features(n, count, targets, nodes, values)


cdef void sums_block(
    const PoolingPlan* plan, const Pairs* pairs, const Motion* motion, int count, const offset_t* rows,
    real_t* memory, real_t* out, real_t* derivatives,
) noexcept nogil:
    cdef real_t* tangents = memory + <Py_ssize_t> plan.n_leaves * LANES
    cdef PairScratch scratch = pair_scratch_at(plan, tangents + <Py_ssize_t> plan.n_leaves * LANES)
    pool_block(plan, pairs, motion, count, rows, &scratch, memory, tangents)
    store_nodes(plan.n_leaves, count, memory, out)
    if motion != NULL:
        store_nodes(plan.n_leaves, count, tangents, derivatives)


def pool(
    Pooling pooling,
    const offset_t[::1] rows,
    const offset_t[::1] offsets,
    const real_t[:, ::1] vectors,
    const index_t[::1] center_species,
    const index_t[::1] pair_species,
    const real_t[:, ::1] table,
    const real_t[:, ::1] table_gradients,
    const index_t[::1] centers,
    const index_t[::1] neighbors,
    const real_t[:, ::1] displacements,
    const real_t[:, ::1] strain,
    real_t[:, ::1] out,
    real_t[:, ::1] derivatives,
    int num_threads,
):
    """Write A of the centers `rows` into the rows of `out`, and Ȧ along a motion unless `derivatives` is empty."""
    cdef Py_ssize_t n = rows.shape[0], n_blocks = (n + LANES - 1) // LANES, block, size, width = out.shape[1]
    cdef const PoolingPlan* plan = &pooling.plan
    cdef bint moving = derivatives.shape[0] > 0
    cdef Pairs pairs
    cdef Motion motion
    cdef real_t* moved = &derivatives[0, 0] if moving else NULL
    cdef real_t* memory
    if n == 0:
        return
    pairs = pairs_of(offsets, vectors, center_species, pair_species, table, table_gradients)
    if moving:
        motion = motion_of(centers, neighbors, displacements, strain)
    size = pair_scratch_size(plan) + 2 * LANES * <Py_ssize_t> plan.n_leaves
    memory = scratch_memory(size, num_threads)
    for block in prange(n_blocks, nogil=True, num_threads=num_threads, schedule="dynamic"):
        sums_block(
            plan, &pairs, &motion if moving else NULL, min(<Py_ssize_t> LANES, n - block * LANES),
            &rows[block * LANES], memory + threadid() * size, &out[block * LANES, 0],
            moved + block * LANES * width if moving else NULL,
        )
    free(memory)


cdef void pull_sums_block(
    const PoolingPlan* plan, const Pairs* pairs, int count, const offset_t* rows, const real_t* cotangents,
    real_t* memory, real_t* gradients,
) noexcept nogil:
    cdef PairScratch scratch = pair_scratch_at(plan, memory + <Py_ssize_t> plan.n_leaves * LANES)
    load_nodes(plan.n_leaves, count, cotangents, memory)
    memset(scratch.pooled, 0, LANES * plan.pooled_size * sizeof(real_t))
    pull_block(plan, pairs, count, rows, memory, &scratch, gradients)


def pull(
    Pooling pooling,
    const offset_t[::1] rows,
    const offset_t[::1] offsets,
    const real_t[:, ::1] vectors,
    const index_t[::1] center_species,
    const index_t[::1] pair_species,
    const real_t[:, ::1] table,
    const real_t[:, ::1] table_gradients,
    const real_t[:, ::1] cotangents,
    real_t[:, ::1] gradients,
    int num_threads,
):
    """Write gradients[pair] = Σ_v cotangents[row, v] ∂A_v(i)/∂r_ij for the pairs of the centers `rows`."""
    cdef Py_ssize_t n = rows.shape[0], n_blocks = (n + LANES - 1) // LANES, block, size
    cdef const PoolingPlan* plan = &pooling.plan
    cdef Pairs pairs
    cdef real_t* memory
    if n == 0 or vectors.shape[0] == 0:
        return
    pairs = pairs_of(offsets, vectors, center_species, pair_species, table, table_gradients)
    size = pair_scratch_size(plan) + LANES * <Py_ssize_t> plan.n_leaves
    memory = scratch_memory(size, num_threads)
    for block in prange(n_blocks, nogil=True, num_threads=num_threads, schedule="dynamic"):
        pull_sums_block(
            plan, &pairs, min(<Py_ssize_t> LANES, n - block * LANES), &rows[block * LANES],
            &cotangents[block * LANES, 0], memory + threadid() * size, &gradients[0, 0],
        )
    free(memory)


cdef void contract_block(
    const FeaturePlan* plan, Py_ssize_t n_leaves, int count, const real_t* values, const real_t* tangents,
    real_t* memory, real_t* out, real_t* derivatives,
) noexcept nogil:
    cdef FeatureScratch here = feature_scratch_at(plan, n_leaves, memory)
    cdef FeatureScratch moving = feature_scratch_at(plan, n_leaves, here.end)
    load_nodes(n_leaves, count, values, here.nodes)
    if tangents == NULL:
        contract(plan, n_leaves, &here)
    else:
        load_nodes(n_leaves, count, tangents, moving.nodes)
        contract_moving(plan, n_leaves, &here, &moving)
        store_nodes(plan.n_features, count, moving.features, derivatives)
    store_nodes(plan.n_features, count, here.features, out)


def contract_sums(
    Features features,
    const real_t[:, ::1] values,
    const real_t[:, ::1] tangents,
    real_t[:, ::1] out,
    real_t[:, ::1] derivatives,
    int num_threads,
):
    """From the leaves of each center to features; derivatives along tangents unless they are empty."""
    cdef Py_ssize_t n = values.shape[0], n_blocks = (n + LANES - 1) // LANES, block, size, n_leaves = values.shape[1]
    cdef const FeaturePlan* plan = &features.plan
    cdef bint moving = tangents.shape[0] > 0
    cdef const real_t* velocity = &tangents[0, 0] if moving else NULL
    cdef real_t* moved = &derivatives[0, 0] if moving else NULL
    cdef real_t* memory
    if n == 0:
        return
    size = 2 * feature_scratch_size(plan, n_leaves)
    memory = scratch_memory(size, num_threads)
    for block in prange(n_blocks, nogil=True, num_threads=num_threads, schedule="dynamic"):
        contract_block(
            plan, n_leaves, min(<Py_ssize_t> LANES, n - block * LANES), &values[block * LANES, 0],
            velocity + block * LANES * n_leaves if moving else NULL, memory + threadid() * size,
            &out[block * LANES, 0], moved + block * LANES * plan.n_features if moving else NULL,
        )
    free(memory)


cdef void pull_contraction_block(
    const PullbackPlan* plan, Py_ssize_t n_leaves, int count, const real_t* values, const real_t* cotangents,
    real_t* memory, real_t* out,
) noexcept nogil:
    cdef Py_ssize_t n_nodes = n_leaves + 1 + plan.n_products
    cdef real_t* nodes = memory
    cdef real_t* adjoints = nodes + n_nodes * LANES
    cdef real_t* features = adjoints + n_nodes * LANES
    load_nodes(n_leaves, count, values, nodes)
    load_nodes(plan.n_features, count, cotangents, features)
    pull_features(plan, n_leaves, features, features + <Py_ssize_t> plan.n_features * LANES, nodes, adjoints)
    store_nodes(n_leaves, count, adjoints, out)


def pull_contraction(
    Pullback pullback,
    const real_t[:, ::1] values,
    const real_t[:, ::1] cotangents,
    real_t[:, ::1] out,
    int num_threads,
):
    """From cotangents of the features of each center to those of its leaves."""
    cdef Py_ssize_t n = values.shape[0], n_blocks = (n + LANES - 1) // LANES, block, size, n_leaves = values.shape[1]
    cdef const PullbackPlan* plan = &pullback.plan
    cdef real_t* memory
    if n == 0:
        return
    size = LANES * (2 * (n_leaves + 1 + plan.n_products) + plan.n_rows + plan.n_features)
    memory = scratch_memory(size, num_threads)
    for block in prange(n_blocks, nogil=True, num_threads=num_threads, schedule="dynamic"):
        pull_contraction_block(
            plan, n_leaves, min(<Py_ssize_t> LANES, n - block * LANES), &values[block * LANES, 0],
            &cotangents[block * LANES, 0], memory + threadid() * size, &out[block * LANES, 0],
        )
    free(memory)
