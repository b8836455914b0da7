"""The automatic recipe end to end on small structures of EMT: choices, sizes, the same bits, errors."""

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from scipy.sparse import csr_array

from acepure import ACEBasis, LinearACE
from acepure.fitting import SmoothnessPrior, label_structures
from acepure.fitting.recipe import _needs, _Search, default_size, take_census
from acepure.structures.files import StructureFiles

QUIET = {"progress": False, "verbose": False, "num_threads": 1}


def structures_of(symbols, n, seed=0):
    """Rattled, strained cells of 4 atoms with labels of EMT; two groups."""
    rng = np.random.default_rng(seed)
    result = []
    for k in range(n):
        atoms = bulk("Cu", cubic=True, a=3.6 + 0.2 * rng.random())
        atoms.symbols = rng.choice(symbols, size=len(atoms))
        atoms.rattle(0.15, seed=seed + k)
        atoms.calc = EMT()
        found = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
        atoms.calc = SinglePointCalculator(atoms, **found)
        atoms.info["config_type"] = "odd" if k % 2 else "even"
        result.append(atoms)
    return result


@pytest.fixture(scope="module")
def copper():
    structures = structures_of(["Cu"], 30)
    return structures, LinearACE.fit(structures, size=24, **QUIET)


def test_sizes_grow_with_the_number_of_species():
    assert [default_size(n) for n in (1, 2, 3, 4)] == [300, 849, 1559, 2400]


def test_the_size_is_that_of_all_unknowns(copper):
    _, model = copper
    assert 20 <= len(model.basis) <= 24
    alloy = LinearACE.fit(structures_of(["Cu", "Ag"], 16), size=40, **QUIET)
    assert alloy.basis.species == ("Cu", "Ag") and 30 <= 2 * len(alloy.basis) <= 40


def test_it_beats_a_basis_by_total_degree_on_new_structures(copper):
    structures, model = copper
    plain = LinearACE.fit(structures, ACEBasis(["Cu"], n_functions=24), **QUIET)
    new = structures_of(["Cu"], 20, seed=100)
    found, known = model.errors(new, progress=False), plain.errors(new, progress=False)
    assert found.all("forces").rmse < known.all("forces").rmse


def test_what_was_chosen_makes_the_same_fit_again(copper):
    structures, model = copper
    choices = model.report["choices"]
    given = {"prior": SmoothnessPrior.from_dict(choices["prior"])} | {k: choices[k] for k in ("weights", "folds")}
    again = LinearACE.fit(structures, ACEBasis.from_dict(choices["basis"]), **given, **QUIET)
    np.testing.assert_array_equal(again.coefficients, model.coefficients)
    np.testing.assert_array_equal(again.posterior, model.posterior)


def test_streams_change_no_bit(copper, tmp_path):
    structures, _ = copper
    ase.io.write(tmp_path / "a.extxyz", structures)
    held, streamed = list(StructureFiles(str(tmp_path / "a.extxyz"))), StructureFiles(str(tmp_path / "a.extxyz"))
    one, other = (LinearACE.fit(data, size=24, **QUIET) for data in (held, streamed))
    np.testing.assert_array_equal(one.coefficients, other.coefficients)


def test_virials_that_contradict_energies_are_not_used():
    cells = [bulk("Cu", a=a) * 2 for a in np.linspace(3.5, 3.75, 16)]
    for k, atoms in enumerate(cells):
        atoms.calc = EMT()
        energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        group = "good" if k % 2 else "bad"
        if group == "bad":
            stress[:3] += 0.05  # 8 GPa
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces, stress=stress)
        atoms.info["config_type"] = group
    with pytest.warns(UserWarning, match="virials of 'bad' contradict"):
        model = LinearACE.fit(cells, size=8, **QUIET)
    weights = model.report["choices"]["weights"]
    assert weights["bad"][2] == 0 and weights["good"][2] == weights["default"][2] == 1
    assert any("not used: bad" in line for line in model.report["summary"])


def test_census_against_distances_one_by_one():
    structures = structures_of(["Cu", "Ag"], 5)
    census = take_census(label_structures(structures))
    nearest = []
    for atoms in structures:
        distances = (atoms * 3).get_all_distances(mic=True)[: len(atoms)]
        distances[distances == 0] = np.inf
        nearest += list(distances.min(axis=1))
    assert census.nearest == pytest.approx(np.median(nearest), abs=0.1)
    values = np.sort(nearest)
    assert (values < census.nearest + 0.001).sum() >= len(values) / 2 >= (values < census.nearest - 0.001).sum()
    assert census.n_forces == 3 * sum(map(len, structures))


@pytest.mark.parametrize("canonical", [True, False])
def test_needed_products_are_those_that_a_feature_depends_on(canonical):
    """B = C_ext' AA: perturb one product at a time."""
    basis = ACEBasis(["Cu"], order=3, totaldegree=4, n_start=1, canonical=canonical)
    operators = basis.operators(basis.species[0])
    matrix = operators.extended_symmetrization.toarray()
    used = np.abs(matrix) > 0
    if operators.invariant_purification is not None:
        used = (np.abs(operators.invariant_purification.toarray()) > 0).astype(int) @ used.astype(int) > 0
    groups = [np.array([k]) for k in range(len(basis))]
    found = _needs(basis, groups)
    assert isinstance(found, csr_array)
    np.testing.assert_array_equal(found.toarray() > 0, used)
    joined = _needs(basis, [np.arange(len(basis))])
    np.testing.assert_array_equal(joined.toarray()[0] > 0, used.any(axis=0))


def test_families_of_blocks_stay_together_where_species_never_met():
    apart = [*structures_of(["Cu"], 4), *structures_of(["Ag"], 4)]
    together = structures_of(["Cu", "Ag"], 8)
    pool = ACEBasis(["Cu", "Ag"], order=2, totaldegree=3, n_start=1)
    search = _Search(label_structures(apart), None, None, (30, 1, 1), (), True, 2, {})
    names, columns = search._groups(pool)
    assert sorted(np.concatenate(columns)) == list(range(len(pool)))
    for functions in names:
        assert {tuple(sorted({s for s, _, _ in f})) for f in functions} >= {("Cu",), ("Ag",)}
    search = _Search(label_structures(together), None, None, (30, 1, 1), (), True, 2, {})
    names, columns = search._groups(pool)
    assert all(len(functions) == 1 for functions in names)
    assert [list(f[0]) for f in names] == [
        list(f) for f in dict.fromkeys(tuple(zip(x.species, x.n, x.l)) for x in pool.labels)
    ]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"size": 0}, "size"),
        ({"size": 2.5}, "size"),
        ({"basis": ACEBasis(["Cu"]), "size": 10}, "the basis given has its own size"),
        ({"folds": 1}, "folds"),
        ({"folds": 99}, "folds must be at most the number of structures, 6; got 99"),
        ({"canonical": "yes"}, "canonical must be True or False"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        LinearACE.fit(structures_of(["Cu"], 6), **arguments, **QUIET)


def test_one_structure_is_not_enough():
    with pytest.raises(ValueError, match="at least 2 structures"):
        LinearACE.fit(structures_of(["Cu"], 1), **QUIET)
