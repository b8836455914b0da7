"""LayeredACE: the base and isolated atoms exact, derivatives, training, resuming, files that nobody has to trust."""

import json
import re

import numpy as np
import pytest
from ase import Atoms
from cases.emt import emt_structures

torch = pytest.importorskip("torch", reason="layers need PyTorch: pip install acepure[torch]")
from acepure import ACEBasis, LayeredACE, LinearACE  # noqa: E402
from acepure.errors import ModelFileError  # noqa: E402
from acepure.fitting import label_structures, resolve_weights  # noqa: E402
from acepure.layers.examples import Example, LabeledBatch, whitening_of  # noqa: E402
from acepure.layers.geometry import pairs_of, radial_values  # noqa: E402
from acepure.layers.network import Architecture, Network  # noqa: E402
from acepure.layers.training import ReadOut, Trainer, solved_read_out  # noqa: E402
from acepure.models.pair_potential import TabulatedPair  # noqa: E402
from acepure.models.repulsion import ZBLCore  # noqa: E402
from acepure.neighbors.environments import Environments  # noqa: E402

SPECIES = ("Cu", "Ag")
BASIS = ACEBasis(SPECIES, 4.5, 1, totaldegree=4)
SMALL = {"channels": 3, "l_max": 1, "n_radial": 4, "steps": 30, "verbose": False, "num_threads": 1, "progress": False}


def random_model(canonical="no-backtracking", n_layers=2, seed=0, scale=1.0, pair=True, core=None):
    rng = np.random.default_rng(seed)
    architecture = Architecture(n_layers, 3, 2, 3, 4, canonical, pair)
    arrays = architecture.random(2, 20.0, seed) | {"whitening": np.tile(np.eye(4), (4, 1, 1))}
    arrays = {name: a * scale if name[0] == "c" else a for name, a in arrays.items()}
    theta = 0.1 * rng.normal(size=(2, len(BASIS)))
    return LayeredACE(LinearACE(BASIS, theta, {"Cu": -0.5, "Ag": 0.3}, core=core), Network(architecture, 2, arrays))


def examples(model, structures):
    found, labeled = [], label_structures(structures)
    for item in labeled:
        environments = Environments(BASIS, item.atoms, num_threads=1)
        given = environments.species, environments.neighbors, BASIS.radial, SPECIES, model.network.arrays["whitening"]
        pairs = pairs_of(*given, model.network.architecture.l_max)
        found.append(Example.of(item, pairs, model.base.evaluate(item.atoms), resolve_weights()))
    return found


def test_isolated_atoms_and_the_base():
    model = random_model(core=ZBLCore(0.5, 1.2))
    assert model.evaluate(Atoms("Cu")).energy == -0.5 and model.evaluate(Atoms("Ag")).energy == 0.3
    silent, atoms = random_model(scale=0.0), emt_structures(1)[0]
    a, b = silent.evaluate(atoms), silent.base.evaluate(atoms)
    np.testing.assert_array_equal(a.forces, b.forces)
    assert a.energy == b.energy


def test_calculator_forces_and_stress_are_derivatives():
    model, h = random_model(core=ZBLCore(1.0, 2.8)), 1e-5
    atoms = emt_structures(2)[1]
    atoms.calc = model.calculator(warn=False)
    forces, stress = atoms.get_forces(), atoms.get_stress(voigt=False)
    rng = np.random.default_rng(3)
    motion, strain = rng.normal(size=(4, 3)), rng.normal(size=(3, 3))
    energies = []
    for sign in (1, -1):
        deform = np.eye(3) + sign * h * (strain + strain.T)
        moved = atoms.copy()
        moved.set_cell(atoms.cell @ deform)
        moved.positions = (atoms.positions + sign * h * motion) @ deform
        energies.append(model.evaluate(moved).energy)
    expected = (stress * (strain + strain.T)).sum() * atoms.get_volume() - (forces * motion).sum()
    assert (energies[0] - energies[1]) / (2 * h) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("switched_off", [torch.no_grad, torch.inference_mode])
def test_forces_where_gradients_are_switched_off(switched_off):
    model, atoms = random_model(), emt_structures(1)[0]
    expected = model.evaluate(atoms).forces
    with switched_off():
        np.testing.assert_array_equal(model.evaluate(atoms).forces, expected)


def test_neighbors_of_some_centers_are_refused():
    model, atoms = random_model(), emt_structures(1)[0]
    with pytest.raises(ValueError, match="all 4 atoms as centers"):
        model.evaluate(atoms, neighbors=BASIS.neighbor_list(atoms, indices=[0]))


# --- training ---------------------------------------------------------------------------------------------------------


def test_radial_functions_are_orthonormal_for_the_pairs():
    structures = [Environments(BASIS, atoms, num_threads=1) for atoms in emt_structures(6)]
    lists = [(found.species, found.neighbors) for found in structures]
    W = whitening_of(lists, BASIS.radial, SPECIES, 4)
    gram, n = np.zeros((4, 4)), 0
    for species, neighbors in lists:
        ends = np.repeat(species, np.diff(neighbors.offsets)), species[neighbors.neighbors]
        mine = (ends[0] == 0) & (ends[1] == 1)
        r = np.sqrt((neighbors.vectors**2).sum(1))[mine]
        g = radial_values(BASIS.radial, SPECIES, (ends[0][mine], ends[1][mine]), r, W)[0]
        gram, n = gram + g.T @ g, n + len(r)
    assert n > 10
    np.testing.assert_allclose(np.triu(W[1], 1), 0)
    inverse = np.linalg.inv(W[1])
    plain = inverse @ (gram / n) @ inverse.T  # Gram matrix of f T_n
    ridge = 1e-3 * np.trace(plain) / 4 * np.eye(4)
    np.testing.assert_allclose(W[1] @ (plain + ridge) @ W[1].T, np.eye(4) * 1.0, atol=2e-3)


@pytest.mark.parametrize("canonical", [False, "siblings", "no-backtracking"])
def test_the_gradient_of_the_loss_is_its_derivative(canonical):
    """Which also says that no derivative of positions is missing: forces and virials are in the loss."""
    model = random_model(canonical)
    trainer = Trainer(model.network, examples(model, emt_structures(3)), 0, "float64")
    flat = torch.tensor(trainer.start()["theta"]).requires_grad_()
    gradient = torch.autograd.grad(trainer.loss(flat, trainer.examples), flat)[0]
    direction, h = torch.randn(len(flat), generator=torch.Generator().manual_seed(0), dtype=torch.float64), 1e-6
    up, down = (trainer.loss(flat + sign * h * direction, trainer.examples) for sign in (1, -1))
    assert float((up - down).detach()) / (2 * h) == pytest.approx(float(gradient @ direction), rel=1e-6)


def test_the_loss_is_that_of_the_weights():
    """Σ (w_E²/N) (E − Ê)² + w_F² Σ (F − F̂)² + (w_V²/N) Σ (W − Ŵ)², by what the model evaluates."""
    model, structures = random_model(), emt_structures(3)
    found = examples(model, structures)
    trainer = Trainer(model.network, found, 0, "float64")
    flat = trainer.start()["theta"]
    trained = LayeredACE(model.base, Network(model.network.architecture, 2, trainer.arrays(flat)))
    expected = 0.0
    for atoms in structures:
        result, n = trained.evaluate(atoms), len(atoms)
        expected += 900 / n * (result.energy - atoms.get_potential_energy()) ** 2
        expected += np.sum((result.forces - atoms.get_forces()) ** 2)
        virial = -atoms.get_stress(voigt=False) * atoms.get_volume()
        expected += np.sum((result.virial - virial) ** 2) / n
    loss = float(trainer.loss(torch.tensor(flat).requires_grad_(), found).detach())
    assert loss == pytest.approx(expected / 3, rel=1e-10)


def test_the_read_out_is_a_least_squares_solution():
    """Rows are what c multiplies, so that labels of a model are found again."""
    model = random_model(scale=3.0)
    structures = emt_structures(8)
    found = examples(model, structures)
    rows = ReadOut(model.network).rows(found[1])
    c = np.array([model.network.arrays["c1"], model.network.arrays["c2"]]).ravel()
    batch = LabeledBatch(found[1:2], model.network, torch.float64)
    trainer = Trainer(model.network, found, 0, "float64")
    errors = batch.errors(*trainer.predicted(model.network.tensors(torch.float64), batch, False))
    expected = np.concatenate([e.detach().numpy().ravel() for e in errors])
    np.testing.assert_allclose(rows[:, :-1] @ c - rows[:, -1], expected, atol=1e-10 * abs(expected).max())
    solved = solved_read_out(model.network, found, progress=False)[0]
    X = np.vstack([ReadOut(model.network).rows(item) for item in found])
    best = np.array([solved.arrays["c1"], solved.arrays["c2"]]).ravel()
    least = np.linalg.lstsq(X[:, :-1], X[:, -1], rcond=None)
    squares = np.sum((X[:, :-1] @ best - X[:, -1]) ** 2)
    assert squares <= np.sum((X[:, :-1] @ c - X[:, -1]) ** 2) and squares < 1.05 * float(least[1][0])


def test_a_fit_gains_on_its_base_and_is_the_same_again(tmp_path):
    structures = emt_structures(10)
    model = LayeredACE.fit(structures, layers=2, base="pair", rcut=4.5, **SMALL)
    before, after = (m.errors(structures, progress=False).all("forces").rmse for m in (model.base, model))
    assert after < 0.8 * before
    again = LayeredACE.fit(structures, layers=2, base="pair", rcut=4.5, **SMALL)
    for name, array in model.network.arrays.items():
        np.testing.assert_array_equal(array, again.network.arrays[name])
    assert any("learning rate" in line for line in model.report["summary"])
    other = LayeredACE.fit(structures, layers=2, base="pair", rcut=4.5, seed=1, **SMALL)
    assert not np.array_equal(other.network.arrays["c1"], model.network.arrays["c1"])


def test_a_fit_that_was_stopped_goes_on(tmp_path, monkeypatch):
    structures = emt_structures(6)
    options = {"layers": 1, "base": None, "rcut": 4.5, **SMALL, "checkpoint": tmp_path / "progress"}
    whole = LayeredACE.fit(structures, **{**options, "checkpoint": None})
    stepped, calls = Trainer._stepped, []

    def stops(self, *arguments):
        calls.append(arguments)
        if len(calls) == 14:
            raise KeyboardInterrupt
        return stepped(self, *arguments)

    monkeypatch.setattr(Trainer, "_stepped", stops)
    with pytest.raises(KeyboardInterrupt):
        LayeredACE.fit(structures, **options)
    finished = LayeredACE.fit(structures, **options)
    assert len(calls) == 1 + 3 * 10 + 10  # the one that was stopped, of the trials, of training
    for name, array in whole.network.arrays.items():
        np.testing.assert_array_equal(array, finished.network.arrays[name])


def test_linear_bases_and_minutes():
    structures = emt_structures(6)
    basis = ACEBasis(SPECIES, 4.5, 2, totaldegree=4)
    options = {**SMALL, "steps": None, "minutes": 0.005, "dtype": "float64"}
    model = LayeredACE.fit(structures, basis, layers=1, E0s={"Cu": 0.1, "Ag": 0.2}, **options)
    assert model.evaluate(Atoms("Ag")).energy == pytest.approx(0.2, abs=1e-14) and model.base.coefficients.any()
    assert model.basis.radial.plain.cutoff("Cu", "Ag") == 4.5


# --- pair terms -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("canonical, n_layers", [("no-backtracking", 2), ("siblings", 1)])
def test_dimers_can_be_given(canonical, n_layers):
    model, r = random_model(canonical, n_layers, scale=5.0), np.linspace(0.8, 4.4, 7)
    assert abs(model.dimer("Cu", "Ag", r) - model.base.dimer("Cu", "Ag", r)).max() > 1e-3
    np.testing.assert_allclose(model.with_pair_term().dimer("Cu", "Ag", r), model.base.dimer("Cu", "Ag", r), atol=1e-13)
    grid = np.linspace(0.5, 4.5, 40)
    pair = TabulatedPair(grid, (4.5 - grid) ** 3)
    given = model.with_pair_term(pair)
    np.testing.assert_allclose(given.dimer("Ag", "Ag", r), pair.energy_and_slope(r, "Ag", "Ag")[0], atol=1e-12)
    # What is not a pair stays: three atoms less their pairs.
    trimer = Atoms("CuAg2", [[0, 0, 0], [2.4, 0, 0], [0, 2.5, 0.3]])

    def beyond_pairs(potential):
        pairs = sum(potential.evaluate(trimer[[a, b]]).energy for a, b in ((0, 1), (0, 2), (1, 2)))
        return potential.evaluate(trimer).energy - pairs

    assert beyond_pairs(given) == pytest.approx(beyond_pairs(model), abs=1e-11)


def test_dimers_at_once_are_those_one_by_one():
    model, r = random_model("siblings", core=ZBLCore(0.8, 1.6)), [0.9, 2.4, 4.6]
    found = model.dimer("Cu", "Ag", r)
    alone = [model.evaluate(Atoms("CuAg", [[0, 0, 0], [0, 0, d]])).energy - (-0.5 + 0.3) for d in r]
    np.testing.assert_allclose(found, alone, atol=1e-13)
    assert len(model.dimer("Cu", "Ag", [])) == 0
    with pytest.raises(ValueError, match="neighbor"):
        model.dimer("Cu", "Au", r)


def test_pair_terms_that_cannot_be_told_apart():
    with pytest.raises(ValueError, match="pair_term=False needs"):
        random_model("siblings").with_pair_term()
    model = random_model("siblings", 1)
    basis = ACEBasis(SPECIES, 4.5, 2, totaldegree=3)
    larger = LayeredACE(LinearACE(basis, np.zeros((2, len(basis)))), model.network)
    with pytest.raises(ValueError, match="pair terms alone"):
        larger.with_pair_term(ZBLCore(0.5, 1.0))


# --- files ------------------------------------------------------------------------------------------------------------


def test_files_are_exact(tmp_path):
    for number, model in enumerate((random_model(core=ZBLCore(0.5, 1.2)), random_model("siblings", 1, pair=False))):
        model.save(tmp_path / "a.ace")
        found = LayeredACE.load(tmp_path / "a.ace")
        atoms = emt_structures(2)[1]
        np.testing.assert_array_equal(found.evaluate(atoms).forces, model.evaluate(atoms).forces)
        assert repr(found) == repr(model) and ("1 layer" in repr(model)) == (number == 1)
        with pytest.raises(ModelFileError, match="kind"):
            LinearACE.load(tmp_path / "a.ace")
    with pytest.raises(FileNotFoundError):
        LayeredACE.load(tmp_path / "b.ace")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda e, a: e["network"].update(channels=4), "shape"),
        (lambda e, a: e["network"].update(n_layers=1), "needs layers=2"),
        (lambda e, a: e["network"].update(channels=10**9), "shape"),
        (lambda e, a: e["network"].update(canonical="yes"), "canonical"),
        (lambda e, a: e["network"].update(code="x"), "code"),
        (lambda e, a: a.pop("h0"), "arrays"),
        (lambda e, a: a.update(U=np.zeros((2, 3, 4))), "shape"),
    ],
)
def test_files_of_others(tmp_path, change, message):
    from acepure.models.files import LAYERED, read_model, write_model

    random_model().save(tmp_path / "a.ace")
    entries, arrays = read_model(tmp_path / "a.ace", LAYERED)
    change(entries, arrays)
    write_model(tmp_path / "a.ace", LAYERED, entries, arrays)
    with pytest.raises(ModelFileError, match=message):
        LayeredACE.load(tmp_path / "a.ace")


def test_exports_that_do_not_exist(tmp_path):
    with pytest.raises(ValueError, match="no place for layers"):
        random_model().export_yace(tmp_path / "a.yace")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"base": "cubic"}, "base must be"),
        ({"base": "pair", "basis": BASIS}, "basis is for base='linear'"),
        ({"rcut": 4.0}, "rcut is for bases other than"),
        ({"minutes": 1, "steps": 3}, "exclude each other"),
        ({"minutes": 0}, "minutes must be"),
        ({"steps": 0}, "steps must be"),
        ({"seed": -1}, "seed must be"),
        ({"dtype": "float16"}, "dtype must be"),
        ({"layers": 3}, "layers must be"),
        ({"solve": 1}, "solve"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        LayeredACE.fit(emt_structures(2), **arguments)
    with pytest.raises(ValueError, match="at least two"):
        LayeredACE.fit(emt_structures(1))


@pytest.mark.parametrize("base, network, error", [(None, None, TypeError), ("base", None, TypeError)])
def test_wrong_parts(base, network, error):
    model = random_model()
    with pytest.raises(error):
        LayeredACE(model.base if base else base, network)
    single = LinearACE(ACEBasis(["Cu"], 4.5, 1), np.zeros(len(ACEBasis(["Cu"], 4.5, 1))))
    with pytest.raises(ValueError, match="2 species"):
        LayeredACE(single, model.network)
    json.dumps(model.report)
