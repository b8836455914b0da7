# Descriptors of many centers: pairs -> R, Y -> A -> products -> sparse operators -> features.
#
# Compiled once per instruction set (evaluator_baseline.pyx, evaluator_avx2.pyx, ...).  Work goes by blocks of LANES
# centers, which stand side by side in every product and every sparse row; threads take whole blocks, so the result does
# not depend on their number.  Memory beyond the output: one scratch area per thread.
from cython.parallel cimport prange, threadid
from libc.math cimport sqrt
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from acepure._kernels.harmonics cimport harmonics_lanes
from acepure._kernels.lanes cimport lanes_t
from acepure._kernels.pooling cimport pool, transpose_harmonics
from acepure._kernels.products cimport multiply_nodes, sparse_apply
from acepure._kernels.radial cimport N_RADIAL_PARAMETERS, polynomial_lanes, radial_lanes
from acepure._kernels.types cimport LANES, index_t, offset_t, real_t


# Sizes and tables of one evaluator: pointers into the arrays that its Python object keeps alive.
cdef struct Plan:
    index_t n_species, lmax, n_lm_blocks, n_channels, n_grades, n_radial
    index_t n_leaves, n_products, n_rows, n_features
    bint has_table, has_purification, has_shift
    Py_ssize_t pooled_size             # A of one center, padded
    const real_t* harmonics            # recurrence coefficients
    const real_t* radial_parameters    # (n_species * n_species, N_RADIAL_PARAMETERS)
    const real_t* recurrence           # (n_species * n_species, n_radial, 3), grade 1
    const real_t* chebyshev            # (n_channels, 3), higher grades
    const index_t* grade_sizes         # (n_grades,)
    const index_t* channel_start       # (n_species, n_channels)
    const index_t* channel_blocks      # (n_species, n_channels), 0 where a channel is unused
    const index_t* leaf_position       # (n_leaves,)
    const index_t* left                # (n_products,)
    const index_t* right
    const real_t* shift                # (n_species, n_leaves)
    const index_t* symmetrize_indptr
    const index_t* symmetrize_indices
    const real_t* symmetrize_data
    const index_t* purify_indptr
    const index_t* purify_indices
    const real_t* purify_data


# What one thread needs: pointers into one allocation.
cdef struct Scratch:
    real_t* pooled    # (LANES, pooled_size)
    real_t* R         # (n_channels, LANES)
    real_t* Y         # ((lmax + 1)**2, LANES)
    real_t* T         # (LANES, n_lm_blocks * LANES)
    real_t* nodes     # (n_leaves + 1 + n_products, LANES)
    real_t* rows      # (n_rows, LANES)
    real_t* features  # (n_features, LANES)


# The pairs that are waiting to be pooled, all of one ordered pair of species.
cdef struct Waiting:
    int count
    int kind
    int[LANES] center               # position of the center in its block
    Py_ssize_t[LANES] pair
    real_t[LANES] x
    real_t[LANES] y
    real_t[LANES] z


cdef Py_ssize_t scratch_size(const Plan* plan) noexcept nogil:
    return LANES * (
        plan.pooled_size
        + plan.n_channels
        + (plan.lmax + 1) * (plan.lmax + 1)
        + <Py_ssize_t> plan.n_lm_blocks * LANES
        + plan.n_leaves + 1 + plan.n_products
        + plan.n_rows
        + plan.n_features
    )


cdef Scratch scratch_at(const Plan* plan, real_t* memory) noexcept nogil:
    cdef Scratch scratch
    scratch.pooled = memory
    scratch.R = scratch.pooled + LANES * plan.pooled_size
    scratch.Y = scratch.R + LANES * plan.n_channels
    scratch.T = scratch.Y + LANES * (plan.lmax + 1) * (plan.lmax + 1)
    scratch.nodes = scratch.T + <Py_ssize_t> LANES * plan.n_lm_blocks * LANES
    scratch.rows = scratch.nodes + LANES * (<Py_ssize_t> plan.n_leaves + 1 + plan.n_products)
    scratch.features = scratch.rows + LANES * <Py_ssize_t> plan.n_rows
    return scratch


# R[q, lane] for the waiting pairs; channels run over n within each grade.
cdef void radial_channels(const Plan* plan, int kind, const real_t* r, real_t* R) noexcept nogil:
    cdef real_t[LANES] x, f, power
    cdef int grade, lane
    radial_lanes(r, plan.radial_parameters + kind * N_RADIAL_PARAMETERS, x, f)
    polynomial_lanes(x, f, plan.grade_sizes[0], plan.recurrence + kind * plan.n_radial * 3, R)
    for lane in range(LANES):
        power[lane] = f[lane]
    for grade in range(1, plan.n_grades):
        R = R + LANES * plan.grade_sizes[grade - 1]
        for lane in range(LANES):
            power[lane] = power[lane] * f[lane]
        if plan.grade_sizes[grade] > 0:
            polynomial_lanes(x, power, plan.grade_sizes[grade], plan.chebyshev, R)


# A += Σ over the waiting pairs
cdef void pool_waiting(const Plan* plan, Waiting* waiting, const real_t* table, Scratch* scratch) noexcept nogil:
    cdef real_t[LANES] r, u, v, w
    cdef int lane, first, q, z
    cdef int stride = plan.n_lm_blocks * LANES
    for lane in range(waiting.count, LANES):  # idle lanes repeat the first pair and are never pooled
        waiting.x[lane] = waiting.x[0]
        waiting.y[lane] = waiting.y[0]
        waiting.z[lane] = waiting.z[0]
    for lane in range(LANES):
        r[lane] = sqrt(
            waiting.x[lane] * waiting.x[lane] + waiting.y[lane] * waiting.y[lane] + waiting.z[lane] * waiting.z[lane]
        )
    for lane in range(LANES):
        u[lane] = waiting.x[lane] / r[lane]
        v[lane] = waiting.y[lane] / r[lane]
        w[lane] = waiting.z[lane] / r[lane]
    if plan.has_table:
        for lane in range(waiting.count):
            for q in range(plan.n_channels):
                scratch.R[q * LANES + lane] = table[waiting.pair[lane] * plan.n_channels + q]
    else:
        radial_channels(plan, waiting.kind, r, scratch.R)
    harmonics_lanes(u, v, w, plan.lmax, plan.harmonics, scratch.Y)
    transpose_harmonics(scratch.Y, (plan.lmax + 1) * (plan.lmax + 1), plan.n_lm_blocks, scratch.T)
    z = waiting.kind % plan.n_species
    first = 0
    for lane in range(1, waiting.count + 1):
        if lane == waiting.count or waiting.center[lane] != waiting.center[first]:
            pool(
                scratch.R, scratch.T, first, lane, plan.n_channels,
                plan.channel_start + z * plan.n_channels, plan.channel_blocks + z * plan.n_channels,
                stride, scratch.pooled + waiting.center[first] * plan.pooled_size,
            )
            first = lane
    waiting.count = 0


# Features of up to LANES centers.
cdef void evaluate_block(
    const Plan* plan,
    Py_ssize_t count,
    const offset_t* rows,          # which centers, as rows of the neighbor list and of `out`
    const offset_t* offsets,
    const real_t* vectors,
    const index_t* center_species,
    const index_t* pair_species,
    const real_t* table,
    real_t* out,
    Scratch scratch,
) noexcept nogil:
    cdef Waiting waiting
    cdef offset_t[LANES] cursor
    cdef offset_t pair
    cdef Py_ssize_t i, f
    cdef int c, z, kind, lane
    cdef const real_t* shift
    memset(scratch.pooled, 0, LANES * plan.pooled_size * sizeof(real_t))
    waiting.count = 0
    for c in range(count):
        cursor[c] = offsets[rows[c]]
    for z in range(plan.n_species):            # pairs of one center are sorted by the species of the neighbor
        for c in range(count):
            kind = center_species[rows[c]] * plan.n_species + z
            pair = cursor[c]
            while pair < offsets[rows[c] + 1] and pair_species[pair] == z:
                if waiting.count == LANES or (waiting.count > 0 and waiting.kind != kind):
                    pool_waiting(plan, &waiting, table, &scratch)
                lane = waiting.count
                waiting.kind = kind
                waiting.center[lane] = c
                waiting.pair[lane] = pair
                waiting.x[lane] = vectors[3 * pair]
                waiting.y[lane] = vectors[3 * pair + 1]
                waiting.z[lane] = vectors[3 * pair + 2]
                waiting.count = lane + 1
                pair = pair + 1
            cursor[c] = pair
    if waiting.count > 0:
        pool_waiting(plan, &waiting, table, &scratch)
    for i in range(plan.n_leaves):
        for c in range(LANES):
            scratch.nodes[i * LANES + c] = scratch.pooled[c * plan.pooled_size + plan.leaf_position[i]]
    if plan.has_shift:                         # Ã = A − μ
        for c in range(count):
            shift = plan.shift + center_species[rows[c]] * <Py_ssize_t> plan.n_leaves
            for i in range(plan.n_leaves):
                scratch.nodes[i * LANES + c] = scratch.nodes[i * LANES + c] - shift[i]
    for c in range(LANES):
        scratch.nodes[plan.n_leaves * LANES + c] = 1.0
    multiply_nodes(plan.n_products, plan.left, plan.right, plan.n_leaves + 1, scratch.nodes)
    if plan.has_purification:                  # B = P_B (C_ext AA_ext)
        sparse_apply(
            plan.n_rows, plan.symmetrize_indptr, plan.symmetrize_indices, plan.symmetrize_data,
            scratch.nodes, scratch.rows,
        )
        sparse_apply(
            plan.n_features, plan.purify_indptr, plan.purify_indices, plan.purify_data, scratch.rows, scratch.features
        )
    else:                                      # B = C AA
        sparse_apply(
            plan.n_features, plan.symmetrize_indptr, plan.symmetrize_indices, plan.symmetrize_data,
            scratch.nodes, scratch.features,
        )
    for c in range(count):
        for f in range(plan.n_features):
            out[rows[c] * plan.n_features + f] = scratch.features[f * LANES + c]


cdef class Evaluator:
    """Tables of one basis, built once; `evaluate` may be called from many threads at the same time."""

    cdef Plan plan
    cdef tuple keep_alive

    def __init__(
        self,
        int n_species,
        int lmax,
        const real_t[::1] harmonics,
        const real_t[:, ::1] radial_parameters,
        const real_t[:, :, ::1] recurrence,
        const real_t[:, ::1] chebyshev,
        const index_t[::1] grade_sizes,
        const index_t[:, ::1] channel_start,
        const index_t[:, ::1] channel_blocks,
        Py_ssize_t pooled_size,
        const index_t[::1] leaf_position,
        const index_t[::1] left,
        const index_t[::1] right,
        const real_t[:, ::1] shift,
        const index_t[::1] symmetrize_indptr,
        const index_t[::1] symmetrize_indices,
        const real_t[::1] symmetrize_data,
        const index_t[::1] purify_indptr,
        const index_t[::1] purify_indices,
        const real_t[::1] purify_data,
    ):
        cdef Plan plan
        plan.n_species = n_species
        plan.lmax = lmax
        plan.n_lm_blocks = ((lmax + 1) * (lmax + 1) + LANES - 1) // LANES
        plan.n_channels = channel_start.shape[1]
        plan.n_grades = grade_sizes.shape[0]
        plan.n_radial = recurrence.shape[1]
        plan.n_leaves = leaf_position.shape[0]
        plan.n_products = left.shape[0]
        plan.has_table = radial_parameters.shape[0] == 0
        plan.has_purification = purify_indptr.shape[0] > 1
        plan.has_shift = shift.shape[0] > 0
        plan.n_rows = symmetrize_indptr.shape[0] - 1
        plan.n_features = purify_indptr.shape[0] - 1 if plan.has_purification else plan.n_rows
        plan.pooled_size = pooled_size
        plan.harmonics = &harmonics[0]
        plan.radial_parameters = NULL if plan.has_table else &radial_parameters[0, 0]
        plan.recurrence = NULL if plan.has_table else &recurrence[0, 0, 0]
        plan.chebyshev = &chebyshev[0, 0] if chebyshev.shape[0] > 0 else NULL
        plan.grade_sizes = NULL if plan.has_table else &grade_sizes[0]
        plan.channel_start = &channel_start[0, 0]
        plan.channel_blocks = &channel_blocks[0, 0]
        plan.leaf_position = &leaf_position[0]
        plan.left = &left[0] if plan.n_products > 0 else NULL
        plan.right = &right[0] if plan.n_products > 0 else NULL
        plan.shift = &shift[0, 0] if plan.has_shift else NULL
        plan.symmetrize_indptr = &symmetrize_indptr[0]
        plan.symmetrize_indices = &symmetrize_indices[0]
        plan.symmetrize_data = &symmetrize_data[0]
        plan.purify_indptr = &purify_indptr[0] if plan.has_purification else NULL
        plan.purify_indices = &purify_indices[0] if plan.has_purification else NULL
        plan.purify_data = &purify_data[0] if plan.has_purification else NULL
        self.plan = plan
        self.keep_alive = (
            harmonics, radial_parameters, recurrence, chebyshev, grade_sizes, channel_start, channel_blocks,
            leaf_position, left, right, shift, symmetrize_indptr, symmetrize_indices, symmetrize_data,
            purify_indptr, purify_indices, purify_data,
        )

    def evaluate(
        self,
        const offset_t[::1] rows,
        const offset_t[::1] offsets,
        const real_t[:, ::1] vectors,
        const index_t[::1] center_species,
        const index_t[::1] pair_species,
        const real_t[:, ::1] table,
        real_t[:, ::1] out,
        int num_threads,
    ):
        """Write the features of the centers `rows` of a neighbor list into the rows of the same numbers of `out`."""
        cdef Py_ssize_t n = rows.shape[0], n_blocks = (n + LANES - 1) // LANES, block, size
        cdef const real_t* vector_data = &vectors[0, 0] if vectors.shape[0] > 0 else NULL
        cdef const index_t* pair_data = &pair_species[0] if pair_species.shape[0] > 0 else NULL
        cdef const real_t* table_data = &table[0, 0] if table.shape[0] > 0 else NULL
        cdef const Plan* plan = &self.plan
        cdef real_t* memory
        if n == 0:
            return
        if out.shape[1] != plan.n_features or out.shape[0] != offsets.shape[0] - 1:
            raise ValueError(f"out has shape ({out.shape[0]}, {out.shape[1]})")
        size = scratch_size(plan)
        memory = <real_t*> malloc(num_threads * size * sizeof(real_t))
        if memory == NULL:
            raise MemoryError(f"scratch of {num_threads * size * sizeof(real_t)} bytes")
        for block in prange(n_blocks, nogil=True, num_threads=num_threads, schedule="dynamic"):
            evaluate_block(
                plan, min(<Py_ssize_t> LANES, n - block * LANES), &rows[block * LANES], &offsets[0], vector_data,
                &center_species[0], pair_data, table_data, &out[0, 0],
                scratch_at(plan, memory + threadid() * size),
            )
        free(memory)
