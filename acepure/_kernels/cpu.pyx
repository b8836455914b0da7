"""What the processor and this build offer: instruction sets and OpenMP."""

cdef extern from *:
    """
    #if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)
      static int acepure_has_avx2(void) {
          __builtin_cpu_init();
          return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
      }
      static int acepure_has_avx512(void) {
          __builtin_cpu_init();
          return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")
              && __builtin_cpu_supports("avx512vl") && acepure_has_avx2();
      }
    #else
      static int acepure_has_avx2(void) { return 0; }
      static int acepure_has_avx512(void) { return 0; }
    #endif
    #ifdef _OPENMP
      static const int acepure_openmp = 1;
    #else
      static const int acepure_openmp = 0;
    #endif
    """
    int acepure_has_avx2()
    int acepure_has_avx512()
    const int acepure_openmp


def instruction_sets() -> tuple:
    """Return the names of the variants this processor can run, best first."""
    names = []
    if acepure_has_avx512():
        names.append("avx512")
    if acepure_has_avx2():
        names.append("avx2")
    names.append("baseline")
    return tuple(names)


def has_openmp() -> bool:
    """Return whether the kernels were compiled with OpenMP."""
    return bool(acepure_openmp)
