"""Where potentials and features are used.

calculator    ASE
dipole        ASE: dipoles beside what another calculator computes
scikit_learn  features as a transformer of pipelines
yace/         files for LAMMPS ML-PACE and readers of them
lammps/       LAMMPS with the kernels of this library
"""
