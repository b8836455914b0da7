"""Links of the README lead somewhere; commands of all pages are understood. test_docs.py runs the code."""

import re
import shlex
from pathlib import Path

import pytest

from acepure.cli import _parser

README = Path(__file__).parents[1] / "README.md"


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
            try:
                _parser().parse_args(words[1:])
            except SystemExit as end:  # --help and its like end the program, without an error
                assert not end.code, line
