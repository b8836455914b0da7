"""Neighbor lists.

lists          ase.Atoms → sorted list of pairs
blocks         the same for large structures, by blocks of centers
checks         is a list that was given fit for the kernels
sites          species and cutoffs
environments   what every evaluator takes: structure, species, list and threads, checked once
"""
