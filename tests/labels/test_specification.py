"""Index sets: counts against published numbers and brute force, choices by size, lists, refusals, messages."""

import contextlib
import itertools
import json
import signal
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from oracles import invariants as reference_invariants

from acepure import ACEBasis
from acepure.errors import BasisTooLargeError
from acepure.labels.selection import Specification

create = Specification.create


def built(specification):
    """Functions per order, from the labels of the blocks and their couplings."""
    other = ACEBasis(["Cu"], order=1).to_dict()
    rest = {name: other[name] for name in ("radial", "canonical", "reference")}
    basis = ACEBasis.from_dict({**specification.to_dict(), **rest})
    orders = Counter(label.order for label in basis.labels)
    assert len(basis.labels) == len(set(basis.labels)) == basis.symmetrization.shape[0]
    return tuple(orders[nu] for nu in range(1, specification.order + 1))


def count_by_listing(n_species, order, weight, budget, ns, ls):
    """Σ of invariant counts over all multisets of (species, n, l), with nothing clever; budget None is a box."""
    functions = list(itertools.product(range(n_species), ns, ls))
    total = 0
    for block in itertools.combinations_with_replacement(functions, order):
        if budget is None or sum(weight(n, l) for _, n, l in block) <= budget:
            total += reference_invariants.invariant_count([l for _, _, l in block], [(z, n) for z, n, _ in block])
    return total


# --- counts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "degree, counts",
    [(6, (7, 30, 62, 87, 97, 101)), (8, (9, 55, 160, 290, 377, 420)), (10, (11, 91, 366, 862, 1353))],
)
def test_counts_by_total_degree(degree, counts):
    assert create(["Cu"], len(counts), totaldegree=degree).sizes == counts


@pytest.mark.parametrize("degree, order", [(6, 6), (8, 4), (10, 3)])
def test_as_many_functions_are_built(degree, order):
    specification = create(["Cu"], order, totaldegree=degree)
    assert built(specification) == specification.sizes
    assert len(specification) == sum(specification.sizes)


@pytest.mark.parametrize("degrees, total", [([20, 16, 12], 299), ([25, 21, 17], 1016)])
def test_counts_with_weighted_l(degrees, total):
    specification = create(["Si"], totaldegree=degrees, wL=1.5, n_start=1)
    assert len(specification) == total == sum(built(specification))
    assert specification.order == 3


def test_counts_in_boxes():
    assert create(["Cu"], 2, n_max=4, l_max=6).sizes == (4, 70)
    specification = create(["Cu"], 3, n_max=4, l_max=4)
    assert len(specification) == 602
    assert (
        specification.sizes
        == tuple(reference_invariants.count_box(4, 4, order) for order in (1, 2, 3))
        == built(specification)
    )


def test_box_per_order():
    specification = create(["Cu"], n_max=[8, 5, 3], l_max=[0, 4, 2])
    expected = tuple(reference_invariants.count_box(n, l, nu) for nu, (n, l) in enumerate([(8, 0), (5, 4), (3, 2)], 1))
    assert specification.sizes == expected == built(specification)
    assert specification.n_max == (8, 5, 3) and specification.l_max == (0, 4, 2)
    # one number serves all orders
    assert create(["Cu"], n_max=3, l_max=[0, 1]).sizes == create(["Cu"], n_max=[3, 3], l_max=[0, 1]).sizes


def test_box_is_never_cut():
    """All n < n_max and l ≤ l_max occur at every order."""
    basis = ACEBasis(["Cu"], n_max=[4, 3, 2], l_max=[0, 5, 3], n_start=2)
    for nu, n_max, l_max in ((1, 4, 0), (2, 3, 5), (3, 2, 3)):
        labels = [label for label in basis.labels if label.order == nu]
        assert {n for label in labels for n in label.n} == set(range(2, 2 + n_max))
        assert {l for label in labels for l in label.l} == set(range(l_max + 1))


@pytest.mark.parametrize("wL, n_start", [(1.0, 0), (1.0, 1), (1.5, 0), (2.0, 1), (0.5, 1), (0.75, 1)])
@pytest.mark.parametrize("degrees", [(6, 5, 4), (7.5, 6.25, 6.0)])
def test_counts_are_the_brute_force(degrees, wL, n_start):
    specification = create(["Cu"], totaldegree=degrees, wL=wL, n_start=n_start)
    expected = tuple(
        reference_invariants.count_total_degree(degree, order, wL=wL, n_start=n_start)
        for order, degree in enumerate(degrees, 1)
    )
    assert specification.sizes == expected == built(specification)


@pytest.mark.parametrize("n_species", [1, 2, 3])
@pytest.mark.parametrize(
    "arguments, budgets",
    [
        ({"totaldegree": (4, 3, 3)}, (4, 3, 3)),
        ({"totaldegree": (3, 4, 3), "n_start": 1}, (3, 4, 3)),
        ({"totaldegree": (2, 1, 1, 2)}, (2, 1, 1, 2)),
        ({"n_max": (3, 2), "l_max": (1, 2)}, None),
    ],
)
def test_species_by_listing_all_multisets(n_species, arguments, budgets):
    species = ["Cu", "Zr", "Al"][:n_species]
    specification = create(species, **arguments)
    n_start = arguments.get("n_start", 0)
    expected = []
    for nu in range(1, specification.order + 1):
        if budgets is None:
            ns, ls, budget = range(arguments["n_max"][nu - 1]), range(arguments["l_max"][nu - 1] + 1), None
        else:
            budget = budgets[nu - 1]
            ns, ls = range(n_start, budget + 1), range(budget + 1)
        expected.append(count_by_listing(n_species, nu, lambda n, l: n + l, budget, ns, ls))
    assert specification.sizes == tuple(expected) == built(specification)


def test_sums_on_the_edge_of_the_degree_are_in():
    """0.1 + 0.2 > 0.3 in floating point; three times 0.1·l = 1 must still fit into 0.3 + 0.3."""
    assert create(["Cu"], 2, totaldegree=0.6, wL=0.1).sizes == (1, 4)  # n = 0; l = 0, 1, 2, 3
    assert create(["Cu"], 2, totaldegree=0.3, wL=0.1).sizes == (1, 2)  # 2·0.1 fits, 4·0.1 does not
    assert create(["Cu"], 3, totaldegree=2.4, wL=1.2, n_start=0).sizes[1] == reference_invariants.count_total_degree(
        Fraction(12, 5), 2, wL=Fraction(6, 5)
    )


def test_labels_satisfy_the_specification():
    basis = ACEBasis(["Si", "Ge"], totaldegree=[8, 6, 6], wL=1.5, n_start=1)
    for label in basis.labels:
        assert sum(label.n) + 1.5 * sum(label.l) <= (8, 6, 6)[label.order - 1] + 1e-9
        assert min(label.n) >= 1 and sum(label.l) % 2 == 0
        assert len(label.n) == len(label.l) == len(label.species) == label.order
        assert len(label.coupling) == max(label.order - 2, 0)


# --- n_functions ---------------------------------------------------------------------------------------------------


def set_sizes(species, order, wL, n_start, highest):
    """Sizes of all sets D_ν = 0.8^(ν−1) D with D ≤ highest, from the points where a set changes; exact fractions."""
    budgets = [Fraction(4, 5) ** k for k in range(order)]
    degrees = {n + Fraction(wL) * l for n in range(highest + 1) for l in range(int(highest / wL) + 1)}
    lowest = max(n_start * nu / budgets[nu - 1] for nu in range(1, order + 1))
    tops = {degree / budget for degree in degrees for budget in budgets} | {lowest}
    return sorted(
        {
            len(create(species, order, totaldegree=[float(top * b) for b in budgets], wL=wL, n_start=n_start))
            for top in tops
            if lowest <= top <= highest
        }
    )


@pytest.mark.parametrize(
    "species, order, wL, n_start",
    [(["Cu"], 3, 1, 0), (["Cu"], 2, 1.5, 1), (["Cu"], 4, 1, 0), (["Cu", "Zr"], 3, 2, 0)],
)
def test_largest_set_within_a_number(species, order, wL, n_start):
    """No set of the family is larger and still small enough."""
    sizes = set_sizes(species, order, wL, n_start, 11)
    assert len(sizes) > 5
    for smaller, larger in itertools.pairwise(sizes):
        for wanted in {smaller, (smaller + larger) // 2, larger - 1}:
            chosen = create(species, order, n_functions=wanted, wL=wL, n_start=n_start)
            assert len(chosen) == smaller


def test_set_within_a_number_is_one_a_person_would_write():
    specification = create(["Cu"], 3, n_functions=300)
    assert len(specification) <= 300 and specification.totaldegree is not None
    assert all(float(d).is_integer() for d in specification.totaldegree)
    counts = [reference_invariants.count_total_degree(d, nu) for nu, d in enumerate(specification.totaldegree, 1)]
    assert specification.sizes == tuple(counts)
    assert "n_functions" not in specification.to_dict()
    written = create(["Cu"], 3, totaldegree=specification.totaldegree)
    assert specification == written and repr(specification) == repr(written)
    assert f"totaldegree={specification.totaldegree}" in repr(specification)
    half = create(["Cu"], 3, n_functions=300, wL=1.5, n_start=1)
    assert all((2 * d).is_integer() for d in half.totaldegree)


def test_the_numbers_of_functions_do_not_fall_with_the_number_asked_for():
    sizes = [len(create(["Cu"], 3, n_functions=n)) for n in range(3, 120)]
    assert sizes == sorted(sizes) and all(size <= n for n, size in enumerate(sizes, 3))


# --- explicit lists ------------------------------------------------------------------------------------------------


def test_explicit_list():
    specification = create(["Cu"], functions=[[(1, 0)], [(0, 2), (1, 2)], [(0, 1), (1, 1), (2, 2)], [(0, 2)] * 3])
    assert specification.order == 3 and specification.sizes == (1, 1, 2) == built(specification)
    several = create(["Zr", "Cu"], functions=[[("Zr", 0, 1), ("Cu", 1, 1)], [("Cu", 0, 1), ("Zr", 1, 1)]])
    assert several.species == ("Cu", "Zr") and several.sizes == (0, 2) == built(several)
    four = create(["Cu"], functions=[[(n, 1) for n in range(4)], [(0, 1)] * 4, [(0, 3)] * 4])
    assert four.sizes == (0, 0, 0, 3 + 1 + 2) == built(four)


def test_explicit_list_has_one_order_of_features():
    functions = [[(1, 0)], [(0, 2), (1, 2)], [(0, 1), (1, 1), (2, 2)]]
    specification = create(["Cu"], functions=functions)
    for shuffled in itertools.permutations(functions):
        assert create(["Cu"], functions=[f[::-1] for f in shuffled]) == specification
    assert create(["Cu"], functions=(f for f in functions)) == specification
    assert create(["Cu"], functions=np.array([[(1, 0)]])) == create(["Cu"], functions=[[(1, 0)]])


def test_explicit_list_of_all_labels_is_the_set():
    whole = ACEBasis(["Cu", "Zr"], totaldegree=[3, 3, 2])
    functions = {tuple(sorted(zip(label.species, label.n, label.l))) for label in whole.labels}
    listed = ACEBasis(["Zr", "Cu"], functions=list(functions))
    assert listed.labels == whole.labels


# --- order of features ---------------------------------------------------------------------------------------------


def test_species_in_any_order():
    arguments = {"totaldegree": [4, 3, 2]}
    first = ACEBasis(["Zr", "Al", "Cu"], **arguments)
    assert first.species == ("Al", "Cu", "Zr")
    for species in itertools.permutations(["Al", "Cu", "Zr"]):
        basis = ACEBasis(species, **arguments)
        assert basis == first and basis.labels == first.labels


def test_features_are_sorted_by_order():
    basis = ACEBasis(["Cu", "Zr"], totaldegree=4)
    orders = [label.order for label in basis.labels]
    assert orders == sorted(orders)
    for name, columns in basis.order_slices.items():
        assert {label.order for label in basis.labels[columns]} == {int(name[2:])}


def test_adding_a_species_keeps_the_order_of_the_other_labels():
    one, two = ACEBasis(["Cu"], totaldegree=5), ACEBasis(["Cu", "Zr"], totaldegree=5)
    assert [label for label in two.labels if set(label.species) == {"Cu"}] == list(one.labels)


# --- identity ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {"totaldegree": [6, 4.5], "wL": 1.5, "n_start": 1},
        {"n_max": [3, 2], "l_max": [0, 4], "n_start": 2},
        {"n_functions": 50, "order": 4},
        {"functions": [[("Cu", 1, 0)], [("Cu", 0, 1), ("Zr", 2, 1)]]},
    ],
)
def test_round_trip(arguments):
    specification = create(["Zr", "Cu"], **arguments)
    copy = Specification.from_dict(json.loads(json.dumps(specification.to_dict())))
    assert copy == specification and hash(copy) == hash(specification)
    assert copy.sizes == specification.sizes and copy.blocks() == specification.blocks()


@pytest.mark.parametrize("arguments", [{"n_max": 2, "l_max": 2}, {"functions": [[(0, 0)]]}])
def test_a_weight_that_has_no_meaning_is_refused(arguments):
    with pytest.raises(ValueError, match="wL=2"):
        create(["Cu"], wL=2.0, **arguments)


def test_numbers_of_numpy_are_numbers():
    expected = create(["Cu"], 2, totaldegree=4)
    assert create(("Cu",), np.int64(2), totaldegree=np.float32(4)) == expected
    assert create(np.array(["Cu"]), totaldegree=np.array([4, 4])) == expected


# --- refusals ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def stopped_after(seconds):
    """Raise TimeoutError where counting takes for ever, in seconds of CPU; the sizes below need milliseconds."""

    def stop(*_):
        raise TimeoutError(f"not done after {seconds} s")

    if not hasattr(signal, "SIGVTALRM"):
        pytest.skip("needs a system with alarms")
    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    except TimeoutError as error:
        pytest.fail(str(error), pytrace=False)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize(
    "species, arguments",
    [
        (["Cu"], {"order": 6, "n_max": 10, "l_max": 10}),
        (["H", "C", "N", "O", "Al", "Ti", "Cu", "Zr"], {"order": 4, "totaldegree": 12}),
        (["Cu"], {"order": 5, "totaldegree": 24}),
        (["Cu"], {"functions": [[(0, 40)] * 4]}),
        (["Cu"], {"order": 3, "totaldegree": 10**6}),
        (["Cu"], {"order": 4, "n_max": 10**6, "l_max": 100}),
        (["Cu"], {"order": 3, "n_functions": 10**12}),
    ],
    ids=str,
)
def test_too_large_is_refused_before_anything_is_built(species, arguments):
    with stopped_after(30), pytest.raises(BasisTooLargeError, match=r"functions .* products; .* GiB.* n_functions"):
        ACEBasis(species, **arguments)


def test_memory_message_has_the_exact_size():
    specification = create(["Cu"], 3, totaldegree=8)
    specification.check_memory()
    specification.check_memory(available=1e9)
    with pytest.raises(BasisTooLargeError) as error:
        specification.check_memory(available=1e5)
    for part in ("224 functions (9, 55, 160 for orders 1 to 3)", "GiB", "Lower the order"):
        assert part in str(error.value)
    assert isinstance(error.value, ValueError)


CU = ["Cu"]
LIST = [[(0, 0)]]


@pytest.mark.parametrize(
    "make, error, parts",
    [
        (lambda: create("Cu", totaldegree=4), TypeError, ["species", "['Cu']", "the string 'Cu'"]),
        (lambda: create([], totaldegree=4), ValueError, ["species is empty"]),
        (lambda: create(["Cu", "Xy"], totaldegree=4), ValueError, ["species[1]", "chemical symbol", "'Xy'"]),
        (lambda: create(["X"], totaldegree=4), ValueError, ["species[0]", "chemical symbol", "'X'"]),
        (lambda: create([29], totaldegree=4), TypeError, ["species[0]", "29 of type int"]),
        (lambda: create(["Cu", "Cu"], totaldegree=4), ValueError, ["species", "twice", "['Cu', 'Cu']"]),
        (lambda: create(CU), ValueError, ["exactly one way", "totaldegree", "n_functions", "functions", "got none"]),
        (lambda: create(CU, totaldegree=4, n_max=2), ValueError, ["exactly one way", "got totaldegree and n_max"]),
        (lambda: create(CU, n_functions=9, functions=LIST), ValueError, ["got n_functions and functions"]),
        (lambda: create(CU, 0, totaldegree=4), ValueError, ["order must be an integer >= 1; got 0"]),
        (lambda: create(CU, 2.0, totaldegree=4), TypeError, ["order must be an integer >= 1; got 2.0 of type float"]),
        (lambda: create(CU, True, totaldegree=4), TypeError, ["order must be an integer", "bool"]),
        (lambda: create(CU, 2, totaldegree=-1), ValueError, ["totaldegree must be a finite number >= 0; got -1"]),
        (lambda: create(CU, 2, totaldegree=np.inf), ValueError, ["totaldegree", "finite", "inf"]),
        (lambda: create(CU, 2, totaldegree=np.nan), ValueError, ["totaldegree", "nan"]),
        (lambda: create(CU, 2, totaldegree="4"), TypeError, ["totaldegree must be", "'4' of type str"]),
        (lambda: create(CU, 3, totaldegree=[4, 4]), ValueError, ["totaldegree=[4, 4]", "2 entries", "order=3 needs 3"]),
        (lambda: create(CU, 2, n_max=[2, 2], l_max=[2]), ValueError, ["l_max=[2] has 1 entries", "order=2"]),
        (
            lambda: create(CU, n_max=[2, 2], l_max=[2]),
            ValueError,
            ["lists per order have different lengths", "'n_max': 2", "'l_max': 1"],
        ),
        (lambda: create(CU, 2, n_max=2), ValueError, ["both n_max and l_max"]),
        (lambda: create(CU, 2, l_max=2), ValueError, ["both n_max and l_max"]),
        (lambda: create(CU, 2, n_max=0, l_max=2), ValueError, ["n_max must be an integer >= 1; got 0"]),
        (lambda: create(CU, 2, n_max=2, l_max=-1), ValueError, ["l_max must be an integer >= 0; got -1"]),
        (lambda: create(CU, 2, n_max=2.5, l_max=1), TypeError, ["n_max must be an integer", "2.5 of type float"]),
        (lambda: create(CU, 2, totaldegree=4, wL=0), ValueError, ["wL must be a finite number > 0; got 0"]),
        (lambda: create(CU, 2, totaldegree=4, wL="1"), TypeError, ["wL must be", "'1' of type str"]),
        (lambda: create(CU, 2, totaldegree=4, n_start=-1), ValueError, ["n_start must be an integer >= 0; got -1"]),
        (
            lambda: create(CU, 3, totaldegree=2, n_start=1),
            ValueError,
            ["totaldegree=2 leaves order 3 empty", "n_start=1", "lowest degree is 3"],
        ),
        (lambda: create(CU, 3, n_functions=2), ValueError, ["n_functions=2 is too small", "at least 3", "lower the"]),
        (lambda: create(CU, 3, n_functions=0), ValueError, ["n_functions must be an integer >= 1; got 0"]),
        (lambda: create(CU, functions=[]), ValueError, ["functions is empty"]),
        (lambda: create(CU, functions=[[]]), ValueError, ["empty function", "constant"]),
        (lambda: create(CU, functions=[[(0, 1)]]), ValueError, ["[(0, 1)]", "no invariant coupling"]),
        (lambda: create(CU, functions=[[(0, 1)] * 3]), ValueError, ["no invariant coupling"]),
        (lambda: create(CU, functions=[[(0, 1), (1, 4), (0, 1)]]), ValueError, ["no invariant coupling"]),
        (lambda: create(CU, functions=[[(0, 1), (1, 1)], [(1, 1), (0, 1)]]), ValueError, ["twice"]),
        (lambda: create(CU, 2, functions=LIST), ValueError, ["order=2, but the longest", "has order 1"]),
        (lambda: create(CU, functions=[[("Zr", 0, 0)]]), ValueError, ["'Zr'", "not one of the species", "Cu"]),
        (
            lambda: create(["Cu", "Zr"], functions=LIST),
            ValueError,
            ["the factor (0, 0)", "must be (symbol, n, l), or (n, l) for one species"],
        ),
        (lambda: create(CU, functions=[[(0, 0, 0, 0)]]), ValueError, ["the factor (0, 0, 0, 0)"]),
        (lambda: create(CU, functions=[[(0.5, 0)]]), TypeError, ["n in functions must be an integer >= 0; got 0.5"]),
        (lambda: create(CU, functions=LIST, n_start=1), ValueError, ["n in functions must be an integer >= 1; got 0"]),
        (lambda: create(CU, functions=[[(0, -1)]]), ValueError, ["l in functions must be an integer >= 0; got -1"]),
    ],
)
def test_messages(make, error, parts):
    with pytest.raises(error) as raised:
        make()
    for part in parts:
        assert part in str(raised.value)


@pytest.mark.parametrize(
    "make, name",
    [
        (lambda: create(CU, totaldegree=[]), "totaldegree"),
        (lambda: create(CU, n_max=[], l_max=2), "n_max"),
        (lambda: create(29, totaldegree=4), "species"),
        (lambda: create(CU, functions=5), "functions"),
        (lambda: create(CU, functions=[5]), "functions"),
        (lambda: create(CU, functions=[[1, 2]]), "functions"),
    ],
)
def test_messages_name_the_argument(make, name):
    with pytest.raises((TypeError, ValueError), match=name):
        make()
