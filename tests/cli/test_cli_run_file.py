"""Run files of `acepure fit`: what is written and read, the same bits, options that come first, how they fail."""

import ase.io
import numpy as np
import pytest
from cases.command_line import failure
from cases.emt import emt_structures

from acepure import ACEBasis, LinearACE
from acepure.cli import main
from acepure.cli.run_file import read_run_file, write_run_file
from acepure.models.repulsion import ZBLCore

QUIET = "--no-figure --threads 1"


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A folder with structures and a model, its functions chosen from them."""
    folder = tmp_path_factory.mktemp("run")
    ase.io.write(folder / "train.extxyz", emt_structures(12))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(f"fit train.extxyz -o m.ace --size 30 --core 0.8,1.8 {QUIET}".split()) == 0
    return folder


@pytest.fixture
def folder(fitted, tmp_path, monkeypatch):
    for path in fitted.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_values_come_back_as_they_were(tmp_path):
    values = {
        "text": 'a "quoted" \\ path\n with Å and \x7f',
        "exact": [0.1, 1e-300, 1 / 3, 1e22, -0.0],
        "flags": [True, False],
        "nested": [[["Cu", 1, 0], ["Zr", 2, 1]], []],
        "missing": None,
        "table": {"a key": {"inner": [1, 2.5], "none": None}, "b": "c", "long": [[k, "x" * k] for k in range(20)]},
    }
    write_run_file(tmp_path / "a.toml", values)
    found = read_run_file(tmp_path / "a.toml")
    del values["missing"]
    assert found == values
    assert [type(x) for x in found["table"]["a key"]["inner"]] == [int, float]
    with pytest.raises(TypeError, match="a run file holds numbers"):
        write_run_file(tmp_path / "b.toml", {"x": object()})
    assert not (tmp_path / "b.toml").exists()


def assert_same(found, expected):
    np.testing.assert_array_equal(found.coefficients, expected.coefficients)
    np.testing.assert_array_equal(found.posterior, expected.posterior)
    assert (found.basis, found.E0s, found.core) == (expected.basis, expected.E0s, expected.core)
    assert found.report == expected.report


def test_the_same_model_to_the_last_bit(folder):
    first = LinearACE.load("m.ace")
    assert main(f"fit m.toml -o again.ace {QUIET}".split()) == 0
    assert_same(LinearACE.load("again.ace"), first)
    assert read_run_file("again.toml") == {**read_run_file("m.toml"), "output": "again.ace"}
    (folder / "m.ace").unlink()
    assert main(["fit", "m.toml"]) == 0
    assert_same(LinearACE.load("m.ace"), first)


def test_every_choice_is_written(folder):
    stored, model = read_run_file("m.toml"), LinearACE.load("m.ace")
    basis = ACEBasis.from_dict(stored["basis"])
    assert basis.labels == model.basis.labels and basis.rcut == model.basis.rcut
    assert stored["train"] == ["train.extxyz"] and stored["folds"] == 5 and stored["chosen"] is True
    assert stored["weights"]["default"][0] > 0
    assert ZBLCore.from_dict(stored["core"]) == model.core == ZBLCore(0.8, 1.8)


def test_options_come_first(folder):
    assert main(f"fit m.toml -o other.ace --weights 7,1,0 {QUIET}".split()) == 0
    stored = read_run_file("other.toml")
    assert set(map(tuple, stored["weights"].values())) == {(7.0, 1.0, 0.0)}
    assert stored["basis"] == read_run_file("m.toml")["basis"]
    assert main(f"fit m.toml -o given.ace --order 2 --totaldegree 3 {QUIET}".split()) == 0
    given = ACEBasis(["Cu", "Ag"], order=2, totaldegree=3)
    assert LinearACE.load("given.ace").basis.labels == given.labels
    assert read_run_file("given.toml")["chosen"] is False
    assert main(f"fit m.toml -o small.ace --size 16 {QUIET}".split()) == 0
    assert 2 * len(LinearACE.load("small.ace").basis) <= 16 < 2 * len(LinearACE.load("m.ace").basis)
    assert np.isfinite(LinearACE.load("small.ace").coefficients).all()


@pytest.mark.parametrize(
    "text, message",
    [
        ("train = [", "is no run file"),
        ("train = ['a']\noutput = 'x.ace'\nnosuch = 1", "unknown entries nosuch"),
        ("output = 'x.ace'", "no entry train"),
        ("train = ['train.extxyz']", "-o/--output MODEL is needed"),
    ],
)
def test_run_files_that_are_none(folder, capsys, text, message):
    (folder / "bad.toml").write_text(text)
    assert message in failure("fit bad.toml", capsys)


def test_errors_before_any_work(folder, capsys):
    assert "-o/--output MODEL is needed" in failure("fit train.extxyz", capsys)
    assert "--rcut says which" in failure("fit train.extxyz -o a.ace --size 30 --rcut 4", capsys)
    assert "its own run file" in failure("fit train.extxyz -o a.toml", capsys)
