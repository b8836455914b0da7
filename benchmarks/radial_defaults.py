"""Which radial functions are a good default?  Energies of metals, semiconductors and molecules, one linear recipe.

For every choice of transform, envelope and polynomials, the features are summed over the atoms of each structure and
the energies fitted by least squares with one ridge, relative to the scale of each feature.  Printed: the mean absolute
error on the test set in meV/atom, and the condition number of the z-scored features of single atoms.

    python benchmarks/radial_defaults.py
"""

from __future__ import annotations

import numpy as np
from common import machine, parser, read

from acepure import ACEBasis
from acepure.functions import (
    AgnesiTransform,
    CosineEnvelope,
    InverseTransform,
    LinearTransform,
    PolynomialEnvelope,
    PolynomialRadialBasis,
    PowerTransform,
    SmoothEnvelope,
)

SETS = {
    "Cu": ("zuo2020/Cu_train", "zuo2020/Cu_test", 5.0),
    "Ni": ("zuo2020/Ni_train", "zuo2020/Ni_test", 5.0),
    "Si": ("zuo2020/Si_train", "zuo2020/Si_test", 5.0),
    "InP": ("inp/InP_train", "inp/InP_test", 5.0),
    "C5H8O2": ("acac/train_300K", "acac/test_MD_300K", 4.5),
}
TRANSFORMS = [
    LinearTransform(),
    PowerTransform(2.0),
    InverseTransform(exponent=2.0),
    AgnesiTransform(p=2, q=2),
    AgnesiTransform(p=2, q=4),
]
ENVELOPES = [PolynomialEnvelope(2), PolynomialEnvelope(3), CosineEnvelope(), SmoothEnvelope(2), SmoothEnvelope(3)]
RIDGES = 10.0 ** np.arange(-12, -3)


def main() -> None:
    parser(__doc__).parse_args()
    print(machine(2))
    data = {name: (read(train), read(test), rcut) for name, (train, test, rcut) in SETS.items()}
    data["InP"] = (data["InP"][0][::4], *data["InP"][1:])
    print("order 3, totaldegree [12, 10, 8] (C5H8O2, InP: [9, 7, 5]); energy MAE, meV/atom (condition number)")
    print(f"{'transform':34s}{'envelope':34s}" + "".join(f"{name:>18s}" for name in data))
    for transform in TRANSFORMS:
        for envelope in ENVELOPES:
            cells = []
            for train, test, rcut in data.values():
                species = sorted(set(train[0].get_chemical_symbols()))
                radial = PolynomialRadialBasis(rcut, transform, envelope)
                degrees = [12, 10, 8] if len(species) == 1 else [9, 7, 5]
                error, condition = assess(ACEBasis(species, totaldegree=degrees, radial=radial), train, test)
                cells.append(f"{error:9.2f} ({condition:.0e})")
            print(f"{transform!r:34.33s}{envelope!r:34.33s}" + "".join(f"{c:>18s}" for c in cells), flush=True)


def assess(basis: ACEBasis, train: list, test: list) -> tuple[float, float]:
    """Return the test error in meV/atom and the condition number."""
    (counts, X, y), (counts_test, X_test, y_test) = (design(basis, structures) for structures in (train, test))
    e0 = np.linalg.lstsq(counts, y, rcond=None)[0]  # reference energies per species, minimum norm
    y, y_test = y - counts @ e0, y_test - counts_test @ e0
    n, n_test = counts.sum(axis=1), counts_test.sum(axis=1)
    scale = np.sqrt((X**2).mean(axis=0)) + 1e-300
    validation = np.arange(len(X)) % 5 == 2
    U, s, Vt = np.linalg.svd(X[~validation] / scale / n[~validation, None], full_matrices=False)
    projected = U.T @ (y[~validation] / n[~validation])

    def solve(ridge: float) -> np.ndarray:
        return Vt.T @ (s / (s**2 + (ridge * s[0]) ** 2) * projected) / scale

    def error(theta: np.ndarray, X: np.ndarray, y: np.ndarray, n: np.ndarray) -> float:
        return 1e3 * float(np.abs((X @ theta - y) / n).mean())

    best = min(RIDGES, key=lambda ridge: error(solve(ridge), X[validation], y[validation], n[validation]))
    atoms = np.concatenate(basis.descriptors(train[:: max(1, len(train) // 50)]))
    z = (atoms - atoms.mean(axis=0)) / (atoms.std(axis=0) + 1e-300)
    singular = np.linalg.svd(z, compute_uv=False)
    condition = (singular[0] / max(singular[-1], 1e-300)) ** 2
    return error(solve(best), X_test, y_test, n_test), condition


def design(basis: ACEBasis, structures: list) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per structure: numbers of atoms; these and features summed per species of center; energy in eV."""
    counts, rows, energies = [], [], []
    for atoms, features in zip(structures, basis.descriptors(structures)):
        symbols = np.array(atoms.get_chemical_symbols())
        masks = [symbols == s for s in basis.species]
        counts.append([mask.sum() for mask in masks])
        rows.append(np.concatenate([counts[-1], *[features[mask].sum(axis=0) for mask in masks]]))
        energies.append(atoms.info["REF_energy"])
    return np.array(counts, dtype=float), np.array(rows), np.array(energies)


if __name__ == "__main__":
    main()
