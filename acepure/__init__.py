"""acepure: the canonical, self-interaction-free Atomic Cluster Expansion.

Data flows one way; nothing imports from its right:

    structures → neighbors → φ → A → AA → recursion (purify, center) → C (symmetrize) → B

    structures.py      what is accepted as a structure
    structure_files.py  structures read from files one at a time
    neighbors.py       ase.Atoms → sorted neighbor list
    neighbor_checks.py  is a list that was given fit for the kernels
    neighbor_blocks.py  the same for large structures, by blocks of centers
    specification.py   which functions: index sets and their sizes
    basis/             geometry → numbers: radial functions φ, harmonics, sums A, products AA
    operators/         sparse maps between index sets: product algebras, recursion, coupling, symmetrization
    streaming.py       R factors of tall matrices, row by row
    workers/           functions of batches, on processes or a cluster
    references/        what supplies means μ and pair constants c: ideal gas, data
    centers.py         operators of each species of center
    labels.py          names of features
    evaluation.py      operators → tables of the compiled kernels
    descriptor.py      ACEBasis: all stages composed
    coordinates.py     exact maps between bases that span the same functions
    api.py             descriptors(atoms, ...)
    store/             features on disk, chunk by chunk
    gradients.py       derivatives of features
    linear.py          energies, forces and virial of linear functions of features
    verlet.py          neighbor lists that last for many steps
    core.py            repulsive cores at short distance
    diagnostics/       conditioning, self-interaction, decay of coefficients
    toys/              the toy problems of the purification paper
    regression/        from labeled structures to coefficients
    model_file.py      files of models
    export/            files for LAMMPS
    calculator.py      ASE calculator
    potential.py       LinearACE: fit, evaluate, save, load
    lammps/            LAMMPS with the kernels of this library
    validation.py      cross-validation
    transformer.py     features for scikit-learn
    testing/           properties that any descriptor or potential should have
    plotting/          figures
    config.py          what is installed and what the kernels use
    demo.py, cli/      the command line

Everything above may use these, which know no stage:

    errors.py          named errors and warnings
    checks.py          wrong arguments: what was given, what is needed
    arguments.py       spellings of arguments
    files.py           files that are complete or not there
    indices.py         names of one-particle functions, blocks, products
    characters.py      how many invariants there are
    sizes.py           how many functions, how much memory
    _kernels/          compiled loops
"""

from acepure.api import descriptors
from acepure.config import show_config
from acepure.descriptor import ACEBasis
from acepure.gradients import pair_jacobian, pullback, summed_gradients
from acepure.labels import FeatureLabel
from acepure.linear import LinearFunction
from acepure.potential import LinearACE
from acepure.references import IdealGas, MeanCovariance, RadialDensity
from acepure.structure_files import StructureFiles
from acepure.verlet import VerletList

__all__ = [
    "ACEBasis",
    "FeatureLabel",
    "IdealGas",
    "LinearACE",
    "LinearFunction",
    "MeanCovariance",
    "RadialDensity",
    "StructureFiles",
    "VerletList",
    "__version__",
    "descriptors",
    "pair_jacobian",
    "pullback",
    "show_config",
    "summed_gradients",
]

__version__ = "0.1.0"
