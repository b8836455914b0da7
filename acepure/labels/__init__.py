"""Which functions there are, by name alone; nothing here knows a distance.

factors      names of one-particle functions, blocks and products
selection    index sets: total degree, box, explicit lists, species
counting     how many functions an index set has, exactly, and whether they fit in memory
characters   the counts behind it
"""
