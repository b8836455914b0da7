"""The documentation site: `sphinx-build -W -n docs docs/_build/html`.

Pages are MyST Markdown; notebooks are shown with the outputs that are stored in them. `ACEPURE_DOCS_EXECUTE=force` runs
them anew instead. Nothing is fetched from the network.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from sphinx.application import Sphinx

import acepure

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_extensions"))


def copy_notebooks() -> None:
    """Copy ../notebooks into the tree of sources, and only what has changed: Sphinx rebuilds by the time of files."""
    target = HERE / "_notebooks"
    target.mkdir(exist_ok=True)
    sources = {path.name: path for path in (HERE.parent / "notebooks").glob("*.ipynb")}
    for stale in (path for path in target.glob("*.ipynb") if path.name not in sources):
        stale.unlink()
    for name, source in sources.items():
        if not (target / name).exists() or (target / name).read_bytes() != source.read_bytes():
            shutil.copyfile(source, target / name)


copy_notebooks()


def lead_to_copies(app: Sphinx, page: str, source: list[str]) -> None:
    """Links of pages to the folder notebooks, which GitHub follows, lead to the copies of this site."""
    source[0] = re.sub(r"\]\((?:\.\./)+notebooks/(\w+)\.ipynb\)", r"](/_notebooks/\1.ipynb)", source[0])


def setup(app: Sphinx) -> None:
    """Connect what Sphinx calls."""
    app.connect("source-read", lead_to_copies)


project = "acepure"
author = "The acepure developers"
copyright = author
version = release = acepure.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # formulas without a request to the network
    "sphinx_copybutton",
    "acepure_reference",
]
exclude_patterns = ["_build", "_extensions", "**.ipynb_checkpoints"]
nitpicky = True
smartquotes = False  # primes of formulas stay primes

myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = os.environ.get("ACEPURE_DOCS_EXECUTE", "off")
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # there are none, and they would be asked for from the network

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # types are said in words, with shapes and units
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
default_role = "py:obj"

html_show_search_summary = False  # browsers forbid pages that were opened from files to read others
html_theme = "furo"
html_title = f"acepure {release}"
html_static_path = ["_static"]
html_css_files = ["acepure.css"]
html_copy_source = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
