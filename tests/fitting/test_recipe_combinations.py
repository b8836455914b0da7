"""Combinations of elements left out: which, by what they are predicted, and what it is good for."""

from itertools import product

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from acepure import ACEBasis, LinearACE
from acepure.fitting import SmoothnessPrior, label_structures, recipe, resolve_weights
from acepure.fitting.design import Design
from acepure.fitting.recipe_combinations import choose_correlations, folds_of_combinations, left_out_with
from acepure.fitting.recipe_triangles import KINDS, assemble_folds
from acepure.fitting.solvers import largest_evidence
from acepure.fitting.system import unknowns
from acepure.labels.selection import Specification

METALS = ["Ni", "Cu", "Pd"]
WEIGHTS = (30.0, 1.0, 1.0)
QUIET = {"progress": False, "verbose": False, "num_threads": 1, "check": False}


def alloys(sets, n, seed=0):
    """Rattled cells of four atoms that hold all of some elements, with labels of EMT; each set is a group."""
    rng, result = np.random.default_rng(seed), []
    for elements, k in product(sets, range(n)):
        atoms = bulk("Cu", cubic=True, a=3.6 + 0.15 * rng.random())
        atoms.symbols = rng.permutation([*elements, *rng.choice(elements, size=4 - len(elements))])
        atoms.rattle(0.1, seed=1000 * seed + k)
        atoms.calc = EMT()
        found = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
        atoms.calc = SinglePointCalculator(atoms, **found)
        atoms.info["config_type"] = "-".join(elements)
        result.append(atoms)
    return result


@pytest.fixture(scope="module")
def without_one():
    """Elements and binaries, Cu-Pd left out."""
    return alloys([["Ni"], ["Cu"], ["Pd"], ["Ni", "Cu"], ["Ni", "Pd"]], 6)


def sets_of(*names):
    return [frozenset(name) for name in names]


def test_folds_are_sets_of_elements():
    fold, members = folds_of_combinations(sets_of("A", "AB", "B", "BA", "AC", "ABC"))
    assert fold.tolist() == [0, 1, 0, 1, 2, 3]
    assert members == [sets_of("A", "B"), sets_of("AB"), sets_of("AC"), sets_of("ABC")]


def test_many_sets_share_folds():
    letters = "ABCDEFG"
    sets = sets_of(*letters, *(a + b for k, a in enumerate(letters) for b in letters[k + 1 :]))
    fold, members = folds_of_combinations(sets)
    assert fold.max() == 12 and sum(map(len, members)) == len(sets)
    for one, k in zip(sets, fold):
        assert one in members[k]


def test_what_holds_a_combination_is_left_out_with_it():
    _, members = folds_of_combinations(sets_of("A", "B", "C", "AB", "AC", "ABC"))
    assert left_out_with(members) == {1: {1, 3}, 2: {2, 3}, 3: {3}}
    # C is in no other structure than those with A: what it does cannot be known without them.
    _, members = folds_of_combinations(sets_of("A", "B", "AB", "AC"))
    assert left_out_with(members) == {1: {1}}
    assert left_out_with(folds_of_combinations(sets_of("A", "B"))[1]) == {}


def brute_force(rows, kinds, outside, coordinates, lam):
    """log E + log F of some structures by a ridge fit to the rows of all others."""
    inside = [k for k in range(len(rows)) if k not in outside]
    fitted = np.vstack([np.array(WEIGHTS)[kinds[k], None] * rows[k] for k in inside])
    n = coordinates.T.shape[1]
    X = np.vstack([fitted[:, :-1] @ coordinates.T, np.sqrt(lam) * np.eye(n)])
    theta = np.append(coordinates.T @ np.linalg.lstsq(X, np.append(fitted[:, -1], np.zeros(n)), rcond=None)[0], -1.0)
    errors = [np.concatenate([(rows[k] @ theta)[kinds[k] == kind] for k in outside]) for kind in (0, 1)]
    return sum(np.log(np.sqrt(np.mean(e**2))) for e in errors)


def test_correlations_are_those_that_predict_combinations_left_out(without_one):
    labeled = label_structures(without_one)
    basis = ACEBasis(METALS, 4.5, totaldegree=(3, 2))
    design = Design(basis, resolve_weights((1.0, 1.0, 1.0)), {s: 0.0 for s in METALS})
    sets = [frozenset(item.atoms.symbols) for item in labeled]
    fold, members = folds_of_combinations(sets)
    left = left_out_with(members)
    assert left == {1: {1}, 2: {2}} and KINDS[:2] == ("energy", "forces")
    rows = assemble_folds(design, labeled, fold)
    chosen, text = choose_correlations(basis, SmoothnessPrior(), rows, left, WEIGHTS)
    scores, evidence = {}, {}
    every = [design.rows(item) for item in labeled]
    kinds = [np.repeat(range(3), design.rows_by_kind(item)) for item in labeled]
    for pair in product((0.9, 0.99, 0.999, 0.9999), (0.0, 0.9, 0.99, 0.999)):
        coordinates = unknowns(basis, SmoothnessPrior(neighbors=pair[0], centers=pair[1]))
        lam, evidence[pair] = largest_evidence(coordinates.problem(rows.weighted(WEIGHTS)))
        scores[pair] = np.array([brute_force(every, kinds, np.flatnonzero(fold == g), coordinates, lam) for g in left])
    best = min(scores, key=lambda pair: scores[pair].mean())
    differences = {pair: score - scores[best] for pair, score in scores.items()}
    near = [pair for pair, d in differences.items() if d.mean() <= d.std(ddof=1) / np.sqrt(len(d))]
    expected = max(near, key=evidence.get)
    assert (chosen.neighbors, chosen.centers) == expected and len(near) < len(scores)
    assert f"correlation {expected[0]:g} between neighbors" in text and "2 combinations" in text
    kept, _ = choose_correlations(basis, SmoothnessPrior(neighbors=0.5, centers=0.25), rows, left, WEIGHTS)
    assert (kept.neighbors, kept.centers) == (0.5, 0.25)


def test_the_recipe_predicts_a_combination_that_never_met(without_one, monkeypatch):
    # So few structures would not be enough to select from.
    monkeypatch.setattr(recipe, "_ROWS_PER_UNKNOWN", 1)
    with pytest.warns(UserWarning, match="no structure holds Cu-Pd"):
        model = LinearACE.fit(without_one, size=90, uncertainty=False, **QUIET)
    assert any("by 2 combinations of elements left out" in line for line in model.report["summary"])
    choices = model.report["choices"]
    assert any("by total degree; none are selected, as 1 pairs" in line for line in model.report["summary"])
    assert choices["prior"]["neighbors"] >= 0.9
    assert model.basis.specification == Specification.create(METALS, 2, n_functions=30, **recipe.SHAPE)
    basis, prior = ACEBasis.from_dict(choices["basis"]), SmoothnessPrior(neighbors=0, centers=0)
    with pytest.warns(UserWarning, match="no structure holds Cu-Pd"):
        apart = LinearACE.fit(without_one, basis, prior=prior, uncertainty=False, **QUIET)
    test = alloys([["Cu", "Pd"]], 8, seed=5)
    found, none = model.errors(test, progress=False), apart.errors(test, progress=False)
    assert found.all("energy").rmse < 0.4 * none.all("energy").rmse
    assert found.all("forces").rmse < 0.2 * none.all("forces").rmse
    met = model.errors(alloys([["Cu", "Ni"], ["Ni", "Pd"]], 4, seed=5), progress=False)
    # With functions selected one by one 300 and 12 times as large.
    assert found.all("energy").rmse < 40 * met.all("energy").rmse
    assert found.all("forces").rmse < 4 * met.all("forces").rmse
