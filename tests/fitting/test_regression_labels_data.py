"""Labels of the shared data sets: all are found, and the virials that are known to be wrong are noticed."""

import os
from functools import cache
from pathlib import Path

import pytest
from ase.io import iread

from acepure.fitting import LabelWarning, check_consistency, is_isolated, label_structures, reference_energies

DEFAULT = Path(__file__).resolve().parents[3] / "shared" / "data"
FOLDER = Path(os.environ.get("ACEPURE_DATA", DEFAULT))


@cache
def data_set(name):
    """Read-only for the tests: reading takes most of their time."""
    path = FOLDER / f"{name}.extxyz.gz"
    if not path.exists():
        pytest.skip(f"no {path}; set ACEPURE_DATA to the folder that holds zuo2020/, inp/, ...")
    return label_structures(iread(path, ":"))


@pytest.mark.parametrize(
    "name, structures, atoms, forces, virials",  # as the READMEs of the data sets count them
    [
        ("zuo2020/Ni_train", 263, 27420, 263, 155),
        ("inp/InP_test", 174, 10141, 174, 174),
        ("tial/TiAl_tutorial", 329, 1756, 329, 329),
        ("acac/test_H_transfer", 15, 225, 0, 0),
    ],
)
def test_everything_is_found(name, structures, atoms, forces, virials):
    data = data_set(name)
    assert data.table().splitlines()[-2].replace(",", "").split()[1:] == [
        str(n) for n in (structures, atoms, structures, forces, virials)
    ]
    assert data.keys.energy == "REF_energy"


@pytest.mark.parametrize("name, n_pairs, published", [("Cu_test", 5, -2.6), ("Ni_train", 100, -3.0)])
def test_virials_that_contradict_energies(name, n_pairs, published):
    """Their README: the stress along uniaxial strain differs from −dE/dε by −2.6 GPa (Cu) and −3.0 GPa (Ni)."""
    data = data_set(f"zuo2020/{name}")
    with pytest.warns(LabelWarning, match="virials of 'Elastic' contradict its energies"):
        report = check_consistency(data)
    assert len(report.contradictions) == 1
    check = report.virials[0]
    assert check.config_type == "Elastic" and check.n_pairs >= n_pairs
    assert check.pressure_offset == pytest.approx(published, abs=0.3)


@pytest.mark.parametrize("name", ["zuo2020/Si_train", "inp/InP_test"])
def test_labels_that_agree(name):
    report = check_consistency(data_set(name))
    assert report.contradictions == () and len(report.virials) >= 1
    assert max(check.discrepancy for check in report.virials) < 0.1  # GPa


def test_isolated_atoms():
    data = data_set("acac/isolated_atoms")
    energies = reference_energies(data, "isolated", cutoff=6.0)
    assert energies == pytest.approx({"H": -13.56842, "C": -1026.85390, "O": -2037.79687}, abs=1e-5)
    assert not any(is_isolated(labeled.atoms, 6.0) for labeled in data_set("acac/test_H_transfer"))


def test_compositions_that_do_not_determine_reference_energies():
    data = data_set("tial/TiAl_tutorial")  # always one Ti for one Al
    with pytest.warns(LabelWarning, match="1 of 2 reference energies"):
        energies = reference_energies(data, "lstsq")
    mean = sum(labeled.energy / len(labeled.atoms) for labeled in data) / len(data)
    assert energies == pytest.approx({"Al": mean, "Ti": mean}, rel=1e-9)
