# One SIMD value of LANES doubles: as many vectors of the native width as it takes.  A wider vector type would be left
# to the compiler to split, which GCC does through memory.  Compilers without GCC's vector extension get plain loops.
from acepure._kernels.types cimport real_t

cdef extern from *:
    """
    #include <stddef.h>
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
    /* to[i * stride + j] = from[j * 8 + i], an 8 x 8 transposition */
    #if defined(__has_builtin)
      #if __has_builtin(__builtin_shufflevector)
        #define ACEPURE_SHUFFLE
      #endif
    #endif
    #if defined(ACEPURE_SHUFFLE) && ACEPURE_VECTOR == 8
      static inline void acepure_lanes_transpose(const double *from, ptrdiff_t stride, double *to) {
          acepure_vector a[8], b[8];
          int i;
          for (i = 0; i < 8; ++i) a[i] = *(const acepure_unaligned *) (from + 8 * i);
          for (i = 0; i < 8; i += 2) {
              b[i] = __builtin_shufflevector(a[i], a[i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
              b[i + 1] = __builtin_shufflevector(a[i], a[i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
          }
          for (i = 0; i < 8; ++i) {
              if (i & 2) continue;
              a[i] = __builtin_shufflevector(b[i], b[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
              a[i + 2] = __builtin_shufflevector(b[i], b[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
          }
          for (i = 0; i < 4; ++i) {
              *(acepure_unaligned *) (to + i * stride) =
                  __builtin_shufflevector(a[i], a[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
              *(acepure_unaligned *) (to + (i + 4) * stride) =
                  __builtin_shufflevector(a[i], a[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
          }
      }
    #else
      static inline void acepure_lanes_transpose(const double *from, ptrdiff_t stride, double *to) {
          int i, j;
          for (i = 0; i < 8; ++i)
              for (j = 0; j < 8; ++j) to[i * stride + j] = from[8 * j + i];
      }
    #endif
    static inline acepure_lanes acepure_lanes_fill(double a) {
        acepure_lanes v; int i; for (i = 0; i < ACEPURE_PARTS; ++i) v.part[i] = a - (acepure_vector) {0.0}; return v; }
    static inline acepure_lanes acepure_lanes_scale(double a, acepure_lanes x) {
        int i; for (i = 0; i < ACEPURE_PARTS; ++i) x.part[i] = a * x.part[i]; return x; }
    static inline acepure_lanes acepure_lanes_add(acepure_lanes a, acepure_lanes b) {
        int i; for (i = 0; i < ACEPURE_PARTS; ++i) a.part[i] = a.part[i] + b.part[i]; return a; }
    static inline acepure_lanes acepure_lanes_subtract(acepure_lanes a, acepure_lanes b) {
        int i; for (i = 0; i < ACEPURE_PARTS; ++i) a.part[i] = a.part[i] - b.part[i]; return a; }
    static inline acepure_lanes acepure_lanes_divide(acepure_lanes a, acepure_lanes b) {
        int i; for (i = 0; i < ACEPURE_PARTS; ++i) a.part[i] = a.part[i] / b.part[i]; return a; }
    static inline acepure_lanes acepure_lanes_fused_negative(acepure_lanes a, acepure_lanes b, acepure_lanes c) {
        int i; for (i = 0; i < ACEPURE_PARTS; ++i) c.part[i] = c.part[i] - a.part[i] * b.part[i]; return c; }
    static inline acepure_lanes acepure_lanes_fused(acepure_lanes a, acepure_lanes b, acepure_lanes c) {
        int i; for (i = 0; i < ACEPURE_PARTS; ++i) c.part[i] = a.part[i] * b.part[i] + c.part[i]; return c; }
    """
    ctypedef struct lanes_t "acepure_lanes":
        pass
    lanes_t lanes_zero "acepure_lanes_zero"() noexcept nogil
    lanes_t lanes_load "acepure_lanes_load"(const real_t* p) noexcept nogil
    void lanes_store "acepure_lanes_store"(real_t* p, lanes_t v) noexcept nogil
    lanes_t lanes_multiply "acepure_lanes_multiply"(lanes_t a, lanes_t b) noexcept nogil
    lanes_t lanes_multiply_add "acepure_lanes_multiply_add"(real_t a, lanes_t x, lanes_t y) noexcept nogil  # a x + y
    lanes_t lanes_fused "acepure_lanes_fused"(lanes_t a, lanes_t b, lanes_t c) noexcept nogil  # a b + c
    # c - a b
    lanes_t lanes_fused_negative "acepure_lanes_fused_negative"(lanes_t a, lanes_t b, lanes_t c) noexcept nogil
    lanes_t lanes_fill "acepure_lanes_fill"(real_t a) noexcept nogil
    lanes_t lanes_scale "acepure_lanes_scale"(real_t a, lanes_t x) noexcept nogil
    lanes_t lanes_add "acepure_lanes_add"(lanes_t a, lanes_t b) noexcept nogil
    lanes_t lanes_subtract "acepure_lanes_subtract"(lanes_t a, lanes_t b) noexcept nogil
    lanes_t lanes_divide "acepure_lanes_divide"(lanes_t a, lanes_t b) noexcept nogil
    void lanes_transpose "acepure_lanes_transpose"(
        const real_t* source, Py_ssize_t stride, real_t* target
    ) noexcept nogil
