"""Damaged and hostile files: mutations of intact ones, read in this process under limits of time and memory.

    python tools/fuzz_files.py [--n 20000] [--seed 0] [--target NAME] [--list]
    python tools/fuzz_files.py --atheris TARGET [options of libFuzzer]     guided by coverage, with atheris installed

What is refused must be refused with the documented error; whatever else happens is printed with the seed that repeats
it, and the exit code is 1. Memory is bounded by RLIMIT_AS: an allocation beyond it counts as a failure.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.build import bulk
from safetensors.numpy import load as load_arrays

from acepure import ACEBasis, IdealGas, LinearACE, RadialDensity
from acepure.cli.parts import read as read_structures
from acepure.errors import ModelFileError
from acepure.interfaces.yace import YaceError, read_yace, write_yace
from acepure.interfaces.yace.evaluator import YaceContent
from acepure.models.files import _checksum
from acepure.models.repulsion import ZBLCore

#: Seconds that one file may take, and bytes that reading may add to the address space.
TIME_LIMIT, MEMORY_LIMIT = 10.0, 3 * 2**30

# Words and numbers that parsers trip over.
WORDS = (
    *("nan", "inf", "-inf", "NaN", "1e308", "-1e308", "1e999", "-1", "0", "1", "-0.0", "1e-320", "0x10", "1_000", "١"),
    *("2147483648", "-2147483649", "9223372036854775808", "1" * 400, "1" * 5000, "1152921504606846976", "0.5", "1.0"),
    *("", " ", "~", "null", "None", "true", "[]", "{}", "[[[[", "}}}}", "{a: 1", '"', "'", "\\", "#", ",", ":", "-"),
    *("&a 1", "*a", "!!python/object/apply:os.system [id]", "<<: {a: 1}", "? ", "---\n", "...\n", "%YAML 1.2\n", "\t"),
    *("\x00", "\x7f", "\ufeff", "\U0001f600", "../../etc/passwd", "/dev/zero", "Xx", "Cu", "T F T", "R:3:", "1:2:3"),
)
# Values in the place of others in JSON.
VALUES = (
    *(None, True, False, 0, 1, -1, 2, 3, 7, 61, 2**31, 2**63, -(2**63), 10**30, 10**400, 0.5, -0.5, 1e-300, 1e300, 1e9),
    *(
        "",
        "Cu",
        "Xx",
        "a" * 1000,
        "../../etc/passwd",
        "\x00",
        [],
        {},
        [[]],
        [None],
        [1, [2, [3]]],
        ["Cu"] * 50,
        [0] * 50,
    ),
    *(
        {"kind": "LinearACE"},
        {"kind": "ZBLCore"},
        {"kind": "os.system"},
        {"kind": "IdealGas", "density": 0.1},
        {"kind": []},
    ),
    *({"pairs": [["Cu", "Cu", 1.0]]}, {"pairs": 3}, {"pairs": [[1]]}, [1e300] * 3, {"a": {"a": {"a": {"a": {}}}}}),
)


_BOND = """{nradmax: 2, lmax: 1, nradbasemax: 2, radbasename: SBessel, radparameters: [5.25], prehc: 100, lambdahc: 5,
    radcoefficients: [[[1, 0], [0.5, 0.25]], [[0, 1], [-0.5, 1]]], rcut: 4.5, dcut: 0.1, rcut_in: 1.5, dcut_in: 0.25,
    inner_cutoff_type: distance}"""
#: A file in the style of pacemaker.
PACEMAKER = f"""
elements: [Cu, O]
E0: [-0.25, 0.5]
deltaSplineBins: 0.001
embeddings:
  0: {{ndensity: 2, FS_parameters: [1, 1, 1, 0.5], npoti: FinnisSinclairShiftedScaled, rho_core_cutoff: 100000,
    drho_core_cutoff: 250}}
  1: {{ndensity: 1, FS_parameters: [1, 0.5], npoti: FinnisSinclair, rho_core_cutoff: 3, drho_core_cutoff: 2}}
bonds:
  [0, 0]: {_BOND}
  [0, 1]: {_BOND}
  [1, 0]: {_BOND}
  [1, 1]: {_BOND}
functions:
  0:
    - {{mu0: 0, rank: 1, ndensity: 2, num_ms_combs: 1, mus: [0], ns: [2], ls: [0], ms_combs: [0], ctildes: [0.5, 9]}}
    - {{mu0: 0, rank: 2, ndensity: 2, num_ms_combs: 3, mus: [0, 1], ns: [1, 2], ls: [1, 1],
      ms_combs: [-1, 1, 0, 0, 1, -1], ctildes: [-1e-1, 0., 0.1, 0, -.1, 0]}}
  1: []
"""


@dataclass(frozen=True)
class Target:
    """A kind of file: an intact one, what reads it, how it is damaged, and the errors that may come."""

    intact: bytes
    read: Callable[[Path], object]
    mutate: Callable[[np.random.Generator, bytes], bytes]
    errors: tuple[type[Exception], ...]
    name: str = "file"


# --- mutations --------------------------------------------------------------------------------------------------------


def mutate_bytes(rng: np.random.Generator, content: bytes) -> bytes:
    """One to four small damages anywhere."""
    for _ in range(rng.integers(1, 5)):
        first = int(rng.integers(0, len(content) + 1))
        last = min(len(content), first + int(rng.integers(0, 40)))
        part, kind = content[first:last], rng.integers(9)
        new = (
            bytes([b ^ (1 << rng.integers(8)) for b in part[:1]]) + part[1:],
            b"",
            part * 2,
            rng.bytes(len(part)),
            part[::-1],  # the other byte order
            b"\xff" * len(part),
            part + WORDS[rng.integers(len(WORDS))].encode(),
            content[(other := int(rng.integers(0, len(content) + 1))) : other + 40],
            None,
        )[kind]
        content = content[:first] if new is None else content[:first] + new + content[last:]
    return content


def mutate_text(rng: np.random.Generator, content: bytes) -> bytes:
    """A word in place of another, a line left out, doubled or moved; sometimes bytes."""
    if rng.random() < 0.2:
        return mutate_bytes(rng, content)
    text = content.decode(errors="replace")
    for _ in range(rng.integers(1, 4)):
        if rng.random() < 0.3:
            lines = text.splitlines(keepends=True) or [""]
            i, j = rng.integers(0, len(lines), 2)
            action = rng.integers(3)
            lines[i : i + (action != 1)] = [[], [lines[j]], [lines[j]] * 2][action]
            text = "".join(lines)
            continue
        places = [k for k, c in enumerate(text) if c in ' ,:[]{}"=\n'] or [0]
        k = int(rng.integers(len(places)))
        end = places[k + 1] if k + 1 < len(places) else len(text)
        text = text[: places[k] + 1] + WORDS[rng.integers(len(WORDS))] + text[end:]
    return text.encode(errors="replace")


def mutate_json(rng: np.random.Generator, value: object) -> object:
    """The same value with one node replaced, left out, doubled or exchanged."""
    path, node = [], value
    while isinstance(node, (dict, list)) and len(node) and rng.random() < 0.85:
        keys = list(node) if isinstance(node, dict) else range(len(node))
        path.append(keys[int(rng.integers(len(keys)))])
        node = node[path[-1]]
    if not path:
        return VALUES[rng.integers(len(VALUES))]
    parent = value
    for key in path[:-1]:
        parent = parent[key]
    action = rng.integers(5)
    if action == 0:
        del parent[path[-1]]
    elif action == 1 and isinstance(parent, list):
        parent.insert(path[-1], node)
    elif action == 1:
        parent[WORDS[rng.integers(len(WORDS))]] = node
    elif action == 2 and isinstance(node, (int, float)) and abs(node) < 1e100:
        parent[path[-1]] = (-node, node * 1e6, node + 1, int(node) + 1, str(node), [node])[rng.integers(6)]
    else:
        parent[path[-1]] = VALUES[rng.integers(len(VALUES))]
    return value


def mutate_members(rng: np.random.Generator, content: bytes) -> bytes:
    """A model file with another text, header or data; length and checksum of its text are right again."""
    end = 8 + int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8:end]), content[end:]
    for _ in range(rng.integers(1, 3)):
        kind = rng.random()
        if kind < 0.6:
            try:
                text = mutate_json(rng, json.loads(header["__metadata__"]["acepure model"]))
                text["crc32"] = _checksum(text["entries"], load_arrays(content))
                header["__metadata__"]["acepure model"] = json.dumps(text)
            except (ValueError, KeyError, TypeError):  # by an earlier damage no JSON any more
                pass
        elif kind < 0.9:
            header = mutate_json(rng, header)
        else:
            data = mutate_bytes(rng, data)
    text = json.dumps(header).encode()
    if rng.random() < 0.2:
        text = mutate_text(rng, text)
    return len(text).to_bytes(8, "little") + text + data


# --- intact files -----------------------------------------------------------------------------------------------------


def small_model(reference: str = "density") -> LinearACE:
    """A model with everything that a file can hold."""
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=0)
    density = RadialDensity.from_structures([atoms], 4.0, background=0.1, n_bins=12)
    basis = ACEBasis(["Cu"], rcut=4.0, order=2, totaldegree=3)
    basis = basis.centered(density if reference == "density" else IdealGas(0.08))
    posterior = np.random.default_rng(0).normal(size=(1, len(basis), 2))
    return LinearACE(
        basis,
        np.linspace(-1, 1, len(basis)),
        {"Cu": -3.5},
        core=ZBLCore(0.7, 1.4),
        posterior=posterior,
        shortest={("Cu", "Cu"): 2.2},
        report={"summary": "fuzzed"},
    )


def targets() -> dict[str, Target]:
    """Make the intact files."""
    with tempfile.TemporaryDirectory() as folder:
        model_path, yace_path, xyz_path = (Path(folder, name) for name in ("model", "a.yace", "a.xyz"))
        small_model().save(model_path)
        basis = ACEBasis(["Cu"], rcut=4.0, order=2, totaldegree=2)
        write_yace(yace_path, basis, np.linspace(-0.5, 0.5, len(basis)), {"Cu": -3.5}, tolerance=1e-2)
        atoms = [bulk("Cu", cubic=True), Atoms("CuZr", [[0, 0, 0], [0, 0, 2.5]])]
        for structure in atoms:
            structure.info.update(energy=-3.5, config_type="bulk")
            structure.arrays["forces"] = np.full((len(structure), 3), 0.25)
        ase.io.write(xyz_path, atoms)
        model, yace, xyz = (path.read_bytes() for path in (model_path, yace_path, xyz_path))
    evaluate = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.4]])

    def load(path: Path) -> object:
        loaded = LinearACE.load(path)
        return loaded.coefficients.tobytes(), repr(loaded.basis.to_dict()), repr(loaded.report)

    def load_yace(path: Path) -> object:
        potential = read_yace(path)
        if "Cu" in potential.basis.species:
            try:
                potential.evaluate(evaluate)
            except ValueError as error:  # atoms nearer than what the file tells, other species
                return str(error)
        return yace_content(potential.content)

    return {
        "model, bytes": Target(model, load, mutate_bytes, (ModelFileError,)),
        "model, members": Target(model, load, mutate_members, (ModelFileError,)),
        "yace": Target(yace, load_yace, mutate_text, (YaceError,), "a.yace"),
        "yace of others": Target(PACEMAKER.encode(), load_yace, mutate_text, (YaceError,), "a.yace"),
        "extxyz": Target(
            xyz,
            lambda p: repr([a.todict() for a in read_structures(str(p), ":")]),
            mutate_text,
            (OSError, ValueError, TypeError),
            "a.xyz",
        ),
    }


def yace_content(content: YaceContent) -> str:
    return repr([(b.rcut, getattr(b, "coefficients", None)) for b in content.bonds.values()]) + repr(
        [[(t.mus.tolist(), t.ctildes.tolist()) for t in terms] for terms in content.terms]
    )


# --- running ----------------------------------------------------------------------------------------------------------


class TooSlow(BaseException):
    """A file has taken longer than TIME_LIMIT."""


def _too_slow(*_: object) -> None:
    raise TooSlow


def outcome(target: Target, content: bytes, path: Path, expected: object) -> str:
    """What becomes of one file: "same", "other" or the name of the error; with "!" in front what must not happen."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return "same content" if target.read(path) == expected else "other content"
    except target.errors as error:
        return type(error).__name__
    except (Exception, TooSlow) as error:
        return f"! {type(error).__name__}: {' '.join(str(error).split())[:200]}"


def run(target: Target, n: int, seed: int, folder: Path) -> tuple[collections.Counter, float, list[str]]:
    """Try n mutations; return how often each outcome came, the longest time in seconds, and what went wrong."""
    path = folder / target.name
    path.write_bytes(target.intact)
    expected = target.read(path)
    counts, slowest, wrong = collections.Counter(), 0.0, []
    signal.signal(signal.SIGVTALRM, _too_slow)
    for k in range(n):
        content = target.mutate(np.random.default_rng([seed, k]), target.intact)
        start = time.perf_counter()
        signal.setitimer(signal.ITIMER_VIRTUAL, TIME_LIMIT)
        found = outcome(target, content, path, expected)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        slowest = max(slowest, time.perf_counter() - start)
        if found.startswith("!"):
            wrong.append(f"seed {seed}, {k}: {found[2:]}")
            found = found.split(":")[0]
        counts[found] += 1
    return counts, slowest, wrong


def truncations(target: Target, n: int, folder: Path) -> tuple[collections.Counter, list[str]]:
    """Cut the file at n lengths, all if there are not more."""
    path = folder / target.name
    path.write_bytes(target.intact)
    expected, counts, wrong = target.read(path), collections.Counter(), []
    for length in np.unique(np.linspace(0, len(target.intact) - 1, n).astype(int)):
        found = outcome(target, target.intact[:length], path, expected)
        if found.startswith("!"):
            wrong.append(f"cut at {length}: {found[2:]}")
        counts[found.split(":")[0]] += 1
    return counts, wrong


def limit_memory() -> None:
    """Let this process take MEMORY_LIMIT more than it has."""
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY_LIMIT, resource.RLIM_INFINITY))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=20_000, help="mutations of each kind of file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", help="one kind of file alone")
    parser.add_argument("--list", action="store_true", help="print the kinds of files")
    parser.add_argument("--atheris", metavar="TARGET", help="fuzz guided by coverage")
    arguments, rest = parser.parse_known_args()
    kinds = targets()
    if arguments.list:
        print("\n".join(kinds))
        return 0
    if arguments.atheris:
        return atheris(kinds[arguments.atheris], rest)
    limit_memory()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, target in kinds.items():
            if arguments.target not in (None, name):
                continue
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            cuts, wrong_cuts = truncations(target, min(arguments.n, 2000), Path(folder))
            counts, slowest, wrong = run(target, arguments.n, arguments.seed, Path(folder))
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
            print(
                f"{name}: {arguments.n:,} mutations, {sum(cuts.values()):,} cuts; "
                f"longest {slowest:.2f} s, +{grown:.0f} MB"
            )
            for title, counter in (("cuts", cuts), ("mutations", counts)):
                print(f"    {title:10}", ", ".join(f"{count:,} {what}" for what, count in counter.most_common()))
            for line in [*wrong_cuts, *wrong][:20]:
                print("    WRONG", line)
            failed += len(wrong) + len(wrong_cuts)
    return 1 if failed else 0


def atheris(target: Target, options: list[str]) -> int:
    """Fuzz for ever, or as the options of libFuzzer say."""
    import atheris as engine

    path = Path(tempfile.mkdtemp(), target.name)
    path.write_bytes(target.intact)
    expected = target.read(path)

    def one(data: bytes) -> None:
        found = outcome(target, data, path, expected)
        if found.startswith("!"):
            raise RuntimeError(found)

    engine.instrument_all()
    engine.Setup([sys.argv[0], *options], one)
    engine.Fuzz()
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
