"""The code of docs/testing.md runs; parts that need another library are skipped without it."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
CODE = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def run(*numbers):
    names = {"__name__": "testing.md"}
    for number in (0, *numbers):
        exec(compile(CODE[number], f"{PAGE.name}, block {number}", "exec"), names)


def test_the_page_has_four_blocks():
    assert [any(name in code for name in ("dscribe", "featomic", "hypothesis")) for code in CODE] == [False] + [
        True
    ] * 3


@pytest.mark.parametrize(("number", "package"), [(1, "dscribe"), (2, "featomic")])
@pytest.mark.filterwarnings("ignore")  # of other libraries
def test_other_libraries(number, package):
    pytest.importorskip(package, reason=f"docs/testing.md shows assertions on {package}")
    run(number)


def test_strategies():
    run(3)


def test_every_public_name_is_on_the_page():
    import acepure.testing
    from acepure.testing import strategies

    text = PAGE.read_text(encoding="utf-8")
    for name in {*acepure.testing.__all__, *strategies.__all__} - {"DEFAULT_TOLERANCE"}:
        assert f"`{name}(" in text or f" {name}" in text, name
