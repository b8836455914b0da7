"""The README's code runs, and prints what the README says; commands of all pages are understood."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from acepure.cli import _parser

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


@pytest.mark.parametrize("path", [README, *sorted((README.parent / "docs").rglob("*.md"))], ids=lambda path: path.stem)
def test_commands_are_understood(path):
    """All options exist, and none that is needed is missing."""
    shells = re.findall(r"```sh\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    for line in "\n".join(shells).replace("\\\n", " ").split("\n"):
        words = shlex.split(line, comments=True)
        if words[:1] == ["acepure"]:
            _parser().parse_args(words[1:])
