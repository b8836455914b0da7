# Products of neighbor sums and sparse operators on them, for LANES centers side by side.
#
# A node is LANES numbers.  Nodes 0..n_leaves are the A, then the constant 1, then one node per product.
from acepure._kernels.lanes cimport (
    lanes_fused,
    lanes_load,
    lanes_multiply,
    lanes_multiply_add,
    lanes_store,
    lanes_t,
    lanes_zero,
)
from acepure._kernels.types cimport LANES, index_t, real_t


# nodes[first + i] = nodes[left[i]] * nodes[right[i]]
cdef inline void multiply_nodes(
    Py_ssize_t n, const index_t* left, const index_t* right, Py_ssize_t first, real_t* nodes
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        lanes_store(
            nodes + (first + i) * LANES,
            lanes_multiply(
                lanes_load(nodes + <Py_ssize_t> left[i] * LANES), lanes_load(nodes + <Py_ssize_t> right[i] * LANES)
            ),
        )


# The same and its derivative, (N_l N_r)˙ = N_l Ṅ_r + N_r Ṅ_l
cdef inline void multiply_moving_nodes(
    Py_ssize_t n, const index_t* left, const index_t* right, Py_ssize_t first, real_t* nodes, real_t* tangents
) noexcept nogil:
    cdef Py_ssize_t i, l, r
    cdef lanes_t a, b
    for i in range(n):
        l = <Py_ssize_t> left[i] * LANES
        r = <Py_ssize_t> right[i] * LANES
        a = lanes_load(nodes + l)
        b = lanes_load(nodes + r)
        lanes_store(nodes + (first + i) * LANES, lanes_multiply(a, b))
        lanes_store(
            tangents + (first + i) * LANES,
            lanes_fused(a, lanes_load(tangents + r), lanes_multiply(b, lanes_load(tangents + l))),
        )


# y = M AA, M in CSR form, its columns products nodes[left] * nodes[right] that are not stored anywhere
cdef inline void sparse_apply_products(
    Py_ssize_t n_rows, const index_t* indptr, const index_t* left, const index_t* right, const real_t* data,
    const real_t* nodes, real_t* y,
) noexcept nogil:
    cdef Py_ssize_t row, k
    cdef lanes_t total
    for row in range(n_rows):
        total = lanes_zero()
        for k in range(indptr[row], indptr[row + 1]):
            total = lanes_multiply_add(
                data[k],
                lanes_multiply(
                    lanes_load(nodes + <Py_ssize_t> left[k] * LANES), lanes_load(nodes + <Py_ssize_t> right[k] * LANES)
                ),
                total,
            )
        lanes_store(y + row * LANES, total)


# The same and its derivative
cdef inline void sparse_apply_moving_products(
    Py_ssize_t n_rows, const index_t* indptr, const index_t* left, const index_t* right, const real_t* data,
    const real_t* nodes, const real_t* tangents, real_t* y, real_t* dy,
) noexcept nogil:
    cdef Py_ssize_t row, k, l, r
    cdef lanes_t total, moving, a, b
    for row in range(n_rows):
        total = moving = lanes_zero()
        for k in range(indptr[row], indptr[row + 1]):
            l = <Py_ssize_t> left[k] * LANES
            r = <Py_ssize_t> right[k] * LANES
            a = lanes_load(nodes + l)
            b = lanes_load(nodes + r)
            total = lanes_multiply_add(data[k], lanes_multiply(a, b), total)
            a = lanes_fused(a, lanes_load(tangents + r), lanes_multiply(b, lanes_load(tangents + l)))
            moving = lanes_multiply_add(data[k], a, moving)
        lanes_store(y + row * LANES, total)
        lanes_store(dy + row * LANES, moving)


# The tangent of `sparse_apply_products` for one center, whose values are at values[k * LANES]
cdef inline void sparse_apply_tangents(
    Py_ssize_t n_rows, const index_t* indptr, const index_t* left, const index_t* right, const real_t* data,
    const real_t* values, const real_t* tangents, real_t* y,
) noexcept nogil:
    cdef Py_ssize_t row, k, l, r
    cdef lanes_t total
    for row in range(n_rows):
        total = lanes_zero()
        for k in range(indptr[row], indptr[row + 1]):
            l = <Py_ssize_t> left[k] * LANES
            r = <Py_ssize_t> right[k] * LANES
            total = lanes_multiply_add(data[k] * values[r], lanes_load(tangents + l), total)
            total = lanes_multiply_add(data[k] * values[l], lanes_load(tangents + r), total)
        lanes_store(y + row * LANES, total)


# y = M x, M in CSR form
cdef inline void sparse_apply(
    Py_ssize_t n_rows, const index_t* indptr, const index_t* indices, const real_t* data, const real_t* x, real_t* y
) noexcept nogil:
    cdef Py_ssize_t row, k
    cdef lanes_t total
    for row in range(n_rows):
        total = lanes_zero()
        for k in range(indptr[row], indptr[row + 1]):
            total = lanes_multiply_add(data[k], lanes_load(x + <Py_ssize_t> indices[k] * LANES), total)
        lanes_store(y + row * LANES, total)
