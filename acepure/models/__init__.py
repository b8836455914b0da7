"""Potentials.

linear     LinearACE: fit, evaluate, save, load
repulsion  repulsive cores at short distance
files      files of models
arguments  checks of arguments
"""
