"""`acepure select` chooses what `acepure.active.select` chooses, and writes it."""

import ase.io
import numpy as np
import pytest
from cases.emt import emt_structures

from acepure import ACEBasis, LinearACE
from acepure.active import select
from acepure.cli import main


@pytest.fixture
def pool(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ase.io.write("pool.extxyz", emt_structures(10))
    ase.io.write("more.extxyz", emt_structures(4, seed=5))
    ase.io.write("start.extxyz", emt_structures(3, seed=7))
    return [*ase.io.read("pool.extxyz", ":"), *ase.io.read("more.extxyz", ":")]


def test_select_writes_what_python_selects(pool, capsys):
    basis = ACEBasis(["Cu", "Ag"], order=2, totaldegree=4, rcut=4.5)
    model = LinearACE.fit(emt_structures(12, seed=9), basis, calibrate_by=None, check=False, verbose=False)
    model.save("known.ace")
    expected = select(pool, 4, model=model, start=ase.io.read("start.extxyz", ":"))
    command = "select pool.extxyz more.extxyz -n 4 --model known.ace -o chosen.extxyz --start start.extxyz"
    assert main(command.split()) == 0
    out = capsys.readouterr().out
    assert "pool    14 structures, 56 atoms" in out and str(expected) in out
    found = ase.io.read("chosen.extxyz", ":")
    assert len(found) == 4
    for atoms, k in zip(found, expected.indices):
        np.testing.assert_allclose(atoms.positions, pool[k].positions, atol=1e-8)
        np.testing.assert_allclose(atoms.get_forces(), pool[k].get_forces(), atol=1e-8)


@pytest.mark.parametrize("method", ["farthest", "random"])
def test_select_from_a_pool_alone(pool, method):
    assert main(f"select pool.extxyz -n 3 --method {method} --energies-only --seed 1 -o a.xyz".split()) == 0
    expected = select(pool[:10], 3, method=method, forces=False, seed=1)
    for atoms, k in zip(ase.io.read("a.xyz", ":"), expected.indices):
        np.testing.assert_allclose(atoms.positions, pool[k].positions, atol=1e-8)


def test_select_refuses(pool, capsys):
    assert main("select pool.extxyz -n 3 -o a.cif".split()) == 2
    assert "-o a.cif: the name must end in .extxyz or .xyz" in capsys.readouterr().err
    assert main("select pool.extxyz -n 0 -o a.xyz".split()) == 2
