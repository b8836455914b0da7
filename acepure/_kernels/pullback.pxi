# Vector-Jacobian products of the features: from cotangents g_if = ∂E/∂B_f(i), one set per center, to ∂E/∂r_ij.
#
#   ∂E/∂AA = C_extᵀ P_Bᵀ g,  then back through the products and the sums.


cdef struct PullbackPlan:
    index_t n_features, n_rows, n_products
    bint has_purification
    const index_t* left
    const index_t* right
    const index_t* purify_indptr       # P_Bᵀ, (n_rows, n_features)
    const index_t* purify_indices
    const real_t* purify_data
    const index_t* symmetrize_indptr   # C_extᵀ by node, (n_leaves + 1 + n_products, n_rows)
    const index_t* symmetrize_indices
    const real_t* symmetrize_data


# From cotangents of features to the adjoints of all nodes, with the leaves at nodes; room for P_Bᵀ g at invariants
cdef void pull_features(
    const PullbackPlan* plan, Py_ssize_t n_leaves, const real_t* features, real_t* invariants, real_t* nodes,
    real_t* adjoints,
) noexcept nogil:
    cdef int c
    for c in range(LANES):
        nodes[n_leaves * LANES + c] = 1.0
    multiply_nodes(plan.n_products, plan.left, plan.right, n_leaves + 1, nodes)
    if plan.has_purification:
        sparse_apply(
            plan.n_rows, plan.purify_indptr, plan.purify_indices, plan.purify_data, features, invariants
        )
        features = invariants
    sparse_apply(
        n_leaves + 1 + plan.n_products, plan.symmetrize_indptr, plan.symmetrize_indices, plan.symmetrize_data,
        features, adjoints,
    )
    pull_nodes(plan.n_products, plan.left, plan.right, n_leaves + 1, nodes, adjoints)


cdef void pullback_block(
    const PoolingPlan* pooling, const PullbackPlan* plan, const Pairs* pairs, int count, const offset_t* rows,
    const real_t* cotangents, real_t* memory, real_t* gradients,
) noexcept nogil:
    cdef Py_ssize_t n_nodes = <Py_ssize_t> pooling.n_leaves + 1 + plan.n_products, f
    cdef real_t* nodes = memory
    cdef real_t* adjoints = nodes + n_nodes * LANES
    cdef real_t* invariants = adjoints + n_nodes * LANES
    cdef real_t* features = invariants + <Py_ssize_t> plan.n_rows * LANES
    cdef PairScratch scratch = pair_scratch_at(pooling, features + <Py_ssize_t> plan.n_features * LANES)
    cdef int c
    pool_block(pooling, pairs, NULL, count, rows, &scratch, nodes, NULL)
    for f in range(plan.n_features):
        for c in range(LANES):
            features[f * LANES + c] = cotangents[rows[c] * plan.n_features + f] if c < count else 0.0
    pull_features(plan, pooling.n_leaves, features, invariants, nodes, adjoints)
    pull_block(pooling, pairs, count, rows, adjoints, &scratch, gradients)


cdef class Pullback:
    """Tables of the transposed operators of one basis."""

    cdef Pooling pooling
    cdef PullbackPlan plan
    cdef tuple keep_alive

    def __init__(
        self,
        Pooling pooling,
        int n_features,
        const index_t[::1] left,
        const index_t[::1] right,
        const index_t[::1] symmetrize_indptr,
        const index_t[::1] symmetrize_indices,
        const real_t[::1] symmetrize_data,
        const index_t[::1] purify_indptr,
        const index_t[::1] purify_indices,
        const real_t[::1] purify_data,
    ):
        cdef PullbackPlan plan
        plan.n_products = left.shape[0]
        plan.n_features = n_features
        plan.has_purification = purify_indptr.shape[0] > 1
        plan.n_rows = purify_indptr.shape[0] - 1 if plan.has_purification else 0
        plan.left = &left[0] if plan.n_products > 0 else NULL
        plan.right = &right[0] if plan.n_products > 0 else NULL
        plan.symmetrize_indptr = &symmetrize_indptr[0]
        plan.symmetrize_indices = &symmetrize_indices[0]
        plan.symmetrize_data = &symmetrize_data[0]
        plan.purify_indptr = &purify_indptr[0] if plan.has_purification else NULL
        plan.purify_indices = &purify_indices[0] if plan.has_purification else NULL
        plan.purify_data = &purify_data[0] if plan.has_purification else NULL
        self.pooling = pooling
        self.plan = plan
        self.keep_alive = (
            left, right, symmetrize_indptr, symmetrize_indices, symmetrize_data, purify_indptr, purify_indices,
            purify_data,
        )

    def evaluate(
        self,
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
        """Write gradients[pair] = Σ_f cotangents[i, f] ∂B_f(i)/∂r_ij for the pairs of the centers `rows`."""
        cdef Py_ssize_t n = rows.shape[0], n_blocks = (n + LANES - 1) // LANES, block, size
        cdef const PoolingPlan* pooling = &self.pooling.plan
        cdef const PullbackPlan* plan = &self.plan
        cdef Pairs pairs
        cdef real_t* memory
        if n == 0 or vectors.shape[0] == 0:
            return
        pairs = pairs_of(offsets, vectors, center_species, pair_species, table, table_gradients)
        size = pair_scratch_size(pooling) + LANES * (
            2 * (<Py_ssize_t> pooling.n_leaves + 1 + plan.n_products) + plan.n_rows + plan.n_features
        )
        memory = scratch_memory(size, num_threads)
        for block in prange(n_blocks, nogil=True, num_threads=num_threads, schedule="dynamic"):
            pullback_block(
                pooling, plan, &pairs, min(<Py_ssize_t> LANES, n - block * LANES), &rows[block * LANES],
                &cotangents[0, 0], memory + threadid() * size, &gradients[0, 0],
            )
        free(memory)
