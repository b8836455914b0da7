"""Conditioning of features: dense NumPy, spectra known in closed form, degenerate data."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from cases.diagnostics import Table, orthonormal

from acepure import ACEBasis
from acepure.diagnostics import SCALINGS, Conditioning, conditioning
from acepure.errors import SpeciesError

N = 400


def of(features, sizes=None):
    table = Table(features, sizes)
    return conditioning(table, table.structures(3))


def random_features(scales=(1.0, 1e3, 1e-4, 1.0, 30.0, 1e-2)):
    """Correlated, with means, of different scale; 6 features of orders 1, 1, 2, 2, 2, 3."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(len(scales), len(scales)))
    return (rng.normal(size=(N, len(scales))) @ mixing + rng.normal(size=len(scales))) * scales


def columns(features, scaling):
    """The columns whose Gram matrix is meant, by NumPy."""
    if scaling == "standardized":
        return (features - features.mean(axis=0)) / features.std(axis=0)
    full = np.column_stack([np.ones(len(features)), features])
    return full if scaling == "raw" else full / np.sqrt((full**2).mean(axis=0))


def condition(features, scaling):
    return np.linalg.cond(columns(features, scaling)) ** 2


# --- dense ------------------------------------------------------------------------------------------------------------


def test_features_one_by_one():
    F = random_features()
    result = of(F)
    assert result.n_environments == N and result.labels == ("f0", "f1", "f2", "f3", "f4", "f5")
    np.testing.assert_allclose(result.means, F.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(result.standard_deviations, F.std(axis=0), rtol=1e-12)
    np.testing.assert_allclose(result.correlation(), np.corrcoef(F.T), rtol=0, atol=1e-13)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_gram_matrices(scaling):
    F = random_features()
    result = of(F)
    X = columns(F, scaling)
    expected = X.T @ X / N
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    np.testing.assert_allclose(result.gram(scaling) / scale, expected / scale, rtol=0, atol=1e-13)
    spectrum = result.spectrum(scaling)
    np.testing.assert_allclose(spectrum, np.linalg.svd(X, compute_uv=False) ** 2 / N, rtol=1e-9)
    assert result.condition_number(scaling) == pytest.approx(condition(F, scaling), rel=1e-8)
    assert result.resolved(scaling) and result.rank(scaling) == X.shape[1]
    p = np.linalg.svd(X, compute_uv=False)
    p /= p.sum()
    assert result.effective_rank(scaling) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-10)


def test_orders_alone():
    F = random_features()
    result = of(F, sizes=(2, 3, 1))
    np.testing.assert_array_equal(result.orders, [1, 1, 2, 2, 2, 3])
    for order, chosen in ((1, slice(0, 2)), (2, slice(2, 5)), (3, slice(5, 6))):
        part = result.of_order(order)
        assert part.labels == result.labels[chosen] and part.n_environments == N
        for scaling in SCALINGS:
            assert part.condition_number(scaling) == pytest.approx(condition(F[:, chosen], scaling), rel=1e-8)
    chosen = result.of_features([4, -6])
    assert chosen.labels == ("f4", "f0")
    assert chosen.condition_number("scaled") == pytest.approx(condition(F[:, [4, 0]], "scaled"), rel=1e-8)
    with pytest.raises(ValueError, match=r"order must be one of \[1, 2, 3\]; got 4"):
        result.of_order(4)


def test_leverage_is_the_diagonal_of_the_hat_matrix():
    F = random_features()
    result = of(F)
    X = columns(F, "scaled")
    hat = X @ np.linalg.pinv(X)
    np.testing.assert_allclose(result.leverage(F), np.diag(hat), rtol=1e-9)
    new = 10 * F[:5] + 1
    rows = np.column_stack([np.ones(5), new]) / np.sqrt(np.append(1, (F**2).mean(axis=0)))
    expected = np.sum((rows @ np.linalg.pinv(X)) ** 2, axis=1)
    np.testing.assert_allclose(result.leverage(new), expected, rtol=1e-9)
    assert (expected > 0.5).any()
    with pytest.raises(ValueError, match=r"features must have shape \(any, 6\)"):
        result.leverage(F[:, :5])


# --- known in closed form ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delta", [1e-2, 1e-8, 1e-16, 1e-22])
def test_equal_correlations(delta):
    """z_j = √δ u_j + √(1 − δ) u_0: eigenvalues δ and δ + k (1 − δ), also far beyond 1e16, in any units."""
    k = 5
    u = orthonormal(N, k + 1)
    z = np.sqrt(delta) * u[:, :k] + np.sqrt(1 - delta) * u[:, k:]
    expected = (delta + k * (1 - delta)) / delta
    units = 2.0 ** np.array([498, -498, 0, 10, -30])
    for features in (z, z * units):
        result = of(features)
        # Rounding of the features themselves moves √δ by ε.
        assert result.condition_number("standardized") == pytest.approx(expected, rel=1e-12 + 1e-14 / np.sqrt(delta))
        assert result.condition_number("scaled") == pytest.approx(expected, rel=1e-12 + 1e-14 / np.sqrt(delta))
        assert result.resolved("scaled")


def test_raw_condition_numbers_of_scales():
    """Columns that are orthogonal: the condition number is the squared ratio of their norms."""
    scales = np.array([1e-60, 1e-3, 1e40])
    result = of(np.sqrt(N) * orthonormal(N, 3) * scales)
    assert result.condition_number("raw") == pytest.approx(1e200, rel=1e-12)
    np.testing.assert_allclose(result.spectrum("raw"), [1e80, 1, 1e-6, 1e-120], rtol=1e-12)
    for scaling, n in (("scaled", 4), ("standardized", 3)):
        assert result.condition_number(scaling) == pytest.approx(1, abs=1e-12)
        assert result.effective_rank(scaling) == pytest.approx(n, abs=1e-12)
    assert result.rank("raw") == 1 and result.rank("raw", tolerance=1e-44) == 3 and result.rank("raw", 1e-50) == 3


def test_raw_condition_numbers_beyond_floats():
    result = of(orthonormal(N, 2) * [1e-150, 1e150])
    assert result.condition_number("raw") == np.inf and result.resolved("raw")
    assert result.condition_number("scaled") == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("mean", [0.0, 1.0, 1e3, -1e6])
def test_a_feature_and_the_constant(mean):
    """Correlation c = mean / √(mean² + 1) with the constant: eigenvalues 1 ± |c|."""
    result = of(np.sqrt(N) * orthonormal(N, 1) + mean)
    rest = 1 / ((mean**2 + 1) * (1 + abs(mean) / np.hypot(mean, 1)))  # 1 − |c| without cancellation
    assert result.condition_number("scaled") == pytest.approx((2 - rest) / rest, rel=1e-12 + 1e-14 * abs(mean))
    assert result.condition_number("standardized") == 1.0


def test_effective_rank_of_a_known_spectrum():
    F = np.sqrt(N) * orthonormal(N, 3) * [4.0, 2.0, 1.0]
    result = of(F)
    np.testing.assert_allclose(result.singular_values("raw"), [4, 2, 1, 1], rtol=1e-12)
    # p = 1/2, 1/4, 1/8, 1/8: 1.75 bits.
    assert result.effective_rank("raw") == pytest.approx(2**1.75, rel=1e-12)


# --- degenerate data --------------------------------------------------------------------------------------------------


def test_dependent_features():
    """f6 = f0 − 2 f3 but for units: a null combination, and infinite condition numbers, not those of rounding."""
    F = random_features()
    F = np.column_stack([F, 1e5 * (F[:, 0] - 2 * F[:, 3])])
    result = of(F, sizes=(2, 5))
    for scaling, n in (("raw", 8), ("scaled", 8), ("standardized", 7)):
        assert result.condition_number(scaling) == np.inf and not result.resolved(scaling)
        assert result.rank(scaling, tolerance=1e-14) == n - 1
    assert result.of_order(1).resolved("scaled")
    assert "inf: dependent, or beyond" in str(result)

    std = F.std(axis=0)
    expected = np.zeros(7)
    expected[[0, 3, 6]] = std[0], -2 * std[3], -std[6] / 1e5  # of standardized features
    expected /= np.linalg.norm(expected) * np.sign(expected[np.abs(expected).argmax()])
    first, second = result.null_combinations(n=2)
    np.testing.assert_allclose(first.coefficients, expected, atol=1e-12)
    assert first.rms < 1e-14 < 1e-3 < second.rms
    text = str(first)
    assert all(f"[f{j}]" in text for j in (0, 3, 6)) and text.startswith("rms ")

    h = result.leverage(F)
    X = columns(F, "scaled")
    np.testing.assert_allclose(h, np.diag(X @ np.linalg.pinv(X, rcond=1e-12)), rtol=1e-8)
    assert h.sum() == pytest.approx(7, rel=1e-10)
    outside = F[:3].copy()
    outside[1, 6] *= 1 + 1e-6
    np.testing.assert_array_equal(np.isinf(result.leverage(outside)), [False, True, False])


def test_null_combinations_vary_as_little_as_they_say():
    F = random_features()
    result = of(F)
    for scaling in SCALINGS:
        found = result.null_combinations(scaling, n=4)
        assert np.all(np.diff([c.rms for c in found]) >= 0)
        for combination in found:
            values = columns(F, scaling) @ combination.coefficients
            assert combination.rms == pytest.approx(np.sqrt(np.mean(values**2)), rel=1e-6)
            assert np.linalg.norm(combination.coefficients) == pytest.approx(1, rel=1e-12)
            assert len(combination.labels) == len(combination.coefficients)
    assert result.null_combinations("raw", n=1)[0].labels[0] == "1"
    assert len(result.null_combinations(n=100)) == 6


def test_features_without_variance():
    F = random_features()
    F[:, 1], F[:, 4] = 0.0, 0.1  # the sum of 0.1 rounds
    result = of(F, sizes=(2, 3, 1))
    np.testing.assert_array_equal(result.constant_features, [1, 4])
    np.testing.assert_array_equal(result.varying_features, [0, 2, 3, 5])
    varying = F[:, [0, 2, 3, 5]]
    assert result.condition_number("standardized") == pytest.approx(condition(varying, "standardized"), rel=1e-9)
    assert result.condition_number("raw") == result.condition_number("scaled") == np.inf
    left = result.of_features(result.varying_features)
    assert left.condition_number("raw") == pytest.approx(condition(varying, "raw"), rel=1e-9)

    correlation = np.zeros((6, 6))
    correlation[np.ix_([0, 2, 3, 5], [0, 2, 3, 5])] = np.corrcoef(varying.T)
    np.testing.assert_allclose(result.correlation(), correlation, atol=1e-13)
    for scaling in SCALINGS:
        for array in (result.gram(scaling), result.spectrum(scaling), result.factor(scaling)):
            assert np.isfinite(array).all()
        assert np.isfinite(result.effective_rank(scaling))
    np.testing.assert_array_equal(result.gram("scaled").diagonal().round(12), [1, 1, 0, 1, 1, 1, 1])
    zero, dependent = result.null_combinations("scaled", n=2)
    np.testing.assert_allclose(zero.coefficients, np.eye(7)[2], atol=1e-12)
    np.testing.assert_allclose(np.abs(dependent.coefficients), np.sqrt([0.5, 0, 0, 0, 0, 0.5, 0]), atol=1e-12)
    assert np.isfinite(result.leverage(F)).all() and result.leverage(F).sum() == pytest.approx(5, rel=1e-10)
    new = F[:2].copy()
    new[1, 1] = 1.0
    np.testing.assert_array_equal(np.isinf(result.leverage(new)), [False, True])
    assert "2 without variance, dependent on the constant, left out of standardized: 1 [f1], 4 [f4]" in str(result)


def test_nothing_varies():
    result = of(np.ones((N, 3)) * [1.0, 0.0, 2.0])
    assert result.condition_number("standardized") == 1.0 and result.rank("standardized") == 0
    assert result.effective_rank("standardized") == 0.0 and result.null_combinations() == []
    assert result.condition_number("raw") == np.inf
    assert str(result).splitlines()[4].split() == ["all", "3", "inf", "inf", "-", "-", "0"]


@pytest.mark.parametrize("n", [1, 2, 5])
def test_fewer_environments_than_features(n):
    F = random_features()[:n]
    result = of(F)
    for scaling, rank in (("raw", n), ("scaled", n), ("standardized", n - 1)):
        assert result.condition_number(scaling) == np.inf or (scaling == "standardized" and n == 1)
        assert result.rank(scaling, tolerance=1e-13) == rank
        assert np.count_nonzero(result.spectrum(scaling)) == rank
    np.testing.assert_allclose(result.leverage(F), 1.0, rtol=1e-8)
    assert f"{n} environments are fewer than the 7 columns" in str(result)


def test_as_many_environments_as_columns():
    F = random_features()[:7]
    assert of(F).condition_number("scaled") == pytest.approx(condition(F, "scaled"), rel=1e-6)
    assert of(F[:6]).condition_number("scaled") == np.inf
    # Seven environments leave six directions about their mean; six leave five.
    assert of(F).condition_number("standardized") == pytest.approx(condition(F, "standardized"), rel=1e-6)
    assert of(F[:6]).condition_number("standardized") == np.inf


def test_the_floor_is_lower_for_small_variations():
    u = np.sqrt(N) * orthonormal(N, 2)
    result = of(u + np.array([0.0, 1e8]))
    eps = np.finfo(float).eps
    assert result.floor("scaled") == pytest.approx((3 * eps) ** -2)
    assert result.floor("standardized") == pytest.approx((3 * eps * 1e8) ** -2, rel=1e-6)
    # Features that differ by 1e-10 of their variation: clear by themselves, not on top of 1e8.
    near = np.column_stack([u[:, 0], u[:, 0] + 1e-10 * u[:, 1]])
    assert of(near).condition_number("standardized") == pytest.approx(4e20, rel=1e-4)
    assert of(near + 1e8).condition_number("standardized") == np.inf


# --- structures -------------------------------------------------------------------------------------------------------


def test_how_rows_are_divided_changes_rounding_alone():
    table = Table(np.random.default_rng(1).normal(size=(3000, 4)))
    expected = conditioning(table, table.structures(1)).R
    for n in (2, 7, 3000):
        found = conditioning(table, table.structures(n)).R
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14 * 3000)
        np.testing.assert_array_equal(conditioning(table, list(table.structures(n))).R, found)


def test_random_atoms():
    table = Table(np.random.default_rng(2).normal(size=(300, 3)))
    structures = list(table.structures(10))
    first = conditioning(table, structures, atoms_per_structure=7)
    assert first.n_environments == 70
    np.testing.assert_array_equal(conditioning(table, iter(structures), atoms_per_structure=7).R, first.R)
    assert (conditioning(table, structures, atoms_per_structure=7, seed=1).R != first.R).any()
    # The choice in a structure depends on its number and the seed alone.
    chosen = [np.sort(np.random.default_rng([0, k]).choice(30, 7, replace=False)) for k in range(10)]
    np.testing.assert_array_equal(conditioning(table, structures, indices=chosen).R, first.R)
    everything = conditioning(table, structures, atoms_per_structure=31)
    np.testing.assert_array_equal(everything.R, conditioning(table, structures).R)


def test_chosen_atoms():
    table = Table(np.random.default_rng(3).normal(size=(40, 2)))
    structures = list(table.structures(4))
    some = conditioning(table, structures, indices=[[0, 5], None, np.arange(10) < 3, []])
    F = table.features[[0, 5, *range(10, 20), 20, 21, 22]]
    assert some.n_environments == 15
    np.testing.assert_allclose(some.means, F.mean(axis=0), rtol=1e-12)
    one = conditioning(table, structures[1], indices=[2, 3, 4])
    np.testing.assert_allclose(one.means, table.features[12:15].mean(axis=0), rtol=1e-12)


def test_input_is_refused():
    table = Table(np.random.default_rng(3).normal(size=(40, 2)))
    structures = list(table.structures(4))
    for arguments, error, message in (
        ({"structures": structures[0].symbols[0]}, TypeError, "structures must be an iterable"),
        ({"structures": 3}, TypeError, "structures must be an iterable"),
        ({"structures": []}, ValueError, "structures is empty"),
        ({"structures": [structures[0], "Cu"]}, TypeError, r"structures\[1\] must be an ase.Atoms; got str"),
        ({"indices": 3}, TypeError, "indices must be an iterable"),
        ({"indices": [[1]] * 3}, ValueError, "indices has 3 entries, but there are more structures"),
        ({"indices": [[1]] * 5}, ValueError, "indices has more entries than the 4 structures"),
        ({"indices": [[]] * 4}, ValueError, "n_environments must be an integer >= 1; got 0"),
        ({"indices": [None, [99], None, None]}, IndexError, r"structures\[1\]: "),
        ({"indices": [[1]] * 4, "atoms_per_structure": 2}, ValueError, "exclude each other"),
        ({"atoms_per_structure": 0}, ValueError, "atoms_per_structure must be an integer >= 1"),
        ({"seed": -1}, ValueError, "seed must be an integer >= 0"),
        ({"num_threads": 0}, ValueError, "num_threads"),
    ):
        with pytest.raises(error, match=message):
            conditioning(table, **{"structures": structures, **arguments})
    result = of(random_features())
    for method in ("gram", "condition_number", "spectrum", "floor", "resolved", "rank", "effective_rank", "factor"):
        with pytest.raises(ValueError, match="scaling must be one of 'raw', 'scaled', 'standardized'; got 'unit'"):
            getattr(result, method)("unit")
    with pytest.raises(ValueError, match=r"3 labels need R of shape \(4, 4\)"):
        Conditioning(np.eye(3), 5, ("a", "b", "c"), np.ones(3))
    for R, orders, error, message in (
        (np.diag([1.0, np.nan]), [1], ValueError, r"R must be finite; row 1 is \[ 0. nan\]"),
        (np.eye(2) * 1j, [1], TypeError, "R must hold real numbers; got an array of type complex128"),
        (np.ma.masked_equal(np.eye(2), 0), [1], ValueError, "R must have no masked entries; got 2"),
        (np.eye(2), [1.0], TypeError, "orders must be integers; got an array of type float64"),
    ):
        with pytest.raises(error, match=message):
            Conditioning(R, 5, ("a",), orders)


def test_progress(capsys):
    table = Table(np.random.default_rng(3).normal(size=(40, 2)))
    conditioning(table, table.structures(2))
    assert capsys.readouterr().err == ""  # no terminal
    conditioning(table, table.structures(2), progress=True)
    assert "conditioning" in capsys.readouterr().err


# --- a real basis -----------------------------------------------------------------------------------------------------


def rattled(seed):
    atoms = bulk("Cu", cubic=True) * 2
    atoms.rattle(0.15, seed=seed)
    return atoms


@pytest.mark.parametrize("canonical", [True, False])
def test_rattled_copper(canonical):
    basis = ACEBasis(["Cu"], rcut=4.0, order=3, totaldegree=3, canonical=canonical)
    structures = [rattled(seed) for seed in range(6)]
    result = conditioning(basis, structures)
    F = np.concatenate(basis.descriptors(structures))
    assert result.n_environments == len(F) == 192 and result.labels == basis.labels
    np.testing.assert_allclose(result.means, F.mean(axis=0), rtol=1e-10)
    for scaling in ("scaled", "standardized"):
        expected = condition(F, scaling)
        assert 1e3 < expected < 1e20
        # Rounding times the condition number of the columns, which is the root of that of the Gram matrix.
        tolerance = 1e-13 * np.sqrt(expected)
        assert result.condition_number(scaling) == pytest.approx(expected, rel=tolerance)
    for threads in (1, 2):
        np.testing.assert_array_equal(conditioning(basis, iter(structures), num_threads=threads).R, result.R)

    lines = str(result).splitlines()
    assert lines[0] == f"{len(basis)} features, 192 environments"
    rows = {line.split("  ")[0]: line.split() for line in lines[4:]}
    assert list(rows) == ["all", "ν = 1", "ν = 2", "ν = 3"]
    assert rows["all"][1] == str(len(basis))
    assert rows["all"][2:5] == [f"{result.condition_number(scaling):.1e}" for scaling in SCALINGS]
    assert rows["ν = 2"][3] == str(basis.specification.sizes[1])


def test_errors_name_the_structure():
    basis = ACEBasis(["Cu"], order=2, totaldegree=2)
    with pytest.raises(SpeciesError, match=r"structures\[1\]: atoms holds Al"):
        conditioning(basis, [rattled(0), Atoms("Al")])
