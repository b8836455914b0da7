"""Fits that are stopped go on where they were, with the same bits, and never with results of other inputs."""

import os
import signal
import subprocess
import sys
import time

import ase.io
import numpy as np
import pytest
from cases.emt import emt_structures

from acepure import ACEBasis, EmbeddedACE, LinearACE
from acepure.cli import main
from acepure.fitting import checkpoints, label_structures
from acepure.fitting.checkpoints import Checkpoints

QUIET = {"progress": False, "verbose": False, "num_threads": 1}


class Killed(BaseException):
    pass


def fit(folder, structures, **changes):
    return LinearACE.fit(structures, checkpoint=folder, **{"size": 16, **QUIET, **changes})


def assert_same(found, expected):
    np.testing.assert_array_equal(found.coefficients, expected.coefficients)
    np.testing.assert_array_equal(found.posterior, expected.posterior)
    assert found.report == expected.report


@pytest.fixture(scope="module")
def structures():
    return emt_structures(24)


@pytest.fixture(scope="module")
def whole(structures):
    """The fit that nothing stopped, without a folder."""
    return LinearACE.fit(structures, size=16, **QUIET)


def test_killed_after_every_stage_and_before_every_rename(structures, whole, tmp_path, monkeypatch):
    """Each run makes one more result, and the next one takes it."""
    write, kills = checkpoints._write, []

    def writes_once(path, arrays):
        if kills and kills[-1] == path.name:
            raise Killed  # the next result is lost before it is there
        write(path, arrays)
        kills.append(path.name)
        raise Killed

    monkeypatch.setattr(checkpoints, "_write", writes_once)
    while True:
        try:
            found = fit(tmp_path / "progress", structures)
            break
        except Killed:
            assert len(kills) < 40
    assert_same(found, whole)
    stages = {name.split("-")[0] for name in kills}
    assert stages >= {"census", "candidate", "selection", "rows", "calibration"}
    assert len(kills) == len(set(kills)) == len(list((tmp_path / "progress").iterdir()))


def test_finished_stages_are_not_run_again(structures, whole, tmp_path, monkeypatch):
    first = fit(tmp_path / "progress", structures)
    monkeypatch.setattr("acepure.fitting.recipe.assemble_folds", None)
    monkeypatch.setattr("acepure.fitting.group_choice.assemble_folds", None)
    assert_same(fit(tmp_path / "progress", structures), first)
    assert_same(first, whole)


def test_other_inputs_and_damaged_files_are_made_anew(structures, whole, tmp_path):
    folder = tmp_path / "progress"
    fit(folder, structures)
    files = sorted(folder.iterdir())
    moved = [atoms.copy() for atoms in structures]
    for atoms, old in zip(moved, structures):
        atoms.calc = old.calc
    moved[3].info["config_type"] = "other"
    other = fit(folder, moved)
    assert set(folder.iterdir()) > set(files)
    assert_same(other, LinearACE.fit(moved, size=16, **QUIET))
    for path in files:
        path.write_bytes(path.read_bytes()[:-5])
    assert_same(fit(folder, structures), whole)
    (folder / "mine.txt").write_text("kept")
    Checkpoints(folder).clear()
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_a_basis_that_is_given(structures, tmp_path):
    basis = ACEBasis(["Cu", "Ag"], order=2, totaldegree=3)
    first = fit(tmp_path / "progress", structures, basis=basis, size=None)
    assert_same(fit(tmp_path / "progress", structures, basis=basis, size=None), first)
    assert_same(LinearACE.fit(structures, basis, **QUIET), first)


def test_every_label_is_part_of_the_inputs(structures):
    def key(items):
        return Checkpoints("nowhere", items)._path("stage", 1).name

    labeled = label_structures(structures[:2])
    one = key(labeled)
    assert one == key(list(labeled)) and one != key(labeled[:1]) and one != key(list(labeled)[::-1])
    for name in ("energy", "forces", "virial"):
        changed = [atoms.copy() for atoms in structures[:2]]
        for atoms, item in zip(changed, labeled):
            atoms.info |= {"REF_energy": item.energy, "REF_virial": item.virial}
            atoms.arrays["REF_forces"] = np.array(item.forces)
        same = key(label_structures(changed, prefix="REF"))
        where = changed[1].arrays if name == "forces" else changed[1].info
        where[f"REF_{name}"] = np.nextafter(where[f"REF_{name}"], np.inf)
        assert key(label_structures(changed, prefix="REF")) != same


def test_the_command_killed_at_some_moment(structures, tmp_path, monkeypatch):
    """By the system; then the same command finishes, and leaves no folder."""
    monkeypatch.chdir(tmp_path)
    ase.io.write("train.extxyz", structures)
    command = "fit train.extxyz -o m.ace --size 16 --no-figure --threads 1"
    process = subprocess.Popen([sys.executable, "-m", "acepure.cli", *command.split()], stdout=subprocess.DEVNULL)
    while process.poll() is None and not os.path.isdir("m.ace.progress"):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert os.path.isdir("m.ace.progress") and not os.path.exists("m.ace")
    assert main(command.split()) == 0
    assert not os.path.exists("m.ace.progress")
    found = LinearACE.load("m.ace")
    assert main(command.replace("m.ace", "again.ace").split()) == 0
    assert_same(found, LinearACE.load("again.ace"))


def test_training_of_an_embedding_killed_after_every_result(structures, tmp_path, monkeypatch):
    """Rows, start and every step are kept: a run that makes one result at a time ends with the same bits."""
    basis, structures = ACEBasis(["Cu", "Ag"], order=1, totaldegree=2), structures[:8]
    options = {**QUIET, "embedding": "smooth-root", "steps": 4, "check": False, "calibrate_by": None}
    expected = EmbeddedACE.fit(structures, basis, **options)
    assert expected.coefficients[1].any()
    write, n = checkpoints._write, []

    def writes_once(path, arrays):
        write(path, arrays)
        n.append(path.name)
        raise Killed

    monkeypatch.setattr(checkpoints, "_write", writes_once)
    while True:
        try:
            found = EmbeddedACE.fit(structures, basis, checkpoint=tmp_path / "kept", **options)
            break
        except Killed:
            pass
    assert len(n) > 8 and len(set(n)) == len(n)
    assert_same(found, expected)
    n.clear()
    with pytest.raises(Killed):
        EmbeddedACE.fit(structures, basis, checkpoint=tmp_path / "kept", **{**options, "embedding": "tanh"})
    assert n[0].startswith("training-")
