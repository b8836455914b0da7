"""Labels of structures: where they are found, their units and signs, and what is refused."""

import io

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import iread, read, write
from ase.stress import full_3x3_to_voigt_6_stress

from acepure.fitting import (
    LabeledData,
    LabelError,
    LabelKeys,
    LabelWarning,
    NoLabelsError,
    label_structures,
    read_labels,
    resolve_keys,
)

VOIGT = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]


def crystal(seed=0):
    """A distorted crystal: no component of its stress vanishes, none equals another."""
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=seed)
    strain = np.eye(3) + np.array([[0.03, 0.01, -0.02], [0.02, -0.01, 0.015], [0.0, 0.01, 0.02]])
    atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
    return atoms


def with_results(atoms, calculator, names=("energy", "forces", "stress")):
    atoms.calc = calculator
    results = {name: atoms.calc.get_property(name, atoms) for name in names}
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def virial_by_differences(atoms, calculator, step=1e-4):
    """−∂E/∂ε_ab for a symmetric strain, by central differences of energies."""
    W = np.zeros((3, 3))
    for a, b in VOIGT:
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[a, b] += sign * step / 2
            strain[b, a] += sign * step / 2
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            strained.calc = calculator
            energies.append(strained.get_potential_energy())
        W[a, b] = W[b, a] = -(energies[0] - energies[1]) / (2 * step)
    return W


# --- signs and units --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("calculator", [EMT(), LennardJones(sigma=2.3, epsilon=0.4, rc=5.0, smooth=True)])
def test_stress_of_ase_becomes_minus_the_derivative_of_the_energy(calculator):
    atoms = with_results(crystal(), calculator)
    labeled = label_structures(atoms)[0]
    expected = virial_by_differences(crystal(), calculator)
    assert np.abs(expected[np.triu_indices(3, 1)]).min() > 0.1  # eV: every shear counts
    np.testing.assert_allclose(labeled.virial, expected, atol=1e-6 * np.abs(expected).max())
    assert labeled.energy == atoms.get_potential_energy()
    np.testing.assert_array_equal(labeled.forces, atoms.get_forces())


@pytest.mark.parametrize("shape", [(3, 3), (9,), (6,)])
@pytest.mark.parametrize("name", ["virial", "stress"])
def test_shapes_of_tensors(name, shape):
    """Nine components, or six in the order xx, yy, zz, yz, xz, xy."""
    atoms = crystal()
    W = virial_by_differences(atoms, EMT())
    tensor = W if name == "virial" else -W / atoms.get_volume()
    stored = np.array([tensor[a, b] for a, b in VOIGT]) if shape == (6,) else tensor.reshape(shape)
    atoms.info[f"dft_{name}"] = stored
    np.testing.assert_allclose(label_structures([atoms])[0].virial, W, rtol=1e-14)
    atoms.info[f"dft_{name}"] = stored.tolist()
    np.testing.assert_allclose(label_structures([atoms])[0].virial, W, rtol=1e-14)


@pytest.mark.parametrize("prefix", ["", "REF_", "my-dft."])
def test_files(tmp_path, prefix):
    """Written by ASE and read again, labels are the same, whatever ASE does with the names."""
    expected = [with_results(crystal(seed), EMT()) for seed in range(3)]
    structures = []
    for atoms in expected:
        stored = atoms.copy()
        stored.info[f"{prefix}energy"] = atoms.calc.results["energy"]
        stored.arrays[f"{prefix}forces"] = atoms.calc.results["forces"]
        W = -atoms.get_volume() * atoms.get_stress(voigt=False)
        stored.info[f"{prefix}virial"] = W
        stored.info["config_type"] = "distorted"
        structures.append(stored)
    write(tmp_path / "data.extxyz", structures)
    data = label_structures(read(tmp_path / "data.extxyz", ":"))
    assert (data[0].atoms.calc is not None) == (prefix == "")  # ASE moves the plain names
    for labeled, atoms in zip(data, expected):
        assert labeled.config_type == "distorted"
        assert labeled.energy == pytest.approx(atoms.get_potential_energy(), rel=1e-12)
        np.testing.assert_allclose(labeled.forces, atoms.get_forces(), atol=1e-7)  # digits in the file
        W = -atoms.get_volume() * atoms.get_stress(voigt=False)
        np.testing.assert_allclose(labeled.virial, W, atol=1e-7)


def test_stream():
    """A generator is read twice: for the keys and for the labels."""
    structures = [with_results(crystal(seed), EMT()) for seed in range(3)]
    text = io.StringIO()
    write(text, structures, format="extxyz")

    def stream():
        return iread(io.StringIO(text.getvalue()), ":", format="extxyz")

    keys = resolve_keys(stream())
    assert keys == LabelKeys(energy="energy", forces="forces", stress="stress")
    whole = label_structures(stream())
    for k, atoms in enumerate(stream()):
        one = read_labels(atoms, keys)
        assert one.energy == whole[k].energy
        np.testing.assert_array_equal(one.forces, whole[k].forces)
        np.testing.assert_array_equal(one.virial, whole[k].virial)
    assert len(whole) == 3


def test_one_is_enough():
    atoms = bulk("Cu")
    atoms.info["energy"] = -3
    labeled = label_structures(atoms)[0]
    assert labeled.energy == -3.0 and isinstance(labeled.energy, float)
    assert labeled.forces is None and labeled.virial is None


@pytest.mark.parametrize("value", [-3.5, np.float32(-3.5), np.array(-3.5), np.array([-3.5]), [-3.5]])
def test_energies_as_codes_write_them(value):
    atoms = bulk("Cu")
    atoms.info["energy"] = value
    assert label_structures(atoms)[0].energy == -3.5


def test_nothing_is_modified_and_results_are_read_only():
    atoms = with_results(crystal(), EMT())
    atoms.info["virial"] = W = -atoms.get_volume() * atoms.get_stress(voigt=False)
    atoms.arrays["forces"] = F = atoms.calc.results["forces"].copy()
    labeled = label_structures(atoms)[0]
    assert labeled.atoms is atoms
    for array, source in ((labeled.virial, W), (labeled.forces, F)):
        assert not np.shares_memory(array, source)
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 0.0
    assert list(atoms.info) == ["virial"]


# --- which keys -------------------------------------------------------------------------------------------------------


def labeled_atoms(info=(), arrays=(), results=()):
    """Two atoms in a periodic cell with labels of any value under these names."""
    atoms = Atoms("Cu2", [[0, 0, 0], [2, 0, 0]], cell=[4, 4, 4], pbc=True)
    value = {"y": -1.0, "s": np.zeros((2, 3)), "e": np.zeros((2, 3)), "l": np.eye(3)}
    for name in info:
        atoms.info[name] = np.eye(3) if name.lower().endswith("stress") else value[name[-1]]
    for name in arrays:
        atoms.arrays[name] = np.zeros((2, 3))
    if results:
        shapes = {"energy": -1.0, "free_energy": -1.0, "forces": np.zeros((2, 3)), "stress": np.zeros(6)}
        atoms.calc = SinglePointCalculator(atoms, **{name: shapes[name] for name in results})
    return atoms


FOUND = {
    "plain": (dict(info=["energy", "virial"], arrays=["forces"]), ("energy", "forces", "virial", None)),
    "calculator": (dict(results=["energy", "forces", "stress"]), ("energy", "forces", None, "stress")),
    "free energy": (dict(results=["energy", "free_energy", "forces"]), ("energy", "forces", None, None)),
    "dft_": (dict(info=["dft_energy"], arrays=["dft_force"]), ("dft_energy", "dft_force", None, None)),
    "REF_": (dict(info=["REF_energy", "REF_stress"]), ("REF_energy", None, None, "REF_stress")),
    "any case": (dict(info=["Energy"], arrays=["Forces"]), ("Energy", "Forces", None, None)),
    "no separator": (dict(info=["DFTenergy"], arrays=["DFTforces"]), ("DFTenergy", "DFTforces", None, None)),
    "two separators": (dict(info=["my_dft-energy"]), ("my_dft-energy", None, None, None)),
    "others": (dict(info=["energy", "formation_energy", "kinetic_energy"]), ("energy", None, None, None)),
    "a number": (dict(info=["energy", "max_force"]), ("energy", None, None, None)),
}


@pytest.mark.parametrize("case", FOUND)
def test_search(case):
    where, expected = FOUND[case]
    keys = resolve_keys([labeled_atoms(info=["unrelated_l"]), labeled_atoms(**where)])
    assert (keys.energy, keys.forces, keys.virial, keys.stress) == expected


SEVERAL = labeled_atoms(["REF_energy", "REF_virial"], ["REF_forces", "mace_forces"], ["energy", "forces"])


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (dict(prefix="REF"), ("REF_energy", "REF_forces", "REF_virial", None)),
        (dict(prefix="REF_"), ("REF_energy", "REF_forces", "REF_virial", None)),
        (dict(prefix=""), ("energy", "forces", None, None)),
        (dict(prefix="REF_", forces_key="mace_forces"), ("REF_energy", "mace_forces", "REF_virial", None)),
        (dict(prefix="REF_", virial_key=False), ("REF_energy", "REF_forces", None, None)),
        (dict(energy_key="energy", forces_key=False, virial_key=False), ("energy", None, None, None)),
        (dict(energy_key="energy", forces_key="forces"), ("energy", "forces", "REF_virial", None)),
        (
            dict(energy_key=False, forces_key=False, virial_key=False, stress_key="REF_virial"),
            (None,) * 3 + ("REF_virial",),
        ),
    ],
)
def test_choice_among_several(arguments, expected):
    keys = resolve_keys([SEVERAL], **arguments)
    assert (keys.energy, keys.forces, keys.virial, keys.stress) == expected


def test_several_candidates_are_an_error():
    with pytest.raises(LabelError, match="several candidates") as caught:
        resolve_keys([SEVERAL, SEVERAL, labeled_atoms()])
    for part in ("REF_energy (info, 2 structures)", "mace_forces (arrays, 2", "energy (calculator, 2", "prefix="):
        assert part in str(caught.value)
    with pytest.raises(LabelError, match=r"energy \(info, 1 structures\)"):
        resolve_keys(labeled_atoms(["energy", "Energy"]))
    with pytest.raises(LabelError, match=r"with prefix 'dft'.*dft_forces.*dft-forces|dft-forces.*dft_forces"):
        resolve_keys(labeled_atoms(arrays=["dft_forces", "dft-forces", "forces"]), prefix="dft")


@pytest.mark.parametrize("kind", ["energy", "forces", "virial", "stress"])
def test_a_key_that_is_nowhere(kind):
    structures = [labeled_atoms(["REF_energy"], ["REF_forces"], ["energy"])] * 3
    with pytest.raises(LabelError, match=rf"^{kind}_key='nowhere' is in none of 3 structures") as caught:
        label_structures(structures, **{f"{kind}_key": "nowhere"})
    assert "info: REF_energy; arrays: REF_forces; calculator: energy" in str(caught.value)
    with pytest.raises(LabelError, match="did you mean 'REF_energy'"):
        resolve_keys(structures, energy_key="REF_enrgy")


def test_a_key_that_only_some_have():
    data = label_structures([bulk("Cu"), labeled_atoms(["dft_energy"])], energy_key="dft_energy")
    assert [labeled.energy for labeled in data] == [None, -1.0]


def test_nothing_found():
    with pytest.raises(
        NoLabelsError, match=r"no labels found; keys found: info: formation_energy, total; arrays: none"
    ):
        atoms = labeled_atoms(["formation_energy"])
        atoms.info["total"] = 3.0
        resolve_keys(atoms)
    with pytest.raises(NoLabelsError, match="no labels found with prefix 'dft'"):
        resolve_keys(labeled_atoms(["energy"]), prefix="dft")
    with pytest.raises(LabelError, match="all False") as error:
        resolve_keys(labeled_atoms(["energy"]), energy_key=False, forces_key=False, virial_key=False, stress_key=False)
    assert not isinstance(error.value, NoLabelsError)


@pytest.mark.parametrize("name", ["energy_key", "forces_key", "virial_key", "stress_key", "config_type_key"])
@pytest.mark.parametrize("value", [True, 1, "", ["energy"]])
def test_what_is_no_key(name, value):
    with pytest.raises(TypeError, match=f"{name} must be a key, False"):
        resolve_keys(labeled_atoms(["energy"]), **{name: value})


def test_what_are_no_structures():
    with pytest.raises(TypeError, match=r"structures\[1\] must be an ase\.Atoms, got str"):
        resolve_keys([labeled_atoms(["energy"]), "Cu"])
    for value in ("Cu", 3, None):
        with pytest.raises(TypeError, match="structures must be an iterable"):
            resolve_keys(value)
    with pytest.raises(ValueError, match="structures is empty"):
        resolve_keys(iter([]))
    with pytest.raises(TypeError, match="prefix must be text"):
        resolve_keys(labeled_atoms(["energy"]), prefix=1)
    with pytest.raises(TypeError, match="keys must be a LabelKeys"):
        read_labels(labeled_atoms(["energy"]), {"energy": "energy"})


# --- what is refused --------------------------------------------------------------------------------------------------


def refused(**labels):
    """A good structure, then one with these labels."""
    good, bad = crystal(), crystal()
    good.info.update(energy=-1.0)
    for name, value in labels.items():
        (bad.arrays if name == "forces" else bad.info)[name] = value
    return [good, bad]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name, shape", [("energy", ()), ("forces", (4, 3)), ("virial", (3, 3)), ("stress", (6,))])
def test_labels_that_are_not_finite(name, shape, bad):
    value = np.zeros(shape)
    value[(0,) * len(shape)] = bad
    with pytest.raises(ValueError, match=rf"structures\[1\]: {name} must be finite"):
        label_structures(refused(**{name: value}))


@pytest.mark.parametrize(
    "name, value",
    [
        ("energy", [1.0, 2.0]),
        ("energy", []),
        ("forces", np.zeros((4, 2))),
        ("forces", np.zeros(4)),
        ("virial", np.zeros((2, 3))),
        ("virial", np.zeros(3)),
        ("stress", 1.0),
        ("stress", np.zeros((3, 3, 1))),
    ],
)
def test_wrong_shapes(name, value):
    with pytest.raises(ValueError, match=rf"structures\[1\]: {name} must (have|be)"):
        label_structures(refused(**{name: value}))


@pytest.mark.parametrize("value", ["-3.7", True, 1j])
def test_energies_that_are_no_numbers(value):
    with pytest.raises(TypeError, match=r"structures\[1\]: energy must hold real numbers"):
        label_structures(refused(energy=value))


def test_tensors_that_are_not_symmetric():
    W = virial_by_differences(crystal(), EMT())
    skew = np.zeros((3, 3))
    skew[0, 1], skew[1, 0] = 1.0, -1.0
    with pytest.raises(ValueError, match=r"structures\[1\]: virial must be symmetric"):
        label_structures(refused(virial=W + 0.01 * np.abs(W).max() * skew))
    data = label_structures(refused(virial=W + 1e-6 * skew))  # rounding
    np.testing.assert_allclose(data[1].virial, W, rtol=1e-13)


def test_virial_and_stress_must_agree():
    atoms = crystal()
    W = virial_by_differences(atoms, EMT())
    stress = full_3x3_to_voigt_6_stress(-W / atoms.get_volume())
    data = label_structures(refused(virial=W, stress=stress))
    np.testing.assert_allclose(data[1].virial, W, rtol=1e-14)
    swapped = stress[[0, 1, 2, 5, 4, 3]]
    for wrong in (-stress, stress * 160.2, swapped):
        with pytest.raises(LabelError, match=r"structures\[1\]: stress is not −virial / volume"):
            label_structures(refused(virial=W, stress=wrong))
        for choice in ("virial", "stress"):  # one of them named: the other is not looked at
            label_structures(refused(virial=W, stress=wrong), **{f"{choice}_key": choice})


def test_info_and_calculator_must_agree():
    atoms = with_results(crystal(), EMT())
    atoms.info["energy"] = atoms.calc.results["energy"]
    assert label_structures(atoms)[0].energy == atoms.info["energy"]
    atoms.info["energy"] += 1e-6
    with pytest.raises(LabelError, match=r"structures\[0\]: 'energy' in info and in calculator differ"):
        label_structures(atoms)


@pytest.mark.parametrize(
    "change",
    [
        lambda atoms: atoms.rattle(1e-3),
        lambda atoms: atoms.set_cell(atoms.cell.array * 1.01),
        lambda atoms: atoms.set_pbc([True, True, False]),
        lambda atoms: atoms.symbols.__setitem__(0, "Au"),
        lambda atoms: atoms.append("Cu"),
    ],
)
def test_results_of_another_geometry(change):
    """A SinglePointCalculator would not give them out, and a label would be missing without a word."""
    atoms = with_results(crystal(), EMT())
    change(atoms)
    with pytest.raises(LabelError, match=r"structures\[0\]: 'energy' of its calculator belongs to another geometry"):
        label_structures(atoms)


def test_one_calculator_for_several_structures():
    calculator = EMT()
    structures = [crystal(0), crystal(1)]
    for atoms in structures:
        atoms.calc = calculator
        atoms.get_potential_energy()
    with pytest.raises(LabelError, match=r"structures\[0\]: 'energy' of its calculator belongs to another"):
        label_structures(structures)
    structures[0].calc = structures[1].calc = EMT()  # has not computed anything
    with pytest.raises(LabelError, match="no labels found"):
        label_structures(structures)


@pytest.mark.parametrize("pbc", [False, [True, True, False]])
@pytest.mark.parametrize("name", ["virial", "stress"])
def test_virials_need_three_periodic_axes(name, pbc):
    atoms = crystal()
    atoms.pbc = pbc
    atoms.info.update({"energy": -1.0, name: np.eye(3)})
    periodic = crystal()
    periodic.info[name] = np.eye(3)
    with pytest.warns(LabelWarning, match=r"of 2 structures that are not periodic .* first is structures\[1\]"):
        data = label_structures([periodic, atoms, atoms])
    assert data[0].virial is not None and data[1].virial is None and data[1].energy == -1.0
    with pytest.warns(LabelWarning, match="not periodic along all three axes"):
        assert read_labels(atoms, data.keys).virial is None
    label_structures([periodic, atoms], virial_key=False, stress_key=False)  # no warning


def test_bad_structures():
    atoms = crystal()
    atoms.info["energy"] = -1.0
    broken = atoms.copy()
    broken.positions[0] = np.nan
    with pytest.raises(ValueError, match=r"structures\[1\] has NaN"):
        label_structures([atoms, broken])
    with pytest.raises(ValueError, match=r"frame 7 has NaN"):
        read_labels(broken, LabelKeys(energy="energy"), name="frame 7")


# --- container --------------------------------------------------------------------------------------------------------


def mixed_data():
    crystals = [with_results(crystal(seed), EMT()) for seed in range(3)]
    for atoms, group in zip(crystals, ["hot", "cold", "hot"]):
        atoms.info["config_type"] = group
    crystals[2].calc.results.pop("forces")
    gas = with_results(molecule("H2O"), EMT(), ["energy", "forces"])
    return [*crystals, gas]


def test_table():
    data = label_structures(mixed_data())
    rows = [line.split() for line in str(data).splitlines()]
    assert rows[0] == ["config_type", "structures", "atoms", "energies", "forces", "virials"]
    assert rows[1:5] == [
        ["hot", "2", "8", "2", "1", "2"],
        ["cold", "1", "4", "1", "1", "1"],
        ["default", "1", "3", "1", "1", "0"],
        ["all", "4", "15", "4", "3", "3"],
    ]
    last = str(data).splitlines()[-1]
    assert last == "energy (eV): energy, forces (eV/Å): forces, virial (eV): −V × stress (eV/Å³)"
    assert str(LabelKeys(virial="W", stress="s")).endswith("virial (eV): W or −V × s (eV/Å³)")


def test_sequence():
    data = label_structures(mixed_data())
    assert len(data) == 4 and len(list(data)) == 4 and data[-1] is data.structures[3]
    assert data.config_types == ("hot", "cold", "default")
    assert data.species == ("H", "O", "Cu")
    part = data[1:3]
    assert isinstance(part, LabeledData) and part.keys == data.keys and list(part) == list(data)[1:3]
    assert repr(part).startswith("LabeledData(2 structures, LabelKeys(energy='energy'")
    with pytest.raises(AttributeError):
        data.keys = LabelKeys()


def test_config_types():
    structures = mixed_data()
    for k, atoms in enumerate(structures):
        atoms.info["group"] = k % 2
    assert label_structures(structures, config_type_key="group").config_types == ("0", "1")
    assert label_structures(structures, config_type_key=False).config_types == ("default",)
    assert label_structures(structures, config_type_key=None).config_types == ("default",)
    with pytest.raises(LabelError, match="config_type_key='grop' is in none of 4 structures, did you mean 'group'"):
        label_structures(structures, config_type_key="grop")
