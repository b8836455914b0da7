"""acepure: the canonical, self-interaction-free Atomic Cluster Expansion.

Data flows one way; nothing imports from its right:

    structures → neighbors → φ → A → AA → recursion (purify, center) → C (symmetrize) → B

    structures.py      what is accepted as a structure
    neighbors.py       ase.Atoms → sorted neighbor list
    specification.py   which functions: index sets and their sizes
    basis/             geometry → numbers: radial functions φ, harmonics, sums A, products AA
    operators/         sparse maps between index sets: product algebras, recursion, coupling, symmetrization
    evaluation.py      operators → tables of the compiled kernel
    descriptor.py      ACEBasis: all stages composed
    api.py             descriptors(atoms, ...)
    plotting.py        figures
    cli.py             the command line
"""

from acepure.api import descriptors
from acepure.descriptor import ACEBasis, FeatureLabel

__all__ = ["ACEBasis", "FeatureLabel", "__version__", "descriptors"]

__version__ = "0.1.0"
