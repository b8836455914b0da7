"""Learning curves of hyperactive learning against random frames of dynamics, at equal numbers of reference calls.

    python benchmarks/hal.py alloy                 32 atoms of Cu and Au, effective medium theory: minutes
    python benchmarks/hal.py molecule              acetic acid, GFN2-xTB (pip install tblite): minutes
    python benchmarks/hal.py kills --kills 100     a run killed so often, against one that was not
    python benchmarks/hal.py cost                  a biased step, the criterion and eight draws, in plain steps

Four ways from the same starts, with the same basis, weights and prior:

    reference MD      frames of trajectories of the reference, at random times: they cost a call for every step
    model MD          the last frame of a trajectory of the potential, whatever it thinks of it
    uncertainty       the first frame beyond the tolerance
    bias              the same, with tau = 0.3

Tests are frames of dynamics with the reference, which no way sees. Printed are medians over seeds of the errors of
forces, with the lowest and the highest, and of energies; and how many steps of the potential were run.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.md.langevin import Langevin
from common import machine, parser

from acepure import ACEBasis, LinearACE
from acepure.active import HAL, BiasedPotential, relative_force_uncertainty
from acepure.active.reference import labeled_by
from acepure.active.refit import FitChoices, Refit
from acepure.active.trajectory import bare
from acepure.fitting.labels import text_table

WAYS = {"model MD": {"tolerance": 1e9}, "uncertainty": {}, "bias": {"tau": 0.3}}


def dynamics(atoms: Atoms, calculator: object, temperature: float, steps: int, timestep: float, seed: int) -> Atoms:
    """The last frame of a trajectory of the reference, with labels."""
    rng = np.random.default_rng(seed)
    moving = bare(atoms)
    moving.calc = calculator
    widths = np.sqrt(moving.get_masses() * units.kB * temperature)
    moving.set_momenta(widths[:, None] * rng.standard_normal((len(atoms), 3)))
    md = Langevin(
        moving, timestep * units.fs, temperature_K=temperature, friction=0.01 / units.fs, fixcm=False, rng=rng
    )
    for _ in range(steps):
        md.step()
    return labeled_by(calculator, bare(moving), False)


class Alloy:
    """Random alloys on a lattice; tests of five compositions at two temperatures."""

    calls, n_starts, seeds = (4, 6, 8, 12), 4, 3
    basis = ACEBasis(["Cu", "Au"], rcut=5.0, order=3, n_functions=100)
    settings = MappingProxyType(dict(temperature=1000, steps=250, tolerance=0.3, timestep=4.0, swap_every=20))
    E0s = MappingProxyType({"Cu": 3.51, "Au": 3.80})
    timestep, temperature, longest = 4.0, 1000.0, 150

    def calculator(self) -> EMT:
        return EMT()

    def structure(self, seed: int, gold: int = 16) -> Atoms:
        rng = np.random.default_rng(seed)
        atoms = bulk("Cu", cubic=True, a=3.61 + 0.47 * gold / 32) * 2
        atoms.symbols = rng.permutation(["Cu"] * (32 - gold) + ["Au"] * gold)
        atoms.rattle(0.1, rng=rng)
        return atoms

    def starts(self, seed: int) -> list[Atoms]:
        rng = np.random.default_rng(100 + seed)
        structures = [self.structure(1000 * seed + k, int(rng.integers(4, 29))) for k in range(self.n_starts)]
        return [labeled_by(self.calculator(), atoms, False) for atoms in structures]

    def tests(self) -> list[Atoms]:
        found = []
        for k in range(20):
            gold, temperature = (4, 10, 16, 22, 28)[k % 5], (1000, 1700)[k // 5 % 2]
            atoms = self.structure(9000 + k, gold)
            found.append(dynamics(atoms, self.calculator(), temperature, 100, self.timestep, 9000 + k))
        return found


class Molecule:
    """Acetic acid: starts at 300 K, explored at 800 K, tests at both."""

    calls, n_starts, seeds = (16, 20, 24, 32), 16, 3
    basis = ACEBasis(["H", "C", "O"], rcut=5.0, order=3, n_functions=103)
    settings = MappingProxyType(dict(temperature=800, steps=400, tolerance=0.5, timestep=1.0))
    timestep, temperature, longest = 1.0, 800.0, 250

    def __init__(self) -> None:
        self.E0s = {s: labeled_by(self.calculator(), Atoms(s), False).get_potential_energy() for s in ("H", "C", "O")}

    def calculator(self) -> object:
        from tblite.ase import TBLite

        return TBLite(method="GFN2-xTB", verbosity=0)

    def starts(self, seed: int) -> list[Atoms]:
        frames, atoms = [], molecule("CH3COOH")
        for k in range(self.n_starts):
            atoms = dynamics(atoms, self.calculator(), 300, 40, self.timestep, 1000 * seed + k)
            frames.append(atoms)
        return frames

    def tests(self) -> list[Atoms]:
        found, atoms = [], molecule("CH3COOH")
        for k in range(40):
            atoms = dynamics(atoms, self.calculator(), 300 if k < 20 else 800, 50, self.timestep, 9000 + k)
            found.append(atoms)
        return found


def reference_frames(system: Alloy | Molecule, starts: list[Atoms], n: int, seed: int) -> list[Atoms]:
    """Frames at random times of trajectories from the starts in turn, in the dynamics that potentials run too."""
    rng = np.random.default_rng(seed)
    frames = []
    for k in range(n):
        steps = int(rng.integers(system.longest // 4, system.longest + 1))
        start = starts[k % len(starts)]
        frames.append(dynamics(start, system.calculator(), system.temperature, steps, system.timestep, 77 * seed + k))
    return frames


def study(system: Alloy | Molecule, say: Callable[[str], None]) -> None:
    """All ways and seeds."""
    began = time.monotonic()
    tests = system.tests()
    results: dict[str, dict[int, list[tuple[float, float]]]] = {}
    steps: dict[str, list[int]] = {}
    for seed in range(system.seeds):
        starts, most = system.starts(seed), system.calls[-1]
        frames = [*starts, *reference_frames(system, starts, most - len(starts), seed)]
        refit = Refit.of(starts, system.basis, system.E0s, FitChoices())
        for n in system.calls:
            errors = refit.fit(frames[:n]).errors(tests, progress=False)
            found = errors.all("forces").rmse, 1e3 * errors.all("energy").rmse
            results.setdefault("reference MD", {}).setdefault(n, []).append(found)
        for way, changes in WAYS.items():
            with tempfile.TemporaryDirectory() as folder:
                given = {**system.settings, **changes}
                run = HAL(
                    folder,
                    system.basis,
                    system.calculator(),
                    starts,
                    E0s=system.E0s,
                    n_max=most,
                    seed=seed,
                    tests=tests,
                    **given,
                )
                try:
                    run.run()
                except ValueError as error:
                    say(f"seed {seed}, {way}: {error}")
                for n in system.calls:
                    fit = run.folder.read_json(f"fits/{n:04d}.json")
                    if fit is not None:
                        results.setdefault(way, {}).setdefault(n, []).append((fit["forces"], fit["energy"]))
                explored = [line for line in run.log() if "step" in line]
                steps.setdefault(way, []).append(sum(line["step"] for line in explored))
                fired = sum(line["reason"] == "tolerance" for line in explored)
                scores = [line["forces_error"] / line["forces_sigma"] for line in explored if "forces_sigma" in line]
                say(
                    f"seed {seed}, {way}: {fired} of {len(explored)} frames beyond the tolerance, error/σ of forces of "
                    f"new frames {np.median(scores):.2f} (median); {time.monotonic() - began:.0f} s"
                )
        report(system, results, steps, say)


def report(
    system: Alloy | Molecule,
    results: dict[str, dict[int, list[tuple[float, float]]]],
    steps: dict[str, list[int]],
    say: Callable[[str], None],
) -> None:
    """The table of all seeds so far."""
    rows = [["calls", *results]]
    rows += [[str(n), *(cell(results[way].get(n, [])) for way in results)] for n in system.calls]
    counts = [f"{int(np.median(steps[way])):,}" if way in steps else "–" for way in results]
    rows.append(["steps of the potential", *counts])
    say("\nforces RMSE in eV/Å: median (lowest–highest) over seeds; energy RMSE in meV/atom: median")
    say(text_table(rows) + "\n")


def cell(found: list[tuple[float, float]]) -> str:
    """One cell of the table."""
    if not found:
        return "–"
    forces, energies = np.array(found).T
    return f"{np.median(forces):.3f} ({forces.min():.3f}–{forces.max():.3f}); {np.median(energies):.1f}"


RUN = """
import sys
sys.path.insert(0, sys.argv[2])
from cases.hal import small_run
small_run(sys.argv[1], n_max=12).run()
"""


def kills(n: int, say: Callable[[str], None]) -> None:
    """Processes that are killed after random times, until one ends; labels and log against those of a whole run."""
    tests = str(Path(__file__).resolve().parents[1] / "tests")
    rng, killed = random.Random(0), 0

    def decisive(folder: str) -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in [*Path(folder, "labels").iterdir(), Path(folder, "log.jsonl")]}

    with tempfile.TemporaryDirectory() as whole:
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", RUN, whole, tests], check=True)
        took, expected = time.monotonic() - began, decisive(whole)
    runs = wrong = 0
    while killed < n:
        with tempfile.TemporaryDirectory() as folder:
            while True:
                process = subprocess.Popen([sys.executable, "-c", RUN, folder, tests], stderr=subprocess.DEVNULL)
                try:
                    process.wait(timeout=rng.uniform(0.3, 0.9) * took)
                    break
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    killed += 1
            runs += 1
            wrong += decisive(folder) != expected
    say(f"{killed} kills in {runs} runs; labels and log that differ from those of a run without kills: {wrong}")


def cost(say: Callable[[str], None]) -> None:
    """Ratios of CPU seconds within one run: 64 atoms of silicon, one thread, a list that is given."""
    rng = np.random.default_rng(0)
    atoms = bulk("Si", cubic=True) * 2
    atoms.rattle(0.05, seed=0)
    rows = [["functions", "biased step", "features", "criterion", "8 draws", "spread of their criterion"]]
    for n in (75, 300, 1000):
        basis = ACEBasis(["Si"], rcut=5.5, order=3, n_functions=n)
        root = 1e-3 * rng.standard_normal((1, len(basis), len(basis)))
        model = LinearACE(basis, rng.standard_normal(len(basis)), posterior=root)
        biased, draws = BiasedPotential(model, 0.3), model.committee(64)
        given = {"neighbors": basis.neighbor_list(atoms), "num_threads": 1}
        functions = {
            "plain": partial(model.evaluate, atoms, **given),
            "biased": partial(biased.evaluate, atoms, **given),
            "features": partial(basis.descriptors, atoms, **given),
            "criterion": partial(relative_force_uncertainty, model, atoms, **given),
            "draws": lambda draws=draws, given=given: [draw.evaluate(atoms, **given) for draw in draws[:8]],
        }
        functions["draws"]()  # tables of each, once for a fit
        seconds = dict.fromkeys(functions, np.inf)
        for k in range(100):  # the least of turns A B C A B C ..., which other programs do not disturb
            for name in functions if k < 10 else ("plain", "biased", "features"):
                began = time.process_time()
                functions[name]()
                seconds[name] = min(seconds[name], time.process_time() - began)
        mean = model.evaluate(atoms, **given).forces
        moved = np.array([draw.evaluate(atoms, **given).forces - mean for draw in draws]).reshape(8, 8, len(atoms), 3)
        ratios = np.sqrt(np.square(moved).sum(axis=3).mean(axis=1)) / (np.linalg.norm(mean, axis=1) + 0.2)
        of_draws = ratios.max(axis=1) / functions["criterion"]().max()
        cells = [f"{seconds[name] / seconds['plain']:.2f}" for name in ("biased", "features", "criterion", "draws")]
        rows.append([str(len(basis)), *cells, f"{of_draws.min():.2f}–{of_draws.max():.2f} of the exact one"])
    say(text_table(rows))


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("what", choices=("alloy", "molecule", "kills", "cost"))
    arguments.add_argument("--kills", type=int, default=100)
    given = arguments.parse_args()

    def say(text: str) -> None:
        print(text, flush=True)

    say(machine(1))
    if given.what == "kills":
        kills(given.kills, say)
    elif given.what == "cost":
        cost(say)
    else:
        study(Alloy() if given.what == "alloy" else Molecule(), say)


if __name__ == "__main__":
    main()
