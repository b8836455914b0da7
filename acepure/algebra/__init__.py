"""Sparse maps between index sets; they know labels alone, no structure and no distance.

radial_algebra  products of radial functions, f^s P_a · f^t P_b
linearization   products of one-particle functions: radial algebra times Gaunt coefficients
coupling        generalized Clebsch-Gordan coefficients
recursion       self-interacting products → canonical, centered, Wick products
invariants      the same between invariants, per block
symmetrization  products → invariants
operators       all of them for one species of center
"""
