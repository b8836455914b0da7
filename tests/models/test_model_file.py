"""Model files: exact round trips, and a named error for everything that is no intact file."""

import errno
import io
import json
import os
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import acepure
from acepure._utils.files import atomic_write
from acepure.errors import ModelFileError
from acepure.models import files as model_file
from acepure.models.files import read_model, write_model

HEADER = {
    "name": "Kupfer – Å, Σ",
    "numbers": [0.1, -0.0, 5e-324, 1.7976931348623157e308, 2**70, -3, True, None],
    "nested": {"kind": "PowerTransform", "pairs": [["Cu", "Zr", 1 / 3]]},
}
ARRAYS = {
    "weights": np.array([[0.1, -0.0, 5e-324], [1 / 3, -1.7976931348623157e308, np.pi]]),
    "counts": np.array([0, -1, 2**63 - 1, -(2**63)]),
    "scalar": np.array(2.5),
    "nothing": np.empty((0, 3)),
}


def same(arrays, others):
    return list(arrays) == list(others) and all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        for a, b in zip(arrays.values(), others.values())
    )


def npy(array, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


def header(**changes):
    about = {"format": "acepure model", "version": 1, "acepure": "0.1.0", "arrays": ["weights"], "header": {}}
    return json.dumps(about | changes)


def forged(path, members, compression=zipfile.ZIP_STORED):
    """A ZIP file with any members."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def refused(content, path):
    """Whether reading these bytes raises a ModelFileError; anything else passes through."""
    path.unlink(missing_ok=True)  # some systems flush a file that is overwritten, which takes long
    path.write_bytes(content)
    try:
        read_model(path)
    except ModelFileError as error:
        assert str(error).startswith(repr(str(path)))
        return True
    return False


# --- round trips ------------------------------------------------------------------------------------------------------


def test_round_trip(tmp_path):
    path = tmp_path / "model.ace"
    write_model(path, HEADER, ARRAYS)
    read, arrays = read_model(path)
    assert read == HEADER and json.dumps(read) == json.dumps(HEADER) and same(arrays, ARRAYS)
    assert all(array.flags.writeable and array.flags.c_contiguous for array in arrays.values())
    assert [p.name for p in tmp_path.iterdir()] == ["model.ace"]
    write_model(str(path), {}, {})
    assert read_model(str(path)) == ({}, {})


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


@given(
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), json_values, max_size=4),
    st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]*", fullmatch=True), finite_arrays, max_size=3),
)
def test_round_trip_of_anything(tmp_path_factory, header, arrays):
    path = tmp_path_factory.mktemp("any") / "model"
    try:
        json.dumps(header, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        with pytest.raises(ValueError, match="header cannot be written"):
            write_model(path, header, arrays)
        return
    write_model(path, header, arrays)
    read, read_arrays = read_model(path)
    assert repr(read) == repr(header) and same(read_arrays, arrays)  # repr tells 0.0, -0.0, 0 and False apart


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(3, 4).T,
        np.arange(12.0).reshape(3, 4)[:, ::-2],
        np.arange(6.0).astype(">f8"),
        np.arange(6).astype(">i8"),
        np.matrix([[1.0, 2.0]]),
    ],
    ids=["Fortran order", "strides", "big-endian floats", "big-endian integers", "matrix"],
)
def test_arrays_of_any_layout(tmp_path, array):
    write_model(tmp_path / "model", {}, {"a": array})
    read = read_model(tmp_path / "model")[1]["a"]
    assert type(read) is np.ndarray and read.dtype.isnative and read.shape == array.shape
    np.testing.assert_array_equal(read, array)


def test_equal_content_gives_equal_bytes(tmp_path, monkeypatch):
    for k, time in enumerate((1e9, 1.7e9)):
        monkeypatch.setattr("time.time", lambda time=time: time)
        write_model(tmp_path / str(k), HEADER, ARRAYS)
    assert (tmp_path / "0").read_bytes() == (tmp_path / "1").read_bytes()
    with zipfile.ZipFile(tmp_path / "0") as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_others_can_read_it(tmp_path):
    """numpy.load finds the arrays, and any unzip the header, with the version that wrote it."""
    write_model(tmp_path / "model.npz", HEADER, ARRAYS)
    with np.load(tmp_path / "model.npz", allow_pickle=False) as loaded:
        assert same({name: loaded[name] for name in ARRAYS}, ARRAYS)
    with zipfile.ZipFile(tmp_path / "model.npz") as archive:
        assert archive.testzip() is None
        about = json.loads(archive.read("header.json"))
    assert about["header"] == HEADER and about["arrays"] == list(ARRAYS)
    assert (about["format"], about["version"], about["acepure"]) == ("acepure model", 1, acepure.__version__)


@pytest.mark.parametrize("fortran", [False, True])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_packed_again_by_others(tmp_path, compression, fortran):
    weights = np.asarray(np.arange(6.0).reshape(2, 3), order="F" if fortran else "C")
    members = [("weights.npy", npy(weights)), ("header.json", header(header={"a": 1}))]
    read, arrays = read_model(forged(tmp_path / "model", members, compression))
    assert read == {"a": 1} and same(arrays, {"weights": np.arange(6.0).reshape(2, 3)})


# --- damage -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    """The bytes of a small file, and a place for damaged ones."""
    path = tmp_path_factory.mktemp("intact") / "model"
    write_model(path, {"name": "Cu"}, {"weights": np.array([1.5, -2.0]), "n": np.array([3])})
    return path.read_bytes(), path.with_name("damaged"), read_model(path)


def equal_or_refused(content, path, expected):
    if refused(content, path):
        return True
    read, arrays = read_model(path)
    assert read == expected[0] and same(arrays, expected[1])
    return False


def test_every_cut(intact):
    content, path, _ = intact
    assert all(refused(content[:n], path) for n in range(len(content)))


def test_every_byte_changed(intact):
    """What lies in header or arrays is always noticed; times and the like may differ."""
    content, path, expected = intact
    n_refused = 0
    for position in range(len(content)):
        for flipped in (1 << position % 8, 0xFF):
            damaged = bytearray(content)
            damaged[position] ^= flipped
            n_refused += equal_or_refused(bytes(damaged), path, expected)
    assert n_refused > len(content)


@given(st.data())
@example(None)
def test_any_damage(intact, data):
    """Bytes replaced, left out, doubled and inserted, in several places."""
    content, path, expected = intact
    if data is None:
        assert not equal_or_refused(content, path, expected)
        return
    for _ in range(data.draw(st.integers(1, 4))):
        first = data.draw(st.integers(0, len(content)))
        last = data.draw(st.integers(first, min(len(content), first + 40)))
        new = data.draw(st.binary(max_size=40) | st.just(content[first:last] * 2) | st.just(b"\xff" * (last - first)))
        content = content[:first] + new + content[last:]
    equal_or_refused(content, path, expected)


@given(st.binary(max_size=200))
def test_any_bytes(intact, content):
    assert refused(content, intact[1]) and refused(b"PK\x03\x04" + content, intact[1])


@given(st.text(max_size=40) | json_values.map(json.dumps) | st.binary(max_size=40))
@example("[" * 100_000)
@example("1" * 10_000)
@example('{"format": "acepure model", "version": NaN}')
def test_any_header(intact, text):
    assert refused(forged(intact[1], [("header.json", text)]).read_bytes(), intact[1])


@given(st.binary(max_size=200))
def test_any_array(intact, content):
    for start in (b"", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x03\x00", npy(np.ones(3))[:-1]):
        members = [("header.json", header()), ("weights.npy", start + content)]
        path = forged(intact[1], members)
        try:
            assert same(read_model(path)[1], {"weights": np.frombuffer((start + content)[-24:])})
        except ModelFileError:
            pass


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_model(tmp_path / "nowhere")
    with pytest.raises(TypeError):
        read_model(3)


def test_no_files(tmp_path):
    with pytest.raises(ModelFileError, match="is a folder or a device"):
        read_model(tmp_path)
    (tmp_path / "empty").touch()
    with pytest.raises(ModelFileError, match="is empty"):
        read_model(tmp_path / "empty")
    (tmp_path / "text").write_text("Cu 1.0")
    with pytest.raises(ModelFileError, match=r"'.*text' is no model file of acepure"):
        read_model(tmp_path / "text")
    if os.path.exists("/dev/zero"):
        with pytest.raises(ModelFileError, match="is a folder or a device"):
            read_model("/dev/zero")


class Bomb:
    """Unpickling it leaves a mark."""

    exploded = False

    def __reduce__(self):
        return setattr, (Bomb, "exploded", True)


WEIGHTS = ("weights.npy", npy(np.ones(3)))
OBJECTS = ("weights.npy", npy(np.array([Bomb(), None]), allow_pickle=True))
NAN = ("weights.npy", npy(np.array([[1.0, 2.0], [np.nan, 4.0]])))


@pytest.mark.parametrize(
    "members, message",
    [
        ([WEIGHTS], "is no model file of acepure: it lacks header.json"),
        ([], "is no model file of acepure: it lacks header.json"),
        ([("header.json", "{}"), WEIGHTS], "is no model file of acepure: its header does not say"),
        ([("header.json", "[1]"), WEIGHTS], "is no model file of acepure"),
        ([("header.json", header(format="yace"))], "is no model file of acepure"),
        ([("header.json", header(version=2, acepure="9.9", arrays=3))], r"newer acepure \(9\.9\).*version is 2.*to 1"),
        ([("header.json", header(version=0))], "its format version is 0"),
        ([("header.json", header(version=True))], "its format version is True"),
        ([("header.json", header(version="1"))], "its format version is '1'"),
        ([("header.json", header(header=[]))], "its header is incomplete"),
        ([("header.json", header(header={"a": float("nan")})), WEIGHTS], "its header holds NaN"),
        ([("header.json", header(header={}).replace("{}", '{"a": 1e999}')), WEIGHTS], "its header holds 1e999"),
        ([("header.json", b"\xff"), WEIGHTS], "is damaged or cut short"),
        ([("header.json", header(arrays="weights")), WEIGHTS], "the names of its arrays"),
        ([("header.json", header(arrays=["weights", 3])), WEIGHTS], "the names of its arrays"),
        ([("header.json", header(arrays=[])), WEIGHTS], "it should hold"),
        ([("header.json", header())], "it should hold"),
        ([("header.json", header()), WEIGHTS, ("more.txt", "")], "it should hold"),
        ([("header.json", header(arrays=["weights"] * 2)), WEIGHTS], "it should hold"),
        ([("header.json", header()), OBJECTS], "array 'weights' is of type object"),
        ([("header.json", header()), ("weights.npy", npy(np.ones(3, np.float32)))], "is of type float32"),
        ([("header.json", header()), ("weights.npy", npy(np.array(["a"])))], "is of type <U1"),
        ([("header.json", header()), ("weights.npy", npy(np.ones(3) + 0j))], "is of type complex128"),
        ([("header.json", header()), ("weights.npy", npy(np.ones(3), version=(2, 0)))], "has an unknown format"),
        ([("header.json", header()), ("weights.npy", WEIGHTS[1] + b"\0")], r"of shape \(3,\) has 25 bytes"),
        ([("header.json", header()), ("weights.npy", WEIGHTS[1].replace(b"(3,)", b"(4,)"))], "has 24 bytes"),
        (
            [("header.json", header()), ("weights.npy", WEIGHTS[1].replace(b"(3,), }    ", b"(-1, -3), }"))],
            "is damaged",
        ),
        ([("header.json", header()), ("weights.npy", b"weights")], "is damaged or cut short"),
        ([("header.json", header()), NAN], r"holds nan at \(1, 0\) in array 'weights'; finite"),
    ],
)
def test_foreign_and_forged_files(tmp_path, members, message):
    with pytest.raises(ModelFileError, match=message):
        read_model(forged(tmp_path / "model", members))
    assert not Bomb.exploded


def test_names_are_never_paths(tmp_path):
    """A member with the name of a file outside is refused, and nothing is written."""
    for name in ("../../outside", str(tmp_path / "outside"), "weights\0", "a/b"):
        members = [("header.json", header(arrays=[name])), (f"{name}.npy", npy(np.ones(3)))]
        with pytest.raises(ModelFileError, match="the names of its arrays"):
            read_model(forged(tmp_path / "model", members))
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


# --- sizes ------------------------------------------------------------------------------------------------------------


def declaring(path, size):
    """A file of which the directory says that the array is so large."""
    forged(path, [("header.json", header()), WEIGHTS], zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = struct.pack("<I", size)
    path.write_bytes(content)
    return path


def test_absurd_sizes_are_refused_before_reading(tmp_path, monkeypatch):
    for size in (2**32 - 2, 10**7):
        with pytest.raises(ModelFileError, match=r"declares .* GiB of content in \d+ bytes"):
            read_model(declaring(tmp_path / "model", size))
    monkeypatch.setattr(model_file, "physical_memory", lambda: 3e4)
    with pytest.raises(ModelFileError, match="declares"):
        read_model(declaring(tmp_path / "model", 20_000))
    write_model(tmp_path / "large", {}, {"a": np.zeros(2000)})
    with pytest.raises(ModelFileError, match="is larger than a third of the memory"):
        read_model(tmp_path / "large")


def test_zeros_well_compressed_are_read(tmp_path):
    """The limit is what deflate can reach."""
    members = [("header.json", header()), ("weights.npy", npy(np.zeros(500_000)))]
    assert not read_model(forged(tmp_path / "model", members, zipfile.ZIP_DEFLATED))[1]["weights"].any()


def test_other_compressions_are_refused(tmp_path):
    with pytest.raises(ModelFileError, match=r"'weights\.npy' is neither stored nor deflated"):
        path = forged(tmp_path / "model", [("header.json", header())])
        with zipfile.ZipFile(path, "a", zipfile.ZIP_BZIP2) as archive:
            archive.writestr(*WEIGHTS)
        read_model(path)


def test_limit_of_headers(tmp_path, monkeypatch):
    write_model(tmp_path / "model", {"a": "x" * 2000}, {})
    monkeypatch.setattr(model_file, "HEADER_LIMIT", 1000)
    with pytest.raises(ModelFileError, match="has a header of more than 1,000 bytes"):
        read_model(tmp_path / "model")
    with pytest.raises(ValueError, match=r"header takes 2,0.. bytes, more than 1,000"):
        write_model(tmp_path / "other", {"a": "x" * 2000}, {})
    assert not (tmp_path / "other").exists()


# --- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header, arrays, error, message",
    [
        ([("a", 1)], {}, TypeError, "header must be a mapping"),
        ({"a": (1, 2)}, {}, TypeError, "header must consist of JSON types"),
        ({1: 2}, {}, TypeError, "header must consist of JSON types"),
        ({"a": {1}}, {}, TypeError, "header must consist of JSON types: .*set"),
        ({"a": np.ones(2)}, {}, TypeError, "header must consist of JSON types: .*ndarray"),
        ({"a": np.int64(1)}, {}, TypeError, "header must consist of JSON types: .*int64"),
        ({"a": [float("nan")]}, {}, ValueError, "header cannot be written as JSON"),
        ({"a": float("inf")}, {}, ValueError, "header cannot be written as JSON"),
        ({"a": "\ud800"}, {}, ValueError, "header cannot be written as JSON"),
        ({}, [np.ones(2)], TypeError, "arrays must be a mapping"),
        ({}, {"a": [1.0]}, TypeError, r"arrays\['a'\] must be a numpy.ndarray of float64 or int64; got list"),
        ({}, {"a": np.ones(2, np.float32)}, TypeError, r"arrays\['a'\] must .* got float32"),
        ({}, {"a": np.ones(2) > 0}, TypeError, r"arrays\['a'\] must .* got bool"),
        ({}, {"a": np.ones(2, np.int32)}, TypeError, r"arrays\['a'\] must .* got int32"),
        ({}, {"a": np.ones(2, object)}, TypeError, r"arrays\['a'\] must .* got object"),
        ({}, {"a": np.array([[1.0, np.inf]])}, ValueError, r"arrays\['a'\] must be finite; it holds inf at \(0, 1\)"),
        ({}, {"a": np.array(np.nan)}, ValueError, r"arrays\['a'\] must be finite; it holds nan at \(\)"),
        ({}, {"a": np.ma.array([1.0, np.nan], mask=[0, 1])}, ValueError, r"holds nan at \(1,\)"),
        ({}, {"../a": np.ones(2)}, ValueError, r"the names of arrays must .* got '\.\./a'"),
        ({}, {"": np.ones(2)}, ValueError, "the names of arrays must"),
        ({}, {3: np.ones(2)}, ValueError, "the names of arrays must"),
    ],
)
def test_wrong_content(tmp_path, header, arrays, error, message):
    with pytest.raises(error, match=message):
        write_model(tmp_path / "model", header, arrays)
    assert not list(tmp_path.iterdir())


def endless(depth=100_000):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def test_headers_too_deep(tmp_path):
    with pytest.raises(ValueError, match="header cannot be written as JSON"):
        write_model(tmp_path / "model", {"a": endless()}, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("at", ["third member", "flush"])
def test_interrupted_writing(tmp_path, monkeypatch, error, at):
    """Neither a part of the new file nor anything else; the old file stays."""
    written = []

    def fails(*_):
        raise error

    def writestr(archive, *arguments, original=zipfile.ZipFile.writestr):
        written.append(arguments)
        fails() if len(written) == 3 else original(archive, *arguments)

    for old in (None, b"old"):
        written.clear()
        if old:
            (tmp_path / "model").write_bytes(old)
        with monkeypatch.context() as patch, pytest.raises(type(error)):
            patch.setattr(*((zipfile.ZipFile, "writestr", writestr) if at == "third member" else (os, "fsync", fails)))
            write_model(tmp_path / "model", HEADER, ARRAYS)
        assert [p.read_bytes() for p in tmp_path.iterdir()] == ([old] if old else [])


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX systems")
def test_a_disk_that_fills_up(tmp_path):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match=r"[Ff]ile too large"):
            write_model(tmp_path / "model", {}, {"a": np.zeros(50_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_the_folder_must_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        write_model(tmp_path / "nowhere" / "model", {}, {})


def test_atomic_write_is_used(tmp_path, monkeypatch):
    """Readers never see a part."""
    used = []
    monkeypatch.setattr(model_file, "atomic_write", lambda path: used.append(path) or atomic_write(path))
    write_model(tmp_path / "model", {}, {})
    assert used == [tmp_path / "model"]
