"""How the errors of a model grow with what its posterior says, and models that carry what is known of their fit.

    σ² = a² + b² (v / s²)^p,

with v the variance of the posterior, s its root mean square, and a, b and p of greatest likelihood, for energies / √N,
forces and virials / √N each. The posterior ranks structures and atoms well, but is too small several times over, since
what no coefficients could fit is not in it; and errors grow slower than it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy, deepcopy
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from acepure._utils.checks import count, number
from acepure._utils.read_only import ReadOnly
from acepure.models.arguments import checked_report

__all__ = ["Calibration", "ErrorLaw", "Reported"]

Model = TypeVar("Model", bound="Reported")

# Deviations below this part of the typical one are zero by symmetry, and so are the errors.
_ZERO = 3e-5


@dataclass(frozen=True)
class ErrorLaw:
    """σ² = a² + b² (v/s²)^p: errors as they grow with the variance v of the posterior.

    Attributes
    ----------
    a, b : float
        In eV/√atom for energies and virials, eV/Å for forces; ≥ 0.
    p : float
        From 0 to 1, where errors are proportional to deviations.
    s : float
        Typical deviation of the posterior, in the same unit.
    n : int
        Labels it was fitted to.
    largest : float
        Largest deviation of the posterior among structures of the fit, each left out; the unit of grades. In the same
        unit.

    Examples
    --------
    >>> ErrorLaw(a=0.03, b=0.04, p=1.0, s=0.01, n=100, largest=0.05)([0.0, 0.01, 0.1]).round(3)
    array([0.   , 0.05 , 0.401])
    """

    a: float
    b: float
    p: float
    s: float
    n: int
    largest: float

    def __post_init__(self) -> None:
        for name in ("a", "b", "p", "s"):
            number(name, getattr(self, name), least=0)
        number("largest", self.largest, above=0)
        count("n", self.n)

    def __call__(self, deviations: ArrayLike) -> np.ndarray:
        """Return σ for deviations of the posterior; zero where these are zero by symmetry."""
        x = np.asarray(deviations, dtype=float) / (self.s or 1.0)
        return np.where(x > _ZERO, np.sqrt(self.a**2 + self.b**2 * x ** (2 * self.p)), 0.0)


@dataclass(frozen=True)
class Calibration:
    """Laws of the errors of a model, by quantity.

    Attributes
    ----------
    laws : dict of str to ErrorLaw
        "energy", "forces", "virial"; what is missing is not calibrated.
    committee : float
        What draws of the posterior are spread by: the 68 % quantile of error / deviation.
    source : str
        What it was fitted to.
    unseen : dict of str to ErrorLaw
        Laws of deviations beyond the largest of the fit, from combinations of elements left out; where there are none,
        the others go on.
    """

    laws: Mapping[str, ErrorLaw]
    committee: float
    source: str
    unseen: Mapping[str, ErrorLaw] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        laws, unseen = ({name: asdict(law) for name, law in some.items()} for some in (self.laws, self.unseen))
        return {"laws": laws, "committee": self.committee, "source": self.source, "unseen": unseen}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibration:
        """Read what `to_dict` returned."""
        try:
            laws, unseen = (
                {str(name): ErrorLaw(**law) for name, law in some.items()} for some in (data["laws"], data["unseen"])
            )
            return cls(laws, number("committee", data["committee"], above=0), str(data["source"]), unseen)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"this is no calibration: {error!r}") from None

    def sigma(self, quantity: str, deviations: ArrayLike, n_atoms: int = 1) -> np.ndarray:
        """Return σ of a quantity; `n_atoms` for energies and virials, which go by √N."""
        law, deviations = self.laws.get(quantity), np.asarray(deviations, dtype=float)
        if law is None:
            return deviations
        root = np.sqrt(n_atoms)
        x, unseen = deviations / root, self.unseen.get(quantity, law)
        found: np.ndarray = root * np.where(x > law.largest, unseen(x), law(x))
        return found

    def grades(self, quantity: str, deviations: ArrayLike, n_atoms: int = 1) -> np.ndarray:
        """Return deviations of the posterior in units of the largest in training; NaN for what is not calibrated."""
        law, deviations = self.laws.get(quantity), np.asarray(deviations, dtype=float)
        return np.full(deviations.shape, np.nan) if law is None else deviations / np.sqrt(n_atoms) / law.largest


class Reported(ReadOnly):
    """A model that carries what is known of its fit."""

    _report: dict[str, Any]

    @property
    def report(self) -> dict[str, Any]:
        """A copy of what is known of the fit: JSON types."""
        return deepcopy(self._report)

    def with_report(self: Model, entries: Mapping[str, Any] | None = None, **more: Any) -> Model:
        """Return the same model with more in its report, or with other entries.

        Parameters
        ----------
        entries : mapping, optional
            JSON types.
        **more
            Entries whose names are identifiers.
        """
        model = copy(self)
        model._report = {**self._report, **checked_report(entries), **checked_report(more)}
        _ = model.calibration  # raises for one that is damaged
        return model

    @property
    def calibration(self) -> Calibration | None:
        """Laws of the errors; None if standard deviations are those of the posterior."""
        data = self._report.get("calibration")
        return None if data is None else Calibration.from_dict(data)

    def calibrated_by(self: Model, calibration: Calibration | None) -> Model:
        """Return the same model with this calibration in its report, if there is one."""
        return self if calibration is None else self.with_report(calibration=calibration.to_dict())
