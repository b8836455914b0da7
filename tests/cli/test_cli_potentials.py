"""`acepure fit` and `evaluate`: files and tables against the same steps in Python, and how they fail."""

import warnings

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress
from cases.command_line import failure, run
from cases.emt import emt_structures

import acepure.cli.fit
from acepure import ACEBasis, LinearACE
from acepure.cli import main
from acepure.errors import CalibrationWarning
from acepure.fitting import label_structures, resolve_weights
from acepure.functions import AgnesiTransform, PolynomialRadialBasis, SmoothEnvelope
from acepure.models.repulsion import ZBLCore

SMALL = "--order 2 --totaldegree 4 --threads 1"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def read(name):
    return ase.io.read(name, ":")


# --- fit ----------------------------------------------------------------------------------------------------------


def test_fit_is_the_fit_of_python(data, capsys, tmp_path):
    code, out, err = run(f"fit train.extxyz --test test.extxyz -o found.ace {SMALL}", capsys)
    assert (code, err) == (0, "")
    found = LinearACE.load("found.ace")
    np.testing.assert_array_equal(found.coefficients, data.coefficients)
    np.testing.assert_array_equal(found.posterior, data.posterior)
    assert (found.basis, found.E0s, found.shortest_distances) == (data.basis, data.E0s, data.shortest_distances)
    train, test = label_structures(read("train.extxyz")), label_structures(read("test.extxyz"))
    errors = [str(data.errors(labeled, progress=False)) for labeled in (train, test)]
    shown = [str(train), str(resolve_weights(None, train.config_types)), "design matrix:", data.report["summary"][1]]
    places = [out.index(text) for text in (*shown, *errors)]
    assert places == sorted(places)  # all are there, in this order
    assert all(f"{s} {E0:.6f}".split() in [line.split() for line in out.splitlines()] for s, E0 in data.E0s.items())
    assert found.report["errors, training"] == errors[0] and found.report["errors, test"] == errors[1]
    assert names(tmp_path) == ["found.ace", "found.png", "found.toml", "known.ace", "test.extxyz", "train.extxyz"]
    assert (tmp_path / "found.png").read_bytes().startswith(b"\x89PNG")


def test_fit_with_a_page(data, capsys, tmp_path):
    pytest.importorskip("chemiscope")
    code, out, _ = run(
        f"fit train.extxyz --test test.extxyz -o found.ace --no-figure --report map.html {SMALL}", capsys
    )
    assert code == 0 and "wrote   map.html" in out
    page = (tmp_path / "map.html").read_text(encoding="utf-8")
    assert "train.extxyz, test.extxyz" in page
    assert "--report" in failure(f"fit train.extxyz -o found.ace --report map.png {SMALL}", capsys)


def test_several_files_and_a_chosen_figure(data, capsys, tmp_path):
    train = read("train.extxyz")
    ase.io.write("a.extxyz", train[:7])
    ase.io.write("b.extxyz", train[7:])
    code, out, _ = run(f"fit a.extxyz b.extxyz -o found.ace --figure errors.pdf {SMALL}", capsys)
    assert code == 0 and "not fitted" not in out
    np.testing.assert_array_equal(LinearACE.load("found.ace").coefficients, data.coefficients)
    assert (tmp_path / "errors.pdf").read_bytes().startswith(b"%PDF")
    assert not (tmp_path / "found.png").exists()


def test_streamed_files_give_the_same_model(data, capsys, tmp_path):
    train = read("train.extxyz")
    ase.io.write("a.extxyz.xz", train[:7])
    ase.io.write("b.extxyz.gz", train[7:])
    options = f"--stream --no-figure -o s.ace {SMALL}"
    code, out, err = run(f"fit a.extxyz.xz b.extxyz.gz --test test.extxyz {options}", capsys)
    assert (code, err) == (0, "")
    found = LinearACE.load("s.ace")
    np.testing.assert_array_equal(found.coefficients, data.coefficients)
    assert found.report["errors, test"] in out
    train[3].calc.results["energy"] = [1.0, 2.0]
    ase.io.write("c.extxyz", train)
    assert "c.extxyz[3]: energy must be one number" in failure(f"fit c.extxyz {options}", capsys)


class Stopped(Exception):
    pass


@pytest.fixture
def arguments_of_fit(data, monkeypatch, capsys):
    """Run the command up to the fit; return what that is called with."""
    seen = {}

    def fit(structures, basis, **arguments):
        seen.update(arguments, structures=structures, basis=basis)
        raise Stopped

    def call(options):
        monkeypatch.setattr(LinearACE, "fit", fit)
        with pytest.raises(Stopped):
            main(f"fit train.extxyz -o found.ace {options}".split())
        return seen

    return call


@pytest.mark.parametrize(
    "options, name, value",
    [
        ("", "weights", None),
        ("--weights 10,2,0", "weights", {"default": [10, 2, 0]}),
        ("--weights 10,2,0 --weights alloy=1,1,1", "weights", {"default": [10, 2, 0], "alloy": [1, 1, 1]}),
        ("", "E0s", "auto"),
        ("--e0 isolated", "E0s", "isolated"),
        ("--e0 lstsq", "E0s", "lstsq"),
        ("--e0 0", "E0s", 0),
        ("--e0 Cu=-3.5,Ag=-2e0", "E0s", {"Cu": -3.5, "Ag": -2.0}),
        ("--solver ridge --solver-option alpha=1e-6", "solver", "ridge"),
        ("--solver ridge --solver-option alpha=1e-6", "options", {"alpha": 1e-6}),
        ("--prior exponential", "prior", "exponential"),
        ("--core 0.8,1.8", "core", ZBLCore(0.8, 1.8)),
        ("--core zbl", "core", "zbl"),
        ("--jobs 3", "workers", 3),
        ("--threads 2", "num_threads", 2),
    ],
)
def test_options_mean_what_they_mean_in_python(arguments_of_fit, options, name, value):
    assert arguments_of_fit(options)[name] == value


@pytest.mark.parametrize(
    "options, arguments",
    [
        (
            "--order 2 --wL 1.5 --n-start 1 --cutoff 4.5",
            {"n_functions": 500, "order": 2, "wL": 1.5, "n_start": 1, "rcut": 4.5},
        ),
        ("--totaldegree 6,4", {"totaldegree": [6, 4]}),
        (
            "--totaldegree 6 --rcut 4 --transform agnesi:p=1,q=3 --envelope smooth:exponent=2",
            {"totaldegree": 6, "radial": PolynomialRadialBasis(4.0, AgnesiTransform(p=1, q=3), SmoothEnvelope(2))},
        ),
        ("--n-max 3 --l-max 2 --order 2 --self-interacting", {"n_max": 3, "l_max": 2, "order": 2, "canonical": False}),
    ],
)
def test_the_basis(arguments_of_fit, options, arguments):
    assert arguments_of_fit(options)["basis"] == ACEBasis(["Cu", "Ag"], **arguments)
    assert arguments_of_fit(f"{options} --species Cu Ag Au")["basis"].species == ("Cu", "Ag", "Au")


def test_without_an_option_for_functions_they_are_chosen(arguments_of_fit):
    seen = arguments_of_fit("--size 40 --self-interacting --folds 3")
    assert [seen[name] for name in ("basis", "size", "canonical", "folds")] == [None, 40, False, 3]


def test_labels_can_be_named(arguments_of_fit):
    labels = [(item.energy, item.forces, item.virial) for item in label_structures(read("train.extxyz"))]
    structures = read("train.extxyz")
    for atoms, (energy, forces, virial) in zip(structures, labels):
        atoms.info |= {"dft_energy": energy + 1, "E": energy, "W": virial.ravel(), "group": "one"}
        atoms.arrays["F"] = forces
    ase.io.write("train.extxyz", structures)
    found = arguments_of_fit("--prefix dft")["structures"]
    assert found[0].energy == labels[0][0] + 1 and found[0].forces is None
    options = "--energy-key E --forces-key F --virial-key W --config-type-key group"
    found = arguments_of_fit(options)["structures"]
    np.testing.assert_allclose(found[3].energy, labels[3][0])
    np.testing.assert_allclose(found[3].virial, labels[3][2])
    assert found.config_types == ("one",)
    assert all(item.virial is None for item in arguments_of_fit("--energy-key E --no-virials")["structures"])


def test_the_model_is_written_before_the_figure(data, capsys, tmp_path, monkeypatch):
    def broken(*_):
        raise ValueError("no ink")

    monkeypatch.setattr(acepure.cli.fit, "_draw", broken)
    assert "no ink" in failure(f"fit train.extxyz -o found.ace {SMALL}", capsys)
    np.testing.assert_array_equal(LinearACE.load("found.ace").coefficients, data.coefficients)
    assert not (tmp_path / "found.png").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        ("none.extxyz -o a.ace", "cannot read 'none.extxyz': there is no such file"),
        ("train.extxyz", "-o/--output MODEL is needed"),
        ("train.extxyz -o train.extxyz", "would replace the structures in 'train.extxyz'"),
        ("train.extxyz --test train.extxyz -o a.ace", "'train.extxyz' is given twice"),
        ("train.extxyz -o a.png", "model and figure would both be 'a.png'"),
        ("train.extxyz -o a.ace --figure a.txt", "--figure a.txt: the name must end in one of"),
        ("train.extxyz -o a.ace --figure a.png --no-figure", "not allowed with argument"),
        ("none.extxyz -o nowhere/a.ace", "error: -o: cannot write 'nowhere/a.ace': the folder"),
        ("none.extxyz -o a.ace --figure nowhere/a.png", "error: --figure: cannot write 'nowhere/a.png': the folder"),
        ("train.extxyz -o a.ace --species Cu", "train.extxyz[1] holds Ag, but the basis is for Cu"),
        ("train.extxyz -o a.ace --test gold.extxyz", "gold.extxyz[0] holds Au"),
        ("train.extxyz -o a.ace --test bare.extxyz", "--test bare.extxyz: no structure has labels"),
        ("bare.extxyz -o a.ace", "info: none; arrays: none; calculator: none. Name them with --energy-key, ..."),
        (
            "two.extxyz -o a.ace",
            "choose with --prefix, or with --energy-key, --forces-key, --virial-key, --stress-key",
        ),
        ("train.extxyz nan.extxyz -o a.ace", "nan.extxyz[1]: energy must be finite"),
        ("train.extxyz -o a.ace --energy-key dft", "--energy-key 'dft' is in none of 16 structures"),
        ("train.extxyz -o a.ace --stress-key stress --no-virials", "--no-virials excludes"),
        ("train.extxyz -o a.ace --weights 1,1", 'weights["default"] must be three numbers'),
        ("train.extxyz -o a.ace --weights 1,one,1", "'1,one,1' is not E,F,V"),
        ("train.extxyz -o a.ace --weights liquid=1,1,1", "config_type 'liquid'; the data has crystal, alloy"),
        ("train.extxyz -o a.ace --e0 lsq", "'lsq' is none of isolated, lstsq, 0"),
        ("train.extxyz -o a.ace --e0 Cu=x", "'Cu=x' is none of isolated, lstsq, 0"),
        ("train.extxyz -o a.ace --e0 Cu=-3", "no reference energy for Ag: E0s has Cu"),
        ("train.extxyz -o a.ace --e0 isolated", "isolated atoms with energy of no species"),
        ("train.extxyz -o a.ace --core 1", "'1' is not INNER,OUTER"),
        ("train.extxyz -o a.ace --core 2,1", "outer must be > inner"),
        ("train.extxyz -o a.ace --core 1,9", "the core reaches 9 Å"),
        ("train.extxyz -o a.ace --solver best", "invalid choice: 'best'"),
        ("train.extxyz -o a.ace --solver-option alpha=1", "--solver-option alpha: solver auto takes no options"),
        ("train.extxyz -o a.ace --solver-option alpha", "'alpha' is not NAME=X"),
        ("train.extxyz -o a.ace --totaldegree 4 --n-functions 10", "in exactly one way"),
        ("train.extxyz -o a.ace --jobs 0", "--jobs: '0' is not an integer >= 1"),
    ],
)
def test_errors_of_fit_are_one_line_and_leave_nothing(data, capsys, tmp_path, options, message):
    ase.io.write("gold.extxyz", emt_structures(1, species=("Au", "Au")))
    ase.io.write("bare.extxyz", [Atoms("Cu"), Atoms("Ag")])
    two = Atoms("Cu", info={"dft_energy": 1.0, "model_energy": 2.0})
    ase.io.write("two.extxyz", two)
    bad = emt_structures(2)
    bad[1].calc.results["energy"] = np.nan
    ase.io.write("nan.extxyz", bad)
    before = names(tmp_path)
    assert message in failure(f"fit {options}", capsys)
    assert names(tmp_path) == before


def test_warnings_are_one_line(data, capsys):
    molecule = Atoms("CuAg", [[0, 0, 0], [0, 0, 2.4]])
    molecule.info |= {"energy": 1.0, "virial": np.eye(3).ravel()}
    ase.io.write("train.extxyz", [*read("train.extxyz"), molecule, molecule])
    before = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.filterwarnings("ignore", "Setting the shape", DeprecationWarning)  # ASE 3.29 with NumPy 2.5
        warnings.simplefilter("ignore", CalibrationWarning)
        code, _, err = run(f"fit train.extxyz -o a.ace --no-figure --e0 0 {SMALL}", capsys)
    assert code == 0
    (line,) = err.splitlines()
    assert line.startswith("acepure: warning: the virial or stress of a structure that is not periodic")
    assert warnings.showwarning is before


# --- evaluate -----------------------------------------------------------------------------------------------------


def test_evaluate_with_labels(data, capsys):
    code, out, err = run("evaluate known.ace test.extxyz -o out.extxyz --threads 1", capsys)
    assert (code, err) == (0, "")
    originals = read("test.extxyz")
    assert str(data.errors(originals, progress=False)) in out
    found = read("out.extxyz")
    assert len(found) == len(originals)
    for atoms, original in zip(found, originals):
        expected = data.evaluate(original)
        assert atoms.info["acepure_energy"] == expected.energy
        # The format keeps 8 digits of arrays after the point, all digits of numbers.
        np.testing.assert_allclose(atoms.arrays["acepure_forces"], expected.forces, atol=0.51e-8, rtol=0)
        np.testing.assert_array_equal(atoms.info["acepure_virial"], expected.virial.ravel())
        stress = voigt_6_to_full_3x3_stress(atoms.info["acepure_stress"])
        scale = np.abs(expected.virial).max()
        np.testing.assert_allclose(-stress * original.get_volume(), expected.virial, atol=1e-14 * scale)
        # What was there stays.
        assert atoms.get_potential_energy() == original.get_potential_energy()
        np.testing.assert_array_equal(atoms.get_forces(), original.get_forces())
        assert atoms.info["config_type"] == original.info["config_type"]
        assert not any(name.endswith("_std") for name in (*atoms.info, *atoms.arrays))


def test_predictions_are_no_labels_unless_named(data, capsys):
    assert run("evaluate known.ace test.extxyz -o test.extxyz", capsys)[0] == 0
    code, out, _ = run("evaluate known.ace test.extxyz -o again.extxyz", capsys)
    assert code == 0 and "energy (eV): energy, forces (eV/Å): forces, virial (eV): −V × stress (eV/Å³)" in out
    code, out, _ = run("evaluate known.ace test.extxyz --prefix acepure", capsys)
    assert code == 0
    table = out[out.index("energy RMSE") :].splitlines()
    row = next(line.split() for line in table if line.split()[:1] == ["all"])
    energy, forces = float(row[1]), float(row[3])
    assert energy < 1e-9 and forces < 1e-7  # digits of the file


def test_evaluate_with_uncertainty(data, capsys):
    command = "evaluate known.ace test.extxyz -o out.extxyz --uncertainty --figure errors.svg --index 1:3"
    code, out, _ = run(command, capsys)
    assert code == 0
    originals = read("test.extxyz")[1:3]
    errors = np.concatenate([data.evaluate(atoms).forces - atoms.get_forces() for atoms in originals])
    predicted = np.concatenate([data.uncertainty(atoms).forces for atoms in originals])
    ratio = np.sqrt(np.mean((errors / predicted[:, None]) ** 2))
    inside = np.mean(abs(errors) <= predicted[:, None])
    row = next(line.split() for line in out.splitlines() if line.split()[:2] == ["all", "forces"])
    assert row[2:5] == [str(errors.size), f"{ratio:.2f}", f"{inside:.2f}"]
    found = read("out.extxyz")
    assert len(found) == 2
    for atoms, original in zip(found, originals):
        expected = data.uncertainty(original)
        np.testing.assert_allclose(atoms.info["acepure_energy_std"], expected.energy, rtol=1e-12)
        np.testing.assert_allclose(atoms.arrays["acepure_forces_std"], expected.forces, atol=0.51e-8, rtol=0)
    with open("errors.svg", encoding="utf-8") as file:
        assert "predicted deviation" in file.read()


def test_evaluate_without_labels(data, capsys):
    molecule = Atoms("CuAg", [[0, 0, 0], [0, 0, 2.4]])
    ase.io.write("bare.extxyz", [molecule] * 22)
    code, out, err = run("evaluate known.ace bare.extxyz -o out.extxyz --no-virials", capsys)
    assert (code, err) == (0, "")
    assert "bare.extxyz has no labels: predictions only" in out and "RMSE" not in out
    expected = data.evaluate(molecule)
    row = next(line.split() for line in out.splitlines() if line.startswith("19 "))
    assert row[:2] == ["19", "AgCu"]
    largest = np.linalg.norm(expected.forces, axis=1).max()
    np.testing.assert_allclose([float(x) for x in row[2:]], [expected.energy, expected.energy / 2, largest], atol=1e-6)
    assert "... and 2 more structures" in out
    (atoms, *_) = read("out.extxyz")
    assert atoms.info["acepure_energy"] == expected.energy
    assert "acepure_stress" not in atoms.info and "acepure_virial" not in atoms.info


@pytest.mark.filterwarnings("always::acepure.errors.ExtrapolationWarning")
def test_evaluate_says_what_is_extrapolated(data, capsys):
    r = 0.9 * min(data.shortest_distances["Cu", "Ag"], data.shortest_distances["Ag", "Cu"])
    ase.io.write("near.extxyz", Atoms("CuAg", [[0, 0, 0], [0, 0, r]]))
    text = (
        f"near.extxyz[0]: a Cu-Ag pair is {r:.3f} Å apart (atoms 0 and 1), and the shortest in training is "
        f"{r / 0.9:.3f} Å: the energy is extrapolated\n"
    )
    code, _, err = run("evaluate known.ace near.extxyz", capsys)
    assert (code, err) == (0, f"acepure: warning: {text}")
    code, _, err = run("evaluate known.ace near.extxyz --strict", capsys)
    assert (code, err) == (2, f"acepure: error: {text}")
    ase.io.write("far.extxyz", Atoms("CuAg", [[0, 0, 0], [0, 0, r / 0.9]]))
    assert run("evaluate known.ace far.extxyz --strict", capsys)[::2] == (0, "")
    LinearACE(data.basis, data.coefficients, data.E0s, shortest={("Cu", "Cu"): 2.0}).save("copper.ace")
    _, _, err = run("evaluate copper.ace far.extxyz", capsys)
    assert "no such pair was in training" in err


@pytest.mark.parametrize(
    "options, message",
    [
        ("none.ace test.extxyz", "cannot read 'none.ace': there is no such file"),
        ("test.extxyz test.extxyz", "is no model file of acepure"),
        ("known.ace none.extxyz", "cannot read 'none.extxyz': there is no such file"),
        ("known.ace test.extxyz -o out.npz", "-o out.npz: the name must end in .extxyz or .xyz"),
        ("none.ace test.extxyz -o nowhere/out.xyz", "error: -o: cannot write 'nowhere/out.xyz': the folder"),
        ("none.ace test.extxyz --figure nowhere/a.png", "error: --figure: cannot write 'nowhere/a.png': the folder"),
        ("known.ace test.extxyz --figure out.txt", "--figure out.txt: the name must end in one of"),
        ("known.ace bare.extxyz --figure out.png", "--figure shows errors, but bare.extxyz has no labels"),
        ("known.ace gold.extxyz", "gold.extxyz[0] holds Au"),
        ("known.ace bare.extxyz --energy-key dft", "--energy-key 'dft' is in none of 1 structures"),
        ("known.ace bare.extxyz --prefix dft", "no labels found with prefix 'dft'"),
        ("sure.ace test.extxyz --uncertainty -o out.xyz", "--uncertainty: sure.ace has no posterior"),
        ("known.ace test.extxyz --index 7", "holds no structure for index 7"),
    ],
)
def test_errors_of_evaluate_are_one_line_and_leave_nothing(data, capsys, tmp_path, options, message):
    ase.io.write("gold.extxyz", emt_structures(1, species=("Au", "Au")))
    ase.io.write("bare.extxyz", Atoms("Cu"))
    LinearACE(data.basis, data.coefficients, data.E0s).save("sure.ace")
    before = names(tmp_path)
    assert message in failure(f"evaluate {options}", capsys)
    assert names(tmp_path) == before


def test_what_is_left_out_together_to_calibrate(data, capsys):
    more = emt_structures(16, seed=3)
    ase.io.write("more.extxyz", more)
    train = [*read("train.extxyz"), *read("more.extxyz")]
    for option, by in (("file", ["a"] * 16 + ["b"] * 16), ("structure", "structure"), ("none", None)):
        command = f"fit train.extxyz more.extxyz -o found.ace --no-figure --calibrate-by {option} {SMALL}"
        assert run(command, capsys)[::2] == (0, "")
        expected = LinearACE.fit(
            train,
            ACEBasis(["Cu", "Ag"], order=2, totaldegree=4),
            calibrate_by=by,
            num_threads=1,
            progress=False,
            verbose=False,
        )
        found = LinearACE.load("found.ace")
        assert (found.calibration is None) == (by is None)
        if by is not None:
            assert found.calibration == expected.calibration


@pytest.mark.parametrize("command", ["fit", "evaluate", "inspect"])
def test_help(capsys, command):
    code, out, _ = run(f"{command} --help", capsys)
    assert code == 0
    assert out.startswith(f"usage: acepure {command}")
    assert "==SUPPRESS==" not in out and "--cutoff" not in out
