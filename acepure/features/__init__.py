"""What users hold first: bases and their features.

basis            ACEBasis, all stages composed
resolved         what a basis is, once its arguments are resolved
descriptors      descriptors(atoms, ...)
arrays           features of centers and neighbors given as arrays, which need not be atoms
bonds            BondBasis: bonds as centers
blocks           blocks of matrices between orbitals, and their features
centers, tables  operators of each species of center; the compiled tables of a basis
labels           names of features
stages           sums A, products AA and features one by one
derivatives      Jacobians, pullbacks, summed gradients
directional      derivatives along one motion of the atoms
products         functions of products of neighbor sums, with forces and virial
linear           linear functions of features
tensor_function  the same for features of several irreps
body_orders      the pair, three-body, ... terms of a linear function
verlet           neighbor lists that last for many steps
change_of_basis  exact maps between bases that span the same functions
store/           features on disk, chunk by chunk
"""
