"""Model files: exact round trips, and a named error for everything that is no intact file."""

import errno
import json
import os
import struct
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from safetensors import safe_open
from safetensors.numpy import save

import acepure
from acepure import ACEBasis, IdealGas, LinearACE
from acepure._utils.files import atomic_write
from acepure.errors import ModelFileError
from acepure.models import files
from acepure.models.files import ModelSchema, read_model, write_model
from acepure.models.repulsion import ZBLCore

SCHEMA = ModelSchema("pair", ("name",), {"weights": np.float64, "counts": np.int64}, optional=("counts",))
NAME = [0.1, -0.0, 5e-324, 1.7976931348623157e308, 2**70, -3, True, None, {"Å, Σ": [["Cu", 1 / 3]]}]
ARRAYS = {
    "weights": np.array([[0.1, -0.0, 5e-324], [1 / 3, -1.7976931348623157e308, np.pi]]),
    "counts": np.array([0, -1, 2**63 - 1, -(2**63)]),
}


def same(arrays, others):
    return arrays.keys() == others.keys() and all(
        a.dtype == (b := others[name]).dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        for name, a in arrays.items()
    )


def about(**changes):
    """What the metadata of an intact file say."""
    return json.dumps({"version": 1, "acepure": "0", "kind": "pair", "crc32": 0, "entries": {"name": 1}} | changes)


def packed(header, data=b""):
    """A file with any header, a text or an object of JSON."""
    header = (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(header)) + header + data


def forged(text=None, **arrays):
    """A sound file of safetensors with any text and arrays."""
    return save({"weights": np.ones(3)} | arrays, {"acepure model": about() if text is None else text})


def refused(path, content, message=""):
    """Whether reading these bytes raises a ModelFileError; anything else passes through."""
    path.unlink(missing_ok=True)  # some systems flush a file that is overwritten, which takes long
    path.write_bytes(content)
    try:
        read_model(path, SCHEMA)
    except ModelFileError as error:
        assert str(error).startswith(repr(str(path))) and message in str(error) and len(str(error)) < 1000
        return True
    return False


# --- round trips ------------------------------------------------------------------------------------------------------


def test_round_trip(tmp_path):
    path = tmp_path / "model.ace"
    write_model(path, SCHEMA, {"name": NAME}, ARRAYS)
    entries, arrays = read_model(str(path), SCHEMA)
    assert repr(entries) == repr({"name": NAME}) and same(arrays, ARRAYS)
    assert all(array.flags.writeable and array.flags.c_contiguous for array in arrays.values())
    assert [p.name for p in tmp_path.iterdir()] == ["model.ace"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
finite_arrays = npst.arrays(
    np.float64,
    npst.array_shapes(min_dims=0, min_side=0, max_side=4),
    elements=st.floats(allow_nan=False, allow_infinity=False),
)


@given(json_values, finite_arrays)
def test_round_trip_of_anything(tmp_path_factory, name, weights):
    path = tmp_path_factory.mktemp("any") / "model"
    try:
        json.dumps(name, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        with pytest.raises(ValueError, match="entries cannot be written"):
            write_model(path, SCHEMA, {"name": name}, {"weights": weights})
        return
    write_model(path, SCHEMA, {"name": name}, {"weights": weights})
    entries, arrays = read_model(path, SCHEMA)
    assert repr(entries["name"]) == repr(name)  # tells 0.0, -0.0, 0 and False apart
    assert same(arrays, {"weights": weights})


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize(
    "make",
    [
        lambda: np.arange(12.0).reshape(3, 4).T,
        lambda: np.arange(12.0).reshape(3, 4)[:, ::-2],
        lambda: np.arange(6.0).astype(">f8"),
        lambda: np.matrix([[1.0, 2.0]]),
    ],
    ids=["Fortran order", "strides", "big-endian", "matrix"],
)
def test_arrays_of_any_layout(tmp_path, make):
    array = make()
    write_model(tmp_path / "model", SCHEMA, {"name": 1}, {"weights": array})
    read = read_model(tmp_path / "model", SCHEMA)[1]["weights"]
    assert type(read) is np.ndarray and read.dtype.isnative and read.shape == array.shape
    np.testing.assert_array_equal(read, array)


def test_equal_content_gives_equal_bytes_that_others_can_read(tmp_path):
    for k in range(5):
        write_model(tmp_path / str(k), SCHEMA, {"name": NAME}, ARRAYS)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    with safe_open(tmp_path / "0", framework="np") as file:
        said = json.loads(file.metadata()["acepure model"])
        assert same({name: file.get_tensor(name) for name in ARRAYS}, ARRAYS)
    assert type(said.pop("crc32")) is int
    assert said == {"version": 1, "acepure": acepure.__version__, "kind": "pair", "entries": {"name": NAME}}


# --- damage -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    """The bytes of a small file, a place for damaged ones, and what it holds."""
    path = tmp_path_factory.mktemp("intact") / "model"
    write_model(path, SCHEMA, {"name": "Cu"}, {"weights": np.array([1.5, -2.0]), "counts": np.array([3])})
    return path.read_bytes(), path.with_name("damaged"), read_model(path, SCHEMA)


def test_every_cut(intact):
    content, path, _ = intact
    assert all(refused(path, content[:n]) for n in range(len(content)))
    assert refused(path, content + b"\0")


@given(st.data())
@example(None)
def test_any_damage(intact, data):
    """Bytes replaced, left out, doubled and inserted are always noticed, but for the version that wrote a file."""
    content, path, expected = intact
    if data is None:
        assert not refused(path, content) and same(read_model(path, SCHEMA)[1], expected[1])
        return
    for _ in range(data.draw(st.integers(1, 4))):
        first = data.draw(st.integers(0, len(content)))
        last = data.draw(st.integers(first, min(len(content), first + 40)))
        new = data.draw(st.binary(max_size=40) | st.just(content[first:last] * 2) | st.just(b"\xff" * (last - first)))
        content = content[:first] + new + content[last:]
    if not refused(path, content):
        entries, arrays = read_model(path, SCHEMA)
        assert entries == expected[0] and same(arrays, expected[1])


def test_every_byte_changed(intact):
    content, path, expected = intact
    n_refused = 0
    for position in range(len(content)):
        for flipped in (1 << position % 8, 0xFF):
            damaged = bytearray(content)
            damaged[position] ^= flipped
            if refused(path, bytes(damaged)):
                n_refused += 1
            else:
                entries, arrays = read_model(path, SCHEMA)
                assert entries == expected[0] and same(arrays, expected[1])
    assert n_refused > 1.9 * len(content)


@given(st.binary(max_size=200))
def test_any_bytes(intact, content):
    path = intact[1]
    assert refused(path, content) and refused(path, packed(content.decode("latin-1"))) and refused(path, forged(""))


@given(st.text(max_size=40) | json_values.map(json.dumps))
@example("[" * 100_000)
@example("1" * 10_000)
@example('{"version": NaN}')
def test_any_text(intact, text):
    assert refused(intact[1], forged(text))


def test_no_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_model(tmp_path / "nowhere", SCHEMA)
    with pytest.raises(TypeError, match="path must be a str"):
        read_model(3, SCHEMA)
    for folder in (tmp_path, "/dev/zero"):
        if os.path.exists(folder):
            with pytest.raises(ModelFileError, match="is a folder or a device"):
                read_model(folder, SCHEMA)


ARRAY = {"dtype": "F64", "shape": [3], "data_offsets": [0, 24]}
META = {"__metadata__": {"acepure model": about()}}
SMALL = np.ones(3, np.float32)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "is no model file of acepure"),
        (b"PK\3\4" + bytes(100), "is no model file of acepure"),
        (struct.pack("<Q", 2**63) + b"{}", "is no model file of acepure"),
        (struct.pack("<Q", 10**9) + b"{}" + b" " * 1000, "is no model file of acepure"),
        (packed("{" * 10_000), "is no model file of acepure"),
        (packed(META | {"weights": ARRAY | {"shape": [2**60]}}, bytes(24)), "is no model file of acepure"),
        (packed(META | {"weights": ARRAY | {"shape": [2**63, 2**63]}}, bytes(24)), "is no model file of acepure"),
        (packed(META | {"weights": ARRAY | {"shape": [-3]}}, bytes(24)), "is no model file of acepure"),
        (packed(META | {"weights": ARRAY | {"data_offsets": [0, 2**40]}}, bytes(24)), "is no model file of acepure"),
        (packed(META | {"weights": ARRAY | {"data_offsets": [24, 0]}}, bytes(24)), "is no model file of acepure"),
        (packed(META | {"weights": ARRAY | {"dtype": "O"}}, bytes(24)), "is no model file of acepure"),
        (packed(META | {"weights": ARRAY}, bytes(25)), "is no model file of acepure"),
        (save({"weights": np.ones(3)}), "its metadata lack 'acepure model'"),
        (forged("no JSON"), "is damaged: its entries are no JSON"),
        (forged("[1]"), "its format version is None"),
        (forged(about(version=0)), "its format version is 0"),
        (forged(about(version=True)), "its format version is True"),
        (forged(about(version="9" * 10**6)), "its format version is '99"),
        (forged(about(version=2, acepure="9.9")), "newer acepure (9.9): its format version is 2"),
        (forged(about(more=3)), "it should say version, acepure, kind, crc32, entries, but says"),
        (forged(about(entries=[])), "it should say version, acepure, kind, crc32, entries"),
        (forged(about(kind="linear")), "holds a model of the kind 'linear'; 'pair' is needed"),
        (forged(about(entries={})), "lacks the entry 'name' that a pair model needs"),
        (forged(about(entries={"name": 1, "new": 2})), "holds the entry 'new', which is unknown for a pair model"),
        (forged(about(entries={"name": float("nan")})), "its entries hold NaN"),
        (forged(about().replace('"name": 1', '"name": 1e999')), "its entries hold 1e999"),
        (forged(about().replace('"name": 1', '"name": 1, "name": 2')), "two values of 'name'"),
        (forged(about(entries={"name": [[]] * (files.PARTS_LIMIT + 1)})), "more than 1,048,576 lists and objects"),
        (save({"counts": np.ones(3, int)}, {"acepure model": about()}), "lacks the array 'weights'"),
        (forged(extra=np.ones(3)), "holds the array 'extra', which is unknown for a pair model"),
        (forged(weights=SMALL), "holds the array 'weights' as float32; float64 is needed"),
        (forged(weights=np.ones(3, int)), "holds the array 'weights' as int64; float64 is needed"),
        (forged(counts=np.ones(3)), "holds the array 'counts' as float64; int64 is needed"),
        (forged(), "is damaged: its checksum is wrong"),
        (forged(weights=np.array([[1.0], [np.nan]])), "holds nan at (1, 0) in the array 'weights'; finite"),
    ],
)
def test_foreign_and_forged_files(tmp_path, content, message):
    assert refused(tmp_path / "model", content, message)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_more_than_memory(tmp_path, monkeypatch):
    write_model(tmp_path / "model", SCHEMA, {"name": 1}, {"weights": np.zeros(2000)})
    monkeypatch.setattr(files, "physical_memory", lambda: 3e4)
    with pytest.raises(ModelFileError, match="is larger than a third of the memory"):
        read_model(tmp_path / "model", SCHEMA)


# --- writing ----------------------------------------------------------------------------------------------------------


def endless(depth=100_000):
    value = []
    for _ in range(depth):
        value = [value]
    return value


W = np.ones(2)


@pytest.mark.parametrize(
    "entries, arrays, error, message",
    [
        ([("name", 1)], {"weights": W}, TypeError, "entries must be a mapping"),
        ({"name": 1}, [W], TypeError, "arrays must be a mapping"),
        ({}, {"weights": W}, ValueError, "the content of a model file lacks the entry 'name'"),
        ({"name": 1, 3: 4}, {"weights": W}, ValueError, "the content of a model file holds the entry '3'"),
        ({"name": 1}, {}, ValueError, "lacks the array 'weights'"),
        ({"name": 1}, {"weights": W, "../a": W}, ValueError, r"holds the array '\.\./a'"),
        ({"name": (1, 2)}, {"weights": W}, TypeError, "entries must consist of JSON types"),
        ({"name": {1: 2}}, {"weights": W}, TypeError, "entries must consist of JSON types"),
        ({"name": np.ones(2)}, {"weights": W}, TypeError, "entries must consist of JSON types: .*ndarray"),
        ({"name": [float("nan")]}, {"weights": W}, ValueError, "entries cannot be written as JSON"),
        ({"name": "\ud800"}, {"weights": W}, ValueError, "entries cannot be written as JSON"),
        ({"name": endless()}, {"weights": W}, ValueError, "entries cannot be written as JSON"),
        ({"name": "x" * 2**25}, {"weights": W}, ValueError, "entries take 33,554,5.. bytes .* put data into arrays"),
        ({"name": [[]] * 2**20}, {"weights": W}, ValueError, "1,048,579 lists and dicts; .* put data into arrays"),
        ({"name": 1}, {"weights": [1.0]}, TypeError, "holds the array 'weights' as list; float64 is needed"),
        ({"name": 1}, {"weights": W > 0}, TypeError, "as bool; float64 is needed"),
        ({"name": 1}, {"weights": np.array([[1.0, np.inf]])}, ValueError, r"holds inf at \(0, 1\) in the array"),
        ({"name": 1}, {"weights": np.ma.array([1.0, np.nan], mask=[0, 1])}, ValueError, r"holds nan at \(1,\)"),
    ],
)
def test_wrong_content(tmp_path, entries, arrays, error, message):
    with pytest.raises(error, match=message):
        write_model(tmp_path / "model", SCHEMA, entries, arrays)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_interrupted_writing(tmp_path, monkeypatch, error):
    """Neither a part of the new file nor anything else; the old file stays."""

    def fails(*_):
        raise error

    monkeypatch.setattr(os, "fsync", fails)
    for old in (None, b"old"):
        if old:
            (tmp_path / "model").write_bytes(old)
        with pytest.raises(type(error)):
            write_model(tmp_path / "model", SCHEMA, {"name": 1}, ARRAYS)
        assert [p.read_bytes() for p in tmp_path.iterdir()] == ([old] if old else [])


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX systems")
def test_a_disk_that_fills_up(tmp_path):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match=r"[Ff]ile too large.*model"):
            write_model(tmp_path / "model", SCHEMA, {"name": 1}, {"weights": np.zeros(50_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_atomic_write_is_used(tmp_path, monkeypatch):
    """Readers never see a part."""
    used = []
    monkeypatch.setattr(files, "atomic_write", lambda path: used.append(path) or atomic_write(path))
    write_model(tmp_path / "model", SCHEMA, {"name": 1}, ARRAYS)
    assert used == [tmp_path / "model"]


# --- what a file of LinearACE says ------------------------------------------------------------------------------------


def parts(value, path=()):
    """The paths of all dictionaries within JSON."""
    if isinstance(value, dict):
        yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from parts(inner, (*path, key))


def at(value, path):
    for key in path:
        value = value[key]
    return value


def test_no_entry_has_a_default(tmp_path):
    """Every single entry of the header, however deep, is needed, and none may be added."""
    from acepure.models.files import LINEAR

    basis = ACEBasis(["Cu"], order=2, totaldegree=3).centered(IdealGas(0.08))
    model = LinearACE(basis, np.ones(len(basis)), {"Cu": -3.0}, core=ZBLCore(0.7, 1.4))
    model.save(tmp_path / "model")
    entries, arrays = read_model(tmp_path / "model", LINEAR)
    schema, text = replace(LINEAR, optional=(*LINEAR.entries, *LINEAR.optional)), json.dumps(entries)
    atoms = bulk("Cu", cubic=True)
    assert LinearACE.load(tmp_path / "model").evaluate(atoms).energy == model.evaluate(atoms).energy
    n = 0
    for path in parts(entries):
        if path == ("report",):  # a user's own words
            continue
        for name in [*at(entries, path), "unknown"]:
            changed = json.loads(text)
            if name == "unknown" and path:
                at(changed, path)[name] = 1
            elif name == "unknown":
                continue  # tested above
            else:
                del at(changed, path)[name]
            write_model(tmp_path / "changed", schema, changed, arrays)
            with pytest.raises(ModelFileError):
                LinearACE.load(tmp_path / "changed")
            n += 1
    assert n > 25
