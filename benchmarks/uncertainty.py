"""Predicted standard deviations against errors: on kinds of structures that were fitted, and on kinds that were not.

Each set is fitted twice, with all kinds of its training file and without some of them; the kinds that were left out are
then predicted. Of everything a fixed stride is taken. Energies and forces are fitted, with default weights and the
radial functions of fixed_basis.py, one cutoff for all pairs; nothing is chosen by these numbers.

    python benchmarks/uncertainty.py                    # all sets, a quarter of an hour on one core
    python benchmarks/uncertainty.py --sets Si Ta
    python benchmarks/uncertainty.py --by config_type   # calibrate on whole groups left out

Printed per set, test and quantity: root mean square of the errors; of error/σ, for the posterior alone and calibrated
(1 is right); root mean square of the errors over that of σ, calibrated; share of errors below σ and 2 σ (0.68 and 0.95
for normal errors); rank correlation of σ and the size of the error; share of structures (energies) or atoms (forces)
whose deviation is beyond twice the largest of training. Errors of energies are divided by √N.
"""

from __future__ import annotations

import os
import warnings
from time import perf_counter

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from common import machine, parser, read
from fixed_basis import LONGEST, RADIAL, REACH

from acepure import ACEBasis, LinearACE
from acepure.fitting import label_structures
from acepure.fitting.calibration import calibrated
from acepure.fitting.deviations import Coverage, compare_deviations
from acepure.functions import PolynomialRadialBasis
from acepure.models.coverage import LIMIT

#: Training files, test files, their strides, degrees, and the kinds that are left out.
SETS = {
    "Si": (["zuo2020/Si_train"], ["zuo2020/Si_test"], (1, 1), [20, 16, 12], ("AIMD-NVT", "Surface")),
    "Ta": (["ta/Ta_train"], ["ta/Ta_test"], (1, 1), [16, 13, 10], ("Liquid", "Surface")),
    "TiAl": (["tial/TiAl_tutorial"], [], (1, 1), [12, 10, 8], ("TiAl_T5000",)),
    "InP": (["inp/InP_train"], ["inp/InP_test"], (8, 2), [10, 8, 6], ("aIn", "aP", "aa", "s_aIn", "s_aP", "s_aa")),
    "acac": (["acac/train_300K", "acac/train_600K"], ["acac/test_MD_300K", "acac/test_MD_600K"], (4, 8), [10, 8, 6],
             ("600K_MD",)),
    "MoNbTaW": (["monbtaw/MoNbTaW_train"], ["monbtaw/MoNbTaW_test"], (12, 4), [8, 6, 4], ("MoW_SS", "MoW_Test")),
}  # fmt: skip
#: At most so many structures of kinds that were left out are predicted.
MOST_OUTSIDE = 60


def frames_of(name):
    """Training and test structures; every fifth frame is a test where the set has no tests."""
    train, test, strides, _, _ = SETS[name]
    train = [atoms for file in train for atoms in read(file)]
    if not test:
        return [atoms for k, atoms in enumerate(train) if k % 5], train[::5]
    return train[:: strides[0]], [atoms for file in test for atoms in read(file)][:: strides[1]]


def basis_of(frames, degrees):
    """The radial functions of fixed_basis.py, with one cutoff: species then know of each other."""
    species = sorted({s for atoms in frames for s in atoms.get_chemical_symbols()})
    widest = max(covalent_radii[atomic_numbers[s]] for s in species)
    rcut = min(2 * REACH * widest, LONGEST)
    radial = PolynomialRadialBasis(rcut, *RADIAL)
    return ACEBasis(species, totaldegree=degrees, wL=1.5, n_start=1, radial=radial)


def compared(model, structures):
    """Deviations by the posterior, of all structures."""
    labeled = label_structures(structures, virial_key=False)
    stated = [model.uncertainty(item.atoms).posterior for item in labeled]
    return compare_deviations(labeled, [model.evaluate(item.atoms) for item in labeled], stated)


def coverage_of(deviations):
    used = deviations.informative()
    errors = used.errors / used.scales[:, None]
    sigmas = used.sigmas / used.scales
    return Coverage.of(errors, sigmas), float(np.sqrt(np.mean(errors**2))), float(np.sqrt(np.mean(sigmas**2)))


def show(name, test, n_functions, model, structures):
    raw = compared(model, structures)
    for quantity, found in calibrated(model.calibration, raw).items():
        (c, rmse, rms_sigma), (posterior, *_) = coverage_of(found), coverage_of(raw[quantity])
        of_means, used = rmse / rms_sigma, raw[quantity].informative()
        far = np.mean(model.calibration.grades(quantity, used.sigmas / used.scales) > LIMIT)
        print(
            f"{name:9s}{n_functions:6d}  {test:34.34s}{quantity:8s}{len(structures):6d}{c.n:8,d}{rmse:10.4f}"
            f"{posterior.ratio:8.2f}{c.ratio:8.2f}{of_means:8.2f}{c.within_1:7.2f}{c.within_2:7.2f}{c.rank:7.2f}{far:7.2f}",
            flush=True,
        )


def run(name, by):
    degrees, left_out = SETS[name][3:]
    train, test = frames_of(name)
    kinds = [atoms for atoms in train if atoms.info["config_type"] not in left_out]
    for title, fitted in (("", train), (f"without {', '.join(left_out)}", kinds)):
        basis = basis_of(fitted, degrees)
        start = perf_counter()
        model = LinearACE.fit(fitted, basis, virial_key=False, calibrate_by=by, check=False, verbose=False)
        print(f"{name}: {len(fitted)} structures {title}, {perf_counter() - start:.0f} s", flush=True)
        inside = [atoms for atoms in test if not title or atoms.info["config_type"] not in left_out]
        show(name, "same kinds", len(basis), model, inside)
        if title:
            outside = [atoms for atoms in [*test, *train] if atoms.info["config_type"] in left_out]
            show(name, title, len(basis), model, outside[:: -(-len(outside) // MOST_OUTSIDE)])


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    arguments.add_argument("--by", default="structure", help="what is left out together, as calibrate_by of the fit")
    given = arguments.parse_args()
    warnings.simplefilter("ignore")
    print(machine(1))
    header = ("structures", "numbers", "rmse", "post.", "e/σ", "of rms", "1σ", "2σ", "rank", "far")
    columns = "{:>6.6s}{:>8s}{:>10s}{:>8s}{:>8s}{:>8s}{:>7s}{:>7s}{:>7s}{:>7s}".format(*header)
    print(f"{'set':9s}{'n':>6s}  {'test':34s}{'':8s}{columns}")
    for name in given.sets:
        run(name, given.by)


if __name__ == "__main__":
    main()
