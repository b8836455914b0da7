# Linear functions of the products, E_ip = Σ_k w_kp AA_k for p = 1..P, with gradients by reverse accumulation.
#
# The products are divided: *interior* nodes, which are factors of others, are stored; *terminal* ones never are.
# A terminal product N_l N_r gives w N_l N_r to the energy, w N_r to the adjoint of l and w N_l to that of r in one
# step. Terminals are grouped by l. With cotangents g_ip the adjoints belong to Σ_p g_ip E_ip, and w is Σ_p g_ip w_kp of
# each center, formed on the fly.
#
# Cost per center: 1 multiplication per interior node and 2 fused ones back; per terminal 2 fused ones where P = 1 and
# values and gradients are had in one sweep, else P for values, and P + 2 for gradients. See pooling.pxi for the pairs.


cdef struct LinearPlan:
    index_t n_weights, n_groups, n_outputs
    Graph graph                        # of interior nodes
    const index_t* weight_nodes        # nodes with weights of their own
    const real_t* weights              # (n_weights, n_outputs)
    const index_t* group_left          # (n_groups,)
    const index_t* group_indptr        # (n_groups + 1,)
    const index_t* terminal_right
    const real_t* terminal_weights     # (n_terminals, n_outputs)


# What linear functions need for LANES centers: pointers into one allocation.
cdef struct LinearScratch:
    real_t* nodes        # (n_leaves + 1 + n, LANES)
    real_t* adjoints     # the same
    real_t* outputs      # (n_outputs, LANES), values or cotangents
    real_t* end


cdef LinearScratch linear_scratch_at(const LinearPlan* plan, real_t* memory) noexcept nogil:
    cdef LinearScratch scratch
    cdef Py_ssize_t size = (plan.graph.first + plan.graph.n) * LANES
    scratch.nodes = memory
    scratch.adjoints = scratch.nodes + size
    scratch.outputs = scratch.adjoints + size
    scratch.end = scratch.outputs + <Py_ssize_t> plan.n_outputs * LANES
    return scratch


cdef Py_ssize_t linear_scratch_size(const LinearPlan* plan) noexcept nogil:
    return LANES * (2 * (plan.graph.first + plan.graph.n) + plan.n_outputs)


# The outputs first..first + n, n <= 4
cdef inline void output_values(int n, int first, const LinearPlan* plan, const LinearScratch* here) noexcept nogil:
    cdef lanes_t[4] total, sum
    cdef lanes_t node
    cdef Py_ssize_t i, k
    cdef int p
    cdef const real_t* w
    for p in range(n):
        total[p] = lanes_zero()
    for i in range(plan.n_weights):
        w = plan.weights + i * plan.n_outputs + first
        node = lanes_load(here.nodes + <Py_ssize_t> plan.weight_nodes[i] * LANES)
        for p in range(n):
            total[p] = lanes_multiply_add(w[p], node, total[p])
    for i in range(plan.n_groups):
        for p in range(n):
            sum[p] = lanes_zero()
        for k in range(plan.group_indptr[i], plan.group_indptr[i + 1]):
            w = plan.terminal_weights + k * plan.n_outputs + first
            node = lanes_load(here.nodes + <Py_ssize_t> plan.terminal_right[k] * LANES)
            for p in range(n):
                sum[p] = lanes_multiply_add(w[p], node, sum[p])
        node = lanes_load(here.nodes + <Py_ssize_t> plan.group_left[i] * LANES)
        for p in range(n):
            total[p] = lanes_fused(node, sum[p], total[p])
    for p in range(n):
        lanes_store(here.outputs + (first + p) * LANES, total[p])


# Σ_p g_p w_p; w itself where there are no cotangents, n = 0
cdef inline lanes_t cotangent_weight(int n, const real_t* w, const lanes_t* g) noexcept nogil:
    cdef lanes_t total
    cdef int p
    if n == 0:
        return lanes_fill(w[0])
    total = lanes_scale(w[0], g[0])
    for p in range(1, n):
        total = lanes_multiply_add(w[p], g[p], total)
    return total


# Adds to the adjoints what outputs first..first + n give with the cotangents at outputs; n <= 4. With n = 0: what the
# only output gives, whose value is written.
cdef inline void output_adjoints(int n, int first, const LinearPlan* plan, const LinearScratch* here) noexcept nogil:
    cdef lanes_t[4] g
    cdef lanes_t total = lanes_zero(), sum, left, w
    cdef Py_ssize_t i, k
    cdef real_t* adjoint
    for k in range(n):
        g[k] = lanes_load(here.outputs + (first + k) * LANES)
    for i in range(plan.n_weights):
        k = <Py_ssize_t> plan.weight_nodes[i] * LANES
        w = cotangent_weight(n, plan.weights + i * plan.n_outputs + first, g)
        total = lanes_fused(w, lanes_load(here.nodes + k), total)
        lanes_store(here.adjoints + k, lanes_add(w, lanes_load(here.adjoints + k)))
    for i in range(plan.n_groups):
        left = lanes_load(here.nodes + <Py_ssize_t> plan.group_left[i] * LANES)
        sum = lanes_zero()
        for k in range(plan.group_indptr[i], plan.group_indptr[i + 1]):
            w = cotangent_weight(n, plan.terminal_weights + k * plan.n_outputs + first, g)
            sum = lanes_fused(w, lanes_load(here.nodes + <Py_ssize_t> plan.terminal_right[k] * LANES), sum)
            adjoint = here.adjoints + <Py_ssize_t> plan.terminal_right[k] * LANES
            lanes_store(adjoint, lanes_fused(w, left, lanes_load(adjoint)))
        total = lanes_fused(left, sum, total)
        adjoint = here.adjoints + <Py_ssize_t> plan.group_left[i] * LANES
        lanes_store(adjoint, lanes_add(sum, lanes_load(adjoint)))
    if n == 0:
        lanes_store(here.outputs, total)


# Values of all outputs, four at a time: fixed lengths, so that the sums stay in registers
cdef void all_values(const LinearPlan* plan, const LinearScratch* here) noexcept nogil:
    cdef int first = 0, left = plan.n_outputs
    while left > 0:
        if left >= 4:
            output_values(4, first, plan, here)
        elif left == 3:
            output_values(3, first, plan, here)
        elif left == 2:
            output_values(2, first, plan, here)
        else:
            output_values(1, first, plan, here)
        first = first + 4
        left = left - 4


# The adjoints of all nodes
cdef void all_adjoints(const LinearPlan* plan, bint given, const LinearScratch* here) noexcept nogil:
    cdef int first = 0, left = plan.n_outputs
    memset(here.adjoints, 0, (here.outputs - here.adjoints) * sizeof(real_t))
    if not given:
        output_adjoints(0, 0, plan, here)
        return
    while left > 0:
        if left >= 4:
            output_adjoints(4, first, plan, here)
        elif left == 3:
            output_adjoints(3, first, plan, here)
        elif left == 2:
            output_adjoints(2, first, plan, here)
        else:
            output_adjoints(1, first, plan, here)
        first = first + 4
        left = left - 4


cdef void linear_block(const Job* job, Py_ssize_t block, int count, real_t* memory) noexcept nogil:
    cdef const LinearPlan* plan = job.linear
    cdef const offset_t* rows = job.rows + block * LANES
    cdef LinearScratch here = linear_scratch_at(plan, memory)
    cdef PairScratch scratch = pair_scratch_at(job.pooling, here.end)
    cdef Py_ssize_t size = job.pooling.n_leaves * LANES
    if job.has_sums:
        memcpy(here.nodes, job.sums + block * size, size * sizeof(real_t))
    else:
        pool_block(job.pooling, job.pairs, NULL, count, rows, &scratch, here.nodes, NULL)
        if job.sums != NULL:
            memcpy(job.sums + block * size, here.nodes, size * sizeof(real_t))
    set_constant(&plan.graph, 1.0, here.nodes)
    multiply_nodes(&plan.graph, here.nodes)
    if job.derivatives == NULL:
        all_values(plan, &here)
    else:
        if job.cotangents != NULL:
            read_rows(plan.n_outputs, count, rows, job.cotangents, here.outputs)
        all_adjoints(plan, job.cotangents != NULL, &here)
        pull_nodes(&plan.graph, here.nodes, here.adjoints)
        pull_block(job.pooling, job.pairs, count, rows, here.adjoints, &scratch, job.derivatives)
    if job.out != NULL:
        write_rows(plan.n_outputs, count, rows, here.outputs, job.out)


cdef class Linear:
    """Weights of one species of center, folded into products."""

    cdef LinearPlan plan
    cdef tuple keep_alive

    def __init__(
        self,
        Products products,
        const index_t[::1] weight_nodes,
        const index_t[::1] group_left,
        const index_t[::1] group_indptr,
        const index_t[::1] terminal_right,
        const real_t[:, ::1] weights,
        const real_t[:, ::1] terminal_weights,
    ):
        self.plan.graph = products.graph
        self.plan.n_weights = weights.shape[0]
        self.plan.n_groups = group_left.shape[0]
        self.plan.n_outputs = weights.shape[1]
        self.plan.weight_nodes = indices_of(weight_nodes)
        self.plan.weights = rows_of_reals(weights)
        self.plan.group_left = indices_of(group_left)
        self.plan.group_indptr = &group_indptr[0]
        self.plan.terminal_right = indices_of(terminal_right)
        self.plan.terminal_weights = rows_of_reals(terminal_weights)
        self.keep_alive = (
            products, weight_nodes, weights, group_left, group_indptr, terminal_right, terminal_weights
        )

    def evaluate(
        self, Pooling pooling, PairList part, real_t[:, :, ::1] sums, bint has_sums, real_t[:, ::1] values,
        const real_t[:, ::1] cotangents, real_t[:, ::1] gradients, int num_threads,
    ):
        """Run over the centers; what is empty is not wanted, or not given.

        values[row, p] = E_ip;  gradients[pair] = Σ_p cotangents[row, p] ∂E_ip/∂r_ij, or without cotangents those of
        the only output, then together with its value. `sums` keeps A of each block of centers, or has them already.
        """
        cdef Job job = job_of(part)
        job.pooling = &pooling.plan
        job.linear = &self.plan
        job.has_sums = has_sums
        job.sums = &sums[0, 0, 0] if sums.shape[0] > 0 else NULL
        job.out = rows_of_reals(values)
        job.cotangents = rows_of_reals(cotangents)
        job.derivatives = rows_of_reals(gradients)
        run(linear_block, &job, pair_scratch_size(&pooling.plan) + linear_scratch_size(&self.plan), num_threads)
