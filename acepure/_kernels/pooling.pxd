# Pooling: A[q, lm] += Σ_j R_q(r_j) Y_lm(r̂_j) for one center.
#
# Pairs come LANES at a time (side by side in R and Y); the harmonics are first transposed, so that lm is contiguous.
# Each radial channel q keeps the first n_blocks[q] * LANES of the harmonics, enough for its largest l.
#
# A: start[q] + lm    (start[q] < 0: channel unused)
# Cost: 2 flops per pair, channel and harmonic.
from acepure._kernels.lanes cimport lanes_load, lanes_multiply_add, lanes_store, lanes_t
from acepure._kernels.types cimport LANES, index_t, real_t


# T[lane, lm] = Y[lm, lane], padded with zeros to n_blocks * LANES
cdef inline void transpose_harmonics(const real_t* Y, int n_lm, int n_blocks, real_t* T) noexcept nogil:
    cdef int lm, lane
    for lane in range(LANES):
        for lm in range(n_lm):
            T[lane * n_blocks * LANES + lm] = Y[lm * LANES + lane]
        for lm in range(n_lm, n_blocks * LANES):
            T[lane * n_blocks * LANES + lm] = 0.0


# A[start[q] + lm] += Σ_lane R[q, lane] T[lane, lm], lanes first <= lane < last
cdef inline void pool(
    const real_t* R,
    const real_t* T,
    int first,
    int last,
    int n_channels,
    const index_t* start,
    const index_t* n_blocks,
    int stride,
    real_t* A,
) noexcept nogil:
    cdef int q, block, lane
    cdef lanes_t total
    cdef real_t* row
    for q in range(n_channels):
        for block in range(n_blocks[q]):
            row = A + start[q] + block * LANES
            total = lanes_load(row)
            for lane in range(first, last):
                total = lanes_multiply_add(R[q * LANES + lane], lanes_load(T + lane * stride + block * LANES), total)
            lanes_store(row, total)
