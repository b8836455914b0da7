"""From a basis and coefficients to what a .yace file holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from acepure.features.basis import ACEBasis
from acepure.interfaces.yace.complex_products import Products, complex_products, folded_products, without_mirrored
from acepure.interfaces.yace.embeddings import FileEmbedding
from acepure.interfaces.yace.evaluator import Terms, YaceContent
from acepure.interfaces.yace.radial_tables import Expansion, RadialTables


def folded_model(basis: ACEBasis, coefficients: np.ndarray) -> list[Products]:
    """Return the densities of each species of center in products of complex sums.

    Parameters
    ----------
    basis : ACEBasis
    coefficients : numpy.ndarray, shape (n_densities, n_species, n_features)
    """
    by_species = np.moveaxis(coefficients, 1, 0)
    return [complex_products(folded_products(basis, rows, s)) for s, rows in zip(basis.species, by_species)]


def yace_content(
    basis: ACEBasis, models: Sequence[Products], embedding: FileEmbedding, E0s: np.ndarray, tables: RadialTables
) -> YaceContent:
    """Return the potential E_i = E0 + F(ρ_i), ρ_ip = Σ_k c̃_kp Π_t Ã_{k_t}, without the constants of the models.

    Leaving them out is what makes the energy of an isolated atom E0: there all sums are 0.

    Parameters
    ----------
    basis : ACEBasis
    models : sequence of Products
        From `folded_model`.
    embedding : FileEmbedding
        F, of all species.
    E0s : numpy.ndarray, shape (n_species,)
    tables : RadialTables
    """
    terms = tuple(tuple(_terms(model, z, tables)) for z, model in enumerate(models))
    embeddings = (embedding,) * len(basis.species)
    return YaceContent(tuple(basis.species), np.asarray(E0s, dtype=float), tables.bonds, embeddings, terms)


def _terms(model: Products, z: int, tables: RadialTables) -> list[Terms]:
    """Terms of one species of center, for each rank."""
    result = []
    for factors, weights in model.runs:
        expansions = tables.single if factors.shape[1] == 1 else tables.higher
        names, positions, values = _substitution(model, z, np.unique(factors), expansions)
        factors, weights = _multiplied_out(factors, weights, positions, values)
        place = {tuple(name): i for i, name in enumerate(names.tolist())}
        mirror = np.array([place[mu, n, l, -m] for mu, n, l, m in names.tolist()])
        factors, weights = without_mirrored(factors, weights, mirror)
        kept = weights.any(axis=1)
        mus, ns, ls, ms = np.moveaxis(names[factors[kept]], 2, 0)
        result.append(Terms(mus, ns, ls, ms, weights[kept]))
    return result


def _substitution(
    model: Products, z: int, used: np.ndarray, expansions: dict[tuple[Any, ...], Expansion]
) -> tuple[np.ndarray, dict[int, np.ndarray], dict[int, np.ndarray]]:
    """Names (μ, n, l, m) in order, and for each sum of the model its positions among them and its coefficients."""
    chosen = {i: (model.one_particle[i], *expansions[(z, *_key(model, i))]) for i in used.tolist()}
    names = sorted({(v.z, int(n), v.l, sign * v.m) for v, ns, _ in chosen.values() for n in ns for sign in (1, -1)})
    place = {name: i for i, name in enumerate(names)}
    positions = {i: np.array([place[v.z, int(n), v.l, v.m] for n in ns]) for i, (v, ns, _) in chosen.items()}
    return np.array(names), positions, {i: values for i, (_, _, values) in chosen.items()}


def _key(model: Products, i: int) -> tuple[Any, ...]:
    v = model.one_particle[i]
    return v.z, v.l, v.q


def _multiplied_out(
    factors: np.ndarray, weights: np.ndarray, positions: dict[int, np.ndarray], values: dict[int, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Each factor replaced by its combination, column by column."""
    for t in range(factors.shape[1]):
        column = factors[:, t].tolist()
        rows = np.repeat(np.arange(len(column)), [len(positions[i]) for i in column])
        factors = factors[rows]
        factors[:, t] = np.concatenate([positions[i] for i in column])
        weights = weights[rows] * np.concatenate([values[i] for i in column])[:, None]
    return factors, weights
