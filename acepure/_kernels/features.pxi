# From sums to features and back: A -> products -> sparse operators -> B, with all derivatives.
#
#   forward    AA, then B = P_B (C_ext AA), or C AA;  tangents along (N_l N_r)˙ = N_l Ṅ_r + N_r Ṅ_l
#   reverse    ∂E/∂AA = C_extᵀ (P_Bᵀ g), then back through the products
#
# Forward, only products that are factors of others are stored.  An entry of C names the two factors of its product,
# which is multiplied where it is used: at order 4 most products would not stay in the cache until then.
#
# Each stage is there fused with the sums, where A and products of one block of centers stay in scratch, and for arrays
# of sums.
#
# Cost of a pushforward: 3 multiplications per product and 5 per entry of C, in place of 1 and 2; per pair 3 sums in
# place of 1, and the gradients of radial functions and harmonics.


cdef struct ContractionPlan:
    Py_ssize_t n_leaves, n_nodes, n_invariants, n_features
    bint has_purification
    Graph graph
    Csr symmetrize
    Csr purify


# What LANES centers need: pointers into one allocation.
cdef struct ContractionScratch:
    real_t* nodes        # (n_nodes, LANES)
    real_t* invariants   # (n_invariants, LANES)
    real_t* features     # (n_features, LANES)
    real_t* end


cdef inline ContractionScratch contraction_scratch_at(const ContractionPlan* plan, real_t* memory) noexcept nogil:
    cdef ContractionScratch scratch
    scratch.nodes = memory
    scratch.invariants = scratch.nodes + plan.n_nodes * LANES
    scratch.features = scratch.invariants + plan.n_invariants * LANES
    scratch.end = scratch.features + plan.n_features * LANES
    return scratch


cdef inline Py_ssize_t contraction_scratch_size(const ContractionPlan* plan) noexcept nogil:
    return LANES * (plan.n_nodes + plan.n_invariants + plan.n_features)


# The constant 1, or its derivative 0
cdef inline void set_constant(const Graph* graph, real_t value, real_t* nodes) noexcept nogil:
    cdef int c
    for c in range(LANES):
        nodes[(graph.first - 1) * LANES + c] = value


# From the leaves to the features, and with `moving` from their tangents to those of the features
cdef void contract(
    const ContractionPlan* plan, const ContractionScratch* here, const ContractionScratch* moving
) noexcept nogil:
    cdef bint purify = plan.has_purification
    cdef real_t* rows = here.invariants if purify else here.features
    set_constant(&plan.graph, 1.0, here.nodes)
    if moving == NULL:
        multiply_nodes(&plan.graph, here.nodes)
        sparse_apply_products(&plan.symmetrize, here.nodes, rows)
    else:
        set_constant(&plan.graph, 0.0, moving.nodes)
        multiply_moving_nodes(&plan.graph, here.nodes, moving.nodes)
        sparse_apply_moving_products(
            &plan.symmetrize, here.nodes, moving.nodes, rows, moving.invariants if purify else moving.features
        )
    if purify:
        sparse_apply(&plan.purify, here.invariants, here.features)
        if moving != NULL:
            sparse_apply(&plan.purify, moving.invariants, moving.features)


# From cotangents of the features to the adjoints of all nodes, with the leaves at here.nodes
cdef void pull_features(const ContractionPlan* plan, const ContractionScratch* here, real_t* adjoints) noexcept nogil:
    cdef const real_t* rows = here.features
    set_constant(&plan.graph, 1.0, here.nodes)
    multiply_nodes(&plan.graph, here.nodes)
    if plan.has_purification:
        sparse_apply(&plan.purify, here.features, here.invariants)
        rows = here.invariants
    sparse_apply(&plan.symmetrize, rows, adjoints)
    pull_nodes(&plan.graph, here.nodes, adjoints)


# out[targets[c], f] = values[f, c], LANES numbers at a time
cdef inline void write_rows(
    Py_ssize_t n, int count, const offset_t* targets, const real_t* values, real_t* out
) noexcept nogil:
    cdef real_t[LANES * LANES] tile
    cdef Py_ssize_t f = 0, k
    cdef int c
    while f + LANES <= n:
        lanes_transpose(values + f * LANES, LANES, tile)
        for c in range(count):
            lanes_store(out + targets[c] * n + f, lanes_load(tile + c * LANES))
        f = f + LANES
    for c in range(count):
        for k in range(f, n):
            out[targets[c] * n + k] = values[k * LANES + c]


# values[f, c] = source[targets[c], f]; zero in idle lanes
cdef inline void read_rows(
    Py_ssize_t n, int count, const offset_t* targets, const real_t* source, real_t* values
) noexcept nogil:
    cdef Py_ssize_t f
    cdef int c
    for f in range(n):
        for c in range(LANES):
            values[f * LANES + c] = source[targets[c] * n + f] if c < count else 0.0


# Features, and their derivatives where there is a motion; from pairs, or from sums in an array
cdef void features_block(const Job* job, Py_ssize_t block, int count, real_t* memory) noexcept nogil:
    cdef const ContractionPlan* plan = job.contraction
    cdef const offset_t* targets = job.targets + block * LANES
    cdef ContractionScratch here = contraction_scratch_at(plan, memory), moving
    cdef PairScratch scratch
    cdef bint moves = job.derivatives != NULL
    if moves:
        moving = contraction_scratch_at(plan, here.end)
    if job.has_sums:
        read_rows(plan.n_leaves, count, targets, job.sums, here.nodes)
        if moves:
            read_rows(plan.n_leaves, count, targets, job.tangents, moving.nodes)
    else:
        scratch = pair_scratch_at(job.pooling, moving.end if moves else here.end)
        pool_block(
            job.pooling, job.pairs, job.motion, count, job.rows + block * LANES, &scratch, here.nodes, moving.nodes
        )
    contract(plan, &here, &moving if moves else NULL)
    write_rows(plan.n_features, count, targets, here.features, job.out)
    if moves:
        write_rows(plan.n_features, count, targets, moving.features, job.derivatives)


# ∂E/∂r_ij from cotangents of features; or ∂E/∂A, for sums in an array
cdef void pullback_block(const Job* job, Py_ssize_t block, int count, real_t* memory) noexcept nogil:
    cdef const ContractionPlan* plan = job.contraction
    cdef const offset_t* rows = job.rows + block * LANES
    cdef ContractionScratch here = contraction_scratch_at(plan, memory)
    cdef real_t* adjoints = here.end
    cdef PairScratch scratch
    read_rows(plan.n_features, count, rows, job.cotangents, here.features)
    if job.has_sums:
        read_rows(plan.n_leaves, count, rows, job.sums, here.nodes)
        pull_features(plan, &here, adjoints)
        write_rows(plan.n_leaves, count, rows, adjoints, job.out)
    else:
        scratch = pair_scratch_at(job.pooling, adjoints + plan.n_nodes * LANES)
        pool_block(job.pooling, job.pairs, NULL, count, rows, &scratch, here.nodes, NULL)
        pull_features(plan, &here, adjoints)
        pull_block(job.pooling, job.pairs, count, rows, adjoints, &scratch, job.out)


cdef class Contraction:
    """Products and operators of one basis; read-only, so that many threads may use it at the same time.

    For `pullback` and `pullback_sums` the operators are transposed, C_extᵀ with rows by node; for the others C_ext has
    columns that are products.
    """

    cdef ContractionPlan plan
    cdef tuple keep_alive

    def __init__(self, Products products, Sparse symmetrize, Sparse purify, Py_ssize_t n_features):
        self.plan.n_leaves = products.graph.first - 1
        self.plan.n_nodes = products.graph.first + products.graph.n
        self.plan.n_features = n_features
        self.plan.has_purification = purify is not None
        self.plan.graph = products.graph
        self.plan.symmetrize = symmetrize.csr
        if purify is not None:
            self.plan.purify = purify.csr
            self.plan.n_invariants = (
                symmetrize.csr.n_rows if symmetrize.of_products else purify.csr.n_rows * purify.csr.width
            )
        self.keep_alive = products, symmetrize, purify

    def evaluate(
        self, Pooling pooling, PairList part, const offset_t[::1] targets, real_t[:, ::1] out,
        real_t[:, ::1] derivatives, int num_threads,
    ):
        """Write features into the rows `targets` of `out`, and, unless it is empty, their derivatives."""
        cdef Job job = job_of(part)
        job.pooling = &pooling.plan
        job.contraction = &self.plan
        job.targets = offsets_of(targets)
        job.out = rows_of_reals(out)
        job.derivatives = rows_of_reals(derivatives)
        job.motion = &part.motion if job.derivatives != NULL else NULL
        if out.shape[1] != self.plan.n_features or targets.shape[0] != part.n:
            raise ValueError(f"out has shape ({out.shape[0]}, {out.shape[1]})")
        run(
            features_block, &job, pair_scratch_size(&pooling.plan) + 2 * contraction_scratch_size(&self.plan),
            num_threads,
        )

    def pullback(
        self, Pooling pooling, PairList part, const real_t[:, ::1] cotangents, real_t[:, ::1] gradients, int num_threads
    ):
        """Write gradients[pair] = Σ_f cotangents[i, f] ∂B_f(i)/∂r_ij for the pairs of the centers."""
        cdef Job job = job_of(part)
        job.pooling = &pooling.plan
        job.contraction = &self.plan
        job.cotangents = rows_of_reals(cotangents)
        job.out = rows_of_reals(gradients)
        run(pullback_block, &job, pair_scratch_size(&pooling.plan) + self.reverse_size(), num_threads)

    def evaluate_sums(
        self, const offset_t[::1] rows, const real_t[:, ::1] values, const real_t[:, ::1] tangents, real_t[:, ::1] out,
        real_t[:, ::1] derivatives, int num_threads,
    ):
        """From the leaves of each center to features; derivatives along tangents unless they are empty."""
        cdef Job job = job_of(None)
        job.contraction = &self.plan
        job.n = rows.shape[0]
        job.targets = offsets_of(rows)
        job.has_sums = True
        job.sums = rows_of_reals(values)
        job.tangents = rows_of_reals(tangents)
        job.out = rows_of_reals(out)
        job.derivatives = rows_of_reals(derivatives)
        run(features_block, &job, 2 * contraction_scratch_size(&self.plan), num_threads)

    def pullback_sums(
        self, const offset_t[::1] rows, const real_t[:, ::1] values, const real_t[:, ::1] cotangents,
        real_t[:, ::1] out, int num_threads,
    ):
        """From cotangents of the features of each center to those of its leaves."""
        cdef Job job = job_of(None)
        job.contraction = &self.plan
        job.n = rows.shape[0]
        job.rows = offsets_of(rows)
        job.has_sums = True
        job.sums = rows_of_reals(values)
        job.cotangents = rows_of_reals(cotangents)
        job.out = rows_of_reals(out)
        run(pullback_block, &job, self.reverse_size(), num_threads)

    def jacobian(self, Pooling pooling, PairList part, real_t[:, :, ::1] out, int num_threads):
        """Write out[pair, a, f] = ∂B_f(i)/∂r_ij,a for the pairs of the centers."""
        cdef Job job = job_of(part)
        job.pooling = &pooling.plan
        job.contraction = &self.plan
        job.out = &out[0, 0, 0] if out.shape[0] > 0 else NULL
        run(jacobian_block, &job, pair_scratch_size(&pooling.plan) + self.reverse_size(), num_threads)

    # with room for adjoints or tangents of all nodes
    cdef Py_ssize_t reverse_size(self):
        return contraction_scratch_size(&self.plan) + LANES * self.plan.n_nodes
