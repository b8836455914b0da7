"""TensorMaps of metatensor: values, labels and gradients against features computed apart; files."""

import numpy as np
import pytest
from ase import Atoms
from ase.data import chemical_symbols
from cases.emt import emt_structures

from acepure import ACEBasis, FeatureLabel

metatensor = pytest.importorskip("metatensor")

GIVEN = {"species": ["Cu", "Ag"], "order": 2, "totaldegree": 4, "rcut": 4.0}
#: Irrep → (o3_lambda, o3_sigma); a pseudovector takes two neighbors, a pseudoscalar three.
BASES = {irrep: ACEBasis(**GIVEN, irrep=irrep) for irrep in ("0e", "1o", "1e", "2e")}
KEYS = {"0e": (0, 1), "1o": (1, 1), "1e": (1, -1), "2e": (2, 1)}
SIGMA = ACEBasis(["Cu"], order=3, n_max=3, l_max=1, irrep="0o")


@pytest.fixture(scope="module")
def systems():
    molecule = Atoms("AgCuAg", [[0, 0, 0], [2.4, 0.1, 0], [0.3, 2.6, 0.4]])
    return [*emt_structures(2, seed=3), molecule]


@pytest.fixture(scope="module")
def features(systems):
    from acepure.interfaces.tensor_map import tensor_map

    return tensor_map(list(BASES.values()), systems, gradients=True, num_threads=1)


def block_of(features, irrep, number):
    keys = dict(zip(("o3_lambda", "o3_sigma"), KEYS[irrep]))
    return features.block({**keys, "center_type": number})


@pytest.mark.parametrize("irrep", BASES)
@pytest.mark.parametrize("number", [29, 47])
def test_values_and_samples(features, systems, irrep, number):
    block, basis = block_of(features, irrep, number), BASES[irrep]
    places = [(s, i) for s, atoms in enumerate(systems) for i in range(len(atoms)) if atoms.numbers[i] == number]
    assert [tuple(sample) for sample in block.samples] == places
    assert block.components[0].names == ["o3_mu"]
    assert block.components[0].values[:, 0].tolist() == list(range(-basis.L, basis.L + 1))
    for row, (s, i) in zip(block.values, places):
        own = basis.descriptors(systems[s], indices=[i])[0]
        np.testing.assert_array_equal(row, own.T if basis.L else own[None])


@pytest.mark.parametrize("irrep", BASES)
def test_properties_name_the_features(features, irrep):
    basis, properties = BASES[irrep], block_of(features, irrep, 29).properties
    for label, row in zip(basis.labels, properties.values.tolist(), strict=True):
        named = dict(zip(properties.names, row))
        factors = range(1, named["order"] + 1)
        coupling = (named[name] for name in properties.names if name.startswith("coupling"))
        found = FeatureLabel(
            tuple(chemical_symbols[named[f"neighbor_type_{k}"]] for k in factors),
            tuple(named[f"n_{k}"] for k in factors),
            tuple(named[f"l_{k}"] for k in factors),
            tuple(L for L in coupling if L >= 0),
        )
        assert found == label
        absent = [named[f"{name}_{k}"] for k in range(named["order"] + 1, 3) for name in ("neighbor_type", "n", "l")]
        assert set(absent) <= {-1}


@pytest.mark.parametrize("irrep", BASES)
def test_gradients_against_finite_differences(features, systems, irrep):
    basis, h = BASES[irrep], 1e-5

    def rows(atoms, i):
        found = basis.descriptors(atoms, indices=[i])[0]
        return found.T if basis.L else found[None]

    for number in (29, 47):
        block = block_of(features, irrep, number)
        positions, strain = block.gradient("positions"), block.gradient("strain")
        moving = {tuple(sample): value for sample, value in zip(positions.samples.values.tolist(), positions.values)}
        for sample, (s, i) in enumerate(block.samples.values.tolist()):
            for k in range(len(systems[s])):
                for a in range(3):
                    sides = []
                    for sign in (1, -1):
                        moved = systems[s].copy()
                        moved.positions[k, a] += sign * h
                        sides.append(rows(moved, i))
                    expected = (sides[0] - sides[1]) / (2 * h)
                    found = moving.get((sample, s, k))
                    found = np.zeros_like(expected) if found is None else found[a]
                    np.testing.assert_allclose(found, expected, atol=1e-8)
            for a, b in ((0, 0), (0, 1), (1, 0), (2, 1)):
                sides = []
                for sign in (1, -1):
                    deformed, eps = systems[s].copy(), np.eye(3)
                    eps[a, b] += sign * h
                    deformed.set_cell(deformed.cell.array @ eps.T)
                    deformed.positions = deformed.positions @ eps.T
                    sides.append(rows(deformed, i))
                np.testing.assert_allclose(strain.values[sample, a, b], (sides[0] - sides[1]) / (2 * h), atol=1e-8)


def test_files(features, tmp_path):
    features.save(str(tmp_path / "features.mts"))
    read = metatensor.load(str(tmp_path / "features.mts"))
    assert read.keys == features.keys
    for mine, theirs in zip(features.blocks(), read.blocks(), strict=True):
        np.testing.assert_array_equal(mine.values, theirs.values)
        assert (mine.samples, mine.properties) == (theirs.samples, theirs.properties)
        for name in ("positions", "strain"):
            np.testing.assert_array_equal(mine.gradient(name).values, theirs.gradient(name).values)


def test_pseudoscalars_and_single_structures():
    from acepure.interfaces.tensor_map import tensor_map

    atoms = Atoms("Cu4", [[0, 0, 0], [2.3, 0, 0], [0, 2.5, 0.2], [0.4, 0.3, 2.6]])
    found = tensor_map(SIGMA, atoms)
    assert found.keys.values.tolist() == [[0, -1, 29]]
    assert found.block().values.shape == (4, 1, len(SIGMA))
    mirrored = atoms.copy()
    mirrored.positions[:, 0] *= -1
    values = found.block().values
    assert abs(values).max() > 1e-6
    np.testing.assert_allclose(tensor_map(SIGMA, mirrored).block().values, -values, atol=1e-12)


@pytest.mark.parametrize(
    "bases, message",
    [
        ([], "at least one"),
        ([BASES["0e"], BASES["0e"]], "different irreps; got 0e, 0e"),
        ("basis", "ACEBasis"),
        (5, "bases must be"),
    ],
)
def test_what_is_refused(systems, bases, message):
    from acepure.interfaces.tensor_map import tensor_map

    with pytest.raises((TypeError, ValueError), match=message):
        tensor_map(bases, systems)
    with pytest.raises(TypeError, match="gradients must be"):
        tensor_map(BASES["0e"], systems, gradients="yes")
    with pytest.raises(ValueError, match="Fe"):
        tensor_map(BASES["0e"], [systems[0], Atoms("Fe")])
