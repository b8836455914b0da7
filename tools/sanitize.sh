#!/usr/bin/env bash
# Builds the kernels with checks in a copy of the tree, and runs the tests that use kernels on it.
#
#   tools/sanitize.sh [checks|address|lines|thread|all] [arguments of pytest]
#
#   checks    Cython's own: bounds of arrays, None, views that were never set; -O1 (ACEPURE_DEBUG=1)
#   address   AddressSanitizer and UndefinedBehaviorSanitizer on the code that ships, -O3; the first finding ends the run
#   lines     no checks: which lines of the kernels the tests run, counted by gcov, -O0 (ACEPURE_COVERAGE=1)
#   thread    ThreadSanitizer.  GCC's libgomp is not built for it: its barriers are unknown to the tool, and the end of
#             every parallel loop looks like a race.  Kept to a few tests; read it, do not trust its exit code.
#   all       checks, then address (the default)
#
# Needs GCC on Linux, and the environment of `pip install -e ".[test]"` with cython and setuptools in it.
# PYTHON=... chooses the interpreter, WORK=... a folder for the copies, which is kept; BUILT=1 takes its kernels as they
# are, ACEPURE_SIMD=... tests one instruction set instead of all that the processor has.
set -euo pipefail
cd "$(dirname "$0")/.."
source_tree=$PWD
python=${PYTHON:-python}
work=${WORK:-}
[ -n "$work" ] || { work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; }

KERNEL_TESTS=(
    tests/functions/test_harmonics.py tests/functions/test_polynomials.py tests/functions/test_transforms.py tests/functions/test_radial.py
    tests/neighbors/test_neighbors.py tests/neighbors/test_neighbor_blocks.py tests/features/test_verlet.py tests/structures/test_structures.py
    tests/features/test_descriptors_api.py tests/features/test_descriptors_brute_force.py tests/features/test_descriptors_input.py
    tests/features/test_descriptors_same_bits.py tests/features/test_descriptors_symmetry.py tests/references/test_centered.py tests/functions/test_whitened.py
    tests/stages/test_factored.py tests/features/test_gradients_api.py tests/features/test_gradients_limits.py
    tests/features/test_gradients_neighbors.py tests/features/test_jvp.py tests/features/test_stages.py tests/features/test_gradients_radial.py tests/features/test_gradients_structures.py
    tests/features/test_linear_api.py tests/features/test_linear_dynamics.py tests/features/test_linear_energies.py tests/features/test_linear_forces.py
)
EVALUATOR_TESTS=( # for instruction sets after the first: only the evaluators are compiled anew
    tests/features/test_descriptors_brute_force.py tests/stages/test_factored.py tests/features/test_gradients_structures.py tests/features/test_jvp.py
    tests/features/test_linear_energies.py tests/features/test_linear_forces.py
)
THREAD_TESTS=(tests/features/test_descriptors_same_bits.py tests/features/test_linear_forces.py)

build() { # build <name>: compile the kernels of a copy, in place
    [ -z "${BUILT:-}" ] || return 0
    mkdir -p "$work/$1"
    cp -r "$source_tree"/{setup.py,pyproject.toml,README.md,LICENSE,acepure,tests} "$work/$1/"
    cd "$work/$1"
    find acepure/_kernels \( -name '*.c' -o -name '*.so' \) -delete
    "$python" setup.py --quiet build_ext --inplace --force >build.log 2>&1 || { tail -30 build.log; exit 1; }
}

run() { # run <name> <tests and arguments>: -p no:cacheprovider and PYTHONPATH keep it inside the copy
    local name=$1 status=0
    shift
    cd "$work/$name"
    PYTHONPATH=$PWD "$python" -m pytest -q -p no:cacheprovider "$@" >tests.log 2>&1 || status=$?
    echo "$name: $(grep -E '^[0-9]+ (passed|failed)|^=+ .*(passed|failed|error)' tests.log | tail -1) (exit $status)"
    [ "$status" -eq 0 ] || { grep -E 'ERROR: |SUMMARY: |runtime error|^FAILED|IndexError' tests.log | sort | uniq -c | head -40; }
    return "$status"
}

checks() {
    (export ACEPURE_DEBUG=1; build checks)
    (run checks "${KERNEL_TESTS[@]}" "$@")
}

# The runtimes come first, libstdc++ with them: the sanitizer must find its exceptions before a library throws one.
runtimes() { for name in "$@"; do gcc -print-file-name="lib$name.so"; done | paste -sd:; }

address() {
    local flags="-fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all -fno-omit-frame-pointer -g"
    (export CFLAGS=$flags LDFLAGS=$flags; build address)
    (
        # Leaks are not looked for: the interpreter keeps memory on purpose.  PYTHONMALLOC: every object has guards of its own.
        export ASAN_OPTIONS=detect_leaks=0:halt_on_error=1:detect_stack_use_after_return=1
        export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 PYTHONMALLOC=malloc
        export LD_PRELOAD; LD_PRELOAD=$(runtimes asan ubsan stdc++)
        cd "$work/address"
        variants=$("$python" -c "from acepure._kernels import cpu; print(*cpu.instruction_sets())")
        tests=("${KERNEL_TESTS[@]}")
        for variant in ${ACEPURE_SIMD:-$variants}; do
            echo "instruction set $variant"
            ACEPURE_SIMD=$variant run address "${tests[@]}" -s "$@"
            tests=("${EVALUATOR_TESTS[@]}")
        done
    )
}

lines() { # the baseline evaluator alone, in one thread; gcov reads counts that a process writes when it ends
    (export ACEPURE_COVERAGE=1; build lines)
    (export ACEPURE_SIMD=baseline OMP_NUM_THREADS=1; run lines "${KERNEL_TESTS[@]}" "$@")
    cd "$work/lines" && "$python" "$source_tree/tools/kernel_lines.py" build
}

thread() {
    local flags="-fsanitize=thread -fno-omit-frame-pointer -g"
    (export CFLAGS=$flags LDFLAGS=$flags; build thread)
    (
        export TSAN_OPTIONS=halt_on_error=0:report_bugs=1:exitcode=66
        export LD_PRELOAD; LD_PRELOAD=$(runtimes tsan)
        run thread "${THREAD_TESTS[@]}" -s "$@"
    )
}

what=${1:-all}
shift || true
case $what in
    checks | address | lines | thread) "$what" "$@" ;;
    all) checks "$@"; address "$@" ;;
    *) sed -n '2,15p' "$source_tree/tools/sanitize.sh"; exit 2 ;;
esac
