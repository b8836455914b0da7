"""Real orthonormal spherical harmonics, the angular factor of the one-particle functions."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from acepure._kernels import harmonics as kernel
from acepure._utils.checks import count, real_array


@dataclass(frozen=True)
class RealSphericalHarmonics:
    r"""Real orthonormal spherical harmonics up to l = lmax.

    .. math::

        Y_{l,m>0} = \sqrt 2 (-1)^m \, \mathrm{Re}\, Y_l^m, \quad
        Y_{l,0} = Y_l^0, \quad
        Y_{l,-m} = \sqrt 2 (-1)^m \, \mathrm{Im}\, Y_l^m

    with the complex harmonics :math:`Y_l^m` of SciPy (Condon-Shortley phase), so that
    :math:`Y_{1,-1}, Y_{1,0}, Y_{1,1}` are :math:`\sqrt{3/4\pi}` times :math:`y, z, x`, and
    :math:`\int Y_{lm} Y_{l'm'} d\Omega = \delta\delta`. Computed as polynomials of the unit vector, without
    angles; the poles are points like any other (F. Bigi et al., J. Chem. Phys. 159, 064802 (2023)).

    Parameters
    ----------
    lmax : int
        Largest degree, >= 0.

    Attributes
    ----------
    n_harmonics : int
        (lmax + 1)^2, the number of columns; (l, m) is column l^2 + l + m.

    Raises
    ------
    TypeError, ValueError
        If `lmax` is no integer >= 0.

    Examples
    --------
    >>> harmonics = RealSphericalHarmonics(lmax=1)
    >>> harmonics.evaluate([[0.0, 0.0, 2.0]]).round(4)
    array([[0.2821, 0.    , 0.4886, 0.    ]])
    """

    lmax: int
    coefficients: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        lmax = count("lmax", self.lmax, least=0)
        coefficients = np.empty((lmax + 1) * (lmax + 2))
        kernel.harmonics_coefficients(lmax, coefficients)
        coefficients.flags.writeable = False
        object.__setattr__(self, "lmax", lmax)
        object.__setattr__(self, "coefficients", coefficients)

    @property
    def n_harmonics(self) -> int:
        """Number of harmonics, (lmax + 1)^2."""
        return (self.lmax + 1) ** 2

    def evaluate(self, vectors: ArrayLike) -> np.ndarray:
        """Return Y_lm(r/|r|).

        Parameters
        ----------
        vectors : (n, 3) array_like of float64
            Vectors r of any non-zero length.

        Returns
        -------
        values : (n, (lmax + 1)^2) array of float64

        Raises
        ------
        TypeError, ValueError
            If `vectors` is no (n, 3) array of finite numbers, or a row is zero (the message names it).
        """
        units, _ = directions(vectors)
        values = np.empty((len(units), self.n_harmonics))
        self._evaluate(units, values, np.empty((0, 3, self.n_harmonics)))
        return values

    def evaluate_with_gradients(self, vectors: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Return Y_lm(r/|r|) and its gradient with respect to r.

        Parameters
        ----------
        vectors : (n, 3) array_like of float64
            Vectors r of any non-zero length; the gradients have their inverse unit (1/Å for Å).

        Returns
        -------
        values : (n, (lmax + 1)^2) array of float64
        gradients : (n, 3, (lmax + 1)^2) array of float64
            Orthogonal to r: Y does not depend on the length.

        Raises
        ------
        TypeError, ValueError
            As `evaluate`.
        """
        units, lengths = directions(vectors)
        values = np.empty((len(units), self.n_harmonics))
        gradients = np.empty((len(units), 3, self.n_harmonics))
        self._evaluate(units, values, gradients)
        gradients /= lengths[:, None, None]
        return values, gradients

    def _evaluate(self, units: np.ndarray, values: np.ndarray, gradients: np.ndarray) -> None:
        """Write Y of unit vectors, and tangential gradients unless the array for them is empty."""
        scratch = np.empty(4 * self.n_harmonics * kernel.lanes)
        kernel.evaluate(units, self.lmax, self.coefficients, scratch, values, gradients)


def directions(vectors: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return unit vectors (n, 3) and lengths (n,)."""
    vectors = real_array("vectors", vectors, (None, 3))
    largest = np.abs(vectors).max(axis=1, initial=0.0)
    if not largest.all():
        row = np.flatnonzero(largest == 0)[0]
        raise ValueError(f"vectors must not be zero, a zero vector has no direction; row {row} is {vectors[row]}")
    units = vectors / largest[:, None]  # first to length 1..sqrt(3), because the square of 1e-200 is 0
    norms = np.sqrt((units * units).sum(axis=1))
    return units / norms[:, None], largest * norms
