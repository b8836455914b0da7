# The sums A alone, for arrays of centers; features from arrays of sums are in features.pxi.


cdef void sums_block(const Job* job, Py_ssize_t block, int count, real_t* memory) noexcept nogil:
    cdef Py_ssize_t n = job.pooling.n_leaves
    cdef real_t* tangents = memory + n * LANES
    cdef PairScratch scratch = pair_scratch_at(job.pooling, tangents + n * LANES)
    pool_block(job.pooling, job.pairs, job.motion, count, job.rows + block * LANES, &scratch, memory, tangents)
    write_rows(n, count, job.rows + block * LANES, memory, job.out)
    if job.motion != NULL:
        write_rows(n, count, job.rows + block * LANES, tangents, job.derivatives)


cdef void pull_sums_block(const Job* job, Py_ssize_t block, int count, real_t* memory) noexcept nogil:
    cdef Py_ssize_t n = job.pooling.n_leaves
    cdef const offset_t* rows = job.rows + block * LANES
    cdef PairScratch scratch = pair_scratch_at(job.pooling, memory + n * LANES)
    read_rows(n, count, rows, job.cotangents, memory)
    pull_block(job.pooling, job.pairs, count, rows, memory, &scratch, job.derivatives)


def pool(Pooling pooling, PairList part, real_t[:, ::1] out, real_t[:, ::1] derivatives, int num_threads):
    """Write A of the centers into the rows of `out`, and Ȧ along the motion unless `derivatives` is empty."""
    cdef Job job = job_of(part)
    job.pooling = &pooling.plan
    job.out = rows_of_reals(out)
    job.derivatives = rows_of_reals(derivatives)
    job.motion = &part.motion if job.derivatives != NULL else NULL
    run(sums_block, &job, pair_scratch_size(job.pooling) + 2 * LANES * <Py_ssize_t> job.pooling.n_leaves, num_threads)


def pull(
    Pooling pooling, PairList part, const real_t[:, ::1] cotangents, real_t[:, ::1] gradients, int num_threads
):
    """Write gradients[pair] = Σ_v cotangents[row, v] ∂A_v(i)/∂r_ij for the pairs of the centers."""
    cdef Job job = job_of(part)
    job.pooling = &pooling.plan
    job.cotangents = rows_of_reals(cotangents)
    job.derivatives = rows_of_reals(gradients)
    run(pull_sums_block, &job, pair_scratch_size(job.pooling) + LANES * <Py_ssize_t> job.pooling.n_leaves, num_threads)
