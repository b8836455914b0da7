"""Lines of the kernels that tests ran, from the counts of gcov: python tools/kernel_lines.py folder-of-the-build.

The build is one with ACEPURE_COVERAGE=1 (`tools/sanitize.sh lines` makes it and calls this). gcov sees lines inside
`nogil` blocks and OpenMP threads, which a tracer in Python would miss or serialize. A line counts as run if any
instruction of it was, in any of the modules that include it.
"""

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

# Cython's own functions for views carry line numbers of another text; those on no statement of ours are dropped.
STATEMENT = re.compile(
    r"\s+(?!cdef |\"|#|real_t|const |int |Py_ssize_t|index_t|[a-z_]+ : |[a-z_0-9, ]+ : )\S.*"
    r"(=|\(|return|if |else|for |while |continue|break)"
)


def counts(build: Path) -> dict[str, dict[int, int]]:
    """Number of executions by file and line."""
    found: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for data in sorted(build.rglob("*.gcda")):
        run = subprocess.run(["gcov", "--json-format", "--stdout", data], check=True, capture_output=True, text=True)
        for document in run.stdout.splitlines():
            for file in json.loads(document)["files"]:
                name = file["file"]
                if "_kernels/" in name and name.endswith((".pyx", ".pxi", ".pxd")):
                    text = Path(name).read_text(encoding="utf-8").splitlines()
                    for line in file["lines"]:
                        number = line["line_number"]
                        if number <= len(text) and STATEMENT.match(text[number - 1]):
                            found[name][number] += line["count"]
    return found


def ranges(numbers: list[int]) -> str:
    """1, 2, 3, 7 as 1-3, 7."""
    parts: list[list[int]] = []
    for n in numbers:
        if parts and n == parts[-1][1] + 1:
            parts[-1][1] = n
        else:
            parts.append([n, n])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def main(folder: str) -> None:
    """Print a table, and the lines that never ran."""
    found = counts(Path(folder))
    total = missed_in_total = 0
    for name, lines in sorted(found.items()):
        missed = sorted(number for number, count in lines.items() if not count)
        total, missed_in_total = total + len(lines), missed_in_total + len(missed)
        print(f"{Path(name).name:24} {len(lines):5} lines {len(missed):4} not run  {ranges(missed)}")
    print(
        f"{'all':24} {total:5} lines {missed_in_total:4} not run  {100 * (1 - missed_in_total / max(total, 1)):.1f} %"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
