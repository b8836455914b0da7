"""`acepure predict`, `relax`, `md`, `export` and `physics` against the same in Python and against closed forms."""

import shutil
import subprocess

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from cases.command_line import failure, run
from cases.emt import emt_structures
from scipy.optimize import minimize_scalar

from acepure import ACEBasis, EmbeddedACE, LinearACE
from acepure.diagnostics import check_physics
from acepure.interfaces.yace import read_yace


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Models of copper and silver: one with a posterior, one without, one with embedded densities."""
    folder = tmp_path_factory.mktemp("engines")
    basis = ACEBasis(["Cu", "Ag"], order=2, totaldegree=3)
    model = LinearACE.fit(emt_structures(8), basis, num_threads=1, progress=False, verbose=False)
    model.save(folder / "a.ace")
    pair = ACEBasis(["Cu"], order=1, totaldegree=3)
    LinearACE.fit(emt_structures(5, species=["Cu"]), pair, verbose=False).save(folder / "pair.ace")
    known = {"core": model.core, "shortest": model.shortest_distances}
    LinearACE(basis, model.coefficients, model.E0s, **known).save(folder / "plain.ace")
    theta = np.stack([model.coefficients, 0.1 * model.coefficients])
    EmbeddedACE(basis, theta, "finnis-sinclair", model.E0s, **known).save(folder / "embedded.ace")
    ase.io.write(folder / "in.extxyz", [*emt_structures(3, seed=1), Atoms("CuAg", [[0, 0, 0], [0, 0, 2.6]])])
    return folder


@pytest.fixture(autouse=True)
def working_folder(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACEPURE_NUM_THREADS", "1")
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())


# --- predict ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, options", [("a", ""), ("a", " --uncertainty"), ("plain", ""), ("embedded", " --threads 1")]
)
def test_predictions(capsys, name, options):
    code, out, _ = run(f"predict {name}.ace in.extxyz -o out.extxyz{options}", capsys)
    assert code == 0 and "wrote   out.extxyz: 4 structures, 14 atoms" in out
    model = (EmbeddedACE if name == "embedded" else LinearACE).load(f"{name}.ace")
    found, given = ase.io.read("out.extxyz", ":"), ase.io.read("in.extxyz", ":")
    for atoms, original in zip(found, given, strict=True):
        expected = model.evaluate(original)
        assert atoms.get_potential_energy() == pytest.approx(expected.energy, abs=1e-8)
        np.testing.assert_allclose(atoms.get_forces(), expected.forces, rtol=0, atol=1e-8)
        if atoms.pbc.all():
            stress = -expected.virial / original.get_volume()
            np.testing.assert_allclose(atoms.get_stress(voigt=False), stress, rtol=0, atol=1e-8)
        else:
            assert "stress" not in atoms.calc.results
        assert ("acepure_energy_std" in atoms.info) == (name == "a")
        assert ("acepure_forces_std" in atoms.arrays) == bool("uncertainty" in options)
        if "uncertainty" in options:
            sigma = model.uncertainty(original)
            assert atoms.info["acepure_energy_std"] == pytest.approx(sigma.energy, rel=1e-8)
            np.testing.assert_allclose(atoms.arrays["acepure_forces_std"], sigma.forces, rtol=0, atol=1e-8)


def test_predictions_replace_results(capsys):
    """Values that a file has under the same names are not those of the potential."""
    atoms = bulk("Cu")
    atoms.info["energy"], atoms.info["REF_energy"] = 7.0, 8.0
    ase.io.write("other.json", atoms)
    ase.io.write("other.extxyz", atoms)
    energy = LinearACE.load("a.ace").evaluate(atoms).energy
    for name in ("other.json", "other.extxyz"):
        assert run(f"predict a.ace {name} -o out.xyz", capsys)[0] == 0
        assert ase.io.read("out.xyz", format="extxyz").get_potential_energy() == pytest.approx(energy, abs=1e-8)
    assert ase.io.read("out.xyz", format="extxyz").info["REF_energy"] == 8.0


@pytest.mark.parametrize(
    "command, message",
    [
        ("predict a.ace in.extxyz -o out.cif", "must end in .extxyz or .xyz"),
        ("predict plain.ace in.extxyz -o out.xyz --uncertainty", "plain.ace has no posterior"),
        ("predict no.ace in.extxyz -o out.xyz", "'no.ace': there is no such file"),
        ("predict a.ace iron.xyz -o out.xyz", "iron.xyz[0] holds Fe"),
        ("predict a.ace near.xyz -o out.xyz --strict", "Cu-Cu"),
        ("relax a.ace iron.xyz -o out.xyz", "iron.xyz[0] holds Fe"),
        ("relax a.ace in.extxyz -o out.xyz --cell", "pbc of in.extxyz[3]"),
        ("relax a.ace in.extxyz -o out.zzz", "-o out.zzz"),
        ("relax a.ace in.extxyz -o out.vasp", "holds one structure; 4"),
        ("relax a.ace in.extxyz -o out.xyz --fmax nan", "'nan' is not a finite number"),
        ("md a.ace in.extxyz -o out.xyz --index :", "means 4 structures"),
        ("md a.ace in.extxyz -o out.xyz --timestep 0", "--timestep must be > 0"),
        ("md a.ace in.extxyz -o out.xyz --temperature -1", "'-1' is not a finite number >= 0"),
        ("md a.ace in.extxyz -o out.cif", "must end in .extxyz, .xyz or .traj"),
        ("md a.ace iron.xyz -o out.xyz", "iron.xyz holds Fe"),
        ("export a.ace -o out.dat", "must end in .yace"),
        ("physics a.ace iron.xyz", "iron.xyz[0] holds Fe"),
    ],
)
def test_errors(capsys, tmp_path, command, message):
    ase.io.write("iron.xyz", Atoms("Fe"))
    ase.io.write("near.xyz", Atoms("Cu2", [[0, 0, 0], [0, 0, 1.0]]))
    assert message in failure(command, capsys)
    assert not list(tmp_path.glob("*out*"))


# --- relax ------------------------------------------------------------------------------------------------------------


def test_relaxed_cell_is_the_minimum_along_the_lattice_constant(capsys):
    model = LinearACE.load("a.ace")
    found = minimize_scalar(lambda a: model.evaluate(bulk("Cu", a=a)).energy, bounds=(3.4, 4.2), method="bounded")
    ase.io.write("start.cif", bulk("Cu", a=3.75))
    code, out, err = run("relax a.ace start.cif -o relaxed.traj --cell --fmax 1e-3", capsys)
    assert (code, err) == (0, "") and "yes" in out
    relaxed = ase.io.read("relaxed.traj")
    assert relaxed.get_volume() == pytest.approx(found.x**3 / 4, rel=1e-4)
    assert relaxed.get_potential_energy() == pytest.approx(found.fun, abs=1e-5)


@pytest.mark.parametrize("optimizer", ["lbfgs", "bfgs", "fire"])
def test_relaxed_structures(capsys, optimizer):
    given = ase.io.read("in.extxyz", ":3")
    code, out, _ = run(f"relax a.ace in.extxyz -o out.extxyz --index :3 --fmax 0.05 --optimizer {optimizer}", capsys)
    assert code == 0 and out.count("yes") == 3
    for atoms, original in zip(ase.io.read("out.extxyz", ":"), given, strict=True):
        assert np.linalg.norm(LinearACE.load("a.ace").evaluate(atoms).forces, axis=1).max() < 0.0501
        np.testing.assert_array_equal(atoms.cell, original.cell)


def test_too_few_steps_are_said(capsys):
    out = run("relax a.ace in.extxyz -o out.extxyz --index 0 --steps 1", capsys)[1]
    assert out.count(" no\n") == 1
    assert "1 structure is not relaxed after 1 step" in out


# --- md ---------------------------------------------------------------------------------------------------------------


def test_verlet(capsys):
    """r(t + dt) by the textbook, from velocities in the file."""
    model, atoms = LinearACE.load("plain.ace"), emt_structures(1, seed=2)[0]
    atoms.calc = None
    atoms.set_momenta(np.random.default_rng(0).standard_normal((4, 3)))
    ase.io.write("start.traj", atoms)
    code, out, _ = run("md plain.ace start.traj -o run.traj --friction 0 --timestep 2 --steps 6 --interval 3", capsys)
    assert code == 0 and "velocities of start.traj" in out and "3 frames" in out
    r, v, m, dt = atoms.positions.copy(), atoms.get_velocities(), atoms.get_masses()[:, None], 2 * units.fs
    frames = [r]
    for _ in range(6):
        v = v + 0.5 * dt * model.evaluate(Atoms(atoms.symbols, r, cell=atoms.cell, pbc=True)).forces / m
        r = r + dt * v
        v = v + 0.5 * dt * model.evaluate(Atoms(atoms.symbols, r, cell=atoms.cell, pbc=True)).forces / m
        frames.append(r)
    found = ase.io.read("run.traj", ":")
    np.testing.assert_allclose([x.positions for x in found], frames[::3], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found[-1].get_velocities(), v, rtol=0, atol=1e-9)
    energy = model.evaluate(Atoms(atoms.symbols, r, cell=atoms.cell, pbc=True)).energy
    assert found[-1].get_potential_energy() == pytest.approx(energy, abs=1e-9)


def test_friction(capsys):
    """An atom alone at 0 K slows down as exp(−γt)."""
    atoms = Atoms("Cu", [[0, 0, 0]], momenta=[[3.0, 0, 0]])
    ase.io.write("start.traj", atoms)
    command = "md a.ace start.traj -o run.traj --temperature 0 --friction 5 --timestep 1 --steps 100 --interval 50"
    assert run(command, capsys)[0] == 0
    momenta = [x.get_momenta()[0, 0] for x in ase.io.read("run.traj", ":")]
    np.testing.assert_allclose(momenta, 3 * np.exp(-5e-3 * np.array([0, 50, 100])), rtol=1e-4)


def test_frames_in_extended_xyz_go_on(capsys):
    ase.io.write("start.extxyz", bulk("Cu", a=3.7, cubic=True))
    for seed in (1, 1, 2):
        command = f"md embedded.ace start.extxyz -o run{seed}.extxyz --steps 4 --interval 2 --seed {seed}"
        code, out, _ = run(command, capsys)
        assert code == 0 and "velocities drawn at 300 K" in out and "Etot" in out
    a, b = (ase.io.read(f"run{seed}.extxyz", ":") for seed in (1, 2))
    assert len(a) == 3 and a[0].get_momenta().any() and a[0].get_stress().any()
    assert not np.allclose(a[-1].positions, b[-1].positions)
    code, out, _ = run("md embedded.ace run1.extxyz -o more.xyz --steps 2 --friction 0", capsys)
    assert code == 0 and "velocities of run1.extxyz" in out
    more = ase.io.read("more.xyz", 0, format="extxyz")
    np.testing.assert_array_equal(more.positions, a[-1].positions)


# --- export and physics -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "embedded"])
def test_exported_file(capsys, tmp_path, name):
    code, out, err = run(f"export {name}.ace -o m.yace", capsys)
    assert (code, err) == (0, "") and "pair_style" in out and "m.core.table" in out
    assert (tmp_path / "m.core.table").exists()
    model, atoms = (EmbeddedACE if name == "embedded" else LinearACE).load(f"{name}.ace"), bulk("Cu", a=3.7)
    expected = model.evaluate(atoms).energy  # no distance reaches the core
    assert read_yace("m.yace").evaluate(atoms).energy == pytest.approx(expected, abs=1e-5)


def test_core_table_elsewhere(capsys, tmp_path):
    assert run("export plain.ace -o n.yace --core-table elsewhere.table", capsys)[0] == 0
    assert (tmp_path / "elsewhere.table").exists() and not (tmp_path / "n.core.table").exists()


def test_physics(capsys):
    model = LinearACE.load("pair.ace")
    ase.io.write("crystals.extxyz", bulk("Cu", a=3.7))
    code, out, err = run("physics pair.ace crystals.extxyz", capsys)
    assert (code, err) == (0, "")
    found = minimize_scalar(lambda a: model.evaluate(bulk("Cu", a=a)).energy, bounds=(3.4, 4.2), method="bounded")
    header, row = (line.split("  ") for line in out.splitlines() if line.startswith(("crystal", "Cu ")))
    volume, vacancy = ([x for x in row if x][k] for k in (1, -1))
    assert header[0] == "crystal" and header[-1] == "vacancy (eV)" and float(vacancy) > 0
    assert float(volume) == pytest.approx(found.x**3 / 4, rel=1e-3)
    code, out, _ = run("physics pair.ace", capsys)
    assert code == 0 and str(check_physics(model)) in out and "none of" not in out
    ase.io.write("molecule.xyz", Atoms("Cu2", [[0, 0, 0], [0, 0, 2.5]]))
    assert "none of the structures is a crystal" in run("physics pair.ace molecule.xyz", capsys)[1]


def test_physics_of_an_embedded_potential(capsys):
    pair = LinearACE.load("pair.ace")
    theta = np.stack([pair.coefficients, 0.02 * pair.coefficients])
    model = EmbeddedACE(pair.basis, theta, "smooth-root", pair.E0s, core=pair.core, shortest=pair.shortest_distances)
    model.save("dense.ace")
    ase.io.write("crystals.extxyz", bulk("Cu", a=3.7))
    code, out, err = run("physics dense.ace crystals.extxyz", capsys)
    assert (code, err) == (0, "")
    found = minimize_scalar(lambda a: model.evaluate(bulk("Cu", a=a)).energy, bounds=(3.4, 4.2), method="bounded")
    row = next(line for line in out.splitlines() if line.startswith("Cu "))
    assert float(row.split()[1]) == pytest.approx(found.x**3 / 4, rel=1e-3)


# --- help -------------------------------------------------------------------------------------------------------------


def test_help_is_a_table_of_contents(capsys):
    code, out, _ = run("--help", capsys)
    assert code == 0
    lines = out.splitlines()
    titles = ["begin:", "fit a potential:", "check it:", "use it:", "improve it:", "compute features:"]
    places = [lines.index(title) for title in titles]
    assert places == sorted(places)
    use = lines[places[3] + 1 : places[4] - 1]
    assert [line.split()[0] for line in use] == ["predict", "relax", "md", "export", "lammps"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion(capsys, tmp_path):
    pytest.importorskip("shtab")
    code, script, _ = run("--print-completion bash", capsys)
    assert code == 0
    (tmp_path / "completion.sh").write_text(script, encoding="utf-8")

    def completed(*words):
        """What bash offers for the last word."""
        array = " ".join(f"'{word}'" for word in words)
        lines = f"source completion.sh; COMP_WORDS=({array}); COMP_CWORD={len(words) - 1}; $(complete -p acepure |"
        lines += " sed 's/.*-F \\([^ ]*\\).*/\\1/'); echo ${COMPREPLY[@]}"
        done = subprocess.run(["bash", "-c", lines], cwd=tmp_path, capture_output=True, text=True, check=True)
        return set(done.stdout.split())

    assert completed("acepure", "ex") == {"explore", "export"}
    assert "--totaldegree" in completed("acepure", "fit", "--to")
    assert {"qr", "cholesky"} <= completed("acepure", "fit", "--solver", "")


def test_completion_without_shtab(capsys, monkeypatch):
    monkeypatch.setattr("acepure.cli.find_spec", lambda name: None)
    assert 'pip install "acepure[completion]"' in failure("--print-completion zsh", capsys)
