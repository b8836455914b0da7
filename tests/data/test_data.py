"""Data sets and potentials in the package: files, labels, how they were made, what their page says of them."""

import hashlib
import importlib.util
import re
from importlib.resources import files
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.units import GPa
from cases.command_line import failure, run

import acepure
from acepure.data import SETS, load, potential

ROOT = Path(__file__).parents[2]
FOLDER = files("acepure.data")
#: What the set was when its potential was fitted.
HASHES = {
    "aluminum-magnesium": "02a11b9ea0506ebed0c1dfcb1ca9515bb079d1afefcaacb4fdb7d0d19c1d7ebb",
    "silicon": "03f6b4ae568e2c34d52eb868b8194448d4ae21682ce3136cc9583dcc0121e93a",
}


@pytest.fixture(scope="module")
def made():
    """The script that made the sets, which needs no DFT code for structures."""
    spec = importlib.util.spec_from_file_location("make_data", ROOT / "benchmarks" / "make_data.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", SETS)
def test_files_are_those_that_were_fitted(name):
    assert hashlib.sha256((FOLDER / f"{name}.extxyz.xz").read_bytes()).hexdigest() == HASHES[name]


def test_files_are_small():
    sizes = [path.stat().st_size for path in (ROOT / "acepure" / "data").glob("*.extxyz.xz")]
    assert len(sizes) == len(SETS) and sum(sizes) < 400_000


@pytest.mark.parametrize("name", SETS)
def test_parts_are_the_whole(name):
    whole, train, test = load(name), load(name, "train"), load(name, "test")
    assert len(whole) == len(train) + len(test) and 0.15 < len(test) / len(whole) < 0.35
    groups = {atoms.info["config_type"] for atoms in train}
    assert {atoms.info["config_type"] for atoms in test} <= groups
    places = {atoms.positions.tobytes() + atoms.numbers.tobytes() + atoms.cell.tobytes() for atoms in whole}
    assert len(places) == len(whole)


@pytest.mark.parametrize("name", SETS)
def test_labels_are_complete(name):
    for atoms in load(name):
        assert np.isfinite(atoms.get_potential_energy())
        forces = atoms.get_forces()
        assert forces.shape == (len(atoms), 3) and np.abs(forces.sum(axis=0)).max() < 5e-3 * len(atoms)
        alone = atoms.info["config_type"] == "isolated"
        assert ("stress" in atoms.calc.results) != alone
        assert not alone or (len(atoms) == 1 and np.abs(forces).max() < 1e-3)


@pytest.mark.parametrize("name", SETS)
def test_structures_are_those_of_the_script(name, made):
    """To the last digit of the file: nothing was moved after it was computed."""
    expected = dict(made.structures(name))
    for atoms in load(name):
        original = expected.pop(atoms.info["label"])
        np.testing.assert_allclose(atoms.positions, original.positions, rtol=0, atol=2e-6)
        np.testing.assert_allclose(atoms.cell, original.cell, rtol=0, atol=2e-6)
        assert (atoms.numbers == original.numbers).all() and atoms.pbc.all()
        assert atoms.info["split"] == original.info["split"]


def test_pressure_of_silicon_is_the_slope_of_its_energy():
    """Of the five perfect crystals: stresses and energies of plane waves are of one kind."""
    crystals = [atoms for atoms in load("silicon") if atoms.info["config_type"] == "crystal"]
    perfect = [atoms for atoms in crystals if np.ptp(atoms.cell.lengths()) < 1e-5]
    volumes = np.array([atoms.get_volume() for atoms in perfect])
    assert len(volumes) == 5
    energy = np.polynomial.Polynomial.fit(volumes, [atoms.get_potential_energy() for atoms in perfect], 4)
    pressures = [-np.trace(atoms.get_stress(voigt=False)) / 3 for atoms in perfect]
    np.testing.assert_allclose(-energy.deriv()(volumes) / GPa, np.array(pressures) / GPa, rtol=0, atol=1.0)


# --- potentials -----------------------------------------------------------------------------------------------------


def page_errors(name):
    """MAE of energies (meV/atom) and forces (eV/Å) of the test structures, from the page."""
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    found = re.search(rf"^\| `{name}` \|.*\| ([\d.]+) \| ([\d.]+) \|$", page, re.MULTILINE)
    return float(found[1]), float(found[2])


@pytest.mark.parametrize("name", SETS)
def test_errors_are_those_of_the_page(name):
    """By hand: predictions of the calculator against the labels, to the digits that are printed."""
    energies, forces = [], []
    model = potential(name)
    for atoms in load(name, "test"):
        predicted = atoms.copy()
        predicted.calc = model.calculator()
        energies.append(abs(predicted.get_potential_energy() - atoms.get_potential_energy()) / len(atoms))
        forces.append((predicted.get_forces() - atoms.get_forces()).ravel())
    on_page = page_errors(name)
    assert 1000 * np.mean(energies) == pytest.approx(on_page[0], abs=0.0501)
    assert np.abs(np.concatenate(forces)).mean() == pytest.approx(on_page[1], abs=0.000501)


@pytest.mark.parametrize("name", SETS)
def test_an_atom_alone_has_its_energy(name):
    model = potential(name)
    for atoms in load(name, "train"):
        if atoms.info["config_type"] == "isolated":
            assert model.evaluate(atoms).energy == pytest.approx(atoms.get_potential_energy(), abs=1e-9)


@pytest.mark.parametrize("name", SETS)
def test_the_run_file_makes_the_potential_again(name, tmp_path, monkeypatch, capsys):
    """From the data, by the command on the page; digits of other processors differ."""
    monkeypatch.chdir(tmp_path)
    text = (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    (tmp_path / "run.toml").write_text(text)
    assert run(f"data {name} -o train.extxyz --test test.extxyz", capsys)[0] == 0
    assert run("fit run.toml -o again.ace --no-figure", capsys)[0] == 0
    again, shipped = acepure.LinearACE.load("again.ace"), potential(name)
    assert again.basis.labels == shipped.basis.labels
    for atoms in load(name, "test"):
        np.testing.assert_allclose(again.evaluate(atoms).forces, shipped.evaluate(atoms).forces, rtol=0, atol=1e-4)


# --- names and the command ------------------------------------------------------------------------------------------


def test_wrong_names():
    with pytest.raises(ValueError, match="no data set 'gold'; there are aluminum-magnesium, silicon"):
        load("gold")
    with pytest.raises(ValueError, match="no data set 'gold'"):
        potential("gold")
    with pytest.raises(ValueError, match="split must be one of train, test"):
        load("silicon", "validation")


def test_the_package_offers_both():
    assert acepure.data.load is load and acepure.potential is potential


def test_the_command_lists(capsys):
    code, out, _ = run("data", capsys)
    assert code == 0
    for name in SETS:
        assert re.search(
            rf"^{name} .*; {len(load(name, 'train'))} structures to fit, {len(load(name, 'test'))} ", out, re.M
        )


def test_the_command_writes(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, _ = run("data silicon -o train.extxyz --test test.xyz --model Si.ace", capsys)
    assert code == 0
    for file, split in (("train.extxyz", "train"), ("test.xyz", "test")):
        found, expected = ase.io.read(file, ":"), load("silicon", split)
        assert len(found) == len(expected)
        for atoms, original in zip(found, expected):
            assert atoms == original and atoms.info == original.info
            np.testing.assert_array_equal(atoms.get_forces(), original.get_forces())
    assert acepure.LinearACE.load("Si.ace").basis.labels == potential("silicon").basis.labels
    assert run("data silicon -o all.extxyz", capsys)[0] == 0
    assert len(ase.io.read("all.extxyz", ":")) == len(load("silicon"))


@pytest.mark.parametrize(
    "command, message",
    [
        ("data silicon", "say what to write"),
        ("data -o a.extxyz", "say which"),
        ("data gold -o a.extxyz", "invalid choice: 'gold'"),
        ("data silicon -o a.extxyz --test a.extxyz", "different names"),
        ("data silicon -o nowhere/a.extxyz", "nowhere"),
        ("data silicon -o a.vasp", "holds one structure"),
    ],
)
def test_mistakes(command, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in failure(command, capsys)
    assert not list(tmp_path.iterdir())
