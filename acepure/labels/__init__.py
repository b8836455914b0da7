"""Which functions there are, by name alone; nothing here knows a distance.

factors      names of one-particle functions, blocks and products
selection    index sets: total degree, box, explicit lists, species
occupancy    how often particles of a kind may occur in a function
irreps       how a feature answers to rotations and to inversion
orbitals     which rows of a matrix belong to which shell of which atom
counting     how many functions an index set has, exactly, and whether they fit in memory
characters   the counts behind it
"""
