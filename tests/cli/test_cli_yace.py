"""Files of others on the command line: what any potential can do."""

import ase.io
import numpy as np
import pytest
from cases.yace import content_of, crystal

from acepure.cli import main
from acepure.interfaces.yace import read_yace
from acepure.interfaces.yace.yace_text import yace_text


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A published potential, and structures with labels that are a little off."""
    monkeypatch.chdir(tmp_path)
    content = content_of(["Cu", "Zr"], "SBessel", "distance", strength=20.0, n_densities=2, m=0.5, seed=4)
    (tmp_path / "CuZr.yace").write_text(yace_text(content), encoding="utf-8")
    structures = [crystal(["Cu", "Zr"], seed=seed, n=1) for seed in range(2)]
    for atoms in structures:
        atoms.pbc = True
        result = read_yace("CuZr.yace").evaluate(atoms)
        atoms.info["REF_energy"] = result.energy + 0.00125 * len(atoms)
        atoms.arrays["REF_forces"] = result.forces
    ase.io.write("data.extxyz", structures)
    return tmp_path


def test_inspect(folder, capsys):
    assert main(["inspect", "CuZr.yace"]) == 0
    text = capsys.readouterr().out
    for part in ("YacePotential(Cu, Zr; 58 terms), cores: distance", "1 f(ρ_1; 1), 1 f(ρ_2; 0.5)", "SBessel", "Cu-Zr"):
        assert part in text
    assert "5 of 1, 8 of 2, 10 of 3, 6 of 4" in text


def test_evaluate_and_predict(folder, capsys):
    assert main(["evaluate", "CuZr.yace", "data.extxyz", "-o", "out.extxyz", "--figure", "errors.png"]) == 0
    assert "1.25" in capsys.readouterr().out  # meV/atom
    assert (folder / "errors.png").stat().st_size > 1000
    assert main(["predict", "CuZr.yace", "data.extxyz", "-o", "predicted.extxyz"]) == 0
    for given, found in zip(ase.io.read("data.extxyz", ":"), ase.io.read("predicted.extxyz", ":")):
        np.testing.assert_allclose(found.get_forces(), given.arrays["REF_forces"], atol=1e-5)
        assert found.get_potential_energy() == pytest.approx(given.info["REF_energy"] - 0.005, abs=1e-5)
    assert main(["predict", "CuZr.yace", "data.extxyz", "-o", "p.extxyz", "--uncertainty"]) == 2
    assert "CuZr.yace has no posterior" in capsys.readouterr().err


def test_relax_and_md(folder):
    assert main(["relax", "CuZr.yace", "data.extxyz", "-o", "relaxed.extxyz", "--steps", "3"]) == 0
    assert main(["md", "CuZr.yace", "data.extxyz", "-o", "run.extxyz", "--steps", "4", "--interval", "2"]) == 0
    assert len(ase.io.read("run.extxyz", ":")) == 3


def test_physics(folder, capsys):
    assert main(["physics", "CuZr.yace"]) == 0
    assert "Cu-Zr" in capsys.readouterr().out


def test_what_cannot_be_done(folder, capsys):
    assert main(["export", "CuZr.yace", "-o", "again.yace"]) == 2
    assert "CuZr.yace is a .yace file; a potential that `acepure fit` wrote is needed" in capsys.readouterr().err
    (folder / "broken.yace").write_text("elements: [Cu]")
    assert main(["inspect", "broken.yace"]) == 2
    assert "is no .yace file, or cut short" in capsys.readouterr().err
    assert main(["inspect", "missing.yace"]) == 2
    assert "missing.yace" in capsys.readouterr().err
