"""Properties that any descriptor or calculator must have: assertions, and Hypothesis strategies to try them on.

An assertion takes a function from structures to arrays, of this library or any other, and a structure:

    assert_invariant(function, atoms)               f(Q r + t) = f(r), wrapped or not
    assert_equivariant(function, atoms, "vector")   f(Q r + t) = Q f(r): forces, stress, dipoles
    assert_permutation_invariant(function, atoms)   rows follow their atoms
    assert_supercell(function, atoms)               rows repeat
    assert_cell_choice(function, atoms)             the lattice counts, not the vectors chosen for it
    assert_gradients(function, gradient, atoms)     derivatives, by finite differences
    assert_local(function, atoms, rcut)             atoms beyond the cutoff do not matter
    assert_smooth_at_cutoff(function, atoms, rcut, order)
    assert_body_order(function, atoms, order)       at most so many neighbors at a time
    assert_no_self_interaction(function, atoms, order)      exactly so many, pairwise distinct
    assert_inputs_unchanged(function, atoms)
    assert_deterministic(function, atoms)           the same bits, from several threads too

The strategies are in `acepure.testing.strategies`, which needs hypothesis (``pip install "acepure[test]"``).

    comparison.py       the engine: move the structure, move the values, compare
    moves.py            rotated, translated, repeated structures
    symmetry.py         rotations, reflections, translations, permutations
    cells.py            supercells, other vectors of the same lattice
    derivatives.py      finite differences
    cutoff.py           locality, smoothness where a neighbor enters
    body_order.py       sums over subsets of neighbors
    calls.py            inputs left alone, the same bits
    strategies.py       species, environments, molecules, crystals, O(3)
    specifications.py   arguments of ACEBasis
"""

from acepure.testing.body_order import assert_body_order, assert_no_self_interaction
from acepure.testing.calls import assert_deterministic, assert_inputs_unchanged
from acepure.testing.cells import assert_cell_choice, assert_supercell
from acepure.testing.comparison import DEFAULT_TOLERANCE, calculated
from acepure.testing.cutoff import assert_local, assert_smooth_at_cutoff
from acepure.testing.derivatives import assert_gradients
from acepure.testing.symmetry import assert_equivariant, assert_invariant, assert_permutation_invariant

__all__ = [
    "DEFAULT_TOLERANCE",
    "assert_body_order",
    "assert_cell_choice",
    "assert_deterministic",
    "assert_equivariant",
    "assert_gradients",
    "assert_inputs_unchanged",
    "assert_invariant",
    "assert_local",
    "assert_no_self_interaction",
    "assert_permutation_invariant",
    "assert_smooth_at_cutoff",
    "assert_supercell",
    "calculated",
]
