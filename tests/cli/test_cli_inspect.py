"""`acepure inspect`: tables against the same steps in Python."""

from itertools import combinations_with_replacement

import numpy as np
import pytest
from cases.command_line import failure, run

from acepure import ACEBasis, LinearACE
from acepure.diagnostics import coefficient_decay
from acepure.models.repulsion import ZBLCore


def table_row(out, start):
    return next(line.split()[1:] for line in out.splitlines() if line.split()[:1] == [start])


def test_inspect(data, capsys):
    code, out, err = run("inspect known.ace", capsys)
    assert (code, err) == (0, "")
    sizes = data.basis.specification.sizes
    for text in (
        "canonical, Cu Ag, rcut 5 Å, order 2, total degree 4",
        f"{len(data.basis)}: {sizes[0]} (ν = 1), {sizes[1]} (ν = 2)",
        "RadialDensity",
        "AgnesiTransform",
        "standard deviations by the posterior, not calibrated",
        str(coefficient_decay(data.basis, data.coefficients)),
        data.report["summary"][1],
    ):
        assert text in out
    assert all(table_row(out, s) == [f"{E0:.6f}"] for s, E0 in data.E0s.items())
    for a, b in combinations_with_replacement(data.basis.species, 2):
        known = min(data.shortest_distances[a, b], data.shortest_distances[b, a])
        assert table_row(out, f"{a}-{b}")[:2] == ["5", f"{known:.3f}"]


def test_inspect_finds_the_minimum_of_a_dimer(data, capsys):
    """Against the first order, which is the pair potential of a canonical basis, from the radial functions."""
    basis = ACEBasis(["Cu"], order=2, totaldegree=6)
    r = np.linspace(2.0, 5.0, 200)
    morse = 0.3 * ((1 - np.exp(-1.5 * (r - 2.6))) ** 2 - 1)
    coefficients = np.zeros(len(basis))
    first = basis.order_slices["nu1"]
    n = first.stop - first.start

    def functions(r):
        return 2 / np.sqrt(4 * np.pi) * basis.radial.evaluate(r, "Cu", "Cu", n)

    coefficients[first] = np.linalg.lstsq(functions(r), morse, rcond=None)[0]
    LinearACE(basis, coefficients, E0s={"Cu": -3.0}, shortest={("Cu", "Cu"): 2.1}).save("pair.ace")
    _, out, _ = run("inspect pair.ace", capsys)
    fine = np.arange(2.1, 5.0, 1e-5)
    energies = functions(fine) @ coefficients[first]
    place, energy = (float(cell) for cell in table_row(out, "Cu-Cu")[2:])
    assert energy == pytest.approx(energies.min(), abs=0.51e-4)
    assert place == pytest.approx(fine[energies.argmin()], abs=2e-4)
    assert energy < -0.2


def test_inspect_a_repulsive_core_and_holes(data, capsys):
    basis = ACEBasis(["Cu"], order=2, totaldegree=2)
    coefficients = np.zeros(len(basis))
    coefficients[0] = -10.0
    shortest = {("Cu", "Cu"): 2.0}
    LinearACE(basis, coefficients, shortest=shortest).save("hole.ace")
    _, out, _ = run("inspect hole.ace", capsys)
    # The envelope alone, times −10: it falls all the way to short distances.
    assert table_row(out, "Cu-Cu") == ["5", "2.000", "–", "–"]
    lowest = LinearACE(basis, coefficients).dimer("Cu", "Cu", [0.4])[0]
    assert f"Cu-Cu: {lowest:.3g} eV at 0.40 Å, nearer than in training; a core" in out
    assert "none" in table_row(out, "reference") and "none" in table_row(out, "core")
    LinearACE(basis, coefficients, core=ZBLCore(0.8, 1.8), shortest=shortest).save("core.ace")
    _, out, _ = run("inspect core.ace", capsys)
    assert "ZBLCore(inner=0.8, outer=1.8)" in out and "no posterior" in out
    assert "a core" not in out and "nearer than in training" not in out


@pytest.mark.parametrize(
    ("functions", "words"),
    [
        ({"n_max": 3, "l_max": [1, 2]}, "order 2, n_max 3, l_max 1, 2"),
        ({"functions": [[(1, 0)], [(1, 1), (2, 1)]]}, "order 2, explicit functions"),
    ],
)
def test_inspect_names_every_way_of_choosing_functions(data, capsys, functions, words):
    basis = ACEBasis(["Cu"], order=2, **functions)
    LinearACE(basis, np.zeros(len(basis))).save("chosen.ace")
    code, out, _ = run("inspect chosen.ace", capsys)
    assert code == 0 and f"canonical, Cu, rcut 5 Å, {words}\n" in out


def test_inspect_refuses_what_is_no_model(data, capsys):
    assert "is no model file of acepure" in failure("inspect test.extxyz", capsys)
    assert "there is no such file" in failure("inspect none.ace", capsys)
