"""Files and models that tests of commands share."""

import ase.io
import pytest
from cases.emt import emt_structures

from acepure import ACEBasis, LinearACE
from acepure.fitting import label_structures


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A folder with training and test structures, and the model fitted to them in Python."""
    folder = tmp_path_factory.mktemp("fitted")
    ase.io.write(folder / "train.extxyz", emt_structures(16))
    ase.io.write(folder / "test.extxyz", emt_structures(5, seed=1))
    train = label_structures(ase.io.read(folder / "train.extxyz", ":"))
    basis = ACEBasis(["Cu", "Ag"], order=2, totaldegree=4)
    model = LinearACE.fit(train, basis, num_threads=1, progress=False, verbose=False)
    model.save(folder / "known.ace")
    return folder, model


@pytest.fixture
def data(fitted, tmp_path, monkeypatch):
    """A working folder of its own with copies of these files; the model in memory."""
    monkeypatch.chdir(tmp_path)
    for path in fitted[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return fitted[1]
