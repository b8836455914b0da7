"""Potentials.

linear          LinearACE: fit, evaluate, save, load
by_order        the part of it that takes energies apart into body orders
uncertainty     the part of it that needs a posterior
embedded        EmbeddedACE: nonlinear site energies
embedding       functions of densities for it
potential       what both have in common
posterior       roots of the covariance of coefficients: arrays, and triangles of large fits
calibration     how errors grow with what a posterior says
coverage        what the structures of a fit hold, and what lies outside of it
tensor          TensorModel: vectors and tensors
hamiltonian     HamiltonianModel: matrices between orbitals
repulsion       repulsive cores at short distance
pair_potential  given pair potentials, carried like cores
files           files of models
arguments       checks of arguments
"""

import acepure.models.pair_potential  # noqa: F401  # files of models name it

__all__: list[str] = []
