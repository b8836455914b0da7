# Number types and sizes, named once.
from libc.stdint cimport int32_t, int64_t

ctypedef double real_t
ctypedef int32_t index_t   # atoms, channels, nodes of the product graph
ctypedef int64_t offset_t  # positions in arrays that may exceed 2**31

cdef enum:
    LANES = 8              # centers (or pairs) that are processed side by side: one AVX-512 register
