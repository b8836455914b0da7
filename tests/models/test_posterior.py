"""Posteriors by triangles against the same as arrays, leaving out against fits without, and files of them."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT

from acepure import ACEBasis, LinearACE
from acepure._utils.tiled import TiledMatrix
from acepure.errors import ModelFileError
from acepure.fitting import resolve_weights
from acepure.fitting.design import Design
from acepure.fitting.fit import labeled_data
from acepure.models import posterior as module
from acepure.models.files import LINEAR, write_model
from acepure.models.posterior import FactoredPosterior, dense_root, whitened, whitened_features

BASIS = ACEBasis(["Cu", "Au"], rcut=4.0, order=3, totaldegree=4)
ALPHA = 1e-6


@pytest.fixture(scope="module")
def structures():
    rng, found = np.random.default_rng(0), []
    for k in range(24):
        atoms = Atoms("CuAuCu2" if k % 2 else "CuAu2", rng.normal(scale=0.1, size=(4 if k % 2 else 3, 3)))
        atoms.positions += [[0, 0, 0], [0, 0, 2.5], [0, 2.4, 0.3], [2.6, 0.2, 0]][: len(atoms)]
        atoms.calc = EMT()
        atoms.get_forces()
        found.append(atoms)
    return found


@pytest.fixture(scope="module")
def fitted(structures):
    options = {"E0s": 0, "verbose": False, "check": False, "core": None, "options": {"alpha": ALPHA}}
    return LinearACE.fit(structures, BASIS, solver="cholesky", **options)


def as_array(model):
    return LinearACE(
        model.basis, model.coefficients, model.E0s, posterior=dense_root(model.posterior), report=model.report
    )


def test_equal_to_the_same_as_an_array(structures, fitted):
    model = as_array(fitted)
    assert isinstance(fitted.posterior, FactoredPosterior) and isinstance(model.posterior, np.ndarray)
    assert fitted.posterior.shape == model.posterior.shape and fitted.calibration is not None
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(5, model.coefficients.size))
    close = {"rtol": 1e-9, "atol": 1e-9 * abs(whitened(model.posterior, rows)).max()}
    np.testing.assert_allclose(whitened(fitted.posterior, rows), whitened(model.posterior, rows), **close)
    features, species = rng.normal(size=(4, len(model.basis))), np.array([1, 0, 1, 1])
    found, expected = (whitened_features(m.posterior, features, species) for m in (fitted, model))
    np.testing.assert_allclose(found, expected, **close)
    for atoms in structures[:2]:
        found, expected = fitted.uncertainty(atoms), model.uncertainty(atoms)
        for name in ("energy", "forces", "virial", "energies"):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-7)
        np.testing.assert_allclose(fitted.energy_variances(atoms), model.energy_variances(atoms), rtol=1e-7)
    one, two = fitted.committee(2)[1], model.committee(2)[1]
    np.testing.assert_allclose(one.coefficients, two.coefficients, rtol=1e-7, atol=1e-9 * abs(one.coefficients).max())


def test_leaving_out_equals_fits_without(structures, fitted):
    """At the same λ, in columns of the same length: those of all structures."""
    labeled, basis = labeled_data(structures), fitted.basis
    design = Design(basis, resolve_weights(None), fitted.E0s)
    every = [design.rows(item) for item in labeled]
    columns = np.delete(np.arange(2 * (1 + len(basis))), [0, 1 + len(basis)])[fitted.posterior.columns]
    used = fitted.posterior.scales > 0
    columns, d = columns[used], fitted.posterior.scales[used] / fitted.report["regression"]["noise"]
    lam = ALPHA * fitted.posterior.shape[2]
    found = fitted.leave_out(structures)
    for k in (0, 5):
        rest = np.concatenate([rows for j, rows in enumerate(every) if j != k])
        stacked = np.vstack([rest[:, columns] * d, np.sqrt(lam) * np.eye(len(d))])
        u = np.linalg.lstsq(stacked, np.append(rest[:, -1], np.zeros(len(d))), rcond=None)[0]
        errors = every[k][:, columns] @ (d * u) - every[k][:, -1]
        expected = {"energy": errors[:1] * np.sqrt(len(structures[k])) / 30, "forces": errors[1:]}
        for quantity, values in expected.items():
            mine = found[quantity].errors[found[quantity].structures == k].ravel()
            np.testing.assert_allclose(mine, values, rtol=1e-6, atol=1e-6 * abs(values).max())


def test_files(tmp_path, fitted, structures):
    fitted.save(tmp_path / "whole.ace")
    again = LinearACE.load(tmp_path / "whole.ace")
    for name, array in fitted.posterior.arrays().items():
        np.testing.assert_array_equal(again.posterior.arrays()[name], array)
    assert again.uncertainty(structures[0]).energy == fitted.uncertainty(structures[0]).energy
    fitted.save(tmp_path / "small.ace", posterior=False)
    assert LinearACE.load(tmp_path / "small.ace").posterior is None
    size = (tmp_path / "whole.ace").stat().st_size - (tmp_path / "small.ace").stat().st_size
    assert abs(size - fitted.posterior.nbytes) < 1024


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"posterior columns": None}, "a posterior is one array or posterior factor"),
        ({"posterior columns": lambda a: a[::-1].copy()}, "columns must increase"),
        ({"posterior columns": lambda a: a[1:]}, "tiles of shape|unknowns, but"),
        ({"posterior scales": lambda a: -a - 1}, "scales must be finite"),
        ({"posterior factor": lambda a: 0 * a}, "positive diagonal"),
        ({"posterior factor": lambda a: a[..., 1:].copy()}, "tiles of shape"),
        ({"posterior factor": lambda a: np.zeros((a.shape[1] * (a.shape[1] + 1) // 2, 0, 0))}, "tiles of shape"),
    ],
)
def test_damaged_files_are_refused(tmp_path, fitted, change, match):
    arrays = {"coefficients": fitted.coefficients, **fitted.posterior.arrays()}
    for name, made in change.items():
        array = arrays.pop(name)
        if made is not None:
            arrays[name] = made(array)
    write_model(tmp_path / "x.ace", LINEAR, fitted._entries(), arrays)
    with pytest.raises((ModelFileError, ValueError), match=match):
        LinearACE.load(tmp_path / "x.ace")


def test_refusals(monkeypatch, fitted):
    with pytest.raises(ValueError, match="and the basis has others"):
        LinearACE(ACEBasis(["Cu"]), np.zeros(len(ACEBasis(["Cu"]))), posterior=fitted.posterior)
    monkeypatch.setattr(module, "_SHARE", 0.0)
    with pytest.raises(MemoryError, match="other uses need a smaller basis"):
        dense_root(fitted.posterior)
    with pytest.raises(ValueError, match="rows have tiles of shape"):
        TiledMatrix.from_tiles(3, np.zeros((2, 2, 2)))
