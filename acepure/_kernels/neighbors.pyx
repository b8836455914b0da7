"""Pairs in any order, each once -> the sorted list of both their directions, grouped by center (CSR).

A full list holds every pair (i, j, S) with

    r_ij = r_j - r_i + S·cell,    |r_ij| < rcut[z_i, z_j]

The input is a half list: of (i, j, S) and (j, i, -S) it holds one. Entry 2p of the full list is pair p as it is given,
entry 2p + 1 is its reverse.

The order wanted is: center, then rank of the neighbor (by species, then by atom), then shift.  Sorting
first by neighbor and then, stably, by center takes two counting sorts, O(pairs + atoms), without a
comparison.  What is left are runs of images of one atom; they are sorted in place by a heapsort, so a
cell much smaller than the cutoff costs O(n log n), not O(n²).

Nothing here depends on the order of the input, and so on the number of threads that produced it.

Few atoms need no grid: `images` gives the half list of each pair of atoms with all its images.
"""

from libc.math cimport ceil, fabs, floor, sqrt

from acepure._kernels.types cimport index_t, offset_t, real_t

# Two atoms nearer than this are one atom given twice (squared, Å²).
cdef real_t COINCIDENT2 = 1e-12


cdef inline size_t center_of(const size_t[:, ::1] pairs, offset_t entry) noexcept nogil:
    return pairs[entry >> 1, entry & 1]


cdef inline size_t neighbor_of(const size_t[:, ::1] pairs, offset_t entry) noexcept nogil:
    return pairs[entry >> 1, 1 - (entry & 1)]


cdef inline int shift_of(const int[:, ::1] shifts, offset_t entry, int axis) noexcept nogil:
    return -shifts[entry >> 1, axis] if entry & 1 else shifts[entry >> 1, axis]


cdef inline bint shift_less(const int[:, ::1] shifts, index_t p, index_t q) noexcept nogil:
    cdef int axis
    for axis in range(2):
        if shift_of(shifts, p, axis) != shift_of(shifts, q, axis):
            return shift_of(shifts, p, axis) < shift_of(shifts, q, axis)
    return shift_of(shifts, p, 2) < shift_of(shifts, q, 2)


cdef void sift_down(
    const int[:, ::1] shifts, index_t[::1] order, offset_t begin, offset_t root, offset_t size
) noexcept nogil:
    cdef offset_t child
    cdef index_t moved = order[begin + root]
    while 2 * root + 1 < size:
        child = 2 * root + 1
        if child + 1 < size and shift_less(shifts, order[begin + child], order[begin + child + 1]):
            child += 1
        if not shift_less(shifts, moved, order[begin + child]):
            break
        order[begin + root] = order[begin + child]
        root = child
    order[begin + root] = moved


cdef void sort_run(
    const int[:, ::1] shifts, index_t[::1] order, offset_t begin, offset_t end
) noexcept nogil:
    # order[begin:end] = sorted(order[begin:end], key=lambda p: tuple(shifts[p]))
    cdef offset_t size = end - begin, k
    cdef index_t last
    for k in range(size // 2 - 1, -1, -1):
        sift_down(shifts, order, begin, k, size)
    for k in range(size - 1, 0, -1):
        last = order[begin + k]
        order[begin + k] = order[begin]
        order[begin] = last
        sift_down(shifts, order, begin, 0, k)


cdef void order_pairs(
    const size_t[:, ::1] pairs, const int[:, ::1] shifts, const index_t[::1] slot, const index_t[::1] rank,
    const offset_t[::1] offsets, offset_t[::1] next_free, index_t[::1] by_neighbor, index_t[::1] order,
) noexcept nogil:
    cdef Py_ssize_t n_entries = 2 * pairs.shape[0], n_centers = offsets.shape[0] - 1, p, q, c
    cdef offset_t total = 0, count, run, end
    cdef index_t k

    # by_neighbor = argsort(rank[j]) over the pairs whose center is selected
    for q in range(next_free.shape[0]):
        next_free[q] = 0
    for p in range(n_entries):
        if slot[center_of(pairs, p)] >= 0:
            next_free[rank[neighbor_of(pairs, p)]] += 1
    for q in range(next_free.shape[0]):
        count = next_free[q]
        next_free[q] = total
        total += count
    for p in range(n_entries):
        if slot[center_of(pairs, p)] >= 0:
            k = rank[neighbor_of(pairs, p)]
            by_neighbor[next_free[k]] = <index_t>p
            next_free[k] += 1

    # order = by_neighbor, sorted stably by center
    for c in range(n_centers):
        next_free[c] = offsets[c]
    for q in range(total):
        k = slot[center_of(pairs, by_neighbor[q])]
        order[next_free[k]] = by_neighbor[q]
        next_free[k] += 1

    # images of one neighbor: by shift
    for c in range(n_centers):
        run = offsets[c]
        while run < offsets[c + 1]:
            end = run + 1
            while end < offsets[c + 1] and neighbor_of(pairs, order[end]) == neighbor_of(pairs, order[run]):
                end += 1
            if end > run + 1:
                sort_run(shifts, order, run, end)
            run = end


cdef offset_t fill(
    const size_t[:, ::1] pairs, const int[:, ::1] shifts, const index_t[::1] order,
    const real_t[:, ::1] positions, const real_t[:, ::1] cell, const index_t[::1] species,
    const real_t[:, ::1] cutoff2, offset_t[::1] offsets, index_t[::1] neighbors,
    index_t[:, ::1] out_shifts, real_t[:, ::1] vectors,
) noexcept nogil:
    cdef Py_ssize_t n_centers = offsets.shape[0] - 1, c
    cdef offset_t q, begin = 0, end, kept = 0
    cdef size_t i, j
    cdef index_t p, s0, s1, s2
    cdef real_t x, y, z, r2
    for c in range(n_centers):
        end = offsets[c + 1]
        for q in range(begin, end):
            p = order[q]
            i = center_of(pairs, p)
            j = neighbor_of(pairs, p)
            s0 = shift_of(shifts, p, 0)
            s1 = shift_of(shifts, p, 1)
            s2 = shift_of(shifts, p, 2)
            # r_ij = r_j - r_i + S @ cell
            x = positions[j, 0] - positions[i, 0] + (s0 * cell[0, 0] + s1 * cell[1, 0] + s2 * cell[2, 0])
            y = positions[j, 1] - positions[i, 1] + (s0 * cell[0, 1] + s1 * cell[1, 1] + s2 * cell[2, 1])
            z = positions[j, 2] - positions[i, 2] + (s0 * cell[0, 2] + s1 * cell[1, 2] + s2 * cell[2, 2])
            r2 = x * x + y * y + z * z
            if r2 < COINCIDENT2:
                return -1 - <offset_t>p
            if r2 < cutoff2[species[i], species[j]]:
                neighbors[kept] = <index_t>j
                out_shifts[kept, 0] = s0
                out_shifts[kept, 1] = s1
                out_shifts[kept, 2] = s2
                vectors[kept, 0] = x
                vectors[kept, 1] = y
                vectors[kept, 2] = z
                kept += 1
        begin = end
        offsets[c + 1] = kept
    return kept


def count_pairs(const size_t[:, ::1] pairs, const index_t[::1] slot, offset_t[::1] offsets) -> None:
    """Count the pairs of each center: offsets[c + 1] - offsets[c] of center c.

    Parameters
    ----------
    pairs : (n_pairs, 2), atoms i and j, each pair once
    slot : (n_atoms,), number of the center that atom i is, or -1 if it is none
    offsets : (n_centers + 1,), output
    """
    cdef Py_ssize_t p, c
    with nogil:
        for c in range(offsets.shape[0]):
            offsets[c] = 0
        for p in range(2 * pairs.shape[0]):
            if slot[center_of(pairs, p)] >= 0:
                offsets[slot[center_of(pairs, p)] + 1] += 1
        for c in range(1, offsets.shape[0]):
            offsets[c] += offsets[c - 1]


def sort_pairs(
    const size_t[:, ::1] pairs, const int[:, ::1] shifts, const index_t[::1] slot, const index_t[::1] rank,
    const real_t[:, ::1] positions, const real_t[:, ::1] cell, const index_t[::1] species,
    const real_t[:, ::1] cutoff2, offset_t[::1] next_free, index_t[::1] by_neighbor, index_t[::1] order,
    offset_t[::1] offsets, index_t[::1] neighbors, index_t[:, ::1] out_shifts, real_t[:, ::1] vectors,
) -> int:
    """Sort the pairs, compute their vectors and keep those inside the cutoff of their species.

    Parameters
    ----------
    pairs, slot : as in `count_pairs`
    shifts : (n_pairs, 3), S
    rank : (n_atoms,), place of atom j in the order of neighbors
    positions, cell : (n_atoms, 3) and (3, 3), Å
    species, cutoff2 : (n_atoms,) and (n_species, n_species), squared cutoffs in Å²
    next_free, by_neighbor, order : scratch, (n_atoms,), (m,) and (m,) with m = offsets[-1]
    offsets : (n_centers + 1,), from `count_pairs`; on return, of the pairs kept
    neighbors, out_shifts, vectors : (m,), (m, 3), (m, 3), outputs, of which the first n are filled

    Returns
    -------
    int
        Number of pairs kept, n; or -1 - e if the atoms of entry e coincide.
    """
    cdef offset_t kept
    with nogil:
        order_pairs(pairs, shifts, slot, rank, offsets, next_free, by_neighbor, order)
        kept = fill(
            pairs, shifts, order, positions, cell, species, cutoff2, offsets, neighbors, out_shifts, vectors
        )
    return kept


cdef void lattice(
    const real_t[:, ::1] cell, const unsigned char[::1] periodic, int *axes, real_t (*q)[3], real_t (*R)[3]
) noexcept nogil:
    # cell[axes[k]] = sum_{m <= k} R[k][m] q[m] of the n periodic axes, q orthonormal; axes that are not come last
    cdef int n = 0, axis, m, again, x, last = 2
    cdef real_t part
    for axis in range(3):
        for x in range(3):
            q[axis][x] = R[axis][x] = 0
    for axis in range(3):
        if not periodic[axis]:
            axes[last] = axis
            last -= 1
            continue
        axes[n] = axis
        for x in range(3):
            q[n][x] = cell[axis, x]
        for again in range(2):  # twice is enough
            for m in range(n):
                part = q[n][0] * q[m][0] + q[n][1] * q[m][1] + q[n][2] * q[m][2]
                R[n][m] += part
                for x in range(3):
                    q[n][x] -= part * q[m][x]
        R[n][n] = sqrt(q[n][0] * q[n][0] + q[n][1] * q[n][1] + q[n][2] * q[n][2])
        for x in range(3):
            q[n][x] /= R[n][n]
        n += 1


cdef inline bint steps(
    real_t at, real_t step, real_t budget, int farthest, int *low, int *high
) noexcept nogil:
    # All s with |at + s step|^2 <= budget are low <= s <= high; False if that is farther than `farthest`.
    # A step of 0 stands for an axis that is not periodic.
    cdef real_t width, first, last
    low[0] = high[0] = 0
    if step == 0:
        return True
    width = sqrt(budget)
    first = ceil((-width - at) / step)
    last = floor((width - at) / step)
    if not (fabs(first) <= farthest and fabs(last) <= farthest):
        return False
    low[0] = <int>first
    high[0] = <int>last
    return True


cdef offset_t enumerate_images(
    const real_t[:, ::1] positions, const real_t[:, ::1] cell, const unsigned char[::1] periodic, real_t search,
    int farthest, size_t[:, ::1] pairs, int[:, ::1] shifts,
) noexcept nogil:
    cdef Py_ssize_t n_atoms = positions.shape[0], room = pairs.shape[0], i, j
    cdef offset_t found = 0
    cdef int k, x, s0, s1, s2, low0, low1, low2, high0, high1, high2
    cdef real_t d[3]
    cdef real_t at[3]
    cdef int axes[3]
    cdef real_t q[3][3]
    cdef real_t R[3][3]
    cdef real_t rest0, rest1, rest2, at0, at1, at2
    lattice(cell, periodic, axes, q, R)
    for i in range(n_atoms):
        for k in range(3):
            at0 = positions[i, 0] * q[k][0] + positions[i, 1] * q[k][1] + positions[i, 2] * q[k][2]
            if fabs(at0) > farthest * R[k][k]:
                return -1
    for i in range(n_atoms):
        for j in range(i, n_atoms):
            for x in range(3):
                d[x] = positions[j, x] - positions[i, x]
            for k in range(3):
                at[k] = d[0] * q[k][0] + d[1] * q[k][1] + d[2] * q[k][2]
            rest2 = search * search
            for x in range(3):  # what no shift changes
                at2 = d[x] - at[0] * q[0][x] - at[1] * q[1][x] - at[2] * q[2][x]
                rest2 -= at2 * at2
            if rest2 < 0:
                continue
            if not steps(at[2], R[2][2], rest2, farthest, &low2, &high2):
                return -1
            if i == j:  # of S and -S the one whose last entry, other than 0, is positive
                low2 = max(low2, 0)
            for s2 in range(low2, high2 + 1):
                at2 = at[2] + s2 * R[2][2]
                rest1 = rest2 - at2 * at2
                if rest1 < 0:
                    continue
                at1 = at[1] + s2 * R[2][1]
                if not steps(at1, R[1][1], rest1, farthest, &low1, &high1):
                    return -1
                if i == j and s2 == 0:
                    low1 = max(low1, 0)
                for s1 in range(low1, high1 + 1):
                    at2 = at1 + s1 * R[1][1]
                    rest0 = rest1 - at2 * at2
                    if rest0 < 0:
                        continue
                    at0 = at[0] + s2 * R[2][0] + s1 * R[1][0]
                    if not steps(at0, R[0][0], rest0, farthest, &low0, &high0):
                        return -1
                    if i == j and s2 == 0 and s1 == 0:
                        low0 = max(low0, 1)
                    for s0 in range(low0, high0 + 1):
                        if found < room:
                            pairs[found, 0] = i
                            pairs[found, 1] = j
                            shifts[found, axes[0]] = s0
                            shifts[found, axes[1]] = s1
                            shifts[found, axes[2]] = s2
                        found += 1
    return found


def images(
    const real_t[:, ::1] positions, const real_t[:, ::1] cell, const unsigned char[::1] periodic, real_t search,
    int farthest, size_t[:, ::1] pairs, int[:, ::1] shifts,
) -> int:
    """Find the half list of few atoms, from every pair of them, by enumeration of the lattice.

    In a frame in which the cell is triangular, the last shift is bounded by one component of the vector, the one
    before it by what the last has left of the squared distance, and so on (Fincke and Pohst, Math. Comput. 44, 463
    (1985)): no image is looked at that is farther than the search along any of them, however skewed the cell is.

    Parameters
    ----------
    positions, cell : (n_atoms, 3) and (3, 3), Å
    periodic : (3,), which axes are periodic
    search : distance that the list is to reach, Å
    farthest : largest shift, and how many cells from the origin atoms may be
    pairs, shifts : (room, 2) and (room, 3), outputs, filled as far as there is room

    Returns
    -------
    int
        Number of pairs, which can be more than there is room for; -1 if a shift or an atom is farther than `farthest`.
    """
    cdef offset_t found
    with nogil:
        found = enumerate_images(positions, cell, periodic, search, farthest, pairs, shifts)
    return found
