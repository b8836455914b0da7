"""What features and coefficients look like on data, in memory that does not grow with the data.

    conditioning.py      conditioning → Conditioning: Gram matrices, condition numbers, ranks, leverage
    tables.py            its printed form
    self_interaction.py  self_interaction → SelfInteraction: how plain features differ from canonical ones
    coefficients.py      coefficient_decay → CoefficientDecay: θ by order and degree
    environments.py      which atoms of which structures
    orders.py            correlation order of every feature

Figures of the results are in `acepure.plotting`.
"""

from acepure.diagnostics.coefficients import CoefficientDecay, CoefficientSize, coefficient_decay
from acepure.diagnostics.conditioning import SCALINGS, Conditioning, NullCombination, conditioning
from acepure.diagnostics.self_interaction import SelfInteraction, self_interaction

__all__ = [
    "SCALINGS",
    "CoefficientDecay",
    "CoefficientSize",
    "Conditioning",
    "NullCombination",
    "SelfInteraction",
    "coefficient_decay",
    "conditioning",
    "self_interaction",
]
