"""Small problems where purification can be seen at work: particles on a line, and random environments of an atom.

The first is the toy of Ho, Gutleb and Ortner (arXiv:2401.01550).

    laws.py           E[φ_v] of a particle, and random particles
    moments.py        exact Gram matrices for independent particles, condition numbers
    particles.py      ParticleBasis: permutation-invariant features of particles on [−1, 1]
    targets.py        functions to be fitted
    fits.py           least squares with and without ridge
    environments.py   random clusters in three dimensions, for ACEBasis
    tables.py         results that print
    conditions.py     experiments without a target: condition_table, sparsity_table, environment_table
    regressions.py    experiments with a target: decay_table, truncation_table, learning_table, iteration_table
"""

from acepure.toys.conditions import condition_table, environment_table, sparsity_table
from acepure.toys.environments import joined_environments, random_environments
from acepure.toys.fits import ParticleFit, fit_particles
from acepure.toys.laws import random_particles
from acepure.toys.moments import condition_number
from acepure.toys.particles import ParticleBasis
from acepure.toys.regressions import decay_table, iteration_table, learning_table, truncation_table
from acepure.toys.tables import Table
from acepure.toys.targets import runge, spread, triplets

__all__ = [
    "ParticleBasis",
    "ParticleFit",
    "Table",
    "condition_number",
    "condition_table",
    "decay_table",
    "environment_table",
    "fit_particles",
    "iteration_table",
    "joined_environments",
    "learning_table",
    "random_environments",
    "random_particles",
    "runge",
    "sparsity_table",
    "spread",
    "triplets",
    "truncation_table",
]
