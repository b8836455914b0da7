"""Linear regression: from labeled structures to the weights of a linear function of the features.

======================================  =====================  =====================================================
what                                    file                   names
======================================  =====================  =====================================================
which keys hold the labels              keys.py                `LabelKeys`, `resolve_keys`, `LabelError`,
                                                               `NoLabelsError`
energies, forces, virials               labels.py              `LabeledStructure`, `read_labels`, `LabelWarning`
of many structures, in memory or not    labeled.py             `label_structures`, `LabeledData`, `LabeledStream`
energies E0 of the species              reference_energies.py  `reference_energies`, `reference_energy`,
                                                               `reference_table`, `is_isolated`
weights of rows per config_type         weights.py             `Weights`, `LabelWeights`, `resolve_weights`
distances and species that are met       met.py                 `Met`, `what_was_met`
do labels contradict each other         consistency.py         `ConsistencyReport`, `VirialCheck`, `ForceCheck`,
                                                               `check_consistency`
rows, and their R factor                design.py              `Design`, `Triangle`, `assemble`
size of coefficients before any data    priors.py              `SmoothnessPrior`
prior and E(isolated) = E0              system.py              `Unknowns`, `unknowns`
from R factor to unknowns               solvers.py             `SolverProblem`, `Solution`, `solve`
basis of a fit, from the structures     recipe.py              `choose_basis`; `recipe_*.py` its parts
weights, by errors of folds left out    weight_choice.py,      `choose_weights`, `final_rows`
                                        group_choice.py
results of stages, on disk              checkpoints.py         `Checkpoints`
all steps, one after the other          fit.py                 `fit_coefficients`, `FitResult`
some body orders, others being given    by_order.py            `fit_orders`
errors per group                        errors.py              `Errors`, `Predictions`, `evaluate_errors`
structures left out, in closed form     leave_out.py           `leave_out`
errors beside what was stated for them  deviations.py          `Deviations`, `Coverage`, `coverage_table`
laws of the errors                      calibration.py         `fit_error_law`
noise of groups, as weights             groups.py              `group_weights`
priors that tie species together        species_prior.py
forward selection of functions          selection.py
thousands of unknowns                   normal_equations.py    `solve_normal_equations`
functions that are zero everywhere      occupancy.py           `can_be_nonzero`
coefficients that hardly matter         pruning.py
which basis predicts unseen structures  cross_validation.py    `cross_validate`
vectors and tensors: labels, rows,      tensor_labels.py, tensor_design.py, tensors.py, tensor_errors.py: what
steps of a fit, errors                  `TensorModel.fit` runs
nonlinear site energies                 embedded.py, train_embedded.py: what `EmbeddedACE.fit` runs
matrices between orbitals               hamiltonians.py: what `HamiltonianModel.fit` runs
======================================  =====================  =====================================================

Units are eV and Å; the virial is W = −∂E/∂ε in eV, a stress −W / V in eV/Å³ with ASE's sign and Voigt order.
"""

from acepure.fitting.by_order import fit_orders
from acepure.fitting.calibration import fit_error_law
from acepure.fitting.consistency import ConsistencyReport, ForceCheck, VirialCheck, check_consistency
from acepure.fitting.design import Design, Triangle, assemble
from acepure.fitting.deviations import Coverage, Deviations, compare_deviations, coverage_table
from acepure.fitting.errors import Errors, Predictions, evaluate_errors
from acepure.fitting.fit import FitResult, fit_coefficients
from acepure.fitting.keys import LabelError, LabelKeys, NoLabelsError, resolve_keys
from acepure.fitting.labeled import LabeledData, LabeledSet, LabeledStream, label_structures
from acepure.fitting.labels import LabeledStructure, LabelWarning, read_labels
from acepure.fitting.leave_out import leave_out
from acepure.fitting.priors import SmoothnessPrior
from acepure.fitting.reference_energies import is_isolated, reference_energies, reference_energy, reference_table
from acepure.fitting.solvers import Solution, SolverProblem, solve
from acepure.fitting.system import Unknowns, unknowns
from acepure.fitting.weights import DEFAULT_WEIGHTS, LabelWeights, Weights, resolve_weights

__all__ = [
    "DEFAULT_WEIGHTS",
    "ConsistencyReport",
    "Coverage",
    "Design",
    "Deviations",
    "Errors",
    "FitResult",
    "ForceCheck",
    "LabelError",
    "LabelKeys",
    "LabelWarning",
    "LabelWeights",
    "LabeledData",
    "LabeledSet",
    "LabeledStream",
    "LabeledStructure",
    "NoLabelsError",
    "Predictions",
    "SmoothnessPrior",
    "Solution",
    "SolverProblem",
    "Triangle",
    "Unknowns",
    "VirialCheck",
    "Weights",
    "assemble",
    "check_consistency",
    "compare_deviations",
    "coverage_table",
    "evaluate_errors",
    "fit_coefficients",
    "fit_error_law",
    "fit_orders",
    "is_isolated",
    "label_structures",
    "leave_out",
    "read_labels",
    "reference_energies",
    "reference_energy",
    "reference_table",
    "resolve_keys",
    "resolve_weights",
    "solve",
    "unknowns",
]
