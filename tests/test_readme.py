"""The README's code runs, and prints what the README says."""

import contextlib
import io
import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_readme_code_prints_what_the_readme_shows():
    text = README.read_text(encoding="utf-8")
    code, output = re.search(r"```python\n(.*?)```\s+prints\s+```text\n(.*?)```", text, re.DOTALL).groups()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, str(README), "exec"), {})
    assert printed.getvalue() == output


def test_readme_links_exist():
    for target in re.findall(r"\]\(((?!http)[^)#]+)\)", README.read_text(encoding="utf-8")):
        assert (README.parent / target).exists(), target
