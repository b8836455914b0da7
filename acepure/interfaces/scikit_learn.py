"""Features as a transformer of scikit-learn, an optional dependency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms

from acepure.features.basis import ACEBasis, check_basis

try:
    from sklearn.base import BaseEstimator, TransformerMixin
except ImportError:
    raise ImportError('acepure.interfaces.scikit_learn needs scikit-learn: pip install "acepure[sklearn]"') from None

__all__ = ["ACETransformer"]

_REDUCTIONS: dict[str, Any] = {"mean": np.mean, "sum": np.sum}


class ACETransformer(TransformerMixin, BaseEstimator):
    """One row of features per structure: the mean or the sum over its atoms.

    Parameters
    ----------
    basis : ACEBasis
    reduction : {"mean", "sum"}
    num_threads : int, optional

    Examples
    --------
    >>> from ase.build import bulk
    >>> from acepure import ACEBasis
    >>> from acepure.interfaces.scikit_learn import ACETransformer
    >>> ACETransformer(ACEBasis(["Cu"], order=2)).fit_transform([bulk("Cu"), bulk("Cu", a=3.7)]).shape
    (2, 37)
    """

    def __init__(self, basis: ACEBasis, reduction: str = "mean", num_threads: int | None = None) -> None:
        self.basis = basis
        self.reduction = reduction
        self.num_threads = num_threads

    def fit(self, X: Sequence[Atoms], y: Any = None) -> ACETransformer:
        """Check the parameters; nothing is learned."""
        check_basis(self.basis)
        if self.reduction not in _REDUCTIONS:
            raise ValueError(f"reduction must be one of {', '.join(_REDUCTIONS)}; got {self.reduction!r}")
        return self

    def transform(self, X: Sequence[Atoms]) -> np.ndarray:
        """Return the features of structures, shape (n_structures, n_features)."""
        self.fit(X)
        features = self.basis.descriptors(list(X), num_threads=self.num_threads)
        return np.array([_REDUCTIONS[self.reduction](rows, axis=0) for rows in features])

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the labels of the features."""
        return np.array([str(label) for label in self.basis.labels], dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return True
