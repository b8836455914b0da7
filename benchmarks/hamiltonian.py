"""Fock and overlap matrices of distorted water molecules (RHF/STO-3G): the figures of docs/howto/hamiltonians.md.

Frames 400-499 are the test set and are looked at once. Degree and cutoff are chosen by four folds of frames 0-399, by
the root mean square error of all elements of the Fock matrix.

python benchmarks/hamiltonian.py                          choose, fit, test (a quarter of an hour)
python benchmarks/hamiltonian.py --degree 12 --rcut 4     leave out the choice (minutes)
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import time

import numpy as np
from ase import Atoms
from common import data_folder, machine, parser
from scipy.linalg import eigh

from acepure import ACEBasis, BondBasis, HamiltonianModel

SHELLS = {"H": "s", "O": "ssp"}
N_TRAIN, N_FOLDS, N_OCCUPIED = 400, 4, 5
DEGREES, CUTOFFS = (6, 8, 10, 12, 14), (3.0, 4.0)


def read_structures() -> list[Atoms]:
    """Read all frames, and check that Fock and overlap matrices give the levels that the code printed."""
    path = data_folder() / "water_hamiltonian" / "water_sto3g.npz"
    if not path.exists():
        raise SystemExit(f"no {path}")
    data = np.load(path)
    frames = zip(data["positions"], data["fock"], data["overlap"])
    structures = [Atoms(data["numbers"], r, info={"fock": F, "overlap": S}) for r, F, S in frames]
    difference = max(abs(levels(a.info["fock"], a) - e).max() for a, e in zip(structures, data["mo_energy"]))
    print(f"generalized eigenvalues of (fock, overlap) against the levels in the file: {difference:.1e} hartree\n")
    return structures


def levels(fock: np.ndarray, atoms: Atoms, overlap: np.ndarray | None = None) -> np.ndarray:
    """Orbital energies in hartree."""
    result: np.ndarray = eigh(fock, atoms.info["overlap"] if overlap is None else overlap, eigvals_only=True)
    return result


def fit(
    train: list[Atoms],
    degree: int,
    rcut: float,
    target: str = "fock",
    orders: tuple[int, int] = (2, 2),
    canonical: bool = True,
) -> HamiltonianModel:
    """Fit with one total degree for all; orders of the features of atoms and of bonds."""
    options = {"totaldegree": degree, "rcut": rcut, "canonical": canonical}
    sites = ACEBasis(list(SHELLS), order=orders[0], **options)
    bonds = BondBasis(list(SHELLS), length=rcut, order=orders[1], **options)
    return HamiltonianModel.fit(train, sites, bonds, orbitals=SHELLS, convention="pyscf", target=target, num_threads=1)


def choose(train: list[Atoms]) -> tuple[int, float]:
    """Degree and cutoff with the least error over the folds."""
    print(f"RMSE of elements over {N_FOLDS} folds of the training frames, millihartree")
    print(f"{'degree':>6}" + "".join(f"{f'rcut {rcut:g}':>12}" for rcut in CUTOFFS))
    best = (np.inf, 0, 0.0)
    for degree in DEGREES:
        row = []
        for rcut in CUTOFFS:
            squares = []
            for fold in range(N_FOLDS):
                rest = [a for k, a in enumerate(train) if k % N_FOLDS != fold]
                model = fit(rest, degree, rcut)
                squares.append(model.errors(train[fold::N_FOLDS], "fock", num_threads=1).total ** 2)
            row.append(1000 * float(np.sqrt(np.mean(squares))))
            best = min(best, (row[-1], degree, rcut))
        print(f"{degree:>6}" + "".join(f"{value:>12.3f}" for value in row), flush=True)
    print(f"chosen: degree {best[1]}, rcut {best[2]:g} Å\n")
    return best[1], best[2]


def level_errors(model: HamiltonianModel, test: list[Atoms], overlap: HamiltonianModel | None = None) -> np.ndarray:
    """Errors of the levels of each molecule, in millihartree."""
    differences = [
        levels(model.predict(a, num_threads=1), a, None if overlap is None else overlap.predict(a, num_threads=1))
        - levels(a.info["fock"], a)
        for a in test
    ]
    return 1000 * np.array(differences)


def report(name: str, model: HamiltonianModel, test: list[Atoms], overlap: HamiltonianModel | None = None) -> None:
    """Print one row: elements, occupied levels together and of the median molecule, each level."""
    each = level_errors(model, test, overlap)
    of_molecules = np.sqrt(np.mean(each[:, :N_OCCUPIED] ** 2, axis=1))
    occupied, median = float(np.sqrt(np.mean(of_molecules**2))), float(np.median(of_molecules))
    elements = 1000 * model.errors(test, "fock", num_threads=1).total
    by_level = "".join(f"{e:>8.3f}" for e in np.sqrt(np.mean(each**2, axis=0)))
    print(f"{name:<46}{elements:>9.3f}{occupied:>10.3f}{median:>8.3f}  {by_level}", flush=True)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--degree", type=int)
    arguments.add_argument("--rcut", type=float)
    given = arguments.parse_args()
    print(machine(1))
    structures = read_structures()
    train, test = structures[:N_TRAIN], structures[N_TRAIN:]
    degree, rcut = choose(train) if given.degree is None else (given.degree, given.rcut or CUTOFFS[0])
    best = fit(train, degree, rcut)
    overlap = fit(train, degree, rcut, "overlap", orders=(1, 1))
    print(f"test frames {N_TRAIN}-{len(structures) - 1}, degree {degree}, rcut {rcut:g} Å; RMSE in millihartree")
    print(
        f"{'model':<46}{'elements':>9}{'occupied':>10}{'median':>8}  "
        + "".join(f"{f'level {k}':>8}" for k in range(1, 8))
    )
    report("canonical, order 2 on atoms, order 2 on bonds", best, test)
    report("the same, overlap predicted, too", best, test, overlap)
    report("self-interacting", fit(train, degree, rcut, canonical=False), test)
    report("bonds of order 1 (two centers)", fit(train, degree, rcut, orders=(2, 1)), test)
    report("atoms of order 1", fit(train, degree, rcut, orders=(1, 2)), test)
    for n in (50, 100, 200):
        report(f"canonical, {n} training frames", fit(train[:n], degree, rcut), test)
    spread = 1000 * np.std([levels(a.info["fock"], a) for a in test], axis=0)
    print(f"{'standard deviation of the levels':<46}{'':>27}  " + "".join(f"{s:>8.1f}" for s in spread))
    print(f"\nFock matrix by block, hartree\n{best.errors(test, 'fock', num_threads=1)}")
    print(f"\noverlap matrix by block, order 1\n{overlap.errors(test, 'overlap', num_threads=1)}")
    start = time.perf_counter()
    for atoms in test:
        best.predict(atoms, num_threads=1)
    print(f"\ntime of a prediction: {1000 * (time.perf_counter() - start) / len(test):.1f} ms per molecule")


if __name__ == "__main__":
    main()
