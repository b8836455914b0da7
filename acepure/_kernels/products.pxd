# Products of neighbor sums and sparse operators on them, for LANES centers side by side.
#
# A node is LANES numbers.  Nodes 0..n_leaves are the A, then the constant 1, then one node per product.
from acepure._kernels.lanes cimport (
    lanes_fused, lanes_load, lanes_multiply, lanes_multiply_add, lanes_store, lanes_t, lanes_zero,
)
from acepure._kernels.types cimport LANES, index_t, real_t


# Node first + i is the product of two earlier ones.
cdef struct Graph:
    Py_ssize_t first, n
    const index_t* left                # (n,)
    const index_t* right


# M ⊗ 1 with M in CSR form and 1 of `width` components: row i of M, component m, is number i * width + m.
# Where `right` is not NULL, columns are products of two nodes that are not stored anywhere, and width is 1.
cdef struct Csr:
    index_t n_rows                     # of M
    int width
    const index_t* indptr              # (n_rows + 1,)
    const index_t* indices
    const index_t* right
    const real_t* data


# nodes[first + i] = nodes[left[i]] * nodes[right[i]]
cdef inline void multiply_nodes(const Graph* graph, real_t* nodes) noexcept nogil:
    cdef const index_t* left = graph.left
    cdef const index_t* right = graph.right
    cdef real_t* product = nodes + graph.first * LANES
    cdef Py_ssize_t i
    for i in range(graph.n):
        lanes_store(
            product + i * LANES,
            lanes_multiply(
                lanes_load(nodes + <Py_ssize_t> left[i] * LANES), lanes_load(nodes + <Py_ssize_t> right[i] * LANES)
            ),
        )


# The same and its derivative, (N_l N_r)˙ = N_l Ṅ_r + N_r Ṅ_l
cdef inline void multiply_moving_nodes(const Graph* graph, real_t* nodes, real_t* tangents) noexcept nogil:
    cdef const index_t* left = graph.left
    cdef const index_t* right = graph.right
    cdef Py_ssize_t i, l, r, at = graph.first * LANES
    cdef lanes_t a, b
    for i in range(graph.n):
        l = <Py_ssize_t> left[i] * LANES
        r = <Py_ssize_t> right[i] * LANES
        a = lanes_load(nodes + l)
        b = lanes_load(nodes + r)
        lanes_store(nodes + at + i * LANES, lanes_multiply(a, b))
        lanes_store(
            tangents + at + i * LANES,
            lanes_fused(a, lanes_load(tangents + r), lanes_multiply(b, lanes_load(tangents + l))),
        )


# Reverse: adjoints[left] += adjoint N_right and adjoints[right] += adjoint N_left, from the last product to the first
cdef inline void pull_nodes(const Graph* graph, const real_t* nodes, real_t* adjoints) noexcept nogil:
    cdef const index_t* left = graph.left
    cdef const index_t* right = graph.right
    cdef Py_ssize_t i, l, r
    cdef lanes_t adjoint
    for i in range(graph.n - 1, -1, -1):
        l = <Py_ssize_t> left[i] * LANES
        r = <Py_ssize_t> right[i] * LANES
        adjoint = lanes_load(adjoints + (graph.first + i) * LANES)
        lanes_store(adjoints + l, lanes_fused(adjoint, lanes_load(nodes + r), lanes_load(adjoints + l)))
        lanes_store(adjoints + r, lanes_fused(adjoint, lanes_load(nodes + l), lanes_load(adjoints + r)))


# y = M AA for columns that are products
cdef inline void sparse_apply_products(const Csr* matrix, const real_t* nodes, real_t* y) noexcept nogil:
    cdef const index_t* indptr = matrix.indptr
    cdef const index_t* left = matrix.indices
    cdef const index_t* right = matrix.right
    cdef const real_t* data = matrix.data
    cdef Py_ssize_t row, k
    cdef lanes_t total
    for row in range(matrix.n_rows):
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
    const Csr* matrix, const real_t* nodes, const real_t* tangents, real_t* y, real_t* dy
) noexcept nogil:
    cdef const index_t* indptr = matrix.indptr
    cdef const index_t* left = matrix.indices
    cdef const index_t* right = matrix.right
    cdef const real_t* data = matrix.data
    cdef Py_ssize_t row, k, l, r
    cdef lanes_t total, moving, a, b
    for row in range(matrix.n_rows):
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
    const Csr* matrix, const real_t* values, const real_t* tangents, real_t* y
) noexcept nogil:
    cdef const index_t* indptr = matrix.indptr
    cdef const index_t* left = matrix.indices
    cdef const index_t* right = matrix.right
    cdef const real_t* data = matrix.data
    cdef Py_ssize_t row, k, l, r
    cdef lanes_t total
    for row in range(matrix.n_rows):
        total = lanes_zero()
        for k in range(indptr[row], indptr[row + 1]):
            l = <Py_ssize_t> left[k] * LANES
            r = <Py_ssize_t> right[k] * LANES
            total = lanes_multiply_add(data[k] * values[r], lanes_load(tangents + l), total)
            total = lanes_multiply_add(data[k] * values[l], lanes_load(tangents + r), total)
        lanes_store(y + row * LANES, total)


# y = M x
cdef inline void apply_matrix(const Csr* matrix, const real_t* x, real_t* y) noexcept nogil:
    cdef const index_t* indptr = matrix.indptr
    cdef const index_t* indices = matrix.indices
    cdef const real_t* data = matrix.data
    cdef Py_ssize_t row, k
    cdef lanes_t total
    for row in range(matrix.n_rows):
        total = lanes_zero()
        for k in range(indptr[row], indptr[row + 1]):
            total = lanes_multiply_add(data[k], lanes_load(x + <Py_ssize_t> indices[k] * LANES), total)
        lanes_store(y + row * LANES, total)


# n <= 5 of the components of y = (M ⊗ 1) x, from the first on: indices are read once for all of them
cdef inline void apply_components(int n, int first, const Csr* matrix, const real_t* x, real_t* y) noexcept nogil:
    cdef const index_t* indptr = matrix.indptr
    cdef const index_t* indices = matrix.indices
    cdef const real_t* data = matrix.data
    cdef Py_ssize_t row, k, stride = <Py_ssize_t> matrix.width * LANES
    cdef const real_t* source
    cdef lanes_t[5] total
    cdef int m
    for row in range(matrix.n_rows):
        for m in range(n):
            total[m] = lanes_zero()
        for k in range(indptr[row], indptr[row + 1]):
            source = x + indices[k] * stride + first * LANES
            for m in range(n):
                total[m] = lanes_multiply_add(data[k], lanes_load(source + m * LANES), total[m])
        for m in range(n):
            lanes_store(y + row * stride + (first + m) * LANES, total[m])


# y = (M ⊗ 1) x
cdef inline void sparse_apply(const Csr* matrix, const real_t* x, real_t* y) noexcept nogil:
    cdef int m
    if matrix.width == 1:
        apply_matrix(matrix, x, y)
    elif matrix.width == 3:                # fixed numbers, so that the sums stay in registers
        apply_components(3, 0, matrix, x, y)
    elif matrix.width == 5:
        apply_components(5, 0, matrix, x, y)
    else:
        for m in range(matrix.width):
            apply_components(1, m, matrix, x, y)
