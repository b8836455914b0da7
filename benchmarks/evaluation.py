"""Time of evaluation per atom: canonical, self-interacting, plain NumPy and DScribe, in one run on one thread.

Rattled FCC copper, 4×4×4 cubic cells (256 atoms), rcut 5.0 Å; the neighbor list is part of every time
unless said otherwise, and reused for tensors, which are compared with L = 0.

    python benchmarks/evaluation.py
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the peers too, before they are imported

import numpy as np
from ase.build import bulk
from common import interleaved, machine, parser

from acepure import ACEBasis
from acepure.functions import RealSphericalHarmonics

TENSORS = {"order": 3, "totaldegree": 8}
WORKLOADS = {
    "(a) n_max=4, l_max=6, ν ≤ 2": {"order": 2, "n_max": 4, "l_max": 6},
    "(b) n_max=4, l_max=4, ν ≤ 3": {"order": 3, "n_max": 4, "l_max": 4},
    "(c) D=12, ν ≤ 3": {"order": 3, "totaldegree": 12},
    "(d) D=10, ν ≤ 4": {"order": 4, "totaldegree": 10},
}


def main() -> None:
    parser(__doc__).parse_args()
    atoms = bulk("Cu", cubic=True) * (4, 4, 4)
    atoms.rattle(0.1, seed=0)
    print(machine(1))
    functions = {}
    for name, arguments in WORKLOADS.items():
        bases = {c: ACEBasis(["Cu"], rcut=5.0, canonical=c, **arguments) for c in (True, False)}
        for canonical, basis in bases.items():
            neighbors = basis.neighbor_list(atoms, num_threads=1)
            kind = "canonical" if canonical else "self-interacting"
            functions[name, kind] = lambda b=basis: b.descriptors(atoms, num_threads=1)
            functions[name, f"{kind}, list reused"] = lambda b=basis, n=neighbors: b.descriptors(
                atoms, neighbors=n, num_threads=1
            )
        functions[name, "plain NumPy"] = lambda b=bases[True]: plain_numpy(b, atoms)
        difference = np.abs(plain_numpy(bases[True], atoms) - bases[True].descriptors(atoms)).max()
        assert difference < 1e-9, f"plain NumPy differs by {difference}"
    for L in range(3):
        basis = ACEBasis(["Cu"], rcut=5.0, L=L, **TENSORS)
        functions["tensors, D=8, ν ≤ 3", f"L={L}"] = lambda b=basis, n=neighbors: b.descriptors(
            atoms, neighbors=n, num_threads=1
        )
    functions["DScribe SOAP GTO n_max=4, l_max=6", "self-interacting"] = dscribe_soap(atoms)
    times = {key: 1e6 * t / len(atoms) for key, t in interleaved(functions, 7).items()}
    print(f"{'workload':36s}{'kind':32s}{'µs/atom':>10s}{'÷ self-int. or L=0':>20s}")
    for (name, kind), value in times.items():
        kind_of_reference = "self-interacting, list reused" if "reused" in kind else "self-interacting"
        reference = times[name, "L=0" if name.startswith("tensors") else kind_of_reference]
        print(f"{name:36s}{kind:32s}{value:10.2f}{value / reference:20.2f}")
    soap = times["DScribe SOAP GTO n_max=4, l_max=6", "self-interacting"]
    print(f"DScribe / acepure canonical on (a): {soap / times[next(iter(WORKLOADS)), 'canonical']:.2f}")


def plain_numpy(basis: ACEBasis, atoms) -> np.ndarray:
    """The same sums with NumPy and SciPy alone, vectorized over pairs and centers."""
    operators = basis.operators("Cu")
    products = operators.extended_products
    neighbors = basis.neighbor_list(atoms, num_threads=1)
    r = np.linalg.norm(neighbors.vectors, axis=1)
    labels = sorted({v.q for v in products.one_particle})
    R = basis.radial.evaluate_labels(r, "Cu", "Cu", labels)
    Y = RealSphericalHarmonics(max(v.l for v in products.one_particle)).evaluate(neighbors.vectors)
    q = [labels.index(v.q) for v in products.one_particle]
    lm = [v.l * v.l + v.l + v.m for v in products.one_particle]
    A = np.array([R[i:j].T @ Y[i:j] for i, j in zip(neighbors.offsets, neighbors.offsets[1:])])[:, q, lm]
    AA = np.concatenate([np.prod(A[:, run], axis=2) for run in products.factors], axis=1)
    return (operators.invariant_purification @ (operators.extended_symmetrization @ AA.T)).T


def dscribe_soap(atoms):
    """SOAP with as many radial functions and degrees as (a); its default σ of 1 Å would be three times slower."""
    try:
        from dscribe.descriptors import SOAP
    except ImportError:
        raise SystemExit("this comparison needs DScribe: pip install dscribe") from None
    soap = SOAP(species=["Cu"], r_cut=5.0, n_max=4, l_max=6, sigma=0.3, periodic=True, rbf="gto")
    return lambda: soap.create(atoms)


if __name__ == "__main__":
    main()
