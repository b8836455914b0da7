"""What conditioning buys in fits to DFT data, null results included.

One data set of energies and forces (Zuo et al. 2020), one set of functions, one prior (none); only the coordinates
differ: self-interacting, shifted and Wick span one space, canonical, centered and measured pairs another. Iterations,
rounding, ridge, few structures, a dimer and a trimer far from the data, and the size of coefficients.

    python benchmarks/conditioning_value.py Si
    python benchmarks/conditioning_value.py Cu
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from ase import Atoms
from common import machine, parser, read
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.sparse.linalg import lsqr

from acepure import ACEBasis, LinearACE, MeanCovariance, RadialDensity
from acepure.diagnostics import coefficient_decay
from acepure.fitting import SmoothnessPrior, assemble, label_structures, resolve_weights, solve, unknowns
from acepure.fitting.design import Design

CUTOFFS = {"Si": 5.4, "Cu": 5.6, "Ni": 5.5}
DEGREES = [12, 10, 8]
PRIOR = SmoothnessPrior("none")
TOLERANCES = (1e-3, 1e-4, 1e-5)
RIDGES = (1e-14, 1e-12, 1e-10, 1e-8, 1e-6, 1e-4)
FRACTIONS = (0.1, 0.25, 1.0)
DISTANCES = (1.0, 1.4, 1.8, 2.2)


def coordinates(element, structures):
    """The six bases, by name."""
    canonical = ACEBasis([element], rcut=CUTOFFS[element], totaldegree=DEGREES)
    plain = ACEBasis([element], rcut=CUTOFFS[element], totaldegree=DEGREES, canonical=False)
    density = RadialDensity.from_structures(structures, CUTOFFS[element])
    measured = MeanCovariance.from_structures(structures, canonical, whitened=False, atoms_per_structure=20)
    return {
        "self-interacting": plain,
        "canonical": canonical,
        "centered": canonical.centered(density),
        "measured pairs": canonical.centered(measured),
        "shifted": plain.centered(density),
        "Wick": plain.centered(measured),
    }


class Fits:
    """All solutions in one set of coordinates."""

    def __init__(self, basis, train, test, E0s):
        self.basis, self.test, self.E0s = basis, test, E0s
        self.design = Design(basis, resolve_weights((30, 1, 0)), E0s)
        self.unknowns = unknowns(basis, PRIOR)
        self.problem = self.problem_of(train)
        self.best = np.sqrt(self.problem.rest)

    def problem_of(self, train):
        return self.unknowns.problem(assemble(self.design, train, progress=False))

    def model(self, u):
        return LinearACE(self.basis, self.unknowns.coefficients(u), self.E0s)

    def errors(self, u):
        errors = self.model(u).errors(self.test, progress=False)
        return 1e3 * errors.all("energy").mae, errors.all("forces").mae

    def iterations(self, tolerance):
        """LSQR steps to a residual within `tolerance` of the least, relative to it."""
        low, high = 1, 4
        while high < 40_000 and not self.close(high, tolerance):
            low, high = high, 2 * high
        if high >= 40_000:
            return ">40000"
        while high - low > max(1, low // 50):
            middle = (low + high) // 2
            low, high = (low, middle) if self.close(middle, tolerance) else (middle, high)
        return str(high)

    def close(self, steps, tolerance):
        X, y = self.problem.X, self.problem.y
        # Columns of unit norm: what everybody does before an iterative solver.
        scales = np.linalg.norm(X, axis=0)
        v = lsqr(X / scales, y, atol=0, btol=0, conlim=0, iter_lim=steps)[0]
        residual = np.sqrt(np.sum((X @ (v / scales) - y) ** 2) + self.problem.rest)
        return residual <= (1 + tolerance) * self.best

    def cholesky(self):
        """u from the normal equations, columns of unit norm; None where they are not positive definite."""
        X, y = self.problem.X, self.problem.y
        scales = np.linalg.norm(X, axis=0)
        X = X / scales
        try:
            return cho_solve(cho_factor(X.T @ X), X.T @ y) / scales
        except LinAlgError:
            return None


def three_bodies(model, element, r):
    """Energy of an equilateral triangle of side r without its three atoms and three pairs."""
    corners = [[0, 0, 0], [r, 0, 0], [r / 2, r * np.sqrt(3) / 2, 0]]
    energy = model.evaluate(Atoms(3 * [element], corners)).energy
    return energy - 3 * model.E0s[element] - 3 * model.dimer(element, element, [r])[0]


def show(u, fits):
    return "failed" if u is None else "{:.2f} / {:.4f}".format(*fits.errors(u))


def table(title, columns, rows):
    print(f"\n{title}")
    print(f"{'':20s}" + "".join(f"{c:>18s}" for c in columns))
    for name, cells in rows:
        print(f"{name:20s}" + "".join(f"{c:>18s}" for c in cells), flush=True)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("element", nargs="?", default="Si")
    element = arguments.parse_args().element
    print(machine(1))
    frames, test = read(f"zuo2020/{element}_train"), label_structures(read(f"zuo2020/{element}_test"), virial_key=False)
    train = label_structures(frames, virial_key=False)
    E0s = {element: float(np.mean([item.energy / len(item.atoms) for item in train]))}
    fits = {name: Fits(basis, train, test, E0s) for name, basis in coordinates(element, frames).items()}
    n = len(next(iter(fits.values())).basis)
    print(f"{element}, totaldegree {DEGREES}, {n} functions; test errors are MAE of energy (meV/atom) / forces (eV/Å)")

    rows = []
    for name, fit in fits.items():
        s = np.linalg.svd(fit.problem.X / np.linalg.norm(fit.problem.X, axis=0), compute_uv=False)
        cells = [f"{(s[0] / s[-1]) ** 2:.0e}", *(fit.iterations(tolerance) for tolerance in TOLERANCES)]
        rows.append((name, cells))
    columns = ["cond of XᵀX", *(f"to 1+{tolerance:g}" for tolerance in TOLERANCES)]
    table("LSQR iterations until the residual is within a factor of the least one", columns, rows)

    rows = [(name, [show(solve(f.problem, "qr").u, f), show(f.cholesky(), f)]) for name, f in fits.items()]
    table("least squares by QR, and by Cholesky of the normal equations", ["QR", "Cholesky"], rows)

    rows = [(name, [show(solve(f.problem, "ridge", alpha=a).u, f) for a in RIDGES]) for name, f in fits.items()]
    table("ridge λ/σ_max²", [f"{a:g}" for a in RIDGES], rows)

    rng = np.random.default_rng(0)
    order = rng.permutation(len(train))
    rows = []
    for name, fit in fits.items():
        cells = []
        for fraction in FRACTIONS:
            some = [train[int(i)] for i in np.sort(order[: round(fraction * len(train))])]
            cells.append(show(solve(fit.problem_of(some), "blr").u, fit))
        rows.append((name, cells))
    table("Bayesian regression on fewer structures", [f"{f:g} of {len(train)}" for f in FRACTIONS], rows)

    rows = []
    for name, fit in fits.items():
        model = fit.model(solve(fit.problem, "blr").u)
        rows.append((name, [f"{e:.3g}" for e in model.dimer(element, element, DISTANCES)]))
    table("energy of a dimer, eV (not in the data), Bayesian regression", [f"{r} Å" for r in DISTANCES], rows)

    rows = []
    for name, fit in fits.items():
        model = fit.model(solve(fit.problem, "blr").u)
        rows.append((name, [f"{three_bodies(model, element, r):.3g}" for r in DISTANCES]))
    table("three-body energy of an equilateral trimer, eV (not in the data)", [f"{r} Å" for r in DISTANCES], rows)

    print("\ncoefficients θ (eV), Bayesian regression")
    for name in ("self-interacting", "centered"):
        fit = fits[name]
        coefficients = fit.model(solve(fit.problem, "blr").u).coefficients[0]
        print(f"\n{name}\n{coefficient_decay(fit.basis, coefficients)}")


if __name__ == "__main__":
    main()
