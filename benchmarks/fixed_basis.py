"""A basis by total degree with settings made by hand, for benchmarks that compare other things than accuracy."""

from __future__ import annotations

from ase.data import atomic_numbers, covalent_radii

from acepure import ACEBasis, RadialDensity
from acepure.functions import AgnesiTransform, PolynomialRadialBasis, SmoothEnvelope

#: Total degrees of orders 1, 2, 3 for one species: 299 and 1016 functions.
DEGREES = {"299": [20, 16, 12], "1016": [25, 21, 17]}
#: Cutoff in units of the sum of two covalent radii, and the longest one in Å.
REACH, LONGEST = 2.65, 6.5
RADIAL = (AgnesiTransform(p=1, q=3), SmoothEnvelope(2))


def fixed_basis(frames, degrees):
    """Centered on the radial density of the frames."""
    species = sorted({s for atoms in frames for s in atoms.get_chemical_symbols()})
    radius = {s: covalent_radii[atomic_numbers[s]] for s in species}
    rcut = {(a, b): min(REACH * (radius[a] + radius[b]), LONGEST) for a in species for b in species}
    radial = PolynomialRadialBasis(rcut, *RADIAL)
    basis = ACEBasis(species, totaldegree=degrees, wL=1.5, n_start=1, radial=radial)
    return basis.centered(RadialDensity.from_structures(frames, basis.rcut, background=0.1))
