"""Mutation testing: small faults are put into Python modules one at a time, and the tests must notice each of them.

    python tools/mutate.py [--count 200] [--seed 1] [--timeout 120] [acepure/algebra/coupling.py ...]

A mutant replaces one operator, comparison, number, condition, return value or statement of a module. Texts, raised
messages, annotations and docstrings stay as they are. Files are never changed: each mutant lives in a forked process,
whose import system compiles the changed syntax tree, so that compiled extensions need no second copy. Needs Linux
or macOS, the kernels built in place and the test dependencies. Prints each survivor with its line, then the totals.
"""

import argparse
import ast
import copy
import importlib.abc
import importlib.machinery
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy  # noqa: F401  imported before the fork, so that each mutant starts at once
import pytest
import scipy.linalg  # noqa: F401

ROOT = Path(__file__).resolve().parent.parent
#: Tests of each module, the ones that are likely to fail first.
TESTS = {
    "algebra/coupling": ["coupling", "invariants"],
    "algebra/linearization": ["linearization", "purification"],
    "algebra/recursion": ["purification", "centered", "centered_moments"],
    "algebra/symmetrization": ["coupling", "descriptors_brute_force"],
    "algebra/invariants": ["invariants", "centered_moments"],
    "algebra/operators": ["invariants", "descriptors_brute_force"],
    "algebra/radial_algebra": ["linearization", "products", "invariants", "factored", "coordinates"],
    "stages/pooling": ["products", "descriptors_brute_force"],
    "functions/envelopes": ["transforms", "radial", "gradients_radial", "model_file"],
    "functions/harmonics": ["harmonics"],
    "_utils/pairs": ["radial", "descriptors_api", "references"],
    "functions/polynomials": ["polynomials", "radial"],
    "stages/products": ["products", "linear_energies", "linear_forces"],
    "functions/radial": ["radial", "gradients_radial", "descriptors_api", "model_file"],
    "_utils/serialization": ["model_file", "radial", "transforms"],
    "functions/transforms": ["transforms", "radial", "model_file"],
    "functions/whitened": ["whitened", "references", "model_file"],
}
SWAPS: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult, ast.Mod: ast.Mult, ast.MatMult: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor"}


def mutants_of(node: ast.AST) -> list[ast.AST]:
    """What a node may be replaced by."""
    found: list[ast.AST] = []
    if isinstance(node, (ast.BinOp, ast.AugAssign, ast.BoolOp)) and type(node.op) in SWAPS:
        found.append(changed(node, op=SWAPS[type(node.op)]()))
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        found.append(changed(node, ops=[SWAPS[type(node.ops[0])](), *node.ops[1:]]))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not)):
        found.append(node.operand)
    elif isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float)):
        value = node.value
        found.append(changed(node, value=not value if isinstance(value, bool) else value + 1))
    elif isinstance(node, (ast.If, ast.IfExp, ast.While)):
        found.append(changed(node, test=ast.UnaryOp(ast.Not(), node.test)))
    elif isinstance(node, ast.Return) and ast.unparse(node) not in ("return", "return None"):
        found.append(changed(node, value=ast.Constant(None)))
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        found.append(ast.Pass())
    elif isinstance(node, (ast.Continue, ast.Break)):
        found.append(ast.Pass())
    elif isinstance(node, ast.Name) and node.id in NAMES:
        found.append(changed(node, id=NAMES[node.id]))
    return found


def changed(node: ast.AST, **fields: object) -> ast.AST:
    """A shallow copy with other fields."""
    result = copy.copy(node)
    for name, value in fields.items():
        setattr(result, name, value)
    return result


def places(tree: ast.AST) -> list[tuple[ast.AST, str, int | None, ast.AST]]:
    """All (parent, field, position in the field, replacement) of a module."""
    found = []
    todo = [tree]
    while todo:
        parent = todo.pop()
        for field, value in ast.iter_fields(parent):
            if field in ("annotation", "returns", "decorator_list", "type_params"):
                continue
            for position, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
                if not isinstance(child, ast.AST) or isinstance(child, (ast.Raise, ast.JoinedStr)):
                    continue
                found += [(parent, field, position, mutant) for mutant in mutants_of(child)]
                todo.append(child)
    return found


def mutate(source: str, number: int) -> tuple[ast.Module, str]:
    """The module with fault `number`, and what was done."""
    tree = ast.parse(source)
    parent, field, position, mutant = places(tree)[number]
    value = getattr(parent, field)
    old = value if position is None else value[position]
    text = f"{old.lineno}: {first_line(old)}  ->  {first_line(mutant)}"
    ast.copy_location(mutant, old)
    if position is None:
        setattr(parent, field, mutant)
    else:
        value[position] = mutant
    return ast.fix_missing_locations(tree), text


def first_line(node: ast.AST) -> str:
    return ast.unparse(node).splitlines()[0][:90]


class Replace(importlib.abc.MetaPathFinder):
    """Imports one module from a syntax tree, all others as usual."""

    def __init__(self, name: str, tree: ast.Module) -> None:
        self.name, self.tree = name, tree

    def find_spec(self, fullname, path=None, target=None):
        if fullname != self.name:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        spec.loader.get_code = lambda _: compile(self.tree, spec.origin, "exec", dont_inherit=True)
        return spec


def killed(path: Path, tree: ast.Module | None, timeout: int) -> str:
    """Run the tests of a module in a child: 'killed', 'survived' or 'timeout'; tree None runs it as it is."""
    module = path.relative_to(ROOT).with_suffix("").as_posix()
    tests = [str(next(ROOT.glob(f"tests/*/test_{name}.py"))) for name in TESTS[module.removeprefix("acepure/")]]
    child = os.fork()
    if child == 0:
        signal.alarm(timeout)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        os.chdir(ROOT)
        sys.path.insert(0, str(ROOT))
        if tree is not None:
            sys.meta_path.insert(0, Replace(module.removesuffix("/__init__").replace("/", "."), tree))
        status = 1
        try:
            status = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]))
        finally:
            os._exit(status)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return "timeout" if os.WTERMSIG(status) == signal.SIGALRM else "killed"
    return "survived" if os.WEXITSTATUS(status) == 0 else "killed"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("files", nargs="*", type=Path, help="modules; default algebra/, functions/ and stages/")
    parser.add_argument("--count", type=int, default=200, help="mutants, a random sample")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--timeout", type=int, default=120, help="seconds for one mutant")
    return parser.parse_args()


def main() -> int:
    """Check that the tests pass, then run the sample."""
    options = arguments()
    files = [path.resolve() for path in options.files] or [ROOT / "acepure" / f"{name}.py" for name in TESTS]
    everything = [(path, i) for path in files for i in range(len(places(ast.parse(path.read_text("utf-8")))))]
    sample = random.Random(options.seed).sample(everything, min(options.count, len(everything)))
    for path in sorted({path for path, _ in sample}):
        if killed(path, None, 10 * options.timeout) != "survived":
            raise SystemExit(f"the tests of {path.name} fail without any fault")
    totals = {"killed": 0, "timeout": 0, "survived": 0}
    started = time.monotonic()
    for path, number in sorted(sample):
        tree, text = mutate(path.read_text("utf-8"), number)
        result = killed(path, tree, options.timeout)
        totals[result] += 1
        if result != "killed":
            print(f"{result}  {path.relative_to(ROOT)}:{text}", flush=True)
    print(f"{len(sample)} of {len(everything)} mutants in {time.monotonic() - started:.0f} s: {totals}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
