"""The data of a page against features and errors computed apart; what is refused; the page in a real browser."""

import base64
import gzip
import json
import re
import sys

import ase.io
import numpy as np
import pytest
from cases.browser import CHROMIUM, open_page
from cases.emt import emt_structures

from acepure import ACEBasis, EmbeddedACE, LinearACE
from acepure.cli import main
from acepure.interfaces.explore import explore_dataset

pytest.importorskip("chemiscope")

BASIS = ACEBasis(["Cu", "Ag"], order=2, totaldegree=4, rcut=4.5)


@pytest.fixture(scope="module")
def structures():
    return emt_structures(12)


@pytest.fixture(scope="module")
def model(structures):
    return LinearACE.fit(structures, BASIS, calibrate_by=None, check=False, verbose=False)


def values(dataset, name):
    return np.array(dataset["properties"][name]["values"])


def scores_by_svd(points):
    """Principal components by the singular value decomposition, up to their signs, and shares of the variance."""
    centered = points - points.mean(axis=0)
    U, s, _ = np.linalg.svd(centered, full_matrices=False)
    return U[:, :3] * s[:3], (s**2 / (s**2).sum())[:3]


def same_map(dataset, name, points, tolerance=1e-9):
    expected, shares = scores_by_svd(points)
    for k in range(3):
        found = values(dataset, f"{name} {k + 1}")
        sign = np.sign(found @ expected[:, k])
        np.testing.assert_allclose(found, sign * expected[:, k], atol=tolerance * np.abs(expected).max())
        described = dataset["properties"][f"{name} {k + 1}"]["description"]
        assert f"{100 * shares[k]:.0f} %" in described


def by_structure(structures, rows):
    """Means over all atoms of the rows of centers of each species."""
    return np.array(
        [
            np.concatenate([part[atoms.symbols == z].sum(axis=0) for z in BASIS.species]) / len(atoms)
            for atoms, part in zip(structures, rows)
        ]
    )


def test_maps_are_principal_components_of_scaled_features(structures):
    dataset = explore_dataset(structures, basis=BASIS)
    rows = BASIS.descriptors(structures)
    for name, points in (("atom map", np.concatenate(rows)), ("map", by_structure(structures, rows))):
        spread = points.std(axis=0)
        same_map(dataset, name, points[:, spread > 1e-12] / spread[spread > 1e-12])


def test_map_of_a_model_is_that_of_its_energy_parts(structures, model):
    dataset = explore_dataset(structures, model=model)
    vacuum = np.zeros(len(BASIS)) if model.basis.reference is None else None
    rows = []
    for atoms in structures:
        alone = [model.basis.descriptors(type(atoms)(symbol))[0] for symbol in atoms.symbols]
        theta = model.coefficients[[model.basis.species.index(symbol) for symbol in atoms.symbols]]
        rows.append(theta * (model.basis.descriptors(atoms) - (alone if vacuum is None else vacuum)))
    energies = [model.evaluate(atoms).energies for atoms in structures]
    E0s = np.array([model.E0s[symbol] for atoms in structures for symbol in atoms.symbols])
    np.testing.assert_allclose(np.concatenate(rows).sum(axis=1) + E0s, np.concatenate(energies), atol=1e-9)
    same_map(dataset, "atom map", np.concatenate(rows))
    same_map(dataset, "map", by_structure(structures, rows))


def test_map_of_an_embedded_model_is_first_order(structures, model):
    """e_k = dE/ds of the atom's energy when coefficients of k alone are scaled by 1 + s, by finite differences."""
    theta = np.stack([model.coefficients, 0.3 * model.coefficients])
    embedded = EmbeddedACE(model.basis, theta, "smooth-root", model.E0s)
    dataset = explore_dataset(structures, model=embedded)
    h, rows = 1e-5, np.empty((sum(map(len, structures)), len(model.basis)))
    for k in range(len(model.basis)):
        sides = []
        for sign in (1, -1):
            scaled = theta.copy()
            scaled[..., k] *= 1 + sign * h
            other = EmbeddedACE(model.basis, scaled, "smooth-root", model.E0s)
            sides.append(np.concatenate([other.evaluate(atoms).energies for atoms in structures]))
        rows[:, k] = (sides[0] - sides[1]) / (2 * h)
    kinds = np.concatenate([model.basis.species_indices(atoms) for atoms in structures])
    features = np.concatenate(model.basis.descriptors(structures))
    np.testing.assert_allclose(embedded.energies_by_feature(features, kinds), rows, atol=1e-7 * abs(rows).max())
    same_map(dataset, "atom map", rows, 1e-6)
    assert "force σ" not in dataset["properties"] and "force error" in dataset["properties"]


def test_errors_deviations_and_self_interaction(structures, model):
    dataset = explore_dataset(structures, model=model)
    plain = ACEBasis.from_dict({**model.basis.to_dict(), "canonical": False})
    first = 0
    for k, atoms in enumerate(structures):
        result, sigma, n = model.evaluate(atoms), model.uncertainty(atoms), len(atoms)
        missed = result.forces - atoms.get_forces()
        own, canonical = plain.descriptors(atoms), model.basis.descriptors(atoms)
        share = np.linalg.norm(own - canonical) / np.linalg.norm(own)
        for name, expected in {
            "energy": atoms.get_potential_energy() / n,
            "energy error": (result.energy - atoms.get_potential_energy()) / n,
            "force error": np.sqrt((missed**2).mean()),
            "energy σ": sigma.energy / n,
            "self-interaction": share,
            "number": k,
        }.items():
            assert values(dataset, name)[k] == pytest.approx(expected, rel=1e-9, abs=1e-12), name
        assert dataset["properties"]["group"]["values"][k] == atoms.info["config_type"]
        for i in range(n):
            assert dataset["environments"][first + i]["center"] == i
            assert dataset["environments"][first + i]["structure"] == k
            assert values(dataset, "atom force error")[first + i] == pytest.approx(np.linalg.norm(missed[i]), abs=1e-12)
            assert values(dataset, "atom force σ")[first + i] == pytest.approx(sigma.forces[i])
            assert values(dataset, "atom energy")[first + i] == pytest.approx(result.energies[i])
        first += n


def test_numbers_of_the_file_and_what_is_missing(structures):
    copies = [atoms.copy() for atoms in structures[:3]]
    for k, atoms in enumerate(copies):
        atoms.info["temperature"] = 100 * k
        atoms.arrays["charge"] = np.arange(4.0) + k
        atoms.arrays["dipoles"] = np.full((4, 3), float(k))
        atoms.info["hopeless"] = np.nan
    copies[1].info["temperature"] = np.inf
    with pytest.warns(UserWarning) as said:
        dataset = explore_dataset(copies, basis=BASIS)
    texts = [str(warning.message) for warning in said]
    assert any(text.startswith("temperature: 1 of 3 values are missing or not finite; such points") for text in texts)
    assert any(text.startswith("hopeless: 3 of 3 values are missing or not finite; it is left out") for text in texts)
    assert len(texts) == 2 and all(text in dataset["meta"]["description"] for text in texts)
    np.testing.assert_equal(values(dataset, "temperature"), [0, np.nan, 200])
    np.testing.assert_equal(values(dataset, "charge"), np.concatenate([np.arange(4.0) + k for k in range(3)]))
    np.testing.assert_allclose(values(dataset, "dipoles"), np.repeat(np.arange(3) * np.sqrt(3), 4))
    assert "hopeless" not in dataset["properties"] and "energy" not in dataset["properties"]


def test_many_atoms_are_thinned_aloud(structures):
    with pytest.warns(UserWarning, match=r"5 of 12 structures are shown, at equal steps, for at most 20 atoms"):
        dataset = explore_dataset(structures, basis=BASIS, max_atoms=20)
    assert values(dataset, "number").tolist() == [0, 3, 6, 8, 11] and "5 of 12" in dataset["meta"]["description"]
    with pytest.raises(ValueError, match=r"structures\[0\] has 4 atoms, more than max_atoms=3"):
        explore_dataset(structures, basis=BASIS, max_atoms=3)


def test_one_structure_is_a_map_of_one_point(structures):
    assert values(explore_dataset(structures[:1], basis=BASIS), "map 1").tolist() == [0]


def test_refusals(structures, model):
    with pytest.raises(ValueError, match="model and basis exclude each other"):
        explore_dataset(structures, model=model, basis=BASIS)
    with pytest.raises(TypeError, match="model must be a LinearACE or an EmbeddedACE or None; got 'm"):
        explore_dataset(structures, model="m.ace")
    with pytest.raises(ValueError, match="basis must hold invariants"):
        explore_dataset(structures, basis=ACEBasis(["Cu", "Ag"], order=2, totaldegree=4, L=1))
    with pytest.raises(ValueError, match=r"structures\[1\].*Ag"):
        explore_dataset(structures[:2], basis=ACEBasis(["Cu"], order=1))
    with pytest.raises(ValueError, match="no labels found with prefix 'dft'"):
        explore_dataset(structures, basis=BASIS, prefix="dft")


def test_without_chemiscope(structures, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "chemiscope", None)
    monkeypatch.chdir(tmp_path)
    ase.io.write("data.extxyz", structures)
    assert main(["explore", "data.extxyz", "-o", "map.html"]) == 2
    assert 'pip install "acepure[explore]"' in capsys.readouterr().err
    assert main(["explore", "data.extxyz", "-o", "map.png"]) == 2
    assert "must end in .html" in capsys.readouterr().err


@pytest.fixture(scope="module")
def page(structures, model, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "map.html"
    marked = [atoms.copy() for atoms in structures]
    for k, (atoms, old) in enumerate(zip(marked, structures)):
        atoms.calc = old.calc
        atoms.info["</script><b>"] = k if k else np.nan
    with pytest.warns(UserWarning, match="1 of 12 values are missing"):
        model.explore(marked, path, title="<silver> & copper")
    return path


def test_page_holds_the_data_and_names_no_address_to_load(page):
    text = page.read_text(encoding="utf-8")
    packed = re.search(r'atob\("([A-Za-z0-9+/=]+)"\)', text)[1]
    dataset = json.loads(gzip.decompress(base64.b64decode(packed)))
    assert dataset["properties"]["</script><b>"]["values"][:2] == [None, 1.0]
    assert "connect-src data: blob:" in text and "chemiscope developers" in text
    assert "<title>&lt;silver&gt; &amp; copper</title>" in text
    assert not re.search(r"<(script|link|img|iframe)[^>]*(src|href)=", text[: text.index("<script>")])


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_page_in_a_browser_without_network(page, tmp_path):
    expressions = [
        "document.getElementById('said').textContent",
        "document.title",
        "document.body.scrollWidth <= innerWidth && document.body.scrollHeight <= innerHeight",
    ]
    atoms = (
        "[...document.querySelectorAll('*')].map(e => e.shadowRoot?.querySelector('#atom-btn')).find(e => e).click()"
    )
    expressions += [atoms, "new Promise(done => setTimeout(done, 1000))", "visualizer.saveSettings().map.x.property"]
    opened = open_page(page, tmp_path, "document.body?.dataset.state === 'shown'", expressions)
    assert opened.results == ["", "<silver> & copper", True, None, None, "atom map 1"]
    assert opened.errors == []
    assert [url for url in opened.requests if not url.startswith(("data:", "blob:"))] == [page.resolve().as_uri()]
    pixels = opened.pixels()
    left, right = pixels[:, : pixels.shape[1] * 3 // 5], pixels[:, pixels.shape[1] * 3 // 5 :]
    inferno = (left[..., 0] > 200) & (left[..., 1] > 80) & (left[..., 2] < 80)  # of the bar beside the map
    copper = (abs(right - [200, 128, 51]) < 60).all(axis=-1)  # atoms of the first structure
    assert inferno.sum() > 500 and copper.sum() > 500
