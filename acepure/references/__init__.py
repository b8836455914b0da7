"""References: what a basis is centered on, and what its radial functions are orthonormal for.

A reference supplies the means μ of the neighbor sums A and, if it knows them, their covariances c. With them the
recursion of `operators.purification` gives the other rows of its table: centered canonical and shifted bases
(`IdealGas`, `RadialDensity`), Wick-ordered and canonical bases with measured pairs (`MeanCovariance`).

    base.py         what a reference is
    density.py      a density of neighbors by distance: IdealGas, RadialDensity
    covariance.py   means and covariances of the sums A: MeanCovariance
"""

from acepure.references.base import Reference
from acepure.references.covariance import MeanCovariance
from acepure.references.density import DensityReference, IdealGas, RadialDensity

__all__ = ["DensityReference", "IdealGas", "MeanCovariance", "RadialDensity", "Reference"]
