"""Commands on pages, and what they print beside what the pages show."""

import re
import shlex

from acepure.cli import main

_NUMBER = re.compile(r"(?<![\w.])[-−]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.]*\w)")
_SECONDS = re.compile(r"\d s\b|MB\b|\d min\b")  # differ from machine to machine


def run_commands(text):
    """Commands of acepure, in this process; there are no others in blocks that run."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            assert words[0] == "acepure", f"no command of acepure: {line}"
            assert main(words[1:]) == 0, line


def assert_shown(printed, shown):
    """Every line that is shown was printed, in this order; only ... stands for lines between them, or at the end."""
    lines, gap = iter(printed.splitlines()), False
    for expected in shown.splitlines():
        if expected.strip() == "...":
            gap = True
            continue
        found = next((line for line in lines if not gap or _same(line, expected)), None)
        assert found is not None and _same(found, expected), f"{expected!r} is shown; printed was\n{printed}"
        gap = False
    assert gap or next(lines, None) is None, f"more was printed than is shown:\n{printed}"


def _same(printed, shown):
    """The same words, and numbers within 5 % or three units of the last digit; times and sizes of files are free."""
    if " ".join(_NUMBER.sub("#", printed).split()) != " ".join(_NUMBER.sub("#", shown).split()):
        return False
    pairs = zip(_NUMBER.findall(printed), _NUMBER.findall(shown), strict=True)
    return bool(_SECONDS.search(shown)) or all(_near(*pair) for pair in pairs)


def _near(a, b):
    value, shown = (float(text.replace(",", "").replace("−", "-")) for text in (a, b))
    mantissa, _, exponent = b.partition("e")
    unit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    return abs(value - shown) <= max(0.05 * abs(shown), 3.01 * unit)
