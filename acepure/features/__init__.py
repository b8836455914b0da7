"""What users hold first: bases and their features.

basis            ACEBasis, all stages composed
descriptors      descriptors(atoms, ...)
centers          operators of each species of center
labels           names of features
derivatives      Jacobians, pullbacks, summed gradients
linear           linear functions of features, with forces and virial
verlet           neighbor lists that last for many steps
change_of_basis  exact maps between bases that span the same functions
store/           features on disk, chunk by chunk
"""
