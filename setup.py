"""Extensions of acepure: their list and the one set of Cython directives they share.

ACEPURE_DEBUG=1 compiles the checks of Cython in and optimization out; ACEPURE_COVERAGE=1 lets gcov count
the lines of the kernels (see tools/sanitize.sh).  OpenMP is used where the compiler has it.  On x86-64
with GCC or Clang the evaluator is compiled three times, for the baseline, AVX2 and AVX-512 instruction
sets; the import picks the best one the processor has.
"""

import os
import platform
import sys
import tempfile
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

DEBUG = os.environ.get("ACEPURE_DEBUG", "0") not in ("", "0")
COVERAGE = os.environ.get("ACEPURE_COVERAGE", "0") not in ("", "0")

DIRECTIVES = {
    "language_level": "3",
    "boundscheck": DEBUG,
    "wraparound": False,  # so that DEBUG reports negative indices too
    "initializedcheck": DEBUG,
    "nonecheck": DEBUG,
    "cdivision": True,
    "embedsignature": True,
    "freethreading_compatible": True,
}

VARIANTS = {
    "baseline": [],
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx512f", "-mavx512dq", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"],
}


def targets_x86_64() -> bool:
    archflags = os.environ.get("ARCHFLAGS", "")
    return platform.machine() in ("x86_64", "AMD64") and "arm64" not in archflags


def extensions() -> list[Extension]:
    names = ["cpu", "forces", "harmonics", "neighbors", "radial"]
    variants = VARIANTS if targets_x86_64() and sys.platform != "win32" else {"baseline": []}
    result = [Extension(f"acepure._kernels.{name}", [f"acepure/_kernels/{name}.pyx"]) for name in names]
    for variant, flags in variants.items():
        name = f"evaluator_{variant}"
        result.append(
            Extension(f"acepure._kernels.{name}", [f"acepure/_kernels/{name}.pyx"], extra_compile_args=list(flags))
        )
    return result


class BuildExt(build_ext):
    """Add optimization flags and, where it compiles and links, OpenMP."""

    def build_extensions(self) -> None:
        msvc = self.compiler.compiler_type == "msvc"
        optimize = ["/Od"] if msvc and DEBUG else ["/O2"] if msvc else ["-O1", "-g"] if DEBUG else ["-O3"]
        if not msvc:
            optimize += ["-fno-math-errno", "-fno-trapping-math"]
        openmp_compile, openmp_link = self.openmp_flags(msvc)
        for extension in self.extensions:
            extension.extra_compile_args += optimize + openmp_compile
            extension.extra_link_args += openmp_link
            if COVERAGE:
                extension.extra_compile_args += ["--coverage", "-O0"]
                extension.extra_link_args += ["--coverage"]
        super().build_extensions()

    def openmp_flags(self, msvc: bool) -> tuple[list[str], list[str]]:
        compile_flags, link_flags = (["/openmp"], []) if msvc else (["-fopenmp"], ["-fopenmp"])
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "probe.c"
            source.write_text("#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n")
            try:
                objects = self.compiler.compile([str(source)], output_dir=folder, extra_postargs=compile_flags)
                self.compiler.link_executable(objects, "probe", output_dir=folder, extra_postargs=link_flags)
            except Exception as error:  # the compilers raise unrelated classes; any failure means: no OpenMP
                print(f"acepure: building without OpenMP ({type(error).__name__})")
                return [], []
        return compile_flags, link_flags


setup(
    ext_modules=cythonize(extensions(), compiler_directives=DIRECTIVES, emit_linenums=COVERAGE),
    cmdclass={"build_ext": BuildExt},
)
