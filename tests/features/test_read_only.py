"""Whatever users can reach from a basis, a model or a reference cannot be set, and no change of it changes results."""

from contextlib import suppress
from copy import deepcopy

import numpy as np
import pytest
from ase.build import bulk, molecule
from scipy.sparse import issparse

from acepure import (
    ACEBasis,
    BondBasis,
    EmbeddedACE,
    HamiltonianModel,
    IdealGas,
    LinearACE,
    LinearFunction,
    MeanCovariance,
    RadialDensity,
    TensorModel,
)
from acepure.features.blocks import BlockBasis
from acepure.labels.orbitals import Orbitals
from acepure.models.repulsion import ZBLCore


def crystal():
    atoms = bulk("Cu", cubic=True) * 2
    atoms.symbols[::3] = "Zr"
    atoms.rattle(0.1, seed=0)
    return atoms


ATOMS = crystal()
PLAIN = ACEBasis(["Cu", "Zr"], rcut=4.0, order=2, totaldegree=3)
VECTORS = ACEBasis(["Cu", "Zr"], rcut=4.0, order=2, totaldegree=3, L=1)
REPORT = {"summary": {"lines": [1, 2]}, "text": "fit"}


def descriptors(basis):
    return basis.descriptors(ATOMS)


def bases():
    for reference in (
        None,
        IdealGas({("Cu", "Cu"): 0.08, ("Cu", "Zr"): 0.04, ("Zr", "Zr"): 0.02}),
        RadialDensity.from_structures([ATOMS], rcut=4.0, background=0.1),
        MeanCovariance.from_structures([ATOMS], PLAIN),
    ):
        basis = PLAIN if reference is None else PLAIN.centered(reference)
        yield f"ACEBasis, {type(reference).__name__}", basis, descriptors


def model():
    shape = (2, len(PLAIN))
    return LinearACE(
        PLAIN,
        np.full(shape, 0.1),
        {"Cu": -1.0, "Zr": -2.0},
        core=ZBLCore(0.7, 1.4),
        posterior=np.full((*shape, 3), 0.01),
        shortest={("Cu", "Zr"): 2.0},
        report=REPORT,
    )


def potential_values(potential):
    stated = potential.uncertainty(ATOMS)
    return np.concatenate([potential.evaluate(ATOMS).energies, stated.energies, stated.forces])


def cases():
    yield from bases()
    tensors = TensorModel([VECTORS], [np.ones((2, len(VECTORS)))], "vector")
    yield "LinearACE", model(), potential_values
    embedded = EmbeddedACE(PLAIN, np.full((2, 2, len(PLAIN)), 0.1), "finnis-sinclair")
    yield "EmbeddedACE", embedded, lambda embedded: embedded.evaluate(ATOMS).energies
    bonds = BondBasis(["H"], length=4.0, order=1, totaldegree=2)
    blocks = BlockBasis(ACEBasis(["H"], order=1, totaldegree=2), bonds, Orbitals({"H": "s"}))
    matrix = HamiltonianModel(blocks, [np.ones(part.size) for part in blocks.parts])
    yield "HamiltonianModel", matrix, lambda matrix: matrix.predict(molecule("H2"))
    yield "LinearFunction", LinearFunction(PLAIN, np.ones((2, len(PLAIN)))), lambda function: function.evaluate(ATOMS)
    yield "TensorModel", tensors, lambda tensors: tensors.predict(ATOMS).atoms


CASES = {name: (thing, values) for name, thing, values in cases()}


def public(thing):
    """Names of what is no method."""
    names = [name for name in dir(thing) if not name.startswith("_")]
    return [name for name in names if not callable(getattr(type(thing), name, None))]


def attributes(value):
    found = []
    for name in public(value):
        with suppress(ValueError):  # one purification for all species of center, where each has its own
            found.append((name, getattr(value, name)))
    if isinstance(value, ACEBasis):
        found.append(("operators", value.operators(value.species[0])))
    return found


def reachable(name, value, seen):
    """Everything in attributes, in containers, and in attributes of what is in containers."""
    if id(value) in seen or isinstance(value, (str, int, float, complex, bool, type(None), np.dtype, type)):
        return
    seen[id(value)] = value  # kept, so that no other object gets the same id
    yield name, value
    if issparse(value):
        children = [(part, getattr(value, part)) for part in ("data", "indices", "indptr")]
    elif isinstance(value, np.ndarray):
        children = []
    elif hasattr(value, "items"):
        children = list(value.items())
    elif isinstance(value, (list, tuple)):
        children = list(enumerate(value[:5]))
    else:
        children = attributes(value) if type(value).__module__.startswith("acepure") else []
    for child, found in children:
        yield from reachable(f"{name}.{child}", found, seen)


def spoil(value):
    """Try to change a value in place."""
    if isinstance(value, np.ndarray):
        with pytest.raises(ValueError, match="read-only"):
            value[...] = 0
    elif isinstance(value, list):
        value.clear()
    elif isinstance(value, dict):
        for key in list(value):
            value[key] = 12.5
    elif not isinstance(value, tuple) and hasattr(value, "__getitem__") and hasattr(value, "items"):
        with pytest.raises(TypeError, match="assignment"):
            value[next(iter(value), 0)] = 12.5


def states(thing):
    """What is written to files."""
    if isinstance(thing, LinearACE):
        return thing._entries()
    return thing.to_dict() if isinstance(thing, ACEBasis) else repr(thing)


@pytest.mark.parametrize("made", [lambda thing: thing, deepcopy], ids=["itself", "a copy"])
@pytest.mark.parametrize("name", CASES)
def test_nothing_public_can_be_changed(name, made):
    thing, values = CASES[name]
    thing = made(thing)
    before, state = values(thing), states(thing)
    found = list(reachable(name, thing, {}))
    assert len(found) > 5
    for path, value in found:
        try:
            spoil(value)
        except pytest.fail.Exception as error:
            raise AssertionError(f"{path} can be changed in place") from error
    np.testing.assert_array_equal(values(thing), before)
    assert states(thing) == state


@pytest.mark.parametrize("name", CASES)
def test_nothing_public_can_be_set(name):
    thing, _ = CASES[name]
    objects = [value for _, value in reachable(name, thing, {}) if type(value).__module__.startswith("acepure")]
    for value in objects:
        for attribute in public(value):
            if hasattr(value, "items") or (isinstance(value, tuple) and attribute in ("count", "index")):
                continue
            with pytest.raises(AttributeError):
                setattr(value, attribute, None)
            with pytest.raises(AttributeError):
                delattr(value, attribute)


def test_arguments_are_copied():
    """What is given may change later."""
    theta, root, E0s, report = (
        np.ones((2, len(PLAIN))),
        np.ones((2, len(PLAIN), 1)),
        {"Cu": -1.0, "Zr": 0.0},
        {"a": [1]},
    )
    potential = LinearACE(PLAIN, theta, E0s, posterior=root, report=report)
    theta[:], root[:], E0s["Cu"] = 2.0, 2.0, 3.0
    report["a"].append(2)
    assert potential.coefficients.max() == potential.posterior.max() == 1.0
    assert potential.E0s["Cu"] == -1.0 and potential.report == {"a": [1]}


def test_reports_grow_in_copies():
    first = model()
    second = first.with_report({"errors, test": "small"}, text="again")
    assert first.report == REPORT
    assert second.report == {**REPORT, "errors, test": "small", "text": "again"}
    np.testing.assert_array_equal(first.evaluate(ATOMS).forces, second.evaluate(ATOMS).forces)
    with pytest.raises(ValueError, match="no calibration"):
        first.with_report(calibration={"laws": 3})
