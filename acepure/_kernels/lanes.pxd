# One SIMD value of LANES doubles: as many vectors of the native width as it takes.  A wider vector type would be left to
# the compiler to split, which GCC does through memory.  Compilers without GCC's vector extension get plain loops.
from acepure._kernels.types cimport real_t

cdef extern from *:
    """
    #if defined(__AVX512F__)
      #define ACEPURE_VECTOR 8
    #elif defined(__AVX__)
      #define ACEPURE_VECTOR 4
    #else
      #define ACEPURE_VECTOR 2
    #endif
    #if defined(__GNUC__) || defined(__clang__)
      typedef double acepure_vector __attribute__((vector_size(8 * ACEPURE_VECTOR)));
      typedef double acepure_unaligned __attribute__((vector_size(8 * ACEPURE_VECTOR), aligned(8)));
      #define ACEPURE_PARTS (8 / ACEPURE_VECTOR)
    #else
      typedef double acepure_vector;
      typedef double acepure_unaligned;
      #undef ACEPURE_VECTOR
      #define ACEPURE_VECTOR 1
      #define ACEPURE_PARTS 8
    #endif
    typedef struct { acepure_vector part[ACEPURE_PARTS]; } acepure_lanes;

    /* Part by part: a copy of the whole struct goes through the stack in smaller pieces, and reading it back stalls. */
    static inline acepure_lanes acepure_lanes_load(const double *p) {
        acepure_lanes v; int i;
        for (i = 0; i < ACEPURE_PARTS; ++i) v.part[i] = *(const acepure_unaligned *) (p + i * ACEPURE_VECTOR);
        return v; }
    static inline void acepure_lanes_store(double *p, acepure_lanes v) {
        int i; for (i = 0; i < ACEPURE_PARTS; ++i) *(acepure_unaligned *) (p + i * ACEPURE_VECTOR) = v.part[i]; }
    static inline acepure_lanes acepure_lanes_zero(void) {
        acepure_lanes v; int i;
        for (i = 0; i < ACEPURE_PARTS; ++i) v.part[i] = (acepure_vector) {0.0};
        return v; }
    static inline acepure_lanes acepure_lanes_multiply(acepure_lanes a, acepure_lanes b) {
        int i; for (i = 0; i < ACEPURE_PARTS; ++i) a.part[i] = a.part[i] * b.part[i]; return a; }
    static inline acepure_lanes acepure_lanes_multiply_add(double a, acepure_lanes x, acepure_lanes y) {
        int i; for (i = 0; i < ACEPURE_PARTS; ++i) y.part[i] = a * x.part[i] + y.part[i]; return y; }
    """
    ctypedef struct lanes_t "acepure_lanes":
        pass
    lanes_t lanes_zero "acepure_lanes_zero"() noexcept nogil
    lanes_t lanes_load "acepure_lanes_load"(const real_t* p) noexcept nogil
    void lanes_store "acepure_lanes_store"(real_t* p, lanes_t v) noexcept nogil
    lanes_t lanes_multiply "acepure_lanes_multiply"(lanes_t a, lanes_t b) noexcept nogil
    lanes_t lanes_multiply_add "acepure_lanes_multiply_add"(real_t a, lanes_t x, lanes_t y) noexcept nogil  # a x + y
