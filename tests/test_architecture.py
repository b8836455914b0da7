"""The shape of the package: who imports whom, sizes of files, public names and their documentation."""

import ast
import importlib
import importlib.metadata
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import get_origin

import pytest

import acepure

PACKAGE = Path(acepure.__file__).parent
#: Compiled code, and modules that everything may use: they know no stage of the pipeline.
FOUNDATION = {"_kernels", "_utils", "errors"}
#: What a module may load when it is called although it stands to its right: a model knows neither its fitter nor its
#: exporters, but offers them.
LAZY = {"models": {"fitting", "interfaces"}}


def python_files():
    return sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)


def module_name(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def stage(name):
    """The first part: a file at the top, or one of the folders."""
    return name.split(".")[0]


def imported_modules(path):
    """Absolute names of all modules that a file imports, inside functions and for annotations too."""
    nodes = [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def stages_imported(path):
    """Stages of this package that a file imports, its own excluded."""
    names = {name.removeprefix("acepure.") for name in imported_modules(path) if name.startswith("acepure.")}
    own = stage(module_name(path))
    return {stage(name) for name in names} & STAGES - {own} - LAZY.get(own, set())


STAGES = {stage(module_name(path)) for path in python_files()} - {""}


def documented_order():
    """Files and folders in the order of the map in the docstring of the package."""
    order = []
    for line in acepure.__doc__.splitlines():
        found = re.match(r"    ((?:[a-z_]+(?:\.py|/)(?:, )?)+)  ", line)
        if found:
            order.append([name.strip().rstrip("/").removesuffix(".py") for name in found[1].split(",")])
    return order


def rank():
    return {name: number for number, names in enumerate(documented_order()) for name in names}


def test_the_map_names_what_exists():
    names = [name for names in documented_order() for name in names]
    assert len(names) == len(set(names)) and len(names) > 5
    missing = [name for name in names if name not in STAGES]
    assert not missing, f"the map of acepure/__init__.py names {missing}, which do not exist"


def test_the_map_names_everything():
    names = [name for names in documented_order() for name in names]
    unnamed = STAGES - set(names)
    assert not unnamed, f"the map of acepure/__init__.py does not name {sorted(unnamed)}"


@pytest.mark.parametrize("path", python_files(), ids=module_name)
def test_arrows_go_one_way(path):
    """A stage imports what stands above it in the map, and foundations; foundations import foundations."""
    name = stage(module_name(path))
    if not name:
        return  # the package itself gathers the public names
    ranks = rank()
    for target in stages_imported(path):
        if name in FOUNDATION:
            assert target in FOUNDATION, f"{module_name(path)} is a foundation but imports {target}"
        elif target not in FOUNDATION:
            assert ranks[target] <= ranks[name], f"{module_name(path)} imports {target}, which stands to its right"


def test_no_circles():
    """Following imports from stage to stage never returns."""
    graph = {name: set() for name in STAGES}
    for path in python_files():
        if stage(module_name(path)):
            graph[stage(module_name(path))] |= stages_imported(path)
    finished = set()
    while len(finished) < len(graph):
        ready = {name for name, targets in graph.items() if name not in finished and targets <= finished}
        assert ready, f"a circle among {sorted(set(graph) - finished)}"
        finished |= ready


def test_numbers_and_operators_know_no_structure():
    for name in ("labels", "algebra", "functions"):
        for path in (PACKAGE / name).glob("*.py"):
            assert not stages_imported(path) & {"structures", "neighbors", "features", "stages"}, path
            assert not any(name == "ase" or name.startswith("ase.atoms") for name in imported_modules(path)), path


def test_operators_never_ask_for_distances():
    for path in [*(PACKAGE / "algebra").glob("*.py"), *(PACKAGE / "labels").glob("*.py")]:
        assert "functions" not in stages_imported(path), path


def test_what_is_loaded_late_is_loaded_in_functions():
    for path in python_files():
        late = LAZY.get(stage(module_name(path)), set())
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and node.module.startswith("acepure."):
                assert stage(node.module.removeprefix("acepure.")) not in late, path


def test_figures_stay_in_one_place():
    users = [
        stage(module_name(path))
        for path in python_files()
        if any(name.split(".")[0] in ("matplotlib", "pylab") for name in imported_modules(path))
    ]
    assert set(users) == {"plotting"}


def test_figures_are_not_imported_with_the_package():
    for path in python_files():
        if stage(module_name(path)) not in ("plotting", "cli"):
            top = ast.parse(path.read_text(encoding="utf-8")).body
            direct = [node for node in top if isinstance(node, ast.ImportFrom) and "plotting" in node.module.split(".")]
            assert not direct, path


def test_files_are_short():
    kernels = [path for pattern in ("*.pyx", "*.pxi", "*.pxd") for path in PACKAGE.rglob(pattern)]
    assert len(kernels) > 5
    lengths = {
        path.relative_to(PACKAGE): len(path.read_text(encoding="utf-8").splitlines())
        for path in [*python_files(), *kernels]
    }
    assert {name: n for name, n in lengths.items() if n >= 500} == {}


@pytest.mark.parametrize("path", python_files(), ids=module_name)
def test_modules_say_what_they_are(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not tree.body or ast.get_docstring(tree), "a module without a first sentence"
    name = module_name(path)
    if "__main__" in name or not tree.body:
        return
    module = importlib.import_module(f"acepure.{name}" if name else "acepure")
    exported = getattr(module, "__all__", [])
    assert len(exported) == len(set(exported))
    defined = [key for key, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    for public in {*exported, *(key for key in defined if not key.startswith("_"))}:
        thing = getattr(module, public)
        alias = get_origin(thing) is not None  # of types; Python 3.10 takes one for a class
        if (inspect.isclass(thing) and not alias) or inspect.isfunction(thing):
            assert inspect.getdoc(thing), f"{name}.{public} has no docstring"


@pytest.mark.parametrize("name", [name for name in acepure.__all__ if name != "__version__"])
def test_public_names_have_an_example(name):
    thing = getattr(acepure, name)
    documentation = inspect.getdoc(thing)
    assert documentation and documentation.splitlines()[0].rstrip().endswith(".")
    if issubclass(thing, tuple) if inspect.isclass(thing) else False:
        return  # records that are read, not made
    assert ">>>" in documentation, f"acepure.{name} shows no example"


def test_version_is_that_of_the_distribution():
    assert re.fullmatch(r"\d+\.\d+\.\d+", acepure.__version__)
    assert importlib.metadata.version("acepure") == acepure.__version__
    citation = PACKAGE.parent / "CITATION.cff"  # absent where the package is installed
    assert not citation.exists() or f"\nversion: {acepure.__version__}\n" in citation.read_text(encoding="utf-8")


def test_import_is_light():
    """What only some need is loaded by those: figures, databases of ASE, YAML, SciPy."""
    heavy = "matplotlib", "ase", "scipy", "yaml", "tqdm", "vesin", "sklearn", "distributed", "zarr", "torch"
    code = f"import sys, acepure; print(*[name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_small_structures_need_no_other_library_of_neighbors():
    """vesin imports PyTorch where it is installed: seconds that only structures that are searched should cost."""
    code = (
        "import sys; from ase.build import bulk; from acepure import descriptors; "
        "descriptors(bulk('Cu', cubic=True), rcut=4.0, order=2, totaldegree=4); "
        "print(*[name for name in ('vesin', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
