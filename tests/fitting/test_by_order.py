"""Fits of some body orders: those that are given stay, labels less their terms decide the others."""

import json
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list

from acepure import ACEBasis, IdealGas, LinearACE
from acepure.fitting import SmoothnessPrior, label_structures
from acepure.fitting.design import Design
from acepure.fitting.weights import resolve_weights
from acepure.functions import RadialBasis
from acepure.models.repulsion import ZBLCore
from acepure.testing import assert_gradients

BASIS = ACEBasis(["Cu"], rcut=4.0, order=3, totaldegree=4)
ORDER = np.array([label.order for label in BASIS.labels])
QUIET = {"verbose": False, "progress": False}


def model_of(basis=BASIS, seed=0, E0=-1.5):
    rng = np.random.default_rng(seed)
    shape = (len(basis.species), len(basis))
    return LinearACE(basis, rng.normal(size=shape), E0s=dict.fromkeys(basis.species, E0))


def clusters(n_atoms, n, seed=0, symbols=("Cu",)):
    rng = np.random.default_rng(seed + n_atoms)
    return [
        Atoms([symbols[k % len(symbols)] for k in range(n_atoms)], 1.3 * rng.normal(size=(n_atoms, 3)))
        for _ in range(n)
    ]


def crystals(n=4):
    structures = [bulk("Cu", cubic=True) for _ in range(n)]
    for seed, atoms in enumerate(structures):
        atoms.rattle(0.2, seed=seed)
    return structures


def labeled(structures, model, noise=0.0):
    rng = np.random.default_rng(5)
    for atoms in structures:
        result = model.evaluate(atoms)
        atoms.info["energy"] = result.energy + noise * rng.normal()
        atoms.arrays["forces"] = result.forces + noise * rng.normal(size=(len(atoms), 3))
    return structures


def test_clusters_of_two_three_and_four_atoms_recover_a_model_order_by_order():
    target, model = model_of(), None
    for order in (1, 2, 3):
        data = labeled([Atoms("Cu"), *clusters(order + 1, 40)], target)
        before = model
        model = LinearACE.fit_orders(data, order, None if model else BASIS, given=model, solver="qr", **QUIET)
        if before is not None:
            np.testing.assert_array_equal(model.coefficients[:, ORDER < order], before.coefficients[:, ORDER < order])
        assert not model.coefficients[:, ORDER > order].any()
    scale = abs(target.coefficients).max()
    np.testing.assert_allclose(model.coefficients, target.coefficients, rtol=0, atol=1e-8 * scale)
    (atoms,) = crystals(1)
    np.testing.assert_allclose(model.evaluate(atoms).forces, target.evaluate(atoms).forces, rtol=0, atol=1e-6)


@dataclass(frozen=True)
class Tails(RadialBasis):
    """The two functions of distance of Stillinger and Weber (Phys. Rev. B 31, 5262 (1985)): ε R_1 of pairs, R_0."""

    def cutoff(self, center, neighbor):
        return 1.8 * 2.0951

    def evaluate(self, r, center, neighbor, n_radial):
        return self.evaluate_with_gradients(r, center, neighbor, n_radial)[0]

    def evaluate_with_gradients(self, r, center, neighbor, n_radial):
        x = np.asarray(r) / 2.0951
        y = np.where(x < 1.8, x - 1.8, -1e-3)  # the exponentials are 0 there
        tail, pair = np.exp(1.2 / y), np.exp(1.0 / y)
        front, slope = 7.049556277 * (0.6022245584 / x**4 - 1), -4 * 7.049556277 * 0.6022245584 / x**5
        slopes = np.stack([-1.2 / y**2 * tail, (slope - front / y**2) * pair], axis=1) / 2.0951
        return np.stack([tail, front * pair], axis=1)[:, :n_radial], slopes[:, :n_radial]


def stillinger_weber(atoms):
    """Pair and triple energy: sums over pairs, and over pairs of neighbors of each atom."""
    i, d, D = neighbor_list("idD", atoms, Tails().cutoff("Si", "Si"))
    tail, pair = Tails().evaluate(d, "Si", "Si", 2).T
    two, three = 2.1683 * pair.sum() / 2, 0.0
    for j, k in zip(*np.nonzero(np.triu(i[:, None] == i, 1))):
        three += 2.1683 * 21.0 * tail[j] * tail[k] * (D[j] @ D[k] / (d[j] * d[k]) + 1 / 3) ** 2
    return np.array([two, three])


def test_stillinger_weber_order_by_order_from_dimers_and_trimers():
    """It is a combination of few functions of order 1 and 2; crystals follow from the clusters, at round-off."""
    basis = ACEBasis(["Si"], radial=Tails(), order=2, n_max=[2, 1], l_max=[0, 2])
    model = None
    for order, number in ((1, 10), (2, 20)):
        data = clusters(order + 1, number, symbols=("Si",))
        for nearest, atoms in zip(np.linspace(1.9, 3.0, number), data):
            atoms.positions *= nearest / min(atoms.get_all_distances()[np.triu_indices(order + 1, 1)])
            atoms.info["energy"] = stillinger_weber(atoms).sum()
        start = basis if model is None else None
        model = LinearACE.fit_orders(data, order, start, given=model, E0s={"Si": 0.0}, solver="qr", **QUIET)
    crystal = bulk("Si", cubic=True)
    crystal.rattle(0.2, seed=0)
    expected = stillinger_weber(crystal)
    found = model.energies_by_order(crystal).sum(axis=1)
    np.testing.assert_allclose(found, [0, *expected], rtol=0, atol=1e-10 * abs(expected).max())


@pytest.mark.parametrize("orders", [2, (3,), (1, 3)])
@pytest.mark.parametrize("core", [None, ZBLCore(0.5, 1.5)], ids=["no core", "core"])
def test_rows_less_what_is_given_are_fitted(orders, core):
    """The same as dense ridge regression on all rows, with the columns of the orders alone."""
    start = LinearACE(BASIS, model_of(seed=3).coefficients, {"Cu": 2.0}, core=core)
    data = labeled([*crystals(3), *clusters(4, 5)], model_of(), noise=0.1)
    fit = LinearACE.fit_orders(
        data, orders, given=start, E0s={"Cu": -1.5}, solver="ridge", options={"alpha": 1e-6}, weights=(3, 1, 0), **QUIET
    )
    labels = label_structures(data)
    design = Design(BASIS, resolve_weights((3, 1, 0), labels.config_types), {"Cu": -1.5}, core)
    rows = np.vstack([design.rows(item) for item in labels])
    X, free = rows[:, 1:-1], np.isin(ORDER, orders)
    y = rows[:, -1] - X[:, ~free] @ start.coefficients[0, ~free]
    gamma = SmoothnessPrior().scales(BASIS)[free]
    scaled = X[:, free] / gamma
    lam = 1e-6 * np.linalg.norm(scaled, 2) ** 2
    tall, right = np.vstack([scaled, np.sqrt(lam) * np.eye(free.sum())]), np.append(y, np.zeros(free.sum()))
    expected = np.linalg.lstsq(tall, right)[0] / gamma
    np.testing.assert_allclose(fit.coefficients[0, free], expected, rtol=0, atol=1e-8 * abs(expected).max())
    np.testing.assert_array_equal(fit.coefficients[0, ~free], start.coefficients[0, ~free])
    assert fit.E0s == {"Cu": 2.0} and fit.core == core


def test_two_theories_in_one_model():
    """Pairs and triples from one theory, the rest from another with energies of atoms of its own."""
    basis = ACEBasis(["Cu", "Zr"], rcut=4.0, order=3, totaldegree=3)
    one, other = model_of(basis, 1, E0=-2.0), model_of(basis, 2, E0=-70.0)
    symbols = ("Cu", "Zr")
    free_atoms = [Atoms("Cu"), Atoms("Zr")]
    small = [*clusters(2, 40, 1, symbols), *clusters(3, 120, 1, symbols), *clusters(2, 30, 7, ("Cu",))]
    small += [*clusters(2, 30, 8, ("Zr",)), *clusters(3, 120, 9, ("Zr", "Cu")), *clusters(3, 60, 2, ("Zr",))]
    small += clusters(3, 60, 3)
    low = LinearACE.fit_orders(labeled([*free_atoms, *small], one), (1, 2), basis, solver="qr", **QUIET)
    large = crystals(6)
    for atoms in large:
        atoms.symbols[::2] = "Zr"
    prior = SmoothnessPrior(neighbors=0.0, centers=0.0)
    model = LinearACE.fit_orders(labeled(large, other), 3, given=low, E0s=other.E0s, prior=prior, **QUIET)
    for atom in free_atoms:
        assert model.evaluate(atom).energy == pytest.approx(-2.0, abs=1e-12)
    for atoms in small[::50]:
        assert model.evaluate(atoms).energy == pytest.approx(one.evaluate(atoms).energy, abs=1e-6)
    atoms = large[0]
    before = low.evaluate(atoms).energy - sum(low.E0s[s] for s in atoms.symbols) + len(atoms) * -70.0
    label = other.evaluate(atoms).energy
    after = model.evaluate(atoms).energy - len(atoms) * (-2.0 + 70.0)
    assert abs(after - label) < 0.2 * abs(before - label)
    assert_gradients(lambda a: model.evaluate(a).energy, lambda a: -model.evaluate(a).forces, atoms, directions=4)


def test_a_posterior_knows_that_given_orders_are_open():
    """∂u/∂θ of a linear solver is what fits with θ moved along the roots of its covariance give."""
    target = model_of()
    pair = LinearACE.fit_orders(
        labeled([Atoms("Cu"), *clusters(2, 6)], target, 0.05), 1, BASIS, E0s={"Cu": -1.5}, **QUIET
    )
    data = labeled([*crystals(3), *clusters(4, 5)], target, 0.1)

    def fit(start):
        return LinearACE.fit_orders(data, (2, 3), given=start, solver="ridge", options={"alpha": 1e-5}, **QUIET)

    model, n = fit(pair), pair.posterior.shape[2]
    assert model.posterior.shape == (1, len(BASIS), n + (ORDER > 1).sum())
    for m in range(n):
        moved = LinearACE(BASIS, pair.coefficients + pair.posterior[:, :, m], pair.E0s)
        expected = fit(moved).coefficients - model.coefficients
        np.testing.assert_allclose(
            model.posterior[:, :, m], expected, rtol=0, atol=1e-9 * abs(model.coefficients).max()
        )
    assert not model.posterior[:, ORDER == 1, n:].any()


@pytest.mark.parametrize("reference", [None, IdealGas(0.08)], ids=["canonical", "centered"])
@pytest.mark.parametrize("species", [("Cu",), ("Cu", "Zr")])
def test_covariance_of_orders(species, reference):
    """Energies are linear in θ: a root of the covariance of θ, taken as coefficients, has those of the orders."""
    basis = ACEBasis(list(species), rcut=4.0, order=2, totaldegree=3)
    basis = basis if reference is None else basis.centered(reference)
    root = np.random.default_rng(0).normal(size=(len(species), len(basis), 4))
    model = LinearACE(basis, np.zeros(root.shape[:2]), posterior=root)
    atoms = clusters(6, 1, symbols=species)[0]
    columns = [LinearACE(basis, root[:, :, m]).energies_by_order(atoms).sum(axis=1) for m in range(4)]
    expected = np.transpose(columns) @ np.array(columns)
    found = model.covariance_by_order(atoms)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * abs(expected).max())
    assert found.sum() == pytest.approx(model.energy_uncertainty(atoms) ** 2, rel=1e-9)


def test_priors_take_a_factor_for_each_order():
    factors = SmoothnessPrior("none", order=(1.0, 4.0, 0.5)).scales(BASIS)
    np.testing.assert_array_equal(factors, np.array([1.0, 4.0, 0.5])[ORDER - 1])
    with pytest.raises(ValueError, match="order must hold one factor for each of the 3 orders"):
        SmoothnessPrior(order=(1.0, 4.0)).scales(BASIS)


def test_models_of_orders_are_saved(tmp_path):
    pair = LinearACE.fit_orders(labeled([Atoms("Cu"), *clusters(2, 6)], model_of()), 1, BASIS, **QUIET)
    pair.save(tmp_path / "pair.ace")
    again = LinearACE.load(tmp_path / "pair.ace")
    np.testing.assert_array_equal(again.coefficients, pair.coefficients)
    assert "order 1" in again.report["summary"][0]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"orders": 4}, "orders must hold integers from 1 to the order of the basis, 3"),
        ({"orders": ()}, "orders must hold integers from 1"),
        ({"basis": BASIS.centered(IdealGas(0.08))}, "basis must be canonical and without reference"),
        ({"basis": ACEBasis(["Cu"], canonical=False)}, "basis must be canonical and without reference"),
        ({"basis": None}, "basis must be an ACEBasis, unless a model is given"),
        ({"given": model_of(), "core": "zbl"}, "core belongs to order 1 of the model that is given"),
        ({"given": model_of(), "basis": ACEBasis(["Cu"])}, "basis must be that of the model given"),
        ({"E0s": None}, "isolated"),
    ],
)
def test_wrong_arguments(change, message):
    arguments = {"orders": 1, "basis": BASIS, "E0s": {"Cu": 0.0}, **change}
    with pytest.raises(ValueError, match=message):
        LinearACE.fit_orders(labeled(clusters(2, 3), model_of()), **arguments, **QUIET)


def test_covariance_needs_canonical_functions():
    basis = ACEBasis(["Cu"], order=2, canonical=False)
    model = LinearACE(basis, np.zeros(len(basis)), posterior=np.zeros((1, len(basis), 1)))
    with pytest.raises(ValueError, match="self-interacting"):
        model.covariance_by_order(Atoms("Cu2", [[0, 0, 0], [0, 0, 2]]))


def test_a_fit_to_clusters_has_the_pair_term_of_an_electronic_structure_code():
    """Argon by GFN2-xTB: the explicit many-body expansion of 13 atoms, which was not in the data of the fit."""
    folder = Path(__file__).parents[2] / "benchmarks"
    frames = ase.io.read(folder / "body_orders_Ar.extxyz.xz", ":")
    atom, dimers = frames[0], [atoms for atoms in frames if len(atoms) == 2]
    basis = ACEBasis(["Ar"], rcut=8.0, order=1, totaldegree=12)
    model = LinearACE.fit_orders(dimers, 1, basis, E0s={"Ar": atom.get_potential_energy()}, **QUIET)
    found = json.loads((folder / "body_orders_cutouts.json").read_text(encoding="utf-8"))["Ar"]["energies"]
    crystal = bulk("Ar", a=5.25, cubic=True) * 4
    nearest = np.argsort(np.linalg.norm(crystal.positions - crystal.positions[128], axis=1), kind="stable")[:13]
    cluster = Atoms("Ar13", crystal.positions[nearest])
    assert model.energies_by_order(cluster)[1].sum() == pytest.approx(found[1], rel=0.01)
    assert model.evaluate(atom).energy == pytest.approx(found[0] / 13, abs=1e-6)
