"""Damaged and hostile files end in the documented errors, in bounded time and memory; see tools/fuzz_files.py."""

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from cases.tools import tool
from hypothesis import given, settings
from hypothesis import strategies as st

from acepure import ACEBasis, LinearACE
from acepure._utils.checks import number
from acepure.cli import main
from acepure.errors import BasisTooLargeError, ModelFileError
from acepure.interfaces.yace import YaceError, read_yace
from acepure.models.files import LINEAR, read_model, write_model

fuzz = tool("fuzz_files")
TARGETS = fuzz.targets()


# --- mutations --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TARGETS)
def test_mutations(tmp_path, name):
    """Every mutation is read as before, read as another file, or refused with the documented error."""
    counts, _, wrong = fuzz.run(TARGETS[name], 250, 2024, tmp_path)
    assert not wrong
    assert sum(counts.values()) == 250 and sum(n for what, n in counts.items() if what.endswith("Error")) > 100


@pytest.mark.parametrize("name", TARGETS)
def test_truncations(tmp_path, name):
    counts, wrong = fuzz.truncations(TARGETS[name], 300, tmp_path)
    assert not wrong
    if name.startswith("model"):
        assert set(counts) == {"ModelFileError"}


@given(seed=st.integers(0, 2**32), name=st.sampled_from(list(TARGETS)))
@settings(max_examples=60, deadline=None)
def test_mutations_by_hypothesis(tmp_path_factory, seed, name):
    target = TARGETS[name]
    content = target.mutate(np.random.default_rng(seed), target.intact)
    path = tmp_path_factory.mktemp("h") / target.name
    assert not fuzz.outcome(target, content, path, None).startswith("!")


@pytest.mark.parametrize("name", ["model, bytes", "yace"])
def test_every_byte_set_to_others(tmp_path, name):
    target, path = TARGETS[name], tmp_path / TARGETS[name].name
    for place in range(0, len(target.intact), len(target.intact) // 100):
        for value in (0x00, 0xFF, target.intact[place] ^ 0x01):
            content = bytearray(target.intact)
            content[place] = value
            assert not fuzz.outcome(target, bytes(content), path, None).startswith("!")


@contextmanager
def at_most_calls(most):
    """Count the calls of functions in the block: work without end does not pass, and no clock is asked."""
    n = 0

    def counted(frame, event, argument):
        nonlocal n
        n += 1
        if n == most:
            raise AssertionError(f"more than {most} calls")

    sys.setprofile(counted)
    try:
        yield
    finally:
        sys.setprofile(None)


# --- models that ask for too much ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"totaldegree": [3e6, 3.0]},
        {"totaldegree": [3.0, 1e300]},
        {"totaldegree": [2000.0, 2000.0]},
        {"totaldegree": [3.0, 3.0], "wL": 1e-12},
        {"order": 10**9, "totaldegree": 3.0},
        {"order": 10**400},
        {"n_start": 10**30},
        {"functions": [[["Cu", 0, 10**6]] * 2], "totaldegree": None, "wL": None},
        {"functions": [[["Cu", 10**9, 0]]], "totaldegree": None, "wL": None},
        {"functions": [[["Cu", 0, 1]] * 10**4], "totaldegree": None, "wL": None},
        {"species": ["Cu"] * 10**5},
    ],
    ids=lambda change: str(change)[:50],
)
def test_bases_beyond_all_bounds(tmp_path, change):
    """A model whose basis is absurd is refused after little work, however large its numbers."""
    path = tmp_path / "model"
    LinearACE(basis := ACEBasis(["Cu"], order=2, totaldegree=3), np.ones(len(basis))).save(path)
    entries, arrays = read_model(path, LINEAR)
    changed = {k: v for k, v in (entries["basis"] | change).items() if v is not None}
    write_model(path, LINEAR, entries | {"basis": changed}, arrays)
    with at_most_calls(5_000_000), pytest.raises(ModelFileError, match="holds no usable model"):
        LinearACE.load(path)


@pytest.mark.parametrize(
    "arguments, size",
    [({"totaldegree": 10**6, "order": 1}, 10**6 + 1), ({"n_max": 10**6, "l_max": 0, "order": 1}, 10**6)],
)
def test_sizes_of_order_one_cost_nothing(arguments, size):
    assert len(ACEBasis(["Cu"], **arguments)) == size


@pytest.mark.parametrize(
    "arguments",
    [{"n_max": 4, "l_max": 10**6, "order": 3}, {"totaldegree": 3, "wL": 1e-9}, {"order": 33}, {"order": 10**12}],
)
def test_bases_beyond_all_bounds_are_refused(arguments):
    with pytest.raises(BasisTooLargeError):
        ACEBasis(["Cu"], **arguments)


def test_integers_beyond_float64():
    with pytest.raises(ValueError, match=r"^E0 must be a finite number; got 1000.*000$"):
        number("E0", 10**400)


# --- .yace files ------------------------------------------------------------------------------------------------------

YAML = {
    "aliases": ("a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(30)), "holds an anchor or a tag"),
    "tag": ("a: !!python/object/apply:os.system [id]", "holds an anchor or a tag"),
    "lists": ("[" * 10**6, "nested deeper than 10 levels|is no YAML"),  # PyYAML may stop first, in words of its own
    "blocks": ("- " * 10**5, "nested deeper than 10 levels"),
    "maps": ("{a: " * 10**5, "nested deeper than 10 levels"),
    "keys": ("? " * 10**5, "nested deeper than 10 levels"),
    "a key twice among many": ("".join(f"k{i}: 1\n" for i in range(60_000)) + "k59999: 2\n", "the key 'k59999' twice"),
    "long word": ("elements: " + "x" * 10**7, "it lacks"),
    "documents": ("--- a\n" * 50_000, "holds 50000 YAML documents"),
    "NUL": ("a: \x00", "is no YAML"),
    "binary": (b"\xff\xfe\x00\x00", "is no text"),
    "nothing": ("", "holds 0 YAML documents"),
}


@pytest.mark.parametrize("name", YAML)
def test_hostile_yaml(tmp_path, name):
    content, message = YAML[name]
    path = tmp_path / "a.yace"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(YaceError, match=message) as error:
        read_yace(path)
    assert len(str(error.value)) < 1000


# --- bounded memory ---------------------------------------------------------------------------------------------------


def packed(header):
    """A model file with this header and no array."""
    content = json.dumps(header).encode()
    return len(content).to_bytes(8, "little") + content


def forged(text):
    return packed({"__metadata__": {"acepure model": text}})


LIMITED = """
import resource, sys
from acepure import LinearACE
from acepure.interfaces.yace import read_yace
with open("/proc/self/statm") as file:
    now = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + 400 * 2**20,) * 2)
resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
for name in sys.argv[1:]:
    try:
        (read_yace if name.endswith("yace") else LinearACE.load)(name)
        print("read")
    except ValueError as error:
        print(type(error).__name__)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="/proc tells the memory of a process")
def test_bombs_in_400_MB(tmp_path):
    """Small files that would grow: none takes more than 400 MB, or ends the process."""
    bombs = {
        "spaces": forged("{}" + " " * 10_000_000),
        "lists": forged(json.dumps({"a": [[]] * 10}).replace("[], ", "[], " * 10**6)),
        "names": packed({f"{k}": {"dtype": "F64", "shape": [0], "data_offsets": [0, 0]} for k in range(10**5)}),
        "sizes": packed({"a": {"dtype": "F64", "shape": [2**40], "data_offsets": [0, 2**43]}}),
    }
    for name, content in bombs.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "a.yace").write_text("a: [" + "[" * 9 + "]" * 9 + ", x" * 10**5 + "]")
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, *(str(tmp_path / name) for name in [*bombs, "a.yace"])],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["ModelFileError"] * 4 + ["YaceError"]


# --- structures -------------------------------------------------------------------------------------------------------

XYZ = {
    "cut short": "2\n\nCu 0 0 0\n",
    "no number": "two\n\nCu 0 0 0\n",
    "negative": "-1\n\nCu 0 0 0\n",
    "NaN": "1\n\nCu nan 0 0\n",
    "infinite cell": '1\nLattice="inf 0 0 0 1 0 0 0 1" pbc="T T T"\nCu 0 0 0\n',
    "flat cell": '1\nLattice="1 0 0 1 0 0 0 0 1" pbc="T T T"\nCu 0 0 0\n',
    "no element": "1\n\nXq 0 0 0\n",
    "same place": "2\n\nCu 0 0 0\nCu 0 0 0\n",
    "NUL": "1\n\nCu \x00 0 0\n",
    "wrong columns": "1\nProperties=species:S:1:pos:R:2\nCu 0 0\n",
    "2^31 columns": "1\nProperties=species:S:2147483648\nCu 0 0 0\n",
    "2^31 columns and fewer than none": "1\nProperties=a:S:-2147483648:b:S:2147483648\nCu 0 0 0\n",
    "2^31 columns of no atom": "0\nProperties=species:S:2147483648\n",
    "text": "hello\n",
    "nothing": "",
}


@pytest.mark.parametrize("name", XYZ)
def test_hostile_structures_on_the_command_line(tmp_path, monkeypatch, capsys, name):
    """One line that names the file, exit code 2, no output."""
    monkeypatch.chdir(tmp_path)
    Path("a.xyz").write_text(XYZ[name])
    assert main(["descriptors", "a.xyz", "-o", "a.npz", "--order", "1"]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("acepure: error: ") and len(said) < 1000
    assert [path.name for path in tmp_path.iterdir()] == ["a.xyz"]


def test_structures_with_names_that_are_taken(tmp_path, monkeypatch):
    """Columns named like attributes of ASE do no harm: features are those of the positions."""
    monkeypatch.chdir(tmp_path)
    atoms = bulk("Cu", cubic=True)
    atoms.arrays["acepure_descriptors"] = np.zeros((4, 2))
    atoms.info["acepure_basis"] = "{}"
    import ase.io

    ase.io.write("a.extxyz", atoms)
    assert main(["descriptors", "a.extxyz", "-o", "a.npz", "--order", "1"]) == 0
