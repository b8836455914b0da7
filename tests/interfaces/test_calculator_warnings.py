"""What the ASE calculator warns of: pairs shorter than in training, pairs that were not in training."""

import re
import warnings

import numpy as np
import pytest
from ase import Atoms
from cases.calculator import stand_in

from acepure.errors import ExtrapolationWarning
from acepure.interfaces.calculator import ACECalculator


def dimer(r, symbols="CuZr"):
    return Atoms(symbols, [(0, 0, 0), (0, 0, r)])


def warned(calculator, atoms):
    """The texts of the warnings of one evaluation."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", "Setting the shape", DeprecationWarning)  # ASE 3.29 with NumPy 2.5
        calculator.get_property("forces", atoms)
    assert all(w.category is ExtrapolationWarning for w in caught)
    return [str(w.message) for w in caught]


SHORTEST = {("Cu", "Cu"): 2.2, ("Cu", "Zr"): 2.4, ("Zr", "Cu"): 2.4, ("Zr", "Zr"): 2.6}


@pytest.mark.parametrize("symbols", ["CuCu", "CuZr", "ZrCu", "ZrZr"])
@pytest.mark.parametrize("given", [SHORTEST, {pair: r for pair, r in SHORTEST.items() if pair != ("Zr", "Cu")}])
def test_a_short_pair_is_named_once(symbols, given):
    calculator = ACECalculator(stand_in(["Cu", "Zr"], given))
    shortest = SHORTEST[symbols[:2], symbols[2:]]
    assert warned(calculator, dimer(shortest, symbols)) == []
    assert warned(calculator, dimer(0.951 * shortest, symbols)) == []
    text = warned(calculator, dimer(0.949 * shortest, symbols))
    assert len(text) == 1
    for part in (f"is {0.949 * shortest:.3f} Å apart", f"in training is {shortest:.3f} Å", "atoms "):
        assert part in text[0]
    assert {*re.findall(r"a (\w+)-(\w+) pair", text[0])[0]} == {symbols[:2], symbols[2:]}
    assert {*re.findall(r"atoms (\d) and (\d)", text[0])[0]} == {"0", "1"}
    for part in (0.94, 0.93, 1.0, 0.949, 0.86):
        assert warned(calculator, dimer(part * shortest, symbols)) == []
    assert len(warned(calculator, dimer(0.85 * shortest, symbols))) == 1  # below 0.9 · 0.949
    assert warned(calculator, dimer(0.80 * shortest, symbols)) == []


def test_each_kind_and_the_shortest_of_it():
    calculator = ACECalculator(stand_in(["Cu", "Zr"], SHORTEST))
    atoms = Atoms("Cu3Zr2", [(0, 0, 0), (2.0, 0, 0), (3.9, 0, 0), (0, 9, 0), (0, 11.1, 0)])
    texts = warned(calculator, atoms)
    assert len(texts) == 2
    assert "a Cu-Cu pair is 1.900 Å apart (atoms 1 and 2)" in texts[0]
    assert "a Zr-Zr pair is 2.100 Å apart (atoms 3 and 4)" in texts[1]
    atoms.positions[2, 0] = 4.0
    atoms.positions[3] = (0, 1.8, 0)
    assert [text[:10] for text in warned(calculator, atoms)] == ["a Cu-Zr pa"]


@pytest.mark.parametrize("shortest", [{("Cu", "Cu"): 2.2}, {}], ids=["other pairs", "no pairs"])
def test_pairs_that_were_not_in_training(shortest):
    calculator = ACECalculator(stand_in(["Cu", "Zr"], shortest))
    assert warned(calculator, dimer(4.3)) == []  # beyond the cutoff of 4.2 Å, within the list
    texts = warned(calculator, dimer(4.0))
    assert (
        len(texts) == 1 and "a Cu-Zr pair is 4.000 Å apart" in texts[0] and "no such pair was in training" in texts[0]
    )
    assert warned(calculator, dimer(3.9)) == []
    assert len(warned(calculator, dimer(3.5))) == 1


def test_images_count():
    atoms = Atoms("Cu", cell=[2.0, 9, 9], pbc=True)
    texts = warned(ACECalculator(stand_in(shortest=SHORTEST)), atoms)
    assert len(texts) == 1 and "a Cu-Cu pair is 2.000 Å apart (atoms 0 and 0)" in texts[0]


@pytest.mark.parametrize("shortest, arguments", [(None, {}), (SHORTEST, {"warn": False})], ids=["unknown", "off"])
def test_silence(shortest, arguments):
    assert warned(ACECalculator(stand_in(["Cu", "Zr"], shortest), **arguments), dimer(1.0)) == []


def test_a_warning_as_an_error_leaves_the_results():
    potential, atoms = stand_in(shortest=SHORTEST), dimer(1.5, "Cu2")
    atoms.calc = ACECalculator(potential)
    with pytest.raises(ExtrapolationWarning, match="Cu-Cu"):  # pytest makes errors of warnings
        atoms.get_forces()
    forces = potential.evaluate(atoms).forces
    np.testing.assert_allclose(atoms.get_forces(), forces, rtol=0, atol=1e-12 * abs(forces).max())


def test_a_collision_warns_a_few_times():
    """Not at every step: once for each tenth that the distance shrinks."""
    calculator = ACECalculator(stand_in(shortest=SHORTEST), num_threads=1)
    distances, limit, expected = np.linspace(2.5, 1.0, 60), 0.95 * 2.2, []
    for r in distances:
        if r < limit:
            expected.append(f"{r:.3f} Å apart")
            limit = 0.9 * r
    texts = [text for r in distances for text in warned(calculator, dimer(r, "Cu2"))]
    assert 4 < len(texts) == len(expected) < 10
    assert all(part in text for part, text in zip(expected, texts))
