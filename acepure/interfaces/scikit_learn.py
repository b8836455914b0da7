"""Features as a transformer of scikit-learn, an optional dependency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms

from acepure._utils.checks import one_of
from acepure.features.basis import ACEBasis, check_basis

try:
    from sklearn.base import BaseEstimator, TransformerMixin
except ImportError:
    raise ImportError('acepure.interfaces.scikit_learn needs scikit-learn: pip install "acepure[sklearn]"') from None

__all__ = ["ACETransformer"]

_REDUCTIONS = ("mean", "sum")


class ACETransformer(TransformerMixin, BaseEstimator):
    """One row of features per structure: sums over its atoms, of each species of center by itself.

        x = (Σ_{i of species 1} B(i), Σ_{i of species 2} B(i), ...) / N

    So a linear function of x has coefficients for each species of center, as a potential has.

    Parameters
    ----------
    basis : ACEBasis
    reduction : {"mean", "sum"}
        "mean": N is the number of all atoms of the structure; "sum": N = 1.
    by_center : bool
        False: one block, the sum over all atoms whatever their species.
    num_threads : int, optional

    Examples
    --------
    >>> from ase.build import bulk
    >>> from acepure import ACEBasis
    >>> from acepure.interfaces.scikit_learn import ACETransformer
    >>> basis = ACEBasis(["Cu", "Au"], order=1)
    >>> X = ACETransformer(basis).fit_transform([bulk("Cu"), bulk("CuAu", "rocksalt", a=5.5)])
    >>> len(basis), X.shape
    (14, (2, 28))
    """

    def __init__(
        self, basis: ACEBasis, reduction: str = "mean", by_center: bool = True, num_threads: int | None = None
    ) -> None:
        self.basis = basis
        self.reduction = reduction
        self.by_center = by_center
        self.num_threads = num_threads

    def fit(self, X: Sequence[Atoms], y: Any = None) -> ACETransformer:
        """Check the parameters; nothing is learned."""
        check_basis(self.basis)
        one_of("reduction", self.reduction, _REDUCTIONS)
        return self

    def transform(self, X: Sequence[Atoms]) -> np.ndarray:
        """Return the features of structures, shape (n_structures, n_columns)."""
        self.fit(X)
        structures = list(X)
        features = self.basis.descriptors(structures, num_threads=self.num_threads)
        return np.array([self._row(atoms, rows) for atoms, rows in zip(structures, features)])

    def _row(self, atoms: Atoms, rows: np.ndarray) -> np.ndarray:
        kinds = self.basis.species_indices(atoms) if self.by_center else np.zeros(len(atoms), dtype=int)
        n_kinds = len(self.basis.species) if self.by_center else 1
        row = np.concatenate([rows[kinds == z].sum(axis=0) for z in range(n_kinds)])
        return row / len(atoms) if self.reduction == "mean" else row

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the labels of the features, behind the species of center unless there is but one block."""
        names = [str(label) for label in self.basis.labels]
        if self.by_center and len(self.basis.species) > 1:
            names = [f"{symbol}: {name}" for symbol in self.basis.species for name in names]
        return np.array(names, dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return True
