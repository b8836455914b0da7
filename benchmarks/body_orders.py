"""Body orders of fits: what closed forms, clusters and crystals say about them.

    python benchmarks/body_orders.py                    # every table, a few minutes
    python benchmarks/body_orders.py laws fits          # some of them
    python benchmarks/body_orders.py --figure body_orders.png

laws          potentials of known body orders, recovered
convergence   energies of the body orders of parts of a crystal
fits          errors on clusters and crystals of fits to clusters, to crystals, to both at once and one after the other
terms         energies by order of a part of the crystal by these fits
split         energies by order of one crystal: coordinates, regularization, and how open the data leave them
frames        how many cluster frames a fit to crystals needs

Energies of argon and silicon are by tblite, see `body_orders_reference.py`; they are kept beside this file.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from math import comb
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.build import bulk
from common import machine, parser
from scipy.special import binom

from acepure import ACEBasis, LinearACE
from acepure.functions import RadialBasis
from acepure.plotting import PALETTE, figure_format, new_figure, plot_orders, plot_trimer_map
from acepure.plotting.style import tidy

HERE = Path(__file__).parent
CRYSTALS = {"Ar": ("fcc", 5.25), "Si": ("diamond", 5.43)}
ATOMS_OF_CUTOUT = {"Ar": 13, "Si": 8}
CUTOFFS = {"Ar": 8.0, "Si": 5.5}
DEGREES = [12, 9, 7]
FITTED = ("Ar", "Si")
GROUPS = ("cluster 2", "cluster 3", "cluster 4", "cluster 5", "crystal")
QUIET = {"verbose": False, "progress": False}


# --- data -------------------------------------------------------------------------------------------------


class Data:
    """Structures of one element by group, every other one for training."""

    def __init__(self, symbol: str) -> None:
        structures = ase.io.read(HERE / f"body_orders_{symbol}.extxyz.xz", ":")
        self.symbol, self.atom = symbol, structures[0]
        self.E0s = {symbol: self.atom.get_potential_energy()}
        groups = {name: [a for a in structures if a.info["config_type"] == name] for name in GROUPS}
        self.groups = [name for name, frames in groups.items() if frames]
        self.train = {name: frames[::2] for name, frames in groups.items()}
        self.test = {name: frames[1::2] for name, frames in groups.items()}
        self.perfect = bulk(symbol, *CRYSTALS[symbol], cubic=True)

    def basis(self, canonical: bool = True) -> ACEBasis:
        """The functions of all fits."""
        return ACEBasis([self.symbol], rcut=CUTOFFS[self.symbol], totaldegree=DEGREES, canonical=canonical)

    def fit(self, names: tuple[str, ...], canonical: bool = True, reference: str | None = None, **rest) -> LinearACE:
        """All orders at once, of the groups named."""
        frames = [atoms for name in names for atoms in self.train[name]]
        given = {"reference": reference, "E0s": self.E0s, "check": False, "calibrate_by": None, **QUIET}
        return LinearACE.fit(frames, self.basis(canonical), **given, **rest)

    @property
    def ways(self) -> dict[str, Callable[[Data], LinearACE]]:
        """Fits that the groups allow."""
        return WAYS if "crystal" in self.groups else {name: WAYS[name] for name in OF_CLUSTERS}

    def errors(self, model: LinearACE) -> list[float]:
        """RMSE of each group in meV/atom, and of forces of the last group in eV/Å."""
        result = []
        for name in self.groups:
            found = [model.evaluate(atoms) for atoms in self.test[name]]
            errors = [(f.energy - a.get_potential_energy()) / len(a) for f, a in zip(found, self.test[name])]
            result.append(1e3 * float(np.sqrt(np.mean(np.square(errors)))))
        pairs = zip(found, self.test[self.groups[-1]])
        differences = np.concatenate([(f.forces - a.get_forces()).ravel() for f, a in pairs])
        return [*result, float(np.sqrt(np.mean(np.square(differences))))]


def cutout(symbol: str) -> Atoms:
    """Some atoms nearest to one of a crystal."""
    structure, a = CRYSTALS[symbol]
    atoms = bulk(symbol, structure, a=a, cubic=True) * 4
    distances = np.linalg.norm(atoms.positions - atoms.positions[len(atoms) // 2], axis=1)
    n = ATOMS_OF_CUTOUT[symbol]
    return Atoms([symbol] * n, atoms.positions[np.argsort(distances, kind="stable")[:n]])


def table(header: list[str], rows: list[list[object]]) -> None:
    """Print a table of Markdown."""
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(x if isinstance(x, str) else f"{x:.3g}" for x in row) + " |")
    print()


# --- closed forms -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StillingerWeber(RadialBasis):
    """The two functions of distance of the potential of silicon, Phys. Rev. B 31, 5262 (1985).

    E = Σ_{i<j} ε R_1(r_ij) + Σ_i Σ_{j<k} ε λ R_0(r_ij) R_0(r_ik) (cos θ_jik + 1/3)², which is a sum over l ≤ 2.
    """

    eps: float = 2.1683
    sigma: float = 2.0951
    lam: float = 21.0

    def cutoff(self, center: str, neighbor: str) -> float:
        return 1.8 * self.sigma

    def evaluate(self, r: np.ndarray, center: str, neighbor: str, n_radial: int) -> np.ndarray:
        return self.evaluate_with_gradients(r, center, neighbor, n_radial)[0]

    def evaluate_with_gradients(
        self, r: np.ndarray, center: str, neighbor: str, n_radial: int
    ) -> tuple[np.ndarray, np.ndarray]:
        x = np.asarray(r, dtype=float) / self.sigma
        inside = x < 1.8
        y = np.where(inside, x - 1.8, -1.0)
        tail, pair = np.exp(1.2 / y) * inside, np.exp(1.0 / y) * inside
        front, slope = 7.049556277 * (0.6022245584 / x**4 - 1), -4 * 7.049556277 * 0.6022245584 / x**5
        values = np.stack([tail, front * pair], axis=1)
        slopes = np.stack([-1.2 / y**2 * tail, (slope - front / y**2) * pair], axis=1) / self.sigma
        return values[:, :n_radial], slopes[:, :n_radial]

    def by_orders(self, atoms: Atoms) -> np.ndarray:
        """Pair and triple energy of a cluster or crystal, by sums over pairs and triples."""
        from ase.neighborlist import neighbor_list

        i, d, D = neighbor_list("idD", atoms, self.cutoff("Si", "Si"))
        values, two, three = self.evaluate(d, "Si", "Si", 2), 0.0, 0.0
        for center in range(len(atoms)):
            mine = np.flatnonzero(i == center)
            two += 0.5 * self.eps * values[mine, 1].sum()
            for j, k in combinations(mine.tolist(), 2):
                cosine = D[j] @ D[k] / (d[j] * d[k])
                three += self.eps * self.lam * values[j, 0] * values[k, 0] * (cosine + 1 / 3) ** 2
        return np.array([two, three])

    def label(self, atoms: Atoms) -> Atoms:
        """Write the energy as a label."""
        atoms.info["energy"] = float(self.by_orders(atoms).sum())
        return atoms


def axilrod_teller(atoms: Atoms, strength: float = 50.0) -> float:
    """Σ_{i<j<k} C (1 + 3 cos cos cos) / (r r r)³, eV: a term of three bodies alone."""
    total = 0.0
    for chosen in combinations(atoms.positions, 3):
        sides = [chosen[a] - chosen[b] for a, b in ((1, 2), (2, 0), (0, 1))]
        d = [float(np.linalg.norm(side)) for side in sides]
        cosines = [-sides[k - 1] @ sides[k - 2] / (d[k - 1] * d[k - 2]) for k in range(3)]
        total += strength * (1 + 3 * np.prod(cosines)) / np.prod(d) ** 3
    return float(total)


def random_clusters(symbol: str, n_atoms: int, number: int, shortest: float, size: float, seed: int) -> list[Atoms]:
    """Atoms in a box, none nearer than a distance."""
    rng, result = np.random.default_rng(seed), []
    while len(result) < number:
        positions = rng.uniform(0, size, (n_atoms, 3))
        if min(np.linalg.norm(a - b) for a, b in combinations(positions, 2)) > shortest:
            result.append(Atoms([symbol] * n_atoms, positions))
    return result


def laws() -> None:
    """Stillinger-Weber, Axilrod-Teller, an embedded atom."""
    law = StillingerWeber()
    basis = ACEBasis(["Si"], radial=law, order=2, n_max=[2, 1], l_max=[0, 2])
    dimers, trimers = ([law.label(a) for a in random_clusters("Si", n, k, 1.9, 3.6, n)] for n, k in ((2, 10), (3, 20)))
    given = {"E0s": {"Si": 0.0}, "solver": "qr", **QUIET}
    pair = LinearACE.fit_orders(dimers, 1, basis, **given)
    model = LinearACE.fit_orders(trimers, 2, given=pair, **given)
    crystal = bulk("Si", cubic=True)
    crystal.rattle(0.2, seed=0)
    expected, found = law.by_orders(crystal), model.energies_by_order(crystal).sum(axis=1)[1:]
    print("Stillinger-Weber, order 1 fitted to 10 dimers, order 2 to 20 trimers; a rattled crystal of 8 atoms, eV\n")
    table(
        ["order", "closed form", "model", "difference"],
        [[str(k + 1), f"{a:.12f}", f"{b:.12f}", b - a] for k, (a, b) in enumerate(zip(expected, found))],
    )

    print("Axilrod-Teller, order 2 fitted to 400 trimers: error on 100 others, relative to the spread\n")
    frames, rows = random_clusters("Ar", 3, 500, 3.3, 6.0, 0), []
    for atoms in frames:
        atoms.info["energy"] = axilrod_teller(atoms)
    larger = random_clusters("Ar", 6, 20, 3.3, 7.5, 1)
    for degree in (4, 6, 8, 10, 12):
        basis = ACEBasis(["Ar"], rcut=11.0, order=2, totaldegree=degree)
        model = LinearACE.fit_orders(frames[:400], 2, basis, E0s={"Ar": 0.0}, **QUIET)
        row: list[object] = [str(degree), str(len(basis))]
        for test in (frames[400:], larger):
            expected = np.array([axilrod_teller(a) for a in test])
            found = np.array([model.evaluate(a).energy for a in test])
            row.append(float(np.sqrt(np.mean((found - expected) ** 2)) / expected.std()))
        rows.append(row)
    table(["total degree", "functions", "trimers", "clusters of 6"], rows)

    print("E = F(ρ) of an atom with 12 neighbors that add 1 each to ρ: order ν is binom(12, ν) Δ^ν F(0)\n")
    functions: dict[str, Callable[[np.ndarray], np.ndarray]] = {"−√ρ": lambda x: -np.sqrt(x), "ρ²": lambda x: x**2.0}
    rows = []
    for name, function in functions.items():
        terms = [
            comb(12, nu) * sum((-1) ** (nu - m) * comb(nu, m) * function(np.array(float(m))) for m in range(nu + 1))
            for nu in range(1, 13)
        ]
        rows.append([name, *terms[:7], float(sum(terms))])
    table(["F", *(f"ν = {nu}" for nu in range(1, 8)), "all 12"], rows)


# --- energies by tblite -----------------------------------------------------------------------------------


def convergence() -> None:
    """Body orders of parts of crystals."""
    cutouts = json.loads((HERE / "body_orders_cutouts.json").read_text(encoding="utf-8"))
    for symbol, found in cutouts.items():
        n, energies = found["n_atoms"], np.array(found["energies"])
        whole = found["energy"] - energies[0]
        print(f"{symbol}, the {n} atoms nearest to one in the crystal, {found['method']}; eV/atom\n")
        rows: list[list[object]] = [
            [str(k), int(binom(n, k + 1)), term / n, total / n, (total - whole) / n]
            for k, (term, total) in enumerate(zip(energies[1:], np.cumsum(energies[1:])), 1)
        ]
        table(["order", "clusters", "term", "sum so far", "sum − whole"], rows)


CLUSTERS = GROUPS[:3]


def one_after_the_other(data: Data, orders: int = 3, last: str | None = None) -> LinearACE:
    """Dimers decide order 1, trimers order 2, tetramers order 3; or another group the last order."""
    model = None
    for order, name in enumerate(CLUSTERS[:orders], 1):
        frames = data.train[last if last and order == orders else name]
        basis = data.basis() if model is None else None
        model = LinearACE.fit_orders(frames, order, basis, given=model, E0s=data.E0s, **QUIET)
    assert model is not None
    return model


ALL = (*CLUSTERS, "crystal")
WAYS: dict[str, Callable[[Data], LinearACE]] = {
    "dimers: order 1": lambda d: one_after_the_other(d, 1),
    "then trimers: order 2": lambda d: one_after_the_other(d, 2),
    "then tetramers: order 3": lambda d: one_after_the_other(d, 3),
    "these clusters at once": lambda d: d.fit(CLUSTERS),
    "these, self-interacting": lambda d: d.fit(CLUSTERS, canonical=False),
    "orders 1, 2; crystals: order 3": lambda d: one_after_the_other(d, 3, "crystal"),
    "crystals, canonical": lambda d: d.fit(("crystal",)),
    "crystals, centered": lambda d: d.fit(("crystal",), reference="density"),
    "crystals, self-interacting": lambda d: d.fit(("crystal",), canonical=False),
    "crystals, shifted": lambda d: d.fit(("crystal",), canonical=False, reference="density"),
    "all at once, canonical": lambda d: d.fit(ALL),
    "all at once, centered": lambda d: d.fit(ALL, reference="density"),
    "all at once, self-interacting": lambda d: d.fit(ALL, canonical=False),
    "all at once, shifted": lambda d: d.fit(ALL, canonical=False, reference="density"),
}
OF_CLUSTERS = tuple(WAYS)[:5]


def fits() -> None:
    """What fits to clusters say about crystals, and back."""
    for symbol in FITTED:
        data = Data(symbol)
        print(f"{symbol}, {len(data.basis())} functions; errors on structures left out, meV/atom, and eV/Å\n")
        spread = [1e3 * np.std([a.get_potential_energy() / len(a) for a in data.test[name]]) for name in data.groups]
        rows: list[list[object]] = [["spread of the labels", *map(float, spread), ""]]
        rows += [[name, *data.errors(make(data))] for name, make in data.ways.items()]
        table(["fitted to", *data.groups, f"forces of {data.groups[-1]}"], rows)


def terms() -> None:
    """Energies by order of a part of the crystal, as fits have them, beside those by explicit clusters."""
    cutouts = json.loads((HERE / "body_orders_cutouts.json").read_text(encoding="utf-8"))
    for symbol in FITTED:
        data, atoms, found = Data(symbol), cutout(symbol), cutouts[symbol]
        n = len(atoms)
        energies = np.array(found["energies"])
        rows = [["GFN2-xTB by clusters", *(energies[1:4] / n).tolist(), (found["energy"] - energies[0]) / n]]
        for name, make in data.ways.items():
            by_order = make(data).energies_by_order(atoms).sum(axis=1)[1:] / n
            rows.append([name, *by_order.tolist(), float(by_order.sum())])
        print(f"{symbol}, the {n} atoms nearest to one in the crystal, by order; eV/atom\n")
        table(["fitted to", "ν = 1", "ν = 2", "ν = 3", "all"], rows)


def split() -> None:
    """Energies by order of the perfect crystal of argon."""
    coordinates = {
        "canonical": (True, None),
        "centered": (True, "density"),
        "self-interacting": (False, None),
        "shifted": (False, "density"),
    }
    for symbol in FITTED[:1]:
        data, rows = Data(symbol), []
        n = len(data.perfect)
        for names in (("crystal",), ALL):
            for label, (canonical, reference) in coordinates.items():
                for alpha in (1e-10, 1e-5, None) if names == ("crystal",) else (None,):
                    solver = {"solver": "auto"} if alpha is None else {"solver": "ridge", "options": {"alpha": alpha}}
                    model = data.fit(names, canonical, reference, **solver)
                    terms = model.energies_by_order(data.perfect).sum(axis=1) / n
                    sd: list[object] = ["", ""]
                    if canonical:
                        covariance = model.covariance_by_order(data.perfect)
                        sd = [float(np.sqrt(covariance[1, 1]) / n), float(np.sqrt(max(covariance.sum(), 0.0)) / n)]
                    chosen = "evidence" if alpha is None else f"{alpha:g}"
                    what = "crystals" if len(names) == 1 else "all"
                    rows.append([what, label, chosen, *terms[1:].tolist(), float(terms[1:].sum()), *sd])
        print(f"{symbol}, perfect crystal, eV/atom above E0; σ by the posterior, of order 1 and of the sum\n")
        orders = [f"ν = {k}" for k in (1, 2, 3)]
        table(["fitted to", "coordinates", "alpha", *orders, "sum", "σ of ν = 1", "σ of the sum"], rows)


def frames() -> None:
    """How many frames of clusters a fit to crystals needs."""
    for symbol in FITTED[:1]:
        data, rows = Data(symbol), []
        for few in (0, 2, 5, 10, 15, 30):
            chosen = [a for name in CLUSTERS for a in data.train[name][:few]]
            frames = [*data.train["crystal"], *chosen]
            model = LinearACE.fit(
                frames, data.basis(), reference="density", E0s=data.E0s, check=False, calibrate_by=None, **QUIET
            )
            sd = np.sqrt(np.diag(model.covariance_by_order(data.perfect))[1:]) / len(data.perfect)
            rows.append([str(len(chosen)), *data.errors(model), *sd.tolist()])
        print(f"{symbol}, crystals and some dimers, trimers, tetramers; centered; errors as above, σ in eV/atom\n")
        table(["frames of clusters", *GROUPS, "forces", *(f"σ of ν = {k}" for k in (1, 2, 3))], rows)


def figure(path: str) -> None:
    """Fits to crystals, and to crystals and clusters: pairs, a trimer, a tetrahedron, crystals by order."""
    data = Data(FITTED[0])
    symbol, E0 = data.symbol, data.E0s[data.symbol]
    few, model = data.fit(("crystal",), reference="density"), data.fit(ALL, reference="density")
    image = new_figure(11, 8)
    axes = image.subplots(2, 2)
    dimers = [*data.train["cluster 2"], *data.test["cluster 2"]]
    labels = np.array([(a.get_distance(0, 1), a.get_potential_energy() - 2 * E0) for a in dimers])
    shortest, depth = labels[:, 0].min(), abs(labels[:, 1].min())
    r = np.linspace(0.95 * shortest, 1.02 * CUTOFFS[symbol], 150)
    for name, fitted, color in (("crystals", few, PALETTE[1]), ("crystals and clusters", model, PALETTE[0])):
        axes[0, 0].plot(r, fitted.dimer(symbol, symbol, r), color=color, label=f"fitted to {name}")
    axes[0, 0].plot(*labels.T, "x", color="black", markersize=4, label="GFN2-xTB")
    axes[0, 0].set(xlabel="distance (Å)", ylabel="pair term (eV)", ylim=(-4 * depth, 6 * depth))
    axes[0, 0].legend(frameon=False, fontsize="small")
    tidy(axes[0, 0])
    plot_trimer_map(model, (symbol,) * 3, 1.2 * shortest, ax=axes[0, 1])
    tetrahedron = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]) / np.sqrt(2)
    sides = np.linspace(1.05 * shortest, CUTOFFS[symbol], 80)
    scan = [Atoms([symbol] * 4, tetrahedron * side) for side in sides]
    crystals = sorted([*data.train["crystal"], *data.test["crystal"]], key=lambda a: a.get_volume())
    for frames, x, xlabel, ax in (
        (scan, sides, "side of a tetrahedron (Å)", axes[1, 0]),
        (crystals, [a.get_volume() / len(a) for a in crystals], "volume of a crystal (Å³/atom)", axes[1, 1]),
    ):
        sizes = np.array([len(a) for a in frames])[:, None]
        terms = np.array([model.energies_by_order(a).sum(axis=1) for a in frames]) / sizes
        spread = np.array([np.sqrt(np.diag(model.covariance_by_order(a))) for a in frames]) / sizes
        given = None if frames is scan else [a.get_potential_energy() / len(a) - E0 for a in frames]
        plot_orders(terms, x, deviations=spread, labels=given, xlabel=xlabel, ax=ax)
        ax.set_ylabel("energy beyond E0 (eV/atom)")
    image.savefig(path, format=figure_format("path", path), dpi=90)


TABLES = {"laws": laws, "convergence": convergence, "fits": fits, "terms": terms, "split": split, "frames": frames}


def main() -> None:
    """Print the tables that are named, or all."""
    arguments = parser(__doc__)
    arguments.add_argument("tables", nargs="*", choices=[*TABLES, []], help="default all")
    arguments.add_argument("--figure", metavar="FILE", help="write the figure instead")
    given = arguments.parse_args()
    if given.figure:
        figure(given.figure)
        return
    chosen = given.tables or list(TABLES)
    print(machine(1) + "\n")
    for name in chosen:
        TABLES[name]()


if __name__ == "__main__":
    main()
