"""The command line with potentials of several densities: the same as in Python, again from the run file."""

import ase.io
import numpy as np
import pytest
from cases.emt import emt_structures

from acepure import EmbeddedACE
from acepure.cli import main
from acepure.fitting import label_structures
from acepure.models.embedding import SmoothRoot

SMALL = "--order 1 --totaldegree 4 --threads 1"


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A folder with structures and a model fitted by the command line."""
    folder = tmp_path_factory.mktemp("embedded")
    ase.io.write(folder / "train.extxyz", emt_structures(12))
    ase.io.write(folder / "test.extxyz", emt_structures(3, seed=1))
    command = f"fit {folder}/train.extxyz -o {folder}/a.ace --embedding smooth-root {SMALL}"
    assert main(command.split()) == 0
    return folder


def test_the_model_is_that_of_python_and_of_its_run_file(fitted, capsys):
    found = EmbeddedACE.load(fitted / "a.ace")
    assert found.embedding == SmoothRoot() and found.coefficients[1].any()
    assert (fitted / "a.png").read_bytes().startswith(b"\x89PNG")
    labeled = label_structures(ase.io.read(fitted / "train.extxyz", ":"))
    options = {"embedding": "smooth-root", "num_threads": 1, "progress": False, "verbose": False}
    basis = found.basis
    same = EmbeddedACE.fit(labeled, basis, **options)
    np.testing.assert_array_equal(same.coefficients, found.coefficients)
    assert 'embedding = "smooth-root"' in (fitted / "a.toml").read_text(encoding="utf-8")
    assert main(f"fit {fitted}/a.toml -o {fitted}/b.ace --no-figure --threads 1".split()) == 0
    np.testing.assert_array_equal(EmbeddedACE.load(fitted / "b.ace").coefficients, found.coefficients)


def test_evaluate_and_inspect(fitted, capsys):
    model = EmbeddedACE.load(fitted / "a.ace")
    output = fitted / "predicted.extxyz"
    options = f"-o {output} --figure {fitted}/e.png --uncertainty"
    assert main(f"evaluate {fitted}/a.ace {fitted}/test.extxyz {options}".split()) == 0
    structures = ase.io.read(output, ":")
    for atoms in structures:
        np.testing.assert_allclose(atoms.arrays["acepure_forces"], model.evaluate(atoms).forces, atol=1e-7)
        expected = model.uncertainty(atoms).forces
        np.testing.assert_allclose(atoms.arrays["acepure_forces_std"], expected, rtol=1e-6)
    assert str(model.errors(label_structures(ase.io.read(fitted / "test.extxyz", ":")), progress=False)) in (
        capsys.readouterr().out
    )
    assert main(f"inspect {fitted}/a.ace".split()) == 0
    out = capsys.readouterr().out
    assert "embedding     SmoothRoot(n_densities=2)" in out and "coefficients θ of ρ_2" in out


def test_explore(fitted, capsys):
    pytest.importorskip("chemiscope")
    assert main(f"explore {fitted}/test.extxyz --model {fitted}/a.ace -o {fitted}/map.html".split()) == 0
    assert "wrote" in capsys.readouterr().out and (fitted / "map.html").stat().st_size > 1e6


@pytest.mark.parametrize(
    "command, message",
    [
        ("fit {0}/train.extxyz -o {0}/c.ace --embedding even --solver cholesky", "solver must be one of"),
        ("fit {0}/train.extxyz -o {0}/c.ace --embedding even --target dipole", "--embedding is for potentials"),
        ("select {0}/test.extxyz --model {0}/a.ace -n 1 -o {0}/s.extxyz", "kind"),
        ("fit {0}/train.extxyz -o {0}/c.ace --embedding cubic", "invalid choice: 'cubic'"),
    ],
)
def test_errors(fitted, capsys, command, message):
    try:
        code = main(command.format(fitted).split())
    except SystemExit as error:
        code = error.code
    assert code == 2 and message in capsys.readouterr().err
    assert not (fitted / "c.ace").exists()
