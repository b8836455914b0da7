"""What the reference pages need beyond autodoc: formulas, links between names, and the help of the command line.

- An indented block of a docstring is a formula or a table: it is shown as it stands. |x| is an absolute value, never a
  substitution of reStructuredText.
- `Name` in a docstring links to the public object of that name, if there is exactly one; otherwise it is code.
- The directive `acepure-help` shows the help of the program and of all its commands.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx
from sphinx.util.nodes import make_refnode

from acepure.cli import _parser as parser

#: Before numpydoc (500) rearranges the sections.
FIRST = 100


def show_blocks(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Mark what is indented below a paragraph as a literal block, in place."""
    marked: list[str] = []
    last, literal, doctest = "", None, False
    for line in lines:
        doctest = bool(line) and (doctest or line.lstrip().startswith(">>>"))
        if literal is not None and line and indent(line) < literal:
            literal = None
        if line and literal is None and not doctest:
            deeper = marked and not marked[-1] and last and indent(line) > indent(last)
            if deeper and not last.rstrip().endswith("::") and not last.lstrip().startswith((".. ", ":")):
                marked += [" " * indent(last) + "::", ""]
                literal = indent(line)
        if line:
            last = line
        marked.append(line if doctest or literal is not None else line.replace("|", "\\|"))
    lines[:] = marked


def indent(line: str) -> int:
    """Return the number of spaces before the first letter."""
    return len(line) - len(line.lstrip())


def skip_fields(app: Sphinx, what: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:
    """Leave the fields of named tuples out: they stand under Attributes, with what they mean."""
    return True if str(getattr(thing, "__doc__", "")).startswith("Alias for field number") else None


def resolve_name(app: Sphinx, environment: Any, node: nodes.Element, content: nodes.Element) -> nodes.Node | None:
    """Return a link to the only public object that ends in the name, or the name as code."""
    if node.get("refdomain") != "py" or node.get("reftype") not in ("obj", "class", "exc"):
        return None
    target = node["reftarget"].removesuffix("()")
    objects = environment.get_domain("py").objects
    found = [name for name in objects if name == target or name.endswith(f".{target}")]
    if len(found) > 1:  # a class before a method of the same name
        found = [name for name in found if objects[name].objtype in ("class", "function", "exception")]
    if len(found) == 1:
        entry = objects[found[0]]
        return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content, found[0])
    return content


class Help(Directive):
    """Help texts as a terminal of 100 columns shows them: the program, then a section for each command."""

    def run(self) -> list[nodes.Node]:
        os.environ["COLUMNS"] = "100"
        program = parser()
        commands = next(action for action in program._actions if isinstance(action, argparse._SubParsersAction))
        shown: list[nodes.Node] = [self.text(program)]
        for name, command in commands.choices.items():
            title = f"acepure {name}"
            section = nodes.section("", nodes.title(title, title), self.text(command), ids=[nodes.make_id(title)])
            self.state.document.note_implicit_target(section)
            shown.append(section)
        return shown

    def text(self, program: argparse.ArgumentParser) -> nodes.literal_block:
        """Return what `--help` prints."""
        return nodes.literal_block(program.format_help(), program.format_help(), language="none")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect all of it."""
    app.connect("autodoc-process-docstring", show_blocks, priority=FIRST)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("missing-reference", resolve_name)
    app.add_directive("acepure-help", Help)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
