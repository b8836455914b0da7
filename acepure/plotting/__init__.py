"""Every figure; the only place that imports matplotlib, and only when a figure is asked for.

    basis.py
    plot_radial             R_n(r) of a pair of species
    plot_purification       where the operator P has entries

    features.py
    plot_map                features of many atoms in two dimensions
    plot_self_interaction   share of self-interaction in plain features
    features_figure         both

    conditioning.py
    plot_spectrum           eigenvalues of Gram matrices
    plot_gram               a Gram matrix
    plot_condition_numbers  condition numbers of several bases
    plot_comparison         condition numbers of all references, and what limits them
    plot_coefficient_decay  sizes of coefficients by order and degree

    potentials.py
    plot_parity             predictions against labels
    plot_error_distribution how many errors are how large
    plot_dimers             energy of two atoms alone
    plot_calibration        errors against predicted standard deviations
    potential_figure        all of these

    body_orders.py
    plot_orders             energies by order along a scan or over frames
    plot_trimer_map         the three-body term by the place of the third atom

    curves.py
    plot_curves             curves of plain numbers, with their spread
    plot_correlations       a small matrix with its numbers
    plot_distributions      boxes of values in groups

    tensors.py              models of vectors and tensors: predictions and errors
    active.py
    plot_criteria           relative uncertainty of forces along trajectories
    plot_predictions        errors of new frames against predicted deviations
    hal_figure              both, and errors on test structures
    hal_page                the same as a page of HTML

    style.py                colors, new figures and axes

Each function draws into `ax`, or into a new figure, and returns the axes (`ax.figure` is the figure). No global
settings of matplotlib are touched.
"""

from acepure.plotting.active import hal_figure, hal_page, plot_criteria, plot_predictions
from acepure.plotting.basis import plot_purification, plot_radial
from acepure.plotting.body_orders import plot_orders, plot_trimer_map
from acepure.plotting.conditioning import (
    plot_coefficient_decay,
    plot_comparison,
    plot_condition_numbers,
    plot_gram,
    plot_spectrum,
)
from acepure.plotting.curves import plot_correlations, plot_curves, plot_distributions
from acepure.plotting.features import features_figure, plot_map, plot_self_interaction, principal_components
from acepure.plotting.potentials import (
    plot_calibration,
    plot_dimers,
    plot_error_distribution,
    plot_parity,
    potential_figure,
)
from acepure.plotting.style import PALETTE, figure_format, figure_formats, new_figure
from acepure.plotting.tensors import plot_tensor_parity, tensor_figure

__all__ = [
    "PALETTE",
    "features_figure",
    "figure_format",
    "figure_formats",
    "hal_figure",
    "hal_page",
    "new_figure",
    "plot_calibration",
    "plot_coefficient_decay",
    "plot_comparison",
    "plot_condition_numbers",
    "plot_correlations",
    "plot_criteria",
    "plot_curves",
    "plot_dimers",
    "plot_distributions",
    "plot_error_distribution",
    "plot_gram",
    "plot_map",
    "plot_orders",
    "plot_parity",
    "plot_predictions",
    "plot_purification",
    "plot_radial",
    "plot_self_interaction",
    "plot_spectrum",
    "plot_tensor_parity",
    "plot_trimer_map",
    "potential_figure",
    "principal_components",
    "tensor_figure",
]
