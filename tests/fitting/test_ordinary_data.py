"""Data that users have: pairs, species and labels that are missing, weights beyond reason."""

import re

import numpy as np
import pytest
from ase import Atoms
from cases.regression import known_model, labeled_by, strained_crystals
from scipy.integrate import quad

from acepure import ACEBasis, LinearACE, RadialDensity
from acepure.errors import CoverageWarning
from acepure.fitting import LabelWarning, resolve_keys, resolve_weights

UNMET = pytest.mark.filterwarnings("ignore::acepure.errors.CoverageWarning")
QUIET = {"verbose": False, "progress": False, "check": False}


def crystals(species=("Cu",), n=10, labels=("energy", "forces", "virial")):
    """Structures with labels of a known model, of these kinds."""
    structures = strained_crystals(list(species), n)[len(species) :]  # without isolated atoms
    labeled_by(known_model(ACEBasis(list(species), totaldegree=(3, 2))), structures)
    for atoms in structures:
        atoms.arrays.pop("REF_forces") if "forces" not in labels else None
        for kind in {"energy", "virial"} - set(labels):
            del atoms.info[f"REF_{kind}"]
    return structures


def dilute():
    """Cu with one Zr each, too far from its images: no pair Zr-Zr within the cutoff."""
    structures = strained_crystals(["Cu"], 8)[1:]
    structures = [atoms * (1, 2, 2) for atoms in structures]  # 4 Å would see images
    for seed, atoms in enumerate(structures):
        atoms.rattle(0.1, seed=seed)
        atoms.symbols[:1] = "Zr" if seed else "Cu"  # the first is pure
    labeled_by(known_model(ACEBasis(["Cu", "Zr"], 4.0, totaldegree=(3, 2))), structures)
    return structures


@pytest.mark.parametrize("canonical", [True, False])
def test_a_pair_that_is_missing(canonical):
    structures, basis = dilute(), ACEBasis(["Cu", "Zr"], 4.0, totaldegree=(3, 2), canonical=canonical)
    density = RadialDensity.from_structures(structures, 4.0, background=0.1)
    assert ("Zr", "Zr") not in density.measures
    with pytest.warns(CoverageWarning, match="rest on the prior alone: no structure holds Zr-Zr"):
        model = LinearACE.fit(structures, basis, **QUIET)
    forces = model.errors(structures).all("forces")
    assert forces.rmse < 0.05 * forces.true.std()
    found = model.evaluate(Atoms("Zr2", [[0, 0, 0], [2.5, 0, 0]]))
    assert np.isfinite(found.forces).all()


def test_functions_of_a_missing_pair_are_orthonormal_for_an_ideal_gas():
    """With as many neighbors as the others have on average: ∫ R_n R_m ρ r² dr = δ_nm, by adaptive quadrature."""
    density = RadialDensity.from_structures(dilute(), 4.0, background=0.1)
    radial = density.radial(ACEBasis(["Cu", "Zr"], 4.0).radial, ["Cu", "Zr"])
    rho = np.mean([measure.weights.sum() for measure in density.measures.values()]) / (4.0**3 / 3)

    def product(n, m):
        def integrand(r):
            values = radial.evaluate([r], "Zr", "Zr", 3)[0]
            return values[n] * values[m] * rho * r**2

        return quad(integrand, 0, 4.0, epsabs=1e-11, limit=200)[0]

    gram = [[product(n, m) for m in range(3)] for n in range(3)]
    np.testing.assert_allclose(gram, np.eye(3), atol=1e-8)
    assert not density.means(radial, "Zr", "Zr", [(1, 0), (1, 1)]).any()
    assert density.means(radial, "Cu", "Zr", [(1, 0)]).all()
    with pytest.raises(ValueError, match="no neighbor Zr of Zr within 4 Å; use structures that do, or background > 0"):
        RadialDensity.from_structures(dilute(), 4.0).radial(ACEBasis(["Cu", "Zr"], 4.0).radial, ["Cu", "Zr"])


@UNMET
def test_a_pair_that_is_seen_beyond_its_cutoff_alone():
    cutoffs = {("Cu", "Cu"): 4.0, ("Cu", "Zr"): 4.0, ("Zr", "Zr"): 2.0}
    structures = [Atoms("Zr2Cu", [[0, 0, 0], [x, 0, 0], [0, 2.2 + x / 9, 0]]) for x in np.linspace(3, 3.9, 12)]
    structures += [Atoms("Cu2", [[0, 0, 0], [x, 0, 0]]) for x in np.linspace(2, 3.9, 12)]
    for atoms in structures:
        atoms.info["energy"] = float(atoms.get_all_distances().sum())
    basis = ACEBasis(["Cu", "Zr"], cutoffs, totaldegree=(2, 2))
    model = LinearACE.fit(structures, basis, **QUIET)
    assert np.isfinite(model.coefficients).all()


@UNMET
def test_a_species_that_is_missing():
    structures = crystals()
    with pytest.warns(LabelWarning, match="1 of 2 reference energies"):
        model = LinearACE.fit(structures, ACEBasis(["Cu", "Zr"], totaldegree=(3, 2)), **QUIET)
    plain = LinearACE.fit(structures, ACEBasis(["Cu"], totaldegree=(3, 2)), **QUIET)
    for atoms in structures:
        np.testing.assert_allclose(model.evaluate(atoms).forces, plain.evaluate(atoms).forces, atol=0.01)
    assert np.isfinite(model.evaluate(Atoms("CuZr", [[0, 0, 0], [2.5, 0, 0]])).energy)


def test_an_isolated_atom_without_energy():
    structures = [Atoms("Cu"), *crystals()]
    model = LinearACE.fit(structures, ACEBasis(["Cu"], totaldegree=(3, 2)), **QUIET)
    plain = LinearACE.fit(structures[1:], ACEBasis(["Cu"], totaldegree=(3, 2)), **QUIET)
    assert model.E0s == plain.E0s and model.E0s["Cu"] != 0


@pytest.mark.parametrize("labels", [("forces",), ("virial",), ("forces", "virial")])
def test_no_energies(labels):
    structures = crystals(labels=labels)
    model = LinearACE.fit(structures, ACEBasis(["Cu"], totaldegree=(3, 2)), solver="qr", **QUIET)
    errors = model.errors(structures)
    assert all(errors.all(kind).rmse < 1e-8 for kind in {"forces": "forces", "virial": "virial"} if kind in labels)
    assert model.E0s == {"Cu": 0.0}


def test_free_energies():
    structures = crystals()
    expected = LinearACE.fit(structures, ACEBasis(["Cu"], totaldegree=(3, 2)), **QUIET)
    for atoms in structures:
        atoms.info["REF_free_energy"] = atoms.info.pop("REF_energy")
    keys = resolve_keys(structures)
    assert (keys.energy, keys.forces, keys.virial) == ("REF_free_energy", "REF_forces", "REF_virial")
    assert "energy (eV): REF_free_energy (a free energy" in str(keys)
    model = LinearACE.fit(structures, ACEBasis(["Cu"], totaldegree=(3, 2)), **QUIET)
    np.testing.assert_array_equal(model.coefficients, expected.coefficients)
    for atoms in structures:
        atoms.info["REF_energy"] = atoms.info["REF_free_energy"]
    assert resolve_keys(structures).energy == resolve_keys(structures, prefix="REF").energy == "REF_energy"
    assert "a free energy" not in str(resolve_keys(structures))


@pytest.mark.parametrize("weight", [1e-9, 1e9, 1e300, 5e-324])
def test_extreme_weights(weight):
    named = f'weight of forces of config_type "liquid" must be 0 or from 1e-06 to 1e+06; got {weight:g}'
    with pytest.raises(ValueError, match=re.escape(named)):
        resolve_weights({"liquid": {"F": weight}}, ["bulk", "liquid"])
    with pytest.raises(ValueError, match=r'weight of energy of config_type "default" must be 0 or from'):
        LinearACE.fit(crystals(n=2), ACEBasis(["Cu"], totaldegree=2), weights={"E": weight}, **QUIET)
    assert resolve_weights({"E": 1e-6, "F": 0, "V": 1e6}).default == (1e-6, 0, 1e6)


def test_labels_are_read_once(monkeypatch):
    from acepure.fitting import label_structures, labeled

    read, seen = labeled.read_quietly, []
    monkeypatch.setattr(labeled, "read_quietly", lambda atoms, *rest: seen.append(id(atoms)) or read(atoms, *rest))
    structures = crystals(n=4)
    seen.clear()
    data = label_structures(structures)
    assert len(data) == 4 and data.species == ("Cu",)
    assert seen == [id(atoms) for atoms in structures]
