# What Python hands to the evaluators, and the one loop over blocks of centers.
#
# Work goes by blocks of LANES centers, which stand side by side in every product and every sparse row; threads take
# whole blocks, so the result does not depend on their number.  Memory beyond the output: one scratch area per thread.
from cython.parallel cimport prange, threadid
from libc.stdlib cimport free, malloc

from acepure._kernels.products cimport (
    Csr, Graph, multiply_moving_nodes, multiply_nodes, pull_nodes, sparse_apply, sparse_apply_moving_products,
    sparse_apply_products, sparse_apply_tangents,
)


# First numbers of arrays; NULL where there are none.
cdef inline real_t* reals(const real_t[::1] array) noexcept:
    return <real_t*> &array[0] if array.shape[0] > 0 else NULL


cdef inline real_t* rows_of_reals(const real_t[:, ::1] array) noexcept:
    return <real_t*> &array[0, 0] if array.shape[0] > 0 and array.shape[1] > 0 else NULL


cdef inline index_t* indices_of(const index_t[::1] array) noexcept:
    return <index_t*> &array[0] if array.shape[0] > 0 else NULL


cdef inline offset_t* offsets_of(const offset_t[::1] array) noexcept:
    return <offset_t*> &array[0] if array.shape[0] > 0 else NULL


cdef class Products:
    """A graph of products: node n_leaves + 1 + i is nodes[left[i]] * nodes[right[i]]."""

    cdef Graph graph
    cdef tuple keep_alive

    def __init__(self, Py_ssize_t n_leaves, const index_t[::1] left, const index_t[::1] right):
        self.graph.first = n_leaves + 1
        self.graph.n = left.shape[0]
        self.graph.left = indices_of(left)
        self.graph.right = indices_of(right)
        self.keep_alive = left, right


cdef class Sparse:
    """A matrix M ⊗ 1 in CSR form, 1 of `width` components; with `right`, its columns are products of two nodes."""

    cdef Csr csr
    cdef bint of_products
    cdef tuple keep_alive

    def __init__(
        self,
        const index_t[::1] indptr,
        const index_t[::1] indices,
        const real_t[::1] data,
        const index_t[::1] right=None,
        int width=1,
    ):
        self.of_products = right is not None
        self.csr.n_rows = indptr.shape[0] - 1
        self.csr.width = width
        self.csr.indptr = &indptr[0]
        self.csr.indices = indices_of(indices)
        self.csr.right = NULL if right is None else indices_of(right)
        self.csr.data = reals(data)
        self.keep_alive = indptr, indices, data, right


cdef class PairList:
    """The centers `rows` of a neighbor list, with radial functions of its pairs where they have no kernel."""

    cdef Pairs pairs
    cdef Motion motion
    cdef Py_ssize_t n
    cdef const offset_t* rows
    cdef list keep_alive

    def __init__(
        self,
        const offset_t[::1] rows,
        const offset_t[::1] offsets,
        const real_t[:, ::1] vectors,
        const index_t[::1] center_species,
        const index_t[::1] pair_species,
        const real_t[:, ::1] table,
        const real_t[:, ::1] table_gradients,
    ):
        self.n = rows.shape[0]
        self.rows = offsets_of(rows)
        self.pairs.offsets = &offsets[0]
        self.pairs.vectors = rows_of_reals(vectors)
        self.pairs.center_species = indices_of(center_species)
        self.pairs.pair_species = indices_of(pair_species)
        self.pairs.table = rows_of_reals(table)
        self.pairs.table_gradients = rows_of_reals(table_gradients)
        self.keep_alive = [rows, offsets, vectors, center_species, pair_species, table, table_gradients]

    def move(
        self,
        const index_t[::1] centers,
        const index_t[::1] neighbors,
        const real_t[:, ::1] displacements,
        const real_t[:, ::1] strain,
    ):
        """Let the atoms move along ṙ_ij = w_j − w_i + ε r_ij."""
        self.motion.centers = indices_of(centers)
        self.motion.neighbors = indices_of(neighbors)
        self.motion.displacements = rows_of_reals(displacements)
        self.motion.strain = rows_of_reals(strain)
        self.keep_alive += [centers, neighbors, displacements, strain]


# One run over centers: what it reads and writes. Which fields are used, and their shapes, is said where jobs are made.
cdef struct Job:
    const PoolingPlan* pooling
    const ContractionPlan* contraction
    const LinearPlan* linear
    const Pairs* pairs
    const Motion* motion               # NULL where nothing moves
    Py_ssize_t n                       # centers
    const offset_t* rows               # (n,), which centers of the list they are
    const offset_t* targets            # (n,), rows of `out`
    real_t* sums
    bint has_sums                      # whether `sums` are read rather than written
    const real_t* tangents
    const real_t* cotangents
    real_t* out
    real_t* derivatives


ctypedef void (*block_function)(const Job* job, Py_ssize_t block, int count, real_t* memory) noexcept nogil


cdef Job job_of(PairList part):
    cdef Job job
    memset(&job, 0, sizeof(Job))
    if part is not None:
        job.pairs = &part.pairs
        job.n = part.n
        job.rows = part.rows
    return job


# Do all blocks, with `size` numbers of scratch for each thread, a multiple of LANES. Scratch starts at a cache line: a
# node that lies across two takes a third more time.
cdef int run(block_function function, const Job* job, Py_ssize_t size, int num_threads) except -1:
    cdef Py_ssize_t n = job.n, n_blocks = (n + LANES - 1) // LANES, block
    cdef Py_ssize_t line = LANES * sizeof(real_t), n_bytes = num_threads * size * sizeof(real_t) + line
    cdef void* allocated
    cdef real_t* memory
    if n == 0:
        return 0
    allocated = malloc(n_bytes)
    if allocated == NULL:
        raise MemoryError(f"scratch of {n_bytes} bytes")
    memory = <real_t*> ((<size_t> allocated + line - 1) // line * line)
    for block in prange(n_blocks, nogil=True, num_threads=num_threads, schedule="dynamic"):
        function(job, block, <int> min(<Py_ssize_t> LANES, n - block * LANES), memory + threadid() * size)
    free(allocated)
    return 0
