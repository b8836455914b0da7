"""The recipe for thousands of unknowns, on a few: degrees by counting, errors left out by dense ridge."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from acepure import ACEBasis, LinearACE
from acepure.fitting import fit, normal_equations, resolve_weights
from acepure.fitting.design import Design
from acepure.fitting.fit import labeled_data
from acepure.fitting.normal_equations import held_out_score
from acepure.fitting.occupancy import can_be_nonzero, neighbors_present
from acepure.fitting.recipe_large import degrees_within
from acepure.fitting.recipe_triangles import interleaved_folds
from acepure.labels.selection import Specification


def molecules(n=20):
    rng, found = np.random.default_rng(0), []
    for k in range(n):
        atoms = Atoms("CuAuCu2" if k % 2 else "CuAu2", rng.normal(scale=0.1, size=(4 if k % 2 else 3, 3)))
        atoms.positions += [[0, 0, 0], [0, 0, 2.5], [0, 2.4, 0.3], [2.6, 0.2, 0]][: len(atoms)]
        atoms.info["config_type"] = "odd" if k % 2 else "even"
        atoms.calc = EMT()
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        found.append(atoms)
    return found


@pytest.mark.parametrize("canonical", [True, False])
@pytest.mark.parametrize(("size", "step"), [(60, 1.0), (150, 2.0), (150, 1.0)])
def test_degrees_are_the_largest_of_their_size(canonical, size, step):
    """Unknowns by the labels of functions and the neighbors that each center has."""
    structures = molecules(4)[1::2]
    lowest = Specification.create(["Cu", "Au"], 3, totaldegree=[1, 2, 3], wL=1.5, n_start=1)

    def basis(degrees):
        return ACEBasis(["Cu", "Au"], rcut=4.0, order=3, totaldegree=degrees, wL=1.5, n_start=1, canonical=canonical)

    present = neighbors_present(basis([1, 2, 3]), structures)
    assert [len(counts) for counts in present] == [1, 1]  # all atoms of a species have the same neighbors
    most = [counts[0] for counts in present]
    sequence = [
        [max(top + (k < more) - k * step, k + 1) for k in range(3)] for top in range(1, 15) for more in range(3)
    ]
    sizes = [int(can_be_nonzero(basis(degrees), structures).sum()) for degrees in sequence]
    assert sizes == sorted(sizes) and sizes[-1] > size
    found = degrees_within(lowest, most, size, step, canonical=canonical)
    assert list(found) == [degrees for degrees, n in zip(sequence, sizes) if n <= size][-1]
    with pytest.raises(ValueError, match="is too small: order 3 has at least"):
        degrees_within(lowest, most, 2, step)


@pytest.mark.parametrize("thinning", [1, 2])
def test_scores_are_those_of_dense_ridge(monkeypatch, thinning):
    alphas = (1e-4, 1e-7, 1e-10)
    monkeypatch.setattr(normal_equations, "ALPHAS", alphas)
    basis = ACEBasis(["Cu", "Au"], rcut=4.0, order=2, totaldegree=4)
    design = Design(basis, resolve_weights((30, 1, 1)), {"Cu": 0.5, "Au": 0.2})
    labeled = labeled_data(molecules(40))
    kept = [item for k, item in enumerate(labeled) if (k // 2) % thinning == 0]
    rows = [design.rows(item) for item in kept]
    out = interleaved_folds([item.config_type for item in kept], 10)[0] == 0
    X = np.concatenate(rows)
    features = np.tile(np.concatenate([[False], np.ones(len(basis), dtype=bool)]), 2)
    Z, y = X[:, :-1][:, features], X[:, -1]
    n = int(can_be_nonzero(basis, [item.atoms for item in kept]).sum())
    length = np.linalg.norm(Z, axis=0)
    Z = Z[:, length > 1e-13 * length.max()]
    Z /= np.linalg.norm(Z, axis=0)
    Z = Z[:, ~(np.abs(np.triu(Z.T @ Z, 1)) >= 1 - 1e-13).any(axis=0)]
    held = np.repeat(out, [len(part) for part in rows])
    energy = np.concatenate([np.arange(len(part)) == 0 for part in rows])
    scores = []
    for alpha in alphas:
        stacked = np.vstack([Z[~held], np.sqrt(alpha * n) * np.eye(Z.shape[1])])
        u = np.linalg.lstsq(stacked, np.append(y[~held], np.zeros(Z.shape[1])), rcond=None)[0]
        error = Z @ u - y
        rms = [np.sqrt(np.mean(error[held & kind] ** 2)) for kind in (energy, ~energy)]
        scores.append(np.mean(np.log(rms)))
    score, n_unknowns = held_out_score(design, labeled, thinning=thinning)
    assert n_unknowns == Z.shape[1] and score == pytest.approx(min(scores), abs=1e-6)


def test_fits_of_a_large_size(monkeypatch, tmp_path):
    """The fit is that to the basis it says it chose; finished candidates are taken from the folder."""
    monkeypatch.setattr(fit, "LARGE_SIZE", 50)
    structures, options = molecules(), {"E0s": 0, "verbose": False, "check": False, "calibrate_by": None}
    model = LinearACE.fit(structures, size=200, checkpoint=tmp_path / "kept", **options)
    lines = model.report["summary"]
    assert "by errors of a tenth of the structures left out" in lines[0] and lines[1].startswith("total degrees")
    assert any(line.startswith("Cholesky") for line in lines)
    assert 50 < (model.coefficients != 0).sum() <= 200
    basis = ACEBasis.from_dict(model.report["choices"]["basis"])
    again = LinearACE.fit(structures, basis, solver="cholesky", **options)
    np.testing.assert_array_equal(again.coefficients, model.coefficients)
    assert len(list((tmp_path / "kept").iterdir())) >= 6

    def never(*arguments, **work):
        raise AssertionError

    monkeypatch.setattr("acepure.fitting.recipe_large.held_out_score", never)
    third = LinearACE.fit(structures, size=200, checkpoint=tmp_path / "kept", **options)
    np.testing.assert_array_equal(third.coefficients, model.coefficients)


def test_sizes_are_checked_before_any_work():
    with pytest.raises(TypeError, match="size must be an integer"):
        LinearACE.fit(molecules(2), size="many", verbose=False)
    with pytest.raises(ValueError, match="size must be"):
        LinearACE.fit(molecules(2), size=0, verbose=False)
    for size in (None, 30, 3000):
        with pytest.raises(ValueError, match="needs at least 2 structures; got 1; give a basis"):
            LinearACE.fit(molecules(1), size=size, verbose=False)
