"""Models and structures for tests of .yace files, and the energy of a file written out term by term."""

import math
from dataclasses import replace

import numpy as np
import scipy.special
import yaml
from ase.build import bulk
from ase.data import atomic_numbers
from ase.neighborlist import neighbor_list
from numpy.polynomial import chebyshev

from acepure import ACEBasis, EmbeddedACE, IdealGas, LinearACE, MeanCovariance, RadialDensity
from acepure.functions import (
    Legendre,
    LinearTransform,
    PolynomialEnvelope,
    PolynomialRadialBasis,
    PowerTransform,
    SmoothEnvelope,
)
from acepure.interfaces.yace.bonds import Core, TableBond
from acepure.interfaces.yace.embeddings import FileEmbedding
from acepure.interfaces.yace.evaluator import Terms, YaceContent

E0S = {"Cu": -3.5, "Zr": -8.25}
KINDS = ["canonical", "self-interacting", "gas", "shifted", "density", "measured", "Wick"]
# Radial functions that are polynomials of r.
POLYNOMIALS = {
    "linear": PolynomialRadialBasis(4.2, LinearTransform(), PolynomialEnvelope(2)),
    "power, Legendre": PolynomialRadialBasis(4.2, PowerTransform(2), SmoothEnvelope(2), Legendre()),
}
SPECIES = {"one": ["Cu"], "two": ["Cu", "Zr"]}


def crystal(species, seed=0, n=2):
    """A rattled and sheared crystal, periodic along two axes."""
    rng = np.random.default_rng(seed)
    atoms = bulk("Cu", cubic=True, a=3.8).repeat((n, n, 1))
    atoms.symbols = rng.choice(species, len(atoms))
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.03 * rng.standard_normal((3, 3))), scale_atoms=True)
    atoms.pbc = (True, True, False)
    atoms.rattle(0.15, seed=seed)
    return atoms


def basis_of(kind, species, **arguments):
    """A small basis in the coordinates that `kind` names."""
    arguments = {"order": 3, "totaldegree": 3, "rcut": 4.2, **arguments}
    basis = ACEBasis(species, canonical=kind not in ("self-interacting", "shifted", "Wick"), **arguments)
    structures = [crystal(species, seed) for seed in range(6)]
    if kind in ("gas", "shifted"):
        return basis.centered(IdealGas(0.03))
    if kind == "density":
        return basis.centered(RadialDensity.from_structures(structures, rcut=4.2, progress=False))
    if kind in ("measured", "Wick"):
        return basis.centered(MeanCovariance.from_structures(structures, basis, progress=False))
    return basis


def model_of(kind, species, seed=1, core=None, **arguments):
    """A potential with random coefficients."""
    basis = basis_of(kind, species, **arguments)
    coefficients = np.random.default_rng(seed).normal(size=(len(species), len(basis)))
    return LinearACE(basis, coefficients, {s: E0S[s] for s in species}, core=core)


def embedded_model(species, embedding, kind="canonical", seed=1):
    """A potential of several densities with random coefficients, of which those of F bend."""
    basis = basis_of(kind, species)
    shape = (embedding.n_densities, len(species), len(basis))
    coefficients = np.random.default_rng(seed).normal(size=shape) * 5
    return EmbeddedACE(basis, coefficients, embedding, {s: E0S[s] for s in species})


# --- files in the style of pacemaker ----------------------------------------------------------------------------------


def content_of(elements, family="ChebExpCos", core="density", strength=0.0, n_densities=1, m=1.0, seed=0, step=0.001):
    """What a file of several species may hold: sizes, cutoffs and functions differ from pair to pair, some are missing.

    Terms are random but for Σm = 0, so that the energy depends on the orientation; no reader looks.
    """
    rng, n = np.random.default_rng(seed), len(elements)
    bonds, sizes = {}, {}
    for i in range(n):
        for j in range(n):
            sizes[i, j] = (int(rng.integers(1, 4)), int(rng.integers(1, 4)), int(rng.integers(2, 6)))
            ends = {"density": (0.5, 0.1), "distance": (2.9, 0.6), "zbl": (2.8, 0.7)}[core]
            charges = atomic_numbers[elements[i]], atomic_numbers[elements[j]]
            bonds[i, j] = TableBond(
                float(rng.uniform(3.8, 4.6)),
                float(rng.uniform(1.5, 5)),
                rng.normal(size=sizes[i, j]),
                step,
                family,
                float(rng.uniform(0.1, 0.5)),
                Core(core, strength * float(rng.uniform(0.5, 1.5)), float(rng.uniform(0.2, 0.4)), *ends, charges),
            )
    terms = tuple(tuple(_terms(rng, sizes, z, n_densities)) for z in range(n))
    weights, exponents = np.ones(n_densities), np.array([1.0, m, m][:n_densities])
    kinds = ["FinnisSinclairShiftedScaled", "FinnisSinclair"]
    embeddings = [FileEmbedding(kinds[z % 2], weights * (1 + 0.3 * z), exponents, 9.0, 8.5) for z in range(n)]
    shape = np.max(list(sizes.values()), axis=0)
    for pair, bond in bonds.items():
        bonds[pair] = replace(bond, coefficients=np.pad(bond.coefficients, [(0, k) for k in shape - sizes[pair]]))
    return YaceContent(tuple(elements), rng.normal(size=n), bonds, tuple(embeddings), terms)


def _terms(rng, sizes, z, n_densities):
    species = rng.permutation(len(sizes) // int(len(sizes) ** 0.5))
    for rank, count in ((1, 5), (2, 8), (3, 10), (4, 6)):
        rows = []
        while len(rows) < count:
            mus = rng.choice(species[: max(1, len(species) - 1)] if rank == 3 else species, rank)
            top = np.array([sizes[z, mu] for mu in mus])
            if rank == 1:
                rows.append([mus, rng.integers(0, top[:, 2]), [0], [0]])
                continue
            ns, ls = rng.integers(0, top[:, 0]), rng.integers(0, top[:, 1])
            ms = rng.integers(-ls, ls + 1)
            if ms.sum() == 0:
                rows.append([mus, ns, ls, ms])
        mus, ns, ls, ms = (np.array(column, dtype=np.int64) for column in zip(*rows))
        yield Terms(mus, ns, ls, ms, 0.1 * rng.normal(size=(count, n_densities)))


# --- a file term by term ----------------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """With sequences as keys."""


def _mapping(loader, node):
    pairs = ((loader.construct_object(k, deep=True), loader.construct_object(v, deep=True)) for k, v in node.value)
    return {tuple(k) if isinstance(k, list) else k: v for k, v in pairs}


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load(path):
    """The tree of a file, by PyYAML alone."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)


def energies_term_by_term(path, atoms):
    """E_i as the format says it, with SciPy's harmonics and Chebyshev series without tables."""
    tree = load(path)
    kinds = [tree["elements"].index(s) for s in atoms.symbols]
    cutoffs = {pair: bond["rcut"] for pair, bond in tree["bonds"].items()}
    i, j, d, vectors = neighbor_list("ijdD", atoms, max(cutoffs.values()))
    energies = []
    for center, z in enumerate(kinds):
        pairs = [(kinds[j[p]], d[p], vectors[p]) for p in np.flatnonzero(i == center)]
        pairs = [pair for pair in pairs if pair[1] < cutoffs[z, pair[0]]]
        sums = {}
        parameters = tree["embeddings"][z]["FS_parameters"]
        densities = np.zeros(len(parameters) // 2)
        for function in tree["functions"][z]:
            rank, names = function["rank"], list(zip(function["mus"], function["ns"], function["ls"]))
            for t, c in enumerate(np.reshape(function["ctildes"], (-1, len(densities)))):
                ms = function["ms_combs"][rank * t : rank * (t + 1)]
                factors = [(rank > 1, *name, m) for name, m in zip(names, ms)]
                for key in set(factors) - sums.keys():
                    sums[key] = _sum(tree["bonds"], z, pairs, *key)
                densities += (math.prod(sums[key] for key in factors) * c).real
        F = (w * finnis_sinclair(rho, m) for rho, w, m in zip(densities, parameters[::2], parameters[1::2]))
        energies.append(tree["E0"][z] + sum(F))
    return np.array(energies)


def finnis_sinclair(rho, m):
    """The shifted and scaled function of the format, as published."""
    if m == 1:
        return rho
    a, nx = abs(rho), 1 / m
    offset, shift = nx ** (nx / (1 - nx)) * math.exp(-a), nx ** (1 / (1 - nx)) * math.exp(-a)
    return math.copysign((offset + a) ** m - shift, rho)


def _sum(bonds, z, pairs, several, mu, n, l, m):
    """A_{μnlm}, with g_n for products of one factor and R_nl for others."""
    return sum(radial(bonds[z, mu], several, n, l, r) * harmonic(l, m, v) for kind, r, v in pairs if kind == mu)


def radial(bond, several, n, l, r):
    row = np.array(bond["radcoefficients"][n - 1][l]) if several else np.eye(bond["nradbasemax"])[n - 1]
    x = 1 - 2 * (1 - r / bond["rcut"]) ** bond["radparameters"][0]
    g = [(1 - chebyshev.chebval(x, np.eye(len(row) + 1)[k])) / 2 for k in range(1, len(row) + 1)]
    return float(row @ g)


def harmonic(l, m, vector):
    """√4π Y_l^m."""
    x, y, z = vector
    polar, azimuth = math.atan2(math.hypot(x, y), z), math.atan2(y, x)
    if hasattr(scipy.special, "sph_harm_y"):
        value = scipy.special.sph_harm_y(l, m, polar, azimuth)
    else:
        value = scipy.special.sph_harm(m, l, azimuth, polar)
    return math.sqrt(4 * math.pi) * complex(value)
