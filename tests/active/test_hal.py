"""A run of hyperactive learning goes on after it was killed anywhere, writes down what it predicted, and refuses."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms
from cases.hal import BASIS, Emt, small_run, starts

import acepure.active.folder
from acepure import ACEBasis, LinearACE
from acepure.active import relative_force_uncertainty, status
from acepure.active.folder import Folder
from acepure.active.reference import ReferenceFailure, check_labels, command_reference
from acepure.active.refit import FitChoices, Refit
from acepure.active.trajectory import Dynamics


def contents(folder):
    """Bytes of all files that decide or tell what was found."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and path.name != "lock"
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("finished")
    run = small_run(folder, tests=labeled(starts(3)))
    model = run.run()
    return run, model


def labeled(structures):
    for atoms in structures:
        atoms.calc = EMT()
        atoms.get_forces()
    return structures


# --- what a run does ----------------------------------------------------------------------------------


def test_a_run_labels_fits_and_logs(finished):
    run, model = finished
    lines = run.log()
    assert [line["number"] for line in lines] == list(range(len(lines)))
    assert [line["reason"] for line in lines[:3]] == ["start"] * 3
    assert "tolerance" in [line["reason"] for line in lines[3:]]
    assert len(run.folder.numbers("labels")) == 6
    labels = [run.folder.read("labels", k) for k in run.folder.numbers("labels")]
    for atoms in labels:  # labels are those of the positions in the file
        found = atoms.copy()
        found.calc = EMT()
        np.testing.assert_allclose(atoms.get_forces(), found.get_forces(), atol=1e-8)
    np.testing.assert_array_equal(LinearACE.load(run.folder.path / "model.ace").coefficients, model.coefficients)
    assert not list((run.folder.path / "pending").iterdir())


def test_predictions_are_those_before_the_frame_was_fitted(finished):
    """The log against a fit that is made here to the labels before the frame, with its calibration."""
    run, _ = finished
    labels = {k: run.folder.read("labels", k) for k in run.folder.numbers("labels")}
    k = max(labels)
    refit = Refit.of([labels[j] for j in range(3)], ACEBasis(**BASIS), {"Cu": 3.5, "Ag": 3.0}, FitChoices(core=None))
    model = refit.fit([atoms for j, atoms in labels.items() if j < k])
    assert "one factor" in model.calibration.source
    frame, line = labels[k], run.log()[k]
    errors = model.evaluate(frame).forces - frame.get_forces()
    stated = model.uncertainty(frame)
    assert line["forces_error"] == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-4)
    assert line["forces_sigma"] == pytest.approx(np.sqrt(np.mean(stated.forces**2)), rel=1e-4)
    assert line["energy_error"] == pytest.approx(model.evaluate(frame).energy - frame.get_potential_energy(), rel=1e-3)
    assert line["energy_sigma"] == pytest.approx(stated.energy, rel=1e-4)
    ratios = relative_force_uncertainty(model, frame)
    assert line["criterion"] == pytest.approx(ratios.max(), rel=1e-4) and line["criterion_atom"] == ratios.argmax()


def test_one_factor_is_the_quantile_of_refits():
    """Errors and deviations of structures left out, from fits without them at the same regularization."""
    structures = labeled(starts(6))
    refit = Refit.of(structures, ACEBasis(**BASIS), {"Cu": 3.5, "Ag": 3.0}, FitChoices(core=None))
    model = refit.fit(structures)
    found = model.leave_out(structures)["forces"].informative()
    factor = np.quantile(np.abs(found.errors) / found.sigmas[:, None], 0.6827)
    raw = model.uncertainty(structures[0]).posterior
    np.testing.assert_allclose(model.uncertainty(structures[0]).forces, max(1, factor) * raw.forces, rtol=1e-10)
    many = refit.fit(labeled(starts(30)))
    assert many.calibration.laws["forces"].a > 0 and "one factor" not in many.calibration.source


def test_frames_are_the_first_beyond_the_tolerance(finished):
    run, _ = finished
    for line in run.log()[3:]:
        if "refused" in line:
            continue
        if line["reason"] == "tolerance":
            assert line["criterion"] > 0.05 and line["step"] >= 1
            frames = ase.io.read(run.folder.location("trajectories", line["number"]), ":")
            label = run.folder.read("labels", line["number"])
            np.testing.assert_allclose(frames[-1].positions, label.positions, atol=1e-7)
        if line["reason"] == "steps":
            assert line["criterion"] <= 0.05 and line["step"] == 30


def test_status(finished):
    text = status(finished[0].folder.path)
    assert "6 labeled" in text and "errors on test structures" in text and "rms error / rms σ" in text
    with pytest.raises(FileNotFoundError, match="holds no run"):
        status("nowhere")


def test_a_run_goes_on_when_more_is_asked_for(finished, tmp_path):
    folder = tmp_path / "run"
    tests = labeled(starts(3))
    small_run(folder, n_max=4, tests=tests).run()
    small_run(folder, n_max=6, tests=tests).run(1)
    assert len(Folder(folder).numbers("labels")) == 5
    small_run(folder, n_max=6, tests=tests).run()
    assert contents(folder) == contents(finished[0].folder.path)


def test_bias_swaps_and_cell_moves_run(tmp_path):
    run = small_run(tmp_path, tau=0.3, swap_every=2, cell_every=3, tolerance=5.0, n_max=4, seed=2)
    run.run()
    line = run.log()[-1]
    assert line["tau"] > 0 and line["swaps"] > 0 and line["cells"] > 0
    assert "stress" in run.folder.read("labels", 3).calc.results


def test_bias_ends_where_a_trajectory_exceeds_too_early(tmp_path):
    for least, tolerance, bias in ((30, 0.03, False), (5, 0.15, True)):
        run = small_run(tmp_path / str(least), tau=0.3, tolerance=tolerance, n_max=4, least_steps=least)
        run.run()
        line = run.log()[-1]
        assert line["reason"] == "tolerance" and (line["step"] > 25) is not bias and (line["tau"] > 0) is bias


# --- killed -------------------------------------------------------------------------------------------


class Killed(BaseException):
    """What no code catches, as a process that ends."""


@contextmanager
def killed_after(n, monkeypatch):
    """End after n files were written or removed: half of the times just before one of them is."""
    left = [n]
    write, unlink = acepure.active.folder.atomic_write, Path.unlink

    def tick():
        left[0] -= 1
        if left[0] <= 0:
            raise Killed

    @contextmanager
    def counted(path):
        tick()
        with write(path) as temporary:
            yield temporary
        tick()

    def counted_unlink(self, missing_ok=False):
        if not self.name.startswith("."):
            tick()
        unlink(self, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(acepure.active.folder, "atomic_write", counted)
        patch.setattr(acepure.active.hal.LinearACE, "save", lambda self, path: None)
        patch.setattr(Path, "unlink", counted_unlink)
        try:
            yield
        except Killed:
            pass


def test_kills_at_many_moments_lose_nothing(finished, tmp_path, monkeypatch):
    folder, tests, kills = tmp_path / "run", labeled(starts(3)), 0
    rng = np.random.default_rng(0)
    (folder / "labels").mkdir(parents=True)
    while True:
        (folder / "labels" / ".0badc0de-0004.extxyz").write_text("begun")  # as a process leaves it that was killed
        done = False
        with killed_after(int(rng.integers(1, 10)), monkeypatch):
            small_run(folder, tests=tests).run()
            done = True
        if done:
            break
        kills += 1
        assert kills < 200
    assert kills > 12
    small_run(folder, tests=tests).run()
    assert contents(folder) == contents(finished[0].folder.path)


SCRIPT = """
import sys
from cases.hal import small_run
small_run(sys.argv[1], n_max=6).run()
"""


def environment():
    tests = str(Path(__file__).parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])}


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_killed_process_lets_go_of_the_folder(finished, tmp_path):
    """A process at work keeps others out; killed, it does not, and another one ends with the same labels."""
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)], env=environment())
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "log.jsonl").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(BlockingIOError, match=f"another process works in .*: process {process.pid} on"):
            small_run(tmp_path).run()
    finally:
        process.kill()
        process.wait()
    small_run(tmp_path).run()
    mine, others = contents(tmp_path), contents(finished[0].folder.path)
    assert {k: v for k, v in mine.items() if "labels" in k} == {k: v for k, v in others.items() if "labels" in k}
    assert mine["log.jsonl"] == others["log.jsonl"]


# --- labels from elsewhere ------------------------------------------------------------------------------


def test_without_a_calculator_frames_wait_for_labels(tmp_path):
    given = labeled(starts())

    run = small_run(tmp_path, None, starts=given, n_max=5)
    assert run.run() is None and run.folder.numbers("labels") == [0, 1, 2]
    assert run.run() is None  # and nothing changes
    k = run.folder.numbers("pending")[0]
    assert f"waiting       {run.folder.location('pending', k)}" in status(tmp_path)
    atoms = run.folder.read("pending", k)
    atoms.calc = EMT()
    atoms.get_forces()
    wrong = atoms.copy()
    wrong.positions += 0.1
    ase.io.write(run.folder.location("labels", k), wrong)
    with pytest.raises(ValueError, match="labels are of other positions"):
        run.run()
    ase.io.write(run.folder.location("labels", k), atoms)
    assert run.run() is None
    assert run.folder.numbers("labels") == [0, 1, 2, k]
    assert "forces_error" in run.log()[k]


@pytest.mark.parametrize(
    "change, said",
    [
        ({"symbols": "CuAu3"}, "those of Cu4 were asked for"),
        ({"positions": bulk("Cu", a=3.6, cubic=True).positions + 0.1}, "other positions"),
        ({"cell": [3.7, 3.6, 3.6]}, "another cell"),
        ({"pbc": [True, True, False]}, "other periodic axes"),
    ],
)
def test_labels_of_another_structure_are_refused(change, said):
    asked = bulk("Cu", a=3.6, cubic=True)
    given = {"symbols": asked.symbols, "positions": asked.positions, "cell": asked.cell, "pbc": asked.pbc}
    (good,), (other,) = (labeled([Atoms(**{**given, **changes})]) for changes in ({}, change))
    check_labels(good, asked, 50.0)
    with pytest.raises(ReferenceFailure, match=said):
        check_labels(other, asked, 1e9)


def test_molecules_may_get_a_box():
    """Codes of plane waves put one around them; without periodic axes it means nothing."""
    (labels,) = labeled([Atoms("Cu2", [[0, 0, 0], [0, 0, 2.3]], cell=[9, 9, 9])])
    check_labels(labels, Atoms("Cu2", labels.positions), 50.0)


def test_a_command_labels(tmp_path):
    script = tmp_path / "label.py"
    script.write_text(
        "import sys, ase.io\nfrom ase.calculators.emt import EMT\natoms = ase.io.read(sys.argv[1])\n"
        "atoms.calc = EMT()\natoms.get_forces()\nase.io.write(sys.argv[2], atoms)\n"
    )
    atoms = starts(1)[0]
    found = command_reference(f"{sys.executable} {script} {{input}} {{output}}")(atoms)
    expected = atoms.copy()
    expected.calc = EMT()
    np.testing.assert_allclose(found.get_forces(), expected.get_forces(), atol=1e-7)
    with pytest.raises(Exception, match="ended with"):
        command_reference(f"{sys.executable} nothing.py {{input}} {{output}}")(atoms)
    with pytest.raises(ValueError, match=r"the command must hold \{output\}"):
        command_reference("vasp {input}")


class Failing(Emt):
    """Gives up after some structures, or has results that are wrong."""

    def __init__(self, fine, change):
        super().__init__()
        self.left, self.change = fine, change

    def calculate(self, atoms=None, properties=(), changes=()):
        super().calculate(atoms, properties, changes)
        self.left -= 1
        if self.left < 0:
            self.results = self.change(self.results)


def _raise(results):
    raise RuntimeError("not converged")


@pytest.mark.parametrize(
    "change, said",
    [
        (_raise, "RuntimeError: not converged"),
        (lambda r: {**r, "energy": np.nan}, "not finite"),
        (lambda r: {**r, "forces": r["forces"] + 100}, "larger than 50, would rule the fit"),
    ],
)
def test_failed_calculations_are_kept_apart(tmp_path, change, said, monkeypatch):
    monkeypatch.setattr(acepure.active.hal, "_MOST_IN_VAIN", 3)
    calculator = Failing(3, change)
    run = small_run(tmp_path, calculator, n_max=4, steps=5)
    with pytest.raises(ValueError, match="3 trajectories in turn gave nothing new"):
        run.run()
    assert run.folder.numbers("failed") == list(range(3, 6)) and run.folder.numbers("labels") == [0, 1, 2]
    assert said in run.log()[-1]["failed"]
    with pytest.raises(ValueError, match=r"starts\[0\] has no usable labels"):
        small_run(tmp_path / "other", Failing(0, change)).run()


# --- refusals -----------------------------------------------------------------------------------------


def test_another_run_is_refused(finished):
    folder = finished[0].folder.path
    with pytest.raises(ValueError, match="holds another run, of other dynamics"):
        small_run(folder, temperature=900).run()
    with pytest.raises(ValueError, match="holds another run, of other seed, starts"):
        small_run(folder, seed=1, starts=starts(4)).run()
    with pytest.raises(ValueError, match="holds another run, of other reference"):
        small_run(folder, LennardJones()).run()


def test_starts_that_exceed_the_tolerance_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"starts\[\d\] itself exceeds the tolerance.*Add more starts"):
        small_run(tmp_path, starts=starts(12), tolerance=1e-3, n_max=13).run()
    with pytest.raises(ValueError, match="all structures of starts exceed the tolerance now"):
        small_run(tmp_path / "later", tolerance=0.001).run()


def test_copies_are_refused_and_end_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr(acepure.active.hal, "_MOST_IN_VAIN", 3)
    run = small_run(tmp_path, timestep=0.01, temperature=1, friction=1e-6, steps=5)
    with pytest.raises(ValueError, match=r"3 trajectories in turn gave nothing new; .* a copy of labels"):
        run.run()
    assert run.folder.numbers("labels") == [0, 1, 2]


def test_patience(tmp_path):
    run = small_run(tmp_path, tolerance=50.0, patience=2, n_max=30)
    run.run()
    assert [line["reason"] for line in run.log()[3:]] == ["steps", "steps"]


def changed(k, change):
    structures = starts()
    change(structures[k])
    return structures


def overlapping(atoms):
    atoms.positions[1] = atoms.positions[0] + [0.5, 0, 0]


@pytest.mark.parametrize(
    "changes, error, said",
    [
        ({"starts": starts(1)}, ValueError, "starts must be at least 2 structures"),
        ({"starts": [*starts(2), *starts(1)]}, ValueError, r"starts\[2\] is a copy of starts\[0\]"),
        ({"starts": [*starts(2), Atoms("Au")]}, ValueError, r"starts\[2\].*Au"),
        ({"starts": changed(1, overlapping)}, ValueError, r"starts\[1\]: atoms 0 and 1 overlap: 0.500 Å"),
        ({"starts": changed(0, lambda a: a.set_constraint(FixAtoms([0])))}, ValueError, "constraints"),
        ({"starts": changed(0, lambda a: a.set_pbc([1, 1, 0])), "cell_every": 5}, ValueError, "three periodic axes"),
        ({"starts": changed(0, lambda a: None)[:2], "swap_every": 5, "E0s": "lstsq"}, ValueError, "at least 7"),
        ({"E0s": {"Cu": 1.0}}, ValueError, "E0s has no energy of Ag"),
        ({"E0s": "auto"}, ValueError, "E0s must be a mapping"),
        ({"tau": 1.5}, ValueError, "tau must be at most 1"),
        ({"least_steps": 100}, ValueError, "least_steps must be at most steps, 30"),
        ({"temperature": (1, 2, 3)}, ValueError, "temperature must be one number or two"),
        ({"temprature": 300}, TypeError, "HAL does not know temprature; Dynamics takes temperature"),
        ({"fit": {"wieghts": 1}}, TypeError, "fit does not know wieghts; FitChoices takes weights"),
        ({"fit": {"weights": (30, 0, 1)}}, ValueError, "weights of forces must be > 0"),
        ({"fit": {"core": "lj"}}, ValueError, "core must be"),
        ({"n_max": 3}, ValueError, "n_max counts starts too and must be more than 3"),
        ({"calculator": 3}, TypeError, "calculator must be a calculator of ASE"),
    ],
)
def test_refused_before_any_work(tmp_path, changes, error, said):
    with pytest.raises(error, match=said):
        small_run(tmp_path / "new", **changes)
    assert not (tmp_path / "new").exists()


def test_a_calculator_without_forces_is_refused(tmp_path):
    class Energies(Calculator):
        implemented_properties = ("energy",)

    with pytest.raises(ValueError, match="the calculator has no forces, only energy"):
        small_run(tmp_path, Energies())
    one = [atoms.copy() for atoms in starts()]
    for atoms in one:
        atoms.symbols = "Cu4"
    with pytest.raises(ValueError, match="swap_every needs two species"):
        small_run(tmp_path, starts=one, swap_every=3)


def test_isolated_atoms_are_computed_once(tmp_path):
    run = small_run(tmp_path, E0s="isolated", n_max=4)
    run.run()
    assert json.loads((tmp_path / "E0s.json").read_text()) == pytest.approx({"Cu": 3.51, "Ag": 2.96})


def test_a_damaged_folder_is_named(tmp_path):
    small_run(tmp_path, n_max=4).run()
    (tmp_path / "labels" / "0001.extxyz").write_text("4\nnothing")
    with pytest.raises(ValueError, match=r"0001.extxyz' is damaged"):
        small_run(tmp_path, n_max=5).run()


def test_temperature_rises_evenly():
    dynamics = Dynamics(temperature=(300, 500), steps=100, least_steps=0)
    assert [dynamics.temperature_at(k) for k in (0, 50, 100)] == [300, 400, 500]
