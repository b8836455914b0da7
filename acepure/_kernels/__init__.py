"""Private compiled arithmetic.  Python callers check and allocate; nothing here does.

    types.pxd        number types, LANES
    lanes.pxd        one SIMD value of LANES doubles
    harmonics        Y_lm of unit vectors
    radial           f(r), x(r), P_n(x)
    neighbors        sorting of neighbor lists
    forces           from gradients of pairs to forces, virial and rows of a fit
    products.pxd     products along a graph, sparse operators
    evaluator        for blocks of centers; compiled once per instruction set, as evaluator_avx512 and so on, from
      pairs.pxi        pairs inside the cutoff, their directions and radial functions
      pooling.pxi      pairs → A, and ∂E/∂A → ∂E/∂r_ij
      driver.pxi       what Python hands over, and the one loop over blocks of centers
      features.pxi     A → features, with derivatives along one motion, and in reverse
      jacobian.pxi     ∂ features / ∂r_ij, forward
      linear.pxi       weighted products and their gradients, in reverse
      stages.pxi       A alone, for arrays of centers
    cpu              which instruction sets there are
    shared           what Cython would repeat in each of these modules; made by the build

`evaluator` is the best variant that was built and that the processor can run; the environment variable ACEPURE_SIMD
(avx512, avx2 or baseline) chooses another.
"""

import importlib
import os
from types import ModuleType

try:
    from acepure._kernels import cpu
except ImportError as error:
    raise ImportError(
        f"the kernels of acepure are not compiled in {os.path.dirname(__file__)!r}; if acepure is installed elsewhere, "
        "start Python outside of this folder of sources, else compile them here: pip install -e ."
    ) from error

__all__ = ["cpu", "evaluator", "variant"]


def _best_evaluator() -> tuple[str, ModuleType]:
    wanted = os.environ.get("ACEPURE_SIMD", "")
    names = cpu.instruction_sets()
    if wanted and wanted not in names:
        raise ImportError(f"ACEPURE_SIMD={wanted!r}, but this processor has {', '.join(names)}")
    for name in (wanted,) if wanted else names:
        try:
            return name, importlib.import_module(f"acepure._kernels.evaluator_{name}")
        except ModuleNotFoundError as error:
            if error.name != f"acepure._kernels.evaluator_{name}" or name in (wanted, "baseline"):
                raise
    raise AssertionError("unreachable")


variant, evaluator = _best_evaluator()
