# Features of many centers: A -> products -> sparse operators -> features.
#
# Only products that are factors of others are stored.  An entry of C names the two factors of its product, which is
# multiplied where it is used: at order 4 most products would not stay in the cache until then.
#
# Work goes by blocks of LANES centers, which stand side by side in every product and every sparse row; threads take
# whole blocks, so the result does not depend on their number.  Memory beyond the output: one scratch area per thread.
from cython.parallel cimport prange, threadid
from libc.stdlib cimport free, malloc

from acepure._kernels.products cimport (
    multiply_moving_nodes,
    multiply_nodes,
    sparse_apply,
    sparse_apply_moving_products,
    sparse_apply_products,
    sparse_apply_tangents,
)


# size numbers for each thread
cdef real_t* scratch_memory(Py_ssize_t size, int num_threads) except NULL:
    cdef real_t* memory = <real_t*> malloc(num_threads * size * sizeof(real_t))
    if memory == NULL:
        raise MemoryError(f"scratch of {num_threads * size * sizeof(real_t)} bytes")
    return memory


cdef struct FeaturePlan:
    index_t n_products, n_rows, n_features  # products that are stored
    bint has_purification
    const index_t* left                # (n_products,)
    const index_t* right
    const index_t* symmetrize_indptr
    const index_t* symmetrize_left     # factors of each entry; the constant 1 is one of them
    const index_t* symmetrize_right
    const real_t* symmetrize_data
    const index_t* purify_indptr
    const index_t* purify_indices
    const real_t* purify_data


# B = P_B (C_ext AA_ext), or C AA
cdef inline void apply_operators(
    const FeaturePlan* plan, const real_t* nodes, real_t* invariants, real_t* features
) noexcept nogil:
    if plan.has_purification:
        sparse_apply_products(
            plan.n_rows, plan.symmetrize_indptr, plan.symmetrize_left, plan.symmetrize_right, plan.symmetrize_data,
            nodes, invariants,
        )
        sparse_apply(
            plan.n_features, plan.purify_indptr, plan.purify_indices, plan.purify_data, invariants, features
        )
    else:
        sparse_apply_products(
            plan.n_features, plan.symmetrize_indptr, plan.symmetrize_left, plan.symmetrize_right,
            plan.symmetrize_data, nodes, features,
        )


# out[targets[c], f] = features[f, c], LANES features at a time
cdef inline void write_features(
    Py_ssize_t n_features, int count, const offset_t* targets, const real_t* features, real_t* out
) noexcept nogil:
    cdef real_t[LANES * LANES] tile
    cdef Py_ssize_t f = 0, k
    cdef int c
    while f + LANES <= n_features:
        lanes_transpose(features + f * LANES, LANES, tile)
        for c in range(count):
            lanes_store(out + targets[c] * n_features + f, lanes_load(tile + c * LANES))
        f = f + LANES
    for c in range(count):
        for k in range(f, n_features):
            out[targets[c] * n_features + k] = features[k * LANES + c]


# What the products and operators of LANES centers need: pointers into one allocation.
cdef struct FeatureScratch:
    real_t* nodes        # (n_leaves + 1 + n_products, LANES)
    real_t* invariants   # (n_rows, LANES)
    real_t* features     # (n_features, LANES)
    real_t* end


cdef inline Py_ssize_t feature_scratch_size(const FeaturePlan* plan, Py_ssize_t n_leaves) noexcept nogil:
    return LANES * (n_leaves + 1 + plan.n_products + plan.n_rows + plan.n_features)


cdef inline FeatureScratch feature_scratch_at(
    const FeaturePlan* plan, Py_ssize_t n_leaves, real_t* memory
) noexcept nogil:
    cdef FeatureScratch scratch
    scratch.nodes = memory
    scratch.invariants = scratch.nodes + (n_leaves + 1 + plan.n_products) * LANES
    scratch.features = scratch.invariants + <Py_ssize_t> plan.n_rows * LANES
    scratch.end = scratch.features + <Py_ssize_t> plan.n_features * LANES
    return scratch


# From the leaves to the features
cdef inline void contract(const FeaturePlan* plan, Py_ssize_t n_leaves, const FeatureScratch* here) noexcept nogil:
    cdef int c
    for c in range(LANES):
        here.nodes[n_leaves * LANES + c] = 1.0
    multiply_nodes(plan.n_products, plan.left, plan.right, n_leaves + 1, here.nodes)
    apply_operators(plan, here.nodes, here.invariants, here.features)


cdef void features_block(
    const PoolingPlan* pooling, const FeaturePlan* plan, const Pairs* pairs, int count, const offset_t* rows,
    const offset_t* targets, real_t* memory, real_t* out,
) noexcept nogil:
    cdef FeatureScratch here = feature_scratch_at(plan, pooling.n_leaves, memory)
    cdef PairScratch scratch = pair_scratch_at(pooling, here.end)
    pool_block(pooling, pairs, NULL, count, rows, &scratch, here.nodes, NULL)
    contract(plan, pooling.n_leaves, &here)
    write_features(plan.n_features, count, targets, here.features, out)


cdef class Features:
    """Tables of one basis, built once; `evaluate` may be called from many threads at the same time."""

    cdef Pooling pooling
    cdef FeaturePlan plan
    cdef tuple keep_alive

    def __init__(
        self,
        Pooling pooling,
        const index_t[::1] left,
        const index_t[::1] right,
        const index_t[::1] symmetrize_indptr,
        const index_t[::1] symmetrize_left,
        const index_t[::1] symmetrize_right,
        const real_t[::1] symmetrize_data,
        const index_t[::1] purify_indptr,
        const index_t[::1] purify_indices,
        const real_t[::1] purify_data,
    ):
        cdef FeaturePlan plan
        plan.n_products = left.shape[0]
        plan.has_purification = purify_indptr.shape[0] > 1
        plan.n_rows = symmetrize_indptr.shape[0] - 1
        plan.n_features = purify_indptr.shape[0] - 1 if plan.has_purification else plan.n_rows
        plan.left = &left[0] if plan.n_products > 0 else NULL
        plan.right = &right[0] if plan.n_products > 0 else NULL
        plan.symmetrize_indptr = &symmetrize_indptr[0]
        plan.symmetrize_left = &symmetrize_left[0]
        plan.symmetrize_right = &symmetrize_right[0]
        plan.symmetrize_data = &symmetrize_data[0]
        plan.purify_indptr = &purify_indptr[0] if plan.has_purification else NULL
        plan.purify_indices = &purify_indices[0] if plan.has_purification else NULL
        plan.purify_data = &purify_data[0] if plan.has_purification else NULL
        self.pooling = pooling
        self.plan = plan
        self.keep_alive = (
            left, right, symmetrize_indptr, symmetrize_left, symmetrize_right, symmetrize_data, purify_indptr,
            purify_indices, purify_data,
        )

    def evaluate(
        self,
        const offset_t[::1] rows,
        const offset_t[::1] offsets,
        const real_t[:, ::1] vectors,
        const index_t[::1] center_species,
        const index_t[::1] pair_species,
        const real_t[:, ::1] table,
        const offset_t[::1] targets,
        real_t[:, ::1] out,
        int num_threads,
    ):
        """Write the features of the centers `rows` of a neighbor list into the rows `targets` of `out`."""
        cdef Py_ssize_t n = rows.shape[0], n_blocks = (n + LANES - 1) // LANES, block, size
        cdef const PoolingPlan* pooling = &self.pooling.plan
        cdef const FeaturePlan* plan = &self.plan
        cdef Pairs pairs
        cdef real_t* memory
        if n == 0:
            return
        if out.shape[1] != plan.n_features or targets.shape[0] != n:
            raise ValueError(f"out has shape ({out.shape[0]}, {out.shape[1]})")
        pairs = pairs_of(offsets, vectors, center_species, pair_species, table, table)
        size = pair_scratch_size(pooling) + feature_scratch_size(plan, pooling.n_leaves)
        memory = scratch_memory(size, num_threads)
        for block in prange(n_blocks, nogil=True, num_threads=num_threads, schedule="dynamic"):
            features_block(
                pooling, plan, &pairs, min(<Py_ssize_t> LANES, n - block * LANES), &rows[block * LANES],
                &targets[block * LANES], memory + threadid() * size, &out[0, 0],
            )
        free(memory)

    def pushforward(
        self,
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
        const offset_t[::1] targets,
        real_t[:, ::1] out,
        real_t[:, ::1] derivatives,
        int num_threads,
    ):
        """As `evaluate`, with the derivatives along a motion of the atoms."""
        cdef Py_ssize_t n = rows.shape[0], n_blocks = (n + LANES - 1) // LANES, block, size
        cdef const PoolingPlan* pooling = &self.pooling.plan
        cdef const FeaturePlan* plan = &self.plan
        cdef Pairs pairs
        cdef Motion motion
        cdef real_t* memory
        if n == 0:
            return
        pairs = pairs_of(offsets, vectors, center_species, pair_species, table, table_gradients)
        motion = motion_of(centers, neighbors, displacements, strain)
        size = pair_scratch_size(pooling) + 2 * feature_scratch_size(plan, pooling.n_leaves)
        memory = scratch_memory(size, num_threads)
        for block in prange(n_blocks, nogil=True, num_threads=num_threads, schedule="dynamic"):
            pushforward_block(
                pooling, plan, &pairs, &motion, min(<Py_ssize_t> LANES, n - block * LANES), &rows[block * LANES],
                &targets[block * LANES], memory + threadid() * size, &out[0, 0], &derivatives[0, 0],
            )
        free(memory)

    def jacobian(
        self,
        const offset_t[::1] rows,
        const offset_t[::1] offsets,
        const real_t[:, ::1] vectors,
        const index_t[::1] center_species,
        const index_t[::1] pair_species,
        const real_t[:, ::1] table,
        const real_t[:, ::1] table_gradients,
        const index_t[::1] leaf_channel,
        const index_t[::1] leaf_lm,
        const index_t[::1] leaf_species,
        real_t[:, :, ::1] out,
        int num_threads,
    ):
        """Write out[pair, a, f] = ∂B_f(i)/∂r_ij,a for the pairs of the centers `rows`."""
        cdef Py_ssize_t n = rows.shape[0], n_blocks = (n + LANES - 1) // LANES, block, size
        cdef const PoolingPlan* pooling = &self.pooling.plan
        cdef const FeaturePlan* plan = &self.plan
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
            jacobian_block(
                pooling, plan, &pairs, min(<Py_ssize_t> LANES, n - block * LANES), &rows[block * LANES],
                &leaf_channel[0], &leaf_lm[0], &leaf_species[0], memory + threadid() * size, &out[0, 0, 0],
            )
        free(memory)
