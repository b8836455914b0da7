"""`acepure hal` runs what Python runs, goes on where it stopped, and says what is wrong with a run file."""

import re

import ase.io
import pytest
from cases.hal import BASIS, DYNAMICS, small_run, starts

from acepure.active.folder import Folder
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
    assert main(["hal", "status", "small"]) == 0
    assert "5 labeled" in capsys.readouterr().out


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
