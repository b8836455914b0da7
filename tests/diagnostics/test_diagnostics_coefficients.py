"""Decay of coefficients, against loops over labels."""

import numpy as np
import pytest

from acepure import ACEBasis, FeatureLabel
from acepure.diagnostics import coefficient_decay


@pytest.fixture(scope="module")
def basis():
    return ACEBasis(["Cu", "Zr"], order=3, totaldegree=3)


@pytest.mark.parametrize("n_species", [1, 2])
def test_sizes_by_order_and_degree(basis, n_species):
    theta = np.random.default_rng(0).normal(size=(n_species, len(basis)))
    decay = coefficient_decay(basis, theta[0] if n_species == 1 else theta)
    groups = {"order": {}, "degree": {}, "both": {}}
    for column, label in enumerate(basis.labels):
        order, degree = label.order, sum(n + l for n, l in zip(label.n, label.l))
        for name, key in (("order", order), ("degree", degree), ("both", (order, degree))):
            groups[name].setdefault(key, []).extend(theta[:, column])
    for name, found in (
        ("order", decay.by_order),
        ("degree", decay.by_degree),
        ("both", decay.by_order_and_degree),
    ):
        assert list(found) == sorted(groups[name])
        for key, values in groups[name].items():
            assert found[key].count == len(values)
            assert found[key].rms == pytest.approx(np.sqrt(np.mean(np.square(values))), rel=1e-13)
            assert found[key].largest == max(abs(v) for v in values)


def test_labels_alone_and_table():
    labels = [FeatureLabel(("Cu",), (2,), (0,), ()), FeatureLabel(("Cu", "Cu"), (0, 1), (1, 1), ())]
    decay = coefficient_decay(labels, [-3, 4])
    rows = [line.split() for line in str(decay).splitlines()]
    assert rows[1:] == [
        ["ν", "=", "1", "1", "3.00e+00", "3.00e+00"],
        ["ν", "=", "2", "1", "4.00e+00", "4.00e+00"],
        ["degree", "2", "1", "3.00e+00", "3.00e+00"],
        ["degree", "3", "1", "4.00e+00", "4.00e+00"],
    ]


def test_input_is_refused(basis):
    for labels, theta, error, message in (
        (3, [1.0], TypeError, "labels must be an ACEBasis or a sequence"),
        ("Cu", [1.0], TypeError, "labels must be an ACEBasis or a sequence"),
        (["Cu"], [1.0], TypeError, r"labels\[0\] must be a FeatureLabel"),
        (basis, [1.0], ValueError, "coefficients must have shape"),
        (basis, np.full(len(basis), np.nan), ValueError, "coefficients must be finite"),
    ):
        with pytest.raises(error, match=message):
            coefficient_decay(labels, theta)
