"""What features and coefficients look like on data, in memory that does not grow with the data.

    conditioning.py      conditioning → Conditioning: Gram matrices, condition numbers, ranks, leverage
    self_interaction.py  self_interaction → SelfInteraction: how plain features differ from canonical ones
    comparison.py        compare_references → Comparison: all references on the same structures
    reference_rows.py    the bases that are compared
    measured.py          one of them on structures
    floors.py            how low their condition numbers could be
    coefficients.py      coefficient_decay → CoefficientDecay: θ by order and degree
    clusters.py          energies_by_clusters: the many-body expansion of any potential
    physics.py           check_physics → PhysicsReport: crystals, elastic constants, vacancies, dimers of a potential
    environments.py      which atoms of which structures
    orders.py            correlation order of every feature

Figures of the results are in `acepure.plotting`.
"""

from acepure.diagnostics.clusters import energies_by_clusters
from acepure.diagnostics.coefficients import CoefficientDecay, CoefficientSize, coefficient_decay
from acepure.diagnostics.comparison import Comparison, ComparisonRow, compare_references
from acepure.diagnostics.conditioning import SCALINGS, Conditioning, NullCombination, conditioning
from acepure.diagnostics.physics import CrystalChecks, PhysicsReport, check_crystal, check_dimers, check_physics
from acepure.diagnostics.reference_rows import CONTROL, ROWS
from acepure.diagnostics.self_interaction import SelfInteraction, self_interaction

__all__ = [
    "CONTROL",
    "ROWS",
    "SCALINGS",
    "CoefficientDecay",
    "CoefficientSize",
    "Comparison",
    "ComparisonRow",
    "Conditioning",
    "CrystalChecks",
    "NullCombination",
    "PhysicsReport",
    "SelfInteraction",
    "check_crystal",
    "check_dimers",
    "check_physics",
    "coefficient_decay",
    "compare_references",
    "conditioning",
    "energies_by_clusters",
    "self_interaction",
]
