"""Comparison of references: dense NumPy on bases made by hand, floors by least squares, what is said about them."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.neighborlist import neighbor_list as ase_pairs

from acepure import ACEBasis, IdealGas, MeanCovariance, RadialDensity
from acepure.diagnostics import CONTROL, ROWS, Comparison, ComparisonRow, Conditioning, compare_references
from acepure.diagnostics.floors import held_out_floors, lower_orders_off
from acepure.errors import BasisTooLargeError, CoincidentAtomsError, SpeciesError
from acepure.functions import AgnesiTransform, Legendre, LinearTransform, PolynomialEnvelope, PolynomialRadialBasis

RADIAL = PolynomialRadialBasis(4.5, LinearTransform(), PolynomialEnvelope(2))
ATOMS = 20


def rattled(seed, symbols=("Cu",)):
    atoms = bulk("Cu", cubic=True) * 2
    rng = np.random.default_rng(seed)
    atoms.symbols[:] = rng.choice(symbols, len(atoms))
    atoms.set_cell(atoms.cell * rng.uniform(0.95, 1.05), scale_atoms=True)
    atoms.rattle(0.15, seed=seed)
    return atoms


@pytest.fixture(scope="module")
def frames():
    return [rattled(seed) for seed in range(7)]


@pytest.fixture(scope="module")
def comparison(frames):
    return compare_references(frames, radial=RADIAL, order=2, totaldegree=4, atoms_per_structure=ATOMS, seed=3)


def chosen(n_atoms, number, seed=3):
    return np.sort(np.random.default_rng([seed, number]).choice(n_atoms, ATOMS, replace=False))


def basis_of(name, frames):
    """The basis of a row, made as the documentation says."""
    kind, functions = name.split(", ")
    canonical = kind in ("canonical", "centered", "measured pairs")
    basis = ACEBasis(["Cu"], order=2, totaldegree=4, radial=RADIAL, canonical=canonical)
    density = RadialDensity.from_structures(frames, 4.5)
    if functions == "Chebyshev":
        return basis
    if functions == "ideal gas":
        n_atoms = sum(map(len, frames))
        neighbors = sum(len(ase_pairs("i", atoms, 4.5)) for atoms in frames) / n_atoms
        return basis.centered(IdealGas(neighbors / (4 / 3 * np.pi * 4.5**3)))
    if kind in ("self-interacting", "canonical"):
        return ACEBasis(["Cu"], order=2, totaldegree=4, radial=density.radial(RADIAL, ["Cu"]), canonical=canonical)
    if kind in ("shifted", "centered"):
        return basis.centered(density)
    whitened = functions == "whitened"
    return basis.centered(
        MeanCovariance.from_structures(frames, basis, whitened=whitened, atoms_per_structure=ATOMS, seed=3)
    )


def features_by_structure(name, frames):
    basis = basis_of(name, frames)
    return [basis.descriptors(atoms)[chosen(len(atoms), k)] for k, atoms in enumerate(frames)]


def condition(columns):
    return np.linalg.cond(columns / np.linalg.norm(columns, axis=0)) ** 2


def with_one(features):
    return np.column_stack([np.ones(len(features)), features])


ORDERS = np.repeat([0, 1, 2], [1, 5, 14])  # of the constant and the features


def lower_off(fitted, other):
    """Residuals of `other`, order by order, with coefficients of `fitted`."""
    fitted, other = with_one(fitted), with_one(other)
    columns = []
    for order in (0, 1, 2):
        mine, lower = ORDERS == order, ORDERS < order
        X = np.linalg.lstsq(fitted[:, lower], fitted[:, mine], rcond=None)[0]
        columns.append(other[:, mine] - other[:, lower] @ X)
    return np.hstack(columns)


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_all_rows_are_there(comparison, frames):
    assert tuple(row.name for row in comparison.rows) == ROWS and CONTROL in ROWS
    sizes = ACEBasis(["Cu"], order=2, totaldegree=4).specification.sizes
    assert [np.count_nonzero(ORDERS == order) for order in (1, 2)] == list(sizes)
    assert (comparison.n_structures, comparison.n_environments) == (7, 7 * ATOMS)
    assert comparison.n_features == sum(sizes)
    for row in comparison.rows:
        assert row.canonical == (row.kind in ("canonical", "centered", "measured pairs"))
        assert comparison[row.name] is row and not row.reason


@pytest.mark.parametrize("name", ROWS)
def test_condition_numbers_are_those_of_dense_features(comparison, frames, name):
    row = comparison[name]
    F = np.concatenate(features_by_structure(name, frames))
    z = (F - F.mean(axis=0)) / F.std(axis=0)
    # Rounding of features moves singular values by about ε, and so a condition number κ by √κ ε of itself.
    assert row.scaled == pytest.approx(condition(with_one(F)), rel=1e-6)
    assert row.standardized == pytest.approx(np.linalg.cond(z) ** 2, rel=1e-5)
    assert row.largest_mean == pytest.approx(np.abs(F.mean(axis=0) / F.std(axis=0)).max(), rel=1e-6)
    assert row.conditioning["Cu"].n_environments == 7 * ATOMS and row.vanishing == {"Cu": 0}


@pytest.mark.parametrize("name", ["self-interacting, Chebyshev", "canonical, radial density", "Wick, whitened"])
def test_floors_by_least_squares(comparison, frames, name):
    row = comparison[name]
    parts = features_by_structure(name, frames)
    even, odd, F = np.concatenate(parts[::2]), np.concatenate(parts[1::2]), np.concatenate(parts)
    assert row.lower_orders_off == pytest.approx(condition(lower_off(F, F)), rel=1e-5)
    expected = max(condition(lower_off(even, odd)), condition(lower_off(odd, even)))
    assert row.lower_orders_off_held_out == pytest.approx(expected, rel=1e-5)
    whitened = [
        condition(with_one(other) @ np.linalg.inv(np.linalg.qr(with_one(fitted))[1]))
        for fitted, other in ((even, odd), (odd, even))
    ]
    assert row.whitened_held_out == pytest.approx(max(whitened), rel=1e-5)


def test_in_sample_floors_depend_on_the_radial_functions_alone(comparison):
    """Bases of one span and one set of radial functions have the same residuals, whatever was subtracted."""
    for kinds in (("self-interacting", "shifted", "Wick"), ("canonical", "centered", "measured pairs")):
        first, *others = (comparison[f"{kind}, radial density"] for kind in kinds)
        for row in others:
            assert row.lower_orders_off == pytest.approx(first.lower_orders_off, rel=1e-6)
            assert row.lower_orders_off_held_out == pytest.approx(first.lower_orders_off_held_out, rel=1e-6)


def test_floors_of_known_matrices():
    rng = np.random.default_rng(0)
    orders = [0, 1, 1, 2]
    R = np.triu(rng.normal(size=(4, 4))) + 3 * np.eye(4)
    block = R[1:3, 1:3] / np.linalg.norm(R[1:3, 1:3], axis=0)
    sigma = np.append(np.linalg.svd(block, compute_uv=False), 1.0)
    assert lower_orders_off(R, orders) == pytest.approx((sigma.max() / sigma.min()) ** 2, rel=1e-12)
    # Another half that differs in the units of the columns alone has the same correlations.
    off, whitened = held_out_floors(R, np.diag([1, 2, 2, 0.5]) @ R, orders)
    assert off == pytest.approx(lower_orders_off(R, orders), rel=1e-12) and whitened == pytest.approx(1, rel=1e-12)
    singular = R.copy()
    singular[2, 2] = 0.0
    assert held_out_floors(R, singular, orders) == held_out_floors(singular, R, orders) == (np.inf, np.inf)
    assert lower_orders_off(singular, orders) > 1e30


def test_on_an_ideal_gas_the_centered_basis_wins():
    rng = np.random.default_rng(1)
    frames = [Atoms("Cu300", rng.uniform(0, 20, (300, 3)), cell=3 * [20], pbc=True) for _ in range(4)]
    rows = ["canonical, Chebyshev", "shifted, ideal gas", "centered, ideal gas"]
    comparison = compare_references(frames, order=2, totaldegree=3, rcut=4.0, rows=rows)
    canonical, shifted, centered = (comparison[name].scaled for name in rows)
    assert centered < 3 < shifted < canonical
    assert comparison["centered, ideal gas"].largest_mean < 0.1
    assert comparison.recommended is comparison["centered, ideal gas"]
    assert "It is canonical." in str(comparison) and "after the exact map" in " ".join(str(comparison).split())


def test_two_species_and_radial_functions_of_the_caller():
    frames = [rattled(seed, ("Cu", "Zr")) for seed in range(6)]
    rows = ["measured pairs, radial density", "self-interacting, Chebyshev"]
    radial = PolynomialRadialBasis(4.0, AgnesiTransform(p=2, q=4), PolynomialEnvelope(2), Legendre())
    given = compare_references(frames, radial=radial, order=2, totaldegree=2, rows=rows)
    assert [row.name for row in given.rows] == ["self-interacting, Chebyshev", CONTROL, rows[0]]
    assert "Cu Zr, rcut 4 Å, order 2, total degree 2" in str(given)
    chebyshev = PolynomialRadialBasis(4.0, AgnesiTransform(p=2, q=4), PolynomialEnvelope(2))
    for name, canonical in (("self-interacting, Chebyshev", False), (rows[0], True)):
        basis = ACEBasis(["Cu", "Zr"], order=2, totaldegree=2, radial=chebyshev, canonical=canonical)
        if canonical:
            basis = basis.centered(MeanCovariance.from_structures(frames, basis, whitened=False))
        F = np.concatenate(basis.descriptors(frames))
        symbols = np.concatenate([atoms.get_chemical_symbols() for atoms in frames])
        by_center = [F[symbols == center] for center in ("Cu", "Zr")]
        row = given[name]
        assert list(row.conditioning) == ["Cu", "Zr"]
        assert row.scaled == pytest.approx(max(condition(with_one(part)) for part in by_center), rel=1e-6)
        ratios = [np.abs(part.mean(axis=0) / part.std(axis=0)).max() for part in by_center]
        assert row.largest_mean == pytest.approx(max(ratios), rel=1e-6)
    assert "has a Gram matrix of its own, Cu, Zr" in str(given)


def test_the_same_numbers_at_every_call_and_for_any_number_of_threads(frames):
    rows = ["Wick, whitened"]
    options = {"order": 2, "totaldegree": 3, "rows": rows, "atoms_per_structure": 25}
    one, again = (compare_references(frames, num_threads=n, **options) for n in (1, 2))
    for a, b in zip(one.rows, again.rows):
        np.testing.assert_array_equal(a.conditioning["Cu"].R, b.conditioning["Cu"].R)
        assert (a.lower_orders_off_held_out, a.whitened_held_out) == (b.lower_orders_off_held_out, b.whitened_held_out)
    other = compare_references(frames, seed=1, **options)
    assert other[CONTROL].scaled != one[CONTROL].scaled


# --- what cannot be had -----------------------------------------------------------------------------------------------


def test_rows_that_cannot_be_made_say_why():
    """Six shells of distances support no more than so many radial functions."""
    comparison = compare_references([bulk("Cu", cubic=True)] * 2, order=2, totaldegree=4)
    assert len(comparison.rows) == len(ROWS)
    made = [row for row in comparison.rows if row.conditioning]
    assert made and comparison["self-interacting, Chebyshev"] in made
    failed = comparison["Wick, whitened"]
    assert not failed.conditioning and "independent" in failed.reason
    assert np.isnan([failed.scaled, failed.standardized, failed.largest_mean, failed.lower_orders_off]).all()
    text = str(comparison)
    assert text.count("  not made (") == len(ROWS) - len(made) and text.count(failed.reason[:40]) == 1
    assert comparison.recommended is None and "No row has independent columns" in text


def test_a_pair_that_never_occurs(frames):
    comparison = compare_references(frames[:3], species=["Cu", "Zr"], order=1, totaldegree=2)
    alone = compare_references(frames[:3], order=1, totaldegree=2)
    for row in comparison.rows:
        if row.functions == "Chebyshev":
            assert row.scaled == pytest.approx(alone[row.name].scaled, rel=1e-12)
            assert row.vanishing == {"Cu": 3}  # those of Zr
        else:
            assert "Zr" in row.reason
    assert "canonical, Chebyshev: features that vanish are left out, 3 of Cu" in str(comparison)


def test_molecules_have_features_that_vanish():
    """With two H and one O, canonical features of more neighbors are rounding; plain ones are dependent instead."""
    frames = []
    for seed in range(60):
        atoms = molecule("H2O")
        atoms.rattle(0.1, seed=seed)
        frames.append(atoms)
    rows = ["self-interacting, Chebyshev", "canonical, Chebyshev"]
    comparison = compare_references(frames, order=3, totaldegree=2, rcut=4.0, rows=rows)
    plain, canonical = (comparison[name] for name in rows)
    basis = ACEBasis(["H", "O"], order=3, totaldegree=2, rcut=4.0)
    around_oxygen = sum("O" in label.species for label in basis.labels)  # of which there is none
    assert plain.vanishing == {"H": 0, "O": around_oxygen} and plain.scaled == np.inf
    for center, neighbors in (("H", {"H": 1, "O": 1}), ("O", {"H": 2, "O": 0})):
        possible = [all(label.species.count(symbol) <= n for symbol, n in neighbors.items()) for label in basis.labels]
        assert canonical.vanishing[center] == possible.count(False)
        F = np.concatenate([basis.descriptors(atoms)[atoms.symbols == center] for atoms in frames])[:, possible]
        assert canonical.conditioning[center].condition_number("scaled") == pytest.approx(
            condition(with_one(F)), rel=1e-5
        )
    assert comparison.recommended is canonical and "vanishes, and is left out" in " ".join(str(comparison).split())


def test_atoms_that_have_no_neighbors():
    comparison = compare_references([Atoms("Cu"), Atoms("Cu")], order=1, totaldegree=2)
    assert {row.scaled for row in comparison.rows if row.conditioning} == {np.inf}
    assert comparison.recommended is None
    assert "hold no two atoms within 5 Å" in comparison[CONTROL].reason


def test_floors_that_are_not_known(frames):
    options = {"order": 2, "totaldegree": 4, "rows": []}
    for structures, given in (
        (frames, {"held_out": False}),
        (frames[:1], {}),
        (frames[:2], {"atoms_per_structure": 18}),
    ):
        (row,) = compare_references(structures, **options, **given).rows
        assert row.name == CONTROL and np.isfinite(row.lower_orders_off)
        assert np.isnan(row.lower_orders_off_held_out) and np.isnan(row.whitened_held_out)
    few = compare_references(frames[:1], atoms_per_structure=15, **options)
    assert few[CONTROL].scaled == few[CONTROL].lower_orders_off == np.inf
    assert "15 environments of Cu are fewer than the 20 columns" in str(few)


# --- what is said -----------------------------------------------------------------------------------------------------


def row_with(name, scaled, held_out=np.nan, whitened=np.nan):
    """A row of one feature whose correlation with the constant gives the condition number."""
    kind, functions = name.split(", ")
    c = (scaled - 1) / (scaled + 1)
    conditioning = Conditioning(np.array([[1.0, c], [0.0, np.sqrt(1 - c * c)]]) * 3.0, 9, ("f",), np.array([1]))
    canonical = kind in ("canonical", "centered", "measured pairs")
    return ComparisonRow(functions, kind, canonical, {"Cu": conditioning}, {"Cu": 0}, 5.0, held_out, whitened)


def said(*rows):
    comparison = Comparison(rows, "Cu, rcut 5 Å", 1, 3, 9)
    return comparison, " ".join(str(comparison).split())


def test_the_first_row_within_a_factor_of_ten_is_recommended():
    comparison, text = said(
        row_with("self-interacting, Chebyshev", 1e8),
        row_with("canonical, Chebyshev", 3e7),
        row_with("shifted, radial density", 9e3),
        row_with("Wick, radial density", 1e3),
        row_with("measured pairs, radial density", 3e4),
        row_with("measured pairs, whitened", 2e4),
    )
    assert comparison.recommended.name == "shifted, radial density"
    assert "For regression: shifted, radial density (9e+03)" in text
    assert "Canonical: measured pairs, radial density (3e+04), 3.3 times that" in text
    assert "after the exact map" in text
    assert "nothing else (Chebyshev): 1e+08 to 3e+07, no cure." in text
    assert "The limit" not in text
    nearly, _ = said(row_with("shifted, radial density", 1.01e4), row_with("Wick, radial density", 1e3))
    assert nearly.recommended.kind == "Wick"


def test_canonical_may_win():
    comparison, text = said(
        row_with("self-interacting, Chebyshev", 1e6), row_with("canonical, Chebyshev", 10.0), row_with(CONTROL, 1e5)
    )
    assert comparison.recommended.name == "canonical, Chebyshev"
    assert (
        "It is canonical. What canonical functions give is meaning: true body orders, zero on isolated atoms." in text
    )
    assert "1e+06 to 1e+01." in text and "no cure" not in text


@pytest.mark.parametrize(
    "held_out, whitened, words",
    [
        (1e3, 1e2, "The limit is sampling: what is fitted to one half of the structures leaves, on the other, 1e+03"),
        (
            9e2,
            1e4,
            "The limit is not sampling but that orders depend on lower ones: regression on these would leave 9e+02",
        ),
        (np.inf, np.inf, None),
    ],
)
def test_what_limits(held_out, whitened, words):
    _, text = said(row_with(CONTROL, 9.9e3, held_out, whitened))
    assert words in text if words else "The limit" not in text


def test_table(comparison):
    text = str(comparison)
    lines = text.splitlines()
    assert lines[0] == f"{comparison.n_features} features and 1: Cu, rcut 4.5 Å, order 2, total degree 4"
    assert lines[1] == "140 environments of 7 structures"
    assert max(map(len, lines)) <= 110
    for line, row in zip(lines[4:], comparison.rows):
        assert line.startswith(row.functions) and row.kind in line
        values = [row.scaled, row.standardized, row.largest_mean, row.lower_orders_off]
        values += [row.lower_orders_off_held_out, row.whitened_held_out]
        assert line.split()[-6:] == [f"{value:.0e}" for value in values]


# --- wrong input ------------------------------------------------------------------------------------------------------


def test_input_is_refused(frames):
    coincident = frames[0].copy()
    coincident.positions[3] = coincident.positions[5]
    for given, error, message in (
        (([],), ValueError, "structures is empty"),
        ((["Cu"],), TypeError, r"structures\[0\] must be an ase.Atoms"),
        (
            (frames, {"rows": ["shifted"]}),
            ValueError,
            "rows must be some of 'self-interacting, Chebyshev'.*got 'shifted'",
        ),
        ((frames, {"rows": "shifted, ideal gas"}), TypeError, "rows must be a sequence of names"),
        ((frames, {"radial": RADIAL, "rcut": 4.0}), ValueError, "rcut and radial exclude each other"),
        ((frames, {"radial": 4.0}), TypeError, "radial must be a PolynomialRadialBasis"),
        ((frames, {"atoms_per_structure": 0}), ValueError, "atoms_per_structure must be an integer >= 1; got 0"),
        ((frames, {"seed": -1}), ValueError, "seed must be an integer >= 0"),
        ((frames, {"species": ["Zr"]}), SpeciesError, r"structures\[0\] holds Cu, but the basis is for Zr"),
        (
            (frames, {"species": ["Cu", "Zr", "Al"], "order": 5, "totaldegree": 24}),
            BasisTooLargeError,
            "this specification has",
        ),
        (([frames[1], coincident], {"totaldegree": 2}), CoincidentAtomsError, "same place"),
        (([molecule("H2"), coincident], {"rows": []}), CoincidentAtomsError, "same place"),
    ):
        arguments, options = (given[0], given[1] if len(given) > 1 else {})
        with pytest.raises(error, match=message):
            compare_references(arguments, **options)


def test_names_of_rows(comparison):
    with pytest.raises(KeyError, match="'Wick' is not one of the rows 'self-interacting, Chebyshev'"):
        comparison["Wick"]
