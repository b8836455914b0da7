"""`acepure descriptors ... -o features.zarr`: the command that goes on where it was interrupted."""

import sys

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from cases.command_line import run

import acepure
from acepure.features.store import FeatureStore, write_features
from acepure.structures.files import StructureFiles

pytest.importorskip("zarr", minversion="3.1.3", reason="stores of features need Zarr")

OPTIONS = "--rcut 4 --order 2 --totaldegree 3"


@pytest.fixture(autouse=True)
def structures(tmp_path, monkeypatch):
    """Three structures in `in.extxyz.xz` of the working folder."""
    monkeypatch.chdir(tmp_path)
    ase.io.write("in.extxyz.xz", [bulk("Cu", cubic=True), bulk("Zr"), bulk("Cu")])
    return StructureFiles("in.extxyz.xz")


def basis(*species):
    return acepure.ACEBasis(species, rcut=4.0, order=2, totaldegree=3)


@pytest.mark.parametrize("jobs", ["", "--jobs 2"])
def test_store(structures, capsys, jobs):
    code, out, err = run(f"descriptors in.extxyz.xz -o out.zarr {OPTIONS} {jobs}", capsys)
    assert (code, err) == (0, "")
    store = FeatureStore("out.zarr")
    assert store.is_complete and store.basis == basis("Cu", "Zr")
    for found, atoms in zip(store, structures, strict=True):
        np.testing.assert_array_equal(found, store.basis.descriptors(atoms))
    for text in ("3 structures", "7 atoms", f"{len(store.labels)} features", "wrote   out.zarr"):
        assert text in out


def test_index_and_species(capsys):
    assert run(f"descriptors in.extxyz.xz -o OUT.ZARR {OPTIONS} --species Zr Cu --index=-2:", capsys)[0] == 0
    store = FeatureStore("OUT.ZARR")
    assert [len(features) for features in store] == [2, 1] and store.basis == basis("Cu", "Zr")


def test_interrupted_and_continued(structures, capsys):
    def stopping():
        yield next(iter(structures))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_features("out.zarr", basis("Cu", "Zr"), stopping(), rows_per_chunk=2)
    assert not FeatureStore("out.zarr").is_complete
    for state in ("not complete, to be continued", "complete"):
        code, out, _ = run(f"descriptors in.extxyz.xz -o out.zarr {OPTIONS}", capsys)
        assert code == 0 and f", {state}\n" in out
        assert FeatureStore("out.zarr").is_complete
    code, _, err = run("descriptors in.extxyz.xz -o out.zarr --rcut 4.5 --order 2 --totaldegree 3", capsys)
    assert code == 2 and "was made with other values of radial" in err


@pytest.mark.parametrize(
    "command, message",
    [
        ("none.xyz -o out.zarr", "cannot read 'none.xyz': there is no such file"),
        ("in.extxyz.xz -o out.zarr --index 7", "it holds no structure for index 7"),
        ("in.extxyz.xz -o nowhere/out.zarr", "does not exist"),
        ("in.extxyz.xz -o folder.zarr", "is none of acepure"),
        ("in.extxyz.xz -o out.zarr --species Cu", "holds Zr, but the basis is for Cu"),
    ],
)
def test_errors_are_one_line(tmp_path, capsys, command, message):
    (tmp_path / "folder.zarr").mkdir()
    code, _, err = run(f"descriptors {command}", capsys)
    assert code == 2 and message in err and err.count("\n") == 1


def test_without_zarr(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "zarr", None)
    code, _, err = run("descriptors in.extxyz.xz -o out.zarr", capsys)
    assert code == 2 and 'pip install "acepure[store]"' in err
