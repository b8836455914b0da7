"""Errors of pairs of elements that an automatic fit has never met: MoNbTaW, of which binaries are left out of training.

python benchmarks/combinations.py Mo-Nb --without Mo-Ta --size 480 --every 16
"""

import warnings

from common import parser, read

from acepure import LinearACE
from acepure.errors import CoverageWarning


def holds(atoms, pairs):
    """Whether the structure has both elements of one of the pairs."""
    return any(set(pair.split("-")) <= set(atoms.symbols) for pair in pairs)


def main():
    """Fit without some pairs, and print the errors of the first, and of the mixed structures that are left."""
    arguments = parser(__doc__)
    arguments.add_argument("pair", help="left out and predicted, as Mo-Nb")
    arguments.add_argument("--without", nargs="*", default=[], metavar="PAIR", help="left out too, and not predicted")
    arguments.add_argument("--size", type=int, default=480, help="unknowns in all (default: %(default)s)")
    arguments.add_argument("--every", type=int, default=16, help="of the training structures (default: %(default)s)")
    chosen = arguments.parse_args()
    frames = read("monbtaw/MoNbTaW_train")
    known = [atoms for atoms in frames if not holds(atoms, [chosen.pair, *chosen.without])]
    unused = [atoms for k, atoms in enumerate(known) if k % chosen.every == 1 and len(set(atoms.symbols)) > 1]
    tests = {"never met": [atoms for atoms in frames if holds(atoms, [chosen.pair])][::6], "other binaries": unused}
    warnings.simplefilter("ignore", CoverageWarning)
    quiet = {"verbose": False, "progress": False, "check": False, "num_threads": 1}
    model = LinearACE.fit(known[:: chosen.every], size=chosen.size, uncertainty=False, **quiet)
    print("\n".join(model.report["summary"]))
    for name, structures in tests.items():
        errors = model.errors(structures, progress=False, num_threads=1)
        energy, forces = errors.all("energy"), errors.all("forces")
        print(
            f"{name}: {len(structures)} structures, energies {1e3 * energy.rmse:.1f} meV/atom "
            f"(mean {1e3 * (energy.predicted - energy.true).mean():+.1f}), forces {forces.rmse:.4f} eV/Å"
        )


if __name__ == "__main__":
    main()
