"""The demo: structures that make sense, numbers that agree with the library, phases that separate."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from acepure.cli import demo
from acepure.neighbors.lists import neighbor_list


@pytest.fixture(scope="module")
def comparisons(tmp_path_factory):
    return demo.run(tmp_path_factory.mktemp("demo") / "figure.png", num_threads=1)


@pytest.fixture(scope="module")
def samples(comparisons):
    return {row.sample.name: row.sample.atoms for row in comparisons}


def distances(atoms, cutoff):
    return np.linalg.norm(neighbor_list(atoms, cutoff).vectors, axis=1)


def test_density_and_species(samples):
    assert len(samples) == 9
    for atoms in samples.values():
        assert atoms.get_volume() / len(atoms) == pytest.approx(demo.VOLUME, rel=1e-12)
        assert set(atoms.symbols) == {"Cu"} and atoms.pbc.all()


def test_coordination_of_the_clean_crystals(samples):
    # First shells by hand: 12 in FCC; 8 + 6 in BCC; 6 + 6 in HCP, whose c/a for magnesium is not ideal.
    for name, cutoff, expected in (("FCC Cu", 3.0, 12), ("BCC Fe", 3.2, 14), ("HCP Mg", 3.0, 12)):
        counts = np.diff(neighbor_list(samples[f"{name} clean"], cutoff).offsets)
        np.testing.assert_array_equal(counts, expected)


def test_liquids_have_no_overlap_and_no_lattice(samples):
    diameter = (6 * demo.PACKING * demo.VOLUME / np.pi) ** (1 / 3)
    for name, atoms in samples.items():
        if name.endswith("liquid"):
            r = distances(atoms, 5.0)
            assert r.min() >= diameter
            # Between the first two shells of FCC, at 2.56 and 3.61 Å, a liquid has pairs: a gas would have 0.11.
            assert np.mean((r > 2.95) & (r < 3.4)) > 0.06
            displacements = atoms.positions - samples[name.replace("liquid", "clean")].positions
            assert np.sqrt((displacements**2).sum(axis=1).mean()) > 1.2  # half the distance of neighbors


def test_hard_sphere_fluid_leaves_its_argument_alone_and_refuses():
    crystal = bulk("Cu", cubic=True) * 2
    before = crystal.copy()
    fluid = demo.hard_sphere_fluid(crystal, packing=0.3, seed=4)
    assert crystal == before
    assert fluid == demo.hard_sphere_fluid(crystal, packing=0.3, seed=4)
    assert fluid != demo.hard_sphere_fluid(crystal, packing=0.3, seed=5)
    assert distances(fluid, 3.0).min() >= (6 * 0.3 * crystal.get_volume() / (np.pi * len(crystal))) ** (1 / 3)
    with pytest.raises(ValueError, match=r"at most 0\.49"):
        demo.hard_sphere_fluid(crystal, packing=0.6)
    with pytest.raises(ValueError, match="periodic along all axes"):
        demo.hard_sphere_fluid(Atoms("Cu"))


def test_shares_of_self_interaction(comparisons):
    for row in comparisons:
        assert row.shares[1] == 0.0
        assert 0.0 < row.shares[2] < row.shares[3] < 1.0


def test_shares_of_a_pair_by_hand():
    # With one neighbor canonical features above order 1 vanish: all is self-interaction.
    pair = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.5]])
    row = demo.compare(demo.Sample("pair", "clean", pair), num_threads=1)
    assert row.neighbors == 1
    assert row.shares[2] == pytest.approx(1.0, abs=1e-12) and row.shares[3] == pytest.approx(1.0, abs=1e-12)


def test_neighbor_mean_by_hand():
    chain = Atoms("Cu3", [[0, 0, 0], [2, 0, 0], [4, 0, 0]])
    means = demo.neighbor_mean(chain, np.array([[0.0], [3.0], [9.0]]), 2.5)
    np.testing.assert_allclose(means, [[1.5], [4.0], [6.0]])


def test_neighbor_mean_in_a_small_cell():
    # The atom meets its own images only.
    np.testing.assert_allclose(demo.neighbor_mean(bulk("Cu"), np.array([[2.0, -1.0]]), 5.0), [[2.0, -1.0]])


def test_map_separates_the_phases(comparisons):
    from acepure.plotting import principal_components

    coordinates, _ = principal_components(np.concatenate([row.averages for row in comparisons]))
    labels = np.concatenate(
        [
            [row.sample.condition if row.sample.condition == "liquid" else row.sample.crystal] * len(row.averages)
            for row in comparisons
        ]
    )
    centers = {label: coordinates[labels == label].mean(axis=0) for label in np.unique(labels)}
    nearest = np.array(list(centers))[
        np.argmin([np.linalg.norm(coordinates - center, axis=1) for center in centers.values()], axis=0)
    ]
    assert len(centers) == 4
    assert np.mean(nearest == labels) > 0.97  # clouds are longer than wide, so the nearest center errs at their tips


def test_table_and_output(tmp_path, capsys, monkeypatch, comparisons):
    table = demo.format_table(comparisons)
    assert len(table.splitlines()) == 11
    assert table.splitlines()[2].split()[:4] == ["FCC", "Cu", "clean", "256"]
    monkeypatch.setattr(demo, "demo_structures", lambda: [row.sample for row in comparisons[:2]])
    demo.run(tmp_path / "map.svg", num_threads=1)
    out = capsys.readouterr().out
    assert "912 features per atom" in out and "count as one species" in out and "1 thread," in out
    assert out.rstrip().endswith("map.svg")
    assert (tmp_path / "map.svg").read_text().lstrip().startswith("<?xml")
    assert [path.name for path in tmp_path.iterdir()] == ["map.svg"]


@pytest.mark.parametrize("name", ["figure", "figure.docx"])
def test_unknown_figure_format_is_refused_before_any_work(tmp_path, name, monkeypatch):
    monkeypatch.setattr(demo, "demo_structures", lambda: pytest.fail("work was done"))
    with pytest.raises(ValueError, match=rf"^output .*{name}: the name must end in one of \."):
        demo.run(tmp_path / name)
    assert not list(tmp_path.iterdir())
