"""Lazy greedy selection makes the choice of greedy selection by dense determinants; what is no use is refused."""

import tracemalloc

import numpy as np
import pytest
from cases.emt import emt_structures

from acepure import ACEBasis, LinearACE, summed_gradients
from acepure.active import select
from acepure.active.selection import Rows
from acepure.fitting.priors import SmoothnessPrior

BASIS = ACEBasis(["Cu", "Ag"], order=2, totaldegree=4, rcut=4.5)


def design(atoms, basis, forces=True):
    """Rows for θ by central means, of energy and forces."""
    species = basis.species_indices(atoms)
    features = basis.descriptors(atoms)
    energy = np.concatenate([features[species == z].sum(axis=0) for z in range(2)])
    rows = [30 / np.sqrt(len(atoms)) * energy[None]]
    if forces:
        g = summed_gradients(basis, atoms).positions
        rows += [np.concatenate([g[z, i, a] for z in range(2)])[None] for i in range(len(atoms)) for a in range(3)]
    return np.concatenate(rows)


def brute_force(pool, n, P, forces=True, sums=None):
    """The structure of largest log det of the information, one by one; `sums` of rows of forces in place of all."""
    rows = [design(a, BASIS, forces) for a in pool]
    if sums is not None:
        rows = [np.concatenate([X[:1], omega @ X[1:]]) for X, omega in zip(rows, sums)]
    information, chosen, gains = [X.T @ X for X in rows], [], []
    for _ in range(n):
        now = np.linalg.slogdet(P)[1]
        values = [-np.inf if k in chosen else np.linalg.slogdet(P + I)[1] - now for k, I in enumerate(information)]
        chosen.append(int(np.argmax(values)))
        gains.append(values[chosen[-1]])
        P = P + information[chosen[-1]]
    return chosen, gains


def prior_information():
    """λ Γ² of canonical features, whose constraint drops the constant alone."""
    scales = np.tile(SmoothnessPrior("algebraic", 2).scales(BASIS), 2)
    return 1e-4 * np.diag(scales**2)


@pytest.mark.parametrize("forces", [True, False])
def test_lazy_greedy_is_greedy(forces):
    pool, start = emt_structures(25), emt_structures(3, seed=7)
    P = prior_information()
    for atoms in start:
        P = P + design(atoms, BASIS, forces).T @ design(atoms, BASIS, forces)
    chosen, gains = brute_force(pool, 12, P, forces)
    found = select(pool, 12, basis=BASIS, start=start, forces=forces)
    assert found.indices == chosen and not found.refused
    np.testing.assert_allclose(found.gains, gains, rtol=1e-6)
    assert found.gains == sorted(found.gains, reverse=True)
    assert found.n_evaluations < sum(25 - k for k in range(12))


def test_random_sums_of_forces():
    """In place of forces, where these are more; right on average."""
    pool = emt_structures(20)
    sums = []
    for k, atoms in enumerate(pool):
        signs = np.random.default_rng((5, k)).choice([-1.0, 1.0], (4, len(atoms), 3)) / 2
        sums.append(signs.reshape(4, -1) if len(atoms) > 1 else np.eye(3))
    chosen, gains = brute_force(pool, 8, prior_information(), sums=sums)
    found = select(pool, 8, basis=BASIS, sketch=4, seed=5)
    assert found.indices == chosen
    np.testing.assert_allclose(found.gains, gains, rtol=1e-6)
    assert select(pool, 8, basis=BASIS, sketch=1000).indices == select(pool, 8, basis=BASIS).indices

    rows = Rows(BASIS, np.eye(2 * len(BASIS)).reshape(2, len(BASIS), -1), True, 30.0, None, sketch=2)
    atoms = max(pool, key=len)
    assert len(rows.of(atoms, 0)) == rows.n_rows(atoms) == 3
    X = design(atoms, BASIS)[1:]
    mean = sum(rows.of(atoms, k)[1:].T @ rows.of(atoms, k)[1:] for k in range(1500)) / 1500
    assert np.linalg.norm(mean - X.T @ X) < 0.1 * np.linalg.norm(X.T @ X)


@pytest.mark.parametrize("method", ["farthest", "random"])
def test_copies_are_refused_by_every_method(method):
    pool = emt_structures(6)
    copies = [atoms.copy() for atoms in pool]
    for atoms in copies:
        atoms.positions += 0.005
    found = select([*pool, *copies], 12, basis=BASIS, method=method, start=[pool[2]])
    assert sorted(k % 6 for k in found.indices) == [0, 1, 3, 4, 5]
    assert found.refused[8] == "a copy of start[0]"
    assert all(found.refused[k] == f"a copy of pool[{(k + 6) % 12}]" for k in found.refused if k % 6 != 2)


def test_a_model_knows_its_structures():
    """P is that of the fit: its posterior, without the noise."""
    known, pool = emt_structures(20), emt_structures(15, seed=3)
    model = LinearACE.fit(
        known,
        BASIS,
        reference=None,
        solver="ridge",
        options={"alpha": 1e-6},
        calibrate_by=None,
        check=False,
        verbose=False,
    )
    S = model.posterior.reshape(-1, model.posterior.shape[2]) / model.report["regression"]["noise"]
    chosen, gains = brute_force(pool, 6, np.linalg.inv(S @ S.T))
    found = select(pool, 6, model=model)
    assert found.indices == chosen
    np.testing.assert_allclose(found.gains, gains, rtol=1e-5)


def test_copies_and_overlapping_atoms_are_refused():
    pool = emt_structures(6)
    copy, near = pool[1].copy(), pool[3].copy()
    copy.positions += 0.005
    copy.positions[0] += copy.cell[1]
    near.positions[0] = near.positions[1] + [0, 0, 1.0]
    found = select([*pool, copy, near], 8, basis=BASIS)
    assert sorted({*found.indices, *found.refused}) == list(range(8)) and len(found.indices) == 6
    assert "overlap: 1.000 Å" in found.refused[7]
    (twin,) = set(found.refused) - {7}
    assert twin in (1, 6) and found.refused[twin] == f"a copy of pool[{7 - twin}]"
    assert select([pool[1]], 1, basis=BASIS, start=[copy]).refused == {0: "a copy of start[0]"}
    assert f"refused: structure {twin}, a copy of" in str(found)


def test_rows_of_a_pool_are_held_in_bounded_memory(monkeypatch):
    """With room for the rows of two structures the choice is the same, and the rest of them are not held."""
    pool = [atoms * (2, 1, 1) for atoms in emt_structures(20)]
    n_bytes = 8 * 2 * len(BASIS) * (1 + 3 * 8)  # of one structure
    found, peaks = [], []
    for room in (1e12, 2.5 * n_bytes):
        monkeypatch.setattr("acepure.active.selection.physical_memory", lambda room=room: 8 * room)
        tracemalloc.start()
        found.append(select(pool, 4, basis=BASIS))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert found[0].indices == found[1].indices and found[0].gains == found[1].gains
    assert peaks[0] - peaks[1] > 15 * n_bytes


def test_farthest_points():
    pool = emt_structures(12)
    found = select(pool, 5, basis=BASIS, start=pool[:1], method="farthest")
    means = []
    for atoms in pool:
        species, features = BASIS.species_indices(atoms), BASIS.descriptors(atoms)
        means.append(np.concatenate([features[species == z].sum(axis=0) for z in range(2)]) / len(atoms))
    means = np.array(means)
    used = means.std(axis=0) > 1e-12
    means = means[:, used] / means[:, used].std(axis=0)
    taken = [0]
    for index, gain in zip(found.indices, found.gains):
        distances = np.linalg.norm(means[:, None] - means[taken], axis=2).min(axis=1)
        assert index == int(distances.argmax())
        assert gain == pytest.approx(distances.max(), rel=1e-9)
        taken.append(index)


def test_random_is_random():
    pool = emt_structures(10)
    first, again, other = (select(pool, 4, basis=BASIS, method="random", seed=s).indices for s in (0, 0, 1))
    assert first == again != other and len(set(first)) == 4


def test_a_pool_alone():
    found = select(emt_structures(5), 9, forces=False)
    assert sorted(found.indices) == list(range(5)) and found.config_types.count("alloy") == 2


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n": 0}, ValueError, "n must be an integer >= 1"),
        ({"n": 1, "method": "best"}, ValueError, "method must be one of d-optimal, farthest, random"),
        ({"n": 1, "model": 5}, TypeError, "model must be a LinearACE"),
        ({"n": 1, "model": LinearACE(BASIS, np.zeros((2, len(BASIS))))}, ValueError, "no posterior"),
        ({"n": 1, "basis": ACEBasis(["Ag"], order=1, totaldegree=2)}, ValueError, r"pool\[0\]"),
        ({"n": 1, "basis": BASIS, "energy_weight": 0}, ValueError, "energy_weight"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        select(emt_structures(1), **arguments)
