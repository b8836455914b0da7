"""Full disks, killed processes and Ctrl-C: files are complete or not there, and work ends."""

import errno
import io
import os
import signal
import subprocess
import time
from contextlib import contextmanager

import numpy as np
import pytest
from ase.build import bulk
from cases.processes import running

from acepure import ACEBasis, LinearACE, LinearFunction, pair_jacobian, pullback
from acepure._utils.files import atomic_write
from acepure.cli import main
from acepure.interfaces.yace import write_core_table
from acepure.models.files import ModelSchema, read_model, write_model
from acepure.models.repulsion import ZBLCore
from acepure.stages import fused

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX systems")

BASIS = ACEBasis(["Cu"], rcut=4.0, order=2, totaldegree=3)
SCHEMA = ModelSchema("test", ("k",), {"a": np.float64})


def model(value=1.0):
    return LinearACE(BASIS, np.full(len(BASIS), value), core=ZBLCore(0.7, 1.4))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


WRITERS = {
    "model": lambda path: model().save(path),
    "large array": lambda path: write_model(path, SCHEMA, {"k": 0}, {"a": np.zeros(100_000)}),
    "yace": lambda path: model().export_yace(path, tolerance=1e-2, core_table=path.with_suffix(".table")),
    "core table": lambda path: write_core_table(path, ZBLCore(0.7, 1.4), ["Cu"]),
}


# --- full disks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("room", [0, 500])
def test_full_disk(tmp_path, writer, room):
    """With room for so many bytes: the error names the file, the old file stays, nothing else does."""
    import resource

    path = tmp_path / "out"
    path.write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[0][1]))
    try:
        with pytest.raises(OSError, match=r"File too large.*out") as error:
            WRITERS[writer](path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before[0])
        signal.signal(signal.SIGXFSZ, before[1])
    assert error.value.errno == errno.EFBIG
    assert names(tmp_path) == ["out"] and path.read_text() == "old"


@pytest.mark.parametrize("moment", ["write", "fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_failures_of_the_system(tmp_path, monkeypatch, moment, code):
    def fail(*_, **__):
        raise OSError(code, os.strerror(code))

    path = tmp_path / "out"
    path.write_text("old")
    if moment != "write":
        monkeypatch.setattr(os, moment, fail)
    with pytest.raises(OSError, match=os.strerror(code)) as error, atomic_write(path) as temporary:
        temporary.write_text("new")
        if moment == "write":
            fail()
    monkeypatch.undo()
    assert (error.value.filename == str(path)) == (code != errno.EIO)
    assert names(tmp_path) == ["out"] and path.read_text() == "old"


def test_full_device_is_no_place_for_files():
    if os.path.exists("/dev/full"):
        with pytest.raises(OSError, match="'/dev/full': it is no ordinary file"):
            model().save("/dev/full")


def test_full_disk_of_the_command_line(tmp_path, monkeypatch, capsys):
    """One line, exit code 2, nothing left."""
    import ase.io

    monkeypatch.chdir(tmp_path)
    ase.io.write("a.cif", bulk("Cu", cubic=True))

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    monkeypatch.setattr(np, "savez_compressed", full)
    assert main(["descriptors", "a.cif", "-o", "a.npz", "--order", "1"]) == 2
    assert capsys.readouterr().err.startswith("acepure: error: [Errno 28] No space left on device")
    assert names(tmp_path) == ["a.cif"]


# --- killed and interrupted processes ---------------------------------------------------------------------------------

SAVING = """
import sys, numpy as np
from acepure.models.files import ModelSchema, write_model
schema = ModelSchema("test", ("k",), {"a": np.float64})
print("ready", flush=True)
k = 0
while True:
    k += 1
    write_model(sys.argv[1], schema, {"k": k}, {"a": np.full(200_000, float(k))})
"""


@contextmanager
def child(code, *arguments, **options):
    """A process that has begun to work."""
    with running(code, *arguments, **options) as process:
        assert process.stdout.readline() == b"ready\n", process.stderr.read()
        yield process


@pytest.fixture(params=[signal.default_int_handler, signal.SIG_IGN], ids=["terminal", "background"])
def started(request):
    """In the background of a script SIGINT is ignored, and children inherit that."""
    before = signal.signal(signal.SIGINT, request.param)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number, delay", [(signal.SIGKILL, 0.11), (signal.SIGKILL, 0.23), (signal.SIGINT, 0.17)])
def test_killed_while_writing(tmp_path, number, delay, started):
    """The file is one that was written in full; only a killed process leaves a temporary one, under a hidden name."""
    path = tmp_path / "model.ace"
    write_model(path, SCHEMA, {"k": 0}, {"a": np.zeros(200_000)})
    with child(SAVING, path) as process:
        time.sleep(delay)
        process.send_signal(number)
        process.wait(60)
    entries, arrays = read_model(path, SCHEMA)
    assert (arrays["a"] == entries["k"]).all() and len(arrays["a"]) == 200_000
    left = [name for name in names(tmp_path) if name != "model.ace"]
    assert not left if number == signal.SIGINT else len(left) <= 1 and all(name.startswith(".") for name in left)


def interrupted(process):
    """What it says after Ctrl-C, which is pressed again if nothing happens: libraries can lose one in a callback."""
    for _ in range(5):
        process.send_signal(signal.SIGINT)
        try:
            return process.communicate(timeout=20)[1]
        except subprocess.TimeoutExpired:
            pass
    raise AssertionError("it does not end")


FITTING = """
import sys, numpy as np
from ase.build import bulk
from ase.calculators.emt import EMT
import ase.io
from acepure.cli import main, fit
structures = []
for seed in range(6):
    atoms = bulk("Cu", cubic=True) * 2
    atoms.rattle(0.1, seed=seed)
    atoms.calc = EMT()
    atoms.get_forces()
    structures.append(atoms)
ase.io.write("train.extxyz", structures)
once = fit._fit
def long(*arguments):
    print("ready", flush=True, file=sys.__stdout__)
    for _ in range(1000):
        once(*arguments)
fit._fit, sys.stdout = long, sys.stderr
sys.exit(main(["fit", "train.extxyz", "-o", "Cu.ace", "--totaldegree", "5"]))
"""


def test_interrupted_fit(tmp_path):
    """Ctrl-C: one line, exit code 130, neither model nor figure, the old model as it was; finished stages stay."""
    (tmp_path / "Cu.ace").write_text("old")
    with child(FITTING, cwd=tmp_path) as process:
        time.sleep(0.3)
        said = interrupted(process)
    assert process.returncode == 130 and said.decode().endswith("acepure: interrupted\n")
    assert set(names(tmp_path)) - {"Cu.ace.progress"} == {"Cu.ace", "train.extxyz"}
    assert (tmp_path / "Cu.ace").read_text() == "old"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError, RecursionError])
def test_any_exception_leaves_nothing(tmp_path, error):
    path = tmp_path / "out"
    path.write_text("old")
    with pytest.raises(error), atomic_write(path) as temporary:
        temporary.write_text("ne")
        raise error
    assert names(tmp_path) == ["out"] and path.read_text() == "old"


# --- long kernels -----------------------------------------------------------------------------------------------------


def test_kernels_return_to_python_often(monkeypatch):
    """A call of a kernel takes a bounded number of centers, so that signals are seen; results have the same bits."""
    atoms = bulk("Cu", cubic=True) * 5
    atoms.rattle(0.1, seed=0)
    neighbors, function = BASIS.neighbor_list(atoms), LinearFunction(BASIS, np.ones(len(BASIS)))
    cotangents = np.ones((len(atoms), len(BASIS)))

    def results():
        linear = function.evaluate_with_gradients(atoms, neighbors=neighbors)
        return [
            BASIS.descriptors(atoms, neighbors=neighbors),
            linear.energies,
            linear.forces,
            pair_jacobian(BASIS, atoms, neighbors=neighbors).values,
            pullback(BASIS, atoms, cotangents, neighbors=neighbors)[0],
        ]

    whole = results()
    monkeypatch.setattr(fused, "_WORK_PER_CALL", 0)
    for first, second in zip(whole, results()):
        np.testing.assert_array_equal(first, second)
    ranges = list(BASIS._tables.geometries[0]._ranges(neighbors.offsets, 1))
    assert max(last - first for first, last in ranges) == 64 and len(ranges) == 8
    assert [first for first, _ in ranges[1:]] == [last for _, last in ranges[:-1]] and ranges[-1][1] == len(atoms)


def test_interrupt_is_seen_between_calls():
    """SIGINT while features of a long list are computed raises KeyboardInterrupt, well before the end."""
    atoms = bulk("Cu", cubic=True) * 8
    basis = ACEBasis(["Cu"], order=3, totaldegree=12).prepare()
    neighbors = basis.neighbor_list(atoms)
    done = io.StringIO()
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.15)
    try:
        with pytest.raises(KeyboardInterrupt):
            for _ in range(1000):
                basis.descriptors(atoms, neighbors=neighbors, num_threads=1)
                done.write(".")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, before)
    assert len(done.getvalue()) < 1000
