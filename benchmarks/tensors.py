"""Vectors and tensors: learning curves of dipoles and polarizabilities of water, and what features and models cost.

    python benchmarks/tensors.py learning                   # frames 0-499 train, 500-999 test
    python benchmarks/tensors.py learning --sets dimer --sizes 500 --self-interacting
    python benchmarks/tensors.py choices --sets dimer       # errors of quarters of the training frames left out
    python benchmarks/tensors.py cost                       # against invariants; folded models; featomic

Errors are RMSE of a component over the root mean square deviation of the labels from their mean, by irrep. Degree,
cutoff and order were chosen on quarters of the training frames left out, as `choices` does; settings tie within their
scatter, for the monomer 3 and 5 Å. The data set water_tensor is in atomic units. Times of one run compare with each
other alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
from ase import Atoms
from ase.build import bulk
from common import machine, parser, read

from acepure import ACEBasis, LinearFunction, TensorModel
from acepure.features.tensor_function import TensorFunction
from acepure.fitting import SmoothnessPrior
from acepure.fitting.tensors import with_irrep

#: What `choices` found.
CHOSEN = {
    "monomer": {"rcut": 5.0, "order": 2, "totaldegree": 12},
    "dimer": {"rcut": 6.0, "order": 3, "totaldegree": [12, 8, 6]},
}
OFFERED = {
    "monomer": [{"rcut": r, "order": 2, "totaldegree": d} for r in (3.0, 5.0) for d in (8, 12)],
    "dimer": [
        *({"rcut": r, "order": 3, "totaldegree": [12, 8, 6]} for r in (5.0, 6.0, 8.0)),
        {"rcut": 6.0, "order": 2, "totaldegree": [14, 12]},
        {"rcut": 6.0, "order": 4, "totaldegree": [10, 8, 6, 5]},
    ],
}
TARGETS = {"dipole_au": "vector", "alpha_au": "symmetric"}
N_TRAIN, FOLDS = 500, 4


def fitted(frames: list[Atoms], target: str, **arguments: object) -> TensorModel:
    basis = ACEBasis(["H", "O"], **arguments)
    # Two species in one molecule always meet: what they could know of each other is in the data.
    prior = SmoothnessPrior(neighbors=0.0, centers=0.0)
    given = {
        "prior": prior,
        "target": target,
        "rank": TARGETS[target],
        "unit": "a.u.",
        "calibrate_by": None,
        "num_threads": 1,
    }
    return TensorModel.fit(frames, basis, uncertainty=False, **given)


def fastest(functions: dict[str, Callable[[], object]], repeats: int = 15) -> dict[str, float]:
    """Time functions in turn and return the least seconds of each: what a shared machine adds is left out."""
    times = dict.fromkeys(functions, float("inf"))
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name] = min(times[name], time.perf_counter() - start)
    return times


def in_percent(relative: dict[str, float]) -> str:
    return "  ".join(f"{irrep} {100 * value:.3f} %" for irrep, value in relative.items())


def learning(names: list[str], sizes: list[int], targets: list[str], self_interacting: bool) -> None:
    for name in names:
        frames = read(f"water_tensor/water_{name}")
        train, test = frames[:N_TRAIN], frames[N_TRAIN:]
        order = np.random.default_rng(0).permutation(N_TRAIN)  # the first frames of the file resemble each other
        for target in targets:
            for canonical in (True, False) if self_interacting else (True,):
                for size in sizes:
                    chosen = [train[k] for k in order[:size]]
                    start = time.perf_counter()
                    model = fitted(chosen, target, canonical=canonical, **CHOSEN[name])
                    seconds = time.perf_counter() - start
                    errors = model.errors(test, num_threads=1)
                    start = time.perf_counter()
                    for atoms in test[:100]:
                        model.predict(atoms, num_threads=1)
                    each = (time.perf_counter() - start) / 100
                    kind = "canonical" if canonical else "self-interacting"
                    functions = "+".join(str(len(basis)) for basis in model.bases)
                    print(
                        f"{name:8} {target:10} {kind:16} {size:4} frames, {functions} functions: "
                        f"{in_percent(errors.relative)}; fit {seconds:.0f} s, {1e3 * each:.2f} ms per molecule",
                        flush=True,
                    )


def choices(names: list[str], targets: list[str]) -> None:
    for name in names:
        train = read(f"water_tensor/water_{name}")[:N_TRAIN]
        for target in targets:
            for offered in OFFERED[name]:
                found = []
                for fold in range(2):
                    model = fitted([a for k, a in enumerate(train) if k % FOLDS != fold], target, **offered)
                    found.append(model.errors(train[fold::FOLDS], num_threads=1).relative)
                mean = {irrep: float(np.mean([errors[irrep] for errors in found])) for irrep in found[0]}
                print(f"{name:8} {target:10} {offered}: {in_percent(mean)}", flush=True)


def cost() -> None:
    atoms = bulk("Cu", cubic=True) * 3
    atoms.rattle(0.1, seed=0)
    for order, degree in ((3, 8), (4, 8)):
        against_invariants(atoms, order, degree)
    against_featomic(atoms)


def against_invariants(atoms: Atoms, order: int, degree: int) -> None:
    """Features of L = 1, 2 against L = 0; folded models, all components together, against one energy."""
    rng = np.random.default_rng(0)
    scalar = ACEBasis(["Cu"], order=order, totaldegree=degree)
    bases = {irrep: with_irrep(scalar, irrep) for irrep in ("0e", "1o", "2e", "1e")}
    given = {"neighbors": scalar.neighbor_list(atoms), "num_threads": 1}
    times = fastest({irrep: partial(basis.descriptors, atoms, **given) for irrep, basis in bases.items()})
    print(f"\nν = {order}, D = {degree}: features, time against invariants")
    for irrep, basis in bases.items():
        products = len(basis.operators("Cu").extended_products)
        print(f"  {irrep}  {len(basis):5} functions, {products:6} products: {times[irrep] / times['0e']:.1f}")
    theta = {irrep: rng.normal(size=(1, len(basis))) for irrep, basis in bases.items()}
    energy = LinearFunction(scalar, theta["0e"])
    folded = {
        name: TensorFunction([bases[i] for i in name.split(" + ")], [theta[i] for i in name.split(" + ")])
        for name in ("1o", "2e", "0e + 2e", "0e + 1e + 2e")
    }
    values = {"0e": partial(energy.evaluate, atoms, **given)}
    values |= {name: partial(f.evaluate, atoms, **given) for name, f in folded.items()}
    slopes = {"0e": partial(energy.evaluate_with_gradients, atoms, **given)}
    slopes |= {name: partial(f.gradients, atoms, **given) for name, f in folded.items()}
    for words, work in (("values", values), ("derivatives of all components", slopes)):
        times = fastest(work)
        print(f"folded models, {words}, against one energy")
        for name in work:
            print(f"  {name:14} {times[name] / times['0e']:.1f}")


def against_featomic(atoms: Atoms) -> None:
    """Features of two neighbors at equal (n, l): featomic's equivariant power spectrum, λ = 1 and 2."""
    try:
        from featomic import SphericalExpansion
        from featomic.clebsch_gordan import EquivariantPowerSpectrum
        from metatensor import Labels
    except ImportError:
        print("\nfeatomic is not installed (pip install featomic): left out")
        return
    n_max, l_max, rcut = 6, 4, 5.0
    calculator = EquivariantPowerSpectrum(
        SphericalExpansion(
            cutoff={"radius": rcut, "smoothing": {"type": "ShiftedCosine", "width": 0.5}},
            density={"type": "Gaussian", "width": 0.3},
            basis={
                "type": "TensorProduct",
                "max_angular": l_max,
                "radial": {"type": "Gto", "max_radial": n_max - 1},
            },
        )
    )
    print(f"\ntwo neighbors, {n_max} radial functions, l ≤ {l_max}: time of featomic over that of acepure, one thread")
    for L in (1, 2):
        selected = Labels(["o3_lambda", "o3_sigma"], np.array([[L, 1]]))
        basis = ACEBasis(["Cu"], rcut=rcut, order=2, n_max=[1, n_max], l_max=[L, l_max], L=L)
        work = {
            "acepure": partial(basis.descriptors, atoms, num_threads=1),
            "featomic": partial(calculator.compute, atoms, selected_keys=selected),
        }
        times = fastest(work)
        columns = calculator.compute(atoms, selected_keys=selected).block(0).values.shape[-1]
        ratio = times["featomic"] / times["acepure"]
        print(f"  L = {L}: {ratio:.1f}; {columns} columns of featomic, {len(basis)} functions of acepure")


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("what", choices=["learning", "choices", "cost"])
    arguments.add_argument("--sets", nargs="+", choices=list(CHOSEN), default=list(CHOSEN))
    arguments.add_argument("--targets", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    arguments.add_argument("--sizes", nargs="+", type=int, default=[125, 250, 500])
    arguments.add_argument(
        "--self-interacting", action="store_true", help="with self-interactions too, at equal labels"
    )
    given = arguments.parse_args()
    print(machine(1))
    if given.what == "learning":
        learning(given.sets, given.sizes, given.targets, given.self_interacting)
    elif given.what == "choices":
        choices(given.sets, given.targets)
    else:
        cost()


if __name__ == "__main__":
    main()
