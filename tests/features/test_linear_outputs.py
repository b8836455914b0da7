"""Linear functions with several outputs, functions of them, and other coefficients in the same arrangement."""

import pickle

import numpy as np
import pytest
from cases.derivatives import system
from cases.linear import NAMES, RADIAL, assert_close, assert_derivatives, scale_of, two_species

from acepure import ACEBasis, LinearFunction, pullback
from acepure.neighbors import blocks
from acepure.stages.products import weighted_products


def outputs_of(basis, n_outputs, seed=2):
    weights = np.random.default_rng(seed).normal(size=(n_outputs, len(basis.species), len(basis)))
    return LinearFunction(basis, weights)


def separate(function):
    return [LinearFunction(function.basis, theta) for theta in function.coefficients]


class Embedding:
    """F = Σ_p c_zp tanh(a ρ_p) + ½ ρ_1 ρ_P of species z; a makes ρ of the order of 1."""

    def __init__(self, a):
        self.a = a

    def __call__(self, rho, z):
        x, c = self.a * rho, 1.0 + z + np.arange(rho.shape[1])
        slopes = c * (1 - np.tanh(x) ** 2)
        slopes[:, 0] += 0.5 * x[:, -1]
        slopes[:, -1] += 0.5 * x[:, 0]
        return (c * np.tanh(x)).sum(axis=1) + 0.5 * x[:, 0] * x[:, -1], self.a * slopes


class Embedded:
    """What `assert_derivatives` needs: energies by `evaluate`, forces by one reverse sweep."""

    def __init__(self, function, embedding):
        self.function, self.embedding = function, embedding
        slope = embedding.a * (len(function.basis.species) + function.n_outputs)  # the largest |∂F/∂ρ|
        self.basis, self.coefficients = function.basis, slope * abs(function.coefficients).sum(axis=0)

    def evaluate(self, atoms):
        rho, species = self.function.evaluate(atoms), self.basis.species_indices(atoms)
        return np.array([self.embedding(row[None], z)[0][0] for row, z in zip(rho, species)])

    def evaluate_with_gradients(self, atoms, **options):
        return self.function.evaluate_with_gradients(atoms, embedding=self.embedding, **options)


@pytest.mark.parametrize("n_outputs", [1, 2, 3, 4, 5, 7, 9])
@pytest.mark.parametrize("canonical", [True, False], ids=["canonical", "self-interacting"])
def test_outputs_are_those_of_separate_functions(n_outputs, canonical):
    atoms, basis = system("alloy", order=3, totaldegree=[5, 4, 3], canonical=canonical)
    function = outputs_of(basis, n_outputs)
    values = function.evaluate(atoms)
    assert values.shape == (len(atoms), n_outputs) and function.n_outputs == n_outputs
    g = np.random.default_rng(3).normal(size=values.shape)
    positions, strain = function.pullback(atoms, g)
    terms = separate(function)
    scale = 10 * sum(scale_of(term, atoms) for term in terms)
    for p, term in enumerate(terms):
        assert_close(values[:, p], term.evaluate(atoms), scale_of(term, atoms))
    theta = np.einsum("ip,pif->if", g, function.coefficients[:, basis.species_indices(atoms)])
    expected = pullback(basis, atoms, theta)
    assert_close(positions, expected[0], 10 * scale)
    assert_close(strain, expected[1], 10 * scale * basis.rcut)
    by_parts = [term.pullback(atoms, g[:, p]) for p, term in enumerate(terms)]
    assert_close(positions, sum(part[0] for part in by_parts), 10 * scale)


@pytest.mark.parametrize("name", NAMES)
def test_forces_of_embeddings(name):
    """One reverse sweep with the adjoints of F, against central differences of F of the outputs."""
    atoms, basis = system(name, order=3, totaldegree=[6, 4, 3])
    function = outputs_of(basis, 3)
    embedding = Embedding(1 / abs(function.evaluate(atoms)).max())
    model = Embedded(function, embedding)
    assert_derivatives(model, atoms)
    result = model.evaluate_with_gradients(atoms)
    np.testing.assert_array_equal(result.energies, model.evaluate(atoms))
    rho, species = function.evaluate(atoms), basis.species_indices(atoms)
    g = np.concatenate([embedding(row[None], z)[1] for row, z in zip(rho, species)])
    positions, strain = function.pullback(atoms, g)
    np.testing.assert_array_equal(result.forces, -positions)
    np.testing.assert_array_equal(result.virial, -strain)


@pytest.mark.parametrize("name", ["measures per pair", "user's functions"])
def test_radial_functions_with_and_without_kernel(name):
    basis = ACEBasis(["Cu", "Zr"], radial=RADIAL[name], order=3, totaldegree=[5, 4, 3])
    atoms = two_species()
    function = outputs_of(basis, 2)
    assert_derivatives(Embedded(function, Embedding(1 / abs(function.evaluate(atoms)).max())), atoms)


def test_one_output_is_the_same_to_the_last_bit():
    """An array with one output, and an embedding that is the identity, are the plain function."""
    atoms, basis = system("alloy", order=3, totaldegree=[5, 4, 3])
    function = outputs_of(basis, 1)
    plain = LinearFunction(basis, function.coefficients[0])
    np.testing.assert_array_equal(function.evaluate(atoms)[:, 0], plain.evaluate(atoms))
    expected = plain.evaluate_with_gradients(atoms)
    unit = lambda rho, z: (rho[:, 0], np.ones_like(rho))  # noqa: E731
    for result in (
        function.evaluate_with_gradients(atoms),
        function.evaluate_with_gradients(atoms, embedding=unit),
        plain.evaluate_with_gradients(atoms, embedding=unit),
    ):
        for field in ("energies", "forces", "virial"):
            np.testing.assert_array_equal(getattr(result, field), getattr(expected, field))
    np.testing.assert_array_equal(plain.pullback(atoms, np.ones(len(atoms)))[0], -expected.forces)


def test_same_bits_for_any_number_of_threads_and_blocks(monkeypatch):
    atoms, basis = system("fcc Cu", order=3, totaldegree=4)
    atoms = atoms * (3, 3, 2)
    function = outputs_of(basis, 5)
    model = Embedded(function, Embedding(1 / abs(function.evaluate(atoms)).max()))
    whole = basis.neighbor_list(atoms)
    expected = model.evaluate_with_gradients(atoms, neighbors=whole)
    results = [model.evaluate_with_gradients(atoms, neighbors=whole, num_threads=n) for n in (1, 2, 3)]
    for result in results:
        for field in ("energies", "forces", "virial"):
            np.testing.assert_array_equal(getattr(result, field), getattr(expected, field))
    monkeypatch.setattr(blocks, "CENTERS_PER_BLOCK", 10)
    by_blocks = model.evaluate_with_gradients(atoms)
    scale = 100 * scale_of(model, atoms)
    assert_close(by_blocks.energies, expected.energies, scale)
    assert_close(by_blocks.forces, expected.forces, scale)
    g = np.random.default_rng(0).normal(size=(len(atoms), 5))
    assert_close(function.pullback(atoms, g)[0], function.pullback(atoms, g, neighbors=whole)[0], scale)


def test_some_centers():
    """A list of some centers: their energies, and the forces that they alone exert."""
    atoms, basis = system("alloy", order=2, totaldegree=4)
    function = outputs_of(basis, 2)
    chosen = basis.neighbor_list(atoms, [3, 0, 5])
    np.testing.assert_array_equal(function.evaluate(atoms, neighbors=chosen), function.evaluate(atoms)[[3, 0, 5]])
    g = np.zeros((len(atoms), 2))
    g[[3, 0, 5]] = np.random.default_rng(0).normal(size=(3, 2))
    positions, _ = function.pullback(atoms, g[[3, 0, 5]], neighbors=chosen)
    scale = 100 * scale_of(separate(function)[0], atoms)
    assert_close(positions, function.pullback(atoms, g)[0], scale)


def test_no_neighbors_no_centers():
    atoms, basis = system("alloy", order=2, totaldegree=3, canonical=False)
    function, embedding = outputs_of(basis, 2), Embedding(1.0)
    alone = atoms[:1].copy()
    alone.pbc = False
    result = function.evaluate_with_gradients(alone, embedding=embedding)
    z = basis.species_indices(alone)[0]
    assert result.energies == embedding(function.evaluate(alone), z)[0] and not result.forces.any()

    def not_called(rho, z):
        raise AssertionError

    nobody = function.evaluate_with_gradients(atoms, embedding=not_called, neighbors=basis.neighbor_list(atoms, []))
    assert nobody.energies.shape == (0,) and not nobody.forces.any()


def test_other_coefficients(monkeypatch):
    """They keep the arrangement of products unless products are missing there; results are those of a new function."""
    from acepure.stages import fused

    atoms, basis = system("alloy", order=3, totaldegree=[5, 4, 3])
    first, second = outputs_of(basis, 2, 1), outputs_of(basis, 2, 2)
    calls = []
    monkeypatch.setattr(fused, "weighted_products", lambda *a: calls.append(a) or weighted_products(*a))
    result = first.with_coefficients(second.coefficients)
    assert not calls
    np.testing.assert_array_equal(result.evaluate(atoms), second.evaluate(atoms))
    sparse = second.coefficients[0].copy()
    sparse[:, ::2] = 0.0
    few = result.with_coefficients(sparse)
    assert not calls and few.n_outputs == 1
    assert_close(few.evaluate(atoms), LinearFunction(basis, sparse).evaluate(atoms), scale_of(few, atoms))
    calls.clear()
    back = LinearFunction(basis, np.where(np.arange(len(basis)) < 3, sparse, 0.0)).with_coefficients(sparse)
    assert len(calls) == 2 * len(basis.species)
    np.testing.assert_array_equal(back.evaluate(atoms), LinearFunction(basis, sparse).evaluate(atoms))


def test_copies_and_wrong_arguments():
    atoms, basis = system("alloy", order=2, totaldegree=3)
    function = outputs_of(basis, 2)
    again = pickle.loads(pickle.dumps(function))
    np.testing.assert_array_equal(again.evaluate(atoms), function.evaluate(atoms))
    with pytest.raises(ValueError, match=r"embedding must say how 2 outputs make an energy"):
        function.evaluate_with_gradients(atoms)
    with pytest.raises(ValueError, match=r"coefficients must have shape \(any, 3, \d+\)"):
        LinearFunction(basis, function.coefficients[:, :2])
    with pytest.raises(ValueError, match="coefficients must have at least one output"):
        LinearFunction(basis, function.coefficients[:0])
    with pytest.raises(ValueError, match=r"cotangents must have shape \(\d+, 2\)"):
        function.pullback(atoms, np.ones(len(atoms)))
    with pytest.raises(ValueError, match=r"gradients of the embedding must have shape \(\d+, 2\)"):
        function.evaluate_with_gradients(atoms, embedding=lambda rho, z: (rho[:, 0], rho[:, 0]))
    with pytest.raises(ValueError, match="energies of the embedding must be finite"):
        function.evaluate_with_gradients(atoms, embedding=lambda rho, z: (np.inf * rho[:, 0], rho))
