"""Structures streamed from files: the same as ASE reads, in bounded memory, and errors that say where."""

import bz2
import gzip
import lzma
import os
import pickle
import sqlite3
import tracemalloc

import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from acepure import ACEBasis, RadialDensity
from acepure.diagnostics import conditioning
from acepure.structures.files import StructureFiles


def structures(n=5):
    """Different sizes and species, with energies, forces and stress of EMT, and some info."""
    result = []
    for k in range(n):
        atoms = bulk(("Cu", "Ni")[k % 2], cubic=True) * (1, 1, 1 + k % 3)
        atoms.rattle(0.05, seed=k)
        atoms.calc = EMT()
        results = {name: atoms.calc.get_property(name, atoms) for name in ("energy", "forces", "stress")}
        atoms.calc = SinglePointCalculator(atoms, **results)
        atoms.info.update(config_type=f"kind{k % 2}", number=k)
        result.append(atoms)
    return result


def assert_same(found, expected):
    found, expected = list(found), list(expected)
    assert len(found) == len(expected)
    for a, b in zip(found, expected):
        assert a == b  # numbers, positions, cell, pbc, exactly
        assert (a.calc is None) == (b.calc is None)
        if b.calc is not None:
            assert set(a.calc.results) == set(b.calc.results)
            for name, value in b.calc.results.items():
                np.testing.assert_array_equal(a.calc.results[name], value)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


OPENERS = {"": open, ".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


@pytest.mark.parametrize(
    "name",
    ["a.extxyz", "a.xyz", "a.extxyz.gz", "a.extxyz.bz2", "a.extxyz.xz", "a.traj", "a.db", "a.json", "a@b.extxyz"],
)
@pytest.mark.parametrize("index", [":", "1:4", "::2", "-2:", ":-1", "3", -1, slice(1, None, 2)])
def test_the_same_as_ase_reads(folder, name, index):
    write(name, structures())
    # ASE takes databases with steps for an error; all rows are the same to both.
    index_of = {"3": slice(3, 4), -1: slice(-1, None), ":": slice(None), "1:4": slice(1, 4), "::2": slice(0, None, 2)}
    index_of |= {"-2:": slice(-2, None), ":-1": slice(0, -1)}
    everything = ase.io.read(name, slice(None), do_not_split_by_at_sign=True)
    chosen = everything[index if isinstance(index, slice) else index_of[index]]
    files = StructureFiles(name, index)
    assert_same(files, chosen)
    assert len(files) == len(StructureFiles(name, index)) == len(chosen)  # after a pass, and before one
    numbers = range(5)[index if isinstance(index, slice) else index_of[index]]
    assert [files.name(k) for k in range(len(chosen))] == [f"{name}[{k}]" for k in numbers]


def write(name, images):
    if "@" in name:  # ASE would take it for an index
        ase.io.write("plain.extxyz", images)
        os.rename("plain.extxyz", name)
    else:
        ase.io.write(name, images)


def test_formats_that_are_streamed_by_ase_alone(folder):
    images = [bulk("Si") * (1, 1, k) for k in (1, 1, 1)]
    ase.io.write("XDATCAR", images, format="vasp-xdatcar")
    assert_same(StructureFiles("XDATCAR"), ase.io.read("XDATCAR", ":"))
    ase.io.write("one.cif", bulk("Si"))
    assert_same(StructureFiles("one.cif"), ase.io.read("one.cif", ":"))
    assert len(StructureFiles(["XDATCAR", folder / "one.cif"], "-1:")) == 2


def test_labels_and_info_survive(folder):
    images = structures()
    for name in ("a.extxyz", "a.traj"):
        ase.io.write(name, images)
    with ase.db.connect("a.db") as database:
        for atoms in images:
            database.write(atoms, **atoms.info)
    for name in ("a.extxyz", "a.traj", "a.db"):
        for found, atoms in zip(StructureFiles(name), images, strict=True):
            assert (found.info["config_type"], found.info["number"]) == (
                atoms.info["config_type"],
                atoms.info["number"],
            )
            assert found.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), rel=1e-14)
            np.testing.assert_allclose(found.get_forces(), atoms.get_forces(), atol=0.51e-8, rtol=0)
            np.testing.assert_allclose(found.get_stress(), atoms.get_stress(), atol=1e-14)


def test_databases_with_gaps_and_more_rows_than_a_page(folder):
    with ase.db.connect("a.db") as database:
        for k in range(250):
            database.write(Atoms("Cu", [(k, 0, 0)]))
        database.delete([1, 100, 101, 250])
    expected = [k for k in range(250) if k + 1 not in (1, 100, 101, 250)]
    assert [round(atoms.positions[0, 0]) for atoms in StructureFiles("a.db")] == expected
    assert [round(atoms.positions[0, 0]) for atoms in StructureFiles("a.db", "98:210:7")] == expected[98:210:7]
    assert len(StructureFiles("a.db")) == 246


def test_databases_are_closed(folder, monkeypatch):
    with ase.db.connect("a.db") as database:
        for _ in range(3):
            database.write(Atoms("Cu"))
    opened, connect = [], sqlite3.connect

    def followed(*arguments, **options):
        opened.append(connect(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", followed)
    files = StructureFiles("a.db")
    assert len(files) == len(list(files)) == 3
    reading = iter(files)
    next(reading)
    reading.close()
    assert len(opened) >= 3
    for connection in opened:
        with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
            connection.execute("SELECT 1")


def test_the_length_of_a_file_is_looked_for_once(folder, monkeypatch):
    ase.io.write("a.extxyz", [Atoms("Cu", [(k, 0, 0)]) for k in range(7)])
    files, counted = StructureFiles("a.extxyz", "-3:"), []
    count = StructureFiles._counted
    monkeypatch.setattr(StructureFiles, "_counted", lambda self, file: counted.append(file) or count(self, file))
    assert [files.name(k) for k, _ in enumerate(files)] == [f"a.extxyz[{k}]" for k in (4, 5, 6)]
    assert counted == [0]


def test_several_files_any_number_of_times(folder):
    images = structures(6)
    ase.io.write("a.extxyz.xz", images[:2])
    ase.io.write("b.traj", images[2:5])
    ase.io.write("c.db", images[5:])
    files = StructureFiles(["a.extxyz.xz", folder / "b.traj", "c.db"])
    for _ in range(3):
        assert [len(atoms) for atoms in files] == [len(atoms) for atoms in images]
    assert len(files) == 6
    second = os.fspath(folder / "b.traj")
    assert [files.name(k) for k in (0, 2, 4, 5)] == ["a.extxyz.xz[0]", f"{second}[0]", f"{second}[2]", "c.db[0]"]
    first, second = iter(files), iter(files)  # two loops do not disturb each other
    next(first)
    assert next(second) == next(iter(files))
    assert_same(pickle.loads(pickle.dumps(files)), files)
    assert repr(StructureFiles("a.extxyz.xz", "::2")) == "StructureFiles(['a.extxyz.xz'], index='::2')"


def test_vec_lines_and_blank_lines(folder):
    text = "1\n\nCu 0 0 0\nVEC1 3 0 0\nVEC2 0 3 0\nVEC3 0 0 3\n"
    with open("a.xyz", "w") as file:
        file.write(text * 2)
    assert_same(StructureFiles("a.xyz"), ase.io.read("a.xyz", ":"))
    with open("b.xyz", "w") as file:
        file.write("1\n\nCu 0 0 0\n\n\n2\n\nCu 0 0 0\nNi 0 0 2\n\n")
    assert [len(atoms) for atoms in StructureFiles("b.xyz")] == [1, 2]  # ASE drops the second


def test_memory_does_not_grow_with_the_file(folder):
    atoms = bulk("Cu", cubic=True) * 3
    ase.io.write("big.extxyz.gz", [atoms] * 250)
    size = len(gzip.open("big.extxyz.gz").read())
    files = StructureFiles("big.extxyz.gz")
    for _ in zip(range(3), files):
        pass  # what ASE loads at first use is not counted
    tracemalloc.start()
    n_atoms = sum(len(atoms) for atoms in files)
    assert len(files) == 250 and n_atoms == 250 * 108
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 450_000 < size / 3


def test_what_reads_structures_once_takes_them(folder):
    images = [atoms for k, atoms in enumerate(structures(6)) if k % 2 == 0]
    ase.io.write("a.extxyz", images)
    files, images = StructureFiles("a.extxyz"), ase.io.read("a.extxyz", ":")
    density = RadialDensity.from_structures(files, rcut=4.0)
    expected = RadialDensity.from_structures(images, rcut=4.0)
    np.testing.assert_array_equal(density.measures["Cu", "Cu"].nodes, expected.measures["Cu", "Cu"].nodes)
    basis = ACEBasis(["Cu"], rcut=4.0, order=2, totaldegree=3)
    np.testing.assert_array_equal(conditioning(basis, files).R, conditioning(basis, images).R)
    for mine, theirs in zip(basis.descriptors(files), basis.descriptors(images), strict=True):
        np.testing.assert_array_equal(mine, theirs)


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", OPENERS)
def test_every_cut_of_an_extxyz_file_is_noticed(folder, ending):
    """Wherever a file that ASE wrote is cut, either whole structures are left or an error names the one cut short."""
    images = [bulk("Cu", cubic=True), Atoms("Ni4", np.arange(12).reshape(4, 3))]
    ase.io.write("whole.extxyz", images)
    with open("whole.extxyz") as file:
        text = file.read()
    second = text.index("4\n", 5)
    for cut in range(1, len(text) - 1, 1 if not ending else 37):
        with OPENERS[ending](f"cut.extxyz{ending}", "wt") as file:
            file.write(text[:cut])
        files = StructureFiles(f"cut.extxyz{ending}")
        if cut in (second, second - 1):
            assert_same(files, images[:1])
        else:
            with pytest.raises(ValueError, match=rf"cannot read 'cut.extxyz{ending}\[{int(cut > second)}\]'"):
                list(files)


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz"])
def test_compressed_files_cut_short(folder, ending):
    ase.io.write(f"a.extxyz{ending}", structures())
    with open(f"a.extxyz{ending}", "rb+") as file:
        file.truncate(os.path.getsize(f"a.extxyz{ending}") - 30)
    for use in (list, len):
        with pytest.raises(ValueError, match=f"cannot read 'a.extxyz{ending}"):
            use(StructureFiles(f"a.extxyz{ending}"))


def test_trajectories_and_databases_cut_short(folder):
    for name in ("a.traj", "a.db"):
        ase.io.write(name, structures())
        with open(name, "rb+") as file:
            file.truncate(os.path.getsize(name) * 2 // 3)
        with pytest.raises(ValueError, match=f"cannot read '{name}"):
            list(StructureFiles(name))


def test_errors_name_file_and_number(folder):
    images = structures(3)
    ase.io.write("a.extxyz", images)
    images[1].positions[2] = np.nan
    ase.io.write("b.extxyz", images)
    files, read = StructureFiles(["a.extxyz", "b.extxyz"]), []
    with pytest.raises(ValueError, match=r"b.extxyz\[1\] has NaN or infinite positions at atom\(s\) 2"):
        read.extend(files)
    with open("c.extxyz", "w") as file:
        file.write("1\nProperties=species:S:1:pos:R:3\nCu 0 0 0\n1\nProperties=species:S:1:pos:R:3\nCu 0 zero 0\n")
    files = StructureFiles("c.extxyz")
    with pytest.raises(ValueError, match=r"cannot read 'c.extxyz\[1\]': ValueError: could not convert"):
        list(files)
    with open("d.extxyz", "w") as file:
        file.write("1\n\nCu 0 0 0\n1\n\nCu 0 0 0\n2\n")
    assert StructureFiles("d.extxyz").name(1) == "d.extxyz[1]"  # the damage comes later


@pytest.mark.parametrize(
    "properties, atom, message",
    [
        ("species:S:1:pos:R:3:a:R:2147483648", "Cu 0 0 0 1", "declares 2147483652 columns, and the first atom has 5"),
        ("species:S:1:pos:R:3:a:R:-4:b:R:1", "Cu 0 0 0", "declares 5 columns, and the first atom has 4"),
        ("species:S:1:pos:R:3", "", "declares 4 columns, and no atom follows"),
    ],
)
def test_more_columns_than_there_are(folder, properties, atom, message):
    """Before ASE makes them."""
    text = f"{int(bool(atom))}\nProperties={properties}\n{atom}\n"
    (folder / "a.xyz").write_text("1\n\nCu 0 0 0\n" + text)
    with pytest.raises(ValueError, match=rf"^cannot read 'a.xyz\[1\]': its comment line {message}$"):
        list(StructureFiles("a.xyz"))
    assert len(next(iter(StructureFiles("a.xyz")))) == 1


def test_fewer_columns_than_there_are(folder):
    """What is not declared is left out, as ASE does."""
    (folder / "a.xyz").write_text('1\na="1 2" Properties="species:S:1:pos:R:3"\nCu 0 1 2 some words\n')
    assert_same(StructureFiles("a.xyz"), ase.io.read("a.xyz", ":"))


def test_files_that_are_none(folder):
    for name, content in (("empty.extxyz", b""), ("a.unheard", b"?" * 20), ("a.db", b"SQLite no"), ("a.traj", b"- of")):
        with open(name, "wb") as file:
            file.write(content)
        with pytest.raises(ValueError, match=f"cannot read '{name}"):
            list(StructureFiles(name))
    with open("hello.xyz", "w") as file:
        file.write("hello\nworld\n")
    with pytest.raises(ValueError, match=r"cannot read 'hello.xyz\[0\]': a number of atoms should stand where 'hello'"):
        list(StructureFiles("hello.xyz"))
    with pytest.raises(FileNotFoundError, match=r"cannot read 'none.xyz': there is no such file"):
        StructureFiles(["hello.xyz", "none.xyz"])
    with pytest.raises(ValueError, match=r"'empty.extxyz': it is empty"):
        StructureFiles("empty.extxyz")


def test_a_foreign_database_is_left_alone(folder):
    with sqlite3.connect("other.db") as connection:
        connection.execute("CREATE TABLE mine (x INTEGER)")
    connection.close()
    with open("other.db", "rb") as file:
        before = file.read()
    for use in (list, len):
        with pytest.raises(ValueError, match=r"cannot read 'other.db': OperationalError: no such table: systems"):
            use(StructureFiles("other.db"))
    with open("other.db", "rb") as file:
        assert file.read() == before


@pytest.mark.parametrize("index", ["7", "7:", 7, "3:3"])
def test_nothing_chosen(folder, index):
    ase.io.write("a.extxyz", structures(3))
    for use in (list, len):
        with pytest.raises(ValueError, match=r"'a.extxyz': it holds no structure for index"):
            use(StructureFiles("a.extxyz", index))


def test_files_that_change_are_refused(folder):
    images = structures(3)
    ase.io.write("a.extxyz", images)
    files = StructureFiles("a.extxyz")
    assert len(list(files)) == 3
    ase.io.write("a.extxyz", images[:1], append=True)
    for use in (list, lambda files: list(iter(files))):
        with pytest.raises(ValueError, match=r"'a.extxyz' has changed since"):
            use(files)
    files = StructureFiles("a.extxyz")
    with pytest.raises(ValueError, match=r"'a.extxyz' has changed since"):
        for _ in files:  # while it is read
            os.utime("a.extxyz", (1, 1))


@pytest.mark.parametrize(
    "paths, index, error, message",
    [
        (3, ":", TypeError, "paths must be the name of a file"),
        (["a.extxyz", 3], ":", TypeError, "paths must be the name of a file"),
        ([], ":", ValueError, "paths is empty"),
        ("a.extxyz", "first", TypeError, "index must be as in ASE"),
        ("a.extxyz", 1.5, TypeError, "index must be as in ASE"),
        ("a.extxyz", slice("a"), TypeError, "index must be as in ASE"),
        ("a.extxyz", "::0", TypeError, "index must be as in ASE"),
        ("a.extxyz", "::-1", ValueError, "with a positive step"),
    ],
)
def test_wrong_arguments(folder, paths, index, error, message):
    ase.io.write("a.extxyz", structures(1))
    with pytest.raises(error, match=message):
        StructureFiles(paths, index)


@pytest.mark.parametrize("name", ["a.extxyz", "a.xyz", "a.extxyz.gz"])
def test_byte_order_marks_are_passed_over(tmp_path, name):
    """Some editors begin every text with one."""
    path, expected = tmp_path / name, structures(3)
    ase.io.write(tmp_path / "plain.extxyz", expected)
    content = b"\xef\xbb\xbf" + (tmp_path / "plain.extxyz").read_bytes()
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    files = StructureFiles(path)
    assert len(files) == 3
    assert_same(files, StructureFiles(tmp_path / "plain.extxyz"))


@pytest.mark.parametrize("name", ["a.extxyz.gz", "a.traj.gz", "a.cif.gz"])
def test_compressed_files_are_unpacked_once(folder, monkeypatch, name):
    """No jump back in a compressed file, each of which would unpack it from the beginning."""
    plain = name.removesuffix(".gz")
    ase.io.write(plain, [Atoms("Cu", cell=[3, 3, 3 + k / 8], pbc=True) for k in range(9)])
    with open(plain, "rb") as content, gzip.open(name, "wb") as packed:
        packed.write(content.read())
    files, jumps = StructureFiles(name), []
    rewind = gzip._GzipReader._rewind
    monkeypatch.setattr(gzip._GzipReader, "_rewind", lambda reader: (jumps.append(name), rewind(reader)))
    assert [atoms.cell[2, 2] for atoms in files] == pytest.approx([3 + k / 8 for k in range(9)])
    assert len(StructureFiles(name)) == 9 and not jumps
    with gzip.open(name) as stream:  # that a jump would be seen
        stream.read()
        stream.seek(0)
    assert jumps
