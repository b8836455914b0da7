"""acepure: the canonical, self-interaction-free Atomic Cluster Expansion.

Data flows one way; nothing imports from its right:

    structures → neighbors → φ → A → AA → recursion (purify, center) → C (symmetrize) → B

    structures/     what is accepted as a structure; files, read one structure at a time
    neighbors/      ase.Atoms → sorted neighbor lists, checked or found, whole or by blocks of centers
    labels/         which functions there are: names of factors, index sets, exact sizes; never a distance
    algebra/        sparse maps between index sets: product algebras, recursion, coupling, symmetrization
    functions/      functions of one pair: transforms, envelopes, polynomials, radial functions, harmonics
    stages/         tables of the compiled kernels: pooling (A), products (AA), and the runs that fuse them
    references/     what supplies means μ and pair constants c: ideal gas, data
    features/       ACEBasis, BondBasis, descriptors, derivatives, linear functions, Verlet lists, features on disk
    models/         potentials, repulsive cores, tensors, Hamiltonians, their files
    fitting/        from labeled structures to coefficients: labels, rows, weights, prior, solvers, cross-validation
    layers/         messages between atoms over distinct neighbors, stacked and trained; needs PyTorch
    diagnostics/    conditioning, self-interaction, decay of coefficients
    toys/           the toy problems of the purification paper
    interfaces/     ASE calculator, scikit-learn, .yace files and LAMMPS
    data/           data sets and potentials that come with the package
    active/         which structures to compute next
    testing/        properties that any descriptor or potential should have
    plotting/       figures
    config.py       what is installed and what the kernels use
    cli/            the command line

Everything above may use these, which know no stage:

    errors.py       named errors and warnings
    _utils/         checks of arguments, memory, files, threads, tables of pairs, workers, tall QR factorizations
    _kernels/       compiled loops

The public names below are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

#: Public name → the module that defines it.
_HOMES = {
    "ACEBasis": "features.basis",
    "BondBasis": "features.bonds",
    "FeatureLabel": "features.labels",
    "HamiltonianModel": "models.hamiltonian",
    "IdealGas": "references",
    "EmbeddedACE": "models.embedded",
    "LayeredACE": "layers.model",
    "LinearACE": "models.linear",
    "LinearFunction": "features.linear",
    "MeanCovariance": "references",
    "RadialDensity": "references",
    "Stages": "features.stages",
    "StructureFiles": "structures.files",
    "TensorModel": "models.tensor",
    "VerletList": "features.verlet",
    "descriptors": "features.descriptors",
    "evaluate_environments": "features.arrays",
    "from_cartesian": "functions.cartesian",
    "jvp": "features.directional",
    "pair_jacobian": "features.derivatives",
    "potential": "data",
    "pullback": "features.derivatives",
    "show_config": "config",
    "summed_gradients": "features.derivatives",
    "to_cartesian": "functions.cartesian",
}

if TYPE_CHECKING:
    from acepure import data as data
    from acepure.config import show_config
    from acepure.data import potential
    from acepure.features.arrays import evaluate_environments
    from acepure.features.basis import ACEBasis
    from acepure.features.bonds import BondBasis
    from acepure.features.derivatives import pair_jacobian, pullback, summed_gradients
    from acepure.features.descriptors import descriptors
    from acepure.features.directional import jvp
    from acepure.features.labels import FeatureLabel
    from acepure.features.linear import LinearFunction
    from acepure.features.stages import Stages
    from acepure.features.verlet import VerletList
    from acepure.functions.cartesian import from_cartesian, to_cartesian
    from acepure.layers.model import LayeredACE
    from acepure.models.embedded import EmbeddedACE
    from acepure.models.hamiltonian import HamiltonianModel
    from acepure.models.linear import LinearACE
    from acepure.models.tensor import TensorModel
    from acepure.references import IdealGas, MeanCovariance, RadialDensity
    from acepure.structures.files import StructureFiles

__all__ = [
    "ACEBasis",
    "BondBasis",
    "EmbeddedACE",
    "FeatureLabel",
    "HamiltonianModel",
    "IdealGas",
    "LayeredACE",
    "LinearACE",
    "LinearFunction",
    "MeanCovariance",
    "RadialDensity",
    "Stages",
    "StructureFiles",
    "TensorModel",
    "VerletList",
    "__version__",
    "descriptors",
    "evaluate_environments",
    "from_cartesian",
    "jvp",
    "pair_jacobian",
    "potential",
    "pullback",
    "show_config",
    "summed_gradients",
    "to_cartesian",
]


def __getattr__(name: str) -> Any:
    if name == "data":
        return import_module("acepure.data")
    if name not in _HOMES:
        raise AttributeError(f"module 'acepure' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"acepure.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
