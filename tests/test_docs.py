"""The documentation: public names have a place, links lead somewhere, code prints what is shown.

A block of Python or of commands after the line <!-- runs --> is run; a block of text right after it is what it prints:
of Python to the letter, of commands, and after <!-- runs about -->, within a few percent of each number. Blocks of a
page run one after the other, with the same names, in an empty folder. One after <!-- runs with NAME --> is run where
this package is installed; one after <!-- file NAME --> is a file that is there.
"""

import contextlib
import importlib
import importlib.util
import inspect
import io
import pkgutil
import re
import shlex
from pathlib import Path

import matplotlib
import pytest
from cases.pages import assert_shown, run_commands

import acepure
from acepure.cli import _parser

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if not {"_build", "_notebooks"} & set(path.relative_to(DOCS).parts))
REFERENCE = DOCS / "reference"
#: Not for users: compiled code and its tables, foundations, and commands, whose help is on a page instead.
PRIVATE = {"_kernels", "_utils", "cli", "stages"}
#: Of folders for users, what serves the other files alone.
INNER = {
    "neighbors.boxes",
    "algebra.radial_algebra.Terms",
    "algebra.radial_algebra.kept_terms",
    "labels.characters",
    "labels.counting",
}

PARSER = _parser()
MARK = r"<!-- runs( about)?(?: with (\w+))? -->"
RUNS = re.compile(MARK + r"\n```(python|sh)\n(.*?)```\n(?:\n```text\n(.*?)```)?", re.DOTALL)
FILES = re.compile(r"<!-- file ([\w.]+) -->\n```\w+\n(.*?)```", re.DOTALL)
DIRECTIVE = re.compile(r"^\.\. auto(\w+):: (acepure[\w.]*)((?:\n   :.*)*)", re.MULTILINE)


def name_of(path):
    return path.relative_to(ROOT).as_posix()


# --- names -----------------------------------------------------------------------------------------------------


def public_names():
    """Names in the `__all__` of every file and folder of the package; of the files inside, for a folder without one."""
    names = {f"acepure.{name}" for name in acepure.__all__ if name != "__version__"}
    for stage in pkgutil.iter_modules(acepure.__path__):
        if stage.name in PRIVATE:
            continue
        modules = [importlib.import_module(f"acepure.{stage.name}")]
        if stage.ispkg and not hasattr(modules[0], "__all__"):
            modules = [
                importlib.import_module(f"acepure.{stage.name}.{m.name}")
                for m in pkgutil.iter_modules(modules[0].__path__)
            ]
        names |= {f"{module.__name__}.{name}" for module in modules for name in module.__all__}
    inner = tuple(f"acepure.{name}" for name in INNER)
    return sorted(name for name in names if not name.startswith(inner))


def thing(name):
    """The object of a dotted name."""
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(module), last)


def documented_names():
    """Names that the reference pages show; a module with its members stands for its `__all__`."""
    names = []
    for path in REFERENCE.glob("*.md"):
        for kind, name, options in DIRECTIVE.findall(path.read_text(encoding="utf-8")):
            if kind != "module":
                names.append(name)
            elif ":members:" in options:
                names += [f"{name}.{member}" for member in importlib.import_module(name).__all__]
    return names


def test_every_public_name_is_in_the_reference():
    documented = documented_names()
    shown = {id(thing(name)) for name in documented if inspect.isroutine(thing(name)) or inspect.isclass(thing(name))}
    missing = [name for name in public_names() if name not in documented and id(thing(name)) not in shown]
    assert not missing, f"give these a place on a page of docs/reference: {missing}"


def test_names_of_the_reference_exist_and_stand_there_once():
    names = documented_names()
    assert len(names) > 100
    for name in names:
        thing(name)
    assert sorted(set(names)) == sorted(names)


def test_commands_are_in_the_reference():
    assert "```{acepure-help}\n```" in (REFERENCE / "command_line.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", [ROOT / "README.md", *PAGES], ids=lambda path: path.name)
def test_commands_have_the_options_that_pages_give_them(path, capsys):
    for block in re.findall(r"```sh\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["acepure"] and not {"--version", "--help", "--print-completion"} & set(words):
                try:
                    PARSER.parse_args(words[1:])
                except SystemExit:
                    pytest.fail(f"{line}\n{capsys.readouterr().err}")


# --- links -----------------------------------------------------------------------------------------------------


def anchors(path):
    """Names of the headings of a page, as GitHub and MyST make them."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def target_of(path, link):
    """The file that a link of a page leads to."""
    return (path.parent / link).resolve() if link else path


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_somewhere(path):
    text = re.sub(r"^```(?!\{).*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(((?!https?:)[^)\s]+)\)", text):
        link, _, anchor = target.partition("#")
        found = target_of(path, link)
        assert found.exists(), f"{target} does not exist"
        assert not anchor or anchor in anchors(found), f"{target}: no such heading; there are {sorted(anchors(found))}"


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_equations_that_are_cited_exist(path):
    labels = {label for page in PAGES for label in re.findall(r"^\$\$ \((eq-[\w-]+)\)$", page.read_text("utf-8"), re.M)}
    cited = set(re.findall(r"\{eq\}`([\w-]+)`", path.read_text(encoding="utf-8")))
    assert cited <= labels


def test_every_notebook_is_in_the_tutorials():
    linked = set(re.findall(r"\]\(\.\./notebooks/(\w+)\.ipynb\)", (DOCS / "tutorials.md").read_text(encoding="utf-8")))
    assert linked == {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}


def test_every_page_is_in_a_table_of_contents():
    listed = {DOCS / "index"}
    for path in PAGES:
        for block in re.findall(r"```\{toctree\}\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
            lines = [line for line in block.splitlines() if line and not line.startswith(":")]
            listed |= {path.parent / line for line in lines}
    assert {path.with_suffix("") for path in PAGES} <= listed
    missing = [name for name in listed if "_notebooks" not in name.parts and not name.with_suffix(".md").exists()]
    assert not missing, f"pages that do not exist: {missing}"


# --- code ------------------------------------------------------------------------------------------------------

WITH_CODE = [path for path in [ROOT / "README.md", *PAGES] if RUNS.search(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("path", WITH_CODE, ids=name_of)
def test_code_runs_and_prints_what_is_shown(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    for name, content in FILES.findall(path.read_text(encoding="utf-8")):
        Path(name).write_text(content, encoding="utf-8")
    names = {"__name__": "__main__"}
    for about, package, language, code, shown in RUNS.findall(path.read_text(encoding="utf-8")):
        if package and importlib.util.find_spec(package) is None:
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            if language == "sh":
                run_commands(code)
            else:
                exec(compile(code, name_of(path), "exec"), names)
        if shown and (about or language == "sh"):
            assert_shown(printed.getvalue(), shown)
        else:
            assert not shown or printed.getvalue() == shown


def test_what_was_not_printed_is_noticed():
    """The comparison can fail: other numbers, other words, lines too few or too many; and it can hold."""
    printed = "read 3 files\nenergy 1.21 eV\nfitted in 3.2 s\n"
    assert_shown(printed, "...\nenergy 1.20 eV\nfitted in 9.9 s\n")
    assert_shown(printed, "read 3 files\n...\n")
    for shown in ("...\nenergy 1.40 eV\n", "...\nforces 1.21 eV\n", "energy 1.21 eV\n", "...\nfitted in 3.2 s\nmore\n"):
        with pytest.raises(AssertionError):
            assert_shown(printed, shown)
    with pytest.raises(AssertionError):
        assert_shown(printed, printed.replace("energy", "..."))


def test_marks_stand_before_code():
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        assert len(re.findall(rf"^{MARK}$", text, re.MULTILINE)) == len(RUNS.findall(text)), path
