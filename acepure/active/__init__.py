"""Which structures to compute next: selection from a pool, and hyperactive learning."""

from acepure.active.criterion import BiasedPotential, relative_force_uncertainty
from acepure.active.hal import HAL
from acepure.active.records import status
from acepure.active.selection import Selection, select
from acepure.active.trajectory import Dynamics

__all__ = ["HAL", "BiasedPotential", "Dynamics", "Selection", "relative_force_uncertainty", "select", "status"]
