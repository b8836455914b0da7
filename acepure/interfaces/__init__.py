"""Where potentials and features are used.

calculator    ASE
dipole        ASE: dipoles beside what another calculator computes
explore       a page with a map of structures
scikit_learn  features as a transformer of pipelines
torch         features as tensors of PyTorch, with derivatives
tensor_map    features as a TensorMap of metatensor
yace/         files for LAMMPS ML-PACE and readers of them
lammps/       LAMMPS with the kernels of this library
"""
