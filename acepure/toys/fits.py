"""Least squares in the features of particles, with and without ridge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from acepure._utils.checks import check_kind, number, real_array
from acepure.toys.particles import ParticleBasis


@dataclass(frozen=True, eq=False)
class ParticleFit:
    """f(x) ≈ constant + Σ_k θ_k I_k(x) / s_k.

    Attributes
    ----------
    basis : ParticleBasis
    constant : float
    coefficients : numpy.ndarray, shape (n_features,)
        θ, for features of unit root mean square over the samples of the fit: in units of the target.
    scale : numpy.ndarray, shape (n_features,)
        s, the root mean squares of the features.
    """

    basis: ParticleBasis
    constant: float
    coefficients: np.ndarray
    scale: np.ndarray

    def predict(self, x: ArrayLike) -> np.ndarray:
        """Return the fitted function, shape (n_samples,); argument as `ParticleBasis.features`."""
        return self.constant + self.basis.features(x) @ (self.coefficients / self.scale)


def scaled_features(basis: ParticleBasis, x: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return features scaled to unit root mean square, and their scale; what vanishes stays as it is.

    Raises
    ------
    ValueError
        For fewer particles than the order: canonical features then vanish, others are dependent.
    """
    features = basis.features(x)
    if np.shape(x)[1] < basis.order:
        raise ValueError(f"x must hold at least as many particles as the order {basis.order}; got {np.shape(x)[1]}")
    scale = np.sqrt((features**2).mean(axis=0))
    scale[scale == 0.0] = 1.0
    return features / scale, scale


def fit_particles(basis: ParticleBasis, x: ArrayLike, y: ArrayLike, ridge: float = 0.0) -> ParticleFit:
    """Fit a function of particles.

    Minimizes (1/n) Σ_i (constant + Σ_k θ_k I_k(x_i) / s_k − y_i)² + ridge · ‖θ‖², the constant free of charge.

    Parameters
    ----------
    basis : ParticleBasis
    x : array_like of float, shape (n_samples, n_particles)
        At least as many particles as the order of the basis.
    y : array_like of float, shape (n_samples,)
        The target at x.
    ridge : float
        ≥ 0. With 0 and fewer samples than features, θ is the one of least norm.

    Returns
    -------
    ParticleFit

    Examples
    --------
    >>> from acepure.toys import random_particles, runge
    >>> x = random_particles(500, 4, "arcsine")
    >>> fit = fit_particles(ParticleBasis("chebyshev", order=2, totaldegree=8), x, runge(x))
    >>> bool(abs(fit.predict(x) - runge(x)).max() < 0.1)
    True
    """
    check_kind("basis", basis, ParticleBasis)
    x = real_array("x", x, (None, None))
    y = real_array("y", y, (len(x),))
    ridge = number("ridge", ridge, least=0)
    if not len(x):
        raise ValueError("x must hold at least one sample; got none")
    features, scale = scaled_features(basis, x)
    # The best constant makes the residual zero on average: what remains is a problem without one.
    means, mean = features.mean(axis=0), y.mean()
    design, values = features - means, y - mean
    if ridge:
        penalty = np.sqrt(ridge * len(x)) * np.eye(len(basis))
        design, values = np.concatenate([design, penalty]), np.concatenate([values, np.zeros(len(basis))])
    theta = np.linalg.lstsq(design, values, rcond=None)[0]
    return ParticleFit(basis, float(mean - means @ theta), theta, scale)
