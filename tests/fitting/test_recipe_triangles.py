"""Reduced rows by fold and kind of label, and errors of folds left out, against all rows and explicit refits."""

import numpy as np
import pytest
from cases.regression import E0S, known_model, labeled_by, strained_crystals

from acepure import ACEBasis
from acepure.fitting import resolve_weights
from acepure.fitting.design import Design, assemble
from acepure.fitting.labeled import LabeledData
from acepure.fitting.labels import LabeledStructure
from acepure.fitting.priors import SmoothnessPrior
from acepure.fitting.recipe_errors import HeldOut
from acepure.fitting.recipe_triangles import KINDS, assemble_folds, interleaved_folds
from acepure.fitting.system import unknowns

FOLDS = 3


@pytest.fixture(scope="module")
def case():
    """A basis that cannot reproduce the labels, in several groups, and all its rows one by one."""
    rich, basis = ACEBasis(["Cu"], order=2, totaldegree=5), ACEBasis(["Cu"], order=2, totaldegree=3)
    items = labeled_by(known_model(rich), strained_crystals(["Cu"], 12))
    groups = ["a", "b", "b", "a", "c"]
    labeled = LabeledData(
        tuple(
            LabeledStructure(x.atoms, x.energy, x.forces, x.virial, groups[k % len(groups)])
            for k, x in enumerate(items)
        )
    )
    design = Design(basis, resolve_weights((1.0, 1.0, 1.0)), E0S)
    return design, labeled


def rows_by_kind(design, item):
    rows, edges = design.rows(item), np.cumsum([0, *design.rows_by_kind(item)])
    return {kind: rows[a:b] for kind, a, b in zip(KINDS, edges, edges[1:])}


def test_folds_spread_every_group_evenly():
    types = list("aabacbbbaacd")
    fold, turn = interleaved_folds(types, 3)
    for name in "abcd":
        mine = np.array([t == name for t in types])
        sizes = np.bincount(fold[mine], minlength=3)
        assert sizes.max() - sizes.min() <= 1
        for f in range(3):
            np.testing.assert_array_equal(turn[mine & (fold == f)], np.arange((mine & (fold == f)).sum()))
    assert len(set(fold[np.array([t in "cd" for t in types])])) == 2  # groups of one structure do not meet


def test_blocks_have_the_gram_matrices_of_their_rows(case):
    design, labeled = case
    found = assemble_folds(design, labeled, FOLDS)
    fold, _ = interleaved_folds([item.config_type for item in labeled], FOLDS)
    for (f, kind), block in found.blocks.items():
        rows = np.vstack([rows_by_kind(design, item)[kind] for k, item in enumerate(labeled) if fold[k] == f])
        assert found.n_rows[f, kind] == len(rows)
        np.testing.assert_allclose(block.T @ block, rows.T @ rows, rtol=1e-10, atol=1e-9)
    weights = (7.0, 0.5, 3.0)
    whole = assemble(Design(design.basis, resolve_weights(weights), E0S), labeled)
    triangle = found.weighted(weights)
    assert triangle.n_rows == whole.n_rows
    np.testing.assert_allclose(triangle.R.T @ triangle.R, whole.R.T @ whole.R, rtol=1e-10, atol=1e-8)
    energies = np.array([item.energy - len(item.atoms) * E0S["Cu"] for item in labeled])
    per_atom = energies / [len(item.atoms) for item in labeled]
    np.testing.assert_allclose(sorted(found.energies[:, -1]), sorted(per_atom), rtol=1e-12)


def test_blocks_do_not_depend_on_workers(case):
    design, labeled = case
    many = LabeledData(labeled.structures * 8)
    one, two = assemble_folds(design, many, FOLDS), assemble_folds(design, many, FOLDS, workers=2)
    assert one.blocks.keys() == two.blocks.keys()
    for key, block in one.blocks.items():
        assert np.array_equal(block, two.blocks[key])
    assert np.array_equal(one.energies, two.energies)


def test_thinned_forces(case):
    """Forces of every second structure of each group and fold, energies of all."""
    design, labeled = case
    found = assemble_folds(design, labeled, FOLDS, thinning=2)
    fold, turn = interleaved_folds([item.config_type for item in labeled], FOLDS)
    for f in range(FOLDS):
        mine = [item for k, item in enumerate(labeled) if fold[k] == f]
        full = [item for k, item in enumerate(labeled) if fold[k] == f and turn[k] % 2 == 0]
        assert found.n_rows[f, "energy"] == len(mine) > len(full)
        assert found.n_rows[f, "forces"] == sum(3 * len(item.atoms) for item in full)


@pytest.mark.parametrize("weights", [(30.0, 1.0, 1.0), (3.0, 1.0, 0.5), (100.0, 2.0, 0.0)])
@pytest.mark.parametrize("lam", [1e-6, 1e-1])
def test_held_out_errors_are_those_of_explicit_refits(case, weights, lam):
    design, labeled = case
    prior = SmoothnessPrior()
    coordinates = unknowns(design.basis, prior)
    held_out = HeldOut.of(assemble_folds(design, labeled, FOLDS), coordinates, (30.0, 1.0, 1.0), lam)
    fold, _ = interleaved_folds([item.config_type for item in labeled], FOLDS)
    by_kind = [rows_by_kind(design, item) for item in labeled]
    energy, forces, virial = [], [], []
    for f in range(FOLDS):
        stacked = np.vstack(
            [w * by_kind[k][kind] for k in np.flatnonzero(fold != f) for w, kind in zip(weights, KINDS)]
        )
        T = coordinates.T
        rows = np.vstack([stacked[:, :-1] @ T, np.sqrt(lam) * np.eye(T.shape[1])])
        u = np.linalg.lstsq(rows, np.append(stacked[:, -1], np.zeros(T.shape[1])), rcond=None)[0]
        vector = np.append(T @ u, -1.0)
        np.testing.assert_allclose(held_out.coefficients(weights, f), T @ u, rtol=1e-5, atol=1e-6)
        for k in np.flatnonzero(fold == f):
            energy += list(np.abs(by_kind[k]["energy"] @ vector) / np.sqrt(len(labeled[k].atoms)))
            forces += list(by_kind[k]["forces"] @ vector)
            virial += list(by_kind[k]["virial"] @ vector)
    expected = np.mean(energy), np.sqrt(np.mean(np.square(forces))), np.sqrt(np.mean(np.square(virial)))
    found = held_out.errors(weights)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.score == pytest.approx(np.log(expected).sum(), rel=1e-6)


def test_some_columns(case):
    design, labeled = case
    whole = assemble_folds(design, labeled, FOLDS)
    part = whole.columns(np.array([0, 2, 3]))
    for key, block in part.blocks.items():
        np.testing.assert_array_equal(block, whole.blocks[key][:, [0, 2, 3, -1]])
