"""Tables of the compiled kernels, from index sets and radial functions.

pooling    A, the sums over neighbors, and where the kernel keeps them
products   AA, products of sums along a graph
single     the stages one by one, with pushforward and pullback
fused      runs through all stages that store none of them
"""
