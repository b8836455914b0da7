"""Weights by errors of folds left out: against explicit refits, and where the answer is known."""

from dataclasses import replace

import numpy as np
import pytest
from cases.regression import E0S, known_model, labeled_by, strained_crystals

from acepure import ACEBasis
from acepure.fitting import resolve_weights
from acepure.fitting.design import Design
from acepure.fitting.group_choice import final_rows, held_out_by_group, held_out_text
from acepure.fitting.labeled import LabeledData
from acepure.fitting.priors import SmoothnessPrior
from acepure.fitting.recipe_errors import HeldOut
from acepure.fitting.recipe_triangles import assemble_folds, interleaved_folds
from acepure.fitting.system import unknowns
from acepure.fitting.weight_choice import choose_weights

FOLDS, DEFAULT = 4, (30.0, 1.0, 1.0)
WORK = {"workers": 1, "num_threads": 1, "progress": False}
BASIS = ACEBasis(["Cu"], order=2, totaldegree=3)
COORDINATES = unknowns(BASIS, SmoothnessPrior())


def labeled_structures(n=24, offset=0.0, noise=None):
    """Of a richer model; virials off by a pressure, forces and energies with noise by group."""
    rng = np.random.default_rng(0)
    items = labeled_by(known_model(ACEBasis(["Cu"], order=2, totaldegree=4)), strained_crystals(["Cu"], n))
    result = []
    for k, item in enumerate(items):
        group = "noisy" if k % 2 else "clean"
        size = (noise or {}).get(group, 0.0)
        result.append(
            replace(
                item,
                energy=item.energy + size * len(item.atoms) ** 0.5 * rng.normal(),
                forces=item.forces + size * rng.normal(size=item.forces.shape),
                virial=None if item.virial is None else item.virial + offset * len(item.atoms) * np.eye(3),
                config_type=group,
            )
        )
    return LabeledData(tuple(result))


def rows_of(labeled):
    return assemble_folds(Design(BASIS, resolve_weights((1.0, 1.0, 1.0)), E0S), labeled, FOLDS, progress=False)


def test_errors_by_structure_are_those_of_the_rows():
    labeled, design = labeled_structures(), Design(BASIS, resolve_weights((1.0, 1.0, 1.0)), E0S)
    held_out = HeldOut.of(rows_of(labeled), COORDINATES, DEFAULT)
    found = held_out_by_group(held_out, DEFAULT, design, labeled, WORK)
    fold, _ = interleaved_folds([item.config_type for item in labeled], FOLDS)
    forces = []
    for k, item in enumerate(labeled):
        rows = design.rows(item)
        n = 1 + 3 * len(item.atoms)
        forces += list((rows[1:n] @ np.append(held_out.coefficients(DEFAULT, int(fold[k])), -1.0)) ** 2)
    assert found.all("forces").rmse == pytest.approx(np.sqrt(np.mean(forces)), rel=1e-9)
    pooled = held_out.errors(DEFAULT)
    assert pooled.energy == pytest.approx(found.all("energy").mae, rel=1e-9)
    assert pooled.forces == pytest.approx(found.all("forces").rmse, rel=1e-9)


def test_scores_of_folds_are_logarithms_of_their_errors():
    labeled = labeled_structures()
    rows = rows_of(labeled)
    held_out = HeldOut.of(rows, COORDINATES, DEFAULT)
    expected = []
    for fold in range(FOLDS):
        vector = np.append(held_out.coefficients(DEFAULT, fold), -1.0)
        forces = rows.blocks[fold, "forces"] @ vector
        energy = np.abs(rows.energies[rows.energy_folds == fold] @ vector).mean()
        expected.append(np.log(energy) + 0.5 * np.log(forces @ forces / rows.n_rows[fold, "forces"]))
    np.testing.assert_allclose(held_out.fold_scores(DEFAULT, ("energy", "forces")), expected, rtol=1e-12)


@pytest.mark.parametrize("offset, used", [(0.0, True), (5.0, False)])
def test_virials_that_contradict_the_others_have_no_weight(offset, used):
    choice, _ = choose_weights(rows_of(labeled_structures(offset=offset)), COORDINATES, DEFAULT, ())
    assert (choice.weights[2] > 0) is used
    assert bool(choice.contradiction) is not used
    kept, _ = choose_weights(rows_of(labeled_structures(offset=5.0)), COORDINATES, DEFAULT, (), virials_may_go=False)
    assert kept.weights == DEFAULT


def test_the_default_stays_unless_another_is_better_beyond_chance():
    rows = rows_of(labeled_structures())
    tried = (0.3, 3.0, 30.0, 300.0)
    choice, held_out = choose_weights(rows, COORDINATES, DEFAULT, tried)
    scores = {w: held_out.fold_scores((w, 1.0, 1.0), ("energy", "forces", "virial")) for w in tried}
    best = min(tried, key=lambda w: scores[w].mean())
    d = {w: scores[w] - scores[best] for w in tried}
    near = [w for w in tried if d[w].mean() <= d[w].std(ddof=1) / np.sqrt(FOLDS)]
    assert choice.weights[0] == min(near, key=lambda w: abs(np.log(w / 30)))
    same, _ = choose_weights(rows, COORDINATES, DEFAULT, (30.0,))
    assert same.weights == DEFAULT and "the default" in same.text


def test_two_structures_are_too_few_to_choose():
    labeled = LabeledData(labeled_structures().structures[:2])
    rows = assemble_folds(Design(BASIS, resolve_weights((1.0, 1.0, 1.0)), E0S), labeled, 2, progress=False)
    choice, _ = choose_weights(rows, COORDINATES, DEFAULT)
    assert choice.weights[1:] == DEFAULT[1:] and np.isfinite(choice.scores).all()


def test_a_noisy_group_weighs_less_if_that_serves():
    """Noise in one of two groups: the weights of the other are larger, and the same rows come from these weights."""
    labeled = labeled_structures(40, noise={"noisy": 0.5})
    design = Design(BASIS, resolve_weights(None, labeled.config_types), E0S)
    found = final_rows(design, labeled, COORDINATES, FOLDS, energy_weights=(30.0,), **WORK)
    taken = any("are taken" in text for text in found.reasons)
    assert taken or any("do not serve" in text for text in found.reasons)
    assert taken == (found.weights.of("noisy") != found.weights.of("clean"))
    if taken:
        assert found.weights.of("noisy").forces < found.weights.of("clean").forces
    again = final_rows(replace(design, weights=found.weights), labeled, COORDINATES, FOLDS, **WORK)
    np.testing.assert_array_equal(again.triangle().R, found.triangle().R)
    texts = [held_out_text(x, COORDINATES, design, labeled, **WORK) for x in (again, found)]
    assert texts[0] == texts[1] and again.weights == found.weights
