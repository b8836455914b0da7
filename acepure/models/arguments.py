"""Checks of the arguments of potentials."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from numpy.typing import ArrayLike

from acepure._utils.checks import check_kind, number
from acepure._utils.pairs import PairTable
from acepure._utils.read_only import read_only_array
from acepure.features.basis import ACEBasis
from acepure.models.coverage import Surroundings
from acepure.models.posterior import FactoredPosterior, Posterior

__all__: list[str] = []  # of no use outside


def checked_energies(basis: ACEBasis, E0s: Mapping[str, float] | None) -> dict[str, float]:
    """Return E0 of each species of the basis, in eV; 0 where none are given."""
    given = dict.fromkeys(basis.species, 0.0) if E0s is None else dict(E0s)
    missing = [s for s in basis.species if s not in given]
    if missing:
        raise ValueError(f"E0s lacks {', '.join(missing)}; the basis is for {', '.join(basis.species)}")
    return {s: number(f"E0s[{s!r}]", given[s]) for s in basis.species}


def checked_shortest(shortest: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    """Return a table of shortest distances in Å; it may be empty."""
    if isinstance(shortest, Mapping) and not shortest:
        return {}  # of structures in which no atom had a neighbor
    return dict(PairTable("shortest", shortest, lambda name, value: number(name, value, above=0)))


def checked_surroundings(surroundings: Surroundings | None) -> Surroundings | None:
    """Return what is around atoms, or None."""
    return check_kind("surroundings", surroundings, Surroundings, None)


def checked_report(report: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a copy of a report."""
    if not isinstance(report, (Mapping, type(None))):
        raise TypeError(f"report must be a mapping or None; got {report!r}")
    return deepcopy(dict(report or {}))


def checked_posterior(basis: ACEBasis, posterior: ArrayLike | FactoredPosterior) -> Posterior:
    """Return a read-only root of the covariance of θ."""
    if isinstance(posterior, FactoredPosterior):
        if posterior.shape[:2] != (len(basis.species), len(basis)):
            raise ValueError(f"posterior is of {posterior.shape[:2]} coefficients, and the basis has others")
        return posterior
    return read_only_array("posterior", posterior, (len(basis.species), len(basis), None))
