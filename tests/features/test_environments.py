"""One gate: structure, species and list are checked, looked up and made once for every call."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

import acepure.structures.gate
from acepure import (
    ACEBasis,
    LinearACE,
    LinearFunction,
    Stages,
    TensorModel,
    descriptors,
    jvp,
    pair_jacobian,
    pullback,
    summed_gradients,
)
from acepure.active.selection import Rows
from acepure.fitting import label_structures
from acepure.models.repulsion import ZBLCore
from acepure.neighbors import blocks, lists
from acepure.neighbors.environments import Environments
from acepure.stages import fused

BASIS = ACEBasis(["Cu", "Zr"], rcut=4.0, order=2, totaldegree=3)


def alloy(seed=0):
    atoms = bulk("Cu", cubic=True, a=3.8) * 2
    atoms.symbols[::3] = "Zr"
    atoms.rattle(0.1, seed=seed)
    return atoms


@pytest.fixture
def count(monkeypatch):
    """Counts of checks, look-ups and lists in a call; each stands in several modules under the same name."""
    import sys

    counts = {}

    def spy(owner, name):
        original = getattr(owner, name)

        def counted(*arguments, **options):
            atoms = next(value for value in arguments if isinstance(value, Atoms))
            counts[name] += len(atoms) > 1  # features of isolated atoms belong to the model, not to a structure
            return original(*arguments, **options)

        return original, counted

    def replace_everywhere(owner, name):
        original, counted = spy(owner, name)
        for module in [module for key, module in sys.modules.items() if key.startswith("acepure")]:
            if getattr(module, name, None) is original:
                monkeypatch.setattr(module, name, counted)

    def counting(call):
        call()  # what is built once is there
        with monkeypatch.context() as patch:
            nonlocal counts
            counts = dict.fromkeys(("check_structure", "species_indices", "find_pairs"), 0)
            replace_everywhere(acepure.structures.gate, "check_structure")
            replace_everywhere(lists, "find_pairs")
            patch.setattr(ACEBasis, "species_indices", spy(ACEBasis, "species_indices")[1])
            call()
        monkeypatch.undo()
        return counts

    return counting


ONCE = {"check_structure": 1, "species_indices": 1, "find_pairs": 1}
FUNCTION = LinearFunction(BASIS, np.ones((2, len(BASIS))))
MODEL = LinearACE(BASIS, np.ones((2, len(BASIS))))
WITH_CORE = LinearACE(BASIS, np.ones((2, len(BASIS))), core=ZBLCore(0.7, 1.4))
CERTAIN = LinearACE(BASIS, np.ones((2, len(BASIS))), posterior=np.ones((2, len(BASIS), 2)))
VECTORS = ACEBasis(["Cu", "Zr"], rcut=4.0, order=2, totaldegree=3, L=1)
TENSORS = TensorModel([VECTORS], [np.ones((2, len(VECTORS)))], "vector")
STAGES = Stages(BASIS, "Zr")
ROWS = Rows(BASIS, np.ones((2, len(BASIS), 3)), True, 30.0, None)
CALLS = {
    "descriptors": lambda atoms: descriptors(atoms, order=2),
    "descriptors of some": lambda atoms: descriptors(atoms, order=2, indices=[3, 1]),
    "ACEBasis.descriptors": BASIS.descriptors,
    "descriptor_blocks": lambda atoms: list(BASIS.descriptor_blocks(atoms)),
    "neighbor_list": BASIS.neighbor_list,
    "summed_gradients": lambda atoms: summed_gradients(BASIS, atoms),
    "pair_jacobian": lambda atoms: pair_jacobian(BASIS, atoms, indices=[2]),
    "pullback": lambda atoms: pullback(BASIS, atoms, np.ones((len(atoms), len(BASIS)))),
    "jvp": lambda atoms: jvp(BASIS, atoms, np.ones((len(atoms), 3))),
    "jvp of some": lambda atoms: jvp(BASIS, atoms, np.ones((len(atoms), 3)), indices=[3, 1]),
    "LinearFunction.evaluate": FUNCTION.evaluate,
    "LinearFunction.evaluate_with_gradients": FUNCTION.evaluate_with_gradients,
    "Stages.sums": STAGES.sums,
    "Stages.sums_jvp of some": lambda atoms: STAGES.sums_jvp(atoms, np.ones((len(atoms), 3)), indices=[3, 0]),
    "uncertainty": CERTAIN.uncertainty,
    "energy_uncertainty": CERTAIN.energy_uncertainty,
    "covariance_by_order": CERTAIN.covariance_by_order,
    "TensorModel.predict": TENSORS.predict,
    "rows to select by": ROWS.of,
    "LinearACE.evaluate": MODEL.evaluate,
    "LinearACE.evaluate, core": WITH_CORE.evaluate,
}


@pytest.mark.parametrize("name", CALLS)
def test_everything_once(count, name):
    assert count(lambda: CALLS[name](alloy())) == ONCE


@pytest.mark.parametrize(
    "call", [FUNCTION.evaluate_with_gradients, FUNCTION.evaluate, TENSORS.predict, TENSORS.derivatives]
)
def test_species_that_are_absent_need_no_kernel(call, monkeypatch):
    """Functions have tables of their own for each species of center."""
    made, PairList = [], fused.kernel.PairList
    monkeypatch.setattr(fused.kernel, "PairList", lambda *tables: made.append(1) or PairList(*tables))
    call(bulk("Cu"))
    pure = len(made)
    call(alloy())
    assert pure > 0 and len(made) == 3 * pure


def test_several_structures_once_each(count):
    structures = [alloy(seed) for seed in range(3)]
    three = dict.fromkeys(ONCE, 3)
    assert count(lambda: descriptors(structures, order=2)) == three
    assert count(lambda: BASIS.descriptors(structures)) == three


def test_a_given_list_is_the_list(count):
    atoms = alloy()
    pairs = BASIS.neighbor_list(atoms)
    expected = {"check_structure": 1, "species_indices": 1, "find_pairs": 0}
    for call in (BASIS.descriptors, FUNCTION.evaluate, MODEL.evaluate, WITH_CORE.evaluate):
        assert count(lambda call=call: call(atoms, neighbors=pairs)) == expected


def test_a_large_structure_is_checked_once(count, monkeypatch):
    """By blocks: one list for each."""
    atoms = alloy() * (3, 1, 1)
    monkeypatch.setattr(blocks, "CENTERS_PER_BLOCK", 10)
    n_blocks = len(list(Environments(BASIS, atoms).parts()))
    monkeypatch.undo()

    def call():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(blocks, "CENTERS_PER_BLOCK", 10)
            MODEL.evaluate(atoms)

    assert n_blocks > 1
    assert count(call) == {"check_structure": 1, "species_indices": 1, "find_pairs": n_blocks}


def labeled(n):
    structures = []
    for seed in range(n):
        atoms = bulk("Cu", cubic=True) * 2
        atoms.rattle(0.1, seed=seed)
        atoms.calc = EMT()
        atoms.get_forces()
        structures.append(atoms)
    return structures


def test_a_fit_does_everything_once_for_each_structure_and_pass(count):
    """Passes: distances, rows."""
    data, basis = label_structures(labeled(5)), ACEBasis(["Cu"], order=2, totaldegree=3)
    found = count(lambda: LinearACE.fit(data, basis, core="zbl", progress=False, verbose=False))
    assert found == {"check_structure": 2 * 5, "species_indices": 2 * 5, "find_pairs": 2 * 5}
    errors = count(lambda: MODEL.errors(data, progress=False))
    assert errors == dict.fromkeys(ONCE, 5)


def test_parts_hold_every_center_once(monkeypatch):
    atoms = alloy() * (3, 1, 1)
    monkeypatch.setattr(blocks, "CENTERS_PER_BLOCK", 10)
    environments = Environments(BASIS, atoms)
    parts = list(environments.parts())
    assert len(parts) > 1 and environments.n_centers == len(atoms)
    np.testing.assert_array_equal(np.sort(np.concatenate([rows for _, rows in parts])), np.arange(len(atoms)))
    for part, rows in parts:
        np.testing.assert_array_equal(part.centers, rows)
        np.testing.assert_array_equal(np.sort(environments.chosen(part, [1, 0]).rows), np.arange(part.n_centers))
        assert (np.diff(environments.species[part.centers][environments.chosen(part, [1, 0]).rows]) <= 0).all()
    whole = environments.neighbors
    assert [part for part, _ in environments.parts()] == [whole]
    chosen = Environments(BASIS, atoms, indices=[-1, 4])
    assert chosen.n_centers == 2 and chosen.neighbors.centers.tolist() == [len(atoms) - 1, 4]
    np.testing.assert_array_equal(chosen.center_species, environments.species[[-1, 4]])
