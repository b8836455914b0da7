# Linear functions of the products, E_i = Σ_k w_k AA_k, with their gradients by reverse accumulation.
#
# The products are divided: *interior* nodes, which are factors of others, are stored; *terminal* ones never are.
# A terminal product N_l N_r gives w N_l N_r to the energy, w N_r to the adjoint of l and w N_l to that of r in one
# step. Terminals are grouped by l.
#
# Cost per center: 1 multiplication per interior node and 2 fused ones back; 2 fused ones per terminal; see pooling.pxi
# for the pairs.


cdef struct LinearPlan:
    index_t n_interior, n_weights, n_groups
    const index_t* left                # (n_interior,)
    const index_t* right
    const index_t* weight_nodes        # nodes with a weight of their own
    const real_t* weights
    const index_t* group_left          # (n_groups,)
    const index_t* group_indptr        # (n_groups + 1,)
    const index_t* terminal_right
    const real_t* terminal_weights


# Energies of up to LANES centers of one species, and the adjoints of their A if wanted.
cdef void linear_products(
    const PoolingPlan* pooling, const LinearPlan* plan, bint gradients, real_t* nodes, real_t* adjoints, real_t* energy
) noexcept nogil:
    cdef Py_ssize_t n_nodes = <Py_ssize_t> pooling.n_leaves + 1 + plan.n_interior, i, k, l, r
    cdef lanes_t total = lanes_zero(), sum, left, adjoint
    cdef real_t w
    multiply_nodes(plan.n_interior, plan.left, plan.right, pooling.n_leaves + 1, nodes)
    if gradients:
        memset(adjoints, 0, n_nodes * LANES * sizeof(real_t))
    for i in range(plan.n_weights):
        k = plan.weight_nodes[i]
        w = plan.weights[i]
        total = lanes_multiply_add(w, lanes_load(nodes + k * LANES), total)
        if gradients:
            for l in range(LANES):
                adjoints[k * LANES + l] = w
    for i in range(plan.n_groups):
        l = plan.group_left[i]
        left = lanes_load(nodes + l * LANES)
        sum = lanes_zero()
        for k in range(plan.group_indptr[i], plan.group_indptr[i + 1]):
            r = plan.terminal_right[k]
            w = plan.terminal_weights[k]
            sum = lanes_multiply_add(w, lanes_load(nodes + r * LANES), sum)
            if gradients:
                lanes_store(adjoints + r * LANES, lanes_multiply_add(w, left, lanes_load(adjoints + r * LANES)))
        total = lanes_fused(left, sum, total)
        if gradients:
            lanes_store(adjoints + l * LANES, lanes_multiply_add(1.0, sum, lanes_load(adjoints + l * LANES)))
    lanes_store(energy, total)
    if gradients:
        pull_nodes(plan.n_interior, plan.left, plan.right, pooling.n_leaves + 1, nodes, adjoints)


# adjoints[left] += adjoint N_right and the reverse, from the last node to the first
cdef void pull_nodes(
    Py_ssize_t n, const index_t* left, const index_t* right, Py_ssize_t first, const real_t* nodes, real_t* adjoints
) noexcept nogil:
    cdef Py_ssize_t i, l, r
    cdef lanes_t adjoint
    for i in range(n - 1, -1, -1):
        l = left[i]
        r = right[i]
        adjoint = lanes_load(adjoints + (first + i) * LANES)
        lanes_store(
            adjoints + l * LANES, lanes_fused(adjoint, lanes_load(nodes + r * LANES), lanes_load(adjoints + l * LANES))
        )
        lanes_store(
            adjoints + r * LANES, lanes_fused(adjoint, lanes_load(nodes + l * LANES), lanes_load(adjoints + r * LANES))
        )


cdef void linear_block(
    const PoolingPlan* pooling, const LinearPlan* plan, const Pairs* pairs, int count, const offset_t* rows,
    real_t* memory, real_t* energies, real_t* gradients,
) noexcept nogil:
    cdef Py_ssize_t n_nodes = <Py_ssize_t> pooling.n_leaves + 1 + plan.n_interior
    cdef real_t* nodes = memory
    cdef real_t* adjoints = nodes + n_nodes * LANES
    cdef PairScratch scratch = pair_scratch_at(pooling, adjoints + n_nodes * LANES)
    cdef real_t[LANES] energy
    cdef int c
    pool_block(pooling, pairs, NULL, count, rows, &scratch, nodes, NULL)
    for c in range(LANES):
        nodes[pooling.n_leaves * LANES + c] = 1.0
    linear_products(pooling, plan, gradients != NULL, nodes, adjoints, energy)
    for c in range(count):
        energies[rows[c]] = energy[c]
    if gradients != NULL:
        pull_block(pooling, pairs, count, rows, adjoints, &scratch, gradients)


cdef class Linear:
    """Weights of one species of center, folded into products."""

    cdef Pooling pooling
    cdef LinearPlan plan
    cdef tuple keep_alive

    def __init__(
        self,
        Pooling pooling,
        const index_t[::1] left,
        const index_t[::1] right,
        const index_t[::1] weight_nodes,
        const real_t[::1] weights,
        const index_t[::1] group_left,
        const index_t[::1] group_indptr,
        const index_t[::1] terminal_right,
        const real_t[::1] terminal_weights,
    ):
        cdef LinearPlan plan
        plan.n_interior = left.shape[0]
        plan.n_weights = weights.shape[0]
        plan.n_groups = group_left.shape[0]
        plan.left = &left[0] if plan.n_interior > 0 else NULL
        plan.right = &right[0] if plan.n_interior > 0 else NULL
        plan.weight_nodes = &weight_nodes[0] if plan.n_weights > 0 else NULL
        plan.weights = &weights[0] if plan.n_weights > 0 else NULL
        plan.group_left = &group_left[0] if plan.n_groups > 0 else NULL
        plan.group_indptr = &group_indptr[0]
        plan.terminal_right = &terminal_right[0] if plan.n_groups > 0 else NULL
        plan.terminal_weights = &terminal_weights[0] if plan.n_groups > 0 else NULL
        self.pooling = pooling
        self.plan = plan
        self.keep_alive = (
            left, right, weight_nodes, weights, group_left, group_indptr, terminal_right, terminal_weights
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
        real_t[::1] energies,
        real_t[:, ::1] gradients,
        int num_threads,
    ):
        """Write energies[row] of the centers `rows`, and gradients[pair] = ∂E_i/∂r_ij unless it is empty."""
        cdef Py_ssize_t n = rows.shape[0], n_blocks = (n + LANES - 1) // LANES, block, size
        cdef const PoolingPlan* pooling = &self.pooling.plan
        cdef const LinearPlan* plan = &self.plan
        cdef Pairs pairs
        cdef real_t* gradient_data = &gradients[0, 0] if gradients.shape[0] > 0 else NULL
        cdef real_t* memory
        if n == 0:
            return
        pairs = pairs_of(offsets, vectors, center_species, pair_species, table, table_gradients)
        size = pair_scratch_size(pooling) + 2 * LANES * (<Py_ssize_t> pooling.n_leaves + 1 + plan.n_interior)
        memory = scratch_memory(size, num_threads)
        for block in prange(n_blocks, nogil=True, num_threads=num_threads, schedule="dynamic"):
            linear_block(
                pooling, plan, &pairs, min(<Py_ssize_t> LANES, n - block * LANES), &rows[block * LANES],
                memory + threadid() * size, &energies[0], gradient_data,
            )
        free(memory)
