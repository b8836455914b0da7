"""Reading .yace files: a file by hand, files of others, and files that are damaged or hostile."""

import math
import time

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from cases.yace import crystal, embedded_model, energies_term_by_term, finnis_sinclair, model_of
from oracles.structures import position_differences, strain_differences

from acepure.errors import SpeciesError
from acepure.interfaces.yace import YaceError, YacePotential, evaluator, read_yace, yace_reader
from acepure.interfaces.yace.embeddings import FileEmbedding
from acepure.models.embedding import FinnisSinclair

# A comment, keys in another order, block style, numbers as others write them, two densities, terms m and −m.
BY_HAND = """
# by hand
functions:
  0:
    - {rank: 1, mu0: 0, ndensity: 2, num_ms_combs: 1, mus: [0], ns: [2], ls: [0], ms_combs: [0], ctildes: [0.5, 9]}
    - mu0: 0
      rank: 2
      ndensity: 2
      num_ms_combs: 3
      mus: [0, 1]
      ns: [1, 2]
      ls: [1, 1]
      ms_combs: [-1, 1, 0, 0, 1, -1]
      ctildes: [-1e-1, 0., 0.1, 0, -.1, 0]
  1: []
deltaSplineBins: 0.0001
E0: [-1, 2.5e+0]
elements: [Cu, O]
metadata: {started: 2024-01-01, by: nobody}
embeddings:
  0: {ndensity: 2, FS_parameters: [2.0, 1, 0, 1], npoti: FinnisSinclair, rho_core_cutoff: 1, drho_core_cutoff: 1}
  1: {ndensity: 1, FS_parameters: [1.0, 1.0], npoti: FinnisSinclairShiftedScaled}
bonds:
"""
BOND = """  [{i}, {j}]: {{nradmax: 2, lmax: 1, nradbasemax: 2, radbasename: ChebPow, radparameters: [2.0], rcut: 4.0,
    radcoefficients: [[[0, 0], [1, 0.5]], [[0, 0], [0.25, -1]]], prehc: 0, lambdahc: 1, dcut: 0.01}}
"""
BY_HAND += "".join(BOND.format(i=i, j=j) for i in range(2) for j in range(2))

POLYNOMIALS = """
elements: [Cu]
E0: [0.5]
lmax: 2
deltaSplineBins: 0.001
embeddings: {0: {ndensity: 1, FS_parameters: [1.0, 1.0], npoti: FinnisSinclairShiftedScaled}}
bonds:
  [0, 0]: {radbasename: ACE.jl.base, rcut: 4.0, r0: 1.0, p: 2, xl: 0.16, xr: 0.64, pl: 2, pr: 0, maxn: 2,
    recursion_coefficients: {A: [2.0, 1.0], B: [0.0, 0.5], C: [0, 0]}}
functions:
  0: [{mu0: 0, rank: 1, ndensity: 1, num_ms_combs: 1, mus: [0], ns: [2], ls: [0], ms_combs: [0], ctildes: [3.0]}]
"""


@pytest.fixture
def read(tmp_path):
    def from_text(text):
        path = tmp_path / "file.yace"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_yace(path)

    return from_text


def refused(read, text):
    """Whether reading it raises a YaceError that names the file; anything else passes through."""
    try:
        read(text)
    except YaceError as error:
        assert "file.yace' " in str(error)
        return True
    return False


# --- by hand ----------------------------------------------------------------------------------------------------------


def g(k, r):
    x = 1 - 2 * (1 - r / 4) ** 2
    return (1 - math.cos(k * math.acos(x))) / 2


def test_a_file_by_hand(read):
    """E = −1 + 2 (g_2(2) / 2 + 0.1 · Σ_m ...), with Σ_m (−1)^m A_{1m} A'_{1,−m} = 3 cos θ Σ RR'."""
    potential = read(BY_HAND)
    assert isinstance(potential, YacePotential) and potential.basis.species == ("Cu", "O")
    assert repr(potential) == "YacePotential(Cu, O; 4 terms)"
    angle = 1.1
    atoms = Atoms("CuCuO", [(0, 0, 0), (0, 0, 2.0), (0, 2.5 * math.sin(angle), 2.5 * math.cos(angle))])
    first = g(1, 2.0) + 0.5 * g(2, 2.0)
    second = 0.25 * g(1, 2.5) - g(2, 2.5)
    expected = -1 + 2 * (0.5 * g(2, 2.0) + 0.1 * first * second * 3 * math.cos(angle))
    result = potential.evaluate(atoms)
    assert result.energies[0] == pytest.approx(expected, abs=1e-10)
    assert result.energies[2] == 2.5 and result.forces.shape == (3, 3)


@pytest.mark.parametrize("kind, value", [("FinnisSinclair", "power"), ("FinnisSinclairShiftedScaled", "shifted")])
def test_densities_by_hand(read, kind, value):
    """ρ = g_2(2) (½, 9), F = 2 ρ_1 + 3 f(ρ_2; ½); no other functions."""
    text = BY_HAND.replace("[2.0, 1, 0, 1], npoti: FinnisSinclair,", f"[2.0, 1, 3, 0.5], npoti: {kind},")
    text = text.replace("ctildes: [-1e-1, 0., 0.1, 0, -.1, 0]", "ctildes: [0, 0, 0, 0, 0, 0]")
    rho = 9 * g(2, 2.0)
    f = {"power": math.sqrt(rho), "shifted": finnis_sinclair(rho, 0.5)}[value]
    energies = read(text).evaluate(Atoms("Cu2", [(0, 0, 0), (0, 0, 2.0)])).energies
    np.testing.assert_allclose(energies, -1 + 2 * 0.5 * g(2, 2.0) + 3 * f, rtol=0, atol=1e-10)


def test_embeddings_of_files():
    """Slopes against differences, through 0; the line of the plain kind near 0 and its power beyond."""
    far = np.array([-40.0, -3.0, -0.2, -1e-3, 1e-3, 0.5, 8.0])
    for kind, exponents in (("FinnisSinclair", [0.5, 2.0]), ("FinnisSinclairShiftedScaled", [0.3, 3.0])):
        F = FileEmbedding(kind, np.array([1.5, -2.0]), np.array(exponents))
        rho = np.stack([far, far[::-1]], axis=1)
        for p in (0, 1):
            step = 1e-5 * abs(rho) * np.eye(2)[p]
            rate = (F.evaluate(rho + step)[0] - F.evaluate(rho - step)[0]) / (2 * step[:, p])
            np.testing.assert_allclose(F.evaluate(rho)[1][:, p], rate, rtol=1e-6)
    near = FileEmbedding("FinnisSinclair", np.ones(1), np.array([0.5]))
    for a in (1e-12, 1e-9, 5e-7, 2e-6):
        value, slope = near.evaluate(np.array([[a], [-a]]))
        g = math.exp(-((1e6 * a) ** 3))
        assert value[0] == pytest.approx((1 - g) * math.sqrt(a) + 1e3 * g * a, rel=1e-9) == -value[1]
        step = 1e-4 * a
        both = near.evaluate(np.array([[a + step], [a - step]]))[0]
        assert slope[0, 0] == pytest.approx((both[0] - both[1]) / (2 * step), rel=1e-5)


def test_byte_order_marks_are_passed_over(read):
    atoms = Atoms("CuO", [(0, 0, 0), (0, 0, 2.0)])
    with_mark = read(b"\xef\xbb\xbf" + BY_HAND.encode()).evaluate(atoms)
    np.testing.assert_array_equal(with_mark.energies, read(BY_HAND).evaluate(atoms).energies)


def test_polynomials_by_hand(read):
    r, atoms = 2.2, Atoms("Cu2", [(0, 0, 0), (0, 2.2, 0)])
    x = (2 / (1 + r)) ** 2
    expected = 0.5 + 3.0 * (x + 0.5) * 2.0 * (x - 0.16) ** 2
    np.testing.assert_allclose(read(POLYNOMIALS).evaluate(atoms).energies, expected, rtol=1e-14)


@pytest.mark.parametrize("n_densities", [1, 2])
def test_forces_and_virial_are_derivatives(tmp_path, n_densities):
    species = ["Cu", "Zr"]
    model = model_of("canonical", species) if n_densities == 1 else embedded_model(species, FinnisSinclair(m=0.7))
    model.export_yace(tmp_path / "model.yace")
    potential, atoms = read_yace(tmp_path / "model.yace"), crystal(["Cu", "Zr"], seed=3)[[0, 1, 2, 3, 4, 7]]
    result = potential.evaluate(atoms)
    # The table's nodes are kinks of the third derivative, which limits differences of order eight.
    differences = position_differences(lambda a: potential.evaluate(a).energies, atoms, [0, 5], h=1e-3)
    np.testing.assert_allclose(result.forces[[0, 5]], -differences.sum(axis=-1), rtol=0, atol=1e-7)
    strain = strain_differences(lambda a: potential.evaluate(a).energies, atoms)
    np.testing.assert_allclose(result.virial, -strain.sum(axis=-1), rtol=0, atol=1e-5)


def test_any_number_of_centers_at_a_time(tmp_path, monkeypatch):
    model_of("canonical", ["Cu", "Zr"]).export_yace(tmp_path / "model.yace")
    content, atoms = read_yace(tmp_path / "model.yace").content, crystal(["Cu", "Zr"], seed=3)
    whole = evaluator.evaluate_content(content, atoms)
    monkeypatch.setattr(evaluator, "_BLOCK", 1)
    result = evaluator.evaluate_content(content, atoms)
    for name in ("energies", "forces", "virial"):
        np.testing.assert_allclose(getattr(result, name), getattr(whole, name), rtol=0, atol=1e-12)


def test_two_species_by_hand_term_by_term(tmp_path):
    path = tmp_path / "file.yace"
    path.write_text(
        BY_HAND.replace("ndensity: 2", "ndensity: 1")
        .replace("[0.5, 9]", "[0.5]")
        .replace("[-1e-1, 0., 0.1, 0, -.1, 0]", "[-0.1, 0.1, -0.1]")
        .replace("[2.0, 1, 0, 1]", "[1.0, 1.0]")
    )
    atoms = crystal(["Cu", "O"], seed=4)
    np.testing.assert_allclose(read_yace(path).evaluate(atoms).energies, energies_term_by_term(path, atoms), atol=1e-10)


def test_calculator(tmp_path):
    """Forces and stress of ASE against differences of its energies; no stress of what is not periodic."""
    embedded_model(["Cu", "Zr"], FinnisSinclair()).export_yace(tmp_path / "model.yace", step=2e-4)
    calculator, atoms = read_yace(tmp_path / "model.yace").calculator(), crystal(["Cu", "Zr"], seed=3, n=1)
    atoms.calc, h = calculator, 1e-4
    with pytest.raises(PropertyNotImplementedError, match="three periodic axes"):
        atoms.get_stress()
    atoms.pbc = True
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.calc = calculator
        moved.positions[1, 2] += sign * h
        energies.append(moved.get_potential_energy())
    assert atoms.get_forces()[1, 2] == pytest.approx((energies[1] - energies[0]) / (2 * h), rel=1e-5, abs=1e-5)
    virial = calculator.potential.evaluate(atoms).virial
    np.testing.assert_allclose(atoms.get_stress(voigt=False), -(virial + virial.T) / 2 / atoms.get_volume(), atol=1e-12)


def test_structures_that_cannot_be_evaluated(read):
    potential = read(BY_HAND)
    with pytest.raises(SpeciesError, match="atoms holds Zr, but the potential is for Cu, O"):
        potential.evaluate(Atoms("CuZr", [(0, 0, 0), (0, 0, 3)]))
    with pytest.raises(TypeError, match=r"ase\.Atoms"):
        potential.evaluate("Cu")
    with pytest.raises(ValueError, match="the tables of the radial functions begin at"):
        potential.evaluate(Atoms("Cu2", [(0, 0, 0), (0, 0, 5e-5)]))
    with pytest.raises(ValueError, match="atoms holds no atoms"):
        potential.evaluate(Atoms())


# --- what is not supported --------------------------------------------------------------------------------------------

UNSUPPORTED = {
    "exponent": ("[2.0, 1, 0, 1]", "[2.0, 1, 1, -0.5]", "is not supported: embedding 0"),
    "large exponent": ("[2.0, 1, 0, 1]", "[2.0, 1, 1, 11]", "with exponents from 0 to 10"),
    "embedding": ("npoti: FinnisSinclair,", "npoti: Tersoff,", "is not supported: embedding 0 is 'Tersoff'"),
    "family": ("ChebPow", "Gaussian", "has radial functions 'Gaussian' in bond"),
    "core": ("lambdahc: 1", "inner_cutoff_type: soft", "has inner_cutoff_type 'soft'"),
    "zbl": ("lambdahc: 1", "inner_cutoff_type: zbl", "dcut_in of bond .* must be >= 0, and > 0 with dcut"),
    "unknown key": ("metadata:", "polypairpot:", "holds polypairpot, of which acepure does not know"),
}
DAMAGED = {
    "element": ("[Cu, O]", "[Cu, Q]", "elements must be chemical symbols"),
    "dummy element": ("[Cu, O]", "[Cu, X]", "elements must be chemical symbols"),
    "element twice": ("[Cu, O]", "[Cu, Cu]", "holds an element twice"),
    "E0": ("E0: [-1, 2.5e+0]", "E0: [-1]", r"E0 must have shape \(2,\)"),
    "no number": ("E0: [-1,", "E0: [x,", "E0 must hold numbers"),
    "not finite": ("E0: [-1,", "E0: [.nan,", "E0 must hold numbers"),
    "infinite": ("E0: [-1,", "E0: [1e999,", "E0 holds numbers that are not finite"),
    "nested": ("E0: [-1,", "E0: [[1, 2],", "E0 must hold numbers"),
    "step": ("Bins: 0.0001", "Bins: 0", "deltaSplineBins must be > 0"),
    "fine step": ("Bins: 0.0001", "Bins: 1e-9", "has a table step of 1e-09"),
    "coarse step": ("Bins: 0.0001", "Bins: 3", "has a table step of 3"),
    "bond": ("[1, 0]:", "[1, 2]:", "bonds must have the keys"),
    "bond twice": ("[1, 0]:", "[1, 1]:", r"names the key \('1', '1'\) twice"),
    "cutoff": ("rcut: 4.0", "rcut: -4.0", "rcut of bond"),
    "width": ("lambdahc: 1", "dcut_in: -1", "dcut_in of bond .* must be >= 0"),
    "dcut": ("dcut: 0.01", "dcut: 5", "dcut of bond"),
    "core_end": ("rho_core_cutoff: 1,", "rho_core_cutoff: no,", "rho_core_cutoff of embedding 0 must hold numbers"),
    "core_width": ("drho_core_cutoff: 1}", "drho_core_cutoff: -1}", "drho_core_cutoff of embedding 0 must be >= 0"),
    "far cutoff": ("rcut: 4.0", "rcut: 1e5", "rcut of bond"),
    "table": ("[[0, 0], [1, 0.5]]", "[[0, 0], [1, 0.5, 2]]", "radcoefficients of bond"),
    "fewer rows": ("nradmax: 2", "nradmax: 3", "radcoefficients of bond"),
    "many rows": ("nradmax: 2", "nradmax: 99999999999", "nradmax must be from 1"),
    "l": ("lmax: 1", "lmax: 100000", "lmax must be from 0 to 60"),
    "lambda": ("radparameters: [2.0]", "radparameters: []", "radparameters"),
    "small lambda": ("radparameters: [2.0]", "radparameters: [0.5]", "ChebPow needs one from 1 to 100"),
    "embedding": ("  1: {ndensity: 1, FS", "  2: {ndensity: 1, FS", "embeddings must have the keys"),
    "functions": ("  1: []", "  2: []", "functions must have the keys"),
    "no list": ("  1: []", "  1: {}", "functions 1 must be a list"),
    "function": ("  1: []", "  1: [5]", "function 0 of center 1 lacks mu0"),
    "rank": ("rank: 2", "rank: 3", "must have shape"),
    "huge rank": ("rank: 2", "rank: 100000", "rank of function 1 of center 0 must be from 1 to 16"),
    "terms": ("num_ms_combs: 3", "num_ms_combs: 4", "must have shape"),
    "negative terms": ("num_ms_combs: 3", "num_ms_combs: -3", "num_ms_combs"),
    "center": ("mu0: 0\n", "mu0: 1\n", "function 1 of center 0 belongs to another species"),
    "densities": ("ndensity: 2\n", "ndensity: 1\n", "has another number of densities"),
    "neighbor": ("mus: [0, 1]", "mus: [0, 2]", "a species that does not exist"),
    "n = 0": ("ns: [1, 2]", "ns: [0, 2]", "cannot be"),
    "n": ("ns: [1, 2]", "ns: [1, 3]", "cannot be"),
    "fraction": ("ns: [1, 2]", "ns: [1, 1.5]", "must hold integers"),
    "n of rank 1": ("ns: [2]", "ns: [3]", "cannot be"),
    "l of rank 1": ("ls: [0]", "ls: [1]", "cannot be"),
    "l too large": ("ls: [1, 1]", "ls: [1, 2]", "cannot be"),
    "m too large": ("ms_combs: [-1, 1,", "ms_combs: [-2, 2,", "cannot be"),
    "sum of m": ("ms_combs: [-1, 1,", "ms_combs: [0, 1,", "cannot be"),
    "missing field": ("      ls: [1, 1]\n", "", "function 1 of center 0 lacks ls"),
    "missing part": ("E0:", "E1:", "lacks E0"),
    "alias": ("E0: [-1, 2.5e+0]", "E0: &a [*a]", "an anchor or a tag"),
    "alias alone": ("E0: [-1, 2.5e+0]", "E0: *a", "alias"),
    "tag": ("[-1, 2.5e+0]", "!!python/object/apply:os.system ['exit']", "an anchor or a tag line 17"),
    "two documents": ("# by hand", "---\na: 1\n---", "holds 2 YAML documents"),
    "syntax": ("E0: [", "E0: ]", "is no YAML"),
    "key": ("  1: []", "  {a: b}: []", "keys that are no words"),
}


@pytest.mark.parametrize("old, new, message", [*UNSUPPORTED.values(), *DAMAGED.values()], ids=[*UNSUPPORTED, *DAMAGED])
def test_clear_errors(read, old, new, message):
    assert old in BY_HAND
    with pytest.raises(YaceError, match=r"file\.yace' .*" + message):
        read(BY_HAND.replace(old, new))


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("p: 2", "p: 2.0", "p of bond .* must be an integer"),
        ("p: 2", "p: 500", "p of bond .* must be from -20 to 20"),
        ("maxn: 2", "maxn: 3", r"A of bond .* must have shape \(3,\)"),
        ("C: [0, 0]", "D: [0, 0]", "recursion_coefficients of bond .* lacks C"),
        ("r0: 1.0", "r0: -1.0", "r0 of bond .* must be > -1"),
        ("ns: [2]", "ns: [3]", "cannot be"),
    ],
)
def test_clear_errors_of_polynomials(read, old, new, message):
    assert old in POLYNOMIALS
    with pytest.raises(YaceError, match=message):
        read(POLYNOMIALS.replace(old, new))


def test_cores_are_not_mixed(read):
    start = BY_HAND.index("  [1, 1]:")
    with pytest.raises(YaceError, match="different inner_cutoff_type, of which LAMMPS takes the last"):
        read(BY_HAND[:start] + BY_HAND[start:].replace("lambdahc: 1", "inner_cutoff_type: distance"))


def test_sizes_of_bonds(read):
    """Functions may name what another bond has; sizes that are large together are refused."""
    start = BY_HAND.index("  [1, 1]:")
    larger = BY_HAND[start:].replace("nradbasemax: 2", "nradbasemax: 3").replace("[0, 0]", "[0, 0, 0]")
    larger = larger.replace("[1, 0.5]", "[1, 0.5, 0]").replace("[0.25, -1]", "[0.25, -1, 0]")
    text = BY_HAND[:start] + larger
    atoms = Atoms("Cu2", [(0, 0, 0), (0, 0, 2.0)])
    third = read(text.replace("ns: [2]", "ns: [3]")).evaluate(atoms).energies
    np.testing.assert_allclose(third, -1 + 2 * 0.5 * g(3, 2.0), rtol=0, atol=1e-10)
    large = "nradmax: 1, lmax: 0, nradbasemax: 30000, radcoefficients: [[[" + "0, " * 29999 + "0]]], "
    many = "nradmax: 3000, lmax: 0, nradbasemax: 1, radcoefficients: [" + "[[0]], " * 2999 + "[[0]]], "
    rest = "radbasename: ChebPow, radparameters: [2.0], rcut: 4.0"
    bonds = [f"  [{i}, {j}]: {{{large if i == j else many}{rest}}}" for i in range(2) for j in range(2)]
    with pytest.raises(YaceError, match="the largest sizes together"):
        read(BY_HAND[: BY_HAND.index("  [0, 0]:")] + "\n".join(bonds))


def test_families_are_not_mixed(read):
    other = POLYNOMIALS[POLYNOMIALS.index("{radbasename") : POLYNOMIALS.index("functions:")].strip()
    start = BY_HAND.index("  [1, 1]:")
    with pytest.raises(YaceError, match="mixes radial functions"):
        read(BY_HAND[:start] + f"  [1, 1]: {other}\n")


# --- hostile files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [b"", b"\x00", b"\xff\xfe\x00", b"PK\x03\x04", b"[" * 200_000, b"{" * 200_000, b"- " * 200_000, b"? " * 200_000,
     b"a", b"[]", b"{}", b"--- a\n--- b\n", b"a: 1\na: 2", b"\t", b"'",
     "\n".join(" " * i + "a:" for i in range(500)).encode(),
     b"[[1, 2], 3]: 4", b"{[{}]: 1}", b"? [a, b]\n: c", b"%YAML 9.9\n--- {}", b"<<: {a: 1}"],
)  # fmt: skip
def test_what_is_no_yace_file(read, text):
    start = time.process_time()
    assert refused(read, text)
    assert time.process_time() - start < 5


def test_files_that_are_cut_short(tmp_path, read):
    model_of("canonical", ["Cu"], order=2, totaldegree=2).export_yace(tmp_path / "whole.yace")
    whole = (tmp_path / "whole.yace").read_bytes()
    read(whole)
    for end in [*range(1, len(whole) - 1, 37), *(i for i in range(len(whole) - 1) if whole[i : i + 1] == b"\n")]:
        assert refused(read, whole[:end]), end


def test_changed_bytes(read):
    """Another number may be read, but nothing else than a YaceError is raised."""
    rng, text = np.random.default_rng(0), BY_HAND.encode()
    outcomes = set()
    for _ in range(400):
        changed = bytearray(text)
        for place in rng.integers(len(text), size=rng.integers(1, 4)):
            changed[place] = rng.integers(256) if rng.random() < 0.3 else rng.choice(list(b"[]{}:,-&*!?#'\"0.e\n "))
        outcomes.add(refused(read, bytes(changed)))
    assert outcomes == {True, False}


def test_files_that_memory_could_not_hold(read, monkeypatch):
    monkeypatch.setattr(yace_reader, "physical_memory", lambda: 1e4)
    with pytest.raises(YaceError, match=r"is too large: [0-9,]+ bytes"):
        read(BY_HAND)


def test_paths(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_yace(tmp_path / "nothing.yace")
    with pytest.raises(YaceError, match="is a folder or a device"):
        read_yace(tmp_path)
    with pytest.raises(TypeError):
        read_yace(None)
    (tmp_path / "file.yace").write_text(BY_HAND)
    assert read_yace(str(tmp_path / "file.yace")).basis.species == ("Cu", "O")
