"""Digits of radial functions that are mixed from sums over neighbors, of orthonormal functions and of f T_n.

Every fourth training structure of silicon, rcut 5 Å; means and covariances of their sums A give W. Printed for n radial
functions: the condition number of W (of l = 0, and with Chebyshev polynomials underneath), and the largest error of
A, relative to the largest A of each function, when the kernel mixes sums of orthonormal functions or of f T_n. The
right values are sums of the whitened functions themselves, which NumPy evaluates pair by pair.

    python benchmarks/radial_mixing.py
"""

from __future__ import annotations

import numpy as np
from common import machine, parser, read

from acepure import ACEBasis, MeanCovariance, Stages
from acepure.functions import PolynomialRadialBasis
from acepure.functions.whitened import WhitenedRadialBasis

PAIR = ("Si", "Si")


def main() -> None:
    parser(__doc__).parse_args()
    structures = read("zuo2020/Si_train")[::4]
    print(machine(1))
    print(f"{'n':>3s}{'cond W':>10s}{'cond W Q':>10s}{'orthonormal':>14s}{'Chebyshev':>12s}")
    for n in (6, 12, 20):
        measured = ACEBasis(["Si"], rcut=5.0, order=1, totaldegree=n - 1, canonical=False)
        whitened = MeanCovariance.from_structures(structures, measured).functions
        W = whitened.matrices[PAIR][:1]
        plain = whitened.radial
        WQ = W @ plain.chebyshev_coefficients(*PAIR, n)
        from_chebyshev = WhitenedRadialBasis(PolynomialRadialBasis(plain.rcut), {PAIR: WQ})
        expected = np.concatenate([sums_of_functions(whitened, atoms, n) for atoms in structures])
        errors = []
        for radial in (WhitenedRadialBasis(plain, {PAIR: W}), from_chebyshev):
            A = np.concatenate([sums(radial, atoms, n) for atoms in structures])
            errors.append((abs(A - expected) / abs(expected).max(axis=0)).max())
        conditions = [np.linalg.cond(matrix[0]) for matrix in (W, WQ)]
        print(f"{n:3d}{conditions[0]:10.0f}{conditions[1]:10.0e}{errors[0]:14.0e}{errors[1]:12.0e}")


def sums(radial, atoms, n: int) -> np.ndarray:
    """A of l = 0 by the kernel."""
    basis = ACEBasis(["Si"], radial=radial, functions=[[("Si", k, 0)] for k in range(n)], canonical=False)
    return Stages(basis, "Si").sums(atoms)


def sums_of_functions(radial, atoms, n: int) -> np.ndarray:
    """The same by NumPy: values of the functions, then their sums."""
    basis = ACEBasis(["Si"], rcut=radial.cutoff(*PAIR), order=1, totaldegree=2)
    pairs = basis.neighbor_list(atoms)
    values = radial.evaluate(np.linalg.norm(pairs.vectors, axis=1), *PAIR, n)
    return np.add.reduceat(values, pairs.offsets[:-1], axis=0) / np.sqrt(4 * np.pi)


if __name__ == "__main__":
    main()
