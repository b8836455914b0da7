"""`acepure conditioning`: the table is that of Python, the figure is written, errors are one line."""

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from cases.command_line import failure, run

from acepure.diagnostics import compare_references
from acepure.functions import AgnesiTransform, PolynomialRadialBasis, SmoothEnvelope


@pytest.fixture
def structures(tmp_path, monkeypatch):
    """Five structures in `in.extxyz` of the working folder, as ASE reads them back."""
    monkeypatch.chdir(tmp_path)
    frames = []
    for seed in range(5):
        atoms = bulk("Cu", cubic=True) * 2
        atoms.rattle(0.15, seed=seed)
        frames.append(atoms)
    ase.io.write("in.extxyz", frames)
    return ase.io.read("in.extxyz", ":")


SMALL = "--order 2 --totaldegree 3"


def test_table_and_figure(structures, capsys, tmp_path):
    code, out, err = run(f"conditioning in.extxyz {SMALL} --threads 1 --atoms-per-structure 32", capsys)
    assert (code, err) == (0, "")
    expected = compare_references(structures, order=2, totaldegree=3, atoms_per_structure=32)
    assert out == f"read    5 structures: in.extxyz\n\n{expected}\n\nwrote   acepure_conditioning.png\n"
    assert (tmp_path / "acepure_conditioning.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["acepure_conditioning.png", "in.extxyz"]


def test_options_mean_what_they_mean_in_python(structures, capsys, tmp_path):
    options = "--rcut 4 --species Cu Zr --atoms-per-structure 9 --seed 7 --frames 3 --index :4 -o figure.PDF"
    code, out, _ = run(f"conditioning in.extxyz {SMALL} {options}", capsys)
    assert code == 0
    chosen = np.random.default_rng(7).choice(4, 3, replace=False)
    expected = compare_references(
        [structures[k] for k in chosen],
        rcut=4.0,
        species=["Cu", "Zr"],
        order=2,
        totaldegree=3,
        atoms_per_structure=9,
        seed=7,
    )
    assert out.startswith("read    4 structures") and str(expected) in out
    assert (tmp_path / "figure.PDF").read_bytes().startswith(b"%PDF")


def test_radial_functions(structures, capsys):
    options = "--rcut 4 --transform agnesi:p=1,q=3 --envelope smooth:exponent=2"
    code, out, _ = run(f"conditioning in.extxyz {SMALL} {options}", capsys)
    radial = PolynomialRadialBasis(4.0, AgnesiTransform(p=1, q=3), SmoothEnvelope(2))
    expected = compare_references(structures, order=2, totaldegree=3, radial=radial, atoms_per_structure=20)
    assert code == 0 and str(expected) in out


@pytest.mark.parametrize(
    "options, note",
    [
        # Order 1 of one species has the functions n = 0 .. degree, and there is the column of ones.
        ("--totaldegree 4 --atoms-per-structure 1", "5 of Cu (160 in all atoms), but 6 columns"),
        ("--totaldegree 4 --atoms-per-structure 1", "raise --atoms-per-structure, or"),
        ("--totaldegree 3", None),
        ("--totaldegree 3 --atoms-per-structure 1", "condition numbers of covariances without bound"),
        # ((√100 + √16)/(√100 − √16))² = (14/6)²
        ("--totaldegree 14", "100 environments of Cu for 16 columns (the features and 1), less than ten each"),
        ("--totaldegree 14", "condition numbers of covariances about 5.4, even of independent columns"),
        ("--totaldegree 31 --index :1", "20 of Cu (32 in all atoms), but 33 columns"),
        ("--totaldegree 31 --index :1", "take more structures, or"),
    ],
)
def test_too_few_environments_are_told_before_the_work(structures, capsys, monkeypatch, options, note):
    def stopped(*_, **__):
        raise ValueError("stopped")

    monkeypatch.setattr("acepure.cli.conditioning.compare_references", stopped)
    code, out, _ = run(f"conditioning in.extxyz --order 1 {options}", capsys)
    assert code == 2 and ("note" not in out if note is None else note in out)


def test_more_frames_than_there_are(structures, capsys):
    code, out, _ = run(f"conditioning in.extxyz {SMALL} --frames 99 -o a.svg", capsys)
    assert code == 0 and "100 environments of 5 structures" in out


@pytest.mark.parametrize(
    "options, message",
    [
        ("none.xyz", "cannot read 'none.xyz': there is no such file"),
        ("in.extxyz -o figure.npz", "-o figure.npz: the name must end in one of ."),
        ("none.xyz -o nowhere/figure.png", "error: -o: cannot write 'nowhere/figure.png': the folder"),
        ("in.extxyz --species Zr", "structures[0] holds Cu, but the basis is for Zr"),
        ("in.extxyz --frames 0", "--frames: '0' is not an integer >= 1"),
        ("in.extxyz --seed -1", "--seed: '-1' is not an integer >= 0"),
        ("in.extxyz --atoms-per-structure all", "'all' is not an integer >= 1"),
        ("in.extxyz --rcut -1", "rcut must be a finite number > 0"),
        ("in.extxyz --n-max 3", "unrecognized arguments: --n-max 3"),
        ("", "arguments are required: DATA"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(structures, capsys, tmp_path, options, message):
    assert message in failure(f"conditioning {options}", capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["in.extxyz"]
