"""Networks against recursion of explicit sums, and what they are exact for."""

import sys

import numpy as np
import pytest
from ase import Atoms
from oracles.canonical import real_harmonics
from oracles.layers import site_energies

torch = pytest.importorskip("torch", reason="networks need PyTorch: pip install acepure[torch]")
from acepure import ACEBasis  # noqa: E402
from acepure.functions.radial import PolynomialRadialBasis  # noqa: E402
from acepure.layers.geometry import Batch, pairs_of  # noqa: E402
from acepure.layers.network import Architecture, Network  # noqa: E402
from acepure.neighbors.environments import Environments  # noqa: E402

NAMES = ("Cu", "Ag")
RADIAL = PolynomialRadialBasis(4.0)
BASIS = ACEBasis(NAMES, order=1, totaldegree=1, radial=RADIAL)
LEVELS = {0: False, 1: "siblings", 2: "no-backtracking"}
ARCHITECTURES = [
    *(Architecture(n, 3, 2, 3, 4, LEVELS[level]) for n in (1, 2) for level in range(n + 1)),
    Architecture(2, 2, 1, 2, 3, "no-backtracking"),
    Architecture(2, 2, 1, 2, 3, "siblings"),
]


def network(architecture, seed=1):
    rng = np.random.default_rng(seed)
    arrays = {name: rng.normal(size=shape) for name, shape in architecture.shapes(len(NAMES)).items()}
    arrays["whitening"] = np.tril(arrays["whitening"]) * 0.5
    return Network(architecture, len(NAMES), arrays)


def cluster(n=5, seed=0, pbc=False):
    rng = np.random.default_rng(seed)
    corners = np.stack(np.meshgrid([0, 2.2], [0, 2.2], [0, 2.2]), -1).reshape(-1, 3)[:n]
    atoms = Atoms([NAMES[k % 2] for k in range(n)], corners + 0.2 * rng.normal(size=(n, 3)), cell=[4.6] * 3, pbc=pbc)
    return atoms


def pairs(net, atoms):
    environments = Environments(BASIS, atoms, num_threads=1)
    whitening = net.arrays["whitening"]
    neighbors = environments.neighbors
    return pairs_of(environments.species, neighbors, RADIAL, NAMES, whitening, net.architecture.l_max)


def batch(net, *structures):
    return Batch([pairs(net, atoms) for atoms in structures], 2, torch.float64, net.architecture.reverse)


def evaluate(net, atoms):
    """Site energies, forces and virial."""
    found = batch(net, atoms)
    energies = net.energies(net.tensors(torch.float64), found)
    forces, virials = found.forces(*torch.autograd.grad(energies.sum(), [found.g, found.Y]))
    return energies.detach().numpy(), forces.numpy(), virials[0].numpy()


def by_explicit_sums(net, atoms):
    """The same energies, with nothing of ours but radial functions."""
    architecture, arrays = net.architecture, net.arrays
    species = [NAMES.index(s) for s in atoms.symbols]
    listed = []
    for i, a in enumerate(species):
        mine = []
        for j, b in enumerate(species):
            vector = atoms.positions[j] - atoms.positions[i]
            r = np.linalg.norm(vector)
            if i == j or r >= 4.0:
                continue
            g = RADIAL.evaluate([r], NAMES[a], NAMES[b], architecture.n_radial)[0]
            g = arrays["whitening"][2 * a + b] @ g
            R = [np.einsum("n,nlk->kl", g, arrays[f"W{t}"][2 * a + b]) for t in range(1, architecture.n_layers + 1)]
            mine.append((j, real_harmonics(vector, architecture.l_max), R))
        listed.append(mine)
    where = [{j: number for number, (j, *_) in enumerate(mine)} for mine in listed]
    listed = [[(j, where[j][i], Y, R) for j, Y, R in mine] for i, mine in enumerate(listed)]
    layers = [{"w": arrays[f"w{t}"], "c": arrays[f"c{t}"]} for t in range(1, architecture.n_layers + 1)]
    if architecture.n_layers == 2:
        layers[0] |= {"h0": arrays["h0"], "U": arrays["U"]}
    level = next(level for level, name in LEVELS.items() if name == architecture.canonical)
    return site_energies(listed, species, layers, architecture.order, level)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=repr)
def test_energies_are_those_of_explicit_sums(architecture):
    net, atoms = network(architecture), cluster()
    expected, scale = by_explicit_sums(net, atoms)
    assert (abs(evaluate(net, atoms)[0] - expected) <= 1e-13 * scale).all()


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=repr)
def test_forces_and_virial_are_derivatives(architecture):
    net, atoms, h = network(architecture), cluster(pbc=True), 1e-5
    _, forces, virial = evaluate(net, atoms)
    rng = np.random.default_rng(3)
    motion, strain = rng.normal(size=(len(atoms), 3)), rng.normal(size=(3, 3))
    energies = []
    for sign in (1, -1):
        moved, deform = atoms.copy(), np.eye(3) + sign * h * strain
        moved.set_cell(atoms.cell @ deform.T)
        moved.positions = (atoms.positions + sign * h * motion) @ deform.T
        energies.append(evaluate(net, moved)[0].sum())
    expected = -(forces * motion).sum() - (virial * strain).sum()
    assert (energies[0] - energies[1]) / (2 * h) == pytest.approx(expected, rel=3e-8)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=repr)
def test_symmetries(architecture):
    net, atoms = network(architecture), cluster(pbc=True)
    energies, forces, _ = evaluate(net, atoms)
    size = abs(energies).max()
    rng = np.random.default_rng(5)
    Q = -np.linalg.qr(rng.normal(size=(3, 3)))[0]  # may be proper or not: both signs are tried
    for rotation in (Q, -Q):
        turned = atoms.copy()
        turned.set_cell(atoms.cell @ rotation.T)
        turned.positions = atoms.positions @ rotation.T
        found = evaluate(net, turned)
        np.testing.assert_allclose(found[0], energies, atol=1e-12 * size)
        np.testing.assert_allclose(found[1], forces @ rotation.T, atol=1e-11 * abs(forces).max())
    order = rng.permutation(len(atoms))
    found = evaluate(net, atoms[order])
    np.testing.assert_allclose(found[0], energies[order], atol=1e-12 * size)
    np.testing.assert_allclose(found[1], forces[order], atol=1e-11 * abs(forces).max())


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=repr)
def test_isolated_atoms_and_far_copies(architecture):
    net, atoms = network(architecture), cluster()
    energies, forces, virial = evaluate(net, Atoms("CuAg", [[0, 0, 0], [0, 0, 50]]))
    assert (energies == 0).all() and (forces == 0).all() and (virial == 0).all()
    far = atoms.copy()
    far.positions += [100, 0, 0]
    alone, both = evaluate(net, atoms)[0], evaluate(net, atoms + far)[0]
    np.testing.assert_allclose(both, np.tile(alone, 2), rtol=1e-10, atol=1e-10 * abs(alone).max())


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=repr)
def test_structures_side_by_side(architecture):
    net, structures = network(architecture), [cluster(), Atoms("Cu"), cluster(7, 1), cluster(3, 2, True)]
    found = batch(net, *structures)
    energies = net.energies(net.tensors(torch.float64), found)
    forces, virials = found.forces(*torch.autograd.grad(energies.sum(), [found.g, found.Y]))
    alone = [evaluate(net, atoms) for atoms in structures]
    for ours, theirs in ((energies.detach(), 0), (forces, 1), (virials.reshape(-1, 3), 2)):
        expected = np.concatenate([part[theirs] for part in alone])
        np.testing.assert_allclose(ours.numpy(), expected, atol=1e-11 * abs(expected).max())
    totals = found.of_structures(energies).detach().numpy()
    np.testing.assert_allclose(totals, [part[0].sum() for part in alone], rtol=1e-11)


def dimer(r):
    return Atoms("CuAg", [[0, 0, 0], [0, 0, r]])


def test_dimers_without_backtracking_are_sums_of_order_one():
    """Only Σ_layers Σ_k c w_0 R_k0 h0 Y_00 is left; plain and sibling messages keep more."""
    for level in LEVELS:
        net = network(Architecture(2, 3, 2, 3, 4, LEVELS[level]))
        arrays = net.arrays
        expected = 0.0
        for a, b in ((0, 1), (1, 0)):
            g = arrays["whitening"][2 * a + b] @ RADIAL.evaluate([2.5], NAMES[a], NAMES[b], 4)[0]
            for t, h in ((1, 1.0), (2, arrays["h0"][b])):
                R0 = g @ arrays[f"W{t}"][2 * a + b][:, 0]
                expected += float(np.sum(arrays[f"c{t}"][a] * arrays[f"w{t}"][a, 0] * R0 * h)) / np.sqrt(4 * np.pi)
        found = evaluate(net, dimer(2.5))[0].sum()
        assert (abs(found - expected) < 1e-14 * 50) == (level == 2)


@pytest.mark.parametrize("n_layers, canonical", [(1, "siblings"), (2, "no-backtracking")])
def test_without_pair_term(n_layers, canonical):
    """Dimers have no energy, and what is taken out is a sum over pairs, here of a crystal."""
    whole = network(Architecture(n_layers, 3, 2, 3, 4, canonical))
    rest = Network(Architecture(n_layers, 3, 2, 3, 4, canonical, pair_term=False), 2, whole.arrays)
    for r in (0.7, 2.5):
        assert abs(evaluate(rest, dimer(r))[0]).max() < 1e-12 * abs(evaluate(whole, dimer(r))[0]).max()
    atoms = cluster(6, pbc=True)
    order_one = Network(whole.architecture, 2, {**whole.arrays, **_only_order_one(whole)})
    difference = evaluate(whole, atoms)[0] - evaluate(rest, atoms)[0]
    np.testing.assert_allclose(difference, evaluate(order_one, atoms)[0], atol=1e-12 * abs(difference).max() * 100)
    forces = evaluate(whole, atoms)[1] - evaluate(rest, atoms)[1]
    np.testing.assert_allclose(forces, evaluate(order_one, atoms)[1], atol=1e-10 * abs(forces).max())


def _only_order_one(net):
    changed = {name: a.copy() for name, a in net.arrays.items() if name[0] in "wU" and name != "whitening"}
    for name, array in changed.items():
        array[(slice(None), slice(1, None)) if name[0] == "w" else ...] = 0
    return changed


def test_energies_go_to_zero_with_their_slope_at_the_cutoff():
    net = network(ARCHITECTURES[4])
    sizes = [abs(evaluate(net, dimer(r))[0]).max() for r in (3.9, 3.99, 3.999, 4.0)]
    assert sizes[1] < sizes[0] / 50 and sizes[2] < sizes[1] / 50 and sizes[3] == 0


@pytest.mark.parametrize("n", [0, 2])
def test_one_layer_of_chebyshev_functions_is_a_canonical_feature(n):
    """W picks f T_n: up to √Π(multiplicity!) messages are the features of labels (n l1)(n l2)(n l3)."""
    basis = ACEBasis(["Cu"], order=3, n_max=n + 1, l_max=3, radial=RADIAL)
    atoms = cluster(8, pbc=True)
    atoms.symbols = "Cu8"
    architecture = Architecture(1, 1, 3, 3, n + 1, "siblings")
    arrays = {name: np.zeros(shape) for name, shape in architecture.shapes(1).items()}
    arrays["whitening"][:] = np.eye(n + 1)
    arrays["W1"][0, n] = 1.0
    arrays["c1"][:] = 1.0
    environments = Environments(basis, atoms, num_threads=1)
    terms = [(0,), *((l, l) for l in range(4)), *(triple.ls for triple in architecture.terms.triples)]
    features = basis.descriptors(atoms)
    for k, ls in enumerate(terms):
        arrays["w1"][:] = 0
        arrays["w1"][0, k] = 1.0
        net = Network(architecture, 1, arrays)
        part = pairs_of(environments.species, environments.neighbors, RADIAL, ["Cu"], net.arrays["whitening"], 3)
        found = net.energies(net.tensors(torch.float64), Batch([part], 1, torch.float64, False)).detach().numpy()
        (column,) = [c for c, label in enumerate(basis.labels) if set(label.n) == {n} and sorted(label.l) == list(ls)]
        counts = [ls.count(l) for l in set(ls)]
        factor = np.sqrt(np.prod([np.prod(np.arange(1, m + 1)) for m in counts]))
        sign = np.sign(found @ features[:, column])
        np.testing.assert_allclose(found, sign * factor * features[:, column], atol=1e-12 * abs(found).max())


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"n_layers": 3}, "layers must be 1 or 2; got 3"),
        ({"canonical": "cousins"}, "got 'cousins'"),
        ({"canonical": True}, "got True"),
        ({"n_layers": 1, "canonical": "no-backtracking"}, "needs layers=2"),
        ({"pair_term": False}, "pair_term=False needs"),
        ({"channels": 0}, "channels must be an integer >= 1"),
    ],
)
def test_wrong_architectures(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Architecture(**arguments)


def test_wrong_arrays():
    net = network(ARCHITECTURES[0])
    with pytest.raises(ValueError, match="has the arrays whitening, W1, w1, c1"):
        Network(net.architecture, 2, {"W1": net.arrays["W1"]})
    with pytest.raises(ValueError, match="c1 must have shape"):
        Network(net.architecture, 2, {**net.arrays, "c1": net.arrays["c1"][:1]})
    with pytest.raises(TypeError, match="architecture must be"):
        Network("siblings", 2, net.arrays)
    with pytest.raises(TypeError, match="arrays must be"):
        Network(net.architecture, 2, list(net.arrays))


def test_pytorch_is_not_loaded_for_what_every_object_is_asked(monkeypatch):
    from acepure.layers._torch import _Torch

    monkeypatch.setitem(sys.modules, "torch", None)
    absent = _Torch()
    assert not hasattr(absent, "__wrapped__")
    with pytest.raises(ImportError, match="needs PyTorch"):
        _ = absent.float64
