# Products of neighbor sums and sparse operators on them, for LANES centers side by side.
#
# A node is LANES numbers.  Nodes 0..n_leaves are the A, then the constant 1, then one node per product.
from acepure._kernels.lanes cimport lanes_load, lanes_multiply, lanes_multiply_add, lanes_store, lanes_t, lanes_zero
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


# The tangent of the above for one center, whose values are at values[k * LANES]
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
