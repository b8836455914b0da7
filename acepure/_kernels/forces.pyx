"""From gradients of pairs to forces and virial, and pair vectors of moved atoms."""

from cython.parallel cimport prange

from acepure._kernels.types cimport index_t, offset_t, real_t


def accumulate_forces(
    const offset_t[::1] offsets,
    const index_t[::1] centers,
    const index_t[::1] neighbors,
    const real_t[:, ::1] vectors,
    const real_t[:, ::1] gradients,
    real_t[:, ::1] forces,
    real_t[:, ::1] virial,
) -> None:
    """Add to forces and virial, with g = ∂E_i/∂r_ij of each pair.

    F_i += g, F_j -= g, W -= g ⊗ r_ij. One thread and one order, so that the sums are always the same bits.
    """
    cdef Py_ssize_t c, p, i, j, a, b
    cdef real_t x, y, z
    cdef real_t[9] w
    with nogil:
        for a in range(9):
            w[a] = 0.0
        for c in range(centers.shape[0]):
            i = centers[c]
            x = y = z = 0.0
            for p in range(offsets[c], offsets[c + 1]):
                j = neighbors[p]
                x = x + gradients[p, 0]
                y = y + gradients[p, 1]
                z = z + gradients[p, 2]
                for a in range(3):
                    forces[j, a] -= gradients[p, a]
                    for b in range(3):
                        w[3 * a + b] += gradients[p, a] * vectors[p, b]
            forces[i, 0] += x
            forces[i, 1] += y
            forces[i, 2] += z
        for a in range(3):
            for b in range(3):
                virial[a, b] -= w[3 * a + b]


def accumulate_rows(
    const offset_t[::1] offsets,
    const index_t[::1] centers,
    const index_t[::1] neighbors,
    const real_t[:, ::1] vectors,
    const real_t[:, :, ::1] jacobian,
    const real_t[::1] weights,
    real_t[:, :, ::1] rows,
    real_t[:, :, ::1] strain,
    int num_threads,
) -> None:
    """Add to the derivatives of Σ_i w_i B_i, with J = w_i ∂B(i)/∂r_ij of each pair.

    rows[j] += J, rows[i] -= J, strain[a, b] += J_a r_b. Threads take ranges of features, so that the sums are always
    taken in one order.
    """
    cdef Py_ssize_t n = jacobian.shape[2], width = 64, part
    for part in prange((n + width - 1) // width, nogil=True, num_threads=num_threads, schedule="static"):
        accumulate_range(
            offsets, centers, neighbors, vectors, jacobian, weights, rows, strain,
            part * width, min(n, (part + 1) * width),
        )


cdef void accumulate_range(
    const offset_t[::1] offsets, const index_t[::1] centers, const index_t[::1] neighbors,
    const real_t[:, ::1] vectors, const real_t[:, :, ::1] jacobian, const real_t[::1] weights,
    real_t[:, :, ::1] rows, real_t[:, :, ::1] strain, Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    cdef Py_ssize_t c, p, a, b, f
    cdef const real_t* J
    cdef real_t* here
    cdef real_t* there
    cdef real_t* bent
    cdef real_t r, w
    for c in range(centers.shape[0]):
        w = weights[c]
        for p in range(offsets[c], offsets[c + 1]):
            for a in range(3):
                J = &jacobian[p, a, 0]
                here = &rows[centers[c], a, 0]
                there = &rows[neighbors[p], a, 0]
                for f in range(first, last):
                    there[f] += w * J[f]
                for f in range(first, last):
                    here[f] -= w * J[f]
                for b in range(3):
                    bent = &strain[a, b, 0]
                    r = w * vectors[p, b]
                    for f in range(first, last):
                        bent[f] += r * J[f]


def update_vectors(
    const offset_t[::1] offsets,
    const index_t[::1] centers,
    const index_t[::1] neighbors,
    const index_t[:, ::1] shifts,
    const real_t[:, ::1] positions,
    const real_t[:, ::1] cell,
    real_t[:, ::1] vectors,
    int num_threads,
) -> int:
    """vectors[p] = positions[j] - positions[i] + shifts[p] @ cell; returns how many are shorter than 1e-6 Å."""
    cdef Py_ssize_t c, p, i, j, a
    cdef long met = 0
    for c in prange(centers.shape[0], nogil=True, num_threads=num_threads, schedule="static"):
        i = centers[c]
        for p in range(offsets[c], offsets[c + 1]):
            j = neighbors[p]
            for a in range(3):
                vectors[p, a] = (
                    positions[j, a] - positions[i, a]
                    + (shifts[p, 0] * cell[0, a] + shifts[p, 1] * cell[1, a] + shifts[p, 2] * cell[2, a])
                )
            met += (
                vectors[p, 0] * vectors[p, 0] + vectors[p, 1] * vectors[p, 1] + vectors[p, 2] * vectors[p, 2] < 1e-12
            )
    return met
