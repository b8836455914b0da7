"""Files for LAMMPS ML-PACE: they are the model, and what is not is never left behind."""

import dataclasses

import numpy as np
import pytest
from ase import Atoms
from cases.linear import RADIAL, two_species
from cases.yace import (
    E0S,
    KINDS,
    POLYNOMIALS,
    SPECIES,
    crystal,
    embedded_model,
    energies_term_by_term,
    load,
    model_of,
)

from acepure import ACEBasis, IdealGas, LinearACE
from acepure.functions import (
    LinearTransform,
    PolynomialRadialBasis,
    PowerTransform,
    RadialBasis,
    SmoothEnvelope,
)
from acepure.interfaces.yace import YaceReport, read_yace, write_yace, yace_writer
from acepure.interfaces.yace.yace_text import yace_text
from acepure.models.embedding import FinnisSinclair, SmoothRoot
from acepure.models.repulsion import ZBLCore


def largest_difference(potential, model, atoms):
    """Of energies, forces and virial, relative to the largest of each or 1."""
    ours, theirs = potential.evaluate(atoms), model.evaluate(atoms)
    free = [model.E0s[s] for s in atoms.symbols]
    pairs = [(ours.energies - free, theirs.energies - free), (ours.forces, theirs.forces), (ours.virial, theirs.virial)]
    return max(abs(a - b).max() / max(abs(b).max(), 1.0) for a, b in pairs)


# --- the file is the model --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("species", SPECIES.values(), ids=SPECIES)
@pytest.mark.parametrize("kind", KINDS)
def test_energies_forces_and_virial(tmp_path, kind, species):
    """On a structure that the writer has not seen; what is left is the error of tables with nodes 0.001 Å apart."""
    model, path = model_of(kind, species), tmp_path / "model.yace"
    report = model.export_yace(path)
    atoms = crystal(species, seed=20)
    assert abs(model.evaluate(atoms).forces).max() > 0.1
    assert report.difference.largest < 1e-6
    assert largest_difference(read_yace(path), model, atoms) < 1e-6


@pytest.mark.parametrize("kind", ["canonical", "shifted", "density"])
def test_the_format_term_by_term(tmp_path, kind):
    """Against sums written out with SciPy's harmonics and no tables; the nodes are close, so as not to count."""
    species, path = SPECIES["two"], tmp_path / "model.yace"
    model = model_of(kind, species)
    model.export_yace(path, step=2e-4, tolerance=1e-9)
    atoms = crystal(species, seed=21)[:3]
    expected = energies_term_by_term(path, atoms)
    np.testing.assert_allclose(model.evaluate(atoms).energies, expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(read_yace(path).evaluate(atoms).energies, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("kind", ["canonical", "shifted"])
@pytest.mark.parametrize("embedding", [FinnisSinclair(), FinnisSinclair(3, 0.3)], ids=repr)
def test_several_densities(tmp_path, embedding, kind):
    """Of a Finnis-Sinclair potential, against the model and the format term by term."""
    species, path = SPECIES["two"], tmp_path / "model.yace"
    model = embedded_model(species, embedding, kind)
    report = model.export_yace(path, step=2e-4, tolerance=1e-7)
    assert report.difference.largest < 1e-7
    atoms = crystal(species, seed=24)
    assert abs(model.densities(atoms)[:, 1:]).max() > 1
    potential = read_yace(path)
    assert largest_difference(potential, model, atoms) < 1e-7
    expected = energies_term_by_term(path, atoms[:3])
    np.testing.assert_allclose(potential.evaluate(atoms[:3]).energies, expected, rtol=0, atol=1e-10)
    parameters = load(path)["embeddings"][1]["FS_parameters"]
    assert parameters == [1.0, 1.0] + [1.0, embedding.m] * (embedding.n_densities - 1)
    assert (potential.evaluate(Atoms("CuZr", [(0, 0, 0), (0, 0, 9)])).energies == [E0S[s] for s in ("Cu", "Zr")]).all()


def test_other_embeddings_have_no_file(tmp_path):
    with pytest.raises(ValueError, match="know the embedding FinnisSinclair alone; the potential has SmoothRoot"):
        embedded_model(["Cu"], SmoothRoot()).export_yace(tmp_path / "model.yace")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", RADIAL)
def test_radial_functions(tmp_path, name):
    """Any transform, envelope, polynomials, cutoffs per pair, and functions of a user's own."""
    basis = ACEBasis(["Cu", "Zr"], radial=RADIAL[name], order=2, totaldegree=3)
    coefficients = np.random.default_rng(3).normal(size=(2, len(basis)))
    write_yace(tmp_path / "model.yace", basis, coefficients, E0S)
    model = LinearACE(basis, coefficients, E0S)
    assert largest_difference(read_yace(tmp_path / "model.yace"), model, two_species()) < 1e-6


@pytest.mark.parametrize("kind", ["self-interacting", "gas"])
@pytest.mark.parametrize("radial", POLYNOMIALS.values(), ids=POLYNOMIALS)
def test_polynomials_without_tables_are_exact(tmp_path, radial, kind):
    model = model_of(kind, ["Cu", "Zr"], radial=radial, rcut=None)
    report = model.export_yace(tmp_path / "model.yace", family="ACE.jl", tolerance=1e-10)
    difference = largest_difference(read_yace(tmp_path / "model.yace"), model, crystal(["Cu", "Zr"], seed=22))
    assert difference < 1e-11 and report.family == "ACE.jl"
    bonds = load(tmp_path / "model.yace")["bonds"]
    assert all(isinstance(bond[key], int) for bond in bonds.values() for key in ("p", "pl", "pr", "maxn"))


def test_polynomials_without_tables_are_for_polynomials_alone(tmp_path):
    per_pair = PolynomialRadialBasis({("Cu", "Cu"): 4.0, ("Cu", "Zr"): 4.2, ("Zr", "Zr"): 4.2}, LinearTransform())
    wrong = [
        (None, "the transform is AgnesiTransform"),
        (PolynomialRadialBasis(4.0, PowerTransform(2.5)), "the transform is PowerTransform"),
        (PolynomialRadialBasis(4.0, LinearTransform(), SmoothEnvelope(2.5)), "the envelope is"),
        (RADIAL["user's functions"], "they are Gaussians"),
        (per_pair, "cutoffs depend on the pair"),
    ]
    for radial, message in wrong:
        basis = ACEBasis(["Cu", "Zr"], radial=radial, order=2, totaldegree=2)
        with pytest.raises(ValueError, match=message):
            write_yace(tmp_path / "model.yace", basis, np.ones((2, len(basis))), family="ACE.jl")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_isolated_atoms_have_exactly_their_energy(tmp_path, kind):
    model_of(kind, ["Cu", "Zr"]).export_yace(tmp_path / "model.yace")
    potential = read_yace(tmp_path / "model.yace")
    result = potential.evaluate(Atoms("CuZrCu", [(0, 0, 0), (0, 0, 9), (0, 9, 0)]))
    np.testing.assert_array_equal(result.energies, [E0S[s] for s in ("Cu", "Zr", "Cu")])
    assert not result.forces.any()


def test_a_species_without_functions(tmp_path):
    basis = ACEBasis(["Cu", "Zr"], rcut=4.2, order=2, totaldegree=2)
    coefficients = np.ones((2, len(basis)))
    coefficients[1] = 0.0
    write_yace(tmp_path / "model.yace", basis, coefficients, E0S)
    assert load(tmp_path / "model.yace")["functions"][1] == []
    model, atoms = LinearACE(basis, coefficients, E0S), crystal(["Cu", "Zr"], seed=23)
    assert largest_difference(read_yace(tmp_path / "model.yace"), model, atoms) < 1e-6
    write_yace(tmp_path / "nothing.yace", basis, 0 * coefficients, E0S)
    assert not read_yace(tmp_path / "nothing.yace").evaluate(atoms).forces.any()


def test_pair_potentials(tmp_path):
    """Nothing but functions of rank 1."""
    basis = ACEBasis(["Cu"], rcut=4.2, order=1, totaldegree=4)
    report = write_yace(tmp_path / "model.yace", basis, np.arange(1.0, 6.0))
    model, atoms = LinearACE(basis, np.arange(1.0, 6.0)), crystal(["Cu"], seed=24)
    assert largest_difference(read_yace(tmp_path / "model.yace"), model, atoms) < 1e-6
    assert report.n_terms == report.n_base


# --- what LAMMPS asks for ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["ChebPow", "ACE.jl"])
def test_structure_of_the_file(tmp_path, family):
    radial = POLYNOMIALS["linear"]
    model_of("gas", ["Cu", "Zr"], radial=radial, rcut=None).export_yace(tmp_path / "model.yace", family=family)
    tree = load(tmp_path / "model.yace")
    assert tree["elements"] == ["Cu", "Zr"] and tree["E0"] == [E0S["Cu"], E0S["Zr"]]
    assert set(tree["bonds"]) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert set(tree["functions"]) == set(tree["embeddings"]) == {0, 1}
    assert ("lmax" in tree) == (family == "ACE.jl")
    for z, functions in tree["functions"].items():
        names = []
        for f in functions:
            ms = np.reshape(f["ms_combs"], (f["num_ms_combs"], f["rank"]))
            assert not ms.sum(axis=1).any() and (abs(ms) <= f["ls"]).all()
            assert f["mu0"] == z and len(f["ctildes"]) == f["num_ms_combs"] and min(f["ns"]) >= 1
            assert all(isinstance(c, float) for c in f["ctildes"])
            names += [tuple(sorted(zip(f["mus"], f["ns"], f["ls"], m))) for m in ms.tolist()]
        assert len(names) == len(set(names)), "a term is there twice"
        mirrored = [tuple(sorted((mu, n, l, -m) for mu, n, l, m in name)) for name in names]
        assert not {a for a, b in zip(mirrored, names) if a != b} & set(names), "m and −m are both there"


def test_numbers_are_read_back_to_the_bit(tmp_path):
    for family in ("ChebPow", "ACE.jl"):
        model = model_of("gas", ["Cu", "Zr"], radial=POLYNOMIALS["linear"], rcut=None)
        model.export_yace(tmp_path / "model.yace", family=family)
        text = (tmp_path / "model.yace").read_text(encoding="utf-8")
        comments = [line[2:] for line in text.splitlines()[1:-1] if line.startswith("# ")]
        assert yace_text(read_yace(tmp_path / "model.yace").content, comments) == text


def test_report(tmp_path):
    report = model_of("canonical", ["Cu", "Zr"]).export_yace(tmp_path / "model.yace")
    assert isinstance(report, YaceReport) and report.size == (tmp_path / "model.yace").stat().st_size
    functions = [f for center in load(tmp_path / "model.yace")["functions"].values() for f in center]
    assert report.n_functions == len(functions)
    assert report.n_terms == sum(f["num_ms_combs"] for f in functions)
    assert report.lmax == max(max(f["ls"]) for f in functions)
    assert report.lammps.splitlines()[1:] == ["pair_style pace product", "pair_coeff * * model.yace Cu Zr"]
    assert f"{report.difference.force:.1e}" in str(report) and report.lammps in str(report)


def test_more_accuracy_takes_more_terms(tmp_path):
    model = model_of("canonical", ["Cu"], totaldegree=5)
    sizes = [model.export_yace(tmp_path / "model.yace", tolerance=10.0**-k).n_base for k in (2, 4, 6)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]


def test_any_name(tmp_path):
    for name in ("plain", "two words.yace", "two\nlines.yace", "Кремний.yace", "- [x]: {y.yace"):
        write_yace(tmp_path / name, ACEBasis(["Cu"], order=1, totaldegree=1), [1.0, 1.0])
        assert read_yace(tmp_path / name).basis.species == ("Cu",)


# --- what differs is not released -------------------------------------------------------------------------------------


def damaged(text):
    """One coefficient changed by a thousandth."""

    def change(potential, comments):
        terms = potential.terms[0][-1]
        values = terms.ctildes.copy()
        values[0] *= 1.001
        last = dataclasses.replace(terms, ctildes=values)
        return text(dataclasses.replace(potential, terms=((*potential.terms[0][:-1], last),)), comments)

    return change


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("reason", ["tolerance", "wrong coefficient"])
def test_no_file_that_differs(tmp_path, monkeypatch, reason, existing):
    model, path, before = model_of("canonical", ["Cu"]), tmp_path / "model.yace", {}
    if existing:
        path.write_text("old")
        before = {"model.yace": "old"}
    if reason == "wrong coefficient":
        monkeypatch.setattr(yace_writer, "yace_text", damaged(yace_text))
    with pytest.raises(ValueError, match="no file was written: read back, its energies differ by"):
        model.export_yace(path, tolerance=1e-15 if reason == "tolerance" else 1e-6)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == before


def test_functions_that_no_series_can_hold(tmp_path):
    class Kinked(RadialBasis):
        def cutoff(self, center, neighbor):
            return 4.0

        def evaluate(self, r, center, neighbor, n_radial):
            return self.evaluate_with_gradients(r, center, neighbor, n_radial)[0]

        def evaluate_with_gradients(self, r, center, neighbor, n_radial):
            u = np.maximum(2.5 - np.asarray(r, dtype=float), 0.0)[:, None] ** np.arange(2, 2 + n_radial)
            return u, -np.arange(2, 2 + n_radial) * np.maximum(2.5 - np.asarray(r), 0.0)[:, None] ** np.arange(
                1, 1 + n_radial
            )

    basis = ACEBasis(["Cu"], radial=Kinked(), order=2, totaldegree=2)
    with pytest.raises(ValueError, match=r"pair Cu-Cu need .* Chebyshev terms for a relative accuracy"):
        write_yace(tmp_path / "model.yace", basis, np.ones(len(basis)))
    assert not list(tmp_path.iterdir())


def test_structures_of_the_user_count(tmp_path):
    """A structure that cannot be evaluated, for one."""
    near = Atoms("Cu2", [(0, 0, 0), (0, 0, 5e-4)])
    with pytest.raises(ValueError, match=r"atoms are 0.0005 Å apart; the tables of the file begin at 0.001 Å"):
        model_of("canonical", ["Cu"]).export_yace(tmp_path / "model.yace", structures=[near])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"tolerance": 0.0}, ValueError, "tolerance must be a finite number > 0"),
        ({"tolerance": "tight"}, TypeError, "tolerance must be"),
        ({"step": -1.0}, ValueError, "step must be a finite number > 0"),
        ({"step": 1.0}, ValueError, "step must be at most a tenth of the shortest cutoff"),
        ({"family": "SBessel"}, ValueError, "family must be one of ChebPow, ACE.jl; got 'SBessel'"),
        ({"E0s": {"Zr": 0.0}}, ValueError, "E0s lacks Cu"),
        ({"core": "ZBL"}, TypeError, "core must be a PairCore"),
        ({"core_table": "a.table"}, ValueError, "core_table='a.table' was given, but the potential has no core"),
        ({"coefficients": [1.0]}, ValueError, "coefficients must have shape"),
        ({"basis": "Cu"}, TypeError, "basis must be an ACEBasis"),
    ],
)
def test_wrong_arguments(tmp_path, change, error, message):
    basis = ACEBasis(["Cu"], order=2, totaldegree=2)
    arguments = {"basis": basis, "coefficients": np.ones(len(basis)), **change}
    with pytest.raises(error, match=message):
        write_yace(tmp_path / "model.yace", **arguments)
    assert not list(tmp_path.iterdir())


def test_nothing_given_is_changed(tmp_path):
    model, atoms = model_of("gas", ["Cu"]), crystal(["Cu"])
    before, copy = model.coefficients.copy(), atoms.copy()
    model.export_yace(tmp_path / "model.yace", structures=[atoms])
    np.testing.assert_array_equal(model.coefficients, before)
    assert atoms == copy and IdealGas(0.03) == IdealGas(0.03)


# --- cores ------------------------------------------------------------------------------------------------------------


def test_cores_go_to_a_table(tmp_path):
    """The .yace file is the potential without the core; the report names the commands that add it."""
    core = ZBLCore(0.8, 1.9)
    model = model_of("canonical", ["Cu", "Zr"], core=core)
    path, table = tmp_path / "model.yace", tmp_path / "core.table"
    with pytest.raises(ValueError, match="path and core_table must be two files"):
        model.export_yace(path, core_table=tmp_path / ".." / tmp_path.name / "model.yace")
    assert not list(tmp_path.iterdir())
    beside = model.export_yace(path)
    assert beside.table == str(tmp_path / "model.core.table") and f"core is in {beside.table}" in str(beside)
    report = model.export_yace(path, core_table=table)
    assert (tmp_path / "model.core.table").read_bytes() == table.read_bytes()
    bare, atoms = model_of("canonical", ["Cu", "Zr"]), crystal(["Cu", "Zr"], seed=25)
    assert largest_difference(read_yace(path), bare, atoms) < 1e-6
    assert report.lammps.splitlines() == [
        "units metal",
        "pair_style hybrid/overlay pace product table spline 10000",
        "pair_coeff * * pace model.yace Cu Zr",
        "pair_coeff 1 1 table core.table Cu-Cu",
        "pair_coeff 1 2 table core.table Cu-Zr",
        "pair_coeff 2 2 table core.table Zr-Zr",
    ]
    assert report.table == str(table) and table.read_text().startswith("# Repulsive core")
    with pytest.raises(ValueError, match="no file was written"):
        model.export_yace(tmp_path / "other.yace", core_table=tmp_path / "other.table", tolerance=1e-15)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["core.table", "model.core.table", "model.yace"]
