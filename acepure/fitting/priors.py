"""The smoothness prior: how large a coefficient may be, before any data.

The penalty of every regularized solver is λ Σ_k (Γ_k θ_k)², with

    algebraic      Γ_k = w^{ν−1} (1 + Σ_t (n_t + wL l_t))^p
    exponential    Γ_k = w^{ν−1} exp(a Σ_t (n_t + wL l_t))

over the factors t of feature k of correlation order ν, n counted from 0. It is applied once, by solving for Γθ, so
that it means the same in every solver (the priors of W. C. Witt et al., J. Chem. Phys. 159, 164101 (2023), are of
this kind).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from acepure._utils.checks import number, one_of
from acepure._utils.serialization import Serializable
from acepure.features.basis import ACEBasis

KINDS = ("none", "algebraic", "exponential")


@dataclass(frozen=True)
class SmoothnessPrior(Serializable):
    """Γ of each feature.

    Parameters
    ----------
    form : {"algebraic", "exponential", "none"}
    strength : float
        The power p, or the rate a; ≥ 0.
    order : float, or sequence of float
        w: the factor for each further correlation order, > 0. Or one factor for each order, w_1, w_2, ..., in place of
        w^{ν−1}.
    neighbors, centers : float, optional
        ρ and ρc: how much coefficients that differ only by species of neighbors, or of center, are alike before any
        data, 0 ≤ ρ < 1; see `acepure.fitting.species_prior`. By default the evidence chooses in a fit to several
        species, if their radial functions are the same.

    Examples
    --------
    >>> from acepure import ACEBasis
    >>> SmoothnessPrior("algebraic", 2).scales(ACEBasis(["Cu"], order=1, totaldegree=2))
    array([1., 4., 9.])
    """

    form: str = "algebraic"
    strength: float = 2.0
    order: float | Sequence[float] = 1.0
    neighbors: float | None = None
    centers: float | None = None

    def __post_init__(self) -> None:
        one_of("form", self.form, KINDS)
        object.__setattr__(self, "strength", number("strength", self.strength, least=0))
        if isinstance(self.order, Sequence) and not isinstance(self.order, str):
            object.__setattr__(self, "order", tuple(number("order", w, above=0) for w in self.order))
        else:
            object.__setattr__(self, "order", number("order", self.order, above=0))
        for name in ("neighbors", "centers"):
            rho = getattr(self, name)
            if rho is not None:
                object.__setattr__(self, name, number(name, rho, least=0))
                if rho >= 1:
                    raise ValueError(f"{name} must be a correlation, 0 <= {name} < 1; got {rho:g}")

    def scales(self, basis: ACEBasis) -> np.ndarray:
        """Return Γ, shape (n_features,).

        Raises
        ------
        ValueError
            For factors of other orders than those of the basis.
        """
        specification = basis.specification
        degrees = np.array(
            [sum(n - specification.n_start + specification.wL * l for n, l in zip(f.n, f.l)) for f in basis.labels]
        )
        orders = self._order_factors(basis.order)[[label.order - 1 for label in basis.labels]]
        if self.form == "none":
            return orders
        return orders * (
            (1 + degrees) ** self.strength if self.form == "algebraic" else np.exp(self.strength * degrees)
        )

    def _order_factors(self, order: int) -> np.ndarray:
        if not isinstance(self.order, tuple):
            return np.asarray(self.order) ** np.arange(order)
        if len(self.order) != order:
            raise ValueError(f"order must hold one factor for each of the {order} orders; got {self.order!r}")
        return np.array(self.order)


def resolve_prior(prior: SmoothnessPrior | str | None) -> SmoothnessPrior:
    """Return a prior from a prior, the name of a form, or None for no preference among features."""
    if prior is None:
        return SmoothnessPrior("none")
    if isinstance(prior, str):
        return SmoothnessPrior(prior, {"exponential": 0.3}.get(prior, 2.0))
    if not isinstance(prior, SmoothnessPrior):
        raise TypeError(f"prior must be a SmoothnessPrior, the name of a form, or None; got {prior!r}")
    return prior
