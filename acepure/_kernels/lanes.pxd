# One SIMD value of LANES doubles.  GCC and Clang lower their vector extension to whatever the instruction set of the
# variant offers (SSE2, AVX2, AVX-512, NEON); other compilers get plain loops.
from acepure._kernels.types cimport real_t

cdef extern from *:
    """
    #include <string.h>
    #if defined(__GNUC__) || defined(__clang__)
      typedef double acepure_lanes __attribute__((vector_size(64)));
      static inline acepure_lanes acepure_lanes_zero(void) {
          acepure_lanes v = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0}; return v; }
      static inline acepure_lanes acepure_lanes_multiply(acepure_lanes a, acepure_lanes b) { return a * b; }
      static inline acepure_lanes acepure_lanes_multiply_add(double a, acepure_lanes x, acepure_lanes y) {
          return a * x + y; }
    #else
      typedef struct { double v[8]; } acepure_lanes;
      static inline acepure_lanes acepure_lanes_zero(void) { acepure_lanes r; memset(&r, 0, sizeof r); return r; }
      static inline acepure_lanes acepure_lanes_multiply(acepure_lanes a, acepure_lanes b) {
          int i; for (i = 0; i < 8; ++i) a.v[i] *= b.v[i]; return a; }
      static inline acepure_lanes acepure_lanes_multiply_add(double a, acepure_lanes x, acepure_lanes y) {
          int i; for (i = 0; i < 8; ++i) y.v[i] += a * x.v[i]; return y; }
    #endif
    static inline acepure_lanes acepure_lanes_load(const double *p) {
        acepure_lanes v; memcpy(&v, p, sizeof v); return v; }
    static inline void acepure_lanes_store(double *p, acepure_lanes v) { memcpy(p, &v, sizeof v); }
    """
    ctypedef struct lanes_t "acepure_lanes":
        pass
    lanes_t lanes_zero "acepure_lanes_zero"() noexcept nogil
    lanes_t lanes_load "acepure_lanes_load"(const real_t* p) noexcept nogil
    void lanes_store "acepure_lanes_store"(real_t* p, lanes_t v) noexcept nogil
    lanes_t lanes_multiply "acepure_lanes_multiply"(lanes_t a, lanes_t b) noexcept nogil
    lanes_t lanes_multiply_add "acepure_lanes_multiply_add"(real_t a, lanes_t x, lanes_t y) noexcept nogil  # a x + y
