"""Features on disk: the same as in memory, whatever interrupts the writing; damaged and foreign stores are refused."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from cases.processes import running

from acepure import ACEBasis, IdealGas
from acepure.features.store import FeatureStore, write_features, writer
from acepure.structures.files import StructureFiles

zarr = pytest.importorskip("zarr", minversion="3.1.3", reason="stores of features need Zarr")

BASIS = ACEBasis(["Cu"], rcut=4.0, order=2, totaldegree=3)
ROWS_PER_CHUNK = 7


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """Several batches, and several chunks of each array, for a few structures; the folder is empty."""
    monkeypatch.setattr(writer, "_ATOMS_PER_BATCH", 6)
    monkeypatch.setattr(writer, "_STRUCTURES_PER_CHUNK", 3)
    monkeypatch.chdir(tmp_path)


def structures(n=6):
    """4, 8, 12, 4, ... atoms; chunks of 7 rows end within structures, and at the end of one."""
    result = [bulk("Cu", cubic=True) * (1, 1, 1 + k % 3) for k in range(n)]
    for k, atoms in enumerate(result):
        atoms.rattle(0.05, seed=k)
    return result


STRUCTURES = structures()


def write(path="a.zarr", images=STRUCTURES, basis=BASIS, **options):
    return write_features(path, basis, images, **{"rows_per_chunk": ROWS_PER_CHUNK, **options})


def content(path):
    """Name and bytes of all files of a folder."""
    return {str(file.relative_to(path)): file.read_bytes() for file in Path(path).rglob("*") if file.is_file()}


def assert_whole(path="a.zarr"):
    """The store is complete, and holds the features of the structures, bit by bit."""
    store = FeatureStore(path)
    assert store.is_complete and store.offsets.tolist() == [0, 4, 12, 24, 28, 36, 48]
    assert store.features.shape == (48, len(BASIS))
    assert_begins(store)
    assert not list(store.path.rglob("*.partial"))


def assert_begins(store):
    """What is there are the features of the first structures."""
    for features, atoms in zip(store, STRUCTURES):
        np.testing.assert_array_equal(features, BASIS.descriptors(atoms))


# --- written and read back --------------------------------------------------------------------------------------------


def test_what_is_written_is_read():
    store = write()
    expected = [BASIS.descriptors(atoms) for atoms in STRUCTURES]
    assert len(store) == 6 and store.is_complete
    assert store.offsets.tolist() == [0, 4, 12, 24, 28, 36, 48]
    for k, features in enumerate(expected):
        np.testing.assert_array_equal(store[k], features)
        np.testing.assert_array_equal(store[k - 6], features)
    for found, features in zip(store, expected, strict=True):
        np.testing.assert_array_equal(found, features)
    np.testing.assert_array_equal(np.asarray(store.features[5:30]), np.concatenate(expected)[5:30])
    assert store.features.shape == (48, len(BASIS))
    assert store.labels == tuple(str(label) for label in BASIS.labels)
    assert store.basis == BASIS
    assert "6 structures, 48 rows of 12 features, complete" in repr(store)
    assert_whole()


def test_plain_zarr_reads_it():
    write()
    group = zarr.open_group("a.zarr", mode="r")
    assert sorted(group.array_keys()) == ["features", "structures"]
    np.testing.assert_array_equal(group["features"][:], np.concatenate([BASIS.descriptors(a) for a in STRUCTURES]))
    assert group["structures"][:, 0].tolist() == [4, 12, 24, 28, 36, 48]
    assert ACEBasis.from_dict(json.loads(group.attrs["basis"])) == BASIS


def test_dask_reads_it():
    dask_array = pytest.importorskip("dask.array", reason="this is about Dask")
    store = write()
    array = dask_array.from_zarr(store.features)
    # NumPy sums in another order than Dask.
    np.testing.assert_allclose(array.sum(axis=0).compute(), sum(f.sum(axis=0) for f in store), rtol=1e-13)


def test_several_processes_write_the_same():
    write(workers=2)
    assert_whole()


def test_a_centered_basis_and_files():
    ase.io.write("a.extxyz.gz", STRUCTURES)
    files, basis = StructureFiles("a.extxyz.gz"), BASIS.centered(IdealGas(0.08))
    store = write(images=files, basis=basis)
    assert store.basis == basis
    for features, atoms in zip(store, files, strict=True):
        np.testing.assert_array_equal(features, basis.descriptors(atoms))


def test_a_chunk_of_zeros_is_written():
    store = write(images=[Atoms("Cu"), Atoms("Cu")])
    assert (store[1] == 0).all() and store[1].shape == (1, 12)


def test_chunks_of_a_default_size():
    store = write(rows_per_chunk=None)
    assert store.features.chunks == (2**22 // (8 * len(BASIS)), len(BASIS))
    np.testing.assert_array_equal(store[5], BASIS.descriptors(STRUCTURES[5]))


# --- interruptions ----------------------------------------------------------------------------------------------------


class Interrupted(KeyboardInterrupt):
    pass


def stopping(images, n):
    """The structures, with an interrupt before number n."""
    for k, atoms in enumerate(images):
        if k == n:
            raise Interrupted
        yield atoms


@pytest.mark.parametrize("n", [1, 4])
def test_interrupted_while_structures_are_read(n, monkeypatch):
    with pytest.raises(Interrupted):
        write(images=stopping(STRUCTURES, n))
    store = FeatureStore("a.zarr")
    assert not store.is_complete
    assert_begins(store)
    computed = counted_descriptors(monkeypatch)
    write()
    assert len(computed) == 6 - len(store)  # what was there is not computed again
    assert_whole()


def counted_descriptors(monkeypatch):
    computed, descriptors = [], ACEBasis.descriptors

    def counted(self, atoms, **options):
        computed.append(len(atoms))
        return descriptors(self, atoms, **options)

    monkeypatch.setattr(ACEBasis, "descriptors", counted)
    return computed


def failing_at(monkeypatch, n):
    """Let the n-th file that Zarr writes fail, after part of it was written; return the numbers of writes."""
    from zarr.storage import LocalStore

    calls, put = [], LocalStore.set

    async def set_or_fail(self, key, value):
        calls.append(key)
        if len(calls) == n:
            (self.root / f"{key}.0123.partial").parent.mkdir(parents=True, exist_ok=True)
            (self.root / f"{key}.0123.partial").write_bytes(b"half")
            raise OSError(28, "No space left on device")
        await put(self, key, value)

    monkeypatch.setattr(LocalStore, "set", set_or_fail)
    return calls


def test_failures_at_every_file():
    """Each run stops at another file, and the next one goes on: at the end nothing is missing."""
    for n in range(1, 100, 2):
        with pytest.MonkeyPatch.context() as patch:
            calls = failing_at(patch, n)
            shutil.rmtree("a.zarr", ignore_errors=True)
            try:
                write()
            except OSError as error:
                assert error.filename == "a.zarr"
        if os.path.exists("a.zarr"):  # made as a whole, or not at all
            assert_begins(FeatureStore("a.zarr"))
        else:
            assert n <= 4
        if len(calls) < n:
            break
        write()
        assert_whole()
    assert 20 < n < 99
    assert_whole()


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX systems")
def test_a_full_disk():
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[0][1]))
    try:
        with pytest.raises(OSError, match=r"File too large.*a\.zarr"):
            write(rows_per_chunk=300)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before[0])
        signal.signal(signal.SIGXFSZ, before[1])
    assert len(FeatureStore("a.zarr")) == 0


CHILD = """
import sys, time
sys.path[:0] = {folders!r}
from acepure.features.store import writer
import test_store
writer._ATOMS_PER_BATCH, writer._STRUCTURES_PER_CHUNK = 6, 3

def slowly():
    for k, atoms in enumerate(test_store.STRUCTURES):
        yield atoms
        print(k, flush=True)
        time.sleep(0.02 if k < 3 else 60)

test_store.write({path!r}, slowly())
"""


def test_a_killed_process():
    script = CHILD.format(folders=[*map(str, Path(__file__).parents[:2])], path=os.path.abspath("a.zarr"))
    with running(script, text=True) as child:
        assert [child.stdout.readline().strip() for _ in range(4)] == ["0", "1", "2", "3"]
        child.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    store = FeatureStore("a.zarr")
    assert not store.is_complete and len(store) >= 1
    assert_begins(store)
    write()
    assert_whole()


def test_again_when_complete_computes_nothing(monkeypatch):
    write()
    computed = counted_descriptors(monkeypatch)
    assert len(write()) == 6
    assert computed == []
    assert_whole()


# --- refusals ---------------------------------------------------------------------------------------------------------


def interrupted_store():
    with pytest.raises(Interrupted):
        write(images=stopping(STRUCTURES, 4))
    return content("a.zarr")


def changed(k, how):
    images = [atoms.copy() for atoms in STRUCTURES]
    how(images[k])
    return images


def move(atoms):
    atoms.positions[1, 2] += 1e-13


def stretch(atoms):
    atoms.cell[0, 0] += 1e-13


def open_up(atoms):
    atoms.pbc = (True, True, False)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"basis": ACEBasis(["Cu"], rcut=4.5, order=2, totaldegree=3)}, "made with other values of radial;"),
        ({"basis": ACEBasis(["Cu"], rcut=4.0, order=2, totaldegree=3, canonical=False)}, "values of canonical;"),
        ({"basis": BASIS.centered(IdealGas(0.08))}, "other values of radial, reference;"),
        ({"rows_per_chunk": 8}, "other values of rows_per_chunk;"),
        ({"images": changed(0, move)}, r"structures\[0\] is not the one in the store 'a.zarr'"),
        ({"images": changed(1, stretch)}, r"structures\[1\] is not the one in the store"),
        ({"images": changed(2, open_up)}, r"structures\[2\] is not the one in the store"),
        ({"images": STRUCTURES[1:]}, r"structures\[0\] is not the one in the store"),
        ({"images": STRUCTURES[:2]}, "only 2 were given"),
    ],
)
def test_anything_else_than_before_is_refused(arguments, message):
    before = interrupted_store()
    with pytest.raises(ValueError, match=message):
        write(**arguments)
    assert content("a.zarr") == before


def test_more_structures_than_a_complete_store_has():
    write()
    with pytest.raises(ValueError, match="is complete with 6 structures, but there are more"):
        write(images=structures(7))


def test_a_store_with_nothing_in_it_is_made_anew():
    with pytest.raises(ValueError, match=r"structures\[0\] holds Ni, but the basis is for Cu"):
        write(images=[bulk("Ni")])
    assert len(FeatureStore("a.zarr")) == 0
    basis = ACEBasis(["Ni"], rcut=4.0, order=1, totaldegree=3)
    assert write(images=[bulk("Ni")], basis=basis, rows_per_chunk=None).basis == basis


def test_errors_name_the_structure():
    images = [atoms.copy() for atoms in STRUCTURES]
    images[4].positions[1] = images[4].positions[0]
    with pytest.raises(ValueError, match=r"structures\[4\]: .*same place"):
        write(images=images)
    images[4] = bulk("Ni")
    with pytest.raises(ValueError, match=r"structures\[4\] holds Ni"):
        write(images=images)
    assert len(write()) == 6


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"path": 3}, TypeError, "path must be a str or os.PathLike"),
        ({"path": "none/a.zarr"}, FileNotFoundError, "the folder 'none' does not exist"),
        ({"images": bulk("Cu")}, TypeError, "structures must be an iterable"),
        ({"images": []}, ValueError, "structures is empty"),
        ({"images": ["Cu"]}, TypeError, r"structures\[0\] must be an ase.Atoms"),
        ({"basis": "Cu"}, TypeError, "basis must be an ACEBasis"),
        ({"rows_per_chunk": -1}, ValueError, "rows_per_chunk must be an integer >= 1"),
        ({"rows_per_chunk": 0}, ValueError, "rows_per_chunk must be an integer >= 1"),
        ({"workers": 0}, ValueError, "workers must be an integer >= 1"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        write(**arguments)


def test_folders_that_are_no_store_stay_as_they_are(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.txt").write_text("mine")
    (tmp_path / "file.zarr").write_text("mine")
    zarr.create_group("other.zarr")
    before = content(tmp_path)
    for name in ("folder", "file.zarr", "other.zarr"):
        with pytest.raises(ValueError, match=rf"the store '{name}' is none of acepure"):
            write(name)
        with pytest.raises(ValueError, match=rf"the store '{name}' is none of acepure"):
            FeatureStore(name)
    assert content(tmp_path) == before
    with pytest.raises(FileNotFoundError, match=r"there is no store 'none.zarr'"):
        FeatureStore("none.zarr")


@pytest.mark.parametrize("name", ["features/c/2/0", "structures/c/1/0"])
def test_chunks_missing_cut_short_or_changed(name):
    write()
    file = Path("a.zarr", name)
    whole = file.read_bytes()
    for part in (whole[:-1], bytes([whole[0] ^ 1]) + whole[1:], None):
        file.write_bytes(part) if part is not None else file.unlink()
        with pytest.raises(ValueError, match=r"the store 'a.zarr' is damaged: "):
            list(FeatureStore("a.zarr"))
        if name.startswith("structures"):
            with pytest.raises(ValueError, match=r"the store 'a.zarr' is damaged: "):
                write()


def edited(name, change):
    write()
    path = Path("a.zarr", name)
    metadata = json.loads(path.read_text())
    change(metadata)
    path.write_text(json.dumps(metadata))


def replace(*keys, by):
    def change(metadata):
        for key in keys[:-1]:
            metadata = metadata[key]
        metadata[keys[-1]] = by

    return change


CHUNKS = "chunk_grid", "configuration", "chunk_shape"


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("zarr.json", replace("attributes", "version", by=2), "its format version is 2, and this one reads 1"),
        ("zarr.json", replace("attributes", "version", by="1"), "its format version is '1'"),
        ("zarr.json", replace("attributes", "basis", by=3), "it has no basis and labels"),
        ("zarr.json", replace("attributes", "labels", by=["a"]), "features has other types, shapes"),
        ("zarr.json", replace("attributes", "complete", by=1), "it does not say whether it is complete"),
        ("zarr.json", replace("attributes", by={}), "is none of acepure"),
        ("zarr.json", replace("zarr_format", by=7), "is damaged"),
        ("features/zarr.json", replace("data_type", by="object"), "is damaged: features"),
        ("features/zarr.json", replace("data_type", by="float32"), "features has other types, shapes or codecs"),
        ("features/zarr.json", replace("codecs", 0, by={"name": "numcodecs.pickle"}), "is damaged: features"),
        ("features/zarr.json", replace("codecs", 1, by={"name": "gzip"}), "is damaged: features"),
        ("features/zarr.json", replace("shape", by=[-1, 12]), "is damaged"),
        ("features/zarr.json", replace("shape", by=[40, 12]), "its structures do not fit 40 rows"),
        ("features/zarr.json", replace("shape", by=[48, 11]), "is damaged: features"),
        ("features/zarr.json", replace(*CHUNKS, by=[2**50, 12]), "larger than an eighth of the memory"),
        ("features/zarr.json", replace(*CHUNKS, by=[8, 12]), "is damaged"),
        ("features/zarr.json", replace("chunk_grid", by=7), "is damaged: features"),
        ("structures/zarr.json", replace(*CHUNKS, by=[2**50, 2]), "larger than an eighth of the memory"),
    ],
)
def test_metadata_that_was_changed(name, change, message):
    edited(name, change)
    with pytest.raises(ValueError, match=f"the store 'a.zarr' .*{message}"):
        list(FeatureStore("a.zarr"))


def test_structures_that_do_not_fit():
    write()
    zarr.open_group("a.zarr", mode="r+")["structures"][2, 0] = 100
    with pytest.raises(ValueError, match="its structures do not fit 48 rows"):
        FeatureStore("a.zarr")


def test_a_basis_of_another_size():
    edited("zarr.json", replace("attributes", "basis", by=json.dumps(ACEBasis(["Cu"], order=1).to_dict())))
    store = FeatureStore("a.zarr")
    with pytest.raises(ValueError, match="is damaged: its basis has 7 features"):
        _ = store.basis


@pytest.mark.parametrize("k, error", [(6, IndexError), (-7, IndexError), (1.0, TypeError), (True, TypeError)])
def test_wrong_numbers(k, error):
    with pytest.raises(error, match="structure"):
        write()[k]


def test_an_old_zarr(monkeypatch):
    monkeypatch.setattr(zarr, "__version__", "3.1.2")
    with pytest.raises(ImportError, match=r"needs Zarr >= 3.1.3"):
        write()


def test_without_zarr(monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    for use in (write, FeatureStore):
        with pytest.raises(ImportError, match=r'pip install "acepure\[store\]"'):
            use("a.zarr")
    assert not os.path.exists("a.zarr")
