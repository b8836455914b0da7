"""The parts of the export: complex harmonics and products, radial functions of the format, tables of cores."""

import math

import numpy as np
import pytest
from cases.linear import RADIAL
from cases.yace import POLYNOMIALS, SPECIES, basis_of, harmonic
from numpy.polynomial import Chebyshev, Polynomial
from oracles import canonical as reference
from oracles.structures import central_difference
from scipy.interpolate import CubicHermiteSpline, CubicSpline

from acepure import ACEBasis
from acepure.interfaces.yace import write_core_table
from acepure.interfaces.yace.bonds import PolynomialBond, TableBond
from acepure.interfaces.yace.complex_harmonics import complex_harmonics
from acepure.interfaces.yace.complex_products import Products, complex_products, folded_products, without_mirrored
from acepure.interfaces.yace.conversion import folded_model
from acepure.interfaces.yace.radial_tables import chebyshev_tables, polynomial_tables
from acepure.labels.factors import OneParticle
from acepure.models.repulsion import ZBLCore

RNG = np.random.default_rng(0)
VECTORS = np.concatenate([RNG.standard_normal((20, 3)), [[0, 0, 2.0], [0, 0, -1.0], [1.0, 0, 0], [0, -3.0, 0]]])


# --- harmonics --------------------------------------------------------------------------------------------------------


def test_harmonics_are_those_of_scipy():
    values, _ = complex_harmonics(VECTORS, 12)
    expected = [[harmonic(l, m, v) for l in range(13) for m in range(-l, l + 1)] for v in VECTORS]
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-13)


def test_gradients_of_harmonics():
    _, gradients = complex_harmonics(VECTORS, 6)
    for a in range(3):
        moved = central_difference(lambda h, a=a: complex_harmonics(VECTORS + h * np.eye(3)[a], 6)[0], 0.01)
        np.testing.assert_allclose(gradients[:, a], moved, rtol=0, atol=1e-9)
    np.testing.assert_allclose(np.einsum("na,nah->nh", VECTORS, gradients), 0.0, rtol=0, atol=1e-12)


def test_no_overflow_at_high_degree():
    values, gradients = complex_harmonics(VECTORS, 60)
    l = np.arange(61)
    sums = [np.sum(abs(values[:, k * k : (k + 1) ** 2]) ** 2, axis=1) for k in l]  # Unsöld: 2l + 1
    np.testing.assert_allclose(sums, np.repeat(2 * l + 1, len(VECTORS)).reshape(61, -1), rtol=1e-12)
    assert np.isfinite(gradients).all()


# --- products ---------------------------------------------------------------------------------------------------------


def sums_of(one_particle, complex_ones):
    """A_v over random neighbors with random radial values, of real or complex harmonics."""
    rng = np.random.default_rng(5)
    vectors, radial = rng.standard_normal((6, 3)), {}
    for v in one_particle:
        radial.setdefault((v.l, v.z, v.q), None)
    radial = {name: rng.standard_normal(6) for name in sorted(radial)}
    Y = complex_harmonics(vectors, 8)[0] if complex_ones else reference.real_harmonics(vectors, 8)
    return np.array([radial[v.l, v.z, v.q] @ Y[:, v.l * v.l + v.l + v.m] for v in one_particle])


@pytest.mark.parametrize("species", SPECIES.values(), ids=SPECIES)
@pytest.mark.parametrize("kind", ["canonical", "self-interacting", "gas"])
def test_complex_products_are_the_real_ones(kind, species):
    basis = basis_of(kind, species, totaldegree=4)
    products = folded_products(basis, np.random.default_rng(2).normal(size=(2, len(basis))), "Cu")
    converted = complex_products(products)
    real, comp = sums_of(products.one_particle, False), sums_of(converted.one_particle, True)
    mirror = [converted.one_particle.index(v._replace(m=-v.m)) for v in converted.one_particle]
    for (factors, weights), (terms, ctildes) in zip(products.runs, converted.runs):
        values = weights * real[factors].prod(axis=1)[:, None]
        for chosen, c in ((terms, ctildes), without_mirrored(terms, ctildes, np.array(mirror))):
            total = (c * comp[chosen].prod(axis=1)[:, None]).sum(axis=0)
            assert (abs(total.real - values.sum(axis=0)) < 1e-13 * abs(values).sum(axis=0)).all()
    np.testing.assert_array_equal(converted.constant, products.constant)


def test_half_of_the_products_is_enough():
    basis = basis_of("canonical", ["Cu"], totaldegree=5)
    products = complex_products(folded_products(basis, np.ones((1, len(basis))), "Cu"))
    mirror = np.array([products.one_particle.index(v._replace(m=-v.m)) for v in products.one_particle])
    names = {tuple(k) for factors, _ in products.runs for k in factors.tolist()}
    half = {tuple(k) for run in products.runs for k in without_mirrored(*run, mirror)[0].tolist()}
    reflection = {k: tuple(sorted(mirror[list(k)].tolist())) for k in half}
    assert names == half | set(reflection.values())
    assert all(k == reflected or reflected not in half for k, reflected in reflection.items())
    assert len(half) < len(names)


@pytest.mark.parametrize("names", [[(1, 0)], [(1, 0), (1, 0), (1, 0)], [(1, 1), (1, 1)], [(2, -1), (2, 1)]])
def test_what_is_not_invariant_is_refused(names):
    one_particle = tuple(OneParticle(l, 0, (1, 0), m) for l in (1, 2) for m in range(-l, l + 1))
    factors = np.array([[one_particle.index(OneParticle(l, 0, (1, 0), m)) for l, m in names]])
    products = Products(one_particle, ((factors, np.ones((1, 1))),), np.zeros(1))
    if names == [(1, 0)] or len(names) == 3:  # Σm = 0, and odd under inversion: real, and left as it is
        assert complex_products(products).runs
        return
    with pytest.raises(ValueError, match="the energy is not invariant"):
        complex_products(products)


# --- radial functions of the format -----------------------------------------------------------------------------------

CHANNELS = np.array([[0, 0], [1, 2], [0, -1], [4, -1]])


def chebyshev_bond(exponent, step=0.001):
    return TableBond(4.0, exponent, np.random.default_rng(7).standard_normal((2, 3, 5)), step)


def exact(bond, r, channels=CHANNELS):
    return [(bond.rows(channels) @ part).T for part in bond.exact(r)]


@pytest.mark.parametrize("exponent", [1.0, 2.0, 3.5])
def test_chebyshev_functions(exponent):
    bond, r = chebyshev_bond(exponent), np.linspace(0.3, 3.99, 40)
    x = 1 - 2 * (1 - r / 4) ** exponent
    g = np.array([(1 - Chebyshev.basis(k)(x)) / 2 for k in range(1, 6)])
    expected = [bond.coefficients[0, 0] @ g, bond.coefficients[1, 2] @ g, g[0], g[4]]
    values, slopes = exact(bond, r)
    np.testing.assert_allclose(values.T, expected, rtol=0, atol=1e-13)
    differences = central_difference(lambda h: exact(bond, r + h)[0], 1e-3)
    np.testing.assert_allclose(slopes, differences, rtol=0, atol=1e-8)
    for part in exact(bond, np.array([4.0, 5.0])):
        assert not part.any()


@pytest.mark.parametrize("step", [0.001, 0.3, 0.7])
def test_tables_are_hermite_splines(step):
    """The step is made to divide the cutoff; large ones, so that the table and its function differ."""
    bond, r = chebyshev_bond(1.0, step), np.linspace(0.81, 4.2, 50)
    nodes = np.linspace(0, 4.0, int(4.0 / step) + 1)
    nodes[0] = 1e-9  # cores are infinite at 0
    spline = CubicHermiteSpline(nodes, *exact(bond, nodes))
    values, slopes = bond.evaluate(r, CHANNELS)
    inside = r < 4.0
    np.testing.assert_allclose(values[inside], spline(r[inside]), rtol=0, atol=1e-12)
    np.testing.assert_allclose(slopes[inside], spline(r[inside], 1), rtol=0, atol=1e-9)
    assert not values[~inside].any() and not slopes[~inside].any()
    with pytest.raises(ValueError, match="the tables of the file begin at"):
        bond.evaluate(np.array([3.0, 0.5 * step]), CHANNELS)


@pytest.mark.parametrize("p, pl, pr", [(-1, 0, 2), (2, 2, 2), (1, 1, 3)])
def test_polynomial_functions(p, pl, pr):
    """The recurrence as polynomials of x, and x(r) by hand."""
    r0, rcut = 0.8, 4.0
    xs = sorted(((1 + r0) / (1 + r)) ** p for r in (0.5, rcut))
    recurrence = np.random.default_rng(8).standard_normal((4, 3))
    bond = PolynomialBond(rcut, r0, p, *xs, pl, pr, recurrence)
    x, r = Polynomial([0, 1]), np.linspace(0.55, 3.95, 30)
    P = [recurrence[0, 0] * (x - xs[0]) ** pl * (x - xs[1]) ** pr]
    P.append((recurrence[1, 0] * x + recurrence[1, 1]) * P[0])
    for a, b, c in recurrence[2:]:
        P.append((a * x + b) * P[-1] + c * P[-2])
    channels = np.array([[3, 1], [0, -1], [2, 0], [1, 4]])
    expected = [P[n](((1 + r0) / (1 + r)) ** p) for n in (3, 0, 2, 1)]
    values, slopes = bond.evaluate(r, channels)
    scale = abs(np.array(expected)).max()
    np.testing.assert_allclose(values.T, expected, rtol=0, atol=1e-12 * scale)
    differences = central_difference(lambda h: bond.evaluate(r + h, channels)[0], 1e-3)
    np.testing.assert_allclose(slopes, differences, rtol=0, atol=1e-9 * scale)
    assert not bond.evaluate(np.array([4.0, 7.0]), channels)[0].any()


def test_polynomials_end_at_the_inner_cutoff():
    bond = PolynomialBond(4.0, 0.0, 1, 0.2, 0.5, 2, 2, np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"atoms are 0\.9 Å apart; the radial functions begin farther"):
        bond.evaluate(np.array([2.0, 0.9]), CHANNELS[:1])


# --- radial functions of a basis --------------------------------------------------------------------------------------


def assert_reproduced(basis, tables, accuracy, interpolated):
    """Every function that products use, and its slope."""
    species, r = basis.species, np.linspace(0.05, 1.0, 60)[:-1]
    for (z, mu, l, q), (ns, coefficients) in [*tables.single.items(), *tables.higher.items()]:
        bond, rank = tables.bonds[z, mu], 1 if len(ns) > 1 else 2
        channels = np.array([[n, -1 if rank == 1 and not interpolated else l] for n in ns])
        distances = r * basis.radial.cutoff(species[z], species[mu])
        found = bond.evaluate(distances, channels) if interpolated else exact(bond, distances, channels)
        labels = sorted({v.q for v in basis.operators(species[z]).extended_products.one_particle})
        wanted = basis.radial.evaluate_labels_with_gradients(distances, species[z], species[mu], labels)
        column = labels.index(q)
        scale = abs(wanted[0][:, column]).max()
        for ours, theirs in zip(found, wanted):
            np.testing.assert_allclose(ours @ coefficients, theirs[:, column], rtol=0, atol=accuracy * scale)


@pytest.mark.parametrize("name", RADIAL)
@pytest.mark.parametrize("accuracy", [1e-4, 1e-7])
def test_series_have_the_accuracy_asked_for(name, accuracy):
    basis = ACEBasis(["Cu", "Zr"], radial=RADIAL[name], order=3, totaldegree=3)
    models = folded_model(basis, np.ones((1, 2, len(basis))))
    tables = chebyshev_tables(basis, models, accuracy, 0.001)
    assert_reproduced(basis, tables, 2 * accuracy, False)
    grades = {q for *_, q in tables.higher}
    assert any(q[0] > 1 or len(q) != 2 for q in grades), "no functions of products in the test"


def test_polynomials_are_reproduced_to_round_off():
    for radial in POLYNOMIALS.values():
        basis = ACEBasis(["Cu"], radial=radial, order=3, totaldegree=4)
        tables = polynomial_tables(basis, folded_model(basis, np.ones((1, 1, len(basis)))))
        assert_reproduced(basis, tables, 2e-13, True)


# --- tables of cores --------------------------------------------------------------------------------------------------


def sections(path):
    """{name: (r, V, F)} of a file for pair_style table."""
    blocks = path.read_text(encoding="utf-8").split("\n\n")
    found = {}
    for head, rows in zip(blocks[1::2], blocks[2::2]):
        name, parameters = head.split("\n")
        n, r_low, r_high = (parameters.split()[k] for k in (1, 3, 4))
        table = np.array([row.split() for row in rows.strip().split("\n")], dtype=float)
        assert parameters.split()[::2] == ["N", "R", r_high] and len(table) == int(n)
        np.testing.assert_array_equal(table[:, 0], np.arange(1, int(n) + 1))
        np.testing.assert_allclose(table[:, 1], np.linspace(float(r_low), float(r_high), int(n)), rtol=1e-15)
        found[name] = table[:, 1:].T
    return found


def test_core_tables(tmp_path):
    """Between the nodes too, by splines; their ends are 0."""
    core = ZBLCore(inner=0.8, outer={("Cu", "Cu"): 1.6, ("Cu", "Zr"): 1.9, ("Zr", "Zr"): 2.1})
    names = write_core_table(tmp_path / "core.table", core, ["Cu", "Zr"])
    found = sections(tmp_path / "core.table")
    assert list(found) == names == ["Cu-Cu", "Cu-Zr", "Zr-Zr"]
    for name, (r, value, force) in found.items():
        a, b = name.split("-")
        assert r[0] <= 0.05 and r[-1] == core.cutoff(a, b) and value[-1] == force[-1] == 0.0
        between = (r[1:] + r[:-1]) / 2
        V, slope = core.energy_and_slope(between, a, b)
        np.testing.assert_allclose(CubicSpline(r, value)(between), V, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(CubicSpline(r, force)(between), -slope, rtol=1e-5, atol=1e-8)


def test_pairs_without_a_core_have_no_table(tmp_path):
    class Partial(ZBLCore):
        def cutoff(self, a, b):
            return 0.0 if {a, b} == {"Zr"} else super().cutoff(a, b)

    assert write_core_table(tmp_path / "core.table", Partial(0.8, 1.6), ["Cu", "Zr"]) == ["Cu-Cu", "Cu-Zr"]
    assert math.isclose(sections(tmp_path / "core.table")["Cu-Zr"][0][-1], 1.6)
