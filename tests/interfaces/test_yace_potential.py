"""Potentials of .yace files by the kernels, against the evaluator written from the description of the format."""

import copy
import math
import pickle

import numpy as np
import pytest
from ase import Atoms
from cases.yace import POLYNOMIALS, content_of, crystal, embedded_model, model_of

from acepure.features.verlet import VerletList
from acepure.interfaces.yace import YacePotential, read_yace
from acepure.interfaces.yace.evaluator import YaceContent, evaluate_content
from acepure.interfaces.yace.radial_families import FAMILIES, gaussian_core, step_down, zbl_core
from acepure.interfaces.yace.yace_text import yace_text
from acepure.models.embedding import FinnisSinclair

ELEMENTS = ["Cu", "Zr", "Al"]


def assert_same(content, atoms, digits=1e-10):
    """Energies, forces and virial of kernels and description, relative to the largest of each."""
    found, wanted = YacePotential(content).evaluate(atoms), evaluate_content(content, atoms)
    for name in ("energies", "forces", "virial"):
        given = getattr(wanted, name)
        np.testing.assert_allclose(getattr(found, name), given, rtol=0, atol=digits * abs(given).max())
    return wanted


def differences(function, r, h=1e-5):
    """d/dr to sixth order."""
    steps = ((3 / 4, 1), (-3 / 20, 2), (1 / 60, 3))
    return sum(c * (function(r + k * h) - function(r - k * h)) for c, k in steps) / h


# --- functions of a distance ------------------------------------------------------------------------------------------

R = np.linspace(0.3, 3.9, 50)


@pytest.mark.parametrize("family", FAMILIES)
def test_slopes_of_families(family):
    def values(r):
        return FAMILIES[family](r, 4.0, 2.5, 0.7, 5)[0]

    np.testing.assert_allclose(FAMILIES[family](R, 4.0, 2.5, 0.7, 5)[1], differences(values, R, 1e-4), atol=1e-8)


@pytest.mark.parametrize("r", [0.4, 2.0, 3.3, 3.99])
def test_families_by_hand(r):
    """Chebyshev polynomials as cosines, each family as it is written down."""
    rc, lam, dcut = 4.0, 2.5, 0.7
    x = {
        "ChebPow": 1 - 2 * (1 - r / rc) ** lam,
        "ChebLinear": 1 - r / rc,
        "ChebExpCos": 1 - 2 * (math.exp(-lam * r / rc) - math.exp(-lam)) / (1 - math.exp(-lam)),
    }
    T = {name: [math.cos(k * math.acos(value)) for k in range(6)] for name, value in x.items()}
    f = 0.5 * (1 + math.cos(math.pi * r / rc))
    if r > rc - dcut:
        f *= 0.5 * (1 + math.cos(math.pi * (r - rc + dcut) / dcut))
    wanted = {
        "ChebPow": [0.5 - 0.5 * t for t in T["ChebPow"][1:]],
        "ChebLinear": [0.5 - 0.5 * t for t in T["ChebLinear"][1:]],
        "ChebExpCos": [f, *(f * (0.5 - 0.5 * t) for t in T["ChebExpCos"][1:5])],
    }
    for family, values in wanted.items():
        found = FAMILIES[family](np.array([r]), rc, lam, dcut, 5)[0][:, 0]
        np.testing.assert_allclose(found, values, rtol=1e-13, atol=1e-14)


def test_bessel_functions_are_orthonormal_and_flat_at_the_cutoff():
    """∫ g g' r² dr = δ, g = g' = 0 at the cutoff, and g_k are combinations of k + 2 spherical waves."""
    x, w = np.polynomial.legendre.leggauss(200)
    r, w = 2.5 * (x + 1), 2.5 * w
    g, _ = FAMILIES["SBessel"](r, 5.0, 1.0, 0.0, 6)
    np.testing.assert_allclose((g * w * r**2) @ g.T, np.eye(6), atol=1e-12)
    end, slope = FAMILIES["SBessel"](np.array([5.0]), 5.0, 1.0, 0.0, 6)
    np.testing.assert_allclose([end, slope], 0, atol=1e-13)
    waves = np.sin(np.outer(np.arange(1, 8), np.pi * r / 5.0)) / r
    for k in range(6):
        rest = np.linalg.lstsq(waves[: k + 2].T, g[k], rcond=None)[0] @ waves[: k + 2] - g[k]
        assert abs(rest).max() < 1e-12 * abs(g[k]).max() and g[k][0] * (-1) ** k > 0


def test_step_down():
    """Of degree 5 with two derivatives that vanish at both ends; so it is this one."""
    x = np.array([0.9, 1.0, 1.6, 2.0, 2.1])
    values, slopes = step_down(x, 2.0, 1.0)
    u = 1 - 2 * (1 + (1.6 - 2.0) / 1.0)
    by_hand = 0.5 + 7.5 / 2 * (u / 4 - u**3 / 6 + u**5 / 20)
    np.testing.assert_allclose(values, [1, 1, by_hand, 0, 0], atol=1e-15)
    inside = np.linspace(1.1, 1.9, 9)
    rate = differences(lambda x: step_down(x, 2.0, 1.0)[0], inside, 1e-3)
    np.testing.assert_allclose(step_down(inside, 2.0, 1.0)[1], rate, atol=1e-11)
    assert step_down(np.array([1.9, 2.1]), 2.0, 0.0)[0].tolist() == [1.0, 0.0] and slopes[[0, -1]].tolist() == [0, 0]


def test_cores_by_hand():
    r = 1.3
    value = gaussian_core(np.array([r]), 4.0, -3.0, -0.5)[0][0]
    assert value == pytest.approx(3 * math.exp(-0.5 * r * r) / r * 0.5 * (1 + math.cos(math.pi * r / 4)), rel=1e-14)
    np.testing.assert_allclose(
        gaussian_core(R, 4.0, 3.0, 0.5)[1], differences(lambda x: gaussian_core(x, 4.0, 3.0, 0.5)[0], R), rtol=1e-8
    )
    assert gaussian_core(np.array([8.0]), 10.0, 3.0, 1.0)[0] == 0  # λr² beyond 50


def test_zbl_core():
    """Half of the repulsion of nuclei far inside, up to a constant; zero with its slope at the cutoff."""
    charges = (14, 32)
    a = 0.46850 / (14**0.23 + 32**0.23)
    weights, rates = [0.18175, 0.50986, 0.28022, 0.02817], [3.19980, 0.94229, 0.40290, 0.20162]

    def repulsion(r):
        return 14.399645351950543 * 14 * 32 / r * sum(c * math.exp(-d * r / a) for c, d in zip(weights, rates))

    V = zbl_core(np.array([0.5, 0.8]), 2.0, 1.0, 0.5, charges)[0]
    assert V[0] - V[1] == pytest.approx((repulsion(0.5) - repulsion(0.8)) / 2, rel=1e-13)
    r = np.linspace(0.4, 1.99, 40)
    rate = differences(lambda x: zbl_core(x, 2.0, 0.7, 0.5, charges)[0], r, 1e-4)
    np.testing.assert_allclose(zbl_core(r, 2.0, 0.7, 0.5, charges)[1], rate, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(zbl_core(np.array([2.0]), 2.0, 1.0, 0.5, charges), 0, atol=1e-10)


# --- kernels against the description ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n_densities, m", [(1, 1.0), (1, 0.6), (2, 1.0), (2, 0.5), (3, 0.7)])
@pytest.mark.parametrize("family", FAMILIES)
def test_families_and_densities(family, n_densities, m):
    content = content_of(ELEMENTS, family, n_densities=n_densities, m=m, seed=3)
    wanted = assert_same(content, crystal(ELEMENTS, seed=1))
    assert abs(wanted.forces).max() > 0.1


@pytest.mark.parametrize("core", ["density", "distance", "zbl"])
@pytest.mark.parametrize("n_densities, m", [(1, 1.0), (2, 0.5)])
def test_cores(core, n_densities, m):
    """Where F ends, is led over, and is whole."""
    content = content_of(ELEMENTS, "SBessel", core, strength=6.0, n_densities=n_densities, m=m, seed=4)
    plain = content_of(ELEMENTS, "SBessel", n_densities=n_densities, m=m, seed=4)
    changes = []
    for scale in (0.7, 0.85, 1.0, 1.6):
        atoms = crystal(ELEMENTS, seed=2)
        atoms.set_cell(scale * atoms.cell.array, scale_atoms=True)
        changes.append(abs(assert_same(content, atoms).energies - evaluate_content(plain, atoms).energies).max())
    assert min(changes[:2]) > 0.1 and changes[3] < 1e-2 * changes[0]


@pytest.mark.parametrize("core", ["density", "distance", "zbl"])
def test_forces_with_cores_are_derivatives(core):
    potential = YacePotential(content_of(["Cu", "Zr"], "ChebPow", core, 5.0, 2, 0.5, seed=8, step=2e-4))
    atoms = crystal(["Cu", "Zr"], seed=2, n=1)

    def energy(shift):
        moved = atoms.copy()
        moved.positions[1] += shift
        return potential.evaluate(moved).energy

    result = potential.evaluate(atoms)
    along = np.array([0.6, 0.0, 0.8])
    rate = differences(lambda x: energy(x * along), 0.0, 1e-3)
    assert -result.forces[1] @ along == pytest.approx(rate, rel=1e-6, abs=1e-6)

    def strained(x):
        bent = atoms.copy()
        bent.set_cell(atoms.cell.array @ (np.eye(3) + x * np.array([[1, 0.3, 0], [0.3, 0, 0], [0, 0, 2]])), True)
        return potential.evaluate(bent).energy

    work = np.sum(result.virial * np.array([[1, 0.3, 0], [0.3, 0, 0], [0, 0, 2]]))
    assert -work == pytest.approx(differences(strained, 0.0, 1e-4), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_functions_that_are_combined_or_not(seed):
    """Both ways to the same sums: few g_k with large l are pooled, and many g_k are not."""
    content, rng = content_of(["Cu", "Zr"], "ChebPow", n_densities=2, m=0.5, seed=seed), np.random.default_rng(seed)
    counts = []
    for n_base in (2, 40):
        bonds = {
            pair: type(bond)(bond.rcut, bond.parameter, rng.normal(size=(3, 3, n_base)), bond.step, bond.family)
            for pair, bond in content.bonds.items()
        }
        terms = tuple(tuple(t for t in center if t.mus.shape[1] > 1) for center in content.terms)
        other = YaceContent(content.elements, content.E0, bonds, content.embeddings, terms)
        assert_same(other, crystal(["Cu", "Zr"], seed=seed))
        radial = [e._geometry._radial for e in YacePotential(other)._function._evaluators]
        counts.append({t.values.shape[1] for basis in radial for t in basis.tables.values()})
    assert counts[0] == {3} and counts[1].isdisjoint({41})


@pytest.mark.parametrize("kind", ["canonical", "self-interacting", "density"])
def test_files_of_ours(tmp_path, kind):
    """The file against the model that it was written from."""
    model, path = model_of(kind, ["Cu", "Zr"]), tmp_path / "model.yace"
    model.export_yace(path, step=2e-4)
    atoms = crystal(["Cu", "Zr"], seed=5)
    assert_same(read_yace(path).content, atoms)
    found, wanted = read_yace(path).evaluate(atoms), model.evaluate(atoms)
    np.testing.assert_allclose(found.energies, wanted.energies, rtol=0, atol=1e-7 * abs(wanted.energies).max())
    np.testing.assert_allclose(found.forces, wanted.forces, rtol=0, atol=1e-6 * abs(wanted.forces).max())


def test_densities_of_ours(tmp_path):
    embedded_model(["Cu", "Zr"], FinnisSinclair(3, 0.3)).export_yace(tmp_path / "model.yace")
    assert_same(read_yace(tmp_path / "model.yace").content, crystal(["Cu", "Zr"], seed=5))


def test_polynomials_without_tables(tmp_path):
    model = model_of("self-interacting", ["Cu", "Zr"], radial=POLYNOMIALS["linear"], rcut=None)
    model.export_yace(tmp_path / "model.yace", family="ACE.jl")
    atoms = crystal(["Cu", "Zr"], seed=5)
    assert_same(read_yace(tmp_path / "model.yace").content, atoms, digits=1e-13)
    found, wanted = read_yace(tmp_path / "model.yace").evaluate(atoms), model.evaluate(atoms)
    np.testing.assert_allclose(found.forces, wanted.forces, rtol=0, atol=1e-11 * abs(wanted.forces).max())


def test_species_without_functions():
    """Nothing for one species of center, pairs alone for another, and an equal function of both densities."""
    content = content_of(ELEMENTS, "ChebPow", n_densities=2, m=0.5, seed=6)
    pairs = content.terms[1][0]
    pairs.ctildes[:, 1] = pairs.ctildes[:, 0]
    few = YaceContent(content.elements, content.E0, content.bonds, content.embeddings, ((), (pairs,), content.terms[2]))
    assert_same(few, crystal(ELEMENTS, seed=3))
    alone = YaceContent(content.elements, content.E0, content.bonds, content.embeddings, ((), (), ()))
    result = YacePotential(alone).evaluate(crystal(ELEMENTS, seed=3))
    np.testing.assert_allclose(np.unique(result.energies), np.unique(content.E0), rtol=1e-15)
    assert not result.forces.any()


def test_isolated_atoms():
    for core in ("density", "zbl"):
        content = content_of(ELEMENTS, "SBessel", core, strength=5.0, n_densities=2, m=0.5)
        for atoms in (Atoms("Zr"), Atoms("ZrAl", [(0, 0, 0), (0, 0, 6)])):
            result = YacePotential(content).evaluate(atoms)
            assert result.energies[0] == content.E0[1] and not result.forces.any()


# --- what users hold --------------------------------------------------------------------------------------------------


def test_text_and_back(tmp_path):
    """All that a file can say is written and read."""
    path = tmp_path / "other.yace"
    for core in ("density", "distance", "zbl"):
        content = content_of(ELEMENTS, "ChebExpCos", core, strength=2.0, n_densities=2, m=0.5, seed=5)
        path.write_text(yace_text(content), encoding="utf-8")
        potential, atoms = read_yace(path), crystal(ELEMENTS, seed=4)
        assert potential.content.core == core and potential.E0s["Zr"] == content.E0[1]
        wanted = YacePotential(content).evaluate(atoms)
        np.testing.assert_allclose(potential.evaluate(atoms).forces, wanted.forces, rtol=0, atol=1e-12)


def test_lists_threads_and_copies():
    potential, atoms = YacePotential(content_of(ELEMENTS, "SBessel", "zbl", 4.0, 2, 0.5)), crystal(ELEMENTS, seed=4)
    wanted = potential.evaluate(atoms, num_threads=1)
    skin = VerletList(potential.basis, 0.7).update(atoms)
    for result in (
        potential.evaluate(atoms, neighbors=skin, num_threads=2),
        pickle.loads(pickle.dumps(potential)).evaluate(atoms),
        copy.deepcopy(potential).evaluate(atoms, neighbors=potential.basis.neighbor_list(atoms)),
    ):
        np.testing.assert_allclose(result.energies, wanted.energies, rtol=0, atol=1e-12)
        np.testing.assert_allclose(result.forces, wanted.forces, rtol=0, atol=1e-11)


def test_dimer():
    content = content_of(["Cu"], "ChebExpCos")
    potential, pair = YacePotential(content), Atoms("Cu2", [(0, 0, 0), (0, 0, 2.5)])
    wanted = evaluate_content(content, pair).energy - 2 * content.E0[0]
    assert potential.dimer("Cu", "Cu", [2.5])[0] == pytest.approx(wanted, rel=1e-12)


def test_tables_that_do_not_fit():
    content = content_of(["Cu"], "ChebPow", step=4e-7)
    bond = content.bonds[0, 0]
    bonds = {(0, 0): type(bond)(bond.rcut, bond.parameter, np.zeros((1, 1, 10**4)), bond.step)}
    potential = YacePotential(YaceContent(content.elements, content.E0, bonds, content.embeddings, ((),)))
    with pytest.raises(ValueError, match=r"the tables of radial functions of shape .* the file has too many nodes"):
        potential.evaluate(Atoms("Cu"))
