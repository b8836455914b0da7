"""Potentials.

linear     LinearACE: fit, evaluate, save, load
tensor     TensorModel: vectors and tensors
repulsion  repulsive cores at short distance
files      files of models
arguments  checks of arguments
"""
