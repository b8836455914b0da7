"""The experiments of the toys: what their tables hold, against direct computation; random environments."""

import math

import numpy as np
import pytest
import scipy.stats
from ase import Atoms
from oracles import moments as reference_moments

from acepure import ACEBasis
from acepure.toys import (
    ParticleBasis,
    Table,
    condition_table,
    decay_table,
    environment_table,
    iteration_table,
    joined_environments,
    learning_table,
    random_environments,
    random_particles,
    runge,
    sparsity_table,
    truncation_table,
)
from acepure.toys.environments import PACKING

ROWS = ("self-interacting", "canonical", "shifted", "centered")


# --- tables --------------------------------------------------------------------------------------------------------


def test_table():
    table = Table("Title.", ("name", "value"), (("a", 1234.5), ("bc", 2.0)))
    assert str(table).splitlines() == [
        "Title.",
        "",
        "| name |    value |",
        "|-----:|---------:|",
        "|    a | 1.23e+03 |",
        "|   bc |        2 |",
    ]
    assert table.column("name").tolist() == ["a", "bc"]
    with pytest.raises(ValueError, match="name must be one of name, value; got 'x'"):
        table.column("x")


# --- condition numbers and operators -------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["chebyshev", "legendre"])
def test_condition_table_against_quadrature(family):
    table = condition_table(family, orders=(2, 3), degrees=(4, 6))
    for order, degree, features, plain, canonical, shifted, centered in table.rows:
        indices = reference_moments.toy_indices(order, degree, 1)
        gram = reference_moments.toy_gram(family, indices, order, canonical=False)
        assert features == len(indices)
        assert plain == shifted == pytest.approx(reference_moments.scaled_condition_number(gram), rel=1e-9)
        assert canonical == pytest.approx(1, abs=1e-10) and centered == pytest.approx(1, abs=1e-10)


def test_condition_table_of_other_particles():
    """Every row its own number; with a Poisson number of particles the centered one is 1."""
    table = condition_table("legendre", [2], [4], n_particles=5, law="arcsine", zscored=True)
    basis = ParticleBasis("legendre", 2, 4, canonical=False).centered(5, "arcsine")
    covariance = basis.covariance(5, "arcsine")
    assert table.column("shifted")[0] == pytest.approx(reference_moments.scaled_condition_number(covariance), rel=1e-9)
    assert len(set(table.rows[0][3:])) == 4 and "5 particles" in table.title and "arcsine" in table.title
    gas = condition_table("legendre", [3], [4], n_particles=2.5, poisson=True, start=0)
    assert gas.column("centered")[0] == pytest.approx(1, abs=1e-10)
    assert min(gas.column(row)[0] for row in ROWS[:3]) > 2


def test_sparsity_table():
    """One dimension, orders 1 to 3, Σk ≤ 19: 444 indices, 2913 non-zeros, 1.48 % (Ho, Gutleb and Ortner, figure 1b)."""
    (row,) = sparsity_table(orders=[3], degrees=[19]).rows
    assert row[:5] == (3, 19, 444, 444, 2913)
    assert row[5] == pytest.approx(1.4777, abs=1e-4) and row[6] == pytest.approx(2913 / 444)


# --- fits ----------------------------------------------------------------------------------------------------------


def feature_target(k, order=3, totaldegree=6):
    """A canonical feature as a target."""
    basis = ParticleBasis("chebyshev", order, totaldegree)
    column = basis.indices.index(k)
    return lambda x: 2.0 + 3.0 * basis.features(x)[:, column]


def test_decay_of_a_single_feature():
    k = (1, 3)
    table = decay_table(feature_target(k), order=3, totaldegree=6, n_particles=4, n_samples=500)
    assert table.columns == ("degree", *ROWS) and table.column("degree").tolist() == [1, 2, 3, 4, 5, 6]
    y = feature_target(k)(random_particles(500, 4, "arcsine", seed=0)) - 2.0
    expected = np.where(table.column("degree") == sum(k), np.sqrt(np.mean(y**2)) / np.std(y), 0.0)
    np.testing.assert_allclose(table.column("canonical"), expected, rtol=0, atol=1e-11)
    np.testing.assert_allclose(table.column("centered"), expected, rtol=0, atol=1e-11)
    # 𝒜_13 = A_1 A_3 − A_2/√2 − A_4/√2: of degree 4 and 2
    assert (table.column("self-interacting") > 1e-3).tolist() == [False, True, False, True, False, False]


def test_truncation_of_a_single_feature():
    """Canonical: nothing is lost above its order, everything below."""
    table = truncation_table(feature_target((2, 2)), order=3, totaldegree=6, n_particles=4, n_samples=500)
    assert table.columns == ("kept order", "features", "new fit", *ROWS)
    assert table.column("features").tolist() == [6, 15, 22]
    np.testing.assert_allclose(table.column("canonical")[1:], 0.0, atol=1e-11)
    assert table.column("canonical")[0] == pytest.approx(1, rel=0.02), "the mean alone"
    for row in ("new fit", *ROWS):
        assert table.column(row)[2] < 1e-11


def test_learning_table():
    arguments = {"order": 3, "totaldegree": 6, "n_particles": 4, "n_test": 200, "repeats": 3}
    table = learning_table(feature_target((1, 1, 2)), samples=(60,), ridges=(0.0, 1e-2), **arguments)
    assert [row[:3] for row in table.rows] == [(law, 60, r) for law in ("uniform", "arcsine") for r in (0.0, 1e-2)]
    for row in ROWS:
        exact, ridged = table.column(f"RMSE, {row}")[::2], table.column(f"RMSE, {row}")[1::2]
        assert (exact < 1e-10).all() and (ridged > 1e-3).all()
        assert (table.column(f"max, {row}") >= table.column(f"RMSE, {row}")).all()


def test_without_ridge_errors_agree_and_are_medians():
    table = learning_table(
        runge, "legendre", 2, 5, 3, laws=["arcsine"], samples=[80], ridges=[0.0], n_test=300, repeats=3, seed=7
    )
    basis = ParticleBasis("legendre", 2, 5)
    x_test = random_particles(300, 3, seed=7)
    errors = []
    for seed in (8, 9, 10):
        x = random_particles(80, 3, "arcsine", seed)
        design, design_test = (np.column_stack([np.ones(len(s)), basis.features(s)]) for s in (x, x_test))
        errors.append(design_test @ np.linalg.lstsq(design, runge(x), rcond=None)[0] - runge(x_test))
    errors = abs(np.array(errors)) / np.std(runge(x_test))
    for row in ROWS:
        rmse, largest = table.column(f"RMSE, {row}"), table.column(f"max, {row}")
        np.testing.assert_allclose(rmse, np.median(np.sqrt((errors**2).mean(axis=1))), rtol=1e-9)
        np.testing.assert_allclose(largest, np.median(errors.max(axis=1)), rtol=1e-9)


def test_iteration_table():
    table = iteration_table(runge, "legendre", orders=[3], degrees=[8], n_samples=1000)
    assert table.column("features").tolist() == [40]
    assert table.column("canonical")[0] < 0.6 * table.column("self-interacting")[0]
    assert table.column("shifted")[0] == table.column("self-interacting")[0], "means of the own law are zero"


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: condition_table("fourier"), ValueError, "family must be one of"),
        (lambda: condition_table(law="normal"), ValueError, "law must be one of"),
        (lambda: learning_table(laws=("uniform", "normal")), ValueError, "laws must be one of uniform, arcsine"),
        (lambda: decay_table("runge"), TypeError, "target must be a function of particles; got 'runge' of type str"),
        (lambda: decay_table(lambda x: x), ValueError, r"target\(x\) must have shape \(8000,\)"),
        (lambda: environment_table(n_environments=1), ValueError, "n_environments must be an integer >= 2"),
        (
            lambda: environment_table([2], [4], n_environments=19),
            ValueError,
            "n_environments must exceed the 19 features; got 19",
        ),
        (lambda: random_environments(0, 5), ValueError, "n must be an integer >= 1"),
        (lambda: random_environments(1, 5, kind="gas"), ValueError, "kind must be one of poisson, ball, hard"),
        (lambda: random_environments(1, 2.5, kind="ball"), TypeError, "n_neighbors must be an integer >= 1"),
        (lambda: random_environments(1, -1.0), ValueError, "n_neighbors must be a finite number >= 0"),
        (lambda: random_environments(1, 5, rcut=0), ValueError, "rcut must be a finite number > 0"),
        (lambda: random_environments(1, 5, species="Xx"), ValueError, "species must be a chemical symbol"),
        (lambda: joined_environments([], 5.0), ValueError, "environments is empty"),
        (lambda: joined_environments([Atoms("Cu"), 3], 5.0), TypeError, r"environments\[1\] must be an ase.Atoms"),
        (lambda: joined_environments([Atoms("Cu")], 0), ValueError, "rcut must be a finite number > 0"),
        (
            lambda: joined_environments([Atoms("Cu2", [(0, 0, 0), (0, 3, 4)])], 4.9),
            ValueError,
            r"environments\[0\] has an atom 5 Å from the origin, beyond rcut=4.9",
        ),
    ],
)
def test_wrong_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


# --- three dimensions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["poisson", "ball", "hard"])
def test_random_environments(kind):
    environments = random_environments(300, 12, rcut=4.0, seed=1, kind=kind, species="Si")
    numbers = np.array([len(atoms) - 1 for atoms in environments])
    if kind == "poisson":
        assert abs(numbers.mean() - 12) < 1 and 0.7 < numbers.var() / 12 < 1.4
    else:
        assert (numbers == 12).all()
    smallest = 2 * 4.0 * (PACKING / 13) ** (1 / 3)
    for atoms in environments:
        assert set(atoms.get_chemical_symbols()) == {"Si"} and not atoms.pbc.any()
        np.testing.assert_array_equal(atoms.positions[0], 0.0)
        assert np.linalg.norm(atoms.positions, axis=1).max() <= 4.0
        if kind == "hard":
            distances = atoms.get_all_distances()
            assert distances[np.triu_indices(13, 1)].min() >= smallest
    again = random_environments(300, 12, rcut=4.0, seed=1, kind=kind, species="Si")
    np.testing.assert_array_equal(environments[-1].positions, again[-1].positions)


def test_neighbors_fill_the_ball_uniformly():
    vectors = np.concatenate([atoms.positions[1:] for atoms in random_environments(300, 10, rcut=3.0, seed=2)])
    r = np.linalg.norm(vectors, axis=1)
    assert scipy.stats.kstest((r / 3.0) ** 3, "uniform").pvalue > 0.01
    assert scipy.stats.kstest(vectors[:, 2] / r, "uniform", args=(-1, 2)).pvalue > 0.01
    azimuth = np.arctan2(vectors[:, 1], vectors[:, 0])
    assert scipy.stats.kstest(azimuth, "uniform", args=(-np.pi, 2 * np.pi)).pvalue > 0.01


@pytest.mark.parametrize("n_neighbors", [1, 2, 3])
def test_few_hard_spheres_find_a_place(n_neighbors):
    assert len(random_environments(5, n_neighbors, kind="hard")[0]) == n_neighbors + 1


def test_joined_environments_have_the_features_of_each():
    environments = random_environments(20, 8, rcut=5.0, seed=3)
    joined, centers = joined_environments(environments, 5.0)
    basis = ACEBasis(["Cu"], rcut=5.0, order=2, totaldegree=4)
    expected = np.concatenate([basis.descriptors(atoms, indices=[0]) for atoms in environments])
    np.testing.assert_allclose(basis.descriptors(joined, indices=centers), expected, rtol=0, atol=1e-11)
    assert len(joined) == sum(map(len, environments))


def test_environment_table():
    table = environment_table([2], [3], n_environments=200, n_neighbors=6, rcut=4.0, seed=4)
    (row,) = table.rows
    basis = ACEBasis(["Cu"], rcut=4.0, order=2, totaldegree=3)
    assert row[:3] == (2, 3, len(basis))
    environments = random_environments(200, 6, rcut=4.0, seed=4)
    features = np.concatenate([basis.descriptors(atoms, indices=[0]) for atoms in environments])
    correlation = np.corrcoef(features.T)
    assert table.column("default, canonical")[0] == pytest.approx(np.linalg.cond(correlation), rel=1e-6)
    centered, shifted, canonical = (
        table.column(f"orthonormal, {row}")[0] for row in ("centered", "shifted", "canonical")
    )
    assert 1 < centered < shifted < canonical < table.column("default, canonical")[0]
    assert math.isfinite(sum(row[3:]))
