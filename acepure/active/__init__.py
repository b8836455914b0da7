"""Which structures to compute next: selection from a pool, and hyperactive learning.

selection   select: D-optimal choice from a pool
criterion   how sure a potential is of forces; BiasedPotential, drawn to where it is not
hal         HAL: dynamics → labels → fit → ...; what follows are its parts
starts      what a run refuses before it begins
trajectory  one trajectory, until the potential is not sure any more; moves: swaps and strains between its steps
guards      what is never computed: overlapping atoms, copies
reference   labels, from a calculator or a command
refit       fits of a run, calibrated on each structure left out
records     what is predicted, how it compares with the labels, the state of a run
folder      the files of a run
"""

from acepure.active.criterion import BiasedPotential, relative_force_uncertainty
from acepure.active.hal import HAL
from acepure.active.records import status
from acepure.active.selection import Selection, select
from acepure.active.trajectory import Dynamics

__all__ = ["HAL", "BiasedPotential", "Dynamics", "Selection", "relative_force_uncertainty", "select", "status"]
