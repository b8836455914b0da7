"""Reference energies of the species, and what counts as an isolated atom."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from scipy.optimize import minimize

from acepure.errors import SpeciesError
from acepure.fitting import (
    LabeledStructure,
    LabelError,
    LabelWarning,
    is_isolated,
    reference_energies,
    reference_energy,
    reference_table,
)

BOX = dict(cell=[20, 20, 20], pbc=True)

# --- isolated atoms ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "atoms, expected",
    [
        (Atoms("Cu"), True),
        (Atoms("Cu", **BOX), True),
        (Atoms("Cu", cell=[3, 3, 3]), True),  # not periodic: the cell does not count
        (bulk("Cu"), False),
        (Atoms("Cu", cell=[20, 20, 4.9], pbc=True), False),
        (Atoms("Cu", cell=[20, 20, 4.9], pbc=[True, True, False]), True),
        (Atoms("Cu", cell=[20, 20, 5.1], pbc=True), True),
        (Atoms("Cu", cell=[[20, 0, 0], [19.5, 4, 0], [0, 0, 20]], pbc=True), False),  # b − a is short
        (Atoms("Cu2", [[0, 0, 0], [9, 0, 0]]), False),  # two atoms
        (molecule("H2"), False),
    ],
)
def test_isolated(atoms, expected):
    assert is_isolated(atoms, 5.0) is expected


def test_isolated_needs_a_cutoff():
    with pytest.raises(ValueError, match="cutoff must be a finite number > 0"):
        is_isolated(Atoms("Cu"), 0.0)


# --- E0s --------------------------------------------------------------------------------------------------------------


def data():
    return [
        LabeledStructure(Atoms("O", **BOX), -10.0),
        LabeledStructure(Atoms("H"), -1.0),
        LabeledStructure(bulk("Cu"), -3.7),  # one atom, and not isolated
        LabeledStructure(Atoms("Cu"), None),
        LabeledStructure(molecule("H2O"), -14.0),
        LabeledStructure(Atoms("Cu"), -0.3),
    ]


def test_isolated_atoms_in_the_data():
    assert reference_energies(data(), "isolated", cutoff=5.0) == {"H": -1.0, "O": -10.0, "Cu": -0.3}
    assert list(reference_energies(data(), "isolated", cutoff=5.0)) == ["H", "O", "Cu"]


def test_isolated_atoms_that_are_missing_or_contradict():
    with pytest.raises(LabelError, match=r"no reference energy for Cu: the data has isolated atoms .* of O, H"):
        reference_energies(data()[:-1], "isolated", cutoff=5.0)
    with pytest.raises(LabelError, match="no reference energy for Au: "):
        reference_energies(data(), "isolated", cutoff=5.0, species=["H", "O", "Cu", "Au"])
    with pytest.raises(LabelError, match=r"no reference energy for H, O: .* of no species"):
        reference_energies(data()[4:5], "isolated", cutoff=5.0)
    with pytest.raises(LabelError, match=r"isolated O has -10.0 eV in structures\[0\] and -9.0 eV in structures\[6\]"):
        reference_energies([*data(), LabeledStructure(Atoms("O"), -9.0)], "isolated", cutoff=5.0)
    with pytest.raises(ValueError, match="needs the cutoff"):
        reference_energies(data(), "isolated")


def test_mapping():
    given = {"Cu": -1, "O": np.float32(-2.5), "H": 0.0, "Au": -7.0}
    assert reference_energies(data(), given) == {"H": 0.0, "O": -2.5, "Cu": -1.0}
    assert reference_energies(data(), given, species=["H", "O", "Cu", "Au"])["Au"] == -7.0
    with pytest.raises(LabelError, match="no reference energy for H, O: E0s has Cu"):
        reference_energies(data(), {"Cu": -1.0})
    with pytest.raises(ValueError, match=r"E0s\['H'\] must be a finite number"):
        reference_energies(data(), given | {"H": np.nan})
    with pytest.raises(ValueError, match="each species of E0s must be a chemical symbol"):
        reference_energies(data(), given | {"Copper": 1.0})


def test_zero():
    assert reference_energies(data(), 0) == reference_energies(data(), 0.0) == {"H": 0.0, "O": 0.0, "Cu": 0.0}


@pytest.mark.parametrize("value", ["average", 1.0, None, False, [0.0]])
def test_anything_else(value):
    with pytest.raises(ValueError, match="E0s must be a mapping"):
        reference_energies(data(), value)


def test_species():
    with pytest.raises(SpeciesError, match="the data has O, Cu, but species is H"):
        reference_energies(data(), "lstsq", species="H")
    with pytest.raises(TypeError, match=r"labeled\[0\] must be a LabeledStructure"):
        reference_energies([bulk("Cu")], 0)


# --- least squares ----------------------------------------------------------------------------------------------------


def random_alloys(n=30, seed=0):
    generator = np.random.default_rng(seed)
    for _ in range(n):
        symbols = generator.choice(["Al", "Ni", "Cu"], generator.integers(1, 9))
        yield Atoms(symbols, generator.uniform(0, 9, (len(symbols), 3)))


def test_energies_that_are_sums_are_found():
    energies = {"Al": -3.25, "Ni": -5.5, "Cu": -3.75}
    labeled = [LabeledStructure(atoms, sum(energies[s] for s in atoms.symbols)) for atoms in random_alloys()]
    assert reference_energies(labeled, "lstsq") == pytest.approx(energies, rel=1e-12)
    for item in labeled:
        assert reference_energy(item.atoms, energies) == pytest.approx(item.energy, rel=1e-14)


def test_least_squares():
    """The minimum of the sum of squares per atom, by a minimizer that knows nothing of linear algebra."""
    generator = np.random.default_rng(1)
    labeled = [LabeledStructure(atoms, float(generator.normal(-4 * len(atoms), 2))) for atoms in random_alloys()]

    def loss(x):
        E0 = dict(zip(["Al", "Ni", "Cu"], x))
        return sum(((item.energy - sum(E0[s] for s in item.atoms.symbols)) / len(item.atoms)) ** 2 for item in labeled)

    best = minimize(loss, np.zeros(3), method="Nelder-Mead", options=dict(xatol=1e-9, fatol=1e-14, maxiter=5000)).x
    result = reference_energies([*labeled, LabeledStructure(bulk("Cu"))], "lstsq")  # without energy: does not count
    np.testing.assert_allclose([result[s] for s in ("Al", "Ni", "Cu")], best, atol=1e-6)


def test_compositions_that_are_not_independent():
    """One Ni for one Al: the smallest numbers with the right sum are equal."""
    labeled = [LabeledStructure(Atoms("AlNi" * n), -9.0 * n) for n in (1, 2, 5)]
    with pytest.warns(LabelWarning, match=r"the energies determine 1 of 2 reference energies \(Al, Ni\)"):
        result = reference_energies(labeled, "lstsq")
    assert result == pytest.approx({"Al": -4.5, "Ni": -4.5}, rel=1e-12)
    with pytest.warns(LabelWarning, match="determine 1 of 2"):
        result = reference_energies(
            [LabeledStructure(bulk("Cu"), -3.5), LabeledStructure(bulk("Ni"))], "lstsq"
        )  # no energy with Ni
    assert result == pytest.approx({"Ni": 0.0, "Cu": -3.5}, abs=1e-12)


def test_no_energies():
    with pytest.raises(LabelError, match="needs energies"):
        reference_energies([LabeledStructure(bulk("Cu"))], "lstsq")


# --- sums and table ---------------------------------------------------------------------------------------------------


def test_sum():
    energies = {"H": -1.5, "O": -10.0, "C": 99.0}
    assert reference_energy(molecule("H2O"), energies) == -13.0
    with pytest.raises(LabelError, match="no reference energy for O: energies has H"):
        reference_energy(molecule("H2O"), {"H": -1.5})


def test_table():
    lines = reference_table({"H": -1.5, "Cu": -3.75}).splitlines()
    assert [line.split() for line in lines] == [["species", "E0", "(eV)"], ["H", "-1.500000"], ["Cu", "-3.750000"]]
