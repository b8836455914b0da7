"""The command line: what is written, what is printed, and how it fails."""

import json
import warnings

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from cases.command_line import failure, run

import acepure
from acepure.cli import main
from acepure.config import configuration
from acepure.features.descriptors import ARRAY_NAME, INFO_NAME
from acepure.functions import (
    AgnesiTransform,
    CosineEnvelope,
    InverseTransform,
    LinearTransform,
    PolynomialEnvelope,
    PolynomialRadialBasis,
    PowerTransform,
)


@pytest.fixture
def structures(tmp_path, monkeypatch):
    """Two structures in `in.extxyz` of the working folder, as ASE reads them back."""
    monkeypatch.chdir(tmp_path)
    copper = bulk("Cu", cubic=True)
    copper.rattle(0.05, seed=0)
    ase.io.write("in.extxyz", [copper, bulk("Zr")])
    return ase.io.read("in.extxyz", ":")


def test_npz(structures, capsys, tmp_path):
    code, out, err = run("descriptors in.extxyz -o out.npz --rcut 4.5 --order 2 --totaldegree 6 --threads 1", capsys)
    assert (code, err) == (0, "")
    basis = acepure.ACEBasis(["Cu", "Zr"], rcut=4.5, order=2, totaldegree=6)
    with np.load("out.npz", allow_pickle=False) as file:
        stored = dict(file)
    assert sorted(stored) == ["basis", "descriptors", "labels", "offsets"]
    assert stored["offsets"].tolist() == [0, 4, 6]
    assert stored["descriptors"].dtype == np.float64
    for k, atoms in enumerate(structures):
        rows = stored["descriptors"][stored["offsets"][k] : stored["offsets"][k + 1]]
        np.testing.assert_array_equal(rows, basis.descriptors(atoms))
    assert stored["labels"].tolist() == [str(label) for label in basis.labels]
    assert acepure.ACEBasis.from_dict(json.loads(str(stored["basis"]))) == basis
    for text in (
        "2 structures",
        "6 atoms",
        f"{len(basis)} features",
        "µs per atom",
        "1 thread",
        "wrote   out.npz",
        "kB",
    ):
        assert text in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.extxyz", "out.npz"]


@pytest.mark.parametrize("name", ["out.extxyz", "out.xyz", "OUT.XYZ"])
def test_extxyz_is_read_back_by_ase(structures, capsys, name):
    code, _, _ = run(f"descriptors in.extxyz -o {name} --n-max 3 --l-max 2 --order 2 --self-interacting", capsys)
    assert code == 0
    basis = acepure.ACEBasis(["Cu", "Zr"], order=2, n_max=3, l_max=2, canonical=False)
    found = ase.io.read(name, ":", format="extxyz")
    assert len(found) == 2
    for atoms, original in zip(found, structures):
        # The format keeps 8 digits after the point.
        np.testing.assert_allclose(atoms.arrays[ARRAY_NAME], basis.descriptors(original), atol=0.51e-8, rtol=0)
        np.testing.assert_array_equal(atoms.positions, original.positions)
        assert acepure.ACEBasis.from_dict(json.loads(atoms.info[INFO_NAME])) == basis


def test_ending_may_be_in_capitals(structures, capsys, tmp_path):
    assert run("descriptors in.extxyz -o OUT.NPZ --order 1", capsys)[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["OUT.NPZ", "in.extxyz"]


def test_input_may_be_overwritten_by_output(structures, capsys):
    assert run("descriptors in.extxyz -o in.extxyz --order 1", capsys)[0] == 0
    assert [len(atoms) for atoms in ase.io.read("in.extxyz", ":")] == [4, 2]


@pytest.mark.parametrize("index, n_atoms", [("0", 4), ("-1", 2), ("::2", 4), (":", 6)])
def test_index(structures, capsys, index, n_atoms):
    assert run(f"descriptors in.extxyz -o out.npz --order 1 --index={index}", capsys)[0] == 0
    assert len(np.load("out.npz")["descriptors"]) == n_atoms


@pytest.mark.parametrize(
    "options, arguments",
    [
        ("--totaldegree 6,5", {"totaldegree": [6, 5]}),
        ("--totaldegree 6 5", {"totaldegree": [6, 5]}),
        ("--totaldegree 6 --order 2 --wL 1.5 --n-start 1", {"totaldegree": 6, "order": 2, "wL": 1.5, "n_start": 1}),
        ("--n-max 3,2 --l-max 0 2", {"n_max": [3, 2], "l_max": [0, 2]}),
        ("--n-functions 40 --order 2", {"n_functions": 40, "order": 2}),
        ("--nu-max 2 --cutoff 4 --nmax 3 --l_max 2", {"order": 2, "rcut": 4.0, "n_max": 3, "l_max": 2}),
        ("", {}),
        ("--transform Linear", {"radial": PolynomialRadialBasis(5.0, LinearTransform())}),
        ("--transform agnesi:r0=2.5,p=1,q=3", {"radial": PolynomialRadialBasis(5.0, AgnesiTransform(2.5, 1, 3))}),
        ("--transform power:exponent=3", {"radial": PolynomialRadialBasis(5.0, PowerTransform(3))}),
        ("--transform inverse --rcut 4", {"radial": PolynomialRadialBasis(4.0, InverseTransform())}),
        ("--envelope cosine", {"radial": PolynomialRadialBasis(5.0, envelope=CosineEnvelope())}),
        ("--envelope polynomial:exponent=4", {"radial": PolynomialRadialBasis(5.0, envelope=PolynomialEnvelope(4))}),
    ],
)
def test_options_mean_what_they_mean_in_python(structures, capsys, options, arguments):
    assert run(f"descriptors in.extxyz -o out.npz --species Zr Cu {options}", capsys)[0] == 0
    stored = json.loads(str(np.load("out.npz")["basis"]))
    assert acepure.ACEBasis.from_dict(stored) == acepure.ACEBasis(["Cu", "Zr"], **arguments)


@pytest.mark.parametrize("species", ["Cu Zr", "Cu,Zr"])
def test_basis_table(capsys, species):
    code, out, err = run(f"basis --species {species} --order 3 --totaldegree 6", capsys)
    assert (code, err) == (0, "")
    basis = acepure.ACEBasis(["Cu", "Zr"], order=3, totaldegree=6)
    operators = basis.operators("Cu")
    table = {" ".join(words[:-6]): words[-6:] for words in map(str.split, out.splitlines()) if len(words) >= 7}
    assert [int(table[f"ν = {nu}"][0]) for nu in (1, 2, 3)] == list(basis.specification.sizes)
    expected = [
        len(basis),
        len(operators.products),
        len(operators.extended_products),
        operators.symmetrization.nnz,
        operators.extended_symmetrization.nnz,
        operators.invariant_purification.nnz,
    ]
    assert [int(word.replace(",", "")) for word in table["all"]] == expected
    for k in range(6):
        assert sum(int(table[f"ν = {nu}"][k].replace(",", "")) for nu in (1, 2, 3)) == expected[k]
    assert "density" in out and "set up in" in out


def test_basis_table_by_order_against_a_count(capsys):
    """Orders of rows are read off the columns; here they are counted from the features."""
    _, out, _ = run("basis --species Cu --order 3 --totaldegree 8", capsys)
    basis = acepure.ACEBasis(["Cu"], order=3, totaldegree=8)
    operators = basis.operators("Cu")
    for nu, columns in enumerate(basis.order_slices.values(), 1):
        words = next(line for line in out.splitlines() if line.startswith(f"ν = {nu}")).split()[3:]
        assert int(words[0]) == columns.stop - columns.start
        assert int(words[3].replace(",", "")) == operators.symmetrization[columns].nnz
        assert int(words[5].replace(",", "")) == operators.invariant_purification[columns].nnz


def test_basis_table_without_purification(capsys):
    code, out, _ = run("basis --species Si --self-interacting --n-max 4 --l-max 6 --order 2", capsys)
    assert code == 0
    assert out.startswith("self-interacting, Si, rcut 5 Å, order 2, n_max 4, l_max 6")
    assert "P_B" not in out


@pytest.mark.filterwarnings("always::acepure.errors.LargeBasisWarning")
def test_many_functions_that_nobody_asked_for_are_told(capsys, monkeypatch):
    monkeypatch.setattr("acepure.features.descriptors._MANY", 20)
    sizes = acepure.ACEBasis(["Si"], n_max=2, l_max=2).specification.sizes
    _, _, err = run("basis --species Si --n-max 2 --l-max 2", capsys)
    assert f"warning: {sum(sizes):,} features of each atom" in err
    assert f"--order 2 has {sum(sizes[:2])} of them" in err
    assert run("basis --species Si --n-max 2 --l-max 2 --order 3", capsys)[2] == ""
    assert run("basis --species Si --n-functions 60", capsys)[2] == ""


def test_too_large_a_basis(capsys):
    line = failure("basis --species Cu Zr Al --order 5 --totaldegree 24", capsys)
    assert line.startswith("acepure: error: this specification has")
    assert "GiB" in line


@pytest.mark.parametrize(
    "options, message",
    [
        ("none.xyz -o out.npz", "cannot read 'none.xyz': there is no such file"),
        ("bad.xyz -o out.npz", "cannot read 'bad.xyz[0]': a number of atoms should stand where 'hello' stands"),
        ("in.extxyz -o out.txt", "must end in .npz, .zarr, .extxyz or .xyz"),
        ("none.xyz -o nowhere/out.npz", "error: -o: cannot write 'nowhere/out.npz': the folder"),
        ("none.xyz -o nowhere/out.zarr", "error: -o: cannot write 'nowhere/out.zarr': the folder 'nowhere'"),
        ("in.extxyz -o out.npz --jobs 2", "--jobs 2 is for files that end in .zarr"),
        ("in.extxyz -o out.npz --index 7", "holds no structure for index 7"),
        ("in.extxyz -o out.npz --index 7:", "holds no structure for index 7:"),
        ("in.extxyz -o out.npz --index first", 'index must be as in ASE, such as ":", "::10"'),
        ("in.extxyz -o out.npz --species Cu", "holds Zr, but the basis is for Cu"),
        ("in.extxyz -o out.npz --totaldegree 6 --n-functions 40", "in exactly one way"),
        ("in.extxyz -o out.npz --rcut -1", "rcut must be a finite number > 0; got -1.0"),
        ("in.extxyz -o out.npz --rcut five", "--rcut: invalid float value: 'five'"),
        ("in.extxyz -o out.npz --totaldegree 6,x", "'6,x' is not a number or a comma list"),
        ("--totaldegree 6 in.extxyz -o out.npz", "a file is named before such an option"),
        ("--species Cu in.extxyz -o out.npz", "'in.extxyz' is not a chemical symbol such as Cu; a file"),
        ("in.extxyz -o out.npz --transform agnsi", "'agnsi' is none of agnesi, inverse, linear, power"),
        ("in.extxyz -o out.npz --transform linear:p=1", "'p' is unknown; linear takes no parameters"),
        ("in.extxyz -o out.npz --transform agnesi:x=1", "'x' is unknown; agnesi takes r0, p, q"),
        ("in.extxyz -o out.npz --transform agnesi:p", "'agnesi:p': 'p' is not NAME=NUMBER such as p=1"),
        ("in.extxyz -o out.npz --transform agnesi:p=3,q=1", "q must not be smaller than p"),
        ("in.extxyz -o out.npz --envelope sharp", "'sharp' is none of cosine, polynomial, smooth"),
        ("in.extxyz -o out.npz --envelope smooth --rcut -1", "rcut must be a finite number > 0; got -1.0"),
        ("in.extxyz -o out.npz --threads 0", "--threads: '0' is not an integer >= 1"),
        ("in.extxyz -o out.npz --total 6", "unrecognized arguments: --total 6"),
        ("in.extxyz", "arguments are required: -o"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(structures, capsys, tmp_path, options, message):
    (tmp_path / "bad.xyz").write_text("hello\nworld\n")
    assert message in failure(f"descriptors {options}", capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.xyz", "in.extxyz"]


def test_failure_in_the_middle_keeps_the_old_file(structures, capsys, tmp_path):
    (tmp_path / "out.npz").write_text("old")
    atoms = structures[0]
    atoms.positions[1] = atoms.positions[0]
    ase.io.write("coincident.extxyz", atoms)
    assert "same place" in failure("descriptors coincident.extxyz -o out.npz --order 1", capsys)
    assert (tmp_path / "out.npz").read_text() == "old"


def test_unexpected_errors_keep_their_traceback(structures, monkeypatch):
    monkeypatch.setattr("acepure.cli.descriptors._write_npz", lambda *_: {}["a bug"])
    with pytest.raises(KeyError, match="a bug"):
        main(["descriptors", "in.extxyz", "-o", "out.npz", "--order", "1"])


def test_interrupt(structures, monkeypatch, capsys, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("acepure.cli.descriptors._write_npz", interrupt)
    assert run("descriptors in.extxyz -o out.npz --order 1", capsys)[0] == 130
    assert [path.name for path in tmp_path.iterdir()] == ["in.extxyz"]


def test_demo_looks_for_the_folder_first(capsys):
    assert "error: -o: cannot write 'nowhere/map.png': the folder" in failure("demo -o nowhere/map.png", capsys)


def test_demo_is_called_with_its_arguments(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    calls = []
    monkeypatch.setattr("acepure.cli.demo.run", lambda *arguments: calls.append(arguments))
    assert run("demo", capsys)[0] == run("demo -o map.pdf --threads 2", capsys)[0] == 0
    assert calls == [("acepure_demo.png", None), ("map.pdf", 2)]


def test_version_and_configuration(capsys):
    assert run("--version", capsys) == (0, f"acepure {acepure.__version__}\n", "")
    code, out, _ = run("show-config", capsys)
    assert code == 0
    assert [line.split(None, 1)[0] for line in out.splitlines()][:4] == ["acepure", "python", "platform", "numpy"]
    config = configuration()
    assert all(isinstance(value, str) for value in config.values())
    assert config["kernel"] in config["kernels available"].split(", ")
    assert all(value in out for value in config.values())


def test_wrong_environment_variable(capsys, monkeypatch):
    monkeypatch.setenv("ACEPURE_NUM_THREADS", "many")
    assert "ACEPURE_NUM_THREADS must be a positive integer; got 'many'" in failure("show-config", capsys)


@pytest.mark.parametrize("command", ["", "descriptors", "basis", "conditioning", "demo", "show-config"])
def test_help(capsys, command):
    code, out, _ = run(f"{command} --help", capsys)
    assert code == 0
    assert out.startswith(f"usage: acepure {command}".rstrip())
    assert "==SUPPRESS==" not in out and "--cutoff" not in out


def test_no_command_prints_the_help(capsys):
    code, out, err = run("", capsys)
    assert (code, out) == (2, "")
    assert "examples:" in err


@pytest.mark.parametrize("category, ending", [(UserWarning, ""), (RuntimeWarning, " (RuntimeWarning)")])
def test_warnings_do_not_say_where_in_the_code(monkeypatch, capsys, category, ending):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr("acepure.cli.show_config", lambda: warnings.warn("two\nlines", category, stacklevel=1))
        assert run("show-config", capsys) == (0, "", f"acepure: warning: two lines{ending}\n")
