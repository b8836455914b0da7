"""Geometry to numbers: the factors of the one-particle functions.

    phi_v(r) = f(r)^s P_n(x(r)) Y_lm(r/|r|),    v = (species, s, n, l, m)

======================  =================  ==================================================
object                  file               classes
======================  =================  ==================================================
Y_lm(r/|r|)             harmonics.py       `RealSphericalHarmonics`
x(r)                    transforms.py      `AgnesiTransform`, `InverseTransform`,
                                           `LinearTransform`, `PowerTransform`; base `Transform`
f(r)                    envelopes.py       `CosineEnvelope`, `PolynomialEnvelope`,
                                           `SmoothEnvelope`; base `Envelope`
P_n(x)                  polynomials.py     `Chebyshev`, `Legendre`, `Orthonormal` with its
                                           `Measure`; base `Polynomials`
R_n(r) = f(r) P_n(x)    radial.py          `PolynomialRadialBasis`; base `RadialBasis`
R_nl(r), sums of these  whitened.py        `WhitenedRadialBasis`
======================  =================  ==================================================

Beside them: cartesian.py, spherical components to Cartesian ones.
"""

from acepure.functions.envelopes import CosineEnvelope, Envelope, PolynomialEnvelope, SmoothEnvelope
from acepure.functions.harmonics import RealSphericalHarmonics
from acepure.functions.polynomials import (
    Chebyshev,
    Legendre,
    Measure,
    Orthonormal,
    Polynomials,
    chebyshev_coefficients,
)
from acepure.functions.radial import PolynomialRadialBasis, RadialBasis
from acepure.functions.transforms import (
    AgnesiTransform,
    InverseTransform,
    LinearTransform,
    PowerTransform,
    Transform,
)

__all__ = [
    "AgnesiTransform",
    "Chebyshev",
    "CosineEnvelope",
    "Envelope",
    "InverseTransform",
    "Legendre",
    "LinearTransform",
    "Measure",
    "Orthonormal",
    "PolynomialEnvelope",
    "PolynomialRadialBasis",
    "Polynomials",
    "PowerTransform",
    "RadialBasis",
    "RealSphericalHarmonics",
    "SmoothEnvelope",
    "Transform",
    "chebyshev_coefficients",
]
