"""The command line with layers of messages: the same as in Python, again from the run file, read by every command."""

import sys

import ase.io
import numpy as np
import pytest
from cases.emt import emt_structures

pytest.importorskip("torch", reason="layers need PyTorch: pip install acepure[torch]")
from acepure import LayeredACE
from acepure.cli import main
from acepure.fitting import label_structures
from acepure.layers._torch import _Torch

SMALL = "--order 2 --totaldegree 2 --threads 1"


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A folder with structures and a model fitted by the command line."""
    folder = tmp_path_factory.mktemp("layers")
    ase.io.write(folder / "train.extxyz", emt_structures(6))
    ase.io.write(folder / "test.extxyz", emt_structures(3, seed=1))
    layers = (
        "--layers 2 --channels 2 --message-l-max 1 --message-order 2 --messages no-backtracking --steps 20 --seed 3"
    )
    assert main(f"fit {folder}/train.extxyz -o {folder}/a.ace --no-figure {layers} {SMALL}".split()) == 0
    return folder


def test_the_model_is_that_of_python_and_of_its_run_file(fitted):
    found = LayeredACE.load(fitted / "a.ace")
    labeled = label_structures(ase.io.read(fitted / "train.extxyz", ":"))
    sizes = {"layers": 2, "channels": 2, "l_max": 1, "order": 2, "canonical": "no-backtracking", "steps": 20, "seed": 3}
    same = LayeredACE.fit(labeled, found.basis, **sizes, num_threads=1, progress=False, verbose=False)
    assert main(f"fit {fitted}/a.toml -o {fitted}/b.ace --no-figure --threads 1".split()) == 0
    again = LayeredACE.load(fitted / "b.ace")
    for name, array in found.network.arrays.items():
        np.testing.assert_array_equal(same.network.arrays[name], array)
        np.testing.assert_array_equal(again.network.arrays[name], array)


def test_every_command_reads_the_file(fitted, capsys):
    model = LayeredACE.load(fitted / "a.ace")
    output = fitted / "predicted.extxyz"
    assert main(f"evaluate {fitted}/a.ace {fitted}/test.extxyz -o {output} --figure {fitted}/e.png".split()) == 0
    for atoms in ase.io.read(output, ":"):
        np.testing.assert_allclose(atoms.arrays["acepure_forces"], model.evaluate(atoms).forces, atol=1e-7)
    capsys.readouterr()
    assert main(f"inspect {fitted}/a.ace".split()) == 0
    assert "layers        Architecture(n_layers=2, channels=2" in capsys.readouterr().out
    assert main(f"predict {fitted}/a.ace {fitted}/test.extxyz -o {fitted}/p.extxyz".split()) == 0
    moved = f"md {fitted}/a.ace {fitted}/test.extxyz --index 0 --temperature 100 --steps 2 -o {fitted}/run.traj"
    assert main(moved.split()) == 0 and len(ase.io.read(fitted / "run.traj", ":")) >= 1


def test_files_without_pytorch(fitted, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr("acepure.layers.model.torch", _Torch())
    assert main(f"predict {fitted}/a.ace {fitted}/test.extxyz -o {fitted}/none.extxyz".split()) == 2
    assert 'acepure: error: this needs PyTorch: pip install "acepure[torch]"' in capsys.readouterr().err


def test_pair_terms_alone(fitted):
    command = f"fit {fitted}/train.extxyz -o {fitted}/p.ace --no-figure --layers 1 --channels 1 --message-l-max 0"
    assert main(f"{command} --base pair --rcut 4.2 --steps 2 --threads 1".split()) == 0
    found = LayeredACE.load(fitted / "p.ace")
    assert found.basis.order == 1 and found.basis.rcut == 4.2
    assert main(f"fit {fitted}/p.toml -o {fitted}/q.ace --no-figure --threads 1".split()) == 0
    again = LayeredACE.load(fitted / "q.ace").network.arrays
    np.testing.assert_array_equal(again["W1"], found.network.arrays["W1"])


@pytest.mark.parametrize(
    "command, message",
    [
        ("--channels 3", "--channels is for layers of messages"),
        ("--layers 3 --steps 1", "layers must be 1 or 2"),
        ("--layers 2 --embedding even", "--layers and --embedding exclude each other"),
        ("--layers 2 --self-interacting", "--layers and --self-interacting exclude each other"),
        ("--layers 2 --base pair --order 2", "--rcut is the only option"),
        ("--layers 2 --minutes 1 --steps 2", "exclude each other"),
        ("--layers 2 --messages cousins", "invalid choice: 'cousins'"),
    ],
)
def test_errors(fitted, capsys, command, message):
    try:
        code = main(f"fit {fitted}/train.extxyz -o {fitted}/c.ace --no-figure {command}".split())
    except SystemExit as error:
        code = error.code
    assert code == 2 and message in capsys.readouterr().err
    assert not (fitted / "c.ace").exists()
