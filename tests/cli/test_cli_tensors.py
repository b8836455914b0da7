"""Vectors and tensors on the command line: a fit, its run file, predictions, what is refused."""

import ase.io
import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

from acepure import TensorModel
from acepure.cli import main

OPTIONS = "--order 2 --totaldegree 5 --no-figure --threads 1"


def waters(n, seed=0):
    """Water molecules with the dipole of point charges and a tensor of their shape."""
    result = []
    for k in range(n):
        atoms = molecule("H2O")
        atoms.rattle(0.08, seed=seed + k)
        charges = np.where(atoms.symbols == "O", -0.8, 0.4)
        atoms.info["alpha"] = sum(np.outer(d, d) for d in atoms.positions[1:] - atoms.positions[0])
        atoms.arrays["charges"] = np.outer(charges, np.eye(3))
        atoms.calc = SinglePointCalculator(atoms, dipole=charges @ atoms.positions)
        result.append(atoms)
    return result


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ase.io.write("train.extxyz", waters(30))
    ase.io.write("test.extxyz", waters(5, seed=100))
    return tmp_path


def run(command, capsys):
    assert main(command.split()) == 0
    return capsys.readouterr().out


def failure(command, capsys):
    assert main(command.split()) == 2
    return capsys.readouterr().err.rstrip("\n").splitlines()[-1]


def test_a_dipole_from_file_to_predictions(folder, capsys):
    shown = run(f"fit train.extxyz -o mu.ace --target dipole --unit eA --test test.extxyz {OPTIONS}", capsys)
    assert "30 structures with 'dipole'" in shown and "RMSE (eA)" in shown
    model, test = TensorModel.load("mu.ace"), ase.io.read("test.extxyz", ":")
    errors = model.errors(test)
    assert errors.relative["1o"] < 0.01 and str(errors) in shown
    assert str(errors) in run("evaluate mu.ace test.extxyz --figure mu.png -o out.extxyz --uncertainty", capsys)
    assert (folder / "mu.png").stat().st_size > 1000
    for atoms, written in zip(test, ase.io.read("out.extxyz", ":")):
        np.testing.assert_allclose(written.info["acepure_dipole"], model.predict(atoms).total, atol=1e-7)
        sigma = model.standard_deviations(atoms)["1o"].item()
        assert written.info["acepure_dipole_std_1o"] == pytest.approx(sigma, rel=1e-6)
    about = run("inspect mu.ace", capsys)
    assert "dipole (eA), vector per structure" in about and "errors, test" in about
    for atoms in test:
        atoms.calc = None
    ase.io.write("bare.extxyz", test)
    assert "predictions only" in run("evaluate mu.ace bare.extxyz", capsys)


def test_a_run_file_makes_the_same_model(folder, capsys):
    run(f"fit train.extxyz -o a.ace --target alpha --rank symmetric --weights 2 {OPTIONS}", capsys)
    run("fit a.toml -o b.ace --stream", capsys)
    first, second = TensorModel.load("a.ace"), TensorModel.load("b.ace")
    assert first.bases == second.bases
    for a, b in zip(first.coefficients, second.coefficients):
        assert (a == b).all()


def test_derivatives_are_fitted(folder, capsys):
    shown = run(f"fit train.extxyz -o z.ace --target none --derivatives charges --weights 1,0.5 {OPTIONS}", capsys)
    assert "30 with derivatives 'charges'" in shown
    shown = run("evaluate z.ace test.extxyz --derivatives charges --target dipole", capsys)
    assert "derivatives, per Å, 1o" in shown


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--target nothing", "has no 'nothing'"),
        ("--target dipole --e0 0", "--e0 is for potentials"),
        ("--target dipole --core zbl", "--core is for potentials"),
        ("--target dipole --prefix dft", "--prefix is for potentials"),
        ("--unit eA", "--unit is for vectors and tensors"),
        ("--target dipole --weights 1,2,3", "two for values"),
    ],
)
def test_refusals(folder, options, words, capsys):
    assert words in failure(f"fit train.extxyz -o m.ace {OPTIONS} {options}", capsys)
    assert not (folder / "m.ace").exists()
