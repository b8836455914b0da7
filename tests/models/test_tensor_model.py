"""Models of vectors and tensors: closed forms fitted to round-off, rotations, derivatives, refusals."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from oracles.structures import position_differences, random_environment, random_orthogonal

from acepure import ACEBasis, LinearACE, StructureFiles, TensorModel
from acepure.errors import ModelFileError
from acepure.fitting.tensors import with_irrep
from acepure.functions import LinearTransform, PolynomialEnvelope, PolynomialRadialBasis
from acepure.models.files import TENSOR, model_kind, read_model, write_model

QUIET = {"calibrate_by": None}
RCUT = 5.0
#: f(r) = (1 − r/rcut)² times polynomials of r
RADIAL = PolynomialRadialBasis(RCUT, LinearTransform(), PolynomialEnvelope(2))
BASIS = ACEBasis(["Cu", "Zr"], radial=RADIAL, order=1, n_max=5, l_max=2)


def structures(n=12, seed=0):
    rng = np.random.default_rng(seed)
    result = []
    for _ in range(n):
        atoms = Atoms(["Cu", *rng.choice(["Cu", "Zr"], 5)], [(0, 0, 0), *random_environment(rng, 5, 4.0)])
        atoms.info["mu"], atoms.info["alpha"] = bond_dipole(atoms), bond_polarizability(atoms)
        result.append(atoms)
    return result


def bonds(atoms):
    for i, j in np.argwhere(~np.eye(len(atoms), dtype=bool)):
        d = atoms.positions[j] - atoms.positions[i]
        r = np.linalg.norm(d)
        if r < RCUT:
            x = 2 * r / RCUT - 1
            yield atoms.symbols[i], atoms.symbols[j], d / r, (1 - r / RCUT) ** 2 * np.array([1, x, 2 * x * x - 1])


def bond_dipole(atoms):
    """Σ_ij q_ab(r_ij) r̂_ij, of charges that depend on the species and the distance."""
    return sum(
        (((0.3, -0.2, 0.1) if a == "Cu" else (-0.1, 0.7, 0.2)) @ f) * (1 if b == "Cu" else -2) * u
        for a, b, u, f in bonds(atoms)
    )


def bond_polarizability(atoms):
    """Σ_ij α(r_ij) (3 r̂ r̂ − 1) + isotropic terms of atoms and bonds."""
    counts = 1.5 * (atoms.symbols == "Cu").sum() + 2.5 * (atoms.symbols == "Zr").sum()
    return counts * np.eye(3) + sum(
        (f @ (0.4, 0.1, -0.3)) * (3 * np.outer(u, u) - np.eye(3)) + (f @ (0.2, 0.0, 0.6)) * np.eye(3)
        for a, b, u, f in bonds(atoms)
    )


TRAIN, TEST = structures(40), structures(5, seed=1)


@pytest.mark.parametrize("target, rank", [("mu", "vector"), ("alpha", "symmetric"), ("alpha", "matrix")])
def test_closed_forms_are_fitted_to_round_off(target, rank):
    basis = BASIS if rank != "matrix" else ACEBasis(["Cu", "Zr"], radial=RADIAL, order=2, n_max=[5, 1], l_max=[2, 1])
    model = TensorModel.fit(TRAIN, basis, target=target, rank=rank, solver="qr", prior=None)
    for atoms in TEST:
        expected = atoms.info[target]
        np.testing.assert_allclose(model.predict(atoms).total, expected, atol=1e-10 * abs(expected).max())
    errors = model.errors(TEST, target)
    assert all(errors.rmse[irrep] < 1e-9 for irrep in errors.rmse) and "RMSE" in str(errors)


@pytest.mark.parametrize("rank, target", [("vector", "mu"), ("symmetric", "alpha")])
def test_predictions_turn_and_have_exact_derivatives(rank, target):
    basis = ACEBasis(["Cu", "Zr"], radial=RADIAL, order=2, totaldegree=3)
    model = TensorModel.fit(TRAIN, basis, target=target, rank=rank)
    atoms, Q = TEST[0].copy(), random_orthogonal(np.random.default_rng(4), True)
    total = model.predict(atoms).total
    derivatives = model.derivatives(atoms)
    differences = position_differences(lambda structure: model.predict(structure).total, atoms)
    assert derivatives.shape == (len(atoms), 3, *total.shape)
    np.testing.assert_allclose(derivatives, differences, rtol=0, atol=1e-11 * abs(differences).max())
    np.testing.assert_allclose(derivatives.sum(axis=0), 0, atol=1e-12 * abs(derivatives).max())
    atoms.positions = atoms.positions @ Q.T
    turned = Q @ total if rank == "vector" else Q @ total @ Q.T
    np.testing.assert_allclose(model.predict(atoms).total, turned, rtol=0, atol=1e-12 * abs(total).max())


def test_fit_does_not_depend_on_orientation():
    rng = np.random.default_rng(2)
    turned = []
    for atoms in TRAIN[:20]:
        Q = random_orthogonal(rng)
        turned.append(Atoms(atoms.symbols, atoms.positions @ Q.T, info={"mu": Q @ atoms.info["mu"]}))
    basis = ACEBasis(["Cu", "Zr"], radial=RADIAL, order=2, totaldegree=2)
    first, second = (TensorModel.fit(s, basis, target="mu", solver="ridge") for s in (TRAIN[:20], turned))
    total = first.predict(TEST[0]).total
    np.testing.assert_allclose(second.predict(TEST[0]).total, total, rtol=0, atol=1e-6 * abs(total).max())


def test_targets_of_atoms_and_of_calculators():
    labeled = []
    for atoms in TRAIN[:25]:
        atoms = Atoms(atoms.symbols, atoms.positions)
        pairs = [(i, j) for i in range(len(atoms)) for j in range(len(atoms)) if i != j]
        field = np.zeros((len(atoms), 3))
        for i, j in pairs:
            d = atoms.positions[j] - atoms.positions[i]
            field[i] += max(0.0, 1 - np.linalg.norm(d) / RCUT) ** 2 * d / np.linalg.norm(d)
        atoms.arrays["field"] = field
        atoms.calc = SinglePointCalculator(atoms, dipole=field.sum(axis=0))
        labeled.append(atoms)
    model = TensorModel.fit(labeled[:20], BASIS, target="field", per="atom", solver="qr", prior=None)
    np.testing.assert_allclose(model.predict(labeled[-1]).atoms, labeled[-1].arrays["field"], atol=1e-11)
    of_sum = TensorModel.fit(labeled[:20], BASIS, target="dipole", solver="svd", prior=None)
    assert of_sum.errors(labeled[20:], "dipole").rmse["1o"] == pytest.approx(0, abs=1e-6)
    for atoms in TRAIN:
        atoms.info["trace"] = float(np.trace(atoms.info["alpha"]))
    scalar = TensorModel.fit(TRAIN, BASIS, target="trace", rank="scalar", solver="qr", prior=None)
    assert scalar.predict(TEST[0]).total == pytest.approx(np.trace(TEST[0].info["alpha"]), rel=1e-9)
    assert scalar.predict(TEST[0]).total.shape == ()


def test_refusals():
    periodic = TRAIN[0].copy()
    periodic.set_cell(np.eye(3) * 20)
    periodic.pbc = True
    charged = TRAIN[0].copy()
    charged.info["charge"] = 1
    charged.arrays["born"] = np.tile(np.eye(3).ravel(), (len(charged), 1))
    cases = [
        ([periodic], {"target": "mu"}, "periodic"),
        (TRAIN[:2], {"target": "nu"}, "has no 'nu'"),
        (TRAIN[:2], {"target": "alpha"}, "must have the shape"),
        (TRAIN[:2], {"target": "mu", "rank": "spinor"}, "rank"),
        (TRAIN[:2], {"target": "mu", "per": "bond"}, "per"),
        (TRAIN[:2], {"target": "mu", "solver": "magic"}, "solver"),
        ([Atoms("Ni", info={"mu": [0.0, 0.0, 0.0]})], {"target": "mu"}, "Ni"),
        ([charged], {"target": "mu"}, "charge 1"),
        ([charged], {"target": "mu", "derivatives": "born"}, "sum to zero"),
        (TRAIN[:2], {"target": "mu", "per": "atom", "derivatives": "born"}, "derivatives"),
        (TRAIN[:2], {"target": "mu", "weights": {"liquid": 1}}, "liquid"),
        (TRAIN[:2], {"target": "mu", "weights": (1, 2, 3)}, "two for values"),
        (TRAIN[:2], {"target": "mu", "weights": 0}, "all 0"),
        (TRAIN[:2], {"target": "mu", "calibrate_by": "run"}, "run"),
    ]
    for given, arguments, words in cases:
        with pytest.raises(ValueError, match=words):
            TensorModel.fit(given, BASIS, origin="center" if "derivatives" in arguments else None, **arguments)
    assert TensorModel.fit([charged], BASIS, target="mu", origin="center of mass", calibrate_by=None).origin
    with pytest.raises(ValueError, match="one each of 0e, 2e"):
        TensorModel([BASIS], [np.zeros((2, len(BASIS)))], "symmetric")
    with pytest.raises(ValueError, match="constants"):
        vector = with_irrep(BASIS, "1o")
        TensorModel([vector], [np.zeros((2, len(vector)))], "vector", constants=[1.0, 1.0])


# --- rows ---------------------------------------------------------------------------------------------------------


def test_a_fit_is_weighted_least_squares():
    structures = [atoms.copy() for atoms in TRAIN[:14]]
    rng = np.random.default_rng(5)
    for k, atoms in enumerate(structures):
        atoms.info["config_type"] = "a" if k % 2 else "b"
        atoms.info["mu"] = atoms.info["mu"] + rng.normal(size=3)
    basis = ACEBasis(["Cu", "Zr"], radial=RADIAL, order=1, n_max=2, l_max=1)
    given = {"target": "mu", "solver": "qr", "prior": None, **QUIET}
    model = TensorModel.fit(structures, basis, weights={"a": 3}, **given)
    basis, rows, right = with_irrep(basis, "1o"), [], []
    for atoms in structures:
        species, features = basis.species_indices(atoms), basis.descriptors(atoms)
        weight = (3 if atoms.info["config_type"] == "a" else 1) / np.sqrt(len(atoms))
        rows.append(weight * np.concatenate([features[species == z].sum(axis=0) for z in range(2)]).T)
        right.append(weight * atoms.info["mu"][[1, 2, 0]])
    expected = np.linalg.lstsq(np.concatenate(rows), np.concatenate(right), rcond=None)[0]
    np.testing.assert_allclose(model.coefficients[0].ravel(), expected, rtol=0, atol=1e-9)


def with_born_charges(structures, periodic):
    result = []
    for atoms in structures:
        atoms = Atoms(atoms.symbols, atoms.positions, info=dict(atoms.info))
        charges = position_differences(bond_dipole, atoms)
        atoms.arrays["born"] = charges.reshape(len(atoms), 9)
        if periodic:
            del atoms.info["mu"]
            atoms.set_cell(np.eye(3) * 60)
            atoms.pbc = True
        result.append(atoms)
    return result


@pytest.mark.parametrize("periodic", [False, True])
def test_born_charges_are_fitted_and_predicted(periodic):
    structures = with_born_charges(TRAIN[:12], periodic)
    given = {"target": "mu", "derivatives": "born", "solver": "svd", "prior": None, **QUIET}
    model = TensorModel.fit(structures, BASIS, **given)
    expected = position_differences(bond_dipole, TEST[0])
    np.testing.assert_allclose(model.derivatives(TEST[0]), expected, rtol=0, atol=1e-5 * abs(expected).max())
    errors = model.errors(structures, derivatives="born")
    assert set(errors.groups["default"]) == ({"derivatives"} if periodic else {"values", "derivatives"})
    assert errors.of_irrep("1o", "derivatives").rmse < 1e-5 and "derivatives, per Å, 1o" in str(errors)
    if not periodic:  # their weight counts
        for atoms in structures:
            atoms.info["mu"] = 2 * atoms.info["mu"]
        for weights, factor in (((1, 0), 2), ((0, 1), 1)):
            found = TensorModel.fit(structures, BASIS, weights=weights, **given)
            total = found.predict(TEST[0]).total
            np.testing.assert_allclose(total, factor * bond_dipole(TEST[0]), rtol=0, atol=1e-4)


@pytest.mark.parametrize("per, rank, target", [("structure", "symmetric", "alpha"), ("atom", "vector", "field")])
def test_left_out_structures_are_those_of_fits_without_them(per, rank, target):
    rng = np.random.default_rng(6)
    structures = [atoms.copy() for atoms in TRAIN[:24]]
    for atoms in structures:
        noise = rng.normal(size=(3, 3))
        atoms.info["alpha"] = atoms.info["alpha"] + 0.1 * (noise + noise.T)
        atoms.arrays["field"] = rng.normal(size=(len(atoms), 3))
    basis = ACEBasis(["Cu", "Zr"], radial=RADIAL, order=1, n_max=2, l_max=2)
    given = {"target": target, "rank": rank, "per": per, "solver": "qr", "prior": None, "calibrate_by": None}
    model = TensorModel.fit(structures, basis, **given)
    found = model.leave_out(structures)
    for k in (0, 7):
        without = TensorModel.fit(structures[:k] + structures[k + 1 :], basis, **given)
        expected = without.errors([structures[k]])
        deviations = without.standard_deviations(structures[k], calibrated=False)
        for irrep, left in found.items():
            mine, other = left.of(left.structures == k), expected.of_irrep(irrep)
            np.testing.assert_allclose(mine.errors, other.predicted - other.true, rtol=1e-6, atol=1e-9)
            ratio = without.report["regression"]["noise"][irrep] / model.report["regression"]["noise"][irrep]
            np.testing.assert_allclose(mine.sigmas * ratio, deviations[irrep], rtol=1e-6)


def test_standard_deviations_are_calibrated():
    rng = np.random.default_rng(7)
    structures = [atoms.copy() for atoms in TRAIN]
    for atoms in structures:
        atoms.info["mu"] = atoms.info["mu"] + rng.normal(scale=0.3, size=3)
    basis = ACEBasis(["Cu", "Zr"], radial=RADIAL, order=1, n_max=2, l_max=1)
    model = TensorModel.fit(structures, basis, target="mu")
    raw = model.standard_deviations(TEST[0], calibrated=False)["1o"]
    sigma = model.standard_deviations(TEST[0])["1o"]
    law = model.calibration.laws["1o"]
    np.testing.assert_allclose(sigma, np.sqrt(len(TEST[0])) * law(raw / np.sqrt(len(TEST[0]))), rtol=1e-12)
    assert 0.2 < sigma.item() < 0.6 and raw < sigma  # labels have a noise of 0.3


# --- files and streams --------------------------------------------------------------------------------------------


def test_files_hold_the_same_model(tmp_path):
    model = TensorModel.fit(TRAIN, BASIS, target="alpha", rank="symmetric", unit="Å³")
    path = tmp_path / "alpha.ace"
    model.save(path)
    read = TensorModel.load(path)
    assert repr(read) == repr(model) and read.report == model.report and read.bases == model.bases
    assert (read.predict(TEST[0]).atoms == model.predict(TEST[0]).atoms).all()
    assert read.standard_deviations(TEST[0]) == model.standard_deviations(TEST[0])
    assert model_kind(path) == "tensor"
    with pytest.raises(ModelFileError, match="kind 'tensor'"):
        LinearACE.load(path)
    LinearACE(ACEBasis(["Cu"], order=1), np.zeros((1, 7))).save(path)
    with pytest.raises(ModelFileError, match="kind 'linear'"):
        TensorModel.load(path)


def test_wrong_content_of_files_is_refused(tmp_path):
    model = TensorModel.fit(TRAIN, BASIS, target="mu", **QUIET)
    path = tmp_path / "mu.ace"
    model.save(path)
    entries, arrays = read_model(path, TENSOR)
    for changed, of_arrays in (
        ({"rank": "symmetric"}, {}),
        ({"per": "bond"}, {}),
        ({"bases": []}, {}),
        ({"unit": 3}, {}),
        ({}, {"coefficients": arrays["coefficients"][:, 1:]}),
        ({}, {"posterior 2e": arrays["posterior 1o"]}),
        ({}, {"posterior 1o": arrays["posterior 1o"][:1]}),
    ):
        write_model(path, TENSOR, {**entries, **changed}, {**arrays, **of_arrays})
        with pytest.raises(ModelFileError, match="no usable model"):
            TensorModel.load(path)


def test_streams_and_workers_give_the_same_bits(tmp_path):
    write(tmp_path / "train.extxyz", TRAIN)
    read_back = list(StructureFiles(tmp_path / "train.extxyz"))
    given = {"target": "alpha", "rank": "symmetric", **QUIET}
    expected = TensorModel.fit(read_back, BASIS, **given)
    streamed = TensorModel.fit(StructureFiles(tmp_path / "train.extxyz"), BASIS, workers=2, **given)
    for first, second in zip(
        (*expected.coefficients, expected.constants), (*streamed.coefficients, streamed.constants)
    ):
        assert (first == second).all()
    assert streamed.errors(StructureFiles(tmp_path / "train.extxyz")).rmse == expected.errors(read_back).rmse


def test_tables_have_components_and_groups():
    structures = [atoms.copy() for atoms in TEST]
    structures[0].info["config_type"] = "first"
    model = TensorModel.fit(TRAIN, BASIS, target="alpha", rank="symmetric", unit="Å³", **QUIET)
    lines = str(model.errors(structures)).splitlines()
    assert "RMSE (Å³)" in lines[0]
    names = [line.split("  ")[0] for line in lines[1:]]
    assert names == [
        f"{g}: {c}" for g in ("default", "first") for c in ("0e", "2e", "xx", "xy", "xz", "yy", "yz", "zz")
    ]
    found = model.errors(structures).of_irrep("2e")
    assert found.true.shape == (len(structures), 5)
    with pytest.raises(ValueError, match="derivatives"):
        model.errors(structures).of_irrep("2e", "derivatives")
