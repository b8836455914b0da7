"""Extensions of acepure: their list and the one set of Cython directives they share.

The evaluator is translated once and compiled once per instruction set: on x86-64 with GCC or Clang for the baseline,
AVX2 and AVX-512; the import picks the best one the processor has. What Cython would repeat in every module, such as
its views of arrays, is in `_kernels.shared`. OpenMP is used where the compiler has it. ACEPURE_DEBUG=1 compiles the
checks of Cython in and optimization out; ACEPURE_COVERAGE=1 lets gcov count the lines of the kernels (see
tools/sanitize.sh).
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

KERNELS = "acepure/_kernels"
SHARED = "acepure._kernels.shared"
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

# Functions that a constant folds are fast if they are inlined. On vectors of two numbers they are four times as long,
# and GCC would call them: forces would take a tenth more time.
LIMITS = "max-inline-insns-single=2000 large-function-growth=1000 large-stack-frame-growth=10000 inline-unit-growth=300"

VARIANTS = {
    "baseline": [word for limit in LIMITS.split() for word in ("--param", limit)],
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx512f", "-mavx512dq", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"],
}
#: Modules without loops of ours: small rather than fast.
GLUE = {"cpu", "shared"}


def targets_x86_64() -> bool:
    archflags = os.environ.get("ARCHFLAGS", "")
    return platform.machine() in ("x86_64", "AMD64") and "arm64" not in archflags


def translated() -> list[Extension]:
    """One extension per .pyx file, and what they share."""
    names = sorted(path.stem for path in Path(KERNELS).glob("*.pyx"))
    modules = [Extension(f"acepure._kernels.{name}", [f"{KERNELS}/{name}.pyx"]) for name in names]
    modules.append(Extension(SHARED, [f"{KERNELS}/shared.c"]))
    return cythonize(
        modules, compiler_directives=DIRECTIVES, emit_linenums=COVERAGE, shared_utility_qualified_name=SHARED
    )


def variants(evaluator: Extension) -> list[Extension]:
    """The evaluator per instruction set: files of two lines, so that each is compiled to an object of its own."""
    result = []
    for name, flags in VARIANTS.items() if targets_x86_64() and sys.platform != "win32" else [("baseline", [])]:
        source = Path(f"{KERNELS}/evaluator_{name}.c")
        text = f'#define PyInit_evaluator PyInit_evaluator_{name}\n#include "evaluator.c"\n'
        if not source.exists() or source.read_text() != text:
            source.write_text(text)
        depends = [*evaluator.depends, *evaluator.sources]
        result.append(Extension(f"{evaluator.name}_{name}", [str(source)], depends=depends, extra_compile_args=flags))
    return result


def extensions() -> list[Extension]:
    modules = {module.name.rpartition(".")[2]: module for module in translated()}
    slowest_first = variants(modules.pop("evaluator"))
    return [*slowest_first, *modules.values()]


class BuildExt(build_ext):
    """Compile side by side; add optimization flags and, where it compiles and links, OpenMP."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self) -> None:
        msvc = self.compiler.compiler_type == "msvc"
        openmp_compile, openmp_link = self.openmp_flags(msvc)
        for extension in self.extensions:
            extension.extra_compile_args += self.optimization(msvc, extension) + openmp_compile
            extension.extra_link_args += openmp_link
            if sys.platform == "linux" and not (DEBUG or COVERAGE):
                extension.extra_link_args.append("-Wl,-s")  # no symbols but those that Python looks for
            if COVERAGE:
                extension.extra_compile_args += ["--coverage", "-O0"]
                extension.extra_link_args += ["--coverage"]
        super().build_extensions()

    def optimization(self, msvc: bool, extension: Extension) -> list[str]:
        if msvc:
            return ["/Od"] if DEBUG else ["/O2"]
        level = "-Os" if extension.name.rpartition(".")[2] in GLUE else "-O3"
        return [*(["-O1", "-g"] if DEBUG else [level, "-g0"]), "-fno-math-errno", "-fno-trapping-math"]

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


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildExt})
