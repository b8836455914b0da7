"""The transformer in a pipeline, a clone and a search of scikit-learn."""

import numpy as np
import pytest
from ase.build import bulk
from cases.emt import emt_structures

from acepure import ACEBasis, LinearFunction

sklearn = pytest.importorskip("sklearn")


def test_pipeline_and_clone():
    from sklearn.base import clone
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from acepure.interfaces.scikit_learn import ACETransformer

    basis = ACEBasis(["Cu"], order=2, totaldegree=3)
    structures = [bulk("Cu", cubic=True, a=a) for a in np.linspace(3.4, 3.9, 12)]
    for seed, atoms in enumerate(structures):
        atoms.rattle(0.05, seed=seed)
    transformer = clone(ACETransformer(basis, "sum"))
    np.testing.assert_array_equal(
        transformer.transform(structures), [basis.descriptors(a).sum(axis=0) for a in structures]
    )
    np.testing.assert_allclose(
        ACETransformer(basis).fit_transform(structures), transformer.transform(structures) / 4, rtol=1e-12
    )
    assert list(transformer.get_feature_names_out()) == [str(label) for label in basis.labels]
    model = make_pipeline(transformer, StandardScaler(), Ridge(1e-6)).fit(structures, np.linspace(0, 1, 12))
    assert model.score(structures, np.linspace(0, 1, 12)) > 0.9
    with pytest.raises(ValueError, match="reduction"):
        ACETransformer(basis, "max").fit(structures)


def test_blocks_of_species_of_center():
    """A linear function of the sums is a potential with coefficients for each species of center."""
    from acepure.interfaces.scikit_learn import ACETransformer

    basis = ACEBasis(["Cu", "Ag"], order=2, totaldegree=3)
    structures = emt_structures(6)
    transformer = ACETransformer(basis, "sum")
    X = transformer.fit_transform(structures)
    theta = np.random.default_rng(0).normal(size=(2, len(basis)))
    energies = [LinearFunction(basis, theta).evaluate(atoms).sum() for atoms in structures]
    np.testing.assert_allclose(X @ theta.ravel(), energies, rtol=1e-12)
    names = transformer.get_feature_names_out()
    assert len(names) == X.shape[1] and len(set(names)) == len(names)
    assert names[0].startswith("Cu: ") and names[-1].startswith("Ag: ")
    together = ACETransformer(basis, by_center=False)
    np.testing.assert_allclose(together.transform(structures), [basis.descriptors(a).mean(axis=0) for a in structures])
    assert list(together.get_feature_names_out()) == [str(label) for label in basis.labels]
