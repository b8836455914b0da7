"""Envelopes f(r): 1 at r = 0, decreasing to 0 at the cutoff, 0 beyond it.

Energies are as smooth at the cutoff as f is; `smoothness` is the number of continuous derivatives there.
The formulas are computed in `acepure/_kernels/radial.pxd`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from acepure._kernels import radial as kernel
from acepure._utils.checks import distances, number
from acepure._utils.serialization import Serializable

FORCES = "forces are discontinuous at the cutoff otherwise"


class Envelope(Serializable, ABC):
    """Base of envelopes; subclass it for one of your own.

    A subclass defines `evaluate`, `smoothness` and, for forces, `evaluate_with_gradients`. They receive
    distances 0 <= r <= rcut; beyond the cutoff the radial basis writes zeros itself. A frozen dataclass is
    the simplest form: it can be compared and saved without further code.

    Examples
    --------
    >>> import numpy as np
    >>> class BumpEnvelope(Envelope):
    ...     smoothness = float("inf")
    ...     def evaluate(self, r, rcut):
    ...         u = np.minimum(r / rcut, 1 - 1e-9)
    ...         return np.exp(1 - 1 / (1 - u**2))
    >>> float(BumpEnvelope().evaluate(0.0, 5.0))
    1.0
    """

    @property
    @abstractmethod
    def smoothness(self) -> float:
        """Number of continuous derivatives at the cutoff."""

    @abstractmethod
    def evaluate(self, r: np.ndarray, rcut: float) -> np.ndarray:
        """Return f(r), shape (n,), for distances r (n,) in Å."""

    def evaluate_with_gradients(self, r: np.ndarray, rcut: float) -> tuple[np.ndarray, np.ndarray]:
        """Return f(r) and df/dr in 1/Å, each of shape (n,)."""
        raise NotImplementedError(
            f"{type(self).__name__} defines no evaluate_with_gradients(r, rcut); forces need it to return f and df/dr"
        )


class KernelEnvelope(Envelope):
    """Base of the envelopes that the compiled kernel knows."""

    @abstractmethod
    def kernel_parameters(self) -> dict[str, Any]:
        """Return the envelope's part of the arguments of the kernel's `fill_parameters`."""

    def evaluate(self, r: ArrayLike, rcut: float) -> np.ndarray:
        """Return f(r).

        Parameters
        ----------
        r : (n,) array_like of float64
            Distances in Å, >= 0.
        rcut : float
            Cutoff in Å, > 0.

        Returns
        -------
        f : (n,) array of float64
            Exactly 0 for r >= rcut.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type or is out of range.
        """
        return self.evaluate_with_gradients(r, rcut)[0]

    def evaluate_with_gradients(self, r: ArrayLike, rcut: float) -> tuple[np.ndarray, np.ndarray]:
        """Return f(r) and df/dr in 1/Å, each (n,) float64; arguments and errors as `evaluate`."""
        r = distances("r", r)
        parameters = np.empty(kernel.n_parameters)
        kernel.fill_parameters(parameters, number("rcut", rcut, above=0), **self.kernel_parameters())
        out = np.empty((4, len(r)))
        kernel.transform_and_envelope(r, parameters, out)
        return out[2], out[3]


@dataclass(frozen=True)
class _PowerEnvelope(KernelEnvelope):
    """A function to the power of `exponent`."""

    exponent: float
    _kind: ClassVar[str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "exponent", number("exponent", self.exponent, above=1, reason=FORCES))

    @property
    def smoothness(self) -> int:
        return math.ceil(self.exponent) - 1

    def kernel_parameters(self) -> dict[str, Any]:
        return {"envelope": self._kind, "envelope_exponent": self.exponent}


@dataclass(frozen=True)
class PolynomialEnvelope(_PowerEnvelope):
    """f = (1 - r/rcut)^exponent.

    Parameters
    ----------
    exponent : float
        > 1; an integer p has p - 1 continuous derivatives at the cutoff.

    Raises
    ------
    TypeError, ValueError
        If `exponent` is no finite number > 1.

    Examples
    --------
    >>> PolynomialEnvelope(exponent=2).evaluate([0.0, 2.5, 5.0], rcut=5.0)
    array([1.  , 0.25, 0.  ])
    """

    exponent: float = 2.0
    _kind: ClassVar[str] = "polynomial"


@dataclass(frozen=True)
class CosineEnvelope(KernelEnvelope):
    """f = (1 + cos(pi r/rcut))/2, with one continuous derivative at the cutoff.

    Examples
    --------
    >>> CosineEnvelope().evaluate([0.0, 2.5, 5.0], rcut=5.0).round(4)
    array([1. , 0.5, 0. ])
    """

    @property
    def smoothness(self) -> int:
        return 1

    def kernel_parameters(self) -> dict[str, Any]:
        return {"envelope": "cosine"}


@dataclass(frozen=True)
class SmoothEnvelope(_PowerEnvelope):
    """f = (1 - (r/rcut)^2)^exponent, even in r; the default exponent has two continuous derivatives.

    Parameters
    ----------
    exponent : float
        > 1; an integer p has p - 1 continuous derivatives at the cutoff.

    Raises
    ------
    TypeError, ValueError
        If `exponent` is no finite number > 1.

    Examples
    --------
    >>> SmoothEnvelope().evaluate([0.0, 3.0, 5.0], rcut=5.0).round(6)
    array([1.      , 0.262144, 0.      ])
    """

    exponent: float = 3.0
    _kind: ClassVar[str] = "smooth"


KERNEL_ENVELOPES = (CosineEnvelope, PolynomialEnvelope, SmoothEnvelope)
