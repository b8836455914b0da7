"""`acepure hal` runs what Python runs, goes on where it stopped, and says what is wrong with a run file."""

import re
from importlib.util import find_spec

import ase.io
import numpy as np
import pytest
from cases.hal import BASIS, DYNAMICS, Emt, small_run, starts

from acepure import ACEBasis
from acepure.active import Dynamics
from acepure.active.folder import Folder
from acepure.active.refit import FitChoices, Refit
from acepure.active.trajectory import explore
from acepure.cli import main
from acepure.cli.run_file import write_run_file


@pytest.fixture
def run_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ase.io.write("starts.extxyz", starts())
    values = {
        "starts": ["starts.extxyz"],
        "n_max": 5,
        "basis": BASIS,
        "reference": {"calculator": "cases.hal:Emt"},
        "dynamics": DYNAMICS,
        "E0s": {"Cu": 3.5, "Ag": 3.0},
        "fit": {"core": None},
    }

    def write(**changes):
        write_run_file("small.toml", {**values, **changes})
        return "small.toml"

    return write


def test_hal_runs_what_python_runs(run_file, tmp_path, capsys):
    assert main(["hal", run_file(), "-n", "1"]) == 0
    assert main(["hal", "small.toml", "--report", "page.html"]) == 0
    out = capsys.readouterr().out
    assert "5 labeled; 3 start" in out and "wrote   page.html" in out and "rms error / rms σ" in out
    assert re.search(r"\d\d:\d\d:\d\d  0004  (tolerance|steps) at step", out)
    given = ase.io.read("starts.extxyz", ":")
    small_run(tmp_path / "python", starts=given, n_max=5).run()
    found, expected = Folder("small").log(), Folder("python").log()
    assert found == expected
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<svg" in page and "5 labeled" in page
    # Namespaces are names, not addresses; nothing is loaded.
    assert not re.search(r"(src|href)\s*=\s*\"(?!#)", page) and "<script" not in page and "@import" not in page
    assert (tmp_path / "page.map.html").exists() == (find_spec("chemiscope") is not None)
    assert main(["hal", "status", "small"]) == 0
    assert "5 labeled" in capsys.readouterr().out


def test_dry_run(run_file, tmp_path, capsys):
    labeled = starts()
    for atoms in labeled:
        atoms.calc = Emt()
        atoms.get_forces()
    ase.io.write("starts.extxyz", labeled)
    assert main(["hal", run_file(reference={"wait": True}), "--dry-run"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == ["start", "0", "1", "2"] and not (tmp_path / "small").exists()
    # Trajectory 0 of seed 0 from start 0 with the fit to the starts, made here from its parts.
    given = ase.io.read("starts.extxyz", ":")
    model = Refit.of(given, ACEBasis(**BASIS), {"Cu": 3.5, "Ag": 3.0}, FitChoices(core=None)).fit(given)
    expected = explore(model, given[0], Dynamics(**DYNAMICS), np.random.default_rng(np.random.SeedSequence([0, 0])))
    assert rows[1][3] == expected.reason and float(rows[1][2]) == pytest.approx(0.003 * expected.step, rel=0.01)
    ase.io.write("starts.extxyz", starts())
    assert main(["hal", "small.toml", "--dry-run"]) == 2
    assert "starts must have labels; 0, 1, 2 have none" in capsys.readouterr().err
    ase.io.write("starts.extxyz", labeled)
    assert main(["hal", run_file(E0s="isolated"), "--dry-run"]) == 2
    assert "E0s must be given" in capsys.readouterr().err


def test_frames_wait_for_labels(run_file, capsys):
    assert main(["hal", run_file(reference={"wait": True})]) == 0
    out = capsys.readouterr().out
    assert "waits for labels: write it to" in out and "labels are waited for" in out


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"stats": 1}, "stats is unknown; a run file has folder, starts"),
        ({"n_max": "many"}, "n_max is 'many', which is no integer"),
        ({"reference": {}}, "must have one of calculator, command and wait"),
        ({"reference": {"calculator": "cases.hal:Nothing"}}, "no calculator from 'cases.hal:Nothing'"),
        ({"reference": {"command": "vasp"}}, "the command must hold {input}"),
        ({"dynamics": {"tau": 2.0}}, "tau must be at most 1"),
        ({"dynamics": {"heat": 2.0}}, "HAL does not know heat"),
        ({"starts": None}, "starts is missing"),
        ({"starts": "none.extxyz"}, "none.extxyz"),
    ],
)
def test_hal_refuses(run_file, capsys, changes, said):
    assert main(["hal", run_file(**changes)]) == 2
    assert said in capsys.readouterr().err


def test_other_refusals(run_file, tmp_path, capsys):
    assert main(["hal", "status", str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err
    assert main(["hal", "a.toml", "b.toml"]) == 2
    assert "one run file, or status and a folder" in capsys.readouterr().err
