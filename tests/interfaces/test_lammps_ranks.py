"""LAMMPS with a potential of acepure on two ranks, and the command that runs it: as on one rank, and no rank hangs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from cases import lammps as systems_lammps
from cases.emt import emt_structures
from cases.lammps import commands_of, on_ranks, random_model, several_ranks, started, structures, virial_pressure

from acepure import ACEBasis, LinearACE
from acepure.cli import main

# Sums over ranks are taken in another order.
ROUND_OFF = 1e-12

RUN = """\
velocity all create 300 4928459 loop all
fix 1 all npt temp 300 300 0.1 aniso 0 0 1.0
timestep 0.001
thermo_style custom step pe etotal temp vol pxx pyy pzz pxy pxz pyz
thermo_modify format float %24.16g norm no
thermo 10
run 30
unfix 1
minimize 0 1e-6 10 20
write_dump all custom final.dump id x y z fx fy fz modify sort id format float %24.16g
"""


@pytest.fixture(scope="module", autouse=True)
def needs():
    """LAMMPS, mpi4py and mpirun."""
    started().close()
    pytest.importorskip("mpi4py", reason='mpi4py is not installed: pip install "acepure[lammps]"')
    if mpirun() is None:
        pytest.skip("mpirun is not installed")


def mpirun():
    """That of the mpich package is beside Python."""
    return shutil.which("mpirun", path=os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")]))


def run_on(n_ranks, arguments, folder):
    """Run Python under mpirun; a rank that hangs is an error."""
    paths = [str(Path(systems_lammps.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    command = [mpirun(), "-n", str(n_ranks), sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def acepure(n_ranks, words, folder):
    return run_on(n_ranks, ["-m", "acepure.cli", "lammps", *words.split()], folder)


@pytest.fixture
def scripts(tmp_path):
    """A folder with a model of two species and scripts."""
    random_model(["Cu", "Zr"]).save(tmp_path / "CuZr.ace")
    lines = commands_of(structures()["alloy"], ["Cu", "Zr"], 5.5)
    (tmp_path / "setup.in").write_text("\n".join(lines) + "\n")
    (tmp_path / "run.in").write_text(RUN)
    return tmp_path


def test_structures_on_two_ranks(tmp_path):
    """Boxes of all kinds, one of them with all atoms on one rank."""
    done = run_on(2, ["-m", "cases.lammps", "two.npz"], tmp_path)
    assert done.returncode == 0, done.stderr
    several_ranks(tmp_path / "one.npz")
    one, two = np.load(tmp_path / "one.npz"), np.load(tmp_path / "two.npz")
    for name, (atoms, _) in on_ranks().items():
        wanted = random_model(sorted(set(atoms.get_chemical_symbols()))).evaluate(atoms)
        np.testing.assert_allclose(two[f"{name}: forces"], wanted.forces, rtol=0, atol=100 * ROUND_OFF)
        totals = two[f"{name}: totals"]
        np.testing.assert_allclose(totals, one[f"{name}: totals"], rtol=0, atol=10 * ROUND_OFF * abs(totals).max())
        assert totals[0] == pytest.approx(wanted.energy, rel=ROUND_OFF)
        if atoms.pbc.all():
            pressure = virial_pressure(wanted.virial, atoms)
            np.testing.assert_allclose(totals[1:], pressure, rtol=0, atol=1e-11 * abs(pressure).max())
    assert sorted(two["empty rank: own"]) == [0, 20] and min(two["crystal: own"]) > 20


def test_npt_and_minimize_on_two_ranks(scripts):
    """The same run as on one rank, in this process."""
    done = acepure(2, "CuZr.ace setup.in run.in --species Cu Zr --log two.log", scripts)
    assert done.returncode == 0, done.stderr
    assert re.search(r"acepure   \d+ steps of 108 atoms on 2 ranks: .* µs per atom and step", done.stdout)
    (scripts / "final.dump").rename(scripts / "two.dump")
    folder = os.getcwd()
    os.chdir(scripts)
    try:
        assert main("lammps CuZr.ace setup.in run.in --species Cu,Zr --log one.log --quiet".split()) == 0
    finally:
        os.chdir(folder)
    one, two = thermo(scripts / "one.log"), thermo(scripts / "two.log")
    assert one.shape == (6, 11) and abs(one[3, 4] / one[0, 4] - 1) > 0.1  # the volume has changed
    np.testing.assert_allclose(two / abs(one).max(axis=0), one / abs(one).max(axis=0), rtol=0, atol=1e-10)
    one, two = (np.loadtxt(scripts / name, skiprows=9) for name in ("final.dump", "two.dump"))
    np.testing.assert_allclose(two, one, rtol=0, atol=1e-9)


def test_grades_on_two_ranks(tmp_path):
    """The same grades as on one rank, and a run that ends where a pair is too near, with one line."""
    train = [atoms for atoms in emt_structures(50, species=("Cu",)) if atoms.get_volume() < 60]
    basis = ACEBasis(["Cu"], rcut=4.5, order=2, totaldegree=4)
    model = LinearACE.fit(train, basis, num_threads=1, progress=False, verbose=False)
    model.save(tmp_path / "Cu.ace")
    atoms = bulk("Cu", cubic=True, a=3.6).repeat(3)
    atoms.rattle(0.05, seed=1)
    (tmp_path / "setup.in").write_text("\n".join(commands_of(atoms, ["Cu"], 5.5)) + "\n")
    run = "run 0\nwrite_dump all custom {}.dump id d_acepure_grade modify sort id format float %.12g\n"
    for n in (1, 2):
        (tmp_path / "run.in").write_text(run.format(n))
        done = acepure(n, "Cu.ace setup.in run.in --species Cu --quiet --log none --check-every 5", tmp_path)
        assert done.returncode == 0, done.stderr
        assert "times as uncertain as of structures left out" in done.stdout
    one, two = (np.loadtxt(tmp_path / f"{n}.dump", skiprows=9) for n in (1, 2))
    np.testing.assert_allclose(two, one, rtol=1e-8)
    assert one[:, 1].min() > 0

    lines = [*commands_of(atoms, ["Cu"], 5.5), "create_atoms 1 single 0.9 0.9 0.9 units box"]
    (tmp_path / "setup.in").write_text("\n".join(lines) + "\n")
    done = acepure(2, "Cu.ace setup.in run.in --species Cu --quiet --log none --check-every 5 --strict", tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("acepure: error:") == 1 and "the shortest in training is" in done.stderr


def test_variables_of_the_command_line(scripts, monkeypatch):
    monkeypatch.chdir(scripts)
    (scripts / "vars.in").write_text('print "found ${T} ${name}" file found.txt\nrun 0\n')
    words = "lammps CuZr.ace setup.in vars.in --species Cu,Zr --log none --quiet --var T 300 --var name copper"
    assert main(words.split()) == 0
    assert (scripts / "found.txt").read_text().strip() == "found 300 copper"


def thermo(log):
    """The rows of thermo output, in the file that LAMMPS writes."""
    rows = [line.split() for line in log.read_text().splitlines()]
    return np.array([row for row in rows if len(row) == 11 and row[0].isdigit()], dtype=float)


FAILING = {
    "cannot read 'nothing.in'": ("CuZr.ace setup.in nothing.in", ""),
    "are at the same place": ("CuZr.ace broken.in run.in", "create_atoms 1 single 0.9 0.9 0.9 units box"),
}


@pytest.mark.parametrize("message", FAILING)
def test_errors_end_all_ranks(scripts, message):
    """With one line, of one rank: the error may be that of a single one."""
    words, line = FAILING[message]
    (scripts / "broken.in").write_text((scripts / "setup.in").read_text() + f"{line}\n{line}\n")
    done = acepure(2, f"{words} --species Cu Zr --quiet --log none", scripts)
    assert done.returncode == 2
    assert done.stderr.count("acepure: error:") == 1 and message in done.stderr and "Traceback" not in done.stderr


def test_a_log_that_cannot_be_written_ends_all_ranks(scripts):
    done = acepure(2, "CuZr.ace setup.in run.in --species Cu Zr --quiet --log nowhere/log", scripts)
    assert done.returncode != 0
    assert done.stderr.count("acepure: error:") == 1 and "can its log 'nowhere/log' be written?" in done.stderr


def test_an_error_in_a_step_of_one_rank_ends_all(scripts):
    """In a script of the user's own, too."""
    (scripts / "own.py").write_text(
        "from cases.lammps import *\n"
        "from acepure.interfaces.lammps.domain import Domain\n"
        "lmp = start(QUIET)\n"
        "rank, evaluate = lmp.extract_setting('world_rank'), Domain.evaluate\n"
        "def failing(self):\n"
        "    if rank == 1 and attachment.n_steps == 2: raise ZeroDivisionError('in step two')\n"
        "    return evaluate(self)\n"
        "Domain.evaluate = failing\n"
        "lmp.file('setup.in')\n"
        "attachment = attach(lmp, LinearACE.load('CuZr.ace'), ['Cu', 'Zr'])\n"
        "lmp.command('fix 1 all nve')\n"
        "lmp.command('run 10')\n"
    )
    done = run_on(2, ["own.py"], scripts)
    assert done.returncode != 0
    assert "RuntimeError: rank 1 failed: ZeroDivisionError: in step two" in done.stderr


def test_command_says_what_is_missing(scripts, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "lammps", None)
    assert main(["lammps", "CuZr.ace", "setup.in", "run.in", "--species", "Cu"]) == 2
    assert 'pip install "acepure[lammps]"' in capsys.readouterr().err
