"""Forward selection against explicit refits of every candidate, step by step."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from acepure.fitting.selection import select_groups


def penalized(X, y, ridge, columns):
    """The least |X_c θ − y|² + |ridge θ|², by a least-squares solver."""
    rows = np.vstack([X[:, columns], np.diag(ridge)[:, columns]])
    right = np.append(y, np.zeros(len(ridge)))
    theta = np.linalg.lstsq(rows, right, rcond=None)[0]
    return float(np.sum((rows @ theta - right) ** 2))


def refitted(X, y, groups, limit, ridge, needs, prices):
    """The same greedy choice, each candidate fitted anew."""
    chosen, covered = [], set()
    base = float(y @ y)
    while True:
        used = [c for g in chosen for c in groups[g]]
        best, merit = None, 0.0
        for g, group in enumerate(groups):
            if g in chosen or len(used) + len(group) > limit:
                continue
            new = set(needs[g]) - covered
            cost = max(sum(prices[i] for i in new), 1.0)
            gain = (base - penalized(X, y, ridge, [*used, *group])) / np.sqrt(cost)
            if gain > merit:
                best, merit = g, gain
        if best is None:
            return chosen
        chosen.append(best)
        covered |= set(needs[best])
        base = penalized(X, y, ridge, [*used, *groups[best]])


@pytest.mark.parametrize("lam", [0.0, 0.3])
def test_every_step_is_the_best_refit(lam):
    rng = np.random.default_rng(3)
    rows, n = 60, 20
    X = rng.standard_normal((rows, n)) @ (np.eye(n) + 0.4 * rng.standard_normal((n, n)))
    X[:, 7] = 0.0  # a column without data
    y = X @ rng.standard_normal(n) * 0.3 + rng.standard_normal(rows)
    groups = [
        np.array(g) for g in ([0, 5], [1], [2, 3, 4], [6, 7], [8], [9, 10], [11, 12, 13], [14], [15, 16], [17, 18, 19])
    ]
    needs = [sorted(rng.choice(15, size=4, replace=False)) for _ in groups]
    prices = rng.uniform(0.5, 3.0, size=15)
    indicator = csr_array(np.array([[i in need for i in range(15)] for need in needs], dtype=float))
    ridge = lam * rng.uniform(0.5, 2.0, size=n)
    expected = refitted(X, y, groups, 13, ridge, needs, prices)
    assert len(expected) > 4
    R = np.linalg.qr(np.hstack([X, y[:, None]]), mode="r")
    for columns, right in ((X, y), (R[:, :-1], R[:, -1])):  # rows and their R factor alike
        found = select_groups(columns, right, groups, 13, ridge=ridge, needs=indicator, prices=prices)
        assert found == expected


def test_what_generated_the_labels_is_found_first():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 30))
    true = [4, 11, 27]
    y = X[:, true] @ [3.0, -2.0, 1.0]
    groups = [np.array([k]) for k in range(30)]
    assert select_groups(X, y, groups, 3) == true
    assert sorted(select_groups(X, y, groups, 30)[:3]) == true


def test_dependent_columns_are_passed_over():
    X = np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    assert select_groups(X, np.array([1.0, 0.5, 1.0]), [np.array([0]), np.array([1]), np.array([2])], 3) == [0, 2]


def test_groups_that_do_not_fit_are_passed_over():
    X, y = np.eye(4), np.array([1.0, 5.0, 4.0, 3.0])
    groups = [np.array([0]), np.array([1, 2]), np.array([3])]
    assert select_groups(X, y, groups, 2) == [1]
    assert select_groups(X, y, groups, 1) == [2]
