"""Distance transforms x(r): they map [0, rcut] to [-1, 1], increasing with r.

All but the linear one spend more of the interval on short distances, where the energy varies most. The
formulas are computed in `acepure/_kernels/radial.pxd`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import ArrayLike

from acepure._kernels import radial as kernel
from acepure._utils.checks import distances, number, symbol
from acepure._utils.pairs import per_pair, value_at
from acepure._utils.serialization import Serializable

HEAVIEST_WITH_COVALENT_RADIUS = 96  # ASE fills in 0.2 Å beyond curium


class Transform(Serializable, ABC):
    """Base of distance transforms; subclass it for a transform of your own.

    A subclass defines `evaluate` and, for forces, `evaluate_with_gradients`. Both receive distances
    0 <= r <= rcut and must return numbers in [-1, 1] that are smooth down to r = 0. A frozen dataclass is
    the simplest form: it can be compared and saved without further code.

    Examples
    --------
    >>> class SquareTransform(Transform):
    ...     def evaluate(self, r, rcut, center=None, neighbor=None):
    ...         return 2 * (r / rcut) ** 2 - 1
    >>> float(SquareTransform().evaluate(2.5, 5.0))
    -0.5
    """

    @abstractmethod
    def evaluate(
        self, r: np.ndarray, rcut: float, center: str | None = None, neighbor: str | None = None
    ) -> np.ndarray:
        """Return x(r), shape (n,), for distances r (n,) in Å of one ordered pair of species."""

    def evaluate_with_gradients(
        self, r: np.ndarray, rcut: float, center: str | None = None, neighbor: str | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return x(r) and dx/dr in 1/Å, each of shape (n,)."""
        raise NotImplementedError(
            f"{type(self).__name__} defines no evaluate_with_gradients(r, rcut, center, neighbor); "
            "forces need it to return x and dx/dr"
        )


class KernelTransform(Transform):
    """Base of the transforms that the compiled kernel knows."""

    @abstractmethod
    def kernel_parameters(self, center: str | None, neighbor: str | None) -> dict[str, Any]:
        """Return the transform's part of the arguments of the kernel's `fill_parameters`."""

    def evaluate(self, r: ArrayLike, rcut: float, center: str | None = None, neighbor: str | None = None) -> np.ndarray:
        """Return x(r).

        Parameters
        ----------
        r : (n,) array_like of float64
            Distances in Å; those beyond `rcut` count as `rcut`.
        rcut : float
            Cutoff in Å, > 0.
        center, neighbor : str, optional
            Chemical symbols; needed where the transform depends on the species.

        Returns
        -------
        x : (n,) array of float64

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type or is out of range.
        """
        return self.evaluate_with_gradients(r, rcut, center, neighbor)[0]

    def evaluate_with_gradients(
        self, r: ArrayLike, rcut: float, center: str | None = None, neighbor: str | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return x(r) and dx/dr in 1/Å, each (n,) float64; arguments and errors as `evaluate`."""
        r = distances("r", r)
        parameters = np.empty(kernel.n_parameters)
        kernel.fill_parameters(parameters, number("rcut", rcut, above=0), **self.kernel_parameters(center, neighbor))
        out = np.empty((4, len(r)))
        kernel.transform_and_envelope(r, parameters, out)
        return out[0], out[1]


@dataclass(frozen=True)
class LinearTransform(KernelTransform):
    """x = 2 r/rcut - 1.

    Examples
    --------
    >>> LinearTransform().evaluate([0.0, 2.5, 5.0], rcut=5.0)
    array([-1.,  0.,  1.])
    """

    def kernel_parameters(self, center: str | None, neighbor: str | None) -> dict[str, Any]:
        return {"transform": "linear"}


@dataclass(frozen=True)
class PowerTransform(KernelTransform):
    """x = 1 - 2 (1 - r/rcut)^exponent.

    Parameters
    ----------
    exponent : float
        >= 1, so that the slope is finite at the cutoff; 1 is the linear transform.

    Raises
    ------
    TypeError, ValueError
        If `exponent` is no finite number >= 1.

    Examples
    --------
    >>> PowerTransform(exponent=2).evaluate([0.0, 2.5, 5.0], rcut=5.0)
    array([-1. ,  0.5,  1. ])
    """

    exponent: float = 2.0

    def __post_init__(self) -> None:
        reason = "below 1 the slope is infinite at the cutoff"
        object.__setattr__(self, "exponent", number("exponent", self.exponent, least=1, reason=reason))

    def kernel_parameters(self, center: str | None, neighbor: str | None) -> dict[str, Any]:
        return {"transform": "power", "p": self.exponent}


@dataclass(frozen=True)
class InverseTransform(KernelTransform):
    """y = ((1 + r0)/(1 + r))^exponent, mapped affinely so that x(0) = -1 and x(rcut) = 1; r in Å.

    The affine map cancels r0: x does not depend on it. It is kept because the ACE.jl convention names y by
    it (its polynomial transform), so that an input file can be carried over word by word.

    Parameters
    ----------
    r0 : float
        Distance where y = 1, in Å, >= 0.
    exponent : float
        > 0; the larger, the more of [-1, 1] goes to short distances.

    Raises
    ------
    TypeError, ValueError
        If a parameter is no number in its range.

    Examples
    --------
    >>> InverseTransform(exponent=1).evaluate([0.0, 1.0, 3.0], rcut=3.0).round(4)
    array([-1.    ,  0.3333,  1.    ])
    """

    r0: float = 1.0
    exponent: float = 2.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "r0", number("r0", self.r0, least=0))
        object.__setattr__(self, "exponent", number("exponent", self.exponent, above=0))

    def kernel_parameters(self, center: str | None, neighbor: str | None) -> dict[str, Any]:
        return {"transform": "inverse", "p": self.exponent}


@dataclass(frozen=True)
class AgnesiTransform(KernelTransform):
    r"""Generalized Agnesi transform, steepest at the typical distance r0 of the pair.

    .. math::

        y = \left(1 + a \frac{u^q}{1 + u^{q-p}}\right)^{-1}, \quad u = r/r_0, \quad
        a = \frac{4pq - 2p - 2q}{p + p^2 + q + q^2}

    mapped affinely so that x(0) = -1 and x(rcut) = 1. This a puts the steepest point of y at r = r0; at
    short distances 1 - y ~ u^q, at long ones y ~ u^-p. Source: `agnesi_transform` of ACEpotentials.jl
    (W. C. Witt et al., J. Chem. Phys. 159, 164101 (2023)).

    Parameters
    ----------
    r0 : float, mapping of (str, str) to float, or None
        Distance in Å; None is the sum of the two covalent radii (`ase.data.covalent_radii`).
    p, q : float
        Exponents, 0 < p <= q and 2pq > p + q (which makes a > 0).

    Raises
    ------
    TypeError, ValueError
        If a parameter is no number in its range; on evaluation, if `r0` has no value for the pair.

    Examples
    --------
    >>> AgnesiTransform(r0=2.0).evaluate([0.0, 2.0, 5.0], rcut=5.0).round(4)
    array([-1.    , -0.3104,  1.    ])
    """

    r0: float | Mapping[tuple[str, str], float] | None = None
    p: float = 2.0
    q: float = 4.0

    def __post_init__(self) -> None:
        if self.r0 is not None:
            object.__setattr__(self, "r0", per_pair("r0", self.r0, lambda n, v: number(n, v, above=0)))
        p = number("p", self.p, above=0)
        q = number("q", self.q, least=p, reason="q must not be smaller than p")
        if 2 * p * q <= p + q:
            raise ValueError(f"p and q must satisfy 2pq > p + q, as p=2, q=4 do; got p={p:g}, q={q:g}")
        object.__setattr__(self, "p", p)
        object.__setattr__(self, "q", q)

    @property
    def a(self) -> float:
        """The prefactor that makes y steepest at r0."""
        p, q = self.p, self.q
        return (4 * p * q - 2 * p - 2 * q) / (p + p**2 + q + q**2)

    def kernel_parameters(self, center: str | None, neighbor: str | None) -> dict[str, Any]:
        if self.r0 is None:
            r0 = covalent_radius("center", center) + covalent_radius("neighbor", neighbor)
        else:
            r0 = value_at("r0", self.r0, center, neighbor)
        return {"transform": "agnesi", "r0": r0, "p": self.p, "q": self.q, "a": self.a}


def covalent_radius(name: str, species: str | None) -> float:
    """Return the covalent radius in Å, from ASE."""
    z = atomic_numbers[symbol(name, species)]
    if not 0 < z <= HEAVIEST_WITH_COVALENT_RADIUS:
        raise ValueError(f"{name} {species!r} has no tabulated covalent radius; give AgnesiTransform an r0")
    return float(covalent_radii[z])


KERNEL_TRANSFORMS = (AgnesiTransform, InverseTransform, LinearTransform, PowerTransform)
