"""Structures that are read anew for every pass give what those in memory give, to the last bit."""

import gc
import weakref

import numpy as np
import pytest
from ase import Atoms
from cases.emt import emt_structures

from acepure import ACEBasis, LinearACE, RadialDensity
from acepure.fitting import LabeledData, LabeledStream, LabelWarning, check_consistency, label_structures
from acepure.fitting.cross_validation import cross_validate
from acepure.fitting.met import what_was_met

QUIET = {"verbose": False, "progress": False}


class ReadAnew:
    """Copies of structures, made for each pass; knows how many are alive at most."""

    def __init__(self, structures):
        self.structures, self.passes, self.most_alive = structures, 0, 0

    def __iter__(self):
        self.passes += 1
        seen = []
        for atoms in self.structures:
            copy = atoms.copy()
            copy.calc = atoms.calc
            seen.append(weakref.ref(copy))
            self.most_alive = max(self.most_alive, sum(ref() is not None for ref in seen))
            yield copy
            del copy


@pytest.fixture
def structures():
    return [Atoms("Cu", cell=[20] * 3, info={"config_type": "atom"}), *emt_structures(12)]


@pytest.fixture
def basis():
    return ACEBasis(["Cu", "Ag"], order=2, totaldegree=4)


def test_what_was_found_is_the_same(structures):
    held, stream = label_structures(structures), label_structures(ReadAnew(structures))
    assert isinstance(held, LabeledData) and isinstance(stream, LabeledStream)
    assert str(stream) == str(held) and len(stream) == len(held) == 13
    assert stream.species == held.species == ("Cu", "Ag")
    assert stream.config_types == held.config_types == ("atom", "crystal", "alloy")
    for ours, theirs in zip(stream, held, strict=True):
        assert ours.energy == theirs.energy and ours.config_type == theirs.config_type
        for name in ("forces", "virial"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


@pytest.mark.parametrize("arguments", [{}, {"E0s": "lstsq", "core": "zbl", "solver": "qr", "prior": None}])
def test_fits_to_the_same_bits(structures, basis, arguments):
    held = LinearACE.fit(structures, basis, **arguments, **QUIET)
    stream = LinearACE.fit(ReadAnew(structures), basis, **arguments, **QUIET)
    np.testing.assert_array_equal(stream.coefficients, held.coefficients)
    np.testing.assert_array_equal(stream.posterior, held.posterior)
    assert stream.E0s == held.E0s and stream.shortest_distances == held.shortest_distances
    assert str(stream.errors(ReadAnew(structures))) == str(held.errors(structures))


def test_passes_hold_a_few_structures_at_a_time(structures, basis, monkeypatch):
    monkeypatch.setattr("acepure.fitting.met.ATOMS", 1)
    gc.disable()  # cycles may die late
    try:
        source = ReadAnew(structures)
        labeled = label_structures(source)
        what_was_met(basis, labeled)
    finally:
        gc.enable()
    assert source.passes >= 3
    assert source.most_alive <= 3


def test_one_pass_finds_what_its_parts_and_other_passes_find(structures, basis, monkeypatch):
    labeled = label_structures(structures)
    whole = what_was_met(basis, labeled)
    density = RadialDensity.from_structures(structures, basis.rcut)
    assert dict(density.measures) == whole.histogram.measures()
    distances = [
        atoms.get_all_distances(mic=True)[atoms.symbols == "Ag"][:, atoms.symbols == "Cu"] for atoms in structures
    ]
    assert whole.shortest["Ag", "Cu"] == pytest.approx(min(r.min() for r in distances if r.size), rel=1e-12)
    monkeypatch.setattr("acepure.fitting.met.ATOMS", 1)
    parts = what_was_met(basis, labeled)
    assert parts.shortest == whole.shortest and parts.surroundings.to_list() == whole.surroundings.to_list()
    for pair, measure in parts.histogram.measures().items():
        np.testing.assert_allclose(measure.nodes, density.measures[pair].nodes, rtol=1e-14)
        np.testing.assert_array_equal(measure.weights, density.measures[pair].weights)
    cutoffs = {("Cu", "Cu"): 4.0, ("Ag", "Cu"): 4.5, ("Ag", "Ag"): 5.0}
    assert what_was_met(ACEBasis(["Cu", "Ag"], cutoffs, order=1), labeled).histogram is None


def test_labels_are_compared_up_to_a_number(structures, basis, monkeypatch, capsys):
    monkeypatch.setattr("acepure.fitting.fit._MOST_COMPARED", 5)
    LinearACE.fit(ReadAnew(structures), basis, progress=False)
    assert "for the first 5 of 13 structures" in capsys.readouterr().out
    LinearACE.fit(structures, basis, progress=False)
    assert "for the first" not in capsys.readouterr().out


def test_wrong_labels_are_found_before_any_work(structures):
    structures[7].calc.results["forces"] = structures[7].calc.results["forces"][:2]
    with pytest.raises(ValueError, match=r"structures\[7\]: forces must have shape \(4, 3\)"):
        label_structures(ReadAnew(structures))


def test_species_of_no_basis_are_named(structures):
    with pytest.raises(ValueError, match=r"structures\[\d+\].*Ag"):
        LinearACE.fit(ReadAnew(structures), ACEBasis(["Cu"]), **QUIET)


def test_stresses_without_volume_are_counted_once(structures):
    for atoms in structures[3:6]:
        atoms.pbc = (True, True, False)
        atoms.calc.atoms.pbc = atoms.pbc
    with pytest.warns(LabelWarning, match=r"3 structures .* the first is structures\[3\]"):
        label_structures(ReadAnew(structures))


def test_generators_are_held(structures):
    labeled = label_structures(atoms for atoms in structures)
    assert isinstance(labeled, LabeledData) and len(labeled) == len(structures)
    assert check_consistency(labeled).contradictions == ()


def test_folds_need_a_sequence(structures, basis):
    with pytest.raises(TypeError, match="structures must be a sequence"):
        cross_validate(ReadAnew(structures), basis, folds=2)


def test_groups_without_a_name_and_a_group_named_all():
    structures = emt_structures(4)
    # None, which extended XYZ reads back as True, is no name.
    for atoms, name in zip(structures, (None, True, "all", "all")):
        atoms.info["config_type"] = name
    labeled = label_structures(structures)
    assert labeled.config_types == ("default", "all")
    rows = {line.split("  ")[0]: line.split()[-5] for line in labeled.table().splitlines()[1:4]}
    assert rows == {"default": "2", "all": "2", "all groups": "4"}
